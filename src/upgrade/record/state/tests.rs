//! The state against every order of records: what may follow what, and what comes next.

use alloy::primitives::B256;

use super::*;
use crate::chain::PolicyChange;
use crate::compose::{ComposeHash, Form};
use crate::upgrade::Goal;
use crate::upgrade::record::{Effect, Effects, Preparation};
use crate::upgrade::sample::{self, story};

fn after(events: usize) -> State {
    State::fold(story().into_iter().take(events)).unwrap()
}

#[test]
fn each_record_of_a_story_leads_to_the_next_step() {
    let steps: Vec<Step> = (0..=story().len()).map(|events| after(events).next()).collect();
    let expected = [
        Step::Prepare,   // nothing yet
        Step::Prepare,   // open
        Step::Prepare,   // plan
        Step::Prepare,   // prepare.try
        Step::Verify,    // prepare.ok
        Step::Approve,   // verified
        Step::Approve,   // sign.try
        Step::Broadcast, // tx.signed
        Step::Wait,      // tx.sent
        Step::Wait,      // tx.seen
        Step::Commit,    // tx.final
        Step::Settle,    // commit.try
        Step::Watch,     // commit.ok
        Step::Finished,
    ];
    assert_eq!(steps, expected);
}

#[test]
fn no_record_can_skip_the_one_before_it() {
    let story = story();
    // Looks at an effect need no intent before them: a plan is optional in time, `seen` and `sent` may be missing.
    let optional = ["tx.sent", "tx.seen", "commit.try"];
    for missing in 0..story.len() - 1 {
        if optional.contains(&story[missing].kind()) {
            continue;
        }
        let mut events = story.clone();
        events.remove(missing);
        let refused = State::fold(events).expect_err(story[missing].kind());
        assert!(
            refused.0 > missing as u64,
            "without {}: {refused:?}",
            story[missing].kind()
        );
    }
}

#[test]
fn se2_r1_a_proof_that_is_gone_is_waited_for_with_the_same_bytes_and_takes_no_commit() {
    let mut state = after(10);
    let block = state.proof().unwrap().block;
    let gone = || Event::ProofGone { block };
    assert!(after(9).apply(gone()).is_err(), "nothing was proved");
    state.apply(gone()).unwrap();
    assert_eq!((state.next(), state.proof.gone), (Step::Wait, Some(block)));
    assert_eq!(state.status().effects.transaction, Effect::Maybe);
    let tried = Event::CommitTry {
        at: sample::now(),
        there: Vec::new(),
    };
    assert!(state.apply(tried).is_err());
    let anew = sample::proof(state.tx.signed[0].hash);
    state.apply(Event::TxFinal(Box::new(anew))).unwrap();
    assert_eq!((state.next(), state.proof.gone), (Step::Commit, None));
    // What was sent before it was gone may be answered after.
    let mut sent = after(11);
    sent.apply(gone()).unwrap();
    assert_eq!(sent.next(), Step::Settle);
    sent.apply(story().remove(11)).unwrap();
    // Somebody else's transaction leaves nothing of ours to wait for.
    let mut adopted = after(6);
    adopted
        .apply(Event::Adopted(Box::new(sample::proof(B256::repeat_byte(5)))))
        .unwrap();
    adopted.apply(gone()).unwrap();
    assert_eq!(adopted.next(), Step::Approve);
}

#[test]
fn se2_r1_what_was_committed_with_a_proof_that_is_gone_is_proved_anew_before_anything_is_reported() {
    let proof = after(11).proof().unwrap().clone();
    let mut state = after(12);
    assert_eq!(state.next(), Step::Watch);
    state.apply(Event::ProofGone { block: proof.block }).unwrap();
    assert_eq!(state.next(), Step::Wait);
    for goal in [
        Goal::Prepared,
        Goal::Executed,
        Goal::Proved,
        Goal::Committed,
        Goal::Live,
    ] {
        assert!(!goal.is_reached(&state, true), "{goal:?}");
        goal.permits(&state).unwrap();
    }
    // Without a transaction of its own the change is waited for all the same.
    let mut lost = state.clone();
    lost.apply(Event::TxGone {
        why: "its nonce was used".to_owned(),
    })
    .unwrap();
    assert_eq!(lost.next(), Step::Wait);
    state.apply(Event::TxFinal(Box::new(proof))).unwrap();
    assert_eq!(state.next(), Step::Watch);
}

#[test]
fn a_second_nonce_for_one_intent_is_refused() {
    let mut state = after(7);
    state
        .apply(Event::SignTry {
            signer: sample::OWNER,
            digest: B256::ZERO,
        })
        .unwrap();
    let refused = state.apply(Event::TxSigned(sample::tx(1, 200))).unwrap_err();
    assert_eq!(refused.kind, "tx.signed");
    state.apply(Event::TxSigned(sample::tx(0, 200))).unwrap();
    assert_eq!(state.status().facts.nonce, Some(0));
}

#[test]
fn a_new_nonce_is_possible_only_after_the_old_one_is_gone() {
    let mut state = after(8);
    state
        .apply(Event::TxGone {
            why: "replaced".to_owned(),
        })
        .unwrap();
    assert_eq!(state.next(), Step::Approve);
    state
        .apply(Event::SignTry {
            signer: sample::OWNER,
            digest: B256::ZERO,
        })
        .unwrap();
    state.apply(Event::TxSigned(sample::tx(1, 100))).unwrap();
    assert_eq!(state.next(), Step::Broadcast);
}

#[test]
fn t7_a_second_preparation_must_give_the_identical_hash() {
    let mut state = after(10);
    state
        .apply(Event::PrepareTry {
            at: sample::now(),
            digest: B256::ZERO,
            there: Vec::new(),
        })
        .unwrap();
    let other = Preparation {
        hash: ComposeHash::new([9; 32]),
        ..sample::preparation()
    };
    assert!(state.apply(Event::PrepareOk(other)).is_err());
    state.apply(Event::PrepareOk(sample::preparation())).unwrap();
    assert_eq!(state.next(), Step::Commit);
}

#[test]
fn a_proof_for_another_hash_is_refused() {
    let mut state = after(9);
    let mut proof = sample::proof(sample::tx(0, 100).hash);
    proof.changes[0].change = PolicyChange::AddComposeHash(B256::repeat_byte(9));
    assert!(state.apply(Event::TxFinal(Box::new(proof.clone()))).is_err());
    assert!(state.apply(Event::Adopted(Box::new(proof))).is_err());
}

#[test]
fn a_refused_commit_can_be_tried_again_and_a_refused_token_is_remembered() {
    let mut state = after(11);
    state
        .apply(Event::CommitNot {
            why: "466".to_owned(),
            token_refused: true,
        })
        .unwrap();
    assert_eq!(state.next(), Step::Commit);
    assert!(state.prepare.token_refused);
    state
        .apply(Event::PrepareTry {
            at: sample::now(),
            digest: B256::ZERO,
            there: Vec::new(),
        })
        .unwrap();
    state.apply(Event::PrepareOk(sample::preparation())).unwrap();
    assert!(!state.prepare.token_refused);
}

#[test]
fn effects_say_maybe_between_intent_and_outcome() {
    let effects: Vec<Effects> = (0..=story().len())
        .map(|events| after(events).status().effects)
        .collect();
    assert_eq!(effects[3].prepare, Effect::Maybe);
    assert_eq!(effects[4].prepare, Effect::Done);
    assert_eq!(effects[6].approval, Effect::Maybe);
    assert_eq!(
        (effects[7].approval, effects[7].transaction),
        (Effect::Done, Effect::Maybe)
    );
    assert_eq!(effects[10].transaction, Effect::Done);
    assert_eq!((effects[11].commit, effects[12].commit), (Effect::Maybe, Effect::Done));
    assert_eq!((effects[12].live, effects[13].live), (Effect::Maybe, Effect::Done));
}

#[test]
fn facts_grow_and_never_change_along_a_story() {
    let of = |events| serde_json::to_value(after(events).status().facts).unwrap();
    for events in 1..story().len() {
        let (before, later) = (of(events), of(events + 1));
        // Who agreed is waited for no more.
        let stays = before
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "waiting_for");
        for (name, value) in stays {
            assert_eq!(later.get(name), Some(value), "{name} after {events} records");
        }
    }
    for name in [
        "cvm",
        "app",
        "chain_id",
        "compose_hash",
        "transaction_hash",
        "block_number",
        "correlation_id",
    ] {
        assert!(of(story().len()).get(name).is_some(), "{name}");
    }
}

#[test]
fn every_record_reads_back_as_it_was_written() {
    for event in story() {
        let text = serde_json::to_string(&event).unwrap();
        let back: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert!(text.starts_with(&format!("{{\"kind\":\"{}\"", event.kind())));
    }
}

#[test]
fn a_proposal_says_what_its_upgrade_says_and_stands_alone() {
    let state = after(5);
    let proposal = crate::upgrade::model::Proposal::of(&state).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proposal.json");
    crate::fsutil::write(&path, &serde_json::to_vec(&proposal).unwrap(), 0o644).unwrap();
    let read = crate::upgrade::model::Proposal::read(&path).unwrap();
    assert_eq!(read, proposal);
    assert_eq!(read.compose_hash, Some(sample::plan().manifest_after_hash()));
}

impl Plan {
    fn manifest_after_hash(&self) -> ComposeHash {
        self.code.as_ref().unwrap().manifest_after().hash(Form::Sorted)
    }
}

/// Every member of a proposal that says something about the change, altered one at a time.
#[test]
fn a_changed_proposal_is_refused() {
    let proposal = serde_json::to_value(crate::upgrade::model::Proposal::of(&after(5)).unwrap()).unwrap();
    let other = serde_json::json!(B256::repeat_byte(9));
    let edits: [(&str, serde_json::Value); 6] = [
        ("/compose_hash", other.clone()),
        ("/calls/0/data", serde_json::json!("0xdfc77223")),
        ("/calls/0/to", serde_json::json!(sample::OWNER)),
        ("/calldata_digests/0", other),
        ("/manifest_after/name", serde_json::json!("other")),
        (
            "/plan/code/patch/docker_compose_file",
            serde_json::json!("services: {}"),
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (pointer, value) in edits {
        let mut edited = proposal.clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        let path = dir.path().join("proposal.json");
        crate::fsutil::write(&path, edited.to_string().as_bytes(), 0o644).unwrap();
        let refused = crate::upgrade::model::Proposal::read(&path).expect_err(pointer);
        assert!(
            matches!(refused, crate::upgrade::UpgradeError::Stop(_)),
            "{pointer}: {refused}"
        );
    }
}
