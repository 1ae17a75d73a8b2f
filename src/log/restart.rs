//! How a part that lives off the log is started again: after growing pauses, and not for ever where
//! another process has its identity.

use std::time::{Duration, Instant};

use metrics::counter;

use super::LogError;
use crate::config::limits;
use crate::telemetry::{Stop, metric};

/// A life that lasted that long was a good one: the next trouble is a new one.
const GOOD_LIFE: Duration = Duration::from_secs(60);

/// The lives of one part.
#[derive(Debug)]
pub struct Restarts {
    part: &'static str,
    pause: Duration,
    began: Instant,
    fenced: Option<Instant>,
}

impl Restarts {
    /// The first life of a part begins; `part` is its name in metrics.
    pub fn begin(part: &'static str) -> Restarts {
        Restarts { part, pause: limits().restart_backoff, began: Instant::now(), fenced: None }
    }

    /// Whether this failure says for the second time within `fences_window` that another process
    /// has the part's identity: starting again would only fence the other in turn.
    pub fn is_usurped(&mut self, failure: &LogError) -> bool {
        if !matches!(failure, LogError::Fenced { .. }) {
            return false;
        }
        let before = self.fenced.replace(Instant::now());
        before.is_some_and(|at| at.elapsed() < limits().fences_window)
    }

    /// Lives again after each life that failed, until one ends well or a stop is wanted. `told` hears why
    /// one failed, and how long the pause is.
    pub fn live<E>(
        part: &'static str,
        stop: &Stop,
        mut life: impl FnMut() -> Result<(), E>,
        told: impl Fn(&E, Duration),
    ) {
        let mut restarts = Restarts::begin(part);
        while !stop.is_stopped() {
            let Err(error) = life() else { return };
            if stop.is_stopped() {
                return;
            }
            let pause = restarts.pause("log");
            told(&error, pause);
            if stop.wait(pause) {
                return;
            }
        }
    }

    /// A life has ended badly, for a reason that is counted: how long to wait until the next begins.
    pub fn pause(&mut self, reason: &'static str) -> Duration {
        counter!(metric::RESTARTS, "part" => self.part, "reason" => reason).increment(1);
        let pause = self.pause_after(self.began.elapsed());
        self.began = Instant::now() + pause;
        pause
    }

    fn pause_after(&mut self, life: Duration) -> Duration {
        if life > GOOD_LIFE {
            self.pause = limits().restart_backoff;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(limits().restart_backoff_max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew_after_a_good_life() {
        let mut restarts = Restarts::begin("test");
        let pauses: Vec<Duration> = (0..20).map(|_| restarts.pause_after(Duration::ZERO)).collect();
        assert_eq!(pauses[0], limits().restart_backoff);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses.last(), Some(&limits().restart_backoff_max));
        assert_eq!(restarts.pause_after(GOOD_LIFE * 2), limits().restart_backoff);
    }

    #[test]
    fn the_second_fence_is_one_too_many_and_other_failures_do_not_count() {
        let fenced = LogError::Fenced { what: "commit", reason: "a newer one".to_owned() };
        let mut restarts = Restarts::begin("test");
        assert!(!restarts.is_usurped(&fenced));
        assert!(!restarts.is_usurped(&LogError::Closed));
        assert!(restarts.is_usurped(&fenced));
    }
}
