//! Decisions and escalations of one partition.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::avro::{Fields, field, long, text};
use crate::contract::{self, Topic};
use crate::error::Unreadable;
use crate::expect::{Identity, UNDELIVERABLE, key_of};
use crate::log::LogRecord;
use crate::report::{Check, Report};

use super::compare::Alike;
use super::deadlines::Deadlines;
use super::inputs::{Ending, Ledger, Letters};
use super::policies::Order;
use super::store::{self, Stored};
use super::{Findings, Id, Part, check_cards, rollups};
use apache_avro::types::Value;

/// The escalation a decision demands.
#[derive(Debug)]
struct Wanted {
    decision: String,
    tenant: Box<str>,
    account_id: Box<str>,
    kind: Box<str>,
    subject_id: Box<str>,
    outcome: Box<str>,
    event_time: Option<i64>,
}

/// The escalations that decisions demand, by decision id. An id comes twice only when its event was
/// repeated beyond the horizon of dedupe; its escalations then follow in the same order.
#[derive(Debug, Default)]
pub(super) struct Demand {
    by_decision: HashMap<Box<str>, VecDeque<Wanted>>,
}

/// Reads the decisions of the partition.
pub(super) fn read_decisions(
    part: &Part<'_, '_>,
    ledger: &mut Ledger,
    alike: &mut Alike,
    findings: &mut Findings,
) -> Result<(Demand, Deadlines), Unreadable> {
    let mut demand = Demand::default();
    let mut deadlines = Deadlines::default();
    let mut order = Order::default();
    findings.report.ran(Check::Decisions);
    findings.report.ran(Check::Policies);
    part.each(Topic::Decisions, findings, |record, findings| {
        findings.report.checked(Check::Decisions, 1);
        match part.case.decode(&record) {
            Err(what) => findings.report.fail(Check::Decisions, || what),
            Ok(fields) => {
                if let Some(fault) = decision_fault(part, &fields, &record, ledger) {
                    findings
                        .report
                        .fail(Check::Decisions, || format!("{}: {fault}", record.position()));
                }
                check_cards(&fields, &record, &mut findings.report);
                let Findings { policies, report, .. } = &mut *findings;
                order.read(&fields, &record, &part.case.versions, policies, report);
                rollups::count_decision(&fields, &mut findings.recount);
                keep(&mut findings.decisions, &fields, &record);
                demand.add(&fields, &record);
                deadlines.decided(&fields);
                if let Some(other) = &part.case.other {
                    alike.add(other, Topic::Decisions, fields, record.offset);
                }
            }
        }
        Ok(())
    })?;
    Ok((demand, deadlines))
}

fn keep(stored: &mut HashMap<Id, Stored>, fields: &Fields, record: &LogRecord) {
    let (id, columns) = match record.topic {
        Topic::Decisions => (fields.text("decision_id"), store::decision_columns(fields)),
        _ => (fields.text("escalation_id"), store::escalation_columns(fields)),
    };
    if let Ok(id) = Uuid::parse_str(id) {
        let first = || Stored::new(record, &columns);
        stored.entry(*id.as_bytes()).or_insert_with(first);
    }
}

/// The first thing that is wrong about a decision.
fn decision_fault(
    part: &Part<'_, '_>,
    fields: &Fields,
    record: &LogRecord,
    ledger: &mut Ledger,
) -> Option<String> {
    let Value::Record(source) = fields.get("source") else {
        return Some("it has no source".to_owned());
    };
    let name = text(field(source, "topic"));
    let partition = long(field(source, "partition")).unwrap_or(-1);
    let offset = long(field(source, "offset")).unwrap_or(-1);
    let place = format!("{name}/{partition}@{offset}");
    if partition != i64::from(part.partition) {
        return Some(format!("it stands in another partition than its source {place}"));
    }
    let topic = Topic::from_name(name);
    let slot = topic.and_then(|topic| ledger.slot(topic, offset));
    let (Some(topic), Some(slot)) = (topic, slot) else {
        return Some(format!("its source {place} is not an input record"));
    };
    slot.decisions += 1;
    if slot.decisions > 1 {
        return Some(format!("its source {place} has {} decisions", slot.decisions));
    }
    let Ending::Decision(event) = &slot.ending else {
        return Some(format!("its source {place} is not an accepted event"));
    };
    let schema_id = long(field(source, "schema_id"));
    mismatch(fields, record, event, topic, schema_id)
        .map(|(what, found, wanted)| format!("{what} is {found}, expected {wanted} as in {place}"))
}

/// The first field that does not repeat its event: its name, its value and the right one.
fn mismatch(
    fields: &Fields,
    record: &LogRecord,
    event: &Identity,
    topic: Topic,
    schema_id: Option<i64>,
) -> Option<(&'static str, String, String)> {
    let kind = topic.kind().unwrap_or_default();
    let id = contract::decision_id(&event.tenant, kind, &event.account_id, &event.event_id);
    let texts = [
        ("event_id", &*event.event_id),
        ("tenant", &event.tenant),
        ("account_id", &event.account_id),
        ("kind", kind),
        ("subject_id", &event.subject_id),
        ("decision_id", &id.to_string()),
    ];
    for (name, wanted) in texts {
        let found = fields.text(name);
        if found != wanted {
            return Some((name, format!("{found:?}"), format!("{wanted:?}")));
        }
    }
    let numbers = [
        ("event_time", fields.long("event_time"), event.event_time),
        ("source.schema_id", schema_id, event.schema_id),
    ];
    for (name, found, wanted) in numbers {
        if found != Some(wanted) {
            return Some((name, format!("{found:?}"), wanted.to_string()));
        }
    }
    key_fault(record, &event.tenant, &event.account_id)
}

fn key_fault(
    record: &LogRecord,
    tenant: &str,
    account_id: &str,
) -> Option<(&'static str, String, String)> {
    let wanted = key_of(tenant, account_id);
    let found = record.key.as_deref().map(String::from_utf8_lossy);
    match found {
        Some(found) if found == wanted => None,
        found => Some(("the key", format!("{found:?}"), format!("{wanted:?}"))),
    }
}

impl Demand {
    fn add(&mut self, fields: &Fields, record: &LogRecord) {
        if !contract::escalates(fields.text("outcome")) {
            return;
        }
        let wanted = Wanted {
            decision: record.position(),
            tenant: fields.text("tenant").into(),
            account_id: fields.text("account_id").into(),
            kind: fields.text("kind").into(),
            subject_id: fields.text("subject_id").into(),
            outcome: fields.text("outcome").into(),
            event_time: fields.long("event_time"),
        };
        let of_id = self.by_decision.entry(fields.text("decision_id").into());
        of_id.or_default().push_back(wanted);
    }

    fn settle(self, report: &mut Report) {
        let left = self.by_decision.into_iter();
        let mut left: Vec<_> =
            left.flat_map(|(id, of_id)| of_id.into_iter().map(move |w| (id.clone(), w))).collect();
        left.sort_by(|a, b| a.1.decision.cmp(&b.1.decision));
        for (id, wanted) in left {
            report.fail(Check::Escalations, || {
                let (at, outcome) = (&wanted.decision, &wanted.outcome);
                format!("{at}, decision {id} with outcome {outcome}, has no escalation")
            });
        }
    }
}

/// Reads the escalations of the partition and holds them against the decisions.
pub(super) fn read_escalations(
    part: &Part<'_, '_>,
    (mut demand, mut deadlines): (Demand, Deadlines),
    letters: &mut Letters,
    alike: &mut Alike,
    findings: &mut Findings,
) -> Result<(), Unreadable> {
    deadlines.read(part, findings)?;
    findings.report.ran(Check::Escalations);
    part.each(Topic::Escalations, findings, |record, findings| {
        findings.report.checked(Check::Escalations, 1);
        if record.is_tombstone() {
            // for the owner of its account; nobody is told, and nobody gives it up
            if letters.take(&record, None, &mut findings.report) > 0 {
                findings.report.fail(Check::DeadLetters, || {
                    format!("{} is a tombstone and has a dead letter", record.position())
                });
            }
            return Ok(());
        }
        if letters.take(&record, Some(UNDELIVERABLE), &mut findings.report) > 0 {
            findings.undeliverable.insert((record.partition, record.offset));
        }
        match part.case.decode(&record) {
            Err(what) => findings.report.fail(Check::Escalations, || what),
            Ok(fields) => {
                let of_deadline = deadlines.escalated(&fields, &record);
                let is_of_deadline = of_deadline.is_some();
                let (check, fault) = match of_deadline {
                    Some(judged) => (Check::Deadlines, judged.err()),
                    None => (Check::Escalations, escalation_fault(&fields, &record, &mut demand)),
                };
                if let Some(fault) = fault {
                    findings.report.fail(check, || format!("{}: {fault}", record.position()));
                }
                check_cards(&fields, &record, &mut findings.report);
                keep(&mut findings.escalations, &fields, &record);
                // when a deadline fires is the clock's affair, not the input's
                if let Some(other) = part.case.other.as_ref().filter(|_| !is_of_deadline) {
                    alike.add(other, Topic::Escalations, fields, record.offset);
                }
            }
        }
        Ok(())
    })?;
    demand.settle(&mut findings.report);
    deadlines.settle(&mut findings.report);
    Ok(())
}

/// The first thing that is wrong about an escalation.
fn escalation_fault(fields: &Fields, record: &LogRecord, demand: &mut Demand) -> Option<String> {
    let decision_id = fields.text("decision_id");
    let of_id = demand.by_decision.get_mut(decision_id);
    let Some(wanted) = of_id.and_then(VecDeque::pop_front) else {
        return Some(format!(
            "no decision of this partition demands it, or another escalation answered \
             decision {decision_id} already"
        ));
    };
    let Ok(uuid) = Uuid::parse_str(decision_id) else {
        return Some(format!("decision_id {decision_id:?} is not a UUID"));
    };
    let texts = [
        ("escalation_id", &*contract::escalation_id(&uuid).to_string()),
        ("tenant", &wanted.tenant),
        ("account_id", &wanted.account_id),
        ("kind", &wanted.kind),
        ("subject_id", &wanted.subject_id),
        ("outcome", &wanted.outcome),
    ];
    for (name, wanted) in texts {
        let found = fields.text(name);
        if found != wanted {
            return Some(format!("{name} is {found:?}, expected {wanted:?}"));
        }
    }
    let found = fields.long("event_time");
    if found != wanted.event_time {
        let wanted = wanted.event_time;
        return Some(format!("event_time is {found:?}, expected {wanted:?}"));
    }
    key_fault(record, &wanted.tenant, &wanted.account_id)
        .map(|(what, found, wanted)| format!("{what} is {found}, expected {wanted}"))
}
