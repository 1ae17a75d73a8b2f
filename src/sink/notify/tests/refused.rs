//! What is refused before anything is sent.

use super::*;

#[test]
fn private_addresses_are_refused_unless_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 1);
    let server = Server::start(runtime.handle(), |_| Answer::Status(200));
    let context = NotifyContext {
        log: Arc::new(log.clone()),
        clock: Clock::fixed(NOW_MS),
        health: Health::default(),
        stop: Stop::default(),
        process: Stop::default(),
        runtime: runtime.handle().clone(),
        seed: 7,
    };
    let mut literal = webhook("ops", server.url("/"));
    literal.allow_private = false;
    let refused = Notify::start(context, vec![literal]).unwrap_err();
    let expected = "webhook ops: 127.0.0.1 is at 127.0.0.1, expected a public address or \
                    allow_private = true";
    assert_eq!(refused.to_string(), expected);

    // a name is looked up at each attempt
    let mut named = webhook("ops", format!("http://localhost:{}/", server.address.port()));
    (named.allow_private, named.attempts_max) = (false, 2);
    let sink = Sink::start(Arc::new(log.clone()), &runtime, vec![named.clone()]);
    sink.wait_caught_up();
    sink.finish();
    assert_eq!(server.count(), 0, "nothing was sent");
    let message = &dead_letters(&log)[0].message;
    assert!(message.contains("localhost is at"), "{message}");
    assert!(message.contains("allow_private"), "{message}");

    append(&log, 1, 2);
    named.allow_private = true;
    let sink = Sink::start(Arc::new(log.clone()), &runtime, vec![named]);
    sink.wait_caught_up();
    sink.finish();
    assert_eq!(server.count(), 1);
}

#[test]
fn webhooks_that_can_never_work_are_refused_at_the_start_without_showing_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    let start = |change: &dyn Fn(&mut Webhook)| {
        let mut webhook = webhook("ops", "https://example.com/hunter2".to_owned());
        change(&mut webhook);
        let context = NotifyContext {
            log: Arc::new(log.clone()),
            clock: Clock::fixed(NOW_MS),
            health: Health::default(),
            stop: Stop::default(),
            process: Stop::default(),
            runtime: runtime.handle().clone(),
            seed: 7,
        };
        let error = Notify::start(context, vec![webhook]).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("webhook ops: "), "{error}");
        error
    };
    let error = start(&|webhook| webhook.secret = Secret::new("whsec_hunter2!".into()));
    assert!(error.contains("expected whsec_"), "{error}");
    for url in ["hunter2", "http://", "ftp://hunter2/", "https:///?hunter2"] {
        let error = start(&|webhook| webhook.url = url.to_owned());
        assert!(error.contains("url"), "{url}: {error}");
    }
}

#[test]
fn a_receiver_that_does_not_speak_tls_is_never_sent_anything_over_https() {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, 1);
    let server = Server::start(runtime.handle(), |_| Answer::Status(200));
    let url = format!("https://{}/", server.address);
    let mut webhook = webhook("ops", url);
    (webhook.attempts_max, webhook.timeout_ms) = (2, 200);
    let sink = Sink::start(Arc::new(log.clone()), &runtime, vec![webhook]);
    sink.wait_caught_up();
    sink.finish();
    assert_eq!(server.count(), 0);
    let message = &dead_letters(&log)[0].message;
    assert!(message.starts_with("webhook ops: no answer"), "{message}");
}
