//! Takes frames from one socket, and its times: pings, silence, the end of its token.

use std::sync::Arc;

use axum::extract::ws::Message;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};

use crate::gateway::closing::Closing;
use crate::gateway::commands::{Command, Context};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::frames::{ClientFrame, MAX_BAD_FRAMES_IN_A_ROW, OwnedFrameId, reply};
use crate::gateway::hub::Socket;
use crate::gateway::outbox::Worth;
use crate::gateway::rate::{Bucket, Verdict};
use crate::gateway::session::Times;

/// A command without a reply yet. Dropped after the reply, or where there will be none.
struct Asked {
    _permit: OwnedSemaphorePermit,
    socket: Arc<Socket>,
}

impl Asked {
    fn new(permit: OwnedSemaphorePermit, socket: Arc<Socket>) -> Self {
        socket.outbox.owe();
        Self { _permit: permit, socket }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.socket.outbox.paid();
    }
}

/// The reading side of a socket.
pub struct Reader {
    edge: Arc<Edge>,
    context: Context,
    socket: Arc<Socket>,
    bucket: Bucket,
    in_flight: Arc<Semaphore>,
    bad_in_a_row: u32,
    heard_at: Instant,
    times: Times,
    heard_too_much: bool,
}

impl Reader {
    /// For a socket that said `hello`.
    pub fn new(edge: &Arc<Edge>, socket: &Arc<Socket>) -> Self {
        let now = Instant::now();
        let options = &edge.options;
        Self {
            context: Context {
                tenant: socket.tenant,
                user: socket.user,
                socket: Some(Arc::clone(socket)),
                reads: Arc::new(Semaphore::new(options.reads_in_flight)),
            },
            socket: Arc::clone(socket),
            bucket: Bucket::new(options.rate, now),
            in_flight: Arc::new(Semaphore::new(options.frames_in_flight)),
            bad_in_a_row: 0,
            heard_at: now,
            times: Times::new(options.ping_interval),
            heard_too_much: false,
            edge: Arc::clone(edge),
        }
    }

    /// Whether the rest of a frame was left unread.
    pub fn heard_too_much(&self) -> bool {
        self.heard_too_much
    }

    /// Reads until the peer is gone. What else ends the socket is asked of the writer, through the outbox.
    pub async fn run<S>(&mut self, stream: &mut S)
    where
        S: Stream<Item = Result<Message, axum::Error>> + Unpin,
    {
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = tokio::time::sleep_until(self.wake_at()) => {
                    self.wake();
                    continue;
                }
            };
            match next {
                Some(Ok(Message::Close(_))) | None => return,
                Some(Ok(message)) => self.take(message),
                Some(Err(error)) => match closing_of(error) {
                    None => return,
                    Some(closing) => {
                        self.heard_too_much = true;
                        self.socket.outbox.close(closing);
                        // Nothing more can be read; the writer ends it.
                        std::future::pending::<()>().await;
                    }
                },
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let wake_at = self.times.wake_at(&self.socket);
        // Whoever is being closed need not be heard.
        if self.socket.outbox.closing().is_some() { wake_at } else { wake_at.min(self.silent_at()) }
    }

    fn silent_at(&self) -> Instant {
        self.heard_at + self.edge.options.ping_interval * 2
    }

    fn wake(&mut self) {
        self.times.wake(&self.socket);
        if self.silent_at() <= Instant::now() {
            self.socket.outbox.close(Closing::Silent);
        }
    }

    /// Takes one message.
    pub fn take(&mut self, message: Message) {
        // What is not taken has no answer, and is sent again elsewhere.
        if self.socket.outbox.is_ending() {
            return;
        }
        let now = Instant::now();
        self.heard_at = now;
        // Pings and pongs count too: answering them is work.
        let verdict = self.bucket.take(self.edge.options.rate, now);
        match message {
            _ if verdict == Verdict::Close => self.socket.outbox.close(Closing::RateLimited),
            Message::Text(text) if text.len() > self.edge.options.max_frame_bytes => {
                self.socket.outbox.close(Closing::FrameTooLarge);
            }
            Message::Text(text) => {
                metrics::counter!("tidings_gateway_frames_total", "direction" => "in").increment(1);
                self.frame(&text, verdict);
            }
            Message::Binary(_) => self.socket.outbox.close(Closing::BadFrame),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
        }
    }

    fn frame(&mut self, text: &str, verdict: Verdict) {
        let frame = match ClientFrame::parse(text) {
            Ok(frame) => frame,
            Err(bad) => {
                self.bad_in_a_row += 1;
                self.push(reply(bad.id.as_str(), &Err(bad.failure)));
                if self.bad_in_a_row >= MAX_BAD_FRAMES_IN_A_ROW {
                    self.socket.outbox.close(Closing::BadFrame);
                }
                return;
            }
        };
        self.bad_in_a_row = 0;
        let refuse = |failure| reply(frame.id.as_str(), &Err(failure));
        if let Verdict::Refuse(wait) = verdict {
            return self.push(refuse(Failure::rate_limited(wait)));
        }
        let Ok(permit) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return self.push(refuse(Failure::rate_limited(Duration::from_secs(1))));
        };
        match Command::parse(&frame.kind, frame.data) {
            Ok(command) => {
                let asked = Asked::new(permit, Arc::clone(&self.socket));
                self.run_command(command, frame.id.to_owned(), asked);
            }
            Err(failure) => self.push(refuse(failure)),
        }
    }

    fn run_command(&self, command: Command, id: OwnedFrameId, asked: Asked) {
        let context = self.context.clone();
        if command.is_read() {
            let running = command.run(Arc::clone(&self.edge), context.clone());
            tokio::spawn(async move {
                // Kept until the reply is queued: there may be many asked for, and each is large.
                let _reading = context.reads.acquire().await;
                asked.socket.outbox.push_when_room(id.reply(&running.await)).await;
            });
            return;
        }
        let mut running = Box::pin(command.run(Arc::clone(&self.edge), context));
        // The first poll is here, so that appends are in the order of frames.
        if let Some(result) = (&mut running).now_or_never() {
            return self.push(id.reply(&result));
        }
        tokio::spawn(async move {
            asked.socket.outbox.push(id.reply(&running.await), Worth::Durable);
        });
    }

    fn push(&self, frame: axum::extract::ws::Utf8Bytes) {
        self.socket.outbox.push(frame, Worth::Durable);
    }
}

/// How to close a socket that cannot be read on; none if the peer is gone.
pub fn closing_of(error: axum::Error) -> Option<Closing> {
    use tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => Some(Closing::FrameTooLarge),
        Some(Error::Utf8(_)) => Some(Closing::BadFrame),
        _ => None,
    }
}
