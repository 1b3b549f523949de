//! Text that others wrote, made safe and fitted to columns; ids and times made short.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Without control characters, so that no text can command the terminal (colours, titles, the clipboard) or reorder
/// what stands beside it (the bidi overrides). Line breaks stay, tabs become a space.
pub(crate) fn clean(text: &str) -> String {
    text.replace("\r\n", "\n").chars().filter_map(clean_char).collect()
}

fn clean_char(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\u{0b}' | '\u{0c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\t' => Some(' '),
        // C0, DEL and C1: a lone C1 byte starts a sequence on some terminals as ESC does.
        c if c.is_control() => None,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => None,
        // Tag characters, byte order mark and interlinear marks: never seen, so only good for hiding.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e001f}' => None,
        c => Some(c),
    }
}

/// As [`clean`], in one line.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).split('\n').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts to `columns`, with `…` where something is missing.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    for grapheme in text.graphemes(true) {
        if width(&out) + width(grapheme) + 1 > columns {
            break;
        }
        out.push_str(grapheme);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Breaks at line breaks and, where a line is too long, after a space or between two characters. The first line has
/// `first` columns, the others `rest`. A character wider than a line stands alone.
pub(crate) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_word_bounds() {
            let room = if lines.is_empty() { first } else { rest };
            if width(&line) + width(word) > room && !line.is_empty() && !word.trim().is_empty() && width(word) <= rest {
                lines.push(std::mem::take(&mut line));
            }
            for grapheme in word.graphemes(true) {
                let room = if lines.is_empty() { first } else { rest };
                if width(&line) + width(grapheme) > room && !line.is_empty() {
                    // A space at the end of a line is not carried over.
                    lines.push(std::mem::take(&mut line));
                    if grapheme == " " {
                        continue;
                    }
                }
                line.push_str(grapheme);
            }
        }
        lines.push(line);
    }
    lines
}

/// An id for people, when there is no name: its type and its end.
pub(crate) fn short_id(id: &str) -> String {
    let id = clean_line(id);
    let (prefix, rest) = id.split_once('_').unwrap_or(("", &id));
    let count = rest.chars().count();
    if count <= 8 {
        return id;
    }
    let end: String = rest.chars().skip(count - 6).collect();
    format!("{prefix}_…{end}")
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The user's wall clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock(TimeZone);

impl Clock {
    /// The machine's time zone, else UTC.
    pub(crate) fn local() -> Self {
        Self(TimeZone::system())
    }

    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    fn format(&self, at: &str, format: &str) -> Option<String> {
        let time: Timestamp = at.parse().ok()?;
        Some(time.to_zoned(self.0.clone()).strftime(format).to_string())
    }

    /// `HH:MM` of an RFC 3339 time.
    pub(crate) fn time(&self, at: &str) -> String {
        self.format(at, "%H:%M").unwrap_or_else(|| "--:--".to_owned())
    }

    /// `2026-01-31`.
    pub(crate) fn day(&self, at: &str) -> Option<String> {
        self.format(at, "%Y-%m-%d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_a_terminal_is_left() {
        assert_eq!(clean("a\x1b[31mred\x1b]0;title\x07\u{9b}2Jb"), "a[31mred]0;title2Jb");
        assert_eq!(clean("one\r\ntwo\ttabs\0"), "one\ntwo tabs");
        assert_eq!(clean("\u{202e}evil\u{2066}"), "evil");
        assert_eq!(clean("👩‍👩‍👧 stays"), "👩‍👩‍👧 stays");
        assert_eq!(clean_line("\n a \n\n b\x07"), "a b");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(fit("你好世界", 5), "你好…");
        assert_eq!(fit("你好", 4), "你好");
        assert_eq!(wrap("你好世界", 5, 5), ["你好", "世界"]);
        assert_eq!(wrap("👍👍👍", 4, 2), ["👍👍", "👍"]);
        assert_eq!(wrap("界", 1, 1), ["界"]);
    }

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(wrap("one two three", 8, 8), ["one two ", "three"]);
        assert_eq!(wrap("a verylongword", 6, 6), ["a very", "longwo", "rd"]);
        assert_eq!(wrap("a\n\nb", 9, 9), ["a", "", "b"]);
    }

    #[test]
    fn ids_and_times_are_short() {
        assert_eq!(short_id("usr_01arz3ndektsv4rrffq69g5fav"), "usr_…9g5fav");
        assert_eq!(short_id("usr_anna"), "usr_anna");
        assert_eq!(Clock::utc().time("2026-01-02T03:04:05.678Z"), "03:04");
        assert_eq!(Clock::utc().time("soon"), "--:--");
    }
}
