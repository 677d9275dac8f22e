//! A receiver for deliveries: it checks each, hands each event on once, and answers.
//!
//! Plain HTTP, one request a connection: whatever makes it reachable from the internet speaks TLS before it. Nothing that
//! comes in is believed, repeated or logged before its signature is right, and nothing of it is answered; how much comes
//! in, how long it takes and how many come at once is limited. It runs nothing: what is done about an event is the
//! caller's.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Event, MAX_BODY_BYTES, WebhookError, WebhookSecret, verify};

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 64;
/// Longest time for one delivery, from its connection to the answer. Phala Cloud itself waits ten seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of request line and headers.
const MAX_HEADERS: usize = 16 * 1024;
/// How long an id is remembered: the hour of retries, the window of a signature, and to spare.
const MEMORY: Duration = Duration::from_secs(2 * 3600);
/// Ids that are remembered at most; the oldest go first.
const MAX_IDS: usize = 100_000;
/// Pause after the system had no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

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

/// A delivery on its way to the caller, and the answer's way back.
struct Delivery {
    event: Result<Event, WebhookError>,
    answer: oneshot::Sender<StatusCode>,
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
    let secret = Arc::new(secret.clone());
    let (deliver, mut delivered) = mpsc::channel(MAX_CONNECTIONS);
    let mut connections = JoinSet::new();
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(attend(stream, Arc::clone(&secret), deliver.clone()))),
                // The system is out of something for now, or the peer is gone already.
                Err(_) => sleep(PAUSE).await,
            },
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            Some(Delivery { event, answer }) = delivered.recv() => {
                let flow = match &event {
                    Err(error) => sink(Received::Refused(error)),
                    Ok(event) if seen.contains(&event.id) => sink(Received::Repeated(event)),
                    Ok(event) => sink(Received::Event(event)),
                };
                let _gone = answer.send(match &flow {
                    Ok(_) => status_of(event.as_ref().err()),
                    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
                });
                if let (Ok(_), Ok(event)) = (&flow, event) {
                    seen.remember(event.id, Instant::now());
                }
                match flow {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(value)) => {
                        settle(connections).await;
                        return Ok(value);
                    }
                    Err(error) => {
                        settle(connections).await;
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Answers that are on their way go out.
async fn settle(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    let _late = timeout(PAUSE, all).await;
}

/// One connection: one request, one answer.
async fn attend(stream: TcpStream, secret: Arc<WebhookSecret>, deliver: mpsc::Sender<Delivery>) {
    let service = service_fn(|request| answer(request, &secret, &deliver));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off, is too slow or speaks something else is nobody's business.
    let _ended = timeout(PATIENCE, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    secret: &WebhookSecret,
    deliver: &mpsc::Sender<Delivery>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        let mut refused = empty(StatusCode::METHOD_NOT_ALLOWED);
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(refused);
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(empty(StatusCode::PAYLOAD_TOO_LARGE)),
    };
    // A header that is no text is none that counts.
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
    let event = verify(secret, headers, &body, Timestamp::now());
    let (answer, answered) = oneshot::channel();
    if deliver.send(Delivery { event, answer }).await.is_err() {
        return Ok(empty(StatusCode::SERVICE_UNAVAILABLE));
    }
    Ok(empty(answered.await.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)))
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

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
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
        seen.remember("b".to_owned(), start + MEMORY + PAUSE);
        assert!(!seen.contains("a") && seen.contains("b"));
        for number in 0..MAX_IDS {
            seen.remember(number.to_string(), start + MEMORY + PAUSE);
        }
        assert_eq!((seen.ids.len(), seen.order.len()), (MAX_IDS, MAX_IDS));
        assert!(!seen.contains("b"), "the oldest goes first");
    }
}
