//! What the examples speak of: Ada, who reads them, owns a group with Bob; Carol is nobody there.

use serde_json::{Value, json};
use tidings::domain::Timestamp;
use tidings::gateway::spec::examples;
use uuid::Uuid;

use crate::support::spec::documents;
use crate::support::{Account, Person, Stack};

/// New people, with sockets.
pub struct Stage {
    pub stack: &'static Stack,
    pub ada: Account,
    pub bob: Account,
    pub carol: Account,
    pub a: Person,
    /// Ada's other device.
    pub a2: Person,
    pub b: Person,
    /// Of Ada and Bob, with the messages of [`examples::CONVERSATION`].
    pub group: String,
    /// An invitation to it.
    pub invite: Value,
}

impl Stage {
    pub async fn new() -> Self {
        let stack = Stack::shared().await;
        let (ada, bob, carol) = tokio::join!(stack.account("Ada"), stack.account("Bob"), stack.account("Carol"));
        let ((mut a, _), (a2, _), (mut b, _)) = tokio::join!(
            Person::online(&stack.address, &ada, None),
            Person::online(&stack.address, &ada, None),
            Person::online(&stack.address, &bob, None),
        );
        // Who reads the examples moderates the tenant, too.
        stack.moderates(&ada, true).await;
        let (group, invite) = group(&mut a, &mut b, &bob).await;
        Self { stack, ada, bob, carol, a, a2, b, group, invite }
    }

    /// Another group of the two.
    pub async fn renew(&mut self) {
        (self.group, self.invite) = group(&mut self.a, &mut self.b, &self.bob).await;
    }

    /// `example` with what lives here.
    pub fn live(&self, example: &Value) -> Value {
        let text = example.to_string();
        let of_invite = |field: &str| self.invite[field].as_str().expect("a text");
        // The link has the conversation in it.
        let text = text.replace(examples::LINK, of_invite("link")).replace(examples::INVITE, of_invite("invite"));
        let text = text.replace(examples::CONVERSATION, &self.group).replace(examples::BOB, &self.bob.user);
        let text = text.replace(examples::CAROL, &self.carol.user).replace(examples::TOKEN, &self.ada.token);
        let text = text.replace(examples::CLIENT_ID, &Uuid::now_v7().to_string()).replace(examples::SOON, &soon());
        serde_json::from_str(&text).expect("JSON")
    }
}

/// In an hour.
pub fn soon() -> String {
    Timestamp::now().plus(3_600_000).to_string()
}

async fn group(a: &mut Person, b: &mut Person, bob: &Account) -> (String, Value) {
    let group = a.group(&[bob], "Team").await;
    for (by_ada, mut said) in [
        (true, json!({ "text": "first" })),
        (false, json!({ "text": "second" })),
        (true, json!({ "location": { "lat": 47.0, "lon": 8.0, "live_until": soon() } })),
        (true, json!({ "poll": { "question": "When?", "options": ["Friday", "Saturday"] } })),
        (false, json!({ "text": "first!", "thread": 1 })),
    ] {
        said["conversation"] = json!(group);
        said["client_id"] = json!(Uuid::now_v7());
        let person = if by_ada { &mut *a } else { &mut *b };
        person.ok("message.send", said).await;
    }
    a.ok("message.report", json!({ "conversation": group, "seq": 2, "reason": "spam" })).await;
    let invite = a.ok("invite.create", json!({ "conversation": group })).await;
    (group, invite)
}

/// A command as the document of sockets describes it.
pub struct Asked {
    pub name: String,
    /// The schema of its `data`.
    pub schema: Value,
    /// Of its `data`.
    pub examples: Vec<Value>,
}

/// All commands but `hello`.
pub fn commands() -> Vec<Asked> {
    frames().into_iter().filter(|frame| frame.name != "hello").collect()
}

/// All client frames.
pub fn frames() -> Vec<Asked> {
    let document = &documents().asyncapi;
    let operations = document["operations"].as_object().expect("operations");
    let names = operations.iter().filter(|(_, operation)| operation["action"] == "receive").map(|(name, _)| name);
    let asked = |name: &String| {
        let message = &document["components"]["messages"][name];
        let schema = document["components"]["schemas"][format!("{name}.data")].clone();
        let examples = message["examples"].as_array().expect("examples");
        let examples = examples.iter().map(|example| example["payload"]["data"].clone()).collect();
        Asked { name: name.clone(), schema, examples }
    };
    names.map(asked).collect()
}

/// Whether HTTP has it too.
pub fn is_of_http(command: &str) -> bool {
    let operation = &documents().openapi["paths"][format!("/v1/commands/{command}")]["post"];
    assert!(operation.is_object(), "{command} is not in the document of HTTP");
    operation["responses"]["200"].is_object()
}
