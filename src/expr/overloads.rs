//! The functions that expressions may call: by name, by how they are called, and by what they take.

use super::fuel::Fuel;
use super::types::{Kind, Ty};
use super::value::{Fault, Value};
use super::{convert, format, geo, math, net, text, time};
use crate::config::nearest;

/// What a function does. It sees only arguments that its row takes.
pub(super) type Apply = for<'a> fn(&[Value<'a>], &mut Fuel) -> Result<Value<'a>, Fault>;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Plain,
    /// `x.f()`
    Method,
    /// either
    Both,
}

/// One function with one choice of arguments.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) style: Style,
    pub(super) takes: &'static [Kind],
    pub(super) gives: Kind,
    pub(super) apply: Apply,
}

impl Row {
    pub(super) const fn plain(
        name: &'static str,
        takes: &'static [Kind],
        gives: Kind,
        apply: Apply,
    ) -> Row {
        Row { name, style: Style::Plain, takes, gives, apply }
    }

    pub(super) const fn method(
        name: &'static str,
        takes: &'static [Kind],
        gives: Kind,
        apply: Apply,
    ) -> Row {
        Row { name, style: Style::Method, takes, gives, apply }
    }

    pub(super) const fn both(
        name: &'static str,
        takes: &'static [Kind],
        gives: Kind,
        apply: Apply,
    ) -> Row {
        Row { name, style: Style::Both, takes, gives, apply }
    }

    fn is_called(&self, method: bool) -> bool {
        match self.style {
            Style::Plain => !method,
            Style::Method => method,
            Style::Both => true,
        }
    }

    fn fits(&self, types: &[Ty]) -> bool {
        self.takes.len() == types.len()
            && self.takes.iter().zip(types).all(|(kind, ty)| kind.takes(ty))
    }

    /// Whether it is for these arguments.
    pub(super) fn has(&self, arguments: &[Value<'_>]) -> bool {
        self.takes.len() == arguments.len()
            && self.takes.iter().zip(arguments).all(|(kind, value)| kind.has(value))
    }

    /// As in `charAt(string, int)`.
    fn signature(&self) -> String {
        let types: Vec<String> = self.takes.iter().map(|kind| kind.ty().name()).collect();
        format!("({})", types.join(", "))
    }
}

/// Forms that are not in the table because they are compiled, each with what it takes.
pub(super) const FORMS: [(&str, &str); 15] = [
    ("matches", "(string, literal string)"),
    ("in_list", "(value, literal name of a list)"),
    ("in_cidr", "(string, literal block such as '10.0.0.0/8')"),
    ("between", "(value, low, high)"),
    ("hour_of_day", "(int or timestamp) or (int or timestamp, literal zone)"),
    ("is_weekend", "(int or timestamp) or (int or timestamp, literal zone)"),
    ("math.greatest", "(numbers) or (list of numbers)"),
    ("math.least", "(numbers) or (list of numbers)"),
    ("has", "(event.name), (feature.name) or (map.key)"),
    ("dyn", "(value)"),
    ("all", "(name, condition)"),
    ("exists", "(name, condition)"),
    ("exists_one", "(name, condition)"),
    ("map", "(name, value) or (name, condition, value)"),
    ("filter", "(name, condition)"),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    [convert::ROWS, text::ROWS, format::ROWS, math::ROWS, time::ROWS, net::ROWS, geo::ROWS]
        .into_iter()
        .flatten()
}

/// Whether there is a function of this name that is called plainly, such as `math.ceil`.
pub(super) fn is_plain(name: &str) -> bool {
    rows().any(|row| row.name == name && row.is_called(false))
        || FORMS.iter().any(|(form, _)| *form == name)
}

/// Whether there is a function of this name, however it is called.
pub(super) fn is_known(name: &str) -> bool {
    rows().any(|row| row.name == name) || FORMS.iter().any(|(form, _)| *form == name)
}

/// The rows that may be meant by a call: one where all types are known.
///
/// # Errors
/// What is wrong with the call.
pub(super) fn find(name: &str, method: bool, types: &[Ty]) -> Result<Box<[&'static Row]>, String> {
    let named = || rows().filter(|row| row.name == name && row.is_called(method));
    let fitting: Box<[&'static Row]> = named().filter(|row| row.fits(types)).collect();
    if !fitting.is_empty() {
        return Ok(fitting);
    }
    Err(refusal(name, method, types, &named().map(Row::signature).collect::<Vec<_>>()))
}

/// What is wrong with a call that no row is for.
pub(super) fn refusal(name: &str, method: bool, types: &[Ty], known: &[String]) -> String {
    let given: Vec<String> = types.iter().map(Ty::name).collect();
    let given = given.join(", ");
    let form = FORMS.iter().find(|(form, _)| *form == name).map(|(_, takes)| *takes);
    if let Some(takes) = form {
        return format!("{name} of ({given}), expected {name}{takes}");
    }
    if !known.is_empty() {
        return format!("{name} of ({given}), expected {name}{}", known.join(" or "));
    }
    let other = rows().find(|row| row.name == name);
    if let Some(row) = other {
        let how = if method { "a function" } else { "a method" };
        return format!("{name} of ({given}), expected it as {how} of {}", row.signature());
    }
    let names = rows().map(|row| row.name).chain(FORMS.iter().map(|(form, _)| *form));
    match nearest(name, names) {
        Some(known) => format!("no function {name}({given}), did you mean {known:?}?"),
        None => format!("no function {name}({given}) is supported"),
    }
}

/// The types that a call of these rows may give.
pub(super) fn gives(rows: &[&'static Row]) -> Ty {
    match rows {
        [] => Ty::Dyn,
        [first, rest @ ..] => match rest.iter().all(|row| row.gives == first.gives) {
            true => first.gives.ty(),
            false => Ty::Dyn,
        },
    }
}
