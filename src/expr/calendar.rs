//! What the calendar of a place says of a moment: the parts of date and time, weekends.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::fuel::Fuel;
use super::overloads::Row;
use super::time::Moment;
use super::types::Kind::{Int, Span, Text, Time};
use super::value::{Fault, Value};

const DAY_S: i64 = 86_400;

/// What of a moment is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    /// from 0
    Month,
    /// of the year, from 0
    DayOfYear,
    /// of the month, from 0
    Day,
    /// of the month, from 1
    Date,
    /// Sunday is 0
    Weekday,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    /// whether it is Saturday or Sunday
    Weekend,
}

impl Part {
    /// What a function of this name asks for.
    pub(super) fn named(function: &str) -> Option<Part> {
        Some(match function {
            "getFullYear" => Part::Year,
            "getMonth" => Part::Month,
            "getDayOfYear" => Part::DayOfYear,
            "getDayOfMonth" => Part::Day,
            "getDate" => Part::Date,
            "getDayOfWeek" => Part::Weekday,
            "getHours" => Part::Hours,
            "getMinutes" => Part::Minutes,
            "getSeconds" => Part::Seconds,
            "getMilliseconds" => Part::Milliseconds,
            _ => return None,
        })
    }

    /// Of a moment, in a zone.
    pub(super) fn of<'a>(self, time: Moment, zone: &Zone) -> Value<'a> {
        let civil = Civil::of(time.seconds() + i64::from(zone.offset(time)));
        Value::Int(match self {
            Part::Year => civil.year,
            Part::Month => civil.month - 1,
            Part::DayOfYear => civil.days - days_from_civil(civil.year, 1, 1),
            Part::Day => civil.day - 1,
            Part::Date => civil.day,
            Part::Weekday => civil.weekday(),
            Part::Hours => civil.hour,
            Part::Minutes => civil.minute,
            Part::Seconds => civil.second,
            Part::Milliseconds => i64::from(time.nanos() / 1_000_000),
            Part::Weekend => return Value::Bool(matches!(civil.weekday(), 0 | 6)),
        })
    }
}

macro_rules! rows {
    ($($name:literal)*) => {
        &[
            $(Row::method($name, &[Time], Int, |arguments, _| part($name, arguments)),
            Row::method($name, &[Time, Text], Int, |arguments, _| part($name, arguments)),)*
            Row::method("getHours", &[Span], Int, hours),
            Row::method("getMinutes", &[Span], Int, minutes),
            Row::method("getSeconds", &[Span], Int, seconds),
            Row::method("getMilliseconds", &[Span], Int, milliseconds),
        ]
    };
}

pub(super) const ROWS: &[Row] = rows!(
    "getFullYear" "getMonth" "getDayOfYear" "getDayOfMonth" "getDate"
    "getDayOfWeek" "getHours" "getMinutes" "getSeconds" "getMilliseconds"
);

/// Where the zone is not a literal: it is looked up by name then, which costs more.
fn part<'a>(name: &str, arguments: &[Value<'_>]) -> Result<Value<'a>, Fault> {
    let part = Part::named(name).ok_or(Fault::Unknown)?;
    match arguments {
        [Value::Time(time)] => Ok(part.of(*time, &Zone::Fixed(0))),
        [Value::Time(time), Value::Text(zone)] => {
            let zone = Zone::named(zone).ok_or(Fault::Conversion)?;
            Ok(part.of(*time, &zone))
        }
        _ => Err(Fault::Argument),
    }
}

fn span(arguments: &[Value<'_>]) -> Result<i64, Fault> {
    match arguments {
        [Value::Span(span)] => Ok(span.nanos()),
        _ => Err(Fault::Argument),
    }
}

fn hours<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(span(arguments)? / 3_600_000_000_000))
}

fn minutes<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(span(arguments)? / 60_000_000_000))
}

fn seconds<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(span(arguments)? / 1_000_000_000))
}

/// Those beside the whole seconds, as the specification has it.
fn milliseconds<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(span(arguments)? % 1_000_000_000 / 1_000_000))
}

/// Where the clock stands how.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    /// seconds ahead of UTC
    Fixed(i32),
    /// by the rules of a place
    Place(TimeZone),
}

impl Zone {
    /// A zone by its name, or by an offset `[+-]HH:MM`.
    pub(super) fn named(name: &str) -> Option<Zone> {
        if let Some(offset) = offset(name) {
            return Some(Zone::Fixed(offset));
        }
        match name {
            "" | "UTC" | "utc" | "Z" => Some(Zone::Fixed(0)),
            name => TimeZone::get(name).ok().map(Zone::Place),
        }
    }

    /// Seconds ahead of UTC.
    fn offset(&self, time: Moment) -> i32 {
        match self {
            Zone::Fixed(offset) => *offset,
            Zone::Place(zone) => {
                // the last day of the year 9999 is not one that the rules of places know
                let last = Timestamp::MAX.as_second();
                let known = Timestamp::from_second(time.seconds().min(last));
                known.map_or(0, |time| zone.to_offset(time).seconds())
            }
        }
    }
}

/// As in `-09:30`, `+01:00` or `02:00`, in seconds.
pub(super) fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let two = |text: &str| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| text.parse::<i32>().ok())?
    };
    match (two(hours)?, two(minutes)?) {
        (hours @ 0..24, minutes @ 0..60) => Some(sign * (hours * 3_600 + minutes * 60)),
        _ => None,
    }
}

/// A moment as people write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Civil {
    /// since 1970-01-01
    days: i64,
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

impl Civil {
    /// Of seconds since 1970, of the place's own clock.
    pub(super) fn of(seconds: i64) -> Civil {
        let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        let (year, month, day) = civil_from_days(days);
        Civil {
            days,
            year,
            month,
            day,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    /// Sunday is 0. The first of January 1970 was a Thursday.
    fn weekday(&self) -> i64 {
        (self.days + 4).rem_euclid(7)
    }
}

/// Days since 1970-01-01 of a date. Years are counted from March here, so that a leap day comes last, and
/// in eras of 400, after which the calendar repeats.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Days of a month.
pub(super) fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}
