//! The second step: what it means. Everything that is wrong is noted; the validated types cannot hold a wrong value.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::name::Name;
use crate::registry::Advertise;
use crate::sandbox;

use super::raw::{RawAgent, RawDns, RawSandbox};
use super::table::{Context, Field, Place};
use super::units::Length;

/// Where the agent listens unless told otherwise: loopback, so that nothing is exposed by accident.
pub const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9720);

/// RFC 1035.
const DNS_PORT: u16 = 53;

/// `[agent]`
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    pub id: Name,
    pub listen: Vec<SocketAddr>,
    pub advertise: Advertise,
    pub plugin_dirs: Vec<PathBuf>,
    pub conf_dirs: Vec<PathBuf>,
    pub secret_dirs: Vec<PathBuf>,
    pub state_dir: PathBuf,
}

/// Relative paths are taken from the directory of the main file.
pub fn directories(raw: &Option<Field<Vec<PathBuf>>>, default: &[&str], base: &Path) -> Vec<PathBuf> {
    match raw {
        Some(field) => field.value.iter().map(|path| base.join(path)).collect(),
        None => default.iter().map(PathBuf::from).collect(),
    }
}

/// The secret directories, which must be known before anything else is read.
pub fn secret_dirs(raw: &Option<Field<Vec<PathBuf>>>, base: &Path) -> Vec<PathBuf> {
    let mut dirs = directories(raw, &["/run/secrets", "/etc/vitald/secrets"], base);
    dirs.extend(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    dirs
}

pub fn agent(raw: Option<&RawAgent>, file: &Place, secret_dirs: Vec<PathBuf>, context: &Context<'_>) -> Option<Agent> {
    let base = file.file.parent().unwrap_or(Path::new("/"));
    let plugin_dirs = raw.map_or(&None, |raw| &raw.plugin_dirs);
    let conf_dirs = raw.map_or(&None, |raw| &raw.conf_dirs);
    let id = agent_id(raw.and_then(|raw| raw.id.as_ref()), file, context);
    let listen = listen(raw.and_then(|raw| raw.listen.as_ref()), context);
    let advertise =
        raw.and_then(|raw| raw.advertise.as_ref()).map_or(Advertise::Auto, |field| match field.value.as_str() {
            "auto" => Advertise::Auto,
            text => text.parse::<IpAddr>().map_or_else(|_| Advertise::Interface(text.to_owned()), Advertise::Address),
        });
    let state_dir = raw.and_then(|raw| raw.state_dir.as_ref()).map(|field| base.join(&field.value));
    Some(Agent {
        id: id?,
        listen,
        advertise,
        plugin_dirs: directories(plugin_dirs, &["/etc/vitald/plugins"], base),
        conf_dirs: directories(conf_dirs, &["/etc/vitald/conf.d"], base),
        secret_dirs,
        state_dir: state_dir.unwrap_or_else(default_state_dir),
    })
}

fn agent_id(field: Option<&Field<String>>, file: &Place, context: &Context<'_>) -> Option<Name> {
    let advice = "set id in [agent] (or the environment variable NODE_NAME) to a name that no other host has";
    let (text, place) = match field {
        Some(field) => (field.value.clone(), &field.place),
        None => (default_id(), file),
    };
    if text == "localhost" || text.starts_with("localhost.") {
        context.mistake(place, format!("the agent's id would be {text:?}, which every host is called: {advice}"));
        return None;
    }
    match text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            context.mistake(place, format!("agent id: {error}; {advice}"));
            None
        }
    }
}

fn default_id() -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(host).to_ascii_lowercase()
}

fn listen(field: Option<&Field<Vec<String>>>, context: &Context<'_>) -> Vec<SocketAddr> {
    let Some(field) = field else { return vec![SocketAddr::from(DEFAULT_LISTEN)] };
    if field.value.is_empty() {
        context.mistake(&field.place, "at least one address is wanted, such as \"127.0.0.1:9720\"");
    }
    let parse = |text: &String| {
        let wrong = |_| {
            let form = "write ADDRESS:PORT, such as \"127.0.0.1:9720\" or \"[::]:9720\"";
            context.mistake(&field.place, format!("{text:?} is no address to listen on: {form}"));
        };
        text.parse().map_err(wrong).ok()
    };
    field.value.iter().filter_map(parse).collect()
}

/// `$STATE_DIRECTORY` (systemd), else `/var/lib/vitald` if we may write there, else the user's own state folder.
pub fn default_state_dir() -> PathBuf {
    let system = Path::new("/var/lib/vitald");
    let given = std::env::var_os("STATE_DIRECTORY").filter(|dir| !dir.is_empty());
    if let Some(dirs) = given {
        // systemd separates several with colons; ours is the first.
        let first = dirs.to_string_lossy().split(':').next().unwrap_or_default().to_owned();
        return PathBuf::from(first);
    }
    let writable = |dir: &Path| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    if writable(system) || (!system.exists() && writable(Path::new("/var/lib"))) {
        return system.to_owned();
    }
    user_state_dir()
}

/// `$XDG_STATE_HOME/vitald`, by default `~/.local/state/vitald` (XDG Base Directory Specification).
fn user_state_dir() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_else(|| PathBuf::from("/tmp")).join("vitald")
}

/// `[sandbox]`
pub fn sandbox(raw: Option<&RawSandbox>, dns: Option<&RawDns>, agent: &Name, context: &Context<'_>) -> sandbox::Config {
    let mut config = sandbox::Config {
        agent_id: agent.clone(),
        concurrency: sandbox::DEFAULT_CONCURRENCY,
        memory: sandbox::DEFAULT_MEMORY,
        workers: (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
        dns_servers: self::dns(dns, context),
        cache_dir: None,
    };
    let Some(raw) = raw else { return config };
    if let Some(field) = &raw.concurrency {
        config.concurrency = field.value;
        if !(4..=4096).contains(&field.value) {
            context.mistake(&field.place, "a number from 4 to 4096 is wanted");
        }
    }
    if let Some(field) = &raw.memory {
        config.memory = field.value.0;
        if field.value.0 < 16 << 20 {
            context.mistake(&field.place, "at least 16MiB is wanted");
        }
    }
    if let Some(field) = &raw.workers {
        config.workers = field.value;
        if !(1..=256).contains(&field.value) {
            context.mistake(&field.place, "a number from 1 to 256 is wanted");
        }
    }
    config
}

/// `[dns]`
fn dns(raw: Option<&RawDns>, context: &Context<'_>) -> Vec<SocketAddr> {
    let Some(field) = raw.and_then(|raw| raw.servers.as_ref()) else { return Vec::new() };
    if field.value.is_empty() {
        context.mistake(&field.place, "at least one server is wanted; leave the key out to use /etc/resolv.conf");
    }
    let parse = |text: &String| {
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)).or_else(|_| text.parse());
        let form = "write an address, such as \"10.0.0.53\", \"10.0.0.53:5353\" or \"[fd00::53]:53\"";
        address.map_err(|_| context.mistake(&field.place, format!("{text:?} is no DNS server: {form}"))).ok()
    };
    field.value.iter().filter_map(parse).collect()
}

/// A length of time within bounds.
pub fn ranged(
    field: Option<&Field<Length>>,
    default: Duration,
    range: &std::ops::RangeInclusive<Duration>,
    context: &Context<'_>,
) -> Duration {
    let Some(field) = field else { return default };
    if !range.contains(&field.value.0) {
        let text = |length: &Duration| humantime::format_duration(*length).to_string();
        context.mistake(&field.place, format!("{} to {} is wanted", text(range.start()), text(range.end())));
    }
    field.value.0
}
