//! Pressure: what is left out, in a fixed order, when records wait too long to be decided about.
//!
//! Never lists, rules or state: only what explains and compares. Each decision says what it did
//! without. It goes up a step at a time as soon as the wait passes the step's threshold, and down a
//! step only after the wait has been below half of it for some time, so that it does not flutter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is left out at each step, and at all after it.
pub const STEPS: [&str; 3] = ["attributions", "shadows", "model"];

/// Measures in a row that must be calm before a step is taken back.
const CALM: u32 = 5;

/// How many steps are taken, for all workers of a process.
#[derive(Clone, Debug, Default)]
pub struct Pressure(Arc<AtomicUsize>);

impl Pressure {
    /// What is left out now.
    pub fn left_out(&self) -> &'static [&'static str] {
        &STEPS[..self.0.load(Ordering::Relaxed).min(STEPS.len())]
    }

    fn set(&self, steps: usize) {
        self.0.store(steps, Ordering::Relaxed);
    }
}

/// Decides how many steps are taken.
#[derive(Debug)]
pub struct Gauge {
    pressure: Pressure,
    /// the first step's threshold; each further one has twice the one before
    wait: Duration,
    steps: usize,
    calm: u32,
}

impl Gauge {
    /// A gauge that sets `pressure`, beginning with the first step at this wait.
    pub fn new(pressure: Pressure, wait: Duration) -> Gauge {
        Gauge { pressure, wait, steps: 0, calm: 0 }
    }

    /// The wait at which step `number`, from 1, is taken.
    fn threshold(&self, number: usize) -> Duration {
        self.wait * (1 << (number - 1).min(STEPS.len()))
    }

    /// Takes a measurement up, one a second: how long the record decided about last had waited,
    /// where more wait. Returns the number of steps taken now.
    pub fn measured(&mut self, wait: Duration) -> usize {
        if self.steps < STEPS.len() && wait > self.threshold(self.steps + 1) {
            self.steps += 1;
            self.calm = 0;
        } else if self.steps > 0 && wait < self.threshold(self.steps) / 2 {
            self.calm += 1;
            if self.calm >= CALM {
                self.steps -= 1;
                self.calm = 0;
            }
        } else {
            self.calm = 0;
        }
        self.pressure.set(self.steps);
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge() -> (Pressure, Gauge) {
        let pressure = Pressure::default();
        (pressure.clone(), Gauge::new(pressure, Duration::from_secs(10)))
    }

    #[test]
    fn steps_are_taken_one_at_a_time_in_their_order() {
        let (pressure, mut gauge) = gauge();
        assert_eq!(gauge.measured(Duration::from_secs(10)), 0);
        let steps: Vec<usize> = (0..5).map(|_| gauge.measured(Duration::from_secs(100))).collect();
        assert_eq!(steps, [1, 2, 3, 3, 3]);
        assert_eq!(pressure.left_out(), STEPS);
        let (pressure, mut gauge) = self::gauge();
        gauge.measured(Duration::from_secs(15));
        assert_eq!(gauge.measured(Duration::from_secs(15)), 1);
        assert_eq!(pressure.left_out(), ["attributions"]);
    }

    #[test]
    fn a_wait_about_the_threshold_does_not_flutter() {
        let (_, mut gauge) = gauge();
        let changes = (0..100)
            .map(|i| gauge.measured(Duration::from_secs(if i % 2 == 0 { 11 } else { 9 })))
            .collect::<Vec<_>>()
            .windows(2)
            .filter(|pair| pair[0] != pair[1])
            .count();
        assert_eq!(changes, 0);
    }

    #[test]
    fn calm_takes_every_step_back() {
        let (pressure, mut gauge) = gauge();
        (0..3).for_each(|_| {
            gauge.measured(Duration::from_secs(100));
        });
        for _ in 0..CALM - 1 {
            assert_eq!(gauge.measured(Duration::ZERO), 3);
        }
        // one restless measure begins the count anew
        assert_eq!(gauge.measured(Duration::from_secs(30)), 3);
        let steps: Vec<usize> = (0..15).map(|_| gauge.measured(Duration::ZERO)).collect();
        assert_eq!((steps[3], steps[4], steps[9], steps[14]), (3, 2, 1, 0));
        assert!(pressure.left_out().is_empty());
    }
}
