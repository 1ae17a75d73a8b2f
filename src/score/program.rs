//! One condition, ready to run over slots. Interpreted for now; a compiler fills the same interface.
//!
//! Absent values: a comparison or a calculation with null has no answer, and a rule without an
//! answer does not match. `&&` and `||` need only the side that decides: `a || b` matches where `b`
//! does, also if `a` reads something absent. `name == null` asks for absence itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr};
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::extractors::This;
use cel::{Context, Program as Interpreted, Value};
use regex::Regex;

use super::check::check;
use super::vocabulary::Vocabulary;
use crate::event::Slot;

/// What is wrong with an expression, and where in it (bytes from its start), if that is known.
#[derive(Debug, PartialEq)]
pub(super) struct ProgramError {
    pub(super) at: Option<usize>,
    pub(super) message: String,
}

/// One condition.
#[derive(Debug)]
pub(super) struct Program {
    expression: IdedExpr,
    /// what it reads, ascending
    pub(super) slots: Vec<usize>,
}

impl Program {
    /// Parses and checks a condition.
    pub(super) fn load(source: &str, vocabulary: &Vocabulary) -> Result<Program, ProgramError> {
        let interpreted = Interpreted::compile(source).map_err(|errors| {
            let first = errors.errors.first();
            ProgramError {
                at: first.and_then(|error| byte_at(source, error.pos)),
                message: first.map_or("not an expression".to_owned(), |error| error.msg.clone()),
            }
        })?;
        let slots = check(interpreted.expression(), vocabulary).map_err(|error| ProgramError {
            at: interpreted.source_info().offset_for(error.node).map(|(start, _)| start as usize),
            message: error.message,
        })?;
        let mut expression = interpreted.expression().clone();
        keep_patterns(&mut expression);
        Ok(Program { expression, slots })
    }

    /// Whether the condition holds. `Err` says why it has no answer.
    pub(super) fn matches(&self, scope: &Scope<'_, '_>) -> Result<bool, cel::ExecutionError> {
        match Value::resolve(&self.expression, &scope.0)? {
            Value::Bool(answer) => Ok(answer),
            // the checker lets nothing else through
            _ => Ok(false),
        }
    }
}

/// Line and column, both from 1 and 0 as the parser has them, to a byte of the source.
fn byte_at(source: &str, (line, column): (isize, isize)) -> Option<usize> {
    let line = usize::try_from(line.checked_sub(1)?).ok()?;
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    Some(before + usize::try_from(column).ok()?).filter(|at| *at <= source.len())
}

/// What all evaluations share: functions and constants. Built once, because that is slow.
pub(super) struct Root(Context<'static, 'static>);

impl Default for Root {
    fn default() -> Self {
        let mut context = Context::default();
        // the name cannot be written in a rule, so that nothing else can have it
        if let Err(error) = context.add_function(MATCHES_KEPT, matches_kept) {
            tracing::error!(%error, "a function of rules is missing");
        }
        Root(context)
    }
}

/// `matches` with a pattern that is compiled once a thread. The interpreter's own compiles it at
/// each evaluation, which takes a hundred microseconds.
const MATCHES_KEPT: &str = "@matches_kept";

thread_local! {
    // bounded by the patterns of the rules: the checker lets only literals through
    static PATTERNS: RefCell<HashMap<Arc<String>, Option<Regex>>> = RefCell::default();
}

fn matches_kept(This(text): This<Arc<String>>, pattern: Arc<String>) -> bool {
    PATTERNS.with_borrow_mut(|patterns| {
        let regex = patterns.entry(pattern).or_insert_with_key(|pattern| Regex::new(pattern).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(&text))
    })
}

/// Renames every `matches` to the one that keeps its pattern.
fn keep_patterns(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            if call.func_name == "matches" {
                MATCHES_KEPT.clone_into(&mut call.func_name);
            }
            call.target.iter_mut().for_each(|target| keep_patterns(target));
            call.args.iter_mut().for_each(keep_patterns);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(keep_patterns),
        _ => {}
    }
}

/// Names to the values of one event.
pub(super) struct Values<'a> {
    pub(super) names: &'a HashMap<String, usize>,
    pub(super) slots: &'a [Slot<'a>],
}

impl VariableResolver for Values<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        Some(match *self.slots.get(*self.names.get(variable)?)? {
            Slot::Null => CowVal::owned(CelNull),
            Slot::Bool(value) => CowVal::owned(CelBool::from(value)),
            Slot::Int(value) => CowVal::owned(CelInt::from(value)),
            Slot::Float(value) => CowVal::owned(CelDouble::from(value)),
            Slot::Text(value) => CowVal::owned(CelString::from(value)),
        })
    }
}

/// The names of one event in scope, for any number of conditions.
pub(super) struct Scope<'p, 'v>(Context<'p, 'v>);

impl<'v> Scope<'v, 'v> {
    pub(super) fn new(root: &'v Root, values: &'v Values<'v>) -> Scope<'v, 'v> {
        let root: &'v Context<'_, 'v> = &root.0;
        let mut context = root.new_inner_scope();
        context.set_variable_resolver(values);
        Scope(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    fn load(source: &str) -> Result<Program, ProgramError> {
        Program::load(source, &Vocabulary::of(Kind::Transaction))
    }

    fn run(source: &str, given: &[(&str, Slot<'_>)]) -> Option<bool> {
        let vocabulary = Vocabulary::of(Kind::Transaction);
        let program = load(source).unwrap();
        let mut slots = vec![Slot::Null; vocabulary.len()];
        for (name, value) in given {
            slots[vocabulary.slot(name).unwrap()] = *value;
        }
        let values = Values { names: vocabulary.by_name(), slots: &slots };
        let root = Root::default();
        program.matches(&Scope::new(&root, &values)).ok()
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
}
