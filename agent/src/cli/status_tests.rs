use crate::control::protocol::OrderReport;
use crate::control::report::{
    CheckReport, ConfigurationReport, ErrorReport, KeyReport, LeaseReport, RegistryReport, ServiceReport,
};
use crate::model::name::Name;

use super::text::text;
use super::*;

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

fn check(check: &str, status: &str) -> CheckReport {
    CheckReport {
        notice: None,
        name: name(check),
        checker: name("tcp"),
        severity: "critical".into(),
        status: status.into(),
        last: Some("UP".into()),
        reason: (status == "UNKNOWN").then(|| "cpu".into()),
        since: None,
        age_ms: Some(2_000),
        streak: None,
        message: "a message".into(),
        running: false,
        next_run_in_ms: Some(8_000),
    }
}

fn service(service: &str, status: &str) -> ServiceReport {
    let order = OrderReport {
        reason: "disk swap".into(),
        since: "2026-11-22T20:00:00.000Z".into(),
        until: Some("2026-11-22T22:00:00.000Z".into()),
    };
    ServiceReport {
        name: name(service),
        status: status.into(),
        worst: "UP".into(),
        since: String::new(),
        for_ms: 180_000,
        registrable: true,
        keys: Vec::new(),
        maintenance: (status == "MAINTENANCE").then_some(order),
        checks: vec![name("own")],
    }
}

fn report(status: &str, services: Vec<ServiceReport>, checks: Vec<CheckReport>) -> StatusReport {
    let configuration = ConfigurationReport {
        at_next_start: vec![],
        origin: "file".into(),
        read: String::new(),
        read_ms_ago: 12_000,
        taken_over: String::new(),
        taken_over_ms_ago: 180_000,
        mistakes: 0,
        first_mistake: None,
    };
    let (agent, version) = (name("web-1"), "0.1.0".into());
    StatusReport { agent, version, status: status.into(), configuration, registry: None, services, checks }
}

fn etcd(up: bool) -> RegistryReport {
    let lease = LeaseReport { id: "1234".into(), granted_ttl_ms: 15_000, age_ms: 180_000, renewed_ms_ago: 2_000 };
    RegistryReport {
        up,
        for_ms: 12_000,
        endpoint: Some("http://127.0.0.1:2379".into()),
        lease: Some(lease),
        last_error: Some(ErrorReport { message: "refused".into(), at: String::new(), age_ms: 13_000 }),
    }
}

fn key(dialect: &str, state: &str) -> KeyReport {
    KeyReport { dialect: dialect.into(), key: "/k".into(), state: state.into(), for_ms: 60_000 }
}

#[test]
fn the_exit_code_of_the_whole_is_the_worst_as_nagios_has_it() {
    let info = CheckReport { severity: "info".into(), ..check("c", "UNKNOWN") };
    let cases = [
        ("all is well", report("UP", vec![service("s", "UP")], vec![check("c", "UP")]), 0),
        ("degraded", report("DEGRADED", vec![], vec![]), 1),
        ("in maintenance", report("UP", vec![service("s", "MAINTENANCE")], vec![]), 1),
        ("down", report("DOWN", vec![service("s", "MAINTENANCE")], vec![check("c", "UNKNOWN")]), 2),
        ("pending", report("PENDING", vec![], vec![]), 3),
        ("pending, and in maintenance", report("PENDING", vec![service("s", "MAINTENANCE")], vec![]), 1),
        ("a check is unknown", report("UP", vec![], vec![check("c", "UNKNOWN")]), 3),
        ("degraded, and a check is unknown", report("DEGRADED", vec![], vec![check("c", "UNKNOWN")]), 1),
        ("a check that never counts is unknown", report("UP", vec![], vec![info]), 0),
        ("a check counts by the whole alone", report("UP", vec![], vec![check("c", "DOWN")]), 0),
    ];
    for (what, report, code) in cases {
        assert_eq!(code_of_all(&report), code, "{what}");
    }
}

#[test]
fn a_name_has_the_code_of_its_service_or_check_alone() {
    let all = || {
        let services = vec![service("shop", "MAINTENANCE"), service("own", "UP")];
        report("DOWN", services, vec![check("own", "DOWN"), check("other", "DEGRADED"), check("odd", "UNKNOWN")])
    };
    let select = |name: &str| super::select(all(), name);
    let (shop, code) = select("shop").expect("a service");
    assert_eq!((code, shop.services.len(), shop.checks.len()), (1, 1, 1), "with its checks");
    assert_eq!(select("own").expect("a service").1, 0, "services come first");
    let (other, code) = select("other").expect("a check");
    assert_eq!((code, other.services.len(), other.checks.len()), (1, 0, 1));
    assert_eq!(select("odd").expect("a check").1, 3);
    let error = select("none").expect_err("unknown").to_string();
    assert!(["shop, own", "own, other, odd"].iter().all(|names| error.contains(names)), "{error}");
}

#[test]
fn people_read_it_in_eighty_columns() {
    let long = CheckReport { message: "x".repeat(300), streak: Some("2 of 3 worse".into()), ..check("a", "UNKNOWN") };
    let services = vec![
        ServiceReport { keys: vec![key("grpc", "registered"), key("native", "registered")], ..service("shop", "UP") },
        ServiceReport { keys: vec![key("native", "absent")], ..service("cart", "MAINTENANCE") },
    ];
    let report = StatusReport { registry: Some(etcd(true)), ..report("UP", services, vec![long]) };
    let text = text(&report, true, Some(80), false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "UP: agent web-1, vitald 0.1.0, 1 in maintenance, 1 UNKNOWN");
    assert_eq!(lines[1], "configuration: taken over 3m ago, read 12s ago");
    assert_eq!(lines[2], "etcd: http://127.0.0.1:2379 for 12s; lease 1234 of 15s, 3m old, renewed 2s ago");
    assert_eq!(lines[3], "last error of etcd: 13s ago: refused");
    assert_eq!(lines[6], "shop     UP           3m   grpc, native for 1m");
    assert!(lines[7].starts_with("cart     MAINTENANCE  3m   no; until 2026-11-22T22:00:00.000Z: disk"), "{text}");
    assert!(lines[10].starts_with("a      UNKNOWN  UP    2s   8s    2 of 3 worse  (cpu) xxx"), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn what_is_wrong_with_the_agent_itself_is_said() {
    let mut report = report("UP", vec![], vec![]);
    assert!(text(&report, true, Some(80), false).contains("etcd: there is no [registry]"));
    report.registry = Some(etcd(false));
    report.configuration.mistakes = 3;
    report.configuration.first_mistake = Some("/etc/vitald/conf.d/a.toml:3: no".into());
    let text = text(&report, true, Some(80), true);
    assert!(text.contains("\x1b[31mAWAY\x1b[0m for 12s (http://127.0.0.1:2379)"), "{text}");
    assert!(text.contains("NOT TAKEN OVER, read 12s ago; what runs was taken over 3m ago: /etc/vitald/conf.d/a.toml:3: no (and 2 more)"), "{text}");
}

#[test]
fn of_a_name_only_what_is_its_own_is_shown() {
    let (shop, _) =
        select(report("UP", vec![service("shop", "UP")], vec![check("own", "UP")]), "own").expect("a check");
    let text = text(&shop, false, Some(80), false);
    assert!(text.starts_with("UP: check own: a message\n\nCHECK") && text.lines().count() == 4, "{text}");
}

#[test]
fn the_first_line_says_how_it_stands() {
    let pending = || ServiceReport { keys: vec![key("native", "pending")], ..service("shop", "UP") };
    let cases = [
        (service("shop", "MAINTENANCE"), "MAINTENANCE: service shop, until 2026-11-22T22:00:00.000Z: disk swap"),
        (ServiceReport { registrable: false, ..service("shop", "DOWN") }, "DOWN: service shop: own: a message"),
        (pending(), "UP: service shop, but its registration is not as it should be: native pending for 1m"),
        (ServiceReport { registrable: false, ..service("shop", "UP") }, "UP: service shop"),
    ];
    for (service, line) in cases {
        let report = report("UP", vec![service], vec![check("own", "DOWN")]);
        let report = StatusReport { registry: Some(etcd(true)), ..report };
        let (report, _) = select(report, "shop").expect("a service");
        assert_eq!(text(&report, false, None, false).lines().next(), Some(line));
    }
}

#[test]
fn what_is_well_and_not_registered_is_no_ok() {
    let key = |state: &str, for_ms| KeyReport { for_ms, ..key("native", state) };
    let cases = [
        (vec![key("registered", 60_000)], 0),
        (vec![key("pending", 60_000)], 1),
        (vec![key("pending", 9_000)], 0),
        (vec![key("conflict", 0)], 1),
        (vec![key("refused", 0)], 1),
        (vec![], 1),
    ];
    for (keys, code) in cases {
        let what = format!("{keys:?}");
        let report = report("UP", vec![ServiceReport { keys, ..service("shop", "UP") }], vec![]);
        let report = StatusReport { registry: Some(etcd(true)), ..report };
        assert_eq!(code_of_all(&report), code, "{what}");
        assert_eq!(select(report, "shop").expect("a service").1, code, "{what}");
    }
}

#[test]
fn what_is_to_be_said_of_checks_stands_below_them_once() {
    let notice = Some("plugin app: not used:\n broken".to_owned());
    let checks = vec![
        CheckReport { notice: notice.clone(), ..check("a", "UP") },
        check("b", "UP"),
        CheckReport { notice, ..check("c", "UP") },
    ];
    let report = report("UP", vec![], checks);
    let text = text::text(&report, true, None, false);
    assert!(text.ends_with("\na, c: plugin app: not used: broken\n"), "{text}");
}
