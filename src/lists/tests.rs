//! Lists against a twin that keeps all entries in a row and looks at each of them.

use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;

use super::{Change, Entry, Fault, List, Matching, OVERLAY_MAX};
use crate::config::Match;
use crate::event::{Millis, Slot};

fn matching(kind: Match, fold: bool) -> Matching {
    Matching { kind, fold }
}

fn load(matching: Matching, text: &str) -> List {
    List::load(matching, Path::new("x.csv"), text).unwrap()
}

fn add(value: &str, expires: Option<i64>, note: Option<&str>) -> Change {
    let (value, note) = (value.to_owned(), note.map(str::to_owned));
    Change::Add { value, expires: expires.map(Millis), note }
}

fn remove(value: &str) -> Change {
    Change::Remove { value: value.to_owned() }
}

/// What a list should be.
#[derive(Clone, Debug)]
struct Twin {
    matching: Matching,
    entries: Vec<(String, Option<i64>, Option<String>)>,
}

impl Twin {
    fn folded(&self, text: &str) -> String {
        if self.matching.fold { text.to_lowercase() } else { text.to_owned() }
    }

    /// Whether a value is within an entry, and how near that is.
    fn nearness(&self, entry: &str, value: &str) -> Option<i128> {
        let (folded, value) = (self.folded(entry), self.folded(value));
        match self.matching.kind {
            Match::Exact => (folded == value).then_some(0),
            Match::Prefix => value.starts_with(&folded).then_some(folded.len() as i128),
            Match::Cidr => {
                let (address, length) = network(entry);
                let value = bits(&value)?;
                let is_within =
                    address.len() == value.len() && address[..length] == value[..length];
                is_within.then_some(length as i128)
            }
            Match::Range => {
                let (low, high) = range(entry);
                let value: i64 = value.parse().ok()?;
                // nearer where it is narrower, then where it begins earlier
                (low..=high)
                    .contains(&value)
                    .then_some(-(i128::from(high) - i128::from(low)) * 1_000_000 - i128::from(low))
            }
        }
    }

    fn is_same(&self, a: &str, b: &str) -> bool {
        match self.matching.kind {
            Match::Exact | Match::Prefix => self.folded(a) == self.folded(b),
            Match::Cidr => network(a) == network(b),
            Match::Range => range(a) == range(b),
        }
    }

    fn find(&self, value: &str, at: i64) -> Option<Entry<'_>> {
        self.entries
            .iter()
            .filter(|(_, expires, _)| expires.is_none_or(|expires| at < expires))
            .filter_map(|entry| Some((self.nearness(&entry.0, value)?, entry)))
            .max_by_key(|(nearness, _)| *nearness)
            .map(|(_, (value, expires, note))| Entry {
                value,
                expires: expires.map(Millis),
                note: note.as_deref(),
            })
    }

    fn change(&mut self, change: &Change) {
        let entries = std::mem::take(&mut self.entries);
        self.entries =
            entries.into_iter().filter(|entry| !self.is_same(&entry.0, change.value())).collect();
        if let Change::Add { value, expires, note } = change {
            self.entries.push((value.clone(), expires.map(|at| at.0), note.clone()));
        }
    }
}

/// An address bit by bit, the first one first; a mapped one as IPv4.
fn bits(text: &str) -> Option<Vec<bool>> {
    let bytes = match text.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    Some(bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect())
}

/// The bits of a network and how many of them count.
fn network(text: &str) -> (Vec<bool>, usize) {
    let (address, length) = text.split_once('/').unwrap_or((text, "999"));
    let bits = bits(address).unwrap();
    let mapped = if address.contains('.') && address.contains(':') { 96 } else { 0 };
    let length = length.parse::<usize>().unwrap().saturating_sub(mapped).min(bits.len());
    (bits, length)
}

fn range(text: &str) -> (i64, i64) {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    (low.parse().unwrap(), high.parse().unwrap())
}

/// Values of entries and of events of a kind, few enough that they meet.
fn values(matching: Matching) -> (BoxedStrategy<String>, BoxedStrategy<String>) {
    match matching.kind {
        Match::Exact | Match::Prefix => ("[abAé7]{1,4}".boxed(), "[abAé7]{1,5}".boxed()),
        Match::Cidr => {
            let v4 = (0..4_u32, 20..=32_u32).prop_map(|(host, length)| {
                let kept = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                let address = std::net::Ipv4Addr::from((0x0a00_0000 | host << 8 | host) & kept);
                match (host, length) {
                    (0, 32) => address.to_string(),
                    (1, _) => format!("::ffff:{address}/{}", length + 96),
                    _ => format!("{address}/{length}"),
                }
            });
            let v6 = (0..4_u128, 20..=128_u32).prop_map(|(host, length)| {
                let kept = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                let bits = (0x2001_0db8 << 96 | host << 64 | host) & kept;
                format!("{}/{length}", std::net::Ipv6Addr::from(bits))
            });
            let address4 = (0..1_024_u32).prop_map(|host| {
                let address = std::net::Ipv4Addr::from(0x0a00_0000 | host);
                if host % 5 == 0 { format!("::ffff:{address}") } else { address.to_string() }
            });
            let address6 = (0..4_u128, 0..8_u128).prop_map(|(network, host)| {
                std::net::Ipv6Addr::from(0x2001_0db8 << 96 | network << 64 | host).to_string()
            });
            (prop_oneof![v4, v6].boxed(), prop_oneof![address4, address6].boxed())
        }
        Match::Range => {
            let ranges = (-20_i64..20, 0_i64..12).prop_map(|(low, width)| match width {
                0 => low.to_string(),
                _ => format!("{low}..{}", low + width),
            });
            (ranges.boxed(), (-25_i64..35).prop_map(|value| value.to_string()).boxed())
        }
    }
}

/// A kind, entries of a file, changes, and what events look up.
fn cases() -> impl Strategy<Value = (Matching, Vec<Change>, Vec<Change>, Vec<String>)> {
    let kinds = prop_oneof![
        Just(matching(Match::Exact, false)),
        Just(matching(Match::Exact, true)),
        Just(matching(Match::Prefix, false)),
        Just(matching(Match::Prefix, true)),
        Just(matching(Match::Cidr, false)),
        Just(matching(Match::Range, false)),
    ];
    kinds.prop_flat_map(|matching| {
        let (entries, looked_up) = values(matching);
        let note = proptest::option::of("[xy]{1,2}");
        let adds = (entries.clone(), proptest::option::of(1_i64..10), note)
            .prop_map(|(value, at, note)| add(&value, at, note.as_deref()))
            .boxed();
        let removes = entries.clone().prop_map(|value| remove(&value));
        let changes = prop_oneof![2 => adds.clone(), 1 => removes];
        (
            Just(matching),
            proptest::collection::vec(adds, 0..30),
            proptest::collection::vec(changes, 0..30),
            proptest::collection::vec(looked_up, 30),
        )
    })
}

/// The twin of a file, and its text.
fn file(matching: Matching, adds: &[Change]) -> (Twin, String) {
    let mut twin = Twin { matching, entries: Vec::new() };
    adds.iter().for_each(|add| twin.change(add));
    let mut text = "note,value,expires\n".to_owned();
    for (value, expires, note) in &twin.entries {
        let expires = expires.map_or(String::new(), |at| Millis(at).to_string());
        text += &format!("{},{value},{expires}\n", note.as_deref().unwrap_or_default());
    }
    (twin, text)
}

proptest! {
    #[test]
    fn a_list_answers_as_a_scan_of_all_entries_does(
        (matching, adds, changes, looked_up) in cases(),
        overlay_max in 0_usize..12,
    ) {
        let (mut twin, text) = file(matching, &adds);
        let mut list = load(matching, &text);
        for step in 0..=changes.len() {
            prop_assert_eq!(list.len(), twin.entries.len());
            prop_assert_eq!(list.entries().count(), list.len());
            for value in &looked_up {
                for at in [0, 3, 9, 10] {
                    let expected = twin.find(value, at);
                    let found = list.find(Slot::Text(value), Millis(at));
                    // of integers, those of ranges: texts with a sign are none there
                    let int: Option<i64> = value.parse().ok();
                    let is_int = matching.kind == Match::Range && int.is_some();
                    if !is_int || value.bytes().all(|byte| byte.is_ascii_digit()) {
                        prop_assert_eq!(found, expected, "{} at {}", value, at);
                        prop_assert_eq!(
                            list.contains(Slot::Text(value), Millis(at)), expected.is_some()
                        );
                    }
                    if let (true, Some(int)) = (is_int, int) {
                        prop_assert_eq!(list.find(Slot::Int(int), Millis(at)), expected);
                    }
                }
            }
            if let Some(change) = changes.get(step) {
                list = list.changed(change, overlay_max).unwrap();
                twin.change(change);
            }
        }
    }

    #[test]
    fn the_hash_follows_from_file_and_changes_and_not_from_folding(
        (matching, adds, changes, _) in cases(),
        overlay_max in 0_usize..12,
    ) {
        let (_, text) = file(matching, &adds);
        let mut lists = [load(matching, &text), load(matching, &text)];
        let mut hashes = vec![lists[0].hash().to_owned()];
        for change in &changes {
            lists[0] = lists[0].changed(change, overlay_max).unwrap();
            lists[1] = lists[1].with(change).unwrap();
            prop_assert_eq!(lists[0].hash(), lists[1].hash());
            hashes.push(lists[0].hash().to_owned());
            // in a topic changes travel as JSON
            let json = serde_json::to_string(change).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Change>(&json).unwrap(), change);
        }
        // each state has its own, also where a change changes nothing
        hashes.sort();
        hashes.dedup();
        prop_assert_eq!(hashes.len(), changes.len() + 1);
    }
}

#[test]
fn an_expired_entry_does_not_hide_a_wider_one() {
    for (kind, wide, narrow, value) in [
        (Match::Prefix, "41", "4111", "411122"),
        (Match::Cidr, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"),
        (Match::Cidr, "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7"),
        (Match::Range, "400000..499999", "411100..411199", "411122"),
    ] {
        let soon = "2026-01-31T10:00:00Z";
        let file = load(
            matching(kind, false),
            &format!("value,expires,note\n{wide},,wide\n{narrow},{soon},narrow\n"),
        );
        let live = load(matching(kind, false), &format!("value,note\n{wide},wide\n"));
        let expires = Millis::of_date_or_time(soon).unwrap();
        let live = live.with(&add(narrow, Some(expires.0), Some("narrow"))).unwrap();
        for list in [file, live] {
            let note = |at| list.find(Slot::Text(value), Millis(at)).unwrap().note;
            assert_eq!(note(expires.0 - 1), Some("narrow"), "{value}");
            assert_eq!(note(expires.0), Some("wide"), "{value}");
            let without = list.with(&remove(wide)).unwrap();
            assert!(!without.contains(Slot::Text(value), expires), "{value}");
        }
    }
}

#[test]
fn what_a_value_is_looked_up_as() {
    let at = Millis(0);
    for (kind, fold, entry, within, without) in [
        (Match::Exact, false, "ab", vec![Slot::Text("ab")], vec![Slot::Text("AB"), Slot::Null]),
        (Match::Exact, true, "Ab É", vec![Slot::Text("aB é")], vec![Slot::Text("ab e")]),
        (Match::Exact, false, "-42", vec![Slot::Int(-42)], vec![Slot::Int(42), Slot::Float(-42.0)]),
        (Match::Exact, false, "true", vec![Slot::Text("true")], vec![Slot::Bool(true)]),
        (Match::Prefix, true, "SQ ", vec![Slot::Text("sq *x")], vec![Slot::Text("SQ")]),
        (Match::Prefix, false, "41", vec![Slot::Int(4_111)], vec![Slot::Int(4)]),
        (
            Match::Cidr,
            false,
            "0.0.0.0/0",
            vec![Slot::Text("::ffff:1.2.3.4")],
            vec![Slot::Text("::1"), Slot::Text("1.2.3"), Slot::Text(""), Slot::Int(1)],
        ),
        // an IPv4 address lies in no IPv6 network
        (Match::Cidr, false, "::/0", vec![Slot::Text("::1")], vec![Slot::Text("1.2.3.4")]),
        (
            Match::Range,
            false,
            "5..70",
            vec![Slot::Text("007"), Slot::Int(70)],
            vec![
                Slot::Text("+7"),
                Slot::Text("7.0"),
                Slot::Text(""),
                Slot::Text("99999999999999999999"),
                Slot::Float(7.0),
                Slot::Bool(true),
            ],
        ),
    ] {
        let list = load(matching(kind, fold), &format!("value\n{entry}\n"));
        for value in within {
            assert!(list.contains(value, at), "{value} in {entry}");
        }
        for value in without.into_iter().chain([Slot::Null]) {
            assert!(!list.contains(value, at), "{value} in {entry}");
        }
        let found = list.entries().next().unwrap();
        assert_eq!(found, Entry { value: entry, expires: None, note: None });
    }
}

#[test]
fn long_values_are_in_no_list_but_may_begin_as_one() {
    let entry = "x".repeat(super::VALUE_BYTES_MAX);
    let longer = "X".repeat(1_000);
    for fold in [false, true] {
        let value = if fold { longer.clone() } else { longer.to_lowercase() };
        for (kind, expected) in [(Match::Exact, false), (Match::Prefix, true)] {
            let list = load(matching(kind, fold), &format!("value\n{entry}\n"));
            assert_eq!(list.contains(Slot::Text(&value), Millis(0)), expected);
            assert!(list.contains(Slot::Text(&value[..super::VALUE_BYTES_MAX]), Millis(0)));
        }
    }
}

#[test]
fn a_change_that_means_nothing_is_refused_and_changes_nothing() {
    let list = load(matching(Match::Cidr, false), "value\n10.0.0.0/8\n");
    for (change, expected) in [
        (add("10.0.0.1/8", None, None), "value is \"10.0.0.1/8\", expected its last 24 bits"),
        (remove("example.com"), "value is \"example.com\", expected an address or a network"),
        (add("10.0.0.1", None, Some("a\nb")), "note is \"a\\nb\", expected one line"),
        (add("10.0.0.1", None, Some(&"x".repeat(300))), "note \"xxx"),
    ] {
        let error = list.with(&change).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let same = list.with(&remove("11.0.0.0/8")).unwrap();
    assert_eq!(same.len(), 1);
    assert!(matches!(list.with(&remove("")), Err(Fault::Value { .. })));
}

#[test]
fn hashes_stay_what_they_are() {
    // decisions of the past name them
    let list = load(matching(Match::Exact, true), "value,expires,note\nx,2026-01-31,seen\n");
    assert_eq!(list.hash(), "fa53ee3ff68be1fced879a91bdd286daaaa73769ec8b0d52ae8376826f4c487a");
    let list = list.with(&add("y", Some(1_767_225_600_000), None)).unwrap();
    assert_eq!(list.hash(), "63d5fe8817cb59d44bdf978495287a58da704191d25c391ebe0083c5a048a5ac");
}

#[test]
fn the_hash_tells_kinds_options_and_files_apart() {
    let mut hashes = Vec::new();
    for (kind, fold) in
        [(Match::Exact, false), (Match::Exact, true), (Match::Prefix, false), (Match::Range, false)]
    {
        for text in ["value\n7\n", "value\n8\n", "value\n"] {
            hashes.push(load(matching(kind, fold), text).hash().to_owned());
        }
    }
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn many_changes_fold_into_a_new_base() {
    let base = load(matching(Match::Range, false), "value\n0..9\n");
    let mut list = base.clone();
    for i in 0..OVERLAY_MAX as i64 + 10 {
        list = list.with(&add(&(100 + i).to_string(), None, None)).unwrap();
    }
    assert_eq!(list.len(), OVERLAY_MAX + 11);
    assert!(list.contains(Slot::Int(100), Millis(0)) && list.contains(Slot::Int(9), Millis(0)));
    assert!(!list.contains(Slot::Int(99), Millis(0)));
    assert_eq!(base.len(), 1);
}
