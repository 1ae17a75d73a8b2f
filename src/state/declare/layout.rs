//! Where everything that is kept stands: regions of words, told by the names of what they hold.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use toml::Spanned;
use xxhash_rust::xxh3::xxh3_64;

use super::Loader;
use super::draft::{Draft, GridDraft, Place, RingDraft, TotalDraft};
use crate::config::Place as FilePlace;
use crate::config::{FeatureFile, Problem, Problems, hex};
use crate::event::Kind;
use crate::expr::Program;
use crate::state::account::SUBJECT_WORDS_MAX;
use crate::state::arena::WORDS_MAX;
use crate::state::grid::{Bucket, Grid};
use crate::state::labels::Labels;
use crate::state::ring::Ring;
use crate::state::running::Running;
use crate::state::set::{
    ALL_KINDS, Feature, FeatureSet, Group, GroupRef, KEYS, KINDS, Kept, Key, KindPlan, LABELS_MAX,
    Layout, Op, Phase, Reads, SectionPlan, TotalPlan,
};
use crate::state::tally::Tally;
use crate::state::window::Region;
use crate::state::{deadlines, dedupe};

impl Loader<'_> {
    /// Gives everything its region.
    pub(super) fn finish(
        self,
        features: Vec<Feature>,
        dedupe_ids: usize,
    ) -> Result<FeatureSet, Problems> {
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
                    SUBJECT_WORDS_MAX,
                ),
                labels: None,
            });
        }
        let escalated = region(&mut layouts[account], "escalations", 2);
        let deadlines = region(&mut layouts[account], "open disputes", deadlines::WORDS_MAX);
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
        let mut by_id = Vec::new();
        for (kind, (drafts, filters)) in self.drafts.into_iter().zip(self.filters).enumerate() {
            for (number, draft) in drafts.into_iter().enumerate() {
                let name = group_name(&draft, ALL_KINDS[kind], &filters);
                let group = group(&draft, &name, &mut layouts[draft.key.index()]);
                if group.key != Key::Account {
                    by_id.push((group.id, GroupRef { kind, group: number }));
                }
                kinds[kind].once |= u64::from(draft.once) << number;
                kinds[kind].groups.push(group);
            }
            let plan = &mut kinds[kind];
            plan.filters = filters.into_iter().map(|(_, program)| program).collect();
            let of_filters = plan.filters.iter().flat_map(|filter| filter.slots().iter().copied());
            let of_groups = plan.groups.iter().filter_map(|group| Some(group.field?.slot));
            plan.slots = distinct(of_filters.chain(of_groups.clone()));
            plan.kept = distinct(of_groups);
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
        by_id.sort_unstable_by_key(|(id, _)| *id);
        let set = FeatureSet {
            hash,
            text: self.file.text.clone(),
            reads: reads(&features),
            features,
            kinds,
            sections: [sections[0], sections[1], sections[2], sections[3], sections[4]],
            escalated,
            deadlines,
            layouts,
            entity_labels,
            entity_newest,
            totals: Vec::new(),
            by_id,
            dedupe_ids,
            retention_ms: self.file.retention_ms,
            grace_ms: self.file.grace_ms,
        };
        Ok(set.settled(&self.totals))
    }
}

impl FeatureSet {
    /// Tells every region of how many it is one, which is known at the end only, and totals and features
    /// of theirs.
    fn settled(mut self, totals: &[TotalDraft]) -> FeatureSet {
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
        self.deadlines.of = account;
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
        let before = distinct(self.reads.iter().flat_map(|reads| reads.before.totals.clone()));
        let plan = |(number, total): (usize, &TotalDraft)| {
            let TotalDraft { group, place, window, wants } = *total;
            let Group { field, ring, ref grids, .. } = *self.group(group);
            let kept = match place {
                Place::Ring => Kept::Ring(ring?),
                Place::Grid(grid) => Kept::Grid(*grids.get(grid)?),
            };
            let read_before = before.contains(&number);
            Some(TotalPlan { group, field, kept, window, wants, read_before })
        };
        // what a total is taken from was made with it
        self.totals = totals.iter().enumerate().filter_map(plan).collect();
        debug_assert_eq!(self.totals.len(), totals.len());
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
            let TotalPlan { kept, window, .. } = &self.totals[total];
            (Some(kept.region()), window.length_ms + window.delay_ms)
        };
        let labels = || -> Vec<Region> {
            let of_sections = self.sections.iter().filter_map(|section| section.labels);
            match key {
                Key::Account => of_sections.map(|labels| labels.region).collect(),
                key => self.entity_labels[key.index()].iter().map(|l| l.region).collect(),
            }
        };
        let (regions, reach_ms): (Vec<Option<Region>>, i64) = match op {
            Op::Total { total, .. } | Op::Ratio { total } | Op::ZScore { total } => {
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
    let Draft { key, field, .. } = draft;
    let tally = draft
        .tally
        .then(|| Tally { region: region(layout, &format!("{name}: tally"), Tally::WORDS) });
    let grids = draft.grids.iter().map(|grid| {
        let GridDraft { bucket_ms, retention_ms, sums, squares, extremes } = *grid;
        let mut made = Grid {
            region: Region { at: 0, of: 0 },
            bucket: Bucket::new(bucket_ms),
            retention_ms,
            sums,
            squares,
            extremes,
        };
        let name = format!("{name}: {grid:?}");
        made.region = region(layout, &name, made.words_max());
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
    // what grows most comes last: what follows has to move
    let ring = draft.ring.map(|ring| {
        let RingDraft { entries_max, retention_ms, subjects, values } = ring;
        let mut made =
            Ring { region: Region { at: 0, of: 0 }, entries_max, retention_ms, subjects, values };
        made.region = region(layout, &format!("{name}: {ring:?}"), made.words_max());
        made
    });
    Group {
        id: xxh3_64(name.as_bytes()).cast_signed(),
        key: *key,
        filter: draft.filter,
        field: *field,
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
        let of = |before: bool| {
            let fits = |(_, feature): &(usize, &Feature)| {
                feature.key == key && feature.op.is_before() == before
            };
            let fitting = features.iter().enumerate().filter(fits);
            Phase {
                totals: distinct(fitting.clone().flat_map(|(_, feature)| feature.op.totals())),
                features: fitting.map(|(i, _)| i).collect(),
            }
        };
        let of_key = features.iter().filter(|feature| feature.key == key);
        let kinds = distinct(of_key.map(|feature| feature.kind as usize));
        if !kinds.is_empty() {
            all.push(Reads { key, kinds, before: of(true), after: of(false) });
        }
    }
    all
}

/// Each once, ascending.
fn distinct(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    BTreeSet::from_iter(numbers).into_iter().collect()
}

/// Of the declarations without their places and comments.
fn set_hash(file: &FeatureFile) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("retention {}\ngrace {}\n", file.retention_ms, file.grace_ms));
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
    hex(&hasher.finalize()[..16])
}
