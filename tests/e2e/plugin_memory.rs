//! What was let in is remembered; a memory that is lost is no way around the gate.

use std::fs;

use crate::control::done;
use crate::harness::{Site, eventually, guest};
use crate::plugin_files::{ONE, SOON, plugin_is, running, says, warnings};
use crate::plugin_gate::{approved, gated, stopped};

/// Both plugins wait, however often the agent is started.
fn nothing_is_taken_as_approved(site: &Site) {
    for _ in 0..2 {
        // The first start of all took what was there.
        let before = fs::read_to_string(site.log()).unwrap().len();
        let mut agent = site.start();
        for plugin in ["app", "mine"] {
            let seen = plugin_is(&agent, plugin, "pending");
            assert!(seen["pending"]["why"].as_str().unwrap().contains("not known any more"), "{seen}");
        }
        assert!(warnings(&agent).iter().any(|line| line.contains("not known any more")), "{}", agent.log());
        assert!(!agent.log()[before..].contains("taken as approved"), "{}", agent.log());
        stopped(&mut agent);
    }
}

#[test]
fn a_memory_that_is_damaged_approves_nothing() {
    for reload in ["manual", "same-powers"] {
        let site = gated(&format!("reload = \"{reload}\""));
        site.plugin("mine", guest("noop"));
        let mut agent = running(&site);
        plugin_is(&agent, "mine", "ready");
        stopped(&mut agent);
        site.plugin("mine", guest("noop_net"));
        let memory = site.path().join("state/plugins.json");
        let written = fs::read(&memory).unwrap();
        fs::write(&memory, &written[..20]).unwrap();
        nothing_is_taken_as_approved(&site);
        assert!(site.path().join("state/plugins.json.unusable").exists());

        // What is approved stays so, and then the loss is over.
        let mut agent = site.start();
        plugin_is(&agent, "app", "pending");
        approved(&site, &agent, ONE);
        stopped(&mut agent);
        let mut agent = site.start();
        plugin_is(&agent, "app", "ready");
        plugin_is(&agent, "mine", "pending");
        done(&site, &["plugin", "approve", "mine"]);
        plugin_is(&agent, "mine", "ready");
        stopped(&mut agent);
        let agent = site.start();
        site.plugin("new", guest("noop"));
        plugin_is(&agent, "new", if reload == "manual" { "pending" } else { "ready" });
    }
}

#[test]
fn a_memory_that_is_put_back_is_taken_up_again() {
    let site = gated("reload = \"manual\"");
    site.plugin("mine", guest("noop"));
    let mut agent = running(&site);
    plugin_is(&agent, "mine", "ready");
    stopped(&mut agent);
    let (memory, kept) = (site.path().join("state/plugins.json"), site.path().join("state/kept"));
    fs::rename(&memory, &kept).unwrap();
    // Whoever opens it is led in a circle, whoever he is.
    std::os::unix::fs::symlink(&memory, &memory).unwrap();
    nothing_is_taken_as_approved(&site);
    fs::rename(&kept, &memory).unwrap();
    let agent = site.start();
    for plugin in ["app", "mine"] {
        plugin_is(&agent, plugin, "ready");
    }
    eventually("it judges", SOON, || says(&agent, ONE));
}
