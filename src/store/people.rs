//! What gateways read of users and of how members stand to each other.

use std::collections::HashMap;

use super::Store;
use super::reads::{StoreError, damaged};
use crate::domain::policy::{Relation, Role};
use crate::domain::user::Privacy;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// How far the members of a conversation have got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptsRow {
    /// Present members.
    pub members: i64,
    /// Those who have read the message.
    pub read: i64,
    /// Those whom it has reached.
    pub delivered: i64,
    /// Each of them, in order of their ids; none if they are too many.
    pub users: Option<Vec<PointersRow>>,
}

/// How far a member has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointersRow {
    /// Who.
    pub user: UserId,
    /// The newest message that it has read.
    pub read_seq: i64,
    /// The newest that has reached it.
    pub delivered_seq: i64,
}

type RelationColumns = (Option<String>, Option<String>, bool, bool);

pub(super) fn privacy_of(presence: &str, last_seen: &str) -> Result<Privacy, StoreError> {
    Ok(Privacy {
        presence: presence.parse().map_err(damaged("users.presence"))?,
        last_seen: last_seen.parse().map_err(damaged("users.last_seen"))?,
    })
}

impl Store {
    /// The first `limit` present members after `after`, in order of their ids.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<(UserId, Role)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT user_id, role FROM members WHERE conversation = $1 AND left_position IS NULL AND user_id > $2 ORDER BY user_id LIMIT $3",
        )
        .bind(conversation.to_string())
        .bind(after.map(|user| user.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let parse = |(user, role): (String, String)| {
            let user = user.parse().map_err(damaged("members.user_id"))?;
            Ok((user, role.parse().map_err(damaged("members.role"))?))
        };
        rows.into_iter().map(parse).collect()
    }

    /// Of `users`, those who have blocked `user`, or whom it has blocked.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn blocked(&self, user: UserId, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let names: Vec<String> = users.iter().map(ToString::to_string).collect();
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT user_id FROM blocks WHERE user_id = ANY($2) AND blocked = $1 AND present
             UNION
             SELECT blocked FROM blocks WHERE user_id = $1 AND blocked = ANY($2) AND present",
        )
        .bind(user.to_string())
        .bind(names)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|user| user.parse().map_err(damaged("blocks.blocked"))).collect()
    }

    /// Whom `user` has blocked, after `after`, in order of their ids.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn blocks(&self, user: UserId, after: Option<UserId>, limit: i64) -> Result<Vec<UserId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT blocked FROM blocks WHERE user_id = $1 AND present AND blocked > $2 ORDER BY blocked LIMIT $3",
        )
        .bind(user.to_string())
        .bind(after.map(|user| user.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|user| user.parse().map_err(damaged("blocks.blocked"))).collect()
    }

    /// A user's name; none if there is no such user in the tenant.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn user_name(&self, tenant: TenantId, user: UserId) -> Result<Option<Option<String>>, StoreError> {
        let row: Option<(Option<String>,)> =
            sqlx::query_as("SELECT name FROM users WHERE user_id = $1 AND tenant = $2")
                .bind(user.to_string())
                .bind(tenant.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(name,)| name))
    }

    /// When each of `users` was last seen; those who never were are absent.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn last_seen(
        &self,
        tenant: TenantId,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Timestamp>, StoreError> {
        let names: Vec<String> = users.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT user_id, at FROM last_seen WHERE user_id = ANY($1) AND tenant = $2")
                .bind(names)
                .bind(tenant.to_string())
                .fetch_all(&self.pool)
                .await?;
        let parse = |(user, at): (String, i64)| {
            let user = user.parse().map_err(damaged("last_seen.user_id"))?;
            Ok((user, Timestamp(at)))
        };
        rows.into_iter().map(parse).collect()
    }

    /// For each two, to whom the second shows itself, and how the first stands to it.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn relations(&self, asked: &[(UserId, UserId)]) -> Result<Vec<(Privacy, Relation)>, StoreError> {
        let viewers: Vec<_> = asked.iter().map(|(viewer, _)| viewer.to_string()).collect();
        let users: Vec<_> = asked.iter().map(|(_, user)| user.to_string()).collect();
        let directs: Vec<_> =
            asked.iter().map(|(viewer, user)| ConversationId::direct(*viewer, *user).to_string()).collect();
        let rows: Vec<RelationColumns> = sqlx::query_as(include_str!("queries/relations.sql"))
            .bind(viewers)
            .bind(users)
            .bind(directs)
            .fetch_all(&self.pool)
            .await?;
        let relation = |((viewer, user), (presence, last_seen, contact, blocked)): (&(_, _), RelationColumns)| {
            // Who is not in the view yet has not changed anything yet.
            let privacy = match (presence, last_seen) {
                (Some(presence), Some(last_seen)) => privacy_of(&presence, &last_seen)?,
                _ => Privacy::default(),
            };
            Ok((privacy, Relation { oneself: viewer == user, contact, blocked }))
        };
        asked.iter().zip(rows).map(relation).collect()
    }

    /// To whom a user shows itself.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn privacy(&self, user: UserId) -> Result<Privacy, StoreError> {
        let row: Option<(String, String)> = sqlx::query_as("SELECT presence, last_seen FROM users WHERE user_id = $1")
            .bind(user.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map_or_else(|| Ok(Privacy::default()), |(presence, last_seen)| privacy_of(&presence, &last_seen))
    }

    /// How many members have read message `seq`, and whom it has reached; who they are if there are at most `listed`.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn receipts(
        &self,
        conversation: ConversationId,
        seq: i64,
        listed: usize,
    ) -> Result<ReceiptsRow, StoreError> {
        let (conversation, listed) = (conversation.to_string(), i64::try_from(listed).unwrap_or(i64::MAX));
        let mut snapshot = self.snapshot().await?;
        let (members, read, delivered): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE read_seq >= $2),
                    count(*) FILTER (WHERE GREATEST(read_seq, delivered_seq) >= $2)
             FROM pointers WHERE conversation = $1 AND left_position IS NULL",
        )
        .bind(&conversation)
        .bind(seq)
        .fetch_one(&mut *snapshot)
        .await?;
        let mut users = None;
        if members <= listed {
            let rows: Vec<(String, i64, i64)> = sqlx::query_as(
                "SELECT user_id, read_seq, GREATEST(read_seq, delivered_seq) FROM pointers
                 WHERE conversation = $1 AND left_position IS NULL ORDER BY user_id",
            )
            .bind(&conversation)
            .fetch_all(&mut *snapshot)
            .await?;
            let row = |(user, read_seq, delivered_seq): (String, i64, i64)| {
                let user = user.parse().map_err(damaged("pointers.user_id"))?;
                Ok(PointersRow { user, read_seq, delivered_seq })
            };
            users = Some(rows.into_iter().map(row).collect::<Result<_, StoreError>>()?);
        }
        snapshot.commit().await?;
        Ok(ReceiptsRow { members, read, delivered, users })
    }
}
