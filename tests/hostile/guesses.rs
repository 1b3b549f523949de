//! Guessing tokens and keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::raw::Raw;
use crate::support::{Account, Person, Stack};

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

/// Tokens made of a good one by somebody who has no key.
fn forged(good: &str, other: &str) -> Vec<(&'static str, String)> {
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let [_, other_payload, other_signature] = other.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let kid = decoded(header)["kid"].clone();
    let head = |alg: &str, kid: &Value| part(&json!({ "alg": alg, "typ": "JWT", "kid": kid }));
    let mut forever = decoded(payload);
    forever["exp"] = json!(9_999_999_999i64);
    let mut elsewhere = decoded(payload);
    elsewhere["tnt"] = decoded(other_payload)["tnt"].clone();
    let mut somebody = decoded(payload);
    somebody["sub"] = decoded(other_payload)["sub"].clone();
    vec![
        ("no signature, alg none", format!("{}.{payload}.", head("none", &kid))),
        ("alg none with the signature", format!("{}.{payload}.{signature}", head("none", &kid))),
        ("HMAC instead", format!("{}.{payload}.{signature}", head("HS256", &kid))),
        ("an unknown key", format!("{}.{payload}.{signature}", head("EdDSA", &json!("unknown")))),
        ("a key id with a path", format!("{}.{payload}.{signature}", head("EdDSA", &json!("../../dev/null")))),
        ("longer", format!("{header}.{}.{signature}", part(&forever))),
        ("of another tenant", format!("{header}.{}.{signature}", part(&elsewhere))),
        ("of another user", format!("{header}.{}.{signature}", part(&somebody))),
        ("the signature of another token", format!("{header}.{payload}.{other_signature}")),
        ("without signature", format!("{header}.{payload}.")),
        ("without third part", format!("{header}.{payload}")),
        ("cut", good[..good.len() - 2].to_owned()),
        ("empty", String::new()),
        ("long", "x".repeat(5_000)),
    ]
}

#[tokio::test]
async fn a_forged_token_is_no_token_and_all_hear_the_same() {
    let stack = Stack::shared().await;
    let (ada, mallory) = (stack.account("Ada").await, stack.other_tenant_account("Mallory").await);
    let mut heard = Vec::new();
    for (what, token) in forged(&ada.token, &mallory.token) {
        if !token.is_empty() {
            let (status, problem) = stack.get("/v1/inbox", &token).await;
            assert_eq!(status, 401, "{what}: {problem}");
            heard.push(problem);
        }
        let account = Account { token, ..ada.clone() };
        let mut person = Person::connect(&stack.address, &account).await;
        let error = person.hello(None).await.expect_err(what);
        assert_eq!(error["code"], "unauthenticated", "{what}: {error}");
        assert_eq!(person.close_code().await, 4501, "{what}");
    }
    assert!(heard.iter().all(|problem| *problem == heard[0]), "{heard:?}");
    // A socket is not taken over by the token of somebody else either.
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    assert_eq!(a.code("auth.refresh", json!({ "token": mallory.token })).await, "unauthenticated");
    a.ok("auth.refresh", json!({ "token": ada.token })).await;
}

/// Asks one after the other on one connection; the answers' first lines and bodies, each once.
async fn ask_each(stack: &Stack, bearers: impl Iterator<Item = String>, request: &str) -> Vec<String> {
    let mut raw = Raw::connect(&stack.address).await;
    let mut heard = Vec::new();
    for bearer in bearers {
        raw.send(
            format!("{request} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\ncontent-length: 0\r\n\r\n")
                .as_bytes(),
        )
        .await;
        let head = raw.head().await.expect("an answer");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let body = raw.exactly(length.parse().expect("a number")).await;
        let answer = format!("{} {}", head.lines().next().unwrap_or_default(), String::from_utf8_lossy(&body));
        if !heard.contains(&answer) {
            heard.push(answer);
        }
    }
    heard
}

#[tokio::test]
async fn guessing_gets_nobody_in_and_disturbs_nobody() {
    const GUESSES: usize = 2_000;
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let conversation = a.direct(&bob).await;
    let (signed, _) = ada.token.rsplit_once('.').expect("a signature");
    let guess =
        |n: usize| format!("{signed}.{}", URL_SAFE_NO_PAD.encode([[n as u8; 32], [(n >> 8) as u8; 32]].concat()));
    let began = Instant::now();
    let guessing = async {
        let tokens = ask_each(stack, (0..GUESSES).map(guess), "GET /v1/inbox").await;
        println!("{GUESSES} tokens guessed in {:?}", began.elapsed());
        let keys = ask_each(stack, (0..GUESSES).map(|n| format!("tdk_{n:043}")), "POST /v1/users/usr_x/tokens").await;
        println!("and as many keys in {:?}", began.elapsed());
        (tokens, keys)
    };
    let working = async {
        for n in 0..20 {
            a.say(&conversation, &format!("message {n}")).await;
            // Who has a key is served meanwhile.
            let (status, answer) = stack.get(&format!("/v1/users/{}", bob.user), &ada.token).await;
            assert_eq!(status, 200, "{answer}");
            stack.account("Newcomer").await;
        }
    };
    let ((tokens, keys), ()) = tokio::join!(guessing, working);
    for heard in [tokens, keys] {
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].starts_with("HTTP/1.1 401"), "{heard:?}");
    }
}
