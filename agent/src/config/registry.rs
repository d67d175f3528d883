//! `[registry]` and `[discovery]`: how etcd is reached, what is written there, and what is read.

use std::time::Duration;

use crate::discovery::{self, Watched};
use crate::etcd::{self, Credentials, Password};
use crate::model::check::TlsDef;
use crate::model::checkset::Definitions;
use crate::model::name::Name;
use crate::registry::{self, Dialect, OnDown, OnStop};

use super::entries::word;
use super::powers;
use super::raw::{RawDiscovery, RawRegistry};
use super::table::{Absent, Context, Field, Place};
use super::validate::{Agent, ranged};

const DIALECTS: [&str; 5] = ["native", "plain", "grpc", "skydns", "traefik"];
/// Those that remain are named in the transaction that removes one, and etcd allows 128 operations in it.
const MOST_KEPT: u32 = 50;
/// What CoreDNS's documentation calls its zone.
const SKYDNS_DOMAIN: &str = "skydns.local";

/// `[registry]`
pub fn registry(raw: &RawRegistry, agent: &Agent, context: &Context<'_>) -> Option<registry::Config> {
    let etcd = etcd(raw, context);
    let dialects = dialects(raw, context);
    let on_stop = [("remove", OnStop::Remove), ("keep", OnStop::Keep)];
    let long = Duration::ZERO..=Duration::from_secs(3600);
    let ttl = registry::MIN_TTL..=Duration::from_secs(3600);
    Some(registry::Config {
        agent_id: agent.id.clone(),
        advertise: agent.advertise.clone(),
        listen: agent.listen.clone(),
        etcd: etcd?,
        prefix: prefix(raw.prefix.as_ref(), "/services", context),
        agents_prefix: prefix(raw.agents_prefix.as_ref(), "/vitald/agents", context),
        ttl: ranged(raw.ttl.as_ref(), Duration::from_secs(15), &ttl, context),
        on_down: on_down(raw, &dialects, context),
        dialects,
        on_stop: word(raw.on_stop.as_ref(), OnStop::Remove, &on_stop, context),
        keep_at_least: keep_at_least(raw.keep_at_least.as_ref(), context),
        drain: ranged(raw.drain.as_ref(), Duration::ZERO, &long, context),
        state_dir: agent.state_dir.clone(),
    })
}

fn etcd(raw: &RawRegistry, context: &Context<'_>) -> Option<etcd::Config> {
    let endpoints = endpoints(raw, context);
    let short = Duration::from_millis(1)..=Duration::from_secs(60);
    Some(etcd::Config {
        credentials: credentials(raw, context),
        tls: tls(raw, context),
        endpoints: endpoints?,
        connect_timeout: ranged(raw.connect_timeout.as_ref(), Duration::from_secs(5), &short, context),
        request_timeout: ranged(raw.request_timeout.as_ref(), Duration::from_secs(3), &short, context),
    })
}

fn endpoints(raw: &RawRegistry, context: &Context<'_>) -> Option<Vec<String>> {
    let Some(field) = &raw.endpoints else {
        context.mistake(&raw.place, "endpoints is missing; write endpoints = [\"http://127.0.0.1:2379\"]");
        return None;
    };
    if field.value.is_empty() {
        context.mistake(&field.place, "at least one endpoint is wanted, such as \"http://127.0.0.1:2379\"");
    }
    for text in &field.value {
        if let Err(problem) = endpoint(text) {
            context.mistake(&field.place, problem);
        }
    }
    Some(field.value.iter().map(|text| text.trim_end_matches('/').to_owned()).collect())
}

/// `http://HOST:PORT` or `https://HOST:PORT`.
pub fn endpoint(text: &str) -> Result<(), String> {
    match text.split_once("://") {
        Some(("http" | "https", rest)) if rest.contains('@') => {
            Err("an endpoint holds no user: set username and password in [registry]".to_owned())
        }
        Some(("http" | "https", rest)) if is_host_and_port(rest) => Ok(()),
        _ => Err(format!("{text:?} is no endpoint; write http://HOST:PORT or https://HOST:PORT")),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let authority = text.trim_end_matches('/').parse::<hyper::http::uri::Authority>();
    authority.is_ok_and(|authority| authority.port_u16().is_some() && !authority.host().is_empty())
}

fn credentials(raw: &RawRegistry, context: &Context<'_>) -> Option<Credentials> {
    match (&raw.username, &raw.password) {
        (Some(username), Some(password)) => {
            let left_out = context.absent == Absent::LeaveOut && context.is_absent(&password.place);
            let password = if left_out { String::new() } else { password.value.clone() };
            Some(Credentials { username: username.value.clone(), password: Password::new(password) })
        }
        (Some(username), None) => {
            context.mistake(&username.place, "a username wants a password: password = \"${file:etcd-password}\"");
            None
        }
        (None, Some(password)) => {
            context.mistake(&password.place, "a password wants a username");
            None
        }
        (None, None) => None,
    }
}

fn tls(raw: &RawRegistry, context: &Context<'_>) -> TlsDef {
    let https = raw.endpoints.iter().flat_map(|field| &field.value).any(|text| text.starts_with("https://"));
    if let Some(field) = &raw.tls
        && !https
    {
        context.mistake(&field.place, "no endpoint is https://, so TLS would not be used");
    }
    powers::tls(raw.tls.as_ref(), context)
}

fn dialects(raw: &RawRegistry, context: &Context<'_>) -> Vec<Dialect> {
    let native = vec!["native".to_owned()];
    let names = raw.dialects.as_ref().map_or(&native, |field| &field.value);
    if let Some(field) = &raw.dialects {
        if names.is_empty() {
            context.mistake(&field.place, "at least one dialect is wanted; write [\"native\"]");
        }
        for (at, name) in names.iter().enumerate() {
            if !DIALECTS.contains(&name.as_str()) {
                let problem = format!("there is no dialect {name:?}; there are {}", DIALECTS.join(", "));
                context.mistake(&field.place, problem);
            } else if names.iter().take(at).any(|earlier| earlier == name) {
                context.mistake(&field.place, format!("{name:?} is there twice"));
            }
        }
    }
    unused(raw.grpc.as_ref(), "grpc", names, context);
    unused(raw.skydns.as_ref(), "skydns", names, context);
    unused(raw.traefik.as_ref(), "traefik", names, context);
    let first = |(at, name): &(usize, &String)| names.iter().take(*at).all(|earlier| earlier != *name);
    names.iter().enumerate().filter(first).filter_map(|(_, name)| dialect(name, raw, context)).collect()
}

fn unused<T>(field: Option<&Field<T>>, name: &str, dialects: &[String], context: &Context<'_>) {
    if let Some(field) = field
        && !dialects.iter().any(|dialect| dialect == name)
    {
        context.mistake(&field.place, format!("dialects does not list {name:?}, so this would not be used"));
    }
}

fn dialect(name: &str, raw: &RawRegistry, context: &Context<'_>) -> Option<Dialect> {
    match name {
        "native" => Some(Dialect::Native),
        "plain" => Some(Dialect::Plain),
        "grpc" => {
            let prefix = raw.grpc.as_ref().and_then(|field| Some((field, field.value.prefix.as_ref()?)));
            Some(Dialect::Grpc { prefix: root(prefix, "prefix", "grpc", context) })
        }
        "skydns" => Some(skydns(raw, context)),
        "traefik" => {
            let table = raw.traefik.as_ref();
            let given = table.and_then(|field| Some((field, field.value.root.as_ref()?)));
            let scheme = table.and_then(|field| field.value.scheme.clone()).unwrap_or_else(|| "http".into());
            if let Some(field) = table
                && !["http", "https", "h2c"].contains(&scheme.as_str())
            {
                let place = within(field, "scheme");
                context.mistake(&place, format!("{scheme:?} is not known; write \"http\", \"https\" or \"h2c\""));
            }
            Some(Dialect::Traefik { root: root(given, "root", "traefik", context), scheme })
        }
        _ => None,
    }
}

fn skydns(raw: &RawRegistry, context: &Context<'_>) -> Dialect {
    let table = raw.skydns.as_ref();
    let given = table.and_then(|field| Some((field, field.value.prefix.as_ref()?)));
    let domain = table.and_then(|field| field.value.domain.clone()).unwrap_or_else(|| SKYDNS_DOMAIN.into());
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
    };
    if let Some(field) = table
        && !domain.split('.').all(label)
    {
        context.mistake(&within(field, "domain"), format!("{domain:?} is no domain, such as \"services.internal\""));
    }
    Dialect::Skydns { prefix: root(given, "prefix", "/skydns", context), domain }
}

/// Where the keys of a foreign dialect begin: those programs say themselves whether it is with a slash.
fn root<T>(given: Option<(&Field<T>, &String)>, key: &str, default: &str, context: &Context<'_>) -> String {
    let Some((field, text)) = given else { return default.to_owned() };
    let text = text.trim_end_matches('/');
    if text.trim_start_matches('/').is_empty() || text.contains("//") {
        context.mistake(&within(field, key), format!("a path is wanted, such as {default:?}"));
    }
    text.to_owned()
}

fn within<T>(field: &Field<T>, key: &str) -> Place {
    Place { key: format!("{}.{key}", field.place.key), ..field.place.clone() }
}

fn on_down(raw: &RawRegistry, dialects: &[Dialect], context: &Context<'_>) -> OnDown {
    let mark = word(raw.on_down.as_ref(), false, &[("remove", false), ("mark", true)], context);
    let range = Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);
    match (&raw.remove_after, mark) {
        (Some(field), false) => {
            context.mistake(&field.place, "remove_after is for on_down = \"mark\"; ill instances are removed at once");
        }
        (_, true) if !dialects.contains(&Dialect::Native) => {
            let place = raw.on_down.as_ref().map_or(&raw.place, |field| &field.place);
            context.mistake(place, "only the dialect \"native\" can mark an instance; add it to dialects");
        }
        _ => {}
    }
    if !mark {
        return OnDown::Remove;
    }
    let remove_after = raw.remove_after.as_ref().map(|field| ranged(Some(field), Duration::ZERO, &range, context));
    OnDown::Mark { remove_after }
}

fn keep_at_least(field: Option<&Field<u32>>, context: &Context<'_>) -> usize {
    let Some(field) = field else { return 0 };
    if field.value > MOST_KEPT {
        context.mistake(&field.place, format!("a number from 0 to {MOST_KEPT} is wanted"));
    }
    usize::try_from(field.value).unwrap_or(0)
}

fn prefix(field: Option<&Field<String>>, default: &str, context: &Context<'_>) -> String {
    let Some(field) = field else { return default.to_owned() };
    let text = field.value.trim_end_matches('/');
    let fits = text.starts_with('/') && text.len() > 1 && !text.contains("//");
    if !fits {
        context.mistake(&field.place, "a prefix starts with / and is not empty, such as \"/services\"");
    }
    text.to_owned()
}

/// Two things that would be written to one key would undo each other for ever.
pub fn clashes(
    registry: &Place,
    config: &registry::Config,
    definitions: &Definitions,
    place_of: impl Fn(&Name) -> Option<Place>,
    context: &Context<'_>,
) {
    if let Some((outer, inner)) = registry::nested_prefixes(config) {
        let problem =
            format!("the keys below {inner} would lie below {outer} too: give each dialect a prefix of its own");
        return context.mistake(registry, problem);
    }
    let skydns = config.dialects.iter().any(|dialect| matches!(dialect, Dialect::Skydns { .. }));
    for service in definitions.services.keys().filter(|service| skydns && service.contains('.')) {
        let place = place_of(service).unwrap_or_else(|| registry.clone());
        let problem = "the dialect skydns cannot have a service with a dot in its name: DNS would answer with it for \
                       what stands behind the dot";
        context.mistake(&place, problem);
    }
    for clash in registry::clashes(config, definitions.services.values().map(|service| &**service)) {
        let place = clash.service.as_ref().and_then(&place_of).unwrap_or_else(|| registry.clone());
        context.mistake(&place, clash.to_string());
    }
}

/// The same for the registry as it was started, where what is written of it is not yet so.
pub fn clashes_now(
    registry: &Place,
    active: &registry::Config,
    written: Option<&registry::Config>,
    definitions: &Definitions,
    place_of: impl Fn(&Name) -> Option<Place>,
    context: &Context<'_>,
) {
    let keys =
        |config: &registry::Config| (config.dialects.clone(), config.prefix.clone(), config.agents_prefix.clone());
    if written.is_some_and(|written| keys(written) == keys(active)) {
        return;
    }
    let before = context.mistakes.borrow().len();
    clashes(registry, active, definitions, place_of, context);
    for mistake in context.mistakes.borrow_mut().iter_mut().skip(before) {
        mistake.problem.push_str(" (as the agent registers until its next start)");
    }
}

/// `[discovery]`
pub fn discovery(
    raw: &RawDiscovery,
    registry: Option<&registry::Config>,
    context: &Context<'_>,
) -> Option<discovery::Config> {
    let Some(field) = &raw.watch else {
        context.mistake(&raw.place, "watch is missing; name the services to watch, or write watch = [\"*\"] for all");
        return None;
    };
    if field.value.is_empty() {
        context.mistake(&field.place, "name the services to watch, or write [\"*\"] for all");
    }
    let all = field.value.iter().any(|name| name == "*");
    if all && field.value.len() > 1 {
        context.mistake(&field.place, "\"*\" is every service: it stands alone");
    }
    let parse =
        |text: &String| text.parse::<Name>().map_err(|error| context.mistake(&field.place, error.to_string())).ok();
    let watched = match all {
        true => Watched::All,
        false => Watched::These(field.value.iter().filter_map(parse).collect()),
    };
    let Some(registry) = registry else {
        context.mistake(&raw.place, "there is no [registry] to watch; add it, with its endpoints");
        return None;
    };
    if registry.dialects.contains(&Dialect::Plain) {
        let problem = "what is registered as \"plain\" cannot be read: discovery wants the dialect \"native\"";
        context.mistake(&field.place, problem);
    }
    Some(discovery::Config { etcd: registry.etcd.clone(), prefix: registry.prefix.clone(), ttl: registry.ttl, watched })
}
