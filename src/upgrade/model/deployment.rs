//! A new app that is to be made by one call of a factory. Data; pure.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::chain::{
    BlockRef, Call, OwnerKind, SignedTx,
    factory::{FactoryCode, FactoryForm, NewApp, NewAppAt},
};
use crate::code::Code;
use crate::upgrade::UpgradeError;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct DeployIntent {
    /// Chain id.
    pub chain_id: u64,
    /// DstackKms.
    pub kms: Address,
    /// What the app begins with.
    pub new: NewApp,
    /// Who calls the factory: a key, or a contract that does so by its own means.
    pub from: Address,
    /// The owner is fine although nothing shows that it can act.
    pub accept_new_owner: bool,
}

/// A new app as it is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Chain id.
    pub chain_id: u64,
    /// DstackKms.
    pub kms: Address,
    /// Which of its factory's two forms.
    pub form: FactoryForm,
    /// The code that the app gets.
    pub code: FactoryCode,
    /// What the app begins with.
    pub new: NewApp,
    /// Who calls the factory.
    pub from: Address,
    /// What that is.
    pub from_kind: OwnerKind,
    /// Newest block when all of it was read: no earlier app is this one.
    pub after: BlockRef,
}

impl Deployment {
    /// What is asked of the factory.
    pub fn at(&self) -> NewAppAt<'_> {
        NewAppAt {
            kms: self.kms,
            new: &self.new,
        }
    }

    /// The call of the factory.
    ///
    /// # Errors
    /// This form cannot say all of it: it was never planned.
    pub fn call(&self) -> Result<Call, UpgradeError> {
        self.new
            .call(self.kms, self.form)
            .ok_or_else(|| refused("it cannot say all of it"))
    }

    /// The directory that it uses below `root` when none is named.
    pub fn default_dir(root: &Path, intent: &DeployIntent) -> PathBuf {
        let seed = serde_json::to_vec(&(intent.chain_id, intent.kms, intent.new)).unwrap_or_default();
        let short = |bytes: &[u8]| hex::encode(bytes).chars().take(8).collect::<String>();
        let (kms, digest) = (short(intent.kms.as_slice()), short(&Sha256::digest(seed)));
        root.join(format!("new-{kms}-{digest}"))
    }

    /// Whether a contract makes the call by its own means.
    pub const fn is_by_contract(&self) -> bool {
        matches!(self.from_kind, OwnerKind::Contract)
    }

    /// The bytes, once they are what was planned: a journal that somebody rewrote must not make this tool send something
    /// else.
    pub(in crate::upgrade) fn permit(&self, tx: SignedTx) -> Result<SignedTx, UpgradeError> {
        let call = self.call()?;
        let request = &tx.request;
        if request.call == call && request.chain_id == self.chain_id && request.from == self.from {
            return Ok(tx);
        }
        Err(UpgradeError::stop(
            Code::TxMismatch,
            "call of the signed transaction",
            &call.data,
            &request.call.data,
        ))
    }

    pub(in crate::upgrade) fn asks_the_same(&self, other: &Self) -> bool {
        let asked = |one: &Self| (one.chain_id, one.kms, one.new, one.from);
        asked(self) == asked(other)
    }

    pub(in crate::upgrade) fn described(&self) -> String {
        let Self { chain_id, kms, new, .. } = self;
        let hash = new.hash.unwrap_or_default();
        format!(
            "a new app of the KMS {kms}, chain {chain_id}, owner {}, hash {hash}, made by {}",
            new.owner, self.from
        )
    }

    /// What somebody agrees to.
    pub(in crate::upgrade) fn facts(&self) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let new = &self.new;
        let device = match (new.allow_any_device, new.device) {
            (true, _) => "every device".to_owned(),
            (false, device) => device.unwrap_or_default().to_string(),
        };
        let yes_no = |on: bool| if on { "yes" } else { "no" }.to_owned();
        let mut facts = vec![
            fact("chain", self.chain_id.to_string()),
            fact("KMS", self.kms.to_string()),
            fact("new app's owner", new.owner.to_string()),
            fact("compose hash", new.hash.unwrap_or_default().to_string()),
            fact("device", device),
            fact("firmware has to be up to date", yes_no(new.require_tcb_up_to_date)),
            fact("code can change", yes_no(!new.disable_upgrades)),
        ];
        if let Some(code) = self.code.implementation {
            facts.push(fact("its code", code.to_string()));
        }
        facts
    }
}

pub(in crate::upgrade) fn refused(why: &str) -> UpgradeError {
    UpgradeError::decide(
        Code::DeployRefused,
        format!("the KMS's contract would not make the app: {why}"),
    )
}
