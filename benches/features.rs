//! What one payment costs the memory: applied, and thirty features read. `cargo bench --bench features`.
//!
//! Ten features are exact, twenty bucketed; five of the thirty are of a terminal. Accounts are drawn
//! uniformly from 100,000, terminals from 10,000, so that hardly anything is in the cache. CPU time of this
//! thread, the median of five rounds; events are decoded before.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use weir::config::FeatureFile;
use weir::event::{Channel, Event, Mark, Millis, Text, TouchEvent, Transaction, TransactionStatus};
use weir::state::{FeatureSet, Features, Horizon, Profiles, State};

const ACCOUNTS: u32 = 100_000;
const TERMINALS: u32 = 10_000;
/// Payments before anything is measured: thirteen an account.
const WARM: usize = 1_300_000;
const MEASURED: usize = 300_000;
const ROUNDS: usize = 5;
/// Event time between two payments.
const STEP_MS: i64 = 400;

/// CPU time of this thread.
fn cpu() -> Duration {
    // the first figure of schedstat is nanoseconds on a core
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
    Duration::from_nanos(ns)
}

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
    fn take(&mut self, key: &str, event: &Event<'_>) {
        let facts = self.set.facts(event);
        let before = Some((&mut self.features, &self.profiles));
        let horizon = Horizon::default();
        let applied = self.state.apply(
            &self.set,
            State::key(key),
            event,
            &facts,
            b"payload",
            horizon,
            before,
        );
        self.set.marks(&facts, applied, &mut self.marks);
        if let Some(touch) = TouchEvent::of(event, key, &self.marks) {
            self.profiles.apply(&self.set, &touch, |_| false);
        }
        self.state.read(&self.set, State::key(key), &facts, &mut self.features, &self.profiles);
        black_box(self.features.values());
    }
}

fn main() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let accounts: Vec<String> = (0..ACCOUNTS).map(|i| format!("acct-{i:06}")).collect();
    let keys: Vec<String> = accounts.iter().map(|account| format!("default/{account}")).collect();
    let terminals: Vec<String> = (0..TERMINALS).map(|i| format!("term-{i:05}")).collect();
    let ids: Vec<String> = (0..WARM + ROUNDS * MEASURED).map(|i| format!("txn-{i:09}")).collect();
    let mut memory = Memory {
        set: declared(),
        state: State::default(),
        profiles: Profiles::default(),
        features: Features::default(),
        marks: Vec::new(),
    };
    let mut number = 0;
    let mut next = || {
        let account = rng.random_range(0..ACCOUNTS) as usize;
        let id = ids[number].as_str();
        number += 1;
        let event = Event::Transaction(Transaction {
            event_id: Text::from(id),
            event_time: Millis(1_700_000_000_000 + number as i64 * STEP_MS),
            tenant: Text::from("default"),
            account_id: Text::from(accounts[account].as_str()),
            transaction_id: Text::from(id),
            card_id: None,
            merchant_id: Text::from("m-1"),
            terminal_id: Some(Text::from(
                terminals[rng.random_range(0..TERMINALS) as usize].as_str(),
            )),
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
    for _ in 0..WARM {
        let (key, event) = next();
        memory.take(key, &event);
    }
    let mut rounds: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let events: Vec<(&str, Event<'_>)> = (0..MEASURED).map(|_| next()).collect();
        let before = cpu();
        for (key, event) in &events {
            memory.take(key, event);
        }
        rounds.push((cpu() - before).as_nanos() as f64 / MEASURED as f64);
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
