use std::os::unix::net::UnixListener;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn unit(name: &str, load: &str, active: &str) -> Unit {
    Unit { name: name.to_owned(), load: load.to_owned(), active: active.to_owned(), ..Unit::default() }
}

fn page(seen: &Seen) -> Vec<String> {
    let mut out = Families::default();
    let filter = Filter { include: None, exclude: regex::Regex::new(r"\.(mount|slice)$").ok() };
    show(&mut out, seen, &|unit| unit.load == "loaded" && filter.allows(&unit.name));
    let lines = out.0.iter().flat_map(|family| {
        let name = family.name.trim_start_matches("node_systemd_");
        family.series.iter().map(move |one| format!("{name}{{{}}} {}", one.labels.rendered(), one.value))
    });
    lines.collect()
}

#[test]
fn units_are_shown_by_state() {
    let timer = Unit { last_trigger: Some(1_700_000_000_500_000), ..unit("t.timer", "loaded", "active") };
    let socket = Unit { accepted: Some(7), connections: Some(2), ..unit("s.socket", "loaded", "reloading") };
    let service = Unit { kind: "oneshot".to_owned(), ..unit("a.service", "loaded", "failed") };
    let rest = [unit("gone.service", "not-found", "inactive"), unit("m.mount", "loaded", "active")];
    let units = [timer, socket, service].into_iter().chain(rest).collect();
    let seen = Seen { version: Some("252.38-1~deb12u1".to_owned()), state: Some("degraded".to_owned()), units };
    let mut wanted = vec![
        r#"version{version="252.38-1~deb12u1"} 252.38"#.to_owned(),
        r#"units{state="active"} 2"#.to_owned(),
        r#"units{state="activating"} 0"#.to_owned(),
        r#"units{state="deactivating"} 0"#.to_owned(),
        r#"units{state="inactive"} 1"#.to_owned(),
        r#"units{state="failed"} 1"#.to_owned(),
        r#"units{state="reloading"} 1"#.to_owned(),
    ];
    for (name, kind, active) in [("t.timer", "", "active"), ("s.socket", "", ""), ("a.service", "oneshot", "failed")] {
        wanted.extend(STATES.iter().map(|state| {
            let value = i32::from(*state == active);
            format!("unit_state{{name=\"{name}\",state=\"{state}\",type=\"{kind}\"}} {value}")
        }));
    }
    wanted.extend([
        r#"timer_last_trigger_seconds{name="t.timer"} 1700000000.5"#.to_owned(),
        r#"socket_accepted_connections_total{name="s.socket"} 7"#.to_owned(),
        r#"socket_current_connections{name="s.socket"} 2"#.to_owned(),
        "system_running{} 0".to_owned(),
    ]);
    assert_eq!(page(&seen), wanted);
}

#[test]
fn what_was_not_said_is_not_shown() {
    assert_eq!(page(&Seen::default()), Vec::<String>::new());
    let seen = Seen { version: Some("devel".to_owned()), ..Seen::default() };
    assert_eq!(page(&seen), [r#"version{version=""} 0"#]);
    let seen = Seen { state: Some("running".to_owned()), ..seen };
    assert_eq!(page(&seen)[1], "system_running{} 1");
}

#[test]
fn the_version_is_read_as_a_number() {
    for (text, wanted) in [
        ("252.38-1~deb12u1", Some(252.38)),
        ("v239 (239-78.el8)", Some(239.0)),
        ("255.4-1ubuntu8.4", Some(255.4)),
        ("systemd 219", Some(219.0)),
        ("257~rc1", Some(257.0)),
        ("1.2", None),
        ("", None),
    ] {
        assert_eq!(version_number(text), wanted, "{text}");
    }
}

proptest! {
    #[test]
    fn no_version_makes_it_panic(text in "\\PC*[0-9]{0,5}[.]?[0-9]{0,400}\\PC*") {
        let _ = version_number(&text);
    }
}

fn at(address: String) -> Systemd {
    Systemd { filter: Filter::default(), bus: Bus::at(address) }
}

#[test]
fn a_bus_that_does_not_answer_costs_the_patience() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let _accepts_and_says_nothing = UnixListener::bind(&path).unwrap();
    let mut systemd = at(format!("unix:path={}", path.display()));
    let begun = Instant::now();
    // Had all of them to wait, they would take 200 s.
    for _ in 0..100 {
        let mut out = Families::default();
        let error = systemd.collect(&mut out).unwrap_err().to_string();
        assert_eq!(error, format!("unix:path={}: systemd did not answer within 2 s", path.display()));
        assert_eq!(out, Families::default());
    }
    assert!(begun.elapsed() < 10 * PATIENCE);
}

#[test]
fn no_bus_is_a_fault_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut systemd = at(format!("unix:path={}/none", dir.path().display()));
    let error = systemd.collect(&mut Families::default()).unwrap_err().to_string();
    let wanted = format!("unix:path={}/none: no connection to the system bus", dir.path().display());
    assert!(error.starts_with(&wanted), "{error}");
}
