//! Ids: a type prefix and 128 bits as 26 lower-case Crockford base32 characters, as a ULID.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Says what an [`Id`] names, by its prefix.
pub trait Kind: 'static {
    /// Including the underscore, such as `usr_`.
    const PREFIX: &'static str;
    /// As the alias is called.
    const NAME: &'static str;
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $alias:ident, $kind:ident, $prefix:literal;)+) => {
        $(
            #[doc(hidden)]
            pub enum $kind {}
            impl Kind for $kind {
                const PREFIX: &'static str = $prefix;
                const NAME: &'static str = stringify!($alias);
            }
            $(#[$meta])*
            pub type $alias = Id<$kind>;
        )+
    };
}

kinds! {
    /// A person of a tenant.
    UserId, UserKind, "usr_";
    /// A conversation: direct, group or channel.
    ConversationId, ConversationKind, "cnv_";
    /// A customer of the installation; nothing crosses tenants.
    TenantId, TenantKind, "tnt_";
    /// A device as the client names it.
    DeviceId, DeviceKind, "dev_";
    /// One socket from `hello` to its end.
    SessionId, SessionKind, "ses_";
    /// One life of a gateway process.
    IncarnationId, IncarnationKind, "gwi_";
    /// An invitation, without the secret that its link has.
    InviteId, InviteKind, "inv_";
    /// The secret of an invitation's link: whoever has it may come.
    LinkId, LinkKind, "lnk_";
    /// One command record.
    CommandId, CommandKind, "cmd_";
    /// One append to a journal; public events carry it as `event_id`.
    EventId, EventKind, "evt_";
}

/// 128 bits that name a `K`.
pub struct Id<K>([u8; 16], PhantomData<fn() -> K>);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;
/// What a digit stands for; 32 and more are none. Ids are in every record, many times: to look for each digit in the alphabet is seen in a profile.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value: u8 = 0;
    while (value as usize) < ALPHABET.len() {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl<K: Kind> Id<K> {
    /// From raw bits.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes, PhantomData)
    }

    /// The raw bits, as recipients of deliveries are packed.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A new one: sortable by time like a ULID (48 bits of milliseconds, 74 of chance).
    pub fn generate() -> Self {
        Self::from_bytes(*uuid::Uuid::now_v7().as_bytes())
    }

    /// The id that always follows from `parts`, each taken with its length, so that no two lists of parts collide.
    pub fn derive(domain: &str, parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let digest = context.finish();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        Self::from_bytes(bytes)
    }

    fn encode(&self) -> [u8; DIGITS] {
        let mut value = u128::from_be_bytes(self.0);
        let mut digits = [0; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(value & 31) as usize];
            value >>= 5;
        }
        digits
    }
}

impl InviteId {
    /// The invitation whose link has this secret.
    pub fn of_link(link: LinkId) -> Self {
        Self::derive("invite", &[link.as_bytes()])
    }
}

impl ConversationId {
    /// The one direct conversation of two users, in either order.
    pub fn direct(a: UserId, b: UserId) -> Self {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        Self::derive("direct", &[first.as_bytes(), second.as_bytes()])
    }

    /// The group or channel that `creator` made with `client_id`.
    pub fn group(creator: UserId, client_id: uuid::Uuid) -> Self {
        Self::derive("group", &[creator.as_bytes(), client_id.as_bytes()])
    }
}

/// Why a text is not an id.
#[derive(Debug, thiserror::Error)]
#[error("expected `{prefix}` and 26 lower-case base32 characters")]
pub struct ParseIdError {
    prefix: &'static str,
}

impl<K: Kind> FromStr for Id<K> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { prefix: K::PREFIX };
        let digits = match text.strip_prefix(K::PREFIX) {
            Some(digits) if digits.len() == DIGITS => digits.as_bytes(),
            _ => return Err(error),
        };
        // 26 digits hold 130 bits: the first may only use three of its five.
        if digits[0] > b'7' {
            return Err(error);
        }
        let (mut value, mut all) = (0_u128, 0);
        for digit in digits {
            let bits = VALUES[usize::from(*digit)];
            all |= bits;
            value = value << 5 | u128::from(bits & 31);
        }
        if all > 31 {
            return Err(error);
        }
        Ok(Self::from_bytes(value.to_be_bytes()))
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::PREFIX)?;
        f.write_str(std::str::from_utf8(&self.encode()).unwrap_or_default())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 4 + DIGITS];
        text[..4].copy_from_slice(K::PREFIX.as_bytes());
        text[4..].copy_from_slice(&self.encode());
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl<K: Kind> JsonSchema for Id<K> {
    fn schema_name() -> Cow<'static, str> {
        K::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The alphabet, and the first digit as `from_str` takes it.
        json_schema!({ "type": "string", "pattern": format!("^{}[0-7][0-9a-hjkmnp-tv-z]{{25}}$", K::PREFIX) })
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<K>(PhantomData<fn() -> K>);
        impl<K: Kind> de::Visitor<'_> for Visitor<K> {
            type Value = Id<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an id that starts with `{}`", K::PREFIX)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id<K>, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor(PhantomData))
    }
}

// Derives would ask the same of `K`, which is only a name.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
/// All zeros: the `prev` of a journal's first record.
impl<K> Default for Id<K> {
    fn default() -> Self {
        Self([0; 16], PhantomData)
    }
}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_bits_are_the_same_id(bytes: [u8; 16]) {
            let id = UserId::from_bytes(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 30);
            prop_assert_eq!(text.parse::<UserId>().map_err(|e| e.to_string()), Ok(id));
        }

        #[test]
        fn no_text_makes_parsing_panic(text: String) {
            if let Ok(id) = text.parse::<UserId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn text_sorts_as_bits_do(a: [u8; 16], b: [u8; 16]) {
            let (a, b) = (UserId::from_bytes(a), UserId::from_bytes(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "usr_",
            "cnv_00000000000000000000000000",
            "usr_80000000000000000000000000",
            "usr_0000000000000000000000000A",
            "usr_000000000000000000000000000",
        ] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_direct_conversation_has_one_id_from_both_sides() {
        let (a, b) = (UserId::generate(), UserId::generate());
        assert_eq!(ConversationId::direct(a, b), ConversationId::direct(b, a));
        assert_ne!(ConversationId::direct(a, b), ConversationId::direct(a, a));
    }
}
