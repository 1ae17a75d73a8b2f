//! Calibrations: from and to files, fitted, monotone.

use proptest::prelude::*;

use super::*;
use crate::score::model::calibration::{
    Curve, FitError, Input, Table, expected_calibration_error, fit_isotonic, fit_platt,
};

fn pairs(positive_of_ten: &[(f64, usize)]) -> Vec<(f64, bool)> {
    let rows = positive_of_ten.iter();
    rows.flat_map(|(score, positive)| (0..10).map(move |row| (*score, row < *positive))).collect()
}

#[test]
fn a_table_goes_straight_from_point_to_point() {
    let table = Table::new(vec![0.2, 0.4, 0.8], vec![0.0, 0.5, 0.6]).expect("it is sound");
    let calibration = Calibration::Isotonic(table);
    for (score, expected) in
        [(-1.0, 0.0), (0.2, 0.0), (0.3, 0.25), (0.4, 0.5), (0.6, 0.55), (0.8, 0.6), (9.0, 0.6)]
    {
        let found = calibration.apply(score);
        assert!((found - expected).abs() < 1e-12, "{score}: {found}, expected {expected}");
    }
    assert_eq!(calibration.apply(f64::NAN), 0.0, "no number counts as the lowest");
}

#[test]
fn isotonic_pools_what_falls() {
    // 0.3 is less often so than 0.2: both are one pool, of 7 in 20
    let fitted =
        fit_isotonic(&pairs(&[(0.1, 1), (0.2, 4), (0.3, 3), (0.9, 8)])).expect("two classes");
    for (score, expected) in [(0.1, 0.1), (0.2, 0.35), (0.25, 0.35), (0.3, 0.35), (0.9, 0.8)] {
        let found = fitted.apply(score);
        assert!((found - expected).abs() < 1e-12, "{score}: {found}, expected {expected}");
    }
    assert!((fitted.apply(0.6) - 0.575).abs() < 1e-12, "half way between 0.3 and 0.9");
}

#[test]
fn platt_finds_the_curve_that_made_the_labels() {
    // shares of 1,000 that are sigmoid(0.5 * logit(score) - 1)
    let mut made = Vec::new();
    for step in 1..100 {
        let score = f64::from(step) / 100.0;
        let share = math::sigmoid(0.5 * math::logit(score) - 1.0);
        made.extend((0..1_000).map(|row| (score, f64::from(row) < share * 1_000.0)));
    }
    let fitted = fit_platt(&made).expect("two classes");
    for score in [0.01, 0.3, 0.5, 0.9, 0.99] {
        let expected = math::sigmoid(0.5 * math::logit(score) - 1.0);
        let found = fitted.apply(score);
        assert!((found - expected).abs() < 1e-3, "{score}: {found}, expected {expected}");
    }
    assert!(fitted.to_toml().contains("input = \"logit\""), "{}", fitted.to_toml());
    let beyond: Vec<(f64, bool)> = made.iter().map(|(s, label)| (s * 50.0 + 7.0, *label)).collect();
    let fitted = fit_platt(&beyond).expect("two classes");
    assert!(fitted.to_toml().contains("input = \"score\""), "scores that are no probabilities");
    // classes that are apart give a steep curve and not a wall
    let apart = fit_platt(&pairs(&[(0.1, 0), (0.9, 10)])).expect("two classes");
    assert!(apart.apply(0.1) > 0.01 && apart.apply(0.9) < 0.99, "{}", apart.to_toml());
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let one = pairs(&[(0.1, 0), (0.2, 0)]);
    let refused = FitError::OneClass { positive: 0, negative: 20 };
    assert_eq!(fit_isotonic(&one), Err(refused.clone()));
    assert_eq!(fit_platt(&one), Err(refused));
    let message = fit_platt(&[(0.1, true), (f64::NAN, false)]).expect_err("NaN").to_string();
    assert_eq!(message, "score of row 1 is NaN, expected a finite number");
    let message = fit_platt(&pairs(&[(0.1, 9), (0.9, 1)])).expect_err("it falls").to_string();
    assert!(
        message.ends_with("higher scores are less often positive, expected a model that ranks")
    );
}

#[test]
fn a_calibration_is_the_same_from_its_file() {
    let table = fit_isotonic(&pairs(&[(0.1, 1), (1.0 / 3.0, 4), (0.9, 7)])).expect("two classes");
    let curve = fit_platt(&pairs(&[(0.1, 1), (1.0 / 3.0, 4), (0.9, 7)])).expect("two classes");
    for calibration in [Calibration::Identity, table, curve] {
        let text = calibration.to_toml();
        assert_eq!(Calibration::parse("c", &text).expect("it is sound"), calibration, "{text}");
    }
}

#[test]
fn files_are_refused_with_what_was_expected() {
    let table =
        "calibration = \"isotonic\"\nversion = 1\nscores = [0.1, 0.2]\nvalues = [0.3, 0.4]\n";
    let curve =
        "calibration = \"platt\"\nversion = 1\ninput = \"logit\"\nslope = 1.0\nintercept = 0.0\n";
    for (text, from, to, expected) in [
        (table, "version = 1", "version = 7", "c: version is 7, expected 1"),
        (table, "[0.1, 0.2]", "[0.2, 0.2]", "c: scores[1] is 0.2, expected more than 0.2"),
        (table, "[0.1, 0.2]", "[0.1, nan]", "c: scores[1] is NaN, expected a finite number"),
        (table, "[0.3, 0.4]", "[0.5, 0.4]", "c: values[1] is 0.4, expected at least 0.5"),
        (table, "[0.3, 0.4]", "[0.3, 1.4]", "c: values[1] is 1.4, expected 0 to 1"),
        (table, "[0.3, 0.4]", "[0.3]", "c: 2 scores and 1 values, expected as many of each"),
        (table, "\"isotonic\"", "\"beta\"", "unknown variant `beta`, expected one of"),
        (curve, "slope = 1.0", "slope = -1.0", "c: slope is -1, expected a finite number from 0"),
        (curve, "slope = 1.0", "slip = 1.0", "unknown field `slip`"),
        (curve, "\"logit\"", "\"odds\"", "unknown variant `odds`"),
    ] {
        let message = Calibration::parse("c", &with(text, from, to)).expect_err(to).to_string();
        assert!(message.contains(expected), "{message:?}, expected {expected:?}");
    }
    assert!(Table::new(vec![], vec![]).expect_err("empty").starts_with("0 scores, expected 1 to"));
}

#[test]
fn a_regression_needs_a_calibration() {
    let text = with(LIGHTGBM, "=binary sigmoid:1", "=regression");
    let load = || Model::load_any("m", &text).expect("it is sound");
    let message = load().calibrated(Calibration::Identity).expect_err("no probability").to_string();
    assert!(message.starts_with("m: objective \"regression\" gives no probability"), "{message}");
    let table = Table::new(vec![-1.0, 2.0], vec![0.1, 0.4]).expect("it is sound");
    let model = load().calibrated(Calibration::Isotonic(table)).expect("a table is one");
    assert!((model.probability(0.5) - 0.25).abs() < 1e-12);
    assert_eq!(model.output(0.5), 0.5);
    let curve = Curve::new(Input::Logit, 1.0, 0.0).expect("it is sound");
    let same = super::load(LIGHTGBM).calibrated(Calibration::Platt(curve)).expect("a classifier");
    assert!((same.probability(0.7) - same.output(0.7)).abs() < 1e-15, "slope 1 changes nothing");
}

#[test]
fn the_error_is_the_mean_distance_of_the_bins() {
    // said 0.1, was 0.3; said 0.9, was 0.8
    let error = expected_calibration_error(&pairs(&[(0.1, 3), (0.9, 8)]), 10);
    assert!((error - 0.15).abs() < 1e-12, "{error}");
    assert_eq!(expected_calibration_error(&[], 10), 0.0);
    let error = expected_calibration_error(&[(1.0, true), (0.0, false)], 15);
    assert_eq!(error, 0.0, "1 is in the last bin");
    let together = expected_calibration_error(&pairs(&[(0.1, 3), (0.9, 8)]), 1);
    assert!((together - 0.05).abs() < 1e-12, "one bin: {together}");
}

proptest! {
    #[test]
    fn calibrations_never_fall_and_stay_within_0_and_1(
        rows in prop::collection::vec((0.0..1.0f64, any::<bool>()), 2..200),
        mut scores in prop::collection::vec(-0.5..1.5f64, 2..50),
    ) {
        scores.sort_by(f64::total_cmp);
        for fitted in [fit_isotonic(&rows), fit_platt(&rows)].into_iter().flatten() {
            let applied: Vec<f64> = scores.iter().map(|score| fitted.apply(*score)).collect();
            // of a curve, up to the rounding of one step
            prop_assert!(applied.windows(2).all(|pair| pair[0] <= pair[1] + 1e-15), "{:?}", applied);
            prop_assert!(applied.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", applied);
        }
    }

    #[test]
    fn isotonic_lowers_the_squared_error_and_keeps_the_mean(
        rows in prop::collection::vec((0.0..1.0f64, any::<bool>()), 2..200),
    ) {
        if let Ok(fitted) = fit_isotonic(&rows) {
            let yes = |label: &bool| f64::from(u8::from(*label));
            let error = |of: &dyn Fn(f64) -> f64| -> f64 {
                rows.iter().map(|(score, label)| (of(*score) - yes(label)).powi(2)).sum()
            };
            prop_assert!(error(&|score| fitted.apply(score)) <= error(&|score| score) + 1e-9);
            let sum: f64 = rows.iter().map(|(score, label)| fitted.apply(*score) - yes(label)).sum();
            prop_assert!(sum.abs() < 1e-9, "off by {}", sum);
        }
    }
}
