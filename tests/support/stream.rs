//! A person who only listens, to a stream of server-sent events.

use std::collections::VecDeque;
use std::sync::LazyLock;

use serde_json::Value;
use tokio::time::Instant;

use super::person::{Account, PATIENCE};
use super::spec;

pub const MEDIA_TYPE: &str = "text/event-stream";

/// A stream of an account.
pub struct Listener {
    response: reqwest::Response,
    /// Read, and no whole event yet.
    read: String,
    /// The last `id`.
    pub last_event_id: Option<String>,
    /// Come and not yet asked for, oldest first.
    pub heard: VecDeque<Value>,
    /// Whether it has ended.
    pub ended: bool,
}

/// One for all, as making one takes its time; without connections that are kept, as each test has a runtime of its own.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client"));
    &CLIENT
}

impl Listener {
    /// Asks for a stream, as a browser does that comes back with `last_event_id`.
    ///
    /// # Errors
    /// Status and body of what is no stream.
    pub async fn open(address: &str, account: &Account, last_event_id: Option<&str>) -> Result<Self, (u16, Value)> {
        let mut request = client().get(format!("http://{address}/v1/stream")).bearer_auth(&account.token);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("answers");
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
        if status != 200 {
            let body: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
            spec::check_response("get", "/v1/stream", status, &kind, &body);
            return Err((status, body));
        }
        assert_eq!(kind, MEDIA_TYPE);
        Ok(Self { response, read: String::new(), last_event_id: None, heard: VecDeque::new(), ended: false })
    }

    /// A stream that has caught up; with the `caught_up` frame's data. What came before stays in `heard`.
    pub async fn online(address: &str, account: &Account, last_event_id: Option<&str>) -> (Self, Value) {
        let opened = Self::open(address, account, last_event_id).await;
        let mut listener = opened.unwrap_or_else(|(status, problem)| panic!("{status}: {problem}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = listener.next(deadline).await.expect("caught up in time");
            if frame["type"] == "caught_up" {
                return (listener, frame["data"].clone());
            }
            listener.heard.push_back(frame);
        }
    }

    /// The first frame, before or after now, that `wanted` accepts; those before it are dropped.
    pub async fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = self.heard.pop_front() {
                if wanted(&frame) {
                    return frame;
                }
            }
            let Some(frame) = self.next(deadline).await else { panic!("no {what}; ended: {}", self.ended) };
            self.heard.push_back(frame);
        }
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(frame) = self.next(deadline).await {
            self.heard.push_back(frame);
        }
        assert!(self.ended, "it does not end in time");
        self.heard.drain(..).collect()
    }

    async fn next(&mut self, deadline: Instant) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                // A comment is a sign of life, and nothing more.
                if let Some(frame) = self.event(&event) {
                    return Some(frame);
                }
            }
            if self.ended {
                return None;
            }
            match tokio::time::timeout_at(deadline, self.response.chunk()).await.ok()? {
                Ok(Some(chunk)) => self.read.push_str(std::str::from_utf8(&chunk).expect("UTF-8")),
                Ok(None) | Err(_) => self.ended = true,
            }
        }
    }

    fn event(&mut self, event: &str) -> Option<Value> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let frame: Value = serde_json::from_str(field("data")?).expect("JSON");
        assert_eq!(field("event"), frame["type"].as_str(), "{frame}");
        if let Some(id) = field("id") {
            assert_eq!(frame["data"]["cursor"], id);
            self.last_event_id = Some(id.to_owned());
        }
        spec::check_event(&frame);
        Some(frame)
    }
}
