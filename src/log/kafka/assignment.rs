//! Which partitions a member owns whole.
//!
//! The worker needs a partition of every topic it reads before it can begin with that partition.
//! Under the classic protocol they come and go together; under the consumer protocol the broker may
//! hand them over topic by topic.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Topic;

/// What a member owns.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    /// topics of a whole partition
    topics: BTreeSet<Topic>,
    owned: BTreeMap<u32, BTreeSet<Topic>>,
    /// partitions that were announced as whole
    whole: BTreeSet<u32>,
}

impl Assignment {
    pub(super) fn new(topics: &[Topic]) -> Assignment {
        Assignment { topics: topics.iter().copied().collect(), ..Assignment::default() }
    }

    /// Adds what was assigned; returns the partitions that have become whole by it.
    pub(super) fn add(&mut self, added: &[(Topic, u32)]) -> Vec<u32> {
        for (topic, partition) in added {
            self.owned.entry(*partition).or_default().insert(*topic);
        }
        let mut whole = Vec::new();
        for (partition, topics) in &self.owned {
            if *topics == self.topics && self.whole.insert(*partition) {
                whole.push(*partition);
            }
        }
        whole
    }

    /// Takes away what was revoked; returns the partitions that are whole no more.
    pub(super) fn remove(&mut self, removed: &[(Topic, u32)]) -> Vec<u32> {
        let mut broken = BTreeSet::new();
        for (topic, partition) in removed {
            if let Some(topics) = self.owned.get_mut(partition) {
                topics.remove(topic);
                if topics.is_empty() {
                    self.owned.remove(partition);
                }
            }
            if self.whole.remove(partition) {
                broken.insert(*partition);
            }
        }
        broken.into_iter().collect()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.owned.clear();
        self.whole.clear();
    }

    /// Partitions owned for some topics only, with how many.
    pub(super) fn partial(&self) -> Vec<(u32, usize)> {
        let partial = |(partition, topics): (&u32, &BTreeSet<Topic>)| {
            (*topics != self.topics).then_some((*partition, topics.len()))
        };
        self.owned.iter().filter_map(partial).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Topic = Topic::Chats;
    const B: Topic = Topic::Labels;

    #[test]
    fn a_partition_is_whole_once_with_its_last_topic() {
        let mut assignment = Assignment::new(&[A, B]);
        assert_eq!(assignment.add(&[(A, 0), (B, 0), (A, 1)]), [0]);
        assert_eq!(assignment.partial(), [(1, 1)]);
        assert_eq!(assignment.add(&[(B, 1)]), [1]);
        assert_eq!(assignment.add(&[]), [0_u32; 0]);
        assert_eq!(assignment.partial(), []);
    }

    #[test]
    fn a_partition_that_loses_a_topic_is_broken_once_and_may_come_back() {
        let mut assignment = Assignment::new(&[A, B]);
        assignment.add(&[(A, 0), (B, 0), (A, 1), (B, 1)]);
        assert_eq!(assignment.remove(&[(B, 1)]), [1]);
        assert_eq!(assignment.remove(&[(A, 1)]), [0_u32; 0]);
        assert_eq!(assignment.add(&[(A, 1), (B, 1)]), [1]);
        assignment.clear();
        assert_eq!(assignment.add(&[(A, 0), (B, 0)]), [0]);
    }
}
