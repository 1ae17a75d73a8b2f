//! A decision for people.

use crate::event::Decision;
use crate::score::Attribution;

/// Features shown of a model: those that did most.
const PARTS: usize = 12;

/// Prints a decision. `features`: names of its features, where they are known.
pub(super) fn show(decision: &Decision<'_>, features: &[String]) {
    say!("decision    {}", decision.decision_id);
    say!(
        "event       {} {} of {}/{}",
        decision.kind.label(),
        decision.event_id,
        decision.tenant,
        decision.account_id
    );
    say!("subject     {}", decision.subject_id);
    say!("happened    {}", decision.event_time);
    say!("decided     {}", decision.decided_at);
    let recommendation = decision.recommendation.as_deref().map(|text| format!(" ({text})"));
    say!("outcome     {}{}", decision.outcome.name(), recommendation.unwrap_or_default());
    say!("score       {:.4}, confidence {:.4}", decision.score, decision.confidence);
    say!("reasons     {}", if decision.reasons.is_empty() { "none: no rule matched" } else { "" });
    for reason in &decision.reasons {
        say!("  {:<24} {:.2}  {}  [{}]", &*reason.code, reason.weight, reason.text, reason.rule);
    }
    say!("fields");
    for field in &decision.fields {
        say!("  {:<32} {}", &*field.name, field.value);
    }
    say!("features    set {}", decision.feature_set);
    for (i, value) in decision.features.iter().enumerate() {
        let number = format!("number {i}");
        say!("  {:<32} {value}", features.get(i).unwrap_or(&number));
    }
    if let Some(age) = decision.profile_age_ms {
        say!("profiles    of {age} ms before");
    }
    say!("policy      {}, version {}", decision.policy, decision.policy_version);
    say!("rule set    {}", decision.rule_set);
    for shadow in &decision.shadow {
        say!("challenger  {:<24} {} at {:.4}", &*shadow.name, shadow.outcome, shadow.score);
    }
    for degraded in &decision.degraded {
        say!("degraded    {degraded}");
    }
    let source = &decision.source;
    say!(
        "source      {}/{}@{}, schema {:016x}",
        source.topic,
        source.partition,
        source.offset,
        source.schema_id
    );
}

/// Prints what each feature did to the scores of the models (TreeSHAP).
pub(super) fn attributions(all: &[Attribution]) {
    for Attribution { model, margin, probability, rest, parts } in all {
        say!(
            "model       {model}: {probability:.4}, margin {margin:.4}, of which {rest:.4} without any feature"
        );
        let mut parts: Vec<&(String, f64)> =
            parts.iter().filter(|(_, added)| *added != 0.0).collect();
        parts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        for (feature, added) in parts.into_iter().take(PARTS) {
            say!("  {feature:<32} {added:+.4}");
        }
    }
}
