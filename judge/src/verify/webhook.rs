//! Escalations against what the receiver of the webhooks wrote down, and against the deliveries.
//!
//! A delivery may come twice (the notifier is at-least-once) but never with another body, and a
//! receiver's yes may be lost on the way back, so an accepted delivery does not forbid a dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use rusqlite::Connection;
use uuid::Uuid;

use crate::cards;
use crate::contract::{NOTIFY, Topic};
use crate::error::Unreadable;
use crate::report::{Check, Report};

use super::{Case, Findings, IDENTIFIERS, Id, is_identifier, leak, shown};

/// What the receiver saw of one webhook id.
#[derive(Debug, Default)]
struct Received {
    accepted: u64,
    bodies: BTreeSet<String>,
}

/// Checks the log of the stub, and the `delivery` table if it is there.
pub(super) fn check(
    case: &Case<'_>,
    tables: Option<&Connection>,
    path: &Path,
    findings: &mut Findings,
) -> Result<(), Unreadable> {
    let mut report = std::mem::take(&mut findings.report);
    report.ran(Check::Webhooks);
    let received = read_log(path, &mut report)?;
    check_received(&received, findings, &mut report);
    match tables {
        Some(tables) => {
            let deliveries = read_deliveries(tables, &mut report)?;
            check_deliveries(case, &deliveries, &received, findings, &mut report);
        }
        None => check_reached(case, &received, findings, &mut report),
    }
    findings.report = report;
    Ok(())
}

fn read_log(path: &Path, report: &mut Report) -> Result<BTreeMap<String, Received>, Unreadable> {
    let unreadable = |source| Unreadable::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut received: BTreeMap<String, Received> = BTreeMap::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        let place = |what: &str| Unreadable::WebhookLine {
            path: path.to_owned(),
            line: at + 1,
            what: what.to_owned(),
        };
        let entry: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| place(&error.to_string()))?;
        let text = |name| entry.get(name).and_then(serde_json::Value::as_str);
        let status = entry.get("status").and_then(serde_json::Value::as_u64);
        let valid = entry.get("valid").and_then(serde_json::Value::as_bool);
        let (Some(status), Some(valid)) = (status, valid) else {
            return Err(place("expected id, status, valid and body_sha256"));
        };
        let id = text("id").unwrap_or_default();
        report.checked(Check::Webhooks, 1);
        if !valid {
            report.fail(Check::Webhooks, || {
                format!("{} line {}: {id} has no valid signature", shown(path), at + 1)
            });
        }
        if let Some(body) = text("body") {
            check_body(body, &format!("webhook {id}"), report);
        }
        let of_id = received.entry(id.to_owned()).or_default();
        of_id.accepted += u64::from((200..300).contains(&status));
        let hash = text("body_sha256").unwrap_or_default();
        of_id.bodies.insert(hash.to_owned());
    }
    Ok(received)
}

/// Bodies are there when the stub was told to keep them.
fn check_body(body: &str, place: &str, report: &mut Report) {
    report.checked(Check::CardNumbers, 1);
    let Ok(body) = serde_json::from_str::<serde_json::Value>(body) else {
        if let Some(card) = cards::find(body, &[]) {
            report.fail(Check::CardNumbers, || leak(place, "body", card));
        }
        return;
    };
    let mut known = Vec::new();
    let mut texts = Vec::new();
    each_json_text(&body, "body", &mut |name, text| match IDENTIFIERS.contains(&name)
        || is_identifier(name)
    {
        true => known.push(text),
        false => texts.push((name, text)),
    });
    for (name, text) in texts {
        if let Some(card) = cards::find(text, &known) {
            report.fail(Check::CardNumbers, || leak(place, name, card));
        }
    }
}

fn each_json_text<'v>(
    value: &'v serde_json::Value,
    name: &'v str,
    visit: &mut impl FnMut(&'v str, &'v str),
) {
    match value {
        serde_json::Value::String(text) => visit(name, text),
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| each_json_text(item, name, visit));
        }
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                each_json_text(value, name, visit);
            }
        }
        _ => {}
    }
}

fn check_received(received: &BTreeMap<String, Received>, findings: &Findings, report: &mut Report) {
    for (id, of_id) in received {
        let known = Uuid::parse_str(id).is_ok_and(|uuid| {
            uuid.to_string() == *id && findings.escalations.contains_key(uuid.as_bytes())
        });
        if !known {
            report.fail(Check::Webhooks, || {
                format!("webhook-id {id:?} is no escalation of the topic")
            });
        }
        if of_id.bodies.len() > 1 {
            report.fail(Check::Webhooks, || {
                format!("{id} was sent with {} different bodies", of_id.bodies.len())
            });
        }
    }
}

/// Statuses of the deliveries of an escalation, one a channel.
type Deliveries = BTreeMap<Id, Vec<String>>;

fn read_deliveries(tables: &Connection, report: &mut Report) -> Result<Deliveries, Unreadable> {
    let doing = "read deliveries";
    let prepared = tables.prepare("SELECT escalation_id, status FROM delivery");
    let mut statement = prepared.map_err(Unreadable::sqlite(doing))?;
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)));
    let mut deliveries = Deliveries::new();
    for row in rows.map_err(Unreadable::sqlite(doing))? {
        let (id, status) = row.map_err(Unreadable::sqlite(doing))?;
        match Id::try_from(id.as_slice()) {
            Ok(id) => deliveries.entry(id).or_default().push(status),
            Err(_) => {
                report.fail(Check::Webhooks, || "the id of a delivery is not 16 bytes".to_owned());
            }
        }
    }
    Ok(deliveries)
}

fn check_deliveries(
    case: &Case<'_>,
    deliveries: &Deliveries,
    received: &BTreeMap<String, Received>,
    findings: &Findings,
    report: &mut Report,
) {
    for id in deliveries.keys() {
        if !findings.escalations.contains_key(id) {
            report.fail(Check::Webhooks, || {
                let id = Uuid::from_bytes(*id);
                format!("delivery of {id}, which is no escalation of the topic")
            });
        }
    }
    each_escalation(case, received, findings, report, |id, accepted, dead, due| {
        let statuses = deliveries.get(id).map(Vec::as_slice).unwrap_or_default();
        delivery_faults(statuses, accepted, dead, due)
    });
}

/// Without the table what is left to prove is that each escalation had a receiver or was given up.
fn check_reached(
    case: &Case<'_>,
    received: &BTreeMap<String, Received>,
    findings: &Findings,
    report: &mut Report,
) {
    each_escalation(case, received, findings, report, |_, accepted, dead, due| {
        let lost = due && accepted == 0 && !dead;
        let fault = lost.then(|| "reached no receiver and has no dead letter".to_owned());
        fault.into_iter().collect()
    });
}

/// Asks for the faults of every escalation: its id, how often it was accepted, whether it has a dead
/// letter, and whether it is due.
fn each_escalation(
    case: &Case<'_>,
    received: &BTreeMap<String, Received>,
    findings: &Findings,
    report: &mut Report,
    faults: impl Fn(&Id, u64, bool, bool) -> Vec<String>,
) {
    let mut escalations: Vec<_> = findings.escalations.iter().collect();
    escalations.sort_by_key(|(_, stored)| (stored.partition, stored.offset));
    for (id, stored) in escalations {
        report.checked(Check::Webhooks, 1);
        let name = Uuid::from_bytes(*id).to_string();
        let (partition, offset) = (stored.partition, stored.offset);
        let committed = case.bounds.committed(NOTIFY, Topic::Escalations, partition);
        let due = !case.options.allow_behind || offset < committed;
        let dead = findings.undeliverable.contains(&(partition, offset));
        let accepted = received.get(&name).map_or(0, |of_id| of_id.accepted);
        for fault in faults(id, accepted, dead, due) {
            report.fail(Check::Webhooks, || {
                format!("{name}, escalations/{partition}@{offset}, {fault}")
            });
        }
    }
}

fn delivery_faults(statuses: &[String], accepted: u64, dead: bool, due: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let has = |wanted: &str| statuses.iter().any(|status| status == wanted);
    if statuses.is_empty() && due {
        faults.push("has no delivery".to_owned());
    }
    for status in statuses {
        if status != "delivered" && status != "undeliverable" {
            faults.push(format!("has status {status:?}"));
        }
    }
    if has("delivered") && accepted == 0 {
        faults.push("says delivered, but no receiver accepted it".to_owned());
    }
    if has("undeliverable") && !dead {
        faults.push("says undeliverable, but has no dead letter".to_owned());
    }
    if dead && !has("undeliverable") {
        faults.push("has a dead letter, but no delivery says undeliverable".to_owned());
    }
    faults
}
