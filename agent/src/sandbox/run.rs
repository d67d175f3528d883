//! One run: a fresh store, a deadline in three parts, and a name for however it ended.
//!
//! The deadline: the epoch callback interrupts guest code once it has passed (and makes long computations take turns
//! before), `timeout_at` ends waiting in a host call, and the store is dropped in every case, which closes what the
//! guest had open.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi_http::FieldMapError;

use crate::model::outcome::{Ending, Fault, FaultKind, RunReport, Skipped};

use super::captured::{ends_of, one_line, truncated};
use super::limits::Exceeded;
use super::pace::{Metered, Pace};
use super::store::{COMPONENT_HANDLES, Guest, HOST_CALL_BYTES, HTTP_HEADER_BYTES, RANDOM_BYTES, RESOURCES, Shared};

/// Of what a guest printed, this much goes into a fault's message.
const PRINTED: usize = 512;

/// How a guest's call ended, before it has a name.
pub enum Ended<T> {
    Returned(T),
    Failed(wasmtime::Error),
    TimedOut,
}

/// Drives one call under the deadline, measured.
pub async fn drive<T>(call: impl Future<Output = wasmtime::Result<T>>, deadline: Instant, pace: &Pace) -> Ended<T> {
    let call = pin!(call);
    match timeout_at(deadline.into(), Metered { pace, inner: call }).await {
        // An answer that comes too late is none: what made it late may have made it wrong.
        Ok(Ok(_)) if Instant::now() >= deadline => Ended::TimedOut,
        Ok(Ok(value)) => Ended::Returned(value),
        Ok(Err(error)) => Ended::Failed(error),
        Err(_) => Ended::TimedOut,
    }
}

/// What the naming of an ending looks at.
pub struct Scene<'a> {
    pub guest: &'a Guest,
    /// Sockets that are open, of whichever interface.
    pub sockets: usize,
    pub pace: &'a Pace,
    pub timeout: Duration,
    pub deadline: Instant,
    pub shared: &'a Shared,
}

impl Scene<'_> {
    /// Names a call that did not return.
    pub fn name<T>(&self, ended: Ended<T>) -> Result<T, Ending> {
        let unreturned = match ended {
            Ended::Returned(value) => return Ok(value),
            Ended::TimedOut => self.past_deadline(),
            Ended::Failed(error) => self.failed(&error),
        };
        Err(unreturned)
    }

    fn past_deadline(&self) -> Ending {
        if self.pace.never_began() {
            return Ending::NotRun(Skipped::Overloaded);
        }
        let begun = self.deadline.checked_sub(self.timeout).unwrap_or(self.deadline);
        let runtime_was_late = self.shared.lateness.spoils(begun, self.timeout);
        // Who hardly got a CPU cannot be said to have used it up.
        if runtime_was_late && self.pace.cpu() < self.timeout / 4 {
            return Ending::NotRun(Skipped::Overloaded);
        }
        let shown = format!("{} ms", self.timeout.as_millis());
        if self.pace.was_computing() {
            let cpu = self.pace.cpu().as_millis();
            return fault(FaultKind::Cpu, format!("still computing after {shown} ({cpu} ms of CPU)"));
        }
        // The runtime was late, so nobody knows whether the target was.
        let late = self.deadline.elapsed() > self.timeout / 4;
        if late || runtime_was_late {
            return Ending::NotRun(Skipped::Overloaded);
        }
        if self.guest.egress.activity.is_resolving() {
            return fault(FaultKind::Resolver, format!("no resolver answered within {shown}"));
        }
        match self.guest.egress.activity.describe() {
            Some(step) if self.sockets > 0 || self.guest.egress.activity.is_opening() => {
                fault(FaultKind::Timeout, format!("timeout after {shown}: {step}"))
            }
            _ => fault(FaultKind::Idle, format!("slept past the deadline of {shown} without a connection")),
        }
    }

    fn failed(&self, error: &wasmtime::Error) -> Ending {
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Ending::NotRun(Skipped::Overloaded);
        }
        match self.guest.limits.exceeded() {
            Some(Exceeded::AllGuests) => return Ending::NotRun(Skipped::Overloaded),
            Some(Exceeded::Memory) => {
                let cap = self.guest.limits.cap() >> 20;
                return fault(FaultKind::Limit, format!("memory: more than the {cap} MiB that this check may use"));
            }
            Some(Exceeded::Table) => return fault(FaultKind::Limit, "table: too many elements".into()),
            None => {}
        }
        if let Some(cap) = cap_of(error) {
            return fault(FaultKind::Limit, cap);
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => self.past_deadline(),
            Some(Trap::StackOverflow) => fault(FaultKind::Limit, "stack: too deep a recursion".into()),
            _ => fault(FaultKind::Trap, self.trap_message(error)),
        }
    }

    /// The reason, what the guest printed (a panic's text goes there), and where it happened.
    fn trap_message(&self, error: &wasmtime::Error) -> String {
        // Masked before it is cut.
        let printed = ends_of(self.guest.egress.masker().on_one_line(&self.guest.captured.text()), PRINTED);
        let reason = match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            Some(exit) => format!("it exited with code {}", exit.0),
            None => error.root_cause().to_string(),
        };
        let trace = error.downcast_ref::<WasmBacktrace>();
        if let (Some(trace), Some(observer)) = (trace, self.guest.egress.observer()) {
            observer.trapped(names(trace).collect());
        }
        let frames = trace.map(|trace| names(trace).take(3).collect::<Vec<_>>().join(" < ")).unwrap_or_default();
        let mut message = reason;
        if !printed.is_empty() {
            message = format!("{printed} ({message})");
        }
        if !frames.is_empty() && printed.is_empty() {
            message = format!("{message} in {frames}");
        }
        message
    }
}

/// The cap that an error of wasmtime's stands for. Where its type is private, its text has to do.
fn cap_of(error: &wasmtime::Error) -> Option<String> {
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return Some(format!("handles: more than {RESOURCES} resources open at once"));
    }
    if let Some(FieldMapError::TotalSizeTooBig | FieldMapError::TooManyFields) = error.downcast_ref() {
        return Some(format!("HTTP headers: more than {} KiB", HTTP_HEADER_BYTES >> 10));
    }
    let texts = [
        (
            "fuel allocated for hostcalls",
            format!("host call: more than {} KiB handed over at once", HOST_CALL_BYTES >> 10),
        ),
        ("store handle limit exceeded", format!("handles: more than {COMPONENT_HANDLES} at once")),
        ("requested len", format!("random: more than {} KiB in one call", RANDOM_BYTES >> 10)),
    ];
    // The root alone: a backtrace on the way has names that the guest chose.
    let said = error.root_cause().to_string();
    texts.into_iter().find(|(text, _)| said.contains(text)).map(|(_, cap)| cap)
}

fn names(trace: &WasmBacktrace) -> impl Iterator<Item = String> {
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    // Without the hashes that tell builds apart.
    names.map(|name| truncated(one_line(&format!("{:#}", rustc_demangle::demangle(name))), 120))
}

fn fault(kind: FaultKind, message: String) -> Ending {
    Ending::Faulted(Fault { kind, message })
}

/// Puts together what a run took.
pub fn report(ending: Ending, begun: Instant, pace: &Arc<Pace>, store: &Store<Guest>) -> RunReport {
    let guest = store.data();
    let mut seen = guest.egress.seen();
    RunReport {
        ending,
        duration: begun.elapsed(),
        cpu: pace.cpu(),
        memory_peak: guest.limits.peak(),
        phases: std::mem::take(&mut seen.phases),
        denied: seen.denials,
    }
}
