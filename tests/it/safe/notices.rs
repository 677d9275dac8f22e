//! `propose` and `safe queue`: the real binary, a whole upgrade through the simulated service, and a service that lies.

use alloy::primitives::B256;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::safe_service::SERVICE_KEY;
use crate::support::{SafeOptions, SafeService, World, WorldOptions};

const USUAL: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};

/// A 2-of-3 Safe that owns the app, and the service that knows it.
pub fn ground() -> (World, SafeService) {
    let world = World::with(WorldOptions {
        safe: Some(USUAL),
        ..WorldOptions::default()
    });
    let service = SafeService::start(&world.rpc());
    service.index(world.safe.unwrap());
    (world, service)
}

/// With the service's key in the environment.
pub fn flow(world: &World) -> Flow<'_> {
    let mut flow = Flow::new(world);
    flow.env
        .push(("SAFE_TRANSACTION_SERVICE_API_KEY".to_owned(), SERVICE_KEY.to_owned()));
    flow
}

/// `propose`, at this service.
pub fn propose(flow: &Flow<'_>, service: &SafeService, more: &[&str]) -> Ran {
    let (dir, url) = (flow.dir.to_str().unwrap().to_owned(), service.url());
    let mut arguments = vec!["propose", "--dir", &dir, "--service-url", &url, "--json"];
    arguments.extend(more);
    Ran::of(&mut flow.command(&arguments))
}

fn sign(flow: &Flow<'_>, index: usize) {
    let (dir, signer) = (flow.dir.to_str().unwrap(), format!("env:SIGNER_{index}"));
    Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", &signer, "--yes", "--json"])).exits(0);
}

fn queue(flow: &Flow<'_>, service: &SafeService) -> Ran {
    let safe = flow.world.safe.unwrap().to_string();
    let chain_id = flow.world.rpc().number("eth_chainId", json!([])).to_string();
    let url = service.url();
    Ran::of(&mut flow.command(&[
        "safe",
        "queue",
        &safe,
        "--chain-id",
        &chain_id,
        "--service-url",
        &url,
        "--json",
    ]))
}

fn hash(flow: &Flow<'_>) -> B256 {
    let digest: Value = flow.json_file("proposal.json")["safe"]["digests"]["safe_tx"].clone();
    serde_json::from_value(digest).unwrap()
}

#[test]
fn a_safe_approves_an_upgrade_with_signatures_from_the_service() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    let early = propose(&flow, &service, &[]).exits(6).says("SERVICE_NO_SIGNATURE");
    assert!(early.json["next"].as_str().unwrap().contains("sign"), "{}", early.said);
    sign(&flow, 0);
    let first = propose(&flow, &service, &[]).exits(0);
    assert_eq!(first.json["data"]["created"], true, "{}", first.said);
    // Another owner confirms in the wallet, which knows nothing of the proposal file.
    let hash = hash(&flow);
    crate::safe::service::confirm_elsewhere(&service, hash, 1);
    let waiting = queue(&flow, &service).exits(0);
    assert_eq!(waiting.json["data"]["nextNonce"], "1", "{}", waiting.said);
    assert_eq!(
        waiting.json["data"]["queue"][0]["signedBy"].as_array().unwrap().len(),
        2
    );
    let second = propose(&flow, &service, &[]).exits(0);
    assert_eq!(
        (&second.json["data"]["created"], &second.json["data"]["taken"]),
        (&json!(false), &json!(1))
    );
    let held = flow.json_file("proposal.json")["safe"]["signatures"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(held, 2, "the other owner's signature is in the proposal");
    for step in ["execute", "wait", "commit"] {
        flow.step(step).exits(0);
    }
    flow.landed_once();
    assert_eq!(queue(&flow, &service).exits(0).json["data"]["queue"], json!([]));
}

#[test]
fn m21_a_tampered_record_stops_propose_and_queue() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    propose(&flow, &service, &[]).exits(0);
    let before = flow.json_file("proposal.json");
    service.lie(|lies| lies.field = Some(("to", json!("0x0000000000000000000000000000000000000bad"))));
    propose(&flow, &service, &[]).exits(5).says("SERVICE_TAMPERED");
    let shown = queue(&flow, &service).exits(5).says("SERVICE_TAMPERED");
    assert_eq!(shown.json["data"]["queue"][0]["hashIsRight"], false, "{}", shown.said);
    assert_eq!(flow.json_file("proposal.json"), before);
}

#[test]
fn m21_foreign_confirmations_do_not_reach_the_proposal() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    propose(&flow, &service, &[]).exits(0);
    let owner = crate::support::ACCOUNTS[1].address.to_string();
    let foreign = crate::safe::service::signed_by(3, hash(&flow));
    service.lie(|lies| lies.confirmations = vec![json!({ "owner": owner, "signature": foreign })]);
    let ran = propose(&flow, &service, &[]).exits(0);
    assert_eq!(ran.json["data"]["taken"], 0, "{}", ran.said);
    assert_eq!(
        flow.json_file("proposal.json")["safe"]["signatures"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn pitfall_67_without_the_service_the_upgrade_goes_on_by_files_and_the_key_is_never_shown() {
    let (world, service) = ground();
    let mut flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    service.lie(|lies| lies.html = true);
    propose(&flow, &service, &[]).exits(75).says("SERVICE_UNEXPECTED");
    service.lie(|lies| (lies.html, lies.key_needed) = (false, true));
    flow.env.push((
        "SAFE_TRANSACTION_SERVICE_API_KEY".to_owned(),
        "wrong-canary-0123456789".to_owned(),
    ));
    let refused = propose(&flow, &service, &[]).exits(4).says("AUTH_SERVICE_KEY");
    assert!(!refused.said.contains("canary"), "{}", refused.said);
    let nowhere = ["propose", "--dir", flow.dir.to_str().unwrap(), "--json"];
    Ran::of(&mut flow.command(&nowhere)).exits(2).says("USAGE_NO_SERVICE");
    sign(&flow, 1);
    for step in ["execute", "wait", "commit"] {
        flow.step(step).exits(0);
    }
    flow.landed_once();
}

#[test]
fn pitfall_28_a_safe_of_another_chain_is_refused_before_anything_is_asked() {
    let (world, service) = ground();
    let flow = flow(&world);
    let safe = world.safe.unwrap().to_string();
    let (named, url) = (format!("eth:{safe}"), service.url());
    let ask = |safe: &str, more: &[&str]| {
        let mut arguments = vec!["safe", "queue", safe, "--service-url", &url, "--json"];
        arguments.extend(more);
        Ran::of(&mut flow.command(&arguments))
    };
    ask(&named, &["--chain-id", "8453"]).exits(3).says("INPUT_ADDRESS");
    ask(&safe, &[]).exits(2).says("USAGE_NO_CHAIN");
    assert!(service.requests().is_empty());
}
