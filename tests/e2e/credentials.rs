//! etcd wants to know who comes: users, roles and tokens. What is missing or wrong is named, and costs no more than it
//! must.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::dialects::{
    FOUR, GRPC_KEY, SKYDNS_KEY, TRAEFIK_KEY, falls, happened, in_four, rises, settled_in, shop_of, shows_registered,
    texts, there,
};
use crate::harness::{
    Agent, Etcd, Site, Tokens, cheap_passwords, check, eventually, guest, report, service, tally, that, throughout,
};
use crate::registration::{AGENT_KEY, KEY};

const SOON: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(5);
const PASSWORD: &str = "p@ss:word/1";

/// Registers as `vitald`, with the password of a secret file.
fn as_vitald(site: Site, password: &str) -> Site {
    site.secret("etcd-password", &format!("{password}\n"));
    site.with("registry", "username = \"vitald\"\npassword = \"${file:etcd-password}\"")
}

/// A cluster that knows users, and of them `vitald`.
fn asking() -> Etcd {
    let etcd = Etcd::with(cheap_passwords());
    etcd.demand_users();
    etcd.add_user("vitald", PASSWORD);
    etcd
}

/// May do what an agent with the dialect `native` does.
fn permit(etcd: &Etcd) {
    for prefix in ["/services/", "/vitald/agents/"] {
        etcd.operator(Path::new("/"), &format!("etcdctl role grant-permission --prefix vitald readwrite {prefix}"));
    }
}

/// Lines of the log of at least that weight.
fn complaints(agent: &Agent) -> Vec<String> {
    let log = agent.log();
    let heavy = log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR "));
    heavy.map(ToOwned::to_owned).collect()
}

/// Waits for a line of the log that has all of this; returns it.
fn says(agent: &Agent, words: &[&str]) -> String {
    eventually(&format!("the log has {words:?}"), SOON, || {
        let complaints = complaints(agent);
        let line = complaints.iter().find(|line| words.iter().all(|word| line.contains(word)));
        line.cloned().ok_or_else(|| complaints.join("\n"))
    })
}

fn count_of(agent: &Agent, reason: &str) -> f64 {
    agent.metrics().sum("vitald_registry_errors_total", &[("reason", reason)])
}

/// What the README tells an operator to run.
fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(path).unwrap();
    let block = readme.split("```").find(|block| block.contains("etcdctl role add")).expect("the README has the lines");
    block.trim_start_matches("sh\n").to_owned()
}

#[test]
fn the_readmes_lines_for_a_role_are_enough_for_everything() {
    let etcd = Etcd::with(cheap_passwords());
    etcd.demand_users();
    let site = in_four(Site::new().registered_at(&etcd)).with("registry", "keep_at_least = 1");
    let site = shop_of(as_vitald(site, PASSWORD));
    etcd.operator(&site.path().join("secrets"), &readme());
    let mut agent = site.start();
    settled_in(&site, &etcd, &FOUR);

    for key in FOUR {
        etcd.delete(key);
    }
    eventually("own keys are watched", Duration::from_secs(2), || there(&etcd, &FOUR));
    falls(&site);
    agent.until("app", "DOWN");
    eventually("the others are counted: there are none", SOON, || {
        let held = etcd.get(KEY).is_some_and(|key| key.value["held"] == true);
        that(held, || format!("{:?}", etcd.get(KEY)))
    });
    rises(&site);
    agent.until("app", "UP");
    let other = "/services/shop/another";
    let lease = etcd.grant(600);
    etcd.put_leased(other, r#"{"id":"another","service":"shop","address":"10.0.0.1","port":1}"#, lease);
    falls(&site);
    eventually("one is enough", SOON, || there(&etcd, &[other]));
    rises(&site);
    eventually("it is back", SOON, || there(&etcd, &[&FOUR[..], &[other]].concat()));
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    there(&etcd, &[other]).unwrap();
    assert_eq!((etcd.get(AGENT_KEY), etcd.leases()), (None, vec![lease]), "ours is revoked");
    let log = agent.log();
    assert!(!log.contains("permission") && !log.contains("may not"), "{log}");
    report("the README's role: register, watch, count, hold, remove, revoke", "no refusal", "no refusal");
}

#[test]
fn a_role_that_lacks_a_dialect_loses_that_dialect_alone() {
    let mut etcd = Etcd::with(cheap_passwords());
    etcd.demand_users();
    let site = shop_of(as_vitald(in_four(Site::new().registered_at(&etcd)), PASSWORD));
    let (without, grpc): (Vec<String>, Vec<String>) =
        readme().lines().map(ToOwned::to_owned).partition(|line| !line.contains(" grpc/"));
    etcd.operator(&site.path().join("secrets"), &without.join("\n"));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY, SKYDNS_KEY, TRAEFIK_KEY]);
    says(&agent, &["ERROR", "\"grpc\"", "README"]);
    shows_registered(&agent, "grpc", 0.0);
    for dialect in ["native", "skydns", "traefik"] {
        shows_registered(&agent, dialect, 1.0);
    }
    agent.answers("/health", 200).unwrap();

    // The others follow the service as ever, and are watched.
    etcd.delete(KEY);
    eventually("it is back", Duration::from_secs(2), || there(&etcd, &[KEY, SKYDNS_KEY, TRAEFIK_KEY]));
    falls(&site);
    eventually("they are gone", SOON, || there(&etcd, &[]));
    rises(&site);
    eventually("they are back", SOON, || there(&etcd, &[KEY, SKYDNS_KEY, TRAEFIK_KEY]));
    let errors = complaints(&agent).iter().filter(|line| line.contains("ERROR ")).count();
    report(
        "a role without permission on grpc",
        &format!("native, skydns and traefik registered, {errors} error line"),
        "the same, 1 error line",
    );
    assert_eq!(errors, 1, "{:?}", complaints(&agent));
    assert_eq!(count_of(&agent, "credentials") + count_of(&agent, "token"), 0.0);

    etcd.operator(Path::new("/"), &grpc.join("\n"));
    // A new session compares everything; without one it takes a minute at most.
    let before = etcd.revision();
    etcd.kill();
    etcd.restart();
    eventually("grpc too", SOON, || there(&etcd, &FOUR));
    shows_registered(&agent, "grpc", 1.0);
    let seen = happened(&etcd, before);
    report("the permission is granted", &tally(&texts(&seen)), "1 PUT");
    assert!(matches!(texts(&seen)[..], [put] if put.starts_with(&format!("PUT {GRPC_KEY} "))), "{seen:?}");
}

#[test]
fn a_role_that_lacks_the_agents_own_key_registers_the_services() {
    let etcd = asking();
    etcd.operator(Path::new("/"), "etcdctl role grant-permission --prefix vitald readwrite /services/");
    let site = shop_of(as_vitald(Site::new().registered_at(&etcd), PASSWORD));
    let agent = site.start();
    eventually("registered", SOON, || there(&etcd, &[KEY]));
    says(&agent, &["ERROR", "\"agent\"", "README"]);
    falls(&site);
    eventually("it is gone", SOON, || there(&etcd, &[]));
    rises(&site);
    eventually("it is back", SOON, || there(&etcd, &[KEY]));
    assert_eq!(etcd.get(AGENT_KEY), None);
    assert_eq!(complaints(&agent).len(), 1, "{:?}", complaints(&agent));
    report("a role without permission on /vitald/agents/", "the services registered, 1 error line", "the same");
}

#[test]
fn a_wrong_password_is_named_with_its_endpoint() {
    let etcd = asking();
    permit(&etcd);
    let site = shop_of(as_vitald(Site::new().registered_at(&etcd), "wrong"));
    let agent = site.start();
    let line = says(&agent, &["credentials", "username and password", &etcd.url()]);
    assert!(!line.contains("wrong"), "the password is quoted: {line}");
    agent.until_health(200);
    eventually("it goes on trying", SOON, || {
        that(count_of(&agent, "credentials") >= 3.0, || format!("{}", count_of(&agent, "credentials")))
    });
    assert_eq!(complaints(&agent).len(), 1, "one line: {:?}", complaints(&agent));
    report("wrong password", &tail(&line), "credentials, the setting and the endpoint");

    // The password is made to fit: nothing is restarted.
    etcd.must(async |client| client.user_change_password("vitald", "wrong").await);
    eventually("registered", SOON, || there(&etcd, &[KEY]));
}

#[test]
fn a_missing_user_is_named_with_its_endpoint() {
    let etcd = asking();
    let site = shop_of(Site::new().registered_at(&etcd));
    let agent = site.start();
    let line = says(&agent, &["credentials", "etcd wants a user", "username and password", &etcd.url()]);
    agent.until_health(200);
    eventually("it goes on trying", SOON, || {
        that(count_of(&agent, "credentials") >= 3.0, || format!("{}", count_of(&agent, "credentials")))
    });
    assert_eq!(complaints(&agent).len(), 1, "one line: {:?}", complaints(&agent));
    report("no user where etcd wants one", &tail(&line), "credentials, the setting and the endpoint");
}

/// What the line says, without its time.
fn tail(line: &str) -> String {
    line.split_once("unreachable").map_or(line, |(_, tail)| tail).trim().to_owned()
}

#[test]
fn credentials_may_be_there_before_etcd_wants_them() {
    let etcd = Etcd::with(cheap_passwords());
    let site = shop_of(as_vitald(Site::new().registered_at(&etcd), PASSWORD));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY]);
    assert_eq!(complaints(&agent), Vec::<String>::new());

    etcd.add_user("vitald", PASSWORD);
    permit_without_auth(&etcd);
    let before = etcd.revision();
    etcd.demand_users();
    throughout("the key is there", TTL * 2, || there(&etcd, &[KEY]));
    let seen = happened(&etcd, before);
    report("auth enabled, credentials configured", &tally(&texts(&seen)), "nothing");
    assert_eq!(seen, []);
    falls(&site);
    eventually("it is gone", SOON, || there(&etcd, &[]));
    rises(&site);
    eventually("it is back", SOON, || there(&etcd, &[KEY]));
}

fn permit_without_auth(etcd: &Etcd) {
    use etcd_client::Permission;
    for prefix in ["/services/", "/vitald/agents/"] {
        let permission = || Permission::read_write(prefix).with_prefix();
        etcd.must(async |client| client.role_grant_permission("vitald", permission()).await);
    }
}

#[test]
fn auth_that_is_enabled_under_an_agent_without_a_user_deletes_nothing() {
    let etcd = Etcd::with(cheap_passwords());
    let site = shop_of(Site::new().registered_at(&etcd));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY]);
    let before = etcd.revision();
    etcd.demand_users();
    throughout("the key is there", TTL * 2, || there(&etcd, &[KEY]));
    // What it wants to change it cannot, and says so; what is there stays.
    falls(&site);
    agent.until("app", "DOWN");
    says(&agent, &["credentials", "etcd wants a user", &etcd.url()]);
    throughout("the key is there", TTL * 2, || there(&etcd, &[KEY]));
    let lines = agent.log().lines().filter(|line| line.contains("etcd")).count();
    let seen = happened(&etcd, before);
    report("auth enabled under an agent without a user, 20 s", &tally(&texts(&seen)), "nothing");
    assert_eq!(seen, []);
    assert!(lines <= 6, "{lines} lines of etcd:\n{}", agent.log());

    etcd.admit_everybody();
    eventually("what was not done is done", SOON, || there(&etcd, &[]));
}

/// The agent's own session lives on for as long as it has nothing to write.
#[test]
fn a_password_that_is_changed_under_an_agent_is_named_and_costs_nothing_at_once() {
    let etcd = asking();
    permit(&etcd);
    let site = shop_of(as_vitald(Site::new().registered_at(&etcd), PASSWORD));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY]);
    let before = etcd.revision();
    etcd.must(async |client| client.user_change_password("vitald", "another").await);
    throughout("the key is there", TTL * 2, || there(&etcd, &[KEY]));
    let seen = happened(&etcd, before);
    falls(&site);
    agent.until("app", "DOWN");
    says(&agent, &["credentials", "username and password", &etcd.url()]);
    report("the password is changed under an agent, 10 s", &tally(&texts(&seen)), "nothing");
    assert_eq!(seen, []);
    etcd.must(async |client| client.user_change_password("vitald", PASSWORD).await);
    eventually("what was not done is done", SOON, || there(&etcd, &[]));
    rises(&site);
    eventually("it is back", SOON, || there(&etcd, &[KEY]));
}

#[test]
fn a_password_that_is_changed_in_its_file_too_needs_no_restart() {
    let etcd = asking();
    permit(&etcd);
    let site = shop_of(as_vitald(Site::new().registered_at(&etcd), PASSWORD));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY]);
    etcd.must(async |client| client.user_change_password("vitald", "another").await);
    site.secret("etcd-password", "another\n");
    eventually("it is read", SOON, || that(agent.log().contains("password was changed"), || agent.log()));
    falls(&site);
    eventually("it is gone", SOON * 2, || there(&etcd, &[]));
    rises(&site);
    eventually("it is back", SOON * 2, || there(&etcd, &[KEY]));
}

#[test]
fn tokens_that_expire_are_renewed_without_a_word() {
    let tokens = Tokens::ending_after(5);
    let etcd = Etcd::with(tokens.options());
    etcd.demand_users();
    etcd.add_user("vitald", PASSWORD);
    permit(&etcd);
    let site = as_vitald(Site::new().registered_at(&etcd), PASSWORD);
    site.plugin("noop", guest("noop"));
    rises(&site);
    let (stall, app) = (service("stall"), check("app", "app").of("stall"));
    site.drop_in("shop", [service("shop"), check("well", "noop").of("shop"), stall, app]);
    let agent = site.start();
    let stall = "/services/stall/stall-host-1";
    settled_in(&site, &etcd, &[KEY, stall]);
    // A start of a busy machine may have had something to say.
    let (before, said) = (etcd.revision(), complaints(&agent).len());
    let (begun, mut flips) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(22) {
        falls(&site);
        eventually("it is gone", SOON, || there(&etcd, &[KEY]));
        rises(&site);
        eventually("it is back", SOON, || there(&etcd, &[KEY, stall]));
        flips += 1;
        throughout("the token ages", Duration::from_secs(3), || there(&etcd, &[KEY, stall]));
    }
    let seen = happened(&etcd, before);
    let of_healthy: Vec<&str> = texts(&seen).into_iter().filter(|what| what.contains(KEY)).collect();
    let warned = complaints(&agent).split_off(said);
    let what =
        format!("healthy: {}; the other: {flips} times out and in; {} warnings", tally(&of_healthy), warned.len());
    report("tokens (jwt) that end after 5 s, 22 s", &what, "healthy: nothing; 0 warnings");
    assert_eq!(of_healthy, Vec::<&str>::new());
    assert_eq!(seen.len(), flips * 2, "{seen:?}");
    assert_eq!(warned, Vec::<String>::new());
    assert_eq!(agent.metrics().sum("vitald_registry_leases_lost_total", &[]), 0.0);
}

/// A removal that was refused has not happened: what may go is counted anew.
#[test]
fn the_last_instance_is_kept_although_its_removal_was_refused_once() {
    let etcd = asking();
    permit(&etcd);
    let site = as_vitald(Site::new().registered_at(&etcd).with("registry", "keep_at_least = 1"), PASSWORD);
    let site = shop_of(site);
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY]);
    let other = "/services/shop/another";
    etcd.put_leased(other, r#"{"id":"another","service":"shop","address":"10.0.0.1","port":1}"#, etcd.grant(600));
    let writing = "etcdctl role revoke-permission --prefix vitald /services/";
    etcd.operator(
        Path::new("/"),
        &format!("{writing} && etcdctl role grant-permission --prefix vitald read /services/"),
    );
    falls(&site);
    agent.until("app", "DOWN");
    says(&agent, &["ERROR", "\"native\""]);
    etcd.delete(other);
    let before = etcd.revision();
    etcd.operator(
        Path::new("/"),
        &format!("{writing} && etcdctl role grant-permission --prefix vitald readwrite /services/"),
    );
    eventually("it is held", SOON * 6, || {
        let key = etcd.get(KEY).ok_or("it is gone")?;
        that(key.value["held"] == true, || key.value.to_string())
    });
    let seen = etcd.events_since(before, "/services/");
    report("keep_at_least = 1, a removal refused, then the other one gone", &tally(&seen), "no DELETE, 1 PUT (held)");
    assert_eq!(tally(&seen), "1 PUT");
}

/// The lease cannot be revoked while a key hangs on it that may not be written.
#[test]
fn sigterm_ends_in_order_where_a_dialect_may_not_be_written_any_more() {
    let etcd = asking();
    permit(&etcd);
    etcd.operator(Path::new("/"), "etcdctl role grant-permission --prefix vitald readwrite grpc/");
    let site = as_vitald(Site::new().registered_at(&etcd), PASSWORD);
    let site = shop_of(site.with("registry", "dialects = [\"native\", \"grpc\"]"));
    let mut agent = site.start();
    settled_in(&site, &etcd, &[KEY, GRPC_KEY]);
    let revoked = "etcdctl role revoke-permission --prefix vitald grpc/";
    etcd.operator(Path::new("/"), &format!("{revoked} && etcdctl role grant-permission --prefix vitald read grpc/"));
    agent.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(agent.end(SOON), 0);
    let took = asked.elapsed().as_secs_f64();
    assert_eq!((etcd.get(KEY), etcd.get(AGENT_KEY)), (None, None));
    let log = agent.log();
    assert!(log.contains("the lease is not revoked") && !log.contains("etcd does not answer"), "{log}");
    assert!(log.matches("etcd connected again").count() <= 2, "{log}");
    report("SIGTERM, grpc may not be written any more", &format!("ended after {took:.1} s, 1 warning"), "the same");
    eventually("grpc goes with the lease", TTL * 2, || there(&etcd, &[]));
}
