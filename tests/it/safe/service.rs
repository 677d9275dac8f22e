//! The Safe Transaction Service: the official client runs against the simulated one, which is right by its word; our
//! requests are compared with its; and what owners do through it, honest and not, ends as it should on a chain.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use countersign::chain::{Call, Chain, Options};
use countersign::http::{Http, Limits, RetryPolicy};
use countersign::safe::service::{
    DelegateFilter, NotAccepted, Origin, Service, ServiceError, ServiceKey, Signed, links, next_nonce,
};
use countersign::safe::{
    Intent, Operation, OwnerSignature, SafeDomain, SafeTx, SafeTxFields, approvals::SignatureSet, look,
    version::SafeVersion,
};
use serde_json::{Value, json};

use crate::support::cloud::Request;
use crate::support::command::{self, shown};
use crate::support::safe_service::{Proposal, SERVICE_KEY};
use crate::support::safes::{RELEASES, abi};
use crate::support::{ACCOUNTS, Anvil, AnvilOptions, Rpc, SafeService};

/// A chain with a Safe of the first three accounts, two of whom have to agree, and the chain's service.
struct Board {
    rpc: Rpc,
    chain: Chain,
    service: SafeService,
    safe: Address,
    // Stops with the test.
    _anvil: Anvil,
}

const NEWEST: usize = 2;

impl Board {
    async fn new() -> Self {
        Self::of(1).await
    }
    /// With a Safe of this release.
    async fn of(release: usize) -> Self {
        let anvil = Anvil::start(AnvilOptions::default());
        let rpc = anvil.rpc();
        for release in RELEASES {
            release.install(&rpc);
        }
        let options = Options {
            endpoints: vec![anvil.url().parse().unwrap()],
            chain_id: 31337,
            quorum: countersign::chain::quorum::Quorum::default(),
            allow_unpinned: false,
        };
        let http = Http::new(Limits::default());
        let chain = Chain::connect(&options, &http).await.unwrap();
        let service = SafeService::start(&rpc);
        let safe = RELEASES[release].create(&rpc, true, (&owners(), 2));
        service.index(safe);
        Self {
            rpc,
            chain,
            service,
            safe,
            _anvil: anvil,
        }
    }
    fn client(&self) -> Service {
        let key = ServiceKey::new(SERVICE_KEY.to_owned().into()).unwrap();
        Service::new(&http(), self.service.url().parse().unwrap(), Some(key)).unwrap()
    }
    fn domain(&self, version: SafeVersion) -> SafeDomain {
        SafeDomain {
            chain_id: 31337,
            safe: self.safe,
            version,
        }
    }
    /// A harmless transaction, told from others by `mark`.
    fn tx(&self, nonce: u64, mark: u8) -> SafeTx {
        tx(self.domain(SafeVersion::V1_4_1), nonce, mark)
    }
    /// Acts of the official client, each one's outcome.
    fn official(&self, acts: &[(&str, Value)]) -> Vec<Value> {
        official(&self.service, acts)
    }
    /// The executor's view of `tx` and `set`, and the transaction sent; gives the receipt's status.
    async fn execute(&self, tx: &SafeTx, set: &SignatureSet) -> Value {
        let found = look(&self.chain, tx, set, None).await.unwrap();
        let packed = set.pack(&found.facts).unwrap();
        let call = tx.exec_call(&packed.bytes);
        let hash = self.rpc.send(ACCOUNTS[4].address, Some(self.safe), &call.data);
        self.rpc.mined(hash)["status"].clone()
    }
}

fn http() -> Http {
    let limits = Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(20),
        body: 1 << 20,
    };
    Http::new(limits).with_retries(RetryPolicy {
        attempts: 3,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(4),
        deadline: None,
    })
}

fn owners() -> [Address; 3] {
    [ACCOUNTS[0].address, ACCOUNTS[1].address, ACCOUNTS[2].address]
}

fn tx(domain: SafeDomain, nonce: u64, mark: u8) -> SafeTx {
    let call = Call {
        to: Address::repeat_byte(0x77),
        value: U256::ZERO,
        data: Bytes::from(vec![mark; 4]),
    };
    SafeTx::freeze(&Intent {
        domain,
        nonce: U256::from(nonce),
        calls: vec![call],
        batcher: None,
        old_versions: false,
    })
    .unwrap()
}

fn key(account: usize) -> PrivateKeySigner {
    ACCOUNTS[account].key.parse().unwrap()
}

fn signature(account: usize, hash: B256) -> OwnerSignature {
    OwnerSignature::Eip712(key(account).sign_hash_sync(&hash).unwrap())
}

fn by(sender: Address, signature: &OwnerSignature) -> Signed<'_> {
    Signed { sender, signature }
}

fn set(tx: &SafeTx, accounts: &[usize]) -> SignatureSet {
    let mut set = SignatureSet::new(tx);
    for account in accounts {
        set.insert(signature(*account, tx.hash()), &owners().into()).unwrap();
    }
    set
}

fn origin() -> Origin {
    Origin::note("a test")
}

/// The transaction as the official client wants it, as protocol-kit makes it.
fn official_proposal(tx: &SafeTx, account: usize, origin: &Origin) -> Value {
    let fields = tx.fields();
    json!({
        "safeAddress": tx.domain().safe.to_string(),
        "safeTransactionData": {
            "to": fields.to.to_string(), "value": fields.value.to_string(), "data": fields.data, "operation": 0,
            "safeTxGas": "0", "baseGas": "0", "gasPrice": "0", "gasToken": fields.gas_token.to_string(),
            "refundReceiver": fields.refund_receiver.to_string(), "nonce": u64::try_from(fields.nonce).unwrap(),
        },
        "safeTxHash": tx.hash(), "senderAddress": ACCOUNTS[account].address.to_string(),
        "senderSignature": signature(account, tx.hash()).to_bytes(), "origin": origin.as_str(),
    })
}

fn ok(answer: &Value) -> &Value {
    answer.get("ok").unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn the_official_client_proposes_confirms_and_lists() {
    let board = Board::new().await;
    let tx = board.tx(0, 1);
    let safe = board.safe.to_string();
    let answers = board.official(&[
        ("safe", json!([safe])),
        ("nextNonce", json!([safe])),
        ("propose", json!([official_proposal(&tx, 0, &origin())])),
        ("confirm", json!([tx.hash(), signature(1, tx.hash()).to_bytes()])),
        ("transaction", json!([tx.hash()])),
        ("confirmations", json!([tx.hash()])),
        ("list", json!([safe, { "nonce": "0" }])),
        ("pending", json!([safe, {}])),
        ("nextNonce", json!([safe])),
        ("transaction", json!([B256::repeat_byte(9)])),
        ("confirm", json!([tx.hash(), signature(4, tx.hash()).to_bytes()])),
    ]);
    let [
        info,
        first,
        proposed,
        confirmed,
        one,
        confirmations,
        list,
        pending,
        next,
        absent,
        stranger,
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!(ok(info)["nonce"], "0");
    assert_eq!(ok(info)["threshold"], 2);
    assert_eq!(ok(info)["singleton"], RELEASES[1].singleton_l2.to_string());
    assert_eq!(ok(first), "0");
    assert!(ok(proposed).is_null() && ok(confirmed).is_object());
    assert_eq!(ok(one)["safeTxHash"], tx.hash().to_string());
    assert_eq!(ok(one)["confirmations"].as_array().unwrap().len(), 2);
    assert_eq!(ok(confirmations)["count"], 2);
    assert_eq!(ok(list)["results"][0]["nonce"], "0");
    assert_eq!(ok(pending)["count"], 1);
    assert_eq!(ok(next), "1");
    assert_eq!(absent["error"]["status"], 404);
    assert_eq!(stranger["error"]["status"], 400);
    let refused = stranger["error"]["data"]["signature"][0].as_str().unwrap();
    assert!(refused.starts_with("Signer=0x15d34AAf"), "{refused}");
    // What the official client put there is what our client accepts.
    let record = board.client().transaction(tx.hash()).await.unwrap().unwrap();
    assert_eq!(record.accept(*tx.domain()).unwrap(), tx);
    assert_eq!(record.confirmed().collect::<BTreeSet<_>>().len(), 2);
}

#[tokio::test]
async fn pitfall_53_the_official_client_makes_a_delegate_who_proposes_and_does_not_count() {
    let board = Board::new().await;
    let (safe, delegate) = (board.safe.to_string(), ACCOUNTS[3].address);
    let names = json!({ "delegateAddress": delegate.to_string(), "delegatorAddress": owners()[0].to_string() });
    let with = |more: Value| {
        let mut all = names.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([all])
    };
    let answers = board.official(&[
        (
            "addDelegate",
            with(json!({ "safeAddress": safe, "label": "ci", "key": ACCOUNTS[4].key })),
        ),
        (
            "addDelegate",
            with(json!({ "safeAddress": safe, "label": "ci", "key": ACCOUNTS[0].key })),
        ),
        ("delegates", json!([{ "safeAddress": safe }])),
        ("delegates", json!([{}])),
    ]);
    assert_eq!(
        answers[0]["error"]["status"], 400,
        "somebody else's signature: {}",
        answers[0]
    );
    assert_eq!(ok(&answers[1])["delegate"], delegate.to_string());
    assert_eq!(ok(&answers[2])["count"], 1);
    assert_eq!(answers[3]["error"]["status"], 400);
    let client = board.client();
    let filter = DelegateFilter {
        safe: Some(board.safe),
        ..DelegateFilter::default()
    };
    let found = client.delegates(&filter).await.unwrap().found;
    assert_eq!(
        (found[0].delegate, found[0].delegator, found[0].label.as_str()),
        (delegate, owners()[0], "ci")
    );
    let empty = client.delegates(&DelegateFilter::default()).await;
    assert!(matches!(empty, Err(ServiceError::Refused(_))), "{empty:?}");

    let tx = board.tx(0, 1);
    client
        .propose(&tx, by(delegate, &signature(3, tx.hash())), &origin())
        .await
        .unwrap();
    let record = client.transaction(tx.hash()).await.unwrap().unwrap();
    assert_eq!(
        (record.trusted, record.delegate, record.proposer),
        (true, Some(delegate), Some(owners()[0]))
    );
    assert!(record.signatures().is_empty(), "it is no agreement");
    let next = next_nonce(U256::ZERO, std::slice::from_ref(&record));
    assert_eq!(next.nonce, U256::ZERO, "and holds no nonce by the service's word alone");
    assert_eq!(next.competitors, [tx.hash()]);
    let confirmed = client.confirm(tx.hash(), &signature(3, tx.hash())).await;
    assert!(matches!(confirmed, Err(ServiceError::Refused(_))), "{confirmed:?}");
    let removed = board.official(&[("removeDelegate", with(json!({ "key": ACCOUNTS[3].key })))]);
    assert!(ok(&removed[0]).is_null());
    assert!(client.delegates(&filter).await.unwrap().found.is_empty());
}

/// Parts of a request in which ours have to be as theirs.
fn essence(request: &Request) -> (String, String, Value, Vec<Option<String>>) {
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    let headers = ["accept", "content-type", "authorization"].map(|name| request.header(name).map(str::to_owned));
    (request.method.clone(), request.path.clone(), body, headers.into())
}

fn pairs(request: &Request) -> BTreeSet<String> {
    request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn our_requests_are_those_of_the_official_client_field_by_field() {
    let board = Board::new().await;
    let (safe, tx) = (board.safe.to_string(), board.tx(0, 1));
    let answers = board.official(&[
        ("propose", json!([official_proposal(&tx, 0, &origin())])),
        ("confirm", json!([tx.hash(), signature(1, tx.hash()).to_bytes()])),
        ("transaction", json!([tx.hash()])),
        ("safe", json!([safe])),
        ("list", json!([safe, { "nonce": "7" }])),
        ("pending", json!([safe, { "currentNonce": 5, "ordering": "nonce" }])),
    ]);
    assert!(answers.iter().all(|answer| answer.get("ok").is_some()), "{answers:?}");
    let theirs = board.service.take_requests();
    let client = board.client();
    client
        .propose(&tx, by(owners()[0], &signature(0, tx.hash())), &origin())
        .await
        .unwrap();
    client.confirm(tx.hash(), &signature(1, tx.hash())).await.unwrap();
    client.transaction(tx.hash()).await.unwrap();
    client.safe(board.safe).await.unwrap();
    client.by_nonce(board.safe, U256::from(7)).await.unwrap();
    let mut ours = board.service.take_requests();
    // The same list again, with what nobody has signed.
    let untrusted = ours.remove(5);
    assert!(pairs(&untrusted).contains("trusted=false"));
    client.queue(board.safe, U256::from(5)).await.unwrap();
    ours.append(&mut board.service.take_requests());
    assert_eq!(ours.len(), theirs.len());
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(essence(our), essence(their));
        let more: BTreeSet<String> = pairs(our).difference(&pairs(their)).cloned().collect();
        assert!(
            pairs(our).is_superset(&pairs(their)),
            "{} and {}",
            our.query,
            their.query
        );
        let paging = ["limit=50", "offset=0", "trusted=true"].map(str::to_owned);
        assert!(more.is_empty() || more == paging.into(), "{more:?}");
    }
}

#[test]
fn slugs_and_prefixes_are_those_of_the_official_client() {
    let mut command = command::node("safe_api.mjs", &std::env::temp_dir());
    let output = command::run(command.args(["chains", "[]"]));
    let answer = command::json(&output);
    let chains = ok(&answer).as_array().unwrap();
    assert!(chains.len() > 30, "{answer}");
    let mut linked = 0;
    for chain in chains {
        let id: u64 = chain["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(Service::slug(id), chain["slug"].as_str(), "{chain}");
        if let Some(prefix) = links::prefix(id) {
            assert_eq!(Some(prefix), chain["prefix"].as_str(), "{chain}");
            linked += 1;
        }
    }
    assert!(linked > 20, "{linked}");
}

#[tokio::test]
async fn what_one_owner_publishes_another_checks_signs_and_a_third_executes() {
    for (release, version) in [
        (0, SafeVersion::V1_3_0),
        (1, SafeVersion::V1_4_1),
        (NEWEST, SafeVersion::V1_5_0),
    ] {
        let board = Board::of(release).await;
        let (client, domain) = (board.client(), board.domain(version));
        let tx = tx(domain, 0, 1);
        let first = client.publish(&tx, &set(&tx, &[0]), &origin()).await.unwrap();
        assert!(first.created && first.trusted && first.missing.is_empty(), "{first:?}");
        // Another machine: nothing but the Safe is known there.
        let queue = client.queue(board.safe, U256::ZERO).await.unwrap();
        let found = queue[0].accept(domain).unwrap();
        assert_eq!(found, tx);
        let second = client.publish(&found, &set(&found, &[1]), &origin()).await.unwrap();
        assert!(!second.created);
        assert_eq!(second.confirmed, [owners()[0], owners()[1]].into());
        // And the third.
        let record = client.transaction(tx.hash()).await.unwrap().unwrap();
        let mut all = SignatureSet::new(&tx);
        for signature in record.signatures() {
            all.insert(signature, &owners().into()).unwrap();
        }
        assert_eq!(board.execute(&tx, &all).await, "0x1", "{version}");
        let record = client.transaction(tx.hash()).await.unwrap().unwrap();
        assert!(record.executed && record.transaction_hash.is_some());
        assert!(client.queue(board.safe, U256::from(1)).await.unwrap().is_empty());
        let late = client.publish(&tx, &set(&tx, &[0, 1, 2]), &origin()).await.unwrap();
        assert_eq!(late.missing, [owners()[2]].into(), "executed: no more is taken");
        assert_eq!(late.refused.len(), 1);
    }
}

#[tokio::test]
async fn pitfall_27_publishing_twice_and_by_two_people_at_once_is_harmless() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    let (one, two) = (set(&tx, &[0, 2]), set(&tx, &[1, 2]));
    let origin = origin();
    let (first, second) = tokio::join!(client.publish(&tx, &one, &origin), client.publish(&tx, &two, &origin));
    assert!(first.unwrap().missing.is_empty() && second.unwrap().missing.is_empty());
    let again = client.publish(&tx, &one, &origin).await.unwrap();
    assert!(!again.created && again.confirmed.len() == 3);
    assert_eq!(board.service.proposals().len(), 1);
    let held = board.service.proposal(tx.hash()).unwrap();
    assert_eq!(held.confirmations.len(), 3);
}

#[tokio::test]
async fn a9_a_proposal_whose_answer_was_lost_is_there_and_is_not_posted_again() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    board.service.lie(|lies| lies.loses_answers = true);
    let published = client.publish(&tx, &set(&tx, &[0, 1]), &origin()).await.unwrap();
    assert!(published.missing.is_empty());
    let posts = board
        .service
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST");
    assert_eq!(posts.count(), 2);
}

#[tokio::test]
async fn pitfall_49_a_safe_that_owns_the_safe_confirms_with_its_owners_signatures() {
    let board = Board::of(NEWEST).await;
    let child = RELEASES[1].create(&board.rpc, true, (&[owners()[0]], 1));
    let parent = RELEASES[NEWEST].create(&board.rpc, true, (&[child, owners()[1]], 2));
    board.service.index(parent);
    let domain = SafeDomain {
        safe: parent,
        ..board.domain(SafeVersion::V1_5_0)
    };
    let child_domain = SafeDomain {
        chain_id: 31337,
        safe: child,
        version: SafeVersion::V1_4_1,
    };
    let tx = tx(domain, 0, 1);
    let contract = |account: usize| OwnerSignature::Contract {
        owner: child,
        data: signature(account, child_domain.message_hash(&tx.owner_message())).to_bytes(),
    };
    let all: BTreeSet<Address> = [child, owners()[1]].into();
    let mut signatures = SignatureSet::new(&tx);
    signatures.insert(contract(0), &all).unwrap();
    signatures.insert(signature(1, tx.hash()), &all).unwrap();
    let client = board.client();
    let published = client.publish(&tx, &signatures, &origin()).await.unwrap();
    assert_eq!(published.confirmed, all);
    let record = client.transaction(tx.hash()).await.unwrap().unwrap();
    let mut read = SignatureSet::new(&tx);
    for signature in record.signatures() {
        read.insert(signature, &all).unwrap();
    }
    assert_eq!(read, signatures);
    // The child's stranger does not convince the service.
    let refused = client.confirm(tx.hash(), &contract(3)).await;
    assert!(refused.unwrap_err().to_string().contains("is not valid"));
}

#[tokio::test]
async fn pitfall_1_to_4_the_next_nonce_follows_what_owners_signed() {
    let board = Board::new().await;
    let client = board.client();
    for (nonce, mark) in [(0, 1), (0, 2), (1, 3), (4, 4), (1_000_000, 5)] {
        let tx = board.tx(nonce, mark);
        client.publish(&tx, &set(&tx, &[0]), &origin()).await.unwrap();
    }
    // Somebody without a signature: what the service takes and does not show.
    let mut junk = official_proposal(&board.tx(2, 6), 0, &origin());
    junk.as_object_mut().unwrap().remove("senderSignature");
    let answers = board.official(&[("propose", json!([junk]))]);
    assert!(ok(&answers[0]).is_null());
    let queue = client.queue(board.safe, U256::ZERO).await.unwrap();
    assert_eq!(queue.len(), 5);
    let next = next_nonce(U256::ZERO, &queue);
    assert_eq!(next.nonce, U256::from(2));
    assert_eq!(next.gaps.len(), 2);
    let there = client.by_nonce(board.safe, next.nonce).await.unwrap().all();
    assert_eq!(there.iter().map(|tx| tx.trusted).collect::<Vec<_>>(), [false]);
    assert_eq!(
        next_nonce(U256::ZERO, &[queue, there].concat()).competitors,
        [board.tx(2, 6).hash()]
    );
    let both = client.by_nonce(board.safe, U256::ZERO).await.unwrap().all();
    assert_eq!(both.len(), 2, "pitfall 8");
}

#[tokio::test]
async fn m21_whatever_field_is_tampered_with_nobody_signs_it() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    client.publish(&tx, &set(&tx, &[0]), &origin()).await.unwrap();
    let stranger = Address::repeat_byte(0xbb).to_string();
    for (field, value) in [
        ("to", json!(stranger)),
        ("data", json!("0xdeadbeef")),
        ("operation", json!(1)),
        ("nonce", json!("1")),
        ("gasToken", json!(stranger)),
        ("refundReceiver", json!(stranger)),
        ("gasPrice", json!("1")),
    ] {
        board.service.lie(|lies| lies.field = Some((field, value)));
        let record = client.transaction(tx.hash()).await.unwrap().unwrap();
        let refused = record.accept(*tx.domain());
        assert!(
            matches!(refused, Err(NotAccepted::OtherHash { .. })),
            "{field}: {refused:?}"
        );
        let published = client.publish(&tx, &set(&tx, &[1]), &origin()).await;
        assert!(matches!(published, Err(ServiceError::Tampered { .. })), "{field}");
    }
    board
        .service
        .lie(|lies| lies.field = Some(("safeTxHash", json!(B256::repeat_byte(1)))));
    let wrong = client.transaction(tx.hash()).await;
    assert!(matches!(wrong, Err(ServiceError::Tampered { .. })), "{wrong:?}");
    let queue = client.queue(board.safe, U256::ZERO).await.unwrap();
    assert!(queue[0].accept(*tx.domain()).is_err());
    assert_eq!(board.service.proposal(tx.hash()).unwrap().confirmations.len(), 1);
}

#[tokio::test]
async fn m21_foreign_confirmations_are_left_out_and_the_rest_executes() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    client.publish(&tx, &set(&tx, &[0, 1]), &origin()).await.unwrap();
    let other = board.tx(0, 2).hash();
    let foreign = [
        (owners()[2], signature(2, other).to_bytes()),
        (owners()[2], signature(3, tx.hash()).to_bytes()),
        (owners()[2], Bytes::from_static(&[1; 65])),
    ];
    let foreign = foreign.map(|(owner, signature)| json!({ "owner": owner.to_string(), "signature": signature }));
    board.service.lie(|lies| lies.confirmations = foreign.into());
    let record = client.transaction(tx.hash()).await.unwrap().unwrap();
    assert_eq!(record.confirmations.len(), 5);
    let mut all = SignatureSet::new(&tx);
    let kept = record
        .signatures()
        .into_iter()
        .filter(|one| all.insert(one.clone(), &owners().into()).is_ok());
    assert_eq!(kept.count(), 2);
    assert_eq!(board.execute(&tx, &all).await, "0x1");
}

#[tokio::test]
async fn m22_pitfall_16_what_the_service_calls_executed_the_chain_has_not_seen() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    client.publish(&tx, &set(&tx, &[0, 1]), &origin()).await.unwrap();
    board.service.lie(|lies| lies.executed = true);
    let record = client.transaction(tx.hash()).await.unwrap().unwrap();
    assert!(record.executed, "it says so");
    let claimed = record.transaction_hash.unwrap();
    assert_eq!(
        board.rpc.receipt(claimed),
        None,
        "and names what the chain does not have"
    );
    assert_eq!(board.rpc.read(board.safe, &abi::nonceCall {}), U256::ZERO);
    assert_eq!(
        next_nonce(U256::ZERO, &[record]).nonce,
        U256::from(1),
        "it still stands in the way"
    );
}

#[tokio::test]
async fn pitfall_67_an_outage_html_and_slowness_are_errors_that_say_so() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    board.service.lie(|lies| lies.outage = true);
    let error = client.transaction(tx.hash()).await.unwrap_err();
    assert!(matches!(error, ServiceError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("Ethereum network"), "{error}");
    board.service.lie(|lies| (lies.outage, lies.html) = (false, true));
    let error = client.publish(&tx, &set(&tx, &[0]), &origin()).await.unwrap_err();
    assert!(matches!(error, ServiceError::Unexpected { .. }), "{error}");
    board
        .service
        .lie(|lies| (lies.html, lies.slow) = (false, Some(Duration::from_secs(60))));
    let hurried = Http::new(Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_millis(200),
        body: 1 << 20,
    });
    let once = RetryPolicy {
        attempts: 1,
        ..RetryPolicy::default()
    };
    let hurried = hurried.with_retries(once);
    let slow = Service::new(&hurried, board.service.url().parse().unwrap(), None).unwrap();
    let error = slow.safe(board.safe).await.unwrap_err();
    assert!(matches!(error, ServiceError::Http(_)), "{error}");
    board.service.lie(|lies| lies.slow = None);
    assert!(client.safe(board.safe).await.unwrap().is_some());
}

#[tokio::test]
async fn pitfall_68_without_a_key_it_works_and_a_wrong_or_a_missing_one_is_named() {
    let board = Board::new().await;
    let base = || board.service.url().parse().unwrap();
    let open = Service::new(&http(), base(), None).unwrap();
    assert!(!open.has_key() && open.safe(board.safe).await.unwrap().is_some());
    let wrong = ServiceKey::new("wrong-canary".to_owned().into()).unwrap();
    let wrong = Service::new(&http(), base(), Some(wrong)).unwrap();
    let error = wrong.safe(board.safe).await.unwrap_err();
    assert!(
        matches!(error, ServiceError::Auth(_)) && !error.to_string().contains("canary"),
        "{error}"
    );
    board.service.lie(|lies| lies.key_needed = true);
    assert!(matches!(open.safe(board.safe).await, Err(ServiceError::Auth(_))));
    board.service.lie(|lies| lies.too_many = 2);
    assert!(
        board.client().safe(board.safe).await.unwrap().is_some(),
        "429 is waited for"
    );
}

#[tokio::test]
async fn refusals_of_the_service_reach_people_in_its_words() {
    let board = Board::new().await;
    let (client, tx) = (board.client(), board.tx(0, 1));
    let stranger = client
        .propose(&tx, by(ACCOUNTS[4].address, &signature(4, tx.hash())), &origin())
        .await;
    assert!(
        stranger
            .unwrap_err()
            .to_string()
            .contains("is not an owner or delegate")
    );
    let mismatch = client
        .propose(&tx, by(owners()[0], &signature(1, tx.hash())), &origin())
        .await;
    assert!(
        mismatch
            .unwrap_err()
            .to_string()
            .contains("Signature does not match sender")
    );
    let absent = client.confirm(tx.hash(), &signature(0, tx.hash())).await;
    assert!(matches!(absent, Err(ServiceError::NotFound(_))), "{absent:?}");
    client.publish(&tx, &set(&tx, &[0, 1]), &origin()).await.unwrap();
    assert_eq!(board.execute(&tx, &set(&tx, &[0, 1])).await, "0x1");
    let other = board.tx(0, 2);
    let used = client.publish(&other, &set(&other, &[0]), &origin()).await;
    assert!(
        used.unwrap_err().to_string().contains("Tx with nonce=0"),
        "the nonce is gone"
    );
    assert_eq!(client.safe(Address::repeat_byte(5)).await.unwrap(), None);
    let not_a_safe = Address::repeat_byte(6);
    board.service.index(not_a_safe);
    let error = client.safe(not_a_safe).await.unwrap_err();
    assert!(error.to_string().contains("Cannot get Safe info"), "{error}");
    board.service.ban(board.safe);
    let banned = client.queue(board.safe, U256::ZERO).await;
    assert!(matches!(banned, Err(ServiceError::Banned(_))), "{banned:?}");
}

#[tokio::test]
async fn a_long_queue_is_read_page_by_page() {
    let board = Board::new().await;
    for nonce in 0..130_u64 {
        let tx = board.tx(nonce, 1);
        board
            .service
            .put(posted((tx.domain(), tx.fields()), Elsewhere::Signed(0)));
    }
    let queue = board.client().queue(board.safe, U256::ZERO).await.unwrap();
    assert_eq!(queue.len(), 130);
    assert_eq!(next_nonce(U256::ZERO, &queue).nonce, U256::from(130));
    assert_eq!(board.service.requests().len(), 3);
}

/// An owner's signature, as bytes.
pub fn signed_by(account: usize, hash: B256) -> Bytes {
    signature(account, hash).to_bytes()
}

/// What an owner confirms in another tool.
pub fn confirm_elsewhere(service: &SafeService, hash: B256, account: usize) {
    let client = Service::new(&http(), service.url().parse().unwrap(), None).unwrap();
    let one = signature(account, hash);
    crate::support::block(async move { client.confirm(hash, &one).await }).unwrap();
}

/// How a transaction came to the service.
#[derive(Clone, Copy)]
pub enum Elsewhere {
    /// With this account's signature, which the service takes for an owner's.
    Signed(usize),
    /// Without anybody's.
    Unsigned,
}

/// What somebody put there with another tool: a harmless transaction, told from others by `mark`.
pub fn elsewhere(service: &SafeService, safe: Address, (nonce, mark): (u64, u8), how: Elsewhere) -> B256 {
    let domain = SafeDomain {
        chain_id: 31337,
        safe,
        version: SafeVersion::V1_4_1,
    };
    let tx = tx(domain, nonce, mark);
    service.put(posted((tx.domain(), tx.fields()), how));
    tx.hash()
}

/// A call of the Safe to itself that its first owner signed.
pub fn change_elsewhere(service: &SafeService, safe: Address, nonce: u64, data: Bytes) {
    let domain = SafeDomain {
        chain_id: 31337,
        safe,
        version: SafeVersion::V1_4_1,
    };
    let fields = SafeTxFields::plain(safe, data, Operation::Call, U256::from(nonce));
    service.put(posted((&domain, &fields), Elsewhere::Signed(0)));
}

fn posted((domain, fields): (&SafeDomain, &SafeTxFields), how: Elsewhere) -> Proposal {
    let hash = fields.hash(domain);
    let (account, trusted) = match how {
        Elsewhere::Signed(account) => (account, true),
        Elsewhere::Unsigned => (0, false),
    };
    let confirmation = crate::support::safe_service::Confirmation {
        owner: ACCOUNTS[account].address,
        signature: signature(account, hash).to_bytes(),
        kind: "EOA",
    };
    Proposal {
        hash,
        safe: domain.safe,
        fields: crate::support::safe_service::Fields {
            to: fields.to,
            data: fields.data.clone(),
            nonce: fields.nonce,
            ..Default::default()
        },
        origin: json!({}),
        trusted,
        proposer: ACCOUNTS[account].address,
        by_delegate: None,
        confirmations: Some(confirmation).filter(|_| trusted).into_iter().collect(),
        created: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Acts of the official client at `service`, each one's outcome.
pub fn official(service: &SafeService, acts: &[(&str, Value)]) -> Vec<Value> {
    let mut command = command::node("safe_api.mjs", &std::env::temp_dir());
    command
        .args(
            acts.iter()
                .flat_map(|(act, list)| [(*act).to_owned(), list.to_string()]),
        )
        .env("SERVICE_URL", service.url())
        .env("SERVICE_KEY", SERVICE_KEY)
        .env("CHAIN_ID", "31337");
    let output = command::run(&mut command);
    let lines: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect();
    let lines = lines.unwrap_or_else(|e| panic!("{e}: {}", shown(&output)));
    assert_eq!(lines.len(), acts.len(), "{}", shown(&output));
    lines
}
