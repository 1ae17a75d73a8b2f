//! What the worker relies on, shown on a real data folder.

use std::time::{Duration, Instant};

use super::*;
use crate::event::Position;
use crate::log::faults::Step;
use crate::log::{Polled, Record, RecordBatch};

fn options() -> Options {
    Options { partitions: 2, durable: false, pages_max: None }
}

fn at(topic: Topic, partition: u32, offset: i64) -> Position {
    Position { topic, partition, offset }
}

fn batch(topic: Topic, payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (i, payload) in payloads.iter().enumerate() {
        batch.push(topic, (i % 2) as u32, 7, b"k", payload.as_bytes());
    }
    batch
}

fn payloads(log: &EmbeddedLog, topic: Topic, partition: u32) -> Vec<String> {
    let mut records: Vec<Record> = Vec::new();
    let end = log.end(topic, partition).unwrap();
    let mut next = 0;
    while next < end {
        next =
            log.reader().unwrap().read(at(topic, partition, next), end, 1, &mut records).unwrap();
    }
    for (i, record) in records.iter().enumerate() {
        assert_eq!(record.position, at(topic, partition, i as i64));
    }
    records.iter().map(|r| String::from_utf8(r.payload().to_vec()).unwrap()).collect()
}

#[test]
fn a_transaction_is_seen_whole_with_its_positions_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    {
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
        let mut producer = log.producer(&Member::sole("g")).unwrap();
        let membership = crate::log::Membership { group: "g".into(), ..Default::default() };
        for round in 0..3 {
            producer.begin().unwrap();
            producer.send(&batch(Topic::Decisions, &["a", "b", "c"])).unwrap();
            producer.send_positions(&[at(Topic::Chats, 1, round * 10)], &membership).unwrap();
            assert_eq!(log.end(Topic::Decisions, 0).unwrap(), round * 2);
            producer.commit().unwrap();
            assert_eq!(log.end(Topic::Decisions, 0).unwrap(), round * 2 + 2);
        }
    }
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    assert_eq!(payloads(&log, Topic::Decisions, 0), ["a", "c", "a", "c", "a", "c"]);
    assert_eq!(payloads(&log, Topic::Decisions, 1), ["b", "b", "b"]);
    assert_eq!(log.committed("g", Topic::Chats, 1).unwrap(), Some(20));
    assert_eq!(log.committed("g", Topic::Chats, 0).unwrap(), None);
    assert_eq!(log.committed("other", Topic::Chats, 1).unwrap(), None);
}

#[test]
fn a_fault_before_the_commit_leaves_nothing_and_one_after_it_leaves_all() {
    for step in Step::ALL {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::new(move |at, _| at == step);
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap().with_faults(faults);
        let mut producer = log.producer(&Member::sole("g")).unwrap();
        let membership = crate::log::Membership { group: "g".into(), ..Default::default() };
        let done = producer
            .begin()
            .and_then(|()| producer.send(&batch(Topic::Decisions, &["a"])))
            .and_then(|()| producer.send_positions(&[at(Topic::Chats, 0, 1)], &membership))
            .and_then(|()| producer.commit());
        let seen =
            (log.end(Topic::Decisions, 0).unwrap(), log.committed("g", Topic::Chats, 0).unwrap());
        match step {
            Step::Committed => assert_eq!(seen, (1, Some(1))),
            _ if done.is_ok() => assert_eq!(seen, (1, Some(1)), "{step:?} is not the producer's"),
            _ => assert_eq!(seen, (0, None), "{step:?}"),
        }
    }
}

#[test]
fn a_consumer_is_woken_by_what_arrives_and_goes_on_where_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    log.appender().unwrap().append(&batch(Topic::Chats, &["0", "x", "1", "x", "2"])).unwrap();
    let member = Member { group: "g".into(), index: 0, count: 2 };
    let mut consumer = log.consumer(&member, &[Topic::Chats, Topic::Labels]).unwrap();
    let mut records = Vec::new();
    let polled = consumer.poll(Duration::from_secs(5), &mut records).unwrap();
    assert_eq!(polled, Polled::Assigned(vec![0]));
    consumer.start(&[at(Topic::Chats, 0, 1)]).unwrap();
    consumer.poll(Duration::from_secs(5), &mut records).unwrap();
    let seen: Vec<&[u8]> = records.iter().map(Record::payload).collect();
    assert_eq!(seen, [b"1", b"2"]);

    records.clear();
    let started = Instant::now();
    let late = log.clone();
    let writer = std::thread::spawn(move || {
        late.appender().unwrap().append(&batch(Topic::Labels, &["late"])).unwrap();
    });
    while records.is_empty() {
        consumer.poll(Duration::from_secs(20), &mut records).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(20), "woken, not timed out");
    writer.join().unwrap();

    consumer.pause(Topic::Labels, 0, true);
    log.appender().unwrap().append(&batch(Topic::Labels, &["paused"])).unwrap();
    records.clear();
    consumer.poll(Duration::ZERO, &mut records).unwrap();
    assert!(records.is_empty());
    consumer.pause(Topic::Labels, 0, false);
    consumer.poll(Duration::ZERO, &mut records).unwrap();
    assert_eq!(records.len(), 1);
}

#[test]
fn a_second_holder_is_refused_and_told_who_holds_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let held = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let refused = EmbeddedLog::open(folder.path(), &options()).unwrap_err();
    assert!(
        matches!(refused, LogError::Locked { pid: Some(pid), .. } if pid == std::process::id())
    );
    let message = refused.to_string();
    assert!(message.contains(&folder.path().display().to_string()), "{message}");

    // readers are welcome, writers among them are told why not
    let reader = EmbeddedLog::open_read_only(folder.path()).unwrap();
    let refused = reader.appender().unwrap().append(&batch(Topic::Chats, &["x"])).unwrap_err();
    assert!(matches!(refused, LogError::ReadOnly { .. }), "{refused}");
    drop(held);
    EmbeddedLog::open(folder.path(), &options()).unwrap();
}

#[test]
fn a_folder_of_a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedLog::open(folder.path(), &options()).unwrap());
    let path = folder.path().join("weir.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    for refused in [
        EmbeddedLog::open(folder.path(), &options()).unwrap_err(),
        EmbeddedLog::open_read_only(folder.path()).unwrap_err(),
    ] {
        assert!(matches!(refused, LogError::NewerFormat { found: 9, supported: 2, .. }));
    }
    let missing = EmbeddedLog::open_read_only(&folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
}

#[test]
fn a_full_disk_is_named_and_what_was_committed_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options { pages_max: Some(64), ..options() };
    let log = EmbeddedLog::open(folder.path(), &small).unwrap();
    let text = "x".repeat(20_000);
    let mut appended = 0;
    let full = loop {
        match log.appender().unwrap().append(&batch(Topic::Chats, &[&text])) {
            Ok(()) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 100, "64 pages of 4 KiB cannot hold 2 MB");
    };
    assert!(matches!(full, LogError::DiskFull { .. }), "{full}");
    assert!(full.to_string().contains("disk full"), "{full}");
    assert_eq!(payloads(&log, Topic::Chats, 0).len(), appended);
    // the log goes on as soon as there is room
    drop(log);
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    log.appender().unwrap().append(&batch(Topic::Chats, &[&text])).unwrap();
    assert_eq!(payloads(&log, Topic::Chats, 0).len(), appended + 1);
}

#[test]
fn large_appends_are_cut_into_chunks_that_read_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let texts: Vec<String> = (0..3_000).map(|i| format!("{i:01000}")).collect();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    log.appender().unwrap().append(&batch(Topic::Chats, &refs)).unwrap();
    let even: Vec<String> = texts.iter().step_by(2).cloned().collect();
    assert_eq!(payloads(&log, Topic::Chats, 0), even);
    let stored: i64 = log
        .database()
        .connect()
        .unwrap()
        .query_row("SELECT count(*) FROM batch", [], |row| row.get(0))
        .unwrap();
    assert!(stored > 4, "{stored} chunks");
}

/// Keeps the writer busy until the sender is dropped, so that what is handed in meanwhile becomes
/// one group.
fn hold_the_writer(
    log: &EmbeddedLog,
) -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (busy, is_busy) = std::sync::mpsc::channel();
    let database = log.database().clone();
    let holder = std::thread::spawn(move || {
        let work: Work = Box::new(move |_| {
            busy.send(()).unwrap();
            // ends when the sender is dropped
            let _dropped = released.recv();
            Ok(())
        });
        database.write(work).unwrap();
    });
    is_busy.recv().unwrap();
    (release, holder)
}

#[test]
fn a_new_producer_sees_what_became_of_a_commit_that_nobody_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let (release, holder) = hold_the_writer(&log);
    let late = log.clone();
    let (handed_in, is_handed_in) = std::sync::mpsc::channel();
    let appending = std::thread::spawn(move || {
        handed_in.send(()).unwrap();
        late.appender().unwrap().append(&batch(Topic::Decisions, &["late"])).unwrap();
    });
    is_handed_in.recv().unwrap();
    // its thread is about to hand the job in; nothing tells when it has
    let _soon = std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(300));
    let waker = std::thread::spawn(move || {
        let _early = std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(200));
        drop(release);
    });
    let _producer = log.producer(&Member::sole("g")).unwrap();
    assert_eq!(log.end(Topic::Decisions, 0).unwrap(), 1, "committed before the producer is there");
    for thread in [holder, appending, waker] {
        thread.join().unwrap();
    }
}

#[test]
fn a_group_that_was_rolled_back_leaves_no_part_of_itself() {
    for round in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let small = Options { pages_max: Some(96), ..options() };
        let log = EmbeddedLog::open(folder.path(), &small).unwrap();
        let (release, holder) = hold_the_writer(&log);
        // the second or third of these does not fit, whatever their order
        let huge = "x".repeat(350_000);
        let payloads: Vec<String> = vec!["a".into(), huge.clone(), "b".into(), huge, "c".into()];
        let threads: Vec<_> = payloads
            .into_iter()
            .map(|payload| {
                let log = log.clone();
                std::thread::spawn(move || {
                    log.appender().unwrap().append(&batch(Topic::Chats, &[&payload])).is_ok()
                })
            })
            .collect();
        let _gathering = std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(50));
        drop(release);
        holder.join().unwrap();
        let answers: Vec<bool> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let stored = answers.iter().filter(|ok| **ok).count();
        assert!(stored < answers.len(), "round {round}: something did not fit");
        assert_eq!(self::payloads(&log, Topic::Chats, 0).len(), stored, "{answers:?}");
        drop(log);
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
        log.appender().unwrap().append(&batch(Topic::Chats, &["after"])).unwrap();
        assert_eq!(self::payloads(&log, Topic::Chats, 0).len(), stored + 1);
    }
}
