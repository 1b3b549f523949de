//! Cursors come back from clients, and whatever else they like to send as one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{CASES, Draw, MAX_LEN};
use crate::gateway::adapters::views::parse_cursor;
use crate::gateway::catch_up::cursor::Cursor;
use crate::gateway::ports::InboxOrder;
use crate::store::InboxStart;

#[test]
fn cursors() {
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        let mut draw = Draw(input);
        let partitions = draw.below(40);
        match draw.below(3) {
            0 => decoded(&String::from_utf8_lossy(draw.rest()), partitions),
            1 => decoded(&URL_SAFE_NO_PAD.encode(draw.rest()), partitions),
            _ => {
                let epoch = i32::from_be_bytes([draw.byte(), draw.byte(), draw.byte(), draw.byte()]);
                let cursor = Cursor { epoch, indexes: (0..partitions).map(|_| draw.number().max(0)).collect() };
                let text = cursor.encode();
                assert_eq!(Cursor::decode(&text, partitions).as_ref(), Some(&cursor));
                assert_eq!(Cursor::decode(&text, partitions + 1), None);
                let damaged = draw.damage(text.as_bytes());
                decoded(&String::from_utf8_lossy(&damaged), partitions);
            }
        }
    });
}

fn decoded(text: &str, partitions: usize) {
    if let Some(cursor) = Cursor::decode(text, partitions) {
        assert_eq!(cursor.indexes.len(), partitions);
        assert!(cursor.indexes.iter().all(|index| *index >= 0));
        assert_eq!(Cursor::decode(&cursor.encode(), partitions), Some(cursor));
    }
    if let Ok(InboxStart::AsListed(Some(cursor))) = parse_cursor(InboxOrder::Listed, Some(text)) {
        assert_eq!(text.rsplit_once('.').map(|(_, id)| id.to_owned()), Some(cursor.conversation.to_string()));
    }
    if let Ok(InboxStart::ById(Some(conversation))) = parse_cursor(InboxOrder::Id, Some(text)) {
        assert_eq!(text, conversation.to_string());
    }
}
