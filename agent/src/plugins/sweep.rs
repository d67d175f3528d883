//! When the cache of compiled code is swept: some time after the last change, so that a storm of replacements is not
//! followed step by step, but at most a while after the first, so that it does not fill the disk.

use std::future::pending;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Since the last change.
const PEACE: Duration = Duration::from_secs(2);
/// Since the first.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Sweep {
    /// When to sweep, and at the latest.
    at: Option<(Instant, Instant)>,
    running: Option<JoinHandle<()>>,
}

impl Sweep {
    /// There is something to sweep.
    pub fn later(&mut self) {
        let now = Instant::now();
        let latest = self.at.map_or(now + PATIENCE, |(_, latest)| latest);
        self.at = Some(((now + PEACE).min(latest), latest));
    }

    /// Not now, although it is time.
    pub fn put_off(&mut self) {
        let at = Instant::now() + PEACE;
        self.at = Some((at, at));
    }

    /// Waits until it is time, for ever where there is nothing to sweep. Safe to cancel.
    pub async fn due(&self) {
        let Some((at, _)) = self.at else { return pending().await };
        sleep_until(at).await;
    }

    pub fn begin(&mut self, sweep: JoinHandle<()>) {
        (self.at, self.running) = (None, Some(sweep));
    }

    /// Is a sweep under way?
    pub fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|sweep| !sweep.is_finished())
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use crate::supervise::Supervisor;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_do_not_put_it_off_for_ever() {
        let (mut sweep, start) = (Sweep::default(), Instant::now());
        sweep.later();
        sweep.due().await;
        assert_eq!(start.elapsed(), PEACE);
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        sweep.begin(supervisor.blocking(|| {}));
        let start = Instant::now();
        for _ in 0..100 {
            sweep.later();
            if tokio::time::timeout(PEACE / 4, sweep.due()).await.is_ok() {
                break;
            }
        }
        assert_eq!(start.elapsed(), PATIENCE);
    }
}
