//! Writes what the outbox holds: feeds many frames, flushes once.

use axum::extract::ws::Message;
use futures_util::{Sink, SinkExt};

use super::{PARTING, say_goodbye};
use crate::gateway::edge::Edge;
use crate::gateway::outbox::{Next, Outbox};

/// What is fed before a flush.
const BATCH_BYTES: usize = 65_536;

/// Writes until the socket is to be closed, and closes it, or until the peer is gone. True if it was closed from here.
pub async fn run<S>(edge: &Edge, outbox: &Outbox, sink: &mut S) -> bool
where
    S: Sink<Message> + Unpin,
{
    loop {
        let messages: Vec<_> = match outbox.next(BATCH_BYTES).await {
            Next::Frames(frames) => frames.into_iter().map(Message::Text).collect(),
            Next::Ping => vec![Message::Ping(Default::default())],
            Next::Close(closing) => {
                Box::pin(say_goodbye(sink, edge.goodbye(closing))).await;
                return true;
            }
        };
        let write = async {
            for message in messages {
                sink.feed(message).await?;
            }
            sink.flush().await
        };
        tokio::select! {
            written = write => if written.is_err() { return false },
            () = stuck(outbox) => return true,
        }
    }
}

/// A peer that takes nothing is not waited for once the socket is to be closed.
async fn stuck(outbox: &Outbox) {
    outbox.closed().await;
    tokio::time::sleep(PARTING).await;
}
