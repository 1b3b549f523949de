//! Finding messages by what was said.
//!
//! The index only points: what it finds is read from the views as its reader sees it, opened, and looked at again. So neither a hash that
//! two words share, nor an index that is a moment behind an edit or a removal, shows anything that was not asked for or must not be seen.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

use super::commands::Context;
use super::edge::Edge;
use super::failure::Failure;
use super::paging::PageBytes;
use super::ports::{MessageRow, OpenError, ReadError, Searchable, TermsHit, WantedTerms};
use super::shapes::{Message, Opener};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::search::{Term, Words, has_link};

/// Most words that are looked up; the others are looked for in what was found.
const MOST_PROBES: usize = 6;
/// Conversations asked about at once: few at first, as the newest ones usually are enough.
const FIRST_PLACES: usize = 64;
const MORE_PLACES: usize = 1_024;
/// One question to Postgres, and a whole search.
const QUESTION: Duration = Duration::from_secs(2);
const SEARCH: Duration = Duration::from_secs(6);

/// What is looked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// All of these are in the text.
    pub words: Words,
    /// Who sent it.
    pub sender: Option<UserId>,
    /// It has a link.
    pub link: bool,
    /// Sent then or later.
    pub after: Option<Timestamp>,
    /// Sent before.
    pub before: Option<Timestamp>,
}

/// A message's place in the order of all: newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    at: Timestamp,
    conversation: ConversationId,
    seq: i64,
}

/// Messages, newest first.
pub struct Found {
    /// As their reader sees them.
    pub messages: Vec<Message>,
    /// The last of them, if there are more.
    pub next: Option<Point>,
}

/// `milliseconds.conversation.seq`
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at.0, self.conversation, self.seq)
    }
}

impl FromStr for Point {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let mut parts = text.split('.');
        let point = (|| {
            let at = Timestamp(parts.next()?.parse().ok()?);
            let (conversation, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            parts.next().is_none().then_some(Self { at, conversation, seq })
        })();
        point.ok_or(ReadError::BadCursor)
    }
}

impl Asked {
    /// By what it is looked up.
    fn terms(&self) -> Vec<Term> {
        let words = self.words.probes(MOST_PROBES).into_iter().map(Term::Word);
        let mut terms: Vec<_> = words.chain(self.sender.map(Term::Sender)).collect();
        terms.extend(self.link.then_some(Term::Link));
        if terms.is_empty() {
            terms.push(Term::Message);
        }
        terms
    }

    /// Whether this is one, its text being `text`.
    fn matches(&self, row: &MessageSeen, text: Option<&str>) -> bool {
        let in_time =
            self.after.is_none_or(|after| row.at >= after) && self.before.is_none_or(|before| row.at < before);
        in_time
            && self.sender.is_none_or(|sender| row.sender == sender)
            && (!self.link || text.is_some_and(has_link))
            && (self.words.is_empty() || text.is_some_and(|text| Words::of(text).contains(&self.words)))
    }
}

struct MessageSeen {
    at: Timestamp,
    sender: UserId,
}

/// Looks in `places`, newest event first, for what comes after `from` in the order of messages.
///
/// # Errors
/// `too_large` if it takes too long; `unavailable`.
pub async fn search(
    edge: &Edge,
    context: &Context,
    asked: &Asked,
    places: &[Searchable],
    from: Option<Point>,
    limit: usize,
) -> Result<Found, Failure> {
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let hidden: HashMap<_, _> = places.iter().map(|place| (place.conversation, place.visible_after_seq)).collect();
    let looking = Looking { edge, asked, places, terms: asked.terms(), deadline: Instant::now() + SEARCH };
    let (mut messages, mut page, mut last, mut from) = (Vec::new(), PageBytes::default(), None, from);
    loop {
        // One more than is wanted tells whether there are more.
        let wanted = limit + 1 - messages.len();
        let points = looking.newest(from, wanted).await?;
        let mut rows = rows(edge, context, &points).await?;
        for point in &points {
            from = Some(*point);
            let Some(row) = rows.remove(&(point.conversation, point.seq)) else { continue };
            if hidden.get(&point.conversation).is_none_or(|hidden| row.sent.seq <= *hidden) {
                continue;
            }
            let (bytes, seen) = (row.bytes(), MessageSeen { at: row.at, sender: row.sender });
            let message = match opener.message(point.conversation, row) {
                // Its time is over.
                Ok(Message::Removed { .. }) => continue,
                Ok(message) => message,
                // Nobody can read it: its author may be gone.
                Err(OpenError::KeyMissing) => continue,
                Err(error) => return Err(error.into()),
            };
            if !asked.matches(&seen, message.text()) {
                continue;
            }
            if messages.len() == limit || !page.fits(bytes) {
                return Ok(Found { messages, next: last });
            }
            messages.push(message);
            last = Some(*point);
        }
        if points.len() < wanted {
            return Ok(Found { messages, next: None });
        }
    }
}

async fn rows(
    edge: &Edge,
    context: &Context,
    points: &[Point],
) -> Result<HashMap<(ConversationId, i64), MessageRow>, Failure> {
    if points.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<_> = points.iter().map(|point| (point.conversation, point.seq)).collect();
    let rows = edge.ports.search.messages(context.user, &wanted).await?;
    Ok(rows.into_iter().map(|(conversation, row)| ((conversation, row.sent.seq), row)).collect())
}

struct Looking<'a> {
    edge: &'a Edge,
    asked: &'a Asked,
    places: &'a [Searchable],
    terms: Vec<Term>,
    deadline: Instant,
}

impl Looking<'_> {
    /// The `most` newest candidates after `from`, newest first; fewer only if there are no more.
    async fn newest(&self, from: Option<Point>, most: usize) -> Result<Vec<Point>, Failure> {
        let after = self.asked.after.unwrap_or(Timestamp(0));
        let mut found: Vec<Point> = Vec::new();
        let (mut rest, mut size) = (self.places, FIRST_PLACES);
        while let Some(first) = rest.first() {
            let full = found.get(most - 1).is_some_and(|last| last.at > first.last_at);
            if full || first.last_at < after {
                break;
            }
            let (some, others) = rest.split_at(size.min(rest.len()));
            (rest, size) = (others, MORE_PLACES);
            let hits = self.find(some, from, after, most).await?;
            let point = |hit: TermsHit| {
                let conversation = some.get(hit.place)?.conversation;
                Some(Point { at: hit.at, conversation, seq: hit.seq })
            };
            found.extend(hits.into_iter().filter_map(point));
            found.sort_unstable_by_key(|point| Reverse(*point));
            found.truncate(most);
        }
        Ok(found)
    }

    async fn find(
        &self,
        places: &[Searchable],
        from: Option<Point>,
        after: Timestamp,
        most: usize,
    ) -> Result<Vec<TermsHit>, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ReadError::TooLong.into());
        }
        let keyring = &self.edge.ports.keyring;
        let bytes: Vec<_> = self.terms.iter().map(Term::bytes).collect();
        let wanted = |place: &Searchable| WantedTerms {
            terms: keyring.terms(place.conversation, &bytes),
            before: self.before(place.conversation, from),
            after_seq: place.visible_after_seq,
        };
        let wanted: Vec<_> = places.iter().map(wanted).collect();
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Ok(self.edge.ports.search.find(&wanted, after, most, QUESTION.min(left)).await?)
    }

    /// Time and seq before which it is looked in `conversation`.
    fn before(&self, conversation: ConversationId, from: Option<Point>) -> (i64, i64) {
        let asked = (self.asked.before.map_or(i64::MAX, |before| before.0), i64::MIN);
        let Some(from) = from else { return asked };
        let seq = match conversation.cmp(&from.conversation) {
            std::cmp::Ordering::Less => i64::MAX,
            std::cmp::Ordering::Equal => from.seq,
            std::cmp::Ordering::Greater => i64::MIN,
        };
        asked.min((from.at.0, seq))
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod over_an_index;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_cursors_are_taken() {
        let point = Point { at: Timestamp(7), conversation: ConversationId::generate(), seq: 3 };
        assert_eq!(point.to_string().parse::<Point>().ok(), Some(point));
        for text in ["", "..", "7", &format!("{point}.1"), &format!("7.{}", point.conversation), "7.cnv_x.1"] {
            assert!(matches!(text.parse::<Point>(), Err(ReadError::BadCursor)), "{text}");
        }
    }

    #[test]
    fn without_words_it_is_looked_up_by_what_else_is_asked() {
        let ada = UserId::from_bytes([1; 16]);
        assert_eq!(Asked::default().terms(), [Term::Message]);
        assert_eq!(Asked { sender: Some(ada), ..Asked::default() }.terms(), [Term::Sender(ada)]);
        let all = Asked { words: Words::of("old pier"), sender: Some(ada), link: true, ..Asked::default() };
        assert_eq!(all.terms().len(), 4);
    }
}
