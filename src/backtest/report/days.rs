//! Card precision, day by day.

use super::super::measure::words::count;
use super::super::measure::{CardDay, Known, Measures};
use super::scale::Scale;
use super::show::{NONE, bare_percent, both, escaped, percent, tick};
use super::svg::Plot;
use super::table::{empty, legend, section, table};

/// Days that are named below the plot, about.
const NAMED: usize = 6;

pub(super) fn card_precision(measures: &Measures) -> String {
    let cards = &measures.card_precision;
    let heading = format!("Card precision at {} a day", cards.k);
    if cards.days.is_empty() {
        return empty(&heading, "Nothing is labelled yet.");
    }
    let best = |day: &CardDay| day.compromised.min(cards.k as u64) as f64 / cards.k as f64;
    let most = cards.days.iter().map(best).fold(0.0, f64::max);
    let n = cards.days.len() as f64;
    let y = if most > 0.0 { Scale::around([most].into_iter()) } else { Scale::linear(0.0, 1.0) };
    let mut plot = Plot::new(Scale::linear(0.0, n), y);
    plot.axis_y("accounts with fraud, % of k", |share| tick(share * 100.0));
    let inset = if n > 40.0 { 0.3 } else { 1.5 };
    for (at, day) in cards.days.iter().enumerate() {
        let here = (at as f64, at as f64 + 1.0);
        let title = format!(
            "{}: {} of {} compromised accounts among the first {}",
            day.day, day.caught, day.compromised, cards.k
        );
        plot.bar("bar best", here, inset, best(day), &title);
        if day.caught > 0 {
            plot.bar("bar curve", here, inset, day.precision, &title);
        }
    }
    name_days(&mut plot, &cards.days);
    if let Some(mean) = cards.mean.value {
        plot.line("mean", [(0.0, mean), (n, mean)].into_iter());
    }
    let drawn = plot.drawn("card precision by day");
    let legend =
        legend(&[("bar curve", "precision"), ("bar best", "a perfect ranking"), ("mean", "mean")]);
    let left_out = match measures.options.known {
        Known::LeftOut => " An account that was caught is left out of the days after.",
        Known::Kept => "",
    };
    let hint = format!(
        "Of the {} accounts a day with the highest scores, how many had a fraud that day: what a team sees \
         that looks at {0} accounts a day.{left_out}",
        cards.k
    );
    section(&heading, &hint, &(drawn + &legend), &format!("<div>{}</div>", tables(measures)))
}

fn tables(measures: &Measures) -> String {
    let cards = &measures.card_precision;
    let optional = |share: Option<f64>| share.map_or_else(|| String::from(NONE), percent);
    let day = |day: Option<&CardDay>| {
        day.map_or_else(
            || String::from(NONE),
            |day| format!("{}, {}", percent(day.precision), day.day),
        )
    };
    let by_precision = |a: &&CardDay, b: &&CardDay| a.precision.total_cmp(&b.precision);
    let rows = [
        ("mean", both(&cards.mean, percent)),
        ("standard deviation over days", optional(cards.deviation)),
        ("perfect ranking, mean", optional(cards.best)),
        ("best day", day(cards.days.iter().max_by(by_precision))),
        ("worst day", day(cards.days.iter().min_by(by_precision))),
        ("days", count(cards.days.len() as u64)),
    ];
    let rows = rows.map(|(what, value)| vec![String::from(what), value]);
    let days = cards.days.iter().map(|day| {
        vec![
            day.day.clone(),
            count(day.accounts),
            count(day.compromised),
            count(day.caught),
            bare_percent(day.precision),
        ]
    });
    let heads = ["day", "accounts", "compromised", "caught", "precision, %"];
    let summary = escaped("Every day");
    format!(
        "{}<details><summary>{summary}</summary>{}</details>",
        table(&["over all days", ""], rows),
        table(&heads, days)
    )
}

fn name_days(plot: &mut Plot, days: &[CardDay]) {
    let every = days.len().div_ceil(NAMED).max(1);
    for (at, day) in days.iter().enumerate().step_by(every) {
        let x = plot.x.at(at as f64 + 0.5);
        let base = plot.y.base();
        // without the year
        let name = day.day.get(5..).unwrap_or(&day.day);
        plot.text(x, base + 16.0, "middle", "tick", name);
    }
    let (left, right) = (plot.x.at(0.0), plot.x.at(days.len() as f64));
    let base = plot.y.base();
    plot.text((left + right) / 2.0, base + 38.0, "middle", "label", "day (UTC)");
}
