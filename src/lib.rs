//! weir decides about money events while they happen.
pub mod event;
pub mod log;
pub mod sim;
