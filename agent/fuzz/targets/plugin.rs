//! The bytes of a plugin, loaded as the agent does: checked, compiled, linked, asked to describe itself. Whatever they
//! are, the answer is a checker or a `LoadError`, within bounds.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use vitald::model::checkset::Compiler as _;
use vitald::sandbox::{Config, Sandbox};
use vitald::supervise::Supervisor;
use vitald::telemetry::Metrics;

/// More is only slower to compile.
const LARGEST: usize = 64 << 10;

struct World {
    control: Runtime,
    _guest: Runtime,
    sandbox: Sandbox,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (control, guest) = (runtime(), runtime());
        let (supervisor, _deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
        let config = Config {
            agent_id: "fuzz".parse().expect("a name"),
            concurrency: 4,
            memory: 256 << 20,
            workers: 1,
            dns_servers: Vec::new(),
        };
        let sandbox = Sandbox::build(&config, supervisor, watch::channel(Arc::default()).1, &Metrics::default());
        World { control, _guest: guest, sandbox: sandbox.expect("a sandbox") }
    })
}

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() > LARGEST {
        return;
    }
    let world = world();
    let name = "fuzzed".parse().expect("a name");
    let loaded = world.control.block_on(world.sandbox.load(name, "0".into(), Arc::from(bytes)));
    if let Err(error) = loaded {
        let text = error.to_string();
        assert!(!text.contains("panicked"), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
});
