//! What an actor may want: every command there is, by chance.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::history::What;
use crate::stage::{Place, Record, Stage};

/// More conversations than this nobody starts.
const MOST_PLACES: usize = 60;

/// A command as it is sent, and what it is for the checker.
pub struct Deed {
    pub kind: &'static str,
    pub data: Value,
    pub what: What,
}

/// Who chooses, and of what it knows.
pub struct Chooser<'a> {
    pub me: usize,
    pub stage: &'a Stage,
    pub record: &'a Record,
    pub rng: &'a mut StdRng,
    pub number: u64,
}

impl Chooser<'_> {
    /// The next thing to do.
    pub fn choose(mut self) -> Deed {
        match self.rng.random_range(0..100) {
            0..64 => self.send(),
            64..76 => self.read(),
            76..79 => self.join(),
            79..82 => self.of_place("conversation.leave", |conversation| What::Leave { conversation }),
            82..86 => self.members("member.add", |conversation, users| What::Add { conversation, users }),
            86..89 => self.members("member.remove", |conversation, users| What::Remove { conversation, users }),
            89..90 => self.create(),
            90..93 => self.typing(),
            93..95 => passing("inbox", json!({ "limit": 20 })),
            95..97 => self.history(),
            _ => self.watch(),
        }
    }

    /// One of one's own places mostly, any at times.
    fn place(&mut self) -> Option<String> {
        let mine = self.record.places.iter().filter(|(_, place)| place.member.1);
        let mut mine: Vec<_> = mine.map(|(id, _)| id.clone()).collect();
        // The order of a map is not the seed's.
        mine.sort_unstable();
        match self.rng.random_bool(0.97) {
            true if !mine.is_empty() => mine.choose(self.rng).cloned(),
            _ => self.stage.places.lock().expect("no panic").choose(self.rng).cloned(),
        }
    }

    fn known(&self, conversation: &str) -> Option<&Place> {
        self.record.places.get(conversation)
    }

    fn others(&mut self, most: usize) -> Vec<String> {
        let count = self.rng.random_range(1..=most);
        let accounts = &self.stage.accounts;
        let others = (0..count).map(|_| self.rng.random_range(0..accounts.len())).filter(|n| *n != self.me);
        let mut others: Vec<_> = others.map(|n| accounts[n].user.clone()).collect();
        others.sort_unstable();
        others.dedup();
        if others.is_empty() { vec![accounts[(self.me + 1) % accounts.len()].user.clone()] } else { others }
    }

    pub fn create(&mut self) -> Deed {
        if self.stage.places.lock().expect("no panic").len() >= MOST_PLACES {
            return self.send();
        }
        let kind = *["direct", "group", "group", "channel"].choose(self.rng).expect("some");
        let mut members = self.others(10);
        members.truncate(if kind == "direct" { 1 } else { 10 });
        let mut data = json!({ "kind": kind, "members": members, "client_id": Uuid::now_v7() });
        if kind != "direct" {
            data["name"] = json!(format!("{kind} {}-{}", self.me, self.number));
        }
        members.push(self.stage.accounts[self.me].user.clone());
        Deed { kind: "conversation.create", data, what: What::Create { members } }
    }

    fn send(&mut self) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        let (client_id, text) = (Uuid::now_v7().to_string(), self.stage.text(self.me, self.number));
        let mut data = json!({ "conversation": conversation, "client_id": client_id, "text": text });
        let last_seq = self.known(&conversation).map_or(0, |place| place.last_seq);
        match self.rng.random_range(0..20) {
            0 => data["mentions"] = json!(["all"]),
            1 => data["mentions"] = json!(self.others(3)),
            2 if last_seq > 0 => data["reply_to"] = json!(self.rng.random_range(1..=last_seq)),
            _ => {}
        }
        Deed { kind: "message.send", data, what: What::Send { conversation, client_id, text } }
    }

    fn read(&mut self) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        let last_seq = self.known(&conversation).map_or(0, |place| place.last_seq).max(1);
        let seq = self.rng.random_range((last_seq - 5).max(1)..=last_seq);
        let data = json!({ "conversation": conversation, "seq": seq });
        Deed { kind: "read", data, what: What::Read { conversation, seq } }
    }

    fn join(&mut self) -> Deed {
        let any = self.stage.places.lock().expect("no panic").choose(self.rng).cloned();
        let Some(conversation) = any else { return passing("ping", json!({})) };
        let data = json!({ "conversation": conversation });
        Deed { kind: "conversation.join", data, what: What::Join { conversation } }
    }

    fn of_place(&mut self, kind: &'static str, what: fn(String) -> What) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        Deed { kind, data: json!({ "conversation": conversation }), what: what(conversation) }
    }

    fn members(&mut self, kind: &'static str, what: fn(String, Vec<String>) -> What) -> Deed {
        // Mostly where one is an owner, or members would hardly ever change.
        let mut own: Vec<_> =
            self.record.places.iter().filter(|(_, place)| place.created).map(|(id, _)| id.clone()).collect();
        own.sort_unstable();
        let Some(conversation) = own.choose(self.rng).cloned().or_else(|| self.place()) else {
            return passing("ping", json!({}));
        };
        let users = self.others(4);
        let data = json!({ "conversation": conversation, "users": users });
        Deed { kind, data, what: what(conversation, users) }
    }

    fn typing(&mut self) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        passing("typing", json!({ "conversation": conversation, "active": self.rng.random::<bool>() }))
    }

    fn history(&mut self) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        passing("history", json!({ "conversation": conversation, "limit": 20 }))
    }

    fn watch(&mut self) -> Deed {
        let kind = *["presence.watch", "presence.unwatch"].choose(self.rng).expect("some");
        passing(kind, json!({ "users": self.others(5) }))
    }
}

fn passing(kind: &'static str, data: Value) -> Deed {
    Deed { kind, data, what: What::Passing }
}
