//! The host's numbers are those of node_exporter: the same series with the same labels and types, on this machine and on
//! hosts that nobody has (`tests/roots`).

mod compare;
mod exceptions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use self::compare::{Comparison, Look};
use crate::harness::{
    Agent, Metrics, NodeExporter, Roots, Site, SmallDisk, beside_others, eventually, promtool_remarks, that,
};

/// The scenes that node_exporter survives.
const SURVIVED: [&str; 6] = ["storage", "network", "big", "laptop", "container", "odd"];
/// A look takes two samples of a second each; ten looks, and ten times that.
const SOON: Duration = Duration::from_secs(200);
/// A pass over all collectors takes milliseconds: what is this much younger than a scrape was sampled after it.
const PASS: f64 = 0.5;
/// As often as the agent samples at most.
const INTERVAL: &str = "interval = \"1s\"\n";

/// An agent that looks at a host that there is not.
fn agent_on(roots: &Roots) -> (Site, Agent) {
    let keys = ["procfs", "sysfs", "rootfs", "udev_data"];
    let lines = keys.iter().zip(["proc", "sys", "root", "udev"]);
    let lines: String = lines.map(|(key, below)| format!("{key} = {:?}\n", roots.path(below))).collect();
    let textfile = format!("directory = {:?}\n", roots.path("root/textfile"));
    started(Site::new().with("host", &(INTERVAL.to_owned() + &lines)).with("host.textfile", &textfile))
}

fn live_agent() -> (Site, Agent) {
    started(Site::new().with("host", INTERVAL))
}

fn started(site: Site) -> (Site, Agent) {
    let agent = site.start();
    (site, agent)
}

fn time(metrics: &Metrics) -> Result<f64, String> {
    metrics.get("node_time_seconds", &[]).ok_or_else(|| "no node_time_seconds".to_owned())
}

/// What the agent sampled after that time.
fn sampled_after(agent: &Agent, time_before: f64) -> Metrics {
    eventually("there is a new sample", SOON, || {
        let metrics = agent.metrics();
        let sampled = time(&metrics)?;
        that(sampled > time_before + PASS, || format!("the sample is of {sampled}, asked for after {time_before}"))?;
        Ok(metrics)
    })
}

fn look(exporter: &NodeExporter, agent: &Agent) -> Look {
    let before = exporter.metrics();
    let ours = sampled_after(agent, time(&before).expect("node_exporter has the time"));
    Look { before, ours, after: exporter.metrics() }
}

fn agree(scene: &str, live: bool, exporter: &NodeExporter, agent: &Agent) {
    let mut comparison = Comparison::of(scene, live);
    eventually("agent and node_exporter say the same", SOON, || comparison.look(&look(exporter, agent)));
    comparison.report();
    assert!(comparison.compared() > 100, "only {} series were compared", comparison.compared());
}

fn agree_on(scene: &str) {
    let roots = Roots::unpack(scene);
    let (_site, agent) = agent_on(&roots);
    let exporter = NodeExporter::on(&roots);
    agree(scene, false, &exporter, &agent);
    // What node_exporter makes of odd files it does not say.
    if scene != "odd" {
        nothing_fails(&exporter, &agent);
    }
}

/// What is a success there is no failure here, in our own words too.
fn nothing_fails(exporter: &NodeExporter, agent: &Agent) {
    let (theirs, ours) = (exporter.metrics(), agent.metrics());
    let is = |metrics: &Metrics, name, collector: &str| metrics.get(name, &[("collector", collector)]) == Some(1.0);
    let collectors = theirs.values_of("node_scrape_collector_success", "collector");
    let successful = collectors.iter().filter(|collector| is(&theirs, "node_scrape_collector_success", collector));
    let failing: Vec<_> = successful.filter(|name| !is(&ours, "vitald_host_collector_success", name)).collect();
    assert!(failing.is_empty(), "these fail here: {failing:?}; {}", agent.log());
}

#[test]
fn a_file_server_with_degraded_arrays_and_memory_errors() {
    agree_on("storage");
}

#[test]
fn a_router_whose_bond_has_a_dead_slave() {
    agree_on("network");
}

#[test]
fn sixty_four_cpus_of_which_some_are_offline() {
    agree_on("big");
}

#[test]
fn a_laptop_on_its_battery_with_a_sensor_that_fails() {
    agree_on("laptop");
}

#[test]
fn a_container_on_an_old_kernel() {
    agree_on("container");
}

#[test]
fn what_node_exporter_makes_of_odd_files_is_here_too() {
    agree_on("odd");
}

#[test]
fn this_machine() {
    let (_site, agent) = live_agent();
    let exporter = NodeExporter::live();
    agree("this machine", true, &exporter, &agent);
    nothing_fails(&exporter, &agent);
}

/// The oracle is no better than its own agreement with itself.
#[test]
fn two_node_exporters_say_the_same() {
    let _machine = beside_others();
    let same = |scene: &str, live: bool, one: NodeExporter, other: NodeExporter| {
        let mut comparison = Comparison::of(scene, live);
        eventually("both say the same", SOON, || {
            let (before, mut ours, after) = (one.metrics(), other.metrics(), one.metrics());
            ours.forget("node_exporter_build_info");
            comparison.look(&Look { before, ours, after })
        });
    };
    for scene in SURVIVED {
        let roots = Roots::unpack(scene);
        same(scene, false, NodeExporter::on(&roots), NodeExporter::on(&roots));
    }
    same("this machine", true, NodeExporter::live(), NodeExporter::live());
}

/// node_exporter 1.5 does not survive this host.
#[test]
fn what_stands_beside_lines_that_end_node_exporter_is_served() {
    let roots = Roots::unpack("fatal");
    let (_site, agent) = agent_on(&roots);
    let metrics = sampled_after(&agent, 0.0);
    for (name, labels, value) in [
        ("node_memory_MemTotal_bytes", &[][..], 1_048_576.0),
        ("node_memory_MemAvailable_bytes", &[], 262_144.0),
        ("node_context_switches_total", &[], 123.0),
        ("node_cpu_seconds_total", &[("cpu", "0"), ("mode", "user")], 0.1),
        ("node_disk_reads_completed_total", &[("device", "sda")], 1.0),
        ("node_disk_info", &[("device", "sda"), ("serial", "fine")], 1.0),
        ("node_arp_entries", &[("device", "eth0")], 1.0),
        ("node_network_receive_bytes_total", &[("device", "eth0")], 120_331.0),
        ("node_network_mtu_bytes", &[("device", "eth0")], 1500.0),
        ("node_vmstat_pgpgin", &[], 12.0),
        ("node_vmstat_pswpout", &[], 4.0),
        ("node_tape_writes_completed_total", &[("device", "st0")], 7.0),
        ("node_md_blocks", &[("device", "md1")], 2048.0),
        ("node_power_supply_capacity", &[("power_supply", "BAT0")], 77.0),
        ("node_hwmon_temp_celsius", &[("chip", "chip"), ("sensor", "temp1")], 40.5),
        ("node_hwmon_fan_rpm", &[("chip", "chip"), ("sensor", "fan1")], 1200.0),
        ("node_nvme_info", &[("device", "nvme0"), ("serial", "S1")], 1.0),
        ("node_dmi_info", &[("product_name", "fine")], 1.0),
        ("node_os_info", &[("id", "fine")], 1.0),
    ] {
        assert_eq!(metrics.get(name, labels), Some(value), "{name} {labels:?}\n{}", agent.log());
    }
}

#[test]
fn a_full_and_a_read_only_file_system() {
    // Not below /dev or /run, which are not shown.
    let dir = TempDir::new_in("/var/tmp").expect("a temporary directory");
    let (full, closed) = (dir.path().join("full of bytes"), dir.path().join("closed"));
    let disk = SmallDisk::with(&full, "size=256k,nr_inodes=32");
    disk.fill();
    let _closed = SmallDisk::with(&closed, "ro,size=128k");
    let (_site, agent) = live_agent();
    let exporter = NodeExporter::live();
    let theirs = exporter.metrics();
    let ours = sampled_after(&agent, time(&theirs).expect("a time"));
    let label = |mount: &Path| mount.display().to_string();
    let of = |metrics: &Metrics, mount: &Path| -> BTreeMap<String, String> {
        let here = metrics.series().filter(|(_, labels, _)| labels.get("mountpoint") == Some(&label(mount)));
        here.map(|(name, labels, value)| (format!("{name} {labels:?}"), value.to_string())).collect()
    };
    for mount in [&full, &closed] {
        assert_eq!(of(&ours, mount), of(&theirs, mount));
        assert_eq!(of(&ours, mount).len(), 7, "{:?}", of(&ours, mount));
    }
    let value = |mount: &Path, name| ours.get(name, &[("mountpoint", &label(mount)), ("fstype", "tmpfs")]);
    assert_eq!(value(&full, "node_filesystem_avail_bytes"), Some(0.0));
    assert_eq!(value(&full, "node_filesystem_size_bytes"), Some(262_144.0));
    assert_eq!(value(&full, "node_filesystem_readonly"), Some(0.0));
    assert_eq!(value(&closed, "node_filesystem_readonly"), Some(1.0));
    assert_eq!(value(&closed, "node_filesystem_device_error"), Some(0.0));
}

/// Of each of node_exporter's collectors there is something to compare.
#[test]
fn every_collector_has_a_host_that_has_something_of_it() {
    let _machine = beside_others();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut ask = |scene: &str, exporter: &NodeExporter| {
        for collector in exporter.metrics().values_of("node_scrape_collector_success", "collector") {
            let mut names = exporter.collected(&collector).names().into_iter().map(str::to_owned).collect::<Vec<_>>();
            names.retain(|name| !name.starts_with("node_scrape_") && name != "node_exporter_build_info");
            names.retain(|name| ["go_", "process_", "promhttp_"].iter().all(|own| !name.starts_with(own)));
            let hosts = seen.entry(collector).or_default();
            hosts.extend((!names.is_empty()).then(|| scene.to_owned()));
        }
    };
    for scene in SURVIVED {
        ask(scene, &NodeExporter::on(&Roots::unpack(scene)));
    }
    ask("this machine", &NodeExporter::live());
    for (collector, hosts) in &seen {
        println!("EXERCISED | {collector} | {}", hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    let without: Vec<_> = seen.iter().filter(|(_, hosts)| hosts.is_empty()).map(|(collector, _)| collector).collect();
    assert!(
        seen.len() >= 44 && without.is_empty(),
        "of {} collectors these show nothing anywhere: {without:?}",
        seen.len()
    );
}

/// Of our own metrics promtool says nothing, of the host's nothing that it does not say of node_exporter's.
#[test]
fn promtool_says_nothing_that_it_does_not_say_of_node_exporter() {
    // Of all hosts together: on an odd one the agent has families that node_exporter has elsewhere only.
    let mut theirs: BTreeSet<String> = BTreeSet::new();
    let mut ours: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ask = |scene: &str, exporter: &NodeExporter, agent: &Agent| {
        sampled_after(agent, 0.0);
        theirs.extend(promtool_remarks(&exporter.text()));
        ours.insert(scene.to_owned(), promtool_remarks(&agent.get("/metrics").body));
    };
    for scene in SURVIVED {
        let roots = Roots::unpack(scene);
        ask(scene, &NodeExporter::on(&roots), &agent_on(&roots).1);
    }
    ask("this machine", &NodeExporter::live(), &live_agent().1);
    for (scene, ours) in &ours {
        let new: Vec<&String> = ours.iter().filter(|line| !theirs.contains(*line)).collect();
        assert!(new.is_empty(), "on {scene}: {new:#?}");
        let own = |line: &&String| line.starts_with("vitald_") || line.starts_with("process_");
        assert_eq!(ours.iter().find(own), None, "on {scene}");
    }
}
