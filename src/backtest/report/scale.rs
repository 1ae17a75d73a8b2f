//! From values to places on a plot, and where the ticks are.

/// An axis: values from `from` to `to` lie from pixel `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    is_log: bool,
}

impl Scale {
    /// Evenly spread. A range of no width becomes one of 1.
    pub(super) fn linear(from: f64, to: f64) -> Scale {
        let to = if to > from { to } else { from + 1.0 };
        Scale { from, to, start: 0.0, end: 1.0, is_log: false }
    }

    /// Evenly spread from 0, or from below it, to round numbers around all of `values`.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) =
            values.fold((0.0_f64, 0.0_f64), |(low, high), at| (low.min(at), high.max(at)));
        let step = round_step(Scale::linear(low, high).width() / 4.0);
        Scale::linear((low / step).floor() * step, (high / step).ceil() * step)
    }

    /// By orders of magnitude; both ends above 0.
    pub(super) fn log(from: f64, to: f64) -> Scale {
        let to = if to > from { to } else { from * 10.0 };
        Scale { from, to, start: 0.0, end: 1.0, is_log: true }
    }

    /// Where on the plot it lies.
    pub(super) fn on(self, start: f64, end: f64) -> Scale {
        Scale { start, end, ..self }
    }

    /// The pixel of a value; values outside lie at the ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = match self.is_log {
            true => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / self.width(),
        };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// The pixel of the least value, or of 0 where it is within.
    pub(super) fn base(&self) -> f64 {
        self.at(if self.is_log { self.from } else { 0.0 })
    }

    /// Round values along it, about four to six.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let least = self.from.log10().ceil() as i32;
            let most = self.to.log10().floor() as i32;
            return (least..=most).map(|power| 10_f64.powi(power)).collect();
        }
        let step = round_step(self.width() / 5.0);
        let first = (self.from / step).ceil();
        let steps = (0..).map(|n| (first + f64::from(n)) * step);
        steps.take_while(|tick| *tick <= self.to + step * 1e-6).collect()
    }

    fn width(&self) -> f64 {
        self.to - self.from
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * decade >= least * (1.0 - 1e-9));
    step.unwrap_or(10.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(Scale::linear(0.0, 100.0).ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Scale::log(0.5, 2_000.0).ticks(), [1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!(Scale::around([-30.0, 55.0].into_iter()).ticks(), [-50.0, 0.0, 50.0, 100.0]);
        assert_eq!(Scale::around([].into_iter()).ticks().first(), Some(&0.0));
    }

    #[test]
    fn values_lie_between_the_ends() {
        let scale = Scale::linear(0.0, 4.0).on(100.0, 0.0);
        assert_eq!([scale.at(1.0), scale.at(9.0), scale.at(-1.0)], [75.0, 0.0, 100.0]);
        let log = Scale::log(1.0, 100.0).on(0.0, 10.0);
        assert_eq!([log.at(10.0), log.at(0.0), log.base()], [5.0, 0.0, 0.0]);
    }
}
