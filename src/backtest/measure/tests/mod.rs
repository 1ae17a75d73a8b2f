//! Properties of the measures: against twins straight from the definitions, against known numbers, and over
//! planted samples.

mod challengers;
mod intervals;
mod known;
mod planted;
mod twins;

use super::super::sample::{Names, Sample};
use super::*;
use crate::event::Kind;

/// A transaction on the first day, of account `account`.
fn sample(account: u32, score: f64, label: Option<bool>) -> Sample {
    Sample {
        time: Millis(0),
        kind: Kind::Transaction,
        account,
        amount_minor: 100,
        score,
        outcome: if score >= 0.5 { Outcome::Review } else { Outcome::Allow },
        rules: Vec::new(),
        label,
        challengers: Vec::new(),
    }
}

/// Each of another account.
fn samples(labels: &[u8], scores: &[f64]) -> Vec<Sample> {
    let pairs = labels.iter().zip(scores).zip(0..);
    pairs.map(|((label, score), account)| sample(account, *score, Some(*label == 1))).collect()
}

fn measured(samples: &[Sample]) -> Measures {
    Measures::of(samples, &Names::default(), &Options::default())
}

fn assert_near(is: Option<f64>, wanted: f64) {
    let is = is.expect("a value");
    assert!((is - wanted).abs() < 1e-9, "is {is}, wanted {wanted}");
}
