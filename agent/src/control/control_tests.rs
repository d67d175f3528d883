//! The socket, from both of its ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream as Stream;

use tokio::runtime::Handle;

use crate::clock;
use crate::model::maintenance::Maintenances;
use crate::model::registration::{KeyState, KeyView};
use crate::model::requests::{MaintenanceDone, MaintenanceOrder};
use crate::model::testing::name;
use crate::supervise::{Stopper, stop_pair};

use super::client::Client;
use super::protocol::{Ask, Request};
use super::*;

struct Rig {
    supervisor: Supervisor,
    dir: tempfile::TempDir,
    path: PathBuf,
    registry: watch::Sender<Arc<RegistryView>>,
    stopping: watch::Sender<bool>,
    hand_over: mpsc::Receiver<()>,
    _stopper: Stopper,
}

impl Rig {
    /// A control socket whose health takes every order.
    fn start(drain: Duration) -> Self {
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        let dir = tempfile::tempdir().expect("tempdir");
        let (registry, registry_receiver) = watch::channel(Arc::default());
        let (stopping, stopping_receiver) = watch::channel(false);
        let (orders, mut order_receiver) = mpsc::channel::<MaintenanceRequest>(1);
        let (hand_over, hand_over_receiver) = mpsc::channel(1);
        let wires = Wires {
            snapshot: watch::channel(Arc::default()).1,
            registry: Some(registry_receiver),
            reload: watch::channel(Reload::default()).1,
            plugin_requests: mpsc::channel(1).0,
            plugins: watch::channel(Arc::from([])).1,
            stopping: stopping_receiver,
            orders,
            next_runs: mpsc::channel(1).0,
            hand_over,
        };
        let config =
            Config { agent_id: name("web-1"), state_dir: dir.path().to_owned(), main: None, run_dir: None, drain };
        let control = Control::build(config, supervisor.clone(), wires).expect("binds");
        let path = control.path().to_owned();
        let (stopper, stop) = stop_pair();
        supervisor.spawn("control", &stop, control.run(stop.clone()));
        let health = async move {
            while let Some(request) = order_receiver.recv().await {
                let note = match request.order {
                    MaintenanceOrder::List => "list",
                    MaintenanceOrder::Begin { .. } => "begin",
                    MaintenanceOrder::End { .. } => "end",
                };
                let done = MaintenanceDone { held: Maintenances::default(), notes: vec![note.into()], unwritten: None };
                let _ = request.answer.send(Ok(done));
            }
        };
        supervisor.helper(health);
        Self { supervisor, dir, path, registry, stopping, hand_over: hand_over_receiver, _stopper: stopper }
    }

    fn key(&self, state: KeyState) {
        let key = KeyView { dialect: "native", key: "/services/shop/a".into(), state, since: clock::now() };
        let view = RegistryView { up: true, services: [(name("shop"), vec![key])].into(), ..RegistryView::default() };
        self.registry.send_replace(Arc::new(view));
    }

    /// Asks, and returns the answer with the progress that was told.
    async fn ask(&self, request: Request) -> (Answer, Vec<String>) {
        let path = self.path.clone();
        let ask = move || {
            let mut told = Vec::new();
            let mut client = Client::connect(&path).expect("connects");
            let answer = client.ask(&request, |text| told.push(text.to_owned())).expect("an answer");
            (answer, told)
        };
        self.supervisor.blocking(ask).await.expect("asked")
    }

    /// What is answered to these bytes.
    async fn say(&self, bytes: Vec<u8>) -> String {
        let path = self.path.clone();
        let say = move || {
            let mut stream = Stream::connect(path).expect("connects");
            stream.write_all(&bytes).expect("written");
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).expect("an answer");
            answer
        };
        self.supervisor.blocking(say).await.expect("said")
    }
}

fn on(wait: Option<u64>) -> Request {
    let services = vec![name("shop")];
    Request::new(Ask::MaintenanceOn { services, reason: "disk swap".into(), for_ms: None, wait_ms: wait })
}

fn refused(answer: &Answer) -> &str {
    match answer {
        Answer::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_its_answer() {
    let rig = Rig::start(Duration::ZERO);
    let asks = [
        (Ask::MaintenanceList {}, "list"),
        (Ask::MaintenanceOff { services: Vec::new(), reason: None }, "end"),
        (on(None).ask, "begin"),
    ];
    for (ask, note) in asks {
        match rig.ask(Request::new(ask)).await.0 {
            Answer::Maintenance(report) => assert_eq!(report.notes, [note]),
            other => panic!("{other:?}"),
        }
    }
    match rig.ask(Request::new(Ask::Status {})).await.0 {
        Answer::Status(report) => assert_eq!(report.agent, name("web-1")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_answered_too() {
    let rig = Rig::start(Duration::ZERO);
    let long = vec![b' '; MAX_REQUEST];
    let cases = [
        (b"GET / HTTP/1.1\n".to_vec(), "this is no request"),
        (b"{\"v\":1,\"ask\":{\"reboot\":{}}}\n".to_vec(), "older than your vitald"),
        (long, "at most 65536 bytes"),
    ];
    for (bytes, why) in cases {
        let answer = rig.say(bytes).await;
        assert!(answer.contains("refused") && answer.contains(why), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_agent_is_not_done() {
    let mut rig = Rig::start(Duration::ZERO);
    let request = Request { state_dir: Some("/somewhere/else".into()), ..Request::new(Ask::HandOver {}) };
    assert!(matches!(rig.ask(request).await.0, Answer::NotMeant(_)));
    assert!(rig.hand_over.try_recv().is_err());
    let own = Some(rig.dir.path().canonicalize().expect("it is there"));
    let (answer, _) = rig.ask(Request { state_dir: own, ..Request::new(Ask::HandOver {}) }).await;
    assert!(matches!(answer, Answer::HandingOver(_)), "{answer:?}");
    rig.hand_over.recv().await.expect("app is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_hands_nothing_over() {
    let mut rig = Rig::start(Duration::ZERO);
    rig.stopping.send_replace(true);
    let (answer, _) = rig.ask(Request::new(Ask::HandOver {})).await;
    assert!(refused(&answer).contains("stopping already"));
    assert!(rig.hand_over.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_and_lengths_have_bounds() {
    let rig = Rig::start(Duration::ZERO);
    let with = |reason: String, for_ms| {
        Request::new(Ask::MaintenanceOn { services: Vec::new(), reason, for_ms, wait_ms: None })
    };
    let bad = [
        ("x".repeat(513), None),
        ("two\nlines".into(), None),
        (String::new(), Some(0)),
        (String::new(), Some(u64::MAX)),
    ];
    for (reason, for_ms) in bad {
        let (answer, _) = rig.ask(with(reason.clone(), for_ms)).await;
        assert!(!refused(&answer).is_empty(), "{reason} {for_ms:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_once_the_key_is_gone_and_drain_has_passed() {
    let drain = Duration::from_millis(300);
    let rig = Rig::start(drain);
    rig.key(KeyState::Registered);
    let removed = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.key(KeyState::Pending);
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.key(KeyState::Absent);
        std::time::Instant::now()
    };
    let ((answer, told), gone) = tokio::join!(rig.ask(on(Some(10_000))), removed);
    assert!(matches!(answer, Answer::Maintenance(_)), "{answer:?}");
    assert!(gone.elapsed() >= drain, "drained for {:?} only", gone.elapsed());
    let expected = ["native registered", "native pending", "draining"];
    assert!(expected.iter().all(|word| told.iter().any(|text| text.contains(word))), "{told:?}");
    // Whose key went long ago has drained.
    let again = std::time::Instant::now();
    rig.ask(on(Some(10_000))).await;
    assert!(again.elapsed() < drain, "{:?}", again.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_is_gone_too() {
    let rig = Rig::start(Duration::ZERO);
    rig.key(KeyState::Marked);
    assert!(matches!(rig.ask(on(Some(10_000))).await.0, Answer::Maintenance(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_has_an_end_and_says_what_is_left() {
    let rig = Rig::start(Duration::ZERO);
    let (answer, _) = rig.ask(on(Some(50))).await;
    assert!(refused(&answer).contains("shop (not known yet)"), "the registry has not looked yet: {answer:?}");
    rig.key(KeyState::Registered);
    let (answer, _) = rig.ask(on(Some(50))).await;
    let why = refused(&answer);
    assert!(why.contains("shop (native registered)") && why.contains("the maintenance stays"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let rig = Rig::start(Duration::ZERO);
    let path = rig.path.clone();
    let occupy = move || {
        let held: Vec<Stream> = (0..MAX_CONNECTIONS).map(|_| Stream::connect(&path).expect("connects")).collect();
        let mut answer = String::new();
        Stream::connect(&path).expect("connects").read_to_string(&mut answer).expect("an answer");
        drop(held);
        answer
    };
    let answer = rig.supervisor.blocking(occupy).await.expect("asked");
    assert!(answer.contains("refused") && answer.contains("try again"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_left() {
    let rig = Rig::start(Duration::ZERO);
    let mut stream = UnixStream::connect(&rig.path).await.expect("connects");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("no request came within 10 s"), "{answer}");
}
