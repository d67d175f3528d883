//! The agent with a fault in it, for the tests: once the file that `$VITALD_WEDGE_FILE` names is there, every worker of
//! the guest runtime blocks for ever. Otherwise it is `vitald`.

#![expect(clippy::disallowed_methods, reason = "a fault is what supervision is there for, not what it does")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Handle;
use vitald::supervise::FAULT;

fn main() -> ExitCode {
    let _ = FAULT.set(wedge_later);
    ExitCode::from(vitald::cli::main())
}

fn wedge_later(guest: &Handle) {
    let Some(file) = std::env::var_os("VITALD_WEDGE_FILE") else { return };
    let guest = guest.clone();
    std::thread::spawn(move || {
        while !Path::new(&file).exists() {
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("the guest runtime is wedged from here on");
        for _ in 0..guest.metrics().num_workers() {
            guest.spawn(async { std::thread::sleep(Duration::MAX) });
        }
    });
}
