//! From a margin to what the library's `predict` returns.

use super::math::{exp, sigmoid, softplus};

/// The transform of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Link {
    /// the margin itself
    Identity,
    /// the logistic function of the margin times this
    Sigmoid(f64),
    /// `e` to the margin
    Exp,
    /// the square with the margin's sign
    SignedSquare,
    /// `ln(1 + e^margin)`
    Softplus,
    /// 1 above 0, else 0
    Step,
}

impl Link {
    /// Applies it.
    pub(super) fn apply(self, raw: f64) -> f64 {
        match self {
            Link::Identity => raw,
            Link::Sigmoid(slope) => sigmoid(slope * raw),
            Link::Exp => exp(raw),
            Link::SignedSquare => raw * raw.abs(),
            Link::Softplus => softplus(raw),
            Link::Step => f64::from(u8::from(raw > 0.0)),
        }
    }

    /// Whether what it returns is the probability of a class.
    pub(super) fn is_probability(self) -> bool {
        matches!(self, Link::Sigmoid(_))
    }
}
