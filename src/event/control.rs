//! Changes of what decides, as they stand on `weir.control`.

use serde::{Deserialize, Serialize};

use super::{Millis, Text};

/// What is done to something that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ControlAction {
    /// new content
    Publish,
    /// earlier content again, or the topology's own
    Rollback,
    /// an entry of a list is added or removed
    Change,
    /// a flag is set
    Set,
}

impl ControlAction {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            ControlAction::Publish => "publish",
            ControlAction::Rollback => "rollback",
            ControlAction::Change => "change",
            ControlAction::Set => "set",
        }
    }
}

/// One change. Its version is its offset plus one, so that versions rise in the order of the topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control<'a> {
    /// version of what these records mean: [`Control::FORMAT`]
    #[serde(default)]
    pub format: i32,
    /// what changes: `rules`, `models`, `list/NAME`, `challenger/NAME` or `flag/NAME`
    #[serde(borrow)]
    pub name: Text<'a>,
    /// what is done to it
    pub action: ControlAction,
    /// hash of the content; `None` with a rollback: the topology's own
    pub artifact: Option<Text<'a>>,
    /// of a list's entry: JSON; of a flag: `true` or `false`; of a list that is rolled back: how many changes
    /// are left
    pub change: Option<Text<'a>>,
    /// why, for people
    pub note: Option<Text<'a>>,
    /// when it was written
    pub issued_at: Millis,
    /// who wrote it
    pub issued_by: Text<'a>,
    /// version of the program that wrote it
    #[serde(default)]
    pub weir: Text<'a>,
}

impl Control<'_> {
    /// The only format this weir writes and takes.
    pub const FORMAT: i32 = 1;

    /// The same, on its own.
    pub fn into_owned(self) -> Control<'static> {
        Control {
            format: self.format,
            name: self.name.into_owned(),
            action: self.action,
            artifact: self.artifact.map(Text::into_owned),
            change: self.change.map(Text::into_owned),
            note: self.note.map(Text::into_owned),
            issued_at: self.issued_at,
            issued_by: self.issued_by.into_owned(),
            weir: self.weir.into_owned(),
        }
    }
}
