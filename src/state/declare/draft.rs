//! What has to be kept for what is declared: groups of events, and how far their rings and buckets reach.

use toml::Spanned;

use super::Loader;
use crate::config::{FeatureSpec, Problem, duration_ms, limits, nearest};
use crate::event::Kind;
use crate::expr::{Program, Type, Vocabulary, fields};
use crate::state::set::{Field, GROUPS_MAX, GroupRef, Key, Stat, Window};
use crate::state::window::Wants;

/// Events that an exact window keeps where its declaration does not say.
const ENTRIES: usize = 256;
const ENTRIES_MAX: usize = 4_096;
/// Buckets that are kept for the grace.
const GRACE_BUCKETS_MAX: i64 = 1_024;
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

#[derive(Debug)]
pub(super) struct GridDraft {
    pub(super) bucket_ms: i64,
    pub(super) retention_ms: i64,
    pub(super) sums: bool,
    pub(super) squares: bool,
    pub(super) extremes: bool,
}

/// What exact windows need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RingDraft {
    pub(super) entries_max: usize,
    pub(super) retention_ms: i64,
    pub(super) subjects: bool,
    pub(super) values: bool,
}

/// What is read of the entries of a ring, but for when they were.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    None,
    Subject,
    Value,
}

/// Where a total is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ring,
    Grid(usize),
}

/// A total before its regions are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct TotalDraft {
    pub(super) group: GroupRef,
    pub(super) place: Place,
    pub(super) window: Window,
    /// the most that any feature reads of it
    pub(super) wants: Wants,
}

/// A group before its regions are known.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) key: Key,
    pub(super) filter: Option<usize>,
    pub(super) field_name: Option<String>,
    pub(super) field: Option<Field>,
    pub(super) once: bool,
    pub(super) tally: bool,
    pub(super) ring: Option<RingDraft>,
    pub(super) grids: Vec<GridDraft>,
    /// cap, span, slack, floor
    pub(super) runnings: Vec<[f64; 4]>,
}

impl Loader<'_> {
    pub(super) fn duration(
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
    pub(super) fn window(&self, spec: &FeatureSpec) -> Result<Window, Problem> {
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
    pub(super) fn filter(
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
    pub(super) fn field(
        &self,
        spec: &FeatureSpec,
        kind: Kind,
        types: &[Type],
    ) -> Result<Field, Problem> {
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
    pub(super) fn group(
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

    pub(super) fn draft(&mut self, group: GroupRef) -> &mut Draft {
        &mut self.drafts[group.kind][group.group]
    }

    /// Makes a group's ring reach far enough.
    fn ring(
        &mut self,
        spec: &FeatureSpec,
        group: GroupRef,
        window: Window,
        column: Column,
    ) -> Result<(), Problem> {
        let entries = match &spec.entries {
            None => ENTRIES,
            Some(entries) if (1..=ENTRIES_MAX).contains(entries.get_ref()) => *entries.get_ref(),
            Some(entries) => {
                let message =
                    format!("entries is {}, expected 1 to {ENTRIES_MAX}", entries.get_ref());
                return Err(self.about(spec, entries, &message));
            }
        };
        let reach = window.length_ms + window.delay_ms + self.file.grace_ms;
        let ring = self.draft(group).ring.get_or_insert_default();
        ring.entries_max = ring.entries_max.max(entries);
        ring.retention_ms = ring.retention_ms.max(reach);
        ring.subjects |= column == Column::Subject;
        ring.values |= column == Column::Value;
        Ok(())
    }

    /// Where a total over a window is kept.
    pub(super) fn place(
        &mut self,
        spec: &FeatureSpec,
        group: GroupRef,
        window: Window,
        stat: Stat,
    ) -> Result<Place, Problem> {
        let (length, delay) = (window.length_ms, window.delay_ms);
        let bucket_ms = match &spec.resolution {
            Some(resolution) if resolution.get_ref() == "exact" => {
                let column = match stat {
                    Stat::Count => Column::None,
                    _ => Column::Value,
                };
                self.ring(spec, group, window, column)?;
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
        let grace_ms = self.file.grace_ms;
        if grace_ms / bucket_ms > GRACE_BUCKETS_MAX {
            let message = format!(
                "buckets of {} s are kept for the grace too, {} of them, expected at most {GRACE_BUCKETS_MAX}: shorten grace or lengthen resolution",
                bucket_ms / SECOND_MS,
                grace_ms / bucket_ms
            );
            return Err(self.about(spec, &spec.aggregate, &message));
        }
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
        grid.retention_ms = grid.retention_ms.max(length + delay + grace_ms);
        grid.sums |= matches!(stat, Stat::Sum | Stat::Mean | Stat::StdDev);
        grid.squares |= stat == Stat::StdDev;
        grid.extremes |= matches!(stat, Stat::Min | Stat::Max);
        Ok(Place::Grid(at))
    }

    pub(super) fn total(
        &mut self,
        spec: &FeatureSpec,
        group: GroupRef,
        stat: Stat,
    ) -> Result<usize, Problem> {
        let window = self.window(spec)?;
        let place = self.place(spec, group, window, stat)?;
        let wants = stat.wants();
        let same =
            |total: &TotalDraft| (total.group, total.place, total.window) == (group, place, window);
        let known = self.totals.iter().position(same).unwrap_or_else(|| {
            self.totals.push(TotalDraft { group, place, window, wants });
            self.totals.len() - 1
        });
        self.totals[known].wants = self.totals[known].wants.max(wants);
        Ok(known)
    }

    /// A window that has to be exact.
    pub(super) fn exact(
        &mut self,
        spec: &FeatureSpec,
        group: GroupRef,
        column: Column,
    ) -> Result<Window, Problem> {
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
        self.ring(spec, group, window, column)?;
        Ok(window)
    }

    pub(super) fn parameter(
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
}

fn days(ms: i64) -> f64 {
    (ms as f64 / DAY_MS as f64 * 100.0).round() / 100.0
}
