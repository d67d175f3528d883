//! The first step: what was typed. Each struct mirrors a table of the file; every value keeps its place, nothing is
//! defaulted and nothing is judged beyond its type.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::table::{Field, Kind, Place, Table};
use super::units::{Length, Size};

/// A string, or a list of strings.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings is wanted")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Declares the mirror of one table. `later` are keys of the design that this version refuses with "not yet".
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* } later [$($later:literal),*]) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            #[allow(dead_code, reason = "not every table is pointed at as a whole")]
            pub place: Place,
            $(pub $field: Option<Field<$type>>,)*
        }

        impl $name {
            pub fn read(mut table: Table<'_>) -> Self {
                let raw = Self {
                    place: table.place().clone(),
                    $($field: table.field(stringify!($field)),)*
                };
                table.finish(&[$(stringify!($field)),*], &[$($later),*]);
                raw
            }
        }
    };
}

mirror! {
    /// `[agent]`
    RawAgent {
        id: String,
        listen: Vec<String>,
        advertise: String,
        plugin_dirs: Vec<PathBuf>,
        conf_dirs: Vec<PathBuf>,
        secret_dirs: Vec<PathBuf>,
        state_dir: PathBuf,
    } later []
}

/// `[plugins]`
#[derive(Debug)]
pub struct RawPlugins {
    pub reload: Option<Field<String>>,
    pub pin: Option<Field<BTreeMap<String, String>>>,
    /// `override`, which is a word of Rust.
    pub overrides: Option<Field<Vec<String>>>,
}

impl RawPlugins {
    pub fn read(mut table: Table<'_>) -> Self {
        let raw = Self { reload: table.field("reload"), pin: table.field("pin"), overrides: table.field("override") };
        table.finish(&["reload", "pin", "override"], &[]);
        raw
    }
}

mirror! {
    /// `[sandbox]`
    RawSandbox {
        concurrency: u32,
        memory: Size,
        workers: usize,
    } later []
}

mirror! {
    /// `[registry]`
    RawRegistry {
        endpoints: Vec<String>,
        prefix: String,
        agents_prefix: String,
        ttl: Length,
        dialects: Vec<String>,
        on_down: String,
        remove_after: Length,
        on_stop: String,
        keep_at_least: u32,
        drain: Length,
        connect_timeout: Length,
        request_timeout: Length,
        username: String,
        password: String,
        tls: RawTls,
        grpc: RawGrpc,
        skydns: RawSkydns,
        traefik: RawTraefik,
    } later []
}

/// `[registry.grpc]`
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGrpc {
    pub prefix: Option<String>,
}

/// `[registry.skydns]`
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSkydns {
    pub prefix: Option<String>,
    pub domain: Option<String>,
}

/// `[registry.traefik]`
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTraefik {
    pub root: Option<String>,
    pub scheme: Option<String>,
}

mirror! {
    /// `[discovery]`
    RawDiscovery {
        watch: Vec<String>,
    } later []
}

mirror! {
    /// `[dns]`
    RawDns {
        servers: Vec<String>,
    } later []
}

mirror! {
    /// `[host]`
    RawHost {
        interval: Length,
        procfs: PathBuf,
        sysfs: PathBuf,
        rootfs: PathBuf,
        udev_data: PathBuf,
        collectors: BTreeMap<String, bool>,
        filesystem: RawFilesystem,
        textfile: RawTextfile,
        arp: RawFilter,
        diskstats: RawFilter,
        netclass: RawFilter,
        netdev: RawFilter,
        netstat: RawFilter,
        powersupplyclass: RawFilter,
        systemd: RawFilter,
        tapestats: RawFilter,
        vmstat: RawFilter,
    } later []
}

/// `[host.netdev]` and its like: regular expressions.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFilter {
    pub include: Option<String>,
    pub exclude: Option<String>,
}

/// `[host.filesystem]`
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFilesystem {
    pub include: Option<String>,
    pub exclude: Option<String>,
    pub exclude_types: Option<String>,
    pub mount_timeout: Option<Length>,
}

/// `[host.textfile]`
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTextfile {
    pub directory: Option<PathBuf>,
}

mirror! {
    /// `[[report]]`
    RawReport {
        name: String,
        url: String,
        interval: Length,
        on_change: bool,
        headers: BTreeMap<String, String>,
        token_file: PathBuf,
        tls: RawTls,
        gzip: bool,
        timeout: Length,
        buffer: Size,
    } later []
}

mirror! {
    /// `[defaults]`
    RawDefaults {
        interval: Length,
        timeout: Length,
        fall: u32,
        rise: u32,
        retry_interval: Length,
        stale_after: Length,
        on_fault: String,
    } later []
}

mirror! {
    /// `[[service]]`
    RawService {
        name: String,
        address: String,
        id: String,
        tags: Vec<String>,
        weight: u32,
        metadata: BTreeMap<String, String>,
        checks: String,
    } later []
}

mirror! {
    /// `[[check]]`
    RawCheck {
        name: String,
        checker: String,
        target: String,
        service: OneOrMany,
        interval: Length,
        timeout: Length,
        fall: u32,
        rise: u32,
        retry_interval: Length,
        stale_after: Length,
        on_fault: String,
        severity: String,
        allow: Vec<String>,
        params: serde_json::Map<String, serde_json::Value>,
        limits: RawLimits,
        tls: RawTls,
    } later []
}

impl RawCheck {
    /// Reads one check. A secret that is not there is its own fault: everything else runs.
    fn read_apart(table: Table<'_>) -> (Self, Vec<String>) {
        let context = table.context();
        let before = context.mistakes.borrow().len();
        let raw = Self::read(table);
        let mut mistakes = context.mistakes.borrow_mut();
        let own = mistakes.split_off(before);
        let (absent, wrong): (Vec<_>, Vec<_>) = own.into_iter().partition(|m| m.kind == Kind::AbsentSecret);
        mistakes.extend(wrong);
        (raw, absent.iter().map(ToString::to_string).collect())
    }
}

impl RawReport {
    fn read_marked(table: Table<'_>) -> (Self, bool) {
        let context = table.context();
        let before = context.mistakes.borrow().len();
        let raw = Self::read(table);
        let is_absent = context.mistakes.borrow().iter().skip(before).any(|m| m.kind == Kind::AbsentSecret);
        (raw, is_absent)
    }
}

/// `limits` of a check.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    pub memory: Option<Size>,
    pub sockets: Option<usize>,
    pub log_lines: Option<u32>,
}

/// `tls` of a check.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub server_name: Option<String>,
    pub insecure: Option<bool>,
}

/// A main file.
#[derive(Debug, Default)]
pub struct RawMain {
    pub agent: Option<RawAgent>,
    pub plugins: Option<RawPlugins>,
    pub sandbox: Option<RawSandbox>,
    pub registry: Option<RawRegistry>,
    pub discovery: Option<RawDiscovery>,
    pub dns: Option<RawDns>,
    pub host: Option<RawHost>,
    pub defaults: Option<RawDefaults>,
    /// Each with whether a secret is not there that it names.
    pub reports: Vec<(RawReport, bool)>,
    pub entries: RawEntries,
}

/// What a drop-in holds, and a main file may.
#[derive(Debug, Default)]
pub struct RawEntries {
    pub services: Vec<RawService>,
    /// Each with the secrets that it names and that are not there.
    pub checks: Vec<(RawCheck, Vec<String>)>,
}

const MAIN_TABLES: [&str; 11] =
    ["agent", "plugins", "sandbox", "dns", "registry", "discovery", "host", "report", "defaults", "service", "check"];
const LATER_TABLES: [&str; 1] = ["notify"];

impl RawMain {
    pub fn read(mut table: Table<'_>) -> Self {
        let raw = Self {
            agent: table.table("agent").map(RawAgent::read),
            plugins: table.table("plugins").map(RawPlugins::read),
            sandbox: table.table("sandbox").map(RawSandbox::read),
            registry: table.table("registry").map(RawRegistry::read),
            discovery: table.table("discovery").map(RawDiscovery::read),
            dns: table.table("dns").map(RawDns::read),
            host: table.table("host").map(RawHost::read),
            defaults: table.table("defaults").map(RawDefaults::read),
            reports: table.tables("report").into_iter().map(RawReport::read_marked).collect(),
            entries: RawEntries::take(&mut table),
        };
        table.finish(&MAIN_TABLES, &LATER_TABLES);
        raw
    }
}

impl RawEntries {
    fn take(table: &mut Table<'_>) -> Self {
        Self {
            services: table.tables("service").into_iter().map(RawService::read).collect(),
            checks: table.tables("check").into_iter().map(RawCheck::read_apart).collect(),
        }
    }

    /// Reads a drop-in.
    pub fn read(mut table: Table<'_>) -> Self {
        let raw = Self::take(&mut table);
        table.finish(&["service", "check"], &[]);
        raw
    }
}
