//! Several hosts, and those that follow another: which will do, and how far they are behind.

use crate::harness::{Listener, Manner, Postgres, all_show, eventually, shows, that};

use super::{PASSWORD, SOON, case, site};

#[test]
fn of_several_hosts_the_first_that_will_do_is_asked() {
    let mut primary = Postgres::start();
    let standby = primary.standby();
    let silent = Listener::start(Manner::Silent);
    let ports = |ports: &[u16]| ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let url = |hosts: &[u16], attrs: &str| {
        format!("postgres://health:{PASSWORD}@{}/postgres?target_session_attrs={attrs}", ports(hosts))
    };
    let (first, second) = (primary.port(), standby.port());
    let is_standby = "params = { query = \"select pg_is_in_recovery()\", expect = \"t\" }";
    let is_primary = "params = { query = \"select pg_is_in_recovery()\", expect = \"f\" }";
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("any", &url(&[first, second], "any"), "", "UP", "primary"),
            case("standby", &url(&[first, second], "standby"), is_standby, "UP", "standby"),
            case("read-only", &url(&[first, second], "read-only"), is_standby, "UP", "standby"),
            case("read-write", &url(&[second, first], "read-write"), is_primary, "UP", "primary"),
            case("primary", &url(&[second, first], "primary"), is_primary, "UP", "primary"),
            case("one-wrong", &url(&[first], "standby"), "", "DOWN", "primary, PostgreSQL"),
            case("both-wrong", &url(&[second, 1], "primary"), "", "DOWN", "127.0.0.1:1: refused"),
            case("late", &url(&[silent.port(), first], "any"), is_primary, "UP", "primary"),
            case("all-late", &url(&[silent.port(), silent.port()], "any"), "", "DOWN", "gives no answer within"),
            case("user", &url(&[first, second], "any").replace(PASSWORD, "wrong"), "", "DEGRADED", "refused"),
        ],
        PASSWORD,
    );
    let misfit = agent.check("primary")["parts"].to_string();
    assert!(misfit.contains("not what target_session_attrs wants") && !misfit.contains("the query gives"), "{misfit}");
    let parts = agent.check("late")["parts"].clone();
    assert!(parts.to_string().contains("gives no answer within 4"), "{parts}");

    primary.stop();
    shows(&agent, "any", "UP", "standby");
    shows(&agent, "primary", "DOWN", "refused");
    shows(&agent, "read-write", "DOWN", "refused");
    let seen = agent.check("read-write");
    let message = seen["message"].as_str().unwrap();
    for host in [first, second] {
        assert!(message.contains(&format!("127.0.0.1:{host}")), "{seen}");
        assert!(seen["parts"].to_string().contains(&format!("127.0.0.1:{host}")), "{seen}");
    }
    primary.restart();
    shows(&agent, "primary", "UP", "primary");
}

/// What was written is there: a standby knows how far behind it is once it has replayed something.
fn replays(primary: &Postgres, standby: &Postgres) {
    primary.sql("insert into t values (0)");
    eventually("the standby replays", SOON, || {
        let rows = standby.sql("select count(*) from t");
        that(rows == "1", || rows)
    });
}

#[test]
fn a_standby_is_measured_and_degraded_where_it_falls_behind() {
    let primary = Postgres::start();
    primary.sql("grant pg_monitor to health; create table t (id int)");
    let standby = primary.standby();
    replays(&primary, &standby);
    let site = site();
    let agent = all_show(
        &site,
        &[
            case("primary", &primary.url(), "", "UP", "primary"),
            case("standby", &standby.url(), "params = { lag_above = \"2s\" }", "UP", "standby"),
        ],
        PASSWORD,
    );
    let of = |name: &str, check| agent.metrics().get(&format!("vitald_value_{name}"), &[("check", check)]);
    assert_eq!(of("in_recovery", "standby"), Some(1.0));
    eventually("the standby has all that there is", SOON, || {
        let lag = of("replication_lag_seconds", "standby");
        that(lag == Some(0.0), || format!("{lag:?}"))
    });
    eventually("the primary knows its standby", SOON, || {
        let lag = of("replica_lag_seconds", "primary");
        that(lag.is_some_and(|lag| lag < 1.0), || format!("{lag:?}"))
    });

    standby.sql("select pg_wal_replay_pause()");
    primary.sql("insert into t values (1)");
    shows(&agent, "standby", "DEGRADED", "s behind, more than 2");
    assert!(of("replication_lag_seconds", "standby").is_some_and(|lag| lag > 2.0));
    standby.sql("select pg_wal_replay_resume()");
    shows(&agent, "standby", "UP", "standby");
}

/// What was received is replayed, and yet it is behind: nobody sends it anything.
#[test]
fn a_standby_without_its_primary_falls_behind() {
    let mut primary = Postgres::start();
    primary.sql("create table t (id int)");
    let standby = primary.standby();
    replays(&primary, &standby);
    let site = site();
    let agent =
        all_show(&site, &[case("db", &standby.url(), "params = { lag_above = \"2s\" }", "UP", "standby")], PASSWORD);
    primary.stop();
    shows(&agent, "db", "DEGRADED", "s behind, more than 2");
    primary.restart();
    shows(&agent, "db", "UP", "standby");
}
