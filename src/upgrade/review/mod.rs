//! A review: everything that somebody has to see before they agree to an upgrade, recomputed from its proposal, compared
//! with their own files and with the chain. Reads only; nothing is written, signed or sent.
//!
//! `paper` is what follows from the proposal alone (pure), `live` what the chain says of it now, `found` a transaction
//! that came from somewhere else.

mod board;
mod conclude;
mod found;
mod live;
mod model;
mod others;
mod paper;
mod problem;

use crate::upgrade::{
    Limits, Proposal, State, UpgradeError, World, model::safe_approval::Paper, planning::examine::Subject,
};

pub use crate::upgrade::review::problem::Question;
pub use board::{Wanted, Which, review_posted};
pub use found::review_batch;
pub use model::{
    Agreement, AppNow, Asked, CallShown, ExecutionCall, Found, FoundTx, HashCheck, Image, ImageChange, LocalCheck,
    NestedNow, OtherApp, Owner, OwnerIs, Posted, Review, SafeNow, Singleton, Source, TimelockNow, Transaction, Trial,
    Turn, Whole,
};
pub use problem::Problem;

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
    state.expect_nonce(limits, Paper::Approval)?;
    let ceremony = state.ceremony()?;
    let mut review = paper::review(&proposal, ceremony.as_ref(), (question, &limits.trust))?;
    review.warnings.extend(state.signature_remarks());
    let now = live::look_again(world, limits, (&mut review, state)).await;
    review.judge_state(now.as_ref().unwrap_or(state), question);
    let paper = match question.rejects {
        true => Paper::Rejection,
        false => Paper::Approval,
    };
    let subject = Subject::of(state, paper, (&proposal, ceremony.as_ref()));
    let known = match limits.offline {
        true => None,
        false => Some(live::compare(world, limits, &mut review, (&subject, question)).await?),
    };
    review.conclude(&subject, known.as_ref(), (limits, state, question));
    review.rank();
    Ok(review)
}
