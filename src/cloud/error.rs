//! What the server said when it said no, in all the shapes it says it, without the secrets it may repeat.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::compose::strict_json;
use crate::http::{HttpError, Secrets, pause};

/// Longest message that is kept, characters.
const MESSAGE: usize = 512;

/// Longest suggestion, code or excerpt that is kept, characters.
pub(super) const LINE: usize = 200;

/// Most entries of a list that are kept.
const ENTRIES: usize = 8;

/// What the server said when it said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Verb and path of the request.
    pub request: String,
    /// Status code.
    pub status: u16,
    /// `ERR-…`, where the server gives one.
    pub code: Option<String>,
    /// One line for people, control characters escaped.
    pub message: String,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// What it suggests.
    pub suggestions: Vec<String>,
}

/// Why a call gave no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// 401 or 403.
    #[error("Phala Cloud refused the API key ({0})")]
    Auth(Box<Problem>),
    /// 404.
    #[error("Phala Cloud does not know it ({0})")]
    NotFound(Box<Problem>),
    /// 409 without a code: another operation is in progress.
    #[error("another operation is in progress ({0})")]
    Busy(Box<Problem>),
    /// 408, 425, 429 or 5xx after the retries that were allowed.
    #[error("Phala Cloud is not available ({0})")]
    Unavailable(Box<Problem>),
    /// Any other refusal, for example 400, 422, 465 to 468.
    #[error("Phala Cloud refused ({0})")]
    Refused(Box<Problem>),
    /// An answer that cannot be understood; the request may have had its effect.
    #[error("unexpected answer to {request}: {what} (status {status})")]
    Unexpected {
        /// Verb and path.
        request: String,
        /// Status.
        status: u16,
        /// What is wrong, with the first bytes escaped where they cannot hold a token.
        what: String,
    },
    /// An answer that names a hash, app, chain, contract or device that cannot be one.
    #[error("the answer to {request} names what cannot be: {what}")]
    Identity {
        /// Verb and path.
        request: String,
        /// Which value, and what it is.
        what: String,
    },
    /// No API key was given where one is needed.
    #[error("an API key is needed for {request}")]
    NoApiKey {
        /// Verb and path.
        request: String,
    },
    /// A text that cannot name a CVM.
    #[error("`{text}` cannot name a CVM: {why}")]
    BadId {
        /// The text, escaped.
        text: String,
        /// Why not.
        why: &'static str,
    },
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
    pub(super) fn error(&self) -> CloudError {
        if !(400..600).contains(&self.status) {
            return CloudError::Unexpected {
                request: self.request.to_owned(),
                status: self.status,
                what: "no API answers with this status".to_owned(),
            };
        }
        let problem = Box::new(self.problem());
        match self.status {
            401 | 403 => CloudError::Auth(problem),
            404 => CloudError::NotFound(problem),
            409 if problem.code.is_none() => CloudError::Busy(problem),
            408 | 425 | 429 | 500.. => CloudError::Unavailable(problem),
            _ => CloudError::Refused(problem),
        }
    }

    fn problem(&self) -> Problem {
        let root = strict_json(self.body, self.body.len()).unwrap_or_default();
        let said = unwrapped(&root);
        let clean = |text: &str| self.secrets.clean(text, LINE);
        let suggestions = said.get("suggestions").and_then(Value::as_array).into_iter().flatten();
        Problem {
            request: self.request.to_owned(),
            status: self.status,
            code: text(said, "error_code").map(clean),
            message: self.secrets.clean(&self.message(said), MESSAGE),
            request_id: text(said, "request_id").or(self.request_id).map(clean),
            retry_after: self.retry_after,
            suggestions: suggestions.filter_map(Value::as_str).take(ENTRIES).map(clean).collect(),
        }
    }

    fn message(&self, said: &Value) -> String {
        let named = ["message", "detail", "error", "msg"]
            .into_iter()
            .find_map(|field| text(said, field));
        if let Some(message) = named.or_else(|| said.as_str()) {
            let details: Vec<_> = entries(said.get("details")).filter_map(detail).take(ENTRIES).collect();
            return if details.is_empty() {
                message.to_owned()
            } else {
                format!("{message} ({})", details.join("; "))
            };
        }
        let faults: Vec<_> = entries(said.get("detail")).filter_map(fault).take(ENTRIES).collect();
        if !faults.is_empty() {
            return faults.join("; ");
        }
        let body = String::from_utf8_lossy(self.body);
        match body.trim() {
            "" => "no words".to_owned(),
            body => body.chars().take(MESSAGE).collect(),
        }
    }
}

/// The structured error itself, also where it stands under `detail`.
pub(super) fn unwrapped(root: &Value) -> &Value {
    match root.get("detail") {
        Some(inner @ Value::Object(_)) => inner,
        _ => root,
    }
}

fn entries(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// `details[]`: the value stays out of it, because it may be a commit token.
fn detail(entry: &Value) -> Option<String> {
    let message = text(entry, "message")?;
    Some(match text(entry, "field") {
        Some(field) => format!("{field}: {message}"),
        None => message.to_owned(),
    })
}

/// One entry of FastAPI's validation list; `input` stays out of it for the same reason.
fn fault(entry: &Value) -> Option<String> {
    let message = text(entry, "msg")?;
    let place: Vec<_> = entries(entry.get("loc"))
        .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
        .collect();
    Some(if place.is_empty() {
        message.to_owned()
    } else {
        format!("{}: {message}", place.join("."))
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.request, self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        write!(f, ": {}{}", self.message, pause(self.retry_after))?;
        if let Some(id) = &self.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}
