//! Files of rows as events: what `weir replay FILE… --map MAP.toml` reads.
//!
//! Historic data comes as files of somebody else's columns. Rather than a program for each, a map
//! says which column goes where, and is checked before the first row is read: an unknown column,
//! field, symbol or key ends it there, with a suggestion, and so does a required field that is
//! missing. What only a row can tell is an error of that row, with its line.
//!
//! ```text
//!   file ─► decompress ─► CSV or JSON Lines ─► rows ─► skip ─► group ─► events
//!           (by content)    (by content)      of the map's columns    (by `when`)
//! ```
//!
//! Everything streams: in memory are one row, or the open groups, and no row or group may be
//! longer than 4 MiB. Events keep the order of the rows; one that is derived with `plus` carries a
//! later time than the rows behind it, and goes to a topic of its own.
//!
//! # Maps
//!
//! ```toml
//! # format = "jsonl"                 # csv or jsonl; without it the first byte tells
//! # delimiter = ";"                  # of CSV, a comma without it
//! optional = ["device"]              # columns that a file may lack; all others must be there
//!
//! [[skip]]                           # rows to leave out; they are counted by reason
//! when = { column = "state", equals = "test" }
//! reason = "test payments"
//!
//! [[event]]                          # each one makes an event of every row, or of those with:
//! kind = "transaction"               # transaction, dispute, chat, invoice or label
//! when = [                           # one condition, or several that must all hold
//!     { column = "state", one_of = ["done", "void"] },   # or equals, prefix, not_empty = true
//!     { column = "payer", not_empty = true, not = false },   # not = true: the opposite
//! ]
//!
//! [event.fields]                     # the fields of the contract in schemas/
//! # text: columns in braces, {$row} for the row's number, {{ and }} for braces. A text with an
//! # empty column is absent: an optional field is left out, a required one is an error
//! event_id = "pay-{id}"
//! transaction_id = "{id}"
//! account_id = "acct-{payer % 1000}" # a stable hash of the column, from 0 to 999
//! device_id = "{device}"
//! # text with a default for when it is absent, and text by value; a key that ends in * is a
//! # beginning, otherwise stands for all other values, an empty value for absent
//! merchant_id = { text = "m-{shop}", default = "unknown" }
//! channel = { column = "way", map = { web = "ECOM", "till*" = "POS" }, otherwise = "OTHER" }
//! status = "CAPTURED"
//! currency = "EUR"
//! # times: a format is rfc3339, unix, unix_millis or a pattern of strptime; zone is UTC unless
//! # it or the text says otherwise; plus moves it by ms, s, m, h or d
//! event_time = { column = "at", format = "%Y-%m-%d %H:%M:%S", zone = "+02:00", plus = "7d" }
//! # or made up, start + (row - 1) * step: { start = "2026-01-05T09:00:00Z", step = "10s" }
//! # amounts in minor units, exact: 57.16 at scale 2 is 5716. More digits are an error, or with
//! # round (half_up, half_even, down) rounded. Also product = ["quantity", "price"] of columns
//! amount_minor = { column = "paid", scale = 2, default = 0 }
//! recurring = false
//! lat = "{latitude}"                 # numbers and booleans are written as text, or as constants
//! ```
//!
//! With `[group]`, rows that share a column make one event:
//!
//! ```toml
//! [group]
//! by = "invoice"
//! ahead = 10        # rows of others that may stand between two rows of a group; 0 without it
//!
//! [[event]]
//! kind = "invoice"
//!
//! [event.fields]    # conditions and fields look at the first row of the group, but for sums …
//! event_id = "{invoice}"
//! account_id = "{buyer}"
//! invoice_id = "{invoice}"
//! kind = "INVOICE"
//! number = "{invoice}"
//! event_time = { column = "date", format = "%d.%m.%Y" }
//! issued_on = { column = "date", format = "%d.%m.%Y" }
//! currency = "EUR"
//! amount_minor = { product = ["quantity", "price"], scale = 2, round = "half_up", sum = true }
//!
//! [event.fields.lines]               # … and lines, of which every row makes one
//! description = { column = "what", default = "" }
//! quantity = "{quantity}"
//! unit_price_minor = { column = "price", scale = 2, round = "half_up" }
//! amount_minor = { product = ["quantity", "price"], scale = 2, round = "half_up" }
//! ```
//!
//! In JSON Lines the columns are the keys of the objects, null is empty, and as every line has keys
//! of its own, one that is missing and not optional is an error of its line. More maps are in
//! `load-tests/maps`.
//!
//! # What a resumed replay may rely on
//!
//! The same file and map give the same events in the same order, and [`Mapped::row`] never falls:
//! whoever knows the last row whose events all arrived can leave out all up to it.

mod build;
mod condition;
mod contract;
mod csv_rows;
mod decimal;
mod error;
mod field;
mod group;
mod input;
mod json_rows;
mod map;
mod row;
mod rows;
mod suggest;
mod template;
#[cfg(test)]
mod tests;
mod time;

pub use error::{MapError, MapProblem, Place, Problem, ReplayError};
pub use map::Map;
pub use rows::{Mapped, Rows};
