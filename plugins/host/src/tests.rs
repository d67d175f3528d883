//! Whole runs over samples as the agent would show them.

use serde_json::{Value, json};
use vitald_sdk::Status;

use super::*;
use crate::mounts::Mount;
use crate::mounts::testing::shown;
use crate::numbers::testing::{asking, sample};

/// A check's life: its parameters, and what its last run left behind, as the agent keeps it.
struct Check {
    plan: Plan,
    state: String,
}

impl Check {
    fn new(params: Value) -> Self {
        Self { plan: Plan::new(&serde_json::from_value(params).unwrap()).unwrap(), state: "{}".into() }
    }

    fn report(&mut self, second: u64, text: &str) -> Report {
        let mut memory: Memory = serde_json::from_str(&self.state).unwrap();
        let report = judge(&self.plan, &asking(sample(second, text)), &mut memory).unwrap();
        self.state = serde_json::to_string(&memory).unwrap();
        report
    }

    fn run(&mut self, second: u64, text: &str) -> (Status, String) {
        self.report(second, text).told().unwrap()
    }
}

fn cpu(busy: f64, idle: f64) -> String {
    let name = "node_cpu_seconds_total";
    format!("{name}{{cpu=\"0\",mode=\"user\"}} {busy}\n{name}{{cpu=\"0\",mode=\"idle\"}} {idle}\n")
}

#[test]
fn one_line_with_the_worst_first() {
    let mut check = Check::new(json!({
        "cpu_above": "90%",
        "memory_available_below": {"warning": "10%", "critical": "5%"},
        "disk_used_above": "90%",
    }));
    let rest = "node_memory_MemTotal_bytes 1000\nnode_memory_MemAvailable_bytes 500\n".to_owned()
        + &shown(&[Mount::of("/", 100.0, 60.0), Mount::of("/var", 100.0, 7.0)]);
    assert_eq!(
        check.run(10, &(cpu(50.0, 50.0) + &rest)),
        (
            Status::Down,
            "disk /var 93 % used (above 90 %); memory 50 % available; disk 40 % used (/); \
             cpu: needs a second sample"
                .into()
        )
    );
    let report = check.report(20, &(cpu(51.0, 59.0) + &rest));
    assert!((report.value("cpu_used").unwrap() - 0.1).abs() < 1e-9);
    assert_eq!(
        report.parts(),
        [("cpu", Status::Up), ("memory", Status::Up), ("disk /var", Status::Down), ("disk", Status::Up)]
    );
    assert!(report.told().unwrap().1.starts_with("disk /var 93 % used (above 90 %); cpu 10 % used"));
}

#[test]
fn each_threshold_asks_for_its_own_series_and_for_no_others() {
    let asked = |params: Value| {
        let plan = Plan::new(&serde_json::from_value(params).unwrap()).unwrap();
        let prefixes = std::cell::RefCell::new(Vec::new());
        let ask = |prefix: &str| {
            prefixes.borrow_mut().push(prefix.to_owned());
            Ok(sample(1, ""))
        };
        judge(&plan, &ask, &mut Memory::default()).unwrap();
        prefixes.into_inner()
    };
    assert_eq!(asked(json!({"swap_used_above": "1%"})), ["node_memory_Swap"]);
    assert_eq!(asked(json!({"clock_skew": "1s"})), ["node_timex_"]);
    assert_eq!(asked(json!({"load_per_cpu_above": 1, "load_minutes": 15})), ["node_load15", "node_cpu_seconds_total"]);
    assert_eq!(asked(json!({"disk_used_above": "1%", "read_only": "warning"})), ["node_filesystem_"]);
}

#[test]
fn mounts_that_cannot_fill_up_are_not_held_against_thresholds_of_space() {
    let read_only = Mount { read_only: true, ..Mount::of("/media", 100.0, 0.0) };
    let hanging = Mount { unreachable: true, ..Mount::of("/mnt", 0.0, 0.0) };
    let text = shown(&[Mount::of("/", 100.0, 60.0), read_only, hanging]);
    let mut space = Check::new(json!({"disk_used_above": "90%", "inodes_used_above": "90%"}));
    assert_eq!(space.run(1, &text), (Status::Up, "disk 40 % used (/); inodes 50 % used (/)".into()));
    let mut flags = Check::new(json!({"read_only": "warning", "unreachable": "critical"}));
    assert_eq!(flags.run(1, &text), (Status::Down, "disk /mnt does not answer; disk /media is read-only".into()));
    let mut good = Check::new(json!({"read_only": "warning", "unreachable": "critical", "mounts": ["/"]}));
    assert_eq!(good.run(1, &text), (Status::Up, "every disk answers; no disk is read-only".into()));
}

#[test]
fn a_disk_that_fills_up_is_told_with_its_time_and_forgotten_when_room_is_made() {
    let mut check = Check::new(json!({
        "disk_full_within": {"warning": "2h", "critical": "20m"}, "trend_needs": "10m",
    }));
    let mib = 1_048_576.0;
    let at = |minute: u32| shown(&[Mount::of("/var", 2000.0 * mib, f64::from(100 - minute) * mib)]);
    let mut minute = 0;
    let mut until = |check: &mut Check, to: u32| {
        let mut last = (Status::Up, String::new());
        while minute < to {
            minute += 1;
            last = check.run(u64::from(minute) * 60, &at(minute));
        }
        last
    };
    assert_eq!(until(&mut check, 5).1, "disk_full: has 4 min of the 10 min it needs");
    assert_eq!(until(&mut check, 40), (Status::Up, "no disk full within 2 h".into()));
    assert_eq!(until(&mut check, 65), (Status::Degraded, "disk /var full in 35 min (within 2 h)".into()));
    assert_eq!(until(&mut check, 85), (Status::Down, "disk /var full in 15 min (within 20 min)".into()));
    assert_eq!(until(&mut check, 100), (Status::Down, "disk /var is full".into()));
    let emptied = shown(&[Mount::of("/var", 2000.0 * mib, 1500.0 * mib)]);
    assert_eq!(check.run(101 * 60, &emptied), (Status::Up, "no disk full within 2 h".into()));
}

fn mistake(check: &mut Check, text: &str) -> String {
    check.report(1, text).told().unwrap_err().message().to_owned()
}

#[test]
fn a_file_system_without_a_size_is_not_full() {
    let ramfs = Mount { kind: "ramfs".into(), device: "none".into(), ..Mount::of("/scratch", 0.0, 0.0) };
    let all = json!({"disk_used_above": "90%", "disk_full_within": "24h"});
    let text = shown(&[Mount::of("/", 1e9, 6e8), ramfs.clone()]);
    let (status, message) = Check::new(all.clone()).run(1, &text);
    assert_eq!((status, message.contains("/scratch")), (Status::Up, false), "{message}");
    let error = mistake(&mut Check::new(all), &shown(&[ramfs]));
    assert!(error.starts_with("disk_used_above: no mount is left whose space can be judged"), "{error}");
}

#[test]
fn a_mount_that_was_named_and_cannot_be_judged_is_said() {
    let mounts = [
        Mount::of("/", 100.0, 60.0),
        Mount { read_only: true, ..Mount::of("/a", 100.0, 0.0) },
        Mount { unreachable: true, ..Mount::of("/b", 0.0, 0.0) },
        Mount::of("/c", 0.0, 0.0),
    ];
    let named = |names: Value| json!({"disk_used_above": "90%", "mounts": names});
    for (name, why) in [("/a", "is read-only"), ("/b", "does not answer"), ("/c", "has no size")] {
        let error = mistake(&mut Check::new(named(json!(["/", name]))), &shown(&mounts));
        assert!(error.starts_with(&format!("mounts: {name} {why}, so its space")), "{error}");
    }
    assert_eq!(Check::new(named(json!(["/*"]))).run(1, &shown(&mounts)).1, "disk 40 % used (/)");
    let mut told = named(json!(["/", "/a"]));
    told["read_only"] = json!("warning");
    let said = Check::new(told).run(1, &shown(&mounts));
    assert_eq!(said, (Status::Degraded, "disk /a is read-only; disk 40 % used (/)".into()));
}

#[test]
fn inodes_without_a_limit_are_well() {
    let btrfs = Mount { files: 0.0, files_free: 0.0, ..Mount::of("/", 100.0, 60.0) };
    let said = Check::new(json!({"inodes_used_above": "90%"})).run(1, &shown(&[btrfs]));
    assert_eq!(said, (Status::Up, "inodes without a limit".into()));
}

#[test]
fn no_series_at_all_blames_no_parameter_that_was_not_written() {
    let error = mistake(&mut Check::new(json!({"read_only": "warning"})), "");
    assert!(error.starts_with("read_only: there is no node_filesystem_*"), "{error}");
}

#[test]
fn cpu_goes_on_beside_a_threshold_without_numbers() {
    let mut check = Check::new(json!({"cpu_above": "90%", "swap_used_above": "50%"}));
    assert!(check.plan.remembers() && !Check::new(json!({"swap_used_above": "50%"})).plan.remembers());
    check.report(10, &cpu(50.0, 50.0));
    let (status, message) = check.report(20, &cpu(51.0, 59.0)).told_by(true).unwrap();
    assert_eq!(status, Status::Degraded);
    assert!(message.starts_with("swap_used_above: there is no") && message.ends_with("; cpu 10 % used"), "{message}");
}

#[test]
fn no_mount_that_matches_is_said() {
    let mut check = Check::new(json!({"disk_used_above": "90%", "mounts": ["/vra"]}));
    let error = check.report(1, &shown(&[Mount::of("/var", 100.0, 60.0)])).told().unwrap_err();
    assert!(error.message().contains("no mount of the host's numbers matches"), "{error}");
}

#[test]
fn more_mounts_than_can_be_watched_are_counted() {
    let mounts: Vec<Mount> = (0..40).map(|n| Mount::of(&format!("/{n}"), 1e9, 5e8)).collect();
    let mut check = Check::new(json!({"disk_full_within": "24h"}));
    let (status, message) = check.run(1, &shown(&mounts));
    assert_eq!(status, Status::Up);
    assert!(message.contains("8 mounts are more than the 32 that it can watch"), "{message}");
    assert!(message.contains("disk_full: has 0.000 ms of") || message.contains("disk_full: has 0 ms of"), "{message}");
}

#[test]
fn a_number_of_minutes_may_have_a_point() {
    let minutes = |value: Value| {
        serde_json::from_value::<Params>(json!({"load_minutes": value})).map(|params| params.load_minutes)
    };
    assert_eq!(minutes(json!(5.0)).unwrap(), 5);
    assert_eq!(minutes(json!(15)).unwrap(), 15);
    assert!(minutes(json!(7)).unwrap_err().to_string().contains("params.load_minutes: write 1, 5 or 15"));
}

#[test]
fn a_state_of_another_version_is_no_obstacle() {
    assert!(serde_json::from_str::<Memory>("{\"future\": 1}").is_ok());
    assert!(serde_json::from_str::<Memory>("{\"cpu\": 1}").is_err(), "the SDK starts over");
}

/// What `/api/v1/plugins` and the agent's check of parameters work with.
#[test]
fn the_schema_says_what_each_parameter_is() {
    let schema = serde_json::to_value(schemars::schema_for!(Params)).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 17);
    for (name, property) in properties {
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 30), "{name} is not described");
    }
    assert_eq!(properties["cpu_above"]["type"], json!(["string", "object"]));
    assert_eq!(properties["load_per_cpu_above"]["type"], json!(["number", "object"]));
    assert_eq!(properties["cpu_above"]["additionalProperties"], false);
    assert_eq!(properties["trend_needs"]["default"], "30m");
    assert_eq!(schema["$defs"]["Severity"]["enum"], json!(["warning", "critical"]));
    assert_eq!(schema["additionalProperties"], false);
}
