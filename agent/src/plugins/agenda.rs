//! When to look next.

use std::time::Duration;

use tokio::time::Instant;

/// Quiet that follows an event before a look: most changes come in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// But a look comes at most this long after the first event.
const PATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub struct Agenda {
    /// The first and the last event since the last look.
    events: Option<(Instant, Instant)>,
    asked: Option<Instant>,
    safety: Instant,
}

impl Agenda {
    pub fn new(now: Instant) -> Self {
        Self { events: None, asked: Some(now), safety: now }
    }

    /// Something changed on disk.
    pub fn event(&mut self, now: Instant) {
        let first = self.events.map_or(now, |(first, _)| first);
        self.events = Some((first, now));
    }

    /// Look at this time, if not before.
    pub fn look_at(&mut self, at: Instant) {
        self.asked = Some(self.asked.map_or(at, |asked| asked.min(at)));
    }

    pub fn next(&self) -> Instant {
        let after_events = self.events.map(|(first, last)| (last + QUIET).min(first + PATIENCE));
        [after_events, self.asked].into_iter().flatten().fold(self.safety, Instant::min)
    }

    /// A look begins: it sees everything that happened until now.
    pub fn begun(&mut self) {
        (self.events, self.asked) = (None, None);
    }

    /// A look ended; the next one comes after `interval`, whatever happens.
    pub fn ended(&mut self, now: Instant, interval: Duration) {
        self.safety = now + interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_look_follows_a_moment_of_quiet_and_does_not_wait_for_ever() {
        let start = Instant::now();
        let mut agenda = Agenda::new(start);
        assert_eq!(agenda.next(), start, "the first look");
        agenda.begun();
        agenda.ended(start, 60_000 * MS);
        assert_eq!(agenda.next(), start + 60_000 * MS);
        agenda.event(start);
        assert_eq!(agenda.next(), start + QUIET);
        for step in 1..100 {
            agenda.event(start + 20 * step * MS);
        }
        assert_eq!(agenda.next(), start + PATIENCE);
        agenda.look_at(start + 10 * MS);
        agenda.look_at(start + 90 * MS);
        assert_eq!(agenda.next(), start + 10 * MS);
        agenda.begun();
        assert_eq!(agenda.next(), start + 60_000 * MS);
    }
}
