//! `tidings admin dead-letters`: what could not be decoded, where it stands, and why.

use rdkafka::config::ClientConfig;

use crate::codec::Codec;
use crate::log;

/// Prints one line each, oldest first. Content is not shown.
///
/// # Errors
/// If Kafka cannot be read.
pub async fn list(client: &ClientConfig, codec: &Codec) -> anyhow::Result<()> {
    let letters = log::list_dead_letters(client, codec).await?;
    if letters.is_empty() {
        println!("no dead letters");
    }
    for letter in letters {
        let bytes = letter.value.as_ref().map_or(0, bytes::Bytes::len);
        println!(
            "{} {}/{}@{} {bytes} bytes: {}",
            letter.at, letter.topic, letter.partition, letter.offset, letter.reason
        );
    }
    Ok(())
}
