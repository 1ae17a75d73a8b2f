//! Models of others, run here: LightGBM's text, XGBoost's JSON, a logistic model in TOML.
//!
//! ```text
//!  file ─► parser ─► trees ─► builder ─► forest ─┐
//!     └──► names, categories, objective ─────────┴─► model ─► margin ─► output ─► calibration ─► 0..1
//!                                                        └──► what each feature did ─► reasons
//! ```
//!
//! A model predicts what its library predicts or it is refused when it is loaded: whatever in a file
//! could change a prediction is either followed or named in the refusal. After that nothing can
//! fail: children and columns are in range, ways down end, values are finite.
//!
//! LightGBM computes in 64 bits and so do we. XGBoost computes in 32: values are rounded to `f32`
//! before they are compared with thresholds that are `f32`, and leaves are summed in `f32`, tree by
//! tree, so margins are the library's to the last bit. `docs/models.md` has the rest.

mod build;
pub mod calibration;
mod error;
mod feature;
mod forest;
mod lightgbm;
pub mod limits;
mod link;
mod logistic;
mod math;
mod reasons;
mod shap;
#[cfg(test)]
mod tests;
mod xgboost;

use sha2::{Digest, Sha256};

pub use calibration::Calibration;
pub use error::{ModelError, Spot};
pub use feature::{FeatureValues, ModelFeature, Words};
pub use reasons::{Driver, drivers};

use crate::config::hex;
use crate::event::Slot;
use forest::Forest;
use limits::{MODEL_BYTES_MAX, MODEL_FEATURES_MAX};
use link::Link;
use logistic::Logistic;

/// A model, ready to score; nothing in it changes any more.
#[derive(Debug)]
pub struct Model {
    file: String,
    kind: &'static str,
    features: Vec<ModelFeature>,
    body: Body,
    link: Link,
    objective: String,
    calibration: Calibration,
    hash: String,
}

#[derive(Debug)]
enum Body {
    Trees(Forest),
    Logistic(Logistic),
}

/// What a parser makes of a file.
struct Parsed {
    kind: &'static str,
    features: Vec<ModelFeature>,
    body: Body,
    link: Link,
    objective: String,
}

impl Model {
    /// Reads a model that says how probable something is. `file` is its name in errors.
    ///
    /// # Errors
    /// What is wrong and where; also an objective that gives no probability: such a model is loaded
    /// with [`Model::load_any`] and calibrated.
    pub fn load(file: &str, text: &str) -> Result<Model, ModelError> {
        let model = Model::load_any(file, text)?;
        match model.link.is_probability() {
            true => Ok(model),
            false => Err(ModelError::file(file, model.no_probability())),
        }
    }

    /// Reads a model of any objective with one output a row. Its [`Model::probability`] is one only
    /// after [`Model::calibrated`].
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn load_any(file: &str, text: &str) -> Result<Model, ModelError> {
        if text.len() > MODEL_BYTES_MAX {
            let message = format!("{} bytes, expected at most {MODEL_BYTES_MAX}", text.len());
            return Err(ModelError::file(file, message));
        }
        let parsed = parse(file, text)?;
        if parsed.features.len() > MODEL_FEATURES_MAX {
            let found = parsed.features.len();
            let message = format!("{found} features, expected at most {MODEL_FEATURES_MAX}");
            return Err(ModelError::file(file, message));
        }
        if let Some(fault) = feature::fault(&parsed.features) {
            return Err(ModelError::file(file, fault));
        }
        let Parsed { kind, features, body, link, objective } = parsed;
        let calibration = Calibration::Identity;
        let hash = hex(&Sha256::digest(text));
        let file = file.to_owned();
        Ok(Model { file, kind, features, body, link, objective, calibration, hash })
    }

    /// The same model with its output corrected by a table.
    ///
    /// # Errors
    /// The identity, for a model whose output is no probability.
    pub fn calibrated(self, calibration: Calibration) -> Result<Model, ModelError> {
        if calibration == Calibration::Identity && !self.link.is_probability() {
            return Err(ModelError::file(&self.file, self.no_probability()));
        }
        Ok(Model { calibration, ..self })
    }

    fn no_probability(&self) -> String {
        format!(
            "objective {:?} gives no probability, expected a classifier or a calibration for it",
            self.objective
        )
    }

    /// What the model reads, in the order of its rows.
    pub fn features(&self) -> &[ModelFeature] {
        &self.features
    }

    /// The number that stands for a value in a row. NaN is missing: what is not known, not of the
    /// feature's type, or a word the model was not trained with. An integer code that it was not
    /// trained with is passed on: it is in no split's set. A feature the model does not have is NaN.
    pub fn encode(&self, feature: usize, value: Slot<'_>) -> f64 {
        self.features.get(feature).map_or(f64::NAN, |feature| feature.encode(value))
    }

    /// The margin of a row: one encoded value a feature, in their order. What a shorter row does not
    /// have is missing. For random forests of LightGBM it is the mean, not the sum.
    pub fn raw(&self, row: &[f64]) -> f64 {
        match &self.body {
            Body::Trees(forest) => forest.raw(row),
            Body::Logistic(logistic) => logistic.raw(row),
        }
    }

    /// What the library's `predict` returns for a margin: not calibrated, and for a regression of
    /// any size.
    pub fn output(&self, raw: f64) -> f64 {
        self.link.apply(raw)
    }

    /// The probability, 0..1, that a margin stands for: its output, calibrated.
    pub fn probability(&self, raw: f64) -> f64 {
        self.calibration.apply(self.output(raw)).clamp(0.0, 1.0)
    }

    /// Writes what each feature did to the margin of a row, and returns the rest: their sum and the
    /// rest are [`Model::raw`]. Of trees it is what the expected value changed by at the splits on
    /// the way down (Saabas), of a logistic model weight times distance from the mean. `out` has one
    /// place a feature, and is set.
    ///
    /// # Panics
    /// When `out` is shorter than [`Model::features`].
    pub fn attribute(&self, row: &[f64], out: &mut [f64]) -> f64 {
        out.fill(0.0);
        match &self.body {
            Body::Trees(forest) => forest.attribute(row, out),
            Body::Logistic(logistic) => logistic.attribute(row, out),
        }
    }

    /// As [`Model::attribute`], by exact path-dependent TreeSHAP: what the libraries' `pred_contrib`
    /// gives. For explanations: hundreds of times slower.
    ///
    /// # Panics
    /// When `out` is shorter than [`Model::features`].
    pub fn shap(&self, row: &[f64], out: &mut [f64]) -> f64 {
        out.fill(0.0);
        match &self.body {
            Body::Trees(forest) => forest.shap(row, out),
            Body::Logistic(logistic) => logistic.attribute(row, out),
        }
    }

    /// How many trees it has; 0 for a logistic model.
    pub fn tree_count(&self) -> usize {
        match &self.body {
            Body::Trees(forest) => forest.roots.len(),
            Body::Logistic(_) => 0,
        }
    }

    /// Steps from a root to the furthest leaf.
    pub fn depth(&self) -> usize {
        match &self.body {
            Body::Trees(forest) => forest.depth,
            Body::Logistic(_) => 0,
        }
    }

    /// `lightgbm`, `xgboost` or `logistic`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The objective it was trained for, as the file names it.
    pub fn objective(&self) -> &str {
        &self.objective
    }

    /// How its output is corrected.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// SHA-256 of the file's text, hex. The calibration has one of its own.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Finds out whose file it is by how it begins.
fn parse(file: &str, text: &str) -> Result<Parsed, ModelError> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let refuse = |what: &str| {
        let message = format!(
            "{what}, expected LightGBM's text (save_model), XGBoost's JSON (save_model to .json) or \
             a logistic model in TOML"
        );
        Err(ModelError::file(file, message))
    };
    if start.is_empty() {
        return refuse("empty");
    }
    if start.starts_with("tree\n") || start.starts_with("tree\r\n") {
        return lightgbm::parse(file, text);
    }
    if start.starts_with("booster[") {
        return refuse("XGBoost's text dump, which has lost digits");
    }
    if start.starts_with("{L") {
        return refuse("XGBoost's UBJSON");
    }
    if start.starts_with("{\"name\":\"tree\"") {
        return refuse("LightGBM's JSON dump");
    }
    if start.starts_with(['{', '[']) {
        return xgboost::parse(file, text);
    }
    if start.starts_with("<") {
        return refuse("XML, which may be PMML");
    }
    let is_toml = start.lines().any(|line| line.trim_start().starts_with("model"));
    if is_toml {
        return logistic::parse(file, text);
    }
    let first = start.lines().next().unwrap_or_default();
    refuse(&format!("begins with {}", error::short(first)))
}
