//! A weir process: log, store, workers, sinks and server, started in order and drained in order.
//!
//! ```text
//!  open log ─► store sink ─► notify sink ─► workers ─► server        start: readers first
//!  workers drained ─► sinks drained ─► server closed ─► log closed   stop: writers first
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::{Exit, Failure, archive};
use crate::codec::{Decoder, Writers};
use crate::config::{MergeMode, Topology, limits};
use crate::event::Topic;
use crate::log::embedded::{EmbeddedLog, Options};
use crate::log::faults::Faults;
use crate::log::{Log, LogError};
use crate::score::RuleSet;
use crate::sink::store::{EmbeddedStore, Store, StoreSink};
use crate::stage::{self, Context, Merge, PoisonLimits, Settings, Stage, StageEnd};
use crate::state::Horizon;
use crate::telemetry::metric::Exporter;
use crate::telemetry::{Clock, Health, Stop};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    /// decide
    Score,
    /// store what was decided
    Store,
    /// tell people and systems
    Notify,
    /// serve the console, metrics and health
    Api,
}

/// What to start.
pub(super) struct Plan<'a> {
    pub(super) topology: &'a Topology,
    pub(super) data: &'a Path,
    pub(super) roles: &'a [Role],
    pub(super) listen: SocketAddr,
    pub(super) merge: MergeMode,
    /// end once every input was taken up to where it ended at the beginning
    pub(super) until_end: bool,
}

/// A running process.
pub(super) struct Process {
    pub(super) log: Arc<dyn Log>,
    pub(super) store: Arc<dyn Store>,
    pub(super) stop: Stop,
    pub(super) clock: Clock,
    /// where the server listens, if there is one
    pub(super) address: Option<SocketAddr>,
    /// ends the sinks and the server, which outlive the workers
    sinks_stop: Stop,
    stage: Option<Stage>,
    store_sink: Option<StoreSink>,
    until_end: bool,
    runtime: Runtime,
}

/// Opens the embedded log of a data folder for writing.
pub(super) fn open_log(topology: &Topology, data: &Path) -> Result<EmbeddedLog, Failure> {
    let options = Options {
        partitions: *topology.embedded.partitions.get_ref(),
        durable: topology.embedded.durable,
        pages_max: None,
    };
    Ok(EmbeddedLog::open(data, &options)?)
}

fn settings(plan: &Plan<'_>) -> Settings {
    let Topology {
        worker,
        dedupe,
        poison,
        ..
    } = plan.topology;
    Settings {
        group: stage::GROUP.to_owned(),
        identity: "weir".to_owned(),
        workers: *worker.count.get_ref(),
        commit_interval: Duration::from_millis(*worker.commit_interval_ms.get_ref()),
        batch_records_max: *worker.batch_records_max.get_ref(),
        batch_bytes_max: *worker.batch_bytes_max.get_ref(),
        merge: match plan.merge {
            MergeMode::Live => Merge::Live {
                wait: Duration::from_millis(worker.merge_wait_ms),
            },
            MergeMode::Strict => Merge::Strict,
        },
        horizon: Horizon {
            ids: *dedupe.ids.get_ref(),
            age_ms: i64::from(*dedupe.hours.get_ref()) * 3_600_000,
        },
        poison: PoisonLimits {
            share: *poison.share_percent.get_ref() / 100.0,
            window: *poison.window.get_ref(),
            run: *poison.run.get_ref(),
        },
        until_end: plan.until_end,
    }
}

impl Process {
    /// Starts what the plan names. Everything is checked before a port is bound.
    pub(super) fn start(plan: &Plan<'_>) -> Result<Process, Failure> {
        let rules = RuleSet::load(&plan.topology.rules)?;
        let mut writers = Writers::built_in();
        writers
            .add_folder(&plan.topology.schemas())
            .map_err(|error| Failure::new(Exit::Invalid, error))?;
        let embedded = open_log(plan.topology, plan.data)?;
        archive::keep(plan.data, &rules)?;
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(embedded.database())?);
        let log: Arc<dyn Log> = Arc::new(embedded);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("weir-io")
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
        let (health, stop, sinks_stop) = (Health::default(), Stop::default(), Stop::default());
        let clock = Clock::system();
        let exporter = Exporter::install().map_err(|error| Failure::new(Exit::Failed, error))?;
        let has = |role| plan.roles.contains(&role);
        let store_sink = match has(Role::Store) {
            true => Some(
                StoreSink::start(
                    Arc::clone(&log),
                    Arc::clone(&store),
                    &health,
                    sinks_stop.clone(),
                )
                .map_err(|error| Failure::new(Exit::Failed, error))?,
            ),
            false => None,
        };
        let mut process = Process {
            log: Arc::clone(&log),
            store,
            stop: stop.clone(),
            clock: clock.clone(),
            address: None,
            sinks_stop,
            stage: None,
            store_sink,
            until_end: plan.until_end,
            runtime,
        };
        if has(Role::Score) {
            let context = Context {
                log,
                decoder: Arc::new(Decoder::new(writers)),
                rules: Arc::new(plan.topology.rules.clone()),
                clock,
                health,
                stop,
                faults: Faults::default(),
            };
            process.stage = Some(Stage::start(&context, &settings(plan))?);
        }
        drop(exporter);
        Ok(process)
    }

    /// Stops when the process is told to: SIGTERM, SIGINT.
    pub(super) fn stop_on_signals(&self) {
        let stop = self.stop.clone();
        self.runtime.spawn(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
            ) else {
                tracing::error!("cannot listen for signals");
                return;
            };
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
                _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
            }
            stop.stop();
        });
    }

    /// Waits until a stop is wanted or the workers have ended, then drains everything in order.
    pub(super) fn wait(mut self) -> Result<(), Failure> {
        let nap = Duration::from_millis(50);
        loop {
            let finished = self.stage.as_ref().is_some_and(Stage::is_finished);
            if finished || self.stop.wait(nap) {
                break;
            }
        }
        let ended = self.stage.take().map(Stage::join).transpose();
        if self.until_end && matches!(ended, Ok(Some(StageEnd::AtEnd))) {
            self.sinks_catch_up()?;
        }
        self.sinks_stop.stop();
        if let Some(sink) = self.store_sink.take() {
            sink.join()
                .map_err(|error| Failure::new(Exit::Failed, error))?;
        }
        self.runtime.shutdown_timeout(limits().drain_deadline);
        match ended? {
            Some(StageEnd::AtEnd) => tracing::info!("every input was decided about up to its end"),
            _ => tracing::info!("drained"),
        }
        Ok(())
    }

    /// Waits, not for ever, until everything that is on the topics now is decided about and stored.
    pub(super) fn settle(&self) {
        let deadline = Instant::now() + limits().drain_deadline;
        while Instant::now() < deadline && !self.stop.wait(Duration::from_millis(10)) {
            match decided(self.log.as_ref())
                .and_then(|decided| Ok(decided && StoreSink::caught_up(self.log.as_ref())?))
            {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot ask the log how far it is");
                    return;
                }
            }
        }
    }

    /// Waits until the sinks have stored and delivered everything there is, or a stop is wanted.
    fn sinks_catch_up(&self) -> Result<(), Failure> {
        let mut said = Instant::now();
        while !self.stop.wait(Duration::from_millis(20)) {
            let stored = self.store_sink.is_none() || StoreSink::caught_up(self.log.as_ref())?;
            if stored {
                return Ok(());
            }
            if said.elapsed() > Duration::from_secs(5) {
                said = Instant::now();
                tracing::info!(stored, "waiting for the sinks");
            }
        }
        Ok(())
    }
}

/// Whether every input record that is on the topics now is decided about.
fn decided(log: &dyn Log) -> Result<bool, LogError> {
    for topic in Topic::INPUTS {
        for partition in 0..log.partitions(topic)? {
            let committed = log.committed(stage::GROUP, topic, partition)?.unwrap_or(0);
            if committed < log.end(topic, partition)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
