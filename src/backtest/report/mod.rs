//! What people look at: one HTML page that needs nothing beside it, and a summary for the terminal.
//!
//! The page is a file to keep, print and send: its plots are inline SVG drawn here, its styles are
//! inline, there is no script and nothing is loaded. Every plot has its numbers in a table beside it.

mod budget;
mod curves;
mod days;
mod matrix;
mod roc;
mod rules;
mod scale;
mod show;
mod spread;
mod svg;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod tiles;
mod versus;

use super::measure::words::count;
use super::measure::{Comparison, Counts, Measures};
use show::{both, escaped, percent};

pub use text::text;

/// The page's styles: those of the console, and what plots need.
const STYLE: &str = include_str!("report.css");

/// The report as one self-contained HTML page. `details` are pairs of what and which, as files,
/// hashes and times, shown at the head.
pub fn html(
    measures: &Measures,
    comparisons: &[Comparison],
    title: &str,
    details: &[(String, String)],
) -> String {
    let versus: String =
        comparisons.iter().map(|comparison| versus::versus(measures, comparison)).collect();
    let sections = [
        head(measures, title, details),
        String::from("<main>\n"),
        tiles::tiles(measures),
        versus::overview(measures, comparisons),
        versus,
        curves::precision_recall(measures),
        roc::roc(measures),
        rules::rules(measures),
        budget::budget(measures),
        days::card_precision(measures),
        spread::calibration(measures),
        spread::scores(measures),
        foot(measures),
        String::from("</main>\n</body>\n</html>\n"),
    ];
    sections.concat()
}

fn head(measures: &Measures, title: &str, details: &[(String, String)]) -> String {
    let title = escaped(title);
    let details: String = details
        .iter()
        .map(|(what, which)| {
            format!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(what), escaped(which))
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><p>{}</p><dl>{details}</dl></header>\n",
        escaped(&over(&measures.counts, &both(&measures.fraud_share, percent)))
    )
}

/// What was measured over, in one sentence.
fn over(counts: &Counts, fraud_share: &str) -> String {
    let times = match (counts.from, counts.until) {
        (Some(from), Some(until)) => {
            let day = |time: crate::event::Millis| {
                time.to_string()
                    .split_once('T')
                    .map_or_else(|| time.to_string(), |at| at.0.to_owned())
            };
            format!(", {} to {}", day(from), day(until))
        }
        _ => String::new(),
    };
    let labelled = match counts.labelled {
        0 => String::from("none is labelled"),
        labelled => format!(
            "{} are labelled, {} frauds on {} accounts: {fraud_share}",
            count(labelled),
            count(counts.frauds),
            count(counts.fraud_accounts)
        ),
    };
    format!(
        "{} events of {} accounts on {} days{times}; {labelled}.",
        count(counts.events),
        count(counts.accounts),
        count(counts.days)
    )
}

fn foot(measures: &Measures) -> String {
    let options = &measures.options;
    format!(
        "<footer><p>Intervals are 95 % percentile intervals of {} resamples of whole accounts (seed {}), those \
         of rules, of score bins and of shares of 0 or 100 % Wilson's. A verdict on a challenger rests on two \
         intervals of 97.5 %, so that of a hundred equal challengers about five are told apart. All but \
         numbers of events and hits is measured over labelled events. Days are days of UTC.</p></footer>\n",
        options.replicates, options.seed
    )
}
