//! What each answer of a receiver leads to.

use super::*;

#[test]
fn each_escalation_is_delivered_once_signed_and_recorded() {
    let (server, log, recorded, _folder) = run(300, |_| (), |_| Answer::Status(204));
    let times = check_requests(&server);
    assert_eq!(times.len(), 300);
    assert!(times.values().all(|times| *times == 1));
    assert_eq!(dead_letters(&log), []);

    let first = &server.seen()[0];
    assert_eq!(first.path, "/hook?token=hunter2");
    assert_eq!(first.headers["content-type"], "application/json");
    let agent = concat!("weir/", env!("CARGO_PKG_VERSION"));
    assert_eq!(first.headers["user-agent"], agent);
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(body["type"], "escalation.created");
    assert_eq!(body["timestamp"], "2023-11-14T22:13:20.123Z");
    assert_eq!(body["data"]["escalation_id"], first.id());
    assert_eq!(body["data"]["event_time"], "2023-11-14T22:13:19.123Z");
    assert_eq!(body["data"]["reasons"][0]["code"], "VELOCITY");

    let ids: HashSet<String> =
        recorded.iter().map(|delivery| delivery.escalation_id.to_string()).collect();
    assert_eq!((recorded.len(), ids.len()), (300, 300));
    for delivery in recorded {
        let got = (&*delivery.channel, &*delivery.status, delivery.attempts);
        assert_eq!(got, ("ops", "delivered", 1));
        assert_eq!((delivery.updated_at, &*delivery.detail), (Millis(NOW_MS), ""));
    }
}

#[test]
fn what_fails_for_the_moment_is_sent_again_until_it_arrives() {
    // a server error, a reset connection, an early hint to come back: each once, then taken
    let (server, log, recorded, _folder) = run(
        12,
        |_| (),
        |request| match (request.nth, request.id().as_bytes()[35] % 4) {
            (0, 0) => Answer::Status(500),
            (0, 1) => Answer::Reset,
            (0, 2) => Answer::Status(408),
            (0, _) => Answer::Status(425),
            _ => Answer::Status(200),
        },
    );
    let times = check_requests(&server);
    assert_eq!(times.len(), 12);
    assert!(times.values().all(|times| *times == 2), "{times:?}");
    assert!(recorded.iter().all(|delivery| delivery.attempts == 2));
    assert_eq!(dead_letters(&log), []);
}

#[test]
fn a_receiver_that_hangs_is_given_up_on_at_the_time_out_and_asked_again() {
    let began = Instant::now();
    let (server, _log, recorded, _folder) = run(
        1,
        |webhook| webhook.timeout_ms = 100,
        |request| match request.nth {
            0 | 1 => Answer::Hang,
            _ => Answer::Status(200),
        },
    );
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(check_requests(&server)[&id(0)], 3);
    assert_eq!(&*recorded[0].status, "delivered");
}

#[test]
fn retry_after_is_waited_for_and_capped() {
    let (server, _log, recorded, _folder) = run(
        2,
        |webhook| webhook.backoff_max_ms = 300,
        |request| match (request.nth, request.id() == id(0)) {
            // a day, capped at 300 ms
            (0, true) => Answer::With(429, "Retry-After", "86400".to_owned()),
            (0, false) => {
                let date = "Wed, 15 Nov 2023 22:13:20 GMT".to_owned();
                Answer::With(503, "Retry-After", date)
            }
            _ => Answer::Status(200),
        },
    );
    assert_eq!(check_requests(&server).len(), 2);
    assert!(recorded.iter().all(|delivery| delivery.attempts == 2));
}

#[test]
fn retry_after_holds_the_next_attempt_back() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&times);
    let (_server, _log, _recorded, _folder) = run(
        1,
        |webhook| webhook.backoff_max_ms = 300,
        move |request| {
            asked.lock().unwrap().push(Instant::now());
            match request.nth {
                0 => Answer::With(429, "Retry-After", "1".to_owned()),
                _ => Answer::Status(200),
            }
        },
    );
    let times = times.lock().unwrap();
    let waited = times[1] - times[0];
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
}

#[test]
fn what_is_refused_for_good_is_a_dead_letter_at_once() {
    for (status, note) in [
        (400, "status 400"),
        (410, "status 410"),
        (301, "status 301, a redirect, which is not followed"),
    ] {
        let (server, log, recorded, _folder) = run(
            2,
            |_| (),
            move |request| match request.id() == id(1) {
                true => Answer::With(status, "Location", "/elsewhere".to_owned()),
                false => Answer::Status(200),
            },
        );
        assert_eq!(check_requests(&server)[&id(1)], 1, "{status}: asked once");
        assert!(server.seen().iter().all(|seen| seen.path != "/elsewhere"));
        let letters = dead_letters(&log);
        assert_eq!(letters.len(), 1, "{status}");
        let letter = &letters[0];
        let message = format!("webhook ops: {note}; gave up after 1 attempt");
        assert_eq!(letter.message, message);
        let source = (letter.topic.as_str(), letter.partition, letter.offset);
        assert_eq!(source, ("escalations", 1, 0));
        assert_eq!((letter.stage.as_str(), letter.code.as_str()), ("notify", "undeliverable"));
        assert_eq!((letter.timestamp, letter.failed_at), (Millis(NOW_MS), Millis(NOW_MS)));
        let kept = letter.payload.as_deref().unwrap();
        let kept: Escalation<'_> = decode_own(Contract::Escalation, kept).unwrap();
        assert_eq!(kept, escalation(1));
        let failed: Vec<&Delivery<'_>> =
            recorded.iter().filter(|delivery| &*delivery.status == "undeliverable").collect();
        assert_eq!(failed.len(), 1);
        assert_eq!((&*failed[0].detail, failed[0].attempts), (message.as_str(), 1));
    }
}

#[test]
fn after_the_last_attempt_it_is_a_dead_letter_and_the_position_goes_past_it() {
    let (server, log, recorded, _folder) = run(
        8,
        |webhook| webhook.attempts_max = 3,
        |request| match request.id() == id(4) {
            true => Answer::Status(502),
            false => Answer::Status(200),
        },
    );
    let times = check_requests(&server);
    assert_eq!(times[&id(4)], 3);
    assert_eq!(times.values().sum::<usize>(), 10);
    let letters = dead_letters(&log);
    assert_eq!(letters.len(), 1);
    let expected = "webhook ops: status 502; gave up after 3 attempts";
    assert_eq!(letters[0].message, expected);
    assert_eq!((letters[0].partition, letters[0].offset), (0, 2));
    assert_eq!(recorded.len(), 8);
}

#[test]
fn dead_letters_show_neither_query_nor_secret_whatever_the_failure() {
    // nobody listens at the port any more
    let runtime = runtime();
    let gone = Server::start(runtime.handle(), |_| Answer::Hang).address;
    runtime.shutdown_timeout(Duration::from_secs(5));
    let url = format!("http://user:hunter2@{gone}/hunter2?token=hunter2");
    let (_server, log, recorded, _folder) = run(
        1,
        |webhook| {
            webhook.attempts_max = 2;
            webhook.url.clone_from(&url);
        },
        |_| Answer::Status(200),
    );
    let letters = dead_letters(&log);
    let message = &letters[0].message;
    assert!(message.starts_with("webhook ops: no answer: "), "{message}");
    assert!(message.contains("refused"), "{message}");
    assert!(message.ends_with("gave up after 2 attempts"), "{message}");
    let shown = format!("{letters:?} {recorded:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("whsec"), "{shown}");
}

/// The four escalations that are on the topic, whatever else is, go to a receiver that takes them.
fn deliver_four(log: &EmbeddedLog, runtime: &Runtime) {
    let server = Server::start(runtime.handle(), |_| Answer::Status(200));
    let webhooks = vec![webhook("ops", server.url("/"))];
    let sink = Sink::start(Arc::new(log.clone()), runtime, webhooks);
    sink.wait_caught_up();
    assert_eq!(sink.finish().len(), 4);
    assert_eq!(check_requests(&server).len(), 4);
}

#[test]
fn what_is_no_escalation_is_a_dead_letter_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 2);
    let mut batch = RecordBatch::default();
    batch.push(Topic::Escalations, 0, NOW_MS, b"default/acc", b"garbage");
    log.appender().unwrap().append(&batch).unwrap();
    append(&log, 2, 4);
    deliver_four(&log, &runtime);
    let letters = dead_letters(&log);
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].partition, letters[0].offset), (0, 1));
    let message = &letters[0].message;
    assert!(message.starts_with("cannot be read as an escalation: "), "{message}");
    assert_eq!(committed(&log), [Some(3), Some(2)]);
}

#[test]
fn a_tombstone_is_passed_and_nobody_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 2);
    let mut batch = RecordBatch::default();
    let header = (ERASE_HEADER, &b"a test"[..]);
    batch.push_header(Topic::Escalations, 0, NOW_MS, b"default/acc", header);
    log.appender().unwrap().append(&batch).unwrap();
    append(&log, 2, 4);
    log.appender().unwrap().append(&batch).unwrap();
    deliver_four(&log, &runtime);
    assert_eq!(dead_letters(&log), []);
    assert_eq!(committed(&log), [Some(4), Some(2)]);
}

#[test]
fn an_endless_answer_is_delivered_and_not_read() {
    let began = Instant::now();
    let (server, _log, recorded, _folder) = run(40, |_| (), |_| Answer::Endless(200));
    assert_eq!(check_requests(&server).len(), 40);
    assert_eq!(recorded.len(), 40);
    assert!(began.elapsed() < Duration::from_secs(5), "not until the time-out");
}
