//! Checking and signing a Safe transaction by whatever a signer has: a directory, or a proposal by itself.

use alloy::primitives::Address;

use crate::code::Code;
use crate::fsutil;
use crate::safe::{
    Look, OwnerSignature,
    collect::{Merged, Offer, merge},
    info::SafeInfo,
};
use crate::signer::Signer;
use crate::upgrade::{
    Accepted, Limits, UpgradeError, Warning, World,
    checks::verdict,
    finding::Verdict,
    model::Proposal,
    model::safe_approval::SafeTxRole,
    planning::examine,
    record::event::Event,
    routes::safe::sign::Signing,
    workspace::{document::Subject, merge::news},
};

/// What was compared before a signature, and what was not.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the chain said; nothing without one.
    pub look: Option<Look>,
    /// What is asked for is in force on chain already.
    pub allowed: bool,
    /// What could not be checked, one sentence each.
    pub unchecked: Vec<String>,
    /// What a person should know.
    pub remarks: Vec<Warning>,
    /// Whether it may be signed, and why.
    pub verdict: Verdict,
}

impl Subject {
    /// The verdict over what is known here, without a chain.
    ///
    /// # Errors
    /// There is no Safe transaction yet, or it is not what the plan asks for.
    pub fn verdict(&self, limits: &Limits, role: SafeTxRole) -> Result<Verdict, UpgradeError> {
        let (_, ceremony) = self.ceremony()?;
        let proposal = self.whole_proposal()?;
        let subject = verdict::Subject::of(self.state(), role, &proposal, Some(&ceremony));
        Ok(subject.judge(None, limits, &self.state().accepted))
    }

    fn whole_proposal(&self) -> Result<Proposal, UpgradeError> {
        self.proposal().ok_or_else(|| UpgradeError::TooEarly {
            message: "there is no proposal yet".to_owned(),
            command: "prepare",
        })
    }

    /// Compares everything with the chain, unless `limits` say that there is none to ask.
    ///
    /// # Errors
    /// Something is not what the proposal says.
    pub async fn check(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
        role: SafeTxRole,
    ) -> Result<Checked, UpgradeError> {
        let (plan, ceremony) = self.ceremony()?;
        let (verdict, known) = if limits.offline {
            (self.verdict(limits, role)?, None)
        } else {
            let proposal = self.whole_proposal()?;
            let state = self.state();
            let subject = verdict::Subject::of(state, role, &proposal, Some(&ceremony));
            let chain = world.chain(plan.chain_id).await?;
            let known = examine::examine(world, &chain, &subject).await?;
            (subject.judge(Some(&known), limits, &state.accepted), Some(known))
        };
        // What is in force needs no signature, and what was chosen before does not matter any more.
        let allowed = known.as_ref().is_some_and(|known| known.in_force);
        self.keep_verdict(&verdict)?;
        verdict.check_before_asking(world.ask)?;
        let look = known.and_then(|known| known.look);
        let pinned = self.state().plan().and_then(|plan| plan.safe.as_ref());
        if let (Some(look), Some(pinned)) = (&look, pinned)
            && !look.info.changes_since(pinned).is_empty()
        {
            self.record(Event::SafePinned(Box::new(look.info.clone())))?;
        }
        Ok(Checked {
            look,
            allowed,
            unchecked: verdict.not_checked.clone(),
            remarks: Vec::new(),
            verdict,
        })
    }

    /// Signs as an owner, once everything was checked that can be.
    ///
    /// # Errors
    /// A check failed, consent was refused, or this machine signed something else for the same nonce.
    pub async fn sign(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
        role: SafeTxRole,
    ) -> Result<(Checked, OwnerSignature, Address), UpgradeError> {
        // A signature that cannot be kept is not made: the key's record would know of it, and nobody would have it.
        if let Self::Document(document) = self
            && !document.kept
        {
            fsutil::check_writable(&document.path)?;
        }
        let remarks = match role {
            SafeTxRole::Nested(child) => self.choose_nested(world, limits, child).await?,
            _ => Vec::new(),
        };
        self.expect(limits, role)?;
        self.state().expect_nonce(limits, role)?;
        let rejects = role == SafeTxRole::Rejection;
        let mut checked = self.check(world, limits, role).await?;
        checked.remarks.extend(remarks);
        checked.remarks.extend(self.state().signature_remarks());
        self.refuse_pointless(&checked, rejects)?;
        let Some(source) = world.signer else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                "an owner of the Safe has to sign, and no key was named",
            ));
        };
        if rejects && !self.state().is_rejecting() {
            self.record(Event::SafeReject {
                at: jiff::Timestamp::now(),
            })?;
        }
        let signer = Signer::open(source, world.unlock, world.ask).await?;
        let signing = Signing {
            world,
            limits,
            signer: &signer,
        };
        signing.sign(&mut self.book(), role).await?;
        checked.verdict.agree(&Accepted::default().with(&self.state().accepted));
        let owner = signer.address();
        let (_, ceremony) = self.ceremony()?;
        let signature = ceremony
            .role(role)
            .and_then(|(signed_tx, _)| signed_tx.signatures.by_owner().get(&owner).cloned());
        signature
            .map(|signature| (checked, signature, owner))
            .ok_or_else(|| UpgradeError::stop(Code::SignerNotOwner, "signer", "an owner of the Safe", owner))
    }

    /// A signature that changes nothing any more is not asked for.
    fn refuse_pointless(&self, checked: &Checked, rejects: bool) -> Result<(), UpgradeError> {
        let (_, ceremony) = self.ceremony()?;
        if let Some(why) = &self.state().safe.gone {
            return Err(UpgradeError::decide(Code::SafeTxGone, why.clone()));
        }
        if let Some(look) = &checked.look
            && look.info.nonce > ceremony.nonce()
        {
            return Err(UpgradeError::decide(
                Code::SafeNonceTaken,
                format!(
                    "nonce {} of the Safe is used up, its next one is {}: a signature would count for nothing",
                    ceremony.nonce(),
                    look.info.nonce
                ),
            ));
        }
        if checked.allowed && !rejects {
            return Err(UpgradeError::decide(
                Code::HashAlreadyAllowed,
                "the change is in force already: nobody has to sign",
            ));
        }
        if let Some(place) = self.state().refused_here().filter(|_| !rejects) {
            return Err(UpgradeError::decide(
                Code::SafeRejecting,
                format!("somebody decided to reject the Safe transaction{place}; signing it would undo that"),
            ));
        }
        Ok(())
    }

    /// Takes in signatures from elsewhere, for the approval or its rejection, whichever they are for.
    ///
    /// # Errors
    /// What was taken in could not be stored. A signature that does not count is no error: its verdict says so.
    pub fn import(&mut self, offers: Vec<Offer>, source: &str) -> Result<Vec<Merged>, UpgradeError> {
        let (plan, mut ceremony) = self.ceremony()?;
        let only_to_reject = self.state().is_only_to_reject();
        let owners = plan.safe.as_ref().map(SafeInfo::owner_set).unwrap_or_default();
        let children: Vec<Address> = ceremony.nested.keys().copied().collect();
        let mut merged = Vec::new();
        for offer in offers {
            let one = || vec![offer.clone()];
            let (first, second) = match only_to_reject {
                true => (&mut ceremony.rejection, None),
                false => (&mut ceremony.approval, Some(&mut ceremony.rejection)),
            };
            let mut verdict = merge(&mut first.signatures, &first.tx, one(), &owners);
            let others = second.into_iter().map(|signed_tx| (signed_tx, owners.clone()));
            let nested = ceremony
                .nested
                .values_mut()
                .map(|(safe, signed_tx)| (signed_tx, safe.owner_set()));
            for (signed_tx, owners) in others.chain(nested) {
                if verdict.iter().any(|one| one.outcome.is_ok()) {
                    break;
                }
                let tried = merge(&mut signed_tx.signatures, &signed_tx.tx, one(), &owners);
                // What is said of the approval is what people want to know when it fits none.
                if tried.iter().any(|one| one.outcome.is_ok()) {
                    verdict = tried;
                }
            }
            merged.append(&mut verdict);
        }
        let roles = [SafeTxRole::Approval, SafeTxRole::Rejection].into_iter();
        for role in roles.chain(children.into_iter().map(SafeTxRole::Nested)) {
            let Some((signed_tx, _)) = ceremony.role(role) else {
                continue;
            };
            for (owner, signature) in signed_tx.signatures.by_owner() {
                let bytes = signature.to_bytes();
                let known = self
                    .state()
                    .safe
                    .signatures
                    .of(role)
                    .and_then(|signed| signed.get(owner));
                if known == Some(&bytes) {
                    continue;
                }
                self.record(Event::SafeSignature {
                    owner: *owner,
                    signature: bytes,
                    role,
                    source: source.to_owned(),
                })?;
            }
        }
        self.write()?;
        Ok(merged)
    }

    /// Takes in what a copy of the proposal has of owners that are Safes: their transactions, where none was chosen here,
    /// and who signed those. Gives whose signatures of which transactions are new.
    ///
    /// # Errors
    /// It is a copy of another proposal, or has another transaction of such an owner.
    pub fn take_nested(&mut self, copy: &Proposal) -> Result<Vec<(Address, Address)>, UpgradeError> {
        let Some(section) = copy.safe.as_ref().filter(|section| !section.nested.is_empty()) else {
            return Ok(Vec::new());
        };
        copy.check_same(self.state())?;
        let mut taken = Vec::new();
        for event in news(self.state(), section)? {
            match event {
                Event::SafeSignature {
                    role: SafeTxRole::Nested(child),
                    owner,
                    ..
                } => taken.push((child, owner)),
                Event::SafeNested { .. } => {}
                _ => continue,
            }
            self.record(event)?;
        }
        self.write()?;
        Ok(taken)
    }
}
