//! The decision itself: what decides says what it says, the challengers beside it, and all of it is recorded
//! so that it can be said again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::case::Case;
use super::lists::Lists;
use super::models::Attribution;
use super::policy::{Policy, Ruling};
use super::rules::{KindRules, RuleSet};
use crate::config::Escalate;
use crate::event::{
    Decision, Escalation, Event, FieldValue, Kind, Millis, Outcome, Reason, Shadow, Slot, Source,
    Text, decision_id, escalation_id,
};
use crate::expr::{self, Scope};
use crate::state::Due;

const HOUR_MS: i64 = 3_600_000;

/// Decides.
pub struct Engine {
    hash: String,
    live: Policy,
    challengers: Vec<(String, Policy)>,
    /// where escalations of a kind without rules go
    usual: Escalate,
    /// what decisions of each kind record: the event fields that somebody reads, ascending
    fields: [Vec<usize>; 4],
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.hash)
    }
}

impl Engine {
    /// An engine that decides by these rules alone.
    pub fn new(rules: RuleSet) -> Engine {
        let (hash, rules) = (rules.hash().to_owned(), Arc::new(rules));
        let policy = Policy::new(rules, Lists::default(), Arc::default(), &BTreeMap::new());
        Engine::of(hash, policy, Vec::new())
    }

    /// An engine that decides by a policy, with others evaluated beside it, by name. `hash` stands for all of
    /// them.
    pub fn of(hash: String, live: Policy, challengers: Vec<(String, Policy)>) -> Engine {
        let fields = Kind::SCORED.map(|kind| {
            let all = std::iter::once(&live).chain(challengers.iter().map(|(_, policy)| policy));
            let read: BTreeSet<usize> = all.flat_map(|policy| policy.fields_read(kind)).collect();
            read.into_iter().collect()
        });
        Engine { hash, live, challengers, usual: Escalate::default(), fields }
    }

    /// The rules it decides by.
    pub fn rules(&self) -> &RuleSet {
        &self.live.rules
    }

    /// What it decides by.
    pub fn live(&self) -> &Policy {
        &self.live
    }

    /// The hash of all that it decides by.
    pub fn policy(&self) -> &str {
        &self.hash
    }

    /// Names of the challengers, in the order of a decision's shadows.
    pub fn challengers(&self) -> impl Iterator<Item = &str> {
        self.challengers.iter().map(|(name, _)| name.as_str())
    }

    fn kind(&self, kind: Kind) -> Option<&KindRules> {
        self.live.kind(kind)
    }

    fn fields(&self, kind: Kind) -> &[usize] {
        self.fields.get(kind as usize).map_or(&[], Vec::as_slice)
    }

    /// Names of the event fields that are read of a kind, in the order of a case's `fields`.
    pub fn fields_read(&self, kind: Kind) -> impl Iterator<Item = &'static str> {
        let own = expr::fields(kind);
        self.fields(kind).iter().map(|slot| own[*slot].0)
    }

    /// The fields of an event that are read: the `fields` of its [`Case`].
    pub fn fields_of<'a>(&self, event: &'a Event<'_>) -> Vec<Slot<'a>> {
        self.fields(event.kind()).iter().map(|field| expr::read(event, *field)).collect()
    }

    /// The case of an event that was taken in with these features: nothing was published, nothing is left out,
    /// and no profiles are read.
    pub fn case_of<'a>(
        &self,
        event: &'a Event<'_>,
        features: &'a [Slot<'a>],
        decided_at: Millis,
        source: Source<'a>,
    ) -> Case<'a> {
        Case {
            kind: event.kind(),
            event_id: event.event_id(),
            event_time: event.event_time(),
            tenant: event.tenant(),
            account_id: event.account_id(),
            subject_id: event.subject_id(),
            policy_version: 0,
            decided_at,
            fields: self.fields_of(event),
            features,
            profile_age_ms: None,
            degraded: Vec::new(),
            source,
        }
    }

    /// Decides a case.
    pub fn decide<'a>(&'a self, case: &Case<'a>) -> Decision<'a> {
        let own = expr::fields(case.kind);
        let fields = self.fields(case.kind).iter().zip(&case.fields);
        let slots = self.slots(case);
        let ruling = Ruling::of(&self.live, case, &slots, true);
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
            outcome: ruling.outcome,
            recommendation: ruling.recommendation().map(Text::from),
            score: ruling.score,
            confidence: ruling.confidence(),
            reasons: ruling.reasons(&slots),
            fields: fields
                .map(|(slot, value)| FieldValue { name: Text::from(own[*slot].0), value: *value })
                .collect(),
            features: case.features.to_vec(),
            feature_set: Text::from(self.rules().features().hash()),
            profile_age_ms: case.profile_age_ms,
            policy: Text::from(self.hash.as_str()),
            policy_version: case.policy_version,
            rule_set: Text::from(self.rules().hash()),
            model: self.live.models.hash().filter(|_| !case.leaves_out("model")).map(Text::from),
            lists: self.live.lists.hash().map(Text::from),
            degraded: case.degraded.clone(),
            shadow: self.shadow(case, &slots),
            source: case.source.clone(),
        }
    }

    /// What everything reads: the event's fields, null where nobody reads one, then the features.
    fn slots<'a>(&self, case: &Case<'a>) -> Vec<Slot<'a>> {
        let own = expr::fields(case.kind).len();
        let mut slots = vec![Slot::Null; own + case.features.len()];
        for (slot, value) in self.fields(case.kind).iter().zip(&case.fields) {
            slots[*slot] = *value;
        }
        slots[own..].copy_from_slice(case.features);
        slots
    }

    /// What the challengers would have said, unless they are left out.
    fn shadow<'a>(&'a self, case: &Case<'a>, slots: &[Slot<'_>]) -> Vec<Shadow<'a>> {
        if case.leaves_out("shadows") {
            return Vec::new();
        }
        let say = |(name, policy): &'a (String, Policy)| {
            let Ruling { outcome, score, .. } = Ruling::of(policy, case, slots, false);
            Shadow { name: Text::from(name.as_str()), outcome: Text::from(outcome.name()), score }
        };
        self.challengers.iter().map(say).collect()
    }

    /// The escalation that a decision calls for, if it does.
    pub fn escalate<'a>(&'a self, decision: &'a Decision<'_>) -> Option<Escalation<'a>> {
        let escalate = self.kind(decision.kind).map_or(&self.usual, |rules| &rules.escalate);
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
        self.check(record)?;
        Ok(self.decide(&case_of_record(record)))
    }

    /// Whether a record was made by this.
    fn check(&self, record: &Decision<'_>) -> Result<(), String> {
        let expect = |what: &str, found: &str, ours: &str| match found == ours {
            true => Ok(()),
            false => Err(format!("the record names {what} {found}, this is {ours}")),
        };
        expect("policy", &record.policy, &self.hash)?;
        expect("rule set", &record.rule_set, self.rules().hash())?;
        expect("feature set", &record.feature_set, self.rules().features().hash())?;
        let own = expr::fields(record.kind);
        let ours: Vec<&str> = self.fields(record.kind).iter().map(|slot| own[*slot].0).collect();
        let theirs: Vec<&str> = record.fields.iter().map(|field| &*field.name).collect();
        if ours != theirs {
            return Err(format!("the record has fields {theirs:?}, expected {ours:?}"));
        }
        let (found, ours) = (record.features.len(), self.rules().features().len());
        if found != ours {
            return Err(format!("the record has {found} features, expected {ours}"));
        }
        Ok(())
    }

    /// What each feature did to the scores of the models, of a decision's own record.
    ///
    /// # Errors
    /// As [`Engine::rerun`].
    pub fn explain(&self, record: &Decision<'_>) -> Result<Vec<Attribution>, String> {
        self.check(record)?;
        let case = case_of_record(record);
        let slots = self.slots(&case);
        let lists = &self.live.lists.lists;
        let scope = Scope { slots: &slots, lists, at: case.event_time };
        Ok(self.live.models.explain(case.kind, &scope))
    }
}

/// The case that a decision was made from.
fn case_of_record<'a>(record: &'a Decision<'_>) -> Case<'a> {
    Case {
        kind: record.kind,
        event_id: &record.event_id,
        event_time: record.event_time,
        tenant: &record.tenant,
        account_id: &record.account_id,
        subject_id: &record.subject_id,
        policy_version: record.policy_version,
        decided_at: record.decided_at,
        fields: record.fields.iter().map(|field| field.value).collect(),
        features: &record.features,
        profile_age_ms: record.profile_age_ms,
        degraded: record.degraded.clone(),
        source: record.source.clone(),
    }
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
