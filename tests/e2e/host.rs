//! The host's numbers: what hangs, what is bad, and what was asked for. What they are is `parity`'s to say.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Agent, Hanging, Metrics, Site, eventually, request, that, throughout, write};

const SOON: Duration = Duration::from_secs(30);

fn value(agent: &Agent, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    agent.metrics().get(name, labels)
}

fn becomes(agent: &Agent, name: &str, labels: &[(&str, &str)], wanted: Option<f64>) {
    eventually(&format!("{name} {labels:?} is {wanted:?}"), SOON, || {
        let seen = value(agent, name, labels);
        that(seen == wanted, || format!("{seen:?}; {}", agent.log()))
    });
}

#[test]
fn a_file_system_that_hangs_costs_its_own_numbers() {
    let site = Site::new().with(
        "host",
        "interval = \"1s\"\nprocfs = \"proc\"\nfilesystem = { exclude = \"\", mount_timeout = \"500ms\" }\n\
         textfile = { directory = \"mounted/text\" }\n",
    );
    let point = Hanging::point_of(&site);
    let point = point.to_str().expect("UTF-8");
    // Its own table of mounts; everything else is this machine's.
    let proc = site.path().join("proc");
    fs::create_dir_all(proc.join("1")).unwrap();
    for file in ["stat", "loadavg", "meminfo", "uptime"] {
        std::os::unix::fs::symlink(format!("/proc/{file}"), proc.join(file)).unwrap();
    }
    write(&proc.join("1/mounts"), format!("/dev/root / ext4 rw 0 0\nsource {point} fuse rw 0 0\n"));
    fs::create_dir_all(site.path().join("source/text")).unwrap();
    write(&site.path().join("source/text/good.prom"), "backup_bytes 7\n");

    let (agent, mount) = Hanging::beside(&site);
    let labels = [("mountpoint", mount.point())];
    becomes(&agent, "node_filesystem_device_error", &labels, Some(0.0));
    becomes(&agent, "backup_bytes", &[], Some(7.0));
    let threads = value(&agent, "process_threads", &[]).unwrap();

    mount.hang();
    becomes(&agent, "node_filesystem_device_error", &labels, Some(1.0));
    becomes(&agent, "vitald_host_collector_success", &[("collector", "filesystem")], Some(0.0));
    becomes(&agent, "vitald_host_collector_success", &[("collector", "textfile")], Some(0.0));
    let sampled = || value(&agent, "vitald_host_sample_timestamp_seconds", &[]).unwrap();
    let before = sampled();
    let mut slowest = Duration::ZERO;
    throughout("the agent answers, and the other numbers are there", Duration::from_secs(4), || {
        let begun = Instant::now();
        let answer = agent.try_get("/metrics")?;
        slowest = slowest.max(begun.elapsed());
        let seen = Metrics::parse(&answer.body)?;
        agent.answers("/health/live", 200)?;
        let root = seen.get("node_filesystem_size_bytes", &[("mountpoint", "/")]);
        let stuck = seen.get("node_filesystem_size_bytes", &labels);
        let load = seen.get("node_load1", &[]);
        that(root.is_some() && load.is_some() && stuck.is_none(), || format!("{root:?} {load:?} {stuck:?}"))
    });
    println!("measured: the slowest scrape beside a file system that hangs: {slowest:.1?}");
    assert!(sampled() >= before + 2.0, "samples go on");
    let more = value(&agent, "process_threads", &[]).unwrap() - threads;
    assert!(more <= 4.0, "{more} threads more for one mount and one directory that hang");

    mount.go_on();
    becomes(&agent, "node_filesystem_device_error", &labels, Some(0.0));
    becomes(&agent, "vitald_host_collector_success", &[("collector", "textfile")], Some(1.0));
    becomes(&agent, "backup_bytes", &[], Some(7.0));
}

#[test]
fn a_bad_text_file_costs_itself() {
    let site = Site::new().with("host", "interval = \"1s\"\ntextfile = { directory = \"text\" }\n");
    let text = |name: &str| site.path().join("text").join(name);
    fs::create_dir(site.path().join("text")).unwrap();
    write(&text("good.prom"), "# TYPE backup_bytes gauge\nbackup_bytes{of=\"db\"} 7\n");
    let agent = site.start();
    becomes(&agent, "backup_bytes", &[("of", "db")], Some(7.0));
    becomes(&agent, "node_textfile_scrape_error", &[], Some(0.0));

    let bad = [
        ("syntax.prom", "fine 1\nnot a line\n", "line 2"),
        ("twice.prom", "fine 1\nfine 2\n", "fine"),
        ("ours.prom", "vitald_check_up 1\n", "vitald_"),
        ("theirs.prom", "fine 1\nnode_load1 99\n", "node_load1"),
        ("other.prom", "# TYPE backup_bytes counter\nbackup_bytes{of=\"x\"} 1\n", "backup_bytes"),
    ];
    for (name, lines, complaint) in bad {
        write(&text(name), lines);
        becomes(&agent, "node_textfile_scrape_error", &[], Some(1.0));
        let metrics = agent.metrics();
        assert_eq!(metrics.get("backup_bytes", &[("of", "db")]), Some(7.0), "{name}");
        assert_eq!(metrics.get("fine", &[]), None, "{name} is left out whole");
        assert_ne!(metrics.get("node_load1", &[]), Some(99.0));
        let log = agent.log();
        let said: Vec<&str> = log.lines().filter(|line| line.contains(name)).collect();
        assert!(said.len() == 1 && said[0].contains(complaint), "{name}: {said:?}");
        fs::remove_file(text(name)).unwrap();
        becomes(&agent, "node_textfile_scrape_error", &[], Some(0.0));
    }
}

#[test]
fn who_asks_for_some_collectors_gets_these() {
    let site = Site::new().with("host", "interval = \"1s\"\ncollectors = { zfs = false, vmstat = false }\n");
    let agent = site.start();
    becomes(&agent, "vitald_host_collector_success", &[("collector", "loadavg")], Some(1.0));
    let answer = agent.get("/metrics?collect[]=loadavg&collect%5B%5D=uname");
    let metrics = Metrics::parse(&answer.body).unwrap();
    let names: Vec<&str> = metrics.names().into_iter().filter(|name| name.starts_with("node_")).collect();
    let states = ["node_scrape_collector_duration_seconds", "node_scrape_collector_success"];
    assert_eq!(names, [&["node_load1", "node_load15", "node_load5"][..], &states, &["node_uname_info"]].concat());
    assert_eq!(metrics.values_of("vitald_host_collector_success", "collector").len(), 2);
    assert!(metrics.get("vitald_build_info", &[]).is_some() && metrics.get("process_threads", &[]).is_some());

    for unknown in ["zfs", "nothing"] {
        let answer = agent.get(&format!("/metrics?collect[]={unknown}"));
        assert!(
            answer.code == 400 && answer.body.contains(unknown) && answer.body.contains("loadavg"),
            "{}",
            answer.body
        );
    }
    let all = agent.metrics();
    assert_eq!(all.get("vitald_host_collector_success", &[("collector", "vmstat")]), None);
    assert!(!all.names().contains("node_vmstat_pgfault"));
}

#[test]
fn who_wants_gzip_gets_it() {
    let site = Site::new().with("host", "interval = \"1s\"\n");
    let agent = site.start();
    becomes(&agent, "vitald_host_collector_success", &[("collector", "loadavg")], Some(1.0));
    let url = format!("{}/metrics", agent.url());
    let plain = request("GET", &url, &[("Accept-Encoding", "identity")]).unwrap();
    assert_eq!(plain.header("content-encoding"), "");
    let length = |headers: &[(&str, &str)]| {
        let head = request("HEAD", &url, headers).unwrap();
        (head.header("content-encoding").to_owned(), head.header("content-length").parse::<usize>().unwrap())
    };
    let (coding, zipped) = length(&[("Accept-Encoding", "gzip")]);
    assert_eq!(coding, "gzip");
    assert!(zipped * 3 < plain.body.len(), "{zipped} of {}", plain.body.len());
    println!("measured: a scrape: {} bytes, gzipped {zipped}", plain.body.len());
    for path in ["/metrics", "/metrics?collect[]=loadavg"] {
        // curl reads one member and refuses what follows it.
        let url = format!("{}{path}", agent.url());
        for accept in ["text/plain", "application/openmetrics-text"] {
            let mut curl = std::process::Command::new("curl");
            curl.args(["--silent", "--show-error", "--fail", "--compressed", "--header"])
                .arg(format!("Accept: {accept}"));
            let output = curl.arg(&url).output().expect("curl");
            assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("\nnode_load1 ") && text.contains("\nvitald_build_info{"), "{path}");
            assert_eq!(text.ends_with("# EOF\n"), accept != "text/plain");
        }
    }
}
