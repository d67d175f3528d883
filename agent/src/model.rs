//! The vocabulary: the values that travel between the parts, and the two traits through which parts use each other
//! without knowing each other. Nothing in here does I/O, spawns or waits.

pub mod address;
pub mod check;
pub mod checkset;
pub mod found;
pub mod grant;
pub mod host;
pub mod instance;
pub mod maintenance;
pub mod name;
pub mod outcome;
pub mod registration;
pub mod requests;
pub mod secret;
pub mod service;
pub mod snapshot;
pub mod target;
#[cfg(test)]
pub mod testing;
pub mod text;
pub mod time;
pub mod verdict;
