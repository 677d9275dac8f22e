//! What an owner is known to have signed besides this machine's record: by the proposal at hand, and by the upgrades and
//! proposals that this machine keeps. None of them is asked to be complete.

use std::path::{Path, PathBuf};

use super::ceremony::{Ballot, Ceremony, Paper};
use super::one_digest::{accepted, consents};
use super::{Limits, Proposal, State, Upgrade, UpgradeError, World};
use crate::fsutil;
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
    for dir in directories(world) {
        match state_in(&dir) {
            Ok(Some(other)) => shown.extend(conflicts(&other, &dir.display().to_string(), wanted)),
            Ok(None) => {}
            Err(error) => world.ask.tell(&format!(
                "what `{}` holds of signatures was not checked: {error}",
                dir.display()
            )),
        }
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

/// The directories of this machine's upgrades; a fleet has its own one level further down.
fn directories(world: &World<'_>) -> Vec<PathBuf> {
    let list = |dir: &Path| fsutil::list(dir).unwrap_or_default();
    let below = list(world.root);
    let inside = below.iter().filter(|dir| !super::holds(dir)).flat_map(|dir| list(dir));
    inside.chain(below.iter().cloned()).collect()
}

/// What a directory holds: an upgrade, or a proposal by itself.
fn state_in(dir: &Path) -> Result<Option<State>, UpgradeError> {
    let path = dir.join(super::PROPOSAL_FILE);
    match (super::holds(dir), path.is_file()) {
        (true, _) => Upgrade::peek(dir).map(Some),
        (false, true) => in_proposal(&path).map(Some),
        (false, false) => Ok(None),
    }
}

fn in_proposal(path: &Path) -> Result<State, UpgradeError> {
    State::fold(Proposal::read(path)?.events()).map_err(|(_, illegal)| UpgradeError::Proposal {
        path: path.to_owned(),
        why: illegal.to_string(),
    })
}
