//! HTTP that no client of ours sends.

use serde_json::json;

use super::raw::Raw;
use crate::support::{Person, Stack};

/// How many answers came.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

#[tokio::test]
async fn no_request_hides_in_another() {
    let stack = Stack::shared().await;
    let ada = stack.account("Ada").await;
    let head = format!("POST /v1/commands/ping HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", ada.token);
    let hidden = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let n = hidden.len();
    let cases = [
        ("two lengths", format!("{head}content-length: 0\r\ncontent-length: {n}\r\n\r\n{hidden}")),
        ("two lengths in one", format!("{head}content-length: 0, {n}\r\n\r\n{hidden}")),
        (
            "a length and chunks",
            format!("{head}content-length: {n}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunks and a length",
            format!("{head}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("chunks that are not last", format!("{head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}")),
        ("chunks twice", format!("{head}transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n{hidden}")),
        ("a negative length", format!("{head}content-length: -1\r\n\r\n{hidden}")),
        ("a signed length", format!("{head}content-length: +0\r\n\r\n{hidden}")),
        ("a length too long for a number", format!("{head}content-length: 99999999999999999999999\r\n\r\n{hidden}")),
        ("a space before the colon", format!("{head}content-length : {n}\r\n\r\n{hidden}")),
        ("a chunk of a strange size", format!("{head}transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}")),
        ("a huge chunk", format!("{head}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{hidden}")),
    ];
    for (what, request) in cases {
        let mut raw = Raw::connect(&stack.address).await;
        raw.send(request.as_bytes()).await;
        let text = raw.everything().await;
        assert!(answers(&text) <= 1, "{what}: the hidden request is answered: {text}");
        // Chunks go before a length (RFC 9112, section 6.3), and the connection ends with the answer, so that nothing can follow it.
        let is_chunked =
            text.starts_with("HTTP/1.1 200") && text.contains("connection: close") && request.contains("chunked\r\n");
        assert!(is_chunked || !text.starts_with("HTTP/1.1 2"), "{what}: {text}");
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let stack = Stack::shared().await;
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    for (what, request, allowed) in [
        ("many headers", format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n"), [431, 400]),
        ("a long header", format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(60_000)), [431, 400]),
        ("a long path", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(60_000)), [414, 431]),
        ("no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned(), [400, 400]),
        ("another version", "GET /livez HTTP/3.0\r\n\r\n".to_owned(), [400, 505]),
    ] {
        let mut raw = Raw::connect(&stack.address).await;
        // It may answer before it has all.
        let _ = raw.try_send(request.as_bytes()).await;
        let text = raw.everything().await;
        let status: Option<u16> = text.get(9..12).and_then(|status| status.parse().ok());
        assert!(status.is_none_or(|status| allowed.contains(&status)), "{what}: {text}");
        assert!(answers(&text) <= 1, "{what}: {text}");
    }
}

#[tokio::test]
async fn no_path_leads_anywhere_else() {
    let stack = Stack::shared().await;
    let ada = stack.account("Ada").await;
    for path in [
        "/../etc/passwd",
        "/v1/../../etc/passwd",
        "/v1/users/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/conversations/../inbox",
        "/v1/conversations/%2e%2e/members",
        "/v1/conversations/cnv_00000000000000000000000000%00/members",
        "/v1//inbox",
        "//v1/inbox",
        "/V1/INBOX",
        "/v1/inbox/",
        "/v1/inbox;x=y",
        "/.well-known/../v1/inbox",
        "/metrics/",
        "/v1/commands/../inbox",
        "/v1/users/%ff",
        "*",
        "http://elsewhere/v1/nothing",
    ] {
        let mut raw = Raw::connect(&stack.address).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            ada.token
        );
        raw.send(request.as_bytes()).await;
        let text = raw.everything().await;
        let status = text.get(9..12).unwrap_or_default();
        assert!(["400", "401", "404", "405"].contains(&status), "{path}: {text}");
    }
    for method in ["TRACE", "CONNECT", "OPTIONS", "HEAD", "PATCH", "FOO"] {
        let mut raw = Raw::connect(&stack.address).await;
        let request = format!("{method} /v1/inbox HTTP/1.1\r\nhost: x\r\nx-echo: echoed\r\nconnection: close\r\n\r\n");
        raw.send(request.as_bytes()).await;
        let text = raw.everything().await;
        assert!(!text.starts_with("HTTP/1.1 2") && !text.contains("echoed"), "{method}: {text}");
    }
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    a.ok("ping", json!({})).await;
}
