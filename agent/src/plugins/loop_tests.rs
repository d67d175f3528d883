//! The loop over real files and a fake compiler, on paused time.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::model::requests::NotApproved;
use crate::model::testing::name;

use super::inventory;
use super::testing::{MS, Site, component, defined, plain};

#[tokio::test(start_paused = true)]
async fn a_slow_compile_holds_nothing_up() {
    let mut site = Site::new(&[("a", "slow"), ("b", "quick")]);
    site.put("slow.wasm", &component(&json!({"version": "1", "takes": 20_000})));
    site.put("quick.wasm", &plain("1"));
    let began = Instant::now();
    site.start().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(!site.check("a").is_ready());
    assert!(site.notice("a").contains("being compiled"));
    site.until("quick", "ready 1").await;
    assert_eq!(site.approve("none").await, Err(NotApproved::Unknown(name("none"))));
    assert_eq!(site.stands("slow"), "compiling ");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    site.until("slow", "ready 1").await;
    assert!(site.check("a").is_ready() && site.notice("a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_replacements_makes_progress_and_ends_with_the_last() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("first"));
    site.start().await;
    site.until("app", "ready first").await;
    let mut seen = BTreeSet::new();
    for version in 0..100 {
        site.put("app.wasm", &component(&json!({"version": version.to_string(), "takes": 500})));
        sleep(100 * MS).await;
        seen.insert(site.stands("app"));
    }
    site.until("app", "ready 99").await;
    assert!(seen.len() > 5 && seen.iter().all(|stands| stands.starts_with("ready ")), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_is_not_judged() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    let (path, whole) = (site.path("app.wasm"), plain("2"));
    for length in [0, 4, 9, 14, whole.len()] {
        fs::write(&path, &whole[..length]).expect("write");
        sleep(200 * MS).await;
        assert!(site.stands("app").starts_with("ready "), "{}", site.stands("app"));
    }
    site.until("app", "ready 2").await;
    assert_eq!(site.loaded(), ["1", "2"], "the halves were not even compiled");
}

#[tokio::test(start_paused = true)]
async fn what_stays_broken_is_judged_and_the_version_before_runs_on() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("app.wasm", &component(&json!({"version": "2", "error": "too odd"})));
    site.until("app", "kept 1").await;
    assert!(site.notice("a").contains("too odd"), "{}", site.notice("a"));
    assert_eq!(site.check("a").version(), "1");
    site.put("app.wasm", b"garbage");
    for _ in 0..100 {
        sleep(10 * MS).await;
        assert_eq!(site.stands("app"), "kept 1");
    }
    assert!(site.notice("a").contains("garbage"), "{}", site.notice("a"));
    site.put("app.wasm", &plain("1"));
    site.until("app", "ready 1").await;
    assert_eq!(site.notice("a"), "");
    assert_eq!(site.loaded(), ["1", "2", ""], "what runs is not loaded again");
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_goes_and_what_is_replaced_stays() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    fs::remove_file(site.path("app.wasm")).expect("remove");
    sleep(150 * MS).await;
    site.put("app.wasm", &plain("2"));
    for _ in 0..50 {
        assert!(site.stands("app").starts_with("ready "));
        sleep(10 * MS).await;
    }
    site.until("app", "ready 2").await;
    fs::remove_file(site.path("app.wasm")).expect("remove");
    site.until("app", "none").await;
    assert!(site.check("a").version().contains("there is no checker"));
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_answered_once_everything_it_began_has_ended() {
    let mut site = Site::new(&[("a", "app"), ("b", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("app.wasm", &component(&json!({"version": "2", "takes": 5_000})));
    site.put("odd.wasm", &component(&json!({"version": "1", "error": "odd", "takes": 100})));
    site.change(|definitions| definitions.checks = defined(&[("b", "app"), ("c", "app")]));
    let began = Instant::now();
    let reloaded = site.reload().await;
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!(reloaded.checks.added, [name("c")]);
    assert_eq!((reloaded.checks.removed, reloaded.checks.unchanged), (vec![name("a")], 1));
    assert_eq!(reloaded.plugins, ["odd: not used: it does not compile: odd", "app 1 → 2"]);
    assert_eq!(reloaded.troubles, ["odd: not used: it does not compile: odd"]);
    assert_eq!(reloaded.at_next_start, ["listen"]);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_being_written_is_looked_at_again() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    *site.source.unsettled.lock().expect("lock") = 2;
    site.change(|definitions| definitions.checks = defined(&[("b", "app")]));
    site.put("any.wasm", b"an event");
    sleep(200 * MS).await;
    assert!(site.running().checks.borrow().checks.contains_key("a"));
    // Events come from outside of this clock.
    for _ in 0..10_000 {
        if site.running().checks.borrow().checks.contains_key("b") {
            return;
        }
        sleep(10 * MS).await;
    }
    panic!("it was not looked at again");
}

#[tokio::test(start_paused = true)]
async fn compiled_code_that_nobody_wants_goes_after_a_while() {
    let mut site = Site::new(&[("a", "app")]);
    let versions = ["1", "2"].map(plain);
    site.put("app.wasm", &versions[0]);
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("app.wasm", &versions[1]);
    site.until("app", "ready 2").await;
    sleep(Duration::from_secs(5)).await;
    let kept = site.compiler.kept.lock().expect("lock").clone().expect("swept");
    let [one, two] = versions.map(|version| inventory::digest_of(&version));
    assert!(kept.contains(&two) && !kept.contains(&one));
}

#[tokio::test(start_paused = true)]
async fn compiled_code_does_not_pile_up_while_a_plugin_keeps_changing() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("first"));
    site.start().await;
    site.until("app", "ready first").await;
    let first = inventory::digest_of(&plain("first"));
    // Events come from outside of this clock, so that it may need more than the ten seconds.
    for version in 0..400 {
        site.put("app.wasm", &component(&json!({"version": version.to_string(), "takes": 900})));
        sleep(400 * MS).await;
        let kept = site.compiler.kept.lock().expect("lock").clone();
        if let Some(kept) = kept.filter(|kept| !kept.contains(&first)) {
            return assert!(kept.len() < 20, "{kept:?}");
        }
    }
    panic!("it was not swept while the plugin kept changing");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_compiled_for_now_waits_and_is_tried_at_once_when_somebody_asks() {
    let mut site = Site::new(&[("a", "app")]);
    site.compiler.away.store(true, Ordering::Relaxed);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "waiting ").await;
    assert!(site.notice("a").contains("it is away"), "{}", site.notice("a"));
    sleep(Duration::from_secs(100)).await;
    let reloaded = site.reload().await;
    assert!(reloaded.plugins.iter().any(|line| line.contains("it is away")), "{reloaded:?}");
    site.compiler.away.store(false, Ordering::Relaxed);
    let asked = Instant::now();
    assert_eq!(site.reload().await.plugins, ["app 1"]);
    assert!(asked.elapsed() < Duration::from_secs(1) && site.notice("a").is_empty(), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_place_to_remember_in_everything_goes_on() {
    let mut site = Site::new(&[("a", "app")]);
    fs::remove_dir(site.dir.path().join("state")).expect("remove");
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    assert!(!Path::new(&site.dir.path().join("state")).exists());
    site.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_broken_while_the_agent_was_stopped_costs_nothing() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    site.stop().await;
    site.put("app.wasm", b"garbage");
    site.start().await;
    assert_eq!((site.check("a").version(), site.check("a").is_ready()), ("1", true));
    site.until("app", "kept 1").await;
}

#[tokio::test(start_paused = true)]
async fn other_directories_are_read_and_watched_without_a_restart() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    let other = site.dir.path().join("other");
    fs::create_dir(&other).expect("mkdir");
    fs::write(other.join("new.wasm"), plain("1")).expect("write");
    site.change(|definitions| definitions.places.plugin_dirs = vec![other.clone()]);
    let reloaded = site.reload().await;
    assert_eq!((site.stands("app"), site.stands("new")), ("none".into(), "ready 1".into()), "{reloaded:?}");
    assert_eq!(reloaded.plugins, ["app removed", "new 1"]);
    sleep(MS).await;
    fs::write(other.join("new.wasm"), plain("2")).expect("write");
    site.until("new", "ready 2").await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_swapped_as_the_kubelet_does_it() {
    let mut site = Site::new(&[("a", "app")]);
    let volume = site.dir.path().join("plugins");
    let publish = |version: &str| {
        let dir = volume.join(format!("..{version}"));
        fs::create_dir(&dir).expect("mkdir");
        fs::write(dir.join("app.wasm"), plain(version)).expect("write");
        symlink(&dir, volume.join("..data_tmp")).expect("link");
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("rename");
    };
    publish("1");
    symlink("..data/app.wasm", volume.join("app.wasm")).expect("link");
    site.start().await;
    site.until("app", "ready 1").await;
    publish("2");
    fs::remove_dir_all(volume.join("..1")).expect("remove");
    site.until("app", "ready 2").await;
    assert_eq!(site.loaded(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_refused_says_why_until_it_is_mended() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    let open = fs::Permissions::from_mode(0o666);
    fs::set_permissions(site.path("app.wasm"), open).expect("chmod");
    site.start().await;
    site.until("app", "broken ").await;
    assert!(site.check("a").version().contains("chmod go-w"), "{}", site.check("a").version());
    fs::set_permissions(site.path("app.wasm"), fs::Permissions::from_mode(0o644)).expect("chmod");
    site.until("app", "ready 1").await;
    fs::set_permissions(site.path("app.wasm"), fs::Permissions::from_mode(0o666)).expect("chmod");
    site.until("app", "kept 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_goes_and_comes_back_while_it_is_compiled_runs() {
    let mut site = Site::new(&[("a", "app")]);
    site.start().await;
    let slow = component(&json!({"version": "1", "takes": 5_000}));
    site.put("app.wasm", &slow);
    site.until("app", "compiling ").await;
    fs::remove_file(site.path("app.wasm")).expect("remove");
    site.until("app", "none").await;
    site.put("app.wasm", &slow);
    site.until("app", "ready 1").await;
}

#[tokio::test(start_paused = true)]
async fn beside_mistakes_what_runs_is_bound_anew_with_its_secrets() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    *site.source.mistakes.lock().expect("lock") = vec!["x.toml:1: odd".into()];
    site.change(|definitions| {
        let check = definitions.checks.get_mut(&name("a")).expect("a check");
        Arc::make_mut(check).params.insert("password".into(), json!("rotated"));
    });
    let reloaded = site.reload().await;
    assert_eq!((reloaded.mistakes.len(), reloaded.checks.changed.len()), (1, 0));
    let set = site.running().checks.borrow().clone();
    assert_eq!(set.definitions.checks[&name("a")].params["password"], "rotated");
}
