//! Lives of workers: started again after a crash, ended for good when that would do harm.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::poison::{PoisonGauge, TooMuchPoison};
use super::process::Processor;
use super::snapshots::Table;
use super::worker::{Crash, Ended, Life};
use super::{Context, Gap, Settings, control, lag, listen};
use crate::config::limits;
use crate::event::Position;
use crate::log::{LogError, Restarts};
use crate::policy::Desk;
use crate::telemetry::{Part, Stop};

/// How the stage ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageEnd {
    /// a stop was wanted, and everything taken is committed
    Drained,
    /// every input was taken up to its end
    AtEnd,
}

/// Why the stage ended for good.
#[derive(Debug, thiserror::Error)]
pub enum StageFailure {
    /// too much bad input
    #[error(
        "too many bad records: {0}; the last batch was not committed. mend the cause, or raise \
         [poison] in weir.toml to let them become dead letters, and start again"
    )]
    Poison(TooMuchPoison),
    /// too many records that panic
    #[error("{0} records panicked this weir: it is not fit for this input")]
    Panics(usize),
    /// the state would lack records
    #[error("{0} --accept-state-gap goes on without and marks each decision")]
    StateGap(Gap),
    /// somebody else has this identity
    #[error(
        "fenced twice within some minutes: another running process has the same [kafka] process \
         name, expected one of its own for each ({0})"
    )]
    Fenced(LogError),
    /// the log is closed, or failed while the stage was to drain
    #[error("{0}")]
    Log(LogError),
    /// a thread could not be started, or ended without a word
    #[error("worker {0} ended without a word")]
    Lost(u32),
}

/// Running workers.
#[derive(Debug)]
pub struct Stage {
    /// measures lag, listens to what every process hears, follows what others own
    aside: Vec<JoinHandle<()>>,
    aside_stop: Stop,
    workers: Vec<JoinHandle<Result<StageEnd, StageFailure>>>,
}

impl Stage {
    /// Starts the workers. `desk`: takes the changes of what decides; without one there are none.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        context: &Context,
        settings: &Settings,
        desk: Option<Desk>,
    ) -> Result<Stage, StageFailure> {
        let pressure = settings.pressure_wait.map(|wait| (context.pressure.clone(), wait));
        let aside_stop = Stop::default();
        let lag = lag::start(
            Arc::clone(&context.log),
            context.progress.clone(),
            context.clock.clone(),
            aside_stop.clone(),
            pressure,
        );
        // where no feature is of an entity there is nothing to keep
        let profiles = context.profiles.as_ref().filter(|_| context.features.has_profiles());
        let table = profiles.map(|profiles| Table {
            set: Arc::clone(&context.features),
            profiles: Arc::clone(profiles),
        });
        let listen = listen::start(
            Arc::clone(&context.log),
            context.clock.clone(),
            table,
            context.snapshots.clone(),
            context.health.part("profiles"),
            aside_stop.clone(),
        );
        let (Ok(lag), Ok(listen)) = (lag, listen) else {
            aside_stop.stop();
            return Err(StageFailure::Lost(0));
        };
        let mut aside = vec![lag, listen];
        if let Some(desk) = desk {
            let control = control::start(
                Arc::clone(&context.log),
                desk,
                context.switch.clone(),
                context.health.part("control"),
                aside_stop.clone(),
            );
            let Ok(control) = control else {
                aside_stop.stop();
                return Err(StageFailure::Lost(0));
            };
            aside.push(control);
        }
        if let Some(standby) = &context.standby {
            let Ok(standby) = standby.start(context, settings, aside_stop.clone()) else {
                aside_stop.stop();
                return Err(StageFailure::Lost(0));
            };
            aside.push(standby);
        }
        let mut workers = Vec::new();
        for index in 0..settings.workers {
            let part = context.health.part(format!("worker-{index}"));
            let (context, settings) = (context.clone(), settings.clone());
            let worker = std::thread::Builder::new()
                .name(format!("weir-worker-{index}"))
                .spawn(move || {
                    let ended = live_again(&context, &settings, index, &part);
                    match &ended {
                        Ok(_) => part.not_ready("ended"),
                        Err(failure) => {
                            part.not_ready(failure.to_string());
                            // one worker that must not go on stops them all
                            context.stop.stop();
                        }
                    }
                    ended
                })
                .map_err(|_| StageFailure::Lost(index))?;
            workers.push(worker);
        }
        Ok(Stage { aside, aside_stop, workers })
    }

    /// Whether all workers have ended.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Waits until all workers have ended.
    ///
    /// # Errors
    /// The first reason for which one ended for good.
    pub fn join(self) -> Result<StageEnd, StageFailure> {
        let mut end = StageEnd::AtEnd;
        let mut failed = None;
        for (index, worker) in (0..).zip(self.workers) {
            match worker.join() {
                Ok(Ok(StageEnd::AtEnd)) => {}
                Ok(Ok(StageEnd::Drained)) => end = StageEnd::Drained,
                Ok(Err(failure)) => failed = failed.or(Some(failure)),
                Err(_) => failed = failed.or(Some(StageFailure::Lost(index))),
            }
        }
        self.aside_stop.stop();
        for aside in self.aside {
            if aside.join().is_err() {
                tracing::error!("a thread beside the workers panicked");
            }
        }
        failed.map_or(Ok(end), Err)
    }
}

/// One worker's lives.
fn live_again(
    context: &Context,
    settings: &Settings,
    index: u32,
    part: &Part,
) -> Result<StageEnd, StageFailure> {
    let mut panicked: HashSet<Position> = HashSet::new();
    let mut gauge = PoisonGauge::new(settings.poison);
    let mut restarts = Restarts::begin("worker");
    loop {
        let crash = match live(context, settings, index, part, &panicked, &mut gauge) {
            Ok(Ended::Drained) => return Ok(StageEnd::Drained),
            Ok(Ended::AtEnd) => return Ok(StageEnd::AtEnd),
            Err(crash) => crash,
        };
        if context.stop.is_stopped() {
            // the drain failed: nothing is lost, but not everything taken is committed
            tracing::error!(worker = index, %crash, "could not drain");
            return Err(match crash {
                Crash::Log(error) => StageFailure::Log(error),
                Crash::Poison(limit) => StageFailure::Poison(limit),
                Crash::StateGap(gap) => StageFailure::StateGap(gap),
                Crash::Panicked(_)
                | Crash::Encode(_)
                | Crash::Registry(_)
                | Crash::Interrupted
                | Crash::Snapshot(_) => {
                    return Ok(StageEnd::Drained);
                }
            });
        }
        let told = crash.to_string();
        let reason = match crash {
            Crash::Poison(limit) => return Err(StageFailure::Poison(limit)),
            Crash::Panicked(position) => {
                panicked.insert(position);
                if panicked.len() > limits().panics_max {
                    return Err(StageFailure::Panics(panicked.len()));
                }
                "panic"
            }
            Crash::StateGap(gap) => return Err(StageFailure::StateGap(gap)),
            Crash::Log(LogError::Closed) => return Err(StageFailure::Log(LogError::Closed)),
            Crash::Log(error) if restarts.is_usurped(&error) => {
                return Err(StageFailure::Fenced(error));
            }
            Crash::Log(LogError::Fenced { .. }) => "fenced",
            Crash::Log(_) => "log",
            Crash::Encode(_) => "encode",
            Crash::Registry(_) => "registry",
            Crash::Snapshot(_) => "snapshot",
            Crash::Interrupted => "stop",
        };
        let pause = restarts.pause(reason);
        tracing::error!(worker = index, crash = told, ?pause, "worker crashed, starting again");
        part.not_ready(format!("{told}; starting again"));
        if context.stop.wait(pause) {
            return Ok(StageEnd::Drained);
        }
    }
}

fn live(
    context: &Context,
    settings: &Settings,
    index: u32,
    part: &Part,
    panicked: &HashSet<Position>,
    gauge: &mut PoisonGauge,
) -> Result<Ended, Crash> {
    let processor = Processor::of(context, settings);
    let life = Life::begin(context, settings, index, part, panicked, gauge, processor);
    let mut life = life?;
    let ended = life.run();
    life.leave();
    ended
}
