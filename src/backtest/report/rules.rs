//! What each rule brings: hits and precision side by side.

use super::super::measure::words::count;
use super::super::measure::{Measures, RuleHits};
use super::scale::Scale;
use super::show::{NONE, bare_percent, both, interval, percent, short, value};
use super::svg::{Plot, WIDTH, Whisker};
use super::table::{empty, legend, section, table};

/// Rules that are drawn at most, those with most hits; the table has all.
const DRAWN_MAX: usize = 30;

/// Pixels of one rule.
const ROW: f64 = 22.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 40.0;

/// Where the panels of hits and of precision lie.
const HITS: (f64, f64) = (158.0, 280.0);
const PRECISION: (f64, f64) = (304.0, WIDTH - 14.0);

/// Letters of a rule's name that fit.
const NAME_MAX: usize = 21;

pub(super) fn rules(measures: &Measures) -> String {
    const HEADING: &str = "Rules";
    let mut rules: Vec<&RuleHits> = measures.rules.iter().collect();
    if rules.is_empty() {
        return empty(HEADING, "There are no rules.");
    }
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.hits));
    let left_out = rules.len().saturating_sub(DRAWN_MAX);
    let drawn = drawn(&rules[..rules.len() - left_out]);
    let legend =
        legend(&[("bar genuine", "hits"), ("dot curve", "precision, with 95 % interval (Wilson)")]);
    let rows = rules.iter().map(|rule| {
        vec![
            rule.rule.clone(),
            count(rule.hits),
            count(rule.frauds),
            value(&rule.precision, bare_percent),
            interval(&rule.precision, bare_percent),
            rule.recall.map_or_else(|| String::from(NONE), bare_percent),
            rule.recall_alone.map_or_else(|| String::from(NONE), bare_percent),
        ]
    });
    let heads = [
        "rule",
        "hits",
        "frauds",
        "precision, %",
        "95 % interval, %",
        "recall, %",
        "caught alone, %",
    ];
    let mut hint = String::from(
        "How often each rule matched and how many of its labelled hits were fraud. Recall is its part of all \
         fraud; caught alone is the part that no other rule matched: what would be missed without it.",
    );
    if left_out > 0 {
        hint += &format!(" Drawn are the {DRAWN_MAX} with most hits; the table has all.");
    }
    let html = section(HEADING, &hint, &(drawn + &legend), &table(&heads, rows));
    html.replacen("<section>", "<section class=\"wide\">", 1)
}

fn drawn(rules: &[&RuleHits]) -> String {
    let bottom = TOP + ROW * rules.len() as f64;
    let most = rules.iter().map(|rule| rule.hits).max().unwrap_or(0) as f64;
    let hits = Scale::log(0.5, most.max(10.0)).on(HITS.0, HITS.1);
    let share = Scale::linear(0.0, 1.0).on(PRECISION.0, PRECISION.1);
    let rows = Scale::linear(0.0, rules.len() as f64).on(TOP, bottom);
    let mut plot = Plot::of_height(bottom + BOTTOM, share, rows);
    panel(&mut plot, &hits, "hits, log scale", bottom, short);
    panel(&mut plot, &share, "precision, %", bottom, |share| format!("{:.0}", share * 100.0));
    for (at, rule) in rules.iter().enumerate() {
        let middle = TOP + ROW * (at as f64 + 0.5);
        plot.text(HITS.0 - 8.0, middle + 4.0, "end", "name", &fitted(&rule.rule));
        let title = format!("{}: {} hits", rule.rule, count(rule.hits));
        if rule.hits > 0 {
            let width = hits.at(rule.hits as f64) - HITS.0;
            plot.rect("bar genuine", (HITS.0, middle - 6.0), (width, 12.0), &title);
        }
        let precision = &rule.precision;
        if let (Some(low), Some(high)) = (precision.low, precision.high) {
            plot.whisker_x("whisker curve", &Whisker { low, high, at: at as f64 + 0.5 });
        }
        if let Some(share) = precision.value {
            let title = format!("{}: precision {}", rule.rule, both(precision, percent));
            plot.dot("dot curve", share, at as f64 + 0.5, &title);
        }
    }
    plot.drawn("hits and precision of each rule")
}

fn panel(plot: &mut Plot, scale: &Scale, label: &str, bottom: f64, show: impl Fn(f64) -> String) {
    let ticks = scale.ticks();
    // many orders of magnitude do not fit side by side
    let every = ticks.len().div_ceil(6).max(1);
    for (at, tick) in ticks.iter().enumerate() {
        let x = scale.at(*tick);
        plot.rule("grid", x, TOP - 4.0, x, bottom);
        if at % every == 0 {
            plot.text(x, bottom + 15.0, "middle", "tick", &show(*tick));
        }
    }
    let middle = ticks
        .first()
        .zip(ticks.last())
        .map_or(0.0, |(first, last)| (scale.at(*first) + scale.at(*last)) / 2.0);
    plot.text(middle, bottom + 32.0, "middle", "label", label);
}

fn fitted(name: &str) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    name.chars().take(NAME_MAX - 1).chain(['…']).collect()
}
