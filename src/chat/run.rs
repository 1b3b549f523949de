//! The full-screen loop: keys, updates and outcomes into the model, its wishes to the performer, and a drawing after.

use std::time::{Duration, Instant};

use anyhow::Context;
use crossterm::event::{Event as Key, EventStream};
use futures_util::{FutureExt, StreamExt};
use tidings_client::{Client, Config};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::chat::directory::Directory;
use crate::chat::effect::{Effect, Performer};
use crate::chat::input::{Action, Input};
use crate::chat::model::Model;
use crate::chat::terminal::Screen;
use crate::chat::text::Clock;
use crate::chat::{Opening, view};

/// Outcomes that wait to be shown; their tasks wait when it is full.
const OUTCOMES: usize = 256;
/// For what passes by itself: typing, seconds of a wait.
const TICK: Duration = Duration::from_millis(500);
/// At most this long the last read mark has to get out.
const GOODBYE: Duration = Duration::from_secs(2);

pub(crate) async fn run(config: Config, directory: Directory, opening: Option<Opening>) -> anyhow::Result<()> {
    let (client, mut updates) = Client::start(config);
    let (outcomes, mut done) = mpsc::channel(OUTCOMES);
    let performer = Performer { client: client.clone(), directory, outcomes };
    let mut screen = Screen::open().context("cannot use the terminal; with its output piped this runs in line mode")?;
    let (mut model, mut input, clock) = (Model::new(opening), Input::default(), Clock::local());
    let (mut keys, started) = (EventStream::new(), Instant::now());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut client_runs, interrupted) = (true, crate::cli::interrupted());
    loop {
        screen.terminal.draw(|frame| view::draw(frame, &mut model, &input, &clock)).context("cannot draw")?;
        let mut effects = model.tick(now_ms(started));
        tokio::select! {
            // Only ever polled here: the stream remembers the first waker that it is given, so a poll with any other
            // (`now_or_never`, to drain it) would leave keys lying until the next tick.
            key = keys.next() => {
                let key = key.transpose().context("cannot read keys")?;
                effects.extend(on_key(&mut model, &mut input, key));
            }
            update = updates.next(), if client_runs => match update {
                Some(update) => effects.extend(model.update(update)),
                None => client_runs = false,
            },
            Some(outcome) = done.recv() => effects.extend(model.outcome(outcome)),
            // Else the terminal would stay as it is now, without an echo.
            () = interrupted.cancelled() => effects.push(Effect::Quit),
            _ = tick.tick() => {}
        }
        // What is here already is taken before the next drawing.
        while let Some(Some(update)) = updates.next().now_or_never() {
            effects.extend(model.update(update));
        }
        for effect in effects {
            if effect == Effect::Quit {
                drop(screen);
                let _ = tokio::time::timeout(GOODBYE, client.stop()).await;
                return Ok(());
            }
            performer.start(effect).await;
        }
    }
}

fn now_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn on_key(model: &mut Model, input: &mut Input, key: Option<Key>) -> Vec<Effect> {
    let action = match key {
        Some(Key::Key(key)) => input.key(key),
        Some(Key::Paste(text)) => input.paste(&text),
        Some(_) => Some(Action::Redraw),
        // The terminal is gone.
        None => Some(Action::Quit),
    };
    let Some(action) = action else { return Vec::new() };
    let edited = action == Action::Edited;
    let mut effects = model.action(action);
    if edited {
        effects.extend(model.edited(&input.text));
    }
    effects
}
