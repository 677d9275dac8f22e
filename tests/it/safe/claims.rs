//! What the Safe Transaction Service only claims, or slips in, or asks for: it counts for nothing, and that is said.

use alloy::primitives::{Address, Bytes};
use serde_json::{Value, json};

use crate::harness::flow::Ran;
use crate::safe::board::{hash_of, own_fields, prepare_again, proposed, queue, sign, warning};
use crate::safe::delegates::delegates;
use crate::safe::notices::{flow, ground, propose};
use crate::safe::service::signed_by;
use crate::support::ACCOUNTS;
use crate::support::safe_service::{Confirmation, Fields, Proposal};

#[test]
fn m21_a_signature_that_is_not_the_named_owners_is_left_out_with_a_word_wherever_the_board_is_read() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let hash = hash_of(&flow);
    let (named, signer) = (ACCOUNTS[1].address, ACCOUNTS[4].address);
    let wrong = json!({ "owner": named.to_string(), "signature": signed_by(4, hash), "signatureType": "EOA" });
    service.lie(|lies| lies.confirmations = vec![wrong]);
    let published = propose(&flow, &service, &[]).exits(0);
    assert_eq!(published.json["data"]["confirmed"], json!([ACCOUNTS[0].address]));
    assert_eq!(published.json["data"]["notTheirs"][0]["owner"], json!(named));
    let waiting = queue(&flow, &service, &[]).exits(0);
    let shown = &waiting.json["data"]["queue"][0];
    assert_eq!(shown["signedBy"], json!([ACCOUNTS[0].address]), "{}", waiting.said);
    assert_eq!(shown["notTheirs"], published.json["data"]["notTheirs"]);
    let prepared = prepare_again(&flow, &service, &[]).exits(0);
    for ran in [&published, &waiting, &prepared] {
        let told = warning(ran, "SERVICE_NOT_THEIRS");
        for part in [named.to_string(), signer.to_string(), hash.to_string()] {
            assert!(told.contains(&part), "{told}");
        }
    }
    service.lie(|lies| lies.confirmations = Vec::new());
    assert!(
        !propose(&flow, &service, &[])
            .exits(0)
            .said
            .contains("SERVICE_NOT_THEIRS")
    );
}

#[test]
fn a_signature_that_the_service_only_claims_to_hold_is_told_as_missing_each_time() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    let (fields, owner) = (own_fields(&flow), ACCOUNTS[0].address);
    service.put(Proposal {
        hash: hash_of(&flow),
        safe: world.safe.unwrap(),
        fields: Fields {
            to: fields.to,
            data: fields.data,
            nonce: fields.nonce,
            ..Fields::default()
        },
        origin: json!({}),
        trusted: true,
        proposer: owner,
        by_delegate: None,
        confirmations: vec![Confirmation {
            owner,
            signature: Bytes::new(),
            kind: "APPROVED_HASH",
        }],
        created: jiff::Timestamp::UNIX_EPOCH,
    });
    for _ in 0..2 {
        let ran = propose(&flow, &service, &[]).exits(6).says("SERVICE_INCOMPLETE");
        let data = &ran.json["data"];
        assert_eq!(data["missing"], json!([owner]), "{}", ran.said);
        assert_eq!(data["unconfirmed"], json!([owner]));
        assert_eq!(data["confirmed"], json!([]), "the chain has no such approval");
    }
}

#[test]
fn svc_2_a_delegates_proposal_whose_answer_was_lost_is_read_by_the_next_run_and_not_posted_twice() {
    let (world, service) = ground();
    let flow = flow(&world);
    let delegate = ACCOUNTS[3].address.to_string();
    let key = [&*delegate, "--label", "ci", "--signer", "env:SIGNER_0", "--yes"];
    delegates(&flow, &service, "add", &key).exits(0);
    flow.step("prepare").exits(0);
    service.take_requests();
    // It arrives, and neither its answer nor what is there can be read.
    service.lie(|lies| (lies.loses_answers, lies.silent_after_write) = (true, true));
    let propose = || propose(&flow, &service, &["--signer", "env:SIGNER_3", "--yes"]);
    propose().exits(9).says("SERVICE_UNKNOWN");
    assert_eq!(service.proposals().len(), 1);
    let posts = || {
        let requests = service.take_requests().into_iter();
        requests.filter(|request| request.method == "POST").count()
    };
    assert_eq!(posts(), 1);
    service.lie(|lies| (lies.loses_answers, lies.silent_after_write) = (false, false));
    let again = propose().exits(0);
    assert_eq!(again.json["data"]["created"], false, "{}", again.said);
    assert_eq!(again.json["data"]["delegate"], json!(ACCOUNTS[3].address));
    assert_eq!(
        (posts(), service.proposals().len()),
        (0, 1),
        "it reads and posts nothing"
    );
}

#[test]
fn svc_4_delegates_of_other_safes_and_owners_that_the_service_slips_in_are_left_out_and_that_is_said() {
    let (world, service) = ground();
    let flow = flow(&world);
    let own = ACCOUNTS[3].address.to_string();
    let key = [&*own, "--label", "ci", "--signer", "env:SIGNER_0", "--yes"];
    delegates(&flow, &service, "add", &key).exits(0);
    let record = |safe: Value, delegator: usize| {
        let (delegate, owner) = (ACCOUNTS[4].address.to_string(), ACCOUNTS[delegator].address.to_string());
        json!({ "safe": safe, "delegate": delegate, "delegator": owner, "label": "evil", "expiryDate": null })
    };
    let elsewhere = Address::repeat_byte(0x55).to_string();
    service.lie(|lies| lies.delegates = vec![record(json!(elsewhere), 0), record(json!(null), 4)]);
    for more in [&[][..], &["--delegator", &ACCOUNTS[0].address.to_string()]] {
        let listed = delegates(&flow, &service, "list", more).exits(0);
        let names: Vec<&Value> = listed.json["data"]["delegates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["delegate"])
            .collect();
        assert_eq!(names, [&json!(ACCOUNTS[3].address)], "{}", listed.said);
        let told = warning(&listed, "SERVICE_UNASKED");
        assert!(told.contains(&elsewhere), "{told}");
    }
}

#[test]
fn a26_a_wait_that_the_service_asks_for_is_told_and_a_long_one_ends_with_when_to_come_again() {
    let (world, service) = ground();
    let flow = flow(&world);
    service.lie(|lies| (lies.too_many, lies.retry_after) = (1, Some(2)));
    let waited = queue(&flow, &service, &[]).exits(0);
    assert!(
        waited.said.contains("waiting 2 seconds, as http://127.0.0.1:"),
        "{}",
        waited.said
    );
    service.lie(|lies| (lies.too_many, lies.retry_after) = (u32::MAX, Some(100_000)));
    service.take_requests();
    let ended = queue(&flow, &service, &[]).exits(75).says("SERVICE_UNAVAILABLE");
    let told = ended.json["message"].as_str().unwrap();
    assert!(told.contains("it asks to be left alone for 27h 46m 40s"), "{told}");
    assert_eq!(service.take_requests().len(), 1, "it is left alone");
}

#[test]
fn svc_11_what_comes_next_after_a_batch_that_is_none_or_says_another_thing_is_about_that_file() {
    let (world, _service) = ground();
    let flow = flow(&world);
    let safe = world.safe.unwrap().to_string();
    let call = |data: &str| {
        json!({ "to": world.app.to_string(), "value": "0", "data": data, "contractMethod": {
            "inputs": [{ "internalType": "address", "name": "newOwner", "type": "address" }],
            "name": "transferOwnership", "payable": false }, "contractInputsValues": { "newOwner": safe } })
    };
    let batch = |transactions: &[Value]| {
        json!({ "version": "1.0", "chainId": "31337", "createdAt": 1, "meta": { "createdFromSafeAddress": safe },
            "transactions": transactions })
        .to_string()
    };
    let other = format!("0xdfc77223{}", "ab".repeat(32));
    for (content, exit, code, hint) in [
        (
            batch(&[]),
            3,
            "INPUT_SAFE_TX",
            "export it again from the Transaction Builder",
        ),
        (
            batch(&[call(&other)]),
            5,
            "BATCH_DIFFERS",
            "neither import nor sign this file",
        ),
    ] {
        let file = world.file("batch.json", &content);
        let file = file.to_str().unwrap();
        let mut command = flow.command(&["safe", "hash", file, "--nonce", "7"]);
        let ran = Ran::of(command.args(["--offline", "--safe-version", "1.4.1", "--json"])).exits(exit);
        let ran = ran.says(code);
        let (told, next) = (ran.json["hint"].as_str().unwrap(), ran.json["next"].as_str().unwrap());
        assert!(told.contains(hint), "{told}");
        // The same file would end the same way: what comes next is what the code means, and no upgrade.
        assert_eq!(next, format!("countersign explain {code}"));
    }
}

#[test]
fn what_comes_next_keeps_what_is_needed_and_nothing_that_the_command_does_not_take() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let (file, url) = (flow.dir.join("proposal.json"), service.url());
    let file = file.to_str().unwrap();
    let mut offline = flow.command(&["review", file, "--offline", "--service-url", &url, "--json"]);
    let refused = Ran::of(&mut offline).exits(2).says("USAGE_OFFLINE");
    assert_eq!(
        refused.json["next"],
        json!(format!("countersign review {file} --service-url {url} --json"))
    );
    // A change of the policy of a Safe's app chooses a nonce as an upgrade does, at the same service.
    let (device, app) = (format!("0x{}", "5a".repeat(32)), world.app.to_string());
    let dir = world.folder().join("device");
    let mut add = flow.command(&["app", "devices", "add", &device, "--app", &app, "--chain-id", "31337"]);
    let change = Ran::of(add.args(["--dir", dir.to_str().unwrap(), "--service-url", &url, "--json"])).exits(0);
    assert_eq!(change.fact("safe_nonce"), "1", "{}", change.said);
    assert!(!change.said.contains("SAFE_QUEUE_UNSEEN"), "{}", change.said);
    warning(&change, "SAFE_QUEUE_BEFORE");
}
