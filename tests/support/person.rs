//! A person with a socket of the client module: sends frames as a client would, keeps everything that is pushed as it was
//! written, and awaits what must come.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tidings_client::{Endpoint, Socket};
use tokio::time::Instant;
use uuid::Uuid;

use super::spec;

/// Longer than anything takes that works, on a slow machine under load.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A user and its token.
#[derive(Clone, Debug)]
pub struct Account {
    pub user: String,
    pub token: String,
    /// As its backend calls it.
    pub external_id: String,
    /// Of that backend.
    pub key: String,
}

/// A socket of an account.
pub struct Person {
    pub account: Account,
    socket: Socket,
    next_id: u64,
    /// The commands that are not answered yet.
    asked: HashMap<u64, String>,
    /// Pushed and not yet asked for, oldest first.
    pub pushed: VecDeque<Value>,
    /// How the server closed.
    pub closed: Option<u16>,
}

impl Person {
    /// A socket that has said nothing yet.
    pub async fn connect(address: &str, account: &Account) -> Self {
        let endpoint = Endpoint::new(&format!("http://{address}")).expect("an address");
        let connected = tokio::time::timeout(PATIENCE, Socket::connect(&endpoint));
        let socket = connected.await.expect("in time").expect("connects");
        Self {
            account: account.clone(),
            socket,
            next_id: 0,
            asked: HashMap::new(),
            pushed: VecDeque::new(),
            closed: None,
        }
    }

    /// A socket that has said `hello` and caught up; with the `caught_up` frame.
    pub async fn online(address: &str, account: &Account, cursor: Option<&str>) -> (Self, Value) {
        let mut person = Self::connect(address, account).await;
        person.hello(cursor).await.expect("hello");
        let caught_up = person.wait_kept(|frame| frame["type"] == "caught_up").await;
        (person, caught_up["data"].clone())
    }

    /// As [`Person::online`], again when the server says that it may work later, at the time that it says.
    pub async fn online_at_last(address: &str, account: &Account, cursor: Option<&str>) -> (Self, Value) {
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let mut person = Self::connect(address, account).await;
            if person.hello(cursor).await.is_ok() {
                let caught_up = person.wait_kept(|frame| frame["type"] == "caught_up").await;
                return (person, caught_up["data"].clone());
            }
            assert!(Instant::now() < deadline, "never let in");
            person.wait_to_come_back().await;
        }
    }

    /// Reads to the close, and waits as long as `bye` says; its close code.
    pub async fn wait_to_come_back(&mut self) -> u16 {
        let code = self.close_code().await;
        let bye = self.pushed.iter().find(|frame| frame["type"] == "bye").expect("a bye");
        let window = &bye["data"]["reconnect_after_ms"];
        let (least, most) = (window[0].as_u64().expect("least"), window[1].as_u64().expect("most"));
        let wait = rand::Rng::random_range(&mut rand::rng(), least..=most);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        code
    }

    /// Says `hello`.
    pub async fn hello(&mut self, cursor: Option<&str>) -> Result<Value, Value> {
        let token = self.account.token.clone();
        let mut data = json!({ "token": token });
        if let Some(cursor) = cursor {
            data["cursor"] = json!(cursor);
        }
        self.call("hello", data).await
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send_text(text).await.expect("sends");
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.socket.send_binary(bytes.to_vec()).await.expect("sends");
    }

    /// Starts a command; [`Person::reply`] awaits its answer.
    pub async fn start(&mut self, kind: &str, data: Value) -> u64 {
        self.next_id += 1;
        self.asked.insert(self.next_id, kind.to_owned());
        self.send_text(&json!({ "id": self.next_id, "type": kind, "data": data }).to_string()).await;
        self.next_id
    }

    /// The answer to a command: `data` of `ok`, or of `error`.
    pub async fn reply(&mut self, id: u64) -> Result<Value, Value> {
        let mut frame = self.wait_kept(|frame| frame["id"] == id).await;
        if frame["type"] == "ok" { Ok(frame["data"].take()) } else { Err(frame["data"].take()) }
    }

    /// The answer to a command if it has come.
    pub fn take_reply(&mut self, id: u64) -> Option<Result<Value, Value>> {
        let found = self.pushed.iter().position(|frame| frame["id"] == id)?;
        let mut frame = self.pushed.remove(found)?;
        Some(if frame["type"] == "ok" { Ok(frame["data"].take()) } else { Err(frame["data"].take()) })
    }

    pub async fn call(&mut self, kind: &str, data: Value) -> Result<Value, Value> {
        let id = self.start(kind, data).await;
        self.reply(id).await
    }

    pub async fn ok(&mut self, kind: &str, data: Value) -> Value {
        self.call(kind, data.clone()).await.unwrap_or_else(|error| panic!("{kind} {data} was refused: {error}"))
    }

    pub async fn code(&mut self, kind: &str, data: Value) -> String {
        match self.call(kind, data.clone()).await {
            Ok(data) => panic!("{kind} was accepted: {data}"),
            Err(error) => error["code"].as_str().expect("a code").to_owned(),
        }
    }

    /// Sends a message with a new client id.
    pub async fn say(&mut self, conversation: &str, text: &str) -> Value {
        self.ok("message.send", message(conversation, text, Uuid::now_v7())).await
    }

    /// Sends a message, retrying what may be retried, as a client does.
    pub async fn say_until_heard(&mut self, conversation: &str, text: &str) -> Value {
        self.ok_until_heard("message.send", message(conversation, text, Uuid::now_v7())).await
    }

    /// The first frame pushed, before or after now, that `wanted` accepts; those before it are dropped.
    pub async fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = self.pushed.pop_front() {
                if wanted(&frame) {
                    return frame;
                }
            }
            let Some(frame) = self.read(deadline).await else { panic!("no {what} for {}", self.account.user) };
            self.pushed.push_back(frame);
        }
    }

    /// The next event of a type.
    pub async fn event(&mut self, kind: &str) -> Value {
        self.wait(kind, |frame| frame["type"] == kind).await
    }

    /// The message with this text.
    pub async fn message(&mut self, text: &str) -> Value {
        self.wait(text, |frame| frame["type"] == "message.sent" && frame["data"]["text"] == text).await
    }

    /// Awaits a frame and keeps all others for later.
    async fn wait_kept(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        if let Some(found) = self.pushed.iter().position(&wanted) {
            return self.pushed.remove(found).expect("found");
        }
        loop {
            let Some(frame) = self.read(deadline).await else {
                panic!("nothing came for {} (closed: {:?})", self.account.user, self.closed)
            };
            if wanted(&frame) {
                return frame;
            }
            self.pushed.push_back(frame);
        }
    }

    /// Awaits that `user` is shown as `status`; all that is pushed is kept but that.
    pub async fn wait_kept_presence(&mut self, user: &str, status: &str) {
        let shown = |f: &Value| f["type"] == "presence" && f["data"]["user"] == user && f["data"]["status"] == status;
        self.wait_kept(shown).await;
    }

    /// The code with which the server closes; what comes before it is kept.
    pub async fn close_code(&mut self) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        while let Some(frame) = self.read(deadline).await {
            self.pushed.push_back(frame);
        }
        self.closed.expect("closed in time")
    }

    /// Everything pushed until `probe`, sent now as a `ping`, is answered: what was on its way before has come.
    pub async fn settle(&mut self) {
        self.ok("ping", json!({})).await;
    }

    async fn read(&mut self, deadline: Instant) -> Option<Value> {
        if self.closed.is_some() {
            return None;
        }
        match tokio::time::timeout_at(deadline, self.socket.next_text()).await.ok()? {
            Ok(text) => {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                let asked = frame["id"].as_u64().and_then(|id| self.asked.remove(&id));
                spec::check_frame(&frame, asked.as_deref());
                Some(frame)
            }
            Err(closed) => {
                self.closed = Some(closed.code.unwrap_or(1006));
                None
            }
        }
    }

    /// Closes the socket as a client that goes away.
    pub async fn leave(mut self) {
        // The server may have closed already.
        let _ = self.socket.close(1000, "").await;
    }
}

/// The data of `message.send`.
pub fn message(conversation: &str, text: &str, client_id: Uuid) -> Value {
    json!({ "conversation": conversation, "client_id": client_id, "text": text })
}

impl Person {
    /// The direct conversation with another.
    pub async fn direct(&mut self, other: &Account) -> String {
        let data = json!({ "kind": "direct", "members": [other.user], "client_id": Uuid::now_v7() });
        self.ok("conversation.create", data).await["conversation"].as_str().expect("an id").to_owned()
    }

    /// A new group with others.
    pub async fn group(&mut self, others: &[&Account], name: &str) -> String {
        let members: Vec<_> = others.iter().map(|other| &other.user).collect();
        let data = json!({ "kind": "group", "name": name, "members": members, "client_id": Uuid::now_v7() });
        self.ok("conversation.create", data).await["conversation"].as_str().expect("an id").to_owned()
    }

    /// Reads pushes, keeping all, until an event of the conversation at `position` or later is there.
    pub async fn wait_until_position(&mut self, conversation: &str, position: i64) {
        let deadline = Instant::now() + PATIENCE;
        while !self.positions(conversation).iter().any(|seen| *seen >= position) {
            let Some(frame) = self.read(deadline).await else {
                panic!(
                    "position {position} does not come for {}; seen {:?}",
                    self.account.user,
                    self.positions(conversation)
                );
            };
            self.pushed.push_back(frame);
        }
    }

    /// The positions pushed of a conversation, in the order they came.
    pub fn positions(&self, conversation: &str) -> Vec<i64> {
        let of = self.pushed.iter().filter(|frame| frame["conversation"] == conversation);
        of.filter_map(|frame| frame["position"].as_i64()).collect()
    }

    /// One's own entry for a conversation.
    pub async fn inbox_entry(&mut self, conversation: &str) -> Value {
        let inbox = self.ok("inbox", json!({})).await;
        let entries = inbox["conversations"].as_array().expect("conversations");
        entries.iter().find(|entry| entry["conversation"] == conversation).expect("in the inbox").clone()
    }

    /// Whether the frame could be sent.
    pub async fn try_send_text(&mut self, text: &str) -> bool {
        self.socket.send_text(text).await.is_ok()
    }
}

impl Person {
    /// [`Person::ok`], retrying what may be retried.
    pub async fn ok_until_heard(&mut self, kind: &str, data: Value) -> Value {
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            match self.call(kind, data.clone()).await {
                Ok(answer) => return answer,
                Err(error) if error["retryable"] == true && Instant::now() < deadline => {}
                Err(error) => panic!("{kind} was refused: {error}"),
            }
        }
    }

    /// [`Person::direct`], retrying what may be retried.
    pub async fn direct_until_heard(&mut self, other: &Account) -> String {
        let data = json!({ "kind": "direct", "members": [other.user], "client_id": Uuid::now_v7() });
        let created = self.ok_until_heard("conversation.create", data).await;
        created["conversation"].as_str().expect("an id").to_owned()
    }
}
