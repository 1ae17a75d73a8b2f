//! The shape of the file.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::tree::Nodes;
use crate::score::model::error::short;
use crate::score::model::limits::LEAF_VALUE_MAX;
use crate::score::model::{ModelError, Spot};

/// Major versions of the format that are read.
const VERSIONS: [u32; 2] = [2, 3];

/// Reads a part of the file; an error names the path, line and column.
pub(super) fn read<'a, T: Deserialize<'a>>(file: &str, text: &'a str) -> Result<T, ModelError> {
    let json = &mut serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        let place = match cause.is_data() {
            true => Spot::Path(path),
            false => Spot::Line(cause.line()),
        };
        let hint = if cause.is_eof() { ": the file is cut short" } else { "" };
        ModelError::new(file, place, format!("{cause}{hint}"))
    })
}

/// What is asked before the trees are read.
#[derive(Debug, Deserialize)]
pub(super) struct Outline {
    pub(super) learner: OutlineLearner,
    version: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OutlineLearner {
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    gradient_booster: Named,
    learner_model_param: Parameters,
    objective: Named,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// Numbers as text.
#[derive(Debug, Deserialize)]
struct Parameters {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default = "one")]
    num_target: String,
}

fn one() -> String {
    "1".to_owned()
}

/// The path, and what is wrong there.
type Refused = (&'static str, String);

impl Outline {
    /// The objective, the number of features and the base score of what is supported.
    pub(super) fn check(&self) -> Result<(String, usize, f32), Refused> {
        if !self.version.first().is_some_and(|major| VERSIONS.contains(major)) {
            let message = format!("{:?}, expected 2 or 3 first", self.version);
            return Err(("version", message));
        }
        let booster = &self.learner.gradient_booster.name;
        if !matches!(booster.as_str(), "gbtree" | "dart") {
            let message = format!("{}, expected gbtree or dart", short(booster));
            return Err(("learner.gradient_booster.name", message));
        }
        let parameters = &self.learner.learner_model_param;
        if !matches!(parameters.num_class.as_str(), "0" | "1") {
            let message = format!(
                "{}, expected 0: models of several classes are not supported",
                short(&parameters.num_class)
            );
            return Err(("learner.learner_model_param.num_class", message));
        }
        if parameters.num_target != "1" {
            let message = format!(
                "{}, expected 1: models of several targets are not supported",
                short(&parameters.num_target)
            );
            return Err(("learner.learner_model_param.num_target", message));
        }
        let features = parameters.num_feature.parse().map_err(|_| {
            let message = format!("{}, expected a whole number", short(&parameters.num_feature));
            ("learner.learner_model_param.num_feature", message)
        })?;
        let base = base_score(&parameters.base_score)
            .map_err(|message| ("learner.learner_model_param.base_score", message))?;
        Ok((self.learner.objective.name.clone(), features, base))
    }
}

/// `5E-1`, or `[5E-1]` since 3.1.
fn base_score(text: &str) -> Result<f32, String> {
    let trimmed = text.trim();
    let one = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(trimmed);
    match one.trim().parse::<f32>() {
        Ok(base) if f64::from(base.abs()) <= LEAF_VALUE_MAX => Ok(base),
        _ => Err(format!("{}, expected one finite number", short(text))),
    }
}

/// The trees, and what they are multiplied with.
#[derive(Debug, Deserialize)]
pub(super) struct Boosted {
    learner: BoostedLearner,
}

#[derive(Debug, Deserialize)]
struct BoostedLearner {
    gradient_booster: Booster,
}

/// Of dart, the trees are one level further down.
#[derive(Debug, Deserialize)]
struct Booster {
    model: Option<Trees>,
    gbtree: Option<Inner>,
    weight_drop: Option<Vec<f32>>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    model: Trees,
}

#[derive(Debug, Deserialize)]
pub(super) struct Trees {
    pub(super) gbtree_model_param: TreeCount,
    pub(super) trees: Vec<Nodes>,
    pub(super) tree_info: Vec<i64>,
    pub(super) cats: Option<Categories>,
    /// since 3.0: where rounds begin
    #[serde(default, rename = "iteration_indptr")]
    _rounds: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TreeCount {
    pub(super) num_trees: String,
}

/// Since 3.1: the categories of each feature.
#[derive(Debug, Deserialize)]
pub(super) struct Categories {
    #[serde(default)]
    pub(super) enc: Vec<Encoded>,
}

/// Words have offsets into their bytes, numbers have none.
#[derive(Debug, Deserialize)]
pub(super) struct Encoded {
    pub(super) offsets: Option<Vec<usize>>,
    #[serde(default)]
    pub(super) values: Vec<Value>,
}

impl Boosted {
    /// Where the trees are, they, and their weights.
    pub(super) fn trees(&self) -> Result<(String, &Trees, &[f32]), Refused> {
        let booster = &self.learner.gradient_booster;
        let (prefix, trees) = match (&booster.model, &booster.gbtree) {
            (Some(trees), _) => ("learner.gradient_booster.model", trees),
            (None, Some(inner)) => ("learner.gradient_booster.gbtree.model", &inner.model),
            (None, None) => return Err(("learner.gradient_booster", "no model".to_owned())),
        };
        let weights = booster.weight_drop.as_deref().unwrap_or_default();
        if booster.weight_drop.is_some() && weights.len() != trees.trees.len() {
            let (found, expected) = (weights.len(), trees.trees.len());
            let message = format!("{found} weights, expected one for each of {expected} trees");
            return Err(("learner.gradient_booster.weight_drop", message));
        }
        if booster.model.is_none() && booster.weight_drop.is_none() {
            return Err(("learner.gradient_booster", "no weight_drop, expected dart's".to_owned()));
        }
        Ok((prefix.to_owned(), trees, weights))
    }
}
