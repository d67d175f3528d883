//! From what there should be and what there is to what is to be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{Desired, Unit, Wanted, Why};

/// A key as etcd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub value: String,
    pub lease: i64,
    pub mod_revision: i64,
}

/// Who we are to etcd.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    pub owner: &'a str,
    pub lease: i64,
    /// A lease of ours with another TTL, which the keys are to leave.
    pub retiring: Option<i64>,
    /// Keys that we have written: who altered one by hand did not take it over.
    pub written: &'a BTreeSet<String>,
}

impl Ours<'_> {
    /// Is the key ours? What carries our owner is, under any lease; so is what hangs on a lease of ours (most dialects
    /// have no room for an owner). A key without a lease has no living owner: if we wrote it, it was altered.
    pub fn has(&self, key: &str, seen: &Seen) -> bool {
        let own_lease = seen.lease == self.lease || self.retiring == Some(seen.lease);
        own_lease || is_owner(&seen.value, self.owner) || (seen.lease == 0 && self.written.contains(key))
    }
}

/// A key that hangs on no lease has no living owner.
fn is_nobodys(seen: &Seen) -> bool {
    seen.lease == 0
}

fn is_owner(value: &str, owner: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(value).ok();
    value.is_some_and(|value| value.get("owner").and_then(serde_json::Value::as_str) == Some(owner))
}

/// One thing to do. Each is guarded: it happens only if the key is still as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Put {
        key: String,
        value: String,
        /// Its revision; none where it is absent.
        seen: Option<i64>,
    },
    Delete {
        key: String,
        seen: i64,
        why: Why,
    },
    /// Another owner holds the key: it is left alone.
    Conflict {
        key: String,
        holder: String,
    },
}

impl Step {
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Conflict { key, .. } => key,
        }
    }

    /// The revision that the key must still have; 0 is that of a key that does not exist.
    pub fn guard(&self) -> i64 {
        match self {
            Self::Put { seen, .. } => seen.unwrap_or(0),
            Self::Delete { seen, .. } => *seen,
            Self::Conflict { .. } => 0,
        }
    }

    /// Would it take an instance out of traffic because it is ill?
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::Delete { why: Why::Verdict, .. })
    }
}

/// What to do about the keys in `actual`; all others are left alone. An instance one of whose keys another holds is
/// not written at all: readers of all dialects see the same.
pub fn plan(desired: &Desired, actual: &BTreeMap<String, Option<Seen>>, ours: &Ours<'_>) -> Vec<Step> {
    let steps: Vec<Step> = actual.iter().filter_map(|(key, seen)| step(key, desired, seen.as_ref(), ours)).collect();
    let unit = |step: &Step| desired.get(step.key()).map(|wish| &wish.unit);
    let conflicts = |step: &&Step| matches!(step, Step::Conflict { .. });
    let held: BTreeSet<&Unit> = steps.iter().filter(conflicts).filter_map(unit).collect();
    if held.is_empty() {
        return steps;
    }
    let stays =
        |step: &&Step| !(matches!(step, Step::Put { .. }) && unit(step).is_some_and(|unit| held.contains(unit)));
    steps.iter().filter(stays).cloned().collect()
}

/// Keys whose desire is another than before; none before means that nothing is known of any.
pub fn changed_keys(last: Option<&Desired>, next: &Desired) -> BTreeSet<String> {
    let Some(last) = last else { return next.keys().cloned().collect() };
    let all = last.keys().chain(next.keys());
    all.filter(|key| last.get(*key) != next.get(*key)).cloned().collect()
}

fn step(key: &str, desired: &Desired, seen: Option<&Seen>, ours: &Ours<'_>) -> Option<Step> {
    let put = |value: &str, seen| Some(Step::Put { key: key.to_owned(), value: value.to_owned(), seen });
    let wanted = desired.get(key).map_or(&Wanted::Gone(Why::Will), |wish| &wish.wanted);
    match (wanted, seen) {
        (Wanted::Value(value), None) => put(value, None),
        (Wanted::Value(value), Some(seen)) if ours.has(key, seen) || is_nobodys(seen) => {
            let differs = seen.value != *value || seen.lease != ours.lease;
            if differs { put(value, Some(seen.mod_revision)) } else { None }
        }
        (Wanted::Value(_), Some(seen)) => Some(Step::Conflict { key: key.to_owned(), holder: seen.value.clone() }),
        // It must not go with the lease that it hangs on.
        (Wanted::AsItIs, Some(seen)) if ours.has(key, seen) && seen.lease != ours.lease => {
            put(&seen.value, Some(seen.mod_revision))
        }
        (Wanted::Gone(why), Some(seen)) if ours.has(key, seen) => {
            Some(Step::Delete { key: key.to_owned(), seen: seen.mod_revision, why: *why })
        }
        (Wanted::AsItIs | Wanted::Gone(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::testing::name;
    use crate::registry::desired::Wish;

    use super::*;

    const OURS: &str = r#"{"owner":"me","n":1}"#;
    const FOREIGN: &str = r#"{"owner":"other"}"#;

    fn seen(value: &str, lease: i64) -> Option<Seen> {
        Some(Seen { value: value.into(), lease, mod_revision: 9 })
    }

    fn wish(wanted: Wanted) -> Wish {
        Wish { unit: Unit::Service(name("s")), dialect: "native", wanted }
    }

    fn planned(wanted: Option<Wanted>, there: Option<Seen>, written: &[&str]) -> Vec<Step> {
        let desired = wanted.map(|wanted| ("k".to_owned(), wish(wanted))).into_iter().collect();
        let written = written.iter().map(|key| (*key).to_owned()).collect();
        let ours = Ours { owner: "me", lease: 1, retiring: Some(2), written: &written };
        plan(&desired, &BTreeMap::from([("k".to_owned(), there)]), &ours)
    }

    #[test]
    fn steps() {
        let value = || Some(Wanted::Value(OURS.into()));
        let as_is = || Some(Wanted::AsItIs);
        let gone = || Some(Wanted::Gone(Why::Verdict));
        let put = |seen| Some(Step::Put { key: "k".into(), value: OURS.into(), seen });
        let moved = |text: &str| Some(Step::Put { key: "k".into(), value: text.into(), seen: Some(9) });
        let conflict = |holder: &str| Some(Step::Conflict { key: "k".into(), holder: holder.into() });
        let delete = |why| Some(Step::Delete { key: "k".into(), seen: 9, why });
        let cases = [
            ("absent, wanted", value(), None, put(None)),
            ("as wanted", value(), seen(OURS, 1), None),
            ("ours under the lease that retires", value(), seen(OURS, 2), put(Some(9))),
            ("ours under an unknown lease", value(), seen(OURS, 7), put(Some(9))),
            ("ours with another value", value(), seen(r#"{"owner":"me","n":2}"#, 1), put(Some(9))),
            ("ours by its lease", value(), seen("10.0.0.1:80", 1), put(Some(9))),
            ("another's", value(), seen(FOREIGN, 3), conflict(FOREIGN)),
            ("nobody's, never written by us", value(), seen("x", 0), put(Some(9))),
            ("a stranger's without a lease", value(), seen(FOREIGN, 0), put(Some(9))),
            ("nobody's, and not wanted", gone(), seen("x", 0), None),
            ("not decided, absent", as_is(), None, None),
            ("not decided, there", as_is(), seen(OURS, 1), None),
            ("not decided, under the lease that retires", as_is(), seen("10.0.0.1:80", 2), moved("10.0.0.1:80")),
            ("not decided, another's", as_is(), seen(FOREIGN, 7), None),
            ("ours, ill", gone(), seen(OURS, 1), delete(Why::Verdict)),
            ("ours, not mentioned", None, seen("10.0.0.1:80", 1), delete(Why::Will)),
            ("another's, not mentioned", None, seen(FOREIGN, 3), None),
            ("another's, ill", gone(), seen(FOREIGN, 3), None),
            ("not JSON, not mentioned", None, seen("x", 3), None),
            ("nothing, not mentioned", None, None, None),
        ];
        for (what, wanted, there, step) in cases {
            assert_eq!(planned(wanted, there, &[]), Vec::from_iter(step), "{what}");
        }
    }

    #[test]
    fn what_was_altered_by_hand_is_still_ours() {
        let wanted = || Some(Wanted::Value(OURS.into()));
        let put = [Step::Put { key: "k".into(), value: OURS.into(), seen: Some(9) }];
        assert_eq!(planned(wanted(), seen("oops", 0), &["k"]), put);
        assert_eq!(planned(wanted(), seen(FOREIGN, 0), &["k"]), put);
        // Who put it under a living lease means it.
        assert!(matches!(planned(wanted(), seen(FOREIGN, 3), &["k"]).as_slice(), [Step::Conflict { .. }]));
    }

    #[test]
    fn a_conflict_in_one_dialect_keeps_the_instance_out_of_all() {
        let desired = ["a", "b"].map(|key| (key.to_owned(), wish(Wanted::Value(OURS.into())))).into();
        let actual = BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), seen(FOREIGN, 3))]);
        let ours = Ours { owner: "me", lease: 1, retiring: None, written: &BTreeSet::new() };
        assert!(matches!(plan(&desired, &actual, &ours).as_slice(), [Step::Conflict { key, .. }] if key == "b"));
    }
}
