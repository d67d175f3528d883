//! Host calls in words: `net.connect db:5432`, `input-stream.blocking-read -> 12 bytes`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::secret::Masker;
use crate::model::time::rounded_ms;
use crate::sandbox::Way;

use super::eye::{Call, Moved, Sight};
use super::text::millis;

/// Pieces that are shown of one call.
const PIECES: usize = 3;

/// `net.connect db.internal:5432`
fn name(call: &Call) -> String {
    let argument = |name: &str| call.arguments.iter().find(|(own, _)| own == name).map(|(_, text)| unquoted(text));
    let name = function(call);
    let given = match (call.module.as_str(), call.function.as_str()) {
        ("net", "connect") => match (argument("host"), argument("port")) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            _ => String::new(),
        },
        _ => {
            let all = call.arguments.iter().filter(|(_, text)| says_something(text));
            all.map(|(_, text)| unquoted(text).to_owned()).collect::<Vec<_>>().join(" ")
        }
    };
    format!("{name} {given}").trim_end().to_owned()
}

/// Resources are numbers that say nothing, lists are left out.
fn says_something(text: &str) -> bool {
    !text.starts_with("Resource {") && text != "\"...\"" && text != "None" && !text.starts_with("[Resource")
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// `[method]input-stream.read` is `input-stream.read`; what is of no resource has its interface before it.
fn function(call: &Call) -> String {
    let bare = call.function.split(']').next_back().unwrap_or(&call.function);
    match call.function.starts_with('[') {
        true => bare.to_owned(),
        false if call.step && call.function.is_empty() => "connection".to_owned(),
        false if call.step => bare.to_owned(),
        false => format!("{}.{bare}", call.module),
    }
}

/// What came of it, in words.
fn result(call: &Call) -> String {
    let moved = moved(&call.moved);
    match (&call.result, call.took) {
        (_, None) => "not over when the run was".to_owned(),
        _ if !moved.is_empty() => moved,
        _ if call.broke.is_some() => format!("error: {}", call.broke.as_deref().unwrap_or_default()),
        (Some(result), _) if call.step => result.clone(),
        (Some(result), _) => match outcome(result) {
            // It does not wait, and nothing came.
            ok if matches!(&*ok, "ok" | "[]") && call.function == "[method]input-stream.read" => {
                "nothing yet".to_owned()
            }
            other => other,
        },
        (None, _) if call.step => String::new(),
        // It neither returned nor was waited for: it ended the run.
        (None, _) => "did not return".to_owned(),
    }
}

fn moved(moved: &[Moved]) -> String {
    let mut text = String::new();
    for way in [Way::Out, Way::In] {
        let own: Vec<&Moved> = moved.iter().filter(|moved| moved.way == way).collect();
        let bytes: usize = own.iter().map(|moved| moved.bytes).sum();
        if own.is_empty() {
            continue;
        }
        let arrow = if way == Way::Out { "sent" } else { "received" };
        let unit = if bytes == 1 { "byte" } else { "bytes" };
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{arrow} {bytes} {unit}");
        for text_of in own.iter().filter_map(|moved| moved.text.as_ref()).take(PIECES) {
            let _ = write!(text, " \"{text_of}\"");
        }
    }
    text
}

/// Of Rust's `Ok(Err(Error::Refused))` what a person wants of it.
fn outcome(result: &str) -> String {
    let inner = |text: &'_ str, head: &str| -> Option<String> {
        // What was cut off has no end.
        let rest = text.strip_prefix(head)?;
        Some(rest.strip_suffix(')').unwrap_or(rest).to_owned())
    };
    let once = inner(result, "Ok(").unwrap_or_else(|| result.to_owned());
    if let Some(error) = inner(&once, "Err(").or_else(|| inner(result, "Err(")) {
        let words = error.split(" Stack backtrace:").next().unwrap_or(&error);
        let words = words.rsplit("Error::").next().unwrap_or(words);
        return format!("error: {words}");
    }
    let value = inner(&once, "Ok(").unwrap_or(once);
    if value.is_empty() || value == "()" || !says_something(&value) || value.contains("Resource {") {
        "ok".to_owned()
    } else {
        unquoted(&value).to_owned()
    }
}

/// A line each; what is part of a call stands below it. Masked once more: pieces may make a secret together.
pub fn text(sight: &Sight, whole: Duration, masker: &Masker) -> String {
    let mut text = String::from("       AT       TOOK  HOST CALL\n");
    for call in &sight.calls {
        let took = call.took.map_or_else(|| "-".to_owned(), millis);
        let (indent, result) = (if call.step { "  · " } else { "" }, result(call));
        let arrow = if result.is_empty() { "" } else { " -> " };
        let _ =
            writeln!(text, "{:>9}  {took:>9}  {indent}{}{arrow}{result}", millis(call.start), masker.mask(name(call)));
    }
    if sight.calls_left_out > 0 {
        let _ = writeln!(text, "and {} more that were not kept", sight.calls_left_out);
    }
    let calls: Vec<&Call> = sight.calls.iter().filter(|call| !call.step).collect();
    let sum: Duration = calls.iter().filter_map(|call| call.took).sum();
    let _ = writeln!(text, "{} host calls took {} of the run's {}", calls.len(), millis(sum), millis(whole));
    text
}

pub fn json(sight: &Sight, masker: &Masker) -> Value {
    let of = |call: &Call| {
        let bytes = |way| call.moved.iter().filter(|moved| moved.way == way).map(|moved| moved.bytes).sum::<usize>();
        json!({
            "start_ms": rounded_ms(call.start),
            "took_ms": call.took.map(rounded_ms),
            "call": masker.mask(name(call)),
            "result": result(call),
            "sent_bytes": bytes(Way::Out),
            "received_bytes": bytes(Way::In),
            "step": call.step,
        })
    };
    sight.calls.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(module: &str, function: &str, arguments: &[(&str, &str)], result: &str) -> Call {
        Call {
            took: Some(Duration::ZERO),
            module: module.into(),
            function: function.into(),
            arguments: arguments.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
            result: Some(result.into()),
            ..Call::default()
        }
    }

    #[test]
    fn calls_in_words() {
        let connect = call(
            "net",
            "connect",
            &[("host", "\"db\""), ("port", "5432"), ("timeout", "None")],
            "Ok(Err(Error::Refused))",
        );
        assert_eq!((name(&connect), result(&connect)), ("net.connect db:5432".into(), "error: Refused".into()));
        let read =
            call("streams", "[method]input-stream.blocking-read", &[("self", "Resource { rep: 3 }"), ("len", "8")], "");
        let moved = vec![Moved { way: Way::In, bytes: 7, text: Some("+PONG\\r\\n".into()) }];
        let read = Call { moved, ..read };
        assert_eq!(name(&read), "input-stream.blocking-read 8");
        assert_eq!(result(&read), "received 7 bytes \"+PONG\\r\\n\"");
        let early = call("streams", "[method]input-stream.read", &[("len", "8")], "Ok([])");
        assert_eq!(result(&early), "nothing yet");
        assert_eq!(outcome("Ok(Ok(Resource { rep: 1 }))"), "ok");
        assert_eq!(outcome("Ok(12)"), "12");
        assert_eq!(outcome("()"), "ok");
        assert_eq!(outcome("Err(access denied (error 1) Stack backtrace: 0: main…"), "error: access denied (error 1)");
        assert_eq!(outcome("Ok(Err(Error::Other(\"cut off…"), "error: Other(\"cut off…");
        assert_eq!(result(&Call { took: None, ..connect }), "not over when the run was");
    }
}
