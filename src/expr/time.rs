//! Moments and durations: read, written and added. What the calendar says of them is in [`super::calendar`].

use super::calendar::{self, Civil};
use super::value::Fault;

const NANOS: i64 = 1_000_000_000;
/// The first second of the year 1, and the last of the year 9999.
const FIRST_S: i64 = -62_135_596_800;
const LAST_S: i64 = 253_402_300_799;

pub(super) use super::calendar::ROWS;

/// A moment of the years 1 to 9999, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// since 1970, rounded down
    seconds: i64,
    nanos: u32,
}

/// A stretch of time of up to 292 years, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Moment {
    fn of(seconds: i64, nanos: u32) -> Result<Moment, Fault> {
        match (FIRST_S..=LAST_S).contains(&seconds) {
            true => Ok(Moment { seconds, nanos }),
            false => Err(Fault::Range),
        }
    }

    /// So many seconds after 1970.
    pub(super) fn of_seconds(seconds: i64) -> Result<Moment, Fault> {
        Moment::of(seconds, 0)
    }

    /// So many milliseconds after 1970.
    pub(super) fn of_millis(millis: i64) -> Result<Moment, Fault> {
        Moment::of(millis.div_euclid(1_000), millis.rem_euclid(1_000) as u32 * 1_000_000)
    }

    /// RFC 3339.
    ///
    /// # Errors
    /// [`Fault::Conversion`] for what is not of that form, [`Fault::Range`] outside the years 1 to 9999.
    pub fn parse(text: &str) -> Result<Moment, Fault> {
        parse(text).ok_or(Fault::Conversion)?
    }

    /// Whole seconds since 1970, rounded down.
    pub(super) fn seconds(self) -> i64 {
        self.seconds
    }

    pub(super) fn nanos(self) -> u32 {
        self.nanos
    }

    pub(super) fn after(self, span: Span) -> Result<Moment, Fault> {
        let nanos = i64::from(self.nanos) + span.0.rem_euclid(NANOS);
        let seconds = self.seconds + span.0.div_euclid(NANOS) + nanos / NANOS;
        Moment::of(seconds, (nanos % NANOS) as u32)
    }

    pub(super) fn before(self, span: Span) -> Result<Moment, Fault> {
        match span.0.checked_neg() {
            Some(nanos) => self.after(Span(nanos)),
            None => Err(Fault::Range),
        }
    }

    pub(super) fn since(self, other: Moment) -> Result<Span, Fault> {
        let nanos = i64::from(self.nanos) - i64::from(other.nanos);
        let whole = i128::from(self.seconds - other.seconds) * i128::from(NANOS);
        i64::try_from(whole + i128::from(nanos)).map(Span).map_err(|_| Fault::Range)
    }
}

/// `None` for what is not of the form, `Err` for what is out of range.
fn parse(text: &str) -> Option<Result<Moment, Fault>> {
    if text.len() > 19 && !text.is_char_boundary(19) {
        return None;
    }
    let (date_time, rest) = text.split_at_checked(19)?;
    let at = |from: usize, to: usize| {
        let part = date_time.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok())?
    };
    let signs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if signs.iter().any(|(place, sign)| date_time.as_bytes().get(*place) != Some(sign)) {
        // a year of five digits is a moment, though not one that can be told
        let is_late = text
            .find('-')
            .is_some_and(|end| end > 4 && text.as_bytes()[..end].iter().all(u8::is_ascii_digit));
        return is_late.then_some(Err(Fault::Range));
    }
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let (hour, minute, second) = (at(11, 13)?, at(14, 16)?, at(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=calendar::days_of(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let offset = match zone {
        "Z" => 0,
        zone if zone.starts_with(['+', '-']) => i64::from(calendar::offset(zone)?),
        _ => return None,
    };
    let days = calendar::days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(Moment::of(seconds, nanos))
}

/// The nanoseconds after a full stop, and what follows them.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = digits.split_at(end);
    let kept = &digits[..digits.len().min(9)];
    let nanos: u32 = kept.parse().ok()?;
    Some((nanos * 10_u32.pow(9 - kept.len() as u32), rest))
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Civil { year, month, day, hour, minute, second, .. } = Civil::of(self.seconds);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Span {
    /// Numbers with units, as in `1h30m`, `-2.5s` or `999ns`.
    ///
    /// # Errors
    /// [`Fault::Conversion`] for what is not of that form, [`Fault::Range`] beyond 292 years.
    pub fn parse(text: &str) -> Result<Span, Fault> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Span(0));
        }
        if rest.is_empty() {
            return Err(Fault::Conversion);
        }
        let mut nanos: i128 = 0;
        while !rest.is_empty() {
            let is_number = |c: char| c.is_ascii_digit() || c == '.';
            let end = rest.find(|c| !is_number(c)).ok_or(Fault::Conversion)?;
            let (number, after) = rest.split_at(end);
            let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
            rest = after;
            let unit: i64 = match unit {
                "ns" => 1,
                "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
                "ms" => 1_000_000,
                "s" => NANOS,
                "m" => 60 * NANOS,
                "h" => 3_600 * NANOS,
                _ => return Err(Fault::Conversion),
            };
            nanos = nanos.checked_add(parts(number, i128::from(unit))?).ok_or(Fault::Range)?;
        }
        i64::try_from(if negative { -nanos } else { nanos }).map(Span).map_err(|_| Fault::Range)
    }

    pub(super) fn nanos(self) -> i64 {
        self.0
    }

    pub(super) fn plus(self, other: Span) -> Result<Span, Fault> {
        self.0.checked_add(other.0).map(Span).ok_or(Fault::Range)
    }

    pub(super) fn minus(self, other: Span) -> Result<Span, Fault> {
        self.0.checked_sub(other.0).map(Span).ok_or(Fault::Range)
    }
}

/// A number with a fraction, in units of so many nanoseconds.
fn parts(number: &str, unit: i128) -> Result<i128, Fault> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(Fault::Conversion);
    }
    let digits = |text: &str| match text {
        "" => Ok(0),
        text if text.len() > 20 => Err(Fault::Range),
        text => text.parse::<i128>().map_err(|_| Fault::Conversion),
    };
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_i128.pow(fraction.len() as u32);
    Ok(digits(whole)? * unit + digits(fraction)? * unit / scale)
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.0.unsigned_abs();
        let (whole, nanos) = (own / NANOS.unsigned_abs(), own % NANOS.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        match nanos {
            0 => write!(f, "{sign}{whole}s"),
            nanos => {
                let fraction = format!("{nanos:09}");
                write!(f, "{sign}{whole}.{}s", fraction.trim_end_matches('0'))
            }
        }
    }
}
