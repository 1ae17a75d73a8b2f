//! What was counted since serving began, and how fast it grows.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{Kind, Outcome, Rollup};

/// Seconds of the rate that are shown.
const SECONDS: usize = 60;
/// Seconds that the headline rate is the mean of.
const RECENT: usize = 5;

/// Events per second of the wall clock, of the last minute.
#[derive(Clone, Debug)]
struct Rate {
    /// the second of the last entry
    second: i64,
    counts: [u64; SECONDS + 1],
}

impl Rate {
    fn new(now_ms: i64) -> Rate {
        Rate { second: now_ms.div_euclid(1_000), counts: [0; SECONDS + 1] }
    }

    /// Moves on to the second of `now_ms`; a clock set back counts on in the second it left.
    fn advance(&mut self, now_ms: i64) {
        let passed = now_ms.div_euclid(1_000) - self.second;
        if passed <= 0 {
            return;
        }
        self.second += passed;
        let shift = usize::try_from(passed).map_or(self.counts.len(), |n| n.min(self.counts.len()));
        self.counts.rotate_left(shift);
        let from = self.counts.len() - shift;
        self.counts[from..].fill(0);
    }

    fn add(&mut self, now_ms: i64, count: u64) {
        self.advance(now_ms);
        self.counts[SECONDS] += count;
    }

    /// Whole seconds, oldest first: the one under way is left out.
    fn seconds(&self) -> &[u64] {
        &self.counts[..SECONDS]
    }

    fn recent(&self, since_ms: i64) -> f64 {
        let lived = usize::try_from(self.second - since_ms.div_euclid(1_000)).unwrap_or(0);
        let span = lived.clamp(1, RECENT);
        let sum: u64 = self.counts[SECONDS - span..SECONDS].iter().sum();
        sum as f64 / span as f64
    }
}

/// The running totals.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    since_ms: i64,
    decisions: BTreeMap<Kind, BTreeMap<Outcome, u64>>,
    decided: Rate,
    shown: Rate,
    /// escalations made
    pub(super) escalations: u64,
    /// records given up
    pub(super) dead_letters: u64,
    /// stage and code of the one given up last
    pub(super) dead_letter_last: Option<(String, String)>,
    /// decisions or roll-ups that this build cannot read
    pub(super) unreadable: u64,
    /// input records that are not decided about yet
    pub(super) lag: Option<u64>,
    /// why the log cannot be read at the moment
    pub(super) trouble: Option<String>,
}

#[derive(Serialize)]
struct Json<'a> {
    since: i64,
    now: i64,
    decisions: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    per_second: f64,
    shown_per_second: f64,
    seconds: &'a [u64],
    escalations: u64,
    dead_letters: u64,
    dead_letter_last: Option<DeadLetterLast<'a>>,
    unreadable: u64,
    lag: Option<u64>,
    trouble: Option<&'a str>,
    not_ready: Vec<NotReady>,
}

#[derive(Serialize)]
struct DeadLetterLast<'a> {
    stage: &'a str,
    code: &'a str,
}

/// A part of the process that is not ready.
#[derive(Debug, Serialize)]
pub(super) struct NotReady {
    /// its name
    pub(super) part: String,
    /// why not
    pub(super) why: String,
}

impl Totals {
    pub(super) fn new(now_ms: i64) -> Totals {
        Totals {
            since_ms: now_ms,
            decisions: BTreeMap::new(),
            decided: Rate::new(now_ms),
            shown: Rate::new(now_ms),
            escalations: 0,
            dead_letters: 0,
            dead_letter_last: None,
            unreadable: 0,
            lag: None,
            trouble: None,
        }
    }

    /// Counts what a commit decided.
    pub(super) fn decided(&mut self, rollup: &Rollup, now_ms: i64) {
        for entry in &rollup.outcomes {
            let count = u64::try_from(entry.count).unwrap_or(0);
            let outcomes = self.decisions.entry(entry.kind).or_default();
            *outcomes.entry(entry.outcome).or_default() += count;
            self.decided.add(now_ms, count);
        }
    }

    /// Counts decisions that were shown.
    pub(super) fn shown(&mut self, count: usize, now_ms: i64) {
        self.shown.add(now_ms, count as u64);
    }

    /// The totals as JSON.
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub(super) fn json(
        &mut self,
        now_ms: i64,
        not_ready: Vec<NotReady>,
    ) -> Result<String, serde_json::Error> {
        self.decided.advance(now_ms);
        self.shown.advance(now_ms);
        // every kind and outcome is there from the beginning, so that a reader needs no defaults
        let decisions = Kind::SCORED.map(|kind| {
            let counted = self.decisions.get(&kind);
            let count = |outcome| {
                let counted = counted.and_then(|counted| counted.get(outcome));
                counted.copied().unwrap_or(0)
            };
            let outcomes = Outcome::ALL.iter().map(|o| (o.name(), count(o)));
            (kind.label(), outcomes.collect())
        });
        serde_json::to_string(&Json {
            since: self.since_ms,
            now: now_ms,
            decisions: decisions.into_iter().collect(),
            per_second: self.decided.recent(self.since_ms),
            shown_per_second: self.shown.recent(self.since_ms),
            seconds: self.decided.seconds(),
            escalations: self.escalations,
            dead_letters: self.dead_letters,
            dead_letter_last: self
                .dead_letter_last
                .as_ref()
                .map(|(stage, code)| DeadLetterLast { stage, code }),
            unreadable: self.unreadable,
            lag: self.lag,
            trouble: self.trouble.as_deref(),
            not_ready,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::{Millis, OutcomeCount};

    fn rollup(count: i64) -> Rollup {
        Rollup {
            outcomes: vec![OutcomeCount {
                minute: Millis(0),
                kind: Kind::Chat,
                outcome: Outcome::Review,
                count,
            }],
            rules: Vec::new(),
        }
    }

    fn json(totals: &mut Totals, now_ms: i64) -> Value {
        serde_json::from_str(&totals.json(now_ms, Vec::new()).unwrap()).unwrap()
    }

    #[test]
    fn every_kind_and_outcome_is_there_and_counts_add_up() {
        let mut totals = Totals::new(0);
        totals.decided(&rollup(3), 0);
        totals.decided(&rollup(4), 61_000);
        let json = json(&mut totals, 500_000);
        let kinds = json["decisions"].as_object().unwrap();
        assert_eq!(kinds.len(), 4);
        for (kind, outcomes) in kinds {
            assert_eq!(outcomes.as_object().unwrap().len(), 4, "{kind}");
        }
        let sum = |outcomes: &Value| {
            let counts = outcomes.as_object().unwrap().values();
            counts.map(|count| count.as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(kinds.values().map(sum).sum::<u64>(), 7);
        assert_eq!(json["decisions"]["chat"]["REVIEW"], 7);
    }

    #[test]
    fn the_rate_is_of_whole_seconds_and_forgets_after_a_minute() {
        let mut totals = Totals::new(0);
        totals.decided(&rollup(50), 10_500);
        let at = |totals: &mut Totals, now_ms| {
            let json = json(totals, now_ms);
            let seconds = json["seconds"].as_array().unwrap();
            assert_eq!(seconds.len(), SECONDS);
            let sum: u64 = seconds.iter().map(|count| count.as_u64().unwrap()).sum();
            (json["per_second"].as_f64().unwrap(), sum)
        };
        assert_eq!(at(&mut totals, 10_999), (0.0, 0), "still under way");
        assert_eq!(at(&mut totals, 11_000), (10.0, 50));
        assert_eq!(at(&mut totals, 15_999), (10.0, 50));
        assert_eq!(at(&mut totals, 16_000), (0.0, 50));
        assert_eq!(at(&mut totals, 70_999), (0.0, 50));
        assert_eq!(at(&mut totals, 71_000), (0.0, 0));
        assert_eq!(at(&mut totals, i64::MAX / 2), (0.0, 0));
    }

    #[test]
    fn the_rate_of_the_first_seconds_is_not_thinned_by_those_before() {
        let mut totals = Totals::new(0);
        totals.decided(&rollup(50), 100);
        assert_eq!(json(&mut totals, 1_000)["per_second"], 50.0);
        assert_eq!(json(&mut totals, 2_000)["per_second"], 25.0);
    }

    #[test]
    fn a_clock_set_back_loses_no_count() {
        let mut totals = Totals::new(100_000);
        totals.decided(&rollup(1), 100_000);
        totals.decided(&rollup(1), 40_000);
        let json = json(&mut totals, 101_000);
        assert_eq!(json["per_second"], 2.0);
        assert_eq!(json["decisions"]["chat"]["REVIEW"], 2);
    }
}
