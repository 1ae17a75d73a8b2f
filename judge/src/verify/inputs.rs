//! Inputs and dead letters of one partition: what each record must become, and what it became.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use crate::avro::{Fields, text};
use crate::cards;
use crate::contract::{SCORE, Topic};
use crate::error::Unreadable;
use crate::expect::{Identity, PANICKED, Refusal, Rings, UNKNOWN, admit, erased};
use crate::log::LogRecord;
use crate::report::{Check, Report};

use super::{Findings, Part, check_cards, leak};
use apache_avro::types::Value;

/// What a record must become.
#[derive(Debug)]
pub(super) enum Ending {
    Refused,
    Duplicate,
    Label,
    Panicked,
    /// its account is forgotten
    Tombstone,
    /// past the committed position
    Unread,
    Decision(Box<Identity>),
}

impl Ending {
    /// How many decisions and dead letters it demands.
    fn demands(&self) -> (u32, u32) {
        match self {
            Ending::Decision(_) => (1, 0),
            Ending::Refused | Ending::Panicked => (0, 1),
            Ending::Duplicate | Ending::Label | Ending::Tombstone | Ending::Unread => (0, 0),
        }
    }

    fn describe(&self) -> &'static str {
        match self {
            Ending::Decision(_) => "accepted",
            Ending::Refused => "to be refused",
            Ending::Panicked => "dead-lettered by a panic",
            Ending::Duplicate => "a duplicate",
            Ending::Label => "a label",
            Ending::Tombstone => "a tombstone",
            Ending::Unread => "past the committed position",
        }
    }
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) ending: Ending,
    pub(super) decisions: u32,
    dead_letters: u32,
}

/// The endings of all input records of a partition, by topic and offset.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    slots: HashMap<(Topic, i64), Slot>,
}

impl Ledger {
    pub(super) fn slot(&mut self, topic: Topic, offset: i64) -> Option<&mut Slot> {
        self.slots.get_mut(&(topic, offset))
    }

    /// Holds what was found against what was demanded.
    pub(super) fn settle(self, partition: u32, report: &mut Report) {
        report.checked(Check::Conservation, self.slots.len() as u64);
        let found = |slot: &Slot| (slot.decisions, slot.dead_letters);
        let mut wrong: Vec<_> =
            self.slots.iter().filter(|(_, slot)| found(slot) != slot.ending.demands()).collect();
        wrong.sort_by_key(|(place, _)| **place);
        for ((topic, offset), slot) in wrong {
            report.fail(Check::Conservation, || {
                let (decisions, letters) = slot.ending.demands();
                format!(
                    "{}/{partition}@{offset} is {}: found {} decisions and {} dead letters, \
                     expected {decisions} and {letters}",
                    topic.name(),
                    slot.ending.describe(),
                    slot.decisions,
                    slot.dead_letters,
                )
            });
        }
    }
}

/// A dead letter, reduced to what is checked.
#[derive(Debug)]
struct Letter {
    position: String,
    timestamp_ms: Option<i64>,
    stage: String,
    code: String,
    payload_hash: String,
    payload_bytes: Option<i64>,
    /// hash of the payload it carries
    carries: Option<u128>,
}

impl Letter {
    fn is(&self, refusal: Refusal) -> bool {
        self.stage == refusal.stage && self.code == refusal.code
    }

    /// The first thing that is wrong about a dead letter of `record`.
    fn fault(&self, record: &LogRecord, expected: Option<Refusal>) -> Option<String> {
        let hash = xxh3_128(&record.payload);
        let bytes = i64::try_from(record.payload.len()).ok();
        if let Some(refusal) = expected.filter(|refusal| !self.is(*refusal)) {
            let (stage, code) = (&self.stage, &self.code);
            return Some(format!("says {stage}/{code}, expected {refusal}"));
        }
        if self.timestamp_ms != Some(record.timestamp_ms) {
            let (found, wanted) = (self.timestamp_ms, record.timestamp_ms);
            return Some(format!("timestamp is {found:?}, expected {wanted}"));
        }
        if self.payload_hash != format!("{hash:032x}") {
            let found = &self.payload_hash;
            return Some(format!("payload_hash is {found}, expected {hash:032x}"));
        }
        if self.payload_bytes != bytes {
            let found = self.payload_bytes;
            return Some(format!("payload_bytes is {found:?}, expected {bytes:?}"));
        }
        if self.carries.is_some_and(|carried| carried != hash) {
            return Some("carries another payload than the record's".to_owned());
        }
        None
    }
}

/// The dead letters of a partition by the record they name.
#[derive(Debug, Default)]
pub(super) struct Letters {
    by_source: HashMap<(Topic, i64), Vec<Letter>>,
}

impl Letters {
    fn has(&self, record: &LogRecord, refusal: Refusal) -> bool {
        let letters = self.by_source.get(&(record.topic, record.offset));
        letters.is_some_and(|letters| letters.iter().any(|letter| letter.is(refusal)))
    }

    /// Takes out the dead letters that name `record`, checks them and says how many there were.
    pub(super) fn take(
        &mut self,
        record: &LogRecord,
        expected: Option<Refusal>,
        report: &mut Report,
    ) -> u32 {
        let Some(letters) = self.by_source.remove(&(record.topic, record.offset)) else {
            return 0;
        };
        for letter in &letters {
            if let Some(fault) = letter.fault(record, expected) {
                report.fail(Check::DeadLetters, || {
                    format!("{} about {}: {fault}", letter.position, record.position())
                });
            }
        }
        u32::try_from(letters.len()).unwrap_or(u32::MAX)
    }

    /// What is left names no record.
    pub(super) fn settle(self, report: &mut Report) {
        let mut left: Vec<_> = self.by_source.into_iter().collect();
        left.sort_by_key(|(place, _)| *place);
        for ((topic, offset), letters) in left {
            for letter in letters {
                report.fail(Check::DeadLetters, || {
                    let (at, topic) = (&letter.position, topic.name());
                    format!("{at} names {topic}@{offset}, which is not in this partition")
                });
            }
        }
    }
}

/// Reads the dead letters of the partition.
pub(super) fn read_dead_letters(
    part: &Part<'_, '_>,
    findings: &mut Findings,
) -> Result<Letters, Unreadable> {
    let mut letters = Letters::default();
    findings.report.ran(Check::DeadLetters);
    part.each(Topic::DeadLetters, findings, |record, findings| {
        let report = &mut findings.report;
        report.checked(Check::DeadLetters, 1);
        match part.case.decode(&record) {
            Err(what) => report.fail(Check::DeadLetters, || what),
            Ok(fields) => {
                check_cards(&fields, &record, report);
                check_carried(&fields, &record, report);
                file(part, &fields, &record, &mut letters, report);
            }
        }
        Ok(())
    })?;
    Ok(letters)
}

fn check_carried(fields: &Fields, record: &LogRecord, report: &mut Report) {
    if let Value::Bytes(payload) = fields.get("payload") {
        let payload = String::from_utf8_lossy(payload);
        if let Some(card) = cards::find(&payload, &[]) {
            report.fail(Check::CardNumbers, || leak(&record.position(), "payload", card));
        }
    }
}

fn file(
    part: &Part<'_, '_>,
    fields: &Fields,
    record: &LogRecord,
    letters: &mut Letters,
    report: &mut Report,
) {
    let name = text(fields.get("topic"));
    let topic = Topic::from_name(name);
    let topic = topic.filter(|of| Topic::INPUTS.contains(of) || *of == Topic::Escalations);
    let partition = fields.long("partition");
    let (Some(topic), Some(offset)) = (topic, fields.long("offset")) else {
        let what = format!("{} names topic {name:?}", record.position());
        return report.fail(Check::DeadLetters, || what);
    };
    if partition != Some(i64::from(part.partition)) {
        return report.fail(Check::DeadLetters, || {
            format!(
                "{} names {name}/{}@{offset}: it stands in another partition",
                record.position(),
                partition.unwrap_or(-1)
            )
        });
    }
    let letter = Letter {
        position: record.position(),
        timestamp_ms: fields.long("timestamp"),
        stage: fields.text("stage").to_owned(),
        code: fields.text("code").to_owned(),
        payload_hash: fields.text("payload_hash").to_owned(),
        payload_bytes: fields.long("payload_bytes"),
        carries: match fields.get("payload") {
            Value::Bytes(payload) => Some(xxh3_128(payload)),
            _ => None,
        },
    };
    let of_source = letters.by_source.entry((topic, offset)).or_default();
    of_source.push(letter);
}

/// Reads the inputs of the partition and says what each must become.
pub(super) fn read(
    part: &Part<'_, '_>,
    letters: &mut Letters,
    findings: &mut Findings,
) -> Result<Ledger, Unreadable> {
    let mut ledger = Ledger::default();
    for topic in Topic::INPUTS {
        let mut rings = Rings::new(part.case.options.horizon);
        let committed = part.case.bounds.committed(SCORE, topic, part.partition);
        // without --allow-behind an unread record is a lost one
        let judged = match part.case.options.allow_behind {
            true => committed,
            false => i64::MAX,
        };
        part.each(topic, findings, |record, findings| {
            let (ending, refusal) = match record.offset < judged {
                true => expect(part, &record, letters, &mut rings),
                false => (Ending::Unread, None),
            };
            count(topic, &ending, &mut findings.report);
            let slot = Slot {
                ending,
                decisions: 0,
                dead_letters: letters.take(&record, refusal, &mut findings.report),
            };
            ledger.slots.insert((topic, record.offset), slot);
            Ok(())
        })?;
    }
    Ok(ledger)
}

fn expect(
    part: &Part<'_, '_>,
    record: &LogRecord,
    letters: &Letters,
    rings: &mut Rings,
) -> (Ending, Option<Refusal>) {
    use crate::expect::Seen;
    let Some(decoder) = part.case.decoders.get(&record.topic) else {
        return (Ending::Unread, None);
    };
    if record.is_tombstone() {
        return match erased(record) {
            Err(refusal) => (Ending::Refused, Some(refusal)),
            Ok(_) if letters.has(record, PANICKED) => (Ending::Panicked, Some(PANICKED)),
            Ok(account) => {
                rings.forget(account);
                (Ending::Tombstone, None)
            }
        };
    }
    // once refused, for ever refused: only a requeued copy is decided about
    let fingerprint = decoder.fingerprint(&record.payload);
    let late = fingerprint.is_some_and(|fingerprint| part.case.schemas.is_late(&fingerprint));
    if late && letters.has(record, UNKNOWN) {
        return (Ending::Refused, Some(UNKNOWN));
    }
    let event = match admit(decoder, record) {
        Ok(event) => event,
        Err(refusal) => return (Ending::Refused, Some(refusal)),
    };
    let seen = rings.seen(&event, &record.payload);
    match seen {
        Seen::Same => (Ending::Duplicate, None),
        Seen::Other => (Ending::Refused, seen.refusal()),
        Seen::Never if letters.has(record, PANICKED) => (Ending::Panicked, Some(PANICKED)),
        Seen::Never => {
            rings.enter(&event, &record.payload);
            match record.topic {
                Topic::Labels => (Ending::Label, None),
                _ => (Ending::Decision(Box::new(event)), None),
            }
        }
    }
}

fn count(topic: Topic, ending: &Ending, report: &mut Report) {
    let endings = report.endings(topic);
    endings.records += 1;
    *match ending {
        Ending::Refused => &mut endings.refused,
        Ending::Duplicate => &mut endings.duplicates,
        Ending::Label => &mut endings.labels,
        Ending::Panicked => &mut endings.panicked,
        Ending::Tombstone => &mut endings.tombstones,
        Ending::Unread => &mut endings.unread,
        Ending::Decision(_) => &mut endings.decisions,
    } += 1;
}
