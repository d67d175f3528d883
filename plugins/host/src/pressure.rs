//! Pressure: the share of time in which at least one task waited for a resource (PSI's "some"), between two samples.

use serde::{Deserialize, Serialize};
use vitald_sdk::{Result, Unit};

use crate::levels::Levels;
use crate::numbers::{Ask, Numbers, absent};
use crate::pair::Pair;
use crate::report::Report;
use crate::units::{Share, limit, percent};

/// Seconds of waiting, in the order of the plan's resources; those that are not asked for or not there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waits {
    cpu: Option<f64>,
    memory: Option<f64>,
    io: Option<f64>,
}

impl Waits {
    fn of(numbers: &Numbers) -> Self {
        let value = |resource| numbers.value(&family(resource));
        Self { cpu: value("cpu"), memory: value("memory"), io: value("io") }
    }

    fn get(&self, resource: &str) -> Option<f64> {
        match resource {
            "cpu" => self.cpu,
            "memory" => self.memory,
            _ => self.io,
        }
    }

    fn continues(before: &Self, now: &Self) -> bool {
        let grew = |resource| match (before.get(resource), now.get(resource)) {
            (Some(before), Some(now)) => now >= before,
            _ => true,
        };
        ["cpu", "memory", "io"].into_iter().all(grew)
    }
}

fn family(resource: &str) -> String {
    format!("node_pressure_{resource}_waiting_seconds_total")
}

pub(crate) fn judge(
    plan: &[(&'static str, Levels<Share>)],
    ask: Ask<'_>,
    memory: &mut Option<Pair<Waits>>,
    report: &mut Report,
) -> Result<()> {
    let numbers = Numbers::ask(ask, "node_pressure_")?;
    let seen = Waits::of(&numbers);
    let absent_ones = plan.iter().filter(|(resource, _)| seen.get(resource).is_none());
    for (resource, _) in absent_ones {
        report.missing("pressure_above", absent(&family(resource)));
    }
    let pair = Pair::next(memory.take(), numbers.boot, seen, Waits::continues);
    if pair.both().is_none() {
        report.note("pressure: needs a second sample");
    }
    for (resource, levels) in plan {
        if let Some(share) = share(&pair, resource) {
            judge_one(resource, levels, share, report);
        }
    }
    *memory = Some(pair);
    Ok(())
}

fn share(pair: &Pair<Waits>, resource: &str) -> Option<f64> {
    let (before, now, between) = pair.both()?;
    let waited = now.get(resource)? - before.get(resource)?;
    Some((waited / between.as_secs_f64()).clamp(0.0, 1.0))
}

fn judge_one(resource: &str, levels: &Levels<Share>, share: f64, report: &mut Report) {
    report.gauge_of("pressure", Unit::Ratio, share, ("resource", resource));
    let (status, crossed) = levels.judge(|level| share > level.0);
    let beyond = crossed.map(|level| format!(" (above {})", limit(level))).unwrap_or_default();
    report.add(&format!("pressure {resource}"), status, &format!("{}{beyond}", percent(share, crossed)));
}

#[cfg(test)]
mod tests {
    use vitald_sdk::Status;

    use super::*;
    use crate::numbers::testing::{asking, sample};

    const LEVELS: Levels<Share> = Levels { warning: None, critical: Some(Share(0.2)) };

    fn run(memory: &mut Option<Pair<Waits>>, boot: u64, cpu: f64, io: f64) -> Report {
        let mut report = Report::default();
        let text = format!("{} {cpu}\n{} {io}", family("cpu"), family("io"));
        judge(&[("cpu", LEVELS), ("io", LEVELS)], &asking(sample(boot, &text)), memory, &mut report).unwrap();
        report
    }

    #[test]
    fn pressure_is_time_waited_of_the_time_that_passed() {
        let mut memory = None;
        assert_eq!(run(&mut memory, 10, 1.0, 1.0).told().unwrap().1, "pressure: needs a second sample");
        let (status, message) = run(&mut memory, 20, 1.5, 4.0).told().unwrap();
        assert_eq!(status, Status::Down);
        assert_eq!(message, "pressure io 30 % (above 20 %); pressure cpu 5 %");
        assert_eq!(run(&mut memory, 30, 0.1, 5.0).told().unwrap().1, "pressure: needs a second sample");
    }

    #[test]
    fn a_kernel_without_psi_is_said() {
        let mut report = Report::default();
        judge(&[("io", LEVELS)], &asking(sample(1, "")), &mut None, &mut report).unwrap();
        let error = report.told().unwrap_err();
        assert!(error.message().contains("there is no node_pressure_io_waiting_seconds_total"), "{error}");
    }
}
