//! The attributes of `vitald-sdk`, which re-exports them: use that crate, not this one.
//!
//! They only write code around what they are put on and leave that as it is. What they cannot accept becomes a compile
//! error that shows what they can.

mod checker;
mod derive;
mod scheme;
mod signature;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a function the checker of this crate, and the crate a plugin. One per crate.
///
/// ```ignore
/// /// Waits for a line from a TCP service.
/// #[checker(schemes = ["tcp", "smtp:25"])]
/// fn banner(target: Target, params: Banner, run: &mut Run) -> Result<Outcome> { .. }
/// ```
///
/// - `schemes` are the targets that it takes: `"tcp"` where the operator must name a port, `"smtp:25"` with the port
///   where he names none. Without `schemes` it takes no target.
/// - A checker with `schemes` has the parameter `slow` by itself: `slow = "200ms"`, UP but slower is DEGRADED.
/// - What it does not need may be left out: the target, the params (or `()`), the run.
/// - The first paragraph of the function's doc comment is the plugin's summary; where there is none, the first line of
///   the parameters' type. The crate's version is the plugin's.
#[proc_macro_attribute]
pub fn checker(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attribute as checker::Options);
    checker::expand(&options, item.into()).into()
}

/// Makes a type the parameters of a checker, with nothing but `vitald-sdk` in `Cargo.toml`.
///
/// It is short for deriving `serde::Deserialize` and `schemars::JsonSchema` with `#[serde(deny_unknown_fields)]`, and
/// goes on structs, and on enums within them. `#[serde(..)]` and `#[schemars(..)]` work below it: `#[serde(default)]`
/// makes every field optional, with the type's `Default`.
///
/// ```ignore
/// #[params]
/// #[serde(default)]
/// #[derive(Default)]
/// struct Banner {
///     /// What the first line must start with.
///     starts_with: String,
/// }
/// ```
///
/// A type that cannot refuse unknown fields (`#[serde(flatten)]`) is written with the plain derives.
#[proc_macro_attribute]
pub fn params(attribute: TokenStream, item: TokenStream) -> TokenStream {
    derive::params(&attribute.into(), &item.into()).into()
}

/// Makes a type what a run can leave for the next one, with nothing but `vitald-sdk` in `Cargo.toml`.
///
/// It is short for deriving `serde::Serialize` and `serde::Deserialize`, and goes on structs, and on enums within them.
/// `#[serde(..)]` works below it: a field with `#[serde(default)]` may be missing in what an older version left.
///
/// ```ignore
/// #[state]
/// struct Seen {
///     restarts: u32,
/// }
/// ```
#[proc_macro_attribute]
pub fn state(attribute: TokenStream, item: TokenStream) -> TokenStream {
    derive::state(&attribute.into(), &item.into()).into()
}
