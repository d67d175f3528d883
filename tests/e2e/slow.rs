//! `slow`, the parameter that every checker of a target has by itself: the SDK adds it, no checker knows of it.

use crate::harness::{Listener, Manner, Site, check, vitald};

#[test]
fn up_but_slower_than_that_is_degraded() {
    let listener = Listener::start(Manner::Closing);
    let down = Listener::start(Manner::Answering("500 no\r\n"));
    let site = Site::new();
    let slow = |name: &str, slow: &str| {
        check(name, "tcp").target(&listener.url()).line(&format!("params = {{ slow = {slow} }}"))
    };
    let worse = check("worse", "tcp")
        .target(&down.url())
        .line("params = { slow = \"1ns\", send = \"hi\\n\", expect = \"220 *\" }");
    site.drop_in(
        "checks",
        [slow("quick", "\"1h\""), slow("late", "\"1ns\""), slow("zero", "\"0s\""), slow("number", "200"), worse],
    );
    let agent = site.start();
    agent.until("quick", "UP");
    agent.until("late", "DEGRADED");
    let message = agent.check("late")["message"].to_string();
    assert!(message.contains("accepts connections; slow: ") && message.contains("more than 1ns"), "{message}");
    // What is worse than slow says so, and nothing else.
    agent.until("worse", "DOWN");
    let message = agent.check("worse")["message"].to_string();
    assert!(message.contains("500 no") && !message.contains("slow"), "{message}");
    // The schema refuses one, and the SDK the other: it is named either way.
    for name in ["zero", "number"] {
        let seen = agent.until_unknown(name, "invalid-params");
        assert!(seen["message"].to_string().contains("params.slow: "), "{seen}");
    }
}

#[test]
fn it_is_shown_where_there_is_a_target() {
    for (name, shown) in
        [("tcp", true), ("http", true), ("redis", true), ("postgres", true), ("mysql", true), ("host", false)]
    {
        let ended = vitald(&["plugin", "inspect", name]);
        let line = ended.stdout.lines().find(|line| line.trim_start().starts_with("slow"));
        assert_eq!(line.is_some_and(|line| line.contains("DEGRADED")), shown, "{name}:\n{}", ended.stdout);
    }
}
