//! Checkers with one sin each, for the tests of the sandbox, and two without, for its benches.
//!
//! Each is an example of this crate and a component of its own, built like any plugin. What a test expects of one
//! stands in its first line. There is nothing in the library.
