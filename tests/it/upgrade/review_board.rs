//! What the Safe Transaction Service shows, reviewed: compared with the proposal or decoded by itself, honest or not.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;

use crate::harness::flow::{Flow, Ran};
use crate::support::command::shown;
use crate::support::safe_service::{Confirmation, Fields, Proposal};
use crate::support::{ACCOUNTS, SafeService, World, safes};
use crate::upgrade::review::{Desk, away, calldata, hashes, prepared, world};

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
        let fields = Fields {
            to: self.world.app,
            data,
            ..Fields::default()
        };
        self.put_all(fields, signers)
    }
    /// The same with all ten fields.
    fn put_all(&self, fields: Fields, signers: &[usize]) -> B256 {
        let (rpc, safe) = (self.world.rpc(), self.world.safe.unwrap());
        let of = safes::abi::getTransactionHashCall {
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
            fields,
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
fn pitfall_8_every_transaction_at_a_nonce_is_shown_and_another_signed_one_competes() {
    let world = world();
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let board = Board::of(&world);
    let ours = board.put(calldata(flow.hash), &[0]);
    let theirs = board.put(away(), &[1]);
    let url = board.service.url();
    let page = desk.page(&["--service-url", &url]);
    assert_eq!(page.exit, 6, "{}", page.said);
    page.shows(&ours.to_string())
        .shows(&theirs.to_string())
        .shows("GIVES THE APP AWAY")
        .shows("IS NOT THE PROPOSAL");
    // Nobody changed anything: owners have to decide which of them is executed.
    let competing = desk.json(&["--service-url", &url]).exits(6).says("SAFE_COMPETITORS");
    let told = competing.json["message"].as_str().unwrap();
    assert!(
        told.contains(&theirs.to_string()) && told.contains("1 of 2 agreed"),
        "{told}"
    );
    // Whoever asks for that very one is told that it is another.
    desk.json(&["--service-url", &url, "--safe-tx-hash", &theirs.to_string()])
        .exits(5)
        .says("SERVICE_DIFFERS");

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

/// A change that makes a transaction one that nobody should sign.
type Change = fn(&mut Fields);

#[test]
fn m18_m19_m20_what_owners_were_made_to_sign_stops_with_and_without_a_proposal() {
    let world = world();
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let changes: [(&str, Change); 12] = [
        ("value", |fields| fields.value = U256::from(1)),
        ("safeTxGas", |fields| fields.safe_tx_gas = U256::from(1)),
        ("baseGas", |fields| fields.base_gas = U256::from(1)),
        ("gasPrice", |fields| fields.gas_price = U256::from(1)),
        ("gasToken", |fields| fields.gas_token = ACCOUNTS[4].address),
        ("refundReceiver", |fields| fields.refund_receiver = ACCOUNTS[4].address),
        ("a delegate call to the app", |fields| fields.operation = 1),
        ("a delegate call to somebody's code", |fields| {
            (fields.to, fields.operation) = (ACCOUNTS[4].address, 1);
        }),
        ("bytes behind the argument", |fields| {
            fields.data = [fields.data.as_ref(), &[0]].concat().into();
        }),
        ("an argument that is cut off", |fields| {
            fields.data = fields.data.slice(..35)
        }),
        ("nobody", |fields| fields.to = Address::ZERO),
        ("another function", |fields| fields.data = away()),
    ];
    for (what, change) in changes {
        let board = Board::of(&world);
        let mut fields = Fields {
            to: world.app,
            data: calldata(flow.hash),
            ..Fields::default()
        };
        change(&mut fields);
        let hash = board.put_all(fields, &[0, 1]).to_string();
        let url = board.service.url();
        let compared = desk.json(&["--service-url", &url, "--safe-tx-hash", &hash]);
        assert_eq!(compared.exit, 5, "{what}: {}", compared.said);
        // What is about the proposal's contracts is a changed form of it; what is not takes its nonce.
        let compared = desk.json(&["--service-url", &url]);
        let about_others = ["a delegate call to somebody's code", "nobody"].contains(&what);
        let (exit, code) = match about_others {
            true => (6, "SAFE_COMPETITORS"),
            false => (5, "SERVICE_DIFFERS"),
        };
        let compared = compared.exits(exit);
        assert!(
            compared.json["code"] == code || !about_others,
            "{what}: {}",
            compared.said
        );
        for by in [["--safe-tx-hash", hash.as_str()], ["--nonce", "0"]] {
            let alone = board.alone(&flow, &by);
            assert_eq!(alone.exit, 5, "{what} {by:?}: {}", alone.said);
            assert!(
                alone.json["data"]["transactions"][0]["calls"].is_array(),
                "{what}: it is shown"
            );
        }
    }
}

#[test]
fn m20_an_extra_call_in_a_batch_at_the_service_is_shown_and_stops() {
    let world = world();
    let flow = prepared(&world);
    let desk = Desk::of(&flow);
    let board = Board::of(&world);
    let entry = |data: &Bytes| {
        let length = U256::from(data.len()).to_be_bytes::<32>();
        [&[0][..], world.app.as_slice(), &[0; 32], &length, data].concat()
    };
    let batch = |calls: &[Bytes]| -> Bytes {
        let packed: Vec<u8> = calls.iter().flat_map(entry).collect();
        let call = multi::multiSendCall {
            transactions: packed.into(),
        };
        alloy::sol_types::SolCall::abi_encode(&call).into()
    };
    let through = |library: Address, calls: &[Bytes]| {
        let fields = Fields {
            to: library,
            data: batch(calls),
            operation: 1,
            ..Fields::default()
        };
        board.put_all(fields, &[0, 1]).to_string()
    };
    let library = safes::RELEASES[1].call_only;
    let (ours, unknown) = (calldata(flow.hash), Bytes::from_static(&[1, 2, 3, 4]));
    let url = board.service.url();
    for extra in [away(), unknown] {
        let hash = through(library, &[ours.clone(), extra]);
        let by = ["--service-url", url.as_str(), "--safe-tx-hash", &hash];
        let stopped = desk.json(&by).exits(5).says("SERVICE_DIFFERS");
        let calls = &stopped.json["data"]["found"]["transactions"][0]["calls"];
        assert_eq!(calls.as_array().unwrap().len(), 2, "{}", stopped.said);
        board
            .alone(&flow, &["--safe-tx-hash", &hash])
            .exits(5)
            .says("CALL_REFUSED");
    }
    // Through a library that can make delegate calls, even the right call is refused.
    let multi_send: Address = "0x38869bf66a61cF6bDB996A6aE40D5853Fd43B526".parse().unwrap();
    let hash = through(multi_send, &[ours]);
    let by = ["--service-url", url.as_str(), "--safe-tx-hash", &hash];
    assert_eq!(desk.json(&by).exit, 5);
    assert_eq!(board.alone(&flow, &["--safe-tx-hash", &hash]).exit, 5);
}

mod multi {
    #![allow(missing_docs, reason = "generated by sol!")]
    alloy::sol! {
        function multiSend(bytes transactions);
    }
}

#[test]
fn m21_the_same_calls_under_another_hash_are_told_and_are_not_the_proposal() {
    let world = world();
    let flow = prepared(&world);
    let board = Board::of(&world);
    let fields = Fields {
        to: world.app,
        data: calldata(flow.hash),
        nonce: U256::from(1),
        ..Fields::default()
    };
    board.put_all(fields, &[0]);
    let desk = Desk::of(&flow);
    let url = board.service.url();
    let ran = desk.json(&["--service-url", &url, "--nonce", "1"]);
    let warned = ran.json.to_string().contains("SERVICE_OTHER_HASH");
    assert!(warned, "{}", ran.said);
}
