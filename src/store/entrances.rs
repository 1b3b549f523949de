//! Invitations, requests and open channels, as gateways read them.

use super::Store;
use super::reads::{StoreError, damaged};
use super::rows::Sealed;
use crate::domain::conversation::Invite;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// An invitation that was not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteRow {
    /// As it was made.
    pub invite: Invite,
    /// By whom.
    pub made_by: UserId,
    /// When.
    pub made_at: Timestamp,
    /// How many came.
    pub uses: i64,
}

/// A channel that anybody of the tenant may join, or ask to.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelRow {
    /// Which.
    pub conversation: ConversationId,
    /// Sealed.
    pub name: Option<Sealed>,
    /// Sealed.
    pub topic: Option<Sealed>,
    /// Sealed.
    pub picture: Option<Sealed>,
    /// Present members.
    pub members_count: i64,
    /// Whether one asks to be added.
    pub by_request: bool,
    /// Whether the reader is a member.
    pub member: bool,
}

impl Store {
    /// The invitations to a conversation, made last first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn invites(&self, conversation: ConversationId) -> Result<Vec<InviteRow>, StoreError> {
        type Columns = (String, String, i64, Option<i64>, Option<i64>, String, i64);
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT invite, made_by, made_at, expires_at, max_uses, role, uses FROM invites WHERE conversation = $1 AND NOT revoked
             ORDER BY made_at DESC, invite",
        )
        .bind(conversation.to_string())
        .fetch_all(&self.pool)
        .await?;
        let row = |(invite, made_by, made_at, expires_at, max_uses, role, uses): Columns| {
            let invite = Invite {
                invite: invite.parse().map_err(damaged("invites.invite"))?,
                expires_at: expires_at.map(Timestamp),
                max_uses,
                role: role.parse().map_err(damaged("invites.role"))?,
            };
            let made_by = made_by.parse().map_err(damaged("invites.made_by"))?;
            Ok(InviteRow { invite, made_by, made_at: Timestamp(made_at), uses })
        };
        rows.into_iter().map(row).collect()
    }

    /// The first `limit` users after `after` who ask to be added, in order of their ids, and since when.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn requests(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<(UserId, Timestamp)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT user_id, at FROM join_requests WHERE conversation = $1 AND pending AND user_id > $2 ORDER BY user_id LIMIT $3",
        )
        .bind(conversation.to_string())
        .bind(after.map(|user| user.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let row =
            |(user, at): (String, i64)| Ok((user.parse().map_err(damaged("join_requests.user_id"))?, Timestamp(at)));
        rows.into_iter().map(row).collect()
    }

    /// The first `limit` channels of a tenant after `after` that can be joined or asked for, in order of their ids, as `viewer` sees them: without
    /// those from which it is banned.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn channels(
        &self,
        tenant: TenantId,
        viewer: UserId,
        after: Option<ConversationId>,
        limit: i64,
    ) -> Result<Vec<ChannelRow>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Columns {
            conversation: String,
            name: Option<Vec<u8>>,
            name_causation: Option<String>,
            topic: Option<Vec<u8>>,
            topic_causation: Option<String>,
            picture: Option<Vec<u8>>,
            picture_causation: Option<String>,
            members_count: i64,
            by_request: bool,
            member: bool,
        }
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT c.conversation, c.name, c.name_causation, c.topic, c.topic_causation, c.picture, c.picture_causation, c.members_count,
                    COALESCE(c.join_rule = 'request', FALSE) AS by_request,
                    EXISTS (SELECT FROM members m WHERE m.conversation = c.conversation AND m.user_id = $2 AND m.left_position IS NULL) AS member
             FROM conversations c
             WHERE c.tenant = $1 AND c.kind = 'channel' AND COALESCE(c.join_rule, 'open') <> 'closed' AND c.conversation > $3
               AND NOT EXISTS (SELECT FROM restrictions r WHERE r.conversation = c.conversation AND r.user_id = $2 AND r.kind = 'ban'
                                 AND r.until > $4)
             ORDER BY c.conversation LIMIT $5",
        )
        .bind(tenant.to_string())
        .bind(viewer.to_string())
        .bind(after.map(|conversation| conversation.to_string()).unwrap_or_default())
        .bind(Timestamp::now().0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let row = |raw: Columns| {
            Ok(ChannelRow {
                conversation: raw.conversation.parse().map_err(damaged("conversations.conversation"))?,
                name: super::rows::sealed(raw.name, raw.name_causation, "conversations.name_causation")?,
                topic: super::rows::sealed(raw.topic, raw.topic_causation, "conversations.topic_causation")?,
                picture: super::rows::sealed(raw.picture, raw.picture_causation, "conversations.picture_causation")?,
                members_count: raw.members_count,
                by_request: raw.by_request,
                member: raw.member,
            })
        };
        rows.into_iter().map(row).collect()
    }
}
