//! The lines before the first tree.

use super::Lines;
use crate::score::model::ModelError;
use crate::score::model::error::short;
use crate::score::model::limits::MODEL_FEATURES_MAX;
use crate::score::model::link::Link;

/// Versions of the text that are read. They differ in nothing that a prediction depends on.
const VERSIONS: [&str; 2] = ["v3", "v4"];

/// What `feature_infos` says of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Info {
    /// a range, or `none` where training saw one value
    Numeric,
    /// a list of codes
    Categorical,
}

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) names: Vec<String>,
    pub(super) infos: Vec<Info>,
    pub(super) link: Link,
    pub(super) objective: String,
    /// whether the trees are averaged
    pub(super) is_average: bool,
    pub(super) trees: usize,
}

impl Header {
    /// Reads it up to `tree_sizes`, its last line.
    pub(super) fn read(lines: &mut Lines<'_>) -> Result<Header, ModelError> {
        lines.expect("`tree`")?;
        let (mut version, mut features, mut link) = (None, None, Link::Identity);
        let (mut names, mut infos) = (Vec::new(), Vec::new());
        let (mut objective, mut is_average) = ("none".to_owned(), false);
        let trees = loop {
            let line = lines.expect("`tree_sizes=…`, the end of the header")?;
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match key {
                "version" if VERSIONS.contains(&value) => version = Some(value),
                "version" => {
                    let value = short(value);
                    return Err(lines.error(format!("version is {value}, expected v3 or v4")));
                }
                "num_class" | "num_tree_per_iteration" => one(lines, key, value)?,
                "label_index" | "monotone_constraints" => (),
                "max_feature_idx" => {
                    let count = lines.count(key, value)?.saturating_add(1);
                    if count > MODEL_FEATURES_MAX {
                        let expected = format!("expected at most {MODEL_FEATURES_MAX}");
                        return Err(lines.error(format!("{count} features, {expected}")));
                    }
                    features = Some(count);
                }
                "objective" => {
                    link = transform(lines, value)?;
                    value.clone_into(&mut objective);
                }
                "average_output" => is_average = true,
                "feature_names" => names = value.split(' ').map(str::to_owned).collect(),
                "feature_infos" => infos = value.split(' ').map(info).collect(),
                "tree_sizes" => break value.split_ascii_whitespace().count(),
                _ => return Err(lines.error(format!("unknown line {}", short(line)))),
            }
        };
        super::check_trees(lines, trees)?;
        let missing = |what: &str| lines.error(format!("the header has no {what}"));
        version.ok_or_else(|| missing("version"))?;
        let features = features.ok_or_else(|| missing("max_feature_idx"))?;
        for (what, found) in [("feature_names", names.len()), ("feature_infos", infos.len())] {
            if found != features {
                let message = format!("{what} has {found} entries, expected {features}");
                return Err(lines.error(message));
            }
        }
        Ok(Header { names, infos, link, objective, is_average, trees })
    }
}

/// More than one score a row is another kind of model.
fn one(lines: &Lines<'_>, key: &str, value: &str) -> Result<(), ModelError> {
    match value {
        "1" => Ok(()),
        _ => Err(lines.error(format!(
            "{key} is {}, expected 1: models of several classes are not supported",
            short(value)
        ))),
    }
}

fn info(text: &str) -> Info {
    // a range is in brackets; codes are numbers with colons
    match text.starts_with('[') || text == "none" || text.is_empty() {
        true => Info::Numeric,
        false => Info::Categorical,
    }
}

/// The transform of an objective, written as its name and parameters.
fn transform(lines: &Lines<'_>, text: &str) -> Result<Link, ModelError> {
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let parameters: Vec<&str> = words.collect();
    let link = match (name, &parameters[..]) {
        ("binary", [slope]) => {
            let slope = slope.strip_prefix("sigmoid:").and_then(|slope| slope.parse().ok());
            slope.filter(|slope: &f64| *slope > 0.0 && slope.is_finite()).map(Link::Sigmoid)
        }
        ("cross_entropy", []) => Some(Link::Sigmoid(1.0)),
        ("cross_entropy_lambda", []) => Some(Link::Softplus),
        ("poisson" | "gamma" | "tweedie", []) => Some(Link::Exp),
        ("regression", ["sqrt"]) => Some(Link::SignedSquare),
        ("regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape", []) => {
            Some(Link::Identity)
        }
        ("lambdarank" | "rank_xendcg" | "custom", []) => Some(Link::Identity),
        _ => None,
    };
    link.ok_or_else(|| {
        lines.error(format!(
            "objective is {}, expected binary, cross_entropy, cross_entropy_lambda, regression, \
             regression_l1, huber, fair, quantile, mape, poisson, gamma, tweedie, lambdarank, \
             rank_xendcg or custom, with the parameters LightGBM writes",
            short(text)
        ))
    })
}
