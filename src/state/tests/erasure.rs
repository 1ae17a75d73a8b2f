//! Tombstones of accounts: what is left is what a twin has that never met what they erase.

use super::*;

/// What a tombstone takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Of(Kind),
    Escalations,
}

/// A record as the owner of its account meets it.
#[derive(Clone, Debug)]
enum Met {
    Event(String, Happened),
    Escalated(u8, i64),
    Tombstone(u8, Section),
}

impl Met {
    fn place(&self) -> (u8, Section) {
        match self {
            Met::Event(_, happened) => {
                let (account, kind) = match happened {
                    Happened::Paid(paid) => (paid.account, Kind::Transaction),
                    Happened::Said(_, paid, _, true) => (paid.account, Kind::Dispute),
                    Happened::Said(_, paid, _, false) => (paid.account, Kind::Label),
                };
                (account, Section::Of(kind))
            }
            Met::Escalated(account, _) => (*account, Section::Escalations),
            Met::Tombstone(account, section) => (*account, *section),
        }
    }

    fn key(&self) -> u128 {
        State::key(["t/a", "t/b"][usize::from(self.place().0)])
    }

    /// Whether it was new.
    fn meet(&self, set: &FeatureSet, horizon: Horizon, state: &mut State) -> bool {
        match self {
            Met::Event(id, happened) => {
                let account = ["a", "b"][usize::from(self.place().0)];
                let event = event(id, happened, account, "x");
                let facts = set.facts(&event);
                state.apply(set, self.key(), &event, &facts, SAME, horizon, None).seen == Seen::New
            }
            Met::Escalated(_, time) => {
                state.escalated(set, self.key(), Millis(*time));
                true
            }
            Met::Tombstone(_, Section::Of(kind)) => {
                state.erase(set, self.key(), *kind);
                false
            }
            Met::Tombstone(_, Section::Escalations) => {
                state.erase_escalated(set, self.key());
                false
            }
        }
    }
}

/// Every third event escalates; tombstones stand where they were drawn.
fn met(steps: &[Step], tombstones: &[(prop::sample::Index, u8, u8)]) -> Vec<Met> {
    let sections = [Kind::Transaction, Kind::Dispute, Kind::Label].map(Section::Of);
    let mut all = Vec::new();
    for (i, (id, happened)) in happened(steps).into_iter().enumerate() {
        let (Happened::Paid(paid) | Happened::Said(_, paid, ..)) = &happened;
        let escalated = Met::Escalated(paid.account, paid.time);
        all.push(Met::Event(id, happened));
        if i % 3 == 0 {
            all.push(escalated);
        }
    }
    for (at, account, section) in tombstones {
        let section = sections.get(usize::from(*section)).copied().unwrap_or(Section::Escalations);
        all.insert(at.index(all.len() + 1), Met::Tombstone(*account, section));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_state_with_tombstones_is_that_of_a_twin_which_never_met_what_they_erase(
        steps in steps(),
        tombstones in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..2, 0u8..4), 0..6),
        seed in any::<u64>(),
    ) {
        let (set, horizon) = (set(), Horizon { ids: 8, age_ms: 20 * DAY_MS });
        let all = met(&steps, &tombstones);
        let mut state = State::default();
        let new: Vec<bool> = all.iter().map(|met| met.meet(&set, horizon, &mut state)).collect();

        let mut twin = State::default();
        for (i, met) in all.iter().enumerate() {
            let is_tombstone = |met: &Met| matches!(met, Met::Tombstone(..));
            let is_erased =
                all[i..].iter().any(|later| is_tombstone(later) && later.place() == met.place());
            match met {
                Met::Tombstone(..) => {}
                Met::Event(id, happened) if is_erased => {
                    // time goes on by it, whoever it was about
                    if new[i] {
                        twin.pass(&event(id, happened, "a", "x"));
                    }
                }
                _ if is_erased => {}
                _ => prop_assert_eq!(met.meet(&set, horizon, &mut twin), new[i]),
            }
        }
        prop_assert_eq!(state.hashes(&set, horizon), twin.hashes(&set, horizon));
        prop_assert_eq!(state.len(), twin.len(), "what nothing is left of is not there");

        // however the topics interleave
        let mut lanes: Vec<Vec<&Met>> = Vec::new();
        for met in &all {
            match lanes.iter_mut().find(|lane| lane[0].place().1 == met.place().1) {
                Some(lane) => lane.push(met),
                None => lanes.push(vec![met]),
            }
        }
        lanes.iter_mut().for_each(|lane| lane.reverse());
        let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
        let mut other = State::default();
        while !lanes.is_empty() {
            let lane = rand::RngExt::random_range(&mut rng, 0..lanes.len());
            if let Some(met) = lanes[lane].pop() {
                met.meet(&set, horizon, &mut other);
            } else {
                lanes.swap_remove(lane);
            }
        }
        prop_assert_eq!(other.hashes(&set, horizon), state.hashes(&set, horizon));
        prop_assert_eq!(other.len(), state.len());
    }
}

#[test]
fn an_account_that_is_erased_takes_no_memory_and_is_in_no_capture_any_more() {
    let (set, horizon) = (set(), Horizon::default());
    let paid = Paid::plain("t1".into(), T0);
    let mut state = State::default();
    let all = [
        Met::Event("e1".into(), Happened::Paid(paid.clone())),
        Met::Event("e2".into(), Happened::Said(T0, paid.clone(), true, false)),
        Met::Event("e3".into(), Happened::Said(T0, paid, true, true)),
        Met::Escalated(0, T0),
    ];
    all.iter().for_each(|met| assert!(met.meet(&set, horizon, &mut state)));
    let range = state.ranges()[0];
    let key = State::key("t/a").to_le_bytes();
    let has_key = |body: &[u8]| body.windows(key.len()).any(|window| window == key);
    assert!(has_key(&state.capture(&set, range, horizon).unwrap()));
    for (at, met) in all.iter().enumerate() {
        assert_eq!(state.len(), 1, "{} sections are left", all.len() - at);
        let (account, section) = met.place();
        Met::Tombstone(account, section).meet(&set, horizon, &mut state);
        assert_eq!(state.changed(), [range], "the next snapshot is without it");
        assert_eq!(has_key(&state.capture(&set, range, horizon).unwrap()), at < 3);
    }
    assert_eq!((state.len(), state.bytes()), (0, 0));
    // of one that is not there too: a snapshot may have it
    Met::Tombstone(0, Section::Escalations).meet(&set, horizon, &mut state);
    assert_eq!((state.len(), state.changed()), (0, vec![range]));
}
