//! Times as files write them, offsets on them, and times made up for rows that have none.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::Offset;

use super::decimal::{Decimal, Round};
use crate::event::{Date, Millis};

/// How a column writes a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TimeFormat {
    /// RFC 3339, with its own zone
    Rfc3339,
    /// seconds since 1970, a fraction allowed
    Unix,
    /// milliseconds since 1970
    UnixMillis,
    /// strptime directives; a time of day that is not written is midnight
    Pattern(String),
}

/// A moment, with the offset its calendar day is told in.
struct Moment {
    at: Timestamp,
    offset: Offset,
}

impl TimeFormat {
    /// The format of that name, or the pattern if it names year, month and day and can be read.
    pub(super) fn from_name(name: &str) -> Option<TimeFormat> {
        match name {
            "rfc3339" => Some(TimeFormat::Rfc3339),
            "unix" => Some(TimeFormat::Unix),
            "unix_millis" => Some(TimeFormat::UnixMillis),
            pattern => {
                // a pattern is good if what it writes can be read back as a day
                let sample = Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
                let written = strtime::format(pattern, &sample).ok()?;
                let format = TimeFormat::Pattern(pattern.to_owned());
                format.moment(&written, Offset::UTC).map(|_| format)
            }
        }
    }

    /// The time a text tells; `zone` holds where the text names none.
    pub(super) fn time(&self, text: &str, zone: Offset) -> Option<Millis> {
        let moment = self.moment(text, zone)?;
        Some(Millis(moment.at.as_millisecond()))
    }

    /// The calendar day a text tells, in the zone the text is written in.
    pub(super) fn date(&self, text: &str, zone: Offset) -> Option<Date> {
        let moment = self.moment(text, zone)?;
        date_of(moment.offset.to_datetime(moment.at))
    }

    fn moment(&self, text: &str, zone: Offset) -> Option<Moment> {
        let (at, offset) = match self {
            TimeFormat::Rfc3339 => (text.parse().ok()?, zone),
            TimeFormat::Unix => {
                let seconds = Decimal::parse(text)?;
                let millis = seconds.minor(3, Some(Round::Down)).ok()?;
                (Timestamp::from_millisecond(millis).ok()?, zone)
            }
            TimeFormat::UnixMillis => {
                let millis = text.parse().ok()?;
                (Timestamp::from_millisecond(millis).ok()?, zone)
            }
            TimeFormat::Pattern(pattern) => {
                let parts = BrokenDownTime::parse(pattern, text).ok()?;
                let offset = parts.offset().unwrap_or(zone);
                let at = match parts.timestamp() {
                    Some(at) => at,
                    None => offset.to_timestamp(parts.to_datetime().ok()?).ok()?,
                };
                (at, offset)
            }
        };
        Some(Moment { at, offset })
    }

    /// What a text in this format looks like, for messages.
    pub(super) fn example(&self) -> String {
        match self {
            TimeFormat::Rfc3339 => "an RFC 3339 time such as 2026-01-31T10:00:00Z".to_owned(),
            TimeFormat::Unix => "seconds since 1970".to_owned(),
            TimeFormat::UnixMillis => "milliseconds since 1970".to_owned(),
            TimeFormat::Pattern(pattern) => format!("a time written as {pattern}"),
        }
    }
}

fn date_of(datetime: DateTime) -> Option<Date> {
    let midnight = Offset::UTC
        .to_timestamp(datetime.date().to_datetime(jiff::civil::Time::midnight()))
        .ok()?;
    i32::try_from(midnight.as_second().div_euclid(86_400)).ok().map(Date)
}

/// An offset from UTC: `Z`, `+02:00`, `-0530`.
pub(super) fn zone(text: &str) -> Option<Offset> {
    match text {
        "Z" | "UTC" => Some(Offset::UTC),
        _ => BrokenDownTime::parse("%:z", text)
            .or_else(|_| BrokenDownTime::parse("%z", text))
            .ok()?
            .offset(),
    }
}

/// A length of time in milliseconds: a whole number and `ms`, `s`, `m`, `h` or `d`; a day has 24
/// hours, as times are UTC.
pub(super) fn duration_ms(text: &str) -> Option<i64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, text: &str, offset: &str) -> Option<String> {
        TimeFormat::from_name(format)
            .unwrap_or_else(|| panic!("{format} is a format"))
            .time(text, zone(offset).unwrap())
            .map(|time| time.to_string())
    }

    #[test]
    fn times_are_read_in_their_own_zone_or_the_given_one() {
        for (format, text, offset, expected) in [
            ("%Y-%m-%d %H:%M:%S", "2018-04-01 00:00:31", "UTC", "2018-04-01T00:00:31.000Z"),
            ("%Y-%m-%d %H:%M", "2002-09-01 06:21", "+02:00", "2002-09-01T04:21:00.000Z"),
            ("%Y-%m-%d", "2015-01-01", "-0530", "2015-01-01T05:30:00.000Z"),
            (
                "%d/%m/%Y %H:%M:%S%.f %z",
                "31/12/2019 23:59:59.25 +0100",
                "UTC",
                "2019-12-31T22:59:59.250Z",
            ),
            ("rfc3339", "2019-11-01T01:27:15+01:00", "UTC", "2019-11-01T00:27:15.000Z"),
            ("unix", "1325376018.5", "UTC", "2012-01-01T00:00:18.500Z"),
            ("unix", "-0.0015", "UTC", "1969-12-31T23:59:59.999Z"),
            ("unix_millis", "1325376018007", "UTC", "2012-01-01T00:00:18.007Z"),
        ] {
            assert_eq!(read(format, text, offset).as_deref(), Some(expected), "{text}");
        }
        for (format, text) in [
            ("%Y-%m-%d", "2018-13-01"),
            ("%Y-%m-%d", "2018-02-30"),
            ("%Y-%m-%d", "2018-02-03 10:00"),
            ("%Y-%m-%d", ""),
            ("rfc3339", "2019-11-01T01:27:15"),
            ("unix", "12,5"),
            ("unix_millis", "1.5"),
        ] {
            assert_eq!(read(format, text, "UTC"), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_told_in_the_zone_of_the_text() {
        let format = TimeFormat::from_name("%Y-%m-%d %H:%M").unwrap();
        for offset in ["UTC", "+14:00", "-12:00"] {
            let date = format.date("2011-10-05 00:30", zone(offset).unwrap());
            assert_eq!(date.map(|date| date.to_string()).as_deref(), Some("2011-10-05"));
        }
        let before = TimeFormat::from_name("%Y-%m-%d").unwrap().date("1969-12-31", Offset::UTC);
        assert_eq!(before, Some(Date(-1)));
    }

    #[test]
    fn patterns_without_a_day_or_with_unknown_directives_are_refused() {
        for pattern in ["%H:%M", "%Y-%m", "%Y-%m-%d %!", "2018", ""] {
            assert_eq!(TimeFormat::from_name(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn durations_have_one_number_and_one_unit() {
        for (text, expected) in [
            ("7d", Some(604_800_000)),
            ("-90m", Some(-5_400_000)),
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("2h", Some(7_200_000)),
            ("7", None),
            ("d", None),
            ("1.5h", None),
            ("1w", None),
            ("1d 2h", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }
}
