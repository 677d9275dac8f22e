//! One digest for one owner, Safe and nonce: what is recorded before a key of this machine agrees to a Safe transaction,
//! in whichever way.

use std::path::Path;

use alloy::primitives::{Address, B256};

use crate::code::Code;
use crate::fsutil::point;
use crate::safe::{OwnerSignature, SafeTx};
use crate::signer::{ConsentBy, SafeConsent, Signer, SignerError, SigningRecord};
use crate::upgrade::{
    Limits, Upgrade, UpgradeError, World,
    model::safe_approval::{SafeApproval, SafeTxRole},
    record::State,
    workspace::Subject,
};

/// What is agreed to when `key` acts on a Safe transaction in this way. Whoever agrees for a Safe that is an owner agrees to the
/// transaction above as well, as itself and as that Safe, whichever nonce that Safe uses up for it. `None`: the key is no
/// owner, and only executes what a Safe agrees to.
pub(in crate::upgrade) fn consents(
    ceremony: &SafeApproval,
    role: SafeTxRole,
    key: Option<Address>,
    by: ConsentBy,
) -> Vec<SafeConsent> {
    let own = ceremony.role(role).and_then(|(signed_tx, _)| {
        let key = key?;
        Some(SafeConsent::new(key, &signed_tx.tx, by))
    });
    let SafeTxRole::Nested(child) = role else {
        return own.into_iter().collect();
    };
    let above = key.into_iter().chain([child]);
    let above = above.map(|owner| SafeConsent::new(owner, &ceremony.approval.tx, ConsentBy::Nested(child)));
    own.into_iter().chain(above).collect()
}

/// Whether one of these, what is about to be agreed to, is what somebody reviewed. Pure.
///
/// # Errors
/// It is another one, or nothing of a Safe.
pub(in crate::upgrade) fn expect_safe_tx(limits: &Limits, about: &[B256]) -> Result<(), UpgradeError> {
    let Some(expected) = limits.expected_safe_tx.filter(|hash| !about.contains(hash)) else {
        return Ok(());
    };
    let found = about
        .last()
        .map_or_else(|| "no Safe transaction".to_owned(), ToString::to_string);
    Err(UpgradeError::stop(
        Code::SafeTxUnexpected,
        "the Safe transaction that was reviewed",
        expected,
        found,
    ))
}

/// What a Safe transaction is known by: its own hash, and for a Safe that is an owner the hash that it agrees to.
pub(in crate::upgrade) fn known_by(ceremony: &SafeApproval, role: SafeTxRole) -> Vec<B256> {
    let above = matches!(role, SafeTxRole::Nested(_)).then(|| ceremony.hash());
    let own = ceremony.role(role).map(|(signed_tx, _)| signed_tx.tx.hash());
    above.into_iter().chain(own).collect()
}

impl Upgrade {
    /// Compares the transaction that is chosen with the one that was reviewed; one that is chosen later is compared then.
    pub(in crate::upgrade) fn expect_safe_tx(&self, limits: &Limits, role: SafeTxRole) -> Result<(), UpgradeError> {
        if limits.expected_safe_tx.is_none() {
            return Ok(());
        }
        match (self.state().ceremony()?, self.state().plan()) {
            (Some(ceremony), _) => expect_safe_tx(limits, &known_by(&ceremony, role)),
            (None, Some(plan)) if plan.safe.is_some() => Ok(()),
            (None, _) => expect_safe_tx(limits, &[]),
        }
    }
}

impl Subject {
    /// Compares what a Safe transaction is about with what was reviewed.
    ///
    /// # Errors
    /// It is something else.
    pub fn expect(&self, limits: &Limits, role: SafeTxRole) -> Result<(), UpgradeError> {
        let (_, ceremony) = self.ceremony()?;
        expect_safe_tx(limits, &known_by(&ceremony, role))
    }
}

impl State {
    /// A nonce that was named has to be the one that was chosen: another one would be another transaction.
    ///
    /// # Errors
    /// It is not.
    pub(in crate::upgrade) fn expect_nonce(&self, limits: &Limits, role: SafeTxRole) -> Result<(), UpgradeError> {
        let chosen = match role {
            SafeTxRole::Nested(child) => self.safe.signatures.nested.get(&child).map(|nested| &nested.frozen),
            _ if limits.new_nonce && self.needs_new_nonce() => None,
            _ => self.safe.frozen.as_deref(),
        };
        match (limits.safe_nonce, chosen.map(|frozen| frozen.transaction.nonce)) {
            (Some(named), Some(chosen)) if named != chosen => Err(UpgradeError::decide(
                Code::SafeNonceChosen,
                format!("the Safe transaction has nonce {chosen}, which its hash covers, and not {named}"),
            )),
            _ => Ok(()),
        }
    }
}

/// Earlier digests that somebody named as known.
pub(in crate::upgrade) fn accepted(limits: &Limits) -> Vec<B256> {
    let named = limits.accepted.values(Code::AlreadySigned);
    named.filter_map(|value| value.parse().ok()).collect()
}

impl World<'_> {
    /// The record of agreements, open.
    ///
    /// # Errors
    /// There is no place for it, or it cannot be used.
    pub(in crate::upgrade) fn signing_record(&self) -> Result<SigningRecord, UpgradeError> {
        Ok(SigningRecord::open(self.place_of_record()?).map_err(SignerError::from)?)
    }

    /// The record of agreements for whoever asks it something at once, which reads it.
    fn record_to_ask(&self) -> Result<SigningRecord, UpgradeError> {
        Ok(SigningRecord::at(self.place_of_record()?).map_err(SignerError::from)?)
    }

    fn place_of_record(&self) -> Result<&Path, UpgradeError> {
        self.record.ok_or_else(|| {
            UpgradeError::decide(
                Code::NoSigningRecord,
                "there is no place to remember what is signed: neither XDG_STATE_HOME nor HOME is set",
            )
        })
    }

    /// Signs a Safe transaction with the key of somebody who is no owner and proposes it in an owner's name. It is
    /// remembered as an owner's signature is: who is a delegate today may be an owner tomorrow, and it would count then.
    ///
    /// # Errors
    /// This machine signed something else for the nonce, or the key did not sign.
    pub async fn sign_as_delegate(
        &self,
        limits: &Limits,
        signer: &Signer,
        tx: &SafeTx,
    ) -> Result<OwnerSignature, UpgradeError> {
        let record = self.signing_record()?;
        Ok(signer.sign_safe_tx(tx, &record, &accepted(limits)).await?)
    }

    /// Whether these may be agreed to, so that nobody is asked for what is refused afterwards. Writes nothing.
    ///
    /// # Errors
    /// Something else was agreed to for the nonce, or the record cannot be used.
    pub(in crate::upgrade) fn check_consents(
        &self,
        limits: &Limits,
        consents: &[SafeConsent],
    ) -> Result<(), UpgradeError> {
        if consents.is_empty() {
            return Ok(());
        }
        Ok(self.record_to_ask()?.check(consents, &accepted(limits))?)
    }

    /// Records these, right before the key is touched; they are on disk when this returns.
    ///
    /// # Errors
    /// Something else was agreed to for the nonce, or the record cannot be used.
    pub(in crate::upgrade) fn admit_consents(
        &self,
        limits: &Limits,
        consents: &[SafeConsent],
    ) -> Result<(), UpgradeError> {
        if consents.is_empty() {
            return Ok(());
        }
        self.record_to_ask()?.admit(consents, &accepted(limits))?;
        point("consents.d");
        Ok(())
    }
}
