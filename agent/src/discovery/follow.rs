//! Follows the registry for ever: connects, lists, watches, and begins again when that ends, whatever ended it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock;
use crate::model::time::Moment;

use super::book::{Book, Listing};
use super::session::{Session, Wish};
use super::{Discovery, DiscoveryError, Set, Unconfirmed, listing};

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// Full jitter: a fleet that lost its etcd together does not come back together.
struct Backoff(Duration);

impl Backoff {
    /// How long to wait, by how long the last session lasted and chance (from 0 to 1). A session that lasted was good;
    /// one that ends again and again is backed off from.
    fn next(&mut self, lasted: Option<Duration>, chance: f64) -> Duration {
        if lasted.is_some_and(|lasted| lasted > LONGEST_BACKOFF) {
            self.0 = FIRST_BACKOFF;
        }
        let pause = self.0.mul_f64(chance);
        self.0 = (self.0 * 2).min(LONGEST_BACKOFF);
        pause
    }
}

pub struct Follower {
    discovery: Discovery,
    book: Book,
    session: Option<Session>,
    /// The place of the endpoint to begin with.
    place: usize,
    backoff: Backoff,
    /// Until it is tried again; none before the first try.
    pause: Duration,
    /// When the last session began.
    began: Option<Instant>,
    unconfirmed: Option<Unconfirmed>,
    /// Whether it is confirmed is not what was shown last.
    turned: bool,
    lists: u64,
}

impl Follower {
    pub fn new(discovery: Discovery) -> Self {
        let book = Book::new(discovery.config.prefix(), discovery.config.ttl);
        Self {
            discovery,
            book,
            session: None,
            place: 0,
            backoff: Backoff(FIRST_BACKOFF),
            pause: Duration::ZERO,
            began: None,
            unconfirmed: None,
            turned: false,
            lists: 0,
        }
    }

    /// Lists once, and watches nothing.
    pub async fn list(mut self) -> Result<Set, DiscoveryError> {
        let (listing, _, _) = self.read().await?;
        self.book.relist(listing, clock::now())?;
        Ok(self.set().0)
    }

    /// Goes one step on; a set, if there is a new one. Not to be cancelled: what was read would be lost.
    pub async fn next(&mut self) -> Option<Set> {
        match self.session.take() {
            Some(session) => self.follow(session).await,
            None => self.begin().await,
        }
        self.book.expire(clock::now());
        let (set, changed) = self.set();
        let news = changed || self.turned;
        self.turned = false;
        news.then_some(set)
    }

    /// Lists after the first one.
    pub fn relists(&self) -> u64 {
        self.lists.saturating_sub(1)
    }

    /// How often a key was no instance.
    pub fn skipped(&self) -> u64 {
        self.book.skipped()
    }

    /// The endpoint that is watched.
    pub fn endpoint(&self) -> Option<&str> {
        self.session.as_ref().map(Session::endpoint)
    }

    fn set(&mut self) -> (Set, bool) {
        let (services, changed) = self.book.look();
        let set = Set { services, revision: self.book.revision(), unconfirmed: self.unconfirmed.clone() };
        (set, changed)
    }

    async fn follow(&mut self, mut session: Session) {
        let due = self.book.due(clock::now());
        let changes = tokio::select! {
            changes = session.changes() => changes,
            () = sleep(due.unwrap_or_default()), if due.is_some() => Ok(Vec::new()),
        };
        match changes.and_then(|changes| self.book.apply(changes, session.heard())) {
            Ok(()) => self.session = Some(session),
            Err(error) => self.lost(&error, session.heard()),
        }
    }

    async fn begin(&mut self) {
        let begun = clock::now();
        sleep(self.pause).await;
        match self.open().await {
            Ok(session) => {
                self.session = Some(session);
                self.began = Some(Instant::now());
                self.unconfirmed = None;
                self.turned = true;
            }
            Err(error) => self.lost(&error, begun),
        }
    }

    /// A list, and a watch from the revision behind it: no change is missed between the two.
    async fn open(&mut self) -> Result<Session, DiscoveryError> {
        let (listing, client, endpoint) = self.read().await?;
        let config = &self.discovery.config;
        let wish = Wish {
            endpoint,
            prefix: config.prefix().to_owned(),
            ranges: config.ranges(),
            revision: listing.revision.saturating_add(1),
            patience: config.etcd.request_timeout,
        };
        let session = Session::open(&client, wish).await?;
        self.book.relist(listing, clock::now())?;
        self.lists = self.lists.saturating_add(1);
        Ok(session)
    }

    /// From the first endpoint that answers, beginning with the one that did last.
    async fn read(&mut self) -> Result<(Listing, etcd_client::Client, String), DiscoveryError> {
        let (config, etcd) = (self.discovery.config.clone(), self.discovery.etcd.clone());
        if config.etcd.endpoints.is_empty() {
            return Err(DiscoveryError::NoEndpoints);
        }
        let range = config.ranges().into_iter().next().unwrap_or_default();
        let answered = etcd.first(self.place, |client| listing::probe(etcd.clone(), range.clone(), client)).await?;
        self.place = answered.index;
        let listing = listing::list(&etcd, &answered.value, &answered.endpoint, &config).await?;
        Ok((listing, answered.value, answered.endpoint))
    }

    /// Notes since when nothing is confirmed, and how long to wait before it is tried again.
    fn lost(&mut self, error: &DiscoveryError, heard: Moment) {
        tracing::debug!("etcd is not watched: {error}");
        let lasted = self.began.take().map(|began| began.elapsed());
        self.pause = self.backoff.next(lasted, rand::random());
        if !matches!(error, DiscoveryError::NoEndpoint(_)) {
            self.place = self.place.wrapping_add(1);
        }
        let why: Arc<str> = error.to_string().into();
        match &mut self.unconfirmed {
            Some(unconfirmed) if unconfirmed.why == why => {}
            Some(unconfirmed) => (unconfirmed.why, self.turned) = (why, true),
            none => (*none, self.turned) = (Some(Unconfirmed { since: heard, why }), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_backed_off_up_to_a_limit() {
        let mut backoff = Backoff(FIRST_BACKOFF);
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next(None, 1.0).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.next(None, 0.5).as_millis(), 2500);
        assert_eq!(backoff.next(Some(Duration::from_secs(1)), 1.0).as_millis(), 5000);
        assert_eq!(backoff.next(Some(Duration::from_secs(6)), 1.0).as_millis(), 200);
        assert_eq!(backoff.next(Some(Duration::from_secs(6)), 0.0), Duration::ZERO);
    }
}
