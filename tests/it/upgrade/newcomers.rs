//! Replicas and new instances of an app, approved like an upgrade and made once: by a key, a Safe and a timelock; with lost
//! answers, deaths, tokens that died, and by others at the same time.

use alloy::primitives::{B256, b256, keccak256};
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, effects, ended, moved, offline_status};
use crate::support::cloud::{Cvm, NODES, TOKEN_LIFE};
use crate::support::contracts::abi;
use crate::support::timelocks::{TimelockOptions, advance};
use crate::support::world::{CVM, NEW_COMPOSE, WorldOptions};
use crate::support::{Action, BootFailure, FaultProxy, Match, Moment, Nth, SafeOptions, World, until};

const TWO_OF_THREE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
/// Number of the node whose device the app does not allow at first.
const NODE: &str = "26";

/// Its device.
fn device() -> B256 {
    keccak256(NODES[1].2)
}

/// The other node's device, as an option that lets it in.
fn let_in() -> [String; 2] {
    ["--add-device".to_owned(), device().to_string()]
}

fn text(path: &std::path::Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn run(flow: &Flow<'_>, words: &[&str], more: &[String]) -> Ran {
    let mut command = flow.command(words);
    command.args(["--json", "--dir", flow.dir.to_str().unwrap()]).args(more);
    Ran::of(&mut command)
}

/// Prepares a replica on the other node.
fn replicate(flow: &Flow<'_>, more: &[String]) -> Ran {
    let words = ["cvm", "replicate", "--cvm", CVM, "--node", NODE, "--yes"];
    run(flow, &words, more)
}

/// Prepares an instance that runs something else on the other node.
fn add(flow: &Flow<'_>, more: &[String]) -> Ran {
    let compose = text(&flow.compose);
    let words = ["app", "instances", "add", "--cvm", CVM, "--node", NODE, "-c", &compose];
    run(flow, &words, more)
}

/// A step by the key of an account.
fn by(flow: &Flow<'_>, step: &str, account: usize) -> Ran {
    let signer = format!("env:SIGNER_{account}");
    run(flow, &[step, "--signer", &signer, "--yes", "--timeout", "20s"], &[])
}

/// Everything that is left, by the owner's key.
fn resume(flow: &Flow<'_>) -> Ran {
    run(
        flow,
        &["resume", "--signer", "env:OWNER_KEY", "--yes", "--timeout", "20s"],
        &[],
    )
}

/// The CVMs that were not there at first.
fn made(world: &World) -> Vec<Cvm> {
    let names = world.cloud.names();
    let all = names.iter().map(|name| world.cloud.cvm(name));
    all.filter(|cvm| cvm.name != CVM).collect()
}

/// One new CVM came up, on the other node, with `hash`; it is the one that is told of, and the source is as it was.
#[track_caller]
fn made_once(flow: &Flow<'_>, hash: B256) {
    let world = flow.world;
    let made = made(world);
    let [one] = made.as_slice() else {
        panic!("{} CVMs were made", made.len());
    };
    assert_eq!(
        (one.compose_hash, one.device, one.status.as_str()),
        (hash, device(), "running")
    );
    let source = world.cloud.cvm(CVM);
    assert_ne!(one.instance_id, source.instance_id);
    assert_eq!((source.compose_hash, source.commits.len()), (world.first_hash, 0));
    let evidence = flow.json_file("evidence.json");
    assert_eq!(evidence["said"]["new_cvm"], json!(one.uuid));
    assert!(!evidence["said"]["cloud"]["live_at"].is_null(), "{evidence}");
    assert_eq!(flow.kinds().last().map(String::as_str), Some("done"));
    assert!(!flow.dir.join("token").exists() && !flow.dir.join("prepare.raw").exists());
    let state = crate::support::command::shown(&flow.command(&["status", "--dir", &text(&flow.dir)]).output().unwrap());
    assert!(
        state.contains("The new CVM runs.") && state.contains(&one.uuid),
        "{state}"
    );
    no_token(flow, &state);
}

/// No token stands anywhere but in the files that are for it.
#[track_caller]
fn no_token(flow: &Flow<'_>, said: &str) {
    for token in flow.world.cloud.tokens() {
        assert!(!said.contains(&token.text), "{said}");
        for file in ["journal", "proposal.json", "evidence.json", "evidence.md"] {
            let content = std::fs::read_to_string(flow.dir.join(file)).unwrap_or_default();
            assert!(!content.contains(&token.text), "{file}");
        }
    }
}

/// Selectors of the proposal's calls.
fn calls(flow: &Flow<'_>) -> Vec<String> {
    let proposal = flow.json_file("proposal.json");
    let calls = proposal["calls"].as_array().unwrap();
    let data = calls.iter().map(|call| call["data"].as_str().unwrap());
    data.map(|data| data.chars().take(10).collect()).collect()
}

fn warned(ran: &Ran, code: &str) -> bool {
    let list = ran.json["warnings"].as_array().unwrap();
    list.iter().any(|warning| warning["code"] == code)
}

/// The last body that was sent to commit.
fn committed(world: &World, end: &str) -> Value {
    let sent = world.cloud.requests_to("POST", end);
    sent.last().map(|request| request.json()).unwrap_or_default()
}

#[test]
fn a_replica_on_a_node_whose_device_is_missing_needs_one_call_by_the_owners_key_and_is_made_once() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    let refused = replicate(&flow, &[]).exits(6).says("DEVICE_NOT_ALLOWED");
    assert!(refused.said.contains(&let_in().join(" ")), "{}", refused.said);
    let nowhere = ["--node".to_owned(), "7".to_owned()];
    run(&flow, &["cvm", "replicate", "--cvm", CVM, "--yes"], &nowhere)
        .exits(6)
        .says("NODE_UNKNOWN");
    assert!(world.cloud.requests_to("POST", "/replicas").is_empty() && !flow.dir.exists());
    // The hash that runs is allowed: nobody is asked to allow it again.
    let prepared = replicate(&flow, &let_in()).exits(0);
    assert_eq!(calls(&flow), ["0x2a819728"], "addDevice");
    assert_eq!(prepared.fact("makes"), "replica");
    assert!(warned(&prepared, "KMS_NOT_ASKED"), "{}", prepared.said);
    let asked = world.cloud.requests_to("POST", "/replicas").remove(0);
    assert_eq!(asked.header("x-prepare-only"), Some("true"));
    assert_eq!(
        asked.json(),
        json!({"node_id": 26, "compose_hash": hex::encode(world.first_hash)})
    );
    let page = flow
        .command(&["review", &text(&flow.dir.join("proposal.json"))])
        .output()
        .unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(
        page.contains("another CVM: replica on node 26") && page.contains(&device().to_string()),
        "{page}"
    );
    let done = resume(&flow).exits(0);
    assert_eq!(done.fact("new_cvm"), &json!(made(&world)[0].uuid));
    made_once(&flow, world.first_hash);
    assert_eq!(world.rpc().nonce(world.owner.address), 1);
    // The transaction let the device in; that the hash is allowed is older.
    assert_eq!(
        committed(&world, "/commit-replica")["transaction_hash"],
        "already-registered"
    );
    for again in [resume(&flow), replicate(&flow, &let_in())] {
        again.exits(0);
        made_once(&flow, world.first_hash);
    }
    // Another one is another intent; nothing is missing for it, so there is no transaction.
    flow.dir = world.folder().join("second");
    let second = replicate(&flow, &[]).exits(0);
    assert!(warned(&second, "NEW_CVM_TWIN"), "{}", second.said);
    resume(&flow).exits(0);
    assert_eq!(made(&world).len(), 2);
    assert_eq!(world.rpc().nonce(world.owner.address), 1, "no transaction");
}

#[test]
fn an_instance_with_other_code_on_another_node_is_one_transaction_of_a_safe() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    add(&flow, &[]).exits(6).says("DEVICE_NOT_ALLOWED");
    let env = |text: &str| {
        [
            "--env-file".to_owned(),
            world.file("prod.env", text).to_str().unwrap().to_owned(),
        ]
    };
    add(&flow, &[&let_in()[..], &env("OTHER=x\n")].concat())
        .exits(6)
        .says("ENV_NAME_NOT_ALLOWED");
    add(&flow, &[&let_in()[..], &env("LOG_LEVEL=trace\n")].concat()).exits(0);
    assert_eq!(calls(&flow), ["0xdfc77223", "0x2a819728"], "hash and device");
    let asked = world.cloud.requests_to("POST", "/instances").remove(0).json();
    assert_eq!(
        (&asked["node_id"], &asked["docker_compose_file"]),
        (&json!(26), &json!(NEW_COMPOSE))
    );
    assert!(
        asked.get("compose_hash").is_none() && asked["encrypted_env"].is_string(),
        "{asked}"
    );
    by(&flow, "sign", 0).exits(0);
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    let done = run(&flow, &["commit", "--yes"], &[]).exits(0);
    made_once(&flow, flow.hash);
    assert_eq!(made(&world)[0].environment["LOG_LEVEL"], "trace");
    let sent = committed(&world, "/instances");
    assert_eq!(
        sent["transaction_hash"],
        *done.fact("transaction_hash"),
        "it allowed the hash"
    );
    let evidence = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(
        evidence.contains("| makes | instance |") && evidence.contains(&device().to_string()),
        "{evidence}"
    );
    let list = ["app", "instances", "list", "--cvm", CVM, "--json"];
    let list = Ran::of(&mut flow.command(&list)).exits(0);
    assert_eq!(list.json["data"]["items"].as_array().unwrap().len(), 2, "{}", list.said);
    // The app runs two revisions now: the one that a third instance is made from has to be named.
    let third = moved(&flow, world.folder().join("third"));
    let words = ["app", "instances", "add", "--cvm", CVM, "--node", NODE];
    let prepared = run(&third, &words, &[]).exits(0);
    let asked = committed(&world, "/instances");
    assert_eq!(
        asked["compose_hash"],
        hex::encode(world.first_hash),
        "{}",
        prepared.said
    );
    no_token(&third, &prepared.said);
}

#[test]
fn a_replica_waits_for_the_delay_of_a_timelock() {
    let world = World::start();
    let timelock = TimelockOptions::default().deploy(&world.rpc());
    let taken = json!([world.app, OWNER_SLOT, timelock.into_word()]);
    world.rpc().call("anvil_setStorageAt", taken);
    let flow = Flow::new(&world);
    replicate(&flow, &let_in()).exits(0);
    by(&flow, "execute", 1).exits(8).says("PENDING_DELAY");
    advance(&world.rpc(), 86_400);
    assert!(made(&world).is_empty());
    by(&flow, "resume", 3).exits(0);
    made_once(&flow, world.first_hash);
    assert_eq!(calls(&flow), ["0x2a819728"]);
}

#[test]
fn with_a_key_hash_and_device_are_two_changes_and_what_is_allowed_already_needs_none() {
    let world = World::start();
    let flow = Flow::new(&world);
    add(&flow, &let_in()).exits(6).says("BATCH_NEEDS_SAFE");
    world.as_owner(&abi::addDeviceCall { deviceId: device() });
    world.allow(flow.hash);
    let nonce = world.rpc().nonce(world.owner.address);
    let prepared = add(&flow, &[]).exits(0);
    assert!(warned(&prepared, "HASH_ALREADY_ALLOWED"), "{}", prepared.said);
    resume(&flow).exits(0);
    made_once(&flow, flow.hash);
    assert_eq!(world.rpc().nonce(world.owner.address), nonce, "no transaction");
    // The transaction that allowed it is found, and is as good a proof as the state.
    let proof = committed(&world, "/instances")["transaction_hash"].clone();
    assert_eq!(proof, flow.json_file("evidence.json")["transaction"]["hash"]);
}

#[test]
fn without_an_on_chain_kms_nothing_is_sent() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    replicate(&flow, &[]).exits(6).says("KMS_OFFCHAIN");
    add(&flow, &[]).exits(6).says("KMS_OFFCHAIN");
    let written = |request: &&crate::support::cloud::Request| request.method != "GET";
    assert_eq!(world.cloud.requests().iter().filter(written).count(), 0);
    assert!(made(&world).is_empty() && !flow.dir.exists());
}

/// Which of the two, and where its requests go: the first prepares.
#[derive(Debug, Clone, Copy)]
struct Way {
    ask: fn(&Flow<'_>, &[String]) -> Ran,
    prepare: &'static str,
    commit: (&'static str, usize),
}

const WAYS: [Way; 2] = [
    Way {
        ask: replicate,
        prepare: "/replicas",
        commit: ("/commit-replica", 1),
    },
    Way {
        ask: same_instance,
        prepare: "/instances",
        commit: ("/instances", 2),
    },
];

/// An instance that runs what the source runs.
fn same_instance(flow: &Flow<'_>, more: &[String]) -> Ran {
    let words = ["app", "instances", "add", "--cvm", CVM, "--node", NODE];
    run(flow, &words, more)
}

/// Whether the request whose answer is lost was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Done,
    NotDone,
    /// It arrives when nobody waits for it any more.
    Late,
}

#[test]
fn a9_a_lost_answer_makes_one_cvm_whether_or_not_it_was_carried_out() {
    let losses = [Lost::Done, Lost::NotDone, Lost::Late];
    let cases: Vec<_> = WAYS
        .into_iter()
        .flat_map(|way| losses.map(|lost| (way, lost)))
        .collect();
    each(&cases, |(way, lost)| {
        let world = World::start();
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let mut flow = Flow::new(&world).cloud_at(&proxy.prefix());
        let action = || match lost {
            Lost::Done => Action::ResetAfterForward,
            _ => Action::ResetAfterRead,
        };
        proxy.on(Match::Http("POST", way.prepare), Nth::Only(1), action());
        (way.ask)(&flow, &let_in()).exits(75).says("PREPARE_UNHEARD");
        proxy.heal();
        (way.ask)(&flow, &let_in()).exits(0);
        let commit = Match::Http("POST", way.commit.0);
        let nth = Nth::Only(if way.commit.0 == way.prepare {
            way.commit.1 - 1
        } else {
            way.commit.1
        });
        if *lost == Lost::Late {
            let usual = flow.env.clone();
            flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), "400".to_owned()));
            let late = proxy.gate(commit, nth, Moment::Arrived);
            resume(&flow).exits(9).says("COMMIT_UNKNOWN");
            flow.env = usual;
            resume(&flow).exits(0);
            let sent = world.cloud.requests_to("POST", way.commit.0).len();
            late.open();
            until("the late one", || {
                (world.cloud.requests_to("POST", way.commit.0).len() > sent).then_some(())
            });
        } else {
            proxy.on(commit, nth, action());
            let ran = resume(&flow);
            if *lost == Lost::NotDone {
                assert_eq!(ran.exits(9).says("COMMIT_UNKNOWN").effect("commit"), "maybe");
                resume(&flow).exits(0);
            } else {
                ran.exits(0);
            }
        }
        made_once(&flow, world.first_hash);
    });
}

/// Place of death, which command dies there, and what `status` may say then.
const POINTS: [(&str, bool, &str); 8] = [
    ("prepare.b", true, "maybe none none none none"),
    ("prepare.d", true, "maybe none none none none"),
    ("prepare.e", true, "done none none none none"),
    ("sign.e", false, "done done maybe none none"),
    ("commit.a", false, "done done done none none"),
    ("commit.b", false, "done done done maybe none"),
    ("commit.d", false, "done done done maybe none"),
    ("commit.e", false, "done done done done maybe"),
];

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k_a_death_around_any_effect_makes_one_cvm() {
    // The server tells of a replica's token; of an instance's it does not, and the app's list alone decides.
    let instance = |point: &&(&str, bool, &str)| point.0 == "commit.d" || point.0 == "prepare.d";
    let cases: Vec<_> = POINTS
        .iter()
        .map(|point| (WAYS[0], *point))
        .chain(POINTS.iter().filter(instance).map(|point| (WAYS[1], *point)))
        .collect();
    each(&cases, |(way, (name, at_prepare, certain))| {
        let world = World::start();
        let mut flow = Flow::new(&world);
        let usual = flow.env.clone();
        let deadly = ("FAILPOINTS".to_owned(), format!("{name}=return"));
        if *at_prepare {
            flow.env.push(deadly.clone());
        }
        let ran = (way.ask)(&flow, &let_in());
        assert_eq!(ran.exit, if *at_prepare { -1 } else { 0 }, "{name}: {}", ran.said);
        if !at_prepare {
            flow.env.push(deadly);
            assert_eq!(resume(&flow).exit, -1, "{name}");
        }
        flow.env = usual;
        effects(&offline_status(&flow).exits(0), name, certain);
        if *at_prepare {
            (way.ask)(&flow, &let_in()).exits(0);
        }
        resume(&flow).exits(0);
        made_once(&flow, world.first_hash);
        assert_eq!(world.rpc().nonce(world.owner.address), 1);
    });
}

#[test]
fn k28_a_death_during_the_commit_makes_one_cvm() {
    let moments = [Moment::Arrived, Moment::Served];
    let cases: Vec<_> = WAYS
        .into_iter()
        .flat_map(|way| moments.map(|moment| (way, moment)))
        .collect();
    each(&cases, |(way, moment)| {
        let world = World::start();
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = Flow::new(&world).cloud_at(&proxy.prefix());
        (way.ask)(&flow, &let_in()).exits(0);
        let gate = proxy.gate(Match::Http("POST", way.commit.0), Nth::Only(1), *moment);
        let dir = text(&flow.dir);
        let words = ["resume", "--dir", &dir, "--signer", "env:OWNER_KEY", "--yes", "--json"];
        let mut child = flow
            .command(&words)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        gate.wait();
        child.kill().unwrap();
        ended(child);
        gate.cut();
        effects(&offline_status(&flow).exits(0), "K28", "done done done maybe none");
        resume(&flow).exits(0);
        made_once(&flow, world.first_hash);
    });
}

#[test]
fn t1_t3_a_token_that_died_is_asked_for_again_and_two_who_ask_for_the_same_make_it_once_unless_told() {
    let world = World::start();
    let flow = Flow::new(&world);
    replicate(&flow, &let_in()).exits(0);
    let other = moved(&flow, world.folder().join("other"));
    replicate(&other, &let_in()).exits(6).says("UPDATE_PENDING");
    world.cloud.advance(TOKEN_LIFE);
    let dead = resume(&flow).exits(6).says("COMMIT_REJECTED_466");
    assert_eq!(dead.effect("commit"), "none");
    assert!(made(&world).is_empty());
    // Somebody else asks for the same: the token of the first one ends, and the second one's with it in turn.
    replicate(&other, &[]).exits(0);
    resume(&flow).exits(0);
    made_once(&flow, world.first_hash);
    // The second one is not made because the first one is there: perhaps it is the very same.
    resume(&other).exits(6).says("NEW_CVM_EXISTS");
    assert_eq!(made(&world).len(), 1);
    run(&other, &["resume", "--yes", "--supersede"], &[])
        .exits(6)
        .says("COMMIT_REJECTED_466");
    run(&other, &["resume", "--yes", "--supersede"], &[]).exits(0);
    assert_eq!(made(&world).len(), 2);
    // A journal that goes back in time finds what its token made.
    let again = moved(&flow, world.folder().join("again"));
    replicate(&again, &[]).exits(0);
    let copy = crate::harness::judge::copied(&again, "copy");
    resume(&again).exits(0);
    resume(&copy).exits(0);
    assert_eq!(made(&world).len(), 3);
    assert_eq!(
        copy.json_file("evidence.json")["new_cvm"],
        again.json_file("evidence.json")["new_cvm"]
    );
}

#[test]
fn h2_h5_what_is_taken_back_before_the_commit_makes_nothing_and_a_guest_that_stays_down_is_told_of() {
    let world = World::start();
    let flow = Flow::new(&world);
    replicate(&flow, &let_in()).exits(0);
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    let commit = || run(&flow, &["commit", "--yes", "--timeout", "20s"], &[]);
    world.as_owner(&abi::removeComposeHashCall {
        composeHash: world.first_hash,
    });
    commit().exits(6).says("HASH_REMOVED");
    world.allow(world.first_hash);
    world.as_owner(&abi::removeDeviceCall { deviceId: device() });
    commit().exits(6).says("HASH_REMOVED");
    world.as_owner(&abi::addDeviceCall { deviceId: device() });
    assert!(world.cloud.requests_to("POST", "/commit-replica").is_empty());
    // Another operation of the source is waited out.
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.progress = Some("corr_1".to_owned()));
    world
        .cloud
        .set_boot_failure(Some(BootFailure::Error("no disk".to_owned())));
    let dir = text(&flow.dir);
    let words = ["commit", "--dir", &dir, "--yes", "--json"];
    let child = flow
        .command(&words)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("the first refusal", || {
        let sent = world.cloud.requests_to("POST", "/commit-replica");
        sent.iter().any(|request| request.status == 409).then_some(())
    });
    world.cloud.change_cvm(CVM, |cvm| cvm.progress = None);
    let failed = ended(child);
    assert_eq!(
        (failed.exit, &failed.json["code"]),
        (7, &json!("BOOT_FAILED")),
        "{}",
        failed.said
    );
    assert!(failed.said.contains("no disk"), "{}", failed.said);
    assert_eq!(failed.fact("new_cvm"), &json!(made(&world)[0].uuid));
    resume(&flow).exits(7).says("BOOT_FAILED");
    assert_eq!(made(&world).len(), 1);
    let uuid = made(&world)[0].uuid.clone();
    world.cloud.change_cvm(&uuid, |cvm| {
        (cvm.status, cvm.boot_error) = ("running".to_owned(), None);
    });
    resume(&flow).exits(0);
    made_once(&flow, world.first_hash);
}

#[test]
fn a_server_that_makes_at_once_what_should_be_prepared_makes_it_once() {
    each(&WAYS, |way| {
        let world = World::start();
        world.as_owner(&abi::addDeviceCall { deviceId: device() });
        world.cloud.lie(|lies| lies.makes_at_once = true);
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = Flow::new(&world).cloud_at(&proxy.prefix());
        (way.ask)(&flow, &[]).exits(7).says("APPLIED_AT_ONCE");
        assert_eq!(made(&world).len(), 1);
        (way.ask)(&flow, &[]).exits(6).says("ABANDONED");
        resume(&flow).exits(6).says("ABANDONED");
        let second = moved(&flow, world.folder().join("second"));
        proxy.on(
            Match::Http("POST", way.prepare),
            Nth::Only(1),
            Action::ResetAfterForward,
        );
        (way.ask)(&second, &[]).exits(75).says("PREPARE_UNHEARD");
        (way.ask)(&second, &[]).exits(6).says("NEW_CVM_EXISTS");
        assert_eq!(made(&world).len(), 2, "no third one");
    });
}

#[test]
fn what_a_proposal_says_of_the_new_cvm_is_checked_or_has_no_effect() {
    let world = World::start();
    let flow = Flow::new(&world);
    replicate(&flow, &let_in()).exits(0);
    let honest = flow.json_file("proposal.json");
    let place = "/plan/code/target";
    let review = |name: &str, changed: &Value, more: &[&str]| {
        let file = world.file(name, &changed.to_string());
        let words = [&["review", file.to_str().unwrap(), "--json"], more].concat();
        Ran::of(&mut flow.command(&words))
    };
    for (at, value) in [
        (format!("{place}/kind"), json!("cvm")),
        (format!("{place}/kind"), json!("another")),
        (format!("{place}/node"), json!("26")),
        (format!("{place}/node"), Value::Null),
        ("/plan/app_state/hash_allowed".to_owned(), json!(false)),
        ("/plan/policy/0/add-device".to_owned(), json!(B256::repeat_byte(7))),
        ("/plan/policy".to_owned(), json!([])),
    ] {
        let mut changed = honest.clone();
        *changed.pointer_mut(&at).unwrap() = value;
        let ran = review("changed.json", &changed, &["--offline"]);
        assert!([3, 5].contains(&ran.exit), "{at}: {}", ran.said);
    }
    let mut more = honest.clone();
    more.pointer_mut(place).unwrap()["also"] = json!(1);
    review("more.json", &more, &["--offline"]).exits(3);
    // Another device is on the page, and is not one that the app allows.
    let mut device = honest.clone();
    *device.pointer_mut("/plan/code/device").unwrap() = json!(B256::repeat_byte(7));
    review("device.json", &device, &[]).exits(6).says("DEVICE_NOT_ALLOWED");
    // Another node: who commits prepares again, and Phala Cloud names that node's device.
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    let mut node = honest.clone();
    *node.pointer_mut(&format!("{place}/node")).unwrap() = json!(18);
    let file = world.file("node.json", &node.to_string());
    let words = ["resume", file.to_str().unwrap(), "--json", "--yes", "--supersede"];
    Ran::of(&mut flow.command(&words)).exits(5).says("DEVICE_MISMATCH");
    assert!(made(&world).is_empty());
    // The honest one, on another machine: it prepares again and makes it.
    let file = world.file("honest.json", &honest.to_string());
    let there = world.folder().join("there");
    let words = ["resume", file.to_str().unwrap(), "--json", "--yes", "--supersede"];
    let mut command = flow.command(&words);
    std::fs::create_dir(&there).unwrap();
    Ran::of(command.current_dir(&there)).exits(0);
    assert_eq!(made(&world).len(), 1);
    // And this one finds it.
    resume(&flow).exits(6).says("NEW_CVM_EXISTS");
    assert_eq!(made(&world).len(), 1);
}

/// Where a commit ends whose answer was lost, by what the server says of the token and shows of the app.
#[test]
fn a_lost_commit_is_unseen_ambiguous_or_another_hash_by_what_is_shown_afterwards() {
    // The token was used, and nothing is shown for it.
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    replicate(&flow, &let_in()).exits(0);
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    let commit = || run(&flow, &["commit", "--yes", "--timeout", "3s"], &[]);
    let post = || Match::Http("POST", "/commit-replica");
    proxy.on(post(), Nth::Only(1), Action::ResetAfterRead);
    let used = Action::Mutate("/status", json!("used"));
    proxy.on(Match::Http("GET", "/commit-update"), Nth::Every, used);
    commit();
    commit().exits(6).says("NEW_CVM_UNSEEN");
    assert!(made(&world).is_empty());
    // It was carried out, and a colleague made the same at that time.
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    replicate(&flow, &let_in()).exits(0);
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    let gate = proxy.gate(post(), Nth::Only(1), Moment::Served);
    let dir = text(&flow.dir);
    let words = ["commit", "--dir", &dir, "--yes", "--json", "--timeout", "20s"];
    let child = flow
        .command(&words)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    gate.wait();
    let mut twin = made(&world).remove(0);
    twin.uuid = twin.uuid.chars().rev().collect();
    twin.name.push_str("-twin");
    world.cloud.add_cvm(twin);
    gate.cut();
    ended(child).exits(6).says("NEW_CVM_AMBIGUOUS");
    // What was made reports a hash that nobody approved.
    let world = World::start();
    let flow = Flow::new(&world);
    replicate(&flow, &let_in()).exits(0);
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    let other = |record: &mut Value| {
        if record["name"] != CVM {
            record["compose_hash"] = json!("ee".repeat(32));
        }
    };
    world.cloud.lie(|lies| lies.edit_cvm = Some(std::sync::Arc::new(other)));
    run(&flow, &["commit", "--yes", "--timeout", "20s"], &[])
        .exits(7)
        .says("NEW_CVM_OTHER_HASH");
}

#[test]
fn a_new_cvm_for_which_no_token_was_given_is_not_made() {
    let world = World::start();
    let flow = Flow::new(&world);
    let without = |body: &mut Value| {
        let details = body["details"].as_array_mut().unwrap();
        details.retain(|detail| detail["field"] != "commit_token");
    };
    world
        .cloud
        .lie(|lies| lies.edit_prepare = Some(std::sync::Arc::new(without)));
    replicate(&flow, &let_in()).exits(0);
    by(&flow, "execute", 1).exits(0);
    run(&flow, &["wait"], &[]).exits(0);
    run(&flow, &["commit", "--yes", "--timeout", "3s"], &[])
        .exits(6)
        .says("TOKEN_MISSING");
    assert!(made(&world).is_empty());
}
