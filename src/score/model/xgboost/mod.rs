//! XGBoost's JSON, as `save_model` writes it (versions 2 and 3).
//!
//! The file is read twice: first its booster, objective and counts alone, so that what is not
//! supported is refused by name, then the trees.

mod file;
mod tree;

use serde_json::Value;

use super::build::Builder;
use super::error::short;
use super::feature::{FeatureValues, ModelFeature, Words};
use super::forest::Sum;
use super::limits::{MODEL_CATEGORIES_MAX, MODEL_FEATURES_MAX, MODEL_TREES_MAX};
use super::link::Link;
use super::{Body, ModelError, Parsed, Spot};
use file::{Boosted, Categories, Outline, Trees, read};

/// Reads a model.
pub(super) fn parse(file: &str, text: &str) -> Result<Parsed, ModelError> {
    let outline: Outline = read(file, text)?;
    let at =
        |path: &str, message: String| ModelError::new(file, Spot::Path(path.to_owned()), message);
    let (objective, features, base) =
        outline.check().map_err(|(path, message)| at(path, message))?;
    let (link, base) = transform(&objective, base).map_err(|m| at("learner.objective.name", m))?;
    let boosted: Boosted = read(file, text)?;
    let (prefix, trees, weights) = boosted.trees().map_err(|(path, message)| at(path, message))?;
    let forest = grow(file, &prefix, trees, weights, features, base)?;
    let features = name(&outline, features, trees.cats.as_ref());
    Ok(Parsed {
        kind: "xgboost",
        features: features.map_err(|(path, message)| at(&path, message))?,
        body: Body::Trees(forest),
        link,
        objective,
    })
}

/// The margin a sum begins with, in 32 bits as XGBoost computes it, and the transform.
fn transform(objective: &str, base: f32) -> Result<(Link, f64), String> {
    let logit = || match base > 0.0 && base < 1.0 {
        true => Ok(-(1.0 / base - 1.0).ln()),
        false => Err(format!("base_score of {objective} is {base}, expected between 0 and 1")),
    };
    let log = || match base > 0.0 {
        true => Ok(base.ln()),
        false => Err(format!("base_score of {objective} is {base}, expected above 0")),
    };
    let (link, base) = match objective {
        "binary:logistic" | "reg:logistic" => (Link::Sigmoid(1.0), logit()?),
        "binary:hinge" => (Link::Step, base),
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
            (Link::Exp, log()?)
        }
        "binary:logitraw"
        | "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "rank:ndcg"
        | "rank:map"
        | "rank:pairwise" => (Link::Identity, base),
        _ => {
            return Err(format!(
                "{}, expected an objective with one output: binary:logistic, reg:logistic, \
                 binary:logitraw, binary:hinge, count:poisson, reg:gamma, reg:tweedie, survival:cox, \
                 survival:aft, reg:squarederror, reg:squaredlogerror, reg:pseudohubererror, \
                 reg:absoluteerror, reg:quantileerror, rank:ndcg, rank:map or rank:pairwise",
                short(objective)
            ));
        }
    };
    Ok((link, f64::from(base)))
}

/// The forest of all trees, each leaf times its tree's weight.
fn grow(
    file: &str,
    prefix: &str,
    trees: &Trees,
    weights: &[f32],
    features: usize,
    base: f64,
) -> Result<super::Forest, ModelError> {
    let at = |path: String, message: String| ModelError::new(file, Spot::Path(path), message);
    let found = trees.trees.len();
    let announced = &trees.gbtree_model_param.num_trees;
    if found == 0 || found > MODEL_TREES_MAX || found.to_string() != *announced {
        let message =
            format!("{found} trees, expected the {announced} of num_trees, 1 to {MODEL_TREES_MAX}");
        return Err(at(format!("{prefix}.trees"), message));
    }
    if let Some(group) = trees.tree_info.iter().find(|group| **group != 0) {
        let message = format!("a tree of class {group}, expected 0: several are not supported");
        return Err(at(format!("{prefix}.tree_info"), message));
    }
    let mut builder = Builder::new(features, Sum::Single, base);
    for (number, tree) in trees.trees.iter().enumerate() {
        let weight = weights.get(number).copied().unwrap_or(1.0);
        let place = |what: &str| format!("{prefix}.trees[{number}]{what}");
        let (nodes, whole) =
            tree.nodes(weight).map_err(|(path, message)| at(place(&path), message))?;
        builder.add(&nodes, whole).map_err(|fault| {
            let message = format!("node {}: {}", fault.node, fault.message);
            at(place(""), message)
        })?;
    }
    Ok(builder.finish(1.0))
}

/// Where in the file, and what is wrong there.
type Refused = (String, String);

/// Names, with categories where the file has them.
fn name(
    outline: &Outline,
    count: usize,
    cats: Option<&Categories>,
) -> Result<Vec<ModelFeature>, Refused> {
    let learner = &outline.learner;
    let refuse = |path: &str, message: String| Err((path.to_owned(), message));
    if count == 0 || count > MODEL_FEATURES_MAX {
        let message = format!("{count} features, expected 1 to {MODEL_FEATURES_MAX}");
        return refuse("learner.learner_model_param.num_feature", message);
    }
    for (path, found) in [
        ("learner.feature_names", learner.feature_names.len()),
        ("learner.feature_types", learner.feature_types.len()),
    ] {
        if found != 0 && found != count {
            return refuse(path, format!("{found} entries, expected {count} or none"));
        }
    }
    let mut features = Vec::with_capacity(count);
    for at in 0..count {
        let name = learner.feature_names.get(at).cloned().unwrap_or_else(|| format!("f{at}"));
        let values = match learner.feature_types.get(at).map(String::as_str) {
            Some("c") => {
                let path = || format!("learner.gradient_booster.model.cats.enc[{at}]");
                words(cats, at).map_err(|message| (path(), message))?
            }
            None | Some("float" | "int" | "i" | "q") => FeatureValues::Numeric,
            Some(other) => {
                let path = format!("learner.feature_types[{at}]");
                return Err((path, format!("{}, expected float, int, i, q or c", short(other))));
            }
        };
        features.push(ModelFeature::new(name, values));
    }
    Ok(features)
}

/// The categories of a feature: words as letters with offsets, or numbers.
fn words(cats: Option<&Categories>, feature: usize) -> Result<FeatureValues, String> {
    let Some(encoded) = cats.and_then(|cats| cats.enc.get(feature)) else {
        return Ok(FeatureValues::Codes);
    };
    let mut known = Vec::new();
    match &encoded.offsets {
        None => {
            for value in &encoded.values {
                match (value.as_i64(), value.as_f64()) {
                    (Some(whole), _) => known.push(whole.to_string()),
                    (None, Some(v)) if v.fract() == 0.0 && v.abs() < 9e15 => {
                        known.push((v as i64).to_string());
                    }
                    _ => return Err(format!("category {value}, expected a whole number")),
                }
            }
        }
        Some(offsets) => {
            // XGBoost 3.2 counts letters and writes bytes: other words are cut in the wrong places
            let ascii = |value: &Value| {
                let byte = value.as_u64().and_then(|value| u8::try_from(value).ok());
                byte.filter(u8::is_ascii).map(char::from)
            };
            let letters: Option<String> = encoded.values.iter().map(ascii).collect();
            let letters = letters.ok_or(
                "words that are not ASCII, which XGBoost does not save whole: expected ASCII words",
            )?;
            for pair in offsets.windows(2) {
                let word = letters.get(pair[0]..pair[1]);
                known.push(word.ok_or("offsets are not within the values")?.to_owned());
            }
        }
    }
    match known.len() {
        0 => Ok(FeatureValues::Codes),
        1..=MODEL_CATEGORIES_MAX => {
            let twice = |word| format!("category {word:?} is there twice");
            Ok(FeatureValues::Words(Words::new(known).map_err(twice)?))
        }
        found => Err(format!("{found} categories, expected at most {MODEL_CATEGORIES_MAX}")),
    }
}
