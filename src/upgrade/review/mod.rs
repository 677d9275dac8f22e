//! A review: everything that somebody has to see before they agree to an upgrade, recomputed from its proposal, compared
//! with their own files and with the chain. Reads only; nothing is written, signed or sent.
//!
//! `offline` is what follows from the proposal alone (pure), `onchain` what the chain says of it now, `foreign` a transaction
//! that came from somewhere else.

mod batch;
mod conclude;
mod foreign;
mod model;
mod offline;
mod onchain;
mod problem;
mod service;

use crate::upgrade::{
    Limits, UpgradeError, World, checks::verdict::Subject, model::Proposal, model::safe_approval::SafeTxRole,
    record::State,
};

pub use crate::upgrade::review::problem::Question;
pub use foreign::review_batch;
pub use model::{
    Agreement, AppNow, Asked, CallShown, ExecutionCall, Found, FoundTx, HashCheck, Image, ImageChange, LocalCheck,
    NestedNow, OtherApp, Owner, OwnerIs, Posted, Review, SafeNow, Singleton, Source, TimelockNow, Transaction, Trial,
    Turn, Whole,
};
pub use problem::Problem;
pub use service::{Wanted, Which, review_posted};

pub use crate::upgrade::routes::safe::nonce::{not_theirs, unseen_unsigned};

/// Reviews an upgrade whose state is known: its journal's, or that of a proposal file. What does not match is in the
/// review, so that it can be shown beside the rest.
///
/// # Errors
/// What is known contradicts itself, no update was prepared yet, or the chain was asked and did not answer.
pub async fn review(
    world: &World<'_>,
    limits: &Limits,
    state: &State,
    question: &Question,
) -> Result<Review, UpgradeError> {
    let proposal = Proposal::of(state).ok_or_else(|| UpgradeError::TooEarly {
        message: "there is nothing to review: no update was prepared and verified yet".to_owned(),
        command: "prepare",
    })?;
    proposal.verify()?;
    state.expect_nonce(limits, SafeTxRole::Approval)?;
    let ceremony = state.ceremony()?;
    let mut review = offline::review(&proposal, ceremony.as_ref(), question, &limits.trust)?;
    review.warnings.extend(state.signature_remarks());
    let now = onchain::look_again(world, limits, &mut review, state).await;
    review.judge_state(now.as_ref().unwrap_or(state), question);
    let role = match question.rejects {
        true => SafeTxRole::Rejection,
        false => SafeTxRole::Approval,
    };
    let subject = Subject::of(state, role, &proposal, ceremony.as_ref());
    let known = match limits.offline {
        true => None,
        false => {
            let live = onchain::Live {
                world,
                limits,
                question,
            };
            Some(live.compare(&mut review, &subject).await?)
        }
    };
    let mut verdict = subject.judge(known.as_ref(), limits, &state.accepted);
    review.add_to(&mut verdict, &subject, question);
    review.conclude(&subject, known.as_ref(), verdict);
    review.rank();
    Ok(review)
}
