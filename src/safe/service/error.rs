//! Why the service gave no value, in the shapes in which it says no.

use std::fmt;
use std::time::Duration;

use alloy::primitives::B256;
use serde_json::Value;

use super::record::NotAccepted;
use crate::http::{HttpError, Kind, Secrets, Sent, pause};
use crate::json;

/// Longest message that is kept, characters.
const MESSAGE: usize = 512;
/// Most messages of one answer that are kept.
const ENTRIES: usize = 8;

/// What the service said when it said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceProblem {
    /// Verb and path of the request.
    pub request: String,
    /// Status code.
    pub status: u16,
    /// One line for people, escaped, without the API key.
    pub message: String,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why a call to the Safe Transaction Service gave no value. Everything can go on without the service, by files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// 401 or 403.
    #[error("the Safe Transaction Service refused the API key ({0})")]
    Auth(Box<ServiceProblem>),
    /// 404.
    #[error("the Safe Transaction Service does not know it ({0})")]
    NotFound(Box<ServiceProblem>),
    /// 451: the Safe may not be served.
    #[error("the Safe Transaction Service does not serve this Safe ({0})")]
    Banned(Box<ServiceProblem>),
    /// 408, 425, 429 or 5xx after the retries that were allowed.
    #[error("the Safe Transaction Service is not available ({0})")]
    Unavailable(Box<ServiceProblem>),
    /// 400, 422, or any other refusal.
    #[error("the Safe Transaction Service refused ({0})")]
    Refused(Box<ServiceProblem>),
    /// An answer that cannot be understood; a write may have had its effect.
    #[error("unexpected answer to {request}: {what} (status {status})")]
    Unexpected {
        /// Verb and path.
        request: String,
        /// Status code.
        status: u16,
        /// What is wrong with it.
        what: String,
    },
    /// More than anybody would look through.
    #[error("the Safe Transaction Service lists more than {limit} {of} for {request}")]
    TooMany {
        /// Verb and path.
        request: String,
        /// How many are read.
        limit: usize,
        /// Entries, pages or bytes.
        of: &'static str,
    },
    /// The service's record of a transaction is not that transaction: somebody changed it.
    #[error("the record of {hash} at the Safe Transaction Service is another transaction")]
    Tampered {
        /// The hash that was asked for.
        hash: B256,
        /// What differs, where the record itself is not sound.
        #[source]
        why: Option<NotAccepted>,
    },
    /// Something was sent, no answer came, and reading again did not settle it.
    #[error("whether {what} reached the Safe Transaction Service is not known")]
    Unsettled {
        /// What was sent.
        what: String,
        /// Why there was no answer.
        #[source]
        source: Box<Self>,
    },
    /// There is no signature that the service could take as the proposer's.
    #[error("there is no signature to propose the transaction with")]
    NoSignature,
    /// Signatures of another transaction.
    #[error("the signatures are for {found}, not for {expected}")]
    OtherSignatures {
        /// What they sign.
        found: B256,
        /// The transaction's hash.
        expected: B256,
    },
    /// The text given as API key cannot stand in a header. It is not repeated here.
    #[error("the API key of the Safe Transaction Service is empty or cannot stand in a header")]
    BadKey,
    /// The URL given cannot be one of a service.
    #[error("the URL of the Safe Transaction Service has no host")]
    BadUrl,
}

impl ServiceError {
    /// Whether the answer was longer than what is read.
    pub(super) const fn is_too_large(&self) -> bool {
        matches!(self, Self::Http(error) if matches!(error.kind, Kind::TooLarge { .. }))
    }
    /// Whether the request can have had its effect although there is no success.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Http(error) => error.sent == Sent::Maybe,
            // 429 is said before anything is done.
            Self::Unavailable(problem) => problem.status != 429,
            Self::Unexpected { .. } | Self::Unsettled { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for ServiceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}: {}", self.request, self.status, self.message)?;
        f.write_str(&pause(self.retry_after))?;
        match &self.request_id {
            Some(id) => write!(f, " [request {id}]"),
            None => Ok(()),
        }
    }
}

/// A refusal as it came.
pub(super) struct Refusal<'a> {
    pub(super) request: &'a str,
    pub(super) status: u16,
    pub(super) request_id: Option<&'a str>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: &'a [u8],
    pub(super) secrets: &'a Secrets,
}

impl Refusal<'_> {
    /// The error that this status means.
    pub(super) fn error(&self) -> ServiceError {
        if !(400..600).contains(&self.status) {
            return ServiceError::Unexpected {
                request: self.request.to_owned(),
                status: self.status,
                what: "no service answers with this status".to_owned(),
            };
        }
        let problem = Box::new(ServiceProblem {
            request: self.request.to_owned(),
            status: self.status,
            message: self.secrets.clean(&self.message(), MESSAGE),
            request_id: self.request_id.map(|id| self.secrets.clean(id, MESSAGE)),
            retry_after: self.retry_after,
        });
        match self.status {
            401 | 403 => ServiceError::Auth(problem),
            404 => ServiceError::NotFound(problem),
            451 => ServiceError::Banned(problem),
            408 | 425 | 429 | 500.. => ServiceError::Unavailable(problem),
            _ => ServiceError::Refused(problem),
        }
    }

    /// The service's own words: `detail`, `message` with `arguments`, `exception`, or Django REST framework's lists
    /// under the names of fields.
    fn message(&self) -> String {
        let text = String::from_utf8_lossy(self.body);
        let Ok(Value::Object(said)) = json::parse(&text) else {
            return match text.trim() {
                "" => "no words".to_owned(),
                body => body.chars().take(MESSAGE).collect(),
            };
        };
        let named = ["detail", "message", "exception"].into_iter();
        let mut named = named.filter_map(|name| said.get(name)?.as_str());
        if let Some(message) = named.next() {
            let arguments: Vec<_> = said.get("arguments").map(words).unwrap_or_default();
            return match arguments.as_slice() {
                [] => message.to_owned(),
                some => format!("{message} ({})", some.join(", ")),
            };
        }
        let faults = said.iter().flat_map(|(field, faults)| {
            let place = (field != "nonFieldErrors").then(|| format!("{field}: "));
            words(faults)
                .into_iter()
                .map(move |fault| format!("{}{fault}", place.as_deref().unwrap_or_default()))
        });
        match faults.take(ENTRIES).collect::<Vec<_>>() {
            none if none.is_empty() => "no words".to_owned(),
            some => some.join("; "),
        }
    }
}

fn words(value: &Value) -> Vec<String> {
    let list = value
        .as_array()
        .map_or_else(|| vec![value], |list| list.iter().collect());
    let words = list.into_iter().filter_map(Value::as_str).take(ENTRIES);
    words.map(str::to_owned).collect()
}
