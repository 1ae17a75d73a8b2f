//! What happens: five kinds of event, as `schemas/*.avsc` describe them. Field by field docs, units
//! and allowed values stand there; a test holds names and order of both equal.

use serde::{Deserialize, Serialize};

use super::{Date, Millis, Text, Topic};

/// The five kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// a payment's step
    Transaction,
    /// a contested payment
    Dispute,
    /// a message of a support conversation
    Chat,
    /// a bill or an expense claim
    Invoice,
    /// a verdict on an earlier event
    Label,
}

impl Kind {
    /// The kinds that get a decision.
    pub const SCORED: [Kind; 4] = [Kind::Transaction, Kind::Dispute, Kind::Chat, Kind::Invoice];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Transaction => "TRANSACTION",
            Kind::Dispute => "DISPUTE",
            Kind::Chat => "CHAT",
            Kind::Invoice => "INVOICE",
            Kind::Label => "LABEL",
        }
    }

    /// The name in files, metrics and on the screen.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Transaction => "transaction",
            Kind::Dispute => "dispute",
            Kind::Chat => "chat",
            Kind::Invoice => "invoice",
            Kind::Label => "label",
        }
    }

    /// The kind of that file name, see [`Kind::label`].
    pub fn from_label(label: &str) -> Option<Kind> {
        [Kind::Transaction, Kind::Dispute, Kind::Chat, Kind::Invoice, Kind::Label]
            .into_iter()
            .find(|kind| kind.label() == label)
    }

    /// The topic its events are published to.
    pub fn topic(self) -> Topic {
        match self {
            Kind::Transaction => Topic::Transactions,
            Kind::Dispute => Topic::Disputes,
            Kind::Chat => Topic::Chats,
            Kind::Invoice => Topic::Invoices,
            Kind::Label => Topic::Labels,
        }
    }
}

fn default_tenant() -> Text<'static> {
    Text::from("default")
}

fn default_chat_channel() -> Text<'static> {
    Text::from("web")
}

/// How the payment was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum Channel {
    Pos,
    Ecom,
    Atm,
    Moto,
    Transfer,
    /// also stands for symbols that a newer producer may add
    #[serde(other)]
    Other,
}

impl Channel {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pos => "POS",
            Self::Ecom => "ECOM",
            Self::Atm => "ATM",
            Self::Moto => "MOTO",
            Self::Transfer => "TRANSFER",
            Self::Other => "OTHER",
        }
    }
}

/// How far the payment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum TransactionStatus {
    Requested,
    Authorized,
    Declined,
    Captured,
    Refunded,
    Failed,
}

impl TransactionStatus {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Authorized => "AUTHORIZED",
            Self::Declined => "DECLINED",
            Self::Captured => "CAPTURED",
            Self::Refunded => "REFUNDED",
            Self::Failed => "FAILED",
        }
    }
}

/// One step in the life of a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the contract of the same name")]
pub struct Transaction<'a> {
    #[serde(borrow)]
    pub event_id: Text<'a>,
    pub event_time: Millis,
    #[serde(default = "default_tenant")]
    pub tenant: Text<'a>,
    pub account_id: Text<'a>,
    pub transaction_id: Text<'a>,
    #[serde(default, alias = "card_token")]
    pub card_id: Option<Text<'a>>,
    pub merchant_id: Text<'a>,
    #[serde(default)]
    pub terminal_id: Option<Text<'a>>,
    pub amount_minor: i64,
    pub currency: Text<'a>,
    #[serde(default)]
    pub mcc: Option<Text<'a>>,
    pub channel: Channel,
    #[serde(default)]
    pub entry_mode: Option<Text<'a>>,
    #[serde(default)]
    pub country: Option<Text<'a>>,
    #[serde(default)]
    pub lat: Option<f64>,
    #[serde(default)]
    pub lon: Option<f64>,
    #[serde(default)]
    pub device_id: Option<Text<'a>>,
    #[serde(default)]
    pub ip: Option<Text<'a>>,
    #[serde(default)]
    pub email_hash: Option<Text<'a>>,
    #[serde(default)]
    pub beneficiary_id: Option<Text<'a>>,
    pub status: TransactionStatus,
    #[serde(default)]
    pub decline_code: Option<Text<'a>>,
    #[serde(default)]
    pub recurring: bool,
}

/// Card network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum Network {
    Visa,
    Mastercard,
    Amex,
    Discover,
    /// also stands for symbols that a newer producer may add
    #[serde(other)]
    Other,
}

impl Network {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Visa => "VISA",
            Self::Mastercard => "MASTERCARD",
            Self::Amex => "AMEX",
            Self::Discover => "DISCOVER",
            Self::Other => "OTHER",
        }
    }
}

/// How far the dispute has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum DisputeStage {
    EarlyWarning,
    Inquiry,
    Chargeback,
    PreArbitration,
    Won,
    Lost,
    Accepted,
}

impl DisputeStage {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::EarlyWarning => "EARLY_WARNING",
            Self::Inquiry => "INQUIRY",
            Self::Chargeback => "CHARGEBACK",
            Self::PreArbitration => "PRE_ARBITRATION",
            Self::Won => "WON",
            Self::Lost => "LOST",
            Self::Accepted => "ACCEPTED",
        }
    }
}

/// A payer contests a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the contract of the same name")]
pub struct Dispute<'a> {
    #[serde(borrow)]
    pub event_id: Text<'a>,
    pub event_time: Millis,
    #[serde(default = "default_tenant")]
    pub tenant: Text<'a>,
    pub account_id: Text<'a>,
    pub dispute_id: Text<'a>,
    pub transaction_id: Text<'a>,
    pub network: Network,
    pub reason_code: Text<'a>,
    pub amount_minor: i64,
    pub currency: Text<'a>,
    pub opened_at: Millis,
    #[serde(default)]
    pub due_by: Option<Millis>,
    pub stage: DisputeStage,
    #[serde(default)]
    pub merchant_id: Option<Text<'a>>,
    #[serde(default)]
    pub terminal_id: Option<Text<'a>>,
    #[serde(default, alias = "card_token")]
    pub card_id: Option<Text<'a>>,
    #[serde(default)]
    pub device_id: Option<Text<'a>>,
    #[serde(default)]
    pub ip: Option<Text<'a>>,
    #[serde(default)]
    pub transaction_time: Option<Millis>,
    #[serde(default)]
    pub narrative: Option<Text<'a>>,
}

/// Who wrote the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum Author {
    Customer,
    Bot,
    Agent,
}

impl Author {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Bot => "BOT",
            Self::Agent => "AGENT",
        }
    }
}

/// One message of a support conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the contract of the same name")]
pub struct Chat<'a> {
    #[serde(borrow)]
    pub event_id: Text<'a>,
    pub event_time: Millis,
    #[serde(default = "default_tenant")]
    pub tenant: Text<'a>,
    pub account_id: Text<'a>,
    pub conversation_id: Text<'a>,
    pub message_id: Text<'a>,
    pub author: Author,
    #[serde(alias = "message")]
    pub text: Text<'a>,
    #[serde(default = "default_chat_channel")]
    pub channel: Text<'a>,
    #[serde(default)]
    pub language: Option<Text<'a>>,
    #[serde(default)]
    pub bot_confidence: Option<f64>,
    #[serde(default)]
    pub bot_intent: Option<Text<'a>>,
}

/// What the document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum InvoiceKind {
    Invoice,
    ExpenseClaim,
    CreditNote,
}

impl InvoiceKind {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoice => "INVOICE",
            Self::ExpenseClaim => "EXPENSE_CLAIM",
            Self::CreditNote => "CREDIT_NOTE",
        }
    }
}

/// One line of the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the contract of the same name")]
pub struct InvoiceLine<'a> {
    #[serde(borrow)]
    pub description: Text<'a>,
    pub quantity: f64,
    pub unit_price_minor: i64,
    pub amount_minor: i64,
}

/// A bill, an expense claim or a credit note to be paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the contract of the same name")]
pub struct Invoice<'a> {
    #[serde(borrow)]
    pub event_id: Text<'a>,
    pub event_time: Millis,
    #[serde(default = "default_tenant")]
    pub tenant: Text<'a>,
    pub account_id: Text<'a>,
    pub invoice_id: Text<'a>,
    pub kind: InvoiceKind,
    #[serde(default)]
    pub vendor_id: Option<Text<'a>>,
    #[serde(default)]
    pub vendor_name: Option<Text<'a>>,
    #[serde(default)]
    pub employee_id: Option<Text<'a>>,
    pub number: Text<'a>,
    pub issued_on: Date,
    #[serde(default)]
    pub due_on: Option<Date>,
    pub amount_minor: i64,
    pub currency: Text<'a>,
    #[serde(default)]
    pub bank_account_hash: Option<Text<'a>>,
    #[serde(default)]
    pub purchase_order: Option<Text<'a>>,
    #[serde(default)]
    pub category: Option<Text<'a>>,
    #[serde(default)]
    pub lines: Vec<InvoiceLine<'a>>,
    #[serde(default)]
    pub document_sha256: Option<Text<'a>>,
}

/// Kind of the event a label is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum SubjectKind {
    Transaction,
    Dispute,
    Chat,
    Invoice,
}

impl SubjectKind {
    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transaction => "TRANSACTION",
            Self::Dispute => "DISPUTE",
            Self::Chat => "CHAT",
            Self::Invoice => "INVOICE",
        }
    }
}

/// What became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum Verdict {
    Fraud,
    Genuine,
    FirstParty,
    /// also stands for symbols that a newer producer may add
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// The verdict of that symbol.
    pub fn from_name(name: &str) -> Option<Verdict> {
        [Self::Fraud, Self::Genuine, Self::FirstParty, Self::Unknown]
            .into_iter()
            .find(|verdict| verdict.name() == name)
    }

    /// The symbol on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fraud => "FRAUD",
            Self::Genuine => "GENUINE",
            Self::FirstParty => "FIRST_PARTY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What became known about an earlier event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the contract of the same name")]
pub struct Label<'a> {
    #[serde(borrow)]
    pub event_id: Text<'a>,
    pub event_time: Millis,
    #[serde(default = "default_tenant")]
    pub tenant: Text<'a>,
    pub account_id: Text<'a>,
    pub subject_kind: SubjectKind,
    pub subject_id: Text<'a>,
    pub verdict: Verdict,
    pub source: Text<'a>,
    #[serde(default)]
    pub note: Option<Text<'a>>,
}

/// One event of any kind, borrowing from the record it was read from.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the five kinds")]
pub enum Event<'a> {
    Transaction(Transaction<'a>),
    Dispute(Dispute<'a>),
    Chat(Chat<'a>),
    Invoice(Invoice<'a>),
    Label(Label<'a>),
}

macro_rules! common {
    ($(#[$doc:meta])* $name:ident: $ty:ty) => {
        $(#[$doc])*
        pub fn $name(&self) -> $ty {
            match self {
                Event::Transaction(event) => &event.$name,
                Event::Dispute(event) => &event.$name,
                Event::Chat(event) => &event.$name,
                Event::Invoice(event) => &event.$name,
                Event::Label(event) => &event.$name,
            }
        }
    };
}

impl Event<'_> {
    common!(
        /// Unique per tenant, kind and account.
        event_id: &str
    );
    common!(
        /// Whose event this is.
        tenant: &str
    );
    common!(
        /// The account it is about.
        account_id: &str
    );

    /// When it happened.
    pub fn event_time(&self) -> Millis {
        match self {
            Event::Transaction(event) => event.event_time,
            Event::Dispute(event) => event.event_time,
            Event::Chat(event) => event.event_time,
            Event::Invoice(event) => event.event_time,
            Event::Label(event) => event.event_time,
        }
    }

    /// Which of the five it is.
    pub fn kind(&self) -> Kind {
        match self {
            Event::Transaction(_) => Kind::Transaction,
            Event::Dispute(_) => Kind::Dispute,
            Event::Chat(_) => Kind::Chat,
            Event::Invoice(_) => Kind::Invoice,
            Event::Label(_) => Kind::Label,
        }
    }

    /// The id people know it by: of the payment, the dispute, the message, the invoice, or of what
    /// a label is about.
    pub fn subject_id(&self) -> &str {
        match self {
            Event::Transaction(event) => &event.transaction_id,
            Event::Dispute(event) => &event.dispute_id,
            Event::Chat(event) => &event.message_id,
            Event::Invoice(event) => &event.invoice_id,
            Event::Label(event) => &event.subject_id,
        }
    }

    /// The record's key: tenant/account_id.
    pub fn key(&self) -> String {
        format!("{}/{}", self.tenant(), self.account_id())
    }
}
