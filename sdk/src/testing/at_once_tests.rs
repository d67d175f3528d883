use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Peer, Trial};
use crate::{Endpoint, Error, Level, Outcome, Result, Run, Status, Target, block_on, sleep, timeout, up};

async fn says(target: &Target, index: usize) -> std::io::Result<String> {
    let mut stream = target.endpoints()[index].connect()?;
    stream.write_all(b"go").await?;
    let mut all = String::new();
    stream.read_to_string(&mut all).await?;
    stream.shutdown()?;
    Ok(all)
}

fn both(target: Target, run: &mut Run) -> Result<Outcome> {
    let (one, two) = block_on(async { tokio::try_join!(says(&target, 0), says(&target, 1)) })?;
    run.measure("took", run.elapsed());
    Ok(up(format!("{one}{two}")))
}

#[test]
fn several_streams_are_waited_for_at_once() {
    let late = Duration::from_millis(500);
    let peers = [(); 2].map(|()| Peer::script().expect("go").delay(late).answer("x").close().start());
    let url = format!("tcp://{},{}", peers[0].address(), peers[1].address());
    let ran = Trial::of(both).target(url).timeout(Duration::from_secs(10)).run();
    assert_eq!(ran.message(), "xx", "{ran}");
    let took = ran.measurement("took").unwrap();
    // One after the other they would take twice as long.
    assert!((0.5..0.99).contains(&took), "{ran}");
}

#[test]
fn a_silent_peer_ends_with_the_run() {
    let peers = [(); 2].map(|()| Peer::script().expect("go").start());
    let url = format!("tcp://{},{}", peers[0].address(), peers[1].address());
    let ran = Trial::of(both).target(url).timeout(Duration::from_millis(60)).run();
    assert_eq!(ran.status(), Some(Status::Down), "{ran}");
    assert!(ran.message().starts_with("timeout after 60 ms: read 127.0.0.1:"), "{ran}");
}

#[test]
fn more_than_a_socket_takes_goes_both_ways_at_once() {
    fn floods(target: Target) -> Result<Outcome> {
        let bytes = vec![b'x'; 8 << 20];
        let (mut input, mut output) = tokio::io::split(target.connect()?);
        let mut back = Vec::new();
        block_on(async {
            let send = async {
                output.write_all(&bytes).await?;
                output.shutdown().await
            };
            tokio::try_join!(send, input.read_to_end(&mut back))
        })?;
        Ok(up(back.len().to_string()))
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let echo = std::thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        std::io::copy(&mut &connection, &mut &connection).unwrap()
    });
    let ran = Trial::of(floods).target(url).timeout(Duration::from_secs(30)).run();
    assert_eq!(ran.message(), (8 << 20).to_string(), "{ran}");
    assert_eq!(echo.join().unwrap(), 8 << 20);
}

#[test]
fn sleeps_and_timeouts() {
    let begun = std::time::Instant::now();
    let short = Duration::from_millis(20);
    block_on(async { tokio::join!(sleep(short), sleep(2 * short)) });
    assert!(begun.elapsed() >= 2 * short);
    assert_eq!(block_on(timeout(Duration::from_secs(60), async { 7 })).ok(), Some(7));
    let elapsed = block_on(timeout(short, std::future::pending::<()>())).unwrap_err();
    let error: Error = elapsed.into();
    assert!(error.is_down() && error.message().starts_with("no answer within 20 ms"), "{error:?}");
    assert_eq!(block_on(timeout(Duration::MAX, async { 7 })).ok(), Some(7));
}

#[test]
fn who_sleeps_past_the_end_is_ended() {
    fn sleeps(run: &mut Run) -> Result<Outcome> {
        run.log(Level::Info, "good night");
        block_on(sleep(Duration::from_secs(600)));
        Ok(up("slept well"))
    }
    let ran = Trial::of(sleeps).timeout(Duration::from_millis(60)).run();
    assert_eq!(ran.error().map(Error::message), Some("slept past the deadline of 60 ms without a connection"), "{ran}");
    assert_eq!((ran.log().len(), ran.took() < Duration::from_secs(10)), (1, true), "{ran}");
}

#[test]
fn each_wake_up_is_one_poll() {
    let mut polls = 0;
    let mut future = std::pin::pin!(async {
        sleep(Duration::from_millis(2)).await;
        sleep(Duration::from_millis(2)).await;
    });
    block_on(std::future::poll_fn(|context| {
        polls += 1;
        future.as_mut().poll(context)
    }));
    assert_eq!(polls, 3);
}

#[test]
fn who_wakes_itself_is_polled_again() {
    let mut left = 3;
    block_on(std::future::poll_fn(|context| {
        left -= 1;
        context.waker().wake_by_ref();
        if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    }));
}

#[test]
fn one_inside_of_another_leaves_its_waits() {
    let short = Duration::from_millis(20);
    block_on(async { tokio::join!(sleep(2 * short), async { block_on(sleep(short)) }) });
}

#[test]
#[should_panic(expected = "nothing would ever wake it")]
fn what_was_dropped_wakes_nobody() {
    let peer = Peer::script().start();
    let mut stream = Endpoint::new("127.0.0.1", peer.address().port()).connect().unwrap();
    let mut buffer = [0; 8];
    // The stream stays, and with it its place among what may be waited for.
    assert!(block_on(timeout(Duration::from_millis(5), stream.read(&mut buffer))).is_err());
    block_on(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "nothing would ever wake it")]
fn what_nothing_wakes_is_no_hanging_test() {
    block_on(std::future::pending::<()>());
}
