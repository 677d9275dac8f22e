//! The Safe transaction of an upgrade: chosen once, rebuilt, told to others and read back.

use alloy::primitives::{Address, B256, U256};
use alloy::signers::SignerSync as _;

use super::*;
use crate::code::Code;
use crate::compose::{Form, Verification};
use crate::upgrade::record::event::{Event, Identity, Preparation};
use crate::upgrade::sample::{APP, hash, now, owner_keys, safe, safe_plan};
use crate::upgrade::{
    Upgrade, UpgradeError,
    model::Proposal,
    record::{State, Step},
};

fn frozen() -> FrozenSafeTx {
    let calls = safe_plan().calls_with(Some(hash()));
    choose(&calls).unwrap()
}

fn choose(calls: &[Call]) -> Result<FrozenSafeTx, UpgradeError> {
    let intent = Intent {
        domain: domain(&safe()),
        nonce: U256::from(7),
        calls: calls.to_vec(),
        batcher: None,
        old_versions: true,
    };
    FrozenSafeTx::choose(&intent, Stage::Policy, safe().block)
}

fn signature(which: usize, digest: B256) -> Bytes {
    let signature = owner_keys()[which].sign_hash_sync(&digest).unwrap();
    Bytes::from(signature.as_bytes().to_vec())
}

fn by(which: usize, rejects: bool) -> Event {
    let frozen = frozen();
    let tx = SafeTx::accept(frozen.domain, frozen.transaction, false).unwrap();
    let rejection = SafeTx::rejection(*tx.domain(), U256::from(7), false).unwrap();
    let digest = if rejects { rejection.hash() } else { tx.hash() };
    Event::SafeSignature {
        owner: owner_keys()[which].address(),
        signature: signature(which, digest),
        role: if rejects {
            SafeTxRole::Rejection
        } else {
            SafeTxRole::Approval
        },
        source: "key".to_owned(),
    }
}

fn verified() -> Vec<Event> {
    let how = Verification::Verified { form: Form::Sorted };
    vec![
        Event::Open(Identity {
            schema: crate::upgrade::record::journal::SCHEMA,
            update: "u-1".to_owned(),
            cvm: Some("app-1".to_owned()),
            app: APP,
            chain_id: 31337,
            cloud: Some("127.0.0.1".to_owned()),
        }),
        Event::Plan(Box::new(safe_plan())),
        Event::PrepareOk(Preparation {
            hash: hash(),
            token_sha256: None,
            at: now(),
            expires: now(),
            request_id: None,
            adopted: false,
        }),
        Event::Verified { hash: hash(), how },
    ]
}

fn state(more: impl IntoIterator<Item = Event>) -> State {
    State::fold(verified().into_iter().chain(more)).unwrap()
}

fn stops(result: Result<impl std::fmt::Debug, UpgradeError>, code: Code) {
    match result {
        Err(UpgradeError::Stop(stop)) => assert_eq!(stop.code, code, "{stop}"),
        other => panic!("expected a stop, found {other:?}"),
    }
}

#[test]
fn a_safe_transaction_is_chosen_before_anybody_is_asked() {
    assert_eq!(state([]).next(), Step::Freeze);
    let frozen = state([Event::SafeFrozen(Box::new(frozen()))]);
    assert_eq!(frozen.next(), Step::Approve);
    let facts = frozen.status().facts;
    assert_eq!(facts.safe_nonce.as_deref(), Some("7"));
    assert_eq!(facts.threshold, Some(2));
    assert_eq!(facts.signed_by, Some(Vec::new()));
}

#[test]
fn an_intent_has_one_nonce_until_that_one_is_used_up() {
    let mut state = state([Event::SafeFrozen(Box::new(frozen())), by(0, false)]);
    let again = Event::SafeFrozen(Box::new(frozen()));
    assert!(state.check(&again).is_err());
    state
        .apply(Event::SafeGone {
            why: "taken".to_owned(),
        })
        .unwrap();
    state.apply(again).unwrap();
    assert!(
        state
            .ceremony()
            .unwrap()
            .unwrap()
            .approval
            .signatures
            .by_owner()
            .is_empty()
    );
}

#[test]
fn signatures_count_for_the_transaction_that_they_are_for() {
    let state = state([
        Event::SafeFrozen(Box::new(frozen())),
        by(0, false),
        by(1, true),
        Event::SafeSignature {
            owner: Address::repeat_byte(9),
            signature: signature(2, B256::repeat_byte(1)),
            role: SafeTxRole::Approval,
            source: "file".to_owned(),
        },
    ]);
    let ceremony = state.ceremony().unwrap().unwrap();
    let owners = |signed_tx: &SignedSafeTx| signed_tx.signatures.by_owner().keys().copied().collect::<Vec<_>>();
    assert_eq!(owners(&ceremony.approval), [owner_keys()[0].address()]);
    assert_eq!(owners(&ceremony.rejection), [owner_keys()[1].address()]);
    assert!(ceremony.rejection.tx.is_rejection());
}

#[test]
fn a_proposal_tells_the_ceremony_and_is_read_back_as_it() {
    let state = state([
        Event::SafeFrozen(Box::new(frozen())),
        by(0, false),
        by(2, false),
        by(1, true),
    ]);
    let proposal = Proposal::of(&state).unwrap();
    let again = State::fold(proposal.clone().events()).unwrap();
    assert_eq!(again.ceremony().unwrap(), state.ceremony().unwrap());
    assert_eq!(Proposal::of(&again).unwrap().safe, proposal.safe);
    assert_eq!(proposal.ceremony().unwrap(), state.ceremony().unwrap());
}

#[test]
fn whatever_is_changed_in_a_section_stops_it() {
    let state = state([Event::SafeFrozen(Box::new(frozen())), by(0, false), by(1, true)]);
    let proposal = Proposal::of(&state).unwrap();
    let changed = |change: &dyn Fn(&mut SafeSection)| {
        let mut proposal = proposal.clone();
        change(proposal.safe.as_mut().unwrap());
        proposal.ceremony().map(drop)
    };
    changed(&|_| {}).unwrap();
    stops(changed(&|safe| safe.frozen.domain.chain_id = 1), Code::ProposalChanged);
    stops(changed(&|safe| safe.frozen.domain.safe = APP), Code::ProposalChanged);
    stops(changed(&|safe| safe.frozen.transaction.to = OTHER), Code::SafeTxRefused);
    stops(
        changed(&|safe| safe.frozen.transaction.gas_price = U256::from(1)),
        Code::SafeTxRefused,
    );
    stops(
        changed(&|safe| safe.frozen.transaction.nonce = U256::from(8)),
        Code::ProposalChanged,
    );
    stops(
        changed(&|safe| safe.digests.safe_tx = B256::ZERO),
        Code::ProposalChanged,
    );
    stops(
        changed(&|safe| safe.digests.message = B256::ZERO),
        Code::ProposalChanged,
    );
    stops(changed(&|safe| safe.signatures[0].owner = OTHER), Code::ProposalChanged);
    stops(
        changed(&|safe| safe.signatures[0].signature = signature(1, B256::repeat_byte(3))),
        Code::ProposalChanged,
    );
    stops(
        changed(&|safe| safe.rejection.as_mut().unwrap().digests.safe_tx = B256::ZERO),
        Code::ProposalChanged,
    );
    stops(
        changed(&|safe| {
            let approval = safe.signatures.clone();
            safe.rejection.as_mut().unwrap().signatures = approval;
        }),
        Code::ProposalChanged,
    );
}

const OTHER: Address = Address::repeat_byte(0x77);

#[test]
fn several_calls_need_a_library() {
    let mut calls = safe_plan().calls_with(Some(hash()));
    calls.push(crate::chain::PolicyChange::AddDevice(B256::repeat_byte(4)).call(APP));
    let alone = choose(&calls);
    assert!(
        matches!(
            alone,
            Err(UpgradeError::Decide {
                code: Code::SafeNoBatcher,
                ..
            })
        ),
        "{alone:?}"
    );
}

#[test]
fn a_signature_that_proves_itself_takes_the_place_of_one_that_only_a_chain_can_check_and_never_the_other_way() {
    let owner = owner_keys()[0].address();
    let weak = OwnerSignature::Contract {
        owner,
        data: Bytes::from_static(&[1, 2, 3]),
    };
    let weak = Event::SafeSignature {
        owner,
        signature: weak.to_bytes(),
        role: SafeTxRole::Approval,
        source: "file".to_owned(),
    };
    let proposal = |signature: &Event| {
        let state = state([Event::SafeFrozen(Box::new(frozen())), signature.clone()]);
        Proposal::of(&state).unwrap()
    };
    let (weak, strong) = (proposal(&weak), proposal(&by(0, false)));
    let kept = |first: &Proposal, second: &Proposal| {
        let dir = tempfile::tempdir().unwrap();
        Upgrade::adopt(dir.path(), first.clone()).unwrap();
        let upgrade = Upgrade::adopt(dir.path(), second.clone()).unwrap();
        Proposal::of(upgrade.state()).unwrap().safe.unwrap().signatures
    };
    let strongest = strong.safe.as_ref().unwrap().signatures.clone();
    assert_eq!(kept(&weak, &strong), strongest);
    assert_eq!(kept(&strong, &weak), strongest);
    assert_eq!(kept(&weak, &weak), weak.safe.as_ref().unwrap().signatures.clone());
}

#[test]
fn a_signature_that_does_not_count_keeps_no_owner_from_another_one() {
    let owner = owner_keys()[0].address();
    let void = Event::SafeSignature {
        owner,
        signature: signature(0, B256::repeat_byte(3)),
        role: SafeTxRole::Approval,
        source: "file".to_owned(),
    };
    let state = state([Event::SafeFrozen(Box::new(frozen())), void]);
    let mut ceremony = state.ceremony().unwrap().unwrap();
    let owners = safe().owner_set();
    let hash = ceremony.hash();
    assert!(ceremony.take(SafeTxRole::Approval, &signature(0, hash), &owners));
    assert!(
        !ceremony.take(SafeTxRole::Approval, &signature(0, hash), &owners),
        "the same again"
    );
    assert!(!ceremony.take(SafeTxRole::Approval, &signature(0, B256::ZERO), &owners));
    assert!(!ceremony.take(SafeTxRole::Nested(OTHER), &signature(1, hash), &owners));
}
