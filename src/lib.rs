//! weir decides about money events while they happen.
pub mod api;
pub mod backtest;
pub mod cli;
pub mod codec;
pub mod config;
pub mod event;
pub mod expr;
pub mod lists;
pub mod log;
pub mod outbound;
pub mod policy;
pub mod replay;
pub mod score;
pub mod sim;
pub mod sink;
pub mod snapshot;
pub mod stage;
pub mod state;
pub mod telemetry;

/// Of everything that is linked with weir, its tests and benchmarks too: `docs/adr/0016-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
