//! How much a guest may hold: its own cap, and the one of all guests together. Memory is counted over all memories and
//! tables of a store, at creation and at growth.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

/// Core instances, tables and memories of one run. Python's components need many core modules.
const MAX_INSTANCES: usize = 64;
const MAX_TABLES: usize = 16;
const MAX_MEMORIES: usize = 4;
/// Elements of all tables of one run.
const MAX_TABLE_ELEMENTS: usize = 100_000;
const ELEMENT: u64 = 8;

/// The memory of all guests together.
#[derive(Debug)]
pub struct GuestMemory {
    used: AtomicU64,
    limit: u64,
}

impl GuestMemory {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), limit })
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Which cap a guest ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    Memory,
    Table,
    /// The memory of all guests: no fault of this one.
    AllGuests,
}

/// The limiter of one store. Gives back what it took when it is dropped with its store.
#[derive(Debug)]
pub struct Limits {
    all: Arc<GuestMemory>,
    cap: u64,
    held: u64,
    elements: usize,
    exceeded: Option<Exceeded>,
}

impl Limits {
    pub fn new(all: Arc<GuestMemory>, cap: u64) -> Self {
        Self { all, cap, held: 0, elements: 0, exceeded: None }
    }

    /// The most that was held, in bytes: nothing is given back before the end.
    pub fn peak(&self) -> u64 {
        self.held
    }

    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// The cap that was hit last, if any.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    fn grow(&mut self, bytes: u64) -> bool {
        if self.held.saturating_add(bytes) > self.cap {
            self.exceeded = Some(Exceeded::Memory);
            return false;
        }
        if !self.all.take(bytes) {
            self.exceeded = Some(Exceeded::AllGuests);
            return false;
        }
        self.held += bytes;
        true
    }
}

fn difference(current: usize, desired: usize) -> u64 {
    u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX)
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(difference(current, desired)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if self.elements.saturating_add(more) > MAX_TABLE_ELEMENTS {
            self.exceeded = Some(Exceeded::Table);
            return Ok(false);
        }
        let granted = self.grow(difference(current, desired).saturating_mul(ELEMENT));
        self.elements += if granted { more } else { 0 };
        Ok(granted)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.all.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_its_cap_and_all_runs_have_theirs() {
        let all = GuestMemory::new(100);
        let mut first = Limits::new(all.clone(), 60);
        assert!(first.memory_growing(0, 60, None).expect("answers"));
        assert!(!first.memory_growing(60, 61, None).expect("answers"));
        assert_eq!(first.exceeded(), Some(Exceeded::Memory));
        let mut second = Limits::new(all.clone(), 60);
        assert!(!second.memory_growing(0, 41, None).expect("answers"));
        assert_eq!(second.exceeded(), Some(Exceeded::AllGuests));
        assert!(second.memory_growing(0, 40, None).expect("answers"));
        assert_eq!(all.used(), 100);
        drop((first, second));
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn tables_count_elements_and_bytes() {
        let all = GuestMemory::new(1 << 30);
        let mut limits = Limits::new(all, 1 << 30);
        assert!(limits.table_growing(0, MAX_TABLE_ELEMENTS, None).expect("answers"));
        assert!(!limits.table_growing(MAX_TABLE_ELEMENTS, MAX_TABLE_ELEMENTS + 1, None).expect("answers"));
        assert_eq!(limits.exceeded(), Some(Exceeded::Table));
        assert_eq!(limits.peak(), 800_000);
    }
}
