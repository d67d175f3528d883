//! Writing down what health knows, beside its loop: verdicts do not wait for a disk. Whoever ordered something is
//! answered once it is on disk, or once it is known that it is not.

use std::future::pending;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::files::Writer;
use crate::files::kept::Unusable;
use crate::model::maintenance::Maintenances;
use crate::model::requests::{MaintenanceDone, MaintenanceRefused};
use crate::supervise::Supervisor;

/// A disk that takes longer to take a file is one that cannot be written.
const PATIENCE: Duration = Duration::from_secs(10);

pub type Work = Box<dyn FnOnce() -> Result<(), Unusable> + Send>;

/// An order that was taken, and who waits for its answer.
pub struct Ordered {
    pub answer: oneshot::Sender<Result<MaintenanceDone, MaintenanceRefused>>,
    pub notes: Vec<String>,
}

impl Ordered {
    /// Whoever asked may have gone meanwhile: the order holds all the same.
    pub fn answer(self, held: &Maintenances, unwritten: Option<&String>) {
        let done = MaintenanceDone { held: held.clone(), notes: self.notes, unwritten: unwritten.cloned() };
        let _ = self.answer.send(Ok(done));
    }
}

/// What became of a write; none: it was not to be written.
pub struct Saved {
    pub maintenance: Option<Result<(), String>>,
    pub memory: Option<Result<(), String>>,
    /// Those whose orders are in it.
    pub orders: Vec<Ordered>,
}

pub struct Saving {
    /// None while a write is under way.
    writer: Option<Writer>,
    running: Option<BoxFuture<'static, (Writer, Saved)>>,
    /// Orders that are in what is being written.
    inside: Vec<Ordered>,
    /// Orders that came after it was begun.
    waiting: Vec<Ordered>,
}

impl Saving {
    pub fn new(supervisor: Supervisor) -> Self {
        Self { writer: Some(Writer::new(supervisor)), running: None, inside: Vec::new(), waiting: Vec::new() }
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Is there somebody whose order is to be written once the write that is under way has ended?
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Answers an order by the write that is under way, or by the next one.
    pub fn wait(&mut self, ordered: Ordered, is_inside: bool) {
        if is_inside { self.inside.push(ordered) } else { self.waiting.push(ordered) }
    }

    /// Begins a write, for all who wait. Does nothing while one is under way.
    pub fn begin(&mut self, maintenance: Option<Work>, memory: Option<Work>) {
        let Some(mut writer) = self.writer.take() else { return };
        self.inside.append(&mut self.waiting);
        let write = async move {
            let mut saved = Saved { maintenance: None, memory: None, orders: Vec::new() };
            if let Some(work) = maintenance {
                saved.maintenance = Some(writer.write(PATIENCE, work).await);
            }
            if let Some(work) = memory {
                saved.memory = Some(writer.write(PATIENCE, work).await);
            }
            (writer, saved)
        };
        self.running = Some(write.boxed());
    }

    /// Waits until the write that is under way has ended; for ever where there is none. Safe to cancel.
    pub async fn ended(&mut self) -> Saved {
        let Some(running) = &mut self.running else { return pending().await };
        let (writer, saved) = running.await;
        (self.writer, self.running) = (Some(writer), None);
        Saved { orders: std::mem::take(&mut self.inside), ..saved }
    }
}
