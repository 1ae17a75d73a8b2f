//! What is known of events by the end of the data: whether they were fraud.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use crate::event::{Event, Kind, SubjectKind, Verdict};

/// Where labels come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Truth {
    /// a payment is fraud if the newest of the disputes and labels about it says so, whenever that
    /// arrives, and else is not; of other kinds only labels say anything
    #[default]
    Disputes,
    /// a column of the data says so, of all but disputes
    Column(String),
}

/// What an event says of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// [`subject`] of the other
    pub(super) of: u128,
    pub(super) time: i64,
    pub(super) verdict: Verdict,
}

/// The name under which what is said of an event meets it: unique among its account's of its kind.
pub(super) fn subject(account: &str, kind: Kind, id: &str) -> u128 {
    let mut name = Vec::with_capacity(account.len() + id.len() + 2);
    name.extend_from_slice(account.as_bytes());
    name.extend_from_slice(&[0, kind as u8]);
    name.extend_from_slice(id.as_bytes());
    xxh3_128(&name)
}

impl Said {
    /// What an event of the account `tenant/account_id` says, if it says anything.
    pub(super) fn by(event: &Event<'_>, account: &str) -> Option<Said> {
        let (kind, id, verdict) = match (event.says_of_payment(), event) {
            (Some((payment, verdict)), _) => (Kind::Transaction, payment, verdict),
            (None, Event::Label(label)) => {
                let kind = match label.subject_kind {
                    SubjectKind::Transaction => Kind::Transaction,
                    SubjectKind::Dispute => Kind::Dispute,
                    SubjectKind::Chat => Kind::Chat,
                    SubjectKind::Invoice => Kind::Invoice,
                };
                (kind, &*label.subject_id, label.verdict)
            }
            (None, _) => return None,
        };
        Some(Said { of: subject(account, kind, id), time: event.event_time().0, verdict })
    }
}

/// What is known of each event.
#[derive(Debug)]
pub(super) struct Known(HashMap<u128, (i64, Verdict)>);

impl Truth {
    /// What is known once all was heard; nothing where a column says it.
    pub(super) fn known(&self, said: Vec<Said>) -> Option<Known> {
        if *self != Truth::Disputes {
            return None;
        }
        let mut known: HashMap<u128, (i64, Verdict)> = HashMap::new();
        for Said { of, time, verdict } in said {
            let newest = known.entry(of).or_insert((time, verdict));
            // of equally old ones the same one counts that live would go by
            if (time, verdict as i64) > (newest.0, newest.1 as i64) {
                *newest = (time, verdict);
            }
        }
        Some(Known(known))
    }
}

impl Known {
    pub(super) fn label(&self, kind: Kind, subject: u128) -> Option<bool> {
        match self.0.get(&subject) {
            Some((_, verdict)) => Some(*verdict == Verdict::Fraud),
            None => (kind == Kind::Transaction).then_some(false),
        }
    }
}
