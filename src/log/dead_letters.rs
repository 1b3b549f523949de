//! What became of commands that could not be decoded.

use rdkafka::config::ClientConfig;

use super::{ReadError, read_to_end, topics};
use crate::codec::Codec;
use crate::codec::records::DeadLetter;

/// All dead letters, oldest first. One that cannot be decoded itself is reported as such.
///
/// # Errors
/// If the topic cannot be read.
pub async fn list(client: &ClientConfig, codec: &Codec) -> Result<Vec<DeadLetter>, ReadError> {
    let records = read_to_end(client, topics::DEAD_LETTERS, 0).await?;
    Ok(records
        .into_iter()
        .map(|fetched| {
            codec.decode(fetched.value.as_deref().unwrap_or_default()).unwrap_or_else(|error| DeadLetter {
                topic: topics::DEAD_LETTERS.into(),
                partition: fetched.partition,
                offset: fetched.offset,
                reason: error.to_string(),
                key: fetched.key,
                value: fetched.value,
                at: fetched.timestamp,
            })
        })
        .collect())
}
