//! What the Safe Transaction Service shows, reviewed: compared with the proposal or decoded by itself, honest or not.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;

use crate::flow::{Flow, Ran};
use crate::review::{Desk, away, calldata, hashes, prepared, world};
use crate::support::command::shown;
use crate::support::safe_service::{Confirmation, Fields, Proposal};
use crate::support::{ACCOUNTS, SafeService, World, safes};

/// The service of the world's chain, and what stands on it.
struct Board<'w> {
    world: &'w World,
    service: SafeService,
}

impl<'w> Board<'w> {
    fn of(world: &'w World) -> Self {
        let service = SafeService::start(&world.rpc());
        service.index(world.safe.unwrap());
        Self { world, service }
    }
    /// Puts a call of the Safe at nonce 0 on the board, signed by these accounts; gives its hash.
    fn put(&self, data: Bytes, signers: &[usize]) -> B256 {
        let (rpc, safe) = (self.world.rpc(), self.world.safe.unwrap());
        let of = safes::abi::getTransactionHashCall {
            to: self.world.app,
            value: U256::ZERO,
            data: data.clone(),
            operation: 0,
            safeTxGas: U256::ZERO,
            baseGas: U256::ZERO,
            gasPrice: U256::ZERO,
            gasToken: Address::ZERO,
            refundReceiver: Address::ZERO,
            nonce: U256::ZERO,
        };
        let hash = rpc.read(safe, &of);
        let confirm = |index: &usize| {
            let key: PrivateKeySigner = ACCOUNTS[*index].key.parse().unwrap();
            Confirmation {
                owner: key.address(),
                signature: key.sign_hash_sync(&hash).unwrap().as_bytes().into(),
                kind: "EOA",
            }
        };
        self.service.put(Proposal {
            hash,
            safe,
            fields: Fields {
                to: self.world.app,
                data,
                ..Fields::default()
            },
            origin: json!({"note": "please \u{202e}sign"}),
            trusted: !signers.is_empty(),
            proposer: ACCOUNTS[0].address,
            by_delegate: None,
            confirmations: signers.iter().map(confirm).collect(),
            created: jiff::Timestamp::now(),
        });
        hash
    }
    /// Reviews what stands there, without any proposal.
    fn alone(&self, flow: &Flow<'_>, more: &[&str]) -> Ran {
        let safe = self.world.safe.unwrap().to_string();
        let url = self.service.url();
        let mut command = flow.command(&["review", "--safe", &safe, "--chain-id", "31337", "--service-url", &url]);
        Ran::of(command.args(more).arg("--json"))
    }
}

#[test]
fn m21_what_the_service_shows_is_compared_with_the_proposal_field_by_field() {
    let world = world();
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let board = Board::of(&world);
    let url = board.service.url();
    let at = ["--service-url", url.as_str()];
    desk.json(&at).exits(6).says("SERVICE_NO_TX");

    let ours = board.put(calldata(flow.hash), &[0]);
    let honest = desk.json(&at).exits(0);
    let shown = &honest.json["data"]["found"]["transactions"][0];
    assert_eq!(
        (&shown["ours"], &shown["claimed_hash"]),
        (&json!(true), &json!(ours.to_string()))
    );
    assert_eq!(shown["hashes"], honest.json["data"]["hashes"]);
    let signer = ACCOUNTS[0].address.to_string();
    assert!(
        shown["posted"]["signed_by"][0]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(&signer)
    );
    let page = desk.page(&at);
    page.shows("makes exactly the calls of the proposal").shows(&signer);
    assert!(!page.stdout.contains('\u{202e}'), "{}", page.said);

    // Anybody can post what nobody signed: it is shown, and stops nobody.
    let junk = board.put(away(), &[]);
    let warned = desk.json(&at).exits(0);
    assert!(
        warned.json["warnings"].to_string().contains("SERVICE_UNSIGNED"),
        "{}",
        warned.said
    );
    desk.page(&at).shows(&junk.to_string()).shows("GIVES THE APP AWAY");
    // Who asks for that very one is stopped.
    desk.json(&["--service-url", &url, "--safe-tx-hash", &junk.to_string()])
        .exits(5)
        .says("SERVICE_DIFFERS");

    // A field that the service changed, and a signature of somebody else's.
    board
        .service
        .lie(|lies| lies.field = Some(("to", json!(ACCOUNTS[4].address.to_string()))));
    let lied = desk.json(&at).exits(5).says("SERVICE_TAMPERED");
    assert!(
        lied.json["message"].as_str().unwrap().contains("safeTxHash"),
        "{}",
        lied.said
    );
    board.service.lie(|lies| lies.field = None);
    let foreign = json!({"owner": ACCOUNTS[1].address.to_string(), "submissionDate": "2026-11-21T05:00:00Z",
        "transactionHash": null, "signature": board.service.proposal(ours).unwrap().confirmations[0].signature,
        "signatureType": "EOA"});
    board.service.lie(|lies| lies.confirmations = vec![foreign]);
    desk.json(&at).exits(5).says("SERVICE_TAMPERED");
    board.service.lie(|lies| lies.confirmations = Vec::new());

    // A service that is away says nothing about the proposal, which is reviewed without it.
    board.service.lie(|lies| lies.outage = true);
    assert_ne!(desk.json(&at).exit, 0);
    desk.json(&[]).exits(0);
    desk.json(&["--service-url", &url, "--offline"]).exits(2);
}

#[test]
fn pitfall_8_every_transaction_at_a_nonce_is_shown_and_another_signed_one_stops() {
    let world = world();
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let board = Board::of(&world);
    let ours = board.put(calldata(flow.hash), &[0]);
    let theirs = board.put(away(), &[1]);
    let url = board.service.url();
    let page = desk.page(&["--service-url", &url]);
    assert_eq!(page.exit, 5, "{}", page.said);
    page.shows(&ours.to_string())
        .shows(&theirs.to_string())
        .shows("GIVES THE APP AWAY")
        .shows("IS NOT THE PROPOSAL");
    desk.json(&["--service-url", &url]).exits(5).says("SERVICE_DIFFERS");

    // Without a proposal as well.
    board.alone(&flow, &["--nonce", "0"]).exits(5).says("CALL_REFUSED");
    board
        .alone(&flow, &["--safe-tx-hash", &theirs.to_string()])
        .exits(5)
        .says("CALL_REFUSED");
    board.alone(&flow, &["--nonce", "1"]).exits(6).says("SERVICE_NO_TX");
    board.alone(&flow, &[]).exits(2);
}

#[test]
fn a_transaction_at_the_service_is_decoded_without_any_proposal() {
    let world = world();
    let flow = Flow::new(&world);
    let board = Board::of(&world);
    let ours = board.put(calldata(flow.hash), &[0, 1]);
    let seen = board.alone(&flow, &["--safe-tx-hash", &ours.to_string()]).exits(0);
    let tx = &seen.json["data"]["transactions"][0];
    assert_eq!(tx["calls"][0]["decoded"]["function"], "addComposeHash(bytes32)");
    assert_eq!(tx["posted"]["signed_by"].as_array().unwrap().len(), 2);
    let (domain, safe_tx) = hashes(&world, flow.hash);
    assert_eq!(
        (&tx["hashes"]["domain"], &tx["hashes"]["safe_tx"]),
        (&json!(domain.to_string()), &json!(safe_tx.to_string()))
    );
    // What it calls is no app of this Safe.
    let stranger = world.kms;
    let no_safe = flow
        .command(&["review", "--safe", &stranger.to_string(), "--chain-id", "31337"])
        .args(["--service-url", &board.service.url(), "--nonce", "0", "--json"])
        .output()
        .unwrap();
    assert_eq!(no_safe.status.code(), Some(5), "{}", shown(&no_safe));
}
