//! What differs between two sets of rules, rule by rule.

use std::fmt;

use serde_json::{Value, json};

use super::{by_id, kinds};
use crate::config::{RuleFile, RuleSpec};

/// One value that differs.
struct Change {
    what: &'static str,
    before: String,
    after: String,
}

/// What differs.
#[derive(Default)]
pub(super) struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<(String, Vec<Change>)>,
    /// of kinds: thresholds, escalation, wording
    kinds: Vec<(String, Vec<Change>)>,
}

impl Difference {
    pub(super) fn between(before: &[RuleFile], after: &[RuleFile]) -> Difference {
        let (old, new) = (by_id(before), by_id(after));
        let name = |(kind, id): &(&str, &str)| format!("{kind} {id}");
        let mut difference = Difference {
            added: new.keys().filter(|key| !old.contains_key(*key)).map(name).collect(),
            removed: old.keys().filter(|key| !new.contains_key(*key)).map(name).collect(),
            ..Difference::default()
        };
        for (key, rule) in &new {
            let changes = old.get(key).map(|old| of_rules(old, rule)).unwrap_or_default();
            if !changes.is_empty() {
                difference.changed.push((name(key), changes));
            }
        }
        for kind in kinds() {
            let of = |files: &[RuleFile]| -> [String; 4] {
                let file = files.iter().find(|file| file.kind == kind);
                file.map(|file| {
                    let RuleFile { thresholds, tenants, escalate, recommend, .. } = file;
                    [
                        format!("{thresholds:?}"),
                        format!("{tenants:?}"),
                        format!("{escalate:?}"),
                        format!("{recommend:?}"),
                    ]
                })
                .unwrap_or_default()
            };
            let names = ["thresholds", "tenants", "escalate", "recommend"].into_iter();
            let pairs = names.zip(of(before).into_iter().zip(of(after)));
            let mut changes = changes(pairs);
            let order = |files: &[RuleFile]| {
                let file = files.iter().find(|file| file.kind == kind);
                let rules = file.into_iter().flat_map(|file| &file.rules);
                rules.map(|rule| rule.id.get_ref().clone()).collect::<Vec<_>>()
            };
            let (mut old_order, mut new_order) = (order(before), order(after));
            // of those that both have: among rules of one action the first decides
            old_order.retain(|id| new.contains_key(&(kind, id.as_str())));
            new_order.retain(|id| old.contains_key(&(kind, id.as_str())));
            if old_order != new_order {
                let (before, after) = (old_order.join(", "), new_order.join(", "));
                changes.push(Change { what: "order", before, after });
            }
            if !changes.is_empty() {
                difference.kinds.push((kind.to_owned(), changes));
            }
        }
        difference
    }

    pub(super) fn is_empty(&self) -> bool {
        let Difference { added, removed, changed, kinds } = self;
        added.is_empty() && removed.is_empty() && changed.is_empty() && kinds.is_empty()
    }

    pub(super) fn to_json(&self) -> Value {
        let of = |changes: &[(String, Vec<Change>)]| -> Value {
            let one = |Change { what, before, after }: &Change| {
                ((*what).to_owned(), json!({ "before": before, "after": after }))
            };
            let named = |(name, changes): &(String, Vec<Change>)| {
                (name.clone(), Value::Object(changes.iter().map(one).collect()))
            };
            Value::Object(changes.iter().map(named).collect())
        };
        json!({
            "added": self.added, "removed": self.removed, "changed": of(&self.changed),
            "kinds": of(&self.kinds),
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.added.iter().try_for_each(|name| writeln!(f, "+ {name}"))?;
        self.removed.iter().try_for_each(|name| writeln!(f, "- {name}"))?;
        for (name, changes) in self.kinds.iter().chain(&self.changed) {
            writeln!(f, "~ {name}")?;
            for Change { what, before, after } in changes {
                writeln!(f, "    {what}\n      - {before}\n      + {after}")?;
            }
        }
        Ok(())
    }
}

fn of_rules(before: &RuleSpec, after: &RuleSpec) -> Vec<Change> {
    let of = |rule: &RuleSpec| {
        [
            rule.when.get_ref().trim().to_owned(),
            format!("{:?}", rule.action).to_lowercase(),
            rule.weight.get_ref().to_string(),
            rule.reason.clone(),
            rule.text.get_ref().clone(),
            rule.recommend.clone().unwrap_or_default(),
            rule.expires.as_ref().map(|expires| expires.get_ref().clone()).unwrap_or_default(),
            rule.sample.as_ref().map(|sample| sample.get_ref().to_string()).unwrap_or_default(),
            rule.flag.clone().unwrap_or_default(),
            rule.tags.join(", "),
        ]
    };
    let names = [
        "when",
        "action",
        "weight",
        "reason",
        "text",
        "recommend",
        "expires",
        "sample",
        "flag",
        "tags",
    ];
    changes(names.into_iter().zip(of(before).into_iter().zip(of(after))))
}

fn changes(pairs: impl Iterator<Item = (&'static str, (String, String))>) -> Vec<Change> {
    pairs
        .filter(|(_, (before, after))| before != after)
        .map(|(what, (before, after))| Change { what, before, after })
        .collect()
}
