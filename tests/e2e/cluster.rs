//! A cluster of three members fails in every way that a process or a network can: what a watcher of the registry sees
//! of it, compared with what it should see. TTL 5 s.

use std::time::{Duration, Instant};

use crate::harness::{
    Agent, Cluster, Key, Poll, Site, Watcher, check, eventually, guest, report, service, tally, that, throughout, timed,
};
use crate::registration::{AGENT_KEY, KEY};

const TTL: Duration = Duration::from_secs(5);
/// What no registry fault may cost anything: just below half the TTL.
const SHORT: Duration = Duration::from_millis(2300);
/// Longer than a lease lives without being renewed.
const LONG: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(15);
/// Within which a healthy instance is back once etcd is: min(TTL/3, 5 s) + 1 s.
const BACK: Duration = Duration::from_millis(2670);
/// On a machine that others use too.
const PATIENCE: u32 = 10;

/// A host with services that are always well, registered and watched.
struct Scene {
    watcher: Watcher,
    healthy: Poll,
    agent: Agent,
    before: Key,
    /// How often the log had said that etcd is away when the fault began.
    warned: usize,
    cluster: Cluster,
    _site: Site,
}

impl Scene {
    fn set() -> Self {
        Self::of(&["shop"])
    }

    /// With the member in the lead that the agent uses, or another.
    fn with_leader(used: bool) -> Self {
        let mut scene = Self::set();
        let of_agent = scene.member_of_agent();
        let leader = if used { of_agent } else { scene.others(of_agent)[0] };
        scene.cluster.lead(leader);
        throughout("the registry is up", Duration::from_secs(1), || registry_up(&scene.agent));
        scene.warned = warnings(&scene.agent).len();
        scene
    }

    fn of(services: &[&str]) -> Self {
        // Before the cluster: it waits while a test wants the machine alone.
        let site = Site::new();
        let cluster = Cluster::start();
        let site = site.registered_at_all(&cluster.urls());
        site.plugin("noop", guest("noop"));
        let app = check("app", "noop").of("*");
        site.drop_in("services", services.iter().map(|name| service(name)).chain([app]));
        let agent = site.start();
        // The agent's key is written once everything is decided.
        let there = |key: &str| {
            eventually(&format!("{key} is there"), SOON, || cluster.get(key).ok_or_else(|| "no key".to_owned()))
        };
        let keys: Vec<Key> = keys_of(services).iter().map(|key| there(key)).collect();
        let before = keys[0].clone();
        agent.until_health(200);
        let (watcher, healthy) = (Watcher::start(&cluster, "/"), Poll::start(&agent, "/health", 200));
        Self { watcher, healthy, warned: warnings(&agent).len(), agent, before, cluster, _site: site }
    }

    /// The member that the agent is connected to.
    fn member_of_agent(&self) -> usize {
        eventually("the agent is connected", SOON, || {
            let used = self.cluster.used_by_agent();
            used.first().copied().ok_or_else(|| "to none".to_owned())
        })
    }

    fn others(&self, than: usize) -> Vec<usize> {
        self.cluster.members().filter(|member| *member != than).collect()
    }

    /// For that long the watcher sees nothing.
    fn quiet(&self, length: Duration) {
        throughout("nothing is seen", length, || self.watcher.saw_nothing());
    }

    fn until_up(&self) {
        eventually("the registry is up", SOON, || registry_up(&self.agent));
    }

    /// The fault is over, or the agent has got round it: nothing has changed, and the lease is renewed.
    fn ends_untouched(self, fault: &str, faults: usize) {
        self.until_up();
        self.quiet(LONG);
        let notes = self.watcher.all_notes(&self.cluster);
        report(fault, &tally(&notes), "nothing");
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(self.cluster.get(KEY).as_ref(), Some(&self.before));
        assert_eq!(self.cluster.leases(), [self.before.lease], "one lease per agent");
        assert_eq!(self.agent.metrics().sum("vitald_registry_leases_lost_total", &[]), 0.0);
        self.stayed_well(faults);
    }

    /// etcd revoked a lease that was well: the keys are back at once.
    fn ends_revoked(self, fault: &str, left: i64) {
        let notes = self.watcher.notes();
        let gone = notes.iter().find(|note| note.verb() == "DELETE").expect("something was seen").at;
        let back = self.back("revoked by an old leader until registered", gone, &keys_of(&["shop"]));
        self.until_up();
        let seen = tally(&self.watcher.all_notes(&self.cluster));
        let back = format!("back after {:.1} s", back.as_secs_f64());
        let cause = format!("etcd revoked the lease {left} s early (etcd issue 15247)");
        report(fault, &format!("nothing until SIGCONT, then {seen}: {cause}; {back}"), "nothing");
        assert_eq!(seen, "2 DELETE, 2 PUT");
        let after = self.cluster.get(KEY).expect("it is back");
        assert_eq!(self.cluster.leases(), [after.lease], "one lease per agent");
        self.stayed_well(1);
    }

    /// Whatever etcd did, /health was 200, and a change of state was one line.
    fn stayed_well(self, faults: usize) {
        let warnings = warnings(&self.agent).split_off(self.warned);
        self.healthy.stop();
        // That the lease must have ended is a change of its own.
        let (ended, away): (Vec<_>, Vec<_>) = warnings.iter().partition(|line| line.contains("the lease has ended"));
        assert!(ended.len() <= faults && away.len() <= faults, "more than {faults} changes: {warnings:#?}");
    }

    /// Waits for a PUT of each key; returns how long after that moment 99 % of them were there.
    fn back(&self, what: &str, since: Instant, keys: &[String]) -> Duration {
        let puts = || -> Vec<Duration> {
            let notes = self.watcher.notes();
            let put = |key: &String| notes.iter().find(|note| note.is_put_of(key));
            keys.iter().filter_map(put).map(|note| note.at.saturating_duration_since(since)).collect()
        };
        timed(what, BACK * PATIENCE, || that(puts().len() == keys.len(), || format!("{} are back", puts().len())));
        let mut puts = puts();
        puts.sort();
        let most = (puts.len() * 99).div_ceil(100);
        puts[most - 1]
    }
}

/// Of those services and of the agent.
fn keys_of(services: &[&str]) -> Vec<String> {
    let instances = services.iter().map(|name| format!("/services/{name}/{name}-host-1"));
    instances.chain([AGENT_KEY.to_owned()]).collect()
}

fn registry_up(agent: &Agent) -> Result<(), String> {
    let seen = agent.metrics().get("vitald_registry_up", &[]);
    that(seen == Some(1.0), || format!("vitald_registry_up is {seen:?}"))
}

fn warnings(agent: &Agent) -> Vec<String> {
    agent.log().lines().filter(|line| line.contains("etcd unreachable")).map(ToOwned::to_owned).collect()
}

#[test]
fn a_leader_that_is_killed_is_not_missed() {
    let mut scene = Scene::with_leader(true);
    let leader = scene.cluster.leader();
    scene.cluster.kill(leader);
    scene.quiet(LONG);
    scene.until_up();
    scene.cluster.restart(leader);
    scene.ends_untouched("leader killed, the agent's member", 1);
}

#[test]
fn a_leader_that_is_killed_behind_the_agents_member_is_not_missed() {
    let mut scene = Scene::with_leader(false);
    let leader = scene.cluster.leader();
    scene.cluster.kill(leader);
    scene.quiet(LONG);
    scene.until_up();
    scene.cluster.restart(leader);
    scene.ends_untouched("leader killed, not the agent's member", 1);
}

#[test]
fn a_leader_that_is_stopped_for_less_than_half_the_ttl_is_not_missed() {
    let scene = Scene::with_leader(true);
    let leader = scene.cluster.leader();
    scene.cluster.stop(leader);
    scene.quiet(SHORT);
    scene.cluster.cont(leader);
    scene.ends_untouched("leader stopped (SIGSTOP) for 2.3 s, the agent's member", 1);
}

#[test]
fn a_leader_that_is_stopped_is_not_waited_for() {
    leader_is_stopped(true, "leader stopped (SIGSTOP) for 6 s, the agent's member");
}

#[test]
fn a_leader_that_is_stopped_behind_the_agents_member_is_not_waited_for() {
    leader_is_stopped(false, "leader stopped (SIGSTOP) for 6 s, not the agent's member");
}

/// While it is stopped nothing is seen. Then an old etcd may revoke the lease although it was renewed in time.
fn leader_is_stopped(used_by_agent: bool, fault: &str) {
    let scene = Scene::with_leader(used_by_agent);
    let leader = scene.cluster.leader();
    scene.cluster.stop(leader);
    scene.quiet(LONG);
    scene.until_up();
    let left = scene.cluster.lease_left(scene.before.lease);
    // Longer than is waited below: what goes then has not ended by itself.
    assert!(left >= 2, "the lease was not renewed at the new leader: {left} s are left");
    scene.cluster.cont(leader);
    if scene.cluster.old_leaders_revoke() {
        let wait = Duration::from_secs(1);
        throughout("/health is 200", wait, || scene.agent.answers("/health", 200));
        if scene.watcher.saw_nothing().is_err() {
            return scene.ends_revoked(fault, left);
        }
    }
    scene.ends_untouched(fault, 1);
}

#[test]
fn each_member_is_killed_in_turn() {
    let mut scene = Scene::set();
    for member in scene.cluster.members() {
        scene.cluster.kill(member);
        scene.quiet(TTL);
        scene.until_up();
        scene.cluster.restart(member);
        scene.cluster.until_all_healthy();
    }
    scene.ends_untouched("each member killed for 5 s in turn", 3);
}

#[test]
fn a_quorum_is_lost_for_less_than_half_the_ttl() {
    let mut scene = Scene::set();
    let others = scene.others(scene.member_of_agent());
    others.iter().for_each(|member| scene.cluster.kill(*member));
    scene.quiet(SHORT);
    scene.cluster.restart_all();
    scene.ends_untouched("two members killed for 2.3 s, not the agent's", 1);
}

#[test]
fn a_member_without_its_peers_is_left() {
    let scene = Scene::set();
    let member = scene.member_of_agent();
    scene.cluster.isolate(member);
    scene.quiet(LONG);
    scene.until_up();
    let used = scene.cluster.used_by_agent();
    assert!(!used.is_empty() && !used.contains(&member), "the agent has left member {member}: it uses {used:?}");
    scene.cluster.join(member);
    scene.cluster.until_healthy(member);
    scene.ends_untouched("the agent's member parted from its peers for 6 s", 1);
}

#[test]
fn whatever_member_is_cut_off_is_not_missed() {
    let scene = Scene::set();
    for member in scene.cluster.members() {
        scene.cluster.cut(member);
        scene.quiet(LONG);
        scene.until_up();
        scene.cluster.heal(member);
        scene.cluster.until_all_healthy();
    }
    scene.ends_untouched("each member cut off for 6 s in turn", 3);
}

#[test]
fn an_agent_that_is_cut_off_for_less_than_half_the_ttl_is_not_missed() {
    let scene = Scene::set();
    scene.cluster.cut_agent();
    scene.quiet(SHORT);
    scene.cluster.heal_agent();
    scene.ends_untouched("the agent cut off for 2.3 s", 1);
}

#[test]
fn an_agent_that_is_cut_off_for_longer_than_the_ttl_comes_back() {
    let scene = Scene::set();
    let cut = Instant::now();
    scene.cluster.cut_agent();
    // The last renewal is no older than a third of the TTL.
    scene.quiet(TTL / 2);
    let deleted = |key: &str| scene.watcher.notes().into_iter().find(|note| note.what == format!("DELETE {key}"));
    let gone = eventually("the key goes with the lease", TTL * 2, || deleted(KEY).ok_or_else(|| "it is there".into()));
    eventually("the agent's key too", SOON, || that(deleted(AGENT_KEY).is_some(), || "it is there".into()));
    scene.cluster.heal_agent();
    let back = scene.back("healed until registered (target 2.7 s)", Instant::now(), &keys_of(&["shop"]));
    scene.until_up();
    let notes = scene.watcher.all_notes(&scene.cluster);
    let gone = (gone.at - cut).as_secs_f64();
    let seen = format!("{}; gone after {gone:.1} s, back {:.1} s after healing", tally(&notes), back.as_secs_f64());
    report("the agent cut off for longer than the TTL", &seen, "2 DELETE, 2 PUT; back within 2.7 s");
    assert_eq!(tally(&notes), "2 DELETE, 2 PUT");
    let after = scene.cluster.get(KEY).expect("it is back");
    assert_eq!(after.value, scene.before.value);
    assert_ne!(after.lease, scene.before.lease);
    assert_eq!(scene.cluster.leases(), [after.lease], "one lease per agent");
    assert!(scene.agent.metrics().sum("vitald_registry_leases_lost_total", &[]) >= 1.0, "a lost lease is counted");
    scene.stayed_well(1);
}

#[test]
fn a_cluster_that_is_killed_and_comes_back_with_its_data_changes_nothing() {
    let mut scene = Scene::set();
    scene.cluster.kill_all();
    scene.quiet(LONG);
    scene.cluster.restart_all();
    scene.ends_untouched("all three killed for 6 s, back with data", 1);
}

#[test]
fn a_cluster_that_comes_back_empty_is_filled_again() {
    comes_back_empty(&["shop"], "all three killed, back empty");
}

#[test]
fn sixty_services_come_back_to_an_empty_cluster() {
    let names: Vec<String> = (0..60).map(|n| format!("shop-{n:02}")).collect();
    comes_back_empty(&names.iter().map(String::as_str).collect::<Vec<_>>(), "60 services, all three back empty");
}

fn comes_back_empty(services: &[&str], fault: &str) {
    let keys = keys_of(services);
    let mut scene = Scene::of(services);
    scene.cluster.restart_all_empty();
    let back = scene.back(&format!("{fault}, until registered (target 2.7 s)"), Instant::now(), &keys);
    scene.until_up();
    let notes = scene.watcher.all_notes(&scene.cluster);
    let seen = format!("{}; 99 % back {:.1} s after the cluster", tally(&notes), back.as_secs_f64());
    let expected = format!("1 REREAD, {} PUT", keys.len());
    report(fault, &seen, &format!("{expected}; back within 2.7 s"));
    assert_eq!(tally(&notes), expected);
    let after = scene.cluster.get(&keys[0]).expect("it is back");
    assert_eq!(after.value, scene.before.value);
    assert_eq!(scene.cluster.leases(), [after.lease], "one lease per agent");
    scene.stayed_well(1);
}

#[test]
fn a_member_that_is_wiped_and_joins_again_is_not_missed() {
    let mut scene = Scene::set();
    let member = scene.member_of_agent();
    scene.cluster.wipe(member);
    scene.cluster.until_all_healthy();
    scene.ends_untouched("the agent's member wiped, joined again", 1);
}
