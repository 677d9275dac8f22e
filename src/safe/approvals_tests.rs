//! Rules of signature sets.

use alloy::primitives::{U256, address};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;

use super::*;
use crate::chain::Call;
use crate::safe::{Intent, SafeDomain, check::check_signatures, version::SafeVersion};

fn tx() -> SafeTx {
    SafeTx::freeze(&Intent {
        domain: SafeDomain {
            chain_id: 8453,
            safe: address!("2222222222222222222222222222222222222222"),
            version: SafeVersion::V1_4_1,
        },
        nonce: U256::from(7),
        calls: vec![Call {
            to: Address::repeat_byte(1),
            value: U256::ZERO,
            data: vec![1, 2, 3, 4].into(),
        }],
        batcher: None,
        old_versions: false,
    })
    .unwrap()
}

fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[number; 32]).unwrap()
}

fn owner(number: u8) -> Address {
    key(number).address()
}

fn signed(number: u8) -> OwnerSignature {
    OwnerSignature::Eip712(key(number).sign_hash_sync(&tx().hash()).unwrap())
}

/// As wallets give it: nobody says that it is one of a message.
fn as_message(number: u8) -> OwnerSignature {
    let signature = key(number).sign_message_sync(tx().hash().as_slice()).unwrap();
    OwnerSignature::read(&signature.as_bytes()).unwrap()
}

fn contract(owner: Address) -> OwnerSignature {
    let data = Bytes::from(vec![owner.0[0]; 5]);
    OwnerSignature::Contract { owner, data }
}

fn facts(owners: impl IntoIterator<Item = Address>, threshold: u64) -> Facts {
    Facts {
        owners: owners.into_iter().collect(),
        threshold,
        ..Facts::default()
    }
}

fn set(signatures: impl IntoIterator<Item = OwnerSignature>, owners: &BTreeSet<Address>) -> SignatureSet {
    let mut set = SignatureSet::new(&tx());
    for signature in signatures {
        set.insert(signature, owners).unwrap();
    }
    set
}

/// The malleable twin of a key's signature: upper s and the other parity, as anybody can compute it.
fn upper(signature: &OwnerSignature) -> OwnerSignature {
    const ORDER: U256 =
        alloy::primitives::uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let other = |inner: &alloy::primitives::Signature| {
        alloy::primitives::Signature::new(inner.r(), ORDER - inner.s(), !inner.v())
    };
    match signature {
        OwnerSignature::Eip712(inner) => OwnerSignature::Eip712(other(inner)),
        OwnerSignature::EthSign(inner) => OwnerSignature::EthSign(other(inner)),
        untouched => untouched.clone(),
    }
}

#[test]
fn a_signature_with_the_upper_s_counts_and_is_packed_with_the_lower() {
    let facts = facts([owner(1), owner(2)], 2);
    let message = OwnerSignature::EthSign(key(2).sign_message_sync(tx().hash().as_slice()).unwrap());
    let lower = set([signed(1), message.clone()], &facts.owners);
    let changed = [signed(1), message].map(|one| upper(&one));
    assert!(changed.iter().all(OwnerSignature::has_upper_s));
    let mut raised = set(changed.clone(), &facts.owners);
    assert_eq!(raised, lower);
    let packed = raised.pack(&facts).unwrap();
    assert_eq!(packed, lower.pack(&facts).unwrap());
    let mut kinds: Vec<u8> = packed.bytes.chunks(65).map(|entry| entry[64]).collect();
    kinds.sort_unstable();
    assert!(matches!(kinds.as_slice(), [27 | 28, 31 | 32]), "{kinds:?}");
    assert_eq!(check_signatures(&packed.bytes, tx().hash(), &facts), Ok(packed.owners));
    // As bytes too, where a wallet does not say that it is one of a message.
    let unnamed = upper(&as_message(2));
    assert_eq!(raised.insert(unnamed, &facts.owners), Ok(Inserted::Same(owner(2))));
    // A copy with the other s is no second signature.
    assert_eq!(
        raised.insert(upper(&signed(1)), &facts.owners),
        Ok(Inserted::Same(owner(1)))
    );
    assert_eq!(raised.insert(signed(1), &facts.owners), Ok(Inserted::Same(owner(1))));
    // What a contract takes for its signature is left as it is, whatever its bytes look like.
    let data = Bytes::from(upper(&signed(1)).to_bytes().to_vec());
    let contract = OwnerSignature::Contract { owner: owner(3), data };
    assert!(!contract.has_upper_s());
    assert_eq!(contract.clone().normalised(), contract);
}

#[test]
fn m10_pitfall_46_signatures_are_packed_in_the_order_of_the_owners_as_numbers() {
    let facts = facts([owner(1), owner(2), owner(3)], 3);
    let forward = set([signed(1), signed(2), signed(3)], &facts.owners);
    let backward = set([signed(3), signed(2), signed(1)], &facts.owners);
    let packed = forward.pack(&facts).unwrap();
    assert_eq!(packed, backward.pack(&facts).unwrap());
    assert!(packed.owners.is_sorted());
    assert_eq!(check_signatures(&packed.bytes, tx().hash(), &facts), Ok(packed.owners));
}

#[test]
fn m8_m11_a_signature_by_nobody_who_owns_the_safe_is_not_kept() {
    let owners = [owner(1)].into();
    let mut set = SignatureSet::new(&tx());
    let refused = set.insert(signed(2), &owners);
    assert_eq!(refused, Err(SignatureError::NotAnOwner { signer: owner(2) }));
    let other = OwnerSignature::Eip712(key(1).sign_hash_sync(&B256::repeat_byte(1)).unwrap());
    assert!(matches!(
        set.insert(other, &owners),
        Err(SignatureError::NotAnOwner { .. })
    ));
    let stranger = contract(Address::repeat_byte(8));
    assert!(matches!(
        set.insert(stranger, &owners),
        Err(SignatureError::NotAnOwner { .. })
    ));
    assert!(set.by_owner().is_empty());
}

#[test]
fn m12_a_signature_of_the_hash_as_a_message_is_recognised_and_packed_with_its_own_v() {
    let facts = facts([owner(1)], 1);
    let set = set([as_message(1)], &facts.owners);
    assert!(matches!(set.by_owner()[&owner(1)], OwnerSignature::EthSign(_)));
    let packed = set.pack(&facts).unwrap();
    assert!([31, 32].contains(&packed.bytes[64]));
    assert_eq!(check_signatures(&packed.bytes, tx().hash(), &facts), Ok(vec![owner(1)]));
}

#[test]
fn i16_one_signature_is_kept_for_each_owner() {
    let owners = [owner(1)].into();
    let mut set = SignatureSet::new(&tx());
    let mut insert = |signature| set.insert(signature, &owners).unwrap();
    assert_eq!(
        insert(OwnerSignature::Approved { owner: owner(1) }),
        Inserted::New(owner(1))
    );
    assert_eq!(insert(signed(1)), Inserted::Replaced(owner(1)));
    assert_eq!(insert(signed(1)), Inserted::Same(owner(1)));
    assert_eq!(insert(as_message(1)), Inserted::Kept(owner(1)));
    assert_eq!(
        insert(OwnerSignature::Approved { owner: owner(1) }),
        Inserted::Kept(owner(1))
    );
    assert_eq!(set.by_owner()[&owner(1)], signed(1));
}

#[test]
fn m7_a_signature_of_a_former_owner_stays_out_and_is_named() {
    let then = facts([owner(1), owner(2), owner(3)], 2);
    let set = set([signed(1), signed(2), signed(3)], &then.owners);
    let now = facts([owner(2), owner(3)], 2);
    let packed = set.pack(&now).unwrap();
    assert!(!packed.owners.contains(&owner(1)));
    assert_eq!(set.standing(&now).doubtful, [(owner(1), Doubt::NotAnOwner)].into());
    let alone = facts([owner(3), owner(4)], 2);
    assert_eq!(set.pack(&alone).unwrap_err().0.counted, [owner(3)].into());
}

#[test]
fn m6_m9_too_few_signatures_are_counted_and_not_packed() {
    let facts = facts([owner(1), owner(2), owner(3)], 2);
    let set = set([signed(2)], &facts.owners);
    let too_few = set.pack(&facts).unwrap_err();
    assert_eq!(
        too_few.to_string(),
        "1 of the 2 signatures that the Safe asks for count"
    );
    assert_eq!(too_few.0.missing, [owner(1), owner(3)].into());
    assert!(set.pack(&Facts { threshold: 0, ..facts }).is_err());
}

#[test]
fn m13_a_contract_counts_only_once_it_confirmed_exactly_this_signature() {
    let owned = Address::repeat_byte(8);
    let mut facts = facts([owned], 1);
    let set = set([contract(owned)], &facts.owners);
    facts.confirmed.insert((owned, Bytes::from(vec![1])));
    assert_eq!(set.standing(&facts).doubtful, [(owned, Doubt::Unconfirmed)].into());
    facts.confirmed.insert((owned, Bytes::from(vec![8; 5])));
    let packed = set.pack(&facts).unwrap();
    assert_eq!(packed.bytes, contract(owned).to_bytes());
    assert_eq!(check_signatures(&packed.bytes, tx().hash(), &facts), Ok(vec![owned]));
}

#[test]
fn m14_pitfall_50_an_approval_counts_on_chain_or_by_the_sender_and_not_by_its_word() {
    let mut facts = facts([owner(1)], 1);
    let set = set([OwnerSignature::Approved { owner: owner(1) }], &facts.owners);
    assert_eq!(set.standing(&facts).doubtful, [(owner(1), Doubt::NotApproved)].into());
    assert!(set.pack(&facts).is_err());
    facts.executor = Some(owner(1));
    assert!(set.pack(&facts).is_ok());
    facts.executor = None;
    facts.approved.insert(owner(1));
    assert!(SignatureSet::new(&tx()).pack(&facts).is_ok());
}

#[test]
fn pitfall_48_more_signatures_than_needed_are_trimmed_to_those_that_need_no_chain() {
    let owned = Address::repeat_byte(8);
    let mut facts = facts([owner(1), owner(2), owner(3), owned], 2);
    facts.confirmed.insert((owned, Bytes::from(vec![8; 5])));
    facts.executor = Some(owner(3));
    let set = set([contract(owned), signed(1), as_message(2)], &facts.owners);
    let packed = set.pack(&facts).unwrap();
    assert_eq!(packed.bytes.len(), 2 * 65);
    assert_eq!(
        packed.owners.iter().copied().collect::<BTreeSet<_>>(),
        [owner(1), owner(2)].into()
    );
    assert_eq!(set.standing(&facts).counted.len(), 4);
}

#[test]
fn pitfall_49_offsets_are_computed_for_the_set_and_not_taken_over() {
    let contracts = [8, 5, 200].map(Address::repeat_byte);
    let mut facts = facts(contracts.into_iter().chain([owner(1)]), 4);
    facts.confirmed = contracts
        .iter()
        .map(|one| (*one, Bytes::from(vec![one.0[0]; 5])))
        .collect();
    let set = set(contracts.map(contract).into_iter().chain([signed(1)]), &facts.owners);
    let packed = set.pack(&facts).unwrap();
    let read = OwnerSignature::read_packed(&packed.bytes).unwrap();
    assert_eq!(read, set.by_owner().values().cloned().collect::<Vec<_>>());
    assert_eq!(check_signatures(&packed.bytes, tx().hash(), &facts), Ok(packed.owners));
}

#[test]
fn a_simulated_approval_of_every_owner_is_what_the_chain_would_take() {
    let mut facts = facts([owner(1), owner(2)], 2);
    facts.approved = facts.owners.clone();
    let bytes = prevalidated(&facts.owners);
    assert!(check_signatures(&bytes, tx().hash(), &facts).is_ok());
    facts.approved.clear();
    assert!(check_signatures(&bytes, tx().hash(), &facts).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_packed_is_exactly_the_threshold_and_the_safe_takes_it(
        signers in proptest::collection::btree_set(1u8..12, 0..6), others in proptest::collection::btree_set(1u8..12, 0..6),
        approved in proptest::collection::btree_set(1u8..12, 0..3), threshold in 1u64..5,
    ) {
        let all = signers.iter().chain(&others).map(|number| owner(*number));
        let mut facts = facts(all, threshold);
        let set = set(signers.iter().map(|number| signed(*number)), &facts.owners);
        facts.approved = approved.iter().map(|number| owner(*number)).collect();
        let agreed: BTreeSet<_> = signers.iter().map(|number| owner(*number)).chain(facts.approved.clone()).collect();
        let agreed = agreed.intersection(&facts.owners).count();
        match set.pack(&facts) {
            Ok(packed) => {
                prop_assert_eq!(packed.bytes.len() as u64, threshold * 65);
                prop_assert_eq!(check_signatures(&packed.bytes, tx().hash(), &facts), Ok(packed.owners));
            }
            Err(too_few) => prop_assert!(too_few.0.counted.len() == agreed && (agreed as u64) < threshold),
        }
    }
}

#[test]
fn a_contracts_signature_that_nobody_confirmed_keeps_the_owners_own_one_out_no_longer_than_until_it_comes() {
    let (real, data) = (contract(owner(3)), Bytes::from(vec![0x11; 65]));
    let OwnerSignature::Contract { data: taken, .. } = &real else {
        panic!("not a contract's")
    };
    let facts = Facts {
        confirmed: [(owner(3), taken.clone())].into(),
        ..facts([owner(1), owner(3)], 2)
    };
    let planted = OwnerSignature::Contract { owner: owner(3), data };
    let approval = OwnerSignature::Approved { owner: owner(3) };
    let mut collected = set([signed(1), approval.clone(), planted.clone()], &facts.owners);
    assert!(collected.pack(&facts).is_err());
    // What the chain does not confirm is nothing to publish.
    let sure: Vec<Address> = collected.clone().confirmed(&facts).by_owner().keys().copied().collect();
    assert_eq!(sure, [owner(1)]);
    let came = collected.insert(real, &facts.owners);
    assert_eq!(came, Ok(Inserted::Superseded(owner(3))));
    assert!(collected.pack(&facts).is_ok());
    // A claim of an approval says nothing that the chain does not say by itself.
    assert_eq!(collected.insert(approval, &facts.owners), Ok(Inserted::Kept(owner(3))));
    assert_eq!(
        set([signed(1)], &facts.owners).insert(signed(1), &facts.owners),
        Ok(Inserted::Same(owner(1)))
    );
}
