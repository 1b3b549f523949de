//! Sealing content: AES-256-GCM with a random nonce, bound to where the content stands.
//!
//! The format is for ever, as sealed bytes stand in topics and archives:
//! `1` (one byte), key version (four bytes big-endian), nonce (12 bytes), ciphertext and tag (16 bytes).
//! The associated data are, each with its length as four bytes big-endian: tenant (16 bytes), conversation (16), author (16, or none
//! for a conversation's name), key version (4, big-endian), the field's name, and the command (16).
//! `tests/data/sealed-1.json` holds an example.

use std::fmt;

use bytes::Bytes;
use ring::aead::{self, LessSafeKey, NONCE_LEN, Nonce};

use super::{KeyBytes, cipher, fill_random, push_parts};
use crate::domain::{CommandId, ConversationId, TenantId, UserId};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
/// How much longer than its content a sealed field is.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + NONCE_LEN + TAG_BYTES;

/// Which field of a record is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The text of a message.
    Text,
    /// What a message holds beside its text.
    Content,
    /// What somebody has begun to write.
    Draft,
    /// What somebody says of a message that it reports.
    Comment,
    /// The name of a conversation.
    Name,
    /// What a conversation is about.
    Topic,
    /// The picture of a conversation.
    Picture,
}

impl Field {
    /// As it stands in the associated data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Content => "content",
            Self::Draft => "draft",
            Self::Comment => "comment",
            Self::Name => "name",
            Self::Topic => "topic",
            Self::Picture => "picture",
        }
    }
}

/// Where sealed content stands. It opens nowhere else. The key's version is bound too, but comes from the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    /// Whose it is.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Whose key seals it; none if the key is the conversation's.
    pub author: Option<UserId>,
    /// Which field.
    pub field: Field,
    /// The command that brought it: `causation` of the event.
    pub command: CommandId,
}

impl Aad {
    fn list(&self, version: u32) -> Vec<u8> {
        let mut list = Vec::with_capacity(96);
        let author = self.author.as_ref().map_or(&[][..], |author| author.as_bytes());
        push_parts(
            &mut list,
            &[
                self.tenant.as_bytes(),
                self.conversation.as_bytes(),
                author,
                &version.to_be_bytes(),
                self.field.name().as_bytes(),
                self.command.as_bytes(),
            ],
        );
        list
    }
}

/// A key that seals content, ready to use (560 bytes: for a session or a batch, not for every user).
#[derive(Clone)]
pub struct DataKey {
    version: u32,
    cipher: LessSafeKey,
}

impl DataKey {
    /// Version `version` (1, 2, 3 … within its owner).
    pub fn new(version: u32, key: &KeyBytes) -> Self {
        Self { version, cipher: cipher(key) }
    }

    /// 1, 2, 3 … within its owner.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey(version {}, redacted)", self.version)
    }
}

/// Why something cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// More than 64 GiB.
    #[error("too long to be sealed")]
    TooLong,
}

/// Why something cannot be opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or of a format that this program does not know.
    #[error("not in a known format of sealed content; upgrade readers before writers")]
    Format,
    /// Sealed under another version of the key.
    #[error("sealed under version {sealed} of the key, not {key}")]
    Version {
        /// Of the content.
        sealed: u32,
        /// Of the key.
        key: u32,
    },
    /// Changed, or sealed under another key, or for another place.
    #[error("the seal is broken: changed, or of another key or place")]
    Broken,
}

/// Seals `plaintext`; [`OVERHEAD_BYTES`] longer than it.
///
/// Nonces are random: at 2^32 contents under one key the chance that any two are equal is 2^-33, so keys need no count.
///
/// # Errors
/// If the system has no randomness to give.
pub fn seal(key: &DataKey, aad: &Aad, plaintext: &[u8]) -> Result<Bytes, SealError> {
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&key.version.to_be_bytes());
    seal_onto(&mut sealed, &key.cipher, &aad.list(key.version), plaintext)?;
    Ok(sealed.into())
}

/// The version of the key under which `sealed` was sealed.
///
/// # Errors
/// [`OpenError::Format`].
pub fn key_version(sealed: &[u8]) -> Result<u32, OpenError> {
    match sealed {
        &[FORMAT, a, b, c, d, ref rest @ ..] if rest.len() >= NONCE_LEN + TAG_BYTES => {
            Ok(u32::from_be_bytes([a, b, c, d]))
        }
        _ => Err(OpenError::Format),
    }
}

/// Opens what [`seal`] made.
///
/// # Errors
/// See [`OpenError`].
pub fn open(key: &DataKey, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let version = key_version(sealed)?;
    if version != key.version {
        return Err(OpenError::Version { sealed: version, key: key.version });
    }
    open_from(&key.cipher, &aad.list(version), &sealed[HEADER_BYTES..]).ok_or(OpenError::Broken)
}

/// Appends nonce, ciphertext and tag.
pub(super) fn seal_onto(
    sealed: &mut Vec<u8>,
    cipher: &LessSafeKey,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(), SealError> {
    let mut nonce = [0; NONCE_LEN];
    fill_random(&mut nonce)?;
    sealed.extend_from_slice(&nonce);
    let start = sealed.len();
    sealed.extend_from_slice(plaintext);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher
        .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), &mut sealed[start..])
        .map_err(|_| SealError::TooLong)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens nonce, ciphertext and tag; none if the seal is broken.
pub(super) fn open_from(cipher: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut content = rest.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher.open_in_place(nonce, aead::Aad::from(aad), &mut content).ok()?.len();
    content.truncate(length);
    Some(content)
}
