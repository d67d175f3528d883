//! What is published: the checks with what is to be said beside them, and how the plugins stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::checkset::{CheckSet, PendingInfo, PluginInfo};
use crate::model::name::Name;

use super::slot::{Held, Slot, Version, Why};
use super::{Plugins, bind, bundled};

impl Plugins {
    pub(super) fn publish(&mut self) {
        let infos = self.publish_infos();
        let notices = self.notices(&infos);
        let blind = self.is_blind();
        let checks = bind::bind_all(&mut self.bound, &self.definitions, &self.slots, &self.refused, blind);
        let set = CheckSet { definitions: self.definitions.clone(), checks, notices, loaded: true };
        self.wires.checks.send_replace(Arc::new(set));
    }

    /// How the plugins stand, and nothing that the checks would have to be bound anew for.
    pub(super) fn publish_infos(&self) -> Arc<[PluginInfo]> {
        let infos: Arc<[PluginInfo]> = self.infos().into();
        self.metrics.publish(&infos);
        self.wires.infos.send_replace(infos.clone());
        infos
    }

    /// What does not run as it is on disk, a line each.
    pub(super) fn troubles(&self) -> Vec<String> {
        let infos = self.infos();
        let troubled = infos.iter().filter(|info| info.error.is_some());
        let line = |info: &PluginInfo| {
            let error = info.error.as_deref().unwrap_or_default();
            match (info.state, &info.version) {
                ("pending", _) => format!("{} waits for approval: {error}", info.name),
                (_, Some(version)) if info.source == bundled::SOURCE => {
                    format!("{}: not used: {error}; the bundled {version} runs", info.name)
                }
                (_, Some(version)) => format!("{}: not used: {error}; {version} runs on", info.name),
                (_, None) => format!("{}: not used: {error}", info.name),
            }
        };
        let mut lines: Vec<String> = troubled.map(line).collect();
        let nameless = self.refused.iter().filter(|refused| refused.name.is_none());
        lines.extend(nameless.map(|refused| format!("{}: not used: {}", refused.path.display(), refused.reason)));
        lines.extend(self.silent.iter().map(|what| format!("{what} does not answer")));
        lines.extend(self.unreadable.iter().map(|dir| format!("a plugin directory cannot be read: {dir}")));
        lines
    }

    /// What is to be said of each check beside its verdict.
    fn notices(&self, infos: &[PluginInfo]) -> BTreeMap<Name, Arc<str>> {
        let mut notices = BTreeMap::new();
        for info in infos {
            let Some(notice) = notice(info) else { continue };
            let notice: Arc<str> = notice.into();
            notices.extend(info.checks.iter().map(|check| (check.clone(), notice.clone())));
        }
        if let Some(dir) = self.silent.as_ref().filter(|_| self.is_blind()) {
            let notice: Arc<str> = format!("its plugin is not known: {dir} does not answer").into();
            let unknown = self.definitions.checks.values().filter(|check| !self.slots.contains_key(&check.checker));
            notices.extend(unknown.map(|check| (check.name.clone(), notice.clone())));
        }
        notices
    }

    /// It is not known which plugins there are.
    fn is_blind(&self) -> bool {
        self.silent.is_some() && self.looking.is_under_way()
    }

    fn infos(&self) -> Vec<PluginInfo> {
        let loaded = self.slots.iter().map(|(name, slot)| self.info(name, slot));
        let unused = bundled::all().filter(|(name, _)| !self.slots.contains_key(name));
        let unused = unused.map(|(name, version)| {
            let error = self.refusal(&name);
            PluginInfo { error, ..unused_info(name, &version) }
        });
        let has_slot = |name: &Name| self.slots.contains_key(name);
        let others = self.refused.iter().filter(|refused| !refused.name.as_ref().is_some_and(has_slot));
        // A bundled one that is not used stays listed as such.
        let others = others.filter(|refused| !refused.name.as_ref().is_some_and(|name| bundled::has(name)));
        let others = others.filter_map(|refused| {
            let mut info = refused.info()?;
            info.checks = self.users(&info.name);
            Some(info)
        });
        let mut infos: Vec<PluginInfo> = loaded.chain(unused).chain(others).collect();
        infos.sort_by(|one, other| (&one.name, &one.source).cmp(&(&other.name, &other.source)));
        infos
    }

    /// Why a file of that name is not even looked at.
    fn refusal(&self, name: &Name) -> Option<String> {
        let refused = self.refused.iter().find(|refused| refused.name.as_ref() == Some(name));
        refused.map(|refused| of_file(&refused.path.display().to_string(), &refused.reason))
    }

    /// Checks that name it.
    fn users(&self, name: &Name) -> Vec<Name> {
        let own = self.definitions.checks.values().filter(|check| check.checker == *name);
        own.map(|check| check.name.clone()).collect()
    }

    fn info(&self, name: &Name, slot: &Slot) -> PluginInfo {
        let running = slot.running();
        let description = running.map(|ready| ready.checker.description());
        let parked = slot.held().filter(|held| matches!(held.why, Why::Approval(_)));
        let postponed = slot.postponed.as_ref().filter(|before| before.is_worth_a_word());
        let waits = running.is_none() && slot.error().is_none() && postponed.is_some();
        let by_bundled = running.is_some_and(|ready| !ready.is_file());
        let own = slot.error().map(|error| if by_bundled { of_file(&slot.source, error) } else { error.to_owned() });
        let error = own.or_else(|| self.refusal(name));
        let error = error.or_else(|| postponed.map(|before| before.why.clone()));
        let state = match (running, &error, parked) {
            _ if waits && self.loads.digest_of(name).is_none() => "waiting",
            (_, _, Some(_)) => "pending",
            (Some(_), None, _) => "ready",
            (Some(_), Some(_), _) => "kept",
            (None, Some(_), _) => "broken",
            (None, None, _) => "compiling",
        };
        PluginInfo {
            name: name.clone(),
            source: running.map_or(&slot.source, |ready| &ready.source).clone(),
            state,
            digest: running.map(|ready| ready.digest.clone()),
            version: description.map(|description| description.version.clone()),
            summary: description.map(|description| description.summary.clone()),
            schemes: description.map(|description| description.schemes.clone()).unwrap_or_default(),
            params_schema: description.and_then(|d| serde_json::from_str(&d.params_schema).ok()),
            powers: running.map(|ready| ready.checker.powers().clone()).unwrap_or_default(),
            pending: parked.map(pending),
            loading: self.loads.digest_of(name).cloned(),
            checks: self.users(name),
            error,
        }
    }
}

/// Where it is not that file which runs its path is said with what is wrong with it.
fn of_file(path: &str, error: &str) -> String {
    if error.contains(path) { error.to_owned() } else { format!("{path}: {error}") }
}

fn pending(held: &Held) -> PendingInfo {
    PendingInfo {
        digest: held.ready.digest.clone(),
        version: held.ready.version().to_owned(),
        powers: held.ready.checker.powers().clone(),
        why: held.why.text().to_owned(),
    }
}

fn notice(info: &PluginInfo) -> Option<String> {
    let (name, error) = (&info.name, info.error.as_deref().unwrap_or_default());
    match (info.state, &info.pending) {
        ("compiling", _) if error.is_empty() => Some(format!("its plugin {name} is being compiled")),
        ("compiling" | "waiting", _) => Some(format!("its plugin {name} is still to be compiled: {error}")),
        ("kept", _) if info.source == bundled::SOURCE => {
            Some(format!("the file of its plugin {name} is not used, the bundled one runs: {error}"))
        }
        ("kept", _) => {
            Some(format!("the file of its plugin {name} is not used, the version before it runs on: {error}"))
        }
        ("pending", Some(pending)) => {
            Some(format!("version {} of its plugin {name} waits for approval: {}", pending.version, pending.why))
        }
        _ => None,
    }
}

/// A bundled checker that no check names.
fn unused_info(name: Name, version: &Version) -> PluginInfo {
    let digest = Some(version.digest.clone());
    PluginInfo { digest, ..PluginInfo::not_loaded(name, version.source.clone(), "unused") }
}
