use std::collections::BTreeSet;

use super::*;

/// On the machine that runs the tests, whatever it is.
#[test]
fn a_sample_has_the_numbers_that_dashboards_ask_for() {
    let names = chosen(&BTreeMap::new());
    let sampler = Arc::new(Sampler::new(COLLECTORS.iter().filter(|e| names.contains(&e.name)), &default_settings()));
    Pass::new(sampler.clone()).work();
    let (sample, _) = sampler.assemble(Arc::default());
    for wanted in [
        "node_cpu_seconds_total",
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
        "node_load1",
        "node_filesystem_avail_bytes",
        "node_network_receive_bytes_total",
        "node_boot_time_seconds",
        "node_uname_info",
        "process_resident_memory_bytes",
    ] {
        assert!(sample.family(wanted).is_some_and(|family| !family.series.is_empty()), "{wanted} is not there");
    }
    let mut names = BTreeSet::new();
    for family in sample.families() {
        assert!(names.insert(&family.name), "{} stands twice", family.name);
        let distinct: BTreeSet<_> = family.series.iter().map(|series| (series.suffix, &series.labels)).collect();
        assert_eq!(distinct.len(), family.series.len(), "{} has a series twice", family.name);
    }
}

#[test]
fn what_is_said_of_a_collector_counts() {
    let said = BTreeMap::from([("cpu".to_owned(), false), ("systemd".to_owned(), true)]);
    let chosen = chosen(&said);
    assert!(!chosen.contains(&"cpu") && chosen.contains(&"systemd") && chosen.contains(&"loadavg"));
}
