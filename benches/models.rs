//! What one row costs a model, beside the libraries. `cargo bench --bench models`.
//!
//! 100 trees of 63 leaves over 30 features, trained (`training/make_fixtures.py`, case `lgb_bench`),
//! asked about random rows of which one value in ten is missing. Medians of slices. LightGBM and its
//! compilers are measured in the same run by `training/bench.py`, with `python3` or the interpreter
//! that `WEIR_PYTHON` names, if they are installed there.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use weir::score::model::Model;

const ROWS: usize = 4_096;
const ROUNDS: usize = 41;
/// Rows between two looks at the clock.
const SLICE: usize = 128;
const SEED: u64 = 20_240_611;
/// What is asked of a row's margin, and of its attributions against it.
const GOAL_US: f64 = 2.6;
const GOAL_RATIO: f64 = 10.0;

/// Median microseconds a row, of slices so short that most of them are not interrupted.
fn time(rows: &[Vec<f64>], rounds: usize, mut one: impl FnMut(&[f64]) -> f64) -> f64 {
    let mut times = Vec::new();
    for slice in std::iter::repeat_n(rows, rounds).flat_map(|rows| rows.chunks(SLICE)) {
        let start = Instant::now();
        slice.iter().for_each(|row| {
            black_box(one(black_box(row)));
        });
        times.push(start.elapsed().as_secs_f64() * 1e6 / slice.len() as f64);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("tests/fixtures/models/lgb_bench.txt.zst");
    let packed = std::fs::read(&file).expect("the fixture is in the repository");
    let text = String::from_utf8(zstd::decode_all(&packed[..]).expect("it is whole"));
    let text = text.expect("it is text");
    let model = Model::load("lgb_bench", &text).expect("it is sound");
    let features = model.features().len();
    let mut random = rand::rngs::StdRng::seed_from_u64(SEED);
    let mut value = || match random.random_bool(0.1) {
        true => f64::NAN,
        // about normal, as the rows it was trained with
        false => (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0,
    };
    let rows: Vec<Vec<f64>> = (0..ROWS).map(|_| (0..features).map(|_| value()).collect()).collect();
    let mut out = vec![0.0; features];
    println!("{} trees, {features} features, depth {}", model.tree_count(), model.depth());
    let raw = time(&rows, ROUNDS, |row| model.raw(row));
    let probability = time(&rows, ROUNDS, |row| model.probability(model.raw(row)));
    let path = time(&rows, ROUNDS, |row| model.attribute(row, &mut out));
    let shap = time(&rows[..16], 3, |row| model.shap(row, &mut out));
    println!("margin             {raw:8.2} µs a row (at most {GOAL_US})");
    println!("probability        {probability:8.2} µs");
    println!("path attributions  {path:8.2} µs, {:.1} margins (at most {GOAL_RATIO})", path / raw);
    println!("TreeSHAP           {shap:8.1} µs, {:.0} margins", shap / raw);
    let folder = tempfile::tempdir().expect("a folder for the model");
    let plain = folder.path().join("model.txt");
    std::fs::write(&plain, &text).expect("the folder takes it");
    let python = std::env::var("WEIR_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = root.join("training/bench.py");
    let ran = Command::new(&python).arg(script).arg("--model").arg(&plain).status();
    match ran {
        Ok(status) if status.success() => (),
        Ok(status) => println!("the libraries were not measured: {python} ended with {status}"),
        Err(error) => println!("the libraries were not measured: {python}: {error}"),
    }
}
