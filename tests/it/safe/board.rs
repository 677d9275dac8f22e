//! The Safe Transaction Service as the notice board that it is: strangers write on it, and it may lie itself. What owners
//! signed stays visible, and what nobody proves counts for nothing.

use alloy::primitives::{Address, B256, Bytes, U256, uint};
use alloy::sol_types::SolCall;
use countersign::safe::{Operation, SafeDomain, SafeTxFields, version::SafeVersion};
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::safe::notices::{flow, ground, propose};
use crate::safe::service::{Elsewhere, change_elsewhere, confirm_elsewhere, elsewhere, signed_by};
use crate::support::command::{run, shown};
use crate::support::safe_service::{Confirmation, Fields, Proposal};
use crate::support::safes::RELEASES;
use crate::support::{ACCOUNTS, SafeService, World};

const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

alloy::sol! {
    function removeOwner(address prevOwner, address owner, uint256 threshold);
    function approveHash(bytes32 hash);
}

/// Somebody who has no key that counts, and the address of the service.
pub struct Stranger<'w> {
    pub world: &'w World,
    pub service: &'w SafeService,
}

/// What a stranger posts.
pub struct Post {
    pub fields: SafeTxFields,
    /// Which account it is said to be from.
    pub sender: usize,
    pub signature: Option<Bytes>,
    pub origin: &'static str,
}

impl Post {
    /// Something harmless without a signature, told from others by `mark`.
    pub fn of(nonce: u64, mark: u64) -> Self {
        let data = Bytes::from(mark.to_be_bytes().to_vec());
        let to = Address::repeat_byte(0x66);
        Self {
            fields: SafeTxFields::plain(to, data, Operation::Call, U256::from(nonce)),
            sender: 0,
            signature: None,
            origin: "",
        }
    }
    /// The same with so much data.
    pub fn sized(nonce: u64, mark: u64, bytes: usize) -> Self {
        let mut post = Self::of(nonce, mark);
        post.fields.data = [post.fields.data.to_vec(), vec![0xab; bytes]].concat().into();
        post
    }
}

impl Stranger<'_> {
    pub fn domain(&self) -> SafeDomain {
        SafeDomain {
            chain_id: 31337,
            safe: self.world.safe.unwrap(),
            version: SafeVersion::V1_4_1,
        }
    }
    /// Posts to the service's own address, as anybody can; gives the status and the hash.
    pub fn post(&self, post: &Post) -> (u16, B256) {
        let (fields, safe) = (&post.fields, self.world.safe.unwrap());
        let hash = fields.hash(&self.domain());
        let body = json!({
            "to": fields.to.to_string(), "value": fields.value.to_string(), "data": fields.data,
            "operation": u8::from(fields.operation), "safeTxGas": "0", "baseGas": "0", "gasPrice": "0",
            "gasToken": Address::ZERO.to_string(), "refundReceiver": Address::ZERO.to_string(),
            "nonce": fields.nonce.to_string(), "contractTransactionHash": hash,
            "sender": ACCOUNTS[post.sender].address.to_string(), "signature": post.signature, "origin": post.origin,
        });
        let url = format!("{}/api/v2/safes/{safe}/multisig-transactions/", self.service.url());
        let sent = async move {
            crate::support::http()
                .post(url)
                .json(&body)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        (crate::support::block(sent), hash)
    }
    /// Posts a confirmation, as anybody can.
    pub fn confirm(&self, hash: B256, signature: &Bytes) -> u16 {
        let url = format!(
            "{}/api/v1/multisig-transactions/{hash}/confirmations/",
            self.service.url()
        );
        let body = json!({ "signature": signature });
        let sent = async move {
            crate::support::http()
                .post(url)
                .json(&body)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        crate::support::block(sent)
    }
}

/// A prepared upgrade that the first owner has signed and that is at the service.
pub fn proposed<'w>(world: &'w World, service: &SafeService) -> Flow<'w> {
    let flow = flow(world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    propose(&flow, service, &[]).exits(0);
    flow
}

pub fn sign(flow: &Flow<'_>, index: usize) {
    let (dir, signer) = (flow.dir.to_str().unwrap(), format!("env:SIGNER_{index}"));
    Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", &signer, "--yes", "--json"])).exits(0);
}

pub fn hash_of(flow: &Flow<'_>) -> B256 {
    let digest: Value = flow.json_file("proposal.json")["safe"]["digests"]["safe_tx"].clone();
    serde_json::from_value(digest).unwrap()
}

/// The fields of the upgrade's own transaction, which its public proposal has.
pub fn own_fields(flow: &Flow<'_>) -> SafeTxFields {
    let tx = flow.json_file("proposal.json")["safe"]["frozen"]["transaction"].clone();
    let to = serde_json::from_value(tx["to"].clone()).unwrap();
    let data = serde_json::from_value(tx["data"].clone()).unwrap();
    let nonce = serde_json::from_value(tx["nonce"].clone()).unwrap();
    SafeTxFields::plain(to, data, Operation::Call, nonce)
}

pub fn queue(flow: &Flow<'_>, service: &SafeService, more: &[&str]) -> Ran {
    let (safe, url) = (flow.world.safe.unwrap().to_string(), service.url());
    let mut command = flow.command(&[
        "safe",
        "queue",
        &safe,
        "--chain-id",
        "31337",
        "--service-url",
        &url,
        "--json",
    ]);
    Ran::of(command.args(more))
}

/// `review` of the proposal file alone, as another owner does it, with what the service shows.
pub fn review(flow: &Flow<'_>, service: &SafeService, more: &[&str]) -> Ran {
    let (file, url) = (flow.dir.join("proposal.json"), service.url());
    let mut command = flow.command(&["review", file.to_str().unwrap(), "--service-url", &url, "--json"]);
    Ran::of(command.args(more))
}

/// Prepares the same once more in another directory, which asks the service for a nonce.
pub fn prepare_again(flow: &Flow<'_>, service: &SafeService, more: &[&str]) -> Ran {
    let url = service.url();
    let mut other = crate::harness::judge::moved(flow, flow.world.folder().join("again"));
    other.env = flow.env.clone();
    other.with("prepare", &[&["--supersede", "--service-url", &url], more].concat())
}

pub fn codes(ran: &Ran) -> Vec<&str> {
    let warnings = ran.json["warnings"].as_array().unwrap().iter();
    warnings.filter_map(|warning| warning["code"].as_str()).collect()
}

pub fn warning<'r>(ran: &'r Ran, code: &str) -> &'r str {
    let mut warnings = ran.json["warnings"].as_array().unwrap().iter();
    let found = warnings.find(|warning| warning["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}: {}", ran.said))["text"]
        .as_str()
        .unwrap()
}

/// The same signature with the other s and the other parity, which anybody can make of it.
pub fn twin(signature: &Bytes) -> Bytes {
    let s = ORDER - U256::from_be_slice(&signature[32..64]);
    let v = 27 + 28 - signature[64];
    [&signature[..32], &s.to_be_bytes::<32>(), &[v]].concat().into()
}

/// What owners signed is seen, and that something was not.
#[track_caller]
fn sees_what_owners_signed(flow: &Flow<'_>, service: &SafeService) {
    let reviewed = review(flow, service, &[]).exits(0);
    assert!(
        codes(&reviewed).contains(&"SERVICE_UNSIGNED_UNSEEN"),
        "{}",
        reviewed.said
    );
    let shown = &reviewed.json["data"]["found"]["transactions"][0];
    assert_eq!(
        (&shown["ours"], &shown["posted"]["signed_by"].as_array().unwrap().len()),
        (&json!(true), &1)
    );
    let waiting = queue(flow, service, &[]).exits(0);
    assert_eq!(waiting.json["data"]["nextNonce"], "1", "{}", waiting.said);
    assert_eq!(
        waiting.json["data"]["queue"][0]["signedBy"].as_array().unwrap().len(),
        1
    );
    assert!(codes(&waiting).contains(&"SERVICE_UNSIGNED_UNSEEN"), "{}", waiting.said);
}

#[test]
fn svc_1_large_posts_of_a_stranger_hide_nothing_that_owners_signed_and_move_no_nonce() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    for mark in 0..40 {
        let (status, _) = stranger.post(&Post::sized(mark % 2, mark, 450_000));
        assert_eq!(status, 201);
    }
    assert_eq!(stranger.post(&Post::sized(0, 99, 600_000)).0, 413);
    sees_what_owners_signed(&flow, &service);
    let prepared = prepare_again(&flow, &service, &[]).exits(0);
    assert_eq!(prepared.fact("safe_nonce"), "1", "{}", prepared.said);
    assert!(codes(&prepared).contains(&"SERVICE_UNSIGNED_UNSEEN") && !codes(&prepared).contains(&"SAFE_QUEUE_UNSEEN"));
}

#[test]
fn svc_1_a_service_that_fails_at_what_nobody_signed_is_believed_in_the_rest() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    service.lie(|lies| lies.unsigned_broken = true);
    sees_what_owners_signed(&flow, &service);
}

/// A record that the service says an owner's delegate made, or that owners confirmed without a signature of anybody.
fn told(safe: Address, nonce: u64, by_delegate: bool) -> Proposal {
    let fields = SafeTxFields::plain(
        Address::repeat_byte(0x77),
        Bytes::new(),
        Operation::Call,
        U256::from(nonce),
    );
    let domain = SafeDomain {
        chain_id: 31337,
        safe,
        version: SafeVersion::V1_4_1,
    };
    let owners = ACCOUNTS[..3].iter().map(|account| account.address);
    let unsigned = |owner| Confirmation {
        owner,
        signature: Bytes::new(),
        kind: "APPROVED_HASH",
    };
    Proposal {
        hash: fields.hash(&domain),
        safe,
        fields: Fields {
            to: fields.to,
            nonce: fields.nonce,
            ..Fields::default()
        },
        origin: json!({}),
        trusted: true,
        proposer: ACCOUNTS[0].address,
        by_delegate: by_delegate.then_some(Address::repeat_byte(0x99)),
        confirmations: if by_delegate {
            Vec::new()
        } else {
            owners.map(unsigned).collect()
        },
        created: jiff::Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn se2_s1_what_the_service_calls_delegated_or_signed_without_a_signature_chooses_no_nonce() {
    for by_delegate in [true, false] {
        let (world, service) = ground();
        let safe = world.safe.unwrap();
        for nonce in 0..40 {
            service.put(told(safe, nonce, by_delegate));
        }
        let flow = flow(&world);
        let prepared = flow.with("prepare", &["--service-url", &service.url()]).exits(0);
        assert_eq!(prepared.fact("safe_nonce"), "0", "{}", prepared.said);
        assert!(!codes(&prepared).contains(&"SAFE_QUEUE_BEFORE"), "{}", prepared.said);
        let named = told(safe, 0, by_delegate).hash;
        assert!(warning(&prepared, "SAFE_COMPETITORS").contains(&named.to_string()));
        let waiting = queue(&flow, &service, &[]).exits(0);
        assert_eq!(waiting.json["data"]["nextNonce"], "0", "{}", waiting.said);
        let first = &waiting.json["data"]["queue"][0];
        assert_eq!(first["signedBy"], json!([]));
        assert_eq!(
            first["unconfirmed"].as_array().unwrap().len(),
            if by_delegate { 0 } else { 3 }
        );
    }
}

#[test]
fn se2_s1_an_approval_that_the_chain_shows_holds_its_nonce() {
    let (world, service) = ground();
    let safe = world.safe.unwrap();
    let record = told(safe, 0, false);
    let approve = approveHashCall { hash: record.hash };
    world.rpc().execute_as(ACCOUNTS[1].address, safe, &approve);
    let hash = record.hash;
    service.put(record);
    let flow = flow(&world);
    let prepared = flow.with("prepare", &["--service-url", &service.url()]).exits(0);
    assert_eq!(prepared.fact("safe_nonce"), "1", "{}", prepared.said);
    let waiting = queue(&flow, &service, &[]).exits(0);
    assert_eq!(
        waiting.json["data"]["queue"][0]["signedBy"],
        json!([ACCOUNTS[1].address]),
        "{}",
        waiting.said
    );
    let safe = safe.to_string();
    let by_hash = [
        "review",
        "--safe",
        &safe,
        "--chain-id",
        "31337",
        "--safe-tx-hash",
        &hash.to_string(),
    ]
    .map(str::to_owned);
    let by_hash: Vec<&str> = by_hash.iter().map(String::as_str).collect();
    let shown = Ran::of(flow.command(&by_hash).args(["--service-url", &service.url(), "--json"]));
    let posted = &shown.json["data"]["transactions"][0]["posted"];
    assert_eq!(posted["signed_by"], json!([ACCOUNTS[1].address]), "{}", shown.said);
    assert_eq!(posted["unconfirmed"].as_array().unwrap().len(), 2);
}

#[test]
fn se2_s1_a_nonce_that_waits_for_more_than_a_few_is_somebodys_decision() {
    let (world, service) = ground();
    for nonce in 0..8 {
        elsewhere(&service, world.safe.unwrap(), (nonce, 1), Elsewhere::Signed(0));
    }
    let flow = flow(&world);
    let url = service.url();
    let far = flow
        .with("prepare", &["--service-url", &url])
        .exits(6)
        .says("SAFE_NONCE_FAR");
    assert!(
        far.said.contains("SAFE_NONCE_FAR=8") || far.said.contains("SAFE_NONCE_FAR=VALUE"),
        "{}",
        far.said
    );
    flow.with("prepare", &["--service-url", &url, "--accept", "SAFE_NONCE_FAR=7"])
        .exits(6);
    let agreed = flow
        .with("prepare", &["--service-url", &url, "--accept", "SAFE_NONCE_FAR=8"])
        .exits(0);
    assert_eq!(agreed.fact("safe_nonce"), "8", "{}", agreed.said);
}

#[test]
fn se2_s2_a_service_that_sends_page_after_page_ends_with_the_time_for_all_of_them() {
    let (world, service) = ground();
    for nonce in 0..60 {
        elsewhere(&service, world.safe.unwrap(), (nonce, 1), Elsewhere::Signed(0));
    }
    service.lie(|lies| (lies.page, lies.slow) = (Some(1), Some(std::time::Duration::from_millis(800))));
    let flow = flow(&world);
    let prepared = flow.with("prepare", &["--service-url", &service.url()]).exits(0);
    assert!(codes(&prepared).contains(&"SAFE_QUEUE_UNSEEN"), "{}", prepared.said);
    assert!(service.take_requests().len() < 60, "all of its pages were read");
    let url = service.url();
    let safe = world.safe.unwrap().to_string();
    let ask = [
        "safe",
        "queue",
        &safe,
        "--chain-id",
        "31337",
        "--service-url",
        &url,
        "--timeout",
        "2s",
        "--json",
    ];
    Ran::of(&mut flow.command(&ask)).exits(75);
    assert!(service.requests().len() < 60, "all of its pages were read");
}

#[test]
fn svc_3_a_signature_that_a_stranger_turned_over_spoils_nothing() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    let hash = hash_of(&flow);
    let mut post = Post::of(0, 0);
    post.fields = own_fields(&flow);
    post.signature = Some(twin(&signed_by(0, hash)));
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    assert_eq!(stranger.post(&post), (201, hash));
    let published = propose(&flow, &service, &[]).exits(0);
    assert_eq!(published.json["data"]["missing"], json!([]), "{}", published.said);
    assert!(
        codes(&published).contains(&"SIGNATURE_NORMALISED"),
        "{}",
        published.said
    );
    confirm_elsewhere(&service, hash, 1);
    let reviewed = review(&flow, &service, &[]).exits(0);
    let posted = &reviewed.json["data"]["found"]["transactions"][0]["posted"];
    assert_eq!(posted["signed_by"].as_array().unwrap().len(), 2, "{}", reviewed.said);
    assert_eq!(posted["not_theirs"], json!([]));
}

#[test]
fn svc_3_one_bad_signature_in_a_record_is_refused_alone() {
    let (world, _service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    let hash = hash_of(&flow);
    let confirmation = |account: usize, signature: Bytes| {
        let owner = ACCOUNTS[account].address.to_string();
        json!({ "owner": owner, "signature": signature, "signatureType": "EOA" })
    };
    let record = |list: &[Value]| {
        let fields = own_fields(&flow);
        json!({
            "safe": world.safe.unwrap().to_string(), "to": fields.to.to_string(), "value": "0", "data": fields.data,
            "operation": 0, "safeTxGas": "0", "baseGas": "0", "gasPrice": "0", "gasToken": Address::ZERO,
            "refundReceiver": Address::ZERO, "nonce": "0", "safeTxHash": hash, "confirmations": list,
        })
        .to_string()
    };
    let odd = [&[0xff; 32][..], &[1; 32], &[27]].concat();
    let file = world.folder().join("record.json");
    let dir = flow.dir.to_str().unwrap();
    let import = |list: &[Value]| {
        std::fs::write(&file, record(list)).unwrap();
        Ran::of(&mut flow.command(&["import", file.to_str().unwrap(), "--dir", dir, "--json"]))
    };
    let list = [
        confirmation(0, twin(&signed_by(0, hash))),
        confirmation(2, odd.clone().into()),
        confirmation(1, signed_by(1, hash)),
    ];
    let taken = import(&list).exits(5).says("SIGNATURE_REFUSED");
    assert!(taken.said.contains("1 of 3 signatures"), "{}", taken.said);
    let held = flow.json_file("proposal.json")["safe"]["signatures"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(held, 2, "those that count are kept");
    import(&[confirmation(2, odd.into())]).exits(3).says("INPUT_SIGNATURES");
}

#[test]
fn svc_6_a_strangers_words_do_not_stay_on_the_proposal_of_an_owner() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    let evil = "see https://evil.example before signing";
    let mut post = Post::of(0, 0);
    (post.fields, post.sender, post.origin) = (own_fields(&flow), 1, evil);
    let (status, hash) = stranger.post(&post);
    assert_eq!((status, hash), (201, hash_of(&flow)));
    let published = propose(&flow, &service, &[]).exits(0);
    assert_eq!(
        service.proposal(hash).unwrap().origin["name"],
        "countersign",
        "{}",
        published.said
    );
    // Who is named as the proposer, nobody can change: that is said.
    let told = warning(&published, "SERVICE_FOREIGN_WORDS");
    assert!(
        told.contains(&ACCOUNTS[1].address.to_string()) && !told.contains("evil"),
        "{told}"
    );
    let listed = queue(&flow, &service, &[]).exits(0);
    assert_eq!(listed.json["data"]["queue"][0]["proposer"], json!(ACCOUNTS[1].address));
}

#[test]
fn svc_6_words_that_cannot_be_replaced_any_more_are_said() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    sign(&flow, 0);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    let mut post = Post::of(0, 0);
    (post.fields, post.origin) = (own_fields(&flow), "see https://evil.example before signing");
    let (_, hash) = stranger.post(&post);
    // Another owner's wallet confirmed what it found there.
    confirm_elsewhere(&service, hash, 1);
    let published = propose(&flow, &service, &[]).exits(0);
    assert!(
        warning(&published, "SERVICE_FOREIGN_WORDS").contains("evil.example"),
        "{}",
        published.said
    );
}

#[test]
fn svc_8_another_owners_signed_transaction_at_the_nonce_is_a_competitor_and_no_manipulation() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let remove = removeOwnerCall {
        prevOwner: Address::with_last_byte(1),
        owner: ACCOUNTS[0].address,
        threshold: U256::ONE,
    };
    change_elsewhere(&service, world.safe.unwrap(), 0, remove.abi_encode().into());
    let theirs = service.proposals()[1].hash.to_string();
    let reviewed = review(&flow, &service, &[]).exits(6).says("SAFE_COMPETITORS");
    assert!(
        reviewed.json["message"].as_str().unwrap().contains(&theirs),
        "{}",
        reviewed.said
    );
    // Without a proposal it is refused, with its signers and its target as they are.
    let (safe, url) = (world.safe.unwrap().to_string(), service.url());
    let alone = [
        "review",
        "--safe",
        &safe,
        "--chain-id",
        "31337",
        "--safe-tx-hash",
        &theirs,
        "--service-url",
        &url,
    ];
    let shown = Ran::of(flow.command(&alone).arg("--json")).exits(5);
    let tx = &shown.json["data"]["transactions"][0];
    assert_eq!(
        tx["posted"]["signed_by"],
        json!([ACCOUNTS[0].address]),
        "{}",
        shown.said
    );
    assert_eq!(tx["calls"][0]["to_the_app"], false);
    let page = run(&mut flow.command(&alone));
    let page = shown_text(&page);
    assert!(page.contains(&format!("THE SAFE ITSELF, {safe}")), "{page}");
    assert!(!page.contains(&format!("the app, {safe}")), "{page}");
}

fn shown_text(output: &std::process::Output) -> String {
    let _ = shown(output);
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn svc_9_many_that_nobody_signed_are_one_line_with_their_number() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    for mark in 0..40 {
        stranger.post(&Post::of(0, mark));
        stranger.post(&Post::of(1, mark));
    }
    let reviewed = review(&flow, &service, &[]).exits(0);
    let lines = codes(&reviewed).into_iter().filter(|code| *code == "SERVICE_UNSIGNED");
    assert_eq!(lines.count(), 1, "{}", reviewed.said);
    assert!(
        warning(&reviewed, "SERVICE_UNSIGNED").contains("shows 40 "),
        "{}",
        reviewed.said
    );
    let shown = reviewed.json["data"]["found"]["transactions"].as_array().unwrap().len();
    assert!(shown <= 6, "{shown} are shown in full");
    let waiting = queue(&flow, &service, &[]).exits(0);
    assert!(waiting.json["data"]["queue"].as_array().unwrap().len() <= 6);
    assert_eq!(waiting.json["data"]["unsigned"]["count"], 40);
    let prepared = prepare_again(&flow, &service, &[]).exits(0);
    assert!(
        warning(&prepared, "SAFE_COMPETITORS").contains("and 35 more"),
        "{}",
        prepared.said
    );
}

#[test]
fn svc_9_what_is_looked_for_is_found_however_many_others_nobody_signed() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    let mut own = Post::of(0, 0);
    own.fields = own_fields(&flow);
    assert_eq!(stranger.post(&own).0, 201);
    for mark in 0..80 {
        stranger.post(&Post::of(0, mark));
    }
    let reviewed = review(&flow, &service, &[]).exits(0);
    assert_eq!(
        reviewed.json["data"]["found"]["transactions"][0]["ours"], true,
        "{}",
        reviewed.said
    );
}

#[test]
fn svc_7_the_rejection_that_is_there_is_reviewed_and_signed() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let dir = flow.dir.to_str().unwrap().to_owned();
    review(&flow, &service, &["--reject"]).exits(0);
    Ran::of(&mut flow.command(&[
        "sign",
        "--reject",
        "--dir",
        &dir,
        "--signer",
        "env:SIGNER_0",
        "--yes",
        "--json",
    ]))
    .exits(0);
    let put = propose(&flow, &service, &["--reject"]).exits(0);
    let rejection = put.json["data"]["safeTxHash"].as_str().unwrap().to_owned();
    let reviewed = review(&flow, &service, &["--reject"]).exits(0);
    assert_eq!(
        reviewed.json["data"]["found"]["transactions"].as_array().unwrap().len(),
        2,
        "{}",
        reviewed.said
    );
    review(&flow, &service, &["--reject", "--safe-tx-hash", &rejection]).exits(0);
    // Who means to approve is told.
    review(&flow, &service, &[]).exits(6).says("SAFE_REJECTING");
}

/// Five hundred posts of every kind, by somebody who has the public proposal and no owner's key.
pub fn an_hour(stranger: &Stranger<'_>, own: &SafeTxFields) -> Vec<u16> {
    let outsider = ACCOUNTS[4].address;
    let own_hash = own.hash(&stranger.domain());
    let owners = signed_by(0, own_hash);
    let mut statuses = Vec::new();
    for mark in 0..500_u64 {
        let mut post = Post::of(mark % 3, mark);
        post.origin = "see https://evil.example before signing";
        post.sender = usize::try_from(mark % 3).unwrap();
        let hash = |post: &Post| post.fields.hash(&stranger.domain());
        match mark % 10 {
            // Large ones, and what is too large for the service.
            0 => post = Post::sized(mark % 2, mark, if mark % 100 == 0 { 600_000 } else { 400_000 }),
            // In the far future, and where no number goes.
            1 => post.fields.nonce = U256::from(1_000_000 + mark),
            2 => post.fields.nonce = U256::MAX,
            // The very transaction of the owners, with a stranger's words and another owner as its proposer.
            3 => (post.fields, post.sender) = (own.clone(), 2),
            // With a signature turned over, in an owner's name; the first one makes the record trusted.
            4 => (post.fields, post.sender, post.signature) = (own.clone(), 0, Some(twin(&owners))),
            // Signed by the stranger, in his own name and in an owner's.
            5 => (post.sender, post.signature) = (4, Some(signed_by(4, hash(&post)))),
            6 => post.signature = Some(signed_by(4, hash(&post))),
            // An owner's signature of something else, and an approval that is not on chain.
            7 => post.signature = Some(owners.clone()),
            8 => {
                let approval = [ACCOUNTS[0].address.into_word().as_slice(), &[0; 32], &[1]].concat();
                post.signature = Some(approval.into());
            }
            // What gives the app away, and text that writes over the line.
            _ => {
                post.fields.to = stranger.world.app;
                post.fields.data = crate::upgrade::review::away();
                post.origin = "\u{202e}\u{1b}[2Jsigned by all owners";
                post.fields.safe_tx_gas = U256::ZERO;
                post.fields.nonce = U256::from(mark % 2);
            }
        }
        statuses.push(stranger.post(&post).0);
        if mark % 25 == 0 {
            statuses.push(stranger.confirm(own_hash, &signed_by(4, own_hash)));
            statuses.push(stranger.confirm(
                own_hash,
                &[outsider.into_word().as_slice(), &[0; 32], &[1]].concat().into(),
            ));
        }
    }
    statuses
}

#[test]
fn svc_1_a_strangers_hour_at_the_service_hides_nothing_and_chooses_nothing() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    let statuses = an_hour(&stranger, &own_fields(&flow));
    let taken = statuses.iter().filter(|status| **status == 201).count();
    assert!(taken > 200, "{taken} of the posts were taken");
    let hash = hash_of(&flow);
    let other = confirm_after(&flow, &service, hash);
    assert_eq!(other, 2);
    let prepared = prepare_again(&flow, &service, &[]).exits(0);
    assert_eq!(prepared.fact("safe_nonce"), "1", "{}", prepared.said);
    assert!(!codes(&prepared).contains(&"SAFE_QUEUE_UNSEEN"), "{}", prepared.said);
    // What owners agreed to is executed as if nobody had written anything.
    for step in ["execute", "wait"] {
        flow.step(step).exits(0);
    }
}

/// The second owner confirms in a wallet; everybody sees both signatures, and a rerun takes them in. How many there are.
fn confirm_after(flow: &Flow<'_>, service: &SafeService, hash: B256) -> usize {
    confirm_elsewhere(service, hash, 1);
    let waiting = queue(flow, service, &[]).exits(0);
    assert_eq!(waiting.json["data"]["nextNonce"], "1", "{}", waiting.said);
    let first = &waiting.json["data"]["queue"][0];
    assert_eq!(first["safeTxHash"], hash.to_string());
    assert_eq!(first["signedBy"].as_array().unwrap().len(), 2, "{}", waiting.said);
    let reviewed = review(flow, service, &[]).exits(0);
    let shown = &reviewed.json["data"]["found"]["transactions"][0];
    assert_eq!(shown["ours"], true, "{}", reviewed.said);
    assert_eq!(shown["posted"]["signed_by"].as_array().unwrap().len(), 2);
    assert_eq!(shown["posted"]["not_theirs"], json!([]));
    propose(flow, service, &[]).exits(0);
    flow.json_file("proposal.json")["safe"]["signatures"]
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn svc_5_a_safe_whose_owners_approved_on_chain_is_proposed_by_that() {
    let (world, service) = ground();
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap().to_owned();
    for signer in ["env:SIGNER_0", "env:SIGNER_1"] {
        let approve = [
            "sign",
            "--on-chain",
            "--dir",
            &dir,
            "--signer",
            signer,
            "--yes",
            "--json",
        ];
        Ran::of(&mut flow.command(&approve)).exits(0);
    }
    let published = propose(&flow, &service, &[]).exits(0);
    let confirmed = published.json["data"]["confirmed"].as_array().unwrap().len();
    assert_eq!(
        (confirmed, &published.json["data"]["missing"]),
        (2, &json!([])),
        "{}",
        published.said
    );
    let there = service.proposals();
    assert!(there[0].trusted && there[0].confirmations.iter().all(|one| one.kind == "APPROVED_HASH"));
    let waiting = queue(&flow, &service, &[]).exits(0);
    assert_eq!(
        waiting.json["data"]["queue"][0]["signedBy"].as_array().unwrap().len(),
        2,
        "{}",
        waiting.said
    );
}

#[test]
fn svc_5_the_transaction_of_a_safe_that_is_an_owner_is_proposed_to_its_owners() {
    let (world, service) = ground();
    let rpc = world.rpc();
    let child = RELEASES[1].create(&rpc, true, (&[ACCOUNTS[0].address, ACCOUNTS[1].address], 2));
    let parent = RELEASES[1].create(&rpc, true, (&[child], 1));
    let owner: Address = rpc.read(world.app, &crate::support::contracts::abi::ownerCall {});
    let give = crate::support::contracts::abi::transferOwnershipCall { to: parent };
    rpc.execute_as(owner, world.app, &give);
    rpc.execute_as(
        parent,
        world.app,
        &crate::support::contracts::abi::acceptOwnershipCall {},
    );
    service.index(child);
    let flow = flow(&world);
    flow.step("prepare").exits(0);
    let (dir, of) = (flow.dir.to_str().unwrap().to_owned(), child.to_string());
    propose(&flow, &service, &["--for", &of])
        .exits(6)
        .says("NESTED_NOT_CHOSEN");
    let sign = [
        "sign",
        "--for",
        &of,
        "--dir",
        &dir,
        "--signer",
        "env:SIGNER_0",
        "--yes",
        "--json",
    ];
    Ran::of(&mut flow.command(&sign)).exits(0);
    let put = propose(&flow, &service, &["--for", &of]).exits(0);
    let there = service.proposals();
    assert_eq!((there.len(), there[0].safe), (1, child), "{}", put.said);
    // The other owner of the child confirms what a wallet shows, and it comes back into the proposal.
    confirm_elsewhere(&service, there[0].hash, 1);
    let taken = propose(&flow, &service, &["--for", &of]).exits(0);
    assert_eq!(taken.json["data"]["taken"], 1, "{}", taken.said);
    let execute = [
        "execute",
        "--for",
        &of,
        "--dir",
        &dir,
        "--signer",
        "env:OWNER_KEY",
        "--yes",
        "--json",
    ];
    Ran::of(&mut flow.command(&execute)).exits(0);
    // The Safe that owns the app has no signature of a key, and is proposed by its owner's approval.
    service.index(parent);
    let above = propose(&flow, &service, &[]).exits(0);
    assert_eq!(above.json["data"]["confirmed"], json!([child]), "{}", above.said);
}

#[test]
fn svc_1_what_nobody_signed_stands_for_nothing_whichever_way_it_is_looked_for() {
    let (world, service) = ground();
    let flow = flow(&world);
    let stranger = Stranger {
        world: &world,
        service: &service,
    };
    let mut away = Post::of(0, 0);
    away.fields.to = world.app;
    let give = crate::support::contracts::abi::transferOwnershipCall {
        to: Address::repeat_byte(0x66),
    };
    away.fields.data = give.abi_encode().into();
    let (status, hash) = stranger.post(&away);
    assert_eq!(status, 201);
    let (safe, url, hash) = (world.safe.unwrap().to_string(), service.url(), hash.to_string());
    let review = |which: [&str; 2]| {
        let words = [
            "review",
            "--safe",
            &safe,
            "--chain-id",
            "31337",
            "--service-url",
            &url,
            "--json",
        ];
        Ran::of(&mut flow.command(&[&words[..], &which].concat()))
    };
    let seen = review(["--nonce", "0"]).exits(6).says("SERVICE_NO_TX");
    assert!(
        !warning(&seen, "SERVICE_UNSIGNED").contains("not this one"),
        "{}",
        seen.said
    );
    assert!(
        !seen.json["data"]["unchecked"].as_array().unwrap().is_empty(),
        "{}",
        seen.said
    );
    review(["--safe-tx-hash", &hash]).exits(5);
    service.lie(|lies| lies.unsigned_broken = true);
    let unseen = review(["--nonce", "0"]).exits(6).says("SERVICE_NO_TX");
    assert!(codes(&unseen).contains(&"SERVICE_UNSIGNED_UNSEEN"), "{}", unseen.said);
}

#[test]
fn se2_s1_whoever_the_service_calls_confirmed_is_neither_told_so_nor_taken_into_the_proposal() {
    let (world, service) = ground();
    let flow = proposed(&world, &service);
    let hash = service.proposals()[0].hash;
    let mut entry = [0; 65];
    entry[12..32].copy_from_slice(ACCOUNTS[1].address.as_slice());
    entry[64] = 1;
    let approved = json!({ "owner": ACCOUNTS[1].address, "signature": Bytes::from(entry.to_vec()) });
    service.lie(|lies| lies.confirmations = vec![approved]);
    let put = propose(&flow, &service, &[]).exits(0);
    let signers = || {
        flow.json_file("proposal.json")["safe"]["signatures"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        put.json["data"]["confirmed"],
        json!([ACCOUNTS[0].address]),
        "{}",
        put.said
    );
    assert_eq!(
        put.json["data"]["unconfirmed"],
        json!([ACCOUNTS[1].address]),
        "{}",
        put.said
    );
    assert_eq!(signers(), 1);
    world
        .rpc()
        .execute_as(ACCOUNTS[1].address, world.safe.unwrap(), &approveHashCall { hash });
    let put = propose(&flow, &service, &[]).exits(0);
    assert_eq!(
        put.json["data"]["confirmed"].as_array().unwrap().len(),
        2,
        "{}",
        put.said
    );
}
