//! One try for one report: it is read back and held against its number, brought to the receiver, and its file is
//! retired once nothing more is to be done for it.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::files::{FileError, Writer};
use crate::model::name::Name;
use crate::supervise::Supervisor;

use super::answer::Attempt;
use super::courier::Courier;
use super::metrics::Failure;
use super::queue::Place;
use super::seal::{Sealed, unpack, verify};
use super::store::Store;

/// A disk that takes longer has failed for this time.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Post {
    report: Name,
    courier: Courier,
    store: Store,
    hand: Writer,
    /// Packed, as it is kept; else as plain JSON.
    gzip: bool,
    /// The number whose file says that it was taken.
    sent: Option<u64>,
}

impl Post {
    pub fn new(
        report: Name,
        supervisor: Supervisor,
        courier: Courier,
        store: Store,
        gzip: bool,
        sent: Option<u64>,
    ) -> Self {
        Self { report, courier, store, hand: Writer::new(supervisor), gzip, sent }
    }

    pub async fn send(mut self, place: Place) -> (Self, Attempt) {
        let attempt = match self.body(&place).await {
            Ok(body) => self.courier.deliver(body).await,
            Err(attempt) => attempt,
        };
        if let (Place::Disk(number), false) = (&place, matches!(attempt, Attempt::Failed { .. })) {
            self.retire(*number).await;
        }
        (self, attempt)
    }

    /// Nothing was sent for a while.
    pub fn hang_up_when_idle(&mut self) {
        self.courier.hang_up_when_idle();
    }

    async fn body(&mut self, place: &Place) -> Result<Bytes, Attempt> {
        let gzip = self.gzip;
        match place {
            Place::Memory(Sealed { packed, .. }) if gzip => Ok(Bytes::from_owner(packed.clone())),
            Place::Memory(Sealed { packed, .. }) => {
                unpack(packed).map(Bytes::from).map_err(|error| Attempt::Damaged(error.to_string()))
            }
            Place::Disk(number) => self.read_back(*number, gzip).await,
        }
    }

    async fn read_back(&mut self, number: u64, gzip: bool) -> Result<Bytes, Attempt> {
        let (store, (done, read)) = (self.store.clone(), oneshot::channel());
        let work = move || {
            let read = store.read(number).map_err(unreadable).and_then(|packed| {
                let json = verify(&packed, number).map_err(|error| Attempt::Damaged(error.to_string()))?;
                Ok(Bytes::from(if gzip { packed } else { json }))
            });
            // Whoever waited may have lost patience.
            let _ = done.send(read);
            Ok::<(), FileError>(())
        };
        self.hand.write(PATIENCE, work).await.map_err(|why| Attempt::failed(Failure::Disk, why))?;
        read.await.unwrap_or_else(|error| Err(Attempt::failed(Failure::Disk, error.to_string())))
    }

    /// A file that stays is sent again after a restart, and its receiver knows its number.
    async fn retire(&mut self, number: u64) {
        let (store, before) = (self.store.clone(), self.sent);
        match self.hand.write(PATIENCE, move || store.retire(number, before)).await {
            Ok(()) => self.sent = Some(number),
            Err(why) => tracing::debug!("report {}: number {number} is not retired: {why}", self.report),
        }
    }
}

/// Is it the file that is wrong, or are we out of luck?
fn unreadable(error: FileError) -> Attempt {
    match &error {
        FileError::Io { source, .. } if source.kind() != ErrorKind::NotFound => {
            Attempt::failed(Failure::Disk, error.to_string())
        }
        _ => Attempt::Damaged(error.to_string()),
    }
}
