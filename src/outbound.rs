//! How weir speaks HTTP to others: webhooks, the schema registry, the place of snapshots.
//!
//! Nobody is followed elsewhere, no proxy of the environment is used, and nothing is tried again behind
//! the caller's back, who counts attempts.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder, Result};

/// What others' logs show.
const USER_AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// What every client has; deadlines are the caller's.
pub fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
}

/// The client. Over https certificates are checked against the system's trusted roots, a company's own
/// included.
///
/// # Errors
/// When it cannot be made.
pub fn client(builder: ClientBuilder, https: bool) -> Result<Client> {
    // the client takes its TLS provider from the process: ring, unless somebody chose before
    let ring = rustls::crypto::ring::default_provider();
    if https {
        if ring.install_default().is_err() {
            tracing::debug!("a TLS provider is installed already");
        }
        return builder.build();
    }
    // without https nothing is trusted, and a system without roots can still be used
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring))
        .with_safe_default_protocol_versions();
    match tls {
        Ok(tls) => {
            let none = rustls::RootCertStore::empty();
            let tls = tls.with_root_certificates(none).with_no_client_auth();
            builder.tls_backend_preconfigured(tls).build()
        }
        Err(_) => builder.build(),
    }
}
