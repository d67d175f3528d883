//! Which new versions of a plugin are let in by themselves: `[plugins]`, decided from values alone.

use crate::model::checkset::{PluginRules, Powers, ReloadGate};
use crate::model::name::Name;

/// What was let in last under a name.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    pub digest: &'a str,
    pub powers: &'a Powers,
}

/// A version that works and would run.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub digest: &'a str,
    pub powers: &'a Powers,
    /// Came with the agent, which is trusted as a whole.
    pub bundled: bool,
    /// Was there when the agent began to remember.
    pub taken: bool,
    /// What was let in before may be lost.
    pub lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    LetIn,
    /// Waits until an operator approves it.
    Park(String),
    Refuse(String),
}

pub fn decide(rules: &PluginRules, name: &Name, before: Option<Before<'_>>, new: Candidate<'_>) -> Decision {
    if new.bundled {
        return Decision::LetIn;
    }
    if let Some(why) = against_pin(rules, name, new.digest) {
        return Decision::Refuse(why);
    }
    let was_in = before.is_some_and(|before| before.digest == new.digest);
    if was_in || rules.pins.contains_key(name) {
        return Decision::LetIn;
    }
    match (rules.reload, before) {
        (ReloadGate::SamePowers | ReloadGate::Manual, _) if new.lost => {
            Decision::Park("which version was let in before is not known any more".to_owned())
        }
        (ReloadGate::Auto, _) | (ReloadGate::SamePowers, None) => Decision::LetIn,
        (ReloadGate::SamePowers, Some(before)) => {
            let more: Vec<&str> = new.powers.difference(before.powers).map(|power| power.words()).collect();
            if more.is_empty() {
                return Decision::LetIn;
            }
            Decision::Park(format!("it wants more than the version before: {}", more.join(", ")))
        }
        (ReloadGate::Manual, _) if new.taken => Decision::LetIn,
        (ReloadGate::Manual, None) => Decision::Park("every new plugin is to be approved".to_owned()),
        (ReloadGate::Manual, Some(_)) => Decision::Park("every new version is to be approved".to_owned()),
    }
}

/// Why a pin forbids this version of a file.
pub fn against_pin(rules: &PluginRules, name: &Name, digest: &str) -> Option<String> {
    let pin = rules.pins.get(name).filter(|pin| *pin != digest)?;
    Some(format!("its digest sha256:{digest} is not the pinned sha256:{pin}; the pin is at [plugins] pin"))
}

#[cfg(test)]
mod tests {
    use crate::model::checkset::Power;
    use crate::model::testing::name;

    use super::*;

    fn rules(reload: ReloadGate) -> PluginRules {
        PluginRules { reload, ..PluginRules::default() }
    }

    fn decided(rules: &PluginRules, before: Option<(&str, &[Power])>, new: (&str, &[Power])) -> Decision {
        let powers = |powers: &[Power]| powers.iter().copied().collect::<Powers>();
        let before = before.map(|(digest, own)| (digest, powers(own)));
        let before = before.as_ref().map(|(digest, powers)| Before { digest, powers });
        let candidate = Candidate { digest: new.0, powers: &powers(new.1), bundled: false, taken: false, lost: false };
        decide(rules, &name("orders"), before, candidate)
    }

    #[test]
    fn each_rule_lets_in_what_it_says() {
        let (none, net, host): (&[Power], &[Power], &[Power]) = (&[], &[Power::Network], &[Power::HostNumbers]);
        for (gate, before, new, is_in) in [
            (ReloadGate::Auto, None, ("2", net), true),
            (ReloadGate::Auto, Some(("1", none)), ("2", net), true),
            (ReloadGate::SamePowers, None, ("2", net), true),
            (ReloadGate::SamePowers, Some(("1", net)), ("2", net), true),
            (ReloadGate::SamePowers, Some(("1", net)), ("2", none), true),
            (ReloadGate::SamePowers, Some(("1", none)), ("2", net), false),
            (ReloadGate::SamePowers, Some(("1", net)), ("2", host), false),
            (ReloadGate::Manual, None, ("2", none), false),
            (ReloadGate::Manual, Some(("1", none)), ("2", none), false),
            (ReloadGate::Manual, Some(("2", none)), ("2", none), true),
        ] {
            let decision = decided(&rules(gate), before, new);
            assert_eq!(decision == Decision::LetIn, is_in, "{gate:?} {before:?} {new:?}: {decision:?}");
        }
    }

    #[test]
    fn what_is_wanted_more_is_named() {
        let more = [Power::Files, Power::Network];
        let decision = decided(&rules(ReloadGate::SamePowers), Some(("1", &[Power::Network])), ("2", &more));
        assert_eq!(decision, Decision::Park("it wants more than the version before: files".into()));
    }

    #[test]
    fn a_pin_lets_in_its_digest_alone_and_needs_no_approval() {
        let mut rules = rules(ReloadGate::Manual);
        rules.pins.insert(name("orders"), "2".into());
        assert_eq!(decided(&rules, None, ("2", &[])), Decision::LetIn);
        let refused = decided(&rules, Some(("3", &[])), ("3", &[]));
        assert!(matches!(&refused, Decision::Refuse(why) if why.contains("sha256:3") && why.contains("sha256:2")));
        assert_eq!(against_pin(&rules, &name("other"), "3"), None);
    }

    #[test]
    fn what_came_with_the_agent_or_was_there_first_is_let_in() {
        let rules = rules(ReloadGate::Manual);
        for (bundled, taken) in [(true, false), (false, true)] {
            let candidate = Candidate { digest: "1", powers: &Powers::new(), bundled, taken, lost: false };
            assert_eq!(decide(&rules, &name("tcp"), None, candidate), Decision::LetIn);
        }
    }

    #[test]
    fn where_the_memory_is_lost_nothing_is_taken_as_approved() {
        let powers = Powers::new();
        let candidate = Candidate { digest: "1", powers: &powers, bundled: false, taken: false, lost: true };
        let same = Before { digest: "0", powers: &powers };
        for (gate, before, is_in) in [
            (ReloadGate::Auto, None, true),
            (ReloadGate::SamePowers, None, false),
            (ReloadGate::SamePowers, Some(same), false),
            (ReloadGate::Manual, None, false),
        ] {
            let decision = decide(&rules(gate), &name("orders"), before, candidate);
            assert_eq!(decision == Decision::LetIn, is_in, "{gate:?} {before:?}: {decision:?}");
        }
        let mut pinned = rules(ReloadGate::Manual);
        pinned.pins.insert(name("orders"), "1".into());
        assert_eq!(decide(&pinned, &name("orders"), None, candidate), Decision::LetIn);
    }
}
