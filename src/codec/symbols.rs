//! Enums behind unions. Where a record's enum is expected and the writer has a union, the fast path
//! gives the name of the branch's type for the symbol: `["null", Channel]` would be read as the
//! unknown symbol `weir.Channel`, which stands for `OTHER`, whatever was written. Asked for a text
//! it gives the symbol itself, through unions too; so this asks for a text.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Unexpected, Visitor};

/// Reads a record whose enums may stand in unions.
pub(super) struct Fields<D>(pub(super) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Fields<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Record(visitor))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Record<T>(T);

impl<'de, V: Visitor<'de>> Visitor<'de> for Record<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Record(map))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Record<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Field(seed))
    }
}

struct Field<T>(T);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Field<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Field(deserializer))
    }
}

macro_rules! as_before {
    ($($method:ident($($argument:ident: $ty:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(
            self,
            $($argument: $ty,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Field<D> {
    type Error = D::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _symbols: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_str(Symbol(visitor))
    }

    as_before! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32()
        deserialize_i64() deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32()
        deserialize_u64() deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char()
        deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_option() deserialize_unit() deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str) deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize) deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// A text as the symbol of an enum.
struct Symbol<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Symbol<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, symbol: &str) -> Result<V::Value, E> {
        self.0.visit_enum(StrDeserializer::new(symbol))
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        Err(E::invalid_type(Unexpected::Other("null"), &self.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{Contract, Decoder, Encoder, Refusal, Writers, json};
    use crate::event::{Code, Event, Kind, Position, Verdict};
    use crate::log::Record;

    const ENUM: &str = r#"{"type":"enum","name":"Verdict","symbols":["FRAUD","GENUINE","FIRST_PARTY","UNKNOWN"],"default":"UNKNOWN"}"#;

    /// The verdict of a label whose writer has this type for it, written as these bytes.
    fn verdict(ty: &str, bytes: &[u8]) -> Result<Verdict, Refusal> {
        let own = Contract::Label.text().replace(['\n', ' '], "");
        let text = own.replace(ENUM, &ty.replace("VERDICT", ENUM));
        assert_ne!(own, text);
        let mut writers = Writers::default();
        writers.add(&text).unwrap();

        let line = r#"{"kind":"label","event_id":"e","event_time":1769853600000,"account_id":"a",
            "subject_kind":"CHAT","subject_id":"s1","verdict":"FRAUD","source":"x"}"#;
        let mut payload = Vec::new();
        let event = json::from_line(line).unwrap();
        Encoder::default().encode_event(&event, &mut payload).unwrap();
        let schema: serde_avro_fast::Schema = text.parse().unwrap();
        payload[2..10].copy_from_slice(schema.rabin_fingerprint());
        let after = payload.windows(3).position(|w| w == b"\x04s1").unwrap() + 3;
        payload.splice(after..=after, bytes.iter().copied());
        let position = Position { topic: Kind::Label.topic(), partition: 0, offset: 0 };
        let key = Some(&b"default/a"[..]);
        let record = Record::new(position, 1_769_853_600_000, key, &payload, Vec::new());
        let decoder = Decoder::new(writers);
        match decoder.decode(&record).map_err(|error| error.refusal().unwrap())?.event {
            Event::Label(label) => Ok(label.verdict),
            other => panic!("not a label: {other:?}"),
        }
    }

    #[test]
    fn an_enum_in_a_union_keeps_its_symbol_and_null_is_refused() {
        for (ty, bytes, expected) in [
            (r#"["null",VERDICT]"#, &[2, 0][..], Verdict::Fraud),
            (r#"[VERDICT,"null"]"#, &[0, 2], Verdict::Genuine),
            ("[VERDICT]", &[0, 4], Verdict::FirstParty),
        ] {
            assert_eq!(verdict(ty, bytes), Ok(expected), "{ty}");
        }
        let refusal = verdict(r#"["null",VERDICT]"#, &[0]).unwrap_err();
        assert_eq!(refusal.code, Code::Malformed);
        let message = &refusal.message;
        assert!(message.contains("verdict") && message.contains("null"), "{message}");
    }
}
