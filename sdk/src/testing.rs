//! Trying a checker in `cargo test`, without WebAssembly and without an agent.
//!
//! A [`Trial`] runs the checker's function as the agent would run it: parameters are checked, the time is limited, `?` is
//! judged. A [`Peer`] is a real server on a loopback port that follows a script. Whoever has the real server at hand
//! tries the checker against that: [`Trial::target`] takes any address.
//!
//! This is a whole test:
//!
//! ```
//! use vitald_sdk::prelude::*;
//! use vitald_sdk::testing::{Peer, Trial};
//!
//! /// What the answer must be.
//! #[params]
//! struct Params {
//!     answer: String,
//! }
//!
//! /// Sends a ping.
//! #[checker(schemes = ["pinger:7000"])]
//! fn pinger(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
//!     let stream = target.connect()?;
//!     (&stream).write_all(b"PING\r\n")?;
//!     let mut line = String::new();
//!     BufReader::new(&stream).read_line(&mut line)?;
//!     run.measure("answer", run.elapsed());
//!     Ok(if line.trim_end() == params.answer { up("it answers") } else { down(format!("it says {line:?}")) })
//! }
//!
//! # fn main() {
//! // The server that is asked, and what it says.
//! let peer = Peer::script().expect("PING\r\n").answer("+PONG\r\n").start();
//! let ran = Trial::of(pinger).peer(&peer).params("{\"answer\": \"+PONG\"}").run();
//! assert_eq!(ran.status(), Some(Status::Up), "{ran}");
//! assert!(ran.measurement("answer").is_some(), "{ran}");
//! // The checker has said what the script expects, and no more.
//! peer.finish();
//!
//! // A server that accepts and never answers: the agent ends the run at its timeout, and so does the trial.
//! let silent = Peer::script().expect("PING\r\n").start();
//! let ran = Trial::of(pinger)
//!     .target(silent.url("pinger"))
//!     .params("{\"answer\": \"+PONG\"}")
//!     .timeout(std::time::Duration::from_millis(50))
//!     .run();
//! assert_eq!(ran.status(), Some(Status::Down), "{ran}");
//! assert!(ran.message().starts_with("timeout after 50 ms: read "), "{ran}");
//! # }
//! ```
//!
//! What needs the agent cannot be tried here: TLS, grants, and what a run may use of CPU and memory. `vitald try` runs
//! the finished plugin with all of it.

mod handler;
mod peer;
mod ran;
mod trial;

pub use self::handler::Handler;
pub use self::peer::{Peer, Script};
pub use self::ran::{Part, Ran};
pub use self::trial::{IntoParams, Trial};

#[cfg(test)]
#[cfg(feature = "tokio")]
mod at_once_tests;
#[cfg(test)]
mod tests;
