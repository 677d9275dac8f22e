//! A change of a CVM that no KMS on a chain guards: nobody has to approve it, and Phala Cloud applies it at once. Data; pure.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use jiff::Timestamp;
use serde::Serialize;

use crate::upgrade::{
    finding::Warning,
    model::{environment::patch_digest, plan::CodeChange},
};

/// Everything that was read before anything is done.
#[derive(Debug, Clone, Serialize)]
pub struct UnapprovedPlan {
    /// App id, where Phala Cloud names one.
    pub app: Option<Address>,
    /// What is to run.
    pub code: CodeChange,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What forbids going on.
    pub blockers: Vec<Warning>,
    /// When it was read.
    pub read_at: Timestamp,
}

impl UnapprovedPlan {
    /// The directory below `root` for what is recorded of it, when none is named.
    pub fn default_dir(&self, root: &Path) -> PathBuf {
        let expected = self.code.expected_hash.map(|hash| hash.bare());
        let name = expected.unwrap_or_else(|| hex::encode(patch_digest(&self.code.patch)));
        let short: String = name.chars().take(8).collect();
        root.join(format!("{}-{short}", self.code.cvm))
    }
}
