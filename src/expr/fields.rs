//! The fields of each kind of event that expressions may read, with their types.

use super::vocabulary::Type;
use crate::event::{Date, Event, Kind, Millis, Slot, Text};

/// A field as a slot.
trait AsSlot {
    fn slot(&self) -> Slot<'_>;
}

impl AsSlot for Text<'_> {
    fn slot(&self) -> Slot<'_> {
        Slot::Text(self.as_str())
    }
}

impl AsSlot for i64 {
    fn slot(&self) -> Slot<'_> {
        Slot::Int(*self)
    }
}

impl AsSlot for f64 {
    fn slot(&self) -> Slot<'_> {
        Slot::Float(*self)
    }
}

impl AsSlot for bool {
    fn slot(&self) -> Slot<'_> {
        Slot::Bool(*self)
    }
}

impl AsSlot for Millis {
    fn slot(&self) -> Slot<'_> {
        Slot::Int(self.0)
    }
}

impl AsSlot for Date {
    fn slot(&self) -> Slot<'_> {
        Slot::Int(i64::from(self.0))
    }
}

impl<T: AsSlot> AsSlot for Option<T> {
    fn slot(&self) -> Slot<'_> {
        self.as_ref().map_or(Slot::Null, T::slot)
    }
}

macro_rules! symbols {
    ($($ty:ty),*) => {
        $(impl AsSlot for $ty {
            fn slot(&self) -> Slot<'_> {
                Slot::Text(self.name())
            }
        })*
    };
}

symbols!(
    crate::event::Channel,
    crate::event::TransactionStatus,
    crate::event::Network,
    crate::event::DisputeStage,
    crate::event::Author,
    crate::event::InvoiceKind,
    crate::event::Verdict,
    crate::event::SubjectKind
);

/// Declares a kind's fields: one list gives names, types and the way to read them.
macro_rules! fields {
    ($($kind:ident { $($name:ident: $ty:ident = |$event:ident| $value:expr;)* })*) => {
        /// Names and types of the fields of a kind.
        pub fn fields(kind: Kind) -> &'static [(&'static str, Type)] {
            match kind {
                $(Kind::$kind => &[$((stringify!($name), Type::$ty),)*],)*
            }
        }

        /// Field number `index` of an event, in the order of [`fields`] of its kind.
        pub fn read<'a>(event: &'a Event<'_>, index: usize) -> Slot<'a> {
            match event {
                $(Event::$kind(event) => {
                    // one arm a field; the compiler makes a jump table of it
                    let mut at = 0;
                    $({
                        if index == at {
                            let $event = event;
                            return $value;
                        }
                        at += 1;
                    })*
                    let _all = at;
                    Slot::Null
                })*
            }
        }
    };
}

fields! {
    Transaction {
        event_time_ms: Int = |e| e.event_time.slot();
        tenant: Text = |e| e.tenant.slot();
        account_id: Text = |e| e.account_id.slot();
        transaction_id: Text = |e| e.transaction_id.slot();
        card_id: Text = |e| e.card_id.slot();
        merchant_id: Text = |e| e.merchant_id.slot();
        terminal_id: Text = |e| e.terminal_id.slot();
        amount_minor: Int = |e| e.amount_minor.slot();
        currency: Text = |e| e.currency.slot();
        mcc: Text = |e| e.mcc.slot();
        channel: Text = |e| e.channel.slot();
        entry_mode: Text = |e| e.entry_mode.slot();
        country: Text = |e| e.country.slot();
        lat: Float = |e| e.lat.slot();
        lon: Float = |e| e.lon.slot();
        device_id: Text = |e| e.device_id.slot();
        ip: Text = |e| e.ip.slot();
        email_hash: Text = |e| e.email_hash.slot();
        beneficiary_id: Text = |e| e.beneficiary_id.slot();
        status: Text = |e| e.status.slot();
        decline_code: Text = |e| e.decline_code.slot();
        recurring: Bool = |e| e.recurring.slot();
    }
    Dispute {
        event_time_ms: Int = |e| e.event_time.slot();
        tenant: Text = |e| e.tenant.slot();
        account_id: Text = |e| e.account_id.slot();
        dispute_id: Text = |e| e.dispute_id.slot();
        transaction_id: Text = |e| e.transaction_id.slot();
        network: Text = |e| e.network.slot();
        reason_code: Text = |e| e.reason_code.slot();
        amount_minor: Int = |e| e.amount_minor.slot();
        currency: Text = |e| e.currency.slot();
        opened_at_ms: Int = |e| e.opened_at.slot();
        due_by_ms: Int = |e| e.due_by.slot();
        stage: Text = |e| e.stage.slot();
        merchant_id: Text = |e| e.merchant_id.slot();
        card_id: Text = |e| e.card_id.slot();
        device_id: Text = |e| e.device_id.slot();
        transaction_time_ms: Int = |e| e.transaction_time.slot();
        narrative: Text = |e| e.narrative.slot();
    }
    Chat {
        event_time_ms: Int = |e| e.event_time.slot();
        tenant: Text = |e| e.tenant.slot();
        account_id: Text = |e| e.account_id.slot();
        conversation_id: Text = |e| e.conversation_id.slot();
        message_id: Text = |e| e.message_id.slot();
        author: Text = |e| e.author.slot();
        text: Text = |e| e.text.slot();
        channel: Text = |e| e.channel.slot();
        language: Text = |e| e.language.slot();
        bot_confidence: Float = |e| e.bot_confidence.slot();
        bot_intent: Text = |e| e.bot_intent.slot();
    }
    Invoice {
        event_time_ms: Int = |e| e.event_time.slot();
        tenant: Text = |e| e.tenant.slot();
        account_id: Text = |e| e.account_id.slot();
        invoice_id: Text = |e| e.invoice_id.slot();
        kind: Text = |e| e.kind.slot();
        vendor_id: Text = |e| e.vendor_id.slot();
        vendor_name: Text = |e| e.vendor_name.slot();
        employee_id: Text = |e| e.employee_id.slot();
        number: Text = |e| e.number.slot();
        issued_on_days: Int = |e| e.issued_on.slot();
        due_on_days: Int = |e| e.due_on.slot();
        amount_minor: Int = |e| e.amount_minor.slot();
        currency: Text = |e| e.currency.slot();
        bank_account_hash: Text = |e| e.bank_account_hash.slot();
        purchase_order: Text = |e| e.purchase_order.slot();
        category: Text = |e| e.category.slot();
        line_count: Int = |e| Slot::Int(i64::try_from(e.lines.len()).unwrap_or(i64::MAX));
        lines_sum_minor: Int = |e| Slot::Int(
            e.lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.amount_minor))
        );
        document_sha256: Text = |e| e.document_sha256.slot();
    }
    Label {
        event_time_ms: Int = |e| e.event_time.slot();
        tenant: Text = |e| e.tenant.slot();
        account_id: Text = |e| e.account_id.slot();
        subject_kind: Text = |e| e.subject_kind.slot();
        subject_id: Text = |e| e.subject_id.slot();
        verdict: Text = |e| e.verdict.slot();
        source: Text = |e| e.source.slot();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json;

    #[test]
    fn every_field_is_read_with_the_type_it_declares() {
        let full = [
            r#"{"kind":"transaction","event_id":"e","event_time":5,"account_id":"a","transaction_id":"t",
            "card_id":"c","merchant_id":"m","terminal_id":"x","amount_minor":1,"currency":"EUR","mcc":"1",
            "channel":"POS","entry_mode":"chip","country":"DE","lat":1.0,"lon":2.0,"device_id":"d","ip":"i",
            "email_hash":"h","beneficiary_id":"b","status":"DECLINED","decline_code":"05","recurring":true}"#,
            r#"{"kind":"dispute","event_id":"e","event_time":5,"account_id":"a","dispute_id":"d",
            "transaction_id":"t","network":"VISA","reason_code":"10.4","amount_minor":1,"currency":"EUR",
            "opened_at":1,"due_by":2,"stage":"CHARGEBACK","merchant_id":"m","card_id":"c","device_id":"d",
            "transaction_time":3,"narrative":"n"}"#,
            r#"{"kind":"chat","event_id":"e","event_time":5,"account_id":"a","conversation_id":"c",
            "message_id":"m","author":"BOT","text":"t","language":"en","bot_confidence":0.5,"bot_intent":"i"}"#,
            r#"{"kind":"invoice","invoice_kind":"INVOICE","event_id":"e","event_time":5,"account_id":"a",
            "invoice_id":"i","vendor_id":"v","vendor_name":"n","employee_id":"e","number":"1",
            "issued_on":"2020-01-01","due_on":"2020-02-01","amount_minor":1,"currency":"EUR",
            "bank_account_hash":"b","purchase_order":"p","category":"c","lines":[],"document_sha256":"s"}"#,
            r#"{"kind":"label","event_id":"e","event_time":5,"account_id":"a","subject_kind":"TRANSACTION",
            "subject_id":"t","verdict":"FRAUD","source":"analyst"}"#,
        ];
        for line in full {
            let event = json::from_line(line).unwrap();
            for (i, (name, ty)) in fields(event.kind()).iter().enumerate() {
                let slot = read(&event, i);
                assert_eq!(Type::of(slot), Some(*ty), "{name} of {:?} is {slot}", event.kind());
            }
            assert_eq!(read(&event, fields(event.kind()).len()), Slot::Null);
        }
    }
}
