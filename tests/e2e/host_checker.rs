//! The bundled `host` checker on a host whose files of `/proc` a test writes, and on a disk that it fills.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Agent, Site, SmallDisk, check, eventually, write};

/// For a change of the host's numbers to be sampled, judged and confirmed: three seconds on an idle machine.
const SOON: Duration = Duration::from_secs(30);
/// For the trend to be told: as long as the disk lasts, of which half must be seen.
const TREND: Duration = Duration::from_secs(100);
const MIB: u64 = 1 << 20;

/// A host with one CPU and a GiB of memory.
struct Machine {
    site: Site,
}

impl Machine {
    fn new() -> Self {
        let site = Site::new()
            .with("host", "interval = \"1s\"\nprocfs = \"proc\"\nsysfs = \"sys\"\nfilesystem = { exclude = \"\" }\n");
        fs::create_dir_all(site.path().join("proc/1")).unwrap();
        fs::create_dir(site.path().join("sys")).unwrap();
        let machine = Self { site };
        machine.memory(80);
        machine.cpu(0, 0);
        machine.mounts("");
        machine.says("loadavg", "0.50 1.50 2.50 1/100 1234\n");
        machine
    }

    fn says(&self, file: &str, text: &str) {
        write(&self.site.path().join("proc").join(file), text);
    }

    /// So much of the memory is available, in percent.
    fn memory(&self, available: u64) {
        let total = 1 << 20;
        let available = total / 100 * available;
        self.says("meminfo", &format!("MemTotal: {total} kB\nMemFree: 1024 kB\nMemAvailable: {available} kB\n"));
    }

    /// Hundredths of a second since boot.
    fn cpu(&self, user: u64, idle: u64) {
        let times = format!("{user} 0 0 {idle} 0 0 0 0 0 0");
        let rest = "intr 0\nctxt 0\nbtime 1700000000\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0\n";
        self.says("stat", &format!("cpu {times}\ncpu0 {times}\n{rest}"));
    }

    fn mounts(&self, table: &str) {
        self.says("1/mounts", table);
    }

    /// A check by the `host` checker, with these parameters.
    fn check(&self, name: &str, params: &str) {
        let table = check(name, "host").line("allow = [\"host\"]").line(&format!("params = {{ {params} }}"));
        self.site.drop_in(name, [table]);
    }
}

fn message(seen: &Value) -> &str {
    seen["message"].as_str().unwrap_or_default()
}

/// Waits until a check has that status and says that.
fn until(agent: &Agent, name: &str, status: &str, says: &str, meanwhile: impl FnMut()) -> Value {
    within(SOON, agent, name, status, says, meanwhile)
}

fn within(time: Duration, agent: &Agent, name: &str, status: &str, says: &str, mut meanwhile: impl FnMut()) -> Value {
    eventually(&format!("{name} is {status} and says {says:?}"), time, || {
        meanwhile();
        let seen = agent.check(name);
        let as_wanted = seen["status"] == status && message(&seen).contains(says);
        if as_wanted { Ok(seen) } else { Err(seen.to_string()) }
    })
}

/// The statuses of the parts that a check's judgement is made of.
fn part<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
    let parts = seen["parts"].as_array().expect("a list");
    parts.iter().find(|part| part["name"] == name).and_then(|part| part["status"].as_str())
}

#[test]
fn memory_has_two_levels_and_recovers() {
    let machine = Machine::new();
    machine.check("memory", "memory_available_below = { warning = \"50%\", critical = \"10%\" }");
    let agent = machine.site.start();
    until(&agent, "memory", "UP", "memory 80 % available", || ());
    machine.memory(30);
    until(&agent, "memory", "DEGRADED", "memory 30 % available (below 50 %)", || ());
    machine.memory(5);
    let seen = until(&agent, "memory", "DOWN", "memory 5 % available (below 10 %)", || ());
    assert_eq!(part(&seen, "memory"), Some("DOWN"), "{seen}");
    agent.until_health(503);
    let share = agent.metrics().sum("vitald_value_memory_available_ratio", &[("check", "memory")]);
    assert!((share - 0.05).abs() < 0.001, "{share}");
    machine.memory(80);
    until(&agent, "memory", "UP", "memory 80 % available", || ());
    agent.until_health(200);
}

#[test]
fn cpu_use_is_told_from_two_samples_and_the_rest_from_one() {
    let machine = Machine::new();
    machine.check("cpu", "cpu_above = \"90%\", load_per_cpu_above = 2.0, load_minutes = 5");
    let agent = machine.site.start();
    until(&agent, "cpu", "UP", "load 1.50 per CPU over 5 min; cpu: needs a second sample", || ());
    let (mut user, mut idle) = (0, 0);
    until(&agent, "cpu", "UP", "cpu 25 % used", || {
        (user, idle) = (user + 1, idle + 3);
        machine.cpu(user, idle);
    });
    let seen = until(&agent, "cpu", "DOWN", "cpu 100 % used (above 90 %)", || {
        user += 4;
        machine.cpu(user, idle);
    });
    assert_eq!((part(&seen, "cpu"), part(&seen, "load")), (Some("DOWN"), Some("UP")), "{seen}");
    // As after a reboot, or in a container that was moved.
    machine.cpu(1, 1);
    until(&agent, "cpu", "UP", "cpu: needs a second sample", || ());
    machine.says("loadavg", "0.50 3.00 2.50 1/100 1234\n");
    until(&agent, "cpu", "DOWN", "load 3.00 per CPU over 5 min (above 2)", || ());
}

#[test]
fn what_cannot_be_judged_is_said_with_what_to_do() {
    let machine = Machine::new();
    machine.mounts("/dev/root / ext4 rw 0 0\n");
    machine.site.drop_in("ungranted", [check("ungranted", "host").line("params = { cpu_above = \"90%\" }")]);
    machine.check("empty", "max_age = \"1m\"");
    machine.check("typo", "cpu_abvoe = \"90%\"");
    machine.check("unit", "cpu_above = \"ninety\"");
    machine.check("number", "cpu_above = 90");
    machine.check("reversed", "disk_full_within = { warning = \"1h\", critical = \"4h\" }");
    machine.check("pressure", "pressure_above = { io = \"20%\" }, memory_available_below = \"1%\"");
    machine.check("swap", "swap_used_above = \"20%\", memory_available_below = \"1%\"");
    machine.check("both", "pressure_above = { io = \"20%\", warning = \"20%\" }");
    machine.check("never", "disk_used_above = \"100%\"");
    machine.check("severity", "read_only = true");
    machine.check("old", "cpu_above = \"90%\", max_age = \"1ms\"");
    machine.check("data", "disk_used_above = \"90%\", mounts = [\"/data\"]");
    machine.site.drop_in(
        "aimed",
        [check("aimed", "host").target("tcp://127.0.0.1:1").line("params = { cpu_above = \"90%\" }")],
    );
    let agent = machine.site.start();
    let says = |name: &str, reason: &str, text: &str| {
        let seen = agent.until_unknown(name, reason);
        assert!(message(&seen).contains(text), "{name} has no {text:?}: {seen}");
    };
    says("ungranted", "denied", "add allow = [\"host\"] to the check");
    says("empty", "invalid-params", "no threshold is set: write at least one, such as { cpu_above = \"90%\"");
    says("typo", "invalid-params", "cpu_abvoe");
    says("unit", "invalid-params", "params.cpu_above: \"ninety\": write a percentage from 0% to 100%");
    says("number", "invalid-params", "params.cpu_above");
    says("reversed", "invalid-params", "params.disk_full_within: warning must be reached before critical");
    says("swap", "invalid-params", "there is no node_memory_SwapTotal_bytes");
    says("both", "invalid-params", "params.pressure_above: write either warning and critical, for all resources, or");
    says("never", "invalid-params", "params.disk_used_above: \"100%\" is never crossed: write less");
    says("severity", "invalid-params", "must be one of \"warning\", \"critical\"");
    says("old", "internal", "older than max_age (1 ms)");
    says("data", "invalid-params", "nothing is mounted at /data");
    says("aimed", "invalid-params", "host takes no target");
    // What needs state goes on: an error would forget it.
    until(&agent, "pressure", "DEGRADED", "there is no node_pressure_io_waiting_seconds_total", || ());
    // What is bad is said, whatever cannot be judged beside it.
    machine.check("pressure", "pressure_above = { io = \"20%\" }, memory_available_below = \"90%\"");
    until(&agent, "pressure", "DOWN", "memory 80 % available (below 90 %); pressure_above: there is no", || ());
}

#[test]
fn a_disk_that_fills_up_is_told_before_it_is_full() {
    /// What is written in a second. What one large file leaves lasts for a hundred, of which about half must be seen.
    const RATE: f64 = MIB as f64 / 2.0;
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("disk");
    let disk = SmallDisk::at(&place, 128 << 10);
    let point = place.display();
    let machine = Machine::new();
    machine.mounts(&format!("tmpfs {point} tmpfs rw 0 0\n"));
    machine.check("used", "disk_used_above = { warning = \"30%\", critical = \"80%\" }");
    machine.check("trend", "disk_full_within = \"1h\", trend_needs = \"10s\"");
    let agent = machine.site.start();
    until(&agent, "trend", "UP", "it needs", || ());
    until(&agent, "trend", "UP", "no disk full within 60 min", || ());
    until(&agent, "used", "UP", "disk 0 % used", || ());

    // One large file is no trend, and it counts.
    disk.grow("large", 78 * MIB);
    until(&agent, "used", "DEGRADED", &format!("disk {point} 61 % used (above 30 %)"), || ());
    assert!(agent.shows("trend", "UP").is_ok(), "{}", agent.check("trend"));

    let begun = Instant::now();
    let mut length = 0;
    let seen = within(TREND, &agent, "trend", "DOWN", &format!("disk {point} full in "), || {
        length = ((begun.elapsed().as_secs_f64() * RATE) as u64).min(49 * MIB);
        disk.grow("log", length);
    });
    println!("measured: told after {:.1?} of 100 s: {}", begun.elapsed(), message(&seen));
    assert!(length < 49 * MIB, "it was full already");
    assert_eq!(part(&seen, &format!("disk_full {point}")), Some("DOWN"), "{seen}");
    let left = agent.metrics().sum("vitald_value_disk_full_in_seconds", &[("check", "trend")]);
    assert!(left > 0.0 && left < 100.0, "{left}");

    disk.grow("log", 50 * MIB);
    until(&agent, "trend", "DOWN", &format!("disk {point} is full"), || ());
    until(&agent, "used", "DOWN", &format!("disk {point} 100 % used (above 80 %)"), || ());
    fs::remove_file(place.join("large")).unwrap();
    fs::remove_file(place.join("log")).unwrap();
    until(&agent, "trend", "UP", "no disk full within", || ());
    until(&agent, "used", "UP", "disk 0 % used", || ());
}
