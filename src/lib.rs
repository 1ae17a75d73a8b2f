//! weir decides about money events while they happen.
pub mod codec;
pub mod event;
pub mod log;
