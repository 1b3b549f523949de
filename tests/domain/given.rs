//! A conversation and what happened in it.

use std::collections::HashSet;

use bytes::Bytes;
use proptest::prelude::*;
use tidings::domain::conversation::{
    ChangeSettings, Command, Conversation, CreateConversation, Decision, EditMessage, InThread, Input, Located,
    MarkRead, MemberRole, OfMessage, PollRules, Reaction, Recorded, ReportMessage, ReportOutcome, ReportReason,
    Resolution, Restriction, SendMessage, UpdateConversation, Users, Vote, decide, evolve,
};
use tidings::domain::policy::{ConversationKind, History, Role};
use tidings::domain::{ConversationId, ErrorCode, TenantId, Timestamp, UserId};
use uuid::Uuid;

pub const NOW: i64 = 1_795_000_000_000;

pub fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

pub fn tenant() -> TenantId {
    TenantId::from_bytes([1; 16])
}

/// A UUIDv7 made at `at`, told apart by `n`.
pub fn client_id(at: i64, n: u8) -> Uuid {
    let mut bytes = [n; 16];
    bytes[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    Uuid::from_bytes(bytes)
}

pub fn create(kind: ConversationKind, members: Vec<UserId>) -> Command {
    Command::Create(CreateConversation { kind, members, name: None, client_id: client_id(NOW, 0) })
}

pub fn send(n: u8) -> Command {
    send_at(NOW, n)
}

pub fn send_at(at: i64, n: u8) -> Command {
    let text = Some(Bytes::from_static(b"sealed"));
    Command::Send(SendMessage { text, ..SendMessage::new(client_id(at, n)) })
}

pub fn users() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec((0..6u8).prop_map(user), 0..4)
}

pub fn command() -> impl Strategy<Value = Command> {
    let of_messages = prop_oneof![
        3 => (0..6i64, 0..3u8).prop_map(|(seq, text)| edit(seq, text)),
        2 => (0..6i64).prop_map(|seq| Command::Delete(OfMessage { seq })),
        4 => (0..6i64, any::<bool>()).prop_map(|(seq, up)| Command::React(reaction(seq, up))),
        2 => (0..6i64, any::<bool>()).prop_map(|(seq, up)| Command::Unreact(reaction(seq, up))),
        2 => (0..6i64).prop_map(|seq| Command::Pin(OfMessage { seq })),
        1 => (0..6i64).prop_map(|seq| Command::Unpin(OfMessage { seq })),
        1 => (0..6i64).prop_map(|seq| Command::Hide(OfMessage { seq })),
    ];
    let contents = prop_oneof![
        3 => (0..20u8, 0..3i64).prop_map(|(n, thread)| sending(n, |send| SendMessage { thread: Some(thread), ..send })),
        2 => (0..20u8).prop_map(|n| {
            let poll = Some(PollRules { options: 2, multiple: true, closes_at: None });
            sending(n, |send| SendMessage { poll, ..send })
        }),
        2 => (0..20u8).prop_map(|n| sending(n, |send| SendMessage { live_until: Some(Timestamp(NOW + 100)), ..send })),
        2 => (0..6i64, prop::sample::subsequence(vec![0, 1], 0..=2))
            .prop_map(|(seq, options)| Command::Vote(Vote { seq, options })),
        1 => (0..6i64).prop_map(|seq| Command::ClosePoll(OfMessage { seq })),
        1 => (0..6i64).prop_map(|seq| Command::Expire(OfMessage { seq })),
        1 => (0..6i64).prop_map(|seq| {
            Command::Locate(Located { seq, content: Bytes::new(), live_until: Timestamp(NOW + 50) })
        }),
        2 => (0..3i64, 0..3i64)
            .prop_map(|(thread, thread_seq)| Command::ReadThread(InThread { thread, thread_seq })),
    ];
    let of_members = prop_oneof![
        1 => users().prop_map(|members| create(ConversationKind::Group, members)),
        6 => (0..20u8).prop_map(send),
        3 => (0..8i64).prop_map(|seq| Command::Read(MarkRead { seq })),
        2 => users().prop_map(|users| Command::AddMembers(Users { users })),
        2 => users().prop_map(|users| Command::RemoveMembers(Users { users })),
        1 => Just(Command::Join),
        1 => Just(Command::Leave),
        2 => (0..8i64).prop_map(|seq| Command::Delivered(MarkRead { seq })),
        2 => (0..6u8, prop::sample::select(Role::ALL)).prop_map(|(n, role)| set_role(n, role)),
        1 => prop::sample::select(History::ALL).prop_map(|history| update(Some(history))),
    ];
    let settings = (any::<Option<bool>>(), any::<Option<bool>>()).prop_map(|(pinned, archived)| {
        Command::Settings(ChangeSettings { pinned, archived, ..ChangeSettings::default() })
    });
    let restrictions = prop_oneof![
        2 => (users(), any::<bool>()).prop_map(|(users, ends)| Command::Ban(restriction(users, ends))),
        2 => (users(), any::<bool>()).prop_map(|(users, ends)| Command::Mute(restriction(users, ends))),
        1 => users().prop_map(|users| Command::Unban(Users { users })),
        1 => users().prop_map(|users| Command::Unmute(Users { users })),
    ];
    prop_oneof![6 => of_members, 4 => of_messages, 3 => contents, 1 => settings, 1 => restrictions, 1 => reporting()]
}

/// A message with sealed content.
pub fn sending(n: u8, change: impl FnOnce(SendMessage) -> SendMessage) -> Command {
    let content = Some(Bytes::from_static(b"sealed"));
    Command::Send(change(SendMessage { content, ..SendMessage::new(client_id(NOW, n)) }))
}

/// Text and fingerprint follow from `text`.
pub fn edit(seq: i64, text: u8) -> Command {
    let (text, fingerprint) = (Bytes::copy_from_slice(&[text; 9]), Bytes::copy_from_slice(&[text]));
    Command::Edit(EditMessage { seq, text, fingerprint, mentions: None })
}

pub fn reporting() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (0..6i64, 0..2u8).prop_map(|(seq, comment)| report(seq, comment)),
        1 => (0..6i64, prop::sample::select(ReportOutcome::ALL)).prop_map(|(seq, outcome)| resolve(seq, outcome)),
    ]
}

/// With a comment, and its fingerprint.
pub fn report(seq: i64, comment: u8) -> Command {
    let (reason, comment) = (ReportReason::Spam, Some(Bytes::copy_from_slice(&[comment; 9])));
    Command::Report(ReportMessage { seq, reason, fingerprint: comment.clone(), comment })
}

pub fn resolve(seq: i64, outcome: ReportOutcome) -> Command {
    Command::Resolve(Resolution { seq, outcome, last_at: None })
}

pub fn reaction(seq: i64, up: bool) -> Reaction {
    Reaction { seq, emoji: if up { "👍" } else { "👎" }.to_owned() }
}

pub fn set_role(n: u8, role: Role) -> Command {
    Command::SetRole(MemberRole { user: user(n), role })
}

pub fn restriction(users: Vec<UserId>, ends: bool) -> Restriction {
    Restriction { users, until: ends.then_some(Timestamp(NOW + 100)) }
}

pub fn update(history: Option<History>) -> Command {
    Command::Update(UpdateConversation { history, ..UpdateConversation::default() })
}

pub struct Given {
    pub id: ConversationId,
    pub state: Option<Conversation>,
    pub events: Vec<Recorded>,
    pub at: i64,
    /// Who moderates the tenant.
    pub moderator: Option<u8>,
}

impl Given {
    pub fn nothing() -> Self {
        let id = ConversationId::group(user(0), client_id(NOW, 0));
        Self { id, state: None, events: Vec::new(), at: NOW, moderator: None }
    }

    pub fn group(kind: ConversationKind, others: &[u8]) -> Self {
        let mut given = Self::nothing();
        given.when(0, create(kind, others.iter().copied().map(user).collect()));
        given
    }

    pub fn input(&self, actor: u8, command: Command) -> Input {
        let (moderator, at) = (self.moderator == Some(actor), Timestamp(self.at));
        Input { tenant: tenant(), conversation: self.id, actor: user(actor), moderator, at, command }
    }

    pub fn when(&mut self, actor: u8, command: Command) -> Decision {
        let input = self.input(actor, command);
        let decision = decide(self.state.as_ref(), &input);
        if let Decision::Record(recorded) = &decision {
            evolve(&mut self.state, self.id, tenant(), recorded);
            self.events.push(recorded.clone());
        }
        decision
    }

    pub fn code(&mut self, actor: u8, command: Command) -> Option<ErrorCode> {
        match self.when(actor, command) {
            Decision::Reject(rejection) => Some(rejection.code),
            _ => None,
        }
    }

    pub fn members(&self) -> HashSet<UserId> {
        self.state.iter().flat_map(|state| state.members.keys().copied()).collect()
    }
}
