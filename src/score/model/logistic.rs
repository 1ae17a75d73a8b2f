//! A logistic model: weights in TOML.

use serde::Deserialize;

use super::feature::{FeatureValues, ModelFeature};
use super::limits::MODEL_FEATURES_MAX;
use super::link::Link;
use super::{Body, ModelError, Parsed};

/// The version of the format.
const VERSION: u32 = 1;

/// No feature moves the margin further: a probability is 0 or 1 long before, and sums stay exact.
const PART_MAX: f64 = 1e6;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: String,
    version: u32,
    intercept: f64,
    #[serde(default)]
    feature: Vec<Weight>,
}

/// One feature of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    name: String,
    /// what the margin grows by for each `scale` above the mean
    weight: f64,
    /// the value that stands for a missing one
    missing: f64,
    #[serde(default)]
    mean: f64,
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

/// `intercept + Σ weight * (x - mean) / scale`.
#[derive(Debug)]
pub(super) struct Logistic {
    intercept: f64,
    weights: Vec<Weight>,
}

impl Logistic {
    /// The margin of a row.
    pub(super) fn raw(&self, row: &[f64]) -> f64 {
        let parts = self.weights.iter().enumerate().map(|(at, weight)| weight.part(row, at));
        parts.fold(self.intercept, |sum, part| sum + part)
    }

    /// Each feature's part of it, and the intercept.
    pub(super) fn attribute(&self, row: &[f64], out: &mut [f64]) -> f64 {
        for (at, weight) in self.weights.iter().enumerate() {
            out[at] = weight.part(row, at);
        }
        self.intercept
    }
}

impl Weight {
    fn part(&self, row: &[f64], at: usize) -> f64 {
        let value = row.get(at).copied().unwrap_or(f64::NAN);
        let value = if value.is_finite() { value } else { self.missing };
        (self.weight * (value - self.mean) / self.scale).clamp(-PART_MAX, PART_MAX)
    }
}

/// Reads it.
pub(super) fn parse(file: &str, text: &str) -> Result<Parsed, ModelError> {
    let read: File = toml::from_str(text).map_err(|error| ModelError::toml(file, text, &error))?;
    let refuse = |message: String| Err(ModelError::file(file, message));
    if read.model != "logistic" {
        return refuse(format!("model is {:?}, expected \"logistic\"", read.model));
    }
    if read.version != VERSION {
        return refuse(format!("version is {}, expected {VERSION}", read.version));
    }
    if read.feature.is_empty() || read.feature.len() > MODEL_FEATURES_MAX {
        let found = read.feature.len();
        return refuse(format!("{found} features, expected 1 to {MODEL_FEATURES_MAX}"));
    }
    if !read.intercept.is_finite() {
        return refuse(format!("intercept is {}, expected a finite number", read.intercept));
    }
    for Weight { name, weight, missing, mean, scale } in &read.feature {
        let numbers = [("weight", weight), ("missing", missing), ("mean", mean), ("scale", scale)];
        for (what, value) in numbers {
            if !value.is_finite() {
                let message = format!("{what} of {name:?} is {value}, expected a finite number");
                return refuse(message);
            }
        }
        if *scale <= 0.0 {
            return refuse(format!("scale of {name:?} is {scale}, expected a number above 0"));
        }
    }
    let feature = |weight: &Weight| ModelFeature::new(&weight.name, FeatureValues::Numeric);
    Ok(Parsed {
        kind: "logistic",
        features: read.feature.iter().map(feature).collect(),
        body: Body::Logistic(Logistic { intercept: read.intercept, weights: read.feature }),
        link: Link::Sigmoid(1.0),
        objective: "logistic".to_owned(),
    })
}
