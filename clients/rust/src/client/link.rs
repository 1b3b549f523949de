//! The connection of a client, in one of its three states, and the verdict on why it ended.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Sleep;

use crate::client::Config;
use crate::error::Error;
use crate::event::Event;
use crate::session::{Events, Hello, Session};

type Connecting = BoxFuture<'static, (Option<String>, Result<(Session, Events), Error>)>;

/// Where the connection stands.
pub(crate) enum Link {
    Waiting(Pin<Box<Sleep>>),
    Connecting(Connecting),
    Online(Session, Events),
}

/// What happened on it.
pub(crate) enum Step {
    /// The wait is over.
    Due,
    /// The token that was used, and how it went.
    Connected(Option<String>, Result<(Session, Events), Error>),
    Event(Event),
    Lost(Error),
}

impl Link {
    pub(crate) fn wait(delay: Duration) -> Self {
        Self::Waiting(Box::pin(tokio::time::sleep(delay)))
    }

    /// Gets a token, unless one is at hand, connects and says `hello`.
    pub(crate) fn connect(config: &Config, token: Option<String>, cursor: Option<&str>) -> Self {
        let (endpoint, source) = (config.endpoint.clone(), config.token.clone());
        let (device_id, cursor) = (config.device_id.clone(), cursor.map(str::to_owned));
        Self::Connecting(Box::pin(async move {
            let token = match token {
                Some(token) => token,
                None => match source.get().await {
                    Ok(token) => token,
                    Err(error) => return (None, Err(error)),
                },
            };
            let hello = Hello { token: token.clone(), device_id, cursor, status: None };
            (Some(token), Session::connect(&endpoint, hello).await)
        }))
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Online(session, _) => Some(session),
            _ => None,
        }
    }

    /// The next thing to happen. Without `take_events` events are left where they are. May be dropped half-way.
    pub(crate) async fn step(&mut self, take_events: bool) -> Step {
        match self {
            Self::Waiting(sleep) => {
                sleep.as_mut().await;
                Step::Due
            }
            Self::Connecting(connecting) => {
                let (token, result) = connecting.await;
                Step::Connected(token, result)
            }
            Self::Online(session, events) if take_events => match events.next().await {
                Some(event) => Step::Event(event),
                None => Step::Lost(Error::Closed(session.closed().await)),
            },
            Self::Online(session, _) => Step::Lost(Error::Closed(session.closed().await)),
        }
    }
}

/// What to do about an ended connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Return,
    ReturnWithNewToken,
    End,
}

/// `can_refresh`: a new token can be had.
pub(crate) fn verdict(error: &Error, can_refresh: bool) -> Verdict {
    if error.wants_token() {
        return if can_refresh { Verdict::ReturnWithNewToken } else { Verdict::End };
    }
    if error.is_final() { Verdict::End } else { Verdict::Return }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Closed;

    #[test]
    fn an_expired_token_ends_only_a_client_that_cannot_get_another() {
        let closed = |code| Error::Closed(Closed { code: Some(code), reason: String::new() });
        assert_eq!(verdict(&closed(4040), true), Verdict::ReturnWithNewToken);
        assert_eq!(verdict(&closed(4040), false), Verdict::End);
        assert_eq!(verdict(&closed(4501), true), Verdict::End);
        assert_eq!(verdict(&closed(4001), false), Verdict::Return);
        assert_eq!(verdict(&Error::Closed(Closed::broken("reset")), false), Verdict::Return);
    }
}
