//! The conversation with systemd's manager.
//!
//! A single thread runs it, and only while it asks. Nothing is subscribed to, so nothing comes unasked that would pile
//! up meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use zbus::wire::OwnedVariant;
use zbus::{Connection, OwnedObjectPath};

use super::{PATIENCE, Seen, Unit};

/// Where the system bus is, unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
const SOCKET: &str = "/run/dbus/system_bus_socket";
/// After no answer: to wait for one at every sample would delay them all.
const SILENCE: Duration = Duration::from_secs(60);

const MANAGER: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER_FACE: &str = "org.freedesktop.systemd1.Manager";

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("no thread to ask from: {0}")]
    Runtime(#[source] std::io::Error),
    #[error("no connection to the system bus: {0}")]
    Connect(#[source] zbus::Error),
    #[error("systemd was asked for {what}: {source}")]
    Ask { what: &'static str, source: zbus::Error },
    #[error("systemd did not answer within {} s", PATIENCE.as_secs())]
    Late,
}

#[derive(Default)]
pub struct Bus {
    /// None: the system's.
    #[cfg(test)]
    address: Option<String>,
    runtime: Option<Runtime>,
    connection: Option<Connection>,
    types: Types,
    /// Not asked again until then: it did not answer.
    silent_until: Option<Instant>,
}

/// The types of services do not change until units are loaded anew. Asking for all of them at every sample would be
/// most of the work, here and in systemd.
#[derive(Default)]
struct Types {
    /// When the manager last loaded its units; None where it does not say (before systemd 251).
    loaded: Option<u64>,
    of: HashMap<String, String>,
}

impl Bus {
    #[cfg(test)]
    pub fn at(address: String) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// Fills `seen`. After a fault it has what was said until then.
    pub fn ask(&mut self, seen: &mut Seen, shown: &dyn Fn(&Unit) -> bool) -> Result<(), Fault> {
        if self.silent_until.is_some_and(|until| Instant::now() < until) {
            return Err(Fault::Late);
        }
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => Builder::new_current_thread().enable_all().build().map_err(Fault::Runtime)?,
        };
        let result = runtime.block_on(async {
            let talk = self.talk(seen, shown);
            tokio::time::timeout(PATIENCE, talk).await.unwrap_or(Err(Fault::Late))
        });
        match result {
            Ok(()) => self.runtime = Some(runtime),
            // With its tasks goes what is left of the connection.
            Err(_) => self.connection = None,
        }
        self.silent_until = matches!(result, Err(Fault::Late)).then(|| Instant::now() + SILENCE);
        result
    }

    /// Where the bus is looked for.
    pub fn address(&self) -> String {
        #[cfg(test)]
        if let Some(address) = &self.address {
            return address.clone();
        }
        std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| SOCKET.to_owned())
    }

    async fn talk(&mut self, seen: &mut Seen, shown: &dyn Fn(&Unit) -> bool) -> Result<(), Fault> {
        let connection = match &self.connection {
            Some(connection) if !connection.is_closed() => connection.clone(),
            _ => self.connection.insert(self.connect().await.map_err(Fault::Connect)?).clone(),
        };
        let manager = Manager { connection: &connection };
        seen.version = Some(manager.text("Version").await?);
        seen.units = manager.units().await?;
        self.types.keep(manager.loaded().await?, &seen.units);
        for unit in seen.units.iter_mut().filter(|unit| shown(unit)) {
            manager.fill(unit, &mut self.types).await?;
        }
        seen.state = Some(manager.text("SystemState").await?);
        Ok(())
    }

    async fn connect(&self) -> zbus::Result<Connection> {
        #[cfg(test)]
        if let Some(address) = &self.address {
            return zbus::connection::Builder::address(address.as_str()).build().await;
        }
        zbus::connection::Builder::system().build().await
    }
}

impl Types {
    fn keep(&mut self, loaded: Option<u64>, units: &[Unit]) {
        if loaded.is_none() || loaded != self.loaded {
            self.of.clear();
        }
        self.loaded = loaded;
        if self.of.len() > units.len() {
            // Units come and go, as those of containers do.
            self.of.retain(|name, _| units.iter().any(|unit| unit.name == *name));
        }
    }
}

struct Manager<'a> {
    connection: &'a Connection,
}

type ListedUnit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Manager<'_> {
    async fn units(&self) -> Result<Vec<Unit>, Fault> {
        let fault = |source| Fault::Ask { what: "its units", source };
        let call = self.connection.call_method(Some(MANAGER), MANAGER_PATH, Some(MANAGER_FACE), "ListUnits", &());
        let listed: Vec<ListedUnit> = call.await.map_err(fault)?.body().deserialize().map_err(fault)?;
        let unit = |(name, _, load, active, _, _, path, ..): ListedUnit| Unit {
            name,
            load,
            active,
            path: path.as_str().to_owned(),
            ..Unit::default()
        };
        Ok(listed.into_iter().map(unit).collect())
    }

    async fn text(&self, what: &'static str) -> Result<String, Fault> {
        let value = self.get(MANAGER_PATH, MANAGER_FACE, what).await;
        value.and_then(String::try_from).map_err(|source| Fault::Ask { what, source })
    }

    async fn loaded(&self) -> Result<Option<u64>, Fault> {
        let what = "UnitsLoadTimestamp";
        said(what, self.get(MANAGER_PATH, MANAGER_FACE, what).await)
    }

    async fn fill(&self, unit: &mut Unit, types: &mut Types) -> Result<(), Fault> {
        if unit.is(".service") {
            unit.kind = match types.of.get(&unit.name) {
                Some(kind) => kind.clone(),
                None => {
                    let kind: Option<String> = self.of(unit, "Service", "Type").await?;
                    types.of.extend(kind.clone().map(|kind| (unit.name.clone(), kind)));
                    kind.unwrap_or_default()
                }
            };
        } else if unit.is(".mount") {
            unit.kind = self.of(unit, "Mount", "Type").await?.unwrap_or_default();
        } else if unit.is(".timer") {
            unit.last_trigger = self.of(unit, "Timer", "LastTriggerUSec").await?;
        } else if unit.is(".socket") {
            unit.accepted = self.of(unit, "Socket", "NAccepted").await?;
            unit.connections = self.of(unit, "Socket", "NConnections").await?;
            unit.refused = self.of(unit, "Socket", "NRefused").await?;
        }
        Ok(())
    }

    async fn of<T>(&self, unit: &Unit, face: &'static str, what: &'static str) -> Result<Option<T>, Fault>
    where
        T: TryFrom<OwnedVariant, Error = zbus::Error>,
    {
        let face = format!("{MANAGER}.{face}");
        said(what, self.get(&unit.path, &face, what).await)
    }

    async fn get(&self, path: &str, face: &str, what: &str) -> zbus::Result<OwnedVariant> {
        let face_of_all = Some("org.freedesktop.DBus.Properties");
        let answer = self.connection.call_method(Some(MANAGER), path, face_of_all, "Get", &(face, what)).await?;
        answer.body().deserialize()
    }
}

/// A unit that is gone, or a property that this systemd does not have, is answered with an error: nothing to show, and
/// no fault of the bus.
fn said<T>(what: &'static str, value: zbus::Result<OwnedVariant>) -> Result<Option<T>, Fault>
where
    T: TryFrom<OwnedVariant, Error = zbus::Error>,
{
    match value {
        Ok(value) => Ok(T::try_from(value).ok()),
        Err(zbus::Error::MethodError(..) | zbus::Error::FDO(_)) => Ok(None),
        Err(source) => Err(Fault::Ask { what, source }),
    }
}
