//! What this run has heard from its target.
//!
//! An error after the target's first byte is the target's own doing, and an error before it need not be: that line
//! decides between `down` and `error`, and the error that crosses it may come out of any crate that reads from our
//! stream. So the stream notes here what it saw, and the conversion of errors asks. A component is one thread and one
//! run; natively (unit tests) each thread has its own notes. Nothing here fails.

use std::cell::Cell;

thread_local! {
    static HEARD: Cell<bool> = const { Cell::new(false) };
    static ENDED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Forgets everything: a run begins.
pub(crate) fn reset() {
    HEARD.set(false);
    ENDED.set(None);
}

/// A byte came from a peer.
pub(crate) fn heard() {
    HEARD.set(true);
}

/// The peer at `address` ended its side. That is word from it, too.
pub(crate) fn ended(address: &str) {
    HEARD.set(true);
    if last_ended() != Some(address) {
        // The sandbox goes with the run, and its memory with it: a note that needs no destructor is the cheaper one.
        ENDED.set(Some(address.to_owned().leak()));
    }
}

/// Whether a peer has said anything in this run, be it the end.
pub(crate) fn was_heard() -> bool {
    HEARD.get()
}

/// The last peer that ended its side.
pub(crate) fn last_ended() -> Option<&'static str> {
    ENDED.get()
}
