use super::*;

fn params(json: &str) -> Params {
    serde_json::from_str(json).unwrap()
}

fn judged(params: &Params, facts: &Facts) -> (Status, String) {
    let Outcome { status, message } = params.judge(facts, Some("7"));
    (status, message)
}

fn replica(lag: Option<f64>) -> Facts {
    Facts {
        numbers: lag.map(|lag| ("replication_lag", lag)).into_iter().collect(),
        is_replica: true,
        ..Facts::default()
    }
}

#[test]
fn all_that_is_wrong_is_said() {
    let params = params(r#"{ "query": "q", "expect": 8, "connections_above": 0.8 }"#);
    let crowded = Facts { numbers: [("connections_used", 0.95)].into(), ..Facts::default() };
    let message = "the query gives 7, expected 8; 95 % of the connections are taken, more than 80 %";
    assert_eq!(judged(&params, &crowded), (Status::Down, message.into()));
    assert_eq!(judged(&Params::default(), &crowded).0, Status::Up);
}

#[test]
fn a_replica_that_is_behind_or_stands_is_degraded_where_that_is_asked() {
    let asked = params(r#"{ "lag_above": "10s" }"#);
    assert_eq!(judged(&asked, &replica(Some(10.0))), (Status::Up, "MySQL , a replica".into()));
    let behind = judged(&asked, &replica(Some(11.0)));
    assert_eq!(behind, (Status::Degraded, "the replica is 11 s behind, more than 10s".into()));
    assert_eq!(judged(&asked, &replica(None)), (Status::Degraded, "replication has stopped".into()));
    assert_eq!(judged(&Params::default(), &replica(None)).0, Status::Up);
    assert_eq!(judged(&asked, &Facts::default()).0, Status::Up, "who copies nobody is not behind");
}

#[test]
fn a_query_has_an_end_in_the_words_of_its_server() {
    let limit = |version: &str, left| time_limit(&Facts { version: version.into(), ..Facts::default() }, left);
    assert_eq!(limit("11.8.3-MariaDB", Duration::from_millis(450)), "set session max_statement_time = 0.450");
    assert_eq!(limit("11.8.3-MariaDB", Duration::ZERO), "set session max_statement_time = 0.001");
    assert_eq!(limit("8.0.36", Duration::from_micros(450_900)), "set session max_execution_time = 450");
    assert_eq!(limit("8.0.36", Duration::ZERO), "set session max_execution_time = 1", "0 is no limit");
}

#[test]
fn a_refused_health_user_is_told_from_a_broken_server() {
    let explained = |code, user| explain(Stop::Server(code, "in its words".into()), user);
    for code in [1044, 1045, 1130, 1142, 1226, 1524, 1698, 1820, 1862, 3118, 3159, 4151] {
        let outcome = explained(code, AuthFailure::Degraded).unwrap();
        assert_eq!(outcome.status, Status::Degraded, "{code}");
        assert!(outcome.message.ends_with(&format!("({code}: in its words)")), "{}", outcome.message);
        assert_eq!(explained(code, AuthFailure::Down).unwrap().status, Status::Down, "{code}");
    }
    for code in [1040, 1049, 1053, 1129, 1146, 3024, 9999] {
        assert!(explained(code, AuthFailure::Degraded).unwrap_err().is_down(), "{code}");
    }
    assert!(!explained(1064, AuthFailure::Down).unwrap_err().is_down());
    assert_eq!(explained(1146, AuthFailure::Down).unwrap_err().message(), "the server says 1146: in its words");
}
