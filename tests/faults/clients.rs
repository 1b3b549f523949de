//! People with the client module keep talking while the gateways under them die: it comes back on its own, and hides it.

use std::time::Duration;

use tidings_client::{Client, Commands, Config, Event, Token, Update, Updates};
use tokio_util::sync::CancellationToken;

use crate::support::person::PATIENCE;
use crate::support::{Account, Stack};

fn client(address: &str, account: &Account) -> (Client, Updates) {
    let mut config = Config::new(&format!("http://{address}"), Token::fixed(&account.token)).expect("an address");
    config.follow_all = true;
    config.backoff_base = Duration::from_millis(50);
    config.backoff_cap = Duration::from_millis(500);
    config.reply_timeout = Duration::from_secs(3);
    Client::start(config)
}

/// The texts of messages, in the order in which the client hands them out.
async fn texts(updates: &mut Updates, conversation: &str, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let text = |event: Event| event.data["text"].as_str().map(str::to_owned);
    while texts.last().map(String::as_str) != Some(last) {
        let update = tokio::time::timeout(PATIENCE, updates.next()).await;
        match update.unwrap_or_else(|_| panic!("{last:?} does not come; came {texts:?}")).expect("the client lives") {
            Update::Event(event) if event.conversation.as_deref() == Some(conversation) => texts.extend(text(event)),
            _ => {}
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_by_themselves_and_show_each_message_once_in_order() {
    let mut stack = Stack::start().await;
    let _behind = (stack.role("sequencer").await, stack.role("publisher").await, stack.role("projector").await);
    let (first, second) = (stack.role("gateway").await, stack.role("gateway").await);
    stack.address = first.address.clone();
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (a, _a_updates) = client(&first.address, &ada);
    let (b, mut b_updates) = client(&second.address, &bob);
    let conversation = a.create_direct(&bob.user).await.expect("is created").conversation;
    b.follow(&conversation, 0).await;
    let disturbed = CancellationToken::new();
    let quiet = disturbed.clone();

    let sending = tokio::spawn({
        let (a, conversation) = (a.clone(), conversation.clone());
        async move {
            let mut sent = Vec::new();
            while !quiet.is_cancelled() {
                let text = format!("message {}", sent.len());
                a.send_text(&conversation, &text).await.expect("is sent at last");
                sent.push(text);
            }
            a.send_text(&conversation, "the end").await.expect("is sent");
            sent.push("the end".to_owned());
            sent
        }
    });
    let disturbing = async move {
        let second = second.kill_and_restart().await;
        let first = first.kill_and_restart().await;
        let gateways = (first.restart().await, second.restart().await);
        disturbed.cancel();
        gateways
    };
    let (_gateways, got) = tokio::join!(disturbing, texts(&mut b_updates, &conversation, "the end"));
    let sent = sending.await.expect("sends");
    assert!(sent.len() > 10, "{} messages are no conversation", sent.len());
    assert_eq!(got, sent, "each once, in order, whatever happened below");
    // Both are as good as new.
    b.send_text(&conversation, "well?").await.expect("is sent");
    let history = a.history(&conversation, None, 1).await.expect("history");
    assert_eq!(history.messages[0].text.as_deref(), Some("well?"));
}
