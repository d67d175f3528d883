//! What `vitald config show` prints.

use crate::config::effective;

use super::*;

const TEXT: &str = r#"
secret_dirs = ["/no/such"]
[plugins]
override = ["tcp"]
[registry]
endpoints = ["https://10.0.0.1:2379"]
username = "vitald"
password = "typed-in"
tls.server_name = "etcd.internal"
dialects = ["native", "grpc"]
[[report]]
url = "https://central.example/in?key=typed-in"
headers = { X-Key = "typed-in", Authorization = "Bearer ${env:PATH}" }
[defaults]
timeout = "500ms"
[[service]]
name = "orders"
address = ":8080"
metadata = { zone = "a" }
"#;

const DROP_IN: &str = r#"[[check]]
name = "orders.db"
checker = "postgres"
target = "postgres://health:typed-in@db.internal/orders?sslpassword=typed-in"
service = "orders"
interval = "90s"
params = { query = "typed-in", password = "${file:db}", rows = 3, "a.b" = { c = "typed-in" }, since = 1979-05-27, most = [inf, -inf] }
[[check]]
name = "cache"
checker = "redis"
target = "redis://:${file:cache}@h"
allow = ["tcp://replica:6379"]
"#;

fn shown() -> (String, serde_json::Value) {
    let sources = sources(&with_id(TEXT), &[("/etc/vitald/conf.d/x.toml", DROP_IN)]);
    let (config, notes) = make(&sources, Purpose::Start).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let sections = effective::all(&config, &notes);
    (effective::text(&sections), effective::json(&sections))
}

#[test]
fn every_value_has_its_origin() {
    let (text, _) = shown();
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "id = \"web-1\" # /etc/vitald/vitald.toml:2",
        "listen = [\"127.0.0.1:9720\"] # default",
        "concurrency = 256 # default",
        "reload = \"auto\" # default",
        "override = [\"tcp\"] # /etc/vitald/vitald.toml:6",
        "tls.server_name = \"etcd.internal\" # /etc/vitald/vitald.toml:11",
        "grpc.prefix = \"grpc\" # default",
        "ttl = \"15s\" # default",
        "collectors.cpu = true # default",
        "timeout = \"500ms\" # /etc/vitald/vitald.toml:17",
        "timeout = \"500ms\" # [defaults] /etc/vitald/vitald.toml:17",
        "interval = \"1m 30s\" # /etc/vitald/conf.d/x.toml:6",
        "interval = \"10s\" # default",
        "metadata.zone = \"a\" # /etc/vitald/vitald.toml:21",
        "id = \"orders-web-1\" # default",
        "allow = [\"tcp://replica:6379\"] # /etc/vitald/conf.d/x.toml:12",
        "name = \"central.example\" # default",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in\n{text}");
    }
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("no {needle} in\n{text}"));
    assert!(at("name = \"cache\"") < at("name = \"orders.db\""), "checks are sorted");
}

#[test]
fn no_secret_is_shown() {
    let (text, json) = shown();
    let json = json.to_string();
    for shown in [&text, &json] {
        assert!(!shown.contains("typed-in"), "{shown}");
        assert!(!shown.contains(&std::env::var("PATH").expect("a PATH")), "{shown}");
    }
    for line in [
        "target = \"postgres://health:***@db.internal/orders?sslpassword=***\"",
        "params.since = 1979-05-27",
        "params.most = [inf, -inf]",
        "target = \"redis://:${file:cache}@h\"",
        "params.query = \"***\"",
        "params.password = \"${file:db}\"",
        "params.rows = 3",
        "params.\"a.b\" = { c = \"***\" }",
        "password = \"***\"",
        "url = \"https://central.example/in?***\"",
        "headers.X-Key = \"***\"",
        "headers.Authorization = \"***${env:PATH}\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn it_could_be_used_again() {
    let (text, _) = shown();
    let again = build(&sources(&text, &[])).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    let first = build(&sources(&with_id(TEXT), &[("/etc/vitald/conf.d/x.toml", DROP_IN)])).expect("good");
    assert_eq!(again.definitions.services, first.definitions.services);
    assert_eq!(again.definitions.rules, first.definitions.rules);
    let policy = |config: &Config| config.definitions.checks[&name("orders.db")].policy.clone();
    assert_eq!(policy(&again), policy(&first));
    assert_eq!(again.http.listen, first.http.listen);
}

#[test]
fn as_json() {
    let (_, json) = shown();
    let find = |key: &str| json.as_array().expect("a list").iter().find(|item| item["key"] == key).expect(key);
    let written = find("check.orders.db.interval");
    assert_eq!(written["value"], "1m 30s");
    assert_eq!(written["origin"], serde_json::json!({"file": "/etc/vitald/conf.d/x.toml", "line": 6}));
    assert_eq!(find("check.orders.db.params.since")["value"], "1979-05-27");
    assert_eq!(find("agent.listen")["origin"], serde_json::json!({"default": true}));
}
