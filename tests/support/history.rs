//! What could have happened: journals made by the real `decide` and `evolve` from arbitrary commands.

#![allow(dead_code, reason = "each test binary uses its part")]

#[path = "history/steps.rs"]
mod steps;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tidings::codec::Codec;
use tidings::codec::records::{ConversationEvent, JournalRecord, REJECTED, StreamRecord};
use tidings::domain::conversation::{
    Block, ChangeSettings, Command, Conversation, CreateConversation, Draft, EditMessage, Forward, InThread, Input,
    Invite, Located, MarkRead, MemberRole, Notify, OfInvite, OfMessage, PollRules, Reaction, ReportMessage,
    ReportOutcome, ReportReason, Resolution, Restriction, SendMessage, UpdateConversation, Users as Members, Vote,
};
use tidings::domain::decision::Decision;
use tidings::domain::policy::{ConversationKind, History as Shown, JoinRule, Role};
use tidings::domain::user::{self, Profile, User, WrappedKey};
use tidings::domain::{CommandId, ConversationId, EventId, InviteId, LinkId, TenantId, Timestamp, UserId};
use tidings::log::{partition_of, topics};
use tidings::sequencer::aggregate::{Aggregate, Stamp};
use tidings::sequencer::conversations::Conversations;
use tidings::sequencer::users::Users;
use uuid::Uuid;

use steps::What;
#[allow(unused_imports, reason = "each test binary uses its part")]
pub use steps::{Step, profiles, steps};

pub const PARTITIONS: i32 = 2;
const USERS: usize = 5;
const CONVERSATIONS: usize = 4;

/// One partition of a journal.
#[derive(Default)]
pub struct Partition {
    pub records: Vec<JournalRecord>,
    head: EventId,
}

impl Partition {
    fn index(&self) -> i64 {
        self.records.len() as i64
    }
}

/// Journals, and what the sequencers knew at each index of them.
pub struct History {
    pub tenant: TenantId,
    users: Vec<UserId>,
    places: Vec<(ConversationId, ConversationKind, Uuid)>,
    pub conversations: [Partition; PARTITIONS as usize],
    pub profiles: [Partition; PARTITIONS as usize],
    /// By conversation: the index of its partition at which it became this.
    pub states: HashMap<ConversationId, BTreeMap<i64, Conversation>>,
    pub people: HashMap<UserId, User>,
    sent: Vec<(ConversationId, UserId, Uuid)>,
    now: Timestamp,
}

impl History {
    /// Nothing but users. Ids are new at every run, and yet each partition has the same share of users and conversations: by chance alone one
    /// of them would, every eighth time, have none.
    pub fn new() -> Self {
        let mut users: Vec<UserId> = (0..USERS).map(|n| in_partition_of(n, UserId::generate, |user| *user)).collect();
        users[1] = in_partition_of(
            0,
            || in_partition_of(1, UserId::generate, |user| *user),
            |other| ConversationId::direct(users[0], *other),
        );
        let place = |n: usize| match n {
            0 => (ConversationId::direct(users[0], users[1]), ConversationKind::Direct, Uuid::now_v7()),
            _ => {
                let id = in_partition_of(n, Uuid::now_v7, |id| ConversationId::group(users[0], *id));
                let kind = if n == 1 { ConversationKind::Channel } else { ConversationKind::Group };
                (ConversationId::group(users[0], id), kind, id)
            }
        };
        Self {
            tenant: TenantId::generate(),
            places: (0..CONVERSATIONS).map(place).collect(),
            users,
            conversations: Default::default(),
            profiles: Default::default(),
            states: HashMap::new(),
            people: HashMap::new(),
            sent: Vec::new(),
            now: Timestamp::now(),
        }
    }

    /// Goes on by `steps`.
    pub fn go(&mut self, steps: &[Step]) {
        for step in steps {
            self.now = self.now.plus(1);
            match &step.what {
                What::Put(name) => self.put(step, name.clone()),
                What::BlockUser(block) => {
                    let other = user::OfUser { user: self.users[step.others[0].index(USERS)] };
                    let block = if *block { user::Command::Block(other) } else { user::Command::Unblock(other) };
                    self.of_user(step, block);
                }
                What::Privacy(presence, last_seen) => {
                    let change = user::ChangePrivacy { presence: *presence, last_seen: *last_seen };
                    self.of_user(step, user::Command::SetPrivacy(change));
                }
                What::Moderator(moderator) => {
                    let moderator = user::Moderator { moderator: *moderator };
                    self.of_user(step, user::Command::SetModerator(moderator));
                }
                what => {
                    if matches!(what, What::Expire { .. }) {
                        self.now = self.now.plus(500);
                    }
                    self.happen(step);
                }
            }
        }
    }

    pub fn ids(&self) -> Vec<ConversationId> {
        self.places.iter().map(|place| place.0).collect()
    }

    pub fn user_ids(&self) -> &[UserId] {
        &self.users
    }

    /// What was known of a conversation at an index of its partition.
    pub fn state_at(&self, id: ConversationId, index: i64) -> Option<&Conversation> {
        self.states.get(&id)?.range(..=index).next_back().map(|(_, state)| state)
    }

    fn happen(&mut self, step: &Step) {
        let (id, kind, client_id) = self.places[step.place.index(CONVERSATIONS)];
        let actor = self.users[step.actor.index(USERS)];
        let others: Vec<_> = step.others.iter().map(|other| self.users[other.index(USERS)]).collect();
        let before = self.states.get(&id).and_then(|states| states.values().next_back().cloned());
        let Some(state) = &before else {
            let members = if kind == ConversationKind::Direct { vec![self.users[1]] } else { others };
            let name = (kind != ConversationKind::Direct).then(|| Bytes::from_static(b"a sealed name"));
            let create = Command::Create(CreateConversation { kind, members, name, client_id });
            return self.decide(id, self.users[0], false, None, create);
        };
        let command = match &step.what {
            What::Send { mentions, again, more } => {
                let (actor, client_id) = match self.sent.iter().rev().find(|sent| sent.0 == id).filter(|_| *again) {
                    Some((_, actor, client_id)) => (*actor, *client_id),
                    None => (actor, Uuid::now_v7()),
                };
                let mentions = mentions.map(|all| if all { "all".to_owned() } else { others[0].to_string() });
                let text = Some(Bytes::from_static(b"a sealed text"));
                let reply_to = (state.last_seq > 0).then_some(state.last_seq);
                let mentions = mentions.into_iter().collect();
                let send = SendMessage { text, reply_to, mentions, ..SendMessage::new(client_id) };
                let send = self.with_more(send, *more, state, others[0]);
                self.sent.push((id, actor, client_id));
                return self.decide(id, actor, false, before, Command::Send(send));
            }
            What::Read { back } => Command::Read(MarkRead { seq: state.last_seq - i64::from(*back) }),
            What::Add => Command::AddMembers(Members { users: others }),
            What::Remove => Command::RemoveMembers(Members { users: others }),
            What::Join => Command::Join,
            What::Leave => Command::Leave,
            What::Invent | What::Put(_) | What::BlockUser(_) | What::Privacy(..) | What::Moderator(_) => {
                return self.invent(id, actor, state.clone());
            }
            what => self.rarer(what, state, &others),
        };
        // Mostly by somebody who may, or members would hardly ever change.
        let owner = state.members.iter().find(|(_, member)| member.role == Role::Owner).map(|(user, _)| *user);
        let actor = match command {
            Command::AddMembers(_)
            | Command::RemoveMembers(_)
            | Command::Update(_)
            | Command::SetRole(_)
            | Command::Ban(_)
            | Command::Unban(_)
            | Command::Mute(_)
            | Command::Unmute(_)
            | Command::Invite(_)
            | Command::RevokeInvite(_)
            | Command::Decline(_)
                if step.others.len() > 1 =>
            {
                owner.unwrap_or(actor)
            }
            Command::Edit(EditMessage { seq, .. })
            | Command::Locate(Located { seq, .. })
            | Command::ClosePoll(OfMessage { seq })
                if step.others.len() > 1 =>
            {
                state.known.messages.get(&seq).map_or(actor, |message| message.sender)
            }
            _ => actor,
        };
        let moderator = step.others.len() == 3 || matches!(command, Command::Resolve(_));
        self.decide(id, actor, moderator, before, command);
    }

    /// What only some messages have.
    fn with_more(&self, send: SendMessage, more: u8, state: &Conversation, author: UserId) -> SendMessage {
        let content = Some(Bytes::from_static(b"a sealed place or question"));
        match more {
            0 | 1 => {
                let roots = state.known.messages.iter().filter(|(_, message)| message.thread.is_none());
                SendMessage { thread: roots.map(|(seq, _)| *seq).min().or(send.reply_to), ..send }
            }
            2 => {
                let poll = Some(PollRules { options: 2, multiple: true, closes_at: None });
                SendMessage { content, poll, ..send }
            }
            3 => SendMessage { text: None, content, live_until: Some(self.now.plus(1_500)), ..send },
            4 => SendMessage { expires_in_ms: Some(1_000), ..send },
            5 => SendMessage { forward: Some(Forward { author, at: self.now }), ..send },
            _ => send,
        }
    }

    fn rarer(&self, what: &What, state: &Conversation, others: &[UserId]) -> Command {
        let seq = |back: &u8| state.last_seq - i64::from(*back);
        let sealed = |of: &Option<bool>| (*of == Some(true)).then(|| Bytes::from_static(b"sealed"));
        let restriction = |ends: bool| Restriction { users: others.to_vec(), until: ends.then(|| self.now.plus(10)) };
        match what {
            What::Delivered { back } => Command::Delivered(MarkRead { seq: seq(back) }),
            What::Edit { back, text } => Command::Edit(EditMessage {
                seq: seq(back),
                text: Bytes::copy_from_slice(&[*text; 9]),
                fingerprint: Bytes::copy_from_slice(&[*text; 2]),
                mentions: (*text > 0).then(|| vec![others[0].to_string()]),
            }),
            What::Delete { back } => Command::Delete(OfMessage { seq: seq(back) }),
            What::Expire { back } => Command::Expire(OfMessage { seq: seq(back) }),
            What::Locate { back } => {
                let (content, live_until) = (Bytes::from_static(b"another sealed place"), self.now.plus(500));
                Command::Locate(Located { seq: seq(back), content, live_until })
            }
            What::Vote { back, options } => {
                let options = [(options.0, 0), (options.1, 1)].into_iter().filter(|(chosen, _)| *chosen);
                Command::Vote(Vote { seq: seq(back), options: options.map(|(_, option)| option).collect() })
            }
            What::ClosePoll { back } => Command::ClosePoll(OfMessage { seq: seq(back) }),
            What::ReadThread { thread, back } => {
                let mut roots: Vec<_> = state.known.threads.iter().map(|(root, thread)| (*root, thread.last)).collect();
                roots.sort_unstable();
                let (thread, last) = if roots.is_empty() { (1, 1) } else { roots[thread.index(roots.len())] };
                Command::ReadThread(InThread { thread, thread_seq: last - i64::from(*back) })
            }
            What::React { back, emoji, take_back } => {
                let reaction = Reaction { seq: seq(back), emoji: ["👍", ":parrot:"][usize::from(*emoji)].into() };
                if *take_back { Command::Unreact(reaction) } else { Command::React(reaction) }
            }
            What::Pin { back, unpin: false } => Command::Pin(OfMessage { seq: seq(back) }),
            What::Pin { back, unpin: true } => Command::Unpin(OfMessage { seq: seq(back) }),
            What::Update { name, topic, history } => {
                let cleared = [("name", name), ("topic", topic)].into_iter().filter(|(_, to)| **to == Some(false));
                Command::Update(UpdateConversation {
                    name: sealed(name),
                    topic: sealed(topic),
                    picture: sealed(history),
                    history: history.map(|all| if all { Shown::All } else { Shown::SinceJoin }),
                    join: topic.map(|open| match (open, history) {
                        (true, _) => JoinRule::Open,
                        (false, Some(_)) => JoinRule::Request,
                        (false, None) => JoinRule::Closed,
                    }),
                    frozen: name.filter(|_| history.is_none()),
                    slow_mode_ms: topic.map(|slow| if slow { 1 } else { 0 }),
                    cleared: cleared.map(|(name, _)| name.to_owned()).collect(),
                })
            }
            What::Role { role } => {
                Command::SetRole(MemberRole { user: others[0], role: Role::ALL[role.index(Role::ALL.len())] })
            }
            What::Settings { muted, pinned, archived } => Command::Settings(ChangeSettings {
                muted_until: (*muted == Some(true)).then(|| self.now.plus(1_000)),
                unmuted: *muted == Some(false),
                pinned: *pinned,
                archived: *archived,
                notify: archived.map(|none| if none { Notify::Nothing } else { Notify::Mentions }),
            }),
            What::Invite { revoke: false } => Command::Invite(Invite {
                invite: InviteId::of_link(LinkId::generate()),
                expires_at: Some(self.now.plus(5_000)),
                max_uses: Some(2),
                role: Role::Guest,
            }),
            What::Invite { .. } => Command::RevokeInvite(OfInvite { invite: newest_invite(state) }),
            What::Accept => Command::JoinByInvite(OfInvite { invite: newest_invite(state) }),
            What::Decline => Command::Decline(Members { users: others.to_vec() }),
            What::Ban { lift: false, ends } => Command::Ban(restriction(*ends)),
            What::Ban { .. } => Command::Unban(Members { users: others.to_vec() }),
            What::Mute { lift: false, ends } => Command::Mute(restriction(*ends)),
            What::Mute { .. } => Command::Unmute(Members { users: others.to_vec() }),
            What::Block(blocked) => Command::Block(Block { blocked: *blocked }),
            What::Hide { back } => Command::Hide(OfMessage { seq: seq(back) }),
            What::Report { back, comment } => {
                let reason = if *comment == 0 { ReportReason::Spam } else { ReportReason::Other };
                let said = (*comment > 0).then(|| Bytes::copy_from_slice(&[*comment; 3]));
                Command::Report(ReportMessage { seq: seq(back), reason, fingerprint: said.clone(), comment: said })
            }
            What::Resolve { of, outcome } => {
                let mut reported: Vec<_> = state.known.reports.keys().copied().collect();
                reported.sort_unstable();
                let seq = if reported.is_empty() { 1 } else { reported[of.index(reported.len())] };
                let outcome = ReportOutcome::ALL[outcome.index(ReportOutcome::ALL.len())];
                Command::Resolve(Resolution { seq, outcome, last_at: None })
            }
            _ => Command::Draft(Draft { text: sealed(&Some(matches!(what, What::Draft(true)))) }),
        }
    }

    fn decide(
        &mut self,
        id: ConversationId,
        actor: UserId,
        moderator: bool,
        mut state: Option<Conversation>,
        command: Command,
    ) {
        let input = Input { tenant: self.tenant, conversation: id, actor, moderator, at: self.now, command };
        let recorded = match Conversations::decide(state.as_ref(), &input) {
            Decision::Record(recorded) => recorded,
            Decision::Done(_) => return,
            Decision::Reject(rejection) => {
                let partition = &mut self.conversations[number(&id)];
                let mut record = link(partition, self.tenant, id, actor, self.now);
                record.rejection = Some(rejection);
                return push(partition, record);
            }
        };
        Conversations::evolve(&mut state, id, self.tenant, &recorded);
        let last_seq = Conversations::last_seq(state.as_ref());
        let partition = &mut self.conversations[number(&id)];
        let mut record = link(partition, self.tenant, id, actor, recorded.at);
        let stamp = stamp(&record, id, last_seq);
        record.records = Conversations::records(Codec::builtin(), &stamp, &recorded).expect("encodes");
        record.r#type = recorded.event.name().to_owned();
        (record.position, record.last_seq) = (recorded.position, last_seq);
        let state = state.expect("it exists");
        self.states.entry(id).or_default().insert(record.index, state);
        push(partition, record);
    }

    fn invent(&mut self, id: ConversationId, actor: UserId, mut state: Conversation) {
        (state.last_position, state.last_at) = (state.last_position + 1, self.now.max(state.last_at));
        let partition = &mut self.conversations[number(&id)];
        let mut record = link(partition, self.tenant, id, actor, state.last_at);
        record.r#type = "later.invention".into();
        let event = ConversationEvent {
            event_id: record.id,
            r#type: record.r#type.clone(),
            tenant: self.tenant,
            conversation: id,
            position: state.last_position,
            actor,
            occurred_at: state.last_at,
            causation: record.causation,
            traceparent: None,
            epoch: 0,
            partition: partition_of(id.to_string().as_bytes(), PARTITIONS),
            index: record.index,
            last_seq: state.last_seq,
            ..ConversationEvent::default()
        };
        record.records = vec![StreamRecord {
            stream: topics::CONVERSATION_EVENTS.into(),
            key: format!("{id}/{}", state.last_position),
            value: Some(Codec::builtin().encode(&event).expect("encodes")),
        }];
        self.states.entry(id).or_default().insert(record.index, state);
        push(partition, record);
    }

    fn put(&mut self, step: &Step, name: Option<String>) {
        let user = self.users[step.actor.index(USERS)];
        let profile = Profile { external_id: format!("of {user}"), name };
        self.of_user(step, user::Command::Put(profile));
    }

    fn of_user(&mut self, step: &Step, command: user::Command) {
        let user = self.users[step.actor.index(USERS)];
        let fresh_key = Some(WrappedKey { version: 1, master: "m".into(), wrapped: Bytes::from_static(b"wrapped") });
        let input = user::Input { tenant: self.tenant, user, at: self.now, fresh_key, command };
        let mut state = self.people.remove(&user);
        if let Decision::Record(recorded) = Users::decide(state.as_ref(), &input) {
            Users::evolve(&mut state, user, self.tenant, &recorded);
            let partition = &mut self.profiles[number(&user)];
            let mut record = link(partition, self.tenant, user, user, recorded.at);
            let stamp = stamp(&record, user, 0);
            record.records = Users::records(Codec::builtin(), &stamp, &recorded).expect("encodes");
            record.r#type = recorded.event.name().to_owned();
            record.position = recorded.position;
            push(partition, record);
        }
        self.people.extend(state.map(|state| (user, state)));
    }
}

/// What is loaded of a conversation without being asked for: sends, and no messages.
pub fn without_messages(state: &Conversation) -> Conversation {
    let mut state = state.clone();
    state.known.messages.clear();
    state.known.threads.clear();
    state.known.reports.clear();
    state
}

/// Makes something until what it names is in the partition that is `n`'s turn.
fn in_partition_of<T, Id: ToString>(n: usize, make: impl Fn() -> T, named: impl Fn(&T) -> Id) -> T {
    std::iter::repeat_with(make).find(|made| number(&named(made)) == n % PARTITIONS as usize).expect("sooner or later")
}

fn number(id: &impl ToString) -> usize {
    partition_of(id.to_string().as_bytes(), PARTITIONS) as usize
}

fn link(
    partition: &Partition,
    tenant: TenantId,
    aggregate: impl ToString,
    actor: UserId,
    at: Timestamp,
) -> JournalRecord {
    JournalRecord {
        id: EventId::generate(),
        prev: partition.head,
        index: partition.index() + 1,
        cause_epoch: 0,
        cause_offset: partition.index(),
        tenant,
        aggregate: aggregate.to_string(),
        r#type: REJECTED.to_owned(),
        position: 0,
        seq: 0,
        last_seq: 0,
        at,
        actor,
        causation: CommandId::generate(),
        reply_to: None,
        traceparent: None,
        rejection: None,
        records: Vec::new(),
    }
}

fn stamp<Id: ToString + Copy>(record: &JournalRecord, aggregate: Id, last_seq: i64) -> Stamp<Id> {
    Stamp {
        event_id: record.id,
        tenant: record.tenant,
        aggregate,
        causation: record.causation,
        traceparent: None,
        epoch: 0,
        partition: partition_of(aggregate.to_string().as_bytes(), PARTITIONS),
        index: record.index,
        last_seq,
    }
}

fn push(partition: &mut Partition, record: JournalRecord) {
    partition.head = record.id;
    partition.records.push(record);
}

/// One that was not revoked, if there is one.
fn newest_invite(state: &Conversation) -> InviteId {
    state.invites.keys().next_back().copied().unwrap_or_else(InviteId::generate)
}
