//! What was checked, how often it did not hold, and examples of where.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::contract::Topic;

/// Examples kept of each check.
pub const EXAMPLES_MAX: usize = 20;

macro_rules! checks {
    ($($variant:ident = $name:literal, $claim:literal;)*) => {
        /// One thing the judge proves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each has its claim")]
        pub enum Check { $($variant,)* }

        impl Check {
            /// Every check, in the order of the report.
            pub const ALL: &'static [Check] = &[$(Check::$variant,)*];

            /// The name in the report.
            pub fn name(self) -> &'static str {
                match self { $(Check::$variant => $name,)* }
            }

            /// What holds when it does not fail.
            pub fn claim(self) -> &'static str {
                match self { $(Check::$variant => $claim,)* }
            }
        }
    };
}

checks! {
    Log = "log", "the topics are whole and equally partitioned, and every batch can be taken apart";
    Positions = "positions", "each group has read its topics to the end";
    Conservation = "conservation", "each input record ended once, as its bytes and the ring of its account demand";
    DeadLetters = "dead_letters", "each dead letter names its record and the right stage and code";
    Decisions = "decisions", "each decision has one accepted source and repeats its ids";
    Policies = "policies", "within a partition versions of what decides never step back; each is one policy, and a change on weir.control";
    Escalations = "escalations", "one escalation for each REVIEW or BLOCK, none otherwise";
    Deadlines = "deadlines", "each stage of a deadline fired once, not early, in order, with its escalation";
    Rollups = "rollups", "the roll-ups add up to a recount of the decisions";
    Touches = "touches", "each touch stands in the partition of the input that caused it";
    StoreDecisions = "store_decisions", "each decision id is stored once, byte for byte";
    StoreEscalations = "store_escalations", "each escalation id is stored once, byte for byte";
    StoreRollups = "store_rollups", "stored roll-ups equal the topic's, position by position";
    Webhooks = "webhooks", "each escalation reached its receiver or is dead-lettered";
    CardNumbers = "card_numbers", "no card number stands in what weir wrote";
    CompareDecisions = "compare_decisions", "both runs decided alike";
    CompareEscalations = "compare_escalations", "both runs escalated alike";
}

#[derive(Clone, Debug, Default)]
struct Tally {
    ran: bool,
    checked: u64,
    failed: u64,
    examples: Vec<String>,
    /// why it did not run, though it belongs to the whole
    skipped: Option<&'static str>,
}

/// What the records of one input topic became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    /// all of them
    pub records: u64,
    /// got a decision
    pub decisions: u64,
    /// were applied as labels
    pub labels: u64,
    /// repeat an earlier record
    pub duplicates: u64,
    /// were refused
    pub refused: u64,
    /// panicked, in place of a decision or a label
    pub panicked: u64,
    /// asked for their account to be forgotten
    pub tombstones: u64,
    /// are not read yet
    pub unread: u64,
}

impl Endings {
    fn add(&mut self, other: &Endings) {
        self.records += other.records;
        self.decisions += other.decisions;
        self.labels += other.labels;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.panicked += other.panicked;
        self.tombstones += other.tombstones;
        self.unread += other.unread;
    }
}

/// The findings so far.
#[derive(Clone, Debug)]
pub struct Report {
    tallies: Vec<Tally>,
    endings: BTreeMap<Topic, Endings>,
}

impl Default for Report {
    fn default() -> Self {
        Report { tallies: vec![Tally::default(); Check::ALL.len()], endings: BTreeMap::new() }
    }
}

impl Report {
    /// Says that the check applies, even if it finds nothing to look at.
    pub fn ran(&mut self, check: Check) {
        self.tallies[check as usize].ran = true;
    }

    /// Counts things looked at.
    pub fn checked(&mut self, check: Check, count: u64) {
        let tally = &mut self.tallies[check as usize];
        tally.ran = true;
        tally.checked += count;
    }

    /// Counts a failure; the example is only made when there is room for it.
    pub fn fail(&mut self, check: Check, example: impl FnOnce() -> String) {
        let tally = &mut self.tallies[check as usize];
        tally.ran = true;
        tally.failed += 1;
        if tally.examples.len() < EXAMPLES_MAX {
            tally.examples.push(example());
        }
    }

    /// Says that a check cannot be made, and why.
    pub fn skip(&mut self, check: Check, why: &'static str) {
        self.tallies[check as usize].skipped = Some(why);
    }

    /// What became of the records of an input topic.
    pub fn endings(&mut self, topic: Topic) -> &mut Endings {
        self.endings.entry(topic).or_default()
    }

    /// Adds the findings of another part of the log.
    pub fn merge(&mut self, other: Report) {
        for (mine, theirs) in self.tallies.iter_mut().zip(other.tallies) {
            mine.ran |= theirs.ran;
            mine.checked += theirs.checked;
            mine.failed += theirs.failed;
            let room = EXAMPLES_MAX.saturating_sub(mine.examples.len());
            mine.examples.extend(theirs.examples.into_iter().take(room));
        }
        for (topic, endings) in &other.endings {
            self.endings.entry(*topic).or_default().add(endings);
        }
    }

    /// Whether every check that ran holds.
    pub fn holds(&self) -> bool {
        self.tallies.iter().all(|tally| tally.failed == 0)
    }

    fn rows(&self) -> impl Iterator<Item = (Check, &Tally)> {
        let rows = Check::ALL.iter().copied().zip(&self.tallies);
        rows.filter(|(_, tally)| tally.ran)
    }

    fn skipped(&self) -> impl Iterator<Item = (Check, &'static str)> {
        let all = Check::ALL.iter().zip(&self.tallies);
        all.filter_map(|(check, tally)| tally.skipped.map(|why| (*check, why)))
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        self.write_endings(&mut out);
        self.write_examples(&mut out);
        self.write_checks(&mut out);
        let all = self.rows().count();
        let failed = self.rows().filter(|(_, tally)| tally.failed > 0).count();
        let _ = match failed {
            0 => writeln!(out, "\nall {all} checks hold"),
            _ => writeln!(out, "\n{failed} of {all} checks do not hold"),
        };
        out
    }

    fn write_endings(&self, out: &mut String) {
        let head = [
            "records",
            "decisions",
            "labels",
            "duplicates",
            "refused",
            "panicked",
            "tombstones",
            "unread",
        ];
        let _ = write!(out, "{:<14}", "topic");
        let _ = writeln!(out, "{}", head.map(|name| format!(" {name:>10}")).concat());
        for (topic, e) in &self.endings {
            let row = [
                e.records,
                e.decisions,
                e.labels,
                e.duplicates,
                e.refused,
                e.panicked,
                e.tombstones,
                e.unread,
            ];
            let _ = write!(out, "{:<14}", topic.name());
            let _ = writeln!(out, "{}", row.map(|count| format!(" {count:>10}")).concat());
        }
    }

    fn write_examples(&self, out: &mut String) {
        for (check, tally) in self.rows().filter(|(_, tally)| tally.failed > 0) {
            let _ = writeln!(out, "\n{} does not hold: {}", check.name(), check.claim());
            for example in &tally.examples {
                let _ = writeln!(out, "  {example}");
            }
            let more = tally.failed - tally.examples.len() as u64;
            if more > 0 {
                let _ = writeln!(out, "  and {more} more");
            }
        }
    }

    fn write_checks(&self, out: &mut String) {
        let _ =
            writeln!(out, "\n{:<20} {:>10} {:>8}  what it proves", "check", "checked", "failed");
        for (check, tally) in self.rows() {
            let (name, claim) = (check.name(), check.claim());
            let (checked, failed) = (tally.checked, tally.failed);
            let _ = writeln!(out, "{name:<20} {checked:>10} {failed:>8}  {claim}");
        }
        for (check, why) in self.skipped() {
            let _ = writeln!(out, "{:<20} {:>10} {:>8}  {why}", check.name(), "skipped", "");
        }
    }

    /// The report for scripts.
    pub fn json(&self) -> serde_json::Value {
        let checks: Vec<_> = self
            .rows()
            .map(|(check, tally)| {
                json!({
                    "name": check.name(),
                    "claim": check.claim(),
                    "checked": tally.checked,
                    "failed": tally.failed,
                    "examples": tally.examples,
                })
            })
            .collect();
        let topics: serde_json::Map<_, _> = self
            .endings
            .iter()
            .map(|(topic, e)| {
                let counts = json!({
                    "records": e.records,
                    "decisions": e.decisions,
                    "labels": e.labels,
                    "duplicates": e.duplicates,
                    "refused": e.refused,
                    "panicked": e.panicked,
                    "tombstones": e.tombstones,
                    "unread": e.unread,
                });
                (topic.name().to_owned(), counts)
            })
            .collect();
        let skipped: Vec<_> = self
            .skipped()
            .map(|(check, why)| json!({ "name": check.name(), "why": why }))
            .collect();
        let holds = self.holds();
        json!({ "holds": holds, "checks": checks, "skipped": skipped, "topics": topics })
    }
}
