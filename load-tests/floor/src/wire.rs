//! As much of the framing and of Avro as a measurement needs: the first fields of a record. Written
//! from `schemas/`, where every event begins with `event_id` and `event_time`, and a decision with
//! `decision_id`, `event_id`, `event_time`, `tenant`, `account_id` and `kind`.

/// Bytes before the body: single-object encoding, or Confluent's framing with a registry.
fn frame_len(payload: &[u8]) -> Option<usize> {
    match payload {
        [0xc3, 0x01, ..] if payload.len() >= 10 => Some(10),
        [0, ..] if payload.len() >= 5 => Some(5),
        _ => None,
    }
}

/// A zigzag variable-length long, and what follows it.
fn long(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((
                (value >> 1).cast_signed() ^ -(value & 1).cast_signed(),
                &bytes[index + 1..],
            ));
        }
    }
    None
}

fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut left = (value << 1 ^ value >> 63).cast_unsigned();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A string, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = long(bytes)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// The first fields of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionHead<'a> {
    /// its id, as text
    pub decision_id: &'a [u8],
    /// number of the kind in the schema: transaction, dispute, chat, invoice
    pub kind: usize,
}

/// Reads the first fields of a decision; `None` if it is none.
pub fn decision(payload: &[u8]) -> Option<DecisionHead<'_>> {
    let (decision_id, rest) = text(&payload[frame_len(payload)?..])?;
    let (_, rest) = text(rest)?;
    let (_, rest) = long(rest)?;
    let (_, rest) = text(rest)?;
    let (_, rest) = text(rest)?;
    let (kind, _) = long(rest)?;
    Some(DecisionHead { decision_id, kind: usize::try_from(kind).ok()? })
}

/// The second text of a record: the decision that an escalation is about.
pub fn second_text(payload: &[u8]) -> Option<&[u8]> {
    let (_, rest) = text(&payload[frame_len(payload)?..])?;
    Some(text(rest)?.0)
}

/// Numbers events through their ids: `f`, the run, and a number that fills the id that was there, so
/// that a record keeps its size.
#[derive(Clone, Copy, Debug)]
pub struct Numbering {
    run: u32,
}

impl Numbering {
    const MARK: usize = 9;
    const DIGITS: usize = 10;

    /// Ids that differ from those of every other run begun in another millisecond.
    pub fn new(now_ms: i64) -> Numbering {
        Numbering { run: now_ms as u32 }
    }

    /// Writes `event` into `out` with an id made of `number` and another time; false if it is no
    /// event.
    pub fn stamp(self, event: &[u8], number: u64, event_time: i64, out: &mut Vec<u8>) -> bool {
        let stamped = || {
            let frame = frame_len(event)?;
            let (id, rest) = text(&event[frame..])?;
            let (_, rest) = long(rest)?;
            Some((frame, id.len(), rest))
        };
        let Some((frame, id_len, rest)) = stamped() else { return false };
        let width = id_len.saturating_sub(Self::MARK).max(Self::DIGITS);
        out.clear();
        out.extend_from_slice(&event[..frame]);
        put_long((Self::MARK + width) as i64, out);
        // writing to a vector cannot fail
        let _ = std::io::Write::write_fmt(out, format_args!("f{:08x}{number:0width$}", self.run));
        put_long(event_time, out);
        out.extend_from_slice(rest);
        true
    }

    /// The number in a decision, or in a payload that begins with an event's bytes; `None` if
    /// another run sent it.
    pub fn number(self, output: &[u8]) -> Option<u64> {
        let (first, rest) = text(&output[frame_len(output)?..])?;
        self.parse(first).or_else(|| self.parse(text(rest)?.0))
    }

    fn parse(self, id: &[u8]) -> Option<u64> {
        let id = std::str::from_utf8(id).ok()?.strip_prefix('f')?;
        let (run, number) = id.split_at_checked(8)?;
        if u32::from_str_radix(run, 16) != Ok(self.run) {
            return None;
        }
        number.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_text(text: &str, out: &mut Vec<u8>) {
        put_long(text.len() as i64, out);
        out.extend_from_slice(text.as_bytes());
    }

    fn event(id: &str) -> Vec<u8> {
        let mut event = vec![0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        put_text(id, &mut event);
        put_long(1_700_000_000_000, &mut event);
        put_text("default", &mut event);
        put_text("acct-1", &mut event);
        event
    }

    #[test]
    fn longs_come_back() {
        for value in [0, -1, 1, 63, 64, -64, -65, 1_700_000_000_000, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_long(value, &mut bytes);
            assert_eq!(long(&bytes), Some((value, &[][..])), "{value}");
        }
    }

    #[test]
    fn a_stamped_event_carries_its_number_and_keeps_its_size() {
        let numbering = Numbering::new(1_763_000_000_123);
        let event = event("0123456789abcdef0123456789abcdef0123");
        let mut stamped = Vec::new();
        assert!(numbering.stamp(&event, 42, 1_700_000_000_001, &mut stamped));
        assert_eq!(stamped.len(), event.len());
        assert_eq!(numbering.number(&stamped), Some(42));
        assert_eq!(numbering.number(&stamped[..64]), Some(42), "the first 64 bytes are enough");
        assert_eq!(numbering.number(&event), None);
        assert_eq!(Numbering::new(5).number(&stamped), None, "another run's");
    }

    #[test]
    fn a_short_id_grows() {
        let numbering = Numbering::new(7);
        let mut stamped = Vec::new();
        assert!(numbering.stamp(&event("e-1"), 9_999_999_999, 0, &mut stamped));
        assert_eq!(numbering.number(&stamped), Some(9_999_999_999));
    }

    #[test]
    fn a_decision_is_numbered_by_its_second_text_and_knows_its_kind() {
        let numbering = Numbering::new(7);
        let mut stamped = Vec::new();
        assert!(numbering.stamp(&event("e-1"), 3, 0, &mut stamped));
        let (id, _) = text(&stamped[10..]).unwrap();
        let mut decision = vec![0, 0, 0, 0, 9];
        put_text("a-decision", &mut decision);
        put_text(std::str::from_utf8(id).unwrap(), &mut decision);
        put_long(1, &mut decision);
        put_text("default", &mut decision);
        put_text("acct-1", &mut decision);
        put_long(2, &mut decision);
        assert_eq!(numbering.number(&decision), Some(3));
        let head = super::decision(&decision).unwrap();
        assert_eq!(head, DecisionHead { decision_id: b"a-decision", kind: 2 });
        assert_eq!(second_text(&decision), Some(id));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let event = event("0123456789abcdef");
        for len in 0..event.len() {
            let cut = &event[..len];
            assert_eq!(decision(cut), None, "{len}");
            assert_eq!(Numbering::new(7).number(cut), None, "{len}");
        }
        assert!(!Numbering::new(7).stamp(&event[..12], 1, 1, &mut Vec::new()));
    }
}
