//! Searching in one's conversations.

use serde::{Deserialize, Serialize};

use crate::types::{Message, nullable};

/// What to look for. All that is set must hold; one of them must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Query {
    /// Whole words, in any order, in any case, with or without accents; parts of words in languages without spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only in this conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Only by this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Sent then or later, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Sent before, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Only in conversations that are `direct`, `group` or `channel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only messages that have a `link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has: Option<String>,
    /// At most 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Query {
    /// For words.
    pub fn text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }
}

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SearchPage {
    /// Newest first.
    pub messages: Vec<Message>,
    /// For the next page.
    pub cursor: Option<String>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
    /// False while the server builds its index: older messages may be missing.
    #[serde(deserialize_with = "nullable")]
    pub complete: bool,
}
