//! Centrifugo's bidirectional JSON protocol.
//!
//! A direct message is a publication into the recipient's personal channel
//! `user:<account>`, a group is the channel `group:<name>`. A publish reply is the ack.

use std::collections::VecDeque;

use anyhow::{Result, bail};
use async_trait::async_trait;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Connection, Driver, Event, Session, Settings, Target};
use crate::payload::Tag;
use crate::ws::{Endpoint, Ws};

/// Must equal `client.token.hmac_secret_key` in the server's config.
const SECRET: &[u8] = b"loadgen-secret";

pub struct Centrifugo {
    endpoint: Endpoint,
}

impl Centrifugo {
    pub fn new(settings: Settings) -> Self {
        Centrifugo {
            endpoint: Endpoint {
                addr: settings.addr,
                path: "/connection/websocket".into(),
                subprotocol: None,
                sources: settings.sources,
            },
        }
    }
}

fn token(account: usize) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"u{account}"}}"#));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any key length");
    mac.update(format!("{header}.{claims}").as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{header}.{claims}.{signature}")
}

async fn call(ws: &mut Ws, id: u32, frame: String) -> Result<()> {
    ws.send(frame).await?;
    let mark = format!(r#""id":{id},"#);
    let reply = ws.wait("a reply", |f| f.contains(&mark)).await?;
    if reply.contains(r#""error""#) {
        bail!("refused: {reply}");
    }
    Ok(())
}

async fn subscribe(ws: &mut Ws, id: u32, channel: &str) -> Result<()> {
    call(ws, id, format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#)).await
}

#[async_trait(?Send)]
impl Driver for Centrifugo {
    async fn provision(&self, _count: usize) -> Result<()> {
        Ok(()) // Centrifugo has no accounts: a signed token is enough.
    }

    async fn connect(&self, account: usize) -> Result<Connection> {
        let mut ws = Ws::connect(&self.endpoint, account).await?;
        let hello = format!(r#"{{"id":1,"connect":{{"token":"{}"}}}}"#, token(account));
        call(&mut ws, 1, hello).await?;
        subscribe(&mut ws, 2, &format!("user:{account}")).await?;
        let session = CentrifugoSession { next_id: 100, pending: VecDeque::new() };
        Ok(Connection { ws, session: Box::new(session) })
    }

    async fn direct(&self, _conn: &mut Connection, peer: usize) -> Result<Target> {
        Ok(Target::Direct(format!("user:{peer}")))
    }

    async fn create_group(&self, _: &mut Connection, name: &str, _: usize) -> Result<String> {
        Ok(format!("group:{name}"))
    }

    async fn join_group(&self, conn: &mut Connection, _: usize, group: &str) -> Result<Target> {
        subscribe(&mut conn.ws, 3, group).await?;
        Ok(Target::Group(group.into()))
    }
}

struct CentrifugoSession {
    next_id: u32,
    pending: VecDeque<(u32, Tag)>,
}

impl Session for CentrifugoSession {
    fn send(&mut self, to: &Target, tag: Tag, body: &str, out: &mut Vec<String>) {
        let (Target::Direct(channel) | Target::Group(channel)) = to;
        let id = self.next_id;
        self.next_id += 1;
        self.pending.push_back((id, tag));
        out.push(format!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":{{"text":"{body}"}}}}}}"#));
    }

    fn receive(&mut self, frame: &str, out: &mut Vec<String>, events: &mut Vec<Event>) {
        // One frame may carry several newline-separated messages.
        for line in frame.split('\n').filter(|l| !l.is_empty()) {
            if line == "{}" {
                out.push("{}".into()); // application-level ping
            } else if line.starts_with(r#"{"push""#) {
                events.extend(Tag::find(line).map(Event::Deliver));
            } else if let Some(id) = reply_id(line)
                && let Some(at) = self.pending.iter().position(|(p, _)| *p == id)
            {
                let (_, tag) = self.pending.remove(at).expect("position is in range");
                let refused = line.contains(r#""error""#);
                events.push(if refused { Event::Reject } else { Event::Ack(tag) });
            }
        }
    }
}

/// The id of a reply such as `{"id":7,"publish":{}}`.
fn reply_id(line: &str) -> Option<u32> {
    let rest = line.strip_prefix(r#"{"id":"#)?;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batched_frame_yields_every_event() {
        let mut s = CentrifugoSession { next_id: 5, pending: VecDeque::new() };
        let tag = Tag { run: 1, sender: 2, seq: 3, at: 4 };
        let (mut out, mut events) = (Vec::new(), Vec::new());
        s.send(&Target::Direct("user:1".into()), tag, &tag.body(100), &mut out);
        assert!(out.pop().expect("a frame").starts_with(r#"{"id":5,"publish""#));
        let push = format!(r#"{{"push":{{"channel":"user:2","pub":{{"data":{{"text":"{}"}}}}}}}}"#, tag.body(100));
        s.receive(&format!("{{}}\n{push}\n{{\"id\":5,\"publish\":{{}}}}\n"), &mut out, &mut events);
        assert_eq!(out, ["{}"]);
        assert_eq!(events, [Event::Deliver(tag), Event::Ack(tag)]);
    }
}
