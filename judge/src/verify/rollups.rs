//! Roll-ups: what commits say they decided, against a recount of the decisions.

use std::collections::{BTreeSet, HashMap};

use crate::avro::{Fields, field, long, text};
use crate::contract::Topic;
use crate::error::Unreadable;
use crate::report::Check;

use super::{Findings, Part};

const MINUTE_MS: i64 = 60_000;

/// What is counted: decisions by outcome (`rule` is empty) or hits by rule (`outcome` is empty).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) minute: i64,
    pub(super) kind: Box<str>,
    pub(super) outcome: Box<str>,
    pub(super) rule: Box<str>,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, name) = match self.rule.is_empty() {
            true => ("outcome", &self.outcome),
            false => ("rule", &self.rule),
        };
        write!(f, "minute {}, {}, {what} {name}", self.minute, self.kind)
    }
}

pub(super) type Counts = HashMap<Entry, i64>;

pub(super) fn merge(into: &mut Counts, from: Counts) {
    for (entry, count) in from {
        *into.entry(entry).or_default() += count;
    }
}

/// Counts a decision: once for its outcome, once for each rule that gave reasons.
pub(super) fn count_decision(fields: &Fields, counts: &mut Counts) {
    let decided_at = fields.long("decided_at").unwrap_or_default();
    let minute = decided_at - decided_at.rem_euclid(MINUTE_MS);
    let entry = |outcome: &str, rule: &str| Entry {
        minute,
        kind: fields.text("kind").into(),
        outcome: outcome.into(),
        rule: rule.into(),
    };
    *counts.entry(entry(fields.text("outcome"), "")).or_default() += 1;
    let rules: BTreeSet<&str> =
        fields.records("reasons").map(|reason| text(field(reason, "rule"))).collect();
    for rule in rules {
        *counts.entry(entry("", rule)).or_default() += 1;
    }
}

/// Reads the roll-ups of the partition.
pub(super) fn read(part: &Part<'_, '_>, findings: &mut Findings) -> Result<(), Unreadable> {
    findings.report.ran(Check::Rollups);
    part.each(Topic::Rollups, findings, |record, findings| {
        match part.case.decode(&record) {
            Err(what) => findings.report.fail(Check::Rollups, || what),
            Ok(fields) => {
                let counts = counts_of(&fields);
                for (entry, count) in counts.iter().filter(|(_, count)| **count <= 0) {
                    findings.report.fail(Check::Rollups, || {
                        format!("{}: {entry} is counted {count} times", record.position())
                    });
                }
                let place = (record.partition, record.offset);
                findings.rollups.insert(place, counts);
            }
        }
        Ok(())
    })
}

fn counts_of(fields: &Fields) -> Counts {
    let mut counts = Counts::new();
    for (list, with_rule) in [("outcomes", false), ("rules", true)] {
        for item in fields.records(list) {
            let named = |name| Box::from(text(field(item, name)));
            let entry = Entry {
                minute: long(field(item, "minute")).unwrap_or_default(),
                kind: named("kind"),
                outcome: if with_rule { "".into() } else { named("outcome") },
                rule: if with_rule { named("rule") } else { "".into() },
            };
            *counts.entry(entry).or_default() += long(field(item, "count")).unwrap_or_default();
        }
    }
    counts
}

/// Holds the sums of all roll-ups against the recount.
pub(super) fn check_sums(findings: &mut Findings) {
    let mut sums = Counts::new();
    for counts in findings.rollups.values() {
        merge(&mut sums, counts.clone());
    }
    let report = &mut findings.report;
    report.checked(Check::Rollups, sums.len() as u64);
    for (entry, found, wanted) in differences(&sums, &findings.recount) {
        report.fail(Check::Rollups, || {
            format!("{entry}: the roll-ups say {found}, the decisions {wanted}")
        });
    }
}

/// Entries whose counts differ, with both counts, in order.
pub(super) fn differences<'a>(found: &'a Counts, wanted: &'a Counts) -> Vec<(&'a Entry, i64, i64)> {
    let mut entries: Vec<&Entry> = found.keys().chain(wanted.keys()).collect();
    entries.sort_unstable();
    entries.dedup();
    let count = |counts: &Counts, entry| counts.get(entry).copied().unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| (entry, count(found, entry), count(wanted, entry)))
        .filter(|(_, found, wanted)| found != wanted)
        .collect()
}
