//! Files that are written in place: for a moment they are empty, or end in the middle.

use std::fs;
use std::time::Duration;

use super::{SOON, Shop, counter, defined, is_good};
use crate::harness::{Poll, check, eventually, service, that, throughout};

/// An editor or `cp` that is slow; much less than what tells an edit from a file that is being written.
const WRITING: Duration = Duration::from_millis(80);

/// Writes a file where it is, in parts: nothing, a part that ends in the middle of a line, all.
fn write_in_place(path: &std::path::Path, text: &str) {
    for part in ["", &text[..text.len() * 2 / 3], text] {
        fs::write(path, part).unwrap();
        let there = || that(fs::read_to_string(path).is_ok_and(|now| now == part), || "another writes it".into());
        throughout("the file stays so for a moment", WRITING, there);
    }
}

#[test]
fn a_drop_in_that_is_being_written_loses_no_check() {
    let shop = Shop::open([check("app", "noop").of("shop"), counter("own")]);
    let (site, agent) = (&shop.site, &shop.agent);
    let polls = ["app", "own"].map(|name| Poll::start(agent, &format!("/health/checks/{name}"), 200));
    for interval in ["410ms", "420ms", "430ms", "440ms", "450ms"] {
        let app = check("app", "noop").of("shop").with("interval", interval);
        let text: String = [service("shop"), app, counter("own")].iter().map(ToString::to_string).collect();
        write_in_place(&site.drop_in_path("shop"), &text);
        let millis: f64 = interval.trim_end_matches("ms").parse().unwrap();
        defined(agent, "app", "interval_ms", millis);
    }
    for poll in polls {
        poll.stop();
    }
    let log = agent.log();
    assert!(!log.contains("not taken over"), "half a file was judged: {log}");
    shop.nobody_noticed();
}

#[test]
fn a_main_file_that_is_being_written_is_no_mistake() {
    let shop = Shop::open([check("app", "noop").of("shop")]);
    let (site, agent) = (&shop.site, &shop.agent);
    let text = fs::read_to_string(site.main()).unwrap();
    for interval in ["410ms", "420ms", "430ms"] {
        write_in_place(&site.main(), &text.replace("400ms", interval));
        let millis: f64 = interval.trim_end_matches("ms").parse().unwrap();
        defined(agent, "app", "interval_ms", millis);
    }
    let log = agent.log();
    assert!(!log.contains("not taken over") && !log.contains("next start"), "half a file was judged: {log}");
    shop.nobody_noticed();
}

#[test]
fn a_drop_in_that_stays_empty_is_a_mistake_and_takes_nothing_away() {
    let shop = Shop::open([check("app", "noop").of("shop")]);
    shop.site.drop_in("more", [counter("own")]);
    shop.agent.until("own", "UP");
    fs::write(shop.site.drop_in_path("more"), "").unwrap();
    eventually("it is refused", SOON, || is_good(&shop.agent, false));
    throughout("it is there", Duration::from_secs(3), || shop.agent.shows("own", "UP"));
    assert!(shop.agent.log().contains("more.toml: it is empty"), "{}", shop.agent.log());
    shop.site.remove_drop_in("more");
    eventually("it is gone", SOON, || shop.agent.answers("/health/checks/own", 404));
    is_good(&shop.agent, true).unwrap();
    shop.nobody_noticed();
}
