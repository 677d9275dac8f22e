//! Rules of finding our calls again.

use alloy::primitives::address;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::safe::deployments::{self, ALL, Contract};
use crate::safe::{Intent, version::SafeVersion};

const SAFE: Address = address!("2222222222222222222222222222222222222222");
const APP: Address = address!("1111111111111111111111111111111111111111");
const LIBRARY: Address = address!("9641d764fc13c8B624c04430C7356C1C7C8102e2");

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

fn fields(calls: &[Call], batcher: Address, nonce: u64) -> SafeTxFields {
    let tx = SafeTx::freeze(&Intent {
        domain: domain(),
        nonce: U256::from(nonce),
        calls: calls.to_vec(),
        batcher: Some(batcher),
        old_versions: false,
    });
    tx.unwrap().fields().clone()
}

fn elsewhere() -> Call {
    Call {
        to: Address::repeat_byte(9),
        ..call(1)
    }
}

fn different(recognition: Recognition) -> Difference {
    match recognition {
        Recognition::Different(difference) => difference,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pitfall_60_one_call_and_a_batch_are_recognised_at_any_nonce_and_through_any_library() {
    let (one, two) = ([call(1)], [call(1), call(2)]);
    for nonce in [0, 7, 1_000_000] {
        assert_eq!(
            recognise(&fields(&one, LIBRARY, nonce), &domain(), &one),
            Recognition::Same
        );
        let libraries: Vec<_> = ALL
            .iter()
            .filter(|known| deployments::batcher(known.address).is_some())
            .collect();
        assert!(libraries.len() >= 3);
        for known in libraries {
            let batch = fields(&two, known.address, nonce);
            assert_eq!(recognise(&batch, &domain(), &two), Recognition::Same, "{known:?}");
            let data = batch::encode(&one);
            let alone = SafeTxFields::plain(known.address, data, Operation::DelegateCall, U256::from(nonce));
            assert_eq!(recognise(&alone, &domain(), &one), Recognition::Same, "{known:?}");
        }
    }
}

#[test]
fn pitfall_60_a_hash_alone_tells_that_it_is_ours_and_at_which_nonce() {
    let (one, two) = ([call(1)], [call(1), call(2)]);
    let nonces = || (0..20_u64).rev().map(U256::from);
    for library in ALL.iter().filter(|known| deployments::batcher(known.address).is_some()) {
        for (calls, nonce) in [(&one[..], 3), (&two[..], 19)] {
            let alone = fields(calls, library.address, nonce);
            let data = batch::encode(calls);
            let batch = SafeTxFields::plain(library.address, data, Operation::DelegateCall, U256::from(nonce));
            for fields in [alone, batch] {
                let found = recognise_hash(fields.hash(&domain()), &domain(), calls, nonces()).unwrap();
                assert_eq!(*found.fields(), fields);
            }
        }
    }
    let ours = fields(&two, LIBRARY, 7);
    let hash = ours.hash(&domain());
    let elsewhere_in_order = [call(2), call(1)];
    assert_eq!(recognise_hash(hash, &domain(), &elsewhere_in_order, nonces()), None);
    assert_eq!(recognise_hash(hash, &domain(), &one, nonces()), None);
    assert_eq!(recognise_hash(hash, &domain(), &two, (8..20_u64).map(U256::from)), None);
    let paid = SafeTxFields {
        gas_price: U256::from(1),
        ..ours
    };
    assert_eq!(recognise_hash(paid.hash(&domain()), &domain(), &two, nonces()), None);
}

#[test]
fn pitfall_62_an_edited_batch_is_ours_but_different_and_the_first_difference_is_named() {
    let ours = [call(1), call(2)];
    let compare = |theirs: &[Call]| different(recognise(&fields(theirs, LIBRARY, 7), &domain(), &ours));
    assert_eq!(compare(&[call(1)]), Difference::Missing { index: 1 });
    assert_eq!(
        compare(&[call(1), call(2), elsewhere()]),
        Difference::Extra {
            index: 2,
            to: elsewhere().to
        }
    );
    let text = compare(&[call(2), call(1)]).to_string();
    assert!(text.starts_with("the data of call 0 is 0xdfc772230202"), "{text}");
    let text = compare(&[call(1), elsewhere()]).to_string();
    assert_eq!(text, format!("the target of call 1 is {}, not {APP}", elsewhere().to));
    let long = Call {
        data: vec![7; 1000].into(),
        ..call(1)
    };
    let text = compare(&[call(1), long.clone()]).to_string();
    let expected = format!("the data of call 1 is 1000 bytes with the digest {}", long.digest());
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn m18_m19_our_calls_with_gas_refund_ether_or_another_library_are_refused_not_recognised() {
    let ours = [call(1), call(2)];
    let compare = |change: &dyn Fn(&mut SafeTxFields)| {
        let mut fields = fields(&ours, LIBRARY, 7);
        change(&mut fields);
        different(recognise(&fields, &domain(), &ours))
    };
    let one = U256::from(1);
    type Change = fn(&mut SafeTxFields);
    let changes: [(Change, &str); 6] = [
        (|fields| fields.safe_tx_gas = U256::from(1), "safeTxGas"),
        (|fields| fields.base_gas = U256::from(1), "baseGas"),
        (|fields| fields.gas_price = U256::from(1), "gasPrice"),
        (|fields| fields.gas_token = APP, "gasToken"),
        (|fields| fields.refund_receiver = APP, "refundReceiver"),
        (|fields| fields.value = U256::from(1), "value"),
    ];
    for (change, field) in changes {
        assert_eq!(compare(&change), Difference::Refused(SafeTxError::NotZero { field }));
    }
    let multi_send = ALL.iter().find(|known| known.contract == Contract::MultiSend).unwrap();
    for address in [multi_send.address, Address::repeat_byte(8)] {
        assert_eq!(
            compare(&|fields| fields.to = address),
            Difference::Refused(SafeTxError::NotABatcher { address })
        );
    }
    // As a call, the library would act for itself: nothing of ours happens.
    let mut plain = fields(&ours, LIBRARY, 7);
    plain.operation = Operation::Call;
    assert_eq!(recognise(&plain, &domain(), &ours), Recognition::NotOurs);
    let with_tail = compare(&|fields| fields.data = [&fields.data[..], &[0; 32]].concat().into());
    assert!(
        matches!(with_tail, Difference::Refused(SafeTxError::Batch(_))),
        "{with_tail:?}"
    );
    let ether = Call { value: one, ..call(1) };
    let fields = SafeTxFields {
        value: one,
        ..SafeTxFields::plain(APP, ether.data.clone(), Operation::Call, U256::ZERO)
    };
    assert!(matches!(
        different(recognise(&fields, &domain(), &[call(1)])),
        Difference::Refused(SafeTxError::Value { index: 0, .. })
    ));
}

#[test]
fn what_goes_elsewhere_is_not_ours() {
    let ours = [call(1)];
    let rejection = SafeTx::rejection(domain(), U256::from(7), false).unwrap();
    let payment = SafeTxFields {
        value: U256::from(1),
        ..SafeTxFields::plain(elsewhere().to, Bytes::new(), Operation::Call, U256::ZERO)
    };
    let takeover = SafeTxFields::plain(elsewhere().to, vec![1; 4].into(), Operation::DelegateCall, U256::ZERO);
    for candidate in [
        rejection.fields().clone(),
        fields(&[elsewhere()], LIBRARY, 7),
        fields(&[elsewhere(), elsewhere()], LIBRARY, 7),
        payment,
        takeover,
    ] {
        assert_eq!(recognise(&candidate, &domain(), &ours), Recognition::NotOurs);
    }
    assert_eq!(
        recognise(&fields(&ours, LIBRARY, 7), &domain(), &[]),
        Recognition::NotOurs
    );
}

#[test]
fn pitfall_61_a_batch_file_for_another_safe_or_chain_is_not_ours_to_sign() {
    let ours = [call(1), call(2)];
    let file = Batch {
        chain_id: 8453,
        safe: Some(SAFE),
        name: String::new(),
        description: String::new(),
        created_at: Some(Timestamp::UNIX_EPOCH),
        calls: ours.to_vec(),
    };
    assert_eq!(recognise_batch(&file, &domain(), &ours), Recognition::Same);
    let unnamed = Batch {
        safe: None,
        ..file.clone()
    };
    assert_eq!(recognise_batch(&unnamed, &domain(), &ours), Recognition::Same);
    let (found, expected) = (APP, SAFE);
    let other = Batch {
        safe: Some(APP),
        ..file.clone()
    };
    assert_eq!(
        recognise_batch(&other, &domain(), &ours),
        Recognition::Different(Difference::Safe { found, expected })
    );
    let (found, expected) = (1, 8453);
    let other = Batch {
        chain_id: 1,
        ..file.clone()
    };
    assert_eq!(
        recognise_batch(&other, &domain(), &ours),
        Recognition::Different(Difference::Chain { found, expected })
    );
    let other = Batch {
        calls: vec![call(1), call(3)],
        ..file.clone()
    };
    assert!(matches!(
        different(recognise_batch(&other, &domain(), &ours)),
        Difference::Call { index: 1, .. }
    ));
    let other = Batch {
        calls: vec![elsewhere()],
        ..file
    };
    assert_eq!(recognise_batch(&other, &domain(), &ours), Recognition::NotOurs);
}

fn event(nonce: u64) -> SafeMultiSigTransaction {
    let fields = fields(&[call(1)], LIBRARY, nonce);
    SafeMultiSigTransaction {
        to: fields.to,
        value: fields.value,
        data: fields.data,
        operation: 0,
        safeTxGas: U256::ZERO,
        baseGas: U256::ZERO,
        gasPrice: U256::ZERO,
        gasToken: Address::ZERO,
        refundReceiver: Address::ZERO,
        signatures: vec![1, 2, 3].into(),
        additionalInfo: (U256::from(nonce), APP, U256::from(2)).abi_encode().into(),
    }
}

#[test]
fn an_l2_safes_announcement_gives_the_transaction_back() {
    let topic = [SafeMultiSigTransaction::SIGNATURE_HASH];
    let data = event(7).encode_data();
    let read = Announced::read(&topic, &data).unwrap();
    assert_eq!(read.fields, fields(&[call(1)], LIBRARY, 7));
    assert_eq!((read.signatures.as_ref(), read.sender), (&[1, 2, 3][..], APP));
    assert_eq!(Announced::read(&[B256::ZERO], &data), None);
    assert_eq!(Announced::read(&[topic[0], topic[0]], &data), None);
    assert_eq!(Announced::read(&[], &data), None);
    let more = [&data[..], &[0; 32]].concat();
    assert_eq!(Announced::read(&topic, &more), None);
    let mut delegate = event(7);
    delegate.operation = 2;
    assert_eq!(Announced::read(&topic, &delegate.encode_data()), None);
    let mut short = event(7);
    short.additionalInfo = vec![0; 64].into();
    assert_eq!(Announced::read(&topic, &short.encode_data()), None);
}

proptest! {
    #[test]
    fn no_event_makes_the_reader_fail(place: prop::sample::Index, byte: u8, cut in 0usize..64) {
        let mut data = event(7).encode_data();
        *place.get_mut(&mut data[..]) ^= byte;
        data.truncate(data.len() - cut);
        let topic = [SafeMultiSigTransaction::SIGNATURE_HASH];
        drop(Announced::read(&topic, &data));
    }
    #[test]
    fn a_changed_byte_is_never_recognised(place: prop::sample::Index, bits in 1u8.., batch: bool) {
        let ours = if batch { vec![call(1), call(2)] } else { vec![call(1)] };
        let mut fields = fields(&ours, LIBRARY, 7);
        let mut data = fields.data.to_vec();
        *place.get_mut(&mut data[..]) ^= bits;
        fields.data = data.into();
        prop_assert_ne!(recognise(&fields, &domain(), &ours), Recognition::Same);
    }
}
