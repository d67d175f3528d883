//! What the loop lets in, over real files and a fake compiler, on paused time.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use crate::model::check::CheckDef;
use crate::model::checkset::{PluginRules, ReloadGate};
use crate::model::requests::NotApproved;
use crate::model::testing::name;

use super::inventory;
use super::testing::{Site, component, gate, plain};

#[tokio::test(start_paused = true)]
async fn under_manual_only_the_first_start_approves_by_itself() {
    let mut site = Site::new(&[("a", "app")]).with(gate(ReloadGate::Manual));
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("other.wasm", &plain("1"));
    site.until("other", "pending ").await;
    site.stop().await;
    site.put("app.wasm", &plain("2"));
    site.start().await;
    assert_eq!(site.check("a").version(), "1", "it goes on at once");
    site.until("app", "pending 1").await;
    let pending = site.info("app").expect("listed").pending.expect("pending");
    assert_eq!(pending.version, "2");
    assert!(site.notice("a").contains("waits for approval"));
    assert_eq!(site.approve("app").await.expect("approved").version, "2");
    assert_eq!(site.approve("app").await, Err(NotApproved::NotPending(name("app"))));
    assert_eq!(site.stands("app"), "ready 2");
    site.stop().await;
    site.start().await;
    assert_eq!(site.stands("app"), "ready 2");
    assert_eq!(site.stands("other"), "pending ", "it was never approved");
}

#[tokio::test(start_paused = true)]
async fn more_powers_wait_until_the_rules_change() {
    let mut site = Site::new(&[("a", "app")]).with(gate(ReloadGate::SamePowers));
    site.put("app.wasm", &component(&json!({"version": "1", "powers": ["files"]})));
    site.start().await;
    site.until("app", "ready 1").await;
    site.stop().await;
    site.compiler.cache.lock().expect("lock").clear();
    let bigger = component(&json!({"version": "2", "powers": ["files", "network"]}));
    site.put("app.wasm", &bigger);
    site.start().await;
    site.until("app", "pending ").await;
    assert!(site.check("a").version().contains("vitald plugin approve app"), "nothing is left to run");
    site.put("app.wasm", &component(&json!({"version": "1", "powers": ["files"]})));
    site.until("app", "ready 1").await;
    site.put("app.wasm", &bigger);
    site.until("app", "pending 1").await;
    assert!(site.info("app").expect("listed").pending.expect("pending").why.ends_with(": network"));
    site.change(|definitions| definitions.rules = gate(ReloadGate::Auto));
    let reloaded = site.reload().await;
    assert_eq!((site.stands("app"), reloaded.plugins), ("ready 2".into(), vec!["app 1 → 2".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_pin_lets_in_one_version() {
    let pinned = plain("2");
    let pins = [(name("app"), inventory::digest_of(&pinned))].into();
    let mut site = Site::new(&[("a", "app")]).with(PluginRules { pins, ..gate(ReloadGate::Manual) });
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "broken ").await;
    assert!(site.info("app").expect("listed").error.expect("why").contains("[plugins] pin"));
    site.put("app.wasm", &pinned);
    site.until("app", "ready 2").await;
    assert_eq!(site.loaded(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn what_would_stop_a_check_that_runs_comes_in_once_the_check_suits() {
    let mut site = Site::new(&[("a", "app")]);
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    site.put("app.wasm", &component(&json!({"version": "2", "schema": {"required": ["must"]}})));
    site.until("app", "kept 1").await;
    assert!(matches!(site.approve("app").await, Err(NotApproved::Unusable(why)) if why.contains("check a")));
    site.change(|definitions| {
        let mut check = CheckDef::clone(&definitions.checks[&name("a")]);
        check.params.insert("must".into(), json!(1));
        check.written.params = check.params.clone();
        definitions.checks.insert(name("a"), Arc::new(check));
    });
    let reloaded = site.reload().await;
    assert_eq!((reloaded.checks.changed, reloaded.troubles), (vec![name("a")], vec![]));
    assert_eq!(site.stands("app"), "ready 2");
}

#[tokio::test(start_paused = true)]
async fn a_file_takes_a_bundled_checkers_place_only_where_that_is_allowed() {
    let mut site = Site::new(&[("a", "tcp")]);
    site.put("tcp.wasm", &plain("mine"));
    site.start().await;
    site.until("tcp", "kept bundled").await;
    assert!(site.notice("a").contains("override = [\"tcp\"]"), "{}", site.notice("a"));
    site.change(|definitions| definitions.rules.overrides.insert(name("tcp")).then_some(()).expect("new"));
    site.reload().await;
    site.until("tcp", "ready mine").await;
    site.put("tcp.wasm", &component(&json!({"version": "odd", "error": "odd"})));
    site.until("tcp", "kept mine").await;
    fs::remove_file(site.path("tcp.wasm")).expect("remove");
    site.until("tcp", "ready bundled").await;
    assert_eq!(site.info("tcp").expect("listed").source, "bundled");
}

#[tokio::test(start_paused = true)]
async fn while_a_file_does_not_work_the_bundled_checker_runs() {
    let overrides = [name("tcp")].into();
    let mut site = Site::new(&[("a", "tcp")]).with(PluginRules { overrides, ..PluginRules::default() });
    site.put("tcp.wasm", &component(&json!({"version": "odd", "error": "odd"})));
    site.start().await;
    site.until("tcp", "kept bundled").await;
    assert!(site.check("a").is_ready());
}
