//! Exit codes: the contract with pipelines. Append-only; an unknown code means failure.

use crate::code::Kind;

/// How a run ended, as its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// The goal of the command is reached.
    Done = 0,
    /// A defect of this program.
    Bug = 1,
    /// The arguments are wrong, or consent is missing where nobody can be asked. No effects.
    Usage = 2,
    /// A file or value that the user gave is malformed. No effects.
    Input = 3,
    /// API key or signing key missing, refused or locked. No effects.
    Auth = 4,
    /// Something is not what was approved or pinned. Outranks every other code; never retry.
    Verify = 5,
    /// The world changed, or somebody has to decide.
    State = 6,
    /// Executed and failed, or the CVM did not start after the commit.
    Failed = 7,
    /// Nothing is wrong; it waits for people, time or the chain.
    Pending = 8,
    /// An effect may or may not have happened; running again settles it without repeating it.
    Unknown = 9,
    /// The journal is damaged, foreign or newer than this program.
    Journal = 10,
    /// Another run holds the upgrade.
    Locked = 11,
    /// Disk full, permission missing, or a file mode that is not safe.
    Storage = 12,
    /// Network, API or RPC trouble; safe to run again later (`EX_TEMPFAIL`).
    Later = 75,
    /// SIGHUP, after a checkpoint.
    Hangup = 129,
    /// SIGINT, after a checkpoint.
    Interrupt = 130,
    /// SIGQUIT, after a checkpoint.
    Quit = 131,
    /// SIGTERM, after a checkpoint.
    Terminate = 143,
}

impl Exit {
    /// Every code, ascending.
    pub const ALL: [Self; 18] = [
        Self::Done,
        Self::Bug,
        Self::Usage,
        Self::Input,
        Self::Auth,
        Self::Verify,
        Self::State,
        Self::Failed,
        Self::Pending,
        Self::Unknown,
        Self::Journal,
        Self::Locked,
        Self::Storage,
        Self::Later,
        Self::Hangup,
        Self::Interrupt,
        Self::Quit,
        Self::Terminate,
    ];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What a run ends with whose outcome is of this kind; notes and signals decide nothing by themselves.
    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Done | Kind::Note => Self::Done,
            Kind::Bug => Self::Bug,
            Kind::Usage => Self::Usage,
            Kind::Input => Self::Input,
            Kind::Auth => Self::Auth,
            Kind::Stop => Self::Verify,
            Kind::Decision | Kind::State => Self::State,
            Kind::Failed => Self::Failed,
            Kind::Pending => Self::Pending,
            Kind::Unknown => Self::Unknown,
            Kind::Journal => Self::Journal,
            Kind::Locked => Self::Locked,
            Kind::Storage => Self::Storage,
            Kind::Later => Self::Later,
            Kind::Signal => Self::Interrupt,
        }
    }

    /// What a pipeline does with it, in one line, as `--help` prints it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bug => "a defect of countersign: stop and report it",
            Self::Usage => "wrong arguments, or nobody to ask and no --yes",
            Self::Input => "a file or value you gave is malformed",
            Self::Auth => "API key or signing key missing, refused or locked",
            Self::Verify => "STOP: something is not what was approved; never retry, fetch a person",
            Self::State => "the world changed: somebody has to decide",
            Self::Failed => "executed and failed on chain, or the CVM did not start",
            Self::Pending => "waiting for people, time or the chain: run again later",
            Self::Unknown => "an effect may have happened: run again, it settles without repeating",
            Self::Journal => "the journal is damaged, foreign or newer",
            Self::Locked => "another run holds this upgrade",
            Self::Storage => "disk full, permission missing, or an unsafe file mode",
            Self::Later => "network, API or RPC trouble: retry with backoff",
            Self::Hangup => "SIGHUP, after a checkpoint: run again",
            Self::Interrupt => "SIGINT, after a checkpoint: run again",
            Self::Quit => "SIGQUIT, after a checkpoint: run again",
            Self::Terminate => "SIGTERM, after a checkpoint: run again",
        }
    }

    /// Whether running the same command again can do no harm.
    pub const fn safe_to_rerun(self) -> bool {
        !matches!(self, Self::Verify | Self::Bug)
    }

    /// Whether the same command is what comes next: nothing has to be mended first.
    pub(super) const fn is_repeated(self) -> bool {
        !matches!(
            self,
            Self::Bug | Self::Usage | Self::Input | Self::Auth | Self::Verify | Self::State | Self::Failed
        )
    }

    /// The table of codes for `--help`.
    pub fn table() -> String {
        Self::ALL
            .iter()
            .map(|exit| format!("  {:>3}  {}\n", exit.code(), exit.meaning()))
            .collect()
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn codes_ascend_and_avoid_those_of_shells_and_runtimes() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        for taken in [64, 101, 124, 126, 127, 134, 137, 139] {
            assert!(
                Exit::ALL.iter().all(|exit| exit.code() != taken),
                "{taken} belongs to somebody else"
            );
        }
    }

    #[test]
    fn a_verification_stop_is_never_called_safe_to_repeat() {
        assert!(!Exit::Verify.safe_to_rerun());
        assert!(Exit::Unknown.safe_to_rerun() && Exit::Later.safe_to_rerun());
    }
}
