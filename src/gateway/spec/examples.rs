//! What stands in the examples for what only a running server can give. The tests put living values in their place and send them.

use serde_json::Value;

/// A group that the reader owns: `<conversation>`. Message 1 is the reader's, with a thread of one message; 2 is Bob's, and reported; 3 is a live
/// location and 4 a poll of the reader's. The reader moderates the tenant.
pub const CONVERSATION: &str = "cnv_01k9mtsga3vxfb8rht0d0z9xpv";
/// A member of it: `<bob>`.
pub const BOB: &str = "usr_01k28zh6hn7p4en0zkwdpbp7zs";
/// Nobody there: `<carol>`.
pub const CAROL: &str = "usr_01kbs4cvgm70k5wkf7ys2hdbe8";
/// Of the client's making: `<client_id>`.
pub const CLIENT_ID: &str = "019aa7b0-5c00-7000-8000-000000000001";
/// An access token: `<token>`.
pub const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.e30.AA";

/// A time not far ahead: `<soon>`.
pub const SOON: &str = "2030-01-01T00:00:00.000Z";

/// An invitation to the group: `<invite>`.
pub const INVITE: &str = "inv_01kbs4cvgm70k5wkf7ys2hdbe8";
/// And its link: `<link>`.
pub const LINK: &str = "cnv_01k9mtsga3vxfb8rht0d0z9xpv.lnk_01kbs4cvgm70k5wkf7ys2hdbe9";

const WORDS: [(&str, &str); 8] = [
    ("<conversation>", CONVERSATION),
    ("<bob>", BOB),
    ("<carol>", CAROL),
    ("<client_id>", CLIENT_ID),
    ("<token>", TOKEN),
    ("<soon>", SOON),
    ("<invite>", INVITE),
    ("<link>", LINK),
];

/// `text` as JSON, its words in brackets replaced.
pub(super) fn filled(text: &str) -> Value {
    let text = WORDS.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
    let example = serde_json::from_str(&text);
    debug_assert!(example.is_ok(), "{text}");
    example.unwrap_or_default()
}
