//! Types of expressions, found before any of them runs.
//!
//! A name that may be absent has its declared type here: what absence does at run time is the
//! program's affair (see [`super::program`]), and `name == null` is allowed for any name.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::vocabulary::{Type, Vocabulary};

/// Type of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Value(Type),
    Null,
    List(Vec<Found>),
}

impl Found {
    const BOOL: Found = Found::Value(Type::Bool);
    const INT: Found = Found::Value(Type::Int);
    const FLOAT: Found = Found::Value(Type::Float);
    const TEXT: Found = Found::Value(Type::Text);

    fn name(&self) -> String {
        match self {
            Found::Value(ty) => ty.name().to_owned(),
            Found::Null => "null".to_owned(),
            Found::List(_) => "list".to_owned(),
        }
    }

    fn is_number(&self) -> bool {
        *self == Found::INT || *self == Found::FLOAT
    }
}

/// Something wrong in an expression: its node, and value and expectation.
#[derive(Debug, PartialEq)]
pub(super) struct TypeError {
    /// id of the node, for its place in the source
    pub(super) node: u64,
    pub(super) message: String,
}

/// Checks that an expression is a condition over the vocabulary, and lists the slots it reads.
pub(super) fn check(
    expression: &IdedExpr,
    vocabulary: &Vocabulary,
) -> Result<Vec<usize>, TypeError> {
    let mut checker = Checker { vocabulary, slots: Vec::new() };
    let found = checker.infer(expression)?;
    if found != Found::BOOL {
        let message = format!("the rule gives a {}, expected a bool", found.name());
        return Err(TypeError { node: expression.id, message });
    }
    checker.slots.sort_unstable();
    checker.slots.dedup();
    Ok(checker.slots)
}

struct Checker<'a> {
    vocabulary: &'a Vocabulary,
    slots: Vec<usize>,
}

impl Checker<'_> {
    fn infer(&mut self, expression: &IdedExpr) -> Result<Found, TypeError> {
        let error = |message| Err(TypeError { node: expression.id, message });
        match &expression.expr {
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Found::BOOL,
                LiteralValue::Int(_) => Found::INT,
                LiteralValue::Double(_) => Found::FLOAT,
                LiteralValue::String(_) => Found::TEXT,
                LiteralValue::Null => Found::Null,
                LiteralValue::UInt(_) | LiteralValue::Bytes(_) => {
                    return error("unsigned numbers and bytes are not supported".to_owned());
                }
            }),
            Expr::Ident(name) => match self.vocabulary.slot(name) {
                Some(slot) => {
                    self.slots.push(slot);
                    Ok(Found::Value(self.vocabulary.type_of(slot)))
                }
                None => error(self.vocabulary.unknown(name)),
            },
            Expr::List(list) => {
                let elements: Result<Vec<Found>, TypeError> =
                    list.elements.iter().map(|element| self.infer(element)).collect();
                Ok(Found::List(elements?))
            }
            Expr::Call(call) => self.call(expression.id, call),
            Expr::Select(select) => {
                error(format!("{:?} has no fields: names are plain here", select.field))
            }
            Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                error("macros over lists, maps and messages are not supported".to_owned())
            }
        }
    }

    fn call(&mut self, node: u64, call: &CallExpr) -> Result<Found, TypeError> {
        let mut arguments = Vec::new();
        for argument in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
            arguments.push(self.infer(argument)?);
        }
        let name = call.func_name.as_str();
        if name == "matches"
            && let [pattern] = call.args.as_slice()
        {
            check_pattern(pattern)?;
        }
        result(name, call.target.is_some(), &arguments).ok_or_else(|| {
            let types: Vec<String> = arguments.iter().map(Found::name).collect();
            TypeError { node, message: mismatch(name, &types) }
        })
    }
}

/// A pattern must be known at load, to be compiled and refused then.
fn check_pattern(pattern: &IdedExpr) -> Result<(), TypeError> {
    let error = |message| Err(TypeError { node: pattern.id, message });
    let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
        return error("the pattern of matches is computed, expected a literal".to_owned());
    };
    match regex::Regex::new(text.inner()) {
        Ok(_) => Ok(()),
        Err(reason) => {
            // the library draws the place on lines of its own and says what is wrong on the last
            let reason = reason.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            error(format!(
                "{:?} is not a regular expression: {}",
                text.inner(),
                reason.trim_start_matches("error: ")
            ))
        }
    }
}

fn mismatch(name: &str, types: &[String]) -> String {
    match (operator(name), types) {
        (Some(sign), [one]) => format!("{sign} of a {one}, which it does not take"),
        (Some(sign), [left, right]) => {
            format!("{left} {sign} {right}, expected both sides of types that {sign} takes")
        }
        (Some(sign), _) => format!("{sign} of ({}), which it does not take", types.join(", ")),
        (None, _) => format!("no function {name}({}) is supported", types.join(", ")),
    }
}

fn operator(name: &str) -> Option<&'static str> {
    Some(match name {
        operators::LOGICAL_AND => "&&",
        operators::LOGICAL_OR => "||",
        operators::LOGICAL_NOT => "!",
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::LESS => "<",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::GREATER_EQUALS => ">=",
        operators::ADD => "+",
        operators::SUBSTRACT => "-",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::MODULO => "%",
        operators::NEGATE => "-",
        operators::CONDITIONAL => "?:",
        operators::IN => "in",
        _ => return None,
    })
}

/// The type of a call, `None` where its arguments do not fit.
fn result(name: &str, method: bool, arguments: &[Found]) -> Option<Found> {
    use operators as op;
    match (name, arguments) {
        (op::LOGICAL_AND | op::LOGICAL_OR, [a, b]) if *a == Found::BOOL && *b == Found::BOOL => {
            Some(Found::BOOL)
        }
        (op::LOGICAL_NOT, [a]) if *a == Found::BOOL => Some(Found::BOOL),
        (op::EQUALS | op::NOT_EQUALS, [a, b]) if comparable(a, b) => Some(Found::BOOL),
        (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [a, b]) => {
            let ordered = (a.is_number() && b.is_number()) || (a == b && *a == Found::TEXT);
            ordered.then_some(Found::BOOL)
        }
        (op::ADD, [a, b]) if a == b && (a.is_number() || *a == Found::TEXT) => Some(a.clone()),
        (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE, [a, b]) if a == b && a.is_number() => {
            Some(a.clone())
        }
        (op::MODULO, [a, b]) if *a == Found::INT && *b == Found::INT => Some(Found::INT),
        (op::NEGATE, [a]) if a.is_number() => Some(a.clone()),
        (op::CONDITIONAL, [condition, a, b]) if *condition == Found::BOOL && a == b => {
            Some(a.clone())
        }
        (op::IN, [a, Found::List(elements)]) => {
            elements.iter().all(|element| comparable(a, element)).then_some(Found::BOOL)
        }
        ("size", [a]) if *a == Found::TEXT => Some(Found::INT),
        ("contains" | "startsWith" | "endsWith" | "matches", [a, b]) if method => {
            (*a == Found::TEXT && *b == Found::TEXT).then_some(Found::BOOL)
        }
        ("double", [a]) if !method && a.is_number() => Some(Found::FLOAT),
        ("int", [a]) if !method && a.is_number() => Some(Found::INT),
        _ => None,
    }
}

fn comparable(a: &Found, b: &Found) -> bool {
    match (a, b) {
        (Found::List(_), _) | (_, Found::List(_)) => false,
        (Found::Null, _) | (_, Found::Null) => true,
        _ => a == b || (a.is_number() && b.is_number()),
    }
}
