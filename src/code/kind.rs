//! What kind of outcome a code stands for, and how much it weighs.

use serde::Serialize;

/// What kind of outcome a code stands for, and with it how a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The goal is reached.
    Done,
    /// A defect of this program.
    Bug,
    /// Wrong arguments, or nobody to ask.
    Usage,
    /// A file or value that the user gave is malformed.
    Input,
    /// A key is missing, refused or locked.
    Auth,
    /// Something is not what was approved or pinned; no option agrees to it.
    Stop,
    /// A doubt that somebody may agree to, by naming its code.
    Decision,
    /// The world changed, or something else has to happen first; no option agrees to it.
    State,
    /// Executed and failed.
    Failed,
    /// Nothing is wrong; it waits for people, time or the chain.
    Pending,
    /// An effect may or may not have happened.
    Unknown,
    /// A journal or record cannot be used.
    Journal,
    /// Another run holds it.
    Locked,
    /// The disk or a permission.
    Storage,
    /// Safe to run again later.
    Later,
    /// A signal ended the run.
    Signal,
    /// Something a person should know; it forbids nothing.
    Note,
}

/// How much a finding weighs for whoever is about to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Exit 5; no option agrees to it.
    Stop,
    /// Exit 6; the world has to change first, and no option agrees to it.
    State,
    /// Exit 6; `--accept CODE[=VALUE]` agrees to it.
    Decision,
    /// It forbids nothing.
    Note,
}

impl Kind {
    /// The number that a run ends with; signals and notes have none of their own.
    pub const fn exit(self) -> Option<u8> {
        Some(match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::Auth => 4,
            Self::Stop => 5,
            Self::Decision | Self::State => 6,
            Self::Failed => 7,
            Self::Pending => 8,
            Self::Unknown => 9,
            Self::Journal => 10,
            Self::Locked => 11,
            Self::Storage => 12,
            Self::Later => 75,
            Self::Signal | Self::Note => return None,
        })
    }
}
