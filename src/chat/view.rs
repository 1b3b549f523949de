//! Draws the model. It decides nothing, but tells the model what was visible, so that scrolling knows its bounds.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use crate::chat::conversation::{Chat, Item, Outgoing};
use crate::chat::input::Input;
use crate::chat::model::{Line, Model};
use crate::chat::said::said;
use crate::chat::text::{Clock, clean, clean_line, fit, width, wrap};

/// Below these sizes the list, then the title and the lines around the messages, give way.
const LIST_FROM_COLUMNS: u16 = 44;
const FRILLS_FROM_ROWS: u16 = 8;

const DIM: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame, model: &mut Model, input: &Input, clock: &Clock) {
    let area = frame.area();
    if area.width == 0 || area.height == 0 {
        return;
    }
    let frills = u16::from(area.height >= FRILLS_FROM_ROWS);
    let rows = [Constraint::Min(0), Constraint::Length(frills), Constraint::Length(1)];
    let [body, status, line] = Layout::vertical(rows).areas(area);
    let list_columns = if area.width >= LIST_FROM_COLUMNS { (area.width / 4).clamp(16, 30) } else { 0 };
    let [list, main] = Layout::horizontal([Constraint::Length(list_columns), Constraint::Min(0)]).areas(body);
    if list_columns > 0 {
        draw_list(frame, list, model);
    }
    let rows = [Constraint::Length(frills), Constraint::Min(0), Constraint::Length(frills)];
    let [title, messages, typing] = Layout::vertical(rows).areas(main);
    frame.render_widget(Paragraph::new(title_row(model)), title);
    draw_messages(frame, messages, model, clock);
    frame.render_widget(Paragraph::new(Span::styled(typing_text(model), DIM)), typing);
    frame.render_widget(Paragraph::new(status_row(model, usize::from(status.width))), status);
    draw_input(frame, line, input);
}

fn draw_list(frame: &mut Frame, area: Rect, model: &Model) {
    let block = Block::new().borders(Borders::RIGHT).border_style(DIM);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let chats = model.ordered();
    let here = chats.iter().position(|chat| Some(&chat.id) == model.current.as_ref()).unwrap_or(0);
    let height = usize::from(inner.height);
    let first = (here + 1).saturating_sub(height);
    let columns = usize::from(inner.width);
    let rows: Vec<Row> = chats.iter().skip(first).take(height).map(|chat| list_row(model, chat, columns)).collect();
    frame.render_widget(Paragraph::new(rows), inner);
}

fn list_row<'a>(model: &Model, chat: &Chat, columns: usize) -> Row<'a> {
    let status = chat.peer.as_ref().and_then(|peer| model.presence.get(peer)).map(|presence| presence.status.as_str());
    let (dot, colour) = match status {
        Some("online") => ("●", Color::Green),
        Some("away") => ("●", Color::Yellow),
        _ if chat.is_direct() => ("○", Color::DarkGray),
        _ => ("#", Color::DarkGray),
    };
    let unread = match chat.unread() {
        0 => String::new(),
        count @ 1..=999 => format!(" {count}"),
        _ => " 999+".to_owned(),
    };
    let room = columns.saturating_sub(2 + width(&unread));
    let title = fit(&model.title(chat), room);
    let pad = " ".repeat(room.saturating_sub(width(&title)));
    let mut style = if chat.unread() > 0 { BOLD } else { Style::new() };
    if Some(&chat.id) == model.current.as_ref() {
        style = style.add_modifier(Modifier::REVERSED);
    }
    Row::from(vec![
        Span::styled(dot, Style::new().fg(colour)),
        Span::raw(" "),
        Span::styled(format!("{title}{pad}"), style),
        Span::styled(unread, BOLD.fg(Color::Yellow)),
    ])
}

fn title_row<'a>(model: &Model) -> Row<'a> {
    let Some(chat) = model.chat() else { return Row::from(Span::styled("tidings", BOLD)) };
    let about = match chat.peer.as_ref().and_then(|peer| model.presence.get(peer)) {
        Some(presence) if presence.status == "offline" => match &presence.last_seen {
            Some(at) => format!("last seen {}", clean_line(&at.replace('T', " ").chars().take(16).collect::<String>())),
            None => "offline".to_owned(),
        },
        Some(presence) => clean_line(&presence.status),
        None if chat.is_direct() || chat.members_count == 0 => String::new(),
        None => format!("{} members", chat.members_count),
    };
    Row::from(vec![Span::styled(model.title(chat), BOLD), Span::styled(format!("  {about}"), DIM)])
}

fn draw_messages(frame: &mut Frame, area: Rect, model: &mut Model, clock: &Clock) {
    model.page = usize::from(area.height);
    if let Some(panel) = &model.panel {
        let rows: Vec<Row> = panel.iter().map(|line| Row::from(fit(line, usize::from(area.width)))).collect();
        frame.render_widget(Clear, area);
        return frame.render_widget(Paragraph::new(rows), area);
    }
    let height = usize::from(area.height);
    let wanted = model.scroll.saturating_add(height).saturating_add(1);
    let (rows, all) = message_rows(model, usize::from(area.width), clock, wanted);
    model.scroll = model.scroll.min(rows.len().saturating_sub(height));
    let end = rows.len() - model.scroll;
    let start = end.saturating_sub(height);
    model.at_top = all && start == 0;
    // The newest stand at the bottom.
    let blank = height.saturating_sub(end - start);
    let visible = std::iter::repeat_n(Row::default(), blank).chain(rows.into_iter().take(end).skip(start));
    frame.render_widget(Paragraph::new(visible.collect::<Vec<_>>()), area);
}

/// The newest lines of the open conversation, oldest first: at least `wanted`, or all. A long history costs no more
/// than what is looked at.
fn message_rows<'a>(model: &Model, columns: usize, clock: &Clock, wanted: usize) -> (Vec<Row<'a>>, bool) {
    let Some(chat) = model.chat() else { return (welcome(model), true) };
    // Built from the end, each block in its own order.
    let mut blocks: Vec<Vec<Row>> = chat.outgoing.iter().rev().map(|out| outgoing_rows(model, out, columns)).collect();
    let mut count: usize = blocks.iter().map(Vec::len).sum();
    let mut items = chat.items.values().rev().peekable();
    while count < wanted
        && let Some(item) = items.next()
    {
        let mut block = Vec::new();
        let day = clock.day(item.at());
        if day.is_some() && items.peek().is_none_or(|older| clock.day(older.at()) != day) {
            block.push(Row::from(Span::styled(format!("── {} ──", day.unwrap_or_default()), DIM)));
        }
        push_item(&mut block, model, chat, item, columns, clock);
        count += block.len();
        blocks.push(block);
    }
    let all = items.peek().is_none();
    if all && chat.loading {
        blocks.push(vec![Row::from(Span::styled("loading…", DIM))]);
    }
    (blocks.into_iter().rev().flatten().collect(), all)
}

fn push_item(rows: &mut Vec<Row<'_>>, model: &Model, chat: &Chat, item: &Item, columns: usize, clock: &Clock) {
    let time = clock.time(item.at());
    match item {
        Item::Message(message) => {
            let mine = message.sender.as_deref() == Some(model.me.as_str()) && !model.me.is_empty();
            let sender = message.sender.as_deref().map(|sender| model.name(sender)).unwrap_or_default();
            let mark = if mine { read_mark(chat, message.seq) } else { String::new() };
            let (text, style) = content(message);
            push_wrapped(rows, Head { time, sender, mine }, &format!("{text}{mark}"), style, columns);
        }
        Item::Notice { actor, what, users, name, .. } => {
            let who = actor.as_deref().map(|actor| model.name(actor)).unwrap_or_default();
            let whom: Vec<String> = users.iter().take(5).map(|user| model.name(user)).collect();
            let more = if users.len() > 5 { format!(" and {} more", users.len() - 5) } else { String::new() };
            let name = name.as_deref().map(clean_line).unwrap_or_default();
            let text = format!("{time} {who} {what} {}{more}{name}", whom.join(", "));
            rows.extend(wrap(&text, columns, columns).into_iter().map(|line| Row::from(Span::styled(line, DIM))));
        }
    }
}

fn outgoing_rows<'a>(model: &Model, out: &Outgoing, columns: usize) -> Vec<Row<'a>> {
    let (mark, style) = match &out.failed {
        Some(reason) => (format!(" ✗ {reason}"), Style::new().fg(Color::Red)),
        None => (" …".to_owned(), DIM),
    };
    let head = Head { time: "  …  ".to_owned(), sender: model.name(&model.me), mine: true };
    let mut rows = Vec::new();
    push_wrapped(&mut rows, head, &format!("{}{mark}", clean(&out.text)), style, columns);
    rows
}

fn welcome<'a>(model: &Model) -> Vec<Row<'a>> {
    let hint = if model.chats.is_empty() {
        "No conversation yet: /with USER or /create NAME USER… starts one."
    } else {
        "Tab opens a conversation, /help lists the commands."
    };
    vec![Row::from(Span::styled(hint, DIM))]
}

/// What stands before a message.
struct Head {
    time: String,
    sender: String,
    mine: bool,
}

fn push_wrapped(rows: &mut Vec<Row<'_>>, head: Head, text: &str, style: Style, columns: usize) {
    let sender = fit(&head.sender, (columns / 3).max(4));
    let before = format!("{} ", head.time);
    let first = columns.saturating_sub(width(&before) + width(&sender) + 2).max(1);
    let indent = if columns > 20 { 6 } else { 0 };
    let colour = if head.mine { Color::Cyan } else { Color::Magenta };
    for (number, line) in wrap(text, first, columns.saturating_sub(indent).max(1)).into_iter().enumerate() {
        rows.push(if number == 0 {
            Row::from(vec![
                Span::styled(before.clone(), DIM),
                Span::styled(format!("{sender}: "), BOLD.fg(colour)),
                Span::styled(line, style),
            ])
        } else {
            Row::from(vec![Span::raw(" ".repeat(indent)), Span::styled(line, style)])
        });
    }
}

fn content(message: &tidings_client::Message) -> (String, Style) {
    if message.deleted {
        return ("(removed)".to_owned(), DIM);
    }
    (said(message), Style::new())
}

/// `✓` accepted; `✓✓` read by the other; in groups, by how many.
fn read_mark(chat: &Chat, seq: u64) -> String {
    match (chat.readers(seq), chat.is_direct()) {
        (0, _) => " ✓".to_owned(),
        (_, true) => " ✓✓".to_owned(),
        (count, false) => format!(" ✓ read by {count}"),
    }
}

fn typing_text(model: &Model) -> String {
    let Some(chat) = model.chat() else { return String::new() };
    let names: Vec<String> = chat.typing.keys().map(|user| model.name(user)).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("{one} is typing…"),
        [one, two] => format!("{one} and {two} are typing…"),
        _ => "several are typing…".to_owned(),
    }
}

fn status_row<'a>(model: &Model, columns: usize) -> Row<'a> {
    let (text, colour) = match (&model.line, &model.notice) {
        (Line::Ended(reason), _) => (format!("ended: {reason} — Esc leaves"), Color::Red),
        (Line::Waiting { until_ms, because }, _) => {
            (format!("reconnecting in {} s: {because}", model.seconds_until(*until_ms)), Color::Yellow)
        }
        (Line::Connecting, _) => ("connecting…".to_owned(), Color::Yellow),
        (Line::Connected, Some(notice)) => (notice.clone(), Color::Yellow),
        (Line::Connected, None) => (format!("connected as {} — /help", model.name(&model.me)), Color::Green),
    };
    Row::from(Span::styled(fit(&text, columns), Style::new().fg(colour)))
}

/// The line, scrolled sideways so that the cursor is visible.
fn draw_input(frame: &mut Frame, area: Rect, input: &Input) {
    let prompt = if area.width > 8 { "> " } else { "" };
    let columns = usize::from(area.width).saturating_sub(prompt.len());
    let shown = |text: &str| text.replace('\n', "⏎");
    // The input may be thousands of characters: only as many as can be seen are looked at.
    let before: Vec<char> = input.text[..input.cursor].chars().rev().take(columns).collect();
    let before = shown(&before.into_iter().rev().collect::<String>());
    let mut visible = before.as_str();
    while width(visible) + 1 > columns {
        let Some(c) = visible.chars().next() else { break };
        visible = &visible[c.len_utf8()..];
    }
    let column = prompt.len() + width(visible);
    let after: String = input.text[input.cursor..].chars().take(columns).collect();
    let text = format!("{prompt}{visible}{}", shown(&after));
    frame.render_widget(Paragraph::new(text), area);
    let x = area.x.saturating_add(u16::try_from(column).unwrap_or(u16::MAX)).min(area.right().saturating_sub(1));
    frame.set_cursor_position(Position::new(x, area.y));
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
