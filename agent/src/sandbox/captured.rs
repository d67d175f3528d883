//! What a guest prints: the first and the last 4 KiB are kept for the message of a crash, the rest is counted.
//! Printing never fails and never waits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

pub use crate::model::text::{one_line, truncated};

const HEAD: usize = 4096;
const TAIL: usize = 4096;
/// The most that wasmtime may allocate for one write.
const PERMIT: usize = 64 * 1024;
/// What Rust says after a panic. Nobody can follow it: a guest has no environment.
const NOTE: &str = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";

/// Standard output and standard error of one run together, in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mutex<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: usize,
}

impl Captured {
    fn push(&self, bytes: &[u8]) {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = HEAD.saturating_sub(buffer.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        buffer.head.extend_from_slice(head);
        buffer.tail.extend(rest);
        let excess = buffer.tail.len().saturating_sub(TAIL);
        buffer.tail.drain(..excess);
        buffer.dropped += excess;
    }

    /// As it was printed, but for what does not fit, and Rust's note.
    pub fn text(&self) -> String {
        let buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail: Vec<u8> = buffer.tail.iter().copied().collect();
        let gap = if buffer.dropped > 0 { format!(" [{} bytes left out] ", buffer.dropped) } else { String::new() };
        [String::from_utf8_lossy(&buffer.head), gap.into(), String::from_utf8_lossy(&tail)].concat().replace(NOTE, "")
    }
}

/// Shortens a text to about `max` bytes: its beginning and its end stay, which is where a crash says why.
pub fn ends_of(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let tail = text.ceil_char_boundary(text.len() - max / 2);
    let tail = text.get(tail..).unwrap_or_default().to_owned();
    format!("{} {tail}", truncated(text, max / 2))
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Captured {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept() {
        let captured = Captured::default();
        captured.push(b"first\x1b[31m\n");
        for _ in 0..10_000 {
            captured.push(b"middle ");
        }
        captured.push(b"last");
        let text = one_line(&captured.text());
        assert!(text.starts_with("first [31m middle"), "{text}");
        assert!(text.ends_with("middle last"), "{text}");
        assert!(text.contains("bytes left out"), "{text}");
        assert!(text.len() < HEAD + TAIL + 64);
    }

    #[test]
    fn both_ends_keep_their_characters_whole() {
        assert_eq!(ends_of("ab".into(), 2), "ab");
        assert_eq!(ends_of("abäöüßcd".into(), 6), "ab… cd");
    }
}
