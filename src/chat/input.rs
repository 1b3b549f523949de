//! The input line, and what keys mean.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use crate::chat::text::clean;

/// The longest input, in bytes: below what a server takes in a frame.
const MAX_BYTES: usize = 16_000;

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The line was entered.
    Enter(String),
    /// The line changed.
    Edited,
    /// Lines, up is positive.
    Scroll(i32),
    /// Pages, up is positive.
    Page(i32),
    /// To the newest.
    Bottom,
    Next,
    Previous,
    Quit,
    /// The screen must be drawn anew, nothing else.
    Redraw,
}

/// The line being written. The cursor is a byte index between two graphemes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    pub(crate) text: String,
    pub(crate) cursor: usize,
}

impl Input {
    /// Handles a key. `None`: it means nothing here.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => Some(Action::Quit),
            KeyCode::Char(c) if control => self.control(c),
            KeyCode::Enter if key.modifiers.contains(KeyModifiers::ALT) => self.insert("\n"),
            KeyCode::Enter => self.enter(),
            KeyCode::Tab => Some(Action::Next),
            KeyCode::BackTab => Some(Action::Previous),
            KeyCode::Up => Some(Action::Scroll(1)),
            KeyCode::Down => Some(Action::Scroll(-1)),
            KeyCode::PageUp => Some(Action::Page(1)),
            KeyCode::PageDown => Some(Action::Page(-1)),
            KeyCode::Left => self.go(self.before()),
            KeyCode::Right => self.go(self.after()),
            KeyCode::Home => self.go(0),
            KeyCode::End => self.go(self.text.len()),
            KeyCode::Backspace => self.delete(self.before(), self.cursor),
            KeyCode::Delete => self.delete(self.cursor, self.after()),
            KeyCode::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            _ => None,
        }
    }

    /// Inserts what was pasted, without control characters; a line break at its end does not send it.
    pub(crate) fn paste(&mut self, text: &str) -> Option<Action> {
        self.insert(clean(text).trim_end_matches('\n'))
    }

    fn control(&mut self, c: char) -> Option<Action> {
        match c {
            'c' | 'd' if c == 'c' || self.text.is_empty() => Some(Action::Quit),
            'n' => Some(Action::Next),
            'p' => Some(Action::Previous),
            'l' => Some(Action::Redraw),
            'e' => self.go(self.text.len()),
            'a' => self.go(0),
            'b' => self.go(self.before()),
            'f' => self.go(self.after()),
            'h' => self.delete(self.before(), self.cursor),
            'u' => self.delete(0, self.cursor),
            'k' => self.delete(self.cursor, self.text.len()),
            'w' => self.delete(self.word_before(), self.cursor),
            'j' => self.enter(),
            'g' => Some(Action::Bottom),
            _ => None,
        }
    }

    fn enter(&mut self) -> Option<Action> {
        let text = std::mem::take(self).text;
        if text.trim().is_empty() { Some(Action::Edited) } else { Some(Action::Enter(text)) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the arms of `key` agree in type")]
    fn insert(&mut self, text: &str) -> Option<Action> {
        if self.text.len() + text.len() <= MAX_BYTES {
            self.text.insert_str(self.cursor, text);
            self.cursor += text.len();
        }
        Some(Action::Edited)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the arms of `key` agree in type")]
    fn delete(&mut self, from: usize, to: usize) -> Option<Action> {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        Some(Action::Edited)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the arms of `key` agree in type")]
    fn go(&mut self, cursor: usize) -> Option<Action> {
        self.cursor = cursor;
        Some(Action::Redraw)
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.text[self.cursor..].graphemes(true).next().map_or(self.cursor, |next| self.cursor + next.len())
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, code: KeyCode) -> Option<Action> {
        input.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn edits_whole_characters() {
        let mut input = Input::default();
        "a👩‍👩‍👧界".chars().for_each(|c| drop(press(&mut input, KeyCode::Char(c))));
        press(&mut input, KeyCode::Left);
        press(&mut input, KeyCode::Backspace);
        assert_eq!((input.text.as_str(), input.cursor), ("a界", 1));
        press(&mut input, KeyCode::Delete);
        press(&mut input, KeyCode::Delete);
        assert_eq!(input.text, "a");
        assert_eq!(press(&mut input, KeyCode::Enter), Some(Action::Enter("a".into())));
        assert_eq!(press(&mut input, KeyCode::Enter), Some(Action::Edited));
    }

    #[test]
    fn words_go_at_once_and_pastes_are_clean() {
        let mut input = Input::default();
        input.paste("one two\x1b[2J\n");
        assert_eq!(input.text, "one two[2J");
        input.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(input.text, "one ");
        input.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!((input.text.as_str(), input.cursor), ("", 0));
    }
}
