//! Pages of what was reported.

use crate::domain::Timestamp;
use crate::gateway::paging::PageBytes;
use crate::gateway::ports::{ReadError, ReportsPage};
use crate::store::{ReportedRow, ReportsCursor};

/// `milliseconds.conversation.seq`
pub fn parse_cursor(text: &str) -> Result<ReportsCursor, ReadError> {
    let parsed = text.split_once('.').and_then(|(at, place)| {
        let (conversation, seq) = place.split_once('.')?;
        let at = Timestamp(at.parse().ok()?);
        Some(ReportsCursor { at, conversation: conversation.parse().ok()?, seq: seq.parse().ok()? })
    });
    parsed.ok_or(ReadError::BadCursor)
}

/// The first `limit` of `rows`, or as many as fit; more rows than that tell that there are more.
pub fn page(mut rows: Vec<ReportedRow>, open: bool, limit: usize) -> ReportsPage {
    let mut bytes = PageBytes::default();
    let size = rows.iter().take(limit).take_while(|row| bytes.fits(row.bytes())).count();
    let has_more = rows.len() > size;
    rows.truncate(size);
    let last = rows.last().filter(|_| has_more).map(|row| row.cursor(open));
    let cursor = last.map(|ReportsCursor { at, conversation, seq }| format!("{}.{conversation}.{seq}", at.0));
    ReportsPage { reported: rows, cursor, has_more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::conversation::{ReportOutcome, ReportReason};
    use crate::domain::policy::ConversationKind;
    use crate::domain::{CommandId, ConversationId, UserId};
    use crate::gateway::paging::MAX_PAGE_BYTES;
    use crate::gateway::ports::{ResolutionRow, SaidRow, Sealed};

    fn row(seq: i64, comment_bytes: usize) -> ReportedRow {
        let comment = Sealed { bytes: vec![0; comment_bytes].into(), causation: CommandId::generate() };
        let user = UserId::generate();
        let said = SaidRow { user, reason: ReportReason::Spam, comment: Some(comment), at: Timestamp(7) };
        ReportedRow {
            conversation: ConversationId::generate(),
            kind: ConversationKind::Group,
            name: None,
            seq,
            sender: user,
            message: None,
            opened_at: Timestamp(6),
            last_at: Timestamp(7),
            reasons: vec![(ReportReason::Spam, 1)],
            said: vec![said],
            resolution: Some(ResolutionRow { outcome: ReportOutcome::Dismissed, by: user, at: Timestamp(5) }),
        }
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended() {
        let rows: Vec<_> = (1..=3).map(|seq| row(seq, 9)).collect();
        for (open, at) in [(true, 6), (false, 5)] {
            let page = page(rows.clone(), open, 2);
            assert_eq!((page.reported.as_slice(), page.has_more), (&rows[..2], true));
            let cursor = parse_cursor(&page.cursor.expect("more follow")).expect("ours");
            let expected = ReportsCursor { at: Timestamp(at), conversation: rows[1].conversation, seq: 2 };
            assert_eq!(cursor, expected);
        }
        let all = page(rows.clone(), true, 3);
        assert_eq!((all.reported.len(), all.cursor, all.has_more), (3, None, false));
    }

    #[test]
    fn a_page_is_bounded_in_bytes_and_never_empty() {
        let long = |seq| row(seq, MAX_PAGE_BYTES);
        let page = page(vec![long(1), long(2)], true, 2);
        assert_eq!((page.reported.len(), page.has_more), (1, true));
    }

    #[test]
    fn only_our_own_cursors_are_taken() {
        let conversation = ConversationId::generate();
        assert!(parse_cursor(&format!("7.{conversation}.2")).is_ok());
        for text in ["", "..", "7", &format!("7.{conversation}"), &format!("7.{conversation}.x"), "7.cnv_.2"] {
            assert!(matches!(parse_cursor(text), Err(ReadError::BadCursor)), "{text}");
        }
    }
}
