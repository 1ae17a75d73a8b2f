//! Deadlines of open disputes: what is kept of each in its account, and which is due next.
//!
//! ```text
//!  dispute ─► account's region: opened, due, who decided ─┐
//!  weir.fired ─► which stages have fired ─────────────────┴─► schedule ─► due stages, in their order
//! ```
//!
//! The region is a function of the disputes alone, as every section is. What has fired is not in it: that
//! stands on the log, and is read back before anything fires.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::arena::Arena;
use super::facts::{key_hash, subject_hash};
use super::set::FeatureSet;
use super::window::Region;
use crate::config::{Deadlines, When};
use crate::event::{Dispute, DisputeStage, Fired, Kind, Millis, Network, Text, decision_id};

const DAY_MS: i64 = 24 * 3_600_000;
/// Open disputes of one account that are watched; the one that was heard of first gives way.
const OPEN_MAX: usize = 64;
/// How long past its deadline a dispute that nobody closed is kept.
const KEPT_MS: i64 = 180 * DAY_MS;
/// Words before the texts of a dispute.
const HEAD: usize = 9;
/// Bytes that tenant, account and dispute may have together: three ids of the contract.
const TEXT_BYTES_MAX: usize = 3 * 256;
/// Words of the region at most.
pub(super) const WORDS_MAX: usize = OPEN_MAX * (HEAD + TEXT_BYTES_MAX / 8 + 1);

/// One open dispute, as its words.
///
/// ```text
///  words │ lengths of three texts, 16 bits each;  subject;  opened_at;  due_by;  written;  event_time;
///  stage, network;  decision id, 2 words;  the texts
/// ```
#[derive(Clone, Copy)]
pub(super) struct Open<'a>(&'a [i64]);

const STAGES: [DisputeStage; 4] = [
    DisputeStage::EarlyWarning,
    DisputeStage::Inquiry,
    DisputeStage::Chargeback,
    DisputeStage::PreArbitration,
];
const NETWORKS: [Network; 5] =
    [Network::Visa, Network::Mastercard, Network::Amex, Network::Discover, Network::Other];

impl<'a> Open<'a> {
    fn lengths(self) -> [usize; 4] {
        let word = self.0[0].cast_unsigned();
        [0, 16, 32, 48].map(|shift| (word >> shift & 0xffff) as usize)
    }

    fn subject(self) -> i64 {
        self.0[1]
    }

    fn stage(self) -> DisputeStage {
        let number = (self.0[6] & 0xff) as usize;
        STAGES.get(number).copied().unwrap_or(DisputeStage::Chargeback)
    }

    fn network(self) -> Network {
        let number = (self.0[6] >> 8 & 0xff) as usize;
        NETWORKS.get(number).copied().unwrap_or(Network::Other)
    }

    fn decision_id(self) -> Uuid {
        let [high, low] = [self.0[7], self.0[8]].map(i64::cast_unsigned);
        Uuid::from_u64_pair(high, low)
    }

    /// Tenant, account and dispute.
    fn texts(self) -> [String; 3] {
        let bytes: Vec<u8> = self.0[HEAD..].iter().flat_map(|word| word.to_le_bytes()).collect();
        let [_, lengths @ ..] = self.lengths();
        let mut at = 0;
        lengths.map(|length| {
            let text = bytes.get(at..at + length).unwrap_or_default();
            at += length;
            String::from_utf8_lossy(text).into_owned()
        })
    }

    /// When it is forgotten, by event time.
    fn kept_until(self) -> i64 {
        let [opened, due] = [self.0[2], self.0[3]];
        due.max(opened).saturating_add(KEPT_MS)
    }

    /// The deadline, if it has one: its own or its network's, whichever is sooner.
    fn due_at(self, deadlines: &Deadlines) -> Option<i64> {
        let days = match self.network() {
            Network::Visa => deadlines.days.visa,
            Network::Mastercard => deadlines.days.mastercard,
            Network::Amex => deadlines.days.amex,
            Network::Discover => deadlines.days.discover,
            Network::Other => deadlines.days.other,
        };
        // a warning comes before the network's clock has started
        let days = days.filter(|_| self.stage() != DisputeStage::EarlyWarning);
        let of_network = days.map(|days| self.0[2].saturating_add(i64::from(days) * DAY_MS));
        let own = Some(self.0[3]).filter(|due| *due != i64::MIN);
        [own, of_network].into_iter().flatten().min()
    }

    /// When its stages fire, in that order, and the number of each: those that are still to come when
    /// weir hears of it, for what was due before is the decision's to say.
    fn moments(self, deadlines: &Deadlines) -> Vec<(i64, u8)> {
        let Some(due) = self.due_at(deadlines) else { return Vec::new() };
        let (opened, written) = (self.0[2], self.0[4]);
        let time = due.saturating_sub(opened);
        let moments = deadlines.stages.iter().zip(0..).map(|(stage, number)| match stage.when {
            When::Gone(percent) => (opened.saturating_add(time / 100 * percent), number),
            When::Left(left) => (due.saturating_sub(left), number),
        });
        let mut moments: Vec<(i64, u8)> =
            moments.filter(|(at, _)| *at > written && *at > opened).collect();
        moments.sort_unstable();
        moments
    }
}

fn entries(words: &[i64]) -> impl Iterator<Item = Open<'_>> {
    let mut rest = words;
    std::iter::from_fn(move || {
        let length = (*rest.first()? & 0xffff) as usize;
        let (entry, left) = rest.split_at_checked(length.max(HEAD))?;
        rest = left;
        Some(Open(entry))
    })
}

/// Takes an open dispute down, in place of what was known of it; a closed one is forgotten.
fn watch(region: Region, arena: &mut Arena, dispute: &Dispute<'_>, written: Millis) {
    let Region { at, of } = region;
    let subject = subject_hash(&dispute.dispute_id);
    forget(region, arena, |open| open.subject() == subject);
    let Some(stage) = STAGES.iter().position(|stage| *stage == dispute.stage) else { return };
    if entries(region.get(arena)).count() == OPEN_MAX {
        let first = region.get(arena)[0] & 0xffff;
        tracing::warn!(
            account = &*dispute.account_id,
            "more than {OPEN_MAX} open disputes: the deadline of one is not watched any more"
        );
        arena.remove(at, of, 0..first as usize);
    }
    let network = NETWORKS.iter().position(|network| *network == dispute.network).unwrap_or(4);
    let texts = [&*dispute.tenant, &*dispute.account_id, &*dispute.dispute_id];
    let bytes = texts.concat().into_bytes();
    let length = HEAD + bytes.len().div_ceil(8);
    let lengths = [length, texts[0].len(), texts[1].len(), texts[2].len()];
    let lengths = lengths.iter().rev().fold(0_u64, |word, length| word << 16 | *length as u64);
    let id = decision_id(&dispute.tenant, Kind::Dispute, &dispute.account_id, &dispute.event_id);
    let (high, low) = id.as_u64_pair();
    let mut words = vec![
        lengths.cast_signed(),
        subject,
        dispute.opened_at.0,
        dispute.due_by.map_or(i64::MIN, |due| due.0),
        written.0,
        dispute.event_time.0,
        (stage | network << 8) as i64,
        high.cast_signed(),
        low.cast_signed(),
    ];
    words.extend(bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        i64::from_le_bytes(word)
    }));
    arena.extend(at, of, &words);
}

/// Takes those out that `which` says.
fn forget(region: Region, arena: &mut Arena, which: impl Fn(Open<'_>) -> bool) {
    let mut at = 0;
    loop {
        let Some(open) = entries(&region.get(arena)[at..]).next() else { return };
        let length = open.0.len();
        match which(open) {
            true => arena.remove(region.at, region.of, at..at + length),
            false => at += length,
        }
    }
}

impl FeatureSet {
    /// Takes an open dispute down, or forgets a closed one. `written`: when it came to its topic.
    pub(super) fn watch(&self, arena: &mut Arena, dispute: &Dispute<'_>, written: Millis) {
        watch(self.deadlines, arena, dispute, written);
    }

    /// Forgets what nobody closed. Whether any is left.
    pub(super) fn expire_deadlines(&self, arena: &mut Arena, watermark: i64) -> bool {
        if !self.deadlines.get(arena).is_empty() {
            forget(self.deadlines, arena, |open| open.kept_until() <= watermark);
        }
        !self.deadlines.get(arena).is_empty()
    }

    /// Hashes of an account's open disputes.
    pub(super) fn open_disputes(&self, arena: &Arena) -> Vec<i64> {
        entries(self.deadlines.get(arena)).map(Open::subject).collect()
    }
}

/// A stage that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// what is written of it
    pub fired: Fired<'static>,
    /// whether no other is left after it
    pub is_last: bool,
    /// the decision about the dispute
    pub decision_id: Uuid,
    /// when it was disputed
    pub event_time: Millis,
}

/// Account and dispute.
type Which = (u128, i64);

/// What is due when, of one partition.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// disputes that were heard of since it was looked at last
    heard: Vec<Which>,
    /// the next stage of each: when, whose, which
    next: BTreeSet<(i64, Which, u8)>,
    /// the stages that have fired, by dispute and how far it had come
    fired: HashMap<(Which, DisputeStage), u16>,
}

impl Schedule {
    pub(super) fn hear(&mut self, account: u128, subject: i64) {
        self.heard.push((account, subject));
    }

    /// Notes a stage that has fired, as the log has it.
    pub(super) fn has_fired(&mut self, fired: &Fired<'_>, deadlines: &Deadlines) {
        let account = key_hash(&format!("{}/{}", fired.tenant, fired.account_id));
        let which = (account, subject_hash(&fired.dispute_id));
        let number = deadlines.stages.iter().position(|stage| stage.name == *fired.stage);
        if let Some(number) = number {
            *self.fired.entry((which, fired.dispute_stage)).or_default() |= 1 << number;
        }
    }

    /// Puts what was heard of in its place. `account` has the words of an account.
    fn settle<'a>(&mut self, deadlines: &Deadlines, find: impl Fn(Which) -> Option<Open<'a>>) {
        for which in std::mem::take(&mut self.heard) {
            if let Some(open) = find(which) {
                self.put(which, open, deadlines, (i64::MIN, 0));
            }
        }
    }

    /// Puts the first stage in its place that has not fired and comes after `after`.
    fn put(&mut self, which: Which, open: Open<'_>, deadlines: &Deadlines, after: (i64, u8)) {
        let fired = self.fired.get(&(which, open.stage())).copied().unwrap_or(0);
        let mut moments = open.moments(deadlines).into_iter();
        let next = moments.find(|(at, number)| (*at, *number) > after && fired >> number & 1 == 0);
        if let Some((at, number)) = next {
            self.next.insert((at, which, number));
        }
    }

    /// The next stage that is due at `now`, which counts as fired from now on.
    pub(super) fn fire<'a>(
        &mut self,
        deadlines: &Deadlines,
        now: Millis,
        find: impl Fn(Which) -> Option<Open<'a>>,
    ) -> Option<Due> {
        self.settle(deadlines, &find);
        loop {
            let (at, which, number) = *self.next.first().filter(|(at, ..)| *at <= now.0)?;
            self.next.pop_first();
            // one that was closed, or whose deadline has moved, is in another place or in none
            let Some(open) = find(which) else { continue };
            let moments = open.moments(deadlines);
            if !moments.contains(&(at, number)) {
                continue;
            }
            self.put(which, open, deadlines, (at, number));
            let fired = self.fired.entry((which, open.stage())).or_default();
            if *fired >> number & 1 == 1 {
                continue;
            }
            *fired |= 1 << number;
            let (Some(stage), Some(due)) =
                (deadlines.stages.get(usize::from(number)), open.due_at(deadlines))
            else {
                continue;
            };
            let [tenant, account_id, dispute_id] = open.texts().map(Text::from);
            return Some(Due {
                fired: Fired {
                    tenant,
                    account_id,
                    dispute_id,
                    dispute_stage: open.stage(),
                    stage: Text::from(stage.name.clone()),
                    due_at: Millis(due),
                    fired_at: now,
                },
                is_last: moments.last() == Some(&(at, number)),
                decision_id: open.decision_id(),
                event_time: Millis(open.0[5]),
            });
        }
    }

    /// Whether something is due at `now`, or might be.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        !self.heard.is_empty() || self.next.first().is_some_and(|(at, ..)| *at <= now.0)
    }

    /// Stages that wait for their time.
    pub(super) fn len(&self) -> usize {
        self.next.len()
    }
}

/// The dispute among those of an account.
pub(super) fn find<'a>(set: &FeatureSet, arena: &'a Arena, subject: i64) -> Option<Open<'a>> {
    entries(set.deadlines.get(arena)).find(|open| open.subject() == subject)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::event::Event;
    use crate::state::{Came, Horizon, State};

    const ACCOUNTS: usize = 3;
    const HOUR_MS: i64 = 3_600_000;

    fn deadlines() -> Deadlines {
        Deadlines::default()
    }

    fn dispute(account: usize, number: usize, event: usize) -> Dispute<'static> {
        Dispute {
            event_id: format!("e{event}").into(),
            event_time: Millis(0),
            tenant: "default".into(),
            account_id: format!("a/{account}").into(),
            dispute_id: format!("d{number}").into(),
            transaction_id: "t".into(),
            network: Network::Visa,
            reason_code: "10.4".into(),
            amount_minor: 1,
            currency: "EUR".into(),
            opened_at: Millis(0),
            due_by: None,
            stage: DisputeStage::Chargeback,
            merchant_id: None,
            terminal_id: None,
            card_id: None,
            device_id: None,
            ip: None,
            transaction_time: None,
            narrative: None,
        }
    }

    /// What is known of an open dispute, kept without any cleverness.
    #[derive(Clone)]
    struct Known {
        dispute: Dispute<'static>,
        written: i64,
    }

    impl Known {
        fn moments(&self) -> Vec<(i64, &'static str)> {
            let Dispute { opened_at, due_by, stage, network, .. } = &self.dispute;
            let days = match (network, stage) {
                (_, DisputeStage::EarlyWarning) => None,
                (Network::Visa, _) => Some(30),
                (Network::Amex, _) => Some(20),
                _ => None,
            };
            let network = days.map(|days| opened_at.0 + days * DAY_MS);
            let Some(due) = due_by.map(|due| due.0).into_iter().chain(network).min() else {
                return Vec::new();
            };
            let half = opened_at.0 + (due - opened_at.0) / 100 * 50;
            let moments = [(half, "50%"), (due - 48 * HOUR_MS, "48h"), (due - 24 * HOUR_MS, "24h")];
            let comes = |(at, _): &(i64, &str)| *at > self.written && *at > opened_at.0;
            moments.into_iter().filter(comes).collect()
        }
    }

    /// The state of its own bytes, told what has fired.
    fn again(state: &mut State, set: &FeatureSet, fired: &[Fired<'static>]) -> State {
        let mut next = State::default();
        fired.iter().for_each(|fired| next.has_fired(fired, &deadlines()));
        for range in state.ranges() {
            let body = state.capture(set, range, Horizon::default()).unwrap();
            next.load(set, &body, |_| true).unwrap();
        }
        next
    }

    #[test]
    fn each_stage_fires_once_in_its_time_whatever_is_heard_and_however_often_it_starts_again() {
        let set = FeatureSet::shipped().unwrap();
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut state = State::default();
            let mut open: HashMap<(usize, usize), Known> = HashMap::new();
            let mut fired: Vec<Fired<'static>> = Vec::new();
            let mut done: BTreeSet<(usize, usize, &str, &str)> = BTreeSet::new();
            let mut now = 0;
            for event in 0..80 {
                now += rng.random_range(0..30 * HOUR_MS);
                if rng.random_range(0..12) == 0 {
                    let account = rng.random_range(0..ACCOUNTS);
                    state.erase(&set, State::key(&format!("default/a/{account}")), Kind::Dispute);
                    open.retain(|(of, _), _| *of != account);
                }
                if rng.random_range(0..3) > 0 {
                    let (account, number) =
                        (rng.random_range(0..ACCOUNTS), rng.random_range(0..4_usize));
                    let mut dispute = dispute(account, number, event);
                    dispute.opened_at.0 = now - rng.random_range(0..5 * DAY_MS);
                    dispute.due_by = rng
                        .random::<bool>()
                        .then(|| Millis(now + rng.random_range(-DAY_MS..20 * DAY_MS)));
                    dispute.network = [Network::Visa, Network::Amex, Network::Other]
                        [rng.random_range(0..3_usize)];
                    dispute.stage = [
                        DisputeStage::EarlyWarning,
                        DisputeStage::Chargeback,
                        DisputeStage::Chargeback,
                        DisputeStage::PreArbitration,
                        DisputeStage::Won,
                    ][rng.random_range(0..5_usize)];
                    let key = State::key(&format!("default/a/{account}"));
                    let event = Event::Dispute(dispute.clone());
                    let came = Came { payload: b"any", written: Millis(now) };
                    let facts = set.facts(&event);
                    state.apply(&set, key, &event, &facts, came, Horizon::default(), None);
                    match dispute.stage {
                        DisputeStage::Won => drop(open.remove(&(account, number))),
                        _ => drop(open.insert((account, number), Known { dispute, written: now })),
                    }
                }
                if rng.random_range(0..5) == 0 {
                    state = again(&mut state, &set, &fired);
                }
                let mut expected = Vec::new();
                for ((account, number), known) in &open {
                    let stage = known.dispute.stage.name();
                    for (at, name) in known.moments().into_iter().filter(|(at, _)| *at <= now) {
                        if done.insert((*account, *number, stage, name)) {
                            expected.push((at, *account, *number, name));
                        }
                    }
                }
                let mut found = Vec::new();
                while let Some(due) = state.fire(&set, &deadlines(), Millis(now)) {
                    let one = &due.fired;
                    let account = one.account_id.strip_prefix("a/").unwrap().parse().unwrap();
                    let number = one.dispute_id.strip_prefix('d').unwrap().parse().unwrap();
                    let known = &open[&(account, number)];
                    let moments = known.moments();
                    let name = moments.iter().find(|(_, name)| *name == &*one.stage).unwrap();
                    assert_eq!(one.dispute_stage, known.dispute.stage, "seed {seed}");
                    let id = decision_id(
                        "default",
                        Kind::Dispute,
                        &one.account_id,
                        &known.dispute.event_id,
                    );
                    assert_eq!(due.decision_id, id, "seed {seed}");
                    found.push((name.0, account, number, name.1));
                    fired.push(due.fired);
                }
                assert!(found.is_sorted_by_key(|(at, ..)| *at), "seed {seed}: {found:?}");
                expected.sort_unstable();
                found.sort_unstable();
                assert_eq!(found, expected, "seed {seed}, at {now}");
            }
            assert!(state.fire(&set, &deadlines(), Millis(now)).is_none());
        }
    }

    #[test]
    fn open_disputes_are_bounded_and_forgotten_long_after_their_deadline() {
        let set = FeatureSet::shipped().unwrap();
        let mut arena = Arena::default();
        set.account_layout().open(&mut arena);
        for number in 0..OPEN_MAX + 10 {
            let mut dispute = dispute(0, number, number);
            dispute.account_id = "x".repeat(256).into();
            dispute.due_by = Some(Millis(number as i64));
            set.watch(&mut arena, &dispute, Millis(0));
        }
        assert_eq!(set.open_disputes(&arena).len(), OPEN_MAX);
        assert!(find(&set, &arena, subject_hash("d9")).is_none());
        let open = find(&set, &arena, subject_hash("d10")).unwrap();
        assert_eq!(open.texts()[1], "x".repeat(256));
        assert!(set.expire_deadlines(&mut arena, KEPT_MS + 20));
        assert_eq!(set.open_disputes(&arena).len(), OPEN_MAX - 11);
        assert!(!set.expire_deadlines(&mut arena, KEPT_MS + 1_000));
    }
}
