//! Rules of frozen transactions.

use alloy::primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::safe::deployments::{ALL, Contract};

const SAFE: Address = address!("2222222222222222222222222222222222222222");
const APP: Address = address!("1111111111111111111111111111111111111111");
const LIBRARY: Address = address!("9641d764fc13c8B624c04430C7356C1C7C8102e2");

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/safe.json")).unwrap()
}

fn get<T: serde::de::DeserializeOwned>(value: &Value, key: &str) -> T {
    serde_json::from_value(value[key].clone()).unwrap_or_else(|e| panic!("{key}: {e}"))
}

fn domain() -> SafeDomain {
    SafeDomain {
        chain_id: 8453,
        safe: SAFE,
        version: SafeVersion::V1_4_1,
    }
}

fn call(byte: u8) -> Call {
    let mut data = vec![0xdf, 0xc7, 0x72, 0x23];
    data.extend([byte; 32]);
    Call {
        to: APP,
        value: U256::ZERO,
        data: data.into(),
    }
}

fn intent(calls: Vec<Call>) -> Intent {
    Intent {
        domain: domain(),
        nonce: U256::from(7),
        calls,
        batcher: Some(LIBRARY),
        old_versions: false,
    }
}

fn one() -> SafeTx {
    SafeTx::freeze(&intent(vec![call(0xab)])).unwrap()
}

fn two() -> SafeTx {
    SafeTx::freeze(&intent(vec![call(0xab), call(0xcd)])).unwrap()
}

fn accept(fields: SafeTxFields) -> Result<SafeTx, SafeTxError> {
    SafeTx::accept(domain(), fields, false)
}

#[test]
fn type_hashes_are_those_of_the_type_strings() {
    let tx = |gas: &str| {
        keccak256(format!(
            "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 {gas},\
             uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
        ))
    };
    assert_eq!(tx("baseGas"), TX_TYPE);
    assert_eq!(tx("dataGas"), TX_TYPE_WITH_DATA_GAS);
    assert_eq!(
        keccak256("EIP712Domain(uint256 chainId,address verifyingContract)"),
        DOMAIN_TYPE
    );
    assert_eq!(
        keccak256("EIP712Domain(address verifyingContract)"),
        DOMAIN_TYPE_WITHOUT_CHAIN
    );
    assert_eq!(keccak256("SafeMessage(bytes message)"), MESSAGE_TYPE);
}

#[test]
fn hashes_agree_with_the_vectors() {
    for vector in vectors()["transactions"].as_array().unwrap() {
        for version in get::<Vec<SafeVersion>>(vector, "versions") {
            let domain = SafeDomain {
                chain_id: get(vector, "chain_id"),
                safe: get(vector, "safe"),
                version,
            };
            let operation = get(vector, "operation");
            let nonce = U256::from(get::<u64>(vector, "nonce"));
            let fields = SafeTxFields::plain(get(vector, "to"), get(vector, "data"), operation, nonce);
            let tx = SafeTx::accept(domain, fields, true).unwrap();
            let digests = tx.digests();
            let found = [digests.domain, digests.message, digests.safe_tx, tx.hash()];
            let wanted = ["domain", "message", "hash", "hash"].map(|key| get::<B256>(vector, key));
            assert_eq!(found, wanted, "{} {version}", vector["name"]);
            assert_eq!(keccak256(tx.preimage()), tx.hash());
        }
    }
}

#[test]
fn a_batch_agrees_with_the_vector() {
    let vectors = vectors();
    let vector = &vectors["batch"];
    let calls = vector["calls"].as_array().unwrap().iter().map(|call| Call {
        to: get(call, "to"),
        value: U256::ZERO,
        data: get(call, "data"),
    });
    let tx = SafeTx::freeze(&Intent {
        batcher: get(vector, "library"),
        ..intent(calls.collect())
    })
    .unwrap();
    assert_eq!(keccak256(batch_stream(&tx)), get::<B256>(vector, "data_hash"));
    assert_eq!(tx.digests().message, get::<B256>(vector, "message"));
    assert_eq!(tx.hash(), get::<B256>(vector, "hash"));
    assert_eq!(tx.fields().operation, Operation::DelegateCall);
}

/// What the vector's `data_hash` is of.
fn batch_stream(tx: &SafeTx) -> Bytes {
    tx.fields().data.clone()
}

#[test]
fn the_digest_of_the_data_is_the_one_of_erc_8213() {
    assert_eq!(one().digests().data, get::<B256>(&vectors(), "data_digest"));
}

#[test]
fn a_safe_that_owns_a_safe_approves_or_signs_as_the_vectors_say() {
    let vectors = vectors();
    let vector = &vectors["nested"];
    let child = SafeDomain {
        safe: get(vector, "child"),
        ..domain()
    };
    assert_eq!(child.separator(), get::<B256>(vector, "domain"));
    let approval = SafeTx::freeze(&Intent {
        domain: child,
        nonce: U256::from(get::<u64>(vector, "approve_nonce")),
        ..intent(vec![one().approve_hash_call()])
    })
    .unwrap();
    assert_eq!(approval.digests().message, get::<B256>(vector, "approve_message"));
    assert_eq!(approval.hash(), get::<B256>(vector, "approve_hash"));
    for (version, key) in [
        (SafeVersion::V1_3_0, "digest_parent_1_4_1"),
        (SafeVersion::V1_4_1, "digest_parent_1_4_1"),
        (SafeVersion::V1_5_0, "digest_parent_1_5_0"),
    ] {
        let parent = SafeTx::accept(SafeDomain { version, ..domain() }, one().fields().clone(), false).unwrap();
        assert_eq!(
            child.message_hash(&parent.owner_message()),
            get::<B256>(vector, key),
            "{version}"
        );
    }
}

#[test]
fn one_call_is_made_as_it_is_and_several_as_a_batch() {
    assert_eq!(
        one().fields(),
        &SafeTxFields::plain(APP, call(0xab).data, Operation::Call, U256::from(7))
    );
    assert_eq!(one().calls(), [call(0xab)]);
    assert_eq!(
        (two().fields().to, two().fields().operation),
        (LIBRARY, Operation::DelegateCall)
    );
    assert_eq!(two().calls(), [call(0xab), call(0xcd)]);
}

#[test]
fn m27_safes_before_1_3_0_are_refused_unless_asked_for_and_unknown_ones_always() {
    let with = |version, old_versions| {
        let domain = SafeDomain { version, ..domain() };
        let calls = vec![call(1)];
        SafeTx::freeze(&Intent {
            domain,
            old_versions,
            ..intent(calls)
        })
        .map(|tx| tx.hash())
    };
    let (old, new) = (SafeVersion::new(1, 1, 1), SafeVersion::new(1, 6, 0));
    assert_eq!(with(old, false), Err(SafeTxError::OldVersion { version: old }));
    assert!(with(old, true).is_ok());
    assert_eq!(with(new, true), Err(SafeTxError::UnknownVersion { version: new }));
}

#[test]
fn m18_pitfall_24_pitfall_44_gas_and_refund_fields_other_than_zero_are_refused() {
    let plain = one().fields().clone();
    let number = U256::from(1);
    let someone = Address::repeat_byte(9);
    let changed = [
        (
            "safeTxGas",
            SafeTxFields {
                safe_tx_gas: number,
                ..plain.clone()
            },
        ),
        (
            "baseGas",
            SafeTxFields {
                base_gas: number,
                ..plain.clone()
            },
        ),
        (
            "gasPrice",
            SafeTxFields {
                gas_price: number,
                ..plain.clone()
            },
        ),
        (
            "gasToken",
            SafeTxFields {
                gas_token: someone,
                ..plain.clone()
            },
        ),
        (
            "refundReceiver",
            SafeTxFields {
                refund_receiver: someone,
                ..plain
            },
        ),
    ];
    for (field, fields) in changed {
        assert_eq!(accept(fields), Err(SafeTxError::NotZero { field }));
    }
}

#[test]
fn m19_pitfall_38_a_delegate_call_to_anything_but_a_call_only_library_is_refused() {
    let batch = two().fields().clone();
    for known in ALL {
        let outcome = accept(SafeTxFields {
            to: known.address,
            ..batch.clone()
        });
        let listed = known.contract == Contract::MultiSendCallOnly && known.build != deployments::Build::EraVm;
        assert_eq!(outcome.is_ok(), listed, "{known:?}");
    }
    let outcome = accept(SafeTxFields { to: APP, ..batch });
    assert_eq!(outcome, Err(SafeTxError::NotABatcher { address: APP }));
}

#[test]
fn m20_more_or_other_calls_than_expected_are_refused() {
    let calls = [call(0xab), call(0xcd)];
    assert_eq!(two().expect_calls(&calls), Ok(()));
    let differ = |expected: &[Call]| match two().expect_calls(expected) {
        Err(SafeTxError::OtherCalls { index, .. }) => index,
        other => panic!("{other:?}"),
    };
    assert_eq!(differ(&calls[..1]), 1);
    assert_eq!(differ(&[call(0xab), call(0xcd), call(1)]), 2);
    assert_eq!(differ(&[call(0xcd), call(0xab)]), 0);
    assert_eq!(differ(&[]), 0);
}

#[test]
fn pitfall_40_a_call_to_nobody_is_refused_alone_and_in_a_batch() {
    let nobody = Call {
        to: Address::ZERO,
        ..call(1)
    };
    let refused = |calls| SafeTx::freeze(&intent(calls)).unwrap_err();
    assert_eq!(refused(vec![nobody.clone()]), SafeTxError::ZeroTarget { index: 0 });
    assert_eq!(refused(vec![call(1), nobody]), SafeTxError::ZeroTarget { index: 1 });
}

#[test]
fn pitfall_42_a_call_to_the_safe_itself_is_refused_alone_and_in_a_batch() {
    let own = Call { to: SAFE, ..call(1) };
    let empty = Call {
        data: Bytes::new(),
        ..own.clone()
    };
    let refused = |calls| SafeTx::freeze(&intent(calls)).unwrap_err();
    assert_eq!(refused(vec![own.clone()]), SafeTxError::SelfCall { index: 0 });
    assert_eq!(refused(vec![call(1), own]), SafeTxError::SelfCall { index: 1 });
    assert_eq!(refused(vec![empty, call(1)]), SafeTxError::SelfCall { index: 0 });
}

#[test]
fn pitfall_45_ether_is_refused_alone_and_in_a_batch() {
    let value = U256::from(1);
    let paid = Call { value, ..call(1) };
    let refused = |calls| SafeTx::freeze(&intent(calls)).unwrap_err();
    assert_eq!(refused(vec![paid.clone()]), SafeTxError::Value { index: 0, value });
    assert_eq!(refused(vec![call(1), paid]), SafeTxError::Value { index: 1, value });
    let fields = SafeTxFields {
        value,
        ..two().fields().clone()
    };
    assert_eq!(accept(fields), Err(SafeTxError::NotZero { field: "value" }));
}

#[test]
fn several_calls_need_a_library_and_none_is_no_transaction() {
    let refused = |calls| {
        let intent = Intent {
            batcher: None,
            ..intent(calls)
        };
        SafeTx::freeze(&intent).unwrap_err()
    };
    assert_eq!(refused(vec![call(1), call(2)]), SafeTxError::NoBatcher { calls: 2 });
    assert_eq!(refused(vec![]), SafeTxError::NothingToDo);
}

#[test]
fn a_rejection_is_recognised_and_nothing_else_is_taken_for_one() {
    let rejection = SafeTx::rejection(domain(), U256::from(7), false).unwrap();
    assert!(rejection.is_rejection());
    assert!(!one().is_rejection() && !two().is_rejection());
    assert_eq!(rejection.fields().nonce, one().fields().nonce);
}

#[test]
fn typed_data_names_every_field_and_what_the_version_calls_it() {
    let text = one().typed_data();
    assert_eq!(text["message"].as_object().unwrap().len(), 10);
    assert_eq!(text["types"]["EIP712Domain"][0]["name"], "chainId");
    assert_eq!(text["domain"]["chainId"], 8453);
    assert_eq!(text["message"]["nonce"], "7");
    let version = SafeVersion::new(0, 1, 0);
    let old = SafeTx::accept(SafeDomain { version, ..domain() }, one().fields().clone(), true).unwrap();
    let text = old.typed_data();
    assert_eq!(text["message"]["dataGas"], "0");
    assert_eq!(text["domain"].as_object().unwrap().len(), 1);
    assert_eq!(text["types"]["EIP712Domain"].as_array().unwrap().len(), 1);
}

#[test]
fn calldata_carries_the_ten_fields_and_the_signatures() {
    let signatures = Bytes::from(vec![7; 65]);
    let call = two().exec_call(&signatures);
    let read = execTransactionCall::abi_decode(&call.data).unwrap();
    assert_eq!((call.to, call.value), (SAFE, U256::ZERO));
    assert_eq!(
        (read.to, read.operation, read.data),
        (LIBRARY, 1, two().fields().data.clone())
    );
    assert_eq!(read.signatures, signatures);
}

#[test]
fn fields_read_back_from_json_and_unknown_ones_are_refused() {
    let mut text = serde_json::to_value(two().fields()).unwrap();
    assert_eq!(
        serde_json::from_value::<SafeTxFields>(text.clone()).unwrap(),
        *two().fields()
    );
    text["operation"] = 2.into();
    assert!(serde_json::from_value::<SafeTxFields>(text.clone()).is_err());
    text["operation"] = 1.into();
    text["operations"] = 1.into();
    assert!(serde_json::from_value::<SafeTxFields>(text).is_err());
}

fn any_fields() -> impl Strategy<Value = SafeTxFields> {
    let words = (
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
    );
    let addresses = (any::<[u8; 20]>(), any::<[u8; 20]>(), any::<[u8; 20]>());
    let data = proptest::collection::vec(any::<u8>(), 0..80);
    (words, addresses, data, any::<bool>()).prop_map(|(words, addresses, data, delegate)| SafeTxFields {
        to: addresses.0.into(),
        value: U256::from_be_bytes(words.0),
        data: data.into(),
        operation: if delegate {
            Operation::DelegateCall
        } else {
            Operation::Call
        },
        safe_tx_gas: U256::from_be_bytes(words.1),
        base_gas: U256::from_be_bytes(words.2),
        gas_price: U256::from_be_bytes(words.3),
        gas_token: addresses.1.into(),
        refund_receiver: addresses.2.into(),
        nonce: U256::from_be_bytes(words.4),
    })
}

proptest! {
    #[test]
    fn m26_the_hash_depends_on_every_field_the_chain_and_the_safe(fields in any_fields(), bit in 0u32..8) {
        let hash = fields.hash(&domain());
        let one = U256::from(1u8 << bit);
        let flip = |address: Address| {
            let mut bytes = address.into_array();
            bytes[5] ^= 1 << bit;
            Address::from(bytes)
        };
        let mut data = fields.data.to_vec();
        data.push(0);
        let operation = match fields.operation {
            Operation::Call => Operation::DelegateCall,
            Operation::DelegateCall => Operation::Call,
        };
        let changed = [
            SafeTxFields { to: flip(fields.to), ..fields.clone() },
            SafeTxFields { value: fields.value ^ one, ..fields.clone() },
            SafeTxFields { data: data.into(), ..fields.clone() },
            SafeTxFields { operation, ..fields.clone() },
            SafeTxFields { safe_tx_gas: fields.safe_tx_gas ^ one, ..fields.clone() },
            SafeTxFields { base_gas: fields.base_gas ^ one, ..fields.clone() },
            SafeTxFields { gas_price: fields.gas_price ^ one, ..fields.clone() },
            SafeTxFields { gas_token: flip(fields.gas_token), ..fields.clone() },
            SafeTxFields { refund_receiver: flip(fields.refund_receiver), ..fields.clone() },
            SafeTxFields { nonce: fields.nonce ^ one, ..fields.clone() },
        ];
        for other in changed {
            prop_assert_ne!(other.hash(&domain()), hash);
        }
        let chain_id = 8453 ^ (1 << bit);
        prop_assert_ne!(fields.hash(&SafeDomain { chain_id, ..domain() }), hash);
        prop_assert_ne!(fields.hash(&SafeDomain { safe: flip(SAFE), ..domain() }), hash);
    }

    #[test]
    fn what_is_accepted_makes_only_plain_calls_without_ether_or_refund(fields in any_fields()) {
        if let Ok(tx) = accept(fields) {
            prop_assert!(tx.calls().iter().all(|call| call.value.is_zero() && !call.to.is_zero()));
            prop_assert!(tx.fields().gas_price.is_zero() && tx.fields().safe_tx_gas.is_zero());
            prop_assert_eq!(tx.fields().operation, Operation::Call);
        }
    }

    #[test]
    fn one_changed_bit_of_a_batch_is_refused_or_found(place: prop::sample::Index, bit in 0u32..8) {
        let mut data = two().fields().data.to_vec();
        *place.get_mut(&mut data[..]) ^= 1 << bit;
        let changed = SafeTxFields { data: data.into(), ..two().fields().clone() };
        if let Ok(tx) = accept(changed) {
            prop_assert!(tx.expect_calls(two().calls()).is_err());
            prop_assert_ne!(tx.hash(), two().hash());
        }
    }
}

#[test]
fn a_mistaken_signature_is_explained_by_what_the_owner_did_sign() {
    use crate::safe::diagnose::{Mismatch, mismatch};
    let key = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let signer = key.address();
    let owners = [signer].into();
    let tx = one();
    let explain = |digest: B256| mismatch(&tx, &key.sign_hash_sync(&digest).unwrap(), &owners);
    let with = |domain: SafeDomain| tx.fields().hash(&domain);
    let nonce = U256::from(9);
    let later = SafeTxFields {
        nonce,
        ..tx.fields().clone()
    };
    assert_eq!(explain(later.hash(&domain())), Some(Mismatch::Nonce { signer, nonce }));
    let other = SafeDomain {
        chain_id: 1,
        ..domain()
    };
    assert_eq!(explain(with(other)), Some(Mismatch::Chain { signer, chain_id: 1 }));
    let version = SafeVersion::new(1, 2, 0);
    assert_eq!(
        explain(with(SafeDomain { version, ..domain() })),
        Some(Mismatch::Version { signer, version })
    );
    assert_eq!(explain(tx.digests().message), Some(Mismatch::MessageHash { signer }));
    assert_eq!(explain(keccak256(tx.hash())), Some(Mismatch::HashedTwice { signer }));
    let message = |bytes: &[u8]| mismatch(&tx, &key.sign_message_sync(bytes).unwrap(), &owners);
    assert_eq!(
        message(tx.hash().to_string().as_bytes()),
        Some(Mismatch::Text { signer })
    );
    assert_eq!(message(&tx.preimage()), Some(Mismatch::Preimage { signer }));
    assert_eq!(explain(B256::repeat_byte(3)), None);
}
