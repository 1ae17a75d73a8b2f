//! A partition from end to end, for whoever looks at all of it.

use super::{Log, LogError, Record};
use crate::event::{Position, Topic};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// Visits the records of a partition from there up to `end`. Ends before where there are no more.
///
/// # Errors
/// When the partition cannot be read; or what `visit` says.
pub fn each_record<E: From<LogError>>(
    log: &dyn Log,
    mut from: Position,
    end: i64,
    mut visit: impl FnMut(&Record) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = log.reader()?;
    let mut records = Vec::new();
    while from.offset < end {
        let next = reader.read(from, end, READ_BYTES, &mut records)?;
        if next == from.offset {
            break;
        }
        from.offset = next;
        records.drain(..).try_for_each(|record| visit(&record))?;
    }
    Ok(())
}

/// Visits the records of a topic that are committed by now, partition by partition.
///
/// # Errors
/// As [`each_record`].
pub fn each_of_topic<E: From<LogError>>(
    log: &dyn Log,
    topic: Topic,
    mut visit: impl FnMut(&Record) -> Result<(), E>,
) -> Result<(), E> {
    for partition in 0..log.partitions(topic)? {
        let from = Position { topic, partition, offset: log.beginning(topic, partition)? };
        each_record(log, from, log.settled_end(topic, partition)?, &mut visit)?;
    }
    Ok(())
}
