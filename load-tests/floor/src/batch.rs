//! What one transaction will hold.

use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;
use crate::topics::INPUTS;

/// Where a record goes, and which bytes of the batch it is.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// index among the outputs
    pub topic: usize,
    /// the input's partition
    pub partition: i32,
    /// when it was made, milliseconds since 1970
    pub timestamp: i64,
    start: usize,
    split: usize,
    end: usize,
}

/// Outputs and positions; emptied and used again.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// input records in it
    pub taken: usize,
    /// next offset, by partition and input; -1: nothing was taken
    next: Vec<[i64; INPUTS.len()]>,
    /// input records by partition
    pub taken_of: Vec<usize>,
}

impl Batch {
    /// Counts an input record as taken.
    pub fn take(&mut self, topic: usize, partition: i32, offset: i64) {
        let partition = partition as usize;
        if partition >= self.next.len() {
            self.next.resize(partition + 1, [-1; INPUTS.len()]);
            self.taken_of.resize(partition + 1, 0);
        }
        self.next[partition][topic] = offset + 1;
        self.taken_of[partition] += 1;
        self.taken += 1;
    }

    /// Adds an output record; returns its payload, to be changed in place.
    pub fn push(
        &mut self,
        topic: usize,
        partition: i32,
        timestamp: i64,
        key: &[u8],
        payload: &[u8],
    ) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let split = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        let end = self.bytes.len();
        self.entries.push(Entry { topic, partition, timestamp, start, split, end });
        &mut self.bytes[split..]
    }

    /// Output bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Output records.
    pub fn records(&self) -> impl Iterator<Item = (Entry, &[u8], &[u8])> {
        self.entries.iter().map(|entry| {
            let (key, payload) = (entry.start..entry.split, entry.split..entry.end);
            (*entry, &self.bytes[key], &self.bytes[payload])
        })
    }

    /// How many output records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The positions to commit, one for each partition that was taken from.
    ///
    /// # Errors
    /// When an offset is no offset.
    pub fn positions(&self, inputs: &[String]) -> Result<TopicPartitionList, Failure> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in self.next.iter().enumerate() {
            for (topic, offset) in next.iter().enumerate().filter(|(_, offset)| **offset >= 0) {
                let offset = Offset::Offset(*offset);
                list.add_partition_offset(&inputs[topic], partition as i32, offset)?;
            }
        }
        Ok(list)
    }

    /// Keeps only the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.taken = 0;
        self.next.fill([-1; INPUTS.len()]);
        self.taken_of.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_commits_the_next_offset_of_what_it_took_from_and_is_empty_when_cleared() {
        let inputs: Vec<String> = INPUTS.iter().map(|name| (*name).to_owned()).collect();
        let mut batch = Batch::default();
        batch.take(4, 2, 10);
        batch.take(4, 2, 11);
        batch.take(0, 1, 5);
        batch.push(0, 2, 7, b"key", b"payload")[..3].copy_from_slice(b"PAY");
        let records: Vec<_> =
            batch.records().map(|(entry, k, p)| (entry.partition, k, p)).collect();
        assert_eq!(records, [(2, &b"key"[..], &b"PAYload"[..])]);
        assert_eq!((batch.taken, batch.len(), batch.bytes()), (3, 1, 10));
        let list = batch.positions(&inputs).unwrap();
        let positions: Vec<_> = list
            .elements()
            .iter()
            .map(|one| (one.topic().to_owned(), one.partition(), one.offset()))
            .collect();
        let expected = [
            ("labels".into(), 1, Offset::Offset(6)),
            ("transactions".into(), 2, Offset::Offset(12)),
        ];
        assert_eq!(positions, expected);
        batch.clear();
        assert_eq!((batch.taken, batch.len(), batch.bytes()), (0, 0, 0));
        assert_eq!(batch.positions(&inputs).unwrap().count(), 0);
    }
}
