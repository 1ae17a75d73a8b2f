//! The few figures that a reader wants first.

use super::super::measure::words::{balance, count, money};
use super::super::measure::{ALERT, Alerts, Estimate, Measures};
use super::curves::level;
use super::show::{NONE, both, escaped, interval, percent, value};

/// One figure with what it means.
struct Tile {
    name: String,
    value: String,
    interval: String,
    note: String,
}

pub(super) fn tiles(measures: &Measures) -> String {
    let tiles = all(measures);
    let tile = |tile: &Tile| {
        format!(
            "<div class=\"tile\"><h3>{}</h3><p class=\"value\">{}</p>\
             <p class=\"interval\">{}</p><p class=\"hint\">{}</p></div>",
            escaped(&tile.name),
            escaped(&tile.value),
            escaped(&tile.interval),
            escaped(&tile.note)
        )
    };
    format!("<div class=\"tiles\">{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

/// What can be said while nothing is labelled.
fn unlabelled(measures: &Measures) -> Vec<Tile> {
    let level = |alerts: &Alerts| Tile {
        name: String::from(level(alerts.outcome)),
        value: alerts.share.map_or_else(|| String::from(NONE), percent),
        interval: format!("{} of {} events", count(alerts.events), count(measures.counts.events)),
        note: String::from("Nothing is labelled yet: how good they were is not known."),
    };
    measures.alerts.iter().map(level).collect()
}

fn all(measures: &Measures) -> Vec<Tile> {
    if measures.counts.labelled == 0 {
        return unlabelled(measures);
    }
    let worth = &measures.money;
    let three = |value: f64| format!("{value:.3}");
    let net = |minor: f64| balance(minor, worth.minor_digits, &worth.currency);
    let mut tiles = vec![tile(
        String::from("Average precision"),
        &measures.ranking.average_precision,
        three,
        format!("alerts at random: {}", value(&measures.fraud_share, three)),
    )];
    tiles.push(tile(
        String::from("AUC"),
        &measures.ranking.auc,
        three,
        String::from("at random: 0.500"),
    ));
    if let Some(alerts) = measures.alerts.iter().find(|alerts| alerts.outcome == ALERT) {
        let share = alerts.share.map_or_else(String::new, percent);
        tiles.push(tile(
            String::from("Precision of alerts"),
            &alerts.precision,
            percent,
            format!("{share} of events are alerts: REVIEW and BLOCK"),
        ));
        tiles.push(tile(
            String::from("Recall of alerts"),
            &alerts.recall,
            percent,
            String::from("of the frauds"),
        ));
    }
    let cards = &measures.card_precision;
    tiles.push(tile(
        format!("Card precision at {}", cards.k),
        &cards.mean,
        percent,
        match cards.best {
            Some(best) => format!("mean of the days; perfect: {}", percent(best)),
            None => String::from("mean of the days"),
        },
    ));
    let caught = both(&Estimate { low: None, high: None, ..worth.caught_share }, percent);
    tiles.push(tile(
        String::from("Net saving"),
        &worth.net_minor,
        net,
        format!(
            "{caught} of {} fraud caught, less the cost of alerts",
            money(worth.fraud_minor, worth.minor_digits, &worth.currency)
        ),
    ));
    tiles
}

fn tile(
    name: String,
    estimate: &Estimate,
    show: impl Fn(f64) -> String + Copy,
    note: String,
) -> Tile {
    let interval = match estimate.low {
        Some(_) => format!("95 %: {}", interval(estimate, show)),
        None if estimate.value.is_some() => String::from("too little for an interval"),
        None => String::from("nothing to measure it by"),
    };
    Tile { name, value: value(estimate, show), interval, note }
}
