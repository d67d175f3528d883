//! Functions that can be checkers: with a target, parameters and a run, in this order, each of which may be left out.

use std::any::Any;

use crate::bindings::exports::vitald::check::checker::Request;
use crate::bindings::vitald::check::types;
use crate::component::{self, NoParams, Params, reading};
use crate::error::Result;
use crate::outcome::Outcome;
use crate::run::Run;
use crate::target::Target;

pub(crate) type Answer = std::result::Result<types::Outcome, types::Error>;

/// A function that `#[checker]` can be put on. `Takes` stands for what it takes and is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "this is no checker",
    label = "a function of `(Target, Params, &mut Run)`, each of which may be left out, that returns `Result<Outcome>`"
)]
pub trait Handler<Takes>: 'static {
    #[doc(hidden)]
    fn run(&self, request: Request, has_target: bool) -> Answer;
}

/// One implementation for each choice of arguments, each with a marker of its own. That `F` takes such arguments stands
/// before what is asked of them: so the compiler knows them when it asks.
macro_rules! handler {
    ($marker:ty, [$($generic:ident)?], ($($argument:ty),*), |$f:ident, $target:ident, $params:ident: $type:ty, $run:ident|
     $call:expr) => {
        impl<F, $($generic)?> Handler<$marker> for F
        where
            F: Fn($($argument),*) -> Result<Outcome> + 'static,
            $($generic: Params + 'static,)?
        {
            fn run(&self, request: Request, has_target: bool) -> Answer {
                let $f = self;
                with(request, has_target, move |$target, $params: $type, $run| $call)
            }
        }
    };
}

handler!([(); 0], [], (), |f, _t, _p: NoParams, _r| f());
handler!([(); 1], [], (Target), |f, t, _p: NoParams, _r| f(t));
handler!([(); 2], [], (&mut Run), |f, _t, _p: NoParams, r| f(r));
handler!([(); 3], [], (Target, &mut Run), |f, t, _p: NoParams, r| f(t, r));
handler!([P; 4], [P], (P), |f, _t, p: P, _r| f(p));
handler!([P; 5], [P], (Target, P), |f, t, p: P, _r| f(t, p));
handler!([P; 6], [P], (P, &mut Run), |f, _t, p: P, r| f(p, r));
handler!([P; 7], [P], (Target, P, &mut Run), |f, t, p: P, r| f(t, p, r));

/// As in a component. `()` as parameters is none, as it is for `#[checker]`.
fn with<P: Params + 'static>(
    request: Request,
    has_target: bool,
    check: impl FnOnce(Target, P, &mut Run) -> Result<Outcome>,
) -> Answer {
    let nothing: Box<dyn Any> = Box::new(());
    match nothing.downcast::<P>() {
        Ok(nothing) => {
            component::run(request, &reading(), has_target, |target, NoParams {}, run| check(target, *nothing, run))
        }
        Err(_) => component::run(request, &reading(), has_target, check),
    }
}
