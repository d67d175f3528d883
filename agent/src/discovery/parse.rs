//! One key and its value as an instance. Anybody who may write to etcd may have written it: whatever is no instance is
//! a reason, never a fault.

use std::sync::Arc;

use etcd_client::KeyValue;

use crate::model::instance::{Instance, service_of};
use crate::model::name::Name;

/// The value of an instance has some hundred bytes; more than this is something else.
pub const MAX_VALUE: usize = 64 * 1024;
/// How much of somebody's key stands in a log line.
const SHOWN: usize = 200;

/// A key that was read.
#[derive(Debug)]
pub struct Read {
    pub key: Vec<u8>,
    /// Of its last change.
    pub revision: i64,
    pub what: Result<Parsed, Skipped>,
}

#[derive(Debug)]
pub struct Parsed {
    pub service: Name,
    pub instance: Arc<Instance>,
    /// Of key and value, in bytes.
    pub size: usize,
}

/// Why a key is no instance.
#[derive(Debug, thiserror::Error)]
pub enum Skipped {
    #[error("it is not PREFIX/SERVICE/INSTANCE")]
    Key,
    #[error("its value has {0} bytes, more than {MAX_VALUE}")]
    Large(usize),
    #[error("its value is no instance: {0}")]
    Value(#[from] serde_json::Error),
    #[error("{0:?} is no address")]
    Address(String),
}

pub fn read(prefix: &str, kv: &KeyValue) -> Read {
    Read { key: kv.key().to_vec(), revision: kv.mod_revision(), what: parse(prefix, kv.key(), kv.value()) }
}

/// Service and id of a key.
pub fn names<'a>(prefix: &str, key: &'a [u8]) -> Option<(&'a str, &'a str)> {
    service_of(prefix, std::str::from_utf8(key).ok()?)
}

fn parse(prefix: &str, key: &[u8], value: &[u8]) -> Result<Parsed, Skipped> {
    let (service, id) = names(prefix, key).ok_or(Skipped::Key)?;
    let service: Name = service.parse().map_err(|_| Skipped::Key)?;
    if value.len() > MAX_VALUE {
        return Err(Skipped::Large(value.len()));
    }
    let mut instance: Instance = serde_json::from_slice(value)?;
    if !is_host(&instance.address) {
        return Err(Skipped::Address(brief(instance.address.as_bytes())));
    }
    // Who reads finds it by its key, whatever else its value says.
    id.clone_into(&mut instance.id);
    service.as_ref().clone_into(&mut instance.service);
    Ok(Parsed { service, instance: Arc::new(instance), size: key.len().saturating_add(value.len()) })
}

/// A name or an address, as it may stand in a URL and in a terminal.
fn is_host(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(fits)
}

/// Bytes of a stranger for a log line; to be printed with `{:?}`.
pub fn brief(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"x","service":"y","address":"10.0.0.5","port":80}"#;

    fn why(key: &str, value: &str) -> String {
        parse("/services", key.as_bytes(), value.as_bytes()).map(|_| ()).expect_err(key).to_string()
    }

    #[test]
    fn an_instance_is_what_its_key_says() {
        let parsed = parse("/services", b"/services/shop/a", GOOD.as_bytes()).expect("an instance");
        assert_eq!((&*parsed.service, &*parsed.instance.service, &*parsed.instance.id), ("shop", "shop", "a"));
        assert_eq!((parsed.instance.status.as_str(), parsed.size), ("UP", 16 + GOOD.len()));
    }

    #[test]
    fn what_is_no_instance_has_a_reason() {
        for key in ["/services/shop", "/services/shop/a/b", "/services/Shop/a", "/services/shop/", "/other/shop/a"] {
            assert!(why(key, GOOD).contains("PREFIX/SERVICE/INSTANCE"), "{key}");
        }
        assert!(parse("/services", b"/services/shop/\xff", GOOD.as_bytes()).is_err());
        let good = "/services/shop/a";
        assert!(why(good, "10.0.0.5:80").contains("no instance"));
        assert!(why(good, "").contains("no instance"));
        assert!(why(good, "[1]").contains("no instance"));
        assert!(why(good, &"[".repeat(60_000)).contains("no instance"));
        assert!(why(good, &GOOD.replace("80", "80000")).contains("no instance"));
        assert!(why(good, &" ".repeat(MAX_VALUE + 1)).contains("65537 bytes"));
        for address in ["", "a b", "a/b", "\u{1b}[2J", "ä", &"x".repeat(256)] {
            let value = GOOD.replace("10.0.0.5", &address.replace('\u{1b}', "\\u001b"));
            assert!(why(good, &value).contains("no address"), "{address:?}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["10.0.0.5", "fd00::1", "fe80::1%eth0", "web-1.internal", "my_host"] {
            assert!(is_host(good), "{good}");
        }
    }

    #[test]
    fn keys_are_brief_in_logs() {
        assert_eq!(brief(b"/a"), "/a");
        let long = brief(&vec![b'x'; 100_000]);
        assert_eq!(long.len(), SHOWN + 3);
    }
}
