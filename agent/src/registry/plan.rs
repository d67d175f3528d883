//! From what there should be and what there is to what is to be done. Pure.

use std::collections::BTreeMap;

use super::desired::{Desired, Wanted};

/// A key as etcd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub value: String,
    pub lease: i64,
    pub mod_revision: i64,
}

impl Seen {
    /// Did we write it, under whatever lease?
    fn is_ours(&self, owner: &str) -> bool {
        let value: Option<serde_json::Value> = serde_json::from_str(&self.value).ok();
        value.is_some_and(|value| value.get("owner").and_then(serde_json::Value::as_str) == Some(owner))
    }
}

/// One thing to do. Each is guarded: it happens only if the key is still as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Put {
        key: String,
        value: String,
        seen: Option<i64>,
    },
    Delete {
        key: String,
        seen: i64,
    },
    /// Another owner holds the key: it is left alone.
    Conflict {
        key: String,
        holder: String,
    },
}

/// What to do about the keys in `actual`; all others are left alone.
pub fn plan(desired: &Desired, actual: &BTreeMap<String, Option<Seen>>, owner: &str, lease: i64) -> Vec<Step> {
    actual.iter().filter_map(|(key, seen)| step(key, desired.get(key), seen.as_ref(), owner, lease)).collect()
}

fn step(key: &str, wanted: Option<&Wanted>, seen: Option<&Seen>, owner: &str, lease: i64) -> Option<Step> {
    let put = |value: &str, seen| Some(Step::Put { key: key.to_owned(), value: value.to_owned(), seen });
    match (wanted, seen) {
        (Some(Wanted::Value(value)), None) => put(value, None),
        (Some(Wanted::Value(value)), Some(seen)) => {
            if !seen.is_ours(owner) {
                return Some(Step::Conflict { key: key.to_owned(), holder: seen.value.clone() });
            }
            let differs = seen.value != *value || seen.lease != lease;
            if differs { put(value, Some(seen.mod_revision)) } else { None }
        }
        // It must not go with the lease that it hangs on.
        (Some(Wanted::AsItIs), Some(seen)) if seen.is_ours(owner) && seen.lease != lease => {
            put(&seen.value, Some(seen.mod_revision))
        }
        (Some(Wanted::AsItIs), _) | (None, None) => None,
        (None, Some(seen)) if seen.is_ours(owner) => {
            Some(Step::Delete { key: key.to_owned(), seen: seen.mod_revision })
        }
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"{"owner":"me","n":1}"#;

    fn seen(value: &str, lease: i64) -> Option<Seen> {
        Some(Seen { value: value.into(), lease, mod_revision: 9 })
    }

    #[test]
    fn steps() {
        let value = || Some(Wanted::Value(OURS.into()));
        let put = |seen| Some(Step::Put { key: "k".into(), value: OURS.into(), seen });
        let foreign = r#"{"owner":"other"}"#;
        let cases = [
            ("absent, wanted", value(), None, put(None)),
            ("as wanted", value(), seen(OURS, 1), None),
            ("ours under another lease", value(), seen(OURS, 2), put(Some(9))),
            ("ours with another value", value(), seen(r#"{"owner":"me","n":2}"#, 1), put(Some(9))),
            ("another's", value(), seen(foreign, 3), Some(Step::Conflict { key: "k".into(), holder: foreign.into() })),
            ("not decided, absent", Some(Wanted::AsItIs), None, None),
            ("not decided, there", Some(Wanted::AsItIs), seen(OURS, 1), None),
            ("not decided, under an old lease", Some(Wanted::AsItIs), seen(OURS, 2), put(Some(9))),
            ("not decided, another's", Some(Wanted::AsItIs), seen(foreign, 2), None),
            ("ours, not wanted", None, seen(OURS, 1), Some(Step::Delete { key: "k".into(), seen: 9 })),
            ("another's, not wanted", None, seen(foreign, 1), None),
            ("not JSON, not wanted", None, seen("x", 1), None),
            ("nothing, not wanted", None, None, None),
        ];
        for (what, wanted, there, step) in cases {
            let desired = wanted.map(|wanted| ("k".to_owned(), wanted)).into_iter().collect();
            let actual = BTreeMap::from([("k".to_owned(), there)]);
            assert_eq!(plan(&desired, &actual, "me", 1), Vec::from_iter(step), "{what}");
        }
    }
}
