//! Joining: which apps one transaction can change, and when they may still come.

use alloy::primitives::Address;

use super::*;
use crate::chain::{OwnerKind, PolicyChange, Proved};
use crate::upgrade::sample::{self, story};

const OTHER: Address = Address::repeat_byte(0xa2);

/// An upgrade that is verified, owned by a Safe.
fn verified() -> State {
    let mut events: Vec<Event> = story().into_iter().take(5).collect();
    events[1] = Event::Plan(Box::new(sample::safe_plan()));
    State::fold(events).unwrap()
}

/// The proposal of another app of the same owner.
fn other() -> Proposal {
    let mut other = Proposal::of(&verified()).unwrap();
    other.plan.app = OTHER;
    if let Some(code) = &mut other.plan.code {
        (code.cvm, code.cvm_name) = ("app-2".to_owned(), Some("second".to_owned()));
        code.cvm_uuid = Some("other-uuid".to_owned());
    }
    other.plan.app_state.app = OTHER;
    for call in &mut other.plan.calls {
        call.to = OTHER;
    }
    other.joining()
}

fn with(others: Vec<Proposal>) -> Proposal {
    let mut whole = Proposal::of(&verified()).unwrap();
    whole.others = others;
    whole.calls = whole.all_calls();
    whole.calldata_digests = whole.calls.iter().map(Call::digest).collect();
    whole
}

#[test]
fn the_calls_of_all_apps_are_made_in_their_order() {
    let whole = with(vec![other()]);
    whole.verify().unwrap();
    let targets: Vec<Address> = whole.calls.iter().map(|call| call.to).collect();
    assert_eq!(targets, [sample::APP, OTHER]);
    assert!(whole.told().contains(&OTHER.to_string()));
}

#[test]
fn an_app_of_another_owner_chain_or_cloud_and_one_that_is_there_twice_do_not_join() {
    let refused = |change: &dyn Fn(&mut Proposal)| {
        let mut changed = other();
        change(&mut changed);
        match with(vec![changed]).verify() {
            Err(UpgradeError::Stop(stop)) => stop.code,
            found => panic!("{found:?}"),
        }
    };
    assert_eq!(refused(&|one| one.plan.actor.address = OTHER), "APPS_MISMATCH");
    assert_eq!(refused(&|one| one.plan.actor.kind = OwnerKind::Eoa), "APPS_MISMATCH");
    assert_eq!(refused(&|one| one.plan.safe = None), "APPS_MISMATCH");
    assert_eq!(refused(&|one| one.plan.chain_id = 1), "APPS_MISMATCH");
    assert_eq!(
        refused(&|one| one.cloud = Some("elsewhere".to_owned())),
        "APPS_MISMATCH"
    );
    assert_eq!(refused(&|one| one.others = vec![other()]), "APPS_MISMATCH");
    assert_eq!(refused(&|one| one.plan.app = sample::APP), "APPS_MISMATCH");
    let twice = with(vec![other(), other()]).verify();
    assert!(matches!(twice, Err(UpgradeError::Stop(_))), "{twice:?}");
}

#[test]
fn apps_join_once_and_before_anything_is_chosen() {
    let mut state = verified();
    let early = State::fold(story().into_iter().take(4)).unwrap();
    assert!(early.check(&Event::Joined(vec![other()])).is_err());
    assert!(state.check(&Event::Joined(Vec::new())).is_err());
    state.apply(Event::Joined(vec![other()])).unwrap();
    assert!(state.check(&Event::Joined(vec![other()])).is_err());
    let signed = State::fold(story().into_iter().take(7)).unwrap();
    assert!(signed.check(&Event::Joined(vec![other()])).is_err());
}

#[test]
fn what_joined_is_proved_by_a_proof_of_that_app_alone() {
    let mut state = verified();
    state.apply(Event::Joined(vec![other()])).unwrap();
    let own = sample::proof(alloy::primitives::B256::ZERO);
    let theirs = Proof {
        app: OTHER,
        ..own.clone()
    };
    assert!(state.check(&Event::JoinedFinal(Box::new(own.clone()))).is_err());
    let change = PolicyChange::AllowAnyDevice(true);
    let something_else = Proof {
        changes: vec![Proved {
            change,
            log_index: None,
        }],
        ..theirs.clone()
    };
    assert!(state.check(&Event::JoinedFinal(Box::new(something_else))).is_err());
    assert!(!state.is_approved());
    state.apply(Event::JoinedFinal(Box::new(theirs))).unwrap();
    assert!(state.is_approved() && state.batch.unproved().is_empty());
    let facts = state.status().facts;
    assert!(facts.others.len() == 1 && facts.others[0].proved);
}

#[test]
fn se2_o2_names_that_look_the_same_are_the_same_and_others_are_not() {
    for (one, other) in [
        ("payments-api", "payments-api"),
        ("payments-api", "Payments-API"),
        ("payments-api", "p\u{430}yments-api"),
        ("payments-api", "payments\u{2010}api"),
        ("payments-api", "payments-\u{200b}api"),
        ("payments-api", "\u{ff50}ayments-api"),
        ("web1", "webl"),
        ("web0", "webO"),
        (
            "3d2fd1a5-7c3e-4c55-9ad1-0d1c6a0f8c11",
            "3D2FD1A57C3E4C559AD10D1C6A0F8C11",
        ),
    ] {
        assert_eq!(looks(one), looks(other), "{one} {other}");
    }
    for (one, other) in [
        ("web-1", "web-2"),
        ("web", "web-1"),
        ("api", "app"),
        ("web-1", "web-11"),
    ] {
        assert_ne!(looks(one), looks(other), "{one} {other}");
    }
}
