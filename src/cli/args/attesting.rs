//! Where evidence of a CVM's hardware is asked for, and how much of it a run insists on.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use url::Url;

use super::values::{self, Template};
use crate::attest::fetch::DEFAULT_PCCS;

/// Where evidence is asked for, besides Phala Cloud.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Witnesses {
    // No doc comment: it names the default.
    #[arg(
        long,
        value_name = "URL",
        value_parser = values::web_address,
        help_heading = "Evidence",
        help = format!("Server of Intel's collateral (PCCS) [default: {DEFAULT_PCCS}]"), hide_short_help = true)]
    pub(in crate::cli) pccs: Option<Url>,
    /// Address of the guest's agent; {instance} in its path stands for the instance's id [default: the one that follows from
    /// the CVM's record]
    #[arg(long, value_name = "URL", value_parser = values::web_address, help_heading = "Evidence", hide_short_help = true)]
    pub(in crate::cli) guest_url: Option<Url>,
    /// Address of the app, with {nonce} in it, that answers with a quote over that number: shows that it was measured now
    #[arg(long, value_name = "URL", value_parser = values::template, help_heading = "Evidence", hide_short_help = true)]
    pub(in crate::cli) attest_url: Option<Template>,
}

/// How much of a proof at the hardware a run insists on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum Insistence {
    /// It ends well only where every link holds
    Require,
    /// It looks for a minute at most, and fails only where a link is broken
    #[default]
    Try,
    /// It does not look
    No,
}

/// Whether a run that made a hash live proves it at the hardware.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Attesting {
    /// Prove at the CVM's hardware what it runs [default: `attest` in phala.toml, or `try`]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Evidence")]
    pub(in crate::cli) attest: Option<Insistence>,
    #[command(flatten)]
    pub(in crate::cli) witnesses: Witnesses,
}
