//! A batch of events into the views: staged as rows of the temporary table `batch`, then each projection's SQL, wave by wave.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{AssertSqlSafe, PgConnection};

use super::catalog::Projection;
use super::item::Item;
use crate::log::journal::Head;
use crate::store::LIVE;

/// The rows live as long as the transaction, the table as long as the connection.
const STAGE: &str = "
    CREATE TEMP TABLE IF NOT EXISTS batch (
        wave INT NOT NULL, conversation TEXT NOT NULL, type TEXT NOT NULL, tenant TEXT NOT NULL, position BIGINT NOT NULL,
        actor TEXT NOT NULL, at BIGINT NOT NULL, causation TEXT NOT NULL, epoch INT NOT NULL, partition INT NOT NULL,
        index BIGINT NOT NULL, seq BIGINT NOT NULL, last_seq BIGINT NOT NULL, event BYTEA, client_id UUID, text BYTEA, reply_to BIGINT,
        thread BIGINT, mentions TEXT[] NOT NULL, kind TEXT, name BYTEA, users TEXT[] NOT NULL, roles TEXT[] NOT NULL,
        role TEXT, first_slot BIGINT, promoted TEXT, read_seq BIGINT, delivered_seq BIGINT, external_id TEXT, user_name TEXT, body JSONB
    ) ON COMMIT DELETE ROWS";

/// A batch before it in the same transaction is done with. Lists travel as JSON: Postgres has no arrays of arrays of different lengths.
const FILL: &str = "
    WITH emptied AS (DELETE FROM batch)
    INSERT INTO batch
    SELECT wave, conversation, type, tenant, position, actor, at, causation, epoch, partition, index, seq, last_seq, event,
           client_id, text, reply_to, thread, ARRAY(SELECT jsonb_array_elements_text(mentions)), kind, name,
           ARRAY(SELECT jsonb_array_elements_text(users)), ARRAY(SELECT jsonb_array_elements_text(roles)), role, first_slot,
           promoted, read_seq, delivered_seq, external_id, user_name, body
    FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::int[],
                $10::int[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[], $15::uuid[], $16::bytea[], $17::bigint[],
                $18::bigint[], $19::jsonb[], $20::text[], $21::bytea[], $22::jsonb[], $23::jsonb[], $24::text[], $25::bigint[],
                $26::text[], $27::bigint[], $28::bigint[], $29::text[], $30::text[], $31::jsonb[])
         AS b (wave, conversation, type, tenant, position, actor, at, causation, epoch, partition, index, seq, last_seq, event,
               client_id, text, reply_to, thread, mentions, kind, name, users, roles, role, first_slot, promoted, read_seq,
               delivered_seq, external_id, user_name, body)";

/// Makes `batch`, unless this connection has it.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // `IF NOT EXISTS` alone would bring a notice each time.
    let there =
        sqlx::query_scalar("SELECT to_regclass('pg_temp.batch') IS NOT NULL").fetch_one(&mut *connection).await?;
    if there {
        return Ok(());
    }
    sqlx::query(STAGE).execute(connection).await.map(drop)
}

/// The wave of each item. A conversation's next event goes into a later one when some projection has another file for it than for one
/// that is in the wave already, so that within a wave the order of files does not matter. A wave has one epoch of a conversation.
fn waves(projections: &[&Projection], items: &[Item]) -> Vec<i32> {
    struct Current<'a> {
        wave: i32,
        epoch: i32,
        kinds: Vec<&'a str>,
    }
    let mut current: HashMap<&str, Current<'_>> = HashMap::new();
    let fits = |now: &Current<'_>, item: &Item| {
        let kind = item.kind_of_event.as_str();
        now.epoch == item.epoch && now.kinds.iter().all(|other| *other == kind || commute(projections, other, kind))
    };
    let wave = |item| {
        let Item { conversation, kind_of_event, epoch, .. }: &Item = item;
        let now = current.entry(conversation).or_insert(Current { wave: 0, epoch: *epoch, kinds: Vec::new() });
        if !fits(now, item) {
            *now = Current { wave: now.wave + 1, epoch: *epoch, kinds: Vec::new() };
        }
        if !now.kinds.contains(&kind_of_event.as_str()) {
            now.kinds.push(kind_of_event);
        }
        now.wave
    };
    items.iter().map(wave).collect()
}

/// Whether no projection has different files for the two types.
fn commute(projections: &[&Projection], one: &str, other: &str) -> bool {
    projections.iter().all(|projection| match (projection.file(one), projection.file(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    })
}

/// Applies `items`, in the order of their index, to `projections`. In the caller's transaction.
///
/// # Errors
/// If Postgres fails.
pub async fn apply(
    connection: &mut PgConnection,
    projections: &[&Projection],
    items: &[Item],
) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let waves = waves(projections, items);
    prepare(connection).await?;
    fill(connection, items, &waves).await?;
    let mut types: BTreeMap<i32, BTreeSet<&str>> = BTreeMap::new();
    for (item, wave) in items.iter().zip(&waves) {
        types.entry(*wave).or_default().insert(&item.kind_of_event);
    }
    for (wave, types) in types {
        for projection in projections {
            // A file of several types takes them all at once.
            let mut files: Vec<_> = types.iter().filter_map(|kind| projection.file(kind)).collect();
            files.sort_unstable();
            files.dedup();
            for sql in files.into_iter().chain(projection.any()) {
                sqlx::query(AssertSqlSafe(sql)).bind(wave).execute(&mut *connection).await?;
            }
        }
    }
    Ok(())
}

async fn fill(connection: &mut PgConnection, items: &[Item], waves: &[i32]) -> Result<(), sqlx::Error> {
    fn column<'a, T: 'a>(items: &'a [Item], value: impl Fn(&'a Item) -> T) -> Vec<T> {
        items.iter().map(value).collect()
    }
    let list = |value: &dyn Fn(&Item) -> &Vec<String>| -> Vec<serde_json::Value> {
        items.iter().map(|i| value(i).clone().into()).collect()
    };
    let bytes = |value: Option<&bytes::Bytes>| value.map(|bytes| bytes.to_vec());
    sqlx::query(FILL)
        .bind(waves)
        .bind(column(items, |i| i.conversation.as_str()))
        .bind(column(items, |i| i.kind_of_event.as_str()))
        .bind(column(items, |i| i.tenant.as_str()))
        .bind(column(items, |i| i.position))
        .bind(column(items, |i| i.actor.as_str()))
        .bind(column(items, |i| i.at))
        .bind(column(items, |i| i.causation.as_str()))
        .bind(column(items, |i| i.epoch))
        .bind(column(items, |i| i.partition))
        .bind(column(items, |i| i.index))
        .bind(column(items, |i| i.seq))
        .bind(column(items, |i| i.last_seq))
        .bind(column(items, |i| bytes(i.event.as_ref())))
        .bind(column(items, |i| i.client_id))
        .bind(column(items, |i| bytes(i.text.as_ref())))
        .bind(column(items, |i| i.reply_to))
        .bind(column(items, |i| i.thread))
        .bind(list(&|i| &i.mentions))
        .bind(column(items, |i| i.kind.as_deref()))
        .bind(column(items, |i| bytes(i.name.as_ref())))
        .bind(list(&|i| &i.users))
        .bind(list(&|i| &i.roles))
        .bind(column(items, |i| i.role.as_deref()))
        .bind(column(items, |i| i.first_slot))
        .bind(column(items, |i| i.promoted.as_deref()))
        .bind(column(items, |i| i.read_seq))
        .bind(column(items, |i| i.delivered_seq))
        .bind(column(items, |i| i.external_id.as_deref()))
        .bind(column(items, |i| i.user_name.as_deref()))
        .bind(column(items, |i| i.body.as_ref()))
        .execute(connection)
        .await
        .map(drop)
}

/// Moves the live checkpoint on, if it is still where the batch began. Whether it was: if not, another projector is ahead, and the batch
/// must not be applied. To be called first in the transaction: who has the checkpoint's lock needs no other to finish, so a zombie
/// waits here without holding rows, and so does everybody while a rebuilt version is switched to.
///
/// # Errors
/// If Postgres fails.
pub async fn advance(
    connection: &mut PgConnection,
    source: &str,
    partition: i32,
    from: i64,
    to: Head,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO checkpoints AS c (version, source, partition, epoch, next_offset, head, head_offset, index, cause_offset)
         SELECT $1, $2, $3, $5, $6, $7, $8, $9, $10
         WHERE $4 = 0 OR EXISTS (SELECT FROM checkpoints WHERE version = $1 AND source = $2 AND partition = $3)
         ON CONFLICT (version, source, partition) DO UPDATE
         SET epoch = EXCLUDED.epoch, next_offset = EXCLUDED.next_offset, head = EXCLUDED.head, head_offset = EXCLUDED.head_offset,
             index = EXCLUDED.index, cause_offset = EXCLUDED.cause_offset
         WHERE c.next_offset = $4",
    )
    .bind(LIVE)
    .bind(source)
    .bind(partition)
    .bind(from)
    .bind(to.epoch)
    .bind(to.next_offset)
    .bind(to.id.to_string())
    .bind(to.offset)
    .bind(to.index)
    .bind(to.cause_offset)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::topics;
    use crate::projector::catalog;

    fn waves_of(kinds: &[(&str, &str, i32)]) -> Vec<i32> {
        let item = |(conversation, kind, epoch): &(&str, &str, i32)| Item {
            conversation: (*conversation).into(),
            kind_of_event: (*kind).into(),
            epoch: *epoch,
            ..Item::default()
        };
        waves(&catalog::of_source(topics::CONVERSATION_JOURNAL), &kinds.iter().map(item).collect::<Vec<_>>())
    }

    #[test]
    fn a_chat_is_one_wave() {
        let chat =
            [("a", "message.sent", 0), ("a", "receipt.read", 0), ("b", "message.sent", 0), ("a", "message.sent", 0)];
        assert_eq!(waves_of(&chat), [0, 0, 0, 0]);
    }

    #[test]
    fn a_conversations_wave_rises_where_the_order_matters() {
        let kinds =
            ["conversation.created", "message.sent", "member.joined", "later.invention", "member.left", "message.sent"];
        assert_eq!(waves_of(&kinds.map(|kind| ("a", kind, 0))), [0, 1, 2, 2, 3, 4]);
        assert_eq!(waves_of(&[("a", "message.sent", 0), ("b", "member.left", 0), ("a", "message.sent", 1)]), [0, 0, 1]);
    }
}
