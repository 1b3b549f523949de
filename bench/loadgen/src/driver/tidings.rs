//! Tidings' JSON protocol, version 1.
//!
//! Accounts and tokens come from the HTTP API with the tenant's key, in `TIDINGS_API_KEY`.
//! The frame id carries the tag, so the reply to a send names its message.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Connection, Driver, Event, Session, Settings, Target};
use crate::payload::Tag;
use crate::ws::{Endpoint, Ws};

/// Accounts are made by so many at a time.
const PROVISIONERS: usize = 16;

#[derive(Clone, Serialize, Deserialize)]
struct Account {
    user: String,
    token: String,
}

pub struct Tidings {
    endpoint: Endpoint,
    http: String,
    key: String,
    accounts: RefCell<BTreeMap<usize, Account>>,
    /// Where accounts are kept between runs.
    kept: PathBuf,
}

impl Tidings {
    pub fn new(settings: Settings) -> Result<Self> {
        let kept = settings.state.join("tidings-accounts.json");
        let accounts = std::fs::read(&kept).ok().map(|text| serde_json::from_slice(&text)).transpose()?;
        Ok(Tidings {
            endpoint: Endpoint {
                addr: settings.addr,
                path: "/v1/ws".into(),
                subprotocol: Some("tidings.v1.json"),
                sources: settings.sources,
            },
            http: format!("http://{}", settings.addr),
            key: std::env::var("TIDINGS_API_KEY").context("TIDINGS_API_KEY is not set")?,
            accounts: RefCell::new(accounts.unwrap_or_default()),
            kept,
        })
    }

    fn account(&self, n: usize) -> Result<Account> {
        self.accounts.borrow().get(&n).cloned().with_context(|| format!("account {n} was not provisioned"))
    }
}

/// Makes account `n`, as a tenant's backend does.
fn register(http: &str, key: &str, n: usize) -> Result<Account> {
    let agent = ureq::Agent::new_with_defaults();
    let ask = |request: ureq::RequestBuilder<ureq::typestate::WithBody>, path: &str, body: Value| -> Result<Value> {
        let asked = request.header("authorization", format!("Bearer {key}")).send_json(body);
        Ok(asked.with_context(|| path.to_owned())?.body_mut().read_json()?)
    };
    let name = format!("load-{n}");
    let path = format!("{http}/v1/users/{name}");
    let user = text(&ask(agent.put(&path), &path, json!({ "name": name }))?, "user")?;
    let path = format!("{http}/v1/users/{user}/tokens");
    let token = text(&ask(agent.post(&path), &path, json!({}))?, "access_token")?;
    Ok(Account { user, token })
}

/// Sends a request with the id `id` and returns the data of its reply.
async fn call(conn: &mut Connection, id: &str, kind: &str, data: Value) -> Result<Value> {
    conn.ws.send(json!({ "id": id, "type": kind, "data": data }).to_string()).await?;
    let reply = conn
        .wait(kind, |frame| {
            frame.contains(id)
                && serde_json::from_str::<Value>(frame)
                    .is_ok_and(|v| v["id"] == id && (v["type"] == "ok" || v["type"] == "error"))
        })
        .await?;
    let mut reply: Value = serde_json::from_str(&reply)?;
    if reply["type"] != "ok" {
        bail!("{kind} refused: {reply}");
    }
    Ok(reply["data"].take())
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in {value}"))
}

#[async_trait(?Send)]
impl Driver for Tidings {
    async fn provision(&self, count: usize) -> Result<()> {
        let missing: Vec<usize> = (0..count).filter(|n| !self.accounts.borrow().contains_key(n)).collect();
        let (http, key) = (&self.http, &self.key);
        let made: Result<Vec<_>> = std::thread::scope(|scope| {
            let shares = missing.chunks(missing.len().div_ceil(PROVISIONERS).max(1));
            let workers: Vec<_> = shares
                .map(|share| scope.spawn(move || share.iter().map(|n| Ok((*n, register(http, key, *n)?))).collect()))
                .collect();
            let made: Result<Vec<Vec<_>>> =
                workers.into_iter().map(|worker| worker.join().expect("does not panic")).collect();
            Ok(made?.into_iter().flatten().collect())
        });
        if !missing.is_empty() {
            self.accounts.borrow_mut().extend(made?);
            std::fs::write(&self.kept, serde_json::to_vec(&*self.accounts.borrow())?)?;
        }
        Ok(())
    }

    async fn connect(&self, n: usize) -> Result<Connection> {
        let account = self.account(n)?;
        let ws = Ws::connect(&self.endpoint, n).await?;
        let mut conn = Connection { ws, session: Box::new(TidingsSession) };
        call(&mut conn, "hello", "hello", json!({ "token": account.token })).await?;
        Ok(conn)
    }

    async fn direct(&self, conn: &mut Connection, peer: usize) -> Result<Target> {
        let data = json!({ "kind": "direct", "members": [self.account(peer)?.user], "client_id": Uuid::now_v7() });
        Ok(Target::Direct(text(&call(conn, "direct", "conversation.create", data).await?, "conversation")?))
    }

    async fn create_group(&self, owner: &mut Connection, name: &str, size: usize) -> Result<String> {
        // Members are added by the owner, in batches: joining is for channels.
        let users: Vec<String> = self.accounts.borrow().values().take(size).map(|a| a.user.clone()).collect();
        let data = json!({ "kind": "group", "name": name, "members": [], "client_id": Uuid::now_v7() });
        let group = text(&call(owner, "group", "conversation.create", data).await?, "conversation")?;
        for batch in users.chunks(100) {
            call(owner, "add", "member.add", json!({ "conversation": group, "users": batch })).await?;
        }
        Ok(group)
    }

    async fn join_group(&self, _: &mut Connection, _: usize, group: &str) -> Result<Target> {
        Ok(Target::Group(group.into()))
    }
}

struct TidingsSession;

impl Session for TidingsSession {
    fn send(&mut self, to: &Target, tag: Tag, body: &str, out: &mut Vec<String>) {
        let (Target::Direct(conversation) | Target::Group(conversation)) = to;
        let Tag { run, sender, seq, at } = tag;
        let client_id = Uuid::now_v7();
        out.push(format!(
            r#"{{"id":"lg1 {run} {sender} {seq} {at} ","type":"message.send","data":{{"conversation":"{conversation}","client_id":"{client_id}","text":"{body}"}}}}"#
        ));
    }

    fn receive(&mut self, frame: &str, _out: &mut Vec<String>, events: &mut Vec<Event>) {
        let Some(tag) = Tag::find(frame) else {
            return;
        };
        // Only a few bytes tell the kinds apart, wherever the server puts the key.
        if frame.contains(r#""type":"message.sent""#) {
            events.push(Event::Deliver(tag));
        } else if frame.contains(r#""type":"ok""#) {
            events.push(Event::Ack(tag));
        } else if frame.contains(r#""type":"error""#) {
            events.push(Event::Reject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_deliveries_are_told_apart() {
        let tag = Tag { run: 1, sender: 2, seq: 3, at: 4 };
        let mut events = Vec::new();
        for frame in [
            r#"{"id":"lg1 1 2 3 4 ","type":"ok","data":{"seq":9,"position":9,"at":"2026-01-01T00:00:00.000Z","duplicate":false}}"#,
            r#"{"type":"message.sent","conversation":"cnv_1","position":9,"data":{"seq":9,"text":"lg1 1 2 3 4 xxx"}}"#,
            r#"{"id":"lg1 1 2 3 4 ","type":"error","data":{"code":"rate_limited"}}"#,
            r#"{"type":"presence","data":{}}"#,
        ] {
            TidingsSession.receive(frame, &mut Vec::new(), &mut events);
        }
        assert_eq!(events, [Event::Ack(tag), Event::Deliver(tag), Event::Reject]);
    }
}
