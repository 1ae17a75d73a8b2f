//! From trees as a file has them to a [`Forest`]; what is wrong with them is found here.

use super::forest::{Ask, Forest, HIGHEST, NEVER, Node, Sum};
use super::limits::{
    LEAF_VALUE_MAX, MODEL_DEPTH_MAX, MODEL_NODES_MAX, MODEL_SET_WORDS_MAX, MODEL_TREES_MAX,
    TREATMENTS,
};

/// What a row's value becomes before nodes read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// of leaves: nothing is above -inf
    Never,
    /// missing goes left
    Left,
    /// missing goes right
    Right,
    /// missing and zero go left
    LeftOrZero,
    /// missing and zero go right
    RightOrZero,
    /// a category's code: towards zero, as LightGBM casts
    Category,
    /// a category's code: below zero is none, as XGBoost has it
    Code,
}

/// A feature under a treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) feature: u32,
    pub(super) treatment: Treatment,
}

/// A tree as a file has it: nodes that name each other by index, the root first.
pub(super) type Tree = Vec<Spec>;

/// A node of it.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) test: Test,
    /// weight of the training rows that reached it
    pub(super) cover: f64,
    /// a leaf's value, or what is expected here
    pub(super) value: f64,
}

/// What is asked there, and who comes next.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Leaf,
    /// left if the value is at most the threshold
    AtMost {
        feature: u32,
        threshold: f64,
        missing: Missing,
        left: usize,
        right: usize,
    },
    /// whether the code is one of a set
    Among {
        code: Code,
        set: Vec<u32>,
        missing_is_inside: bool,
        inside: usize,
        outside: usize,
    },
}

/// A categorical feature, and how its values become codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub(super) feature: u32,
    /// [`Treatment::Category`] or [`Treatment::Code`]
    pub(super) treatment: Treatment,
}

/// Where a missing value goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Missing {
    /// where zero goes
    AsZero,
    /// left, or right
    Nan { left: bool },
    /// so does zero
    NanOrZero { left: bool },
}

/// What is wrong with a tree: the node in the file's numbering, and what.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) node: usize,
    pub(super) message: String,
}

/// Takes trees one by one.
#[derive(Debug)]
pub(super) struct Builder {
    forest: Forest,
    /// of each feature and treatment its column, or [`NEVER`]
    column_of: Vec<[u16; TREATMENTS]>,
}

impl Builder {
    /// Of trees over so many features, at most as many as the limits allow.
    pub(super) fn new(features: usize, sum: Sum, base: f64) -> Builder {
        Builder {
            column_of: vec![[NEVER; TREATMENTS]; features],
            forest: Forest {
                nodes: Vec::new(),
                roots: Vec::new(),
                values: Vec::new(),
                covers: Vec::new(),
                sets: Vec::new(),
                columns: vec![Column { feature: 0, treatment: Treatment::Never }],
                has_sets: false,
                depth: 0,
                sum,
                base,
                divisor: 1.0,
            },
        }
    }

    /// Adds a tree. Nodes no way leads to are left out; `whole` says that there must be none.
    pub(super) fn add(&mut self, tree: &Tree, whole: bool) -> Result<(), Fault> {
        let fault = |node, message| Err(Fault { node, message });
        if self.forest.roots.len() >= MODEL_TREES_MAX {
            return fault(
                0,
                format!("more than {MODEL_TREES_MAX} trees, expected at most so many"),
            );
        }
        if tree.len() + self.forest.nodes.len() > MODEL_NODES_MAX {
            return fault(
                0,
                format!("more than {MODEL_NODES_MAX} nodes, expected at most so many"),
            );
        }
        if tree.is_empty() {
            return fault(0, "a tree without nodes, expected a root".to_owned());
        }
        let mut seen = vec![false; tree.len()];
        let root = self.place(&tree[0]);
        self.forest.roots.push(root);
        let mut open = vec![(0, root, 0)];
        while let Some((from, to, depth)) = open.pop() {
            if std::mem::replace(&mut seen[from], true) {
                let message = format!("node {from} is the child of two nodes, expected a tree");
                return fault(from, message);
            }
            if depth > MODEL_DEPTH_MAX {
                return fault(from, format!("deeper than {MODEL_DEPTH_MAX} steps"));
            }
            self.forest.depth = self.forest.depth.max(depth);
            let Some((left, right)) = self.node(from, &tree[from], to)? else { continue };
            if let Some(beyond) = [left, right].into_iter().find(|child| *child >= tree.len()) {
                return fault(from, format!("child {beyond}, expected one below {}", tree.len()));
            }
            let child = self.place(&tree[left]);
            self.place(&tree[right]);
            self.forest.nodes[to as usize].child = child;
            // the left one is taken next, and its children follow at once
            open.push((right, child + 1, depth + 1));
            open.push((left, child, depth + 1));
        }
        match seen.iter().position(|seen| !seen) {
            Some(node) if whole => {
                fault(node, format!("no way from the root leads to node {node}"))
            }
            _ => Ok(()),
        }
    }

    /// Makes room for a node: a leaf until its test is known.
    fn place(&mut self, spec: &Spec) -> u32 {
        let at = self.forest.nodes.len() as u32;
        let test = spec.value.to_bits();
        self.forest.nodes.push(Node { test, child: at, column: NEVER, ask: Ask::Above });
        self.forest.values.push(spec.value);
        self.forest.covers.push(spec.cover);
        at
    }

    /// Writes a node's test and says which nodes of the file are its left and right child.
    fn node(&mut self, from: usize, spec: &Spec, to: u32) -> Result<Option<(usize, usize)>, Fault> {
        let fault = |message| Err(Fault { node: from, message });
        if !(-LEAF_VALUE_MAX..=LEAF_VALUE_MAX).contains(&spec.value) {
            let value = spec.value;
            return fault(format!("value {value}, expected one within {LEAF_VALUE_MAX:e} of 0"));
        }
        if !(spec.cover >= 0.0 && spec.cover.is_finite()) {
            return fault(format!("weight {}, expected a finite number from 0", spec.cover));
        }
        let (test, feature, treatment, ask, children) = match &spec.test {
            Test::Leaf => return Ok(None),
            Test::AtMost { feature, threshold, missing, left, right } => {
                if threshold.is_nan() {
                    return fault(format!("threshold {threshold}, expected a number"));
                }
                let treatment = treatment(*missing, *threshold);
                // LightGBM writes infinity where only a missing value goes right
                let threshold = threshold.min(HIGHEST);
                (threshold.to_bits(), *feature, treatment, Ask::Above, (*left, *right))
            }
            Test::Among { code, set, missing_is_inside, inside, outside } => {
                let first = self.forest.sets.len();
                if first + set.len() > MODEL_SET_WORDS_MAX {
                    return fault(format!("more than {MODEL_SET_WORDS_MAX} words of categories"));
                }
                self.forest.sets.extend_from_slice(set);
                self.forest.has_sets = true;
                let test = (set.len() as u64) << 32 | first as u64;
                let ask = if *missing_is_inside { Ask::AmongOrMissing } else { Ask::Among };
                (test, code.feature, code.treatment, ask, (*outside, *inside))
            }
        };
        let Some(column) = self.column(feature, treatment) else {
            let known = self.column_of.len();
            return fault(format!("feature {feature}, expected one below {known}"));
        };
        self.forest.nodes[to as usize] = Node { test, child: to, column, ask };
        Ok(Some(children))
    }

    fn column(&mut self, feature: u32, treatment: Treatment) -> Option<u16> {
        let column = &mut self.column_of.get_mut(feature as usize)?[treatment as usize];
        if *column == NEVER {
            *column = self.forest.columns.len() as u16;
            self.forest.columns.push(Column { feature, treatment });
        }
        Some(*column)
    }

    /// The forest, its sum divided by `divisor`.
    pub(super) fn finish(self, divisor: f64) -> Forest {
        Forest { divisor, ..self.forest }
    }
}

/// The column a node reads, by where it sends what is missing.
fn treatment(missing: Missing, threshold: f64) -> Treatment {
    match missing {
        // 0.0 <= threshold
        Missing::AsZero if threshold >= 0.0 => Treatment::Left,
        Missing::AsZero => Treatment::Right,
        Missing::Nan { left: true } => Treatment::Left,
        Missing::Nan { left: false } => Treatment::Right,
        Missing::NanOrZero { left: true } => Treatment::LeftOrZero,
        Missing::NanOrZero { left: false } => Treatment::RightOrZero,
    }
}
