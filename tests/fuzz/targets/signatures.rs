//! Files with signatures of co-signers. What counts is a signature that the owner's key made of this very transaction, and
//! what is packed passes the checks that a Safe makes.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, Signature, U256, address, eip191_hash_message};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use countersign::safe::approvals::{Facts, SignatureSet};
use countersign::safe::collect::{collect, merge};
use countersign::safe::version::SafeVersion;
use countersign::safe::{Operation, OwnerSignature, SafeDomain, SafeTx, SafeTxFields};
use countersign_fuzz::Bases;
use serde_json::{Value, json};

pub(crate) struct Target {
    bases: Bases,
    tx: SafeTx,
    owners: BTreeSet<Address>,
    /// The only signatures of this transaction that there are.
    made: BTreeMap<Address, [B256; 2]>,
}

/// A transaction that nobody else's signatures are of.
pub(crate) fn tx() -> SafeTx {
    let domain = SafeDomain {
        chain_id: 8453,
        safe: address!("2222222222222222222222222222222222222222"),
        version: SafeVersion::V1_4_1,
    };
    let to = address!("1111111111111111111111111111111111111111");
    let fields = SafeTxFields::plain(to, Bytes::from_static(&[1, 2, 3, 4]), Operation::Call, U256::from(7));
    SafeTx::accept(domain, fields, false).unwrap()
}

/// The keys of the owners.
pub(crate) fn keys() -> Vec<PrivateKeySigner> {
    let key = |number: u8| PrivateKeySigner::from_bytes(&B256::with_last_byte(number)).unwrap();
    (1..=3).map(key).collect()
}

impl Target {
    pub(crate) fn new() -> Self {
        let tx = tx();
        let keys = keys();
        let plain: Vec<Signature> = keys.iter().map(|key| key.sign_hash_sync(&tx.hash()).unwrap()).collect();
        let message: Vec<Signature> = keys
            .iter()
            .map(|key| key.sign_message_sync(&tx.hash().0).unwrap())
            .collect();
        let owners: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
        let made = (0..owners.len()).map(|at| (owners[at], [r(&plain[at]), r(&message[at])]));
        let made = made.collect();
        Self {
            bases: Bases::of(files(&tx, &owners, &plain, &message)),
            tx,
            owners: owners.into_iter().collect(),
            made,
        }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.bases.text(input);
        let Ok(collected) = collect(&text) else { return };
        let offers = collected.offers;
        let count = offers.len();
        let mut set = SignatureSet::new(&self.tx);
        let merged = merge(&mut set, &self.tx, offers, &self.owners);
        assert_eq!(merged.len(), count);
        for (owner, signature) in set.by_owner() {
            assert!(self.owners.contains(owner), "somebody else's signature counts");
            assert!(!signature.has_upper_s());
            self.check_one(*owner, signature);
            let bytes = signature.to_bytes();
            assert_eq!(
                OwnerSignature::read(&bytes).as_ref(),
                Ok(signature),
                "it is read as another one"
            );
        }
        for threshold in 1..=3 {
            let facts = Facts {
                owners: self.owners.clone(),
                threshold,
                ..Facts::default()
            };
            if let Ok(packed) = set.pack(&facts) {
                self.check_packed(&packed.bytes, threshold);
            }
        }
    }

    fn check_one(&self, owner: Address, signature: &OwnerSignature) {
        let (inner, hash, made) = match signature {
            OwnerSignature::Eip712(inner) => (inner, self.tx.hash(), self.made[&owner][0]),
            OwnerSignature::EthSign(inner) => (inner, eip191_hash_message(self.tx.hash()), self.made[&owner][1]),
            _ => return assert!(!signature.proves_itself()),
        };
        assert_eq!(inner.recover_address_from_prehash(&hash).unwrap(), owner);
        assert_eq!(r(inner), made, "a signature that the key never made");
    }

    /// What `checkNSignatures` of a Safe does where all owners are keys.
    fn check_packed(&self, bytes: &[u8], threshold: u64) {
        assert_eq!(
            bytes.len() as u64,
            65 * threshold,
            "others than keys count without a chain"
        );
        let mut last = Address::ZERO;
        for entry in bytes.chunks(65) {
            let (rs, v) = entry.split_at(64);
            let (v, hash) = match v[0] {
                v @ (27 | 28) => (v, self.tx.hash()),
                v => (v - 4, eip191_hash_message(self.tx.hash())),
            };
            let signature = Signature::from_bytes_and_parity(rs, v == 28);
            let owner = signature.recover_address_from_prehash(&hash).unwrap();
            assert!(owner > last && self.owners.contains(&owner));
            last = owner;
        }
    }
}

fn r(signature: &Signature) -> B256 {
    signature.r().into()
}

/// A transaction as a Safe Transaction Service writes it, without its signatures.
pub(crate) fn posted(tx: &SafeTx) -> Value {
    let mut transaction = serde_json::to_value(tx.fields()).unwrap();
    for (name, number) in [
        ("value", 0),
        ("safeTxGas", 0),
        ("baseGas", 0),
        ("gasPrice", 0),
        ("nonce", 7),
    ] {
        transaction[name] = json!(number.to_string());
    }
    transaction["safe"] = json!(tx.domain().safe);
    transaction["safeTxHash"] = json!(tx.hash());
    transaction
}

/// The shapes in which tools write signatures.
fn files(tx: &SafeTx, owners: &[Address], plain: &[Signature], message: &[Signature]) -> Vec<Value> {
    let hex = |signature: &Signature| Bytes::from(signature.as_bytes().to_vec());
    let marked = |signature: &Signature| {
        let mut bytes = signature.as_bytes();
        bytes[64] += 4;
        Bytes::from(bytes.to_vec())
    };
    let confirmation = |at: usize| json!({"owner": owners[at], "signature": hex(&plain[at]), "signatureType": "EOA"});
    let mut transaction = posted(tx);
    transaction["confirmations"] = json!([confirmation(0), confirmation(1)]);
    vec![
        json!(hex(&plain[0])),
        json!([hex(&plain[0]), marked(&message[1]), hex(&plain[2])]),
        json!({
            "schema": "countersign.signature/1", "chainId": "8453", "safe": tx.domain().safe, "nonce": "7",
            "safeTxHash": tx.hash(), "owner": owners[0], "signature": hex(&plain[0])
        }),
        json!({"results": [confirmation(0), confirmation(2)], "next": null}),
        transaction,
        json!({"signer": owners[1], "data": marked(&message[1]), "isContractSignature": false}),
        json!({"data": {"nonce": 7}, "signatures": [
            [owners[0].to_string().to_lowercase(), {"signer": owners[0], "data": hex(&plain[0])}]
        ]}),
        json!({"address": owners[2], "signature": hex(&plain[2])}),
        json!({"r": r(&plain[0]), "s": B256::from(plain[0].s()), "v": 27 + u8::from(plain[0].v())}),
        json!({"signer": owners[2], "data": "0x1234", "isContractSignature": true}),
    ]
}
