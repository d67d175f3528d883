//! Asks file systems how full they are, on threads of its own, because one whose server or disk is gone may never
//! answer.
//!
//! One batch of questions has one deadline, however many do not answer. Whoever asked one that does not answer in time
//! is left behind with it: the mount counts as stuck, and is not asked again until that thread has come back. So each
//! stuck mount holds one thread, and delays one batch. What is mounted in its place is another mount, and is asked.
//!
//! Not more than [`MAX_LEFT`] threads are left behind: from then on only mounts that have answered before are asked.
//!
//! A batch is begun by one thread. Where nobody answers for a while and questions are left, their number is doubled,
//! so that those behind a mount that hangs get their turn before the deadline.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::host::collector::float;

/// What `statfs(2)` says. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    pub size: f64,
    pub free: f64,
    pub avail: f64,
    pub files: f64,
    pub files_free: f64,
}

pub type Statfs = dyn Fn(&Path) -> io::Result<Usage> + Send + Sync;

/// The system call.
pub fn statfs(path: &Path) -> io::Result<Usage> {
    let answer = rustix::fs::statfs(path)?;
    // A file system that says less than nothing says nothing.
    let block = float(u64::try_from(answer.f_bsize).unwrap_or(0));
    Ok(Usage {
        size: float(answer.f_blocks) * block,
        free: float(answer.f_bfree) * block,
        avail: float(answer.f_bavail) * block,
        files: float(answer.f_files),
        files_free: float(answer.f_ffree),
    })
}

/// `statfs` needs next to none.
const STACK: usize = 128 << 10;
/// Threads that wait for mounts which do not answer.
const MAX_LEFT: usize = 64;
/// The number of threads is doubled when nobody has answered for this part of the deadline: 100 ms of 5 s.
const PATIENCE: u32 = 50;

/// A mount to ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Point {
    pub path: PathBuf,
    /// What is mounted there.
    pub mounted: String,
}

/// What the kernel numbers the mounts at paths with. A mount keeps its number as long as somebody waits for it.
pub type Ids = BTreeMap<PathBuf, u64>;

pub struct Probe {
    statfs: Arc<Statfs>,
    timeout: Duration,
    /// The number of the last batch.
    batch: u64,
    sender: Sender<Answer>,
    /// At most one for each mount that was asked.
    answers: Receiver<Answer>,
    stuck: Vec<Stuck>,
    /// Threads left behind.
    left: usize,
    /// Those that answered when they were asked last, so that at the cap none of them is lost.
    known: HashSet<Point>,
}

/// What a mount says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    Usage(Usage),
    Error,
    Nothing,
}

struct Answer {
    batch: u64,
    /// Among the batch's points.
    index: usize,
    usage: io::Result<Usage>,
}

struct Stuck {
    batch: u64,
    index: usize,
    point: Point,
    /// None where the kernel did not tell.
    id: Option<u64>,
}

impl Probe {
    /// `timeout` is for a whole batch.
    pub fn new(statfs: Arc<Statfs>, timeout: Duration) -> Self {
        let (sender, answers) = channel();
        let (stuck, known) = (Vec::new(), HashSet::new());
        Self { statfs, timeout, batch: 0, sender, answers, stuck, left: 0, known }
    }

    /// What each of the points says. `ids` is asked only where a mount is stuck.
    ///
    /// # Errors
    ///
    /// Fails if no thread can be started.
    pub fn ask(&mut self, points: &Arc<[Point]>, ids: &dyn Fn() -> Ids) -> io::Result<Vec<Said>> {
        while let Ok(answer) = self.answers.try_recv() {
            self.comes_back(&answer);
        }
        self.forget_what_went(points, ids);
        self.batch = self.batch.wrapping_add(1);
        let mut said = vec![Said::Nothing; points.len()];
        let batch = Arc::new(self.batch_of(points));
        if !batch.questions.is_empty() {
            self.hire(&batch, 1)?;
            self.listen(&batch, &mut said);
            self.leave_behind(&batch, &said, ids);
        }
        Ok(said)
    }

    /// A dead mount that was taken away may have another one in its place, which is to be asked.
    fn forget_what_went(&mut self, points: &[Point], ids: &dyn Fn() -> Ids) {
        if self.known.len() > points.len() {
            self.known.retain(|point| points.contains(point));
        }
        if self.stuck.is_empty() {
            return;
        }
        let ids = ids();
        self.stuck.retain(|stuck| {
            let is_other = stuck.id.is_some_and(|id| ids.get(&stuck.point.path).is_some_and(|now| *now != id));
            let stays = !is_other && points.contains(&stuck.point);
            if !stays {
                tracing::info!(mount = ?stuck.point.path, "the file system that did not answer is gone");
            }
            stays
        });
    }

    fn batch_of(&self, points: &Arc<[Point]>) -> Batch {
        let is_stuck = |point: &Point| self.stuck.iter().any(|stuck| stuck.point == *point);
        let may_be_asked = |point: &Point| self.left < MAX_LEFT || self.known.contains(point);
        let questions = points
            .iter()
            .enumerate()
            .filter(|(_, point)| !is_stuck(point) && may_be_asked(point))
            .map(|(index, _)| index)
            .collect();
        Batch { number: self.batch, points: Arc::clone(points), questions, next: AtomicUsize::new(0) }
    }

    fn hire(&self, batch: &Arc<Batch>, threads: usize) -> io::Result<()> {
        for _ in 0..threads {
            let (batch, statfs, sender) = (Arc::clone(batch), Arc::clone(&self.statfs), self.sender.clone());
            let work = move || batch.work(&*statfs, &sender);
            std::thread::Builder::new().name("statfs".into()).stack_size(STACK).spawn(work)?;
        }
        Ok(())
    }

    /// Takes answers until all are there, or the deadline has passed.
    fn listen(&mut self, batch: &Arc<Batch>, said: &mut [Said]) {
        let begun = Instant::now();
        let (mut threads, mut open) = (1_usize, batch.questions.len());
        while open > 0 {
            let left = self.timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let waiting = batch.waiting();
            let patience = if waiting > 0 { left.min(self.timeout / PATIENCE) } else { left };
            match self.answers.recv_timeout(patience) {
                Ok(answer) => open = open.saturating_sub(self.take(answer, batch, said)),
                Err(_) => {
                    let free = MAX_LEFT.saturating_sub(self.left.saturating_add(threads));
                    let more = threads.min(waiting).min(free);
                    // Where no more can be had, those at work go on.
                    if self.hire(batch, more).is_ok() {
                        threads = threads.saturating_add(more);
                    }
                }
            }
        }
        // This process may have been held up itself. Who can answer has done so, or does at once.
        let late = Instant::now();
        while open > 0 {
            let grace = (self.timeout / PATIENCE).saturating_sub(late.elapsed());
            let Ok(answer) = self.answers.recv_timeout(grace) else { return };
            open = open.saturating_sub(self.take(answer, batch, said));
        }
    }

    /// How many questions of the batch the answer answers.
    fn take(&mut self, answer: Answer, batch: &Batch, said: &mut [Said]) -> usize {
        if answer.batch != batch.number {
            self.comes_back(&answer);
            return 0;
        }
        if let (Some(place), Some(point)) = (said.get_mut(answer.index), batch.points.get(answer.index)) {
            *place = answer.usage.map_or(Said::Error, Said::Usage);
            if !self.known.contains(point) {
                self.known.insert(point.clone());
            }
        }
        1
    }

    /// Ends a batch. What was asked and not answered is stuck; what was not asked is asked next time.
    fn leave_behind(&mut self, batch: &Batch, said: &[Said], ids: &dyn Fn() -> Ids) {
        let asked = batch.close();
        let silent = |index: &&usize| said.get(**index) == Some(&Said::Nothing);
        let silent: Vec<usize> = batch.questions.iter().take(asked).filter(silent).copied().collect();
        if silent.is_empty() {
            return;
        }
        let ids = ids();
        let before = self.left;
        self.left = before.saturating_add(silent.len());
        for index in silent {
            let Some(point) = batch.points.get(index) else { continue };
            tracing::warn!(mount = ?point.path, "the file system does not answer: it is left alone until it does");
            self.known.remove(point);
            let id = ids.get(&point.path).copied();
            self.stuck.push(Stuck { batch: batch.number, index, point: point.clone(), id });
        }
        if before < MAX_LEFT && self.left >= MAX_LEFT {
            tracing::error!(
                "{} file systems do not answer: no other is asked any more, but for those that have answered before",
                self.left
            );
        }
    }

    /// Each thread that was left behind has one answer left to give.
    fn comes_back(&mut self, answer: &Answer) {
        self.left = self.left.saturating_sub(1);
        let came = |stuck: &Stuck| (stuck.batch, stuck.index) == (answer.batch, answer.index);
        if let Some(place) = self.stuck.iter().position(came) {
            let stuck = self.stuck.swap_remove(place);
            tracing::info!(mount = ?stuck.point.path, "the file system answers again");
        }
    }
}

/// Questions which several threads share.
struct Batch {
    number: u64,
    points: Arc<[Point]>,
    /// Indices of points.
    questions: Vec<usize>,
    /// The first question that nobody has taken.
    next: AtomicUsize,
}

impl Batch {
    fn work(&self, statfs: &Statfs, sender: &Sender<Answer>) {
        loop {
            let Some(&index) = self.questions.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            let Some(point) = self.points.get(index) else { return };
            let usage = statfs(&point.path);
            // Nobody listens any more where the collector is gone.
            if sender.send(Answer { batch: self.number, index, usage }).is_err() {
                return;
            }
        }
    }

    fn waiting(&self) -> usize {
        self.questions.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Nobody takes a question after this. Says how many were taken.
    fn close(&self) -> usize {
        self.next.swap(self.questions.len(), Ordering::Relaxed).min(self.questions.len())
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
