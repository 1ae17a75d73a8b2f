//! The cases of CEL's own conformance suite: `load-tests/cel.sh FILE` runs any file of their form.
//!
//! A line is an object: `file`, `section`, `name`, `expr`, and what is expected: `value`, or `evalError`,
//! or neither for true; with `bindings` and their `typeEnv`, and `disableCheck` where types are not to be
//! checked. A case is *outside* if it needs what [`docs/expressions.md`] leaves out and is refused at load
//! for that; an error that is expected may be found at load too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value as Json;
use weir::expr::{Fault, FreeExpression, Moment, ProgramError, Span, Ty, Value};

/// Shares of the cases of a file, in per cent, that must be inside and pass.
const CORE: [&str; 12] = [
    "basic",
    "comparisons",
    "conversions",
    "fields",
    "fp_math",
    "integer_math",
    "lists",
    "logic",
    "macros",
    "parse",
    "string",
    "timestamps",
];
const CORE_PERCENT_MIN: usize = 95;
const EXTENSIONS: [&str; 3] = ["string_ext", "math_ext", "network_ext"];
const EXTENSION_PERCENT_MIN: usize = 80;

#[derive(Default)]
struct Count {
    passed: usize,
    outside: usize,
    failed: usize,
}

impl Count {
    fn all(&self) -> usize {
        self.passed + self.outside + self.failed
    }
}

enum Outcome {
    Passed,
    /// the reason
    Outside(String),
    /// what was expected, and what came
    Failed(String),
}

/// A type of the environment, `None` for what is outside.
fn ty(given: &Json) -> Option<Ty> {
    if let Some(primitive) = given["primitive"].as_str() {
        return Some(match primitive {
            "BOOL" => Ty::Bool,
            "INT64" => Ty::Int,
            "UINT64" => Ty::Uint,
            "DOUBLE" => Ty::Float,
            "STRING" => Ty::Text,
            "BYTES" => Ty::Bytes,
            _ => return None,
        });
    }
    if let Some(known) = given["wellKnown"].as_str() {
        return match known {
            "TIMESTAMP" => Some(Ty::Time),
            "DURATION" => Some(Ty::Span),
            "ANY" => Some(Ty::Dyn),
            _ => None,
        };
    }
    let object = given.as_object()?;
    match object.keys().next()?.as_str() {
        "null" => Some(Ty::Null),
        "dyn" => Some(Ty::Dyn),
        "messageType" => match given["messageType"].as_str()? {
            "google.protobuf.Timestamp" => Some(Ty::Time),
            "google.protobuf.Duration" => Some(Ty::Span),
            _ => None,
        },
        "listType" => {
            let element = given["listType"].get("elemType").map_or(Some(Ty::Dyn), ty)?;
            Some(Ty::List(Box::new(element)))
        }
        "mapType" => {
            let key = given["mapType"].get("keyType").map_or(Some(Ty::Dyn), ty)?;
            let value = given["mapType"].get("valueType").map_or(Some(Ty::Dyn), ty)?;
            Some(Ty::Map(Box::new(key), Box::new(value)))
        }
        _ => None,
    }
}

/// A value, `None` for what is outside.
fn value(given: &Json) -> Option<Value<'static>> {
    let (kind, inner) = given.as_object()?.iter().next()?;
    let text = || inner.as_str().map(str::to_owned);
    Some(match kind.as_str() {
        "nullValue" => Value::Null,
        "boolValue" => Value::Bool(inner.as_bool()?),
        "int64Value" => Value::Int(number(inner)?.parse().ok()?),
        "uint64Value" => Value::Uint(number(inner)?.parse().ok()?),
        "doubleValue" => Value::Float(text()?.parse().ok()?),
        "stringValue" => Value::Text(text()?.into()),
        "bytesValue" => {
            Value::Bytes(base64::engine::general_purpose::STANDARD.decode(text()?).ok()?.into())
        }
        "typeValue" => Value::Type(text()?.leak()),
        "listValue" => {
            let values = inner["values"].as_array().cloned().unwrap_or_default();
            Value::List(values.iter().map(value).collect::<Option<_>>()?)
        }
        "mapValue" => {
            let entries = inner["entries"].as_array().cloned().unwrap_or_default();
            let entry = |entry: &Json| Some((value(&entry["key"])?, value(&entry["value"])?));
            Value::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        "objectValue" => match inner["@type"].as_str()?.rsplit('/').next()? {
            "google.protobuf.Timestamp" => {
                Value::Time(Moment::parse(inner["value"].as_str()?).ok()?)
            }
            "google.protobuf.Duration" => Value::Span(Span::parse(inner["value"].as_str()?).ok()?),
            _ => return None,
        },
        _ => return None,
    })
}

fn number(given: &Json) -> Option<String> {
    given.as_str().map(str::to_owned).or_else(|| given.as_number().map(ToString::to_string))
}

/// Numbers with a fraction as texts: read as numbers they would come out a last digit beside what they are.
fn quoted_floats(line: &str) -> String {
    const KEY: &str = "\"doubleValue\":";
    let mut parts = line.split(KEY);
    let mut quoted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let part = part.trim_start();
        let end = part.find(|c| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(0);
        let (number, rest) = part.split_at(end);
        let number = if number.is_empty() { String::new() } else { format!("\"{number}\"") };
        quoted.extend([KEY, &number, rest]);
    }
    quoted
}

/// The same value of the same type; not-a-number is itself here.
fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Uint(a), Value::Uint(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Span(a), Value::Span(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let is_there = |(key, value): &(Value<'_>, Value<'_>)| {
                b.iter().any(|(other, of)| same(key, other) && same(value, of))
            };
            a.len() == b.len() && a.iter().all(is_there)
        }
        _ => false,
    }
}

type Names = (Vec<(String, Ty)>, Vec<Value<'static>>);

/// The names of a case with their types, and their values.
fn names(case: &Json) -> Result<Names, String> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    let empty = Vec::new();
    for declared in case["typeEnv"].as_array().unwrap_or(&empty) {
        let name = declared["name"].as_str().unwrap_or_default();
        if declared.get("function").is_some() {
            return Err("functions declared by the caller".to_owned());
        }
        let ty = ty(&declared["ident"]["type"])
            .ok_or_else(|| "names whose type is a message or an enum".to_owned())?;
        names.push((name.to_owned(), ty));
    }
    if let Some(bindings) = case["bindings"].as_object() {
        for name in bindings.keys() {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name.clone(), Ty::Dyn));
            }
        }
    }
    names.retain(|(name, _)| case["bindings"].get(name).is_some());
    for (name, _) in &names {
        let given = value(&case["bindings"][name]["value"])
            .ok_or_else(|| "values that are messages or enums".to_owned())?;
        values.push(given);
    }
    Ok((names, values))
}

/// Why a refused expression is outside, without what is its own.
fn reason(error: &ProgramError) -> String {
    let message = &error.message;
    match message.find('"') {
        Some(at) => message[..at].trim_end().to_owned(),
        None => message.clone(),
    }
}

fn run(case: &Json) -> Outcome {
    let expects_error = case.get("evalError").is_some();
    let expected = match case.get("value") {
        None => Some(Value::Bool(true)),
        Some(given) => value(given),
    };
    let (names, given) = match names(case) {
        Ok(names) => names,
        Err(reason) => return Outcome::Outside(reason),
    };
    let Some(expected) = expected else {
        return Outcome::Outside("results that are messages or enums".to_owned());
    };
    let source = case["expr"].as_str().unwrap_or_default();
    let is_checked = case["disableCheck"] != Json::Bool(true);
    let found: Result<Value<'static>, Fault> =
        match FreeExpression::load(source, &names, is_checked) {
            Err(_) if expects_error => return Outcome::Passed,
            Err(error) if error.is_outside => return Outcome::Outside(reason(&error)),
            Err(error) => return Outcome::Failed(format!("refused: {}", error.message)),
            Ok(expression) => expression.value(given),
        };
    match (found, expects_error) {
        (Err(_), true) => Outcome::Passed,
        (Ok(found), false) if same(&found, &expected) => Outcome::Passed,
        (Ok(found), true) => Outcome::Failed(format!("gives {found:?}, expected an error")),
        (found, false) => Outcome::Failed(format!("gives {found:?}, expected {expected:?}")),
    }
}

fn cases() -> (PathBuf, bool) {
    match std::env::var_os("WEIR_CEL_CASES") {
        Some(path) => (PathBuf::from(path), false),
        None => {
            let here = Path::new(env!("CARGO_MANIFEST_DIR"));
            (here.join("../shared/data/cel-conformance/cases.jsonl"), true)
        }
    }
}

/// What became of the cases of a file.
#[derive(Default)]
struct Report {
    counts: BTreeMap<String, Count>,
    /// cases by reason
    outside: BTreeMap<String, Vec<String>>,
    /// cases, each with what was expected
    failed: String,
}

impl Report {
    fn add(&mut self, case: &Json) {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let label = format!("{}/{}/{}", text("file"), text("section"), text("name"));
        let count = self.counts.entry(text("file")).or_default();
        match run(case) {
            Outcome::Passed => count.passed += 1,
            Outcome::Outside(reason) => {
                count.outside += 1;
                self.outside.entry(reason).or_default().push(label);
            }
            Outcome::Failed(reason) => {
                count.failed += 1;
                let _ = writeln!(self.failed, "  {label}: {} {reason}", text("expr"));
            }
        }
    }

    fn print(&self) {
        println!("{:<16} {:>7} {:>7} {:>7}", "file", "passed", "outside", "failed");
        for (file, count) in &self.counts {
            println!("{file:<16} {:>7} {:>7} {:>7}", count.passed, count.outside, count.failed);
        }
        for (reason, labels) in &self.outside {
            println!("outside, {reason}: {}", labels.len());
            for label in labels {
                println!("  {label}");
            }
        }
    }

    fn assert_shares(&self) {
        let shares = CORE
            .iter()
            .map(|file| (file, CORE_PERCENT_MIN))
            .chain(EXTENSIONS.iter().map(|file| (file, EXTENSION_PERCENT_MIN)));
        for (file, least) in shares {
            let count = self.counts.get(*file);
            let (passed, all) = count.map_or((0, 0), |count| (count.passed, count.all()));
            assert!(all > 0, "{file}: no case of it");
            assert!(passed * 100 >= all * least, "{file}: {passed} of {all}, expected {least} %");
        }
    }
}

#[test]
fn cases_of_the_conformance_suite_pass() {
    let (path, is_default) = cases();
    if is_default && !path.exists() {
        println!("skipped: {} is not there", path.display());
        return;
    }
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut report = Report::default();
    for (line, source) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let case: Json = serde_json::from_str(&quoted_floats(source))
            .unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), line + 1));
        report.add(&case);
    }
    report.print();
    assert!(!report.counts.is_empty(), "{}: no case in it", path.display());
    let failed = &report.failed;
    assert!(failed.is_empty(), "these give something else than is expected:\n{failed}");
    if is_default {
        report.assert_shares();
    }
}
