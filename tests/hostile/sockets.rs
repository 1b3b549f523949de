//! Frames that no client of ours sends.

use serde_json::json;

use super::raw::{CONTINUATION, PING, Raw, TEXT, frame, head};
use crate::support::{Person, Stack};

/// As configured by default.
const MAX_FRAME_BYTES: usize = 65_536;

#[tokio::test]
async fn what_breaks_the_protocol_closes_its_own_socket_only() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut bystander, _) = Person::online(&stack.address, &bob, None).await;
    let too_large = Some(4009);
    let fragments = |count: usize, length: usize| {
        let mut bytes = frame(TEXT, false, &vec![b'x'; length]);
        (1..count).for_each(|_| bytes.extend(frame(CONTINUATION, false, &vec![b'x'; length])));
        bytes.extend(frame(CONTINUATION, true, b""));
        bytes
    };
    let unmasked = [&[0x81, 2][..], b"{}"].concat();
    let cases = [
        ("a frame over the limit", frame(TEXT, true, &[b'x'; MAX_FRAME_BYTES + 1]), too_large),
        ("fragments over the limit together", fragments(3, 30_000), too_large),
        ("fragments without end", fragments(600, 1_000), too_large),
        ("a frame that says it has 8 exabytes", head(0x80 | TEXT, u64::MAX >> 1), too_large),
        (
            "a frame that says it has 1 GB, and sends some",
            [head(0x80 | TEXT, 1 << 30), vec![b'x'; 100_000]].concat(),
            too_large,
        ),
        ("text that is not UTF-8", frame(TEXT, true, b"{\"id\":\"\xff\"}"), Some(4500)),
        (
            "text that is not UTF-8 in its second fragment",
            [frame(TEXT, false, b"{"), frame(CONTINUATION, true, b"\xc3\x28")].concat(),
            Some(4500),
        ),
        ("a frame without mask", unmasked, None),
        ("a reserved opcode", frame(0x3, true, b""), None),
        ("a compressed frame", frame(0x40 | TEXT, true, b"\xaa\x56\x4a\x54\x02\x00"), None),
        ("a continuation of nothing", frame(CONTINUATION, true, b"x"), None),
        ("a ping of 126 bytes", frame(PING, true, &[0; 126]), None),
        ("a fragmented ping", frame(PING, false, b""), None),
    ];
    for (what, bytes, expected) in cases {
        let mut raw = Raw::greeted(&stack.address, &ada).await;
        // The server may have closed before it has all.
        let _ = raw.try_send(&bytes).await;
        let closed = raw.close_code().await;
        // Whoever breaks WebSocket itself may also be told so by it (1002), or only be cut off.
        let is_cut = expected.is_none() && matches!(closed, None | Some(1002 | 1007 | 4500));
        assert!(closed == expected || is_cut, "{what}: {closed:?}");
    }
    bystander.ok("ping", json!({})).await;
}

#[tokio::test]
async fn nothing_is_compressed_whoever_offers_it() {
    let stack = Stack::shared().await;
    let offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
    let (_, head) = Raw::upgraded(&stack.address, offer).await;
    assert!(!head.to_lowercase().contains("sec-websocket-extensions"), "{head}");
}

#[tokio::test]
async fn json_however_deep_is_only_text() {
    let stack = Stack::shared().await;
    let mut raw = Raw::greeted(&stack.address, &stack.account("Ada").await).await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for value in [&deep, &objects] {
        for text in [
            format!(r#"{{"id":1,"type":"ping","data":{value}}}"#),
            format!(r#"{{"id":1,"type":"ping","data":{{"x":{value}}}}}"#),
            format!(r#"{{"id":1,"type":"message.send","data":{{"mentions":{value}}}}}"#),
            format!(r#"{{"id":1,"type":{value}}}"#),
            format!(r#"{{"id":{value},"type":"ping"}}"#),
        ] {
            raw.send(&frame(TEXT, true, text.as_bytes())).await;
            let reply = raw.reply().await;
            let code = reply["data"]["code"].as_str();
            assert!(reply["type"] == "ok" || matches!(code, Some("bad_request" | "bad_frame")), "{reply}");
        }
    }
    raw.command("ping", json!({})).await;
    assert_eq!(raw.reply().await["type"], "ok");
}

#[tokio::test]
async fn pings_without_end_are_not_answered_without_end() {
    let stack = Stack::shared().await;
    let mut raw = Raw::greeted(&stack.address, &stack.account("Ada").await).await;
    for _ in 0..100 {
        // 10,000 of them; the limit is 100 a second, and 1,000 more until the patience ends.
        let many: Vec<u8> = (0..100).flat_map(|_| frame(PING, true, b"are you there?")).collect();
        if !raw.try_send(&many).await {
            break;
        }
    }
    let code = raw.close_code().await;
    assert!(matches!(code, Some(4029) | None), "{code:?}");
}
