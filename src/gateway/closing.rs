//! Why a socket is closed: the contract of codes. 4000–4499 mean reconnect, 4500–4999 mean do not.

use schemars::JsonSchema;
use serde::Serialize;

use super::failure::json;

/// Why the server closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closing {
    /// Nothing was heard for two ping intervals.
    Silent,
    /// This gateway stops, lost its place, or has a gap that only a new connection closes.
    Draining,
    /// The outbox is over its limit of bytes.
    SlowConsumer,
    /// A frame is over `max_frame_bytes`.
    FrameTooLarge,
    /// Refused frames went on and on, or too many clients come at once.
    RateLimited,
    /// The token expired; get a new one first.
    TokenExpired,
    /// Binary, or garbage again and again.
    BadFrame,
    /// No valid `hello` in time.
    BadToken,
    /// The device was revoked.
    Revoked,
}

/// Between which waits a client chooses by chance before it comes back, in milliseconds.
pub type Reconnect = [u64; 2];

/// `data` of `bye`.
#[derive(Serialize, JsonSchema)]
pub struct Bye {
    /// That of the close that follows.
    reason: &'static str,
    /// Choose a wait between the two by chance.
    reconnect_after_ms: Reconnect,
}

impl Closing {
    /// Every one, by code.
    pub const ALL: &'static [Self] = &[
        Self::Silent,
        Self::Draining,
        Self::SlowConsumer,
        Self::FrameTooLarge,
        Self::RateLimited,
        Self::TokenExpired,
        Self::BadFrame,
        Self::BadToken,
        Self::Revoked,
    ];

    /// The WebSocket close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Silent => 4000,
            Self::Draining => 4001,
            Self::SlowConsumer => 4008,
            Self::FrameTooLarge => 4009,
            Self::RateLimited => 4029,
            Self::TokenExpired => 4040,
            Self::BadFrame => 4500,
            Self::BadToken => 4501,
            Self::Revoked => 4503,
        }
    }

    /// The reason beside the code, and in `bye`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Draining => "draining",
            Self::SlowConsumer => "slow_consumer",
            Self::FrameTooLarge => "frame_too_large",
            Self::RateLimited => "rate_limited",
            Self::TokenExpired => "token_expired",
            Self::BadFrame => "bad_frame",
            Self::BadToken => "bad_token",
            Self::Revoked => "revoked",
        }
    }

    /// When a client may be back; none: it must not come back as it is.
    pub const fn reconnect(self) -> Option<Reconnect> {
        match self {
            Self::TokenExpired => Some([0, 1_000]),
            Self::Silent | Self::FrameTooLarge => Some([500, 5_000]),
            // All sockets of a gateway come at once: the wider the range, the smaller the wave on the others. Wider still where there are
            // more than others take in that time: see `Edge::goodbye`.
            Self::Draining => Some([500, 10_000]),
            Self::SlowConsumer => Some([1_000, 10_000]),
            Self::RateLimited => Some([10_000, 30_000]),
            Self::BadFrame | Self::BadToken | Self::Revoked => None,
        }
    }
}

/// A close, and when its client may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Why.
    pub closing: Closing,
    /// Not always as long as the reason alone would have it; none: it must not come back as it is.
    pub reconnect: Option<Reconnect>,
}

impl From<Closing> for Goodbye {
    fn from(closing: Closing) -> Self {
        Self { closing, reconnect: closing.reconnect() }
    }
}

impl Goodbye {
    /// The `bye` frame that goes before the close, where the client may come back.
    pub fn bye(self) -> Option<String> {
        #[derive(Serialize)]
        struct Frame {
            r#type: &'static str,
            data: Bye,
        }
        let reconnect_after_ms = self.reconnect?;
        Some(json(&Frame { r#type: "bye", data: Bye { reason: self.closing.reason(), reconnect_after_ms } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_the_code_says_whether_to_come_back() {
        for closing in Closing::ALL {
            assert_eq!(closing.reconnect().is_some(), closing.code() < 4500, "{closing:?}");
            assert_eq!(Goodbye::from(*closing).bye().is_some(), closing.code() < 4500, "{closing:?}");
        }
        let bye = Goodbye::from(Closing::Draining).bye();
        let expected = r#"{"type":"bye","data":{"reason":"draining","reconnect_after_ms":[500,10000]}}"#;
        assert_eq!(bye.as_deref(), Some(expected));
    }
}
