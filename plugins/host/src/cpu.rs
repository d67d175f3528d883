//! CPU use between two samples, and the load per CPU.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vitald_sdk::host::Series;
use vitald_sdk::{Result, Unit};

use crate::levels::Levels;
use crate::numbers::{Ask, Numbers, absent};
use crate::pair::Pair;
use crate::report::Report;
use crate::units::{Share, limit, percent};

pub(crate) const SECONDS: &str = "node_cpu_seconds_total";
/// What the kernel's counter of idle time may go back by without anything having happened.
const JITTER: f64 = 1.0;

/// Seconds of all CPUs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    cpus: usize,
    idle: f64,
    total: f64,
}

impl Times {
    /// None without any.
    fn of(series: &[Series]) -> Option<Self> {
        let times = series.iter().filter(|series| series.name == SECONDS);
        let idles = |series: &Series| matches!(series.label("mode"), Some("idle" | "iowait"));
        let idle = times.clone().filter(|series| idles(series)).map(|series| series.value).sum();
        let total = times.map(|series| series.value).sum();
        let cpus = count(series);
        (cpus > 0).then_some(Self { cpus, idle, total })
    }

    /// A CPU that came or went brings or takes its whole past.
    fn continues(before: &Self, now: &Self) -> bool {
        before.cpus == now.cpus && now.total >= before.total && now.idle >= before.idle - JITTER
    }

    /// None where no time has passed for them.
    fn used(before: &Self, now: &Self) -> Option<f64> {
        let (total, idle) = (now.total - before.total, now.idle - before.idle);
        (total > 0.0).then(|| (1.0 - idle / total).clamp(0.0, 1.0))
    }
}

fn count(series: &[Series]) -> usize {
    let times = series.iter().filter(|series| series.name == SECONDS);
    times.filter_map(|series| series.label("cpu")).collect::<BTreeSet<_>>().len()
}

pub(crate) fn judge(
    levels: &Levels<Share>,
    ask: Ask<'_>,
    memory: &mut Option<Pair<Times>>,
    report: &mut Report,
) -> Result<()> {
    let numbers = Numbers::ask(ask, SECONDS)?;
    let Some(times) = Times::of(&numbers.series) else {
        report.missing("cpu_above", absent(SECONDS));
        return Ok(());
    };
    let pair = Pair::next(memory.take(), numbers.boot, times, Times::continues);
    let used = pair.both().and_then(|(before, now, _)| Times::used(before, now));
    *memory = Some(pair);
    let Some(used) = used else {
        report.note("cpu: needs a second sample");
        return Ok(());
    };
    report.gauge("cpu_used", Unit::Ratio, used);
    let (status, crossed) = levels.judge(|level| used > level.0);
    let beyond = crossed.map(|level| format!(" (above {})", limit(level))).unwrap_or_default();
    report.add("cpu", status, &format!("{} used{beyond}", percent(used, crossed)));
    Ok(())
}

pub(crate) fn judge_load(levels: &Levels<f64>, minutes: u8, ask: Ask<'_>, report: &mut Report) -> Result<()> {
    let name = format!("node_load{minutes}");
    let load = Numbers::ask(ask, &name)?.value(&name);
    let cpus = count(&Numbers::ask(ask, SECONDS)?.series);
    let Some(load) = load.filter(|_| cpus > 0) else {
        report.missing("load_per_cpu_above", absent(&format!("{name} or {SECONDS}")));
        return Ok(());
    };
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^53 CPUs")]
    let per_cpu = load / cpus as f64;
    report.gauge("load_per_cpu", Unit::None, per_cpu);
    let (status, crossed) = levels.judge(|level| per_cpu > level);
    let beyond = crossed.map(|level| format!(" (above {level})")).unwrap_or_default();
    report.add("load", status, &format!("{per_cpu:.2} per CPU over {minutes} min{beyond}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vitald_sdk::Status;

    use super::*;
    use crate::numbers::testing::{asking, sample};

    const LEVELS: Levels<Share> = Levels { warning: Some(Share(0.5)), critical: Some(Share(0.9)) };

    /// Two CPUs, with these seconds of work, idleness and waiting each.
    fn times(user: f64, idle: f64, iowait: f64) -> String {
        let of = |cpu, mode, value| format!("{SECONDS}{{cpu=\"{cpu}\",mode=\"{mode}\"}} {value}\n");
        (0..2).flat_map(|cpu| [of(cpu, "user", user), of(cpu, "idle", idle), of(cpu, "iowait", iowait)]).collect()
    }

    fn run(memory: &mut Option<Pair<Times>>, boot: u64, text: &str) -> (Status, String) {
        let mut report = Report::default();
        judge(&LEVELS, &asking(sample(boot, text)), memory, &mut report).unwrap();
        report.told().unwrap()
    }

    #[test]
    fn use_is_what_happened_between_two_samples() {
        let mut memory = None;
        let first = run(&mut memory, 100, &times(90.0, 10.0, 0.0));
        assert_eq!(first, (Status::Up, "cpu: needs a second sample".into()));
        assert_eq!(run(&mut memory, 110, &times(91.0, 17.0, 2.0)), (Status::Up, "cpu 10 % used".into()));
        // The same sample again, as a run sees it that comes early.
        assert_eq!(run(&mut memory, 110, &times(91.0, 17.0, 2.0)), (Status::Up, "cpu 10 % used".into()));
        let busy = run(&mut memory, 120, &times(97.0, 21.0, 2.0));
        assert_eq!(busy, (Status::Degraded, "cpu 60 % used (above 50 %)".into()));
        assert_eq!(run(&mut memory, 130, &times(107.0, 21.0, 2.0)).0, Status::Down);
    }

    #[test]
    fn counters_that_went_back_another_boot_and_other_cpus_start_anew() {
        let (old, later) = (times(90.0, 10.0, 0.0), times(95.0, 15.0, 0.0));
        let one_cpu: String = later
            .lines()
            .filter(|line| line.contains("cpu=\"0\""))
            .fold(String::new(), |text, line| text + line + "\n");
        for (boot, text) in [(110, times(1.0, 1.0, 0.0)), (5, later.clone()), (110, one_cpu), (110, old.clone())] {
            let mut memory = None;
            run(&mut memory, 100, &old);
            assert_eq!(run(&mut memory, boot, &text).1, "cpu: needs a second sample");
        }
    }

    #[test]
    fn the_load_is_divided_by_the_cpus() {
        let mut report = Report::default();
        let text = times(1.0, 1.0, 0.0) + "node_load5 5\nnode_load1 9\n";
        judge_load(&Levels { warning: None, critical: Some(2.0) }, 5, &asking(sample(1, &text)), &mut report).unwrap();
        assert_eq!(report.value("load_per_cpu"), Some(2.5));
        assert_eq!(report.told().unwrap(), (Status::Down, "load 2.50 per CPU over 5 min (above 2)".into()));
    }

    #[test]
    fn a_threshold_without_numbers_is_said() {
        let mut report = Report::default();
        judge(&LEVELS, &asking(sample(1, "")), &mut None, &mut report).unwrap();
        judge_load(&Levels { warning: None, critical: Some(2.0) }, 5, &asking(sample(1, "")), &mut report).unwrap();
        let error = report.told().unwrap_err();
        assert!(error.message().starts_with("cpu_above: there is no node_cpu_seconds_total"), "{error}");
        assert!(error.message().contains("load_per_cpu_above: there is no node_load5"), "{error}");
    }

    proptest! {
        #[test]
        fn use_is_always_a_share(values in proptest::collection::vec(0.0..1e9_f64, 6)) {
            let mut memory = None;
            run(&mut memory, 1, &times(values[0], values[1], values[2]));
            run(&mut memory, 2, &times(values[3], values[4], values[5]));
            let used = memory.as_ref().and_then(Pair::both).and_then(|(before, now, _)| Times::used(before, now));
            prop_assert!(used.is_none_or(|used| (0.0..=1.0).contains(&used)));
        }
    }
}
