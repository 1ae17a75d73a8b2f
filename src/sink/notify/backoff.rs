//! How long to wait between two attempts: exponential with full jitter, so that escalations that
//! failed together do not come back together.

use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::config::Webhook;

/// A webhook's retry schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    timeout: Duration,
    attempts_max: u32,
}

impl Backoff {
    /// The schedule a webhook is configured with.
    pub(super) fn new(webhook: &Webhook) -> Backoff {
        Backoff {
            first: Duration::from_millis(webhook.backoff_ms),
            max: Duration::from_millis(webhook.backoff_max_ms.max(webhook.backoff_ms)),
            timeout: Duration::from_millis(webhook.timeout_ms),
            attempts_max: webhook.attempts_max.max(1),
        }
    }

    /// The longest pause after that many failures in a row, from 1.
    pub(super) fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1));
        self.first.saturating_mul(factor.unwrap_or(u32::MAX)).min(self.max)
    }

    /// The pause before the next attempt, `None` after the last one. A receiver that said when to
    /// come back (`after`) is not asked earlier, unless it said more than the longest pause.
    pub(super) fn pause(
        &self,
        attempts: u32,
        after: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        if attempts >= self.attempts_max {
            return None;
        }
        let ceiling = match after {
            Some(_) => self.first,
            None => self.ceiling(attempts),
        };
        let jitter = rng.random_range(0..=u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX));
        let asked = after.map_or(Duration::ZERO, |after| after.min(self.max));
        Some(asked + Duration::from_micros(jitter))
    }

    /// The longest all attempts may take together.
    pub(super) fn schedule(&self) -> Duration {
        let pauses = (1..self.attempts_max).map(|attempts| self.ceiling(attempts));
        let pauses = pauses.fold(Duration::ZERO, Duration::saturating_add);
        pauses.saturating_add(self.timeout.saturating_mul(self.attempts_max))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(500),
        max: Duration::from_mins(10),
        timeout: Duration::from_secs(10),
        attempts_max: 12,
    };

    #[test]
    fn pauses_stay_below_a_ceiling_that_doubles_up_to_the_last() {
        let ceilings: Vec<u128> = (1..=12).map(|n| BACKOFF.ceiling(n).as_millis()).collect();
        let doubled: Vec<u128> = (0..11).map(|n| 500 << n).chain([600_000]).collect();
        assert_eq!(ceilings, doubled);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.max);
        // 0.5 + 1 + … + 512 seconds of pauses and twelve time-outs
        assert_eq!(BACKOFF.schedule(), Duration::from_millis(1_023_500 + 120_000));

        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut again = ChaCha8Rng::seed_from_u64(1);
        for attempts in 1..12 {
            let pauses: Vec<Duration> =
                (0..200).filter_map(|_| BACKOFF.pause(attempts, None, &mut rng)).collect();
            assert_eq!(pauses.len(), 200);
            let ceiling = BACKOFF.ceiling(attempts);
            assert!(pauses.iter().all(|pause| *pause <= ceiling));
            // full jitter reaches both ends
            assert!(pauses.iter().any(|pause| *pause < ceiling / 10));
            assert!(pauses.iter().any(|pause| *pause > ceiling * 9 / 10));
            let same = (0..200).filter_map(|_| BACKOFF.pause(attempts, None, &mut again));
            assert_eq!(pauses, same.collect::<Vec<_>>(), "the seed decides");
        }
        assert_eq!(BACKOFF.pause(12, None, &mut rng), None);
    }

    #[test]
    fn a_receiver_that_says_when_is_not_asked_earlier_and_cannot_ask_for_ever() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..100 {
            let asked = Duration::from_secs(30);
            let pause = BACKOFF.pause(5, Some(asked), &mut rng).unwrap();
            assert!(pause >= asked && pause <= asked + BACKOFF.first, "{pause:?}");
            let pause = BACKOFF.pause(1, Some(Duration::MAX), &mut rng).unwrap();
            assert!(pause >= BACKOFF.max && pause <= BACKOFF.max + BACKOFF.first);
        }
    }
}
