//! What the server sends unasked: a line each.

use serde_json::{Value, json};

use super::Schemas;
use crate::domain::conversation::InThread;
use crate::domain::user::Privacy;
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::closing::Bye;
use crate::gateway::session::CaughtUp;
use crate::gateway::shapes::{Conversation, Hidden, Pointer, Presence, PresentMessage, Typing, data};

/// A push.
pub struct Push {
    /// Its schema's name in the documents.
    pub name: &'static str,
    about: &'static str,
    kind: Kind,
    data: fn(&mut Schemas) -> Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a conversation, with a position: `events` lists it too.
    Durable,
    /// Of a conversation, shown and forgotten.
    Passing,
    /// Of the user or the socket.
    Own,
}

use Kind::{Durable, Own, Passing};

const fn push(name: &'static str, kind: Kind, data: fn(&mut Schemas) -> Value, about: &'static str) -> Push {
    Push { name, about, kind, data }
}

/// All of them. The name is `push.` and the `type` of the frame.
const PUSHES: &[Push] = &[
    push("push.message.sent", Durable, Schemas::shared::<PresentMessage>, "A message."),
    push("push.message.edited", Durable, Schemas::shared::<data::Edited>, "A message has another text."),
    push("push.message.deleted", Durable, Schemas::shared::<data::Deleted>, "Messages are no more."),
    push("push.message.pinned", Durable, Schemas::shared::<data::OfMessage>, "A message is pinned."),
    push("push.message.unpinned", Durable, Schemas::shared::<data::OfMessage>, "A message is pinned no more."),
    push("push.reaction.added", Durable, Schemas::shared::<data::Reaction>, "The actor reacted."),
    push("push.reaction.removed", Durable, Schemas::shared::<data::Reaction>, "The actor took its reaction back."),
    push("push.location.updated", Durable, Schemas::shared::<data::Moved>, "A live location moved."),
    push("push.poll.voted", Durable, Schemas::shared::<data::Vote>, "The actor voted, or took its vote back."),
    push("push.poll.closed", Durable, Schemas::shared::<data::OfMessage>, "A poll has ended."),
    push("push.conversation.created", Durable, Schemas::shared::<data::Created>, "The first event of a conversation."),
    push("push.conversation.updated", Durable, Schemas::shared::<data::Updated>, "What changed of a conversation."),
    push("push.member.joined", Durable, Schemas::shared::<data::Joined>, "New members."),
    push("push.invite.created", Durable, Schemas::shared::<data::Invited>, "Whoever has the link may come."),
    push("push.invite.revoked", Durable, Schemas::shared::<data::OfInvite>, "The link is of no use any more."),
    push("push.member.requested", Durable, Schemas::shared::<data::OfUsers>, "The actor asks to be added."),
    push("push.member.declined", Durable, Schemas::shared::<data::OfUsers>, "Users who asked are not added."),
    push("push.member.left", Durable, Schemas::shared::<data::Left>, "Memberships ended, or users were banned."),
    push("push.member.role", Durable, Schemas::shared::<data::MemberRole>, "A member has another role."),
    push("push.member.muted", Durable, Schemas::shared::<data::Restricted>, "Members may only read."),
    push("push.member.unmuted", Durable, Schemas::shared::<data::Restricted>, "Members may write again."),
    push("push.member.unbanned", Durable, Schemas::shared::<data::Restricted>, "Users may come back."),
    push(
        "push.message.hidden",
        Passing,
        Schemas::shared::<Hidden>,
        "One removed messages for oneself, on another device.",
    ),
    push("push.thread.read", Passing, Schemas::shared::<InThread>, "One has read a thread, on another device."),
    push("push.receipt.read", Passing, Schemas::shared::<Pointer>, "A member has read up to a message."),
    push("push.receipt.delivered", Passing, Schemas::shared::<Pointer>, "Messages have reached a device of a member."),
    push("push.typing", Passing, Schemas::shared::<Typing>, "A member types, or has stopped."),
    push("push.presence", Own, Schemas::shared::<Presence>, "A watched user is there, or is not."),
    push("push.privacy.changed", Own, Schemas::shared::<Privacy>, "To whom one shows oneself, changed on any device."),
    push("push.inbox.changed", Own, Schemas::shared::<Conversation>, "How a conversation looks now, to the user."),
    push("push.caught_up", Own, Schemas::shared::<CaughtUp>, "Whatever happened before has been sent."),
    push("push.bye", Own, Schemas::shared::<Bye>, "The server closes the socket; come back later."),
];

impl Push {
    /// The `type` of the frame.
    fn r#type(&self) -> &'static str {
        self.name.strip_prefix("push.").unwrap_or(self.name)
    }

    fn frame(&self, schemas: &mut Schemas) -> Value {
        let mut fields = json!({ "type": { "const": self.r#type() }, "data": (self.data)(schemas) });
        if self.kind != Own {
            fields["conversation"] = schemas.shared::<ConversationId>();
        }
        if self.kind == Durable {
            fields["position"] = json!({
                "type": "integer",
                "minimum": 1,
                "description": "The number of the event in its conversation, without a gap.",
            });
            fields["at"] = schemas.shared::<Timestamp>();
            fields["actor"] = schemas.shared::<UserId>();
        }
        let required: Vec<_> = fields.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect();
        json!({ "type": "object", "description": self.about, "properties": fields, "required": required })
    }
}

/// Those that `events` lists too.
pub fn durable() -> impl Iterator<Item = &'static Push> {
    PUSHES.iter().filter(|push| push.kind == Durable)
}

/// Keeps the schemas of all frames: what each is called, what it is for, and where its schema is.
pub(super) fn described(schemas: &mut Schemas) -> Vec<(&'static str, &'static str, Value)> {
    let describe = |push: &'static Push| {
        let frame = push.frame(schemas);
        (push.name, push.about, schemas.name(push.name, frame))
    };
    PUSHES.iter().map(describe).collect()
}
