//! Hashes of what can be searched for: they tell that two messages of a conversation share a word, to who has them, and which word, to who
//! has the key.

use std::fmt;

use ring::hmac;

use super::KeyBytes;
use crate::domain::ConversationId;

/// The key under which terms are hashed. The same for ever, or what is stored would have to be made anew.
#[derive(Clone)]
pub struct TermKey(hmac::Key);

impl TermKey {
    pub(super) fn new(key: &KeyBytes) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// The first 8 bytes, big-endian, of HMAC-SHA256 over the conversation (16 bytes) and the term. So the same word has another hash in
    /// each conversation. 64 bits are few enough to collide: who finds something by its hash looks at the text, too.
    pub fn hash(&self, conversation: ConversationId, term: &[u8]) -> i64 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(conversation.as_bytes());
        context.update(term);
        let tag = context.sign();
        let mut first = [0; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        i64::from_be_bytes(first)
    }
}

impl fmt::Debug for TermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TermKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_key_conversation_and_term() {
        let (key, place) = (TermKey::new(&KeyBytes::new([1; 32])), ConversationId::from_bytes([2; 16]));
        let one = key.hash(place, b"wpier");
        assert_eq!(one, TermKey::new(&KeyBytes::new([1; 32])).hash(place, b"wpier"));
        for other in [
            TermKey::new(&KeyBytes::new([3; 32])).hash(place, b"wpier"),
            key.hash(ConversationId::from_bytes([3; 16]), b"wpier"),
            key.hash(place, b"wpeer"),
        ] {
            assert_ne!(one, other);
        }
    }
}
