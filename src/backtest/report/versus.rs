//! A challenger against what is live: the verdict, the outcome matrix, the differences, the money.

use super::super::measure::words::{balance, count, signed_count, signed_money};
use super::super::measure::{Advice, Change, Comparison, Estimate, Measures, Money, Side, Way};
use super::curves::overlaid;
use super::matrix;
use super::scale::Scale;
use super::show::{self, NONE, both, escaped, percent, stacked};
use super::svg::{Plot, WIDTH, Whisker};
use super::table::table;

pub(super) fn versus(measures: &Measures, comparison: &Comparison) -> String {
    let is_labelled = comparison.frauds > 0;
    let mut html = format!(
        "<section class=\"versus\"><h2>Challenger <b>{}</b></h2>{}",
        escaped(&comparison.challenger),
        verdict(comparison)
    );
    let counts = format!(
        "{} events that both decided, {} of them labelled, {} frauds; {} decided alike.",
        count(comparison.events),
        count(comparison.labelled),
        count(comparison.frauds),
        comparison.agreement.map_or_else(|| String::from(NONE), percent)
    );
    html += &format!(
        "<p class=\"hint\">{}</p><div class=\"pair\"><figure>{}</figure>{}</div>",
        escaped(&counts),
        matrix::matrix(comparison),
        changes(measures, comparison)
    );
    if is_labelled {
        html += &format!(
            "<div class=\"pair\"><figure>{}</figure><figure>{}</figure></div>{}",
            overlaid(comparison),
            differences(comparison),
            sides(&measures.money, comparison)
        );
    }
    html + "</section>\n"
}

/// What is advised, in one or two words.
pub(super) fn advice(advice: Advice) -> &'static str {
    match advice {
        Advice::Recommend => "recommended",
        Advice::NoDifference => "no difference",
        Advice::Worse => "worse",
        Advice::TooFewLabels => "too few labels",
    }
}

/// What a way of changing is called.
pub(super) fn way(way: Way) -> &'static str {
    match way {
        Way::Stricter => "stricter than live",
        Way::Milder => "milder than live",
        Way::AlertGained => "alerts gained",
        Way::AlertLost => "alerts lost",
        Way::BlockGained => "blocks gained",
        Way::BlockLost => "blocks lost",
    }
}

/// All challengers at a glance; nothing where there is one or none.
pub(super) fn overview(measures: &Measures, comparisons: &[Comparison]) -> String {
    if comparisons.len() < 2 {
        return String::new();
    }
    let worth = &measures.money;
    let amount = |minor: f64| signed_money(minor, worth.minor_digits, "");
    let rows = comparisons.iter().map(|comparison| {
        let (live, other) = (&comparison.live, &comparison.other);
        vec![
            comparison.challenger.clone(),
            String::from(advice(comparison.verdict.advice)),
            comparison.agreement.map_or_else(|| String::from(NONE), percent),
            signed_count(i128::from(other.alerts) - i128::from(live.alerts)),
            stacked_points(&comparison.difference.precision),
            stacked_points(&comparison.difference.recall),
            stacked_points(&comparison.difference.average_precision),
            stacked(&comparison.difference.net_minor, amount),
        ]
    });
    let saving = match worth.currency.as_str() {
        "" => String::from("net saving"),
        currency => format!("net saving, {currency}"),
    };
    let heads = [
        "challenger less live",
        "verdict",
        "decided alike",
        "alerts",
        "precision, points",
        "recall, points",
        "average precision, points",
        &saving,
    ];
    let table = table(&heads, rows);
    format!("<section><h2>Challengers</h2>{table}</section>\n")
}

fn verdict(comparison: &Comparison) -> String {
    let verdict = &comparison.verdict;
    let class = match verdict.advice {
        Advice::Recommend => "ALLOW",
        Advice::Worse => "BLOCK",
        Advice::NoDifference => "STEP_UP",
        Advice::TooFewLabels => "REVIEW",
    };
    format!(
        "<p class=\"verdict\"><span class=\"badge {class}\">{}</span> {}</p>",
        advice(verdict.advice),
        escaped(&verdict.sentence)
    )
}

fn changes(measures: &Measures, comparison: &Comparison) -> String {
    let amount = |minor: i64| balance(minor as f64, measures.money.minor_digits, "");
    let row = |change: &Change| {
        let tally = &change.tally;
        vec![
            String::from(way(change.what)),
            count(tally.events),
            count(tally.frauds),
            count(tally.genuine),
            amount(tally.amount_minor),
            amount(tally.fraud_minor),
        ]
    };
    let heads = ["what would change", "events", "frauds", "genuine", "amount", "of fraud"];
    table(&heads, comparison.changes.iter().map(row))
}

/// The differences in percentage points, with their intervals, around 0.
fn differences(comparison: &Comparison) -> String {
    let difference = &comparison.difference;
    let rows = [
        ("precision", &difference.precision),
        ("recall", &difference.recall),
        ("average precision", &difference.average_precision),
        ("AUC", &difference.auc),
    ];
    let ends = rows.iter().flat_map(|(_, at)| [at.low, at.value, at.high]).flatten();
    let (top, row, left) = (14.0, 40.0, 124.0);
    let bottom = top + row * rows.len() as f64;
    let x = Scale::around(ends.map(|end| end * 100.0)).on(left, WIDTH - 24.0);
    let mut plot = Plot::of_height(bottom + 44.0, x, Scale::linear(0.0, 4.0).on(top, bottom));
    for tick in x.ticks() {
        plot.rule("grid", x.at(tick), top, x.at(tick), bottom);
        plot.text(x.at(tick), bottom + 16.0, "middle", "tick", &show::tick(tick));
    }
    plot.rule("zero", x.at(0.0), top, x.at(0.0), bottom);
    for (at, (name, estimate)) in (0..).zip(rows) {
        let here = f64::from(at) + 0.5;
        let middle = plot.y.at(here);
        plot.text(left - 8.0, middle + 4.0, "end", "name", name);
        let Some(value) = estimate.value else { continue };
        if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
            let (low, high) = (low * 100.0, high * 100.0);
            plot.whisker_x("whisker curve", &Whisker { low, high, at: here });
        }
        plot.dot("dot curve", value * 100.0, here, &format!("{name}: {}", points(estimate)));
    }
    let middle = (left + WIDTH - 24.0) / 2.0;
    plot.text(middle, bottom + 38.0, "middle", "label", "challenger less live, percentage points");
    let legend = super::table::legend(&[
        ("dot curve", "difference, with paired 95 % interval"),
        ("zero", "no difference"),
    ]);
    plot.drawn("differences of the measures, with intervals") + &legend
}

fn sides(worth: &Money, comparison: &Comparison) -> String {
    let Comparison { live, other, difference, .. } = comparison;
    let amount = |minor: f64| balance(minor, worth.minor_digits, "");
    let change = |minor: f64| signed_money(minor, worth.minor_digits, "");
    let share = |name: &str, of: fn(&Side) -> &Estimate, difference: &Estimate| {
        vec![
            String::from(name),
            stacked(of(live), percent),
            stacked(of(other), percent),
            stacked_points(difference),
        ]
    };
    let plain = |name: &str, of: fn(&Side) -> f64| {
        vec![String::from(name), amount(of(live)), amount(of(other)), change(of(other) - of(live))]
    };
    let alerts = |side: &Side| {
        format!(
            "{} ({})",
            count(side.alerts),
            side.alert_share.map_or_else(|| String::from(NONE), percent)
        )
    };
    let more = i128::from(other.alerts) - i128::from(live.alerts);
    let rows = [
        vec![String::from("alerts"), alerts(live), alerts(other), signed_count(more)],
        share("precision", |side| &side.precision, &difference.precision),
        share("recall", |side| &side.recall, &difference.recall),
        share("average precision", |side| &side.average_precision, &difference.average_precision),
        share("AUC", |side| &side.auc, &difference.auc),
        plain("fraud caught", |side| side.caught_minor),
        plain("fraud missed", |side| side.missed_minor),
        plain("genuine amount alerted", |side| side.false_positive_minor),
        plain("cost of the alerts", |side| side.alerts_cost_minor),
        vec![
            String::from("net saving"),
            stacked(&live.net_minor, amount),
            stacked(&other.net_minor, amount),
            stacked(&difference.net_minor, change),
        ],
    ];
    let unit = match worth.currency.as_str() {
        "" => String::from("differences of shares in points"),
        currency => format!("amounts in {currency}, differences of shares in points"),
    };
    table(&[&unit, "live", "challenger", "difference"], rows)
}

/// A difference of shares, in percentage points.
pub(super) fn points(difference: &Estimate) -> String {
    both(difference, in_points)
}

fn stacked_points(difference: &Estimate) -> String {
    stacked(difference, in_points)
}

fn in_points(by: f64) -> String {
    // a zero has no sign
    format!("{:+.2}", by * 100.0).replace("+0.00", "0.00").replace("-0.00", "0.00")
}
