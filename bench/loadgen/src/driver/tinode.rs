//! Tinode's JSON protocol.
//!
//! A direct message is a `{pub}` to the peer's p2p topic, a group is a `grp…` topic.
//! `{ctrl}` with code 202 is the ack; it echoes the message id.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;

use super::{Connection, Driver, Event, Session, Settings, Target};
use crate::payload::Tag;
use crate::ws::{Endpoint, Ws};

/// Accounts below this number have a login and password, which costs the server a
/// bcrypt each to create; those above are anonymous, enough for idle connections.
const WITH_PASSWORD: usize = 1200;
/// Made by Tinode's keygen from the salt in its sample config.
const API_KEY: &str = "AQEAAAABAAD_rAp4DJh05a1HAwFT3A6K";
const HI: &str = r#"{"hi":{"id":"hi","ver":"0.25","ua":"loadgen/1.0"}}"#;

#[derive(Clone)]
struct Account {
    uid: String,
    token: String,
}

pub struct Tinode {
    endpoint: Endpoint,
    file: PathBuf,
    accounts: RefCell<BTreeMap<usize, Account>>,
}

impl Tinode {
    pub fn new(settings: Settings) -> Result<Self> {
        let file = settings.state.join("tinode-accounts.txt");
        let mut accounts = BTreeMap::new();
        for line in fs::read_to_string(&file).unwrap_or_default().lines() {
            let mut parts = line.split(' ');
            if let (Some(n), Some(uid), Some(token)) = (parts.next(), parts.next(), parts.next()) {
                accounts.insert(n.parse()?, Account { uid: uid.into(), token: token.into() });
            }
        }
        Ok(Tinode {
            endpoint: Endpoint {
                addr: settings.addr,
                path: format!("/v0/channels?apikey={API_KEY}"),
                subprotocol: None,
                sources: settings.sources,
            },
            file,
            accounts: RefCell::new(accounts),
        })
    }

    fn account(&self, n: usize) -> Result<Account> {
        self.accounts.borrow().get(&n).cloned().with_context(|| format!("account {n} was not provisioned"))
    }

    async fn register(&self, n: usize) -> Result<Account> {
        let mut ws = Ws::connect(&self.endpoint, n).await?;
        ws.send(HI).await?;
        let (user, scheme, secret) = if n < WITH_PASSWORD {
            ("new", "basic", BASE64_STANDARD.encode(format!("lguser{n}:password{n}")))
        } else {
            ("newanon", "anonymous", String::new())
        };
        ws.send(format!(
            r#"{{"acc":{{"id":"acc","user":"{user}","scheme":"{scheme}","secret":"{secret}","login":true,"desc":{{"defacs":{{"auth":"JRWPAS","anon":"JRWPAS"}},"public":{{"fn":"load {n}"}}}}}}}}"#
        ))
        .await?;
        let reply = ws.wait("account creation", |f| f.contains(r#""id":"acc""#)).await?;
        ws.close().await;
        let params = &serde_json::from_str::<Value>(&reply)?["ctrl"]["params"];
        let text = |key: &str| params[key].as_str().map(str::to_owned).ok_or_else(|| anyhow!("no {key} in {reply}"));
        Ok(Account { uid: text("user")?, token: text("token")? })
    }
}

/// Sends a request with the id `id` and fails unless the server says 2xx or 3xx.
async fn call(conn: &mut Connection, id: &str, frame: String) -> Result<String> {
    conn.ws.send(frame).await?;
    let mark = format!(r#""id":"{id}""#);
    let reply = conn.wait(id, |f| f.starts_with(r#"{"ctrl""#) && f.contains(&mark)).await?;
    if !reply.contains(r#""code":2"#) && !reply.contains(r#""code":3"#) {
        bail!("refused: {reply}");
    }
    Ok(reply)
}

#[async_trait(?Send)]
impl Driver for Tinode {
    async fn provision(&self, count: usize) -> Result<()> {
        use futures_util::{StreamExt, stream};
        let missing: Vec<usize> = (0..count).filter(|n| !self.accounts.borrow().contains_key(n)).collect();
        let mut made =
            stream::iter(missing.into_iter().map(|n| async move { (n, self.register(n).await) })).buffer_unordered(16);
        while let Some((n, account)) = made.next().await {
            let account = account.with_context(|| format!("registering account {n}"))?;
            self.accounts.borrow_mut().insert(n, account);
        }
        let lines: String =
            self.accounts.borrow().iter().map(|(n, a)| format!("{n} {} {}\n", a.uid, a.token)).collect();
        fs::write(&self.file, lines)?;
        Ok(())
    }

    async fn connect(&self, n: usize) -> Result<Connection> {
        let account = self.account(n)?;
        let ws = Ws::connect(&self.endpoint, n).await?;
        let mut conn = Connection { ws, session: Box::new(TinodeSession) };
        call(&mut conn, "hi", HI.into()).await?;
        let secret = &account.token;
        call(&mut conn, "login", format!(r#"{{"login":{{"id":"login","scheme":"token","secret":"{secret}"}}}}"#))
            .await?;
        call(&mut conn, "me", r#"{"sub":{"id":"me","topic":"me"}}"#.into()).await?;
        Ok(conn)
    }

    async fn direct(&self, conn: &mut Connection, peer: usize) -> Result<Target> {
        let topic = self.account(peer)?.uid;
        call(conn, "p2p", format!(r#"{{"sub":{{"id":"p2p","topic":"{topic}"}}}}"#)).await?;
        Ok(Target::Direct(topic))
    }

    async fn create_group(&self, owner: &mut Connection, name: &str, _size: usize) -> Result<String> {
        let frame = format!(
            r#"{{"sub":{{"id":"new","topic":"new","set":{{"desc":{{"public":{{"fn":"{name}"}},"defacs":{{"auth":"JRWPS","anon":"JRWPS"}}}}}}}}}}"#
        );
        let reply = call(owner, "new", frame).await?;
        let reply: Value = serde_json::from_str(&reply)?;
        Ok(reply["ctrl"]["topic"].as_str().context("no topic name")?.to_owned())
    }

    async fn join_group(&self, conn: &mut Connection, _: usize, group: &str) -> Result<Target> {
        call(conn, "join", format!(r#"{{"sub":{{"id":"join","topic":"{group}"}}}}"#)).await?;
        Ok(Target::Group(group.into()))
    }
}

/// The message id carries the tag, so nothing has to be remembered per message.
struct TinodeSession;

impl Session for TinodeSession {
    fn send(&mut self, to: &Target, tag: Tag, body: &str, out: &mut Vec<String>) {
        let (Target::Direct(topic) | Target::Group(topic)) = to;
        let Tag { run, sender, seq, at } = tag;
        out.push(format!(
            r#"{{"pub":{{"id":"lg1 {run} {sender} {seq} {at} ","topic":"{topic}","noecho":true,"content":"{body}"}}}}"#
        ));
    }

    fn receive(&mut self, frame: &str, _out: &mut Vec<String>, events: &mut Vec<Event>) {
        if frame.starts_with(r#"{"data""#) {
            events.extend(Tag::find(frame).map(Event::Deliver));
        } else if frame.starts_with(r#"{"ctrl""#) {
            if let Some(tag) = Tag::find(frame) {
                let accepted = frame.contains(r#""code":202"#);
                events.push(if accepted { Event::Ack(tag) } else { Event::Reject });
            } else if frame.contains(r#""code":4"#) || frame.contains(r#""code":5"#) {
                events.push(Event::Reject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_matched_by_its_id() {
        let tag = Tag { run: 1, sender: 2, seq: 3, at: 4 };
        let mut events = Vec::new();
        let ack = r#"{"ctrl":{"id":"lg1 1 2 3 4 ","topic":"usrA","params":{"seq":9},"code":202,"text":"accepted"}}"#;
        TinodeSession.receive(ack, &mut Vec::new(), &mut events);
        TinodeSession.receive(r#"{"pres":{"topic":"me","src":"usrA","what":"msg"}}"#, &mut Vec::new(), &mut events);
        assert_eq!(events, [Event::Ack(tag)]);
    }
}
