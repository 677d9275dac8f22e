//! What signers of a Safe have fallen into before, each by the number that the list of pitfalls or faults gives it.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, ended, spawn};
use crate::safe::upgrade::{Person, execute, proposal, signer};
use crate::support::contracts::{self, abi};
use crate::support::outsider::{BatchFile, Outsider};
use crate::support::safe_service::{Confirmation, Fields, Proposal};
use crate::support::safes::{self, RELEASES};
use crate::support::{ACCOUNTS, FaultProxy, Match, Moment, Nth, SafeOptions, SafeService, World, WorldOptions};
use crate::upgrade::review::{Desk, prepared};

/// A world whose app a 2-of-3 Safe of this release owns.
fn world(release: usize) -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

fn outsider(world: &World, release: usize) -> Outsider<'static> {
    Outsider {
        rpc: world.rpc(),
        release: &RELEASES[release],
        safe: world.safe.unwrap(),
        signers: &[0, 1],
    }
}

/// An upgrade that the first two owners have signed.
fn signed<'w>(world: &'w World, chain: &str) -> Flow<'w> {
    let flow = Flow::new(world).chain_at(chain);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    for index in [0, 1] {
        let key = signer(index);
        Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", &key, "--yes", "--json"])).exits(0);
    }
    flow
}

fn exported(flow: &Flow<'_>, format: &str) -> String {
    let dir = flow.dir.to_str().unwrap();
    let exported = Ran::of(&mut flow.command(&["export", "--dir", dir, "--format", format, "--json"])).exits(0);
    exported.json["data"]["content"].as_str().unwrap().to_owned()
}

fn safe_nonce(world: &World) -> U256 {
    world.rpc().read(world.safe.unwrap(), &safes::abi::nonceCall {})
}

fn finish(flow: &Flow<'_>) {
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn v10_a_proposal_is_hashed_like_any_other_file_and_the_safe_itself_is_asked() {
    let world = world(1);
    let device = keccak256("another device").to_string();
    for (name, more) in [("one", &[][..]), ("two", &["--add-device", &device, "--supersede"])] {
        let mut flow = Flow::new(&world);
        flow.dir = world.folder().join(name);
        flow.with("prepare", more).exits(0);
        let desk = Person::new(&flow, "desk");
        let file = desk.get(&flow.dir.join("proposal.json"), "proposal.json");
        let digests = proposal(&flow)["safe"]["digests"].clone();
        let nowhere = ["safe", "hash", &file, "--offline", "--json"];
        let mut offline = flow.command(&nowhere);
        let alone = Ran::of(offline.env("ETH_RPC_URL", "http://127.0.0.1:1")).exits(0);
        let asked = desk.run(&["safe", "hash", &file]).exits(0);
        for (ran, compared) in [(&alone, false), (&asked, true)] {
            for part in ["domain", "message", "safe_tx"] {
                assert_eq!(ran.json["data"]["digests"][part], digests[part], "{}", ran.said);
            }
            assert_eq!(ran.json["data"]["compared"], compared);
            assert_eq!(ran.json["data"]["acceptable"], true);
        }
        desk.run(&["safe", "hash", &file, "--chain-id", "1"])
            .exits(5)
            .says("SAFE_TX_PLACE");
        let mut changed = proposal(&flow);
        changed["safe"]["digests"]["safe_tx"] = json!(B256::repeat_byte(7));
        std::fs::write(&file, serde_json::to_vec_pretty(&changed).unwrap()).unwrap();
        desk.run(&["safe", "hash", &file]).exits(5).says("PROPOSAL_CHANGED");
    }
}

#[test]
fn v16_a_proposal_that_was_tampered_with_reaches_no_key() {
    let world = world(1);
    let flow = signed(&world, &world.anvil.url());
    let fields = "/safe/frozen/transaction";
    let changes = [
        (format!("{fields}/to"), json!(ACCOUNTS[4].address)),
        (format!("{fields}/value"), json!("0x1")),
        (format!("{fields}/data"), json!("0xdfc77223")),
        (format!("{fields}/operation"), json!(1)),
        (format!("{fields}/safeTxGas"), json!("0x1")),
        (format!("{fields}/baseGas"), json!("0x1")),
        (format!("{fields}/gasPrice"), json!("0x1")),
        (format!("{fields}/gasToken"), json!(ACCOUNTS[4].address)),
        (format!("{fields}/refundReceiver"), json!(ACCOUNTS[4].address)),
        (format!("{fields}/nonce"), json!("0x1")),
        ("/safe/frozen/domain/chain_id".to_owned(), json!(1)),
        ("/safe/frozen/domain/safe".to_owned(), json!(ACCOUNTS[4].address)),
        ("/safe/frozen/domain/version".to_owned(), json!("1.3.0")),
        ("/safe/digests/safe_tx".to_owned(), json!(B256::repeat_byte(1))),
        ("/safe/digests/message".to_owned(), json!(B256::repeat_byte(1))),
        ("/safe/signatures/0/owner".to_owned(), json!(ACCOUNTS[2].address)),
        ("/calls/0/data".to_owned(), json!("0xdfc77223")),
        ("/compose_hash".to_owned(), json!("11".repeat(32))),
    ];
    each(&changes, |(place, value)| {
        let person = Person::new(&flow, &format!("victim{}", place.replace('/', "-")));
        let file = person.file("proposal.json");
        let mut changed = proposal(&flow);
        let spot = changed.pointer_mut(place).unwrap_or_else(|| panic!("no {place}"));
        assert_ne!(spot, value, "{place}");
        *spot = value.clone();
        std::fs::write(&file, serde_json::to_vec_pretty(&changed).unwrap()).unwrap();
        let before = std::fs::read(&file).unwrap();
        // A key that is not there would be told, had it been looked for.
        // Its rejection is another matter: that a wrong proposal can be rejected is what a rejection is for.
        for act in [&["sign"][..], &["sign", "--offline"]] {
            let more = [&file, "--signer", "file:/nowhere/key", "--yes"];
            let ran = person.run(&[act, &more].concat());
            assert!([3, 5].contains(&ran.exit), "{place}: {}", ran.said);
            let message = ran.json["message"].as_str().unwrap();
            assert!(!message.contains("/nowhere"), "{place}: {}", ran.said);
        }
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(
            std::fs::read_dir(&person.home).unwrap().count(),
            1,
            "{place}: nothing was remembered"
        );
    });
    let honest = Person::new(&flow, "honest");
    let file = honest.get(&flow.dir.join("proposal.json"), "proposal.json");
    let ran = honest.run(&["sign", &file, "--signer", "file:/nowhere/key", "--yes"]);
    let message = ran.json["message"].as_str().unwrap();
    assert!(ran.exit != 0 && message.contains("/nowhere"), "{}", ran.said);
}

#[test]
fn m4_pitfall_5_review_names_what_used_the_nonce_up() {
    let world = world(1);
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let winner = outsider(&world, 1).use_up_a_nonce();
    let taken = desk.json(&[]).exits(6).says("SAFE_NONCE_TAKEN");
    for part in [winner.safe_tx_hash, winner.transaction] {
        assert!(
            taken.json["message"].as_str().unwrap().contains(&part.to_string()),
            "{}",
            taken.said
        );
    }
    desk.page(&[]).shows("0, USED UP: the Safe is at 1");
}

#[test]
fn m4_pitfall_6_review_tells_the_rejection_from_any_other_winner() {
    let world = world(1);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let reject = |index: usize| {
        let key = signer(index);
        Ran::of(&mut flow.command(&["reject", "--dir", dir, "--signer", &key, "--yes", "--json"]))
    };
    let desk = Desk::of(&flow);
    reject(0).exits(8).says("PENDING_REJECTION");
    reject(1).exits(0);
    let taken = desk.json(&[]).exits(6).says("SAFE_NONCE_TAKEN");
    assert!(
        taken.json["message"].as_str().unwrap().contains("by its rejection"),
        "{}",
        taken.said
    );
    assert_eq!(flow.announcements(), 0);
}

#[test]
fn an_app_that_a_contract_owns_is_reviewed_as_a_call_for_that_contract() {
    let owner = Address::repeat_byte(0xc0);
    let world = World::with(WorldOptions {
        owner: Some(owner),
        ..WorldOptions::default()
    });
    world.rpc().call("anvil_setCode", json!([owner, "0x00"]));
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let json = desk.json(&[]).exits(0);
    assert_eq!(json.json["data"]["asked"]["route"]["kind"], "calldata", "{}", json.said);
    let call = abi::addComposeHashCall { composeHash: flow.hash }.abi_encode();
    desk.page(&[])
        .shows(&owner.to_string())
        .shows(&alloy::hex::encode_prefixed(&call))
        .shows(&keccak256(&call).to_string())
        .shows("addComposeHash(bytes32)")
        .shows("changes besides: nothing");
    desk.json(&["--offline"]).exits(0);
    desk.json(&["--reject"]).exits(6).says("NO_SAFE");
    // Another owner than the one that was read.
    let heir = ACCOUNTS[4].address;
    let away = contracts::abi::transferOwnershipCall { to: heir };
    world.rpc().execute_as(owner, world.app, &away);
    world.rpc().execute(heir, world.app, &abi::acceptOwnershipCall {});
    desk.json(&[]).exits(5).says("OWNER_CHANGED");
}

#[test]
fn v23_an_address_of_a_service_with_credentials_is_never_shown() {
    let world = world(1);
    let flow = signed(&world, &world.anvil.url());
    let safe = world.safe.unwrap().to_string();
    let dir = flow.dir.to_str().unwrap();
    let file = flow.dir.join("proposal.json");
    let file = file.to_str().unwrap();
    // Somebody answers there, and has nothing for us.
    let service = SafeService::start(&world.rpc());
    let host = service.url().replace("http://", "http://alice:canary-one@");
    let address = format!("{host}/elsewhere?key=canary-two#canary-three");
    let asks: [&[&str]; 4] = [
        &["propose", "--dir", dir],
        &["propose", file],
        &["review", file],
        &["safe", "queue", &safe, "--chain-id", "31337"],
    ];
    for ask in asks {
        for json in [&["--json"][..], &["-vvv"], &[]] {
            let more: &[&str] = &["--service-url", &address];
            let ran = Ran::of(&mut flow.command(&[ask, more, json].concat()));
            assert_ne!(ran.exit, 0, "{ask:?}");
            assert!(!ran.said.contains("canary"), "{ask:?}: {}", ran.said);
        }
    }
}

#[test]
fn pitfall_11_a_module_that_acts_without_the_nonce_is_told_from_the_safe_transaction() {
    let world = world(1);
    let flow = signed(&world, &world.anvil.url());
    let ours = proposal(&flow)["safe"]["digests"]["safe_tx"]
        .as_str()
        .unwrap()
        .to_owned();
    // What a module of the Safe, or a user operation, brings about: the Safe calls, and its nonce stands still.
    let call = abi::addComposeHashCall { composeHash: flow.hash };
    let by = world.rpc().execute_as(world.safe.unwrap(), world.app, &call);
    assert_eq!(safe_nonce(&world), U256::ZERO);
    let waited = flow.step("wait").exits(0);
    assert_eq!(waited.fact("transaction_hash"), &json!(by));
    let told = format!("did not execute Safe transaction {ours}: that one can be executed as long as nonce 0 is free");
    assert!(waited.said.contains(&told), "{}", waited.said);
    flow.step("commit").exits(0);
    flow.landed_once();
    // The Safe transaction was not executed, so nobody is told that it was.
    let evidence = flow.json_file("evidence.json");
    assert_eq!(
        (&evidence["said"]["adopted"], &evidence["safe"]),
        (&json!(true), &Value::Null),
        "{evidence}"
    );
    let dir = flow.dir.to_str().unwrap();
    let reject = ["reject", "--dir", dir, "--signer", &signer(2), "--yes", "--json"];
    Ran::of(&mut flow.command(&reject)).exits(6);
}

#[test]
fn pitfall_21_an_execution_is_found_whoever_sent_it_and_through_whatever_contract() {
    each(&[0, 1, 2], |release| {
        let world = world(*release);
        let flow = signed(&world, &world.anvil.url());
        let call: Value = serde_json::from_str(&exported(&flow, "calldata")).unwrap();
        assert_eq!(call["call"], "execTransaction");
        // A relayer puts it into a batch of its own, so that the transaction goes to another contract.
        let data: alloy::primitives::Bytes = serde_json::from_value(call["data"].clone()).unwrap();
        let outer = outsider(&world, *release).through_a_batch(world.safe.unwrap(), &data);
        let waited = flow.step("wait").exits(0);
        assert_eq!(waited.fact("transaction_hash"), &json!(outer));
        assert!(!waited.said.contains("did not execute"), "{}", waited.said);
        flow.step("commit").exits(0);
        flow.landed_once();
        let evidence = flow.json_file("evidence.json");
        assert_eq!(evidence["safe"]["signed_by"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn pitfall_51_an_owner_that_delegates_signs_like_any_key() {
    let world = world(2);
    let (owner, wallet) = (ACCOUNTS[0].address, RELEASES[2].handler);
    let code = format!("0xef0100{}", alloy::hex::encode(wallet));
    world.rpc().call("anvil_setCode", json!([owner, code]));
    let flow = signed(&world, &world.anvil.url());
    Desk::of(&flow).json(&[]).exits(0);
    execute(&flow, 4).exits(0);
    finish(&flow);
    let evidence = flow.json_file("evidence.json")["safe"]["signed_by"].to_string();
    assert!(
        evidence.to_lowercase().contains(&owner.to_string().to_lowercase()),
        "{evidence}"
    );
}

#[test]
fn pitfall_56_changes_of_owners_that_wait_before_ours_are_shown_as_what_they_are() {
    let world = world(1);
    let flow = Flow::new(&world);
    flow.with("prepare", &["--safe-nonce", "1"]).exits(0);
    let service = SafeService::start(&world.rpc());
    let safe = world.safe.unwrap();
    service.index(safe);
    let fields = Fields {
        to: safe,
        data: crate::safe::pitfalls::calls::changeThresholdCall {
            threshold: U256::from(1),
        }
        .abi_encode()
        .into(),
        ..Fields::default()
    };
    let hash = world.rpc().read(safe, &question(&fields));
    service.put(Proposal {
        hash,
        safe,
        fields,
        origin: Value::Null,
        trusted: true,
        proposer: ACCOUNTS[0].address,
        by_delegate: None,
        confirmations: vec![Confirmation {
            owner: ACCOUNTS[0].address,
            signature: crate::safe::service::signed_by(0, hash),
            kind: "EOA",
        }],
        created: jiff::Timestamp::now(),
    });
    let (text, url) = (safe.to_string(), service.url());
    let ask = ["safe", "queue", &text, "--chain-id", "31337", "--service-url", &url];
    let page = Ran::of(&mut flow.command(&ask));
    assert_eq!(page.exit, 0, "{}", page.said);
    assert!(page.said.contains("changeThreshold(uint256)"), "{}", page.said);
    assert!(page.said.contains("CHANGES HOW MANY OWNERS"), "{}", page.said);
    let json = Ran::of(&mut flow.command(&[&ask[..], &["--json"]].concat())).exits(0);
    let does = json.json["data"]["queue"][0]["does"].to_string();
    assert!(does.contains("changeThreshold(uint256)"), "{does}");
    assert_eq!(json.json["data"]["nextNonce"], "1");
    // Whoever signs meanwhile signs for the owners of now; once it was executed, somebody has to look again.
    let file = flow.dir.join("proposal.json");
    let sign = |more: &[&str]| {
        let key = signer(1);
        let arguments = [
            &["sign", file.to_str().unwrap(), "--signer", &key, "--yes", "--json"],
            more,
        ]
        .concat();
        Ran::of(&mut flow.command(&arguments))
    };
    sign(&[]).exits(0);
    world.rpc().execute_as(
        safe,
        safe,
        &calls::changeThresholdCall {
            threshold: U256::from(1),
        },
    );
    execute(&flow, 4).exits(6).says("SAFE_OWNERS_CHANGED");
}

mod calls {
    #![allow(missing_docs, reason = "generated by sol!")]
    alloy::sol! {
        function changeThreshold(uint256 threshold);
    }
}

fn question(fields: &Fields) -> safes::abi::getTransactionHashCall {
    safes::abi::getTransactionHashCall {
        to: fields.to,
        value: fields.value,
        data: fields.data.clone(),
        operation: fields.operation,
        safeTxGas: fields.safe_tx_gas,
        baseGas: fields.base_gas,
        gasPrice: fields.gas_price,
        gasToken: fields.gas_token,
        refundReceiver: fields.refund_receiver,
        nonce: fields.nonce,
    }
}

#[test]
fn m3_a_success_of_the_safe_without_the_apps_event_is_no_proof() {
    let world = world(1);
    let rpc = world.rpc();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = signed(&world, &proxy.url());
    let gate = proxy.gate(Match::Rpc("eth_sendRawTransaction"), Nth::Only(1), Moment::Arrived);
    let dir = flow.dir.to_str().unwrap();
    let run = flow
        .command(&["execute", "--dir", dir, "--signer", &signer(4), "--yes", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    gate.wait();
    // Between the simulation and the block the app's code does nothing.
    let code = rpc.call("eth_getCode", json!([world.app, "latest"]));
    rpc.call("anvil_setCode", json!([world.app, "0x00"]));
    gate.open();
    ended(run).exits(0);
    crate::support::until("the Safe to execute it", || {
        (safe_nonce(&world) == U256::from(1)).then_some(())
    });
    rpc.call("anvil_setCode", json!([world.app, code]));
    flow.step("wait").exits(5).says("PROOF_NO_EFFECT");
    assert_eq!(flow.announcements(), 0);
    flow.nothing_committed();
}

#[test]
fn m25_too_little_gas_uses_no_nonce_up_and_the_same_signatures_execute_later() {
    each(&[0, 1, 2], |release| {
        let world = world(*release);
        let rpc = world.rpc();
        let flow = signed(&world, &world.anvil.url());
        let call: Value = serde_json::from_str(&exported(&flow, "calldata")).unwrap();
        let waiting = spawn(&flow, "wait", &[]);
        let stingy = json!([{"from": ACCOUNTS[3].address, "to": call["to"], "data": call["data"], "gas": "0x15f90"}]);
        let sent: B256 = serde_json::from_value(rpc.call("eth_sendTransaction", stingy)).unwrap();
        assert_eq!(rpc.mined(sent)["status"], "0x0", "{release}");
        assert_eq!(safe_nonce(&world), U256::ZERO);
        let copy = crate::harness::judge::copied(&flow, "elsewhere");
        execute(&copy, 4).exits(0);
        ended(waiting).exits(0);
        flow.step("commit").exits(0);
        flow.landed_once();
    });
}

#[test]
fn pitfall_60_a_single_call_from_a_builder_file_is_no_batch() {
    let world = world(1);
    let flow = prepared(&world);
    let batch = BatchFile::read(&exported(&flow, "builder-file"));
    let executed = outsider(&world, 1).execute(&batch);
    let ours: B256 = serde_json::from_value(proposal(&flow)["safe"]["digests"]["safe_tx"].clone()).unwrap();
    assert_eq!(
        executed.safe_tx_hash, ours,
        "at the same nonce it is the very same transaction"
    );
    finish(&flow);
}
