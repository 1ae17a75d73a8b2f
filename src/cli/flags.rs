//! `weir flags`: what rules may be turned on and off by.

use clap::{Args, Subcommand};
use serde_json::json;

use super::control::{Office, Signed};
use super::{Failure, Places};
use crate::event::ControlAction;

/// Flags: rules that name one match only while it is set.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  weir flags set night_shift true\n  weir flags list\n  \
    weir flags reset night_shift\n\nOn a data folder changes are taken up at the next start: weir must not be \
    running on it. On Kafka every process takes them up at once.")]
pub(super) enum Flags {
    List(List),
    Set(Set),
    Reset(Reset),
}

impl Flags {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Flags::List(list) => list.run(),
            Flags::Set(set) => set.run(),
            Flags::Reset(reset) => reset.run(),
        }
    }
}

/// Lists the flags that were set.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir flags list --json")]
pub(super) struct List {
    /// As JSON: {"name": true}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Sets a flag.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir flags set night_shift true")]
pub(super) struct Set {
    /// The flag: a-z, 0-9, _ and -
    name: String,
    /// true or false
    #[arg(action = clap::ArgAction::Set)]
    value: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    places: Places,
}

/// Forgets a flag: it is as one that was never set.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir flags reset night_shift")]
pub(super) struct Reset {
    /// The flag
    name: String,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    places: Places,
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        let flags = &office.desk.manifest().flags;
        match self.json {
            true => say!("{}", json!(flags)),
            false => flags.iter().for_each(|(name, value)| say!("{name:<32} {value}")),
        }
        Ok(())
    }
}

impl Set {
    fn run(&self) -> Result<(), Failure> {
        let content = (None, Some(self.value.to_string()));
        change(&self.places, &self.name, ControlAction::Set, content, &self.signed)
    }
}

impl Reset {
    fn run(&self) -> Result<(), Failure> {
        change(&self.places, &self.name, ControlAction::Rollback, (None, None), &self.signed)
    }
}

fn change(
    places: &Places,
    name: &str,
    action: ControlAction,
    content: (Option<String>, Option<String>),
    signed: &Signed,
) -> Result<(), Failure> {
    let mut office = Office::open(places, true)?;
    let version = office.change(&format!("flag/{name}"), action, content, signed)?;
    say!("version {version}");
    Ok(())
}
