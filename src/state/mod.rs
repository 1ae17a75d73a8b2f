//! What weir remembers: of each account, owned by the worker of its partition, and of the other entities
//! that events name, in one table for the process. `docs/state.md` says what is promised.
//!
//! ```text
//!  features.toml ─► FeatureSet: what is kept, where, and how it is read
//!  event ─► Facts ─► State: sections of the account ─┐
//!             └────► touch ─► Profiles               ├─► Features: values for the decision
//!                               └────────────────────┘
//! ```
//!
//! A section of an account is written only by records of its own topic, in offset order, so that the
//! state is a function of each partition's log and does not depend on how topics interleave; a decision
//! reads all sections and joins there. There is no changelog: the state is rebuilt by decoding,
//! deduplicating and applying the input again.

mod account;
mod arena;
mod capture;
mod deadlines;
mod declare;
mod dedupe;
mod facts;
mod grid;
mod items;
mod labels;
mod profiles;
mod read;
mod ring;
mod running;
mod set;
mod shards;
mod tally;
#[cfg(test)]
mod tests;
mod window;

pub use account::{Applied, Came, Watermarks};
pub use capture::BodyError;
pub use deadlines::Due;
pub use dedupe::{Horizon, Seen};
pub use facts::Facts;
pub use profiles::Profiles;
pub use read::Features;
pub use set::{FeatureSet, FeatureType};
pub use shards::Range;

use self::arena::Arena;
use self::capture::Writer;
use self::deadlines::Schedule;
use self::facts::key_hash;
use self::read::{Known, Moment};
use self::shards::Shards;
use crate::config::Deadlines;
use crate::event::{Event, Fired, Kind, Mark, Millis};

/// The accounts of one partition.
#[derive(Debug, Default)]
pub struct State {
    shards: Shards,
    watermarks: Watermarks,
    /// by region of an account, since when it is kept; empty: ever since
    since: Vec<i64>,
    /// which deadline is due next
    schedule: Schedule,
}

impl State {
    /// Finds an account, of which an event is about to be applied, and has it fetched into the cache: in
    /// two steps, so that of several accounts each step may go on at once.
    pub fn find(&self, key: u128) -> Found<'_> {
        Found(self.shards.get(key))
    }

    /// Reads what is known before an event, applies it, and says whether it was new. `key` is
    /// [`State::key`] of its account. Once its touch is applied too, [`State::read`] has the rest.
    #[allow(clippy::too_many_arguments, reason = "each is a thing of its own, and named")]
    pub fn apply(
        &mut self,
        set: &FeatureSet,
        key: u128,
        event: &Event<'_>,
        facts: &Facts,
        came: Came<'_>,
        horizon: Horizon,
        before: Option<(&mut Features, &Profiles)>,
    ) -> Applied {
        let mut watermarks = self.watermarks;
        let watermark = watermarks.pass(facts.kind as usize, facts.time);
        let known = Known { watermarks: &watermarks, since: &self.since };
        let applied = self.shards.change(key, |arena| {
            let Some((features, profiles)) = before else {
                return set.apply(arena, event, facts, came, horizon, watermark);
            };
            features.before(Moment { set, profiles, facts, known }, arena);
            let applied = set.apply(arena, event, facts, came, horizon, watermark);
            features.applied(applied);
            applied
        });
        // one that becomes a dead letter must leave no trace: a restore does not read it
        if applied.seen == Seen::New {
            self.watermarks = watermarks;
            if event.kind() == Kind::Dispute {
                self.schedule.hear(key, facts.subject);
            }
        }
        applied
    }

    /// Takes an event in, unless it was seen before: applies it, notes what of it counts under other keys
    /// than the account, and reads what a decision about it is made from. `account` is
    /// `tenant/account_id`, `key` its [`State::key`].
    #[allow(clippy::too_many_arguments, reason = "each is a thing of its own, and named")]
    pub fn take_in(
        &mut self,
        means: Means<'_>,
        (account, key): (&str, u128),
        event: &Event<'_>,
        facts: &Facts,
        came: Came<'_>,
        features: &mut Features,
        marks: &mut Vec<Mark>,
    ) -> Applied {
        let Means { set, profiles, inline, horizon } = means;
        let before = Some((&mut *features, profiles));
        let applied = self.apply(set, key, event, facts, came, horizon, before);
        if applied.seen != Seen::New {
            return applied;
        }
        set.marks(facts, applied, marks);
        if inline && facts.entities().next().is_some() {
            profiles.apply_own(set, event, account, facts, marks);
        }
        if event.kind() != Kind::Label {
            self.read(set, key, facts, features, profiles);
        }
        applied
    }

    /// Reads what is known once the event is applied.
    pub fn read(
        &self,
        set: &FeatureSet,
        key: u128,
        facts: &Facts,
        features: &mut Features,
        profiles: &Profiles,
    ) {
        let known = Known { watermarks: &self.watermarks, since: &self.since };
        features.after(Moment { set, profiles, facts, known }, self.shards.get(key));
    }

    /// Reads what is known of an account at the newest event time, which is returned; `None`: nothing.
    pub fn show(
        &self,
        set: &FeatureSet,
        key: u128,
        features: &mut Features,
        profiles: &Profiles,
    ) -> Option<Millis> {
        let arena = self.shards.get(key);
        let newest = Some(self.watermarks.newest()).filter(|_| !arena.is_empty())?;
        let facts = Facts::at(newest);
        let known = Known { watermarks: &self.watermarks, since: &self.since };
        let moment = Moment { set, profiles, facts: &facts, known };
        features.before(moment, arena);
        features.after(moment, arena);
        Some(Millis(newest))
    }

    /// Remembers an escalation of an account.
    pub fn escalated(&mut self, set: &FeatureSet, key: u128, event_time: Millis) {
        self.shards.change(key, |arena| set.escalated(arena, event_time));
    }

    /// Forgets what events of this kind have said of an account; what comes after counts as on a new one.
    /// Time stays where it is: it says nothing of anybody. Deadlines of its disputes are not found when
    /// they are due.
    pub fn erase(&mut self, set: &FeatureSet, key: u128, kind: Kind) {
        self.shards.reduce(key, |arena| set.erase(arena, kind));
    }

    /// Forgets the escalations of an account.
    pub fn erase_escalated(&mut self, set: &FeatureSet, key: u128) {
        self.shards.reduce(key, |arena| set.erase_escalated(arena));
    }

    /// Notes a stage of a deadline that fired in an earlier life.
    pub fn has_fired(&mut self, fired: &Fired<'_>, deadlines: &Deadlines) {
        self.schedule.has_fired(fired, deadlines);
    }

    /// The next stage of a deadline that is due at `now`. It is returned once.
    pub fn fire(&mut self, set: &FeatureSet, deadlines: &Deadlines, now: Millis) -> Option<Due> {
        if !self.schedule.is_due(now) {
            return None;
        }
        let shards = &self.shards;
        let find = |(key, subject)| deadlines::find(set, shards.get(key), subject);
        self.schedule.fire(deadlines, now, find)
    }

    /// Whether a stage of a deadline may be due at `now`.
    pub fn is_due(&self, now: Millis) -> bool {
        self.schedule.is_due(now)
    }

    /// Stages of deadlines that wait for their time.
    pub fn scheduled(&self) -> usize {
        self.schedule.len()
    }

    /// Notes that an event passed which is in the state already: time goes on by it.
    pub fn pass(&mut self, event: &Event<'_>) {
        self.watermarks.pass(event.kind() as usize, event.event_time().0);
    }

    /// The parts that changed since they were captured last, each a range of accounts.
    pub fn changed(&self) -> Vec<Range> {
        self.shards.changed().collect()
    }

    /// All parts that the state is split in.
    pub fn ranges(&self) -> Vec<Range> {
        self.shards.ranges().collect()
    }

    /// The bytes of one part, from which [`State::load`] has it again. `None` where it was split.
    pub fn capture(&mut self, set: &FeatureSet, range: Range, horizon: Horizon) -> Option<Vec<u8>> {
        let (watermarks, since) = (self.watermarks, &self.since);
        let expire = |arena: &mut Arena| set.expire(arena, &watermarks, horizon);
        self.shards.capture(range, expire, |accounts, bytes| {
            let mut writer = Writer::begin(set.account_layout(), &watermarks, since, bytes);
            accounts.for_each(|(key, arena)| writer.add(*key, arena));
            writer.finish()
        })
    }

    /// Takes out of one part, each in its turn, what no reader can see any more: for whoever captures none.
    pub fn expire_next(&mut self, set: &FeatureSet, horizon: Horizon) {
        let watermarks = self.watermarks;
        self.shards.expire_next(|arena| set.expire(arena, &watermarks, horizon));
    }

    /// Takes in what was captured of those accounts that `wanted` says. What is there of them already
    /// is replaced.
    ///
    /// # Errors
    /// When these are no bytes of a state; then a part of it may have been taken in.
    pub fn load(
        &mut self,
        set: &FeatureSet,
        body: &[u8],
        wanted: impl Fn(u128) -> bool,
    ) -> Result<(), BodyError> {
        let mut reader = capture::Reader::begin(body, set.account_layout())?;
        reader.since_into(&mut self.since);
        while let Some((key, mut arena)) = reader.next()? {
            if wanted(key) {
                set.settle(&mut arena);
                set.open_disputes(&arena).iter().for_each(|open| self.schedule.hear(key, *open));
                self.shards.insert(key, arena);
            }
        }
        Ok(())
    }

    /// Begins at the watermarks that were captured with a part.
    ///
    /// # Errors
    /// When these are no bytes of a state.
    pub fn begin_at(&mut self, set: &FeatureSet, body: &[u8]) -> Result<(), BodyError> {
        self.watermarks = capture::Reader::begin(body, set.account_layout())?.watermarks;
        Ok(())
    }

    /// The key under which an account (`tenant/account_id`) is kept.
    pub fn key(account: &str) -> u128 {
        key_hash(account)
    }

    /// Number of accounts.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of all accounts in bytes, keys included, the tables' own spare room not.
    pub fn bytes(&self) -> usize {
        self.shards.bytes()
    }

    /// Hashes of everything that can still be read, equal for equal states however they came about: of
    /// what the input says, and of what was read back of weir's own escalations.
    pub fn hashes(&self, set: &FeatureSet, horizon: Horizon) -> [u64; 2] {
        [false, true].map(|of_read_back| {
            self.shards.hash(|arena| {
                set.expire(arena, &self.watermarks, horizon) && set.part(arena, of_read_back)
            })
        })
    }
}

/// By what an event is taken in.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// what is kept and read
    pub set: &'a FeatureSet,
    /// of whom the event meets
    pub profiles: &'a Profiles,
    /// whether they take the event up at once; where somebody else keeps them, its touch brings it there
    pub inline: bool,
    /// how far back repeated events are recognised
    pub horizon: Horizon,
}

/// An account that was found, not yet in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a>(&'a Arena);

impl Found<'_> {
    /// Has fetched what an event will meet of it.
    pub fn fetch(self) {
        self.0.fetch_ends();
    }
}

impl FeatureSet {
    /// What an event that was applied counts in under other keys than the account: its touch's marks.
    pub fn marks(&self, facts: &Facts, applied: Applied, into: &mut Vec<Mark>) {
        into.clear();
        for (i, group) in self.kinds[facts.kind as usize].groups.iter().enumerate() {
            if applied.counted >> i & 1 == 1 && group.key != set::Key::Account {
                into.push(Mark { group: group.id, value: facts.value(group.field) });
            }
        }
    }
}
