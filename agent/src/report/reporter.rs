//! The loop of one `[[report]]`: it sees when one is due, has it written down, and has the oldest of those that wait
//! sent, one after the other. Writing and sending go on beside each other and beside the loop, which only moves data.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock;
use crate::model::name::Name;
use crate::model::snapshot::HealthSnapshot;
use crate::supervise::{Stop, Supervisor};
use crate::tls::Tls;

use super::answer::{Attempt, Backoff};
use super::courier::Courier;
use super::desk::{Desk, Written};
use super::document::{Known, Number};
use super::host::Window;
use super::metrics::{Dropped, Failure, TargetMetrics};
use super::post::Post;
use super::queue::{GivenUp, Place, Queue};
use super::store::Store;
use super::trigger::{Reason, Trigger, is_change};
use super::troubles::Troubles;
use super::{Config, Target, Wires};

/// A disk that takes longer to take a report has failed for this one.
const PATIENCE: Duration = Duration::from_secs(5);
/// The last report, and what waits, get so long when the agent stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// The part of it that the disk may have.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// A file that could not be read so often is given up: others wait behind it.
const READ_TRIES: u32 = 5;

type Work<P, R> = Option<BoxFuture<'static, (P, R)>>;

pub struct Reporter {
    target: Arc<Target>,
    agent: Name,
    boot_id: Option<String>,
    supervisor: Supervisor,
    wires: Wires,
    metrics: TargetMetrics,
    troubles: Troubles,
    queue: Queue,
    window: Window,
    /// What the last report was made from.
    reported: Arc<HealthSnapshot>,
    /// Due, and not begun yet.
    wanted: Option<Reason>,
    /// None while it is at work, as the post.
    desk: Option<Desk>,
    writing: Work<Desk, Written>,
    /// Files that are to go, given up.
    removals: Vec<u64>,
    post: Option<Post>,
    sending: Work<Post, Attempt>,
    /// The entry that is being sent.
    sending_id: Option<u64>,
    backoff: Backoff,
    retry_at: Instant,
    /// How often the disk did not give back the front of the queue.
    unread: u32,
}

impl Reporter {
    pub fn build(
        config: &Config,
        target: Target,
        supervisor: Supervisor,
        wires: Wires,
        tls: Arc<Tls>,
        metrics: TargetMetrics,
    ) -> Self {
        let report = target.name.clone();
        let target = Arc::new(target);
        let found = Store::open(&config.state_dir, &report, &config.agent_id);
        let durable = Number { stream: found.stream, sequence: found.next };
        let desk = Desk::new(report.clone(), supervisor.clone(), found.store.clone(), target.buffer, durable);
        let courier = Courier::new(target.clone(), supervisor.clone(), tls);
        let post = Post::new(report.clone(), supervisor.clone(), courier, found.store, target.gzip, found.sent);
        let mut reporter = Self {
            agent: config.agent_id.clone(),
            boot_id: clock::boot_id(),
            supervisor,
            wires,
            metrics,
            troubles: Troubles::new(report),
            queue: Queue::new(target.buffer),
            target,
            window: Window::default(),
            reported: Arc::default(),
            wanted: None,
            desk: Some(desk),
            writing: None,
            removals: Vec::new(),
            post: Some(post),
            sending: None,
            sending_id: None,
            backoff: Backoff::default(),
            retry_at: Instant::now(),
            unread: 0,
        };
        reporter.troubles.found(found.waiting.len(), found.problem.as_deref());
        for (number, bytes) in found.waiting {
            reporter.push(Place::Disk(number), bytes);
        }
        reporter.show_queue();
        reporter
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("report");
        let mut trigger = Trigger::new(self.target.interval, Instant::now());
        loop {
            let now = Instant::now();
            if let Some(reason) = trigger.due(now) {
                self.wanted.get_or_insert(reason);
            }
            self.begin_writing(PATIENCE);
            if self.retry_at <= now {
                self.begin_sending();
            }
            // The beat comes by often enough.
            self.post.iter_mut().for_each(Post::hang_up_when_idle);
            let idle = self.sending.is_none() && self.queue.front().is_some();
            tokio::select! {
                () = stop.wait() => break,
                () = beat.next() => {}
                () = sleep_until(trigger.at()) => {}
                () = sleep_until(self.retry_at), if idle => {}
                Ok(()) = self.wires.snapshot.changed() => self.look(&mut trigger),
                written = ended(&mut self.writing) => self.note_written(written),
                attempt = ended(&mut self.sending) => {
                    self.note_attempt(attempt);
                }
            }
        }
        let _ = beat.during(timeout(FAREWELL, self.say_farewell())).await;
        self.troubles.left(self.queue.len(), self.queue.volatile());
    }

    /// Something is known that was not known before.
    fn look(&mut self, trigger: &mut Trigger) {
        let snapshot = self.wires.snapshot.borrow_and_update().clone();
        let now = Instant::now();
        if snapshot.complete() {
            trigger.complete(now);
        }
        if self.target.on_change {
            trigger.differs(is_change(&self.reported, &snapshot), now);
        }
        if self.window.is_empty() {
            self.window.advance(&self.wires.sample.borrow());
        }
    }

    fn begin_writing(&mut self, patience: Duration) {
        if !self.removals.is_empty() {
            if let Some(desk) = self.desk.take() {
                let files = std::mem::take(&mut self.removals);
                self.writing = Some(desk.remove(files, patience).boxed());
            }
        } else if self.wanted.is_some()
            && let Some(desk) = self.desk.take()
            && let Some(reason) = self.wanted.take()
        {
            let known = self.known(reason);
            self.writing = Some(desk.write(known, patience).boxed());
        }
    }

    fn known(&mut self, reason: Reason) -> Known {
        self.reported = self.wires.snapshot.borrow().clone();
        self.window.advance(&self.wires.sample.borrow());
        Known {
            agent: self.agent.clone(),
            boot_id: self.boot_id.clone(),
            reason,
            now: clock::now(),
            snapshot: self.reported.clone(),
            registry: self.wires.registry.as_ref().map(|view| view.borrow().clone()),
            window: self.window.clone(),
        }
    }

    fn begin_sending(&mut self) {
        let Some((id, place)) = self.queue.front().map(|(id, place)| (id, place.clone())) else { return };
        if let Some(post) = self.post.take() {
            self.sending_id = Some(id);
            self.sending = Some(post.send(place).boxed());
        }
    }

    fn note_written(&mut self, (desk, written): (Desk, Written)) {
        self.desk = Some(desk);
        if matches!(written, Written::OnDisk { .. } | Written::InMemory(_)) {
            self.troubles.fits();
        }
        match written {
            Written::OnDisk { number, bytes } => self.push(Place::Disk(number), bytes),
            Written::InMemory(sealed) => {
                let bytes = u64::try_from(sealed.packed.len()).unwrap_or(u64::MAX);
                self.push(Place::Memory(sealed), bytes);
            }
            Written::Unfit(why) => {
                self.metrics.dropped(Dropped::TooLarge, 1);
                self.troubles.unfit(&why);
            }
            Written::Removed => {}
        }
        self.show_queue();
    }

    fn push(&mut self, place: Place, bytes: u64) {
        let GivenUp { files, from_memory } = self.queue.push(place, bytes, self.sending_id);
        let from_disk = u64::try_from(files.len()).unwrap_or(u64::MAX);
        self.removals.extend(files);
        if from_disk > 0 {
            self.metrics.dropped(Dropped::Buffer, from_disk);
        }
        if from_memory > 0 {
            self.metrics.dropped(Dropped::Memory, from_memory);
        }
        self.troubles.given_up(from_disk.saturating_add(from_memory));
    }

    /// True if that report is done with, however it ended.
    fn note_attempt(&mut self, (post, attempt): (Post, Attempt)) -> bool {
        self.post = Some(post);
        let id = self.sending_id.take();
        let attempt = self.lose_patience(attempt);
        let pause = match &attempt {
            Attempt::Delivered => {
                self.metrics.sent();
                Duration::ZERO
            }
            Attempt::Refused(status, why) => {
                self.metrics.failed(Failure::Refused);
                self.metrics.dropped(Dropped::Refused, 1);
                self.troubles.refused(*status, why);
                Duration::ZERO
            }
            Attempt::Damaged(why) => {
                self.metrics.dropped(Dropped::Damaged, 1);
                self.troubles.damaged(why);
                Duration::ZERO
            }
            Attempt::Failed { failure, why, wish } => {
                self.metrics.failed(*failure);
                let pause = self.backoff.pause(*wish, rand::random());
                self.troubles.failed(*failure, why, self.queue.len(), pause);
                pause
            }
        };
        let done = !matches!(attempt, Attempt::Failed { .. });
        if done {
            self.unread = 0;
            id.into_iter().for_each(|id| self.queue.remove(id));
            self.backoff = Backoff::default();
            self.troubles.delivered(matches!(attempt, Attempt::Delivered), self.queue.len());
        }
        self.retry_at = Instant::now() + pause;
        self.show_queue();
        done
    }

    /// A file that the disk does not give back time after time counts as damaged.
    fn lose_patience(&mut self, attempt: Attempt) -> Attempt {
        match attempt {
            Attempt::Failed { failure: Failure::Disk, why, .. } if self.unread + 1 >= READ_TRIES => {
                self.metrics.failed(Failure::Disk);
                Attempt::Damaged(why)
            }
            Attempt::Failed { failure: Failure::Disk, .. } => {
                self.unread += 1;
                attempt
            }
            other => other,
        }
    }

    fn show_queue(&self) {
        self.metrics.buffered(self.queue.len(), self.queue.bytes());
    }

    /// The last report is written down first: what cannot be delivered now waits for the next agent.
    async fn say_farewell(&mut self) {
        if self.writing.is_some() {
            let written = ended(&mut self.writing).await;
            self.note_written(written);
        }
        self.removals.clear();
        self.wanted = Some(Reason::Stop);
        self.begin_writing(LAST_PATIENCE);
        let written = ended(&mut self.writing).await;
        self.note_written(written);
        loop {
            self.begin_sending();
            if self.sending.is_none() {
                return;
            }
            let attempt = ended(&mut self.sending).await;
            if !self.note_attempt(attempt) {
                return;
            }
        }
    }
}

/// Safe to cancel: the work goes on where it was.
async fn ended<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(running) = work else { return pending().await };
    let result = running.await;
    *work = None;
    result
}
