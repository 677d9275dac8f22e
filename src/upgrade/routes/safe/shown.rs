//! What an owner is known to have agreed to besides this machine's record: by the proposal at hand, by the upgrades and
//! proposals that this machine keeps, by the Safe Transaction Service where one is asked, and by the chain as far as it is
//! asked for what the others name. None of them is asked to be complete.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};

use crate::safe::{SafeDomain, approved, info::SafeInfo};
use crate::signer::{ConsentBy, EarlierConsent, SafeConsent, SignerError};
use crate::upgrade::{
    Limits, UpgradeError, World,
    model::{
        safe_approval::{SafeApproval, SafeTxRole, SignedSafeTx},
        tx_purpose::TxPurpose,
    },
    planning::neighbours::Neighbours,
    record::State,
    record::state::SentAgreement,
    routes::safe::nonce::service,
    workspace::signed_digests::{accepted, consents},
};

/// Most other transactions of a nonce for which the chain is asked.
const MOST: usize = 32;

/// Refuses, before anybody is asked, where an owner agreed to another digest for the same nonce and nobody named it as
/// known. A directory that cannot be read, or a service that does not answer, is told of and hinders nobody.
///
/// # Errors
/// The earlier digest and where it was found, or the chain did not answer.
pub(in crate::upgrade) async fn refuse_shown(
    world: &World<'_>,
    limits: &Limits,
    state: &State,
    wanted: &[SafeConsent],
) -> Result<(), UpgradeError> {
    if wanted.iter().all(SafeConsent::is_rejection) {
        return Ok(());
    }
    let known = accepted(limits);
    let mut seen = Seen::of(state, wanted);
    seen.search("the proposal", state);
    let neighbours = Neighbours::below(world.root);
    for (dir, other) in neighbours.states() {
        seen.search(&dir.display().to_string(), other);
    }
    if let Some(unread) = neighbours.unread() {
        world.ask.tell(&unread.text);
    }
    seen.refuse(&known)?;
    if !limits.offline {
        seen.ask_service(world).await?;
        seen.refuse(&known)?;
        seen.ask_chain(world, &known).await?;
        seen.refuse(&known)?;
    }
    Ok(())
}

/// What was found about the nonces that are about to be agreed to.
struct Seen<'a> {
    wanted: Vec<&'a SafeConsent>,
    /// How the Safes hash whose nonces they are.
    domains: Vec<SafeDomain>,
    /// What owners agreed to that is something else.
    earlier: Vec<EarlierConsent>,
    /// Everything else that these nonces were to be used for, by Safe.
    others: BTreeSet<(Address, B256)>,
}

impl<'a> Seen<'a> {
    fn of(state: &State, wanted: &'a [SafeConsent]) -> Self {
        let ceremonies = state.ceremonies();
        let signed_txs = ceremonies.iter().flat_map(roles).map(|(_, signed_tx)| signed_tx);
        let mut domains: Vec<SafeDomain> = Vec::new();
        for domain in signed_txs.map(|signed_tx| *signed_tx.tx.domain()) {
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        Self {
            wanted: wanted.iter().filter(|one| !one.is_rejection()).collect(),
            domains,
            earlier: Vec::new(),
            others: BTreeSet::new(),
        }
    }

    fn refuse(&self, known: &[B256]) -> Result<(), UpgradeError> {
        match self.earlier.iter().find(|earlier| !known.contains(&earlier.digest)) {
            Some(earlier) => Err(SignerError::AlreadySigned(Box::new(earlier.clone())).into()),
            None => Ok(()),
        }
    }

    /// What the owners agreed to by themselves, by what an upgrade or a proposal holds, and what else it asks them.
    fn search(&mut self, place: &str, state: &State) {
        let owners = state
            .plan()
            .and_then(|plan| plan.safe.as_ref())
            .map(SafeInfo::owner_set);
        let owners = owners.unwrap_or_default();
        for ceremony in state.ceremonies() {
            for (role, signed_tx) in roles(&ceremony) {
                for owner in signed_tx.signatures.by_owner().keys() {
                    let given = consents(&ceremony, role, Some(*owner), ConsentBy::Signature);
                    self.take(place, given.iter().filter(|one| one.owner() == *owner));
                }
                // Every proposal has a rejection; nobody approves that on chain by accident.
                if role != SafeTxRole::Rejection {
                    let (domain, nonce) = (signed_tx.tx.domain(), signed_tx.tx.fields().nonce);
                    self.note((domain.chain_id, domain.safe, nonce), signed_tx.tx.hash());
                }
            }
            let sent = state
                .tx
                .agreements
                .iter()
                .filter(|sent| sent.approval == ceremony.hash());
            for one in sent {
                self.take(place, one.consents(&ceremony, &owners).iter());
            }
        }
    }

    fn take<'c>(&mut self, place: &str, given: impl Iterator<Item = &'c SafeConsent>) {
        let other = given.filter(|one| self.wanted.iter().any(|wanted| wanted.is_other_than(one)));
        let other: Vec<EarlierConsent> = other.map(|one| one.shown_by(place)).collect();
        self.earlier.extend(other);
    }

    fn note(&mut self, place: (u64, Address, U256), digest: B256) {
        let mut same = self.wanted.iter().filter(|wanted| wanted.place() == place);
        if same.any(|wanted| wanted.digest() != digest) && self.others.len() < MOST {
            self.others.insert((place.1, digest));
        }
    }

    /// What the service shows at these nonces. Only signatures of keys prove whose they are; what else it names is asked of
    /// the chain.
    async fn ask_service(&mut self, world: &World<'_>) -> Result<(), UpgradeError> {
        let places: BTreeSet<_> = self.wanted.iter().map(|wanted| wanted.place()).collect();
        for (chain_id, safe, nonce) in places {
            let is_of = |domain: &&SafeDomain| (domain.chain_id, domain.safe) == (chain_id, safe);
            let (Some(service), Some(domain)) = (service(world, chain_id)?, self.domains.iter().find(is_of).copied())
            else {
                continue;
            };
            let shown = match service.by_nonce(safe, nonce).await {
                Ok(shown) => shown.all(),
                Err(error) => {
                    let host = service.host();
                    world.ask.tell(&format!(
                        "not checked: whether {host} shows another agreement for nonce {nonce} of the Safe ({error})"
                    ));
                    continue;
                }
            };
            for tx in shown.iter().filter(|tx| tx.safe == safe && tx.fields.nonce == nonce) {
                let digest = tx.fields.hash(&domain);
                self.note((chain_id, safe, nonce), digest);
                for owner in tx.signed(digest) {
                    let other = |wanted: &&&SafeConsent| {
                        wanted.owner() == owner
                            && wanted.digest() != digest
                            && wanted.place() == (chain_id, safe, nonce)
                    };
                    if self.wanted.iter().any(|wanted| other(&wanted)) {
                        self.earlier.push(EarlierConsent {
                            owner,
                            digest,
                            nonce,
                            safe,
                            how: format!("{}, as {} shows", ConsentBy::Signature, service.host()),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an owner approved on chain what was found.
    async fn ask_chain(&mut self, world: &World<'_>, known: &[B256]) -> Result<(), UpgradeError> {
        let mut found = Vec::new();
        for wanted in &self.wanted {
            let (chain_id, safe, nonce) = wanted.place();
            let others = self
                .others
                .iter()
                .filter(|(of, digest)| *of == safe && *digest != wanted.digest() && !known.contains(digest));
            let asked: Vec<(Address, B256)> = others.map(|(_, digest)| (wanted.owner(), *digest)).collect();
            if asked.is_empty() {
                continue;
            }
            let chain = world.chain(chain_id).await?;
            let given = approved(&chain, safe, &asked).await?;
            found.extend(given.into_iter().map(|(owner, digest)| EarlierConsent {
                owner,
                digest,
                nonce,
                safe,
                how: format!("{}, as the chain shows", ConsentBy::ApproveHash),
            }));
        }
        self.earlier.extend(found);
        Ok(())
    }
}

impl SentAgreement {
    /// Who agreed by it to what of `ceremony`, whose approval it was about.
    fn consents(&self, ceremony: &SafeApproval, owners: &BTreeSet<Address>) -> Vec<SafeConsent> {
        let acts_for = |owners: &BTreeSet<Address>| owners.contains(&self.from).then_some(self.from);
        let (role, key, by) = match self.purpose {
            Some(TxPurpose::Approve(owner)) => (SafeTxRole::Approval, Some(owner), ConsentBy::ApproveHash),
            Some(TxPurpose::Nested(child)) => {
                let safe = ceremony.nested.get(&child).map(|(safe, _)| safe.owner_set());
                let key = acts_for(&safe.unwrap_or_default());
                (SafeTxRole::Nested(child), key, ConsentBy::Execution)
            }
            _ if self.rejects => (SafeTxRole::Rejection, acts_for(owners), ConsentBy::Execution),
            _ => (SafeTxRole::Approval, acts_for(owners), ConsentBy::Execution),
        };
        consents(ceremony, role, key, by)
    }
}

fn roles(ceremony: &SafeApproval) -> impl Iterator<Item = (SafeTxRole, &SignedSafeTx)> {
    let nested = ceremony.nested.iter();
    let nested = nested.map(|(child, (_, signed_tx))| (SafeTxRole::Nested(*child), signed_tx));
    let own = [
        (SafeTxRole::Approval, &ceremony.approval),
        (SafeTxRole::Rejection, &ceremony.rejection),
    ];
    own.into_iter().chain(nested)
}
