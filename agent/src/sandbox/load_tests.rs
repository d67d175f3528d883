//! Whatever bytes a plugin has, loading it gives a checker or a [`LoadError`], in text that is safe to show.
//!
//! `agent/fuzz` looks further with the same question.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::model::checkset::{Checker, Compiler as _, LoadError, Power, Powers};
use crate::model::testing::name;
use crate::supervise::Supervisor;
use crate::telemetry::Metrics;

use super::{Config, Sandbox};

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// Most compile something: a second each where the machine is busy.
const CASES: u32 = 32;
const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
/// What fuzzing found, or was started with.
const SEEDS: [&[u8]; 3] = [
    include_bytes!("../../fuzz/seeds/plugin/component.wasm"),
    include_bytes!("../../fuzz/seeds/plugin/core-module.wasm"),
    include_bytes!("../../fuzz/seeds/plugin/checker.wasm"),
];

struct World {
    control: Runtime,
    _guest: Runtime,
    sandbox: Sandbox,
    metrics: Metrics,
}

static WORLD: LazyLock<World> = LazyLock::new(|| world(None));

fn world(cache_dir: Option<PathBuf>) -> World {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (control, guest) = (runtime(), runtime());
    let (supervisor, _deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
    let config = Config {
        agent_id: name("test"),
        concurrency: 4,
        memory: 256 << 20,
        workers: 1,
        dns_servers: Vec::new(),
        cache_dir,
    };
    let metrics = Metrics::default();
    let sandbox = Sandbox::build(&config, supervisor, watch::channel(Arc::default()).1, &metrics);
    World { control, _guest: guest, sandbox: sandbox.expect("a sandbox"), metrics }
}

impl World {
    fn load(&self, digest: &str, bytes: &[u8]) -> Result<Arc<dyn Checker>, LoadError> {
        self.control.block_on(self.sandbox.load(name("mutant"), digest.into(), Arc::from(bytes)))
    }

    fn recall(&self, digest: &str) -> Option<Arc<dyn Checker>> {
        self.control.block_on(self.sandbox.recall(name("mutant"), digest.into()))
    }

    /// Of looks into the cache.
    fn looks(&self, result: &str) -> u64 {
        let families = self.metrics.gather();
        let looks = families.iter().find(|family| family.name() == "vitald_compiled_cache_total");
        let of = |label: &prometheus::proto::LabelPair| label.value() == result;
        let series = looks.and_then(|looks| looks.get_metric().iter().find(|series| series.get_label().iter().any(of)));
        series.map_or(0, |series| series.get_counter().get_value() as u64)
    }
}

fn load(bytes: &[u8]) -> Result<(), LoadError> {
    WORLD.load("0", bytes).map(drop)
}

/// Is it refused in words that can be shown, and not by a panic?
fn refusal_is_plain(loaded: &Result<(), LoadError>) -> bool {
    let Err(error) = loaded else { return true };
    let text = error.to_string();
    !text.contains(char::is_control) && !text.contains("panicked")
}

fn bundled() -> &'static [u8] {
    BUNDLED.iter().find(|(name, _)| *name == "tcp").expect("tcp is bundled").1
}

#[test]
fn a_whole_plugin_loads() {
    assert_eq!(load(bundled()), Ok(()));
}

#[test]
fn what_was_compiled_is_loaded_by_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = dir.path().join("compiled");
    let digest = "a".repeat(64);
    let first = world(Some(cache.clone()));
    assert!(first.recall(&digest).is_none());
    let made = first.load(&digest, bundled()).expect("loads");
    assert_eq!((first.looks("miss"), first.looks("hit")), (1, 0));
    assert_eq!(*made.powers(), Powers::from([Power::Network]));

    // Nothing is compiled: there are no bytes to be compiled.
    let next = world(Some(cache.clone()));
    let found = next.load(&digest, b"").expect("is remembered");
    assert_eq!((found.description(), found.powers()), (made.description(), made.powers()));
    assert!(next.recall(&digest).is_some());
    assert_eq!((next.looks("miss"), next.looks("hit")), (0, 2));
    // Another version is another entry.
    assert!(next.load(&"b".repeat(64), b"").is_err());

    let engine = fs::read_dir(&cache).expect("reads").next().expect("an engine").expect("reads").path();
    let code = engine.join(format!("{digest}.cwasm"));
    let mut bytes = fs::read(&code).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&code).expect("what runs is mapped from it");
    fs::write(&code, bytes).expect("writes");
    let spoilt = world(Some(cache.clone()));
    spoilt.load(&digest, bundled()).expect("is compiled anew");
    assert_eq!((spoilt.looks("refused"), spoilt.looks("hit")), (1, 0));
    assert!(world(Some(cache.clone())).recall(&digest).is_some());
    spoilt.sandbox.keep_only(&BTreeSet::new());
    assert!(spoilt.recall(&digest).is_none());
}

#[test]
fn compiled_code_is_no_plugin() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(Some(dir.path().join("compiled")));
    let digest = "a".repeat(64);
    world.load(&digest, bundled()).expect("loads");
    let engine = fs::read_dir(dir.path().join("compiled")).expect("reads").next().expect("an engine").expect("reads");
    let code = fs::read(engine.path().join(format!("{digest}.cwasm"))).expect("reads");
    assert!(matches!(world.load(&"b".repeat(64), &code), Err(LoadError::NotAComponent(_))));
}

#[test]
fn an_engine_that_compiles_has_the_fingerprint_of_one_that_runs() {
    let runs = super::engine::fingerprint(WORLD.sandbox.shared.engine.wasmtime());
    let compiles = super::engine::fingerprint(&super::engine::to_compile().expect("an engine"));
    assert_eq!(runs, compiles);
    assert!(runs.len() == 32 && runs.bytes().all(|byte| byte.is_ascii_hexdigit()), "{runs}");
}

#[test]
fn what_fuzzing_found_is_refused_or_loads() {
    for bytes in SEEDS {
        let loaded = load(bytes);
        assert!(refusal_is_plain(&loaded), "{loaded:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn bytes_are_no_plugin(bytes in proptest::collection::vec(any::<u8>(), 0..400), header: bool) {
        let bytes = if header { [HEADER, &bytes].concat() } else { bytes };
        let loaded = load(&bytes);
        prop_assert!(loaded.is_err() && refusal_is_plain(&loaded), "{:?}", loaded);
    }

    #[test]
    fn a_plugin_that_was_cut_is_refused(end: Index) {
        let whole = bundled();
        let loaded = load(&whole[..end.index(whole.len())]);
        prop_assert!(loaded.is_err() && refusal_is_plain(&loaded), "{:?}", loaded);
    }

    #[test]
    fn a_plugin_that_was_altered_loads_or_is_refused(
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bundled().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let loaded = load(&bytes);
        prop_assert!(refusal_is_plain(&loaded), "{:?}", loaded);
    }
}
