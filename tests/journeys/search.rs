//! What was said is found again, by those who may see it.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use tidings::log::{Producer, partition_of, topics};
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::{Account, PATIENCE, Person, Role, Stack};

const AGAIN: Duration = Duration::from_millis(50);

/// What is found, as (conversation, seq).
async fn found(person: &mut Person, data: &Value) -> Value {
    let page = person.ok_until_heard("search", data.clone()).await;
    page["messages"].as_array().expect("messages").iter().map(|m| json!([m["conversation"], m["seq"]])).collect()
}

/// Waits until just these messages of `conversation` are found, newest first: the index follows what is said.
async fn finds(person: &mut Person, data: Value, conversation: &str, seqs: &[i64]) {
    let expected: Value = seqs.iter().map(|seq| json!([conversation, seq])).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = found(person, &data).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{data} finds {found}, not {expected}");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until everything said in `conversation` before is indexed: by something said now.
async fn indexed(person: &mut Person, conversation: &str) -> i64 {
    let word = format!("marker{}", Uuid::now_v7().simple());
    let seq = person.say_until_heard(conversation, &word).await["seq"].as_i64().expect("a seq");
    finds(person, json!({ "text": word, "conversation": conversation }), conversation, &[seq]).await;
    seq
}

async fn online(stack: &Stack, name: &str) -> (Person, Account) {
    let account = stack.account(name).await;
    (Person::online(&stack.address, &account, None).await.0, account)
}

#[tokio::test]
async fn what_was_forwarded_is_found_by_who_forwarded_it() {
    let stack = Stack::shared().await;
    let ((mut a, ada), (mut b, bob)) = (online(stack, "Ada").await, online(stack, "Bob").await);
    let (direct, group) = (a.direct(&bob).await, b.group(&[&ada], "The crew").await);
    let seq = a.say(&direct, "meet at the lighthouse").await["seq"].clone();
    let forward = json!({ "conversation": direct, "seq": seq });
    b.ok("message.send", json!({ "conversation": group, "client_id": Uuid::now_v7(), "forward": forward })).await;
    finds(&mut a, json!({ "text": "lighthouse", "sender": bob.user }), &group, &[1]).await;
}

#[tokio::test]
async fn what_was_said_is_found_by_words_sender_date_and_kind() {
    let stack = Stack::shared().await;
    let (mut a, _) = online(stack, "Ada").await;
    let (mut b, bob) = online(stack, "Bob").await;
    let group = a.group(&[&bob], "crew").await;
    let first = a.say(&group, "Meet me at the OLD pier, by the Crème Brûlée stand").await;
    b.say(&group, "which pier? https://example.org/piers").await;
    let last = a.say(&group, "Straße 9").await;
    let of = |text: &str| json!({ "text": text });
    finds(&mut a, of("pier"), &group, &[2, 1]).await;
    for (asked, seqs) in [
        (of("PIER old"), &[1][..]),
        (of("creme brulee"), &[1]),
        (of("strasse"), &[3]),
        (of("pie"), &[]),
        (of("pier nowhere"), &[]),
        (json!({ "text": "pier", "sender": bob.user }), &[2]),
        (json!({ "sender": bob.user }), &[2]),
        (json!({ "has": "link", "kind": "group" }), &[2]),
        (json!({ "has": "link", "kind": "direct" }), &[]),
        (json!({ "conversation": group, "after": last["at"] }), &[3]),
        (json!({ "conversation": group, "before": last["at"], "after": first["at"] }), &[2, 1]),
        (json!({ "text": "pier", "before": first["at"] }), &[]),
    ] {
        finds(&mut a, asked, &group, seqs).await;
    }

    // In pages, and over HTTP.
    let page = a.ok("search", json!({ "text": "pier", "limit": 1 })).await;
    assert_eq!(
        (&page["has_more"], &page["messages"][0]["seq"], &page["complete"]),
        (&json!(true), &json!(2), &json!(true))
    );
    assert_eq!(page["messages"][0]["text"], "which pier? https://example.org/piers");
    let next = json!({ "text": "pier", "limit": 1, "cursor": page["cursor"] });
    let (status, page) = stack.post(&a.account, "search", next).await;
    assert_eq!((status, &page["has_more"], &page["messages"][0]["seq"]), (200, &json!(false), &json!(1)));
    let path = format!("/v1/search?q=pier&sender={}&limit=5&after=2020-01-01T00:00:00Z", bob.user);
    let (status, page) = stack.get(&path, &a.account.token).await;
    assert_eq!((status, page["messages"].as_array().map(Vec::len)), (200, Some(1)), "{page}");

    for (asked, code) in [
        (json!({}), "bad_request"),
        (json!({ "kind": "group" }), "bad_request"),
        (of("…!"), "bad_request"),
        (of(&"x".repeat(1_025)), "too_large"),
        (json!({ "text": "pier", "cursor": "1.2.3" }), "bad_request"),
        (json!({ "text": "pier", "limit": 0 }), "bad_request"),
        (json!({ "text": "pier", "kind": "private" }), "bad_request"),
    ] {
        assert_eq!(a.code("search", asked.clone()).await, code, "{asked}");
    }
}

#[tokio::test]
async fn words_are_found_in_languages_without_spaces() {
    let stack = Stack::shared().await;
    let (mut a, _) = online(stack, "Ada").await;
    let (_, bob) = online(stack, "Bob").await;
    let direct = a.direct(&bob).await;
    for text in [
        "我昨天在北京大学图书馆借了三本关于机器学习的书。",
        "明日の会議は東京都庁で午後三時からです。コンピューターを忘れないで",
        "พรุ่งนี้เราจะไปกินข้าวที่ตลาดน้ำ",
        "내일 학교에서 만나요",
    ] {
        a.say(&direct, text).await;
    }
    indexed(&mut a, &direct).await;
    for (asked, seqs) in [
        ("北京", &[1][..]),
        ("图书馆", &[1]),
        ("机器学习", &[1]),
        ("书", &[1]),
        ("学习机", &[]),
        ("東京", &[2]),
        ("会議 午後三時", &[2]),
        ("こんぴゅーたー", &[2]),
        ("ｺﾝﾋﾟｭｰﾀｰ", &[2]),
        ("議会", &[]),
        ("ตลาด", &[3]),
        ("กินข้าว", &[3]),
        ("ข่าว", &[]),
        ("학교", &[4]),
    ] {
        finds(&mut a, json!({ "text": asked }), &direct, seqs).await;
    }
}

#[tokio::test]
async fn edits_and_removals_are_followed() {
    let stack = Stack::shared().await;
    let (mut a, _) = online(stack, "Ada").await;
    let (mut b, bob) = online(stack, "Bob").await;
    let direct = a.direct(&bob).await;
    for text in ["the amber boat", "the amber lamp", "the amber sea"] {
        a.say(&direct, text).await;
    }
    let amber = || json!({ "text": "amber" });
    finds(&mut b, amber(), &direct, &[3, 2, 1]).await;
    a.ok("message.edit", json!({ "conversation": direct, "seq": 1, "text": "the green boat" })).await;
    a.ok("message.delete", json!({ "conversation": direct, "seq": 2, "scope": "everyone" })).await;
    a.ok("message.delete", json!({ "conversation": direct, "seq": 3, "scope": "me" })).await;
    finds(&mut a, amber(), &direct, &[]).await;
    finds(&mut b, amber(), &direct, &[3]).await;
    finds(&mut b, json!({ "text": "green boat" }), &direct, &[1]).await;
    // Nothing is left of them in the index either, but the one that is still there for Bob.
    indexed(&mut a, &direct).await;
    let pool = PgPool::connect(stack.parts.postgres_url()).await.expect("connects");
    let conversation: tidings::domain::ConversationId = direct.parse().expect("an id");
    let rows = "SELECT seq FROM search_messages WHERE conversation = $1 ORDER BY seq";
    let id = Uuid::from_bytes(*conversation.as_bytes());
    let seqs: Vec<i64> = sqlx::query_scalar(rows).bind(id).fetch_all(&pool).await.expect("rows");
    assert_eq!(seqs, [1, 3, 4]);
}

#[tokio::test]
async fn only_members_find_and_only_what_they_may_see() {
    let stack = Stack::shared().await;
    let (mut a, _) = online(stack, "Ada").await;
    let (mut b, bob) = online(stack, "Bob").await;
    let (mut c, cid) = online(stack, "Cid").await;
    let (mut e, _) = online(stack, "Eve").await;
    let group = a.group(&[&bob], "crew").await;
    a.ok("conversation.update", json!({ "conversation": group, "history": "since_join" })).await;
    a.say(&group, "umbrella one").await;
    a.ok("member.add", json!({ "conversation": group, "users": [cid.user] })).await;
    a.say(&group, "umbrella two").await;
    let umbrella = || json!({ "text": "umbrella" });
    let here = || json!({ "text": "umbrella", "conversation": group });
    finds(&mut b, umbrella(), &group, &[2, 1]).await;
    finds(&mut c, umbrella(), &group, &[2]).await;
    finds(&mut c, here(), &group, &[2]).await;
    assert_eq!(found(&mut e, &umbrella()).await, json!([]));
    assert_eq!(e.code("search", here()).await, "not_a_member");
    a.ok("member.remove", json!({ "conversation": group, "users": [bob.user] })).await;
    finds(&mut b, umbrella(), &group, &[]).await;
    assert_eq!(b.code("search", here()).await, "not_a_member");
    let stranger = stack.other_tenant_account("Mallory").await;
    let (status, answer) = stack.post(&stranger, "search", here()).await;
    assert_eq!((status, &answer["code"]), (404, &json!("not_found")));
    let elsewhere = json!({ "text": "umbrella", "conversation": "cnv_00000000000000000000000001" });
    assert_eq!(a.code("search", elsewhere).await, "not_found");
}

#[tokio::test]
async fn no_word_stands_in_the_tables() {
    const TEXT: &str = "rendezvous at the lighthouse 灯台";
    let stack = Stack::shared().await;
    let (mut a, _) = online(stack, "Ada").await;
    let (_, bob) = online(stack, "Bob").await;
    let (one, other) = (a.direct(&bob).await, a.group(&[&bob], "crew").await);
    for conversation in [&one, &other] {
        a.say(conversation, TEXT).await;
        indexed(&mut a, conversation).await;
    }
    let pool = PgPool::connect(stack.parts.postgres_url()).await.expect("connects");
    let mut terms: Vec<Vec<i64>> = Vec::new();
    for conversation in [&one, &other] {
        let id: tidings::domain::ConversationId = conversation.parse().expect("an id");
        let of = "SELECT terms FROM search_messages WHERE conversation = $1 AND seq = 1";
        terms
            .push(sqlx::query_scalar(of).bind(Uuid::from_bytes(*id.as_bytes())).fetch_one(&pool).await.expect("a row"));
    }
    assert!(terms[0].len() > 5 && terms[0].len() == terms[1].len());
    assert!(terms[0].iter().all(|term| !terms[1].contains(term)), "the same words are seen to be the same elsewhere");
    let all = "SELECT m::TEXT FROM search_messages m UNION ALL SELECT t::TEXT FROM search_terms t";
    let rows: Vec<String> = sqlx::query_scalar(all).fetch_all(&pool).await.expect("rows");
    for word in ["rendezvous", "lighthouse", "灯台"] {
        assert!(!rows.iter().any(|row| row.contains(word)), "{word} stands in the index");
    }
}

/// Each role in a process of its own.
async fn apart() -> (Stack, Vec<Role>) {
    let mut stack = Stack::start().await;
    let mut roles = Vec::new();
    for name in ["sequencer", "projector", "publisher", "gateway"] {
        roles.push(stack.role(name).await);
    }
    stack.address = roles[3].address.clone();
    (stack, roles)
}

/// Waits until the whole index is there.
async fn complete(person: &mut Person) {
    let deadline = Instant::now() + PATIENCE * 2;
    while person.ok_until_heard("search", json!({ "text": "x" })).await["complete"] != true {
        assert!(Instant::now() < deadline, "the index is not built");
        tokio::time::sleep(AGAIN).await;
    }
}

#[tokio::test]
async fn the_index_comes_back_by_itself_and_forgets_who_is_erased() {
    let (stack, _roles) = apart().await;
    let (mut a, _) = online(&stack, "Ada").await;
    let (mut b, bob) = online(&stack, "Bob").await;
    let direct = a.direct(&bob).await;
    a.say(&direct, "the old pier").await;
    b.say(&direct, "the new pier").await;
    let pier = || json!({ "text": "pier" });
    let page = a.ok("search", pier()).await;
    assert_eq!((&page["messages"], &page["complete"]), (&json!([]), &json!(false)), "nobody indexes yet");

    // Two share the partitions, and each takes over what the other had.
    let (mut one, mut two) = (stack.role("indexer").await, stack.role("indexer").await);
    finds(&mut a, pier(), &direct, &[2, 1]).await;
    complete(&mut a).await;
    one.kill().await;
    a.say(&direct, "no pier at all").await;
    finds(&mut a, pier(), &direct, &[3, 2, 1]).await;

    // A crash of Postgres empties the tables: with an indexer that runs, and with one that does not.
    stack.parts.kill_postgres().await;
    stack.parts.start_postgres().await.expect("starts");
    complete(&mut a).await;
    finds(&mut a, pier(), &direct, &[3, 2, 1]).await;
    assert!(two.terminate().await.success(), "it ends in order");
    stack.parts.kill_postgres().await;
    stack.parts.start_postgres().await.expect("starts");
    let page = a.ok_until_heard("search", pier()).await;
    assert_eq!((&page["messages"], &page["complete"]), (&json!([]), &json!(false)), "the tables survive a crash");
    let three = stack.role("indexer").await;
    finds(&mut a, pier(), &direct, &[3, 2, 1]).await;
    complete(&mut a).await;

    // There is no erasure yet: this is the tombstone that one will write. Ada's own connections end with it, so Bob asks.
    let pool = PgPool::connect(stack.parts.postgres_url()).await.expect("connects");
    let key = format!("{}/1", a.account.user);
    let partition = partition_of(a.account.user.as_bytes(), 4);
    let producer = Producer::new(&stack.kafka()).expect("configured");
    let appended = producer.append(topics::USER_KEYS, partition, key.as_bytes(), None).expect("queued");
    appended.await.expect("durable");
    let rows = async || {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM search_messages").fetch_one(&pool).await.expect("rows")
    };
    let deadline = Instant::now() + PATIENCE;
    while rows().await != 1 {
        assert!(Instant::now() < deadline, "{} messages are indexed", rows().await);
        tokio::time::sleep(AGAIN).await;
    }
    finds(&mut b, pier(), &direct, &[2]).await;
    // Nor does it come back.
    let _three = three.kill_and_restart().await;
    sqlx::raw_sql("TRUNCATE search_checkpoints").execute(&pool).await.expect("emptied");
    complete(&mut b).await;
    assert_eq!(rows().await, 1);
    let terms = "SELECT count(*) = (SELECT sum(cardinality(terms)) FROM search_messages) FROM search_terms";
    assert!(sqlx::query_scalar::<_, bool>(terms).fetch_one(&pool).await.expect("asked"), "terms of nobody are left");
}
