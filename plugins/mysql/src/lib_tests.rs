use super::*;

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
