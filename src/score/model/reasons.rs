//! What drove a score up, most first.

use super::Model;

/// A feature that raised a margin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Driver {
    /// its place in the model's features
    pub feature: usize,
    /// what it added to the margin; above 0
    pub added: f64,
    /// its share of all that raised the margin, 0..1
    pub share: f64,
}

/// The features that raised a margin most, at most `out.len()` of them; the number written. `added`
/// is what [`Model::attribute`] or [`Model::shap`] wrote. Equal ones stand in the features' order, so
/// the same row has the same reasons.
pub fn drivers(model: &Model, added: &[f64], out: &mut [Driver]) -> usize {
    let raised = || added.iter().take(model.features().len()).copied().filter(|added| *added > 0.0);
    let all: f64 = raised().sum();
    let mut count = 0;
    for (feature, added) in added.iter().copied().enumerate().take(model.features().len()) {
        if added <= 0.0 || added.is_nan() {
            continue;
        }
        let place = out[..count].iter().position(|other| other.added < added).unwrap_or(count);
        if place == out.len() {
            continue;
        }
        count = (count + 1).min(out.len());
        out[place..count].rotate_right(1);
        out[place] = Driver { feature, added, share: added / all };
    }
    count
}
