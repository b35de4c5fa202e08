//! Who waits, in which order. Only the one at the head looks at the clock; the others sleep until it is their turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::window::Micros;
use crate::ports::{Ask, Priority};

/// So much earlier does a live request count as having come.
const HEAD_START: Micros = 60_000_000;

/// When somebody has come, as far as the order goes.
pub const fn rank(now: Micros, priority: Priority) -> Micros {
    match priority {
        Priority::Live => now.saturating_sub(HEAD_START),
        Priority::Backfill => now,
    }
}

/// A place in the line.
pub type Place = (Micros, u64);

#[derive(Debug)]
struct Waiter {
    weight: u32,
    priority: Priority,
    wake: Arc<Notify>,
}

/// Everybody who waits in this process.
#[derive(Debug, Default)]
pub struct Line {
    waiting: BTreeMap<Place, Waiter>,
    tickets: u64,
    live: u64,
    backfill: u64,
}

impl Line {
    /// Takes a place; `wake` is called when it may be the first, or when the first should look again.
    pub fn join(&mut self, now: Micros, ask: &Ask, wake: Arc<Notify>) -> Place {
        let place = (rank(now, ask.priority), self.tickets);
        self.tickets += 1;
        *self.weight_of(ask.priority) += u64::from(ask.weight);
        self.waiting.insert(place, Waiter { weight: ask.weight, priority: ask.priority, wake });
        place
    }

    /// Gives a place up; no error where it is gone already.
    pub fn leave(&mut self, place: Place) {
        let was_first = self.is_first(place);
        let Some(gone) = self.waiting.remove(&place) else { return };
        *self.weight_of(gone.priority) -= u64::from(gone.weight);
        if was_first {
            self.wake();
        }
    }

    const fn weight_of(&mut self, priority: Priority) -> &mut u64 {
        match priority {
            Priority::Live => &mut self.live,
            Priority::Backfill => &mut self.backfill,
        }
    }

    /// Wakes the first, if there is one.
    pub fn wake(&self) {
        if let Some(first) = self.waiting.values().next() {
            first.wake.notify_one();
        }
    }

    /// Whether it is this one's turn.
    pub fn is_first(&self, place: Place) -> bool {
        self.waiting.keys().next() == Some(&place)
    }

    /// What goes before a newcomer of `priority`, about.
    pub const fn ahead(&self, priority: Priority) -> u64 {
        match priority {
            Priority::Live => self.live,
            Priority::Backfill => self.live + self.backfill,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everybody's weight.
    pub const fn weight(&self) -> u64 {
        self.live + self.backfill
    }

    /// What the first `count` weigh.
    pub fn weights(&self, count: usize) -> Vec<u32> {
        self.waiting.values().take(count).map(|waiter| waiter.weight).collect()
    }
}
