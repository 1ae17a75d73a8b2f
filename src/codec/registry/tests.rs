//! Faults: a registry that fails, is slow, hangs up, and recovers. What a sound one does is tested
//! against a real one, in `tests/registry.rs`.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use super::*;
use crate::codec::{
    DecodeError, Decoder, Encoder, OwnError, Writers, decode_offline, decode_own, json,
};
use crate::config::{Login, Secret, TOPICS};
use crate::event::{Event, Position, Topic};
use crate::log::Record;
use crate::stage::{self, Context, Merge, PoisonLimits, Settings, Stage, StageEnd};

/// What happens to one request.
#[derive(Clone, Debug)]
enum Act {
    Answer(u16, String),
    /// no answer for longer than any test's time-out
    Hang,
    /// the connection ends within the answer
    HangUp,
}

/// A server that does what it is told, one act a request, the last one for ever.
struct Flaky {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    acts: VecDeque<Act>,
    /// the heads of all requests
    heads: Vec<String>,
    ended: bool,
}

impl Flaky {
    fn start(acts: impl IntoIterator<Item = Act>) -> Flaky {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(Mutex::new(State { acts: acts.into_iter().collect(), ..State::default() }));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            // connections that hang stay open until the end
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if shared.lock().unwrap().ended {
                    return;
                }
                if !serve(&mut stream, &shared) {
                    hanging.push(stream);
                }
            }
        });
        Flaky { address, state, thread: Some(thread) }
    }

    fn turn_to(&self, act: Act) {
        self.state.lock().unwrap().acts = VecDeque::from([act]);
    }

    fn requests(&self) -> usize {
        self.state.lock().unwrap().heads.len()
    }

    fn section(&self) -> Section {
        section(&format!("http://{}/apis/ccompat/v7", self.address))
    }

    fn registry(&self) -> Registry {
        Registry::connect(&self.section()).unwrap()
    }
}

impl Drop for Flaky {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Whether there was an answer, or half of one.
fn serve(stream: &mut TcpStream, state: &Mutex<State>) -> bool {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
    let mut state = state.lock().unwrap();
    state.heads.push(head);
    let act = match state.acts.len() {
        1 => state.acts[0].clone(),
        _ => state.acts.pop_front().unwrap(),
    };
    let (status, body, sent) = match &act {
        Act::Hang => return false,
        Act::Answer(status, body) => (*status, body.as_str(), body.len()),
        Act::HangUp => (200, "{\"schema\":", 5),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _gone = stream.write_all(&[head.as_bytes(), &body.as_bytes()[..sent]].concat());
    true
}

fn section(url: &str) -> Section {
    Section {
        url: url.to_owned(),
        login: None,
        timeout: Duration::from_millis(150),
        subjects: std::collections::BTreeMap::new(),
    }
}

fn schema_of(contract: Contract) -> Act {
    Act::Answer(200, serde_json::json!({ "schema": contract.text() }).to_string())
}

fn unknown() -> Act {
    Act::Answer(404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned())
}

fn failing() -> Act {
    Act::Answer(500, r#"{"error_code":50001,"message":"in the backend"}"#.to_owned())
}

fn label() -> Event<'static> {
    let line = r#"{"kind":"label","event_id":"e","event_time":1769853600000,"account_id":"a",
        "subject_kind":"CHAT","subject_id":"s1","verdict":"FRAUD","source":"x"}"#;
    json::from_line(line).unwrap()
}

/// The label as a producer with a registry writes it.
fn payload(id: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    let ids = Ids::default().with(Contract::Label, id);
    Encoder::with_ids(&ids).encode_event(&label(), &mut payload).unwrap();
    payload
}

fn record(id: u32) -> Record {
    let position = Position { topic: Topic::Labels, partition: 0, offset: 0 };
    Record::new(position, 1_769_853_600_000, Some(b"default/a"), &payload(id), Vec::new())
}

fn decoder(registry: Registry) -> Decoder {
    Decoder::with_registry(Writers::built_in(), Arc::new(registry))
}

#[test]
fn a_registry_that_recovers_in_time_is_not_noticed_and_asked_once_an_id() {
    let flaky = Flaky::start([
        failing(),
        Act::HangUp,
        Act::Answer(429, String::new()),
        Act::Hang,
        schema_of(Contract::Label),
    ]);
    let decoder = decoder(flaky.registry());
    for _ in 0..100 {
        let record = record(7);
        assert_eq!(decoder.event_time(&record), Ok(Some(label().event_time())));
        let decoded = decoder.decode(&record).unwrap();
        assert_eq!((decoded.event, decoded.schema_id), (label(), 7));
    }
    assert_eq!(flaky.requests(), 5);
    // another id is another question
    decoder.decode(&record(8)).unwrap();
    assert_eq!(flaky.requests(), 6);
}

#[test]
fn trouble_is_no_refusal_ends_in_time_and_is_forgotten() {
    let html = Act::Answer(404, "<html>not here</html>".to_owned());
    let login = Act::Answer(401, r#"{"error_code":401,"message":"who are you"}"#.to_owned());
    let page = Act::Answer(200, "<html>welcome</html>".to_owned());
    for (act, part) in [
        (failing(), "in the backend"),
        (Act::Hang, "no answer within"),
        (Act::HangUp, "does not answer"),
        (html, "is its path right"),
        (login, "username and password"),
        (page, "not JSON"),
    ] {
        let flaky = Flaky::start([act.clone()]);
        let lookup = Duration::from_millis(600);
        let decoder = decoder(Registry { lookup, ..flaky.registry() });
        let began = Instant::now();
        let error = decoder.decode(&record(7)).unwrap_err();
        assert!(matches!(error, DecodeError::Unavailable(_)), "{act:?}: {error:?}");
        assert!(began.elapsed() < lookup * 2, "{act:?} took {:?}", began.elapsed());
        let text = error.to_string();
        for part in [part, "schemas/ids/7", &format!("http://{}", flaky.address)] {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
        // whether it has a time is not known
        assert!(decoder.event_time(&record(7)).is_err(), "{act:?}");
        flaky.turn_to(schema_of(Contract::Label));
        assert_eq!(decoder.decode(&record(7)).unwrap().event, label(), "after {act:?}");
    }
}

#[test]
fn an_unknown_id_is_refused_and_asked_for_once_in_a_while() {
    let flaky = Flaky::start([unknown()]);
    let decoder = decoder(flaky.registry());
    for _ in 0..10 {
        assert_eq!(decoder.event_time(&record(4711)), Ok(None));
        let refusal = decoder.decode(&record(4711)).unwrap_err().refusal().unwrap();
        assert_eq!(refusal.code, Code::UnknownSchema);
        assert!(refusal.message.contains("id 4711"), "{refusal}");
    }
    assert_eq!(flaky.requests(), 1);
    // the while over, the id may have become known
    let cache = Cache::new(10, 10, Duration::ZERO);
    let decoder = self::decoder(Registry { cache, ..flaky.registry() });
    decoder.decode(&record(4711)).unwrap_err();
    flaky.turn_to(schema_of(Contract::Label));
    decoder.decode(&record(4711)).unwrap();
}

#[test]
fn what_cannot_be_read_with_an_ids_schema_is_refused_and_says_why() {
    let answer = |value: Value| Act::Answer(200, value.to_string());
    let text = Contract::Label.text();
    let reference = serde_json::json!({"name": "x.Y", "subject": "y", "version": 1});
    for (act, code, part) in [
        (
            answer(serde_json::json!({"schema": "{}", "schemaType": "JSON"})),
            Code::WrongSchema,
            "JSON schema, expected AVRO",
        ),
        (
            answer(serde_json::json!({"schema": text, "references": [reference]})),
            Code::IncompatibleSchema,
            "1 other schemas, which is not supported",
        ),
        (
            answer(serde_json::json!({"schema": "\"long\""})),
            Code::IncompatibleSchema,
            "it is long, expected a record",
        ),
        (answer(serde_json::json!({"schema": "{"})), Code::IncompatibleSchema, "id 7"),
        (schema_of(Contract::Chat), Code::WrongSchema, "weir.Chat, expected a label"),
        (
            answer(
                serde_json::json!({"schema": text.replacen("timestamp-millis", "timestamp-micros", 1)}),
            ),
            Code::IncompatibleSchema,
            "event_time is timestampmicros",
        ),
    ] {
        let flaky = Flaky::start([act]);
        let decoder = decoder(flaky.registry());
        let refusal = decoder.decode(&record(7)).unwrap_err().refusal().unwrap();
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.message.contains(part), "{:?} lacks {part:?}", refusal.message);
        assert_eq!(decoder.event_time(&record(7)), Ok(None));
        decoder.decode(&record(7)).unwrap_err();
        assert_eq!(flaky.requests(), 1);
    }
}

#[test]
fn both_framings_are_read_side_by_side() {
    let flaky = Flaky::start([schema_of(Contract::Label)]);
    let decoder = decoder(flaky.registry());
    let mut single = Vec::new();
    Encoder::default().encode_event(&label(), &mut single).unwrap();
    let position = record(7).position;
    let single = Record::new(position, 1_769_853_600_000, Some(b"default/a"), &single, Vec::new());
    let fingerprint = i64::from_le_bytes(*Contract::Label.schema().rabin_fingerprint());
    assert_eq!(decoder.decode(&single).unwrap().schema_id, fingerprint);
    assert_eq!(flaky.requests(), 0);
    assert_eq!(decoder.decode(&record(7)).unwrap().schema_id, 7);
    let bare = Record::new(position, 0, None, b"{}", Vec::new());
    let refusal = decoder.decode(&bare).unwrap_err().refusal().unwrap();
    assert_eq!(refusal.code, Code::Unframed);
    assert!(refusal.message.contains("C3 01") && refusal.message.contains("00 and an id"));
}

#[test]
fn a_request_has_the_path_prefix_and_the_login_and_no_message_shows_them() {
    let flaky = Flaky::start([Act::Answer(403, String::new())]);
    let login = Login { username: "weir".into(), password: Secret::new("hush".into()) };
    let registry = Registry::connect(&Section { login: Some(login), ..flaky.section() }).unwrap();
    let error = registry.schema(7).unwrap_err();
    let head = flaky.state.lock().unwrap().heads[0].to_lowercase();
    assert!(head.starts_with("get /apis/ccompat/v7/schemas/ids/7 "), "{head}");
    // weir:hush
    assert!(head.contains("authorization: basic d2vpcjpodxno"), "{head}");
    assert!(head.contains("accept: application/vnd.schemaregistry.v1+json"), "{head}");
    for text in [error.to_string(), format!("{error:?}"), format!("{registry:?}")] {
        assert!(!text.contains("hush") && !text.contains("d2Vpcjpodxno"), "{text}");
    }
}

#[test]
fn a_start_without_a_registry_says_so_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let section = section(&url);
    let start = Duration::from_millis(500);
    let registry = Registry { start, ..Registry::connect(&section).unwrap() };
    let began = Instant::now();
    let error = registry.register(&section).unwrap_err();
    assert!(began.elapsed() < start * 2, "{:?}", began.elapsed());
    let text = error.to_string();
    for part in [url.as_str(), "subjects/labels-value", "times within", "refused"] {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    assert!(matches!(error, RegistryError::Unavailable { attempts: 2.., .. }), "{error:?}");
}

#[test]
fn it_can_be_asked_and_dropped_within_another_runtime() {
    let flaky = Flaky::start([schema_of(Contract::Label)]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let registry = flaky.registry();
        assert!(registry.schema(7).unwrap().is_some());
        drop(registry);
    });
}

#[test]
fn topics_are_those_of_the_settings_and_of_the_log() {
    assert_eq!(Topic::ALL.map(Topic::name), TOPICS);
    for topic in Topic::ALL {
        let contract = Contract::of_topic(topic);
        assert!(topic.kind().is_none_or(|kind| Contract::of(kind) == contract), "{topic}");
    }
    for contract in Contract::ALL {
        let topics = Topic::ALL.iter().filter(|topic| Contract::of_topic(**topic) == *contract);
        assert_eq!(topics.count(), 1, "{contract:?}");
    }
}

#[test]
fn own_records_with_an_id_are_not_guessed_at_but_by_tools() {
    let (contract, payload) = (Contract::Label, payload(7));
    let read = decode_own::<crate::event::Label<'_>>(contract, &payload);
    let Err(OwnError::Unreadable(why)) = read else { panic!("{read:?}") };
    assert!(why.contains("id 7") && why.contains("none is configured"), "{why}");
    let read: crate::event::Label<'_> = decode_offline(contract, &payload).unwrap();
    assert_eq!(Event::Label(read), label());
    // another contract's body, or more than the contract's
    for wrong in [[&payload[..], &[0]].concat(), payload[..payload.len() - 1].to_vec()] {
        decode_offline::<crate::event::Label<'_>>(contract, &wrong).unwrap_err();
    }
}

/// A stage on a folder with one label framed with id 7 and one transaction, until it has ended.
fn run_stage(folder: &std::path::Path, flaky: &Flaky, append: bool) -> Arc<dyn crate::log::Log> {
    use crate::log::embedded::{EmbeddedLog, Options};
    let options = Options { partitions: 1, durable: false, pages_max: None };
    let log: Arc<dyn crate::log::Log> = Arc::new(EmbeddedLog::open(folder, &options).unwrap());
    if append {
        let mut batch = crate::log::RecordBatch::default();
        batch.push(Topic::Labels, 0, 1_769_853_600_000, b"default/a", &payload(7));
        log.appender().unwrap().append(&batch).unwrap();
    }
    let lookup = Duration::from_millis(250);
    let features = Arc::new(crate::state::FeatureSet::shipped().unwrap());
    let rules =
        crate::score::RuleSet::load(&[], &crate::score::Lists::default(), &features).unwrap();
    let engine = crate::score::Engine::new(rules);
    let context = Context {
        log: Arc::clone(&log),
        decoder: Arc::new(decoder(Registry { lookup, ..flaky.registry() })),
        switch: crate::policy::Switch::fixed(engine),
        features,
        profiles: None,
        standby: None,
        snapshots: crate::stage::SnapshotPlan::None,
        clock: crate::telemetry::Clock::fixed(1_900_000_000_000),
        health: crate::telemetry::Health::default(),
        stop: crate::telemetry::Stop::default(),
        faults: crate::log::faults::Faults::default(),
        watchdog: crate::stage::Watchdog::default(),
        progress: crate::stage::Progress::default(),
        pressure: crate::stage::Pressure::default(),
    };
    let settings = Settings {
        group: stage::GROUP.into(),
        workers: 1,
        exactly_once: true,
        transaction_timeout: None,
        commit_interval: Duration::ZERO,
        batch_records_max: 50,
        batch_bytes_max: 1 << 20,
        merge: Merge::Strict,
        horizon: crate::state::Horizon::default(),
        deadlines: Arc::default(),
        poison: PoisonLimits { share: 0.5, window: 1_000, run: 100 },
        pressure_wait: None,
        accept_state_gap: false,
        until_end: true,
    };
    assert_eq!(Stage::start(&context, &settings, None).unwrap().join().unwrap(), StageEnd::AtEnd);
    log
}

#[test]
fn a_worker_waits_for_its_registry_and_neither_diverts_nor_forgets_a_record() {
    let folder = tempfile::tempdir().unwrap();
    // the first life ends by it while records are queued, the next one reads them
    let trouble = std::iter::repeat_n(failing(), 4);
    let flaky = Flaky::start(trouble.clone().chain([schema_of(Contract::Label)]));
    let log = run_stage(folder.path(), &flaky, true);
    assert_eq!(flaky.requests(), 5);
    assert_eq!(log.committed(stage::GROUP, Topic::Labels, 0).unwrap(), Some(1));
    assert_eq!(log.end(Topic::DeadLetters, 0).unwrap(), 0);
    drop(log);
    // another process restores: a record that cannot be read for now is no gap in its state
    let flaky = Flaky::start(trouble.chain([schema_of(Contract::Label)]));
    let log = run_stage(folder.path(), &flaky, false);
    assert_eq!(flaky.requests(), 5);
    assert_eq!(log.end(Topic::DeadLetters, 0).unwrap(), 0);
}
