//! What a declared aggregate reads, and of what type that is.

use super::Loader;
use super::draft::Column;
use crate::config::{FeatureSpec, Problem, nearest};
use crate::event::Kind;
use crate::expr::Type;
use crate::state::set::{Feature, FeatureType, Field, Key, Op, Stat};

const NUMBERS: [Type; 2] = [Type::Int, Type::Float];
/// The aggregates, for whoever mistypes one.
const AGGREGATES: [&str; 19] = [
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "stddev",
    "distinct",
    "label_rate",
    "newest_label",
    "label_run",
    "label_run_start",
    "since_last",
    "first_seen",
    "last",
    "ratio",
    "zscore",
    "robust_mean",
    "cusum",
    "share",
];

/// Which events a feature is made of.
#[derive(Clone, Copy)]
struct Of {
    kind: Kind,
    key: Key,
    filter: Option<usize>,
}

/// What is read of them.
struct Reading {
    op: Op,
    ty: FeatureType,
    /// what a kept value is divided by
    scale: f64,
}

impl Reading {
    fn new(op: Op, ty: FeatureType) -> Reading {
        Reading { op, ty, scale: Field::UNSCALED }
    }
}

/// The type of a value that is as its field is.
fn type_of(field: Option<Field>) -> FeatureType {
    match field.map(|field| field.ty) {
        Some(Type::Int) => FeatureType::Int,
        _ => FeatureType::Float,
    }
}

impl Loader<'_> {
    pub(super) fn operation(
        &mut self,
        spec: &FeatureSpec,
        kind: Kind,
        key: Key,
    ) -> Result<Feature, Problem> {
        let filter = match &spec.condition {
            Some(text) => Some(self.filter(spec, kind, text.get_ref(), text)?),
            None => None,
        };
        let of = Of { kind, key, filter };
        let Reading { op, mut ty, scale } = match spec.aggregate.get_ref().as_str() {
            "count" => self.count(spec, of)?,
            "sum" | "min" | "max" | "mean" | "stddev" | "ratio" | "zscore" => {
                self.of_numbers(spec, of)?
            }
            "share" => self.share(spec, of)?,
            "distinct" => self.distinct(spec, of)?,
            "label_rate" | "newest_label" | "label_run" | "label_run_start" => {
                self.labelled(spec, of)?
            }
            "since_last" | "first_seen" | "last" => self.tallied(spec, of)?,
            "robust_mean" | "cusum" => self.carried(spec, of)?,
            unknown => {
                let hint = match nearest(unknown, AGGREGATES) {
                    Some(known) => format!("did you mean {known:?}?"),
                    None => format!("expected one of {}", AGGREGATES.join(", ")),
                };
                let message = format!("unknown aggregate {unknown:?}, {hint}");
                return Err(self.about(spec, &spec.aggregate, &message));
            }
        };
        if let Some(empty) = spec.empty.as_ref().filter(|empty| !empty.get_ref().is_finite()) {
            let message = format!("empty is {}, expected a number", empty.get_ref());
            return Err(self.about(spec, empty, &message));
        }
        let empty = spec.empty.as_ref().map(|empty| *empty.get_ref());
        if ty == FeatureType::Int && empty.is_some_and(|empty| empty.fract() != 0.0) {
            ty = FeatureType::Float;
        }
        Ok(Feature {
            name: spec.name.get_ref().clone(),
            ty,
            key,
            op,
            scale,
            empty,
            kind,
            regions: Vec::new(),
            reach_ms: 0,
        })
    }

    fn count(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        let group = self.group(spec, of.kind, of.key, of.filter, None)?;
        let total = self.total(spec, group, Stat::Count)?;
        Ok(Reading::new(Op::Total { total, stat: Stat::Count }, FeatureType::Int))
    }

    fn of_numbers(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        let field = self.field(spec, of.kind, &NUMBERS)?;
        let group = self.group(spec, of.kind, of.key, of.filter, Some(field))?;
        let aggregate = spec.aggregate.get_ref().as_str();
        let stat = match aggregate {
            "sum" => Stat::Sum,
            "min" => Stat::Min,
            "max" => Stat::Max,
            "mean" | "ratio" => Stat::Mean,
            _ => Stat::StdDev,
        };
        let total = self.total(spec, group, stat)?;
        let op = match aggregate {
            "ratio" => Op::Ratio { total },
            "zscore" => Op::ZScore { total },
            _ => Op::Total { total, stat },
        };
        let ty = match stat {
            Stat::Sum | Stat::Min | Stat::Max => type_of(Some(field)),
            _ => FeatureType::Float,
        };
        Ok(Reading { op, ty, scale: field.scale() })
    }

    fn share(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        let Some(part) = &spec.of else {
            let message = "share needs `of`: a condition for the part";
            return Err(self.about(spec, &spec.aggregate, message));
        };
        let both = match &spec.condition {
            Some(whole) => format!("({}) && ({})", whole.get_ref(), part.get_ref()),
            None => part.get_ref().clone(),
        };
        let part = self.filter(spec, of.kind, &both, part)?;
        let field = match spec.field {
            Some(_) => Some(self.field(spec, of.kind, &NUMBERS)?),
            None => None,
        };
        let stat = if field.is_some() { Stat::Sum } else { Stat::Count };
        let whole = self.group(spec, of.kind, of.key, of.filter, field)?;
        let part = self.group(spec, of.kind, of.key, Some(part), field)?;
        let op = Op::Share {
            part: self.total(spec, part, stat)?,
            whole: self.total(spec, whole, stat)?,
            of_sums: field.is_some(),
        };
        Ok(Reading::new(op, FeatureType::Float))
    }

    fn distinct(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        let field = self.field(spec, of.kind, &[Type::Text, Type::Int])?;
        let group = self.group(spec, of.kind, of.key, of.filter, Some(field))?;
        let window = self.exact(spec, group, Column::Value)?;
        Ok(Reading::new(Op::Distinct { group, window }, FeatureType::Int))
    }

    fn labelled(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        if of.kind != Kind::Transaction {
            let message = "labels are of payments, expected kind = \"transaction\"";
            return Err(self.about(spec, &spec.kind, message));
        }
        let group = self.group(spec, of.kind, of.key, of.filter, None)?;
        let window = self.exact(spec, group, Column::Subject)?;
        self.labels[of.key.index()] = true;
        let (op, ty) = match spec.aggregate.get_ref().as_str() {
            "label_rate" => (Op::LabelRate { group, window }, FeatureType::Float),
            "newest_label" => (Op::NewestLabel { group, window }, FeatureType::Int),
            "label_run" => (Op::LabelRun { group, window }, FeatureType::Int),
            _ => (Op::LabelRunStart { group, window }, FeatureType::Float),
        };
        Ok(Reading::new(op, ty))
    }

    fn tallied(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        let aggregate = spec.aggregate.get_ref().as_str();
        if aggregate == "first_seen" && of.key != Key::Account {
            let message = "first_seen depends on the order of arrival where it has been \
                           forgotten: expected key = \"account\"";
            return Err(self.about(spec, &spec.aggregate, message));
        }
        let field = match aggregate {
            "last" => Some(self.field(spec, of.kind, &NUMBERS)?),
            _ => None,
        };
        let group = self.group(spec, of.kind, of.key, of.filter, field)?;
        self.draft(group).tally = true;
        let within_ms = match spec.window {
            Some(_) => self.window(spec)?.length_ms,
            None => self.file.retention_ms,
        };
        let op = match aggregate {
            "last" => Op::Last { group, within_ms },
            "since_last" => Op::SinceLast { group, within_ms },
            _ => Op::FirstSeen { group },
        };
        let scale = field.map_or(Field::UNSCALED, Field::scale);
        Ok(Reading { op, ty: type_of(field), scale })
    }

    fn carried(&mut self, spec: &FeatureSpec, of: Of) -> Result<Reading, Problem> {
        let aggregate = spec.aggregate.get_ref().as_str();
        if of.key != Key::Account {
            let message = format!(
                "{aggregate} depends on the order of arrival, which only an account has: \
                 expected key = \"account\""
            );
            return Err(self.about(spec, &spec.aggregate, &message));
        }
        let field = self.field(spec, of.kind, &NUMBERS)?;
        let group = self.group(spec, of.kind, of.key, of.filter, Some(field))?;
        let parameters = [
            self.parameter(spec, "cap", spec.cap.as_ref(), 3.0, 1.0..=1e6)?,
            self.parameter(spec, "span", spec.span.as_ref(), 50.0, 1.0..=1e9)?,
            self.parameter(spec, "slack", spec.slack.as_ref(), 0.5, 0.0..=1e6)?,
            self.parameter(spec, "floor", spec.floor.as_ref(), 0.0, -1e6..=1e6)?,
        ];
        let runnings = &mut self.draft(group).runnings;
        let known = runnings.iter().position(|known| *known == parameters);
        let running = known.unwrap_or_else(|| {
            runnings.push(parameters);
            runnings.len() - 1
        });
        Ok(match aggregate {
            "robust_mean" => Reading {
                op: Op::RobustMean { group, running },
                ty: FeatureType::Float,
                scale: field.scale(),
            },
            _ => Reading::new(Op::Cusum { group, running }, FeatureType::Float),
        })
    }
}
