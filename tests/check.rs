//! `weir check` on topologies that are broken in one way each: it ends with 2 and names the file,
//! the line, the value and what was expected; and nothing is begun with a broken topology.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use common::copy_folder;
use serde_json::Value as Json;
use tempfile::TempDir;

/// The key of a webhook that must never be shown.
const SECRET: &str = "whsec_TmV2ZXIgc2hvdyB0aGlzIHRvIGFueWJvZHk=";

/// A copy of the shipped topology.
struct Copy(TempDir);

impl Copy {
    fn new() -> Copy {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology");
        let copy = Copy(tempfile::tempdir().unwrap());
        copy_folder(&shipped, copy.path());
        copy
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The file's text with `from` replaced by `to`.
    fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn append(&self, file: &str, more: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text + more).unwrap();
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The line of a file, from 1, that holds `marker`, counted after its edit.
    fn line(&self, file: &str, marker: &str) -> usize {
        let text = std::fs::read_to_string(self.path().join(file)).unwrap();
        let at = text.rfind(marker).unwrap_or_else(|| panic!("{file} has no {marker:?}"));
        text[..at].matches('\n').count() + 1
    }

    fn check(&self, more: &[&str]) -> Output {
        weir(&["check", "--topology"], self.path(), more)
    }
}

fn weir(command: &[&str], topology: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(command)
        .arg(topology)
        .args(more)
        .env_remove("WEIR_TEST_NOT_SET")
        .env("WEIR_TEST_SECRET", SECRET)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One way to break a topology.
struct Broken {
    copy: Copy,
    file: &'static str,
    /// stands on the line the problem is about; empty where it is about the whole file
    marker: &'static str,
    /// the value, and what was expected
    parts: Vec<&'static str>,
}

fn edited(
    file: &'static str,
    from: &str,
    to: &str,
    marker: &'static str,
    parts: &[&'static str],
) -> Broken {
    let copy = Copy::new();
    copy.replace(file, from, to);
    Broken { copy, file, marker, parts: parts.to_vec() }
}

fn with_webhook(lines: &str, marker: &'static str, parts: &[&'static str]) -> Broken {
    let copy = Copy::new();
    copy.append("weir.toml", &format!("\n[[webhook]]\n{lines}\n"));
    Broken { copy, file: "weir.toml", marker, parts: parts.to_vec() }
}

fn with_store(lines: &str, marker: &'static str, parts: &[&'static str]) -> Broken {
    let copy = Copy::new();
    copy.append("weir.toml", &format!("\n[store]\n{lines}\n"));
    Broken { copy, file: "weir.toml", marker, parts: parts.to_vec() }
}

fn with_file(file: &'static str, text: impl AsRef<[u8]>, parts: &[&'static str]) -> Broken {
    let copy = Copy::new();
    copy.write(file, text);
    Broken { copy, file, marker: "", parts: parts.to_vec() }
}

fn broken_stores() -> Vec<Broken> {
    let nodes = "nodes = \"127.0.0.1:9042\"";
    let more = |line: &str| format!("{nodes}\n{line}");
    vec![
        with_store("keyspace = \"weir\"", "[store]", &["missing field", "nodes"]),
        with_store("nodes = \"scylla\"", "\"scylla\"", &["nodes is \"scylla\"", "host:port"]),
        with_store(&more("keyspace = \"No-good\""), "\"No-good\"", &["No-good", "small letter"]),
        with_store(&more("username = \"w\""), "\"w\"", &["username is \"w\" without a password"]),
        with_store(&more("replication = 0"), "0", &["replication is 0", "expected 1 to 9"]),
        with_store(&more("in_flight = 0"), "0", &["in_flight is 0", "expected 1 to 4096"]),
        with_store(&more("tls_ca = \"no.pem\""), "\"no.pem\"", &["no.pem is not a file"]),
        with_store(
            &more("[store.ttl_days]\nrollups = 0"),
            "0",
            &["rollups is 0", "expected 1 to 3660"],
        ),
    ]
}

const WEIR: &str = "weir.toml";
const PAYMENTS: &str = "rules/transactions.toml";
const TESTING: &str = "declines_count_1h >= 4 && channel == 'ECOM'";

fn broken_settings() -> Vec<Broken> {
    vec![
        edited(WEIR, "count = 1", "count = ", "count = ", &["expected"]),
        edited(WEIR, "[worker]", "[worker", "[worker", &["expected", "]"]),
        edited(
            WEIR,
            "count = 1",
            "count = 1\ncount = 2",
            "count = 2",
            &["count is there twice", "expected"],
        ),
        edited(
            WEIR,
            "merge_wait_ms",
            "merge_wait",
            "merge_wait =",
            &["merge_wait", "expected", "merge_wait_ms"],
        ),
        edited(WEIR, "[poison]", "[posion]", "[posion]", &["posion", "expected", "poison"]),
        edited(WEIR, "count = 1", "count = \"one\"", "\"one\"", &["\"one\"", "expected", "u32"]),
        edited(WEIR, "durable = true", "durable = 1", "durable", &["`1`", "expected", "boolean"]),
        edited(WEIR, "count = 1", "count = 0", "count = 0", &["count is 0", "expected 1 to 64"]),
        edited(WEIR, "count = 1", "count = -1", "count = -1", &["-1", "expected", "u32"]),
        edited(
            WEIR,
            "share_percent = 5.0",
            "share_percent = nan",
            "nan",
            &["NaN", "expected 0.01 to 100"],
        ),
        edited(
            WEIR,
            "hours = 168",
            "hours = 2400",
            "2400",
            &["hours is 2400", "expected at most the 2160", "retention"],
        ),
        edited(
            WEIR,
            "\"48h\"",
            "\"soon\"",
            "\"soon\"",
            &["fire has \"soon\"", "expected a share of the time"],
        ),
        edited(
            WEIR,
            "\"48h\"",
            "\"1d\"",
            "\"24h\"",
            &["fire has \"24h\" twice", "expected each moment once"],
        ),
        edited(WEIR, "VISA = 30", "VISTA = 30", "VISTA", &["VISTA", "expected", "VISA"]),
        edited(
            WEIR,
            "standby = false",
            "standby = true",
            "standby = true",
            &["standby is true", "expected false", "no other process"],
        ),
        edited(
            WEIR,
            "hours = 168",
            "hours = 9000",
            "9000",
            &["hours is 9000", "expected 1 to 8784"],
        ),
        edited(
            WEIR,
            "\"live\"",
            "\"sometimes\"",
            "sometimes",
            &["sometimes", "expected", "strict"],
        ),
        edited(
            WEIR,
            "127.0.0.1:8080",
            "localhost",
            "localhost",
            &["localhost", "expected", "127.0.0.1:8080"],
        ),
        edited(
            WEIR,
            "data = \"weir-data\"",
            "data = \"${WEIR_TEST_NOT_SET}/data\"",
            "WEIR_TEST_NOT_SET",
            &["WEIR_TEST_NOT_SET is not set", "${WEIR_TEST_NOT_SET}/data"],
        ),
        edited(
            WEIR,
            "\"weir-data\"",
            "\"${WEIR\"",
            "\"${WEIR\"",
            &["${WEIR", "without", "expected ${NAME}"],
        ),
        with_file(WEIR, b"# \xFF\n", &["cannot be read", "UTF-8"]),
    ]
}

fn broken_kafka() -> Vec<Broken> {
    let with = |lines: &str, marker: &'static str, parts: &[&'static str]| {
        let copy = Copy::new();
        copy.append("weir.toml", &format!("\n[kafka]\n{lines}\n"));
        Broken { copy, file: "weir.toml", marker, parts: parts.to_vec() }
    };
    const BROKERS: &str = "brokers = \"a.example:9092\"\n";
    vec![
        with("process = \"a\"", "[kafka]\n", &["missing field", "brokers"]),
        with("brokers = \"a.example\"", "\"a.example\"", &["a.example", "expected host:port"]),
        with("brokers = \"a:9092,b:0\"", "b:0", &["b:0", "expected host:port"]),
        with(&format!("{BROKERS}prefix = \"pay ments\""), "pay ments", &["pay ments", "expected"]),
        with(&format!("{BROKERS}process = \"\""), "process = \"\"", &["process is", "expected"]),
        with(
            &format!("{BROKERS}protocol = \"eager\""),
            "eager",
            &["eager", "expected", "classic", "consumer"],
        ),
        with(
            &format!("{BROKERS}session_timeout_ms = 5"),
            "session_timeout_ms = 5\n",
            &["session_timeout_ms is 5", "expected 6000 to 300000"],
        ),
        with(
            &format!("{BROKERS}[kafka.settings]\n\"isolation.level\" = \"read_uncommitted\""),
            "isolation.level",
            &["isolation.level is weir's to decide"],
        ),
        with(
            &format!("{BROKERS}[kafka.settings]\n\"linger\" = \"5\""),
            "\"linger\"",
            &["linger", "librdkafka"],
        ),
        with(
            &format!("{BROKERS}[kafka.settings]\n\"linger.ms\" = \"often\""),
            "linger.ms",
            &["linger.ms", "librdkafka"],
        ),
        with(
            &format!("{BROKERS}[kafka.topics]\ntransaction = \"payments\""),
            "transaction =",
            &["\"transaction\"", "did you mean \"transactions\""],
        ),
        with(
            &format!("{BROKERS}[kafka.topics]\nchats = \"x\"\nlabels = \"x\""),
            "labels = \"x\"",
            &["\"x\" is the name of two topics"],
        ),
        with(
            &format!("{BROKERS}[kafka.topics]\ntransactions = \"decisions\""),
            "transactions = \"decisions\"",
            &["\"decisions\" is the name of two topics"],
        ),
    ]
}

fn broken_webhooks() -> Vec<Broken> {
    const NAME: &str = "name = \"back-office\"\n";
    const URL: &str = "url = \"https://example.com/hook\"\n";
    const KEY: &str = "secret = \"${WEIR_TEST_SECRET}\"\n";
    let twice = format!("{NAME}{URL}{KEY}[[webhook]]\n{NAME}{URL}{KEY}");
    vec![
        with_webhook(&twice, "name =", &["\"back-office\" is there twice", "expected unique"]),
        with_webhook(
            &format!("name = \"store\"\n{URL}{KEY}"),
            "name =",
            &["\"store\" has the name of the store sink"],
        ),
        with_webhook(
            &format!("{NAME}url = \"example.com/hook\"\n{KEY}"),
            "url =",
            &["\"example.com/hook\"", "expected http:// or https://"],
        ),
        with_webhook(
            &format!("{NAME}{URL}secret_file = \"nowhere.secret\""),
            "secret_file",
            &["nowhere.secret", "cannot be read"],
        ),
        with_webhook(
            &format!("{NAME}{URL}"),
            "name =",
            &["back-office", "neither secret", "expected one"],
        ),
        with_webhook(
            &format!("{NAME}{URL}{KEY}secret_file = \"x\""),
            "name =",
            &["back-office", "both secret", "expected one"],
        ),
        with_webhook(
            &format!("{NAME}{URL}secret = \"{}\"", SECRET.replace("whsec_", "")),
            "secret =",
            &["secret", "expected", "whsec_"],
        ),
        with_webhook(
            &format!("{NAME}{URL}{KEY}attempts_max = 0"),
            "attempts_max =",
            &["attempts_max is 0", "expected 1 to 1000"],
        ),
        with_webhook(&format!("{NAME}{KEY}"), "[[webhook]]", &["missing field `url`"]),
        with_webhook(
            &format!("{NAME}{URL}secrets = \"{SECRET}\""),
            "secrets =",
            &["secrets", "expected", "secret_file"],
        ),
        with_webhook(&format!("{NAME}{URL}secret = \"{SECRET}"), "secret =", &["expected", "\""]),
        with_webhook(
            &format!("{NAME}{URL}secret = [\"{SECRET}\"]"),
            "secret =",
            &["expected a string"],
        ),
        with_webhook(
            &format!("{NAME}{URL}secret = \"{SECRET}${{\""),
            "secret =",
            &["without", "expected ${NAME}"],
        ),
        with_webhook(
            &format!("{NAME}{URL}{KEY}timeout_ms = \"{SECRET}\""),
            "timeout_ms",
            &["expected u64"],
        ),
        with_webhook(
            &format!("name = \"a\"\nurl = \"{SECRET}\"\n{KEY}"),
            "url =",
            &["expected http:// or https://"],
        ),
    ]
}

fn broken_rules() -> Vec<Broken> {
    let testing =
        |to: &'static str, parts: &[&'static str]| edited(PAYMENTS, TESTING, to, to, parts);
    vec![
        testing(
            "declines_count_1hh >= 4",
            &["card_testing", "declines_count_1hh", "did you mean \"declines_count_1h\""],
        ),
        testing(
            "wholly_unheard_of == 1",
            &["wholly_unheard_of", "expected an event field or a feature"],
        ),
        testing("amount_minor + 1", &["card_testing", "gives a int", "expected a bool"]),
        testing("channel > 5", &["card_testing", "string > int", "channel > 5", "expected"]),
        testing("channel == 5", &["string == int", "expected"]),
        testing(
            "merchant_id.matches('a(')",
            &["\"a(\"", "not a regular expression", "unclosed group"],
        ),
        testing("merchant_id.matches(channel)", &["computed", "expected a literal"]),
        testing("mcc == ", &["card_testing", "'<EOF>' expecting", "mcc == "]),
        testing("frobnicate(amount_minor)", &["frobnicate(int)", "supported"]),
    ]
}

fn broken_rule_files() -> Vec<Broken> {
    vec![
        edited(
            PAYMENTS,
            "weight = 0.90",
            "weight = 1.5",
            "weight = 1.5",
            &["weight is 1.5", "expected 0 to 1"],
        ),
        edited(
            PAYMENTS,
            "weight = 0.90",
            "weigth = 0.90",
            "weigth",
            &["weigth", "expected", "weight"],
        ),
        edited(
            PAYMENTS,
            "action = \"block\"",
            "action = \"stop\"",
            "\"stop\"",
            &["stop", "expected", "step_up"],
        ),
        edited(
            PAYMENTS,
            "reason = \"CARD_TESTING\"\n",
            "",
            "[[rule]]\nid = \"card_testing\"",
            &["missing field `reason`"],
        ),
        edited(
            PAYMENTS,
            "{declines_count_1h} declined",
            "{declines} declined",
            "{declines} declined",
            &["text of rule \"card_testing\"", "declines", "did you mean"],
        ),
        edited(
            PAYMENTS,
            "{declines_count_1h} declined",
            "{declines_count_1h declined",
            "{declines_count_1h declined",
            &["text of rule \"card_testing\"", "without", "expected {name}"],
        ),
        edited(
            PAYMENTS,
            "\"fraud_confirmed_lately\"",
            "\"card_testing\"",
            "\"card_testing\"",
            &["\"card_testing\" is there twice", "expected unique"],
        ),
        edited(
            PAYMENTS,
            "declines_count_1h = 3, channel = \"ECOM\" }, expect = false",
            "declines_count_1h = 5, channel = \"ECOM\" }, expect = false",
            "declines_count_1h = 5",
            &["test of rule \"card_testing\" gives true", "expected false"],
        ),
        edited(
            PAYMENTS,
            "{ declines_count_1h = 3, ",
            "{ declined_count_1h = 3, ",
            "declined_count_1h",
            &["card_testing", "declined_count_1h", "did you mean \"declines_count_1h\""],
        ),
        edited(
            PAYMENTS,
            "{ declines_count_1h = 3, ",
            "{ declines_count_1h = \"3\", ",
            "declines_count_1h = \"3\"",
            &["card_testing", "declines_count_1h is \"3\"", "expected a int"],
        ),
        edited(
            PAYMENTS,
            "review = 0.60",
            "review = 0.95",
            "thresholds",
            &[
                "step_up 0.4, review 0.95, block 0.9",
                "expected 0 < step_up <= review <= block <= 1",
            ],
        ),
        edited(
            PAYMENTS,
            "review_priority = 3",
            "review_priority = 5",
            "review_priority",
            &["review_priority is 5", "expected 1 to 4"],
        ),
        edited(
            PAYMENTS,
            "kind = \"transaction\"",
            "kind = \"payment\"",
            "kind =",
            &["\"payment\"", "expected \"transaction\""],
        ),
        edited(
            PAYMENTS,
            "kind = \"transaction\"",
            "kind = \"label\"",
            "kind =",
            &["\"label\"", "expected \"transaction\""],
        ),
        edited(
            "rules/chats.toml",
            "[[rule]]",
            "[[rules]]",
            "[[rules]]",
            &["rules", "expected", "rule"],
        ),
        with_file(
            "rules/zz.toml",
            "kind = \"transaction\"\n",
            &["\"transaction\"", "transactions.toml", "expected one file a kind"],
        ),
        with_file("rules/zz.toml", b"kind = \"\xFF\"", &["cannot be read", "UTF-8"]),
    ]
}

fn broken_schemas() -> Vec<Broken> {
    vec![
        with_file("schemas/x.avsc", "{\"type\": \"rec", &["not an Avro schema of a record"]),
        with_file("schemas/x.avsc", "{}", &["not an Avro schema of a record", "type"]),
        with_file(
            "schemas/x.avsc",
            "\"string\"",
            &["not an Avro schema of a record", "it is string", "expected a record"],
        ),
        with_file(
            "schemas/x.avsc",
            "{\"type\": \"record\", \"name\": \"X\", \"fields\": [{\"name\": \"a\", \"type\": \"text\"}]}",
            &["not an Avro schema of a record", "text"],
        ),
    ]
}

fn all_broken() -> Vec<Broken> {
    let mut all = broken_settings();
    all.extend(broken_kafka());
    all.extend(broken_stores());
    all.extend(broken_webhooks());
    all.extend(broken_rules());
    all.extend(broken_rule_files());
    all.extend(broken_schemas());
    all
}

#[test]
fn the_shipped_topology_is_sound() {
    let output = Copy::new().check(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("is sound"));
    let output = Copy::new().check(&["--json"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn each_problem_names_file_line_value_and_expectation_and_no_secret() {
    let all = all_broken();
    assert!(all.len() > 40);
    let mut wrong = String::new();
    for broken in all {
        let output = broken.copy.check(&[]);
        let errors = text(&output.stderr);
        let path = broken.copy.path().join(broken.file);
        let place = match broken.marker {
            "" => format!("{}:", path.display()),
            marker => format!("{}:{}:", path.display(), broken.copy.line(broken.file, marker)),
        };
        let mut expected = broken.parts.clone();
        expected.push(&place);
        expected.retain(|part| !errors.contains(part));
        // one line a problem
        let lines = errors.trim_end().lines().count();
        let shown = errors.contains(&SECRET["whsec_".len()..]);
        if output.status.code() != Some(2) || !expected.is_empty() || shown || lines != 1 {
            let status = output.status;
            wrong
                .push_str(&format!("{status}, shows a key: {shown}, lacks {expected:?}: {errors}"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn as_json_every_problem_is_one_object_a_line() {
    let copy = Copy::new();
    copy.replace(WEIR, "count = 1", "count = 0");
    copy.replace(WEIR, "partitions = 4", "partitions = 5000");
    copy.replace(PAYMENTS, "kind = \"transaction\"", "kind = \"payment\"");
    copy.append(WEIR, &format!("[[webhook]]\nname = \"a\"\nurl = \"x {SECRET}\"\n"));
    let output = copy.check(&["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let lines = text(&output.stdout);
    let problems: Vec<Json> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut found: Vec<(&str, usize, &str)> = problems
        .iter()
        .map(|problem| {
            let fields = problem.as_object().unwrap();
            assert_eq!(fields.len(), 4, "{problem}");
            assert!(fields["column"].as_u64().unwrap() > 0, "{problem}");
            let line = fields["line"].as_u64().unwrap() as usize;
            (fields["file"].as_str().unwrap(), line, fields["message"].as_str().unwrap())
        })
        .collect();
    found.sort_by_key(|(file, line, _)| (file.to_string(), *line));
    let weir = copy.path().join(WEIR).display().to_string();
    let payments = copy.path().join(PAYMENTS).display().to_string();
    for ((file, line, message), (in_file, marker, part)) in found.iter().zip([
        (&payments, "kind =", "kind is \"payment\""),
        (&weir, "partitions =", "partitions is 5000, expected 1 to 1024"),
        (&weir, "count =", "count is 0, expected 1 to 64"),
        (&weir, "url = \"x", "url is \"x whsec_…\""),
    ]) {
        let name = if *in_file == weir { WEIR } else { PAYMENTS };
        assert_eq!((*file, *line), (in_file.as_str(), copy.line(name, marker)), "{message}");
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    assert_eq!(found.len(), 4, "{lines}");
    assert!(!text(&output.stderr).contains(&SECRET["whsec_".len()..]));
}

#[test]
fn a_folder_that_is_not_there_and_one_without_rules_are_said_so() {
    let copy = Copy::new();
    std::fs::remove_dir_all(copy.path().join("rules")).unwrap();
    let output = copy.check(&[]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let rules = copy.path().join("rules").display().to_string();
    assert!(errors.contains(&rules) && errors.contains("expected a folder with rules"), "{errors}");

    let nowhere = copy.path().join("nowhere");
    let output = weir(&["check", "--topology"], &nowhere, &[]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let expected = format!("{}: is not a folder, expected", nowhere.display());
    assert!(errors.contains(&expected), "{errors}");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let copy = Copy::new();
    copy.replace(PAYMENTS, "weight = 0.90", "weight = 1.5");
    copy.replace(PAYMENTS, "payments_count_1h > 8", "payments_count_1h > 'x'");
    copy.replace("rules/chats.toml", "weight = ", "weight = 7");
    let output = copy.check(&[]);
    let errors = text(&output.stderr);
    assert_eq!(errors.lines().count(), 3, "{errors}");
}

#[test]
fn run_with_a_broken_topology_begins_nothing() {
    // the port is taken: whoever binds it first complains of that
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let all = [
        edited(WEIR, "count = 1", "count = 0", "", &["count is 0"]),
        edited(PAYMENTS, TESTING, "amount_minor", "", &["expected a bool"]),
        with_file("schemas/x.avsc", "{}", &["x.avsc"]),
    ];
    for broken in all {
        let data = broken.copy.path().join("data");
        let more = ["--listen", &address, "--data", data.to_str().unwrap()];
        let output = weir(&["run", "--until-end", "--topology"], broken.copy.path(), &more);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(broken.parts[0]), "{errors}");
        assert!(!errors.contains(&address), "{errors}");
        assert!(!data.exists(), "{errors}");
    }
}
