//! The host's clock: the time of day, the time zone, and which clock sources the kernel has and uses
//! (`/sys/devices/system/clocksource`, Documentation/ABI/testing/sysfs-devices-system-clocksource).
//!
//! The zone is that of this process, read once: from `TZ`, else `/etc/localtime`, else it is UTC.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock;
use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, FirstFault, Settings, entries, read_value};

const LOCALTIME: &str = "/etc/localtime";
const ZONEINFO: &str = "/usr/share/zoneinfo";

pub struct Time {
    zone: TimeZone,
    sources: PathBuf,
}

impl Time {
    pub fn new(settings: &Settings) -> Self {
        let file = zone_file(std::env::var("TZ").ok().as_deref());
        Self {
            zone: file.and_then(|file| load(&file)).unwrap_or(TimeZone::UTC),
            sources: settings.roots.sys("devices/system/clocksource"),
        }
    }

    fn clock(&self, out: &mut Families) {
        let now = clock::now().wall;
        out.gauge("node_time_seconds", "Time of day, in seconds since the Unix epoch.", now.as_secs_f64());
        let zone = self.zone.to_offset_info(timestamp(now));
        let help = "How far the local time is ahead of UTC, in seconds.";
        out.family(HostKind::Gauge, "node_time_zone_offset_seconds", help)
            .add(&[("time_zone", zone.abbreviation())], f64::from(zone.offset().seconds()));
    }

    fn clock_sources(&self, out: &mut Families) -> Result<(), CollectError> {
        let names = match entries(&self.sources).map_err(CollectError::or_absent) {
            Err(CollectError::Absent(_)) => return Ok(()),
            names => names?,
        };
        let mut faults = FirstFault::default();
        for (index, name) in names.iter().filter(|name| is_clock_source(name)).enumerate() {
            let device = index.to_string();
            let dir = self.sources.join(name);
            if let Some(available) = faults.keep(read_value(&dir.join("available_clocksource"))) {
                let help = "1 for each clock source that the kernel could use.";
                let family = out.family(HostKind::Gauge, "node_time_clocksource_available_info", help);
                for source in available.split_ascii_whitespace() {
                    family.add(&[("clocksource", source), ("device", &device)], 1.0);
                }
            }
            if let Some(current) = faults.keep(read_value(&dir.join("current_clocksource"))) {
                let help = "1 for the clock source that the kernel uses.";
                out.family(HostKind::Gauge, "node_time_clocksource_current_info", help)
                    .add(&[("clocksource", &current), ("device", &device)], 1.0);
            }
        }
        faults.into_result()
    }
}

impl Collector for Time {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        self.clock(out);
        self.clock_sources(out)
    }
}

fn timestamp(wall: Duration) -> Timestamp {
    i64::try_from(wall.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_default()
}

fn is_clock_source(name: &str) -> bool {
    name.strip_prefix("clocksource").is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

/// `TZ` as tzset(3) has it, but for rules that are written out (`CET-1CEST`): they are no file, so they are UTC.
fn zone_file(tz: Option<&str>) -> Option<PathBuf> {
    match tz.map(|tz| tz.strip_prefix(':').unwrap_or(tz)) {
        None => Some(LOCALTIME.into()),
        Some("") => None,
        // An absolute path takes the place of the directory.
        Some(name) => Some(Path::new(ZONEINFO).join(name)),
    }
}

fn load(file: &Path) -> Option<TimeZone> {
    let data = std::fs::read(file).ok()?;
    TimeZone::tzif(&file.to_string_lossy(), &data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn the_zone_is_where_tz_says() {
        let cases = [
            (None, Some("/etc/localtime")),
            (Some(""), None),
            (Some(":Europe/Berlin"), Some("/usr/share/zoneinfo/Europe/Berlin")),
            (Some("/etc/zone"), Some("/etc/zone")),
        ];
        for (tz, wanted) in cases {
            assert_eq!(zone_file(tz).as_deref(), wanted.map(Path::new), "{tz:?}");
        }
    }

    /// A file of the zone, version 1, with one kind of local time and no change ever: see RFC 9636.
    fn zone(offset: i32, abbreviation: &str) -> Vec<u8> {
        let mut data = b"TZif".to_vec();
        data.resize(20, 0);
        for count in [0, 0, 0, 0, 1, u32::try_from(abbreviation.len()).unwrap() + 1] {
            data.extend(u32::to_be_bytes(count));
        }
        data.extend(offset.to_be_bytes());
        data.extend([0, 0]);
        data.extend(abbreviation.as_bytes());
        data.push(0);
        data
    }

    #[test]
    fn the_zone_is_shown_with_its_offset() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zone");
        std::fs::write(&file, zone(5 * 3600 + 1800, "IST")).unwrap();
        let mut time = Time::new(&Settings::below(dir.path()));
        time.zone = load(&file).unwrap();
        let (out, ended) = seen_by(&mut time);
        ended.unwrap();
        assert_eq!(out.value("node_time_zone_offset_seconds", r#"time_zone="IST""#), Some(19_800.0));
        let now = clock::now().wall.as_secs_f64();
        assert!((out.value("node_time_seconds", "").unwrap() - now).abs() < 60.0);
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zone");
        std::fs::write(&file, "Europe/Berlin").unwrap();
        assert!(load(&file).is_none());
        assert!(load(dir.path()).is_none());
    }

    #[test]
    fn clock_sources() {
        let dir = tempfile::tempdir().unwrap();
        let mut time = Time::new(&Settings::below(dir.path()));
        put(dir.path(), "sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm \n");
        let (out, ended) = seen_by(&mut time);
        assert!(ended.unwrap_err().to_string().contains("current_clocksource"));
        assert_eq!(out.count("node_time_clocksource_available_info"), 3);

        put(dir.path(), "sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
        put(dir.path(), "sys/devices/system/clocksource/power/control", "auto\n");
        let (out, ended) = seen_by(&mut time);
        ended.unwrap();
        let available = out.value("node_time_clocksource_available_info", r#"clocksource="hpet",device="0""#);
        assert_eq!(available, Some(1.0));
        assert_eq!(out.value("node_time_clocksource_current_info", r#"clocksource="tsc",device="0""#), Some(1.0));
        assert_eq!(out.count("node_time_clocksource_current_info"), 1);
    }
}
