//! Weir's own records, read back: by sinks, the API, a restore, tools.
//!
//! A process has one registry or none, and those who read own records have no other reason to know
//! it, so it is known process-wide ([`use_registry`]). With it, a record framed with an id is read
//! with the schema that the id stands for, which may be an older or newer weir's. Without it such a
//! record is refused: a body read with the wrong schema may look sound. Tools for people, which are
//! to work without a connection, ask for [`decode_offline`].

use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;

use super::Contract;
use super::decode::read;
use super::frame::Frame;
use super::registry::{Ids, Known, Registry, RegistryError};

static REGISTRY: RwLock<Option<Arc<Registry>>> = RwLock::new(None);

/// From now on this process frames its own records with the registry's ids and reads them by it.
pub fn use_registry(registry: &Arc<Registry>) {
    *REGISTRY.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(registry));
}

fn registry() -> Option<Arc<Registry>> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The ids of this process's registry; none without it.
pub(super) fn ids() -> Ids {
    registry().map_or_else(Ids::default, |registry| *registry.ids())
}

/// Why a record of weir's own cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OwnError {
    /// it is damaged, or of another contract
    #[error("{0}")]
    Unreadable(String),
    /// its schema cannot be had now: worth another attempt
    #[error(transparent)]
    Unavailable(#[from] RegistryError),
}

/// Reads back what a weir wrote. An id that is not known yet is asked for, which blocks for a
/// bounded time.
///
/// # Errors
/// When the payload is not framed as a record of the contract, its body is damaged, or its schema
/// cannot be had.
pub fn decode_own<'a, T: Deserialize<'a>>(
    contract: Contract,
    payload: &'a [u8],
) -> Result<T, OwnError> {
    match (Frame::of(payload), registry()) {
        (Some(Frame::Id(id, body)), Some(registry)) => by_id(contract, id, body, &registry),
        (Some(Frame::Id(id, _)), None) => Err(OwnError::Unreadable(format!(
            "its schema has id {id} in a registry, and none is configured"
        ))),
        _ => serde_avro_fast::from_single_object_slice(payload, contract.schema())
            .map_err(|error| OwnError::Unreadable(error.to_string())),
    }
}

/// As [`decode_own`], for tools that must do without a registry: there an id cannot be looked up,
/// so the body is read with the contract of this build, and all of it or nothing. A body of another
/// weir's contract is thus refused in most cases, not in all.
///
/// # Errors
/// As [`decode_own`].
pub fn decode_offline<'a, T: Deserialize<'a>>(
    contract: Contract,
    payload: &'a [u8],
) -> Result<T, OwnError> {
    match Frame::of(payload) {
        Some(Frame::Id(_, body)) if registry().is_none() => built_in(contract, body),
        _ => decode_own(contract, payload),
    }
}

fn by_id<'a, T: Deserialize<'a>>(
    contract: Contract,
    id: u32,
    body: &'a [u8],
    registry: &Registry,
) -> Result<T, OwnError> {
    if registry.ids().get(contract) == Some(id) {
        return built_in(contract, body);
    }
    let unreadable = |why: String| OwnError::Unreadable(format!("schema id {id}: {why}"));
    let known = registry.schema(id)?;
    let writer = match known.as_deref() {
        Some(Known::Writer(writer)) => writer,
        Some(Known::Unusable { why, .. }) => return Err(unreadable(why.clone())),
        None => return Err(unreadable("the registry does not know it".to_owned())),
    };
    if writer.contract != Some(contract) {
        return Err(unreadable(format!("it is {}, expected a {contract:?}", writer.name)));
    }
    if let Some(why) = &writer.incompatible {
        return Err(unreadable(format!("it cannot be read as ours: {why}")));
    }
    whole(read(&writer.schema, body))
}

fn built_in<'a, T: Deserialize<'a>>(contract: Contract, body: &'a [u8]) -> Result<T, OwnError> {
    whole(read(contract.schema(), body))
}

fn whole<T>(read: Result<(T, usize), serde_avro_fast::de::DeError>) -> Result<T, OwnError> {
    match read {
        Ok((value, 0)) => Ok(value),
        Ok((_, rest)) => {
            Err(OwnError::Unreadable(format!("{rest} bytes left over, expected none")))
        }
        Err(error) => Err(OwnError::Unreadable(error.to_string())),
    }
}
