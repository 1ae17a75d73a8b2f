//! The floor of the store: the driver alone, with prepared writes side by side, into weir's tables.
//!
//! For each decision it writes what weir writes: the decision, its row by account and its row by
//! outcome. Nothing is read from Kafka, decoded, ordered or committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp};
use uuid::Uuid;

use crate::Failure;
use crate::report::{Report, rounded};

/// One in so many statements is timed.
const TIMED_EVERY: u64 = 16;
const HOUR_MS: i64 = 3_600_000;

/// Writes decisions with the driver alone, as many statements under way as weir has.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir-floor store --nodes 127.0.0.1:9042 --keyspace bench --decisions 50000 --bytes 900"
)]
pub struct Store {
    /// host:port of nodes, separated by commas
    #[arg(long, env = "WEIR_TEST_CQL")]
    nodes: String,
    /// Where weir's tables are
    #[arg(long)]
    keyspace: String,
    #[arg(long, env = "WEIR_TEST_CQL_USERNAME")]
    username: Option<String>,
    #[arg(long, env = "WEIR_TEST_CQL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// How many
    #[arg(long)]
    decisions: u64,
    /// Bytes of each one's record
    #[arg(long)]
    bytes: usize,
    /// Accounts they are of
    #[arg(long, default_value_t = 1_000)]
    accounts: u64,
    /// Statements under way at once
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
}

struct Writer {
    session: Session,
    decision: PreparedStatement,
    by_account: PreparedStatement,
    by_outcome: PreparedStatement,
    record: Vec<u8>,
    now_ms: i64,
    count: AtomicU64,
}

impl Store {
    /// # Errors
    /// When the cluster cannot be written.
    pub fn run(&self) -> Result<Report, Failure> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.write_all())
    }

    async fn write_all(&self) -> Result<Report, Failure> {
        let writer = Arc::new(self.prepare().await?);
        let began = Instant::now();
        let statements = (0..self.decisions).flat_map(|number| (0..3).map(move |of| (number, of)));
        let mut times: Vec<f64> = stream::iter(statements)
            .map(|(number, of)| writer.write(number, number % self.accounts, of))
            .buffer_unordered(self.in_flight)
            .try_filter_map(|timed| std::future::ready(Ok(timed)))
            .try_collect()
            .await?;
        let seconds = began.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
        let ms = |seconds: Option<f64>| rounded(seconds.unwrap_or_default() * 1e3, 2);
        Ok(Report::default()
            .with("decisions_per_second", rounded(self.decisions as f64 / seconds, 1))
            .with("statements", self.decisions * 3)
            .with("seconds", rounded(seconds, 2))
            .with("p50_ms", ms(at(0.5)))
            .with("p99_ms", ms(at(0.99))))
    }

    async fn prepare(&self) -> Result<Writer, Failure> {
        let mut builder = SessionBuilder::new().known_nodes(self.nodes.split(','));
        if let (Some(name), Some(password)) = (&self.username, &self.password) {
            builder = builder.user(name, password);
        }
        let session = builder.build().await?;
        let prepare = async |table: &str, columns: &str| {
            let marks = vec!["?"; columns.split(',').count()].join(", ");
            let keyspace = &self.keyspace;
            let statement = format!(
                "INSERT INTO {keyspace}.{table} ({columns}) VALUES ({marks}) USING TIMESTAMP ?"
            );
            session.prepare(statement).await
        };
        let columns =
            "decision_id, tenant, account_id, kind, outcome, event_time, decided_at, record";
        let decision = prepare("decision", columns).await?;
        let columns = "tenant, account_id, day, event_time, decision_id, kind, outcome";
        let by_account = prepare("decision_by_account", columns).await?;
        let columns = "tenant, outcome, hour, bucket, event_time, decision_id, account_id, kind";
        let by_outcome = prepare("decision_by_outcome", columns).await?;
        // bytes that do not compress to nothing
        let record = (0..self.bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
        Ok(Writer {
            decision,
            by_account,
            by_outcome,
            record: record.collect(),
            now_ms: crate::time::now_ms(),
            session,
            count: AtomicU64::new(0),
        })
    }
}

impl Writer {
    /// Writes one of the three rows of a decision; how long it took, where that was measured.
    async fn write(&self, number: u64, account: u64, of: u8) -> Result<Option<f64>, Failure> {
        let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = Uuid::from_u128(spread);
        let account = format!("account-{account}");
        let time = self.now_ms + (number / 1_000) as i64;
        let written = self.now_ms * 1_000;
        let (tenant, kind, outcome) = ("default", "TRANSACTION", "ALLOW");
        let timed = self.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIMED_EVERY);
        let began = timed.then(Instant::now);
        let at = CqlTimestamp(time);
        match of {
            0 => {
                let record = self.record.as_slice();
                let values = (id, tenant, account, kind, outcome, at, at, record, written);
                self.session.execute_unpaged(&self.decision, values).await?;
            }
            1 => {
                let day = CqlDate((time / (24 * HOUR_MS) + (1 << 31)) as u32);
                let values = (tenant, account, day, at, id, kind, outcome, written);
                self.session.execute_unpaged(&self.by_account, values).await?;
            }
            _ => {
                let hour = CqlTimestamp(time - time % HOUR_MS);
                let bucket = (id.as_bytes()[15] % 64) as i8;
                let values = (tenant, outcome, hour, bucket, at, id, account, kind, written);
                self.session.execute_unpaged(&self.by_outcome, values).await?;
            }
        }
        Ok(began.map(|began| began.elapsed().as_secs_f64()))
    }
}
