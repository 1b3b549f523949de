//! One connection: concurrent calls, events, raw frames and close codes.

use std::time::Duration;

use crate::support::{SOON, Server, message, soon};
use serde_json::json;
use tidings_client::{Call, Commands, Endpoint, Entrances, Error, Frame, Hello, NewInvite, Query, Session, Socket};

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::new(&server.url).expect("a good address")
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let (connected, (mut peer, _)) = tokio::join!(Session::connect(&endpoint, Hello::default()), server.accept_hello());
    let (session, mut events) = connected.expect("connected");
    assert_eq!(session.welcome().user, "usr_me");
    let calls = async { tokio::join!(session.call("a", json!({})), session.call("b", json!({}))) };
    let answers = async {
        let (a, b) = (peer.expect("a").await, peer.expect("b").await);
        peer.message(1).await;
        peer.message(2).await;
        peer.refuse(&b, json!({"code": "forbidden"})).await;
        peer.ok(&a, json!({"it": "is a"})).await;
    };
    let ((a, b), ()) = tokio::join!(calls, answers);
    assert_eq!(a.expect("ok")["it"], "is a");
    assert_eq!(b.expect_err("refused").code(), Some("forbidden"));
    let second = events.wait_for(SOON, |event| event.position == Some(2)).await.expect("pushed");
    assert_eq!(second.kind, "message.sent");
    let passed_over = events.wait_for(SOON, |event| event.position == Some(1)).await;
    assert!(passed_over.is_ok(), "what was passed over is kept");
    peer.close(4503, "revoked").await;
    assert_eq!(soon("end", session.closed()).await.code, Some(4503));
    assert_eq!(session.ping().await.expect_err("closed").close_code(), Some(4503));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_refused_hello_tells_the_close_code() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let refuse = async {
        let mut peer = server.accept().await;
        let hello = peer.expect("hello").await;
        peer.refuse(&hello, json!({"code": "unauthenticated", "message": "bad token"})).await;
        peer.close(4501, "bad_token").await;
    };
    let (connected, ()) = tokio::join!(Session::connect(&endpoint, Hello::default()), refuse);
    let error = connected.expect_err("refused");
    assert_eq!((error.code(), error.close_code(), error.is_final()), (Some("unauthenticated"), Some(4501), true));
}

#[tokio::test]
async fn a_raw_socket_sends_and_sees_anything() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let (socket, mut peer) = tokio::join!(Socket::connect(&endpoint), server.accept());
    let mut socket = socket.expect("connected");
    socket.send_text("{not json").await.expect("sent");
    socket.send_binary(vec![1, 2]).await.expect("sent");
    assert_eq!(peer.frame().await.and_then(|frame| frame.into_text().ok()).as_deref(), Some("{not json"));
    assert!(peer.frame().await.is_some_and(|frame| frame.is_binary()));
    peer.send(message(1)).await;
    peer.send(json!({"id": "x", "type": "ok", "data": {}})).await;
    let reply = socket.wait_for(SOON, |frame| matches!(frame, Frame::Reply { .. })).await;
    assert!(reply.is_ok());
    assert_eq!(socket.next().await.event().and_then(|event| event.position), Some(1));
    let nothing = socket.wait_for(Duration::from_millis(30), |_| true).await;
    assert!(matches!(nothing, Err(Error::Timeout { .. })));
    let (closed, ()) = tokio::join!(socket.next(), peer.close(4500, "bad_frame"));
    assert!(matches!(&closed, Frame::Closed(closed) if closed.code == Some(4500) && closed.reason == "bad_frame"));
    assert_eq!(socket.next().await, closed);
}

#[tokio::test]
async fn it_pings_and_notices_a_server_that_is_silent() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let hello = async {
        let mut peer = server.accept().await;
        let hello = peer.expect("hello").await;
        peer.ok(&hello, json!({"user": "usr_me", "ping_interval_ms": 100})).await;
        peer
    };
    let (connected, mut peer) = tokio::join!(Session::connect(&endpoint, Hello::default()), hello);
    let (session, _events) = connected.expect("connected");
    assert!(peer.frame().await.is_some_and(|frame| frame.is_ping()));
    // From here the peer reads nothing, so it answers no ping.
    let closed = soon("end", session.closed()).await;
    assert!(closed.code.is_none() && closed.reason.contains("silent"), "{closed}");
}

#[tokio::test]
async fn what_the_server_would_close_for_is_refused_here() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let welcome = async {
        let mut peer = server.accept().await;
        let hello = peer.expect("hello").await;
        peer.ok(&hello, json!({"user": "usr_me", "max_frame_bytes": 1_000})).await;
        peer
    };
    let (connected, mut peer) = tokio::join!(Session::connect(&endpoint, Hello::default()), welcome);
    let (session, _events) = connected.expect("connected");
    let refused = session.call("message.send", json!({"text": "x".repeat(1_000)})).await.expect_err("too large");
    assert_eq!(refused.code(), Some("too_large"));
    assert!(refused.is_final(), "sent again it would be as large");
    let answered = async {
        let small = peer.expect("message.send").await;
        peer.ok(&small, json!({})).await;
    };
    let (small, ()) = tokio::join!(session.call("message.send", json!({"text": "x"})), answered);
    small.expect("the connection lives");
}

#[tokio::test]
async fn a_search_says_what_is_set_and_reads_the_page() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let (connected, (mut peer, _)) = tokio::join!(Session::connect(&endpoint, Hello::default()), server.accept_hello());
    let (session, _events) = connected.expect("connected");
    let query = Query { sender: Some("usr_ada".into()), limit: Some(2), ..Query::text("pier") };
    let answered = async {
        let asked = peer.expect("search").await;
        assert_eq!(asked["data"], json!({"text": "pier", "sender": "usr_ada", "limit": 2}));
        let found = json!({"conversation": "cnv_a", "seq": 3, "text": "the old pier"});
        peer.ok(&asked, json!({"messages": [found], "cursor": "c", "has_more": true, "complete": true})).await;
    };
    let (page, ()) = tokio::join!(session.search(&query), answered);
    let page = page.expect("ok");
    assert_eq!((page.messages[0].seq, page.cursor.as_deref()), (3, Some("c")));
    assert!(page.has_more && page.complete);
}

#[tokio::test]
async fn invitations_requests_and_channels_are_asked_for_as_the_contract_says() {
    let server = Server::start().await;
    let endpoint = endpoint(&server);
    let (connected, (mut peer, _)) = tokio::join!(Session::connect(&endpoint, Hello::default()), server.accept_hello());
    let (session, _events) = connected.expect("connected");
    let answered = async {
        let asked = peer.expect("invite.create").await;
        assert_eq!(asked["data"], json!({"conversation": "cnv_a", "max_uses": 2}));
        peer.ok(&asked, json!({"invite": "inv_a", "link": "cnv_a.lnk_a", "position": 3})).await;
        let asked = peer.expect("invite.accept").await;
        assert_eq!(asked["data"], json!({"link": "cnv_a.lnk_a"}));
        peer.ok(&asked, json!({"conversation": "cnv_a", "position": 4, "duplicate": false})).await;
        let asked = peer.expect("invites").await;
        peer.ok(&asked, json!({"invites": [{"invite": "inv_a", "made_by": "usr_a", "uses": 1}]})).await;
        let asked = peer.expect("requests").await;
        assert_eq!(asked["data"], json!({"conversation": "cnv_a", "limit": 5}));
        peer.ok(&asked, json!({"requests": [{"user": "usr_b", "at": "…"}], "has_more": false})).await;
        let asked = peer.expect("channels").await;
        assert_eq!(asked["data"], json!({"text": "news", "limit": 5}));
        peer.ok(&asked, json!({"channels": [{"conversation": "cnv_c"}], "cursor": null, "has_more": null})).await;
    };
    let asking = async {
        let invite = NewInvite { conversation: "cnv_a".into(), max_uses: Some(2), ..NewInvite::default() };
        let made = session.create_invite(&invite).await.expect("ok");
        assert_eq!(session.accept_invite(&made.link).await.expect("ok").position, 4);
        assert_eq!(session.invites("cnv_a").await.expect("ok")[0].uses, 1);
        assert_eq!(session.requests("cnv_a", None, 5).await.expect("ok").requests[0].user, "usr_b");
        let page = session.channels(Some("news"), None, 5).await.expect("ok");
        assert_eq!((page.channels[0].conversation.as_str(), page.has_more), ("cnv_c", false));
    };
    tokio::join!(asking, answered);
}
