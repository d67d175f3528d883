//! `[[report]]`: where the whole state goes, how often, and as whom.

use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::uri::{PathAndQuery, Scheme};

use crate::model::name::{MAX_LENGTH, Name};
use crate::report::{Target, Url};

use super::entries::parsed;
use super::powers;
use super::raw::RawReport;
use super::table::{Absent, Context, Field, Place};
use super::validate::ranged;

/// Reports are megabytes where checks are many: more than one a second is a stream of another kind.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIN_BUFFER: u64 = 64 << 10;
const DEFAULT_BUFFER: u64 = 64 << 20;
const MAX_BUFFER: u64 = 64 << 30;
/// What the agent itself says of a request.
const OWN_HEADERS: [HeaderName; 6] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

/// All `[[report]]` of the main file.
pub fn reports(raw: &[(RawReport, bool)], context: &Context<'_>) -> Vec<Target> {
    let mut found: Vec<(Target, &Place)> = Vec::new();
    for (raw, is_absent) in raw {
        let Some(target) = whole(raw, *is_absent, context) else { continue };
        match found.iter().find(|(other, _)| other.name == target.name) {
            Some((_, first)) => {
                let problem =
                    format!("there is a report of the name {:?} already at {first}; give one a name", &*target.name);
                context.mistake(&raw.place, problem);
            }
            None => found.push((target, &raw.place)),
        }
    }
    found.into_iter().map(|(target, _)| target).collect()
}

/// What a secret that is not there makes wrong is no mistake where the secret is none.
fn whole(raw: &RawReport, is_absent: bool, context: &Context<'_>) -> Option<Target> {
    if !is_absent || context.absent == Absent::Refuse {
        return report(raw, context);
    }
    let before = context.mistakes.borrow().len();
    let target = report(raw, context).filter(|_| context.absent == Absent::Ignore);
    context.mistakes.borrow_mut().truncate(before);
    target
}

fn report(raw: &RawReport, context: &Context<'_>) -> Option<Target> {
    let interval = ranged(raw.interval.as_ref(), Duration::from_secs(60), &(MIN_INTERVAL..=DAY), context);
    let timeouts = Duration::from_millis(100)..=Duration::from_secs(300);
    let timeout = ranged(raw.timeout.as_ref(), Duration::from_secs(10), &timeouts, context);
    let headers = headers(raw, context);
    let tls = powers::tls(raw.tls.as_ref(), context);
    let buffer = buffer(raw, context);
    let Some(field) = &raw.url else {
        context.mistake(&raw.place, "url is missing; write url = \"https://HOST/PATH\"");
        return None;
    };
    let url = match url(field) {
        Ok(url) => url,
        Err(problem) => {
            context.mistake(&field.place, problem);
            return None;
        }
    };
    if let Some(tls) = raw.tls.as_ref().filter(|_| !url.secure) {
        context.mistake(&tls.place, "the url is http://, so TLS would not be used");
    }
    let name = match &raw.name {
        Some(name) => parsed(name, context)?,
        None => default_name(&url).or_else(|| {
            context.mistake(&raw.place, "no name can be made from the url; give it one: name = \"central\"");
            None
        })?,
    };
    Some(Target {
        name,
        url,
        interval,
        on_change: raw.on_change.as_ref().is_none_or(|field| field.value),
        headers,
        token_file: raw.token_file.as_ref().map(|field| context.base.join(&field.value)),
        tls,
        gzip: raw.gzip.as_ref().is_none_or(|field| field.value),
        timeout,
        buffer,
    })
}

fn buffer(raw: &RawReport, context: &Context<'_>) -> u64 {
    let Some(field) = &raw.buffer else { return DEFAULT_BUFFER };
    if !(MIN_BUFFER..=MAX_BUFFER).contains(&field.value.0) {
        context.mistake(&field.place, "64KiB to 64GiB is wanted");
    }
    field.value.0
}

/// The problem never quotes the text: it may hold a secret.
fn url(field: &Field<String>) -> Result<Url, String> {
    let form = "write http://HOST[:PORT]/PATH or https://..";
    let uri: hyper::Uri = field.value.parse().map_err(|_| format!("not a URL; {form}"))?;
    let secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(format!("not a URL that reports go to; {form}")),
    };
    let authority = uri.authority().ok_or_else(|| format!("there is no host; {form}"))?;
    if authority.as_str().contains('@') {
        return Err(
            "a user in the URL is not sent: set token_file, or headers = { Authorization = \"Basic ..\" }".into()
        );
    }
    if field.value.contains('#') {
        return Err("what follows a # is not sent: leave it out".into());
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port = match port.strip_prefix(':').map(str::parse::<u16>) {
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err("the port is no number from 1 to 65535".into()),
        None if secure => 443,
        None => 80,
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() || (authority.host().starts_with('[') && host.parse::<IpAddr>().is_err()) {
        return Err(format!("there is no host; {form}"));
    }
    Ok(Url {
        secure,
        host,
        port,
        authority: authority.to_string(),
        path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        shown: field.written.split(['?', '#']).next().unwrap_or_default().to_owned(),
    })
}

/// `collector.example`, or `collector.example-8443` where the port is not the scheme's own.
fn default_name(url: &Url) -> Option<Name> {
    let usual = if url.secure { 443 } else { 80 };
    let port = if url.port == usual { String::new() } else { format!("-{}", url.port) };
    let host: String = url.host.to_ascii_lowercase().replace(':', "-").chars().take(MAX_LENGTH - port.len()).collect();
    format!("{}{port}", host.trim_matches(['-', '.', '_'])).parse().ok()
}

fn headers(raw: &RawReport, context: &Context<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(field) = &raw.headers else { return Vec::new() };
    let mut found: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, value) in &field.value {
        let place = Place { key: format!("{}.{name}", field.place.key), ..field.place.clone() };
        match header(name, value, raw.token_file.is_some()) {
            Ok((name, _)) if found.iter().any(|(other, _)| *other == name) => {
                context.mistake(&place, "the header is there twice");
            }
            Ok(header) => found.push(header),
            Err(problem) => context.mistake(&place, problem),
        }
    }
    found
}

fn header(name: &str, value: &str, has_token: bool) -> Result<(HeaderName, HeaderValue), String> {
    let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
    if OWN_HEADERS.contains(&name) {
        return Err("the agent itself says that of its requests".to_owned());
    }
    if has_token && name == hyper::header::AUTHORIZATION {
        return Err("token_file says it already".to_owned());
    }
    let mut value: HeaderValue = value.parse().map_err(|_| "a header's value is one line of text".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}
