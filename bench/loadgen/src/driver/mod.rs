//! What the workloads need from a server's protocol. One module per protocol.
//!
//! A [`Driver`] does the slow part (accounts, login, groups) with ordinary async
//! code. It hands back a [`Connection`] whose [`Session`] does the hot part without
//! I/O: it encodes sends and classifies incoming frames.

mod centrifugo;
mod tidings;
mod tinode;
mod xmpp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;

use crate::payload::Tag;
use crate::ws::{STEP_TIMEOUT, Ws};

/// An address as the protocol spells it.
#[derive(Clone, Debug)]
pub enum Target {
    Direct(String),
    Group(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server confirmed a message that this session sent.
    Ack(Tag),
    /// A message arrived.
    Deliver(Tag),
    /// The server refused something that this session sent.
    Reject,
}

/// The protocol state of one logged-in connection; no I/O of its own.
pub trait Session {
    /// Appends to `out` the frames that send `body` to `to`.
    fn send(&mut self, to: &Target, tag: Tag, body: &str, out: &mut Vec<String>);

    /// Takes one incoming frame: appends what it means to `events`, and whatever
    /// the protocol wants answered (pings, receipts) to `out`.
    fn receive(&mut self, frame: &str, out: &mut Vec<String>, events: &mut Vec<Event>);
}

pub struct Connection {
    pub ws: Ws,
    pub session: Box<dyn Session>,
}

impl Connection {
    /// Waits, after login, for a frame that `wanted` accepts; every frame still
    /// passes through the session so that its state stays right.
    pub async fn wait(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let seen = async {
            let (mut out, mut events) = (Vec::new(), Vec::new());
            loop {
                let frame = self.ws.recv().await?;
                self.session.receive(&frame, &mut out, &mut events);
                events.clear();
                if !out.is_empty() {
                    self.ws.send_all(&mut out).await?;
                }
                if wanted(&frame) {
                    return Ok::<_, anyhow::Error>(frame.to_string());
                }
            }
        };
        tokio::time::timeout(STEP_TIMEOUT, seen)
            .await
            .with_context(|| format!("timed out waiting for {what}"))?
            .with_context(|| format!("waiting for {what}"))
    }
}

#[async_trait(?Send)]
pub trait Driver {
    /// Makes sure accounts `0..count` exist. May be a no-op.
    async fn provision(&self, count: usize) -> Result<()>;

    /// Connects and authenticates one account, ready to receive direct messages.
    async fn connect(&self, account: usize) -> Result<Connection>;

    /// Makes `conn` ready to exchange direct messages with `peer`.
    async fn direct(&self, conn: &mut Connection, peer: usize) -> Result<Target>;

    /// Creates a group that up to `size` accounts may join; returns its address.
    async fn create_group(&self, owner: &mut Connection, name: &str, size: usize) -> Result<String>;

    async fn join_group(&self, conn: &mut Connection, account: usize, group: &str) -> Result<Target>;
}

/// What every driver is built from.
#[derive(Clone, Debug)]
pub struct Settings {
    pub addr: SocketAddr,
    /// How many 127.0.0.x source addresses to spread connections over.
    pub sources: u8,
    /// Where a driver may keep account credentials between runs.
    pub state: PathBuf,
}

pub fn by_name(name: &str, settings: Settings) -> Result<Rc<dyn Driver>> {
    Ok(match name {
        "centrifugo" => Rc::new(centrifugo::Centrifugo::new(settings)),
        "tidings" => Rc::new(tidings::Tidings::new(settings)?),
        "tinode" => Rc::new(tinode::Tinode::new(settings)?),
        "xmpp" => Rc::new(xmpp::Xmpp::new(settings, "/ws")),
        "xmpp-prosody" => Rc::new(xmpp::Xmpp::new(settings, "/xmpp-websocket")),
        _ => bail!("no driver named {name}"),
    })
}
