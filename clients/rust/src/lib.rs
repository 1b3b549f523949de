//! A client for Tidings, written against the wire contract (protocol v1) and nothing of the server.
//!
//! Three levels, each on top of the one before:
//! - [`Socket`]: one WebSocket. Send any frame, read the next one, see the close code. For tests and tools.
//! - [`Session`]: one connection that has said `hello`. Concurrent calls with ids, and the stream of [`Events`].
//! - [`Client`]: comes back on its own, closes gaps, and sends again what was not answered. For programs.
//!
//! [`Commands`] has a typed method for each command, on a session and on a client alike.
//!
//! ```no_run
//! use tidings_client::{Client, Commands, Config, Token, Update};
//!
//! # async fn example() -> Result<(), tidings_client::Error> {
//! let config = Config::new("http://127.0.0.1:8080", Token::fixed("token"))?;
//! let (client, mut updates) = Client::start(config);
//! let created = client.create_direct("usr_2j6z5y8q4m1c7v3x9b0n5k8d2f").await?;
//! client.send_text(&created.conversation, "hello").await?;
//! while let Some(update) = updates.next().await {
//!     if let Update::Event(event) = update {
//!         println!("{} {:?}", event.kind, event.position);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
mod client;
mod commands;
mod endpoint;
mod entrances;
mod error;
mod event;
mod frame;
mod report;
mod search;
mod session;
mod socket;
mod timeline;
mod types;

pub use backoff::Backoff;
pub use client::{Client, Config, Status, Token, Update, Updates};
pub use commands::{
    Call, Commands, EventsPage, HistoryPage, InboxPage, InboxQuery, NewMessage, Placed, Sent, new_client_id,
};
pub use endpoint::Endpoint;
pub use entrances::{Channel, ChannelsPage, Entrances, Invite, InviteLink, JoinRequest, NewInvite, RequestsPage};
pub use error::{Closed, Error, ServerError};
pub use event::{Body, Event};
pub use frame::Frame;
pub use report::{Report, Reported, ReportsPage, Resolution};
pub use search::{Query, SearchPage};
pub use session::{Events, Hello, Session, Welcome};
pub use socket::Socket;
pub use timeline::Timeline;
pub use types::{
    Attachment, Conversation, Location, Member, Message, Pointers, Presence, Privacy, Reaction, Receipts, Thread,
};
