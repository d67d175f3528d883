//! No sin: several connections at once, in one future and one thread.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
// Not the prelude: its `Read` has the names of tokio's `AsyncReadExt`.
use vitald_sdk::{Outcome, Result, Stream, Target, block_on, checker, down, params, sleep, timeout, up};

/// What to do at once.
#[params]
struct Concurrent {
    /// `lines`, `echo`, `timeout`, `sleeps` or `stuck`.
    does: String,
}

/// Does several things at once.
#[checker(schemes = ["tcp"])]
fn concurrent(target: Target, params: Concurrent) -> Result<Outcome> {
    match params.does.as_str() {
        "lines" => lines(&target),
        "echo" => echo(target.connect()?),
        "timeout" => silence(target.connect()?),
        "sleeps" => sleeps(),
        _ => block_on(std::future::pending()),
    }
}

async fn line(stream: Stream) -> std::io::Result<String> {
    let mut line = String::new();
    tokio::io::BufReader::new(stream).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

/// The first line of every endpoint, the earliest first.
fn lines(target: &Target) -> Result<Outcome> {
    let [first, second] = target.endpoints() else { return Ok(down("two endpoints, please")) };
    let (first, second) = (first.connect()?, second.connect()?);
    let mut came = Vec::new();
    block_on(async {
        let (mut first, mut second) = (Box::pin(line(first)), Box::pin(line(second)));
        tokio::select! {
            said = &mut first => came.extend([said?, second.await?]),
            said = &mut second => came.extend([said?, first.await?]),
        }
        Ok::<_, std::io::Error>(())
    })?;
    Ok(up(came.join(", then ")))
}

/// Sends more than a socket takes, while it reads the same from the peer: neither waits for the other.
fn echo(stream: Stream) -> Result<Outcome> {
    const SIZE: usize = 8 << 20;
    let (mut input, mut output) = tokio::io::split(stream);
    let send = async {
        let chunk = [b'x'; 60_000];
        let mut sent = 0;
        while sent < SIZE {
            output.write_all(chunk.get(..chunk.len().min(SIZE - sent)).unwrap_or_default()).await?;
            sent += chunk.len();
        }
        output.shutdown().await
    };
    let receive = async {
        let mut chunk = vec![0; 50_000];
        let mut received = 0;
        loop {
            match input.read(&mut chunk).await? {
                0 => return Ok(received),
                count => received += count,
            }
        }
    };
    let (_, received) = block_on(async { tokio::try_join!(send, receive) })?;
    Ok(if received == SIZE { up("all of it came back") } else { down(format!("{received} bytes came back")) })
}

/// A peer that says nothing is given up early, and another way is had.
fn silence(mut stream: Stream) -> Result<Outcome> {
    let mut buffer = [0; 16];
    let read = block_on(timeout(Duration::from_millis(50), stream.read(&mut buffer)));
    match read {
        Ok(read) => Ok(up(format!("it said {} bytes", read?))),
        Err(elapsed) => Err(elapsed.into()),
    }
}

/// Many short sleeps beside one that began earlier and would outlast the run: they end, and it is left. Of two that are
/// waited for together both end.
fn sleeps() -> Result<Outcome> {
    let short = async {
        for _ in 0..5 {
            sleep(Duration::from_millis(20)).await;
        }
        "short"
    };
    let first = block_on(async {
        tokio::select! {
            biased;
            () = sleep(Duration::from_secs(3600)) => "long",
            which = short => which,
        }
    });
    block_on(async { tokio::join!(sleep(Duration::from_millis(40)), sleep(Duration::from_millis(20))) });
    Ok(if first == "short" { up("the short ones ended") } else { down("the long one ended") })
}
