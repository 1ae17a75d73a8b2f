//! The models of a topology, ready to score: where each value of a row comes from, and what is said of a
//! score.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::model::{Calibration, Driver, FeatureValues, Model, drivers};
use super::template;
use crate::config::{ModelFile, Place, Problem, Problems, hex};
use crate::event::{Kind, Reason, Slot, Text};
use crate::expr::{Expression, Scope, Type, Vocabulary};
use crate::state::FeatureSet;

/// Where a value of a row comes from.
#[derive(Debug)]
enum Input {
    /// a field or feature of the same name
    Slot(usize),
    /// computed
    Expression(Expression),
}

/// Before a model's name, where a rule's id would stand.
const RULE: &str = "model:";

/// One model of a kind.
#[derive(Debug)]
struct Scorer {
    /// see [`Models::key`]
    key: String,
    model: Arc<Model>,
    share: f64,
    inputs: Vec<Input>,
    /// reasons that it gives
    reasons: usize,
    /// by feature
    codes: Vec<String>,
    /// what stands for it where a rule's id would
    rule: String,
}

/// The models of a topology.
#[derive(Debug, Default)]
pub struct Models {
    kinds: [Vec<Scorer>; 4],
    /// by kind, the slots that rows are made of, ascending
    slots: [Vec<usize>; 4],
    hash: Option<String>,
}

/// What each feature did to the margin of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// the model
    pub model: String,
    /// what it said, before it became a probability
    pub margin: f64,
    /// 0..1
    pub probability: f64,
    /// what the margin is without any feature
    pub rest: f64,
    /// by feature; they and the rest add up to the margin
    pub parts: Vec<(String, f64)>,
}

/// What the models of a kind say.
pub(super) struct Scored<'m> {
    /// 0..1
    pub(super) probability: f64,
    /// what raised it most, first
    pub(super) reasons: Vec<Reason<'m>>,
}

impl Models {
    /// Builds the models. `known`: models that are built already, by the hash of [`Models::key`], to be taken
    /// as they are.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn load(
        files: &[ModelFile],
        known: &BTreeMap<String, Arc<Model>>,
        lists: &[String],
        features: &FeatureSet,
    ) -> Result<Models, Problems> {
        let mut problems = Vec::new();
        let mut models = Models::default();
        let mut hasher = Sha256::new();
        for file in files {
            // what is no kind was told when the file was read
            let Some(kind) = Kind::from_label(file.spec.kind.get_ref()) else { continue };
            let key = Models::key(file);
            hasher.update(format!("{} {key}\n{}", file.spec.name.get_ref(), file.source));
            let model = match known.get(&key) {
                Some(known) => Ok(Arc::clone(known)),
                None => build(file).map(Arc::new),
            };
            let vocabulary = Vocabulary::new(kind, features.names()).with_lists(lists);
            match model.map_err(|problem| vec![problem]).and_then(|m| scorer(file, m, &vocabulary))
            {
                Ok(scorer) => {
                    let slots = &mut models.slots[kind as usize];
                    slots.extend(scorer.inputs.iter().flat_map(Input::slots));
                    models.kinds[kind as usize].push(scorer);
                }
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        for slots in &mut models.slots {
            slots.sort_unstable();
            slots.dedup();
        }
        models.hash = (!files.is_empty()).then(|| hex(&hasher.finalize()[..16]));
        Ok(models)
    }

    /// What stands for the content of a model and its calibration.
    pub fn key(file: &ModelFile) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&*file.text);
        if let Some((_, calibration)) = &file.calibration {
            hasher.update("\ncalibration\n");
            hasher.update(&**calibration);
        }
        hex(&hasher.finalize())
    }

    /// Every model by its key.
    pub fn built(&self) -> BTreeMap<String, Arc<Model>> {
        let all = self.kinds.iter().flatten();
        all.map(|scorer| (scorer.key.clone(), Arc::clone(&scorer.model))).collect()
    }

    /// Every model with its name and kind.
    pub fn all(&self) -> impl Iterator<Item = (&str, Kind, &Model)> {
        let kinds = Kind::SCORED.into_iter().zip(&self.kinds);
        kinds.flat_map(|(kind, scorers)| {
            scorers.iter().map(move |scorer| (scorer.name(), kind, scorer.model.as_ref()))
        })
    }

    /// Hash of what they are: SHA-256, first 16 bytes, hex. `None` where there are none.
    pub fn hash(&self) -> Option<&str> {
        self.hash.as_deref()
    }

    /// The slots that the rows of a kind are made of.
    pub(super) fn slots(&self, kind: Kind) -> &[usize] {
        self.slots.get(kind as usize).map_or(&[], Vec::as_slice)
    }

    /// What each feature did to the margins of a case, by exact TreeSHAP: for people who ask, since it takes a
    /// thousand times as long as the score.
    pub(super) fn explain(&self, kind: Kind, scope: &Scope<'_>) -> Vec<Attribution> {
        let scorers = self.kinds.get(kind as usize).into_iter().flatten();
        let explain = |scorer: &Scorer| {
            let row = scorer.row(scope);
            let mut added = vec![0.0; scorer.model.features().len()];
            let rest = scorer.model.shap(&row, &mut added);
            let names = scorer.model.features().iter().map(|feature| feature.name.clone());
            let margin = scorer.model.raw(&row);
            Attribution {
                model: scorer.name().to_owned(),
                margin,
                probability: scorer.model.probability(margin),
                rest,
                parts: names.zip(added).collect(),
            }
        };
        scorers.map(explain).collect()
    }

    /// Scores a case; `None` where no model does. `explains`: whether reasons are wanted.
    pub(super) fn score<'m>(
        &'m self,
        kind: Kind,
        scope: &Scope<'_>,
        explains: bool,
    ) -> Option<Scored<'m>> {
        let scorers = self.kinds.get(kind as usize).filter(|scorers| !scorers.is_empty())?;
        let mut scored = Scored { probability: 0.0, reasons: Vec::new() };
        let mut shares = 0.0;
        for scorer in scorers {
            let row = scorer.row(scope);
            let raw = scorer.model.raw(&row);
            let probability = scorer.model.probability(raw);
            scored.probability += scorer.share * probability;
            shares += scorer.share;
            if explains {
                scorer.explain(&row, raw, scope, &mut scored.reasons);
            }
        }
        scored.probability = (scored.probability / shares).clamp(0.0, 1.0);
        Some(scored)
    }
}

impl Input {
    /// Its value in a case; null where it has none.
    fn with<T>(&self, scope: &Scope<'_>, take: impl FnOnce(Slot<'_>) -> T) -> T {
        match self {
            Input::Slot(slot) => take(scope.slots.get(*slot).copied().unwrap_or_default()),
            Input::Expression(expression) => match expression.value(scope) {
                Some(value) => take(value.slot()),
                None => take(Slot::Null),
            },
        }
    }

    fn slots(&self) -> impl Iterator<Item = usize> {
        match self {
            Input::Slot(slot) => std::slice::from_ref(slot).iter().copied(),
            Input::Expression(expression) => expression.slots().iter().copied(),
        }
    }
}

impl Scorer {
    fn name(&self) -> &str {
        self.rule.strip_prefix(RULE).unwrap_or_default()
    }

    fn row(&self, scope: &Scope<'_>) -> Vec<f64> {
        let inputs = self.inputs.iter().enumerate();
        let encode = |(feature, input): (usize, &Input)| {
            input.with(scope, |value| self.model.encode(feature, value))
        };
        inputs.map(encode).collect()
    }

    /// What raised the score most. The weight of a reason is how much of the probability would not be there
    /// without it.
    fn explain<'m>(
        &'m self,
        row: &[f64],
        raw: f64,
        scope: &Scope<'_>,
        reasons: &mut Vec<Reason<'m>>,
    ) {
        if self.reasons == 0 {
            return;
        }
        let mut added = vec![0.0; self.model.features().len()];
        self.model.attribute(row, &mut added);
        let mut top = vec![Driver { feature: 0, added: 0.0, share: 0.0 }; self.reasons];
        let found = drivers(&self.model, &added, &mut top);
        let whole = self.model.probability(raw);
        for Driver { feature, added, .. } in top.into_iter().take(found) {
            let without = self.model.probability(raw - added);
            let mut text = format!("{} is ", self.model.features()[feature].name);
            self.inputs[feature].with(scope, |value| template::show(value, &mut text));
            reasons.push(Reason {
                code: Text::from(self.codes[feature].as_str()),
                text: Text::from(text),
                weight: (whole - without).clamp(0.0, 1.0),
                rule: Text::from(self.rule.as_str()),
            });
        }
    }
}

fn build(file: &ModelFile) -> Result<Model, Problem> {
    let shown = |path: &std::path::Path| path.display().to_string();
    let problem =
        |path: &std::path::Path, message: String| Problem::new(Place::file(path), message);
    let wrong = |error: super::model::ModelError| problem(&file.path, error.to_string());
    let Some((path, text)) = &file.calibration else {
        return Model::load(&shown(&file.path), &file.text).map_err(wrong);
    };
    let model = Model::load_any(&shown(&file.path), &file.text).map_err(wrong)?;
    let calibration =
        Calibration::parse(&shown(path), text).map_err(|error| problem(path, error.to_string()))?;
    model.calibrated(calibration).map_err(wrong)
}

fn scorer(
    file: &ModelFile,
    model: Arc<Model>,
    vocabulary: &Vocabulary,
) -> Result<Scorer, Vec<Problem>> {
    let (spec, name) = (&file.spec, file.spec.name.get_ref());
    let mut problems = Vec::new();
    let problem =
        |span, message: String| Problem::new(Place::span(&file.place, &file.source, span), message);
    let mut inputs = Vec::new();
    for feature in model.features() {
        match spec.inputs.get(&feature.name) {
            Some(source) => match Expression::load(source.get_ref(), vocabulary) {
                Ok(expression) => inputs.push(Input::Expression(expression)),
                Err(error) => {
                    let message = format!(
                        "input {:?} of model {name:?}: {} in {:?}",
                        feature.name,
                        error.message,
                        source.get_ref()
                    );
                    problems.push(problem(source.span(), message));
                }
            },
            None => match vocabulary.slot(&feature.name) {
                Some(slot) => inputs.push(Input::Slot(slot)),
                None => {
                    let unknown = vocabulary.unknown(&feature.name);
                    let message = format!("model {name:?} reads what is not there: {unknown}");
                    problems.push(problem(spec.file.span(), message));
                }
            },
        }
    }
    // where one is missing they do not stand side by side
    let pairs = if problems.is_empty() { model.features() } else { &[] };
    for (feature, input) in pairs.iter().zip(&inputs) {
        let ty = match input {
            Input::Slot(slot) => vocabulary.type_of(*slot),
            Input::Expression(expression) => expression.ty(),
        };
        // every row would lack it
        if ty == Type::Text && !matches!(feature.values, FeatureValues::Words(_)) {
            let message = format!(
                "feature {:?} of model {name:?} is numbers, and what it is taken from is text",
                feature.name
            );
            problems.push(problem(spec.file.span(), message));
        }
    }
    let is_feature = |known: &str| model.features().iter().any(|feature| feature.name == known);
    let named = spec.inputs.iter().map(|(feature, source)| (feature, source.span()));
    let named = named.chain(spec.codes.keys().map(|feature| (feature, spec.name.span())));
    for (feature, span) in named.filter(|(feature, _)| !is_feature(feature)) {
        let message = format!("{feature:?} is no feature of model {name:?}");
        problems.push(problem(span, message));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let code = |feature: &super::model::ModelFeature| match spec.codes.get(&feature.name) {
        Some(code) => code.clone(),
        None => feature.code.clone(),
    };
    Ok(Scorer {
        key: Models::key(file),
        codes: model.features().iter().map(code).collect(),
        share: *spec.share.get_ref(),
        inputs,
        reasons: *spec.reasons.get_ref(),
        rule: format!("{RULE}{name}"),
        model,
    })
}
