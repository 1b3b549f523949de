//! Line mode: messages as lines, lines as messages. For scripts, pipes and tests.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::FutureExt;
use tidings_client::{Body, Client, Commands, Config, Error, Message, NewMessage, Sent, Status, Update, Updates};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chat::Args;
use crate::chat::directory::Directory;
use crate::chat::said::said;
use crate::chat::text::{Clock, clean_line, short_id, with_causes};

/// Sends without an answer. Above this no more lines are read.
const UNANSWERED: usize = 64;
/// What was acknowledged is also printed, unless its push takes longer than this.
const LAST_PUSH: Duration = Duration::from_secs(5);
/// Longer, and an id is printed instead of the name.
const NAME: Duration = Duration::from_secs(2);

/// Runs until the input has ended and every line of it is acknowledged.
pub(crate) async fn run(config: Config, directory: Directory, args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.with.is_some() || args.conversation.is_some(),
        "line mode needs a conversation: say --with USER or --conversation ID"
    );
    let (client, updates) = Client::start(config);
    let mut chat = Plain { client, updates, directory, clock: Clock::local(), names: HashMap::new(), printed: 0 };
    let result = chat.run(args).await;
    chat.client.stop().await;
    result
}

struct Plain {
    client: Client,
    updates: Updates,
    directory: Directory,
    clock: Clock,
    names: HashMap<String, String>,
    /// The newest message on the output.
    printed: u64,
}

impl Plain {
    async fn run(&mut self, args: &Args) -> anyhow::Result<()> {
        let client = self.client.clone();
        let conversation = self.connected(open(&client, args)).await?;
        if args.history > 0 {
            let history = client.history(&conversation, None, args.history.min(200));
            let page = self.connected(async { history.await.context("cannot read the history") }).await?;
            for message in page.messages.iter().rev() {
                self.print(message).await?;
            }
        }
        let mut lines = read_lines();
        let (mut sends, mut failed, mut last_seq): (JoinSet<Result<Sent, Error>>, u64, u64) = (JoinSet::new(), 0, 0);
        let mut open = true;
        while open || !sends.is_empty() || args.stay {
            tokio::select! {
                line = lines.recv(), if open && sends.len() < UNANSWERED => match line {
                    Some(line) => {
                        let line = line.context("cannot read the input")?;
                        if !line.trim().is_empty() {
                            let handed_over = client.submit(&NewMessage::text(&conversation, &line)).await?;
                            sends.spawn(handed_over);
                        }
                    }
                    None => open = false,
                },
                Some(sent) = sends.join_next() => match sent? {
                    Ok(sent) => last_seq = last_seq.max(sent.seq),
                    Err(error) => {
                        failed += 1;
                        eprintln!("not sent: {error}");
                    }
                },
                update = self.updates.next() => self.update(&conversation, update).await?,
            }
        }
        self.until_printed(&conversation, last_seq).await?;
        ensure!(failed == 0, "{failed} of the messages were refused");
        Ok(())
    }

    /// Waits for an answer, and notices that the client has ended.
    async fn connected<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                // Events until then are in the history that is read next. First, as why the client has ended says more than that it has.
                update = self.updates.next() => ended(update.as_ref())?,
                done = &mut work => {
                    if done.is_err() && let Some(update) = self.updates.next().now_or_never() {
                        ended(update.as_ref())?;
                    }
                    return done;
                }
            }
        }
    }

    async fn update(&mut self, conversation: &str, update: Option<Update>) -> anyhow::Result<()> {
        ended(update.as_ref())?;
        if let Some(Update::Event(event)) = update
            && event.conversation.as_deref() == Some(conversation)
            && let Body::MessageSent(message) = event.body()
        {
            self.print(&message).await?;
        }
        Ok(())
    }

    async fn until_printed(&mut self, conversation: &str, seq: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + LAST_PUSH;
        while self.printed < seq {
            let Ok(update) = tokio::time::timeout_at(deadline, self.updates.next()).await else { break };
            self.update(conversation, update).await?;
        }
        Ok(())
    }

    /// One message, one line; each once.
    async fn print(&mut self, message: &Message) -> anyhow::Result<()> {
        if message.seq <= self.printed {
            return Ok(());
        }
        self.printed = message.seq;
        if message.deleted {
            return Ok(());
        }
        let sender = self.name(message.sender.as_deref().unwrap_or_default()).await;
        let time = self.clock.time(message.at.as_deref().unwrap_or_default());
        let text = clean_line(&said(message));
        // Not `println!`: a reader that went away is an error here, not a panic.
        let mut out = std::io::stdout().lock();
        writeln!(out, "{time} {sender}: {text}").and_then(|()| out.flush()).context("cannot write the output")
    }

    async fn name(&mut self, user: &str) -> String {
        if let Some(name) = self.names.get(user) {
            return name.clone();
        }
        let found = tokio::time::timeout(NAME, self.directory.name(user)).await.ok().flatten();
        let name = found.map(|name| clean_line(&name)).unwrap_or_else(|| short_id(user));
        self.names.insert(user.to_owned(), name.clone());
        name
    }
}

/// Finds the conversation, and follows it from where it stands.
async fn open(client: &Client, args: &Args) -> anyhow::Result<String> {
    let conversation = match (&args.conversation, &args.with) {
        (Some(id), _) => id.clone(),
        (None, Some(user)) => {
            client
                .create_direct(user)
                .await
                .with_context(|| format!("cannot open the conversation with {user}"))?
                .conversation
        }
        (None, None) => bail!("no conversation was named"),
    };
    let page = client.events(&conversation, 0, 1).await;
    let position = page.with_context(|| format!("cannot open {conversation}"))?.last_position;
    client.follow(&conversation, position).await;
    Ok(conversation)
}

/// An error if the client has ended; tells of a lost connection.
fn ended(update: Option<&Update>) -> anyhow::Result<()> {
    match update {
        Some(Update::Status(Status::Ended(error))) => Err(error.clone()).context("the connection has ended"),
        Some(Update::Status(Status::Waiting { delay, because })) => {
            // On the error output: the other one is only messages.
            eprintln!("trying again in {} ms: {}", delay.as_millis(), clean_line(&with_causes(because)));
            Ok(())
        }
        Some(_) => Ok(()),
        None => bail!("the client has stopped"),
    }
}

/// Lines of the input, read by a thread of its own: a blocked read cannot be cancelled, and must not hold up the end.
fn read_lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (lines, queue) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    queue
}
