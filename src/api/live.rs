//! `/live`: decisions and totals as server-sent events, to one watcher.
//!
//! - `start`: version, names of the features, totals, the newest decisions, oldest first
//! - `decisions`: those made since, at most ten events a second, and how many were skipped because
//!   the watcher did not keep up
//! - `totals`: about once a second
//!
//! Decisions are held up by nobody: a watcher that reads slowly falls behind its own broadcast
//! receiver, which then leaves out the oldest and says how many.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::feed::{Feed, Shown, array};
use crate::state::FeatureSet;

/// The least time between two events with decisions.
const EVERY: Duration = Duration::from_millis(100);
/// Decisions a page gets when it is opened.
const START_MAX: usize = 200;
/// Decisions in one event.
const EVENT_MAX: usize = 100;

struct Live {
    head: Arc<str>,
    start: Option<Vec<Shown>>,
    decisions: broadcast::Receiver<Shown>,
    totals: watch::Receiver<Arc<str>>,
    tick: Interval,
    _seat: OwnedSemaphorePermit,
}

/// The events for one watcher, who keeps the seat until the end: when the watcher leaves or the
/// tail ends.
pub(super) fn stream(
    feed: &Feed,
    head: Arc<str>,
    seat: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let (newest, decisions) = feed.follow(START_MAX);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let totals = feed.totals();
    let live = Live { head, start: Some(newest), decisions, totals, tick, _seat: seat };
    futures_util::stream::unfold(live, |mut live| async {
        let event = live.next().await?;
        Some((Ok(event), live))
    })
}

impl Live {
    /// The next event; `None` once the tail has ended.
    ///
    /// # Cancellation
    /// Loses nothing: what was taken from the broadcast is given back in the same poll.
    async fn next(&mut self) -> Option<Event> {
        if let Some(newest) = self.start.take() {
            let totals = self.totals.borrow_and_update().clone();
            let data = start(&self.head, &totals, &newest);
            return Some(Event::default().event("start").data(data));
        }
        loop {
            tokio::select! {
                biased;
                changed = self.totals.changed() => {
                    changed.ok()?;
                    let totals = self.totals.borrow_and_update().clone();
                    return Some(Event::default().event("totals").data(totals));
                }
                _ = self.tick.tick() => {
                    if let Some(data) = drain(&mut self.decisions) {
                        return Some(Event::default().event("decisions").data(data));
                    }
                }
            }
        }
    }
}

/// What every stream begins with: names that later events do not repeat.
pub(super) fn head(features: &FeatureSet) -> String {
    let names: Vec<&str> = features.names().map(|(name, _)| name).collect();
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "features": names,
        "feature_set": features.hash(),
    })
    .to_string()
}

fn start(head: &str, totals: &str, newest: &[Shown]) -> String {
    let head = head.trim_end_matches('}');
    let decisions = array(newest);
    format!("{head},\"totals\":{totals},\"decisions\":{decisions}}}")
}

/// What has gathered, `None` if nothing has.
fn drain(decisions: &mut broadcast::Receiver<Shown>) -> Option<String> {
    let mut gathered = Vec::new();
    let mut skipped = 0;
    loop {
        match decisions.try_recv() {
            Ok(decision) => gathered.push(decision),
            Err(TryRecvError::Lagged(count)) => skipped += count,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    let surplus = gathered.len().saturating_sub(EVENT_MAX);
    skipped += surplus as u64;
    if gathered.is_empty() {
        return None;
    }
    let mut data = String::new();
    // writing to a string does not fail
    let _written =
        write!(data, "{{\"skipped\":{skipped},\"decisions\":{}}}", array(&gathered[surplus..]));
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits;

    #[test]
    fn a_slow_watcher_is_told_exactly_how_many_it_missed() {
        let (feed, publisher) = super::super::feed::open();
        let (_, mut decisions) = feed.follow(0);
        assert_eq!(drain(&mut decisions), None);
        let made = limits().console_backlog * 3 + 17;
        publisher.decisions((0..made).map(|i| Arc::from(i.to_string())));
        let data = drain(&mut decisions).unwrap();
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        let shown = data["decisions"].as_array().unwrap();
        assert_eq!(shown.len(), EVENT_MAX);
        assert_eq!(shown.last().unwrap(), made - 1);
        assert_eq!(data["skipped"], made - EVENT_MAX);
        assert_eq!(drain(&mut decisions), None);
    }

    #[test]
    fn the_start_is_json_with_a_name_for_every_feature() {
        let features = FeatureSet::shipped().unwrap();
        let newest: Vec<Shown> = vec![Arc::from("{\"seq\":1}")];
        let start: serde_json::Value =
            serde_json::from_str(&start(&head(&features), "null", &newest)).unwrap();
        assert_eq!(start["features"].as_array().unwrap().len(), features.len());
        assert_eq!(start["decisions"][0]["seq"], 1);
        assert!(start["totals"].is_null());
    }
}
