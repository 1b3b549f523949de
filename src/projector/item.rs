//! One event as projections see it: a row of the temporary table `batch`. Made from the public bytes only, so that a rebuild from the
//! public streams sees what the live view saw.

use std::fmt::Write as _;

use anyhow::Context;
use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use crate::codec::Codec;
use crate::codec::records::{ConversationEvent, MemberState, Presence, Receipt, UserEvent};
use crate::domain::conversation::{
    Located, MemberJoined, MessageEdited, MessageSent, Report, Restriction, UpdateConversation,
};
use crate::domain::{Timestamp, UserId};
use crate::log::{Fetched, topics};

/// A row of `batch`. Columns that a type does not have are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// `cnv_…`, or `usr_…` for what is of users.
    pub conversation: String,
    pub kind_of_event: String,
    pub tenant: String,
    pub position: i64,
    pub actor: String,
    pub at: i64,
    pub causation: String,
    pub epoch: i32,
    pub partition: i32,
    pub index: i64,
    pub seq: i64,
    pub last_seq: i64,
    /// The framed record.
    pub event: Option<Bytes>,
    pub client_id: Option<Uuid>,
    pub text: Option<Bytes>,
    pub reply_to: Option<i64>,
    pub thread: Option<i64>,
    pub mentions: Vec<String>,
    pub kind: Option<String>,
    pub name: Option<Bytes>,
    pub users: Vec<String>,
    pub roles: Vec<String>,
    pub role: Option<String>,
    pub first_slot: Option<i64>,
    pub promoted: Option<String>,
    pub read_seq: Option<i64>,
    pub delivered_seq: Option<i64>,
    pub external_id: Option<String>,
    pub user_name: Option<String>,
    /// What only rare types have, and sealed bytes among it in hexadecimal.
    pub body: Option<serde_json::Value>,
}

/// Postgres has no text with U+0000, and what somebody typed must not stop a partition.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Item {
    /// From a record of a public stream. None for streams and tombstones that no projection is fed from.
    ///
    /// # Errors
    /// If it cannot be decoded: the reader stops.
    pub fn public(codec: &Codec, stream: &str, value: Option<&Bytes>) -> anyhow::Result<Option<Self>> {
        let Some(value) = value else { return Ok(None) };
        let decoded = match stream {
            topics::CONVERSATION_EVENTS => codec.decode(value).map(|event| Self::conversation_event(event, value)),
            topics::RECEIPTS => codec.decode(value).map(Self::receipt),
            topics::MEMBER_STATE => codec.decode(value).map(Self::member_state),
            topics::USER_EVENTS => codec.decode(value).map(Self::user_event),
            _ => return Ok(None),
        };
        decoded.map(Some).with_context(|| format!("a record of `{stream}` cannot be decoded"))
    }

    /// From a record of `presence`: when a user was last seen, or that this is forgotten. None for everything else there.
    ///
    /// # Errors
    /// If it cannot be decoded: the reader stops.
    pub fn presence(codec: &Codec, fetched: &Fetched) -> anyhow::Result<Option<Self>> {
        let Some(value) = &fetched.value else { return Ok(Self::unseen(fetched)) };
        let presence: Presence = codec.decode(value).context("a record of `presence` cannot be decoded")?;
        if presence.session.is_some() {
            return Ok(None);
        }
        Ok(Some(Self {
            conversation: presence.user.to_string(),
            kind_of_event: "user.seen".into(),
            tenant: presence.tenant.to_string(),
            at: presence.at.0,
            partition: fetched.partition,
            index: fetched.offset,
            ..Self::default()
        }))
    }

    /// From a tombstone of `usr_…/last`.
    fn unseen(fetched: &Fetched) -> Option<Self> {
        let key = std::str::from_utf8(fetched.key.as_deref()?).ok()?;
        let user: UserId = key.strip_suffix("/last")?.parse().ok()?;
        Some(Self {
            conversation: user.to_string(),
            kind_of_event: "user.unseen".into(),
            partition: fetched.partition,
            index: fetched.offset,
            ..Self::default()
        })
    }

    fn conversation_event(event: ConversationEvent, framed: &Bytes) -> Self {
        let mut item = Self {
            conversation: event.conversation.to_string(),
            kind_of_event: storable(event.r#type),
            tenant: event.tenant.to_string(),
            position: event.position,
            actor: event.actor.to_string(),
            at: event.occurred_at.0,
            causation: event.causation.to_string(),
            epoch: event.epoch,
            partition: event.partition,
            index: event.index,
            last_seq: event.last_seq,
            event: Some(framed.clone()),
            ..Self::default()
        };
        if let Some(created) = event.conversation_created {
            item.kind = Some(created.kind.to_string());
            item.name = created.name;
            (item.users, item.roles) = created.members.iter().map(|m| (m.user.to_string(), m.role.to_string())).unzip();
        }
        if let Some(sent) = event.message_sent {
            item.sent(sent);
        }
        if let Some(MemberJoined { users, role, first_slot, read_seq, invite }) = event.member_joined {
            item.body = invite.map(|invite| json!({ "invite": invite }));
            item.users = users.iter().map(ToString::to_string).collect();
            (item.role, item.first_slot, item.read_seq) = (Some(role.to_string()), Some(first_slot), Some(read_seq));
        }
        if let Some(left) = event.member_left {
            item.users = left.users.iter().map(ToString::to_string).collect();
            item.promoted = left.promoted.map(|user| user.to_string());
            item.body = Some(json!({ "banned": left.banned, "until": Timestamp::end_of(left.until) }));
        }
        item.rare(event.message_edited, event.located, event.conversation_updated);
        if let Some(invite) = event.invite {
            item.body = Some(json!(invite));
        }
        if let Some(of) = event.of_invite {
            item.body = Some(json!(of));
        }
        if let Some(declined) = event.users {
            item.users = declined.users.iter().map(ToString::to_string).collect();
        }
        if let Some(vote) = event.vote {
            item.body = Some(json!(vote));
        }
        if let Some(deleted) = event.message_deleted {
            item.body = Some(json!({ "messages": deleted.messages }));
        }
        if let Some(reaction) = event.reaction {
            item.body = Some(json!({ "seq": reaction.seq, "emoji": storable(reaction.emoji) }));
        }
        if let Some(of) = event.message {
            item.body = Some(json!(of));
        }
        if let Some(Restriction { users, until }) = event.restriction {
            item.users = users.iter().map(ToString::to_string).collect();
            item.body = Some(json!({ "until": Timestamp::end_of(until) }));
        }
        if let Some(member) = event.member_role {
            (item.users, item.role) = (vec![member.user.to_string()], Some(member.role.to_string()));
        }
        item
    }

    fn sent(&mut self, sent: MessageSent) {
        let MessageSent { seq, client_id, text, reply_to, thread, mentions, .. } = sent;
        (self.seq, self.client_id, self.text) = (seq, Some(client_id), text);
        (self.reply_to, self.thread) = (reply_to, thread);
        self.mentions = mentions.into_iter().map(storable).collect();
        let MessageSent { thread_seq, content, forward, live_until, poll, expires_at, .. } = sent;
        let mut more = json!({
            "thread_seq": thread_seq, "content": content.map(|content| hex(&content)), "forward": forward, "live_until": live_until,
            "poll": poll, "expires_at": expires_at,
        });
        if let Some(fields) = more.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
            self.body = (!fields.is_empty()).then_some(more);
        }
    }

    /// What holds sealed content.
    fn rare(&mut self, edited: Option<MessageEdited>, located: Option<Located>, updated: Option<UpdateConversation>) {
        if let Some(Located { seq, content, live_until }) = located {
            self.body = Some(json!({ "seq": seq, "content": hex(&content), "live_until": live_until }));
        }
        if let Some(MessageEdited { seq, text, fingerprint, mentions }) = edited {
            self.text = Some(text);
            self.mentions = mentions.into_iter().map(storable).collect();
            self.body = Some(json!({ "seq": seq, "fingerprint": hex(&fingerprint) }));
        }
        if let Some(update) = updated {
            let UpdateConversation { name, topic, picture, history, join, frozen, slow_mode_ms, cleared } = update;
            self.name = name;
            let (topic, picture) = (topic.map(|topic| hex(&topic)), picture.map(|picture| hex(&picture)));
            let cleared: Vec<_> = cleared.into_iter().map(storable).collect();
            self.body = Some(json!({
                "topic": topic, "picture": picture, "history": history, "join": join, "frozen": frozen,
                "slow_mode_ms": slow_mode_ms, "cleared": cleared,
            }));
        }
    }

    fn member_state(state: MemberState) -> Self {
        let settings = state.settings.map(|settings| json!(settings));
        let report = state.report.map(|report| {
            let Report { seq, reason, comment, fingerprint, sender, opened_at } = report;
            let fingerprint = fingerprint.map(|fingerprint| hex(&fingerprint));
            let body = json!({
                "seq": seq, "reason": reason, "fingerprint": fingerprint, "sender": sender, "opened_at": opened_at,
            });
            (body, comment)
        });
        let (reported, comment) = report.map_or((None, None), |(body, comment)| (Some(body), comment));
        Self {
            conversation: state.conversation.to_string(),
            kind_of_event: storable(state.r#type),
            tenant: state.tenant.to_string(),
            actor: state.user.to_string(),
            at: state.occurred_at.0,
            causation: state.causation.to_string(),
            epoch: state.epoch,
            partition: state.partition,
            index: state.index,
            text: state.draft.and_then(|draft| draft.text).or(comment),
            body: settings
                .or_else(|| state.hidden.map(|of| json!(of)))
                .or_else(|| state.block.map(|block| json!(block)))
                .or_else(|| state.thread.map(|read| json!(read)))
                .or(reported)
                .or_else(|| state.resolution.map(|resolution| json!(resolution))),
            ..Self::default()
        }
    }

    fn receipt(receipt: Receipt) -> Self {
        Self {
            conversation: receipt.conversation.to_string(),
            kind_of_event: storable(receipt.r#type),
            tenant: receipt.tenant.to_string(),
            actor: receipt.user.to_string(),
            at: receipt.occurred_at.0,
            causation: receipt.causation.to_string(),
            epoch: receipt.epoch,
            partition: receipt.partition,
            index: receipt.index,
            read_seq: Some(receipt.read_seq),
            delivered_seq: Some(receipt.delivered_seq),
            ..Self::default()
        }
    }

    fn user_event(event: UserEvent) -> Self {
        let profile = event.user_registered.or(event.user_updated);
        let (external_id, user_name) =
            profile.map_or((None, None), |p| (Some(storable(p.external_id)), p.name.map(storable)));
        Self {
            conversation: event.user.to_string(),
            kind_of_event: storable(event.r#type),
            tenant: event.tenant.to_string(),
            position: event.position,
            actor: event.actor.to_string(),
            at: event.occurred_at.0,
            causation: event.causation.to_string(),
            epoch: event.epoch,
            partition: event.partition,
            index: event.index,
            external_id,
            user_name,
            body: (event.user_blocked.map(|of| json!(of)))
                .or_else(|| event.user_privacy.map(|privacy| json!(privacy)))
                .or_else(|| event.user_moderator.map(|moderator| json!(moderator))),
            ..Self::default()
        }
    }
}
