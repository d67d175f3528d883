//! What is due when. A name may stand in it more than once; the entry knows which time is its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

use crate::model::name::Name;

#[derive(Default)]
pub struct Queue(BinaryHeap<Reverse<(Instant, Name)>>);

impl Queue {
    pub fn push(&mut self, due: Instant, name: Name) {
        self.0.push(Reverse((due, name)));
    }

    /// The earliest due time.
    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// The earliest, if it is due by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, Name)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(item)| item)
    }
}
