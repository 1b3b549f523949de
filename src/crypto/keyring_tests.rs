//! Keys as they come and go, and as they are wrapped anew.

use bytes::Bytes;

use super::*;
use crate::crypto::{LocalMasterKeys, generate_line, make_key};
use crate::domain::Timestamp;

fn keyring() -> Keyring {
    let line = generate_line("a").expect("random");
    let master = LocalMasterKeys::parse(&line).expect("parses");
    Keyring::empty(Codec::builtin(), Arc::new(master))
}

async fn record(keyring: &Keyring, tenant: TenantId, user: UserId, version: u32) -> Fetched {
    let key = make_key(&*keyring.shared.master, tenant, user, version).await.expect("made");
    let record = UserKey {
        tenant,
        user,
        version: key.version,
        master: key.master,
        wrapped: key.wrapped,
        created_at: Timestamp(1),
        epoch: 0,
        partition: 0,
        index: 1,
    };
    let value = Codec::builtin().encode(&record).expect("encodes");
    fetched(format!("{user}/{version}"), Some(value))
}

fn fetched(key: String, value: Option<Bytes>) -> Fetched {
    Fetched { partition: 0, offset: 7, timestamp: Timestamp(1), key: Some(key.into()), value }
}

fn versions(keyring: &Keyring, user: UserId) -> Vec<u32> {
    (0..9).filter(|version| keyring.get(user, *version).is_some()).collect()
}

#[tokio::test]
async fn keys_come_in_any_order_and_tombstones_take_them_away() {
    let (keyring, tenant, user) = (keyring(), TenantId::generate(), UserId::generate());
    assert_eq!(keyring.tenant_of(user), None);
    for version in [2, 1, 3, 2] {
        keyring.apply(&record(&keyring, tenant, user, version).await).await.expect("applied");
    }
    assert_eq!(keyring.tenant_of(user), Some(tenant));
    assert_eq!((versions(&keyring, user), keyring.newest(user).map(|k| k.version())), (vec![1, 2, 3], Some(3)));
    for (version, left, newest) in [(3, vec![1, 2], Some(2)), (1, vec![2], Some(2)), (9, vec![2], Some(2))] {
        keyring.apply(&fetched(format!("{user}/{version}"), None)).await.expect("applied");
        assert_eq!((versions(&keyring, user), keyring.newest(user).map(|k| k.version())), (left, newest));
    }
    keyring.apply(&fetched(format!("{user}/2"), None)).await.expect("applied");
    assert_eq!((keyring.tenant_of(user), keyring.users()), (None, 0));
}

#[tokio::test]
async fn what_is_not_a_key_stops_the_reading() {
    let (keyring, tenant, user) = (keyring(), TenantId::generate(), UserId::generate());
    let good = record(&keyring, tenant, user, 1).await;
    let other = fetched(format!("{user}/2"), good.value.clone());
    assert!(matches!(keyring.apply(&other).await, Err(KeyringError::WrongKey { offset: 7, .. })));
    let damaged = fetched(format!("{user}/1"), good.value.as_ref().map(|value| value.slice(..20)));
    assert!(matches!(keyring.apply(&damaged).await, Err(KeyringError::Undecodable { .. })));
    let elsewhere = self::keyring();
    assert!(matches!(elsewhere.apply(&good).await, Err(KeyringError::Wrapped { .. })));
    assert_eq!((keyring.users(), elsewhere.users()), (0, 0));
}

#[tokio::test]
async fn a_key_that_was_wrapped_anew_needs_its_old_master_key_no_more() {
    let (old, keyring, tenant, user) = (self::keyring(), self::keyring(), TenantId::generate(), UserId::generate());
    // Two of one id, with other bytes, are no rotation.
    let other = generate_line("b").expect("random");
    let stranger = Keyring::empty(Codec::builtin(), Arc::new(LocalMasterKeys::parse(&other).expect("parses")));
    let (before, after) = (record(&stranger, tenant, user, 1).await, record(&keyring, tenant, user, 1).await);
    let gone = fetched(format!("{user}/1"), None);
    for (records, is_well) in [
        (vec![&before, &after], true),
        (vec![&before, &gone], true),
        (vec![&before], false),
        (vec![&after, &before], false),
    ] {
        let mut superseded = Superseded::default();
        for record in records {
            superseded.note(record, keyring.apply(record).await).expect("goes on");
        }
        assert_eq!(superseded.left().is_none(), is_well);
    }
    let broken = record(&old, tenant, user, 1).await;
    let mut superseded = Superseded::default();
    assert!(superseded.note(&broken, keyring.apply(&broken).await).is_err(), "damage is not waited for");
}

#[tokio::test]
async fn who_waits_for_a_user_is_woken() {
    let (keyring, tenant, user) = (keyring(), TenantId::generate(), UserId::generate());
    assert!(!keyring.wait_for(tenant, user, Duration::from_millis(1)).await);
    let coming = record(&keyring, tenant, user, 1).await;
    let waiting = keyring.wait_for(tenant, user, Duration::from_secs(60));
    let applying = async {
        tokio::task::yield_now().await;
        keyring.apply(&coming).await.expect("applied");
        keyring.shared.changed.notify_waiters();
    };
    assert!(tokio::join!(waiting, applying).0);
}

#[tokio::test(start_paused = true)]
async fn a_user_of_another_tenant_is_waited_for_like_nobody() {
    let (keyring, tenant, user) = (keyring(), TenantId::generate(), UserId::generate());
    keyring.apply(&record(&keyring, tenant, user, 1).await).await.expect("applied");
    for (user, other) in [(user, TenantId::generate()), (UserId::generate(), tenant)] {
        let asked = tokio::time::Instant::now();
        assert!(!keyring.wait_for(other, user, Duration::from_secs(1)).await);
        assert!(asked.elapsed() >= Duration::from_secs(1));
    }
}
