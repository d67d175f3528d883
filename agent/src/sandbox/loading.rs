//! From a plugin's bytes to a checker: its code out of the cache or made by a compiler, linked, and asked what it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Component;

use crate::model::checkset::{Checker, Description, LoadError, Powers};
use crate::model::name::Name;
use crate::supervise::Supervisor;
use crate::telemetry::Metrics;

use super::cache::{Cache, Found, Note, Sum};
use super::captured::one_line;
use super::checker;
use super::code::{Code, is_of_the_host};
use super::compile::{Compilers, Made};
use super::metrics::{CacheMetrics, CompileMetrics};
use super::powers;
use super::store::Shared;
use super::v0_1::{self, Linker, Plugin};

pub struct Loader {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    linker: Linker,
    compilers: Compilers,
    cache: Option<Cache>,
    looks: CacheMetrics,
}

/// A plugin that was made just now.
pub struct Fresh {
    plugin: Plugin,
    pub description: Description,
    pub powers: Powers,
    /// The interfaces that it imports.
    pub imports: BTreeSet<String>,
    pub code_bytes: u64,
    pub compiled_in: Duration,
}

/// What is known of a plugin before it is asked.
struct Linked {
    plugin: Plugin,
    imports: BTreeSet<String>,
    code_bytes: u64,
    /// None: its code is not kept.
    kept: Option<Sum>,
}

impl Loader {
    pub fn new(
        shared: Arc<Shared>,
        supervisor: Supervisor,
        linker: Linker,
        cache: Option<Cache>,
        metrics: &Metrics,
    ) -> Self {
        let compilers = Compilers::new(supervisor.clone(), CompileMetrics::new(metrics));
        Self { shared, supervisor, linker, compilers, cache, looks: CacheMetrics::new(metrics) }
    }

    /// From the cache, or made.
    pub async fn load(
        self: Arc<Self>,
        name: Name,
        digest: String,
        bytes: Arc<[u8]>,
    ) -> Result<Arc<dyn Checker>, LoadError> {
        if let Some(checker) = self.clone().look(name.clone(), digest.clone(), Some("miss")).await {
            return Ok(checker);
        }
        if let Some(why) = self.clone().failed_before(digest.clone()).await {
            return Err(LoadError::Compile(format!("{why}; that was found before, and is not tried again")));
        }
        let fresh = self.clone().make(&digest, bytes).await?;
        log(&name, &fresh);
        let Fresh { plugin, description, powers, .. } = fresh;
        Ok(checker::checker(self.shared.clone(), plugin, name, digest, description, powers))
    }

    /// Why compiling this version failed and should not be paid for again.
    async fn failed_before(self: Arc<Self>, digest: String) -> Option<String> {
        self.cache.as_ref()?;
        let supervisor = self.supervisor.clone();
        supervisor.blocking(move || self.cache.as_ref()?.failure(&digest)).await.ok()?
    }

    async fn note_failure(self: Arc<Self>, digest: &str, made: &Made) {
        if let Some(why) = made.costly_failure() {
            let (this, digest, why) = (self.clone(), digest.to_owned(), why.to_owned());
            let note = move || this.cache.iter().for_each(|cache| cache.note_failure(&digest, &why));
            let _ = self.supervisor.blocking(note).await;
        }
    }

    /// From the cache alone. A miss is counted as `missing`, if at all.
    pub async fn look(
        self: Arc<Self>,
        name: Name,
        digest: String,
        missing: Option<&'static str>,
    ) -> Option<Arc<dyn Checker>> {
        self.cache.as_ref()?;
        let supervisor = self.supervisor.clone();
        supervisor.blocking(move || self.find(name, digest, missing)).await.ok()?
    }

    fn find(&self, name: Name, digest: String, missing: Option<&str>) -> Option<Arc<dyn Checker>> {
        let cache = self.cache.as_ref()?;
        let (code, note) = match cache.find(&digest) {
            Found::Hit(code, note) => (code, note),
            Found::Miss => {
                missing.into_iter().for_each(|result| self.looks.count(result));
                return None;
            }
            Found::Refused => {
                self.looks.count("refused");
                return None;
            }
        };
        let loaded = self.component(&code).and_then(|component| self.link(&component));
        let plugin = match loaded {
            Ok(plugin) => plugin,
            Err(LoadError::NoCompiler(why)) => {
                tracing::warn!(plugin = %name, "compiled code of plugin {name} is left as it is: {why}");
                missing.into_iter().for_each(|result| self.looks.count(result));
                return None;
            }
            Err(_) => {
                cache.refuse_unloadable(&digest);
                self.looks.count("refused");
                return None;
            }
        };
        self.looks.count("hit");
        tracing::debug!(plugin = %name, "plugin {name} is compiled already");
        let powers = note.powers.clone();
        Some(checker::checker(self.shared.clone(), plugin, name, digest, note.description(), powers))
    }

    /// Compiles and asks, whatever the cache has.
    pub async fn make(self: Arc<Self>, digest: &str, bytes: Arc<[u8]>) -> Result<Fresh, LoadError> {
        v0_1::begins_as_component(&bytes)?;
        let wasm_bytes = bytes.len();
        let made = self.compilers.compile(self.shared.engine.wasmtime(), bytes).await;
        self.clone().note_failure(digest, &made).await;
        let (code, took) = (made.code?, made.took);
        let link = {
            let (this, digest) = (self.clone(), digest.to_owned());
            move || this.link_made(&digest, code)
        };
        let linked = self.supervisor.blocking(link).await;
        let Linked { plugin, imports, code_bytes, kept } =
            linked.map_err(|_| LoadError::Compile("the agent failed on what the compiler made of it".into()))??;
        // Guest code runs on the guest runtime, `describe` too.
        let described = self.supervisor.run_guest(checker::describe(self.shared.clone(), plugin.clone())).await;
        let description = described.map_err(|_| LoadError::Describe("the sandbox panicked".into()))??;
        let powers = powers::powers(imports.iter().map(String::as_str));
        if let Some(sum) = kept {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let note = Note::new(sum, wasm_bytes, took, &powers, &description);
            let (this, digest) = (self.clone(), digest.to_owned());
            let complete = move || this.cache.iter().for_each(|cache| cache.complete(&digest, note.clone()));
            let _ = self.supervisor.blocking(complete).await;
        }
        Ok(Fresh { plugin, description, powers, imports, code_bytes, compiled_in: took })
    }

    /// Keeps new code if it can be kept, and runs what was kept: that is mapped from the disk, and what was just made is
    /// memory.
    fn link_made(&self, digest: &str, made: Code) -> Result<Linked, LoadError> {
        let kept = self.cache.as_ref().and_then(|cache| cache.keep(digest, &made));
        let (code, kept) = kept.map_or((made, None), |(code, sum)| (code, Some(sum)));
        let linked = self.component(&code).and_then(|component| {
            let imports = powers::imports(self.shared.engine.wasmtime(), &component);
            let code_bytes = code.size().unwrap_or_default();
            Ok(Linked { plugin: self.link(&component)?, imports, code_bytes, kept })
        });
        match (&linked, &self.cache) {
            (Ok(_) | Err(LoadError::NoCompiler(_)), _) | (Err(_), None) => {}
            (Err(_), Some(cache)) => cache.remove(digest),
        }
        linked
    }

    fn component(&self, code: &Code) -> Result<Component, LoadError> {
        code.load(self.shared.engine.wasmtime()).map_err(|error| {
            let text = one_line(&format!("{error:#}"));
            match () {
                () if is_of_the_host(&error) => LoadError::NoCompiler(format!("its code cannot be loaded: {text}")),
                () if text.contains("exceeds the") => LoadError::TooLarge(text),
                () => LoadError::Compile(text),
            }
        })
    }

    fn link(&self, component: &Component) -> Result<Plugin, LoadError> {
        v0_1::link(self.shared.engine.wasmtime(), &self.linker, component)
    }

    /// Of all versions but these the compiled code goes.
    pub fn keep_only(&self, digests: &BTreeSet<String>) {
        if let Some(cache) = &self.cache {
            cache.keep_only(digests);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn log(plugin: &Name, fresh: &Fresh) {
    let (took, mib) = (fresh.compiled_in.as_millis(), fresh.code_bytes as f64 / f64::from(1 << 20));
    tracing::info!(%plugin, "plugin {plugin} compiled in {took} ms, {mib:.1} MiB of code");
}
