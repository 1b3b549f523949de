//! AsyncAPI 3.0 of the WebSocket.

use serde_json::{Map, Value, json};

use super::{Described, Schemas, info, pushes};
use crate::gateway::closing::Closing;
use crate::gateway::commands::Command;
use crate::gateway::failure::Error;
use crate::gateway::frames::MAX_ID_BYTES;
use crate::gateway::session::Welcome;
use crate::gateway::socket::{ABOUT_HELLO, Hello};

const ABOUT: &str = "One JSON object a text frame. A client frame carries an `id`, which comes back in the one reply to it, \
    `ok` or `error`. What the server sends unasked has no `id`. Clients ignore fields and event types that they do not know.";

/// The document. Its operations are the server's: it receives client frames and sends pushes.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    let pushes = pushes::described(&mut schemas);
    let hello = Described::new::<Hello, Welcome>("hello", &ABOUT_HELLO, &mut schemas);
    let commands: Vec<_> = std::iter::once(hello).chain(Command::described(&mut schemas)).collect();
    let (mut messages, mut operations) = (Map::new(), Map::new());
    let error = schemas.shared::<Error<'_>>();
    messages.insert("error".into(), reply("error", error));
    for command in commands {
        let (name, answer) = (command.name, format!("{}.ok", command.name));
        operations.insert(
            name.into(),
            json!({
                "action": "receive",
                "channel": { "$ref": "#/channels/socket" },
                "summary": command.about.summary,
                "messages": [of_channel(name)],
                "reply": {
                    "channel": { "$ref": "#/channels/socket" },
                    "messages": [of_channel(&answer), of_channel("error")],
                },
            }),
        );
        messages.insert(answer, reply("ok", command.answer.clone()));
        messages.insert(name.into(), asked(command));
    }
    let mut sent = Vec::new();
    for (name, about, frame) in pushes {
        sent.push(of_channel(name));
        messages.insert(name.into(), json!({ "summary": about, "payload": frame }));
    }
    operations.insert(
        "push".into(),
        json!({
            "action": "send",
            "channel": { "$ref": "#/channels/socket" },
            "summary": "What the server sends unasked.",
            "messages": sent,
        }),
    );
    let known = |name: &String| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }));
    let of_socket: Map<_, _> = messages.keys().map(known).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": info("Tidings over WebSocket", ABOUT),
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/v1/ws",
                "description": closings(),
                "messages": of_socket,
                "bindings": { "ws": { "method": "GET" } },
                "x-subprotocol": "tidings.v1.json",
                "x-close-codes": close_codes(),
            },
        },
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas.into_components() },
    })
}

fn of_channel(message: &str) -> Value {
    json!({ "$ref": format!("#/channels/socket/messages/{message}") })
}

fn asked(command: Described) -> Value {
    let frame = |data| json!({ "id": 7, "type": command.name, "data": data });
    let examples = command.about.examples().into_iter().map(|data| json!({ "payload": frame(data) }));
    json!({
        "summary": command.about.summary,
        "correlationId": { "location": "$message.payload#/id" },
        "payload": {
            "type": "object",
            "properties": { "id": id(), "type": { "const": command.name }, "data": command.data },
            "required": ["id", "type"],
        },
        "examples": examples.collect::<Vec<_>>(),
    })
}

fn reply(kind: &str, data: Value) -> Value {
    let mut id = id();
    // Of a frame whose id could not be read.
    if kind == "error" {
        id = json!({ "anyOf": [id, { "type": "null" }] });
    }
    json!({
        "correlationId": { "location": "$message.payload#/id" },
        "payload": {
            "type": "object",
            "properties": { "id": id, "type": { "const": kind }, "data": data },
            "required": ["id", "type", "data"],
        },
    })
}

fn id() -> Value {
    json!({ "type": ["number", "string"], "maxLength": MAX_ID_BYTES, "description": "Comes back as it was written." })
}

fn close_codes() -> Vec<Value> {
    let described = |closing: &Closing| {
        let (code, reason) = (closing.code(), closing.reason());
        json!({ "code": code, "reason": reason, "reconnect_after_ms": closing.reconnect() })
    };
    Closing::ALL.iter().map(described).collect()
}

fn closings() -> String {
    let each = Closing::ALL.iter().map(|closing| format!("{} {}", closing.code(), closing.reason()));
    format!(
        "Upgrade with the subprotocol `tidings.v1.json`. Close codes 4000–4499 mean: come back after a wait between the two of \
        `reconnect_after_ms`, chosen by chance. 4500–4999 mean: do not, as you are. {}.",
        each.collect::<Vec<_>>().join(", ")
    )
}
