//! The time, and waiting for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "this is where the time comes from")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Waits until `due`, if it is not past.
pub fn until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // nobody unparks us, so this only ever ends early by accident
        std::thread::park_timeout(left);
    }
}

/// Waits for a while.
pub fn pause(wait: Duration) {
    until(Instant::now() + wait);
}
