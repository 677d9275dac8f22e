//! Bytes read into effects: every kind, every way, and nothing that hides.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolCall;

use super::*;
use crate::abi::app::DstackApp as A;
use crate::abi::kms::DstackKms as K;
use crate::abi::safe::Safe::{approveHashCall, execTransactionCall};
use crate::abi::safe_itself::SafeItself as S;
use crate::abi::timelock::TimelockController as T;
use crate::chain::{
    Call, PolicyChange,
    timelock::{TimelockCalls, TimelockOperation},
};
use crate::safe::{Intent, SafeDomain, SafeTx, decode::decode, deployments};

const APP: Address = Address::repeat_byte(0xa1);
const SECOND: Address = Address::repeat_byte(0xa2);
const KMS: Address = Address::repeat_byte(0x35);
const SAFE: Address = Address::repeat_byte(0x5a);
const CHILD: Address = Address::repeat_byte(0x5b);
const LOCK: Address = Address::repeat_byte(0x71);
const EVIL: Address = Address::repeat_byte(0x66);
const HASH: B256 = B256::repeat_byte(0xc1);
const WORD: B256 = B256::repeat_byte(0xd0);

fn parties() -> Parties {
    Parties {
        apps: [(APP, Some("payments".to_owned())), (SECOND, None)].into(),
        kms: [KMS].into(),
        safes: [SAFE, CHILD].into(),
        timelock: Some(LOCK),
        known: Vec::new(),
    }
}

fn domain(safe: Address) -> SafeDomain {
    SafeDomain {
        chain_id: 8453,
        safe,
        version: "1.4.1".parse().unwrap(),
    }
}

fn frozen(calls: &[Call]) -> SafeTx {
    let libraries = deployments::batchers("1.4.1".parse().unwrap(), deployments::Build::Canonical);
    let batcher = libraries.first().map(|known| known.address);
    SafeTx::freeze(&Intent {
        domain: domain(SAFE),
        nonce: U256::from(7),
        calls: calls.to_vec(),
        batcher,
        old_versions: false,
    })
    .unwrap()
}

fn to(target: Address, call: &impl SolCall) -> Call {
    Call {
        to: target,
        value: U256::ZERO,
        data: call.abi_encode().into(),
    }
}

fn give() -> Call {
    PolicyChange::TransferOwnership(EVIL).call(APP)
}

fn add() -> Call {
    Call::add_compose_hash(APP, HASH)
}

fn sentences(effects: &[Effect]) -> Vec<&str> {
    effects.iter().map(|one| one.sentence.as_str()).collect()
}

/// Each function with where it belongs, and whether it is dangerous there.
fn table() -> Vec<(Call, bool)> {
    let calm = [
        of_the_policy(),
        vec![make(false), to(KMS, &K::registerAppCall { appId: APP })],
    ];
    let calm = calm.concat().into_iter().chain([to(LOCK, &T::cancelCall { id: WORD })]);
    let wild = [of_ownership(), of_a_looser_policy(), of_the_safe(), of_the_timelock()].concat();
    let calm = calm.map(|call| (call, false));
    calm.chain(wild.into_iter().map(|call| (call, true))).collect()
}

fn of_the_policy() -> Vec<Call> {
    let changes = [
        PolicyChange::AddComposeHash(HASH),
        PolicyChange::RemoveComposeHash(HASH),
        PolicyChange::AddDevice(WORD),
        PolicyChange::RemoveDevice(WORD),
        PolicyChange::AllowAnyDevice(false),
        PolicyChange::RequireTcbUpToDate(true),
        PolicyChange::AcceptOwnership(SAFE),
        PolicyChange::OfferOwnership(Address::ZERO),
    ];
    changes.map(|change| change.call(APP)).into()
}

/// What lets in machines that nobody listed, or whose firmware is old.
fn of_a_looser_policy() -> Vec<Call> {
    let changes = [
        PolicyChange::AllowAnyDevice(true),
        PolicyChange::RequireTcbUpToDate(false),
    ];
    changes.map(|change| change.call(APP)).into()
}

fn make(disabled: bool) -> Call {
    let call = K::deployAndRegisterApp_1Call {
        initialOwner: EVIL,
        disableUpgrades: disabled,
        requireTcbUpToDate: true,
        allowAnyDevice: false,
        initialDeviceId: WORD,
        initialComposeHash: HASH,
    };
    to(KMS, &call)
}

fn replace(data: &'static [u8]) -> A::upgradeToAndCallCall {
    A::upgradeToAndCallCall {
        newImplementation: EVIL,
        data: Bytes::from_static(data),
    }
}

fn of_ownership() -> Vec<Call> {
    vec![
        give(),
        to(APP, &A::renounceOwnershipCall {}),
        to(APP, &A::disableUpgradesCall {}),
        to(APP, &replace(&[])),
        to(KMS, &K::transferOwnershipCall { newOwner: EVIL }),
        to(KMS, &replace(&[1])),
        make(true),
    ]
}

fn of_the_safe() -> Vec<Call> {
    let (owner, threshold, before) = (EVIL, U256::from(1), APP);
    vec![
        to(SAFE, &S::addOwnerWithThresholdCall { owner, threshold }),
        to(
            SAFE,
            &S::removeOwnerCall {
                prevOwner: before,
                owner,
                threshold,
            },
        ),
        to(
            SAFE,
            &S::swapOwnerCall {
                prevOwner: before,
                oldOwner: SAFE,
                newOwner: owner,
            },
        ),
        to(SAFE, &S::changeThresholdCall { threshold }),
        to(SAFE, &S::enableModuleCall { module: EVIL }),
        to(
            SAFE,
            &S::disableModuleCall {
                prevModule: before,
                module: EVIL,
            },
        ),
        to(SAFE, &S::setGuardCall { guard: EVIL }),
        to(SAFE, &S::setModuleGuardCall { moduleGuard: EVIL }),
        to(SAFE, &S::setFallbackHandlerCall { handler: EVIL }),
        to(SAFE, &S::changeMasterCopyCall { masterCopy: EVIL }),
        to(SAFE, &approveHashCall { hashToApprove: WORD }),
    ]
}

fn of_the_timelock() -> Vec<Call> {
    let (role, account) = (keccak256("PROPOSER_ROLE"), EVIL);
    vec![
        to(LOCK, &T::grantRoleCall { role, account }),
        to(LOCK, &T::revokeRoleCall { role, account }),
        to(
            LOCK,
            &T::renounceRoleCall {
                role,
                callerConfirmation: account,
            },
        ),
        to(
            LOCK,
            &T::updateDelayCall {
                newDelay: U256::from(1),
            },
        ),
    ]
}

#[test]
fn sec_c5_every_function_that_is_known_is_one_effect_with_a_sentence_and_a_kind() {
    let mut seen = std::collections::BTreeSet::new();
    for (call, danger) in table() {
        let effects = parties().effects_of_calls(std::slice::from_ref(&call));
        let [effect] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!((effect.danger, effect.target), (danger, call.to), "{effect:?}");
        assert!(!matches!(effect.what, What::Unknown { .. }), "{effect:?}");
        assert!(effect.sentence.contains(&call.to.to_string()), "{effect:?}");
        assert!(
            seen.insert(effect.sentence.clone()),
            "two things are said alike: {effect:?}"
        );
        // The function's own page and this list know the same functions.
        assert!(decode(&call.data).is_some(), "{effect:?}");
    }
}

#[test]
fn sec_c5_at_a_contract_that_it_does_not_belong_to_everything_is_dangerous_and_besides() {
    for (call, _) in table() {
        let elsewhere = Call { to: EVIL, ..call };
        let effects = parties().effects_of_calls(&[elsewhere]);
        let shown = [(APP, HASH), (EVIL, HASH)];
        assert!(effects.iter().all(|effect| effect.danger), "{effects:?}");
        assert_eq!(besides(&effects, &shown).count(), effects.len(), "{effects:?}");
    }
    // A hash that is shown for one app and allowed on the other one is something else as well.
    let effects = parties().effects_of_calls(&[Call::add_compose_hash(SECOND, HASH)]);
    assert_eq!(besides(&effects, &[(APP, HASH)]).count(), 1);
}

#[test]
fn sec_h1_nothing_besides_is_only_where_all_that_happens_is_allowing_what_is_shown() {
    let shown = [(APP, HASH)];
    let alone = parties().effects_of_tx(&frozen(&[add()]));
    assert_eq!(besides(&alone, &shown).count(), 0);
    // The hash stands already, so that only the rest is called: all of it is listed.
    for call in table().into_iter().map(|(call, _)| call).filter(|call| *call != add()) {
        let effects = parties().effects_of_calls(std::slice::from_ref(&call));
        assert_eq!(besides(&effects, &shown).count(), 1, "{effects:?}");
        let effects = parties().effects_of_calls(&[add(), call]);
        assert_eq!(besides(&effects, &shown).count(), 1, "{effects:?}");
    }
}

#[test]
fn sec_c5_a_batch_is_read_call_by_call_the_dangerous_first() {
    let device = PolicyChange::AddDevice(WORD).call(APP);
    let effects = parties().effects_of_tx(&frozen(&[device.clone(), add(), give()]));
    assert!(effects[0].sentence.starts_with("GIVES THE APP AWAY"), "{effects:?}");
    assert_eq!(effects[0].hands_over(), Some(EVIL));
    let rest = sentences(&effects[1..]);
    assert!(
        rest[0].starts_with("allow device") && rest[1].starts_with("allow compose hash"),
        "{rest:?}"
    );
    let exec = frozen(&[device, add(), give()]).exec_call(&Bytes::from_static(&[1; 65]));
    let executed = parties().effects_of_calls(&[exec]);
    let what = |all: &[Effect]| -> Vec<What> { all.iter().map(|one| one.what.clone()).collect() };
    let mut whole = what(&executed);
    whole.retain(|one| *one != What::ExecuteSafeTransaction);
    assert_eq!(whole, what(&effects), "executing does what was signed");
}

#[test]
fn se2_t4_a_timelocks_operation_is_shown_with_its_id_its_delay_and_every_call_inside() {
    let operation = TimelockOperation {
        calls: TimelockCalls::Batch(vec![add(), give()]),
        predecessor: B256::repeat_byte(9),
        salt: B256::repeat_byte(8),
    };
    let tx = frozen(&[operation.schedule(LOCK, 172_800)]);
    let effects = parties().effects_of_tx(&tx);
    let said = sentences(&effects);
    assert!(
        said[0].starts_with("GIVES THE APP AWAY") && said[0].contains("later, by operation"),
        "{said:?}"
    );
    assert!(said[1].contains(&operation.id().to_string()), "{said:?}");
    assert!(said[1].contains("2 days (172800 seconds)"), "{said:?}");
    assert!(said[1].contains(&operation.predecessor.to_string()) && said[1].contains(&operation.salt.to_string()));
    assert!(said[2].starts_with("allow compose hash"), "{said:?}");
    assert_eq!(besides(&effects, &[(APP, HASH)]).count(), 1);
    let executed = parties().effects_of_calls(&[operation.execute(LOCK)]);
    assert_eq!(executed.len(), 3);
    assert_eq!(executed[0].by, [By::Executed(operation.id())]);
    let cancelled = parties().effects_of_calls(&[operation.cancel(LOCK)]);
    assert!(sentences(&cancelled)[0].starts_with("cancel operation"));
    assert_eq!(besides(&cancelled, &[(APP, HASH)]).count(), 1);
}

#[test]
fn sec_c5_an_approval_shows_what_it_approves_or_that_nobody_knows_what_that_is() {
    let parent = frozen(&[add(), give()]);
    let approve = parent.approve_hash_call();
    let blind = parties().effects_of_calls(std::slice::from_ref(&approve));
    assert!(
        blind[0].danger && blind[0].sentence.contains("SOMETHING UNKNOWN"),
        "{blind:?}"
    );
    let knowing = Parties {
        known: vec![parent.clone()],
        ..parties()
    };
    let seen = knowing.effects_of_calls(std::slice::from_ref(&approve));
    assert!(seen[0].sentence.starts_with("GIVES THE APP AWAY"), "{seen:?}");
    assert_eq!(seen.len(), 3);
    assert_eq!(besides(&seen, &[(APP, HASH)]).count(), 1);
    // The same hash at another Safe is something else, and so is another hash at this one.
    let other = Call { to: CHILD, ..approve };
    let word = to(SAFE, &approveHashCall { hashToApprove: WORD });
    for call in [other, word] {
        let effects = knowing.effects_of_calls(&[call]);
        assert!(effects.iter().all(|one| one.danger), "{effects:?}");
    }
}

#[test]
fn sec_c5_ether_refunds_and_foreign_code_are_effects_of_their_own() {
    let paying = Call {
        value: U256::from(5),
        ..add()
    };
    let effects = parties().effects_of_calls(&[paying]);
    assert!(
        effects[0].danger && effects[0].sentence.starts_with("SENDS"),
        "{effects:?}"
    );
    assert_eq!(effects.len(), 2);
    let exec = |operation: u8, to_: Address, price: u64| {
        let call = execTransactionCall {
            to: to_,
            value: U256::ZERO,
            data: add().data,
            operation,
            safeTxGas: U256::ZERO,
            baseGas: U256::ZERO,
            gasPrice: U256::from(price),
            gasToken: Address::ZERO,
            refundReceiver: Address::ZERO,
            signatures: Bytes::new(),
        };
        parties().effects_of_calls(&[to(SAFE, &call)])
    };
    let delegate = exec(1, APP, 0);
    assert!(matches!(delegate[0].what, What::DelegateCall), "{delegate:?}");
    assert!(delegate[0].danger);
    let refund = exec(0, APP, 3);
    assert!(matches!(refund[0].what, What::PayRefund { .. }), "{refund:?}");
    let plain = exec(0, APP, 0);
    assert_eq!(besides(&plain, &[(APP, HASH)]).count(), 0, "{plain:?}");
    // An operation that is neither a call nor a delegate call is nothing that can be read.
    assert!(exec(2, APP, 0).iter().all(|one| one.danger));
}

#[test]
fn sec_c5_what_cannot_be_read_in_one_way_is_said_to_be_unknown() {
    let longer = [&add().data[..], &[0]].concat();
    for data in [
        longer,
        add().data[..30].to_vec(),
        vec![1, 2, 3],
        vec![1, 2, 3, 4],
        Vec::new(),
    ] {
        let effects = parties().effects_of_calls(&[Call {
            data: data.into(),
            ..add()
        }]);
        assert!(matches!(effects[0].what, What::Unknown { .. }), "{effects:?}");
        assert!(
            effects[0].danger && effects[0].sentence.starts_with("UNKNOWN"),
            "{effects:?}"
        );
        assert_eq!(besides(&effects, &[(APP, HASH)]).count(), 1);
    }
    let mut deep = give();
    for _ in 0..12 {
        deep = TimelockOperation::of(vec![deep], WORD).unwrap().schedule(LOCK, 1);
    }
    let effects = parties().effects_of_calls(&[deep]);
    assert!(
        effects[0].danger && matches!(effects[0].what, What::TooDeep),
        "{effects:?}"
    );
}

#[test]
fn a_rejection_is_nothing_but_its_nonce_and_a_name_cannot_end_its_quotes() {
    let tx = SafeTx::rejection(domain(SAFE), U256::from(7), false).unwrap();
    let effects = parties().effects_of_tx(&tx);
    assert_eq!(effects.len(), 1);
    assert!(matches!(effects[0].what, What::UseUpNonce) && !effects[0].danger);
    let named = Parties {
        apps: [(APP, Some("a\") \u{202e}and no more\n".to_owned()))].into(),
        ..parties()
    };
    let said = named.effects_of_calls(&[add()])[0].sentence.clone();
    assert!(
        said.contains("\\\"") && !said.contains('\n') && !said.contains('\u{202e}'),
        "{said}"
    );
}
