//! Master keys: they wrap data keys, and the keys of names and identities are derived from them.

use std::collections::HashSet;
use std::fmt;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::LessSafeKey;
use ring::hkdf;
use zeroize::Zeroizing;

use super::names::{IdentityKey, NameKey};
use super::seal::{open_from, seal_onto};
use super::terms::TermKey;
use super::wrap::{KeyOwner, Wrapped};
use super::{KEY_BYTES, KeyBytes, SealError, cipher};
use crate::domain::ConversationId;

const MAX_ID_BYTES: usize = 64;

/// What holds the master keys. Wrapping is asynchronous as a key service is asked over the network; what is derived is not, as
/// such a service hands out the one secret behind it when the process starts.
#[async_trait]
pub trait MasterKeys: fmt::Debug + Send + Sync {
    /// Wraps `key` under the newest master key, so that it unwraps for `owner` only.
    ///
    /// # Errors
    /// See [`MasterError`].
    async fn wrap(&self, owner: &KeyOwner, key: &KeyBytes) -> Result<Wrapped, MasterError>;

    /// Unwraps what [`MasterKeys::wrap`] made.
    ///
    /// # Errors
    /// See [`MasterError`].
    async fn unwrap(&self, owner: &KeyOwner, wrapped: &Wrapped) -> Result<KeyBytes, MasterError>;

    /// The id of the master key that wraps.
    fn newest(&self) -> &str;

    /// The key of the name of `conversation`. The same for ever.
    fn name_key(&self, conversation: ConversationId) -> NameKey;

    /// The key under which the ids of users are derived. The same for ever.
    fn identity_key(&self) -> IdentityKey;

    /// The key under which what can be searched for is hashed. The same for ever.
    fn term_key(&self) -> TermKey;

    /// Tells one root of names and ids from another, and nothing of the root.
    fn root_fingerprint(&self) -> [u8; KEY_BYTES];
}

/// Why a data key cannot be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// It was wrapped by a master key that is not here.
    #[error("master key `{0}` is not known here; keep old master keys until every data key is wrapped anew")]
    Unknown(String),
    /// It does not unwrap.
    #[error(
        "version {} of the data key of {} does not unwrap under master key `{master}`: damaged, or another key of the same id",
        .owner.version, .owner.user
    )]
    Broken {
        /// Whose it should be.
        owner: KeyOwner,
        /// Which should wrap it.
        master: String,
    },
    /// It cannot be wrapped.
    #[error("cannot wrap a data key")]
    Seal(#[from] SealError),
    /// What holds the master keys does not answer.
    #[error("the key service does not answer")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a list of master keys is refused. Never holds a part of a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyLineError {
    /// Nothing there.
    #[error("no master key is given; write one line `id:base64 of 32 random bytes`")]
    None,
    /// A line is of another form.
    #[error(
        "line {0} of the master keys is not `id:base64 of 32 bytes`, with an id of 1 to 64 letters, digits, `.`, `_` or `-`"
    )]
    Form(usize),
    /// Two lines have one id.
    #[error("line {0} of the master keys has the id of a line before it")]
    Twice(usize),
    /// The root of names and ids is of another form.
    #[error("it is not one line `id:base64 of 32 bytes`, as the line of the master key that was the last")]
    Root,
}

struct Master {
    id: String,
    wrapping: LessSafeKey,
}

/// Master keys from a file or an environment variable.
pub struct LocalMasterKeys {
    /// Newest first.
    masters: Vec<Master>,
    /// Of names and ids: the oldest, unless there is one for this alone.
    root: hkdf::Prk,
}

impl LocalMasterKeys {
    /// From lines `id:base64(32 bytes)`, the newest first; empty lines and those that begin with `#` are passed over.
    ///
    /// The first line wraps; all unwrap. The **last** line, the oldest key, is also the root of the names of conversations and of the
    /// ids of users, which never changes: another root gives every user a new id. Before that line is taken away it must be given to
    /// [`LocalMasterKeys::with_root`].
    ///
    /// # Errors
    /// See [`KeyLineError`].
    pub fn parse(lines: &str) -> Result<Self, KeyLineError> {
        let mut ids = HashSet::new();
        let mut masters = Vec::new();
        let mut oldest = None;
        for (number, line) in (1..).zip(lines.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, key) = parse_line(line).ok_or(KeyLineError::Form(number))?;
            if !ids.insert(id) {
                return Err(KeyLineError::Twice(number));
            }
            let root = root(&key);
            let wrapping = cipher(&expand(&root, &[b"wrap"]));
            masters.push(Master { id: id.to_owned(), wrapping });
            oldest = Some(root);
        }
        let root = oldest.ok_or(KeyLineError::None)?;
        Ok(Self { masters, root })
    }

    /// The ids of the master keys, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.masters.iter().map(|master| master.id.as_str())
    }

    /// With the key of `line` as the root of names and ids, whatever the master keys are. It wraps nothing.
    ///
    /// # Errors
    /// See [`KeyLineError`].
    pub fn with_root(mut self, line: &str) -> Result<Self, KeyLineError> {
        let (_, key) = parse_line(line.trim()).ok_or(KeyLineError::Root)?;
        self.root = root(&key);
        Ok(self)
    }
}

fn root(key: &KeyBytes) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key.expose())
}

fn parse_line(line: &str) -> Option<(&str, KeyBytes)> {
    let (id, encoded) = line.split_once(':')?;
    let of_id = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(of_id) {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let key: [u8; KEY_BYTES] = decoded.as_slice().try_into().ok()?;
    Some((id, KeyBytes::new(key)))
}

/// A new line for [`LocalMasterKeys::parse`]. It is a secret.
///
/// # Errors
/// If the system has no randomness to give.
pub fn generate_line(id: &str) -> Result<Zeroizing<String>, SealError> {
    let key = KeyBytes::random()?;
    let encoded = Zeroizing::new(STANDARD.encode(key.expose()));
    Ok(Zeroizing::new(format!("{id}:{}", *encoded)))
}

/// HKDF-SHA256 expand to one key. `info` is what the key is for.
fn expand(root: &hkdf::Prk, info: &[&[u8]]) -> KeyBytes {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            KEY_BYTES
        }
    }
    let mut key = [0; KEY_BYTES];
    // Fails past 255 blocks only, and this is one.
    root.expand(info, Length).and_then(|okm| okm.fill(&mut key)).expect("HKDF gives 32 bytes");
    KeyBytes::new(key)
}

#[async_trait]
impl MasterKeys for LocalMasterKeys {
    async fn wrap(&self, owner: &KeyOwner, key: &KeyBytes) -> Result<Wrapped, MasterError> {
        let newest = self.masters.first().ok_or_else(|| MasterError::Unknown(String::new()))?;
        let mut bytes = Vec::new();
        seal_onto(&mut bytes, &newest.wrapping, &owner.list(&newest.id), key.expose())?;
        Ok(Wrapped { master: newest.id.clone(), bytes: bytes.into() })
    }

    async fn unwrap(&self, owner: &KeyOwner, wrapped: &Wrapped) -> Result<KeyBytes, MasterError> {
        let master = self.masters.iter().find(|master| master.id == wrapped.master);
        let master = master.ok_or_else(|| MasterError::Unknown(wrapped.master.clone()))?;
        let key = open_from(&master.wrapping, &owner.list(&master.id), &wrapped.bytes).map(Zeroizing::new);
        let key: Option<[u8; KEY_BYTES]> = key.and_then(|key| key.as_slice().try_into().ok());
        key.map(KeyBytes::new).ok_or_else(|| MasterError::Broken { owner: *owner, master: master.id.clone() })
    }

    fn newest(&self) -> &str {
        self.masters.first().map_or("", |master| &master.id)
    }

    fn name_key(&self, conversation: ConversationId) -> NameKey {
        NameKey::new(&expand(&self.root, &[b"names", conversation.as_bytes()]))
    }

    fn identity_key(&self) -> IdentityKey {
        IdentityKey::new(&expand(&self.root, &[b"identity"]))
    }

    fn term_key(&self) -> TermKey {
        TermKey::new(&expand(&self.root, &[b"search"]))
    }

    fn root_fingerprint(&self) -> [u8; KEY_BYTES] {
        *expand(&self.root, &[b"fingerprint"]).expose()
    }
}

impl fmt::Debug for LocalMasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.masters.iter().map(|master| &master.id).collect();
        write!(f, "LocalMasterKeys({ids:?}, redacted)")
    }
}
