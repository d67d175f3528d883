//! What a person should do about a run that judged nothing, and about parameters that a checker does not take.

use serde_json::{Map, Value};

use crate::config::one::nearest;
use crate::model::checkset::Power;
use crate::model::name::Name;
use crate::model::outcome::{Ending, FaultKind, Skipped};

use super::super::plugin::params::{Param, params};
use super::form::Tried;

/// What a fault means, and what to do; none where there was a judgement.
pub fn of(tried: &Tried) -> Option<String> {
    match &tried.runs.last.ending {
        Ending::Judged(_) => None,
        Ending::NotRun(Skipped::Overloaded) => Some(
            "No room to run in, no memory, or the CPU came too late: that says nothing of the target. Try it again when \
             this machine has less to do."
                .to_owned(),
        ),
        Ending::NotRun(_) => None,
        Ending::Faulted(fault) => Some(of_fault(tried, fault.kind, &fault.message)),
    }
}

fn of_fault(tried: &Tried, kind: FaultKind, message: &str) -> String {
    let timeout = humantime::format_duration(tried.subject.definition.policy.timeout);
    let checker = &tried.subject.definition.checker;
    match kind {
        FaultKind::Timeout => format!(
            "The target did not answer in time, which counts as DOWN. A checker that has to wait longer than {timeout} \
             needs --timeout (`timeout` of the check)."
        ),
        FaultKind::Cpu => format!(
            "The checker itself was busy for all of its {timeout}: that says nothing of the target. Look for a loop that \
             does not end, or give it more time with --timeout."
        ),
        FaultKind::Idle => {
            "The checker slept, with no connection open: that says nothing of the target. It should not \
                            wait for anything but its target."
                .to_owned()
        }
        FaultKind::Limit => limit(message),
        FaultKind::Trap => {
            "The checker crashed: that says nothing of the target. It is a mistake in the checker: see what it printed, and \
             where it was."
                .to_owned()
        }
        FaultKind::Denied => denied(tried),
        FaultKind::InvalidParams => {
            format!("The check is not configured as {checker} wants it: see `vitald plugin inspect {}`.", source(tried))
        }
        FaultKind::Resolver => {
            "No DNS server answered: that says nothing of the target. Look at /etc/resolv.conf and at \
                                `[dns] servers`, or name the target by its address."
                .to_owned()
        }
        FaultKind::NoChecker => "There is no plugin to run.".to_owned(),
        FaultKind::Internal => "The checker says that it could not judge its target.".to_owned(),
    }
}

/// As `plugin inspect` takes it.
fn source(tried: &Tried) -> &str {
    tried.subject.plugin.path().unwrap_or(&tried.subject.definition.checker)
}

fn limit(message: &str) -> String {
    let more = match message.split(':').next() {
        Some("memory") => "If it really needs more: --memory 128MiB (`limits = { memory = \"128MiB\" }`).",
        Some("state") => "It should remember less.",
        _ => "It should use less of it; most limits are fixed (see the sandbox's README).",
    };
    format!("The checker wanted more than a run may have. {more}")
}

fn denied(tried: &Tried) -> String {
    let wants_host = tried.powers.contains(&Power::HostNumbers) && !tried.subject.reads_host();
    if tried.sight.left.denied.is_empty() && wants_host {
        return "The checker reads the host's numbers, which the check must be granted: --allow host (`allow = \
                [\"host\"]`)."
            .to_owned();
    }
    "The checker wanted to reach what the check was not granted: that says nothing of the target. See what it was \
     refused, and what would permit it."
        .to_owned()
}

/// What is wrong with parameters, and which ones there are.
pub fn of_params(checker: &Name, problem: &str, given: &Map<String, Value>, schema: &str) -> String {
    let about_params = problem.split("; ").any(|problem| problem.starts_with("params"));
    if !about_params {
        return problem.to_owned();
    }
    let known = params(&serde_json::from_str(schema).unwrap_or_default());
    let mut lines = vec![problem.to_owned()];
    lines.extend(unknown(given, &known));
    if problem.contains("\"string\"") {
        lines.push("a text that looks like a number is written with quotes: -p 'key=\"12\"'".to_owned());
    }
    if known.is_empty() {
        lines.push(format!("{checker} takes no parameters"));
    } else {
        let all: Vec<String> = known.iter().map(in_short).collect();
        lines.push(format!("{checker} takes {}", all.join("; ")));
    }
    lines.join("\n")
}

fn in_short(param: &Param) -> String {
    let required = if param.required { ", required" } else { "" };
    format!("{} ({}{required})", param.name, param.kind)
}

fn unknown(given: &Map<String, Value>, known: &[Param]) -> Option<String> {
    let names: Vec<&str> =
        known.iter().map(|param| param.name.as_str()).filter(|name| !name.contains(['.', '[', '*'])).collect();
    let stray = given.keys().find(|key| !names.contains(&key.as_str()))?;
    if known.iter().any(|param| param.name.starts_with('*')) || names.is_empty() {
        return None;
    }
    // What there is stands in a line of its own.
    let meant = nearest(stray, &names).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    Some(format!("there is no parameter {stray:?}{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_parameter_is_named_with_what_was_meant() {
        let schema = r#"{"type":"object","properties":{"starts_with":{"type":"string"}},"additionalProperties":false}"#;
        let given = serde_json::json!({"start_with": "220"});
        let given = given.as_object().expect("an object");
        let said = of_params(&"banner".parse().expect("a name"), "params: no", given, schema);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[1], "there is no parameter \"start_with\"; did you mean \"starts_with\"?");
        assert_eq!(lines[2], "banner takes starts_with (string)");
    }
}
