//! A body is rendered at most once per snapshot, form and 100 ms: a stampede of probes costs one rendering.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reply::Reply;

const FRESH: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Cache(Mutex<BTreeMap<&'static str, Kept>>);

struct Kept {
    rendered: Instant,
    /// Of what it was rendered from.
    version: usize,
    reply: Reply,
}

impl Cache {
    /// The reply of this form, rendered now if it is not fresh.
    pub fn get(&self, form: &'static str, version: usize, render: impl FnOnce() -> Reply) -> Reply {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(form)
            && kept.version == version
            && kept.rendered.elapsed() < FRESH
        {
            return kept.reply.clone();
        }
        let reply = render();
        kept.insert(form, Kept { rendered: Instant::now(), version, reply: reply.clone() });
        reply
    }
}
