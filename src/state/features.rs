//! The features a decision reads: for each thing that is counted, counts and sums over 1 h, 24 h
//! and 30 d, the last amount and the seconds since it.
//!
//! Counts and sums include the current event; the last amount and the seconds since are those of
//! the event before it, and null where there was none in 30 days.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::account::Account;
use super::windows::WINDOWS;
use crate::event::{Kind, Millis, Slot};

/// Something that is counted: a series of the section of `kind`.
struct Counted {
    name: &'static str,
    kind: Kind,
    series: usize,
    money: bool,
}

const COUNTED: [Counted; 6] = [
    Counted { name: "payments", kind: Kind::Transaction, series: 0, money: true },
    Counted { name: "declines", kind: Kind::Transaction, series: 1, money: true },
    Counted { name: "disputes", kind: Kind::Dispute, series: 0, money: true },
    Counted { name: "chats", kind: Kind::Chat, series: 0, money: false },
    Counted { name: "invoices", kind: Kind::Invoice, series: 0, money: true },
    Counted { name: "fraud_labels", kind: Kind::Label, series: 0, money: false },
];

/// Type of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureType {
    /// counts, amounts in minor units
    Int,
    /// seconds
    Float,
}

/// Names and types of all features, in the order of a decision's record.
pub static FEATURES: LazyLock<Vec<(String, FeatureType)>> = LazyLock::new(|| {
    let mut features = Vec::new();
    for counted in &COUNTED {
        for window in WINDOWS {
            features.push((format!("{}_count_{}", counted.name, window.name), FeatureType::Int));
        }
        if counted.money {
            for window in WINDOWS {
                let name = format!("{}_sum_minor_{}", counted.name, window.name);
                features.push((name, FeatureType::Int));
            }
            features.push((format!("{}_last_amount_minor", counted.name), FeatureType::Int));
        }
        let name = format!("{}_seconds_since_last", counted.name);
        features.push((name, FeatureType::Float));
    }
    features
});

/// Hash of the feature set: of names, types and their order. SHA-256, first 16 bytes, hex.
pub fn feature_set_hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = Sha256::new();
        for (name, ty) in FEATURES.iter() {
            hasher.update(format!("{name} {ty:?}\n"));
        }
        hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    });
    &HASH
}

/// Reads features in two steps, around the application of the current event.
#[derive(Debug, Default)]
pub struct Features {
    values: Vec<Slot<'static>>,
    last: [Option<(Millis, i64)>; COUNTED.len()],
}

impl Features {
    /// First step: what was last, before the current event is applied.
    pub fn before(&mut self, account: &Account, time: Millis) {
        for (counted, last) in COUNTED.iter().zip(&mut self.last) {
            let section = account.section(counted.kind);
            *last = section.and_then(|section| section.series(counted.series).last(time));
        }
    }

    /// All values, in the order of [`FEATURES`], as the last second step left them.
    pub fn values(&self) -> &[Slot<'static>] {
        &self.values
    }

    /// Second step, once it is applied: all values, in the order of [`FEATURES`].
    pub fn after(&mut self, account: &Account, time: Millis) -> &[Slot<'static>] {
        self.values.clear();
        for (counted, last) in COUNTED.iter().zip(self.last) {
            let series =
                account.section(counted.kind).map(|section| section.series(counted.series));
            let totals: [_; WINDOWS.len()] = std::array::from_fn(|window| {
                series.map(|series| series.total(window, time)).unwrap_or_default()
            });
            self.values.extend(totals.iter().map(|total| Slot::Int(total.count)));
            if counted.money {
                self.values.extend(totals.iter().map(|total| Slot::Int(total.sum)));
                self.values.push(last.map_or(Slot::Null, |(_, amount)| Slot::Int(amount)));
            }
            let seconds = |(at, _): (Millis, i64)| Slot::Float((time.0 - at.0) as f64 / 1_000.0);
            self.values.push(last.map_or(Slot::Null, seconds));
        }
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json;
    use crate::event::Event;
    use crate::state::{Horizon, Seen, State};

    fn payment(
        id: &str,
        transaction: &str,
        status: &str,
        minute: i64,
        amount: i64,
    ) -> Event<'static> {
        json::from_line(&format!(
            r#"{{"kind":"transaction","event_id":"{id}","event_time":{},"account_id":"a",
            "transaction_id":"{transaction}","merchant_id":"m","amount_minor":{amount},
            "currency":"EUR","channel":"POS","status":"{status}"}}"#,
            1_700_000_000_000 + minute * 60_000
        ))
        .unwrap()
    }

    fn read(state: &mut State, event: &Event<'_>) -> (Seen, Vec<(String, Slot<'static>)>) {
        let mut features = Features::default();
        let account = state.account("default/a");
        features.before(account, event.event_time());
        let seen = account.apply(event, event.event_id().as_bytes(), Horizon::default());
        let values = features.after(account, event.event_time()).to_vec();
        let names = FEATURES.iter().map(|(name, _)| name.clone());
        (seen, names.zip(values).collect())
    }

    fn value(features: &[(String, Slot<'static>)], name: &str) -> Slot<'static> {
        features.iter().find(|(known, _)| known == name).unwrap().1
    }

    #[test]
    fn a_payment_counts_once_however_many_steps_it_takes() {
        let mut state = State::default();
        let (_, first) = read(&mut state, &payment("1", "t1", "REQUESTED", 0, 500));
        assert_eq!(value(&first, "payments_count_1h"), Slot::Int(1));
        assert_eq!(value(&first, "payments_last_amount_minor"), Slot::Null);
        assert_eq!(value(&first, "payments_seconds_since_last"), Slot::Null);
        let (_, declined) = read(&mut state, &payment("2", "t1", "DECLINED", 1, 500));
        assert_eq!(value(&declined, "payments_count_1h"), Slot::Int(1));
        assert_eq!(value(&declined, "declines_count_1h"), Slot::Int(1));
        let (_, second) = read(&mut state, &payment("3", "t2", "AUTHORIZED", 2, 700));
        assert_eq!(value(&second, "payments_count_24h"), Slot::Int(2));
        assert_eq!(value(&second, "payments_sum_minor_30d"), Slot::Int(1_200));
        assert_eq!(value(&second, "payments_last_amount_minor"), Slot::Int(500));
        assert_eq!(value(&second, "payments_seconds_since_last"), Slot::Float(120.0));
        assert_eq!(value(&second, "disputes_count_30d"), Slot::Int(0));
        let (_, refund) = read(&mut state, &payment("4", "t3", "REFUNDED", 3, -700));
        assert_eq!(value(&refund, "payments_count_1h"), Slot::Int(2));
        let (seen, _) = read(&mut state, &payment("4", "t3", "REFUNDED", 3, -700));
        assert_eq!(seen, Seen::Duplicate);
    }

    #[test]
    fn names_and_values_are_of_equal_number_and_the_hash_names_them() {
        let mut features = Features::default();
        let account = Account::default();
        features.before(&account, Millis(0));
        assert_eq!(features.after(&account, Millis(0)).len(), FEATURES.len());
        assert_eq!(feature_set_hash().len(), 32);
    }

    #[test]
    fn equal_states_have_equal_hashes_and_others_do_not() {
        let events: Vec<Event<'_>> = (0..50)
            .map(|i| payment(&i.to_string(), &format!("t{i}"), "AUTHORIZED", i, i))
            .collect();
        let build = |events: &[Event<'_>]| {
            let mut state = State::default();
            for event in events {
                let key = format!("default/{}", event.event_id().len());
                state.apply(&key, event, b"x", Horizon::default());
            }
            state.hash()
        };
        assert_eq!(build(&events), build(&events));
        assert_ne!(build(&events), build(&events[1..]));
    }
}
