//! Texts cut into what is looked up.
//!
//! Where words stand between spaces, a word is a run of letters, marks and digits. Where they do not (Chinese, Japanese, Thai, Lao, Khmer,
//! Burmese), and in Korean, whose words carry their endings, every sign and every two neighbours are looked up, and the text itself tells
//! whether the whole is there. So what is found does not depend on where a dictionary would cut, in the text or in what is asked.

use std::collections::HashSet;

use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::fold::fold;

/// Most terms that are kept of a text. A text of 20 kB in Thai has ten times as many; nobody writes that, but programs do.
pub const MAX_TERMS: usize = 1_000;

/// A text, cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Word(String),
    /// Signs that stand together: what a reader takes for one (UAX #29), with its marks.
    Run(Vec<String>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Spaced,
    Unspaced,
}

impl Words {
    /// Cuts `text`.
    pub fn of(text: &str) -> Self {
        let folded = fold(text);
        let mut parts = Vec::new();
        let mut rest = folded.as_str();
        while let Some(class) = rest.chars().next().map(class) {
            let end = rest.find(|c| self::class(c) != class && !continues(c, class)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            rest = after;
            match class {
                Some(Class::Spaced) => parts.push(Part::Word(piece.to_owned())),
                Some(Class::Unspaced) => parts.push(Part::Run(piece.graphemes(true).map(str::to_owned).collect())),
                None => {}
            }
        }
        Self { parts }
    }

    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// By what this text is found: the first [`MAX_TERMS`], each once.
    pub fn terms(&self) -> Vec<String> {
        let each = self.parts.iter().flat_map(|part| match part {
            Part::Word(word) => vec![word.clone()],
            Part::Run(signs) => {
                let pairs = signs.windows(2).map(<[String]>::concat);
                signs.iter().cloned().chain(pairs).collect()
            }
        });
        let mut seen = HashSet::new();
        each.filter(|term| seen.insert(term.clone())).take(MAX_TERMS).collect()
    }

    /// By what a text that contains this one is looked up, at most `most`, each once: the longest, which are the rarest. Every text that
    /// [`Words::contains`] this one has them, as far as its terms were kept.
    pub fn probes(&self, most: usize) -> Vec<String> {
        let each = self.parts.iter().flat_map(|part| match part {
            Part::Word(word) => vec![word.clone()],
            Part::Run(signs) if signs.len() < 2 => signs.clone(),
            Part::Run(signs) => signs.windows(2).map(<[String]>::concat).collect(),
        });
        let mut seen = HashSet::new();
        let mut probes: Vec<_> = each.filter(|term| seen.insert(term.clone())).collect();
        probes.sort_by_key(|term| std::cmp::Reverse(term.len()));
        probes.truncate(most);
        probes
    }

    /// Whether each word of `asked` is one of this text, and each of its runs stands in one of this text.
    pub fn contains(&self, asked: &Self) -> bool {
        let words: HashSet<&str> = self.parts.iter().filter_map(Part::word).collect();
        asked.parts.iter().all(|part| match part {
            Part::Word(word) => words.contains(word.as_str()),
            Part::Run(signs) => self.parts.iter().filter_map(Part::run).any(|run| holds(run, signs)),
        })
    }
}

impl Part {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Run(_) => None,
        }
    }

    fn run(&self) -> Option<&[String]> {
        match self {
            Self::Run(signs) => Some(signs),
            Self::Word(_) => None,
        }
    }
}

fn holds(run: &[String], signs: &[String]) -> bool {
    run.windows(signs.len().max(1)).any(|window| window == signs)
}

/// A mark belongs to what it stands on.
fn continues(c: char, class: Option<Class>) -> bool {
    class.is_some() && is_combining_mark(c)
}

/// None for what stands between words.
fn class(c: char) -> Option<Class> {
    if !c.is_alphanumeric() && !is_combining_mark(c) {
        return None;
    }
    Some(if is_unspaced(c) { Class::Unspaced } else { Class::Spaced })
}

/// By the blocks of Unicode.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        // Thai and Lao; Burmese; Khmer; Tai scripts.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{1950}'..='\u{19ff}' | '\u{1a20}'..='\u{1aaf}'
        | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aadf}'
        // Radicals, kana, bopomofo, Han and Yi.
        | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3031}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}' | '\u{20000}'..='\u{3ffff}'
        // Hangul.
        | '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(asked: &str, text: &str) -> bool {
        Words::of(text).contains(&Words::of(asked))
    }

    #[test]
    fn words_are_found_whatever_stands_around_them() {
        let text = "Don't forget: Crème brûlée at O'Neill's, 19:30 (see https://example.org/Menu_2026)!";
        for asked in ["creme", "BRULEE crème", "don't", "o’neill", "19:30", "example.org", "menu 2026", "forget"] {
            assert!(found(asked, text), "{asked}");
        }
        for asked in ["cre", "forge", "brulees", "20:30", "menu 2025"] {
            assert!(!found(asked, text), "{asked}");
        }
        assert!(found("здравствуй елка", "Здравствуй, ёлка!"));
        assert!(found("हिन्दी", "मुझे हिन्दी आती है") && !found("हिन", "मुझे हिन्दी आती है"));
        assert!(found("مرحبا", "مَرْحَبًا بك"));
    }

    /// Sentences, what their readers would look for in them, and what is not in them.
    #[test]
    fn words_are_found_where_no_spaces_are() {
        for (text, there, absent) in [
            (
                "我昨天在北京大学图书馆借了三本关于机器学习的书。",
                &["北京", "北京大学", "大学", "图书馆", "机器学习", "书", "大学图书"][..],
                &["学北京", "京学", "南京", "习机"][..],
            ),
            // Where dictionaries cut in two ways: 研究生命 is 研究 生命, and holds 研究生.
            ("研究生命起源", &["研究", "生命", "起源", "研究生"], &["命研"]),
            (
                "明日の会議は東京都庁で午後三時からです。",
                &["会議", "東京", "東京都", "京都", "都庁", "午後三時"],
                &["大阪", "議会"],
            ),
            ("コンピューターを買いたいです", &["コンピューター", "こんぴゅーたー", "買いたい"], &["コンビニ"]),
            ("พรุ่งนี้เราจะไปกินข้าวที่ตลาดน้ำ", &["พรุ่งนี้", "กินข้าว", "ตลาด", "ตลาดน้ำ", "ข้าว"], &["ข่าว", "ตลก"]),
            ("ตากลมหน้าร้าน", &["ตาก", "ลม", "ตา", "กลม"], &["มลก"]),
            ("내일 학교에서 만나요", &["학교", "내일", "학교에서", "만나"], &["교학"]),
            ("ຂ້ອຍຮັກພາສາລາວ", &["ພາສາ", "ລາວ"], &["ວາລ"]),
            ("新しいiPhone15を買った", &["iphone15", "買った", "新しい"], &["iphone"]),
        ] {
            for asked in there {
                assert!(found(asked, text), "{asked} in {text}");
            }
            for asked in absent {
                assert!(!found(asked, text), "{asked} in {text}");
            }
        }
    }

    #[test]
    fn what_has_no_words_has_no_terms() {
        for text in ["", "…", "👍🏽 !!", "\u{301}\u{200b}", " \n"] {
            assert!(Words::of(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn the_terms_of_a_text_are_bounded() {
        let long: String = (0..20_000).map(|n| format!("word{n} ")).collect();
        assert_eq!(Words::of(&long).terms().len(), MAX_TERMS);
        let asked = Words::of("a longest of 東京都");
        assert_eq!(asked.probes(3), ["longest", "東京", "京都"]);
    }

    fn texts() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a",
            "É",
            "ss",
            "ß",
            " ",
            ".",
            "東",
            "京",
            "都",
            "カ",
            "が",
            "\u{3099}",
            "ี",
            "ที่",
            "ก",
            "กำ",
            "한",
            "\u{301}",
            "\u{200b}",
            "1",
            "①",
            "-",
            "\u{94d}",
            "ह",
            "ﬁ",
            "İ",
        ]);
        prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_contains_is_found_by_its_terms(text in texts(), asked in texts()) {
            let (text, asked) = (Words::of(&text), Words::of(&asked));
            if text.contains(&asked) {
                let terms: HashSet<_> = text.terms().into_iter().collect();
                let probes = asked.probes(8);
                prop_assert!(probes.iter().all(|probe| terms.contains(probe)));
            }
        }

        #[test]
        fn a_text_contains_itself_and_each_of_its_words(before in texts(), text in texts(), after in texts()) {
            let asked = Words::of(&text);
            prop_assert!(asked.contains(&asked));
            let around = format!("{before} {text} {after}");
            prop_assert!(Words::of(&around).contains(&asked));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,60}") {
            let words = Words::of(&text);
            prop_assert!(words.contains(&words));
            prop_assert_eq!(words.is_empty(), words.terms().is_empty());
        }
    }
}
