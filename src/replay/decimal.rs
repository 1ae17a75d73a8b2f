//! Exact decimals: money never passes through a float.

use std::fmt;

/// A decimal number: `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// What to do with digits beyond the wanted scale. Without one they are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// to the nearest, a half away from zero
    HalfUp,
    /// to the nearest, a half to the even neighbour
    HalfEven,
    /// towards zero
    Down,
}

impl Round {
    /// The names in a map.
    pub(super) const NAMES: [&'static str; 3] = ["half_up", "half_even", "down"];

    pub(super) fn from_name(name: &str) -> Option<Round> {
        match name {
            "half_up" => Some(Round::HalfUp),
            "half_even" => Some(Round::HalfEven),
            "down" => Some(Round::Down),
            _ => None,
        }
    }

    /// Whether the quotient moves one away from zero, given what was left of the division.
    fn away(self, quotient: i128, rest: u128, divisor: u128) -> bool {
        let twice = rest.saturating_mul(2);
        match self {
            Round::HalfUp => twice >= divisor,
            Round::HalfEven => twice > divisor || (twice == divisor && quotient % 2 != 0),
            Round::Down => false,
        }
    }
}

/// Why a decimal is no amount in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotMinor {
    /// it has more digits after the point than the scale, and no rounding was asked for
    Inexact,
    /// it does not fit into 64 bits
    TooLarge,
}

impl Decimal {
    pub(super) const ZERO: Decimal = Decimal { mantissa: 0, scale: 0 };

    /// Reads `[+-]digits[.digits]`; nothing else is a number here: no exponent, no separator of
    /// thousands, no blank.
    pub(super) fn parse(text: &str) -> Option<Decimal> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let mut mantissa: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        Some(Decimal { mantissa: sign * mantissa, scale: u32::try_from(fraction.len()).ok()? })
    }

    /// The product, unless it has too many digits.
    pub(super) fn times(self, other: Decimal) -> Option<Decimal> {
        Some(Decimal {
            mantissa: self.mantissa.checked_mul(other.mantissa)?,
            scale: self.scale.checked_add(other.scale)?,
        })
    }

    /// The sum, unless it has too many digits.
    pub(super) fn plus(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        Some(Decimal { mantissa: self.at(scale)?.checked_add(other.at(scale)?)?, scale })
    }

    fn at(self, scale: u32) -> Option<i128> {
        10_i128.checked_pow(scale.checked_sub(self.scale)?)?.checked_mul(self.mantissa)
    }

    /// The number of minor units, `10^scale` of which make one.
    pub(super) fn minor(self, scale: u32, round: Option<Round>) -> Result<i64, NotMinor> {
        let minor = if self.scale <= scale {
            self.at(scale).ok_or(NotMinor::TooLarge)?
        } else {
            let divisor = 10_i128.checked_pow(self.scale - scale).ok_or(NotMinor::TooLarge)?;
            let (quotient, rest) = (self.mantissa / divisor, self.mantissa % divisor);
            match round {
                _ if rest == 0 => quotient,
                None => return Err(NotMinor::Inexact),
                Some(round)
                    if round.away(quotient, rest.unsigned_abs(), divisor.unsigned_abs()) =>
                {
                    quotient + self.mantissa.signum()
                }
                Some(_) => quotient,
            }
        };
        i64::try_from(minor).map_err(|_| NotMinor::TooLarge)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let scale = self.scale as usize;
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minor(text: &str, scale: u32, round: Option<Round>) -> Result<i64, NotMinor> {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number")).minor(scale, round)
    }

    /// Writes `mantissa / 10^scale` by integer arithmetic alone.
    fn written(mantissa: i128, scale: u32) -> String {
        let unit = 10_u128.pow(scale);
        let (whole, rest) = (mantissa.unsigned_abs() / unit, mantissa.unsigned_abs() % unit);
        let sign = if mantissa < 0 { "-" } else { "" };
        match scale {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{rest:0width$}", width = scale as usize),
        }
    }

    proptest! {
        #[test]
        fn what_was_written_in_minor_units_is_read_back_exactly(units: i64, scale in 0_u32..=18) {
            let text = written(units.into(), scale);
            prop_assert_eq!(minor(&text, scale, None), Ok(units), "{}", text);
            let shown = Decimal::parse(&text).unwrap().to_string();
            prop_assert_eq!(Decimal::parse(&shown), Decimal::parse(&text), "{}", shown);
        }

        #[test]
        fn rounding_agrees_with_integer_arithmetic(
            mantissa in -1_000_000_000_000_i64..1_000_000_000_000,
            scale in 0_u32..=9,
            to in 0_u32..=9,
        ) {
            let text = written(mantissa.into(), scale);
            // everything at scale 18, so that both scales divide evenly
            let exact = i128::from(mantissa) * 10_i128.pow(18 - scale);
            let unit = 10_i128.pow(18 - to);
            let down = exact / unit;
            let rest = (exact % unit).abs();
            let half_up = if 2 * rest >= unit { down + exact.signum() } else { down };
            let half_even = if 2 * rest > unit || (2 * rest == unit && down % 2 != 0) {
                down + exact.signum()
            } else {
                down
            };
            let fits = |units: i128| i64::try_from(units).map_err(|_| NotMinor::TooLarge);
            prop_assert_eq!(minor(&text, to, Some(Round::Down)), fits(down));
            prop_assert_eq!(minor(&text, to, Some(Round::HalfUp)), fits(half_up));
            prop_assert_eq!(minor(&text, to, Some(Round::HalfEven)), fits(half_even));
            let plain = if rest == 0 { fits(down) } else { Err(NotMinor::Inexact) };
            prop_assert_eq!(minor(&text, to, None), plain);
        }

        #[test]
        fn sums_and_products_agree_with_integer_arithmetic(
            a in -1_000_000_000_i64..1_000_000_000, a_scale in 0_u32..=6,
            b in -1_000_000_000_i64..1_000_000_000, b_scale in 0_u32..=6,
        ) {
            let left = Decimal::parse(&written(a.into(), a_scale)).unwrap();
            let right = Decimal::parse(&written(b.into(), b_scale)).unwrap();
            let (a, b) = (i128::from(a), i128::from(b));
            let product = left.times(right).unwrap();
            prop_assert_eq!(product.at(12), Some(a * b * 10_i128.pow(12 - a_scale - b_scale)));
            let sum = left.plus(right).unwrap();
            let expected = a * 10_i128.pow(6 - a_scale) + b * 10_i128.pow(6 - b_scale);
            prop_assert_eq!(sum.at(6), Some(expected));
        }
    }

    #[test]
    fn amounts_as_the_files_write_them() {
        for (text, expected) in [
            ("57.16", 5716),
            ("0.00", 0),
            ("1108.85", 110_885),
            ("45.0", 4500),
            ("-99.5", -9950),
            ("+7", 700),
            (".5", 50),
            ("92233720368547758.07", i64::MAX),
        ] {
            assert_eq!(minor(text, 2, None), Ok(expected), "{text}");
        }
        assert_eq!(minor("0.001", 2, None), Err(NotMinor::Inexact));
        assert_eq!(minor("92233720368547758.08", 2, None), Err(NotMinor::TooLarge));
        assert_eq!(minor("0.005", 2, Some(Round::HalfUp)), Ok(1));
        assert_eq!(minor("-0.005", 2, Some(Round::HalfUp)), Ok(-1));
        assert_eq!(minor("0.005", 2, Some(Round::HalfEven)), Ok(0));
        assert_eq!(minor("0.015", 2, Some(Round::HalfEven)), Ok(2));
        assert_eq!(minor("-0.019", 2, Some(Round::Down)), Ok(-1));
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in [
            "", "-", "+", ".", "-.", "1e5", "12,5", "1 000", " 1", "1 ", "$5", "NaN", "--1",
            "1.2.3", "٣",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(60)), None);
    }
}
