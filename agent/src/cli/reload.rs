//! `vitald reload`: the agent looks at its configuration and plugins now, and says what that changed. Exits with 1 if
//! the configuration has mistakes, of which nothing was taken over.

use std::fmt::Write as _;

use crate::control::protocol::{Answer, Ask};
use crate::model::requests::{Changes, Reloaded};

use super::ask::{EXIT_REFUSED, Where, print, unexpected};
use super::table::one_line;

pub fn reload(place: &Where) -> u8 {
    let report = match place.ask(Ask::Reload {}) {
        Ok((_, Answer::Reloaded(report))) => *report,
        Ok(_) => return unexpected().report(),
        Err(failure) => return failure.report(),
    };
    print(&shown(&report));
    if report.mistakes.is_empty() {
        return 0;
    }
    for mistake in &report.mistakes {
        eprintln!("{}", one_line(mistake));
    }
    eprintln!("vitald: nothing of the configuration was taken over: what ran before runs on");
    EXIT_REFUSED
}

/// What changed, a line each; what did not, in one.
fn shown(report: &Reloaded) -> String {
    let mut text = String::new();
    if report.mistakes.is_empty() {
        let changed = changes("check", &report.checks) + &changes("service", &report.services);
        match (changed.is_empty(), report.at_next_start.is_empty()) {
            (true, true) => text.push_str("the configuration runs as it is on disk\n"),
            (true, false) => text.push_str("nothing changed\n"),
            (false, _) => {}
        }
        text.push_str(&changed);
        let _ = writeln!(
            text,
            "unchanged: {}, {}",
            counted("check", report.checks.unchanged),
            counted("service", report.services.unchanged)
        );
    }
    for plugin in &report.plugins {
        let _ = writeln!(text, "plugin {}", one_line(plugin));
    }
    for trouble in &report.troubles {
        let _ = writeln!(text, "not as on disk: plugin {}", one_line(trouble));
    }
    for key in &report.at_next_start {
        let _ = writeln!(text, "not before the next start: {}", one_line(key));
    }
    text
}

fn changes(what: &str, changes: &Changes) -> String {
    let lines = [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)];
    let mut text = String::new();
    for (verb, names) in lines.into_iter().filter(|(_, names)| !names.is_empty()) {
        let list = names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{verb}: {} ({list})", counted(what, names.len()));
    }
    text
}

fn counted(what: &str, count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<crate::model::name::Name> {
        names.iter().map(|name| name.parse().expect("a name")).collect()
    }

    #[test]
    fn what_changed_is_said_line_by_line() {
        let report = Reloaded {
            checks: Changes { added: names(&["a", "b"]), changed: names(&["c"]), removed: vec![], unchanged: 97 },
            services: Changes { unchanged: 1, ..Changes::default() },
            plugins: vec!["orders 1.2 -> 1.3".into()],
            troubles: vec!["cache is broken:\nno component".into()],
            at_next_start: vec!["agent.listen: ..".into()],
            mistakes: vec![],
        };
        assert_eq!(
            shown(&report),
            "added: 2 checks (a, b)\nchanged: 1 check (c)\nunchanged: 97 checks, 1 service\nplugin orders 1.2 -> 1.3\n\
             not as on disk: plugin cache is broken: no component\nnot before the next start: agent.listen: ..\n"
        );
    }

    #[test]
    fn that_nothing_changed_is_said_too_unless_there_are_mistakes() {
        let shown_of = |mistakes: &[&str]| {
            shown(&Reloaded { mistakes: mistakes.iter().map(ToString::to_string).collect(), ..Default::default() })
        };
        assert!(shown_of(&[]).starts_with("the configuration runs as it is on disk\n"));
        let waits = Reloaded { at_next_start: vec!["agent.listen: ..".into()], ..Default::default() };
        assert!(shown(&waits).starts_with("nothing changed\n"), "it does not run as it is on disk");
        assert_eq!(shown_of(&["x.toml:3: no"]), "");
    }
}
