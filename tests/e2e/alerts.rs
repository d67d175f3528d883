//! The alerts of `agent/deploy`: each fires for its fault and for no other.
//!
//! The series are those of real agents, recorded: before its fault is there no alert fires, afterwards exactly its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{
    Agent, Alert, Alertmanager, Disk, Etcd, Proxy, Recorder, Redis, Site, Way, check, deployed, eventually, guest,
    mounts, promtool_passes, service, that, write,
};

const SOON: Duration = Duration::from_secs(20);
pub const RULES: &str = "prometheus/vitald.rules.yml";
const KEY: &str = "/services/shop/shop-host-1";
const MIB: u64 = 1 << 20;

fn redis_check(name: &str, proxy: &Proxy, interval: &str, timeout: &str) -> crate::harness::Table {
    let check = check(name, "redis").target(&format!("redis://127.0.0.1:{}", proxy.port()));
    check.with("interval", interval).with("timeout", timeout).with("retry_interval", "100ms")
}

/// A host with a check for each fault, and with the files that break.
struct Host {
    agent: Agent,
    site: Site,
    proxies: BTreeMap<&'static str, Proxy>,
    _redis: Redis,
}

impl Host {
    fn start() -> Self {
        let redis = Redis::start();
        // Name, interval, timeout: no timeout is longer than its interval.
        let checks = [
            ("well", "150ms", "150ms"),
            ("gone", "150ms", "150ms"),
            ("flaky", "150ms", "150ms"),
            ("slow", "750ms", "750ms"),
            ("late", "1500ms", "1500ms"),
        ];
        let proxies: BTreeMap<_, _> = checks.iter().map(|(name, ..)| (*name, Proxy::before(redis.port()))).collect();
        let site = Site::new();
        site.drop_in(
            "checks",
            checks.map(|(name, interval, timeout)| redis_check(name, &proxies[name], interval, timeout)),
        );
        site.plugin("odd", guest("noop"));
        site.plugin("old", guest("noop"));
        site.drop_in("plugins", [check("odd", "odd"), check("old", "old")]);
        let agent = site.start();
        checks.iter().map(|(name, ..)| *name).chain(["odd", "old"]).for_each(|check| agent.until(check, "UP"));
        Self { agent, site, proxies, _redis: redis }
    }
}

#[test]
fn each_fault_of_a_check_or_a_file_raises_its_own_alert() {
    let host = Host::start();
    let mut record = Recorder::new("host-1");
    record.minutes(&host.agent, 11);
    record.expect_silence("everything is well");

    host.proxies["gone"].goes(Way::Shut);
    host.proxies["flaky"].goes(Way::Dropping(4));
    host.proxies["slow"].goes(Way::Delaying(Duration::from_millis(640)));
    host.proxies["late"].goes(Way::Delaying(Duration::from_millis(900)));
    host.site.plugin("odd", guest("trapper"));
    host.site.plugin("old", "\0asm but not really");
    host.site.drop_in_text("broken", "[[check]]\nnam = 1\n");
    record.until(&host.agent, "odd is UNKNOWN", SOON, || host.agent.unknown("odd", "trap"));
    record.minutes(&host.agent, 12);
    for name in ["well", "flaky", "slow", "late"] {
        host.agent.shows(name, "UP").unwrap();
    }
    let broken = [
        Alert("VitaldCheckDown", &[("check", "gone")]),
        Alert("VitaldCheckErrors", &[("check", "flaky")]),
        Alert("VitaldCheckSlow", &[("check", "slow")]),
        Alert("VitaldCheckLatencyHigh", &[("check", "late")]),
        Alert("VitaldCheckUnknown", &[("check", "odd")]),
        Alert("VitaldPluginReloadFailed", &[("plugin", "old")]),
        Alert("VitaldConfigReloadFailed", &[]),
    ];
    record.expect("everything is broken", &broken);

    // What says how it is ends with its fault; what looks back over a window does not yet.
    host.proxies.values().for_each(|proxy| proxy.goes(Way::Open));
    host.site.plugin("odd", guest("noop"));
    host.site.remove_drop_in("broken");
    for name in ["gone", "odd"] {
        record.until(&host.agent, "it is mended", SOON, || host.agent.shows(name, "UP"));
    }
    let config = "vitald_config_last_reload_successful";
    record.until(&host.agent, "the configuration is taken over", SOON, || {
        let seen = host.agent.metrics().get(config, &[]);
        that(seen == Some(1.0), || format!("{seen:?}"))
    });
    record.minutes(&host.agent, 6);
    record.expect("everything is mended", &[broken[1], broken[5]]);
    record.play();
}

/// A service that is registered, whose check goes through a proxy.
pub fn shop(etcd: &Etcd, proxy: &Proxy) -> Site {
    let site = Site::new().registered_at(etcd).with("registry", "keep_at_least = 1");
    site.drop_in("shop", [service("shop"), redis_check("cache", proxy, "400ms", "300ms").of("shop")]);
    site
}

pub fn gauge(agent: &Agent, name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), String> {
    let seen = agent.metrics().get(name, labels);
    that(seen == Some(value), || format!("{name} is {seen:?}"))
}

#[test]
fn each_fault_of_the_registry_raises_its_own_alert() {
    let (mut etcd, redis) = (Etcd::start(), Redis::start());
    let proxy = Proxy::before(redis.port());
    let site = shop(&etcd, &proxy);
    let agent = site.start();
    let registered = || gauge(&agent, "vitald_service_registered", &[("service", "shop")], 1.0);
    eventually("it is registered", SOON, registered);
    let mut record = Recorder::new("host-1");
    record.minutes(&agent, 6);

    // Killed for less than a TTL: the lease is the same afterwards.
    record.expect_silence("it is registered and well");
    etcd.kill();
    record.until(&agent, "etcd is away", SOON, || gauge(&agent, "vitald_registry_up", &[], 0.0));
    record.minutes(&agent, 2);
    record.expect("etcd is away", &[Alert("VitaldRegistryLost", &[])]);
    etcd.restart();
    record.until(&agent, "etcd is back", SOON, || gauge(&agent, "vitald_registry_up", &[], 1.0));
    record.until(&agent, "it is registered", SOON, registered);
    record.minutes(&agent, 1);
    record.expect("etcd is back", &[]);

    proxy.goes(Way::Shut);
    record.until(&agent, "it is held", SOON, || gauge(&agent, "vitald_registry_removal_held", &[], 1.0));
    record.minutes(&agent, 2);
    let held = [
        Alert("VitaldCheckDown", &[("check", "cache"), ("service", "shop")]),
        Alert("VitaldServiceDown", &[("service", "shop")]),
        Alert("VitaldRemovalHeld", &[]),
    ];
    record.expect("the last instance is DOWN and held", &held);
    proxy.goes(Way::Open);
    record.until(&agent, "none is held", SOON, || gauge(&agent, "vitald_registry_removal_held", &[], 0.0));
    record.until(&agent, "it is UP", SOON, || agent.shows("cache", "UP"));
    record.minutes(&agent, 6);
    record.expect("it is UP", &[]);

    etcd.put_leased(KEY, r#"{"id":"shop-host-1","agent":"host-7","owner":"somebody-else"}"#, etcd.grant(600));
    record.until(&agent, "the conflict is seen", SOON, || gauge(&agent, "vitald_registry_conflict", &[], 1.0));
    record.minutes(&agent, 2);
    record.expect("another has the key", &[Alert("VitaldRegistryConflict", &[])]);
    record.minutes(&agent, 4);
    let native = [("service", "shop"), ("dialect", "native")];
    eventually("it is not registered", SOON, || gauge(&agent, "vitald_service_registered", &native, 0.0));
    let unregistered = Alert("VitaldServiceNotRegistered", &[("service", "shop"), ("dialect", "native")]);
    record.expect("another keeps the key", &[Alert("VitaldRegistryConflict", &[]), unregistered]);
    etcd.delete(KEY);
    record.until(&agent, "it is registered", SOON, registered);
    record.minutes(&agent, 1);
    record.expect("the other is gone", &[]);

    let lease = etcd.get(KEY).expect("it is registered").lease;
    etcd.must(async |client| client.lease_revoke(lease).await);
    let lost = || gauge(&agent, "vitald_registry_leases_lost_total", &[], 1.0);
    record.until(&agent, "the lease is lost", SOON, lost);
    record.minutes(&agent, 1);
    record.expect("the lease was lost", &[Alert("VitaldLeaseLost", &[])]);
    record.play();
}

/// The kernel's files as an agent of that site sees them; returns one that may be altered.
fn kernel_files(site: &Site) -> PathBuf {
    let own = site.path().join("proc");
    std::fs::create_dir(&own).unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "1" || name.parse::<u32>().is_err() {
            std::os::unix::fs::symlink(entry.path(), own.join(name)).unwrap();
        }
    }
    let loadavg = own.join("loadavg");
    write(&loadavg, "0.10 0.20 0.30 1/234 5678\n");
    loadavg
}

#[test]
fn faults_of_the_host_and_of_the_agent_raise_their_own_alerts() {
    let disk = |mib| Disk::of(mib * MIB);
    // The third is one that nobody can write to in the end, the last is too small to count.
    let (mut filling, steady, mut sealed, mut tiny) = (disk(1024), disk(1024), disk(1024), disk(256));
    for disk in [&mut filling, &mut sealed] {
        disk.fill(500 * MIB);
    }
    let site = Site::new()
        .with("host", "interval = \"1s\"\nprocfs = \"proc\"")
        .with("host.textfile", "directory = \"textfiles\"");
    let textfile = site.path().join("textfiles/backup.prom");
    std::fs::create_dir(site.path().join("textfiles")).unwrap();
    write(&textfile, "backup_age_seconds 7\n");
    let loadavg = kernel_files(&site);
    let mut agent = site.start();
    let seen = |mount: &str| {
        let seen = agent.metrics().get("node_filesystem_avail_bytes", &[("mountpoint", mount)]);
        that(seen.is_some(), || "it is not listed".to_owned())
    };
    for disk in [&filling, &steady, &sealed, &tiny] {
        eventually("the disk is seen", SOON, || seen(disk.mount_point()));
    }
    let mut record = Recorder::new("host-1").with_mounts(mounts());
    // A trend is believed once it has half an hour behind it.
    record.minutes(&agent, 30);
    record.expect_silence("nothing fills, nothing is broken");
    write(&textfile, "backup_age_seconds seven\n");
    write(&loadavg, "much\n");
    for _ in 0..8 {
        [&mut filling, &mut sealed].into_iter().for_each(|disk| disk.fill(30 * MIB));
        tiny.fill(25 * MIB);
        record.minutes(&agent, 1);
    }
    sealed.read_only();
    record.minutes(&agent, 9);
    let mount_point = filling.mount_point().to_owned().leak();
    let labels: &'static [_] = vec![("mountpoint", &*mount_point)].leak();
    let broken = [
        Alert("VitaldDiskFullSoon", labels),
        Alert("VitaldTextfileBad", &[]),
        Alert("VitaldHostCollectorFailed", &[("collector", "loadavg")]),
    ];
    record.expect("one fills, two files are broken", &broken);

    agent.kill();
    record.minutes(&agent, 2);
    record.expect("the agent is dead", &[Alert("VitaldAgentDown", &[])]);
    record.play();
}

/// Series of what no test brings about, by hand, and the words that people read.
#[test]
fn alerts_say_what_to_do_and_the_rest_of_them_fire() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("by-hand.test.yml");
    let rules = deployed(RULES).canonicalize().unwrap();
    write(&file, include_str!("alerts.test.yml").replace("RULES", &rules.display().to_string()));
    promtool_passes(&["test", "rules"], &file);
}

#[test]
fn the_graver_alert_silences_the_lesser() {
    let alertmanager = Alertmanager::start(&deployed("alertmanager/alertmanager.yml"));
    let on = |host: &str, name: &str, severity: &str, rest: &[&str]| {
        let labels = [format!("alertname={name}"), format!("severity={severity}"), format!("instance={host}")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).chain(rest.iter().copied()).collect();
        alertmanager.fires(&labels);
    };
    on("a", "VitaldAgentDown", "critical", &[]);
    on("a", "VitaldLeaseLost", "warning", &[]);
    on("a", "NodeHighLoad", "warning", &[]);
    on("b", "VitaldServiceDown", "critical", &["service=shop"]);
    on("b", "VitaldCheckDown", "warning", &["service=shop", "check=cache"]);
    on("b", "VitaldCheckErrors", "warning", &["check=cache"]);
    on("b", "VitaldCheckSlow", "warning", &["check=other"]);
    on("b", "VitaldEgressDenied", "info", &["check=other"]);
    on("b", "VitaldConfigReloadFailed", "warning", &[]);
    on("c", "VitaldCheckDown", "warning", &["service=shop", "check=cache"]);
    on("c", "VitaldRegistryLost", "critical", &[]);
    on("c", "VitaldServiceNotRegistered", "warning", &["service=shop"]);
    let inhibited = [
        "VitaldCheckDown/b/cache",
        "VitaldCheckErrors/b/cache",
        "VitaldEgressDenied/b/other",
        "VitaldLeaseLost/a/",
        "VitaldServiceNotRegistered/c/",
    ];
    let told = [
        "NodeHighLoad/a/",
        "VitaldAgentDown/a/",
        "VitaldCheckDown/c/cache",
        "VitaldCheckSlow/b/other",
        "VitaldConfigReloadFailed/b/",
        "VitaldRegistryLost/c/",
        "VitaldServiceDown/b/",
    ];
    eventually("these are told, those are not", SOON, || {
        let seen = alertmanager.inhibited()?;
        that(seen.0 == inhibited && seen.1 == told, || format!("{seen:?}"))
    });
}
