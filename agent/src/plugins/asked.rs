//! What operators ask: to look at everything now, and to let a version in that waits. Who asks for a look is answered
//! once everything that it began has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::model::check::CheckDef;
use crate::model::checkset::Definitions;
use crate::model::name::Name;
use crate::model::requests::{Approved, Changes, NotApproved, PluginRequest, Reloaded};

use super::Plugins;
use super::accepted::Reply;
use super::loading::Loads;
use super::slot::{Judgement, Slot, Why};

/// Lines that an answer has of each kind: a directory may be full of broken files.
const MAX_LINES: usize = 1_000;
/// A look that takes longer hangs: that is the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who asked for a look.
#[derive(Default)]
pub struct Asked {
    /// Before the next look.
    waiting: Vec<Open>,
    /// Whose look is under way, or what it began.
    open: Vec<Open>,
}

struct Open {
    /// None: nobody waits.
    answer: Option<oneshot::Sender<Reloaded>>,
    since: Instant,
    /// Loads that are not over; none while the look itself is not.
    loads: Option<BTreeSet<Name>>,
    reloaded: Reloaded,
}

impl Asked {
    fn ask(&mut self, answer: Option<oneshot::Sender<Reloaded>>) {
        self.waiting.push(Open { answer, since: Instant::now(), loads: None, reloaded: Reloaded::default() });
    }

    /// A look begins; did somebody ask for it?
    pub fn begin_look(&mut self) -> bool {
        self.open.append(&mut self.waiting);
        self.open.iter().any(|open| open.loads.is_none())
    }

    /// Says to all who wait what became of a plugin.
    pub fn tell(&mut self, line: &str) {
        for open in self.open.iter_mut().filter(|open| open.reloaded.plugins.len() < MAX_LINES) {
            open.reloaded.plugins.push(line.to_owned());
        }
    }

    pub fn note_mistakes(&mut self, mistakes: &[String]) {
        for open in self.open.iter_mut().filter(|open| open.loads.is_none()) {
            open.reloaded.mistakes = mistakes.iter().take(MAX_LINES).cloned().collect();
        }
    }

    /// Takes in what was read, and says what of it is new.
    pub fn note_configuration(
        &mut self,
        before: &Arc<Definitions>,
        now: &Arc<Definitions>,
        at_next_start: Vec<String>,
    ) {
        let (checks, services) = changes(before, now);
        if !Arc::ptr_eq(before, now) {
            let told = told(&checks, &services, before.rules != now.rules);
            if !told.is_empty() {
                tracing::info!("configuration taken over: {told}");
            }
            let renewed = renewed(before, now);
            if !renewed.is_empty() {
                tracing::info!("other secrets are in force: those of {}", renewed.join(", "));
            }
        }
        for open in self.open.iter_mut().filter(|open| open.loads.is_none()) {
            if Arc::ptr_eq(before, now) && open.reloaded.checks != Changes::default() {
                // Read once more while the look at the plugins hangs: what was new stays said.
                continue;
            }
            (open.reloaded.checks, open.reloaded.services) = (checks.clone(), services.clone());
            open.reloaded.at_next_start.clone_from(&at_next_start);
        }
    }

    /// When somebody is to be told that the look has not ended.
    pub fn patience_ends(&self) -> Option<Instant> {
        let looks = self.waiting.iter().chain(&self.open).filter(|open| open.loads.is_none());
        looks.map(|open| open.since + PATIENCE).min()
    }

    fn take_late(&mut self, now: Instant) -> Vec<Open> {
        let late = |open: &mut Open| open.loads.is_none() && open.since + PATIENCE <= now;
        let mut taken: Vec<Open> = self.waiting.extract_if(.., late).collect();
        taken.extend(self.open.extract_if(.., late));
        taken
    }

    /// A look ended, or a load: those for whom nothing is left to wait for.
    fn take_finished(&mut self) -> Vec<Open> {
        let finished = |open: &mut Open| open.loads.as_ref().is_some_and(BTreeSet::is_empty);
        self.open.extract_if(.., finished).collect()
    }
}

/// Checks that are defined as before and have other secrets.
fn renewed<'a>(before: &Definitions, now: &'a Definitions) -> Vec<&'a str> {
    let is_renewed = |(name, check): &(&Name, &Arc<CheckDef>)| {
        before
            .checks
            .get(*name)
            .is_some_and(|old| old.is_defined_as(check) && (&old.params, &old.target) != (&check.params, &check.target))
    };
    now.checks.iter().filter(is_renewed).map(|(name, _)| &**name).collect()
}

impl Plugins {
    pub(super) fn take_request(&mut self, request: PluginRequest) {
        match request {
            PluginRequest::Reload { answer } => {
                self.asked.ask(answer);
                self.agenda.look_at(Instant::now());
            }
            PluginRequest::Approve { name, digest, answer } => match self.approve(&name, digest.as_deref()) {
                Ok(approved) => self.accepted.save_and_reply(&name, Reply { approved, answer }),
                // Whoever asked may have gone.
                Err(refused) => drop(answer.send(Err(refused))),
            },
        }
    }

    fn approve(&mut self, name: &Name, digest: Option<&str>) -> Result<Approved, NotApproved> {
        let is_listed = |name: &Name| self.wires.infos.borrow().iter().any(|info| info.name == *name);
        let Some(slot) = self.slots.get_mut(name) else {
            let not = if is_listed(name) { NotApproved::NotPending } else { NotApproved::Unknown };
            return Err(not(name.clone()));
        };
        let Some(held) = slot.take_held() else { return Err(NotApproved::NotPending(name.clone())) };
        let (version, waits) = (held.ready.version().to_owned(), held.ready.digest.clone());
        let refused = if digest.is_some_and(|digest| digest.is_empty() || !waits.starts_with(digest)) {
            NotApproved::Another { name: name.clone(), version, digest: waits }
        } else {
            match self.judge(name, &held.ready, true) {
                Judgement::LetIn => {
                    tracing::info!(plugin = %name, digest = %waits, "plugin {name} {version} approved");
                    let notes = self.differs(name, &waits).into_iter().collect();
                    self.let_in(name, held.ready);
                    self.end_loss();
                    self.publish();
                    return Ok(Approved { version, digest: waits, notes, unwritten: None });
                }
                Judgement::Hold(Why::Approval(why) | Why::Unsuitable(why)) | Judgement::Refuse(why) => {
                    NotApproved::Unusable(why)
                }
            }
        };
        if let Some(slot) = self.slots.get_mut(name) {
            slot.put_back(held);
        }
        Err(refused)
    }

    /// What is to be said where the version that waits is not what is on disk by now.
    fn differs(&self, name: &Name, waits: &str) -> Option<String> {
        match self.on_disk.get(name) {
            Some(digest) if digest == waits => None,
            Some(digest) => Some(format!("the file is another by now (sha256:{digest}), which is judged for itself")),
            None => Some("the file cannot be read by now".to_owned()),
        }
    }

    /// Once nothing waits any more the operator has seen everything that the agent cannot vouch for.
    fn end_loss(&mut self) {
        let waits = |slot: &Slot| slot.held().is_some() || slot.running().is_none();
        if self.unreadable.is_empty() && self.loads.is_empty() && !self.slots.values().any(waits) {
            self.accepted.forget_loss();
        }
    }

    pub(super) fn answer_after_look(&mut self) {
        for open in &mut self.asked.open {
            match &mut open.loads {
                // What was begun by others may be what it waits for.
                loads @ None => *loads = Some(self.loads.names().cloned().collect()),
                Some(loads) => loads.retain(|name| is_loading(&self.loads, name)),
            }
        }
        self.answer_finished();
    }

    /// What was superseded is loaded again after the next look.
    pub(super) fn answer_after_load(&mut self, name: &Name, superseded: bool) {
        if !superseded {
            for loads in self.asked.open.iter_mut().filter_map(|open| open.loads.as_mut()) {
                loads.remove(name);
            }
        }
        self.answer_finished();
    }

    fn answer_finished(&mut self) {
        let finished = self.asked.take_finished();
        self.answer(finished);
    }

    /// Those whose look does not end are told what is known.
    pub(super) fn answer_late(&mut self, now: Instant) {
        let late = self.asked.take_late(now);
        self.answer(late);
    }

    fn answer(&self, finished: Vec<Open>) {
        if finished.is_empty() {
            return;
        }
        let troubles: Vec<String> = self.troubles().into_iter().take(MAX_LINES).collect();
        for Open { answer, reloaded, .. } in finished {
            if let Some(answer) = answer {
                // Whoever asked may have given up.
                let _ = answer.send(Reloaded { troubles: troubles.clone(), ..reloaded });
            }
        }
    }
}

fn is_loading(loads: &Loads, name: &Name) -> bool {
    loads.digest_of(name).is_some()
}

fn changes(before: &Definitions, now: &Definitions) -> (Changes, Changes) {
    let checks = compare(&before.checks, &now.checks, |a, b| Arc::ptr_eq(a, b) || a.is_defined_as(b));
    (checks, compare(&before.services, &now.services, |a, b| a == b))
}

fn compare<T>(before: &BTreeMap<Name, T>, now: &BTreeMap<Name, T>, same: impl Fn(&T, &T) -> bool) -> Changes {
    let mut changes = Changes::default();
    for (name, value) in now {
        match before.get(name) {
            None => changes.added.push(name.clone()),
            Some(old) if same(old, value) => changes.unchanged += 1,
            Some(_) => changes.changed.push(name.clone()),
        }
    }
    changes.removed = before.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
    changes
}

/// `2 checks added, 1 changed, 97 unchanged; 1 service removed`; empty where nothing changed.
fn told(checks: &Changes, services: &Changes, rules: bool) -> String {
    let mut parts: Vec<String> = [("check", checks), ("service", services)].into_iter().filter_map(counted).collect();
    if rules {
        parts.push("the rules for plugins changed".to_owned());
    }
    parts.join("; ")
}

fn counted((noun, changes): (&str, &Changes)) -> Option<String> {
    let Changes { added, changed, removed, unchanged } = changes;
    let counts = [(added.len(), "added"), (changed.len(), "changed"), (removed.len(), "removed")];
    let mut words = counts.into_iter().filter(|(count, _)| *count > 0);
    let (count, word) = words.next()?;
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!("{count} {noun}{plural} {word}");
    let rest = (*unchanged > 0).then_some((*unchanged, "unchanged"));
    for (count, word) in words.chain(rest) {
        text.push_str(&format!(", {count} {word}"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use crate::model::testing::{definition, name};

    use super::*;

    fn definitions(checks: &[(&str, &str)]) -> Definitions {
        let check = |(own, target): &(&str, &str)| {
            let mut check = definition(own, &[]);
            check.written.target = (*target).into();
            (name(own), Arc::new(check))
        };
        Definitions { checks: checks.iter().map(check).collect(), ..Definitions::default() }
    }

    #[test]
    fn checks_are_compared_by_definition() {
        let before = definitions(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let mut now = definitions(&[("b", "2"), ("c", "1"), ("d", "1"), ("e", "1")]);
        let mut moved = definition("c", &[]);
        moved.written.target = "1".into();
        moved.origin = "elsewhere.toml:9".into();
        now.checks.insert(name("c"), Arc::new(moved));
        let (checks, services) = changes(&before, &now);
        assert_eq!((checks.added, checks.changed), (vec![name("d"), name("e")], vec![name("b")]));
        assert_eq!((checks.removed, checks.unchanged), (vec![name("a")], 1));
        assert_eq!(services, Changes::default());
    }

    #[test]
    fn what_changed_is_said_in_one_line() {
        let names = |count: usize| vec![name("x"); count];
        let checks = Changes { added: names(2), changed: names(1), removed: names(1), unchanged: 97 };
        let services = Changes { removed: names(1), ..Changes::default() };
        assert_eq!(told(&checks, &Changes::default(), false), "2 checks added, 1 changed, 1 removed, 97 unchanged");
        assert_eq!(told(&Changes::default(), &services, true), "1 service removed; the rules for plugins changed");
        assert_eq!(told(&Changes { unchanged: 3, ..Changes::default() }, &Changes::default(), false), "");
    }
}
