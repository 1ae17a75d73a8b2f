//! The curves of a ranking: precision and recall, true and false positives, by threshold.

use serde::Serialize;

use super::columns::Row;
use super::resample::ratio;

/// Steps a curve is drawn in at most, along each of its axes.
const STEPS: f64 = 250.0;

/// Thresholds of the table: 0.00, 0.05, ... 1.00.
const THRESHOLDS: u32 = 20;

/// False positive rates that recall is told at.
const RATES: [f64; 6] = [0.000_1, 0.001, 0.005, 0.01, 0.05, 0.10];

/// The most recall that a false positive rate allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecallAt {
    /// part of the genuine events that may be alerted at most
    pub false_positive_rate: f64,
    /// the lowest threshold that keeps to it; `None`: every score is too many
    pub threshold: Option<f64>,
    /// part of the frauds that it alerts
    pub recall: Option<f64>,
}

/// What alerts would be, were every event alerted whose score is at least a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// the least score that is alerted
    pub threshold: f64,
    /// labelled events that are alerted
    pub alerts: u64,
    /// the frauds among them
    pub frauds: u64,
    /// part of the labelled events that is alerted
    pub alert_share: Option<f64>,
    /// frauds among the alerts
    pub precision: Option<f64>,
    /// part of the frauds that is alerted
    pub recall: Option<f64>,
    /// part of the genuine events that is alerted
    pub false_positive_rate: Option<f64>,
}

/// Labelled events and frauds by descending score, one point for each score there is.
pub(super) struct Curve {
    points: Vec<Point>,
    events: u64,
    frauds: u64,
}

#[derive(Clone, Copy)]
struct Point {
    score: f64,
    alerts: u64,
    frauds: u64,
}

impl Curve {
    pub(super) fn of(rows: &[Row]) -> Curve {
        let mut order: Vec<(f64, bool)> =
            rows.iter().map(|row| (row.score, row.is_fraud)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut points: Vec<Point> = Vec::new();
        let (mut alerts, mut frauds) = (0, 0);
        for (score, is_fraud) in order {
            alerts += 1;
            frauds += u64::from(is_fraud);
            let point = Point { score, alerts, frauds };
            match points.last_mut() {
                Some(last) if last.score == score => *last = point,
                _ => points.push(point),
            }
        }
        Curve { points, events: alerts, frauds }
    }

    /// The points, thinned to what a plot can show: where recall or the false positive rate moves by a
    /// [`STEPS`]th, and both ends.
    pub(super) fn thinned(&self) -> Vec<Threshold> {
        let mut kept: Vec<Threshold> = Vec::new();
        for (at, point) in self.points.iter().enumerate() {
            let next = self.measured(point.score, *point);
            let has_moved = kept.last().is_none_or(|last| {
                let moved = |from: Option<f64>, to: Option<f64>| match (from, to) {
                    (Some(from), Some(to)) => (to - from) * STEPS >= 1.0,
                    _ => false,
                };
                moved(last.recall, next.recall)
                    || moved(last.false_positive_rate, next.false_positive_rate)
            });
            if has_moved || at + 1 == self.points.len() {
                kept.push(next);
            }
        }
        kept
    }

    /// At each threshold of the table.
    pub(super) fn table(&self) -> Vec<Threshold> {
        let thresholds = (0..=THRESHOLDS).map(|n| f64::from(n) / f64::from(THRESHOLDS));
        thresholds.map(|threshold| self.at(threshold)).collect()
    }

    /// At each of the [`RATES`].
    pub(super) fn at_rates(&self) -> Vec<RecallAt> {
        let genuine = (self.events - self.frauds) as f64;
        let at_rate = |rate: f64| {
            let is_within = |point: &Point| (point.alerts - point.frauds) as f64 <= rate * genuine;
            let last = self.points.partition_point(is_within).checked_sub(1);
            let frauds = last.map_or(0, |last| self.points[last].frauds);
            RecallAt {
                false_positive_rate: rate,
                threshold: last.map(|last| self.points[last].score),
                recall: ratio(frauds as f64, self.frauds as f64),
            }
        };
        RATES.map(at_rate).to_vec()
    }

    fn at(&self, threshold: f64) -> Threshold {
        let above = self.points.partition_point(|point| point.score >= threshold);
        let none = Point { score: threshold, alerts: 0, frauds: 0 };
        let point = above.checked_sub(1).map_or(none, |last| self.points[last]);
        self.measured(threshold, point)
    }

    fn measured(&self, threshold: f64, point: Point) -> Threshold {
        let genuine = point.alerts - point.frauds;
        let share = |part: u64, whole: u64| ratio(part as f64, whole as f64);
        Threshold {
            threshold,
            alerts: point.alerts,
            frauds: point.frauds,
            alert_share: share(point.alerts, self.events),
            precision: share(point.frauds, point.alerts),
            recall: share(point.frauds, self.frauds),
            false_positive_rate: share(genuine, self.events - self.frauds),
        }
    }
}
