//! A Safe's approval of one upgrade: the frozen transaction, who signed it so far, and the same for the transaction
//! that would reject it. Pure.
//!
//! Everything is rebuilt from the ten fields, the calls and the owners, and nothing is believed: a signature counts for
//! the hash that is computed here, or it is none.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{Plan, UpgradeError};
use crate::chain::{BlockRef, Call};
use crate::safe::{
    Digests, Intent, OwnerSignature, SafeDomain, SafeInfo, SafeTx, SafeTxError, SafeTxFields, SignatureSet,
};

/// The Safe transaction that an upgrade asks for. Its nonce is chosen once, and with it the hash that owners sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// Whose transaction.
    pub domain: SafeDomain,
    /// The ten fields.
    pub transaction: SafeTxFields,
    /// The block at which the nonce was chosen: nothing of it happened before.
    pub block: BlockRef,
}

/// What one owner sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Whose.
    pub owner: Address,
    /// As it stands alone: 65 bytes, or an entry and a contract's data.
    pub signature: Bytes,
}

/// The part of a proposal that a Safe's owners sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeSection {
    /// Whose transaction, which fields, since when.
    pub frozen: Frozen,
    /// The hashes that signers compare.
    pub digests: Digests,
    /// The signatures so far, by owner.
    pub signatures: Vec<Signed>,
    /// Set once somebody asked for the transaction to be rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<RejectionSection>,
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
pub struct Ballot {
    /// The transaction.
    pub tx: SafeTx,
    /// Who signed it.
    pub signatures: SignatureSet,
}

/// Both transactions of a nonce: the one that approves the upgrade, and the one that rejects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// The approval.
    pub approval: Ballot,
    /// The rejection.
    pub rejection: Ballot,
    /// Since when.
    pub block: BlockRef,
}

impl Frozen {
    /// Chooses the transaction that makes `calls`.
    ///
    /// # Errors
    /// See [`SafeTx::freeze`].
    pub(super) fn choose(
        safe: &SafeInfo,
        calls: &[Call],
        (nonce, batcher): (U256, Option<Address>),
    ) -> Result<Self, UpgradeError> {
        let tx = SafeTx::freeze(&Intent {
            domain: domain(safe),
            nonce,
            calls: calls.to_vec(),
            batcher,
            // Whether an old version is trusted is decided where something is signed.
            old_versions: true,
        })
        .map_err(refused)?;
        Ok(Self {
            domain: *tx.domain(),
            transaction: tx.fields().clone(),
            block: safe.block,
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
        tx.expect_calls(calls).map_err(refused)?;
        Ok(tx)
    }
}

impl Ballot {
    fn new(tx: SafeTx, owners: &BTreeSet<Address>, signed: &BTreeMap<Address, Bytes>) -> Self {
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

    fn signed(&self) -> Vec<Signed> {
        let by_owner = self.signatures.by_owner().iter();
        by_owner
            .map(|(owner, signature)| Signed {
                owner: *owner,
                signature: signature.to_bytes(),
            })
            .collect()
    }
}

impl Ceremony {
    /// Rebuilds both transactions and takes in the signatures that count.
    ///
    /// # Errors
    /// The frozen transaction is not the one that the plan asks for.
    pub(super) fn new(
        plan: &Plan,
        calls: &[Call],
        frozen: &Frozen,
        (approvals, rejections): (&BTreeMap<Address, Bytes>, &BTreeMap<Address, Bytes>),
    ) -> Result<Self, UpgradeError> {
        let tx = frozen.rebuild(plan, calls)?;
        let owners = plan.safe.as_ref().map(SafeInfo::owner_set).unwrap_or_default();
        let rejection = SafeTx::rejection(frozen.domain, frozen.transaction.nonce, true).map_err(refused)?;
        Ok(Self {
            approval: Ballot::new(tx, &owners, approvals),
            rejection: Ballot::new(rejection, &owners, rejections),
            block: frozen.block,
        })
    }

    /// The ballot that is signed: the approval, or the rejection.
    pub const fn ballot(&self, rejects: bool) -> &Ballot {
        if rejects { &self.rejection } else { &self.approval }
    }

    /// The approval's hash.
    pub const fn hash(&self) -> B256 {
        self.approval.tx.hash()
    }

    /// The nonce of both.
    pub const fn nonce(&self) -> U256 {
        self.approval.tx.fields().nonce
    }

    /// As a proposal holds it.
    pub(super) fn section(&self, frozen: &Frozen, rejecting: bool) -> SafeSection {
        let rejection = rejecting || !self.rejection.signatures.by_owner().is_empty();
        SafeSection {
            frozen: frozen.clone(),
            digests: self.approval.tx.digests(),
            signatures: self.approval.signed(),
            rejection: rejection.then(|| RejectionSection {
                digests: self.rejection.tx.digests(),
                signatures: self.rejection.signed(),
            }),
        }
    }
}

impl SafeSection {
    /// Recomputes everything that follows from the fields, and every signature's owner.
    ///
    /// # Errors
    /// Something in it is not what it should be.
    pub(super) fn check(&self, plan: &Plan, calls: &[Call]) -> Result<Ceremony, UpgradeError> {
        let rejections = self.rejection.as_ref().map(|rejection| signed(&rejection.signatures));
        let ceremony = Ceremony::new(
            plan,
            calls,
            &self.frozen,
            (&signed(&self.signatures), &rejections.unwrap_or_default()),
        )?;
        let again = ceremony.section(&self.frozen, self.rejection.is_some());
        if again.digests != self.digests {
            return Err(changed(
                "hashes of the Safe transaction",
                again.digests.safe_tx,
                self.digests.safe_tx,
            ));
        }
        if again.signatures != self.signatures {
            return Err(changed(
                "signatures of the Safe transaction",
                owners(&again.signatures),
                owners(&self.signatures),
            ));
        }
        if again.rejection != self.rejection {
            return Err(changed(
                "rejection of the Safe transaction",
                "what follows from its nonce",
                "another one",
            ));
        }
        Ok(ceremony)
    }
}

pub(super) fn signed(all: &[Signed]) -> BTreeMap<Address, Bytes> {
    all.iter().map(|one| (one.owner, one.signature.clone())).collect()
}

/// The EIP-712 domain of a Safe.
pub(super) const fn domain(safe: &SafeInfo) -> SafeDomain {
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
    UpgradeError::stop("PROPOSAL_CHANGED", what, expected, found)
}

/// A transaction that breaks a rule is never signed, whoever made it.
pub(super) fn refused(error: SafeTxError) -> UpgradeError {
    let code = match error {
        SafeTxError::NoBatcher { .. } => {
            return UpgradeError::decide("SAFE_NO_BATCHER", error.to_string());
        }
        _ => "SAFE_TX_REFUSED",
    };
    UpgradeError::stop(
        code,
        "the Safe transaction",
        "exactly the calls of the upgrade, and nothing else",
        error,
    )
}

#[cfg(test)]
#[path = "ceremony_tests.rs"]
mod tests;
