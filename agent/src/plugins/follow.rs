//! What follows from a look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use crate::model::checkset::{Definitions, Reading, ReloadGate};
use crate::model::name::Name;

use super::inventory::Inventory;
use super::loading::{Loaded, Progress};
use super::look::{First, Looked, Recalled};
use super::settle::Saw;
use super::slot::{NotUsed, Postponed, Ready, Slot, Version};
use super::{AGAIN, Plugins, UNSETTLED, bundled, gate};

impl Plugins {
    /// Compares what is on disk with what is loaded, begins what is to be done, and publishes what follows.
    pub(super) fn take_look(&mut self, looked: Option<Looked>) {
        let now = Instant::now();
        let Some(looked) = looked else {
            tracing::error!("a look at the plugins failed; the next one comes soon");
            return self.agenda.ended(now, AGAIN);
        };
        let first = looked.first.is_some();
        if self.watch.arranged(looked.arranged) && !first {
            // What it had before it was watched may have changed since it was read.
            self.agenda.look_at(now + UNSETTLED);
        }
        self.agenda.ended(now, self.watch.safety_interval());
        let mut changed = self.take_reading();
        if !has_same_files(&looked.definitions, &self.definitions) {
            // It took so long that they are others by now.
            return self.agenda.look_at(now);
        }
        changed |= self.answers_again();
        let wanted = self.wanted(&looked.inventory);
        self.on_disk = wanted.iter().map(|(name, version)| (name.clone(), version.digest.clone())).collect();
        let saw = self.saw(&looked.inventory);
        self.sights.take(saw.into_iter(), looked.span, looked.settled);
        if looked.settled {
            // Whoever asks does not wait for the next try.
            self.slots.values_mut().for_each(Slot::retry_now);
        }
        if let Some(first) = looked.first {
            self.begin_with(first, &looked.inventory);
        }
        changed |= first | self.note_refused(&looked.inventory) | self.remove_gone(&looked.inventory);
        self.note_shadowed(looked.inventory.shadowed);
        let (moved, begun) = self.bring_all(wanted);
        changed |= moved;
        if changed {
            changed |= self.judge_held();
        }
        if first {
            self.progress = Some(Progress::new(self.began, self.loads.names().cloned().collect(), self.slots.len()));
            self.sweep.later();
        }
        if changed {
            self.publish();
        } else if begun {
            self.publish_infos();
        }
        self.write_down();
        self.agenda_for_doubts();
        self.answer_after_look();
    }

    /// What was let in; where that matters, also that there is a memory: the next start is not the first.
    fn write_down(&mut self) {
        if self.definitions.rules.reload != ReloadGate::Auto {
            self.accepted.begin();
        }
        self.accepted.save();
    }

    fn saw(&self, inventory: &Inventory) -> BTreeMap<String, Saw> {
        let gone = self.gone(inventory).map(|path| (path, Saw { what: "gone".to_owned(), unfinished: false }));
        let mut saw: BTreeMap<String, Saw> = gone.collect();
        saw.extend(inventory.seen());
        saw
    }

    /// Takes over what was read last. True if it is another configuration.
    pub(super) fn take_reading(&mut self) -> bool {
        let before = self.definitions.clone();
        match self.read.take() {
            None => {}
            Some(Reading::Good { definitions, at_next_start }) => {
                self.asked.note_configuration(&self.definitions, &definitions, at_next_start);
                self.definitions = definitions;
            }
            Some(Reading::Unsettled) => self.agenda.look_at(Instant::now() + UNSETTLED),
            Some(Reading::Wrong { mistakes, definitions }) => {
                self.asked.note_mistakes(&mistakes);
                self.definitions = definitions;
            }
        }
        !Arc::ptr_eq(&before, &self.definitions)
    }

    /// Goes on with what was let in before the agent stopped; the cache has it, so this takes no time.
    fn begin_with(&mut self, first: First, inventory: &Inventory) {
        self.accepted.restore(first.remembered);
        self.take_as_approved(inventory);
        let (accepted, others): (Vec<_>, Vec<_>) = first.recalled.into_iter().partition(|recalled| recalled.accepted);
        let (bundled, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|other| other.source == bundled::SOURCE);
        for Recalled { name, source, digest, checker, .. } in accepted.into_iter().chain(bundled) {
            let slot = self.slots.entry(name.clone()).or_default();
            let pinned = gate::against_pin(&self.definitions.rules, &name, &digest);
            if slot.running().is_some() || pinned.is_some_and(|_| source != bundled::SOURCE) {
                continue;
            }
            source.clone_into(&mut slot.source);
            if let Ok(ready) = Ready::new(source, digest, checker) {
                self.let_in(&name, ready);
            }
        }
        for Recalled { name, source, digest, checker, .. } in others {
            self.slots.entry(name.clone()).or_default().source.clone_from(&source);
            self.take_result(Loaded { name, source, digest, result: Ok(checker) });
        }
    }

    /// The very first start has nothing to hold files against. One whose memory is lost has, and does not know it.
    fn take_as_approved(&mut self, inventory: &Inventory) {
        let (rules, files) = (&self.definitions.rules, &inventory.files);
        if self.accepted.is_lost() && rules.reload == ReloadGate::Auto {
            // Nobody is asked: it begins anew.
            return self.accepted.forget_loss();
        }
        // A pin is an approval.
        let is_new = |name: &&Name| self.accepted.get(name).is_none() && !rules.pins.contains_key(*name);
        let names = files.keys().filter(is_new).map(|name| &**name).collect::<Vec<_>>().join(", ");
        if names.is_empty() {
            return;
        }
        if self.accepted.is_lost() {
            tracing::warn!(
                "which versions of plugins were let in is not known any more: those that are not remembered wait for \
                 approval: {names}"
            );
        } else if self.accepted.is_new() && rules.reload == ReloadGate::Manual {
            self.accepted.take(files.iter().map(|(name, file)| (name.clone(), file.digest.clone())).collect());
            tracing::info!("nothing is remembered of plugins: those that are there now are taken as approved: {names}");
        }
    }

    fn note_refused(&mut self, inventory: &Inventory) -> bool {
        let mut settled = Vec::new();
        for refused in &inventory.refused {
            if self.sights.may_judge(&refused.path.display().to_string()) {
                settled.push(refused.clone());
            }
        }
        if self.refused == settled {
            return false;
        }
        for refused in settled.iter().filter(|refused| !self.refused.contains(refused)) {
            tracing::error!("plugin file {} is not loaded: {}", refused.path.display(), refused.reason);
            self.asked.tell(&format!("{}: not used: {}", refused.path.display(), refused.reason));
        }
        self.refused = settled;
        true
    }

    fn note_shadowed(&mut self, shadowed: BTreeSet<PathBuf>) {
        for path in shadowed.difference(&self.shadowed) {
            tracing::info!("plugin file {} is not used: an earlier directory has one of that name", path.display());
        }
        self.shadowed = shadowed;
    }

    /// A file that cannot be read for now is not gone.
    fn is_hidden(&self, name: &Name, inventory: &Inventory) -> bool {
        let rules = &self.definitions.rules;
        let mut refused = inventory.refused.iter().filter(|refused| refused.name.as_ref() == Some(name));
        !inventory.unreadable.is_empty() || refused.any(|refused| !refused.takes_a_name(rules))
    }

    /// What should be loaded: every file, and of the bundled checkers those that a check names.
    fn wanted(&self, inventory: &Inventory) -> BTreeMap<Name, Version> {
        let used: BTreeSet<&Name> = self.definitions.checks.values().map(|check| &check.checker).collect();
        let has_file = |name: &Name| self.slots.get(name).is_some_and(Slot::is_file);
        let bundled = bundled::all()
            .filter(|(name, _)| used.contains(name) && !(has_file(name) && self.is_hidden(name, inventory)));
        // What cannot be read for now does not give way to a file of its name elsewhere.
        let files = inventory.files.iter().filter(|(name, version)| {
            let before = self.slots.get(*name).filter(|slot| slot.is_file());
            !(before.is_some_and(|slot| is_left(slot, version, inventory)) && self.is_hidden(name, inventory))
        });
        bundled.chain(files.map(|(name, version)| (name.clone(), version.clone()))).collect()
    }

    /// The paths of files that are not there any more.
    fn gone(&self, inventory: &Inventory) -> impl Iterator<Item = String> {
        let gone = |(name, slot): &(&Name, &Slot)| {
            let is_left = inventory.files.get(*name).is_none_or(|version| is_left(slot, version, inventory));
            slot.is_file() && is_left && !self.is_hidden(name, inventory)
        };
        self.slots.iter().filter(gone).map(|(_, slot)| slot.source.clone())
    }

    fn remove_gone(&mut self, inventory: &Inventory) -> bool {
        if self.unreadable != inventory.unreadable {
            for problem in &inventory.unreadable {
                tracing::error!("a plugin directory cannot be read, its plugins stay as they are: {problem}");
            }
            self.unreadable.clone_from(&inventory.unreadable);
        }
        let mut removed = false;
        for name in self.slots.keys().cloned().collect::<Vec<_>>() {
            let Some(slot) = self.slots.get(&name) else { continue };
            if self.on_disk.contains_key(&name) || (slot.is_file() && self.is_hidden(&name, inventory)) {
                continue;
            }
            // A tool that replaces a file may remove it first.
            if slot.is_file() && !self.sights.may_judge(&slot.source) {
                continue;
            }
            if slot.is_file() {
                tracing::info!(plugin = %name, "plugin {name} removed");
                self.asked.tell(&format!("{name} removed"));
            }
            self.slots.remove(&name);
            self.metrics.forget(&name);
            if let Some(progress) = &mut self.progress {
                progress.forget(&name);
            }
            removed = true;
        }
        if removed {
            self.step_ended();
        }
        removed
    }

    /// Did anything change, and was anything begun?
    fn bring_all(&mut self, wanted: BTreeMap<Name, Version>) -> (bool, bool) {
        let before = self.loads.names().count();
        let mut changed = false;
        for (name, version) in wanted {
            changed |= self.bring_to(&name, version);
        }
        (changed, self.loads.names().count() > before)
    }

    /// Brings one plugin to what is on disk, or begins to; true if anything changed.
    pub(super) fn bring_to(&mut self, name: &Name, version: Version) -> bool {
        if self.loads.has(name, &version.digest) {
            return false;
        }
        let slot = self.slots.get(name);
        // The bundled one, or a file in another directory, takes its place only once the file is really gone.
        let replaced = slot.filter(|slot| slot.is_file() && slot.source != version.source);
        let replaced = replaced.map(|slot| slot.source.clone());
        if replaced.is_some_and(|source| !self.sights.may_judge(&source)) {
            return false;
        }
        let pinned = gate::against_pin(&self.definitions.rules, name, &version.digest).filter(|_| version.is_file());
        let Some(slot) = self.slots.get_mut(name) else { return self.bring_in(name, version, pinned) };
        if slot.runs(&version.digest) {
            let moved = slot.moved_to(&version.source);
            let settled = slot.settle();
            if settled {
                tracing::info!(plugin = %name, "plugin {name} is on disk again as it runs");
                self.asked.tell(&format!("{name} is on disk again as it runs"));
            }
            return moved | settled;
        }
        if slot.held().is_some_and(|held| held.ready.digest == version.digest) {
            return false;
        }
        let judged = slot.failure().filter(|failure| failure.digest == version.digest);
        if judged.is_some_and(|failure| !failure.pinned || pinned.as_ref() == Some(&failure.text)) {
            return false;
        }
        if slot.suspect.as_ref().is_some_and(|(digest, _)| *digest == version.digest) {
            return self.sights.may_judge(&version.source) && self.judge_suspect(name);
        }
        self.bring_in(name, version, pinned)
    }

    /// Begins to load what was not looked at yet.
    fn bring_in(&mut self, name: &Name, version: Version, pinned: Option<String>) -> bool {
        if let Some(why) = pinned {
            if !self.sights.may_judge(&version.source) {
                return false;
            }
            let slot = self.slots.entry(name.clone()).or_default();
            version.source.clone_into(&mut slot.source);
            self.fail(name, &version.source, version.digest, &NotUsed::Refused(why));
            return true;
        }
        if !version.whole && !self.sights.may_judge(&version.source) {
            // At the start its checks wait for it.
            if self.progress.is_none() {
                self.slots.entry(name.clone()).or_default().source = version.source;
            }
            return false;
        }
        let postponed = self.slots.get(name).and_then(|slot| slot.postponed.as_ref());
        if let Some(until) = postponed.filter(|before| before.digest == version.digest).map(|before| before.until)
            && Instant::now() < until
        {
            self.agenda.look_at(until);
            return false;
        }
        let is_new = !self.slots.contains_key(name);
        let slot = self.slots.entry(name.clone()).or_default();
        let is_retried = slot.postponed.as_ref().is_some_and(Postponed::is_worth_a_word);
        if version.is_file() || slot.running().is_none() {
            version.source.clone_into(&mut slot.source);
        }
        let (supervisor, compiler) = (&self.supervisor, &self.wires.compiler);
        let fallback = bundled::get(name).filter(|_| version.is_file() && slot.running().is_none());
        match fallback.filter(|_| !slot.no_fallback) {
            Some(bundled) => {
                self.loads.begin(supervisor, compiler, name.clone(), bundled);
                self.loads.supersede(name);
            }
            None => self.loads.begin(supervisor, compiler, name.clone(), version),
        }
        is_new || is_retried
    }

    fn judge_suspect(&mut self, name: &Name) -> bool {
        let Some(slot) = self.slots.get_mut(name) else { return false };
        let Some((digest, error)) = slot.suspect.take() else { return false };
        let source = slot.source.clone();
        self.fail(name, &source, digest, &error);
        true
    }

    pub(super) fn agenda_for_doubts(&mut self) {
        if let Some(at) = self.sights.next() {
            self.agenda.look_at(at);
        }
    }
}

/// Do both say the same of which files are plugins?
fn has_same_files(before: &Definitions, now: &Definitions) -> bool {
    let files =
        |definitions: &Definitions| (definitions.places.plugin_dirs.clone(), definitions.rules.overrides.clone());
    files(before) == files(now)
}

/// Is the version elsewhere, and nothing any more where the name was?
fn is_left(slot: &Slot, version: &Version, inventory: &Inventory) -> bool {
    slot.source != version.source && !inventory.shadowed.contains(Path::new(&slot.source))
}
