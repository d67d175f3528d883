//! What the parameters mean: every threshold parsed, every mistake with the parameter's name.

use std::time::Duration;

use vitald_sdk::{Error, Result};

use crate::levels::{Bad, Levels, numbers, parse, written};
use crate::mounts::Selection;
use crate::params::{Params, Pressure, Severity};
use crate::units::{Amount, Share};

/// A trend that took longer than this to see would be over before it is told.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);

/// All that a run looks at.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cpu: Option<Levels<Share>>,
    pub(crate) load: Option<Levels<f64>>,
    pub(crate) load_minutes: u8,
    pub(crate) memory: Option<Levels<Amount>>,
    pub(crate) swap: Option<Levels<Share>>,
    /// By resource, as the kernel calls them.
    pub(crate) pressure: Vec<(&'static str, Levels<Share>)>,
    pub(crate) clock: Option<Levels<Duration>>,
    pub(crate) disks: DiskPlan,
    pub(crate) max_age: Duration,
}

/// What is looked at for each mount.
#[derive(Debug)]
pub(crate) struct DiskPlan {
    pub(crate) used: Option<Levels<Share>>,
    pub(crate) inodes: Option<Levels<Share>>,
    pub(crate) full_within: Option<Levels<Duration>>,
    pub(crate) trend_needs: Duration,
    pub(crate) read_only: Option<Severity>,
    pub(crate) unreachable: Option<Severity>,
    pub(crate) selection: Selection,
}

impl Plan {
    pub(crate) fn new(params: &Params) -> Result<Self> {
        let plan = Self {
            cpu: written("cpu_above", params.cpu_above.as_ref(), Bad::Above)?,
            load: numbers("load_per_cpu_above", params.load_per_cpu_above.as_ref())?,
            load_minutes: params.load_minutes,
            memory: written("memory_available_below", params.memory_available_below.as_ref(), Bad::Below)?,
            swap: written("swap_used_above", params.swap_used_above.as_ref(), Bad::Above)?,
            pressure: pressure(params.pressure_above.as_ref())?,
            clock: written("clock_skew", params.clock_skew.as_ref(), Bad::Above)?,
            disks: DiskPlan::new(params)?,
            max_age: parse("max_age", &params.max_age)?,
        };
        if plan.is_empty() {
            let problem = "params: no threshold is set: write at least one, such as { cpu_above = \"90%\", \
                           memory_available_below = \"5%\", disk_used_above = \"90%\" }";
            return Err(Error::invalid_params(problem));
        }
        Ok(plan)
    }

    /// Something needs what earlier runs saw.
    pub(crate) fn remembers(&self) -> bool {
        self.cpu.is_some() || !self.pressure.is_empty() || self.disks.full_within.is_some()
    }

    fn is_empty(&self) -> bool {
        let numbers = self.cpu.is_none() && self.load.is_none() && self.memory.is_none() && self.swap.is_none();
        numbers && self.pressure.is_empty() && self.clock.is_none() && self.disks.is_empty()
    }
}

impl DiskPlan {
    fn new(params: &Params) -> Result<Self> {
        let full_within: Option<Levels<Duration>> =
            written("disk_full_within", params.disk_full_within.as_ref(), Bad::Below)?;
        let trend_needs = parse("trend_needs", &params.trend_needs)?;
        let longest = full_within.iter().flat_map(Levels::iter).chain([trend_needs]).max();
        if longest > Some(LONGEST) {
            return Err(Error::invalid_params("params: disk_full_within and trend_needs are at most 90 days"));
        }
        Ok(Self {
            used: written("disk_used_above", params.disk_used_above.as_ref(), Bad::Above)?,
            inodes: written("inodes_used_above", params.inodes_used_above.as_ref(), Bad::Above)?,
            full_within,
            trend_needs,
            read_only: params.read_only,
            unreachable: params.unreachable,
            selection: Selection {
                mounts: params.mounts.clone(),
                exclude_mounts: params.exclude_mounts.clone(),
                exclude_types: params.exclude_types.clone(),
            },
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.space_key().is_none() && self.read_only.is_none() && self.unreachable.is_none()
    }

    /// The first of the thresholds of space that is set, as the operator calls it.
    pub(crate) fn space_key(&self) -> Option<&'static str> {
        let keys = [
            (self.used.is_some(), "disk_used_above"),
            (self.inodes.is_some(), "inodes_used_above"),
            (self.full_within.is_some(), "disk_full_within"),
        ];
        keys.into_iter().find_map(|(set, key)| set.then_some(key))
    }

    /// The first of all.
    pub(crate) fn first_key(&self) -> &'static str {
        let flag = if self.read_only.is_some() { "read_only" } else { "unreachable" };
        self.space_key().unwrap_or(flag)
    }
}

fn pressure(raw: Option<&Pressure>) -> Result<Vec<(&'static str, Levels<Share>)>> {
    let all = raw.map(Pressure::all).transpose()?.flatten();
    let each = match (&all, raw) {
        (Some(levels), _) => [Some(levels); 3],
        (None, Some(Pressure::Table(each))) => [each.cpu.as_ref(), each.memory.as_ref(), each.io.as_ref()],
        _ => [None, None, None],
    };
    let keys = [("cpu", "pressure_above.cpu"), ("memory", "pressure_above.memory"), ("io", "pressure_above.io")];
    let mut plan = Vec::new();
    for ((resource, key), raw) in keys.into_iter().zip(each) {
        plan.extend(written(key, raw, Bad::Above)?.map(|levels| (resource, levels)));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plan(params: Value) -> Result<Plan> {
        Plan::new(&serde_json::from_value(params).expect("they satisfy the schema"))
    }

    fn mistake(params: Value) -> String {
        plan(params).unwrap_err().to_string()
    }

    #[test]
    fn one_value_or_two() {
        let plan = plan(json!({
            "cpu_above": "90%",
            "disk_full_within": {"warning": "24h", "critical": "4h"},
            "pressure_above": {"memory": "10%", "io": {"warning": "40%"}},
            "load_per_cpu_above": 2,
        }))
        .unwrap();
        assert_eq!(plan.cpu.unwrap().critical, Some(Share(0.9)));
        assert_eq!(plan.disks.full_within.unwrap().warning, Some(Duration::from_secs(86_400)));
        assert_eq!(plan.pressure.iter().map(|(resource, _)| *resource).collect::<Vec<_>>(), ["memory", "io"]);
        assert_eq!(plan.load.unwrap().critical, Some(2.0));
    }

    #[test]
    fn one_pressure_is_that_of_all() {
        for all in [json!("20%"), json!({"warning": "10%", "critical": "20%"})] {
            assert_eq!(plan(json!({"pressure_above": all})).unwrap().pressure.len(), 3);
        }
    }

    #[test]
    fn no_threshold_is_a_mistake_that_says_what_to_write() {
        for none in [json!({}), json!({"mounts": ["/"], "max_age": "2m"})] {
            assert!(mistake(none).contains("no threshold is set: write at least one, such as { cpu_above"));
        }
        assert!(plan(json!({"read_only": "warning"})).is_ok());
    }

    #[test]
    fn mistakes_have_their_key() {
        let cases = [
            (json!({"memory_available_below": "5"}), "params.memory_available_below: \"5\": write a percentage or a"),
            (json!({"pressure_above": {"io": "x"}}), "params.pressure_above.io: \"x\": write"),
            (json!({"pressure_above": "x"}), "params.pressure_above"),
            (
                json!({"pressure_above": {"warning": "10%", "io": "20%"}}),
                "params.pressure_above: write either warning and critical, for all resources, or cpu, memory and io",
            ),
            (json!({"disk_used_above": "100%"}), "params.disk_used_above: \"100%\" is never crossed: write less"),
            (json!({"cpu_above": {"warning": "100%"}}), "params.cpu_above: \"100%\" is never crossed: write less"),
            (
                json!({"memory_available_below": "0%"}),
                "params.memory_available_below: \"0%\" is never crossed: write mo",
            ),
            (json!({"memory_available_below": "0 B"}), "is never crossed: write more, such as \"5%\""),
            (json!({"memory_available_below": "-0%"}), "write a percentage or a size"),
            (json!({"disk_full_within": {"warning": "1h", "critical": "2h"}}), "params.disk_full_within: warning"),
            (json!({"disk_full_within": "1y"}), "at most 90 days"),
            (json!({"cpu_above": "90%", "max_age": "0s"}), "params.max_age: \"0s\": write a length of time"),
        ];
        for (params, says) in cases {
            let said = mistake(params);
            assert!(said.contains(says), "{said} has no {says:?}");
        }
    }
}
