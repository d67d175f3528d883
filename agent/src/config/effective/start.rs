//! The tables that only a start takes over.

use crate::config::Config;
use crate::config::notes::Notes;
use crate::discovery::{self, Watched};
use crate::host::{self, Filter};
use crate::registry::{self, Dialect, OnDown, OnStop};
use crate::report;

use super::masks;
use super::{Origin, Rows, Section, length, path, size, strings};

pub fn sections(config: &Config, notes: &Notes) -> Vec<Section> {
    let mut sections = vec![agent(config, notes), sandbox(config, notes)];
    sections.extend(dns(config, notes));
    sections.extend(config.registry.as_ref().map(|own| registry(own, notes)));
    sections.extend(config.discovery.as_ref().map(|own| discovery(own, notes)));
    sections.push(host(&config.host, notes));
    let reports = config.report.iter().flat_map(|report| &report.targets).enumerate();
    sections.extend(reports.map(|(index, target)| report(index, target, notes)));
    sections
}

fn agent(config: &Config, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "agent", false);
    let set = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let id = match rows.origin("id") {
        Origin::Default(_) if set("NODE_NAME") => Origin::Default(Some("$NODE_NAME")),
        Origin::Default(_) => Origin::Default(Some("the host's name")),
        written => written,
    };
    rows.put_from("id", &*config.agent_id, id);
    rows.put("listen", strings(&config.http.listen));
    let advertise = rows.typed("advertise").cloned();
    rows.put("advertise", advertise.unwrap_or_else(|| "auto".into()));
    let state_dir = match rows.origin("state_dir") {
        Origin::Default(_) if set("STATE_DIRECTORY") => Origin::Default(Some("$STATE_DIRECTORY")),
        other => other,
    };
    rows.put_from("state_dir", path(&config.state_dir), state_dir);
    rows.section
}

fn sandbox(config: &Config, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "sandbox", false);
    rows.put("concurrency", config.sandbox.concurrency);
    rows.put("memory", size(config.sandbox.memory));
    rows.put("workers", config.sandbox.workers);
    rows.section
}

fn dns(config: &Config, notes: &Notes) -> Option<Section> {
    let servers = &config.sandbox.dns_servers;
    let mut rows = Rows::new(notes, "dns", false);
    (!servers.is_empty()).then(|| {
        rows.put("servers", strings(servers));
        rows.section
    })
}

fn registry(config: &registry::Config, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "registry", false);
    rows.put("endpoints", strings(&config.etcd.endpoints));
    if let Some(user) = &config.etcd.credentials {
        rows.put("username", user.username.clone());
        rows.secret("password", user.password.get(), masks::texts);
    }
    rows.tls(&config.etcd.tls);
    rows.put("prefix", config.prefix.clone());
    rows.put("agents_prefix", config.agents_prefix.clone());
    rows.put("ttl", length(config.ttl));
    rows.put("drain", length(config.drain));
    rows.put("on_stop", if config.on_stop == OnStop::Keep { "keep" } else { "remove" });
    match config.on_down {
        OnDown::Remove => rows.put("on_down", "remove"),
        OnDown::Mark { remove_after } => {
            rows.put("on_down", "mark");
            rows.may("remove_after", remove_after.map(length));
        }
    }
    rows.put("keep_at_least", config.keep_at_least);
    rows.put("dialects", strings(config.dialects.iter().map(Dialect::word)));
    for dialect in &config.dialects {
        match dialect {
            Dialect::Native | Dialect::Plain => {}
            Dialect::Grpc { prefix } => rows.put("grpc.prefix", prefix.clone()),
            Dialect::Skydns { prefix, domain } => {
                rows.put("skydns.prefix", prefix.clone());
                rows.put("skydns.domain", domain.clone());
            }
            Dialect::Traefik { root, scheme } => {
                rows.put("traefik.root", root.clone());
                rows.put("traefik.scheme", scheme.clone());
            }
        }
    }
    rows.put("connect_timeout", length(config.etcd.connect_timeout));
    rows.put("request_timeout", length(config.etcd.request_timeout));
    rows.section
}

fn discovery(config: &discovery::Config, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "discovery", false);
    let watch = match &config.watched {
        Watched::All => strings(["*"]),
        Watched::These(names) => strings(names),
    };
    rows.put("watch", watch);
    rows.section
}

fn host(config: &host::Config, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "host", false);
    let settings = &config.settings;
    rows.put("interval", length(config.interval));
    rows.put("procfs", path(&settings.roots.procfs));
    rows.put("sysfs", path(&settings.roots.sysfs));
    rows.put("rootfs", path(&settings.roots.rootfs));
    rows.put("udev_data", path(&settings.roots.udev_data));
    for collector in host::COLLECTORS {
        rows.put(&format!("collectors.{}", collector.name), config.collectors.contains(&collector.name));
    }
    for (collector, filter) in &settings.filters {
        self::filter(&mut rows, collector, filter);
    }
    rows.may("filesystem.exclude_types", settings.fs_types_exclude.as_ref().map(|types| types.as_str()));
    rows.put("filesystem.mount_timeout", length(settings.mount_timeout));
    rows.may("textfile.directory", settings.textfile_dir.as_deref().map(path));
    rows.section
}

fn filter(rows: &mut Rows<'_>, collector: &str, filter: &Filter) {
    rows.may(&format!("{collector}.include"), filter.include.as_ref().map(|pattern| pattern.as_str()));
    rows.may(&format!("{collector}.exclude"), filter.exclude.as_ref().map(|pattern| pattern.as_str()));
}

fn report(index: usize, target: &report::Target, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, &format!("report.{}", target.name), true);
    // Without a name it is noted by its number.
    if !notes.has(&rows.noted) {
        rows.noted = format!("report.{index}");
    }
    rows.put("name", &*target.name);
    let url =
        format!("{}://{}{}", if target.url.secure { "https" } else { "http" }, target.url.authority, target.url.path);
    // What follows the ? may be a key.
    let shown = if target.url.path.query().is_some() { "?***" } else { "" };
    let shown = format!("{}{shown}", target.url.shown);
    rows.secret("url", url, move |_| shown.clone().into());
    rows.put("interval", length(target.interval));
    rows.put("on_change", target.on_change);
    rows.may("token_file", target.token_file.as_deref().map(path));
    headers(&mut rows, target);
    rows.tls(&target.tls);
    rows.put("gzip", target.gzip);
    rows.put("timeout", length(target.timeout));
    rows.put("buffer", size(target.buffer));
    rows.section
}

/// As they were typed: in HTTP the case of a name means nothing.
fn headers(rows: &mut Rows<'_>, target: &report::Target) {
    let typed = rows.typed("headers").and_then(|headers| headers.as_object()).cloned().unwrap_or_default();
    for (name, value) in &target.headers {
        let key = typed.keys().find(|key| key.eq_ignore_ascii_case(name.as_str()));
        let key = format!("headers.{}", key.map_or(name.as_str(), String::as_str));
        rows.secret(&key, String::from_utf8_lossy(value.as_bytes()), masks::texts);
    }
}
