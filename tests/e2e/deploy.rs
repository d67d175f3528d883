//! What lies in `agent/deploy`: it loads, a real Prometheus takes it, and it names nothing that is not served.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::alerts::{RULES, gauge, shop};
use crate::harness::{
    Collector, Etcd, Prometheus, Proxy, Redis, Site, Way, check, deployed, eventually, passes, program,
    promtool_passes, service, that, write,
};

const SOON: Duration = Duration::from_secs(20);

fn text_of(path: &str) -> String {
    let path = deployed(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn everything_loads() {
    promtool_passes(&["check", "config"], &deployed("prometheus/prometheus.yml"));
    promtool_passes(&["check", "rules"], &deployed(RULES));
    let alertmanager = deployed("alertmanager/alertmanager.yml");
    let amtool = || Command::new("amtool");
    passes("prometheus-alertmanager", amtool().arg("check-config").arg(&alertmanager));
    let routes = |receiver: &str, severity: &str, alert: &str| {
        let mut command = amtool();
        command.args(["config", "routes", "test", "--config.file"]).arg(&alertmanager);
        command.args(["--verify.receivers", receiver, &format!("severity={severity}"), &format!("alertname={alert}")]);
        passes("prometheus-alertmanager", &mut command);
    };
    for severity in ["critical", "warning", "info"] {
        routes(severity, severity, "VitaldX");
    }
    // Those of others are not taken along.
    routes("others", "critical", "NodeX");
    // systemd wants the program to be there.
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("vitald.service");
    write(&unit, text_of("systemd/vitald.service").replace("/usr/bin/vitald", &program().display().to_string()));
    let said = passes("systemd", Command::new("systemd-analyze").arg("verify").arg(&unit));
    assert!(!said.contains(&unit.display().to_string()), "{said}");
}

/// Names that a well agent does not serve, and why a rule or a panel asks for them all the same.
const RARE: [(&str, &str); 8] = [
    ("up", "Prometheus' own"),
    ("vitald_check_skipped_total", "from the first run that is skipped"),
    ("vitald_egress_denied_total", "from the first connection that is refused"),
    ("vitald_registry_errors_total", "from the first error of etcd"),
    ("vitald_check_phase_seconds", "of a checker that connects by name or with TLS"),
    ("node_textfile_scrape_error", "where the collector textfile has a directory"),
    ("vitald_plugin_pending", "while a version waits for approval"),
    ("vitald_plugin_reloads_total", "from the first plugin in a directory"),
];

/// Every `expr` of the dashboard, its variables put in.
fn expressions(panel: &Value, found: &mut Vec<String>) {
    match panel {
        Value::Object(fields) => {
            if let Some(expr) = fields.get("expr").and_then(Value::as_str) {
                let known = [("$__rate_interval", "5m"), ("$__range", "1h"), ("$__interval", "1m")];
                let plain = known.iter().fold(expr.to_owned(), |text, (name, value)| text.replace(name, value));
                let variables = ["job", "instance", "service", "check"];
                found.push(variables.iter().fold(plain, |text, name| text.replace(&format!("${name}"), ".*")));
            }
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text_of("grafana/vitald.json")).expect("JSON");
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 30, "the dashboard has lost its panels: {found:?}");
    found
}

/// The words of a text that are names of metrics.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let prefixes = ["vitald_", "node_", "process_"];
    words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len())).collect()
}

/// The expressions of a file of rules, without the words for people.
fn rule_expressions() -> String {
    let text = text_of(RULES);
    let mut kept = String::new();
    let mut within = false;
    for line in text.lines() {
        let key = line.trim_start().split(':').next().unwrap_or_default();
        within = if key == "expr" { true } else { within && !["for", "labels", "annotations"].contains(&key) };
        if within {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn rules_and_dashboard_parse_and_name_only_what_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dashboard.yml");
    let dashboard = dashboard();
    let rule = |(at, expr): (usize, &String)| {
        format!("  - {{record: \"panel:{at}\", expr: {}}}\n", serde_json::to_string(expr).expect("text"))
    };
    let rules: String = dashboard.iter().enumerate().map(rule).collect();
    write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}"));
    promtool_passes(&["check", "rules"], &file);

    let (etcd, redis) = (Etcd::start(), Redis::start());
    let proxy = Proxy::before(redis.port());
    let collector = Collector::started();
    let report = format!("name = \"central\"\nurl = {:?}\n", collector.url());
    let site = shop(&etcd, &proxy).with("discovery", "watch = [\"*\"]").with("[report]", &report);
    let agent = site.start();
    eventually("it is registered", SOON, || gauge(&agent, "vitald_service_registered", &[("service", "shop")], 1.0));
    proxy.goes(Way::Shut);
    agent.until("cache", "DOWN");
    let metrics = agent.metrics();
    let served = metrics.names();
    let known = |name: &str| served.contains(name) || RARE.iter().any(|(rare, _)| *rare == name);
    let rules = rule_expressions();
    let asked: BTreeSet<&str> =
        names(&rules).into_iter().chain(dashboard.iter().flat_map(|expr| names(expr))).collect();
    let unknown: Vec<&&str> = asked.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "nobody serves {unknown:?}");
}

#[test]
fn a_real_prometheus_takes_the_scrape_configuration_as_it_is() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd).with("discovery", "watch = [\"*\"]");
    let site = site.with("host.textfile", "directory = \"textfiles\"");
    std::fs::create_dir(site.path().join("textfiles")).unwrap();
    write(&site.path().join("textfiles/backup.prom"), "backup_age_seconds 7\n");
    site.drop_in("check", [check("itself", "tcp").target(&format!("tcp://127.0.0.1:{}", site.port())).of("shop")]);
    let agents = service("vitald").line("checks = \"none\"").to_string().replace("8080", &site.port().to_string());
    let shop = service("shop").line("tags = [\"metrics\"]").to_string();
    site.drop_in_text("services", &(agents + &shop.replace("8080", &site.port().to_string())));
    let agent = site.start();
    let address = format!("127.0.0.1:{}", site.port());
    let config = text_of("prometheus/prometheus.yml").replace("127.0.0.1:9720", &address);
    let config = config.replace("refresh_interval: 10s", "refresh_interval: 1s").replace(": 15s", ": 1s");
    let prometheus = Prometheus::with(&[("prometheus.yml", &config), ("vitald.rules.yml", &text_of(RULES))]);
    let instances = |selector: &str| -> Result<BTreeSet<String>, String> {
        let found = prometheus.query(selector)?;
        Ok(found.iter().map(|(labels, _)| labels["instance"].as_str().unwrap_or_default().to_owned()).collect())
    };
    // The same agent twice: as it is written down, and as it registered itself.
    let both = BTreeSet::from([address.clone(), "host-1".to_owned()]);
    let ours = ["vitald_build_info{job=\"vitald\"}", "process_threads{job=\"vitald\"}", "up{job=\"vitald\"} == 1"];
    for selector in ours.into_iter().chain(["node_load1{job=\"node\"}", "backup_age_seconds{job=\"node\"}"]) {
        eventually(selector, SOON, || {
            let seen = instances(selector)?;
            that(seen == both, || format!("{seen:?}; {}", agent.log()))
        });
    }
    let shop = "up{job=\"shop\",instance=\"shop-host-1\",agent=\"host-1\"} == 1";
    eventually(shop, SOON, || {
        let seen = prometheus.query(shop)?;
        that(seen.len() == 1, || format!("{seen:?}"))
    });
    let others = "{__name__!~\"(vitald|process|scrape)_.*|up|ALERTS.*\",job=~\"vitald.*\"}";
    assert_eq!(prometheus.query(others).unwrap(), [], "these are not the agent's own");
    let marked = "{__tmp_own!=\"\"}";
    assert_eq!(prometheus.query(marked).unwrap(), [], "a label of the relabelling is left");
    let groups = prometheus.api("/api/v1/rules").unwrap();
    let groups = groups["groups"].as_array().expect("groups").clone();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    let ill: Vec<&&Value> = rules.iter().filter(|rule| rule["health"] == "err").collect();
    assert!(rules.len() > 20 && ill.is_empty(), "{ill:?}");
    // What parses may still not be answered: series that cannot be matched with each other.
    for expr in dashboard() {
        prometheus.query(&expr).unwrap_or_else(|error| panic!("{expr}: {error}"));
    }
}

/// The table of alerts in the README has each rule with its severity.
#[test]
fn the_page_lists_every_alert() {
    let page = text_of("README.md");
    let rules = text_of(RULES);
    let mut listed = 0;
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap_or_default();
        let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split('}').next()).expect("a severity");
        let row = format!("| `{name}` | {severity} |");
        assert!(page.contains(&row), "README.md has no row that begins with {row}");
        for word in ["summary:", "description:"] {
            assert!(rule.contains(word), "{name} has no {word}");
        }
        listed += 1;
    }
    let rows = page.lines().filter(|line| line.starts_with("| `Vitald")).count();
    assert_eq!(rows, listed, "the README lists alerts that do not exist");
}
