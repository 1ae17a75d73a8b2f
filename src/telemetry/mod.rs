//! What weir says about itself: logs, metrics, health, and the clock it reads.

mod causes;
mod clock;
mod health;
mod logging;
pub mod metric;
mod process;

pub use causes::causes;
pub use clock::{Clock, Stop};
pub use health::{Health, Part};
pub use logging::{LogFormat, init_logging, log_panics};
