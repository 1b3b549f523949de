//! What is sealed opens where it was sealed and nowhere else, by this version and every later one.

use std::collections::HashSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidings::crypto::*;
use tidings::domain::{CommandId, ConversationId, Id, TenantId, UserId, ids};

fn name_aad(tenant: TenantId, conversation: ConversationId, command: CommandId) -> Aad {
    Aad { tenant, conversation, author: None, field: Field::Name, command }
}

fn seal_name(
    key: &NameKey,
    tenant: TenantId,
    conversation: ConversationId,
    command: CommandId,
    name: &str,
) -> Result<bytes::Bytes, SealError> {
    seal(key.key(), &name_aad(tenant, conversation, command), name.as_bytes())
}

fn open_name(
    key: &NameKey,
    tenant: TenantId,
    conversation: ConversationId,
    command: CommandId,
    sealed: &[u8],
) -> Result<String, OpenError> {
    let name = open(key.key(), &name_aad(tenant, conversation, command), sealed)?;
    Ok(String::from_utf8(name).expect("UTF-8"))
}

fn id<K: ids::Kind>(n: u8) -> Id<K> {
    Id::from_bytes([n; 16])
}

fn aad() -> Aad {
    Aad { tenant: id(1), conversation: id(2), author: Some(id(3)), field: Field::Text, command: id(4) }
}

fn key(version: u32) -> DataKey {
    DataKey::new(version, &KeyBytes::new([7; KEY_BYTES]))
}

fn master(lines: &str) -> LocalMasterKeys {
    LocalMasterKeys::parse(lines).expect("parses")
}

fn line(id: &str, byte: u8) -> String {
    format!("{id}:{}", STANDARD.encode([byte; KEY_BYTES]))
}

proptest! {
    #[test]
    fn what_is_sealed_opens(text: Vec<u8>, version: u32) {
        let key = key(version);
        let sealed = seal(&key, &aad(), &text).expect("seals");
        prop_assert_eq!(key_version(&sealed), Ok(version));
        prop_assert_eq!(open(&key, &aad(), &sealed), Ok(text));
    }

    #[test]
    fn no_bytes_make_opening_panic(bytes: Vec<u8>) {
        prop_assert!(open(&key(1), &aad(), &bytes).is_err());
    }

    #[test]
    fn nobody_confuses_two_external_ids(a: String, b: String) {
        let identity = master(&line("a", 1)).identity_key();
        prop_assert_eq!(a == b, user_id(&identity, id(1), &a) == user_id(&identity, id(1), &b));
    }
}

#[test]
fn every_part_of_the_place_is_bound() {
    let sealed = seal(&key(1), &aad(), b"hello").expect("seals");
    let elsewhere = [
        Aad { tenant: id(9), ..aad() },
        Aad { conversation: id(9), ..aad() },
        Aad { author: Some(id(9)), ..aad() },
        Aad { author: None, ..aad() },
        Aad { field: Field::Name, ..aad() },
        Aad { command: id(9), ..aad() },
    ];
    for place in elsewhere {
        assert_eq!(open(&key(1), &place, &sealed), Err(OpenError::Broken), "{place:?}");
    }
    assert_eq!(open(&key(2), &aad(), &sealed), Err(OpenError::Version { sealed: 1, key: 2 }));
    let mut relabelled = sealed.to_vec();
    relabelled[4] = 2;
    assert_eq!(open(&key(2), &aad(), &relabelled), Err(OpenError::Broken), "the same key bytes, another version");
    let other = DataKey::new(1, &KeyBytes::new([8; KEY_BYTES]));
    assert_eq!(open(&other, &aad(), &sealed), Err(OpenError::Broken));
}

#[test]
fn what_is_cut_or_changed_does_not_open() {
    let sealed = seal(&key(1), &aad(), b"hello").expect("seals");
    for length in 0..sealed.len() {
        assert!(open(&key(1), &aad(), &sealed[..length]).is_err(), "cut to {length}");
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        assert!(open(&key(1), &aad(), &changed).is_err(), "changed at {at}");
    }
    assert!(open(&key(1), &aad(), &[&sealed[..], b"\0"].concat()).is_err(), "longer");
}

#[test]
fn no_nonce_comes_twice() {
    let mut nonces = HashSet::new();
    for _ in 0..10_000 {
        let sealed = seal(&key(1), &aad(), b"").expect("seals");
        assert!(nonces.insert(sealed[5..17].to_vec()));
    }
}

#[tokio::test]
async fn a_data_key_unwraps_for_its_owner_only() {
    let master = master(&line("a", 1));
    let made = make_key(&master, id(1), id(3), 1).await.expect("made");
    let wrapped = Wrapped { master: made.master, bytes: made.wrapped };
    let owner = KeyOwner { tenant: id(1), user: id(3), version: 1 };
    assert!(master.unwrap(&owner, &wrapped).await.is_ok());
    let others =
        [KeyOwner { tenant: id(9), ..owner }, KeyOwner { user: id(9), ..owner }, KeyOwner { version: 2, ..owner }];
    for other in others {
        let unwrapped = master.unwrap(&other, &wrapped).await;
        assert!(matches!(unwrapped, Err(MasterError::Broken { .. })), "{other:?}");
    }
    for length in 0..wrapped.bytes.len() {
        let cut = Wrapped { bytes: wrapped.bytes.slice(..length), ..wrapped.clone() };
        assert!(matches!(master.unwrap(&owner, &cut).await, Err(MasterError::Broken { .. })), "cut to {length}");
    }
    let unknown = Wrapped { master: "b".into(), ..wrapped };
    assert!(matches!(master.unwrap(&owner, &unknown).await, Err(MasterError::Unknown(id)) if id == "b"));
}

#[tokio::test]
async fn a_new_master_key_moves_no_id_and_loses_no_key() {
    let old = master(&line("old", 1));
    let rotated = master(&format!("# newest first\n{}\n\n{}\n", line("new", 2), line("old", 1)));
    let made = make_key(&old, id(1), id(3), 1).await.expect("made");
    let owner = KeyOwner { tenant: id(1), user: id(3), version: 1 };
    let wrapped = Wrapped { master: made.master, bytes: made.wrapped };
    let (before, after) = (old.unwrap(&owner, &wrapped).await, rotated.unwrap(&owner, &wrapped).await);
    assert_eq!(before.expect("unwraps").expose(), after.expect("unwraps").expose());
    assert_eq!(make_key(&rotated, id(1), id(3), 2).await.expect("made").master, "new");
    let (a, b) = (old.identity_key(), rotated.identity_key());
    assert_eq!(user_id(&a, id(1), "ada"), user_id(&b, id(1), "ada"));
    let sealed = seal_name(&old.name_key(id(2)), id(1), id(2), id(4), "Crew").expect("seals");
    assert_eq!(open_name(&rotated.name_key(id(2)), id(1), id(2), id(4), &sealed), Ok("Crew".to_owned()));
}

#[tokio::test]
async fn the_root_of_names_and_ids_may_stand_beside_the_master_keys() {
    let old = master(&line("old", 1));
    let alone = LocalMasterKeys::parse(&line("new", 2)).and_then(|new| new.with_root(&line("old", 1))).expect("parses");
    assert_eq!(alone.root_fingerprint(), old.root_fingerprint());
    assert_ne!(alone.root_fingerprint(), master(&line("new", 2)).root_fingerprint());
    let identities = [old.identity_key(), alone.identity_key()];
    assert_eq!(user_id(&identities[0], id(1), "ada"), user_id(&identities[1], id(1), "ada"));
    let sealed = seal_name(&old.name_key(id(2)), id(1), id(2), id(4), "Crew").expect("seals");
    assert_eq!(open_name(&alone.name_key(id(2)), id(1), id(2), id(4), &sealed), Ok("Crew".to_owned()));
    // It is no master key.
    let made = make_key(&old, id(1), id(3), 1).await.expect("made");
    let unwrapped = rewrap_key(&alone, id(1), id(3), &made).await;
    assert!(matches!(unwrapped, Err(MasterError::Unknown(id)) if id == "old"));
    for wrong in ["", "old", &format!("{}\n{}", line("a", 1), line("b", 2))] {
        let keys = LocalMasterKeys::parse(&line("new", 2)).and_then(|new| new.with_root(wrong));
        assert_eq!(keys.err(), Some(KeyLineError::Root), "{wrong}");
    }
}

#[tokio::test]
async fn a_key_that_is_wrapped_anew_is_the_same_key() {
    let (old, both) = (master(&line("old", 1)), master(&format!("{}\n{}", line("new", 2), line("old", 1))));
    let new = master(&line("new", 2));
    let made = make_key(&old, id(1), id(3), 1).await.expect("made");
    let fresh = rewrap_key(&both, id(1), id(3), &made).await.expect("wrapped anew");
    let owner = KeyOwner { tenant: id(1), user: id(3), version: 1 };
    let before = old.unwrap(&owner, &Wrapped { master: made.master.clone(), bytes: made.wrapped.clone() }).await;
    let after = new.unwrap(&owner, &Wrapped { master: fresh.master.clone(), bytes: fresh.wrapped.clone() }).await;
    assert_eq!(before.expect("unwraps").expose(), after.expect("unwraps").expose());
    assert_eq!(rewrap_key(&both, id(1), id(3), &fresh).await.expect("the same"), fresh);
    assert!(matches!(rewrap_key(&both, id(1), id(9), &made).await, Err(MasterError::Broken { .. })), "another's");
    assert!(matches!(rewrap_key(&new, id(1), id(3), &made).await, Err(MasterError::Unknown(_))));
}

#[test]
fn a_user_of_one_tenant_is_nobody_in_another() {
    let identity = master(&line("a", 1)).identity_key();
    assert_ne!(user_id(&identity, id(1), "ada"), user_id(&identity, id(2), "ada"));
    assert_ne!(user_id(&identity, id(1), "ada"), user_id(&master(&line("a", 2)).identity_key(), id(1), "ada"));
}

#[test]
fn a_name_opens_in_its_conversation_only() {
    let master = master(&line("a", 1));
    let sealed = seal_name(&master.name_key(id(2)), id(1), id(2), id(4), "Crew").expect("seals");
    let open = |tenant, key, conversation, command| {
        open_name(&master.name_key(key), tenant, conversation, command, &sealed).is_ok()
    };
    let (c, d): (ConversationId, ConversationId) = (id(2), id(9));
    assert!(open(id(1), c, c, id(4)));
    assert!(
        !open(id(9), c, c, id(4))
            && !open(id(1), d, c, id(4))
            && !open(id(1), c, d, id(4))
            && !open(id(1), c, c, id(9))
    );
}

#[test]
fn lines_of_another_form_are_refused() {
    let short = format!("a:{}", STANDARD.encode([1; 31]));
    let twice = format!("{}\n{}", line("a", 1), line("a", 2));
    let cases = [
        ("", KeyLineError::None),
        ("# none\n", KeyLineError::None),
        ("a", KeyLineError::Form(1)),
        (&short, KeyLineError::Form(1)),
        (&line("", 1), KeyLineError::Form(1)),
        (&line("a b", 1), KeyLineError::Form(1)),
        ("\na:not base64", KeyLineError::Form(2)),
        (&twice, KeyLineError::Twice(2)),
    ];
    for (lines, expected) in cases {
        assert_eq!(LocalMasterKeys::parse(lines).err(), Some(expected), "{lines}");
    }
    assert!(LocalMasterKeys::parse(&generate_line("dev-1").expect("random")).is_ok());
}

#[test]
fn no_key_is_ever_printed() {
    let (keys, data) = (master(&line("a", 1)), key(1));
    let printed =
        format!("{keys:?} {data:?} {:?} {:?} {:?}", KeyBytes::new([7; 32]), keys.identity_key(), keys.name_key(id(2)));
    assert!(printed.contains("redacted") && !printed.contains("7, 7") && !printed.contains(&line("a", 1)), "{printed}");
}

/// What the first version made, frozen. Set `FREEZE` to make the file of a new format; never change an old one.
#[tokio::test]
async fn what_the_first_version_sealed_still_opens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sealed-1.json");
    let lines = line("first", 1);
    let master = master(&lines);
    let (tenant, conversation, user, command): (TenantId, ConversationId, UserId, CommandId) =
        (id(1), id(2), id(3), id(4));
    let owner = KeyOwner { tenant, user, version: 1 };
    if std::env::var_os("FREEZE").is_some() {
        let data = KeyBytes::new([7; KEY_BYTES]);
        let wrapped = master.wrap(&owner, &data).await.expect("wraps");
        let text = seal(&DataKey::new(1, &data), &aad(), "hello ✓".as_bytes()).expect("seals");
        let name = seal_name(&master.name_key(conversation), tenant, conversation, command, "Crew").expect("seals");
        let frozen = json!({
            "master": lines, "tenant": tenant, "conversation": conversation, "user": user, "command": command,
            "wrapped": STANDARD.encode(&wrapped.bytes), "data_key": STANDARD.encode(data.expose()),
            "text": STANDARD.encode(&text), "name": STANDARD.encode(&name),
            "external_id": "ada@example", "user_id": user_id(&master.identity_key(), tenant, "ada@example"),
        });
        let pretty = serde_json::to_string_pretty(&frozen).expect("is JSON");
        std::fs::write(&path, pretty + "\n").expect("written");
    }
    let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON");
    let bytes = |name: &str| STANDARD.decode(frozen[name].as_str().expect("text")).expect("base64");
    let wrapped = Wrapped { master: "first".into(), bytes: bytes("wrapped").into() };
    let data = master.unwrap(&owner, &wrapped).await.expect("unwraps");
    assert_eq!(data.expose().as_slice(), bytes("data_key"));
    let text = open(&DataKey::new(1, &data), &aad(), &bytes("text"));
    assert_eq!(text, Ok("hello ✓".as_bytes().to_vec()));
    let name = open_name(&master.name_key(conversation), tenant, conversation, command, &bytes("name"));
    assert_eq!(name, Ok("Crew".to_owned()));
    let derived = user_id(&master.identity_key(), tenant, "ada@example");
    assert_eq!(json!(derived), frozen["user_id"]);
}
