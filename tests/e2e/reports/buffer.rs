//! What waits on disk: bounds, damage, and disks that take nothing.

use super::*;

#[test]
fn a_full_buffer_drops_the_oldest_and_counts_them() {
    let mut collector = Collector::new();
    // Sixteen blocks of 4 KiB: as many reports.
    let site = reporting(&collector.url(), &format!("{EACH_SECOND}\nbuffer = \"64KiB\""));
    let mut agent = site.start();
    eventually("three are dropped", LATER, || {
        let dropped = counted(&agent.metrics(), "dropped", "buffer");
        that(dropped >= 3.0, || dropped.to_string())
    });
    let files = || fs::read_dir(buffer_of(&site)).unwrap().count();
    eventually("no more files than fit", SOON, || that(files() <= 16 + 2, || files().to_string()));
    assert!(gauge(&agent, "buffered_bytes") <= 65_536.0);
    agent.kill();
    let agent = site.start();
    collector.start();
    until_buffered(&agent, |waiting| waiting == 0.0);
    let numbers = numbers(&collector.reports());
    assert!(numbers[0] > 3, "the oldest are gone: {numbers:?}");
    let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(gaps <= 1, "only the oldest are gone: {numbers:?}");
    assert!(agent.log().contains("the buffer is full"), "{}", agent.log());
}

#[test]
fn damaged_files_cost_themselves() {
    let mut collector = Collector::new();
    let site = reporting(&collector.url(), EACH_SECOND);
    let mut agent = site.start();
    until_buffered(&agent, |waiting| waiting >= 5.0);
    agent.kill();
    let file = |number: u64| buffer_of(&site).join(format!("{number:020}.json.gz"));
    let (whole, other) = (fs::read(file(2)).unwrap(), fs::read(file(3)).unwrap());
    fs::write(file(2), &whole[..whole.len() / 2]).unwrap();
    fs::write(file(4), other).unwrap();
    let agent = site.start();
    collector.start();
    until_buffered(&agent, |waiting| waiting == 0.0);
    assert_eq!(counted(&agent.metrics(), "dropped", "damaged"), 2.0);
    assert!(agent.log().contains("its file is damaged"), "{}", agent.log());
    let reports = collector.reports();
    assert_eq!(numbers(&reports)[..4], [1, 3, 5, 6]);
    assert_eq!(streams(&reports).len(), 1);
}

#[test]
fn a_full_disk_costs_no_report_while_the_agent_runs() {
    let mut collector = Collector::new();
    let site = reporting(&collector.url(), EACH_SECOND);
    let disk = SmallDisk::at(&buffer_of(&site), 256);
    let mut agent = site.start();
    until_buffered(&agent, |waiting| waiting >= 2.0);
    disk.fill();
    let before = gauge(&agent, "buffered");
    until_buffered(&agent, |waiting| waiting >= before + 3.0);
    assert_eq!(agent.log().matches("the disk does not take it").count(), 1, "{}", agent.log());
    disk.free();
    eventually("it writes again", LATER, || that(agent.log().contains("takes reports again"), || agent.log()));
    collector.start();
    until_buffered(&agent, |waiting| waiting == 0.0);
    let reports = collector.reports();
    let times: Vec<&str> = reports.iter().map(|report| report["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "in the order in which they were made: {times:?}");
    let streams = streams(&reports);
    assert_eq!(streams.len(), 2, "those that no file remembers have a stream of their own");
    for stream in streams {
        let own: Vec<Value> = reports.iter().filter(|report| report["stream"] == *stream).cloned().collect();
        assert_whole(&own);
    }
    assert_eq!(counted(&agent.metrics(), "dropped", "memory"), 0.0);
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
}

#[test]
fn a_disk_that_is_read_only_costs_no_report_while_the_agent_runs() {
    let collector = Collector::started();
    let site = reporting(&collector.url(), EACH_SECOND);
    let disk = SmallDisk::at(&buffer_of(&site), 256);
    disk.writable(false);
    let agent = site.start();
    collector.until("three reports", 2, |_| true);
    let first = collector.reports();
    assert_whole(&first);
    disk.writable(true);
    let durable = collector.until("a report that was written down", 3, |report| report["stream"] != first[0]["stream"]);
    assert_eq!(durable["sequence"], 1);
    assert!(agent.log().contains("takes reports again"), "{}", agent.log());
}
