//! One frame from the server, classified.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Closed, ServerError};
use crate::event::Event;

/// What came over the socket.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// The answer to the command with this id.
    Reply {
        /// The id as it was sent.
        id: Value,
        /// `data` of `ok`, or of `error`.
        result: Result<Value, ServerError>,
    },
    /// Something that nobody asked for.
    Event(Event),
    /// Text that is not a frame of this protocol.
    Text(String),
    /// A binary frame; this protocol has none.
    Binary(Vec<u8>),
    /// The end. Nothing comes after it.
    Closed(Closed),
}

impl Frame {
    /// Reads a text frame. What is not of this protocol stays text.
    pub fn parse(text: &str) -> Self {
        Self::read(text).unwrap_or_else(|| Self::Text(text.to_owned()))
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        let id = value.get_mut("id").map(Value::take).filter(|id| !id.is_null());
        let kind = value.get("type")?.as_str()?;
        match (id, kind) {
            (Some(id), "ok") => {
                let data = value.get_mut("data").map(Value::take).unwrap_or_default();
                Some(Self::Reply { id, result: Ok(data) })
            }
            (Some(id), "error") => {
                let error = ServerError::deserialize(value.get("data")?).ok()?;
                Some(Self::Reply { id, result: Err(error) })
            }
            _ => Event::deserialize(&value).ok().map(Self::Event),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn replies_events_and_the_rest() {
        let ok = Frame::parse(r#"{"id":"a","type":"ok","data":{"seq":1}}"#);
        assert_eq!(ok, Frame::Reply { id: json!("a"), result: Ok(json!({"seq": 1})) });
        let refused = Frame::parse(r#"{"id":7,"type":"error","data":{"code":"forbidden"}}"#);
        assert!(matches!(refused, Frame::Reply { result: Err(ServerError { code, .. }), .. } if code == "forbidden"));
        let event = Frame::parse(r#"{"type":"typing","conversation":"cnv_1","data":{"user":"usr_1"},"new":1}"#);
        assert!(matches!(event, Frame::Event(Event { kind, .. }) if kind == "typing"));
        assert_eq!(Frame::parse("hi"), Frame::Text("hi".into()));
        assert_eq!(Frame::parse("[1]"), Frame::Text("[1]".into()));
    }
}
