//! Figures and words as the report shows them.

use super::super::measure::Estimate;
use super::table::UNDER;

/// What stands for a figure that there is none of.
pub(super) const NONE: &str = "–";

/// Text that is safe in HTML and SVG, in attributes too. Control characters become spaces.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    // a percentage stays on one line
    safe.replace(" %", "\u{a0}%")
}

/// A share as a percentage: 41.3 %; below 1 % with two digits that count.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", bare_percent(share))
}

/// The same without the sign, for axes and columns that say so.
pub(super) fn bare_percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        at if at == 0.0 || at >= 0.995 => trimmed(format!("{percent:.1}")),
        at if at >= 0.0995 => format!("{percent:.2}"),
        at if at >= 0.00995 => format!("{percent:.3}"),
        _ => format!("{percent:.4}"),
    }
}

fn trimmed(number: String) -> String {
    match number.strip_suffix(".0") {
        Some("-0") => String::from("0"),
        Some(whole) if whole == "0" || whole == "100" => whole.to_owned(),
        _ => number,
    }
}

/// Three digits after the point.
pub(super) fn decimals(value: f64) -> String {
    format!("{value:.3}")
}

/// A round number for an axis, without what is left of rounding it.
pub(super) fn tick(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    // a zero has no sign
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// A count for an axis: 10k, 2M.
pub(super) fn short(count: f64) -> String {
    match count.abs() {
        at if at >= 1e9 => format!("{}G", count / 1e9),
        at if at >= 1e6 => format!("{}M", count / 1e6),
        at if at >= 1e3 => format!("{}k", count / 1e3),
        _ => format!("{count}"),
    }
}

/// A figure, or [`NONE`].
pub(super) fn value(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    estimate.value.map_or_else(|| String::from(NONE), show)
}

/// The interval: 0.71 to 0.78, or [`NONE`].
pub(super) fn interval(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{} to {}", show(low), show(high)),
        _ => String::from(NONE),
    }
}

/// A figure with its interval in brackets.
pub(super) fn both(estimate: &Estimate, show: impl Fn(f64) -> String + Copy) -> String {
    match estimate.low {
        Some(_) => format!("{} ({})", value(estimate, show), interval(estimate, show)),
        None => value(estimate, show),
    }
}

/// A figure with its interval under it, for a cell of a table.
pub(super) fn stacked(estimate: &Estimate, show: impl Fn(f64) -> String + Copy) -> String {
    match estimate.low {
        Some(_) => format!("{}{UNDER}{}", value(estimate, show), interval(estimate, show)),
        None => value(estimate, show),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_with_digits_that_count() {
        let shown = [0.0, 1.0, 0.4134, 0.05, 0.0042, 0.000_42, 0.000_01].map(percent);
        assert_eq!(shown, ["0 %", "100 %", "41.3 %", "5.0 %", "0.42 %", "0.042 %", "0.0010 %"]);
    }

    #[test]
    fn nothing_leaves_its_place_in_the_page() {
        let wild = "<b onclick='x()'>\"&\"\u{0}</b>";
        let safe = escaped(wild);
        assert_eq!(safe, "&lt;b onclick=&#39;x()&#39;&gt;&quot;&amp;&quot; &lt;/b&gt;");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let none = Estimate::default();
        assert_eq!(
            [value(&none, percent), interval(&none, percent), both(&none, percent)],
            [NONE; 3]
        );
    }
}
