//! What a message says, in words: its text, and what it holds beside it.

use std::fmt::Write as _;

use serde_json::Value;
use tidings_client::{Location, Message};

use crate::chat::text::{clean, clean_line};

/// More emoji than this are only counted.
const EMOJI_SHOWN: usize = 5;

/// What `message` says, safe for a terminal; several lines where its text or its poll has some.
pub(crate) fn said(message: &Message) -> String {
    let mut said = String::new();
    // Writing to a string cannot fail.
    if message.forwarded.is_some() {
        said.push_str("↪ ");
    }
    if let Some(seq) = message.thread.or(message.reply_to) {
        let _ = write!(said, "(to {seq}) ");
    }
    said.push_str(&clean(message.text.as_deref().unwrap_or_default()));
    for attachment in &message.attachments {
        let _ = write!(said, " [{}]", clean_line(&attachment.name));
    }
    let parts =
        [message.location.as_ref().map(place), message.contact.as_ref().map(card), message.poll.as_ref().map(poll)];
    for part in parts.into_iter().flatten() {
        let _ = write!(said, " {part}");
    }
    if message.edited_at.is_some() {
        said.push_str(" (edited)");
    }
    for (emoji, reaction) in message.reactions.iter().take(EMOJI_SHOWN) {
        let _ = write!(said, " {}{}", clean_line(emoji), reaction.count);
    }
    if message.reactions.len() > EMOJI_SHOWN {
        let _ = write!(said, " +{}", message.reactions.len() - EMOJI_SHOWN);
    }
    if message.replies > 0 {
        let _ = write!(said, " ({} in its thread)", message.replies);
    }
    said.trim_start().to_owned()
}

fn place(location: &Location) -> String {
    let live = if location.live_until.is_some() { ", live" } else { "" };
    format!("[at {:.4}, {:.4}{live}]", location.lat, location.lon)
}

fn line(value: &Value) -> String {
    clean_line(value.as_str().unwrap_or_default())
}

fn card(contact: &Value) -> String {
    let phones =
        contact["phones"].as_array().into_iter().flatten().chain(contact["emails"].as_array().into_iter().flatten());
    let ways: String = phones.map(|way| format!(", {}", line(way))).collect();
    format!("[{}{ways}]", line(&contact["name"]))
}

fn poll(poll: &Value) -> String {
    let closed = if poll["closed"] == true { ", closed" } else { "" };
    let options = poll["options"].as_array().into_iter().flatten().map(|option| {
        // As it is asked, or with its votes as it stands.
        let text = if option.is_string() { option } else { &option["text"] };
        format!("\n  {} {}", option["votes"].as_i64().unwrap_or(0), line(text))
    });
    format!("[{}{closed}]{}", line(&poll["question"]), options.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn of(message: Value) -> String {
        said(&Message::deserialize(message).expect("a message"))
    }

    #[test]
    fn what_is_no_text_is_told_in_words() {
        let place = json!({"location": {"lat": 47.37691, "lon": 8.5, "live_until": "2026-01-01T00:00:00.000Z"}});
        assert_eq!(of(place), "[at 47.3769, 8.5000, live]");
        let card = json!({"contact": {"name": "Cyd\u{1b}[2J", "phones": ["+41 44"], "emails": ["c@d"]}});
        assert_eq!(of(card), "[Cyd[2J, +41 44, c@d]");
        let forwarded =
            json!({"text": "so it is", "forwarded": {"author": "usr_a"}, "reactions": {"👍": {"count": 2}}});
        assert_eq!(of(forwarded), "↪ so it is 👍2");
        let answer = json!({"text": "yes", "reply_to": 3, "edited_at": "2026-01-01T00:00:00.000Z", "replies": 2});
        assert_eq!(of(answer), "(to 3) yes (edited) (2 in its thread)");
    }

    #[test]
    fn a_poll_shows_how_it_stands() {
        let options = json!([{"text": "Friday", "votes": 2}, {"text": "Saturday", "votes": 0}]);
        let poll = json!({"poll": {"question": "When?", "options": options, "closed": true}});
        assert_eq!(of(poll), "[When?, closed]\n  2 Friday\n  0 Saturday");
    }
}
