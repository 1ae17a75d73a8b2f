//! `weir demo`: placeholder
use super::Failure;
use clap::Args;
/// demo
#[derive(Debug, Args)]
pub(super) struct Demo {}
impl Demo {
    pub(super) fn run(&self) -> Result<(), Failure> {
        Ok(())
    }
}
