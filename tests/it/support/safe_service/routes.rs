//! From a request to its answer: the log, the key, the slash, the path, the page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use alloy::primitives::{Address, B256, U256};
use axum::extract::State as Extract;
use axum::response::Response;
use serde_json::{Value, json};

use super::model::{Proposal, State};
use super::{SERVICE_KEY, chain, record, write};
use crate::support::Rpc;
use crate::support::cloud::Request;

/// Largest body that the web server before the service passes on, as nginx has it by default.
const MAX_BODY: usize = 1 << 20;

/// What a handler needs.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) rpc: Rpc,
    pub(super) host: String,
}

/// A status and a body; null is no body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    pub(super) const fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }
    pub(super) fn detail(status: u16, text: &str) -> Self {
        Self::new(status, json!({ "detail": text }))
    }
    /// What a handler says that cannot reach its node.
    pub(super) fn node(error: &str) -> Self {
        let said = json!({ "exception": "Problem connecting to Ethereum network", "trace": error });
        Self::new(503, said)
    }
}

type Query = BTreeMap<String, String>;

/// The one entry.
pub(super) async fn answer(Extract(context): Extract<Context>, request: axum::extract::Request) -> Response {
    let (index, request) = log(&context, request).await;
    let lies = context.lock().lies.clone();
    if let Some(time) = lies.slow {
        tokio::time::sleep(time).await;
    }
    let mut location = None;
    let mut answer = if lies.html {
        Answer::new(200, json!("<!doctype html><title>Sign in</title>"))
    } else if request.body.len() > MAX_BODY {
        Answer::new(413, json!("<html><h1>413 Request Entity Too Large</h1></html>"))
    } else if lies.outage && request.method == "GET" {
        Answer::node("ConnectionError")
    } else if lies.outage || lies.unsigned_broken && request.query.contains("trusted=false") {
        // What a service whose node is dead makes of a write.
        Answer::new(
            500,
            json!("<!doctype html>\n<html lang=\"en\"><h1>Server Error (500)</h1></html>"),
        )
    } else if lies.silent_after_write && request.method == "GET" && context.was_written() {
        Answer::detail(501, "Not now")
    } else if let Some(refusal) = context.refuses(&request) {
        refusal
    } else if request.path.ends_with('/') {
        route(&context, &request).await
    } else {
        // Django's APPEND_SLASH.
        let query = Some(&request.query).filter(|query| !query.is_empty());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        location = Some(format!("{}/{query}", request.path));
        Answer::new(301, Value::Null)
    };
    if lies.loses_answers && request.method != "GET" {
        answer = Answer::new(502, json!("<html>Bad Gateway</html>"));
    }
    context.lock().requests[index].status = answer.status;
    let body = match &answer.body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", "application/json")
        // What the gateway says of the month with every answer, here in its last half hour.
        .header("x-ratelimit-limit", "5000")
        .header("x-ratelimit-remaining", (5000 - index.min(5000)).to_string())
        .header("x-ratelimit-reset", "1800");
    if let Some(seconds) = lies.retry_after.filter(|_| answer.status == 429) {
        response = response.header("retry-after", seconds.to_string());
    }
    if let Some(location) = location {
        response = response.header("location", location);
    }
    response.body(body.into()).unwrap()
}

async fn log(context: &Context, request: axum::extract::Request) -> (usize, Request) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 4 << 20).await.unwrap_or_default();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: body.to_vec(),
        status: 0,
    };
    let mut state = context.lock();
    state.requests.push(request.clone());
    (state.requests.len() - 1, request)
}

async fn route(context: &Context, request: &Request) -> Answer {
    let Some((_, path)) = request.path.split_once("/api/") else {
        return Answer::new(404, json!("<h1>Not Found</h1>"));
    };
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let query = read_query(&request.query);
    let verb = request.method.as_str();
    if let ["v1" | "v2", "safes", address, ..] = parts.as_slice() {
        let Some(safe) = checksummed(address) else {
            return wrong_checksum(address);
        };
        if context.lock().banned.contains(&safe) {
            return Answer::detail(451, "Safe is unavailable for legal reasons");
        }
        return match (verb, parts[0], &parts[3..]) {
            ("GET", "v1", []) => context.safe(safe).await,
            ("GET", version, ["multisig-transactions"]) => context.transactions(safe, &query, version).await,
            ("POST", _, ["multisig-transactions"]) => write::propose(context, safe, request).await,
            _ => Answer::detail(404, "Not found."),
        };
    }
    match (verb, parts.as_slice()) {
        ("GET", [version @ ("v1" | "v2"), "multisig-transactions", hash]) => context.transaction(hash, version).await,
        ("GET", ["v1", "multisig-transactions", hash, "confirmations"]) => context.confirmations(hash, &query, request),
        ("POST", ["v1", "multisig-transactions", hash, "confirmations"]) => {
            write::confirm(context, hash, request).await
        }
        ("DELETE", ["v2", "multisig-transactions", hash]) => write::delete(context, hash, request).await,
        ("GET", ["v2", "delegates"]) => context.delegates(&query, request),
        ("POST", ["v2", "delegates"]) => write::add_delegate(context, request).await,
        ("DELETE", ["v2", "delegates", delegate]) => write::remove_delegate(context, delegate, request).await,
        _ => Answer::detail(404, "Not found."),
    }
}

impl Context {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
    /// Whether anything was written so far.
    fn was_written(&self) -> bool {
        self.lock().requests.iter().any(|request| request.method != "GET")
    }
    /// What the gateway before the service says.
    fn refuses(&self, request: &Request) -> Option<Answer> {
        let mut state = self.lock();
        if state.lies.too_many > 0 {
            state.lies.too_many -= 1;
            return Some(Answer::detail(429, "Too many requests"));
        }
        let expected = format!("Bearer {SERVICE_KEY}");
        match request.header("authorization") {
            None if !state.lies.key_needed => None,
            Some(given) if given == expected => None,
            _ => Some(Answer::detail(401, "Invalid API key")),
        }
    }
    async fn safe(&self, safe: Address) -> Answer {
        if !self.lock().safes.contains(&safe) {
            return Answer::new(404, Value::Null);
        }
        match chain::info(&self.rpc, safe).await {
            Ok(info) => Answer::new(200, record::safe(safe, &info)),
            Err(_) => {
                let said = json!({ "code": 50, "message": "Cannot get Safe info from blockchain",
                    "arguments": [safe.to_string()] });
                Answer::new(422, said)
            }
        }
    }
    async fn transaction(&self, hash: &str, version: &str) -> Answer {
        let found = hash.parse::<B256>().ok();
        let found = found.and_then(|hash| self.lock().proposal(hash).cloned());
        let lies = self.lock().lies.clone();
        match found {
            Some(proposal) => Answer::new(200, record::transaction(&self.rpc, &proposal, version, &lies).await),
            None => Answer::detail(404, "No MultisigTransaction matches the given query."),
        }
    }
    async fn transactions(&self, safe: Address, query: &Query, version: &str) -> Answer {
        let lies = self.lock().lies.clone();
        let all: Vec<Proposal> = self
            .lock()
            .proposals
            .iter()
            .filter(|one| one.safe == safe)
            .cloned()
            .collect();
        let trusted = query.get("trusted").is_none_or(|text| text == "true");
        let all: Vec<Proposal> = all.into_iter().filter(|one| one.trusted || !trusted).collect();
        let nonces: BTreeSet<U256> = all.iter().map(|one| one.fields.nonce).collect();
        let mut found = Vec::new();
        for proposal in all {
            match self.passes(&proposal, query).await {
                Ok(true) => found.push(proposal),
                Ok(false) => {}
                Err(field) => return Answer::new(400, json!({ field: ["Enter a number."] })),
            }
        }
        found.sort_by_key(|one| std::cmp::Reverse((one.fields.nonce, one.created)));
        match query.get("ordering").map(String::as_str) {
            Some("nonce") => found.sort_by_key(|one| one.fields.nonce),
            Some("created" | "modified") => found.sort_by_key(|one| one.created),
            Some("-created" | "-modified") => found.sort_by_key(|one| std::cmp::Reverse(one.created)),
            _ => {}
        }
        let path = format!("/tx-service/sim/api/{version}/safes/{safe}/multisig-transactions/");
        let (some, mut page) = self.page(&found, query, &path);
        let mut results = Vec::new();
        for proposal in some {
            results.push(record::transaction(&self.rpc, proposal, version, &lies).await);
        }
        page["results"] = results.into();
        page["countUniqueNonce"] = nonces.len().into();
        Answer::new(200, page)
    }
    /// The filters of the list.
    async fn passes(&self, proposal: &Proposal, query: &Query) -> Result<bool, String> {
        let nonce = proposal.fields.nonce;
        for (name, value) in query {
            let number = || value.parse::<U256>().ok().ok_or_else(|| name.clone());
            let is = value == "true";
            let passes = match name.as_str() {
                "nonce" => nonce == number()?,
                "nonce__gte" => nonce >= number()?,
                "nonce__gt" => nonce > number()?,
                "nonce__lte" => nonce <= number()?,
                "nonce__lt" => nonce < number()?,
                "safe_tx_hash" => proposal.hash.to_string() == *value,
                "has_confirmations" => proposal.confirmations.is_empty() != is,
                "executed" => {
                    let executed = chain::execution(&self.rpc, proposal.safe, proposal.hash)
                        .await
                        .is_some();
                    executed == is
                }
                _ => true,
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }
    fn confirmations(&self, hash: &str, query: &Query, request: &Request) -> Answer {
        let found = hash.parse::<B256>().ok();
        let found = found.and_then(|hash| self.lock().proposal(hash).cloned());
        let list: Vec<Value> = found
            .iter()
            .flat_map(|one| one.confirmations.iter().map(|it| record::confirmation(it, one.created)))
            .collect();
        let (some, mut page) = self.page(&list, query, &request.path);
        page["results"] = some.into();
        Answer::new(200, page)
    }
    fn delegates(&self, query: &Query, request: &Request) -> Answer {
        let named = |name: &str| query.get(name).filter(|value| !value.is_empty());
        if ["safe", "delegate", "delegator", "label"]
            .iter()
            .all(|name| named(name).is_none())
        {
            return Answer::new(400, json!(["At least one query param must be provided"]));
        }
        let all = self.lock().delegates.clone();
        let is = |name: &str, value: Option<Address>| {
            named(name).is_none_or(|wanted| value.is_some_and(|value| value.to_string() == *wanted))
        };
        let list: Vec<Value> = all
            .iter()
            .filter(|one| is("safe", one.safe) && is("delegate", Some(one.delegate)))
            .filter(|one| is("delegator", Some(one.delegator)))
            .filter(|one| named("label").is_none_or(|label| *label == one.label))
            .map(record::delegate)
            .collect();
        let (some, mut page) = self.page(&list, query, &request.path);
        page["results"] = [some, &self.lock().lies.delegates].concat().into();
        Answer::new(200, page)
    }
    /// One page of a list, without its results.
    fn page<'a, T>(&self, all: &'a [T], query: &Query, path: &str) -> (&'a [T], Value) {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(100).min(200);
        let limit = self.lock().lies.page.unwrap_or(limit);
        let offset = number("offset").unwrap_or_default();
        let link = |offset: usize| {
            let mut query = query.clone();
            query.insert("limit".to_owned(), limit.to_string());
            query.insert("offset".to_owned(), offset.to_string());
            let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{}{path}?{}", self.host, pairs.join("&"))
        };
        let next = (offset + limit < all.len()).then(|| link(offset + limit));
        let previous = (offset > 0).then(|| link(offset.saturating_sub(limit)));
        let some = all.get(offset..).unwrap_or_default();
        let page = json!({ "count": all.len(), "next": next, "previous": previous });
        (&some[..some.len().min(limit)], page)
    }
}

/// An address whose capitals are its checksum.
pub(super) fn checksummed(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    (address.to_string() == text).then_some(address)
}

pub(super) fn wrong_checksum(text: &str) -> Answer {
    let said = json!({ "code": 1, "message": "Checksum address validation failed", "arguments": [text] });
    Answer::new(422, said)
}

fn read_query(query: &str) -> Query {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}
