//! From the parser's tree to ours: names become slots, types are checked, functions are chosen.

use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, SelectExpr, operators as op,
};

use super::node::{Frame, Node};
use super::overloads;
use super::program::Scope;
use super::types::{self, Ty};
use super::value::{Fault, Value};
use super::vocabulary::Vocabulary;

/// Something wrong in an expression: its node, and value and expectation.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// id of the node, for its place in the source
    pub(super) node: u64,
    pub(super) message: String,
    /// it is CEL, but more of it than is compiled here
    pub(super) is_outside: bool,
}

pub(super) type Compiled = Result<(Node, Ty), Refusal>;

pub(super) fn refused<T>(node: u64, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { node, message: message.into(), is_outside: false })
}

pub(super) fn outside<T>(node: u64, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { node, message: message.into(), is_outside: true })
}

/// Compiles one expression.
pub(super) struct Compiler<'v> {
    /// the names that stand for slots, if there are any
    pub(super) vocabulary: Option<&'v Vocabulary>,
    /// names on the stack: those given from outside first, then those of macros
    pub(super) locals: Vec<(String, Ty)>,
    /// names from outside, which may have fields in their names
    pub(super) given: usize,
    /// without checks, what does not fit fails at run time
    pub(super) is_checked: bool,
    /// the slots that are read
    pub(super) slots: Vec<usize>,
}

impl Compiler<'_> {
    pub(super) fn expression(&mut self, expression: &IdedExpr) -> Compiled {
        let node = expression.id;
        let (made, ty) = match &expression.expr {
            Expr::Literal(literal) => Ok(self::literal(literal)),
            Expr::Ident(name) => self.name(node, &[name]),
            Expr::Select(select) => self.select(node, select),
            Expr::List(list) if !list.optional_indices.is_empty() => {
                outside(node, "optional elements are not supported")
            }
            Expr::List(list) => self.list(&list.elements),
            Expr::Map(map) => self.map(map),
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(macro_) => self.comprehension(node, macro_),
            Expr::Struct(message) => {
                outside(node, format!("messages such as {:?} are not supported", message.type_name))
            }
            Expr::Unspecified => refused(node, "not an expression"),
        }?;
        Ok((fold(made), if self.is_checked { ty } else { Ty::Dyn }))
    }

    /// A type that does not fit is refused, or left to fail.
    pub(super) fn mismatch(
        &self,
        node: u64,
        message: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        if self.is_checked { refused(node, message()) } else { Ok(()) }
    }

    /// A name, with its fields.
    fn name(&mut self, node: u64, segments: &[&str]) -> Compiled {
        let root = segments.first().copied().unwrap_or_default();
        let is_macros = |(at, local): &(usize, &(String, Ty))| *at >= self.given && local.0 == root;
        let local = self.locals.iter().enumerate().rev().find(is_macros);
        if let Some((at, (_, ty))) = local {
            return self.fields(node, (Node::Local(at), ty.clone()), &segments[1..]);
        }
        for length in (1..=segments.len()).rev() {
            let joined = segments[..length].join(".");
            if let Some(found) = self.known(joined.trim_start_matches('.')) {
                return self.fields(node, found, &segments[length..]);
            }
        }
        if !self.is_checked {
            return Ok((Node::Fault(Fault::Unknown), Ty::Dyn));
        }
        match (self.vocabulary, segments) {
            (Some(words), [Vocabulary::EVENT | Vocabulary::FEATURE, name, ..]) => {
                refused(node, words.unknown(name))
            }
            (Some(words), _) => refused(node, words.unknown(root)),
            // of enums and messages, where there is nobody to misspell a name of ours
            (None, _) => outside(node, format!("unknown name {root:?}")),
        }
    }

    fn known(&mut self, name: &str) -> Option<(Node, Ty)> {
        let given = self.locals[..self.given].iter();
        if let Some(at) = given.clone().position(|(known, _)| known == name) {
            return Some((Node::Local(at), self.locals[at].1.clone()));
        }
        if let Some((slot, ty)) = self.vocabulary.and_then(|words| words.qualified(name)) {
            self.slots.push(slot);
            return Some((Node::Slot(slot), Ty::from(ty)));
        }
        types::named(name).map(|name| (Node::Literal(Value::Type(name)), Ty::Type))
    }

    fn fields(&self, node: u64, of: (Node, Ty), fields: &[&str]) -> Compiled {
        fields.iter().try_fold(of, |(made, ty), field| {
            let gives = match ty {
                Ty::Map(_, value) => *value,
                Ty::Dyn => Ty::Dyn,
                ty => {
                    self.mismatch(node, || {
                        format!("{field:?} of a {}, which has no fields", ty.name())
                    })?;
                    Ty::Dyn
                }
            };
            let key = Value::text((*field).to_owned());
            Ok((Node::Field(Box::new(made), key), gives))
        })
    }

    fn select(&mut self, node: u64, select: &SelectExpr) -> Compiled {
        if !select.test {
            return match segments(&select.operand) {
                Some(mut segments) => {
                    segments.push(&select.field);
                    self.name(node, &segments)
                }
                None => {
                    let of = self.expression(&select.operand)?;
                    self.fields(node, of, &[&select.field])
                }
            };
        }
        if let (Some(words), Expr::Ident(root)) = (self.vocabulary, &select.operand.expr)
            && matches!(root.as_str(), Vocabulary::EVENT | Vocabulary::FEATURE)
        {
            let name = format!("{root}.{}", select.field);
            let Some((slot, _)) = words.qualified(&name) else {
                return refused(node, words.unknown(&select.field));
            };
            self.slots.push(slot);
            return Ok((Node::Present(slot), Ty::Bool));
        }
        let (of, ty) = self.expression(&select.operand)?;
        if !matches!(ty, Ty::Map(..) | Ty::Dyn) {
            self.mismatch(node, || {
                format!("has() of a {}, expected a map, event.name or feature.name", ty.name())
            })?;
        }
        Ok((Node::HasField(Box::new(of), Value::text(select.field.clone())), Ty::Bool))
    }

    fn list(&mut self, elements: &[IdedExpr]) -> Compiled {
        let (nodes, types) = self.all(elements.iter())?;
        Ok((Node::List(nodes.into()), Ty::List(Box::new(Ty::element(&types)))))
    }

    fn map(&mut self, map: &MapExpr) -> Compiled {
        let (mut entries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for entry in &map.entries {
            let EntryExpr::MapEntry(own) = &entry.expr else {
                return refused(entry.id, "not an entry of a map");
            };
            if own.optional {
                return outside(entry.id, "optional entries are not supported");
            }
            let ((key, key_ty), (value, value_ty)) =
                (self.expression(&own.key)?, self.expression(&own.value)?);
            let is_key = matches!(key_ty, Ty::Bool | Ty::Int | Ty::Uint | Ty::Text | Ty::Dyn);
            if !is_key {
                self.mismatch(entry.id, || {
                    format!("a key is a {}, expected a bool, int, uint or string", key_ty.name())
                })?;
            }
            entries.push((key, value));
            keys.push(key_ty);
            values.push(value_ty);
        }
        let ty = Ty::Map(Box::new(Ty::element(&keys)), Box::new(Ty::element(&values)));
        Ok((Node::Map(entries.into()), ty))
    }

    pub(super) fn all<'e>(
        &mut self,
        expressions: impl Iterator<Item = &'e IdedExpr>,
    ) -> Result<(Vec<Node>, Vec<Ty>), Refusal> {
        let (mut nodes, mut types) = (Vec::new(), Vec::new());
        for expression in expressions {
            let (node, ty) = self.expression(expression)?;
            nodes.push(node);
            types.push(ty);
        }
        Ok((nodes, types))
    }

    fn call(&mut self, node: u64, call: &CallExpr) -> Compiled {
        if matches!(call.func_name.as_str(), op::OPT_INDEX | op::OPT_SELECT) {
            return outside(node, "optional values are not supported");
        }
        if call.target.is_none()
            && let Some(made) = self.sign(node, call)?
        {
            return Ok(made);
        }
        let qualified = call.target.as_deref().and_then(segments).map(|mut segments| {
            segments.push(&call.func_name);
            segments.join(".")
        });
        // `math.ceil(x)` is a function, whatever `math` is
        let plain = qualified.filter(|name| overloads::is_plain(name));
        let (name, target) = match &plain {
            Some(name) => (name.as_str(), None),
            None => (call.func_name.as_str(), call.target.as_deref()),
        };
        if let Some(made) = self.form(node, name, target, &call.args)? {
            return Ok(made);
        }
        if let Some(library) = target.and_then(|target| self.library(target)) {
            return outside(node, format!("the library {library:?} is not supported"));
        }
        let (nodes, types) = self.all(target.into_iter().chain(&call.args))?;
        match overloads::find(name, target.is_some(), &types) {
            Ok(rows) => {
                let gives = overloads::gives(&rows);
                let made = Node::Call(rows, nodes.into());
                self.check_literal(node, name, &made)?;
                Ok((made, gives))
            }
            Err(message) if self.is_checked && !overloads::is_known(name) => outside(node, message),
            Err(message) => {
                self.mismatch(node, || message)?;
                Ok((Node::Fault(Fault::Unknown), Ty::Dyn))
            }
        }
    }

    /// The library that a function is called of, where it is one that is not here.
    fn library<'e>(&self, target: &'e IdedExpr) -> Option<&'e str> {
        const LIBRARIES: [&str; 7] =
            ["cel", "optional", "proto", "sets", "lists", "base64", "regex"];
        let Expr::Ident(name) = &target.expr else { return None };
        let is_name = self.locals.iter().any(|(local, _)| local == name)
            || self.vocabulary.is_some_and(|words| words.slot(name).is_some());
        (!is_name && LIBRARIES.contains(&name.as_str())).then_some(name)
    }

    /// A literal that cannot be converted is known to fail now.
    fn check_literal(&self, node: u64, name: &str, made: &Node) -> Result<(), Refusal> {
        let Node::Call(_, arguments) = made else { return Ok(()) };
        let [Node::Literal(Value::Text(text))] = &**arguments else { return Ok(()) };
        match made.value(&mut Frame::new(Scope::default())) {
            Err(fault @ Fault::Conversion) => {
                self.mismatch(node, || format!("{name}({text:?}) has no answer: {fault}"))
            }
            _ => Ok(()),
        }
    }
}

fn literal(literal: &LiteralValue) -> (Node, Ty) {
    let (value, ty) = match literal {
        LiteralValue::Boolean(value) => (Value::Bool(*value.inner()), Ty::Bool),
        LiteralValue::Int(value) => (Value::Int(*value.inner()), Ty::Int),
        LiteralValue::UInt(value) => (Value::Uint(*value.inner()), Ty::Uint),
        LiteralValue::Double(value) => (Value::Float(*value.inner()), Ty::Float),
        LiteralValue::String(value) => (Value::text(value.inner().to_owned()), Ty::Text),
        LiteralValue::Bytes(value) => (Value::Bytes(value.inner().to_vec().into()), Ty::Bytes),
        LiteralValue::Null => (Value::Null, Ty::Null),
    };
    (Node::Literal(value), ty)
}

/// The names of `a.b.c`, `None` for what is not only names.
pub(super) fn segments(expression: &IdedExpr) -> Option<Vec<&str>> {
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) if !select.test => {
            let mut segments = segments(&select.operand)?;
            segments.push(&select.field);
            Some(segments)
        }
        _ => None,
    }
}

/// What does not depend on anything is worked out once. What fails is left to fail where it matters.
fn fold(node: Node) -> Node {
    let is_literal = |node: &Node| matches!(node, Node::Literal(_));
    let is_constant = match &node {
        Node::List(nodes) | Node::Call(_, nodes) => nodes.iter().all(is_literal),
        Node::Map(entries) => {
            entries.iter().all(|(key, value)| is_literal(key) && is_literal(value))
        }
        Node::Calculated(_, nodes) => nodes.iter().all(is_literal),
        Node::Negated(node) => is_literal(node),
        _ => false,
    };
    if !is_constant {
        return node;
    }
    let value = node.value(&mut Frame::new(Scope::default())).map(Value::into_owned);
    value.map_or(node, Node::Literal)
}
