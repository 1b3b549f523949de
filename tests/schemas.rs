//! The schemas, the structs and the classification of personal data hold each other.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use tidings::codec::records::*;
use tidings::codec::{Codec, DecodeError, Record, SCHEMAS};
use tidings::domain::conversation::{
    Block, ChangeSettings, Command, CreateConversation, Draft, EditMessage, MarkRead, OfMessage, Reaction, Restriction,
    SendMessage, UpdateConversation, Users,
};
use tidings::domain::conversation::{
    ConversationCreated, DeleteReason, Forward, InThread, Invite, LeaveReason, Located, MemberJoined, MemberLeft,
    MemberRole, MessageDeleted, MessageEdited, MessageSent, Notify, OfInvite, PollRules, RemovedMessage, Report,
    ReportMessage, ReportOutcome, ReportReason, Resolution, Settings, Vote,
};
use tidings::domain::policy::{ConversationKind, History, JoinRule, Role, ShownTo};
use tidings::domain::user::{ChangePrivacy, Moderator, OfUser, Privacy, Profile};
use tidings::domain::{CommandId, ConversationId, ErrorCode, EventId, Id, Rejection, TenantId, Timestamp, UserId};
use uuid::Uuid;

fn id<K: tidings::domain::ids::Kind>(n: u8) -> Id<K> {
    Id::from_bytes([n; 16])
}

fn reply_to() -> Option<ReplyTo> {
    Some(ReplyTo { incarnation: id(1), partition: 2, reference: i64::MAX })
}

fn trace() -> Option<String> {
    Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into())
}

fn bytes() -> Bytes {
    Bytes::from_static(b"\x00\x01sealed\xff")
}

fn invite() -> Invite {
    Invite { invite: id(8), expires_at: Some(Timestamp(7)), max_uses: Some(3), role: Role::Guest }
}

fn profile() -> Profile {
    Profile { external_id: "ada@example".into(), name: Some("Ada".into()) }
}

/// Encodes a struct in which every optional field is set, decodes it, and compares. Then looks whether the schema has a field that
/// no struct of ours fills.
fn holds<T: Record + PartialEq + std::fmt::Debug>(full: T) -> &'static str {
    let codec = Codec::builtin();
    let encoded = codec.encode(&full).expect("encodes");
    assert_eq!(codec.decode::<T>(&encoded).expect("decodes"), full);
    let json = serde_json::to_value(&full).expect("is JSON");
    let schema = schema(T::NAME);
    let in_schema: BTreeSet<_> = fields(&schema).map(|f| f["name"].as_str().expect("named").to_owned()).collect();
    let in_struct: BTreeSet<_> = json.as_object().expect("a record").keys().cloned().collect();
    assert_eq!(in_schema, in_struct, "{}", T::NAME);
    let unset: Vec<_> =
        json.as_object().expect("a record").iter().filter(|(_, v)| v.is_null()).map(|(k, _)| k).collect();
    assert!(unset.is_empty(), "{} leaves {unset:?} unset, so nothing is shown of them", T::NAME);
    for cut in 0..encoded.len() {
        assert!(codec.decode::<T>(&encoded[..cut]).is_err(), "{} cut at {cut} decodes", T::NAME);
    }
    T::NAME
}

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(format!("{name}.avsc"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

fn fields(record: &Value) -> impl Iterator<Item = &Value> {
    record["fields"].as_array().expect("a record").iter()
}

#[test]
fn every_struct_is_its_schema() {
    let mut command = ConversationCommand::new(
        id(1),
        id(2),
        id(3),
        Command::Create(CreateConversation {
            kind: ConversationKind::Group,
            members: vec![id(4)],
            name: Some(bytes()),
            client_id: Uuid::now_v7(),
        }),
    );
    command.reply_to = reply_to();
    command.traceparent = trace();
    command.message_send = Some(SendMessage {
        client_id: Uuid::now_v7(),
        text: Some(bytes()),
        reply_to: Some(1),
        thread: Some(2),
        mentions: vec!["all".into()],
        content: Some(bytes()),
        forward: Some(Forward { author: id(8), at: Timestamp(5) }),
        live_until: Some(Timestamp(6)),
        poll: Some(PollRules { options: 3, multiple: true, closes_at: Some(Timestamp(7)) }),
        expires_in_ms: Some(60_000),
    });
    command.located = Some(Located { seq: 3, content: bytes(), live_until: Timestamp(6) });
    command.vote = Some(Vote { seq: 3, options: vec![0, 2] });
    command.invite = Some(invite());
    command.of_invite = Some(OfInvite { invite: id(8) });
    command.thread_read = Some(InThread { thread: 3, thread_seq: 4 });
    command.read = Some(MarkRead { seq: 7 });
    command.members = Some(Users { users: vec![id(5), id(6)] });
    let mentions = Some(vec!["all".into()]);
    command.message_edit = Some(EditMessage { seq: 1, text: bytes(), fingerprint: bytes(), mentions });
    command.message = Some(OfMessage { seq: 3 });
    command.reaction = Some(Reaction { seq: 3, emoji: "👍".into() });
    let update = UpdateConversation {
        name: Some(bytes()),
        topic: Some(bytes()),
        picture: Some(bytes()),
        history: Some(History::SinceJoin),
        join: Some(JoinRule::Closed),
        frozen: Some(true),
        slow_mode_ms: Some(1_000),
        cleared: vec!["topic".into()],
    };
    command.conversation_update = Some(update.clone());
    command.member_role = Some(MemberRole { user: id(5), role: Role::Admin });
    command.settings = Some(ChangeSettings {
        muted_until: Some(Timestamp(7)),
        unmuted: true,
        pinned: Some(true),
        archived: Some(false),
        notify: Some(Notify::Mentions),
    });
    command.draft = Some(Draft { text: Some(bytes()) });
    command.block = Some(Block { blocked: true });
    command.restriction = Some(Restriction { users: vec![id(5)], until: Some(Timestamp(9)) });
    command.moderator = Some(true);
    command.report =
        Some(ReportMessage { seq: 3, reason: ReportReason::Spam, comment: Some(bytes()), fingerprint: Some(bytes()) });
    command.resolution = Some(Resolution { seq: 3, outcome: ReportOutcome::Dismissed, last_at: Some(Timestamp(7)) });
    let mut user_command = UserCommand::put(id(1), id(2), profile());
    user_command.reply_to = reply_to();
    user_command.traceparent = trace();
    user_command.other = Some(OfUser { user: id(4) });
    user_command.privacy = Some(ChangePrivacy { presence: Some(ShownTo::Nobody), last_seen: Some(ShownTo::Contacts) });
    user_command.moderator = Some(Moderator { moderator: true });
    let message = MessageSent {
        seq: 1,
        client_id: Uuid::now_v7(),
        text: Some(bytes()),
        reply_to: Some(1),
        thread: Some(1),
        mentions: vec!["here".into()],
        thread_seq: Some(2),
        content: Some(bytes()),
        forward: Some(Forward { author: id(8), at: Timestamp(5) }),
        live_until: Some(Timestamp(6)),
        poll: Some(PollRules { options: 3, multiple: true, closes_at: Some(Timestamp(7)) }),
        expires_at: Some(Timestamp(8)),
    };
    let event = ConversationEvent {
        event_id: id(1),
        r#type: "message.sent".into(),
        tenant: id(2),
        conversation: id(3),
        position: 4,
        actor: id(5),
        occurred_at: Timestamp(6),
        causation: id(7),
        traceparent: trace(),
        epoch: 0,
        partition: 3,
        index: 8,
        last_seq: 4,
        conversation_created: Some(ConversationCreated {
            kind: ConversationKind::Channel,
            name: Some(bytes()),
            members: vec![MemberRole { user: id(5), role: Role::Owner }],
        }),
        message_sent: Some(message),
        member_joined: Some(MemberJoined {
            users: vec![id(1)],
            role: Role::Member,
            first_slot: 2,
            read_seq: 3,
            invite: Some(id(8)),
        }),
        member_left: Some(MemberLeft {
            users: vec![id(1)],
            reason: LeaveReason::Banned,
            promoted: Some(id(2)),
            banned: vec![id(1), id(7)],
            until: Some(Timestamp(9)),
        }),
        message_edited: Some(MessageEdited {
            seq: 1,
            text: bytes(),
            fingerprint: bytes(),
            mentions: vec!["here".into()],
        }),
        message_deleted: Some(MessageDeleted {
            messages: vec![RemovedMessage {
                seq: 1,
                sender: id(5),
                positions: vec![2, 4],
                at: Timestamp(6),
                client_id: Some(Uuid::now_v7()),
                thread: Some(InThread { thread: 3, thread_seq: 4 }),
            }],
            reason: DeleteReason::Moderator,
        }),
        message: Some(OfMessage { seq: 3 }),
        reaction: Some(Reaction { seq: 3, emoji: ":party_parrot:".into() }),
        conversation_updated: Some(update),
        member_role: Some(MemberRole { user: id(5), role: Role::Admin }),
        restriction: Some(Restriction { users: vec![id(5)], until: Some(Timestamp(9)) }),
        located: Some(Located { seq: 3, content: bytes(), live_until: Timestamp(6) }),
        vote: Some(Vote { seq: 3, options: vec![0, 2] }),
        invite: Some(invite()),
        of_invite: Some(OfInvite { invite: id(8) }),
        users: Some(Users { users: vec![id(5)] }),
    };
    let journal = JournalRecord {
        id: id(1),
        prev: id(2),
        index: 3,
        cause_epoch: 0,
        cause_offset: 5,
        tenant: id(6),
        aggregate: "cnv_x".into(),
        r#type: REJECTED.into(),
        position: 0,
        seq: 0,
        last_seq: 9,
        at: Timestamp(1),
        actor: id(2),
        causation: id(3),
        reply_to: reply_to(),
        traceparent: trace(),
        rejection: Some(Rejection::new(ErrorCode::Forbidden, "no")),
        records: vec![StreamRecord { stream: "receipts".into(), key: "k".into(), value: Some(bytes()) }],
    };
    let reply = Reply {
        reference: 1,
        code: Some("forbidden".into()),
        message: "no".into(),
        aggregate: "cnv_x".into(),
        position: 1,
        seq: 2,
        at: Timestamp(3),
        duplicate: true,
        retry_after_ms: Some(7),
    };
    let mark = Mark {
        partition: 1,
        epoch: 0,
        term: 3,
        sessions_from: 4,
        routed_from: 5,
        sessions_offset: 6,
        reached_offset: 7,
    };
    let held = [
        holds(command),
        holds(user_command),
        holds(event),
        holds(journal),
        holds(Receipt {
            event_id: id(1),
            tenant: id(2),
            conversation: id(3),
            user: id(4),
            read_seq: 5,
            delivered_seq: 6,
            occurred_at: Timestamp(7),
            causation: id(8),
            traceparent: trace(),
            epoch: 0,
            partition: 1,
            index: 2,
            r#type: "receipt.delivered".into(),
        }),
        holds(MemberState {
            event_id: id(1),
            r#type: "member.settings".into(),
            tenant: id(2),
            conversation: id(3),
            user: id(4),
            occurred_at: Timestamp(7),
            causation: id(8),
            traceparent: trace(),
            epoch: 0,
            partition: 1,
            index: 2,
            settings: Some(Settings {
                muted_until: Some(Timestamp(9)),
                pinned: true,
                archived_seq: Some(4),
                notify: Notify::Nothing,
            }),
            hidden: Some(OfMessage { seq: 3 }),
            draft: Some(Draft { text: Some(bytes()) }),
            block: Some(Block { blocked: true }),
            thread: Some(InThread { thread: 3, thread_seq: 4 }),
            report: Some(Report {
                seq: 3,
                reason: ReportReason::SelfHarm,
                comment: Some(bytes()),
                fingerprint: Some(bytes()),
                sender: id(5),
                opened_at: Timestamp(6),
            }),
            resolution: Some(Resolution { seq: 3, outcome: ReportOutcome::Restricted, last_at: Some(Timestamp(7)) }),
        }),
        holds(UserEvent {
            event_id: id(1),
            r#type: "user.registered".into(),
            tenant: id(2),
            user: id(3),
            position: 1,
            actor: id(3),
            occurred_at: Timestamp(7),
            causation: id(8),
            traceparent: trace(),
            epoch: 0,
            partition: 1,
            index: 2,
            user_registered: Some(profile()),
            user_updated: Some(profile()),
            user_blocked: Some(OfUser { user: id(4) }),
            user_privacy: Some(Privacy { presence: ShownTo::Nobody, last_seen: ShownTo::Contacts }),
            user_moderator: Some(Moderator { moderator: true }),
        }),
        holds(UserKey {
            tenant: id(1),
            user: id(2),
            version: 1,
            master: "m1".into(),
            wrapped: bytes(),
            created_at: Timestamp(3),
            epoch: 0,
            partition: 1,
            index: 2,
        }),
        holds(UserKeyRewrap {
            command_id: id(1),
            tenant: id(2),
            user: id(3),
            traceparent: trace(),
            version: 1,
            master: "m1".into(),
            wrapped: bytes(),
        }),
        holds(Session {
            tenant: id(1),
            user: id(2),
            session: id(3),
            incarnation: id(4),
            device: Some(id(5)),
            started_at: Timestamp(6),
        }),
        holds(GatewayClaim { incarnation: id(1), partition: 2, generation: 3, claim_offset: -1, acked_offset: 5 }),
        holds(Presence {
            tenant: id(1),
            user: id(2),
            session: Some(id(3)),
            incarnation: id(4),
            status: PresenceStatus::Away,
            at: Timestamp(5),
        }),
        holds(Delivery {
            incarnation: id(1),
            journal: "conversation-journal".into(),
            partition: 2,
            next_offset: 3,
            record: Some(bytes()),
            recipients: Bytes::from_static(&[7; 32]),
            reply: Some(reply),
        }),
        holds(Marks { incarnation: id(1), journal: "conversation-journal".into(), marks: vec![mark] }),
        holds(Notification {
            tenant: id(1),
            user: id(2),
            conversation: id(3),
            event_id: id(4),
            r#type: "message.sent".into(),
            position: 1,
            seq: 2,
            actor: id(5),
            occurred_at: Timestamp(6),
        }),
        holds(CrowdNotification {
            tenant: id(1),
            conversation: id(3),
            event_id: id(4),
            r#type: "message.sent".into(),
            position: 1,
            seq: 2,
            actor: id(5),
            occurred_at: Timestamp(6),
            reached: bytes(),
        }),
        holds(Signal {
            r#type: "typing".into(),
            tenant: id(1),
            conversation: id(2),
            actor: id(3),
            session: id(4),
            active: true,
            at: Timestamp(5),
        }),
        holds(DeadLetter {
            topic: "conversation-commands".into(),
            partition: 1,
            offset: 2,
            reason: "damaged".into(),
            key: Some(bytes()),
            value: Some(bytes()),
            at: Timestamp(3),
        }),
        holds(Checkpoint {
            journal: "conversation-journal".into(),
            partition: 1,
            epoch: 0,
            next_offset: 2,
            head: id(3),
            head_offset: 1,
            index: 4,
            cause_offset: 5,
        }),
    ];
    let held: BTreeSet<_> = held.into();
    let all: BTreeSet<_> = SCHEMAS.iter().map(|s| s.name).collect();
    assert_eq!(held, all, "a schema without a struct, or without a test");
}

#[test]
fn what_is_written_is_the_newest_frozen_version() {
    let mut ids = BTreeSet::new();
    for version in SCHEMAS {
        assert!(ids.insert(version.id), "id {} is used twice", version.id);
        let newest = SCHEMAS.iter().filter(|s| s.name == version.name).map(|s| s.version).max();
        if newest == Some(version.version) {
            let frozen: Value = serde_json::from_str(version.text).expect("JSON");
            assert_eq!(frozen, schema(version.name), "{}: freeze a new version, never change an old one", version.name);
        }
    }
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")).expect("readable");
    let files = files.filter_map(|f| f.ok()?.file_name().into_string().ok()?.strip_suffix(".avsc").map(str::to_owned));
    for name in files {
        assert!(SCHEMAS.iter().any(|s| s.name == name), "{name}.avsc has no id");
    }
}

/// Every field of every record, also of those inside.
fn each_field(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    match schema {
        Value::Array(union) => union.iter().for_each(|branch| each_field(branch, path, see)),
        Value::Object(object) if object.contains_key("fields") => {
            for field in fields(schema) {
                let path = format!("{path}.{}", field["name"].as_str().expect("named"));
                see(&path, field);
                each_field(&field["type"], &path, see);
            }
        }
        Value::Object(object) => {
            object.get("items").into_iter().chain(object.get("values")).for_each(|inner| each_field(inner, path, see));
        }
        _ => {}
    }
}

#[test]
fn every_field_says_what_personal_data_it_holds() {
    for version in SCHEMAS {
        each_field(&schema(version.name), version.name, &mut |path, field| {
            let class = field["pii"].as_str();
            assert!(matches!(class, Some("content" | "identifier" | "none")), "{path} has pii {class:?}");
            let doc = field["doc"].as_str();
            assert!(doc.is_some_and(|doc| !doc.is_empty()), "{path} has no doc");
        });
    }
}

#[test]
fn hostile_bytes_are_errors() {
    let codec = Codec::builtin();
    assert!(matches!(codec.decode::<Session>(b""), Err(DecodeError::NotFramed)));
    assert!(matches!(codec.decode::<Session>(b"{\"a\":1}"), Err(DecodeError::NotFramed)));
    assert!(matches!(codec.decode::<Session>(&[0, 0, 1, 0, 0]), Err(DecodeError::UnknownSchema(65536))));
    let claim = GatewayClaim { incarnation: id(1), partition: 2, generation: 3, claim_offset: -1, acked_offset: 5 };
    let claim = codec.encode(&claim).expect("encodes");
    assert!(matches!(codec.decode::<Session>(&claim), Err(DecodeError::WrongType { .. })));
    let huge_array = [&claim[..5], &[0xff; 40]].concat();
    assert!(matches!(codec.decode::<GatewayClaim>(&huge_array), Err(DecodeError::Damaged { .. })));
}

/// The most memory that this process has had mapped, in kilobytes.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("a peak");
    peak.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
fn a_declared_length_is_not_believed() {
    let codec = Codec::with_ids(&Default::default()).expect("builds");
    let before = peak_kb();
    for version in SCHEMAS {
        codec.learn(version.id + 1_000, version.text).expect("learns");
        for id in [version.id, version.id + 1_000] {
            // As a string, as bytes, or as a block of an array: 500,000,000, and nothing after it.
            let framed = [&[0], &id.to_be_bytes()[..], &[0x80, 0x94, 0xeb, 0xdc, 0x03]].concat();
            assert!(codec.decode::<Session>(&framed).is_err());
            assert!(codec.decode::<Delivery>(&framed).is_err());
            assert!(codec.decode::<JournalRecord>(&framed).is_err());
            assert!(codec.decode::<Marks>(&framed).is_err());
        }
    }
    let grown = peak_kb() - before;
    assert!(grown < 300_000, "{grown} kB for a few bytes");
}

#[derive(serde::Serialize, Default)]
#[serde(rename = "ConversationEvent")]
struct NewerEvent {
    event_id: EventId,
    r#type: &'static str,
    tenant: TenantId,
    conversation: ConversationId,
    position: i64,
    actor: UserId,
    occurred_at: i64,
    causation: CommandId,
    traceparent: Option<String>,
    epoch: i32,
    partition: i32,
    index: i64,
    last_seq: i64,
    conversation_created: Option<ConversationCreated>,
    message_sent: Option<MessageSent>,
    member_joined: Option<MemberJoined>,
    member_left: Option<MemberLeft>,
    reaction_added: Option<ReactionAdded>,
}

#[derive(serde::Serialize)]
struct ReactionAdded {
    emoji: &'static str,
}

/// A later writer adds an event type: an older reader keeps the envelope and passes over the body.
#[test]
fn an_older_reader_passes_over_a_newer_body() {
    let mut newer = schema("ConversationEvent");
    let reaction = serde_json::json!({"name": "reaction_added", "default": null, "type":
        ["null", {"type": "record", "name": "ReactionAdded", "fields": [{"name": "emoji", "type": "string"}]}]});
    newer["fields"].as_array_mut().expect("a record").push(reaction);
    let schema = apache_avro::Schema::parse_str(&newer.to_string()).expect("parses");
    let newer_event = NewerEvent {
        event_id: id(1),
        r#type: "reaction.added",
        tenant: id(1),
        conversation: id(1),
        position: 5,
        actor: id(1),
        occurred_at: 1,
        causation: id(1),
        index: 9,
        reaction_added: Some(ReactionAdded { emoji: "👍" }),
        ..NewerEvent::default()
    };
    let datum = apache_avro::writer::datum::GenericDatumWriter::builder(&schema)
        .human_readable(true)
        .build()
        .and_then(|writer| writer.write_ser_to_vec(&newer_event))
        .expect("encodes");
    let codec = Codec::with_ids(&Default::default()).expect("builds");
    let framed = [&[0, 0, 0, 4, 0], &datum[..]].concat();
    assert!(matches!(codec.decode::<ConversationEvent>(&framed), Err(DecodeError::UnknownSchema(1024))));
    codec.learn(1024, &newer.to_string()).expect("learns");
    let event: ConversationEvent = codec.decode(&framed).expect("decodes");
    assert_eq!((event.position, event.index, event.event()), (5, 9, None));
}
