//! The links that a verdict is made of. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What has to hold, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// A machine of Intel's signed the quote, of a trust domain that is closed.
    Genuine,
    /// The machine is safe enough.
    Tcb,
    /// The event log is what the quote measured.
    Log,
    /// The manifest that was approved was measured.
    Compose,
    /// By the app of this contract.
    App,
    /// In this instance.
    Instance,
    /// On a machine that the contract allows.
    Device,
    /// With keys of the KMS that the contract names.
    Kms,
    /// In an OS image that is known.
    Image,
    /// The KMS's contract allows all that.
    Chain,
    /// It was measured now.
    Fresh,
}

impl Link {
    /// All links, in order.
    pub const ALL: [Self; 11] = [
        Self::Genuine,
        Self::Tcb,
        Self::Log,
        Self::Compose,
        Self::App,
        Self::Instance,
        Self::Device,
        Self::Kms,
        Self::Image,
        Self::Chain,
        Self::Fresh,
    ];
    /// Whether it holds by what contracts said as well, and not by the evidence alone.
    pub const fn is_by_contracts(self) -> bool {
        matches!(self, Self::Device | Self::Kms | Self::Image | Self::Chain)
    }
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Genuine => "genuine",
            Self::Tcb => "tcb",
            Self::Log => "log",
            Self::Compose => "compose",
            Self::App => "app",
            Self::Instance => "instance",
            Self::Device => "device",
            Self::Kms => "kms",
            Self::Image => "image",
            Self::Chain => "chain",
            Self::Fresh => "fresh",
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
