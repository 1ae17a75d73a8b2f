//! The table of profiles, as whoever applies touches to it captures and loads it.

use std::sync::Arc;

use super::{Captured, Load};
use crate::snapshot::Series;
use crate::state::{BodyError, FeatureSet, Profiles, Range};

/// The table, and what is kept in it.
#[derive(Clone, Debug)]
pub struct Table {
    /// what is kept
    pub set: Arc<FeatureSet>,
    /// where
    pub profiles: Arc<Profiles>,
}

impl Captured for Table {
    fn changed(&self, _series: Series) -> Vec<Range> {
        self.profiles.changed()
    }

    fn ranges(&self, _series: Series) -> Vec<Range> {
        self.profiles.ranges()
    }

    fn capture(&mut self, _series: Series, range: Range) -> Option<Vec<u8>> {
        Some(self.profiles.capture(&self.set, range))
    }
}

impl Load for Table {
    fn load(
        &mut self,
        _series: Series,
        body: &[u8],
        wanted: &dyn Fn(u128) -> bool,
    ) -> Result<(), BodyError> {
        self.profiles.load(&self.set, body, wanted)
    }

    fn begin_at(&mut self, _series: Series, body: &[u8]) -> Result<(), BodyError> {
        self.profiles.begin_at(&self.set, body)
    }

    fn forget(&mut self, _series: Series) {
        self.profiles.clear();
    }
}
