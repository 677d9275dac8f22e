//! Secrets are canaries: through every command at its most talkative, in success and in failure, none of them is in what
//! is printed, in what is left on disk, or in what `ps` shows.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;

use crate::harness::flow::Flow;
use crate::harness::judge::each;
use crate::support::attested::closed_port;
use crate::support::cloud::API_KEY;
use crate::support::world::{CVM, SafeOptions, WorldOptions};
use crate::support::{Action, FaultProxy, Match, Message, Nth, World};

const PASSWORD: &str = "canary-password-7f1d";
const WRONG_PASSWORD: &str = "canary-password-wrong-2c9a";
const RPC_USER: &str = "canary-rpc-user-5e0b";
const RPC_PATH: &str = "canary-rpc-path-91aa";
const RPC_QUERY: &str = "canary-rpc-query-c47e";
/// Files that hold the token until the commit, and nobody else may read.
const PRIVATE: [&str; 2] = ["token", "prepare.raw"];

/// An RPC vendor that wants its key thrice: as credentials, in the path, in the query.
struct Vendor {
    address: std::net::SocketAddr,
    says: Arc<Mutex<Option<(u16, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Vendor {
    fn before(upstream: &str) -> Self {
        let says: Arc<Mutex<Option<(u16, String)>>> = Arc::default();
        let (told, upstream) = (Arc::clone(&says), upstream.to_owned());
        let answer = move |request: axum::extract::Request| {
            let (told, upstream) = (Arc::clone(&told), upstream.clone());
            let instead = told.lock().unwrap().clone();
            async move { relay(request, &upstream, instead).await }
        };
        let listener = crate::support::block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(answer);
        let task = crate::support::runtime().spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Self { address, says, task }
    }
    fn url(&self) -> String {
        format!("http://u:{RPC_USER}@{}/v2/{RPC_PATH}?key={RPC_QUERY}", self.address)
    }
    /// Answers this to everything from now on, or the chain's answers again.
    fn say(&self, answer: Option<(u16, String)>) {
        *self.says.lock().unwrap() = answer;
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    request: axum::extract::Request,
    upstream: &str,
    instead: Option<(u16, String)>,
) -> (axum::http::StatusCode, String) {
    let status = |code| axum::http::StatusCode::from_u16(code).unwrap();
    let place = request.uri().to_string();
    let named = request.headers().contains_key("authorization");
    if !(place.contains(RPC_PATH) && place.contains(RPC_QUERY) && named) {
        return (status(401), "no credentials".to_owned());
    }
    if let Some((code, text)) = instead {
        return (status(code), text);
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 22).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.post(upstream).header("content-type", "application/json");
    match asked.body(body).send().await {
        Ok(reply) => (status(reply.status().as_u16()), reply.text().await.unwrap_or_default()),
        Err(_) => (status(502), "upstream".to_owned()),
    }
}

/// An upgrade whose every secret is watched.
struct Watched<'w> {
    flow: Flow<'w>,
    vendor: Vendor,
    proxy: FaultProxy,
    keystore: PathBuf,
    password: PathBuf,
    ran: Mutex<BTreeSet<String>>,
}

impl<'w> Watched<'w> {
    fn new(world: &'w World) -> Self {
        let vendor = Vendor::before(&world.anvil.url());
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let secrets = tempfile::tempdir().unwrap().keep();
        let key = hex::decode(world.owner.key.trim_start_matches("0x")).unwrap();
        PrivateKeySigner::encrypt_keystore(&secrets, &mut OsRng, key, PASSWORD, Some("deployer")).unwrap();
        let password = secrets.join("password");
        let mut flow = Flow::new(world).cloud_at(&proxy.prefix()).chain_at(&vendor.url());
        // Time enough for any machine, and little between two attempts; read by builds with `failpoints`.
        flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), "20000".to_owned()));
        let watched = Self {
            flow,
            vendor,
            proxy,
            keystore: secrets.join("deployer"),
            password,
            ran: Mutex::default(),
        };
        watched.password_is(PASSWORD);
        watched
    }
    fn password_is(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&self.password, text).unwrap();
        std::fs::set_permissions(&self.password, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    /// The arguments of a step that signs with the keystore.
    fn with_keystore(&self) -> [String; 4] {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        [
            "--signer".to_owned(),
            format!("keystore:{}", path(&self.keystore)),
            "--password-file".to_owned(),
            path(&self.password),
        ]
    }
    /// Runs a step with its usual arguments, with `--json` and without.
    #[track_caller]
    fn step(&self, step: &str, more: &[&str], exits: &[i32]) {
        let mut arguments = self.flow.arguments(step);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.run(&arguments, exits);
        let text: Vec<&str> = arguments.into_iter().filter(|argument| *argument != "--json").collect();
        self.run(&text, &[]);
    }
    /// Runs a command; any exit is right when none is named.
    #[track_caller]
    fn run(&self, arguments: &[&str], exits: &[i32]) {
        let mut command = self.flow.command(arguments);
        command.arg("-vvv");
        self.watch(&mut command, exits);
        self.ran.lock().unwrap().insert(arguments[0].to_owned());
    }
    #[track_caller]
    fn watch(&self, command: &mut Command, exits: &[i32]) -> String {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut shown_by_ps = String::new();
        std::fs::File::open(format!("/proc/{}/cmdline", child.id()))
            .and_then(|mut file| file.read_to_string(&mut shown_by_ps))
            .unwrap_or_default();
        let mut said = Vec::new();
        let mut stderr = child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            stderr.read_to_end(&mut all).unwrap();
            all
        });
        child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
        said.extend(reader.join().unwrap());
        let exit = child.wait().unwrap().code().unwrap_or(-1);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(exits.is_empty() || exits.contains(&exit), "exit {exit}: {said}");
        self.is_clean("what is printed", &said);
        self.is_clean("the arguments", &shown_by_ps);
        self.files_are_clean();
        said
    }
    fn secrets(&self) -> Vec<String> {
        let tokens = self.flow.world.cloud.tokens().into_iter().map(|token| token.text);
        let key = self.flow.world.owner.key.trim_start_matches("0x");
        tokens
            .chain([API_KEY, key, PASSWORD, WRONG_PASSWORD, RPC_USER, RPC_PATH, RPC_QUERY].map(str::to_owned))
            .collect()
    }
    #[track_caller]
    fn is_clean(&self, place: &str, text: &str) {
        let lower = text.to_lowercase();
        for secret in self.secrets() {
            assert!(!lower.contains(&secret.to_lowercase()), "`{secret}` in {place}: {text}");
        }
    }
    /// No file below the world's folder holds a secret, but the two that are for the token, which only their owner reads.
    #[track_caller]
    fn files_are_clean(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        for path in files(self.flow.world.folder()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if PRIVATE.contains(&name) {
                let mode = std::fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{}", path.display());
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            self.is_clean(&path.display().to_string(), &text);
        }
    }
    /// After the commit not even those two are left.
    #[track_caller]
    fn tokens_are_gone(&self) {
        for name in PRIVATE {
            assert!(!self.flow.dir.join(name).exists(), "{name}");
        }
    }
    /// A page of the cloud that gives back whatever it was told.
    fn cloud_echo(&self) -> String {
        let tokens = self.flow.world.cloud.tokens().into_iter().map(|token| token.text);
        page(&tokens.chain([API_KEY.to_owned()]).collect::<Vec<_>>().join(" | "))
    }
    fn cloud_says(&self, status: u16, body: String) {
        let kind = if body.starts_with('<') {
            "text/html"
        } else {
            "application/json"
        };
        let answer = Message::answer(status, &[("content-type", kind)], body);
        self.proxy.on(Match::Any, Nth::Every, Action::Answer(answer));
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(self.keystore.parent().unwrap());
    }
}

/// A page of the chain's vendor that gives back whatever it was told.
fn vendor_echo() -> String {
    page(&[RPC_USER, RPC_PATH, RPC_QUERY].join(" | "))
}

fn page(text: &str) -> String {
    format!("<html><body>you sent: {text}</body></html>")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// A key makes another app, with a directory of its own.
fn makes_an_app(watched: &Watched<'_>, keystore: &[&str]) {
    let world = watched.flow.world;
    let (kms, owner) = (world.kms.to_string(), world.owner.address.to_string());
    let word = world.device.to_string();
    let command = [
        "app",
        "deploy",
        "--chain-id",
        "31337",
        "--kms-contract",
        &kms,
        "--owner",
        &owner,
    ];
    let more = ["--compose-hash", &word, "--device", &word, "--dir", "new-app", "--yes"];
    watched.run(&[&command[..], &more, keystore].concat(), &[0]);
}

/// Takes an update on whose token somebody gave on: the token is in no file but its own.
fn takes_an_update_on(watched: &Watched<'_>) {
    let world = watched.flow.world;
    let body = serde_json::json!({"docker_compose_file": "services:\n  other:\n    image: other:1\n"});
    let (hash, token) = crate::upgrade::adopt::prepare(world, &body);
    let file = crate::upgrade::adopt::secret(world, "token", &token);
    let accept = format!("ADOPT_UNSEEN={hash}");
    let words = [
        "adopt",
        CVM,
        "--dir",
        "adopted",
        "--token-file",
        file.to_str().unwrap(),
        "--accept",
        &accept,
    ];
    watched.run(&words, &[0]);
    std::fs::remove_file(file).unwrap();
    let holders: Vec<PathBuf> = files(world.folder())
        .into_iter()
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&token)))
        .collect();
    assert_eq!(holders, [world.folder().join("adopted/token")]);
}

#[test]
fn v23_no_command_that_succeeds_lets_a_secret_out() {
    let world = World::start();
    let watched = Watched::new(&world);
    let dir = watched.flow.dir.to_str().unwrap();
    let keystore = watched.with_keystore();
    let keystore: Vec<&str> = keystore.iter().map(String::as_str).collect();
    let execute = [&["execute", "--dir", dir, "--yes", "--json"][..], &keystore].concat();
    watched.step("plan", &[], &[0]);
    watched.step("prepare", &[], &[0]);
    watched.run(&execute, &[0]);
    watched.step("wait", &[], &[0]);
    watched.step("commit", &[], &[0]);
    watched.tokens_are_gone();
    watched.step("resume", &[], &[0]);
    watched.step("upgrade", &[], &[0]);
    watched.step("status", &[], &[0]);
    watched.run(&["app", "show", "--cvm", CVM], &[0]);
    watched.run(&["app", "check", "--cvm", CVM], &[]);
    watched.run(&["power", "--cvm", CVM], &[0]);
    makes_an_app(&watched, &keystore);
    world.file("app-compose.json", "{\"name\":\"x\"}");
    watched.run(&["hash", "app-compose.json"], &[0]);
    watched.run(&["cvm", "get", "--cvm", CVM], &[0]);
    watched.run(&["cvm", "restart", "--cvm", CVM, "--wait", "--yes"], &[0]);
    let nowhere = closed_port();
    let attest = ["attest", CVM, "--guest-url", &nowhere, "--pccs", &nowhere];
    watched.run(&attest, &[6]);
    watched.run(&["verify", dir], &[0]);
    watched.run(&["rollback", CVM, "--list"], &[0]);
    watched.run(&["init", CVM, "--yes"], &[0]);
    takes_an_update_on(&watched);
    watched.run(&["nodes"], &[0]);
    watched.run(&["kms", "list"], &[0]);
    watched.run(&["instance-types"], &[0]);
    watched.run(&["attestations", "nodes"], &[0]);
    watched.run(&["workspace", "show"], &[0]);
    watched.run(&["webhook", "list"], &[0]);
    watched.run(&["schema"], &[0]);
    watched.run(&["explain", "HASH_MISMATCH"], &[0]);
    watched.run(&["completions", "bash"], &[0]);
    watched.run(&["man"], &[0]);
    watched.flow.landed_once();
    // Nothing new has come that this test does not know.
    let help = crate::support::command::run(&mut watched.flow.command(&["--help"]));
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Upgrade:").nth(1).unwrap().split("Options:").next().unwrap();
    let alone = watched.ran.lock().unwrap().clone();
    let others = [of_a_safe(), of_the_workspace(), of_a_fleet(), of_new_cvms()]
        .into_iter()
        .flatten();
    let known: BTreeSet<String> = alone.into_iter().chain(others).collect();
    for name in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        let knows = known.contains(name) || name == "help";
        assert!(knows || !line_is_a_command(commands, name), "`{name}` is not watched");
    }
}

/// The commands of an app that a Safe owns.
fn of_a_safe() -> BTreeSet<String> {
    let safe = SafeOptions {
        release: 1,
        l2: true,
        threshold: 1,
        owners: 3,
    };
    let world = World::with(WorldOptions {
        safe: Some(safe),
        ..WorldOptions::default()
    });
    let watched = Watched::new(&world);
    let (dir, safe) = (watched.flow.dir.to_str().unwrap(), world.safe.unwrap().to_string());
    let keystore = watched.with_keystore();
    let keystore: Vec<&str> = keystore.iter().map(String::as_str).collect();
    let with_key = |step| [&[step, "--dir", dir, "--yes"][..], &keystore].concat();
    watched.step("prepare", &[], &[0]);
    watched.run(&["safe", "show", &safe, "--chain-id", "31337"], &[]);
    watched.run(&["safe", "check", &safe, "--chain-id", "31337"], &[]);
    let signature = world.folder().join("signature.json");
    let signature = signature.to_str().unwrap();
    watched.run(&["review", "--dir", dir], &[0]);
    watched.run(&[&with_key("sign")[..], &["--out", signature]].concat(), &[0]);
    watched.run(&["import", signature, "--dir", dir], &[0]);
    watched.run(&["export", "--dir", dir, "--format", "calldata"], &[0]);
    watched.run(&["propose", "--dir", dir, "--service-url", "http://127.0.0.1:1"], &[]);
    watched.step("status", &[], &[0]);
    watched.run(&with_key("resume"), &[0]);
    watched.flow.landed_once();
    let ran = std::mem::take(&mut *watched.ran.lock().unwrap());
    &ran | &of_a_rejection()
}

fn of_a_rejection() -> BTreeSet<String> {
    let safe = SafeOptions {
        release: 0,
        l2: false,
        threshold: 1,
        owners: 3,
    };
    let world = World::with(WorldOptions {
        safe: Some(safe),
        ..WorldOptions::default()
    });
    let watched = Watched::new(&world);
    let keystore = watched.with_keystore();
    let keystore: Vec<&str> = keystore.iter().map(String::as_str).collect();
    let dir = watched.flow.dir.to_str().unwrap();
    watched.step("prepare", &[], &[0]);
    watched.run(&[&["reject", "--dir", dir, "--yes"][..], &keystore].concat(), &[0]);
    std::mem::take(&mut *watched.ran.lock().unwrap())
}

/// The commands of a fleet.
fn of_a_fleet() -> BTreeSet<String> {
    let world = World::start();
    world.add_cvm(2);
    let watched = Watched::new(&world);
    let keystore = watched.with_keystore();
    let keystore: Vec<&str> = keystore.iter().map(String::as_str).collect();
    let (dir, compose) = (
        watched.flow.dir.to_str().unwrap(),
        watched.flow.compose.to_str().unwrap(),
    );
    let first = watched.flow.dir.join(CVM);
    let first = first.to_str().unwrap();
    let prepare = ["fleet", "prepare", "--cvm", CVM, "--all", "-c", compose, "--dir", dir];
    watched.run(&prepare, &[0]);
    watched.run(&[&["execute", "--dir", first, "--yes"][..], &keystore].concat(), &[0]);
    watched.run(&["wait", "--dir", first], &[0]);
    watched.run(&["fleet", "commit", "--dir", dir, "--yes"], &[0]);
    watched.run(&["fleet", "status", "--dir", dir], &[0]);
    std::mem::take(&mut *watched.ran.lock().unwrap())
}

/// A replica and an instance, from the first request to the new CVM.
fn of_new_cvms() -> BTreeSet<String> {
    let world = World::start();
    let watched = Watched::new(&world);
    let keystore = watched.with_keystore();
    let keystore: Vec<&str> = keystore.iter().map(String::as_str).collect();
    let (dir, compose) = (
        watched.flow.dir.to_str().unwrap(),
        watched.flow.compose.to_str().unwrap(),
    );
    let replica = ["cvm", "replicate", "--cvm", CVM, "--node", "18", "--yes", "--dir", dir];
    watched.run(&replica, &[0]);
    watched.run(&[&["resume", "--dir", dir, "--yes"][..], &keystore].concat(), &[0]);
    watched.tokens_are_gone();
    let second = world.folder().join("second");
    let second = second.to_str().unwrap();
    let instance = ["app", "instances", "add", "--cvm", CVM, "-c", compose, "--dir", second];
    watched.run(&instance, &[0]);
    watched.run(&[&["resume", "--dir", second, "--yes"][..], &keystore].concat(), &[0]);
    watched.run(&["app", "instances", "list", "--cvm", CVM], &[0]);
    assert_eq!(world.cloud.names().len(), 3);
    std::mem::take(&mut *watched.ran.lock().unwrap())
}

/// The commands that speak to Phala Cloud alone.
fn of_the_workspace() -> BTreeSet<String> {
    let world = World::start();
    let watched = Watched::new(&world);
    for command in [
        &["cvm", "list"][..],
        &["cvm", "get", "--cvm", CVM],
        &["nodes"],
        &["kms", "list"],
        &["webhook", "list"],
    ] {
        watched.run(command, &[0]);
    }
    std::mem::take(&mut *watched.ran.lock().unwrap())
}

/// Whether `name` begins a line that is indented as commands are, and not as the continuation of a sentence.
fn line_is_a_command(commands: &str, name: &str) -> bool {
    commands
        .lines()
        .any(|line| line.starts_with(&format!("  {name}")) && !line.starts_with("   "))
}

#[test]
fn v23_a_cloud_that_gives_secrets_back_spreads_none() {
    let world = World::start();
    let watched = Watched::new(&world);
    let flow = &watched.flow;
    for step in ["plan", "prepare", "upgrade"] {
        for status in [200, 401, 403, 422, 465, 500] {
            watched.cloud_says(status, watched.cloud_echo());
            watched.step(step, &["--timeout", "1s"], &[]);
            watched.proxy.heal();
        }
    }
    for status in [200, 202, 401, 404, 422, 465, 500] {
        watched.cloud_says(status, watched.cloud_echo());
        watched.run(&["cvm", "start", "--cvm", CVM, "--yes"], &[]);
        watched.run(&["cvm", "patch", "--cvm", CVM, "--vcpu", "2", "--yes"], &[]);
        watched.run(&["cvm", "watch", "--cvm", CVM, "--timeout", "1s"], &[]);
        watched.run(&["webhook", "list"], &[]);
        watched.proxy.heal();
    }
    watched.step("prepare", &[], &[0]);
    watched.step("execute", &[], &[0]);
    watched.step("wait", &[], &[0]);
    let problem = || {
        serde_json::json!({"error_code": watched.cloud_echo(), "message": watched.cloud_echo(), "request_id": watched.cloud_echo(),
        "details": [{"field": watched.cloud_echo(), "message": watched.cloud_echo()}]})
        .to_string()
    };
    for (status, body) in [
        (401, watched.cloud_echo()),
        (500, watched.cloud_echo()),
        (200, watched.cloud_echo()),
        (400, problem()),
    ] {
        let answer = Message::answer(status, &[("x-request-id", API_KEY)], body);
        watched.proxy.on(
            Match::Http("POST", "/commit-update"),
            Nth::Every,
            Action::Answer(answer),
        );
        watched.step("commit", &["--timeout", "1s"], &[]);
        watched.proxy.heal();
        flow.nothing_committed();
    }
    // Once only: a second run would commit with another token, and the page would hold one that this run never sent.
    let answer = Message::answer(466, &[], problem());
    watched.proxy.on(
        Match::Http("POST", "/commit-update"),
        Nth::Every,
        Action::Answer(answer),
    );
    let dir = flow.dir.to_str().unwrap();
    watched.run(&["commit", "--dir", dir, "--yes", "--json"], &[6]);
    watched.proxy.heal();
    watched.step("resume", &[], &[0]);
    watched.tokens_are_gone();
    flow.landed_once();
}

/// What an endpoint answers instead of the chain: status and body.
fn chain_refusals() -> [(u16, String); 4] {
    let error = serde_json::json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": vendor_echo()}});
    [
        (401, vendor_echo()),
        (500, vendor_echo()),
        (200, vendor_echo()),
        (200, error.to_string()),
    ]
}

#[test]
fn v23_a_chain_that_is_away_or_gives_its_credentials_back_spreads_none() {
    let cases = chain_refusals().map(Some).into_iter().chain([None]);
    let cases: Vec<_> = cases
        .flat_map(|refusal| ["plan", "execute"].map(|step| (refusal.clone(), step)))
        .collect();
    each(&cases, |(refusal, step)| {
        let world = World::start();
        let watched = Watched::new(&world);
        if *step == "execute" {
            watched.step("prepare", &[], &[0]);
        }
        if refusal.is_some() {
            watched.vendor.say(refusal.clone());
            watched.step(step, &["--timeout", "1s"], &[]);
        } else {
            // Nobody listens at all.
            let nowhere = format!("http://u:{RPC_USER}@127.0.0.1:1/v2/{RPC_PATH}?key={RPC_QUERY}");
            let gone = Flow::new(&world).chain_at(&nowhere);
            let mut command = crate::harness::judge::command(&gone, step, &["-vvv", "--timeout", "1s"]);
            watched.watch(&mut command, &[75]);
        }
        watched.vendor.say(None);
        watched.flow.nothing_happened();
        let rest = if *step == "execute" { "resume" } else { "upgrade" };
        watched.step(rest, &[], &[0]);
        watched.flow.landed_once();
    });
}

#[test]
fn v23_n2_a_wrong_password_and_a_bad_key_are_not_repeated() {
    let world = World::start();
    let watched = Watched::new(&world);
    watched.step("prepare", &[], &[0]);
    let dir = watched.flow.dir.to_str().unwrap();
    let keystore = watched.with_keystore();
    let keystore: Vec<&str> = keystore.iter().map(String::as_str).collect();
    watched.password_is(WRONG_PASSWORD);
    watched.run(&[&["execute", "--dir", dir, "--yes"][..], &keystore].concat(), &[4]);
    // A key with one digit too many, in a file and in a variable.
    let key = format!("{}0", world.owner.key);
    watched.password_is(&key);
    let file = format!("file:{}", watched.password.display());
    watched.run(&["execute", "--dir", dir, "--yes", "--signer", &file], &[3, 4]);
    let mut command = watched
        .flow
        .command(&["execute", "--dir", dir, "--yes", "-vvv", "--signer", "env:OWNER_KEY"]);
    watched.watch(command.env("OWNER_KEY", key), &[3, 4]);
    watched.flow.nothing_happened();
}

/// Everything that AWS gives this machine, at an AWS that gives it back.
#[test]
#[cfg_attr(not(feature = "aws-kms"), ignore = "needs --features aws-kms, as `make keys` has it")]
fn v23_n6_what_aws_was_given_is_nowhere_even_when_aws_gives_it_back() {
    use crate::support::kms::{ACCESS_KEY, Act, FakeKms, KEY_ID, SECRET_KEY, SESSION_TOKEN};
    let world = World::start();
    let watched = Watched::new(&world);
    let kms = FakeKms::start(&hex::decode(world.owner.key.trim_start_matches("0x")).unwrap());
    watched.step("prepare", &[], &[0]);
    let dir = watched.flow.dir.to_str().unwrap();
    let source = format!("aws:{KEY_ID}");
    let execute = |exit: i32| {
        let arguments = ["execute", "--dir", dir, "--yes", "-vvv", "--signer", &source];
        let mut command = watched.flow.command(&arguments);
        command.envs(kms.env()).env("RUST_LOG", "trace");
        let said = watched.watch(&mut command, &[exit]);
        for secret in [ACCESS_KEY, SECRET_KEY, SESSION_TOKEN] {
            assert!(!said.contains(secret), "{said}");
            for path in files(world.folder()) {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains(secret), "{}", path.display());
            }
        }
    };
    for action in ["GetPublicKey", "Sign"] {
        for (act, exit) in [
            (Act::Echo(403, "InvalidSignatureException"), 4),
            (Act::Echo(400, SESSION_TOKEN), 4),
            (Act::Echo(500, "KMSInternalException"), 75),
            (Act::Page(403), 4),
        ] {
            kms.on(action, act);
            execute(exit);
        }
        kms.heal();
    }
    execute(0);
    watched.step("resume", &[], &[0]);
    watched.flow.landed_once();
}

#[test]
fn v25_a_key_from_the_environment_is_told_and_one_from_a_keystore_is_not() {
    let world = World::start();
    let watched = Watched::new(&world);
    watched.step("prepare", &[], &[0]);
    let dir = watched.flow.dir.to_str().unwrap();
    let told = |more: &[&str]| {
        let command = [&["execute", "--dir", dir][..], more].concat();
        let output = crate::support::command::run(&mut watched.flow.command(&command));
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("environment variable")
    };
    let keystore = watched.with_keystore();
    assert!(!told(&keystore.each_ref().map(String::as_str)));
    assert!(told(&["--signer", "env:OWNER_KEY"]));
    let output = watched
        .flow
        .command(&["status", "--dir", dir])
        .arg(format!("--signer={}", world.owner.key))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "a key is no argument");
    assert!(!String::from_utf8_lossy(&output.stderr).contains(world.owner.key));
}

#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
#[test]
fn v23_v26_a_run_that_is_killed_leaves_no_secret_where_others_read() {
    let world = World::start();
    let watched = Watched::new(&world);
    for point in [
        "prepare.d",
        "prepare.e",
        "sign.b",
        "sign.e",
        "broadcast.d",
        "commit.b",
        "commit.d",
        "commit.e",
    ] {
        let mut command = crate::harness::judge::command(&watched.flow, "upgrade", &["-vvv", "--supersede"]);
        watched.watch(command.env("FAILPOINTS", format!("{point}=return")), &[]);
        watched.step("status", &[], &[]);
    }
    watched.step("resume", &[], &[0]);
    watched.tokens_are_gone();
    watched.flow.landed_once();
}

#[test]
fn v23_a_damaged_journal_is_refused_without_quoting_what_it_holds() {
    let world = World::start();
    let watched = Watched::new(&world);
    watched.step("prepare", &[], &[0]);
    let journal = watched.flow.dir.join("journal");
    let whole = std::fs::read(&journal).unwrap();
    for at in [1, whole.len() / 2, whole.len() - 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&journal, damaged).unwrap();
        for step in ["status", "execute", "wait", "commit", "resume", "prepare", "upgrade"] {
            watched.step(step, &[], &[10]);
        }
    }
    std::fs::write(&journal, whole).unwrap();
    watched.step("resume", &[], &[0]);
    watched.flow.landed_once();
}

#[test]
fn v26_a_token_that_others_could_read_or_that_has_two_names_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start();
    let watched = Watched::new(&world);
    for step in ["prepare", "execute", "wait"] {
        watched.step(step, &[], &[0]);
    }
    let token = watched.flow.dir.join("token");
    let mode = |mode| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let refused = watched.flow.step("commit").exits(12);
    watched.is_clean("a refusal", &refused.said);
    mode(0o600);
    let second = world.folder().join("token");
    std::fs::hard_link(&token, &second).unwrap();
    watched.flow.step("commit").exits(12);
    watched.flow.nothing_committed();
    std::fs::remove_file(&second).unwrap();
    watched.step("commit", &[], &[0]);
    watched.flow.landed_once();
}
