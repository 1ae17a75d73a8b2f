//! The contracts as a map needs them: names, types and symbols of the fields, read from the very
//! schemas in `schemas/`, so that no second list can disagree with them.

use std::sync::LazyLock;

use serde_json::Value;

use crate::event::Kind;

/// One field of a contract.
#[derive(Debug, PartialEq)]
pub(super) struct FieldSpec {
    /// its name on the wire
    pub(super) name: String,
    /// what it holds
    pub(super) ty: FieldType,
    /// whether an event is refused without it
    pub(super) required: bool,
}

/// What a field holds.
#[derive(Debug, PartialEq)]
pub(super) enum FieldType {
    Text,
    /// one of these symbols
    Symbol(Vec<String>),
    /// a whole number; in the contracts these are amounts in minor units
    Int,
    Float,
    Bool,
    Time,
    Date,
    /// records of these fields
    Records(Vec<FieldSpec>),
}

impl FieldType {
    /// What a value of this type is, for messages.
    pub(super) fn expected(&self) -> String {
        match self {
            FieldType::Text => "text".to_owned(),
            FieldType::Symbol(symbols) => format!("one of {}", symbols.join(", ")),
            FieldType::Int => "a whole number".to_owned(),
            FieldType::Float => "a finite number".to_owned(),
            FieldType::Bool => "true or false".to_owned(),
            FieldType::Time => "a time".to_owned(),
            FieldType::Date => "a date".to_owned(),
            FieldType::Records(_) => "a table of fields".to_owned(),
        }
    }
}

type Contract = Vec<FieldSpec>;

static CONTRACTS: LazyLock<[Contract; 5]> = LazyLock::new(|| {
    [
        contract(include_str!("../../schemas/transaction.avsc")),
        contract(include_str!("../../schemas/dispute.avsc")),
        contract(include_str!("../../schemas/chat.avsc")),
        contract(include_str!("../../schemas/invoice.avsc")),
        contract(include_str!("../../schemas/label.avsc")),
    ]
});

/// The fields of an event of this kind, in the order of its contract.
pub(super) fn fields(kind: Kind) -> &'static [FieldSpec] {
    &CONTRACTS[match kind {
        Kind::Transaction => 0,
        Kind::Dispute => 1,
        Kind::Chat => 2,
        Kind::Invoice => 3,
        Kind::Label => 4,
    }]
}

fn contract(schema: &str) -> Contract {
    serde_json::from_str::<Value>(schema)
        .ok()
        .and_then(|schema| record(&schema))
        .expect("a schema is part of the build, and a test reads every one of them")
}

fn record(schema: &Value) -> Option<Contract> {
    let spec = |field: &Value| {
        let (ty, nullable) = field_type(&field["type"])?;
        Some(FieldSpec {
            name: field["name"].as_str()?.to_owned(),
            ty,
            required: !nullable && field.get("default").is_none(),
        })
    };
    schema["fields"].as_array()?.iter().map(spec).collect()
}

/// The type, and whether it may be null.
fn field_type(schema: &Value) -> Option<(FieldType, bool)> {
    if let Some(branches) = schema.as_array() {
        let branch = branches.iter().find(|branch| *branch != "null")?;
        return Some((field_type(branch)?.0, branches.len() > 1));
    }
    let name = schema.as_str().or_else(|| schema["type"].as_str())?;
    let ty = match (name, schema["logicalType"].as_str()) {
        ("string", None) => FieldType::Text,
        ("long", Some("timestamp-millis")) => FieldType::Time,
        ("int", Some("date")) => FieldType::Date,
        ("long" | "int", None) => FieldType::Int,
        ("double", None) => FieldType::Float,
        ("boolean", None) => FieldType::Bool,
        ("enum", None) => FieldType::Symbol(
            schema["symbols"]
                .as_array()?
                .iter()
                .map(|symbol| symbol.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        ),
        ("array", None) => FieldType::Records(record(&schema["items"])?),
        _ => return None,
    };
    Some((ty, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contract_is_read_with_its_types() {
        let names = |kind| -> Vec<&str> { fields(kind).iter().map(|f| f.name.as_str()).collect() };
        for kind in Kind::SCORED.into_iter().chain([Kind::Label]) {
            assert_eq!(names(kind)[..4], ["event_id", "event_time", "tenant", "account_id"]);
        }
        let spec = |kind, name: &str| fields(kind).iter().find(|f| f.name == name).unwrap();
        assert_eq!(spec(Kind::Transaction, "event_time").ty, FieldType::Time);
        assert_eq!(spec(Kind::Transaction, "lat").ty, FieldType::Float);
        assert!(!spec(Kind::Transaction, "recurring").required);
        assert!(!spec(Kind::Transaction, "tenant").required);
        assert!(spec(Kind::Transaction, "currency").required);
        assert!(!spec(Kind::Dispute, "due_by").required);
        assert_eq!(spec(Kind::Dispute, "due_by").ty, FieldType::Time);
        assert_eq!(spec(Kind::Invoice, "issued_on").ty, FieldType::Date);
        let FieldType::Records(lines) = &spec(Kind::Invoice, "lines").ty else {
            panic!("lines are records");
        };
        assert_eq!(lines.len(), 4);
        let FieldType::Symbol(authors) = &spec(Kind::Chat, "author").ty else {
            panic!("authors are symbols");
        };
        assert_eq!(authors[..], ["CUSTOMER", "BOT", "AGENT"]);
    }
}
