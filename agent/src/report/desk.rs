//! Where reports are written: each gets its number and goes to disk before it is sent for the first time.
//!
//! A disk that takes nothing costs nothing but the memory over a restart: such reports wait in memory, under a stream
//! of their own that ends with the agent, because a number that no file remembers could be given again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::files::Writer;
use crate::model::name::Name;
use crate::supervise::Supervisor;

use super::document::{Known, Number};
use super::queue;
use super::seal::{SealError, Sealed, seal};
use super::store::{Store, new_stream};

pub struct Desk {
    report: Name,
    supervisor: Supervisor,
    store: Store,
    writer: Writer,
    /// Of all that the disk may hold, in bytes.
    bound: u64,
    /// Of the next report that is written down.
    durable: Number,
    /// Of the next one that is not.
    volatile: Number,
    failing: bool,
}

/// What became of a report, or of files.
#[derive(Debug)]
pub enum Written {
    OnDisk {
        number: u64,
        bytes: u64,
    },
    InMemory(Sealed),
    /// It is given up: too large.
    Unfit(String),
    Removed,
}

impl Desk {
    pub fn new(report: Name, supervisor: Supervisor, store: Store, bound: u64, durable: Number) -> Self {
        let volatile = Number { stream: new_stream(), sequence: 1 };
        let writer = Writer::new(supervisor.clone());
        Self { report, supervisor, store, writer, bound, durable, volatile, failing: false }
    }

    /// Makes a report and keeps it. The disk gets so long.
    pub async fn write(mut self, known: Known, patience: Duration) -> (Self, Written) {
        let known = Arc::new(known);
        let sealed = match self.seal(&known, self.durable.clone()).await {
            Ok(sealed) => sealed,
            Err(error) => return (self, Written::Unfit(error.to_string())),
        };
        let (number, bytes) = (sealed.number.sequence, u64::try_from(sealed.packed.len()).unwrap_or(u64::MAX));
        if queue::cost(bytes) > self.bound {
            return (self, Written::Unfit(format!("it has {bytes} bytes, more than the whole buffer")));
        }
        let store = self.store.clone();
        let written = self.writer.write(patience, move || store.put(number, &sealed.packed)).await;
        self.note(written.as_ref().err());
        if written.is_ok() {
            self.durable.sequence = number.saturating_add(1);
            return (self, Written::OnDisk { number, bytes });
        }
        match self.seal(&known, self.volatile.clone()).await {
            Ok(sealed) => {
                self.volatile.sequence = self.volatile.sequence.saturating_add(1);
                (self, Written::InMemory(sealed))
            }
            Err(error) => (self, Written::Unfit(error.to_string())),
        }
    }

    /// Removes the files of reports that were given up.
    pub async fn remove(mut self, files: Vec<u64>, patience: Duration) -> (Self, Written) {
        let store = self.store.clone();
        if let Err(why) = self.writer.write(patience, move || store.remove(&files)).await {
            tracing::debug!("report {}: files that were given up are not removed: {why}", self.report);
        }
        (self, Written::Removed)
    }

    /// Beside the loop: ten thousand checks are megabytes.
    async fn seal(&self, known: &Arc<Known>, number: Number) -> Result<Sealed, SealError> {
        let known = known.clone();
        let sealed = self.supervisor.blocking(move || seal(&known, number)).await;
        sealed.unwrap_or_else(|error| Err(SealError::Io(io::Error::other(error))))
    }

    /// One line for each change.
    fn note(&mut self, problem: Option<&String>) {
        let report = &self.report;
        match problem {
            Some(why) if !self.failing => tracing::warn!(
                %report,
                "report {report}: the disk does not take it, so what is not delivered waits in memory and ends with \
                 the agent: {why}"
            ),
            None if self.failing => tracing::info!(%report, "report {report}: the disk takes reports again"),
            _ => {}
        }
        self.failing = problem.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::runtime::Handle;

    use crate::model::snapshot::HealthSnapshot;
    use crate::model::testing::{at, name};
    use crate::report::host::Window;
    use crate::report::seal::unpack;
    use crate::report::trigger::Reason;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn desk(dir: &Path, bound: u64) -> Desk {
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        let found = Store::open(dir, &name("central"), &name("host-1"));
        let durable = Number { stream: found.stream, sequence: found.next };
        Desk::new(name("central"), supervisor, found.store, bound, durable)
    }

    fn known() -> Known {
        Known {
            agent: name("host-1"),
            boot_id: None,
            reason: Reason::Interval,
            now: at(1),
            snapshot: Arc::new(HealthSnapshot::default()),
            registry: None,
            window: Window::default(),
        }
    }

    #[tokio::test]
    async fn without_a_disk_reports_have_a_stream_of_their_own() {
        let dir = tempfile::tempdir().expect("tempdir");
        let reports = dir.path().join("reports");
        let desk = desk(dir.path(), 1 << 20);
        let durable = desk.durable.stream.clone();
        let (desk, first) = desk.write(known(), PATIENCE).await;
        assert!(matches!(first, Written::OnDisk { number: 1, .. }), "{first:?}");

        std::fs::rename(&reports, dir.path().join("aside")).expect("rename");
        std::fs::write(&reports, "no directory").expect("write");
        let (desk, second) = desk.write(known(), PATIENCE).await;
        let (desk, third) = desk.write(known(), PATIENCE).await;
        let (Written::InMemory(second), Written::InMemory(third)) = (second, third) else { panic!("not in memory") };
        assert_eq!((second.number.sequence, third.number.sequence), (1, 2));
        assert!(second.number.stream == third.number.stream && second.number.stream != durable);
        let json: serde_json::Value = serde_json::from_slice(&unpack(&third.packed).expect("whole")).expect("JSON");
        assert_eq!((&json["sequence"], json["stream"].as_str()), (&2.into(), Some(&*third.number.stream)));

        std::fs::remove_file(&reports).expect("remove");
        std::fs::rename(dir.path().join("aside"), &reports).expect("rename");
        let (_, fourth) = desk.write(known(), PATIENCE).await;
        assert!(matches!(fourth, Written::OnDisk { number: 2, .. }), "no gap: {fourth:?}");
    }

    #[tokio::test]
    async fn what_is_larger_than_the_buffer_takes_no_number() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (desk, written) = desk(dir.path(), 100).write(known(), PATIENCE).await;
        assert!(matches!(&written, Written::Unfit(why) if why.contains("whole buffer")), "{written:?}");
        assert_eq!(desk.durable.sequence, 1);
    }
}
