#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use crate::codec::records::Reply;
use crate::domain::conversation::ReportReason;
use crate::domain::policy::{ConversationKind, Standing};
use crate::domain::{ConversationId, ErrorCode};
use crate::gateway::commands::tests::{refused, start};
use crate::gateway::fakes::{FakeKeys, World};
use crate::gateway::ports::Membership;

fn refuse(code: ErrorCode) -> impl FnOnce(&mut Reply) {
    move |reply| (reply.code, reply.message) = (Some(code.to_string()), "as a member".into())
}

#[tokio::test]
async fn who_moderates_asks_again_as_a_moderator_and_others_do_not() {
    let world = World::new();
    let (ada, zoe, conversation) = (world.user(), world.user(), ConversationId::generate());
    world.reads.moderators.insert(zoe);
    let delete = json!({"conversation": conversation, "seq": 1, "scope": "everyone"});
    let deleting = start(&world, ada, "message.delete", delete.clone());
    let asked = world.answer(0, refuse(ErrorCode::Forbidden)).await;
    assert_eq!((asked.moderator, deleting.await.unwrap().unwrap_err().code), (None, ErrorCode::Forbidden));

    let deleting = start(&world, zoe, "message.delete", delete.clone());
    let first = world.answer(1, refuse(ErrorCode::NotAMember)).await;
    let again = world.answer(2, |_| ()).await;
    assert_eq!((first.moderator, again.moderator), (None, Some(true)));
    assert_ne!(first.command_id, again.command_id, "the first was refused for ever");
    assert_eq!(first.message, again.message);
    assert_eq!(deleting.await.unwrap().unwrap()["position"], 7);

    // What no moderator could change is not asked for again.
    let deleting = start(&world, zoe, "message.delete", delete);
    world.answer(3, refuse(ErrorCode::Conflict)).await;
    assert_eq!(deleting.await.unwrap().unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(world.log.records.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn reports_are_for_moderators_and_comments_are_sealed() {
    let world = World::new();
    let (ada, zoe, conversation) = (world.user(), world.user(), ConversationId::generate());
    world.reads.moderators.insert(zoe);
    for (kind, data) in [
        ("reports", json!({})),
        ("report.resolve", json!({"conversation": conversation, "seq": 1, "outcome": "other"})),
    ] {
        assert_eq!(refused(&world, ada, kind, data).await, ErrorCode::Forbidden, "{kind}");
    }
    let page = start(&world, zoe, "reports", json!({"state": "resolved"})).await.unwrap().unwrap();
    assert_eq!(page, json!({"reported": [], "cursor": null, "has_more": false}));
    let report = |comment: &str| json!({"conversation": conversation, "seq": 1, "reason": "spam", "comment": comment});
    assert_eq!(refused(&world, ada, "message.report", report(&"ö".repeat(1_001))).await, ErrorCode::TooLarge);
    assert!(world.log.records.lock().unwrap().is_empty(), "nothing was asked of the owner");
    let reporting = start(&world, ada, "message.report", report(&"ö".repeat(1_000)));
    let body = world.answer(0, |_| ()).await.report.unwrap();
    assert_eq!((body.reason, body.comment), (ReportReason::Spam, Some(FakeKeys::sealed(&"ö".repeat(1_000)))));
    assert!(body.fingerprint.is_some());
    assert_eq!(reporting.await.unwrap().unwrap(), json!({"duplicate": false}));
}

#[tokio::test]
async fn only_a_moderator_is_told_why_it_may_not_read() {
    let world = World::new();
    let (ada, zoe, conversation) = (world.user(), world.user(), ConversationId::generate());
    world.reads.moderators.insert(zoe);
    for user in [ada, zoe] {
        let standing = Standing::new(ConversationKind::Group, None);
        let of =
            Membership { standing, last_seq: 9, last_position: 9, visible_after_seq: 0, visible_after_position: 0 };
        world.reads.memberships.insert((conversation, user), of);
    }
    // Of the fakes only the first message is reported, and none is there.
    let get = |seq: i64| json!({"conversation": conversation, "seq": seq});
    assert_eq!(refused(&world, ada, "message.get", get(1)).await, ErrorCode::NotAMember);
    assert_eq!(refused(&world, zoe, "message.get", get(2)).await, ErrorCode::Forbidden);
    assert_eq!(refused(&world, zoe, "message.get", get(1)).await, ErrorCode::NotFound);
    assert_eq!(refused(&world, zoe, "history", json!({"conversation": conversation})).await, ErrorCode::NotAMember);
}
