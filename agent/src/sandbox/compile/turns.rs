//! Who compiles when: two at once, first come, first served, and one more that takes long.
//!
//! What takes long must not keep the others waiting, whoever made it so. After some seconds it leaves its turn to the
//! next one and goes on as the slow one. While another is slow it stays where it is, unless somebody waits: then it is
//! ended in the end, and begun anew when the slow ones before it are through.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Children at once that are not known to be slow. They are nice, and each has several threads.
const AT_ONCE: usize = 2;
/// What takes longer is slow. A small checker takes half a second, Python's four.
const QUICK: Duration = Duration::from_secs(5);
/// What takes longer loses its turn if somebody waits for one.
const LONGEST: Duration = Duration::from_secs(15);
/// Between looks whether somebody waits.
const LOOK: Duration = Duration::from_secs(1);

pub struct Turns {
    quick: Semaphore,
    slow: Semaphore,
    /// For a quick turn.
    waiting: AtomicUsize,
}

impl Turns {
    pub fn new() -> Self {
        Self { quick: Semaphore::new(AT_ONCE), slow: Semaphore::new(1), waiting: AtomicUsize::new(0) }
    }

    /// Makes an attempt when it is its turn. Dropping one must end it; a slow one may be made twice.
    pub async fn take<F: Future>(&self, attempt: impl Fn() -> F) -> F::Output {
        let turn = {
            let _waiting = Waiting::new(&self.waiting);
            self.quick.acquire().await
        };
        let mut going = Box::pin(attempt());
        let moves_over = async {
            sleep(QUICK).await;
            self.slow.acquire().await
        };
        let slow = tokio::select! {
            biased;
            made = &mut going => return made,
            slow = moves_over => Some(slow),
            () = self.is_wanted() => None,
        };
        let Some(_slow) = slow else {
            drop((going, turn));
            let _slow = self.slow.acquire().await;
            return attempt().await;
        };
        drop(turn);
        going.await
    }

    /// Until a turn has lasted long, and somebody waits for it.
    async fn is_wanted(&self) {
        sleep(LONGEST).await;
        while self.waiting.load(Ordering::Relaxed) == 0 {
            sleep(LOOK).await;
        }
    }
}

/// Counts as one who waits until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::time::Instant;

    use super::*;

    /// When what takes so many seconds each is done, in seconds.
    async fn done(seconds: &[u64]) -> Vec<u64> {
        let (turns, begun) = (Turns::new(), Instant::now());
        let take = async |seconds: &u64| {
            turns.take(|| sleep(Duration::from_secs(*seconds))).await;
            begun.elapsed().as_secs()
        };
        join_all(seconds.iter().map(take)).await
    }

    #[tokio::test(start_paused = true)]
    async fn two_go_at_once() {
        assert_eq!(done(&[1, 1, 1, 1]).await, [1, 1, 2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_lets_others_pass() {
        assert_eq!(done(&[100, 100, 1, 1, 1]).await, [100, 100, 6, 7, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_and_wanted_is_begun_anew() {
        // The second and third lose their turns after 15 s, one after the other they are the slow one.
        let done = done(&[100, 100, 100, 100, 1]).await;
        assert!(done[4] <= 21, "{done:?}");
        assert_eq!(done[0], 100);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_where_nobody_waits() {
        assert_eq!(done(&[30, 30]).await, [30, 30]);
    }
}
