//! Precision against recall: of one score, and of two.

use super::super::measure::words::count;
use super::super::measure::{Alerts, Comparison, Estimate, Measures, PrecisionAt, Threshold};
use super::scale::Scale;
use super::show::{NONE, bare_percent, both, percent, stacked, value};
use super::svg::{Plot, Whisker};
use super::table::{empty, legend, section, table};
use crate::event::Outcome;

/// What a level of outcomes is called where it is an operating point.
pub(super) fn level(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "all",
        Outcome::StepUp => "STEP_UP and above",
        Outcome::Review => "REVIEW and BLOCK",
        Outcome::Block => "BLOCK",
    }
}

pub(super) fn class_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "ALLOW",
        Outcome::StepUp => "STEP_UP",
        Outcome::Review => "REVIEW",
        Outcome::Block => "BLOCK",
    }
}

pub(super) fn precision_recall(measures: &Measures) -> String {
    const HEADING: &str = "Precision and recall";
    let ranking = &measures.ranking;
    let Some(fraud_share) = measures.fraud_share.value.filter(|share| *share > 0.0) else {
        return empty(HEADING, "No fraud is labelled yet.");
    };
    let mut plot = percents("recall, % of frauds", "precision, % of alerts");
    plot.line("guide", [(0.0, fraud_share), (1.0, fraud_share)].into_iter());
    let ends = |end: fn(&Estimate) -> Option<f64>| -> Vec<(f64, f64)> {
        let at = |at: &PrecisionAt| Some((at.recall, end(&at.precision)?));
        ranking.precision_at_recalls.iter().filter_map(at).collect()
    };
    plot.band("band", &ends(|precision| precision.low), &ends(|precision| precision.high));
    plot.line("curve", points(&ranking.curve, |at| at.recall, |at| at.precision));
    for alerts in &measures.alerts {
        operating_point(&mut plot, alerts);
    }
    let drawn = plot.drawn(&format!(
        "precision against recall by threshold, average precision {}",
        value(&ranking.average_precision, |ap| format!("{ap:.3}"))
    ));
    let legend = legend(&[
        ("curve", "every threshold of the score, with 95 % interval"),
        ("guide", "alerts at random"),
        ("dot STEP_UP", level(Outcome::StepUp)),
        ("dot REVIEW", level(Outcome::Review)),
        ("dot BLOCK", level(Outcome::Block)),
    ]);
    let rows = measures.thresholds.iter().map(|at| {
        vec![
            format!("{:.2}", at.threshold),
            count(at.alerts),
            optional(at.alert_share),
            optional(at.precision),
            optional(at.recall),
        ]
    });
    let heads = ["score at least", "alerts", "of events, %", "precision, %", "recall, %"];
    let hint = format!(
        "How many alerts are fraud, against how much of the fraud is alerted. The dots are today's \
         outcomes with their 95 % intervals. Average precision {}; recall at a precision of 90 %: {}.",
        both(&ranking.average_precision, |ap| format!("{ap:.3}")),
        both(&ranking.recall_at_precision_90, percent)
    );
    let figure = drawn + &legend + &levels(measures);
    section(HEADING, &hint, &figure, &table(&heads, rows))
}

/// What the outcomes catch as they are.
fn levels(measures: &Measures) -> String {
    let rows = measures.alerts.iter().map(|alerts| {
        vec![
            String::from(level(alerts.outcome)),
            count(alerts.events),
            stacked(&alerts.precision, bare_percent),
            stacked(&alerts.recall, bare_percent),
            stacked(&alerts.false_positive_rate, bare_percent),
        ]
    });
    let heads = ["today's outcomes", "alerts", "precision, %", "recall, %", "of genuine, %"];
    table(&heads, rows)
}

/// Live and challenger on one plot of precision against recall.
pub(super) fn overlaid(comparison: &Comparison) -> String {
    let mut plot = percents("recall, % of frauds", "precision, % of alerts");
    for (side, class) in [(&comparison.other, "curve"), (&comparison.live, "live")] {
        plot.line(class, points(&side.curve, |at| at.recall, |at| at.precision));
        if let (Some(recall), Some(precision)) = (side.recall.value, side.precision.value) {
            let title = format!("precision {}, recall {}", percent(precision), percent(recall));
            plot.dot(&format!("dot {class}"), recall, precision, &title);
        }
    }
    let legend = legend(&[
        ("live", "live"),
        ("curve", "challenger"),
        ("dot live", "alerts of live"),
        ("dot curve", "alerts of the challenger"),
    ]);
    plot.drawn("precision against recall of both") + &legend
}

pub(super) fn percents(x: &str, y: &str) -> Plot {
    let mut plot = Plot::new(Scale::linear(0.0, 1.0), Scale::linear(0.0, 1.0));
    plot.axis_x(x, |share| format!("{:.0}", share * 100.0));
    plot.axis_y(y, |share| format!("{:.0}", share * 100.0));
    plot
}

pub(super) fn points<'a>(
    curve: &'a [Threshold],
    x: impl Fn(&Threshold) -> Option<f64> + 'a,
    y: impl Fn(&Threshold) -> Option<f64> + 'a,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    curve.iter().filter_map(move |at| x(at).zip(y(at)))
}

fn operating_point(plot: &mut Plot, alerts: &Alerts) {
    let (Some(recall), Some(precision)) = (alerts.recall.value, alerts.precision.value) else {
        return;
    };
    let class = class_of(alerts.outcome);
    if let (Some(low), Some(high)) = (alerts.precision.low, alerts.precision.high) {
        plot.whisker_y(&format!("whisker {class}"), &Whisker { low, high, at: recall });
    }
    if let (Some(low), Some(high)) = (alerts.recall.low, alerts.recall.high) {
        plot.whisker_x(&format!("whisker {class}"), &Whisker { low, high, at: precision });
    }
    let title = format!(
        "{}: precision {}, recall {}",
        level(alerts.outcome),
        both(&alerts.precision, percent),
        both(&alerts.recall, percent)
    );
    plot.dot(&format!("dot {class}"), recall, precision, &title);
}

pub(super) fn optional(share: Option<f64>) -> String {
    share.map_or_else(|| String::from(NONE), bare_percent)
}
