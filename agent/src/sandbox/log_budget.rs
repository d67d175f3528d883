//! How fast all guests together may write to the agent's log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of all guests in one [`WINDOW`]: a thousand checks that each say a word now and then fit, a flood does not.
const LINES: u32 = 200;
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct LogBudget(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
}

impl LogBudget {
    /// May one more line be written? A window that was too small says so once it is over.
    pub fn takes(&self) -> bool {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = window.as_ref().is_none_or(|window| now.duration_since(window.began) >= WINDOW);
        if over {
            let lost = window.as_ref().map_or(0, |window| window.lines.saturating_sub(LINES));
            *window = Some(Window { began: now, lines: 0 });
            if lost > 0 {
                tracing::warn!(
                    "{lost} lines of checks were left out of the log: they wrote more than {LINES} in a second"
                );
            }
        }
        window.as_mut().is_some_and(|window| {
            window.lines = window.lines.saturating_add(1);
            window.lines <= LINES
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut() {
        let budget = LogBudget::default();
        let written = (0..10_000).filter(|_| budget.takes()).count();
        // The window may end while it is counted.
        assert!((LINES as usize..=3 * LINES as usize).contains(&written), "{written}");
    }
}
