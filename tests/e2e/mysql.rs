//! The `mysql` checker against a real MariaDB: what is down, what is degraded, and in which words.
//!
//! Oracle's MySQL is no part of Debian's stable release: it has tests of its own, which belong to the long ones.

mod oracle;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use crate::harness::{
    Ca, Case, Listener, Manner, MariaDb, Proxy, QUICK, ROOM, Site, Way, all_show, eventually, shows, that,
};

const SOON: Duration = Duration::from_secs(30);
const HOME: &str = "127.0.0.1";
const PASSWORD: &str = "my-secret-1";

fn case(name: &'static str, url: &str, line: &str, shows: &'static str, message: &'static str) -> Case {
    Case::new(name, "mysql", url, line, shows, message)
}

fn site() -> Site {
    Site::new().with_defaults(QUICK)
}

#[test]
fn mysql_logs_in_asks_and_measures() {
    let server = MariaDb::start();
    let url = server.url("health");
    let params = |params: &str| format!("params = {{ query = \"select 41.5 + 1\", {params} }}");
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("plain", &url, "", "UP", "MariaDB"),
            case("narrow", &server.url("narrow").replace("/orders", ""), "", "UP", "MariaDB"),
            case("signer", &server.url("signer").replace("mysql:", "mariadb:").replace("/orders", ""), "", "UP", ""),
            case("right", &url, &params("expect = \"42.5\""), "UP", "MariaDB"),
            case("wrong", &url, &params("expect = 42"), "DOWN", "the query gives 42.5, expected 42"),
            case("within", &url, &params("expect = { min = 42, warn_max = 43 }"), "UP", ""),
            case(
                "much",
                &url,
                &params("expect = { warn_max = 40, max = 50 }"),
                "DEGRADED",
                "the query gives 42.5, more than 40",
            ),
            case("too-much", &url, &params("expect = { max = 42 }"), "DOWN", "the query gives 42.5, more than 42"),
            case("no-row", &url, "params = { query = \"do 1\", expect = \"1\" }", "DOWN", "gives nothing"),
            case("crowded", &url, "params = { connections_above = 0.01 }", "DEGRADED", "connections are taken"),
            case("syntax", &url, "params = { query = \"selekt\" }", "invalid-params", "params.query"),
            case("empty", &url, "params = { query = \"\" }", "invalid-params", "query is empty"),
            case("share", &url, "params = { connections_above = 80 }", "invalid-params", "connections_above"),
            case("no-query", &url, "params = { expect = 1 }", "invalid-params", "needs a query"),
            case("no-key", &format!("{url}?sslmode=require"), "", "invalid-params", "ssl-mode"),
            case("no-table", &url, "params = { query = \"select * from nothing\" }", "DOWN", "nothing"),
            case("long", &url, "params = { query = \"select repeat('x', 2000000)\" }", "invalid-params", "1 MiB"),
        ],
        PASSWORD,
    );
    let metrics = agent.metrics();
    let of = |name: &str, check| metrics.get(&format!("vitald_value_{name}"), &[("check", check)]);
    assert_eq!(of("max_connections", "plain"), Some(ROOM as f64));
    assert_eq!(of("max_connections", "no-table"), Some(ROOM as f64), "a query that fails leaves what is known");
    assert_eq!((of("read_only", "narrow"), of("query_value", "right")), (Some(0.0), Some(42.5)));
    assert!(of("connections", "plain") >= Some(1.0) && of("uptime_seconds", "plain").is_some_and(|up| up < 600.0));
    assert!(of("query_seconds", "right").is_some_and(|took| took < 1.0) && of("query_seconds", "plain").is_none());
    for check in ["plain", "signer"] {
        let cpu = metrics.sum("vitald_check_cpu_seconds_total", &[("check", check)]);
        let runs = metrics.sum("vitald_check_runs_total", &[("check", check)]);
        println!("measured: mysql, {check}: {:.2} ms of CPU a run", cpu / runs * 1e3);
    }
}

#[test]
fn mysql_queries_that_take_too_long_end_in_the_server() {
    let server = MariaDb::start();
    let query = "params = { query = \"select count(*) from seq_1_to_1000000 a, seq_1_to_1000000 b\" }";
    let site = site();
    let agent = all_show(
        &site,
        &[case("slow", &server.url("health"), query, "DOWN", "the server stopped the query")],
        PASSWORD,
    );
    eventually("it has run five times", SOON, || {
        let runs = agent.metrics().sum("vitald_check_runs_total", &[("check", "slow")]);
        that(runs >= 5.0, || runs.to_string())
    });
    let running = "select count(*) from information_schema.processlist where info like '%seq_1_to_1000000%' \
        and id <> connection_id() and time_ms > 2000";
    eventually("nothing runs on in the server", SOON, || {
        let left = server.sql(running);
        that(left.trim() == "0", || left)
    });
}

#[test]
fn mysql_refused_health_users_are_degraded() {
    let server = MariaDb::start();
    let wrong = server.url("health").replace(PASSWORD, "my-secret-2");
    let down = "params = { auth_failure = \"down\" }";
    let query = "params = { query = \"select * from mysql.user\" }";
    let shows = "params = { query = \"show tables from orders\" }";
    all_show(
        &site(),
        &[
            case("wrong", &wrong, "", "DEGRADED", "a wrong password (1045"),
            case("wrong-down", &wrong, down, "DOWN", "a wrong password (1045"),
            case(
                "no-user",
                &server.url("nobody-at-all"),
                "",
                "DEGRADED",
                "the server refuses the health user: unknown",
            ),
            case("socketed", &server.url("socketed"), "", "DEGRADED", "the server's own socket only (1698"),
            case("expired", &server.url("expired").replace("/orders", ""), "", "DEGRADED", "has expired"),
            case("locked", &server.url("locked"), "", "DEGRADED", "is locked (4151"),
            case("private", &server.url("private"), "", "DEGRADED", "1045"),
            case("narrow", &server.url("narrow"), "", "DEGRADED", "may not use this database"),
            case("query", &server.url("narrow").replace("/orders", ""), query, "DEGRADED", "may not run the query"),
            case("no-right", &server.url("narrow").replace("/orders", ""), shows, "DEGRADED", "run the query (1044"),
            case("no-database", &server.url("health").replace("/orders", "/nope"), "", "DOWN", "does not exist (1049"),
        ],
        PASSWORD,
    );
}

#[test]
fn mysql_tls_is_as_strict_as_asked() {
    let ca = Ca::new();
    let (plain, good) = (MariaDb::start(), MariaDb::with_tls(&ca.server(&[HOME])));
    let other = MariaDb::with_tls(&ca.server(&["other.internal"]));
    let trust = format!("tls = {{ ca_file = {:?} }}", ca.file());
    let stranger = Ca::new();
    let other_ca = format!("tls = {{ ca_file = {:?} }}", stranger.file());
    let of = |server: &MariaDb, mode: &str| format!("{}?ssl-mode={mode}", server.url("health"));
    all_show(
        &site(),
        &[
            case("default", &good.url("health"), &trust, "UP", "MariaDB"),
            case("private", &good.url("private").replace("/orders", ""), &trust, "UP", "MariaDB"),
            case("preferred-plain", &of(&plain, "preferred"), &trust, "UP", "MariaDB"),
            case("disabled", &of(&good, "disabled"), "", "UP", "MariaDB"),
            case("required", &of(&good, "required"), &trust, "UP", "MariaDB"),
            case("identity", &of(&good, "VERIFY_IDENTITY"), &trust, "UP", "MariaDB"),
            case("required-plain", &of(&plain, "required"), &trust, "DOWN", "offers no TLS"),
            case("stranger", &of(&good, "required"), "", "DOWN", "not trusted"),
            case("wrong-ca", &of(&good, "required"), &other_ca, "DOWN", "the certificate"),
            case("misnamed", &of(&other, "required"), &trust, "DOWN", "other.internal"),
            case("insecure", &of(&other, "required"), "tls = { insecure = true }", "UP", "MariaDB"),
            case("unknown", &of(&good, "always"), "", "invalid-params", "`verify_identity`"),
        ],
        PASSWORD,
    );
}

#[test]
fn mysql_servers_that_fail_are_down() {
    let mut server = MariaDb::start();
    let (silent, closing) = (Listener::start(Manner::Silent), Listener::start(Manner::Closing));
    let proxy = Proxy::before(server.port());
    proxy.goes(Way::Delaying(Duration::from_millis(300)));
    let at = |port: u16| server.url("health").replace(&server.port().to_string(), &port.to_string());
    let several = |first: u16| server.url("health").replace(HOME, &format!("{HOME}:{first},{HOME}"));
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("home", &server.url("health"), "", "UP", "MariaDB"),
            case("half-open", &at(silent.port()), "", "DOWN", "timeout"),
            case("closing", &at(closing.port()), "", "DOWN", "connection closed"),
            case("refused", &at(1), "", "DOWN", "refused"),
            case("slow", &at(proxy.port()), "params = { slow = \"200ms\" }", "DEGRADED", "slow"),
            case("second", &several(1), "", "UP", "MariaDB"),
            case("after-mute", &several(silent.port()), "", "UP", "MariaDB"),
            case("neither", &several(1).replace("/orders", "/nope"), "", "DOWN", "1: refused; 127.0.0.1:"),
        ],
        PASSWORD,
    );
    let parts = agent.check("second")["parts"].to_string();
    assert!(parts.contains("refused") && parts.contains("MariaDB"), "{parts}");
    let held: Vec<TcpStream> = (0..=ROOM).map(|_| TcpStream::connect((HOME, server.port())).unwrap()).collect();
    shows(&agent, "home", "DOWN", "takes no more connections");
    drop(held);
    shows(&agent, "home", "UP", "MariaDB");
    server.kill();
    shows(&agent, "home", "DOWN", "refused");
}

#[test]
fn mysql_runs_leave_no_trace_in_the_servers_counts_of_the_aborted() {
    let ca = Ca::new();
    let server = MariaDb::with_tls(&ca.server(&[HOME]));
    let trust = format!("tls = {{ ca_file = {:?} }}", ca.file());
    let query = "params = { query = \"select 1\", expect = { max = 0 } }";
    let names = ["plain", "tls", "judged", "no-table"];
    let plain = format!("{}?ssl-mode=disabled", server.url("health"));
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("plain", &plain, "", "UP", ""),
            case("tls", &server.url("health"), &trust, "UP", ""),
            case("judged", &plain, query, "DOWN", "more than 0"),
            case("no-table", &plain, "params = { query = \"select * from nothing\" }", "DOWN", "nothing"),
        ],
        PASSWORD,
    );
    eventually("each has run five times", SOON, || {
        let metrics = agent.metrics();
        let runs = names.map(|name| metrics.sum("vitald_check_runs_total", &[("check", name)]));
        that(runs.iter().all(|runs| *runs >= 5.0), || format!("{runs:?}"))
    });
    let timeouts = agent.metrics().sum("vitald_check_runs_total", &[("result", "timeout")]);
    assert_eq!(timeouts, 0.0, "the machine is too busy to tell");
    for name in ["Aborted_clients", "Aborted_connects"] {
        assert_eq!(server.counted(name), 0, "{name}");
    }
}

#[test]
fn mysql_replicas_show_how_far_they_are_behind() {
    let source = MariaDb::source();
    let replica = source.replica();
    let limit = "params = { lag_above = \"500ms\" }";
    let cases = [
        case("replica", &replica.url("health"), limit, "UP", ", a replica"),
        case("unlimited", &replica.url("health"), "", "UP", ", a replica"),
        case("source", &source.url("health"), limit, "UP", "MariaDB"),
    ];
    let site = site();
    let agent = all_show(&site, &cases, PASSWORD);
    let lag = |check| agent.metrics().get("vitald_value_replication_lag_seconds", &[("check", check)]);
    assert_eq!((lag("replica"), lag("source")), (Some(0.0), None));
    replica.sql("stop slave sql_thread");
    shows(&agent, "replica", "DEGRADED", "replication has stopped");
    shows(&agent, "unlimited", "UP", ", a replica that does not follow");
    replica.sql("stop slave; change master to master_delay = 3600; start slave");
    source.sql("create table orders.late (id int)");
    shows(&agent, "replica", "DEGRADED", "behind, more than 500ms");
}

/// Says these bytes to whoever comes, and listens until they leave; for as long as the tests run.
fn saying(bytes: Vec<u8>) -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in socket.incoming().flatten() {
            let _ = client.write_all(&bytes).and_then(|()| client.shutdown(Shutdown::Write));
            std::thread::spawn(move || io::copy(&mut client, &mut io::sink()));
        }
    });
    port
}

/// What MySQL 8 says first, without TLS, and what it says then.
fn mysql8(then: &[&[u8]]) -> Vec<u8> {
    let greeting = b"\x4a\x00\x00\x00\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\xff\xf7\x2d\x02\x00\xff\xdf\x15\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00caching_sha2_password\x00";
    [&[&greeting[..]], then].concat().concat()
}

#[test]
fn mysql_peers_that_are_something_else_are_down() {
    // A challenge of 135 bytes, which is no length that a signed byte can have eight less of.
    let odd = b"\x20\x00\x00\x00\x0a8\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\x2d\x02\x00\xff\xff\x87aaaaaaaa";
    let (cached, not_cached) = (b"\x02\x00\x00\x02\x01\x03", b"\x02\x00\x00\x02\x01\x04");
    let okay = b"\x07\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00";
    let error = b"\x09\x00\x00\x01\xff\x48\x04#HY000";
    // Columns beyond counting, the first of which is the last.
    let endless = b"\x09\x00\x00\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00\x00\x02\x03d";
    // A packet out of its turn, where the checker asks no query of its own.
    let (odd_turn, long) = (b"\x01\x00\x00\x07\x00", b"\xff\xff\xff\x01");
    let cases: [(&str, Vec<u8>, &str, &str); 11] = [
        ("odd-turn", mysql8(&[cached, okay, odd_turn]), "DOWN", "not MySQL"),
        ("long", mysql8(&[cached, okay, long]), "DOWN", "not MySQL"),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), "DOWN", "not MySQL"),
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "DOWN", "not MySQL"),
        ("old", b"\x05\x00\x00\x00\x093.23".to_vec(), "DOWN", "not MySQL"),
        ("half", b"\x40\x00\x00\x00\x0a8.0.36\x00\x01\x00".to_vec(), "DOWN", "connection closed"),
        ("odd", odd.to_vec(), "DOWN", "not MySQL"),
        ("blocked", b"\x0a\x00\x00\x00\xff\x69\x04blocked".to_vec(), "DOWN", "has blocked this host"),
        ("endless", mysql8(&[cached, okay, endless]), "DOWN", "not MySQL"),
        ("cached", mysql8(&[cached, okay, error, error, error, error, error]), "UP", "MySQL 8.0.36"),
        ("not-cached", mysql8(&[not_cached]), "DEGRADED", "over TLS only"),
    ];
    let site = site();
    let cases = cases.map(|(name, bytes, status, message)| {
        let url = format!("mysql://health:{PASSWORD}@127.0.0.1:{}/orders", saying(bytes));
        case(name, &url, "", status, message)
    });
    all_show(&site, &cases, PASSWORD);
}
