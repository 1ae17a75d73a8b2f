//! The topics of an embedded data folder, read as `docs/contracts.md` lays them out.
//!
//! The first connection opens a read transaction, takes the ends of all partitions in it and keeps
//! it: whatever is appended later lies past those ends and is not looked at, so a running weir can
//! be judged too. Further connections (one a thread) read the same records up to the same ends.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params};

use crate::contract::Topic;
use crate::error::Unreadable;

use super::batch::unpack;
use super::{Bounds, Log, Read, Records};

const TOPIC_SHIFT: u32 = 55;
const PARTITION_SHIFT: u32 = 43;
/// Batches fetched at a time; a batch is at most some megabytes.
const BATCHES_PER_QUERY: i64 = 8;

/// The log and the tables of one data folder, read-only.
#[derive(Debug)]
pub struct SqliteLog {
    connection: Connection,
    ids: HashMap<Topic, (i64, u32)>,
}

impl SqliteLog {
    /// Opens `weir.db` of the folder in a read transaction.
    ///
    /// # Errors
    /// When there is none, or it has another format.
    pub fn open(folder: &Path) -> Result<SqliteLog, Unreadable> {
        let connection = open_tables(folder)?;
        let ids = topic_ids(&connection)?;
        if ids.is_empty() {
            let place = folder.join("weir.db").display().to_string();
            return Err(Unreadable::NoTopics { place });
        }
        Ok(SqliteLog { connection, ids })
    }

    fn walk(
        &self,
        bounds: &mut Bounds,
        topic: Topic,
        id: i64,
        partition: u32,
    ) -> Result<(), Unreadable> {
        let doing = "read the ids of batches";
        let base = base_of(id, partition);
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, count FROM batch WHERE id >= ?1 AND id < ?2 ORDER BY id")
            .map_err(Unreadable::sqlite(doing))?;
        let mut rows = statement
            .query(params![base, base + (1_i64 << PARTITION_SHIFT)])
            .map_err(Unreadable::sqlite(doing))?;
        let mut next = 0;
        while let Some(row) = rows.next().map_err(Unreadable::sqlite(doing))? {
            let first = row.get::<_, i64>(0).map_err(Unreadable::sqlite(doing))? - base;
            let count: i64 = row.get(1).map_err(Unreadable::sqlite(doing))?;
            bounds.batches += 1;
            if first != next || count <= 0 {
                bounds.disorder.push(format!(
                    "{}/{partition}: a batch of {count} records begins at {first}, expected one \
                     at {next}",
                    topic.name()
                ));
            }
            next = next.max(first + count.max(0));
        }
        bounds.span(topic, partition, 0, next);
        Ok(())
    }

    /// Batches outside all partitions would be records nobody accounts for.
    fn find_strays(&self, bounds: &mut Bounds) -> Result<(), Unreadable> {
        let doing = "count batches";
        let total: i64 = self
            .connection
            .query_row("SELECT count(*) FROM batch", [], |row| row.get(0))
            .map_err(Unreadable::sqlite(doing))?;
        let known_elsewhere: i64 = self.batches_of_other_topics()?;
        let strays = total - known_elsewhere - i64::try_from(bounds.batches).unwrap_or(i64::MAX);
        if strays != 0 {
            let what = format!("{strays} batches belong to no partition of any topic");
            bounds.disorder.push(what);
        }
        Ok(())
    }

    fn batches_of_other_topics(&self) -> Result<i64, Unreadable> {
        let known: Vec<&str> = self.ids.keys().map(|topic| topic.name()).collect();
        let sql = format!(
            "SELECT coalesce(sum((SELECT count(*) FROM batch WHERE batch.id >= topic.id << {TOPIC_SHIFT} \
             AND batch.id - (topic.id << {TOPIC_SHIFT}) < topic.partitions << {PARTITION_SHIFT})), 0) \
             FROM topic WHERE name NOT IN ('{}')",
            known.join("','")
        );
        self.connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(Unreadable::sqlite("count batches of other topics"))
    }

    fn read_positions(&self, bounds: &mut Bounds) -> Result<(), Unreadable> {
        let doing = "read committed positions";
        let mut statement = self
            .connection
            .prepare("SELECT grp, topic, partition, next FROM position")
            .map_err(Unreadable::sqlite(doing))?;
        let mut rows = statement.query([]).map_err(Unreadable::sqlite(doing))?;
        while let Some(row) = rows.next().map_err(Unreadable::sqlite(doing))? {
            let get = || -> rusqlite::Result<(String, Value, u32, i64)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            };
            let (group, topic, partition, next) = get().map_err(Unreadable::sqlite(doing))?;
            // the contract does not say whether it is the topic's id or its name
            let topic = match topic {
                Value::Integer(id) => self.topic_of(id),
                Value::Text(name) => Topic::from_name(&name),
                _ => None,
            };
            if let Some(topic) = topic {
                bounds.commit(group, topic, partition, next);
            }
        }
        Ok(())
    }

    fn topic_of(&self, id: i64) -> Option<Topic> {
        let mut ids = self.ids.iter();
        ids.find_map(|(topic, (of, _))| (*of == id).then_some(*topic))
    }
}

impl Log for SqliteLog {
    /// Walks the ids of all batches and reads the committed positions.
    fn bounds(&self) -> Result<Bounds, Unreadable> {
        let mut bounds = Bounds::default();
        for (&topic, &(id, partitions)) in &self.ids {
            bounds.partitions.insert(topic, partitions);
            for partition in 0..partitions {
                self.walk(&mut bounds, topic, id, partition)?;
            }
        }
        self.find_strays(&mut bounds)?;
        self.read_positions(&mut bounds)?;
        bounds.disorder.sort();
        Ok(bounds)
    }

    fn records(&self, topic: Topic, partition: u32, from: i64, until: i64) -> Records<'_> {
        let base = self
            .ids
            .get(&topic)
            .filter(|(_, partitions)| partition < *partitions)
            .map(|(id, _)| base_of(*id, partition));
        Box::new(Batches {
            log: self,
            topic,
            partition,
            base,
            from,
            next: from,
            until,
            started: false,
            ready: VecDeque::new(),
        })
    }

    fn tables(&self) -> Option<&Connection> {
        Some(&self.connection)
    }
}

/// Opens `weir.db` of a folder, read-only and in a read transaction: the tables, with or without
/// topics beside them.
///
/// # Errors
/// When there is none, or it has another format.
pub fn open_tables(folder: &Path) -> Result<Connection, Unreadable> {
    let path = folder.join("weir.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    std::fs::metadata(&path).map_err(|source| Unreadable::File { path: path.clone(), source })?;
    let open = Unreadable::sqlite("open weir.db");
    let connection = Connection::open_with_flags(&path, flags).map_err(open)?;
    let begin = Unreadable::sqlite("begin reading weir.db");
    connection.execute_batch("BEGIN").map_err(begin)?;
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(Unreadable::sqlite("read the format of weir.db"))?;
    if !(1..=2).contains(&found) {
        return Err(Unreadable::Format { path, found });
    }
    Ok(connection)
}

fn topic_ids(connection: &Connection) -> Result<HashMap<Topic, (i64, u32)>, Unreadable> {
    let doing = "read the topics";
    let mut statement = connection
        .prepare("SELECT name, id, partitions FROM topic")
        .map_err(Unreadable::sqlite(doing))?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(Unreadable::sqlite(doing))?;
    let mut ids = HashMap::new();
    for row in rows {
        let (name, id, partitions): (String, i64, u32) = row.map_err(Unreadable::sqlite(doing))?;
        if let Some(topic) = Topic::from_name(&name) {
            ids.insert(topic, (id, partitions));
        }
    }
    Ok(ids)
}

fn base_of(topic_id: i64, partition: u32) -> i64 {
    (topic_id << TOPIC_SHIFT) | (i64::from(partition) << PARTITION_SHIFT)
}

/// Iterator over the records of a partition.
struct Batches<'a> {
    log: &'a SqliteLog,
    topic: Topic,
    partition: u32,
    base: Option<i64>,
    from: i64,
    next: i64,
    until: i64,
    started: bool,
    ready: VecDeque<Read>,
}

impl Iterator for Batches<'_> {
    type Item = Result<Read, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.ready.pop_front() {
                Some(Ok(record)) if record.offset < self.from => {}
                Some(Ok(record)) if record.offset >= self.until => return None,
                Some(read) => return Some(Ok(read)),
                None => match self.fill() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}

impl Batches<'_> {
    /// Fetches some batches; false when there are no more.
    fn fill(&mut self) -> Result<bool, Unreadable> {
        let Some(base) = self.base.filter(|_| self.next < self.until) else {
            return Ok(false);
        };
        let doing = "read batches";
        // the batch that holds the first record wanted may begin before it
        let mut statement = self
            .log
            .connection
            .prepare_cached(
                "SELECT id, count, body FROM batch WHERE id >= CASE WHEN ?5 THEN ?2 ELSE \
                 coalesce((SELECT max(id) FROM batch WHERE id >= ?1 AND id <= ?2), ?2) END \
                 AND id < ?3 ORDER BY id LIMIT ?4",
            )
            .map_err(Unreadable::sqlite(doing))?;
        let limits =
            params![base, base + self.next, base + self.until, BATCHES_PER_QUERY, self.started];
        let mut rows = statement.query(limits).map_err(Unreadable::sqlite(doing))?;
        self.started = true;
        let before = self.next;
        while let Some(row) = rows.next().map_err(Unreadable::sqlite(doing))? {
            let first = row.get::<_, i64>(0).map_err(Unreadable::sqlite(doing))? - base;
            let count: i64 = row.get(1).map_err(Unreadable::sqlite(doing))?;
            let body = row.get_ref(2).map_err(Unreadable::sqlite(doing))?;
            // text or null in its place is damage like any other
            let body = body.as_blob().unwrap_or_default();
            if let Err(what) =
                unpack(self.topic, self.partition, first, count, body, &mut self.ready)
            {
                self.ready.push_back(Err(format!(
                    "{}/{}@{first}: the batch of {count} records is damaged: {what}",
                    self.topic.name(),
                    self.partition
                )));
            }
            self.next = self.next.max(first + count);
        }
        Ok(self.next > before)
    }
}
