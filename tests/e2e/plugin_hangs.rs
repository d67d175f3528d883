//! Plugin directories on a file system that does not answer any more.

use std::time::{Duration, Instant};

use crate::harness::{
    Agent, Hanging, Listener, Manner, Site, check, eventually, guest, make_dir, that, vitald_of, write,
};
use crate::plugin_files::{ONE, SOON, TWO, edit_main, says, warnings};

/// Every 5 s it looks where nothing is notified.
const POLLED: Duration = Duration::from_secs(60);
/// In which an operator is answered.
const ANSWERED: Duration = Duration::from_secs(30);

/// The plugin `app` is where it will be mounted.
fn site() -> Site {
    let site = Site::new();
    edit_main(&site, "[\"plugins\"]", "[\"mounted/plugins\"]");
    let plugins = site.path().join("source/plugins");
    make_dir(&plugins);
    write(&plugins.join("app.wasm"), guest("noop"));
    site
}

fn says_where(agent: &Agent, mount: &Hanging) -> Result<(), String> {
    let warned = warnings(agent);
    let said = warned.iter().filter(|line| line.contains(mount.point()) && line.contains("does not answer"));
    that(said.count() == 1, || agent.log())
}

#[test]
fn a_directory_that_hangs_at_the_start_holds_up_nothing_but_its_own() {
    let site = site();
    let web = Listener::start(Manner::Closing);
    site.drop_in("checks", [check("app", "app"), check("web", "tcp").target(&web.url())]);
    let (agent, mount) = Hanging::from_the_start(&site);
    agent.until("web", "UP");
    eventually("it is said where it hangs", SOON, || says_where(&agent, &mount));
    let app = agent.check("app");
    assert!(app["notice"].as_str().is_some_and(|text| text.contains("does not answer")), "{app}");

    let begun = Instant::now();
    let ended = vitald_of(&site, &["reload"]);
    assert!(begun.elapsed() < ANSWERED, "after {:?}", begun.elapsed());
    assert!(ended.stdout.contains("does not answer"), "{ended:?}");
    site.drop_in("more", [check("more", "tcp").target(&web.url())]);
    agent.until("more", "UP");

    mount.go_on();
    eventually("its plugin judges", POLLED, || says(&agent, ONE));
    says_where(&agent, &mount).unwrap();
    assert!(agent.log().contains("answers again"), "{}", agent.log());
}

#[test]
fn a_directory_that_hangs_later_holds_up_no_configuration() {
    let site = site();
    let web = Listener::start(Manner::Closing);
    site.drop_in("app", [check("app", "app")]);
    let (agent, mount) = Hanging::beside(&site);
    eventually("version one judges", SOON, || says(&agent, ONE));

    mount.hang();
    site.drop_in("web", [check("web", "tcp").target(&web.url())]);
    eventually("the configuration is taken over", POLLED, || agent.shows("web", "UP"));
    says_where(&agent, &mount).unwrap();
    let begun = Instant::now();
    let ended = vitald_of(&site, &["reload"]);
    assert!(begun.elapsed() < ANSWERED, "after {:?}", begun.elapsed());
    assert!(ended.stdout.contains("does not answer"), "{ended:?}");
    says(&agent, ONE).unwrap();

    mount.go_on();
    write(&site.path().join("source/plugins/app.wasm"), guest("version_two"));
    eventually("the new version judges", POLLED, || says(&agent, TWO));
    assert!(agent.log().contains("answers again"), "{}", agent.log());
}
