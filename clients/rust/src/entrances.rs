//! How users become members by themselves: links of invitations, requests, and channels to find.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::{Commands, Placed};
use crate::error::Error;
use crate::types::nullable;

/// An invitation to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewInvite {
    /// Where.
    pub conversation: String,
    /// After how long it ends, in milliseconds; none: when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// How many may come; none: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    /// `member` or `guest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// An invitation that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InviteLink {
    /// To revoke it with.
    pub invite: String,
    /// For whoever is to come. The server tells it only here.
    pub link: String,
    /// Of its event.
    pub position: u64,
}

/// An invitation, without its link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Invite {
    /// To revoke it with.
    pub invite: String,
    /// Who made it.
    pub made_by: String,
    /// And when.
    pub made_at: String,
    /// When it ends; none: when it is revoked.
    pub expires_at: Option<String>,
    /// How many may come; none: any number.
    pub max_uses: Option<u64>,
    /// `member` or `guest`.
    pub role: String,
    /// How many came.
    pub uses: u64,
}

/// Somebody who asks to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JoinRequest {
    /// Who.
    pub user: String,
    /// Since when.
    pub at: String,
}

/// A page of those who ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RequestsPage {
    /// In order of their ids; the next page is after the last one.
    pub requests: Vec<JoinRequest>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
}

/// A channel that this user may join, or ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// `cnv_…`.
    pub conversation: String,
    /// What it is called.
    pub name: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// An address, or the id of an attachment.
    pub picture: Option<String>,
    /// How many are in it.
    pub members_count: u64,
    /// `open` or `request`.
    pub join: String,
    /// Whether this user is one already.
    #[serde(deserialize_with = "nullable")]
    pub member: bool,
}

/// A page of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ChannelsPage {
    /// In order of their ids. A page may be short, or empty, and others follow all the same.
    pub channels: Vec<Channel>,
    /// For the next page.
    pub cursor: Option<String>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
}

/// Commands by which users become members by themselves.
pub trait Entrances: Commands {
    /// Makes a link for whoever is to come.
    fn create_invite(&self, invite: &NewInvite) -> impl Future<Output = Result<InviteLink, Error>> + Send {
        self.call_as("invite.create", json!(invite))
    }

    /// Becomes a member with a link.
    fn accept_invite(&self, link: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("invite.accept", json!({"link": link}))
    }

    /// Ends an invitation: its link is of no use any more.
    fn revoke_invite(&self, conversation: &str, invite: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("invite.revoke", json!({"conversation": conversation, "invite": invite}))
    }

    /// The invitations that were not revoked, made last first.
    fn invites(&self, conversation: &str) -> impl Future<Output = Result<Vec<Invite>, Error>> + Send {
        #[derive(Deserialize)]
        struct Invites {
            invites: Vec<Invite>,
        }
        let data = json!({"conversation": conversation});
        async move { self.call_as("invites", data).await.map(|Invites { invites }| invites) }
    }

    /// Who asks to be added; users after `after`, in order of their ids.
    fn requests(
        &self,
        conversation: &str,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<RequestsPage, Error>> + Send {
        self.call_as("requests", with("after", after, json!({"conversation": conversation, "limit": limit})))
    }

    /// Refuses users who asked; adding them is `add_members`.
    fn decline(&self, conversation: &str, users: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.decline", json!({"conversation": conversation, "users": users}))
    }

    /// Channels that this user may join or ask for, whose name or topic has all words of `text`.
    fn channels(
        &self,
        text: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<ChannelsPage, Error>> + Send {
        self.call_as("channels", with("text", text, with("cursor", cursor, json!({"limit": limit}))))
    }
}

impl<C: Commands> Entrances for C {}

fn with(name: &str, value: Option<&str>, mut data: Value) -> Value {
    if let Some(value) = value {
        data[name] = json!(value);
    }
    data
}
