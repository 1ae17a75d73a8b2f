//! One tree.

use super::Lines;
use super::header::Header;
use crate::score::model::build::{Code, Missing, Spec, Test, Treatment, Tree};
use crate::score::model::error::short;
use crate::score::model::limits::{MODEL_CATEGORIES_MAX, MODEL_NODES_MAX, MODEL_SET_WORDS_MAX};
use crate::score::model::{ModelError, Spot};

/// Bits of a decision type.
const IS_CATEGORICAL: u8 = 1;
const DEFAULT_IS_LEFT: u8 = 2;
const MISSING_SHIFT: u8 = 2;
const BITS: u8 = 0b1111;

/// The arrays of a tree, by the names of their lines.
#[derive(Debug, Default)]
struct Arrays {
    split_feature: Option<Vec<u32>>,
    threshold: Option<Vec<f64>>,
    decision_type: Option<Vec<u8>>,
    left_child: Option<Vec<i64>>,
    right_child: Option<Vec<i64>>,
    leaf_value: Option<Vec<f64>>,
    leaf_count: Option<Vec<f64>>,
    internal_value: Option<Vec<f64>>,
    internal_count: Option<Vec<f64>>,
    cat_boundaries: Vec<usize>,
    cat_threshold: Vec<u32>,
}

/// Reads tree `number`, and where it begins.
pub(super) fn read(
    lines: &mut Lines<'_>,
    number: usize,
    header: &Header,
) -> Result<(Tree, Spot), ModelError> {
    let title = lines.expect(&format!("`Tree={number}`"))?;
    if title != format!("Tree={number}") {
        let trees = header.trees;
        let message = format!("{}, expected `Tree={number}` of {trees} trees", short(title));
        return Err(lines.error(message));
    }
    let start = Spot::Line(lines.at);
    let leaves = key(lines, "num_leaves")?;
    if leaves == 0 || leaves > MODEL_NODES_MAX / 2 {
        let message = format!("num_leaves is {leaves}, expected 1 to {}", MODEL_NODES_MAX / 2);
        return Err(lines.error(message));
    }
    let sets = key(lines, "num_cat")?;
    let mut arrays = Arrays::default();
    loop {
        let line = lines.expect("`shrinkage=…`, the end of a tree")?;
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "shrinkage" {
            break;
        }
        arrays.take(lines, key, value, leaves, sets)?;
    }
    match arrays.nodes(leaves, sets) {
        Ok(tree) => Ok((tree, start)),
        Err(message) => {
            Err(ModelError::new(lines.file, start, format!("tree {number}: {message}")))
        }
    }
}

fn key(lines: &mut Lines<'_>, name: &str) -> Result<usize, ModelError> {
    let line = lines.expect(&format!("`{name}=…`"))?;
    match line.split_once('=') {
        Some((found, value)) if found == name => lines.count(name, value),
        _ => Err(lines.error(format!("{}, expected `{name}=…`", short(line)))),
    }
}

impl Arrays {
    fn take(
        &mut self,
        lines: &Lines<'_>,
        key: &str,
        value: &str,
        leaves: usize,
        sets: usize,
    ) -> Result<(), ModelError> {
        let inner = leaves - 1;
        match key {
            "split_feature" => self.split_feature = Some(lines.numbers(key, value, inner)?),
            "threshold" => self.threshold = Some(lines.numbers(key, value, inner)?),
            "decision_type" => self.decision_type = Some(lines.numbers(key, value, inner)?),
            "left_child" => self.left_child = Some(lines.numbers(key, value, inner)?),
            "right_child" => self.right_child = Some(lines.numbers(key, value, inner)?),
            "leaf_value" => self.leaf_value = Some(lines.numbers(key, value, leaves)?),
            // a tree of one leaf may have none
            "leaf_count" if inner > 0 => self.leaf_count = Some(lines.numbers(key, value, leaves)?),
            "internal_value" => self.internal_value = Some(lines.numbers(key, value, inner)?),
            "internal_count" => self.internal_count = Some(lines.numbers(key, value, inner)?),
            "cat_boundaries" => self.cat_boundaries = lines.numbers(key, value, sets + 1)?,
            "cat_threshold" => {
                let words = self.cat_boundaries.last().copied().unwrap_or_default();
                self.cat_threshold = lines.numbers(key, value, words)?;
            }
            "leaf_count" | "split_gain" | "leaf_weight" | "internal_weight" => (),
            "is_linear" if value == "0" => (),
            "is_linear" => {
                let message =
                    "is_linear is 1, expected 0: linear trees (linear_tree) are not supported";
                return Err(lines.error(message));
            }
            _ => return Err(lines.error(format!("unknown line {} of a tree", short(key)))),
        }
        Ok(())
    }

    /// Inner nodes first, as the file numbers them, then leaves.
    fn nodes(&self, leaves: usize, sets: usize) -> Result<Tree, String> {
        let leaf_value = self.leaf_value.as_deref().ok_or("no leaf_value")?;
        if leaves == 1 {
            return Ok(vec![Spec { test: Test::Leaf, cover: 1.0, value: leaf_value[0] }]);
        }
        self.check_sets(sets)?;
        let value = self.internal_value.as_deref().ok_or("no internal_value")?;
        let cover = self.internal_count.as_deref().ok_or("no internal_count")?;
        let leaf_cover = self.leaf_count.as_deref().ok_or("no leaf_count")?;
        let tests = self.tests(leaves, sets)?.into_iter();
        let inner = tests.zip(cover).zip(value);
        let inner = inner.map(|((test, cover), value)| Spec { test, cover: *cover, value: *value });
        let leaf =
            |(value, cover): (&f64, &f64)| Spec { test: Test::Leaf, cover: *cover, value: *value };
        Ok(inner.chain(leaf_value.iter().zip(leaf_cover).map(leaf)).collect())
    }

    fn tests(&self, leaves: usize, sets: usize) -> Result<Vec<Test>, String> {
        let feature = self.split_feature.as_deref().ok_or("no split_feature")?;
        let threshold = self.threshold.as_deref().ok_or("no threshold")?;
        let kind = self.decision_type.as_deref().ok_or("no decision_type")?;
        let left = self.left_child.as_deref().ok_or("no left_child")?;
        let right = self.right_child.as_deref().ok_or("no right_child")?;
        let inner = leaves - 1;
        let (mut tests, mut words) = (Vec::with_capacity(inner), 0);
        for at in 0..inner {
            let child = |what: &str, child: i64| match child {
                0.. if (child as usize) < inner => Ok(child as usize),
                // leaf 0 is -1
                ..0 if child.unsigned_abs() <= leaves as u64 => Ok(inner + (-1 - child) as usize),
                _ => Err(format!("{what}[{at}] is {child}, expected -{leaves} to {}", inner - 1)),
            };
            let (left, right) = (child("left_child", left[at])?, child("right_child", right[at])?);
            let missing = missing(kind[at]).map_err(|e| format!("decision_type[{at}] {e}"))?;
            let (feature, threshold) = (feature[at], threshold[at]);
            tests.push(match kind[at] & IS_CATEGORICAL {
                0 => Test::AtMost { feature, threshold, missing, left, right },
                _ => {
                    let set = self.set(threshold, sets);
                    let set = set.map_err(|message| format!("threshold[{at}] {message}"))?;
                    words += set.len();
                    if words > MODEL_SET_WORDS_MAX {
                        return Err(format!("more than {MODEL_SET_WORDS_MAX} words of categories"));
                    }
                    let code = Code { feature, treatment: Treatment::Category };
                    // what is missing is in no set
                    let (missing_is_inside, inside, outside) = (false, left, right);
                    Test::Among { code, set, missing_is_inside, inside, outside }
                }
            });
        }
        Ok(tests)
    }

    fn check_sets(&self, sets: usize) -> Result<(), String> {
        let bounds = &self.cat_boundaries;
        if sets > 0 && bounds.len() != sets + 1 {
            return Err("no cat_boundaries".to_owned());
        }
        let falls = bounds.windows(2).any(|pair| pair[0] > pair[1]);
        if falls || bounds.first().is_some_and(|first| *first > 0) {
            return Err("cat_boundaries do not rise from 0".to_owned());
        }
        if self.cat_threshold.len() != bounds.last().copied().unwrap_or_default() {
            return Err("no cat_threshold".to_owned());
        }
        Ok(())
    }

    /// The words of a set, named by its number in place of a threshold.
    fn set(&self, number: f64, sets: usize) -> Result<Vec<u32>, String> {
        if !(number.fract() == 0.0 && number >= 0.0 && number < sets as f64) {
            return Err(format!("is {number}, expected the number of a set below {sets}"));
        }
        let at = number as usize;
        let words = &self.cat_threshold[self.cat_boundaries[at]..self.cat_boundaries[at + 1]];
        match words.len() > MODEL_CATEGORIES_MAX / 32 {
            true => Err(format!("names a code from {MODEL_CATEGORIES_MAX}, expected one below")),
            false => Ok(words.to_vec()),
        }
    }
}

/// Where missing values go, by a decision type.
fn missing(kind: u8) -> Result<Missing, String> {
    let left = kind & DEFAULT_IS_LEFT != 0;
    match (kind & !BITS, kind >> MISSING_SHIFT) {
        (0, 0) => Ok(Missing::AsZero),
        (0, 1) => Ok(Missing::NanOrZero { left }),
        (0, 2) => Ok(Missing::Nan { left }),
        _ => Err(format!("is {kind}, expected a known kind of missing value")),
    }
}
