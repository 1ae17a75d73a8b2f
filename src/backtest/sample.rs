//! What measures are made of: decided events, and what became of them.

use crate::event::{Kind, Millis, Outcome};

/// One decided event and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// when the event happened
    pub time: Millis,
    /// kind of the event
    pub kind: Kind,
    /// number of the tenant and account, counted from 0 without gaps
    pub account: u32,
    /// what is at stake, in the minor unit of one currency; 0 where nothing is
    pub amount_minor: i64,
    /// 0..1, of what is live
    pub score: f64,
    /// what was decided
    pub outcome: Outcome,
    /// the rules that matched, as numbers in [`Names::rules`]
    pub rules: Vec<u16>,
    /// whether it was fraud; `None`: not known (yet)
    pub label: Option<bool>,
    /// what challengers said, in the order of [`Names::challengers`]; one that was not there yet is missing
    /// at the end
    pub challengers: Vec<Verdict>,
}

/// What a challenger said of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// what it would have decided
    pub outcome: Outcome,
    /// 0..1
    pub score: f64,
}

/// The names behind the numbers of a [`Sample`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Names {
    /// ids of the rules
    pub rules: Vec<String>,
    /// names of the challengers
    pub challengers: Vec<String>,
}
