//! The vocabulary: the values that travel between the parts, and the two traits through which parts use each other
//! without knowing each other. Nothing in here does I/O, spawns or waits.

pub mod check;
pub mod checkset;
pub mod grant;
pub mod host;
pub mod name;
pub mod outcome;
pub mod secret;
pub mod service;
pub mod snapshot;
pub mod target;
#[cfg(test)]
pub mod testing;
pub mod time;
pub mod verdict;
