//! The `postgres` checker against real servers: what is down, what is degraded, and in which words.

mod hosts;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Ca, Case, Deaf, Listener, Manner, PLACES, PgBouncer, Postgres, Proxy, QUICK, Site, Way, all_show, eventually,
    shows, that,
};

const SOON: Duration = Duration::from_secs(20);
const HOME: &str = "127.0.0.1";
const PASSWORD: &str = "pg-secret-1";

fn case(name: &'static str, url: &str, line: &str, shows: &'static str, message: &'static str) -> Case {
    Case::new(name, "postgres", url, line, shows, message)
}

fn site() -> Site {
    Site::new().with_defaults(QUICK)
}

#[test]
fn logs_in_asks_and_measures() {
    let server = Postgres::with("log_min_messages = debug1\nlog_disconnections = on\n");
    server.sql("create database \"the orders\"; create role \"o'brien\" login password 'p@ss/w:rd?'");
    let before = server.log().len();
    let odd = format!("postgresql://o'brien:p%40ss%2Fw%3Ard%3F@127.0.0.1:{}/the%20orders", server.port());
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("plain", &server.url(), "", "UP", "primary, PostgreSQL"),
            case("odd", &odd, "params = { query = \"select current_database()\", expect = \"the orders\" }", "UP", ""),
            case("number", &server.url(), "params = { query = \"select 42.5\" }", "UP", ""),
        ],
        PASSWORD,
    );
    let metrics = agent.metrics();
    let of = |name: &str, check| metrics.get(&format!("vitald_value_{name}"), &[("check", check)]);
    assert_eq!(of("max_connections", "plain"), Some(20.0));
    let taken = of("connections", "plain").unwrap();
    assert!((1.0..=8.0).contains(&taken), "{taken}");
    assert_eq!(of("connections_used_ratio", "plain"), Some(taken / 20.0));
    assert_eq!(of("in_recovery", "plain"), Some(0.0));
    assert_eq!(of("query_value", "number"), Some(42.5));
    assert!(of("query_seconds", "number").is_some_and(|took| took > 0.0 && took < 1.0));
    assert_eq!(of("query_seconds", "plain"), None);
    assert_eq!(of("replication_lag_seconds", "plain"), None);
    assert_eq!(of("replicas", "plain"), Some(0.0));
    let (runs, cpu) = ["vitald_check_runs_total", "vitald_check_cpu_seconds_total"]
        .map(|name| metrics.sum(name, &[("check", "plain")]))
        .into();
    println!("measured: postgres, SCRAM, CPU per run: {:.2} ms", cpu / runs * 1e3);
    // Each session ends with a word.
    let said = || server.log()[before..].to_owned();
    eventually("sessions end", SOON, || that(said().contains("disconnection: session"), said));
    for rude in ["unexpected EOF", "could not receive", "WARNING"] {
        assert!(!said().contains(rude), "{rude}: {}", said());
    }
}

#[test]
fn a_pooler_before_it_is_asked_as_it_is() {
    let server = Postgres::start();
    let poolers = ["md5", "scram-sha-256"].map(|by| PgBouncer::before(&server, by));
    let [md5, scram] =
        poolers.each_ref().map(|pooler| server.url().replace(&server.port().to_string(), &pooler.port().to_string()));
    let query = "params = { query = \"select 41.5 + 1\", expect = 42.5 }";
    let wrong = |url: &str| url.replace(PASSWORD, "pg-secret-2");
    all_show(
        &site(),
        &[
            case("md5", &md5, query, "UP", "primary, PostgreSQL"),
            case("scram", &scram, query, "UP", "primary, PostgreSQL"),
            // A pooler has one code (08P01) for all that it refuses.
            case("md5-wrong", &wrong(&md5), "", "DEGRADED", "health may not log in: password authentication failed"),
            case("scram-wrong", &wrong(&scram), "", "DEGRADED", "health may not log in: SASL authentication failed"),
            case("scram-down", &wrong(&scram), "params = { auth_failure = \"down\" }", "DOWN", "may not log in"),
        ],
        PASSWORD,
    );
}

#[test]
fn a_refused_user_is_degraded_unless_the_check_says_otherwise() {
    let server = Postgres::start();
    server.sql(
        "create table secrets (id int); create database vault; revoke connect on database vault from public; \
         create role banned login password 'x'; create role group1 password 'x'; \
         create role old login password 'x' valid until '2020-01-01'; \
         create role busy login password 'x' connection limit 0",
    );
    let url = |user: &str| format!("postgres://{user}@127.0.0.1:{}/postgres", server.port());
    let own = server.url();
    let query = "params = { query = \"select * from secrets\" }";
    let site = site();
    all_show(
        &site,
        &[
            case("password", &url("health:wrong"), "", "DEGRADED", "the password of health is refused"),
            case("none", &url("health"), "", "DEGRADED", "no password is given for health"),
            case("expired", &url("old:x"), "", "DEGRADED", "the password of old is refused, or has expired"),
            case("busy", &url("busy:x"), "", "DEGRADED", "busy may not log in now: too many connections for role"),
            case("nobody", &url("nobody:x"), "", "DEGRADED", "nobody"),
            case("rule", &url("banned:x"), "", "DEGRADED", "banned may not log in: pg_hba.conf rejects"),
            case("group", &url("group1:x"), "", "DEGRADED", "not permitted to log in"),
            case("vault", &own.replace("/postgres", "/vault"), "", "DEGRADED", "permission denied for database"),
            case("table", &own, query, "DEGRADED", "permission denied for table secrets"),
            case("strict", &url("health:wrong"), "params = { auth_failure = \"down\" }", "DOWN", "password of health"),
        ],
        PASSWORD,
    );
}

#[test]
fn what_is_wrong_is_a_sentence() {
    let server = Postgres::start();
    server.sql("create database packed connection limit 0");
    let hung = Postgres::start();
    hung.signal(Signal::STOP);
    let starting = Postgres::starting_up();
    let (silent, deaf) = (Listener::start(Manner::Silent), Deaf::start());
    let closing = Listener::start(Manner::Closing);
    let web = Listener::start(Manner::Answering("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let ssh = Listener::start(Manner::Answering("SSH-2.0-OpenSSH_9.2p1\r\n"));
    let odd = Listener::start(Manner::Answering("R\0\0\0\u{2}"));
    let at = |port: u16| format!("postgres://health:x@127.0.0.1:{port}/postgres");
    let plain = |port: u16| format!("{}?sslmode=disable", at(port));
    let own = server.url();
    let query = |text: &str| format!("params = {{ query = {text:?} }}");
    let orders = own.replace("/postgres", "/orders");
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("database", &orders, "", "DOWN", "database \"orders\" does not exist (3D000)"),
            case("full", &own.replace("/postgres", "/packed"), "", "DOWN", "the database takes no more connections"),
            case("refused", &at(1), "", "DOWN", "connect 127.0.0.1:1: refused"),
            case("silent", &at(silent.port()), "", "DOWN", "timeout after 1000 ms: read 127.0.0.1"),
            case("hung", &hung.url(), "", "DOWN", "timeout after 1000 ms: read 127.0.0.1"),
            case("deaf", &format!("postgres://health:x@{}", deaf.address()), "", "DOWN", "timeout"),
            case("closing", &at(closing.port()), "", "DOWN", "connection"),
            case("closing-plain", &plain(closing.port()), "", "DOWN", "connection"),
            case("web", &at(web.port()), "", "DOWN", "this is not PostgreSQL"),
            case("web-plain", &plain(web.port()), "", "DOWN", "this is not PostgreSQL"),
            case("ssh", &at(ssh.port()), "", "DOWN", "does not speak TLS"),
            case("odd", &plain(odd.port()), "", "DOWN", "this is not PostgreSQL"),
            case("starting", &starting.url(), "", "DOWN", "the database system is starting up (57P03)"),
            case("table", &own, &query("select * from orders"), "DOWN", "relation \"orders\" does not exist (42P01)"),
            case("slow-query", &own, &query("select pg_sleep(60)"), "DOWN", "took too long"),
            case("syntax", &own, &query("selekt 1"), "invalid-params", "syntax error at or near \"selekt\""),
            case("copy", &own, &query("copy (select 1) to stdout"), "invalid-params", "query: its answer has no rows"),
            case("empty", &own, &query(" "), "invalid-params", "query is empty"),
            case("share", &own, "params = { connections_above = 80 }", "invalid-params", "connections_above"),
            case("lonely", &own, "params = { expect = 1 }", "invalid-params", "needs a query"),
            case("key", &format!("{own}?sslrootcert=/x"), "", "invalid-params", "`sslmode` or `target_session_attrs`"),
            case("mode", &format!("{own}?sslmode=on"), "", "invalid-params", "`verify-full`"),
            case("user", &format!("postgres://127.0.0.1:{}/x", server.port()), "", "invalid-params", "a user"),
        ],
        PASSWORD,
    );
    eventually("nothing runs on in the server", SOON, || {
        let left = server.sql(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep%' \
             and pid <> pg_backend_pid() and now() - query_start > '2s'",
        );
        that(left == "0", || left)
    });
    let known = agent.metrics().get("vitald_value_max_connections", &[("check", "table")]);
    assert_eq!(known, Some(20.0), "a query that fails leaves what is known");
}

/// Says these bytes to whoever comes, whatever they say, and no more; what they said, of all of them.
fn saying(bytes: &'static [u8]) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, heard) = (socket.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let all = heard.clone();
    std::thread::spawn(move || {
        for mut client in socket.incoming().flatten() {
            let mut said = Vec::new();
            let _ = client.write_all(bytes).and_then(|()| client.shutdown(Shutdown::Write));
            let _ = client.read_to_end(&mut said);
            all.lock().unwrap().extend(said);
        }
    });
    (port, heard)
}

#[test]
fn servers_that_want_a_password_in_clear_do_not_get_it() {
    let (plain, to_plain) = saying(b"R\0\0\0\x08\0\0\0\x03");
    let (preferred, to_preferred) = saying(b"NR\0\0\0\x08\0\0\0\x03");
    let at = |port: u16, mode: &str| format!("postgres://health:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode={mode}");
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("plain", &at(plain, "disable"), "", "DEGRADED", "over TLS only: sslmode=require"),
            case("preferred", &at(preferred, "prefer"), "", "DEGRADED", "over TLS only: sslmode=require"),
        ],
        PASSWORD,
    );
    drop(agent);
    for heard in [to_plain, to_preferred] {
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert!(heard.contains("health") && !heard.contains(PASSWORD), "{heard:?}");
    }
}

#[test]
fn servers_that_break_off_say_where() {
    let cannot = b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0";
    let at = |bytes| format!("postgres://health:{PASSWORD}@127.0.0.1:{}/postgres", saying(bytes).0);
    let (in_login, in_answer) = (at(b"NR\0\0"), at(b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05IT\0\0"));
    let endless = at(b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I\x01\0\0\0\x04");
    let site = site();
    all_show(
        &site,
        &[
            case("cannot", &at(cannot), "", "DOWN", "cannot serve a new connection: could not fork new process"),
            case("gssapi", &at(b"NR\0\0\0\x08\0\0\0\x07"), "", "DEGRADED", "give it scram-sha-256 in pg_hba.conf"),
            case("in-login", &in_login, "", "DOWN", "closed the connection in the middle of an answer"),
            case("in-answer", &in_answer, "", "DOWN", "closed the connection in the middle of an answer"),
            case("garbage", &endless, "", "DOWN", "this is not PostgreSQL"),
        ],
        PASSWORD,
    );
}

#[test]
fn an_answer_is_held_against_text_and_range() {
    let server = Postgres::start();
    let url = server.url();
    let asks = |name, query: &str, more: &str, status, message| {
        case(name, &url, &format!("params = {{ query = {query:?}, {more} }}"), status, message)
    };
    let site = site();
    all_show(
        &site,
        &[
            asks("right", "select true", "expect = \"t\"", "UP", "primary"),
            asks("wrong", "select 'red'", "expect = \"green\"", "DOWN", "gives \"red\", expected \"green\""),
            asks("first", "values (7, 8), (9, 9)", "expect = \"7\"", "UP", ""),
            asks("no-row", "select 1 where false", "expect = { min = 0 }", "DOWN", "the query gives nothing"),
            asks("null", "select null", "expect = 1", "DOWN", "the query gives nothing"),
            asks("text", "select 'x'", "expect = { max = 1 }", "DOWN", "\"x\", which is no number"),
            asks("inside", "select 5", "expect = { min = 1, max = 9, warn_max = 6 }", "UP", ""),
            asks("low", "select 0.5", "expect = { min = 1 }", "DOWN", "the query gives 0.5, less than 1"),
            asks("high", "select 10", "expect = { warn_max = 6, max = 9 }", "DOWN", "the query gives 10, more than 9"),
            asks(
                "warm",
                "select 7",
                "expect = { warn_max = 6, max = 9 }",
                "DEGRADED",
                "the query gives 7, more than 6",
            ),
            asks("cool", "select 1", "expect = { warn_min = 2 }", "DEGRADED", "less than 2"),
            asks("many", "select 'x' from generate_series(1, 20000)", "expect = \"y\"", "DOWN", "gives \"x\""),
            asks("much", "select repeat('x', 2000000)", "", "invalid-params", "more than 1 MiB came back"),
        ],
        PASSWORD,
    );
}

#[test]
fn tls_is_what_sslmode_says() {
    let ca = Ca::new();
    let good = Postgres::with_tls(&ca.server(&[HOME]));
    let other = Postgres::with_tls(&Ca::new().server(&[HOME]));
    let renamed = Postgres::with_tls(&ca.server(&["db.internal"]));
    let none = Postgres::start();
    let mode = |server: &Postgres, mode: &str| format!("{}?sslmode={mode}", server.url());
    let sees = |expected: &str| {
        format!("query = \"select ssl from pg_stat_ssl where pid = pg_backend_pid()\", expect = {expected:?}")
    };
    let (tls, plain) = (sees("t"), sees("f"));
    let trust = format!("tls = {{ ca_file = {:?} }}", ca.file());
    let trusting = |params: &str| format!("{trust}\nparams = {{ {params} }}");
    let named = format!("tls = {{ ca_file = {:?}, server_name = \"db.internal\" }}", ca.file());
    let insecure = format!("tls = {{ insecure = true }}\nparams = {{ {tls} }}");
    let alone = |params: &str| format!("params = {{ {params} }}");
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("require", &mode(&good, "require"), &trusting(&tls), "UP", ""),
            case("verify-full", &mode(&good, "verify-full"), &trusting(&tls), "UP", ""),
            case("verify-ca", &mode(&good, "verify-ca"), &trusting(&tls), "UP", ""),
            case("default", &good.url(), &trusting(&tls), "UP", ""),
            case("disable", &mode(&good, "disable"), &trusting(&plain), "UP", ""),
            case("stranger", &mode(&good, "require"), "", "DOWN", "not trusted"),
            case("wrong-ca", &mode(&other, "require"), &trust, "DOWN", "certificate"),
            case("wrong-name", &mode(&renamed, "require"), &trust, "DOWN", "not for 127.0.0.1 but for db.internal"),
            case("named", &mode(&renamed, "require"), &named, "UP", ""),
            case("insecure", &mode(&other, "require"), &insecure, "UP", ""),
            case("unverified", &other.url(), &trust, "DOWN", "TLS with 127.0.0.1"),
            case("prefer", &mode(&none, "prefer"), &alone(&plain), "UP", ""),
            case("impossible", &mode(&none, "require"), "", "DOWN", "offers no TLS"),
            case("impossible-full", &mode(&none, "verify-full"), "", "DOWN", "offers no TLS"),
        ],
        PASSWORD,
    );
    let phase = [("check", "require"), ("phase", "tls")];
    assert!(agent.metrics().get("vitald_check_phase_seconds", &phase).is_some_and(|took| took > 0.0));
}

#[test]
fn a_full_server_and_one_that_stops_are_down() {
    let mut server = Postgres::start();
    let crowded = "params = { connections_above = 0.5 }";
    let site = site();
    let agent = all_show(&site, &[case("db", &server.url(), crowded, "UP", "primary")], PASSWORD);
    let mut crowd: Vec<_> = (0..12).map(|_| server.session()).collect();
    shows(&agent, "db", "DEGRADED", "of the connections are taken, more than 50 %");
    // Until there is no place left for a check that runs just now.
    eventually("the server is full", SOON, || {
        if crowd.len() < PLACES {
            crowd.extend(server.try_session());
        }
        that(crowd.len() == PLACES, || format!("{} sessions", crowd.len()))
    });
    shows(&agent, "db", "DOWN", "the server takes no more connections");
    crowd.truncate(2);
    shows(&agent, "db", "UP", "primary");

    // It lets sessions end, and takes no new ones.
    server.signal(Signal::TERM);
    shows(&agent, "db", "DOWN", "the database system is shutting down (57P03)");
    crowd.clear();
    shows(&agent, "db", "DOWN", "refused");
    server.ended();
    server.restart();
    shows(&agent, "db", "UP", "primary");
}

#[test]
fn a_slow_server_is_degraded_where_the_check_says_how_slow() {
    let server = Postgres::start();
    let proxy = Proxy::before(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    let site = site();
    let agent = all_show(&site, &[case("db", &url, "params = { slow = \"300ms\" }", "UP", "primary")], PASSWORD);
    proxy.goes(Way::Delaying(Duration::from_millis(400)));
    shows(&agent, "db", "DEGRADED", "slow");
    proxy.goes(Way::Delaying(Duration::from_secs(3)));
    shows(&agent, "db", "DOWN", "timeout");
    proxy.goes(Way::Shut);
    shows(&agent, "db", "DOWN", "connection");
    proxy.goes(Way::Open);
    shows(&agent, "db", "UP", "primary");
}
