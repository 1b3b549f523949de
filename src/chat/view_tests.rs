//! What stands on the screen, at usual and at absurd sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde::Deserialize;
use serde_json::json;
use tidings_client::{Closed, Conversation, Error, Event, HistoryPage, Member, Status, Update};

use super::*;
use crate::chat::effect::Outcome;
use crate::chat::input::Action;

fn screen(model: &mut Model, input: &str, columns: u16, rows: u16) -> Vec<String> {
    let input = Input { text: input.to_owned(), cursor: input.len() };
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a screen");
    terminal.draw(|frame| draw(frame, model, &input, &Clock::utc())).expect("drawn");
    let buffer = terminal.backend().buffer().clone();
    let row = |y| {
        let mut row = String::new();
        let mut skip = 0;
        for x in 0..columns {
            let symbol = buffer[(x, y)].symbol();
            // A wide character also takes the cell after it.
            if skip == 0 {
                row.push_str(symbol);
                skip = width(symbol).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        row.trim_end().to_owned()
    };
    (0..rows).map(row).collect()
}

fn model() -> Model {
    let mut model = Model::new(None);
    model.update(Update::Status(Status::Connected { user: "usr_me".into() }));
    for (id, kind, name, unread, minute) in
        [("cnv_1", "direct", None, 0, 2), ("cnv_2", "group", Some("北京\x1b]0;x\x07 团队"), 3, 1)]
    {
        let entry = json!({"conversation": id, "kind": kind, "name": name, "last_position": 3, "last_seq": 3,
            "read_seq": 3 - unread, "members_count": 2, "joined_at": format!("2026-01-01T10:0{minute}:00.000Z")});
        model.update(Update::Inbox(Box::new(Conversation::deserialize(entry).expect("an entry"))));
    }
    let member = |user: &str| Member { user: user.into(), ..Member::default() };
    model.outcome(Outcome::Peer { conversation: "cnv_1".into(), members: vec![member("usr_you")] });
    for (user, name) in [("usr_you", "Zoë 界\u{202e}"), ("usr_me", "Me")] {
        model.outcome(Outcome::Name { user: user.into(), name: Some(name.into()) });
    }
    model.outcome(Outcome::Presence(vec![
        serde_json::from_value(json!({"user": "usr_you", "status": "online"})).expect("a presence"),
    ]));
    model.action(Action::Next);
    let messages = (1..=3u64).rev().map(|seq| {
        let (sender, text) = [("usr_you", "good 👋 morning"), ("usr_me", "hi"), ("usr_me", "你好\x1b[2J世界")]
            [usize::try_from(seq - 1).expect("small")];
        serde_json::from_value(json!({"conversation": "cnv_1", "seq": seq, "sender": sender, "text": text,
            "at": format!("2026-01-01T10:0{seq}:00.000Z")}))
        .expect("a message")
    });
    let page = HistoryPage { messages: messages.collect(), has_more: false };
    model.outcome(Outcome::History { conversation: "cnv_1".into(), before: None, result: Ok(page) });
    let read = json!({"type": "receipt.read", "conversation": "cnv_1", "data": {"user": "usr_you", "seq": 2}});
    model.update(Update::Event(Event::deserialize(read).expect("an event")));
    model
}

#[test]
fn everything_has_its_place_at_80x24() {
    let mut model = model();
    let typing = json!({"type": "typing", "conversation": "cnv_1", "data": {"user": "usr_you", "active": true}});
    model.update(Update::Event(Event::deserialize(typing).expect("an event")));
    let rows = screen(&mut model, "draft", 80, 24);
    let text = rows.join("\n");
    assert!(rows[0].starts_with("● Zoë 界") && rows[0].contains("│Zoë 界  online"), "{text}");
    assert!(rows[1].starts_with("# 北京]0;x 团队") && rows[1].contains(" 3│"), "{text}");
    assert!(rows[17].contains("── 2026-01-01 ──"), "{text}");
    assert!(rows[18].contains("10:01 Zoë 界: good 👋 morning"), "{text}");
    assert!(rows[19].ends_with("10:02 Me: hi ✓✓"), "{text}");
    assert!(rows[20].ends_with("10:03 Me: 你好[2J世界 ✓"), "{text}");
    assert!(rows[21].contains("Zoë 界 is typing…"), "{text}");
    assert!(rows[22].starts_with("connected as Me"), "{text}");
    assert_eq!(rows[23], "> draft");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn the_status_line_says_why_it_waits() {
    let mut model = model();
    let because = Error::Closed(Closed { code: Some(4001), reason: "draining\x1b[1m".into() });
    let delay = std::time::Duration::from_millis(2_500);
    model.update(Update::Status(Status::Waiting { delay, because }));
    let rows = screen(&mut model, "", 80, 24);
    assert!(rows[22].starts_with("reconnecting in 3 s: ") && rows[22].contains("4001 draining[1m"), "{}", rows[22]);
}

#[test]
fn scrolling_stops_at_both_ends() {
    let mut model = model();
    for text in ["one", "two", "three"] {
        model.action(Action::Enter(text.into()));
    }
    assert!(screen(&mut model, "", 60, 9)[5].contains("Me: three …") && !model.at_top);
    model.action(Action::Page(100));
    let rows = screen(&mut model, "", 60, 9);
    assert!(model.at_top && rows[1].contains("2026-01-01"), "{rows:?}");
    model.action(Action::Page(-100));
    assert!(screen(&mut model, "", 60, 9)[5].contains("Me: three …"));
}

#[test]
fn help_covers_the_messages_until_the_next_key() {
    let mut model = model();
    model.action(Action::Enter("/help".into()));
    assert!(screen(&mut model, "", 80, 24)[1].contains("/with USER"));
    model.action(Action::Edited);
    assert!(screen(&mut model, "", 80, 24)[20].contains("世界"));
}

#[test]
fn no_size_is_too_small() {
    for columns in 0..50 {
        for rows in 0..10 {
            screen(&mut model(), "一二三 wide and long input line 四五六", columns, rows);
        }
    }
}

#[test]
fn a_long_input_shows_its_end() {
    let rows = screen(&mut model(), &"界".repeat(100), 30, 10);
    assert_eq!(rows[9], format!("> {}", "界".repeat(13)));
}
