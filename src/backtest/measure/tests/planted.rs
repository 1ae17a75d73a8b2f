//! Samples with a known truth: accounts that are compromised or not, and scores that know of it as well as
//! planted.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::super::sample::{Sample, Verdict};
use crate::event::{Kind, Millis, Outcome};

/// What is planted.
pub(super) struct Plant {
    pub(super) accounts: u32,
    /// share of accounts that have frauds
    pub(super) compromised: f64,
    /// distance of the scores of fraud from those of the rest, in deviations
    pub(super) skill: f64,
    /// the same of each challenger
    pub(super) challengers: Vec<f64>,
    /// part of the noise that is each one's own; the rest is shared
    pub(super) apart: f64,
}

impl Default for Plant {
    fn default() -> Plant {
        Plant { accounts: 300, compromised: 0.15, skill: 1.5, challengers: Vec::new(), apart: 0.5 }
    }
}

impl Plant {
    pub(super) fn grow(&self, seed: u64) -> Vec<Sample> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut samples = Vec::new();
        for account in 0..self.accounts {
            let is_compromised = random.random_bool(self.compromised);
            // an account's events are alike: what a resample by account is for
            let manner = normal(&mut random) * 0.8;
            for _ in 0..random.random_range(1..10) {
                let is_fraud = is_compromised && random.random_bool(0.5);
                samples.push(self.event(account, is_fraud, manner, &mut random));
            }
        }
        samples
    }

    fn event(&self, account: u32, is_fraud: bool, manner: f64, random: &mut ChaCha8Rng) -> Sample {
        let shared = normal(random);
        let mut judged = |skill: f64| {
            // of variance 1, however much of it is shared; made alike for all, so that equal skill is equal
            let own = self.apart.sqrt() * normal(random);
            let noise = manner + (1.0 - self.apart).sqrt() * shared + own;
            let score = logistic(-3.0 + f64::from(u8::from(is_fraud)) * skill + noise);
            Verdict { outcome: decide(score), score }
        };
        let live = judged(self.skill);
        let challengers: Vec<Verdict> =
            self.challengers.iter().map(|skill| judged(*skill)).collect();
        Sample {
            time: Millis(random.random_range(0..20 * 86_400_000)),
            kind: Kind::Transaction,
            account,
            amount_minor: (2_000.0 * (normal(random) * 0.8 + 1.0).exp()) as i64,
            score: live.score,
            outcome: live.outcome,
            rules: Vec::new(),
            label: Some(is_fraud),
            challengers,
        }
    }
}

fn decide(score: f64) -> Outcome {
    match score {
        score if score >= 0.5 => Outcome::Block,
        score if score >= 0.2 => Outcome::Review,
        _ => Outcome::Allow,
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Near enough to the normal distribution: twelve uniform draws.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}
