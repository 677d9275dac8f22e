//! Codes that no other test meets, each by a run of the real binary that ends with it or warns of it.

use std::path::Path;
use std::process::Stdio;

use alloy::primitives::{Address, B256, Bytes, keccak256};
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{BINARY, Flow, Ran};
use crate::harness::judge::copied;
use crate::safe::upgrade::{execute, signed_by_two, signer, two_of_three, use_up_nonce};
use crate::support::contracts::{self, abi};
use crate::support::outsider::{BatchFile, Outsider};
use crate::support::safes::RELEASES;
use crate::support::timelocks::{self, TimelockOptions, advance};
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, Action, AppVariant, FaultProxy, Match, Message, Nth, SafeService, World, countersign};

/// A run with these words.
fn run(world: &World, words: &[&str]) -> Ran {
    Ran::of(world.countersign(BINARY).args(words).arg("--json"))
}

/// A run without a world: no cloud, no chain.
fn alone(home: &Path, words: &[&str]) -> Ran {
    Ran::of(countersign(BINARY, home).args(words).arg("--json"))
}

#[track_caller]
fn warns(ran: &Ran, code: &str) {
    let list = ran.json["warnings"].as_array().unwrap();
    assert!(list.iter().any(|warning| warning["code"] == code), "{}", ran.said);
}

/// An app that changes hands in one step.
fn given_away_at_once() -> World {
    World::with(WorldOptions {
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    })
}

pub fn of_a_safe() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

#[test]
fn a_delivery_with_another_secret_or_without_headers_or_body_is_the_users_to_correct() {
    let home = tempfile::tempdir().unwrap();
    let headers = home.path().join("headers");
    std::fs::write(&headers, "no header at all\n").unwrap();
    let verify = |secret: &str, stdin: Stdio, more: &[&str]| {
        let mut command = countersign(BINARY, home.path());
        command
            .args(["webhook", "verify", "--json", "--secret-from", "env:HOOK"])
            .args(more)
            .env("HOOK", secret)
            .stdin(stdin);
        Ran::of(&mut command)
    };
    let header = ["--header", "a: b"];
    verify("whsec_1 whsec_2", Stdio::null(), &header)
        .exits(4)
        .says("AUTH_WEBHOOK_SECRET");
    verify("whsec_1", Stdio::null(), &["--headers", headers.to_str().unwrap()])
        .exits(3)
        .says("INPUT_HEADERS");
    let folder = std::fs::File::open(home.path()).unwrap();
    verify("whsec_1", folder.into(), &header).exits(3).says("INPUT_STDIN");
}

#[test]
fn what_a_command_lacks_or_has_too_much_of_is_named_before_anything_is_asked() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json").display().to_string();
    let before = world.cloud.request_count();
    let token = world.file("token", "no token");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let batch = world.file("batch.json", "{\"version\":\"1.0\"}");
    let env = world.file("prod.env", "A=1\n");
    let other = world.file("other.yml", NEW_COMPOSE.replace("1.28", "1.30").as_str());
    let (token, batch, env, other) = (token.display(), batch.display(), env.display(), other.display());
    let (safe, compose) = (world.safe.unwrap(), flow.compose.display());
    let replica = format!("cvm replicate --cvm {CVM} --yes");
    let committed = format!("{replica} --commit --compose-hash 0x{}", "11".repeat(32));
    let fleet = format!("fleet prepare --cvm {CVM} -c {compose} --dir fleet");
    for (words, exit, code) in [
        (format!("review --builder-file {batch}"), 3, "INPUT_BUILDER_FILE"),
        (format!("review {proposal} --offline --nonce 0"), 2, "USAGE_OFFLINE"),
        (format!("review {proposal} --also other-app"), 2, "USAGE_NO_FILE"),
        (format!("review --safe {safe} --chain-id 31337"), 2, "USAGE_SERVICE"),
        (format!("{replica} --node 26 --env-file {env}"), 2, "USAGE_NEEDS_DIR"),
        (format!("{committed} --token-file missing"), 12, "STORAGE_MISSING"),
        (format!("{committed} --token-file {token}"), 3, "INPUT_TOKEN"),
        (format!("{fleet} --also {CVM}={other}"), 2, "USAGE_ONE_FILE"),
        (format!("{fleet} --without {CVM}"), 6, "FLEET_EMPTY"),
    ] {
        let ran = run(&world, &words.split(' ').collect::<Vec<_>>());
        let found = (ran.exit, ran.json["code"].as_str());
        assert_eq!(found, (exit, Some(code)), "{words}: {}", ran.said);
    }
    let written = world.cloud.requests().into_iter().skip(before);
    assert_eq!(written.filter(|request| request.method != "GET").count(), 0);
}

#[test]
fn arguments_that_clap_refuses_otherwise_are_wrong_arguments() {
    let home = tempfile::tempdir().unwrap();
    // A flag that is given a value.
    alone(home.path(), &["execute", "--yes=1"])
        .exits(2)
        .says("USAGE_ARGUMENTS");
}

#[test]
fn without_a_place_for_the_record_of_signatures_nothing_is_signed() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json");
    let words = [
        "sign",
        proposal.to_str().unwrap(),
        "--signer",
        "env:SIGNER_0",
        "--yes",
        "--json",
    ];
    let mut command = flow.command(&words);
    Ran::of(command.env_remove("HOME").env_remove("XDG_STATE_HOME"))
        .exits(6)
        .says("NO_SIGNING_RECORD");
    let signed = &flow.json_file("proposal.json")["safe"]["signatures"];
    assert_eq!(signed, &json!([]));
}

/// `reject` by the key of an account.
fn reject(flow: &Flow<'_>, account: usize) -> Ran {
    let (dir, signer) = (flow.dir.to_str().unwrap(), signer(account));
    Ran::of(&mut flow.command(&["reject", "--dir", dir, "--signer", &signer, "--yes", "--json"]))
}

#[test]
fn m24_whoever_comes_after_a_rejection_or_an_execution_is_told_which_it_was() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let late = copied(&flow, "late");
    reject(&flow, 0).exits(8).says("PENDING_REJECTION");
    reject(&flow, 1).exits(0);
    execute(&late, 1).exits(6).says("SAFE_TX_REJECTED");
    let world = two_of_three();
    let flow = signed_by_two(&world);
    let late = copied(&flow, "late");
    execute(&flow, 2).exits(0);
    flow.step("wait").exits(0);
    for flow in [&flow, &late] {
        reject(flow, 0).exits(6).says("ALREADY_APPROVED");
    }
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn m4_a_nonce_of_which_no_endpoint_shows_who_used_it_up_is_unknown_and_not_taken() {
    let world = two_of_three();
    let flow = signed_by_two(&world);
    use_up_nonce(&world, &[ACCOUNTS[0].address, ACCOUNTS[1].address]);
    let silent = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    });
    let dir = flow.dir.to_str().unwrap();
    let words = ["execute", "--dir", dir, "--signer", "env:SIGNER_2", "--yes", "--json"];
    Ran::of(flow.command(&words).args(["--rpc-url", silent.url()]))
        .exits(9)
        .says("SAFE_NONCE_UNKNOWN");
    execute(&flow, 2).exits(6).says("SAFE_NONCE_TAKEN");
    flow.nothing_happened();
}

#[test]
fn who_signs_for_a_safe_that_owns_the_safe_has_to_name_one_of_its_owners_that_is_a_safe() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json");
    let sign = |child: Address, more: &[&str]| {
        let child = child.to_string();
        let words = [
            "sign",
            proposal.to_str().unwrap(),
            "--for",
            &child,
            "--signer",
            "env:SIGNER_0",
        ];
        Ran::of(flow.command(&words).args(["--yes", "--json"]).args(more))
    };
    sign(world.app, &[]).exits(5).says("NESTED_NOT_OWNER");
    sign(ACCOUNTS[1].address, &[]).exits(6).says("NESTED_NOT_A_SAFE");
    sign(ACCOUNTS[1].address, &["--offline"])
        .exits(6)
        .says("NESTED_NOT_CHOSEN");
}

#[test]
fn what_a_service_shows_of_another_safe_or_under_another_hash_is_told_apart() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let service = SafeService::start(&world.rpc());
    service.index(world.safe.unwrap());
    let (proposal, url) = (flow.dir.join("proposal.json"), service.url());
    let proposal = proposal.to_str().unwrap();
    let other = world.app.to_string();
    let words = [
        "review",
        proposal,
        "--safe",
        &other,
        "--service-url",
        &url,
        "--nonce",
        "0",
    ];
    run(&world, &words).exits(5).says("SAFE_MISMATCH");
}

#[test]
fn an_endpoint_that_refuses_the_transaction_gets_the_same_bytes_again() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let refused = json!({"error": {"code": -32000, "message": "intrinsic gas too low"}});
    let picky = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_sendRawTransaction").then(|| refused.clone())
    });
    flow.with("execute", &["--rpc-url", picky.url()])
        .exits(6)
        .says("TX_REJECTED");
    assert_eq!(flow.announcements(), 0);
    flow.step("resume").exits(0);
    let signed = flow.kinds().iter().filter(|kind| *kind == "tx.signed").count();
    assert_eq!(signed, 1, "nothing new was signed");
    flow.landed_once();
}

#[test]
fn a_commit_that_is_refused_outright_keeps_the_approval_and_goes_through_later() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let commit = || Match::Http("POST", "/commit-update");
    for (status, exit, code) in [(400, 6, "COMMIT_REFUSED"), (465, 75, "CLOUD_BEHIND_CHAIN")] {
        proxy.on(commit(), Nth::Every, Action::Answer(refusal(status)));
        flow.with("commit", &["--timeout", "3s"]).exits(exit).says(code);
        proxy.heal();
    }
    flow.nothing_committed();
    flow.step("commit").exits(0);
    flow.landed_once();
}

/// A refusal in Phala Cloud's own form.
fn refusal(status: u16) -> Message {
    let body = json!({"detail": "no"}).to_string().into_bytes();
    Message {
        start: format!("HTTP/1.1 {status} No"),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
            ("connection".to_owned(), "close".to_owned()),
        ],
        body,
    }
}

#[test]
fn a_cvm_of_which_phala_cloud_names_no_app_or_another_uuid_is_not_upgraded() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record: &mut Value| {
            for field in ["app_id", "contract_address"] {
                record[field] = Value::Null;
                record["hosted"][field] = Value::Null;
            }
            record["kms_info"]["dstack_app_address"] = Value::Null;
        }));
    });
    flow.step("plan").exits(6).says("APP_UNKNOWN");
    let listed = ["app", "instances", "list", "--cvm", CVM];
    run(&world, &listed).exits(3).says("INPUT_NO_APP");
    let uuid = world.cloud.cvm(CVM).uuid;
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record: &mut Value| {
            record["vm_uuid"] = json!("0".repeat(32));
        }));
    });
    let compose = flow.compose.to_str().unwrap();
    run(&world, &["plan", "--cvm", &uuid, "-c", compose])
        .exits(5)
        .says("CVM_MISMATCH");
}

#[test]
fn a_fleet_takes_no_cvm_that_is_named_like_its_own_files_and_none_of_another_app() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (compose, dir) = (flow.compose.to_str().unwrap(), flow.dir.to_str().unwrap());
    let prepare = |cvm: &str, more: &[&str]| {
        let words = ["fleet", "prepare", "--cvm", cvm, "-c", compose, "--dir", dir];
        run(&world, &[&words[..], more].concat())
    };
    let mut odd = world.add_cvm(2);
    "journal".clone_into(&mut odd.name);
    world.cloud.add_cvm(odd);
    prepare("journal", &[]).exits(6).says("FLEET_NAME");
    prepare(CVM, &[]).exits(0);
    let other = world.add_app(3, world.owner.address);
    prepare(&other.name, &[]).exits(5).says("FLEET_APP_MISMATCH");
}

#[test]
fn a_file_of_a_batch_says_for_which_safe_it_is_and_that_safe_has_to_own_the_app() {
    let world = two_of_three();
    let mut data = keccak256("addComposeHash(bytes32)")[..4].to_vec();
    data.extend([7; 32]);
    let batch = |meta: Value| {
        let call = json!({"to": world.app.to_string(), "value": "0", "data": Bytes::from(data.clone()),
            "contractMethod": null, "contractInputsValues": null});
        json!({"version": "1.0", "chainId": "31337", "createdAt": 1_790_000_000_000_u64, "meta": meta,
            "transactions": [call]})
        .to_string()
    };
    let mut meta = json!({"name": "x", "description": "", "txBuilderVersion": "1.18.3", "createdFromOwnerAddress": ""});
    let nobodys = world.file("nobodys.json", &batch(meta.clone()));
    let read = run(&world, &["review", "--builder-file", nobodys.to_str().unwrap()]);
    warns(&read, "NO_SAFE_NAMED");
    meta["createdFromSafeAddress"] = json!(ACCOUNTS[4].address.to_string());
    let other = world.file("other.json", &batch(meta));
    run(&world, &["review", "--builder-file", other.to_str().unwrap()])
        .exits(5)
        .says("OWNER_MISMATCH");
    let safe = world.safe.unwrap().to_string();
    let fields = [
        "--safe",
        &safe,
        "--chain-id",
        "31337",
        "--nonce",
        "0",
        "--safe-version",
        "1.4.1",
        "--offline",
    ];
    let words = [&["safe", "hash", nobodys.to_str().unwrap()][..], &fields].concat();
    warns(&run(&world, &words), "BUILDER_CHECKSUM_MISSING");
}

#[test]
fn what_cannot_be_looked_at_again_is_said_and_is_no_failure() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let nowhere = "http://127.0.0.1:1";
    let words = ["status", "--json", "--dir", dir];
    let ran = Ran::of(flow.command(&words).env("ETH_RPC_URL", nowhere));
    warns(&ran.exits(0), "PROOF_NOT_CHECKED");
    flow.step("commit").exits(0);
    let cloud = format!("{nowhere}/api/v1");
    let ran = Ran::of(flow.command(&words).env("PHALA_CLOUD_API_PREFIX", cloud));
    warns(&ran.exits(0), "LIVE_NOT_SEEN_AGAIN");
}

#[test]
fn a_manifest_that_is_not_what_the_record_says_is_shown_with_a_warning() {
    let world = World::start();
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.compose_hash = B256::repeat_byte(7));
    warns(
        &run(&world, &["cvm", "manifest", "--cvm", CVM]).exits(0),
        "MANIFEST_FORM_UNKNOWN",
    );
}

#[test]
fn whoever_prepares_does_not_wait_for_the_cvm_and_is_told_so() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    let words = [
        "cvm",
        "docker-compose",
        "x.yml",
        "--cvm",
        CVM,
        "--yes",
        "--wait",
        "--dir",
        "up",
    ];
    warns(&run(&world, &words).exits(0), "NOTHING_TO_WAIT_FOR");
}

#[test]
fn names_that_change_the_guests_shell_are_told_before_they_are_sealed() {
    let world = World::start();
    let flow = Flow::new(&world);
    let env = world.file("prod.env", "BASH_ENV=x\nLOG_LEVEL=1\n");
    let mut change = flow.arguments("prepare");
    change.extend(["--env-file".to_owned(), env.to_str().unwrap().to_owned()]);
    change.extend(["--allowed-env".to_owned(), "BASH_ENV,LOG_LEVEL".to_owned()]);
    let words: Vec<&str> = change.iter().map(String::as_str).collect();
    warns(&Ran::of(&mut flow.command(&words)).exits(0), "ENV_SHELL_NAMES");
}

#[test]
fn values_are_not_sealed_where_phala_cloud_names_no_kms_contract() {
    let world = World::start();
    world.forget_the_kms();
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record: &mut Value| {
            record["kms_info"]["kms_contract_address"] = Value::Null;
            record["kms_info"]["dstack_kms_address"] = Value::Null;
        }));
    });
    let flow = Flow::new(&world);
    let env = world.file("prod.env", "LOG_LEVEL=1\n");
    flow.with("prepare", &["--env-file", env.to_str().unwrap()])
        .exits(6)
        .says("ENV_KMS_UNKNOWN");
    assert!(world.cloud.tokens().is_empty());
}

#[test]
fn an_instance_id_that_is_another_or_is_not_there_yet_is_told_apart() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let ask = |status: &str| {
        let id = "ab".repeat(20);
        let answer = json!({"cvm_id": 1, "identifier": CVM, "status": status, "old_instance_id": null,
            "new_instance_id": id, "source": "teepod_state", "verified_with_gateway": true, "reason": null});
        let body = Action::Body(answer.to_string().into_bytes());
        proxy.on(Match::Http("PATCH", "/instance-id"), Nth::Every, body);
        let words = ["cvm", "instance-id", "--cvm", CVM, "--yes", "--json"];
        let mut command = world.countersign(BINARY);
        command.args(words).env("PHALA_CLOUD_API_PREFIX", proxy.prefix());
        let ran = Ran::of(&mut command);
        proxy.heal();
        ran
    };
    ask("conflict").exits(6).says("INSTANCE_ID_UNSETTLED");
    let items = json!({"total": 1, "scanned": 1, "updated": 1, "unchanged": 0, "skipped": 0, "conflicts": 0, "errors": 0,
        "items": [{"cvm_id": 1, "identifier": CVM, "status": "updated", "old_instance_id": null,
            "new_instance_id": "ab".repeat(20), "source": "teepod_state", "verified_with_gateway": true, "reason": null}]});
    let body = Action::Body(items.to_string().into_bytes());
    proxy.on(Match::Http("PATCH", "/instance-ids"), Nth::Every, body);
    let words = [
        "cvm",
        "instance-ids",
        CVM,
        "--yes",
        "--json",
        "--wait",
        "--timeout",
        "1s",
    ];
    let mut command = world.countersign(BINARY);
    Ran::of(command.args(words).env("PHALA_CLOUD_API_PREFIX", proxy.prefix()))
        .exits(8)
        .says("PENDING_INSTANCE_ID");
}

#[test]
fn l12_a_stranger_that_owns_the_app_and_a_call_that_it_would_refuse_are_told() {
    let world = given_away_at_once();
    let stranger = contracts::deploy(&world.rpc(), ACCOUNTS[0].address, "ContractOwner", &[]);
    world.as_owner(&abi::transferOwnershipCall { to: stranger });
    let app = world.app.to_string();
    let shown = run(&world, &["app", "owner", "show", &app, "--chain-id", "31337"]);
    warns(&shown.exits(0), "OWNER_UNKNOWN");
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let refuses = Liar::to(&world.anvil.url(), |method, asked| {
        let data = asked[0]["data"].as_str().or(asked[0]["input"].as_str());
        let is_ours = method == "eth_call" && data.is_some_and(|data| data.starts_with("0xdfc77223"));
        is_ours.then(|| json!({"error": {"code": 3, "message": "execution reverted: paused", "data": "0x"}}))
    });
    flow.with("review", &["--rpc-url", refuses.url()])
        .exits(6)
        .says("CALL_WOULD_FAIL");
}

#[test]
fn l6_l7_a_timelock_that_nobody_may_ask_or_of_which_not_all_is_known_is_told() {
    let world = given_away_at_once();
    let nobody = TimelockOptions {
        proposers: Vec::new(),
        ..TimelockOptions::default()
    };
    let timelock = nobody.deploy(&world.rpc());
    world.as_owner(&abi::transferOwnershipCall { to: timelock });
    let flow = Flow::new(&world);
    flow.step("plan").exits(6).says("TIMELOCK_NO_PROPOSER");
    let blind = Liar::to(&world.anvil.url(), |method, _| {
        let refused = json!({"error": {"code": -32000, "message": "no logs here"}});
        (method == "eth_getLogs").then_some(refused)
    });
    let app = world.app.to_string();
    let words = [
        "app",
        "owner",
        "show",
        &app,
        "--chain-id",
        "31337",
        "--rpc-url",
        blind.url(),
    ];
    warns(&run(&world, &words).exits(0), "TIMELOCK_ROLES_UNKNOWN");
}

#[test]
fn l3_an_operation_that_would_fail_is_not_executed_and_one_that_is_gone_is_looked_for() {
    let world = given_away_at_once();
    let timelock = TimelockOptions::default().deploy(&world.rpc());
    world.as_owner(&abi::transferOwnershipCall { to: timelock });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    advance(&world.rpc(), 86_400);
    // `execute(address,uint256,bytes,bytes32,bytes32)`, as its selector has it.
    let selector = keccak256("execute(address,uint256,bytes,bytes32,bytes32)");
    let selector = format!("0x{}", alloy::hex::encode(&selector[..4]));
    let refuses = Liar::to(&world.anvil.url(), move |method, asked| {
        let data = asked[0]["data"].as_str().or(asked[0]["input"].as_str());
        let is_ours = ["eth_call", "eth_estimateGas"].contains(&method);
        let is_ours = is_ours && data.is_some_and(|data| data.starts_with(&selector));
        is_ours.then(|| json!({"error": {"code": 3, "message": "execution reverted: paused", "data": "0x"}}))
    });
    flow.with("execute", &["--rpc-url", refuses.url()])
        .exits(6)
        .says("TIMELOCK_WOULD_FAIL");
    // The timelock forgets it, and no event says that somebody cancelled it.
    let id = flow
        .step("status")
        .exits(0)
        .fact("operation_id")
        .as_str()
        .unwrap()
        .to_owned();
    let id: B256 = id.parse().unwrap();
    let slot = keccak256([id.as_slice(), B256::with_last_byte(1).as_slice()].concat());
    let forgotten = json!([timelock, slot, B256::ZERO]);
    world.rpc().call("anvil_setStorageAt", forgotten);
    flow.step("execute").exits(9).says("OPERATION_UNSEEN");
    flow.nothing_happened();
}

#[test]
fn what_a_transaction_changed_besides_is_told_where_its_proof_is_taken() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let call = |name: &str, word: B256| {
        let data = [&keccak256(name)[..4], word.as_slice()].concat();
        json!({"to": world.app.to_string(), "value": "0", "data": Bytes::from(data)})
    };
    let calls = [
        call("addComposeHash(bytes32)", flow.hash),
        call("addDevice(bytes32)", B256::repeat_byte(9)),
    ];
    let file = json!({"chainId": "31337", "transactions": calls,
        "meta": {"createdFromSafeAddress": world.safe.unwrap().to_string()}});
    let outsider = Outsider {
        rpc: world.rpc(),
        release: &RELEASES[1],
        safe: world.safe.unwrap(),
        signers: &[0, 1],
    };
    outsider.execute(&BatchFile::read(&file.to_string()));
    warns(&flow.step("wait").exits(0), "POLICY_BESIDES");
}

#[test]
fn an_approval_on_chain_that_does_not_stand_and_a_rejection_that_did_not_happen_have_failed() {
    let world = World::with(WorldOptions {
        anvil: crate::support::AnvilOptions {
            no_mining: true,
            ..Default::default()
        },
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    let rpc = world.rpc();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let approve = || {
        let words = [
            "sign",
            "--on-chain",
            "--dir",
            dir,
            "--signer",
            "env:SIGNER_0",
            "--yes",
            "--json",
        ];
        Ran::of(flow.command(&words).args(["--timeout", "2s"]))
    };
    approve().exits(8).says("PENDING_INCLUSION");
    rpc.mine(1);
    // `approvedHashes[owner][hash]`, the mapping in slot 8.
    let hash: B256 =
        serde_json::from_value(flow.json_file("proposal.json")["safe"]["digests"]["safe_tx"].clone()).unwrap();
    let owners = keccak256([ACCOUNTS[0].address.into_word(), B256::with_last_byte(8)].concat());
    let slot = keccak256([hash, owners].concat());
    rpc.call("anvil_setStorageAt", json!([world.safe.unwrap(), slot, B256::ZERO]));
    approve().exits(7).says("APPROVAL_FAILED");
}

#[test]
fn a_fleet_whose_cvms_do_not_come_up_in_time_says_which_is_not_done() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (compose, dir) = (flow.compose.to_str().unwrap(), flow.dir.to_str().unwrap());
    let words = ["fleet", "prepare", "--cvm", CVM, "-c", compose, "--dir", dir];
    run(&world, &words).exits(0);
    world.allow(flow.hash);
    let member = flow.dir.join(CVM);
    run(&world, &["wait", "--dir", member.to_str().unwrap()]).exits(0);
    world.cloud.set_boot_time(std::time::Duration::from_secs(3600));
    run(&world, &["fleet", "commit", "--dir", dir, "--yes", "--timeout", "3s"])
        .exits(75)
        .says("FLEET_MEMBER_PENDING");
}

#[test]
fn a_service_that_keeps_not_every_signature_is_told_of() {
    let world = two_of_three();
    let flow = signed_by_two(&world);
    let service = SafeService::start(&world.rpc());
    service.index(world.safe.unwrap());
    let host = service.url().replace("/tx-service/sim", "");
    let proxy = FaultProxy::to(&host);
    proxy.on(
        Match::Http("POST", "/confirmations"),
        Nth::Every,
        Action::Answer(taken()),
    );
    let (dir, url) = (flow.dir.to_str().unwrap(), proxied(&proxy, &service));
    let words = [
        "propose",
        "--dir",
        dir,
        "--service-url",
        &url,
        "--yes",
        "--signer",
        "env:SIGNER_0",
    ];
    run(&world, &words).exits(6).says("SERVICE_INCOMPLETE");
}

/// The service's address behind a proxy.
fn proxied(proxy: &FaultProxy, service: &SafeService) -> String {
    let url = service.url();
    let path = url.splitn(4, '/').nth(3).unwrap();
    format!("{}/{path}", proxy.url())
}

/// An answer that says that it was taken.
fn taken() -> Message {
    let body = b"{}".to_vec();
    Message {
        start: "HTTP/1.1 201 Created".to_owned(),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
            ("connection".to_owned(), "close".to_owned()),
        ],
        body,
    }
}

/// The upgrade of an app that a timelock owns, on a chain whose blocks are made when a test says so from `quiet` on.
fn behind_a_timelock(world: &World) -> (Flow<'_>, Address) {
    let timelock = TimelockOptions::default().deploy(&world.rpc());
    world.as_owner(&abi::transferOwnershipCall { to: timelock });
    let flow = Flow::new(world);
    flow.step("prepare").exits(0);
    (flow, timelock)
}

fn mining(world: &World, automatic: bool) {
    world.rpc().call("evm_setAutomine", json!([automatic]));
}

#[test]
fn l7_a_scheduling_that_fails_on_chain_is_told_and_can_be_sent_again() {
    let world = given_away_at_once();
    let (flow, timelock) = behind_a_timelock(&world);
    mining(&world, false);
    flow.with("execute", &["--timeout", "2s"]);
    // The role goes in the same block, before the transaction.
    let hash = flow.journal().iter().find(|one| one["kind"] == "tx.signed").unwrap()["body"]["raw"].clone();
    let pooled = world.rpc().call("txpool_content", json!([]))["pending"].clone();
    assert!(pooled.to_string().contains("hash"), "{pooled}");
    world.rpc().call("anvil_dropAllTransactions", json!([]));
    mining(&world, true);
    let role = keccak256("PROPOSER_ROLE");
    let revoke = timelocks::abi::revokeRoleCall {
        role,
        account: world.owner.address,
    };
    world.rpc().execute_as(timelock, timelock, &revoke);
    world.rpc().call("eth_sendRawTransaction", json!([hash]));
    flow.with("execute", &["--timeout", "5s"])
        .exits(7)
        .says("TIMELOCK_CALL_FAILED");
    flow.nothing_happened();
}

#[test]
fn l3_an_operation_that_was_executed_and_undone_is_used_up() {
    let world = given_away_at_once();
    let (flow, timelock) = behind_a_timelock(&world);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    advance(&world.rpc(), 86_400);
    let call = flow.json_file("proposal.json")["timelock"]["execute"].clone();
    let sent = json!([{"from": ACCOUNTS[4].address, "to": call["to"], "data": call["data"]}]);
    world.rpc().call("eth_sendTransaction", sent);
    let remove = abi::removeComposeHashCall { composeHash: flow.hash };
    world.rpc().execute_as(timelock, world.app, &remove);
    flow.step("execute").exits(6).says("OPERATION_WITHOUT_EFFECT");
    flow.nothing_committed();
}

#[test]
fn v14_a_transaction_of_ours_that_shows_no_success_of_the_safe_proves_nothing() {
    let world = two_of_three();
    let flow = signed_by_two(&world);
    execute(&flow, 2).exits(0);
    let success = json!(keccak256("ExecutionSuccess(bytes32,uint256)"));
    let liar = Liar::editing(&world.anvil.url(), move |_, result| {
        if let Some(logs) = result.get_mut("logs").and_then(Value::as_array_mut) {
            logs.retain(|log| log["topics"][0] != success);
        }
    });
    flow.with("wait", &["--rpc-url", liar.url(), "--timeout", "5s"])
        .exits(5)
        .says("SAFE_NOT_EXECUTED");
    flow.nothing_committed();
}

#[test]
fn m24_a_rejection_whose_transaction_failed_rejected_nothing() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    reject(&flow, 0).exits(8).says("PENDING_REJECTION");
    mining(&world, false);
    let dir = flow.dir.to_str().unwrap();
    let words = [
        "reject",
        "--dir",
        dir,
        "--signer",
        "env:SIGNER_1",
        "--yes",
        "--json",
        "--timeout",
    ];
    Ran::of(flow.command(&words).arg("2s"))
        .exits(8)
        .says("PENDING_INCLUSION");
    let signed = flow.journal().into_iter().find(|one| one["kind"] == "tx.signed");
    let raw = signed.unwrap()["body"]["raw"].clone();
    world.rpc().call("anvil_dropAllTransactions", json!([]));
    mining(&world, true);
    use_up_nonce(&world, &[ACCOUNTS[0].address, ACCOUNTS[2].address]);
    world.rpc().call("eth_sendRawTransaction", json!([raw]));
    Ran::of(flow.command(&words).arg("5s"))
        .exits(7)
        .says("REJECTION_FAILED");
}

#[test]
fn a_compose_file_that_is_empty_is_refused() {
    let world = World::start();
    let empty = world.file("empty.yml", "");
    let words = ["plan", "--cvm", CVM, "-c", empty.to_str().unwrap()];
    run(&world, &words).exits(3).says("INPUT_TEXT_FILE");
}

#[test]
fn l11_an_execution_that_another_contract_claims_is_not_that_of_the_operation() {
    let world = given_away_at_once();
    let (flow, timelock) = behind_a_timelock(&world);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    advance(&world.rpc(), 86_400);
    flow.step("execute").exits(0);
    let executed = json!(keccak256("CallExecuted(bytes32,uint256,address,uint256,bytes)"));
    let elsewhere = json!(Address::repeat_byte(7));
    assert_ne!(elsewhere, json!(timelock));
    let liar = Liar::editing(&world.anvil.url(), move |_, result| {
        for log in result
            .get_mut("logs")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if log["topics"][0] == executed {
                log["address"] = elsewhere.clone();
            }
        }
    });
    flow.with("wait", &["--rpc-url", liar.url(), "--timeout", "5s"])
        .exits(5)
        .says("OPERATION_MISMATCH");
    flow.nothing_committed();
}
