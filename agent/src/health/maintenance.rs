//! Who is in maintenance: takes in the orders of operators, ends those whose time is over, and keeps them on disk.
//!
//! An order holds over a restart and a reboot: its end is on the wall clock. A disk that cannot be written costs an
//! order its life after a restart, which its answer says and which is tried again; a file that cannot be used is set
//! aside with a warning, and nothing is in maintenance then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock;
use crate::files::kept::{self, Unusable};
use crate::model::maintenance::{Maintenance, Maintenances};
use crate::model::name::Name;
use crate::model::requests::{MaintenanceOrder, MaintenanceRefused, Scope, options};
use crate::model::service::ServiceDef;
use crate::model::time::{Moment, brief, rfc3339};

/// Changes when the file's form does.
const VERSION: u32 = 2;
/// An order for each of many services, each with the longest reason.
const MAX_FILE: u64 = 16 * 1024 * 1024;

type Known = BTreeMap<Name, Arc<ServiceDef>>;

pub struct Keeper {
    path: PathBuf,
    held: Maintenances,
    /// What is on disk is not what holds.
    dirty: bool,
    /// A disk that cannot be written is worth one warning until it can.
    failing: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct File {
    boot_id: Option<String>,
    held: Maintenances,
}

impl Keeper {
    /// Takes up what was ordered before this start, and says so.
    pub fn load(state_dir: &Path, now: Moment) -> Self {
        let path = state_dir.join("maintenance.json");
        let file: Option<File> = kept::read(&path, VERSION, MAX_FILE, "nothing is in maintenance");
        let held = file.map(|file| since_this_boot(file, now)).unwrap_or_default();
        let mut keeper = Self { path, held, dirty: false, failing: false };
        keeper.expire(now);
        for (service, order) in keeper.orders() {
            say_holds("goes on", service, order, now);
        }
        keeper
    }

    pub fn held(&self) -> &Maintenances {
        &self.held
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Takes in an order; returns what may be other than the operator thinks.
    pub fn take(
        &mut self,
        order: &MaintenanceOrder,
        known: &Known,
        now: Moment,
    ) -> Result<Vec<String>, MaintenanceRefused> {
        let mut next = self.held.clone();
        let notes = apply(&mut next, order, known, now)?;
        let last = std::mem::replace(&mut self.held, next);
        self.dirty |= last != self.held;
        say_changes(&last, &self.held, now);
        Ok(notes)
    }

    /// Ends what is over; true if anything is.
    pub fn expire(&mut self, now: Moment) -> bool {
        let ended = |orders: &mut Vec<Maintenance>| -> Vec<Maintenance> {
            orders.extract_if(.., |order| order.is_over(now)).collect()
        };
        let mut over: Vec<(Option<Name>, Maintenance)> =
            ended(&mut self.held.host).into_iter().map(|order| (None, order)).collect();
        for (name, orders) in &mut self.held.services {
            over.extend(ended(orders).into_iter().map(|order| (Some(name.clone()), order)));
        }
        self.held.services.retain(|_, orders| !orders.is_empty());
        for (service, order) in &over {
            let (who, lasted) = (who(service.as_ref()), brief(now.wall.saturating_sub(order.since.wall)));
            tracing::info!("maintenance of {who} is over as it was set, after {lasted}");
        }
        self.dirty |= !over.is_empty();
        !over.is_empty()
    }

    fn orders(&self) -> impl Iterator<Item = (Option<&Name>, &Maintenance)> {
        all_of(&self.held)
    }

    /// Work for a blocking thread: a slow disk must not stop the loop. What changes from now on is not in it.
    pub fn writing(&mut self) -> impl FnOnce() -> Result<(), Unusable> + Send + 'static {
        self.dirty = false;
        let (path, held) = (self.path.clone(), self.held.clone());
        move || kept::write(&path, VERSION, &File { boot_id: clock::boot_id(), held })
    }

    /// Takes note of whether what holds is on disk; what is not is tried again.
    pub fn note_written(&mut self, written: &Result<(), String>) {
        match written {
            Err(problem) if !self.failing => {
                tracing::warn!("who is in maintenance is not written, a restart would forget it: {problem}");
            }
            Ok(()) if self.failing => tracing::info!("who is in maintenance is written again"),
            _ => {}
        }
        self.dirty |= written.is_err();
        self.failing = written.is_err();
    }
}

/// Beginnings are on the clock of the boot that wrote them.
fn since_this_boot(mut file: File, now: Moment) -> Maintenances {
    if file.boot_id != clock::boot_id() {
        let orders = file.held.services.values_mut().flatten().chain(&mut file.held.host);
        orders.for_each(|order| order.since.boot = boot_of(order, now));
    }
    file.held
}

/// The boot clock began anew: the beginning is put on it by the wall clock, or at its start.
fn boot_of(order: &Maintenance, now: Moment) -> std::time::Duration {
    now.boot.saturating_sub(now.wall.saturating_sub(order.since.wall))
}

/// Every order, with the service that it is for; none: for the host.
fn all_of(held: &Maintenances) -> impl Iterator<Item = (Option<&Name>, &Maintenance)> {
    let services = held.services.iter().flat_map(|(name, orders)| orders.iter().map(move |order| (Some(name), order)));
    held.host.iter().map(|order| (None, order)).chain(services)
}

/// What an order makes of what holds. A refused one leaves `held` half changed: it is to be thrown away.
fn apply(
    held: &mut Maintenances,
    order: &MaintenanceOrder,
    known: &Known,
    now: Moment,
) -> Result<Vec<String>, MaintenanceRefused> {
    match order {
        MaintenanceOrder::List => Ok(Vec::new()),
        MaintenanceOrder::Begin { scope, reason, length } => {
            let until = length.map(|length| now.wall.saturating_add(length));
            let from = |before: Option<Maintenance>| {
                // What is in maintenance already stays so since then.
                let since = before.map_or(now, |before| before.since);
                Maintenance { reason: reason.clone(), since, until }
            };
            match scope {
                Scope::Host => {
                    let order = from(held.of_host(now));
                    put(&mut held.host, order);
                }
                Scope::These(names) => {
                    for name in names {
                        must_be_known(name, known)?;
                        let order = from(held.of(name, now));
                        put(held.services.entry(name.clone()).or_default(), order);
                    }
                }
            }
            Ok(Vec::new())
        }
        MaintenanceOrder::End { scope: Scope::Host, reason } => end_host(held, reason.as_deref()),
        MaintenanceOrder::End { scope: Scope::These(names), reason } => {
            end_services(held, names, reason.as_deref(), known)
        }
    }
}

/// In the place of an order with the same reason.
fn put(orders: &mut Vec<Maintenance>, order: Maintenance) {
    orders.retain(|other| other.reason != order.reason);
    orders.push(order);
}

fn must_be_known(name: &Name, known: &Known) -> Result<(), MaintenanceRefused> {
    match known.contains_key(name) {
        true => Ok(()),
        false => Err(MaintenanceRefused::Unknown { name: name.clone(), known: known.keys().cloned().collect() }),
    }
}

/// Takes out those of that reason, or all; false if there is none.
fn end(orders: &mut Vec<Maintenance>, reason: Option<&str>) -> bool {
    let before = orders.len();
    orders.retain(|order| reason.is_some_and(|reason| order.reason != reason));
    orders.len() < before
}

/// Ends what was begun for the host as a whole; who took one service out by name has a reason that may still hold.
fn end_host(held: &mut Maintenances, reason: Option<&str>) -> Result<Vec<String>, MaintenanceRefused> {
    let by_name: Vec<Name> = held.services.keys().cloned().collect();
    let mut notes = Vec::new();
    if !end(&mut held.host, reason) {
        match (reason, by_name.is_empty()) {
            (None, false) => return Err(MaintenanceRefused::ByName(by_name)),
            (None, true) => notes.push("the host was not in maintenance".to_owned()),
            (Some(reason), _) => notes.push(format!("the host was not in maintenance with the reason {reason:?}")),
        }
    }
    if !held.host.is_empty() {
        notes.push(stays("the whole host", &held.host, ""));
    }
    notes.extend(by_name.iter().map(|name| stays_by_name(name, held)));
    Ok(notes)
}

fn end_services(
    held: &mut Maintenances,
    names: &[Name],
    reason: Option<&str>,
    known: &Known,
) -> Result<Vec<String>, MaintenanceRefused> {
    let (mut notes, mut ended) = (Vec::new(), 0);
    for name in names {
        let orders = held.services.entry(name.clone()).or_default();
        if end(orders, reason) {
            ended += 1;
        } else if orders.is_empty() {
            must_be_known(name, known)?;
            if held.host.is_empty() {
                notes.push(format!("{name} was not in maintenance"));
            }
        }
        if !held.services.get(name).is_none_or(Vec::is_empty) {
            notes.push(stays_by_name(name, held));
        }
    }
    held.services.retain(|_, orders| !orders.is_empty());
    if !held.host.is_empty() {
        if ended == 0 && reason.is_none() {
            return Err(MaintenanceRefused::ByHost(names.to_vec()));
        }
        notes.push(stays("the whole host", &held.host, ""));
    }
    Ok(notes)
}

fn stays_by_name(name: &Name, held: &Maintenances) -> String {
    let orders = held.services.get(name).map(Vec::as_slice).unwrap_or_default();
    stays(name, orders, &options(std::slice::from_ref(name)))
}

/// Why it is in maintenance still, and what ends that.
fn stays(who: &str, orders: &[Maintenance], option: &str) -> String {
    let reasons: Vec<&str> = orders.iter().map(|order| &*order.reason).filter(|reason| !reason.is_empty()).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    format!("{who} stays in maintenance{why}: `vitald maintenance off{option}` ends that")
}

fn say_changes(last: &Maintenances, next: &Maintenances, now: Moment) {
    let same =
        |a: (Option<&Name>, &Maintenance), b: (Option<&Name>, &Maintenance)| a.0 == b.0 && a.1.reason == b.1.reason;
    for one in all_of(next) {
        match all_of(last).find(|other| same(*other, one)) {
            None => say_holds("begins", one.0, one.1, now),
            Some(before) if before.1 != one.1 => say_holds("is ordered anew", one.0, one.1, now),
            Some(_) => {}
        }
    }
    for one in all_of(last).filter(|one| !all_of(next).any(|other| same(other, *one))) {
        let (who, lasted) = (who(one.0), brief(now.wall.saturating_sub(one.1.since.wall)));
        let reason = if one.1.reason.is_empty() { String::new() } else { format!(": {}", one.1.reason) };
        tracing::info!("maintenance of {who} ended after {lasted}{reason}");
    }
}

fn say_holds(verb: &str, service: Option<&Name>, order: &Maintenance, now: Moment) {
    let who = who(service);
    let reason = if order.reason.is_empty() { String::new() } else { format!(": {}", order.reason) };
    match order.until {
        Some(until) => {
            let left = brief(until.saturating_sub(now.wall));
            tracing::info!("maintenance of {who} {verb}, until {} ({left}){reason}", rfc3339(until));
        }
        None => {
            let option = service.map(|name| options(std::slice::from_ref(name))).unwrap_or_default();
            tracing::warn!(
                "maintenance of {who} {verb}, without an end: it lasts until `vitald maintenance off{option}`{reason}"
            );
        }
    }
}

fn who(service: Option<&Name>) -> String {
    service.map_or_else(|| "the whole host".to_owned(), |name| format!("service {name}"))
}

#[cfg(test)]
#[path = "maintenance_tests.rs"]
mod tests;
