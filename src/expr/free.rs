//! Expressions over names of any type, checked or not: what CEL's own cases of conformance need.

use super::node::{Frame, Node};
use super::program::{Loaded, ProgramError, Scope, load};
use super::types::Ty;
use super::value::{Fault, Value};

/// An expression over given names.
#[derive(Debug)]
pub struct FreeExpression {
    node: Node,
    ty: Ty,
}

impl FreeExpression {
    /// Parses and compiles an expression; without checks, types that do not fit fail at run time.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(
        source: &str,
        names: &[(String, Ty)],
        is_checked: bool,
    ) -> Result<FreeExpression, ProgramError> {
        let Loaded { node, ty, .. } = load(source, None, names, is_checked)?;
        Ok(FreeExpression { node, ty })
    }

    /// The type that it was found to have.
    pub fn ty(&self) -> &Ty {
        &self.ty
    }

    /// Its value for the values of the names, in their order.
    ///
    /// # Errors
    /// Why it has none.
    pub fn value(&self, given: Vec<Value<'_>>) -> Result<Value<'static>, Fault> {
        let mut frame = Frame::new(Scope::default());
        frame.locals = given;
        self.node.value(&mut frame).map(Value::into_owned)
    }
}
