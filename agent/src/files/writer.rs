//! Writes beside the loop that wants them: a disk may take its time, but not the loop's.

use std::fmt::Display;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::supervise::Supervisor;

/// One write after another, each on a blocking thread. A write that takes too long goes on there, and no other begins
/// until it has ended: two of them would meet in the same temporary file.
pub struct Writer {
    supervisor: Supervisor,
    running: Option<JoinHandle<Result<(), String>>>,
}

impl Writer {
    pub fn new(supervisor: Supervisor) -> Self {
        Self { supervisor, running: None }
    }

    /// Waits for `patience` at most; the error is why what was to be written is not known to be on disk.
    pub async fn write<E: Display>(
        &mut self,
        patience: Duration,
        work: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<(), String> {
        if let Some(earlier) = &mut self.running {
            if timeout(patience, earlier).await.is_err() {
                return Err("the write before has not ended".to_owned());
            }
            self.running = None;
        }
        // Kept here: whoever waits may be cancelled, and the write goes on all the same.
        let work = self.supervisor.blocking(move || work().map_err(|error| error.to_string()));
        let written = match timeout(patience, self.running.insert(work)).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err("the write did not end as it should".to_owned()),
            Err(_) => return Err(format!("the disk did not take it within {} s", patience.as_secs())),
        };
        self.running = None;
        written
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::runtime::Handle;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test(flavor = "multi_thread")]
    async fn no_write_begins_before_the_one_before_has_ended() {
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        let mut writer = Writer::new(supervisor);
        let (end, ended) = mpsc::channel::<()>();
        let hangs = writer.write(SHORT, move || ended.recv().map_err(|error| error.to_string())).await;
        assert!(hangs.is_err_and(|why| why.contains("did not take it")));
        let second = writer.write(SHORT, || -> Result<(), String> { panic!("it must not begin") }).await;
        assert!(second.is_err_and(|why| why.contains("the write before")));
        end.send(()).expect("it waits");
        assert_eq!(writer.write(SHORT * 100, || Ok::<(), String>(())).await, Ok(()));
        assert_eq!(writer.write(SHORT, || Err::<(), _>("full")).await, Err("full".to_owned()));
    }
}
