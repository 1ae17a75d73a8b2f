//! The outcome matrix: what was decided down, what the challenger would have decided across.

use super::super::measure::words::count;
use super::super::measure::{Cell, Comparison};
use super::show::percent;
use super::table::legend;
use crate::event::Outcome;

/// Shades of a cell: the fewest events it takes, in parts of all.
const SHADES: [f64; 4] = [0.0, 0.000_1, 0.001, 0.01];

/// A table whose cells are as strong as they are full: above the diagonal the challenger is
/// stricter, below it milder.
pub(super) fn matrix(comparison: &Comparison) -> String {
    let head = |outcome: Outcome| {
        format!("<th scope=\"col\"><span class=\"badge {0}\">{0}</span></th>", outcome.name())
    };
    let heads: String = Outcome::ALL.into_iter().map(head).collect();
    let rows: String = Outcome::ALL.into_iter().map(|live| row(comparison, live)).collect();
    format!(
        "<table class=\"matrix\"><caption>live (rows) against challenger (columns): events, and frauds \
         among them</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>{}",
        legend(&[("stricter-3", "challenger stricter"), ("milder-3", "challenger milder")])
    )
}

fn row(comparison: &Comparison, live: Outcome) -> String {
    let cells = comparison.matrix.iter().filter(|cell| cell.live == live);
    let cells: String = cells.map(|at| cell(comparison, at)).collect();
    format!(
        "<tr><th scope=\"row\"><span class=\"badge {0}\">{0}</span></th>{cells}</tr>",
        live.name()
    )
}

fn cell(comparison: &Comparison, cell: &Cell) -> String {
    let tally = &cell.tally;
    let share = tally.events as f64 / comparison.events.max(1) as f64;
    let side = match cell.other.cmp(&cell.live) {
        std::cmp::Ordering::Greater => "stricter",
        std::cmp::Ordering::Less => "milder",
        std::cmp::Ordering::Equal => "same",
    };
    if tally.events == 0 {
        return String::from("<td class=\"none\">0</td>");
    }
    let shade = SHADES.iter().filter(|least| share > **least).count() - 1;
    let fraud = match tally.frauds {
        0 => String::new(),
        frauds => format!("<small>{} fraud</small>", count(frauds)),
    };
    format!(
        "<td class=\"{side}-{shade}\" title=\"{} of all events\">{}{fraud}</td>",
        percent(share),
        count(tally.events)
    )
}
