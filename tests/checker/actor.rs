//! A simulated person: wants things by chance, retries until it has an answer, comes back with its cursor, and closes the gaps it learns
//! of. What it learns it learns by the protocol alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tidings_client::{Endpoint, Socket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::deeds::{Chooser, Deed};
use crate::history::{Answer, Command, Entry, Event, Page, Push, Try, What};
use crate::stage::{Phase, Record, Shown, Stage};

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(40);
/// Between two wishes of anybody, on average: more people want no more, or a small machine would only be overloaded.
const PAUSE_MS: u64 = 8;
/// A socket on which nothing is answered for so long is given up; the next one is given twice as long, until one is answered: a machine that
/// is too busy to let everybody in at once would otherwise never let anybody in.
const PATIENCE: Duration = Duration::from_millis(3_500);
const MOST_PATIENCE: Duration = Duration::from_millis(14_000);
/// Messages of its own in a place that it remembers.
const MOST_MINE: usize = 10;
/// Without an answer; then it wants nothing new.
const MOST_OPEN: usize = 6;

/// Nothing came back over HTTP. Not the server's word.
const LOST: &str = "lost";

/// What waits for an answer on a socket.
enum Flight {
    Command { index: usize, number: usize },
    Events { conversation: String, after: i64, member: (i64, bool) },
    Other,
}

/// A command that is to be sent, again or for the first time.
struct Due {
    at: Instant,
    index: usize,
    /// It has its answer; this asks again all the same.
    extra: bool,
}

/// Which command, which try of it, and how it ended.
type Answered = (usize, usize, Result<Value, Value>);

pub struct Actor {
    me: usize,
    stage: Arc<Stage>,
    shown: Arc<Shown>,
    rng: StdRng,
    cursor: Option<String>,
    /// Of a frame.
    next_id: u64,
    flights: HashMap<u64, (Instant, Flight)>,
    /// By index in the history's commands.
    deeds: Vec<(&'static str, Value)>,
    due: Vec<Due>,
    next_wish: Instant,
    fetch_after: Instant,
    heard: Instant,
    patience: Duration,
    /// Of commands over HTTP.
    answers: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
}

impl Actor {
    pub fn new(me: usize, stage: Arc<Stage>, seed: u64) -> Self {
        let now = Instant::now();
        let rng = StdRng::seed_from_u64(seed ^ (me as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shown = stage.shown[me].clone();
        Self {
            me,
            stage,
            shown,
            rng,
            cursor: None,
            next_id: 0,
            flights: HashMap::new(),
            deeds: Vec::new(),
            due: Vec::new(),
            next_wish: now,
            fetch_after: now,
            heard: now,
            patience: PATIENCE,
            answers: mpsc::unbounded_channel(),
        }
    }

    fn phase(&self) -> Phase {
        *self.stage.phase.borrow()
    }

    /// Plays to the end.
    pub async fn run(mut self) {
        // The first few start what all talk in.
        if self.me.is_multiple_of(2) {
            self.wish(true);
        }
        while self.phase() != Phase::End {
            if let Some(socket) = self.connect().await {
                let broken = self.converse(socket).await;
                self.lost();
                if broken && self.phase() == Phase::Act && self.me % 8 == 3 && self.rng.random_bool(0.2) {
                    self.shown.away.store(true, Ordering::Relaxed);
                    break;
                }
            }
            sleep(Duration::from_millis(self.rng.random_range(20..250))).await;
        }
        self.shown.record().online = false;
    }

    async fn connect(&mut self) -> Option<Socket> {
        let gateway = self.rng.random_range(0..self.stage.gateways.len());
        let endpoint = Endpoint::new(&format!("http://{}", self.stage.gateways[gateway])).expect("an address");
        let mut socket = timeout(self.patience, Socket::connect(&endpoint)).await.ok()?.ok()?;
        let mut data = json!({ "token": self.stage.accounts[self.me].token });
        if let Some(cursor) = &self.cursor {
            data["cursor"] = json!(cursor);
        }
        let frame = self.frame("hello", &data, Flight::Other);
        socket.send_text(frame).await.ok()?;
        self.heard = Instant::now();
        Some(socket)
    }

    /// Until the socket ends; whether it ended by something other than this actor's wish.
    async fn converse(&mut self, mut socket: Socket) -> bool {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                text = socket.next_text() => match text {
                    Ok(text) => self.take(&text),
                    Err(closed) => {
                        if let Some(code @ 4500..) = closed.code {
                            self.shown.record().history.refusals.push(format!("actor {} was closed with {code}", self.me));
                        }
                        return true;
                    }
                },
                Some((index, number, outcome)) = self.answers.1.recv() => self.answered(index, number, &outcome),
                _ = tick.tick() => {
                    let silent = self.flights.values().any(|(since, _)| since.elapsed() > self.patience);
                    if silent {
                        self.patience = (self.patience * 2).min(MOST_PATIENCE);
                    }
                    let leaves = self.phase() == Phase::End || self.phase() == Phase::Act && self.rng.random_bool(0.001);
                    if silent || leaves {
                        let _ = timeout(TICK, socket.close(1000, "")).await;
                        return silent;
                    }
                    for frame in self.frames() {
                        if socket.send_text(frame).await.is_err() {
                            return true;
                        }
                    }
                }
            }
        }
    }

    /// What was on its way may or may not have arrived.
    fn lost(&mut self) {
        self.shown.record().online = false;
        for (_, flight) in std::mem::take(&mut self.flights).into_values() {
            if let Flight::Command { index, .. } = flight {
                self.again(index, 1_500);
            }
        }
    }

    fn again(&mut self, index: usize, within_ms: u64) {
        let at = Instant::now() + Duration::from_millis(self.rng.random_range(50..within_ms));
        self.due.push(Due { at, index, extra: false });
    }

    fn frame(&mut self, kind: &str, data: &Value, flight: Flight) -> String {
        self.next_id += 1;
        self.flights.insert(self.next_id, (Instant::now(), flight));
        json!({ "id": self.next_id, "type": kind, "data": data }).to_string()
    }

    /// Everything to send now.
    fn frames(&mut self) -> Vec<String> {
        let now = Instant::now();
        if self.phase() == Phase::Act && now >= self.next_wish && self.shown.record().open < MOST_OPEN {
            self.next_wish =
                now + Duration::from_millis(self.rng.random_range(0..PAUSE_MS * 2 * self.stage.accounts.len() as u64));
            self.wish(false);
        }
        let (due, later) = std::mem::take(&mut self.due).into_iter().partition(|due| due.at <= now);
        self.due = later;
        let mut frames = Vec::new();
        for Due { index, extra, .. } in due {
            let done = finished(&self.shown.record().history.commands[index]);
            if !done || extra {
                frames.extend(self.try_now(index));
            }
        }
        if now >= self.fetch_after {
            frames.extend(self.fetches());
        }
        if self.heard.elapsed() > Duration::from_secs(2) && self.flights.is_empty() {
            frames.push(self.frame("ping", &json!({}), Flight::Other));
        }
        frames
    }

    fn wish(&mut self, create: bool) {
        let (shown, stage) = (self.shown.clone(), self.stage.clone());
        let mut record = shown.record();
        let number = record.history.commands.len() as u64;
        let mut chooser = Chooser { me: self.me, stage: &stage, record: &record, rng: &mut self.rng, number };
        let Deed { kind, data, what } = if create { chooser.create() } else { chooser.choose() };
        let index = record.history.commands.len();
        record.history.commands.push(Command { user: stage.accounts[self.me].user.clone(), what, tries: Vec::new() });
        record.open += 1;
        self.deeds.push((kind, data));
        let now = Instant::now();
        self.due.push(Due { at: now, index, extra: false });
        if kind == "message.send" && self.rng.random_bool(0.05) {
            // Twice at once, maybe over two ways.
            self.due.push(Due { at: now, index, extra: true });
        }
    }

    /// Sends a command over the socket, or over HTTP, where its answer comes back by the channel.
    fn try_now(&mut self, index: usize) -> Option<String> {
        let (kind, data) = self.deeds[index].clone();
        let number = {
            let mut record = self.shown.record();
            let tries = &mut record.history.commands[index].tries;
            tries.push(Try { asked: self.stage.now(), answer: None });
            tries.len() - 1
        };
        if kind == "ping" || kind.starts_with("presence") || !self.rng.random_bool(0.1) {
            return Some(self.frame(kind, &data, Flight::Command { index, number }));
        }
        let gateway = self.rng.random_range(0..self.stage.gateways.len());
        let url = format!("http://{}/v1/commands/{kind}", self.stage.gateways[gateway]);
        let token = &self.stage.accounts[self.me].token;
        let request = self.stage.http.post(url).bearer_auth(token).json(&data);
        let answers = self.answers.0.clone();
        tokio::spawn(async move {
            // The actor may have gone home.
            let _ = answers.send((index, number, over_http(request).await));
        });
        None
    }

    /// Asks for what is missing, one page of each conversation at a time.
    fn fetches(&mut self) -> Vec<String> {
        let (shown, mut wanted) = (self.shown.clone(), Vec::new());
        for (conversation, place) in &shown.record().places {
            let asked = |flight: &Flight| matches!(flight, Flight::Events { conversation: c, .. } if c == conversation);
            if let Some(after) = place.missing()
                && !self.flights.values().any(|(_, flight)| asked(flight))
            {
                wanted.push((conversation.clone(), after, place.member));
            }
        }
        let mut frames = Vec::new();
        for (conversation, after, member) in wanted {
            let limit = self.rng.random_range(5..300);
            let data = json!({ "conversation": conversation, "after_position": after, "limit": limit });
            frames.push(self.frame("events", &data, Flight::Events { conversation, after, member }));
        }
        frames
    }

    fn take(&mut self, text: &str) {
        self.heard = Instant::now();
        let mut frame: Value = serde_json::from_str(text).expect("JSON");
        if let Some(id) = frame["id"].as_u64() {
            let outcome = if frame["type"] == "ok" { Ok(frame["data"].take()) } else { Err(frame["data"].take()) };
            match self.flights.remove(&id).map(|(_, flight)| flight) {
                Some(Flight::Command { index, number }) => self.answered(index, number, &outcome),
                Some(Flight::Events { conversation, after, member }) => {
                    self.fetched(conversation, after, member, outcome)
                }
                Some(Flight::Other) | None => {}
            }
            return;
        }
        let user = self.stage.accounts[self.me].user.clone();
        let mut record = self.shown.record();
        if let Some(event) = Event::read(&frame) {
            if let Some(text) = event.text.as_ref().filter(|_| event.actor != user && event.kind == "message.sent") {
                let place = record.places.get(&event.conversation);
                let news = place.is_some_and(|place| place.known().is_some_and(|known| known < event.position));
                self.stage.arrived(&event.conversation, text, news);
            }
            learn(&mut record, &user, &event);
            record.history.pushes.push(Push { user, at: self.stage.now(), event });
        } else if frame["type"] == "inbox.changed"
            && let Some(entry) = Entry::read(&user, &frame["data"])
        {
            let place = record.places.entry(entry.conversation.clone()).or_default();
            place.learn(entry.last_position, !entry.left);
            place.last_seq = place.last_seq.max(entry.last_seq);
            place.timeline.announce(entry.last_position.unsigned_abs());
            record.history.entries.push(entry);
        } else if frame["type"] == "caught_up" {
            record.online = true;
            self.patience = PATIENCE;
            drop(record);
            self.cursor = frame["data"]["cursor"].as_str().map(str::to_owned);
        }
    }

    fn answered(&mut self, index: usize, number: usize, outcome: &Result<Value, Value>) {
        let (shown, now) = (self.shown.clone(), self.stage.now());
        let answer = Answer::read(outcome);
        let mut record = shown.record();
        let was_finished = finished(&record.history.commands[index]);
        let user = self.stage.accounts[self.me].user.clone();
        if let (Ok(data), "inbox") = (outcome, self.deeds[index].0) {
            let page = data["conversations"].as_array().into_iter().flatten();
            record.history.entries.extend(page.filter_map(|entry| Entry::read(&user, entry)));
        }
        let command = &mut record.history.commands[index];
        let asked = command.tries[number].asked;
        if answer != (Answer::Refused { code: LOST.into() }) {
            command.tries[number].answer = Some((now, answer.clone()));
        }
        let what = command.what.clone();
        let decided = !matches!(&answer, Answer::Refused { code } if again(code));
        if decided && what != What::Passing {
            shown.decided.fetch_max(asked, Ordering::Relaxed);
        }
        match &answer {
            Answer::Ok { conversation, .. } => {
                if let (What::Create { .. }, Some(conversation)) = (&what, conversation) {
                    record.places.entry(conversation.clone()).or_default().created = true;
                    self.stage.places.lock().expect("no panic").push(conversation.clone());
                }
                if let (Ok(data), "invite.create") = (outcome, self.deeds[index].0) {
                    self.stage.links.lock().expect("no panic").push(data["link"].as_str().expect("a link").to_owned());
                }
                if let (What::Send { conversation, .. } | What::Forward { conversation, .. }, Answer::Ok { seq, .. }) =
                    (&what, &answer)
                {
                    let mine = &mut record.places.entry(conversation.clone()).or_default().mine;
                    mine.push(*seq);
                    if mine.len() > MOST_MINE {
                        mine.remove(0);
                    }
                }
            }
            // Shown and forgotten; whoever wants it asks anew.
            Answer::Refused { code } if what == What::Passing && code != LOST => {}
            Answer::Refused { code } if again(code) && !was_finished => self.again(index, 500),
            Answer::Refused { .. } => {}
        }
        if !was_finished && finished(&record.history.commands[index]) {
            record.open -= 1;
            if matches!(what, What::Send { .. } | What::Forward { .. }) && self.rng.random_bool(0.08) {
                // Late, as from a queue on a phone that was off.
                let at = Instant::now() + Duration::from_millis(self.rng.random_range(0..4_000));
                self.due.push(Due { at, index, extra: true });
            }
        }
    }

    fn fetched(&mut self, conversation: String, after: i64, member: (i64, bool), outcome: Result<Value, Value>) {
        let user = self.stage.accounts[self.me].user.clone();
        let shown = self.shown.clone();
        let mut record = shown.record();
        match outcome {
            Ok(data) => {
                let events: Vec<_> = data["events"].as_array().into_iter().flatten().filter_map(Event::read).collect();
                let last_position = data["last_position"].as_i64().unwrap_or(0);
                let place = record.places.entry(conversation.clone()).or_default();
                let positions = events.iter().map(|event| (event.position.unsigned_abs(), ())).collect();
                place.timeline.page(positions, last_position.unsigned_abs());
                for event in &events {
                    place.last_seq = place.last_seq.max(event.seq);
                }
                record.history.pages.push(Page { user, conversation, after, events, last_position });
            }
            Err(error) if error["code"] == "not_a_member" => {
                let place = record.places.entry(conversation).or_default();
                // Unless a later event has said otherwise while this was on its way.
                if place.member == member {
                    place.member.1 = false;
                }
            }
            Err(_) => self.fetch_after = Instant::now() + Duration::from_millis(200),
        }
    }
}

fn learn(record: &mut Record, user: &str, event: &Event) {
    let place = record.places.entry(event.conversation.clone()).or_default();
    let out = event.kind == "member.left" && event.users.iter().any(|left| left == user);
    place.learn(event.position, !out);
    place.last_seq = place.last_seq.max(event.seq);
    place.timeline.push(event.position.unsigned_abs(), ());
}

fn again(code: &str) -> bool {
    matches!(code, "unavailable" | "rate_limited" | LOST)
}

/// Whether it has an answer after which a client does not ask again.
fn finished(command: &Command) -> bool {
    command.tries.iter().filter_map(|sending| sending.answer.as_ref()).any(|(_, answer)| match answer {
        Answer::Ok { .. } => true,
        Answer::Refused { code } => command.what == What::Passing || !again(code),
    })
}

/// The outcome, with the code [`LOST`] where nothing came back.
async fn over_http(request: reqwest::RequestBuilder) -> Result<Value, Value> {
    let lost = || json!({ "code": LOST });
    let response = request.send().await.map_err(|_| lost())?;
    let accepted = response.status().is_success();
    let body: Value = response.json().await.map_err(|_| lost())?;
    if accepted { Ok(body) } else { Err(body) }
}
