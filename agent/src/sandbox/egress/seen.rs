//! What one run did on the network: what its names led to, what it was refused, and how long each phase took.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::grant::Protocol;
use crate::model::outcome::FaultKind;

/// Refused destinations that are remembered: a guest may ask as often as it likes.
const MAX_DENIED: usize = 16;
/// Names that one run looks up; what each led to is kept until its end.
pub const MAX_NAMES: usize = 64;
/// Addresses that a message shows.
const SHOWN: usize = 4;

#[derive(Debug, Default)]
pub struct Seen {
    pub pins: Vec<(String, Vec<IpAddr>)>,
    /// The first destinations that were refused, and how many in all.
    pub denied: Vec<Denial>,
    pub denials: u64,
    /// What became of the last attempt to reach something.
    pub last: Attempt,
    /// Why TLS could not be begun: the operator's files.
    pub setup: Option<String>,
    pub phases: Vec<(&'static str, Duration)>,
    lookups: usize,
}

/// An attempt to reach something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attempt {
    #[default]
    None,
    /// The target had its say.
    Made,
    Denied,
    /// No resolver answered.
    Unresolved,
    /// A cap of ours was reached.
    Capped,
}

impl Seen {
    pub fn deny(&mut self, denial: Denial) {
        self.denials += 1;
        self.last = Attempt::Denied;
        if self.denied.len() < MAX_DENIED && !self.denied.contains(&denial) {
            self.denied.push(denial);
        }
    }

    /// Counts a question to a resolver; false where it is one too many.
    pub fn begin_lookup(&mut self) -> bool {
        self.lookups += 1;
        let fits = self.lookups <= MAX_NAMES;
        if !fits {
            self.last = Attempt::Capped;
        }
        fits
    }

    /// Keeps how long a phase took; of several connections the last one's.
    pub fn phase(&mut self, name: &'static str, took: Duration) {
        self.phases.retain(|(own, _)| *own != name);
        self.phases.push((name, took));
    }

    /// Why a run could not judge its target for a reason of ours, which the checker cannot know: it saw no more than that
    /// something did not work. Whatever it reached before, the last attempt is what it gave up at.
    pub fn fault(&self) -> Option<FaultKind> {
        match self.last {
            _ if self.setup.is_some() => Some(FaultKind::InvalidParams),
            Attempt::Unresolved => Some(FaultKind::Resolver),
            Attempt::Denied => Some(FaultKind::Denied),
            Attempt::Capped => Some(FaultKind::Limit),
            Attempt::Made | Attempt::None => None,
        }
    }

    /// Keeps what a name led to. The first answer of a run is its only one.
    pub fn pin(&mut self, name: &str, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        if let Some((_, first)) = self.pins.iter().find(|(pinned, _)| pinned == name) {
            return first.clone();
        }
        self.pins.push((name.to_owned(), addresses.clone()));
        addresses
    }
}

/// A refusal, in words: `may not connect to db:5432; to allow it, add "tcp://db:5432" to the check's allow`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// What it may not do.
    pub what: String,
    /// What an operator who wants it can do.
    pub advice: String,
    /// The entry of `allow` that would permit it.
    pub allow: Option<String>,
}

impl Denial {
    pub fn connect(protocol: Protocol, destination: String) -> Self {
        let verb = match protocol {
            Protocol::Tcp => "connect",
            Protocol::Udp => "send",
        };
        let allow = format!("{protocol}://{destination}");
        let advice = format!("to allow it, add \"{allow}\" to the check's allow");
        Self { what: format!("{verb} to {destination}"), advice, allow: Some(allow) }
    }

    pub fn lookup(name: &str) -> Self {
        let advice = format!("to allow it, add \"tcp://{name}:PORT\" with the port that it needs to the check's allow");
        Self { what: format!("look up {name}"), advice, allow: None }
    }

    /// What a guest gave for a host is neither a name nor an address.
    pub fn odd(host: &str) -> Self {
        Self { what: format!("connect to {host:?}"), advice: "it is no host name or address".to_owned(), allow: None }
    }

    /// A granted name whose addresses are none that a name may lead to.
    pub fn name_leads_to(name: &str, port: u16, addresses: &[IpAddr]) -> Self {
        let mut all = addresses.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if addresses.len() > SHOWN {
            all.push_str(" ...");
        }
        let advice = "a name may not lead to the host itself, its own link or a cloud's metadata: if this is wanted, \
                      use the address as the target or grant it"
            .to_owned();
        let port = if port > 0 { format!(":{port}") } else { String::new() };
        Self { what: format!("connect to {name}{port}, which resolves to {all}"), advice, allow: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_is_the_only_one() {
        let mut seen = Seen::default();
        let [one, two]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("address"));
        assert_eq!(seen.pin("db", vec![one]), [one]);
        assert_eq!(seen.pin("db", vec![two]), [one]);
        assert_eq!(seen.pin("other", vec![two]), [two]);
    }

    #[test]
    fn the_last_attempt_decides_whose_fault_it_is() {
        let mut seen = Seen::default();
        assert_eq!(seen.fault(), None);
        seen.deny(Denial::lookup("a"));
        assert_eq!(seen.fault(), Some(FaultKind::Denied));
        seen.last = Attempt::Made;
        assert_eq!(seen.fault(), None);
        seen.last = Attempt::Unresolved;
        assert_eq!(seen.fault(), Some(FaultKind::Resolver));
    }

    #[test]
    fn refusals_are_all_counted_and_some_are_kept() {
        let mut seen = Seen::default();
        for n in 0..1_000_u32 {
            seen.deny(Denial::connect(Protocol::Udp, format!("10.0.0.1:{}", n / 2)));
        }
        assert_eq!((seen.denials, seen.denied.len()), (1_000, MAX_DENIED));
        assert!(seen.denied[1].advice.contains("\"udp://10.0.0.1:1\""), "{:?}", seen.denied[1]);
    }
}
