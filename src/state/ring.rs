//! Exact windows: the newest events, each as an entry of a few words.

use super::arena::Arena;
use super::items::Items;
use super::window::{Entry, Region, Span, Total, Wants};

/// The newest entries, exactly. An entry is its time, then what somebody reads of it: the subject, the
/// value, both or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) region: Region,
    /// entries kept at most; the oldest go first
    pub(super) entries_max: usize,
    /// how far behind the watermark an entry is kept
    pub(super) retention_ms: i64,
    /// whether subjects are kept
    pub(super) subjects: bool,
    /// whether values are kept
    pub(super) values: bool,
}

impl Ring {
    /// Words of one entry.
    fn words(&self) -> usize {
        1 + usize::from(self.subjects) + usize::from(self.values)
    }

    /// Words that its entries have at most, those included that nobody sees any more.
    pub(super) fn words_max(&self) -> usize {
        (self.entries_max + slack(self.entries_max) + 1) * self.words()
    }

    pub(super) fn add(&self, arena: &mut Arena, entry: Entry, watermark: i64) {
        let oldest = watermark.saturating_sub(self.retention_ms);
        if entry.time <= oldest {
            return;
        }
        let Entry { time, subject, value } = entry;
        let new = match (self.subjects, self.values) {
            (true, true) => [time, subject, value],
            (true, false) => [time, subject, 0],
            (false, _) => [time, value, 0],
        };
        let new = &new[..self.words()];
        let entries = self.all(arena);
        // almost always the last one
        let place = match entries.last() {
            Some(newest) if newest > new => entries.partition(|known| known < new),
            _ => entries.len(),
        };
        if entries.len() >= self.entries_max && place <= entries.len() - self.entries_max {
            return;
        }
        let is_past = |i: usize| i < entries.len() && entries.first_of(i) <= oldest;
        // what nobody sees any more makes way, or goes by the dozen: all that follows has to move for it
        let makes_way = entries.len() >= self.entries_max || is_past(0);
        let is_full = entries.len() >= self.entries_max + slack(self.entries_max);
        let is_old = is_past(slack(entries.len()));
        self.region.put(arena, place * new.len(), new, makes_way);
        if is_full || is_old {
            self.expire(arena, watermark);
        }
    }

    /// Whether each further entry takes an older one's place.
    pub(super) fn is_full(&self, arena: &Arena) -> bool {
        self.all(arena).len() >= self.entries_max
    }

    /// Takes out what nobody sees any more.
    pub(super) fn expire(&self, arena: &mut Arena, watermark: i64) {
        let oldest = watermark.saturating_sub(self.retention_ms);
        let entries = self.all(arena);
        let surplus = entries.len().saturating_sub(self.entries_max);
        let gone = match surplus < entries.len() && entries.first_of(surplus) <= oldest {
            true => entries.partition(|entry| entry[0] <= oldest),
            false => surplus,
        };
        arena.remove(self.region.at, self.region.of, 0..gone * self.words());
    }

    fn all<'a>(&self, arena: &'a Arena) -> Items<'a> {
        Items::new(self.region.get(arena), self.words())
    }

    /// Those that somebody may see.
    fn seen<'a>(&self, arena: &'a Arena) -> Items<'a> {
        let all = self.all(arena);
        match all.len().checked_sub(self.entries_max) {
            None | Some(0) => all,
            Some(surplus) => all.of(surplus..all.len()),
        }
    }

    /// The entries within a span, oldest first, of those that somebody may see. What is not kept of them
    /// is 0.
    pub(super) fn entries(
        self,
        arena: &Arena,
        span: Span,
    ) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        let entries = self.seen(arena);
        let from = up_to(entries, span.after);
        let to = up_to(entries, span.until).max(from);
        (from..to).map(move |i| {
            let entry = entries.get(i);
            Entry {
                time: entry[0],
                subject: if self.subjects { entry[1] } else { 0 },
                value: if self.values { entry[entry.len() - 1] } else { 0 },
            }
        })
    }

    /// What a window holds, as far as somebody wants to know.
    pub(super) fn total(&self, arena: &Arena, span: Span, wants: Wants) -> Total {
        if wants == Wants::Count {
            return Total { count: self.entries(arena, span).len() as i64, ..Total::NOTHING };
        }
        let entries = self.seen(arena);
        // backwards until the window begins: whatever is added up is met anyway
        let newest_first = entries.of(0..up_to(entries, span.until)).backwards();
        let held = newest_first.take_while(|entry| entry[0] > span.after);
        let values = held.map(|entry| entry[entry.len() - 1]);
        let mut total = Total::NOTHING;
        match wants {
            Wants::All => values.for_each(|value| total.add(value)),
            _ => values.for_each(|value| {
                total.count += 1;
                total.sum = total.sum.wrapping_add(value);
            }),
        }
        total
    }
}

/// Entries that nobody sees any more and that may be left for a while.
fn slack(of: usize) -> usize {
    (of / 8).clamp(2, 32)
}

/// Entries among which a time is looked for first.
const NEAR: usize = 4;

/// How many entries are of `time` or before. Looks at the newest, then from where that time would stand if
/// they were evenly spaced: far fewer cache lines than halving touches.
fn up_to(entries: Items<'_>, time: i64) -> usize {
    let mut newest_first = entries.backwards().take(NEAR);
    if let Some(later) = newest_first.position(|entry| entry[0] <= time) {
        return entries.len() - later;
    }
    let count = entries.len();
    if count <= NEAR || entries.first_of(0) > time {
        return 0;
    }
    let (first, last) = (entries.first_of(0), entries.first_of(count - 1));
    // the first is of `time` or before, the last is not
    let (length, passed) = (last.abs_diff(first), time.abs_diff(first));
    let guess = (passed as f64 / length as f64 * (count - 1) as f64) as usize;
    let guess = guess.min(count - 1);
    let mut step = 1;
    let (mut low, mut high) = match entries.first_of(guess) <= time {
        true => (guess, guess + 1),
        false => (guess.saturating_sub(1), guess),
    };
    while entries.first_of(low) > time {
        step *= 2;
        (low, high) = (low.saturating_sub(step), low);
    }
    while high < count && entries.first_of(high) <= time {
        step *= 2;
        (low, high) = (high, (high + step).min(count - 1));
    }
    low + entries.of(low..high).partition(|entry| entry[0] <= time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_guess_finds_what_halving_finds(
            mut times in proptest::collection::vec(-50i64..200, 0..80),
            time in -60i64..210,
            scale in prop_oneof![Just(1i64), Just(1 << 30), Just(i64::MAX / 300)],
            stride in 1usize..4,
        ) {
            times.sort_unstable();
            let mut words = vec![i64::MIN; times.len() * stride];
            for (entry, time) in words.chunks_exact_mut(stride).zip(&times) {
                entry[0] = time * scale;
            }
            let expected = times.iter().filter(|known| **known <= time).count();
            let entries = Items::new(&words, stride);
            prop_assert_eq!(up_to(entries, time * scale), expected);
        }
    }
}
