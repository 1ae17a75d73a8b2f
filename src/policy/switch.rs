//! Where workers find what decides now.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::score::Engine;

/// Engines that were replaced and may still be in use, at most: a worker takes the new one within a batch.
const REPLACED_MAX: usize = 64;

/// What decides now.
#[derive(Clone, Debug)]
pub struct Posted {
    /// decides
    pub engine: Arc<Engine>,
    /// control records that it was made of
    pub version: i64,
}

/// Hands what decides from the thread that makes it to the workers. Clones are the same switch.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// of what is posted: read once a batch
    version: AtomicI64,
    posted: Mutex<Posted>,
    /// freed by the thread that posts, once no worker has them any more: a large model takes its time
    replaced: Mutex<Vec<Arc<Engine>>>,
    is_fixed: bool,
}

impl Switch {
    /// A switch on which nothing will ever be posted.
    pub fn fixed(engine: Engine) -> Switch {
        Switch::new(engine, true)
    }

    /// A switch on which changes will be posted.
    pub fn live(engine: Engine) -> Switch {
        Switch::new(engine, false)
    }

    fn new(engine: Engine, is_fixed: bool) -> Switch {
        let posted = Posted { engine: Arc::new(engine), version: 0 };
        Switch(Arc::new(Inner {
            version: AtomicI64::new(0),
            posted: Mutex::new(posted),
            replaced: Mutex::default(),
            is_fixed,
        }))
    }

    /// Control records that what is posted was made of.
    pub fn version(&self) -> i64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Whether nothing will ever be posted.
    pub fn is_fixed(&self) -> bool {
        self.0.is_fixed
    }

    /// What decides now.
    pub fn posted(&self) -> Posted {
        self.0.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this decides; `None`: what did, as of a later version. Versions never fall.
    pub fn post(&self, engine: Option<Engine>, version: i64) {
        let mut posted = self.0.posted.lock().unwrap_or_else(PoisonError::into_inner);
        if version < posted.version {
            return;
        }
        if let Some(engine) = engine {
            let before = std::mem::replace(&mut posted.engine, Arc::new(engine));
            self.0.replaced.lock().unwrap_or_else(PoisonError::into_inner).push(before);
        }
        posted.version = version;
        self.0.version.store(version, Ordering::Release);
    }

    /// Frees what was replaced and is in no worker's hands any more. For the thread that posts.
    pub fn free(&self) {
        let mut replaced = self.0.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.retain(|engine| Arc::strong_count(engine) > 1);
        // beyond the bound a worker that still has one frees it itself
        let surplus = replaced.len().saturating_sub(REPLACED_MAX);
        replaced.drain(..surplus);
    }
}
