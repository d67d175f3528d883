//! What is judged of each mount: space, inodes, the trend, and whether it answers and can be written.
//!
//! A mount that is read-only cannot fill up, one that does not answer has no numbers, and one without a size (ramfs,
//! some of FUSE) has no share: none of them is held against the thresholds of space. Where that leaves nothing, or a
//! mount that was asked for by name, that is said, and is no judgement.

use vitald_sdk::{Result, Status, Unit};

use crate::history::{Histories, MAX_MOUNTS, Trend};
use crate::levels::Levels;
use crate::mounts::{self, FAMILIES, Mount, select};
use crate::numbers::{Ask, Numbers, absent};
use crate::params::Severity;
use crate::plan::DiskPlan;
use crate::report::Report;
use crate::trend::Horizon;
use crate::units::{Share, length, limit, percent};

impl From<Severity> for Status {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Warning => Status::Degraded,
            Severity::Critical => Status::Down,
        }
    }
}

pub(crate) fn judge(plan: &DiskPlan, ask: Ask<'_>, memory: &mut Option<Histories>, report: &mut Report) -> Result<()> {
    let numbers = Numbers::ask(ask, FAMILIES)?;
    if numbers.series.is_empty() {
        report.missing(plan.first_key(), absent("node_filesystem_*"));
        return Ok(());
    }
    for point in mounts::absent(&numbers, &plan.selection) {
        report.missing("mounts", format!("nothing is mounted at {point}, or [host] leaves it out"));
    }
    let mounts = select(&numbers, &plan.selection);
    if mounts.is_empty() {
        report.missing("mounts", "no mount of the host's numbers matches mounts, exclude_mounts and exclude_types");
        return Ok(());
    }
    flags(plan, &mounts, report);
    if plan.space_key().is_some() {
        for mount in mounts::without_space(&numbers, &plan.selection) {
            no_space(plan, &mount, report);
        }
    }
    let with_space: Vec<&Mount> = mounts.iter().filter(|mount| mount.has_space()).collect();
    space(plan, numbers.boot, &with_space, memory, report);
    Ok(())
}

/// A mount that was asked for by name; not where a finding says so already.
fn no_space(plan: &DiskPlan, mount: &Mount, report: &mut Report) {
    let why = match (mount.unreachable, mount.read_only) {
        (true, _) if plan.unreachable.is_none() => "does not answer",
        (false, true) if plan.read_only.is_none() => "is read-only",
        (false, false) => "has no size",
        _ => return,
    };
    let text = format!("{} {why}, so its space cannot be judged: mend that, or take it out of mounts", mount.point);
    report.missing("mounts", text);
}

fn space(
    plan: &DiskPlan,
    boot: std::time::Duration,
    mounts: &[&Mount],
    memory: &mut Option<Histories>,
    report: &mut Report,
) {
    if let Some(key) = plan.space_key().filter(|_| mounts.is_empty()) {
        let text = "no mount is left whose space can be judged: all that are looked at are read-only, have no size or \
                    do not answer. Change mounts, exclude_mounts or exclude_types, or leave the threshold out";
        report.missing(key, text);
        return;
    }
    if let Some(levels) = &plan.used {
        shares(SPACE, levels, mounts, report);
    }
    if let Some(levels) = &plan.inodes {
        shares(INODES, levels, mounts, report);
    }
    match plan.full_within {
        Some(levels) => {
            let histories = memory.get_or_insert_default();
            let horizon = Horizon { needs: plan.trend_needs, ahead: levels.iter().max().unwrap_or(plan.trend_needs) };
            let trends = histories.follow(boot, mounts, horizon);
            judge_trends(&levels, horizon, mounts, &trends, report);
        }
        None => *memory = None,
    }
}

fn flags(plan: &DiskPlan, mounts: &[Mount], report: &mut Report) {
    let mut flag = |wanted: Option<Severity>, what: &str, bad_text: &str, good: &str, is: fn(&Mount) -> bool| {
        let Some(severity) = wanted else { return };
        let bad: Vec<&Mount> = mounts.iter().filter(|mount| is(mount)).collect();
        for mount in &bad {
            report.add_as(
                &format!("{what} {}", mount.point),
                severity.into(),
                format!("disk {} {bad_text}", mount.point),
            );
        }
        if bad.is_empty() {
            report.add_as(what, Status::Up, good.to_owned());
        }
    };
    flag(plan.unreachable, "unreachable", "does not answer", "every disk answers", |mount| mount.unreachable);
    flag(plan.read_only, "read_only", "is read-only", "no disk is read-only", |mount| {
        mount.read_only && !mount.unreachable
    });
}

/// A share of each mount that is used.
struct Shares {
    subject: &'static str,
    gauge: &'static str,
    /// Where no mount has one, which is no fault.
    none: &'static str,
    of: fn(&Mount) -> Option<f64>,
}

const SPACE: Shares =
    Shares { subject: "disk", gauge: "disk_used", none: "no disk shows how much it has for programs", of: Mount::used };
const INODES: Shares =
    Shares { subject: "inodes", gauge: "inodes_used", none: "inodes without a limit", of: Mount::inodes_used };

/// Each mount that crossed a level, the fullest first; of the others only the fullest.
fn shares(what: Shares, levels: &Levels<Share>, mounts: &[&Mount], report: &mut Report) {
    let mut used: Vec<(f64, &str)> =
        mounts.iter().filter_map(|mount| Some(((what.of)(mount)?, mount.point.as_str()))).collect();
    for (share, point) in &used {
        report.gauge_of(what.gauge, Unit::Ratio, *share, ("mount", point));
    }
    if used.is_empty() {
        report.add_as(what.subject, Status::Up, what.none.to_owned());
    }
    used.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut good = None;
    for (share, point) in used {
        match levels.judge(|level| share > level.0) {
            (status, Some(level)) => {
                let text = format!("{} used (above {})", percent(share, Some(level)), limit(level));
                report.add(&format!("{} {point}", what.subject), status, &text);
            }
            (_, None) => good = good.or(Some((share, point))),
        }
    }
    if let Some((share, point)) = good {
        report.add(what.subject, Status::Up, &format!("{} used ({point})", percent(share, None)));
    }
}

fn judge_trends(
    levels: &Levels<std::time::Duration>,
    horizon: Horizon,
    mounts: &[&Mount],
    trends: &[Trend],
    report: &mut Report,
) {
    let mut full: Vec<(std::time::Duration, &str)> = Vec::new();
    for (mount, trend) in mounts.iter().zip(trends) {
        if let Trend::FullIn(left) = trend {
            report.gauge_of("disk_full_in", Unit::Seconds, left.as_secs_f64(), ("mount", &mount.point));
            full.push((*left, mount.point.as_str()));
        }
    }
    full.sort_unstable();
    for (left, point) in &full {
        let (status, crossed) = levels.judge(|level| *left <= level);
        let within = crossed.map(|level| format!(" (within {})", length(level))).unwrap_or_default();
        let text = if left.is_zero() {
            format!("disk {point} is full")
        } else {
            format!("disk {point} full in {}{within}", length(*left))
        };
        report.add_as(&format!("disk_full {point}"), status, text);
    }
    let unwatched = trends.iter().filter(|trend| **trend == Trend::Unwatched).count();
    if unwatched > 0 {
        report.note(format!(
            "disk_full: {unwatched} mounts are more than the {MAX_MOUNTS} that it can watch: choose with mounts"
        ));
    }
    let watched = trends.iter().filter(|trend| **trend != Trend::Unwatched);
    let seen = watched.map(|trend| if let Trend::Short(seen) = trend { Some(*seen) } else { None });
    match seen.collect::<Option<Vec<_>>>().and_then(|seen| seen.into_iter().max()) {
        Some(seen) => report.note(format!("disk_full: has {} of the {} it needs", length(seen), length(horizon.needs))),
        None if full.is_empty() => {
            report.add_as("disk_full", Status::Up, format!("no disk full within {}", length(horizon.ahead)));
        }
        None => {}
    }
}
