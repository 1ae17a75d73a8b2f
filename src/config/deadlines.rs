//! `[deadlines]`: when somebody is told again that a dispute waits for an answer.
//!
//! ```toml
//! [deadlines]
//! fire = ["50%", "48h", "24h"]   # when so much of the time has gone; while so much is left
//!
//! [deadlines.days]               # from opened_at, where that is sooner than the dispute's due_by
//! VISA = 30
//! ```

use serde::Deserialize;
use toml::Spanned;

use super::features::duration_ms;
use super::topology::Checker;
use super::{Problem, limits};

/// Days that the longest time to answer may have.
const DAYS_MAX: u32 = 366;

/// When a stage of a deadline is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// once so many percent of the time from opening to deadline have gone
    Gone(i64),
    /// so many milliseconds before the deadline
    Left(i64),
}

/// One stage of every deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineStage {
    /// as written: its name in records
    pub name: String,
    /// when it is due
    pub when: When,
}

/// Days from `opened_at` within which each network wants its answer; `None`: it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the networks of the contract")]
pub struct NetworkDays {
    pub visa: Option<u32>,
    pub mastercard: Option<u32>,
    pub amex: Option<u32>,
    pub discover: Option<u32>,
    pub other: Option<u32>,
}

/// What is told of the deadlines of disputes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// in the order of the file
    pub stages: Vec<DeadlineStage>,
    /// the networks' own
    pub days: NetworkDays,
}

impl Default for Deadlines {
    fn default() -> Self {
        let stages = DeadlinesFile::default().fire.into_iter();
        Deadlines {
            stages: stages.filter_map(|name| stage(name.into_inner())).collect(),
            days: DeadlinesFile::default().days,
        }
    }
}

/// The section as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeadlinesFile {
    fire: Vec<Spanned<String>>,
    days: NetworkDays,
}

impl Default for DeadlinesFile {
    fn default() -> Self {
        DeadlinesFile {
            fire: ["50%", "48h", "24h"].map(|name| Spanned::new(0..0, name.to_owned())).to_vec(),
            days: NetworkDays {
                visa: Some(30),
                mastercard: Some(45),
                amex: Some(20),
                discover: Some(20),
                other: None,
            },
        }
    }
}

fn stage(name: String) -> Option<DeadlineStage> {
    let when = match name.strip_suffix('%') {
        Some(percent) => When::Gone(percent.parse().ok().filter(|of| (1..100).contains(of))?),
        None => When::Left(duration_ms(&name).filter(|left| *left > 0)?),
    };
    Some(DeadlineStage { name, when })
}

impl Checker<'_> {
    pub(super) fn deadlines(&self, file: &DeadlinesFile, problems: &mut Vec<Problem>) -> Deadlines {
        let mut stages: Vec<DeadlineStage> = Vec::new();
        for written in &file.fire {
            let name = written.get_ref();
            let message = match stage(name.clone()) {
                None => format!(
                    "fire has {name:?}, expected a share of the time such as \"50%\", or what is left of it such as \"48h\""
                ),
                Some(known) if stages.iter().any(|other| other.when == known.when) => {
                    format!("fire has {name:?} twice, expected each moment once")
                }
                Some(_) if stages.len() == limits().deadline_stages_max => {
                    let most = limits().deadline_stages_max;
                    format!("fire has {} stages, expected at most {most}", file.fire.len())
                }
                Some(known) => {
                    stages.push(known);
                    continue;
                }
            };
            problems.push(self.problem(written, message));
        }
        let NetworkDays { visa, mastercard, amex, discover, other } = file.days;
        let days = [
            ("VISA", visa),
            ("MASTERCARD", mastercard),
            ("AMEX", amex),
            ("DISCOVER", discover),
            ("OTHER", other),
        ];
        for (network, days) in days {
            if let Some(days) = days.filter(|days| !(1..=DAYS_MAX).contains(days)) {
                let message =
                    format!("[deadlines.days] {network} is {days}, expected 1 to {DAYS_MAX}");
                problems.push(Problem::new(self.file(), message));
            }
        }
        Deadlines { stages, days: file.days }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_share_of_the_time_or_what_is_left_of_it() {
        let when = |text: &str| stage(text.to_owned()).map(|stage| stage.when);
        assert_eq!(when("50%"), Some(When::Gone(50)));
        assert_eq!(when("48h"), Some(When::Left(172_800_000)));
        for text in ["", "%", "0%", "100%", "50", "0h", "-1h", "h"] {
            assert_eq!(when(text), None, "{text}");
        }
        assert_eq!(Deadlines::default().stages.len(), 3);
    }
}
