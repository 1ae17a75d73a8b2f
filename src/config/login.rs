//! Who weir is at another server: a name with a password, or with a file that has it.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::topology::Checker;
use super::{Interpolated, Problem, Secret};

/// A name and its password.
#[derive(Clone, Debug)]
pub struct Login {
    /// the user's name
    pub username: String,
    /// never shown
    pub password: Secret,
}

/// Interpolated text that no message shows, not even where it is of the wrong type; or what is wrong
/// with it, to be told by whoever knows what it is called.
#[derive(Debug)]
pub(super) struct Hidden(Result<Secret, String>);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Hidden(match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => {
                Secret::interpolated(&text).map_err(|why| format!(": {why}"))
            }
            _ => Err(" is not a text, expected one in quotes".to_owned()),
        }))
    }
}

/// A login as a section has it.
pub(super) struct Credentials<'a> {
    pub(super) username: Option<&'a Spanned<Interpolated>>,
    pub(super) password: Option<&'a Spanned<Hidden>>,
    /// relative to the topology's folder
    pub(super) password_file: Option<&'a Spanned<Interpolated>>,
    /// where to point when there is a password and nobody it is of
    pub(super) section: Range<usize>,
    /// what the section calls the three
    pub(super) names: &'static Names,
}

/// What a section calls the parts of a login.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) username: &'static str,
    /// the same with its article
    pub(super) a_username: &'static str,
    pub(super) password: &'static str,
    pub(super) password_file: &'static str,
}

/// What most sections call them.
pub(super) const NAMES: Names = Names {
    username: "username",
    a_username: "a username",
    password: "password",
    password_file: "password_file",
};

impl Checker<'_> {
    pub(super) fn login(
        &self,
        file: &Credentials<'_>,
        folder: &Path,
    ) -> Result<Option<Login>, Problem> {
        let Names { username, a_username, password, password_file } = file.names;
        let secret = match (file.password, file.password_file) {
            (None, None) => None,
            (Some(hidden), None) => {
                let secret = hidden.get_ref().0.clone();
                Some(secret.map_err(|why| self.problem(hidden, format!("{password}{why}")))?)
            }
            (None, Some(path)) => {
                let full = folder.join(&path.get_ref().0);
                let text = std::fs::read_to_string(&full).map_err(|error| {
                    let message =
                        format!("{password_file} {} cannot be read: {error}", full.display());
                    self.problem(path, message)
                })?;
                Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            (Some(_), Some(path)) => {
                let message =
                    format!("{password} and {password_file} are both there, expected one of them");
                return Err(self.problem(path, message));
            }
        };
        match (file.username, secret) {
            (None, None) => Ok(None),
            (Some(name), Some(password)) => {
                Ok(Some(Login { username: name.get_ref().0.clone(), password }))
            }
            (Some(name), None) => {
                let message = format!(
                    "{username} is {:?} without a {password}, expected {password} or {password_file}",
                    name.get_ref().0
                );
                Err(self.problem(name, message))
            }
            (None, Some(_)) => {
                let message =
                    format!("there is a {password} without {a_username}, expected both or neither");
                Err(self.problem(&Spanned::new(file.section.clone(), ()), message))
            }
        }
    }

    /// `host:port`, separated by commas.
    pub(super) fn hosts(&self, name: &str, hosts: &Spanned<Interpolated>) -> Result<(), Problem> {
        let text = &hosts.get_ref().0;
        let is_host = |host: &str| {
            host.trim().rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        match text.split(',').all(is_host) {
            true => Ok(()),
            false => {
                let message =
                    format!("{name} is {text:?}, expected host:port, separated by commas");
                Err(self.problem(hosts, message))
            }
        }
    }
}
