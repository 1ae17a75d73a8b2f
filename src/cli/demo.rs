//! `weir demo`: the main job on simulated events, with nothing else needed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::feed::{Feed, Pacer};
use super::process::{Plan, Process, Role};
use super::watch::{Due, Seen, Watch};
use super::{Exit, Failure};
use crate::config::{MergeMode, limits};
use crate::event::{Kind, Millis, Outcome, Position, Topic};
use crate::log::{Log, partition_of};
use crate::sim::{Settings, Simulator};
use crate::telemetry::{Clock, Stop};

/// How long before now the simulated history begins: long enough to run for hours at many times
/// the speed of life.
const HISTORY_MS: i64 = 3 * 365 * 86_400_000;
/// More fraud than anybody would survive, so that there is something to see within seconds.
const FRAUD_SHARE: f64 = 0.05;
/// Events per second of simulated time, and people: disputes and labels follow within the minute.
const DENSITY: f64 = 0.15;
const ACCOUNTS: u32 = 3_000;
/// Events appended at once at the most.
const BATCH_MAX: usize = 1_000;

/// Runs everything in one process on simulated events, and shows decisions as they are made.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir demo                 (until Ctrl-C)\n  weir demo --for 20s --rate 2000\n\n\
    Started again, it carries on from its data folder."
)]
pub(super) struct Demo {
    /// End by itself after this long, with a summary: 20s, 5m, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasting: Option<Duration>,
    /// Events per second
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Of the simulated world, for a new data folder
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Address and port of the page
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "weir-data/demo")]
    data: PathBuf,
    /// The topology folder
    #[arg(long, value_name = "DIR", default_value = "topology")]
    topology: PathBuf,
}

/// The world a data folder's events come from.
#[derive(Debug, Serialize, Deserialize)]
struct World {
    seed: u64,
    start_ms: i64,
}

impl Demo {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (mut topology, _) = super::check::check(&self.topology)?;
        // the demo is for a look at weir without any server
        topology.kafka = None;
        let process = Process::start(&Plan {
            topology: &topology,
            data: &self.data,
            roles: &[Role::Score, Role::Store, Role::Notify, Role::Api],
            listen: self.listen,
            merge: MergeMode::Live,
            until_end: false,
            accept_state_gap: false,
        })?;
        process.stop_on_signals();
        let world = World::of(&self.data, self.seed, process.clock.now_ms())?;
        let fed_before = fed(process.log.as_ref())?;
        self.greet(&process, fed_before);

        let due = Arc::new(Mutex::new(Due::default()));
        let watch = Watch::start(Arc::clone(&process.log), Arc::clone(&due))?;
        let feed_stop = Stop::default();
        let feeder = Feeder {
            log: Arc::clone(&process.log),
            clock: process.clock.clone(),
            stop: feed_stop.clone(),
            due,
            rate: self.rate,
        };
        let began = Instant::now();
        let feeding = std::thread::Builder::new()
            .name("weir-feed".into())
            .spawn(move || feeder.feed(&world, fed_before))
            .map_err(|error| Failure::new(Exit::Failed, error))?;

        let lasting = self.lasting.unwrap_or(Duration::MAX);
        while began.elapsed() < lasting && !feeding.is_finished() {
            if process.stop.wait(Duration::from_millis(100)) {
                break;
            }
        }
        let took = began.elapsed();
        feed_stop.stop();
        let feed = feeding
            .join()
            .unwrap_or_else(|_| Err(Failure::new(Exit::Failed, "the simulator panicked")));
        process.settle();
        let seen = watch.end();
        let store = process.store.clone();
        process.stop.stop();
        process.wait()?;
        feed?;
        summarise(&seen, took);
        if let Some(store) = store {
            let stored = store.counts()?.unwrap_or_default();
            say!(
                "\nstored      {} decisions, {} escalations",
                stored.decisions,
                stored.escalations
            );
        }
        say!(
            "explain one weir explain {} --data {}",
            seen.sample.as_deref().unwrap_or("ID"),
            self.data.display()
        );
        Ok(())
    }

    fn greet(&self, process: &Process, fed_before: u64) {
        say!(
            "weir {}: decisions on simulated payments, disputes, chats and invoices",
            env!("CARGO_PKG_VERSION")
        );
        if let Some(address) = process.address {
            say!("  page  http://{address}/");
        }
        let before = match fed_before {
            0 => "new".to_owned(),
            count => format!("carries on after {count} events"),
        };
        say!("  data  {} ({before})", self.data.display());
        let until = match self.lasting {
            Some(lasting) => format!("for {} s", lasting.as_secs()),
            None => "until Ctrl-C".to_owned(),
        };
        say!("  rate  {} events/s, {until}\n", self.rate);
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?}, expected such as 20s, 5m or 1h");
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(expected()),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

impl World {
    /// The world of a data folder, made if it is new.
    fn of(data: &Path, seed: u64, now_ms: i64) -> Result<World, Failure> {
        let path = data.join("demo.json");
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
        };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(&error)),
            Err(_) => {
                let world = World { seed, start_ms: now_ms - HISTORY_MS };
                let bytes = serde_json::to_vec(&world).map_err(|error| failed(&error))?;
                std::fs::write(&path, bytes).map_err(|error| failed(&error))?;
                Ok(world)
            }
        }
    }
}

/// Events on the input topics: what the simulator has already told this data folder.
fn fed(log: &dyn Log) -> Result<u64, Failure> {
    let mut count = 0;
    for topic in Topic::INPUTS {
        for partition in 0..log.partitions(topic)? {
            count += log.end(topic, partition)?.unsigned_abs();
        }
    }
    Ok(count)
}

struct Feeder {
    log: Arc<dyn Log>,
    clock: Clock,
    stop: Stop,
    due: Arc<Mutex<Due>>,
    rate: f64,
}

impl Feeder {
    /// Feeds events until a stop is wanted, the first `already` of the world left out.
    fn feed(&self, world: &World, already: u64) -> Result<(), Failure> {
        let settings = Settings {
            seed: world.seed,
            start: Millis(world.start_ms),
            fraud_share: FRAUD_SHARE,
            events_per_second: DENSITY,
            accounts: ACCOUNTS,
            ..Settings::default()
        };
        let mut simulator =
            Simulator::new(settings).map_err(|error| Failure::new(Exit::Invalid, error))?;
        for _ in 0..already {
            let _told = simulator.next();
        }
        let topic = Topic::Transactions;
        let partitions = self.log.partitions(topic)?;
        let mut ends: HashMap<(Topic, u32), i64> = HashMap::new();
        let mut feed = Feed::new(&self.log)?;
        let mut pacer = Pacer::new(Some(self.rate)).with_stop(self.stop.clone());
        while !self.stop.is_stopped() {
            if let Some(early) = pacer.next() {
                feed.flush()?;
                pacer.nap(early);
            }
            // the simulated history has caught up with the present: live at its speed
            let ahead = simulator.next_time().0 - self.clock.now_ms();
            if ahead > 0 {
                feed.flush()?;
                let ahead = Duration::from_millis(ahead.unsigned_abs());
                if self.stop.wait(ahead.min(limits().poll_wait)) {
                    break;
                }
            }
            let Some(simulated) = simulator.next() else {
                break;
            };
            let event = simulated.event;
            let topic = event.kind().topic();
            let partition = partition_of(event.key().as_bytes(), partitions);
            let end = match ends.entry((topic, partition)) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(self.log.end(topic, partition)?)
                }
            };
            let position = Position { topic, partition, offset: *end };
            *end += 1;
            self.due.lock().unwrap_or_else(PoisonError::into_inner).expect(position, pacer.due());
            feed.push(&event, self.clock.now_ms())?;
            if feed.pending() >= BATCH_MAX {
                feed.flush()?;
            }
        }
        feed.flush()
    }
}

fn summarise(seen: &Seen, took: Duration) {
    let all: u64 = seen.decisions.values().sum();
    let seconds = took.as_secs_f64();
    say!("\n{all} decisions in {seconds:.1} s, {:.0} a second\n", all as f64 / seconds.max(0.001));
    say_on!("{:<12}", "");
    for outcome in Outcome::ALL {
        say_on!("{:>10}", outcome.name());
    }
    say!("{:>10}", "all");
    let count = |kind: Option<Kind>, outcome: Option<Outcome>| -> u64 {
        let counts = seen.decisions.iter().filter(|((of, is), _)| {
            kind.is_none_or(|kind| kind == *of) && outcome.is_none_or(|outcome| outcome == *is)
        });
        counts.map(|(_, count)| count).sum()
    };
    for kind in Kind::SCORED.map(Some).into_iter().chain([None]) {
        say_on!("{:<12}", kind.map_or("all", Kind::label));
        for outcome in Outcome::ALL {
            say_on!("{:>10}", count(kind, Some(outcome)));
        }
        say!("{:>10}", count(kind, None));
    }
    say!();
    say!("escalations {}, dead letters {}", seen.escalations, seen.dead_letters);
    let at = |share: f64| seen.latency_at(share).map_or("-".into(), |ms| format!("{ms:.0} ms"));
    say!("end to end  p50 {}, p99 {}, from due to decided and visible", at(0.5), at(0.99));
}
