//! Calls that are more than a function of values: macros, and those whose literals are worked out at load.

use std::cmp::Ordering;

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators as op};
use regex::RegexBuilder;

use super::calendar::{Part, Zone};
use super::compile::{Compiled, Compiler, Refusal, outside, refused};
use super::loops::{Loop, Made};
use super::net::Cidr;
use super::node::Node;
use super::overloads;
use super::types::Ty;
use super::value::Value;

/// Bytes that a pattern may take once it is compiled: a match takes at most as many steps for each byte of
/// the text as there are states in it.
const PATTERN_BYTES_MAX: usize = 1 << 18;
/// Bytes that it may remember of the texts it has seen, of each thread.
const PATTERN_CACHE_BYTES: usize = 1 << 20;
/// Groups of a pattern within each other.
const PATTERN_NESTING_MAX: u32 = 32;

type Found = Result<Option<(Node, Ty)>, Refusal>;

impl Compiler<'_> {
    /// A call of this name, `None` where it is a plain function.
    pub(super) fn form(
        &mut self,
        node: u64,
        name: &str,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Found {
        if let Some(range) = target
            && let Some(made) = self.two_names(node, name, range, args)?
        {
            return Ok(Some(made));
        }
        Ok(Some(match (name, target, args) {
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.matches(node, text, pattern)?
            }
            ("in_list", None, [value, list]) => self.in_list(node, value, list)?,
            ("in_cidr", None, [value, block]) => self.in_cidr(node, value, block)?,
            ("between", None, [value, low, high]) => self.between(node, [value, low, high])?,
            ("hour_of_day", None, [time, rest @ ..]) if rest.len() < 2 => {
                self.dated(node, (name, Part::Hours), time, rest.first())?
            }
            ("is_weekend", None, [time, rest @ ..]) if rest.len() < 2 => {
                self.dated(node, (name, Part::Weekend), time, rest.first())?
            }
            ("math.greatest", None, [_, ..]) => {
                self.extreme(node, name, Ordering::Greater, args)?
            }
            ("math.least", None, [_, ..]) => self.extreme(node, name, Ordering::Less, args)?,
            ("dyn", None, [value]) => (self.expression(value)?.0, Ty::Dyn),
            (name, Some(time), [zone]) => match Part::named(name) {
                Some(part) if is_text(zone) => return self.part(part, time, zone),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    fn mistyped(&self, node: u64, name: &str, types: &[Ty]) -> Result<(), Refusal> {
        self.mismatch(node, || overloads::refusal(name, false, types, &[]))
    }

    /// A pattern must be known at load, to be compiled and refused then.
    fn matches(&mut self, node: u64, text: &IdedExpr, pattern: &IdedExpr) -> Compiled {
        let (text, ty) = self.expression(text)?;
        let (compiled, pattern_ty) = self.expression(pattern)?;
        if !matches!(ty, Ty::Text | Ty::Dyn) || !matches!(pattern_ty, Ty::Text | Ty::Dyn) {
            self.mistyped(node, "matches", &[ty, pattern_ty])?;
        }
        let Node::Literal(Value::Text(source)) = compiled else {
            return outside(pattern.id, "the pattern of matches is computed, expected a literal");
        };
        let regex = RegexBuilder::new(&source)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_CACHE_BYTES)
            .nest_limit(PATTERN_NESTING_MAX)
            .build();
        match regex {
            Ok(regex) => Ok((Node::Matches(Box::new(text), Box::new(regex)), Ty::Bool)),
            Err(regex::Error::CompiledTooBig(_)) => {
                let most = PATTERN_BYTES_MAX >> 10;
                refused(
                    pattern.id,
                    format!(
                        "the pattern {source:?} needs more than {most} KiB, expected fewer or shorter repetitions"
                    ),
                )
            }
            Err(reason) => {
                // the library draws the place on lines of its own and says what is wrong on the last
                let reason = reason.to_string();
                let reason = reason.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                refused(pattern.id, format!("{source:?} is not a regular expression: {reason}"))
            }
        }
    }

    fn in_list(&mut self, node: u64, value: &IdedExpr, list: &IdedExpr) -> Compiled {
        let (made, ty) = self.expression(value)?;
        if !matches!(ty, Ty::Text | Ty::Int | Ty::Float | Ty::Bool | Ty::Null | Ty::Dyn) {
            self.mistyped(node, "in_list", &[ty, Ty::Text])?;
        }
        let Some(name) = text(list) else {
            return refused(list.id, "the list of in_list is computed, expected a literal name");
        };
        match self.vocabulary.map(|words| words.list(name)) {
            Some(Ok(list)) => Ok((Node::InList(Box::new(made), list), Ty::Bool)),
            Some(Err(message)) => refused(list.id, message),
            None => outside(list.id, "there are no lists here"),
        }
    }

    fn in_cidr(&mut self, node: u64, value: &IdedExpr, block: &IdedExpr) -> Compiled {
        let (made, ty) = self.expression(value)?;
        if !matches!(ty, Ty::Text | Ty::Ip | Ty::Null | Ty::Dyn) {
            self.mistyped(node, "in_cidr", &[ty, Ty::Text])?;
        }
        let Some(block_text) = text(block) else {
            return refused(block.id, "the block of in_cidr is computed, expected a literal");
        };
        match Cidr::parse(block_text) {
            Some(cidr) => Ok((Node::InCidr(Box::new(made), cidr), Ty::Bool)),
            None => refused(
                block.id,
                format!(
                    "{block_text:?} is no block of addresses, expected one such as \"10.0.0.0/8\""
                ),
            ),
        }
    }

    fn between(&mut self, node: u64, of: [&IdedExpr; 3]) -> Compiled {
        let [(value, ty), (low, low_ty), (high, high_ty)] =
            [self.expression(of[0])?, self.expression(of[1])?, self.expression(of[2])?];
        if !ty.ordered(&low_ty) || !ty.ordered(&high_ty) {
            self.mistyped(node, "between", &[ty, low_ty, high_ty])?;
        }
        Ok((Node::Between(Box::new([value, low, high])), Ty::Bool))
    }

    fn zone(&self, zone: &IdedExpr) -> Result<Zone, Refusal> {
        let Some(name) = text(zone) else {
            return refused(zone.id, "the time zone is computed, expected a literal");
        };
        match Zone::named(name) {
            Some(zone) => Ok(zone),
            None => refused(
                zone.id,
                format!(
                    "unknown time zone {name:?}, expected one such as \"Europe/Berlin\" or \"+01:00\""
                ),
            ),
        }
    }

    /// Ours, of milliseconds too.
    fn dated(
        &mut self,
        node: u64,
        (name, part): (&str, Part),
        time: &IdedExpr,
        zone: Option<&IdedExpr>,
    ) -> Compiled {
        let (time, ty) = self.expression(time)?;
        if !matches!(ty, Ty::Int | Ty::Time | Ty::Dyn) {
            self.mistyped(node, name, &[ty])?;
        }
        let zone = zone.map_or(Ok(Zone::Fixed(0)), |zone| self.zone(zone))?;
        let gives = if part == Part::Weekend { Ty::Bool } else { Ty::Int };
        Ok((Node::Dated(part, Box::new(time), Box::new(zone)), gives))
    }

    /// `time.getHours('Europe/Berlin')`, whose zone is looked up once.
    fn part(&mut self, part: Part, time: &IdedExpr, zone: &IdedExpr) -> Found {
        let (made, ty) = self.expression(time)?;
        if ty != Ty::Time {
            return Ok(None);
        }
        let zone = self.zone(zone)?;
        Ok(Some((Node::Dated(part, Box::new(made), Box::new(zone)), Ty::Int)))
    }

    /// The greatest or least of numbers.
    fn extreme(&mut self, node: u64, name: &str, order: Ordering, args: &[IdedExpr]) -> Compiled {
        let (nodes, types) = self.all(args.iter())?;
        let is_number = |ty: &Ty| ty.is_number() || *ty == Ty::Dyn;
        let gives = match types.as_slice() {
            [Ty::List(of)] if is_number(of) => (**of).clone(),
            types => {
                if !types.iter().all(is_number) {
                    self.mistyped(node, name, types)?;
                }
                Ty::element(types)
            }
        };
        Ok((Node::Extreme(order, nodes.into()), gives))
    }

    /// Macros with two names, which the parser leaves as calls.
    fn two_names(&mut self, node: u64, name: &str, range: &IdedExpr, args: &[IdedExpr]) -> Found {
        let (made, filter, body) = match (name, args) {
            ("all", [_, _, body]) => (Made::All, None, body),
            ("exists", [_, _, body]) => (Made::Exists, None, body),
            ("existsOne" | "exists_one", [_, _, body]) => (Made::One, None, body),
            ("transformList", [_, _, body]) => (Made::List, None, body),
            ("transformList", [_, _, filter, body]) => (Made::List, Some(filter), body),
            ("transformMap", [_, _, body]) => (Made::Map, None, body),
            ("transformMap", [_, _, filter, body]) => (Made::Map, Some(filter), body),
            ("transformMapEntry", [_, _, body]) => (Made::Entries, None, body),
            ("transformMapEntry", [_, _, filter, body]) => (Made::Entries, Some(filter), body),
            _ => return Ok(None),
        };
        let [key, value, ..] = args else { return Ok(None) };
        let (Expr::Ident(key), Expr::Ident(value)) = (&key.expr, &value.expr) else {
            return refused(node, format!("{name} binds what is no plain name"));
        };
        if key == value {
            return refused(node, format!("{name} binds {key:?} twice, expected two names"));
        }
        self.over(node, made, range, &[key, value], filter, body).map(Some)
    }

    /// Macros with one name, which the parser writes out as loops with an accumulator.
    pub(super) fn comprehension(&mut self, node: u64, own: &ComprehensionExpr) -> Compiled {
        let accumulates = |expression: &IdedExpr| matches!(&expression.expr, Expr::Ident(name) if *name == own.accu_var);
        let Expr::Call(step) = &own.loop_step.expr else {
            return outside(node, "this macro is not supported");
        };
        let appended = |expression: &'_ IdedExpr| match &expression.expr {
            Expr::Call(add) if add.func_name == op::ADD => match add.args.as_slice() {
                [accu, one] if accumulates(accu) => match &one.expr {
                    Expr::List(list) => list.elements.first().cloned(),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        let names = [own.iter_var.as_str()];
        let range = &own.iter_range;
        match (&own.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(_)), op::LOGICAL_AND, [_, body]) => {
                self.over(node, Made::All, range, &names, None, body)
            }
            (Expr::Literal(LiteralValue::Boolean(_)), op::LOGICAL_OR, [_, body]) => {
                self.over(node, Made::Exists, range, &names, None, body)
            }
            (Expr::Literal(LiteralValue::Int(_)), op::CONDITIONAL, [body, ..]) => {
                self.over(node, Made::One, range, &names, None, body)
            }
            (Expr::List(_), op::CONDITIONAL, [filter, then, _]) => match appended(then) {
                Some(body) => self.over(node, Made::List, range, &names, Some(filter), &body),
                None => outside(node, "this macro is not supported"),
            },
            (Expr::List(_), op::ADD, _) => match appended(&own.loop_step) {
                Some(body) => self.over(node, Made::List, range, &names, None, &body),
                None => outside(node, "this macro is not supported"),
            },
            _ => outside(node, "this macro is not supported"),
        }
    }

    /// The type of what a macro makes.
    fn made_of(&self, node: u64, made: Made, key: Ty, body: Ty) -> Result<Ty, Refusal> {
        Ok(match (made, body) {
            (Made::All | Made::Exists | Made::One, _) => Ty::Bool,
            (Made::List, of) => Ty::List(Box::new(of)),
            (Made::Map, of) => Ty::Map(Box::new(key), Box::new(of)),
            (Made::Entries, of @ (Ty::Map(..) | Ty::Dyn)) => of,
            (Made::Entries, of) => {
                self.mismatch(node, || {
                    format!("transformMapEntry gives a {}, expected a map", of.name())
                })?;
                Ty::Dyn
            }
        })
    }

    /// A macro over what `range` gives.
    fn over(
        &mut self,
        node: u64,
        made: Made,
        range: &IdedExpr,
        names: &[&str],
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
    ) -> Compiled {
        let (range, ty) = self.expression(range)?;
        let (key, value) = match ty {
            Ty::List(of) => (Ty::Int, *of),
            Ty::Map(key, _) if names.len() == 1 => (Ty::Dyn, *key),
            Ty::Map(key, value) => (*key, *value),
            Ty::Dyn => (Ty::Dyn, Ty::Dyn),
            ty => {
                self.mismatch(node, || {
                    format!("a macro over a {}, expected a list or map", ty.name())
                })?;
                (Ty::Dyn, Ty::Dyn)
            }
        };
        let depth = self.locals.len();
        let types = if names.len() == 1 { vec![value] } else { vec![key.clone(), value] };
        self.locals.extend(names.iter().map(|name| (*name).to_owned()).zip(types));
        let filter = filter.map(|filter| self.expression(filter)).transpose()?;
        let (body, body_ty) = self.expression(body)?;
        self.locals.truncate(depth);
        let is_condition = matches!(made, Made::All | Made::Exists | Made::One);
        let conditions = filter.iter().map(|(_, ty)| ty).chain(is_condition.then_some(&body_ty));
        for ty in conditions {
            if !matches!(ty, Ty::Bool | Ty::Dyn) {
                self.mismatch(node, || {
                    format!("the condition of a macro gives a {}, expected a bool", ty.name())
                })?;
            }
        }
        let gives = self.made_of(node, made, key, body_ty)?;
        let filter = filter.map(|(node, _)| node);
        let cost = 1 + body.size() + filter.as_ref().map_or(0, Node::size);
        let has_two = names.len() == 2;
        Ok((Node::Loop(Box::new(Loop { made, range, has_two, filter, body, cost })), gives))
    }
}

fn text(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn is_text(expression: &IdedExpr) -> bool {
    text(expression).is_some()
}
