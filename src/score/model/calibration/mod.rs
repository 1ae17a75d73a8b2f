//! From what a model says to how often it is so.
//!
//! A table is isotonic (points, a line between two of them) or Platt's (a logistic curve); both rise
//! with the score, so that a calibrated model ranks as it did. They come from a file, or are fitted.

mod fit;

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::limits::{CALIBRATION_BYTES_MAX, CALIBRATION_POINTS_MAX};
use super::math::{logit, sigmoid};

pub use fit::{FitError, expected_calibration_error, fit_isotonic, fit_platt};

/// The version of the format.
const VERSION: u32 = 1;

/// A correction of a model's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Calibration {
    /// none
    #[default]
    Identity,
    /// by a table
    Isotonic(Table),
    /// by a curve
    Platt(Curve),
}

/// Points, ascending in both.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    scores: Vec<f64>,
    values: Vec<f64>,
}

/// `sigmoid(slope * x + intercept)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    input: Input,
    slope: f64,
    intercept: f64,
}

/// What a curve's `x` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// the log-odds of a score that is a probability
    Logit,
    /// the score itself
    Score,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "calibration", rename_all = "lowercase")]
enum File {
    Identity { version: u32 },
    Isotonic { version: u32, scores: Vec<f64>, values: Vec<f64> },
    Platt { version: u32, input: Input, slope: f64, intercept: f64 },
}

impl Calibration {
    /// The probability, 0..1, for an output. Never falls as the output rises; an output that is not
    /// a number counts as the lowest.
    pub fn apply(&self, output: f64) -> f64 {
        match self {
            Calibration::Identity => output,
            Calibration::Isotonic(table) => table.at(output),
            Calibration::Platt(curve) => curve.at(output),
        }
    }

    /// Reads a calibration. `file` is its name in errors.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(file: &str, text: &str) -> Result<Calibration, ModelError> {
        if text.len() > CALIBRATION_BYTES_MAX {
            let message = format!("{} bytes, expected at most {CALIBRATION_BYTES_MAX}", text.len());
            return Err(ModelError::file(file, message));
        }
        let read: File =
            toml::from_str(text).map_err(|error| ModelError::toml(file, text, &error))?;
        let (version, made) = match read {
            File::Identity { version } => (version, Ok(Calibration::Identity)),
            File::Isotonic { version, scores, values } => {
                (version, Table::new(scores, values).map(Calibration::Isotonic))
            }
            File::Platt { version, input, slope, intercept } => {
                (version, Curve::new(input, slope, intercept).map(Calibration::Platt))
            }
        };
        if version != VERSION {
            let message = format!("version is {version}, expected {VERSION}");
            return Err(ModelError::file(file, message));
        }
        made.map_err(|message| ModelError::file(file, message))
    }

    /// The text of its file; reading it gives the same calibration.
    pub fn to_toml(&self) -> String {
        let list = |numbers: &[f64]| {
            let lines: Vec<String> =
                numbers.iter().map(|number| format!("  {number:?},\n")).collect();
            format!("[\n{}]\n", lines.concat())
        };
        let head = |kind: &str| format!("calibration = \"{kind}\"\nversion = {VERSION}\n");
        match self {
            Calibration::Identity => head("identity"),
            Calibration::Isotonic(Table { scores, values }) => {
                let (head, scores, values) = (head("isotonic"), list(scores), list(values));
                format!("{head}scores = {scores}values = {values}")
            }
            Calibration::Platt(Curve { input, slope, intercept }) => {
                let input = match input {
                    Input::Logit => "logit",
                    Input::Score => "score",
                };
                let head = head("platt");
                format!("{head}input = \"{input}\"\nslope = {slope:?}\nintercept = {intercept:?}\n")
            }
        }
    }
}

impl Table {
    /// Of scores, strictly ascending, and their probabilities, never falling.
    ///
    /// # Errors
    /// The first number that is not as it must be.
    pub fn new(scores: Vec<f64>, values: Vec<f64>) -> Result<Table, String> {
        let (points, answers) = (scores.len(), values.len());
        if points == 0 || points > CALIBRATION_POINTS_MAX {
            return Err(format!("{points} scores, expected 1 to {CALIBRATION_POINTS_MAX}"));
        }
        if points != answers {
            return Err(format!("{points} scores and {answers} values, expected as many of each"));
        }
        if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
            return Err(format!("scores[{at}] is {}, expected a finite number", scores[at]));
        }
        if let Some(at) = values.iter().position(|value| !(0.0..=1.0).contains(value)) {
            return Err(format!("values[{at}] is {}, expected 0 to 1", values[at]));
        }
        for at in 1..points {
            if scores[at] <= scores[at - 1] {
                let (this, before) = (scores[at], scores[at - 1]);
                return Err(format!("scores[{at}] is {this}, expected more than {before}"));
            }
            if values[at] < values[at - 1] {
                let (this, before) = (values[at], values[at - 1]);
                return Err(format!("values[{at}] is {this}, expected at least {before}"));
            }
        }
        Ok(Table { scores, values })
    }

    /// Scores and their probabilities.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.scores.iter().copied().zip(self.values.iter().copied())
    }

    fn at(&self, output: f64) -> f64 {
        let above = self.scores.partition_point(|score| *score <= output);
        let Some(left) = above.checked_sub(1) else { return self.values[0] };
        let (low, Some(high)) = (self.values[left], self.values.get(above)) else {
            return self.values[left];
        };
        let width = self.scores[above] - self.scores[left];
        let part = ((output - self.scores[left]) / width).clamp(0.0, 1.0);
        // rounding must not carry it past either end
        (low + (high - low) * part).clamp(low, *high)
    }
}

impl Curve {
    /// Of what it reads, a slope of at least 0 and an intercept.
    ///
    /// # Errors
    /// The number that is not as it must be.
    pub fn new(input: Input, slope: f64, intercept: f64) -> Result<Curve, String> {
        if !(slope >= 0.0 && slope.is_finite()) {
            return Err(format!("slope is {slope}, expected a finite number from 0"));
        }
        if !intercept.is_finite() {
            return Err(format!("intercept is {intercept}, expected a finite number"));
        }
        Ok(Curve { input, slope, intercept })
    }

    fn at(&self, output: f64) -> f64 {
        let x = match self.input {
            Input::Logit => logit(output),
            Input::Score => output,
        };
        // NaN: of no output, or of an infinite one times a slope of 0
        let margin = self.slope * x + self.intercept;
        if margin.is_nan() { 0.0 } else { sigmoid(margin) }
    }
}
