//! The memory of verdicts over a restart: one file in the state directory, written whole or not at all. It is used
//! only after the same boot, and of each check only while its evidence is younger than `stale_after`. A file that
//! cannot be used is set aside, and the agent starts fresh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;

use crate::clock;
use crate::files::kept::{self, Unusable};
use crate::model::check::CheckDef;
use crate::model::name::Name;
use crate::model::time::Moment;
use crate::model::verdict::Verdict;

use super::aggregate::ServiceMemory;

/// Changes when the file's form does.
const VERSION: u32 = 2;
/// Room for 10,000 checks that all remember as much as they may would be more; those are not typical.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// What is remembered of one check.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Remembered {
    verdict: Arc<Verdict>,
    checker: Name,
    /// Without secrets; a change of target drops the checker's state.
    target: String,
    #[serde(default, with = "base64_bytes", skip_serializing_if = "Option::is_none")]
    pub state: Option<Vec<u8>>,
}

impl Remembered {
    pub fn new(definition: &CheckDef, verdict: Arc<Verdict>, state: Option<Vec<u8>>) -> Self {
        Self { verdict, checker: definition.checker.clone(), target: target_of(definition), state }
    }

    pub fn is_younger_than(&self, age: Duration, now: Moment) -> bool {
        self.verdict.evidence.as_ref().is_some_and(|evidence| now.since(evidence.at) <= age)
    }

    /// The verdict and state, if they still say something of the check as it is defined now.
    pub fn restore(self, definition: &CheckDef, now: Moment) -> Option<(Arc<Verdict>, Option<Vec<u8>>)> {
        let evidence = self.verdict.evidence.as_ref()?;
        if now.since(evidence.at) > definition.policy.stale_after {
            return None;
        }
        let same = self.checker == definition.checker && self.target == target_of(definition);
        let verdict = Verdict { joining: false, ..Arc::unwrap_or_clone(self.verdict) };
        Some((Arc::new(verdict), self.state.filter(|_| same)))
    }
}

fn target_of(definition: &CheckDef) -> String {
    definition.target.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Everything that is remembered.
#[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    pub checks: BTreeMap<Name, Remembered>,
    pub services: BTreeMap<Name, ServiceMemory>,
}

impl Memory {
    /// What the checkers remember, of checks whose verdict is of use too.
    pub fn states(&self, defined: &BTreeMap<Name, Arc<CheckDef>>, now: Moment) -> BTreeMap<Name, Vec<u8>> {
        let state = |(name, remembered): (&Name, &Remembered)| {
            let (_, state) = remembered.clone().restore(defined.get(name)?, now)?;
            Some((name.clone(), state?))
        };
        self.checks.iter().filter_map(state).collect()
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct File {
    boot_id: Option<String>,
    memory: Memory,
}

#[derive(Debug, Clone)]
pub struct Persist {
    path: PathBuf,
    boot_id: Option<String>,
    /// A disk that cannot be written is worth one warning until it can.
    failing: bool,
}

impl Persist {
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("verdicts.json"), boot_id: clock::boot_id(), failing: false }
    }

    /// What was remembered before this start; nothing where there is nothing of use.
    pub fn load(&self, now: Moment) -> Memory {
        match kept::read::<File>(&self.path, VERSION, MAX_FILE, "the memory of verdicts is lost") {
            // Times on the boot clock mean nothing after another boot.
            Some(file) if file.boot_id == self.boot_id && self.boot_id.is_some() => sane(file.memory, now),
            _ => Memory::default(),
        }
    }

    /// Takes note of whether the memory is on disk: that it is not is a warning and never more.
    pub fn note_written(&mut self, written: &Result<(), String>) {
        match written {
            Err(problem) if !self.failing => {
                tracing::warn!("the memory of verdicts is not written, a restart would begin anew: {problem}");
            }
            Ok(()) if self.failing => tracing::info!("the memory of verdicts is written again"),
            _ => {}
        }
        self.failing = written.is_err();
    }

    /// Writes the memory down.
    pub fn write(&self, memory: &Memory) -> Result<(), Unusable> {
        #[derive(serde::Serialize)]
        struct Out<'a> {
            boot_id: &'a Option<String>,
            memory: &'a Memory,
        }
        kept::write(&self.path, VERSION, &Out { boot_id: &self.boot_id, memory })
    }
}

/// A moment that has not come yet was written by another clock.
fn sane(mut memory: Memory, now: Moment) -> Memory {
    memory.checks.retain(|_, remembered| {
        let evidence = remembered.verdict.evidence.as_ref();
        evidence.is_some_and(|evidence| evidence.at.boot <= now.boot) && remembered.verdict.since.boot <= now.boot
    });
    memory.services.retain(|_, service| service.since.boot <= now.boot);
    memory
}

mod base64_bytes {
    use super::*;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        let encode = |bytes: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
        serializer.serialize_str(&bytes.as_ref().map(encode).unwrap_or_default())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Some).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "persist_tests.rs"]
mod tests;
