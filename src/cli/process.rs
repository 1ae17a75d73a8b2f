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
use tokio::task::JoinHandle;

use super::check::features;
use super::open::{open, open_store, runtime, use_registry_of};
use super::{Exit, Failure};
use crate::api::{Api, Bound};
use crate::codec::{Decoder, Writers};
use crate::config::{Delivery as DeliveryMode, MergeMode, Topology, limits};
use crate::event::Topic;
use crate::log::Log;
use crate::log::faults::Faults;
use crate::policy::{Desk, Switch};
use crate::sink::notify::{Notify, NotifyContext, NotifyError, NotifyHandle};
use crate::sink::store::{Store, StoreContext, StoreSink, StoreSinkFailure};
use crate::snapshot::Vault;
use crate::stage::{
    self, Context, Merge, PoisonLimits, Settings, SnapshotMeans, SnapshotPlan, Stage, StageEnd,
    Standby, Watchdog,
};
use crate::state::{FeatureSet, Horizon};
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
    /// go on where records that were decided about cannot be read any more
    pub(super) accept_state_gap: bool,
}

/// A running process.
pub(super) struct Process {
    pub(super) log: Arc<dyn Log>,
    /// where there are sinks
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) stop: Stop,
    pub(super) clock: Clock,
    /// where the server listens, if there is one
    pub(super) address: Option<SocketAddr>,
    /// ends the sinks and the server, which outlive the workers
    sinks_stop: Stop,
    stage: Option<Stage>,
    store_sink: Option<StoreSink>,
    notify: Option<NotifyHandle>,
    server: Option<JoinHandle<()>>,
    until_end: bool,
    features: Arc<FeatureSet>,
    runtime: Runtime,
}

fn settings(plan: &Plan<'_>, transaction_timeout: Option<Duration>) -> Settings {
    let Topology { worker, dedupe, poison, pressure, .. } = plan.topology;
    Settings {
        group: stage::GROUP.to_owned(),
        workers: *worker.count.get_ref(),
        exactly_once: worker.delivery == DeliveryMode::ExactlyOnce,
        transaction_timeout,
        commit_interval: Duration::from_millis(*worker.commit_interval_ms.get_ref()),
        batch_records_max: *worker.batch_records_max.get_ref(),
        batch_bytes_max: *worker.batch_bytes_max.get_ref(),
        merge: match plan.merge {
            MergeMode::Live => Merge::Live { wait: Duration::from_millis(worker.merge_wait_ms) },
            MergeMode::Strict => Merge::Strict,
        },
        horizon: Horizon {
            ids: *dedupe.ids.get_ref(),
            age_ms: i64::from(*dedupe.hours.get_ref()) * 3_600_000,
        },
        deadlines: Arc::new(plan.topology.deadlines.clone()),
        poison: PoisonLimits {
            share: *poison.share_percent.get_ref() / 100.0,
            window: *poison.window.get_ref(),
            run: *poison.run.get_ref(),
        },
        // the same input must give the same decisions under strict merge
        pressure_wait: Some(*pressure.wait_seconds.get_ref())
            .filter(|seconds| *seconds > 0 && plan.merge == MergeMode::Live)
            .map(|seconds| Duration::from_secs(u64::from(seconds))),
        accept_state_gap: plan.accept_state_gap,
        until_end: plan.until_end,
    }
}

impl Process {
    /// Starts what the plan names. Everything is checked before a port is bound.
    pub(super) fn start(plan: &Plan<'_>) -> Result<Process, Failure> {
        let features = features(plan.topology)?;
        // checked before anything is opened, and kept where it decides
        let policy = super::check::load(plan.topology, &features)?;
        let desk = Desk::new(&features, plan.topology, None)?.knowing(&policy);
        let mut writers = Writers::built_in();
        writers.add_folder(&plan.topology.schemas()).map_err(invalid)?;
        let decoder = match use_registry_of(plan.topology)? {
            Some(registry) => Decoder::with_registry(writers, registry),
            None => Decoder::new(writers),
        };
        let stores = plan.roles.contains(&Role::Store);
        let opened = open(plan.topology, plan.data, stores && plan.topology.store.is_none())?;
        let runtime = runtime()?;
        let store = match stores {
            true => open_store(plan.topology, opened.database.as_ref(), runtime.handle())?,
            false => None,
        };
        let mut process = Process {
            log: opened.log,
            store,
            stop: Stop::default(),
            clock: Clock::system(),
            address: None,
            sinks_stop: Stop::default(),
            stage: None,
            store_sink: None,
            notify: None,
            server: None,
            until_end: plan.until_end,
            features,
            runtime,
        };
        let health = Health::default();
        let starting = health.part("start");
        if let Err(failure) =
            process.start_parts(plan, &health, decoder, desk, opened.transaction_timeout)
        {
            // whatever has begun ends again before the failure is told
            process.stop.stop();
            process.wait()?;
            return Err(failure);
        }
        starting.ready();
        Ok(process)
    }

    fn start_parts(
        &mut self,
        plan: &Plan<'_>,
        health: &Health,
        decoder: Decoder,
        desk: Desk,
        transaction_timeout: Option<Duration>,
    ) -> Result<(), Failure> {
        let has = |role| plan.roles.contains(&role);
        if has(Role::Api) {
            self.start_server(plan.listen, health)?;
        }
        if let Some(store) = self.store.clone().filter(|_| has(Role::Store)) {
            let context = StoreContext {
                log: Arc::clone(&self.log),
                store,
                clock: self.clock.clone(),
                stop: self.sinks_stop.clone(),
                process: self.stop.clone(),
            };
            self.store_sink = Some(StoreSink::start(context, health).map_err(failed)?);
        }
        if has(Role::Notify) && !plan.topology.webhooks.is_empty() {
            let context = NotifyContext {
                log: Arc::clone(&self.log),
                clock: self.clock.clone(),
                health: health.clone(),
                stop: self.sinks_stop.clone(),
                process: self.stop.clone(),
                runtime: self.runtime.handle().clone(),
                seed: self.clock.now_ms().unsigned_abs() ^ u64::from(std::process::id()),
            };
            let webhooks = plan.topology.webhooks.clone();
            self.notify = Some(Notify::start(context, webhooks).map_err(invalid)?);
        }
        if has(Role::Score) {
            let vault = Vault::open(&plan.topology.snapshots, plan.data, self.runtime.handle());
            let vault = vault?;
            let mut desk = desk.kept_in(vault.clone());
            let engine = desk.engine()?;
            desk.keep()?;
            let context = Context {
                log: Arc::clone(&self.log),
                decoder: Arc::new(decoder),
                switch: Switch::live(engine),
                features: Arc::clone(&self.features),
                // a sole worker on a log of its own sees everything first
                profiles: (plan.topology.kafka.is_some()
                    || *plan.topology.worker.count.get_ref() > 1)
                    .then(Arc::default),
                standby: self.standby(plan)?,
                snapshots: self.snapshot_plan(plan, vault)?,
                clock: self.clock.clone(),
                health: health.clone(),
                stop: self.stop.clone(),
                faults: Faults::default(),
                watchdog: Watchdog::default(),
                progress: stage::Progress::default(),
                pressure: stage::Pressure::default(),
            };
            if let Some(timeout) = transaction_timeout {
                context.watchdog.guard(timeout * 2, nap(), bite).map_err(failed)?;
            }
            let settings = settings(plan, transaction_timeout);
            self.stage = Some(Stage::start(&context, &settings, Some(desk))?);
        }
        Ok(())
    }

    fn standby(&self, plan: &Plan<'_>) -> Result<Option<Standby>, Failure> {
        Ok(match *plan.topology.worker.standby.get_ref() {
            true => Some(Standby::new(self.log.partitions(Topic::Transactions)?)),
            false => None,
        })
    }

    fn snapshot_plan(&self, plan: &Plan<'_>, vault: Vault) -> Result<SnapshotPlan, Failure> {
        let settings = &plan.topology.snapshots;
        if !settings.enabled {
            return Ok(SnapshotPlan::None);
        }
        Ok(SnapshotPlan::Beside(SnapshotMeans {
            vault,
            interval: settings.interval,
            keep: settings.keep,
            partitions: self.log.partitions(Topic::Transactions)?,
        }))
    }

    fn start_server(&mut self, listen: SocketAddr, health: &Health) -> Result<(), Failure> {
        let exporter = Exporter::install(&self.clock).map_err(failed)?;
        let sorter = exporter.clone();
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(limits().metrics_upkeep).await;
                sorter.upkeep();
            }
        });
        let api = Api {
            listen,
            log: Arc::clone(&self.log),
            group: stage::GROUP.to_owned(),
            health: health.clone(),
            exporter: Some(exporter),
            features: Arc::clone(&self.features),
            clock: self.clock.clone(),
            // the last decisions are seen until the sinks are drained too
            stop: self.sinks_stop.clone(),
        };
        let bound = self.runtime.block_on(Bound::bind(api)).map_err(failed)?;
        self.address = Some(bound.addr());
        self.server = Some(self.runtime.spawn(async move {
            if let Err(error) = bound.serve().await {
                tracing::error!(%error, "the server ended");
            }
        }));
        Ok(())
    }

    /// Stops when the process is told to: SIGTERM, SIGINT.
    pub(super) fn stop_on_signals(&self) {
        let stop = self.stop.clone();
        self.runtime.spawn(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
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
            // without workers there is nothing to decide: only the sinks may be behind
            let finished = self.stage.as_ref().map_or(self.until_end, Stage::is_finished);
            if finished || self.stop.wait(nap) {
                break;
            }
        }
        let ended = self.stage.take().map(Stage::join).transpose();
        let caught_up = match &ended {
            Ok(Some(StageEnd::AtEnd) | None) if self.until_end => self.sinks_catch_up(),
            _ => Ok(()),
        };
        self.sinks_stop.stop();
        let stored = self.store_sink.take().map_or(Ok(()), StoreSink::join);
        let told = self.notify.take().map_or(Ok(()), NotifyHandle::join);
        if let Some(server) = self.server.take() {
            let deadline = limits().drain_deadline;
            let drained = async { tokio::time::timeout(deadline, server).await };
            if self.runtime.block_on(drained).is_err() {
                tracing::warn!("open requests were cut off");
            }
        }
        self.runtime.shutdown_timeout(limits().drain_deadline);
        caught_up?;
        stored.map_err(|failure| match failure {
            StoreSinkFailure::Fenced(_) => Failure::new(Exit::InUse, failure),
            _ => failed(failure),
        })?;
        told.map_err(|error| match error {
            NotifyError::Fenced(_) => Failure::new(Exit::InUse, error),
            _ => failed(error),
        })?;
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
            let decided = self.log.caught_up(stage::GROUP, &Topic::INPUTS);
            match decided
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
            let told = self.notify.as_ref().is_none_or(NotifyHandle::caught_up);
            if stored && told {
                return Ok(());
            }
            let lost = self.store_sink.as_ref().is_some_and(StoreSink::is_finished)
                || self.notify.as_ref().is_some_and(NotifyHandle::is_finished);
            if lost {
                return Err(failed("a sink has ended before it had caught up"));
            }
            if said.elapsed() > Duration::from_secs(5) {
                said = Instant::now();
                tracing::info!(stored, told, "waiting for the sinks");
            }
        }
        Ok(())
    }
}

/// A wait that nobody ends: the watchdog guards drains too.
fn nap() -> impl Fn(Duration) -> bool + Send + 'static {
    let never = Stop::default();
    move |wait| never.wait(wait)
}

/// Ends the process at once: whoever waits for a commit that hangs, hangs too.
fn bite(age: Duration) {
    // first of all: even a log that nobody reads must not hold this up
    let last_resort = std::thread::Builder::new().spawn(|| {
        Stop::default().wait(Duration::from_secs(2));
        std::process::abort();
    });
    if last_resort.is_err() {
        std::process::abort();
    }
    tracing::error!(
        ?age,
        "a commit hangs beyond twice the transaction's time-out: ending at once; nothing \
         committed is lost, another process or the next start goes on"
    );
    std::process::exit(Exit::Hung as i32);
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, error)
}
