//! A checked expression as a tree over slots: no names, no look-ups, no allocation but where texts are
//! joined.
//!
//! Absent values: a comparison by order or a calculation with null has no answer. `&&` and `||` need
//! only the side that decides. Equality has an answer always: null equals null alone.

use std::borrow::Cow;
use std::cmp::Ordering;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as op};
use regex::Regex;

use super::vocabulary::Vocabulary;
use crate::event::Slot;

/// An expression has no answer: something it needs is absent, or a number is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// A value in the middle of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> From<Slot<'a>> for Value<'a> {
    fn from(slot: Slot<'a>) -> Self {
        match slot {
            Slot::Null => Value::Null,
            Slot::Bool(value) => Value::Bool(value),
            Slot::Int(value) => Value::Int(value),
            Slot::Float(value) => Value::Float(value),
            Slot::Text(value) => Value::Text(Cow::Borrowed(value)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, found: Ordering) -> bool {
        match self {
            Order::Less => found.is_lt(),
            Order::LessOrEqual => found.is_le(),
            Order::Greater => found.is_gt(),
            Order::GreaterOrEqual => found.is_ge(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Slot(usize),
    Literal(Value<'static>),
    Not(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Equal(Box<[Node; 2]>),
    Ordered(Order, Box<[Node; 2]>),
    Calculated(Calculation, Box<[Node; 2]>),
    Negated(Box<Node>),
    Chosen(Box<[Node; 3]>),
    In(Box<Node>, Vec<Node>),
    Tested(TextTest, Box<[Node; 2]>),
    Matches(Box<Node>, Box<Regex>),
    Size(Box<Node>),
    ToFloat(Box<Node>),
    ToInt(Box<Node>),
}

/// The tree of an expression that was checked. `None` for what the checker lets through by mistake.
pub(super) fn compile(expression: &IdedExpr, vocabulary: &Vocabulary) -> Option<Node> {
    match &expression.expr {
        Expr::Literal(literal) => Some(Node::Literal(match literal {
            LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
            LiteralValue::Int(value) => Value::Int(*value.inner()),
            LiteralValue::Double(value) => Value::Float(*value.inner()),
            LiteralValue::String(value) => Value::Text(Cow::Owned(value.inner().to_owned())),
            LiteralValue::Null => Value::Null,
            LiteralValue::UInt(_) | LiteralValue::Bytes(_) => return None,
        })),
        Expr::Ident(name) => vocabulary.slot(name).map(Node::Slot),
        Expr::Call(call) => compile_call(call, vocabulary),
        _ => None,
    }
}

fn compile_call(call: &CallExpr, vocabulary: &Vocabulary) -> Option<Node> {
    let arguments = || call.target.iter().map(AsRef::as_ref).chain(&call.args);
    let name = call.func_name.as_str();
    if name == op::IN {
        let (needle, list) = (call.args.first()?, call.args.get(1)?);
        let Expr::List(list) = &list.expr else { return None };
        let elements: Option<Vec<Node>> =
            list.elements.iter().map(|element| compile(element, vocabulary)).collect();
        return Some(Node::In(Box::new(compile(needle, vocabulary)?), elements?));
    }
    if name == "matches" {
        let text = compile(call.target.as_deref()?, vocabulary)?;
        let Node::Literal(Value::Text(pattern)) = compile(call.args.first()?, vocabulary)? else {
            return None;
        };
        return Some(Node::Matches(Box::new(text), Box::new(Regex::new(&pattern).ok()?)));
    }
    let nodes: Option<Vec<Node>> = arguments().map(|node| compile(node, vocabulary)).collect();
    let mut nodes = nodes?.into_iter();
    let node = match (nodes.next(), nodes.next(), nodes.next()) {
        (Some(a), None, None) => one(name, Box::new(a))?,
        (Some(a), Some(b), None) => two(name, Box::new([a, b]))?,
        (Some(a), Some(b), Some(c)) if name == op::CONDITIONAL => Node::Chosen(Box::new([a, b, c])),
        _ => return None,
    };
    Some(node)
}

fn one(name: &str, node: Box<Node>) -> Option<Node> {
    Some(match name {
        op::LOGICAL_NOT => Node::Not(node),
        op::NEGATE => Node::Negated(node),
        "size" => Node::Size(node),
        "double" => Node::ToFloat(node),
        "int" => Node::ToInt(node),
        _ => return None,
    })
}

fn two(name: &str, nodes: Box<[Node; 2]>) -> Option<Node> {
    Some(match name {
        op::LOGICAL_AND => Node::And(nodes),
        op::LOGICAL_OR => Node::Or(nodes),
        op::EQUALS => Node::Equal(nodes),
        op::NOT_EQUALS => Node::Not(Box::new(Node::Equal(nodes))),
        op::LESS => Node::Ordered(Order::Less, nodes),
        op::LESS_EQUALS => Node::Ordered(Order::LessOrEqual, nodes),
        op::GREATER => Node::Ordered(Order::Greater, nodes),
        op::GREATER_EQUALS => Node::Ordered(Order::GreaterOrEqual, nodes),
        op::ADD => Node::Calculated(Calculation::Add, nodes),
        op::SUBSTRACT => Node::Calculated(Calculation::Subtract, nodes),
        op::MULTIPLY => Node::Calculated(Calculation::Multiply, nodes),
        op::DIVIDE => Node::Calculated(Calculation::Divide, nodes),
        op::MODULO => Node::Calculated(Calculation::Modulo, nodes),
        "contains" => Node::Tested(TextTest::Contains, nodes),
        "startsWith" => Node::Tested(TextTest::StartsWith, nodes),
        "endsWith" => Node::Tested(TextTest::EndsWith, nodes),
        _ => return None,
    })
}

impl Node {
    /// The value for these slots.
    pub(super) fn value<'a>(&'a self, slots: &[Slot<'a>]) -> Result<Value<'a>, NoAnswer> {
        Ok(match self {
            Node::Slot(slot) => slots.get(*slot).copied().unwrap_or_default().into(),
            Node::Literal(value) => borrowed(value),
            Node::Calculated(calculation, nodes) => {
                calculate(*calculation, nodes[0].value(slots)?, nodes[1].value(slots)?)?
            }
            Node::Negated(node) => match node.value(slots)? {
                Value::Int(value) => Value::Int(value.checked_neg().ok_or(NoAnswer)?),
                Value::Float(value) => Value::Float(-value),
                _ => return Err(NoAnswer),
            },
            Node::Chosen(nodes) => match nodes[0].holds(slots)? {
                true => nodes[1].value(slots)?,
                false => nodes[2].value(slots)?,
            },
            Node::Size(node) => match node.value(slots)? {
                Value::Text(text) => {
                    Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
                }
                _ => return Err(NoAnswer),
            },
            Node::ToFloat(node) => match node.value(slots)? {
                Value::Int(value) => Value::Float(value as f64),
                Value::Float(value) => Value::Float(value),
                _ => return Err(NoAnswer),
            },
            Node::ToInt(node) => match node.value(slots)? {
                Value::Int(value) => Value::Int(value),
                Value::Float(value) => Value::Int(whole(value)?),
                _ => return Err(NoAnswer),
            },
            _ => Value::Bool(self.holds(slots)?),
        })
    }

    /// Whether a condition holds for these slots.
    pub(super) fn holds<'a>(&'a self, slots: &[Slot<'a>]) -> Result<bool, NoAnswer> {
        Ok(match self {
            Node::Not(node) => !node.holds(slots)?,
            Node::And(nodes) => match (nodes[0].holds(slots), &nodes[1]) {
                (Ok(false), _) => false,
                (Ok(true), other) => other.holds(slots)?,
                (Err(none), other) => match other.holds(slots) {
                    Ok(false) => false,
                    _ => return Err(none),
                },
            },
            Node::Or(nodes) => match (nodes[0].holds(slots), &nodes[1]) {
                (Ok(true), _) => true,
                (Ok(false), other) => other.holds(slots)?,
                (Err(none), other) => match other.holds(slots) {
                    Ok(true) => true,
                    _ => return Err(none),
                },
            },
            Node::Equal(nodes) => equal(&nodes[0].value(slots)?, &nodes[1].value(slots)?),
            Node::Ordered(order, nodes) => {
                let (left, right) = (nodes[0].value(slots)?, nodes[1].value(slots)?);
                compare(&left, &right)?.is_some_and(|found| order.holds(found))
            }
            Node::In(needle, elements) => {
                let needle = needle.value(slots)?;
                let mut found = false;
                for element in elements {
                    found |= equal(&needle, &element.value(slots)?);
                }
                found
            }
            Node::Tested(test, nodes) => match (nodes[0].value(slots)?, nodes[1].value(slots)?) {
                (Value::Text(text), Value::Text(part)) => match test {
                    TextTest::Contains => text.contains(part.as_ref()),
                    TextTest::StartsWith => text.starts_with(part.as_ref()),
                    TextTest::EndsWith => text.ends_with(part.as_ref()),
                },
                _ => return Err(NoAnswer),
            },
            Node::Matches(node, regex) => match node.value(slots)? {
                Value::Text(text) => regex.is_match(&text),
                _ => return Err(NoAnswer),
            },
            _ => match self.value(slots)? {
                Value::Bool(answer) => answer,
                _ => return Err(NoAnswer),
            },
        })
    }
}

fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(*value),
        Value::Int(value) => Value::Int(*value),
        Value::Float(value) => Value::Float(*value),
        Value::Text(text) => Value::Text(Cow::Borrowed(text.as_ref())),
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => matches!(compare(left, right), Ok(Some(Ordering::Equal))),
    }
}

/// How two numbers or texts stand to each other; `None` where one is not a number.
fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, NoAnswer> {
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Float(b)) => int_to_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => int_to_float(*b, *a).map(Ordering::reverse),
        (Value::Text(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
        _ => return Err(NoAnswer),
    })
}

/// The end of what an i64 can be, as a float: exact, because it is a power of two.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

/// Exact, where converting either side would round.
fn int_to_float(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= INT_END {
        return Some(Ordering::Less);
    }
    if float < -INT_END {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    let fraction = float - whole;
    Some(int.cmp(&(whole as i64)).then(0.0f64.total_cmp(&(fraction + 0.0))))
}

fn whole(value: f64) -> Result<i64, NoAnswer> {
    match value > -INT_END && value < INT_END {
        true => Ok(value as i64),
        false => Err(NoAnswer),
    }
}

fn calculate<'a>(
    calculation: Calculation,
    left: Value<'a>,
    right: Value<'a>,
) -> Result<Value<'a>, NoAnswer> {
    let value = match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(
            match calculation {
                Calculation::Add => a.checked_add(b),
                Calculation::Subtract => a.checked_sub(b),
                Calculation::Multiply => a.checked_mul(b),
                Calculation::Divide => a.checked_div(b),
                Calculation::Modulo => a.checked_rem(b),
            }
            .ok_or(NoAnswer)?,
        ),
        (Value::Float(a), Value::Float(b)) => Value::Float(match calculation {
            Calculation::Add => a + b,
            Calculation::Subtract => a - b,
            Calculation::Multiply => a * b,
            Calculation::Divide => a / b,
            Calculation::Modulo => return Err(NoAnswer),
        }),
        (Value::Text(a), Value::Text(b)) if calculation == Calculation::Add => {
            Value::Text(Cow::Owned(format!("{a}{b}")))
        }
        _ => return Err(NoAnswer),
    };
    Ok(value)
}
