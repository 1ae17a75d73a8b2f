//! Batch ids: topic, partition and first offset in one integer, so that SQLite's own row order is
//! the order of the log. `topic << 55 | partition << 43 | offset`.

use crate::event::{Position, Topic};

const PARTITION_BITS: u32 = 12;
const OFFSET_BITS: u32 = 43;
const OFFSET_MASK: i64 = (1 << OFFSET_BITS) - 1;

/// Partitions a topic may have.
pub(super) const PARTITIONS_MAX: u32 = 1 << PARTITION_BITS;

const _: () = assert!(PARTITION_BITS + OFFSET_BITS + 8 == 63, "8 bits of topic below the sign");
const _: () = assert!(Topic::ALL.len() <= 256);

pub(super) fn topic_id(topic: Topic) -> i64 {
    topic as i64
}

pub(super) fn batch_id(position: Position) -> i64 {
    debug_assert!(position.partition < PARTITIONS_MAX, "{position}");
    topic_id(position.topic) << (PARTITION_BITS + OFFSET_BITS)
        | i64::from(position.partition) << OFFSET_BITS
        | position.offset & OFFSET_MASK
}

/// The ids of a partition: from the first, up to but not the second.
pub(super) fn partition_range(topic: Topic, partition: u32) -> (i64, i64) {
    let low = batch_id(Position { topic, partition, offset: 0 });
    (low, low + (1 << OFFSET_BITS))
}

pub(super) fn offset(batch_id: i64) -> i64 {
    batch_id & OFFSET_MASK
}
