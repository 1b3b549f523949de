//! What an actor may want: every command there is, by chance.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use tidings::domain::Timestamp;
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
            0..42 => self.send(),
            42..44 => self.forward(),
            44..46 => self.take_part(),
            46..55 => self.read(),
            55..60 => self.mark(),
            60..64 => self.edit(),
            64..67 => self.delete(),
            67..69 => self.change(),
            69..70 => self.restrict(),
            70..76 => self.own(),
            76..79 => self.join(),
            79..82 => self.of_place("conversation.leave", |conversation| What::Leave { conversation }),
            82..86 => self.members("member.add", |conversation, users| What::Add { conversation, users }),
            86..89 => self.members("member.remove", |conversation, users| What::Remove { conversation, users }),
            89..90 => self.create(),
            90..91 => self.invite(),
            91..92 => self.report(),
            92..93 => {
                if self.rng.random() {
                    self.block()
                } else {
                    self.typing()
                }
            }
            93..95 => passing("inbox", json!({ "limit": 20 })),
            95..97 => self.look(),
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
            // Of few messages, so that threads have several.
            3 | 4 if last_seq > 0 => data["thread"] = json!(self.rng.random_range(1..=last_seq.min(3))),
            5 => data["poll"] = json!({ "question": "when?", "options": ["now", "later"] }),
            6 => {
                let live_until = Timestamp::now().plus(60_000).to_string();
                data["location"] = json!({ "lat": 1.5, "lon": 2.5, "live_until": live_until });
            }
            7 => data["expires_in_ms"] = json!(self.rng.random_range(1_000..4_000)),
            8 => data["contact"] = json!({ "name": "Cyd", "phones": ["+41 44 000 00 00"] }),
            _ => {}
        }
        Deed { kind: "message.send", data, what: What::Send { conversation, client_id, text } }
    }

    /// To anywhere, from anywhere that one knows.
    fn forward(&mut self) -> Deed {
        let (Some(conversation), Some((from, seq))) = (self.place(), self.newest()) else {
            return passing("ping", json!({}));
        };
        let client_id = Uuid::now_v7().to_string();
        let of = json!({ "conversation": from, "seq": seq });
        let data = json!({ "conversation": conversation, "client_id": client_id, "forward": of });
        Deed { kind: "message.send", data, what: What::Forward { conversation, client_id } }
    }

    /// Links, who comes with them, and who asks to come.
    fn invite(&mut self) -> Deed {
        let link = self.stage.links.lock().expect("no panic").choose(self.rng).cloned();
        match (self.rng.random_range(0..6), link) {
            (0, _) => {
                let join = *["open", "request", "closed"].choose(self.rng).expect("some");
                let kind = "conversation.update";
                let change = |conversation, _| What::Change { conversation, kind: "conversation.updated" };
                let mut deed = self.members(kind, change);
                let What::Change { conversation, .. } = &deed.what else { return deed };
                deed.data = json!({ "conversation": conversation, "join": join });
                deed
            }
            (1, _) => {
                self.members("member.decline", |conversation, _| What::Change { conversation, kind: "member.declined" })
            }
            (2..5, Some(link)) => Deed { kind: "invite.accept", data: json!({ "link": link }), what: What::Accept },
            _ => {
                let Some(conversation) = self.place() else { return passing("ping", json!({})) };
                passing("invite.create", json!({ "conversation": conversation, "max_uses": 2 }))
            }
        }
    }

    /// One's own messages, removed ones, those that nobody reported: mostly it is refused.
    fn report(&mut self) -> Deed {
        let Some((conversation, seq)) = self.newest() else { return passing("ping", json!({})) };
        let of = |more: Value| {
            let mut data = json!({ "conversation": conversation, "seq": seq });
            data.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            data
        };
        match self.rng.random_range(0..4) {
            0 => passing("reports", json!({ "state": "open", "limit": 10 })),
            1 => passing("report.resolve", of(json!({ "outcome": "dismissed" }))),
            _ => passing("message.report", of(json!({ "reason": "spam", "comment": format!("{}", self.number) }))),
        }
    }

    /// In what messages hold beside text. Mostly they hold nothing, and one is told so.
    fn take_part(&mut self) -> Deed {
        let Some((conversation, seq)) = self.newest() else { return passing("ping", json!({})) };
        let mut data = json!({ "conversation": conversation, "seq": seq });
        match self.rng.random_range(0..4) {
            0 => {
                data["options"] = json!([self.rng.random_range(0..2)]);
                passing("poll.vote", data)
            }
            1 => passing("poll.close", data),
            2 => {
                data["location"] = json!({ "lat": 2.5, "lon": 3.5 });
                passing("location.update", data)
            }
            _ => {
                let (thread, thread_seq) = (self.rng.random_range(1..=3), self.rng.random_range(1..=3));
                let data = json!({ "conversation": conversation, "thread": thread, "thread_seq": thread_seq });
                passing("thread.read", data)
            }
        }
    }

    fn read(&mut self) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        let last_seq = self.known(&conversation).map_or(0, |place| place.last_seq).max(1);
        let seq = self.rng.random_range((last_seq - 5).max(1)..=last_seq);
        let data = json!({ "conversation": conversation, "seq": seq });
        Deed { kind: "read", data, what: What::Read { conversation, seq } }
    }

    /// One of the newest messages of a place.
    fn newest(&mut self) -> Option<(String, i64)> {
        let conversation = self.place()?;
        let last_seq = self.known(&conversation).map_or(0, |place| place.last_seq).max(1);
        Some((conversation, self.rng.random_range((last_seq - 5).max(1)..=last_seq)))
    }

    /// A message of one's own, if one has sent any.
    fn mine(&mut self) -> Option<(String, i64)> {
        let mut mine: Vec<_> = self.record.places.iter().filter(|(_, place)| !place.mine.is_empty()).collect();
        mine.sort_unstable_by_key(|(id, _)| *id);
        let (conversation, place) = mine.choose(self.rng)?;
        Some(((*conversation).clone(), *place.mine.choose(self.rng)?))
    }

    fn mark(&mut self) -> Deed {
        let Some((conversation, seq)) = self.newest() else { return passing("ping", json!({})) };
        let (kind, event) = *[
            ("reaction.add", "reaction.added"),
            ("reaction.add", "reaction.added"),
            ("reaction.remove", "reaction.removed"),
            ("message.pin", "message.pinned"),
            ("message.unpin", "message.unpinned"),
        ]
        .choose(self.rng)
        .expect("some");
        let emoji = *["👍", "🎉", ":party_parrot:"].choose(self.rng).expect("some");
        let emoji = kind.starts_with("reaction").then(|| emoji.to_owned());
        let data = json!({ "conversation": conversation, "seq": seq, "emoji": emoji });
        Deed { kind, data, what: What::Mark { conversation, kind: event, seq, emoji } }
    }

    fn edit(&mut self) -> Deed {
        let own = if self.rng.random_bool(0.9) { self.mine() } else { self.newest() };
        let Some((conversation, seq)) = own else { return passing("ping", json!({})) };
        let text = format!("edited {}", self.stage.text(self.me, self.number));
        let mut data = json!({ "conversation": conversation, "seq": seq, "text": text });
        if self.rng.random_bool(0.2) {
            data["mentions"] = json!(["here"]);
        }
        Deed { kind: "message.edit", data, what: What::Edit { conversation, seq, text } }
    }

    fn delete(&mut self) -> Deed {
        let own = if self.rng.random_bool(0.7) { self.mine() } else { self.newest() };
        let Some((conversation, seq)) = own else { return passing("ping", json!({})) };
        let everyone = self.rng.random_bool(0.7);
        let data =
            json!({ "conversation": conversation, "seq": seq, "scope": if everyone { "everyone" } else { "me" } });
        let what = if everyone { What::Delete { conversation, seq } } else { What::Hide { conversation, seq } };
        Deed { kind: "message.delete", data, what }
    }

    fn change(&mut self) -> Deed {
        let (user, role) = (self.others(1)[0].clone(), *["admin", "member", "guest"].choose(self.rng).expect("some"));
        let name = format!("{}-{}", self.me, self.number);
        let rename = self.rng.random_bool(0.5);
        let kind = if rename { "conversation.update" } else { "member.role" };
        let mut deed = self.members(kind, |conversation, _| What::Change { conversation, kind: "" });
        let What::Change { conversation, kind: event } = &mut deed.what else { return deed };
        (*event, deed.data) = if rename {
            ("conversation.updated", json!({ "conversation": conversation, "name": name }))
        } else {
            ("member.role", json!({ "conversation": conversation, "user": user, "role": role }))
        };
        deed
    }

    /// For a moment only, or there would soon be nobody left.
    fn restrict(&mut self) -> Deed {
        let until = Timestamp::now().plus(self.rng.random_range(500..4_000)).to_string();
        let (kind, event) = *[
            ("member.ban", "member.left"),
            ("member.unban", "member.unbanned"),
            ("member.mute", "member.muted"),
            ("member.unmute", "member.unmuted"),
        ]
        .choose(self.rng)
        .expect("some");
        let mut deed = self.members(kind, |conversation, _| What::Change { conversation, kind: "" });
        let What::Change { kind: made, .. } = &mut deed.what else { return deed };
        *made = event;
        deed.data["until"] = json!(until);
        deed
    }

    fn own(&mut self) -> Deed {
        let Some((conversation, seq)) = self.newest() else { return passing("ping", json!({})) };
        let (kind, data) = match self.rng.random_range(0..4) {
            0 | 1 => ("delivered", json!({ "conversation": conversation, "seq": seq })),
            2 => {
                let (pinned, archived): (bool, bool) = self.rng.random();
                let data = json!({ "conversation": conversation, "pinned": pinned, "archived": archived });
                ("conversation.settings", data)
            }
            _ => ("draft.set", json!({ "conversation": conversation, "text": format!("draft {}", self.number) })),
        };
        Deed { kind, data, what: What::Own { conversation } }
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

    /// More often taken back than not, or nobody would write with anybody.
    fn block(&mut self) -> Deed {
        let kind = *["block", "unblock", "unblock"].choose(self.rng).expect("some");
        passing(kind, json!({ "user": self.others(1)[0] }))
    }

    /// What only reads.
    fn look(&mut self) -> Deed {
        let Some(conversation) = self.place() else { return passing("ping", json!({})) };
        match self.rng.random_range(0..15) {
            6 => passing("requests", json!({ "conversation": conversation })),
            9 => passing("receipts", json!({ "conversation": conversation, "seq": 1 })),
            10 => passing("privacy", json!({})),
            11 => passing("privacy.set", json!({ "last_seen": "contacts" })),
            12 => passing("search", json!({ "text": self.stage.text(self.me, self.number / 2) })),
            13 => passing("search", json!({ "conversation": conversation, "sender": self.others(1)[0] })),
            14 => passing("inbox", json!({ "order": "id", "archived": false })),
            7 => passing("invites", json!({ "conversation": conversation })),
            8 => passing("channels", json!({ "limit": 5 })),
            4 => passing("threads", json!({ "conversation": conversation, "following": true })),
            5 => passing("message.get", json!({ "conversation": conversation, "seq": 1 })),
            0 => passing("pins", json!({ "conversation": conversation })),
            1 => passing("permissions", json!({ "conversation": conversation, "action": "send" })),
            2 => passing("blocks", json!({})),
            _ => passing("history", json!({ "conversation": conversation, "limit": 20 })),
        }
    }

    fn watch(&mut self) -> Deed {
        let kind = *["presence.watch", "presence.unwatch"].choose(self.rng).expect("some");
        passing(kind, json!({ "users": self.others(5) }))
    }
}

fn passing(kind: &'static str, data: Value) -> Deed {
    Deed { kind, data, what: What::Passing }
}
