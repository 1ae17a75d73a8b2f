//! How far a state has read: the next offset of each partition of each topic.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::event::{Position, Topic};

/// Positions, at most one for each partition of a topic: the offset of the next record to apply. A
/// position that is absent counts as 0. In JSON an object: `{"transactions/2": 1041}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(BTreeMap<(Topic, u32), i64>);

impl Vector {
    /// Sets the position of its partition.
    pub fn set(&mut self, position: Position) {
        self.0.insert((position.topic, position.partition), position.offset);
    }

    /// The next offset of a partition, 0 where there is none.
    pub fn next(&self, topic: Topic, partition: u32) -> i64 {
        self.0.get(&(topic, partition)).copied().unwrap_or(0)
    }

    /// The positions, in the order of the topics.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = Position> {
        self.0.iter().map(|(&(topic, partition), &offset)| Position { topic, partition, offset })
    }

    /// Of each partition the lesser position of the two: where a replay begins that serves both. A
    /// partition that one of them has not is read from its beginning, and is absent.
    pub fn least(&self, other: &Vector) -> Vector {
        let both = self
            .0
            .iter()
            .filter_map(|(place, offset)| Some((*place, *offset.min(other.0.get(place)?))));
        Vector(both.collect())
    }

    /// Whether no position is ahead of the other's.
    pub fn is_at_most(&self, other: &Vector) -> bool {
        self.first_ahead(other).is_none()
    }

    /// A position that is ahead of the other's, if there is one.
    pub fn first_ahead(&self, other: &Vector) -> Option<Position> {
        self.positions().find(|at| at.offset > other.next(at.topic, at.partition))
    }
}

impl FromIterator<Position> for Vector {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Vector {
        let mut vector = Vector::default();
        positions.into_iter().for_each(|position| vector.set(position));
        vector
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, position) in self.positions().enumerate() {
            let separator = if i > 0 { ", " } else { "" };
            write!(f, "{separator}{position}")?;
        }
        f.write_str("]")
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = |at: Position| (format!("{}/{}", at.topic, at.partition), at.offset);
        serializer.collect_map(self.positions().map(place))
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vector, D::Error> {
        let positions = BTreeMap::<String, i64>::deserialize(deserializer)?.into_iter();
        positions
            .map(|(place, offset)| {
                let parse = || {
                    let (topic, partition) = place.rsplit_once('/')?;
                    let (topic, partition) = (Topic::from_name(topic)?, partition.parse().ok()?);
                    Some(Position { topic, partition, offset })
                };
                parse().ok_or_else(|| {
                    let expected = "a topic and a partition such as transactions/2";
                    D::Error::custom(format!("a position is of {place:?}, expected {expected}"))
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(positions: &[(Topic, u32, i64)]) -> Vector {
        let position = |&(topic, partition, offset)| Position { topic, partition, offset };
        positions.iter().map(position).collect()
    }

    #[test]
    fn what_is_absent_counts_as_nothing_read() {
        let none = Vector::default();
        let some = vector(&[(Topic::Chats, 0, 5), (Topic::Labels, 2, 1)]);
        assert!(none.is_at_most(&none) && none.is_at_most(&some) && some.is_at_most(&some));
        assert!(!some.is_at_most(&none));
        assert!(vector(&[(Topic::Chats, 1, 0)]).is_at_most(&none));
        assert_eq!(some.least(&none), none);
        let other = vector(&[(Topic::Chats, 0, 4), (Topic::Labels, 1, 9)]);
        assert_eq!(some.least(&other), vector(&[(Topic::Chats, 0, 4)]));
        assert_eq!(other.least(&some), some.least(&other));
        let ahead = Position { topic: Topic::Labels, partition: 2, offset: 1 };
        assert_eq!(some.first_ahead(&vector(&[(Topic::Chats, 0, 5)])), Some(ahead));
    }

    #[test]
    fn json_names_topics_and_refuses_those_it_does_not_know() {
        let some = vector(&[(Topic::DeadLetters, 0, 5), (Topic::Touches, 2, i64::MAX)]);
        let json = serde_json::to_string(&some).unwrap();
        assert_eq!(json, r#"{"dead-letters/0":5,"weir.touches/2":9223372036854775807}"#);
        assert_eq!(serde_json::from_str::<Vector>(&json).unwrap(), some);
        for wrong in [r#"{"payments/0":1}"#, r#"{"chats":1}"#, r#"{"chats/-1":1}"#] {
            let error = serde_json::from_str::<Vector>(wrong).unwrap_err().to_string();
            assert!(error.contains("expected a topic and a partition"), "{error}");
        }
        assert_eq!(some.to_string(), format!("[dead-letters/0@5, weir.touches/2@{}]", i64::MAX));
    }
}
