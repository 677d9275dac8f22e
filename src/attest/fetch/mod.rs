//! Fetching: the guest's own agent, a server of Intel's collateral, an app that answers a number. The only files of this room
//! that do I/O.
//!
//! Nothing that is fetched is believed, whoever served it: the verdict is made of signatures. So nothing secret is sent, no
//! redirect is followed, and each answer has a limit; what could not be had is not known.

use std::error::Error;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use crate::http::{Answer, Http, HttpError, Kind, Request, Retry, RetryPolicy};

mod freshness;
mod guest;
mod pccs;

pub use freshness::{Nonce, answer};
pub use guest::{Guest, GuestInfo, GuestQuote};
pub use pccs::{DEFAULT_PCCS, collateral};

/// Why something could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer.
    #[error(transparent)]
    Http(HttpError),
    /// An answer that is a refusal.
    #[error("{place} answered with status {status}")]
    Status {
        /// Scheme, host and path.
        place: String,
        /// Status.
        status: u16,
    },
    /// An answer in another form than is known here.
    #[error("the answer of {place} cannot be read")]
    Malformed {
        /// Scheme, host and path.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No address can be made of what a record says.
    #[error("no address of the guest follows from the CVM's record: {why}")]
    NoAddress {
        /// Why.
        why: &'static str,
    },
}

impl FetchError {
    /// Whether the same request can fare better later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Http(error) => matches!(error.kind, Kind::Connect | Kind::Timeout | Kind::Broken),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Malformed { .. } | Self::NoAddress { .. } => false,
        }
    }
}

/// One request; nothing goes with it but the address, and `body` where there is one.
async fn ask(http: &Http, url: Url, body: Option<Vec<u8>>, limit: usize) -> Result<Answer, FetchError> {
    let place = place(&url);
    let verb = body.as_ref().map_or(reqwest::Method::GET, |_| reqwest::Method::POST);
    let mut request = Request::new(verb, url, Retry::Read);
    if body.is_some() {
        request
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request.body = body;
    request.body_limit = Some(limit);
    let answer = http.send(request).await.map_err(FetchError::Http)?;
    match answer.status {
        200 => Ok(answer),
        status => Err(FetchError::Status { place, status }),
    }
}

/// Two attempts are enough where somebody waits and a third way may lead there.
fn impatient(http: &Http) -> Http {
    http.clone().with_retries(RetryPolicy {
        attempts: 2,
        ..RetryPolicy::default()
    })
}

/// An address without its query.
fn place(url: &Url) -> String {
    format!("{}{}", crate::http::Endpoint::new(url.clone()), url.path())
}

/// `base` with this path behind its own.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn malformed(url: &Url, source: impl Into<Box<dyn Error + Send + Sync>>) -> FetchError {
    FetchError::Malformed {
        place: place(url),
        source: source.into(),
    }
}
