//! The `host` checker: the host's own numbers held against thresholds.
//!
//! It opens nothing and reads nothing but the agent's latest sample, and asks only for the series that its thresholds
//! need. What needs two samples or a history (CPU, pressure, the trend of free space) is kept in the check's state, by
//! the time since boot: clocks that are set do not matter. A sample that is too old, or a threshold for which the host
//! has no numbers, is no judgement.

mod clock;
mod cpu;
mod disks;
mod history;
mod levels;
mod memory;
mod mounts;
mod numbers;
mod pair;
mod params;
mod plan;
mod pressure;
mod report;
#[cfg(test)]
mod tests;
mod trend;
mod units;

use serde::{Deserialize, Serialize};
use vitald_sdk::host::samples;
use vitald_sdk::{Outcome, Result, Run, checker};

use crate::numbers::{Ask, fresh};
use crate::params::Params;
use crate::plan::Plan;
use crate::report::Report;

/// What the next run has to know.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    cpu: Option<pair::Pair<cpu::Times>>,
    pressure: Option<pair::Pair<pressure::Waits>>,
    disks: Option<history::Histories>,
}

/// Holds the host's own numbers against thresholds: CPU, memory, disks, pressure, clock.
#[checker]
fn host(params: Params, run: &mut Run) -> Result<Outcome> {
    let plan = Plan::new(&params)?;
    let mut memory = run.state::<Memory>().unwrap_or_default();
    let report = judge(&plan, &|prefix| fresh(samples(prefix)?, plan.max_age), &mut memory)?;
    run.set_state(&memory)?;
    report.tell(run, plan.remembers())
}

fn judge(plan: &Plan, ask: Ask<'_>, memory: &mut Memory) -> Result<Report> {
    let mut report = Report::default();
    if let Some(levels) = &plan.cpu {
        cpu::judge(levels, ask, &mut memory.cpu, &mut report)?;
    }
    if let Some(levels) = &plan.load {
        cpu::judge_load(levels, plan.load_minutes, ask, &mut report)?;
    }
    if let Some(levels) = &plan.memory {
        memory::judge(levels, ask, &mut report)?;
    }
    if let Some(levels) = &plan.swap {
        memory::judge_swap(levels, ask, &mut report)?;
    }
    if !plan.pressure.is_empty() {
        pressure::judge(&plan.pressure, ask, &mut memory.pressure, &mut report)?;
    }
    if let Some(levels) = &plan.clock {
        clock::judge(levels, ask, &mut report)?;
    }
    if !plan.disks.is_empty() {
        disks::judge(&plan.disks, ask, &mut memory.disks, &mut report)?;
    }
    Ok(report)
}
