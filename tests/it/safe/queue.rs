//! Which nonce `prepare` takes when others wait at the Safe Transaction Service, and when the service cannot be relied on.

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::safe::notices::ground;
use crate::safe::service::{Elsewhere, change_elsewhere, elsewhere};
use crate::support::safe_service::SERVICE_KEY;
use crate::support::safes::RELEASES;
use crate::support::{ACCOUNTS, SafeService, World};

alloy::sol! {
    function removeOwner(address prevOwner, address owner, uint256 threshold);
}

fn wait_elsewhere(world: &World, service: &SafeService, waiting: &[(u64, u8)]) -> Vec<B256> {
    let safe = world.safe.unwrap();
    let put = |(nonce, mark): &(u64, u8)| elsewhere(service, safe, (*nonce, *mark), Elsewhere::Signed(0));
    waiting.iter().map(put).collect()
}

fn prepare(flow: &Flow<'_>, service: &SafeService, more: &[&str]) -> Ran {
    let url = service.url();
    flow.with("prepare", &[&["--service-url", &url], more].concat())
}

fn nonce(ran: &Ran) -> &str {
    ran.fact("safe_nonce").as_str().unwrap()
}

fn codes(ran: &Ran) -> Vec<&str> {
    let warnings = ran.json["warnings"].as_array().unwrap().iter();
    warnings
        .map(|warning| warning["code"].as_str().unwrap())
        .filter(|code| code.starts_with("SAFE_"))
        .collect()
}

fn warning<'r>(ran: &'r Ran, code: &str) -> &'r str {
    let mut warnings = ran.json["warnings"].as_array().unwrap().iter();
    let found = warnings.find(|warning| warning["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}: {}", ran.said))["text"]
        .as_str()
        .unwrap()
}

#[test]
fn pitfall_1_to_4_prepare_takes_the_first_nonce_that_nothing_holds_and_says_what_is_around_it() {
    let (world, service) = ground();
    wait_elsewhere(&world, &service, &[(0, 1), (1, 2), (4, 3), (1_000_000, 4)]);
    let junk = elsewhere(&service, world.safe.unwrap(), (2, 5), Elsewhere::Unsigned);
    let flow = Flow::new(&world);
    let prepared = prepare(&flow, &service, &[]).exits(0);
    assert_eq!(nonce(&prepared), "2", "{}", prepared.said);
    assert_eq!(
        codes(&prepared),
        [
            "SAFE_QUEUE_BEFORE",
            "SAFE_COMPETITORS",
            "SAFE_NONCE_GAP",
            "SAFE_NONCE_GAP"
        ],
        "{}",
        prepared.said
    );
    assert!(warning(&prepared, "SAFE_COMPETITORS").contains(&junk.to_string()));
    assert!(warning(&prepared, "SAFE_QUEUE_BEFORE").contains("2 signed transactions"));
    assert!(prepared.said.contains("warning: "), "people are told as well");
    flow.with("wait", &["--timeout", "1s"]).exits(8).says("PENDING_QUEUE");
}

#[test]
fn a_queue_without_anything_in_it_gives_the_safes_own_nonce_and_nothing_to_say() {
    let (world, service) = ground();
    let flow = Flow::new(&world);
    let prepared = prepare(&flow, &service, &[]).exits(0);
    assert_eq!((nonce(&prepared), codes(&prepared)), ("0", vec![]), "{}", prepared.said);
}

/// Agrees to prepare again with the nonce that another directory here has.
const AGAIN: [&str; 5] = [
    "--supersede",
    "--safe-nonce",
    "0",
    "--accept",
    "SAFE_NONCE_TAKEN_HERE=0",
];

#[test]
fn pitfall_67_a_service_that_is_down_costs_a_warning_and_not_the_upgrade() {
    let (world, service) = ground();
    wait_elsewhere(&world, &service, &[(0, 1)]);
    let fails: [&dyn Fn(); 2] = [&|| service.lie(|lies| lies.html = true), &|| {
        service.lie(|lies| (lies.html, lies.key_needed) = (false, true))
    }];
    for (index, fail) in fails.iter().enumerate() {
        fail();
        let mut flow = Flow::new(&world);
        flow.dir = world.folder().join(format!("upgrade-{index}"));
        let prepared = prepare(&flow, &service, &AGAIN).exits(0);
        assert_eq!(nonce(&prepared), "0");
        assert!(codes(&prepared).contains(&"SAFE_QUEUE_UNSEEN"), "{}", prepared.said);
    }
    let mut flow = Flow::new(&world);
    flow.dir = world.folder().join("nobody-listens");
    let nowhere = [&AGAIN[..], &["--service-url", "http://127.0.0.1:1"]].concat();
    let prepared = flow.with("prepare", &nowhere).exits(0);
    assert_eq!(nonce(&prepared), "0");
    assert!(codes(&prepared).contains(&"SAFE_QUEUE_UNSEEN"), "{}", prepared.said);
}

#[test]
fn m21_a_service_whose_records_are_changed_moves_no_nonce() {
    let (world, service) = ground();
    wait_elsewhere(&world, &service, &[(0, 1), (1, 2)]);
    service.lie(|lies| lies.field = Some(("data", json!("0xdeadbeef"))));
    let flow = Flow::new(&world);
    let prepared = prepare(&flow, &service, &[]).exits(0);
    assert_eq!(nonce(&prepared), "0");
    assert_eq!(codes(&prepared), ["SAFE_QUEUE_UNSEEN"]);
    let told = warning(&prepared, "SAFE_QUEUE_UNSEEN");
    assert!(told.contains("another transaction"), "{told}");
}

#[test]
fn pitfall_4_what_a_stranger_signed_holds_no_nonce_whatever_the_service_says() {
    let (world, service) = ground();
    let strange = elsewhere(&service, world.safe.unwrap(), (0, 1), Elsewhere::Signed(4));
    let flow = Flow::new(&world);
    let prepared = prepare(&flow, &service, &[]).exits(0);
    assert_eq!(nonce(&prepared), "0", "{}", prepared.said);
    assert!(warning(&prepared, "SAFE_COMPETITORS").contains(&strange.to_string()));
}

#[test]
fn a_service_that_nobody_named_is_not_asked() {
    let (world, service) = ground();
    let mut flow = Flow::new(&world);
    let prepared = flow.step("prepare").exits(0);
    assert_eq!(codes(&prepared), ["SAFE_QUEUE_UNSEEN"], "{}", prepared.said);
    assert!(warning(&prepared, "SAFE_QUEUE_UNSEEN").contains("--service-url"));
    // Safe runs none for this chain, whatever key there is.
    flow.env
        .push(("SAFE_TRANSACTION_SERVICE_API_KEY".to_owned(), SERVICE_KEY.to_owned()));
    flow.dir = world.folder().join("another");
    flow.with("prepare", &AGAIN).exits(0);
    assert!(service.requests().is_empty());
}

#[test]
fn pitfall_2_a_nonce_that_was_named_is_taken_and_its_gap_and_competitors_are_named() {
    let (world, service) = ground();
    let there = wait_elsewhere(&world, &service, &[(0, 1), (3, 2)]);
    let flow = Flow::new(&world);
    let prepared = prepare(&flow, &service, &["--safe-nonce", "3"]).exits(0);
    assert_eq!(nonce(&prepared), "3");
    assert_eq!(
        codes(&prepared),
        ["SAFE_QUEUE_BEFORE", "SAFE_COMPETITORS", "SAFE_NONCE_GAP"],
        "{}",
        prepared.said
    );
    assert!(warning(&prepared, "SAFE_COMPETITORS").contains(&there[1].to_string()));
    assert!(warning(&prepared, "SAFE_NONCE_GAP").contains("nonce 1 "));
}

#[test]
fn pitfall_56_owners_that_change_before_it_is_our_turn_are_named() {
    let (world, service) = ground();
    let remove = removeOwnerCall {
        prevOwner: Address::with_last_byte(1),
        owner: ACCOUNTS[0].address,
        threshold: U256::ONE,
    };
    change_elsewhere(&service, world.safe.unwrap(), 0, remove.abi_encode().into());
    let flow = Flow::new(&world);
    let prepared = prepare(&flow, &service, &[]).exits(0);
    let told = warning(&prepared, "SAFE_OWNERS_QUEUED");
    assert!(told.contains("removeOwner") && told.contains("(nonce 0)"), "{told}");
    let safe = world.safe.unwrap().to_string();
    let url = service.url();
    let ask = [
        "safe",
        "queue",
        &safe,
        "--chain-id",
        "31337",
        "--service-url",
        &url,
        "--json",
    ];
    let shown = Ran::of(&mut flow.command(&ask)).exits(0);
    let changes = &shown.json["data"]["queue"][0]["changesTheSafe"];
    assert!(changes[0].as_str().unwrap().starts_with("removeOwner"), "{changes}");
    // An owner who reviews what was posted is told as well.
    let (dir, signer) = (flow.dir.to_str().unwrap(), "env:SIGNER_1");
    Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", signer, "--yes", "--json"])).exits(0);
    Ran::of(&mut flow.command(&["propose", "--dir", dir, "--service-url", &url, "--json"])).exits(0);
    let reviewed = Ran::of(&mut flow.command(&["review", "--dir", dir, "--service-url", &url, "--json"])).exits(0);
    assert!(warning(&reviewed, "SAFE_OWNERS_QUEUED").contains("removeOwner"));
}

#[test]
fn whoever_prepares_what_waits_already_is_told_to_sign_that() {
    let (world, service) = ground();
    let first = Flow::new(&world);
    first.step("prepare").exits(0);
    let (dir, url) = (first.dir.to_str().unwrap(), service.url());
    let sign = ["sign", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"];
    Ran::of(&mut first.command(&sign)).exits(0);
    Ran::of(&mut first.command(&["propose", "--dir", dir, "--service-url", &url, "--json"])).exits(0);
    let mut second = Flow::new(&world);
    second.dir = world.folder().join("second");
    let prepared = prepare(&second, &service, &["--supersede"]).exits(0);
    assert_eq!(nonce(&prepared), "1");
    let hash: Value = first.json_file("proposal.json")["safe"]["digests"]["safe_tx"].clone();
    let told = warning(&prepared, "SAFE_QUEUE_SAME");
    assert!(told.contains(hash.as_str().unwrap()), "{told}");
}

#[test]
fn pitfall_1_a_safe_that_owns_the_safe_takes_its_own_first_free_nonce() {
    let (world, service) = ground();
    let rpc = world.rpc();
    let child = RELEASES[1].create(&rpc, true, (&[ACCOUNTS[0].address, ACCOUNTS[1].address], 2));
    let parent = RELEASES[1].create(&rpc, true, (&[child, ACCOUNTS[2].address], 2));
    let own = crate::support::contracts::abi::ownerCall {};
    let owner: Address = rpc.read(world.app, &own);
    let give = crate::support::contracts::abi::transferOwnershipCall { to: parent };
    rpc.execute_as(owner, world.app, &give);
    rpc.execute_as(
        parent,
        world.app,
        &crate::support::contracts::abi::acceptOwnershipCall {},
    );
    service.index(child);
    elsewhere(&service, child, (0, 1), Elsewhere::Signed(0));
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let (dir, url, child) = (flow.dir.to_str().unwrap(), service.url(), child.to_string());
    let sign = ["sign", "--dir", dir, "--for", &child, "--service-url", &url, "--json"];
    let signed = Ran::of(flow.command(&sign).args(["--signer", "env:SIGNER_0", "--yes"])).exits(0);
    assert_eq!(codes(&signed), ["SAFE_QUEUE_BEFORE"], "{}", signed.said);
    let nested = flow.json_file("proposal.json")["safe"]["nested"][0]["frozen"]["transaction"]["nonce"].clone();
    assert_eq!(nested, "0x1", "{nested}");
}
