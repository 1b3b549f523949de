//! Hashes of what can be searched for: they tell that two messages of a conversation share a word, to who has them, and which word, to who
//! has the key.

use std::fmt;

use ring::hmac;

use super::KeyBytes;
use crate::domain::ConversationId;

/// Of a hash, those that are the conversation's.
const PLACE_BYTES: usize = 3;

/// The key under which terms are hashed. The same for ever, or what is stored would have to be made anew.
#[derive(Clone)]
pub struct TermKey(hmac::Key);

impl TermKey {
    pub(super) fn new(key: &KeyBytes) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// A hash of each of `terms` in `conversation`: 3 bytes that are the conversation's and 5 that are the term's there, big-endian, each
    /// the first of an HMAC-SHA256, over the conversation (16 bytes), and over the conversation and the term. So the same word has another
    /// hash in each conversation, and those of one conversation stand side by side in an index: what is said where much is said touches
    /// few of its pages. 64 bits are few enough to collide, 40 even more so: who finds something by its hash looks at the text, too.
    pub fn hashes<T: AsRef<[u8]>>(&self, conversation: ConversationId, terms: impl IntoIterator<Item = T>) -> Vec<i64> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(conversation.as_bytes());
        let place = context.clone().sign();
        let hash = |term: T| {
            let mut context = context.clone();
            context.update(term.as_ref());
            let tag = context.sign();
            let mut both = [0; 8];
            both[..PLACE_BYTES].copy_from_slice(&place.as_ref()[..PLACE_BYTES]);
            both[PLACE_BYTES..].copy_from_slice(&tag.as_ref()[..8 - PLACE_BYTES]);
            i64::from_be_bytes(both)
        };
        terms.into_iter().map(hash).collect()
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

    fn hash(key: u8, conversation: u8, term: &str) -> i64 {
        let key = TermKey::new(&KeyBytes::new([key; 32]));
        key.hashes(ConversationId::from_bytes([conversation; 16]), [term])[0]
    }

    #[test]
    fn a_hash_is_of_key_conversation_and_term() {
        let one = hash(1, 2, "wpier");
        assert_eq!(one, hash(1, 2, "wpier"));
        for other in [hash(3, 2, "wpier"), hash(1, 3, "wpier"), hash(1, 2, "wpeer")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn those_of_a_conversation_stand_side_by_side() {
        let place = |hash: i64| hash >> 40;
        assert_eq!(place(hash(1, 2, "wpier")), place(hash(1, 2, "wpeer")));
        assert_ne!(place(hash(1, 2, "wpier")), place(hash(1, 3, "wpier")));
        assert_ne!(place(hash(1, 2, "wpier")), place(hash(3, 2, "wpier")), "it is a hash, too");
    }
}
