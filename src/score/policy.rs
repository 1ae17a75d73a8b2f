//! Rules, lists and models that decide together, and what they say of a case.
//!
//! The outcome is the first of these that there is: what a hard list says, in the order of `lists.toml`; the
//! first of step-up, allow, block, review that a matching rule asks for; what the score says against the
//! kind's thresholds. The score is `1 - (1 - p) · Π(1 - weight)` over the matching rules, `p` being what the
//! models say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::case::Case;
use super::lists::{HardList, Lists};
use super::models::{Models, Scored};
use super::rules::{KindRules, Rule, RuleSet};
use crate::config::{Action, Thresholds};
use crate::event::{Kind, Outcome, Reason, Slot, Text};
use crate::expr::{self, Scope};

/// Rules, lists and models that decide together.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) rules: Arc<RuleSet>,
    /// by kind and rule: whether it waits for no flag, or for one that is set
    is_on: [Vec<bool>; 4],
    pub(super) lists: Lists,
    pub(super) models: Arc<Models>,
}

impl Policy {
    /// Puts together what was made for each other: rules and models know these lists by their place. Rules
    /// that wait for a flag that is not set match nothing.
    pub fn new(
        rules: Arc<RuleSet>,
        lists: Lists,
        models: Arc<Models>,
        flags: &BTreeMap<String, bool>,
    ) -> Policy {
        let is_set = |flag: &String| flags.get(flag).copied().unwrap_or(false);
        let is_on = |rule: &Rule| rule.flag.as_ref().is_none_or(is_set);
        let is_on = rules
            .kinds
            .each_ref()
            .map(|kind| kind.iter().flat_map(|kind| &kind.rules).map(is_on).collect());
        Policy { rules, is_on, lists, models }
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The lists.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// The models.
    pub fn models(&self) -> &Arc<Models> {
        &self.models
    }

    pub(super) fn kind(&self, kind: Kind) -> Option<&KindRules> {
        self.rules.kinds.get(kind as usize).and_then(Option::as_ref)
    }

    fn hard(&self, kind: Kind) -> &[HardList] {
        self.lists.hard.get(kind as usize).map_or(&[], Vec::as_slice)
    }

    /// The event fields that are read of a kind: slots below the number of its fields.
    pub(super) fn fields_read(&self, kind: Kind) -> impl Iterator<Item = usize> {
        let count = expr::fields(kind).len();
        let of_rules = self.kind(kind).into_iter().flat_map(|rules| &rules.fields_read).copied();
        let of_lists = self.hard(kind).iter().flat_map(|hard| hard.text.slots().chain([hard.slot]));
        let of_models = self.models.slots(kind).iter().copied();
        of_rules.chain(of_lists).chain(of_models).filter(move |slot| *slot < count)
    }
}

/// What decided.
#[derive(Clone, Copy, Debug)]
enum Decider<'p> {
    List,
    Rule(&'p Rule),
    Score,
}

/// A rule that matches, and what it adds to the score.
type Match<'p> = (&'p Rule, f64);

/// What a policy says of a case.
pub(super) struct Ruling<'p> {
    rules: Option<&'p KindRules>,
    tenant: &'p str,
    /// lists that decide and have the value, in the order of the file
    listed: Vec<&'p HardList>,
    matched: Vec<Match<'p>>,
    scored: Option<Scored<'p>>,
    pub(super) outcome: Outcome,
    decider: Decider<'p>,
    pub(super) score: f64,
}

impl<'p> Ruling<'p> {
    pub(super) fn of(
        policy: &'p Policy,
        case: &Case<'p>,
        slots: &[Slot<'_>],
        explains: bool,
    ) -> Ruling<'p> {
        let scope = Scope { slots, lists: &policy.lists.lists, at: case.event_time };
        let rules = policy.kind(case.kind);
        let has = |hard: &&HardList| {
            let value = slots.get(hard.slot).copied().unwrap_or_default();
            policy.lists.lists[hard.list].contains(value, case.event_time)
        };
        let listed: Vec<&HardList> = policy.hard(case.kind).iter().filter(has).collect();
        let of_kind = rules.map_or(&[][..], |rules| &rules.rules);
        let matching = |(rule, is_on): (&'p Rule, &bool)| {
            (*is_on && rule.matches(case, &scope)).then(|| (rule, rule.weight(&scope)))
        };
        let is_on = policy.is_on.get(case.kind as usize).map_or(&[][..], Vec::as_slice);
        let matched: Vec<Match<'_>> = of_kind.iter().zip(is_on).filter_map(matching).collect();
        let scored = match case.leaves_out("model") {
            true => None,
            false => {
                let explains = explains && !case.leaves_out("attributions");
                policy.models.score(case.kind, &scope, explains)
            }
        };
        let score = score(scored.as_ref(), &matched);
        let (outcome, decider) = match listed.first() {
            Some(hard) => (hard.outcome, Decider::List),
            None => by_rules(rules, case.tenant, &matched, score),
        };
        Ruling { rules, tenant: case.tenant, listed, matched, scored, outcome, decider, score }
    }

    /// The outcome in the terms of the kind: the rule's own where one decided, else the usual.
    pub(super) fn recommendation(&self) -> Option<&'p str> {
        let wording = &self.rules?.recommend;
        let usual = match self.outcome {
            Outcome::Allow => &wording.allow,
            Outcome::StepUp => &wording.step_up,
            Outcome::Review => &wording.review,
            Outcome::Block => &wording.block,
        };
        let own = match self.decider {
            Decider::Rule(rule) => rule.recommend.as_ref(),
            Decider::List | Decider::Score => None,
        };
        own.or(usual.as_ref()).map(String::as_str)
    }

    /// How far from another outcome the decision is, 0..1: a list is sure, a rule that decides is as sure as
    /// it says, a score as far as it stands from the nearest threshold.
    pub(super) fn confidence(&self) -> f64 {
        match (self.decider, self.rules) {
            (Decider::List, _) => 1.0,
            (Decider::Rule(rule), _) if rule.action == Action::Allow => 1.0,
            (Decider::Rule(rule), _) => {
                let own = self.matched.iter().find(|(matched, _)| std::ptr::eq(*matched, rule));
                0.5 + own.map_or(0.0, |(_, weight)| *weight) / 2.0
            }
            // nothing was asked
            (Decider::Score, None) if self.scored.is_none() => 0.0,
            (Decider::Score, rules) => {
                let thresholds = thresholds(rules, self.tenant);
                let nearest = [thresholds.step_up, thresholds.review, thresholds.block]
                    .into_iter()
                    .map(|threshold| (self.score - threshold).abs())
                    .fold(1.0, f64::min);
                0.5 + nearest / 2.0
            }
        }
    }

    /// Every list, rule and part of a model's score that spoke, heaviest first.
    pub(super) fn reasons(self, slots: &[Slot<'_>]) -> Vec<Reason<'p>> {
        let listed = self.listed.iter().map(|hard| Reason {
            code: Text::from(hard.reason.as_str()),
            text: Text::from(hard.text.render(slots)),
            weight: 1.0,
            rule: Text::from(hard.rule.as_str()),
        });
        let matched = self.matched.iter().map(|(rule, weight)| Reason {
            code: Text::from(rule.reason.as_str()),
            text: Text::from(rule.text.render(slots)),
            weight: *weight,
            rule: Text::from(rule.id.as_str()),
        });
        let mut reasons: Vec<Reason<'p>> = listed.chain(matched).collect();
        reasons.extend(self.scored.into_iter().flat_map(|scored| scored.reasons));
        // stable: of equal weight they stay in the order of the files
        reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        reasons
    }
}

/// Each matching rule takes its share of the doubt that the models leave. An allow takes nothing.
fn score(scored: Option<&Scored<'_>>, matched: &[Match<'_>]) -> f64 {
    let doubt = scored.map_or(1.0, |scored| 1.0 - scored.probability);
    let doubt = matched
        .iter()
        .filter(|(rule, _)| rule.action != Action::Allow)
        .fold(doubt, |doubt, (_, weight)| doubt * (1.0 - weight));
    1.0 - doubt
}

/// Those of a tenant; the usual ones for a kind that has no rules.
fn thresholds(rules: Option<&KindRules>, tenant: &str) -> Thresholds {
    rules.map_or_else(Thresholds::default, |rules| rules.thresholds(tenant))
}

fn by_rules<'p>(
    rules: Option<&KindRules>,
    tenant: &str,
    matched: &[Match<'p>],
    score: f64,
) -> (Outcome, Decider<'p>) {
    let order = [
        (Action::StepUp, Outcome::StepUp),
        (Action::Allow, Outcome::Allow),
        (Action::Block, Outcome::Block),
        (Action::Review, Outcome::Review),
    ];
    for (action, outcome) in order {
        if let Some((rule, _)) = matched.iter().find(|(rule, _)| rule.action == action) {
            return (outcome, Decider::Rule(rule));
        }
    }
    let thresholds = thresholds(rules, tenant);
    let outcome = match score {
        score if score >= thresholds.block => Outcome::Block,
        score if score >= thresholds.review => Outcome::Review,
        score if score >= thresholds.step_up => Outcome::StepUp,
        _ => Outcome::Allow,
    };
    (outcome, Decider::Score)
}
