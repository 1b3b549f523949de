//! What the server says, turned into updates: all conversations' timelines, the cursor, and what to fetch. No I/O.

use std::collections::{BTreeSet, HashMap};

use crate::client::Update;
use crate::event::{Body, Event};
use crate::timeline::Timeline;
use crate::types::Conversation;

/// One conversation, and what this catch-up has said of it.
struct Line {
    timeline: Timeline<Event>,
    /// Where it was when the connection opened, and `last_position` as announced since, before `caught_up`.
    at_connect: Option<u64>,
    announced: Option<u64>,
    pushed: bool,
    /// Not announced by a catch-up with `reset`: only `events` can tell whether something is missing.
    suspect: bool,
}

/// The state over all conversations.
pub(crate) struct Feed {
    lines: HashMap<String, Line>,
    /// Those that lack events, or may: kept apart, because there may be thousands of lines.
    incomplete: BTreeSet<String>,
    follow_all: bool,
    cursor: Option<String>,
}

impl Feed {
    pub(crate) fn new(follow_all: bool) -> Self {
        Self { lines: HashMap::new(), incomplete: BTreeSet::new(), follow_all, cursor: None }
    }

    /// For the next `hello`.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// A connection opened: the catch-up begins.
    pub(crate) fn connected(&mut self) {
        for line in self.lines.values_mut() {
            line.at_connect = line.timeline.position();
            line.announced = None;
            line.pushed = false;
        }
    }

    fn line(&mut self, conversation: &str) -> &mut Line {
        let follow_all = self.follow_all;
        self.lines.entry(conversation.to_owned()).or_insert_with(|| Line {
            timeline: Timeline::new(follow_all),
            at_connect: None,
            announced: None,
            pushed: false,
            suspect: false,
        })
    }

    pub(crate) fn follow(&mut self, conversation: &str, after: u64) {
        self.line(conversation).timeline.follow(after);
        self.look_at(conversation);
    }

    pub(crate) fn unfollow(&mut self, conversation: &str) {
        if let Some(line) = self.lines.get_mut(conversation) {
            line.timeline.unfollow();
            line.suspect = false;
        }
        self.look_at(conversation);
    }

    /// Brings `incomplete` up to date for one conversation.
    fn look_at(&mut self, conversation: &str) {
        if self.lacks(conversation).is_some() {
            self.incomplete.insert(conversation.to_owned());
        } else {
            self.incomplete.remove(conversation);
        }
    }

    /// The position after which to fetch.
    fn lacks(&self, conversation: &str) -> Option<u64> {
        let line = self.lines.get(conversation)?;
        let suspect = if line.suspect { line.timeline.position() } else { None };
        line.timeline.missing().or(suspect)
    }

    /// Something came. Returns what the consumer learns of it now.
    pub(crate) fn event(&mut self, event: Event) -> Vec<Update> {
        if let (Some(conversation), Some(position)) = (event.conversation.clone(), event.position) {
            let line = self.line(&conversation);
            line.pushed = true;
            let ready = line.timeline.push(position, event);
            self.look_at(&conversation);
            return ready.into_iter().map(Update::Event).collect();
        }
        match event.body() {
            Body::InboxChanged(entry) => self.announced(entry).into_iter().collect(),
            Body::CaughtUp { cursor, reset } => {
                self.cursor = cursor.or(self.cursor.take());
                if reset {
                    self.reset();
                }
                vec![Update::CaughtUp { reset }]
            }
            _ => vec![Update::Event(event)],
        }
    }

    fn announced(&mut self, entry: Box<Conversation>) -> Option<Update> {
        if entry.left && entry.last_position == 0 {
            return Some(Update::Inbox(entry));
        }
        let line = self.line(&entry.conversation);
        line.announced = Some(entry.last_position);
        let news = line.timeline.announce(entry.last_position);
        // One that is older than a position known before this connection is not stale: the log went back.
        let went_back = !line.pushed && line.at_connect.is_some_and(|before| before > entry.last_position);
        if entry.left {
            line.timeline.unfollow();
        }
        self.look_at(&entry.conversation);
        (news || went_back).then_some(Update::Inbox(entry))
    }

    /// The cursor could not be honoured: what was not announced must be looked at, and a log restored from a backup
    /// may have gone back.
    fn reset(&mut self) {
        for line in self.lines.values_mut().filter(|line| !line.pushed) {
            match (line.announced, line.at_connect) {
                (Some(announced), Some(before)) if announced < before => line.timeline.restart(announced),
                (None, Some(_)) => line.suspect = line.timeline.is_followed(),
                _ => {}
            }
        }
        for conversation in self.lines.keys().cloned().collect::<Vec<_>>() {
            self.look_at(&conversation);
        }
    }

    /// Which conversations lack events, and after which position.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (&str, u64)> {
        self.incomplete.iter().filter_map(|conversation| Some((conversation.as_str(), self.lacks(conversation)?)))
    }

    /// A page of `events` came. The flag says whether it brought the timeline forward, or showed it complete.
    pub(crate) fn page(&mut self, conversation: &str, events: Vec<Event>, last_position: u64) -> (Vec<Update>, bool) {
        let line = self.line(conversation);
        line.suspect = false;
        let before = line.timeline.position();
        let events = events.into_iter().filter_map(|event| Some((event.position?, event))).collect();
        let ready = line.timeline.page(events, last_position);
        let progress = line.timeline.position() != before || line.timeline.missing().is_none();
        self.look_at(conversation);
        (ready.into_iter().map(Update::Event).collect(), progress)
    }

    /// The server refuses `events` for good.
    pub(crate) fn give_up(&mut self, conversation: &str) -> Vec<Update> {
        let line = self.line(conversation);
        line.suspect = false;
        let given_up = line.timeline.give_up();
        self.look_at(conversation);
        let Some((after, to, ready)) = given_up else { return Vec::new() };
        let skipped = Update::Skipped { conversation: conversation.to_owned(), after, to };
        std::iter::once(skipped).chain(ready.into_iter().map(Update::Event)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn push(position: u64) -> Event {
        Event {
            kind: "message.sent".into(),
            conversation: Some("cnv_1".into()),
            position: Some(position),
            ..Event::default()
        }
    }

    fn control(kind: &str, data: serde_json::Value) -> Event {
        Event { kind: kind.into(), data, ..Event::default() }
    }

    fn positions(updates: &[Update]) -> Vec<u64> {
        let position = |update: &Update| if let Update::Event(event) = update { event.position } else { None };
        updates.iter().filter_map(position).collect()
    }

    fn announce(last_position: u64) -> Event {
        control("inbox.changed", json!({"conversation": "cnv_1", "last_position": last_position}))
    }

    #[test]
    fn an_announcement_past_what_is_known_is_fetched_only_if_followed() {
        let mut feed = Feed::new(false);
        feed.event(push(3));
        feed.connected();
        feed.event(announce(7));
        assert_eq!(feed.missing().count(), 0);
        feed.follow("cnv_1", 5);
        assert_eq!(feed.missing().collect::<Vec<_>>(), [("cnv_1", 5)]);
        let (updates, progress) = feed.page("cnv_1", vec![push(6), push(7)], 7);
        assert_eq!((positions(&updates), progress), (vec![6, 7], true));
    }

    #[test]
    fn an_older_announcement_is_ignored() {
        let mut feed = Feed::new(true);
        feed.connected();
        assert_eq!(feed.event(push(3)).len(), 1);
        assert_eq!(feed.event(announce(2)).len(), 0);
        assert_eq!(feed.event(announce(3)).len(), 1);
    }

    #[test]
    fn a_reset_looks_at_what_it_did_not_name() {
        let mut feed = Feed::new(true);
        feed.event(push(3));
        feed.connected();
        feed.event(control("caught_up", json!({"cursor": "c2", "reset": true})));
        assert_eq!(feed.cursor(), Some("c2"));
        assert_eq!(feed.missing().collect::<Vec<_>>(), [("cnv_1", 3)]);
        let (updates, progress) = feed.page("cnv_1", Vec::new(), 3);
        assert!(updates.is_empty() && progress && feed.missing().next().is_none());
    }

    #[test]
    fn a_log_that_went_back_is_followed_from_there() {
        let mut feed = Feed::new(true);
        feed.event(push(9));
        feed.connected();
        assert_eq!(feed.event(announce(4)).len(), 1);
        feed.event(control("caught_up", json!({"cursor": "c2", "reset": true})));
        assert_eq!(positions(&feed.event(push(5))), [5]);
    }

    #[test]
    fn unknown_types_pass_and_have_a_place_in_the_order() {
        let mut feed = Feed::new(true);
        feed.follow("cnv_1", 0);
        let mut odd = push(1);
        odd.kind = "poll.closed".into();
        assert_eq!(positions(&feed.event(odd)), [1]);
        assert_eq!(feed.event(control("weather", json!(["rain"]))).len(), 1);
    }
}
