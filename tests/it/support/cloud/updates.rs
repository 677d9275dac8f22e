//! PATCH in its three uses, commit by token, and the boot that follows.

use std::time::{Duration, Instant};

use alloy::primitives::B256;
use serde_json::{Map, Value, json};

use super::approval::{self, Denial};
use super::model::{BootFailure, Change, Cvm, Fate, Lies, Makes, Manifest, State, Token, bare, compose_hash};
use super::routes::{Answer, Context};
use super::{Request, TOKEN_LIFE, records};

/// Manifest fields that a PATCH may change.
const COMPOSE_FIELDS: [&str; 6] = [
    "docker_compose_file",
    "pre_launch_script",
    "allowed_envs",
    "public_logs",
    "public_sysinfo",
    "public_tcbinfo",
];

pub(super) async fn patch(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) else {
        return invalid("body", "Input should be a valid dictionary");
    };
    if let Some(answer) = mistyped(&body) {
        return answer;
    }
    match (request.header("x-compose-hash"), request.header("x-transaction-hash")) {
        (Some(hash), Some(transaction)) => return confirm(context, cvm, hash, transaction).await,
        (None, None) => {}
        _ => return Answer::detail(400, "X-Compose-Hash and X-Transaction-Hash go together"),
    }
    if cvm.progress.is_some() {
        return Answer::detail(409, "Another operation is in progress");
    }
    let manifest = changed(context, cvm, &body);
    let hash = compose_hash(&manifest);
    let prepare_only = request.header("x-prepare-only") == Some("true");
    let touches = body.keys().any(|key| COMPOSE_FIELDS.contains(&key.as_str()));
    let env = body.get("encrypted_env").and_then(Value::as_str).map(ToOwned::to_owned);
    if env.as_deref().is_some_and(|blob| hex::decode(blob).is_err()) {
        return invalid("encrypted_env", "Input should be hex digits");
    }
    let change = (manifest, env);
    // Without a contract there is nobody to ask, and the header is ignored; so are changes that nothing measures.
    if cvm.kms.is_none() || (!touches && !prepare_only) {
        context.lock().cvm_mut(&cvm.uuid).more.take(&body);
        return accepted(cvm, &begin(context, cvm, hash, change));
    }
    hash_required(context, cvm, (hash, change), prepare_only).await
}

pub(super) async fn commit(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    match spend(context, cvm, request, |makes| makes == Makes::Update).await {
        Ok(token) => accepted(cvm, &begin(context, cvm, token.hash, (token.manifest, token.env))),
        Err(answer) => answer,
    }
}

/// Checks what a commit brings, and takes the token out of use.
pub(super) async fn spend(
    context: &Context,
    cvm: &Cvm,
    request: &Request,
    kind: fn(Makes) -> bool,
) -> Result<Token, Answer> {
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body @ Value::Object(_)) => body,
        _ if request.body.is_empty() => json!({}),
        _ => return Err(invalid("body", "Input should be a valid dictionary")),
    };
    let given = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let text = Some(given("token"))
        .filter(|text| !text.is_empty())
        .or_else(|| query(request, "token"));
    let Some(text) = text else {
        return Err(invalid("token", "Field required"));
    };
    let (hash, transaction) = (given("compose_hash"), given("transaction_hash"));
    let token = usable(context, cvm, (&text, kind), &hash)?;
    if let Some(kms) = &cvm.kms
        && let Err(denial) = approval::check(kms, cvm.app, token.hash, &transaction).await
    {
        return Err(denied(denial));
    }
    // Asked again after the chain was read: of two commits at once only one may win.
    let token = usable(context, cvm, (&text, kind), "")?;
    let mut state = context.lock();
    if state.find_mut(&cvm.uuid).is_some_and(|cvm| cvm.progress.is_some()) {
        return Err(Answer::detail(409, "Another operation is in progress"));
    }
    let live = |one: &&mut Token| one.text == token.text && one.fate == Fate::Live;
    match state.tokens.iter_mut().find(live) {
        Some(live) => live.fate = Fate::Used,
        None => return Err(Answer::error(466, "ERR-01-006", "Commit token has already been used")),
    }
    Ok(token)
}

/// How a change of the manifest went on.
pub(super) enum Phase {
    /// It is under way, by this name.
    Done(String),
    /// The first phase ends here, or the second is refused.
    Answer(Answer),
}

/// A change in one phase, or, on an on-chain KMS, in two: `proof` is hash and transaction of the second.
pub(super) async fn two_phases(
    context: &Context,
    cvm: &Cvm,
    manifest: Manifest,
    proof: Option<(String, String)>,
) -> Phase {
    let hash = compose_hash(&manifest);
    if let Some((named, transaction)) = proof {
        if parse_hash(&named) != Some(hash) {
            return Phase::Answer(unknown_hash());
        }
        if let Some(kms) = &cvm.kms
            && let Err(denial) = approval::check(kms, cvm.app, hash, &transaction).await
        {
            return Phase::Answer(denied(denial));
        }
        return Phase::Done(begin(context, cvm, hash, (manifest, None)));
    }
    if cvm.kms.is_none() || hash == cvm.compose_hash {
        return Phase::Done(begin(context, cvm, hash, (manifest, None)));
    }
    Phase::Answer(hash_required(context, cvm, (hash, (manifest, None)), false).await)
}

/// The value of a query parameter.
pub(super) fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(request.query.as_bytes());
    pairs
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// 32 bytes of hex with or without `0x`.
pub(super) fn parse_hash(text: &str) -> Option<B256> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    (digits.len() == 64).then(|| digits.parse().ok()).flatten()
}

/// FastAPI's list of what is wrong.
pub(super) fn invalid(field: &str, message: &str) -> Answer {
    Answer {
        status: 422,
        body: json!({"detail": [{"loc": ["body", field], "msg": message, "type": "value_error", "input": null}]}),
    }
}

fn mistyped(body: &Map<String, Value>) -> Option<Answer> {
    let strings = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    for (field, value) in body.iter().filter(|(_, value)| !value.is_null()) {
        let fits = match field.as_str() {
            "docker_compose_file" | "pre_launch_script" | "encrypted_env" => value.is_string(),
            "allowed_envs" => strings(value),
            "public_logs" | "public_sysinfo" | "public_tcbinfo" => value.is_boolean(),
            _ => true,
        };
        if !fits {
            return Some(invalid(field, "Input has the wrong type"));
        }
    }
    let empty = body
        .get("docker_compose_file")
        .and_then(Value::as_str)
        .is_some_and(|text| text.trim().is_empty());
    empty.then(|| Answer::error(422, "ERR-01-003", "Invalid docker compose file"))
}

fn changed(context: &Context, cvm: &Cvm, body: &Map<String, Value>) -> Manifest {
    let mut manifest = cvm.manifest.clone();
    for field in COMPOSE_FIELDS {
        if let Some(value) = body.get(field).filter(|value| !value.is_null()) {
            manifest.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(script) = &context.lock().lies.injected_script
        && !body.contains_key("pre_launch_script")
    {
        manifest.insert("pre_launch_script".to_owned(), json!(script));
    }
    manifest
}

pub(super) async fn hash_required(context: &Context, cvm: &Cvm, what: (B256, Change), prepare_only: bool) -> Answer {
    allow_first(context, cvm, what, (prepare_only, Makes::Update)).await
}

/// The same for what a token may make; one for a new CVM comes with or without the header.
pub(super) async fn allow_first(
    context: &Context,
    cvm: &Cvm,
    (hash, change): (B256, Change),
    (prepare_only, makes): (bool, Makes),
) -> Answer {
    let Some(kms) = &cvm.kms else {
        return Answer::detail(400, "The app has no on-chain KMS");
    };
    let known = approval::hash_allowed(kms, cvm.app, hash).await;
    let device = approval::device_allowed(kms, cvm.app, cvm.device).await;
    let (Ok(known), Ok((_, device_ok))) = (known, device) else {
        return Answer::detail(503, "Chain is unreachable");
    };
    let mut state = context.lock();
    let lies = state.lies.clone();
    let shown = lies.hash.clone().unwrap_or_else(|| hex::encode(hash));
    let device = lies.device_id.clone().unwrap_or_else(|| json!(hex::encode(cvm.device)));
    let app = lies.app_id.clone().unwrap_or_else(|| bare(cvm.app));
    let mut details = vec![
        field("compose_hash", &json!(shown)),
        field("app_id", &json!(app)),
        field("device_id", &device),
        field("kms_info", &records::kms_info(cvm, &lies, lies.short_kms_info)),
    ];
    if prepare_only || makes != Makes::Update {
        let token = state.issue(cvm, (hash, makes), change);
        details.extend(commit_fields(context, cvm, &lies, (&token, makes)));
        let allowed = json!({"compose_hash_allowed": known, "device_id_allowed": device_ok,
            "is_allowed": known && device_ok});
        details.push(field("onchain_status", &allowed));
    } else {
        state.announced.insert((cvm.uuid.clone(), hash), change);
    }
    let mut body = json!({"error_code": "ERR-01-005", "message": "Compose hash registration required",
        "details": details, "suggestions": ["Register the compose hash on chain, then commit"],
        "links": [{"url": "https://docs.phala.com/", "label": "On-chain KMS"}]});
    if let Some(edit) = &lies.edit_prepare {
        edit(&mut body);
    }
    Answer { status: 465, body }
}

impl State {
    /// A new token; an earlier one of this CVM is worth nothing from now on.
    fn issue(&mut self, cvm: &Cvm, (hash, makes): (B256, Makes), (manifest, env): Change) -> String {
        let superseded = |token: &&mut Token| token.uuid == cvm.uuid && token.fate == Fate::Live;
        for token in self.tokens.iter_mut().filter(superseded) {
            token.fate = Fate::Superseded;
        }
        let text = uuid::Builder::from_random_bytes(random()).into_uuid().to_string();
        let created = self.now();
        self.tokens.push(Token {
            text: text.clone(),
            uuid: cvm.uuid.clone(),
            makes,
            hash,
            manifest,
            env,
            created,
            fate: Fate::Live,
        });
        text
    }
}

fn commit_fields(context: &Context, cvm: &Cvm, lies: &Lies, (token, makes): (&str, Makes)) -> [Value; 3] {
    let honest = || context.base.clone();
    let foreign = |host: &String| format!("{host}/api/v1");
    let api = lies.commit_host.as_ref().map_or_else(honest, foreign);
    let site = lies.commit_host.as_deref().unwrap_or("https://cloud.phala.com");
    let place = match makes {
        Makes::Update => format!("cvms/{}/commit-update", cvm.dashed_uuid()),
        Makes::Replica(_) => format!("cvms/{}/commit-replica", cvm.dashed_uuid()),
        Makes::Instance(_) => format!("apps/{}/instances", bare(cvm.app)),
    };
    let page = format!("{site}/confirm?token={token}");
    [
        field("commit_token", &json!(token)),
        field("commit_url", &json!(page)),
        field("api_commit_url", &json!(format!("{api}/{place}"))),
    ]
}

async fn confirm(context: &Context, cvm: &Cvm, hash: &str, transaction: &str) -> Answer {
    if cvm.progress.is_some() {
        return Answer::detail(409, "Another operation is in progress");
    }
    let Some(hash) = parse_hash(hash) else {
        return unknown_hash();
    };
    let change = {
        let state = context.lock();
        let prepared = state
            .tokens
            .iter()
            .rev()
            .find(|token| token.uuid == cvm.uuid && token.hash == hash);
        let announced = state.announced.get(&(cvm.uuid.clone(), hash));
        let prepared = prepared.map(|token| (token.manifest.clone(), token.env.clone()));
        announced.cloned().or(prepared)
    };
    let Some(change) = change else {
        return unknown_hash();
    };
    if let Some(kms) = &cvm.kms
        && let Err(denial) = approval::check(kms, cvm.app, hash, transaction).await
    {
        return denied(denial);
    }
    accepted(cvm, &begin(context, cvm, hash, change))
}

fn unknown_hash() -> Answer {
    Answer::error(466, "ERR-01-006", "Compose hash is invalid or has expired")
}

/// The token, if it may be committed to this CVM now.
fn usable(context: &Context, cvm: &Cvm, (text, kind): (&str, fn(Makes) -> bool), hash: &str) -> Result<Token, Answer> {
    let refused = |message: &str| Err(Answer::error(466, "ERR-01-006", message));
    let state = context.lock();
    let Some(token) = state
        .tokens
        .iter()
        .find(|token| token.text == text && token.uuid == cvm.uuid && kind(token.makes))
    else {
        return refused("Commit token is invalid");
    };
    match token.fate {
        Fate::Used => return refused("Commit token has already been used"),
        Fate::Superseded => return refused("Commit token was superseded by a newer update"),
        Fate::Live if state.now() >= token.created + TOKEN_LIFE => return refused("Commit token has expired"),
        Fate::Live => {}
    }
    if !hash.is_empty() && parse_hash(hash) != Some(token.hash) {
        return refused("Compose hash does not match the commit token");
    }
    Ok(token.clone())
}

pub(super) fn denied(denial: Denial) -> Answer {
    match denial {
        Denial::Transaction(why) => {
            Answer::error(467, "ERR-01-007", &format!("Transaction verification failed: {why}"))
        }
        Denial::NotAllowed => Answer::error(468, "ERR-01-008", "Compose hash is not allowed on chain"),
        Denial::Unreachable(_) => Answer::detail(503, "Chain is unreachable"),
    }
}

fn accepted(cvm: &Cvm, correlation: &str) -> Answer {
    let body = json!({"vm_uuid": cvm.dashed_uuid(), "correlation_id": correlation, "status": "in_progress"});
    Answer { status: 202, body }
}

fn field(name: &str, value: &Value) -> Value {
    json!({"field": name, "value": value, "message": format!("{name} of this update")})
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut source, &mut bytes).unwrap();
    bytes
}

/// Starts the update and gives its correlation id.
pub(super) fn begin(context: &Context, cvm: &Cvm, hash: B256, change: Change) -> String {
    let mut state = context.lock();
    let correlation = state.record(&cvm.uuid, "compose_update", "running");
    state.revise(cvm, &change.0, "compose_update");
    let (time, failure) = (state.boot_time, state.boot_failure.clone());
    let record = state.cvm_mut(&cvm.uuid);
    "updating".clone_into(&mut record.status);
    record.progress = Some(correlation.clone());
    record.boot_error = None;
    record.commits.push(hash);
    if time.is_zero() && cvm.kms.is_none() && failure.is_none() {
        let record = state.cvm_mut(&cvm.uuid);
        (record.compose_hash, record.manifest, record.progress) = (hash, change.0, None);
        "running".clone_into(&mut record.status);
        state.end(&correlation, None);
        return correlation;
    }
    drop(state);
    tokio::spawn(boot(context.clone(), cvm.uuid.clone(), (hash, change), failure));
    correlation
}

async fn boot(context: Context, uuid: String, (hash, (manifest, env)): (B256, Change), failure: Option<BootFailure>) {
    let began = Instant::now();
    // A test may end a long boot by setting another time.
    while began.elapsed() < context.lock().boot_time {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let Some(cvm) = context.lock().find_mut(&uuid).cloned() else {
        return;
    };
    let outcome = match failure {
        Some(BootFailure::Never) => return,
        Some(BootFailure::Error(text)) => Err(text),
        None => approval::may_boot(&cvm, hash).await,
    };
    // The guest gets an environment that it can open; without a new one it keeps the one it has.
    let opened = cvm
        .kms
        .as_ref()
        .zip(env)
        .map(|(kms, blob)| kms.keys.boot(cvm.app, &blob, &manifest));
    let (outcome, environment) = match (outcome, opened) {
        (Ok(()), Some(Err(why))) => (Err(why), None),
        (outcome, opened) => (outcome, opened.and_then(Result::ok)),
    };
    let mut state = context.lock();
    let Some(cvm) = state.find_mut(&uuid) else { return };
    "running".clone_into(&mut cvm.status);
    let operation = cvm.progress.take().unwrap_or_default();
    let mut failed = None;
    match outcome {
        Ok(()) => {
            (cvm.compose_hash, cvm.manifest) = (hash, manifest);
            cvm.environment = environment.unwrap_or_else(|| cvm.environment.clone());
        }
        Err(reason) => failed = Some(cvm.boot_error.insert(reason).clone()),
    }
    state.end(&operation, failed.as_deref());
}
