//! What an evaluation may cost: steps are counted, and there is an end of them.

use super::value::Fault;

/// Steps of one evaluation: a node, an element that is visited, some bytes of text that are gone through.
/// Rules use some tens; this many take a few milliseconds.
pub(super) const STEPS_MAX: u32 = 100_000;
/// Bytes that a text made by a function may have.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 16;
/// Elements that a list or map made by an expression may have.
pub(super) const ELEMENTS_MAX: usize = 10_000;

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Fuel(u32);

impl Default for Fuel {
    fn default() -> Self {
        Fuel(STEPS_MAX)
    }
}

impl Fuel {
    /// Takes steps off.
    #[inline]
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.0 = self.0.checked_sub(steps).ok_or(Fault::Cost)?;
        Ok(())
    }

    /// For a text that is about to be made.
    pub(super) fn text(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > TEXT_BYTES_MAX {
            return Err(Fault::Cost);
        }
        self.spend(bytes / 64)
    }

    /// For a list that is about to be made.
    pub(super) fn elements(&mut self, count: usize) -> Result<(), Fault> {
        if count > ELEMENTS_MAX {
            return Err(Fault::Cost);
        }
        self.spend(count)
    }
}
