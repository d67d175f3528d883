//! `vitald handover`: the agent ends as at SIGUSR2, and its keys stay for the next one.

use std::time::Duration;

use crate::control::protocol::{Answer, Ask, HandingOver};
use crate::model::time::brief;

use super::ask::{EXIT_REFUSED, Where, print, unexpected};

/// More than an agent takes to stop all of its parts, each at its slowest.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn handover(place: &Where) -> u8 {
    let (client, handing_over) = match place.ask(Ask::HandOver {}) {
        Ok((client, Answer::HandingOver(handing_over))) => (client, handing_over),
        Ok(_) => return unexpected().report(),
        Err(failure) => return failure.report(),
    };
    match client.wait_ended(&handing_over.process, PATIENCE) {
        Ok(true) => {
            print(&format!("{}\n", outcome(&handing_over)));
            0
        }
        Ok(false) => {
            eprintln!("vitald: the agent was asked to hand over and has not ended after {}", brief(PATIENCE));
            EXIT_REFUSED
        }
        Err(error) => {
            eprintln!("vitald: the agent was asked to hand over; whether it has ended is not known: {error}");
            EXIT_REFUSED
        }
    }
}

fn outcome(handing_over: &HandingOver) -> String {
    let stay = handing_over.keys_stay_ms.map(|stay| brief(Duration::from_millis(stay)));
    match (stay, handing_over.etcd_away) {
        (Some(stay), false) => format!("handed over: the keys stay for {stay}, start the next agent within that"),
        (Some(stay), true) => format!(
            "the agent has ended; etcd was away, so the keys stay for what is left of the lease, {stay} at most"
        ),
        (None, _) => "the agent has ended; it held no lease, so there are no keys to hand over".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::control::protocol::Process;

    use super::*;

    #[test]
    fn what_becomes_of_the_keys_is_said() {
        let cases = [
            (Some(15_000), false, "the keys stay for 15s, start the next agent"),
            (Some(15_000), true, "15s at most"),
            (None, false, "no keys"),
            (None, true, "no keys"),
        ];
        for (keys_stay_ms, etcd_away, words) in cases {
            let said = outcome(&HandingOver { keys_stay_ms, etcd_away, process: Process::own() });
            assert!(said.contains(words), "{said}");
        }
    }
}
