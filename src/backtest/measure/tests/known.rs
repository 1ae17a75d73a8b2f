//! Numbers known from elsewhere, and the ends of what can be measured.

use super::*;

#[test]
fn the_examples_of_scikit_learn() {
    let ranked = measured(&samples(&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8]));
    assert_near(ranked.ranking.average_precision.value, 5.0 / 6.0);
    assert_near(ranked.ranking.auc.value, 0.75);
    // precision_recall_curve and roc_curve of the same
    let curve = |value: fn(&Threshold) -> Option<f64>| -> Vec<f64> {
        ranked.ranking.curve.iter().filter_map(value).collect()
    };
    assert_eq!(curve(|at| at.precision), [1.0, 0.5, 2.0 / 3.0, 0.5]);
    assert_eq!(curve(|at| at.recall), [0.5, 0.5, 1.0, 1.0]);
    assert_eq!(curve(|at| at.false_positive_rate), [0.0, 0.5, 0.5, 1.0]);

    let brier = measured(&samples(&[0, 1, 1, 0], &[0.1, 0.9, 0.8, 0.3]));
    assert_near(brier.calibration.brier.value, 0.0375);
    let log = measured(&samples(&[1, 0, 0, 1], &[0.9, 0.1, 0.2, 0.65]));
    let log_loss = log.calibration.log_loss.value.expect("a value");
    assert!((log_loss - 0.21616).abs() < 1e-5, "{log_loss}");
}

#[test]
fn wilson_of_textbook_cases() {
    let ten = super::super::resample::wilson(0, 10);
    assert!((ten.high.expect("an end") - 0.2775).abs() < 1e-4, "{ten:?}");
    assert_eq!(ten.low, Some(0.0));
    let half = super::super::resample::wilson(5, 10);
    assert!((half.low.expect("an end") - 0.2366).abs() < 1e-4, "{half:?}");
    assert!((half.high.expect("an end") - 0.7634).abs() < 1e-4, "{half:?}");
    assert_eq!(super::super::resample::wilson(0, 0), Estimate::default());
}

#[test]
fn without_labels_there_is_nothing_to_measure_but_counts() {
    let unlabelled: Vec<Sample> = (0..40).map(|at| sample(at, 0.7, None)).collect();
    for samples in [&unlabelled[..], &[]] {
        let measures = measured(samples);
        assert_eq!(measures.counts.events, samples.len() as u64);
        assert_eq!(measures.fraud_share, Estimate::default());
        assert_eq!(measures.ranking.auc, Estimate::default());
        assert_eq!(measures.ranking.average_precision, Estimate::default());
        assert_eq!(measures.card_precision.mean, Estimate::default());
        assert_eq!(measures.calibration.log_loss, Estimate::default());
        assert_eq!(measures.money.net_minor, Estimate::default());
        assert_eq!(measures.alerts[1].events, samples.len() as u64);
        assert_eq!(measures.alerts[1].precision, Estimate::default());
    }
}

#[test]
fn one_kind_alone_is_not_ranked() {
    let fraud = measured(&samples(&[1; 30], &[0.9; 30]));
    assert_eq!(fraud.ranking.auc.value, None);
    assert_eq!(fraud.ranking.average_precision.value, Some(1.0));
    assert_eq!(fraud.ranking.recall_at_precision_90.value, Some(1.0));
    assert_eq!(fraud.alerts[1].false_positive_rate.value, None);
    let genuine = measured(&samples(&[0; 30], &[0.1; 30]));
    assert_eq!(genuine.ranking.auc.value, None);
    assert_eq!(genuine.ranking.average_precision.value, None);
    assert_eq!(genuine.alerts[1].recall.value, None);
    assert_eq!(genuine.alerts[1].precision.value, None);
    assert_eq!(genuine.fraud_share.value, Some(0.0));
    let one = measured(&samples(&[1], &[0.3]));
    assert_eq!(one.ranking.average_precision, Estimate { value: Some(1.0), low: None, high: None });
}

#[test]
fn json_holds_no_nan_whatever_the_scores_are() {
    let scores = [f64::NAN, f64::INFINITY, -1.0, 2.0, 0.0, 1.0];
    for labels in [[1; 6], [0; 6], [0, 1, 0, 1, 0, 1]] {
        let mut samples = samples(&labels, &scores);
        samples[0].amount_minor = i64::MIN;
        samples[1].amount_minor = i64::MAX;
        samples[2].time = Millis(i64::MIN);
        samples[3].time = Millis(i64::MAX);
        let measures = measured(&samples);
        for bin in &measures.calibration.bins {
            assert!(bin.mean_score.is_finite(), "{bin:?}");
        }
        for at in &measures.ranking.curve {
            assert!((0.0..=1.0).contains(&at.threshold), "{at:?}");
        }
        // serde writes a NaN as null: none of these may be one
        let json = serde_json::to_value(&measures).expect("json");
        assert!(json["money"]["fraud_minor"].is_number());
        assert!(json["calibration"]["log_loss"]["value"].is_number());
        assert_eq!(json["ranking"]["auc"]["low"], serde_json::Value::Null);
    }
}

#[test]
fn rules_are_counted_with_what_only_they_caught() {
    let mut samples = samples(&[1, 1, 0, 1], &[0.9, 0.8, 0.7, 0.1]);
    samples[0].rules = vec![0, 1];
    samples[1].rules = vec![1];
    samples[2].rules = vec![1, 7];
    samples.push(Sample { rules: vec![0], ..sample(9, 0.5, None) });
    let names = Names { rules: vec!["a".into(), "b".into(), "c".into()], challengers: Vec::new() };
    let rules = Measures::of(&samples, &names, &Options::default()).rules;
    assert_eq!([rules[0].hits, rules[0].labelled, rules[0].frauds], [2, 1, 1]);
    assert_eq!(rules[0].frauds_alone, 0);
    assert_eq!([rules[1].hits, rules[1].frauds, rules[1].frauds_alone], [3, 2, 1]);
    assert_near(rules[1].precision.value, 2.0 / 3.0);
    assert_near(rules[1].recall_alone, 1.0 / 3.0);
    assert_eq!((rules[2].hits, rules[2].precision), (0, Estimate::default()));
}

#[test]
fn money_counts_what_was_caught_and_what_it_cost() {
    let mut samples = samples(&[1, 1, 0, 0], &[0.9, 0.1, 0.8, 0.2]);
    for (sample, amount) in samples.iter_mut().zip([7_000, 400, 900, 50]) {
        sample.amount_minor = amount;
    }
    let money = measured(&samples).money;
    assert_eq!(
        [money.fraud_minor, money.caught_minor, money.missed_minor],
        [7_400.0, 7_000.0, 400.0]
    );
    assert_eq!(money.false_positive_minor, 900.0);
    assert_eq!((money.alerts, money.net_minor.value), (2, Some(6_000.0)));
    let nets: Vec<(u32, Option<f64>)> =
        money.budget.iter().map(|at| (at.alerts_per_day, at.net_minor.value)).collect();
    assert_eq!(nets, [(1, Some(6_500.0)), (2, Some(6_000.0))]);
}
