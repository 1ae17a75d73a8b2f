//! `weir calibrate`: what a model's scores mean, learned from events whose truth is known.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::backtest::write;
use super::{Exit, Failure};
use crate::event::Slot;
use crate::score::model::calibration::{expected_calibration_error, fit_isotonic, fit_platt};
use crate::score::model::{Calibration, FeatureValues, Model};

/// Bins of the calibration error that is told.
const BINS: usize = 20;

/// Fits a table that turns a model's output into a probability, on features that `weir backtest --export`
/// wrote. Use events that the model was not trained on.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir calibrate --model payments.txt --data features.csv \\\n    \
    --out payments.calibration.toml\n\nThe expected calibration error is told on the events that it was fitted \
    on, before and after.\n\nExit code 2 when the model or a line is wrong, or a column is missing.")]
pub(super) struct Calibrate {
    /// The model: LightGBM text, XGBoost JSON or logistic TOML
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// CSV with a column label (1, 0 or nothing) and one for each feature of the model
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// How: a step function that never falls, or a curve of two numbers for few events
    #[arg(long, value_enum, default_value = "isotonic")]
    method: Method,
    /// Where the table goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// As JSON: {"events", "fraud", "error_before", "error_after"}
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    Isotonic,
    Platt,
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, error)
}

impl Calibrate {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let shown = |path: &Path| path.display().to_string();
        let text = std::fs::read_to_string(&self.model)
            .map_err(|error| invalid(format!("{} cannot be read: {error}", shown(&self.model))))?;
        let model = Model::load_any(&shown(&self.model), &text).map_err(invalid)?;
        let pairs = self.pairs(&model)?;
        let fitted = match self.method {
            Method::Isotonic => fit_isotonic(&pairs),
            Method::Platt => fit_platt(&pairs),
        };
        let fitted = fitted.map_err(invalid)?;
        write(&self.out, &fitted.to_toml())?;
        let error = |calibration: &Calibration| {
            let applied = |(output, label): &(f64, bool)| (calibration.apply(*output), *label);
            expected_calibration_error(&pairs.iter().map(applied).collect::<Vec<_>>(), BINS)
        };
        let (before, after) = (error(&Calibration::Identity), error(&fitted));
        let fraud = pairs.iter().filter(|(_, label)| *label).count();
        match self.json {
            true => say!(
                "{}",
                json!({
                    "events": pairs.len(), "fraud": fraud, "error_before": before,
                    "error_after": after,
                })
            ),
            false => say!(
                "{} events, {fraud} of them fraud: expected calibration error {before:.4} before, {after:.4} \
                 after; written to {}",
                pairs.len(),
                shown(&self.out)
            ),
        }
        Ok(())
    }

    /// The model's output and the truth of each event.
    fn pairs(&self, model: &Model) -> Result<Vec<(f64, bool)>, Failure> {
        let file = self.data.display();
        let mut rows = csv::Reader::from_path(&self.data)
            .map_err(|error| invalid(format!("{file} cannot be read: {error}")))?;
        let header = rows.headers().map_err(|error| invalid(format!("{file}: {error}")))?.clone();
        let column = |name: &str| {
            header.iter().position(|column| column == name).ok_or_else(|| {
                invalid(format!(
                    "{file} has no column {name:?}, expected one for each feature and label"
                ))
            })
        };
        let label = column("label")?;
        let columns = model.features().iter().map(|feature| column(&feature.name));
        let columns = columns.collect::<Result<Vec<usize>, Failure>>()?;
        let mut pairs = Vec::new();
        for (row, line) in rows.records().zip(2..) {
            let row = row.map_err(|error| invalid(format!("{file}: {error}")))?;
            let is_fraud = match row.get(label).unwrap_or_default() {
                "" => continue,
                "1" => true,
                "0" => false,
                other => {
                    let message =
                        format!("{file}:{line}: label is {other:?}, expected 1, 0 or nothing");
                    return Err(invalid(message));
                }
            };
            let cells = columns.iter().map(|at| row.get(*at).unwrap_or_default());
            let values = cells.zip(model.features()).enumerate().map(|(i, (cell, feature))| {
                let words = matches!(feature.values, FeatureValues::Words(_));
                model.encode(i, value(cell, words))
            });
            let values: Vec<f64> = values.collect();
            pairs.push((model.output(model.raw(&values)), is_fraud));
        }
        Ok(pairs)
    }
}

/// A cell as the event or feature had it. `words`: whatever it looks like it is one.
fn value(cell: &str, words: bool) -> Slot<'_> {
    match (cell.parse::<i64>(), cell.parse::<f64>()) {
        _ if cell.is_empty() => Slot::Null,
        _ if words => Slot::Text(cell),
        (Ok(value), _) => Slot::Int(value),
        (_, Ok(value)) => Slot::Float(value),
        _ => Slot::Text(cell),
    }
}
