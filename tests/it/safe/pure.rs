//! Our reading of Safes against real Safe contracts, and against what others compute: hashes, signatures, batch files,
//! addresses. Everything generated is the same in every run.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, Signature, U256, keccak256, uint};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolEvent};
use countersign::chain::Call;
use countersign::safe::builder_file::{self, Batch, Checksum, Form};
use countersign::safe::deployments::{self, Build, Contract};
use countersign::safe::{
    Intent, Operation, OwnerSignature, SafeDomain, SafeTx, SafeTxFields,
    approvals::{Facts, SignatureSet, prevalidated},
    check::check_signatures,
    info::approved_hash_slot,
    version::SafeVersion,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::judge::runs;
use crate::support::safes::{RELEASES, Release, abi, ask, reason};
use crate::support::{ACCOUNTS, Anvil, AnvilOptions, Rpc, contracts};

const CHAIN: u64 = 8453;
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

fn anvil() -> Anvil {
    Anvil::start(AnvilOptions {
        chain_id: CHAIN,
        more: [
            "--gas-limit",
            "100000000000",
            "--no-request-size-limit",
            "--code-size-limit",
            "100000",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..AnvilOptions::default()
    })
}

fn version(release: &Release) -> SafeVersion {
    release.version.parse().unwrap()
}

fn key(number: usize) -> PrivateKeySigner {
    ACCOUNTS[number].key.parse().unwrap()
}

/// `count` values of `strategy`, the same in every run.
fn generate<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let one = |runner: &mut TestRunner| strategy.new_tree(runner).unwrap().current();
    (0..count).map(|_| one(&mut runner)).collect()
}

/// Runs an act of `tests/node/safe.mjs`; a line in, a line out.
fn node(act: &str, lines: &[Value]) -> Vec<Value> {
    crate::support::command::ask("safe.mjs", act, lines)
}

fn word() -> impl Strategy<Value = U256> {
    let any = any::<[u8; 32]>().prop_map(U256::from_be_bytes);
    prop_oneof![Just(U256::ZERO), Just(U256::MAX), (0u64..100).prop_map(U256::from), any]
}

fn address() -> impl Strategy<Value = Address> {
    let any = any::<[u8; 20]>().prop_map(Address::from);
    prop_oneof![1 => Just(Address::ZERO), 4 => any]
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn fields() -> impl Strategy<Value = SafeTxFields> {
    let operation = prop_oneof![Just(Operation::Call), Just(Operation::DelegateCall)];
    let numbers = (word(), word(), word(), word(), word());
    (address(), numbers, bytes(300), operation, address(), address()).prop_map(
        |(to, (value, safe_tx_gas, base_gas, gas_price, nonce), data, operation, gas_token, refund_receiver)| {
            SafeTxFields {
                to,
                value,
                data,
                operation,
                safe_tx_gas,
                base_gas,
                gas_price,
                gas_token,
                refund_receiver,
                nonce,
            }
        },
    )
}

/// Calls that an upgrade may make: no ether, somebody's address.
fn calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    let known = select(vec![
        "addComposeHash(bytes32)",
        "removeDevice(bytes32)",
        "approveHash(bytes32)",
    ]);
    let known = (known, any::<[u8; 32]>()).prop_map(|(method, argument)| {
        let selector = &keccak256(method)[..4];
        Bytes::from([selector, argument.as_slice()].concat())
    });
    let flag = any::<bool>().prop_map(|on| {
        let selector = &keccak256("setAllowAnyDevice(bool)")[..4];
        Bytes::from([selector, &[0; 31], &[u8::from(on)]].concat())
    });
    let data = prop_oneof![3 => known, 1 => flag, 2 => bytes(90)];
    let call = (any::<[u8; 20]>(), data).prop_map(|(to, data)| Call {
        to: to.into(),
        value: U256::ZERO,
        data,
    });
    proptest::collection::vec(call, 1..most)
}

fn question(fields: &SafeTxFields) -> Vec<u8> {
    abi::getTransactionHashCall {
        to: fields.to,
        value: fields.value,
        data: fields.data.clone(),
        operation: fields.operation.into(),
        safeTxGas: fields.safe_tx_gas,
        baseGas: fields.base_gas,
        gasPrice: fields.gas_price,
        gasToken: fields.gas_token,
        refundReceiver: fields.refund_receiver,
        nonce: fields.nonce,
    }
    .abi_encode()
}

#[test]
fn hashes_in_each_version_are_those_that_the_safe_itself_computes() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let asker = contracts::deploy(&rpc, ACCOUNTS[0].address, "ManyCalls", &[]);
    let transactions = generate(&fields(), runs(1_000, 10_000));
    let questions: Vec<_> = transactions.iter().map(question).collect();
    for release in RELEASES {
        release.install(&rpc);
        let safe = release.create(&rpc, true, (&[ACCOUNTS[0].address], 1));
        let domain = SafeDomain {
            chain_id: CHAIN,
            safe,
            version: version(&release),
        };
        assert_eq!(rpc.read(safe, &abi::domainSeparatorCall {}), domain.separator());
        let answers = ask(&rpc, asker, safe, &questions);
        for (transaction, answer) in transactions.iter().zip(&answers) {
            assert!(answer.ok);
            let ours = transaction.hash(&domain);
            assert_eq!(
                ours.as_slice(),
                answer.data.as_ref(),
                "{} {transaction:?}",
                release.version
            );
        }
        assert_eq!(answers.len(), transactions.len());
    }
}

#[test]
fn known_addresses_and_code_are_those_of_the_safe_team_and_of_the_contracts_themselves() {
    let theirs = node("deployments", &[]);
    let kind = |name: &str| match name {
        "GnosisSafe" | "Safe" => Some(Contract::Singleton),
        "GnosisSafeL2" | "SafeL2" => Some(Contract::SingletonL2),
        "ProxyFactory" | "GnosisSafeProxyFactory" | "SafeProxyFactory" => Some(Contract::ProxyFactory),
        "MultiSend" => Some(Contract::MultiSend),
        "MultiSendCallOnly" => Some(Contract::MultiSendCallOnly),
        "CompatibilityFallbackHandler" => Some(Contract::CompatibilityHandler),
        "ExtensibleFallbackHandler" => Some(Contract::ExtensibleHandler),
        "TokenCallbackHandler" => Some(Contract::TokenHandler),
        "DefaultCallbackHandler" => Some(Contract::DefaultHandler),
        "SignMessageLib" => Some(Contract::SignMessageLib),
        "SimulateTxAccessor" => Some(Contract::SimulateTxAccessor),
        "SafeMigration" => Some(Contract::Migration),
        "SafeToL2Migration" => Some(Contract::ToL2Migration),
        "SafeToL2Setup" => Some(Contract::ToL2Setup),
        "CreateCall" => None,
        other => panic!("a contract that nobody here knows: {other}"),
    };
    let mut rows = 0;
    for theirs in theirs {
        let text = |key: &str| theirs[key].as_str().unwrap().to_owned();
        let Some(contract) = kind(&text("contract")) else {
            continue;
        };
        let build = match text("build").as_str() {
            "canonical" => Build::Canonical,
            "eip155" => Build::Eip155,
            "zksync" => Build::EraVm,
            other => panic!("{other}"),
        };
        let ours = deployments::find(text("version").parse().unwrap(), contract, build).unwrap();
        assert_eq!(ours.address, text("address").parse::<Address>().unwrap());
        assert_eq!(ours.code_hash, text("codeHash").parse::<B256>().unwrap());
        rows += 1;
    }
    assert_eq!(rows, deployments::ALL.len());

    let anvil = anvil();
    let rpc = anvil.rpc();
    for release in RELEASES {
        release.install(&rpc);
        let safe = release.create(&rpc, false, (&[ACCOUNTS[0].address], 1));
        let code_hash = |address: Address| {
            let code: Bytes = serde_json::from_value(rpc.call("eth_getCode", json!([address, "latest"]))).unwrap();
            keccak256(code)
        };
        for address in [
            release.singleton,
            release.singleton_l2,
            release.call_only,
            release.handler,
        ] {
            let known = deployments::at(address).unwrap();
            assert_eq!(
                (known.code_hash, known.version),
                (code_hash(address), version(&release))
            );
        }
        assert!(deployments::PROXY_CODE.contains(&(version(&release), code_hash(safe))));
    }
}

/// One entry of a packed blob, right or wrong in one way.
#[derive(Debug, Clone)]
enum Part {
    /// Owner's signature of the hash.
    Signed(usize),
    /// Owner's signature of the hash as a message.
    Message(usize),
    /// The other half of s.
    Twin(usize),
    /// Somebody who owns nothing.
    Stranger,
    /// Owner's signature of another hash.
    OtherHash(usize),
    /// Another v.
    V(usize, u8),
    /// A number in r or s that is no scalar.
    Scalar(usize, bool, U256),
    /// The contract owner: right, wrong, reverting.
    Contract(u8),
    /// The contract owner with its data somewhere.
    Offset(U256),
    /// The contract owner with a length of its own.
    Length(U256),
    /// A contract's signature by somebody without code.
    NoContract(usize),
    /// v 1 of this owner, with something before the address.
    Approved(usize, u8),
    /// v 1 of the contract that asks.
    Asker,
}

#[derive(Debug, Clone)]
struct Plan {
    hash: usize,
    threshold: u64,
    parts: Vec<Part>,
    order: Vec<Index>,
    sorted: bool,
    tail: usize,
}

fn part() -> impl Strategy<Value = Part> {
    let owner = || 0usize..4;
    let v = select(vec![0u8, 1, 2, 26, 29, 30, 31, 32, 33, 35, 59, 255]);
    let scalar = select(vec![U256::ZERO, ORDER, ORDER - U256::from(1), U256::MAX]);
    let offset = prop_oneof![
        (0u64..700).prop_map(U256::from),
        select(vec![U256::MAX, U256::from(u64::MAX)])
    ];
    prop_oneof![
        30 => owner().prop_map(Part::Signed),
        12 => owner().prop_map(Part::Message),
        2 => owner().prop_map(Part::Twin),
        1 => Just(Part::Stranger),
        1 => owner().prop_map(Part::OtherHash),
        1 => (owner(), v).prop_map(|(owner, v)| Part::V(owner, v)),
        1 => (owner(), any::<bool>(), scalar).prop_map(|(owner, r, number)| Part::Scalar(owner, r, number)),
        12 => prop_oneof![6 => Just(0u8), 1 => Just(1), 1 => Just(2)].prop_map(Part::Contract),
        2 => offset.clone().prop_map(Part::Offset),
        2 => offset.prop_map(Part::Length),
        1 => owner().prop_map(Part::NoContract),
        8 => (owner(), prop_oneof![9 => Just(0u8), 1 => 1u8..]).prop_map(|(owner, above)| Part::Approved(owner, above)),
        5 => Just(Part::Asker),
    ]
}

fn plan(hashes: usize) -> impl Strategy<Value = Plan> {
    let parts = proptest::collection::vec(part(), 0..6);
    let order = proptest::collection::vec(any::<Index>(), 6);
    let tail = prop_oneof![8 => Just(0usize), 1 => 1usize..200];
    (
        0..hashes,
        1u64..5,
        parts,
        order,
        prop_oneof![9 => Just(true), 1 => Just(false)],
        tail,
    )
        .prop_map(|(hash, threshold, parts, order, sorted, tail)| Plan {
            hash,
            threshold,
            parts,
            order,
            sorted,
            tail,
        })
}

/// What the sets of one Safe are made of: everything signed once.
struct Pool {
    transactions: Vec<SafeTx>,
    signed: Vec<Vec<Signature>>,
    messages: Vec<Vec<Signature>>,
    strangers: Vec<Signature>,
    contract: Address,
    asker: Address,
    facts: Vec<Facts>,
}

impl Pool {
    /// Signs everything, and approves what is approved on chain.
    fn make(rpc: &Rpc, release: &Release, contract: Address, asker: Address) -> Self {
        let keys: Vec<_> = (0..4).map(key).collect();
        let owners: Vec<Address> = keys.iter().map(|key| key.address()).chain([contract, asker]).collect();
        let safe = release.create(rpc, false, (&owners, 2));
        let domain = SafeDomain {
            chain_id: CHAIN,
            safe,
            version: version(release),
        };
        let transaction = |nonce: u64| {
            let fields = SafeTxFields::plain(
                Address::repeat_byte(1),
                Bytes::new(),
                Operation::Call,
                U256::from(nonce),
            );
            SafeTx::accept(domain, fields, false).unwrap()
        };
        let transactions: Vec<_> = (0..24).map(transaction).collect();
        let hashes = || transactions.iter().map(SafeTx::hash);
        let approve = |hash: B256, owner: usize| {
            let call = abi::approveHashCall { hashToApprove: hash };
            rpc.execute(keys[owner].address(), safe, &call);
        };
        let stranger = key(4);
        let facts = hashes().enumerate().map(|(number, hash)| {
            let approvers: Vec<usize> = (0..4).filter(|owner| (number + owner) % 3 == 0).collect();
            approvers.iter().for_each(|owner| approve(hash, *owner));
            Facts {
                owners: owners.iter().copied().collect(),
                threshold: 0,
                approved: approvers.into_iter().map(|owner| keys[owner].address()).collect(),
                confirmed: [(contract, yes(&transactions[number]))].into(),
                executor: Some(asker),
            }
        });
        let facts = facts.collect();
        let sign = |key: &PrivateKeySigner, hash: B256| key.sign_hash_sync(&hash).unwrap();
        let message = |key: &PrivateKeySigner, hash: B256| key.sign_message_sync(hash.as_slice()).unwrap();
        Self {
            signed: hashes()
                .map(|hash| keys.iter().map(|key| sign(key, hash)).collect())
                .collect(),
            messages: hashes()
                .map(|hash| keys.iter().map(|key| message(key, hash)).collect())
                .collect(),
            strangers: hashes().map(|hash| sign(&stranger, hash)).collect(),
            transactions,
            contract,
            asker,
            facts,
        }
    }
    fn facts(&self, plan: &Plan) -> Facts {
        Facts {
            threshold: plan.threshold,
            ..self.facts[plan.hash].clone()
        }
    }
    /// Address by which a part has to be sorted, its entry, and what comes after the entries.
    fn entry(&self, plan: &Plan, part: &Part, offset: usize) -> (Address, [u8; 65], Vec<u8>) {
        let (hash, owner) = (plan.hash, |number: usize| ACCOUNTS[number].address);
        let ecdsa = |signer: usize, signature: &Signature, v: u8| {
            let mut entry = signature.as_bytes();
            entry[64] += v;
            (owner(signer), entry, Vec::new())
        };
        let signed = |signer: usize| &self.signed[hash][signer];
        let fixed = |who: Address, s: U256, v: u8, tail: Vec<u8>| {
            let mut entry = [0; 65];
            entry[12..32].copy_from_slice(who.as_slice());
            entry[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            entry[64] = v;
            (who, entry, tail)
        };
        let dynamic = |data: &[u8]| [&U256::from(data.len()).to_be_bytes::<32>(), data].concat();
        let right = yes(&self.transactions[hash]);
        match part {
            Part::Signed(signer) => ecdsa(*signer, signed(*signer), 0),
            Part::Message(signer) => ecdsa(*signer, &self.messages[hash][*signer], 4),
            Part::Twin(signer) => {
                let one = signed(*signer);
                ecdsa(*signer, &Signature::new(one.r(), ORDER - one.s(), !one.v()), 0)
            }
            Part::Stranger => {
                let (_, entry, tail) = ecdsa(0, &self.strangers[hash], 0);
                (owner(4), entry, tail)
            }
            Part::OtherHash(signer) => ecdsa(*signer, &self.signed[(hash + 1) % self.signed.len()][*signer], 0),
            Part::V(signer, v) => {
                let (who, mut entry, tail) = ecdsa(*signer, signed(*signer), 0);
                entry[64] = *v;
                (who, entry, tail)
            }
            Part::Scalar(signer, r, number) => {
                let (who, mut entry, tail) = ecdsa(*signer, signed(*signer), 0);
                let start = if *r { 0 } else { 32 };
                entry[start..start + 32].copy_from_slice(&number.to_be_bytes::<32>());
                (who, entry, tail)
            }
            Part::Contract(0) => fixed(self.contract, U256::from(offset), 0, dynamic(&right)),
            Part::Contract(1) => fixed(self.contract, U256::from(offset), 0, dynamic(b"perhaps")),
            Part::Contract(_) => fixed(self.contract, U256::from(offset), 0, dynamic(b"no")),
            Part::Offset(place) => fixed(self.contract, *place, 0, dynamic(&right)),
            Part::Length(length) => {
                let tail = [length.to_be_bytes::<32>().as_slice(), &right].concat();
                fixed(self.contract, U256::from(offset), 0, tail)
            }
            Part::NoContract(signer) => fixed(owner(*signer), U256::from(offset), 0, dynamic(&right)),
            Part::Approved(signer, above) => {
                let (who, mut entry, tail) = fixed(owner(*signer), U256::from(*above), 1, Vec::new());
                entry[0] = *above;
                (who, entry, tail)
            }
            Part::Asker => fixed(self.asker, U256::ZERO, 1, Vec::new()),
        }
    }
    fn blob(&self, plan: &Plan) -> Vec<u8> {
        let mut parts: Vec<&Part> = plan.parts.iter().collect();
        if plan.sorted {
            parts.sort_by_key(|part| self.entry(plan, part, 0).0);
            // Mostly without doubles, as a tool would pack them.
            if plan.tail == 0 {
                parts.dedup_by_key(|part| self.entry(plan, part, 0).0);
            }
        } else {
            parts.sort_by_key(|part| plan.order[self.entry(plan, part, 0).1[5] as usize % 6].index(100));
        }
        let (mut entries, mut tail) = (Vec::new(), Vec::new());
        for part in &parts {
            let (_, entry, more) = self.entry(plan, part, parts.len() * 65 + tail.len());
            entries.extend(entry);
            tail.extend(more);
        }
        entries.extend(tail);
        entries.resize(entries.len() + plan.tail, 0x5a);
        entries
    }
}

/// What the contract owner takes for its signature, if it is asked about the right thing.
fn yes(transaction: &SafeTx) -> Bytes {
    [b"yes".as_slice(), keccak256(transaction.owner_message()).as_slice()]
        .concat()
        .into()
}

/// How often which verdict was met.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: BTreeMap<&'static str, usize>,
    packed: usize,
}

impl Pool {
    fn question(&self, plan: &Plan, signatures: Bytes) -> Vec<u8> {
        let transaction = &self.transactions[plan.hash];
        let call = abi::checkNSignaturesCall {
            hash: transaction.hash(),
            data: transaction.preimage().into(),
            signatures,
            required: U256::from(plan.threshold),
        };
        call.abi_encode()
    }
    /// Compares our verdict about `blob` with the Safe's; gives the code of a refusal.
    fn compare(&self, plan: &Plan, blob: &[u8], answer: &abi::Answer) -> Option<&'static str> {
        let verdict = check_signatures(blob, self.transactions[plan.hash].hash(), &self.facts(plan));
        let reason = reason(&answer.data).unwrap_or_default();
        assert_eq!(verdict.is_ok(), answer.ok, "{plan:?} {verdict:?} {reason}");
        let refusal = verdict.err()?;
        // Other reasons, or none: a contract that reverts, an offset that overflows.
        if reason.starts_with("GS") {
            assert_eq!(refusal.code(), reason, "{plan:?} {refusal:?}");
        }
        Some(refusal.code())
    }
    /// What we make of `blob` after reading it strictly: packed again, if enough of it counts.
    fn repack(&self, plan: &Plan, blob: &[u8]) -> Option<Bytes> {
        let facts = self.facts(plan);
        let mut set = SignatureSet::new(&self.transactions[plan.hash]);
        for one in OwnerSignature::read_packed(blob).unwrap_or_default() {
            drop(set.insert(one, &facts.owners));
        }
        let counted = set.standing(&facts).counted.len() as u64;
        let packed = set.pack(&facts).ok();
        assert_eq!(packed.is_some(), counted >= plan.threshold, "{plan:?}");
        packed.map(|packed| packed.bytes)
    }
}

#[test]
fn signature_sets_are_judged_as_the_safe_itself_judges_them() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let asker = contracts::deploy(&rpc, ACCOUNTS[0].address, "ManyCalls", &[]);
    let contract = contracts::deploy(&rpc, ACCOUNTS[0].address, "ContractOwner", &[]);
    let sets = runs(2_001, 10_002);
    let mut tally = Tally::default();
    for release in RELEASES {
        release.install(&rpc);
        let pool = Pool::make(&rpc, &release, contract, asker);
        let safe = pool.transactions[0].domain().safe;
        let plans = generate(&plan(pool.transactions.len()), sets / RELEASES.len());
        let blobs: Vec<_> = plans.iter().map(|plan| pool.blob(plan)).collect();
        let questions = plans.iter().zip(&blobs);
        let questions = questions.map(|(plan, blob)| pool.question(plan, blob.clone().into()));
        let answers = ask(&rpc, asker, safe, &questions.collect::<Vec<_>>());
        for ((plan, blob), answer) in plans.iter().zip(&blobs).zip(&answers) {
            match pool.compare(plan, blob, answer) {
                None => tally.accepted += 1,
                Some(code) => *tally.refused.entry(code).or_default() += 1,
            }
        }
        let ours = plans.iter().zip(&blobs);
        let ours = ours.filter_map(|(plan, blob)| Some(pool.question(plan, pool.repack(plan, blob)?)));
        let answers = ask(&rpc, asker, safe, &ours.collect::<Vec<_>>());
        assert!(answers.iter().all(|answer| answer.ok), "{}", release.version);
        tally.packed += answers.len();
    }
    // Every verdict was met often, so that agreeing means something.
    assert!(tally.accepted > sets / 5 && tally.packed > sets / 5, "{tally:?}");
    for code in ["GS020", "GS021", "GS022", "GS023", "GS024", "GS025", "GS026"] {
        assert!(
            tally.refused.get(code).is_some_and(|count| *count > sets / 500),
            "{code}: {tally:?}"
        );
    }
}

/// Signs `transaction` with anvil's keys.
fn signed(transaction: &SafeTx, signers: &[usize], owners: &BTreeSet<Address>) -> SignatureSet {
    let mut set = SignatureSet::new(transaction);
    for signer in signers {
        let signature = key(*signer).sign_hash_sync(&transaction.hash()).unwrap();
        let read = OwnerSignature::read(&signature.as_bytes()).unwrap();
        set.insert(read, owners).unwrap();
    }
    set
}

/// Sends `call` from somebody who owns nothing; gives the receipt.
fn send(rpc: &Rpc, call: &Call) -> Value {
    rpc.mined(rpc.send(ACCOUNTS[4].address, Some(call.to), &call.data))
}

/// Whether the Safe said that it executed `hash`, in either layout of the event.
fn executed(receipt: &Value, safe: Address, hash: B256) -> bool {
    let topic = keccak256("ExecutionSuccess(bytes32,uint256)");
    let logs = receipt["logs"].as_array().unwrap();
    logs.iter().any(|log| {
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).unwrap();
        let data: Bytes = serde_json::from_value(log["data"].clone()).unwrap();
        let found = topics.get(1).copied().unwrap_or_else(|| B256::from_slice(&data[..32]));
        serde_json::from_value::<Address>(log["address"].clone()).unwrap() == safe
            && topics[0] == topic
            && found == hash
    })
}

#[test]
fn what_is_frozen_signed_and_packed_is_executed_by_every_safe() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let target = contracts::deploy(&rpc, ACCOUNTS[0].address, "ContractOwner", &[]);
    let call = |byte: u8| Call {
        to: target,
        value: U256::ZERO,
        data: [keccak256("addComposeHash(bytes32)")[..4].to_vec(), vec![byte; 32]]
            .concat()
            .into(),
    };
    for release in RELEASES {
        release.install(&rpc);
        for (l2, owners, threshold) in [(false, 1, 1), (true, 3, 2), (false, 4, 3), (true, 4, 4)] {
            let all: Vec<Address> = (0..owners).map(|number| ACCOUNTS[number].address).collect();
            let safe = release.create(&rpc, l2, (&all, threshold));
            let facts = Facts {
                owners: all.iter().copied().collect(),
                threshold,
                ..Facts::default()
            };
            for (nonce, calls) in [vec![call(1)], vec![call(1), call(2)], vec![call(3), call(4), call(5)]]
                .into_iter()
                .enumerate()
            {
                let transaction = SafeTx::freeze(&Intent {
                    domain: SafeDomain {
                        chain_id: CHAIN,
                        safe,
                        version: version(&release),
                    },
                    nonce: U256::from(nonce),
                    calls: calls.clone(),
                    batcher: Some(release.call_only),
                    old_versions: false,
                })
                .unwrap();
                let signers: Vec<usize> = (0..owners).rev().collect();
                let packed = signed(&transaction, &signers, &facts.owners).pack(&facts).unwrap();
                let receipt = send(&rpc, &transaction.exec_call(&packed.bytes));
                assert_eq!(receipt["status"], "0x1", "{} {threshold}", release.version);
                assert!(executed(&receipt, safe, transaction.hash()));
                let logs = receipt["logs"].as_array().unwrap().iter();
                let seen: Vec<Bytes> = logs
                    .filter(|log| log["topics"][0] == json!(abi::Called::SIGNATURE_HASH))
                    .map(|log| {
                        abi::Called::abi_decode_data(&serde_json::from_value::<Bytes>(log["data"].clone()).unwrap())
                            .unwrap()
                            .1
                    })
                    .collect();
                assert_eq!(seen, calls.iter().map(|call| call.data.clone()).collect::<Vec<_>>());
            }
            assert_eq!(rpc.read(safe, &abi::nonceCall {}), U256::from(3));
        }
    }
}

#[test]
fn a_rejection_uses_up_the_nonce_and_the_rejected_transaction_is_dead() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let owner = ACCOUNTS[0].address;
    for release in RELEASES {
        release.install(&rpc);
        let safe = release.create(&rpc, true, (&[owner], 1));
        let domain = SafeDomain {
            chain_id: CHAIN,
            safe,
            version: version(&release),
        };
        let rejection = SafeTx::rejection(domain, U256::ZERO, false).unwrap();
        let rejected = SafeTx::accept(
            domain,
            SafeTxFields::plain(owner, Bytes::new(), Operation::Call, U256::ZERO),
            false,
        )
        .unwrap();
        let facts = Facts {
            owners: [owner].into(),
            threshold: 1,
            ..Facts::default()
        };
        let pack = |transaction: &SafeTx| signed(transaction, &[0], &facts.owners).pack(&facts).unwrap().bytes;
        let receipt = send(&rpc, &rejection.exec_call(&pack(&rejection)));
        assert!(executed(&receipt, safe, rejection.hash()));
        let call = rejected.exec_call(&pack(&rejected));
        let outcome = rpc.try_call("eth_call", json!([{"to": call.to, "data": call.data}, "latest"]));
        assert!(outcome.unwrap_err().contains("GS026"));
    }
}

#[test]
fn overridden_approvals_simulate_an_execution_without_any_signature() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let owners: BTreeSet<Address> = (0..3).map(|number| ACCOUNTS[number].address).collect();
    for release in RELEASES {
        release.install(&rpc);
        let safe = release.create(&rpc, true, (&owners.iter().copied().collect::<Vec<_>>(), 3));
        let domain = SafeDomain {
            chain_id: CHAIN,
            safe,
            version: version(&release),
        };
        let fields = SafeTxFields::plain(ACCOUNTS[4].address, Bytes::new(), Operation::Call, U256::ZERO);
        let transaction = SafeTx::accept(domain, fields, false).unwrap();
        let call = transaction.exec_call(&prevalidated(&owners));
        let request = json!({"to": call.to, "data": call.data, "from": ACCOUNTS[4].address});
        let one = B256::from(U256::from(1));
        let slots: BTreeMap<B256, B256> = owners
            .iter()
            .map(|owner| (approved_hash_slot(*owner, transaction.hash()), one))
            .collect();
        let overrides = json!({ safe.to_string(): {"stateDiff": slots} });
        assert_eq!(rpc.call("eth_call", json!([request, "latest", overrides])), json!(one));
        assert!(
            rpc.try_call("eth_call", json!([request, "latest"]))
                .unwrap_err()
                .contains("GS025")
        );
    }
}

/// Whether the Safe of `transaction` takes its owner's ERC-1271 signature; the owner is the Safe of `child`.
fn takes_signature(rpc: &Rpc, transaction: &SafeTx, child: &SafeDomain) -> bool {
    let message = child.message_hash(&transaction.owner_message());
    let data: Bytes = key(0).sign_hash_sync(&message).unwrap().as_bytes().into();
    let facts = Facts {
        confirmed: [(child.safe, data.clone())].into(),
        ..alone(child.safe)
    };
    let mut set = SignatureSet::new(transaction);
    let signature = OwnerSignature::Contract {
        owner: child.safe,
        data,
    };
    set.insert(signature, &facts.owners).unwrap();
    let check = abi::checkSignaturesCall {
        hash: transaction.hash(),
        data: transaction.preimage().into(),
        signatures: set.pack(&facts).unwrap().bytes,
    };
    let request = json!({"to": transaction.domain().safe, "data": Bytes::from(check.abi_encode())});
    rpc.try_call("eth_call", json!([request, "latest"])).is_ok()
}

/// The facts of a Safe with one owner.
fn alone(owner: Address) -> Facts {
    Facts {
        owners: [owner].into(),
        threshold: 1,
        ..Facts::default()
    }
}

#[test]
fn a_safe_that_owns_a_safe_signs_where_that_is_possible_and_approves_everywhere() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let owner = ACCOUNTS[0].address;
    RELEASES.iter().for_each(|release| release.install(&rpc));
    let pairs = RELEASES.iter();
    for (parent, child) in pairs.flat_map(|parent| RELEASES.iter().map(move |child| (parent, child))) {
        let make = |release: &Release, owner| SafeDomain {
            chain_id: CHAIN,
            safe: release.create(&rpc, true, (&[owner], 1)),
            version: version(release),
        };
        let child = make(child, owner);
        let parent = make(parent, child.safe);
        let fields = SafeTxFields::plain(owner, Bytes::new(), Operation::Call, U256::ZERO);
        let transaction = SafeTx::accept(parent, fields, false).unwrap();
        // The handler of 1.5.0 answers only what a Safe from 1.5.0 on asks.
        let possible = parent.version.asks_owners_by_hash() || !child.version.asks_owners_by_hash();
        let taken = takes_signature(&rpc, &transaction, &child);
        assert_eq!(taken, possible, "{} owned by {}", parent.version, child.version);

        let approval = SafeTx::freeze(&Intent {
            domain: child,
            nonce: U256::ZERO,
            calls: vec![transaction.approve_hash_call()],
            batcher: None,
            old_versions: false,
        })
        .unwrap();
        let by_owner = alone(owner);
        let packed = signed(&approval, &[0], &by_owner.owners).pack(&by_owner).unwrap();
        let receipt = send(&rpc, &approval.exec_call(&packed.bytes));
        assert!(executed(&receipt, child.safe, approval.hash()));
        let approved = Facts {
            approved: [child.safe].into(),
            ..alone(child.safe)
        };
        let packed = SignatureSet::new(&transaction).pack(&approved).unwrap();
        let receipt = send(&rpc, &transaction.exec_call(&packed.bytes));
        assert!(executed(&receipt, parent.safe, transaction.hash()));
    }
}

/// Transactions that could be proposed, one or more calls each.
fn transactions(count: usize) -> Vec<SafeTx> {
    let versions = RELEASES.map(|release| version(&release));
    let strategy = (
        any::<u64>(),
        any::<[u8; 20]>(),
        any::<u64>(),
        calls(4),
        select(versions.to_vec()),
    );
    generate(&strategy, count)
        .into_iter()
        .map(|(chain_id, safe, nonce, calls, version)| {
            let intent = Intent {
                // JavaScript keeps whole numbers exactly up to here.
                domain: SafeDomain {
                    chain_id: chain_id >> 11,
                    safe: safe.into(),
                    version,
                },
                nonce: U256::from(nonce),
                calls,
                batcher: deployments::batchers(version, Build::Canonical)
                    .first()
                    .map(|known| known.address),
                old_versions: false,
            };
            SafeTx::freeze(&intent).unwrap()
        })
        .collect()
}

#[test]
fn typed_data_has_the_same_hash_for_others() {
    let transactions = transactions(runs(200, 1_000));
    let documents: Vec<_> = transactions.iter().map(SafeTx::typed_data).collect();
    let theirs = node("typed", &documents);
    assert_eq!(theirs.len(), transactions.len());
    for (transaction, theirs) in transactions.iter().zip(theirs) {
        assert_eq!(json!(transaction.hash()), theirs, "{}", transaction.typed_data());
    }
}

#[test]
fn pitfall_54_cast_signs_our_typed_data_as_we_hash_it() {
    let cast = crate::support::packages().join("@foundry-rs/cast/bin.mjs");
    let home = tempfile::tempdir().unwrap();
    for transaction in transactions(6) {
        let file = home.path().join("typed.json");
        std::fs::write(&file, transaction.typed_data().to_string()).unwrap();
        let output = std::process::Command::new("node")
            .arg(&cast)
            .args(["wallet", "sign", "--data", "--from-file"])
            .arg(&file)
            .args(["--private-key", ACCOUNTS[0].key])
            .env("HOME", home.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let theirs: Bytes = text
            .trim()
            .parse()
            .unwrap_or_else(|e| panic!("{e}: {text} {:?}", String::from_utf8_lossy(&output.stderr)));
        let owners = [ACCOUNTS[0].address].into();
        let mut set = SignatureSet::new(&transaction);
        let read = OwnerSignature::read(&theirs).unwrap();
        assert!(set.insert(read.clone(), &owners).is_ok());
        assert_eq!(set.by_owner()[&ACCOUNTS[0].address], read);
        assert!(matches!(read, OwnerSignature::Eip712(_)));
    }
}

fn batches() -> Vec<Batch> {
    let strategy = (
        any::<u64>(),
        any::<[u8; 20]>(),
        ".{0,40}",
        ".{0,40}",
        0i64..4_102_444_800_000,
        calls(6),
    );
    generate(&strategy, runs(200, 1_000))
        .into_iter()
        .map(|(chain_id, safe, name, description, millis, calls)| Batch {
            chain_id,
            safe: Some(safe.into()),
            name,
            description,
            created_at: Some(jiff::Timestamp::from_millisecond(millis).unwrap()),
            calls,
        })
        .collect()
}

#[test]
fn batch_files_have_the_checksum_and_the_calls_that_others_compute() {
    for form in [Form::Method, Form::Raw] {
        let batches = batches();
        let files: Vec<String> = batches
            .iter()
            .map(|batch| builder_file::export(batch, form).unwrap())
            .collect();
        let theirs = node("builder", &files.iter().map(|text| json!(text)).collect::<Vec<_>>());
        assert_eq!(theirs.len(), batches.len());
        for ((batch, text), theirs) in batches.iter().zip(&files).zip(theirs) {
            let ours: Value = serde_json::from_str(text).unwrap();
            assert_eq!(theirs["checksum"], ours["meta"]["checksum"]);
            let calls: Vec<Value> = batch
                .calls
                .iter()
                .map(|call| json!({"to": call.to.to_checksum(None), "value": "0", "data": call.data}))
                .collect();
            assert_eq!(theirs["calls"], json!(calls));
        }
    }
}

#[test]
fn files_with_anything_in_their_meta_have_the_checksum_that_others_compute() {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        let keys = ".{0,4}".prop_filter("JavaScript's own", |key| key != "__proto__");
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((keys, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let files: Vec<Value> = batches()
        .iter()
        .zip(generate(&value, runs(200, 1_000)))
        .map(|(batch, extra)| {
            let text = builder_file::export(batch, Form::Raw).unwrap();
            let mut file: Value = serde_json::from_str(&text).unwrap();
            file["meta"]["more"] = extra;
            file
        })
        .collect();
    let theirs = node("sum", &files);
    assert_eq!(theirs.len(), files.len());
    for (file, theirs) in files.iter().zip(theirs) {
        let text = theirs.as_str().unwrap();
        let found = builder_file::import(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {file} {text}"));
        assert_eq!(found.checksum, Checksum::Right);
    }
}
