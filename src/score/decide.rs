//! The decision itself.
//!
//! All rules of the kind are evaluated and recorded, even after one decides. The first of these
//! that a matching rule asks for is the outcome: step-up, allow, block, review. Where none does, the
//! score decides: `1 - Π(1 - weight)` over the matching rules, against the kind's thresholds.

use super::case::Case;
use super::rules::{KindRules, Rule, RuleSet};
use crate::config::{Action, Escalate};
use crate::event::{
    Decision, Escalation, Event, FieldValue, Kind, Millis, Outcome, Reason, Slot, Text,
    decision_id, escalation_id,
};
use crate::expr;
use crate::state::Due;

const HOUR_MS: i64 = 3_600_000;

/// Decides.
pub struct Engine {
    rules: RuleSet,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.rules.hash())
    }
}

impl Engine {
    /// An engine that decides by these rules.
    pub fn new(rules: RuleSet) -> Engine {
        Engine { rules }
    }

    /// The rules it decides by.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    fn kind(&self, kind: Kind) -> Option<&KindRules> {
        self.rules.kinds.get(kind as usize).and_then(Option::as_ref)
    }

    /// The fields of an event that its kind's rules read: the `fields` of its [`Case`].
    pub fn fields_of<'a>(&self, event: &'a Event<'_>) -> Vec<Slot<'a>> {
        self.kind(event.kind()).map_or_else(Vec::new, |rules| {
            rules.fields_read.iter().map(|field| expr::read(event, *field)).collect()
        })
    }

    /// Decides a case.
    pub fn decide<'a>(&'a self, case: &Case<'a>) -> Decision<'a> {
        let verdict = match self.kind(case.kind) {
            Some(rules) => self.judge(rules, case),
            None => Verdict::default(),
        };
        let id = decision_id(case.tenant, case.kind, case.account_id, case.event_id);
        Decision {
            decision_id: Text::from(id.to_string()),
            event_id: Text::from(case.event_id),
            event_time: case.event_time,
            tenant: Text::from(case.tenant),
            account_id: Text::from(case.account_id),
            kind: case.kind,
            subject_id: Text::from(case.subject_id),
            decided_at: case.decided_at,
            outcome: verdict.outcome,
            recommendation: verdict.recommendation.map(Text::from),
            score: verdict.score,
            confidence: verdict.confidence,
            reasons: verdict.reasons,
            fields: verdict.fields,
            features: case.features.to_vec(),
            feature_set: Text::from(self.rules.features().hash()),
            profile_age_ms: case.profile_age_ms,
            rule_set: Text::from(self.rules.hash()),
            model: None,
            lists: None,
            degraded: case.degraded.clone(),
            shadow: Vec::new(),
            source: case.source.clone(),
        }
    }

    fn judge<'a>(&'a self, rules: &'a KindRules, case: &Case<'a>) -> Verdict<'a> {
        let mut slots = vec![Slot::Null; rules.vocabulary.len()];
        for (slot, value) in rules.fields_read.iter().zip(&case.fields) {
            slots[*slot] = *value;
        }
        slots[rules.vocabulary.field_count()..].copy_from_slice(case.features);
        let matched: Vec<&Rule> =
            rules.rules.iter().filter(|rule| rule.program.holds(&slots)).collect();
        let score = score(&matched);
        let (outcome, decided_by) = outcome(rules, &matched, score);
        let wording = &rules.recommend;
        let usual = match outcome {
            Outcome::Allow => &wording.allow,
            Outcome::StepUp => &wording.step_up,
            Outcome::Review => &wording.review,
            Outcome::Block => &wording.block,
        };
        let own = decided_by.and_then(|rule| rule.recommend.as_ref());
        Verdict {
            outcome,
            recommendation: own.or(usual.as_ref()).map(String::as_str),
            score,
            confidence: confidence(rules, decided_by, score),
            reasons: reasons(&matched, &slots),
            fields: rules
                .fields_read
                .iter()
                .zip(&case.fields)
                .map(|(slot, value)| FieldValue {
                    name: Text::from(rules.vocabulary.name(*slot)),
                    value: *value,
                })
                .collect(),
        }
    }

    /// The escalation that a decision calls for, if it does.
    pub fn escalate<'a>(&'a self, decision: &'a Decision<'_>) -> Option<Escalation<'a>> {
        let rules = self.kind(decision.kind)?;
        let escalate = &rules.escalate;
        let priority = match decision.outcome {
            Outcome::Review => escalate.review_priority,
            Outcome::Block => escalate.block_priority,
            Outcome::Allow | Outcome::StepUp => return None,
        };
        let id =
            decision_id(&decision.tenant, decision.kind, &decision.account_id, &decision.event_id);
        let due_ms = decision.decided_at.0 + i64::from(escalate.due_hours) * HOUR_MS;
        Some(Escalation {
            escalation_id: Text::from(escalation_id(&id).to_string()),
            decision_id: decision.decision_id.borrow(),
            tenant: decision.tenant.borrow(),
            account_id: decision.account_id.borrow(),
            kind: decision.kind,
            subject_id: decision.subject_id.borrow(),
            event_time: decision.event_time,
            created_at: decision.decided_at,
            outcome: decision.outcome,
            queue: Text::from(escalate.queue.as_str()),
            priority,
            due_at: Some(Millis(due_ms)),
            summary: Text::from(summary(decision)),
            reasons: decision.reasons.iter().map(borrow_reason).collect(),
        })
    }

    /// The escalation of a dispute whose deadline comes near.
    pub fn remind<'a>(&'a self, due: &'a Due) -> Escalation<'a> {
        let fired = &due.fired;
        let escalate = self.kind(Kind::Dispute).map(|rules| &rules.escalate);
        let priority = |escalate: &Escalate| match due.is_last {
            true => escalate.block_priority,
            false => escalate.review_priority,
        };
        let (due_at, stage) = (fired.due_at, fired.dispute_stage.name());
        let text = match fired.stage.ends_with('%') {
            true => format!("{} of the time to answer has gone: due {due_at}", fired.stage),
            false => format!("{} left to answer: due {due_at}", fired.stage),
        };
        Escalation {
            escalation_id: Text::from(fired.escalation_id().to_string()),
            decision_id: Text::from(due.decision_id.to_string()),
            tenant: fired.tenant.borrow(),
            account_id: fired.account_id.borrow(),
            kind: Kind::Dispute,
            subject_id: fired.dispute_id.borrow(),
            event_time: due.event_time,
            created_at: fired.fired_at,
            outcome: Outcome::Review,
            queue: Text::from(escalate.map_or("disputes", |escalate| escalate.queue.as_str())),
            priority: escalate.map_or(1, priority),
            due_at: Some(due_at),
            summary: Text::from(format!("dispute {} ({stage}): {text}", &*fired.dispute_id)),
            reasons: vec![Reason {
                code: Text::from("DEADLINE"),
                text: Text::from(text),
                weight: 1.0,
                rule: Text::from("deadlines"),
            }],
        }
    }

    /// Decides again from a decision's own record.
    ///
    /// # Errors
    /// Why the record cannot be run again with these rules: another rule set or feature set made
    /// it, or it was changed.
    pub fn rerun<'a>(&'a self, record: &'a Decision<'a>) -> Result<Decision<'a>, String> {
        let expect = |what: &str, found: &str, ours: &str| match found == ours {
            true => Ok(()),
            false => Err(format!("the record names {what} {found}, this is {ours}")),
        };
        expect("rule set", &record.rule_set, self.rules.hash())?;
        expect("feature set", &record.feature_set, self.rules.features().hash())?;
        let names = |slots: &[usize], rules: &KindRules| -> Vec<String> {
            slots.iter().map(|slot| rules.vocabulary.name(*slot).to_owned()).collect()
        };
        if let Some(rules) = self.kind(record.kind) {
            let ours = names(&rules.fields_read, rules);
            let theirs: Vec<&str> = record.fields.iter().map(|field| &*field.name).collect();
            if ours != theirs {
                return Err(format!("the record has fields {theirs:?}, expected {ours:?}"));
            }
        }
        let (found, ours) = (record.features.len(), self.rules.features().len());
        if found != ours {
            return Err(format!("the record has {found} features, expected {ours}"));
        }
        Ok(self.decide(&Case {
            kind: record.kind,
            event_id: &record.event_id,
            event_time: record.event_time,
            tenant: &record.tenant,
            account_id: &record.account_id,
            subject_id: &record.subject_id,
            decided_at: record.decided_at,
            fields: record.fields.iter().map(|field| field.value).collect(),
            features: &record.features,
            profile_age_ms: record.profile_age_ms,
            degraded: record.degraded.clone(),
            source: record.source.clone(),
        }))
    }
}

struct Verdict<'a> {
    outcome: Outcome,
    recommendation: Option<&'a str>,
    score: f64,
    confidence: f64,
    reasons: Vec<Reason<'a>>,
    fields: Vec<FieldValue<'a>>,
}

impl Default for Verdict<'_> {
    /// What is said of a kind that has no rules.
    fn default() -> Self {
        Verdict {
            outcome: Outcome::Allow,
            recommendation: None,
            score: 0.0,
            confidence: 0.0,
            reasons: Vec::new(),
            fields: Vec::new(),
        }
    }
}

/// `1 - Π(1 - weight)`: each matching rule takes its share of the remaining doubt. An allow adds
/// nothing.
fn score(matched: &[&Rule]) -> f64 {
    let doubt = matched
        .iter()
        .filter(|rule| rule.action != Action::Allow)
        .fold(1.0, |doubt, rule| doubt * (1.0 - rule.weight));
    1.0 - doubt
}

fn outcome<'r>(rules: &KindRules, matched: &[&'r Rule], score: f64) -> (Outcome, Option<&'r Rule>) {
    let order = [
        (Action::StepUp, Outcome::StepUp),
        (Action::Allow, Outcome::Allow),
        (Action::Block, Outcome::Block),
        (Action::Review, Outcome::Review),
    ];
    for (action, outcome) in order {
        if let Some(rule) = matched.iter().find(|rule| rule.action == action) {
            return (outcome, Some(rule));
        }
    }
    let thresholds = &rules.thresholds;
    let outcome = match score {
        score if score >= thresholds.block => Outcome::Block,
        score if score >= thresholds.review => Outcome::Review,
        score if score >= thresholds.step_up => Outcome::StepUp,
        _ => Outcome::Allow,
    };
    (outcome, None)
}

/// How far from another outcome the decision is, 0..1: a rule that decides is as sure as it says,
/// a score as far as it stands from the nearest threshold.
fn confidence(rules: &KindRules, decided_by: Option<&Rule>, score: f64) -> f64 {
    if let Some(rule) = decided_by {
        return if rule.action == Action::Allow { 1.0 } else { 0.5 + rule.weight / 2.0 };
    }
    let thresholds = &rules.thresholds;
    let nearest = [thresholds.step_up, thresholds.review, thresholds.block]
        .into_iter()
        .map(|threshold| (score - threshold).abs())
        .fold(1.0, f64::min);
    0.5 + nearest / 2.0
}

fn reasons<'a>(matched: &[&'a Rule], slots: &[Slot<'_>]) -> Vec<Reason<'a>> {
    let mut reasons: Vec<Reason<'a>> = matched
        .iter()
        .map(|rule| Reason {
            code: Text::from(rule.reason.as_str()),
            text: Text::from(rule.text.render(slots)),
            weight: rule.weight,
            rule: Text::from(rule.id.as_str()),
        })
        .collect();
    // stable: rules of equal weight stay in the order of the file
    reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    reasons
}

fn borrow_reason<'a>(reason: &'a Reason<'_>) -> Reason<'a> {
    Reason {
        code: reason.code.borrow(),
        text: reason.text.borrow(),
        weight: reason.weight,
        rule: reason.rule.borrow(),
    }
}

fn summary(decision: &Decision<'_>) -> String {
    let what = format!("{} {}", decision.kind.label(), &*decision.subject_id);
    match decision.reasons.first() {
        Some(reason) => format!("{what}: {}", &*reason.text),
        None => what,
    }
}
