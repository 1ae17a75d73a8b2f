//! Conditions as rules mostly are: comparisons of one slot with a literal, joined by `&&` and `||`. They
//! are run without values in between; everything else is left to [`Node`].

use std::cmp::Ordering;

use super::node::{Frame, Node, Order};
use super::overloads::Row;
use super::program::Scope;
use super::value::Value;
use super::vocabulary::{Type, Vocabulary};
use crate::event::Slot;

/// Whether a condition holds, if it has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    No,
    Yes,
    None,
}

impl From<bool> for Answer {
    #[inline]
    fn from(answer: bool) -> Answer {
        if answer { Answer::Yes } else { Answer::No }
    }
}

impl From<Answer> for Option<bool> {
    #[inline]
    fn from(answer: Answer) -> Option<bool> {
        match answer {
            Answer::No => Some(false),
            Answer::Yes => Some(true),
            Answer::None => None,
        }
    }
}

/// A condition.
#[derive(Debug)]
pub(super) enum Fast {
    Int(usize, Order, i64),
    IntIs(usize, i64),
    Float(usize, Order, f64),
    FloatIs(usize, f64),
    TextIs(usize, Box<str>),
    Bool(usize),
    Null(usize),
    /// whether a text begins with another, ends with it or has it within
    TextTest(usize, fn(&str, &str) -> bool, Box<str>),
    IntIn(usize, Box<[i64]>),
    TextIn(usize, Box<[Box<str>]>),
    InList(usize, usize),
    Not(Box<Fast>),
    All(Box<[Fast]>),
    Any(Box<[Fast]>),
    Node(Box<Node>),
}

impl Fast {
    /// The same condition, faster where it can be.
    pub(super) fn of(node: Node, vocabulary: &Vocabulary) -> Fast {
        let own = |node: Node| Fast::of(node, vocabulary);
        match node {
            Node::And(nodes) => Fast::All(nodes.into_iter().map(own).collect()),
            Node::Or(nodes) => Fast::Any(nodes.into_iter().map(own).collect()),
            Node::Not(node) => Fast::Not(Box::new(own(*node))),
            Node::Slot(slot) if vocabulary.type_of(slot) == Type::Bool => Fast::Bool(slot),
            Node::Present(slot) => Fast::Not(Box::new(Fast::Null(slot))),
            Node::InList(node, list) => match *node {
                Node::Slot(slot) => Fast::InList(slot, list),
                node => Fast::Node(Box::new(Node::InList(Box::new(node), list))),
            },
            Node::Equal(nodes) => {
                let ty = slot_of(&nodes).map(|slot| vocabulary.type_of(slot));
                equal(&nodes, ty).unwrap_or_else(|| Fast::Node(Box::new(Node::Equal(nodes))))
            }
            Node::Ordered(order, nodes) => {
                let ty = slot_of(&nodes).map(|slot| vocabulary.type_of(slot));
                let fast = ordered(order, &nodes, ty);
                fast.unwrap_or_else(|| Fast::Node(Box::new(Node::Ordered(order, nodes))))
            }
            Node::Call(rows, nodes) => {
                let fast = text_test(&rows, &nodes);
                fast.unwrap_or_else(|| Fast::Node(Box::new(Node::Call(rows, nodes))))
            }
            Node::In(nodes) => {
                is_in(&nodes, vocabulary).unwrap_or_else(|| Fast::Node(Box::new(Node::In(nodes))))
            }
            node => Fast::Node(Box::new(node)),
        }
    }

    /// Whether it holds for these slots.
    pub(super) fn holds(&self, scope: &Scope<'_>) -> Answer {
        match self {
            Fast::All(own) => decided(own, Answer::No, Answer::Yes, scope),
            Fast::Any(own) => decided(own, Answer::Yes, Answer::No, scope),
            Fast::Not(own) => match own.holds(scope) {
                Answer::No => Answer::Yes,
                Answer::Yes => Answer::No,
                Answer::None => Answer::None,
            },
            Fast::Node(node) => {
                node.holds(&mut Frame::new(*scope)).map_or(Answer::None, Answer::from)
            }
            test => test.tested(scope),
        }
    }

    /// A test of one slot.
    #[inline]
    fn tested(&self, scope: &Scope<'_>) -> Answer {
        let slot = |slot: &usize| scope.slots.get(*slot).copied().unwrap_or_default();
        match self {
            Fast::Int(at, order, literal) => match slot(at) {
                Slot::Int(value) => order.holds(value.cmp(literal)).into(),
                _ => Answer::None,
            },
            Fast::IntIs(at, literal) => match slot(at) {
                Slot::Int(value) => (value == *literal).into(),
                _ => Answer::No,
            },
            Fast::Float(at, order, literal) => match number(slot(at)) {
                Some(value) => match value.partial_cmp(literal) {
                    Some(found) => order.holds(found).into(),
                    None => Answer::None,
                },
                None => Answer::None,
            },
            Fast::FloatIs(at, literal) => {
                number(slot(at)).is_some_and(|value| value == *literal).into()
            }
            Fast::TextIs(at, literal) => match slot(at) {
                Slot::Text(value) => (*value == **literal).into(),
                _ => Answer::No,
            },
            Fast::Bool(at) => match slot(at) {
                Slot::Bool(value) => value.into(),
                _ => Answer::None,
            },
            Fast::Null(at) => (slot(at) == Slot::Null).into(),
            Fast::TextTest(at, test, literal) => match slot(at) {
                Slot::Text(value) => test(value, literal).into(),
                _ => Answer::None,
            },
            Fast::IntIn(at, literals) => match slot(at) {
                Slot::Int(value) => literals.binary_search(&value).is_ok().into(),
                _ => Answer::No,
            },
            Fast::TextIn(at, literals) => match slot(at) {
                Slot::Text(value) => text_in(value, literals).into(),
                _ => Answer::No,
            },
            Fast::InList(at, list) => match slot(at) {
                Slot::Null => Answer::No,
                value => {
                    let list = scope.lists.get(*list);
                    list.is_some_and(|list| list.contains(value, scope.at)).into()
                }
            },
            Fast::Not(_) | Fast::All(_) | Fast::Any(_) | Fast::Node(_) => self.holds(scope),
        }
    }
}

/// One part that decides is enough; without one, a part without an answer leaves none.
fn decided(own: &[Fast], decides: Answer, usual: Answer, scope: &Scope<'_>) -> Answer {
    let mut answer = usual;
    for own in own {
        match own.holds(scope) {
            found if found == decides => return decides,
            Answer::None => answer = Answer::None,
            _ => {}
        }
    }
    answer
}

#[inline]
fn number(slot: Slot<'_>) -> Option<f64> {
    match slot {
        Slot::Float(value) => Some(value),
        Slot::Int(value) => Some(value as f64),
        _ => None,
    }
}

/// Texts in order of length, so that most are passed over without a look at their bytes.
const SEARCHED_MIN: usize = 9;

fn text_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn text_in(value: &str, literals: &[Box<str>]) -> bool {
    match literals.len() < SEARCHED_MIN {
        true => literals.iter().any(|literal| **literal == *value),
        false => literals.binary_search_by(|literal| text_order(literal, value)).is_ok(),
    }
}

fn slot_of(nodes: &[Node; 2]) -> Option<usize> {
    match nodes {
        [Node::Slot(slot), Node::Literal(_)] | [Node::Literal(_), Node::Slot(slot)] => Some(*slot),
        _ => None,
    }
}

fn equal(nodes: &[Node; 2], ty: Option<Type>) -> Option<Fast> {
    let (slot, literal) = match nodes {
        [Node::Slot(slot), Node::Literal(literal)] | [Node::Literal(literal), Node::Slot(slot)] => {
            (*slot, literal)
        }
        _ => return None,
    };
    Some(match (literal, ty?) {
        (Value::Null, _) => Fast::Null(slot),
        (Value::Int(literal), Type::Int) => Fast::IntIs(slot, *literal),
        (Value::Int(literal), Type::Float) => Fast::FloatIs(slot, *literal as f64),
        (Value::Float(literal), Type::Int | Type::Float) => Fast::FloatIs(slot, *literal),
        (Value::Text(literal), Type::Text) => Fast::TextIs(slot, literal.as_ref().into()),
        _ => return None,
    })
}

fn ordered(order: Order, nodes: &[Node; 2], ty: Option<Type>) -> Option<Fast> {
    let (slot, order, literal) = match nodes {
        [Node::Slot(slot), Node::Literal(literal)] => (*slot, order, literal),
        [Node::Literal(literal), Node::Slot(slot)] => (*slot, order.turned(), literal),
        _ => return None,
    };
    Some(match (literal, ty?) {
        (Value::Int(literal), Type::Int) => Fast::Int(slot, order, *literal),
        (Value::Int(literal), Type::Float) => Fast::Float(slot, order, *literal as f64),
        (Value::Float(literal), Type::Int | Type::Float) => Fast::Float(slot, order, *literal),
        _ => return None,
    })
}

fn text_test(rows: &[&'static Row], nodes: &[Node]) -> Option<Fast> {
    let (&[row], [Node::Slot(slot), Node::Literal(Value::Text(literal))]) = (rows, nodes) else {
        return None;
    };
    let test: fn(&str, &str) -> bool = match row.name {
        "startsWith" => |text, part| text.starts_with(part),
        "endsWith" => |text, part| text.ends_with(part),
        "contains" => |text, part| text.contains(part),
        _ => return None,
    };
    Some(Fast::TextTest(*slot, test, literal.as_ref().into()))
}

/// Membership in literals of one type. An absent value is in no list of literals but one with null.
fn is_in(nodes: &[Node; 2], vocabulary: &Vocabulary) -> Option<Fast> {
    let [Node::Slot(slot), Node::Literal(Value::List(values))] = nodes else { return None };
    match vocabulary.type_of(*slot) {
        Type::Text => {
            let texts = values.iter().map(|value| match value {
                Value::Text(text) => Some(text.as_ref().into()),
                _ => None,
            });
            let mut texts: Box<[Box<str>]> = texts.collect::<Option<_>>()?;
            texts.sort_by(|a, b| text_order(a, b));
            Some(Fast::TextIn(*slot, texts))
        }
        Type::Int => {
            let ints = values.iter().map(|value| match value {
                Value::Int(value) => Some(*value),
                _ => None,
            });
            let mut ints: Box<[i64]> = ints.collect::<Option<_>>()?;
            ints.sort_unstable();
            Some(Fast::IntIn(*slot, ints))
        }
        Type::Bool | Type::Float => None,
    }
}
