//! Deadlines that fired: each stage of a dispute's deadline once, not before its time, in the order of
//! time, each with its escalation.

use std::collections::HashMap;

use uuid::Uuid;

use crate::avro::Fields;
use crate::contract::{self, Topic};
use crate::error::Unreadable;
use crate::expect::key_of;
use crate::log::LogRecord;
use crate::report::{Check, Report};

use super::{Findings, Part};

/// A stage that fired.
#[derive(Debug)]
struct Fired {
    position: String,
    tenant: Box<str>,
    account_id: Box<str>,
    dispute_id: Box<str>,
    due_at: Option<i64>,
    fired_at: Option<i64>,
}

/// What a decision about a dispute says of it.
#[derive(Debug, PartialEq, Eq)]
struct Decided {
    tenant: Box<str>,
    account_id: Box<str>,
    dispute_id: Box<str>,
    event_time: Option<i64>,
}

/// What fired in one partition, and what may have.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// by the id of their escalations
    fired: HashMap<Uuid, Fired>,
    /// by the id of the decision
    disputes: HashMap<Uuid, Decided>,
}

impl Deadlines {
    /// Takes a decision down that may be about a dispute.
    pub(super) fn decided(&mut self, fields: &Fields) {
        if fields.text("kind") != "DISPUTE" {
            return;
        }
        if let Ok(id) = Uuid::parse_str(fields.text("decision_id")) {
            let decided = Decided {
                tenant: fields.text("tenant").into(),
                account_id: fields.text("account_id").into(),
                dispute_id: fields.text("subject_id").into(),
                event_time: fields.long("event_time"),
            };
            self.disputes.insert(id, decided);
        }
    }

    /// Reads what fired in the partition, where there is such a topic.
    pub(super) fn read(
        &mut self,
        part: &Part<'_, '_>,
        findings: &mut Findings,
    ) -> Result<(), Unreadable> {
        if !part.case.bounds.partitions.contains_key(&Topic::Fired) {
            return Ok(());
        }
        findings.report.ran(Check::Deadlines);
        // by dispute and how far it had come: the moment of the stage that fired last
        let mut last: HashMap<[Box<str>; 4], i64> = HashMap::new();
        part.each(Topic::Fired, findings, |record, findings| {
            findings.report.checked(Check::Deadlines, 1);
            let fault = match part.case.decode(&record) {
                Err(what) => Some(what),
                Ok(fields) => {
                    let fault =
                        self.take(&fields, &record).or_else(|| untimely(&fields, &mut last));
                    fault.map(|fault| format!("{}: {fault}", record.position()))
                }
            };
            if let Some(fault) = fault {
                findings.report.fail(Check::Deadlines, || fault);
            }
            Ok(())
        })
    }

    fn take(&mut self, fields: &Fields, record: &LogRecord) -> Option<String> {
        let names = ["tenant", "account_id", "dispute_id", "dispute_stage", "stage"];
        let id = contract::deadline_id(&names.map(|name| fields.text(name)));
        let fired = Fired {
            position: record.position(),
            tenant: fields.text("tenant").into(),
            account_id: fields.text("account_id").into(),
            dispute_id: fields.text("dispute_id").into(),
            due_at: fields.long("due_at"),
            fired_at: fields.long("fired_at"),
        };
        if let Some(before) = self.fired.insert(id, fired) {
            return Some(format!("the same stage has fired at {}", before.position));
        }
        let key = record.key.as_deref().map(String::from_utf8_lossy);
        let wanted = id.to_string();
        (key.as_deref() != Some(&*wanted)).then(|| format!("the key is {key:?}, expected {wanted}"))
    }

    /// Whether the escalation is that of a deadline, and the first thing that is wrong about it.
    pub(super) fn escalated(
        &mut self,
        fields: &Fields,
        record: &LogRecord,
    ) -> Option<Result<(), String>> {
        let id = Uuid::parse_str(fields.text("escalation_id")).ok()?;
        let fired = self.fired.remove(&id)?;
        let decided =
            Uuid::parse_str(fields.text("decision_id")).ok().and_then(|id| self.disputes.get(&id));
        let found = Decided {
            tenant: fields.text("tenant").into(),
            account_id: fields.text("account_id").into(),
            dispute_id: fields.text("subject_id").into(),
            event_time: fields.long("event_time"),
        };
        let key = key_of(&fired.tenant, &fired.account_id).into_bytes();
        let is_right = [
            (decided == Some(&found), "it repeats no decision about a dispute"),
            (found.tenant == fired.tenant, "tenant is another than of what fired"),
            (found.account_id == fired.account_id, "account_id is another than of what fired"),
            (found.dispute_id == fired.dispute_id, "subject_id is another than of what fired"),
            (fields.text("kind") == "DISPUTE", "kind is not DISPUTE"),
            (fields.text("outcome") == "REVIEW", "outcome is not REVIEW"),
            (fields.long("due_at") == fired.due_at, "due_at is another than of what fired"),
            (fields.long("created_at") == fired.fired_at, "created_at is not when it fired"),
            (record.key.as_ref() == Some(&key), "the key is not that of its account"),
        ];
        let wrong = is_right.into_iter().find(|(right, _)| !right);
        Some(wrong.map_or(Ok(()), |(_, fault)| Err(format!("{fault}, at {}", fired.position))))
    }

    /// What fired without an escalation.
    pub(super) fn settle(self, report: &mut Report) {
        let mut left: Vec<Fired> = self.fired.into_values().collect();
        left.sort_by(|a, b| a.position.cmp(&b.position));
        for fired in left {
            report.fail(Check::Deadlines, || {
                format!("{}: dispute {:?} has no escalation", fired.position, fired.dispute_id)
            });
        }
    }
}

/// Whether a stage that leaves so much time fired before its moment, or after a later one.
fn untimely(fields: &Fields, last: &mut HashMap<[Box<str>; 4], i64>) -> Option<String> {
    let (due_at, fired_at) = (fields.long("due_at")?, fields.long("fired_at")?);
    let stage = fields.text("stage");
    // a share of the time needs the dispute to be told
    let moment = match stage.ends_with('%') {
        true => return None,
        false => due_at.checked_sub(milliseconds(stage)?)?,
    };
    if fired_at < moment {
        return Some(format!("stage {stage} fired at {fired_at}, before its moment {moment}"));
    }
    let dispute = ["tenant", "account_id", "dispute_id", "dispute_stage"];
    let before = last.insert(dispute.map(|name| fields.text(name).into()), moment);
    let later = before.filter(|before| *before > moment)?;
    Some(format!("stage {stage} of {moment} fired after one of {later}"))
}

/// Of a text such as `48h`.
fn milliseconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}
