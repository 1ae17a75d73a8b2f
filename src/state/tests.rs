//! Every aggregate against a naive twin that keeps all events and applies the definition.

mod erasure;

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::FeatureFile;
use crate::event::{
    Channel, Dispute, DisputeStage, Label, Network, Slot, SubjectKind, Text, TouchEvent,
    Transaction, TransactionStatus, Verdict,
};

/// An event's bytes where they do not matter.
const SAME: Came<'_> = Came { payload: b"same", written: Millis(0) };
const DAY_MS: i64 = 24 * 3_600_000;
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
/// As the file says.
const GRACE_MS: i64 = 7 * HOUR_MS;
const T0: i64 = 1_700_000_000_000 / DAY_MS * DAY_MS;

/// One of each aggregate, exact and bucketed, under the account and under its terminal.
const FILE: &str = r#"
retention = "300d"
grace = "7h"
[[feature]]
name = "exact_count"
kind = "transaction"
aggregate = "count"
resolution = "exact"
window = "1d"
where = "status != 'REFUNDED'"
[[feature]]
name = "exact_mean"
kind = "transaction"
aggregate = "mean"
field = "amount_minor"
resolution = "exact"
window = "3d"
delay = "2d"
[[feature]]
name = "exact_stddev"
kind = "transaction"
aggregate = "stddev"
field = "amount_minor"
resolution = "exact"
window = "3d"
[[feature]]
name = "exact_min"
kind = "transaction"
aggregate = "min"
field = "amount_minor"
resolution = "exact"
window = "3d"
[[feature]]
name = "bucket_count"
kind = "transaction"
aggregate = "count"
window = "1d"
where = "status == 'DECLINED'"
empty = 0
[[feature]]
name = "bucket_sum"
kind = "transaction"
aggregate = "sum"
field = "amount_minor"
window = "6h"
resolution = "10m"
[[feature]]
name = "bucket_max"
kind = "transaction"
aggregate = "max"
field = "amount_minor"
window = "4d"
delay = "1d"
[[feature]]
name = "bucket_stddev"
kind = "transaction"
aggregate = "stddev"
field = "amount_minor"
window = "4d"
[[feature]]
name = "distinct_countries"
kind = "transaction"
aggregate = "distinct"
field = "country"
window = "2d"
entries = 8
[[feature]]
name = "share_declined"
kind = "transaction"
aggregate = "share"
of = "status == 'DECLINED'"
window = "2d"
resolution = "exact"
[[feature]]
name = "ratio_amount"
kind = "transaction"
aggregate = "ratio"
field = "amount_minor"
window = "3d"
resolution = "exact"
[[feature]]
name = "zscore_amount"
kind = "transaction"
aggregate = "zscore"
field = "amount_minor"
window = "3d"
resolution = "exact"
[[feature]]
name = "last_amount"
kind = "transaction"
aggregate = "last"
field = "amount_minor"
window = "1d"
[[feature]]
name = "since_last"
kind = "transaction"
aggregate = "since_last"
[[feature]]
name = "first_seen"
kind = "transaction"
aggregate = "first_seen"
[[feature]]
name = "robust"
kind = "transaction"
aggregate = "robust_mean"
field = "amount_minor"
cap = 3.0
span = 5.0
[[feature]]
name = "deviations"
kind = "transaction"
aggregate = "cusum"
field = "amount_minor"
cap = 3.0
span = 5.0
[[feature]]
name = "fraud_share"
kind = "transaction"
aggregate = "label_rate"
window = "3d"
delay = "1d"
empty = 0
[[feature]]
name = "terminal_count"
kind = "transaction"
key = "terminal"
aggregate = "count"
resolution = "exact"
window = "3d"
entries = 6
[[feature]]
name = "terminal_sum"
kind = "transaction"
key = "terminal"
aggregate = "sum"
field = "amount_minor"
window = "3d"
[[feature]]
name = "terminal_fraud"
kind = "transaction"
key = "terminal"
aggregate = "label_rate"
window = "4d"
entries = 64
[[feature]]
name = "terminal_newest"
kind = "transaction"
key = "terminal"
aggregate = "newest_label"
window = "4d"
[[feature]]
name = "terminal_run"
kind = "transaction"
key = "terminal"
aggregate = "label_run"
window = "4d"
[[feature]]
name = "terminal_run_start"
kind = "transaction"
key = "terminal"
aggregate = "label_run_start"
window = "4d"
"#;

/// An event of the test: a payment, or what is said of one.
#[derive(Clone, Debug)]
struct Step {
    /// after the event before, milliseconds; may be before it
    after_ms: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Pay {
        amount: i64,
        declined: bool,
        refunded: bool,
        country: Option<u8>,
        terminal: u8,
        account: u8,
    },
    /// the so-manieth payment before is fraud, or is not
    Say { back: usize, fraud: bool, dispute: bool },
    /// the so-manieth event before comes again
    Again { back: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pay = (0i64..10_000, 0u8..4, proptest::option::of(0u8..3), 0u8..2, 0u8..2).prop_map(
        |(amount, status, country, terminal, account)| What::Pay {
            amount,
            declined: status == 1,
            refunded: status == 2,
            country,
            terminal,
            account,
        },
    );
    let say = (1usize..6, any::<bool>(), any::<bool>())
        .prop_map(|(back, fraud, dispute)| What::Say { back, fraud, dispute });
    let what = prop_oneof![
        8 => pay,
        2 => say,
        1 => (1usize..9).prop_map(|back| What::Again { back }),
    ];
    let after = prop_oneof![
        4 => 0..4 * HOUR_MS,
        1 => Just(0),
        1 => Just(DAY_MS),
        2 => -2 * DAY_MS..DAY_MS,
        1 => 0..12 * DAY_MS,
    ];
    let step = (after, what).prop_map(|(after_ms, what)| Step { after_ms, what });
    proptest::collection::vec(step, 1..50)
}

/// A payment as the twin remembers it.
#[derive(Clone, Debug)]
struct Paid {
    id: String,
    time: i64,
    amount: i64,
    declined: bool,
    refunded: bool,
    country: Option<u8>,
    terminal: u8,
    account: u8,
}

impl Paid {
    /// An accepted payment of one cent.
    fn plain(id: String, time: i64) -> Paid {
        Paid {
            id,
            time,
            amount: 1,
            declined: false,
            refunded: false,
            country: None,
            terminal: 0,
            account: 0,
        }
    }
}

const COUNTRIES: [&str; 3] = ["DE", "FR", "IT"];

/// The events of a test, owned.
#[derive(Clone, Debug)]
enum Happened {
    Paid(Paid),
    /// time, payment, verdict, whether it is a dispute
    Said(i64, Paid, bool, bool),
}

/// Steps as events, each with its id.
fn happened(steps: &[Step]) -> Vec<(String, Happened)> {
    let mut events: Vec<(String, Happened)> = Vec::new();
    let mut paid: Vec<Paid> = Vec::new();
    let mut time = T0;
    for (i, step) in steps.iter().enumerate() {
        time += step.after_ms;
        match &step.what {
            What::Pay { amount, declined, refunded, country, terminal, account } => {
                let new = Paid {
                    id: format!("t{i}"),
                    time,
                    amount: *amount,
                    declined: *declined,
                    refunded: *refunded,
                    country: *country,
                    terminal: *terminal,
                    account: *account,
                };
                paid.push(new.clone());
                events.push((format!("e{i}"), Happened::Paid(new)));
            }
            What::Say { back, fraud, dispute } if paid.len() >= *back => {
                let of = paid[paid.len() - back].clone();
                let fraud = *fraud || *dispute;
                events.push((format!("e{i}"), Happened::Said(time, of, fraud, *dispute)));
            }
            What::Again { back } if events.len() >= *back => {
                events.push(events[events.len() - back].clone());
            }
            _ => {}
        }
    }
    events
}

fn event<'a>(
    id: &'a str,
    happened: &'a Happened,
    account: &'a str,
    terminal: &'a str,
) -> Event<'a> {
    match happened {
        Happened::Paid(paid) => Event::Transaction(Transaction {
            event_id: id.into(),
            event_time: Millis(paid.time),
            tenant: "t".into(),
            account_id: account.into(),
            transaction_id: paid.id.as_str().into(),
            card_id: None,
            merchant_id: "m".into(),
            terminal_id: Some(terminal.into()),
            amount_minor: paid.amount,
            currency: "EUR".into(),
            mcc: None,
            channel: Channel::Pos,
            entry_mode: None,
            country: paid.country.map(|country| Text::from(COUNTRIES[usize::from(country)])),
            lat: None,
            lon: None,
            device_id: None,
            ip: None,
            email_hash: None,
            beneficiary_id: None,
            status: match (paid.declined, paid.refunded) {
                (true, _) => TransactionStatus::Declined,
                (_, true) => TransactionStatus::Refunded,
                _ => TransactionStatus::Authorized,
            },
            decline_code: None,
            recurring: false,
        }),
        Happened::Said(time, paid, fraud, false) => Event::Label(Label {
            event_id: id.into(),
            event_time: Millis(*time),
            tenant: "t".into(),
            account_id: account.into(),
            subject_kind: SubjectKind::Transaction,
            subject_id: paid.id.as_str().into(),
            verdict: if *fraud { Verdict::Fraud } else { Verdict::Genuine },
            source: "analyst".into(),
            note: None,
        }),
        Happened::Said(time, paid, _, true) => Event::Dispute(Dispute {
            event_id: id.into(),
            event_time: Millis(*time),
            tenant: "t".into(),
            account_id: account.into(),
            dispute_id: id.into(),
            transaction_id: paid.id.as_str().into(),
            network: Network::Visa,
            reason_code: "10.4".into(),
            amount_minor: paid.amount,
            currency: "EUR".into(),
            opened_at: Millis(*time),
            due_by: None,
            stage: DisputeStage::Chargeback,
            merchant_id: None,
            terminal_id: Some(terminal.into()),
            card_id: None,
            device_id: None,
            ip: None,
            transaction_time: None,
            narrative: None,
        }),
    }
}

/// Keeps everything.
#[derive(Default)]
struct Twin {
    /// payments with the newest time of all payments when they came
    paid: Vec<Paid>,
    /// arrivals of verdicts: time, payment, fraud, dispute, terminal where a dispute names it
    said: Vec<(i64, String, bool, bool, u8, u8)>,
    newest: i64,
}

impl Twin {
    /// Whether a payment is fraud for whoever asks at `now`.
    fn is_fraud(&self, payment: &Paid, now: i64, at_terminal: bool) -> bool {
        let newest = |dispute: bool| {
            self.said
                .iter()
                .filter(|(_, id, _, d, ..)| *id == payment.id && *d == dispute)
                .map(|(time, _, fraud, ..)| (*time, if *fraud { 0 } else { 1 }))
                .max()
                .filter(|(time, _)| *time <= now)
        };
        // of a label the terminal hears nothing: it names none
        let found = match at_terminal {
            true => newest(true),
            false => newest(true).max(newest(false)),
        };
        found.is_some_and(|(_, verdict)| verdict == 0)
    }

    /// The payments of a window, oldest first, those alone that are kept.
    fn window<'a>(
        &'a self,
        of: impl Fn(&Paid) -> bool + 'a,
        now: i64,
        (window, delay, kept): (i64, i64, i64),
        entries: usize,
        subject: fn(&Paid) -> i64,
    ) -> Vec<&'a Paid> {
        let mut all: Vec<&Paid> = self
            .paid
            .iter()
            .filter(|paid| of(paid) && paid.time > self.newest - kept - GRACE_MS)
            .collect();
        all.sort_by_key(|paid| (paid.time, subject(paid)));
        let all = all.split_off(all.len().saturating_sub(entries));
        let covered = |paid: &&Paid| paid.time > now - delay - window && paid.time <= now - delay;
        all.into_iter().filter(covered).collect()
    }
}

fn in_account(paid: &Paid) -> i64 {
    facts::subject_hash(&paid.id)
}

/// Subjects of countries are not kept.
fn in_country(paid: &Paid) -> i64 {
    paid.country.map_or(0, |country| facts::subject_hash(COUNTRIES[usize::from(country)]))
}

fn at_entity(paid: &Paid) -> i64 {
    facts::payment_hash(["t/a", "t/b"][usize::from(paid.account)], &paid.id)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn stddev(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    (values.len() > 1).then(|| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (values.len() as f64 - 1.0)).sqrt()
    })
}

fn amounts(paid: &[&Paid]) -> Vec<f64> {
    paid.iter().map(|paid| paid.amount as f64).collect()
}

fn close(found: Slot<'_>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Slot::Null, None) => true,
        (Slot::Int(found), Some(expected)) => found as f64 == expected,
        (Slot::Float(found), Some(expected)) => {
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
        }
        _ => false,
    }
}

fn set() -> FeatureSet {
    let file = FeatureFile::parse(Path::new("features.toml"), FILE.to_owned()).unwrap();
    FeatureSet::load(&file, Horizon::default().ids).unwrap()
}

/// The events of a bucketed window: of those buckets that begin after the window's beginning.
fn bucketed(
    paid: &Paid,
    now: i64,
    newest: i64,
    (window, delay, kept, bucket): (i64, i64, i64, i64),
) -> bool {
    let number = |time: i64| time.div_euclid(bucket);
    let kept_from = newest - kept - GRACE_MS;
    number(paid.time) > number((now - delay - window).max(kept_from))
        && number(paid.time) <= number(now - delay)
        && number(paid.time) > number(kept_from)
}

#[allow(clippy::too_many_lines, reason = "one check an aggregate, all at one place")]
fn compare(set: &FeatureSet, values: &[Slot<'_>], twin: &Twin, before: &Twin, current: &Paid) {
    let now = current.time;
    let own = |paid: &Paid| paid.account == current.account;
    let there = |paid: &Paid| paid.terminal == current.terminal;
    let value = |name: &str| values[set.names().position(|(known, _)| known == name).unwrap()];
    let check = |name: &str, expected: Option<f64>| {
        let found = value(name);
        assert!(close(found, expected), "{name} is {found}, expected {expected:?}");
    };
    let days =
        |window: i64, delay: i64, kept: i64| (window * DAY_MS, delay * DAY_MS, kept * DAY_MS);
    let some = |count: usize| (count > 0).then_some(count as f64);
    let exact = |of: &dyn Fn(&Paid) -> bool, window, entries| {
        twin.window(|paid| own(paid) && of(paid), now, window, entries, in_account)
            .into_iter()
            .cloned()
            .collect::<Vec<Paid>>()
    };
    check("exact_count", some(exact(&|paid| !paid.refunded, days(1, 0, 1), 256).len()));
    // one ring for all exact windows of the amount, as far back as the furthest
    let all = exact(&|_| true, days(3, 2, 5), 256);
    check("exact_mean", mean(&amounts(&all.iter().collect::<Vec<_>>())));
    let all = exact(&|_| true, days(3, 0, 5), 256);
    let all = amounts(&all.iter().collect::<Vec<_>>());
    check("exact_stddev", stddev(&all));
    check("exact_min", all.iter().copied().reduce(f64::min));
    let history = before.window(|paid| own(paid), now, days(3, 0, 5), 256, in_account);
    // what the event itself pushed out was pushed out before it is read
    let history: Vec<&Paid> = history
        .into_iter()
        .filter(|paid| paid.time > twin.newest - 5 * DAY_MS - GRACE_MS)
        .collect();
    let history = amounts(&history);
    let amount = current.amount as f64;
    check("ratio_amount", mean(&history).filter(|mean| *mean != 0.0).map(|mean| amount / mean));
    let score = stddev(&history).filter(|deviation| *deviation > 0.0);
    check("zscore_amount", score.map(|d| (amount - mean(&history).unwrap()) / d));
    let buckets = |of: &dyn Fn(&Paid) -> bool, window| -> Vec<Paid> {
        let covers =
            |paid: &&Paid| own(paid) && of(paid) && bucketed(paid, now, twin.newest, window);
        twin.paid.iter().filter(covers).cloned().collect()
    };
    let declined = buckets(&|paid| paid.declined, (DAY_MS, 0, DAY_MS, 30 * MINUTE_MS));
    check("bucket_count", Some(declined.len() as f64));
    let sums = buckets(&|_| true, (6 * HOUR_MS, 0, 6 * HOUR_MS, 10 * MINUTE_MS));
    let sum = (!sums.is_empty()).then(|| sums.iter().map(|paid| paid.amount as f64).sum());
    check("bucket_sum", sum);
    let bucket = 2 * HOUR_MS;
    let most = buckets(&|_| true, (4 * DAY_MS, DAY_MS, 5 * DAY_MS, bucket));
    check("bucket_max", most.iter().map(|paid| paid.amount as f64).reduce(f64::max));
    let spread = buckets(&|_| true, (4 * DAY_MS, 0, 5 * DAY_MS, bucket));
    check("bucket_stddev", stddev(&amounts(&spread.iter().collect::<Vec<_>>())));
    let named = |paid: &Paid| own(paid) && paid.country.is_some();
    let named = twin.window(named, now, days(2, 0, 2), 8, in_country);
    let mut countries: Vec<u8> = named.iter().filter_map(|paid| paid.country).collect();
    countries.sort_unstable();
    countries.dedup();
    check("distinct_countries", some(countries.len()));
    let whole = exact(&|_| true, days(2, 0, 5), 256);
    let part = exact(&|paid| paid.declined, days(2, 0, 2), 256);
    check("share_declined", some(whole.len()).map(|whole| part.len() as f64 / whole));
    let last = before.paid.iter().filter(|paid| own(paid));
    let last = last.max_by_key(|paid| (paid.time, facts::subject_hash(&paid.id)));
    let within = |ms: i64| last.filter(|last| (0..ms).contains(&(now - last.time)));
    check("last_amount", within(DAY_MS).map(|last| last.amount as f64));
    check("since_last", within(300 * DAY_MS).map(|last| (now - last.time) as f64 / 1e3));
    let first = twin.paid.iter().filter(|paid| own(paid)).map(|paid| paid.time).min();
    check("first_seen", first.map(|first| (now - first) as f64 / 1e3));
    let (mut robust, mut deviations, mut count) = (None, 0.0, 0.0);
    let mut before_last = None;
    for paid in twin.paid.iter().filter(|paid| own(paid)) {
        before_last = robust;
        let value = paid.amount as f64;
        count += 1.0;
        robust = Some(match robust {
            None => value,
            Some(mean) => {
                let mean: f64 = mean;
                let mut capped = value;
                if mean > 0.0 {
                    deviations = f64::max(0.0, deviations + value / mean - 1.0 - 0.5);
                    capped = value.min(3.0 * mean);
                }
                mean + (capped - mean) / f64::min(count, 5.0)
            }
        });
    }
    check("robust", before_last);
    check("deviations", Some(deviations));
    let share = |paid: &[Paid], at_terminal| {
        let fraud = paid.iter().filter(|paid| twin.is_fraud(paid, now, at_terminal)).count();
        some(paid.len()).map(|all| fraud as f64 / all)
    };
    let labelled = exact(&|_| true, days(3, 1, 5), 256);
    check("fraud_share", Some(share(&labelled, false).unwrap_or(0.0)));
    let met = |window, entries| -> Vec<Paid> {
        twin.window(there, now, window, entries, at_entity).into_iter().cloned().collect()
    };
    // one ring for all that is counted at the terminal
    let at_terminal = met(days(4, 0, 4), 256);
    let three: Vec<&Paid> =
        at_terminal.iter().filter(|paid| paid.time > now - 3 * DAY_MS).collect();
    check("terminal_count", some(three.len()));
    let covers = |paid: &&Paid| {
        there(paid) && bucketed(paid, now, twin.newest, (3 * DAY_MS, 0, 3 * DAY_MS, 2 * HOUR_MS))
    };
    let sum: Vec<f64> = twin.paid.iter().filter(covers).map(|paid| paid.amount as f64).collect();
    check("terminal_sum", (!sum.is_empty()).then(|| sum.iter().sum()));
    check("terminal_fraud", share(&at_terminal, true));
    let is_fraud = |paid: &&Paid| twin.is_fraud(paid, now, true);
    let newest = at_terminal.last().map(|paid| f64::from(u8::from(is_fraud(&paid))));
    check("terminal_newest", newest);
    let run: Vec<&Paid> = at_terminal.iter().rev().take_while(is_fraud).collect();
    check("terminal_run", at_terminal.last().map(|_| run.len() as f64));
    check("terminal_run_start", run.last().map(|first| (now - first.time) as f64 / 1e3));
}

/// Runs events through the state and the twin, and compares after each payment. Profiles hear of an event
/// by its touch, and are the same where they hear of it themselves.
fn run(events: &[(String, Happened)]) -> ([u64; 2], u64) {
    let set = set();
    let (mut state, profiles) = (State::default(), Profiles::default());
    let told = Profiles::default();
    let mut features = Features::default();
    let mut twin = Twin { newest: i64::MIN / 2, ..Twin::default() };
    let horizon = Horizon { ids: 64, age_ms: 300 * DAY_MS };
    let mut marks = Vec::new();
    for (id, happened) in events {
        let (account, terminal) = match happened {
            Happened::Paid(paid) | Happened::Said(_, paid, ..) => {
                (["a", "b"][usize::from(paid.account)], ["x", "y"][usize::from(paid.terminal)])
            }
        };
        let event = event(id, happened, account, terminal);
        let key = event.key();
        let facts = set.facts(&event);
        let before = Some((&mut features, &profiles));
        let applied = state.apply(&set, State::key(&key), &event, &facts, SAME, horizon, before);
        if applied.seen != Seen::New {
            assert_eq!(applied.seen, Seen::Duplicate);
            continue;
        }
        set.marks(&facts, applied, &mut marks);
        if let Some(touch) = TouchEvent::of(&event, &key, &marks, |entity| facts.meets(entity)) {
            told.apply(&set, &touch, |_| false);
            profiles.fetch([&facts, &facts].into_iter());
            profiles.apply_own(&set, &event, &key, &facts, &marks);
        }
        state.read(&set, State::key(&key), &facts, &mut features, &profiles);
        match happened {
            Happened::Paid(paid) => {
                let earlier = Twin {
                    paid: twin.paid.clone(),
                    said: Vec::new(),
                    newest: twin.newest.max(paid.time),
                };
                twin.newest = twin.newest.max(paid.time);
                twin.paid.push(paid.clone());
                compare(&set, features.values(), &twin, &earlier, paid);
            }
            Happened::Said(time, paid, fraud, dispute) => {
                let said = (*time, paid.id.clone(), *fraud, *dispute, paid.terminal, paid.account);
                twin.said.push(said);
            }
        }
    }
    let hash = profiles.hash(&set);
    assert_eq!(told.hash(&set), hash);
    (state.hashes(&set, horizon), hash)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn every_aggregate_equals_a_recomputation_over_unordered_repeated_events(steps in steps()) {
        run(&happened(&steps));
    }
}

/// Payments alone, under a terminal, as touches.
fn touches(set: &FeatureSet, events: &[(String, Happened)]) -> Vec<(Event<'static>, Vec<Mark>)> {
    touches_of(&mut State::default(), set, events)
}

fn touches_of(
    state: &mut State,
    set: &FeatureSet,
    events: &[(String, Happened)],
) -> Vec<(Event<'static>, Vec<Mark>)> {
    let mut marks = Vec::new();
    let mut touches = Vec::new();
    for (id, happened) in events {
        let (Happened::Paid(paid) | Happened::Said(_, paid, ..)) = happened;
        let terminal = ["x", "y"][usize::from(paid.terminal)];
        let account = ["a", "b"][usize::from(paid.account)];
        // leaked: a test's events may live as long as the test
        let (id, happened) = (id.clone().leak(), Box::leak(Box::new(happened.clone())));
        let event = event(id, happened, account, terminal);
        let facts = set.facts(&event);
        let key = event.key();
        let applied =
            state.apply(set, State::key(&key), &event, &facts, SAME, Horizon::default(), None);
        if applied.seen == Seen::New {
            set.marks(&facts, applied, &mut marks);
            touches.push((event, marks.clone()));
        }
    }
    touches
}

#[test]
fn whoever_is_idle_for_longer_than_the_retention_is_forgotten_without_snapshots_too() {
    let set = set();
    let mut state = State::default();
    let profiles = Profiles::default();
    let paid = |i: usize, time: i64, side: u8| {
        let paid = Paid { account: side, terminal: side, ..Paid::plain(format!("t{i}"), time) };
        (format!("e{i}"), Happened::Paid(paid))
    };
    let mut left_after = |event: (String, Happened)| {
        for (event, marks) in touches_of(&mut state, &set, &[event]) {
            tell(&profiles, &set, &event, &marks);
        }
        // every part has its turn
        state.ranges().iter().for_each(|_| state.expire_next(&set, Horizon::default()));
        (0..1 << 10).for_each(|_| profiles.expire_next(&set));
        (state.len(), profiles.len())
    };
    assert_eq!(left_after(paid(0, T0, 0)), (1, 1));
    assert_eq!(left_after(paid(1, T0 + set.retention_ms - 1, 1)), (2, 2), "not yet");
    assert_eq!(left_after(paid(2, T0 + set.retention_ms, 1)), (1, 1));
}

/// Lets profiles hear what an event touches.
fn tell(profiles: &Profiles, set: &FeatureSet, event: &Event<'_>, marks: &[Mark]) {
    let key = event.key();
    let touch = TouchEvent::of(event, &key, marks, |_| true).into_iter();
    touch.for_each(|touch| profiles.apply(set, &touch, |_| false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn profiles_do_not_depend_on_the_order_of_their_touches(
        steps in steps(),
        seed in any::<u64>(),
    ) {
        let set = set();
        let mut touches = touches(&set, &happened(&steps));
        let hash = |touches: &[(Event<'static>, Vec<Mark>)]| {
            let profiles = Profiles::default();
            for (event, marks) in touches {
                tell(&profiles, &set, event, marks);
            }
            profiles.hash(&set)
        };
        let in_order = hash(&touches);
        let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
        rand::seq::SliceRandom::shuffle(touches.as_mut_slice(), &mut rng);
        prop_assert_eq!(hash(&touches), in_order);
    }

    #[test]
    fn what_is_captured_anywhere_and_continued_is_the_same(
        steps in steps(),
        cut in any::<prop::sample::Index>(),
    ) {
        let set = set();
        let events = happened(&steps);
        let horizon = Horizon::default();
        let apply = |state: &mut State, events: &[(String, Happened)]| {
            for (id, happened) in events {
                let (Happened::Paid(paid) | Happened::Said(_, paid, ..)) = happened;
                let account = ["a", "b"][usize::from(paid.account)];
                let event = event(id, happened, account, "x");
                let facts = set.facts(&event);
                let key = event.key();
                state.apply(&set, State::key(&key), &event, &facts, SAME, horizon, None);
            }
        };
        let cut = cut.index(events.len() + 1);
        let mut whole = State::default();
        apply(&mut whole, &events);
        let mut first = State::default();
        apply(&mut first, &events[..cut]);
        let mut second = State::default();
        for range in first.ranges() {
            let body = first.capture(&set, range, horizon).unwrap();
            second.load(&set, &body, |_| true).unwrap();
            second.begin_at(&set, &body).unwrap();
            // whatever is cut off or turned over is refused or leaves a state: it never panics
            for end in (0..body.len()).step_by(7) {
                let _refused_or_shorter = State::default().load(&set, &body[..end], |_| true);
            }
        }
        apply(&mut second, &events[cut..]);
        prop_assert_eq!(second.hashes(&set, horizon), whole.hashes(&set, horizon));
    }
}

fn load(text: &str) -> Result<FeatureSet, String> {
    let file = FeatureFile::parse(Path::new("features.toml"), text.to_owned())
        .map_err(|problem| format!("{}: {}", problem.place, problem.message))?;
    FeatureSet::load(&file, 64).map_err(|problems| problems.to_string())
}

#[test]
fn what_is_wrong_with_a_feature_is_named_with_its_place() {
    let feature = |lines: &str| {
        format!("retention = \"30d\"\n[[feature]]\nname = \"f\"\nkind = \"transaction\"\n{lines}")
    };
    for (lines, line, part) in [
        (
            "aggregate = \"sum\"\nfield = \"amount_minr\"\nwindow = \"1h\"",
            6,
            "did you mean \"amount_minor\"?",
        ),
        (
            "aggregate = \"sum\"\nfield = \"country\"\nwindow = \"1h\"",
            6,
            "is a string, expected a int or double",
        ),
        ("aggregate = \"sum\"\nwindow = \"1h\"", 5, "sum needs a field"),
        ("aggregate = \"cuont\"\nwindow = \"1h\"", 5, "did you mean \"count\"?"),
        ("aggregate = \"count\"", 5, "count needs a window"),
        (
            "aggregate = \"count\"\nwindow = \"31d\"",
            6,
            "reach back 31 days, expected at most the retention of 30",
        ),
        ("aggregate = \"count\"\nwindow = \"25d\"\ndelay = \"6d\"", 6, "reach back 31 days"),
        (
            "aggregate = \"count\"\nwindow = \"1.5h\"",
            6,
            "window is \"1.5h\", expected a number and s, m, h or d",
        ),
        ("aggregate = \"count\"\nwindow = \"0h\"", 6, "window is 0"),
        (
            "aggregate = \"count\"\nwindow = \"1h\"\nwhere = \"amount_minor > 'x'\"",
            7,
            "int > string",
        ),
        (
            "aggregate = \"count\"\nwindow = \"1h\"\nresolution = \"7m\"",
            7,
            "expected \"exact\" or a whole part",
        ),
        (
            "aggregate = \"count\"\nwindow = \"1h\"\nresolution = \"1s\"",
            7,
            "at most 64 to the window",
        ),
        (
            "aggregate = \"distinct\"\nfield = \"country\"\nwindow = \"1h\"\nresolution = \"1m\"",
            8,
            "expected \"exact\"",
        ),
        (
            "aggregate = \"count\"\nwindow = \"1h\"\nresolution = \"exact\"\nentries = 99999",
            8,
            "expected 1 to 4096",
        ),
        (
            "aggregate = \"count\"\nwindow = \"1h\"\nkey = \"shop\"",
            7,
            "expected one of account, card",
        ),
        (
            "aggregate = \"count\"\nwindow = \"1h\"\nkey = \"vendor\"",
            7,
            "which a transaction does not name",
        ),
        (
            "aggregate = \"robust_mean\"\nfield = \"amount_minor\"\nkey = \"card\"",
            5,
            "expected key = \"account\"",
        ),
        (
            "aggregate = \"cusum\"\nfield = \"amount_minor\"\nspan = 0.5",
            7,
            "span is 0.5, expected 1 to",
        ),
        ("aggregate = \"share\"\nwindow = \"1h\"", 5, "share needs `of`"),
    ] {
        let error = load(&feature(lines)).unwrap_err();
        assert!(error.contains(part), "{lines}: {error}");
        assert!(error.contains(&format!("features.toml:{line}:")), "{lines}: {error}");
    }
    let grace = |grace: &str| {
        format!("grace = {grace:?}\n{}", feature("aggregate = \"count\"\nwindow = \"1m\""))
    };
    let error = load(&grace("1h")).unwrap_err();
    assert!(
        error.contains("features.toml:6:") && error.contains("3600 of them, expected"),
        "{error}"
    );
    let error = load(&grace("soon")).unwrap_err();
    assert!(error.contains("features.toml:1:") && error.contains("grace is \"soon\""), "{error}");
    let label =
        "[[feature]]\nname = \"f\"\nkind = \"chat\"\naggregate = \"label_rate\"\nwindow = \"1d\"";
    assert!(load(label).unwrap_err().contains("labels are of payments"));
    let taken =
        "[[feature]]\nname = \"mcc\"\nkind = \"chat\"\naggregate = \"count\"\nwindow = \"1d\"";
    assert!(load(taken).unwrap_err().contains("is a field of a transaction"));
    let twice = format!(
        "{}\n[[feature]]\nname = \"f\"\nkind = \"chat\"\naggregate = \"count\"\nwindow = \"1h\"",
        feature("aggregate = \"count\"\nwindow = \"1h\"")
    );
    assert!(load(&twice).unwrap_err().contains("is there twice"));
    let mut large = String::new();
    for i in 0..16 {
        large += &format!(
            "[[feature]]\nname = \"f{i}\"\nkind = \"transaction\"\naggregate = \"count\"\nwindow = \"1h\"\nresolution = \"exact\"\nentries = 4096\nwhere = \"amount_minor > {i}\"\n"
        );
    }
    assert!(load(&large).unwrap_err().contains("one account could need"));
}

#[test]
fn a_new_feature_says_nothing_before_its_window_has_passed_and_others_keep_their_history() {
    let count = |name: &str, window: &str| {
        format!(
            "[[feature]]\nname = \"{name}\"\nkind = \"transaction\"\naggregate = \"count\"\nwindow = \"{window}\"\nempty = 0\n"
        )
    };
    let old = load(&count("day", "1d")).unwrap();
    let new = load(&(count("day", "1d") + &count("hour", "1h"))).unwrap();
    let pay = |state: &mut State, set: &FeatureSet, number: i64, time: i64| {
        let paid = Paid::plain(format!("t{number}"), time);
        let (id, happened) = (format!("e{number}"), Happened::Paid(paid));
        let event = event(&id, &happened, "a", "x");
        let (facts, profiles) = (set.facts(&event), Profiles::default());
        let mut features = Features::default();
        let horizon = Horizon::default();
        let before = Some((&mut features, &profiles));
        state.apply(set, State::key("t/a"), &event, &facts, SAME, horizon, before);
        state.read(set, State::key("t/a"), &facts, &mut features, &profiles);
        features.values().to_vec()
    };
    let mut state = State::default();
    for i in 0..3 {
        assert_eq!(pay(&mut state, &old, i, T0 + i), [Slot::Int(i + 1)]);
    }
    let mut later = State::default();
    for range in state.ranges() {
        let body = state.capture(&old, range, Horizon::default()).unwrap();
        later.load(&new, &body, |_| true).unwrap();
        later.begin_at(&new, &body).unwrap();
    }
    assert_eq!(pay(&mut later, &new, 3, T0 + MINUTE_MS), [Slot::Int(4), Slot::Null]);
    assert_eq!(pay(&mut later, &new, 4, T0 + HOUR_MS + 2), [Slot::Int(5), Slot::Int(2)]);
    // and one that went is forgotten, not in the way
    let body = later.capture(&new, later.ranges()[0], Horizon::default()).unwrap();
    let mut last = State::default();
    last.load(&old, &body, |_| true).unwrap();
    last.begin_at(&old, &body).unwrap();
    assert_eq!(pay(&mut last, &old, 5, T0 + HOUR_MS + 3), [Slot::Int(6)]);
}

#[test]
fn a_conflicting_duplicate_leaves_no_trace_whatever_time_it_claims() {
    let set = set();
    let paid =
        |amount: i64, time: i64| Happened::Paid(Paid { amount, ..Paid::plain("t1".into(), time) });
    let horizon = Horizon::default();
    let mut state = State::default();
    let mut apply = |happened: &Happened, payload: &[u8]| {
        let event = event("e1", happened, "a", "x");
        let facts = set.facts(&event);
        let seen = state
            .apply(&set, State::key("t/a"), &event, &facts, Came { payload, ..SAME }, horizon, None)
            .seen;
        (seen, state.hashes(&set, horizon))
    };
    let (seen, before) = apply(&paid(1, T0), b"one");
    assert_eq!(seen, Seen::New);
    // its own time would push the payment out of every window
    assert_eq!(apply(&paid(2, T0 + 20 * DAY_MS), b"other"), (Seen::Conflict, before));
}

#[test]
fn an_event_within_the_grace_finds_its_windows_whole_and_a_later_one_is_late() {
    let file = r#"
        grace = "2h"
        [[feature]]
        name = "exact"
        kind = "transaction"
        aggregate = "count"
        resolution = "exact"
        window = "1h"
        [[feature]]
        name = "bucketed"
        kind = "transaction"
        aggregate = "count"
        resolution = "1m"
        window = "1h"
        [[feature]]
        name = "at_terminal"
        kind = "transaction"
        key = "terminal"
        aggregate = "count"
        resolution = "exact"
        window = "1h"
    "#;
    let file = FeatureFile::parse(Path::new("features.toml"), file.to_owned()).unwrap();
    let set = FeatureSet::load(&file, Horizon::default().ids).unwrap();
    let (mut state, profiles) = (State::default(), Profiles::default());
    let mut features = Features::default();
    let mut pay = |number: i64, account: &str, time: i64| {
        let (id, happened) = (format!("e{number}"), Paid::plain(format!("t{number}"), time));
        let happened = Happened::Paid(happened);
        let event = event(&id, &happened, account, "x");
        let facts = set.facts(&event);
        let key = format!("t/{account}");
        let before = Some((&mut features, &profiles));
        let (id, horizon) = (State::key(&key), Horizon::default());
        let applied = state.apply(&set, id, &event, &facts, SAME, horizon, before);
        let mut marks = Vec::new();
        set.marks(&facts, applied, &mut marks);
        tell(&profiles, &set, &event, &marks);
        state.read(&set, id, &facts, &mut features, &profiles);
        (applied.late, features.values().to_vec())
    };
    let counts = |[account, terminal]: [i64; 2]| {
        vec![Slot::Int(account), Slot::Int(account), Slot::Int(terminal)]
    };
    pay(1, "a", T0 - HOUR_MS + MINUTE_MS);
    // another account is two hours ahead
    pay(2, "b", T0 + 2 * HOUR_MS);
    assert_eq!(pay(3, "a", T0), (false, counts([2, 2])));
    // one that comes later is late, and what it would look back on is forgotten as told
    let (late, values) = pay(4, "a", T0 - 1);
    assert!(late, "{values:?}");
}
