//! `[host]`: which of the host's numbers are sampled, how often, and from where.

use std::path::PathBuf;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

use crate::host::{self, Settings};

use super::raw::{RawFilesystem, RawFilter, RawHost};
use super::table::{Context, Field, Place, nearest};
use super::validate::ranged;

/// Patterns of people are short; longer ones would take memory.
const PATTERN_SIZE: usize = 1 << 20;

/// `[host]`
pub fn host(raw: Option<&RawHost>, context: &Context<'_>) -> host::Config {
    let mut settings = host::default_settings();
    let Some(raw) = raw else {
        let collectors = host::chosen(&std::collections::BTreeMap::new());
        return host::Config { interval: host::DEFAULT_INTERVAL, collectors, settings };
    };
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let interval = ranged(raw.interval.as_ref(), host::DEFAULT_INTERVAL, &range, context);
    roots(raw, &mut settings, context);
    filters(raw, &mut settings, context);
    if let Some(field) = &raw.filesystem {
        filesystem(field, &mut settings, context);
    }
    if let Some(dir) = raw.textfile.as_ref().and_then(|field| field.value.directory.as_ref()) {
        // An empty path switches it off.
        settings.textfile_dir = Some(if dir.as_os_str().is_empty() { dir.clone() } else { context.base.join(dir) });
    }
    host::Config { interval, collectors: collectors(raw, context), settings }
}

fn collectors(raw: &RawHost, context: &Context<'_>) -> Vec<&'static str> {
    let said = raw.collectors.as_ref().map(|field| &field.value).cloned().unwrap_or_default();
    if let Some(field) = &raw.collectors {
        let known: Vec<&str> = host::COLLECTORS.iter().map(|entry| entry.name).collect();
        for name in said.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = match nearest(name, &known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("there are {}", known.join(", ")),
            };
            context.mistake(&within(&field.place, name), format!("no collector has that name; {hint}"));
        }
    }
    host::chosen(&said)
}

fn roots(raw: &RawHost, settings: &mut Settings, context: &Context<'_>) {
    let set = |field: &Option<Field<PathBuf>>, root: &mut PathBuf| {
        let Some(field) = field else { return };
        *root = context.base.join(&field.value);
        if !root.is_dir() {
            let problem = format!("there is no directory {}; in a container, mount the host's there", root.display());
            context.mistake(&field.place, problem);
        }
    };
    set(&raw.procfs, &mut settings.roots.procfs);
    set(&raw.sysfs, &mut settings.roots.sysfs);
    set(&raw.rootfs, &mut settings.roots.rootfs);
    if raw.rootfs.is_some() {
        settings.roots.udev_data = settings.roots.host("/run/udev/data");
    }
    // It comes and goes with udev, and only names devices: it need not be there.
    if let Some(field) = &raw.udev_data {
        settings.roots.udev_data = context.base.join(&field.value);
    }
}

/// What is said of a filter takes the place of its default, for `include` and `exclude` apart.
fn filters(raw: &RawHost, settings: &mut Settings, context: &Context<'_>) {
    let said: [(&'static str, &Option<Field<RawFilter>>); 9] = [
        ("arp", &raw.arp),
        ("diskstats", &raw.diskstats),
        ("netclass", &raw.netclass),
        ("netdev", &raw.netdev),
        ("netstat", &raw.netstat),
        ("powersupplyclass", &raw.powersupplyclass),
        ("systemd", &raw.systemd),
        ("tapestats", &raw.tapestats),
        ("vmstat", &raw.vmstat),
    ];
    for (collector, field) in said {
        let Some(field) = field else { continue };
        let filter = settings.filters.entry(collector).or_default();
        if let Some(text) = &field.value.include {
            filter.include = pattern(text, &within(&field.place, "include"), context);
        }
        if let Some(text) = &field.value.exclude {
            filter.exclude = pattern(text, &within(&field.place, "exclude"), context);
        }
    }
}

fn filesystem(field: &Field<RawFilesystem>, settings: &mut Settings, context: &Context<'_>) {
    let (raw, place) = (&field.value, &field.place);
    let filter = settings.filters.entry("filesystem").or_default();
    if let Some(text) = &raw.include {
        filter.include = pattern(text, &within(place, "include"), context);
    }
    if let Some(text) = &raw.exclude {
        filter.exclude = pattern(text, &within(place, "exclude"), context);
    }
    if let Some(text) = &raw.exclude_types {
        settings.fs_types_exclude = pattern(text, &within(place, "exclude_types"), context);
    }
    if let Some(timeout) = raw.mount_timeout {
        settings.mount_timeout = timeout.0;
        if !(Duration::from_millis(100)..=Duration::from_secs(30)).contains(&timeout.0) {
            context.mistake(&within(place, "mount_timeout"), "100ms to 30s is wanted");
        }
    }
}

/// An empty pattern is none at all: so a default can be switched off.
fn pattern(text: &str, place: &Place, context: &Context<'_>) -> Option<Regex> {
    if text.is_empty() {
        return None;
    }
    let built = RegexBuilder::new(text).size_limit(PATTERN_SIZE).build();
    built.map_err(|error| context.mistake(place, format!("not a regular expression: {}", last_line(&error)))).ok()
}

/// The library draws a picture of the mistake over several lines; what is wrong stands in the last one.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(&text);
    line.trim().trim_start_matches("error: ").to_owned()
}

fn within(place: &Place, key: &str) -> Place {
    Place { key: format!("{}.{key}", place.key), ..place.clone() }
}
