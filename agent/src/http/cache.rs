//! A body is rendered at most once per snapshot, form and 100 ms: a stampede of probes costs one rendering. What takes
//! long to render is kept for longer, so that no reader can make rendering all that the agent does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

use super::reply::Reply;

const FRESH: Duration = Duration::from_millis(100);
/// A body is kept for at least so many times what its rendering took.
const LAZINESS: u32 = 20;

/// Renderings that are faster are of no concern.
const SLOW: Duration = Duration::from_millis(5);

#[derive(Default)]
pub struct Cache(Mutex<BTreeMap<&'static str, Kept>>);

struct Kept {
    rendered: Instant,
    /// Of what it was rendered from.
    version: usize,
    /// CPU time that the rendering took.
    took: Duration,
    reply: Reply,
}

impl Kept {
    fn is_fresh(&self, version: usize) -> bool {
        let age = self.rendered.elapsed();
        self.version == version && age < FRESH || age < self.took * LAZINESS
    }
}

impl Cache {
    /// The reply of this form, rendered now if it is not fresh.
    pub fn get(&self, form: &'static str, version: usize, render: impl FnOnce() -> Reply) -> Reply {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(form).filter(|kept| kept.is_fresh(version)) {
            return kept.reply.clone();
        }
        // Bodies may be large, and forms many.
        kept.retain(|_, kept| kept.is_fresh(kept.version));
        let begun = clock::thread_cpu();
        let reply = render();
        let took = clock::thread_cpu().saturating_sub(begun);
        // What takes no time to speak of is as fresh as its snapshot.
        let took = if took > SLOW { took } else { Duration::ZERO };
        kept.insert(form, Kept { rendered: Instant::now(), version, took, reply: reply.clone() });
        reply
    }
}
