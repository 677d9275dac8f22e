//! What an error means: exit code, stable code, what to run next, and what to change first.

use std::borrow::Cow;
use std::fmt;

use crate::cli::exit::Exit;
use crate::code::Code;

/// The flag that gives consent in advance, as the refusal names it.
pub(in crate::cli) const CONSENT_FLAG: &str = "--yes";

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Next {
    /// Repeat the command, once the hint is followed or time has passed.
    Again,
    /// Repeat the command with one more argument.
    With(Cow<'static, str>),
    /// Repeat the command without this option.
    Without(&'static str),
    /// Repeat the command with one word in place of another.
    Instead(String, String),
    /// Go on with the upgrade; before there is one, the same command.
    Resume,
    /// This command, for the same upgrade.
    Command(&'static str),
    /// This command with one more argument, for the same upgrade.
    Step(&'static str, &'static str),
    /// Look at where the upgrade stands; nothing to repeat.
    Look,
    /// Look at which upgrades there are.
    List,
    /// Look at where the CVMs of a fleet stand.
    FleetStatus,
    /// Look at the CVM that the command was about.
    Cvm,
    /// Repeat the command with the key that signs.
    Signer,
    /// Go on with the upgrade, with the key that was named, or one where none was.
    ResumeWithKey,
    /// Choose another nonce: without the one that was named, or for what was chosen before.
    NewNonce,
    /// What this code means, or what all of them mean.
    Explain(Option<&'static str>),
}

impl Next {
    /// The step that repeats the command with `more`.
    pub(in crate::cli) fn with(more: impl Into<Cow<'static, str>>) -> Self {
        Self::With(more.into())
    }
}

/// In words, where no command was typed.
impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again => f.write_str("the same command again"),
            Self::With(more) => write!(f, "the same command with {more}"),
            Self::Without(option) => write!(f, "the same command without {option}"),
            Self::Instead(wrong, right) => write!(f, "the same command with {right} in place of {wrong}"),
            Self::Signer => f.write_str("the same command with --signer SOURCE"),
            Self::ResumeWithKey => f.write_str("countersign resume --signer SOURCE"),
            Self::Resume => f.write_str("countersign resume"),
            Self::Command("--help") => f.write_str("countersign COMMAND --help"),
            Self::Command(command) => write!(f, "countersign {command}"),
            Self::Step(command, more) => write!(f, "countersign {command} {more}"),
            Self::Look | Self::List => f.write_str("countersign status"),
            Self::FleetStatus => f.write_str("countersign fleet status"),
            Self::Cvm => f.write_str("countersign cvm get"),
            Self::NewNonce => f.write_str("countersign execute --new-nonce"),
            Self::Explain(Some(code)) => write!(f, "countersign explain {code}"),
            Self::Explain(None) => f.write_str("countersign explain --all"),
        }
    }
}

/// What an error means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Verdict {
    pub(in crate::cli) exit: Exit,
    pub(in crate::cli) code: Code,
    pub(in crate::cli) next: Next,
    pub(in crate::cli) hint: String,
}

/// Makes next commands with the user's own values in them.
pub(in crate::cli) trait Commands {
    /// The command that `next` stands for.
    fn command(&self, next: &Next) -> String;
    /// Where a key can be, as `--signer` names it.
    fn sources(&self) -> String;
}

/// A verdict in one line.
pub(super) fn verdict(exit: Exit, code: Code, next: Next, hint: impl Into<String>) -> Verdict {
    Verdict {
        exit,
        code,
        next,
        hint: hint.into(),
    }
}
