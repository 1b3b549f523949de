//! A server in memory, for trying clients by hand: no Kafka, no checks, nothing kept. A token is a user's id:
//! `usr_anna` is Anna. A message `/drop` makes it close every socket with a `bye`.
//!
//! `cargo run -p tidings-client --example fake_server -- 127.0.0.1:8080`

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

#[derive(Default)]
struct Conversation {
    kind: String,
    name: Option<String>,
    members: BTreeSet<String>,
    events: Vec<Value>,
    messages: Vec<Value>,
    read: HashMap<String, u64>,
    client_ids: HashMap<String, Value>,
}

#[derive(Default)]
struct State {
    conversations: BTreeMap<String, Conversation>,
    sockets: Vec<(String, mpsc::UnboundedSender<Value>)>,
    clock: u64,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let state = Shared::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let state = state.clone();
        tokio::spawn(async move {
            let mut head = [0; 1024];
            let Ok(length) = stream.peek(&mut head).await else { return };
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            if head.starts_with("GET /v1/ws") { socket(stream, state).await } else { http(stream, &head, &state).await }
        });
    }
}

/// `GET /v1/users/{id}` and `GET /v1/conversations/{id}/members`.
async fn http(mut stream: TcpStream, head: &str, state: &Shared) {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = match path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["v1", "users", user] => {
            let name = user.trim_start_matches("usr_");
            let name = name[..1].to_uppercase() + &name[1..];
            json!({"user": user, "name": name})
        }
        ["v1", "conversations", id, "members"] => {
            let state = lock(state);
            let of = state.conversations.get(*id);
            let member =
                |user: &String| json!({"user": user, "role": "member", "read_seq": of.and_then(|c| c.read.get(user))});
            json!({"members": of.map(|of| of.members.iter().map(member).collect::<Vec<_>>())})
        }
        _ => json!({}),
    }
    .to_string();
    let mut rest = [0; 4096];
    let _ = stream.read(&mut rest).await;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

#[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
async fn socket(stream: TcpStream, state: Shared) {
    let with_protocol = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("sec-websocket-protocol", "tidings.v1.json".parse().expect("a header"));
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, with_protocol).await else { return };
    let (out, mut outgoing) = mpsc::unbounded_channel::<Value>();
    let mut user = String::new();
    loop {
        tokio::select! {
            frame = outgoing.recv() => {
                let Some(frame) = frame else { return };
                let bye = frame["type"] == "bye";
                if socket.send(Message::text(frame.to_string())).await.is_err() { break }
                if bye {
                    let close = CloseFrame { code: CloseCode::from(4001), reason: "draining".into() };
                    let _ = socket.close(Some(close)).await;
                    break;
                }
            }
            frame = socket.next() => {
                let Some(Ok(frame)) = frame else { break };
                let Message::Text(text) = frame else { continue };
                let Ok(command) = serde_json::from_str::<Value>(&text) else { break };
                if command["type"] == "hello" {
                    user = command["data"]["token"].as_str().unwrap_or_default().to_owned();
                    hello(&mut lock(&state), &user, &command["id"], &out);
                } else {
                    let reply = lock(&state).command(&user, command["type"].as_str().unwrap_or_default(), &command["data"]);
                    let _ = out.send(match reply {
                        Ok(data) => json!({"id": command["id"], "type": "ok", "data": data}),
                        Err(code) => json!({"id": command["id"], "type": "error", "data": {"code": code, "message": "the fake says no", "retryable": false}}),
                    });
                }
            }
        }
    }
    let mut state = lock(&state);
    state.sockets.retain(|(_, other)| !other.same_channel(&out));
    state.presence(&user);
}

fn hello(state: &mut State, user: &str, id: &Value, out: &mpsc::UnboundedSender<Value>) {
    let welcome = json!({"user": user, "session_id": "ses_1", "ping_interval_ms": 10_000});
    let _ = out.send(json!({"id": id, "type": "ok", "data": welcome}));
    state.sockets.push((user.to_owned(), out.clone()));
    for id in state.conversations.keys().cloned().collect::<Vec<_>>() {
        if let Some(entry) = state.entry(user, &id) {
            let _ = out.send(json!({"type": "inbox.changed", "data": entry}));
        }
    }
    let _ = out.send(json!({"type": "caught_up", "data": {"cursor": "c", "reset": true}}));
    state.presence(user);
}

impl State {
    fn command(&mut self, user: &str, kind: &str, data: &Value) -> Result<Value, &'static str> {
        let id = data["conversation"].as_str().unwrap_or_default().to_owned();
        let users: Vec<String> = strings(&data["users"]);
        match kind {
            "ping" | "presence.set" | "presence.unwatch" => Ok(json!({})),
            "presence.watch" => Ok(json!({"presence": users.iter().map(|user| self.status(user)).collect::<Vec<_>>()})),
            "inbox" => {
                let ids: Vec<String> = self.conversations.keys().cloned().collect();
                let entries: Vec<Value> = ids.iter().filter_map(|id| self.entry(user, id)).collect();
                Ok(json!({"conversations": entries, "cursor": null, "has_more": false}))
            }
            "conversation.create" => self.create(user, data),
            "conversation.join" => {
                self.conversations.get_mut(&id).ok_or("not_found")?.members.insert(user.to_owned());
                Ok(json!({"position": self.event(&id, user, "member.joined", json!({"users": [user]}))}))
            }
            _ if !self.conversations.get(&id).is_some_and(|of| of.members.contains(user)) => Err("not_a_member"),
            "message.send" => self.send(user, &id, data),
            "member.add" => {
                self.of(&id).members.extend(users.clone());
                Ok(json!({"position": self.event(&id, user, "member.joined", json!({"users": users}))}))
            }
            "member.remove" | "conversation.leave" => {
                let (users, reason) =
                    if kind == "member.remove" { (users, "removed") } else { (vec![user.to_owned()], "left") };
                let data = json!({"users": users, "reason": reason});
                let position = self.event(&id, user, "member.left", data);
                self.of(&id).members.retain(|member| !users.contains(member));
                Ok(json!({"position": position}))
            }
            "read" => {
                self.of(&id).read.insert(user.to_owned(), data["seq"].as_u64().unwrap_or(0));
                self.push(&id, "receipt.read", json!({"user": user, "seq": data["seq"]}), None);
                Ok(json!({}))
            }
            "typing" => {
                self.push(&id, "typing", json!({"user": user, "active": data["active"]}), Some(user));
                Ok(json!({}))
            }
            "history" => {
                let before = data["before_seq"].as_u64().unwrap_or(u64::MAX);
                let limit = usize::try_from(data["limit"].as_u64().unwrap_or(50)).unwrap_or(50);
                let all: Vec<&Value> =
                    self.of(&id).messages.iter().rev().filter(|m| m["seq"].as_u64() < Some(before)).collect();
                Ok(json!({"messages": all.iter().take(limit).collect::<Vec<_>>(), "has_more": all.len() > limit}))
            }
            "events" => {
                let (after, limit) =
                    (data["after_position"].as_u64().unwrap_or(0), data["limit"].as_u64().unwrap_or(100));
                let events = &self.of(&id).events;
                let page: Vec<&Value> = events.iter().skip(to_usize(after)).take(to_usize(limit)).collect();
                Ok(json!({"events": page, "last_position": events.len()}))
            }
            _ => Err("bad_request"),
        }
    }

    fn of(&mut self, id: &str) -> &mut Conversation {
        self.conversations.entry(id.to_owned()).or_default()
    }

    fn create(&mut self, user: &str, data: &Value) -> Result<Value, &'static str> {
        let mut members: BTreeSet<String> = strings(&data["members"]).into_iter().collect();
        members.insert(user.to_owned());
        let kind = data["kind"].as_str().unwrap_or("group").to_owned();
        let names: Vec<String> = members.iter().cloned().collect();
        let id = if kind == "direct" { names.join("-") } else { data["client_id"].as_str().unwrap_or("x").to_owned() };
        let id = format!("cnv_{id}");
        if !self.conversations.contains_key(&id) {
            let list: Vec<Value> = names.iter().map(|user| json!({"user": user, "role": "member"})).collect();
            let created = json!({"kind": kind, "name": data["name"], "members": list, "members_count": list.len()});
            let name = data["name"].as_str().map(str::to_owned);
            self.conversations.insert(id.clone(), Conversation { kind, name, members, ..Conversation::default() });
            self.event(&id, user, "conversation.created", created);
        }
        Ok(json!({"position": self.of(&id).events.len(), "conversation": id}))
    }

    fn send(&mut self, user: &str, id: &str, data: &Value) -> Result<Value, &'static str> {
        let client_id = data["client_id"].as_str().unwrap_or_default().to_owned();
        if let Some(first) = self.of(id).client_ids.get(&client_id) {
            return Ok(first.clone());
        }
        let (seq, position) = (self.of(id).messages.len() + 1, self.of(id).events.len() + 1);
        let at = self.time();
        let message = json!({"conversation": id, "seq": seq, "position": position, "sender": user, "client_id": client_id,
            "at": at, "text": data["text"]});
        self.of(id).messages.push(message.clone());
        self.of(id).read.insert(user.to_owned(), seq as u64);
        let sent = json!({"seq": seq, "position": position, "at": at, "duplicate": false});
        self.of(id)
            .client_ids
            .insert(client_id, json!({"seq": seq, "position": position, "at": at, "duplicate": true}));
        self.event(id, user, "message.sent", message);
        if data["text"] == "/drop" {
            let bye = json!({"type": "bye", "data": {"reason": "draining", "reconnect_after_ms": [3000, 5000]}});
            self.sockets.iter().for_each(|(_, out)| drop(out.send(bye.clone())));
        }
        Ok(sent)
    }

    /// Appends a durable event and pushes it; gives its position.
    fn event(&mut self, id: &str, actor: &str, kind: &str, data: Value) -> usize {
        let at = self.time();
        let position = self.of(id).events.len() + 1;
        let event =
            json!({"type": kind, "conversation": id, "position": position, "at": at, "actor": actor, "data": data});
        self.of(id).events.push(event.clone());
        let members = self.of(id).members.clone();
        self.sockets
            .iter()
            .filter(|(user, _)| members.contains(user))
            .for_each(|(_, out)| drop(out.send(event.clone())));
        position
    }

    fn push(&mut self, id: &str, kind: &str, data: Value, but: Option<&str>) {
        let members = self.of(id).members.clone();
        let event = json!({"type": kind, "conversation": id, "data": data});
        let to = self.sockets.iter().filter(|(user, _)| members.contains(user) && Some(user.as_str()) != but);
        to.for_each(|(_, out)| drop(out.send(event.clone())));
    }

    /// Everybody watches everybody.
    fn presence(&mut self, user: &str) {
        let event = json!({"type": "presence", "data": self.status(user)});
        self.sockets.iter().for_each(|(_, out)| drop(out.send(event.clone())));
    }

    fn status(&self, user: &str) -> Value {
        let online = self.sockets.iter().any(|(other, _)| other == user);
        json!({"user": user, "status": if online { "online" } else { "offline" }})
    }

    fn entry(&self, user: &str, id: &str) -> Option<Value> {
        let of = self.conversations.get(id).filter(|of| of.members.contains(user))?;
        let (last_seq, read) = (of.messages.len() as u64, of.read.get(user).copied().unwrap_or(0));
        Some(json!({"conversation": id, "kind": of.kind, "name": of.name, "members_count": of.members.len(),
            "last_position": of.events.len(), "last_seq": last_seq, "last_message": of.messages.last(),
            "read_seq": read, "unread": last_seq - read, "role": "member"}))
    }

    /// A clock of its own, a second a tick: what it stamps is the same each time.
    fn time(&mut self) -> String {
        self.clock += 1;
        let (hour, minute, second) = (10 + self.clock / 3600 % 14, self.clock / 60 % 60, self.clock % 60);
        format!("2026-01-31T{hour:02}:{minute:02}:{second:02}.000Z")
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
