//! Ends the process where a commit hangs.
//!
//! Sending positions to a transaction can hang for ever whatever its time-out says (librdkafka
//! issues 5456 and 5511), and so can dropping the client or waiting for its thread. Nothing in the
//! process can help then, and while it lives it keeps its partitions from everybody else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often commits are looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Since {
    base: Instant,
    /// milliseconds after `base` at which the commit under way began, plus one; 0: none
    began: AtomicU64,
}

/// One committer's side.
#[derive(Clone, Debug)]
pub struct Watched(Arc<Since>);

impl Watched {
    /// A commit begins.
    pub fn begin(&self) {
        let millis = u64::try_from(self.0.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.began.store(millis + 1, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn end(&self) {
        self.0.began.store(0, Ordering::Relaxed);
    }
}

impl Since {
    fn age(&self) -> Option<Duration> {
        let began = self.began.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.base.elapsed().saturating_sub(Duration::from_millis(began)))
    }
}

/// Looks after the commits of a process.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    watched: Arc<Mutex<Vec<Weak<Since>>>>,
}

impl Watchdog {
    /// Something to look after from now on, as long as it is kept.
    pub fn watch(&self) -> Watched {
        let since = Arc::new(Since { base: Instant::now(), began: AtomicU64::new(0) });
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|weak| weak.strong_count() > 0);
        watched.push(Arc::downgrade(&since));
        Watched(since)
    }

    /// The age of the oldest commit under way.
    fn oldest(&self) -> Option<Duration> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.iter().filter_map(Weak::upgrade).filter_map(|since| since.age()).max()
    }

    /// Calls `bite` once a commit is older than `age_max`. Ends when `stop` says so.
    pub fn guard(
        &self,
        age_max: Duration,
        mut stop: impl FnMut(Duration) -> bool + Send + 'static,
        bite: impl FnOnce(Duration) + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let dog = self.clone();
        std::thread::Builder::new().name("weir-watchdog".into()).spawn(move || {
            let mut looked = Instant::now();
            let mut awake = looked;
            while !stop(LOOK) {
                if looked.elapsed() > LOOK * 4 {
                    // the whole process stood still: a commit that waits as long as that was not
                    // hanging, and has its time from now on
                    awake = Instant::now();
                }
                looked = Instant::now();
                let age = dog.oldest().filter(|age| *age > age_max);
                if let Some(age) = age.filter(|_| awake.elapsed() > age_max) {
                    return bite(age);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn a_commit_that_hangs_is_bitten_and_those_that_end_are_not() {
        let dog = Watchdog::default();
        let (quick, slow) = (dog.watch(), dog.watch());
        let (told, bitten) = bounded(1);
        let limit = Duration::from_millis(30);
        let nap = |_| {
            let (_keep, never) = bounded::<()>(0);
            let _ = never.recv_timeout(Duration::from_millis(5));
            false
        };
        let thread = dog.guard(limit, nap, move |age| told.send(age).unwrap()).unwrap();
        for _ in 0..50 {
            quick.begin();
            quick.end();
        }
        assert_eq!(
            bitten.recv_timeout(limit * 2),
            Err(crossbeam_channel::RecvTimeoutError::Timeout)
        );
        slow.begin();
        assert!(bitten.recv_timeout(Duration::from_secs(5)).unwrap() > limit);
        thread.join().unwrap();
    }

    #[test]
    fn a_process_that_stood_still_has_its_time_from_then_on() {
        let dog = Watchdog::default();
        let commit = dog.watch();
        commit.begin();
        let (told, bitten) = bounded(1);
        let mut first = true;
        let limit = LOOK * 3;
        // the first nap lasts as if the process had been stopped
        let nap = move |_| {
            let (_keep, never) = bounded::<()>(0);
            let wait = if std::mem::take(&mut first) { LOOK * 5 } else { LOOK / 10 };
            let _ = never.recv_timeout(wait);
            false
        };
        let began = Instant::now();
        let thread = dog.guard(limit, nap, move |_| told.send(()).unwrap()).unwrap();
        bitten.recv_timeout(LOOK * 40).unwrap();
        assert!(began.elapsed() >= LOOK * 5 + limit, "{:?}", began.elapsed());
        thread.join().unwrap();
    }

    #[test]
    fn what_is_dropped_is_not_watched() {
        let dog = Watchdog::default();
        let gone = dog.watch();
        gone.begin();
        drop(gone);
        assert_eq!(dog.oldest(), None);
    }
}
