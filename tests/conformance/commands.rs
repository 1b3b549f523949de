//! Every example of every command is accepted, over sockets and over HTTP.

use futures_util::{StreamExt, stream};
use tidings::gateway::commands::Command;

use crate::stage::{Asked, Stage, commands, is_of_http};

/// As many stages at a time as do not get in each other's way.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn every_example_is_accepted_over_sockets() {
    let commands = commands();
    assert_eq!(commands.len(), Command::NAMES.len());
    let walk = async |command: Asked| {
        let mut stage = Stage::new().await;
        for (n, example) in command.examples.iter().enumerate() {
            if n > 0 {
                stage.renew().await;
            }
            let data = stage.live(example);
            stage.a.ok(&command.name, data).await;
        }
    };
    stream::iter(commands).for_each_concurrent(AT_ONCE, walk).await;
}

#[tokio::test]
async fn every_example_is_accepted_over_http() {
    let walk = async |command: Asked| {
        let mut stage = Stage::new().await;
        for (n, example) in command.examples.iter().enumerate() {
            if n > 0 {
                stage.renew().await;
            }
            let (status, reply) = stage.stack.post(&stage.ada, &command.name, stage.live(example)).await;
            assert_eq!(
                status,
                if is_of_http(&command.name) { 200 } else { 400 },
                "{} {example}: {reply}",
                command.name
            );
        }
    };
    stream::iter(commands()).for_each_concurrent(AT_ONCE, walk).await;
}
