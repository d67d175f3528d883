//! A checker on tokio: `tokio-postgres` over tokio's own `TcpStream`, which is wasi:sockets here. The SDK only says what
//! it is asked, and what an error means.

use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::TcpStream;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};
use vitald_sdk::prelude::*;

#[params]
#[serde(default)]
#[derive(Default)]
struct Params {
    /// HOST:PORT to go to instead of the target.
    to: Option<String>,
}

/// Answers `select 1`, asked by tokio-postgres over tokio's socket.
#[checker(schemes = ["postgres:5432"])]
fn tokio_postgres_checker(target: Target, params: Params) -> Result<Outcome> {
    let config: Config = target.url().parse().map_err(|error| Error::invalid_params(format!("target: {error}")))?;
    let at = params.to.unwrap_or_else(|| format!("{}:{}", target.host(), target.port()));
    // A name given to tokio would be looked up by a thread, and there are none.
    let addresses: Vec<SocketAddr> = at.to_socket_addrs()?.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        // Whatever fails from here on is the server's.
        match select_1(stream, &config).await {
            Ok(answer) => Ok(up(format!("select 1 is {answer}"))),
            Err(error) => Ok(down(reason(&error))),
        }
    })
}

async fn select_1(stream: TcpStream, config: &Config) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    let question = async {
        let answer = client.simple_query("select 1").await;
        // The connection ends with its last client.
        drop(client);
        answer
    };
    let (answer, ended) = tokio::join!(question, connection);
    let row = answer?.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    ended?;
    Ok(row.unwrap_or_else(|| "nothing".into()))
}

/// The error's own text names only the phase.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refusal) => refusal.message().to_owned(),
        None => error.to_string(),
    }
}
