//! One way to speak HTTP: deadlines, a body cap, no redirects, retries decided by verb and kind, redaction. And one small
//! server for this machine (`serve`).
//!
//! The cloud client and every JSON-RPC endpoint go through [`Http`]. Nothing here knows what is being asked. The environment
//! is not read: whoever wants a proxy names it ([`Network`]). No answer is decompressed.
//!
//! ```
//! use countersign::http::Endpoint;
//!
//! // Providers put their keys into addresses: only the server is shown.
//! let endpoint = Endpoint::new("https://rpc.example/v2/secret".parse()?);
//! assert!(!format!("{endpoint}{endpoint:?}").contains("secret"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod attempt;
#[cfg(test)]
pub(crate) mod fake;
mod grace;
mod network;
mod pace;
mod retry;
mod rpc;
pub(crate) mod serve;
mod server;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;
use url::{Host, Url};

pub(crate) use answer::pause;
pub use answer::{Answer, HttpError, Kind, Sent};
use grace::Grace;
pub use network::{Network, Root};
use pace::Pace;
pub use pace::Rate;
pub use retry::{Retry, RetryPolicy};
pub use rpc::RpcTransport;
pub use stream::Stream;
pub(crate) use text::Secrets;

/// Limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time to connect, TLS included.
    pub connect: Duration,
    /// Time from connecting to the last byte read, retries not included.
    pub total: Duration,
    /// Largest body that is read.
    pub body: usize,
}

/// A URL that prints as scheme and host only; path, query and credentials may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Verb.
    pub verb: reqwest::Method,
    /// Where to.
    pub url: Endpoint,
    /// Header names and values; values of secret headers are marked sensitive.
    pub headers: HeaderMap,
    /// Body bytes.
    pub body: Option<Vec<u8>>,
    /// What may be repeated.
    pub retry: Retry,
    /// Time for one attempt, where it is not [`Limits::total`].
    pub time: Option<Duration>,
    /// Largest body that is read, where it is not [`Limits::body`].
    pub body_limit: Option<usize>,
    /// Whether it ends with the time of whoever asks, and is not begun after it: nothing was done whose outcome it would tell.
    pub ends_in_time: bool,
    /// Whether the path is a secret, as with JSON-RPC endpoints that carry their key in it.
    pub hide_path: bool,
}

/// The shared client; cheap to clone. TLS starts with the first request: reading the machine's root certificates takes
/// longer than everything else that a command without a network does, and needs files that may not be there.
#[derive(Debug, Clone)]
pub struct Http {
    client: Arc<OnceLock<reqwest::Client>>,
    network: Arc<Network>,
    limits: Limits,
    retries: RetryPolicy,
    /// When whoever asks has no more time.
    end: Option<Instant>,
    /// What all clones together have after it.
    grace: Grace,
    /// How much of that one request takes at most.
    share: Duration,
    /// Who hears of it when a server makes a request wait.
    notice: Option<fn(&str)>,
    /// When which server may be asked next, by this client and all its clones.
    pace: Pace,
}

/// What all requests together get after the time of whoever asks is up: what was begun in time learns its outcome by it, a
/// person who was asked in between may have used the time, and a server that is well answers the last ones within this.
const GRACE: Duration = Duration::from_secs(5);

/// A wait that a server asks for is told from this length on: a shorter one is over before somebody wonders.
const TOLD_WAIT: Duration = Duration::from_secs(2);

impl Default for Limits {
    /// What an API call needs: generous for a slow link, short enough that a person still waits.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
            body: 1024 * 1024,
        }
    }
}

impl Http {
    /// A client with `limits` and the default retries. Does no I/O.
    pub fn new(limits: Limits) -> Self {
        Self {
            client: Arc::default(),
            network: Arc::default(),
            limits,
            retries: RetryPolicy::default(),
            end: None,
            grace: Grace::new(GRACE),
            share: GRACE,
            notice: None,
            pace: Pace::default(),
        }
    }
    /// Gives the client a deadline: no request, with all its repetitions, goes on after `end`, but all requests of this
    /// client and of its clones have a few seconds together whatever the time is. An earlier deadline that the client
    /// has already stays.
    #[must_use]
    pub fn until(mut self, end: Instant) -> Self {
        self.end = Some(self.end.map_or(end, |known| known.min(end)));
        self
    }
    /// Limits what one request takes of the time after the deadline to `share`: where several servers are asked, one
    /// that is silent leaves something for the others.
    #[must_use]
    pub const fn sharing(mut self, share: Duration) -> Self {
        self.share = share;
        self
    }
    /// Tells of waits that servers ask for, how long and for whom: whoever sits there sees why nothing happens.
    #[must_use]
    pub const fn telling(mut self, notice: fn(&str)) -> Self {
        self.notice = Some(notice);
        self
    }
    /// Sets how many requests a server gets at most, repetitions among them, of this client and its clones together.
    #[must_use]
    pub fn at_most(mut self, rate: Rate) -> Self {
        self.pace = Pace::new(rate);
        self
    }
    /// Sets the limits of one attempt; the client then has connections of its own.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.client = Arc::default();
        self
    }
    /// Sets the way to servers; the client then has connections of its own.
    #[must_use]
    pub fn reaching(mut self, network: Network) -> Self {
        self.network = Arc::new(network);
        self.client = Arc::default();
        self
    }
    /// Sets how often and how soon requests are repeated.
    #[must_use]
    pub const fn with_retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = retries;
        self
    }
    /// Limits of one attempt.
    pub const fn limits(&self) -> Limits {
        self.limits
    }
    /// Sends `request` and reads the whole answer; repeats it as far as [`Request::retry`] allows.
    ///
    /// An answer of any status is an answer, except a redirect. Cut off in the middle (the future dropped), the
    /// request may or may not have had its effect.
    ///
    /// # Errors
    /// There was no complete answer; [`HttpError::sent`] says whether there may have been an effect.
    pub async fn send(&self, request: Request) -> Result<Answer, HttpError> {
        let now = Instant::now();
        let last = self.end.map(|end| match request.ends_in_time {
            true => end,
            false => end.max(now) + self.grace.left().min(self.share),
        });
        if last.is_some_and(|last| last <= now) {
            return Err(request.unsent());
        }
        let deadline = self.retries.deadline.map(|deadline| now + deadline);
        let outcome = self.send_until(&request, deadline.into_iter().chain(last).min()).await;
        if let Some(end) = self.end {
            self.grace.spend(end.max(now), Instant::now());
        }
        outcome
    }

    async fn send_until(&self, request: &Request, end: Option<Instant>) -> Result<Answer, HttpError> {
        let mut waits = self.retries.waits();
        let mut before = None;
        loop {
            if !self.pace.turn(request.url.url(), end).await {
                // What an earlier attempt came to stays what is known.
                return before.unwrap_or_else(|| Err(request.unsent()));
            }
            let outcome = self.attempt(request, end).await;
            let Some(asked) = request.retry.allows(&outcome) else {
                return outcome;
            };
            let Some(wait) = waits.next().map(|wait| wait.max(asked)) else {
                return outcome;
            };
            if end.is_some_and(|end| Instant::now() + wait >= end) {
                return outcome;
            }
            if let Ok(answer) = &outcome {
                self.tell_wait(request, answer.status, asked);
            }
            before = Some(outcome);
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells that `request` is not given again before the server's wait is over.
    pub(crate) fn tell_wait(&self, request: &Request, status: u16, asked: Duration) {
        let Some(notice) = self.notice.filter(|_| asked >= TOLD_WAIT) else {
            return;
        };
        let Request { verb, url, .. } = request;
        let (path, seconds) = (request.shown_path(), asked.as_secs());
        notice(&format!(
            "waiting {seconds} seconds, as {url} asks: {status} to {verb} {path}"
        ));
    }
}

impl Request {
    /// A request without headers or body, and with the client's limits.
    pub fn new(verb: reqwest::Method, url: Url, retry: Retry) -> Self {
        Self {
            verb,
            url: Endpoint::new(url),
            headers: HeaderMap::new(),
            body: None,
            retry,
            time: None,
            body_limit: None,
            ends_in_time: false,
            hide_path: false,
        }
    }

    fn shown_path(&self) -> &str {
        if self.hide_path { "" } else { self.url.url().path() }
    }
}

impl Endpoint {
    /// Wraps a URL.
    pub const fn new(url: Url) -> Self {
        Self(url)
    }
    /// The URL with all its parts, for sending only.
    pub const fn url(&self) -> &Url {
        &self.0
    }
    /// This URL with one more query parameter, percent-encoded.
    #[must_use]
    pub fn with_query(&self, name: &str, value: &str) -> Self {
        let mut url = self.0.clone();
        url.query_pairs_mut().append_pair(name, value);
        Self(url)
    }
    /// What in the URL may be a key: credentials, segments of the path, values of the query.
    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(self.0.username());
        secrets.add(self.0.password().unwrap_or_default());
        self.0
            .path_segments()
            .into_iter()
            .flatten()
            .for_each(|segment| secrets.add(segment));
        self.0.query_pairs().for_each(|(_, value)| secrets.add(&value));
        secrets
    }
    /// Whether nobody on the way can read it: https, or plain http that stays on this machine.
    fn is_private(&self) -> bool {
        match (self.0.scheme(), self.0.host()) {
            ("https", Some(_)) => true,
            ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
            ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
            ("http", Some(Host::Domain(name))) => name == "localhost",
            _ => false,
        }
    }
}
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        match self.0.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
