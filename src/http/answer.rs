//! An answer, or why there is none.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::header::HeaderMap;

/// An answer, whatever its status.
#[derive(Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The server's name for this request (`X-Request-ID`), escaped.
    pub request_id: Option<String>,
    /// The server's clock (`Date`).
    pub date: Option<jiff::Timestamp>,
    /// How long the server wants to be left alone (`Retry-After`; with 429 also `X-RateLimit-Reset`).
    pub retry_after: Option<Duration>,
    /// How many requests are left of a quota, where the server says that.
    pub quota_left: Option<u64>,
    /// All headers as they came.
    pub headers: HeaderMap,
    /// Body bytes, complete.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header that is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How long a server asks to be left alone, in words to follow what it said; none where it does not ask.
pub(crate) fn pause(asked: Option<Duration>) -> String {
    let asked = asked.filter(|asked| !asked.is_zero()).map(|asked| {
        let asked = SignedDuration::try_from(asked).unwrap_or(SignedDuration::MAX);
        format!("; it asks to be left alone for {asked:#}")
    });
    asked.unwrap_or_default()
}

/// Whether the request can have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It did not leave, or not whole, or the server sent it elsewhere.
    No,
    /// It may have arrived.
    Maybe,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {endpoint}{path}: {kind}")]
pub struct HttpError {
    /// Verb.
    pub verb: String,
    /// Scheme and host.
    pub endpoint: String,
    /// Path, percent-encoded as sent; empty for JSON-RPC endpoints.
    pub path: String,
    /// What went wrong.
    pub kind: Kind,
    /// Whether it may have had an effect.
    pub sent: Sent,
    /// The library's own error, URL removed.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Kinds of missing answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// No connection (DNS, refused, unreachable, time-out while connecting).
    #[error("no connection")]
    Connect,
    /// The server is not who it should be.
    #[error("the server's TLS identity was refused")]
    Tls,
    /// TLS cannot start on this machine, for example because it has no root certificates.
    #[error("TLS cannot start on this machine")]
    NoTls,
    /// The deadline passed.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke before a complete answer")]
    Broken,
    /// The answer is longer than the limit.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// A redirect, which is never followed.
    #[error("redirect to {to} refused")]
    Redirect {
        /// Host it pointed to.
        to: String,
    },
    /// Neither https nor plain HTTP to this machine.
    #[error("plain http is allowed to this machine only")]
    Insecure,
}

impl Kind {
    /// Whether no other endpoint and no later moment would fare better.
    pub const fn stands_in_the_way(&self) -> bool {
        matches!(self, Self::Tls | Self::NoTls | Self::Redirect { .. } | Self::Insecure)
    }
}
