//! Crashes and stops: everything is delivered, and nothing is committed too early.

use super::*;

#[test]
fn killed_at_any_commit_it_delivers_everything_at_least_once_with_the_same_body() {
    for step in [Step::Poll, Step::Commit, Step::Committed] {
        for after in [2, 4] {
            let folder = tempfile::tempdir().unwrap();
            let (log, runtime) = (open(folder.path()), runtime());
            append(&log, 0, 400);
            let server = Server::start(runtime.handle(), |request| match request.nth {
                0 if request.body.len() % 3 == 0 => Answer::Status(500),
                _ => Answer::Status(200),
            });
            // from then on nothing works any more: this life and all later ones of the process end
            let passed = Arc::new(AtomicUsize::new(0));
            let dead = Arc::new(AtomicBool::new(false));
            let is_dead = Arc::clone(&dead);
            let faults = Faults::new(move |at, _| {
                if at == step && passed.fetch_add(1, Ordering::SeqCst) >= after {
                    is_dead.store(true, Ordering::SeqCst);
                }
                is_dead.load(Ordering::SeqCst)
            });
            let doomed: Arc<dyn Log> = Arc::new(log.clone().with_faults(faults));
            let webhooks = || vec![webhook("ops", server.url("/"))];
            let sink = Sink::start(doomed, &runtime, webhooks());
            // commits go on only as long as there is something to deliver
            let mut next = 400;
            until("dead", || {
                append(&log, next, next + 1);
                next += 1;
                dead.load(Ordering::SeqCst)
            });
            sink.stop.stop();
            sink.handle.join().unwrap();
            let all: i64 = (0..PARTITIONS).map(|p| log.end(Topic::Escalations, p).unwrap()).sum();
            check_requests(&server);
            let seen = server.seen();
            let taken = seen.iter().filter(|seen| seen.nth > 0 || seen.body.len() % 3 > 0);
            let before: HashSet<&str> = taken.map(server::Request::id).collect();
            // whatever is committed was delivered
            for (partition, at) in committed(&log).into_iter().enumerate() {
                for offset in 0..at.unwrap_or(0) as usize {
                    let id = id(offset * PARTITIONS as usize + partition);
                    assert!(before.contains(id.as_str()), "{step:?} {after}: {id}");
                }
            }

            let sink = Sink::start(Arc::new(log.clone()), &runtime, webhooks());
            sink.wait_caught_up();
            sink.finish();
            let times = check_requests(&server);
            assert_eq!(times.len() as i64, all, "{step:?} {after}: none lost, none invented");
            assert_eq!(dead_letters(&log), []);
        }
    }
}

#[test]
fn a_log_that_fails_now_and_then_only_repeats() {
    for seed in 0..3u64 {
        let folder = tempfile::tempdir().unwrap();
        let (log, runtime) = (open(folder.path()), runtime());
        append(&log, 0, 200);
        let server = Server::start(runtime.handle(), |_| Answer::Status(200));
        let drawn = Mutex::new(seed);
        let failed = Arc::new(AtomicUsize::new(0));
        let failures = Arc::clone(&failed);
        let faults = Faults::new(move |_, _| {
            let mut drawn = drawn.lock().unwrap();
            *drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let fail = (*drawn >> 33).is_multiple_of(4) && failures.load(Ordering::SeqCst) < 4;
            failures.fetch_add(usize::from(fail), Ordering::SeqCst);
            fail
        });
        let flaky: Arc<dyn Log> = Arc::new(log.clone().with_faults(faults));
        let sink = Sink::start(flaky, &runtime, vec![webhook("ops", server.url("/"))]);
        sink.wait_caught_up();
        assert!(failed.load(Ordering::SeqCst) > 0, "seed {seed}: nothing failed");
        sink.finish();
        assert_eq!(check_requests(&server).len(), 200, "seed {seed}");
    }
}

#[test]
fn nothing_is_committed_before_it_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 50);
    let server = Server::start(runtime.handle(), |_| Answer::Status(200));
    let (check, fail_once) = (log.clone(), AtomicBool::new(true));
    // the first commit that goes beyond the beginnings fails, and each finds its lines there
    let faults = Faults::new(move |step, _| {
        let recorded = deliveries(&check).len() as i64;
        let done: i64 = committed(&check).into_iter().flatten().sum();
        assert!(done <= recorded, "{done} committed, {recorded} recorded");
        step == Step::Commit && recorded > 0 && fail_once.swap(false, Ordering::SeqCst)
    });
    let flaky: Arc<dyn Log> = Arc::new(log.clone().with_faults(faults));
    let sink = Sink::start(flaky, &runtime, vec![webhook("ops", server.url("/"))]);
    sink.wait_caught_up();
    let recorded = sink.finish();
    let ids: HashSet<&str> = recorded.iter().map(|line| &*line.escalation_id).collect();
    assert_eq!(ids.len(), 50);
    assert!(server.count() > 50, "what was not committed was sent again");
    check_requests(&server);
}

#[test]
fn a_stop_commits_what_was_delivered_and_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 100);
    // the last ten of each partition do not get through
    let stuck: HashSet<String> = (80..100).map(id).collect();
    let server =
        Server::start(runtime.handle(), move |request| match stuck.contains(request.id()) {
            true => Answer::Status(500),
            false => Answer::Status(200),
        });
    let mut webhook = webhook("ops", server.url("/"));
    (webhook.attempts_max, webhook.backoff_ms, webhook.backoff_max_ms) = (9, 60_000, 60_000);
    let sink = Sink::start(Arc::new(log.clone()), &runtime, vec![webhook]);
    until("what gets through is there", || server.count() >= 90);
    let began = Instant::now();
    let recorded = sink.finish();
    assert!(began.elapsed() < Duration::from_secs(2), "not until the retries are over");
    assert_eq!(recorded.len(), 80);
    assert_eq!(committed(&log), [Some(40), Some(40)]);
    assert_eq!(dead_letters(&log), []);
}
