//! The baseline: what a change is shown against is worth something only if the app ever allowed it. Otherwise the cloud,
//! or whoever wrote a proposal, could hide a change by having it on both sides.

use alloy::primitives::B256;

use crate::chain::{
    AppState, Chain,
    hash_past::{HashPast, Search},
};
use crate::code::Code;
use crate::upgrade::{
    Stop, UpgradeError,
    finding::Finding,
    model::Plan,
    model::{
        baseline::{Baseline, Past},
        plan::CodeChange,
    },
};

/// Requests to each endpoint by which it is looked whether the hash to allow was taken away before.
const REQUESTS: u32 = 20;

/// What stands in the place of a hash that the cloud does not name.
const NO_HASH: &str = "none";

impl CodeChange {
    /// The hash that runs before the change, in words.
    pub(in crate::upgrade) fn told_current_hash(&self) -> String {
        self.current_hash
            .map_or_else(|| NO_HASH.to_owned(), |hash| hash.to_string())
    }
}

impl Baseline {
    /// What the chain says of the manifest before the change. The state answers where the hash is allowed; only where it
    /// is not are receipts and logs asked for.
    pub(in crate::upgrade) async fn of(
        chain: &Chain,
        app: &AppState,
        plan: &Plan,
        hints: impl FnOnce(B256) -> Vec<B256>,
    ) -> Result<Self, UpgradeError> {
        let Some(code) = plan.code.as_ref().filter(|code| !code.target.is_new()) else {
            return Ok(Self::Nothing);
        };
        let Some(before) = code.current_hash else {
            return Ok(Self::Unknown {
                why: "Phala Cloud names no hash that runs".to_owned(),
            });
        };
        if app.running_allowed == Some(true) {
            let missing: Vec<String> = chain.missing_now().iter().map(ToString::to_string).collect();
            return Ok(match missing.is_empty() {
                true => Self::Proven,
                false => Self::NotChecked { missing },
            });
        }
        let before = B256::from(*before.as_bytes());
        let past = chain.hash_past(app, before, &hints(before)).await?;
        Ok(match past {
            HashPast::Named { transaction, .. } => Self::Revoked { transaction },
            HashPast::Never => Self::Never,
            HashPast::Unknown { why } => Self::Unknown { why },
        })
    }

    /// What of it could not be checked, one line each.
    pub(in crate::upgrade) fn not_checked(&self, plan: &Plan) -> Vec<String> {
        let before = plan.code.as_ref().map(CodeChange::told_current_hash);
        let (Self::NotChecked { missing }, Some(before)) = (self, before) else {
            return Vec::new();
        };
        let each = missing.iter();
        each.map(|missing| format!("whether the app allows {before}, what the change is shown against, at {missing}"))
            .collect()
    }

    /// Whether the fields that `plan` does not change need not be read: somebody approved them before. The hash that was
    /// approved says so only of a manifest that gives it.
    pub(in crate::upgrade) fn approves_the_rest(&self, plan: &Plan) -> bool {
        let is_recomputed = plan.code.as_ref().is_some_and(|code| code.form.is_some());
        is_recomputed && matches!(self, Self::Proven | Self::Revoked { .. })
    }

    /// What it means for whoever agrees to the change of `plan`.
    pub(in crate::upgrade) fn finding(&self, plan: &Plan) -> Option<Finding> {
        let before = plan
            .code
            .as_ref()
            .map(crate::upgrade::model::plan::CodeChange::told_current_hash)?;
        match self {
            Self::Proven | Self::NotChecked { .. } | Self::Nothing => None,
            Self::Revoked { transaction } => Some(Finding::note(
                Code::BaseRevoked,
                format!(
                    "the app allowed {before}, what the change is shown against, and does not any more (transaction \
                     {transaction} names it)"
                ),
            )),
            Self::Never => Some(Finding::stop(Stop {
                code: Code::BaseNeverAllowed,
                what: "hash of the manifest before".to_owned(),
                expected: "one that the app allows, or allowed once".to_owned(),
                found: before,
                details: vec!["the change is shown against something that nobody ever approved".to_owned()],
                origin: None,
            })),
            Self::Unknown { why } => {
                let text = match before.as_str() {
                    NO_HASH => format!("what runs now is not known to be approved: {why}; read the whole manifest"),
                    _ => format!(
                        "the app does not allow {before}, what the change is shown against, and whether it ever did is \
                         unknown: {why}; read the whole manifest"
                    ),
                };
                Some(Finding::decision(Code::BaseUnknown, Some(before), text))
            }
        }
    }
}

impl Past {
    /// Looks, with a bounded number of requests, whether the hash that `plan` allows was taken away before.
    pub(in crate::upgrade) async fn search(chain: &Chain, app: &AppState, hash: B256) -> Result<Self, UpgradeError> {
        Ok(match chain.removal(app, hash, REQUESTS).await? {
            Search::Removed { transaction, .. } => Self::TakenAway(transaction),
            Search::Never => Self::Clean,
            Search::Unfinished => Self::NotKnown,
        })
    }

    /// What it means for whoever allows `hash`.
    pub(in crate::upgrade) fn finding(self, hash: B256) -> Option<Finding> {
        let Self::TakenAway(transaction) = self else {
            return None;
        };
        Some(Finding::decision(
            Code::HashWasRevoked,
            Some(hash.to_string()),
            format!("the app allowed {hash} before and took it away again in transaction {transaction}"),
        ))
    }
}
