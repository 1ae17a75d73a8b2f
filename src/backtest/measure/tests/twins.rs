//! Twins: the same measures straight from their definitions, slow and simple.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::cards::shuffled;
use super::super::columns::{Columns, Row, day_of};
use super::super::resample::{Figures, LANES};
use super::*;

/// Few scores, so that many are equal; few accounts and days, so that many are shared.
fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let one = (0..12_u32, 0..8_u32, any::<bool>(), 0..4_i64, 0..5_000_i64);
    prop::collection::vec(one, 1..60).prop_map(|all| {
        let one = |(account, score, is_fraud, day, amount): (u32, u32, bool, i64, i64)| Sample {
            time: Millis(day * 86_400_000 + 5),
            amount_minor: amount,
            ..sample(account, f64::from(score) / 7.0, Some(is_fraud))
        };
        all.into_iter().map(one).collect()
    })
}

fn split(samples: &[Sample]) -> (Vec<f64>, Vec<f64>) {
    let scores = |label| {
        let of = samples.iter().filter(move |sample| sample.label == Some(label));
        of.map(|sample| sample.score).collect()
    };
    (scores(true), scores(false))
}

fn auc(samples: &[Sample]) -> Option<f64> {
    let (frauds, genuine) = split(samples);
    let mut wins = 0.0;
    for fraud in &frauds {
        for other in &genuine {
            wins += if fraud > other {
                1.0
            } else if fraud == other {
                0.5
            } else {
                0.0
            };
        }
    }
    let pairs = frauds.len() * genuine.len();
    (pairs > 0).then(|| wins / pairs as f64)
}

/// Precision and recall at each threshold, highest first.
fn thresholds(samples: &[Sample]) -> Vec<(f64, f64)> {
    let mut scores: Vec<f64> = samples.iter().map(|sample| sample.score).collect();
    scores.sort_by(f64::total_cmp);
    scores.dedup();
    let frauds = samples.iter().filter(|sample| sample.label == Some(true)).count() as f64;
    let at = |least: &f64| {
        let alerts: Vec<&Sample> = samples.iter().filter(|one| one.score >= *least).collect();
        let hits = alerts.iter().filter(|one| one.label == Some(true)).count() as f64;
        (hits / alerts.len() as f64, hits / frauds)
    };
    scores.iter().rev().map(at).collect()
}

fn average_precision(samples: &[Sample]) -> f64 {
    let mut before = 0.0;
    let steps = thresholds(samples).into_iter().map(|(precision, recall)| {
        let step = (recall - before) * precision;
        before = recall;
        step
    });
    steps.sum()
}

fn recall_at_precision_90(samples: &[Sample]) -> f64 {
    let reached = thresholds(samples).into_iter().filter(|(precision, _)| *precision >= 0.9);
    reached.map(|(_, recall)| recall).fold(0.0, f64::max)
}

/// A thousandth of an event at a time.
fn lift(samples: &[Sample], share: f64) -> f64 {
    let mut events: Vec<(f64, bool)> =
        samples.iter().map(|sample| (sample.score, sample.label == Some(true))).collect();
    events.sort_by(|a, b| b.0.total_cmp(&a.0));
    let frauds = events.iter().filter(|event| event.1).count() as f64;
    let cut = share * events.len() as f64;
    let (mut seen, mut hits) = (0.0, 0.0);
    for group in events.chunk_by(|a, b| a.0 == b.0) {
        let part = f64::min(cut - seen, group.len() as f64);
        hits += part * group.iter().filter(|event| event.1).count() as f64 / group.len() as f64;
        seen += part;
    }
    (hits / cut) / (frauds / events.len() as f64)
}

fn card_precision(samples: &[Sample], k: usize, known: Known, compromised: &[u32]) -> f64 {
    let mut is_out: BTreeSet<u32> = compromised.iter().copied().collect();
    let days: BTreeSet<i64> = samples.iter().map(|sample| day_of(sample.time)).collect();
    let mut sum = 0.0;
    for day in &days {
        let mut accounts: BTreeMap<u32, (f64, bool)> = BTreeMap::new();
        let of_day = samples.iter().filter(|sample| day_of(sample.time) == *day);
        for sample in of_day.filter(|sample| !is_out.contains(&sample.account)) {
            let account = accounts.entry(sample.account).or_insert((0.0, false));
            account.0 = account.0.max(sample.score);
            account.1 |= sample.label == Some(true);
        }
        let mut ranked: Vec<(u32, (f64, bool))> = accounts.into_iter().collect();
        ranked.sort_by_key(|(account, _)| shuffled(*account));
        ranked.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
        let caught: Vec<u32> =
            ranked.iter().take(k).filter(|one| one.1.1).map(|one| one.0).collect();
        sum += caught.len() as f64 / k as f64;
        if known == Known::LeftOut {
            is_out.extend(caught);
        }
    }
    sum / days.len() as f64
}

/// Mean net amount a day of `k` alerts a day.
fn net(samples: &[Sample], k: f64, cost: f64) -> f64 {
    let days: BTreeSet<i64> = samples.iter().map(|sample| day_of(sample.time)).collect();
    let mut sum = 0.0;
    for day in &days {
        let mut events: Vec<&Sample> =
            samples.iter().filter(|sample| day_of(sample.time) == *day).collect();
        events.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut left = k;
        for group in events.chunk_by(|a, b| a.score == b.score) {
            let part = left.min(group.len() as f64) / group.len() as f64;
            let saved = group.iter().filter(|one| one.label == Some(true));
            let saved: i64 = saved.map(|one| one.amount_minor).sum();
            sum += part * (saved as f64 - cost * group.len() as f64);
            left -= part * group.len() as f64;
        }
    }
    sum / days.len() as f64
}

fn calibration_error(samples: &[Sample]) -> f64 {
    let mut error = 0.0;
    for bin in 0..10 {
        let is_in = |one: &&Sample| ((one.score * 10.0).floor() as usize).min(9) == bin;
        let events: Vec<&Sample> = samples.iter().filter(is_in).collect();
        let n = events.len().max(1) as f64;
        let score = events.iter().map(|one| one.score).sum::<f64>() / n;
        let share = events.iter().filter(|one| one.label == Some(true)).count() as f64 / n;
        error += events.len() as f64 / samples.len() as f64 * (score - share).abs();
    }
    error
}

proptest! {
    #[test]
    fn measures_are_what_their_definitions_say(
        samples in any_samples(),
        k in 1..6_usize,
        is_kept in any::<bool>(),
        compromised in prop::collection::vec(0..12_u32, 0..3),
    ) {
        let known = if is_kept { Known::Kept } else { Known::LeftOut };
        let options = Options { k, known, compromised, ..Options::default() };
        let measures = Measures::of(&samples, &Names::default(), &options);
        let ranking = &measures.ranking;
        match auc(&samples) {
            Some(wanted) => assert_near(ranking.auc.value, wanted),
            None => prop_assert_eq!(ranking.auc.value, None),
        }
        let (frauds, _) = split(&samples);
        if frauds.is_empty() {
            prop_assert_eq!(ranking.average_precision.value, None);
        } else {
            assert_near(ranking.average_precision.value, average_precision(&samples));
            assert_near(ranking.recall_at_precision_90.value, recall_at_precision_90(&samples));
            for at in &ranking.precision_at_recalls {
                let reached = thresholds(&samples).into_iter().find(|one| one.1 >= at.recall - 1e-9);
                assert_near(at.precision.value, reached.expect("recall reaches 1").0);
            }
            for at in &ranking.lift {
                assert_near(at.lift.value, lift(&samples, at.share));
            }
        }
        let cards = card_precision(&samples, k, known, &options.compromised);
        assert_near(measures.card_precision.mean.value, cards);
        for budget in &measures.money.budget {
            let wanted = net(&samples, f64::from(budget.alerts_per_day), 500.0);
            let is = budget.net_minor.value.expect("a value");
            prop_assert!((is - wanted).abs() < 1e-6, "{:?}, wanted {}", budget, wanted);
        }
        let error = calibration_error(&samples);
        assert_near(measures.calibration.expected_calibration_error.value, error);
    }

    /// What a resample measures by weights is what is measured where each event is there that often.
    #[test]
    fn a_weight_is_that_many_copies(
        samples in any_samples(),
        weights in prop::collection::vec(prop::array::uniform8(0..4_u8), 12),
    ) {
        let columns = Columns::of(&samples, |one| Some((one.outcome, one.score)));
        let weights = &weights[..columns.accounts.len()];
        let copies = |lane: usize| -> Vec<Row> {
            let copies = |row: &Row| vec![*row; usize::from(weights[row.account as usize][lane])];
            columns.rows.iter().flat_map(copies).collect()
        };
        // cards are not there: a copy of an account is an account of its own to them
        let figures = |columns: &Columns, weights: &[[u8; LANES]]| {
            let mut figures = Figures::default();
            let ranking = super::super::ranking::Ranking::of(&columns.rows, columns.accounts.len());
            ranking.figures(weights, &mut figures);
            super::super::alerts::Levels::of(columns).figures(weights, &mut figures);
            super::super::calibration::Losses::of(columns).figures(weights, &mut figures);
            figures
        };
        let weighted = figures(&columns, weights);
        for (lane, weighted) in weighted.iter().enumerate() {
            let copied = Columns { rows: copies(lane), ..columns.clone() };
            let [copied, ..] = figures(&copied, &vec![[1; LANES]; columns.accounts.len()]);
            for (at, (is, wanted)) in weighted.iter().zip(&copied).enumerate() {
                match (is, wanted) {
                    (Some(is), Some(wanted)) => {
                        prop_assert!((is - wanted).abs() < 1e-9, "{at}: {is}, wanted {wanted}");
                    }
                    _ => prop_assert_eq!(is, wanted, "figure {}", at),
                }
            }
        }
    }
}
