//! Intervals hold the truth about as often as they say, and are the same each time.

use super::planted::Plant;
use super::*;

/// Draws of which the intervals are looked at.
const DRAWS: u64 = 100;

/// Of [`DRAWS`] 95 % intervals, those that must hold the truth: percentile intervals of small samples
/// hold it somewhat less often than they say.
const HELD_MIN: usize = 85;

fn picked(measures: &Measures) -> [Estimate; 5] {
    [
        measures.ranking.auc,
        measures.ranking.average_precision,
        measures.alerts[1].precision,
        measures.alerts[1].recall,
        measures.calibration.brier,
    ]
}

#[test]
fn intervals_cover_what_is_true_of_all_accounts() {
    let everyone = Plant { accounts: 60_000, ..Plant::default() }.grow(1_000_000);
    let no_intervals = Options { replicates: 0, ..Options::default() };
    let truth = picked(&Measures::of(&everyone, &Names::default(), &no_intervals));
    let mut held = [0; 5];
    for seed in 0..DRAWS {
        let measures = measured(&Plant::default().grow(seed));
        for (held, (estimate, truth)) in held.iter_mut().zip(picked(&measures).iter().zip(truth)) {
            let (low, high) = (estimate.low.expect("an end"), estimate.high.expect("an end"));
            let truth = truth.value.expect("a truth");
            *held += usize::from((low..=high).contains(&truth));
        }
    }
    println!("held, of {DRAWS}: {held:?}");
    assert!(held.iter().all(|held| *held >= HELD_MIN), "{held:?} of seeds 0..{DRAWS}");
    // an interval that always holds is too wide to say anything
    assert!(held.iter().any(|held| *held < DRAWS as usize), "{held:?}");
}

#[test]
fn the_same_seed_gives_the_same_intervals() {
    let samples = Plant::default().grow(7);
    assert_eq!(measured(&samples), measured(&samples));
    let other = Options { seed: 2, ..Options::default() };
    let other = Measures::of(&samples, &Names::default(), &other);
    let here = measured(&samples);
    assert_eq!(here.ranking.auc.value, other.ranking.auc.value);
    assert_ne!(here.ranking.auc.low, other.ranking.auc.low);
}

#[test]
fn the_order_of_the_samples_does_not_matter_to_the_figures() {
    let samples = Plant::default().grow(8);
    let mut turned = samples.clone();
    turned.reverse();
    let (there, back) = (measured(&samples), measured(&turned));
    for (a, b) in picked(&there).iter().zip(picked(&back)) {
        assert_near(a.value, b.value.expect("a value"));
    }
    assert_eq!(there.card_precision.days, back.card_precision.days);
    assert_eq!(there.thresholds, back.thresholds);
}

#[test]
fn events_of_few_accounts_are_less_certain_than_as_many_of_many() {
    let samples = Plant { accounts: 200, ..Plant::default() }.grow(3);
    let mut alone = samples.clone();
    for (account, sample) in (0..).zip(&mut alone) {
        sample.account = account;
    }
    let width = |samples: &[Sample]| {
        let precision = measured(samples).fraud_share;
        precision.high.expect("an end") - precision.low.expect("an end")
    };
    let (shared, apart) = (width(&samples), width(&alone));
    assert!(shared > 1.2 * apart, "{shared} of accounts, {apart} of events");
}

#[test]
fn alerts_that_all_agree_are_not_taken_for_certain() {
    let mut samples = Plant::default().grow(9);
    for sample in &mut samples {
        sample.outcome = match sample.label {
            Some(true) if sample.account.is_multiple_of(2) => Outcome::Block,
            _ => Outcome::Allow,
        };
    }
    let alerts = measured(&samples).alerts[1];
    let (precision, false_positives) = (alerts.precision, alerts.false_positive_rate);
    assert_eq!((precision.value, precision.high), (Some(1.0), Some(1.0)));
    assert!(precision.low.is_some_and(|low| (0.5..0.95).contains(&low)), "{precision:?}");
    assert_eq!((false_positives.value, false_positives.low), (Some(0.0), Some(0.0)));
    assert!(false_positives.high.is_some_and(|high| high > 0.0), "{false_positives:?}");
}

#[test]
fn too_few_accounts_have_no_intervals() {
    let all = Plant { accounts: 400, ..Plant::default() }.grow(5);
    let few: Vec<Sample> = all.iter().filter(|sample| sample.account < 19).cloned().collect();
    let auc = measured(&few).ranking.auc;
    assert_eq!((auc.low, auc.high), (None, None));
    assert!(measured(&all).ranking.auc.low.is_some());
}
