//! From a request to its answer: the log, the key, the path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use alloy::primitives::{Address, B256};
use axum::extract::State as Extract;
use axum::response::Response;
use serde_json::{Value, json};

use super::model::{Cvm, Fate, Lies, State, bare};
use super::{
    Request, TOKEN_LIFE, approval, configure, fleet, inventory, life, newcomers, records, revisions, stream, updates,
    versions,
};

/// What a handler needs.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) base: String,
}

/// A status and a body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// The one entry.
pub(super) async fn answer(Extract(context): Extract<Context>, request: axum::extract::Request) -> Response {
    let (index, request) = log(&context, request).await;
    let (id, date, redirect) = {
        let mut state = context.lock();
        (
            format!("req_{:06}", state.next()),
            http_date(state.now()),
            state.lies.redirect.clone(),
        )
    };
    if let (None, Some(response)) = (&redirect, streamed(&context, &request)) {
        context.lock().requests[index].status = 200;
        return response;
    }
    let mut answer = match &redirect {
        Some(_) => Answer {
            status: 307,
            body: json!({}),
        },
        None => {
            let refused = versions::refused(&context.lock(), &request);
            match refused {
                Some(refused) => refused,
                None => route(&context, &request).await,
            }
        }
    };
    versions::shape(&mut answer.body, versions::asked(&request));
    answer.sign(&id, &context.lock().lies);
    context.lock().requests[index].status = answer.status;
    let body = if answer.body.is_null() {
        String::new()
    } else {
        answer.body.to_string()
    };
    let mut response = Response::builder()
        .status(answer.status)
        .header("date", date)
        .header("x-request-id", id)
        .header("content-type", "application/json");
    if let Some(version) = context.lock().lies.version.clone() {
        response = response.header("x-phala-version", version);
    }
    if let Some(place) = redirect {
        response = response.header("location", place);
    }
    response.body(body.into()).unwrap()
}

async fn log(context: &Context, request: axum::extract::Request) -> (usize, Request) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 4 << 20).await.unwrap_or_default();
    let named = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    };
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(named).collect::<BTreeMap<_, _>>(),
        body: body.to_vec(),
        status: 0,
    };
    let mut state = context.lock();
    state.requests.push(request.clone());
    (state.requests.len() - 1, request)
}

/// Events, when the request asks for them and may have them.
fn streamed(context: &Context, request: &Request) -> Option<Response> {
    let path = request.path.strip_prefix("/api/v1/cvms/")?;
    let id = path.strip_suffix("/state").filter(|_| request.method == "GET")?;
    if request.header("x-api-key") != Some(context.lock().api_key.as_str()) {
        return None;
    }
    stream::states(context, request, &decode(id))
}

async fn route(context: &Context, request: &Request) -> Answer {
    let Some(path) = request.path.strip_prefix("/api/v1/") else {
        return Answer::detail(404, "Not Found");
    };
    let decoded: Vec<String> = path.split('/').map(decode).collect();
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let verb = request.method.as_str();
    if let Some(answer) = inventory::open(request, &parts) {
        return answer;
    }
    // The token is the credential of these two; everything else needs the key.
    let open = matches!(parts.as_slice(), ["cvms", _, "commit-update" | "commit-replica"]);
    if !open && request.header("x-api-key") != Some(context.lock().api_key.as_str()) {
        return Answer::detail(401, "Invalid API key");
    }
    if let Some(answer) = versions::kms(context, request, &parts) {
        return answer;
    }
    if let ("GET", ["kms", id, "pubkey", app]) = (verb, parts.as_slice())
        && let Some(answer) = context.pubkey(id, app)
    {
        return answer;
    }
    let about_none = inventory::others(context, request, &parts).or_else(|| fleet::route(context, request, &parts));
    if let Some(answer) = about_none {
        return answer;
    }
    if let ["cvms", id, ..] = parts.as_slice() {
        let cvm = match context.find(id) {
            Ok(cvm) => cvm,
            Err(answer) => return answer,
        };
        let rest = parts.get(2..).unwrap_or_default();
        if let Some(answer) = life::route(context, &cvm, request, rest) {
            return answer;
        }
        if let Some(answer) = configure::route(context, &cvm, request, rest).await {
            return answer;
        }
        if let Some(answer) = inventory::route(context, &cvm, request, rest).await {
            return answer;
        }
        return match (verb, rest) {
            ("POST", ["replicas"]) => newcomers::replicate(context, &cvm, request).await,
            ("POST", ["commit-replica"]) => newcomers::commit_replica(context, &cvm, request).await,
            ("GET", []) => context.record(&cvm, request),
            ("PATCH", []) => updates::patch(context, &cvm, request).await,
            ("GET", ["compose_file"]) => Answer::ok(Value::Object(cvm.manifest)),
            ("GET", ["state"]) => Answer::ok(records::state(&cvm)),
            ("GET", ["commit-update"]) => context.token_info(&cvm, request),
            ("POST", ["commit-update"]) => updates::commit(context, &cvm, request).await,
            _ => Answer::detail(404, "Not Found"),
        };
    }
    if let ["apps", app, rest @ ..] = parts.as_slice() {
        return of_app(context, request, (app, rest)).await;
    }
    Answer::detail(404, "Not Found")
}

async fn of_app(context: &Context, request: &Request, (app, rest): (&str, &[&str])) -> Answer {
    let Some(cvm) = context.of_app(app) else {
        return Answer::detail(404, "App not found");
    };
    if let Some(answer) = revisions::route(context, cvm.app, request, rest) {
        return answer;
    }
    if let Some(answer) = inventory::of_app(context, &cvm, request, rest).await {
        return answer;
    }
    match (request.method.as_str(), rest) {
        ("GET", ["pending-updates"]) => context.pending(cvm.app).await,
        ("GET", ["pending-updates", uuid, hash, "preview"]) => context.preview(uuid, hash),
        ("GET", ["cvms"]) => newcomers::of_app(context, &cvm, request),
        ("POST", ["instances"]) => newcomers::instances(context, &cvm, request).await,
        ("GET", ["kms-info"]) => app_kms_info(&cvm, &context.lock().lies),
        ("GET", ["device-allowlist"]) => device_allowlist(&cvm).await,
        ("POST", ["is-allowed"]) => is_allowed(&cvm, request).await,
        _ => Answer::detail(404, "Not Found"),
    }
}

impl Context {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
    pub(super) fn find(&self, id: &str) -> Result<Cvm, Answer> {
        let state = self.lock();
        match state.find(id).as_slice() {
            [] => Err(Answer::detail(404, "CVM not found")),
            [cvm] => Ok((*cvm).clone()),
            _ => Err(Answer::error(409, "ERR-03-010", "The identifier matches several CVMs")),
        }
    }
    fn of_app(&self, id: &str) -> Option<Cvm> {
        let id = id
            .strip_prefix("app_")
            .unwrap_or(id)
            .trim_start_matches("0x")
            .to_lowercase();
        self.lock().cvms.iter().find(|cvm| bare(cvm.app) == id).cloned()
    }
    /// What a KMS with a contract says of an app's key, whether or not the app has a CVM yet.
    fn pubkey(&self, id: &str, app: &str) -> Option<Answer> {
        let guarded = || self.lock().cvms.iter().find(|cvm| cvm.kms.is_some()).cloned();
        let cvm = self.of_app(app).or_else(guarded)?;
        let app: Address = app.trim_start_matches("0x").parse().ok()?;
        let keys = &cvm.kms.as_ref()?.keys;
        let lies = self.lock().lies.clone();
        let info = records::kms_info(&cvm, &lies, false);
        if info["slug"] != id && info["id"] != id {
            return None;
        }
        let key = keys.public(app);
        let mut body = json!({"public_key": hex::encode(key), "signature": keys.sign(app, &key, None)});
        if let Some(edit) = &lies.edit_pubkey {
            edit(&mut body);
        }
        Some(Answer::ok(body))
    }
    fn record(&self, cvm: &Cvm, request: &Request) -> Answer {
        let version = versions::asked(request);
        Answer::ok(records::cvm(cvm, version, &self.lock().lies))
    }
    fn token_info(&self, cvm: &Cvm, request: &Request) -> Answer {
        let state = self.lock();
        let text = updates::query(request, "token").unwrap_or_default();
        let Some(token) = state
            .tokens
            .iter()
            .find(|token| token.text == text && token.uuid == cvm.uuid)
        else {
            return Answer::error(466, "ERR-01-006", "Commit token is invalid");
        };
        let status = match token.fate {
            Fate::Used => "used",
            Fate::Superseded => "superseded",
            Fate::Live if state.now() >= token.created + TOKEN_LIFE => "expired",
            Fate::Live => "pending",
        };
        let expires = jiff::Timestamp::from_second(token.created + TOKEN_LIFE).unwrap();
        Answer::ok(
            json!({"vm_uuid": cvm.dashed_uuid(), "app_id": bare(cvm.app), "name": cvm.name, "status": status,
            "compose_hash": hex::encode(token.hash), "expires_at": expires.to_string()}),
        )
    }
    async fn pending(&self, app: Address) -> Answer {
        if self.lock().lies.no_pending_list {
            return Answer::detail(404, "Not Found");
        }
        let waiting: Vec<(Cvm, B256)> = {
            let state = self.lock();
            let live = state.tokens.iter().filter(|token| state.is_live(token));
            live.map(|token| (state.find(&token.uuid)[0].clone(), token.hash))
                .filter(|(cvm, _)| cvm.app == app)
                .collect()
        };
        let mut items = Vec::new();
        // The chain says the same of one hash to all that wait for it.
        let mut known = BTreeMap::new();
        for (cvm, hash) in waiting {
            let Some(kms) = &cvm.kms else { continue };
            let on_chain = match known.get(&hash) {
                Some(allowed) => *allowed,
                None => approval::hash_allowed(kms, cvm.app, hash).await.unwrap_or(false),
            };
            known.insert(hash, on_chain);
            items.push(
                json!({"vm_uuid": cvm.dashed_uuid(), "compose_hash": hex::encode(hash), "on_chain": on_chain,
                "instance_name": cvm.name}),
            );
        }
        Answer::ok(json!({"items": items}))
    }
    fn preview(&self, uuid: &str, hash: &str) -> Answer {
        let state = self.lock();
        let same = |token: &&super::Token| {
            token.uuid == uuid.replace('-', "").to_lowercase()
                && hex::encode(token.hash) == hash.trim_start_matches("0x").to_lowercase()
                && state.is_live(token)
        };
        let Some(token) = state.tokens.iter().find(same) else {
            return Answer::detail(404, "Pending update not found");
        };
        if let Some(lie) = &state.lies.preview {
            return Answer::ok(lie.clone());
        }
        let now = &state.find(&token.uuid)[0].manifest;
        Answer::ok(json!({
            "current_docker_compose": now.get("docker_compose_file"),
            "pending_docker_compose": token.manifest.get("docker_compose_file"),
            "current_pre_launch_script": now.get("pre_launch_script"),
            "pending_pre_launch_script": token.manifest.get("pre_launch_script"),
        }))
    }
}

impl State {
    fn is_live(&self, token: &super::Token) -> bool {
        token.fate == Fate::Live && self.now() < token.created + TOKEN_LIFE
    }
}

impl Answer {
    pub(super) const fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }
    /// FastAPI's own shape.
    pub(super) fn detail(status: u16, text: &str) -> Self {
        Self {
            status,
            body: json!({"detail": text}),
        }
    }
    /// Phala's structured shape.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            body: json!({"error_code": code, "message": message, "details": null, "suggestions": null, "links": null}),
        }
    }
    /// Puts the request's name into a structured error, and the hostile text in place of an honest message.
    fn sign(&mut self, id: &str, lies: &Lies) {
        let Some(body) = self.body.as_object_mut().filter(|_| self.status >= 400) else {
            return;
        };
        let key = if body.contains_key("error_code") {
            "message"
        } else {
            "detail"
        };
        if let Some(text) = &lies.message {
            body.insert(key.to_owned(), json!(text));
        }
        if key == "message" {
            body.insert("request_id".to_owned(), json!(id));
        }
    }
}

fn app_kms_info(cvm: &Cvm, lies: &Lies) -> Answer {
    let Some(kms) = &cvm.kms else {
        return Answer::ok(json!({"is_onchain_kms": false, "is_contract": false}));
    };
    Answer::ok(
        json!({"is_onchain_kms": true, "chain_id": lies.chain_id.unwrap_or(kms.chain_id),
        "kms_contract_address": kms.contract.to_string(), "app_contract_address": cvm.app.to_string(),
        "deployer_address": null, "deployer_type": null, "is_contract": false, "safe_app_url": null}),
    )
}

async fn device_allowlist(cvm: &Cvm) -> Answer {
    let Some(kms) = &cvm.kms else {
        return Answer::ok(json!({"is_onchain_kms": false, "devices": []}));
    };
    let Ok((any, allowed)) = approval::device_allowed(kms, cvm.app, cvm.device).await else {
        return Answer::detail(503, "Chain is unreachable");
    };
    Answer::ok(
        json!({"is_onchain_kms": true, "allow_any_device": any, "chain_id": kms.chain_id,
        "app_contract_address": cvm.app.to_string(), "devices": [{"device_id": hex::encode(cvm.device),
            "node_name": "sim1", "cvm_ids": [cvm.number], "allowed_onchain": allowed, "status": "in_use"}]}),
    )
}

async fn is_allowed(cvm: &Cvm, request: &Request) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let Some(hash) = body["compose_hash"].as_str().and_then(updates::parse_hash) else {
        return updates::invalid("compose_hash", "Field required");
    };
    let Some(kms) = &cvm.kms else {
        return Answer::detail(400, "The app has no on-chain KMS");
    };
    let device = body["device_id"]
        .as_str()
        .and_then(updates::parse_hash)
        .unwrap_or(cvm.device);
    let (Ok(known), Ok((any, device_ok))) = (
        approval::hash_allowed(kms, cvm.app, hash).await,
        approval::device_allowed(kms, cvm.app, device).await,
    ) else {
        return Answer::detail(503, "Chain is unreachable");
    };
    Answer::ok(
        json!({"app_contract_address": cvm.app.to_string(), "compose_hash": hex::encode(hash),
        "device_id": hex::encode(device), "compose_hash_allowed": known, "allow_any_device": any,
        "device_id_allowed": device_ok, "is_allowed": known && device_ok, "error": null}),
    )
}

fn decode(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
}

fn http_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds)
        .unwrap()
        .to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
