//! What a team that can look at so many alerts a day saves.

use super::super::measure::words::{balance, count, money, short_money};
use super::super::measure::{Budget, Estimate, Measures, Money};
use super::scale::Scale;
use super::show::{NONE, both, percent, short, stacked};
use super::svg::{Plot, Whisker};
use super::table::{empty, legend, section, table};

pub(super) fn budget(measures: &Measures) -> String {
    const HEADING: &str = "Cost against alert budget";
    let worth = &measures.money;
    if worth.budget.is_empty() || worth.fraud_minor == 0.0 {
        return empty(HEADING, "It takes labelled frauds with an amount.");
    }
    let today = today(worth);
    let drawn = drawn(worth, &today);
    let legend = legend(&[
        ("curve", "net saving, with 95 % interval"),
        ("plain", "fraud caught, before cost"),
        ("dot REVIEW", "today's alerts, REVIEW and BLOCK"),
    ]);
    let amount = |minor: f64| balance(minor, worth.minor_digits, "");
    let rows = worth.budget.iter().map(|at| {
        let cost = at.used_per_day * worth.alert_cost_minor as f64;
        vec![
            count(u64::from(at.alerts_per_day)),
            amount(at.caught_minor),
            amount(cost),
            stacked(&at.net_minor, amount),
        ]
    });
    let heads = ["alerts a day", "caught a day", "cost a day", "net a day, 95 % interval"];
    let unit = if worth.currency.is_empty() { "" } else { " Amounts in " };
    let hint = format!(
        "Each day the highest scores are alerted, as many as there is time for; an alert costs {} to look at. {}\
         Today's outcomes catch {} of {}; that is {}.{unit}{}{}",
        money(worth.alert_cost_minor as f64, worth.minor_digits, &worth.currency),
        best(worth),
        money(worth.caught_minor, worth.minor_digits, ""),
        money(worth.fraud_minor, worth.minor_digits, &worth.currency),
        both(&worth.caught_share, percent),
        worth.currency,
        if unit.is_empty() { "" } else { "." },
    );
    section(HEADING, &hint, &(drawn + &legend), &table(&heads, rows))
}

fn drawn(worth: &Money, (alerts, net): &(f64, Estimate)) -> String {
    let budget = worth_drawing(&worth.budget);
    let most = budget.last().map_or(10.0, |at| f64::from(at.alerts_per_day)).max(*alerts);
    let values = budget.iter().flat_map(|at| {
        let net = &at.net_minor;
        [Some(at.caught_minor), net.value, net.low, net.high]
    });
    let values = values.chain([net.value, net.low, net.high]).flatten();
    let least = alerts.clamp(0.1, 1.0);
    let mut plot = Plot::new(Scale::log(least, most.max(10.0)), Scale::around(values));
    plot.axis_x("alerts a day, log scale", short);
    plot.axis_y("saved a day", |minor| short_money(minor, worth.minor_digits));
    let ends = |end: fn(&Estimate) -> Option<f64>| -> Vec<(f64, f64)> {
        let at = |at: &Budget| Some((f64::from(at.alerts_per_day), end(&at.net_minor)?));
        budget.iter().filter_map(at).collect()
    };
    plot.band("band", &ends(|net| net.low), &ends(|net| net.high));
    let caught = budget.iter().map(|at| (f64::from(at.alerts_per_day), at.caught_minor));
    plot.line("plain", caught);
    plot.line("curve", ends(|net| net.value).into_iter());
    let (left, right, zero) = (plot.x.at(least), plot.x.at(most), plot.y.at(0.0));
    plot.rule("zero", left, zero, right, zero);
    if let Some(value) = net.value {
        if let (Some(low), Some(high)) = (net.low, net.high) {
            plot.whisker_y("whisker REVIEW", &Whisker { low, high, at: *alerts });
        }
        let net = balance(value, worth.minor_digits, &worth.currency);
        plot.dot("dot REVIEW", *alerts, value, &format!("{alerts:.0} alerts a day, net {net}"));
    }
    plot.drawn("money saved a day against alerts a day")
}

/// The budgets up to the first that loses more than any saves: past it the curve only falls.
fn worth_drawing(budget: &[Budget]) -> &[Budget] {
    let net = |at: &Budget| at.net_minor.value.unwrap_or(0.0);
    let most = budget.iter().map(net).fold(0.0, f64::max);
    let last = budget.iter().position(|at| net(at) < -most);
    &budget[..last.map_or(budget.len(), |last| last.max(2).min(budget.len()))]
}

/// Alerts a day as decided, and their net amount a day.
fn today(worth: &Money) -> (f64, Estimate) {
    let days = worth.days.max(1) as f64;
    let a_day = |amount: Option<f64>| amount.map(|minor| minor / days);
    let Estimate { value, low, high } = worth.net_minor;
    let net = Estimate { value: a_day(value), low: a_day(low), high: a_day(high) };
    (worth.alerts as f64 / days, net)
}

fn best(worth: &Money) -> String {
    let by_net = |a: &&Budget, b: &&Budget| {
        let net = |at: &Budget| at.net_minor.value.unwrap_or(f64::NEG_INFINITY);
        net(a).total_cmp(&net(b))
    };
    let Some(best) = worth.budget.iter().max_by(by_net) else { return String::from(NONE) };
    let net = best.net_minor.value.unwrap_or(0.0);
    if net <= 0.0 {
        return String::from("No budget pays for itself. ");
    }
    format!(
        "Of these budgets {} a day saves most: {} a day. ",
        best.alerts_per_day,
        money(net, worth.minor_digits, &worth.currency)
    )
}
