//! What a member changed for itself, told to its devices.

use std::sync::Arc;

use crate::codec::records::{MemberState, UserEvent};
use crate::gateway::closing::Closing;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::frames;
use crate::gateway::outbox::Worth;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::{self, Opener};

/// Tells the member's devices here. A removed message and a thread that was read are said at once; for anything else they get the conversation as it is now, once the view
/// has it.
pub fn changed(edge: &Arc<Edge>, state: &MemberState) {
    if let Some(of) = state.hidden {
        let frame = shapes::hidden(state.conversation, of.seq);
        edge.hub.push(state.tenant, state.user, &frame, Worth::Durable, None);
        return;
    }
    if let Some(read) = state.thread {
        edge.hub.push(state.tenant, state.user, &shapes::thread_read(state.conversation, read), Worth::Durable, None);
        return;
    }
    // Of reports devices ask: nothing that they show changes.
    if state.report.is_some() || state.resolution.is_some() {
        return;
    }
    let (edge, state) = (Arc::clone(edge), state.clone());
    tokio::spawn(async move {
        if let Err(failure) = tell(&edge, &state).await {
            tracing::warn!(%failure, user = %state.user, "a user cannot be told of its own change; its sockets are closed so that they catch up");
            edge.hub.close_user(state.user, Closing::Draining);
        }
    });
}

/// Tells the user's devices here to whom it shows itself now.
pub fn of_user(edge: &Edge, event: &UserEvent) {
    if let Some(privacy) = event.user_privacy {
        edge.hub.push(event.tenant, event.user, &shapes::privacy(privacy), Worth::Durable, None);
    }
}

async fn tell(edge: &Edge, state: &MemberState) -> Result<(), Failure> {
    let MemberState { tenant, user, conversation, partition, .. } = *state;
    edge.seen.settle(user, Scope::Partition(Journal::Conversations, partition)).await?;
    let Some(row) = edge.ports.reads.conversation(tenant, conversation, user).await? else { return Ok(()) };
    let shape = Opener::new(&*edge.ports.keyring, tenant).conversation(user, row)?;
    edge.hub.push(tenant, user, &frames::push("inbox.changed", &shape), Worth::Durable, None);
    Ok(())
}
