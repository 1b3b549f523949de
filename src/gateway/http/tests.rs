//! Requests over fakes.

#![expect(clippy::unwrap_used, reason = "tests")]

use axum::body::Body;
use axum::http::{Method, Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::domain::conversation::Settings;
use crate::domain::policy::{ConversationKind, History, JoinRule, Role};
use crate::domain::{ConversationId, TenantId, Timestamp};
use crate::gateway::fakes::{World, member_of_group};
use crate::gateway::ports::{ApiKey, ConversationRow, UserRow};

async fn ask(world: &World, method: Method, uri: &str, bearer: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(uri).header(header::AUTHORIZATION, format!("Bearer {bearer}"));
    let response = router(world.edge.clone(), None).oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE).cloned();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    if status >= 400 {
        assert_eq!(kind.unwrap(), "application/problem+json");
        assert_eq!(body["status"], status);
        assert!(body["code"].is_string() && body["title"].is_string() && body["detail"].is_string());
    }
    (status, body)
}

async fn code(world: &World, method: Method, uri: &str, bearer: &str, body: impl Into<Body>) -> (u16, String) {
    let (status, body) = ask(world, method, uri, bearer, body).await;
    (status, body["code"].as_str().unwrap_or("none").to_owned())
}

fn with_key(world: &World) {
    world.reads.add_api_key("key", ApiKey { tenant: world.tenant, scopes: vec![] });
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem() {
    let world = World::new();
    let token = world.token(world.user());
    let unauthenticated = (401, "unauthenticated".to_owned());
    for uri in ["/v1/inbox", "/v1/conversations/cnv_x", "/v1/users/usr_x"] {
        assert_eq!(code(&world, Method::GET, uri, "x", "").await, unauthenticated, "{uri}");
    }
    assert_eq!(code(&world, Method::PUT, "/v1/users/x", &token, "").await, unauthenticated);
    assert_eq!(code(&world, Method::POST, "/v1/users/usr_x/tokens", &token, "").await, unauthenticated);
    let not_found = (404, "not_found".to_owned());
    for uri in ["/nothing", "/v1/conversations/cnv_x", "/v1/users/usr_x", "/metrics"] {
        assert_eq!(code(&world, Method::GET, uri, &token, "").await, not_found, "{uri}");
    }
    let bad_request = |status| (status, "bad_request".to_owned());
    assert_eq!(code(&world, Method::DELETE, "/v1/inbox", &token, "").await, bad_request(405));
    assert_eq!(code(&world, Method::GET, "/v1/inbox?limit=x", &token, "").await, bad_request(400));
    assert_eq!(code(&world, Method::GET, "/v1/inbox?cursor=x", &token, "").await, bad_request(400));
    assert_eq!(code(&world, Method::GET, "/v1/ws", &token, "").await, bad_request(400));
    for body in ["{", "[]", "7"] {
        assert_eq!(code(&world, Method::POST, "/v1/commands/ping", &token, body).await, bad_request(400), "{body}");
    }
    assert_eq!(code(&world, Method::POST, "/v1/commands/%ff", &token, "").await, bad_request(400));
    let large = "x".repeat(1_048_577);
    assert_eq!(code(&world, Method::POST, "/v1/commands/ping", &token, large).await, (413, "too_large".to_owned()));
}

#[tokio::test]
async fn commands_have_twins() {
    let world = World::new();
    let ada = world.user();
    let token = world.token(ada);
    assert_eq!(ask(&world, Method::POST, "/v1/commands/ping", &token, "").await, (200, json!({})));
    let watch = json!({"users": [ada, UserId::generate()]}).to_string();
    let (_, watched) = ask(&world, Method::POST, "/v1/commands/presence.watch", &token, watch).await;
    assert_eq!(watched, json!({"presence": [{"user": ada, "status": "online"}]}));
    let data = json!({"conversation": ConversationId::generate(), "seq": 3}).to_string();
    let (answer, command) =
        tokio::join!(ask(&world, Method::POST, "/v1/commands/read", &token, data), world.answer(0, |_| ()));
    assert_eq!((answer, command.actor), ((200, json!({})), ada));
    let set = ask(&world, Method::POST, "/v1/commands/presence.set", &token, r#"{"status":"away"}"#).await;
    assert_eq!(set.0, 400);
}

#[tokio::test]
async fn a_backend_registers_users_and_gets_tokens_for_them() {
    let world = World::new();
    with_key(&world);
    let user = world.edge.ports.keyring.user_id(world.tenant, "ada/1");
    let registering = ask(&world, Method::PUT, "/v1/users/ada%2F1", "key", r#"{"name":"Ada"}"#);
    let sequencer = async {
        let command: crate::codec::records::UserCommand = world.log.record(0).await;
        let profile = command.user_put.clone().unwrap();
        assert_eq!((profile.external_id.as_str(), profile.name.as_deref()), ("ada/1", Some("Ada")));
        let mut delivery = world.delivery(None, &[]);
        delivery.reply = Some(crate::gateway::pending::tests::reply(command.reply_to.unwrap().reference));
        world.deliveries().handle(delivery);
        world.keys.users.insert(user, world.tenant);
    };
    let (registered, ()) = tokio::join!(registering, sequencer);
    assert_eq!(registered, (200, json!({"user": user})));

    let (status, minted) = ask(&world, Method::POST, &format!("/v1/users/{user}/tokens"), "key", "").await;
    let claims = world.edge.auth.token(minted["access_token"].as_str().unwrap()).unwrap();
    assert_eq!((status, claims.user, claims.tenant), (200, user, world.tenant));
    let ttl = |ttl_ms: i64| json!({"ttl_ms": ttl_ms}).to_string();
    for ttl_ms in [0, -1, i64::MAX] {
        let asked = code(&world, Method::POST, &format!("/v1/users/{user}/tokens"), "key", ttl(ttl_ms)).await;
        assert_eq!(asked, (400, "bad_request".to_owned()), "{ttl_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_of_another_tenant_gets_no_token() {
    let world = World::new();
    with_key(&world);
    let stranger = UserId::generate();
    world.keys.users.insert(stranger, TenantId::generate());
    for user in [stranger, UserId::generate()] {
        let asked = code(&world, Method::POST, &format!("/v1/users/{user}/tokens"), "key", "").await;
        assert_eq!(asked, (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn reads_have_resources() {
    let world = World::new();
    let (ada, conversation) = (world.user(), ConversationId::generate());
    let token = world.token(ada);
    let membership = member_of_group(Role::Owner, 0, 1);
    world.reads.memberships.insert((conversation, ada), membership);
    world.reads.users.insert(ada, UserRow { name: Some("Ada".into()) });
    let row = ConversationRow {
        conversation,
        kind: ConversationKind::Group,
        name: None,
        topic: None,
        picture: None,
        history: History::All,
        join: JoinRule::Closed,
        frozen: false,
        slow_mode_ms: 0,
        visible_after: 0,
        settings: Settings::default(),
        draft: None,
        members_count: 3,
        last_position: 1,
        last_seq: 0,
        last_message: None,
        read_seq: 0,
        mentions_unread: 0,
        role: Role::Owner,
        joined_at: Timestamp(0),
        left: false,
    };
    world.reads.inbox.insert(ada, vec![row]);
    let mut members: Vec<_> = (0..3).map(|_| (UserId::generate(), Role::Member)).collect();
    members.sort_unstable();
    world.reads.members.insert(conversation, members.clone());

    let get = async |path: String| {
        let (status, body) = ask(&world, Method::GET, &path, &token, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    };
    let inbox = get("/v1/inbox?limit=5".into()).await;
    assert_eq!(inbox["conversations"][0], get(format!("/v1/conversations/{conversation}")).await);
    let page = get(format!("/v1/conversations/{conversation}/members?limit=2")).await;
    assert_eq!((&page["members"][1]["user"], &page["has_more"]), (&json!(members[1].0), &json!(true)));
    let page = get(format!("/v1/conversations/{conversation}/members?limit=2&after={}", members[1].0)).await;
    assert_eq!(page, json!({"members": [{"user": members[2].0, "role": "member"}], "has_more": false}));
    let none = format!("/v1/conversations/{conversation}/members?limit=0");
    assert_eq!(code(&world, Method::GET, &none, &token, "").await, (400, "bad_request".to_owned()));
    let page = get(format!("/v1/conversations/{conversation}/messages?before_seq=5")).await;
    assert_eq!(page, json!({"messages": [], "has_more": false}));
    let page = get(format!("/v1/conversations/{conversation}/events?after_position=0")).await;
    assert_eq!(page, json!({"events": [], "last_position": 1}));
    assert_eq!(get(format!("/v1/users/{ada}")).await, json!({"user": ada, "name": "Ada"}));
    assert_eq!(get("/.well-known/jwks.json".into()).await, json!({"keys": []}));
}

#[tokio::test]
async fn readiness_is_said_and_taken_back() {
    let world = World::new();
    assert_eq!(ask(&world, Method::GET, "/livez", "", "").await.0, 200);
    assert_eq!(code(&world, Method::GET, "/readyz", "", "").await, (503, "unavailable".to_owned()));
    world.edge.set_ready(true);
    assert_eq!(ask(&world, Method::GET, "/readyz", "", "").await.0, 200);
    let holds = Arc::new(std::sync::atomic::AtomicBool::new(false));
    world.edge.require({
        let holds = holds.clone();
        move || holds.load(Ordering::Relaxed)
    });
    assert_eq!(ask(&world, Method::GET, "/readyz", "", "").await.0, 503, "keys or projections stand still");
    holds.store(true, Ordering::Relaxed);
    assert_eq!(ask(&world, Method::GET, "/readyz", "", "").await.0, 200);
    let hurry = tokio_util::sync::CancellationToken::new();
    let (notice, time) = (std::time::Duration::from_secs(600), std::time::Duration::ZERO);
    let drain = world.edge.drain(notice, time, &hurry);
    let mut drain = std::pin::pin!(drain);
    assert!(futures_util::poll!(drain.as_mut()).is_pending());
    assert_eq!(ask(&world, Method::GET, "/readyz", "", "").await.0, 503);
    // Whoever has not heard of it yet is still taken.
    assert!(world.edge.has_room().is_ok());
    hurry.cancel();
    drain.await;
    assert!(world.edge.has_room().is_err());
}

#[tokio::test]
async fn a_stranger_cannot_have_a_body_read() {
    let world = World::new();
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(code(&world, Method::PUT, "/v1/users/x", "guess", endless).await, (401, "unauthenticated".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn one_user_cannot_ask_without_end() {
    let world = World::new();
    let token = world.token(world.user());
    let app = router(world.edge.clone(), None);
    let mut statuses = Vec::new();
    for _ in 0..201 {
        let request = Request::post("/v1/commands/ping").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        statuses.push((response.status().as_u16(), response.headers().get(header::RETRY_AFTER).cloned()));
    }
    assert!(statuses[..200].iter().all(|(status, _)| *status == 200));
    assert_eq!(statuses[200], (429, Some("1".parse().unwrap())));
}
