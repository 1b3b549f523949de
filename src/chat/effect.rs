//! What the model wants done, and how it went. Each effect runs in a task of its own, so the screen never waits.

use tidings_client::{
    Body, Client, Commands, Error, HistoryPage, InboxPage, Member, NewMessage, Placed, Presence, Sent,
};
use tokio::sync::mpsc;

use crate::chat::directory::Directory;

/// Messages a page.
const HISTORY_PAGE: u32 = 50;
/// Conversations a page.
const INBOX_PAGE: u32 = 100;

/// A wish of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Send {
        conversation: String,
        client_id: String,
        text: String,
    },
    Read {
        conversation: String,
        seq: u64,
    },
    Typing {
        conversation: String,
        active: bool,
    },
    History {
        conversation: String,
        before: Option<u64>,
    },
    Inbox {
        cursor: Option<String>,
    },
    Follow {
        conversation: String,
        after: u64,
    },
    Watch(String),
    Name(String),
    /// Who is in a direct conversation: its first event says it.
    Peer {
        conversation: String,
    },
    Members {
        conversation: String,
    },
    With(String),
    Create {
        name: String,
        users: Vec<String>,
    },
    Add {
        conversation: String,
        users: Vec<String>,
    },
    Remove {
        conversation: String,
        users: Vec<String>,
    },
    Leave {
        conversation: String,
    },
    Join {
        conversation: String,
    },
    Quit,
}

/// How an effect went; those without news have none.
#[derive(Debug)]
pub(crate) enum Outcome {
    Sent {
        conversation: String,
        client_id: String,
        result: Result<Sent, Error>,
    },
    History {
        conversation: String,
        before: Option<u64>,
        result: Result<HistoryPage, Error>,
    },
    Inbox(Result<InboxPage, Error>),
    Presence(Vec<Presence>),
    Name {
        user: String,
        name: Option<String>,
    },
    Peer {
        conversation: String,
        members: Vec<Member>,
    },
    Members {
        conversation: String,
        result: Result<Vec<Member>, String>,
    },
    Opened(Result<Placed, Error>),
    Left {
        conversation: String,
        result: Result<Placed, Error>,
    },
    Changed(Result<Placed, Error>),
    /// Nothing to tell, unless it failed and the user should know.
    Nothing,
}

/// Performs effects.
#[derive(Clone)]
pub(crate) struct Performer {
    pub(crate) client: Client,
    pub(crate) directory: Directory,
    pub(crate) outcomes: mpsc::Sender<Outcome>,
}

impl Performer {
    /// Starts an effect; its outcome comes later. Sends are handed over here and not in a task, to keep their order,
    /// and so is `follow`, which must be there before the history is read.
    pub(crate) async fn start(&self, effect: Effect) {
        let this = self.clone();
        match effect {
            Effect::Follow { conversation, after } => self.client.follow(&conversation, after).await,
            Effect::Send { conversation, client_id, text } => {
                let message = NewMessage { client_id: client_id.clone(), ..NewMessage::text(&conversation, &text) };
                let handed_over = self.client.submit(&message).await;
                tokio::spawn(async move {
                    let result = match handed_over {
                        Ok(answer) => answer.await,
                        Err(error) => Err(error),
                    };
                    this.tell(Outcome::Sent { conversation, client_id, result }).await;
                });
            }
            other => drop(tokio::spawn(async move { this.tell(this.perform(other).await).await })),
        }
    }

    async fn tell(&self, outcome: Outcome) {
        // Fails only when the chat is over.
        let _ = self.outcomes.send(outcome).await;
    }

    async fn perform(&self, effect: Effect) -> Outcome {
        let client = &self.client;
        match effect {
            Effect::Read { conversation, seq } => quiet(client.read(&conversation, seq).await),
            Effect::Typing { conversation, active } => quiet(client.typing(&conversation, active).await),
            Effect::History { conversation, before } => {
                let result = client.history(&conversation, before, HISTORY_PAGE).await;
                Outcome::History { conversation, before, result }
            }
            Effect::Inbox { cursor } => Outcome::Inbox(client.inbox(cursor.as_deref(), INBOX_PAGE).await),
            Effect::Watch(user) => client.watch(&[&user]).await.map_or(Outcome::Nothing, Outcome::Presence),
            Effect::Name(user) => Outcome::Name { name: self.directory.name(&user).await, user },
            Effect::Peer { conversation } => {
                let created = client.events(&conversation, 0, 1).await.unwrap_or_default();
                let members = created.events.iter().find_map(|event| match event.body() {
                    Body::ConversationCreated { members, .. } => Some(members),
                    _ => None,
                });
                Outcome::Peer { conversation, members: members.unwrap_or_default() }
            }
            Effect::Members { conversation } => {
                let result = self.directory.members(&conversation).await;
                Outcome::Members { conversation, result }
            }
            Effect::With(user) => Outcome::Opened(client.create_direct(&user).await),
            Effect::Create { name, users } => Outcome::Opened(client.create_group(&name, &strs(&users)).await),
            Effect::Join { conversation } => {
                let joined = client.join(&conversation).await;
                Outcome::Opened(joined.map(|placed| Placed { conversation, ..placed }))
            }
            Effect::Add { conversation, users } => {
                Outcome::Changed(client.add_members(&conversation, &strs(&users)).await)
            }
            Effect::Remove { conversation, users } => {
                Outcome::Changed(client.remove_members(&conversation, &strs(&users)).await)
            }
            Effect::Leave { conversation } => Outcome::Left { result: client.leave(&conversation).await, conversation },
            Effect::Send { .. } | Effect::Follow { .. } | Effect::Quit => Outcome::Nothing,
        }
    }
}

/// Read marks and typing are small things: their failure is not worth a word on the screen.
fn quiet(_: Result<(), Error>) -> Outcome {
    Outcome::Nothing
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
