//! Fingerprints of texts: they tell that an author wrote the same text for the same message again, and nothing to who has not the data key.

use bytes::Bytes;
use ring::hmac;

use super::{KeyBytes, push_parts};
use crate::domain::ConversationId;

/// So short that even with the key it does not tell a long text.
const BYTES: usize = 16;

/// The first 16 bytes of HMAC-SHA256 over conversation (16 bytes), seq (8, big-endian) and text, each with its length as four bytes
/// big-endian. The key is HMAC-SHA256 of "fingerprint" under the author's data key, which seals and so must not sign.
pub fn fingerprint(key: &KeyBytes, conversation: ConversationId, seq: i64, text: &str) -> Bytes {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), b"fingerprint");
    let mut list = Vec::with_capacity(text.len() + 36);
    push_parts(&mut list, &[conversation.as_bytes(), &seq.to_be_bytes(), text.as_bytes()]);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), &list);
    Bytes::copy_from_slice(&tag.as_ref()[..BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_key_conversation_message_and_text() {
        let (key, place) = (KeyBytes::new([1; 32]), ConversationId::from_bytes([2; 16]));
        let one = fingerprint(&key, place, 3, "hello");
        assert_eq!(one.len(), BYTES);
        assert_eq!(one, fingerprint(&key, place, 3, "hello"));
        for other in [
            fingerprint(&KeyBytes::new([2; 32]), place, 3, "hello"),
            fingerprint(&key, ConversationId::from_bytes([3; 16]), 3, "hello"),
            fingerprint(&key, place, 4, "hello"),
            fingerprint(&key, place, 3, "hullo"),
        ] {
            assert_ne!(one, other);
        }
    }
}
