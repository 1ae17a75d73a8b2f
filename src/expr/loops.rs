//! The macros that go through lists and maps.

use super::fuel::ELEMENTS_MAX;
use super::lookup::insert;
use super::node::{Frame, Node};
use super::value::{Fault, Value, borrowed};

/// What is made of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// whether the condition holds for all
    All,
    /// for at least one
    Exists,
    /// for exactly one
    One,
    /// the list of what the body gives
    List,
    /// the map of what the body gives, under the same keys
    Map,
    /// the map of all entries of the maps that the body gives
    Entries,
}

/// A macro over a list or map.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) made: Made,
    pub(super) range: Node,
    /// place or key, and value; else value alone, of maps the key
    pub(super) has_two: bool,
    /// elements that it does not hold for are left out
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
    /// steps of one turn
    pub(super) cost: usize,
}

impl Loop {
    pub(super) fn value<'a>(&'a self, frame: &mut Frame<'a>) -> Result<Value<'a>, Fault> {
        let mut out =
            Out { made: self.made, fault: None, count: 0, values: vec![], entries: vec![] };
        // the elements of a literal are borrowed: those of a value would be copied, texts and all
        if let Node::Literal(Value::List(values)) = &self.range {
            for (i, value) in values.iter().enumerate() {
                if self.turn(&mut out, Value::count(i), borrowed(value), frame)? {
                    break;
                }
            }
            return out.finish();
        }
        match &self.range.value(frame)? {
            Value::List(values) => {
                for (i, value) in values.iter().enumerate() {
                    if self.turn(&mut out, Value::count(i), value.clone(), frame)? {
                        break;
                    }
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries.iter() {
                    let value = if self.has_two { value } else { key };
                    if self.turn(&mut out, key.clone(), value.clone(), frame)? {
                        break;
                    }
                }
            }
            Value::Null => return Err(Fault::Absent),
            _ => return Err(Fault::Argument),
        }
        out.finish()
    }

    /// One element; whether it is the last that matters.
    fn turn<'a>(
        &'a self,
        out: &mut Out<'a>,
        key: Value<'a>,
        value: Value<'a>,
        frame: &mut Frame<'a>,
    ) -> Result<bool, Fault> {
        frame.fuel.spend(self.cost)?;
        let depth = frame.locals.len();
        if self.has_two {
            frame.locals.push(key.clone());
        }
        frame.locals.push(value);
        let ended = self.step(out, key, frame);
        frame.locals.truncate(depth);
        ended
    }

    fn step<'a>(
        &'a self,
        out: &mut Out<'a>,
        key: Value<'a>,
        frame: &mut Frame<'a>,
    ) -> Result<bool, Fault> {
        if let Some(filter) = &self.filter
            && !filter.holds(frame)?
        {
            return Ok(false);
        }
        match self.made {
            Made::All | Made::Exists => {
                let decides = self.made == Made::Exists;
                match self.body.holds(frame) {
                    Ok(answer) if answer == decides => {
                        out.count = 1;
                        return Ok(true);
                    }
                    Ok(_) => {}
                    Err(Fault::Cost) => return Err(Fault::Cost),
                    Err(fault) => out.fault = out.fault.or(Some(fault)),
                }
            }
            Made::One => out.count += usize::from(self.body.holds(frame)?),
            Made::List => {
                if out.values.len() == ELEMENTS_MAX {
                    return Err(Fault::Cost);
                }
                out.values.push(self.body.value(frame)?);
            }
            Made::Map => {
                let value = self.body.value(frame)?;
                insert(&mut out.entries, key, value, &mut frame.fuel)?;
            }
            Made::Entries => match self.body.value(frame)? {
                Value::Map(entries) => {
                    for (key, value) in entries.iter() {
                        insert(&mut out.entries, key.clone(), value.clone(), &mut frame.fuel)?;
                    }
                }
                _ => return Err(Fault::Argument),
            },
        }
        Ok(false)
    }
}

/// What has been made so far.
struct Out<'a> {
    made: Made,
    /// what one element failed with, which counts only where no other decides
    fault: Option<Fault>,
    /// elements the condition holds for, or that decided
    count: usize,
    values: Vec<Value<'a>>,
    entries: Vec<(Value<'a>, Value<'a>)>,
}

impl<'a> Out<'a> {
    fn finish(self) -> Result<Value<'a>, Fault> {
        Ok(match (self.made, self.count, self.fault) {
            (Made::All | Made::Exists, 0, Some(fault)) => return Err(fault),
            (Made::All, decided, _) => Value::Bool(decided == 0),
            (Made::Exists, decided, _) => Value::Bool(decided > 0),
            (Made::One, count, _) => Value::Bool(count == 1),
            (Made::List, ..) => Value::list(self.values),
            (Made::Map | Made::Entries, ..) => Value::Map(self.entries.into()),
        })
    }
}
