//! What carries a checker: the host of its sandbox, or natively, in tests, the machine itself.
//!
//! Both sides have the same face, and everything above is written against it. A failed operation is a
//! [`Cause`](crate::Cause); whose it was and in which phase is said above. Whoever drops a connection has dropped its
//! [`Interest`]s before: the host holds that order.

#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
use self::host as side;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
use self::native as side;

#[cfg(not(target_family = "wasm"))]
pub(crate) use self::native::stage;
pub(crate) use self::side::{Connection, Socket, log, samples};
#[cfg(feature = "tokio")]
pub(crate) use self::side::{Interest, wait};
