//! `lists.toml`: what is known to be good or bad, by name, and the lists that decide by themselves.
//!
//! ```toml
//! [[list]]
//! name = "bad_ips"
//! match = "cidr"                    # exact, prefix, cidr, range
//! file = "lists/bad_ips.csv"        # empty at first where there is none
//! description = "networks that card testing came from"
//!
//! [[list.decides]]                  # a hard list: it decides before any rule does
//! kind = "transaction"
//! field = "ip"
//! outcome = "BLOCK"
//! reason = "LISTED_IP"
//! text = "{ip} is in a network that card testing came from"
//! ```
//!
//! What stands in the files of the lists is read here and understood where they are built.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::name::wrong_kind;
use super::topology::parse;
use super::{Place, Problem, wrong_name};

/// Bytes of the file of one list: ten million entries of about 25 bytes, and what can be kept of one.
pub const LIST_FILE_BYTES_MAX: u64 = 256 << 20;

/// Lists of a topology.
const LISTS_MAX: usize = 64;

/// What one list decides about: each is a look-up of its own in every decision of the kind.
const DECIDES_MAX: usize = 16;

/// A list without a file.
const NO_ENTRIES: &str = "value,expires,note\n";

/// How a value is compared with the entries of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// the whole text
    Exact,
    /// how the text begins
    Prefix,
    /// an address in a network
    Cidr,
    /// an integer between two others, both included
    Range,
}

impl Match {
    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Match::Exact => "exact",
            Match::Prefix => "prefix",
            Match::Cidr => "cidr",
            Match::Range => "range",
        }
    }
}

/// What follows where a value is in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decided {
    /// let it pass
    Allow,
    /// one more proof
    StepUp,
    /// a person decides
    Review,
    /// stop it
    Block,
}

/// A decision by a list alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decides {
    /// kind of the events it decides about
    pub kind: Spanned<String>,
    /// the event's field that is looked up
    pub field: Spanned<String>,
    /// what follows
    pub outcome: Decided,
    /// stable code for machines
    pub reason: Spanned<String>,
    /// for people; `{name}` stands for a value
    pub text: Spanned<String>,
}

/// One list as written. `docs/lists.md` explains each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSpec {
    /// unique among the lists
    pub name: Spanned<String>,
    /// how values are compared
    #[serde(rename = "match")]
    pub matching: Match,
    /// its entries at first, relative to the topology's folder
    pub file: Option<Spanned<String>>,
    /// whether large and small letters are the same
    #[serde(default)]
    pub fold: Option<Spanned<bool>>,
    /// for people
    #[serde(default)]
    pub description: String,
    /// what it decides by itself
    #[serde(default)]
    pub decides: Vec<Decides>,
}

impl ListSpec {
    /// Whether large and small letters are the same.
    pub fn folds(&self) -> bool {
        self.fold.as_ref().is_some_and(|fold| *fold.get_ref())
    }
}

/// A list and the text of its file.
#[derive(Clone, Debug)]
pub struct ListFile {
    /// what it is
    pub spec: ListSpec,
    /// where its entries were read; `lists.toml` itself where it has no file
    pub path: PathBuf,
    /// its entries as CSV: of a list without a file the header alone
    pub text: Arc<str>,
}

/// The lists of a topology.
#[derive(Clone, Debug, Default)]
pub struct ListsFile {
    /// where they were read
    pub path: PathBuf,
    /// the text of `lists.toml`
    pub text: String,
    /// the lists, in the order of the file
    pub lists: Vec<ListFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    list: Vec<ListSpec>,
}

impl ListsFile {
    /// Reads `lists.toml` of a topology and the files it names; where there is none, there are no
    /// lists.
    ///
    /// # Errors
    /// Everything that is wrong with `lists.toml`, and with the files as far as they cannot be read.
    pub fn load(folder: &Path) -> Result<ListsFile, Vec<Problem>> {
        let path = folder.join("lists.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(ListsFile { path, ..ListsFile::default() });
            }
            Err(error) => {
                return Err(vec![Problem::new(
                    Place::file(&path),
                    format!("cannot be read: {error}"),
                )]);
            }
        };
        let read = |name: &str| read(&folder.join(name));
        ListsFile::parse(&path, text, read)
    }

    /// The lists of a `lists.toml`. `read`: the text of a file by its name there.
    ///
    /// # Errors
    /// Everything that is wrong with it, and with the files as far as they cannot be read.
    pub fn parse(
        path: &Path,
        text: String,
        read: impl Fn(&str) -> Result<String, ReadError>,
    ) -> Result<ListsFile, Vec<Problem>> {
        let file: File = parse(path, &text).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let checker = Checker { path, text: &text };
        checker.specs(&file.list, &mut problems);
        let mut lists = Vec::new();
        for spec in file.list {
            match checker.entries(&spec, &read) {
                Ok((path, text)) => lists.push(ListFile { spec, path, text }),
                Err(problem) => problems.push(problem),
            }
        }
        let path = path.to_owned();
        if problems.is_empty() { Ok(ListsFile { path, text, lists }) } else { Err(problems) }
    }
}

struct Checker<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Checker<'_> {
    fn problem<T>(&self, at: &Spanned<T>, message: String) -> Problem {
        Problem::new(Place::span(self.path, self.text, at.span()), message)
    }

    fn specs(&self, specs: &[ListSpec], problems: &mut Vec<Problem>) {
        if specs.len() > LISTS_MAX {
            let message = format!("{} lists, expected at most {LISTS_MAX}", specs.len());
            problems.push(Problem::new(Place::file(self.path), message));
        }
        let mut names = HashSet::new();
        for spec in specs {
            let name = spec.name.get_ref();
            problems.extend(wrong_name("name", name).map(|wrong| self.problem(&spec.name, wrong)));
            if !names.insert(name) {
                let message = format!("list {name:?} is there twice, expected unique names");
                problems.push(self.problem(&spec.name, message));
            }
            if let Some(fold) = spec.fold.as_ref().filter(|_| spec.folds())
                && matches!(spec.matching, Match::Cidr | Match::Range)
            {
                let kind = spec.matching.name();
                let message =
                    format!("fold is true, expected it of exact and prefix only, not of {kind}");
                problems.push(self.problem(fold, message));
            }
            self.decides(spec, problems);
        }
    }

    fn decides(&self, spec: &ListSpec, problems: &mut Vec<Problem>) {
        let name = spec.name.get_ref();
        if spec.decides.len() > DECIDES_MAX {
            let message = format!(
                "list {name:?} decides {} times, expected at most {DECIDES_MAX}",
                spec.decides.len()
            );
            problems.push(self.problem(&spec.name, message));
        }
        let mut fields = HashSet::new();
        for decides in &spec.decides {
            let (kind, field) = (decides.kind.get_ref(), decides.field.get_ref());
            problems.extend(wrong_kind(kind).map(|wrong| self.problem(&decides.kind, wrong)));
            if !fields.insert((kind, field)) {
                let message =
                    format!("list {name:?} decides twice by {field:?} of a {kind}, expected once");
                problems.push(self.problem(&decides.field, message));
            }
            for (key, value) in [("reason", &decides.reason), ("text", &decides.text)] {
                if value.get_ref().trim().is_empty() {
                    problems.push(self.problem(value, format!("{key} is empty, expected words")));
                }
            }
        }
    }

    /// The entries of a list, and where they stand.
    fn entries(
        &self,
        spec: &ListSpec,
        read: &impl Fn(&str) -> Result<String, ReadError>,
    ) -> Result<(PathBuf, Arc<str>), Problem> {
        let Some(file) = &spec.file else {
            return Ok((self.path.to_owned(), Arc::from(NO_ENTRIES)));
        };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path = folder.join(file.get_ref());
        read(file.get_ref()).map(|text| (path.clone(), Arc::from(text))).map_err(
            |error| match error {
                ReadError::Missing(reason) => {
                    let path = path.display();
                    self.problem(file, format!("file {path} cannot be read: {reason}"))
                }
                ReadError::Inside { before, message } => {
                    Problem::new(Place::at(&path, &before, before.len()), message)
                }
                ReadError::Whole(message) => Problem::new(Place::file(&path), message),
            },
        )
    }
}

/// Why the text of a file cannot be had.
#[derive(Debug)]
pub enum ReadError {
    /// it cannot be opened or read
    Missing(String),
    /// it cannot be as it is, after so much of it
    Inside {
        /// what is sound of it
        before: String,
        /// the value and what was expected
        message: String,
    },
    /// it cannot be as a whole
    Whole(String),
}

/// A text file of bounded size.
fn read(path: &Path) -> Result<String, ReadError> {
    let cannot = |error: std::io::Error| ReadError::Missing(error.to_string());
    let opened = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    // one more than may be: whatever the file system says of its size
    opened.take(LIST_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LIST_FILE_BYTES_MAX {
        let message = format!("has more than {LIST_FILE_BYTES_MAX} bytes, expected at most so");
        return Err(ReadError::Whole(message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let byte = error.as_bytes()[valid];
        let message = format!("byte 0x{byte:02x} is not UTF-8, expected UTF-8 text");
        ReadError::Inside { before, message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
[[list]]
name = "bad_ips"
match = "cidr"
file = "lists/bad_ips.csv"
description = "networks that card testing came from"

[[list.decides]]
kind = "transaction"
field = "ip"
outcome = "STEP_UP"
reason = "LISTED_IP"
text = "{ip} is listed"

[[list]]
name = "words"
match = "exact"
fold = true
"#;

    fn load(toml: &str, csv: &[u8]) -> Result<ListsFile, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lists")).unwrap();
        std::fs::write(folder.path().join("lists/bad_ips.csv"), csv).unwrap();
        std::fs::write(folder.path().join("lists.toml"), toml).unwrap();
        let shown = folder.path().display().to_string();
        ListsFile::load(folder.path()).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n").replace(&shown, "")
        })
    }

    #[test]
    fn lists_are_read_with_their_files() {
        let file = load(SOUND, b"value\n10.0.0.0/8\n").unwrap();
        let [ips, words] = &file.lists[..] else { panic!("two lists") };
        assert_eq!(&*ips.text, "value\n10.0.0.0/8\n");
        assert!(ips.path.ends_with("lists/bad_ips.csv") && !ips.spec.folds());
        assert_eq!(ips.spec.decides[0].outcome, Decided::StepUp);
        assert_eq!((&*words.text, words.spec.matching), (NO_ENTRIES, Match::Exact));
        assert!(words.spec.folds() && words.path.ends_with("lists.toml"));
    }

    #[test]
    fn a_topology_without_lists_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ListsFile::load(folder.path()).unwrap().lists.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (from, to, expected) in [
            ("\"words\"", "\"bad_ips\"", "/lists.toml:16:8: list \"bad_ips\" is there twice"),
            ("\"words\"", "\"Words\"", "/lists.toml:16:8: name is \"Words\", expected 1 to 64 of"),
            ("\"words\"", "\"\"", "/lists.toml:16:8: name is \"\""),
            ("\"exact\"", "\"range\"", "/lists.toml:18:8: fold is true"),
            ("\"exact\"", "\"glob\"", "/lists.toml:17:9: unknown variant `glob`, expected one of"),
            ("\"STEP_UP\"", "\"stop\"", "/lists.toml:11:11: unknown variant `stop`"),
            ("\"transaction\"", "\"label\"", "/lists.toml:9:8: kind is \"label\""),
            ("\"LISTED_IP\"", "\" \"", "/lists.toml:12:10: reason is empty"),
            ("bad_ips.csv", "none.csv", "/lists.toml:5:8: file /lists/none.csv cannot be read"),
            ("fold", "folds", "/lists.toml:18:1: unknown field `folds`"),
        ] {
            let error = load(&SOUND.replace(from, to), b"value\n").unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let again = SOUND.replace("[[list]]\nname = \"words\"", "[[list.decides]]\nkind = \"transaction\"\nfield = \"ip\"\noutcome = \"BLOCK\"\nreason = \"X\"\ntext = \"x\"\n[[list]]\nname = \"words\"");
        let error = load(&again, b"value\n").unwrap_err();
        assert!(error.starts_with("/lists.toml:17:9: list \"bad_ips\" decides twice"), "{error}");
        let error = load(SOUND, b"value\n10.0.0.0/8\nx\xff\n").unwrap_err();
        assert_eq!(error, "/lists/bad_ips.csv:3:2: byte 0xff is not UTF-8, expected UTF-8 text");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let broken = SOUND.replace("bad_ips.csv", "none.csv").replace("\"words\"", "\"bad ips\"");
        assert_eq!(load(&broken, b"").unwrap_err().lines().count(), 2);
    }
}
