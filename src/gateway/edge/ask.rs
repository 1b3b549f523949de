//! How the edge asks the sequencers: a command is appended, and its answer comes with the deliveries.

use bytes::Bytes;

use super::{Edge, Identity};
use crate::codec::records::{ConversationCommand, Reply, ReplyTo, Signal, UserCommand};
use crate::codec::{Codec, EncodeError};
use crate::domain::decision::Done;
use crate::domain::{ErrorCode, UserId};
use crate::gateway::admission::Admission;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Appending;
use crate::log::{AppendError, topics};

impl Edge {
    /// Asks a conversation's owner. The command is appended before the first await, so commands are in order of these calls.
    ///
    /// # Errors
    /// What the owner says, or `unavailable`, which promises nothing: the command may still come to effect.
    pub async fn ask_conversation(&self, mut command: ConversationCommand) -> Result<Done, Failure> {
        let (key, actor) = (command.conversation.to_string(), command.actor);
        self.ask(topics::CONVERSATION_COMMANDS, &key, actor, |codec, reply_to| {
            command.reply_to = Some(reply_to);
            codec.encode(&command)
        })
        .await
    }

    /// Asks a user's owner.
    ///
    /// # Errors
    /// As [`Edge::ask_conversation`].
    pub async fn ask_user(&self, mut command: UserCommand) -> Result<Done, Failure> {
        let (key, user) = (command.user.to_string(), command.user);
        self.ask(topics::USER_COMMANDS, &key, user, |codec, reply_to| {
            command.reply_to = Some(reply_to);
            codec.encode(&command)
        })
        .await
    }

    async fn ask(
        &self,
        topic: &'static str,
        key: &str,
        actor: UserId,
        encode: impl FnOnce(&Codec, ReplyTo) -> Result<Bytes, EncodeError>,
    ) -> Result<Done, Failure> {
        let Identity { incarnation, partition } = self.identity()?;
        let _admitted = self.admission(topic).enter(self.partition_of(key))?;
        let mut waiting = self.pending.register(actor);
        let reply_to = ReplyTo { incarnation, partition, reference: waiting.reference };
        let value = encode(self.codec, reply_to).map_err(|error| not_encoded(&error))?;
        let appending = self.append(topic, key, &value)?;
        let replied = async {
            // A reply can overtake the report of the append; a failed append never has one.
            tokio::select! {
                reply = waiting.reply() => reply,
                Err(error) = appending => {
                    tracing::warn!(topic, error = &error as &dyn std::error::Error, "a command could not be appended");
                    None
                }
            }
        };
        match tokio::time::timeout(self.options.command_timeout, replied).await {
            Ok(Some(reply)) => done(reply),
            Ok(None) | Err(_) => {
                let unavailable =
                    Failure::unavailable("nobody has answered in time; send it again with the same client_id");
                Err(unavailable.after(self.options.answer_target))
            }
        }
    }

    fn admission(&self, topic: &'static str) -> &Admission {
        if topic == topics::USER_COMMANDS { &self.user_commands } else { &self.conversation_commands }
    }

    /// Sends what is shown and forgotten; the first thing that is not, when commands wait.
    ///
    /// # Errors
    /// `unavailable` if it cannot even be queued.
    pub fn signal(&self, signal: &Signal) -> Result<(), Failure> {
        if !self.conversation_commands.has_room_to_spare(self.partition_of(&signal.conversation.to_string())) {
            metrics::counter!("tidings_gateway_signals_shed_total").increment(1);
            return Ok(());
        }
        let value = self.codec.encode(signal).map_err(|error| not_encoded(&error))?;
        // Nobody waits for it, and a lost one harms nobody.
        self.append(topics::CONVERSATION_SIGNALS, &signal.conversation.to_string(), &value).map(drop)
    }

    fn append(&self, topic: &'static str, key: &str, value: &[u8]) -> Result<Appending, Failure> {
        self.ports.log.append(topic, self.partition_of(key), key, value).map_err(|error| {
            metrics::counter!("tidings_gateway_append_refused_total", "topic" => topic).increment(1);
            // A full queue is the ordinary sign of overload, and counted; anything else is worth a line.
            if !matches!(error.0, AppendError::Full) {
                tracing::warn!(topic, error = &error as &dyn std::error::Error, "cannot append");
            }
            Failure::unavailable("the log takes no more at the moment; try again").after(self.options.answer_target)
        })
    }
}

fn not_encoded(error: &EncodeError) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "cannot encode");
    Failure::internal()
}

fn done(reply: Reply) -> Result<Done, Failure> {
    let Some(code) = reply.code else {
        let Reply { position, seq, at, duplicate, .. } = reply;
        return Ok(Done { position, seq, at, duplicate });
    };
    let code = code.parse().unwrap_or_else(|_| {
        tracing::error!(code, "a reply has a code that this gateway does not know");
        ErrorCode::Internal
    });
    let retry_after_ms = reply.retry_after_ms.and_then(|wait_ms| u64::try_from(wait_ms).ok());
    Err(Failure { retry_after_ms, ..Failure::new(code, reply.message) })
}
