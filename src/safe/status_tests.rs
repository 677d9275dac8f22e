//! What is decided from what was observed.

use std::collections::BTreeSet;

use alloy::primitives::{B256, Bytes, keccak256};

use super::*;
use crate::chain::BlockRef;
use crate::safe::{Intent, SafeDomain, approvals::Facts, info::SafeInfo, version::SafeVersion};

const APPROVER: Address = Address::repeat_byte(0x0a);

fn domain() -> SafeDomain {
    SafeDomain {
        chain_id: 31337,
        safe: Address::repeat_byte(0x5a),
        version: SafeVersion::V1_4_1,
    }
}

fn tx(nonce: u64) -> SafeTx {
    let call = crate::chain::Call {
        to: Address::repeat_byte(7),
        value: U256::ZERO,
        data: Bytes::from_static(&[1, 2, 3, 4]),
    };
    let intent = Intent {
        domain: domain(),
        nonce: U256::from(nonce),
        calls: vec![call],
        batcher: None,
        old_versions: false,
    };
    SafeTx::freeze(&intent).unwrap()
}

fn rejection(nonce: u64) -> B256 {
    SafeTx::rejection(domain(), U256::from(nonce), false).unwrap().hash()
}

fn other(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

/// Observed at block 100, when `next` is the Safe's nonce.
fn observed(next: u64, executions: Vec<Execution>) -> Observed {
    let owners = vec![APPROVER, Address::repeat_byte(0x0b)];
    let block = BlockRef {
        number: 100,
        ..BlockRef::default()
    };
    let info = SafeInfo {
        block,
        chain_id: 31337,
        address: domain().safe,
        version: domain().version,
        proxy_code_hash: B256::ZERO,
        singleton: Address::ZERO,
        singleton_code_hash: B256::ZERO,
        owners: owners.clone(),
        threshold: 1,
        nonce: U256::from(next),
        guard: None,
        module_guard: None,
        modules: Vec::new(),
        fallback_handler: None,
        fallback_handler_code_hash: None,
        fallback_handler_obeys: None,
        contract_owners: Vec::new(),
    };
    let facts = Facts {
        owners: owners.into_iter().collect(),
        threshold: 1,
        ..Facts::default()
    };
    Observed {
        look: Look {
            info,
            facts,
            hash_on_chain: None,
        },
        executions,
        effect_present: false,
    }
}

fn executed(hash: B256, block: u64, failed: bool) -> Execution {
    Execution {
        transaction: other(block),
        block: BlockRef {
            number: block,
            ..BlockRef::default()
        },
        safe_tx_hash: hash,
        failed,
        log_index: 0,
    }
}

fn of(tx: &SafeTx, observed: &Observed) -> SafeStatus {
    status(tx, &SignatureSet::new(tx), observed)
}

#[test]
fn m5_a_transaction_behind_others_lists_the_nonces_ahead_of_it() {
    let ahead = |nonce, next| match of(&tx(nonce), &observed(next, vec![])) {
        SafeStatus::Queued { ahead } => ahead.into_iter().map(|nonce| nonce.to::<u64>()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ahead(7, 5), [5, 6]);
    assert_eq!(ahead(1, 0), [0]);
    assert_eq!(ahead(1_000_000, 0), (0..64).collect::<Vec<_>>());
}

#[test]
fn m9_the_next_transaction_waits_for_signatures_until_the_threshold_is_reached() {
    let mut seen = observed(5, vec![]);
    assert!(matches!(of(&tx(5), &seen), SafeStatus::AwaitingSignatures(standing) if standing.counted.is_empty()));
    seen.look.facts.approved.insert(APPROVER);
    assert!(matches!(of(&tx(5), &seen), SafeStatus::Ready(standing) if standing.counted == BTreeSet::from([APPROVER])));
    seen.look.facts.threshold = 2;
    assert!(matches!(of(&tx(5), &seen), SafeStatus::AwaitingSignatures(_)));
    seen.look.facts.threshold = 0;
    assert!(matches!(of(&tx(5), &seen), SafeStatus::AwaitingSignatures(_)));
}

#[test]
fn its_own_execution_decides_and_m1_a_failure_inside_is_told_apart() {
    let (own, before) = (tx(5), executed(other(4), 10, false));
    let success = executed(own.hash(), 20, false);
    assert_eq!(
        of(&own, &observed(6, vec![before, success])),
        SafeStatus::Executed(success)
    );
    let failure = executed(own.hash(), 20, true);
    assert_eq!(
        of(&own, &observed(6, vec![before, failure])),
        SafeStatus::FailedInside(failure)
    );
}

#[test]
fn pitfall_6_an_executed_rejection_is_no_success_and_not_just_another_transaction() {
    let by = executed(rejection(5), 20, false);
    let seen = observed(6, vec![by]);
    assert_eq!(of(&tx(5), &seen), SafeStatus::Rejected { by });
    // The rejection of another nonce is another transaction.
    let elsewhere = executed(rejection(4), 20, false);
    let replaced = SafeStatus::Replaced { by: Some(elsewhere) };
    assert_eq!(of(&tx(5), &observed(6, vec![elsewhere])), replaced);
    let own = SafeTx::rejection(domain(), U256::from(5), false).unwrap();
    assert_eq!(of(&own, &seen), SafeStatus::Executed(by));
}

#[test]
fn m4_the_winner_of_a_taken_nonce_is_found_by_counting_back() {
    let list: Vec<Execution> = (0..8)
        .map(|number| executed(other(number), 10 + number, false))
        .collect();
    for nonce in 0..8_u64 {
        let by = list[usize::try_from(nonce).unwrap()];
        let found = of(&tx(nonce), &observed(8, list.clone()));
        assert_eq!(found, SafeStatus::Replaced { by: Some(by) });
        // What was executed after the look does not move the count.
        let mut more = list.clone();
        more.push(executed(other(8), 101, false));
        assert_eq!(of(&tx(nonce), &observed(8, more)), found);
    }
}

#[test]
fn pitfall_7_a_list_that_does_not_reach_back_leaves_it_unknown() {
    let list = vec![executed(other(6), 10, false), executed(other(7), 11, false)];
    assert_eq!(of(&tx(5), &observed(8, list.clone())), SafeStatus::Unknown);
    assert_eq!(
        of(&tx(6), &observed(8, list.clone())),
        SafeStatus::Replaced { by: Some(list[0]) }
    );
    assert_eq!(of(&tx(5), &observed(8, vec![])), SafeStatus::Unknown);
}

#[test]
fn events_that_cannot_be_the_safes_name_no_winner() {
    let list: Vec<Execution> = (0..4).map(|number| executed(other(number), 10, false)).collect();
    assert_eq!(of(&tx(1), &observed(3, list)), SafeStatus::Replaced { by: None });
}

#[test]
fn pitfall_18_the_effect_without_the_transaction_is_told_as_what_it_is() {
    let own = tx(5);
    let success = executed(own.hash(), 20, false);
    let failure = executed(own.hash(), 20, true);
    let rejected = executed(rejection(5), 20, false);
    let cases = [
        (3, vec![]),
        (5, vec![]),
        (6, vec![failure]),
        (6, vec![rejected]),
        (6, vec![executed(other(5), 20, false)]),
        (9, vec![]),
    ];
    for (next, executions) in cases {
        let mut seen = observed(next, executions);
        seen.effect_present = true;
        assert_eq!(of(&own, &seen), SafeStatus::EffectPresent);
    }
    let mut seen = observed(6, vec![success]);
    seen.effect_present = true;
    assert_eq!(of(&own, &seen), SafeStatus::Executed(success));
}
