//! `vitald collect`, the other half of `[[report]]`.

use super::*;

#[test]
fn a_collector_whose_disk_is_full_confirms_nothing() {
    let site = Site::new();
    let disk = SmallDisk::at(&site.path().join("disk"), 256);
    let mut collector = Collector::new().into(&site.path().join("disk/reports.jsonl"));
    collector.start();
    let report = format!("name = \"central\"\nurl = {:?}\n{EACH_SECOND}", collector.url());
    let site = site.with("[report]", &report);
    let agent = site.start();
    collector.until("some reports", 1, |_| true);
    disk.fill();
    until_buffered(&agent, |waiting| waiting >= 3.0);
    assert!(counted(&agent.metrics(), "failures", "server") >= 1.0);
    assert_eq!(collector.log().matches("reports are refused, the agents keep them").count(), 1, "{}", collector.log());
    disk.free();
    until_buffered(&agent, |waiting| waiting == 0.0);
    assert_whole(&collector.reports());
    assert_eq!(collector.stop(), 0);
}

#[test]
fn a_collector_that_is_killed_and_restarted_writes_nothing_twice() {
    let mut collector = Collector::started();
    let site = reporting(&collector.url(), EACH_SECOND);
    let agent = site.start();
    for round in 1..=3 {
        let known = collector.reports().len();
        collector.until("more reports", known + 1, |_| true);
        collector.kill();
        until_buffered(&agent, |waiting| waiting >= f64::from(round));
        collector.start();
    }
    until_buffered(&agent, |waiting| waiting == 0.0);
    assert_whole(&collector.reports());
}

#[test]
fn what_the_collector_cannot_use_it_says_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("foreign"), "not ours\n").unwrap();
    fs::write(path("empty"), "\n").unwrap();
    let (out, foreign, none, missing) = (path("out"), path("foreign"), path("none"), path("no/such"));
    let empty = path("empty");
    let busy = Listener::start(Manner::Closing);
    let taken = format!("127.0.0.1:{}", busy.port());
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--out", &foreign], 78, "line 1 of"),
        (&["--out", &missing], 78, "no/such"),
        (&["--out", "/dev/null"], 78, "not a regular file"),
        (&["--out", &out, "--token-file", &empty], 78, "is empty"),
        (&["--out", &out, "--listen", &taken], 78, "cannot listen on"),
        (&["--out", &out, "--token-file", &none], 78, "--token-file: "),
        (&["--out", &out, "--tls-cert", &none, "--tls-key", &none], 78, "--tls-cert"),
        (&["--out", &out, "--tls-cert", &none], 64, "--tls-key"),
    ];
    for (arguments, code, words) in cases {
        let ended = vitald(&[&["collect"], arguments].concat());
        assert!(ended.code == code && ended.stderr.contains(words), "{arguments:?}: {ended:?}");
    }
    let warned = reporting("http://central.example/", "token_file = \"t\"");
    let ended = vitald(&["config", "check", warned.main().to_str().unwrap()]);
    assert!(ended.code == 0 && ended.stdout.contains("in clear text"), "{ended:?}");
}
