//! The report for the terminal.

use super::super::measure::words::{balance, count, money, signed_money};
use super::super::measure::{Comparison, Estimate, Measures};
use super::curves::level;
use super::show::{NONE, both, percent, tick};
use super::versus::{advice, points};

/// A short summary: one figure a line, names and values aligned.
pub fn text(measures: &Measures, comparisons: &[Comparison]) -> String {
    let mut lines = super::over(&measures.counts, &both(&measures.fraud_share, percent));
    lines.push_str("\n\n");
    lines += &aligned(&figures(measures));
    lines.push('\n');
    lines += &rules(measures);
    for comparison in comparisons {
        lines.push('\n');
        lines += &versus(measures, comparison);
    }
    lines.lines().flat_map(|line| [one_line(line), String::from("\n")]).collect()
}

fn figures(measures: &Measures) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [String::from(name), value];
    let (ranking, worth) = (&measures.ranking, &measures.money);
    let mut rows = vec![
        row("average precision", both(&ranking.average_precision, three)),
        row("AUC", both(&ranking.auc, three)),
        row("recall at 90 % precision", both(&ranking.recall_at_precision_90, percent)),
    ];
    for alerts in &measures.alerts {
        let (precision, recall) = (both(&alerts.precision, percent), both(&alerts.recall, percent));
        let share = alerts.share.map_or_else(|| String::from(NONE), percent);
        let value = format!("{share} of events, precision {precision}, recall {recall}");
        rows.push(row(level(alerts.outcome), value));
    }
    let cards = &measures.card_precision;
    rows.push([format!("card precision at {}", cards.k), both(&cards.mean, percent)]);
    for lift in &ranking.lift {
        let lifted = both(&lift.lift, |lift| format!("{lift:.1}"));
        rows.push([format!("lift at {} %", tick(lift.share * 100.0)), lifted]);
    }
    let calibration = &measures.calibration;
    rows.push(row("calibration error", both(&calibration.expected_calibration_error, four)));
    rows.push(row("Brier score", both(&calibration.brier, four)));
    rows.push(row("log loss", both(&calibration.log_loss, four)));
    let amount = |minor: f64| money(minor, worth.minor_digits, &worth.currency);
    rows.push(row(
        "fraud caught",
        format!("{} of {}", amount(worth.caught_minor), amount(worth.fraud_minor)),
    ));
    let net = |minor: f64| balance(minor, worth.minor_digits, &worth.currency);
    rows.push(row("net saving", both(&worth.net_minor, net)));
    rows
}

fn rules(measures: &Measures) -> String {
    let mut rules: Vec<_> = measures.rules.iter().collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.hits));
    let rows: Vec<[String; 2]> = rules
        .iter()
        .map(|rule| {
            let (hits, frauds) = (count(rule.hits), count(rule.frauds));
            let value = format!(
                "{hits} hits, {frauds} frauds, precision {}",
                both(&rule.precision, percent)
            );
            [one_line(&rule.rule), value]
        })
        .collect();
    aligned(&rows)
}

fn versus(measures: &Measures, comparison: &Comparison) -> String {
    let difference = &comparison.difference;
    let worth = &measures.money;
    let net = |minor: f64| signed_money(minor, worth.minor_digits, &worth.currency);
    let in_points = |estimate: &Estimate| format!("{} points", points(estimate));
    let mut rows = vec![
        [String::from("verdict"), String::from(advice(comparison.verdict.advice))],
        [
            String::from("decided alike"),
            comparison.agreement.map_or_else(|| String::from(NONE), percent),
        ],
    ];
    for change in &comparison.changes {
        let tally = &change.tally;
        let of_fraud = format!("{} events, {} frauds", count(tally.events), count(tally.frauds));
        rows.push([String::from(super::versus::way(change.what)), of_fraud]);
    }
    if comparison.frauds > 0 {
        rows.push([String::from("precision"), in_points(&difference.precision)]);
        rows.push([String::from("recall"), in_points(&difference.recall)]);
        rows.push([String::from("average precision"), in_points(&difference.average_precision)]);
        rows.push([String::from("net saving"), both(&difference.net_minor, net)]);
    }
    let name = one_line(&comparison.challenger);
    format!("{name} against live\n{}{}\n", aligned(&rows), one_line(&comparison.verdict.sentence))
}

fn aligned(rows: &[[String; 2]]) -> String {
    let width = rows.iter().map(|[name, _]| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|[name, value]| format!("  {name:width$}  {value}\n")).collect()
}

/// Names come from files: nothing in them may move the cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

fn four(value: f64) -> String {
    format!("{value:.4}")
}
