//! The `mysql` checker against Oracle's MySQL: what it does in another way than MariaDB.

use crate::harness::{Ca, Mysql};

use super::*;

#[test]
#[ignore = "wants tests/servers/mysql: tests/run --long"]
fn long_oracle_logs_in_asks_and_measures() {
    let ca = Ca::new();
    let mut server = Mysql::with_tls(&ca.server(&[HOME]));
    let trust = format!("tls = {{ ca_file = {:?} }}", ca.file());
    let url = server.url("health");
    let plain = |user: &str| format!("{}?ssl-mode=disabled", server.url(user));
    let asking = |query: &str| format!("{trust}\nparams = {{ query = \"{query}\", expect = \"42.5\" }}");
    let endless = "select count(*) from information_schema.columns a, information_schema.columns b, \
        information_schema.columns c";
    let cases = [
        case("tls", &url, &trust, "UP", "MySQL 9"),
        case("older", &server.url("older"), &trust, "UP", "MySQL 9"),
        case("private", &server.url("private").replace("/orders", ""), &trust, "UP", "MySQL 9"),
        // The server remembers who has logged in over TLS.
        case("plain", &plain("health"), "", "UP", "MySQL 9"),
        case("cold", &plain("cold"), "", "DEGRADED", "over TLS only: set ssl-mode=required"),
        case("right", &url, &asking("select 41.5 + 1"), "UP", "MySQL 9"),
        case("wrong", &url, &asking("select 1"), "DOWN", "the query gives 1, expected"),
        case("database", &url, &asking("select if(database() = 'orders', 42.5, 0)"), "UP", "MySQL 9"),
        case("endless", &url, &asking(endless), "DOWN", "the server stopped the query"),
        case("syntax", &url, &asking("selekt"), "invalid-params", "1064"),
        case("no-database", &url.replace("/orders", "/nope"), &trust, "DOWN", "does not exist (1049"),
        case("no-tls", &plain("private"), "", "DEGRADED", "TLS"),
        case("password", &url.replace(PASSWORD, "my-secret-2"), &trust, "DEGRADED", "a wrong password (1045"),
        case(
            "stranger",
            &server.url("nobody-at-all"),
            &trust,
            "DEGRADED",
            "the server refuses the health user: unknown",
        ),
        case("expired", &server.url("expired").replace("/orders", ""), &trust, "DEGRADED", "has expired (1862"),
        case("locked", &server.url("locked"), &trust, "DEGRADED", "is locked (3118"),
        case("no-right", &server.url("older"), &read_users(&trust), "DEGRADED", "may not run the query (1142"),
    ];
    let site = site();
    let agent = all_show(&site, &cases, PASSWORD);
    let metrics = agent.metrics();
    let of = |name: &str, check| metrics.get(&format!("vitald_value_{name}"), &[("check", check)]);
    assert_eq!((of("query_value", "right"), of("max_connections", "older")), (Some(42.5), Some(151.0)));
    assert!(of("connections", "tls") >= Some(1.0) && of("uptime_seconds", "tls").is_some_and(|up| up < 600.0));
    assert_eq!((of("read_only", "tls"), of("replication_lag_seconds", "tls")), (Some(0.0), None));
    for check in ["plain", "tls"] {
        let cpu = metrics.sum("vitald_check_cpu_seconds_total", &[("check", check)]);
        let runs = metrics.sum("vitald_check_runs_total", &[("check", check)]);
        println!("measured: mysql, {check}, {:.2} ms of CPU a run", cpu / runs * 1e3);
    }
    server.kill();
    shows(&agent, "tls", "DOWN", "refused");
}

fn read_users(trust: &str) -> String {
    format!("{trust}\nparams = {{ query = \"select user from mysql.user\" }}")
}

#[test]
#[ignore = "wants tests/servers/mysql: tests/run --long"]
fn long_oracle_makes_a_certificate_that_nobody_can_verify() {
    let server = Mysql::start();
    let own = format!("tls = {{ ca_file = {:?} }}", server.authority());
    let cases = [
        case("stranger", &server.url("health"), "", "DOWN", "not trusted"),
        case("own", &server.url("health"), &own, "DOWN", "the certificate is for no name"),
        case("insecure", &server.url("health"), "tls = { insecure = true }", "UP", "MySQL 9"),
    ];
    all_show(&site(), &cases, PASSWORD);
}

#[test]
#[ignore = "wants tests/servers/mysql: tests/run --long"]
fn long_oracle_replicas_show_how_far_they_are_behind() {
    let mut source = Mysql::start();
    let (replica, late) = (source.replica(Duration::ZERO), source.replica(Duration::from_secs(3600)));
    let line = "tls = { insecure = true }\nparams = { lag_above = \"5s\" }";
    let cases = [
        case("source", &source.url("health"), line, "UP", "MySQL 9"),
        case("replica", &replica.url("health"), line, "UP", ", a replica"),
        case("late", &late.url("health"), line, "UP", ", a replica"),
    ];
    let site = site();
    let agent = all_show(&site, &cases, PASSWORD);
    let lag = |check| agent.metrics().get("vitald_value_replication_lag_seconds", &[("check", check)]);
    assert_eq!((lag("replica"), lag("source")), (Some(0.0), None));
    source.sql("create table orders.late (id int)");
    shows(&agent, "late", "DEGRADED", "behind, more than 5s");
    replica.sql("stop replica sql_thread");
    shows(&agent, "replica", "DEGRADED", "replication has stopped");
    replica.sql("start replica sql_thread");
    shows(&agent, "replica", "UP", ", a replica");
    // What it has is all applied, and MySQL says 0 seconds.
    source.kill();
    shows(&agent, "replica", "DEGRADED", "replication has stopped");
    assert_eq!(lag("replica"), None);
}
