//! Whether records of a writer's schema can be read as ours, decided once per schema by Avro's
//! rules (Schema Resolution), before serde reads any of them.
//!
//! Serde alone is too kind: it would take microseconds for milliseconds, a text for a time, a
//! decimal for a number. The reference library's own check knows neither logical types nor names
//! that refer to an enum defined before. Two rules are stricter than Avro's, so that a producer's
//! mistake shows in its first record: the meanings of logical types must agree, and every branch of
//! a union, null aside, must be readable. What only a value can tell (null where a value must be, an
//! unknown symbol) is refused with that value.

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, Name, RecordSchema, ResolvedSchema, UuidSchema};
use std::collections::HashMap;

/// Why not, or `None` where `writer` can be read as `reader`. Names field, type found and type
/// expected.
pub(super) fn unreadable(writer: &Schema, reader: &Schema) -> Option<String> {
    let (theirs, ours) = match (ResolvedSchema::new(writer), ResolvedSchema::new(reader)) {
        (Ok(theirs), Ok(ours)) => (theirs, ours),
        (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
    };
    let check = Check { names: theirs.get_names(), our_names: ours.get_names() };
    check.value("the record", writer, reader).err()
}

struct Check<'a> {
    /// what the writer's schema refers to by name
    names: &'a HashMap<Name, &'a Schema>,
    /// what ours refers to by name
    our_names: &'a HashMap<Name, &'a Schema>,
}

impl Check<'_> {
    fn value(&self, field: &str, writer: &Schema, reader: &Schema) -> Result<(), String> {
        let mismatch = || {
            let (found, expected) = (name_of(writer), name_of(reader));
            Err(format!("{field} is {found}, expected {expected}"))
        };
        match (writer, reader) {
            (Schema::Ref { name }, _) => match self.names.get(name) {
                Some(writer) => self.value(field, writer, reader),
                None => mismatch(),
            },
            (_, Schema::Ref { name }) => match self.our_names.get(name) {
                Some(reader) => self.value(field, writer, reader),
                None => mismatch(),
            },
            (Schema::Union(branches), _) => {
                let nullable = is_nullable(reader);
                let mut values = branches.variants().iter().filter(|b| **b != Schema::Null);
                if !nullable && values.clone().next().is_none() {
                    return mismatch();
                }
                values.try_for_each(|branch| self.value(field, branch, reader))
            }
            (Schema::Null, reader) if is_nullable(reader) => Ok(()),
            (_, Schema::Union(branches)) => {
                let ours = branches.variants().iter().filter(|b| **b != Schema::Null);
                let mut tried = ours.map(|ours| self.value(field, writer, ours)).peekable();
                let first = tried.peek().cloned().unwrap_or_else(mismatch);
                if tried.any(|fits| fits.is_ok()) { Ok(()) } else { first }
            }
            (Schema::Record(writer), Schema::Record(reader)) => self.record(field, writer, reader),
            (Schema::Enum(writer), Schema::Enum(reader)) => symbols(field, writer, reader),
            (Schema::Array(writer), Schema::Array(reader)) => {
                self.value(field, &writer.items, &reader.items)
            }
            (Schema::Map(writer), Schema::Map(reader)) => {
                self.value(field, &writer.types, &reader.types)
            }
            (writer, reader) if promotes(writer, reader) => Ok(()),
            _ => mismatch(),
        }
    }

    fn record(&self, at: &str, w: &RecordSchema, r: &RecordSchema) -> Result<(), String> {
        same_name(at, &w.name, &r.name)?;
        for ours in &r.fields {
            let path = match at {
                "the record" => ours.name.clone(),
                _ => format!("{at}.{}", ours.name),
            };
            let names = || std::iter::once(&ours.name).chain(&ours.aliases);
            let mut theirs = w.fields.iter().filter(|f| names().any(|n| *n == f.name));
            match (theirs.next(), theirs.next()) {
                (Some(theirs), None) => self.value(&path, &theirs.schema, &ours.schema)?,
                (Some(one), Some(two)) => {
                    let (one, two) = (&one.name, &two.name);
                    return Err(format!("{path} is there as {one} and as {two}, expected one"));
                }
                (None, _) if ours.default.is_some() => {}
                (None, _) => {
                    let expected = name_of(&ours.schema);
                    return Err(format!("{path} is absent, expected {expected}"));
                }
            }
        }
        Ok(())
    }
}

fn same_name(field: &str, writer: &Name, reader: &Name) -> Result<(), String> {
    // Avro compares names without namespace
    let (found, expected) = (writer.name(), reader.name());
    match found == expected {
        true => Ok(()),
        false => Err(format!("{field} is of type {found}, expected {expected}")),
    }
}

fn symbols(field: &str, writer: &EnumSchema, reader: &EnumSchema) -> Result<(), String> {
    same_name(field, &writer.name, &reader.name)?;
    let known = |symbol| reader.symbols.contains(symbol);
    if reader.default.is_none() && !writer.symbols.iter().any(known) {
        let (found, expected) = (writer.symbols.join(", "), reader.symbols.join(", "));
        return Err(format!("{field} is one of {found}, expected one of {expected}"));
    }
    Ok(())
}

fn is_nullable(reader: &Schema) -> bool {
    matches!(reader, Schema::Union(union) if union.variants().contains(&Schema::Null))
}

/// Whether a type is ours or becomes ours without a loss of meaning. Ours is one of the types that
/// our contracts have.
fn promotes(writer: &Schema, reader: &Schema) -> bool {
    use Schema::{Boolean, Bytes, Date, Double, Float, Int, Long, String, TimestampMillis, Uuid};
    matches!(
        (writer, reader),
        (Boolean, Boolean)
            | (Bytes, Bytes)
            | (Int, Int)
            | (Int | Long, Long)
            | (Int | Long | Float | Double, Double)
            | (String | Bytes | Uuid(UuidSchema::String), String)
            | (Int | Long | TimestampMillis, TimestampMillis)
            | (Int | Date, Date)
    )
}

/// A schema's type as people name it.
pub(super) fn name_of(schema: &Schema) -> String {
    match schema {
        Schema::Record(record) => format!("record {}", record.name.name()),
        Schema::Enum(symbols) => format!("enum {}", symbols.name.name()),
        Schema::Fixed(fixed) => format!("fixed {}", fixed.name.name()),
        Schema::Ref { name } => name.name().to_owned(),
        Schema::Array(array) => format!("array of {}", name_of(&array.items)),
        Schema::Map(map) => format!("map of {}", name_of(&map.types)),
        Schema::Union(union) => {
            let branches: Vec<String> = union.variants().iter().map(name_of).collect();
            format!("union of {}", branches.join(", "))
        }
        Schema::Decimal(_) => "decimal".to_owned(),
        Schema::Uuid(_) => "uuid".to_owned(),
        Schema::Duration(_) => "duration".to_owned(),
        // the others have no parts: their variant is their name
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Contract;

    fn why(contract: Contract, from: &str, to: &str) -> Option<String> {
        // a writer with both names of a field does not say that they are the same
        let aliases = ["card_token", "message"].map(|name| format!(r#","aliases":["{name}"]"#));
        let text = contract.text().replace(['\n', ' '], "");
        let text = text.replace(&aliases[0], "").replace(&aliases[1], "");
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from} is not in {text}");
        unreadable(&Schema::parse_str(&changed).unwrap(), contract.reference())
    }

    #[test]
    fn what_cannot_be_read_is_named_with_field_type_and_expectation() {
        let long = r#""name":"amount_minor","type":"long""#;
        let due = r#""null",{"type":"long","logicalType":"timestamp-millis"}"#;
        for (contract, from, to, parts) in [
            (
                Contract::Transaction,
                long,
                r#""name":"amount_minor","type":"double""#,
                ["amount_minor", "double", "long"],
            ),
            (
                Contract::Transaction,
                long,
                r#""name":"amount","type":"long""#,
                ["amount_minor", "absent", "long"],
            ),
            (
                Contract::Dispute,
                due,
                r#""null",{"type":"long","logicalType":"timestamp-micros"}"#,
                ["due_by", "timestampmicros", "timestampmillis"],
            ),
            (
                Contract::Dispute,
                due,
                r#""null","long","string""#,
                ["due_by", "string", "timestampmillis"],
            ),
            (
                Contract::Transaction,
                "TransactionStatus",
                "Status",
                ["status", "Status", "TransactionStatus"],
            ),
            (
                Contract::Invoice,
                r#""name":"unit_price_minor","type":"long""#,
                r#""name":"unit_price_minor","type":"string""#,
                ["lines.unit_price_minor", "string", "long"],
            ),
            (
                Contract::Chat,
                r#"{"name":"bot_intent""#,
                r#"{"name":"message","type":"string"},{"name":"bot_intent""#,
                ["text", "message", "one"],
            ),
        ] {
            let why = why(contract, from, to).unwrap_or_default();
            for part in parts {
                assert!(why.contains(part), "{to}: {why:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn every_contract_reads_what_it_writes() {
        for contract in Contract::ALL {
            let same = unreadable(contract.reference(), contract.reference());
            assert_eq!(same, None, "{contract:?}");
        }
    }

    #[test]
    fn an_enum_may_be_defined_anywhere_before() {
        let status = Schema::parse_str(Contract::Transaction.text()).unwrap();
        assert_eq!(unreadable(&status, Contract::Transaction.reference()), None);
        let shared = r#"{"name":"before","type":{"type":"enum","name":"Author","symbols":["BOT","CUSTOMER"]}},
            {"name":"author","type":"Author"}"#;
        let own = r#"{"name":"author","type":{"type":"enum","name":"Author","symbols":["CUSTOMER","BOT","AGENT"]}}"#;
        assert_eq!(why(Contract::Chat, own, shared), None);
    }
}
