//! The state of the chat. Pure: an update, an outcome, an action or a tick goes in, wishes come out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tidings_client::{Body, Event, Presence, Status, Update, new_client_id};

use crate::chat::Opening;
use crate::chat::command::{self, Command, HELP};
use crate::chat::conversation::{Chat, Outgoing};
use crate::chat::effect::{Effect, Outcome};
use crate::chat::input::Action;
use crate::chat::text::{clean_line, short_id, with_causes};

/// `typing` is said again at most this often, and taken back after this long without a key; in milliseconds.
const TYPING_EVERY_MS: u64 = 3_000;
const TYPING_STOP_MS: u64 = 5_000;

/// The connection, as the status line shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Connecting,
    Connected,
    Waiting { until_ms: u64, because: String },
    Ended(String),
}

/// The whole state.
pub(crate) struct Model {
    pub(crate) me: String,
    pub(crate) chats: HashMap<String, Chat>,
    pub(crate) current: Option<String>,
    pub(crate) names: HashMap<String, String>,
    pub(crate) presence: HashMap<String, Presence>,
    pub(crate) line: Line,
    /// A word to the user, until the next key.
    pub(crate) notice: Option<String>,
    /// Shown over the messages, until the next key: `/help`, `/who`.
    pub(crate) panel: Option<Vec<String>>,
    /// Lines scrolled up from the newest.
    pub(crate) scroll: usize,
    /// Told by the view: the oldest line is visible; lines of a page.
    pub(crate) at_top: bool,
    pub(crate) page: usize,
    pub(crate) now_ms: u64,
    opening: Option<Opening>,
    asked: HashSet<String>,
    inbox_loading: bool,
    /// When `typing` was last said, and when a key was last pressed.
    typing_said_ms: Option<u64>,
    edited_ms: u64,
    effects: Vec<Effect>,
}

impl Model {
    pub(crate) fn new(opening: Option<Opening>) -> Self {
        Self {
            me: String::new(),
            chats: HashMap::new(),
            current: None,
            names: HashMap::new(),
            presence: HashMap::new(),
            line: Line::Connecting,
            notice: None,
            panel: None,
            scroll: 0,
            at_top: false,
            page: 10,
            now_ms: 0,
            opening,
            asked: HashSet::new(),
            inbox_loading: false,
            typing_said_ms: None,
            edited_ms: 0,
            effects: Vec::new(),
        }
    }

    /// The conversation on the screen.
    pub(crate) fn chat(&self) -> Option<&Chat> {
        self.chats.get(self.current.as_ref()?)
    }

    fn chat_mut(&mut self, id: &str) -> &mut Chat {
        self.chats.entry(id.to_owned()).or_insert_with(|| Chat::new(id))
    }

    /// The list: latest activity first.
    pub(crate) fn ordered(&self) -> Vec<&Chat> {
        let mut chats: Vec<&Chat> = self.chats.values().collect();
        chats.sort_by(|a, b| (b.pinned, &b.active_at).cmp(&(a.pinned, &a.active_at)).then_with(|| a.id.cmp(&b.id)));
        chats
    }

    /// A user's name, clean, or a short id.
    pub(crate) fn name(&self, user: &str) -> String {
        self.names.get(user).cloned().unwrap_or_else(|| short_id(user))
    }

    /// A conversation's name, clean.
    pub(crate) fn title(&self, chat: &Chat) -> String {
        match (&chat.peer, &chat.name) {
            (Some(peer), _) if chat.is_direct() => self.name(peer),
            (_, Some(name)) if !clean_line(name).is_empty() => clean_line(name),
            _ => short_id(&chat.id),
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        for chat in self.chats.values_mut() {
            chat.typing.retain(|_, until| *until > now_ms);
        }
        if self.typing_said_ms.is_some() && now_ms.saturating_sub(self.edited_ms) >= TYPING_STOP_MS {
            self.stop_typing();
        }
        self.settle()
    }

    /// The client told something.
    pub(crate) fn update(&mut self, update: Update) -> Vec<Effect> {
        match update {
            Update::Status(status) => self.status(status),
            Update::Inbox(entry) if entry.left => self.remove(&entry.conversation),
            Update::Inbox(entry) => {
                self.chat_mut(&entry.conversation).entry(&entry);
                self.look_up(&entry.conversation);
            }
            Update::CaughtUp { reset } if reset || self.opening.is_some() => self.load_inbox(None),
            Update::Event(event) => self.event(&event),
            Update::Skipped { .. } => self.notice = Some("some events of this conversation cannot be read".into()),
            _ => {}
        }
        self.settle()
    }

    fn status(&mut self, status: Status) {
        self.line = match status {
            Status::Connected { user } => {
                self.me = user;
                self.ask_name(&self.me.clone());
                Line::Connected
            }
            Status::Waiting { delay, because } => {
                let until_ms = self.now_ms + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                Line::Waiting { until_ms, because: clean_line(&with_causes(&because)) }
            }
            Status::Ended(error) => Line::Ended(clean_line(&with_causes(&error))),
            _ => Line::Connecting,
        };
    }

    fn load_inbox(&mut self, cursor: Option<String>) {
        if cursor.is_some() || !self.inbox_loading {
            self.inbox_loading = true;
            self.effects.push(Effect::Inbox { cursor });
        }
    }

    fn event(&mut self, event: &Event) {
        if let Body::Presence(presence) = event.body() {
            self.presence.insert(presence.user.clone(), presence);
            return;
        }
        let Some(id) = event.conversation.clone() else { return };
        let known = self.chats.contains_key(&id);
        if let Body::MemberLeft { users, .. } = event.body()
            && users.contains(&self.me)
        {
            return self.remove(&id);
        }
        if !known && event.position.is_none() {
            return;
        }
        let (me, now_ms) = (self.me.clone(), self.now_ms);
        self.chat_mut(&id).event(event, &me, now_ms);
        if !known && !matches!(event.body(), Body::ConversationCreated { .. }) {
            // It is of a conversation that is new here: the inbox knows the rest.
            self.load_inbox(None);
        }
        event.actor.iter().for_each(|actor| self.ask_name(actor));
        if let Body::MemberJoined { users } | Body::MemberLeft { users, .. } = event.body() {
            users.iter().take(20).for_each(|user| self.ask_name(user));
        }
        if let Body::Typing { user, .. } = event.body() {
            self.ask_name(&user);
        }
        self.look_up(&id);
    }

    /// What is shown of a conversation in the list, and is not known yet.
    fn look_up(&mut self, id: &str) {
        let Some(chat) = self.chats.get(id).filter(|chat| chat.is_direct()) else { return };
        match chat.peer.clone() {
            Some(peer) => {
                self.ask_name(&peer);
                if self.asked.insert(format!("watch {peer}")) {
                    self.effects.push(Effect::Watch(peer));
                }
            }
            None if self.asked.insert(format!("peer {id}")) => {
                self.effects.push(Effect::Peer { conversation: id.to_owned() });
            }
            None => {}
        }
    }

    fn ask_name(&mut self, user: &str) {
        if !user.is_empty() && self.asked.insert(user.to_owned()) {
            self.effects.push(Effect::Name(user.to_owned()));
        }
    }

    fn remove(&mut self, id: &str) {
        self.chats.remove(id);
        if self.current.as_deref() == Some(id) {
            self.current = None;
            self.notice = Some("you are no longer a member of that conversation".into());
        }
    }

    /// An effect has ended.
    pub(crate) fn outcome(&mut self, outcome: Outcome) -> Vec<Effect> {
        match outcome {
            Outcome::Sent { conversation, client_id, result } => {
                if let (Err(error), Some(chat)) = (result, self.chats.get_mut(&conversation)) {
                    // The push may have come, and then it was sent after all.
                    for out in chat.outgoing.iter_mut().filter(|out| out.client_id == client_id) {
                        out.failed = Some(clean_line(&error.to_string()));
                    }
                }
            }
            Outcome::History { conversation, before, result } => self.history(&conversation, before, result),
            Outcome::Inbox(result) => self.inbox(result),
            Outcome::Presence(list) => {
                self.presence.extend(list.into_iter().map(|presence| (presence.user.clone(), presence)));
            }
            Outcome::Name { user, name } => {
                let name = name.map(|name| clean_line(&name)).filter(|name| !name.is_empty());
                if let Some(name) = name {
                    self.names.insert(user, name);
                }
            }
            Outcome::Peer { conversation, members } => {
                let me = self.me.clone();
                self.chat_mut(&conversation).members(&members, &me);
                self.look_up(&conversation);
            }
            Outcome::Members { conversation, result } => self.who(&conversation, result),
            Outcome::Opened(Ok(placed)) => {
                let chat = self.chat_mut(&placed.conversation);
                chat.position = chat.position.max(placed.position);
                if chat.kind.is_empty() {
                    self.load_inbox(None);
                }
                self.open(&placed.conversation);
            }
            Outcome::Left { conversation, result: Ok(_) } => self.remove(&conversation),
            Outcome::Opened(Err(error)) | Outcome::Left { result: Err(error), .. } | Outcome::Changed(Err(error)) => {
                self.notice = Some(clean_line(&error.to_string()));
            }
            Outcome::Changed(Ok(_)) | Outcome::Nothing => {}
        }
        self.settle()
    }

    fn history(
        &mut self,
        id: &str,
        before: Option<u64>,
        result: Result<tidings_client::HistoryPage, tidings_client::Error>,
    ) {
        let Some(chat) = self.chats.get_mut(id) else { return };
        chat.loading = false;
        match result {
            Ok(page) => {
                chat.complete = !page.has_more || (before.is_some() && page.messages.is_empty());
                let senders: HashSet<String> = page.messages.iter().filter_map(|m| m.sender.clone()).collect();
                chat.history(page.messages);
                senders.iter().for_each(|sender| self.ask_name(sender));
            }
            Err(error) => {
                // Not again for each key that scrolls.
                chat.complete = true;
                self.notice = Some(format!("cannot load messages: {}", clean_line(&error.to_string())));
            }
        }
    }

    fn inbox(&mut self, result: Result<tidings_client::InboxPage, tidings_client::Error>) {
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                self.inbox_loading = false;
                self.notice = Some(format!("cannot load the list: {}", clean_line(&error.to_string())));
                return;
            }
        };
        for entry in page.conversations.iter().filter(|entry| !entry.left) {
            self.chat_mut(&entry.conversation).entry(entry);
            self.look_up(&entry.conversation);
        }
        if page.has_more && page.cursor.is_some() {
            return self.load_inbox(page.cursor);
        }
        self.inbox_loading = false;
        match self.opening.take() {
            Some(Opening::With(user)) => self.effects.push(Effect::With(user)),
            Some(Opening::Conversation(id)) => self.open(&id),
            None => {}
        }
    }

    fn who(&mut self, id: &str, result: Result<Vec<tidings_client::Member>, String>) {
        match result {
            Ok(members) => {
                let me = self.me.clone();
                members.iter().take(200).for_each(|member| self.ask_name(&member.user));
                self.chat_mut(id).members(&members, &me);
                let line = |m: &tidings_client::Member| format!("{} ({}) {}", self.name(&m.user), m.role, m.user);
                self.panel = Some(members.iter().map(|member| clean_line(&line(member))).collect());
            }
            Err(error) => self.notice = Some(format!("cannot list the members: {}", clean_line(&error))),
        }
    }

    /// Shows a conversation.
    pub(crate) fn open(&mut self, id: &str) {
        self.stop_typing();
        self.current = Some(id.to_owned());
        self.scroll = 0;
        let chat = self.chat_mut(id);
        if !std::mem::replace(&mut chat.open, true) {
            chat.loading = true;
            let after = chat.position;
            self.effects.push(Effect::Follow { conversation: id.to_owned(), after });
            self.effects.push(Effect::History { conversation: id.to_owned(), before: None });
        }
    }

    /// The user did something.
    pub(crate) fn action(&mut self, action: Action) -> Vec<Effect> {
        if action != Action::Redraw {
            self.notice = None;
            self.panel = None;
        }
        match action {
            Action::Enter(text) => self.enter(&text),
            Action::Scroll(lines) => self.scroll_by(isize::try_from(lines).unwrap_or(0)),
            Action::Page(pages) => {
                let lines = isize::try_from(self.page.saturating_sub(1).max(1)).unwrap_or(1);
                self.scroll_by(lines * isize::try_from(pages).unwrap_or(0));
            }
            Action::Bottom => self.scroll = 0,
            Action::Next => self.switch(1),
            Action::Previous => self.switch(-1),
            Action::Quit => self.effects.push(Effect::Quit),
            Action::Edited | Action::Redraw => {}
        }
        self.settle()
    }

    /// The input line now holds `text`.
    pub(crate) fn edited(&mut self, text: &str) -> Vec<Effect> {
        self.edited_ms = self.now_ms;
        if text.is_empty() || text.starts_with('/') {
            self.stop_typing();
        } else if self.typing_said_ms.is_none_or(|said| self.now_ms.saturating_sub(said) >= TYPING_EVERY_MS)
            && let Some(conversation) = self.current.clone()
        {
            self.typing_said_ms = Some(self.now_ms);
            self.effects.push(Effect::Typing { conversation, active: true });
        }
        self.settle()
    }

    fn stop_typing(&mut self) {
        if self.typing_said_ms.take().is_some()
            && let Some(conversation) = self.current.clone()
        {
            self.effects.push(Effect::Typing { conversation, active: false });
        }
    }

    fn scroll_by(&mut self, lines: isize) {
        self.scroll = self.scroll.saturating_add_signed(lines);
        let at_top = self.at_top;
        let Some(chat) = self.current.as_ref().and_then(|id| self.chats.get_mut(id)) else { return };
        if lines > 0 && at_top && !chat.loading && !chat.complete {
            chat.loading = true;
            let (conversation, before) = (chat.id.clone(), chat.oldest_seq());
            self.effects.push(Effect::History { conversation, before });
        }
    }

    fn switch(&mut self, by: isize) {
        let ids: Vec<String> = self.ordered().iter().map(|chat| chat.id.clone()).collect();
        let Ok(count) = isize::try_from(ids.len()) else { return };
        if count == 0 {
            return;
        }
        let here = self.current.as_ref().and_then(|id| ids.iter().position(|other| other == id));
        let next = match here.and_then(|at| isize::try_from(at).ok()) {
            Some(at) => (at + by).rem_euclid(count),
            None => 0,
        };
        if let Some(id) = usize::try_from(next).ok().and_then(|at| ids.get(at)) {
            self.open(id);
        }
    }

    fn enter(&mut self, text: &str) {
        let command = match command::parse(text) {
            Ok(command) => command,
            Err(help) => return self.notice = Some(help.to_owned()),
        };
        let effect = match (command, self.current.clone()) {
            (Command::Help, _) => return self.panel = Some(HELP.map(str::to_owned).to_vec()),
            (Command::Quit, _) => Effect::Quit,
            (Command::With(user), _) => Effect::With(self.user(&user)),
            (Command::Create { name, users }, _) => Effect::Create { name, users: self.users(&users) },
            (Command::Join(conversation), _) => Effect::Join { conversation },
            (_, None) => return self.notice = Some("no conversation is open; Tab opens one, /with USER too".into()),
            (Command::Say(text), Some(conversation)) => return self.say(conversation, text),
            (Command::Add(users), Some(conversation)) => Effect::Add { conversation, users: self.users(&users) },
            (Command::Remove(users), Some(conversation)) => Effect::Remove { conversation, users: self.users(&users) },
            (Command::Leave, Some(conversation)) => Effect::Leave { conversation },
            (Command::Who, Some(conversation)) => Effect::Members { conversation },
        };
        self.effects.push(effect);
    }

    fn say(&mut self, conversation: String, text: String) {
        let client_id = new_client_id();
        let out = Outgoing { client_id: client_id.clone(), text: text.clone(), failed: None };
        self.chat_mut(&conversation).outgoing.push(out);
        // The message itself ends the typing for those who see it.
        self.typing_said_ms = None;
        self.scroll = 0;
        self.effects.push(Effect::Send { conversation, client_id, text });
    }

    /// An id as it is, or the id of the one user seen here with that name.
    fn user(&self, text: &str) -> String {
        let text = text.strip_prefix('@').unwrap_or(text);
        let mut same = self.names.iter().filter(|(_, name)| name.eq_ignore_ascii_case(text));
        match (same.next(), same.next()) {
            (Some((id, _)), None) => id.clone(),
            _ => text.to_owned(),
        }
    }

    fn users(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.user(text)).collect()
    }

    /// Says that what is shown was read, and hands out the wishes.
    fn settle(&mut self) -> Vec<Effect> {
        if self.scroll == 0
            && self.line == Line::Connected
            && let Some(chat) = self.current.as_ref().and_then(|id| self.chats.get_mut(id))
            && !chat.loading
        {
            let seq = chat.newest_seq();
            if seq > chat.read_seq {
                chat.read_seq = seq;
                self.effects.push(Effect::Read { conversation: chat.id.clone(), seq });
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// What is left of a wait, in whole seconds.
    pub(crate) fn seconds_until(&self, until_ms: u64) -> u64 {
        Duration::from_millis(until_ms.saturating_sub(self.now_ms)).as_millis().div_ceil(1_000).try_into().unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
