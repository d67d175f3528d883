//! `vitald try --config FILE NAME`: a check as the agent would run it, whatever is wrong elsewhere.

use std::fs;

use crate::harness::{Listener, Manner, Redis, Site, check, guest, vitald_of, write};
use crate::plugin_gate::digest_of;

use super::{DOWN, REFUSED, SECRET, UNKNOWN, UP, head};

#[test]
fn a_configured_check_is_tried_as_the_agent_would_run_it() {
    let redis = Redis::with_password(SECRET);
    let site = Site::new();
    site.secret("redis", SECRET);
    let target = format!("redis://:${{file:redis}}@127.0.0.1:{}", redis.port());
    site.drop_in("checks", [check("cache", "redis").target(&target), check("gone", "tcp").target(REFUSED)]);
    let ended = vitald_of(&site, &["try", "cache"]);
    assert_eq!((ended.code, head(&ended)), (UP, "UP: master"), "{ended:?}");
    assert_eq!(vitald_of(&site, &["try", "gone"]).code, DOWN);
    // What is given beside it wins.
    let ended = vitald_of(&site, &["try", "gone", "--target", &format!("tcp://127.0.0.1:{}", redis.port())]);
    assert_eq!(ended.code, UP, "{ended:?}");
    assert!(vitald_of(&site, &["try", "cache", "--timeout", "20s"]).stdout.contains("of 20s"));
    let ended = vitald_of(&site, &["try", "cach"]);
    assert!(ended.code == UNKNOWN && ended.stderr.contains("did you mean \"cache\""), "{ended:?}");
    // Nothing is left behind, and nothing is locked: an agent starts beside it.
    assert!(!site.path().join("state").exists());
}

#[test]
fn mistakes_elsewhere_do_not_prevent_a_trial() {
    let listener = Listener::start(Manner::Closing);
    let site = Site::new();
    site.drop_in("good", [check("good", "tcp").target(&listener.url())]);
    site.drop_in("bad", [check("bad", "tcp").target("no target").line("intervall = \"1s\"")]);
    let ended = vitald_of(&site, &["try", "good"]);
    assert_eq!(ended.code, UP, "{ended:?}");
    assert!(ended.stdout.contains("note: the configuration has 2 mistakes elsewhere"), "{ended:?}");
    let ended = vitald_of(&site, &["try", "bad"]);
    assert_eq!(ended.code, UNKNOWN, "{ended:?}");
    assert!(ended.stderr.contains("check.bad.intervall") && ended.stderr.contains("2 mistakes"), "{ended:?}");
    site.drop_in_text("bad", "this is = = no TOML");
    assert_eq!(vitald_of(&site, &["try", "good"]).code, UP);
}

#[test]
fn pins_and_overrides_hold() {
    let site = Site::new().with("plugins", "pin = { down = \"@PIN@\" }");
    site.plugin("down", guest("down"));
    site.plugin("tcp", guest("down"));
    site.drop_in("checks", [check("own", "down"), check("taken", "tcp").target(REFUSED)]);
    let main = |pin: &str, more: &str| {
        let text = fs::read_to_string(site.main()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("override"));
        let line = |line: &str| match line.starts_with("pin =") {
            true => format!("pin = {{ down = \"{pin}\" }}\n{more}\n"),
            false => format!("{line}\n"),
        };
        write(&site.main(), lines.map(line).collect::<String>());
    };
    main(&format!("sha256:{}", "0".repeat(64)), "");
    let ended = vitald_of(&site, &["try", "own"]);
    assert!(ended.code == UNKNOWN && ended.stderr.contains("is not the pinned"), "{ended:?}");
    main(&format!("sha256:{}", digest_of(&site.plugin_path("down"))), "");
    let ended = vitald_of(&site, &["try", "own"]);
    assert_eq!((ended.code, head(&ended)), (DOWN, "DOWN: always down"), "{ended:?}");
    // The bundled one keeps its place until it is told otherwise.
    let said = vitald_of(&site, &["try", "taken", "--json"]);
    assert!(said.stdout.contains("\"source\": \"bundled\""), "{said:?}");
    main(&format!("sha256:{}", digest_of(&site.plugin_path("down"))), "override = [\"tcp\"]");
    let ended = vitald_of(&site, &["try", "taken"]);
    assert!(ended.code == UNKNOWN && ended.stderr.contains("takes no target"), "{ended:?}");
}
