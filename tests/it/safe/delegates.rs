//! `safe delegates` and `propose --withdraw`: the real binary at the simulated service, beside the official client.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::safe::notices::{flow, ground, propose};
use crate::safe::service::official;
use crate::support::{ACCOUNTS, SafeService};

/// `safe delegates ACT SAFE …`, with the key of account `index` and consent.
pub fn delegates(flow: &Flow<'_>, service: &SafeService, act: &str, more: &[&str]) -> Ran {
    let (safe, url) = (flow.world.safe.unwrap().to_string(), service.url());
    let mut arguments = vec!["safe", "delegates", act, &safe];
    arguments.extend(more);
    arguments.extend(["--chain-id", "31337", "--service-url", &url, "--json"]);
    Ran::of(&mut flow.command(&arguments))
}

fn proposed(flow: &Flow<'_>, service: &SafeService) {
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"])).exits(0);
    propose(flow, service, &[]).exits(0);
    assert_eq!(service.proposals().len(), 1);
}

#[test]
fn pitfall_53_an_owner_adds_lists_and_removes_a_delegate_and_the_official_client_sees_the_same() {
    let (world, service) = ground();
    let flow = flow(&world);
    let (safe, delegate) = (world.safe.unwrap().to_string(), ACCOUNTS[3].address.to_string());
    let owner = ACCOUNTS[0].address;
    let add = [&*delegate, "--label", "ci", "--signer", "env:SIGNER_0"];
    // Nobody is there to agree.
    delegates(&flow, &service, "add", &add).exits(2);
    assert!(service.delegates().is_empty());
    let agreed = [&add[..], &["--yes"]].concat();
    let added = delegates(&flow, &service, "add", &agreed).exits(0);
    assert_eq!(added.json["data"]["changed"], true, "{}", added.said);
    service.take_requests();
    let again = delegates(&flow, &service, "add", &agreed).exits(0);
    assert_eq!(again.json["data"]["changed"], false);
    assert!(service.requests().iter().all(|request| request.method == "GET"));

    let theirs = official(&service, &[("delegates", json!([{ "safeAddress": safe }]))]);
    assert_eq!(theirs[0]["ok"]["count"], 1, "{theirs:?}");
    assert_eq!(theirs[0]["ok"]["results"][0]["delegate"], delegate);
    let listed = delegates(&flow, &service, "list", &[]).exits(0);
    let expected = json!([{ "delegate": ACCOUNTS[3].address, "delegator": owner, "label": "ci", "allSafes": false, "expires": null }]);
    assert_eq!(listed.json["data"]["delegates"], expected);

    let remove = [&*delegate, "--signer", "env:SIGNER_0", "--yes"];
    delegates(&flow, &service, "remove", &remove).exits(0);
    assert!(service.delegates().is_empty());
    let gone = delegates(&flow, &service, "remove", &remove).exits(0);
    assert_eq!(gone.json["data"]["changed"], false);
}

#[test]
fn our_requests_for_delegates_are_those_of_the_official_client_field_by_field() {
    let (world, service) = ground();
    let flow = flow(&world);
    let (safe, delegate, owner) = (
        world.safe.unwrap().to_string(),
        ACCOUNTS[3].address.to_string(),
        ACCOUNTS[0].address.to_string(),
    );
    let names = json!([{ "safeAddress": safe, "delegateAddress": delegate, "delegatorAddress": owner, "label": "ci",
        "key": ACCOUNTS[0].key }]);
    let acts = official(&service, &[("addDelegate", names.clone()), ("removeDelegate", names)]);
    assert!(acts.iter().all(|act| act.get("ok").is_some()), "{acts:?}");
    let theirs = writes(&service);
    let key = ["--signer", "env:SIGNER_0", "--yes"];
    delegates(
        &flow,
        &service,
        "add",
        &[&[&*delegate, "--label", "ci"][..], &key].concat(),
    )
    .exits(0);
    delegates(&flow, &service, "remove", &[&[&*delegate][..], &key].concat()).exits(0);
    let ours = writes(&service);
    assert_eq!(ours.len(), 2);
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!((&our.0, &our.1), (&their.0, &their.1));
        let more: BTreeSet<&String> = fields(&our.2).difference(&fields(&their.2)).copied().collect();
        // The official client removes a delegate of all Safes at once; ours of the one that was named.
        let expected: &[&str] = if our.0 == "DELETE" { &["safe"] } else { &[] };
        assert!(
            more.iter().map(|name| name.as_str()).eq(expected.iter().copied()),
            "{more:?}"
        );
        for (name, value) in their.2.as_object().unwrap() {
            // Two signatures of one document may be made in two hours.
            assert!(name == "signature" || our.2[name] == *value, "{name}");
        }
    }
}

/// Verb, path and body of what changed something.
fn writes(service: &SafeService) -> Vec<(String, String, Value)> {
    let requests = service.take_requests().into_iter();
    // The official client forgets a slash, and is sent on.
    let requests = requests.filter(|request| request.method != "GET" && request.status != 301);
    requests
        .map(|request| {
            let body = serde_json::from_slice(&request.body).unwrap_or_default();
            (request.method, request.path, body)
        })
        .collect()
}

fn fields(body: &Value) -> BTreeSet<&String> {
    body.as_object().unwrap().keys().collect()
}

#[test]
fn a_stranger_makes_nobody_a_delegate_and_a_delegate_can_leave() {
    let (world, service) = ground();
    let flow = flow(&world);
    let delegate = ACCOUNTS[3].address.to_string();
    let with = |index: &str| format!("env:SIGNER_{index}");
    let stranger = delegates(
        &flow,
        &service,
        "add",
        &[&delegate, "--label", "x", "--signer", &with("4"), "--yes"],
    );
    let stranger = stranger.exits(6).says("SERVICE_REFUSED");
    assert!(stranger.said.contains("is not an owner of Safe"), "{}", stranger.said);
    delegates(
        &flow,
        &service,
        "add",
        &[&delegate, "--label", "x", "--signer", &with("1"), "--yes"],
    )
    .exits(0);
    let owner = ACCOUNTS[1].address.to_string();
    let leave = [&*delegate, "--delegator", &owner, "--signer", &with("3"), "--yes"];
    delegates(&flow, &service, "remove", &leave).exits(0);
    assert!(service.delegates().is_empty());
    let long = "x".repeat(51);
    let refused = [&*delegate, "--label", &long, "--signer", &with("1"), "--yes"];
    delegates(&flow, &service, "add", &refused).exits(2);
}

#[test]
fn a9_a_change_whose_answer_was_lost_is_settled_by_reading() {
    let (world, service) = ground();
    let flow = flow(&world);
    service.lie(|lies| lies.loses_answers = true);
    let delegate = ACCOUNTS[3].address.to_string();
    let key = ["--signer", "env:SIGNER_0", "--yes"];
    delegates(
        &flow,
        &service,
        "add",
        &[&[&*delegate, "--label", "ci"][..], &key].concat(),
    )
    .exits(0);
    assert_eq!(service.delegates().len(), 1);
    delegates(&flow, &service, "remove", &[&[&*delegate][..], &key].concat()).exits(0);
    assert!(service.delegates().is_empty());
    service.lie(|lies| lies.loses_answers = false);
    proposed(&flow, &service);
    service.lie(|lies| lies.loses_answers = true);
    propose(&flow, &service, &[&["--withdraw"][..], &key].concat()).exits(0);
    assert!(service.proposals().is_empty());
}

#[test]
fn who_proposed_withdraws_and_nobody_else_and_the_signatures_stay_good() {
    let (world, service) = ground();
    let flow = flow(&world);
    proposed(&flow, &service);
    let withdraw = |index: usize, more: &[&str]| {
        let key = format!("env:SIGNER_{index}");
        propose(&flow, &service, &[&["--withdraw", "--signer", &key][..], more].concat())
    };
    withdraw(1, &["--yes"]).exits(6).says("SERVICE_NOT_PROPOSER");
    withdraw(0, &[]).exits(2);
    assert_eq!(service.proposals().len(), 1);
    let gone = withdraw(0, &["--yes"]).exits(0);
    assert_eq!(gone.json["data"]["withdrawn"], true, "{}", gone.said);
    let codes: Vec<&str> = gone.json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|warning| warning["code"].as_str())
        .collect();
    assert_eq!(codes, ["SAFE_SIGNATURES_STAY"]);
    assert!(service.proposals().is_empty());
    let again = withdraw(0, &["--yes"]).exits(0);
    assert_eq!(again.json["data"]["withdrawn"], false);
    // What was withdrawn can be proposed again: the proposal file lost nothing.
    propose(&flow, &service, &[]).exits(0);
    assert_eq!(service.proposals().len(), 1);
}

fn sign(flow: &Flow<'_>, file: &std::path::Path, index: usize, more: &[&str]) -> Ran {
    let signer = format!("env:SIGNER_{index}");
    let mut command = flow.command(&["sign", file.to_str().unwrap(), "--signer", &signer, "--yes", "--json"]);
    Ran::of(command.args(more))
}

#[test]
fn svc_2_a_pipeline_with_a_delegates_key_proposes_two_owners_sign_and_anybody_executes() {
    let (world, service) = ground();
    let flow = flow(&world);
    let delegate = ACCOUNTS[3].address;
    let key = ["--label", "ci", "--signer", "env:SIGNER_0", "--yes"];
    delegates(&flow, &service, "add", &[&[&*delegate.to_string()][..], &key].concat()).exits(0);
    flow.step("prepare").exits(0);
    // Neither a stranger nor an owner only proposes, and nobody does without being asked.
    propose(&flow, &service, &["--signer", "env:SIGNER_4", "--yes"])
        .exits(6)
        .says("SIGNER_NOT_DELEGATE");
    propose(&flow, &service, &["--signer", "env:SIGNER_1", "--yes"])
        .exits(6)
        .says("SIGNER_IS_OWNER");
    propose(&flow, &service, &["--signer", "env:SIGNER_3"]).exits(2);
    assert!(service.proposals().is_empty());

    let put = propose(&flow, &service, &["--signer", "env:SIGNER_3", "--yes"]).exits(0);
    assert_eq!(put.json["data"]["created"], true, "{}", put.said);
    assert_eq!(put.json["data"]["confirmed"], json!([]), "it agrees to nothing");
    // A delegate signs nothing: the owners do, and the pipeline waits.
    let next = put.json["next"].as_str().unwrap();
    assert!(
        next.starts_with("countersign wait --dir ") && !next.contains("--signer"),
        "{next}"
    );
    assert_eq!(
        put.json["others"][0]["commands"],
        json!(["countersign review proposal.json", "countersign sign proposal.json"]),
        "{}",
        put.said
    );
    let there = &service.proposals()[0];
    assert_eq!(
        (there.by_delegate, there.proposer),
        (Some(delegate), ACCOUNTS[0].address)
    );
    assert!(there.trusted && there.confirmations.is_empty());
    let again = propose(&flow, &service, &["--signer", "env:SIGNER_3", "--yes"]).exits(0);
    assert_eq!(again.json["data"]["created"], false, "{}", again.said);
    // Nobody's agreement is in the proposal, and nothing can be executed.
    assert_eq!(flow.json_file("proposal.json")["safe"]["signatures"], json!([]));
    let reviewed = crate::safe::board::review(&flow, &service, &[]).exits(0);
    let posted = &reviewed.json["data"]["found"]["transactions"][0]["posted"];
    assert_eq!(
        (&posted["delegate"], &posted["signed_by"]),
        (&json!(delegate), &json!([])),
        "{}",
        reviewed.said
    );

    // One owner signs in a wallet, which sees it at the service; the other one has the file alone.
    crate::safe::service::confirm_elsewhere(&service, there.hash, 0);
    let (file, signature) = (world.folder().join("mail.json"), world.folder().join("signature.json"));
    std::fs::copy(flow.dir.join("proposal.json"), &file).unwrap();
    sign(&flow, &file, 1, &["--out", signature.to_str().unwrap()]).exits(0);
    let dir = flow.dir.to_str().unwrap();
    Ran::of(&mut flow.command(&["import", signature.to_str().unwrap(), "--dir", dir, "--json"])).exits(0);
    let taken = propose(&flow, &service, &[]).exits(0);
    assert_eq!(taken.json["data"]["taken"], 1, "{}", taken.said);
    assert_eq!(taken.json["data"]["confirmed"].as_array().unwrap().len(), 2);
    for step in ["execute", "wait", "commit"] {
        flow.step(step).exits(0);
    }
    flow.landed_once();
}

#[test]
fn svc_2_what_a_delegate_proposed_is_withdrawn_with_the_delegates_key() {
    let (world, service) = ground();
    let flow = flow(&world);
    let key = ["--label", "ci", "--signer", "env:SIGNER_0", "--yes"];
    delegates(
        &flow,
        &service,
        "add",
        &[&[&*ACCOUNTS[3].address.to_string()][..], &key].concat(),
    )
    .exits(0);
    flow.step("prepare").exits(0);
    service.lie(|lies| lies.loses_answers = true);
    propose(&flow, &service, &["--signer", "env:SIGNER_3", "--yes"]).exits(0);
    service.lie(|lies| lies.loses_answers = false);
    propose(&flow, &service, &["--withdraw", "--signer", "env:SIGNER_3", "--yes"]).exits(0);
    assert!(service.proposals().is_empty());
}

#[test]
fn svc_4_who_may_propose_for_all_safes_of_an_owner_is_listed_and_removed() {
    let (world, service) = ground();
    let flow = flow(&world);
    let (delegate, owner) = (ACCOUNTS[3].address, ACCOUNTS[0].address);
    service.delegate(crate::support::safe_service::Delegate {
        safe: None,
        delegate,
        delegator: owner,
        label: "everywhere".to_owned(),
    });
    let listed = delegates(&flow, &service, "list", &[]).exits(0);
    let of_all =
        json!([{ "delegate": delegate, "delegator": owner, "label": "everywhere", "allSafes": true, "expires": null }]);
    assert_eq!(listed.json["data"]["delegates"], of_all, "{}", listed.said);
    let by_owner = delegates(&flow, &service, "list", &["--delegator", &owner.to_string()]).exits(0);
    assert_eq!(by_owner.json["data"]["delegates"], of_all);
    let key = [&*delegate.to_string(), "--signer", "env:SIGNER_0", "--yes"].map(str::to_owned);
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let kept = delegates(&flow, &service, "remove", &key)
        .exits(6)
        .says("DELEGATE_OF_ALL_SAFES");
    assert!(
        kept.json["next"].as_str().unwrap().contains("--all-safes"),
        "{}",
        kept.said
    );
    assert_eq!(service.delegates().len(), 1);
    let gone = delegates(&flow, &service, "remove", &[&key[..], &["--all-safes"]].concat()).exits(0);
    assert_eq!(gone.json["data"]["changed"], true, "{}", gone.said);
    assert!(service.delegates().is_empty());
}

#[test]
fn svc_11_a_label_with_blanks_around_it_is_added_once_and_a_blank_one_not_at_all() {
    let (world, service) = ground();
    let flow = flow(&world);
    let delegate = ACCOUNTS[3].address.to_string();
    let add = |label: &str| {
        let more = [&*delegate, "--label", label, "--signer", "env:SIGNER_0", "--yes"];
        delegates(&flow, &service, "add", &more)
    };
    add(" \t ").exits(2);
    for label in [" x ", "a\tb", "caf\u{e9}"] {
        add(label).exits(0);
        service.take_requests();
        let again = add(label).exits(0);
        assert_eq!(again.json["data"]["changed"], false, "{label:?}: {}", again.said);
        assert!(service.requests().iter().all(|request| request.method == "GET"));
    }
}

#[test]
fn svc_11_too_many_in_a_second_is_waited_for_in_the_last_hour_of_a_month() {
    let (world, service) = ground();
    let flow = flow(&world);
    proposed(&flow, &service);
    service.lie(|lies| lies.too_many = 2);
    let waiting = crate::safe::board::queue(&flow, &service, &[]).exits(0);
    assert!(
        waiting.json["data"]["quotaLeft"]
            .as_u64()
            .is_some_and(|left| left < 5000),
        "{}",
        waiting.said
    );
    assert_eq!(waiting.json["data"]["requests"], 2);
}

#[test]
fn svc_10_people_are_told_what_came_of_it() {
    let (world, service) = ground();
    let flow = flow(&world);
    let (safe, url) = (world.safe.unwrap().to_string(), service.url());
    let said = |arguments: &[&str]| {
        let output = crate::support::command::run(&mut flow.command(arguments));
        String::from_utf8(output.stdout).unwrap()
    };
    let ask = ["safe", "queue", &safe, "--chain-id", "31337", "--service-url", &url];
    assert!(
        said(&ask).contains("0 waiting, the next free nonce is 0 (the chain is at 0)"),
        "{}",
        said(&ask)
    );
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"])).exits(0);
    let put = said(&["propose", "--dir", dir, "--service-url", &url]);
    assert!(put.contains("was proposed to"), "{put}");
    assert!(
        said(&ask).contains("1 waiting, the next free nonce is 1"),
        "{}",
        said(&ask)
    );
    let gone = [
        "propose",
        "--dir",
        dir,
        "--service-url",
        &url,
        "--withdraw",
        "--signer",
        "env:SIGNER_0",
        "--yes",
    ];
    let gone = said(&gone);
    assert!(gone.contains("was withdrawn from"), "{gone}");
}

#[test]
fn svc_2_a_key_that_is_an_owners_never_signs_as_a_delegate_whatever_the_file_and_the_service_say() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    service.delegate(crate::support::safe_service::Delegate {
        safe: world.safe,
        delegate: ACCOUNTS[0].address,
        delegator: ACCOUNTS[1].address,
        label: "ci".to_owned(),
    });
    let mut proposal = flow.json_file("proposal.json");
    let owners = proposal["plan"]["safe"]["owners"].as_array_mut().unwrap();
    let own = json!(ACCOUNTS[0].address).as_str().unwrap().to_lowercase();
    let place = owners
        .iter_mut()
        .find(|owner| owner.as_str().unwrap().to_lowercase() == own);
    *place.unwrap() = json!(ACCOUNTS[4].address);
    let file = world.file("changed.json", &proposal.to_string());
    let url = service.url();
    let words = [
        "propose",
        file.to_str().unwrap(),
        "--signer",
        "env:SIGNER_0",
        "--yes",
        "--service-url",
        &url,
        "--json",
    ];
    let run = |more: &[&str]| Ran::of(&mut flow.command(&[&words[..], more].concat()));
    run(&[]).exits(6);
    run(&["--accept", "SAFE_OWNERS_CHANGED"])
        .exits(6)
        .says("SIGNER_IS_OWNER");
    run(&["--offline"]).exits(2).says("USAGE_NO_RPC");
    assert!(service.proposals().is_empty());
}
