//! A weir with a topology and a data folder of its own, or topics of its own on a broker.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use super::copy_folder;

/// How a command ended: its exit code, what it printed, what it said.
pub type Ended = (i32, String, String);

/// A weir of its own.
pub struct World {
    /// with everything in it
    pub folder: tempfile::TempDir,
    /// before the names of its topics
    pub prefix: String,
}

impl World {
    /// With the shipped topology; on Kafka where there are brokers.
    pub fn begin(name: &str, brokers: Option<&str>) -> World {
        let prefix = format!("{name}{}.", std::process::id());
        let world = World { folder: tempfile::tempdir().unwrap(), prefix };
        copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("topology"), &world.topology());
        if let Some(brokers) = brokers {
            let file = world.topology().join("weir.toml");
            let kafka = format!(
                "brokers = \"{brokers}\"\nprefix = \"{}\"\nprocess = \"one\"",
                world.prefix
            );
            let settings = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, format!("{settings}\n[kafka]\n{kafka}\n")).unwrap();
            let topology = world.topology();
            let words = ["topics", "create", "--partitions", "2", "--topology"];
            assert!(command(&words).arg(topology).status().unwrap().success());
        }
        world
    }

    pub fn topology(&self) -> PathBuf {
        self.folder.path().join("topology")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = command(words);
        command.arg("--topology").arg(self.topology()).arg("--data").arg(self.data());
        command
    }

    pub fn weir(&self, words: &[&str]) -> Ended {
        let output = self.command(words).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// What a command that must end well printed.
    pub fn done(&self, words: &[&str]) -> String {
        let (code, printed, said) = self.weir(words);
        assert_eq!(code, 0, "{words:?}: {said}");
        printed
    }

    pub fn json(&self, words: &[&str]) -> Json {
        serde_json::from_str(&self.done(words)).unwrap()
    }

    /// Puts simulated events on the topics.
    pub fn generate(&self, seed: &str) {
        let words = ["generate", "--to-topics", "--count", "3000", "--accounts", "60"];
        self.done(&[&words[..], &["--seed", seed]].concat());
    }
}

/// A command of weir.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["--log", "warn"]).args(words);
    command
}
