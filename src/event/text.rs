//! Leaf types of the contracts: text that borrows where it can, times and dates that are numbers
//! on the wire and ISO 8601 for people.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// UTF-8 text, borrowed from the record it was read from wherever the format allows.
///
/// `Cow` alone would not do: serde fills an `Option<Cow<str>>` with an owned copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'a> Text<'a> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text on its own allocation, for whoever outlives the record.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// Another handle on the same text, without copying it.
    pub fn borrow(&'a self) -> Text<'a> {
        Text(Cow::Borrowed(&self.0))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(v)))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }

            fn visit_string<E: de::Error>(self, v: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v)))
            }

            // Avro lets a writer's bytes be read as a string
            fn visit_borrowed_bytes<E: de::Error>(self, v: &'de [u8]) -> Result<Self::Value, E> {
                std::str::from_utf8(v).map(Text::from).map_err(E::custom)
            }

            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
                let text = std::str::from_utf8(v).map_err(E::custom)?;
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Reads RFC 3339 too; shown as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

impl Millis {
    /// As files and commands write it: RFC 3339, or a date, which is the moment it begins in UTC.
    pub fn of_date_or_time(text: &str) -> Option<Millis> {
        const DATE_CHARS: usize = "2026-01-31".len();
        let at = match text.len() {
            DATE_CHARS => {
                let date: jiff::civil::Date = text.parse().ok()?;
                jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?
            }
            _ => text.parse().ok()?,
        };
        Some(Millis(at.as_millisecond()))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MillisVisitor;

        impl Visitor<'_> for MillisVisitor {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a time: milliseconds since 1970, or RFC 3339 such as 2026-01-31T10:00:00Z",
                )
            }

            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Millis, E> {
                Ok(Millis(v))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Millis, E> {
                i64::try_from(v)
                    .map(Millis)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Millis, E> {
                v.parse::<jiff::Timestamp>()
                    .map(|timestamp| Millis(timestamp.as_millisecond()))
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(v), &self))
            }
        }

        deserializer.deserialize_any(MillisVisitor)
    }
}

/// A calendar day: days since 1970-01-01. Reads `YYYY-MM-DD` too; shown as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(pub i32);

impl Date {
    fn civil(self) -> Option<jiff::civil::Date> {
        let days = jiff::Span::new().try_days(self.0).ok()?;
        jiff::civil::date(1970, 1, 1).checked_add(days).ok()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.civil() {
            Some(date) => write!(f, "{date}"),
            None => write!(f, "{} days", self.0),
        }
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = Date;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date such as 2026-01-31, or days since 1970")
            }

            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Date, E> {
                i32::try_from(v)
                    .map(Date)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(v), &self))
            }

            fn visit_i32<E: de::Error>(self, v: i32) -> Result<Date, E> {
                Ok(Date(v))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Date, E> {
                i32::try_from(v)
                    .map(Date)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Date, E> {
                let invalid = || E::invalid_value(de::Unexpected::Str(v), &self);
                let date: jiff::civil::Date = v.parse().map_err(|_| invalid())?;
                let days = jiff::civil::date(1970, 1, 1)
                    .until((jiff::Unit::Day, date))
                    .map_err(|_| invalid())?
                    .get_days();
                Ok(Date(days))
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_borrows_from_json_without_escapes_even_inside_an_option() {
        let text: Option<Text<'_>> = serde_json::from_str("\"plain\"").unwrap();
        assert!(matches!(text, Some(Text(Cow::Borrowed("plain")))));
        let text: Text<'_> = serde_json::from_str("\"a\\nb\"").unwrap();
        assert_eq!(text.as_str(), "a\nb");
    }

    #[test]
    fn a_date_or_time_is_a_moment_or_the_beginning_of_a_day() {
        for (text, expected) in [
            ("2026-01-31", Some("2026-01-31T00:00:00.000Z")),
            ("2026-01-31T10:00:00Z", Some("2026-01-31T10:00:00.000Z")),
            ("2026-01-31T10:00:00.5+02:00", Some("2026-01-31T08:00:00.500Z")),
            ("2026-02-30", None),
            ("2026-01-31T10:00:00", None),
            ("20260131", None),
            ("tomorrow", None),
            ("", None),
        ] {
            let found = Millis::of_date_or_time(text).map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn times_and_dates_read_back_as_they_were_shown() {
        for ms in [0, 1_522_540_831_000, 4_102_444_800_123, -1] {
            let json = format!("\"{}\"", Millis(ms));
            assert_eq!(serde_json::from_str::<Millis>(&json).unwrap(), Millis(ms), "{json}");
        }
        for days in [0, 17_622, -400, 60_000] {
            let json = format!("\"{}\"", Date(days));
            assert_eq!(serde_json::from_str::<Date>(&json).unwrap(), Date(days), "{json}");
        }
        assert_eq!(serde_json::from_str::<Millis>("12").unwrap(), Millis(12));
        let error = serde_json::from_str::<Date>("\"2018-13-01\"").unwrap_err().to_string();
        assert!(error.contains("2018-13-01") && error.contains("a date such as"), "{error}");
    }
}
