//! The schemas of `schemas/`, built into the program: what weir reads and writes.

use std::sync::LazyLock;

use serde_avro_fast::Schema;

use crate::event::{Kind, Topic};

macro_rules! contracts {
    ($($variant:ident = $file:literal, $doc:literal;)*) => {
        /// A kind of record with a contract of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Contract { $(#[doc = $doc] $variant,)* }

        impl Contract {
            /// Every contract.
            pub const ALL: &'static [Contract] = &[$(Contract::$variant,)*];

            /// The schema file's text.
            pub fn text(self) -> &'static str {
                match self {
                    $(Contract::$variant => include_str!(concat!("../../schemas/", $file, ".avsc")),)*
                }
            }

            /// The schema as the fast path reads and writes it.
            pub fn schema(self) -> &'static Schema {
                match self {
                    $(Contract::$variant => {
                        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(Contract::$variant));
                        &SCHEMA
                    })*
                }
            }

            /// The schema as the reference library reads it.
            pub fn reference(self) -> &'static apache_avro::Schema {
                match self {
                    $(Contract::$variant => {
                        static SCHEMA: LazyLock<apache_avro::Schema> =
                            LazyLock::new(|| parse_reference(Contract::$variant));
                        &SCHEMA
                    })*
                }
            }
        }
    };
}

contracts! {
    Transaction = "transaction", "a payment's step";
    Dispute = "dispute", "a contested payment";
    Chat = "chat", "a message of a support conversation";
    Invoice = "invoice", "a bill or an expense claim";
    Label = "label", "a verdict on an earlier event";
    Decision = "decision", "what was decided";
    Escalation = "escalation", "a decision for a person";
    DeadLetter = "dead_letter", "a record without decision";
    Rollup = "rollup", "what a commit decided, counted";
    Touch = "touch", "what a batch did to entities";
    Fired = "fired", "a deadline that has fired";
    Control = "control", "a change of what the workers use";
    Delivery = "delivery", "how a delivery ended";
}

impl Contract {
    /// The contract of a kind of event.
    pub fn of(kind: Kind) -> Contract {
        match kind {
            Kind::Transaction => Contract::Transaction,
            Kind::Dispute => Contract::Dispute,
            Kind::Chat => Contract::Chat,
            Kind::Invoice => Contract::Invoice,
            Kind::Label => Contract::Label,
        }
    }

    /// What the records of a topic are.
    pub fn of_topic(topic: Topic) -> Contract {
        match topic {
            Topic::Transactions => Contract::Transaction,
            Topic::Disputes => Contract::Dispute,
            Topic::Chats => Contract::Chat,
            Topic::Invoices => Contract::Invoice,
            Topic::Labels => Contract::Label,
            Topic::Decisions => Contract::Decision,
            Topic::Escalations => Contract::Escalation,
            Topic::DeadLetters => Contract::DeadLetter,
            Topic::Rollups => Contract::Rollup,
            Topic::Touches => Contract::Touch,
            Topic::Fired => Contract::Fired,
            Topic::Control => Contract::Control,
            Topic::Deliveries => Contract::Delivery,
        }
    }

    /// Names of the record's fields, in order.
    pub fn field_names(self) -> Vec<&'static str> {
        match self.reference() {
            apache_avro::Schema::Record(record) => {
                record.fields.iter().map(|field| field.name.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[allow(clippy::panic, reason = "the files are part of the program; a test parses each")]
fn parse(contract: Contract) -> Schema {
    match contract.text().parse() {
        Ok(schema) => schema,
        Err(error) => panic!("built-in schema {contract:?}: {error}"),
    }
}

#[allow(clippy::panic, reason = "the files are part of the program; a test parses each")]
fn parse_reference(contract: Contract) -> apache_avro::Schema {
    match apache_avro::Schema::parse_str(contract.text()) {
        Ok(schema) => schema,
        Err(error) => panic!("built-in schema {contract:?}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::rabin::Rabin;
    use serde_json::Value;
    use sha2::digest::Digest as _;

    use super::*;

    /// Avro's Parsing Canonical Form, rule by rule. `apache-avro` cannot be asked: it keeps
    /// `{"type":"long"}` where a logical type was stripped and does not inherit namespaces.
    fn canonical(schema: &Value, namespace: &str) -> String {
        const PRIMITIVES: [&str; 8] =
            ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
        match schema {
            Value::String(name) if PRIMITIVES.contains(&name.as_str()) => format!("\"{name}\""),
            Value::String(name) if name.contains('.') => format!("\"{name}\""),
            Value::String(name) => format!("\"{namespace}.{name}\""),
            Value::Array(branches) => {
                let branches: Vec<String> =
                    branches.iter().map(|branch| canonical(branch, namespace)).collect();
                format!("[{}]", branches.join(","))
            }
            Value::Object(fields) => {
                let namespace =
                    fields.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
                let name = || format!("\"{namespace}.{}\"", fields["name"].as_str().unwrap());
                match fields["type"].as_str().unwrap() {
                    "record" => {
                        let fields: Vec<String> = fields["fields"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|field| {
                                let ty = canonical(&field["type"], namespace);
                                format!("{{\"name\":{},\"type\":{ty}}}", field["name"])
                            })
                            .collect();
                        let fields = fields.join(",");
                        format!("{{\"name\":{},\"type\":\"record\",\"fields\":[{fields}]}}", name())
                    }
                    "enum" => {
                        let symbols = fields["symbols"].to_string();
                        format!("{{\"name\":{},\"type\":\"enum\",\"symbols\":{symbols}}}", name())
                    }
                    "array" => {
                        let items = canonical(&fields["items"], namespace);
                        format!("{{\"type\":\"array\",\"items\":{items}}}")
                    }
                    "map" => {
                        let values = canonical(&fields["values"], namespace);
                        format!("{{\"type\":\"map\",\"values\":{values}}}")
                    }
                    primitive => format!("\"{primitive}\""),
                }
            }
            other => unreachable!("not a schema: {other}"),
        }
    }

    #[test]
    fn fingerprints_are_those_of_the_canonical_form_that_every_producer_computes() {
        for contract in Contract::ALL {
            let text = canonical(&serde_json::from_str(contract.text()).unwrap(), "");
            let fingerprint = Rabin::digest(text.as_bytes());
            assert_eq!(fingerprint[..], contract.schema().rabin_fingerprint()[..], "{text}");
        }
    }

    #[test]
    fn every_contract_is_read_by_the_reference_library_too() {
        for contract in Contract::ALL {
            assert!(!contract.field_names().is_empty(), "{contract:?}");
        }
    }
}
