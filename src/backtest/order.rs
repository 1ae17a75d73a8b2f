//! One order out of all inputs: by (event time, rank of the kind, input, order in it).
//!
//! As in the worker's strict merge, each kind of each input is a lane, and what comes next is the least
//! of the lanes' heads. A lane may be taken from before another has a head only where that other one can
//! have nothing earlier: at the end of its input, and where its input went on for long without it.

use std::collections::VecDeque;

use crossbeam_channel::Receiver;

use super::arrival::{Arrival, Batch, Input};
use crate::event::Kind;

/// Events that a file may go on without one of a kind before that kind is not waited for any more.
const QUIET_AFTER: u64 = 16_384;
/// Events of one input that may wait for another kind of it.
const WAITING_MAX: usize = 4_000_000;
const KINDS: usize = 5;

/// The kinds of one file are too far apart to be put in order in memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file}: {WAITING_MAX} events of a kind wait for earlier ones of another, expected kinds side by \
     side; give it twice, with a map for each kind"
)]
pub struct TooFarAhead {
    file: String,
}

/// Why there is no next event.
#[derive(Debug)]
pub(super) enum NoOrder {
    TooFarAhead(TooFarAhead),
    /// a reader has failed, and says so itself
    Cut,
}

#[derive(Debug, Default)]
struct Lane {
    /// whether the input may have this kind
    is_open: bool,
    heads: VecDeque<Box<Arrival>>,
    /// events of the input since the last one of this kind
    quiet: u64,
}

#[derive(Debug)]
struct Source {
    file: String,
    batches: Receiver<Batch>,
    /// by rank
    lanes: [Lane; KINDS],
    waiting: usize,
}

/// The merge.
#[derive(Debug)]
pub(super) struct Order {
    sources: Vec<Source>,
    /// time of what was taken last
    last: i64,
    /// events that came when it was too late to put them before later ones
    out_of_turn: u64,
}

fn rank(kind: Kind) -> usize {
    usize::from(kind.topic().rank())
}

impl Order {
    pub(super) fn new(inputs: Vec<(&Input, Receiver<Batch>)>) -> Order {
        let source = |(input, batches): (&Input, _)| {
            let mut lanes: [Lane; KINDS] = Default::default();
            input.kinds().into_iter().for_each(|kind| lanes[rank(kind)].is_open = true);
            Source { file: input.path.display().to_string(), batches, lanes, waiting: 0 }
        };
        let sources = inputs.into_iter().map(source).collect();
        Order { sources, last: i64::MIN, out_of_turn: 0 }
    }

    /// Events so far that came when it was too late to put them before later ones.
    pub(super) fn out_of_turn(&self) -> u64 {
        self.out_of_turn
    }

    /// The next event of all, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Box<Arrival>>, NoOrder> {
        let mut first: Option<(i64, usize, usize)> = None;
        for (number, source) in self.sources.iter_mut().enumerate() {
            self.out_of_turn += source.fill(self.last)?;
            for (rank, lane) in source.lanes.iter().enumerate() {
                if let Some(head) = lane.heads.front() {
                    let found = (head.event.event_time().0, rank, number);
                    first = Some(first.map_or(found, |known| known.min(found)));
                }
            }
        }
        let Some((time, rank, number)) = first else { return Ok(None) };
        self.last = self.last.max(time);
        let source = &mut self.sources[number];
        source.waiting -= 1;
        Ok(source.lanes[rank].heads.pop_front())
    }
}

impl Source {
    /// Reads on until no lane may have anything earlier than the heads. `last` is the time of what was
    /// taken last; returned is how many events came too late for it.
    fn fill(&mut self, last: i64) -> Result<u64, NoOrder> {
        let mut late = 0;
        while self.lanes.iter().any(Lane::is_waited_for) {
            let batch = self.batches.recv().map_err(|_| NoOrder::Cut)?;
            if batch.is_empty() {
                self.lanes.iter_mut().for_each(|lane| lane.is_open = false);
            }
            self.waiting += batch.len();
            if self.waiting > WAITING_MAX {
                return Err(NoOrder::TooFarAhead(TooFarAhead { file: self.file.clone() }));
            }
            for arrival in batch {
                let of = rank(arrival.event.kind());
                self.lanes.iter_mut().for_each(|lane| lane.quiet += 1);
                let lane = &mut self.lanes[of];
                late += u64::from(lane.quiet > QUIET_AFTER && arrival.event.event_time().0 < last);
                lane.quiet = 0;
                lane.heads.push_back(arrival);
            }
        }
        Ok(late)
    }
}

impl Lane {
    fn is_waited_for(&self) -> bool {
        self.is_open && self.heads.is_empty() && self.quiet <= QUIET_AFTER
    }
}
