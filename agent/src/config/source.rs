//! Reading the configuration again while the agent runs: the main file, and the drop-ins of the conf dirs that it names
//! now. A configuration with a mistake anywhere changes nothing, and says so once until it changes again; the secrets
//! of what runs are read again all the same. What only a start takes over is named.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Gauge, IntGauge};
use tokio::sync::watch;

use crate::clock;
use crate::etcd::Credentials;
use crate::model::checkset::{DefinitionSource, Definitions, Reading};
use crate::model::requests::Reload;
use crate::model::time::Moment;
use crate::telemetry::Metrics;

use super::effective::{self, Difference};
use super::reading::{self, Read};
use super::{Config, LastGood, Mistake, Mistakes, Origin, Purpose, Running, Section, Sources, make, with_mistakes};

/// Checks and services go only once nothing else was seen for so long: a file that is made by `generator > x.toml` is
/// there in part until the generator ends.
const VANISHING: Duration = Duration::from_secs(2);

/// Implements [`DefinitionSource`] over the files.
pub struct ReloadingSource {
    main: PathBuf,
    origin: Origin,
    running: Running,
    /// What runs until the next start.
    at_start: Vec<Section>,
    last_good: LastGood,
    pub(super) vanishing: Duration,
    state: Mutex<State>,
    successful: Arc<IntGauge>,
    succeeded_at: Arc<Gauge>,
    /// How that stands, for people.
    reload: watch::Sender<Reload>,
}

struct State {
    definitions: Arc<Definitions>,
    /// What it was made from.
    sources: Sources,
    /// The last good copy holds the same.
    kept: bool,
    /// The last look, taken over or not.
    seen: Option<Look>,
    /// When that was first seen.
    since: Moment,
    /// What was said last: the same mistakes are not reported twice.
    complaint: String,
    /// Said already, of what only a start takes over.
    announced: Vec<Difference>,
    /// Said already, of secrets that a start wants.
    absent: Vec<String>,
}

/// What one reading of everything gave.
#[derive(PartialEq)]
struct Look {
    /// None: there is no main file that could be read.
    sources: Option<Sources>,
    /// Secrets are in it: one that changed makes another look, though the texts are the same.
    made: Result<Made, Vec<String>>,
    /// Where there are mistakes: what runs, with its secrets as they are now. None: they make no sense.
    renewed: Option<Made>,
}

#[derive(Clone, PartialEq)]
struct Made {
    definitions: Arc<Definitions>,
    at_start: Vec<Section>,
    /// Secrets that a start wants.
    absent: Vec<Mistake>,
    /// Of etcd.
    user: Option<Credentials>,
}

impl From<Config> for Made {
    fn from(config: Config) -> Self {
        let user = config.registry.and_then(|registry| registry.etcd.credentials);
        Self { definitions: config.definitions, at_start: config.at_start, absent: config.absent, user }
    }
}

impl ReloadingSource {
    /// `config` is what the agent starts with, made from `sources`.
    pub fn new(config: &Config, sources: Sources, last_good: LastGood, origin: Origin, metrics: &Metrics) -> Self {
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
        let main = sources.main.path.clone();
        let state = Mutex::new(State {
            definitions: config.definitions.clone(),
            sources,
            kept: true,
            seen: None,
            since: now,
            complaint: String::new(),
            announced: Vec::new(),
            absent: Vec::new(),
        });
        let (reload, _) =
            watch::channel(Reload { read: now, taken_over: now, origin: origin.word(), ..Reload::default() });
        Self {
            main,
            origin,
            running: Running { agent_id: config.agent_id.clone(), registry: config.registry.clone() },
            at_start: config.at_start.clone(),
            last_good,
            vanishing: VANISHING,
            state,
            successful,
            succeeded_at,
            reload,
        }
    }

    /// The agent runs on its last good copy: what is on disk is not what runs.
    pub fn started_from_copy(&self) {
        self.successful.set(0);
        let mistake = "the configuration could not be used at the start; the log of the start says why".to_owned();
        self.reload.send_modify(|reload| (reload.mistake, reload.mistakes) = (Some(mistake), 1));
    }

    /// How the files stand, from now on.
    pub fn reload(&self) -> watch::Receiver<Reload> {
        self.reload.subscribe()
    }

    /// Reads every file once, and the secrets that they name.
    fn look(&self, state: &State) -> (Look, Result<Made, Mistakes>) {
        let held = || state.sources.drop_ins.iter().map(|file| file.path.clone()).collect();
        let (sources, made) = match reading::read(&self.main, held) {
            Ok(Read { sources, mistakes }) => {
                let made = with_mistakes(mistakes, self.make(&sources));
                (Some(sources), made)
            }
            Err(mistakes) => (None, Err(mistakes)),
        };
        let (kept, renewed) = match &made {
            Ok(made) => (Ok(made.clone()), None),
            Err(mistakes) => (Err(lines(mistakes)), self.make(&state.sources).ok()),
        };
        (Look { sources, made: kept, renewed }, made)
    }

    fn make(&self, sources: &Sources) -> Result<Made, Mistakes> {
        make(sources, Purpose::Running(&self.running)).map(|(config, _)| config.into())
    }

    /// Is it what runs?
    fn runs(&self, state: &State, look: &Look) -> bool {
        let Ok(made) = &look.made else { return false };
        look.sources.as_ref() == Some(&state.sources) && made.definitions == state.definitions
    }

    fn accept(&self, state: &mut State, sources: Sources, made: Made) -> Reading {
        let now = clock::now();
        if state.sources != sources || !state.kept {
            self.keep(state, &sources);
            state.sources = sources;
        }
        if !state.complaint.is_empty() {
            tracing::info!("the configuration is good again");
        }
        state.complaint.clear();
        self.successful.set(1);
        self.succeeded_at.set(now.wall.as_secs_f64());
        // An equal value keeps its identity, so that readers see at once that nothing changed.
        let changed = state.definitions != made.definitions;
        if changed {
            state.definitions = made.definitions.clone();
        }
        self.renew_password(&made.user);
        let at_next_start = self.announce(state, &made);
        self.reload.send_modify(|reload| {
            let taken_over = if changed { now } else { reload.taken_over };
            *reload = Reload {
                read: now,
                taken_over,
                origin: Origin::File.word(),
                at_next_start: at_next_start.clone(),
                ..Reload::default()
            };
        });
        Reading::Good { definitions: state.definitions.clone(), at_next_start }
    }

    /// It is tried again at every look, and said once.
    fn keep(&self, state: &mut State, sources: &Sources) {
        let saved = self.last_good.save(sources);
        match &saved {
            Err(error) if state.kept => {
                tracing::warn!("the copy of the configuration cannot be kept: {error}; a start may need it");
            }
            Ok(()) if !state.kept => tracing::info!("the copy of the configuration is kept again"),
            _ => {}
        }
        state.kept = saved.is_ok();
    }

    /// Each change is said once; the lines are those of all of them.
    fn announce(&self, state: &mut State, made: &Made) -> Vec<String> {
        let Made { at_start: written, absent, user, .. } = made;
        let mut found = effective::differences(&self.at_start, written);
        found.retain(|difference| !absent.iter().any(|mistake| mistake.place.key == difference.key));
        // That of the same user is in force already.
        found.retain(|difference| difference.key != "registry.password" || self.same_user(user).is_none());
        for difference in &found {
            if !state.announced.iter().any(|said| said.is_same(difference)) {
                tracing::warn!("{}", difference.line);
            }
        }
        if found.is_empty() && !state.announced.is_empty() {
            tracing::info!("nothing waits for the next start any more");
        }
        let absent: Vec<String> = absent.iter().map(|mistake| format!("{mistake}; the next start wants it")).collect();
        for line in absent.iter().filter(|line| !state.absent.contains(line)) {
            tracing::warn!("{line}");
        }
        let lines = found.iter().map(|difference| difference.line.clone()).chain(absent.clone()).collect();
        (state.announced, state.absent) = (found, absent);
        lines
    }

    /// A secret that changed is no change of definition: of the user that the agent is to etcd, the next connection says
    /// the password as it is now.
    fn renew_password(&self, written: &Option<Credentials>) {
        if let (Some(runs), Some(written)) = (self.same_user(written), written)
            && runs.password.set(written.password.get())
        {
            tracing::info!("etcd's password was changed: the next connection uses it");
        }
    }

    /// Who the agent is to etcd, if that is who is written.
    fn same_user(&self, written: &Option<Credentials>) -> Option<&Credentials> {
        let runs = self.running.registry.as_ref()?.etcd.credentials.as_ref()?;
        written.as_ref().filter(|written| written.username == runs.username).map(|_| runs)
    }

    fn refuse(&self, state: &mut State, mistakes: &Mistakes, renewed: Option<Made>) -> Reading {
        let complaint = mistakes.to_string();
        let now = clock::now();
        self.successful.set(0);
        if let Some(renewed) = &renewed {
            self.renew_password(&renewed.user);
        }
        let renewed = renewed.map(|made| made.definitions).filter(|renewed| *renewed != state.definitions);
        let is_renewed = renewed.is_some();
        if let Some(renewed) = renewed {
            tracing::info!("secrets that changed are taken over; what is written waits until all mistakes are gone");
            state.definitions = renewed;
        }
        self.reload.send_modify(|reload| {
            let (mistake, mistakes) = (mistakes.0.first().map(ToString::to_string), mistakes.0.len());
            let taken_over = if is_renewed { now } else { reload.taken_over };
            *reload = Reload { read: now, taken_over, mistake, mistakes, ..std::mem::take(reload) };
        });
        if complaint != state.complaint {
            for mistake in &mistakes.0 {
                tracing::error!("configuration not taken over: {mistake}");
            }
            state.complaint = complaint;
        }
        Reading::Wrong { mistakes: lines(mistakes), definitions: state.definitions.clone() }
    }
}

fn lines(mistakes: &Mistakes) -> Vec<String> {
    mistakes.0.iter().map(ToString::to_string).collect()
}

/// Is anything not there any more?
fn loses(before: &Definitions, now: &Definitions) -> bool {
    before.checks.keys().any(|name| !now.checks.contains_key(name))
        || before.services.keys().any(|name| !now.services.contains_key(name))
}

impl DefinitionSource for ReloadingSource {
    fn load(&self, settled: bool) -> Reading {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.origin == Origin::Demo {
            self.reload.send_modify(|reload| reload.read = clock::now());
            return Reading::Good { definitions: state.definitions.clone(), at_next_start: Vec::new() };
        }
        let began = clock::now();
        let (look, made) = self.look(&state);
        if state.seen.as_ref() != Some(&look) {
            state.since = clock::now();
        }
        let is_loss = look.made.as_ref().is_ok_and(|made| loses(&state.definitions, &made.definitions));
        let wait = if is_loss { self.vanishing } else { Duration::ZERO };
        let is_old = state.seen.as_ref() == Some(&look) && began.since(state.since) >= wait;
        let known = is_old || self.runs(&state, &look);
        let (sources, renewed) = (look.sources.clone(), look.renewed.clone());
        state.seen = Some(look);
        if !known && !settled {
            return Reading::Unsettled;
        }
        match (made, sources) {
            (Ok(made), Some(sources)) => self.accept(&mut state, sources, made),
            (Err(mistakes), _) => self.refuse(&mut state, &mistakes, renewed),
            // A configuration is made of sources.
            (Ok(_), None) => Reading::Unsettled,
        }
    }
}
