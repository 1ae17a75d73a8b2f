//! What the tail hands to whoever watches: the newest decisions and the totals, as JSON that is
//! made once however many watch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::config::limits;

/// Decisions kept for a page that is opened late and for `/api/decisions`.
pub(super) const NEWEST_MAX: usize = 500;

/// A decision as JSON.
pub(super) type Shown = Arc<str>;

#[derive(Debug)]
struct Newest {
    ring: VecDeque<Shown>,
    sender: broadcast::Sender<Shown>,
}

/// The watchers' end.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    newest: Arc<Mutex<Newest>>,
    totals: watch::Receiver<Arc<str>>,
}

/// The tail's end. Once it is dropped, watchers are told that there will be no more.
#[derive(Debug)]
pub(super) struct Publisher {
    newest: Arc<Mutex<Newest>>,
    totals: watch::Sender<Arc<str>>,
}

/// An empty feed.
pub(super) fn open() -> (Feed, Publisher) {
    let (sender, _) = broadcast::channel(limits().console_backlog);
    let (totals_sender, totals) = watch::channel(Arc::from("null"));
    let newest = Arc::new(Mutex::new(Newest { ring: VecDeque::with_capacity(NEWEST_MAX), sender }));
    let publisher = Publisher { newest: Arc::clone(&newest), totals: totals_sender };
    (Feed { newest, totals }, publisher)
}

impl Feed {
    /// The newest decisions, newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<Shown> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.ring.iter().rev().take(limit).cloned().collect()
    }

    /// The newest decisions, oldest first, and every one after them: none twice, none missing.
    pub(super) fn follow(&self, limit: usize) -> (Vec<Shown>, broadcast::Receiver<Shown>) {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = newest.ring.len().saturating_sub(limit);
        let shown = newest.ring.iter().skip(skip).cloned().collect();
        (shown, newest.sender.subscribe())
    }

    /// The totals as they change.
    pub(super) fn totals(&self) -> watch::Receiver<Arc<str>> {
        self.totals.clone()
    }
}

impl Publisher {
    /// Shows decisions, oldest first.
    pub(super) fn decisions(&self, decisions: impl IntoIterator<Item = Shown>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for decision in decisions {
            if newest.ring.len() == NEWEST_MAX {
                newest.ring.pop_front();
            }
            newest.ring.push_back(Arc::clone(&decision));
            // fails when nobody watches, which is no failure
            let _watchers = newest.sender.send(decision);
        }
    }

    /// Shows totals.
    pub(super) fn totals(&self, totals: String) {
        self.totals.send_replace(Arc::from(totals));
    }
}

/// JSON values as a JSON array.
pub(super) fn array(values: &[Shown]) -> String {
    let mut array = String::with_capacity(values.iter().map(|v| v.len() + 1).sum::<usize>() + 2);
    array.push('[');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            array.push(',');
        }
        array.push_str(value);
    }
    array.push(']');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<usize>) -> impl Iterator<Item = Shown> {
        range.map(|i| Arc::from(i.to_string()))
    }

    fn texts(shown: &[Shown]) -> Vec<&str> {
        shown.iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn the_ring_is_bounded_and_what_follows_it_is_neither_missing_nor_repeated() {
        let (feed, publisher) = open();
        publisher.decisions(numbers(0..NEWEST_MAX + 7));
        assert_eq!(feed.newest(usize::MAX).len(), NEWEST_MAX);
        assert_eq!(texts(&feed.newest(2)), ["506", "505"]);
        let (newest, mut rest) = feed.follow(3);
        assert_eq!(texts(&newest), ["504", "505", "506"]);
        publisher.decisions(numbers(507..509));
        assert_eq!(&*rest.try_recv().unwrap(), "507");
        assert_eq!(&*rest.try_recv().unwrap(), "508");
        rest.try_recv().unwrap_err();
    }

    #[test]
    fn arrays_are_json() {
        assert_eq!(array(&[]), "[]");
        let values: Vec<Shown> = numbers(1..4).collect();
        assert_eq!(array(&values), "[1,2,3]");
    }
}
