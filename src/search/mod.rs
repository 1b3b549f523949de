//! What of a message can be searched for: shared by who indexes and who asks, so that both cut texts in the same way. No I/O.
//!
//! Nothing here is a hash: [`crate::crypto::TermKey`] makes one of a [`Term`], and only that is stored. Decision 010 says why texts are cut
//! like this.

mod fold;
mod words;

pub use words::{MAX_TERMS, Words};

use crate::domain::UserId;

/// One thing by which messages are found, in one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// A folded word; or a sign, or two that stand together, of a script without spaces.
    Word(String),
    /// Who sent it.
    Sender(UserId),
    /// It has a link.
    Link,
    /// Every message has this one: for searches by date alone.
    Message,
}

impl Term {
    /// What is hashed. Different terms have different bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Word(word) => [b"w", word.as_bytes()].concat(),
            Self::Sender(user) => [&b"s"[..], user.as_bytes()].concat(),
            Self::Link => b"l".to_vec(),
            Self::Message => b"m".to_vec(),
        }
    }

    /// All of a message, each once.
    pub fn of_message(sender: UserId, text: Option<&str>) -> Vec<Self> {
        let mut terms = vec![Self::Message, Self::Sender(sender)];
        let Some(text) = text else { return terms };
        if has_link(text) {
            terms.push(Self::Link);
        }
        terms.extend(Words::of(text).terms().into_iter().map(Self::Word));
        terms
    }
}

/// Whether a text has an address of the web.
pub fn has_link(text: &str) -> bool {
    text.split_whitespace().any(|token| {
        let token = token.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        ["https://", "http://", "www."].iter().any(|start| token.len() > start.len() && token.starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_each_of_its_terms_once() {
        let ada = UserId::from_bytes([1; 16]);
        let word = |word: &str| Term::Word(word.to_owned());
        let terms = Term::of_message(ada, Some("See See https://example.org"));
        let expected = ["see", "https", "example", "org"].map(word);
        assert_eq!(terms[..3], [Term::Message, Term::Sender(ada), Term::Link]);
        assert_eq!(terms[3..], expected);
        assert_eq!(Term::of_message(ada, None), [Term::Message, Term::Sender(ada)]);
    }

    #[test]
    fn different_terms_have_different_bytes() {
        let (ada, word) = (UserId::from_bytes([b'x'; 16]), Term::Word("x".repeat(16)));
        let all = [Term::Message, Term::Link, Term::Sender(ada), word, Term::Word(String::new())];
        let distinct: std::collections::HashSet<_> = all.iter().map(Term::bytes).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn links_are_seen() {
        for text in ["http://a.b", "see (HTTPS://a.b)", "www.example.org", "x\nhttps://a"] {
            assert!(has_link(text), "{text}");
        }
        for text in ["", "http", "https://", "awww.nice", "ftp://a.b", "a.b/c"] {
            assert!(!has_link(text), "{text}");
        }
    }
}
