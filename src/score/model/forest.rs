//! Trees as one array of nodes, and the way down them.
//!
//! ```text
//!  row ─► columns ─► nodes, eight trees at a time ─► leaves in the trees' order ─► margin
//! ```
//!
//! **Columns** take everything out of a row that a node would have to ask about: a missing value is
//! -inf in the column read by nodes that send it left and +inf in that of nodes that send it right,
//! and what counts as missing (NaN, or zero too) is decided there. A numeric node is then one
//! comparison. **Children** lie side by side, the left one first, so that the next node is a number
//! plus the outcome of the comparison. **Leaves** are nodes that nothing leaves: they ask whether
//! -inf is above their value. So trees of different depth go down together, without a branch that
//! would be guessed wrong, and the loads of one tree hide behind those of the others.

use super::build::{Column, Treatment};

/// Trees that go down together.
const LANES: usize = 8;
/// Columns that fit on the stack; a model with more of them allocates once a row.
const COLUMNS_ON_STACK: usize = 192;
/// The column that leaves read: always -inf.
pub(super) const NEVER: u16 = 0;
/// No threshold and no value is above it, so that a missing value, which is +inf, always is.
pub(super) const HIGHEST: f64 = f64::MAX;

/// One node; sixteen bytes, so that two children share a cache line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// the threshold as bits, the leaf's value as bits, or the place of the set of categories
    pub(super) test: u64,
    /// the left child; a leaf names itself
    pub(super) child: u32,
    /// what is compared
    pub(super) column: u16,
    /// how
    pub(super) ask: Ask,
}

/// What a node asks.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u16)]
pub(super) enum Ask {
    /// right if above the threshold
    Above,
    /// right if in the set; a missing value goes left
    Among,
    /// right if in the set or missing
    AmongOrMissing,
}

/// How leaves are summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sum {
    /// in 64 bits, as LightGBM does
    Double,
    /// in 32 bits, as XGBoost does, with every value rounded to 32 bits first
    Single,
}

impl Sum {
    /// A value as the library reads it: XGBoost in 32 bits, LightGBM with what is next to zero as zero.
    #[inline]
    fn read(self, value: f64) -> f64 {
        match self {
            Sum::Single => f64::from(value as f32),
            Sum::Double if is_zero(value) => 0.0,
            Sum::Double => value,
        }
    }
}

/// The trees of a model. Made by [`super::build::Builder`], which guarantees that every child and
/// column is in range and that every way down ends.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    /// the first node of each tree
    pub(super) roots: Vec<u32>,
    /// of each node: a leaf's value, or what is expected of the rows that reach it
    pub(super) values: Vec<f64>,
    /// of each node: the weight of the training rows that reached it
    pub(super) covers: Vec<f64>,
    /// bits of categories
    pub(super) sets: Vec<u32>,
    pub(super) columns: Vec<Column>,
    /// whether any node asks about categories
    pub(super) has_sets: bool,
    /// steps to the furthest leaf
    pub(super) depth: usize,
    pub(super) sum: Sum,
    /// where the sum begins
    pub(super) base: f64,
    /// what the sum is divided by
    pub(super) divisor: f64,
}

impl Forest {
    /// The margin of a row.
    pub(super) fn raw(&self, row: &[f64]) -> f64 {
        self.with_columns(row, |columns| match self.has_sets {
            false => self.sum_leaves::<false>(columns),
            true => self.sum_leaves::<true>(columns),
        })
    }

    fn sum_leaves<const SETS: bool>(&self, columns: &[f64]) -> f64 {
        match self.sum {
            Sum::Double => {
                let mut sum = self.base;
                self.each_leaf::<SETS>(columns, |value| sum += value);
                sum / self.divisor
            }
            Sum::Single => {
                let mut sum = self.base as f32;
                self.each_leaf::<SETS>(columns, |value| sum += value as f32);
                f64::from(sum) / self.divisor
            }
        }
    }

    /// The leaf each tree ends at, in the order of the trees.
    #[inline]
    fn each_leaf<const SETS: bool>(&self, columns: &[f64], mut take: impl FnMut(f64)) {
        let (groups, rest) = self.roots.as_chunks::<LANES>();
        for group in groups {
            let mut at = *group;
            loop {
                // 0 when every tree is at a leaf
                let mut columns_read = 0;
                for lane in &mut at {
                    let node = &self.nodes[*lane as usize];
                    columns_read |= node.column;
                    *lane = self.next::<SETS>(node, columns);
                }
                if columns_read == NEVER {
                    break;
                }
            }
            at.iter().for_each(|leaf| take(f64::from_bits(self.nodes[*leaf as usize].test)));
        }
        for root in rest {
            take(f64::from_bits(self.nodes[self.leaf::<SETS>(*root, columns)].test));
        }
    }

    fn leaf<const SETS: bool>(&self, root: u32, columns: &[f64]) -> usize {
        let mut at = root as usize;
        while self.nodes[at].column != NEVER {
            at = self.next::<SETS>(&self.nodes[at], columns) as usize;
        }
        at
    }

    #[inline]
    fn next<const SETS: bool>(&self, node: &Node, columns: &[f64]) -> u32 {
        let value = columns[usize::from(node.column)];
        let right = match SETS && node.ask != Ask::Above {
            false => value > f64::from_bits(node.test),
            true => self.is_among(node, value),
        };
        node.child + u32::from(right)
    }

    /// Whether a category is in a node's set. Codes are whole and at least 0, or -1 for none.
    fn is_among(&self, node: &Node, code: f64) -> bool {
        if code.is_nan() {
            return node.ask == Ask::AmongOrMissing;
        }
        let (first, words) = (node.test as u32 as usize, (node.test >> 32) as usize);
        if !(code >= 0.0 && code < (words * 32) as f64) {
            return false;
        }
        let code = code as usize;
        (self.sets[first + code / 32] >> (code % 32)) & 1 == 1
    }

    /// The child that a row goes to.
    #[inline]
    pub(super) fn step(&self, at: usize, columns: &[f64]) -> usize {
        self.next::<true>(&self.nodes[at], columns) as usize
    }

    /// Prepares a row. What the row does not have is missing.
    pub(super) fn with_columns<R>(&self, row: &[f64], then: impl FnOnce(&[f64]) -> R) -> R {
        let mut few = [f64::NEG_INFINITY; COLUMNS_ON_STACK];
        let mut many = Vec::new();
        let columns = match few.get_mut(..self.columns.len()) {
            Some(columns) => columns,
            None => {
                many.resize(self.columns.len(), f64::NEG_INFINITY);
                &mut many[..]
            }
        };
        for (to, column) in columns.iter_mut().zip(&self.columns) {
            let value = row.get(column.feature as usize).copied().unwrap_or(f64::NAN);
            *to = column.treatment.apply(self.sum.read(value));
        }
        then(columns)
    }

    /// Adds what each feature did to the margin along the way down, and returns what it would be
    /// without them: what is expected at the roots, and the rounding of a sum in 32 bits.
    pub(super) fn attribute(&self, row: &[f64], out: &mut [f64]) -> f64 {
        self.with_columns(row, |columns| {
            let (mut expected, mut exact, mut single) = (self.base, self.base, self.base as f32);
            for root in &self.roots {
                let mut at = *root as usize;
                expected += self.values[at];
                while self.nodes[at].column != NEVER {
                    let next = self.step(at, columns);
                    let feature = self.columns[usize::from(self.nodes[at].column)].feature;
                    out[feature as usize] += (self.values[next] - self.values[at]) / self.divisor;
                    at = next;
                }
                exact += self.values[at];
                single += self.values[at] as f32;
            }
            let rounding = match self.sum {
                Sum::Double => 0.0,
                Sum::Single => f64::from(single) - exact,
            };
            (expected + rounding) / self.divisor
        })
    }
}

impl Treatment {
    /// What nodes read instead of a value.
    #[inline]
    pub(super) fn apply(self, value: f64) -> f64 {
        let (is_missing, instead) = match self {
            Treatment::Never => return f64::NEG_INFINITY,
            Treatment::Left => (value.is_nan(), f64::NEG_INFINITY),
            Treatment::Right => (value.is_nan(), f64::INFINITY),
            Treatment::LeftOrZero => (value.is_nan() || is_zero(value), f64::NEG_INFINITY),
            Treatment::RightOrZero => (value.is_nan() || is_zero(value), f64::INFINITY),
            Treatment::Category => return value.trunc(),
            Treatment::Code => return value.floor(),
        };
        if is_missing { instead } else { value.min(HIGHEST) }
    }
}

/// Zero as LightGBM sees it.
pub(super) fn is_zero(value: f64) -> bool {
    const NEAR: f64 = 1e-35_f32 as f64;
    (-NEAR..=NEAR).contains(&value)
}
