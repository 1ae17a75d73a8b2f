//! A receiver that fails again and again is left alone for a while.
//!
//! ```text
//!            N failures in a row                    pause over
//!  closed ───────────────────────► open (pause) ───────────────► half open: one attempt
//!    ▲                               ▲   twice the pause, failed        │
//!    │                               └───────────────────────────────────┤
//!    └──────────────── delivered ────────────────────────────────────────┘
//! ```
//!
//! Anything but a delivery is a failure, refusals for good included: a receiver that suddenly
//! refuses everything (a rotated secret, a bad deploy) then makes a trickle of dead letters until
//! somebody has looked, not a flood.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
pub(super) const FAILURES_MAX: u32 = 10;
/// The longest pause, so that a receiver that is back is noticed soon.
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { since: Instant, until: Instant, times: u32 },
    HalfOpen { since: Instant, times: u32 },
}

/// The breaker of one webhook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breaker {
    state: State,
    pause: Duration,
    pause_max: Duration,
}

impl Breaker {
    /// A closed one. The first pause is `pause`; it doubles up to `pause_max`, half a minute at
    /// most.
    pub(super) fn new(pause: Duration, pause_max: Duration) -> Breaker {
        Breaker { state: State::Closed { failures: 0 }, pause, pause_max: pause_max.min(PAUSE_MAX) }
    }

    /// Whether an attempt may begin now. While half open only one is let through.
    pub(super) fn permit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { since, until, times } if now >= until => {
                self.state = State::HalfOpen { since, times };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// An attempt was delivered; true where that closed the breaker.
    pub(super) fn delivered(&mut self) -> bool {
        let was_closed = self.is_closed();
        self.state = State::Closed { failures: 0 };
        !was_closed
    }

    /// An attempt failed; the pause where that opened the breaker (again).
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let (since, times) = match self.state {
            State::Closed { failures } if failures + 1 < FAILURES_MAX => {
                self.state = State::Closed { failures: failures + 1 };
                return None;
            }
            State::Closed { .. } => (now, 0),
            // of an attempt that began before it opened
            State::Open { .. } => return None,
            State::HalfOpen { since, times } => (since, times + 1),
        };
        let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
        let pause = self.pause.saturating_mul(factor).min(self.pause_max);
        self.state = State::Open { since, until: now + pause, times };
        Some(pause)
    }

    fn is_closed(&self) -> bool {
        self.since().is_none()
    }

    /// Since when nothing has been delivered, where it is not closed.
    pub(super) fn since(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { since, .. } | State::HalfOpen { since, .. } => Some(since),
        }
    }

    /// When the pause under way ends.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(Duration::from_secs(1), Duration::from_mins(5));
        for _ in 1..FAILURES_MAX {
            assert_eq!(breaker.failed(now), None);
            assert!(breaker.permit(now));
        }
        assert_eq!(breaker.failed(now), Some(Duration::from_secs(1)));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_through_after_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.permit(now) && !breaker.is_closed());
        assert_eq!(breaker.failed(now), None, "a straggler changes nothing");
        let later = now + Duration::from_secs(1);
        assert!(breaker.permit(later));
        assert!(!breaker.permit(later), "only one");
        assert!(breaker.delivered());
        assert!(breaker.permit(later) && breaker.is_closed());
        // a delivery in between begins the count again
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert_eq!(breaker.failed(later), None);
            }
            assert!(!breaker.delivered());
        }
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_half_a_minute() {
        let began = Instant::now();
        let mut breaker = opened(began);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let now = breaker.until().unwrap();
            assert!(breaker.permit(now));
            pauses.push(breaker.failed(now).unwrap().as_secs());
        }
        assert_eq!(pauses[..6], [2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses[39], 30);
        assert_eq!(breaker.since(), Some(began), "one outage");
    }
}
