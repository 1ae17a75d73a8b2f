//! One condition, ready to run over slots.
//!
//! Absent values: a comparison by order or a calculation with null has no answer, and a condition
//! without an answer does not hold. `&&` and `||` need only the side that decides: `a || b` holds
//! where `b` does, also if `a` reads something absent. `name == null` asks for absence itself.

use cel::Program as Parsed;

use super::check::check;
use super::compile::{Node, compile};
use super::vocabulary::Vocabulary;
use crate::event::Slot;

/// What is wrong with an expression, and where in it (bytes from its start), if that is known.
#[derive(Debug, PartialEq)]
pub struct ProgramError {
    /// byte of the expression
    pub at: Option<usize>,
    /// what is wrong, and what was expected
    pub message: String,
}

/// One condition.
#[derive(Debug)]
pub struct Program {
    condition: Node,
    slots: Vec<usize>,
}

impl Program {
    /// Parses, checks and compiles a condition.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(source: &str, vocabulary: &Vocabulary) -> Result<Program, ProgramError> {
        let parsed = Parsed::compile(source).map_err(|errors| {
            let first = errors.errors.first();
            ProgramError {
                at: first.and_then(|error| byte_at(source, error.pos)),
                message: first.map_or("not an expression".to_owned(), |error| error.msg.clone()),
            }
        })?;
        let slots = check(parsed.expression(), vocabulary).map_err(|error| ProgramError {
            at: parsed.source_info().offset_for(error.node).map(|(start, _)| start as usize),
            message: error.message,
        })?;
        let unsupported = || ProgramError { at: None, message: "not supported".to_owned() };
        let condition = compile(parsed.expression(), vocabulary).ok_or_else(unsupported)?;
        Ok(Program { condition, slots })
    }

    /// Whether the condition holds; without an answer it does not.
    pub fn holds(&self, slots: &[Slot<'_>]) -> bool {
        self.condition.holds(slots).unwrap_or(false)
    }

    /// The slots it reads, ascending.
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }

    #[cfg(test)]
    fn answer(&self, slots: &[Slot<'_>]) -> Option<bool> {
        self.condition.holds(slots).ok()
    }
}

/// Line and column, both from 1 and 0 as the parser has them, to a byte of the source.
fn byte_at(source: &str, (line, column): (isize, isize)) -> Option<usize> {
    let line = usize::try_from(line.checked_sub(1)?).ok()?;
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    Some(before + usize::try_from(column).ok()?).filter(|at| *at <= source.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Kind;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new(Kind::Transaction, std::iter::empty())
    }

    fn load(source: &str) -> Result<Program, ProgramError> {
        Program::load(source, &vocabulary())
    }

    /// What the reference interpreter says.
    fn interpreted(source: &str, vocabulary: &Vocabulary, slots: &[Slot<'_>]) -> Option<bool> {
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
        match Parsed::compile(source).unwrap().execute(&context) {
            Ok(cel::Value::Bool(answer)) => Some(answer),
            _ => None,
        }
    }

    fn run(source: &str, given: &[(&str, Slot<'_>)]) -> Option<bool> {
        let vocabulary = vocabulary();
        let program = load(source).unwrap();
        let mut slots = vec![Slot::Null; vocabulary.len()];
        for (name, value) in given {
            slots[vocabulary.slot(name).unwrap()] = *value;
        }
        let answer = program.answer(&slots);
        assert_eq!(answer, interpreted(source, &vocabulary, &slots), "the interpreter on {source}");
        answer
    }

    #[test]
    fn conditions_hold_over_typed_slots() {
        let amount = ("amount_minor", Slot::Int(500));
        assert_eq!(run("amount_minor > 499 && amount_minor <= 500", &[amount]), Some(true));
        assert_eq!(run("amount_minor > 499.5", &[amount]), Some(true));
        assert_eq!(run("double(amount_minor) / 3.0 > 166.6", &[amount]), Some(true));
        assert_eq!(
            run("channel in ['ECOM', 'MOTO']", &[("channel", Slot::Text("MOTO"))]),
            Some(true)
        );
        assert_eq!(
            run("recurring ? amount_minor > 1 : false", &[amount, ("recurring", Slot::Bool(true))]),
            Some(true)
        );
        assert_eq!(
            run(
                "merchant_id.startsWith('m-') && size(merchant_id) == 4",
                &[("merchant_id", Slot::Text("m-12"))]
            ),
            Some(true)
        );
        assert_eq!(run("-amount_minor < 0 && amount_minor % 7 == 3", &[amount]), Some(true));
        assert_eq!(
            run("lat != lon", &[("lat", Slot::Float(1.0)), ("lon", Slot::Float(1.0))]),
            Some(false)
        );
    }

    #[test]
    fn patterns_match_anywhere_in_a_text() {
        let id = ("merchant_id", Slot::Text("m-12"));
        assert_eq!(run("merchant_id.matches('[0-9]{2}')", &[id]), Some(true));
        assert_eq!(run("merchant_id.matches('^[0-9]')", &[id]), Some(false));
        assert_eq!(run("merchant_id.matches('x')", &[]), None);
    }

    #[test]
    fn absence_answers_nothing_unless_it_is_asked_for() {
        assert_eq!(run("amount_minor > 5", &[]), None);
        assert_eq!(run("card_id == null", &[]), Some(true));
        assert_eq!(run("card_id != null", &[("card_id", Slot::Text("c"))]), Some(true));
        assert_eq!(
            run("amount_minor > 5 || channel == 'POS'", &[("channel", Slot::Text("POS"))]),
            Some(true)
        );
        assert_eq!(
            run("amount_minor > 5 && channel == 'POS'", &[("channel", Slot::Text("ATM"))]),
            Some(false)
        );
        assert_eq!(run("country in ['DE']", &[]), Some(false));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (source, at, part) in [
            ("amount_minr > 5", 0, "did you mean \"amount_minor\""),
            ("1 == 1 && amount_minor", 7, "bool && int"),
            ("amount_minor", 0, "gives a int, expected a bool"),
            ("channel > 5", 8, "string > int"),
            ("amount_minor + 'x' == 'x'", 13, "int + string"),
            ("frobnicate(amount_minor)", 10, "no function frobnicate(int)"),
            ("merchant_id.size > 3", 11, "no fields"),
            ("[1, 2].all(x, x > 0)", 10, "not supported"),
            ("!amount_minor", 0, "! of a int"),
            ("merchant_id.matches('a(')", 20, "not a regular expression"),
            ("merchant_id.matches(channel)", 20, "expected a literal"),
        ] {
            let error = load(source).unwrap_err();
            assert!(error.message.contains(part), "{source}: {}", error.message);
            assert_eq!(error.at, Some(at), "{source}: {}", error.message);
        }
        let error = load("amount_minor > ").unwrap_err();
        assert!(error.message.contains("EOF") || error.message.contains("Syntax"), "{error:?}");
    }

    /// A condition, and numbers or texts within one, as deep as wished.
    fn condition(depth: u32) -> BoxedStrategy<String> {
        let order =
            prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
        let leaf = prop_oneof![
            (int(1), order.clone(), int(1)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
            (float(1), order.clone(), float(1)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
            (int(0), order.clone(), float(0)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
            (text(), order, text()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
            (text(), prop_oneof![Just("contains"), Just("startsWith"), Just("endsWith")], text())
                .prop_map(|(a, test, b)| format!("{a}.{test}({b})")),
            text().prop_map(|a| format!("{a}.matches('^[a-c]+$')")),
            text().prop_map(|a| format!("{a} in ['a', 'bc', country]")),
            (text(), prop_oneof![Just("=="), Just("!=")])
                .prop_map(|(a, sign)| format!("{a} {sign} null")),
            Just("recurring".to_owned()),
        ];
        if depth == 0 {
            return leaf.boxed();
        }
        let inner = condition(depth - 1);
        prop_oneof![
            leaf,
            (inner.clone(), prop_oneof![Just("&&"), Just("||")], inner.clone())
                .prop_map(|(a, sign, b)| format!("({a}) {sign} ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
        .boxed()
    }

    fn int(depth: u32) -> BoxedStrategy<String> {
        let leaf = prop_oneof![
            (-3i64..4).prop_map(|value| format!("({value})")),
            Just(i64::MAX.to_string()),
            Just("amount_minor".to_owned()),
            Just("event_time_ms".to_owned()),
        ];
        if depth == 0 {
            return leaf.boxed();
        }
        let sign = prop_oneof![Just("+"), Just("-"), Just("*"), Just("/"), Just("%")];
        prop_oneof![
            leaf,
            (int(depth - 1), sign, int(depth - 1))
                .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            float(depth - 1).prop_map(|a| format!("int({a})")),
        ]
        .boxed()
    }

    fn float(depth: u32) -> BoxedStrategy<String> {
        let leaf = prop_oneof![
            (-30i64..40).prop_map(|value| format!("({:.1})", value as f64 / 10.0)),
            Just("lat".to_owned()),
            Just("lon".to_owned()),
        ];
        if depth == 0 {
            return leaf.boxed();
        }
        let sign = prop_oneof![Just("+"), Just("-"), Just("*"), Just("/")];
        prop_oneof![
            leaf,
            (float(depth - 1), sign, float(depth - 1))
                .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            int(depth - 1).prop_map(|a| format!("double({a})")),
        ]
        .boxed()
    }

    fn text() -> BoxedStrategy<String> {
        prop_oneof![
            "[abc]{0,3}".prop_map(|text| format!("'{text}'")),
            Just("card_id".to_owned()),
            Just("country".to_owned()),
        ]
        .boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn compiled_conditions_agree_with_the_interpreter(
            source in condition(3),
            amount in proptest::option::of(-3i64..4),
            time in any::<i64>(),
            (lat, lon) in (proptest::option::of(-2.0f64..2.0), proptest::option::of(-2.0f64..2.0)),
            card in proptest::option::of("[abc]{0,3}"),
            country in proptest::option::of("[abc]{0,3}"),
            recurring in any::<bool>(),
        ) {
            run(&source, &[
                ("amount_minor", amount.map_or(Slot::Null, Slot::Int)),
                ("event_time_ms", Slot::Int(time)),
                ("lat", lat.map_or(Slot::Null, Slot::Float)),
                ("lon", lon.map_or(Slot::Null, Slot::Float)),
                ("card_id", Slot::from(card.as_deref())),
                ("country", Slot::from(country.as_deref())),
                ("recurring", Slot::Bool(recurring)),
            ]);
        }
    }
}
