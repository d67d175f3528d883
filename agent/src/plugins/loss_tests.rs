//! What is let in after a restart, and after the loss of what was remembered of it.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::model::checkset::{PluginRules, ReloadGate};
use crate::model::requests::NotApproved;
use crate::model::testing::name;

use super::inventory::digest_of;
use super::testing::{Site, component, gate, plain};

#[tokio::test(start_paused = true)]
async fn where_the_memory_is_lost_nothing_is_taken_as_approved() {
    for reload in [ReloadGate::Manual, ReloadGate::SamePowers] {
        let mut site = Site::new(&[("a", "app")]).with(gate(reload));
        for plugin in ["app.wasm", "other.wasm"] {
            site.put(plugin, &plain("1"));
        }
        site.start().await;
        site.until("app", "ready 1").await;
        site.until("other", "ready 1").await;
        site.stop().await;
        let memory = site.dir.path().join("state/plugins.json");
        let written = fs::read(&memory).expect("written");
        fs::write(&memory, &written[..20]).expect("cut off");
        // However often it is started.
        for _ in 0..2 {
            site.start().await;
            site.until("app", "pending ").await;
            site.until("other", "pending ").await;
            sleep(Duration::from_secs(5)).await;
            assert!(site.notice("a").contains("not known any more"), "{}", site.notice("a"));
            site.stop().await;
        }
        site.start().await;
        site.until("app", "pending ").await;
        site.approve("app").await.expect("it waits");
        site.stop().await;
        site.start().await;
        assert_eq!((site.stands("app"), site.stands("other")), ("ready 1".into(), "pending ".into()));
        site.approve("other").await.expect("it waits");
        site.stop().await;
        // It is over.
        site.put("new.wasm", &plain("1"));
        site.start().await;
        site.until("new", if reload == ReloadGate::Manual { "pending " } else { "ready 1" }).await;
        assert_eq!((site.stands("app"), site.stands("other")), ("ready 1".into(), "ready 1".into()));
        site.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_there_at_the_first_start_is_approved_also_if_that_ends_before_it_is_compiled() {
    let mut site = Site::new(&[("a", "app")]).with(gate(ReloadGate::Manual));
    let slow = component(&json!({"version": "1", "takes": 20_000}));
    site.put("app.wasm", &slow);
    site.start().await;
    sleep(Duration::from_secs(1)).await;
    site.stop().await;
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("app.wasm", &plain("2"));
    site.until("app", "pending 1").await;
    site.approve("app").await.expect("it waits");
    // A reason once, not to come back to it.
    site.put("app.wasm", &slow);
    site.until("app", "pending 2").await;
}

#[tokio::test(start_paused = true)]
async fn a_bundled_checker_that_runs_meanwhile_does_not_use_the_approval_up() {
    let overrides = [name("tcp")].into();
    let rules = PluginRules { overrides, ..gate(ReloadGate::Manual) };
    let mut site = Site::new(&[("a", "tcp")]).with(rules);
    site.put("tcp.wasm", &component(&json!({"version": "mine", "takes": 20_000})));
    site.start().await;
    site.until("tcp", "ready bundled").await;
    site.until("tcp", "ready mine").await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_of_what_the_operator_saw_and_is_written_down() {
    let mut site = Site::new(&[("a", "app")]).with(gate(ReloadGate::Manual));
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("app.wasm", &plain("2"));
    site.until("app", "pending 1").await;
    let (seen, other) = (digest_of(&plain("2")), digest_of(&plain("3")));
    for wrong in [other, String::new()] {
        let refused = site.approve_that("app", Some(wrong)).await.expect_err("another waits");
        assert!(matches!(&refused, NotApproved::Another { digest, .. } if *digest == seen), "{refused}");
    }
    assert_eq!(site.stands("app"), "pending 1");
    let approved = site.approve_that("app", Some(seen[..12].to_owned())).await.expect("it waits");
    assert_eq!((approved.digest, approved.notes, approved.unwritten), (seen.clone(), vec![], None));
    let memory = site.dir.path().join("state/plugins.json");
    assert!(fs::read_to_string(&memory).expect("written").contains(&seen));

    // Where it cannot be, that is said.
    fs::remove_dir_all(site.dir.path().join("state")).expect("remove");
    site.put("app.wasm", &plain("3"));
    site.until("app", "pending 2").await;
    let approved = site.approve("app").await.expect("it waits");
    assert!(approved.unwritten.is_some(), "{approved:?}");
    assert_eq!(site.stands("app"), "ready 3");
}
