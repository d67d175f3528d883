//! For the tests of the loop: real files, and a fake compiler whose loads take as long as the file says.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::model::check::{BoxFuture, Check, CheckDef};
use crate::model::checkset::{
    Binding, Checker, Description, LoadError, Places, PluginRules, Powers, Reading, ReloadGate,
};
use crate::model::requests::{Approved, NotApproved, Reloaded};
use crate::model::testing::{FakeCheck, definition, name};
use crate::supervise::{Stopper, stop_pair};

use super::*;

/// Of paused time: longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);
pub const MS: Duration = Duration::from_millis(1);

pub struct FakeChecker(Description, Powers);

impl Checker for FakeChecker {
    fn description(&self) -> &Description {
        &self.0
    }

    fn powers(&self) -> &Powers {
        &self.1
    }

    fn bind(self: Arc<Self>, binding: Binding) -> Arc<dyn Check> {
        let version = self.0.version.clone();
        Arc::new(FakeCheck { version, ..FakeCheck::new(CheckDef::clone(&binding.definition)) })
    }
}

/// Has a cache, as the real one, and what was asked of it.
#[derive(Default)]
pub struct FakeCompiler {
    pub cache: Arc<Mutex<BTreeMap<String, Arc<FakeChecker>>>>,
    pub loaded: Mutex<Vec<String>>,
    pub kept: Mutex<Option<BTreeSet<String>>>,
    /// Nothing can be compiled for now.
    pub away: Arc<AtomicBool>,
}

impl Compiler for FakeCompiler {
    fn load(
        &self,
        _: Name,
        digest: String,
        bytes: Arc<[u8]>,
    ) -> BoxFuture<'static, Result<Arc<dyn Checker>, LoadError>> {
        let told = told(&bytes);
        self.loaded.lock().expect("lock").push(told["version"].as_str().unwrap_or_default().to_owned());
        let (cache, away) = (self.cache.clone(), self.away.clone());
        Box::pin(async move {
            if away.load(Ordering::Relaxed) {
                return Err(LoadError::NoCompiler("it is away".into()));
            }
            sleep(Duration::from_millis(told["takes"].as_u64().unwrap_or(0))).await;
            if let Some(error) = told["error"].as_str() {
                return Err(LoadError::Compile(error.to_owned()));
            }
            let version = told["version"].as_str().unwrap_or_default().to_owned();
            let params_schema = told.get("schema").unwrap_or(&json!({})).to_string();
            let description = Description { version, params_schema, ..Description::default() };
            let powers = serde_json::from_value(told.get("powers").unwrap_or(&json!([])).clone()).expect("powers");
            let checker = Arc::new(FakeChecker(description, powers));
            cache.lock().expect("lock").insert(digest, checker.clone());
            Ok(checker as Arc<dyn Checker>)
        })
    }

    fn recall(&self, _: Name, digest: String) -> BoxFuture<'static, Option<Arc<dyn Checker>>> {
        let cached = self.cache.lock().expect("lock").get(&digest).cloned();
        Box::pin(async move { cached.map(|checker| checker as Arc<dyn Checker>) })
    }

    fn keep_only(&self, digests: &BTreeSet<String>) {
        *self.kept.lock().expect("lock") = Some(digests.clone());
    }
}

/// A component with one section, which says what the compiler is to make of it.
pub fn component(told: &Value) -> Vec<u8> {
    let told = told.to_string();
    let length = u8::try_from(told.len() % 128).expect("7 bits") | 0x80;
    let more = u8::try_from(told.len() / 128).expect("short");
    [b"\0asm\x0d\0\x01\0\0", &[length, more][..], told.as_bytes()].concat()
}

/// A bundled checker tells nothing.
pub fn told(bytes: &[u8]) -> Value {
    let told = bytes.get(11..).and_then(|told| serde_json::from_slice(told).ok());
    told.unwrap_or_else(|| {
        json!({"version": if bytes.starts_with(b"\0asm") { "bundled" } else { "" },
                                  "error": if bytes.starts_with(b"\0asm") { None } else { Some("garbage") }})
    })
}

pub fn plain(version: &str) -> Vec<u8> {
    component(&json!({"version": version}))
}

pub struct FakeSource {
    pub definitions: Mutex<Arc<Definitions>>,
    /// So many looks find somebody writing.
    pub unsettled: Mutex<usize>,
    pub mistakes: Mutex<Vec<String>>,
}

impl DefinitionSource for FakeSource {
    fn load(&self, settled: bool) -> Reading {
        let mut unsettled = self.unsettled.lock().expect("lock");
        if *unsettled > 0 && !settled {
            *unsettled -= 1;
            return Reading::Unsettled;
        }
        let definitions = self.definitions.lock().expect("lock").clone();
        let mistakes = self.mistakes.lock().expect("lock").clone();
        if !mistakes.is_empty() {
            return Reading::Wrong { mistakes, definitions };
        }
        Reading::Good { definitions, at_next_start: vec!["listen".into()] }
    }
}

pub struct Running {
    pub stopper: Stopper,
    pub task: JoinHandle<()>,
    pub checks: channel::Receiver<Arc<CheckSet>>,
    pub infos: channel::Receiver<Arc<[PluginInfo]>>,
    pub requests: mpsc::Sender<PluginRequest>,
}

pub struct Site {
    pub dir: tempfile::TempDir,
    pub compiler: Arc<FakeCompiler>,
    pub source: Arc<FakeSource>,
    pub running: Option<Running>,
}

impl Site {
    pub fn new(checks: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        for place in ["plugins", "state"] {
            fs::create_dir(dir.path().join(place)).expect("mkdir");
        }
        let places = Places { plugin_dirs: vec![dir.path().join("plugins")], ..Places::default() };
        let definitions = Definitions { places, checks: defined(checks), ..Definitions::default() };
        let definitions = Mutex::new(Arc::new(definitions));
        let source = FakeSource { definitions, unsettled: Mutex::default(), mistakes: Mutex::default() };
        Self { dir, compiler: Arc::default(), source: Arc::new(source), running: None }
    }

    pub fn with(self, rules: PluginRules) -> Self {
        self.change(|definitions| definitions.rules = rules);
        self
    }

    pub fn change(&self, change: impl FnOnce(&mut Definitions)) {
        let mut definitions = self.source.definitions.lock().expect("lock");
        let mut changed = Definitions::clone(&definitions);
        change(&mut changed);
        *definitions = Arc::new(changed);
    }

    /// Renamed into place.
    pub fn put(&self, file: &str, bytes: &[u8]) {
        let next = self.dir.path().join("next");
        fs::write(&next, bytes).expect("write");
        fs::rename(next, self.path(file)).expect("rename");
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("plugins").join(file)
    }

    pub async fn start(&mut self) {
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        let (checks, checks_receiver) = channel::channel(Arc::new(CheckSet::default()));
        let (infos, infos_receiver) = channel::channel(Arc::<[PluginInfo]>::from([]));
        let (requests, requests_receiver) = mpsc::channel(4);
        let wires = Wires {
            definitions: self.source.clone(),
            compiler: self.compiler.clone(),
            checks,
            infos,
            requests: requests_receiver,
        };
        let config = Config { state_dir: self.dir.path().join("state") };
        let definitions = self.source.definitions.lock().expect("lock").clone();
        let plugins = Plugins::build(config, supervisor.clone(), definitions, wires, &Metrics::default());
        let (stopper, stop) = stop_pair();
        let task = supervisor.helper(plugins.run(stop));
        self.running = Some(Running { stopper, task, checks: checks_receiver, infos: infos_receiver, requests });
        timeout(LONG, self.running().checks.wait_for(|set| set.loaded)).await.expect("loaded").expect("it runs");
    }

    pub async fn stop(&mut self) {
        let Running { stopper, task, .. } = self.running.take().expect("it runs");
        stopper.stop();
        timeout(LONG, task).await.expect("it stops").expect("whole");
    }

    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it runs")
    }

    pub fn info(&mut self, plugin: &str) -> Option<PluginInfo> {
        self.running().infos.borrow().iter().find(|info| &*info.name == plugin).cloned()
    }

    /// `ready 1.0`
    pub fn stands(&mut self, plugin: &str) -> String {
        let info = self.info(plugin);
        info.map_or("none".into(), |info| format!("{} {}", info.state, info.version.unwrap_or_default()))
    }

    pub async fn until(&mut self, plugin: &str, stands: &str) {
        for _ in 0..10_000 {
            if self.stands(plugin) == stands {
                return;
            }
            sleep(10 * MS).await;
        }
        panic!("{plugin} is {}, not {stands}", self.stands(plugin));
    }

    pub async fn reload(&mut self) -> Reloaded {
        let (answer, answered) = oneshot::channel();
        self.running().requests.send(PluginRequest::Reload { answer: Some(answer) }).await.expect("it runs");
        timeout(LONG, answered).await.expect("in time").expect("an answer")
    }

    pub async fn approve(&mut self, plugin: &str) -> Result<Approved, NotApproved> {
        self.approve_that(plugin, None).await
    }

    pub async fn approve_that(&mut self, plugin: &str, digest: Option<String>) -> Result<Approved, NotApproved> {
        let (answer, answered) = oneshot::channel();
        let request = PluginRequest::Approve { name: name(plugin), digest, answer };
        self.running().requests.send(request).await.expect("it runs");
        timeout(LONG, answered).await.expect("in time").expect("an answer")
    }

    pub fn check(&mut self, check: &str) -> Arc<dyn Check> {
        self.running().checks.borrow().checks[&name(check)].clone()
    }

    pub fn notice(&mut self, check: &str) -> String {
        self.running().checks.borrow().notices.get(&name(check)).map(ToString::to_string).unwrap_or_default()
    }

    pub fn loaded(&self) -> Vec<String> {
        self.compiler.loaded.lock().expect("lock").clone()
    }
}

pub fn defined(checks: &[(&str, &str)]) -> BTreeMap<Name, Arc<CheckDef>> {
    let check = |(own, checker): &(&str, &str)| {
        (name(own), Arc::new(CheckDef { checker: name(checker), ..definition(own, &[]) }))
    };
    checks.iter().map(check).collect()
}

pub fn gate(reload: ReloadGate) -> PluginRules {
    PluginRules { reload, ..PluginRules::default() }
}
