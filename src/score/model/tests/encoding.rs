//! From values to margins, reasons and hashes.

use super::*;

fn raw(model: &Model, amount: Slot<'_>, country: Slot<'_>) -> f64 {
    model.raw(&[model.encode(0, amount), model.encode(1, country)])
}

#[test]
fn words_become_codes_and_strangers_are_missing() {
    for text in [LIGHTGBM, XGBOOST] {
        let model = load(text);
        for (word, code) in [("DE", 0.0), ("FR", 1.0), ("NG", 2.0)] {
            assert_eq!(model.encode(1, Slot::Text(word)), code, "{}", model.kind());
        }
        for stranger in [Slot::Text("XX"), Slot::Null, Slot::Int(1), Slot::Float(0.5)] {
            assert!(model.encode(1, stranger).is_nan(), "{} {stranger}", model.kind());
        }
        assert!(model.encode(0, Slot::Text("12")).is_nan(), "a word is no number");
        assert!(model.encode(7, Slot::Int(1)).is_nan(), "there is no such feature");
        assert_eq!(model.encode(0, Slot::Bool(true)), 1.0);
        assert_eq!(model.encode(0, Slot::Int(-3)), -3.0);
        let FeatureValues::Words(words) = &model.features()[1].values else {
            panic!("country has words")
        };
        let known: Vec<(&str, u32)> = words.iter().collect();
        assert_eq!(known, [("DE", 0), ("FR", 1), ("NG", 2)]);
    }
}

#[test]
fn integers_are_looked_up_among_words_that_are_integers() {
    let text = with(LIGHTGBM, r#"["DE", "FR", "NG"]"#, "[5411, 5812.0, \"6011\"]");
    let model = load(&text);
    let codes = [Slot::Int(5_411), Slot::Float(5_812.0), Slot::Text("6011"), Slot::Int(6_011)];
    assert_eq!(codes.map(|slot| model.encode(1, slot)), [0.0, 1.0, 2.0, 2.0]);
    let codes = with(LIGHTGBM, r#"[["DE", "FR", "NG"]]"#, "null");
    let codes = load(&codes);
    assert_eq!(codes.features()[1].values, FeatureValues::Codes);
    assert_eq!(codes.encode(1, Slot::Int(77)), 77.0, "a code it has not seen is in no set");
    assert_eq!(raw(&codes, Slot::Int(1), Slot::Int(77)), 1.0);
    assert_eq!(raw(&codes, Slot::Int(1), Slot::Int(-1)), 1.0);
}

#[test]
fn both_libraries_ways_down_are_followed() {
    // LightGBM: sets and small values go left, missing values of sets right
    let model = load(LIGHTGBM);
    assert_eq!(raw(&model, Slot::Float(10.5), Slot::Text("DE")), -1.0, "at most goes left");
    assert_eq!(raw(&model, Slot::Float(10.500_000_1), Slot::Text("DE")), 2.0);
    assert_eq!(raw(&model, Slot::Int(1), Slot::Text("FR")), 1.0);
    assert_eq!(raw(&model, Slot::Null, Slot::Text("NG")), -1.0, "missing goes left by default");
    assert_eq!(raw(&model, Slot::Int(1), Slot::Null), 1.0, "no set has what is missing");
    assert_eq!(model.raw(&[1.0]), 1.0, "what a row does not have is missing");
    assert_eq!(model.raw(&[f64::INFINITY, 0.0]), 2.0);
    // XGBoost: below goes left, sets go right
    let model = load(XGBOOST);
    assert_eq!(raw(&model, Slot::Float(10.5), Slot::Text("FR")), 2.0, "below goes left, equal not");
    let below = Slot::Float(10.499_999_999_9);
    assert_eq!(raw(&model, below, Slot::Text("FR")), 2.0, "in 32 bits it is 10.5");
    assert_eq!(raw(&model, Slot::Float(10.49), Slot::Text("FR")), -1.0);
    assert_eq!(raw(&model, Slot::Null, Slot::Text("NG")), 1.0);
    assert_eq!(raw(&model, Slot::Int(1), Slot::Null), 1.0, "missing goes right by default");
    assert_eq!(model.raw(&[1.0, -0.5]), -1.0, "a code below 0 is in no set");
}

#[test]
fn a_split_at_infinity_sends_only_the_missing_right() {
    let text = with(LIGHTGBM, "threshold=10.5 0", "threshold=inf 0");
    let model = load(&with(&text, "decision_type=10 1", "decision_type=8 1"));
    for value in [f64::INFINITY, f64::MAX, 0.0, f64::NEG_INFINITY] {
        assert_eq!(model.raw(&[value, 0.0]), -1.0, "{value}");
    }
    assert_eq!(model.raw(&[f64::NAN, 0.0]), 2.0);
}

#[test]
fn lightgbm_has_its_own_idea_of_zero() {
    // without missing values in training, a missing value is 0, and 0 goes left of a threshold of 0
    let zero = with(LIGHTGBM, "threshold=10.5 0", "threshold=0 0");
    let model = load(&with(&zero, "decision_type=10 1", "decision_type=0 1"));
    assert_eq!(model.raw(&[f64::NAN, 0.0]), -1.0);
    assert_eq!(model.raw(&[1e-34, 0.0]), 2.0);
    assert_eq!(model.raw(&[1e-36, 0.0]), -1.0, "next to 0 is 0");
    let below = with(LIGHTGBM, "threshold=10.5 0", "threshold=-1e-36 0");
    let model = load(&with(&below, "decision_type=10 1", "decision_type=0 1"));
    assert_eq!(model.raw(&[-1e-36, 0.0]), 2.0, "0 is above the threshold");
    assert_eq!(model.raw(&[f64::NAN, 0.0]), 2.0);
    let missing = load(&with(LIGHTGBM, "decision_type=10 1", "decision_type=4 1"));
    assert_eq!(missing.raw(&[0.0, 0.0]), 2.0, "zero is missing, and missing goes right");
    assert_eq!(missing.raw(&[1e-34, 0.0]), -1.0);
    // a code is cast towards 0
    let model = load(LIGHTGBM);
    assert_eq!(model.raw(&[1.0, -0.5]), -1.0);
    assert_eq!(model.raw(&[1.0, 2.9]), -1.0);
    assert_eq!(model.raw(&[1.0, -1.0]), 1.0);
}

#[test]
fn a_logistic_model_stands_for_what_its_file_says() {
    let model = load(LOGISTIC);
    let raw = model.raw(&[10.0, 1.0]);
    assert_eq!(raw, -2.0 + 0.5 * 2.0 + 1.5);
    assert!((model.probability(raw) - 1.0 / (1.0 + (-0.5f64).exp())).abs() < 1e-15);
    let mut out = [9.0; 2];
    assert_eq!(model.attribute(&[10.0, 1.0], &mut out), -2.0);
    assert_eq!(out, [1.0, 1.5]);
    assert_eq!(model.attribute(&[f64::NAN, f64::NAN], &mut out), -2.0);
    assert_eq!(out, [0.25, 0.0], "the values that stand for missing ones");
    let infinite = model.probability(model.raw(&[f64::INFINITY, f64::MAX]));
    assert!((0.0..=1.0).contains(&infinite), "{infinite}");
    assert_eq!((model.kind(), model.tree_count()), ("logistic", 0));
}

#[test]
fn reasons_are_what_raised_the_score_most() {
    let model = load(LOGISTIC);
    let codes: Vec<&str> = model.features().iter().map(|feature| feature.code.as_str()).collect();
    assert_eq!(codes, ["MODEL_AMOUNT", "MODEL_NIGHT"]);
    let nobody = Driver { feature: 9, added: 0.0, share: 0.0 };
    let mut out = [nobody; 2];
    assert_eq!(drivers(&model, &[1.0, 3.0], &mut out), 2);
    assert_eq!(out[0], Driver { feature: 1, added: 3.0, share: 0.75 });
    assert_eq!(out[1], Driver { feature: 0, added: 1.0, share: 0.25 });
    assert_eq!(drivers(&model, &[2.0, 2.0], &mut out), 2);
    assert_eq!((out[0].feature, out[1].feature), (0, 1), "equal ones in the features' order");
    assert_eq!(drivers(&model, &[-1.0, 3.0], &mut out), 1, "what lowered it is no reason");
    assert_eq!(drivers(&model, &[1.0, 3.0], &mut out[..1]), 1);
    assert_eq!(out[0].feature, 1);
    assert_eq!(drivers(&model, &[1.0, 3.0], &mut []), 0);
    assert_eq!(drivers(&model, &[-1.0, f64::NAN], &mut out), 0);
}

#[test]
fn the_hash_is_of_the_text() {
    let model = load(LOGISTIC);
    assert_eq!(model.hash().len(), 64);
    assert_eq!(model.hash(), load(LOGISTIC).hash());
    assert_ne!(model.hash(), load(&format!("{LOGISTIC}# a note\n")).hash());
}

#[test]
fn models_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Model>();
}
