//! XMPP over WebSocket (RFC 7395): ejabberd and Prosody.
//!
//! Direct messages go to the bare JID; a group is a MUC room. The ack is Stream
//! Management (XEP-0198): every message is followed by `<r/>`, and `<a h='n'/>` says
//! that the server has handled this stream's first n stanzas.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};

use super::{Connection, Driver, Event, Session, Settings, Target};
use crate::payload::Tag;
use crate::ws::{Endpoint, Ws};

const HOST: &str = "localhost";
const ROOMS: &str = "conference.localhost";
const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
const REQUEST_ACK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

pub struct Xmpp {
    endpoint: Endpoint,
}

impl Xmpp {
    pub fn new(settings: Settings, path: &str) -> Self {
        Xmpp {
            endpoint: Endpoint {
                addr: settings.addr,
                path: path.into(),
                subprotocol: Some("xmpp"),
                sources: settings.sources,
            },
        }
    }

    async fn open_stream(&self, account: usize) -> Result<Ws> {
        let mut ws = Ws::connect(&self.endpoint, account).await?;
        restart(&mut ws).await?;
        Ok(ws)
    }

    async fn can_log_in(&self, account: usize) -> bool {
        match self.connect(account).await {
            Ok(conn) => {
                conn.ws.close().await;
                true
            }
            Err(_) => false,
        }
    }

    /// In-band registration (XEP-0077).
    async fn register(&self, n: usize) -> Result<()> {
        let mut ws = self.open_stream(n).await?;
        ws.send(format!(
            "<iq xmlns='jabber:client' type='set' id='reg'><query xmlns='jabber:iq:register'><username>u{n}</username><password>password{n}</password></query></iq>"
        ))
        .await?;
        let reply = ws.wait("registration", |f| f.starts_with("<iq")).await?;
        ws.close().await;
        if is_error(&reply) && !reply.contains("conflict") {
            bail!("refused: {reply}");
        }
        Ok(())
    }
}

fn is_error(stanza: &str) -> bool {
    stanza.contains("type='error'") || stanza.contains("type=\"error\"")
}

async fn restart(ws: &mut Ws) -> Result<()> {
    ws.send(OPEN).await?;
    ws.wait("stream features", |f| f.contains("features")).await?;
    Ok(())
}

#[async_trait(?Send)]
impl Driver for Xmpp {
    async fn provision(&self, count: usize) -> Result<()> {
        use futures_util::{TryStreamExt, stream};
        // Accounts are made in order, so the last one tells whether all are there.
        if count > 0 && self.can_log_in(count - 1).await {
            return Ok(());
        }
        stream::iter((0..count).map(Ok))
            .try_for_each_concurrent(16, |n| async move {
                self.register(n).await.with_context(|| format!("registering account {n}"))
            })
            .await
    }

    async fn connect(&self, n: usize) -> Result<Connection> {
        let mut ws = self.open_stream(n).await?;
        let plain = BASE64_STANDARD.encode(format!("\0u{n}\0password{n}"));
        ws.send(format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")).await?;
        let reply = ws.wait("SASL", |f| f.starts_with("<success") || f.starts_with("<failure")).await?;
        if reply.starts_with("<failure") {
            bail!("login refused: {reply}");
        }
        restart(&mut ws).await?;
        ws.send("<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>lg</resource></bind></iq>").await?;
        let reply = ws.wait("bind", |f| f.starts_with("<iq")).await?;
        if is_error(&reply) {
            bail!("bind refused: {reply}");
        }
        ws.send("<enable xmlns='urn:xmpp:sm:3'/>").await?;
        ws.wait("stream management", |f| f.starts_with("<enabled")).await?;
        let mut conn = Connection { ws, session: Box::new(XmppSession::default()) };
        conn.send_stanza("<presence xmlns='jabber:client'/>".into()).await?;
        // The server echoes the presence: from then on it routes messages here.
        conn.wait("own presence", |f| f.starts_with("<presence")).await?;
        Ok(conn)
    }

    async fn direct(&self, _conn: &mut Connection, peer: usize) -> Result<Target> {
        Ok(Target::Direct(format!("u{peer}@{HOST}")))
    }

    async fn create_group(&self, owner: &mut Connection, name: &str, _size: usize) -> Result<String> {
        let room = format!("{name}@{ROOMS}");
        self.join_group(owner, 0, &room).await?;
        // Accept the default configuration, which unlocks the room.
        owner
            .send_stanza(format!(
                "<iq xmlns='jabber:client' type='set' id='unlock' to='{room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"
            ))
            .await?;
        owner.wait("room configuration", |f| f.starts_with("<iq") && f.contains("unlock")).await?;
        Ok(room)
    }

    async fn join_group(&self, conn: &mut Connection, account: usize, group: &str) -> Result<Target> {
        conn.send_stanza(format!(
            "<presence xmlns='jabber:client' to='{group}/u{account}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
        ))
        .await?;
        // Status 110: this presence is about yourself, the join is complete.
        let reply = conn
            .wait("room join", |f| {
                f.starts_with("<presence") && (is_error(f) || f.contains("'110'") || f.contains("\"110\""))
            })
            .await?;
        if is_error(&reply) {
            bail!("refused: {reply}");
        }
        Ok(Target::Group(group.into()))
    }
}

impl Connection {
    /// Sends a stanza during set-up and counts it, as stream management wants.
    async fn send_stanza(&mut self, stanza: String) -> Result<()> {
        let mut out = Vec::new();
        self.session.send(&Target::Direct(String::new()), SETUP, &stanza, &mut out);
        self.ws.send_all(&mut out).await
    }
}

/// Marks a stanza of the set-up phase: sent as it is, and its ack is not reported.
const SETUP: Tag = Tag { run: 0, sender: u32::MAX, seq: u32::MAX, at: 0 };

/// Counters start when stream management is enabled.
#[derive(Default)]
struct XmppSession {
    /// Stanzas sent that the server has not confirmed, oldest first.
    pending: VecDeque<Tag>,
    /// Value of the server's last `<a h=…/>`.
    confirmed: u32,
    /// Stanzas received.
    received: u32,
}

impl Session for XmppSession {
    fn send(&mut self, to: &Target, tag: Tag, body: &str, out: &mut Vec<String>) {
        self.pending.push_back(tag);
        if tag == SETUP {
            out.push(body.to_owned());
            return;
        }
        let (kind, to) = match to {
            Target::Direct(jid) => ("chat", jid),
            Target::Group(room) => ("groupchat", room),
        };
        let Tag { run, sender, seq, .. } = tag;
        out.push(format!(
            "<message xmlns='jabber:client' type='{kind}' to='{to}' id='{run}-{sender}-{seq}'><body>{body}</body></message>"
        ));
        out.push(REQUEST_ACK.into());
    }

    fn receive(&mut self, frame: &str, out: &mut Vec<String>, events: &mut Vec<Event>) {
        if frame.starts_with("<message") {
            self.received = self.received.wrapping_add(1);
            if is_error(frame) {
                events.push(Event::Reject);
            } else {
                events.extend(Tag::find(frame).map(Event::Deliver));
            }
        } else if frame.starts_with("<presence") || frame.starts_with("<iq") {
            self.received = self.received.wrapping_add(1);
        } else if frame.starts_with("<a ") {
            let Some(h) = handled(frame) else { return };
            for _ in 0..h.wrapping_sub(self.confirmed) {
                match self.pending.pop_front() {
                    Some(tag) if tag != SETUP => events.push(Event::Ack(tag)),
                    _ => {}
                }
            }
            self.confirmed = h;
        } else if frame.starts_with("<r ") || frame == "<r/>" {
            out.push(format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.received));
        } else if frame.contains("stream:error") || frame.starts_with("<failed") {
            events.push(Event::Reject);
        }
    }
}

/// The `h` attribute of `<a h='12' xmlns='urn:xmpp:sm:3'/>`.
fn handled(frame: &str) -> Option<u32> {
    let rest = &frame[frame.find(" h=")? + 4..];
    rest[..rest.find(['\'', '"'])?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ack_confirms_every_earlier_stanza() {
        let mut s = XmppSession::default();
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let tag = |seq| Tag { run: 1, sender: 2, seq, at: 4 };
        s.send(&Target::Direct(String::new()), SETUP, "<presence/>", &mut out);
        s.send(&Target::Direct("u1@localhost".into()), tag(0), "hello", &mut out);
        s.send(&Target::Direct("u1@localhost".into()), tag(1), "hello", &mut out);
        s.receive("<a h='3' xmlns='urn:xmpp:sm:3'/>", &mut out, &mut events);
        assert_eq!(events, [Event::Ack(tag(0)), Event::Ack(tag(1))]);
    }

    #[test]
    fn a_request_is_answered_with_the_count_received() {
        let mut s = XmppSession::default();
        let (mut out, mut events) = (Vec::new(), Vec::new());
        s.receive("<presence from='a'/>", &mut out, &mut events);
        s.receive("<r xmlns='urn:xmpp:sm:3'/>", &mut out, &mut events);
        assert_eq!(out, ["<a xmlns='urn:xmpp:sm:3' h='1'/>"]);
    }
}
