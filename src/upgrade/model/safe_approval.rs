//! A Safe's approval of one upgrade: the frozen transaction, who signed it so far, and the same for the transaction
//! that would reject it. Pure.
//!
//! Everything is rebuilt from the ten fields, the calls and the owners, and nothing is believed: a signature counts for
//! the hash that is computed here, or it is none.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::chain::{BlockRef, Call};
use crate::code::Code;
use crate::safe::{
    Digests, Intent, OwnerSignature, SafeDomain, SafeTx, SafeTxError, SafeTxFields,
    approvals::{Inserted, SignatureSet},
    collect::{Claims, Offer},
    info::SafeInfo,
    nested::is_approval_of,
};
use crate::upgrade::{UpgradeError, Warning, model::Plan};

/// The Safe transaction that an upgrade asks for. Its nonce is chosen once, and with it the hash that owners sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenSafeTx {
    /// Whose transaction.
    pub domain: SafeDomain,
    /// The ten fields.
    pub transaction: SafeTxFields,
    /// The block at which the nonce was chosen: nothing of it happened before.
    pub block: BlockRef,
    /// What the transaction is for.
    #[serde(default = "Stage::policy", skip_serializing_if = "Stage::is_policy")]
    pub stage: Stage,
}

/// What a Safe makes calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// To change the policy itself.
    Policy,
    /// To schedule the change at a timelock.
    Schedule,
    /// To execute what is scheduled.
    Execute,
    /// To cancel what is scheduled.
    Cancel,
}

impl Stage {
    /// What a record that names none is for.
    const fn policy() -> Self {
        Self::Policy
    }

    /// Whether the calls change the policy themselves.
    pub const fn is_policy(&self) -> bool {
        matches!(self, Self::Policy)
    }
}

/// What one owner sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The owner who agrees.
    pub owner: Address,
    /// As it stands alone: 65 bytes, or an entry and a contract's data.
    pub signature: Bytes,
}

/// The part of a proposal that a Safe's owners sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeSection {
    /// Whose transaction, which fields, since when.
    pub frozen: FrozenSafeTx,
    /// The hashes that signers compare.
    pub digests: Digests,
    /// The signatures so far, by owner.
    pub signatures: Vec<Signed>,
    /// Set once somebody asked for the transaction to be rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<RejectionSection>,
    /// Owners that are Safes themselves: their own transactions that approve this one on chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nested: Vec<NestedSection>,
}

/// What the owners of a Safe sign that owns the Safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NestedSection {
    /// The Safe that is an owner.
    pub safe: SafeInfo,
    /// Its transaction: `approveHash` of the one above, at a nonce of its own.
    pub frozen: FrozenSafeTx,
    /// Its hashes.
    pub digests: Digests,
    /// Its signatures so far, by owner.
    pub signatures: Vec<Signed>,
}

/// The transaction that uses up the nonce, so that the upgrade can never be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectionSection {
    /// Its hashes.
    pub digests: Digests,
    /// Its signatures so far, by owner.
    pub signatures: Vec<Signed>,
}

/// One transaction and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSafeTx {
    /// The transaction.
    pub tx: SafeTx,
    /// Who signed it.
    pub signatures: SignatureSet,
}

/// Which transaction somebody signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SafeTxRole {
    /// The one that approves the upgrade.
    Approval,
    /// The one that rejects it.
    Rejection,
    /// The one with which this owner, a Safe itself, agrees to the approval.
    Nested(Address),
}

/// The transaction of an owner that is a Safe, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) struct Nested {
    pub(in crate::upgrade) safe: SafeInfo,
    pub(in crate::upgrade) frozen: FrozenSafeTx,
    pub(in crate::upgrade) signatures: BTreeMap<Address, Bytes>,
}

/// Everything that is recorded of who signed what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::upgrade) struct Signatures {
    /// Whose came with the upper of the two values of s; what is kept has the lower.
    pub(in crate::upgrade) normalised: BTreeSet<Address>,
    pub(in crate::upgrade) approvals: BTreeMap<Address, Bytes>,
    pub(in crate::upgrade) rejections: BTreeMap<Address, Bytes>,
    pub(in crate::upgrade) nested: BTreeMap<Address, Nested>,
}

impl Signatures {
    /// Whether nobody signed anything, neither for the approval nor against it, nor for a Safe that is an owner.
    pub(in crate::upgrade) fn is_empty(&self) -> bool {
        let nested = self.nested.keys().map(|child| SafeTxRole::Nested(*child));
        let mut all = [SafeTxRole::Approval, SafeTxRole::Rejection].into_iter().chain(nested);
        all.all(|role| self.proven(role).is_empty())
    }

    /// Whose signatures of a Safe transaction prove themselves. An approval or a contract's signature counts for nothing before a
    /// chain confirmed it: anybody can write one.
    pub(in crate::upgrade) fn proven(&self, role: SafeTxRole) -> BTreeSet<Address> {
        let all = self.of(role).into_iter().flatten();
        let proven = all.filter(|(_, bytes)| OwnerSignature::read(bytes).is_ok_and(|one| one.proves_itself()));
        proven.map(|(owner, _)| *owner).collect()
    }

    /// The signatures of one Safe transaction; none before it was chosen.
    pub(in crate::upgrade) fn of(&self, role: SafeTxRole) -> Option<&BTreeMap<Address, Bytes>> {
        match role {
            SafeTxRole::Approval => Some(&self.approvals),
            SafeTxRole::Rejection => Some(&self.rejections),
            SafeTxRole::Nested(child) => self.nested.get(&child).map(|nested| &nested.signatures),
        }
    }

    pub(in crate::upgrade) fn keep(&mut self, role: SafeTxRole, owner: Address, signature: Bytes) {
        let (signature, had_upper) = lower(signature);
        if had_upper {
            self.normalised.insert(owner);
        }
        let signatures = match role {
            SafeTxRole::Approval => &mut self.approvals,
            SafeTxRole::Rejection => &mut self.rejections,
            SafeTxRole::Nested(child) => match self.nested.get_mut(&child) {
                Some(nested) => &mut nested.signatures,
                None => return,
            },
        };
        signatures.insert(owner, signature);
    }
}

/// Both transactions of a nonce: the one that approves the upgrade, and the one that rejects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeApproval {
    /// The approval.
    pub approval: SignedSafeTx,
    /// The rejection.
    pub rejection: SignedSafeTx,
    /// What owners that are Safes sign, by their addresses.
    pub nested: BTreeMap<Address, (SafeInfo, SignedSafeTx)>,
    /// Since when.
    pub block: BlockRef,
    /// What the approval is for.
    pub stage: Stage,
}

impl FrozenSafeTx {
    /// Chooses the transaction; `block` is where its Safe was read.
    ///
    /// # Errors
    /// See [`SafeTx::freeze`].
    pub(in crate::upgrade) fn choose(intent: &Intent, stage: Stage, block: BlockRef) -> Result<Self, UpgradeError> {
        let tx = SafeTx::freeze(intent).map_err(refused)?;
        Ok(Self {
            domain: *tx.domain(),
            transaction: tx.fields().clone(),
            block,
            stage,
        })
    }

    /// The transaction, once it is what the plan asks for.
    fn rebuild(&self, plan: &Plan, calls: &[Call]) -> Result<SafeTx, UpgradeError> {
        let Some(safe) = &plan.safe else {
            return Err(changed("owner", "a Safe", "no Safe"));
        };
        let expected = domain(safe);
        if self.domain != expected {
            return Err(changed(
                "Safe of the transaction",
                describe(&expected),
                describe(&self.domain),
            ));
        }
        let tx = SafeTx::accept(self.domain, self.transaction.clone(), true).map_err(refused)?;
        // What came of a wrong proposal asks for nothing but its rejection.
        if !calls.is_empty() || !tx.is_rejection() {
            tx.expect_calls(calls).map_err(refused)?;
        }
        Ok(tx)
    }
}

impl SignedSafeTx {
    pub(in crate::upgrade) fn new(tx: SafeTx, owners: &BTreeSet<Address>, signed: &BTreeMap<Address, Bytes>) -> Self {
        let mut signatures = SignatureSet::new(&tx);
        for bytes in signed.values() {
            // Whoever is no owner any more does not count, and what was recorded before may be by such a one.
            if let Ok(signature) = OwnerSignature::read(bytes)
                && let Err(error) = signatures.insert(signature, owners)
            {
                tracing::debug!(%error, "a recorded signature does not count");
            }
        }
        Self { tx, signatures }
    }

    fn offers(&self) -> impl Iterator<Item = Offer> {
        let (domain, nonce) = (*self.tx.domain(), self.tx.fields().nonce);
        let by_owner = self.signatures.by_owner().iter();
        by_owner.map(move |(owner, signature)| Offer {
            signature: signature.clone(),
            claims: Claims {
                safe_tx_hash: Some(self.tx.hash()),
                chain_id: Some(domain.chain_id),
                safe: Some(domain.safe),
                nonce: Some(nonce),
                owner: Some(*owner),
                fields: None,
            },
            source: "proposal",
        })
    }

    pub(in crate::upgrade) fn signed(&self) -> Vec<Signed> {
        let by_owner = self.signatures.by_owner().iter();
        by_owner
            .map(|(owner, signature)| Signed {
                owner: *owner,
                signature: signature.to_bytes(),
            })
            .collect()
    }
}

impl SafeApproval {
    /// Rebuilds both transactions and takes in the signatures that count.
    ///
    /// # Errors
    /// The frozen transaction is not the one that the plan asks for.
    pub(in crate::upgrade) fn new(
        plan: &Plan,
        calls: &[Call],
        frozen: &FrozenSafeTx,
        signatures: &Signatures,
    ) -> Result<Self, UpgradeError> {
        let tx = frozen.rebuild(plan, calls)?;
        let owners = plan.safe.as_ref().map(SafeInfo::owner_set).unwrap_or_default();
        let rejection = SafeTx::rejection(frozen.domain, frozen.transaction.nonce, true).map_err(refused)?;
        let nested = signatures.nested.iter().map(|(child, nested)| {
            let signed_tx = nested.signed_tx(&tx, &owners)?;
            Ok((*child, (nested.safe.clone(), signed_tx)))
        });
        Ok(Self {
            nested: nested.collect::<Result<_, UpgradeError>>()?,
            approval: SignedSafeTx::new(tx, &owners, &signatures.approvals),
            rejection: SignedSafeTx::new(rejection, &owners, &signatures.rejections),
            block: frozen.block,
            stage: frozen.stage,
        })
    }

    /// The approval, or the rejection.
    pub const fn signed_tx(&self, rejects: bool) -> &SignedSafeTx {
        if rejects { &self.rejection } else { &self.approval }
    }

    /// What is signed in a role, and the Safe whose owners sign it unless it is the one that owns the app; nothing for
    /// a nested Safe whose transaction was not chosen yet.
    pub fn role(&self, role: SafeTxRole) -> Option<(&SignedSafeTx, Option<&SafeInfo>)> {
        match role {
            SafeTxRole::Approval => Some((&self.approval, None)),
            SafeTxRole::Rejection => Some((&self.rejection, None)),
            SafeTxRole::Nested(child) => self.nested.get(&child).map(|(safe, signed_tx)| (signed_tx, Some(safe))),
        }
    }

    /// Takes in one more signature in a role, where `owners` are those of the Safe that owns the app. `true`: it counts
    /// and is better than what was here, by the rule of [`SignatureSet::insert`].
    pub(in crate::upgrade) fn take(&mut self, role: SafeTxRole, signature: &Bytes, owners: &BTreeSet<Address>) -> bool {
        let Ok(signature) = OwnerSignature::read(signature) else {
            return false;
        };
        let inserted = match role {
            SafeTxRole::Approval => self.approval.signatures.insert(signature, owners),
            SafeTxRole::Rejection => self.rejection.signatures.insert(signature, owners),
            SafeTxRole::Nested(child) => match self.nested.get_mut(&child) {
                Some((safe, signed_tx)) => signed_tx.signatures.insert(signature, &safe.owner_set()),
                None => return false,
            },
        };
        matches!(
            inserted,
            Ok(Inserted::New(_) | Inserted::Replaced(_) | Inserted::Superseded(_))
        )
    }

    /// The approval's hash.
    pub const fn hash(&self) -> B256 {
        self.approval.tx.hash()
    }

    /// The hashes of all its Safe transactions.
    pub(in crate::upgrade) fn hashes(&self) -> Vec<B256> {
        let both = [&self.approval, &self.rejection].into_iter();
        let nested = self.nested.values().map(|(_, signed_tx)| signed_tx);
        both.chain(nested).map(|signed_tx| signed_tx.tx.hash()).collect()
    }

    /// The nonce of both.
    pub const fn nonce(&self) -> U256 {
        self.approval.tx.fields().nonce
    }

    /// The signatures of both, with what they are for, as one who passes them on would tell it.
    pub fn offers(&self) -> impl Iterator<Item = Offer> {
        [&self.approval, &self.rejection]
            .into_iter()
            .flat_map(SignedSafeTx::offers)
    }

    /// As a proposal holds it.
    pub(in crate::upgrade) fn section(&self, frozen: &FrozenSafeTx, rejecting: bool, all: &Signatures) -> SafeSection {
        let rejection = rejecting || !self.rejection.signatures.by_owner().is_empty();
        SafeSection {
            frozen: frozen.clone(),
            digests: self.approval.tx.digests(),
            signatures: self.approval.signed(),
            rejection: rejection.then(|| RejectionSection {
                digests: self.rejection.tx.digests(),
                signatures: self.rejection.signed(),
            }),
            nested: self
                .nested
                .iter()
                .filter_map(|(child, (safe, signed_tx))| {
                    Some(NestedSection {
                        safe: safe.clone(),
                        frozen: all.nested.get(child)?.frozen.clone(),
                        digests: signed_tx.tx.digests(),
                        signatures: signed_tx.signed(),
                    })
                })
                .collect(),
        }
    }
}

impl Nested {
    /// The child's transaction, once it is nothing but its agreement to `parent`.
    fn signed_tx(&self, parent: &SafeTx, owners: &BTreeSet<Address>) -> Result<SignedSafeTx, UpgradeError> {
        let child = domain(&self.safe);
        if self.frozen.domain != child || child.chain_id != parent.domain().chain_id {
            return Err(changed(
                "Safe of a nested transaction",
                describe(&child),
                describe(&self.frozen.domain),
            ));
        }
        if !owners.contains(&child.safe) {
            return Err(changed("nested Safe", "an owner of the Safe", child.safe));
        }
        let tx = SafeTx::accept(self.frozen.domain, self.frozen.transaction.clone(), true).map_err(refused)?;
        if !is_approval_of(&tx, parent) {
            return Err(changed(
                "nested transaction",
                format!("approveHash of {}", parent.hash()),
                "another call",
            ));
        }
        Ok(SignedSafeTx::new(tx, &self.safe.owner_set(), &self.signatures))
    }
}

impl SafeSection {
    /// Every signature, and what it is for.
    pub(in crate::upgrade) fn all_signatures(&self) -> impl Iterator<Item = (SafeTxRole, &Signed)> {
        let approvals = marked(SafeTxRole::Approval, &self.signatures);
        let rejections = self.rejection.iter();
        let rejections = rejections.flat_map(|one| marked(SafeTxRole::Rejection, &one.signatures));
        let nested = self.nested.iter();
        let nested = nested.flat_map(|one| marked(SafeTxRole::Nested(one.safe.address), &one.signatures));
        approvals.chain(rejections).chain(nested)
    }

    /// Recomputes everything that follows from the fields, and every signature's owner.
    ///
    /// # Errors
    /// Something in it is not what it should be.
    pub(in crate::upgrade) fn check(&self, plan: &Plan, calls: &[Call]) -> Result<SafeApproval, UpgradeError> {
        let rejections = self.rejection.as_ref().map(|rejection| signed(&rejection.signatures));
        let nested = self.nested.iter().map(|one| {
            let nested = Nested {
                safe: one.safe.clone(),
                frozen: one.frozen.clone(),
                signatures: signed(&one.signatures),
            };
            (one.safe.address, nested)
        });
        let signatures = Signatures {
            approvals: signed(&self.signatures),
            rejections: rejections.unwrap_or_default(),
            nested: nested.collect(),
            normalised: BTreeSet::new(),
        };
        let ceremony = SafeApproval::new(plan, calls, &self.frozen, &signatures)?;
        let again = ceremony.section(&self.frozen, self.rejection.is_some(), &signatures);
        if again.digests != self.digests {
            return Err(changed(
                "hashes of the Safe transaction",
                again.digests.safe_tx,
                self.digests.safe_tx,
            ));
        }
        if again.signatures != lowered(&self.signatures) {
            return Err(changed(
                "signatures of the Safe transaction",
                owners(&again.signatures),
                owners(&self.signatures),
            ));
        }
        let rejection = self.rejection.as_ref().map(|one| RejectionSection {
            signatures: lowered(&one.signatures),
            ..one.clone()
        });
        if again.rejection != rejection {
            return Err(changed(
                "rejection of the Safe transaction",
                "what follows from its nonce",
                "another one",
            ));
        }
        let nested: Vec<NestedSection> = self
            .nested
            .iter()
            .map(|one| NestedSection {
                signatures: lowered(&one.signatures),
                ..one.clone()
            })
            .collect();
        if again.nested != nested {
            return Err(changed(
                "transactions of nested Safes",
                "what follows from the Safe transaction",
                "others",
            ));
        }
        Ok(ceremony)
    }
}

fn marked(role: SafeTxRole, all: &[Signed]) -> impl Iterator<Item = (SafeTxRole, &Signed)> {
    all.iter().map(move |one| (role, one))
}

pub(in crate::upgrade) fn signed(all: &[Signed]) -> BTreeMap<Address, Bytes> {
    all.iter().map(|one| (one.owner, one.signature.clone())).collect()
}

/// A signature with the lower s, and whether it had the upper one. What is no signature stays as it is.
fn lower(signature: Bytes) -> (Bytes, bool) {
    match OwnerSignature::read(&signature) {
        Ok(read) if read.has_upper_s() => (read.to_bytes(), true),
        _ => (signature, false),
    }
}

/// That a signature counts with the lower of its two values of s.
pub fn upper_s(owner: Address) -> Warning {
    Warning {
        code: Code::SignatureNormalised,
        text: format!(
            "the signature of {owner} had the upper of the two values of s: it counts, and is kept and sent with the lower one"
        ),
    }
}

fn lowered(all: &[Signed]) -> Vec<Signed> {
    let one = |signed: &Signed| Signed {
        owner: signed.owner,
        signature: lower(signed.signature.clone()).0,
    };
    all.iter().map(one).collect()
}

/// The EIP-712 domain of a Safe.
pub(in crate::upgrade) const fn domain(safe: &SafeInfo) -> SafeDomain {
    SafeDomain {
        chain_id: safe.chain_id,
        safe: safe.address,
        version: safe.version,
    }
}

fn describe(domain: &SafeDomain) -> String {
    format!("{} {} on chain {}", domain.safe, domain.version, domain.chain_id)
}

fn owners(all: &[Signed]) -> String {
    let names: Vec<String> = all.iter().map(|one| one.owner.to_string()).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn changed(what: &str, expected: impl ToString, found: impl ToString) -> UpgradeError {
    UpgradeError::stop(Code::ProposalChanged, what, expected, found)
}

/// A transaction that breaks a rule is never signed, whoever made it.
pub(in crate::upgrade) fn refused(error: SafeTxError) -> UpgradeError {
    let code = match error {
        SafeTxError::NoBatcher { .. } => {
            return UpgradeError::decide(Code::SafeNoBatcher, error.to_string());
        }
        _ => Code::SafeTxRefused,
    };
    UpgradeError::stop(
        code,
        "the Safe transaction",
        "exactly the calls of the upgrade, and nothing else",
        error,
    )
}

#[cfg(test)]
#[path = "safe_approval_tests.rs"]
mod tests;
