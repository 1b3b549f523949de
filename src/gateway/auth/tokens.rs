//! Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), and nothing else.
//!
//! Written here with `ring` rather than with a JWT library: those choose the algorithm by the token's header or bring a second
//! crypto provider (and, for Ed25519, an RSA with an open advisory); what we need of the format is one header and six claims.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::domain::{Id, SessionId, TenantId, Timestamp, UserId};
use crate::gateway::failure::Failure;
use crate::gateway::ports::{Claims, Tokens};

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4_096;
const ISSUER: &str = "tidings";
/// How far this machine's clock may be behind the one that minted.
const LEEWAY_MS: i64 = 5_000;

/// What a public Ed25519 key (SubjectPublicKeyInfo of RFC 8410) has before its 32 bytes.
const PUBLIC_KEY_HEADER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

// A header that asks for more (`crit`, `jwk`) is none of ours.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: UserId,
    tnt: TenantId,
    jti: SessionId,
    /// Seconds since 1970, as RFC 7519 has them.
    iat: i64,
    exp: i64,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// No PEM block, or not base64.
    #[error("the token key is no PEM file with a PRIVATE KEY; `openssl genpkey -algorithm ed25519` makes one")]
    NotPem,
    /// One of those that verify.
    #[error(
        "the previous token keys are no Ed25519 public keys in PEM; `openssl pkey -pubout` makes one of a token key"
    )]
    Previous,
    /// Of another algorithm, or damaged.
    #[error("the token key is no Ed25519 key in PKCS#8; `openssl genpkey -algorithm ed25519` makes one")]
    NotEd25519,
    /// The system gives no randomness.
    #[error("the system gives no randomness for a key")]
    NoRandomness,
}

struct PublicKey {
    kid: String,
    bytes: Vec<u8>,
}

/// The key that mints, and those that verify.
pub struct TokenKeys {
    minting: Ed25519KeyPair,
    /// The minting one first.
    public: Vec<PublicKey>,
    max_ttl: Duration,
}

/// A new key as a PEM file.
///
/// # Errors
/// If the system gives no randomness.
pub fn generate_pem() -> Result<zeroize::Zeroizing<String>, TokenKeyError> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| TokenKeyError::NoRandomness)?;
    let body = STANDARD.encode(key.as_ref());
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")).into())
}

fn blocks(pem: &str, label: &str) -> Result<Vec<Vec<u8>>, TokenKeyError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let bodies = pem.split(&begin).skip(1).map(|rest| rest.split(&end).next().unwrap_or_default());
    bodies
        .map(|body| {
            let body: String = body.split_whitespace().collect();
            STANDARD.decode(body).map_err(|_| TokenKeyError::NotPem)
        })
        .collect()
}

/// The thumbprint of RFC 7638, with the members in their order of RFC 8037.
fn thumbprint(public: &[u8]) -> String {
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(public));
    URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()))
}

impl PublicKey {
    fn new(bytes: &[u8]) -> Self {
        Self { kid: thumbprint(bytes), bytes: bytes.to_vec() }
    }
}

impl TokenKeys {
    /// With the key in `pem` (PKCS#8), and the public keys (PEM, `PUBLIC KEY`) in `previous`, whose tokens are still good.
    ///
    /// # Errors
    /// See [`TokenKeyError`].
    pub fn load(pem: &str, previous: &str, max_ttl: Duration) -> Result<Self, TokenKeyError> {
        let private = blocks(pem, "PRIVATE KEY")?.into_iter().next().ok_or(TokenKeyError::NotPem)?;
        // Files of OpenSSL have no public key inside, which is what "maybe unchecked" allows.
        let minting = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private).map_err(|_| TokenKeyError::NotEd25519)?;
        let mut public = vec![PublicKey::new(minting.public_key().as_ref())];
        for spki in blocks(previous, "PUBLIC KEY").map_err(|_| TokenKeyError::Previous)? {
            let key = spki.strip_prefix(&PUBLIC_KEY_HEADER).filter(|key| key.len() == 32);
            public.push(PublicKey::new(key.ok_or(TokenKeyError::Previous)?));
        }
        // A file of something else would turn away every token of the key before.
        if public.len() == 1 && !previous.trim().is_empty() {
            return Err(TokenKeyError::Previous);
        }
        Ok(Self { minting, public, max_ttl })
    }

    /// What the token says, if it is whole and ours, and not from after `now`. It may have expired.
    fn read(&self, token: &str, now: Timestamp) -> Option<Claims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "EdDSA" || header.typ != "JWT" {
            return None;
        }
        let key = self.public.iter().find(|key| key.kid == header.kid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ED25519, &key.bytes).verify(signed.as_bytes(), &signature).ok()?;
        let payload: Payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let expires_at = Timestamp(payload.exp.saturating_mul(1_000));
        let good = payload.iss == ISSUER && payload.iat.saturating_mul(1_000) <= now.0 + LEEWAY_MS;
        good.then_some(Claims { tenant: payload.tnt, user: payload.sub, expires_at })
    }

    fn mint_at(&self, tenant: TenantId, user: UserId, ttl: Duration, now: Timestamp) -> Option<String> {
        let ttl = i64::try_from(ttl.min(self.max_ttl).as_secs().max(1)).ok()?;
        let iat = now.0 / 1_000;
        let header = Header { alg: "EdDSA".into(), typ: "JWT".into(), kid: self.public.first()?.kid.clone() };
        let payload = Payload { iss: ISSUER.into(), sub: user, tnt: tenant, jti: Id::generate(), iat, exp: iat + ttl };
        let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", part(serde_json::to_vec(&header).ok()?), part(serde_json::to_vec(&payload).ok()?));
        let signature = self.minting.sign(signed.as_bytes());
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Tokens for TokenKeys {
    fn verify(&self, token: &str) -> Option<Claims> {
        self.read(token, Timestamp::now())
    }

    fn mint(&self, tenant: TenantId, user: UserId, ttl: Duration) -> Result<String, Failure> {
        self.mint_at(tenant, user, ttl, Timestamp::now()).ok_or_else(Failure::internal)
    }

    fn jwks(&self) -> String {
        let keys: Vec<_> = self
            .public
            .iter()
            .map(|key| {
                let x = URL_SAFE_NO_PAD.encode(&key.bytes);
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.kid, "x": x})
            })
            .collect();
        serde_json::json!({ "keys": keys }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn keys() -> TokenKeys {
        TokenKeys::load(&generate_pem().expect("random"), "", HOUR * 24).expect("loads")
    }

    fn minted(keys: &TokenKeys) -> String {
        keys.mint_at(TenantId::from_bytes([1; 16]), UserId::from_bytes([2; 16]), HOUR, NOW).expect("mints")
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let keys = keys();
        let token = minted(&keys);
        let claims = keys.read(&token, NOW).expect("good");
        assert_eq!((claims.tenant, claims.user), (TenantId::from_bytes([1; 16]), UserId::from_bytes([2; 16])));
        assert_eq!(claims.expires_at, NOW.plus(3_600_000));
        assert_eq!(keys.read(&token, NOW.plus(9_000_000)), Some(claims), "it says when it ended");
        assert_eq!(keys.read(&token, NOW.plus(-60_000)), None, "from the future");
    }

    #[test]
    fn whatever_is_changed_it_is_refused() {
        let keys = keys();
        let token = minted(&keys);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            // The last digit of a base64 text can have bits that mean nothing; the decoder refuses those.
            assert_eq!(keys.read(&changed, NOW), None, "{at}");
        }
        for end in 0..token.len() {
            assert_eq!(keys.read(&token[..end], NOW), None);
        }
        assert_eq!(keys.read(&format!("{token}{}", "x".repeat(5_000)), NOW), None);
    }

    #[test]
    fn the_header_chooses_nothing() {
        let keys = keys();
        let token = minted(&keys);
        let payload = token.split('.').nth(1).expect("three parts").to_owned();
        let kid = &keys.public[0].kid;
        for alg in ["none", "HS256", "ES256"] {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#));
            let signed = format!("{header}.{payload}");
            // Signed by the right key all the same, and with the public key as an HMAC secret.
            let right = URL_SAFE_NO_PAD.encode(keys.minting.sign(signed.as_bytes()));
            let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &keys.public[0].bytes);
            let confused = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, signed.as_bytes()));
            for signature in [right, confused, String::new()] {
                assert_eq!(keys.read(&format!("{signed}.{signature}"), NOW), None, "{alg}");
            }
        }
        assert_eq!(self::keys().read(&token, NOW), None, "another key");
    }

    #[test]
    fn previous_keys_verify_and_do_not_mint() {
        let (old, pem) = (keys(), generate_pem().expect("random"));
        let token = minted(&old);
        let spki = [&PUBLIC_KEY_HEADER[..], &old.public[0].bytes[..]].concat();
        let previous = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
        let new = TokenKeys::load(&pem, &previous, HOUR).expect("loads");
        assert!(new.read(&token, NOW).is_some());
        assert_eq!(old.read(&minted(&new), NOW), None);
        assert!(new.jwks().contains(&old.public[0].kid));
        // Another algorithm's key of the same size (X25519), and files of something else.
        let x25519 = previous.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu");
        for wrong in [x25519.as_str(), "nonsense", &pem] {
            assert!(matches!(TokenKeys::load(&pem, wrong, HOUR), Err(TokenKeyError::Previous)), "{wrong}");
        }
    }

    #[test]
    fn only_our_header_and_claims_are_accepted() {
        let keys = keys();
        let token = minted(&keys);
        let [header, payload] = [0, 1].map(|at| {
            let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).expect("three parts")).expect("base64");
            serde_json::from_slice::<serde_json::Value>(&part).expect("JSON")
        });
        let accepted = |header: &serde_json::Value, payload: &serde_json::Value| {
            let signed = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
            let signature = URL_SAFE_NO_PAD.encode(keys.minting.sign(signed.as_bytes()));
            keys.read(&format!("{signed}.{signature}"), NOW).is_some_and(|claims| claims.expires_at > NOW)
        };
        assert!(accepted(&header, &payload));
        for (field, value) in [
            ("typ", serde_json::json!("at+jwt")),
            ("kid", serde_json::json!("another")),
            ("crit", serde_json::json!(["exp"])),
            ("jwk", serde_json::json!({})),
        ] {
            let mut changed = header.clone();
            changed[field] = value;
            assert!(!accepted(&changed, &payload), "{changed}");
        }
        for (field, value) in [
            ("iss", serde_json::json!("another")),
            ("exp", serde_json::json!("never")),
            ("exp", serde_json::json!(-1)),
            ("sub", serde_json::json!("tnt_00000000000000000000000000")),
            ("tnt", serde_json::json!(null)),
        ] {
            let mut changed = payload.clone();
            changed[field] = value;
            assert!(!accepted(&header, &changed), "{changed}");
        }
    }

    #[test]
    fn thumbprints_are_those_of_the_standard() {
        // RFC 8037, appendix A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("base64");
        assert_eq!(thumbprint(&x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
