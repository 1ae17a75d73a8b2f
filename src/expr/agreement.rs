//! What is compiled here agrees with CEL's interpreter, on random expressions that are well typed and on
//! random inputs. `WEIR_CEL_RANDOM_CASES` says how many, `WEIR_CEL_SEED` which.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use cel::{Context, Env, extensions};

use super::*;
use crate::event::{Kind, Millis, Slot};

/// Cases where nothing else is said.
const CASES: u64 = 8_000;
/// Inputs that one expression is tried with.
const INPUTS: u64 = 4;

/// A stream of numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len() as u64) as usize]
    }

    fn bool(&mut self, depth: u32) -> String {
        let next = depth.saturating_sub(1);
        let order = ["<", "<=", ">", ">=", "==", "!="];
        match self.below(if depth == 0 { 12 } else { 20 }) {
            0 | 1 => format!("{} {} {}", self.int(next), self.pick(&order), self.int(next)),
            2 => format!("{} {} {}", self.float(next), self.pick(&order), self.float(next)),
            3 => format!("{} {} {}", self.int(next), self.pick(&order[..4]), self.float(next)),
            4 => format!("{} {} {}", self.text(next), self.pick(&order), self.text(next)),
            5 => {
                let test = self.pick(&["contains", "startsWith", "endsWith"]);
                format!("{}.{test}({})", self.text(next), self.text(next))
            }
            6 => {
                format!("{}.matches('{}')", self.text(next), self.pick(&["^[a-c]+$", "a|bc", "^$"]))
            }
            7 => format!("{} in {}", self.text(next), self.texts(next)),
            8 => format!("{} in {}", self.int(next), self.ints(next)),
            9 => {
                let name = self.pick(&["card_id", "country", "amount_minor", "lat", "recurring"]);
                format!("{name} {} null", self.pick(&["==", "!="]))
            }
            10 => self.pick(&["recurring", "true", "false"]).to_owned(),
            11 => format!("{} {} {}", self.ints(next), self.pick(&["==", "!="]), self.ints(next)),
            12 | 13 => format!("({}) && ({})", self.bool(next), self.bool(next)),
            14 | 15 => format!("({}) || ({})", self.bool(next), self.bool(next)),
            16 => format!("!({})", self.bool(next)),
            17 => {
                format!("(({}) ? ({}) : ({}))", self.bool(next), self.bool(next), self.bool(next))
            }
            18 => {
                let macro_ = self.pick(&["all", "exists", "exists_one"]);
                let condition =
                    self.pick(&["x > 0", "x % 2 == 0", "6 / x > 1", "x == amount_minor"]);
                format!("{}.{macro_}(x, {condition})", self.ints(next))
            }
            _ => {
                let macro_ = self.pick(&["all", "exists", "exists_one"]);
                format!("{}.{macro_}(t, t.startsWith('a') || t == country)", self.texts(next))
            }
        }
    }

    fn int(&mut self, depth: u32) -> String {
        let next = depth.saturating_sub(1);
        match self.below(if depth == 0 { 5 } else { 13 }) {
            0 | 1 => format!("({})", self.below(7) as i64 - 3),
            2 => self
                .pick(&["amount_minor", "amount_minor", "event_time_ms", "9223372036854775807"])
                .to_owned(),
            3 | 4 => self.pick(&["amount_minor", "declines_count_1h"]).to_owned(),
            5..=7 => {
                let sign = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {sign} {})", self.int(next), self.int(next))
            }
            8 => format!("int({})", self.float(next)),
            9 => format!("size({})", self.text(next)),
            10 => format!("{}.size()", self.ints(next)),
            11 => format!("-({})", self.int(next)),
            _ => match self.below(4) {
                0 => format!("{}[{}]", self.ints(next), self.below(3)),
                1 => format!("{}.indexOf({})", self.text(next), self.text(next)),
                2 => format!("({} ? {} : {})", self.bool(next), self.int(next), self.int(next)),
                _ => format!("{{'a': 1, 'b': 2}}[{}]", self.text(next)),
            },
        }
    }

    fn float(&mut self, depth: u32) -> String {
        let next = depth.saturating_sub(1);
        match self.below(if depth == 0 { 4 } else { 9 }) {
            0 | 1 => format!("({:.1})", (self.below(70) as f64 - 30.0) / 10.0),
            2 => "lat".to_owned(),
            3 => self.pick(&["lon", "amount_ratio"]).to_owned(),
            4 | 5 => {
                let sign = self.pick(&["+", "-", "*", "/"]);
                format!("({} {sign} {})", self.float(next), self.float(next))
            }
            6 => format!("double({})", self.int(next)),
            7 => format!("-({})", self.float(next)),
            _ => {
                let of = self.pick(&["ceil", "floor", "round", "trunc", "abs", "sign"]);
                format!("math.{of}({})", self.float(next))
            }
        }
    }

    fn text(&mut self, depth: u32) -> String {
        let next = depth.saturating_sub(1);
        match self.below(if depth == 0 { 4 } else { 11 }) {
            0 | 1 => format!("'{}'", self.letters()),
            2 => "card_id".to_owned(),
            3 => "country".to_owned(),
            4 => format!("({} + {})", self.text(next), self.text(next)),
            5 => format!("string({})", self.int(next)),
            6 => format!("{}.charAt({})", self.text(next), self.below(3)),
            7 => format!("{}.substring({})", self.text(next), self.below(3)),
            8 => format!(
                "{}.{}()",
                self.text(next),
                self.pick(&["upperAscii", "lowerAscii", "trim"])
            ),
            9 => format!("{}.replace('a', {})", self.text(next), self.text(next)),
            _ => format!("{}.join('-')", self.texts(next)),
        }
    }

    fn ints(&mut self, depth: u32) -> String {
        let next = depth.saturating_sub(1);
        match self.below(if depth == 0 { 2 } else { 5 }) {
            0 | 1 => format!("[{}, {}, 2]", self.int(0), self.int(next)),
            2 => format!("({} + {})", self.ints(next), self.ints(next)),
            3 => format!("{}.map(x, x + {})", self.ints(next), self.int(next)),
            _ => format!("{}.filter(x, x > {})", self.ints(next), self.int(next)),
        }
    }

    fn texts(&mut self, depth: u32) -> String {
        let next = depth.saturating_sub(1);
        match self.below(if depth == 0 { 2 } else { 4 }) {
            0 | 1 => format!("['{}', {}]", self.letters(), self.text(next)),
            2 => format!("{}.split('b')", self.text(next)),
            _ => format!("{}.map(t, t + 'c')", self.texts(next)),
        }
    }

    fn letters(&mut self) -> String {
        (0..self.below(4)).map(|_| self.pick(&["a", "b", "c", "\u{e9}"])).collect()
    }

    /// A value for each name, absent now and then.
    fn inputs(&mut self) -> Vec<(&'static str, Input)> {
        let mut given = Vec::new();
        let names = ["amount_minor", "declines_count_1h", "event_time_ms"];
        for name in names {
            let value = if self.below(8) == 0 {
                self.roll().cast_signed()
            } else {
                self.below(7) as i64 - 3
            };
            given.push((name, Input::Int(value)));
        }
        for name in ["lat", "lon", "amount_ratio"] {
            let value = self.pick(&["0.0", "-0.0", "1.5", "-2.25", "NaN", "inf", "1e300", "3.0"]);
            given.push((name, Input::Float(value.parse().expect("a number"))));
        }
        for name in ["card_id", "country"] {
            given.push((name, Input::Text(self.letters())));
        }
        given.push(("recurring", Input::Bool(self.below(2) == 0)));
        given.retain(|_| self.below(6) > 0);
        given
    }
}

#[derive(Debug)]
enum Input {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

fn vocabulary() -> Vocabulary {
    let features = [("declines_count_1h", Type::Int), ("amount_ratio", Type::Float)];
    Vocabulary::new(Kind::Transaction, features.into_iter())
}

fn slots<'a>(vocabulary: &Vocabulary, given: &'a [(&'static str, Input)]) -> Vec<Slot<'a>> {
    let mut slots = vec![Slot::Null; vocabulary.len()];
    for (name, value) in given {
        slots[vocabulary.slot(name).expect("a name")] = match value {
            Input::Bool(value) => Slot::Bool(*value),
            Input::Int(value) => Slot::Int(*value),
            Input::Float(value) => Slot::Float(*value),
            Input::Text(value) => Slot::Text(value),
        };
    }
    slots
}

/// What the interpreter says, as text; not-a-number is one thing here, and so is every error.
fn interpreted(
    program: &cel::Program,
    env: &Arc<Env>,
    vocabulary: &Vocabulary,
    slots: &[Slot<'_>],
) -> Option<String> {
    let mut context = Context::with_env(Arc::clone(env));
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
    match program.execute(&context) {
        Ok(cel::Value::Bool(value)) => Some(Slot::Bool(value).to_string()),
        Ok(cel::Value::Int(value)) => Some(Slot::Int(value).to_string()),
        Ok(cel::Value::Float(value)) => Some(Slot::Float(value).to_string()),
        Ok(cel::Value::String(value)) => Some(Slot::Text(&value).to_string()),
        _ => None,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a whole number"))
}

#[test]
fn compiled_expressions_agree_with_the_interpreter() {
    let cases = number("WEIR_CEL_RANDOM_CASES").unwrap_or(CASES);
    let seed = number("WEIR_CEL_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("WEIR_CEL_SEED={seed} WEIR_CEL_RANDOM_CASES={cases}");
    let mut dice = Dice(seed);
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).expect("the extension of strings");
    env.add_extension(extensions::math).expect("the extension of math");
    let env = Arc::new(env);
    let vocabulary = vocabulary();
    let mut differences = Vec::new();
    let mut answered = 0_u64;
    for case in 0..cases / INPUTS {
        let source = match dice.below(5) {
            0 => dice.int(3),
            1 => dice.float(3),
            2 => dice.text(3),
            _ => dice.bool(3),
        };
        let oracle = env.compile(&source).unwrap_or_else(|e| panic!("{source}: {e}"));
        let expression = Expression::load(&source, &vocabulary)
            .unwrap_or_else(|e| panic!("seed {seed} case {case}: {source}: {}", e.message));
        let program = (expression.ty() == Type::Bool)
            .then(|| Program::load(&source, &vocabulary).expect("a condition"));
        for _ in 0..INPUTS {
            let given = dice.inputs();
            let slots = slots(&vocabulary, &given);
            let scope = Scope { slots: &slots, lists: &[], at: Millis(0) };
            let own = expression.value(&scope).map(|value| value.slot().to_string());
            let expected = interpreted(&oracle, &env, &vocabulary, &slots);
            answered += u64::from(own.is_some());
            let fast = program.as_ref().map(|program| program.answer(&scope));
            let fast = fast.map(|answer| answer.map(|answer| answer.to_string()));
            if own != expected || fast.is_some_and(|fast| fast != expected) {
                differences.push(format!(
                    "case {case}: {source} over {given:?} gives {own:?}, the interpreter {expected:?}"
                ));
            }
        }
    }
    let count = differences.len();
    differences.truncate(5);
    assert!(count == 0, "seed {seed}: {count} differences\n{}", differences.join("\n"));
    // else the generator would make nothing but errors, and all would agree on those
    assert!(answered > cases / 4, "{answered} of {cases} had an answer");
}
