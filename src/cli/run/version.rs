//! What `--version -v` says of this build, for reports of defects and for whoever compares two builds.

use crate::cli::session::quote_root::TEST_BUILD;
use crate::cli::show::report;
use crate::evidence::Evidence;
use crate::upgrade::model::Proposal;

/// The features that change what a build can do, and whether this one has them.
const FEATURES: [(&str, bool); 5] = [
    ("aws-kms", cfg!(feature = "aws-kms")),
    ("keystore", cfg!(feature = "keystore")),
    ("ledger", cfg!(feature = "ledger")),
    ("failpoints", cfg!(feature = "failpoints")),
    ("attest-test-root", cfg!(feature = "attest-test-root")),
];

/// Commit, features, target and formats; a line each.
pub(super) fn details() -> String {
    let commit = option_env!("COUNTERSIGN_COMMIT").unwrap_or("not told by whoever built it");
    let target = option_env!("COUNTERSIGN_TARGET").map_or_else(machine, str::to_owned);
    let features = FEATURES.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    let features: Vec<&str> = features.collect();
    let formats = [report::SCHEMA, Proposal::FORMAT, Evidence::FORMAT];
    let note = TEST_BUILD.map(|note| format!("{note}\n")).unwrap_or_default();
    format!(
        "commit    {commit}\ntarget    {target}\nfeatures  {}\nformats   {}\n{note}",
        features.join(", "),
        formats.join(", ")
    )
}

fn machine() -> String {
    use std::env::consts::{ARCH, OS};
    format!("{ARCH}-{OS}")
}
