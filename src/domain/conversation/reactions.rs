//! What a reaction may be: few enough to be counted and shown, and no place for text that nobody could erase.

use unicode_segmentation::UnicodeSegmentation;

/// The longest flags and families of emoji have some 40 bytes.
const MAX_GRAPHEME_BYTES: usize = 64;
const MAX_NAME_BYTES: usize = 32;

/// Whether `emoji` is one grapheme that is no ASCII, letter, digit, space or control character, or the name of a custom one as `:party_parrot:`.
pub fn is_reaction(emoji: &str) -> bool {
    if let Some(name) = emoji.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')) {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_+-".contains(&byte);
        return !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(fits);
    }
    let is_keycap = emoji.ends_with('\u{20e3}');
    let plain = |c: char| c.is_alphanumeric() || c.is_whitespace() || c.is_control();
    emoji.len() <= MAX_GRAPHEME_BYTES
        && emoji.graphemes(true).count() == 1
        && (is_keycap || !emoji.is_ascii() && !emoji.chars().any(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_or_the_name_of_one() {
        for emoji in ["👍", "❤️", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "#️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", ":party_parrot:", ":+1:"]
        {
            assert!(is_reaction(emoji), "{emoji}");
        }
        for text in [
            "",
            "a",
            "!",
            "ab",
            "7",
            "好",
            " ",
            "\0",
            "\n",
            "👍👍",
            "👍a",
            "::",
            ":A:",
            ":a b:",
            ":",
            &format!(":{}:", "a".repeat(33)),
        ] {
            assert!(!is_reaction(text), "{text:?}");
        }
        let stacked = format!("👍{}", "\u{301}".repeat(40));
        assert!(!is_reaction(&stacked), "one grapheme can be of any length");
    }
}
