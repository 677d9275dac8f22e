//! What calls a change makes, what shows that it was made, and what does not.

use alloy::primitives::{Log as Inner, LogData, b256};

use super::*;

const APP: Address = Address::repeat_byte(0xa1);
const HASH: B256 = B256::repeat_byte(0xab);
const SOMEBODY: Address = Address::repeat_byte(0x5b);

fn log(address: Address, topics: Vec<B256>, data: &[u8]) -> Log {
    Log {
        inner: Inner {
            address,
            data: LogData::new_unchecked(topics, data.to_vec().into()),
        },
        log_index: Some(4),
        ..Log::default()
    }
}

/// The event that a DstackApp emits for a change.
fn event(address: Address, change: PolicyChange) -> Log {
    let (topic, _, argument) = change.event();
    if change.is_indexed() {
        let previous = B256::repeat_byte(0x77);
        return log(address, vec![topic, previous, B256::from_slice(&argument)], &[]);
    }
    log(address, vec![topic], &argument)
}

fn all() -> Vec<PolicyChange> {
    vec![
        PolicyChange::AddComposeHash(HASH),
        PolicyChange::RemoveComposeHash(HASH),
        PolicyChange::AddDevice(HASH),
        PolicyChange::RemoveDevice(HASH),
        PolicyChange::AllowAnyDevice(true),
        PolicyChange::AllowAnyDevice(false),
        PolicyChange::RequireTcbUpToDate(true),
        PolicyChange::RequireTcbUpToDate(false),
        PolicyChange::TransferOwnership(SOMEBODY),
        PolicyChange::OfferOwnership(SOMEBODY),
        PolicyChange::AcceptOwnership(SOMEBODY),
    ]
}

fn added(address: Address, hash: B256) -> Log {
    event(address, PolicyChange::AddComposeHash(hash))
}

fn shown(logs: &[Log]) -> Result<u64, String> {
    PolicyChange::AddComposeHash(HASH).shown(logs, APP)
}

#[test]
fn v17_the_event_is_the_apps_own_with_the_hash_as_data() {
    assert_eq!(
        A::ComposeHashAdded::SIGNATURE_HASH,
        b256!("fecb34306dd9d8b785b54d65489d06afc8822a0893ddacedff40c50a4942d0af")
    );
    assert_eq!(shown(&[added(APP, HASH)]), Ok(4));
    assert!(shown(&[]).is_err());
    assert!(shown(&[added(Address::repeat_byte(0xa2), HASH)]).is_err());
    assert!(shown(&[added(APP, B256::repeat_byte(0xac))]).is_err());
}

#[test]
fn v17_an_event_that_indexes_the_hash_proves_nothing() {
    let indexed = log(APP, vec![A::ComposeHashAdded::SIGNATURE_HASH, HASH], &[]);
    assert!(shown(std::slice::from_ref(&indexed)).unwrap_err().contains("indexed"));
    assert!(shown(&[added(APP, HASH), indexed]).is_err());
}

#[test]
fn v17_pitfall_17_the_event_stands_exactly_once() {
    let twice = shown(&[added(APP, HASH), added(APP, HASH)]);
    assert!(twice.unwrap_err().contains("more than one"));
}

#[test]
fn v17_data_after_the_hash_is_not_the_event() {
    let mut data = HASH.to_vec();
    data.push(0);
    let longer = log(APP, vec![A::ComposeHashAdded::SIGNATURE_HASH], &data);
    assert!(shown(&[longer]).is_err());
}

#[test]
fn x17_a_removed_log_is_no_event() {
    let removed = Log {
        removed: true,
        ..added(APP, HASH)
    };
    assert!(shown(&[removed]).is_err());
}

#[test]
fn v17_every_change_is_shown_by_its_own_event_alone() {
    for change in all() {
        for other in all() {
            let logs = [event(APP, other)];
            let same = change.event() == other.event();
            assert_eq!(
                change.shown(&logs, APP).is_ok(),
                same,
                "{change} by the event of {other}"
            );
        }
        assert!(change.shown(&[event(SOMEBODY, change)], APP).is_err(), "{change}");
    }
}

#[test]
fn the_topics_are_those_of_the_contract() {
    let of = |change: PolicyChange| change.event().0;
    assert_eq!(
        of(PolicyChange::AddDevice(HASH)),
        b256!("67fc71ab96fe3fa3c6f78e9a00e635d591b7333ce611c0380bc577aac702243b")
    );
    for (change, start) in [
        (PolicyChange::RemoveComposeHash(HASH), "0x755b79bd"),
        (PolicyChange::RemoveDevice(HASH), "0xe0862975"),
        (PolicyChange::AllowAnyDevice(true), "0xbb2cdb6c"),
        (PolicyChange::RequireTcbUpToDate(true), "0xafae6056"),
        (PolicyChange::OfferOwnership(SOMEBODY), "0x38d16b8c"),
        (PolicyChange::TransferOwnership(SOMEBODY), "0x8be0079c"),
    ] {
        assert!(of(change).to_string().starts_with(start), "{change}");
    }
}

#[test]
fn v7_each_call_is_its_selector_and_its_argument_and_nothing_after() {
    for (change, selector, length) in [
        (PolicyChange::AddComposeHash(HASH), "0xdfc77223", 36),
        (PolicyChange::RemoveComposeHash(HASH), "0x67b3f22c", 36),
        (PolicyChange::AddDevice(HASH), "0x2a819728", 36),
        (PolicyChange::RemoveDevice(HASH), "0x1d266200", 36),
        (PolicyChange::AllowAnyDevice(true), "0x7c4beeb8", 36),
        (PolicyChange::RequireTcbUpToDate(true), "0x6e4c7422", 36),
        (PolicyChange::TransferOwnership(SOMEBODY), "0xf2fde38b", 36),
        (PolicyChange::OfferOwnership(SOMEBODY), "0xf2fde38b", 36),
        (PolicyChange::AcceptOwnership(SOMEBODY), "0x79ba5097", 4),
    ] {
        let call = change.call(APP);
        assert_eq!(
            (call.to, call.value, call.data.len()),
            (APP, U256::ZERO, length),
            "{change}"
        );
        assert!(call.data.to_string().starts_with(selector), "{change}");
    }
}

#[test]
fn a_change_is_in_force_when_the_state_says_so_and_only_then() {
    let yes = || Some(Bytes::from(true.abi_encode()));
    let no = || Some(Bytes::from(false.abi_encode()));
    let address = |address: Address| Some(Bytes::from(address.abi_encode()));
    let holds = |change: PolicyChange, answers: &[Option<Bytes>]| {
        assert_eq!(change.questions(APP).len(), answers.len(), "{change}");
        let wanted = AppChanges {
            app: APP,
            changes: vec![change],
        };
        wanted.first_missing(answers.iter().cloned()).is_none()
    };
    for change in [
        PolicyChange::AddComposeHash(HASH),
        PolicyChange::AddDevice(HASH),
        PolicyChange::AllowAnyDevice(true),
        PolicyChange::RequireTcbUpToDate(true),
    ] {
        assert!(
            holds(change, &[yes()]) && !holds(change, &[no()]) && !holds(change, &[None]),
            "{change}"
        );
    }
    for change in [
        PolicyChange::RemoveComposeHash(HASH),
        PolicyChange::RemoveDevice(HASH),
        PolicyChange::AllowAnyDevice(false),
        PolicyChange::RequireTcbUpToDate(false),
    ] {
        assert!(
            holds(change, &[no()]) && !holds(change, &[yes()]) && !holds(change, &[None]),
            "{change}"
        );
    }
    for change in [
        PolicyChange::TransferOwnership(SOMEBODY),
        PolicyChange::AcceptOwnership(SOMEBODY),
    ] {
        assert!(
            holds(change, &[address(SOMEBODY)]) && !holds(change, &[address(APP)]),
            "{change}"
        );
    }
    let offer = PolicyChange::OfferOwnership(SOMEBODY);
    assert!(holds(offer, &[address(SOMEBODY), address(APP)]));
    assert!(
        holds(offer, &[address(Address::ZERO), address(SOMEBODY)]),
        "accepted since"
    );
    assert!(!holds(offer, &[address(Address::ZERO), address(APP)]));
    assert!(
        !holds(offer, &[None, address(APP)]),
        "a one-step app has no pending owner"
    );
}

#[test]
fn the_first_change_that_is_missing_is_named_and_answers_stay_in_step() {
    let yes = Some(Bytes::from(true.abi_encode()));
    let owner = Some(Bytes::from(SOMEBODY.abi_encode()));
    let wanted = AppChanges {
        app: APP,
        changes: vec![
            PolicyChange::AddComposeHash(HASH),
            PolicyChange::OfferOwnership(SOMEBODY),
            PolicyChange::AddDevice(HASH),
        ],
    };
    let all = [yes.clone(), None, owner.clone(), yes.clone()];
    assert_eq!(wanted.first_missing(all), None);
    let without_device = [yes, None, owner, None];
    assert_eq!(
        wanted.first_missing(without_device),
        Some(PolicyChange::AddDevice(HASH))
    );
    assert_eq!(wanted.first_missing([]), Some(PolicyChange::AddComposeHash(HASH)));
}

#[test]
fn changes_of_one_thing_conflict() {
    let hash = PolicyChange::AddComposeHash(HASH);
    assert!(hash.conflicts_with(PolicyChange::RemoveComposeHash(HASH)));
    assert!(!hash.conflicts_with(PolicyChange::RemoveComposeHash(B256::ZERO)));
    assert!(!hash.conflicts_with(PolicyChange::AddDevice(HASH)));
    assert!(PolicyChange::AllowAnyDevice(true).conflicts_with(PolicyChange::AllowAnyDevice(false)));
}

#[test]
fn h4_the_newest_event_about_a_thing_tells_whether_it_was_made_or_undone() {
    let (add, remove) = (
        PolicyChange::AddComposeHash(HASH),
        PolicyChange::RemoveComposeHash(HASH),
    );
    assert_eq!(add.said(&event(APP, add)), Some(Said::Made));
    assert_eq!(add.said(&event(APP, remove)), Some(Said::Otherwise));
    let other = PolicyChange::AddComposeHash(B256::ZERO);
    assert_eq!(add.said(&event(APP, other)), None, "another hash");
    let (on, off) = (PolicyChange::AllowAnyDevice(true), PolicyChange::AllowAnyDevice(false));
    assert_eq!(on.said(&event(APP, off)), Some(Said::Otherwise));
}
