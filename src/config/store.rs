//! `[store]`: the ScyllaDB or Cassandra cluster that has the tables, where it is not the data folder.
//!
//! ```toml
//! [store]
//! nodes = "scylla-1:9042,scylla-2:9042"
//! keyspace = "weir"
//! datacenter = "datacenter1"
//! replication = 3
//! username = "weir"
//! password = "${WEIR_STORE_PASSWORD}"
//! tls_ca = "store-ca.pem"
//!
//! [store.ttl_days]
//! decisions = 400
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::login::{Credentials, Hidden, NAMES};
use super::topology::Checker;
use super::{Interpolated, Login, Problem};

/// Longest name of a keyspace that Cassandra takes.
const KEYSPACE_MAX: usize = 48;
/// Ten years.
const DAYS_MAX: u32 = 3_660;

/// `[store]`.
#[derive(Clone, Debug)]
pub struct StoreCluster {
    /// `host:port` of nodes to begin with
    pub nodes: Vec<String>,
    /// where the tables are
    pub keyspace: String,
    /// the datacenter whose nodes are asked; any, where there is none
    pub datacenter: Option<String>,
    /// replicas in each datacenter of a keyspace that `weir store migrate` makes
    pub replication: u32,
    /// who weir is there
    pub login: Option<Login>,
    /// certificates to trust (PEM); without it connections are not encrypted
    pub tls_ca: Option<PathBuf>,
    /// the longest one statement may take
    pub timeout: Duration,
    /// statements under way at once
    pub in_flight: usize,
    /// the largest record that is stored, in bytes; a larger one becomes a dead letter
    pub record_bytes_max: usize,
    /// how long rows are kept
    pub ttl: Ttl,
}

/// How long the rows of each table are kept, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// decisions, by whatever they are looked up
    pub decisions: u32,
    /// escalations
    pub escalations: u32,
    /// counts by the minute
    pub rollups: u32,
    /// ends of deliveries
    pub deliveries: u32,
}

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreFile {
    nodes: Spanned<Interpolated>,
    #[serde(default = "weir")]
    keyspace: Spanned<Interpolated>,
    datacenter: Option<Spanned<Interpolated>>,
    #[serde(default = "one")]
    replication: Spanned<u32>,
    username: Option<Spanned<Interpolated>>,
    password: Option<Spanned<Hidden>>,
    password_file: Option<Spanned<Interpolated>>,
    tls_ca: Option<Spanned<Interpolated>>,
    #[serde(default = "five_seconds")]
    timeout_ms: Spanned<u64>,
    #[serde(default = "in_flight")]
    in_flight: Spanned<usize>,
    #[serde(default = "a_mebibyte")]
    record_bytes_max: Spanned<usize>,
    #[serde(default)]
    ttl_days: TtlFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TtlFile {
    decisions: Spanned<u32>,
    escalations: Spanned<u32>,
    rollups: Spanned<u32>,
    deliveries: Spanned<u32>,
}

impl Default for TtlFile {
    fn default() -> Self {
        let days = |days| Spanned::new(0..0, days);
        // chargebacks come up to 120 days after a payment, arbitration takes as long again
        TtlFile {
            decisions: days(400),
            escalations: days(400),
            rollups: days(90),
            deliveries: days(400),
        }
    }
}

fn weir() -> Spanned<Interpolated> {
    Spanned::new(0..0, Interpolated("weir".into()))
}

fn one() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

fn five_seconds() -> Spanned<u64> {
    Spanned::new(0..0, 5_000)
}

fn in_flight() -> Spanned<usize> {
    Spanned::new(0..0, 256)
}

fn a_mebibyte() -> Spanned<usize> {
    Spanned::new(0..0, 1 << 20)
}

impl Checker<'_> {
    pub(super) fn store(
        &self,
        file: StoreFile,
        folder: &Path,
        problems: &mut Vec<Problem>,
    ) -> Option<StoreCluster> {
        let before = problems.len();
        problems.extend(self.hosts("nodes", &file.nodes).err());
        problems.extend(self.keyspace(&file.keyspace).err());
        let credentials = Credentials {
            username: file.username.as_ref(),
            password: file.password.as_ref(),
            password_file: file.password_file.as_ref(),
            section: file.nodes.span(),
            names: &NAMES,
        };
        let login = self.login(&credentials, folder).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let tls_ca = file.tls_ca.as_ref().map(|path| folder.join(&path.get_ref().0));
        if let (Some(path), Some(full)) = (&file.tls_ca, &tls_ca)
            && !full.is_file()
        {
            let message = format!("tls_ca {} is not a file, expected certificates", full.display());
            problems.push(self.problem(path, message));
        }
        self.range("replication", &file.replication, (1, 9), problems);
        self.range("timeout_ms", &file.timeout_ms, (100, 60_000), problems);
        self.range("in_flight", &file.in_flight, (1, 4_096), problems);
        let bytes = (1 << 10, 8 << 20);
        self.range("record_bytes_max", &file.record_bytes_max, bytes, problems);
        let days = &file.ttl_days;
        self.range("decisions", &days.decisions, (1, DAYS_MAX), problems);
        self.range("escalations", &days.escalations, (1, DAYS_MAX), problems);
        self.range("rollups", &days.rollups, (1, DAYS_MAX), problems);
        self.range("deliveries", &days.deliveries, (1, DAYS_MAX), problems);
        if problems.len() > before {
            return None;
        }
        let nodes = file.nodes.get_ref().0.split(',').map(|node| node.trim().to_owned()).collect();
        Some(StoreCluster {
            nodes,
            keyspace: file.keyspace.into_inner().0,
            datacenter: file.datacenter.map(|name| name.into_inner().0),
            replication: file.replication.into_inner(),
            login,
            tls_ca,
            timeout: Duration::from_millis(file.timeout_ms.into_inner()),
            in_flight: file.in_flight.into_inner(),
            record_bytes_max: file.record_bytes_max.into_inner(),
            ttl: Ttl {
                decisions: file.ttl_days.decisions.into_inner(),
                escalations: file.ttl_days.escalations.into_inner(),
                rollups: file.ttl_days.rollups.into_inner(),
                deliveries: file.ttl_days.deliveries.into_inner(),
            },
        })
    }

    fn keyspace(&self, keyspace: &Spanned<Interpolated>) -> Result<(), Problem> {
        let name = &keyspace.get_ref().0;
        let is_name = name.len() <= KEYSPACE_MAX
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        match is_name {
            true => Ok(()),
            false => {
                let message = format!(
                    "keyspace is {name:?}, expected a small letter, then small letters, digits and \
                     underscores, {KEYSPACE_MAX} at most"
                );
                Err(self.problem(keyspace, message))
            }
        }
    }
}
