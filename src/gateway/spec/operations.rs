//! What is asked over HTTP other than commands: a function for each handler, of the same name.

use serde_json::{Map, json};

use super::Schemas;
use super::examples::{BOB, CONVERSATION};
use super::operation::Operation;
use crate::domain::user::MAX_EXTERNAL_ID_BYTES;
use crate::domain::{ConversationId, UserId};
use crate::gateway::commands::{channels as channels_command, inbox as inbox_command, reports as reports_command};
use crate::gateway::http;
use crate::gateway::session::Welcome;
use crate::gateway::shapes::Conversation;
use crate::gateway::stream::Closed;

/// Of a user's read.
const ERRORS_OF_READS: &[u16] = &[400, 401, 403, 404, 429, 500, 503];
/// Of a command.
pub const ERRORS_OF_COMMANDS: &[u16] = &[400, 401, 403, 404, 409, 413, 429, 500, 503];
/// Of a tenant's backend.
const ERRORS_OF_BACKENDS: &[u16] = &[400, 401, 403, 404, 409, 413, 429, 500, 503];

fn of_conversation(summary: &'static str, schemas: &mut Schemas) -> Operation {
    let id = schemas.shared::<ConversationId>();
    Operation::of_user(summary).errors(ERRORS_OF_READS).named("id", id, json!(CONVERSATION))
}

/// `GET /v1/ws`.
pub fn upgrade(_: &mut Schemas) -> Operation {
    let mut operation = Operation::open("The WebSocket; see `/asyncapi.json`.").errors(&[400, 500, 503]);
    operation.responses.insert("101".into(), json!({ "description": "To the subprotocol `tidings.v1.json`." }));
    operation
}

/// What a stream of events says, for who reads the document.
const STREAM: &str = "Server-sent events without an end. The `data` of each is a frame as the WebSocket's in `/asyncapi.json`, and \
    its `event` the frame's `type`: first `hello`, then one `inbox.changed` for each conversation that changed, then `caught_up`, whose \
    cursor is its `id` too; from the beginning on every push, and `bye` last, or `close` where the client must not come back.";

/// `GET /v1/stream`.
pub fn open(schemas: &mut Schemas) -> Operation {
    let (welcome, closed) = (schemas.shared::<Welcome>(), schemas.shared::<Closed>());
    let mut frame = |name: &str, data| {
        let fields = json!({ "type": { "const": name }, "data": data });
        schemas.name(
            &format!("stream.{name}"),
            json!({
                "type": "object", "properties": fields, "required": ["type", "data"],
            }),
        )
    };
    let frames = json!({ "hello": frame("hello", welcome), "close": frame("close", closed) });
    let events = json!({ "schema": { "type": "string", "description": STREAM }, "x-frames": frames });
    Operation::of_user("What a WebSocket gets, as server-sent events; commands go over HTTP.")
        .errors(&[400, 401, 429, 500, 503])
        .query::<http::OfStream>(schemas, &json!({}))
        .header(http::LAST_EVENT_ID, "The cursor, where `cursor` is missing.")
        .text_of("text/event-stream", events)
}

/// `GET /v1/inbox`.
pub fn inbox(schemas: &mut Schemas) -> Operation {
    Operation::of_user("One's conversations, newest change first.")
        .errors(ERRORS_OF_READS)
        .query::<inbox_command::Data>(schemas, &json!({ "limit": 10 }))
        .answers_as("inbox")
}

/// `GET /v1/search`.
pub fn search(schemas: &mut Schemas) -> Operation {
    Operation::of_user("Messages of one's conversations by what was said, by whom, when and where.")
        .errors(ERRORS_OF_READS)
        // A text that is too long.
        .errors(&[413])
        .query::<http::OfSearch>(schemas, &json!({ "q": "first", "limit": 10 }))
        .answers_as("search")
}

/// `GET /v1/reports`.
pub fn reports(schemas: &mut Schemas) -> Operation {
    Operation::of_user("Messages of the tenant that members reported, for its moderators.")
        .errors(ERRORS_OF_READS)
        .query::<reports_command::Data>(schemas, &json!({ "state": "open", "limit": 10 }))
        .answers_as("reports")
}

/// `GET /v1/conversations/{id}`.
pub fn conversation(schemas: &mut Schemas) -> Operation {
    let shape = schemas.shared::<Conversation>();
    of_conversation("A conversation, as in the inbox.", schemas).json(shape)
}

/// `GET /v1/conversations/{id}/messages`.
pub fn messages(schemas: &mut Schemas) -> Operation {
    of_conversation(
        "A page of messages: newest first with `before_seq` or neither, oldest first with `after_seq`.",
        schemas,
    )
    .query::<http::OfMessages>(schemas, &json!({ "before_seq": 3, "limit": 10 }))
    .answers_as("history")
}

/// `GET /v1/conversations/{id}/messages/{seq}`.
pub fn message(schemas: &mut Schemas) -> Operation {
    let seq = json!({ "type": "integer", "minimum": 1, "description": "Which message." });
    of_conversation("One message, as a link names it.", schemas).named("seq", seq, json!(1)).answers_as("message.get")
}

/// `GET /v1/conversations/{id}/messages/{seq}/receipts`.
pub fn receipts(schemas: &mut Schemas) -> Operation {
    let seq = json!({ "type": "integer", "minimum": 1, "description": "Which message." });
    of_conversation("How many have read a message, and how many it has reached.", schemas)
        .named("seq", seq, json!(1))
        .answers_as("receipts")
}

/// `GET /v1/conversations/{id}/invites`.
pub fn invites(schemas: &mut Schemas) -> Operation {
    of_conversation("The invitations, made last first, without their links.", schemas).answers_as("invites")
}

/// `GET /v1/conversations/{id}/requests`.
pub fn requests(schemas: &mut Schemas) -> Operation {
    of_conversation("Who asks to be added.", schemas)
        .query::<http::OfRequests>(schemas, &json!({ "limit": 10 }))
        .answers_as("requests")
}

/// `GET /v1/channels`.
pub fn channels(schemas: &mut Schemas) -> Operation {
    Operation::of_user("The channels that can be joined, or asked for.")
        .errors(ERRORS_OF_READS)
        .query::<channels_command::Data>(schemas, &json!({ "text": "news", "limit": 10 }))
        .answers_as("channels")
}

/// `GET /v1/conversations/{id}/threads`.
pub fn threads(schemas: &mut Schemas) -> Operation {
    of_conversation("The threads, the one with the newest message first.", schemas)
        .query::<http::OfThreads>(schemas, &json!({ "following": true, "limit": 10 }))
        .answers_as("threads")
}

/// `GET /v1/conversations/{id}/permissions`.
pub fn permissions(schemas: &mut Schemas) -> Operation {
    of_conversation("Whether somebody may do something, and if not, why.", schemas)
        .query::<http::OfPermissions>(schemas, &json!({ "action": "send" }))
        .answers_as("permissions")
}

/// `GET /v1/conversations/{id}/pins`.
pub fn pins(schemas: &mut Schemas) -> Operation {
    of_conversation("The pinned messages, pinned last first.", schemas).answers_as("pins")
}

/// `GET /v1/conversations/{id}/events`.
pub fn events(schemas: &mut Schemas) -> Operation {
    of_conversation("The events after a position, oldest first.", schemas)
        .query::<http::OfEvents>(schemas, &json!({ "after_position": 0, "limit": 10 }))
        .answers_as("events")
}

/// `GET /v1/conversations/{id}/members`.
pub fn members(schemas: &mut Schemas) -> Operation {
    let page = schemas.shared::<http::Members>();
    of_conversation("The members, in order of their ids.", schemas)
        .query::<http::OfMembers>(schemas, &json!({ "limit": 10 }))
        .json(page)
}

/// `GET /v1/users/{id}`.
pub fn user(schemas: &mut Schemas) -> Operation {
    let (id, user) = (schemas.shared::<UserId>(), schemas.shared::<http::User>());
    Operation::of_user("A user of the tenant.").errors(ERRORS_OF_READS).named("id", id, json!(BOB)).json(user)
}

/// `PUT /v1/users/{external_id}`.
pub fn put(schemas: &mut Schemas) -> Operation {
    let (body, user) = (schemas.taken::<http::Told>(), schemas.shared::<http::Registered>());
    let id = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_EXTERNAL_ID_BYTES,
        "description": "The tenant's own name for the user.",
    });
    Operation::of_backend("Creates a user, or updates it.")
        .errors(ERRORS_OF_BACKENDS)
        .named("id", id, json!("carol"))
        .body(
            body,
            vec![
                json!({ "name": "Carol" }),
                json!({ "name": "Carol", "moderator": false }),
                json!({ "moderator": false }),
            ],
        )
        .json(user)
}

/// `POST /v1/users/{id}/tokens`.
pub fn tokens(schemas: &mut Schemas) -> Operation {
    let id = schemas.shared::<UserId>();
    let (body, token) = (schemas.taken::<http::Wanted>(), schemas.shared::<http::Token>());
    Operation::of_backend("Mints an access token of a user.")
        .errors(ERRORS_OF_BACKENDS)
        .named("id", id, json!(BOB))
        .body(body, vec![json!({}), json!({ "ttl_ms": 60_000 })])
        .json(token)
}

/// `GET /.well-known/jwks.json`.
pub fn jwks(_: &mut Schemas) -> Operation {
    let fields = ["kty", "crv", "alg", "use", "kid", "x"];
    let texts: Map<_, _> = fields.iter().map(|field| ((*field).to_owned(), json!({ "type": "string" }))).collect();
    let key = json!({ "type": "object", "properties": texts, "required": fields });
    Operation::open("The public keys of access tokens.").json(json!({
        "type": "object",
        "properties": { "keys": { "type": "array", "items": key } },
        "required": ["keys"],
    }))
}

/// `GET /livez`.
pub fn livez(_: &mut Schemas) -> Operation {
    Operation::open("Whether the process lives.").text()
}

/// `GET /readyz`.
pub fn readyz(_: &mut Schemas) -> Operation {
    Operation::open("Whether new work may come here.").text().errors(&[503])
}

/// `GET /metrics`.
pub fn metrics(_: &mut Schemas) -> Operation {
    Operation::open("Metrics, as Prometheus reads them.").text().errors(&[404])
}

/// `GET /openapi.json`.
pub fn openapi(_: &mut Schemas) -> Operation {
    Operation::open("This document.").json(json!({ "type": "object", "additionalProperties": true }))
}

/// `GET /asyncapi.json`.
pub fn asyncapi(_: &mut Schemas) -> Operation {
    Operation::open("The same of the WebSocket.").json(json!({ "type": "object", "additionalProperties": true }))
}
