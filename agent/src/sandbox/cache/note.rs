//! What is noted beside compiled code.

use serde::{Deserialize, Serialize};

use crate::model::checkset::{Description, Powers, Scheme};

/// Grows when the meaning of a field changes.
const FORMAT: u32 = 1;

/// Why a version does not compile.
#[derive(Serialize, Deserialize)]
struct Failure {
    failure: String,
    /// CRC-32 of the text.
    crc32: u32,
}

pub fn failure(why: &str) -> Vec<u8> {
    let failure = Failure { failure: why.to_owned(), crc32: crc32fast::hash(why.as_bytes()) };
    serde_json::to_vec(&failure).unwrap_or_default()
}

/// None for what is no such note.
pub fn read_failure(text: &[u8]) -> Option<String> {
    let Failure { failure, crc32 } = serde_json::from_slice(text).ok()?;
    (crc32 == crc32fast::hash(failure.as_bytes())).then_some(failure)
}

/// Of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub bytes: u64,
    pub crc32: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    format: u32,
    /// The agent's version.
    agent: String,
    /// CRC-32 of this note as it is with 0 here.
    crc32: u32,
    pub code: Sum,
    /// Of the component.
    pub wasm_bytes: usize,
    /// How long it took to compile.
    pub compile_ms: u64,
    pub powers: Powers,
    summary: String,
    version: String,
    params_schema: String,
    schemes: Vec<(String, Option<u16>)>,
}

impl Note {
    pub fn new(code: Sum, wasm_bytes: usize, compile_ms: u64, powers: &Powers, said: &Description) -> Self {
        Self {
            format: FORMAT,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            crc32: 0,
            code,
            wasm_bytes,
            compile_ms,
            powers: powers.clone(),
            summary: said.summary.clone(),
            version: said.version.clone(),
            params_schema: said.params_schema.clone(),
            schemes: said.schemes.iter().map(|scheme| (scheme.name.clone(), scheme.default_port)).collect(),
        }
    }

    /// None for what is no note, or one of another format or agent.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut note: Self = serde_json::from_slice(text).ok()?;
        let noted = std::mem::take(&mut note.crc32);
        let ours = note.format == FORMAT && note.agent == env!("CARGO_PKG_VERSION");
        (ours && noted == note.checksum()).then_some(note)
    }

    pub fn write(mut self) -> Vec<u8> {
        self.crc32 = 0;
        self.crc32 = self.checksum();
        self.text()
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(&self.text())
    }

    fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What the checker said of itself.
    pub fn description(self) -> Description {
        Description {
            summary: self.summary,
            version: self.version,
            params_schema: self.params_schema,
            schemes: self.schemes.into_iter().map(|(name, default_port)| Scheme { name, default_port }).collect(),
        }
    }
}
