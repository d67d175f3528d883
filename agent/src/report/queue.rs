//! Which reports wait, in the order in which they were made, and which are given up when there are too many. Pure:
//! files are the store's.

use std::collections::VecDeque;

use super::seal::Sealed;

/// What a file takes at least on most file systems: it bounds the number of files too.
pub const BLOCK: u64 = 4096;
/// What waits in memory while the disk takes nothing.
const MEMORY: u64 = 1 << 20;

/// Where a report waits.
#[derive(Debug, Clone)]
pub enum Place {
    /// The file of that number.
    Disk(u64),
    Memory(Sealed),
}

#[derive(Debug, Clone)]
pub struct Entry {
    /// Tells entries apart for as long as the agent lives.
    id: u64,
    pub place: Place,
    /// In bytes, whole blocks.
    cost: u64,
}

#[derive(Debug)]
pub struct Queue {
    entries: VecDeque<Entry>,
    next_id: u64,
    /// Of all that are on disk, in bytes.
    bound: u64,
    on_disk: u64,
    in_memory: u64,
}

/// What was given up to make room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Files to be removed, oldest first.
    pub files: Vec<u64>,
    pub from_memory: u64,
}

/// What `bytes` take on a disk.
pub fn cost(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl Queue {
    pub fn new(bound: u64) -> Self {
        Self { entries: VecDeque::new(), next_id: 0, bound, on_disk: 0, in_memory: 0 }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// In bytes, whole blocks.
    pub fn bytes(&self) -> u64 {
        self.on_disk.saturating_add(self.in_memory)
    }

    /// How many of them are in memory alone, and end with the agent.
    pub fn volatile(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.place, Place::Memory(_))).count()
    }

    /// Adds the newest. The oldest of its kind make room, except what is being sent just now.
    pub fn push(&mut self, place: Place, bytes: u64, sending: Option<u64>) -> GivenUp {
        let entry = Entry { id: self.next_id, place, cost: cost(bytes) };
        let newest = entry.id;
        self.next_id += 1;
        *self.account(&entry.place) += entry.cost;
        self.entries.push_back(entry);
        let mut given_up = GivenUp::default();
        while let Some(at) = self.too_much(newest, sending) {
            match self.remove_at(at).map(|entry| entry.place) {
                Some(Place::Disk(number)) => given_up.files.push(number),
                Some(Place::Memory(_)) => given_up.from_memory += 1,
                None => break,
            }
        }
        given_up
    }

    /// The oldest entry of a kind that has too much.
    fn too_much(&self, newest: u64, sending: Option<u64>) -> Option<usize> {
        // A start pushes all that waits: it is not to look through everything for each.
        if self.on_disk <= self.bound && self.in_memory <= MEMORY {
            return None;
        }
        let full = |place: &Place| match place {
            Place::Disk(_) => self.on_disk > self.bound,
            Place::Memory(_) => self.in_memory > MEMORY,
        };
        let free = |entry: &Entry| entry.id != newest && Some(entry.id) != sending;
        self.entries.iter().position(|entry| full(&entry.place) && free(entry))
    }

    /// What is to be sent next, and its id.
    pub fn front(&self) -> Option<(u64, &Place)> {
        self.entries.front().map(|entry| (entry.id, &entry.place))
    }

    /// It is done with.
    pub fn remove(&mut self, id: u64) {
        if let Some(at) = self.entries.iter().position(|entry| entry.id == id) {
            self.remove_at(at);
        }
    }

    fn remove_at(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        let account = self.account(&entry.place);
        *account = account.saturating_sub(entry.cost);
        Some(entry)
    }

    fn account(&mut self, place: &Place) -> &mut u64 {
        match place {
            Place::Disk(_) => &mut self.on_disk,
            Place::Memory(_) => &mut self.in_memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use crate::report::document::Number;

    use super::*;

    fn memory(sequence: u64) -> Place {
        Place::Memory(Sealed { number: Number { stream: "s".into(), sequence }, packed: Arc::from([]) })
    }

    #[test]
    fn the_oldest_make_room_but_not_what_is_being_sent() {
        let mut queue = Queue::new(3 * BLOCK);
        for number in 1..=3 {
            assert_eq!(queue.push(Place::Disk(number), 10, None), GivenUp::default());
        }
        let (first, _) = queue.front().expect("three");
        let given_up = queue.push(Place::Disk(4), BLOCK + 1, Some(first));
        assert_eq!(given_up, GivenUp { files: vec![2, 3], from_memory: 0 });
        queue.remove(first);
        assert!(matches!(queue.front(), Some((_, Place::Disk(4)))));
        assert_eq!((queue.len(), queue.bytes()), (1, 2 * BLOCK));
    }

    #[test]
    fn memory_has_a_bound_of_its_own_and_keeps_its_place_in_the_order() {
        let mut queue = Queue::new(BLOCK);
        queue.push(Place::Disk(1), 1, None);
        let mut lost = 0;
        for sequence in 1..=300 {
            let given_up = queue.push(memory(sequence), 1, None);
            assert!(given_up.files.is_empty(), "{given_up:?}");
            lost += given_up.from_memory;
        }
        assert_eq!((lost, queue.volatile(), queue.len()), (44, 256, 257));
        assert!(matches!(queue.front(), Some((_, Place::Disk(1)))), "what is on disk is older");
    }

    #[test]
    fn a_start_with_many_that_wait_is_quick() {
        let mut queue = Queue::new(u64::MAX);
        let begun = std::time::Instant::now();
        for number in 1..=200_000 {
            queue.push(Place::Disk(number), 1, None);
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "it was {:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn never_more_than_the_bound_and_always_in_order(sizes in proptest::collection::vec(1_u64..20_000, 1..60)) {
            let mut queue = Queue::new(32 << 10);
            let mut given_up = Vec::new();
            for (number, size) in (1_u64..).zip(&sizes) {
                given_up.extend(queue.push(Place::Disk(number), *size, None).files);
                prop_assert!(queue.bytes() <= 32 << 10);
            }
            let mut kept = Vec::new();
            while let Some((id, Place::Disk(number))) = queue.front().map(|(id, place)| (id, place.clone())) {
                kept.push(number);
                queue.remove(id);
            }
            given_up.extend(&kept);
            prop_assert_eq!(given_up, (1..=u64::try_from(sizes.len()).expect("few")).collect::<Vec<_>>());
            prop_assert!(!kept.is_empty());
            prop_assert_eq!(queue.bytes(), 0);
        }
    }
}
