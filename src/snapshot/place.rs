//! Where snapshots are: a folder, or a bucket of an S3 server.

use std::path::Path;
use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig};
use tokio::runtime::Handle;

use super::error::failed;
use super::{SnapshotError, Vault};
use crate::config::{SnapshotPlace, Snapshots, limits};
use crate::outbound;
use crate::telemetry::Clock;

/// Makes the folder, where the place is one.
pub(super) fn make_folder(settings: &Snapshots, data_folder: &Path) -> Result<(), SnapshotError> {
    let SnapshotPlace::Folder(folder) = &settings.place else {
        return Ok(());
    };
    let folder = data_folder.join(folder);
    std::fs::create_dir_all(&folder).map_err(|error| {
        let error = object_store::Error::Generic { store: "folder", source: Box::new(error) };
        failed(&folder.display().to_string(), "make the folder", &error)
    })
}

/// Whether the folder is there; a bucket counts as there.
pub(super) fn is_there(settings: &Snapshots, data_folder: &Path) -> bool {
    match &settings.place {
        SnapshotPlace::Folder(folder) => data_folder.join(folder).exists(),
        SnapshotPlace::Bucket { .. } => true,
    }
}

/// The vault at a place.
pub(super) fn open(
    settings: &Snapshots,
    data_folder: &Path,
    runtime: &Handle,
) -> Result<Vault, SnapshotError> {
    let (runtime, clock) = (runtime.clone(), Clock::system());
    match &settings.place {
        SnapshotPlace::Folder(folder) => {
            let folder = data_folder.join(folder);
            let place = folder.display().to_string();
            let store = LocalFileSystem::new_with_prefix(&folder)
                .map_err(|error| failed(&place, "open the folder", &error))?;
            // what is acknowledged outlives the machine's next crash
            let store = Arc::new(store.with_fsync(true));
            Ok(Vault { store, place: place.into(), folder: Some(folder), runtime, clock })
        }
        SnapshotPlace::Bucket { bucket, prefix } => {
            let mut place = format!("s3://{bucket}/{prefix}").trim_end_matches('/').to_owned();
            if let Some(endpoint) = &settings.endpoint {
                place = format!("{place} of {endpoint}");
            }
            let store = s3(settings, bucket).map_err(|error| failed(&place, "open it", &error))?;
            let store = Arc::new(PrefixStore::new(store, Key::from(prefix.as_str())));
            Ok(Vault { store, place: place.into(), folder: None, runtime, clock })
        }
    }
}

fn s3(settings: &Snapshots, bucket: &str) -> object_store::Result<AmazonS3> {
    let limits = limits();
    let backoff = BackoffConfig {
        init_backoff: limits.snapshot_backoff,
        max_backoff: limits.snapshot_backoff_max,
        base: 2.0,
    };
    let retry = RetryConfig {
        backoff,
        max_retries: limits.snapshot_retries_max,
        retry_timeout: limits.snapshot_write_deadline,
    };
    let builder = match &settings.login {
        Some(login) => AmazonS3Builder::new()
            .with_access_key_id(&login.username)
            .with_secret_access_key(login.password.reveal()),
        // what the environment or the machine offers, as AWS's own tools have it
        None => AmazonS3Builder::from_env(),
    };
    let mut plain = false;
    let mut builder = builder
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_allow_http(settings.allow_http)
        .with_retry(retry)
        // not every server has deletion in bulk
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &settings.endpoint {
        plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint);
    }
    builder.with_http_connector(Connector { plain }).build()
}

/// Makes the HTTP client as weir's other clients are made.
#[derive(Debug)]
struct Connector {
    /// whether the endpoint is not encrypted: no roots are needed then
    plain: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = self.client(http.as_deref() == Some("true"));
        client.map(HttpClient::new).map_err(|error| object_store::Error::Generic {
            store: "HTTP client",
            source: Box::new(error),
        })
    }
}

impl Connector {
    fn client(&self, allow_http: bool) -> reqwest::Result<reqwest::Client> {
        let limits = limits();
        let builder = outbound::builder()
            .connect_timeout(limits.snapshot_connect_deadline)
            .timeout(limits.snapshot_request_deadline)
            .https_only(!allow_http);
        outbound::client(builder, !self.plain)
    }
}
