//! Rules of reading one signature.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[number; 32]).unwrap()
}

fn signed(number: u8, hash: B256) -> OwnerSignature {
    OwnerSignature::Eip712(key(number).sign_hash_sync(&hash).unwrap())
}

fn hash() -> B256 {
    B256::repeat_byte(0x5a)
}

fn contract(number: u8, length: usize) -> OwnerSignature {
    OwnerSignature::Contract {
        owner: Address::repeat_byte(number),
        data: vec![number; length].into(),
    }
}

fn with_v(v: u8) -> Vec<u8> {
    let mut bytes = signed(1, hash()).to_bytes().to_vec();
    bytes[64] = v;
    bytes
}

#[test]
fn signatures_of_the_vectors_recover_to_their_owners() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/safe.json")).unwrap();
    for vector in vectors["signatures"].as_array().unwrap() {
        let get = |key: &str| vector[key].as_str().unwrap();
        let bytes: Bytes = get("bytes").parse().unwrap();
        let signature = OwnerSignature::read(&bytes).unwrap();
        let eth_sign = matches!(signature, OwnerSignature::EthSign(_));
        assert_eq!(eth_sign, get("kind") == "eth_sign");
        assert_eq!(
            signature.signer(get("hash").parse().unwrap()),
            Ok(get("owner").parse().unwrap())
        );
        assert_eq!(signature.to_bytes(), bytes);
    }
}

#[test]
fn pitfall_47_v_of_0_or_1_from_a_wallet_is_read_as_27_or_28() {
    for (raw, v) in [(0, 27), (1, 28)] {
        assert_eq!(OwnerSignature::read(&with_v(raw)), OwnerSignature::read(&with_v(v)));
    }
}

#[test]
fn m14_any_other_v_is_refused() {
    for v in (0..=255).filter(|v| ![0, 1, 27, 28, 31, 32].contains(v)) {
        assert_eq!(OwnerSignature::read(&with_v(v)), Err(SignatureError::UnknownKind { v }));
        assert_eq!(
            OwnerSignature::read_packed(&with_v(v)),
            Err(SignatureError::UnknownKind { v })
        );
    }
}

#[test]
fn i15_other_lengths_than_65_are_refused() {
    let bytes = with_v(27);
    for length in [0, 1, 63, 64] {
        assert_eq!(
            OwnerSignature::read(&bytes[..length]),
            Err(SignatureError::Length { found: length })
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(OwnerSignature::read(&longer), Err(SignatureError::Length { found: 66 }));
    assert!(OwnerSignature::read_packed(&longer).is_err());
    assert!(OwnerSignature::read_packed(&[]).is_err());
}

#[test]
fn i15_r_and_s_outside_the_curve_are_refused_and_the_upper_s_is_written_as_the_lower() {
    let place = |start: usize, number: U256| {
        let mut bytes = with_v(27);
        bytes[start..start + 32].copy_from_slice(&number.to_be_bytes::<32>());
        OwnerSignature::read(&bytes)
    };
    for number in [U256::ZERO, ORDER, ORDER + U256::from(1), U256::MAX] {
        assert_eq!(place(0, number), Err(SignatureError::OutOfRange { which: "r" }));
        assert_eq!(place(32, number), Err(SignatureError::OutOfRange { which: "s" }));
    }
    assert!(place(32, ORDER >> 1).is_ok());
    for low in [U256::from(1), ORDER >> 1] {
        let (upper, lower) = (place(32, ORDER - low).unwrap(), place(32, low).unwrap());
        assert!(upper.has_upper_s() && !lower.has_upper_s());
        assert_eq!(upper.to_bytes()[..64], lower.to_bytes()[..64]);
        // The parity goes with it.
        assert_eq!((upper.to_bytes()[64], lower.to_bytes()[64]), (28, 27));
        assert_eq!(upper.normalised().to_bytes()[64], 28);
    }
}

#[test]
fn an_approval_is_an_address_and_nothing_else() {
    let owner = Address::repeat_byte(9);
    let approval = OwnerSignature::Approved { owner };
    let bytes = approval.to_bytes().to_vec();
    assert_eq!(OwnerSignature::read(&bytes), Ok(approval.clone()));
    assert_eq!(OwnerSignature::read_packed(&bytes), Ok(vec![approval]));
    for (place, why) in [(0, SignatureError::Malformed), (11, SignatureError::Malformed)] {
        let mut changed = bytes.clone();
        changed[place] = 1;
        assert_eq!(OwnerSignature::read(&changed), Err(why));
    }
    let mut zero = [0; 65];
    zero[64] = 1;
    assert_eq!(OwnerSignature::read(&zero), Err(SignatureError::Malformed));
}

#[test]
fn m13_a_contracts_signature_stands_alone_with_its_data_right_behind() {
    let signature = contract(4, 50);
    let bytes = signature.to_bytes().to_vec();
    assert_eq!(bytes[..65][32..64], U256::from(65).to_be_bytes::<32>());
    assert_eq!(OwnerSignature::read(&bytes), Ok(signature));
    let mut gap = bytes.clone();
    gap.insert(65, 0);
    gap[63] += 1;
    assert_eq!(OwnerSignature::read(&gap), Err(SignatureError::Layout));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(OwnerSignature::read(&longer), Err(SignatureError::Layout));
    assert_eq!(
        OwnerSignature::read(&bytes[..bytes.len() - 1]),
        Err(SignatureError::Layout)
    );
}

#[test]
fn packed_signatures_with_gaps_overlaps_or_a_tail_are_refused() {
    let place = |offsets: [usize; 2], tail: usize| {
        let mut bytes = contract(4, 0).entry(U256::from(offsets[0]).into()).to_vec();
        bytes.extend(contract(5, 0).entry(U256::from(offsets[1]).into()));
        bytes.extend(vec![0; tail]);
        OwnerSignature::read_packed(&bytes)
    };
    let both = vec![contract(4, 0), contract(5, 0)];
    assert_eq!(place([130, 162], 64), Ok(both.clone()));
    assert_eq!(place([162, 130], 64), Ok(both));
    for (offsets, tail) in [
        ([130, 130], 32),
        ([130, 162], 65),
        ([130, 163], 65),
        ([130, 146], 64),
        ([129, 162], 64),
    ] {
        assert!(place(offsets, tail).is_err(), "{offsets:?} {tail}");
    }
}

#[test]
fn lengths_that_nobody_has_are_refused_without_reading_so_far() {
    let mut bytes = contract(4, 50).to_bytes().to_vec();
    bytes[65..97].fill(0xff);
    assert_eq!(OwnerSignature::read(&bytes), Err(SignatureError::TooLong));
    let many = with_v(27).repeat(MAX_ENTRIES + 1);
    assert_eq!(OwnerSignature::read_packed(&many), Err(SignatureError::TooLong));
}

proptest! {
    #[test]
    fn a_signature_reads_back_as_it_was_written(number in 1u8..255, bytes in any::<[u8; 32]>(), length in 1usize..200) {
        let hash = B256::from(bytes);
        for signature in [signed(number, hash), contract(number, length)] {
            prop_assert_eq!(OwnerSignature::read(&signature.to_bytes()), Ok(signature.clone()));
        }
        prop_assert_eq!(signed(number, hash).signer(hash), Ok(key(number).address()));
    }
    #[test]
    fn a_changed_bit_is_refused_or_gives_another_signer(number in 1u8..255, place in 0usize..65, bit in 0u32..8) {
        let signature = signed(number, hash());
        let mut bytes = signature.to_bytes().to_vec();
        bytes[place] ^= 1 << bit;
        if let Ok(changed) = OwnerSignature::read(&bytes) {
            prop_assert!(changed == signature || changed.signer(hash()) != Ok(key(number).address()));
        }
    }
    #[test]
    fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..3) {
        let mut bytes = bytes;
        if let Some(v) = bytes.get_mut(64) {
            *v = kind;
        }
        drop((OwnerSignature::read(&bytes), OwnerSignature::read_packed(&bytes)));
    }
}
