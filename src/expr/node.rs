//! A checked expression as a tree over slots: no names and no look-ups; nothing is allocated but for texts
//! and lists that are made anew.
//!
//! Absent values: a comparison by order or a calculation with null has no answer. `&&` and `||` need
//! only the side that decides. Equality and membership have an answer always: null equals null alone.

use std::cmp::Ordering;

use regex::Regex;

use super::calendar::{Part, Zone};
use super::fuel::Fuel;
use super::lookup::{in_list, index, insert, is_in};
use super::loops::Loop;
use super::math::{Calculation, negated};
use super::net::{self, Cidr};
use super::overloads::Row;
use super::program::Scope;
use super::time::Moment;
use super::value::{Fault, Value, borrowed, compare, equal, under};

/// How one value must stand to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    #[inline]
    pub(super) fn holds(self, found: Ordering) -> bool {
        match self {
            Order::Less => found.is_lt(),
            Order::LessOrEqual => found.is_le(),
            Order::Greater => found.is_gt(),
            Order::GreaterOrEqual => found.is_ge(),
        }
    }

    /// Seen from the other side.
    pub(super) fn turned(self) -> Order {
        match self {
            Order::Less => Order::Greater,
            Order::LessOrEqual => Order::GreaterOrEqual,
            Order::Greater => Order::Less,
            Order::GreaterOrEqual => Order::LessOrEqual,
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Order::Less => "<",
            Order::LessOrEqual => "<=",
            Order::Greater => ">",
            Order::GreaterOrEqual => ">=",
        }
    }
}

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Slot(usize),
    /// a name of a macro, by its place on the stack
    Local(usize),
    Literal(Value<'static>),
    /// what fails whenever it is asked: only where checks are off
    Fault(Fault),
    Not(Box<Node>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Equal(Box<[Node; 2]>),
    Ordered(Order, Box<[Node; 2]>),
    Between(Box<[Node; 3]>),
    Calculated(Calculation, Box<[Node; 2]>),
    Negated(Box<Node>),
    Chosen(Box<[Node; 3]>),
    In(Box<[Node; 2]>),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    Index(Box<[Node; 2]>),
    Field(Box<Node>, Value<'static>),
    HasField(Box<Node>, Value<'static>),
    /// whether a slot is not null
    Present(usize),
    /// by the rows that its arguments may turn out to be for
    Call(Box<[&'static Row]>, Box<[Node]>),
    /// the greatest, or the least
    Extreme(Ordering, Box<[Node]>),
    Matches(Box<Node>, Box<Regex>),
    InList(Box<Node>, usize),
    InCidr(Box<Node>, Cidr),
    Dated(Part, Box<Node>, Box<Zone>),
    Loop(Box<Loop>),
}

/// What an evaluation works with.
pub(super) struct Frame<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) locals: Vec<Value<'a>>,
    pub(super) fuel: Fuel,
}

impl<'a> Frame<'a> {
    pub(super) fn new(scope: Scope<'a>) -> Frame<'a> {
        Frame { scope, locals: Vec::new(), fuel: Fuel::default() }
    }
}

impl Node {
    /// The value of an expression. What is at hand is taken without a call.
    #[inline]
    pub(super) fn value<'a>(&'a self, frame: &mut Frame<'a>) -> Result<Value<'a>, Fault> {
        match self {
            Node::Slot(slot) => {
                Ok(frame.scope.slots.get(*slot).copied().unwrap_or_default().into())
            }
            Node::Literal(value) => Ok(borrowed(value)),
            node => node.computed(frame),
        }
    }

    fn computed<'a>(&'a self, frame: &mut Frame<'a>) -> Result<Value<'a>, Fault> {
        Ok(match self {
            Node::Local(local) => frame.locals.get(*local).cloned().ok_or(Fault::Unknown)?,
            Node::Fault(fault) => return Err(*fault),
            Node::Calculated(calculation, nodes) => {
                match (nodes[0].value(frame)?, nodes[1].value(frame)?) {
                    (Value::Int(left), Value::Int(right)) => {
                        Value::Int(calculation.int(left, right)?)
                    }
                    (left, right) => calculation.of(left, right, &mut frame.fuel)?,
                }
            }
            Node::Negated(node) => negated(&node.value(frame)?)?,
            Node::Chosen(nodes) => match nodes[0].holds(frame)? {
                true => nodes[1].value(frame)?,
                false => nodes[2].value(frame)?,
            },
            Node::List(nodes) => list(nodes, frame)?,
            Node::Map(entries) => map(entries, frame)?,
            Node::Index(nodes) => {
                let (of, at) = (nodes[0].value(frame)?, nodes[1].value(frame)?);
                index(&of, &at, &mut frame.fuel)?
            }
            Node::Field(node, key) => match node.value(frame)? {
                Value::Map(entries) => {
                    under(&entries, key, &mut frame.fuel)?.cloned().ok_or(Fault::Missing)?
                }
                Value::Null => return Err(Fault::Absent),
                _ => return Err(Fault::Argument),
            },
            Node::Call(rows, nodes) => call(rows, nodes, frame)?,
            Node::Extreme(order, nodes) => extreme(*order, nodes, frame)?,
            Node::Dated(part, node, zone) => {
                let time = match node.value(frame)? {
                    Value::Time(time) => time,
                    Value::Int(millis) => Moment::of_millis(millis)?,
                    Value::Null => return Err(Fault::Absent),
                    _ => return Err(Fault::Argument),
                };
                part.of(time, zone)
            }
            Node::Loop(own) => own.value(frame)?,
            Node::Slot(_) | Node::Literal(_) => self.value(frame)?,
            _ => Value::Bool(self.holds(frame)?),
        })
    }

    /// Whether a condition holds.
    pub(super) fn holds<'a>(&'a self, frame: &mut Frame<'a>) -> Result<bool, Fault> {
        Ok(match self {
            Node::Not(node) => !node.holds(frame)?,
            Node::And(nodes) => return decided(nodes, false, frame),
            Node::Or(nodes) => return decided(nodes, true, frame),
            Node::Equal(nodes) => {
                let (left, right) = (nodes[0].value(frame)?, nodes[1].value(frame)?);
                equal(&left, &right, &mut frame.fuel)?
            }
            Node::Ordered(order, nodes) => {
                let (left, right) = (nodes[0].value(frame)?, nodes[1].value(frame)?);
                order.holds(compare(&left, &right)?)
            }
            Node::Between(nodes) => {
                let value = nodes[0].value(frame)?;
                let (low, high) = (nodes[1].value(frame)?, nodes[2].value(frame)?);
                let (low, high) = (compare(&value, &low)?, compare(&value, &high)?);
                low.is_ge() && high.is_le()
            }
            Node::In(nodes) => {
                let (needle, of) = (nodes[0].value(frame)?, nodes[1].value(frame)?);
                is_in(&needle, &of, &mut frame.fuel)?
            }
            Node::HasField(node, key) => match node.value(frame)? {
                Value::Map(entries) => under(&entries, key, &mut frame.fuel)?.is_some(),
                Value::Null => return Err(Fault::Absent),
                _ => return Err(Fault::Argument),
            },
            Node::Present(slot) => {
                !matches!(frame.scope.slots.get(*slot), None | Some(crate::event::Slot::Null))
            }
            Node::Matches(node, regex) => is_match(node, regex, frame)?,
            Node::InList(node, list) => {
                let value = node.value(frame)?;
                in_list(&value, *list, &frame.scope)
            }
            Node::InCidr(node, cidr) => match node.value(frame)? {
                Value::Text(text) => net::parse(&text).is_some_and(|ip| cidr.has(ip)),
                Value::Ip(ip) => cidr.has(ip),
                Value::Null => false,
                _ => return Err(Fault::Argument),
            },
            _ => match self.value(frame)? {
                Value::Bool(answer) => answer,
                Value::Null => return Err(Fault::Absent),
                _ => return Err(Fault::Argument),
            },
        })
    }
}

fn is_match<'a>(node: &'a Node, regex: &Regex, frame: &mut Frame<'a>) -> Result<bool, Fault> {
    match node.value(frame)? {
        Value::Text(text) => {
            frame.fuel.spend(text.len() / 16)?;
            Ok(regex.is_match(&text))
        }
        Value::Null => Err(Fault::Absent),
        _ => Err(Fault::Argument),
    }
}

/// A chain of `&&` or `||`: one side that decides is enough, whatever becomes of the others.
fn decided<'a>(nodes: &'a [Node], decides: bool, frame: &mut Frame<'a>) -> Result<bool, Fault> {
    let mut fault = None;
    for node in nodes {
        match node.holds(frame) {
            Ok(answer) if answer == decides => return Ok(decides),
            Ok(_) => {}
            Err(Fault::Cost) => return Err(Fault::Cost),
            Err(found) => fault = fault.or(Some(found)),
        }
    }
    fault.map_or(Ok(!decides), Err)
}

#[inline(never)]
fn list<'a>(nodes: &'a [Node], frame: &mut Frame<'a>) -> Result<Value<'a>, Fault> {
    frame.fuel.elements(nodes.len())?;
    let values: Result<Vec<Value<'a>>, Fault> =
        nodes.iter().map(|node| node.value(frame)).collect();
    Ok(Value::list(values?))
}

#[inline(never)]
fn map<'a>(entries: &'a [(Node, Node)], frame: &mut Frame<'a>) -> Result<Value<'a>, Fault> {
    frame.fuel.elements(entries.len())?;
    let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = key.value(frame)?;
        let value = value.value(frame)?;
        insert(&mut made, key, value, &mut frame.fuel)?;
    }
    Ok(Value::Map(made.into()))
}

#[inline(never)]
fn call<'a>(
    rows: &'a [&'static Row],
    nodes: &'a [Node],
    frame: &mut Frame<'a>,
) -> Result<Value<'a>, Fault> {
    // on the stack where it fits, which is always but for what tests make up
    match nodes {
        [a] => apply(rows, &[a.value(frame)?], &mut frame.fuel),
        [a, b] => apply(rows, &[a.value(frame)?, b.value(frame)?], &mut frame.fuel),
        [a, b, c] => {
            let arguments = [a.value(frame)?, b.value(frame)?, c.value(frame)?];
            apply(rows, &arguments, &mut frame.fuel)
        }
        nodes => {
            let arguments: Result<Vec<Value<'a>>, Fault> =
                nodes.iter().map(|node| node.value(frame)).collect();
            apply(rows, &arguments?, &mut frame.fuel)
        }
    }
}

fn apply<'a>(
    rows: &[&'static Row],
    arguments: &[Value<'a>],
    fuel: &mut Fuel,
) -> Result<Value<'a>, Fault> {
    fuel.spend(1 + arguments.iter().map(Value::weight).sum::<usize>())?;
    let row = rows.iter().find(|row| row.has(arguments));
    let found = row.map_or(Err(Fault::Argument), |row| (row.apply)(arguments, fuel));
    match found {
        Err(Fault::Argument) if arguments.iter().any(|value| matches!(value, Value::Null)) => {
            Err(Fault::Absent)
        }
        found => found,
    }
}

/// The greatest or the least of numbers, or of the numbers of one list.
#[inline(never)]
fn extreme<'a>(
    order: Ordering,
    nodes: &'a [Node],
    frame: &mut Frame<'a>,
) -> Result<Value<'a>, Fault> {
    let values: Result<Vec<Value<'a>>, Fault> =
        nodes.iter().map(|node| node.value(frame)).collect();
    let values = values?;
    let values = match values.as_slice() {
        [Value::List(values)] => values,
        values => values,
    };
    frame.fuel.spend(values.len())?;
    let is_number =
        |value: &Value<'_>| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_));
    let mut found: Option<&Value<'a>> = None;
    for value in values {
        match (value, found) {
            (Value::Null, _) => return Err(Fault::Absent),
            (value, _) if !is_number(value) => return Err(Fault::Argument),
            (value, Some(known)) if compare(value, known)? != order => {}
            (value, _) => found = Some(value),
        }
    }
    found.cloned().ok_or(Fault::Missing)
}

impl Node {
    /// Nodes of the tree, which is what one walk through it costs. A loop within counts its own turns.
    pub(super) fn size(&self) -> usize {
        let sum = |nodes: &[Node]| nodes.iter().map(Node::size).sum::<usize>();
        1 + match self {
            Node::Not(node)
            | Node::Negated(node)
            | Node::Field(node, _)
            | Node::HasField(node, _)
            | Node::Matches(node, _)
            | Node::InList(node, _)
            | Node::InCidr(node, _)
            | Node::Dated(_, node, _) => node.size(),
            Node::And(nodes)
            | Node::Or(nodes)
            | Node::List(nodes)
            | Node::Call(_, nodes)
            | Node::Extreme(_, nodes) => sum(nodes),
            Node::Equal(nodes)
            | Node::Ordered(_, nodes)
            | Node::Calculated(_, nodes)
            | Node::In(nodes)
            | Node::Index(nodes) => sum(&**nodes),
            Node::Between(nodes) | Node::Chosen(nodes) => sum(&**nodes),
            Node::Map(entries) => {
                entries.iter().map(|(key, value)| key.size() + value.size()).sum()
            }
            Node::Loop(own) => own.range.size(),
            Node::Slot(_)
            | Node::Local(_)
            | Node::Literal(_)
            | Node::Fault(_)
            | Node::Present(_) => 0,
        }
    }
}
