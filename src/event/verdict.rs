//! What an event says of an earlier payment: that it was fraud, or was not.

use super::{DisputeStage, Event, Network, SubjectKind, Verdict};

impl Event<'_> {
    /// Which payment this event says something of, and what: a dispute for a fraud reason makes its
    /// payment fraud from its first stage on that moves money or warns of it, and genuine once it is
    /// won; a label says so itself.
    pub fn says_of_payment(&self) -> Option<(&str, Verdict)> {
        match self {
            Event::Label(label) if label.subject_kind == SubjectKind::Transaction => {
                Some((&label.subject_id, label.verdict))
            }
            Event::Dispute(dispute) if is_fraud_reason(dispute.network, &dispute.reason_code) => {
                let verdict = match dispute.stage {
                    DisputeStage::Inquiry => return None,
                    DisputeStage::Won => Verdict::Genuine,
                    _ => Verdict::Fraud,
                };
                Some((&dispute.transaction_id, verdict))
            }
            _ => None,
        }
    }

    /// The payment that this event says something of, and what; where there is none, what it is about.
    pub fn speaks_of(&self) -> (&str, Option<Verdict>) {
        match self.says_of_payment() {
            Some((payment, verdict)) => (payment, Some(verdict)),
            None => (self.subject_id(), None),
        }
    }
}

/// Whether a network's reason code stands for "the cardholder did not make this payment".
fn is_fraud_reason(network: Network, code: &str) -> bool {
    let is_code = match network {
        Network::Visa => code.starts_with("10."),
        Network::Mastercard => ["4837", "4840", "4849", "4863", "4870", "4871"].contains(&code),
        Network::Amex => ["F10", "F14", "F22", "F24", "F29", "F30", "F31"].contains(&code),
        Network::Discover => code.starts_with("UA") || ["UD", "AA"].contains(&code),
        Network::Other => false,
    };
    is_code || code.to_ascii_lowercase().contains("fraud")
}
