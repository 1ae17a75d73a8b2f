//! What became known of payments: verdicts by the payment's id, joined when something is read.

use super::arena::Arena;
use super::items::Items;
use super::window::Region;
use crate::event::Verdict;

const WORDS: usize = 3;

/// The newest verdict on each of the payments that were spoken of last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) region: Region,
    /// payments remembered at most; the one whose verdict is oldest goes first
    pub(super) entries_max: usize,
}

impl Labels {
    /// Takes a verdict down. Of two on one payment the later counts, in whatever order they come.
    pub(super) fn add(self, arena: &mut Arena, subject: i64, time: i64, verdict: Verdict) {
        let Region { at, of } = self.region;
        let words = self.region.get(arena);
        let place = Items::new(words, WORDS).partition(|label| label[0] < subject) * WORDS;
        let (time, verdict) = (time, verdict as i64);
        if words.get(place) == Some(&subject) {
            let known = &mut arena.get_mut(at, of)[place + 1..place + WORDS];
            if (known[0], known[1]) < (time, verdict) {
                known.copy_from_slice(&[time, verdict]);
            }
            return;
        }
        arena.insert(at, of, place, &[subject, time, verdict]);
        let words = self.region.get(arena);
        if words.len() / WORDS > self.entries_max {
            let age = |i: &usize| (words[i * WORDS + 1], words[i * WORDS]);
            let oldest = (0..words.len() / WORDS).min_by_key(age).unwrap_or(0) * WORDS;
            arena.remove(at, of, oldest..oldest + WORDS);
        }
    }

    /// When the verdict on a payment came, and what it is, if it was known at `at` and came after
    /// `oldest`: those before that may have been forgotten.
    pub(super) fn find(
        self,
        arena: &Arena,
        subject: i64,
        oldest: i64,
        at: i64,
    ) -> Option<(i64, i64)> {
        let words = self.region.get(arena);
        let place = Items::new(words, WORDS).partition(|label| label[0] < subject) * WORDS;
        let found = words.get(place..place + WORDS)?;
        (found[0] == subject && found[1] > oldest && found[1] <= at).then(|| (found[1], found[2]))
    }

    /// Forgets verdicts that are older than what they could be about.
    pub(super) fn expire(self, arena: &mut Arena, oldest: i64) {
        let Region { at, of } = self.region;
        let mut i = 0;
        while let Some(time) = self.region.get(arena).get(i + 1).copied() {
            match time <= oldest {
                true => arena.remove(at, of, i..i + WORDS),
                false => i += WORDS,
            }
        }
    }
}
