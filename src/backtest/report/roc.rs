//! The ROC curve: whole, and on a log scale where a bank works.

use super::super::measure::Measures;
use super::curves::{class_of, level, optional, percents, points};
use super::scale::Scale;
use super::show::{NONE, bare_percent, both, interval, percent, tick, value};
use super::svg::Plot;
use super::table::{empty, legend, section, table};
use crate::event::Outcome;

/// Where the log scale begins: one false alarm among ten thousand genuine events.
const LEAST_RATE: f64 = 0.000_1;

pub(super) fn roc(measures: &Measures) -> String {
    const HEADING: &str = "ROC curve";
    let ranking = &measures.ranking;
    if ranking.auc.value.is_none() {
        return empty(HEADING, "It takes labelled fraud and labelled genuine events.");
    }
    let mut whole = percents("false positives, % of genuine events", "recall, % of frauds");
    whole.line("guide", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    drawn(&mut whole, measures);
    let mut left = Plot::new(Scale::log(LEAST_RATE, 1.0), Scale::linear(0.0, 1.0));
    left.axis_x("false positives, % of genuine events, log scale", |rate| tick(rate * 100.0));
    left.axis_y("recall, % of frauds", |share| tick(share * 100.0));
    drawn(&mut left, measures);
    let legend = legend(&[
        ("curve", "every threshold of the score"),
        ("guide", "alerts at random"),
        ("dot STEP_UP", level(Outcome::StepUp)),
        ("dot REVIEW", level(Outcome::Review)),
        ("dot BLOCK", level(Outcome::Block)),
    ]);
    let hint = format!(
        "How much of the fraud is alerted, against how many genuine events are; then the same on a log \
         scale, where few genuine events are alerted. Area under the curve {}.",
        both(&ranking.auc, |auc| format!("{auc:.4}"))
    );
    let whole = whole.drawn("recall against false positive rate by threshold") + &legend;
    let left = left.drawn("recall against false positive rate by threshold, on a log scale");
    let tables = format!(
        "<figure>{left}</figure></div><div class=\"pair\">{}{}",
        rates(measures),
        lifts(measures)
    );
    section(HEADING, &hint, &whole, &tables)
}

fn drawn(plot: &mut Plot, measures: &Measures) {
    let curve = points(&measures.ranking.curve, |at| at.false_positive_rate, |at| at.recall);
    plot.line("curve", std::iter::once((0.0, 0.0)).chain(curve));
    for alerts in &measures.alerts {
        let rate = alerts.false_positive_rate.value;
        let Some((rate, recall)) = rate.zip(alerts.recall.value) else { continue };
        let (level, class) = (level(alerts.outcome), class_of(alerts.outcome));
        let title = format!("{level}: recall {}, {} of genuine", percent(recall), percent(rate));
        plot.dot(&format!("dot {class}"), rate, recall, &title);
    }
}

fn rates(measures: &Measures) -> String {
    let rows = measures.ranking.recall_at_rates.iter().map(|at| {
        vec![
            bare_percent(at.false_positive_rate),
            optional(at.recall),
            at.threshold.map_or_else(|| String::from(NONE), |least| format!("{least:.3}")),
        ]
    });
    table(&["false positives at most, %", "recall, %", "score at least"], rows)
}

fn lifts(measures: &Measures) -> String {
    let show = |lift: f64| format!("{lift:.1}");
    let rows = measures.ranking.lift.iter().map(|at| {
        vec![
            format!("{} %", tick(at.share * 100.0)),
            value(&at.lift, show),
            interval(&at.lift, show),
        ]
    });
    table(&["highest scores", "lift: times the fraud of chance", "95 % interval"], rows)
}
