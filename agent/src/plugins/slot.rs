//! One plugin name: the version that runs, and what is known of the one on disk where that is another.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use crate::files::Stamp;
use crate::model::check::CheckDef;
use crate::model::checkset::{Checker, LoadError, PluginRules};
use crate::model::name::Name;
use crate::model::target::Endpoint;

use super::accepted::Entry;
use super::gate::{self, Before, Candidate, Decision};
use super::schema::{ParamsSchema, SchemaError};
use super::{bind, bundled};

/// What a plugin is by its content, and where that is from. The bytes are read once they are to be compiled.
#[derive(Debug, Clone)]
pub struct Version {
    /// `bundled`, or the file's path.
    pub source: String,
    /// SHA-256 of the bytes, in hex.
    pub digest: String,
    /// Its outline is that of a whole component.
    pub whole: bool,
    /// More bytes may make it one.
    pub unfinished: bool,
    /// Of the file, if it is one.
    pub stamp: Option<Stamp>,
}

impl Version {
    pub fn is_file(&self) -> bool {
        self.source != bundled::SOURCE
    }
}

/// A version that works.
pub struct Ready {
    pub checker: Arc<dyn Checker>,
    pub schema: ParamsSchema,
    pub source: String,
    pub digest: String,
}

impl Ready {
    pub fn new(source: String, digest: String, checker: Arc<dyn Checker>) -> Result<Self, SchemaError> {
        let schema = ParamsSchema::parse(&checker.description().params_schema)?;
        Ok(Self { checker, schema, source, digest })
    }

    /// Where a check may connect to with this version; why it does not take the check's parameters or target.
    pub fn suits(&self, check: &CheckDef) -> Result<Vec<Endpoint>, String> {
        self.schema.check(&check.params)?;
        bind::endpoints(check, self.checker.description())
    }

    /// What it says of itself.
    pub fn version(&self) -> &str {
        &self.checker.description().version
    }

    pub fn is_file(&self) -> bool {
        self.source != bundled::SOURCE
    }

    /// How it is remembered.
    pub fn entry(&self) -> Entry {
        let (digest, version) = (self.digest.clone(), self.version().to_owned());
        Entry { digest, version, powers: self.checker.powers().clone() }
    }
}

/// Why a version is not used.
#[derive(Debug, thiserror::Error)]
pub enum NotUsed {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its params-schema is not usable: {0}")]
    Schema(#[from] SchemaError),
    #[error("it does not suit check {check}, which runs: {problem}")]
    Unsuitable { check: Name, problem: String },
    #[error("{0}")]
    Refused(String),
    #[error("the agent itself failed over it; the log says more")]
    Panicked,
    #[error("its file cannot be read any more as it was seen")]
    Gone,
}

impl NotUsed {
    /// Says nothing of the plugin: it is to be tried again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Load(LoadError::Overloaded | LoadError::NoCompiler(_)))
    }
}

/// A version that works and is not let in, for now.
pub struct Held {
    pub ready: Ready,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// An operator is to approve it.
    Approval(String),
    /// It would stop checks that run.
    Unsuitable(String),
}

impl Why {
    pub fn text(&self) -> &str {
        match self {
            Self::Approval(text) | Self::Unsuitable(text) => text,
        }
    }
}

/// What a new version is held against.
pub struct Context<'a> {
    pub name: &'a Name,
    pub rules: &'a PluginRules,
    /// What was let in last as a file.
    pub accepted: Option<&'a Entry>,
    /// Was there when the agent began to remember.
    pub taken: Option<&'a String>,
    /// What was let in before the agent stopped may be lost.
    pub lost: bool,
    /// Checks that name it.
    pub checks: Vec<&'a CheckDef>,
    /// An operator approves it.
    pub approved: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    LetIn,
    Hold(Why),
    Refuse(String),
}

/// What was wrong with a version on disk.
pub struct Failure {
    pub digest: String,
    pub text: String,
    /// Not for what it is, but because of a pin, which may change.
    pub pinned: bool,
}

/// Tries after which a version that could not be loaded for now is worth a word to everybody.
const PATIENCE: u32 = 2;

/// A load that came to nothing for a reason that is not the version's.
pub struct Postponed {
    pub digest: String,
    /// Not to be tried before.
    pub until: Instant,
    /// So often already.
    pub times: u32,
    pub why: String,
}

impl Postponed {
    pub fn is_worth_a_word(&self) -> bool {
        self.times >= PATIENCE
    }
}

#[derive(Default)]
pub struct Slot {
    /// Of what is on disk: `bundled`, or the file's path.
    pub source: String,
    running: Option<Ready>,
    held: Option<Held>,
    failure: Option<Failure>,
    /// A failure at first sight: the file may have been half written. Judged at the second.
    pub suspect: Option<(String, NotUsed)>,
    /// The bundled version, which would run until the file works, does not work itself.
    pub no_fallback: bool,
    /// Loading it has to wait.
    pub postponed: Option<Postponed>,
}

impl Slot {
    /// Nothing is known yet of what is there.
    pub fn of(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }

    /// Is what is on disk a file?
    pub fn is_file(&self) -> bool {
        self.source != bundled::SOURCE
    }

    /// What runs.
    pub fn running(&self) -> Option<&Ready> {
        self.running.as_ref()
    }

    pub fn runs(&self, digest: &str) -> bool {
        self.running.as_ref().is_some_and(|ready| ready.digest == digest)
    }

    /// What is said of what runs where the file is not used.
    pub fn runs_on(&self) -> &'static str {
        match &self.running {
            Some(ready) if ready.is_file() => "; the version before it runs on",
            Some(_) => "; the bundled one runs",
            None => "",
        }
    }

    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Why what is on disk does not run.
    pub fn error(&self) -> Option<&str> {
        let failure = self.failure.as_ref().map(|failure| failure.text.as_str());
        failure.or_else(|| self.held.as_ref().map(|held| held.why.text()))
    }

    /// Digests of what may run again.
    pub fn known(&self) -> BTreeSet<String> {
        let running = self.running.iter().map(|ready| &ready.digest);
        let held = self.held.iter().map(|held| &held.ready.digest);
        let failure = self.failure.iter().filter(|failure| !failure.pinned).map(|failure| &failure.digest);
        let suspect = self.suspect.iter().map(|(digest, _)| digest);
        running.chain(held).chain(failure).chain(suspect).cloned().collect()
    }

    /// Holds a version that works against the checks that run and against the gate.
    pub fn judge(&self, new: &Ready, context: &Context<'_>) -> Judgement {
        if !new.is_file() {
            return Judgement::LetIn;
        }
        if let Err(unsuitable) = self.refuse_regression(new, &context.checks) {
            return Judgement::Hold(Why::Unsuitable(unsuitable.to_string()));
        }
        let accepted = context.accepted.map(|entry| Before { digest: &entry.digest, powers: &entry.powers });
        let running = self.running.as_ref();
        let running = running.map(|ready| Before { digest: &ready.digest, powers: ready.checker.powers() });
        let candidate = Candidate {
            digest: &new.digest,
            powers: new.checker.powers(),
            bundled: false,
            taken: context.taken == Some(&new.digest),
            lost: context.lost && context.accepted.is_none(),
        };
        match gate::decide(context.rules, context.name, accepted.or(running), candidate) {
            Decision::LetIn => Judgement::LetIn,
            Decision::Park(_) if context.approved => Judgement::LetIn,
            Decision::Park(why) => Judgement::Hold(Why::Approval(why)),
            Decision::Refuse(why) => Judgement::Refuse(why),
        }
    }

    /// A check that runs must not be stopped by a new version of its checker.
    fn refuse_regression(&self, next: &Ready, checks: &[&CheckDef]) -> Result<(), NotUsed> {
        let Some(ready) = &self.running else { return Ok(()) };
        let lost = checks.iter().find_map(|check| {
            let problem = next.suits(check).err()?;
            ready.suits(check).is_ok().then(|| NotUsed::Unsuitable { check: check.name.clone(), problem })
        });
        lost.map_or(Ok(()), Err)
    }

    /// Swaps a version in. Runs in flight end on the one before.
    pub fn swap_in(&mut self, ready: Ready) {
        self.settle();
        self.running = Some(ready);
    }

    /// What is on disk is what runs: nothing else is to be said. True if something was.
    pub fn settle(&mut self) -> bool {
        (self.suspect, self.postponed) = (None, None);
        let (held, failure) = (self.held.take(), self.failure.take());
        held.is_some() || failure.is_some()
    }

    pub fn hold(&mut self, ready: Ready, why: Why) {
        self.settle();
        self.held = Some(Held { ready, why });
    }

    /// What was postponed is not, any more.
    pub fn retry_now(&mut self) {
        if let Some(before) = &mut self.postponed {
            before.until = Instant::now();
        }
    }

    /// Takes what is held out, to be judged anew.
    pub fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    pub fn put_back(&mut self, held: Held) {
        self.held = Some(held);
    }

    pub fn fail(&mut self, digest: String, error: &NotUsed) {
        self.settle();
        let pinned = matches!(error, NotUsed::Refused(_));
        self.failure = Some(Failure { digest, text: error.to_string(), pinned });
    }

    /// The same file under another path, or a bundled one that became a file.
    pub fn moved_to(&mut self, source: &str) -> bool {
        let moved = self.source != source;
        source.clone_into(&mut self.source);
        match &mut self.running {
            Some(ready) if ready.source != source => {
                source.clone_into(&mut ready.source);
                true
            }
            _ => moved,
        }
    }
}
