//! Reading the drop-ins again while the agent runs. The main file's own tables stay as they were at the start; a
//! configuration with a mistake changes nothing, and says so once until it changes again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, IntGauge};
use tokio::sync::watch;

use crate::clock;
use crate::model::checkset::{DefinitionSource, Definitions};
use crate::model::requests::Reload;
use crate::telemetry::Metrics;

use super::{LastGood, Mistakes, SourceFile, Sources, build, read_drop_ins};

/// Implements [`DefinitionSource`] over the files.
pub struct ReloadingSource {
    main: SourceFile,
    conf_dirs: Vec<PathBuf>,
    last_good: LastGood,
    state: Mutex<State>,
    successful: Arc<IntGauge>,
    succeeded_at: Arc<Gauge>,
    /// How that stands, for people.
    reload: watch::Sender<Reload>,
}

struct State {
    definitions: Arc<Definitions>,
    /// What the last good copy holds.
    saved: Sources,
    /// What was said last: the same mistakes are not reported twice.
    complaint: String,
}

impl ReloadingSource {
    pub fn new(
        sources: Sources,
        definitions: Arc<Definitions>,
        conf_dirs: Vec<PathBuf>,
        last_good: LastGood,
        metrics: &Metrics,
    ) -> Self {
        let successful = metrics.gauge(
            "vitald_config_last_reload_successful",
            "Whether the configuration on disk was good when it was last read: 1 or 0.",
        );
        let succeeded_at = metrics.gauge_f64(
            "vitald_config_last_reload_success_timestamp_seconds",
            "When the configuration was last read and good, in seconds since the Unix epoch.",
        );
        successful.set(1);
        let now = clock::now();
        succeeded_at.set(now.wall.as_secs_f64());
        let state = Mutex::new(State { definitions, saved: sources.clone(), complaint: String::new() });
        let (reload, _) = watch::channel(Reload { read: now, taken_over: now, mistake: None, mistakes: 0 });
        Self { main: sources.main, conf_dirs, last_good, state, successful, succeeded_at, reload }
    }

    /// The agent runs on its last good copy: what is on disk is not what runs.
    pub fn started_from_copy(&self) {
        self.successful.set(0);
        let mistake = "the main file could not be used at the start; the log of the start says why".to_owned();
        self.reload.send_modify(|reload| (reload.mistake, reload.mistakes) = (Some(mistake), 1));
    }

    /// How the files stand, from now on.
    pub fn reload(&self) -> watch::Receiver<Reload> {
        self.reload.subscribe()
    }

    fn accept(&self, state: &mut State, sources: Sources, definitions: Definitions) -> Arc<Definitions> {
        if state.saved != sources {
            if let Err(error) = self.last_good.save(&sources) {
                tracing::warn!("the copy of the configuration could not be kept: {error}");
            }
            state.saved = sources;
        }
        if !state.complaint.is_empty() {
            tracing::info!("the configuration is good again");
        }
        state.complaint.clear();
        let now = clock::now();
        self.successful.set(1);
        self.succeeded_at.set(now.wall.as_secs_f64());
        // An equal value keeps its identity, so that readers see at once that nothing changed.
        let changed = *state.definitions != definitions;
        if changed {
            state.definitions = Arc::new(definitions);
        }
        self.reload.send_modify(|reload| {
            let taken_over = if changed { now } else { reload.taken_over };
            *reload = Reload { read: now, taken_over, mistake: None, mistakes: 0 };
        });
        state.definitions.clone()
    }

    fn refuse(&self, state: &mut State, mistakes: &Mistakes) {
        let complaint = mistakes.to_string();
        self.successful.set(0);
        self.reload.send_modify(|reload| {
            let (mistake, mistakes) = (mistakes.0.first().map(ToString::to_string), mistakes.0.len());
            *reload = Reload { read: clock::now(), mistake, mistakes, ..*reload };
        });
        if complaint != state.complaint {
            for mistake in &mistakes.0 {
                tracing::error!("configuration not taken over: {mistake}");
            }
            state.complaint = complaint;
        }
    }
}

impl DefinitionSource for ReloadingSource {
    fn load(&self) -> Option<Arc<Definitions>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (drop_ins, mistakes) = read_drop_ins(&self.conf_dirs);
        if !mistakes.is_empty() {
            self.refuse(&mut state, &Mistakes(mistakes));
            return None;
        }
        let sources = Sources { main: self.main.clone(), drop_ins };
        match build(&sources) {
            Ok(config) => {
                let definitions = Arc::unwrap_or_clone(config.definitions);
                Some(self.accept(&mut state, sources, definitions))
            }
            Err(mistakes) => {
                self.refuse(&mut state, &mistakes);
                None
            }
        }
    }
}
