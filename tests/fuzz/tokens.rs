//! Access tokens and API keys: only what we signed, or gave out, is accepted, whatever is sent.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::Ed25519KeyPair;

use super::{CASES, Draw, MAX_LEN};
use crate::domain::{TenantId, UserId};
use crate::gateway::auth::Auth;
use crate::gateway::auth::tokens::TokenKeys;
use crate::gateway::fakes::FakeReads;
use crate::gateway::ports::{ApiKey, Tokens};

const SEED: [u8; 32] = [9; 32];
const API_KEY: &str = "tdk_in_use";

/// PKCS#8 of [`SEED`], as RFC 8410 has it.
fn keys() -> TokenKeys {
    const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let pkcs8 = STANDARD.encode([&HEAD[..], &SEED].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{pkcs8}\n-----END PRIVATE KEY-----\n");
    TokenKeys::load(&pem, "", Duration::from_secs(3_600)).expect("a key")
}

#[test]
fn tokens() {
    let (tenant, user) = (TenantId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
    let tokens = Arc::new(keys());
    let good = tokens.mint(tenant, user, Duration::from_secs(3_000)).expect("mints");
    let [header, payload] =
        [0, 1].map(|at| URL_SAFE_NO_PAD.decode(good.split('.').nth(at).expect("three parts")).expect("base64"));
    let signer = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
    let runtime = super::timeless();
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        let mut draw = Draw(input);
        match draw.below(5) {
            0 => assert!(tokens.verify(&String::from_utf8_lossy(draw.rest())).is_none()),
            1 => {
                let damaged = draw.damage(good.as_bytes());
                let damaged = String::from_utf8_lossy(&damaged);
                assert_eq!(tokens.verify(&damaged).is_some(), damaged == good, "{damaged}");
            }
            // Signed by us, and not what we would sign: never another user than it says, and no panic.
            2 => {
                let header = if draw.below(2) == 0 { header.clone() } else { draw.damage(&header) };
                let payload = draw.damage(&payload);
                let signed = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
                let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()));
                if let Some(claims) = tokens.verify(&format!("{signed}.{signature}")) {
                    assert!(
                        claims.expires_at.0 % 1_000 == 0
                            || claims.expires_at.0 == i64::MAX
                            || claims.expires_at.0 == i64::MIN
                    );
                }
            }
            kind => {
                let mut bearer = if kind == 3 { b"Bearer ".to_vec() } else { Vec::new() };
                let damaged = if draw.below(2) == 0 { draw.rest().to_vec() } else { draw.damage(API_KEY.as_bytes()) };
                bearer.extend(damaged);
                let Ok(value) = HeaderValue::from_bytes(&bearer) else { return };
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                let reads = Arc::new(FakeReads::default());
                reads.add_api_key(API_KEY, ApiKey { tenant, scopes: vec![] });
                let auth = Auth::new(tokens.clone(), reads);
                let is_good = std::str::from_utf8(&bearer).is_ok_and(|text| {
                    text.split_once(' ')
                        .is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.trim() == API_KEY)
                });
                assert_eq!(runtime.block_on(auth.api_key(&headers)).is_ok(), is_good);
                assert!(auth.user(&headers).is_err());
            }
        }
    });
}
