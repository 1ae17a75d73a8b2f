//! A schema's fingerprint: CRC-64-AVRO of its parsing canonical form, as Avro's reference
//! implementation in Java computes it.
//!
//! From the JSON, because `apache-avro` 0.22 goes another way: it writes a primitive that carries a
//! logical type as `{"type":"long"}`, where Java (and `serde_avro_fast`) write `"long"`. The
//! specification's list of rules allows both readings; the producers out there follow Java. Every
//! contract has times in it, so no fingerprint would agree.

use serde_json::Value;

/// A fingerprint in the byte order of the framing, little endian.
pub type Fingerprint = [u8; 8];

const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The fingerprint of a schema.
pub fn fingerprint(schema: &Value) -> Fingerprint {
    let mut form = String::new();
    write_canonical(schema, "", &mut form);
    crc64(form.as_bytes()).to_le_bytes()
}

fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = EMPTY;
    for byte in bytes {
        let mut low = (crc ^ u64::from(*byte)) & 0xff;
        for _ in 0..8 {
            low = (low >> 1) ^ (EMPTY * (low & 1));
        }
        crc = (crc >> 8) ^ low;
    }
    crc
}

/// Writes the parsing canonical form; names are completed with the namespace around them.
fn write_canonical(schema: &Value, namespace: &str, into: &mut String) {
    match schema {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => write_text(name, into),
        Value::String(name) => write_text(&full_name(name, namespace), into),
        Value::Array(variants) => write_list(variants, into, |variant, into| {
            write_canonical(variant, namespace, into);
        }),
        Value::Object(_) => match &schema["type"] {
            Value::String(kind) if kind == "array" => {
                write_holder("array", "items", schema, namespace, into);
            }
            Value::String(kind) if kind == "map" => {
                write_holder("map", "values", schema, namespace, into);
            }
            Value::String(kind) if matches!(kind.as_str(), "record" | "enum" | "fixed") => {
                write_named(kind, schema, namespace, into);
            }
            // a primitive or a reference with attributes that are not part of the form
            inner => write_canonical(inner, namespace, into),
        },
        _ => {}
    }
}

fn write_holder(kind: &str, of: &str, schema: &Value, namespace: &str, into: &mut String) {
    into.push_str(&format!("{{\"type\":\"{kind}\",\"{of}\":"));
    write_canonical(&schema[of], namespace, into);
    into.push('}');
}

fn write_named(kind: &str, schema: &Value, around: &str, into: &mut String) {
    let name = schema["name"].as_str().unwrap_or_default();
    let name = full_name(name, schema["namespace"].as_str().unwrap_or(around));
    let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
    into.push_str("{\"name\":");
    write_text(&name, into);
    into.push_str(&format!(",\"type\":\"{kind}\""));
    if let Value::Array(fields) = &schema["fields"] {
        into.push_str(",\"fields\":");
        write_list(fields, into, |field, into| {
            into.push_str("{\"name\":");
            write_text(field["name"].as_str().unwrap_or_default(), into);
            into.push_str(",\"type\":");
            write_canonical(&field["type"], namespace, into);
            into.push('}');
        });
    }
    if let Value::Array(symbols) = &schema["symbols"] {
        into.push_str(",\"symbols\":");
        write_list(symbols, into, |symbol, into| {
            write_text(symbol.as_str().unwrap_or_default(), into);
        });
    }
    if let Some(size) = schema["size"].as_u64() {
        into.push_str(&format!(",\"size\":{size}"));
    }
    into.push('}');
}

fn full_name(name: &str, namespace: &str) -> String {
    match namespace.is_empty() || name.contains('.') {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

fn write_list(items: &[Value], into: &mut String, write: impl Fn(&Value, &mut String)) {
    into.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            into.push(',');
        }
        write(item, into);
    }
    into.push(']');
}

fn write_text(text: &str, into: &mut String) {
    into.push_str(&Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use apache_avro::Schema;
    use apache_avro::rabin::Rabin;
    use serde_json::json;

    use super::*;

    #[test]
    fn fingerprints_are_those_of_the_specifications_test_vectors() {
        for (schema, expected) in [
            (json!("null"), 7_195_948_357_588_979_594_i64),
            (json!({ "type": "boolean" }), -6_970_731_678_124_411_036),
            (json!("int"), 8_247_732_601_305_521_295),
            (
                json!({ "type": "long", "logicalType": "timestamp-millis" }),
                -3_434_872_931_120_570_953,
            ),
        ] {
            assert_eq!(i64::from_le_bytes(fingerprint(&schema)), expected, "{schema}");
        }
    }

    #[test]
    fn schemas_without_logical_types_agree_with_apache_avro() {
        for schema in [
            json!({ "type": "record", "name": "R", "namespace": "a.b", "doc": "é", "fields": [
                { "name": "self", "type": ["null", "R"], "default": null },
                { "name": "e", "type": { "type": "enum", "name": "E", "symbols": ["X", "Y"], "default": "X" } },
                { "name": "f", "type": { "type": "fixed", "name": "other.F", "size": 16 } },
                { "name": "again", "type": { "type": "map", "values": "other.F" } },
                { "name": "l", "type": { "type": "array", "items": { "type": "string" } } },
            ] }),
            json!(["null", { "type": "array", "items": "double" }]),
        ] {
            let theirs = Schema::parse_str(&schema.to_string()).unwrap();
            let theirs = theirs.fingerprint::<Rabin>().bytes;
            assert_eq!(fingerprint(&schema).to_vec(), theirs, "{schema}");
        }
    }

    #[test]
    fn docs_defaults_and_logical_types_are_no_part_of_it() {
        let plain = json!({ "type": "record", "name": "weir.R", "fields": [
            { "name": "at", "type": "long" }, { "name": "day", "type": ["null", "int"] },
        ] });
        let dressed = json!({ "name": "R", "doc": "…", "namespace": "weir", "type": "record", "fields": [
            { "name": "at", "doc": "…", "type": { "logicalType": "timestamp-millis", "type": "long" } },
            { "name": "day", "type": ["null", { "type": "int", "logicalType": "date" }], "default": null },
        ] });
        assert_eq!(fingerprint(&plain), fingerprint(&dressed));
    }
}
