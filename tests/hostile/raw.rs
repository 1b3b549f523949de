//! A client that keeps to no rule: bytes on a connection, frames made by hand.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::Account;
use crate::support::person::PATIENCE;

pub const TEXT: u8 = 1;
pub const CONTINUATION: u8 = 0;
pub const PING: u8 = 9;
pub const CLOSE: u8 = 8;

pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: &str) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time").expect("connects");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, read: Vec::new() }
    }

    /// A WebSocket, with more headers (each with its end of line); and the head of the answer.
    pub async fn upgraded(address: &str, headers: &str) -> (Self, String) {
        let mut raw = Self::connect(address).await;
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: tidings.v1.json\r\n{headers}\r\n"
        );
        raw.send(request.as_bytes()).await;
        let head = raw.head().await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        (raw, head)
    }

    /// One that has said `hello`.
    pub async fn greeted(address: &str, account: &Account) -> Self {
        let (mut raw, _) = Self::upgraded(address, "").await;
        raw.command("hello", json!({ "token": account.token })).await;
        let welcome = raw.text().await.expect("an answer");
        assert_eq!(welcome["type"], "ok", "{welcome}");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes).await, "the server does not take it");
    }

    /// Whether the connection still takes something.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    pub async fn command(&mut self, kind: &str, data: Value) {
        let text = json!({ "id": 1, "type": kind, "data": data }).to_string();
        self.send(&frame(TEXT, true, text.as_bytes())).await;
    }

    /// Reads until `enough` has what it wants of the bytes that came; none: the connection is closed.
    async fn until<T>(&mut self, enough: impl Fn(&[u8]) -> Option<(usize, T)>) -> Option<T> {
        loop {
            if let Some((used, found)) = enough(&self.read) {
                self.read.drain(..used);
                return Some(found);
            }
            let mut buffer = [0; 16_384];
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("an answer, or an end") {
                Ok(read) if read > 0 => self.read.extend_from_slice(&buffer[..read]),
                _ => return None,
            }
        }
    }

    /// The head of an HTTP answer.
    pub async fn head(&mut self) -> Option<String> {
        self.until(|bytes| {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            Some((end, String::from_utf8_lossy(&bytes[..end]).into_owned()))
        })
        .await
    }

    /// So many bytes of a body.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let body = self.until(|bytes| Some((length, bytes.get(..length)?.to_vec()))).await;
        body.expect("the whole body")
    }

    /// Everything until the server ends the connection, or nothing more comes for a while.
    pub async fn everything(&mut self) -> String {
        let mut buffer = [0; 16_384];
        while let Ok(Ok(read @ 1..)) = timeout(Duration::from_secs(2), self.stream.read(&mut buffer)).await {
            self.read.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Opcode and payload of the next frame.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.until(|bytes| {
            let (length, head) = match *bytes.get(1)? {
                126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
                127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
                short => (usize::from(short), 2),
            };
            let payload = bytes.get(head..head + length)?.to_vec();
            Some((head + length, (bytes[0] & 0x0f, payload)))
        })
        .await
    }

    /// The next text frame.
    pub async fn text(&mut self) -> Option<Value> {
        loop {
            match self.frame().await? {
                (TEXT, payload) => return serde_json::from_slice(&payload).ok(),
                (CLOSE, _) => return None,
                _ => {}
            }
        }
    }

    /// The answer to a command, whatever else comes.
    pub async fn reply(&mut self) -> Value {
        loop {
            let frame = self.text().await.expect("an answer");
            if frame.get("id").is_some() {
                return frame;
            }
        }
    }

    /// With which code the server closes; none: it only cuts the connection.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let (CLOSE, payload) = self.frame().await? {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    }

    /// Whether the server ends the connection within `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        let mut buffer = [0; 4_096];
        let ended = async { while !matches!(self.stream.read(&mut buffer).await, Ok(0) | Err(_)) {} };
        timeout(limit, ended).await.is_ok()
    }
}

/// A masked frame, as clients send them.
pub fn frame(opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(opcode | if fin { 0x80 } else { 0 }, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// What is before the payload, with any first byte and any length.
pub fn head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}
