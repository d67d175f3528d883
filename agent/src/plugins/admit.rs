//! What becomes of a version once it is loaded: let in, held or refused; and what is said of it.

use tokio::time::Instant;

use crate::model::checkset::LoadError;
use crate::model::name::Name;

use super::loading::Loaded;
use super::metrics::Reload;
use super::slot::{Context, Judgement, NotUsed, Postponed, Ready, Slot, Why};
use super::{AGAIN, Plugins, bundled};

/// Of the pause before a version is tried again: to four minutes.
const MOST_DOUBLINGS: u32 = 8;

impl Plugins {
    pub(super) fn take_load(&mut self, loaded: Loaded) {
        let name = loaded.name.clone();
        // What was loaded may be newer than what the last look saw, or have gone.
        let other = self.on_disk.get(&name).is_some_and(|digest| *digest != loaded.digest);
        let gone = matches!(loaded.result, Err(NotUsed::Gone));
        let superseded = self.loads.end(&name) | other | gone;
        if superseded {
            self.agenda.look_at(Instant::now());
        }
        if self.take_result(loaded) {
            self.publish();
        } else {
            self.publish_infos();
        }
        // It may have been loaded in vain, which is the end of it too.
        let waits = |slot: &Slot| slot.suspect.is_some() || slot.postponed.is_some();
        if !superseded && !self.slots.get(&name).is_some_and(waits) {
            self.step_ended_with(&name);
        }
        self.accepted.save();
        self.agenda_for_doubts();
        self.answer_after_load(&name, superseded);
    }

    /// True if anything changed.
    pub(super) fn take_result(&mut self, loaded: Loaded) -> bool {
        let Loaded { name, source, digest, result } = loaded;
        let Some(on_disk) = self.on_disk.get(&name) else { return false };
        // Its slot may have gone with the file, which came back meanwhile.
        let slot = self.slots.entry(name.clone()).or_insert_with(|| Slot::of(&source));
        let ready = result.and_then(|checker| Ok(Ready::new(source.clone(), digest.clone(), checker)?));
        let is_file = source != bundled::SOURCE;
        let is_fallback = !is_file && *on_disk != digest;
        match ready {
            // The file is back at what runs.
            Ok(_) if slot.runs(on_disk) => false,
            Ok(ready) => self.admit(&name, ready),
            Err(NotUsed::Gone) => false,
            Err(error) if error.is_passing() => self.postpone(&name, digest, &error),
            Err(error) if is_fallback => {
                slot.no_fallback = true;
                tracing::error!(plugin = %name, "the bundled plugin {name} is not used: {error}");
                false
            }
            // Something newer is there, which is loaded next.
            Err(_) if *on_disk != digest => false,
            Err(error) if is_file && !self.sights.may_judge(&source) => {
                slot.suspect = Some((digest, error));
                false
            }
            Err(error) => {
                self.fail(&name, &source, digest, &error);
                true
            }
        }
    }

    /// What says nothing of the version is tried again, later each time: what ended a compiler may do so again. True if
    /// anything is to be told of it.
    fn postpone(&mut self, name: &Name, digest: String, error: &NotUsed) -> bool {
        let Some(slot) = self.slots.get_mut(name) else { return false };
        let times = slot.postponed.take().filter(|before| before.digest == digest).map_or(0, |before| before.times);
        let until = Instant::now() + AGAIN * 2_u32.pow(times.min(MOST_DOUBLINGS));
        let postponed = Postponed { digest, until, times: times + 1, why: error.to_string() };
        let is_worth_a_word = postponed.is_worth_a_word();
        slot.postponed = Some(postponed);
        self.agenda.look_at(until);
        self.asked.tell(&format!("{name} is looked at later: {error}"));
        if times > 0 {
            return is_worth_a_word;
        }
        match error {
            NotUsed::Load(LoadError::Overloaded) => {
                tracing::warn!(plugin = %name, "plugin {name} is looked at later: the agent is too busy");
            }
            error => tracing::warn!(plugin = %name, "plugin {name} is looked at later: {error}"),
        }
        false
    }

    /// Swaps a version that works in, unless something is against it.
    fn admit(&mut self, name: &Name, ready: Ready) -> bool {
        let is_on_disk = self.on_disk.get(name) == Some(&ready.digest);
        match self.judge(name, &ready, false) {
            Judgement::LetIn => self.let_in(name, ready),
            // Something newer is there, which is loaded next.
            _ if !is_on_disk => return false,
            Judgement::Refuse(why) => self.fail(name, &ready.source.clone(), ready.digest, &NotUsed::Refused(why)),
            Judgement::Hold(why) => self.hold(name, ready, why),
        }
        true
    }

    pub(super) fn judge(&self, name: &Name, ready: &Ready, approved: bool) -> Judgement {
        let checks = self.definitions.checks.values().filter(|check| check.checker == *name);
        let context = Context {
            name,
            rules: &self.definitions.rules,
            accepted: self.accepted.get(name),
            taken: self.accepted.taken(name),
            lost: self.accepted.is_lost(),
            checks: checks.map(|check| &**check).collect(),
            approved,
        };
        self.slots.get(name).map_or(Judgement::LetIn, |slot| slot.judge(ready, &context))
    }

    pub(super) fn let_in(&mut self, name: &Name, ready: Ready) {
        let slot = self.slots.entry(name.clone()).or_default();
        slot.no_fallback = false;
        let (version, digest, source) = (ready.version().to_owned(), &ready.digest, &ready.source);
        let before = slot.running().map(|before| (before.version().to_owned(), short(&before.digest).to_owned()));
        let step = self.progress.as_mut().map(|progress| progress.done(name, true)).unwrap_or_default();
        if self.on_disk.get(name) == Some(digest) {
            source.clone_into(&mut slot.source);
            tracing::info!(plugin = %name, %digest, "plugin {name} {version} loaded from {source}{step}");
        } else {
            let by_now = format!("{} has another version by now", slot.source);
            tracing::info!(plugin = %name, %digest, "plugin {name} {version} loaded{step}; {by_now}");
        }
        if ready.is_file() {
            self.accepted.note(name, ready.entry());
        }
        let loaded = ready.digest.clone();
        slot.swap_in(ready);
        self.metrics.reloaded(name, Reload::Success);
        self.asked.tell(&match before {
            Some((before, digest)) if before == version => {
                format!("{name} {before} ({digest}) → {version} ({})", short(&loaded))
            }
            Some((before, _)) => format!("{name} {before} → {version}"),
            None => format!("{name} {version}"),
        });
        self.step_ended();
    }

    fn hold(&mut self, name: &Name, ready: Ready, why: Why) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let version = ready.version().to_owned();
        match &why {
            Why::Approval(text) => {
                tracing::warn!(
                    plugin = %name, digest = %ready.digest,
                    "plugin {name} {version} waits for approval: {text}; run `vitald plugin approve {name}`"
                );
                self.metrics.reloaded(name, Reload::Parked);
                self.asked.tell(&format!("{name} {version} waits for approval: {text}"));
                slot.hold(ready, why);
            }
            Why::Unsuitable(text) => {
                let text = format!("plugin {name} from {} is not used: {text}", ready.source);
                tracing::error!(plugin = %name, "{text}{}", slot.runs_on());
                self.metrics.reloaded(name, Reload::Failure);
                self.asked.tell(&format!("{name}: not used: {}", why.text()));
                slot.hold(ready, why);
            }
        }
        self.step_ended_with(name);
    }

    pub(super) fn fail(&mut self, name: &Name, source: &str, digest: String, error: &NotUsed) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let kept = slot.runs_on();
        tracing::error!(plugin = %name, "plugin {name} from {source} is not used: {error}{kept}");
        slot.fail(digest, error);
        self.metrics.reloaded(name, Reload::Failure);
        self.asked.tell(&format!("{name}: not used: {error}"));
        self.step_ended_with(name);
    }

    fn step_ended_with(&mut self, name: &Name) {
        let works = self.slots.get(name).is_some_and(|slot| slot.running().is_some() && slot.error().is_none());
        if let Some(progress) = &mut self.progress {
            progress.done(name, works);
        }
        self.step_ended();
    }

    pub(super) fn step_ended(&mut self) {
        self.sweep.later();
        if let Some(progress) = &mut self.progress {
            progress.say_end();
        }
    }

    /// Rules and checks may be others than when it was held.
    pub(super) fn judge_held(&mut self) -> bool {
        let mut changed = false;
        for name in self.slots.keys().cloned().collect::<Vec<_>>() {
            let Some(held) = self.slots.get_mut(&name).and_then(Slot::take_held) else { continue };
            match self.judge(&name, &held.ready, false) {
                Judgement::LetIn => self.let_in(&name, held.ready),
                Judgement::Hold(why) if why == held.why => {
                    if let Some(slot) = self.slots.get_mut(&name) {
                        slot.put_back(held);
                    }
                    continue;
                }
                Judgement::Hold(why) => self.hold(&name, held.ready, why),
                Judgement::Refuse(why) => {
                    let Ready { source, digest, .. } = held.ready;
                    self.fail(&name, &source, digest, &NotUsed::Refused(why));
                }
            }
            changed = true;
        }
        changed
    }
}

/// Enough of a digest to tell versions apart.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
