//! What a look-up in a list of a million entries costs, and the list itself. `cargo bench --bench lists`.
//!
//! Half of what is looked up is there, in random order, so that no two look-ups share a line of the
//! cache; the value itself has just been read, as of an event that has been decoded. Look-ups stand in a
//! row, as those of a batch do, so that a processor waits for the memory of several at once; one read of
//! memory that nothing else hides stands beside them. Medians of slices and of five rounds.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir::config::Match;
use weir::event::{Millis, Slot};
use weir::lists::{Change, List, Matching, OVERLAY_MAX};

const ENTRIES: usize = 1_000_000;
const LOOKED_UP: usize = 500_000;
const ROUNDS: usize = 5;
/// Look-ups between two looks at the clock.
const SLICE: usize = 250;
const NOW: Millis = Millis(1_700_000_000_000);

/// Entries of a kind, and what is looked up: each second one is in the list.
struct Case {
    name: &'static str,
    matching: Matching,
    csv: String,
    values: Vec<String>,
    in_list: usize,
}

fn case(
    name: &'static str,
    kind: Match,
    mut entry: impl FnMut(&mut ChaCha8Rng, usize) -> String,
    mut within: impl FnMut(&mut ChaCha8Rng, usize) -> String,
    mut without: impl FnMut(&mut ChaCha8Rng, usize) -> String,
) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut csv = "value\n".to_owned();
    for i in 0..ENTRIES {
        // writing to a string cannot fail
        let _always = writeln!(csv, "{}", entry(&mut rng, i));
    }
    let mut in_list = 0;
    let values = (0..LOOKED_UP)
        .map(|_| {
            let i = rng.random_range(0..ENTRIES);
            if rng.random_range(0..2) == 0 {
                in_list += 1;
                within(&mut rng, i)
            } else {
                without(&mut rng, i)
            }
        })
        .collect();
    Case { name, matching: Matching { kind, fold: false }, csv, values, in_list }
}

/// A number of which the next cannot be told: the multiplication loses nothing.
fn mixed(i: usize) -> u64 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn cases() -> Vec<Case> {
    let card = |i: usize| format!("card-{:015}", mixed(i) % 1_000_000_000_000_000);
    // eight lengths; the sixth digit on tells them apart
    let prefix = |i: usize| format!("{:06}{:0w$}", i, mixed(i) % 100, w = i % 8);
    let v4 = |i: usize| (i as u32) << 12;
    let v6 = |i: usize| (0x2001_0db8_u128 << 96) | (u128::from(mixed(i) >> 4) << 32);
    let range = |i: usize| 4_000_000_000_000_000 + i as i64 * 1_000_000_000;
    vec![
        case(
            "exact, texts of 20 bytes",
            Match::Exact,
            |_, i| card(i),
            |_, i| card(i),
            |rng, _| card(rng.random_range(ENTRIES..2 * ENTRIES)),
        ),
        case(
            "prefix, of eight lengths",
            Match::Prefix,
            |_, i| prefix(i),
            |rng, i| format!("{}-{:08}", prefix(i), rng.random_range(0..100_000_000)),
            |rng, _| format!("x{:019}", rng.random_range(0..u64::MAX / 2)),
        ),
        case(
            "cidr, IPv4",
            Match::Cidr,
            |rng, i| {
                let length = rng.random_range(21..=28);
                let mask = u32::MAX << (32 - length);
                format!("{}/{length}", Ipv4Addr::from(v4(i) & mask))
            },
            |_, i| Ipv4Addr::from(v4(i)).to_string(),
            |_, i| Ipv4Addr::from(v4(i) | 0xfff).to_string(),
        ),
        case(
            "cidr, IPv6",
            Match::Cidr,
            |_, i| format!("{}/96", Ipv6Addr::from(v6(i))),
            |rng, i| Ipv6Addr::from(v6(i) | u128::from(rng.random_range(0..u32::MAX))).to_string(),
            |rng, i| {
                Ipv6Addr::from(v6(ENTRIES + i) | u128::from(rng.random_range(0..u32::MAX)))
                    .to_string()
            },
        ),
        case(
            "range, of 16 digits",
            Match::Range,
            |_, i| format!("{}..{}", range(i), range(i) + 499_999_999),
            |rng, i| (range(i) + rng.random_range(0..500_000_000)).to_string(),
            |rng, i| (range(i) + rng.random_range(500_000_000..1_000_000_000)).to_string(),
        ),
    ]
}

/// Median of the slices of a round, nanoseconds a look-up.
fn round(list: &List, values: &[String]) -> f64 {
    let slices = values.chunks(SLICE).map(|slice| {
        // whoever has just decoded an event has read its texts
        black_box(slice.iter().map(|value| usize::from(value.as_bytes()[0])).sum::<usize>());
        let before = Instant::now();
        black_box(slice.iter().filter(|value| list.contains(Slot::Text(value), NOW)).count());
        before.elapsed().as_nanos() as f64 / slice.len() as f64
    });
    median(slices.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What the memory itself takes: each read says where the next one is, in as much as a list of texts.
fn floor() -> f64 {
    const WORDS: usize = 32 << 17;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut next: Vec<usize> = (0..WORDS).collect();
    // one cycle through all of them
    for i in (1..WORDS).rev() {
        next.swap(i, rng.random_range(0..i));
    }
    let mut at = 0;
    let slices = (0..LOOKED_UP / SLICE).map(|_| {
        let before = Instant::now();
        for _ in 0..SLICE {
            at = next[at];
        }
        black_box(at);
        before.elapsed().as_nanos() as f64 / SLICE as f64
    });
    median(slices.collect())
}

fn report(name: &str, list: &List, values: &[String]) {
    println!(
        "{name:<34} {:>6.0} ns {:>6.0} bytes an entry",
        median((0..ROUNDS).map(|_| round(list, values)).collect()),
        list.bytes() as f64 / list.len() as f64
    );
}

fn main() {
    println!("{:<34} {:>6.0} ns", "one read of 32 MB at random", floor());
    for case in cases() {
        let before = Instant::now();
        let list = List::load(case.matching, Path::new("x.csv"), &case.csv);
        let list = list.expect("the file is sound");
        let loaded = before.elapsed();
        let found =
            case.values.iter().filter(|value| list.contains(Slot::Text(value), NOW)).count();
        assert_eq!(found, case.in_list, "{}", case.name);
        report(case.name, &list, &case.values);
        if case.matching.kind != Match::Exact {
            continue;
        }
        println!("{:<34} {:>6.0} ms", "  loading", loaded.as_secs_f64() * 1e3);
        let mut changed = list;
        let before = Instant::now();
        let changes = OVERLAY_MAX - 1;
        for value in case.csv.lines().skip(1).take(changes) {
            let change = Change::Remove { value: value.to_owned() };
            changed = changed.with(&change).expect("the value is sound");
        }
        let each = before.elapsed().as_secs_f64() * 1e6 / changes as f64;
        println!("{:<34} {each:>6.0} us each", "  changes of an overlay");
        report("  exact, with a full overlay", &changed, &case.values);
    }
}
