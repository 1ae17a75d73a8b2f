//! What batches did to shared entities: of everything on that topic only the partition is fixed, and
//! every process relies on it when it tells whose touches it has.

use crate::contract::Topic;
use crate::error::Unreadable;
use crate::report::Check;

use super::{Findings, Part};

/// Reads the touches of the partition, where there are any.
pub(super) fn read(part: &Part<'_, '_>, findings: &mut Findings) -> Result<(), Unreadable> {
    if !part.case.bounds.partitions.contains_key(&Topic::Touches) {
        return Ok(());
    }
    findings.report.ran(Check::Touches);
    part.each(Topic::Touches, findings, |record, findings| {
        findings.report.checked(Check::Touches, 1);
        let fault = match part.case.decode(&record) {
            Err(what) => Some(what),
            Ok(fields) => {
                let found = fields.long("partition");
                let right = found == Some(i64::from(part.partition));
                (!right).then(|| {
                    let (at, expected) = (record.position(), part.partition);
                    format!("{at} says partition {}, expected {expected}", found.unwrap_or(-1))
                })
            }
        };
        if let Some(fault) = fault {
            findings.report.fail(Check::Touches, || fault);
        }
        Ok(())
    })
}
