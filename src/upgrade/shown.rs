//! What an owner is known to have signed besides this machine's record: by the proposal at hand, and by the upgrades and
//! proposals that this machine keeps. None of them is asked to be complete.

use super::ceremony::{Ballot, Ceremony, Paper};
use super::neighbours::Neighbours;
use super::one_digest::{accepted, consents};
use super::{Limits, State, UpgradeError, World};
use crate::signer::{ConsentBy, EarlierConsent, SafeConsent, SignerError};

/// Refuses, before anybody is asked, where an owner signed another digest for the same nonce and nobody named it as known.
/// Reads directories only; one that cannot be read is told of and hinders nobody.
///
/// # Errors
/// The earlier digest, and where it was found.
pub(super) fn refuse_shown(
    world: &World<'_>,
    limits: &Limits,
    state: &State,
    wanted: &[SafeConsent],
) -> Result<(), UpgradeError> {
    if wanted.iter().all(SafeConsent::is_rejection) {
        return Ok(());
    }
    let mut shown = conflicts(state, "the proposal", wanted);
    let neighbours = Neighbours::below(world.root);
    for (dir, other) in neighbours.states() {
        shown.extend(conflicts(other, &dir.display().to_string(), wanted));
    }
    if let Some(unread) = neighbours.unread() {
        world.ask.tell(&unread.text);
    }
    let known = accepted(limits);
    match shown.into_iter().find(|earlier| !known.contains(&earlier.digest)) {
        Some(earlier) => Err(SignerError::AlreadySigned(Box::new(earlier)).into()),
        None => Ok(()),
    }
}

/// What the owners of `wanted` signed by themselves, by what this upgrade or proposal holds, and that takes the same nonce.
fn conflicts(state: &State, place: &str, wanted: &[SafeConsent]) -> Vec<EarlierConsent> {
    let mut found = Vec::new();
    for ceremony in state.ceremonies() {
        for (paper, ballot) in papers(&ceremony) {
            for owner in ballot.signatures.by_owner().keys() {
                let given = consents(&ceremony, paper, (Some(*owner), ConsentBy::Signature));
                let own = given.iter().filter(|one| one.owner() == *owner);
                let other = own.filter(|one| wanted.iter().any(|wanted| wanted.is_other_than(one)));
                found.extend(other.map(|one| one.shown_by(place)));
            }
        }
    }
    found
}

fn papers(ceremony: &Ceremony) -> impl Iterator<Item = (Paper, &Ballot)> {
    let nested = ceremony.nested.iter();
    let nested = nested.map(|(child, (_, ballot))| (Paper::Nested(*child), ballot));
    let own = [
        (Paper::Approval, &ceremony.approval),
        (Paper::Rejection, &ceremony.rejection),
    ];
    own.into_iter().chain(nested)
}
