//! Receivers that are slow or gone: who is held up, and by how much.

use super::*;

/// A log that counts what its consumers hand out.
struct Counting {
    log: EmbeddedLog,
    records: Arc<AtomicUsize>,
    largest_poll: Arc<AtomicUsize>,
}

struct CountingConsumer {
    inner: Box<dyn Consumer>,
    records: Arc<AtomicUsize>,
    largest_poll: Arc<AtomicUsize>,
}

impl Consumer for CountingConsumer {
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<Polled, LogError> {
        let before = into.len();
        let polled = self.inner.poll(wait, into)?;
        let got = into.len() - before;
        self.records.fetch_add(got, Ordering::SeqCst);
        self.largest_poll.fetch_max(got, Ordering::SeqCst);
        Ok(polled)
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), LogError> {
        self.inner.start(positions)
    }

    fn release(&mut self) {
        self.inner.release();
    }

    fn pause(&mut self, topic: Topic, partition: u32, paused: bool) {
        self.inner.pause(topic, partition, paused);
    }

    fn membership(&self) -> Membership {
        self.inner.membership()
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), LogError> {
        self.inner.commit(positions)
    }
}

impl Log for Counting {
    fn consumer(&self, member: &Member, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(CountingConsumer {
            inner: self.log.consumer(member, topics)?,
            records: Arc::clone(&self.records),
            largest_poll: Arc::clone(&self.largest_poll),
        }))
    }

    fn producer(&self, member: &Member) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(member)
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        self.log.appender()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }

    fn follow(&self, from: &[Position]) -> Result<Box<dyn crate::log::Follower>, LogError> {
        self.log.follow(from)
    }

    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.log.end(topic, partition)
    }

    fn beginning(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.log.beginning(topic, partition)
    }

    fn committed(&self, group: &str, topic: Topic, p: u32) -> Result<Option<i64>, LogError> {
        self.log.committed(group, topic, p)
    }
}

#[test]
fn one_that_is_retried_lets_later_ones_go_on_but_nothing_is_committed_past_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 3_000);
    let mended = Arc::new(AtomicBool::new(false));
    let fixed = Arc::clone(&mended);
    let server = Server::start(runtime.handle(), move |request| {
        match request.id() == id(1_000) && !fixed.load(Ordering::SeqCst) {
            true => Answer::Status(500),
            false => Answer::Status(200),
        }
    });
    let mut webhook = webhook("ops", server.url("/"));
    (webhook.attempts_max, webhook.backoff_max_ms) = (1_000, 1_000);
    let sink = Sink::start(Arc::new(log.clone()), &runtime, vec![webhook]);
    // number 1000 is offset 500 of partition 0
    until("the others are there", || {
        let ids: HashSet<String> = server.seen().iter().map(|seen| seen.id().into()).collect();
        let past = committed(&log)[0].is_some_and(|at| at > 500);
        assert!(!past, "committed past one that is under way");
        ids.len() == 3_000 && committed(&log) == [Some(500), Some(1_500)]
    });
    assert!(!sink.handle.caught_up());
    mended.store(true, Ordering::SeqCst);
    sink.wait_caught_up();
    let times = check_requests(&server);
    assert!(times[&id(1_000)] > 1);
    assert!(times.iter().all(|(id, n)| *n == 1 || *id == self::id(1_000)));
    assert_eq!(committed(&log), [Some(1_500), Some(1_500)]);
    assert_eq!(sink.finish().len(), 3_000);
    assert_eq!(dead_letters(&log), []);
}

#[test]
fn every_webhook_gets_every_escalation_and_the_slowest_decides_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 100);
    let open_again = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open_again);
    let quick = Server::start(runtime.handle(), |_| Answer::Status(200));
    let slow = Server::start(runtime.handle(), move |_| match opened.load(Ordering::SeqCst) {
        true => Answer::Status(200),
        false => Answer::Status(503),
    });
    let mut patient = webhook("slow", slow.url("/"));
    (patient.attempts_max, patient.backoff_max_ms) = (1_000, 50);
    let webhooks = vec![webhook("quick", quick.url("/")), patient];
    let sink = Sink::start(Arc::new(log.clone()), &runtime, webhooks);
    until("the quick one has all", || quick.count() == 100);
    until("the breaker of the slow one is open", || {
        let parts = sink.health.not_ready();
        parts.iter().any(|(part, why)| part == "notify/slow" && why.contains("503"))
    });
    let parts: Vec<String> = sink.health.not_ready().into_iter().map(|(p, _)| p).collect();
    assert_eq!(parts, ["notify/slow"], "the sink and the other webhook are well");
    assert_eq!(committed(&log), [Some(0), Some(0)]);
    assert!(deliveries(&log).iter().all(|line| &*line.channel == "quick"));
    open_again.store(true, Ordering::SeqCst);
    sink.wait_caught_up();
    assert_eq!(sink.health.not_ready(), [], "ready again");
    assert_eq!(check_requests(&quick).len(), 100);
    assert_eq!(check_requests(&slow).len(), 100);
    assert_eq!(quick.count(), 100);
    let recorded = sink.finish();
    let keys: HashSet<_> = recorded.iter().map(|d| (&*d.escalation_id, &*d.channel)).collect();
    assert_eq!((recorded.len(), keys.len()), (200, 200));
}

#[test]
fn a_receiver_gone_for_good_is_asked_rarely_and_everything_ends_as_a_dead_letter() {
    let (server, log, recorded, _folder) = run(
        3_000,
        |webhook| (webhook.attempts_max, webhook.timeout_ms) = (3, 100),
        |_| Answer::Status(500),
    );
    // two windows' worth and more, of which only the first few and the probes were ever sent
    assert!(server.count() < 500, "{} requests", server.count());
    let letters = dead_letters(&log);
    assert_eq!((letters.len(), recorded.len()), (3_000, 3_000));
    let sources: HashSet<_> = letters.iter().map(|l| (l.partition, l.offset)).collect();
    assert_eq!(sources.len(), 3_000, "each once");
    for letter in letters {
        let message = letter.message;
        assert!(message.starts_with("webhook ops: ") && message.contains("status 500"));
    }
}

#[test]
fn while_a_receiver_is_down_no_more_is_fetched_than_a_window_and_two_polls() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 50_000);
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let server = Server::start(runtime.handle(), move |_| match is_up.load(Ordering::SeqCst) {
        true => Answer::Status(200),
        false => Answer::Reset,
    });
    let counting =
        Counting { log: log.clone(), records: Arc::default(), largest_poll: Arc::default() };
    let (records, largest_poll) =
        (Arc::clone(&counting.records), Arc::clone(&counting.largest_poll));
    let mut webhook = webhook("ops", server.url("/"));
    (webhook.attempts_max, webhook.backoff_max_ms) = (1_000, 100);
    let sink = Sink::start(Arc::new(counting), &runtime, vec![webhook]);
    until("the window is full", || records.load(Ordering::SeqCst) >= WINDOW_RECORDS);
    // long enough for many polls, were they not paused
    Stop::default().wait(Duration::from_millis(700));
    let bound = WINDOW_RECORDS + 2 * largest_poll.load(Ordering::SeqCst);
    let fetched = records.load(Ordering::SeqCst);
    assert!(fetched <= bound, "{fetched} of 50,000 fetched, expected at most {bound}");
    assert!(bound < 5_000, "{bound}");
    assert_eq!(committed(&log), [Some(0), Some(0)]);
    assert_eq!(dead_letters(&log), []);
    // back again, what waited on the log flows
    up.store(true, Ordering::SeqCst);
    until("more than the window went on", || {
        committed(&log).into_iter().flatten().sum::<i64>() > 2 * WINDOW_RECORDS as i64
    });
    sink.finish();
}
