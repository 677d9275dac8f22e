//! One attempt: out, back, and what the library's errors mean.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response};
use rustls::crypto::{CryptoProvider, ring};
use tokio::time::Instant;

use super::{Answer, Http, HttpError, Kind, Limits, Network, Request, Sent};
use crate::text::shorten;

/// Bytes of a body handed to the connection at once, so that a large one cut off in its middle is known as such.
const PIECE: usize = 16 * 1024;

/// A kept connection is used again within this time only. Common servers close theirs after five idle seconds, and
/// a write into a closing connection ends as "may have arrived".
const IDLE: Duration = Duration::from_secs(4);

/// Longest `X-Request-ID` that is kept, characters.
const MAX_REQUEST_ID: usize = 128;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When a quota is full again, as many gateways say it with 429 where they do not send `Retry-After`.
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How much of a quota is left. While there is some, a 429 is about something else: so many requests in a second.
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// A reset later than this is no wait: it is a quota of a month, or a time of day in seconds since 1970.
const RESET_MAX: Duration = Duration::from_secs(3600);

type Source = Box<dyn Error + Send + Sync>;

/// Builds the library's client and, once in a process, chooses its cryptography.
fn client(limits: &Limits, network: &Network) -> Result<Client, Fault> {
    if CryptoProvider::get_default().is_none() && ring::default_provider().install_default().is_err() {
        tracing::trace!("another thread chose the TLS provider first");
    }
    let base = || {
        Client::builder()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
    };
    network.build(base).map_err(|source| Fault {
        kind: Kind::NoTls,
        source: Some(Box::new(source.without_url())),
    })
}

/// What went wrong, before it is known whether the request left.
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) source: Option<Source>,
}

impl Http {
    /// One attempt, ended at `end` at the latest.
    pub(super) async fn attempt(&self, request: &Request, end: Option<Instant>) -> Result<Answer, HttpError> {
        let began = Instant::now();
        let left = Arc::new(AtomicBool::new(false));
        let time = request.time.unwrap_or(self.limits.total);
        let time = end.map_or(time, |end| time.min(end.saturating_duration_since(began)));
        let outcome = match tokio::time::timeout(time, self.exchange(request, &left)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(fault)) => Err(request.failed(fault, &left)),
            Err(elapsed) => Err(request.failed(
                Fault {
                    kind: Kind::Timeout,
                    source: Some(Box::new(elapsed)),
                },
                &left,
            )),
        };
        trace(request, &outcome, began.elapsed());
        outcome
    }

    async fn exchange(&self, request: &Request, left: &Arc<AtomicBool>) -> Result<Answer, Fault> {
        let response = self.begin(request, left).await?;
        read(response, request.body_limit.unwrap_or(self.limits.body)).await
    }

    /// The library's client, built for the first request.
    fn client(&self) -> Result<&Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client(&self.limits, &self.network)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends and waits for the head of the answer.
    pub(super) async fn begin(&self, request: &Request, left: &Arc<AtomicBool>) -> Result<Response, Fault> {
        if !request.url.is_private() {
            return Err(Kind::Insecure.into());
        }
        let mut builder = self
            .client()?
            .request(request.verb.clone(), request.url.url().clone())
            .headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder
                .header(CONTENT_LENGTH, body.len())
                .body(watched(body, Arc::clone(left)));
        }
        let response = builder.send().await?;
        if let Some(to) = redirect(request, &response) {
            // RFC 9110, 15.4: these three ask for the same request elsewhere; the others may follow a done one.
            left.store(
                !matches!(response.status().as_u16(), 301 | 307 | 308),
                Ordering::Relaxed,
            );
            return Err(Kind::Redirect { to }.into());
        }
        Ok(response)
    }
}

/// `body` in pieces; `left` is set when the last of them is handed over. A server does not act on less.
fn watched(body: &[u8], left: Arc<AtomicBool>) -> reqwest::Body {
    let mut pieces: Vec<Vec<u8>> = body.chunks(PIECE).map(<[u8]>::to_vec).collect();
    pieces.reverse();
    reqwest::Body::wrap_stream(stream::iter(std::iter::from_fn(move || {
        let piece = pieces.pop();
        if pieces.is_empty() {
            left.store(true, Ordering::Relaxed);
        }
        piece.map(Ok::<_, Infallible>)
    })))
}

/// The host that a redirect names.
fn redirect(request: &Request, response: &Response) -> Option<String> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok();
    let target = location.and_then(|location| request.url.url().join(location).ok());
    let host = target.as_ref().and_then(url::Url::host_str);
    Some(shorten(host.unwrap_or("somewhere unreadable"), 255))
}

pub(super) async fn read(mut response: Response, limit: usize) -> Result<Answer, Fault> {
    let declared = response.content_length().unwrap_or_default();
    if usize::try_from(declared).map_or(true, |declared| declared > limit) {
        return Err(Kind::TooLarge { limit }.into());
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len().saturating_add(piece.len()) > limit {
            return Err(Kind::TooLarge { limit }.into());
        }
        body.extend_from_slice(&piece);
    }
    let headers = response.headers();
    let date = header(headers, &DATE).and_then(timestamp);
    Ok(Answer {
        status: response.status().as_u16(),
        request_id: header(headers, &REQUEST_ID).map(|id| shorten(id, MAX_REQUEST_ID)),
        date,
        retry_after: header(headers, &RETRY_AFTER)
            .and_then(|text| delay(text, date))
            .or_else(|| reset(&response)),
        quota_left: quota_left(headers),
        headers: headers.clone(),
        body,
    })
}

/// How long until a full quota is empty again.
fn reset(response: &Response) -> Option<Duration> {
    let headers = response.headers();
    let is_full = response.status().as_u16() == 429 && quota_left(headers).is_none_or(|left| left == 0);
    let text = header(headers, &RATE_LIMIT_RESET).filter(|_| is_full)?;
    let seconds = text.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= RESET_MAX)
}

fn quota_left(headers: &HeaderMap) -> Option<u64> {
    header(headers, &RATE_LIMIT_REMAINING)?.parse().ok()
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, taken against the server's own clock.
pub(super) fn delay(text: &str, now: Option<jiff::Timestamp>) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are still a wish to wait.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let now = now.unwrap_or_else(jiff::Timestamp::now);
    Duration::try_from(timestamp(text)?.duration_since(now)).ok()
}

impl Request {
    /// Nobody has time for it any more, so it did not leave.
    pub(super) fn unsent(&self) -> HttpError {
        HttpError {
            sent: Sent::No,
            ..self.failed(Kind::Timeout.into(), &AtomicBool::new(false))
        }
    }

    pub(super) fn failed(&self, fault: Fault, left: &AtomicBool) -> HttpError {
        let left = left.load(Ordering::Relaxed);
        let sent = match fault.kind {
            Kind::Connect | Kind::Tls | Kind::NoTls | Kind::Insecure => Sent::No,
            Kind::Redirect { .. } if !left => Sent::No,
            _ if self.body.is_some() && !left => Sent::No,
            _ => Sent::Maybe,
        };
        HttpError {
            verb: self.verb.to_string(),
            endpoint: self.url.to_string(),
            path: self.shown_path().to_owned(),
            kind: fault.kind,
            sent,
            source: fault.source,
        }
    }
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Self {
        Self { kind, source: None }
    }
}
impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let kind = if error.is_connect() && is_about_identity(&error) {
            Kind::Tls
        } else if error.is_connect() || error.is_builder() {
            Kind::Connect
        } else if error.is_timeout() {
            Kind::Timeout
        } else {
            Kind::Broken
        };
        Self {
            kind,
            source: Some(Box::new(error)),
        }
    }
}

/// Whether the handshake failed over who the server is, and not over the line.
fn is_about_identity(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return !matches!(tls, rustls::Error::InvalidMessage(_) | rustls::Error::AlertReceived(_));
        }
        // `source` of an I/O error leaves out the error inside it.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Never headers, query or body.
fn trace(request: &Request, outcome: &Result<Answer, HttpError>, took: Duration) {
    let path = request.shown_path();
    let milliseconds = took.as_millis();
    match outcome {
        Ok(answer) => {
            tracing::debug!(verb = %request.verb, host = %request.url, path, status = answer.status, milliseconds)
        }
        Err(error) => {
            tracing::debug!(verb = %request.verb, host = %request.url, path, failed = %error.kind, milliseconds)
        }
    }
}
