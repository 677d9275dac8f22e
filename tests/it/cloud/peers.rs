//! The official CLI and SDK run against the simulated cloud: it is right by somebody else's word.

use std::process::Output;

use alloy::primitives::B256;
use countersign::cloud::{
    ApiKey, ApiVersion, Client, Options,
    instances::NewInstance,
    patch::Patch,
    replicas::Replica,
    updates::{Commit, CommitToken, Registration},
};
use countersign::compose::{Changes, ComposeHash};
use countersign::http::{Http, Limits};
use serde_json::{Value, json};

use crate::support::cloud::{API_KEY, Request};
use crate::support::command::{self, shown};
use crate::support::contracts::abi;
use crate::support::world::{AppVariant, CVM, NEW_COMPOSE};
use crate::support::{AnvilOptions, World, WorldOptions, block, guest};

/// The official CLI, `phala` 1.1.18.
pub fn phala(world: &World, arguments: &[&str]) -> Output {
    let mut command = command::node("node_modules/phala/dist/index.js", world.folder());
    command
        .args(arguments)
        .env("PHALA_CLOUD_API_PREFIX", world.cloud.prefix())
        .env("PHALA_CLOUD_API_KEY", API_KEY);
    command::run(&mut command)
}

/// Acts of the official SDK, `@phala/cloud` 0.2.9, one after the other; gives each one's outcome.
pub fn sdk_acts(world: &World, acts: &[(&str, Value)]) -> Vec<Value> {
    let mut command = command::node("sdk.mjs", world.folder());
    command
        .args(
            acts.iter()
                .flat_map(|(act, request)| [(*act).to_owned(), request.to_string()]),
        )
        .env("PHALA_CLOUD_API_PREFIX", world.cloud.prefix())
        .env("PHALA_CLOUD_API_KEY", API_KEY);
    let output = command::run(&mut command);
    let lines: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect();
    let lines = lines.unwrap_or_else(|e| panic!("{e}: {}", shown(&output)));
    assert_eq!(lines.len(), acts.len(), "{}", shown(&output));
    lines
}

/// One act of the official SDK.
fn sdk(world: &World, act: &str, request: &Value) -> Value {
    sdk_acts(world, &[(act, request.clone())]).remove(0)
}

/// An update that the official CLI prepares, to a new compose file; its answer.
pub fn phala_prepare(world: &World) -> Value {
    let file = world.file("docker-compose.yml", NEW_COMPOSE);
    let file = file.to_str().unwrap();
    let output = phala(
        world,
        &["deploy", "--cvm-id", CVM, "-c", file, "--prepare-only", "--json"],
    );
    assert!(output.status.success(), "{}", shown(&output));
    command::json(&output)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn the_official_cli_prepares_and_commits_an_update() {
    let world = World::start();
    let prepared = phala_prepare(&world);
    let hash = world.hash_with(NEW_COMPOSE);
    assert_eq!(
        text(&prepared, "compose_hash").trim_start_matches("0x"),
        hex::encode(hash),
        "{prepared}"
    );
    let token = text(&prepared, "commit_token");
    let transaction = world.allow(hash).to_string();
    let commit = [
        "deploy",
        "--cvm-id",
        CVM,
        "--commit",
        "--token",
        token,
        "--transaction-hash",
        &transaction,
        "--json",
    ];
    let output = phala(&world, &commit);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(command::json(&output)["status"], "in_progress");
    world.cloud.wait_for_hash(CVM, hash);
    assert_eq!(world.cloud.commits(CVM), [hash]);
}

#[test]
fn the_official_cli_hears_466_467_and_468_as_refusals() {
    let world = World::start();
    let prepared = phala_prepare(&world);
    let token = text(&prepared, "commit_token").to_owned();
    let commit = |token: &str, transaction: &str| {
        let output = phala(
            &world,
            &[
                "deploy",
                "--cvm-id",
                CVM,
                "--commit",
                "--token",
                token,
                "--transaction-hash",
                transaction,
                "--json",
            ],
        );
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(commit(&token, "already-registered").contains("not allowed on chain"));
    let missing = B256::repeat_byte(9).to_string();
    assert!(commit(&token, &missing).contains("Transaction verification failed"));
    assert!(commit("6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11", "").contains("invalid"));
    let statuses: Vec<u16> = world
        .cloud
        .requests_to("POST", "/commit-update")
        .iter()
        .map(|one| one.status)
        .collect();
    assert_eq!(statuses, [468, 467, 466]);
}

#[test]
fn the_official_cli_loses_the_token_when_kms_info_is_short() {
    let world = World::start();
    world.cloud.lie(|lies| lies.short_kms_info = true);
    let file = world.file("docker-compose.yml", NEW_COMPOSE);
    let output = phala(
        &world,
        &[
            "deploy",
            "--cvm-id",
            CVM,
            "-c",
            file.to_str().unwrap(),
            "--prepare-only",
            "--json",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let token = world.cloud.tokens().remove(0).text;
    assert!(!shown(&output).contains(&token), "a token was made and not shown");
}

#[test]
fn the_official_sdk_prepares_and_commits_an_update() {
    let world = World::start();
    let id = world.cloud.cvm(CVM).dashed_uuid();
    let prepared = sdk(
        &world,
        "prepare",
        &json!({"uuid": id, "docker_compose_file": NEW_COMPOSE}),
    )["ok"]
        .take();
    let hash = world.hash_with(NEW_COMPOSE);
    assert_eq!(prepared["composeHash"], hex::encode(hash), "{prepared}");
    assert_eq!(prepared["kmsInfo"]["kms_contract_address"], world.kms.to_string());
    assert_eq!(prepared["onchainStatus"]["compose_hash_allowed"], false);
    let transaction = world.allow(hash);
    let commit = json!({"uuid": id, "token": prepared["commitToken"], "composeHash": prepared["composeHash"],
        "transactionHash": transaction});
    let committed = sdk(&world, "commit", &commit);
    assert_eq!(committed["ok"]["status"], "in_progress", "{committed}");
    world.cloud.wait_for_hash(CVM, hash);
    let again = sdk(&world, "commit", &commit);
    assert_eq!(again["error"]["status"], 466, "{again}");
}

#[test]
fn the_official_sdk_reads_records_manifest_and_devices() {
    for onchain in [true, false] {
        let world = World::with(WorldOptions {
            onchain,
            ..WorldOptions::default()
        });
        let app = hex::encode(world.app);
        let acts = [
            ("info", json!({"app_id": app})),
            ("hash", json!({"id": CVM})),
            ("devices", json!({"appId": app})),
        ];
        let [info, hash, devices] = sdk_acts(&world, &acts).try_into().unwrap();
        let first = hex::encode(world.first_hash);
        assert_eq!(info["ok"]["compose_hash"], first, "{info}");
        assert_eq!(
            hash["ok"], first,
            "the cloud's own writer agrees with the official one: {hash}"
        );
        assert_eq!(devices["ok"]["is_onchain_kms"], onchain, "{devices}");
    }
}

#[test]
fn the_official_sdk_updates_an_app_that_one_key_owns() {
    for app in [AppVariant::OneStep, AppVariant::TwoStep] {
        let anvil = AnvilOptions {
            chain_id: 8453,
            ..AnvilOptions::default()
        };
        let world = World::with(WorldOptions {
            app,
            anvil,
            ..WorldOptions::default()
        });
        let request = json!({"id": CVM, "docker_compose_file": NEW_COMPOSE, "chainId": 8453,
            "rpcUrl": world.anvil.url(), "privateKey": world.owner.key});
        let updated = sdk(&world, "update", &request)["ok"].take();
        let hash = world.hash_with(NEW_COMPOSE);
        assert_eq!(updated["composeHash"], hex::encode(hash), "{updated}");
        assert!(
            world
                .rpc()
                .read(world.app, &abi::allowedComposeHashesCall { composeHash: hash })
        );
        world.cloud.wait_for_hash(CVM, hash);
    }
}

/// What one of our clients and the SDK both say, and in which words: verb, path, the headers that mean something, body.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    /// Verb, path and query.
    pub line: String,
    /// Headers that mean something.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or the text itself.
    pub body: Value,
}

impl Words {
    /// What a request says.
    pub fn of(request: &Request) -> Self {
        let names = [
            "x-phala-version",
            "x-api-key",
            "content-type",
            "x-prepare-only",
            "x-compose-hash",
            "x-transaction-hash",
        ];
        // The SDK passes the hash on as the caller has it, so `0x` is the caller's choice.
        let said = |name| Some((name, request.header(name)?.trim_start_matches("0x").to_owned()));
        let text = String::from_utf8_lossy(&request.body);
        let text = if text.is_empty() { Value::Null } else { json!(text) };
        let mut body = serde_json::from_slice(&request.body).unwrap_or(text);
        if let Some(hash) = body["compose_hash"]
            .as_str()
            .map(|text| text.trim_start_matches("0x").to_owned())
        {
            body["compose_hash"] = json!(hash);
        }
        Self {
            line: format!("{} {}?{}", request.method, request.path, request.query),
            headers: names.into_iter().filter_map(said).collect(),
            body,
        }
    }
}

pub fn our_client(world: &World) -> Client {
    let options = Options {
        prefix: world.cloud.prefix().parse().unwrap(),
        api_key: Some(ApiKey::new(API_KEY.to_owned().into()).unwrap()),
        version: ApiVersion::V20260121,
    };
    Client::new(Http::new(Limits::default()), options)
}

/// Prepare, the record, the manifest, commit and confirm, each with the same values that the SDK is given.
fn ours(world: &World, id: &str, token: &str, hash: B256) {
    let (client, id, token) = (our_client(world), id.parse().unwrap(), CommitToken::new(token).unwrap());
    let changes = Changes {
        docker_compose_file: Some(NEW_COMPOSE.to_owned()),
        allowed_envs: Some(vec!["B".to_owned(), "A".to_owned()]),
        public_logs: Some(false),
        ..Changes::default()
    };
    let patch = Patch {
        changes,
        ..Patch::default()
    };
    block(async move {
        let by = Registration::Transaction(B256::repeat_byte(9));
        let hash = ComposeHash::new(hash.0);
        // Some are refused; what was said is in the cloud's log.
        drop(client.cvm(&id).await);
        drop(client.manifest(&id).await);
        drop(client.prepare(&id, &patch).await);
        let token = &token;
        drop(client.commit(&id, Commit { token, hash, by }).await);
        drop(client.confirm(&id, hash, by).await);
    });
}

#[test]
fn our_requests_say_the_same_as_the_official_sdks() {
    let world = World::start();
    let (hash, transaction) = (B256::repeat_byte(7), B256::repeat_byte(9));
    let token = "6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11";
    let cvm = world.cloud.cvm(CVM);
    for id in [CVM.to_owned(), cvm.dashed_uuid(), hex::encode(world.app)] {
        world.cloud.forget_requests();
        let patch =
            json!({"id": id, "docker_compose_file": NEW_COMPOSE, "allowed_envs": ["B", "A"], "public_logs": false});
        let ending =
            json!({"id": id, "token": token, "composeHash": hex::encode(hash), "transactionHash": transaction});
        let name = json!({"id": id});
        let acts = [
            ("info", name.clone()),
            ("hash", name),
            ("prepare", patch),
            ("commit", ending.clone()),
            ("confirm", ending),
        ];
        sdk_acts(&world, &acts);
        let theirs: Vec<Words> = world.cloud.requests().iter().map(Words::of).collect();
        world.cloud.forget_requests();
        ours(&world, &id, token, hash);
        let ours: Vec<Words> = world.cloud.requests().iter().map(Words::of).collect();
        assert_eq!(theirs.len(), 5, "{theirs:?}");
        assert_eq!(ours, theirs);
    }
}

#[test]
fn our_environment_goes_out_as_the_official_clis_does() {
    let world = World::start();
    let compose = world.file("docker-compose.yml", NEW_COMPOSE);
    let file = world.file(
        "prod.env",
        "Z=last\nDATABASE_URL=postgres://u@db/x\nEMPTY=\nQUOTED='a b'\n",
    );
    let words = [
        "--cvm-id",
        CVM,
        "-c",
        compose.to_str().unwrap(),
        "-e",
        file.to_str().unwrap(),
    ];
    let mut deploy = vec!["deploy", "--prepare-only", "--json"];
    deploy.extend(words);
    let output = phala(&world, &deploy);
    assert!(output.status.success(), "{}", shown(&output));
    let theirs = world.cloud.requests();
    world.cloud.forget_requests();
    let mut ours = world.countersign(env!("CARGO_BIN_EXE_countersign"));
    ours.args(["prepare", "--json", "--supersede", "--cvm", CVM])
        .args(words.get(2..).unwrap());
    let output = command::run(&mut ours);
    assert!(output.status.success(), "{}", shown(&output));
    let ours = world.cloud.requests();
    let pubkey = |all: &[Request]| {
        let asked: Vec<_> = all
            .iter()
            .filter(|one| one.path.contains("/pubkey/"))
            .cloned()
            .collect();
        assert_eq!(asked.len(), 1);
        (asked[0].path.clone(), asked[0].status)
    };
    assert_eq!(pubkey(&ours), pubkey(&theirs));
    let keys = world.cloud.cvm(CVM).kms.unwrap().keys;
    let patch = |all: &[Request]| {
        let sent = all.iter().find(|one| one.method == "PATCH").unwrap();
        assert_eq!(sent.headers["x-prepare-only"], "true");
        let mut body = sent.json();
        let blob = body["encrypted_env"].take();
        let plain = guest::open(&keys.secret(world.app), blob.as_str().unwrap()).unwrap();
        (body, String::from_utf8(plain).unwrap())
    };
    assert_eq!(patch(&ours), patch(&theirs), "names, order and values");
    assert_eq!(
        patch(&ours).0["allowed_envs"],
        json!(["Z", "DATABASE_URL", "EMPTY", "QUOTED"])
    );
}

/// A replica, then an instance with other code, each prepared and committed by the official CLI.
fn phala_makes(world: &World, hash: B256) {
    let (uuid, app) = (world.cloud.cvm(CVM).uuid, hex::encode(world.app));
    let (compose, first) = (
        world.file("docker-compose.yml", NEW_COMPOSE),
        world.first_hash.to_string(),
    );
    let replica = ["cvms", "replicate", &uuid];
    let instance = ["instances", "add", "--app-id", &app];
    let revision = ["--compose-hash", &first];
    let code = ["--compose-file", compose.to_str().unwrap()];
    for (what, how, hash) in [(&replica[..], revision, world.first_hash), (&instance[..], code, hash)] {
        let before = world.cloud.names().len();
        let output = phala(
            world,
            &[what, &["--node-id", "18", "--prepare-only", "--json"], &how].concat(),
        );
        assert!(output.status.success(), "{}", shown(&output));
        let (token, hash) = (world.cloud.tokens().pop().unwrap().text, hash.to_string());
        let commit = ["--commit", "--token", &token, "--compose-hash", &hash, "--json"];
        let output = phala(world, &[what, &commit].concat());
        assert!(output.status.success(), "{}", shown(&output));
        assert_eq!(world.cloud.names().len(), before + 1);
    }
}

/// The same requests as ours; the tokens are used already.
fn we_make(world: &World, hash: B256) {
    let (client, id) = (our_client(world), world.cloud.cvm(CVM).uuid.parse().unwrap());
    let (app, first) = (world.app, world.first_hash);
    let tokens = world.cloud.tokens();
    block(async move {
        let tokens = tokens.iter().map(|token| CommitToken::new(&token.text).unwrap());
        let tokens: Vec<_> = tokens.collect();
        let known = |hash: B256| ComposeHash::new(hash.0);
        let commit = |hash: B256, index: usize| Commit {
            token: &tokens[index],
            hash: known(hash),
            by: Registration::Already,
        };
        let replica = Replica {
            node_id: Some(18),
            compose_hash: Some(known(first)),
            ..Replica::default()
        };
        let instance = NewInstance {
            node_id: Some(18),
            docker_compose_file: Some(NEW_COMPOSE.to_owned()),
            ..NewInstance::default()
        };
        let _raw = client.prepare_replica(&id, &replica).await.unwrap();
        drop(client.commit_replica(&id, commit(first, 0)).await);
        let _raw = client.prepare_instance(app, &instance).await.unwrap();
        drop(client.commit_instance(app, commit(hash, 1)).await);
    });
}

/// What was posted, beside how its sender is called. The official CLI writes hashes as they were typed and UUIDs with
/// dashes; the server takes both ways to write them.
fn posted(world: &World) -> Vec<(String, Option<String>, String)> {
    let said = |request: Request| {
        let header = request.header("x-prepare-only").map(ToOwned::to_owned);
        let body = request.json().to_string().replace("\"0x", "\"");
        (request.path.replace('-', ""), header, body)
    };
    let all = world.cloud.requests().into_iter();
    all.filter(|request| request.method == "POST").map(said).collect()
}

#[test]
fn the_official_cli_makes_replicas_and_instances_and_asks_as_we_do() {
    let world = World::start();
    let hash = world.hash_with(NEW_COMPOSE);
    world.allow(hash);
    phala_makes(&world, hash);
    let theirs = posted(&world);
    assert_eq!(theirs.len(), 4, "{theirs:?}");
    world.cloud.forget_requests();
    we_make(&world, hash);
    assert_eq!(posted(&world), theirs);
}
