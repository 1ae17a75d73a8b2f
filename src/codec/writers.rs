//! The schemas that producers may have written with, by fingerprint.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_avro_fast::Schema;
use serde_json::Value;

use super::Contract;
use super::resolution::{name_of, unreadable};

/// One schema that records were written with.
#[derive(Debug)]
pub(super) struct Writer {
    /// full name of its record
    pub(super) name: String,
    /// what it is read as; `None`: no record of ours
    pub(super) contract: Option<Contract>,
    /// why it cannot be read as ours, where it cannot
    pub(super) incompatible: Option<String>,
    pub(super) schema: Schema,
}

impl Writer {
    /// Reads a schema's text.
    ///
    /// # Errors
    /// What is wrong with it, if it is not the schema of a named record.
    pub(super) fn parse(text: &str) -> Result<Writer, String> {
        let schema = wire_schema(text)?;
        let reference = apache_avro::Schema::parse_str(text).map_err(|error| error.to_string())?;
        let apache_avro::Schema::Record(record) = &reference else {
            return Err(format!("it is {}, expected a record", name_of(&reference)));
        };
        let name = record.name.to_string();
        let contract = contract_of(&name);
        let incompatible = contract.and_then(|ours| unreadable(&reference, ours.reference()));
        Ok(Writer { name, contract, incompatible, schema })
    }
}

/// All schemas that records may have been written with.
#[derive(Debug, Default)]
pub struct Writers {
    by_fingerprint: HashMap<[u8; 8], Writer>,
}

impl Writers {
    /// The built-in contracts as writers.
    pub fn built_in() -> Writers {
        let mut writers = Writers::default();
        for contract in Contract::ALL {
            // the contracts are known to parse: a test does it for each
            if let Err(error) = writers.add(contract.text()) {
                tracing::error!(?contract, %error, "built-in schema refused");
            }
        }
        writers
    }

    /// Adds every `.avsc` file of a folder. A folder that is not there adds nothing.
    ///
    /// # Errors
    /// At the first file that cannot be read or is not a schema of a named record.
    pub fn add_folder(&mut self, folder: &Path) -> Result<(), SchemaError> {
        if !folder.exists() {
            return Ok(());
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| SchemaError::Read { path, source }
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io(folder))? {
            let path = entry.map_err(io(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "avsc") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(io(&path))?;
            self.add(&text).map_err(|reason| SchemaError::Invalid { path, reason })?;
        }
        Ok(())
    }

    /// Adds one schema.
    ///
    /// # Errors
    /// What is wrong with it, if it is not the schema of a named record.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let writer = Writer::parse(text)?;
        self.by_fingerprint.insert(*writer.schema.rabin_fingerprint(), writer);
        Ok(())
    }

    pub(super) fn get(&self, fingerprint: &[u8; 8]) -> Option<&Writer> {
        self.by_fingerprint.get(fingerprint)
    }
}

/// The schema as bytes are read with it: without logical types. They do not change what is on the
/// wire, nor the fingerprint, but the fast path would compute decimals only to skip them, and refuse
/// a record for one of more digits than it can compute.
fn wire_schema(text: &str) -> Result<Schema, String> {
    let mut json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    drop_logical_types(&mut json);
    json.to_string().parse().map_err(|error| format!("{error}"))
}

fn drop_logical_types(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(drop_logical_types),
        Value::Object(fields) => {
            fields.remove("logicalType");
            fields.values_mut().for_each(drop_logical_types);
        }
        _ => {}
    }
}

/// The contract that has this full name, or knows it as an alias.
fn contract_of(name: &str) -> Option<Contract> {
    Contract::ALL.iter().copied().find(|contract| match contract.reference() {
        apache_avro::Schema::Record(record) => {
            record.name.to_string() == name
                || record.aliases.iter().flatten().any(|alias| {
                    alias.fully_qualified_name(record.name.namespace()).to_string() == name
                })
        }
        _ => false,
    })
}

/// Why a schema file is not used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// it cannot be read
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// the file
        path: PathBuf,
        /// why not
        source: std::io::Error,
    },
    /// it is not the schema of a named record
    #[error("{}: not an Avro schema of a record: {reason}", path.display())]
    Invalid {
        /// the file
        path: PathBuf,
        /// what is wrong
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoder, Encoder, json};
    use crate::event::{Kind, Position};
    use crate::log::Record;

    #[test]
    fn a_field_that_ours_lacks_may_be_a_decimal_of_any_size() {
        let line = r#"{"kind":"label","event_id":"e","event_time":1769853600000,"account_id":"a",
            "subject_kind":"CHAT","subject_id":"s1","verdict":"FRAUD","source":"x"}"#;
        let event = json::from_line(line).unwrap();
        let mut payload = Vec::new();
        Encoder::default().encode_event(&event, &mut payload).unwrap();
        // thirty bytes are more than the fast path computes with
        let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":70,"scale":2}"#;
        let added = format!(r#""fields": [{{"name":"added","type":{decimal}}},"#);
        let text = Contract::Label.text().replacen("\"fields\": [", &added, 1);
        let mut writers = Writers::default();
        writers.add(&text).unwrap();
        let schema: Schema = text.parse().unwrap();
        payload[2..10].copy_from_slice(schema.rabin_fingerprint());
        payload.splice(10..10, std::iter::once(60).chain([7; 30]));
        let position = Position { topic: Kind::Label.topic(), partition: 0, offset: 0 };
        let key = Some(&b"default/a"[..]);
        let record = Record::new(position, 1_769_853_600_000, key, &payload, Vec::new());
        let decoder = Decoder::new(writers);
        assert_eq!(decoder.decode(&record).map(|d| d.event), Ok(event));
    }
}
