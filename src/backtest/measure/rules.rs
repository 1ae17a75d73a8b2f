//! What each rule brings.

use serde::Serialize;

use super::super::sample::{Names, Sample};
use super::resample::{Estimate, ratio, wilson};

/// One rule's hits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleHits {
    /// its id
    pub rule: String,
    /// events that it matched, labelled or not
    pub hits: u64,
    /// part of all events
    pub hit_share: Option<f64>,
    /// labelled ones of them
    pub labelled: u64,
    /// frauds of them
    pub frauds: u64,
    /// frauds among the labelled, with the Wilson interval
    pub precision: Estimate,
    /// part of all frauds that it matched
    pub recall: Option<f64>,
    /// frauds that no other rule matched
    pub frauds_alone: u64,
    /// part of all frauds that no other rule matched
    pub recall_alone: Option<f64>,
}

/// Of each rule, in the order of the names.
pub(super) fn rules(samples: &[Sample], names: &Names) -> Vec<RuleHits> {
    let mut counts = vec![[0_u64; 4]; names.rules.len()];
    let mut frauds_all = 0_u64;
    for sample in samples {
        let is_fraud = sample.label == Some(true);
        frauds_all += u64::from(is_fraud);
        let is_alone = sample.rules.len() == 1;
        for rule in &sample.rules {
            // a number that has no name cannot be told of
            let Some([hits, labelled, frauds, alone]) = counts.get_mut(usize::from(*rule)) else {
                continue;
            };
            *hits += 1;
            *labelled += u64::from(sample.label.is_some());
            *frauds += u64::from(is_fraud);
            *alone += u64::from(is_fraud && is_alone);
        }
    }
    let share = |part: u64, whole: u64| ratio(part as f64, whole as f64);
    let rules = names.rules.iter().zip(counts);
    rules
        .map(|(rule, [hits, labelled, frauds, frauds_alone])| RuleHits {
            rule: rule.clone(),
            hits,
            hit_share: share(hits, samples.len() as u64),
            labelled,
            frauds,
            precision: wilson(frauds, labelled),
            recall: share(frauds, frauds_all),
            frauds_alone,
            recall_alone: share(frauds_alone, frauds_all),
        })
        .collect()
}
