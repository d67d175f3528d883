//! An instance as the registry has it: what `native` writes, and what everybody reads.

use std::collections::BTreeMap;

use serde::Deserialize as _;

use super::name::Name;

/// The value of `{prefix}/{service}/{instance id}` (DESIGN 7). Unknown fields are left alone: a later agent may write
/// more. All but the address may be absent: others may register too.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Instance {
    /// The key has both, too.
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub service: String,
    pub address: String,
    pub port: u16,
    /// `UP`, `DEGRADED`, `DOWN` or `MAINTENANCE`.
    #[serde(default = "up")]
    pub status: String,
    /// Since when the status is what it is, RFC 3339 in UTC.
    #[serde(default)]
    pub since: String,
    #[serde(default)]
    pub weight: Option<u32>,
    #[serde(default, deserialize_with = "or_none")]
    pub tags: Vec<String>,
    #[serde(default, deserialize_with = "or_none")]
    pub metadata: BTreeMap<String, String>,
    /// The agent that registered it.
    #[serde(default)]
    pub agent: String,
    /// That agent's random identity: who may change the key.
    #[serde(default)]
    pub owner: String,
    /// It is DOWN and stays, because too few others would remain (`keep_at_least`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// Go writes `null` for what is empty.
fn or_none<'de, D: serde::Deserializer<'de>, T: Default + serde::Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn up() -> String {
    "UP".into()
}

impl Instance {
    /// May it be sent traffic?
    pub fn serves(&self) -> bool {
        self.held || matches!(self.status.as_str(), "UP" | "DEGRADED")
    }

    /// `10.0.0.5:8080`, `[fd00::1]:8080`.
    pub fn endpoint(&self) -> String {
        endpoint(&self.address, self.port)
    }
}

/// Host and port together, as URLs and Go programs write them.
pub fn endpoint(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where the keys of services begin, and which part of a key is the service: `{prefix}/{service}/{id}`.
pub fn service_of<'a>(prefix: &str, key: &'a str) -> Option<(&'a str, &'a str)> {
    let (service, id) = key.strip_prefix(prefix)?.strip_prefix('/')?.split_once('/')?;
    (service.parse::<Name>().is_ok() && !id.is_empty() && !id.contains('/')).then_some((service, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_write_less_and_more() {
        let text = r#"{"address":"fd00::1","port":80,"colour":"red","tags":null,"metadata":null}"#;
        let instance: Instance = serde_json::from_str(text).expect("parses");
        assert!(instance.serves() && !instance.held);
        assert_eq!(instance.endpoint(), "[fd00::1]:80");
    }

    #[test]
    fn who_serves() {
        let instance = |status: &str, held| {
            let text =
                format!(r#"{{"id":"a","service":"s","address":"h","port":1,"status":"{status}","held":{held}}}"#);
            serde_json::from_str::<Instance>(&text).expect("parses")
        };
        assert!(instance("UP", false).serves() && instance("DEGRADED", false).serves());
        assert!(!instance("DOWN", false).serves() && !instance("MAINTENANCE", false).serves());
        assert!(instance("DOWN", true).serves());
    }

    #[test]
    fn keys() {
        assert_eq!(service_of("/services", "/services/shop/a"), Some(("shop", "a")));
        for other in ["/services/shop", "/services/shop/", "/services/shop/a/b", "/servicesx/shop/a", "/other/shop/a"] {
            assert_eq!(service_of("/services", other), None, "{other}");
        }
    }
}
