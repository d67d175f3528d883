//! Memory that is available, and swap that is used.

use vitald_sdk::{Result, Unit};

use crate::levels::Levels;
use crate::numbers::{Ask, Numbers, absent};
use crate::report::Report;
use crate::units::{Amount, Share, Size, bytes, limit, percent};

const TOTAL: &str = "node_memory_MemTotal_bytes";
const AVAILABLE: &str = "node_memory_MemAvailable_bytes";
const SWAP_TOTAL: &str = "node_memory_SwapTotal_bytes";
const SWAP_FREE: &str = "node_memory_SwapFree_bytes";

pub(crate) fn judge(levels: &Levels<Amount>, ask: Ask<'_>, report: &mut Report) -> Result<()> {
    let numbers = Numbers::ask(ask, "node_memory_Mem")?;
    let total = numbers.value(TOTAL).filter(|total| *total > 0.0);
    let (Some(total), Some(available)) = (total, numbers.value(AVAILABLE)) else {
        report.missing("memory_available_below", absent(&format!("{AVAILABLE} or {TOTAL}")));
        return Ok(());
    };
    let share = (available / total).clamp(0.0, 1.0);
    report.gauge("memory_available", Unit::Ratio, share);
    let (status, crossed) = levels.judge(|level| match level {
        Amount::Share(Share(level)) => share < level,
        Amount::Size(Size(level)) => available < level,
    });
    let text = match crossed {
        None => format!("{} available", percent(share, None)),
        Some(Amount::Share(level)) => {
            format!("{} available (below {})", percent(share, Some(level)), limit(level))
        }
        Some(Amount::Size(Size(level))) => format!("{} available (below {})", bytes(available), bytes(level)),
    };
    report.add("memory", status, &text);
    Ok(())
}

pub(crate) fn judge_swap(levels: &Levels<Share>, ask: Ask<'_>, report: &mut Report) -> Result<()> {
    let numbers = Numbers::ask(ask, "node_memory_Swap")?;
    let (Some(total), Some(free)) = (numbers.value(SWAP_TOTAL), numbers.value(SWAP_FREE)) else {
        report.missing("swap_used_above", absent(SWAP_TOTAL));
        return Ok(());
    };
    let used = if total > 0.0 { (1.0 - free / total).clamp(0.0, 1.0) } else { 0.0 };
    report.gauge("swap_used", Unit::Ratio, used);
    let (status, crossed) = levels.judge(|level| used > level.0);
    let beyond = crossed.map(|level| format!(" (above {})", limit(level))).unwrap_or_default();
    report.add("swap", status, &format!("{} used{beyond}", percent(used, crossed)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use vitald_sdk::Status;

    use super::*;
    use crate::numbers::testing::{asking, sample};

    fn memory(levels: Levels<Amount>, available: f64) -> (Status, String) {
        let mut report = Report::default();
        let text = format!("{TOTAL} 1073741824\n{AVAILABLE} {available}");
        judge(&levels, &asking(sample(1, &text)), &mut report).unwrap();
        report.told().unwrap()
    }

    fn swap(total: f64, free: f64) -> (Status, String) {
        let mut report = Report::default();
        let levels = Levels { warning: Some(Share(0.5)), critical: None };
        judge_swap(&levels, &asking(sample(1, &format!("{SWAP_TOTAL} {total}\n{SWAP_FREE} {free}"))), &mut report)
            .unwrap();
        report.told().unwrap()
    }

    #[test]
    fn memory_by_share_and_by_size() {
        let levels = Levels { warning: Some(Amount::Share(Share(0.1))), critical: Some(Amount::Size(Size(1048576.0))) };
        assert_eq!(memory(levels, 536870912.0), (Status::Up, "memory 50 % available".into()));
        assert_eq!(memory(levels, 53687091.0), (Status::Degraded, "memory 5 % available (below 10 %)".into()));
        assert_eq!(memory(levels, 524288.0), (Status::Down, "memory 512 KiB available (below 1 MiB)".into()));
    }

    #[test]
    fn no_swap_is_none_used() {
        assert_eq!(swap(0.0, 0.0), (Status::Up, "swap 0 % used".into()));
        assert_eq!(swap(100.0, 40.0), (Status::Degraded, "swap 60 % used (above 50 %)".into()));
    }

    #[test]
    fn an_old_kernel_without_the_number_is_said() {
        let mut report = Report::default();
        let levels = Levels { warning: None, critical: Some(Amount::Share(Share(0.1))) };
        judge(&levels, &asking(sample(1, &format!("{TOTAL} 1"))), &mut report).unwrap();
        assert!(report.told().unwrap_err().message().starts_with("memory_available_below: there is no"));
    }
}
