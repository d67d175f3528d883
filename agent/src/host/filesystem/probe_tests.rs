use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

use super::*;

const SAID: Usage = Usage { size: 5.0, free: 4.0, avail: 3.0, files: 2.0, files_free: 1.0 };
/// A test that waits for this long has failed.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// File systems of which some hang until they are let go.
#[derive(Default)]
struct FileSystems {
    hang: Mutex<bool>,
    let_go: Condvar,
    calls: Mutex<BTreeMap<PathBuf, usize>>,
}

impl FileSystems {
    fn hanging() -> Arc<Self> {
        Arc::new(Self { hang: Mutex::new(true), ..Self::default() })
    }

    fn probe(self: &Arc<Self>, timeout: Duration) -> Probe {
        let these = Arc::clone(self);
        Probe::new(Arc::new(move |path: &Path| these.statfs(path)), timeout)
    }

    fn statfs(&self, path: &Path) -> io::Result<Usage> {
        *self.calls.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        if path.starts_with("/dead") {
            drop(self.let_go.wait_while(self.hang.lock().unwrap(), |hang| *hang).unwrap());
        }
        if path.starts_with("/denied") { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(SAID) }
    }

    fn let_go(&self) {
        *self.hang.lock().unwrap() = false;
        self.let_go.notify_all();
    }

    fn calls(&self, path: &str) -> usize {
        self.calls.lock().unwrap().get(Path::new(path)).copied().unwrap_or_default()
    }
}

fn point(name: &str) -> Point {
    Point { path: name.into(), mounted: String::new() }
}

fn points(names: &[&str]) -> Arc<[Point]> {
    names.iter().copied().map(point).collect()
}

/// A kernel that does not tell numbers.
fn no_ids() -> Ids {
    Ids::new()
}

const USAGE: Said = Said::Usage(SAID);

#[test]
fn file_systems_answer() {
    let mut probe = FileSystems::hanging().probe(FOR_EVER);
    assert_eq!(probe.ask(&points(&["/", "/denied", "/home"]), &no_ids).unwrap(), [USAGE, Said::Error, USAGE]);
    assert_eq!(probe.ask(&points(&[]), &no_ids).unwrap(), []);
    assert_eq!(probe.ask(&points(&["/denied", "/home"]), &no_ids).unwrap(), [Said::Error, USAGE]);
    assert!(probe.stuck.is_empty(), "an error is an answer");
}

#[test]
fn one_that_hangs_delays_one_batch_and_nobody_else() {
    let systems = FileSystems::hanging();
    let mut probe = systems.probe(Duration::from_secs(2));
    let mounts = points(&["/", "/dead", "/home", "/var"]);
    assert_eq!(probe.ask(&mounts, &no_ids).unwrap(), [USAGE, Said::Nothing, USAGE, USAGE]);
    // Had they to wait for it, these would never end.
    probe.timeout = FOR_EVER;
    for _ in 0..3 {
        assert_eq!(probe.ask(&mounts, &no_ids).unwrap(), [USAGE, Said::Nothing, USAGE, USAGE]);
    }
    assert_eq!(systems.calls("/dead"), 1, "it is not asked again while it hangs");
    systems.let_go();
}

#[test]
fn one_that_comes_back_is_asked_again() {
    let systems = FileSystems::hanging();
    let mut probe = systems.probe(Duration::from_secs(2));
    let mounts = points(&["/dead", "/"]);
    assert_eq!(probe.ask(&mounts, &no_ids).unwrap(), [Said::Nothing, USAGE]);
    systems.let_go();
    probe.timeout = FOR_EVER;
    let begun = Instant::now();
    while probe.ask(&mounts, &no_ids).unwrap() != [USAGE, USAGE] {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is still taken for stuck");
        std::thread::yield_now();
    }
    assert!(probe.stuck.is_empty());
    assert_eq!(systems.calls("/dead"), 2);
}

#[test]
fn many_that_hang_do_not_add_up() {
    let systems = FileSystems::hanging();
    let timeout = Duration::from_secs(3);
    let mut probe = systems.probe(timeout);
    let dead: Vec<String> = (0..40).map(|number| format!("/dead/{number}")).collect();
    let mounts: Arc<[Point]> = dead.iter().map(|name| point(name)).chain([point("/last")]).collect();
    let begun = Instant::now();
    let said = probe.ask(&mounts, &no_ids).unwrap();
    assert!(begun.elapsed() < 10 * timeout, "took {:?}", begun.elapsed());
    assert_eq!(said.last(), Some(&USAGE), "the one behind them had its turn");
    assert_eq!(said.iter().filter(|said| **said == USAGE).count(), 1);
    assert_eq!(probe.stuck.len(), dead.len());
    probe.timeout = FOR_EVER;
    assert_eq!(probe.ask(&mounts, &no_ids).unwrap(), said);
    assert!(dead.iter().all(|point| systems.calls(point) == 1), "each holds one thread");
    systems.let_go();
}

#[test]
fn those_left_behind_leave_the_next_questions_alone() {
    let systems = FileSystems::hanging();
    let mut probe = systems.probe(Duration::from_secs(2));
    assert_eq!(probe.ask(&points(&["/dead"]), &no_ids).unwrap(), [Said::Nothing]);
    systems.let_go();
    let answer = probe.answers.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((answer.batch, answer.index), (1, 0));
    // Its late answer is not taken for that of another mount in the same place.
    probe.sender.send(answer).unwrap();
    probe.timeout = FOR_EVER;
    assert_eq!(probe.ask(&points(&["/denied"]), &no_ids).unwrap(), [Said::Error]);
    assert_eq!(probe.ask(&points(&["/dead"]), &no_ids).unwrap(), [USAGE]);
}

#[test]
fn what_is_mounted_in_its_place_is_asked() {
    let systems = FileSystems::hanging();
    let mut probe = systems.probe(Duration::from_secs(2));
    assert_eq!(probe.ask(&points(&["/dead"]), &no_ids).unwrap(), [Said::Nothing]);
    assert_eq!((probe.stuck.len(), probe.left), (1, 1));
    let other: Arc<[Point]> = [Point { mounted: "fresh tmpfs".to_owned(), ..point("/dead") }].into();
    assert_eq!(probe.ask(&other, &no_ids).unwrap(), [Said::Nothing]);
    assert_eq!(systems.calls("/dead"), 2);
    assert_eq!((probe.stuck.len(), probe.left), (1, 2), "the first is forgotten, not its thread");
    assert_eq!(probe.ask(&points(&[]), &no_ids).unwrap(), []);
    assert_eq!((probe.stuck.len(), probe.left), (0, 2));
    systems.let_go();
    for _ in 0..2 {
        let answer = probe.answers.recv_timeout(Duration::from_secs(30)).unwrap();
        probe.comes_back(&answer);
    }
    assert_eq!(probe.left, 0);
}

#[test]
fn threads_that_are_left_behind_have_a_cap() {
    let systems = FileSystems::hanging();
    let mut probe = systems.probe(Duration::from_secs(3));
    assert_eq!(probe.ask(&points(&["/"]), &no_ids).unwrap(), [USAGE]);
    let dead: Vec<String> = (0..MAX_LEFT + 9).map(|number| format!("/dead/{number}")).collect();
    let mounts: Arc<[Point]> = [point("/")].into_iter().chain(dead.iter().map(|name| point(name))).collect();
    for _ in 0..3 {
        let said = probe.ask(&mounts, &no_ids).unwrap();
        assert_eq!(said.iter().filter(|said| **said == USAGE).count(), 1, "the one that has answered before is asked");
        assert!(probe.left <= MAX_LEFT);
    }
    assert_eq!((probe.left, probe.stuck.len()), (MAX_LEFT, MAX_LEFT));
    let calls = dead.iter().map(|point| systems.calls(point)).sum::<usize>();
    assert_eq!(calls, MAX_LEFT);
    assert_eq!(probe.ask(&points(&["/", "/home"]), &no_ids).unwrap(), [USAGE, Said::Nothing], "a new one is not");
    systems.let_go();
}

#[test]
fn answers_that_are_there_count_also_when_the_deadline_has_passed() {
    let systems = FileSystems::hanging();
    let mut probe = systems.probe(Duration::ZERO);
    let points: Arc<[Point]> = (0..100).map(|number| point(&format!("/{number}"))).collect();
    let questions = (0..points.len()).collect();
    let batch = Arc::new(Batch { number: 0, points, questions, next: AtomicUsize::new(0) });
    let statfs = Arc::clone(&probe.statfs);
    batch.work(&*statfs, &probe.sender);
    let mut said = vec![Said::Nothing; 100];
    probe.listen(&batch, &mut said);
    assert_eq!(said, vec![USAGE; 100]);
}

#[test]
fn this_machine_answers() {
    let usage = statfs(Path::new("/proc/self/..")).unwrap();
    assert_eq!(usage.size, 0.0, "procfs has no blocks");
    let root = statfs(Path::new("/")).unwrap();
    assert!(root.size >= root.free && root.free >= root.avail, "{root:?}");
    assert_eq!(statfs(Path::new("/does/not/exist")).unwrap_err().kind(), io::ErrorKind::NotFound);
}
