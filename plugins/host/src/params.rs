//! The parameters as they are typed. Their comments are what an operator is shown; [`Plan`](crate::plan::Plan) is what
//! they mean.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use vitald_sdk::{Error, Result, params};

/// Thresholds over the host's numbers. Each takes one value, beyond which the check is DOWN, or a table with two:
/// { warning = "80%", critical = "90%" } is DEGRADED beyond the first and DOWN beyond the second.
#[params]
#[serde(default)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Params {
    /// Share of the time that all CPUs together worked since the last run: "90%". Waiting for a disk is not work; what
    /// the hypervisor took is.
    #[schemars(with = "Levels<String>")]
    pub(crate) cpu_above: Option<Levels<String>>,
    /// The load, divided by the number of CPUs: 2.0. Which load, load_minutes says.
    #[schemars(with = "Levels<f64>")]
    pub(crate) load_per_cpu_above: Option<Levels<f64>>,
    /// The load of how many minutes load_per_cpu_above looks at: 1, 5 or 15.
    #[schemars(extend("enum" = [1, 5, 15]))]
    #[serde(deserialize_with = "load_minutes")]
    pub(crate) load_minutes: u8,
    /// Memory that programs can still get without swapping: "5%", or "512MiB".
    #[schemars(with = "Levels<String>")]
    pub(crate) memory_available_below: Option<Levels<String>>,
    /// Share of the swap space that is used: "80%". A host without swap has none used.
    #[schemars(with = "Levels<String>")]
    pub(crate) swap_used_above: Option<Levels<String>>,
    /// Share of the time since the last run in which something waited for a resource (PSI, "some"): "20%" for each of
    /// CPU, memory and I/O, or a table: { memory = "10%", io = { warning = "40%", critical = "70%" } }.
    #[schemars(with = "Pressure")]
    pub(crate) pressure_above: Option<Pressure>,
    /// How far the clock is off its reference, either way, by what its NTP daemon tells the kernel (the offset, or the
    /// estimated error if that is larger): "100ms". A clock that nobody synchronises is DEGRADED, because nobody knows.
    #[schemars(with = "Levels<String>")]
    pub(crate) clock_skew: Option<Levels<String>>,
    /// Used share of each mount's space, as df counts it: "90%". Read-only mounts are left out.
    #[schemars(with = "Levels<String>")]
    pub(crate) disk_used_above: Option<Levels<String>>,
    /// Used share of each mount's inodes, where it has a number of them: "90%". Read-only mounts are left out.
    #[schemars(with = "Levels<String>")]
    pub(crate) inodes_used_above: Option<Levels<String>>,
    /// A mount that will be full within that time if it goes on filling as it did: "24h". It looks no further ahead
    /// than it has looked back. Read-only mounts are left out.
    #[schemars(with = "Levels<String>")]
    pub(crate) disk_full_within: Option<Levels<String>>,
    /// How long disk_full_within watches a mount fill before it says anything.
    pub(crate) trend_needs: String,
    /// What a mount that is read-only means: "warning" (DEGRADED) or "critical" (DOWN).
    #[schemars(with = "Severity")]
    pub(crate) read_only: Option<Severity>,
    /// What a mount that does not answer means: "warning" (DEGRADED) or "critical" (DOWN).
    #[schemars(with = "Severity")]
    pub(crate) unreachable: Option<Severity>,
    /// The mount points to look at, `*` for any text: ["/", "/var*"]. All that [host] shows if left out. Where
    /// nothing is mounted at one that is named without a `*`, the check cannot judge.
    pub(crate) mounts: Vec<String>,
    /// The mount points to leave out, `*` for any text: ["/mnt/backup*"].
    pub(crate) exclude_mounts: Vec<String>,
    /// The types of file systems to leave out, `*` for any text: ["tmpfs", "nfs*"].
    pub(crate) exclude_types: Vec<String>,
    /// Older numbers are not judged. More than three times the interval of [host].
    pub(crate) max_age: String,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            cpu_above: None,
            load_per_cpu_above: None,
            load_minutes: 5,
            memory_available_below: None,
            swap_used_above: None,
            pressure_above: None,
            clock_skew: None,
            disk_used_above: None,
            inodes_used_above: None,
            disk_full_within: None,
            trend_needs: "30m".into(),
            read_only: None,
            unreachable: None,
            mounts: Vec::new(),
            exclude_mounts: Vec::new(),
            exclude_types: Vec::new(),
            max_age: "1m".into(),
        }
    }
}

/// To a schema 5.0 is 5, to serde it is not.
fn load_minutes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match f64::deserialize(deserializer)? {
        1.0 => Ok(1),
        5.0 => Ok(5),
        15.0 => Ok(15),
        _ => Err(de::Error::custom("params.load_minutes: write 1, 5 or 15")),
    }
}

/// One value, or two.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Levels<T> {
    One(T),
    Two(Two<T>),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Two<T> {
    pub(crate) warning: Option<T>,
    pub(crate) critical: Option<T>,
}

/// Not derived: `anyOf` gives errors that say nothing but that nothing fits.
impl<T: JsonSchema> JsonSchema for Levels<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Levels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({
            "type": [one.get("type"), "object"],
            "properties": { "warning": one, "critical": one },
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}

/// One for all resources, or each for itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Pressure {
    One(String),
    Table(PressureOf),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PressureOf {
    pub(crate) cpu: Option<Levels<String>>,
    pub(crate) memory: Option<Levels<String>>,
    pub(crate) io: Option<Levels<String>>,
    warning: Option<String>,
    critical: Option<String>,
}

impl Pressure {
    /// The levels of all resources, if they are not each for itself.
    pub(crate) fn all(&self) -> Result<Option<Levels<String>>> {
        let table = match self {
            Self::One(value) => return Ok(Some(Levels::One(value.clone()))),
            Self::Table(table) => table,
        };
        let each = table.cpu.is_some() || table.memory.is_some() || table.io.is_some();
        let all = table.warning.is_some() || table.critical.is_some();
        if each && all {
            let problem = "params.pressure_above: write either warning and critical, for all resources, or cpu, memory \
                           and io";
            return Err(Error::invalid_params(problem));
        }
        let two = Two { warning: table.warning.clone(), critical: table.critical.clone() };
        Ok(all.then_some(Levels::Two(two)))
    }
}

impl JsonSchema for Pressure {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Pressure".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Levels<String>>();
        json_schema!({
            "type": ["string", "object"],
            "properties": {
                "cpu": one, "memory": one, "io": one,
                "warning": { "type": "string" }, "critical": { "type": "string" },
            },
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}

/// How bad something is that has no number.
#[params]
#[serde(rename_all = "lowercase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    // DEGRADED and DOWN. No doc comments: with them the schema is one of several constants, and a mistake is not told
    // the words.
    Warning,
    Critical,
}
