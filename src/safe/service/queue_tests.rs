//! Which nonce is free, whatever somebody else has put into the queue.

use super::super::record::Confirmation;
use super::super::tests::{SAFE, TO};
use super::*;
use crate::safe::{Operation, SafeTxFields};
use alloy::primitives::{Address, Bytes};
use proptest::prelude::*;

/// A proposal at `nonce`, told apart by `mark`; an approval stands for a signature.
fn proposal(nonce: u64, mark: u8, signed: bool) -> ServiceTx {
    let confirmation = Confirmation {
        owner: Address::repeat_byte(7),
        signature: None,
    };
    ServiceTx {
        safe: SAFE,
        fields: SafeTxFields::plain(TO, Bytes::new(), Operation::Call, U256::from(nonce)),
        claimed_hash: B256::with_last_byte(mark),
        proposer: None,
        delegate: None,
        trusted: signed,
        executed: false,
        transaction_hash: None,
        confirmations: if signed { vec![confirmation] } else { Vec::new() },
        agreed: signed.then(|| [Address::repeat_byte(7)].into()),
        origin: None,
    }
}

fn next(chain_nonce: u64, pending: &[ServiceTx]) -> NextNonce {
    next_nonce(U256::from(chain_nonce), pending)
}

fn gap(first: u64, last: u64) -> Gap {
    Gap {
        first: U256::from(first),
        last: U256::from(last),
    }
}

#[test]
fn pitfall_1_what_is_queued_is_not_competed_with() {
    let pending = [proposal(5, 1, true), proposal(6, 2, true), proposal(5, 3, true)];
    let next = next(5, &pending);
    assert_eq!(next.nonce, U256::from(7));
    assert!(next.competitors.is_empty() && next.gaps.is_empty());
    assert_eq!(super::at_nonce(U256::from(5), &pending).len(), 2);
}

#[test]
fn pitfall_2_nonces_that_nobody_holds_are_named() {
    let pending = [proposal(5, 1, true), proposal(8, 2, true), proposal(10, 3, true)];
    let next = next(5, &pending);
    assert_eq!(next.nonce, U256::from(6));
    assert_eq!(next.gaps, [gap(6, 7), gap(9, 9)]);
}

#[test]
fn pitfall_3_a_nonce_in_the_far_future_moves_nothing() {
    let mut absurd = proposal(5, 1, true);
    absurd.fields.nonce = U256::MAX;
    let next = next(5, &[absurd]);
    assert_eq!(next.nonce, U256::from(5));
    assert_eq!(next.gaps.len(), 1, "one gap, however wide");
}

#[test]
fn pitfall_4_what_nobody_signed_holds_no_nonce_and_is_named() {
    let mut lies = proposal(5, 1, false);
    lies.trusted = true;
    assert_eq!(next(5, &[lies]).nonce, U256::from(5), "trusted alone is a word");
    let mut untrusted = proposal(5, 2, true);
    untrusted.trusted = false;
    let found = next(5, &[untrusted]);
    assert_eq!(found.nonce, U256::from(5));
    assert_eq!(found.competitors, [B256::with_last_byte(2)]);
}

#[test]
fn pitfall_53_what_a_delegate_proposed_holds_no_nonce_before_an_owner_agrees() {
    let mut delegated = proposal(5, 1, false);
    delegated.trusted = true;
    delegated.delegate = Some(TO);
    let found = next(5, std::slice::from_ref(&delegated));
    assert_eq!(
        found.nonce,
        U256::from(5),
        "that it is a delegate is the service's word"
    );
    assert_eq!(found.competitors, [B256::with_last_byte(1)], "and it is named");
    delegated.agreed = Some([Address::repeat_byte(7)].into());
    assert_eq!(next(5, &[delegated]).nonce, U256::from(6));
}

#[test]
fn se2_s1_an_approval_that_nobody_looked_up_holds_no_nonce() {
    let mut told = proposal(5, 1, true);
    told.agreed = None;
    assert_eq!(next(5, std::slice::from_ref(&told)).nonce, U256::from(5));
    told.agreed = Some(BTreeSet::new());
    assert_eq!(told.unconfirmed(), [Address::repeat_byte(7)].into());
    assert_eq!(next(5, &[told]).nonce, U256::from(5));
}

#[test]
fn m22_what_the_service_says_about_execution_moves_nothing() {
    let mut executed = proposal(5, 1, true);
    executed.executed = true;
    assert_eq!(next(5, &[executed]).nonce, U256::from(6));
    let old = proposal(4, 1, true);
    assert_eq!(next(5, &[old]).nonce, U256::from(5), "the chain is past it");
}

proptest! {
    #[test]
    fn the_nonce_is_free_and_everything_below_it_is_held(
        chain_nonce in 0_u64..8, held in proptest::collection::vec(0_u64..16, 0..12), junk in proptest::collection::vec(0_u64..16, 0..6)
    ) {
        let mut pending: Vec<_> = held.iter().map(|nonce| proposal(*nonce, 1, true)).collect();
        pending.extend(junk.iter().map(|nonce| proposal(*nonce, 2, false)));
        let found = next(chain_nonce, &pending);
        let nonce: u64 = found.nonce.try_into().unwrap();
        prop_assert!(nonce >= chain_nonce && !held.contains(&nonce));
        prop_assert!((chain_nonce..nonce).all(|below| held.contains(&below)));
        let highest = held.iter().copied().filter(|held| *held > nonce).max().unwrap_or(nonce);
        let missing: Vec<u64> = (nonce..highest).filter(|one| !held.contains(one)).collect();
        let named: Vec<u64> = found.gaps.iter().flat_map(|gap| {
            let (first, last): (u64, u64) = (gap.first.try_into().unwrap(), gap.last.try_into().unwrap());
            first..=last
        }).collect();
        prop_assert_eq!(named, missing);
    }
}
