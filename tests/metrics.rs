//! The page of metrics is made from the vocabulary.

#![allow(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

use std::collections::BTreeSet;
use std::path::Path;

use weir::telemetry::metric::{ALL, Shape, page};

#[test]
fn the_page_is_what_the_vocabulary_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let there = std::fs::read_to_string(path).unwrap();
    assert_eq!(there, page(), "run: cargo run -- metrics --markdown > docs/metrics.md");
}

#[test]
fn names_are_unique_and_say_what_they_count() {
    let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        let name = metric.name;
        let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(name.starts_with("weir_") && is_plain, "{name}");
        assert_eq!(name.ends_with("_total"), metric.shape == Shape::Counter, "{name}");
        assert!(metric.shape != Shape::Histogram || name.ends_with("_seconds"), "{name}");
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}");
    }
}
