//! What is to happen later, in the order of its time, never more of it than the settings allow.
//!
//! A plan of several steps is admitted whole or not at all, so that an episode of fraud is never
//! cut short. What waits long and matters least may take half of the room, see [`Room`]. What is
//! refused does not happen: at a pace far beyond the defaults fewer payments get their capture,
//! refund or honest dispute.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Truth;
use super::chats::Conversation;
use super::disputes::{Contest, Ruling};
use super::invoices::Bill;
use super::payment::Payment;

/// One thing that will happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Payment(Payment),
    Dispute(Contest),
    Label(Ruling),
    /// the next message of a conversation
    Message(Conversation),
    Invoice(Bill),
}

/// A step with its time (milliseconds since 1970) and the truth about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub at: i64,
    pub truth: Truth,
    pub step: Step,
}

struct Entry {
    order: u64,
    planned: Planned,
}

// what the settings say of `pending_max` rests on it
const _: () = assert!(size_of::<Entry>() <= 208);

impl Entry {
    fn key(&self) -> (i64, u64) {
        (self.planned.at, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, since the heap yields the greatest; of equal times the one
    /// that was planned first.
    fn cmp(&self, other: &Entry) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// On whose behalf a plan asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// what follows a genuine payment or bill within days: up to half of the room
    Aftermath,
    /// the next message of a genuine conversation, gone within minutes: up to three quarters
    Conversation,
    /// fraud and what comes of it: all of it
    Episode,
}

/// The steps to come.
pub(super) struct Schedule {
    heap: BinaryHeap<Entry>,
    order: u64,
    max: usize,
}

impl Schedule {
    /// Room for `max` steps.
    pub(super) fn new(max: u32) -> Schedule {
        Schedule { heap: BinaryHeap::new(), order: 0, max: max as usize }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Admits the whole plan, or nothing of it when there is no room.
    pub(super) fn admit(&mut self, room: Room, plan: &[Planned]) -> bool {
        let max = match room {
            Room::Aftermath => self.max / 2,
            Room::Conversation => self.max / 4 * 3,
            Room::Episode => self.max,
        };
        if self.heap.len() + plan.len() > max {
            return false;
        }
        for planned in plan {
            self.order += 1;
            self.heap.push(Entry { order: self.order, planned: *planned });
        }
        true
    }

    /// Time of the next step.
    pub(super) fn next_at(&self) -> Option<i64> {
        self.heap.peek().map(|entry| entry.planned.at)
    }

    pub(super) fn pop(&mut self) -> Option<Planned> {
        self.heap.pop().map(|entry| entry.planned)
    }
}

#[cfg(test)]
mod tests {
    use super::super::chats::{Conversation, Topic};
    use super::*;

    fn at(times: &[i64]) -> Vec<Planned> {
        times
            .iter()
            .map(|at| Planned {
                at: *at,
                truth: Truth::default(),
                step: Step::Message(Conversation::new(0, 0, Topic::Balance, 2)),
            })
            .collect()
    }

    #[test]
    fn steps_come_back_in_the_order_of_their_time() {
        let mut schedule = Schedule::new(10);
        assert!(schedule.admit(Room::Episode, &at(&[5, 1, 3, 1, 9])));
        let popped: Vec<i64> =
            std::iter::from_fn(|| schedule.pop().map(|planned| planned.at)).collect();
        assert_eq!(popped, [1, 1, 3, 5, 9]);
    }

    #[test]
    fn a_plan_without_room_is_refused_whole_and_each_room_leaves_the_next_its_share() {
        let mut schedule = Schedule::new(8);
        for (room, full) in [(Room::Aftermath, 4), (Room::Conversation, 6), (Room::Episode, 8)] {
            assert!(!schedule.admit(room, &at(&[1, 2, 3])) || room == Room::Aftermath);
            while schedule.admit(room, &at(&[1])) {}
            assert_eq!(schedule.len(), full, "{room:?}");
        }
    }
}
