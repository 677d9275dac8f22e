//! Updates: the unified PATCH in its three uses, and commit by token.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::{Refusal, unwrapped};
use super::read::{self, Malformed};
use super::{Call, Client, CloudError, Cvm, CvmId, Key, Kms, Reply, chain, patch::Patch};
use crate::compose::{ComposeHash, strict_json};
use crate::http::{Retry, Secrets};
use crate::text::shorten;

/// Longest name of a request that is kept, characters: it goes into the journal.
const MAX_REQUEST_ID: usize = 128;

pub(super) const PREPARE_ONLY: HeaderName = HeaderName::from_static("x-prepare-only");
pub(super) const COMPOSE_HASH: HeaderName = HeaderName::from_static("x-compose-hash");
pub(super) const TRANSACTION_HASH: HeaderName = HeaderName::from_static("x-transaction-hash");

/// What stands for a transaction when the hash was allowed earlier.
const ALREADY_REGISTERED: &str = "already-registered";

/// Most gigabytes that a disk is believed to have: nodes have a few terabytes, and the smallest disk in MB is a larger
/// number. For whoever takes a size from a person.
pub const MAX_DISK_GB: u32 = 9_999;
/// Least megabytes of memory that a CVM is believed to have: the smallest instance type has 1,024, and the largest memory
/// in GB is a smaller number.
pub const MIN_MEMORY_MB: u32 = 256;

/// The one-time credential that prepare gives and commit takes; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CommitToken(Zeroizing<String>);

/// An answer's bytes, to be stored before they are read. They may hold a commit token, so they are never printed.
#[derive(Clone)]
#[must_use = "store `bytes`, then call `read`"]
pub struct RawAnswer {
    /// Status.
    pub status: u16,
    /// Body, complete.
    pub bytes: Vec<u8>,
    /// The server's clock when it answered.
    pub date: Option<jiff::Timestamp>,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<std::time::Duration>,
    /// Verb and path of the request.
    name: String,
    secrets: Secrets,
}

/// What prepare said (465).
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Hash to allow on chain.
    pub compose_hash: ComposeHash,
    /// The app's contract.
    pub app_id: Option<Address>,
    /// Device that will run it.
    pub device_id: Option<B256>,
    /// KMS facts, as far as given.
    pub kms: Kms,
    /// The credential for commit; only with prepare-only.
    pub commit_token: Option<CommitToken>,
    /// What the server believes the chain says.
    pub onchain_status: Option<OnchainStatus>,
    /// Commit links that the server names; never used, only compared.
    pub commit_hosts: Vec<String>,
    /// The server's name for the request.
    pub request_id: Option<String>,
}

/// What the server believes the chain says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnchainStatus {
    /// The hash is allowed.
    #[serde(default)]
    pub compose_hash_allowed: bool,
    /// The device is allowed.
    #[serde(default)]
    pub device_id_allowed: bool,
    /// Hash and device are both allowed.
    #[serde(default)]
    pub is_allowed: bool,
}

/// Outcome of a PATCH.
#[derive(Debug, Clone)]
pub enum Patched {
    /// 202: applied.
    Accepted(Accepted),
    /// 465: the hash has to be allowed on chain first.
    HashRequired(Box<Prepared>),
}

/// 202: the server works on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Name of the operation.
    pub correlation_id: Option<String>,
    /// Status as the server writes it.
    pub status: Option<String>,
}

/// What proves to the server that the hash is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// This transaction allowed it.
    Transaction(B256),
    /// It was allowed earlier; the state is the proof (`already-registered`).
    Already,
}

impl CommitToken {
    /// Parses a token.
    ///
    /// # Errors
    /// Not a UUID.
    pub fn new(text: &str) -> Result<Self, uuid::Error> {
        let _: Uuid = text.parse()?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
    /// The text, for the request and the token file only.
    pub fn expose(&self) -> &str {
        &self.0
    }
    /// The other ways in which its UUID is written: a server may repeat it in one of them.
    pub(super) fn other_forms(&self) -> Vec<Zeroizing<String>> {
        let Ok(uuid) = self.0.parse::<Uuid>() else {
            return Vec::new();
        };
        let lower = [uuid.hyphenated().to_string(), uuid.simple().to_string()];
        let forms = lower.into_iter().flat_map(|form| [form.to_uppercase(), form]);
        forms.map(Zeroizing::new).collect()
    }
}
impl std::fmt::Debug for CommitToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommitToken(…)")
    }
}
/// What commit sends.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The credential.
    pub token: &'a CommitToken,
    /// The hash; the server compares it with the token's.
    pub hash: ComposeHash,
    /// The proof.
    pub by: Registration,
}

impl RawAnswer {
    /// A 465 that was stored earlier.
    pub fn stored(bytes: Vec<u8>) -> Self {
        Self {
            status: 465,
            bytes,
            date: None,
            request_id: None,
            retry_after: None,
            name: "the stored answer to PATCH".to_owned(),
            secrets: Secrets::default(),
        }
    }

    /// Reads a prepare answer. 202 means that the server applied the change at once.
    ///
    /// # Errors
    /// A refusal, or an answer that cannot be understood. Neither repeats what the answer holds in its fields.
    pub fn read(&self) -> Result<Patched, CloudError> {
        match self.status {
            465 => {
                let root = self.json()?;
                let prepared = self.sound(Prepared::read(&root, &self.bytes))?;
                let named = prepared.request_id.as_deref().or(self.request_id.as_deref());
                let request_id = named.map(|id| self.secrets.clean(id, MAX_REQUEST_ID));
                Ok(Patched::HashRequired(Box::new(Prepared { request_id, ..prepared })))
            }
            200..=202 => {
                let root = self.json()?;
                Ok(Patched::Accepted(self.sound(Accepted::read(&root))?))
            }
            _ => Err(Refusal {
                request: &self.name,
                status: self.status,
                request_id: self.request_id.as_deref(),
                retry_after: self.retry_after,
                body: &self.bytes,
                secrets: &self.secrets,
            }
            .error()),
        }
    }

    /// The CVM's record in a success.
    pub(super) fn cvm(&self) -> Result<Cvm, CloudError> {
        let root = self.json()?;
        self.sound(Cvm::read(root))
    }

    fn json(&self) -> Result<Value, CloudError> {
        let root = strict_json(&self.bytes, self.bytes.len());
        match self.sound(root.map_err(|error| Malformed::Shape(chain(&error))))? {
            root @ Value::Object(_) => Ok(root),
            _ => self.sound(Err(Malformed::Shape("not a JSON object".to_owned()))),
        }
    }

    fn sound<T>(&self, read: Result<T, Malformed>) -> Result<T, CloudError> {
        read.map_err(|malformed| malformed.in_answer_to(&self.name, self.status))
    }
}
impl From<Reply> for RawAnswer {
    fn from(reply: Reply) -> Self {
        Self {
            status: reply.answer.status,
            bytes: reply.answer.body,
            date: reply.answer.date,
            request_id: reply.answer.request_id,
            retry_after: reply.answer.retry_after,
            name: reply.name,
            secrets: reply.secrets,
        }
    }
}
impl std::fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawAnswer")
            .field("status", &self.status)
            .field("bytes", &self.bytes.len())
            .field("date", &self.date)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// Reads a 465 in each of its shapes: values in `details`, flat, and either under `detail`.
    fn read(root: &Value, bytes: &[u8]) -> Result<Self, Malformed> {
        let said = unwrapped(root);
        let mut fields = fields(said);
        restore_digits(&mut fields, bytes);
        let fields = Value::Object(fields);
        let compose_hash = read::hash(&fields, &["/compose_hash"])?
            .ok_or_else(|| Malformed::Shape("no `compose_hash` in it, so there is nothing to approve".to_owned()))?;
        Ok(Self {
            compose_hash,
            app_id: read::address(&fields, &["/app_id"])?,
            device_id: read::word(&fields, &["/device_id"])?,
            kms: kms(&fields)?,
            commit_token: token(&fields)?,
            onchain_status: fields
                .get("onchain_status")
                .and_then(|status| OnchainStatus::deserialize(status).ok()),
            commit_hosts: hosts(&fields),
            request_id: read::text(said, &["/request_id"]),
        })
    }
}

/// The named values of a 465: `details[]` by `field`, the last of equals, before what stands beside it.
fn fields(said: &Value) -> Map<String, Value> {
    let mut fields = said.as_object().cloned().unwrap_or_default();
    match fields.remove("details") {
        Some(Value::Array(details)) => {
            for detail in details {
                if let Value::Object(mut detail) = detail
                    && let Some(Value::String(name)) = detail.remove("field")
                {
                    fields.insert(name, detail.remove("value").unwrap_or_default());
                }
            }
        }
        Some(Value::Object(details)) => fields.extend(details),
        _ => {}
    }
    fields
}

/// An app id whose 40 digits happen to be decimal may come as a number, of which a float keeps only the first
/// seventeen: the digits are taken from the text.
fn restore_digits(fields: &mut Map<String, Value>, bytes: &[u8]) {
    let Some(value @ Value::Number(_)) = fields.get_mut("app_id") else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    let digits = text
        .split(|character: char| !character.is_ascii_digit())
        .find(|run| run.len() == 40);
    if let Some(digits) = digits {
        *value = Value::from(digits);
    }
}

/// A short object, a text or nothing is no error: the token is worth more than these facts.
fn kms(fields: &Value) -> Result<Kms, Malformed> {
    match fields.get("kms_info") {
        Some(Value::String(text)) => match strict_json(text.as_bytes(), text.len()) {
            Ok(info) => Kms::read(&info),
            Err(_) => Ok(Kms::default()),
        },
        Some(info) => Kms::read(info),
        None => Ok(Kms::default()),
    }
}

/// The token's text is in no message.
fn token(fields: &Value) -> Result<Option<CommitToken>, Malformed> {
    let Some(value) = read::pick(fields, &["/commit_token"]) else {
        return Ok(None);
    };
    value
        .as_str()
        .and_then(|text| CommitToken::new(text).ok())
        .map(Some)
        .ok_or_else(|| Malformed::Shape("`commit_token` is not a UUID".to_owned()))
}

/// Hosts of the links, which carry the token: the rest of them is dropped.
fn hosts(fields: &Value) -> Vec<String> {
    ["commit_url", "api_commit_url"]
        .into_iter()
        .filter_map(|name| fields.get(name)?.as_str())
        .filter(|link| !link.is_empty())
        .map(|link| {
            let url = Url::parse(link).ok();
            let host = url.as_ref().and_then(Url::host_str);
            shorten(host.unwrap_or("(no host)"), 255)
        })
        .collect()
}

impl Accepted {
    /// An object that names no operation is somebody else's: a proxy's, a portal's.
    fn read(root: &Value) -> Result<Self, Malformed> {
        let correlation_id = read::text(root, &["/correlation_id"]);
        if correlation_id.is_none() {
            return Err(Malformed::Shape("no `correlation_id` in it".to_owned()));
        }
        Ok(Self {
            correlation_id,
            status: read::text(root, &["/status"]),
        })
    }
}

impl Registration {
    /// As the API takes it.
    pub(super) fn text(self) -> String {
        match self {
            Self::Transaction(hash) => hash.to_string(),
            Self::Already => ALREADY_REGISTERED.to_owned(),
        }
    }
}

/// Body of `commit-update` and `commit-replica`.
#[derive(Serialize)]
pub(super) struct CommitBody<'a> {
    token: &'a str,
    compose_hash: String,
    transaction_hash: String,
}

impl<'a> CommitBody<'a> {
    pub(super) fn new(commit: Commit<'a>) -> Self {
        Self {
            token: commit.token.expose(),
            compose_hash: commit.hash.bare(),
            transaction_hash: commit.by.text(),
        }
    }
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, updates::{Commit, CommitToken, Patched, Registration}, patch::Patch};
/// # async fn example(client: &Client, id: &CvmId, token: &CommitToken) -> Result<(), CloudError> {
/// let patch = Patch { vcpu: Some(4), ..Patch::default() };
/// client.patch(id, &patch).await?.read()?;
/// // With an approval between: keep the answer's bytes before they are read, they hold the token.
/// if let Patched::HashRequired(prepared) = client.prepare(id, &patch).await?.read()? {
///     let (hash, by) = (prepared.compose_hash, Registration::Already);
///     println!("{:?}", client.token_info(id, token).await?);
///     client.commit(id, Commit { token, hash, by }).await?;
///     // Or without a token:
///     client.confirm(id, hash, by).await?;
/// }
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `PATCH /api/v1/cvms/{cvm_id}`
    ///
    /// Applies the change at once on an off-chain KMS; on an on-chain KMS it answers with the hash to allow.
    ///
    /// # Errors
    /// No answer came. Any status, also a refusal, is an answer: see [`RawAnswer::read`] (400, 401, 403, 404, 409 busy, 422,
    /// 465 hash to allow).
    pub async fn patch(&self, id: &CvmId, patch: &Patch) -> Result<RawAnswer, CloudError> {
        let mut call = self.patch_call(id)?;
        call.json(patch)?;
        Ok(self.send(call, Key::Needed).await?.into())
    }
    /// `PATCH /api/v1/cvms/{cvm_id}` with `X-Prepare-Only`: makes a token and supersedes an earlier one.
    ///
    /// # Errors
    /// No answer came. Any status, also a refusal, is an answer: see [`RawAnswer::read`] (400, 401, 403, 404, 409 busy, 422,
    /// 465 hash to allow).
    pub async fn prepare(&self, id: &CvmId, patch: &Patch) -> Result<RawAnswer, CloudError> {
        let mut call = self.patch_call(id)?;
        call.request
            .headers
            .insert(PREPARE_ONLY, HeaderValue::from_static("true"));
        call.json(patch)?;
        Ok(self.send(call, Key::Needed).await?.into())
    }
    /// `PATCH /api/v1/cvms/{cvm_id}` with `X-Compose-Hash` and `X-Transaction-Hash`: the ending without a token.
    ///
    /// The hash goes out as prepare gave it, without `0x`, which is how the official SDK sends it.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409 busy, 422, 465 and 468 not allowed on chain, 466 hash, 467 transaction; after [`CloudError::Http`] with `Sent::Maybe` or [`CloudError::Unexpected`] it may have happened.
    pub async fn confirm(&self, id: &CvmId, hash: ComposeHash, by: Registration) -> Result<Accepted, CloudError> {
        let mut call = self.patch_call(id)?;
        call.head(COMPOSE_HASH, &hash.bare())?;
        call.head(TRANSACTION_HASH, &by.text())?;
        call.json(&Map::new())?;
        call.request.time = Some(self.http.limits().total * 2);
        let reply = self.send(call, Key::Needed).await?;
        reply.sound(Accepted::read(&reply.object()?))
    }
    /// `POST /api/v1/cvms/{cvm_id}/commit-update`: the ending with a token; needs no API key.
    ///
    /// The server reads the chain before it answers, so this one may take twice the usual time.
    ///
    /// # Errors
    /// See [`CloudError`]: 404, 409 busy, 422, 465 and 468 not allowed on chain, 466 token or hash, 467 transaction; after [`CloudError::Http`] with `Sent::Maybe` or [`CloudError::Unexpected`] it may have happened.
    pub async fn commit(&self, id: &CvmId, commit: Commit<'_>) -> Result<Accepted, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", id.as_str(), "commit-update"], Retry::Write)?;
        call.hide(commit.token);
        call.json(&CommitBody::new(commit))?;
        call.request.time = Some(self.http.limits().total * 2);
        let reply = self.send(call, Key::IfGiven).await?;
        reply.sound(Accepted::read(&reply.object()?))
    }
    /// `GET /api/v1/cvms/{cvm_id}/commit-update`: what the server says of a token; `None` when it will not say.
    ///
    /// # Errors
    /// No answer, or none for now; 422 and the like are no error: the server will not say.
    pub async fn token_info(&self, id: &CvmId, token: &CommitToken) -> Result<Option<Value>, CloudError> {
        let mut call = self.call(Method::GET, &["cvms", id.as_str(), "commit-update"], Retry::Read)?;
        call.hide(token);
        call.request.url = call.request.url.with_query("token", token.expose());
        let reply = self.send(call, Key::IfGiven).await?;
        match reply.object() {
            Ok(info) => Ok(Some(info)),
            Err(error @ CloudError::Unavailable(_)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn patch_call(&self, id: &CvmId) -> Result<Call, CloudError> {
        self.call(Method::PATCH, &["cvms", id.as_str()], Retry::Write)
    }
}

impl Call {
    /// No message repeats a token that this call carries.
    pub(super) fn hide(&mut self, token: &CommitToken) {
        self.secrets.add(token.expose());
        token.other_forms().iter().for_each(|form| self.secrets.add(form));
    }
    pub(super) fn head(&mut self, name: HeaderName, text: &str) -> Result<(), CloudError> {
        let value = HeaderValue::from_str(text).map_err(|_invalid| CloudError::Unexpected {
            request: self.name.clone(),
            status: 0,
            what: format!("`{name}` cannot be sent"),
        })?;
        self.request.headers.insert(name, value);
        Ok(())
    }
}
