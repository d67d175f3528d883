//! A target of several hosts, asked in their order until one will do.
//!
//! Each has its share of the time, so that a mute one leaves time for the next; a tenth is left for saying what became of
//! them. Whether a host will do is the checker's to say. If none does, the error names each.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::{Cause, NetError, Phase};
use crate::outcome::{Outcome, Status};
use crate::run::Run;
use crate::stream::Stream;
use crate::target::{Endpoint, Target};
use crate::task::{block_on, timeout};
use crate::tls::TlsOptions;

/// What a run has of a host: where it is, and how much time there is for it. Prints as `HOST:PORT`.
#[derive(Debug)]
pub struct Host<'a> {
    endpoint: &'a Endpoint,
    begun: Instant,
    share: Duration,
    is_alone: bool,
}

impl Target {
    /// Visits the target's hosts in their order, with the feature `tokio`. The first visit that returns `Ok` decides, also
    /// where that is [`down`](crate::down); `Err` goes on with the next host.
    ///
    /// Of several hosts each has an equal share of the time that is left, and what takes longer is such an `Err`. Each that
    /// was visited is a [part](Run::part), and what was measured at one that will not do is forgotten. If no host will do,
    /// the error names each; if one of them could not be judged, nobody can tell of the whole.
    ///
    /// ```no_run
    /// use tokio::io::AsyncReadExt;
    /// use vitald_sdk::{Error, Outcome, Result, Run, Target, up};
    ///
    /// fn check(target: Target, run: &mut Run) -> Result<Outcome> {
    ///     target.first_host(run, async |host, run| {
    ///         let mut stream = host.connect()?;
    ///         let role = stream.read_u8().await?;
    ///         run.measure("answer", run.elapsed());
    ///         if role == b'p' { Ok(up("primary")) } else { Err(Error::down("not a primary")) }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// What the only host's visit returned, or why none of several will do; [`Error::invalid_params`] without a target.
    pub fn first_host<V>(&self, run: &mut Run, mut visit: V) -> Result<Outcome>
    where
        V: AsyncFnMut(&Host<'_>, &mut Run) -> Result<Outcome>,
    {
        let (hosts, mut failed) = (self.endpoints(), Vec::new());
        for (index, endpoint) in hosts.iter().enumerate() {
            let share = share(run.remaining(), hosts.len() - index, hosts.len());
            let host = Host { endpoint, begun: Instant::now(), share, is_alone: hosts.len() == 1 };
            let before = run.measured();
            match host.visited(run, &mut visit) {
                Ok(outcome) => return Ok(outcome),
                Err(error) => failed.push((endpoint, error)),
            }
            // What is known of the only host is of use also where it will not do.
            if !host.is_alone {
                run.forget_measured(before);
            }
        }
        Err(none_of(failed))
    }
}

impl Host<'_> {
    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        self.endpoint
    }

    /// What is left of its time.
    pub fn left(&self) -> Duration {
        self.share.saturating_sub(self.begun.elapsed())
    }

    /// Opens a connection to it, in its time.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `connect`.
    pub fn connect(&self) -> io::Result<Stream> {
        if self.is_alone { self.endpoint.connect() } else { self.endpoint.connect_within(self.left()) }
    }

    /// Wraps a connection to it in TLS, in its time.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `tls`.
    pub fn start_tls(&self, stream: &mut Stream) -> io::Result<()> {
        if self.is_alone { stream.start_tls() } else { stream.start_tls_within(TlsOptions::new(), self.left()) }
    }

    /// Of the only host the agent itself says where a run stood that took too long.
    fn visited<V>(&self, run: &mut Run, visit: &mut V) -> Result<Outcome>
    where
        V: AsyncFnMut(&Host<'_>, &mut Run) -> Result<Outcome>,
    {
        if self.is_alone {
            return block_on(visit(self, run));
        }
        let judged = block_on(timeout(self.left(), visit(self, run))).unwrap_or_else(|_| Err(self.is_late()));
        match &judged {
            Ok(outcome) => run.part(self.to_string(), outcome.status, outcome.message.as_str()),
            Err(error) => run.part(self.to_string(), Status::Down, error.message()),
        }
        judged
    }

    fn is_late(&self) -> Error {
        Error::down(format!("{self} gives no answer within {} ms", self.share.as_millis()))
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

fn share(remaining: Duration, left: usize, hosts: usize) -> Duration {
    match u32::try_from(left) {
        Ok(left @ 1..) if hosts > 1 => remaining.mul_f64(0.9) / left,
        _ => remaining,
    }
}

fn none_of(mut failed: Vec<(&Endpoint, Error)>) -> Error {
    let is_alone = failed.len() == 1;
    if let Some(at) = failed.iter().position(|(_, error)| is_alone || !error.is_down()) {
        return failed.swap_remove(at).1;
    }
    let brief = |(host, error): &(&Endpoint, Error)| match error.message() {
        why if why.contains(&host.to_string()) => why.to_owned(),
        why => format!("{host}: {why}"),
    };
    match failed.as_slice() {
        [] => io::Error::from(NetError::new(Phase::Connect, "", Cause::NoTarget)).into(),
        failed => Error::down(failed.iter().map(brief).collect::<Vec<_>>().join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::outcome::up;
    use crate::testing::{Peer, Trial};

    const SECOND: Duration = Duration::from_secs(1);

    /// Says what a host says first; `no` is none that will do.
    fn greeted(target: Target, run: &mut Run) -> Result<Outcome> {
        target.first_host(run, async |host, run| {
            let mut word = [0; 2];
            run.measure("visited", 1).label("host", host.to_string());
            host.connect()?.read_exact(&mut word).await?;
            let word = String::from_utf8_lossy(&word).into_owned();
            if word == "no" { Err(Error::down("it says no")) } else { Ok(up(word)) }
        })
    }

    fn trial(ports: &[u16]) -> Trial {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Trial::of(greeted).target(format!("tcp://{}", hosts.join(",")))
    }

    #[test]
    fn the_first_that_will_do_decides() {
        let (no, ok) = (Peer::script().answer("no").start(), Peer::script().answer("ok").start());
        let ran = trial(&[1, no.address().port(), ok.address().port(), no.address().port()]).run();
        assert_eq!((ran.status(), ran.message()), (Some(Status::Up), "ok"), "{ran}");
        let parts = ran.to_string();
        assert!(parts.contains("refused") && parts.contains("it says no"), "{parts}");
        assert_eq!(parts.matches("visited").count(), 1, "what the others measured is forgotten: {parts}");
    }

    #[test]
    fn one_that_is_mute_leaves_time_for_the_next() {
        let mute = Peer::script().delay(60 * SECOND).start();
        let ok = Peer::script().answer("ok").start();
        let ran = trial(&[mute.address().port(), ok.address().port()]).run();
        assert_eq!((ran.status(), ran.message()), (Some(Status::Up), "ok"), "{ran}");
        assert!(ran.to_string().contains("gives no answer within 4"), "{ran}");
    }

    #[test]
    fn if_none_will_do_each_is_named() {
        let no = Peer::script().answer("no").start();
        let ran = trial(&[1, no.address().port()]).run();
        let message = format!("connect 127.0.0.1:1: refused; 127.0.0.1:{}: it says no", no.address().port());
        assert_eq!((ran.status(), ran.message()), (Some(Status::Down), message.as_str()));
        let ran = trial(&[Peer::script().answer("no").start().address().port()]).run();
        assert_eq!(ran.to_string().matches("visited").count(), 1, "what is known of the only host is kept: {ran}");
        let alone = trial(&[1]).run();
        assert_eq!(alone.message(), "connect 127.0.0.1:1: refused");
        assert!(Trial::of(greeted).run().error().is_some(), "there is no target");
    }

    #[test]
    fn one_that_cannot_be_judged_makes_that_of_the_whole() {
        let (one, two) = (Endpoint::new("db1", 5432), Endpoint::new("db2", 5432));
        let unknown = none_of(vec![(&one, Error::down("refused")), (&two, Error::internal("no resolver"))]);
        assert_eq!((unknown.is_down(), unknown.message()), (false, "no resolver"));
    }

    #[test]
    fn several_hosts_leave_time_for_an_answer() {
        assert_eq!(share(SECOND, 2, 2), Duration::from_millis(450));
        assert_eq!(share(SECOND / 2, 1, 2), Duration::from_millis(450));
        assert_eq!(share(SECOND, 1, 1), SECOND);
    }
}
