//! Determinism: the decisions of two runs must be the same to the byte, wall clocks aside.
//!
//! Records are matched by what they are about (a decision by its source, an escalation by its
//! decision), and compared as they encode with the clocks set to zero. On a cluster they must also
//! follow one another alike: not at the same offsets, since markers of transactions lie between.

use std::collections::HashMap;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use xxhash_rust::xxh3::xxh3_128;

use crate::avro::{Fields, field, long, text};
use crate::contract::Topic;
use crate::error::Unreadable;
use crate::log::{Bounds, Log, LogRecord, Place};
use crate::report::{Check, Report};
use crate::schemas::Schemas;

use super::Part;

/// The run compared with.
pub(super) struct Other<'s> {
    /// what it is, for messages
    name: String,
    in_order: bool,
    pub(super) bounds: Bounds,
    decision: GenericDatumWriter<'s>,
    escalation: GenericDatumWriter<'s>,
}

impl<'s> Other<'s> {
    pub(super) fn new(
        place: &Place,
        log: &dyn Log,
        schemas: &'s Schemas,
    ) -> Result<Other<'s>, Unreadable> {
        let (name, in_order) = match place {
            Place::Folder(_) => ("the other folder".to_owned(), false),
            Place::Cluster(cluster) => (format!("prefix {:?}", cluster.prefix), true),
        };
        Ok(Other {
            name,
            in_order,
            bounds: log.bounds()?,
            decision: schemas.writer(Topic::Decisions)?,
            escalation: schemas.writer(Topic::Escalations)?,
        })
    }
}

/// Hash of a record without clocks, and its offset, by what it is about.
#[derive(Debug, Default)]
struct Known {
    by_subject: HashMap<u128, (u128, i64)>,
    /// most records about one subject
    repeats: u32,
}

impl Known {
    fn add(&mut self, subject: &str, hash: u128, offset: i64) {
        let mut nth = 0;
        while self.by_subject.contains_key(&key(subject, nth)) {
            nth += 1;
        }
        self.by_subject.insert(key(subject, nth), (hash, offset));
        self.repeats = self.repeats.max(nth);
    }

    /// Takes the first record about the subject that was not taken yet.
    fn take(&mut self, subject: &str) -> Option<(u128, i64)> {
        (0..=self.repeats).find_map(|nth| self.by_subject.remove(&key(subject, nth)))
    }
}

fn key(subject: &str, nth: u32) -> u128 {
    xxh3_128(format!("{subject}#{nth}").as_bytes())
}

/// The decisions and escalations of one partition of the run under judgement.
#[derive(Debug, Default)]
pub(super) struct Alike {
    decisions: Known,
    escalations: Known,
}

impl Alike {
    pub(super) fn add(&mut self, other: &Other<'_>, topic: Topic, fields: Fields, offset: i64) {
        let subject = subject(topic, &fields);
        let hash = hash(other, topic, fields);
        match topic {
            Topic::Decisions => self.decisions.add(&subject, hash, offset),
            _ => self.escalations.add(&subject, hash, offset),
        }
    }
}

/// What a record is about.
fn subject(topic: Topic, fields: &Fields) -> String {
    match (topic, fields.get("source")) {
        (Topic::Decisions, Value::Record(source)) => format!(
            "{}/{}@{}",
            text(field(source, "topic")),
            long(field(source, "partition")).unwrap_or(-1),
            long(field(source, "offset")).unwrap_or(-1)
        ),
        _ => fields.text("decision_id").to_owned(),
    }
}

fn hash(other: &Other<'_>, topic: Topic, mut fields: Fields) -> u128 {
    stop_clocks(topic, &mut fields);
    let writer = match topic {
        Topic::Decisions => &other.decision,
        _ => &other.escalation,
    };
    let value = Value::Record(fields.0);
    let mut bytes = Vec::new();
    match writer.write_value_ref(&mut bytes, &value) {
        Ok(_) => xxh3_128(&bytes),
        // a record that was read encodes again; if not, its text tells it apart as well
        Err(_) => xxh3_128(format!("{value:?}").as_bytes()),
    }
}

fn stop_clocks(topic: Topic, fields: &mut Fields) {
    for (name, value) in &mut fields.0 {
        match (topic, name.as_str()) {
            (Topic::Decisions, "decided_at") | (Topic::Escalations, "created_at") => {
                *value = Value::TimestampMillis(0);
            }
            (Topic::Decisions, "profile_age_ms") | (Topic::Escalations, "due_at") => {
                *value = Value::Union(0, Box::new(Value::Null));
            }
            _ => {}
        }
    }
}

/// Holds one partition of the other run against this one's.
pub(super) fn check(
    part: &Part<'_, '_>,
    other: &Other<'_>,
    log: &dyn Log,
    mut alike: Alike,
    report: &mut Report,
) -> Result<(), Unreadable> {
    let decisions = (Topic::Decisions, Check::CompareDecisions);
    check_topic(part, other, log, decisions, &mut alike.decisions, report)?;
    let escalations = (Topic::Escalations, Check::CompareEscalations);
    check_topic(part, other, log, escalations, &mut alike.escalations, report)
}

fn check_topic(
    part: &Part<'_, '_>,
    other: &Other<'_>,
    log: &dyn Log,
    (topic, check): (Topic, Check),
    known: &mut Known,
    report: &mut Report,
) -> Result<(), Unreadable> {
    report.ran(check);
    let from = other.bounds.begin(topic, part.partition);
    let until = other.bounds.end(topic, part.partition);
    let name = &other.name;
    let mut before = -1;
    for read in log.records(topic, part.partition, from, until) {
        let read = read?;
        if let Ok(record) = &read {
            if record.is_tombstone() {
                continue;
            }
            part.case.learn(record)?;
        }
        let decoded = read.and_then(|record| Ok((part.case.decode(&record)?, record)));
        let (fields, record) = match decoded {
            Ok(decoded) => decoded,
            Err(what) => {
                report.fail(check, || format!("{name}: {what}"));
                continue;
            }
        };
        report.checked(check, 1);
        let subject = subject(topic, &fields);
        let Some((mine, offset)) = known.take(&subject) else {
            report.fail(check, || format!("{subject} is only in {name}"));
            continue;
        };
        if other.in_order && offset < before {
            report.fail(check, || {
                let (topic, partition) = (topic.name(), part.partition);
                format!(
                    "{subject} stands at {topic}/{partition}@{offset}, before {before}; in {name} \
                     it comes after that one"
                )
            });
        }
        before = before.max(offset);
        if mine != hash(other, topic, fields.clone()) {
            let what = explain(part, other, &record, fields, offset)?;
            report.fail(check, || format!("{subject}: {what}"));
        }
    }
    let mut left: Vec<i64> = known.by_subject.values().map(|(_, at)| *at).collect();
    left.sort_unstable();
    for offset in left {
        report.fail(check, || {
            let (topic, partition) = (topic.name(), part.partition);
            format!("{topic}/{partition}@{offset} is not in {name}")
        });
    }
    Ok(())
}

/// Names the first field that differs.
fn explain(
    part: &Part<'_, '_>,
    other: &Other<'_>,
    theirs: &LogRecord,
    mut their_fields: Fields,
    offset: i64,
) -> Result<String, Unreadable> {
    let mut records = part.log.records(theirs.topic, part.partition, offset, offset + 1);
    let mine = records.next().transpose()?;
    let Some(Ok(mut my_fields)) = mine.and_then(Result::ok).map(|r| part.case.decode(&r)) else {
        return Ok("differs".to_owned());
    };
    stop_clocks(theirs.topic, &mut my_fields);
    stop_clocks(theirs.topic, &mut their_fields);
    let mut pairs = my_fields.0.iter().zip(&their_fields.0);
    let differing = pairs.find(|(mine, theirs)| format!("{mine:?}") != format!("{theirs:?}"));
    Ok(match differing {
        Some(((name, mine), (_, theirs))) => {
            format!("{name} is {}, in {} {}", short(mine), other.name, short(theirs))
        }
        None => "differs".to_owned(),
    })
}

fn short(value: &Value) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
