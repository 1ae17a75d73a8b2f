//! One condition or one calculation, ready to run over slots.

use std::borrow::Cow;
use std::sync::Arc;

use super::bounds;
use super::compile::Compiler;
use super::fast::Fast;
use super::node::{Frame, Node};
use super::types::Ty;
use super::value::Value;
use super::vocabulary::{Type, Vocabulary};
use crate::event::{Millis, Slot};
use crate::lists::List;

/// What is wrong with an expression, and where in it (bytes from its start), if that is known.
#[derive(Debug, PartialEq)]
pub struct ProgramError {
    /// byte of the expression
    pub at: Option<usize>,
    /// what is wrong, and what was expected
    pub message: String,
    /// it is CEL, but more of it than is compiled here
    pub is_outside: bool,
}

impl ProgramError {
    pub(super) fn refused(at: Option<usize>, message: String) -> ProgramError {
        ProgramError { at, message, is_outside: false }
    }
}

/// What an expression is evaluated over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// values, in the order of the vocabulary
    pub slots: &'a [Slot<'a>],
    /// lists, in the order of the vocabulary
    pub lists: &'a [Arc<List>],
    /// the moment that lists are asked for: the event's time
    pub at: Millis,
}

/// One condition.
#[derive(Debug)]
pub struct Program {
    condition: Fast,
    slots: Vec<usize>,
}

impl Program {
    /// Parses, checks and compiles a condition.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(source: &str, vocabulary: &Vocabulary) -> Result<Program, ProgramError> {
        let Loaded { node, ty, slots, .. } = load(source, Some(vocabulary), &[], true)?;
        if ty != Ty::Bool {
            let message = format!("the rule gives a {}, expected a bool", ty.name());
            return Err(ProgramError::refused(Some(0), message));
        }
        Ok(Program { condition: Fast::of(node, vocabulary), slots })
    }

    /// Whether the condition holds; without an answer it does not.
    #[inline]
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        self.answer(scope).unwrap_or(false)
    }

    /// Whether the condition holds, `None` where it has no answer.
    pub fn answer(&self, scope: &Scope<'_>) -> Option<bool> {
        self.condition.holds(scope).into()
    }

    /// The slots it reads, ascending.
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }
}

/// One calculation.
#[derive(Debug)]
pub struct Expression {
    node: Node,
    ty: Type,
    slots: Vec<usize>,
}

/// What a calculation gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Computed<'a> {
    /// yes or no
    Bool(bool),
    /// a whole number
    Int(i64),
    /// a number
    Float(f64),
    /// text
    Text(Cow<'a, str>),
}

impl Computed<'_> {
    /// As slots have it.
    pub fn slot(&self) -> Slot<'_> {
        match self {
            Computed::Bool(value) => Slot::Bool(*value),
            Computed::Int(value) => Slot::Int(*value),
            Computed::Float(value) => Slot::Float(*value),
            Computed::Text(text) => Slot::Text(text),
        }
    }
}

impl Expression {
    /// Parses, checks and compiles a calculation.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(source: &str, vocabulary: &Vocabulary) -> Result<Expression, ProgramError> {
        let Loaded { node, ty, slots, .. } = load(source, Some(vocabulary), &[], true)?;
        let ty = match ty {
            Ty::Bool => Type::Bool,
            Ty::Int => Type::Int,
            Ty::Float => Type::Float,
            Ty::Text => Type::Text,
            ty => {
                let ty = ty.name();
                let message =
                    format!("the expression gives a {ty}, expected a bool, int, double or string");
                return Err(ProgramError::refused(Some(0), message));
            }
        };
        Ok(Expression { node, ty, slots })
    }

    /// The type of what it gives.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// What it gives, `None` where it has no answer or the answer is null.
    pub fn value<'a>(&'a self, scope: &Scope<'a>) -> Option<Computed<'a>> {
        Some(match self.node.value(&mut Frame::new(*scope)).ok()? {
            Value::Bool(value) => Computed::Bool(value),
            Value::Int(value) => Computed::Int(value),
            Value::Float(value) => Computed::Float(value),
            Value::Text(text) => Computed::Text(text),
            _ => return None,
        })
    }

    /// The slots it reads, ascending.
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }
}

pub(super) struct Loaded {
    pub(super) node: Node,
    pub(super) ty: Ty,
    pub(super) slots: Vec<usize>,
}

/// From source to tree.
pub(super) fn load(
    source: &str,
    vocabulary: Option<&Vocabulary>,
    given: &[(String, Ty)],
    is_checked: bool,
) -> Result<Loaded, ProgramError> {
    let (parsed, places) = bounds::parse(source)?;
    let mut compiler = Compiler {
        vocabulary,
        locals: given.to_vec(),
        given: given.len(),
        is_checked,
        slots: Vec::new(),
    };
    let (node, ty) = compiler.expression(&parsed).map_err(|refusal| ProgramError {
        at: places.offset_for(refusal.node).map(|(start, _)| start as usize),
        message: refusal.message,
        is_outside: refusal.is_outside,
    })?;
    let mut slots = compiler.slots;
    slots.sort_unstable();
    slots.dedup();
    Ok(Loaded { node, ty, slots })
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
