//! Client frames: the envelope, and every command with every field, run over fakes.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{CASES, Draw, MAX_LEN};
use crate::domain::{ConversationId, ErrorCode, Id, UserId};
use crate::gateway::commands::{Command, Context};
use crate::gateway::edge::Options;
use crate::gateway::failure::Failure;
use crate::gateway::fakes::World;
use crate::gateway::frames::{ClientFrame, reply};

/// What one user may send: an id, a name or a text comes back in a message, not a page of it.
const MAX_MESSAGE_BYTES: usize = 1_024;

#[test]
fn frames() {
    let runtime = super::timeless();
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        let mut draw = Draw(input);
        let text = match draw.below(2) {
            0 => String::from_utf8_lossy(draw.rest()).into_owned(),
            _ => made_up(&mut draw),
        };
        let answer = match ClientFrame::parse(&text) {
            Err(bad) => reply(bad.id.as_str(), &Err(bad.failure)),
            Ok(frame) => {
                let id = frame.id.to_owned();
                id.reply(&Command::parse(&frame.kind, frame.data).and_then(|command| runtime.block_on(run(command))))
            }
        };
        let answer: &RawValue = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        assert!(answer.get().len() < MAX_MESSAGE_BYTES + 256, "{answer}");
    });
}

fn known() -> UserId {
    Id::from_bytes([1; 16])
}

async fn run(command: Command) -> Result<String, Failure> {
    let world = World::with(Options { command_timeout: std::time::Duration::from_millis(1), ..Options::new(8) });
    world.keys.users.insert(known(), world.tenant);
    let context = Context { tenant: world.tenant, user: known(), socket: None, reads: Arc::new(Semaphore::new(1)) };
    let result = command.run(Arc::clone(&world.edge), context).await;
    if let Err(failure) = &result {
        assert!(failure.code != ErrorCode::Internal, "{failure:?}");
        assert!(failure.message.len() < MAX_MESSAGE_BYTES, "{failure:?}");
    }
    result
}

/// Like a frame of a client that has read the protocol, or nearly.
fn made_up(draw: &mut Draw<'_>) -> String {
    const FIELDS: &[&str] = &[
        "conversation",
        "client_id",
        "text",
        "attachments",
        "reply_to",
        "thread",
        "mentions",
        "expires_in_ms",
        "location",
        "seq",
        "active",
        "kind",
        "members",
        "name",
        "users",
        "status",
        "cursor",
        "limit",
        "before_seq",
        "after_seq",
        "after_position",
        "emoji",
        "scope",
        "user",
        "role",
        "action",
        "until",
        "muted_until",
        "topic",
        "sender",
        "has",
        "after",
        "before",
        "slow_mode_ms",
        "token",
        "device_id",
        "reason",
        "comment",
        "outcome",
        "state",
    ];
    let kind = draw.one_of(Command::NAMES);
    let mut data = serde_json::Map::new();
    for _ in 0..draw.below(8) {
        let field = draw.one_of(FIELDS);
        data.insert(field.to_owned(), value(draw, field, 3));
    }
    let id = value(draw, "id", 1);
    json!({ "id": id, "type": kind, "data": data }).to_string()
}

fn value(draw: &mut Draw<'_>, field: &str, depth: usize) -> Value {
    if draw.below(4) > 0 {
        match field {
            "conversation" => return json!(ConversationId::from_bytes([draw.byte(); 16])),
            "client_id" => return json!(uuid::Uuid::now_v7()),
            "users" | "members" => {
                let count = draw.one_of(&[0, 1, 2, 12, 201, 1_001]);
                return (0..count).map(|n: u16| json!(UserId::from_bytes([n.to_le_bytes()[0]; 16]))).collect();
            }
            "kind" => return json!(draw.one_of(&["direct", "group", "channel"])),
            "has" => return json!("link"),
            "reason" => return json!(draw.one_of(&["spam", "self_harm", "other"])),
            "outcome" | "state" => return json!(draw.one_of(&["dismissed", "open", "resolved"])),
            "comment" => return json!("x".repeat(draw.one_of(&[0, 1, 1_000, 1_001]))),
            "after" | "before" => return json!("2026-11-21T16:20:00Z"),
            "user" | "sender" | "target" => return json!(UserId::from_bytes([draw.byte(); 16])),
            "emoji" => return json!(draw.one_of(&["👍", ":party_parrot:", "x", "👍👍"])),
            "scope" => return json!(draw.one_of(&["everyone", "me"])),
            "role" => return json!(draw.one_of(&["owner", "admin", "member", "guest"])),
            "action" => return json!(draw.one_of(&["send", "join", "set_role", "ban"])),
            "muted_until" | "until" => {
                return json!(draw.one_of(&["2999-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"]));
            }
            "status" => return json!(draw.one_of(&["online", "away", "invisible", "offline"])),
            "text" | "name" => return json!("x".repeat(draw.one_of(&[0, 1, 256, 257, 20_000, 20_001]))),
            _ => {}
        }
    }
    match draw.below(if depth > 0 { 8 } else { 6 }) {
        0 => Value::Null,
        1 => json!(draw.below(2) == 0),
        2 => json!(draw.number()),
        3 => json!(draw.text(64)),
        4 => json!(known()),
        5 => json!(1.5e300),
        6 => (0..draw.below(5)).map(|_| value(draw, field, depth - 1)).collect(),
        _ => json!({ draw.text(8): value(draw, "", depth - 1) }),
    }
}
