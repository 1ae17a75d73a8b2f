//! Tables: the first column is what a row is of, the others are numbers.

use super::show::escaped;

/// Between a cell's value and what is written small under it.
pub(super) const UNDER: char = '\n';

/// A table; every cell is escaped here.
pub(super) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let head: String =
        heads.iter().map(|head| format!(r#"<th scope="col">{}</th>"#, escaped(head))).collect();
    let body: String = rows.into_iter().map(|cells| row(&cells)).collect();
    format!(
        r#"<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"#
    )
}

fn row(cells: &[String]) -> String {
    let mut html = String::from("<tr>");
    for (at, cell) in cells.iter().enumerate() {
        let cell = match cell.split_once(UNDER) {
            Some((value, under)) => format!("{}<small>{}</small>", escaped(value), escaped(under)),
            None => escaped(cell),
        };
        html += &match at {
            0 => format!(r#"<th scope="row">{cell}</th>"#),
            _ => format!("<td>{cell}</td>"),
        };
    }
    html + "</tr>"
}

/// What the colours of a plot stand for: class of the mark, words.
pub(super) fn legend(entries: &[(&str, &str)]) -> String {
    let entry = |(class, words): &(&str, &str)| {
        format!(r#"<li><i class="{class}"></i>{}</li>"#, escaped(words))
    };
    format!(r#"<ul class="legend">{}</ul>"#, entries.iter().map(entry).collect::<String>())
}

/// A plot with its table beside it, under a heading and one sentence on how to read it.
pub(super) fn section(heading: &str, hint: &str, plot: &str, table: &str) -> String {
    format!(
        "<section><h2>{}</h2><p class=\"hint\">{}</p><div class=\"pair\"><figure>{plot}</figure>{table}</div>\
         </section>\n",
        escaped(heading),
        escaped(hint),
    )
}

/// A section that has nothing to show yet.
pub(super) fn empty(heading: &str, why: &str) -> String {
    format!(
        "<section><h2>{}</h2><p class=\"none\">{}</p></section>\n",
        escaped(heading),
        escaped(why)
    )
}
