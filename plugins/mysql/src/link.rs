//! MySQL's packets over the SDK's stream, and queries in the text protocol
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>).
//!
//! The peer may be anything: a phase reads no more than it is allowed, and what a packet lacks is an error, never a panic.
//! A server's refusal is a [`Stop::Server`], everything else that ends the talk a [`Stop::Other`].

use mysql_common::constants::{CapabilityFlags, Command};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{Column, ErrPacket};
use mysql_common::proto::Text;
pub(crate) use mysql_common::row::Row;
use mysql_common::row::RowDeserializer;
use mysql_common::value::ServerSide;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use vitald_sdk::{Error, Host, Stream};

/// A health query has one row; `show` has some dozen.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why a talk ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The server said so, with its code.
    Server(u16, String),
    /// The health user cannot log in, and why.
    Refused(String),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

pub(crate) struct Link {
    stream: BufReader<Stream>,
    sequence: u8,
    /// How many bytes may still come, and what it means if there are more.
    room: usize,
    too_long: Error,
}

impl Link {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream: BufReader::new(stream), sequence: 0, room: 0, too_long: Error::down("") }
    }

    pub(crate) fn allow(&mut self, room: usize, too_long: Error) {
        (self.room, self.too_long) = (room, too_long);
    }

    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, Stop> {
        let [low, middle, high, sequence] = self.stream.read_u32_le().await?.to_le_bytes();
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        self.room = self.room.checked_sub(length + 4).ok_or_else(|| self.too_long.clone())?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        match payload.first() {
            // A server that stops, or throws us out, says so at any time.
            Some(0xff) => Err(refusal(&payload)),
            _ if sequence != self.sequence => Err(not_mysql().into()),
            _ => {
                self.sequence = sequence.wrapping_add(1);
                Ok(payload)
            }
        }
    }

    /// A packet has less than 16 MiB, as all that an operator writes.
    pub(crate) async fn write(&mut self, payload: &[u8]) -> Result<(), Stop> {
        let [low, middle, high, ..] = payload.len().to_le_bytes();
        let packet = [&[low, middle, high, self.sequence], payload].concat();
        self.sequence = self.sequence.wrapping_add(1);
        Ok(self.stream.write_all(&packet).await?)
    }

    /// What was read ahead was sent by somebody in between, to be taken for the server's word.
    pub(crate) fn start_tls(&mut self, host: &Host<'_>) -> Result<(), Stop> {
        if !self.stream.buffer().is_empty() {
            return Err(Error::down("the server talks before TLS begins").into());
        }
        Ok(host.start_tls(self.stream.get_mut())?)
    }

    /// The first row, if there is one; the others are read and forgotten. What `too_long` says, where they are too many.
    pub(crate) async fn query(&mut self, statement: &str, too_long: Error) -> Result<Option<Row>, Stop> {
        self.allow(MAX_ANSWER, too_long);
        self.sequence = 0;
        self.write(&[&[Command::COM_QUERY as u8], statement.as_bytes()].concat()).await?;
        let head = self.read().await?;
        let count = match head.first() {
            Some(0) => return Ok(None),
            Some(0xfb) => return Err(Error::down("the server wants a file of this host").into()),
            _ => ParseBuf(&head).checked_eat_lenenc_int().unwrap_or_default(),
        };
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(ParseBuf(&self.read().await?).parse::<Column>(()).map_err(|_| not_mysql())?);
        }
        self.read().await?;
        let mut first = None;
        loop {
            let packet = self.read().await?;
            match (packet.first(), &first) {
                (Some(0xfe), _) if packet.len() < 9 => return Ok(first),
                (_, None) => first = Some(row(&packet, &columns)?),
                _ => {}
            }
        }
    }

    /// A server counts who leaves without it among the aborted. Whoever broke off does not hear it.
    pub(crate) async fn quit(&mut self) {
        self.sequence = 0;
        let _ = self.write(&[Command::COM_QUIT as u8]).await;
    }
}

pub(crate) fn not_mysql() -> Error {
    Error::down("what answers there is not MySQL (or older than 4.1)")
}

fn row(packet: &[u8], columns: &[Column]) -> Result<Row, Stop> {
    let row: RowDeserializer<ServerSide, Text> = ParseBuf(packet).parse(columns.into()).map_err(|_| not_mysql())?;
    Ok(row.into_inner())
}

/// Before a log-in errors come without an SQL state.
fn refusal(packet: &[u8]) -> Stop {
    let has_state = packet.get(3) == Some(&b'#');
    let flags = if has_state { CapabilityFlags::CLIENT_PROTOCOL_41 } else { CapabilityFlags::empty() };
    match ParseBuf(packet).parse(flags) {
        Ok(ErrPacket::Error(error)) => Stop::Server(error.error_code(), error.message_str().into_owned()),
        _ => Error::down("the server answers with half an error").into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mysql_common::constants::ColumnType;

    use super::*;

    pub(crate) fn columns(names: &[&str]) -> Vec<Column> {
        let column = |name: &&str| Column::new(ColumnType::MYSQL_TYPE_VAR_STRING).with_name(name.as_bytes());
        names.iter().map(column).collect()
    }

    #[test]
    fn rows_have_texts_and_nulls() {
        let row = row(b"\x01a\xfb\x00", &columns(&["a", "b", "c"])).unwrap();
        assert_eq!(row.get_opt::<String, _>(0).unwrap().unwrap(), "a");
        assert!(row.get_opt::<String, _>(1).unwrap().is_err(), "NULL is no text");
        assert_eq!(row.get_opt::<String, _>("c").unwrap().unwrap(), "");
    }

    #[test]
    fn what_a_packet_lacks_is_an_error() {
        let broken = |packet: &[u8]| row(packet, &columns(&["a", "b"])).is_err();
        assert!(broken(b"\x01a") && broken(b"\x01a\x09b") && broken(b"\x01a\xfe\xff\xff\xff\xff\xff\xff\xff\xff"));
        for column in [&b""[..], b"\x03def", b"\x03def\x00\x00\x00\x05Va", b"\x03def\x00\x00\x00\x05Value\x00\x0c\x00"]
        {
            assert!(ParseBuf(column).parse::<Column>(()).is_err(), "{column:?}");
        }
        assert!(matches!(refusal(b"\xff"), Stop::Other(_)));
        assert!(matches!(refusal(b"\xff\x10\x04#"), Stop::Other(_)));
    }

    #[test]
    fn errors_come_with_and_without_a_state() {
        let early = refusal(b"\xff\x10\x04Too many connections");
        assert!(matches!(early, Stop::Server(1040, text) if text == "Too many connections"));
        let late = refusal(b"\xff\x15\x04#28000Access denied");
        assert!(matches!(late, Stop::Server(1045, text) if text == "Access denied"));
    }
}
