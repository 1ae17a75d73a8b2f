//! TreeSHAP: what each feature did to the margin, averaged over all orders in which features could
//! become known, with what is not known taken as the training rows had it (path-dependent; Lundberg
//! and others, arXiv 1802.03888, algorithm 2). Hundreds of times the cost of a prediction: for
//! explanations, not for decisions.

use super::forest::{Forest, NEVER, Sum};

/// A feature on the way to a leaf.
#[derive(Clone, Copy, Debug)]
struct Step {
    feature: u32,
    /// share of the training rows that go this way when the feature is not known
    unknown: f64,
    /// 1 if the row itself goes this way, else 0
    known: f64,
    /// weight of the orders in which as many features as stand before it are known
    weight: f64,
}

/// The way so far: a feature stands on it once, however often it was asked about.
type Path = Vec<Step>;

/// The mark of the first step, which is nobody's.
const NOBODY: u32 = u32::MAX;

impl Forest {
    /// Adds each feature's share to `out` and returns what is expected of all rows. With a sum in 32
    /// bits, the rounding of that sum is in it.
    pub(super) fn shap(&self, row: &[f64], out: &mut [f64]) -> f64 {
        let (mut expected, mut exact) = (self.base, self.base);
        self.with_columns(row, |columns| {
            let mut walk = Walk { forest: self, columns, out };
            for root in &self.roots {
                expected += self.mean(*root as usize);
                let mut at = *root as usize;
                while self.nodes[at].column != NEVER {
                    at = self.step(at, columns);
                }
                exact += self.values[at];
                walk.node(*root as usize, Vec::new(), (1.0, 1.0), NOBODY);
            }
        });
        let rounding = match self.sum {
            Sum::Double => 0.0,
            Sum::Single => self.raw(row) * self.divisor - exact,
        };
        (expected + rounding) / self.divisor
    }

    /// The mean of the leaves below a node by their weight.
    fn mean(&self, at: usize) -> f64 {
        if self.nodes[at].column == NEVER {
            return self.values[at];
        }
        let left = self.nodes[at].child as usize;
        let share = self.share(left, left + 1);
        share * self.mean(left) + (1.0 - share) * self.mean(left + 1)
    }

    /// The share of the training rows at two siblings that went to `child`. Of the siblings and not of
    /// their parent: weights that a file has in 32 bits do not sum to it, and shares must to 1.
    fn share(&self, child: usize, sibling: usize) -> f64 {
        let both = self.covers[child] + self.covers[sibling];
        if both > 0.0 { self.covers[child] / both } else { 0.5 }
    }
}

struct Walk<'a> {
    forest: &'a Forest,
    columns: &'a [f64],
    out: &'a mut [f64],
}

impl Walk<'_> {
    /// Goes through all leaves below a node. Recursive: trees are at most as deep as the limit says.
    fn node(&mut self, at: usize, mut path: Path, (unknown, known): (f64, f64), feature: u32) {
        extend(&mut path, unknown, known, feature);
        let node = &self.forest.nodes[at];
        if node.column == NEVER {
            let value = self.forest.values[at] / self.forest.divisor;
            for place in 1..path.len() {
                let step = path[place];
                let weight = unwound_sum(&path, place);
                self.out[step.feature as usize] += weight * (step.known - step.unknown) * value;
            }
            return;
        }
        let feature = self.forest.columns[usize::from(node.column)].feature;
        let (left, hot) = (node.child as usize, self.forest.step(at, self.columns));
        let cold = if hot == left { left + 1 } else { left };
        let share = self.forest.share(hot, cold);
        let mut before = (1.0, 1.0);
        if let Some(place) = path.iter().position(|step| step.feature == feature) {
            before = (path[place].unknown, path[place].known);
            unwind(&mut path, place);
        }
        // with room for the step that follows
        let mut branch = Vec::with_capacity(path.len() + 1);
        branch.extend_from_slice(&path);
        self.node(hot, branch, (share * before.0, before.1), feature);
        self.node(cold, path, ((1.0 - share) * before.0, 0.0), feature);
    }
}

/// Puts a feature on the path.
fn extend(path: &mut Path, unknown: f64, known: f64, feature: u32) {
    let depth = path.len();
    let weight = if depth == 0 { 1.0 } else { 0.0 };
    path.push(Step { feature, unknown, known, weight });
    let all = (depth + 1) as f64;
    for at in (0..depth).rev() {
        path[at + 1].weight += known * path[at].weight * (at + 1) as f64 / all;
        path[at].weight = unknown * path[at].weight * (depth - at) as f64 / all;
    }
}

/// Takes a feature off the path again.
fn unwind(path: &mut Path, place: usize) {
    let last = path.len() - 1;
    let (known, unknown) = (path[place].known, path[place].unknown);
    let all = (last + 1) as f64;
    let mut next = path[last].weight;
    for at in (0..last).rev() {
        let weight = path[at].weight;
        if known != 0.0 {
            path[at].weight = next * all / ((at + 1) as f64 * known);
            next = weight - path[at].weight * unknown * (last - at) as f64 / all;
        } else if unknown != 0.0 {
            path[at].weight = weight * all / (unknown * (last - at) as f64);
        }
    }
    for at in place..last {
        let Step { feature, unknown, known, .. } = path[at + 1];
        path[at] = Step { feature, unknown, known, weight: path[at].weight };
    }
    path.pop();
}

/// The sum of the weights if a feature were taken off the path.
fn unwound_sum(path: &Path, place: usize) -> f64 {
    let last = path.len() - 1;
    let (known, unknown) = (path[place].known, path[place].unknown);
    let all = (last + 1) as f64;
    let (mut next, mut sum) = (path[last].weight, 0.0);
    for at in (0..last).rev() {
        if known != 0.0 {
            let weight = next * all / ((at + 1) as f64 * known);
            sum += weight;
            next = path[at].weight - weight * unknown * (last - at) as f64 / all;
        } else if unknown != 0.0 {
            sum += path[at].weight * all / (unknown * (last - at) as f64);
        }
    }
    sum
}
