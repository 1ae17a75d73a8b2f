//! What one payment costs the memory: applied, and thirty features read. `cargo bench --bench features`.
//!
//! Ten features are exact, twenty bucketed; five of the thirty are of a terminal. Accounts are drawn
//! uniformly from 100,000, terminals from 10,000, so that hardly anything is in the cache. Without the
//! time of making the events, which have just been decoded; medians of slices and of five rounds.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use weir::config::FeatureFile;
use weir::event::{Channel, Event, Mark, Millis, Text, Transaction, TransactionStatus};
use weir::state::{Came, Facts, FeatureSet, Features, Found, Horizon, Profiles, State};

const ACCOUNTS: u32 = 100_000;
const TERMINALS: u32 = 10_000;
/// Payments before anything is measured: thirteen an account.
const WARM: usize = 1_300_000;
const MEASURED: usize = 300_000;
const ROUNDS: usize = 5;
/// Payments between two looks at the clock.
const SLICE: usize = 10_000;
/// Payments that are fetched together.
const GROUP: usize = 16;
/// Event time between two payments.
const STEP_MS: i64 = 400;
const CAME: Came<'_> = Came { payload: b"payload", written: Millis(0) };

/// Ten exact features and twenty bucketed ones, five of them of the terminal.
fn declared() -> FeatureSet {
    let mut text = String::new();
    let mut declare = |name: &str, lines: &str| {
        // writing to a string cannot fail
        let _always =
            writeln!(text, "[[feature]]\nname = \"{name}\"\nkind = \"transaction\"\n{lines}");
    };
    for window in ["1h", "1d", "7d"] {
        declare(
            &format!("exact_count_{window}"),
            &format!("aggregate = \"count\"\nresolution = \"exact\"\nwindow = \"{window}\""),
        );
        declare(
            &format!("exact_mean_{window}"),
            &format!(
                "aggregate = \"mean\"\nfield = \"amount_minor\"\nresolution = \"exact\"\nwindow = \"{window}\""
            ),
        );
    }
    declare(
        "exact_countries_1d",
        "aggregate = \"distinct\"\nfield = \"country\"\nwindow = \"1d\"\nentries = 32",
    );
    declare(
        "exact_zscore_7d",
        "aggregate = \"zscore\"\nfield = \"amount_minor\"\nresolution = \"exact\"\nwindow = \"7d\"",
    );
    declare("exact_fraud_7d", "aggregate = \"label_rate\"\nwindow = \"7d\"");
    declare(
        "terminal_fraud_7d",
        "aggregate = \"label_rate\"\nkey = \"terminal\"\nwindow = \"7d\"\ndelay = \"7d\"",
    );
    for window in ["1h", "24h", "30d"] {
        declare(
            &format!("count_{window}"),
            &format!("aggregate = \"count\"\nwindow = \"{window}\""),
        );
        declare(
            &format!("declines_{window}"),
            &format!(
                "aggregate = \"count\"\nwhere = \"status == 'DECLINED'\"\nwindow = \"{window}\""
            ),
        );
        for aggregate in ["sum", "mean", "ratio"] {
            declare(
                &format!("{aggregate}_{window}"),
                &format!(
                    "aggregate = \"{aggregate}\"\nfield = \"amount_minor\"\nwindow = \"{window}\""
                ),
            );
        }
    }
    declare("share_24h", "aggregate = \"share\"\nof = \"status == 'DECLINED'\"\nwindow = \"24h\"");
    for window in ["1h", "24h"] {
        declare(
            &format!("terminal_count_{window}"),
            &format!("aggregate = \"count\"\nkey = \"terminal\"\nwindow = \"{window}\""),
        );
        declare(
            &format!("terminal_sum_{window}"),
            &format!(
                "aggregate = \"sum\"\nfield = \"amount_minor\"\nkey = \"terminal\"\nwindow = \"{window}\""
            ),
        );
    }
    let file = FeatureFile::parse(Path::new("features.toml"), text).expect("the text is sound");
    let set = FeatureSet::load(&file, Horizon::default().ids).expect("the features are sound");
    assert_eq!(set.len(), 30, "as the page says");
    set
}

struct Memory {
    set: FeatureSet,
    state: State,
    profiles: Profiles,
    features: Features,
    marks: Vec<Mark>,
}

impl Memory {
    /// Several payments, as a worker takes them: all of them are fetched before the first is applied.
    fn take_all(&mut self, events: &[(&str, Event<'_>)]) {
        let mut facts = Vec::with_capacity(GROUP);
        for (key, event) in events {
            facts.push((State::key(key), self.set.facts(event)));
        }
        let mut found = Vec::with_capacity(GROUP);
        found.extend(facts.iter().map(|(account, _)| self.state.find(*account)));
        found.into_iter().for_each(Found::fetch);
        self.profiles.fetch(facts.iter().map(|(_, facts)| facts));
        for ((key, event), (account, facts)) in events.iter().zip(&facts) {
            self.take(key, event, *account, facts);
        }
    }

    fn take(&mut self, key: &str, event: &Event<'_>, account: u128, facts: &Facts) {
        let before = Some((&mut self.features, &self.profiles));
        let horizon = Horizon::default();
        let applied = self.state.apply(&self.set, account, event, facts, CAME, horizon, before);
        self.set.marks(facts, applied, &mut self.marks);
        self.profiles.apply_own(&self.set, event, key, facts, &self.marks);
        self.state.read(&self.set, account, facts, &mut self.features, &self.profiles);
        black_box(self.features.values());
    }
}

fn main() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let accounts: Vec<String> = (0..ACCOUNTS).map(|i| format!("acct-{i:06}")).collect();
    let keys: Vec<String> = accounts.iter().map(|account| format!("default/{account}")).collect();
    let terminals: Vec<String> = (0..TERMINALS).map(|i| format!("term-{i:05}")).collect();
    let ids: Vec<String> = (0..=WARM + ROUNDS * MEASURED).map(|i| format!("txn-{i:09}")).collect();
    let mut memory = Memory {
        set: declared(),
        state: State::default(),
        profiles: Profiles::default(),
        features: Features::default(),
        marks: Vec::new(),
    };
    let mut number = 0;
    // `passed`: how many payments later
    let mut next = |passed: usize| {
        let account = rng.random_range(0..ACCOUNTS) as usize;
        let terminal = terminals[rng.random_range(0..TERMINALS) as usize].as_str();
        let id = ids[number].as_str();
        number += passed;
        // whoever has just decoded an event has read its texts
        let texts = [accounts[account].as_str(), keys[account].as_str(), terminal, id];
        black_box(texts.map(|text| text.as_bytes()[0]));
        let event = Event::Transaction(Transaction {
            event_id: Text::from(id),
            event_time: Millis(1_700_000_000_000 + number as i64 * STEP_MS),
            tenant: Text::from("default"),
            account_id: Text::from(accounts[account].as_str()),
            transaction_id: Text::from(id),
            card_id: None,
            merchant_id: Text::from("m-1"),
            terminal_id: Some(Text::from(terminal)),
            amount_minor: rng.random_range(100..50_000),
            currency: Text::from("EUR"),
            mcc: None,
            channel: Channel::Pos,
            entry_mode: None,
            country: Some(Text::from(["DE", "FR", "IT"][rng.random_range(0..3_usize)])),
            lat: None,
            lon: None,
            device_id: None,
            ip: None,
            email_hash: None,
            beneficiary_id: None,
            status: match rng.random_range(0..20) {
                0 => TransactionStatus::Declined,
                _ => TransactionStatus::Authorized,
            },
            decline_code: None,
            recurring: false,
        });
        (keys[account].as_str(), event)
    };
    for _ in 0..WARM / GROUP {
        let group: [_; GROUP] = std::array::from_fn(|_| next(1));
        memory.take_all(&group);
    }
    let mut rounds: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let mut slices = Vec::new();
        // an event that has just been decoded is in the cache: what making it costs is measured beside it
        for _ in 0..MEASURED / SLICE {
            let before = Instant::now();
            for _ in 0..SLICE {
                black_box(next(0));
            }
            let made = before.elapsed();
            let before = Instant::now();
            for _ in 0..SLICE / GROUP {
                let group: [_; GROUP] = std::array::from_fn(|_| next(1));
                memory.take_all(&group);
            }
            let taken = before.elapsed().saturating_sub(made);
            slices.push(taken.as_nanos() as f64 / SLICE as f64);
        }
        slices.sort_by(f64::total_cmp);
        rounds.push(slices[slices.len() / 2]);
    }
    rounds.sort_by(f64::total_cmp);
    println!(
        "apply a payment and its touch, read 30 features   {:>6.0} ns ({:.0} to {:.0})",
        rounds[ROUNDS / 2],
        rounds[0],
        rounds[ROUNDS - 1]
    );
    let each = |bytes: usize, count: usize| bytes as f64 / count as f64;
    println!(
        "memory of an account                              {:>6.0} bytes ({} payments each)",
        each(memory.state.bytes(), memory.state.len()),
        (WARM + ROUNDS * MEASURED) / ACCOUNTS as usize
    );
    println!(
        "memory of a terminal                              {:>6.0} bytes",
        each(memory.profiles.bytes(), memory.profiles.len())
    );
}
