//! The page is whole, safe and self-contained, whatever it is made of.

use super::super::measure::Options;
use super::super::sample::{Names, Sample, Verdict};
use super::*;
use crate::event::{Kind, Millis, Outcome};

const WILD: &str = "</style><script>alert(\"x\")</script>&'\u{1b}[2J";

/// Thirty accounts with twenty events each, a tenth of them fraud.
fn samples(label: impl Fn(u32) -> Option<bool>) -> Vec<Sample> {
    let sample = |n: u32| {
        let score = f64::from(n * 37 % 100) / 100.0 * if n.is_multiple_of(10) { 1.0 } else { 0.6 };
        let outcome = if score > 0.5 { Outcome::Block } else { Outcome::Allow };
        Sample {
            time: Millis(i64::from(n) * 7_200_000),
            kind: Kind::Transaction,
            account: n % 30,
            amount_minor: i64::from(n) * 10,
            score,
            outcome,
            rules: vec![u16::from(n.is_multiple_of(3))],
            label: label(n),
            challengers: vec![Verdict { outcome: Outcome::Review, score: 1.0 - score }],
        }
    };
    (0..600).map(sample).collect()
}

fn names() -> Names {
    Names {
        rules: vec![String::from(WILD), String::from("velocity")],
        challengers: vec![String::from(WILD)],
    }
}

fn page(samples: &[Sample]) -> (String, String) {
    let options = Options { replicates: 40, currency: String::from(WILD), ..Options::default() };
    let measures = Measures::of(samples, &names(), &options);
    let comparison = Comparison::of(samples, &names(), 0, &options).expect("a challenger");
    let comparisons = [comparison.clone(), comparison];
    let details = [(String::from(WILD), String::from(WILD))];
    (html(&measures, &comparisons, WILD, &details), text(&measures, &comparisons))
}

/// Every kind of truth there may be.
fn cases() -> Vec<(&'static str, Vec<Sample>)> {
    let mut wild = samples(|n| Some(n.is_multiple_of(10)));
    for (at, sample) in wild.iter_mut().enumerate() {
        sample.score = [f64::NAN, f64::INFINITY, -5.0, 0.5, 1.0][at % 5];
        sample.amount_minor = [i64::MIN, i64::MAX, 0][at % 3];
    }
    wild[0].time = Millis(i64::MIN);
    wild[1].time = Millis(i64::MAX);
    vec![
        ("labelled", samples(|n| Some(n.is_multiple_of(10)))),
        ("not labelled", samples(|_| None)),
        ("all fraud", samples(|_| Some(true))),
        ("all genuine", samples(|_| Some(false))),
        ("one", samples(|n| Some(n == 0)).into_iter().take(1).collect()),
        ("nothing", Vec::new()),
        ("wild", wild),
    ]
}

/// Every tag that is opened is closed, in order.
fn assert_whole(case: &str, page: &str) {
    let empty = ["meta", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).expect("a tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{case}: closed, the last that is open");
        } else if !tag.ends_with('/') && !empty.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "{case}: left open");
}

#[test]
fn the_page_is_whole_and_holds_nothing_but_figures() {
    for (case, samples) in cases() {
        let (page, text) = page(&samples);
        assert_whole(case, &page);
        for bad in ["NaN", "inf", "None", "<script", "http:", "https:", "@import", "url("] {
            // the style sheet holds none of them either
            assert!(!page.contains(bad), "{case}: {bad:?} in the page");
        }
        assert!(!text.contains("NaN") && !text.contains('\u{1b}'), "{case}: {text}");
    }
}

#[test]
fn every_plot_is_drawn_and_has_its_table() {
    let (page, _) = page(&samples(|n| Some(n.is_multiple_of(10))));
    for heading in [
        "Precision and recall",
        "ROC curve",
        "Rules",
        "Cost against alert budget",
        "Card precision at 100 a day",
        "Calibration",
        "Scores",
    ] {
        let section =
            page.split("<section").find(|section| section.contains(&format!("<h2>{heading}</h2>")));
        let section = section.unwrap_or_else(|| panic!("no {heading}"));
        assert!(section.contains("<svg "), "{heading} is drawn");
        assert!(section.contains("<table>"), "{heading} has a table");
        assert!(section.contains("class=\"legend\""), "{heading} has a legend");
        assert!(section.matches("class=\"label\"").count() >= 2, "{heading} names both axes");
        assert!(section.contains("class=\"tick\""), "{heading} has ticks");
    }
    assert!(page.contains("class=\"matrix\""));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
}

#[test]
fn marks_stay_within_their_plot() {
    for (case, samples) in cases() {
        let (page, _) = page(&samples);
        for svg in page.split("<svg ").skip(1) {
            let svg = svg.split("</svg>").next().expect("an svg");
            let numbers = |name: &str| -> Vec<f64> {
                let before = format!(" {name}=\"");
                let values = svg.split(&before).skip(1);
                values.filter_map(|at| at.split('"').next()?.parse().ok()).collect()
            };
            for name in ["x1", "x2", "cx"] {
                assert!(numbers(name).iter().all(|x| (0.0..=460.0).contains(x)), "{case}: {svg}");
            }
        }
    }
}

#[test]
fn the_text_is_aligned() {
    let (_, text) = page(&samples(|n| Some(n.is_multiple_of(10))));
    let auc = text.lines().find(|line| line.starts_with("  AUC")).expect("AUC");
    let net = text.lines().find(|line| line.starts_with("  net saving")).expect("net saving");
    let column = |line: &str| {
        line.len() - line.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '-').len()
    };
    assert_eq!(column(auc), column(net), "{text}");
}
