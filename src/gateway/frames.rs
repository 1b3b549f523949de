//! Client frames in, replies out.
//!
//! What happens to a frame that cannot be taken:
//! - too large: the socket is closed with 4009, as the rest of the frame is never read;
//! - binary: closed with 4500, the subprotocol has none;
//! - not JSON, not an object, without `id` or `type`, or with an `id` that is neither number nor string or over
//!   [`MAX_ID_BYTES`]: answered with an `error` `bad_frame`, which carries the `id` where one could be read and `null` where
//!   not, and the socket lives; the tenth in a row closes it with 4500;
//! - before `hello`: answered with `unauthenticated`, then closed with 4501.
//!
//! Only the envelope is parsed here; `data` stays as it came until a command takes it, so a frame that is refused costs one pass
//! over its bytes.

use axum::extract::ws::Utf8Bytes;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::{Failure, json};
use crate::domain::ErrorCode;

/// The most bytes of an `id`, as written.
pub const MAX_ID_BYTES: usize = 256;

/// How many bad frames in a row a socket survives, less one.
pub const MAX_BAD_FRAMES_IN_A_ROW: u32 = 10;

/// A client frame. Borrows from its text.
#[derive(Debug)]
pub struct ClientFrame<'a> {
    /// As written: it goes back verbatim.
    pub id: FrameId<'a>,
    /// `message.send` …
    pub kind: String,
    /// As written; an empty object where there was none.
    pub data: &'a RawValue,
}

/// The `id` of a frame, as written.
#[derive(Clone, Copy, Debug)]
pub struct FrameId<'a>(Option<&'a RawValue>);

/// A copy that outlives the frame.
#[derive(Clone, Debug)]
pub struct OwnedFrameId(Box<str>);

impl FrameId<'_> {
    /// For replies to frames whose id cannot be read.
    pub const NONE: Self = Self(None);

    /// As it goes into a reply.
    pub fn as_str(&self) -> &str {
        self.0.map_or("null", RawValue::get)
    }

    /// A copy that outlives the frame.
    pub fn to_owned(self) -> OwnedFrameId {
        OwnedFrameId(self.as_str().into())
    }
}

/// A frame that cannot be taken, with what is known of its id.
#[derive(Debug)]
pub struct BadFrame<'a> {
    /// Where to send the failure.
    pub id: FrameId<'a>,
    /// `bad_frame`, and what is wrong.
    pub failure: Failure,
}

/// What serde sees; a field twice is an error there.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl<'a> ClientFrame<'a> {
    /// Reads the envelope of `text`.
    ///
    /// # Errors
    /// `bad_frame`, see the module.
    pub fn parse(text: &'a str) -> Result<Self, BadFrame<'a>> {
        let bad = |id, message: &str| BadFrame { id, failure: Failure::new(ErrorCode::BadFrame, message) };
        // A struct may also be read from an array, which is not what the protocol says.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(bad(FrameId::NONE, "a frame is one JSON object"));
        }
        let envelope: Envelope<'_> = serde_json::from_str(text)
            .map_err(|_| bad(FrameId::NONE, "a frame is one JSON object with `id`, `type` and `data`, each once"))?;
        let Some(id) = envelope.id.filter(|id| is_id(id.get())) else {
            return Err(bad(FrameId::NONE, "`id` must be a number or a string of at most 256 bytes"));
        };
        let id = FrameId(Some(id));
        let kind = envelope.kind.and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
        let Some(kind) = kind else { return Err(bad(id, "`type` must be a string")) };
        let data = envelope.data.filter(|data| data.get() != "null").unwrap_or_else(|| empty_object());
        Ok(Self { id, kind, data })
    }
}

/// `{}`.
pub fn empty_object() -> &'static RawValue {
    // Parsing two bytes is cheaper than a static of a type that cannot be const.
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

fn is_id(raw: &str) -> bool {
    let first = raw.as_bytes().first().copied().unwrap_or_default();
    raw.len() <= MAX_ID_BYTES && (first == b'"' || first == b'-' || first.is_ascii_digit())
}

impl OwnedFrameId {
    /// The reply to the frame of this id. `Ok` holds the JSON of `data`.
    pub fn reply(&self, result: &Result<String, Failure>) -> Utf8Bytes {
        reply(&self.0, result)
    }
}

/// The reply to the frame of `id`. `Ok` holds the JSON of `data`.
pub fn reply(id: &str, result: &Result<String, Failure>) -> Utf8Bytes {
    let failure;
    let (kind, data) = match result {
        Ok(data) => ("ok", data.as_str()),
        Err(error) => {
            failure = json(error);
            ("error", failure.as_str())
        }
    };
    let mut text = String::with_capacity(id.len() + data.len() + 32);
    for part in [r#"{"id":"#, id, r#","type":""#, kind, r#"","data":"#, data, "}"] {
        text.push_str(part);
    }
    text.into()
}

/// What the server sends unasked, other than a durable event.
pub fn push<T: Serialize>(kind: &str, data: &T) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Push<'a, T> {
        r#type: &'a str,
        data: &'a T,
    }
    json(&Push { r#type: kind, data }).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<(String, String, String), (String, String)> {
        match ClientFrame::parse(text) {
            Ok(frame) => Ok((frame.id.as_str().to_owned(), frame.kind, frame.data.get().to_owned())),
            Err(bad) => Err((bad.id.as_str().to_owned(), bad.failure.code.to_string())),
        }
    }

    #[test]
    fn an_id_comes_back_as_it_was_written() {
        for id in ["7", "-7", "1e400", "1.50", "123456789012345678901234567890", r#""a\u0062""#, r#""""#] {
            let text = format!(r#" {{"id": {id} , "type": "ping"}}"#);
            let frame = ClientFrame::parse(&text).map_err(|bad| bad.failure);
            let reply = frame.map(|frame| frame.id.to_owned().reply(&Ok("{}".into())).to_string());
            assert_eq!(reply, Ok(format!(r#"{{"id":{id},"type":"ok","data":{{}}}}"#)));
        }
    }

    #[test]
    fn absent_and_null_data_are_an_empty_object() {
        for text in [r#"{"id":1,"type":"ping"}"#, r#"{"id":1,"type":"ping","data":null}"#] {
            assert_eq!(parse(text), Ok(("1".into(), "ping".into(), "{}".into())));
        }
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let text = r#"{"x":[{"y":1}],"id":1,"type":"ping","data":{"z":2}}"#;
        assert_eq!(parse(text), Ok(("1".into(), "ping".into(), r#"{"z":2}"#.into())));
    }

    #[test]
    fn what_is_no_frame_is_refused_with_the_id_where_there_is_one() {
        let long_id = format!(r#"{{"id":"{}","type":"ping"}}"#, "x".repeat(300));
        let deep = format!(r#"{{"id":1,"type":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        let no_id = [
            "",
            " ",
            "null",
            "7",
            "{",
            "[]",
            r#"[1,"ping",{}]"#,
            r#"{"id":1,"type":"ping"} {}"#,
            r#"{"id":1,"id":2,"type":"ping"}"#,
            r#"{"type":"ping"}"#,
            r#"{"id":null,"type":"ping"}"#,
            r#"{"id":true,"type":"ping"}"#,
            r#"{"id":[1],"type":"ping"}"#,
            r#"{"id":{},"type":"ping"}"#,
            &long_id,
        ];
        for text in no_id {
            assert_eq!(parse(text), Err(("null".into(), "bad_frame".into())), "{text:.60}");
        }
        for text in [r#"{"id":1}"#, r#"{"id":1,"type":7}"#, r#"{"id":1,"type":null}"#] {
            assert_eq!(parse(text), Err(("1".into(), "bad_frame".into())), "{text}");
        }
        assert!(parse(&deep).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text: String) {
            let _ = ClientFrame::parse(&text);
        }

        #[test]
        fn text_like_a_frame_gives_a_reply_that_is_json(id in r#"[-0-9"a\\{}\[\],:.e]{0,12}"#, kind in ".{0,8}") {
            let text = format!(r#"{{"id":{id},"type":{}}}"#, serde_json::Value::from(kind));
            let reply = match ClientFrame::parse(&text) {
                Ok(frame) => reply(frame.id.as_str(), &Ok("{}".into())),
                Err(bad) => reply(bad.id.as_str(), &Err(bad.failure)),
            };
            prop_assert!(serde_json::from_str::<serde_json::Value>(&reply).is_ok() || id.contains('e'), "{reply}");
        }
    }
}
