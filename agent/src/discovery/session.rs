//! A watch that begins where a list ended: one stream of one endpoint, for as long as it goes well.
//!
//! It asks for a sign of life itself, because a stream whose server has died without a word looks like a quiet one.
//! Whatever ends it is an error: who owns it lists again, so that nothing can be missed.

use std::time::Duration;

use etcd_client::{Client, Event, KeyValue, WatchOptions, WatchResponse, WatchStream};
use futures::FutureExt as _;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};

use crate::clock;
use crate::etcd::{EtcdError, within};
use crate::model::time::Moment;

use super::DiscoveryError;
use super::book::Change;
use super::listing::{MAX_ANSWER, end_of};
use super::parse::read;

/// A stream that was quiet for so long is asked whether it lives.
const QUIET: Duration = Duration::from_secs(5);
/// Responses that are taken over together, at most: a burst becomes one new set.
const BURST: usize = 256;
const WATCH: &str = "watch";

pub struct Session {
    endpoint: String,
    prefix: String,
    patience: Duration,
    stream: WatchStream,
    /// What came while the watches were begun.
    early: Vec<Change>,
    heard: Moment,
    /// When to ask, or when the answer must be there.
    alarm: Instant,
    asked: bool,
}

/// What to watch, from when on.
pub struct Wish {
    pub endpoint: String,
    /// Without a slash at its end.
    pub prefix: String,
    pub ranges: Vec<String>,
    pub revision: i64,
    /// For an answer.
    pub patience: Duration,
}

impl Session {
    /// Begins a watch of each range, all on one stream.
    pub async fn open(client: &Client, wish: Wish) -> Result<Self, DiscoveryError> {
        let Wish { endpoint, prefix, ranges, revision, patience } = wish;
        let mut watcher = client.watch_client().max_decoding_message_size(MAX_ANSWER);
        let options = |range: &str| {
            let end = end_of(range.as_bytes());
            WatchOptions::new().with_range(end).with_start_revision(revision).with_fragment()
        };
        let mut ranges = ranges.iter();
        let first = ranges.next().map_or("", String::as_str);
        let opened = within(WATCH, patience, watcher.watch(first, Some(options(first)))).await;
        let stream = opened.map_err(|source| DiscoveryError::Etcd { endpoint: endpoint.clone(), source })?;
        let (early, heard) = (Vec::new(), clock::now());
        let alarm = Instant::now() + QUIET;
        let mut session = Self { endpoint, prefix, patience, stream, early, heard, alarm, asked: false };
        session.begun().await?;
        for range in ranges {
            let asked = within(WATCH, patience, session.stream.watch(range.as_str(), Some(options(range)))).await;
            asked.map_err(|source| session.failed(source))?;
            session.begun().await?;
        }
        Ok(session)
    }

    /// Waits until etcd says that the watch is there; what others bring meanwhile is kept.
    async fn begun(&mut self) -> Result<(), DiscoveryError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match timeout(left, self.stream.message()).await {
                Ok(message) => message,
                Err(_) => return Err(self.failed(EtcdError::Slow { doing: WATCH, within: self.patience })),
            };
            let response = self.received(message)?;
            self.early.extend(changes(&self.prefix, &response));
            if response.created() {
                return Ok(());
            }
        }
    }

    /// The endpoint that is watched.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// When the stream said something last.
    pub fn heard(&self) -> Moment {
        self.heard
    }

    /// Waits for the next changes. Safe to cancel.
    pub async fn changes(&mut self) -> Result<Vec<Change>, DiscoveryError> {
        if !self.early.is_empty() {
            return Ok(std::mem::take(&mut self.early));
        }
        loop {
            tokio::select! {
                // What has come is taken before it is said to be late: we may have looked away for long.
                biased;
                message = self.stream.message() => {
                    let response = self.received(message)?;
                    let mut found = changes(&self.prefix, &response);
                    self.drain(&mut found)?;
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                () = sleep_until(self.alarm) => self.ask().await?,
            }
        }
    }

    /// Takes what is there already.
    fn drain(&mut self, found: &mut Vec<Change>) -> Result<(), DiscoveryError> {
        for _ in 0..BURST {
            let Some(message) = self.stream.message().now_or_never() else { return Ok(()) };
            let response = self.received(message)?;
            found.extend(changes(&self.prefix, &response));
        }
        Ok(())
    }

    /// Nothing was heard for a while: asks why, or has asked in vain.
    async fn ask(&mut self) -> Result<(), DiscoveryError> {
        if self.asked {
            return Err(self.failed(EtcdError::Slow { doing: WATCH, within: self.patience }));
        }
        (self.asked, self.alarm) = (true, Instant::now() + self.patience);
        let sent = within(WATCH, self.patience, self.stream.request_progress()).await;
        sent.map_err(|source| self.failed(source))
    }

    fn received(
        &mut self,
        message: Result<Option<WatchResponse>, etcd_client::Error>,
    ) -> Result<WatchResponse, DiscoveryError> {
        let response = match message {
            Ok(Some(response)) => response,
            Ok(None) => return Err(self.failed(EtcdError::Closed { doing: WATCH })),
            Err(error) => return Err(self.failed(EtcdError::from_client(WATCH, error))),
        };
        if response.compact_revision() > 0 {
            return Err(DiscoveryError::Compacted { endpoint: self.endpoint.clone() });
        }
        if response.canceled() {
            return Err(self.failed(EtcdError::Refused { doing: WATCH, status: refusal(response.cancel_reason()) }));
        }
        (self.heard, self.asked, self.alarm) = (clock::now(), false, Instant::now() + QUIET);
        Ok(response)
    }

    fn failed(&self, source: EtcdError) -> DiscoveryError {
        DiscoveryError::Etcd { endpoint: self.endpoint.clone(), source }
    }
}

/// A watch is refused in words only.
fn refusal(reason: &str) -> Status {
    let code = if reason.contains("permission denied") { Code::PermissionDenied } else { Code::Cancelled };
    Status::new(code, reason)
}

fn changes(prefix: &str, response: &WatchResponse) -> Vec<Change> {
    response.events().iter().filter_map(Event::kv).map(|kv| change(prefix, kv)).collect()
}

/// A deleted key has version 0. (`Event::event_type` panics where it does not know the type.)
fn change(prefix: &str, kv: &KeyValue) -> Change {
    match kv.version() {
        0 => Change::Delete { key: kv.key().to_vec(), revision: kv.mod_revision() },
        _ => Change::Put(read(prefix, kv)),
    }
}
