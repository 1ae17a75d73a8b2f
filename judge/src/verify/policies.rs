//! What decisions say they were decided by: versions in order, and each version one policy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::avro::Fields;
use crate::log::LogRecord;
use crate::report::{Check, Report};

/// The policy of each version, and a decision that names both.
#[derive(Debug, Default)]
pub(super) struct Policies(BTreeMap<i64, (Box<str>, String)>);

/// The decisions of one partition, in their order.
#[derive(Debug, Default)]
pub(super) struct Order {
    version: i64,
}

impl Order {
    /// The next decision.
    pub(super) fn read(
        &mut self,
        fields: &Fields,
        record: &LogRecord,
        policies: &mut Policies,
        report: &mut Report,
    ) {
        report.checked(Check::Policies, 1);
        let Some(version) = fields.long("policy_version") else {
            report.fail(Check::Policies, || format!("{}: it has no version", record.position()));
            return;
        };
        if version < self.version {
            let before = self.version;
            report.fail(Check::Policies, || {
                format!("{}: version {version} comes after {before}", record.position())
            });
        }
        self.version = self.version.max(version);
        policies.add(version, fields.text("policy").into(), || record.position(), report);
    }
}

impl Policies {
    fn add(
        &mut self,
        version: i64,
        policy: Box<str>,
        position: impl FnOnce() -> String,
        report: &mut Report,
    ) {
        match self.0.entry(version) {
            Entry::Vacant(vacant) => {
                vacant.insert((policy, position()));
            }
            Entry::Occupied(known) if known.get().0 == policy => {}
            Entry::Occupied(known) => {
                let (other, at) = known.get();
                report.fail(Check::Policies, || {
                    format!(
                        "{}: version {version} is policy {policy}, at {at} it is {other}",
                        position()
                    )
                });
            }
        }
    }

    /// Those of another partition too.
    pub(super) fn merge(&mut self, other: Policies, report: &mut Report) {
        for (version, (policy, position)) in other.0 {
            self.add(version, policy, || position, report);
        }
    }
}
