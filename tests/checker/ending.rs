//! What the server says when all is quiet: over HTTP as members see it, in the topics, and in the tables.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use rdkafka::ClientConfig;
use serde_json::{Value, json};
use sqlx::{PgPool, Row};
use tidings::codec::Codec;
use tidings::codec::records::ConversationEvent;
use tidings::domain::conversation as domain;
use tidings::log::journal::{Head, JournalError, JournalReader};
use tidings::log::{Reader, ends, read_to_end, topics};
use tidings::projector::catalog;
use tokio::time::{Instant, sleep};

use crate::history::{Ending, Entry, Event, Keyed, Message, Removed, Stream};
use crate::stage::{PARTITIONS, Stage};
use crate::support::{Account, Stack, rows};

/// For what must come by itself when nothing is wrong any more.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Reads over HTTP.
const AT_A_TIME: usize = 8;
const POLL: Duration = Duration::from_millis(50);

/// What views are made of.
const SOURCES: [&str; 3] = [topics::CONVERSATION_JOURNAL, topics::USER_JOURNAL, topics::PRESENCE];
const JOURNALS: [&str; 2] = [topics::CONVERSATION_JOURNAL, topics::USER_JOURNAL];
const STREAMS: [&str; 5] =
    [topics::CONVERSATION_EVENTS, topics::RECEIPTS, topics::MEMBER_STATE, topics::USER_EVENTS, topics::USER_KEYS];

/// Asks for everything. `stranger` takes no part.
pub async fn ending(stack: &Stack, stage: &Stage, stranger: &Account, rebuild: bool) -> Ending {
    let mut ending = Ending::default();
    let kafka = stack.kafka();
    views_at_the_end(stack, &kafka).await;
    ending.overdue = overdue(stack).await;
    views_at_the_end(stack, &kafka).await;
    let members = inboxes(stack, stage, &mut ending).await;
    let read = futures_util::stream::iter(members).map(|(conversation, account)| async move {
        let events = events(stack, &account, &conversation).await;
        let messages = messages(stack, &account, &conversation).await;
        ((conversation, account.user), events, messages)
    });
    for (key, events, messages) in read.buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await {
        ending.logs.insert(key.clone(), events);
        ending.messages.insert(key, messages);
    }
    ending.searched = searched(stack, stage, &ending).await;
    caught_up(stage, &mut ending).await;
    shown(stack, stage, stranger, &mut ending).await;
    (ending.streams, ending.torn) = streams(&kafka).await;
    (ending.sealed, ending.removed) = sealed(&ending.streams);
    if rebuild {
        // People who were given up meanwhile have been seen for the last time.
        views_at_the_end(stack, &kafka).await;
        ending.views = rebuilt(stack).await;
        // Everybody's counts are those of a full recount, or this fails.
        stack.run(&["admin", "audit"]).await;
    }
    ending
}

/// Waits until the views have everything that the journals have. What was refused as `unavailable`, or asked by somebody who went away,
/// may have been decided after all.
async fn views_at_the_end(stack: &Stack, client: &ClientConfig) {
    let pool = PgPool::connect(stack.postgres_url()).await.expect("connects");
    let deadline = Instant::now() + PATIENCE;
    let query = "SELECT source, partition, max(next_offset) AS reached FROM checkpoints GROUP BY source, partition";
    loop {
        let mut behind = Vec::new();
        let rows = sqlx::query(query).fetch_all(&pool).await.expect("checkpoints");
        for row in rows {
            let (source, partition): (String, i32) = (row.get("source"), row.get("partition"));
            let Some(journal) = SOURCES.into_iter().find(|journal| **journal == source) else { continue };
            let end = ends(client, journal, partition).await.expect("read").high;
            if row.get::<i64, _>("reached") < end {
                behind.push((source, partition, end));
            }
        }
        if behind.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "the views do not reach {behind:?}");
        sleep(POLL).await;
    }
}

/// Messages that are there though they were to be removed some time ago. Waits until there is none that is still to be.
async fn overdue(stack: &Stack) -> Vec<String> {
    let pool = PgPool::connect(stack.postgres_url()).await.expect("connects");
    let deadline = Instant::now() + PATIENCE;
    let query = "SELECT conversation || ' ' || seq FROM messages.messages WHERE expires_at IS NOT NULL AND NOT deleted";
    loop {
        let left: Vec<String> = sqlx::query_scalar(query).fetch_all(&pool).await.expect("messages");
        if left.is_empty() || Instant::now() > deadline {
            return left.into_iter().map(|message| format!("{message} was to be removed")).collect();
        }
        sleep(POLL).await;
    }
}

/// Whether the newest message of each conversation is found by its words, and those that were removed are not. Waits a while for the index.
async fn searched(stack: &Stack, stage: &Stage, ending: &Ending) -> Vec<String> {
    let mut asked: BTreeMap<&str, (&Account, i64, &str)> = BTreeMap::new();
    for ((conversation, user), messages) in &ending.messages {
        let newest = messages.iter().rev().find_map(|(seq, text)| Some((*seq, text.as_deref()?)));
        let account = stage.accounts.iter().find(|account| account.user == *user);
        if let (Some((seq, text)), Some(account)) = (newest, account) {
            asked.insert(conversation, (account, seq, text));
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let mut wrong = Vec::new();
    for (conversation, (account, seq, text)) in asked {
        loop {
            let data = json!({ "conversation": conversation, "text": text });
            let found = command(stack, account, "search", data).await;
            if found["messages"].as_array().is_some_and(|found| found.iter().any(|message| message["seq"] == seq)) {
                break;
            }
            if Instant::now() > deadline {
                wrong.push(format!(
                    "{conversation} {seq} is not found by its words as {} sees it: {found}",
                    account.user
                ));
                break;
            }
            sleep(POLL).await;
        }
    }
    wrong
}

async fn command(stack: &Stack, account: &Account, kind: &str, data: Value) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match stack.post(account, kind, data.clone()).await {
            (200, body) => return body,
            (503, _) if Instant::now() < deadline => sleep(POLL).await,
            (status, body) => panic!("{kind} {data} gave {status} {body} when all was quiet"),
        }
    }
}

/// Everybody's inbox, and so who is a member of what.
async fn inboxes(stack: &Stack, stage: &Stage, ending: &mut Ending) -> Vec<(String, Account)> {
    let mut members = Vec::new();
    let inboxes = futures_util::stream::iter(&stage.accounts)
        .map(|account| async move { (account, command(stack, account, "inbox", json!({ "limit": 200 })).await) });
    for (account, inbox) in inboxes.buffered(AT_A_TIME).collect::<Vec<_>>().await {
        for entry in inbox["conversations"].as_array().into_iter().flatten() {
            let entry = Entry::read(&account.user, entry).expect("a conversation");
            members.push((entry.conversation.clone(), account.clone()));
            ending.inbox.push(entry);
        }
    }
    members
}

async fn events(stack: &Stack, account: &Account, conversation: &str) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.position);
        let data = json!({ "conversation": conversation, "after_position": after, "limit": 1_000 });
        let page = command(stack, account, "events", data).await;
        let page: Vec<_> = page["events"].as_array().into_iter().flatten().filter_map(Event::read).collect();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

async fn messages(stack: &Stack, account: &Account, conversation: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.0);
        let data = json!({ "conversation": conversation, "after_seq": after, "limit": 200 });
        let page = command(stack, account, "history", data).await;
        let read =
            |message: &Value| (message["seq"].as_i64().unwrap_or(0), message["text"].as_str().map(str::to_owned));
        messages.extend(page["messages"].as_array().into_iter().flatten().map(read));
        if page["has_more"] != true {
            return messages;
        }
    }
}

/// What people know by now, waiting a while for those who do not know all that is in the logs.
async fn caught_up(stage: &Stage, ending: &mut Ending) {
    let deadline = Instant::now() + PATIENCE / 4;
    let newest: BTreeMap<_, _> =
        ending.logs.iter().map(|(key, log)| (key.clone(), log.last().map(|event| event.position))).collect();
    loop {
        ending.known.clear();
        ending.online.clear();
        for (account, shown) in stage.accounts.iter().zip(&stage.shown) {
            let record = shown.record();
            if record.online && !shown.away.load(Ordering::Relaxed) {
                ending.online.insert(account.user.clone());
            }
            for (conversation, place) in &record.places {
                ending.known.insert((conversation.clone(), account.user.clone()), place.known());
            }
        }
        let has = |(key, last): (&(String, String), &Option<i64>)| {
            !ending.online.contains(&key.1) || ending.known.get(key) == Some(last)
        };
        if newest.iter().all(has) || Instant::now() > deadline {
            return;
        }
        sleep(POLL).await;
    }
}

/// Everybody's presence, waiting a while for it to be right.
async fn shown(stack: &Stack, stage: &Stage, stranger: &Account, ending: &mut Ending) {
    let deadline = Instant::now() + PATIENCE / 4;
    loop {
        for users in stage.accounts.chunks(100) {
            let users: Vec<_> = users.iter().map(|account| &account.user).collect();
            let current = command(stack, stranger, "presence.watch", json!({ "users": users })).await;
            for presence in current["presence"].as_array().into_iter().flatten() {
                let (user, status) = (presence["user"].as_str(), presence["status"].as_str());
                ending.shown.insert(user.expect("a user").into(), status.expect("a status").into());
            }
        }
        let right = ending.shown.iter().all(|(user, status)| (status == "online") == ending.online.contains(user));
        if right || Instant::now() > deadline {
            return;
        }
        sleep(POLL).await;
    }
}

/// What the accepted journal says should be public, and what is, when the publishers have had time to get there.
async fn streams(client: &ClientConfig) -> (Vec<Stream>, Vec<String>) {
    let mut torn = Vec::new();
    let mut streams: BTreeMap<(&str, i32), Stream> = BTreeMap::new();
    for journal in JOURNALS {
        for partition in 0..PARTITIONS {
            let accepted = match accepted(client, journal, partition).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    torn.push(format!("{journal}/{partition}: {error}"));
                    continue;
                }
            };
            for (stream, record) in accepted {
                let name = STREAMS.into_iter().find(|name| *name == stream);
                let name = name.unwrap_or_else(|| panic!("the checker does not know the stream {stream}"));
                streams.entry((name, partition)).or_default().accepted.push(record);
            }
        }
    }
    for ((name, partition), stream) in &mut streams {
        stream.name = format!("{name}/{partition}");
        let deadline = Instant::now() + PATIENCE / 4;
        loop {
            let public = read_to_end(client, name, *partition).await.expect("read");
            let text = |bytes: Option<bytes::Bytes>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
            let record = |r: tidings::log::Fetched| (text(r.key), r.value.map(|value| value.to_vec()));
            stream.public = public.into_iter().map(record).collect();
            if stream.public.last() == stream.accepted.last() || Instant::now() > deadline {
                break;
            }
            sleep(POLL).await;
        }
    }
    (streams.into_values().collect(), torn)
}

/// The timelines that the public stream holds, and what was removed of them.
fn sealed(streams: &[Stream]) -> (BTreeMap<String, Vec<Event>>, BTreeMap<String, Vec<Removed>>) {
    let mut timelines: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    let mut removed: BTreeMap<String, Vec<Removed>> = BTreeMap::new();
    for stream in streams.iter().filter(|stream| stream.name.starts_with(topics::CONVERSATION_EVENTS)) {
        let newest: HashMap<_, _> = stream.public.iter().map(|(key, value)| (key, value)).collect();
        // What has a tombstone may still be there.
        let kept = stream.public.iter().filter(|(key, value)| newest[key] == value);
        for value in kept.filter_map(|(_, value)| value.as_deref()) {
            let record: ConversationEvent = Codec::builtin().decode(value).expect("an event");
            let conversation = record.conversation.to_string();
            let of_messages = record.message_deleted.iter().flat_map(|deleted| &deleted.messages);
            removed.entry(conversation.clone()).or_default().extend(of_messages.map(|message| Removed {
                seq: message.seq,
                sender: message.sender.to_string(),
                positions: message.positions.clone(),
            }));
            timelines.entry(conversation).or_default().push(sealed_event(&record));
        }
    }
    (timelines, removed)
}

fn sealed_event(record: &ConversationEvent) -> Event {
    let mut event = Event {
        conversation: record.conversation.to_string(),
        position: record.position,
        actor: record.actor.to_string(),
        kind: record.r#type.clone(),
        ..Event::default()
    };
    let users = match record.event() {
        Some(domain::Event::Created(created)) => created.members.iter().map(|member| member.user).collect(),
        Some(domain::Event::Joined(joined)) => joined.users,
        Some(domain::Event::Left(left)) => left.users,
        Some(domain::Event::Declined(of)) => of.users,
        Some(domain::Event::Requested) => vec![record.actor],
        Some(domain::Event::Muted(of) | domain::Event::Unmuted(of) | domain::Event::Unbanned(of)) => of.users,
        _ => Vec::new(),
    };
    event.users = users.iter().map(ToString::to_string).collect();
    match record.event() {
        Some(domain::Event::Sent(sent)) => {
            (event.seq, event.client_id, event.mentions) = (sent.seq, Some(sent.client_id.to_string()), sent.mentions);
        }
        Some(domain::Event::Edited(edited)) => (event.seq, event.mentions) = (edited.seq, edited.mentions),
        Some(domain::Event::Deleted(deleted)) => event.removed = deleted.messages.iter().map(|m| m.seq).collect(),
        Some(domain::Event::Reacted(of) | domain::Event::Unreacted(of)) => {
            (event.seq, event.emoji) = (of.seq, Some(of.emoji));
        }
        Some(domain::Event::Pinned(of) | domain::Event::Unpinned(of) | domain::Event::PollClosed(of)) => {
            event.seq = of.seq
        }
        Some(domain::Event::Located(of)) => event.seq = of.seq,
        Some(domain::Event::Voted(of)) => event.seq = of.seq,
        _ => {}
    }
    event
}

/// Stream and record.
type Published = (String, Keyed);

async fn accepted(client: &ClientConfig, journal: &str, partition: i32) -> Result<Vec<Published>, JournalError> {
    let mut all = Vec::new();
    let end = ends(client, journal, partition).await?.high;
    let reader = Reader::new(client, journal)?;
    let mut records = JournalReader::open(&reader, Codec::builtin(), journal, partition, Head::default()).await?;
    while records.head().next_offset < end {
        for accepted in records.next(1_000).await? {
            let public = accepted.record.records.into_iter();
            all.extend(public.map(|r| (r.stream, (r.key, r.value.map(|value| value.to_vec())))));
        }
    }
    Ok(all)
}

/// Every projection, as it is and as it is made anew.
async fn rebuilt(stack: &Stack) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let pool = PgPool::connect(stack.postgres_url()).await.expect("connects");
    let mut views = BTreeMap::new();
    for projection in catalog::all().iter().map(|projection| &projection.name) {
        let live = rows(&pool, projection).await;
        stack.run(&["admin", "rebuild", projection]).await;
        views.insert(projection.clone(), (live, rows(&pool, projection).await));
    }
    views
}
