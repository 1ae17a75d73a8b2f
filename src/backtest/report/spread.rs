//! Scores: whether they are probabilities, and how they are spread.

use super::super::measure::words::count;
use super::super::measure::{Measures, ScoreBin};
use super::scale::Scale;
use super::show::{bare_percent, both, decimals, interval, percent, short, value};
use super::svg::{Plot, Whisker};
use super::table::{empty, legend, section, table};

pub(super) fn calibration(measures: &Measures) -> String {
    const HEADING: &str = "Calibration";
    let calibration = &measures.calibration;
    if calibration.bins.is_empty() {
        return empty(HEADING, "Nothing is labelled yet.");
    }
    let mut plot = Plot::new(Scale::linear(0.0, 1.0), Scale::linear(0.0, 1.0));
    plot.axis_x("mean score", |score| format!("{score:.1}"));
    plot.axis_y("fraud, % of events", |share| format!("{:.0}", share * 100.0));
    plot.line("guide", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    let points = || {
        let bins = calibration.bins.iter();
        bins.filter_map(|bin| Some((bin.mean_score, bin.fraud_share.value?)))
    };
    plot.line("curve thin", points());
    for bin in &calibration.bins {
        let share = &bin.fraud_share;
        if let (Some(low), Some(high)) = (share.low, share.high) {
            plot.whisker_y("whisker curve", &Whisker { low, high, at: bin.mean_score });
        }
        let title = format!("{} events, fraud {}", count(bin.events), both(share, percent));
        plot.dot("dot curve", bin.mean_score, share.value.unwrap_or(0.0), &title);
    }
    let drawn = plot.drawn("fraud share against mean score, in ten bins");
    let legend = legend(&[
        ("dot curve", "events of a bin, with 95 % interval"),
        ("guide", "a score that is a probability"),
    ]);
    let rows = calibration.bins.iter().map(|bin| {
        vec![
            format!("{:.1} to {:.1}", bin.from, bin.to),
            count(bin.events),
            decimals(bin.mean_score),
            value(&bin.fraud_share, bare_percent),
            interval(&bin.fraud_share, bare_percent),
        ]
    });
    let heads = ["score", "events", "mean score", "fraud, %", "95 % interval, %"];
    let hint = format!(
        "Whether a score of 0.3 is fraud three times in ten: below the dashed line scores promise too much \
         fraud, above it too little. Expected calibration error {}, Brier score {}, log loss {}.",
        both(&calibration.expected_calibration_error, |error| format!("{error:.4}")),
        value(&calibration.brier, |brier| format!("{brier:.4}")),
        value(&calibration.log_loss, |loss| format!("{loss:.4}")),
    );
    section(HEADING, &hint, &(drawn + &legend), &table(&heads, rows))
}

pub(super) fn scores(measures: &Measures) -> String {
    const HEADING: &str = "Scores";
    let bins = &measures.scores;
    let total = |bin: &ScoreBin| bin.frauds + bin.genuine + bin.unlabelled;
    let most = bins.iter().map(total).max().unwrap_or(0) as f64;
    if most == 0.0 {
        return empty(HEADING, "There are no events.");
    }
    let has_unlabelled = measures.counts.labelled == 0;
    let mut plot = Plot::new(Scale::linear(0.0, 1.0), Scale::log(0.5, most.max(10.0) * 1.2));
    plot.axis_x("score", |score| format!("{score:.1}"));
    plot.axis_y("events, log scale", short);
    for bin in bins {
        let here = (bin.from, bin.to);
        let words = format!(
            "{:.2} to {:.2}: {} genuine, {} fraud, {} not labelled",
            bin.from,
            bin.to,
            count(bin.genuine),
            count(bin.frauds),
            count(bin.unlabelled)
        );
        let back = if has_unlabelled { bin.unlabelled } else { bin.genuine };
        if back > 0 {
            plot.bar("bar genuine", here, 0.8, back as f64, &words);
        }
        if bin.frauds > 0 {
            plot.bar("bar fraud", here, 4.5, bin.frauds as f64, &words);
        }
    }
    let drawn = plot.drawn("events by score, fraud and genuine, on a log scale");
    let legend = match has_unlabelled {
        true => legend(&[("bar genuine", "not labelled")]),
        false => legend(&[("bar genuine", "genuine"), ("bar fraud", "fraud")]),
    };
    let fifths = bins.chunks(bins.len().div_ceil(5).max(1)).map(|bins| {
        let sum = |of: fn(&ScoreBin) -> u64| count(bins.iter().map(of).sum());
        let ends = bins.first().zip(bins.last());
        vec![
            ends.map(|(first, last)| format!("{:.1} to {:.1}", first.from, last.to))
                .unwrap_or_default(),
            sum(|bin| bin.genuine),
            sum(|bin| bin.frauds),
            sum(|bin| bin.unlabelled),
        ]
    });
    let heads = ["score", "genuine", "fraud", "not labelled"];
    let hint = "Fraud belongs at the right, genuine events at the left; where they overlap, no threshold \
                tells them apart.";
    section(HEADING, hint, &(drawn + &legend), &table(&heads, fifths))
}
