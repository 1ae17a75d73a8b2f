//! Declared features as a plan: what is kept under which key, and how each value is read of it.
//!
//! ```text
//!  [[feature]] ─► group: events of one kind that pass one filter, under one key, of one field
//!                   ├─ tally     first, last
//!                   ├─ ring      the newest events, for exact windows
//!                   ├─ grids     buckets, one grid for each length of bucket
//!                   └─ runnings  means that are carried along
//! ```
//!
//! Features that share key, filter and field share a group; those that share a length of bucket share
//! its grid. The first declaration that needs something makes it, later ones make it reach further.

use super::arena::Arena;
use super::grid::Grid;
use super::labels::Labels;
use super::ring::Ring;
use super::running::Running;
use super::tally::Tally;
use super::window::{Region, Wants};
use crate::event::{Entity, Kind};
use crate::expr::{Program, Type};

/// Kinds of event.
pub(super) const KINDS: usize = 5;
/// Groups that events of one kind may have: what fits a mask of bits.
pub(super) const GROUPS_MAX: usize = 62;
/// Payments whose verdict is remembered, under each key.
pub(super) const LABELS_MAX: usize = 64;

/// Under what something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Account,
    Entity(Entity),
}

/// Every key, in the order of [`Key::index`].
pub(super) const KEYS: [(&str, Key); 10] = [
    ("account", Key::Account),
    ("card", Key::Entity(Entity::Card)),
    ("terminal", Key::Entity(Entity::Terminal)),
    ("merchant", Key::Entity(Entity::Merchant)),
    ("device", Key::Entity(Entity::Device)),
    ("ip", Key::Entity(Entity::Ip)),
    ("beneficiary", Key::Entity(Entity::Beneficiary)),
    ("vendor", Key::Entity(Entity::Vendor)),
    ("employee", Key::Entity(Entity::Employee)),
    ("email", Key::Entity(Entity::Email)),
];

impl Key {
    pub(super) fn index(self) -> usize {
        match self {
            Key::Account => 0,
            Key::Entity(entity) => 1 + entity as usize,
        }
    }
}

/// A field, as the integer that is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// its slot among the fields of the kind
    pub(super) slot: usize,
    pub(super) ty: Type,
}

/// Decimal places that are kept of a field that is no integer.
pub(super) const FLOAT_SCALE: f64 = 1e6;

impl Field {
    /// The scale of whole numbers.
    pub(super) const UNSCALED: f64 = 1.0;

    /// What a kept value is divided by.
    pub(super) fn scale(self) -> f64 {
        match self.ty {
            Type::Float => FLOAT_SCALE,
            _ => Field::UNSCALED,
        }
    }
}

/// Events of one kind that pass one filter, under one key, of one field.
#[derive(Debug)]
pub(super) struct Group {
    /// stable across processes that declare it alike
    pub(super) id: i64,
    pub(super) key: Key,
    /// index among the kind's filters
    pub(super) filter: Option<usize>,
    pub(super) field: Option<Field>,
    pub(super) tally: Option<Tally>,
    pub(super) ring: Option<Ring>,
    pub(super) grids: Vec<Grid>,
    pub(super) runnings: Vec<Running>,
}

/// What the events of one kind are put into.
#[derive(Debug, Default)]
pub(super) struct KindPlan {
    pub(super) filters: Vec<Program>,
    /// the fields that filters and groups read
    pub(super) slots: Vec<usize>,
    /// those of groups
    pub(super) kept: Vec<usize>,
    pub(super) groups: Vec<Group>,
    /// bit i: in group i each subject counts once
    pub(super) once: u64,
}

/// Regions of an account's section.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionPlan {
    /// what was seen, see [`super::dedupe`]
    pub(super) seen: Region,
    /// subjects that were counted
    pub(super) subjects: Region,
    /// verdicts that came on this topic
    pub(super) labels: Option<Labels>,
}

/// Regions of one key.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// stable name of each region, for snapshots
    pub(super) ids: Vec<i64>,
    /// words that all of them have at most
    pub(super) words_max: usize,
}

impl Layout {
    /// Gives an arena that was never written to its regions.
    pub(super) fn open(&self, arena: &mut Arena) {
        if arena.is_empty() {
            *arena = Arena::new(self.ids.len());
        }
    }
}

/// What a total is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Ring(Ring),
    Grid(Grid),
}

impl Kept {
    pub(super) fn region(&self) -> Region {
        match self {
            Kept::Ring(ring) => ring.region,
            Kept::Grid(grid) => grid.region,
        }
    }

    /// How far behind the watermark anything is kept.
    pub(super) fn retention_ms(&self) -> i64 {
        match self {
            Kept::Ring(ring) => ring.retention_ms,
            Kept::Grid(grid) => grid.retention_ms,
        }
    }
}

/// A group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupRef {
    pub(super) kind: usize,
    pub(super) group: usize,
}

/// A stretch behind the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) length_ms: i64,
    pub(super) delay_ms: i64,
}

/// A total that one or more features read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TotalPlan {
    pub(super) group: GroupRef,
    /// of that group
    pub(super) field: Option<Field>,
    pub(super) kept: Kept,
    pub(super) window: Window,
    /// the most that any feature reads of it
    pub(super) wants: Wants,
    /// whether it is read before the event is applied
    pub(super) read_before: bool,
}

/// Something of a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stat {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    StdDev,
}

/// How a feature is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    Total {
        total: usize,
        stat: Stat,
    },
    Share {
        part: usize,
        whole: usize,
        of_sums: bool,
    },
    /// the value of the event itself against what was before
    Ratio {
        total: usize,
    },
    ZScore {
        total: usize,
    },
    Distinct {
        group: GroupRef,
        window: Window,
    },
    LabelRate {
        group: GroupRef,
        window: Window,
    },
    NewestLabel {
        group: GroupRef,
        window: Window,
    },
    LabelRun {
        group: GroupRef,
        window: Window,
    },
    LabelRunStart {
        group: GroupRef,
        window: Window,
    },
    Last {
        group: GroupRef,
        within_ms: i64,
    },
    SinceLast {
        group: GroupRef,
        within_ms: i64,
    },
    FirstSeen {
        group: GroupRef,
    },
    RobustMean {
        group: GroupRef,
        running: usize,
    },
    Cusum {
        group: GroupRef,
        running: usize,
    },
}

impl Stat {
    /// How much of a total it takes.
    pub(super) fn wants(self) -> Wants {
        match self {
            Stat::Count => Wants::Count,
            Stat::Sum | Stat::Mean => Wants::Sum,
            Stat::Min | Stat::Max | Stat::StdDev => Wants::All,
        }
    }
}

impl Op {
    /// The totals that it is made of.
    pub(super) fn totals(self) -> impl Iterator<Item = usize> {
        let (one, other) = match self {
            Op::Total { total, .. } | Op::Ratio { total } | Op::ZScore { total } => {
                (Some(total), None)
            }
            Op::Share { part, whole, .. } => (Some(part), Some(whole)),
            _ => (None, None),
        };
        one.into_iter().chain(other)
    }

    /// Whether it is read before the event itself is taken up.
    pub(super) fn is_before(self) -> bool {
        matches!(
            self,
            Op::Ratio { .. }
                | Op::ZScore { .. }
                | Op::Last { .. }
                | Op::SinceLast { .. }
                | Op::RobustMean { .. }
        )
    }
}

/// Type of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureType {
    /// counts, amounts in minor units
    Int,
    /// shares, means, seconds
    Float,
}

/// A feature, ready to be read.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) ty: FeatureType,
    pub(super) key: Key,
    pub(super) op: Op,
    /// what a kept value is divided by
    pub(super) scale: f64,
    /// what it is without history
    pub(super) empty: Option<f64>,
    /// of the events it is made of
    pub(super) kind: Kind,
    /// where it is kept, and how far it reaches back: nothing is said before that has passed since
    pub(super) regions: Vec<Region>,
    pub(super) reach_ms: i64,
}

/// What is kept and read: every feature of a topology.
#[derive(Debug)]
pub struct FeatureSet {
    pub(super) hash: String,
    pub(super) text: String,
    pub(super) features: Vec<Feature>,
    pub(super) kinds: [KindPlan; KINDS],
    pub(super) sections: [SectionPlan; KINDS],
    /// count of escalations, and the newest of their events
    pub(super) escalated: Region,
    /// open disputes, see [`super::deadlines`]
    pub(super) deadlines: Region,
    /// by [`Key::index`]
    pub(super) layouts: [Layout; KEYS.len()],
    /// verdicts under entities, by [`Key::index`]
    pub(super) entity_labels: [Option<Labels>; KEYS.len()],
    /// when something under an entity was newest, by [`Key::index`]
    pub(super) entity_newest: [Region; KEYS.len()],
    pub(super) totals: Vec<TotalPlan>,
    /// features by key and phase: before the event is taken up, after
    pub(super) reads: Vec<Reads>,
    /// accepted events remembered per account and topic
    pub(super) dedupe_ids: usize,
    /// groups of entities, in the order of their ids
    pub(super) by_id: Vec<(i64, GroupRef)>,
    /// an account or entity that is idle for longer is forgotten
    pub(super) retention_ms: i64,
    /// an event that is older than the newest of its kind by more is late
    pub(super) grace_ms: i64,
}

/// What is read under one key.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) key: Key,
    /// of events that these features are made of
    pub(super) kinds: Vec<usize>,
    /// before the event is taken up
    pub(super) before: Phase,
    /// and after
    pub(super) after: Phase,
}

/// What is read at one time: totals, then what is made of them.
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub(super) totals: Vec<usize>,
    pub(super) features: Vec<usize>,
}

impl FeatureSet {
    /// Hash of names, definitions and their order. SHA-256, first 16 bytes, hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The text of the file it was declared in.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Names and types, in the order of a decision's record.
    pub fn names(&self) -> impl Iterator<Item = (&str, Type)> {
        self.features.iter().map(|feature| {
            let ty = match feature.ty {
                FeatureType::Int => Type::Int,
                FeatureType::Float => Type::Float,
            };
            (feature.name.as_str(), ty)
        })
    }

    /// Bytes that an account can have at most, and the same of each entity that features are kept of.
    pub fn bytes_max(&self) -> Vec<(&'static str, usize)> {
        let used = |(name, key): &(&'static str, Key)| {
            let layout = &self.layouts[key.index()];
            (layout.words_max > 0).then_some((*name, layout.words_max * size_of::<i64>()))
        };
        KEYS.iter().filter_map(used).collect()
    }

    pub(super) fn account_layout(&self) -> &Layout {
        &self.layouts[Key::Account.index()]
    }

    /// The group of entities of that id, if it is one of these.
    pub(super) fn of_entity(&self, id: i64) -> Option<&Group> {
        let at = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.group(self.by_id[at].1))
    }

    pub(super) fn group(&self, group: GroupRef) -> &Group {
        &self.kinds[group.kind].groups[group.group]
    }

    /// Whether anything is kept of entities.
    pub fn has_profiles(&self) -> bool {
        self.reads.iter().any(|reads| reads.key != Key::Account)
    }
}

/// The kind of that number.
pub(super) const ALL_KINDS: [Kind; KINDS] =
    [Kind::Transaction, Kind::Dispute, Kind::Chat, Kind::Invoice, Kind::Label];
