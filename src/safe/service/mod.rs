//! The Safe Transaction Service: where owners of a Safe find each other's proposals and signatures.
//!
//! It is a notice board, not a witness. Hashes are computed again, signers recovered, and whether something was
//! executed is asked of the chain. Everything works without it, by files. (Endpoints and shapes:
//! `safe-global/safe-transaction-service` 6.10, `history/urls_v2.py`, `serializers.py`.)

mod agreement;
mod delegates;
mod error;
pub mod links;
mod list;
mod notice;
mod publish;
mod queue;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::{Address, B256, U256};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::http::{Answer, Endpoint, Http, Request, Retry, Secrets};
use crate::json;
use crate::text::shorten;

pub use agreement::prove;
pub use delegates::{Delegation, Label};
pub use error::{ServiceError, ServiceProblem};
pub use notice::{Act, Notice};
pub use publish::{Origin, Published, Signed};
pub use queue::{Gap, NextNonce, at_nonce, next_nonce};
pub use record::{Confirmation, Delegate, NotATransaction, NotAccepted, NotTheirs, ServiceSafe, ServiceTx};

pub(super) use record::{fields, without_filling};

use error::Refusal;
use list::{BODY, Endless, Half, Listed, Pages, SMALLER};
use record::Malformed;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Longest API key that is taken; the keys are JSON Web Tokens.
const MAX_KEY: usize = 4096;
/// Longest excerpt of an answer in a message, characters.
const EXCERPT: usize = 200;

/// An API key of the service; never printed.
#[derive(Clone)]
pub struct ServiceKey(Zeroizing<String>);

/// Which services may be asked: one that somebody named, and Safe's own ones.
#[derive(Debug, Clone, Default)]
pub struct Services {
    named: Option<Url>,
    key: Option<ServiceKey>,
}

/// The client of one chain's service; cheap to clone.
#[derive(Clone)]
pub struct Service {
    http: Http,
    base: Url,
    key: Option<ServiceKey>,
    spent: Arc<Spent>,
}

/// What was asked so far: a key is good for so many requests in a month.
#[derive(Debug, Default)]
struct Spent {
    requests: AtomicU64,
    /// As the last answer that named it said.
    left: Mutex<Option<u64>>,
    /// Whether something was written, or is about to be by somebody's word: then answers are waited for after the time is up.
    committed: AtomicBool,
}

/// What a service shows at one nonce.
#[derive(Debug, Default)]
pub struct AtNonce {
    /// Proposals of which the service says that somebody who may propose signed them.
    pub trusted: Vec<ServiceTx>,
    /// What anybody can have written.
    pub unsigned: Unsigned,
}

/// Proposals that nobody has signed, as far as they were read: what anybody can write hides nothing of what owners signed.
#[derive(Debug, Default)]
pub struct Unsigned {
    /// What was read.
    pub read: Vec<ServiceTx>,
    /// How many more there are, as the service counts them.
    pub more: u64,
    /// Why they were not read to the end.
    pub failure: Option<ServiceError>,
}

/// Whose delegates to list; at least one has to be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DelegateFilter {
    /// For this Safe.
    pub safe: Option<Address>,
    /// This delegate.
    pub delegate: Option<Address>,
    /// Of this owner.
    pub delegator: Option<Address>,
}

/// Who may propose, as a service tells it.
#[derive(Debug, Default)]
pub struct DelegateList {
    /// What was asked for.
    pub found: Vec<Delegate>,
    /// What is another Safe's, another owner's or about another delegate, and was not asked for.
    pub unasked: Vec<Delegate>,
}

/// One answer, with what is needed to talk about it.
struct Reply {
    name: String,
    answer: Answer,
    secrets: Secrets,
}

impl Service {
    /// A client; does no I/O. `base` is the URL of one chain's service, with or without `/api` and a slash at its
    /// end. Without a key Safe's own service answers a few requests in a second.
    ///
    /// # Errors
    /// The URL can have no path.
    pub fn new(http: &Http, base: Url, key: Option<ServiceKey>) -> Result<Self, ServiceError> {
        if base.cannot_be_a_base() || base.host().is_none() {
            return Err(ServiceError::BadUrl);
        }
        let mut base = base;
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/').to_owned();
        let path = path.strip_suffix("/api").unwrap_or(&path).to_owned();
        base.set_path(&path);
        Ok(Self {
            http: http.clone(),
            base,
            key,
            spent: Arc::default(),
        })
    }
    /// Name of a chain in the URLs of Safe's own services.
    pub fn slug(chain_id: u64) -> Option<&'static str> {
        links::slug(chain_id)
    }
    /// URL of Safe's own service for a chain; none for a chain that it does not serve.
    pub fn default_base(chain_id: u64) -> Option<Url> {
        links::default_base(chain_id)
    }
    /// Scheme and host, for records and messages.
    pub fn host(&self) -> String {
        Endpoint::new(self.base.clone()).to_string()
    }
    /// Whether requests carry a key. Without one Safe's own service is slow and stops early.
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// How many requests this client and its clones made, repetitions left out.
    pub fn requests(&self) -> u64 {
        self.spent.requests.load(Ordering::Relaxed)
    }
    /// How many requests are left of the quota, as the service said last.
    pub fn quota_left(&self) -> Option<u64> {
        *self.spent.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET /api/v1/safes/{safe}/`: the Safe as the service knows it; nothing if it does not.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn safe(&self, safe: Address) -> Result<Option<ServiceSafe>, ServiceError> {
        let reply = self.get(&["v1", "safes", &safe.to_string()], &[]).await?;
        if reply.is_absent() {
            return Ok(None);
        }
        let value = reply.value()?;
        let read = reply.sound(ServiceSafe::parse(&value))?;
        if read.address != safe {
            return Err(reply.unexpected("it is about another Safe"));
        }
        Ok(Some(read))
    }
    /// `GET /api/v2/multisig-transactions/{safe_tx_hash}/`: one transaction; nothing if the service does not know it.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::Tampered`] if the record names another hash.
    pub async fn transaction(&self, hash: B256) -> Result<Option<ServiceTx>, ServiceError> {
        let reply = self
            .get(&["v2", "multisig-transactions", &hash.to_string()], &[])
            .await?;
        if reply.is_absent() {
            return Ok(None);
        }
        let value = reply.value()?;
        let read = reply.sound(ServiceTx::parse(&value))?;
        if read.claimed_hash != hash {
            return Err(ServiceError::Tampered { hash, why: None });
        }
        Ok(Some(read))
    }
    /// `GET /api/v2/safes/{safe}/multisig-transactions/`: all proposals with `nonce`, executed or not, also those
    /// that nobody has signed.
    ///
    /// # Errors
    /// See [`ServiceError`]; what nobody has signed, which anybody can add to, makes none.
    pub async fn by_nonce(&self, safe: Address, nonce: U256) -> Result<AtNonce, ServiceError> {
        let digits = nonce.to_string();
        let trusted = self.transactions(safe, &[("nonce", &digits)], Half::Trusted).await;
        let trusted = trusted.finished()?;
        let unsigned = self.unsigned(safe, nonce, &trusted).await;
        Ok(AtNonce { trusted, unsigned })
    }
    /// `GET /api/v2/safes/{safe}/multisig-transactions/`: proposals with `nonce` that are not among `known`, the signed
    /// ones. Only some are read, in small pages, and none where that cannot be done.
    pub async fn unsigned(&self, safe: Address, nonce: U256, known: &[ServiceTx]) -> Unsigned {
        let digits = nonce.to_string();
        let listed = self.transactions(safe, &[("nonce", &digits)], Half::Unsigned).await;
        let known = known.iter().filter(|tx| tx.fields.nonce == nonce);
        let known: BTreeSet<B256> = known.map(|tx| tx.claimed_hash).collect();
        let mut read = listed.entries;
        read.retain(|tx| !known.contains(&tx.claimed_hash));
        let seen = u64::try_from(known.len() + read.len()).unwrap_or(u64::MAX);
        Unsigned {
            read,
            more: listed.count.unwrap_or_default().saturating_sub(seen),
            failure: listed.ended.err(),
        }
    }
    /// `GET /api/v2/safes/{safe}/multisig-transactions/`: signed proposals from `from_nonce` on that the service does
    /// not say were executed, by nonce.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn queue(&self, safe: Address, from_nonce: U256) -> Result<Vec<ServiceTx>, ServiceError> {
        let nonce = from_nonce.to_string();
        let query = [
            ("executed", "false"),
            ("nonce__gte", nonce.as_str()),
            ("ordering", "nonce"),
        ];
        let mut found = self.transactions(safe, &query, Half::Trusted).await.finished()?;
        // Which ones come first is the service's word as well.
        found.sort_by_key(|tx| tx.fields.nonce);
        Ok(found)
    }
    /// `GET /api/v2/delegates/`: who may propose in whose name. What the service lists besides is told apart.
    ///
    /// # Errors
    /// See [`ServiceError`]; the service refuses an empty filter.
    pub async fn delegates(&self, filter: &DelegateFilter) -> Result<DelegateList, ServiceError> {
        let named = [
            ("safe", filter.safe),
            ("delegate", filter.delegate),
            ("delegator", filter.delegator),
        ];
        let query: Vec<(&str, String)> = named
            .into_iter()
            .filter_map(|(name, address)| Some((name, address?.to_string())))
            .collect();
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let pages = Pages {
            path: &["v2", "delegates"],
            query: &query,
            half: Half::Trusted,
        };
        let listed = self.list(&pages, Delegate::parse).await.finished()?;
        let (found, unasked) = listed.into_iter().partition(|one| filter.covers(one));
        Ok(DelegateList { found, unasked })
    }

    async fn transactions(&self, safe: Address, query: &[(&str, &str)], half: Half) -> Listed<ServiceTx> {
        let address = safe.to_string();
        let mut query = query.to_vec();
        // Without it the service keeps silent about the rest; said aloud, the request does not depend on that.
        query.push(("trusted", if half == Half::Trusted { "true" } else { "false" }));
        let pages = Pages {
            path: &["v2", "safes", &address, "multisig-transactions"],
            query: &query,
            half,
        };
        let mut listed = self.list(&pages, ServiceTx::parse).await;
        if let Some(foreign) = listed.entries.iter().find(|tx| tx.safe != safe) {
            listed.ended = Err(ServiceError::Unexpected {
                request: format!("GET the transactions of {safe}"),
                status: 200,
                what: format!("it lists one of {}", foreign.safe),
            });
        }
        listed.entries.retain(|tx| tx.safe == safe);
        listed.entries = record::joined(listed.entries);
        listed
            .entries
            .iter_mut()
            .for_each(|tx| tx.trusted = half == Half::Trusted);
        listed
    }

    /// Reading ends with the time of whoever asks. From here on the few seconds that [`Http::until`] leaves are for reading
    /// too: a person who was asked may have used the time, and what is written has an outcome.
    fn commit(&self) {
        self.spent.committed.store(true, Ordering::Relaxed);
    }

    /// The pages of a list, as far as they can be read. The links to further pages that the service sends are not
    /// followed: they name hosts.
    async fn list<T>(&self, pages: &Pages<'_>, read: fn(&Value) -> Result<T, Malformed>) -> Listed<T> {
        let mut listed = Listed::new(pages.half);
        loop {
            match self.page(pages, read, &mut listed).await {
                Ok(true) => {}
                Ok(false) => return listed,
                Err(error) if error.is_too_large() && listed.page > 1 && pages.half == Half::Trusted => {
                    // Fewer of them may fit. What anybody can write is not worth another request.
                    listed.page = (listed.page / SMALLER).max(1);
                }
                Err(error) => {
                    listed.ended = Err(error);
                    return listed;
                }
            }
        }
    }

    /// Reads one more page; whether there is another one.
    async fn page<T>(
        &self,
        pages: &Pages<'_>,
        read: fn(&Value) -> Result<T, Malformed>,
        listed: &mut Listed<T>,
    ) -> Result<bool, ServiceError> {
        let (limit, offset) = (listed.page.to_string(), listed.entries.len().to_string());
        let mut query = pages.query.to_vec();
        query.extend([("limit", limit.as_str()), ("offset", offset.as_str())]);
        let mut request = self.reading(pages.path, &query)?;
        request.body_limit = Some(pages.half.body());
        if pages.half == Half::Unsigned {
            // Nothing is worth waiting for but that the service is asked too often.
            request.retry = Retry::Write;
        }
        let reply = self.send(request).await?;
        let value = reply.value()?;
        let results = value.get("results").and_then(Value::as_array);
        let results = results.ok_or_else(|| reply.unexpected("there is no list `results`"))?;
        listed.count = value.get("count").and_then(Value::as_u64);
        let read = results.iter().map(read).collect::<Result<Vec<T>, _>>();
        listed.entries.extend(reply.sound(read)?);
        let more = value.get("next").is_some_and(|next| !next.is_null());
        if !more || results.is_empty() {
            return Ok(false);
        }
        listed
            .counts(pages.half, results, reply.answer.body.len())
            .map_err(|endless| match endless {
                Endless::NothingNew => reply.unexpected("a further page holds nothing that the pages before it do not"),
                Endless::Bound(limit, of) => ServiceError::TooMany {
                    request: reply.name.clone(),
                    limit,
                    of,
                },
            })
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Reply, ServiceError> {
        self.send(self.reading(path, query)?).await
    }

    fn reading(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Request, ServiceError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Request::new(Method::GET, url, Retry::Read))
    }

    async fn post(&self, path: &[&str], body: &Value) -> Result<Reply, ServiceError> {
        let mut request = Request::new(Method::POST, self.url(path)?, Retry::Write);
        request.body = Some(body.to_string().into_bytes());
        self.send(request).await
    }

    async fn send(&self, mut request: Request) -> Result<Reply, ServiceError> {
        let name = format!("{} {}", request.verb, request.url.url().path());
        let mut secrets = Secrets::default();
        // The official client sends both on every request, also on those without a body.
        request.headers.insert(ACCEPT, JSON);
        request.headers.insert(CONTENT_TYPE, JSON);
        if let Some(key) = &self.key {
            request.headers.insert(AUTHORIZATION, key.header());
            secrets.add(&key.0);
        }
        request.body_limit = request.body_limit.or(Some(BODY));
        match request.verb == Method::GET {
            true => request.ends_in_time = !self.spent.committed.load(Ordering::Relaxed),
            false => self.commit(),
        }
        self.spent.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.http.send(request).await?;
        if answer.quota_left.is_some() {
            *self.spent.left.lock().unwrap_or_else(PoisonError::into_inner) = answer.quota_left;
        }
        Ok(Reply { name, answer, secrets })
    }

    /// The URL of these segments, with the slash at its end without which the service answers with a redirect.
    fn url(&self, path: &[&str]) -> Result<Url, ServiceError> {
        let mut url = self.base.clone();
        {
            let mut segments = url.path_segments_mut().map_err(|()| ServiceError::BadUrl)?;
            segments.pop_if_empty().push("api").extend(path).push("");
        }
        Ok(url)
    }
}

impl Services {
    /// The service that was named, if one was, and the key to ask with.
    pub const fn new(named: Option<Url>, key: Option<ServiceKey>) -> Self {
        Self { named, key }
    }
    /// The service of a chain for somebody who asks for it: the one that was named, otherwise Safe's own; none where
    /// Safe runs none. Does no I/O.
    ///
    /// # Errors
    /// See [`Service::new`].
    pub fn of(&self, http: &Http, chain_id: u64) -> Result<Option<Service>, ServiceError> {
        let base = self.named.clone().or_else(|| Service::default_base(chain_id));
        base.map(|base| Service::new(http, base, self.key.clone())).transpose()
    }
    /// The service of a chain for somebody who can do without one: none unless a service or a key was given, so that
    /// Safe's own service is not told of the Safe unasked. Does no I/O.
    ///
    /// # Errors
    /// See [`Service::new`].
    pub fn configured(&self, http: &Http, chain_id: u64) -> Result<Option<Service>, ServiceError> {
        match (&self.named, &self.key) {
            (None, None) => Ok(None),
            _ => self.of(http, chain_id),
        }
    }
}

impl DelegateFilter {
    /// Whether it is what was asked for; what is for all Safes of an owner is for each of them.
    fn covers(&self, one: &Delegate) -> bool {
        let is = |asked: Option<Address>, found: Address| asked.is_none_or(|asked| asked == found);
        one.safe.is_none_or(|safe| is(self.safe, safe))
            && is(self.delegate, one.delegate)
            && is(self.delegator, one.delegator)
    }
}

impl AtNonce {
    /// Everything that was read, the signed ones first.
    pub fn all(self) -> Vec<ServiceTx> {
        let mut all = self.trusted;
        all.extend(self.unsigned.read);
        all
    }
}

impl Reply {
    /// Whether the service itself, and not something before it, says that it does not know what was asked for: it
    /// says so without words or in JSON.
    fn is_absent(&self) -> bool {
        self.answer.status == 404 && (self.answer.body.is_empty() || self.json().is_ok_and(|said| said.is_object()))
    }
    /// The document of a success, or the error of anything else.
    fn value(&self) -> Result<Value, ServiceError> {
        if self.answer.status != 200 {
            return Err(self.refusal());
        }
        match self.json() {
            Ok(value) if value.is_object() => Ok(value),
            Ok(_) => Err(self.unexpected("not a JSON object")),
            Err(what) => {
                let excerpt = self.secrets.clean_bytes(&self.answer.body, EXCERPT);
                Err(self.unexpected(&format!("{what}; it begins `{excerpt}`")))
            }
        }
    }
    /// A write that was done.
    fn created(&self) -> Result<(), ServiceError> {
        match self.answer.status {
            200..=202 => Ok(()),
            _ => Err(self.refusal()),
        }
    }
    fn json(&self) -> Result<Value, String> {
        let text = std::str::from_utf8(&self.answer.body).map_err(|error| error.to_string())?;
        json::parse(text).map_err(|error| shorten(&error.to_string(), EXCERPT))
    }
    fn refusal(&self) -> ServiceError {
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
    fn unexpected(&self, what: &str) -> ServiceError {
        ServiceError::Unexpected {
            request: self.name.clone(),
            status: self.answer.status,
            what: what.to_owned(),
        }
    }
    fn sound<T>(&self, read: Result<T, Malformed>) -> Result<T, ServiceError> {
        read.map_err(|Malformed(what)| self.unexpected(&what))
    }
}

impl ServiceKey {
    /// Wraps a key.
    ///
    /// # Errors
    /// Empty, or characters that no header can carry.
    pub fn new(text: Zeroizing<String>) -> Result<Self, ServiceError> {
        let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_KEY || !fits {
            return Err(ServiceError::BadKey);
        }
        Ok(Self(text))
    }
    fn header(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        // `new` let nothing else in than a header can carry.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}
impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(…)")
    }
}
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("base", &Endpoint::new(self.base.clone()))
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
