//! Feature declarations, checked, as a [`FeatureSet`]. Whatever is wrong is found here, with its place.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use toml::Spanned;
use xxhash_rust::xxh3::xxh3_64;

use super::arena::WORDS_MAX;
use super::dedupe;
use super::labels::Labels;
use super::running::Running;
use super::set::{
    ALL_KINDS, Feature, FeatureSet, FeatureType, Field, GROUPS_MAX, Group, GroupRef, KEYS, KINDS,
    Key, KindPlan, LABELS_MAX, Layout, Op, Place, Reads, SectionPlan, Stat, TotalPlan, Window,
};
use super::tally::Tally;
use super::window::{Entry, Grid, Region, Ring};
use crate::config::Place as FilePlace;
use crate::config::{FeatureFile, FeatureSpec, Problem, Problems, duration_ms, limits, nearest};
use crate::event::Kind;
use crate::expr::{Program, Type, Vocabulary, fields};

/// Events that an exact window keeps where its declaration does not say.
const ENTRIES: usize = 256;
const ENTRIES_MAX: usize = 4_096;
/// Buckets that a window may have.
const BUCKETS_MAX: i64 = 64;
const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Lengths of buckets that are chosen where a declaration names none.
const BUCKETS_MS: [i64; 18] = [
    SECOND_MS,
    5 * SECOND_MS,
    10 * SECOND_MS,
    15 * SECOND_MS,
    30 * SECOND_MS,
    MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
];
/// The field of payments, disputes and invoices that is always there.
const AMOUNT: &str = "amount_minor";
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

#[derive(Debug)]
struct GridDraft {
    bucket_ms: i64,
    retention_ms: i64,
    sums: bool,
    squares: bool,
    extremes: bool,
}

/// A group before its regions are known.
#[derive(Debug)]
struct Draft {
    key: Key,
    filter: Option<usize>,
    field_name: Option<String>,
    field: Option<Field>,
    once: bool,
    tally: bool,
    /// entries and retention
    ring: Option<(usize, i64)>,
    grids: Vec<GridDraft>,
    /// cap, span, slack, floor
    runnings: Vec<[f64; 4]>,
}

struct Loader<'a> {
    file: &'a FeatureFile,
    filters: [Vec<(String, Program)>; KINDS],
    drafts: [Vec<Draft>; KINDS],
    totals: Vec<TotalPlan>,
    labels: [bool; KEYS.len()],
}

impl FeatureSet {
    /// Checks declarations. `dedupe_ids`: accepted events remembered per account and topic.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(file: &FeatureFile, dedupe_ids: usize) -> Result<FeatureSet, Problems> {
        let mut loader = Loader {
            file,
            filters: Default::default(),
            drafts: Default::default(),
            totals: Vec::new(),
            labels: [false; KEYS.len()],
        };
        let mut problems = Vec::new();
        if file.features.len() > limits().features_max {
            let (found, most) = (file.features.len(), limits().features_max);
            let message = format!("{found} features, expected at most {most}");
            problems.push(Problem::new(FilePlace::file(&file.path), message));
        }
        let mut names = HashSet::new();
        // a count without a field joins a group of the same events that has one
        let mut order: Vec<usize> = (0..file.features.len()).collect();
        order.sort_by_key(|i| file.features[*i].field.is_none());
        let mut features: Vec<Option<Feature>> = Vec::new();
        features.resize_with(file.features.len(), || None);
        for i in order {
            let spec = &file.features[i];
            if !names.insert(spec.name.get_ref().as_str()) {
                let message = format!(
                    "feature {:?} is there twice, expected unique names",
                    spec.name.get_ref()
                );
                problems.push(loader.problem(&spec.name, &message));
            }
            match loader.feature(spec) {
                Ok(feature) => features[i] = Some(feature),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
            return Err(Problems(problems));
        }
        loader.finish(features.into_iter().flatten().collect(), dedupe_ids)
    }

    /// The features that weir ships with, for tests and tools without a topology.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn shipped() -> Result<FeatureSet, Problems> {
        FeatureSet::load(&FeatureFile::shipped()?, super::Horizon::default().ids)
    }
}

impl Loader<'_> {
    fn problem<T>(&self, at: &Spanned<T>, message: &str) -> Problem {
        Problem::new(FilePlace::span(&self.file.path, &self.file.text, at.span()), message)
    }

    fn about<T>(&self, spec: &FeatureSpec, at: &Spanned<T>, message: &str) -> Problem {
        self.problem(at, &format!("feature {:?}: {message}", spec.name.get_ref()))
    }

    fn feature(&mut self, spec: &FeatureSpec) -> Result<Feature, Problem> {
        let name = spec.name.get_ref();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || !name.chars().all(is_plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            let message = format!("name is {name:?}, expected lower case letters, digits and _");
            return Err(self.problem(&spec.name, &message));
        }
        let kind = Kind::from_label(spec.kind.get_ref()).ok_or_else(|| {
            let message = format!(
                "kind is {:?}, expected transaction, dispute, chat, invoice or label",
                spec.kind.get_ref()
            );
            self.about(spec, &spec.kind, &message)
        })?;
        for scored in Kind::SCORED {
            if fields(scored).iter().any(|(field, _)| field == name) {
                let message =
                    format!("name {name:?} is a field of a {}, expected another", scored.label());
                return Err(self.problem(&spec.name, &message));
            }
        }
        let key = self.key(spec, kind)?;
        self.operation(spec, kind, key)
    }

    fn key(&self, spec: &FeatureSpec, kind: Kind) -> Result<Key, Problem> {
        let Some(named) = &spec.key else { return Ok(Key::Account) };
        let found = KEYS.iter().find(|(name, _)| name == named.get_ref()).map(|(_, key)| *key);
        let known = |key: Key| match key {
            Key::Account => true,
            Key::Entity(entity) => entity.is_named_by(kind),
        };
        match found {
            Some(key) if known(key) => Ok(key),
            Some(_) => {
                let message =
                    format!("key is {:?}, which a {} does not name", named.get_ref(), kind.label());
                Err(self.about(spec, named, &message))
            }
            None => {
                let names = KEYS.map(|(name, _)| name).join(", ");
                let message = format!("key is {:?}, expected one of {names}", named.get_ref());
                Err(self.about(spec, named, &message))
            }
        }
    }

    fn duration(
        &self,
        spec: &FeatureSpec,
        what: &str,
        given: &Spanned<String>,
    ) -> Result<i64, Problem> {
        duration_ms(given.get_ref()).ok_or_else(|| {
            let message = format!(
                "{what} is {:?}, expected a number and s, m, h or d such as \"24h\"",
                given.get_ref()
            );
            self.about(spec, given, &message)
        })
    }

    /// Window and delay, which together must be remembered.
    fn window(&self, spec: &FeatureSpec) -> Result<Window, Problem> {
        let Some(window) = &spec.window else {
            let message = format!("{} needs a window such as \"24h\"", spec.aggregate.get_ref());
            return Err(self.about(spec, &spec.aggregate, &message));
        };
        let length_ms = self.duration(spec, "window", window)?;
        let delay_ms = match &spec.delay {
            Some(delay) => self.duration(spec, "delay", delay)?,
            None => 0,
        };
        if length_ms == 0 {
            return Err(self.about(spec, window, "window is 0, expected some time"));
        }
        if length_ms + delay_ms > self.file.retention_ms {
            let message = format!(
                "window and delay reach back {} days, expected at most the retention of {} days",
                days(length_ms + delay_ms),
                days(self.file.retention_ms)
            );
            return Err(self.about(spec, window, &message));
        }
        Ok(Window { length_ms, delay_ms })
    }

    /// The condition as a filter of the kind.
    fn filter(
        &mut self,
        spec: &FeatureSpec,
        kind: Kind,
        text: &str,
        at: &Spanned<String>,
    ) -> Result<usize, Problem> {
        let filters = &self.filters[kind as usize];
        if let Some(known) = filters.iter().position(|(known, _)| known == text) {
            return Ok(known);
        }
        let vocabulary = Vocabulary::new(kind, std::iter::empty());
        if text.len() > limits().expression_bytes_max {
            let message = format!(
                "condition has {} bytes, expected at most {}",
                text.len(),
                limits().expression_bytes_max
            );
            return Err(self.about(spec, at, &message));
        }
        let program = Program::load(text, &vocabulary)
            .map_err(|error| self.about(spec, at, &format!("{} in {text:?}", error.message)))?;
        self.filters[kind as usize].push((text.to_owned(), program));
        Ok(self.filters[kind as usize].len() - 1)
    }

    /// The field an aggregate is taken of: one of these types.
    fn field(&self, spec: &FeatureSpec, kind: Kind, types: &[Type]) -> Result<Field, Problem> {
        let Some(name) = &spec.field else {
            let message = format!("{} needs a field", spec.aggregate.get_ref());
            return Err(self.about(spec, &spec.aggregate, &message));
        };
        let known = fields(kind);
        let Some(slot) = known.iter().position(|(known, _)| known == name.get_ref()) else {
            let hint = match nearest(name.get_ref(), known.iter().map(|(known, _)| *known)) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("expected a field of a {}", kind.label()),
            };
            return Err(self.about(
                spec,
                name,
                &format!("unknown field {:?}, {hint}", name.get_ref()),
            ));
        };
        let ty = known[slot].1;
        if !types.contains(&ty) {
            let expected: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
            let message = format!(
                "field {:?} is a {}, expected a {}",
                name.get_ref(),
                ty.name(),
                expected.join(" or ")
            );
            return Err(self.about(spec, name, &message));
        }
        Ok(Field { slot, ty })
    }

    /// The group of a feature, made if it is new.
    fn group(
        &mut self,
        spec: &FeatureSpec,
        kind: Kind,
        key: Key,
        filter: Option<usize>,
        field: Option<Field>,
    ) -> Result<GroupRef, Problem> {
        let once = spec.once.unwrap_or(true);
        let name = field.and(spec.field.as_ref()).map(|name| name.get_ref().clone());
        let drafts = &mut self.drafts[kind as usize];
        let same = |draft: &Draft| draft.key == key && draft.filter == filter && draft.once == once;
        let fits = |draft: &Draft| match &name {
            None => draft.field_name.as_deref().is_none_or(|field| field == AMOUNT),
            name => draft.field_name == *name,
        };
        let known = drafts.iter().position(|draft| same(draft) && fits(draft));
        if known.is_none() && drafts.len() == GROUPS_MAX {
            let message =
                format!("more than {GROUPS_MAX} different filters, keys and fields of one kind");
            return Err(self.about(spec, &spec.name, &message));
        }
        let drafts = &mut self.drafts[kind as usize];
        let group = known.unwrap_or_else(|| {
            drafts.push(Draft {
                key,
                filter,
                field_name: name,
                field,
                once,
                tally: false,
                ring: None,
                grids: Vec::new(),
                runnings: Vec::new(),
            });
            drafts.len() - 1
        });
        Ok(GroupRef { kind: kind as usize, group })
    }

    fn draft(&mut self, group: GroupRef) -> &mut Draft {
        &mut self.drafts[group.kind][group.group]
    }

    /// Makes a group's ring reach far enough.
    fn ring(&mut self, spec: &FeatureSpec, group: GroupRef, window: Window) -> Result<(), Problem> {
        let entries = match &spec.entries {
            None => ENTRIES,
            Some(entries) if (1..=ENTRIES_MAX).contains(entries.get_ref()) => *entries.get_ref(),
            Some(entries) => {
                let message =
                    format!("entries is {}, expected 1 to {ENTRIES_MAX}", entries.get_ref());
                return Err(self.about(spec, entries, &message));
            }
        };
        let reach = window.length_ms + window.delay_ms;
        let ring = &mut self.draft(group).ring;
        *ring = Some(ring.map_or((entries, reach), |(e, r)| (e.max(entries), r.max(reach))));
        Ok(())
    }

    /// Where a total over a window is kept.
    fn place(
        &mut self,
        spec: &FeatureSpec,
        group: GroupRef,
        window: Window,
        stat: Stat,
    ) -> Result<Place, Problem> {
        let (length, delay) = (window.length_ms, window.delay_ms);
        let bucket_ms = match &spec.resolution {
            Some(resolution) if resolution.get_ref() == "exact" => {
                self.ring(spec, group, window)?;
                return Ok(Place::Ring);
            }
            Some(resolution) => {
                let bucket = self.duration(spec, "resolution", resolution)?;
                if bucket < SECOND_MS
                    || length % bucket != 0
                    || delay % bucket != 0
                    || length / bucket > BUCKETS_MAX
                {
                    let message = format!(
                        "resolution is {:?}, expected \"exact\" or a whole part of window and delay, at most {BUCKETS_MAX} to the window",
                        resolution.get_ref()
                    );
                    return Err(self.about(spec, resolution, &message));
                }
                bucket
            }
            None => {
                let fits = |bucket: &&i64| {
                    length % **bucket == 0
                        && delay % **bucket == 0
                        && length / **bucket <= BUCKETS_MAX
                };
                match BUCKETS_MS.iter().find(fits) {
                    Some(bucket) => *bucket,
                    None => {
                        let message = "no length of bucket divides window and delay into at most 64: say resolution = \"exact\" or a duration";
                        return Err(self.about(spec, &spec.aggregate, message));
                    }
                }
            }
        };
        let grids = &mut self.draft(group).grids;
        let at = grids.iter().position(|grid| grid.bucket_ms == bucket_ms).unwrap_or_else(|| {
            grids.push(GridDraft {
                bucket_ms,
                retention_ms: 0,
                sums: false,
                squares: false,
                extremes: false,
            });
            grids.len() - 1
        });
        let grid = &mut grids[at];
        grid.retention_ms = grid.retention_ms.max(length + delay);
        grid.sums |= matches!(stat, Stat::Sum | Stat::Mean | Stat::StdDev);
        grid.squares |= stat == Stat::StdDev;
        grid.extremes |= matches!(stat, Stat::Min | Stat::Max);
        Ok(Place::Grid(at))
    }

    fn total(&mut self, spec: &FeatureSpec, group: GroupRef, stat: Stat) -> Result<usize, Problem> {
        let window = self.window(spec)?;
        let place = self.place(spec, group, window, stat)?;
        let plan = TotalPlan { group, place, window };
        let known = self.totals.iter().position(|total| *total == plan);
        Ok(known.unwrap_or_else(|| {
            self.totals.push(plan);
            self.totals.len() - 1
        }))
    }

    fn operation(&mut self, spec: &FeatureSpec, kind: Kind, key: Key) -> Result<Feature, Problem> {
        const NUMBERS: [Type; 2] = [Type::Int, Type::Float];
        let aggregate = spec.aggregate.get_ref().as_str();
        let filter = match &spec.condition {
            Some(text) => Some(self.filter(spec, kind, text.get_ref(), text)?),
            None => None,
        };
        let mut scale = 1.0;
        let (mut ty, op);
        match aggregate {
            "count" => {
                let group = self.group(spec, kind, key, filter, None)?;
                ty = FeatureType::Int;
                op = Op::Total { total: self.total(spec, group, Stat::Count)?, stat: Stat::Count };
            }
            "sum" | "min" | "max" | "mean" | "stddev" | "ratio" | "zscore" => {
                let field = self.field(spec, kind, &NUMBERS)?;
                let group = self.group(spec, kind, key, filter, Some(field))?;
                let stat = match aggregate {
                    "sum" => Stat::Sum,
                    "min" => Stat::Min,
                    "max" => Stat::Max,
                    "mean" | "ratio" => Stat::Mean,
                    _ => Stat::StdDev,
                };
                let total = self.total(spec, group, stat)?;
                scale = field.scale();
                ty = match (aggregate, field.ty) {
                    ("sum" | "min" | "max", Type::Int) => FeatureType::Int,
                    _ => FeatureType::Float,
                };
                op = match aggregate {
                    "ratio" => Op::Ratio { total, group },
                    "zscore" => Op::ZScore { total, group },
                    _ => Op::Total { total, stat },
                };
            }
            "share" => {
                let Some(of) = &spec.of else {
                    return Err(self.about(
                        spec,
                        &spec.aggregate,
                        "share needs `of`: a condition for the part",
                    ));
                };
                let part = match &spec.condition {
                    Some(whole) => format!("({}) && ({})", whole.get_ref(), of.get_ref()),
                    None => of.get_ref().clone(),
                };
                let part = self.filter(spec, kind, &part, of)?;
                let field = match spec.field {
                    Some(_) => Some(self.field(spec, kind, &NUMBERS)?),
                    None => None,
                };
                let stat = if field.is_some() { Stat::Sum } else { Stat::Count };
                let whole = self.group(spec, kind, key, filter, field)?;
                let part = self.group(spec, kind, key, Some(part), field)?;
                ty = FeatureType::Float;
                op = Op::Share {
                    part: self.total(spec, part, stat)?,
                    whole: self.total(spec, whole, stat)?,
                    of_sums: field.is_some(),
                };
            }
            "distinct" => {
                let field = self.field(spec, kind, &[Type::Text, Type::Int])?;
                let group = self.group(spec, kind, key, filter, Some(field))?;
                let window = self.exact(spec, group)?;
                ty = FeatureType::Int;
                op = Op::Distinct { group, window };
            }
            "label_rate" | "newest_label" | "label_run" | "label_run_start" => {
                if kind != Kind::Transaction {
                    return Err(self.about(
                        spec,
                        &spec.kind,
                        "labels are of payments, expected kind = \"transaction\"",
                    ));
                }
                let group = self.group(spec, kind, key, filter, None)?;
                let window = self.exact(spec, group)?;
                self.labels[key.index()] = true;
                ty = FeatureType::Int;
                op = match aggregate {
                    "label_rate" => Op::LabelRate { group, window },
                    "newest_label" => Op::NewestLabel { group, window },
                    "label_run" => Op::LabelRun { group, window },
                    _ => Op::LabelRunStart { group, window },
                };
                if matches!(op, Op::LabelRate { .. } | Op::LabelRunStart { .. }) {
                    ty = FeatureType::Float;
                }
            }
            "since_last" | "first_seen" | "last" => {
                if aggregate == "first_seen" && key != Key::Account {
                    let message = "first_seen depends on the order of arrival where it has been \
                                   forgotten: expected key = \"account\"";
                    return Err(self.about(spec, &spec.aggregate, message));
                }
                let field = match aggregate {
                    "last" => Some(self.field(spec, kind, &NUMBERS)?),
                    _ => None,
                };
                let group = self.group(spec, kind, key, filter, field)?;
                self.draft(group).tally = true;
                let within_ms = match spec.window {
                    Some(_) => self.window(spec)?.length_ms,
                    None => self.file.retention_ms,
                };
                scale = field.map_or(1.0, Field::scale);
                ty = match field.map(|field| field.ty) {
                    Some(Type::Int) => FeatureType::Int,
                    _ => FeatureType::Float,
                };
                op = match aggregate {
                    "last" => Op::Last { group, within_ms },
                    "since_last" => Op::SinceLast { group, within_ms },
                    _ => Op::FirstSeen { group },
                };
            }
            "robust_mean" | "cusum" => {
                if key != Key::Account {
                    let message = format!(
                        "{aggregate} depends on the order of arrival, which only an account has: expected key = \"account\""
                    );
                    return Err(self.about(spec, &spec.aggregate, &message));
                }
                let field = self.field(spec, kind, &NUMBERS)?;
                let group = self.group(spec, kind, key, filter, Some(field))?;
                let parameters = [
                    self.parameter(spec, "cap", spec.cap.as_ref(), 3.0, 1.0..=1e6)?,
                    self.parameter(spec, "span", spec.span.as_ref(), 50.0, 1.0..=1e9)?,
                    self.parameter(spec, "slack", spec.slack.as_ref(), 0.5, 0.0..=1e6)?,
                    self.parameter(spec, "floor", spec.floor.as_ref(), 0.0, -1e6..=1e6)?,
                ];
                let runnings = &mut self.draft(group).runnings;
                let running =
                    runnings.iter().position(|known| *known == parameters).unwrap_or_else(|| {
                        runnings.push(parameters);
                        runnings.len() - 1
                    });
                ty = FeatureType::Float;
                op = match aggregate {
                    "robust_mean" => {
                        scale = field.scale();
                        Op::RobustMean { group, running }
                    }
                    _ => Op::Cusum { group, running },
                };
            }
            unknown => {
                let hint = match nearest(unknown, AGGREGATES) {
                    Some(known) => format!("did you mean {known:?}?"),
                    None => format!("expected one of {}", AGGREGATES.join(", ")),
                };
                return Err(self.about(
                    spec,
                    &spec.aggregate,
                    &format!("unknown aggregate {unknown:?}, {hint}"),
                ));
            }
        }
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

    /// A window that has to be exact.
    fn exact(&mut self, spec: &FeatureSpec, group: GroupRef) -> Result<Window, Problem> {
        if let Some(resolution) =
            spec.resolution.as_ref().filter(|given| given.get_ref() != "exact")
        {
            let message = format!(
                "resolution of a {} is {:?}, expected \"exact\"",
                spec.aggregate.get_ref(),
                resolution.get_ref()
            );
            return Err(self.about(spec, resolution, &message));
        }
        let window = self.window(spec)?;
        self.ring(spec, group, window)?;
        Ok(window)
    }

    fn parameter(
        &self,
        spec: &FeatureSpec,
        name: &str,
        given: Option<&Spanned<f64>>,
        usual: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, Problem> {
        match given {
            None => Ok(usual),
            Some(given) if range.contains(given.get_ref()) => Ok(*given.get_ref()),
            Some(given) => {
                let message = format!(
                    "{name} is {}, expected {} to {}",
                    given.get_ref(),
                    range.start(),
                    range.end()
                );
                Err(self.about(spec, given, &message))
            }
        }
    }

    /// Gives everything its region.
    fn finish(self, features: Vec<Feature>, dedupe_ids: usize) -> Result<FeatureSet, Problems> {
        let hash = set_hash(self.file);
        let mut layouts: [Layout; KEYS.len()] = Default::default();
        let account = Key::Account.index();
        let mut sections = Vec::new();
        for kind in ALL_KINDS {
            let name = kind.label();
            let (drafts, filters) = (&self.drafts[kind as usize], &self.filters[kind as usize]);
            let groups: Vec<String> =
                drafts.iter().map(|draft| group_name(draft, kind, filters)).collect();
            sections.push(SectionPlan {
                seen: region(
                    &mut layouts[account],
                    &format!("{name} seen"),
                    dedupe::words_max(dedupe_ids),
                ),
                subjects: region(
                    &mut layouts[account],
                    // a bit of a subject stands for a place among the groups
                    &format!("{name} subjects of {groups:?}"),
                    super::account::SUBJECT_WORDS_MAX,
                ),
                labels: None,
            });
        }
        let escalated = region(&mut layouts[account], "escalated", 2);
        if self.labels[account] {
            for kind in [Kind::Dispute, Kind::Label] {
                let at = region(
                    &mut layouts[account],
                    &format!("{} labels", kind.label()),
                    3 * (LABELS_MAX + 1),
                );
                sections[kind as usize].labels =
                    Some(Labels { region: at, entries_max: LABELS_MAX });
            }
        }
        let mut entity_newest = [Region { at: 0, of: 0 }; KEYS.len()];
        let mut entity_labels = [None; KEYS.len()];
        for (name, key) in KEYS {
            let i = key.index();
            let used = features.iter().any(|feature| feature.key == key);
            if key == Key::Account || !used {
                continue;
            }
            entity_newest[i] = region(&mut layouts[i], &format!("{name} newest"), 1);
            if self.labels[i] {
                let at = region(&mut layouts[i], &format!("{name} labels"), 3 * (LABELS_MAX + 1));
                entity_labels[i] = Some(Labels { region: at, entries_max: LABELS_MAX });
            }
        }
        let mut kinds: [KindPlan; KINDS] = Default::default();
        let mut by_id = HashMap::new();
        for (kind, (drafts, filters)) in self.drafts.into_iter().zip(self.filters).enumerate() {
            for (number, draft) in drafts.into_iter().enumerate() {
                let name = group_name(&draft, ALL_KINDS[kind], &filters);
                let group = group(&draft, &name, &mut layouts[draft.key.index()]);
                if group.key != Key::Account {
                    by_id.insert(group.id, GroupRef { kind, group: number });
                }
                kinds[kind].groups.push(group);
            }
            let plan = &mut kinds[kind];
            plan.filters = filters.into_iter().map(|(_, program)| program).collect();
            let of_filters = plan.filters.iter().flat_map(|filter| filter.slots().iter().copied());
            let of_groups = plan.groups.iter().filter_map(|group| Some(group.field?.slot));
            let mut slots: Vec<usize> = of_filters.chain(of_groups).collect();
            slots.sort_unstable();
            slots.dedup();
            plan.slots = slots;
        }
        for ((name, _), layout) in KEYS.iter().zip(&mut layouts) {
            let regions = layout.ids.len();
            layout.words_max += regions.div_ceil(4);
            if layout.words_max > WORDS_MAX {
                let message = format!(
                    "one {name} could need {} bytes, expected at most {}: fewer features, entries or [dedupe] ids",
                    layout.words_max * 8,
                    WORDS_MAX * 8
                );
                return Err(Problem::new(FilePlace::file(&self.file.path), message).into());
            }
        }
        let set = FeatureSet {
            hash,
            text: self.file.text.clone(),
            reads: reads(&features),
            features,
            kinds,
            sections: [sections[0], sections[1], sections[2], sections[3], sections[4]],
            escalated,
            layouts,
            entity_labels,
            entity_newest,
            totals: self.totals,
            by_id,
            dedupe_ids,
            retention_ms: self.file.retention_ms,
        };
        Ok(set.settled())
    }
}

impl FeatureSet {
    /// Tells every region of how many it is one, which is known at the end only.
    fn settled(mut self) -> FeatureSet {
        let counts: Vec<usize> = self.layouts.iter().map(|layout| layout.ids.len()).collect();
        let account = counts[Key::Account.index()];
        for section in &mut self.sections {
            section.seen.of = account;
            section.subjects.of = account;
            if let Some(labels) = &mut section.labels {
                labels.region.of = account;
            }
        }
        self.escalated.of = account;
        for (i, count) in counts.iter().copied().enumerate() {
            self.entity_newest[i].of = count;
            if let Some(labels) = &mut self.entity_labels[i] {
                labels.region.of = count;
            }
        }
        for group in self.kinds.iter_mut().flat_map(|plan| &mut plan.groups) {
            let of = counts[group.key.index()];
            let regions = group
                .tally
                .iter_mut()
                .map(|tally| &mut tally.region)
                .chain(group.ring.iter_mut().map(|ring| &mut ring.region))
                .chain(group.grids.iter_mut().map(|grid| &mut grid.region))
                .chain(group.runnings.iter_mut().map(|running| &mut running.region));
            regions.for_each(|region| region.of = of);
        }
        for i in 0..self.features.len() {
            let Feature { op, key, .. } = self.features[i];
            (self.features[i].regions, self.features[i].reach_ms) = self.reach(op, key);
        }
        self
    }

    /// Where an operation reads, and how far back.
    fn reach(&self, op: Op, key: Key) -> (Vec<Region>, i64) {
        let ring = |group: GroupRef| self.group(group).ring.map(|ring| ring.region);
        let of_tally = |group: GroupRef| self.group(group).tally.map(|tally| tally.region);
        let of_total = |total: usize| {
            let TotalPlan { group, place, window } = self.totals[total];
            let region = match place {
                Place::Ring => ring(group),
                Place::Grid(grid) => Some(self.group(group).grids[grid].region),
            };
            (region, window.length_ms + window.delay_ms)
        };
        let labels = || -> Vec<Region> {
            let of_sections = self.sections.iter().filter_map(|section| section.labels);
            match key {
                Key::Account => of_sections.map(|labels| labels.region).collect(),
                key => self.entity_labels[key.index()].iter().map(|l| l.region).collect(),
            }
        };
        let (regions, reach_ms): (Vec<Option<Region>>, i64) = match op {
            Op::Total { total, .. } | Op::Ratio { total, .. } | Op::ZScore { total, .. } => {
                let (region, reach) = of_total(total);
                (vec![region], reach)
            }
            Op::Share { part, whole, .. } => {
                let ((part, reach), (whole, _)) = (of_total(part), of_total(whole));
                (vec![part, whole], reach)
            }
            Op::Distinct { group, window } => {
                (vec![ring(group)], window.length_ms + window.delay_ms)
            }
            Op::LabelRate { group, window }
            | Op::NewestLabel { group, window }
            | Op::LabelRun { group, window }
            | Op::LabelRunStart { group, window } => {
                let regions = labels().into_iter().map(Some).chain([ring(group)]).collect();
                (regions, window.length_ms + window.delay_ms)
            }
            Op::Last { group, within_ms } | Op::SinceLast { group, within_ms } => {
                (vec![of_tally(group)], within_ms)
            }
            Op::FirstSeen { group } => (vec![of_tally(group)], self.retention_ms),
            Op::RobustMean { group, running } | Op::Cusum { group, running } => {
                (vec![Some(self.group(group).runnings[running].region)], self.retention_ms)
            }
        };
        (regions.into_iter().flatten().collect(), reach_ms)
    }
}

/// The next region of a layout.
fn region(layout: &mut Layout, name: &str, words_max: usize) -> Region {
    layout.ids.push(xxh3_64(name.as_bytes()).cast_signed());
    layout.words_max += words_max;
    Region { at: layout.ids.len() - 1, of: 0 }
}

/// What a group is, to the letter: whoever declares it alike has the same.
fn group_name(draft: &Draft, kind: Kind, filters: &[(String, Program)]) -> String {
    let Draft { key, field_name, once, .. } = draft;
    let filter = draft.filter.map(|filter| filters[filter].0.as_str());
    let kind = kind.label();
    format!("{kind} under {key:?} where {filter:?} of {field_name:?} once {once}")
}

fn group(draft: &Draft, name: &str, layout: &mut Layout) -> Group {
    let Draft { key, field, once, .. } = draft;
    let tally = draft
        .tally
        .then(|| Tally { region: region(layout, &format!("{name}: tally"), Tally::WORDS) });
    let ring = draft.ring.map(|(entries_max, retention_ms)| {
        let name = format!("{name}: ring of {entries_max} over {retention_ms}");
        Ring {
            region: region(layout, &name, (entries_max + 1) * Entry::WORDS),
            entries_max,
            retention_ms,
        }
    });
    let grids = draft.grids.iter().map(|grid| {
        let GridDraft { bucket_ms, retention_ms, sums, squares, extremes } = *grid;
        let mut made = Grid {
            region: Region { at: 0, of: 0 },
            bucket_ms,
            retention_ms,
            sums,
            squares,
            extremes,
        };
        let buckets = usize::try_from(retention_ms / bucket_ms).unwrap_or(0) + 2;
        let name = format!("{name}: {grid:?}");
        made.region = region(layout, &name, buckets * made.words());
        made
    });
    let grids = grids.collect();
    let runnings = draft.runnings.iter().map(|[cap, span, slack, floor]| Running {
        region: region(
            layout,
            &format!("{name}: running {cap} {span} {slack} {floor}"),
            Running::WORDS,
        ),
        cap: *cap,
        span: *span,
        slack: *slack,
        floor: *floor,
    });
    let runnings = runnings.collect();
    Group {
        id: xxh3_64(name.as_bytes()).cast_signed(),
        key: *key,
        filter: draft.filter,
        field: *field,
        once: *once,
        tally,
        ring,
        grids,
        runnings,
    }
}

/// Features by key and phase.
fn reads(features: &[Feature]) -> Vec<Reads> {
    let mut all = Vec::new();
    for (_, key) in KEYS {
        let of = |before: bool| -> Vec<usize> {
            let fits = |(_, feature): &(usize, &Feature)| {
                feature.key == key && feature.op.is_before() == before
            };
            features.iter().enumerate().filter(fits).map(|(i, _)| i).collect()
        };
        let reads = Reads { key, before: of(true), after: of(false) };
        if !reads.before.is_empty() || !reads.after.is_empty() {
            all.push(reads);
        }
    }
    all
}

/// Of the declarations without their places and comments.
fn set_hash(file: &FeatureFile) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("retention {}\n", file.retention_ms));
    for spec in &file.features {
        let text =
            |given: &Option<Spanned<String>>| given.as_ref().map(|text| text.get_ref().clone());
        let number = |given: &Option<Spanned<f64>>| given.as_ref().map(|number| *number.get_ref());
        hasher.update(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}\n",
            spec.name.get_ref(),
            spec.kind.get_ref(),
            text(&spec.key),
            spec.aggregate.get_ref(),
            text(&spec.field),
            text(&spec.window),
            text(&spec.delay),
            text(&spec.condition),
            text(&spec.of),
            text(&spec.resolution),
            spec.entries.as_ref().map(|entries| *entries.get_ref()),
            spec.once,
            number(&spec.empty),
            number(&spec.cap),
            number(&spec.span),
            number(&spec.slack),
            number(&spec.floor),
        ));
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn days(ms: i64) -> f64 {
    (ms as f64 / DAY_MS as f64 * 100.0).round() / 100.0
}
