//! Touch records, written an event at a time.
//!
//! A batch's touches of one partition are one record whose events are not known before the batch is
//! full. Each event is encoded at once, as one item of the record's array, so that nothing of it has
//! to be kept: Avro writes an array as blocks, each its number of items and the items.

use std::sync::LazyLock;

use serde_avro_fast::Schema;
use serde_avro_fast::ser::SerializerConfig;
use serde_json::Value;

use super::Contract;
use super::encode::{EncodeError, Encoder};
use crate::event::{Millis, TouchEvent};

/// The schema of one event of a touch record.
static EVENT: LazyLock<Schema> = LazyLock::new(|| {
    #[allow(clippy::panic, reason = "the file is part of the program; a test reads it so")]
    fn item() -> Option<Schema> {
        let touch: Value = serde_json::from_str(Contract::Touch.text()).ok()?;
        let fields = touch.get("fields")?.as_array()?;
        let events = fields.iter().find(|field| field["name"] == "events")?;
        let mut item = events["type"]["items"].clone();
        item.as_object_mut()?.insert("namespace".into(), touch["namespace"].clone());
        item.to_string().parse().ok()
    }
    match item() {
        Some(schema) => schema,
        #[allow(clippy::panic, reason = "the file is part of the program; a test reads it so")]
        None => panic!("schemas/touch.avsc has no array of events"),
    }
});

/// Encodes the events of touch records. One per thread: it keeps the serializer's memory.
pub struct TouchEncoder {
    config: SerializerConfig<'static>,
}

impl Default for TouchEncoder {
    fn default() -> Self {
        TouchEncoder { config: SerializerConfig::new(&EVENT) }
    }
}

impl std::fmt::Debug for TouchEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TouchEncoder")
    }
}

impl TouchEncoder {
    /// Appends one event to `items`.
    ///
    /// # Errors
    /// When it does not fit the contract; `items` is then as it was.
    pub fn event(
        &mut self,
        event: &TouchEvent<'_>,
        items: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let before = items.len();
        match serde_avro_fast::to_datum(event, &mut *items, &mut self.config) {
            Ok(_) => Ok(()),
            Err(source) => {
                items.truncate(before);
                Err(EncodeError::new(Contract::Touch, source))
            }
        }
    }
}

impl Encoder {
    /// Appends a framed touch record of `count` events, as [`TouchEncoder::event`] wrote them.
    pub fn encode_touch(
        &self,
        partition: u32,
        decided_until: Millis,
        count: usize,
        items: &[u8],
        out: &mut Vec<u8>,
    ) {
        self.frame(Contract::Touch, out);
        zigzag(i64::from(partition), out);
        zigzag(decided_until.0, out);
        if count > 0 {
            zigzag(i64::try_from(count).unwrap_or(i64::MAX), out);
            out.extend_from_slice(items);
        }
        zigzag(0, out);
    }
}

/// Avro's int and long.
fn zigzag(value: i64, out: &mut Vec<u8>) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::decode_own;
    use crate::event::{Entity, Kind, Millis, Text, Touch, TouchedEntity};

    fn event(number: i64, amount: Option<i64>, ids: Vec<String>) -> TouchEvent<'static> {
        let entity = |id| TouchedEntity { entity: Entity::Terminal, id: Text::from(id) };
        TouchEvent {
            kind: Kind::Transaction,
            event_time: Millis(number),
            subject_id: Text::from(number.to_string()),
            account: Text::from("default/a"),
            amount_minor: amount,
            entities: ids.into_iter().map(entity).collect(),
            verdict: None,
            marks: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn a_record_written_in_pieces_reads_as_one(
            partition in 0..70_000_u32,
            decided_until in any::<i64>().prop_map(Millis),
            events in proptest::collection::vec(
                (any::<i64>(), any::<Option<i64>>(), proptest::collection::vec(".{0,40}", 0..4)),
                0..200,
            ),
        ) {
            let events: Vec<TouchEvent<'static>> =
                events.into_iter().map(|(number, amount, ids)| event(number, amount, ids)).collect();
            let (mut encoder, mut items) = (TouchEncoder::default(), Vec::new());
            for event in &events {
                encoder.event(event, &mut items).unwrap();
            }
            let mut record = Vec::new();
            Encoder::default().encode_touch(partition, decided_until, events.len(), &items, &mut record);
            let partition = i32::try_from(partition).unwrap();
            let read: Touch<'_> = decode_own(Contract::Touch, &record).unwrap();
            prop_assert_eq!(read, Touch { partition, decided_until, events: events.clone() });
            // and the other way: the reference encoding of the same is read alike
            let mut whole = Vec::new();
            Encoder::default().encode(Contract::Touch, &Touch { partition, decided_until, events }, &mut whole).unwrap();
            prop_assert_eq!(
                decode_own::<Touch<'_>>(Contract::Touch, &whole).unwrap(),
                decode_own::<Touch<'_>>(Contract::Touch, &record).unwrap()
            );
        }
    }
}
