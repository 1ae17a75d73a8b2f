//! A decision as the page and scripts see it: the record's fields by their names, texts cut to what
//! a person reads.

use serde::Serialize;
use serde_json::Value;

use crate::event::{Decision, Position, Slot};

/// Characters of a text that are shown; a chat's may have 65,536.
const TEXT_CHARS_MAX: usize = 400;
/// Reasons that are shown, heaviest first.
const REASONS_MAX: usize = 50;
/// The integers that a browser's numbers hold exactly.
const EXACT: std::ops::RangeInclusive<i64> = -(1 << 53)..=(1 << 53);

#[derive(Serialize)]
struct View<'a> {
    decision_id: &'a str,
    event_id: &'a str,
    event_time: i64,
    tenant: &'a str,
    account_id: &'a str,
    kind: &'static str,
    subject_id: &'a str,
    decided_at: i64,
    outcome: &'static str,
    recommendation: Option<&'a str>,
    score: f64,
    confidence: f64,
    reasons: Vec<Reason<'a>>,
    reasons_left_out: usize,
    fields: Vec<Field<'a>>,
    features: Vec<Value>,
    feature_set: &'a str,
    profile_age_ms: Option<i64>,
    rule_set: &'a str,
    model: Option<&'a str>,
    lists: Option<&'a str>,
    degraded: Vec<&'a str>,
    shadow: Vec<Shadow<'a>>,
    source: Source<'a>,
    record: Place,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    text: String,
    weight: f64,
    rule: &'a str,
}

#[derive(Serialize)]
struct Field<'a> {
    name: &'a str,
    value: Value,
}

#[derive(Serialize)]
struct Shadow<'a> {
    name: &'a str,
    outcome: &'a str,
    score: f64,
}

#[derive(Serialize)]
struct Source<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    schema_id: String,
}

#[derive(Serialize)]
struct Place {
    partition: u32,
    offset: i64,
}

/// The decision at `position` as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn json(
    decision: &Decision<'_>,
    position: Position,
) -> Result<String, serde_json::Error> {
    let reasons = decision.reasons.iter().take(REASONS_MAX);
    let fields = decision.fields.iter();
    let shadow = decision.shadow.iter();
    serde_json::to_string(&View {
        decision_id: decision.decision_id.as_str(),
        event_id: decision.event_id.as_str(),
        event_time: decision.event_time.0,
        tenant: decision.tenant.as_str(),
        account_id: decision.account_id.as_str(),
        kind: decision.kind.label(),
        subject_id: decision.subject_id.as_str(),
        decided_at: decision.decided_at.0,
        outcome: decision.outcome.name(),
        recommendation: decision.recommendation.as_ref().map(|text| text.as_str()),
        score: decision.score,
        confidence: decision.confidence,
        reasons: reasons
            .map(|reason| Reason {
                code: reason.code.as_str(),
                text: cut(reason.text.as_str()),
                weight: reason.weight,
                rule: reason.rule.as_str(),
            })
            .collect(),
        reasons_left_out: decision.reasons.len().saturating_sub(REASONS_MAX),
        fields: fields
            .map(|field| Field { name: field.name.as_str(), value: value(field.value) })
            .collect(),
        features: decision.features.iter().map(|slot| value(*slot)).collect(),
        feature_set: decision.feature_set.as_str(),
        profile_age_ms: decision.profile_age_ms,
        rule_set: decision.rule_set.as_str(),
        model: decision.model.as_ref().map(|text| text.as_str()),
        lists: decision.lists.as_ref().map(|text| text.as_str()),
        degraded: decision.degraded.iter().map(|text| text.as_str()).collect(),
        shadow: shadow
            .map(|shadow| Shadow {
                name: shadow.name.as_str(),
                outcome: shadow.outcome.as_str(),
                score: shadow.score,
            })
            .collect(),
        source: Source {
            topic: decision.source.topic.as_str(),
            partition: decision.source.partition,
            offset: decision.source.offset,
            schema_id: format!("{:016x}", decision.source.schema_id),
        },
        record: Place { partition: position.partition, offset: position.offset },
    })
}

/// Integers that a browser would round travel as text.
fn value(slot: Slot<'_>) -> Value {
    match slot {
        Slot::Null => Value::Null,
        Slot::Bool(value) => Value::Bool(value),
        Slot::Int(value) if EXACT.contains(&value) => Value::from(value),
        Slot::Int(value) => Value::String(value.to_string()),
        Slot::Float(value) => Value::from(value),
        Slot::Text(text) => Value::String(cut(text)),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_browser_would_round_travel_as_text() {
        assert_eq!(value(Slot::Int(1 << 53)), Value::from(1_i64 << 53));
        let rounded = (1_i64 << 53) + 1;
        assert_eq!(value(Slot::Int(rounded)), Value::from(rounded.to_string()));
        assert_eq!(value(Slot::Int(i64::MIN)), Value::from(i64::MIN.to_string()));
        assert_eq!(value(Slot::Float(f64::NAN)), Value::Null);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("é"), "é");
        let long = "é".repeat(TEXT_CHARS_MAX + 1);
        assert_eq!(cut(&long).chars().count(), TEXT_CHARS_MAX + 1);
        assert!(cut(&long).ends_with('…'));
        assert_eq!(cut(&long[2..]), long[2..]);
    }
}
