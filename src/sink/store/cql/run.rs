//! One statement, tried again while that may help.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{Gauge, counter, histogram};
use rand::RngExt;
use scylla::client::session::Session;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::StoreError;
use super::error::failed;
use crate::config::{StoreCluster, limits};
use crate::telemetry::metric;

/// One in so many statements is timed.
const TIMED_EVERY: u64 = 64;

/// Which statements are timed.
#[derive(Debug, Default)]
pub(super) struct Timing(AtomicU64);

impl Timing {
    fn is_next(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIMED_EVERY)
    }
}

/// A statement that is counted as under way until it is done or given up.
struct UnderWay(Gauge);

impl UnderWay {
    fn begin(gauge: &Gauge) -> UnderWay {
        gauge.increment(1);
        UnderWay(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Runs statements.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) cluster: &'a StoreCluster,
    pub(super) timing: &'a Timing,
    /// how many are under way
    pub(super) under_way: Gauge,
    pub(super) now_ms: i64,
}

impl Run<'_> {
    /// Runs one statement, some times if need be: the driver does not try again by itself, and
    /// fails at once while it has no connection.
    pub(super) async fn statement(
        &self,
        statement: &PreparedStatement,
        values: &impl SerializeRow,
    ) -> Result<(), StoreError> {
        let limits = limits();
        let _under_way = UnderWay::begin(&self.under_way);
        let is_timed = self.timing.is_next();
        let mut pause = limits.store_backoff;
        let mut attempt = 1;
        loop {
            let began = is_timed.then(Instant::now);
            let done = self.session.execute_unpaged(statement, values).await;
            if let Some(began) = began {
                let seconds = began.elapsed().as_secs_f64();
                histogram!(metric::STORE_STATEMENT_SECONDS).record(seconds);
            }
            let error = match done {
                Ok(_) => return Ok(()),
                Err(error) => failed(self.cluster, "store rows", &error),
            };
            if !error.passes() || attempt == limits.store_attempts_max {
                return Err(error);
            }
            counter!(metric::STORE_RETRIES, "code" => error.code()).increment(1);
            attempt += 1;
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(limits.store_backoff_max);
        }
    }
}

/// Between half of a pause and all of it, so that statements that failed together do not come again
/// together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}
