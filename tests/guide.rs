//! `docs/clients.md` works as it stands: its blocks are one program, and print what the guide says.

#[path = "support/mod.rs"]
mod support;

use std::process::Stdio;
use std::time::Duration;

use support::Stack;

const GUIDE: &str = include_str!("../docs/clients.md");
/// It takes a second or two; more only on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(60);

/// The blocks of JavaScript, in order.
fn program() -> String {
    let blocks = GUIDE.split("```js\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    blocks.collect()
}

#[tokio::test]
async fn the_guide_for_client_developers_works() {
    let program = program();
    let expected: Vec<_> =
        program.lines().filter_map(|line| line.split_once("// prints: ")).map(|(_, it)| it).collect();
    assert!(expected.len() > 5, "{expected:?}");
    let stack = Stack::shared().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("chat.mjs");
    std::fs::write(&file, &program).expect("written");
    let mut node = tokio::process::Command::new("node");
    node.arg("--experimental-websocket").arg(&file).stdin(Stdio::null()).kill_on_drop(true);
    node.env("TIDINGS", format!("http://{}", stack.address)).env("TIDINGS_API_KEY", &stack.key);
    let ran = tokio::time::timeout(WITHIN, node.output()).await.expect("ends in time");
    let ran = ran.expect("Node 20 or newer is installed");
    let (said, failed) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}: {said}{failed}", ran.status);
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}
