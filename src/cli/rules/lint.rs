//! What is allowed in rules and most likely not meant.

use std::collections::HashMap;

use crate::config::{Action, Place, Problem, RuleFile, RuleSpec, Weight};
use crate::event::Millis;
use crate::telemetry::Clock;

/// Everything that somebody should look at.
pub(super) fn lint(files: &[RuleFile]) -> Vec<Problem> {
    let now = Clock::system().now_ms();
    let mut found = Vec::new();
    for file in files {
        let mut conditions: HashMap<String, &str> = HashMap::new();
        for rule in &file.rules {
            let mut say = |message: String| {
                let place = Place::span(&file.path, &file.text, rule.id.span());
                found.push(Problem::new(place, format!("rule {:?} {message}", rule.id.get_ref())));
            };
            one(rule, now, &mut say);
            let condition: String = rule.when.get_ref().split_whitespace().collect();
            if let Some(other) = conditions.insert(condition, rule.id.get_ref()) {
                say(format!("has the condition of {other:?}, expected one of its own"));
            }
        }
    }
    found
}

fn one(rule: &RuleSpec, now_ms: i64, say: &mut impl FnMut(String)) {
    let matches = rule.tests.iter().filter(|test| test.expect).count();
    match (matches, rule.tests.len() - matches) {
        (0, 0) => say("has no tests, expected one that matches and one that does not".to_owned()),
        (0, _) => say("has no test that matches".to_owned()),
        (_, 0) => say("has no test that does not match".to_owned()),
        _ => {}
    }
    if rule.action == Action::Score && *rule.weight.get_ref() == Weight::Number(0.0) {
        say("only scores and weighs 0: it changes nothing".to_owned());
    }
    if let Some(expires) = &rule.expires {
        let text = expires.get_ref();
        if Millis::of_date_or_time(text).is_some_and(|expires| expires.0 <= now_ms) {
            say(format!("has expired on {text}"));
        }
    }
    if rule.sample.as_ref().is_some_and(|sample| *sample.get_ref() == 0.0) {
        say("is about a sample of 0: it matches nothing".to_owned());
    }
}
