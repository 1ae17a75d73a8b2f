//! HTTP of one process: metrics, health, and the page that shows decisions as they are made.
//!
//! ```text
//!   log: decisions ─┐
//!        roll-ups  ─┤► tail (one thread) ──► ring of the newest ──► broadcast ──► /live, one each
//!        escalations│        │                     └─► /api/decisions
//!        dead letters        └──► totals, once a second ──► watch ──► /live
//! ```
//!
//! Why a tail of the log and not a hook in the worker: what the page shows is what was committed,
//! whichever process decided it, and a slow browser cannot hold up a worker. Why roll-ups for the
//! totals: they count every decision at one small record a commit, so that the tail may leave out
//! decisions it has no room to show (about 200 a second are shown) without a total being wrong.
//!
//! Everything counts from where the log ended when serving began; the page says since when. There
//! is no sign-in: whoever reaches the address may look, and nothing here changes anything.

mod doors;
mod feed;
mod live;
mod routes;
mod tail;
mod totals;
mod view;

#[cfg(test)]
mod tests;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::limits;
use crate::log::Log;
use crate::state::FeatureSet;
use crate::telemetry::metric::Exporter;
use crate::telemetry::{Clock, Health, Part, Stop};
use doors::Doors;
use routes::Shared;
use tail::Tail;

/// What the server serves, and where.
#[derive(Clone)]
pub struct Api {
    /// address to listen on; port 0 takes a free one
    pub listen: SocketAddr,
    /// the log whose decisions are shown
    pub log: Arc<dyn Log>,
    /// the consumer group whose lag is shown
    pub group: String,
    /// the parts that `/health/ready` asks; a part `api` is added
    pub health: Health,
    /// what `/metrics` shows; without, it answers 404
    pub exporter: Option<Exporter>,
    /// what decisions read, for the names of their values
    pub features: Arc<FeatureSet>,
    /// the time
    pub clock: Clock,
    /// the wish to stop
    pub stop: Stop,
}

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// the address cannot be had
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// the address asked for
        listen: SocketAddr,
        /// why not
        source: std::io::Error,
    },
    /// no thread for the tail
    #[error("cannot start the thread that follows the log: {0}")]
    Thread(std::io::Error),
    /// the tail panicked; its text is in the log
    #[error("the thread that follows the log panicked")]
    TailPanicked,
    /// the server ended by itself
    #[error("the http server on {addr} failed: {source}")]
    Serve {
        /// where it listened
        addr: SocketAddr,
        /// why it ended
        source: std::io::Error,
    },
}

/// A server that has its address and does not answer yet.
pub struct Bound {
    api: Api,
    part: Part,
    listener: TcpListener,
    addr: SocketAddr,
}

impl Bound {
    /// Takes the address, so that a port in use is known before anything else is started. From here
    /// on `api` is a part of the process's health, ready once the server follows the log.
    ///
    /// # Errors
    /// [`ApiError::Listen`].
    ///
    /// # Cancellation
    /// Dropping the future gives the address back.
    pub async fn bind(api: Api) -> Result<Bound, ApiError> {
        let listen = api.listen;
        let refused = |source| ApiError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        Ok(Bound { part: api.health.part("api"), api, listener, addr })
    }

    /// Where it listens, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the stop; then takes no more connections, ends the live streams, and gives open
    /// requests until the drain deadline.
    ///
    /// # Errors
    /// When the tail cannot be started or panicked, or the server failed.
    ///
    /// # Cancellation
    /// Dropping the future closes the address at once and asks open connections to end; the tail's
    /// thread ends within its next turn, about 100 ms.
    pub async fn serve(self) -> Result<(), ApiError> {
        let Bound { api, part, listener, addr } = self;
        let (feed, publisher) = feed::open();
        let mut ended = feed.totals();
        let mut drained = feed.totals();
        let tail = Tail::start(&api, part, publisher).map_err(ApiError::Thread)?;
        let router = routes::router(Shared::new(&api, feed));
        info!(%addr, "serving http");

        let server = axum::serve(Doors::new(listener), router)
            .with_graceful_shutdown(async move { closed(&mut ended).await })
            .into_future();
        let deadline = async {
            closed(&mut drained).await;
            tokio::time::sleep(limits().drain_deadline).await;
        };
        tokio::select! {
            served = server => served.map_err(|source| ApiError::Serve { addr, source })?,
            () = deadline => warn!(%addr, "open requests did not end in time"),
        }
        // the tail closed the feed with its last breath: this does not wait
        tail.join().map_err(|_| ApiError::TailPanicked)
    }
}

/// Waits until the tail has ended, for whatever reason: it holds the other end of the watch.
async fn closed(totals: &mut watch::Receiver<Arc<str>>) {
    while totals.changed().await.is_ok() {}
}
