//! The data folder: one SQLite file, one lock, one thread that writes.
//!
//! Everybody who wants something written hands a job to the writer and waits for its answer. The
//! writer takes all jobs that have gathered, runs them in one SQLite transaction (each behind its
//! own savepoint, so that a bad one fails alone) and answers once that is on disk: under load one
//! sync serves many.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::event::{Position, Topic};
use crate::log::LogError;

use super::keys;

/// The format of the data folder; raised when an older weir could not read it any more.
const FORMAT: i64 = 2;
/// Jobs that wait for the writer before the next caller has to wait.
const QUEUE_MAX: usize = 64;
/// The longest a caller waits for the writer.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// How to open a data folder.
#[derive(Clone, Debug)]
pub struct Options {
    /// partitions of each topic, for a new folder; an existing one keeps what it has
    pub partitions: u32,
    /// whether each commit waits for the disk; without, a power failure may undo the last ones
    pub durable: bool,
    /// pages of 4 KiB the file may grow to, for tests of a full disk
    pub pages_max: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options { partitions: 4, durable: true, pages_max: None }
    }
}

/// Records of one partition, packed, on their way to the `batch` table.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) count: i64,
    pub(super) body: Vec<u8>,
}

/// Work for the writer, inside its transaction.
pub type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

enum Job {
    Append { chunks: Vec<Chunk>, group: String, positions: Vec<Position> },
    Work(Work),
}

type Answer = Sender<Result<(), LogError>>;

/// A handle on an open data folder. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    ends: Arc<Ends>,
    partitions: HashMap<Topic, u32>,
    /// for questions with one answer; whoever reads much has a connection of its own
    asking: Mutex<Connection>,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    jobs: Option<Sender<(Job, Answer)>>,
    thread: Option<JoinHandle<()>>,
    // held as long as the folder is ours
    _lock: File,
}

impl Database {
    /// Opens the folder for reading and writing, making it if it is not there.
    ///
    /// # Errors
    /// When another process holds it, a newer weir wrote it, or it cannot be written.
    pub fn open(folder: &Path, options: &Options) -> Result<Database, LogError> {
        std::fs::create_dir_all(folder).map_err(|source| LogError::Io {
            doing: "create data folder",
            path: folder.display().to_string(),
            source,
        })?;
        let lock = lock(folder)?;
        let connection = Connection::open(folder.join("weir.db"))
            .map_err(|error| sqlite(folder, "open the data file", error))?;
        prepare(&connection, folder, options)?;
        let (ends, partitions) = load(&connection, folder)?;
        let ends = Arc::new(ends);
        let (jobs, queue) = bounded(QUEUE_MAX);
        let loop_ends = Arc::clone(&ends);
        let loop_folder = folder.to_owned();
        let thread = std::thread::Builder::new()
            .name("weir-writer".into())
            .spawn(move || write_loop(&connection, &queue, &loop_ends, &loop_folder))
            .map_err(|source| LogError::Io {
                doing: "start the writer of",
                path: folder.display().to_string(),
                source,
            })?;
        let writer = Writer { jobs: Some(jobs), thread: Some(thread), _lock: lock };
        Ok(Database {
            shared: Arc::new(Shared {
                folder: folder.to_owned(),
                ends,
                partitions,
                asking: Mutex::new(connect_read_only(folder)?),
                writer: Some(writer),
            }),
        })
    }

    /// Opens the folder for reading, beside whoever writes it.
    ///
    /// # Errors
    /// When there is no data, or a newer weir wrote it.
    pub fn open_read_only(folder: &Path) -> Result<Database, LogError> {
        let path = folder.join("weir.db");
        if !path.exists() {
            return Err(LogError::Missing {
                folder: folder.display().to_string(),
                path: path.display().to_string(),
            });
        }
        let connection = connect_read_only(folder)?;
        check_format(&connection, folder)?;
        let (ends, partitions) = load(&connection, folder)?;
        Ok(Database {
            shared: Arc::new(Shared {
                folder: folder.to_owned(),
                ends: Arc::new(ends),
                partitions,
                asking: Mutex::new(connection),
                writer: None,
            }),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// A connection of one's own for reading.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn connect(&self) -> Result<Connection, LogError> {
        connect_read_only(&self.shared.folder)
    }

    /// Asks the shared connection something small.
    pub(super) fn ask<T>(
        &self,
        doing: &'static str,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LogError> {
        let connection = self.shared.asking.lock().unwrap_or_else(PoisonError::into_inner);
        question(&connection).map_err(|error| self.error(doing, error))
    }

    /// Runs `work` in the writer's next transaction and waits until it is durable.
    ///
    /// # Errors
    /// When it failed or its outcome is not known; nothing of it is kept in the former case.
    pub fn write(&self, work: Work) -> Result<(), LogError> {
        self.submit(Job::Work(work))
    }

    /// Names what an error of SQLite was about, with a full disk told apart.
    pub fn error(&self, doing: &'static str, error: rusqlite::Error) -> LogError {
        sqlite(&self.shared.folder, doing, error)
    }

    pub(super) fn append(
        &self,
        chunks: Vec<Chunk>,
        group: &str,
        positions: Vec<Position>,
    ) -> Result<(), LogError> {
        self.submit(Job::Append { chunks, group: group.to_owned(), positions })
    }

    pub(super) fn ends(&self) -> &Arc<Ends> {
        &self.shared.ends
    }

    pub(super) fn partitions(&self, topic: Topic) -> u32 {
        self.shared.partitions.get(&topic).copied().unwrap_or(0)
    }

    fn submit(&self, job: Job) -> Result<(), LogError> {
        let Some(jobs) = self.shared.writer.as_ref().and_then(|writer| writer.jobs.as_ref()) else {
            return Err(LogError::ReadOnly { folder: self.shared.folder.display().to_string() });
        };
        let timeout = LogError::Timeout { doing: "writing", after: WRITE_DEADLINE };
        let (answer, answered) = bounded(1);
        jobs.send_timeout((job, answer), WRITE_DEADLINE).map_err(|error| match error {
            crossbeam_channel::SendTimeoutError::Timeout(_) => timeout,
            crossbeam_channel::SendTimeoutError::Disconnected(_) => LogError::Closed,
        })?;
        match answered.recv_timeout(WRITE_DEADLINE) {
            Ok(result) => result,
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                Err(LogError::Timeout { doing: "writing", after: WRITE_DEADLINE })
            }
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(LogError::Closed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // closing the queue ends the loop once it has written what was handed in
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the data folder panicked");
        }
    }
}

/// Where each partition ends, and a bell that rings when one has grown.
#[derive(Debug, Default)]
pub(super) struct Ends {
    ends: Mutex<HashMap<(Topic, u32), i64>>,
    grown: Condvar,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Topic, u32), i64>> {
        // a panic elsewhere cannot leave the map half written: inserts are single steps
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, topic: Topic, partition: u32) -> i64 {
        self.lock().get(&(topic, partition)).copied().unwrap_or(0)
    }

    /// Waits until `ready` finds what it wants or the deadline has passed.
    pub(super) fn wait(
        &self,
        wait: Duration,
        mut ready: impl FnMut(&HashMap<(Topic, u32), i64>) -> bool,
    ) {
        let deadline = Instant::now() + wait;
        let mut ends = self.lock();
        while !ready(&ends) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            ends = self
                .grown
                .wait_timeout(ends, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(ends, _)| ends);
        }
    }

    fn publish(&self, grown: HashMap<(Topic, u32), i64>) {
        if !grown.is_empty() {
            self.lock().extend(grown);
            self.grown.notify_all();
        }
    }
}

fn lock(folder: &Path) -> Result<File, LogError> {
    let path = folder.join("weir.lock");
    let io = |doing| {
        let path = path.display().to_string();
        move |source| LogError::Io { doing, path, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io("open the lock file"))?;
    match file.try_lock() {
        Ok(()) => {
            // the pid is a courtesy to whoever is refused; the lock itself is the file's
            let note = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            note.map_err(io("write the lock file"))?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = file.rewind().and_then(|()| file.read_to_string(&mut pid));
            Err(LogError::Locked {
                folder: folder.display().to_string(),
                pid: read.ok().and_then(|_| pid.trim().parse().ok()),
            })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io("lock")(source)),
    }
}

fn connect_read_only(folder: &Path) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(folder.join("weir.db"), flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(connection)
    };
    open().map_err(|error| sqlite(folder, "open the data file", error))
}

fn check_format(connection: &Connection, folder: &Path) -> Result<i64, LogError> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| sqlite(folder, "read the format of the data file", error))?;
    if found > FORMAT {
        let folder = folder.display().to_string();
        return Err(LogError::NewerFormat { folder, found, supported: FORMAT });
    }
    Ok(found)
}

const TABLES: &str = "
CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
CREATE TABLE batch (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE position (
    grp TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (grp, topic, partition)) WITHOUT ROWID;
";

fn prepare(connection: &Connection, folder: &Path, options: &Options) -> Result<(), LogError> {
    let failed = |error| sqlite(folder, "prepare the data file", error);
    let found = check_format(connection, folder)?;
    let synchronous = if options.durable { "FULL" } else { "OFF" };
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;"
        ))
        .map_err(failed)?;
    if let Some(pages) = options.pages_max {
        connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).map_err(failed)?;
    }
    if found == 0 {
        let create = || {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            connection.execute_batch(TABLES)?;
            connection.execute_batch(&format!("PRAGMA user_version = {FORMAT}; COMMIT"))
        };
        create().map_err(failed)?;
    }
    if (1..FORMAT).contains(&found) {
        // what an older weir lacks is added by whoever uses it; that weir must not come back to it
        let mark = format!("PRAGMA user_version = {FORMAT}");
        connection.execute_batch(&mark).map_err(failed)?;
    }
    // also those that an older weir did not know
    for topic in Topic::ALL {
        connection
            .execute(
                "INSERT OR IGNORE INTO topic (id, name, partitions) VALUES
                 (?1, ?2, coalesce(?3, (SELECT partitions FROM topic WHERE id = 0), ?4))",
                params![
                    keys::topic_id(topic),
                    topic.name(),
                    (topic == Topic::Control).then_some(1),
                    options.partitions
                ],
            )
            .map_err(failed)?;
    }
    Ok(())
}

fn load(connection: &Connection, folder: &Path) -> Result<(Ends, HashMap<Topic, u32>), LogError> {
    let failed = |error| sqlite(folder, "read the topics", error);
    let mut partitions = HashMap::new();
    let mut ends = HashMap::new();
    for topic in Topic::ALL {
        let count: u32 = connection
            .query_row("SELECT partitions FROM topic WHERE name = ?1", [topic.name()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(failed)?
            // a folder of an older weir, opened for reading
            .unwrap_or(0);
        partitions.insert(topic, count);
        for partition in 0..count {
            let last = connection
                .prepare_cached(
                    "SELECT id, count FROM batch WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1",
                )
                .and_then(|mut statement| {
                    let (low, high) = keys::partition_range(topic, partition);
                    let mut rows = statement.query(params![low, high])?;
                    rows.next()?.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
                })
                .map_err(failed)?;
            let end = last.map_or(0, |(id, count): (i64, i64)| keys::offset(id) + count);
            ends.insert((topic, partition), end);
        }
    }
    Ok((Ends { ends: Mutex::new(ends), grown: Condvar::new() }, partitions))
}

fn sqlite(folder: &Path, doing: &'static str, source: rusqlite::Error) -> LogError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            LogError::DiskFull { folder: folder.display().to_string(), doing }
        }
        _ => LogError::Sqlite { doing, source },
    }
}

fn write_loop(
    connection: &Connection,
    queue: &Receiver<(Job, Answer)>,
    ends: &Ends,
    folder: &Path,
) {
    // ends when every handle is gone and what they handed in is written
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        jobs.extend(queue.try_iter().take(QUEUE_MAX));
        write_group(connection, jobs, ends, folder);
    }
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "could not fold the write-ahead log into the data file");
    }
}

/// Runs the jobs in one transaction and answers each.
fn write_group(connection: &Connection, jobs: Vec<(Job, Answer)>, ends: &Ends, folder: &Path) {
    let mut grown = HashMap::new();
    let mut answers: Vec<(Answer, rusqlite::Result<()>)> = Vec::with_capacity(jobs.len());
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    for (job, answer) in jobs {
        // an error may have rolled the whole transaction back: then nothing more belongs into it,
        // and the commit fails for everybody
        let done = match &begun {
            Ok(()) if !connection.is_autocommit() => write_job(connection, job, &mut grown, ends),
            _ => Ok(()),
        };
        answers.push((answer, done));
    }
    let committed = begun.and_then(|()| connection.execute_batch("COMMIT"));
    match committed {
        Ok(()) => ends.publish(grown),
        Err(_) if connection.is_autocommit() => {}
        Err(_) => {
            if let Err(error) = connection.execute_batch("ROLLBACK") {
                tracing::error!(%error, "could not roll back");
            }
        }
    }
    for (answer, done) in answers {
        let result = match (&committed, done) {
            (Ok(()), Ok(())) => Ok(()),
            (_, Err(error)) => Err(sqlite(folder, "write", error)),
            (Err(error), Ok(())) => Err(sqlite(folder, "commit", copy(error))),
        };
        // nobody listens any more: the caller gave up at its deadline
        let _gone = answer.send(result);
    }
}

/// SQLite's errors cannot be cloned; the code and the text are what everybody in the group gets.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}

fn write_job(
    connection: &Connection,
    job: Job,
    grown: &mut HashMap<(Topic, u32), i64>,
    ends: &Ends,
) -> rusqlite::Result<()> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    let mut mine = HashMap::new();
    let done = match job {
        Job::Append { chunks, group, positions } => append(connection, &chunks, &mut mine, |key| {
            grown.get(key).copied().unwrap_or_else(|| ends.get(key.0, key.1))
        })
        .and_then(|()| put_positions(connection, &group, &positions)),
        Job::Work(work) => work(connection),
    };
    match done {
        Ok(()) => {
            grown.extend(mine);
            connection.prepare_cached("RELEASE job")?.execute([])?;
            Ok(())
        }
        Err(error) => {
            // a full disk has already rolled the whole transaction back, savepoint and all
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK TO job; RELEASE job")?;
            }
            Err(error)
        }
    }
}

fn append(
    connection: &Connection,
    chunks: &[Chunk],
    grown: &mut HashMap<(Topic, u32), i64>,
    end: impl Fn(&(Topic, u32)) -> i64,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO batch (id, count, body) VALUES (?1, ?2, ?3)")?;
    for chunk in chunks {
        let next = grown.entry((chunk.topic, chunk.partition)).or_insert_with_key(&end);
        let id = keys::batch_id(Position {
            topic: chunk.topic,
            partition: chunk.partition,
            offset: *next,
        });
        statement.execute(params![id, chunk.count, chunk.body])?;
        *next += chunk.count;
    }
    Ok(())
}

fn put_positions(
    connection: &Connection,
    group: &str,
    positions: &[Position],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO position (grp, topic, partition, next) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET next = excluded.next",
    )?;
    for position in positions {
        let topic = keys::topic_id(position.topic);
        statement.execute(params![group, topic, position.partition, position.offset])?;
    }
    Ok(())
}
