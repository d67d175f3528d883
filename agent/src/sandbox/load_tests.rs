//! Whatever bytes a plugin has, loading it gives a checker or a [`LoadError`], in text that is safe to show.
//!
//! `agent/fuzz` looks further with the same question.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::model::checkset::{Compiler as _, LoadError};
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
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (control, guest) = (runtime(), runtime());
    let (supervisor, _deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
    let config =
        Config { agent_id: name("test"), concurrency: 4, memory: 256 << 20, workers: 1, dns_servers: Vec::new() };
    let sandbox = Sandbox::build(&config, supervisor, watch::channel(Arc::default()).1, &Metrics::default());
    World { control, _guest: guest, sandbox: sandbox.expect("a sandbox") }
});

fn load(bytes: &[u8]) -> Result<(), LoadError> {
    let loaded = WORLD.sandbox.load(name("mutant"), "0".into(), Arc::from(bytes));
    WORLD.control.block_on(loaded).map(drop)
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
