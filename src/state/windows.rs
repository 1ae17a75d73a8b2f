//! Counts and sums over sliding windows of event time, bucketed.
//!
//! A window of length `w` with buckets of length `b` read at `t` covers the buckets that begin
//! after `t - w` (rounded down to a bucket) and not after `t`: `(t - w, t]` at the resolution of a
//! bucket. Only buckets that hold something are kept, so that an account with three payments costs
//! three buckets. Out-of-order events land in their own bucket; whatever is older than the window
//! behind the newest event is too late for it and left out.

use crate::event::Millis;

/// The windows every series is kept over.
pub(super) const WINDOWS: [Window; 3] = [
    Window { name: "1h", length_ms: 3_600_000, bucket_ms: 60_000 },
    Window { name: "24h", length_ms: 24 * 3_600_000, bucket_ms: 30 * 60_000 },
    Window { name: "30d", length_ms: 30 * 24 * 3_600_000, bucket_ms: 12 * 3_600_000 },
];

/// Buckets a window may have.
const BUCKETS_MAX: i64 = 64;

const _: () = {
    let mut i = 0;
    while i < WINDOWS.len() {
        assert!(WINDOWS[i].length_ms % WINDOWS[i].bucket_ms == 0);
        assert!(WINDOWS[i].length_ms / WINDOWS[i].bucket_ms < BUCKETS_MAX);
        i += 1;
    }
};

/// A sliding window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) name: &'static str,
    pub(super) length_ms: i64,
    pub(super) bucket_ms: i64,
}

impl Window {
    fn bucket(self, time: Millis) -> i64 {
        time.0.div_euclid(self.bucket_ms)
    }

    /// The oldest bucket still covered at `time`.
    fn oldest(self, time: Millis) -> i64 {
        self.bucket(Millis(time.0.saturating_sub(self.length_ms))) + 1
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    number: i64,
    count: i64,
    sum: i64,
}

/// How much was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) count: i64,
    /// in minor units; wraps at the ends of an i64, which no real currency reaches
    pub(super) sum: i64,
}

/// One thing that is counted, over all windows, and the last one of it.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Series {
    /// the latest event time counted
    newest: Option<Millis>,
    /// time and amount of the newest event, the later arrival where times are equal
    last: Option<(Millis, i64)>,
    /// sorted by number
    buckets: [Vec<Bucket>; WINDOWS.len()],
}

impl Series {
    /// Counts an event.
    pub(super) fn add(&mut self, time: Millis, amount_minor: i64) {
        let newest = self.newest.map_or(time, |newest| newest.max(time));
        self.newest = Some(newest);
        if self.last.is_none_or(|(last, _)| time >= last) {
            self.last = Some((time, amount_minor));
        }
        for (window, buckets) in WINDOWS.iter().zip(&mut self.buckets) {
            let oldest = window.oldest(newest);
            let expired = buckets.partition_point(|bucket| bucket.number < oldest);
            buckets.drain(..expired);
            let number = window.bucket(time);
            if number < oldest {
                continue;
            }
            // almost always the last one
            let at = buckets.partition_point(|bucket| bucket.number < number);
            match buckets.get_mut(at) {
                Some(bucket) if bucket.number == number => {
                    bucket.count += 1;
                    bucket.sum = bucket.sum.wrapping_add(amount_minor);
                }
                _ => buckets.insert(at, Bucket { number, count: 1, sum: amount_minor }),
            }
        }
    }

    /// What the window of number `window` covers at `time`.
    pub(super) fn total(&self, window: usize, time: Millis) -> Total {
        let (oldest, newest) = (WINDOWS[window].oldest(time), WINDOWS[window].bucket(time));
        self.buckets[window]
            .iter()
            .filter(|bucket| (oldest..=newest).contains(&bucket.number))
            .fold(Total::default(), |total, bucket| Total {
                count: total.count + bucket.count,
                sum: total.sum.wrapping_add(bucket.sum),
            })
    }

    /// Time and amount of the newest event, if it is not after `time` and not older than the
    /// longest window.
    pub(super) fn last(&self, time: Millis) -> Option<(Millis, i64)> {
        let longest = WINDOWS[WINDOWS.len() - 1].length_ms;
        self.last.filter(|(last, _)| *last <= time && time.0 - last.0 < longest)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buckets.iter().map(|buckets| buckets.capacity() * size_of::<Bucket>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, said naively: every event kept, and the definition applied.
    fn naive(events: &[(i64, i64)], window: Window, time: i64) -> Total {
        let bucket = |time: i64| time.div_euclid(window.bucket_ms);
        let mut total = Total::default();
        let mut newest = i64::MIN;
        for (at, amount) in events {
            newest = newest.max(*at);
            // too late when it arrived, or pushed out by what came since
            let pushed_out = bucket(*at) <= bucket(newest - window.length_ms);
            let covered =
                bucket(*at) > bucket(time - window.length_ms) && bucket(*at) <= bucket(time);
            if covered && !pushed_out {
                total.count += 1;
                total.sum += amount;
            }
        }
        total
    }

    proptest::proptest! {
        #[test]
        fn windows_equal_a_recomputation_over_unordered_events(
            steps in proptest::collection::vec((-40_000_000i64..60_000_000, -5_000i64..5_000), 1..120),
            ahead in 0i64..50_000_000,
        ) {
            let mut series = Series::default();
            let mut events = Vec::new();
            let mut time = 1_700_000_000_000;
            for (step, amount) in steps {
                time += step;
                series.add(Millis(time), amount);
                events.push((time, amount));
                let newest = events.iter().map(|event| event.0).max().unwrap();
                // read as a decision does: at the newest event or somewhat later
                for at in [newest, newest + ahead] {
                    for (i, window) in WINDOWS.iter().enumerate() {
                        let total = series.total(i, Millis(at));
                        proptest::prop_assert_eq!(total, naive(&events, *window, at));
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_includes_the_current_event_and_excludes_what_is_a_window_old() {
        let mut series = Series::default();
        let hour = WINDOWS[0].length_ms;
        let t = 1_700_000_000_000 - 1_700_000_000_000 % hour;
        series.add(Millis(t), 100);
        assert_eq!(series.total(0, Millis(t)), Total { count: 1, sum: 100 });
        assert_eq!(series.total(0, Millis(t + hour - 1)), Total { count: 1, sum: 100 });
        assert_eq!(series.total(0, Millis(t + hour)), Total::default());
        assert_eq!(series.total(1, Millis(t + hour)), Total { count: 1, sum: 100 });
        assert_eq!(series.last(Millis(t + hour)), Some((Millis(t), 100)));
        assert_eq!(series.last(Millis(t - 1)), None);
        assert_eq!(series.last(Millis(t + WINDOWS[2].length_ms)), None);
    }
}
