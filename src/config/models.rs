//! `models.toml`: what scores beside the rules.
//!
//! ```toml
//! [[model]]
//! name = "payments"
//! kind = "transaction"
//! file = "models/payments.txt"      # LightGBM text, XGBoost JSON, or a logistic model in TOML
//! calibration = "models/payments.calibration.toml"
//! share = 1.0                       # of the score, where several models score a kind
//! reasons = 3                       # what drove the score most, as so many reasons
//!
//! [model.inputs]                    # features of the model that are called otherwise here, or computed
//! TX_AMOUNT = "double(amount_minor) / 100.0"
//!
//! [model.codes]                     # stable reason codes; MODEL_ and the feature's name where there is none
//! TX_AMOUNT = "UNUSUAL_AMOUNT"
//! ```
//!
//! What stands in the files of the models is read here and understood where they are built.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::name::wrong_kind;
use super::topology::parse;
use super::{Place, Problem, limits, wrong_name};

/// Models of a topology.
const MODELS_MAX: usize = 64;
/// Reasons that one model gives.
const REASONS_MAX: usize = 16;

/// One model as written. `docs/models.md` explains each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// unique among the models
    pub name: Spanned<String>,
    /// kind of the events it scores
    pub kind: Spanned<String>,
    /// the model, relative to the topology's folder
    pub file: Spanned<String>,
    /// what its scores mean, relative to the topology's folder
    pub calibration: Option<Spanned<String>>,
    /// of the score, where several models score a kind
    #[serde(default = "whole")]
    pub share: Spanned<f64>,
    /// what drove the score most, as so many reasons
    #[serde(default = "three")]
    pub reasons: Spanned<usize>,
    /// expressions by the model's feature; others are fields and features of the same name
    #[serde(default)]
    pub inputs: BTreeMap<String, Spanned<String>>,
    /// reason codes by the model's feature
    #[serde(default)]
    pub codes: BTreeMap<String, String>,
}

fn whole() -> Spanned<f64> {
    Spanned::new(0..0, 1.0)
}

fn three() -> Spanned<usize> {
    Spanned::new(0..0, 3)
}

/// A model and the texts of its files.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// what it is
    pub spec: ModelSpec,
    /// `models.toml`, for what is wrong with the specification
    pub place: PathBuf,
    /// its text
    pub source: Arc<str>,
    /// where the model was read
    pub path: PathBuf,
    /// the model
    pub text: Arc<str>,
    /// where its calibration was read, and what it is
    pub calibration: Option<(PathBuf, Arc<str>)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: Vec<ModelSpec>,
}

impl ModelFile {
    /// Reads `models.toml` of a folder and the files it names; where there is none, there are no models.
    ///
    /// # Errors
    /// Everything that is wrong with `models.toml`, and with the files as far as they cannot be read.
    pub fn load_folder(folder: &Path) -> Result<Vec<ModelFile>, Vec<Problem>> {
        let path = folder.join("models.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                return Err(vec![Problem::new(Place::file(&path), message)]);
            }
        };
        ModelFile::parse(&path, &text, |name| read(&folder.join(name)))
    }

    /// The models of a `models.toml`. `read`: the text of a file by its name there.
    ///
    /// # Errors
    /// Everything that is wrong with it, and with the files as far as they cannot be read.
    pub fn parse(
        path: &Path,
        text: &str,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<ModelFile>, Vec<Problem>> {
        let file: File = parse(path, text).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let source: Arc<str> = Arc::from(text);
        let problem = |span: std::ops::Range<usize>, message: String| {
            Problem::new(Place::span(path, text, span), message)
        };
        if file.model.len() > MODELS_MAX {
            let message = format!("{} models, expected at most {MODELS_MAX}", file.model.len());
            problems.push(Problem::new(Place::file(path), message));
        }
        let mut names = HashSet::new();
        let mut models = Vec::new();
        for spec in file.model {
            for (span, message) in wrong(&spec, &mut names) {
                problems.push(problem(span, message));
            }
            let folder = path.parent().unwrap_or(Path::new(""));
            let mut text_of = |name: &Spanned<String>| match read(name.get_ref()) {
                Ok(text) => Some((folder.join(name.get_ref()), Arc::from(text))),
                Err(reason) => {
                    let message = format!("file {:?} cannot be read: {reason}", name.get_ref());
                    problems.push(problem(name.span(), message));
                    None
                }
            };
            let model = text_of(&spec.file);
            let calibration = spec.calibration.as_ref().and_then(&mut text_of);
            if let Some((file, text)) = model {
                let (place, source) = (path.to_owned(), Arc::clone(&source));
                models.push(ModelFile { spec, place, source, path: file, text, calibration });
            }
        }
        if problems.is_empty() { Ok(models) } else { Err(problems) }
    }
}

/// What is wrong with a specification by itself.
fn wrong(spec: &ModelSpec, names: &mut HashSet<String>) -> Vec<(std::ops::Range<usize>, String)> {
    let mut wrong = Vec::new();
    let (name, kind) = (spec.name.get_ref(), spec.kind.get_ref());
    wrong.extend(wrong_name("name", name).map(|message| (spec.name.span(), message)));
    if !names.insert(name.clone()) {
        let message = format!("model {name:?} is there twice, expected unique names");
        wrong.push((spec.name.span(), message));
    }
    wrong.extend(wrong_kind(kind).map(|message| (spec.kind.span(), message)));
    let share = *spec.share.get_ref();
    if !(share > 0.0 && share <= 1.0) {
        let message = format!("share is {share}, expected more than 0 and at most 1");
        wrong.push((spec.share.span(), message));
    }
    let reasons = *spec.reasons.get_ref();
    if reasons > REASONS_MAX {
        let message = format!("reasons is {reasons}, expected at most {REASONS_MAX}");
        wrong.push((spec.reasons.span(), message));
    }
    wrong
}

/// A text file of bounded size.
fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let most = limits().artifact_bytes_max;
    let mut text = String::new();
    let read = file.take(most + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    match read as u64 > most {
        true => Err(format!("it has more than {most} bytes")),
        false => Ok(text),
    }
}
