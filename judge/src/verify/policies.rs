//! What decisions say they were decided by: versions in order, each of them one policy, and a record of
//! `weir.control`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::avro::Fields;
use crate::contract::Topic;
use crate::error::Unreadable;
use crate::log::{Bounds, Log, LogRecord};
use crate::report::{Check, Report};

/// The versions that there have been: 0, and the offset behind each change.
#[derive(Debug)]
pub(super) struct Versions(BTreeSet<i64>);

impl Versions {
    /// Reads all changes; where there is no topic of them there have been none.
    pub(super) fn read(
        bounds: &Bounds,
        log: &dyn Log,
        report: &mut Report,
    ) -> Result<Versions, Unreadable> {
        let mut versions = BTreeSet::from([0]);
        if !bounds.partitions.contains_key(&Topic::Control) {
            return Ok(Versions(versions));
        }
        let (from, until) = (bounds.begin(Topic::Control, 0), bounds.end(Topic::Control, 0));
        for read in log.records(Topic::Control, 0, from, until) {
            match read? {
                Ok(record) => drop(versions.insert(record.offset + 1)),
                Err(damage) => report.fail(Check::Log, || damage),
            }
        }
        Ok(Versions(versions))
    }
}

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
        versions: &Versions,
        policies: &mut Policies,
        report: &mut Report,
    ) {
        report.checked(Check::Policies, 1);
        let Some(version) = fields.long("policy_version") else {
            report.fail(Check::Policies, || format!("{}: it has no version", record.position()));
            return;
        };
        if !versions.0.contains(&version) {
            report.fail(Check::Policies, || {
                let (at, offset) = (record.position(), version - 1);
                format!("{at}: version {version} is no change: weir.control has no record {offset}")
            });
        }
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
