//! `vitald services`: who is registered, on a terminal.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use etcd_client::Permission;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::discovery::{SOON, TTL, age, instance, knows, put, until_knows, words};
use crate::harness::{
    Cluster, Etcd, Server, Site, cheap_passwords, eventually, program, that, throughout, timed, vitald, write,
};

/// `vitald services --watch`, with its output.
struct Following {
    server: Server,
    _dir: TempDir,
}

impl Following {
    fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(program());
        command.args(["services", "--watch"]).args(arguments);
        let server = Server::start("", &mut command, &dir.path().join("output"));
        Self { server, _dir: dir }
    }

    /// Everything that it printed last at once.
    fn last(&self) -> String {
        let log = self.server.log();
        let from = log.rfind("instances: ").unwrap_or_default();
        log[from..].to_owned()
    }

    fn until(&self, what: &str, budget: Duration, fits: impl Fn(&str) -> bool) {
        eventually(what, budget, || that(fits(&self.last()), || self.server.log()));
    }

    /// Waits until the last object has these instances of `shop`, and says that etcd is away or does not.
    fn until_json(&self, ids: &str, away: bool) {
        let expected = (format!("shop: {ids}"), away);
        eventually(&format!("{expected:?} as JSON"), SOON, || {
            let log = self.server.log();
            // What has no end yet is still being written.
            let line = log.rsplit_once('\n').and_then(|(whole, _)| whole.lines().last());
            let seen = line.map(|line| {
                let last: Value = serde_json::from_str(line).expect("an object a line");
                (words(&last), last.get("error").is_some())
            });
            that(seen.as_ref() == Some(&expected), || log)
        });
    }

    /// As Ctrl-C does.
    fn end(mut self) -> i32 {
        self.server.signal(Signal::INT);
        self.server.end(SOON)
    }
}

#[test]
fn services_are_printed() {
    let etcd = Etcd::start();
    let url = etcd.url();
    let services = |arguments: &[&str]| vitald(&[&["services", "--endpoints", &url], arguments].concat());
    let none = services(&[]);
    assert_eq!((none.code, none.stdout.as_str()), (0, "no instance is registered\n"));
    put(&etcd, "shop", "a");
    put(&etcd, "web", "w");
    etcd.put("/services/shop/b", &instance("shop", "b", "DOWN"));
    etcd.put("/other/web/x", &instance("web", "x", "UP"));

    let table = services(&[]);
    let expected = "\
SERVICE  INSTANCE  STATUS  ADDRESS      AGE  AGENT  TAGS
shop     a         UP      10.1.2.3:80  -    other  v1,a
shop     b         DOWN    10.1.2.3:80  -    other  v1,a
web      w         UP      10.1.2.3:80  -    other  v1,a
";
    assert_eq!((table.code, table.stdout.as_str()), (0, expected), "{}", table.stderr);
    let one = services(&["web"]);
    assert!(one.code == 0 && one.stdout.contains("web") && !one.stdout.contains("shop"), "{}", one.stdout);
    let elsewhere = services(&["--prefix", "/other"]);
    assert!(elsewhere.stdout.contains(" x ") && elsewhere.stdout.lines().count() == 2, "{}", elsewhere.stdout);
    let unknown = services(&["nobody"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("no instance of nobody"), "{}", unknown.stderr);
    assert_eq!(services(&["Not A Name"]).code, 64);

    let object = services(&["shop", "--json"]);
    let object: Value = serde_json::from_str(&object.stdout).expect("one object");
    assert_eq!((words(&object).as_str(), &object["age_ms"]), ("shop: a b", &0.0.into()));
    assert_eq!(object["services"][0]["instances"][0]["metadata"]["zone"], "z1");

    // As the agent of this host is configured.
    let site = Site::new().registered_at(&etcd).with("registry", "prefix = \"/other\"");
    let main = site.main();
    let configured = vitald(&["services", "--config", main.to_str().expect("UTF-8")]);
    assert_eq!((configured.code, &configured.stdout), (0, &elsewhere.stdout), "{}", configured.stderr);
}

#[test]
fn services_are_read_as_a_user() {
    let etcd = Etcd::with(cheap_passwords());
    put(&etcd, "shop", "a");
    etcd.demand_users();
    etcd.add_user("reader", "pass word");
    let shop = || Permission::read("/services/shop/").with_prefix();
    etcd.must(async |client| client.role_grant_permission("reader", shop()).await);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (right, wrong) = (dir.path().join("right"), dir.path().join("wrong"));
    write(&right, "pass word\n");
    write(&wrong, "word");
    let url = etcd.url();
    let services = |name: &[&str], password: Option<&Path>| {
        let user = password.map(|file| ["--username", "reader", "--password-file", file.to_str().expect("UTF-8")]);
        let user = user.iter().flatten().copied().collect::<Vec<_>>();
        vitald(&[&["services", "--endpoints", &url], name, &user].concat())
    };
    let read = services(&["shop"], Some(&right));
    assert!(read.code == 0 && read.stdout.contains("shop     a "), "{}", read.stderr);
    let refused = [
        (services(&["shop"], None), "etcd wants a user"),
        (services(&["shop"], Some(&wrong)), "look at username and password"),
        (services(&[], Some(&right)), "lacks a permission"),
    ];
    for (ended, why) in refused {
        assert!(ended.code == 69 && ended.stderr.contains(why) && ended.stderr.contains(&url), "{}", ended.stderr);
    }
}

#[test]
fn services_without_etcd_name_every_endpoint() {
    let (dead, other) = (Etcd::absent(), Etcd::absent());
    let endpoints = [dead.url(), other.url()].join(",");
    for arguments in [&["services", "--endpoints", &endpoints][..], &["services", "--watch", "--endpoints", &endpoints]]
    {
        let ended = vitald(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (69, ""), "{}", ended.stderr);
        for url in [dead.url(), other.url()] {
            assert!(ended.stderr.contains(&format!("{url}: connect: refused")), "{}", ended.stderr);
        }
    }
    // One that answers is enough.
    let etcd = Etcd::start();
    let endpoints = [dead.url(), etcd.url()].join(",");
    assert_eq!(vitald(&["services", "--endpoints", &endpoints]).code, 0);
    assert_eq!(vitald(&["services", "--prefix", "services", "--endpoints", &endpoints]).code, 64);
}

#[test]
fn services_are_followed_while_etcd_goes_and_comes() {
    let mut etcd = Etcd::start();
    put(&etcd, "shop", "a");
    let following = Following::start(&["--endpoints", &etcd.url()]);
    let lines = Following::start(&["--json", "--endpoints", &etcd.url()]);
    following.until("the table is printed", SOON, |last| last.contains("shop     a "));
    lines.until_json("a", false);
    put(&etcd, "shop", "b");
    following.until("it is printed again", SOON, |last| last.contains("shop     a ") && last.contains("shop     b "));
    lines.until_json("a b", false);

    etcd.kill();
    following.until("the age is said", SOON, |last| last.contains("etcd is away, this is "));
    following.until("and said again", SOON, |last| last.matches("etcd is away, this is ").count() > 1);
    lines.until_json("a b", true);
    etcd.restart();
    following.until("it is whole again", SOON, |last| last.contains("shop     b ") && !last.contains("away"));
    lines.until_json("a b", false);
    etcd.delete("/services/shop/a");
    following.until("a is gone", SOON, |last| last.contains("shop     b ") && !last.contains("shop     a "));
    lines.until_json("b", false);
    assert_eq!(following.end(), 0);
    assert_eq!(lines.end(), 0);
}

#[test]
fn a_watch_survives_leaders_members_and_the_network() {
    // Before the cluster: it waits while a test wants the machine alone.
    let site = Site::new();
    let mut cluster = Cluster::start();
    let site = site.registered_at_all(&cluster.urls()).with("discovery", "watch = [\"shop\"]");
    let put = |cluster: &Cluster, id: &str| {
        cluster.put(&format!("/services/shop/{id}"), &instance("shop", id, "UP"));
    };
    put(&cluster, "a");
    let agent = site.start();
    until_knows(&agent, "shop: a");
    let following = Following::start(&["shop", "--config", site.main().to_str().expect("UTF-8")]);
    let both_know = |what: &str, ids: &str| {
        timed(&format!("{what} until a new instance is known"), SOON * 2, || {
            knows(&agent, "", &format!("shop: {ids}"))?;
            let last = following.last();
            that(ids.split(' ').all(|id| last.contains(&format!("shop     {id} "))), || last.clone())
        });
    };
    both_know("nothing", "a");

    let leader = cluster.leader();
    cluster.kill(leader);
    put(&cluster, "b");
    both_know("the leader is killed", "a b");
    cluster.restart(leader);

    // Its connections stay open, and nothing comes.
    let used = cluster.used_by_agent();
    let stopped = used[0];
    cluster.stop(stopped);
    put(&cluster, "c");
    both_know("a member is stopped", "a b c");
    cluster.cont(stopped);
    cluster.until_all_healthy();

    cluster.cut_agent();
    eventually("its age is said", SOON, || that(age(&agent) > 0.0, || "0".into()));
    put(&cluster, "d");
    throughout("the last set is kept", TTL, || knows(&agent, "", "shop: a b c"));
    cluster.heal_agent();
    both_know("the network is mended", "a b c d");
    assert_eq!(following.end(), 0);
}
