//! What conditions cost: a rule of four clauses, fifty of them, and what the slow path does; beside each
//! the `cel` interpreter, where it has the functions.
//!
//! `cargo bench --bench expressions` prints nanoseconds per evaluation; `-- --smoke` runs each once.

use std::hint::black_box;
use std::time::Instant;

use weir::event::{Kind, Millis, Slot};
use weir::expr::{Program, Scope, Type, Vocabulary};

const FOUR: &str =
    "amount_minor > 50000 && channel == 'ECOM' && declines_count_1h >= 3 && country != 'DE'";
const CASES: [(&str, &str); 8] = [
    ("four clauses, all hold", FOUR),
    ("one clause", "amount_minor > 50000"),
    ("in a list of literals", "channel in ['POS', 'ATM', 'ECOM']"),
    ("calculation", "amount_minor / 100 + 1 > 500 * declines_count_1h"),
    ("text tests", "merchant_id.startsWith('m-') && merchant_id.contains('12')"),
    (
        "hour and place",
        "hour_of_day(event_time_ms, 'Europe/Berlin') < 6 || geo_km(lat, lon, 52.5, 13.4) > 500.0",
    ),
    (
        "text functions",
        "merchant_id.substring(2).indexOf(country) == -1 && merchant_id.charAt(0) == 'm'",
    ),
    ("macro over a list", "['POS', 'ATM', 'ECOM'].exists(c, c == channel)"),
];

/// The least of some rounds: what disturbs only ever adds.
fn nanos(rounds: u32, turns: u32, mut once: impl FnMut()) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..turns).for_each(|_| once());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(turns)
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let is_smoke = std::env::args().any(|argument| argument == "--smoke");
    let (rounds, turns) = if is_smoke { (1, 1) } else { (20, 20_000) };
    let features = [("declines_count_1h", Type::Int)];
    let vocabulary = Vocabulary::new(Kind::Transaction, features.into_iter());
    let mut slots = vec![Slot::Null; vocabulary.len()];
    for (name, value) in [
        ("amount_minor", Slot::Int(75_000)),
        ("channel", Slot::Text("ECOM")),
        ("country", Slot::Text("FR")),
        ("merchant_id", Slot::Text("m-1207")),
        ("event_time_ms", Slot::Int(1_711_841_400_000)),
        ("lat", Slot::Float(48.85)),
        ("lon", Slot::Float(2.35)),
        ("declines_count_1h", Slot::Int(4)),
    ] {
        if let Some(slot) = vocabulary.slot(name) {
            slots[slot] = value;
        }
    }
    let interpreted = context(&vocabulary, &slots);
    let scope = Scope { slots: &slots, lists: &[], at: Millis(1_711_841_400_000) };
    let load = |source: &str| Program::load(source, &vocabulary).expect("the rules are sound");
    for (name, source) in CASES {
        let program = load(source);
        let took = nanos(rounds, turns, || {
            black_box(program.holds(black_box(&scope)));
        });
        let parsed = cel::Program::compile(source).expect("it is CEL");
        // it does not have our own functions
        let theirs = parsed.execute(&interpreted).is_ok().then(|| {
            nanos(rounds, turns / 50 + 1, || {
                let _answer = black_box(parsed.execute(black_box(&interpreted)));
            })
        });
        show(name, took, theirs);
    }
    let fifty: Vec<Program> =
        (0..50).map(|i| load(&FOUR.replace("50000", &(50_000 + i).to_string()))).collect();
    let took = nanos(rounds, turns / 20 + 1, || {
        black_box(fifty.iter().filter(|program| program.holds(black_box(&scope))).count());
    });
    let parsed: Vec<cel::Program> = (0..50)
        .map(|i| FOUR.replace("50000", &(50_000 + i).to_string()))
        .map(|source| cel::Program::compile(&source).expect("it is CEL"))
        .collect();
    let theirs = nanos(rounds, turns / 1_000 + 1, || {
        let holds = |rule: &&cel::Program| {
            matches!(rule.execute(black_box(&interpreted)), Ok(cel::Value::Bool(true)))
        };
        black_box(parsed.iter().filter(holds).count());
    });
    show("fifty rules of four clauses", took, Some(theirs));
}

fn show(name: &str, ours: f64, theirs: Option<f64>) {
    let theirs = theirs.map_or("-".to_owned(), |theirs| format!("{theirs:.0} ns"));
    println!("{name:<28} {ours:>8.1} ns   cel's interpreter {theirs:>9}");
}

/// The same values for the interpreter, its context built once.
fn context(vocabulary: &Vocabulary, slots: &[Slot<'_>]) -> cel::Context<'static, 'static> {
    let mut context = cel::Context::default();
    for (slot, value) in slots.iter().enumerate() {
        let value = match *value {
            Slot::Null => cel::Value::Null,
            Slot::Bool(value) => value.into(),
            Slot::Int(value) => value.into(),
            Slot::Float(value) => value.into(),
            Slot::Text(value) => value.into(),
        };
        context.add_variable_from_value(vocabulary.name(slot), value);
    }
    context
}
