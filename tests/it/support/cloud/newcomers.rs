//! Replicas and instances: CVMs that are made from others, at once or by a token, and whether they come up.

use std::time::Instant;

use alloy::primitives::{B256, keccak256};
use serde_json::{Map, Value, json};

use super::configure::object;
use super::model::{BootFailure, Cvm, Makes, NODES, Token, bare, compose_hash};
use super::routes::{Answer, Context};
use super::updates::{self, allow_first, parse_hash};
use super::{Request, approval, life, records, versions};

/// `POST /cvms/{id}/replicas`, with the header and without.
pub(super) async fn replicate(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let device = match device(&body, cvm) {
        Ok(device) => device,
        Err(answer) => return answer,
    };
    let source = match revision(context, cvm, &body) {
        Ok(source) if source.compose_hash == cvm.compose_hash => cvm,
        Ok(_) => return Answer::error(400, "ERR-03-008", "The source does not run this compose hash"),
        Err(answer) => return answer,
    };
    let token = wanted(source, &body, Makes::Replica(device));
    first_phase(context, source, token, request).await
}

/// `POST /cvms/{id}/commit-replica`.
pub(super) async fn commit_replica(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    match updates::spend(context, cvm, request, |makes| matches!(makes, Makes::Replica(_))).await {
        Ok(token) => made(context, cvm, token),
        Err(answer) => answer,
    }
}

/// `GET /apps/{id}/cvms`.
pub(super) fn of_app(context: &Context, app: &Cvm, request: &Request) -> Answer {
    let version = versions::asked(request);
    let state = context.lock();
    let all = state.cvms.iter().filter(|cvm| cvm.app == app.app);
    Answer::ok(all.map(|cvm| records::cvm(cvm, version, &state.lies)).collect())
}

/// `POST /apps/{id}/instances`: prepares, makes at once, or commits a token.
pub(super) async fn instances(context: &Context, any: &Cvm, request: &Request) -> Answer {
    let Some(body) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    // The token is the app's, whichever of its CVMs is the template.
    let as_app = |cvm: &Cvm| Cvm {
        uuid: bare(cvm.app),
        ..cvm.clone()
    };
    if body.get("token").is_some_and(|token| !token.is_null()) {
        let kind = |makes| matches!(makes, Makes::Instance(_));
        return match updates::spend(context, &as_app(any), request, kind).await {
            Ok(token) => made(context, any, token),
            Err(answer) => answer,
        };
    }
    let template = match revision(context, any, &body) {
        Ok(template) => template,
        Err(answer) => return answer,
    };
    let device = match device(&body, &template) {
        Ok(device) => device,
        Err(answer) => return answer,
    };
    let mut token = wanted(&template, &body, Makes::Instance(device));
    for field in ["docker_compose_file", "pre_launch_script"] {
        if let Some(text) = body.get(field).filter(|text| !text.is_null()) {
            token.manifest.insert(field.to_owned(), text.clone());
        }
    }
    if let Some(script) = &context.lock().lies.injected_script {
        token.manifest.insert("pre_launch_script".to_owned(), json!(script));
    }
    token.hash = compose_hash(&token.manifest);
    first_phase(context, &as_app(&template), token, request).await
}

/// The device of the node that is asked for.
fn device(body: &Map<String, Value>, source: &Cvm) -> Result<B256, Answer> {
    let Some(asked) = body.get("node_id").and_then(Value::as_u64) else {
        return Ok(source.device);
    };
    let found = NODES.into_iter().find(|(id, ..)| *id == asked);
    found
        .map(|(_, _, seed)| keccak256(seed))
        .ok_or_else(|| Answer::detail(404, "Target node not found"))
}

/// The CVM whose revision is meant: the one that is named, or the only one there is.
fn revision(context: &Context, cvm: &Cvm, body: &Map<String, Value>) -> Result<Cvm, Answer> {
    let state = context.lock();
    let live: Vec<&Cvm> = state.cvms.iter().filter(|one| one.app == cvm.app).collect();
    let refused = |why| Err(Answer::error(400, "ERR-03-009", why));
    match body.get("compose_hash").and_then(Value::as_str) {
        Some(text) => match live.iter().find(|one| Some(one.compose_hash) == parse_hash(text)) {
            Some(one) => Ok((*one).clone()),
            None => refused("No live revision has this compose hash"),
        },
        None if live.iter().any(|one| one.compose_hash != cvm.compose_hash) => {
            refused("The app has several live revisions: compose_hash is required")
        }
        None => Ok(cvm.clone()),
    }
}

/// What a token would make; it has no name yet.
fn wanted(source: &Cvm, body: &Map<String, Value>, makes: Makes) -> Token {
    Token {
        text: String::new(),
        uuid: source.uuid.clone(),
        makes,
        hash: source.compose_hash,
        manifest: source.manifest.clone(),
        env: body.get("encrypted_env").and_then(Value::as_str).map(ToOwned::to_owned),
        created: 0,
        fate: super::Fate::Live,
    }
}

async fn first_phase(context: &Context, source: &Cvm, token: Token, request: &Request) -> Answer {
    let (Makes::Replica(device) | Makes::Instance(device)) = token.makes else {
        return Answer::detail(500, "nothing to make");
    };
    let at_once = context.lock().lies.makes_at_once;
    let prepare_only = request.header("x-prepare-only") == Some("true") && !at_once;
    if let Some(kms) = &source.kms {
        let known = approval::hash_allowed(kms, source.app, token.hash)
            .await
            .unwrap_or(false);
        let device_ok = approval::device_allowed(kms, source.app, device).await;
        let allowed = known && device_ok.is_ok_and(|(_, device_ok)| device_ok);
        if prepare_only || (!allowed && !at_once) {
            let placement = Cvm {
                device,
                ..source.clone()
            };
            let what = (token.hash, (token.manifest, token.env));
            return allow_first(context, &placement, what, (prepare_only, token.makes)).await;
        }
    }
    made(context, source, token)
}

/// The new CVM: its own number, UUID and instance id; what it runs is the token's.
fn made(context: &Context, source: &Cvm, token: Token) -> Answer {
    let (Makes::Replica(device) | Makes::Instance(device)) = token.makes else {
        return Answer::detail(500, "nothing to make");
    };
    let mut state = context.lock();
    let made = state.make(Cvm {
        commits: Vec::new(),
        progress: None,
        boot_error: None,
        device,
        compose_hash: token.hash,
        manifest: token.manifest,
        ..source.clone()
    });
    drop(state);
    if made.kms.is_none() {
        context.operate(&made, "create", ("starting", "running"), |_| {});
    } else {
        let mut state = context.lock();
        let operation = state.record(&made.uuid, "create", "running");
        state.cvm_mut(&made.uuid).progress = Some(operation);
        let failure = state.boot_failure.clone();
        drop(state);
        tokio::spawn(come_up(context.clone(), made.uuid.clone(), token.env, failure));
    }
    let state = context.lock();
    Answer::ok(life::vm(state.find(&made.uuid)[0]))
}

/// The first boot: the KMS is asked, and a guest that may not run is stopped.
async fn come_up(context: Context, uuid: String, env: Option<String>, failure: Option<BootFailure>) {
    let began = Instant::now();
    // A test may end a long boot by setting another time.
    while began.elapsed() < context.lock().boot_time {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let Some(cvm) = context.lock().find_mut(&uuid).cloned() else {
        return;
    };
    let mut outcome = match failure {
        Some(BootFailure::Never) => return,
        Some(BootFailure::Error(text)) => Err(text),
        None => approval::may_boot(&cvm, cvm.compose_hash).await,
    };
    let opened = cvm.kms.as_ref().zip(env);
    let opened = opened.map(|(kms, blob)| kms.keys.boot(cvm.app, &blob, &cvm.manifest));
    let mut environment = cvm.environment.clone();
    match opened {
        Some(Ok(own)) => environment = own,
        Some(Err(why)) => outcome = outcome.and(Err(why)),
        None => {}
    }
    let mut state = context.lock();
    let Some(cvm) = state.find_mut(&uuid) else { return };
    let operation = cvm.progress.take().unwrap_or_default();
    cvm.environment = environment;
    let failed = outcome.err();
    if failed.is_none() { "running" } else { "stopped" }.clone_into(&mut cvm.status);
    cvm.boot_error.clone_from(&failed);
    state.end(&operation, failed.as_deref());
}
