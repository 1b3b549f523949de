//! Invitations, and who asks to be added.

use std::collections::HashMap;

use sqlx::{Postgres, Transaction};

use crate::domain::conversation::{Conversation, Invitation, Invite};
use crate::domain::{ConversationId, Timestamp};
use crate::store::StoreError;
use crate::store::reads::damaged;

/// Of the conversations in `conversations`, whose ids `names` are.
pub(super) async fn load(
    snapshot: &mut Transaction<'_, Postgres>,
    names: &[String],
    conversations: &mut HashMap<ConversationId, Conversation>,
) -> Result<(), StoreError> {
    type Columns = (String, String, Option<i64>, Option<i64>, String, i64);
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT conversation, invite, expires_at, max_uses, role, uses FROM invites WHERE conversation = ANY($1) AND NOT revoked",
    )
    .bind(names)
    .fetch_all(&mut **snapshot)
    .await?;
    for (conversation, invite, expires_at, max_uses, role, uses) in rows {
        let id: ConversationId = conversation.parse().map_err(damaged("invites.conversation"))?;
        let invite = Invite {
            invite: invite.parse().map_err(damaged("invites.invite"))?,
            expires_at: expires_at.map(Timestamp),
            max_uses,
            role: role.parse().map_err(damaged("invites.role"))?,
        };
        if let Some(conversation) = conversations.get_mut(&id) {
            conversation.invites.insert(invite.invite, Invitation { invite, uses });
        }
    }
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT conversation, user_id FROM join_requests WHERE conversation = ANY($1) AND pending")
            .bind(names)
            .fetch_all(&mut **snapshot)
            .await?;
    for (conversation, user) in rows {
        let id: ConversationId = conversation.parse().map_err(damaged("join_requests.conversation"))?;
        if let Some(conversation) = conversations.get_mut(&id) {
            conversation.requests.insert(user.parse().map_err(damaged("join_requests.user_id"))?);
        }
    }
    Ok(())
}
