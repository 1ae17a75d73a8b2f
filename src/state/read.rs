//! What a decision reads: every feature's value, in two steps around the application of the event.
//!
//! Windows include the event itself; what compares it with its own history, and what asks for the last
//! one before it, is read before.

use super::account::{Applied, Watermarks};
use super::arena::Arena;
use super::dedupe::Seen;
use super::facts::Facts;
use super::labels::Labels;
use super::profiles::Profiles;
use super::set::{
    Feature, FeatureSet, FeatureType, Field, GroupRef, KINDS, Kept, Key, Op, Phase, Reads,
    SectionPlan, Stat, TotalPlan, Window,
};
use super::window::{Entry, Region, Span, Total};
use crate::event::{Slot, Verdict};

/// Reads features. One per worker: it keeps its room between events.
#[derive(Debug, Default)]
pub struct Features {
    values: Vec<Slot<'static>>,
    /// by number of the plan
    totals: Vec<Total>,
    /// after the event that was read before was applied; bit i: it counts in group i of its kind
    counted: Option<u64>,
    texts: Vec<i64>,
}

/// What is known of the memory itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) watermarks: &'a Watermarks,
    /// by region, since when it is kept; empty: ever since
    pub(super) since: &'a [i64],
}

impl Known<'_> {
    /// Whether everything that a feature looks back on was kept.
    fn covers(self, feature: &Feature, now: i64) -> bool {
        self.since.is_empty()
            || feature.regions.iter().all(|region| match self.since.get(region.at) {
                None | Some(&i64::MIN) => true,
                Some(since) => *since <= now.saturating_sub(feature.reach_ms),
            })
    }
}

/// What is read, of whom, at which event.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) set: &'a FeatureSet,
    pub(super) profiles: &'a Profiles,
    pub(super) facts: &'a Facts,
    pub(super) known: Known<'a>,
}

/// One key while it is read.
struct View<'a> {
    set: &'a FeatureSet,
    arena: &'a Arena,
    key: Key,
    facts: &'a Facts,
    watermarks: &'a Watermarks,
    /// by kind that is read, whether what events of it said is to be forgotten, whether or not it has
    /// been yet
    is_idle: [bool; KINDS],
}

static NOBODY: Arena = Arena::EMPTY;

impl Features {
    /// All values, in the order of the set, as the last second step left them.
    pub fn values(&self) -> &[Slot<'static>] {
        &self.values
    }

    /// First step: what is read before the event is applied.
    pub(super) fn before(&mut self, moment: Moment<'_>, account: &Arena) {
        self.counted = None;
        self.values.clear();
        self.values.resize(moment.set.features.len(), Slot::Null);
        self.totals.resize(moment.set.totals.len(), Total::NOTHING);
        self.read(moment, account, |reads| &reads.before);
    }

    /// Between the steps: the event was applied to the account, and nothing else was.
    pub(super) fn applied(&mut self, applied: Applied) {
        self.counted = (applied.seen == Seen::New).then_some(applied.counted);
    }

    /// Second step, once it is applied.
    pub(super) fn after(&mut self, moment: Moment<'_>, account: &Arena) {
        self.read(moment, account, |reads| &reads.after);
        self.counted = None;
    }

    fn read(&mut self, moment: Moment<'_>, account: &Arena, phase: impl Fn(&Reads) -> &Phase) {
        let Moment { set, profiles, facts, known } = moment;
        for reads in &set.reads {
            let Phase { totals, features } = phase(reads);
            if features.is_empty() {
                continue;
            }
            let mut each = |arena: &Arena, known: Known<'_>| {
                let view = View::of(set, arena, reads, facts, known.watermarks);
                for number in totals {
                    self.totals[*number] = self.total(&view, *number);
                }
                for i in features {
                    let feature = &set.features[*i];
                    if !known.covers(feature, facts.time) {
                        continue;
                    }
                    let value = self.value(&view, feature);
                    self.values[*i] = feature.slot(value);
                }
            };
            match reads.key {
                Key::Account => each(account, known),
                Key::Entity(entity) => match facts.entity(reads.key) {
                    Some(id) => profiles.with(entity, id, each),
                    // nobody is named, so that nobody has a history
                    None => each(&NOBODY, Known { since: &[], ..known }),
                },
            }
        }
    }

    /// What a feature is, `None` without history.
    #[inline(always)]
    fn value(&mut self, view: &View<'_>, feature: &Feature) -> Option<Value> {
        if view.is_idle[feature.kind as usize] {
            return None;
        }
        match feature.op {
            Op::Total { total, stat } => of_total(&self.totals[total], stat, feature.scale),
            _ => self.other(view, feature),
        }
    }

    fn other(&mut self, view: &View<'_>, feature: &Feature) -> Option<Value> {
        match feature.op {
            Op::Total { total, stat } => of_total(&self.totals[total], stat, feature.scale),
            Op::Share { part, whole, of_sums } => {
                let (part, whole) = (&self.totals[part], &self.totals[whole]);
                let (part, whole) = match of_sums {
                    true => (part.sum, whole.sum),
                    false => (part.count, whole.count),
                };
                (whole != 0).then(|| Value::Float(part as f64 / whole as f64))
            }
            Op::Ratio { total } => {
                let value = view.current(&view.set.totals[total])?;
                let mean = of_total(&self.totals[total], Stat::Mean, feature.scale)?;
                let Value::Float(mean) = mean else { return None };
                (mean != 0.0).then(|| Value::Float(value as f64 / feature.scale / mean))
            }
            Op::ZScore { total } => {
                let value = view.current(&view.set.totals[total])? as f64 / feature.scale;
                let total = &self.totals[total];
                let deviation = of_total(total, Stat::StdDev, feature.scale)?;
                let Value::Float(deviation) = deviation else { return None };
                let mean = total.sum as f64 / total.count as f64 / feature.scale;
                (deviation > 0.0).then(|| Value::Float((value - mean) / deviation))
            }
            Op::Distinct { group, window } => {
                self.texts.clear();
                let entries = view.entries(group, window)?;
                self.texts.extend(entries.map(|entry| entry.value));
                self.texts.sort_unstable();
                self.texts.dedup();
                (!self.texts.is_empty()).then(|| Value::int(self.texts.len()))
            }
            Op::LabelRate { group, window } => {
                let entries = view.entries(group, window)?;
                let all = entries.len();
                let fraud = match view.has_labels() {
                    true => entries.filter(|entry| view.is_fraud(entry.subject)).count(),
                    false => 0,
                };
                (all > 0).then(|| Value::Float(fraud as f64 / all as f64))
            }
            Op::NewestLabel { group, window } => {
                let newest = view.entries(group, window)?.next_back()?;
                Some(Value::Int(i64::from(view.is_fraud(newest.subject))))
            }
            Op::LabelRun { group, window } => {
                let mut entries = view.entries(group, window)?.rev().peekable();
                entries.peek()?;
                Some(Value::int(entries.take_while(|entry| view.is_fraud(entry.subject)).count()))
            }
            Op::LabelRunStart { group, window } => {
                let entries = view.entries(group, window)?.rev();
                let first = entries.take_while(|entry| view.is_fraud(entry.subject)).last()?;
                Some(Value::Float(seconds(view.facts.time - first.time)))
            }
            Op::Last { group, within_ms } => {
                view.last(group, within_ms).map(|(_, value)| match feature.ty {
                    FeatureType::Int => Value::Int(value),
                    FeatureType::Float => Value::Float(value as f64 / feature.scale),
                })
            }
            Op::SinceLast { group, within_ms } => {
                let (time, _) = view.last(group, within_ms)?;
                Some(Value::Float(seconds(view.facts.time - time)))
            }
            Op::FirstSeen { group } => {
                let first = view.set.group(group).tally?.first(view.arena)?;
                (first <= view.facts.time).then(|| Value::Float(seconds(view.facts.time - first)))
            }
            Op::RobustMean { group, running } => {
                let carried = view.set.group(group).runnings[running].get(view.arena)?;
                Some(Value::Float(carried.mean))
            }
            Op::Cusum { group, running } => {
                let carried = view.set.group(group).runnings[running].get(view.arena)?;
                Some(Value::Float(carried.deviations))
            }
        }
    }

    fn total(&self, view: &View<'_>, number: usize) -> Total {
        let plan = &view.set.totals[number];
        let next = match self.counted {
            Some(counted) if plan.read_before => view.next(plan, &self.totals[number], counted),
            _ => None,
        };
        let Some(next) = next else { return view.total(plan) };
        debug_assert_eq!(next.seen(plan.wants), view.total(plan).seen(plan.wants));
        next
    }
}

impl<'a> View<'a> {
    fn of(
        set: &'a FeatureSet,
        arena: &'a Arena,
        reads: &Reads,
        facts: &'a Facts,
        watermarks: &'a Watermarks,
    ) -> View<'a> {
        let Reads { key, ref kinds, .. } = *reads;
        let is_past = |newest: Region, watermark: i64| {
            let oldest = watermark.saturating_sub(set.retention_ms);
            newest.get(arena).first().is_some_and(|newest| *newest <= oldest)
        };
        let mut is_idle = [true; KINDS];
        if !arena.is_empty() {
            for kind in kinds {
                is_idle[*kind] = match key {
                    Key::Account => is_past(set.sections[*kind].seen, watermarks.0[*kind]),
                    key => is_past(set.entity_newest[key.index()], watermarks.newest()),
                };
            }
        }
        View { set, arena, key, facts, watermarks, is_idle }
    }

    fn total(&self, plan: &TotalPlan) -> Total {
        let span = self.span(plan.group, plan.window, plan.kept.retention_ms());
        match &plan.kept {
            Kept::Grid(grid) => grid.total(self.arena, span),
            Kept::Ring(ring) => ring.total(self.arena, span, plan.wants),
        }
    }

    /// What became of a total by the event alone, `None` where that takes to look again. `counted`: the
    /// groups that it counts in.
    fn next(&self, plan: &TotalPlan, known: &Total, counted: u64) -> Option<Total> {
        let TotalPlan { group, field, ref kept, window, .. } = *plan;
        if self.key != Key::Account {
            // others may have met it meanwhile
            return None;
        }
        if group.kind != self.facts.kind as usize || counted >> group.group & 1 == 0 {
            return Some(*known);
        }
        let span = self.span(group, window, kept.retention_ms());
        let is_within = window.delay_ms == 0
            && match kept {
                Kept::Grid(grid) => grid.begins_before(span, self.facts.time),
                Kept::Ring(ring) => span.after < self.facts.time && !ring.is_full(self.arena),
            };
        is_within.then(|| known.with(self.facts.value(field)))
    }

    /// What a window covers at the event, as far as anything is kept.
    fn span(&self, group: GroupRef, window: Window, retention_ms: i64) -> Span {
        let until = self.facts.time.saturating_sub(window.delay_ms);
        let kept = self.watermarks.0[group.kind].saturating_sub(retention_ms);
        Span { after: until.saturating_sub(window.length_ms).max(kept), until }
    }

    fn entries(
        &self,
        group: GroupRef,
        window: Window,
    ) -> Option<impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + use<'a>> {
        let ring = self.set.group(group).ring?;
        Some(ring.entries(self.arena, self.span(group, window, ring.retention_ms)))
    }

    /// Whether anything at all has been said of payments here.
    fn has_labels(&self) -> bool {
        let is_there = |labels: Labels| !labels.region.get(self.arena).is_empty();
        match self.key {
            Key::Account => {
                self.set.sections.iter().filter_map(|section| section.labels).any(is_there)
            }
            key => self.set.entity_labels[key.index()].is_some_and(is_there),
        }
    }

    /// Whether a payment is known to be fraud by now: the newest verdict counts.
    fn is_fraud(&self, payment: i64) -> bool {
        let (arena, now) = (self.arena, self.facts.time);
        let oldest = |watermark: i64| watermark.saturating_sub(self.set.retention_ms);
        let found = match self.key {
            Key::Account => {
                let sections = self.set.sections.iter().zip(self.watermarks.0);
                let find = |(section, watermark): (&SectionPlan, i64)| {
                    section.labels?.find(arena, payment, oldest(watermark), now)
                };
                sections.filter_map(find).max()
            }
            key => {
                let oldest = oldest(self.watermarks.newest());
                let labels = self.set.entity_labels[key.index()];
                labels.and_then(|labels| labels.find(arena, payment, oldest, now))
            }
        };
        found.is_some_and(|(_, verdict)| verdict == Verdict::Fraud as i64)
    }

    /// Time and value of the last one before the event, if it was not too long ago.
    fn last(&self, group: GroupRef, within_ms: i64) -> Option<(i64, i64)> {
        let last = self.set.group(group).tally?.last(self.arena)?;
        let ago = self.facts.time.saturating_sub(last.0);
        (0..within_ms).contains(&ago).then_some(last)
    }

    /// The event's own value, where it is one of those that are added up.
    fn current(&self, total: &TotalPlan) -> Option<i64> {
        let TotalPlan { group, field, .. } = *total;
        let is_one =
            self.facts.kind as usize == group.kind && self.facts.matched >> group.group & 1 == 1;
        is_one.then(|| self.facts.value(field))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Int(i64),
    Float(f64),
}

impl Value {
    fn int(count: usize) -> Value {
        Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl Feature {
    #[inline(always)]
    fn slot(&self, value: Option<Value>) -> Slot<'static> {
        match (self.ty, value) {
            (FeatureType::Int, Some(Value::Int(value))) => Slot::Int(value),
            (FeatureType::Int, Some(Value::Float(value))) => Slot::Int(value as i64),
            (FeatureType::Float, Some(Value::Float(value))) => Slot::Float(value),
            (FeatureType::Float, Some(Value::Int(value))) => Slot::Float(value as f64),
            (FeatureType::Int, None) => {
                self.empty.map_or(Slot::Null, |empty| Slot::Int(empty as i64))
            }
            (FeatureType::Float, None) => self.empty.map_or(Slot::Null, Slot::Float),
        }
    }
}

#[inline(always)]
fn of_total(total: &Total, stat: Stat, scale: f64) -> Option<Value> {
    if total.count == 0 {
        return None;
    }
    let count = total.count as f64;
    Some(match stat {
        Stat::Count => Value::Int(total.count),
        Stat::Sum => scaled(total.sum, scale),
        Stat::Min => scaled(total.min, scale),
        Stat::Max => scaled(total.max, scale),
        Stat::Mean => Value::Float(total.sum as f64 / count / scale),
        Stat::StdDev => {
            if total.count < 2 {
                return None;
            }
            // n · Σx² - (Σx)², exactly, before anything is rounded
            let (n, sum) = (i128::from(total.count), i128::from(total.sum));
            let spread = n.wrapping_mul(total.squares).wrapping_sub(sum.wrapping_mul(sum));
            Value::Float((spread.max(0) as f64 / (count * (count - 1.0))).sqrt() / scale)
        }
    })
}

fn scaled(value: i64, scale: f64) -> Value {
    match scale == Field::UNSCALED {
        true => Value::Int(value),
        false => Value::Float(value as f64 / scale),
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
