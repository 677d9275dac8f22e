//! The Phala Cloud API: client, authentication, versions, both error families, identifiers.
//!
//! Each resource's endpoints and types stand in one file below. Nothing here decides what an upgrade does next.
//!
//! ```
//! use countersign::cloud::{ApiVersion, Client, CloudError, CvmId, DEFAULT_PREFIX, Options};
//! use countersign::http::{Http, Limits};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options { prefix: DEFAULT_PREFIX.parse()?, api_key: None, version: ApiVersion::NEWEST };
//! let client = Client::new(Http::new(Limits::default()), options);
//! // A name, an app id, an instance id or a UUID.
//! let id: CvmId = "my-app".parse()?;
//! // Refused here: without a key nothing is sent.
//! assert!(matches!(client.cvm(&id).await, Err(CloudError::NoApiKey { .. })));
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
mod api_tests;
pub mod apps;
pub mod compose_file;
pub mod configure;
mod cvms;
mod env_key;
mod error;
pub mod health;
mod id;
pub mod images;
pub mod instance_ids;
pub mod instances;
pub mod inventory;
pub mod kms;
pub mod lifecycle;
pub mod nodes;
mod page;
pub mod patch;
pub mod provision;
mod read;
pub mod replicas;
pub mod revisions;
pub mod settle;
#[cfg(test)]
mod tests;
pub mod updates;
mod version;
pub mod watch;
pub mod webhooks;

use std::fmt;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::compose::strict_json;
use crate::http::{Answer, Endpoint, Http, HttpError, Kind, Request, Retry, Secrets, Sent};
use crate::text::shorten;

pub use cvms::{Cvm, CvmState, Kms, MAX_PAGES, PAGES_AT_ONCE, Progress, Resources};
pub use env_key::EnvKey;
pub use error::{CloudError, Problem};
pub use id::{CvmId, EventId, KmsId, WebhookId};
pub use page::{Page, Paged};
pub use version::ApiVersion;
pub(crate) use version::Spoken;

use error::{LINE, Refusal};
use read::Malformed;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where the API is, for whoever knows no other place.
pub const DEFAULT_PREFIX: &str = "https://cloud-api.phala.com/api/v1";

/// Longest API key that is taken.
const MAX_API_KEY: usize = 512;

/// How to reach the API.
#[derive(Clone)]
pub struct Options {
    /// Prefix of every path, as [`DEFAULT_PREFIX`].
    pub prefix: Url,
    /// API key; without one only commit by token works.
    pub api_key: Option<ApiKey>,
    /// The newest version that may be asked for; an older one takes its place where the server refuses it.
    pub version: ApiVersion,
}

/// An API key; never printed.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// The client; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    options: Options,
    spoken: Spoken,
}

/// Whether a call needs the API key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Without one there is no request.
    Needed,
    /// The request has its own credential.
    IfGiven,
}

/// One call, before it is sent.
struct Call {
    request: Request,
    /// Verb and path, for messages.
    name: String,
    secrets: Secrets,
    /// The newest version in which it means what it should.
    version: ApiVersion,
}

/// One answer, with what is needed to talk about it.
struct Reply {
    name: String,
    answer: Answer,
    secrets: Secrets,
}

impl Client {
    /// A client; does no I/O.
    pub fn new(http: Http, options: Options) -> Self {
        Self {
            http,
            options,
            spoken: Spoken::default(),
        }
    }
    /// The client with what others learnt of the server's versions; it adds to that.
    #[cfg(any(feature = "cli", test))]
    #[must_use]
    pub(crate) fn sharing(mut self, spoken: Spoken) -> Self {
        self.spoken = spoken;
        self
    }
    /// The version that the server named last in an answer, where it is one that this program does not know; escaped.
    pub fn unknown_version(&self) -> Option<&str> {
        self.spoken.unknown()
    }
    /// A client whose requests end at `end`: a server that drips is not listened to for longer.
    #[must_use]
    pub fn until(&self, end: tokio::time::Instant) -> Self {
        Self {
            http: self.http.clone().until(end),
            options: self.options.clone(),
            spoken: self.spoken.clone(),
        }
    }

    /// The host, for records and messages.
    pub fn host(&self) -> String {
        self.options.prefix.host_str().unwrap_or_default().to_owned()
    }

    /// A call to the path of these segments.
    fn call(&self, verb: Method, segments: &[&str], retry: Retry) -> Result<Call, CloudError> {
        let url = self.url(&verb, segments)?;
        let name = format!("{verb} {}", url.path());
        let mut request = Request::new(verb, url, retry);
        // The official clients send both on every request, also on those without a body.
        request.headers.insert(CONTENT_TYPE, JSON);
        request.headers.insert(ACCEPT, JSON);
        Ok(Call {
            request,
            name,
            secrets: Secrets::default(),
            version: self.options.version,
        })
    }

    fn url(&self, verb: &Method, segments: &[&str]) -> Result<Url, CloudError> {
        let mut url = self.options.prefix.clone();
        url.set_query(None);
        url.set_fragment(None);
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.pop_if_empty().extend(segments);
            }
            Err(()) => {
                return Err(CloudError::Http(HttpError {
                    verb: verb.to_string(),
                    endpoint: Endpoint::new(self.options.prefix.clone()).to_string(),
                    path: String::new(),
                    kind: Kind::Insecure,
                    sent: Sent::No,
                    source: None,
                }));
            }
        }
        Ok(url)
    }

    async fn send(&self, mut call: Call, key: Key) -> Result<Reply, CloudError> {
        match (&self.options.api_key, key) {
            (Some(key), _) => {
                call.request.headers.insert(API_KEY, key.header());
                call.secrets.add(key.expose());
            }
            (None, Key::IfGiven) => {}
            (None, Key::Needed) => return Err(CloudError::NoApiKey { request: call.name }),
        }
        let mut version = self.spoken.best(call.version);
        let (name, secrets, mut request) = (call.name, call.secrets, call.request);
        loop {
            request
                .headers
                .insert(version::VERSION, HeaderValue::from_static(version.text()));
            let reply = Reply {
                answer: self.http.send(request.clone()).await?,
                name: name.clone(),
                secrets: secrets.clone(),
            };
            self.spoken.hear(&reply.answer);
            let older = reply.refuses_version().then(|| self.spoken.refuse(version)).flatten();
            let Some(older) = older else {
                return Ok(reply);
            };
            tracing::info!(refused = version.text(), asked = older.text(), "the API's version");
            version = older;
        }
    }

    /// Reads one JSON document.
    async fn get(&self, segments: &[&str]) -> Result<(Reply, Value), CloudError> {
        let call = self.call(Method::GET, segments, Retry::Read)?;
        let reply = self.send(call, Key::Needed).await?;
        let value = reply.value()?;
        Ok((reply, value))
    }
}

impl Call {
    /// Asks for no version after `most`: the path means something else there.
    fn pinned(&mut self, most: ApiVersion) {
        self.version = self.version.min(most);
    }

    /// One more query parameter.
    fn query(&mut self, name: &str, value: &str) {
        self.request.url = self.request.url.with_query(name, value);
    }

    fn json(&mut self, body: &impl serde::Serialize) -> Result<(), CloudError> {
        let bytes = serde_json::to_vec(body).map_err(|error| CloudError::Unexpected {
            request: self.name.clone(),
            status: 0,
            what: format!("the request cannot be written as JSON: {error}"),
        })?;
        self.request.body = Some(bytes);
        Ok(())
    }
}

impl Reply {
    /// The document of a success, or the error of anything else.
    fn value(&self) -> Result<Value, CloudError> {
        if !matches!(self.answer.status, 200..=202) {
            return Err(self.refusal());
        }
        let body = &self.answer.body;
        strict_json(body, body.len()).map_err(|error| {
            let excerpt = self.secrets.clean_bytes(body, LINE);
            self.unexpected(&format!("{}; it begins `{excerpt}`", chain(&error)))
        })
    }

    /// The document of a success, which has to be an object.
    fn object(&self) -> Result<Value, CloudError> {
        match self.value()? {
            object @ Value::Object(_) => Ok(object),
            _ => Err(self.unexpected("not a JSON object")),
        }
    }

    /// A success, with or without a document.
    fn done(&self) -> Result<(), CloudError> {
        match self.answer.status {
            200..=204 => Ok(()),
            _ => Err(self.refusal()),
        }
    }

    /// Whether it refuses the version that was asked for, so that nothing was done.
    fn refuses_version(&self) -> bool {
        self.answer.status >= 400 && version::is_refused(&self.refusal())
    }

    fn refusal(&self) -> CloudError {
        Refusal {
            request: &self.name,
            status: self.answer.status,
            request_id: self.answer.request_id.as_deref(),
            retry_after: self.answer.retry_after,
            body: &self.answer.body,
            secrets: &self.secrets,
        }
        .error()
    }

    fn unexpected(&self, what: &str) -> CloudError {
        CloudError::Unexpected {
            request: self.name.clone(),
            status: self.answer.status,
            what: what.to_owned(),
        }
    }

    /// Turns a value that cannot be what it should be into this answer's error.
    fn sound<T>(&self, read: Result<T, Malformed>) -> Result<T, CloudError> {
        read.map_err(|malformed| malformed.in_answer_to(&self.name, self.answer.status))
    }
}

/// An error and its causes on one line: the reader's own words, with at most a key of the document in them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    shorten(&text, LINE)
}

impl ApiKey {
    /// Wraps a key.
    ///
    /// # Errors
    /// Empty, or characters that no header can carry.
    pub fn new(text: Zeroizing<String>) -> Result<Self, CloudError> {
        let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_API_KEY || !fits {
            return Err(CloudError::NoApiKey {
                request: "Phala Cloud, and the text given is empty or cannot stand in a header".to_owned(),
            });
        }
        Ok(Self(text))
    }
    fn expose(&self) -> &str {
        &self.0
    }
    fn header(&self) -> HeaderValue {
        // `new` let nothing else in than a header can carry.
        let mut value = HeaderValue::from_str(self.expose()).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &Endpoint::new(self.prefix.clone()))
            .field("api_key", &self.api_key)
            .field("version", &self.version)
            .finish()
    }
}
