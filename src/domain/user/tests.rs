use super::*;

fn input(name: &str) -> Input {
    Input {
        tenant: TenantId::from_bytes([1; 16]),
        user: UserId::from_bytes([2; 16]),
        at: Timestamp(5),
        fresh_key: Some(WrappedKey { version: 1, master: "m".into(), wrapped: Bytes::from_static(b"k") }),
        command: Command::Put(Profile { external_id: "x".into(), name: Some(name.into()) }),
    }
}

#[test]
fn a_user_is_registered_with_a_key_then_updated_then_left_alone() {
    let mut state = None;
    for (name, expected) in [("Ada", Some("user.registered")), ("Ada", None), ("Ada L.", Some("user.updated"))] {
        let decision = decide(state.as_ref(), &input(name));
        match (&decision, expected) {
            (Decision::Record(recorded), Some(kind)) => {
                assert_eq!(recorded.event.name(), kind);
                evolve(&mut state, input(name).tenant, recorded);
            }
            (Decision::Done(done), None) => assert!(done.duplicate),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(state.map(|u| u.last_position), Some(2));
}

#[test]
fn a_key_is_wrapped_anew_for_a_user_who_is_there_and_only_once() {
    let old = WrappedKey { version: 1, master: "old".into(), wrapped: Bytes::from_static(b"o") };
    let fresh = WrappedKey { version: 1, master: "m".into(), wrapped: Bytes::from_static(b"k") };
    let rewrap = |key: &WrappedKey| Input { command: Command::Rewrap(key.clone()), ..input("Ada") };
    let code = |decision| match decision {
        Decision::Reject(rejection) => Some(rejection.code),
        _ => None,
    };
    assert_eq!(code(decide(None, &rewrap(&old))), Some(ErrorCode::NotFound), "it would bring a lost key back");
    let mut state = None;
    if let Decision::Record(recorded) = decide(None, &input("Ada")) {
        evolve(&mut state, input("Ada").tenant, &recorded);
    }
    let Decision::Record(recorded) = decide(state.as_ref(), &rewrap(&old)) else { panic!("not recorded") };
    assert_eq!((recorded.position, &recorded.event), (0, &Event::Rewrapped(fresh.clone())));
    let before = state.clone();
    evolve(&mut state, input("Ada").tenant, &recorded);
    assert_eq!(state, before);
    assert!(matches!(decide(state.as_ref(), &rewrap(&fresh)), Decision::Done(done) if done.duplicate));
    for strange in [Input { fresh_key: None, ..rewrap(&old) }, rewrap(&WrappedKey { version: 2, ..old.clone() })] {
        assert_eq!(code(decide(state.as_ref(), &strange)), Some(ErrorCode::Conflict));
    }
    let elsewhere = Input { tenant: TenantId::from_bytes([9; 16]), ..rewrap(&old) };
    assert_eq!(code(decide(state.as_ref(), &elsewhere)), Some(ErrorCode::NotFound));
}

#[test]
fn a_user_is_blocked_and_unblocked_once_each() {
    let mut state = None;
    let mut when = |command: Command| {
        let input = Input { command, ..input("Ada") };
        let decision = decide(state.as_ref(), &input);
        if let Decision::Record(recorded) = &decision {
            evolve(&mut state, input.tenant, recorded);
        }
        (decision, state.as_ref().map_or(0, |user| user.blocked.len()))
    };
    let other = OfUser { user: UserId::from_bytes([7; 16]) };
    assert!(matches!(when(Command::Block(other)).0, Decision::Reject(r) if r.code == ErrorCode::NotFound));
    when(input("Ada").command);
    assert_eq!(when(Command::Block(other)).1, 1);
    assert!(matches!(when(Command::Block(other)), (Decision::Done(done), 1) if done.duplicate));
    assert_eq!(when(input("Ada L.").command).1, 1, "another name changes nothing of it");
    assert_eq!(when(Command::Unblock(other)).1, 0);
    assert!(matches!(when(Command::Unblock(other)), (Decision::Done(done), 0) if done.duplicate));
    let oneself = Command::Block(OfUser { user: UserId::from_bytes([2; 16]) });
    assert!(matches!(when(oneself).0, Decision::Reject(r) if r.code == ErrorCode::BadRequest));
}

#[test]
fn privacy_changes_by_what_is_named_and_once() {
    let mut state = None;
    let mut when = |command: Command| {
        let input = Input { command, ..input("Ada") };
        let decision = decide(state.as_ref(), &input);
        if let Decision::Record(recorded) = &decision {
            evolve(&mut state, input.tenant, recorded);
        }
        (decision, state.as_ref().map(|user| user.privacy))
    };
    let set = |presence, last_seen| Command::SetPrivacy(ChangePrivacy { presence, last_seen });
    let nobody = Some(ShownTo::Nobody);
    assert!(matches!(when(set(nobody, None)).0, Decision::Reject(r) if r.code == ErrorCode::NotFound));
    assert_eq!(when(input("Ada").command).1, Some(Privacy::default()));
    let hidden = Privacy { presence: ShownTo::Nobody, last_seen: ShownTo::Everyone };
    assert_eq!(when(set(nobody, None)).1, Some(hidden));
    for nothing_new in [set(nobody, None), set(None, None), set(nobody, Some(ShownTo::Everyone))] {
        assert!(matches!(when(nothing_new).0, Decision::Done(done) if done.duplicate));
    }
    let both = Privacy { last_seen: ShownTo::Contacts, ..hidden };
    assert_eq!(when(set(None, Some(ShownTo::Contacts))).1, Some(both));
    assert_eq!(when(input("Ada L.").command).1, Some(both), "another name changes nothing of it");
}

#[test]
fn a_moderator_is_made_and_unmade_once_each() {
    let mut state = None;
    let mut when = |command: Command| {
        let input = Input { command, ..input("Ada") };
        let decision = decide(state.as_ref(), &input);
        if let Decision::Record(recorded) = &decision {
            evolve(&mut state, input.tenant, recorded);
        }
        (decision, state.as_ref().map(|user| user.moderator))
    };
    let make = |moderator| Command::SetModerator(Moderator { moderator });
    assert!(matches!(when(make(true)).0, Decision::Reject(r) if r.code == ErrorCode::NotFound));
    assert_eq!(when(input("Ada").command).1, Some(false));
    assert!(matches!(when(make(false)).0, Decision::Done(done) if done.duplicate));
    assert_eq!(when(make(true)).1, Some(true));
    assert!(matches!(when(make(true)).0, Decision::Done(done) if done.duplicate));
    assert_eq!(when(input("Ada L.").command).1, Some(true), "another name changes nothing of it");
    assert_eq!(when(make(false)).1, Some(false));
}

#[test]
fn what_postgres_cannot_keep_is_refused() {
    let by_name = input("A\0da");
    let mut by_id = input("Ada");
    by_id.command = Command::Put(Profile { external_id: "\0".into(), name: None });
    for input in [by_name, by_id] {
        let decision = decide(None, &input);
        assert!(matches!(&decision, Decision::Reject(r) if r.code == ErrorCode::BadRequest), "{decision:?}");
    }
}

#[test]
fn a_user_of_another_tenant_is_not_found() {
    let mut state = None;
    if let Decision::Record(recorded) = decide(None, &input("Ada")) {
        evolve(&mut state, TenantId::from_bytes([9; 16]), &recorded);
    }
    assert!(matches!(decide(state.as_ref(), &input("Eve")), Decision::Reject(r) if r.code == ErrorCode::NotFound));
}
