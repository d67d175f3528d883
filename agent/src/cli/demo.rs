//! `vitald demo`, and what a bare `vitald` does where there is no configuration.

use crate::config::{self, DEFAULT_FILE, EXIT_CONFIG, Origin};
use crate::plugins::bundled_names;
use crate::supervise::EXIT_DIED;

/// Runs the demonstration. `fallback` says that it was not asked for.
pub fn run(fallback: bool) -> u8 {
    // Gone with the process: a demonstration leaves nothing behind.
    let state = match tempfile::tempdir() {
        Ok(state) => state,
        Err(error) => {
            eprintln!("vitald: no temporary directory can be had: {error}");
            return EXIT_DIED;
        }
    };
    let loaded = match config::demo::load(state.path()) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            eprintln!("vitald: the demonstration cannot be configured:\n{mistakes}");
            return EXIT_CONFIG;
        }
    };
    if let Some(address) = loaded.config.http.listen.first() {
        println!("{}", welcome(&format!("http://{address}"), fallback));
    }
    super::run::start(loaded, Origin::Demo)
}

fn welcome(url: &str, fallback: bool) -> String {
    let why =
        if fallback { format!("There is no {DEFAULT_FILE}, so this is a demonstration: ") } else { String::new() };
    let bundled = bundled_names().join(", ");
    format!(
        "{why}vitald checks itself, over HTTP and over TCP, and stands alone (no etcd).

  what is known    curl {url}/health
  one check        curl {url}/health/checks/own-http
  the host         curl {url}/metrics | grep node_
  the checkers     curl {url}/api/v1/plugins

  your own configuration: write a file like this one, then `vitald run --config FILE`

      [[check]]
      name = \"cache\"
      checker = \"redis\"                      # bundled: {bundled}
      target = \"redis://127.0.0.1:6379\"

  your own check: `vitald plugin new NAME` begins one; a .wasm file that is put into a
  plugin directory runs within a second.

Ctrl-C ends it.
"
    )
}
