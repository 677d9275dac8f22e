//! A receiver for deliveries: it checks each, hands each event on once, and answers.
//!
//! Plain HTTP, one request a connection ([`crate::http::serve`]): whatever makes it reachable from the internet speaks TLS before it. Nothing that
//! comes in is believed, repeated or logged before its signature is right, and nothing of it is answered. It runs nothing:
//! what is done about an event is the caller's.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use hyper::header::ALLOW;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{Event, MAX_BODY_BYTES, WebhookError, WebhookSecret, verify};
use crate::http::serve::{self, Asked, Bounds, Reply};

/// What a receiver takes: more connections wait, and Phala Cloud itself waits ten seconds.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    patience: Duration::from_secs(10),
    head: 16 * 1024,
    body: MAX_BODY_BYTES,
};
/// How long an id is remembered: the hour of retries, the window of a signature, and to spare.
const MEMORY: Duration = Duration::from_secs(2 * 3600);
/// Ids that are remembered at most; the oldest go first.
const MAX_IDS: usize = 100_000;

/// What a receiver did with one request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'e> {
    /// An event for the first time.
    Event(&'e Event),
    /// An event that was handed on before; nothing is to be done.
    Repeated(&'e Event),
    /// A request that is no delivery of Phala Cloud's.
    Refused(&'e WebhookError),
}

/// What is remembered of ids: who has seen one acts on it once.
#[derive(Debug, Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<(Instant, String)>,
}

/// Receives deliveries until `sink` ends it, and gives back what it ended with.
///
/// `sink` hears of every event once, however often it is delivered within two hours, then of its repetitions and of what
/// was refused. It is called before the answer goes out: an error of the sink is answered with 503, so that Phala Cloud
/// delivers again, and ends the receiver; `ControlFlow::Break` ends it after a good answer.
///
/// # Errors
/// The error of `sink`.
pub async fn serve<B, E>(
    listener: &TcpListener,
    secret: &WebhookSecret,
    mut sink: impl FnMut(Received<'_>) -> Result<ControlFlow<B>, E>,
) -> Result<B, E> {
    let mut seen = Seen::default();
    let post = |head: &hyper::http::request::Parts| {
        let refused = Reply::empty(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, "POST");
        (head.method != Method::POST).then_some(refused)
    };
    let take = |asked: Asked| {
        let event = read(secret, &asked);
        let flow = match &event {
            Err(error) => sink(Received::Refused(error)),
            Ok(event) if seen.contains(&event.id) => sink(Received::Repeated(event)),
            Ok(event) => sink(Received::Event(event)),
        };
        let status = match &flow {
            Ok(_) => status_of(event.as_ref().err()),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if let (Ok(_), Ok(event)) = (&flow, event) {
            seen.remember(event.id, Instant::now());
        }
        let flow = match flow {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(value)) => ControlFlow::Break(Ok(value)),
            Err(error) => ControlFlow::Break(Err(error)),
        };
        (Reply::empty(status), flow)
    };
    serve::serve(listener, BOUNDS, post, take).await
}

fn read(secret: &WebhookSecret, asked: &Asked) -> Result<Event, WebhookError> {
    // A header that is no text is none that counts.
    let headers = asked.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
    verify(secret, headers, &asked.body, Timestamp::now())
}

/// What a delivery is answered with. A good signature around something that cannot be read is taken: delivering it again
/// would change nothing.
const fn status_of(error: Option<&WebhookError>) -> StatusCode {
    match error {
        None => StatusCode::NO_CONTENT,
        Some(WebhookError::BodyTooLong { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(
            WebhookError::Secret
            | WebhookError::Missing { .. }
            | WebhookError::Repeated { .. }
            | WebhookError::Signature,
        ) => StatusCode::UNAUTHORIZED,
        Some(_) => StatusCode::BAD_REQUEST,
    }
}

impl Seen {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn remember(&mut self, id: String, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && (now.duration_since(*at) > MEMORY || self.order.len() >= MAX_IDS)
        {
            if let Some((_, old)) = self.order.pop_front() {
                self.ids.remove(&old);
            }
        }
        if self.ids.insert(id.clone()) {
            self.order.push_back((now, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_two_hours_and_never_more_than_so_many() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        seen.remember("a".to_owned(), start);
        seen.remember("a".to_owned(), start + MEMORY);
        assert!(seen.contains("a") && seen.order.len() == 1);
        let later = start + MEMORY + Duration::from_millis(100);
        seen.remember("b".to_owned(), later);
        assert!(!seen.contains("a") && seen.contains("b"));
        for number in 0..MAX_IDS {
            seen.remember(number.to_string(), later);
        }
        assert_eq!((seen.ids.len(), seen.order.len()), (MAX_IDS, MAX_IDS));
        assert!(!seen.contains("b"), "the oldest goes first");
    }
}
