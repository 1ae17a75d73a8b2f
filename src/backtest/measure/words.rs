//! Numbers as people read them.

/// An amount of minor units: 12,345.60 EUR. `digits` are the decimal digits of the minor unit.
pub fn money(minor: f64, digits: u8, currency: &str) -> String {
    let digits = usize::from(digits);
    let minor = minor.round().abs().min(1e30);
    let text = format!("{minor:0>width$.0}", width = digits + 1);
    let (whole, rest) = text.split_at(text.len() - digits);
    let point = if digits > 0 { "." } else { "" };
    let gap = if currency.is_empty() { "" } else { " " };
    format!("{}{point}{rest}{gap}{currency}", grouped(whole))
}

/// The same with its sign, a plus too; 0 has none.
pub fn signed_money(minor: f64, digits: u8, currency: &str) -> String {
    format!("{}{}", sign(minor.round()), money(minor, digits, currency))
}

/// The same with a minus where it is one.
pub fn balance(minor: f64, digits: u8, currency: &str) -> String {
    let sign = if minor.round() < 0.0 { "-" } else { "" };
    format!("{sign}{}", money(minor, digits, currency))
}

/// An amount for an axis, in major units: 12k, -1.5M.
pub fn short_money(minor: f64, digits: u8) -> String {
    let major = minor / 10_f64.powi(i32::from(digits));
    let (scaled, unit) = match major.abs() {
        at if at >= 1e9 => (major / 1e9, "G"),
        at if at >= 1e6 => (major / 1e6, "M"),
        at if at >= 1e3 => (major / 1e3, "k"),
        _ => (major, ""),
    };
    // what is left of rounding a tick
    let scaled = (scaled * 1e6).round() / 1e6;
    format!("{}{unit}", if scaled == 0.0 { 0.0 } else { scaled })
}

fn sign(value: f64) -> &'static str {
    match value {
        value if value > 0.0 => "+",
        value if value < 0.0 => "-",
        _ => "",
    }
}

/// A number with a comma between thousands: 1,234,567.
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// A difference of counts with its sign; 0 has none.
pub fn signed_count(number: i128) -> String {
    let sign = sign(number as f64);
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_show_their_minor_unit() {
        assert_eq!(money(1_234_567.0, 2, "EUR"), "12,345.67 EUR");
        assert_eq!(money(5.0, 2, ""), "0.05");
        assert_eq!(money(1_000.0, 0, "JPY"), "1,000 JPY");
        assert_eq!(signed_money(-150.4, 2, ""), "-1.50");
        assert_eq!(signed_money(0.2, 2, ""), "0.00");
        assert_eq!(signed_money(99.0, 2, ""), "+0.99");
        assert_eq!(balance(-0.4, 2, ""), "0.00");
        assert_eq!(short_money(1_250_000.0, 2), "12.5k");
        assert_eq!(short_money(-3e8, 2), "-3M");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
        assert_eq!([signed_count(-1_200), signed_count(0), signed_count(7)], ["-1,200", "0", "+7"]);
    }
}
