//! The steps of an upgrade. Data only.

use serde::Serialize;

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Ask the cloud for hash and token.
    Prepare,
    /// Check the hash.
    Verify,
    /// Choose the timelock's operation and the Safe transaction.
    Freeze,
    /// Get the owner's authority.
    Approve,
    /// Send the signed bytes.
    Broadcast,
    /// Wait until it is proved.
    Wait,
    /// Commit.
    Commit,
    /// Find out what became of a commit.
    Settle,
    /// Watch the CVM.
    Watch,
    /// Nothing.
    Finished,
}
