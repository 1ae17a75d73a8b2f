//! Operators: which types go together, and what is made of them.

use cel::common::ast::{CallExpr, operators as op};

use super::compile::{Compiler, Refusal};
use super::math::Calculation;
use super::node::{Node, Order};
use super::types::Ty;

impl Compiler<'_> {
    /// A call that is written with a sign.
    pub(super) fn sign(
        &mut self,
        node: u64,
        call: &CallExpr,
    ) -> Result<Option<(Node, Ty)>, Refusal> {
        let name = call.func_name.as_str();
        let is_sign = matches!(
            name,
            op::LOGICAL_NOT
                | op::NEGATE
                | op::LOGICAL_AND
                | op::LOGICAL_OR
                | op::EQUALS
                | op::NOT_EQUALS
                | op::IN
                | op::INDEX
                | op::CONDITIONAL
        );
        if !is_sign && order(name).is_none() && calculation(name).is_none() {
            return Ok(None);
        }
        let (nodes, types) = self.all(call.args.iter())?;
        let mut nodes = nodes.into_iter();
        let made = match (nodes.next(), nodes.next(), nodes.next(), types.as_slice()) {
            (Some(a), None, None, [ty]) => self.unary(node, name, a, ty)?,
            (Some(a), Some(b), None, [left, right]) => {
                self.binary(node, name, Box::new([a, b]), left, right)?
            }
            (Some(a), Some(b), Some(c), [condition, yes, no]) if name == op::CONDITIONAL => {
                if !matches!(condition, Ty::Bool | Ty::Dyn) {
                    self.mismatch(node, || {
                        format!("{} ? … : …, expected a bool before ?", condition.name())
                    })?;
                }
                let ty = yes.join(no);
                if ty.is_none() {
                    self.mismatch(node, || {
                        format!("? {} : {}, expected one type on both sides", yes.name(), no.name())
                    })?;
                }
                Some((Node::Chosen(Box::new([a, b, c])), ty.unwrap_or(Ty::Dyn)))
            }
            _ => None,
        };
        Ok(made)
    }

    fn unary(
        &self,
        node: u64,
        name: &str,
        a: Node,
        ty: &Ty,
    ) -> Result<Option<(Node, Ty)>, Refusal> {
        let (sign, fits) = match name {
            op::LOGICAL_NOT => ("!", matches!(ty, Ty::Bool | Ty::Dyn)),
            op::NEGATE => ("-", matches!(ty, Ty::Int | Ty::Float | Ty::Dyn)),
            _ => return Ok(None),
        };
        if !fits {
            self.mismatch(node, || format!("{sign} of a {}, which it does not take", ty.name()))?;
        }
        Ok(Some(match name {
            op::LOGICAL_NOT => (Node::Not(Box::new(a)), Ty::Bool),
            _ => (Node::Negated(Box::new(a)), ty.clone()),
        }))
    }

    fn binary(
        &self,
        node: u64,
        name: &str,
        nodes: Box<[Node; 2]>,
        left: &Ty,
        right: &Ty,
    ) -> Result<Option<(Node, Ty)>, Refusal> {
        let is_bool = |ty: &Ty| matches!(ty, Ty::Bool | Ty::Dyn);
        let (sign, fits, made, ty) = match name {
            op::LOGICAL_AND => ("&&", is_bool(left) && is_bool(right), and(*nodes), Ty::Bool),
            op::LOGICAL_OR => ("||", is_bool(left) && is_bool(right), or(*nodes), Ty::Bool),
            op::EQUALS => ("==", left.comparable(right), Node::Equal(nodes), Ty::Bool),
            op::NOT_EQUALS => {
                let equal = Box::new(Node::Equal(nodes));
                ("!=", left.comparable(right), Node::Not(equal), Ty::Bool)
            }
            op::IN => ("in", right.may_hold(left), Node::In(nodes), Ty::Bool),
            op::INDEX => {
                let (fits, gives) = match right_of(left, right) {
                    Some(gives) => (true, gives),
                    None => (false, Ty::Dyn),
                };
                ("[]", fits, Node::Index(nodes), gives)
            }
            name => match (order(name), calculation(name)) {
                (Some(order), _) => {
                    (order.sign(), left.ordered(right), Node::Ordered(order, nodes), Ty::Bool)
                }
                (None, Some(calculation)) => {
                    let gives = calculation.gives(left, right);
                    let fits = gives.is_some();
                    let made = Node::Calculated(calculation, nodes);
                    (calculation.sign(), fits, made, gives.unwrap_or(Ty::Dyn))
                }
                (None, None) => return Ok(None),
            },
        };
        if !fits {
            self.mismatch(node, || {
                let (left, right) = (left.name(), right.name());
                format!("{left} {sign} {right}, expected both sides of types that {sign} takes")
            })?;
        }
        Ok(Some((made, ty)))
    }
}

/// What an index gives, `None` where it does not fit.
fn right_of(of: &Ty, at: &Ty) -> Option<Ty> {
    match of {
        Ty::List(element) if matches!(at, Ty::Int | Ty::Dyn) => Some((**element).clone()),
        Ty::Map(key, value) if at.comparable(key) => Some((**value).clone()),
        Ty::Dyn => Some(Ty::Dyn),
        _ => None,
    }
}

fn order(name: &str) -> Option<Order> {
    Some(match name {
        op::LESS => Order::Less,
        op::LESS_EQUALS => Order::LessOrEqual,
        op::GREATER => Order::Greater,
        op::GREATER_EQUALS => Order::GreaterOrEqual,
        _ => return None,
    })
}

fn calculation(name: &str) -> Option<Calculation> {
    Some(match name {
        op::ADD => Calculation::Add,
        op::SUBSTRACT => Calculation::Subtract,
        op::MULTIPLY => Calculation::Multiply,
        op::DIVIDE => Calculation::Divide,
        op::MODULO => Calculation::Modulo,
        _ => return None,
    })
}

/// One chain of `&&` where there were two: the order in which they are asked stays.
fn and(nodes: [Node; 2]) -> Node {
    let parts = nodes.into_iter().flat_map(|node| match node {
        Node::And(nodes) => nodes.into_vec(),
        node => vec![node],
    });
    Node::And(parts.collect())
}

fn or(nodes: [Node; 2]) -> Node {
    let parts = nodes.into_iter().flat_map(|node| match node {
        Node::Or(nodes) => nodes.into_vec(),
        node => vec![node],
    });
    Node::Or(parts.collect())
}
