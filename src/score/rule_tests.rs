//! The tests that stand beside rules.

use super::lists::Lists;
use super::rules::{Rule, RuleSet};
use crate::config::{Place, Problem, Problems, RuleFile, RuleTest};
use crate::event::{Kind, Millis, Slot};
use crate::expr::{Scope, Type, Vocabulary};

impl RuleSet {
    /// Runs the tests of the files that these rules were made of. Flags, samples and expiry are no part of
    /// them: a test is about what a rule says.
    ///
    /// # Errors
    /// Every test that does not hold, with its place.
    pub fn test(&self, files: &[RuleFile], lists: &Lists) -> Result<(), Problems> {
        let mut problems = Vec::new();
        for file in files {
            let Some(kind) = Kind::from_label(&file.kind) else { continue };
            let Some(Some(own)) = self.kinds.get(kind as usize) else { continue };
            let vocabulary = Vocabulary::new(kind, self.features().names());
            for (spec, rule) in file.rules.iter().zip(&own.rules) {
                for test in &spec.tests {
                    let fault = match given(test, &vocabulary) {
                        Ok(slots) => fault(test, rule, &slots, lists),
                        Err(message) => Some(format!("test of rule {:?}: {message}", rule.id)),
                    };
                    let place = Place::at(&file.path, &file.text, test.given.span().start);
                    problems.extend(fault.map(|message| Problem::new(place, message)));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}

fn fault(test: &RuleTest, rule: &Rule, slots: &[Slot<'_>], lists: &Lists) -> Option<String> {
    let scope = Scope { slots, lists: &lists.lists, at: Millis::default() };
    let found = rule.program.holds(&scope);
    (found != test.expect)
        .then(|| format!("test of rule {:?} gives {found}, expected {}", rule.id, test.expect))
}

/// The slots of a test: what it does not name is null.
fn given<'t>(test: &'t RuleTest, vocabulary: &Vocabulary) -> Result<Vec<Slot<'t>>, String> {
    let mut slots = vec![Slot::Null; vocabulary.len()];
    for (name, value) in test.given.get_ref() {
        let slot = vocabulary.slot(name).ok_or_else(|| vocabulary.unknown(name))?;
        let ty = vocabulary.type_of(slot);
        slots[slot] = match (ty, value) {
            (Type::Bool, toml::Value::Boolean(value)) => Slot::Bool(*value),
            (Type::Int, toml::Value::Integer(value)) => Slot::Int(*value),
            (Type::Float, toml::Value::Float(value)) => Slot::Float(*value),
            (Type::Float, toml::Value::Integer(value)) => Slot::Float(*value as f64),
            (Type::Text, toml::Value::String(value)) => Slot::Text(value),
            (ty, value) => {
                let expected = ty.name();
                return Err(format!("{name} is {value}, expected a {expected}"));
            }
        };
    }
    Ok(slots)
}
