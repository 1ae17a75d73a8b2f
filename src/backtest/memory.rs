//! What remembers: one thread takes all events in, in their order, and hands out what is to be scored.

use std::collections::BTreeMap;

use crossbeam_channel::Sender;

use super::arrival::{Arrival, Batch, Read, Refused, refuse, write_key};
use super::order::{NoOrder, Order};
use super::truth::{Said, Truth};
use super::{BacktestError, Plan};
use crate::codec::Refusal;
use crate::event::{Kind, Mark, Millis, Slot};
use crate::state::{Came, Features, Found, Means, Profiles, Seen, State};

/// Events whose accounts are fetched from memory together.
const GROUP: usize = 16;
/// Events scored at once.
const BATCH_EVENTS: usize = 256;
/// Events between two looks for what nobody can read any more.
const EXPIRE_EVERY: u64 = 4_096;

/// Events to be scored, with what was remembered at each.
#[derive(Debug)]
pub(super) struct Work {
    /// place in the order, from 0
    pub(super) number: u64,
    pub(super) arrivals: Batch,
    /// of all of them, one after another
    pub(super) features: Vec<Slot<'static>>,
}

/// What was read and taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// rows of all inputs, those left out included
    pub rows: u64,
    /// rows that make no event, and what is wrong with the first
    pub bad: u64,
    /// see `bad`
    pub first_bad: Option<String>,
    /// rows left out on purpose, by reason
    pub skipped: BTreeMap<String, u64>,
    /// events made of rows
    pub events: u64,
    /// new events that were taken in, by kind
    pub taken: BTreeMap<&'static str, u64>,
    /// events that were seen before
    pub duplicates: u64,
    /// what would be dead letters, by stage and code: how many, and what is wrong with the first
    pub refused: BTreeMap<(&'static str, &'static str), (u64, String)>,
    /// events so late that windows were not kept whole for them
    pub late: u64,
    /// events that came so late in their file that they could not be put before later ones
    pub out_of_turn: u64,
}

/// What remembers.
pub(super) struct Memory<'p> {
    plan: &'p Plan,
    state: State,
    profiles: Profiles,
    features: Features,
    marks: Vec<Mark>,
    key: String,
    work: Work,
    out: Sender<Work>,
    /// one for each batch that is handed out and not yet collected
    credit: Sender<()>,
    tally: Tally,
    said: Vec<Said>,
}

/// That nobody wants any more of it.
struct Gone;

impl<'p> Memory<'p> {
    pub(super) fn new(plan: &'p Plan, out: Sender<Work>, credit: Sender<()>) -> Memory<'p> {
        Memory {
            plan,
            state: State::default(),
            profiles: Profiles::default(),
            features: Features::default(),
            marks: Vec::new(),
            key: String::new(),
            work: Work { number: 0, arrivals: Vec::new(), features: Vec::new() },
            out,
            credit,
            tally: Tally::default(),
            said: Vec::new(),
        }
    }

    /// Takes everything in.
    pub(super) fn run(mut self, mut order: Order) -> Result<(Tally, Vec<Said>), BacktestError> {
        let mut group = Vec::with_capacity(GROUP);
        let mut until_expiry = EXPIRE_EVERY;
        loop {
            match self.gather(&mut order, &mut group) {
                Ok(()) if group.is_empty() => break,
                Ok(()) => {}
                Err(NoOrder::TooFarAhead(error)) => return Err(error.into()),
                Err(NoOrder::Cut) => return Ok((self.tally, self.said)),
            }
            until_expiry = until_expiry.saturating_sub(group.len() as u64);
            for arrival in group.drain(..) {
                if let Err(Gone) = self.take(arrival) {
                    return Ok((self.tally, self.said));
                }
            }
            if until_expiry == 0 {
                until_expiry = EXPIRE_EVERY;
                self.state.expire_next(&self.plan.features, self.plan.horizon);
                self.profiles.expire_next(&self.plan.features);
            }
        }
        self.tally.out_of_turn = order.out_of_turn();
        // whoever is gone has failed and says so itself
        let _gone = self.hand_out();
        Ok((self.tally, self.said))
    }

    /// The next events, with what they will change on its way into the cache.
    fn gather(&self, order: &mut Order, group: &mut Batch) -> Result<(), NoOrder> {
        while group.len() < GROUP
            && let Some(arrival) = order.next()?
        {
            group.push(arrival);
        }
        let found: Vec<Found<'_>> =
            group.iter().map(|arrival| self.state.find(arrival.account)).collect();
        found.into_iter().for_each(Found::fetch);
        self.profiles.fetch(group.iter().map(|arrival| &arrival.facts));
        Ok(())
    }

    fn take(&mut self, arrival: Box<Arrival>) -> Result<(), Gone> {
        let Arrival { ref event, ref facts, account, payload, .. } = *arrival;
        let (kind, time) = (event.kind(), event.event_time());
        write_key(event, &mut self.key);
        let means = Means {
            set: &self.plan.features,
            profiles: &self.profiles,
            inline: true,
            horizon: self.plan.horizon,
        };
        // a hash of the payload tells repetition from conflict as the payload itself does
        let came = Came { payload: &payload.to_le_bytes(), written: time };
        let (features, marks) = (&mut self.features, &mut self.marks);
        let whose = (self.key.as_str(), account);
        let applied = self.state.take_in(means, whose, event, facts, came, features, marks);
        match applied.seen {
            Seen::New => {}
            Seen::Duplicate => {
                self.tally.duplicates += 1;
                return Ok(());
            }
            Seen::Conflict => {
                let place = || format!("{} of {}", kind.label(), self.key);
                refuse(&mut self.tally.refused, &Refusal::conflict(event), place);
                return Ok(());
            }
        }
        *self.tally.taken.entry(kind.label()).or_default() += 1;
        self.tally.late += u64::from(applied.late);
        if self.plan.truth == Truth::Disputes
            && let Some(said) = Said::by(event, &self.key)
        {
            self.said.push(said);
        }
        if kind == Kind::Label || !self.is_measured(time) {
            return Ok(());
        }
        self.work.features.extend_from_slice(self.features.values());
        self.work.arrivals.push(arrival);
        match self.work.arrivals.len() {
            BATCH_EVENTS => self.hand_out(),
            _ => Ok(()),
        }
    }

    fn is_measured(&self, time: Millis) -> bool {
        let Plan { from, to, .. } = self.plan;
        from.is_none_or(|from| from <= time) && to.is_none_or(|to| time < to)
    }

    fn hand_out(&mut self) -> Result<(), Gone> {
        let next = Work {
            number: self.work.number + 1,
            arrivals: Vec::with_capacity(BATCH_EVENTS),
            features: Vec::with_capacity(BATCH_EVENTS * self.plan.features.len()),
        };
        let work = std::mem::replace(&mut self.work, next);
        self.credit.send(()).map_err(|_| Gone)?;
        self.out.send(work).map_err(|_| Gone)
    }
}

impl Tally {
    pub(super) fn add_read(&mut self, read: Read) {
        let Read { rows, events, bad, first_bad, skipped, refused } = read;
        self.rows += rows;
        self.events += events;
        self.bad += bad;
        self.first_bad = self.first_bad.take().or(first_bad);
        for (reason, rows) in skipped {
            *self.skipped.entry(reason).or_default() += rows;
        }
        self.add_refused(refused);
    }

    /// Adds what was taken; what was said is handed on.
    pub(super) fn add_taken(&mut self, (taken, said): (Tally, Vec<Said>)) -> Vec<Said> {
        let Tally { taken, duplicates, refused, late, out_of_turn, .. } = taken;
        self.taken = taken;
        self.duplicates = duplicates;
        self.late = late;
        self.out_of_turn = out_of_turn;
        self.add_refused(refused);
        said
    }

    fn add_refused(&mut self, refused: Refused) {
        for (why, (count, first)) in refused {
            self.refused.entry(why).or_insert((0, first)).0 += count;
        }
    }
}
