//! Means that are carried along from event to event, in the order of arrival: a robust mean, and the
//! sum of deviations from it.

use super::arena::Arena;
use super::window::Region;

/// A winsorised mean, and the cumulative sum of deviations from it.
///
/// With `m` the mean of the events before and `n` their number, an event of value `x` makes
///
/// - `s = max(floor, s + (x / m - 1 - slack))`, where `m` is positive,
/// - `m = m + (min(x, cap · m) - m) / min(n + 1, span)`, the first event alone being `m = x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) region: Region,
    /// how many times the mean a value counts as at most
    pub(super) cap: f64,
    /// events that the mean remembers
    pub(super) span: f64,
    /// deviation that is overlooked
    pub(super) slack: f64,
    /// the least that the sum falls to
    pub(super) floor: f64,
}

/// Number of events, mean, sum of deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Carried {
    pub(super) count: i64,
    pub(super) mean: f64,
    pub(super) deviations: f64,
}

impl Running {
    pub(super) const WORDS: usize = 3;

    pub(super) fn get(&self, arena: &Arena) -> Option<Carried> {
        match self.region.get(arena) {
            [count, mean, deviations] => Some(Carried {
                count: *count,
                mean: f64::from_bits(mean.cast_unsigned()),
                deviations: f64::from_bits(deviations.cast_unsigned()),
            }),
            _ => None,
        }
    }

    pub(super) fn add(&self, arena: &mut Arena, value: f64) {
        let next = self.next(self.get(arena), value);
        let words = [
            next.count,
            next.mean.to_bits().cast_signed(),
            next.deviations.to_bits().cast_signed(),
        ];
        let Region { at, of } = self.region;
        match arena.get_mut(at, of) {
            [] => arena.insert(at, of, 0, &words),
            known => known.copy_from_slice(&words),
        }
    }

    fn next(&self, before: Option<Carried>, value: f64) -> Carried {
        let Some(Carried { count, mean, deviations }) = before else {
            return Carried { count: 1, mean: value, deviations: self.floor.max(0.0) };
        };
        let deviations = match mean > 0.0 {
            true => self.floor.max(deviations + (value / mean - 1.0 - self.slack)),
            false => deviations,
        };
        let capped = match mean > 0.0 {
            true => value.min(self.cap * mean),
            false => value,
        };
        let weight = (count as f64 + 1.0).min(self.span);
        Carried {
            count: count.saturating_add(1),
            mean: mean + (capped - mean) / weight,
            deviations,
        }
    }
}
