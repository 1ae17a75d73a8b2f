//! The schema files: contracts, and whatever other writers there are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroResult, Schema};

use crate::avro::{Decoder, Writer};
use crate::contract::Topic;
use crate::error::Unreadable;
use crate::fingerprint::{self, Fingerprint};

/// Fields the judge reads of every output; inputs are checked by their own rules.
const FIELDS: [(&str, &[&str]); 5] = [
    (
        "weir.Decision",
        &[
            "decision_id",
            "event_id",
            "event_time",
            "tenant",
            "account_id",
            "kind",
            "subject_id",
            "decided_at",
            "outcome",
            "reasons",
            "fields",
            "source",
        ],
    ),
    (
        "weir.Escalation",
        &[
            "escalation_id",
            "decision_id",
            "tenant",
            "account_id",
            "kind",
            "subject_id",
            "event_time",
            "created_at",
            "outcome",
            "queue",
            "priority",
        ],
    ),
    (
        "weir.DeadLetter",
        &[
            "topic",
            "partition",
            "offset",
            "timestamp",
            "stage",
            "code",
            "payload_hash",
            "payload_bytes",
            "payload",
        ],
    ),
    ("weir.Rollup", &["outcomes", "rules"]),
    ("weir.Touch", &["partition", "events"]),
];

/// Every schema found in the folders given.
#[derive(Debug)]
pub struct Schemas {
    known: Vec<Known>,
    /// writers that were not known at first
    late: HashSet<Fingerprint>,
}

/// A schema and what it is told by.
#[derive(Debug)]
pub struct Known {
    fingerprint: Fingerprint,
    name: String,
    schema: Schema,
}

impl Known {
    /// Reads a schema's JSON.
    ///
    /// # Errors
    /// When it is no schema of Avro.
    pub fn parse(text: &str) -> AvroResult<Known> {
        let schema = Schema::parse_str(text)?;
        // it parsed as a schema, so it parses as JSON
        let json = serde_json::from_str(text).unwrap_or_default();
        let fingerprint = fingerprint::fingerprint(&json);
        let name = schema.name().map(ToString::to_string).unwrap_or_default();
        Ok(Known { fingerprint, name, schema })
    }
}

impl Schemas {
    /// Reads all `.avsc` files. The first schema of a name is its contract, later ones are further
    /// writers.
    ///
    /// # Errors
    /// When a file cannot be read or a contract is missing.
    pub fn load(folders: &[PathBuf], late_folders: &[PathBuf]) -> Result<Schemas, Unreadable> {
        let mut known: Vec<Known> = Vec::new();
        let mut late = HashSet::new();
        for folder in late_folders {
            for path in files_of(folder)? {
                late.insert(load_one(&path)?.fingerprint);
            }
        }
        for folder in folders.iter().chain(late_folders) {
            for path in files_of(folder)? {
                let found = load_one(&path)?;
                // of two with one canonical form the contract goes first: the bytes are the same
                if !known.iter().any(|k| k.fingerprint == found.fingerprint) {
                    known.push(found);
                }
            }
        }
        let schemas = Schemas { known, late };
        for topic in Topic::ALL {
            schemas.contract(topic)?;
        }
        schemas.require_fields()?;
        Ok(schemas)
    }

    /// Whether records of this writer may have been refused before it became known.
    pub fn is_late(&self, fingerprint: &Fingerprint) -> bool {
        self.late.contains(fingerprint)
    }

    fn require_fields(&self) -> Result<(), Unreadable> {
        for (name, fields) in FIELDS {
            let known = self.known.iter().find(|known| known.name == name);
            let Some(Schema::Record(record)) = known.map(|known| &known.schema) else {
                return Err(Unreadable::NoContract(name));
            };
            if let Some(field) = fields.iter().find(|f| !record.lookup.contains_key(**f)) {
                let (schema, field) = (name, *field);
                return Err(Unreadable::NoField { schema, field });
            }
        }
        Ok(())
    }

    fn contract(&self, topic: Topic) -> Result<&Known, Unreadable> {
        let mut known = self.known.iter();
        known
            .find(|known| known.name == topic.schema())
            .ok_or(Unreadable::NoContract(topic.schema()))
    }

    /// Encodes values of the topic's contract again, unframed and unchecked.
    ///
    /// # Errors
    /// When the contract is missing or refers to types it does not define.
    pub fn writer(&self, topic: Topic) -> Result<GenericDatumWriter<'_>, Unreadable> {
        let builder = GenericDatumWriter::builder(&self.contract(topic)?.schema).validate(false);
        builder.build().map_err(|source| Unreadable::Contract {
            schema: topic.schema(),
            source: Box::new(source),
        })
    }

    /// What reads the topic's records, whoever wrote them; `confluent` says whether a registry
    /// knows writers too.
    ///
    /// # Errors
    /// When the contract is missing.
    pub fn decoder(&self, topic: Topic, confluent: bool) -> Result<Decoder<'_>, Unreadable> {
        let contract = self.contract(topic)?;
        let writers = self.known.iter().map(|known| (known.fingerprint, writer(known, contract)));
        Ok(Decoder { writers: writers.collect(), by_id: confluent.then(RwLock::default) })
    }

    /// What a schema of the registry is to the topic.
    ///
    /// # Errors
    /// When the contract is missing.
    pub fn learn<'s>(
        &'s self,
        topic: Topic,
        known: &'s Known,
    ) -> Result<(Fingerprint, Writer<'s>), Unreadable> {
        Ok((known.fingerprint, writer(known, self.contract(topic)?)))
    }
}

fn writer<'s>(known: &'s Known, contract: &'s Known) -> Writer<'s> {
    match known.name == contract.name {
        false => Writer::OtherName,
        true => reader(known, contract).map_or(Writer::Incompatible, Writer::Readable),
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let unreadable = |source| Unreadable::File { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "avsc") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn load_one(path: &Path) -> Result<Known, Unreadable> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Unreadable::File { path: path.to_owned(), source })?;
    Known::parse(&text)
        .map_err(|source| Unreadable::Schema { path: path.to_owned(), source: Box::new(source) })
}

/// `None` when the writer's schema cannot be resolved to the contract.
fn reader<'s>(writer: &'s Known, contract: &'s Known) -> Option<GenericDatumReader<'s>> {
    let same = writer.fingerprint == contract.fingerprint;
    if !same && SchemaCompatibility::can_read(&writer.schema, &contract.schema).is_err() {
        return None;
    }
    let read: AvroResult<_> = GenericDatumReader::builder(&writer.schema)
        .maybe_reader_schema((!same).then_some(&contract.schema))
        .build();
    read.ok()
}
