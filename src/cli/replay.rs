//! `weir replay`: history onto the topics, at its own speed or faster.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::feed::{Feed, Pacer};
use super::open::open_log;
use super::{Exit, Failure, Places};
use crate::event::Millis;
use crate::log::Log;
use crate::replay::{Map, Mapped, ReplayError, Rows};
use crate::telemetry::{Clock, Stop};

/// Events appended at once at the most.
const BATCH_MAX: usize = 2_000;
/// Bad rows shown.
const SHOWN_MAX: u64 = 10;

/// Replays CSV or JSON Lines files, plain or zstd, onto the topics of the data folder.
///
/// A replay that was interrupted goes on where it was; --restart begins again. At most one batch is
/// sent twice, which weir recognises as duplicates.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir replay events.jsonl\n  \
    weir replay payments.csv.zst --map maps/payments.toml --limit 200000\n  \
    weir replay payments.csv.zst --map maps/payments.toml --speed 60    (a minute a second)")]
pub(super) struct Replay {
    /// Files to replay, one after another; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How columns become events; without it, JSON Lines in weir's own form
    #[arg(long, value_name = "MAP.toml")]
    map: Option<PathBuf>,
    /// Speed as a multiple of the events' own: 1 is the original; default: flat out
    #[arg(long, conflicts_with = "rate")]
    speed: Option<f64>,
    /// Events per second of wall time, whether or not the receiver keeps up
    #[arg(long)]
    rate: Option<f64>,
    /// Only so many rows of each file
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    /// Begin again, whatever was replayed before
    #[arg(long)]
    restart: bool,
    /// Go on past rows that are not events; they are counted
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    places: Places,
}

/// How far a file was replayed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// the last row whose events are all on the topics
    row: u64,
    events: u64,
    /// size of the file when its end was reached; 0 before
    done_at_bytes: u64,
}

impl Replay {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let map = self.map.as_deref().map(Map::load).transpose();
        let map = map.map_err(|error| Failure::new(Exit::Invalid, error))?;
        let topology = self.places.load()?;
        let data = self.places.data()?;
        let log = open_log(&topology, &data)?;
        let cluster =
            topology.kafka.as_ref().map(|kafka| format!("{}\n{}", kafka.brokers, kafka.prefix));
        for file in &self.files {
            self.replay(file, map.as_ref(), &log, &data, cluster.as_deref())?;
        }
        Ok(())
    }

    fn replay(
        &self,
        file: &Path,
        map: Option<&Map>,
        log: &Arc<dyn Log>,
        data: &Path,
        cluster: Option<&str>,
    ) -> Result<(), Failure> {
        let opened = match map {
            Some(map) => Rows::open(file, map),
            None => Rows::open_events(file),
        };
        let mut rows = opened.map_err(|error| Failure::new(Exit::Invalid, error))?;
        let place = self.progress_file(file, data, cluster)?;
        let size = rows.total_bytes().unwrap_or(0);
        let mut progress = match &place {
            Some(place) if !self.restart => read_progress(place),
            _ => Progress::default(),
        };
        let name = file.display();
        if progress.done_at_bytes > 0 && progress.done_at_bytes == size {
            eprintln!(
                "{name}: replayed already ({} events); --restart begins again",
                progress.events
            );
            return Ok(());
        }
        if progress.row > 0 {
            eprintln!("{name}: goes on after row {}", progress.row);
        }
        let bar = bar(rows.total_bytes());
        let mut pace = Pace::new(self.speed, self.rate);
        let mut feed = Feed::new(log)?;
        let clock = Clock::system();
        let mut bad = 0;
        let mut last_row = progress.row;
        let mut at_end = true;
        for row in rows.by_ref() {
            let Mapped { event, row, bytes_read, .. } = match row {
                Ok(mapped) => mapped,
                Err(error) => {
                    bad += 1;
                    self.bad_row(&error, bad, &bar)?;
                    continue;
                }
            };
            if row <= progress.row {
                continue;
            }
            if self.limit.is_some_and(|limit| row > limit) {
                at_end = false;
                break;
            }
            // events of one row stay together: only between rows is a batch whole
            if row != last_row && feed.pending() >= BATCH_MAX {
                flush(&mut feed, &mut progress, last_row, place.as_deref())?;
                bar.set_position(bytes_read);
            }
            if let Some(early) = pace.early(event.event_time()) {
                // in the middle of a row only what is due goes out: the row is not done yet
                let done = if row == last_row { progress.row } else { last_row };
                flush(&mut feed, &mut progress, done, place.as_deref())?;
                bar.set_position(bytes_read);
                pace.nap(early);
            }
            feed.push(&event, clock.now_ms())?;
            last_row = row;
        }
        progress.done_at_bytes = if at_end { size } else { 0 };
        flush(&mut feed, &mut progress, last_row, place.as_deref())?;
        bar.finish_and_clear();
        let seconds = pace.began.elapsed().as_secs_f64();
        eprintln!("{name}: {} events in {seconds:.1} s, {bad} bad rows", progress.events);
        for (reason, count) in rows.skipped() {
            eprintln!("  {count} rows left out: {reason}");
        }
        Ok(())
    }

    fn bad_row(&self, error: &ReplayError, bad: u64, bar: &ProgressBar) -> Result<(), Failure> {
        if error.is_fatal() || !self.skip_bad {
            return Err(Failure::new(Exit::Invalid, error));
        }
        if bad <= SHOWN_MAX {
            bar.suspend(|| eprintln!("{error}"));
        }
        Ok(())
    }

    /// One for each pair of file and map, the map as it is written now. Standard input is another
    /// each time, and has none.
    fn progress_file(
        &self,
        file: &Path,
        data: &Path,
        cluster: Option<&str>,
    ) -> Result<Option<PathBuf>, Failure> {
        if file == Path::new("-") {
            return Ok(None);
        }
        let full = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let map = self.map.as_ref().map(std::fs::read_to_string).transpose();
        let map = map.map_err(|error| Failure::new(Exit::Invalid, error))?;
        let mut name = format!("{}\n{}", full.display(), map.unwrap_or_default());
        if let Some(cluster) = cluster {
            name = format!("{name}\n{cluster}");
        }
        let file = format!("{:016x}.json", xxh3_64(name.as_bytes()));
        Ok(Some(data.join("replay").join(file)))
    }
}

fn read_progress(place: &Path) -> Progress {
    std::fs::read(place)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn flush(
    feed: &mut Feed,
    progress: &mut Progress,
    row: u64,
    place: Option<&Path>,
) -> Result<(), Failure> {
    progress.events += feed.pending() as u64;
    progress.row = row;
    feed.flush()?;
    let Some(place) = place else { return Ok(()) };
    let write = || {
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let aside = place.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec(&progress)?)?;
        std::fs::rename(&aside, place)
    };
    write().map_err(|error| {
        let message = format!("cannot keep the progress in {}: {error}", place.display());
        Failure::new(Exit::Failed, message)
    })
}

/// The bar of a command that reads so many bytes of files.
pub(super) fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:40} {percent}% {bytes_per_sec} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    bar.with_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// When an event is due.
struct Pace {
    began: Instant,
    speed: Option<f64>,
    first: Option<Millis>,
    pacer: Pacer,
}

impl Pace {
    fn new(speed: Option<f64>, rate: Option<f64>) -> Pace {
        let speed = speed.filter(|speed| *speed > 0.0);
        Pace { began: Instant::now(), speed, first: None, pacer: Pacer::new(rate) }
    }

    fn early(&mut self, time: Millis) -> Option<Duration> {
        let Some(speed) = self.speed else {
            return self.pacer.next();
        };
        let first = *self.first.get_or_insert(time);
        let own = (time.0 - first.0).max(0) as f64 / 1_000.0;
        let due = Duration::from_secs_f64(own / speed);
        let early = due.saturating_sub(self.began.elapsed());
        (early > Duration::from_millis(5)).then_some(early)
    }

    fn nap(&self, early: Duration) {
        Stop::default().wait(early);
    }
}
