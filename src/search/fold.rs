//! Texts without what people do not type when they search: case, accents, width, and which of the two kana.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Compatible forms are made one (NFKD, so ﬁ is fi, Ａ is A, ① is 1), marks and invisible signs are dropped, letters are small, katakana is
/// hiragana, and the rest is composed again (NFC). Also о́ and й lose their marks: more is found, never less.
pub fn fold(text: &str) -> String {
    // Nothing else of all that happens to it.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let letters = text.nfkd().filter(|c| !is_dropped(*c)).flat_map(char::to_lowercase);
    // A small letter may have a mark that its capital had not.
    let letters = letters.filter(|c| !is_dropped(*c)).map(kana);
    letters.nfc().fold(String::with_capacity(text.len()), |mut folded, c| {
        match spelled(c) {
            Some(spelled) => folded.push_str(spelled),
            None => folded.push(c),
        }
        folded
    })
}

/// Accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic, and what nobody sees. Marks of other scripts are vowels and tones,
/// which make another word.
fn is_dropped(c: char) -> bool {
    match c {
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' => true,
        '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{6ed}' => is_combining_mark(c) || c == '\u{640}',
        '\u{ad}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}' => true,
        _ => false,
    }
}

/// Letters that Unicode does not take apart, but people do.
fn spelled(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ı' => "i",
        'þ' => "th",
        'ς' => "σ",
        _ => return None,
    })
}

/// Katakana stand in the same order as hiragana, 96 further on.
fn kana(c: char) -> char {
    match c {
        '\u{30a1}'..='\u{30f6}' => char::from_u32(u32::from(c) - 0x60).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        for (one, other) in [
            ("Crème BRÛLÉE", "creme brulee"),
            ("STRASSE", "straße"),
            ("ＡＢＣ①", "abc1"),
            ("ﾊﾟｿｺﾝ", "パソコン"),
            ("すし", "スシ"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ёлка", "елка"),
            ("ĐÀ NẴNG", "da nang"),
            ("İstanbul", "istanbul"),
            ("co\u{ad}op\u{200b}erate", "cooperate"),
            ("cafe\u{301}", "café"),
            ("שָׁלוֹם", "שלום"),
            ("한국어", "한국어"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn what_makes_another_word_stays() {
        for (one, other) in [("ですか", "てすか"), ("ที่", "ที"), ("हिन्दी", "हनद"), ("パン", "バン")]
        {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn ascii_takes_the_short_way_to_the_same() {
        let ascii: String = (0..128).map(char::from).collect();
        // A sign that makes it the long way round, and stays apart.
        let (folded, long) = (fold(&ascii), fold(&format!("{ascii}中")));
        assert_eq!(format!("{folded}中"), long);
    }

    proptest! {
        #[test]
        fn folded_twice_is_folded_once(text in "\\PC{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
