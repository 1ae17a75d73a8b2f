//! One tree.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::score::model::build::{Code, Missing, Spec, Test, Treatment, Tree};
use crate::score::model::error::short;
use crate::score::model::limits::{MODEL_CATEGORIES_MAX, MODEL_DEPTH_MAX, MODEL_SET_WORDS_MAX};

/// The arrays of a tree: one entry a node. Fields that are not known are refused: a later XGBoost
/// may mean something by them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nodes {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    split_type: Vec<u8>,
    default_left: Vec<u8>,
    sum_hessian: Vec<f32>,
    categories: Vec<u32>,
    categories_nodes: Vec<usize>,
    categories_segments: Vec<usize>,
    categories_sizes: Vec<usize>,
    tree_param: Parameters,
    #[serde(rename = "base_weights")]
    _base_weights: IgnoredAny,
    #[serde(rename = "loss_changes")]
    _loss_changes: IgnoredAny,
    #[serde(rename = "parents")]
    _parents: IgnoredAny,
    #[serde(rename = "id")]
    _id: IgnoredAny,
}

/// Numbers as text.
#[derive(Debug, Deserialize)]
struct Parameters {
    num_deleted: String,
    num_nodes: String,
    size_leaf_vector: String,
}

/// The path below the tree, and what is wrong there.
type Refused = (String, String);

fn refuse<T>(path: &str, message: String) -> Result<T, Refused> {
    Err((path.to_owned(), message))
}

impl Nodes {
    /// The nodes with leaves times `weight`, and whether every node must be in use.
    pub(super) fn nodes(&self, weight: f32) -> Result<(Tree, bool), Refused> {
        let parameters = &self.tree_param;
        if !matches!(parameters.size_leaf_vector.as_str(), "0" | "1") {
            let size = short(&parameters.size_leaf_vector);
            let message = format!("{size}, expected 1: leaves that are vectors are not supported");
            return refuse(".tree_param.size_leaf_vector", message);
        }
        let count = self.left_children.len();
        if count == 0 || parameters.num_nodes != count.to_string() {
            let message = format!("{}, left_children has {count}", short(&parameters.num_nodes));
            return refuse(".tree_param.num_nodes", message);
        }
        for (path, found) in [
            (".right_children", self.right_children.len()),
            (".split_indices", self.split_indices.len()),
            (".split_conditions", self.split_conditions.len()),
            (".split_type", self.split_type.len()),
            (".default_left", self.default_left.len()),
            (".sum_hessian", self.sum_hessian.len()),
        ] {
            if found != count {
                return refuse(path, format!("{found} entries, expected {count}"));
            }
        }
        let mut sets = self.sets(count)?;
        let mut tree = Vec::with_capacity(count);
        for (at, set) in sets.iter_mut().enumerate() {
            tree.push(self.node(at, set.take(), weight)?);
        }
        expect(&mut tree);
        Ok((tree, parameters.num_deleted == "0"))
    }

    fn node(&self, at: usize, set: Option<Vec<u32>>, weight: f32) -> Result<Spec, Refused> {
        let cover = f64::from(self.sum_hessian[at]);
        if self.left_children[at] == -1 {
            let value = f64::from(self.split_conditions[at] * weight);
            return Ok(Spec { test: Test::Leaf, cover, value });
        }
        let child = |path: &str, child: i64| match usize::try_from(child) {
            Ok(index) if index < self.left_children.len() => Ok(index),
            _ => {
                let last = self.left_children.len() - 1;
                refuse(&format!("{path}[{at}]"), format!("{child}, expected 0 to {last}"))
            }
        };
        let left = child(".left_children", self.left_children[at])?;
        let right = child(".right_children", self.right_children[at])?;
        let default_is_left = match self.default_left[at] {
            0 => false,
            1 => true,
            other => {
                return refuse(
                    &format!(".default_left[{at}]"),
                    format!("{other}, expected 0 or 1"),
                );
            }
        };
        let feature = self.split_indices[at];
        let test = match (self.split_type[at], set) {
            (0, None) => {
                let condition = self.split_conditions[at];
                // left if below; of 32-bit values that is at most the one before it
                let threshold = f64::from(condition.next_down());
                let missing = Missing::Nan { left: default_is_left };
                Test::AtMost { feature, threshold, missing, left, right }
            }
            (1, Some(set)) => {
                let code = Code { feature, treatment: Treatment::Code };
                // the categories of a set go right
                let (missing_is_inside, inside, outside) = (!default_is_left, right, left);
                Test::Among { code, set, missing_is_inside, inside, outside }
            }
            (1, None) => {
                let message = format!("node {at} is not in it, expected every categorical split");
                return refuse(".categories_nodes", message);
            }
            (0, Some(_)) => {
                let message = format!("node {at} is in it, expected categorical splits alone");
                return refuse(".categories_nodes", message);
            }
            (other, _) => {
                return refuse(&format!(".split_type[{at}]"), format!("{other}, expected 0 or 1"));
            }
        };
        Ok(Spec { test, cover, value: 0.0 })
    }

    /// The set of each node that has one, as bits.
    fn sets(&self, count: usize) -> Result<Vec<Option<Vec<u32>>>, Refused> {
        let splits = self.categories_nodes.len();
        for (path, found) in [
            (".categories_segments", self.categories_segments.len()),
            (".categories_sizes", self.categories_sizes.len()),
        ] {
            if found != splits {
                return refuse(path, format!("{found} entries, expected {splits}"));
            }
        }
        let (mut sets, mut words) = (vec![None; count], 0);
        for (split, node) in self.categories_nodes.iter().enumerate() {
            let (first, size) = (self.categories_segments[split], self.categories_sizes[split]);
            let end = first.checked_add(size);
            let Some(codes) = end.and_then(|end| self.categories.get(first..end)) else {
                let (path, all) = (format!(".categories_segments[{split}]"), self.categories.len());
                return refuse(&path, format!("{first} and {size} more, expected within {all}"));
            };
            let Some(set) = sets.get_mut(*node) else {
                let path = format!(".categories_nodes[{split}]");
                return refuse(&path, format!("{node}, expected below {count}"));
            };
            let mut bits = Vec::new();
            for code in codes {
                if *code as usize >= MODEL_CATEGORIES_MAX {
                    let message = format!("code {code}, expected below {MODEL_CATEGORIES_MAX}");
                    return refuse(".categories", message);
                }
                let word = *code as usize / 32;
                bits.resize(bits.len().max(word + 1), 0);
                bits[word] |= 1u32 << (code % 32);
            }
            words += bits.len();
            if words > MODEL_SET_WORDS_MAX {
                let message = format!("more than {MODEL_SET_WORDS_MAX} words of bits");
                return refuse(".categories", message);
            }
            *set = Some(bits);
        }
        Ok(sets)
    }
}

/// Gives each inner node the mean of the leaves below it by weight. A tree that is not one, or is
/// too deep, is left as it is: the builder refuses it.
fn expect(tree: &mut Tree) {
    let mut order = Vec::with_capacity(tree.len());
    let mut open = vec![(0, 0)];
    while let Some((at, depth)) = open.pop() {
        if order.len() >= tree.len() || depth > MODEL_DEPTH_MAX {
            return;
        }
        order.push(at);
        if let Some((left, right)) = children(&tree[at]) {
            open.extend([(left, depth + 1), (right, depth + 1)]);
        }
    }
    // parents stand before their children
    for at in order.into_iter().rev() {
        let Some((left, right)) = children(&tree[at]) else { continue };
        let (l, r) = (&tree[left], &tree[right]);
        let weight = l.cover + r.cover;
        let mean = match weight > 0.0 {
            true => (l.value * l.cover + r.value * r.cover) / weight,
            false => f64::midpoint(l.value, r.value),
        };
        tree[at].value = mean;
    }
}

fn children(spec: &Spec) -> Option<(usize, usize)> {
    match spec.test {
        Test::Leaf => None,
        Test::AtMost { left, right, .. } => Some((left, right)),
        Test::Among { inside, outside, .. } => Some((inside, outside)),
    }
}
