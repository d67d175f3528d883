//! What is empty or not there for a while takes nothing away, and one team's mistake is no other team's.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::{SOON, Shop, is_good};
use crate::harness::{Redis, check, eventually, service, that, throughout};
use crate::registration::KEY;

/// Longer than the TTL, and than anything waits here for a second look.
const LONG_ENOUGH: Duration = Duration::from_secs(6);

#[test]
fn a_secret_is_rotated_beside_the_mistake_of_another_team() {
    let redis = Redis::with_password("the-first-one");
    let shop = Shop::open([check("app", "noop").of("shop")]);
    let (site, agent) = (&shop.site, &shop.agent);
    site.secret("redis", "the-first-one");
    let cache =
        check("cache", "redis").of("shop").target(&format!("redis://:${{file:redis}}@127.0.0.1:{}", redis.port()));
    site.drop_in("shop", [service("shop"), check("app", "noop").of("shop"), cache]);
    agent.until("cache", "UP");

    site.drop_in_text("another-team", "[[check]]\nname = ");
    eventually("it is refused", SOON, || is_good(agent, false));
    redis.allow_password("the-first-one", "the-second-one");
    site.secret("redis", "the-second-one");
    eventually("the secret is taken over", SOON, || {
        let log = agent.log();
        that(log.contains("secrets that changed are taken over"), || log)
    });
    redis.forbid_password("the-second-one", "the-first-one");
    let judged = || agent.metrics().sum("vitald_check_runs_total", &[("check", "cache"), ("result", "up")]);
    let runs = judged();
    throughout("it is well by the new one", Duration::from_secs(4), || agent.shows("cache", "UP"));
    assert!(judged() > runs + 2.0, "{} runs after {runs}", judged());
    is_good(agent, false).unwrap();
    shop.nobody_noticed();
}

#[test]
fn an_empty_main_file_takes_nothing_away() {
    let mut shop = Shop::open([check("app", "noop").of("shop")]);
    let text = fs::read_to_string(shop.site.main()).unwrap();
    for blank in ["", "# to be written\n"] {
        fs::write(shop.site.main(), blank).unwrap();
        eventually("it is refused", SOON, || is_good(&shop.agent, false));
        throughout("all is there", LONG_ENOUGH, || shop.agent.shows("app", "UP"));
        crate::harness::write(&shop.site.main(), &text);
        eventually("mended", SOON, || is_good(&shop.agent, true));
    }
    assert!(shop.agent.log().contains("it is empty; write at least [agent]"), "{}", shop.agent.log());
    // The last good copy is still that of all.
    shop.site.drop_in_text("broken", "x = ");
    shop.agent.signal(Signal::USR2);
    assert_eq!(shop.agent.end(SOON), 0);
    shop.agent = shop.site.start();
    shop.agent.until("app", "UP");
    shop.nobody_noticed();
}

#[test]
fn a_generator_that_is_slow_takes_nothing_away() {
    let shop = Shop::open([check("app", "noop").of("shop")]);
    let path = shop.site.drop_in_path("shop");
    let text = fs::read_to_string(&path).unwrap();
    let more = format!("{text}{}", check("more", "noop").of("shop"));
    fs::write(&path, &more).unwrap();
    shop.agent.until("more", "UP");
    // Good as far as it goes, and not yet all: less than two seconds.
    fs::write(&path, &text).unwrap();
    throughout("it is written on", Duration::from_secs(1), || shop.agent.shows("more", "UP"));
    fs::write(&path, &more).unwrap();
    throughout("nothing went", Duration::from_secs(3), || shop.agent.shows("more", "UP"));
    fs::write(&path, &text).unwrap();
    eventually("what stays so is taken over", SOON, || shop.agent.answers("/health/checks/more", 404));
    shop.nobody_noticed();
}

#[test]
fn a_conf_dir_that_is_away_takes_nothing_away() {
    let mut shop = Shop::open([check("app", "noop").of("shop")]);
    let (dir, aside) = (shop.site.path().join("conf.d"), shop.site.path().join("aside"));
    fs::rename(&dir, &aside).unwrap();
    eventually("it is refused", SOON, || is_good(&shop.agent, false));
    throughout("all is there", LONG_ENOUGH, || shop.agent.shows("app", "UP"));
    let log = shop.agent.log();
    assert!(log.contains("conf.d: it is not there, and held 1 drop-in"), "{log}");

    // It is late at a start, too.
    shop.agent.signal(Signal::USR2);
    assert_eq!(shop.agent.end(SOON), 0);
    shop.agent = shop.site.start();
    shop.agent.until("app", "UP");
    let config = |agent: &crate::harness::Agent| agent.get("/health").json()["config"].clone();
    assert_eq!(config(&shop.agent), "last-good");
    throughout("all is there", LONG_ENOUGH, || shop.agent.shows("app", "UP"));
    fs::rename(&aside, &dir).unwrap();
    eventually("it runs on the files", SOON, || {
        let now = config(&shop.agent);
        that(now == "file", || now.to_string())
    });
    assert!(shop.etcd.get(KEY).is_some());
    shop.nobody_noticed();
}
