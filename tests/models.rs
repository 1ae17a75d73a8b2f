//! Models predict what their libraries predict, attributions sum to what they explain, and what is
//! not supported is refused by name. The fixtures are made by `training/make_fixtures.py`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

use std::path::{Path, PathBuf};

use weir::event::Slot;
use weir::score::model::{FeatureValues, Model};

/// How far a prediction may be from the library's.
const AGREES: f64 = 1e-6;
/// How far attributions may be from XGBoost's where it adds thousands of trees in 32 bits.
const THOUSANDS_AGREE: f64 = 1e-5;
/// How far a sum of attributions may be from the margin.
const SUMS: f64 = 1e-9;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

fn unpacked(file: &str) -> String {
    let packed = std::fs::read(folder().join(file)).unwrap();
    String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap()
}

/// What a library said.
struct Fixture {
    name: String,
    model: Model,
    rows: Vec<Vec<f64>>,
    raw: Vec<f64>,
    predict: Vec<f64>,
    /// of the first rows: TreeSHAP, the bias last
    contrib: Vec<Vec<f64>>,
    /// of the first rows: path attributions, the bias last
    approx: Vec<Vec<f64>>,
}

fn encode(model: &Model, feature: usize, cell: &str) -> f64 {
    let slot = match (&model.features()[feature].values, cell) {
        (_, "") => Slot::Null,
        (FeatureValues::Words(_), word) => match word.parse() {
            Ok(whole) => Slot::Int(whole),
            Err(_) => Slot::Text(word),
        },
        (_, number) => Slot::Float(number.parse().unwrap()),
    };
    model.encode(feature, slot)
}

impl Fixture {
    fn read(file: &str) -> Fixture {
        let model =
            Model::load_any(file, &unpacked(file)).unwrap_or_else(|error| panic!("{error}"));
        let name = file.split_once('.').unwrap().0.to_owned();
        let table = unpacked(&format!("{name}.csv.zst"));
        let mut lines = table.lines();
        let head: Vec<&str> = lines.next().unwrap().split(',').collect();
        let at = |title: &str| head.iter().position(|column| *column == title);
        let count = at("raw").unwrap();
        assert_eq!(count, model.features().len(), "{name}: one column a feature");
        for (feature, title) in model.features().iter().zip(&head) {
            assert_eq!(feature.name, *title, "{name}: features in the file's order");
        }
        let mut fixture = Fixture {
            name,
            model,
            rows: Vec::new(),
            raw: Vec::new(),
            predict: Vec::new(),
            contrib: Vec::new(),
            approx: Vec::new(),
        };
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |at: usize| cells[at].parse::<f64>().unwrap();
            let row = (0..count).map(|feature| encode(&fixture.model, feature, cells[feature]));
            let row = row.collect();
            fixture.rows.push(row);
            fixture.raw.push(number(count));
            fixture.predict.push(number(count + 1));
            for (title, to) in
                [("contrib_0", &mut fixture.contrib), ("approx_0", &mut fixture.approx)]
            {
                if let Some(first) = at(title).filter(|first| !cells[*first].is_empty()) {
                    to.push((first..=first + count).map(number).collect());
                }
            }
        }
        assert!(fixture.rows.len() >= 100, "{} has {} rows", fixture.name, fixture.rows.len());
        fixture
    }

    /// The margin as `raw_score` gives it: of a random forest the sum.
    fn margin(&self, row: usize) -> f64 {
        let raw = self.model.raw(&self.rows[row]);
        if self.name == "lgb_rf" { raw * self.model.tree_count() as f64 } else { raw }
    }

    /// How far an attribution may be from the library's.
    fn agrees(&self) -> f64 {
        if self.name == "xgb_thousands" { THOUSANDS_AGREE } else { AGREES }
    }
}

/// Cases that are there to be refused.
const REFUSED: [&str; 5] =
    ["lgb_linear", "lgb_multiclass", "xgb_linear", "xgb_multiclass", "xgb_multi_target"];

fn fixtures() -> Vec<Fixture> {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".txt.zst") || file.ends_with(".json.zst"))
        .filter(|file| !REFUSED.iter().any(|name| file.starts_with(&format!("{name}."))))
        .collect();
    files.sort();
    assert!(files.len() > 50, "{} fixtures", files.len());
    files.iter().map(|file| Fixture::read(file)).collect()
}

/// The distance, relative where the value is above 1; infinite where there is no number.
fn off(ours: f64, theirs: f64) -> f64 {
    let off = if ours == theirs { 0.0 } else { (ours - theirs).abs() / theirs.abs().max(1.0) };
    if off.is_nan() { f64::INFINITY } else { off }
}

/// The fixtures, read once.
fn all() -> &'static [Fixture] {
    static ALL: std::sync::OnceLock<Vec<Fixture>> = std::sync::OnceLock::new();
    ALL.get_or_init(fixtures)
}

fn named(name: &str) -> &'static Fixture {
    all().iter().find(|fixture| fixture.name == name).unwrap()
}

#[test]
fn predictions_are_the_librarys() {
    for fixture in all() {
        let (mut worst_raw, mut worst) = (0.0f64, 0.0f64);
        for row in 0..fixture.rows.len() {
            let output = fixture.model.output(fixture.model.raw(&fixture.rows[row]));
            worst_raw = worst_raw.max(off(fixture.margin(row), fixture.raw[row]));
            worst = worst.max(off(output, fixture.predict[row]));
        }
        println!(
            "{:28} {:5} trees, depth {:3}: margin off by {worst_raw:.1e}, prediction by {worst:.1e}",
            fixture.name,
            fixture.model.tree_count(),
            fixture.model.depth(),
        );
        assert!(worst <= AGREES, "{}: prediction off by {worst:e}", fixture.name);
        // margins are sums of the same numbers in the same order and precision
        let exact = if fixture.name == "lgb_rf" { 1e-15 } else { 0.0 };
        assert!(worst_raw <= exact, "{}: margin off by {worst_raw:e}", fixture.name);
    }
}

#[test]
fn the_fixtures_hold_what_they_are_for() {
    assert!(named("lgb_thousands").model.tree_count() >= 2_000);
    assert!(named("xgb_thousands").model.tree_count() >= 2_000);
    assert!(named("lgb_deep").model.depth() > 20);
    assert!(named("xgb_deep").model.depth() > 12);
    for name in ["lgb_single_leaf", "xgb_single_leaf"] {
        assert_eq!(named(name).model.depth(), 0, "{name}");
        let first = named(name).model.raw(&named(name).rows[0]);
        assert!(named(name).rows.iter().all(|row| named(name).model.raw(row) == first), "{name}");
    }
    assert_eq!(named("xgb_forest").model.tree_count(), 10, "five trees a round");
    let spelled = |name: &str| unpacked(&format!("{name}.json.zst"));
    assert!(spelled("xgb_base_score").contains("\"base_score\":\"[3E-2]\""));
    assert!(spelled("xgb21_binary").contains("\"base_score\":\"5."), "the older spelling");
    assert!(spelled("xgb_stopped").contains("best_iteration"));
    assert!(spelled("xgb_dart").contains("weight_drop"));
    assert!(unpacked("lgb_rf.txt.zst").contains("\naverage_output\n"));
    assert!(unpacked("lgb_thousands.txt.zst").contains("inf"), "a split of the missing from all");
    for (name, types) in [("lgb_continued", ["=6 ", "=10 "]), ("lgb_complete", ["=2 ", " 2"])] {
        let text = unpacked(&format!("{name}.txt.zst"));
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("decision_type")).collect();
        let text = lines.join(" ");
        assert!(types.iter().all(|kind| text.contains(kind)), "{name}: {}", &text[..80]);
    }
}

#[test]
fn the_example_of_a_logistic_model_is_one() {
    let text = include_str!("../training/logistic.example.toml");
    let model =
        Model::load("logistic.example.toml", text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.features().len(), 3);
    let usual = model.raw(&[0.0, 0.2, 86_400.0]);
    assert_eq!(usual, -4.2, "an average row has the intercept");
    assert!(model.probability(model.raw(&[3.0, 5.0, 60.0])) > 0.9);
}

#[test]
fn what_is_not_supported_is_named() {
    for (name, file, expected) in [
        ("lgb_linear", "txt", "is_linear is 1, expected 0: linear trees (linear_tree)"),
        ("lgb_multiclass", "txt", "num_class is \"3\", expected 1: models of several classes"),
        ("xgb_linear", "json", "gradient_booster.name: \"gblinear\", expected gbtree or dart"),
        ("xgb_multiclass", "json", "num_class: \"3\", expected 0: models of several classes"),
        ("xgb_multi_target", "json", "num_target: \"2\", expected 1: models of several targets"),
    ] {
        let text = unpacked(&format!("{name}.{file}.zst"));
        let message = Model::load_any(name, &text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?}, expected {expected:?}");
    }
    for name in
        ["lgb_rank.txt", "lgb_regression.txt", "xgb_rank_ndcg.json", "xgb_binary_hinge.json"]
    {
        let message = Model::load(name, &unpacked(&format!("{name}.zst"))).unwrap_err().to_string();
        let expected = "gives no probability, expected a classifier or a calibration for it";
        assert!(message.ends_with(expected), "{message:?}");
    }
}

#[test]
fn path_attributions_sum_to_the_margin() {
    for fixture in all() {
        let mut out = vec![f64::NAN; fixture.model.features().len()];
        for row in &fixture.rows {
            let bias = fixture.model.attribute(row, &mut out);
            let (sum, raw) = (bias + out.iter().sum::<f64>(), fixture.model.raw(row));
            assert!((sum - raw).abs() <= SUMS, "{}: {sum}, expected {raw}", fixture.name);
        }
    }
}

#[test]
fn the_rest_of_an_attribution_does_not_depend_on_the_row() {
    for fixture in all() {
        let mut out = vec![0.0; fixture.model.features().len()];
        let mut rest = |row: &Vec<f64>| fixture.model.attribute(row, &mut out);
        let first = rest(&fixture.rows[0]);
        let most = fixture.rows.iter().map(|row| off(rest(row), first)).fold(0.0, f64::max);
        // of XGBoost the rounding of the sum in 32 bits is in it
        let rounding = if fixture.model.kind() == "xgboost" { 1e-5 } else { 0.0 };
        assert!(most <= rounding, "{}: it moves by {most:e}", fixture.name);
    }
}

#[test]
fn path_attributions_are_xgboosts_approximate_contributions() {
    let mut compared = 0;
    for fixture in all() {
        for (row, theirs) in fixture.rows.iter().zip(&fixture.approx) {
            let mut out = vec![0.0; theirs.len() - 1];
            let bias = fixture.model.attribute(row, &mut out);
            out.push(bias);
            for (ours, theirs) in out.iter().zip(theirs) {
                let off = off(*ours, *theirs);
                let name = &fixture.name;
                assert!(
                    off <= fixture.agrees(),
                    "{name}: {ours}, expected {theirs}, off by {off:e}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 2_000, "{compared} numbers");
}

#[test]
fn tree_shap_is_the_librarys_and_sums_to_the_margin() {
    let mut compared = 0;
    for fixture in all() {
        let mut worst = 0.0f64;
        for (row, theirs) in fixture.rows.iter().zip(&fixture.contrib) {
            let mut out = vec![f64::NAN; theirs.len() - 1];
            let bias = fixture.model.shap(row, &mut out);
            let sum = bias + out.iter().sum::<f64>();
            let raw = fixture.model.raw(row);
            assert!((sum - raw).abs() <= SUMS, "{}: {sum}, expected {raw}", fixture.name);
            out.push(bias);
            // the library does not average a random forest here
            let trees = fixture.model.tree_count() as f64;
            let times = if fixture.name == "lgb_rf" { trees } else { 1.0 };
            for (ours, theirs) in out.iter().zip(theirs) {
                worst = worst.max(off(ours * times, *theirs));
                compared += 1;
            }
        }
        println!("{:28} TreeSHAP off by {worst:.1e}", fixture.name);
        assert!(worst <= fixture.agrees(), "{}: off by {worst:e}", fixture.name);
    }
    assert!(compared > 5_000, "{compared} numbers");
}
