use std::net::UdpSocket;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::host::{Series, samples};
use crate::{Endpoint, Error, Level, Outcome, Result, Run, Status, Target, down, seconds, up};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    word: String,
}

fn none() -> Result<Outcome> {
    Ok(up("nothing"))
}

fn target(target: Target) -> Result<Outcome> {
    Ok(up(target.url()))
}

fn params(params: Params) -> Result<Outcome> {
    Ok(up(params.word))
}

fn run(run: &mut Run) -> Result<Outcome> {
    run.log(Level::Warn, "a line");
    run.measure("lag", seconds(0.5)).label("replica", "b");
    run.part("b", Status::Degraded, "behind");
    let count: u8 = run.state().unwrap_or_default();
    run.set_state(&(count + 1))?;
    Ok(up(run.check_name()))
}

fn target_params(target: Target, params: Params) -> Result<Outcome> {
    Ok(up(format!("{} {}", target.port(), params.word)))
}

fn target_run(target: Target, run: &mut Run) -> Result<Outcome> {
    Err(run.cannot_judge(target.scheme()))
}

fn params_run(params: Params, run: &mut Run) -> Result<Outcome> {
    Ok(down(format!("{} {:?}", params.word, run.timeout())))
}

fn all(target: Target, params: Params, _run: &mut Run) -> Result<Outcome> {
    Ok(up(format!("{} {}", target.host(), params.word)))
}

fn unit(_target: Target, _params: (), _run: &mut Run) -> Result<Outcome> {
    Ok(up("unit"))
}

/// Reads all, after a word.
fn reads(target: Target) -> Result<Outcome> {
    use std::io::{Read as _, Write as _};
    let mut stream = target.connect()?;
    stream.write_all(b"go")?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(up(all))
}

fn message(ran: &Ran) -> &str {
    ran.message()
}

#[test]
fn every_choice_of_arguments_is_a_checker() {
    let word = json!({ "word": "hello" });
    let url = "tcp://db:1,[::1]:2/path?q";
    assert_eq!(message(&Trial::of(none).run()), "nothing");
    assert_eq!(message(&Trial::of(target).target(url).run()), url);
    assert_eq!(message(&Trial::of(params).params(word.clone()).run()), "hello");
    assert_eq!(message(&Trial::of(run).run()), "trial");
    assert_eq!(message(&Trial::of(target_params).target(url).params(word.clone()).run()), "1 hello");
    assert_eq!(message(&Trial::of(target_run).target(url).run()), "tcp");
    assert_eq!(message(&Trial::of(params_run).params(r#"{"word": "w"}"#).run()), "w 1s");
    assert_eq!(message(&Trial::of(all).target(url).params(word).run()), "db hello");
    assert_eq!(message(&Trial::of(unit).target(url).run()), "unit");
}

#[test]
fn what_the_run_leaves_is_there() {
    let ran = Trial::of(run).state(&7).check_name("mine").run();
    assert_eq!((ran.status(), ran.message(), ran.error()), (Some(Status::Up), "mine", None));
    assert_eq!((ran.measurement("lag"), ran.measurement("leg")), (Some(0.5), None));
    assert_eq!(ran.measurement_of("lag", &[("replica", "b")]), Some(0.5));
    assert_eq!(ran.measurement_of("lag", &[("replica", "c")]), None);
    assert_eq!(ran.measurements(), [("lag", "seconds")]);
    assert_eq!((ran.parts()[0].status, ran.state()), (Status::Degraded, Some(8)));
    assert_eq!(ran.log(), [(Level::Warn, "a line".to_owned())]);
    let shown = ran.to_string();
    for piece in ["Up: mine", "lag = 0.5 seconds replica=\"b\"", "b Degraded: behind", "state: 8", "log Warn: a line"] {
        assert!(shown.contains(piece), "{piece}: {shown}");
    }
}

#[test]
fn parameters_are_checked_as_in_a_component() {
    let ran = Trial::of(params).params(json!({ "wrod": "hello" })).run();
    assert_eq!(ran.status(), None);
    assert!(ran.message().contains("unknown field `wrod`"), "{ran}");
    assert!(format!("{:?}", ran.error()).contains("InvalidParams"), "{ran:?}");
    let ran = Trial::of(unit).params(json!({ "word": 1 })).run();
    assert!(ran.message().contains("unknown field `word`"), "{ran}");
    // The parameter that every checker of a target has.
    let ran = Trial::of(target).target("tcp://db:1").params(json!({ "slow": "1ns" })).run();
    assert_eq!(ran.status(), Some(Status::Degraded), "{ran}");
    assert_eq!(Trial::of(none).params(json!({ "slow": "1ns" })).run().status(), None);
}

#[test]
#[should_panic(expected = "with a port")]
fn a_target_without_a_port_is_a_mistake_of_the_test() {
    let _ = Trial::of(target).target("redis://db");
}

#[test]
fn connections_fail_as_they_do_by_the_host() {
    let closed = Peer::script().start();
    let address = closed.address().to_string();
    drop(std::net::TcpStream::connect(&address));
    closed.finish();
    let ran = Trial::of(reads).target(format!("tcp://{address}")).run();
    assert_eq!((ran.status(), ran.message()), (Some(Status::Down), format!("connect {address}: refused").as_str()));
    let broken = Peer::script().expect("go").reset().start();
    let ran = Trial::of(reads).peer(&broken).run();
    let expected = format!("read {}: connection reset", broken.address());
    assert_eq!((ran.status(), ran.message()), (Some(Status::Down), expected.as_str()), "{ran}");
    let ran = Trial::of(reads).target("tcp://no-such-name.invalid:1").timeout(Duration::from_secs(60)).run();
    assert_eq!(ran.message(), "connect no-such-name.invalid:1: name not found");
    let plain = Peer::script().start();
    let ran = Trial::of(reads).target(plain.url("rediss")).run();
    assert_eq!(ran.status(), None);
    assert!(ran.message().contains("`vitald try`"), "{ran}");
}

#[test]
fn what_waits_beyond_its_time_is_down_and_what_does_else_is_not_judged() {
    let silent = Peer::script().expect("go").start();
    let ran = Trial::of(reads).peer(&silent).timeout(Duration::from_millis(40)).run();
    let expected = format!("timeout after 40 ms: read {}", silent.address());
    assert_eq!((ran.status(), ran.message()), (Some(Status::Down), expected.as_str()), "{ran}");
    fn busy(run: &mut Run) -> Result<Outcome> {
        while !run.remaining().is_zero() {}
        Ok(up("too late"))
    }
    let ran = Trial::of(busy).timeout(Duration::from_millis(20)).run();
    assert_eq!(ran.status(), None, "{ran}");
    assert!(ran.message().contains("the agent ends it after 20 ms"), "{ran}");
}

#[test]
fn a_peer_follows_its_script() {
    let slow = Duration::from_millis(30);
    let peer = Peer::script().expect("go").delay(slow).answer("one").close().next_connection();
    let peer = peer.expect("go").answer(b"two").close().start();
    let first = Trial::of(reads).peer(&peer).run();
    assert_eq!(first.message(), "one");
    assert!(first.took() >= slow, "{first}");
    for _ in 0..2 {
        assert_eq!(Trial::of(reads).peer(&peer).run().message(), "two");
    }
    assert_eq!(peer.connections(), 3);
    peer.finish();
}

fn complaint(peer: Peer) -> String {
    let complained = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| peer.finish()));
    *complained.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn a_peer_says_what_was_not_as_in_its_script() {
    let other = Peer::script().expect("gone\r\n").answer("x").close().start();
    let _ = Trial::of(reads).peer(&other).timeout(Duration::from_millis(100)).run();
    let said = complaint(other);
    assert!(said.contains(r#"expected "gone\r\n""#) && said.contains(r#"got "go" and the end"#), "{said}");
    let different = Peer::script().expect("no").answer("x").close().start();
    let _ = Trial::of(reads).peer(&different).run();
    assert!(complaint(different).contains(r#"got "go""#));
    let chatty = Peer::script().start();
    let _ = Trial::of(reads).peer(&chatty).timeout(Duration::from_millis(100)).run();
    assert!(complaint(chatty).contains("expected nothing more"));
    let lonely = Peer::script().expect("go").start();
    assert!(complaint(lonely).contains("nobody connected"));
}

#[test]
fn the_hosts_numbers_are_those_of_the_trial() {
    fn mounts() -> Result<Outcome> {
        let sample = samples("node_")?;
        Ok(up(format!("{} of {}", sample.series.len(), sample.series[0].name)))
    }
    let series = |name: &str| Series { name: name.into(), labels: vec![], value: 1.0 };
    let ran = Trial::of(mounts).samples([series("node_load1"), series("other")]).run();
    assert_eq!(ran.message(), "1 of node_load1");
    let refused = Trial::of(mounts).run();
    assert!(refused.error().is_some_and(|error| !error.is_down()), "{refused}");
}

#[test]
fn datagrams_come_in_time_or_not_at_all() {
    fn asks(target: Target) -> Result<Outcome> {
        let socket = target.datagrams()?;
        socket.send(b"ping")?;
        let mut answer = [0; 3];
        let length = socket.receive(&mut answer, Duration::from_millis(200))?;
        Ok(up(String::from_utf8_lossy(&answer[..length])))
    }
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let url = format!("dns://{address}");
    let serving = std::thread::spawn(move || {
        let (_, peer) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"pong", peer).unwrap();
        server
    });
    assert_eq!(Trial::of(asks).target(&url).run().message(), "pon");
    let server = serving.join().unwrap();
    let ran = Trial::of(asks).target(&url).run();
    assert_eq!((ran.status(), ran.message()), (Some(Status::Down), format!("read {address}: timeout").as_str()));
    drop(server);
    let ran = Trial::of(asks).target(&url).run();
    assert_eq!(ran.message(), format!("read {address}: refused"));
}

#[test]
fn a_time_limit_of_its_own_ends_a_connect() {
    // TEST-NET-1 (RFC 5737): nobody answers there, or there is no way to it.
    let begun = std::time::Instant::now();
    let error = Endpoint::new("192.0.2.1", 9).connect_within(Duration::from_millis(50)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
    let error: Error = error.into();
    assert!(error.message().starts_with("connect 192.0.2.1:9: "), "{error}");
}

#[test]
fn state_that_is_no_json_is_a_mistake_of_the_test() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    assert!(std::panic::catch_unwind(|| Trial::of(none).state(&Unwritable)).is_err());
}

/// The agent would kill them; here they would hang.
#[test]
fn what_never_gives_up_is_ended() {
    fn connects(target: Target) -> Result<Outcome> {
        loop {
            if target.connect().is_ok() {
                return Ok(up("it is there"));
            }
        }
    }
    fn reads(target: Target) -> Result<Outcome> {
        use std::io::Read as _;
        let mut stream = target.connect()?;
        while stream.read(&mut [0; 8]).is_err() {}
        Ok(up("it says something"))
    }
    let within = |trial: Trial| trial.timeout(Duration::from_millis(60)).run();
    let ran = within(Trial::of(connects).target("tcp://127.0.0.1:1"));
    assert_eq!(ran.message(), "timeout after 60 ms: connect 127.0.0.1:1", "{ran}");
    assert_eq!(ran.status(), Some(Status::Down), "{ran}");
    let peer = Peer::script().start();
    let ran = within(Trial::of(reads).peer(&peer));
    assert_eq!(ran.message(), format!("timeout after 60 ms: read {}", peer.address()), "{ran}");
    assert!(ran.took() < Duration::from_secs(10), "{ran}");
    // The next trial of the thread has its own time.
    assert_eq!(message(&Trial::of(none).run()), "nothing");
}
