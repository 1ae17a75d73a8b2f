//! Imports between the rooms of `src/` point one way, from a room to rooms further down this list,
//! and what is pure stays so: no clock, no files, no network, no runtime in scores, state and the
//! simulator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room may import those after it.
const ROOMS: [&str; 20] = [
    "cli",
    "api",
    "sink",
    "stage",
    "backtest",
    "policy",
    "replay",
    "sim",
    "score",
    "state",
    "expr",
    "lists",
    "codec",
    "text",
    "snapshot",
    "log",
    "event",
    "config",
    "telemetry",
    "outbound",
];

/// Rooms that import less than their place allows.
const ONLY: [(&str, &[&str]); 8] = [
    ("expr", &["event", "config", "lists"]),
    ("lists", &["event", "config"]),
    ("replay", &["codec", "event"]),
    ("sim", &["event"]),
    ("snapshot", &["event", "config", "telemetry", "outbound"]),
    ("config", &["telemetry"]),
    ("telemetry", &[]),
    ("outbound", &[]),
];

const PURE: [&str; 5] = ["score", "state", "expr", "lists", "sim"];

/// Words that the files of pure rooms do not have, and entries of `std`.
const IMPURE_WORDS: [&str; 4] = ["SystemTime", "Instant", "tokio", "rusqlite"];
const IMPURE_STD: [&str; 2] = ["fs", "net"];
/// Types of `std::net` that are values and open nothing.
const ADDRESSES: [&str; 3] = ["IpAddr", "Ipv4Addr", "Ipv6Addr"];

/// What is wrong with a file: line, and why.
type Fault = (usize, String);

/// The text with comments, strings and characters blanked out; lines stay where they are.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => find(bytes, at, b"\n"),
            [b'/', b'*', ..] => find(bytes, at, b"*/") + 2,
            [b'r', b'"' | b'#', ..] if !is_word(bytes, at.wrapping_sub(1)) => raw_string(bytes, at),
            [b'"', ..] => string(bytes, at, b'"'),
            // a character, not a lifetime
            [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => string(bytes, at, b'\''),
            _ => {
                at += 1;
                continue;
            }
        }
        .min(bytes.len());
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    // whole characters were blanked or kept
    String::from_utf8_lossy(&code).into_owned()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    let found = bytes[from..].windows(what.len()).position(|window| window == what);
    found.map_or(bytes.len(), |at| from + at)
}

fn string(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        // r#type is a name
        return start + 1;
    }
    let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
    find(bytes, start + 2 + hashes, &close) + close.len()
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// The code without what is compiled for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = code.to_owned();
    while let Some(start) = kept.find(MARK) {
        let after = start + MARK.len();
        let end = match kept[after..].find(['{', ';']).map(|at| after + at) {
            Some(open) if kept.as_bytes()[open] == b'{' => closing(&kept, open) + 1,
            Some(semicolon) => semicolon + 1,
            None => kept.len(),
        };
        let blank: String =
            kept[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        kept.replace_range(start..end, &blank);
    }
    kept
}

/// The brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len() - 1
}

/// What follows each `prefix::`, groups taken apart: byte and first name of each path.
fn after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let path = code[..at].ends_with("::");
        if is_word(code.as_bytes(), at.wrapping_sub(1)) || path {
            continue;
        }
        let rest = code[at + prefix.len()..].trim_start();
        let Some(rest) = rest.strip_prefix("::") else {
            continue;
        };
        let start = code.len() - rest.trim_start().len();
        for entry in entries(code, start) {
            found.push((entry, first_name(&code[entry..])));
        }
    }
    found
}

/// Where the paths begin that stand at `start`: one, or those of a group, nested groups aside.
fn entries(code: &str, start: usize) -> Vec<usize> {
    if !code[start..].starts_with('{') {
        return vec![start];
    }
    let mut found = Vec::new();
    let mut depth = 0;
    let mut expect = false;
    for (at, character) in code[start..].char_indices() {
        match character {
            '{' => {
                depth += 1;
                expect = depth == 1;
            }
            '}' => depth -= 1,
            ',' => expect = depth == 1,
            c if c.is_whitespace() => {}
            _ if expect => {
                found.push(start + at);
                expect = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn first_name(code: &str) -> String {
    code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The room of a file below `src/`, and how deep its module stands below the crate's root.
fn room_of(path: &Path) -> (String, usize) {
    let parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| part != "mod")
        .collect();
    match parts[0].as_str() {
        // they tell the story of the command line
        "main" | "lib" => ("cli".to_owned(), 0),
        room => (room.to_owned(), parts.len()),
    }
}

/// Imports that point the wrong way, and what a pure room must not mention.
fn faults(path: &Path, text: &str) -> Vec<Fault> {
    let code = without_tests(&code_only(text));
    let (room, depth) = room_of(path);
    let mut imports = after(&code, "crate");
    if depth > 0 {
        // so many steps up stand at the crate's root
        imports.extend(after(&code, &vec!["super"; depth].join("::")));
    }
    let mut faults: Vec<Fault> = imports
        .into_iter()
        .filter_map(|(at, to)| Some((line_of(&code, at), arrow(&room, &to)?)))
        .collect();
    if PURE.contains(&room.as_str()) {
        faults.extend(impurities(&room, &code));
    }
    faults.sort();
    faults
}

/// What is wrong with an import, if something is.
fn arrow(from: &str, to: &str) -> Option<String> {
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let only = ONLY.iter().find(|(room, _)| *room == from);
    match (place(from), place(to)) {
        _ if from == to => None,
        (None, _) => Some(format!("{from} is no room of {ROOMS:?}")),
        (_, None) => Some(format!("{from} -> {to}, which is no room of {ROOMS:?}")),
        (Some(above), Some(below)) if above > below => {
            Some(format!("{from} -> {to}, expected {to} to import {from} if any"))
        }
        _ => {
            let (_, allowed) = only?;
            let fault = || format!("{from} -> {to}, expected {from} to import only {allowed:?}");
            (!allowed.contains(&to)).then(fault)
        }
    }
}

fn impurities(room: &str, code: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for word in IMPURE_WORDS {
        for (at, _) in code.match_indices(word) {
            let bytes = code.as_bytes();
            if !is_word(bytes, at.wrapping_sub(1)) && !is_word(bytes, at + word.len()) {
                faults.push((line_of(code, at), format!("{room} mentions {word}")));
            }
        }
    }
    for (at, name) in after(code, "std") {
        let inner = code[at + name.len()..].strip_prefix("::").unwrap_or_default();
        let inner = match inner.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((inner, _)) => inner.split(',').map(|name| name.trim().to_owned()).collect(),
            None => vec![first_name(inner)],
        };
        let address = inner.iter().all(|inner| ADDRESSES.contains(&inner.as_str()));
        if IMPURE_STD.contains(&name.as_str()) && !address {
            faults.push((line_of(code, at), format!("{room} mentions std::{name}")));
        }
    }
    faults
}

/// Every file below `src/` that is not for tests, relative to it.
fn sources(folder: &Path, below: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        let stem = path.file_stem().unwrap();
        if stem == "tests" {
            continue;
        }
        if folder.join(&path).is_dir() {
            sources(folder, &path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn imports_point_down_and_pure_rooms_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, Path::new(""), &mut paths);
    let mut report = String::new();
    let mut rooms = BTreeSet::new();
    let mut arrows = 0;
    for path in &paths {
        let text = std::fs::read_to_string(src.join(path)).unwrap();
        rooms.insert(room_of(path).0);
        arrows += after(&without_tests(&code_only(&text)), "crate").len();
        for (line, fault) in faults(path, &text) {
            report.push_str(&format!("src/{}:{line}: {fault}\n", path.display()));
        }
    }
    assert!(report.is_empty(), "\n{report}");
    for room in &rooms {
        assert!(ROOMS.contains(&room.as_str()), "src/{room} has no place in {ROOMS:?}");
    }
    // a checker that finds no import finds no wrong one either
    assert!(arrows > 50, "found only {arrows} imports in {} files", paths.len());
}

#[test]
fn an_import_that_points_up_is_found_wherever_it_hides() {
    let wrong = |path: &str, text: &str| faults(Path::new(path), text);
    for (path, text, line, part) in [
        ("score/x.rs", "use crate::stage::Stage;", 1, "score -> stage"),
        (
            "codec/mod.rs",
            "\n\nuse crate::{\n    event::Code,\n    score::{RuleSet, Case},\n};",
            5,
            "codec -> score",
        ),
        ("event/x.rs", "fn f() { let x = crate :: codec::redact(\"\"); }", 1, "event -> codec"),
        ("state/mod.rs", "use super::score::Case;", 1, "state -> score"),
        (
            "state/x.rs",
            "use super::{super::cli, a};\nuse super::super::sink::Store;",
            2,
            "state -> sink",
        ),
        ("sim/x.rs", "use crate::codec::json;", 1, "sim -> codec"),
        ("replay/x.rs", "use crate::config::Topology;", 1, "replay -> config"),
        ("snapshot/x.rs", "use crate::log::Log;", 1, "snapshot -> log"),
        ("telemetry/x.rs", "use crate::config::limits;", 1, "telemetry -> config"),
        ("config/x.rs", "use crate::event::Kind;", 1, "config -> event"),
        ("log/kafka/x.rs", "pub(crate) use crate::codec;", 1, "log -> codec"),
        ("score/x.rs", "use crate::nowhere::X;", 1, "no room"),
        ("nowhere/x.rs", "use crate::event::X;", 1, "no room"),
        ("score/x.rs", "let a = '\"'; use crate::stage::X; let b = '\"';", 1, "score -> stage"),
        ("score/x.rs", "#[cfg(test)]\nmod tests;\nuse crate::cli::X;", 3, "score -> cli"),
        ("score/x.rs", "#[cfg(test)]\nmod t { fn f() { } }\nuse crate::cli::X;", 3, "score -> cli"),
        ("score/x.rs", "use std::time::{Duration, Instant};", 1, "Instant"),
        ("state/x.rs", "fn f(at: std::time::SystemTime) {}", 1, "SystemTime"),
        ("sim/x.rs", "use std::{fmt, fs::File};", 1, "std::fs"),
        ("sim/x.rs", "use std::net::TcpStream;", 1, "std::net"),
        ("sim/x.rs", "use std::net::{IpAddr, TcpStream};", 1, "std::net"),
        ("score/x.rs", "#[tokio::main] async fn f() {}", 1, "tokio"),
        ("state/x.rs", "use rusqlite::Connection;", 1, "rusqlite"),
    ] {
        let found = wrong(path, text);
        assert!(
            found.iter().any(|(at, why)| *at == line && why.contains(part)),
            "{path}: {text:?}: {found:?}"
        );
    }
}

#[test]
fn an_import_that_points_down_and_what_only_looks_like_one_pass() {
    for (path, text) in [
        ("cli/run.rs", "use crate::{api::Server, sink, stage::{Stage, Settings}};"),
        ("main.rs", "use crate::cli; fn main() {}"),
        ("score/x.rs", "use crate::{config::limits, event::Slot}; use crate::score::Case;"),
        ("score/x.rs", "// use crate::cli;\n/* crate::stage */ /// [`crate::stage`]\n"),
        ("score/x.rs", "let a = \"crate::cli \\\" crate::stage\"; let b = r#\"crate::\"cli\"#;"),
        ("score/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::stage::X;\n    fn f() {}\n}"),
        ("state/x.rs", "use super::score; fn f<'a>(x: &'a str) {}"),
        ("sim/x.rs", "let r#type = std::net::Ipv4Addr::LOCALHOST; struct Instantly;"),
        ("sim/x.rs", "use std::net::{IpAddr, Ipv4Addr};"),
        ("stage/x.rs", "use std::time::Instant; use std::fs;"),
        ("config/x.rs", "use crate::telemetry::Clock; use std::fs;"),
        ("replay/x.rs", "use crate::{codec::json, event::Event};"),
        ("score/x.rs", "use other_crate::stage; mod_crate::cli();"),
    ] {
        assert_eq!(faults(Path::new(path), text), [], "{path}: {text:?}");
    }
}
