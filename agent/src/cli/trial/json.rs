//! One JSON object. Keys that `/health` and `/api/v1/checks` have too mean the same.

use serde_json::{Map, Value, json};

use crate::model::outcome::Ending;
use crate::model::time::rounded_ms;

use super::super::EXIT_UNKNOWN;
use super::form::{Tried, status};
use super::runs::Spread;
use super::{advice, trace};

pub fn json(tried: &Tried, with_trace: bool) -> String {
    let (definition, last, sight) = (&tried.subject.definition, &tried.runs.last, &tried.sight);
    let phases: Map<String, Value> =
        last.phases.iter().map(|(phase, took)| ((*phase).to_owned(), json!(rounded_ms(*took)))).collect();
    let parts = match &last.ending {
        Ending::Judged(outcome) => json!(outcome.parts),
        _ => json!([]),
    };
    let mut body = json!({
        "name": definition.name,
        "checker": definition.checker,
        "source": tried.subject.plugin.source,
        "digest": tried.subject.plugin.digest,
        "version": tried.description.version,
        "target": definition.target.as_ref().map(ToString::to_string),
        "timeout_ms": rounded_ms(definition.policy.timeout),
        "status": tried.status(),
        "reason": tried.reason(),
        "message": tried.message(),
        "advice": advice::of(tried),
        "exit_code": tried.runs.exit_code(),
        "duration_ms": rounded_ms(last.duration),
        "cpu_ms": rounded_ms(last.cpu),
        "memory_peak_bytes": last.memory_peak,
        "phases_ms": phases,
        "parts": parts,
        "measurements": tried.measurements(),
        "denied": sight.left.denied.iter().map(denial).collect::<Vec<_>>(),
        "log": sight.log.iter().map(|(level, message)| json!({"level": level, "message": message})).collect::<Vec<_>>(),
        "printed": sight.left.printed,
        "backtrace": sight.frames,
        "notes": tried.subject.notes,
        "runs": runs(tried),
    });
    if let Some(body) = body.as_object_mut().filter(|_| with_trace) {
        body.insert("trace".into(), trace::json(sight, &definition.masker));
        body.insert("trace_left_out".into(), sight.calls_left_out.into());
    }
    format!("{body:#}\n")
}

fn denial(denial: &crate::sandbox::Denial) -> Value {
    json!({"what": denial.what, "advice": denial.advice, "allow": denial.allow})
}

fn runs(tried: &Tried) -> Value {
    let spread = |Spread { min, median, max }: Spread| json!({"min": rounded_ms(min), "median": rounded_ms(median), "max": rounded_ms(max)});
    let tally: Map<String, Value> =
        tried.runs.tally().into_iter().map(|(word, count)| (word.to_owned(), count.into())).collect();
    json!({
        "count": tried.runs.count(),
        "statuses": tally,
        "worst": status(&tried.runs.worst.ending),
        "duration_ms": spread(tried.runs.durations()),
        "cpu_ms": spread(tried.runs.cpus()),
    })
}

/// There was no run.
pub fn failure(problem: &str) -> String {
    let body = json!({"status": "UNKNOWN", "reason": "not-run", "message": problem, "exit_code": EXIT_UNKNOWN});
    format!("{body:#}\n")
}
