//! What is seen of a run from beside it: its host calls, in order and with their times, the lines that the checker logs,
//! what it prints, what it was refused, where it crashed.
//!
//! Host calls are seen through the spans that the generated bindings make; that they are made at all is asked for by a
//! layer that only `vitald try --trace` installs. What moves on a connection and the steps of opening one come from the
//! sandbox. Everything is kept masked and capped: a guest may call as often as it likes.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::cli::table::one_line;
use crate::model::secret::Masker;
use crate::sandbox::{Left, Observer, Step, Way};
use crate::telemetry::{LogFormat, Onlooker};

/// Calls that are kept of one run.
const MAX_CALLS: usize = 5_000;
/// Lines of the checker's log that are kept; the sandbox has its own cap for each run.
const MAX_LINES: usize = 1_000;
/// Of an argument or a result, in characters.
const MAX_TEXT: usize = 120;
/// Bytes of a text or a connection that are looked at, and characters of them that are shown.
const LOOKED_AT: usize = 4096;
const SHOWN: usize = 48;
/// What the generated bindings call their spans.
const SPAN: &str = "wit-bindgen import";

/// A host call, or a step of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Call {
    /// Since the run began.
    pub start: Duration,
    /// None: the run ended in it.
    pub took: Option<Duration>,
    /// `net`, `streams`; of a step the word for what it is part of.
    pub module: String,
    pub function: String,
    pub arguments: Vec<(String, String)>,
    pub result: Option<String>,
    pub moved: Vec<Moved>,
    /// The connection failed in it, or was closed.
    pub broke: Option<String>,
    /// A step of the call before it, not a call of the guest.
    pub step: bool,
}

/// Bytes that went over a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    pub way: Way,
    pub bytes: usize,
    /// The beginning of it; none where it is no text.
    pub text: Option<String>,
}

/// Everything that was seen of the last run.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    pub calls: Vec<Call>,
    pub calls_left_out: usize,
    /// Level and text.
    pub log: Vec<(&'static str, String)>,
    pub left: Left,
    pub frames: Vec<String>,
    /// Which run this is.
    generation: usize,
    /// The call that is going on.
    open: Option<usize>,
}

pub struct Eye {
    masker: Masker,
    /// How lines of the log are printed as they come.
    live: Option<LogFormat>,
    /// Somebody wants to see the calls: else nothing is done in a run that would count as its time.
    trace: bool,
    begun: Mutex<Instant>,
    sight: Mutex<Sight>,
}

impl Eye {
    pub fn new(masker: Masker, live: Option<LogFormat>, trace: bool) -> Arc<Self> {
        Arc::new(Self { masker, live, trace, begun: Mutex::new(Instant::now()), sight: Mutex::default() })
    }

    /// Sees host calls; to be installed beside the log.
    pub fn onlooker(self: &Arc<Self>) -> Onlooker {
        let of_bindings = |metadata: &Metadata<'_>| match metadata.is_span() {
            true => metadata.name() == SPAN,
            false => metadata.target().contains("::bindings"),
        };
        Calls(self.clone()).with_filter(filter_fn(of_bindings)).boxed()
    }

    /// A run is to begin; what was seen of the one before is forgotten.
    pub fn begin(&self) {
        let mut sight = self.sight();
        *sight = Sight { generation: sight.generation + 1, ..Sight::default() };
    }

    pub fn seen(&self) -> Sight {
        self.sight().clone()
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Masked before it is cut: half a secret would not be known for one.
    fn safe(&self, text: String) -> String {
        cut(&one_line(&self.masker.mask(text)), MAX_TEXT)
    }

    fn text_of(&self, bytes: &[u8]) -> Option<String> {
        let looked_at = bytes.get(..LOOKED_AT).unwrap_or(bytes);
        let text = String::from_utf8_lossy(looked_at);
        let odd = text.chars().filter(|c| *c == '\u{fffd}' || c.is_control() && !c.is_whitespace()).count();
        // Every tenth character says nothing to a person: it is no text.
        if odd * 10 > text.chars().count() {
            return None;
        }
        let masked = self.masker.mask(text.into_owned());
        Some(cut(&escaped(&masked), SHOWN))
    }
}

/// On one line, with the line breaks of a protocol to be seen.
fn escaped(text: &str) -> String {
    let broken = text.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t");
    // Whatever is left and steers a terminal goes.
    one_line(&broken)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most).chain(['…']).collect() }
}

impl Observer for Eye {
    fn begun(&self, at: Instant) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn broke(&self, why: &str) {
        if !self.trace {
            return;
        }
        let why = self.safe(why.to_owned());
        let mut sight = self.sight();
        if let Some(call) = sight.open.and_then(|open| sight.calls.get_mut(open)) {
            call.broke = Some(why);
        }
    }

    fn says(&self, level: &'static str, line: &str) {
        let shown = self.live.map(|format| match format {
            LogFormat::Text => format!("{level:>5}: {line}\n"),
            LogFormat::Json => format!("{}\n", serde_json::json!({"level": level, "message": line})),
        });
        // Nobody may be there to read it, which is no fault of the run.
        let _ = shown.map(|shown| std::io::stderr().write_all(shown.as_bytes()));
        let mut sight = self.sight();
        if sight.log.len() < MAX_LINES {
            sight.log.push((level, line.to_owned()));
        }
    }

    fn moved(&self, way: Way, bytes: &[u8]) {
        if !self.trace || bytes.is_empty() {
            return;
        }
        let moved = Moved { way, bytes: bytes.len(), text: self.text_of(bytes) };
        let start = self.now();
        let mut sight = self.sight();
        match sight.open.and_then(|open| sight.calls.get_mut(open)) {
            Some(call) if call.moved.len() < MAX_LINES => call.moved.push(moved),
            Some(_) => {}
            // What the host does by itself, as for wasi:http.
            None => {
                let step =
                    Call { start, step: true, took: Some(Duration::ZERO), moved: vec![moved], ..Call::default() };
                sight.add(step);
            }
        }
    }

    fn step(&self, step: &Step<'_>) {
        if !self.trace {
            return;
        }
        let (what, result) = (self.safe(step.of.to_owned()), step.result.clone());
        let result = match result {
            Ok(text) => self.safe(text),
            Err(text) => format!("error: {}", self.safe(text)),
        };
        let start = self.now().saturating_sub(step.took);
        self.sight().add(Call {
            start,
            took: Some(step.took),
            function: step.phase.to_owned(),
            arguments: vec![(String::new(), what)],
            result: Some(result),
            step: true,
            ..Call::default()
        });
    }

    fn trapped(&self, frames: Vec<String>) {
        self.sight().frames = frames;
    }

    fn ended(&self, left: Left) {
        self.sight().left = left;
    }
}

impl Sight {
    /// None: there is no room.
    fn add(&mut self, call: Call) -> Option<usize> {
        if self.calls.len() >= MAX_CALLS {
            self.calls_left_out += 1;
            return None;
        }
        self.calls.push(call);
        Some(self.calls.len() - 1)
    }
}

/// The layer.
struct Calls(Arc<Eye>);

/// Which call a span stands for.
#[derive(Clone, Copy)]
struct Mark {
    generation: usize,
    at: usize,
}

impl Layer<Registry> for Calls {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, Registry>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let (module, function) = (fields.take("module"), fields.take("function"));
        let call = Call { start: self.0.now(), module, function, ..Call::default() };
        let mut sight = self.0.sight();
        if let (Some(at), Some(span)) = (sight.add(call), context.span(id)) {
            sight.open = Some(at);
            span.extensions_mut().insert(Mark { generation: sight.generation, at });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, Registry>) {
        let Some(mark) = context.event_span(event).and_then(|span| mark_of(&span)) else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let is_return = fields.take("message") == "return";
        let all: Vec<_> = fields.0.into_iter().map(|(name, text)| (name, self.0.safe(text))).collect();
        let mut sight = self.0.sight();
        if let Some(call) = sight.call(mark) {
            match is_return {
                true => call.result = all.into_iter().next().map(|(_, result)| result),
                false => call.arguments = all,
            }
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, Registry>) {
        let Some(mark) = context.span(&id).and_then(|span| mark_of(&span)) else { return };
        let now = self.0.now();
        let mut sight = self.0.sight();
        if let Some(call) = sight.call(mark) {
            call.took = Some(now.saturating_sub(call.start));
            sight.open = None;
        }
    }
}

impl Sight {
    fn call(&mut self, mark: Mark) -> Option<&mut Call> {
        if mark.generation == self.generation { self.calls.get_mut(mark.at) } else { None }
    }
}

fn mark_of<'a, S: Subscriber + LookupSpan<'a>>(span: &tracing_subscriber::registry::SpanRef<'a, S>) -> Option<Mark> {
    span.extensions().get::<Mark>().copied()
}

/// Of a span or an event.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn take(&mut self, name: &str) -> String {
        let at = self.0.iter().position(|(own, _)| own == name);
        at.map(|at| self.0.remove(at).1).unwrap_or_default()
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Capped(String::new());
        // It fails where it is cut off.
        let _ = write!(text, "{value:?}");
        self.0.push((field.name().to_owned(), text.0));
    }
}

/// As much of a text as is looked at: a guest may hand over a MiB.
struct Capped(String);

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LOOKED_AT.saturating_sub(self.0.len());
        let end = text.floor_char_boundary(room);
        self.0.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_escapes_are_not_shown() {
        let eye = Eye::new(Masker::new(["hunter22"]), None, true);
        let text = |bytes: &[u8]| eye.text_of(bytes);
        assert_eq!(text(b"AUTH hunter22\r\n").as_deref(), Some("AUTH ***\\r\\n"));
        let long = [&[b'x'; SHOWN - 4][..], b"hunter22"].concat();
        assert_eq!(text(&long), Some(format!("{}***", "x".repeat(SHOWN - 4))), "masked before it is cut");
        assert_eq!(text(b"a\x1b[31mb and more of it").as_deref(), Some("a [31mb and more of it"));
        assert_eq!(text(&[0, 1, 2, 200, 201]), None);
    }

    #[test]
    fn what_a_call_moves_belongs_to_it() {
        let eye = Eye::new(Masker::default(), None, true);
        eye.begin();
        eye.moved(Way::Out, b"beside");
        let at = eye.sight().add(Call::default());
        eye.sight().open = at;
        eye.moved(Way::In, b"+PONG\r\n");
        let calls = eye.seen().calls;
        assert_eq!((calls.len(), calls[0].step, calls[1].moved[0].bytes), (2, true, 7));
        eye.begin();
        assert!(eye.seen().calls.is_empty());
    }

    #[test]
    fn where_nobody_wants_to_see_them_no_calls_are_kept() {
        let eye = Eye::new(Masker::default(), None, false);
        eye.begin();
        eye.moved(Way::Out, b"PING");
        eye.step(&Step { phase: "connect", of: "db:1", took: Duration::ZERO, result: Ok(String::new()) });
        assert!(eye.seen().calls.is_empty());
    }

    #[test]
    fn calls_are_capped() {
        let eye = Eye::new(Masker::default(), None, true);
        for _ in 0..MAX_CALLS + 3 {
            eye.sight().add(Call::default());
        }
        assert_eq!((eye.seen().calls.len(), eye.seen().calls_left_out), (MAX_CALLS, 3));
    }
}
