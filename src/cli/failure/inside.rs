//! Failures on this machine: keys, questions, journals, files.

use std::io::ErrorKind;
use std::path::Path;

use super::outside::transaction;
use super::{Next, Verdict, verdict};
use crate::cli::ask::CONSENT_FLAG;
use crate::cli::exit::Exit;
use crate::code::Code;
use crate::fsutil::{FsError, HoldError};
use crate::signer::{AskError, EarlierConsent, KmsError, LedgerError, RecordError, SignerError};
use crate::text::quote;
use crate::upgrade::JournalError;

pub(super) fn signer(error: &SignerError) -> Verdict {
    let (exit, code, hint) = match error {
        SignerError::File(error) => return user_file(error),
        SignerError::Ask(error) => return ask(error),
        SignerError::Signed(error) => return transaction(error),
        SignerError::Record(error) => return record(error),
        SignerError::Ledger(error) => return ledger(error),
        SignerError::Kms(error) => return kms(error),
        SignerError::Source { .. } => (
            Exit::Usage,
            Code::UsageSigner,
            "write --signer prompt, env:NAME, file:PATH, keystore:PATH, account:NAME, ledger[:PATH] or aws:KEY-ID"
                .to_owned(),
        ),
        SignerError::NoFeature { feature, .. } => (
            Exit::Usage,
            Code::UsageFeature,
            format!("install with `cargo install --locked --path . --features {feature}`, or name another key"),
        ),
        SignerError::Name { what, .. } => (
            Exit::Usage,
            Code::UsageSigner,
            format!("correct the {what} behind --signer"),
        ),
        SignerError::NotAKey { place, .. } => (
            Exit::Input,
            Code::InputKey,
            format!("{place} has to hold 64 hex digits and nothing else"),
        ),
        SignerError::NoVariable { name } => (
            Exit::Auth,
            Code::AuthNoVariable,
            format!("set `{name}`, or name another place by --signer"),
        ),
        SignerError::NoFolder { name } => (
            Exit::Auth,
            Code::AuthNoAccount,
            format!("name the file of account `{name}` by --signer keystore:PATH"),
        ),
        SignerError::Password { .. } => (
            Exit::Auth,
            Code::AuthPassword,
            "try again with the right password".to_owned(),
        ),
        SignerError::Keystore { path, .. } => (Exit::Input, Code::InputKeystore, restore(path)),
        SignerError::Unsigned(_) => (
            Exit::Auth,
            Code::AuthUnsigned,
            "nothing was signed or sent; run again".to_owned(),
        ),
        SignerError::AlreadySigned(earlier) => return already_signed(earlier),
        SignerError::NoSignature(_) | SignerError::WrongSignature { .. } => return wrong_signature(),
        SignerError::OtherKey { expected, .. } => (
            Exit::Verify,
            Code::SignerMismatch,
            format!("name the key of {expected} by --signer"),
        ),
    };
    verdict(exit, code, Next::Again, hint)
}

fn ledger(error: &LedgerError) -> Verdict {
    let (exit, code, hint) = match error {
        LedgerError::Absent => (
            Exit::Later,
            Code::LedgerAbsent,
            "plug it in, and close other programs that use it",
        ),
        LedgerError::Usb(error) if error.kind() == ErrorKind::PermissionDenied => (
            Exit::Auth,
            Code::LedgerPermission,
            "this user may not use the device: install Ledger's udev rules, and plug it in again",
        ),
        LedgerError::Usb(_) => (
            Exit::Later,
            Code::LedgerAway,
            "plug it in again, and close other programs that use it",
        ),
        LedgerError::Locked => (Exit::Auth, Code::LedgerLocked, "enter its PIN"),
        LedgerError::OtherApp => (Exit::Auth, Code::LedgerOtherApp, "open the Ethereum app on it"),
        LedgerError::Refused => (
            Exit::State,
            Code::LedgerRefused,
            "nothing was signed; run again when you want to agree",
        ),
        LedgerError::BlindSigning => (
            Exit::State,
            Code::LedgerBlindSigning,
            "allow blind signing in the settings of its Ethereum app, and compare the hashes on its screen with those shown here",
        ),
        LedgerError::TooOld { .. } => (
            Exit::State,
            Code::LedgerAppOld,
            "update the Ethereum app on it, to 1.6.0 or later",
        ),
        LedgerError::TimedOut(_) => (
            Exit::Later,
            Code::LedgerTimeout,
            "nothing was signed; confirm on the device when it asks",
        ),
        LedgerError::Malformed(_) | LedgerError::Status(_) => (
            Exit::Input,
            Code::LedgerAnswer,
            "plug it in again, and make sure that it is a Ledger with the newest Ethereum app",
        ),
    };
    verdict(exit, code, Next::Again, hint)
}

fn kms(error: &KmsError) -> Verdict {
    let (exit, code, hint) = match error {
        KmsError::NotConfigured => (
            Exit::Auth,
            Code::KmsNotConfigured,
            "give this machine credentials and a region as for the `aws` command, for example by AWS_PROFILE and AWS_REGION",
        ),
        KmsError::Refused { .. } => (
            Exit::Auth,
            Code::KmsRefused,
            "allow the credentials kms:GetPublicKey and kms:Sign on this key, or renew them",
        ),
        KmsError::NoKey { .. } => (
            Exit::Auth,
            Code::KmsNoKey,
            "check key id and region, and that the key is enabled",
        ),
        KmsError::OtherKind => (
            Exit::Input,
            Code::KmsOtherKind,
            "name a key with the spec ECC_SECG_P256K1 and the usage SIGN_VERIFY",
        ),
        KmsError::Later { .. } => (Exit::Later, Code::KmsUnavailable, "nothing was signed; run again later"),
        KmsError::Malformed(_) => (
            Exit::Input,
            Code::KmsAnswer,
            "make sure that the endpoint is AWS's own: AWS_ENDPOINT_URL may name another",
        ),
    };
    verdict(exit, code, Next::Again, hint)
}

fn restore(path: &Path) -> String {
    format!(
        "restore `{}` from a backup, or name another one by --signer",
        path.display()
    )
}

fn already_signed(earlier: &EarlierConsent) -> Verdict {
    let code = Code::AlreadySigned;
    let EarlierConsent { digest, nonce, .. } = earlier;
    verdict(
        Exit::State,
        code,
        Next::Look,
        format!(
            "agree to nothing else for nonce {nonce}: whoever has the first agreement can still use it; to give that one \
             up, sign the rejection of nonce {nonce}; `--accept {code}={digest}` goes on although that one was agreed to"
        ),
    )
}

fn wrong_signature() -> Verdict {
    verdict(
        Exit::Verify,
        Code::SignatureMismatch,
        Next::Look,
        "nothing was given out; look at the key, and at what stands between it and this tool, before it signs again",
    )
}

fn record(error: &RecordError) -> Verdict {
    match error {
        RecordError::Hold(error) => hold(error),
        RecordError::Fs(error) => storage(error),
        RecordError::Damaged { path, .. } => verdict(
            Exit::Journal,
            Code::RecordDamaged,
            Next::Again,
            format!(
                "nothing was signed; restore `{}` from a backup, or move it away once you are certain which nonces it \
                 was about: without it nobody keeps you from signing twice",
                path.display()
            ),
        ),
    }
}

pub(super) fn ask(error: &AskError) -> Verdict {
    match error {
        AskError::Nobody(what) if what.contains(CONSENT_FLAG) => verdict(
            Exit::Usage,
            Code::UsageConsent,
            Next::with(CONSENT_FLAG),
            format!("agree in advance with {CONSENT_FLAG}, or run it at a terminal without --json"),
        ),
        AskError::Nobody(what) if what.starts_with("Password") => verdict(
            Exit::Usage,
            Code::UsageNobodyToAsk,
            Next::with("--password-file FILE"),
            "name the file that holds the password by --password-file, or run it at a terminal without --json",
        ),
        AskError::Nobody(_) => verdict(
            Exit::Usage,
            Code::UsageNobodyToAsk,
            Next::Signer,
            "run it at a terminal without --json, name the password's file by --password-file, or another key by --signer",
        ),
        AskError::Undecided(decision) => verdict(
            Exit::State,
            decision.code,
            Next::with(format!("--accept {}", quote(&decision.to_string()))),
            "--yes does not answer this: look at it, and agree to it by name with --accept, or run it at a terminal and type \
             the name",
        ),
        AskError::Io(_) => verdict(
            Exit::Later,
            Code::TerminalLost,
            Next::Resume,
            "nothing was agreed to; run again",
        ),
    }
}

pub(super) fn journal(error: &JournalError) -> Verdict {
    match error {
        JournalError::Hold(error) => hold(error),
        JournalError::Fs(error) => storage(error),
        JournalError::Missing { .. } => verdict(
            Exit::Usage,
            Code::UsageNoUpgrade,
            Next::List,
            "name the directory of an upgrade by --dir, or start one with `countersign prepare`",
        ),
        JournalError::Fleet { .. } => verdict(
            Exit::Usage,
            Code::UsageFleet,
            Next::FleetStatus,
            "name the directory of one of its CVMs, which is below that of the fleet, or use the commands of `countersign fleet`",
        ),
        JournalError::Damaged { path, .. } => verdict(
            Exit::Journal,
            Code::JournalDamaged,
            Next::Look,
            format!(
                "move the directory of `{}` away and start again: what chain and cloud show is found there",
                path.display()
            ),
        ),
        JournalError::Newer { .. } => verdict(
            Exit::Journal,
            Code::JournalNewer,
            Next::Again,
            "use the version of countersign that wrote it",
        ),
        JournalError::Foreign { .. } => verdict(
            Exit::Journal,
            Code::JournalForeign,
            Next::with("--dir DIR"),
            "name another directory by --dir for this upgrade",
        ),
    }
}

fn hold(error: &HoldError) -> Verdict {
    match error {
        HoldError::Held { .. } => verdict(
            Exit::Locked,
            Code::Locked,
            Next::Again,
            "wait until the other run is over",
        ),
        HoldError::Fs(error) => storage(error),
    }
}

/// A file that the user named: missing and malformed ones are the user's to correct, modes and disks are not.
pub(super) fn user_file(error: &FsError) -> Verdict {
    match error.source.kind() {
        ErrorKind::NotFound
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidData
        | ErrorKind::FileTooLarge => verdict(
            Exit::Input,
            Code::InputFile,
            Next::Again,
            format!("check `{}`", error.path.display()),
        ),
        _ => storage(error),
    }
}

/// A file of this tool's own.
pub(super) fn storage(error: &FsError) -> Verdict {
    let path = error.path.display();
    if matches!(error.source.raw_os_error(), Some(raw) if raw == rustix::io::Errno::MFILE.raw_os_error() || raw == rustix::io::Errno::NFILE.raw_os_error())
    {
        return verdict(
            Exit::Later,
            Code::StorageTooManyOpen,
            Next::Resume,
            "close other programs, or raise `ulimit -n`",
        );
    }
    match error.source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => verdict(
            Exit::Storage,
            Code::StorageFull,
            Next::Resume,
            format!("make room for `{path}`"),
        ),
        ErrorKind::PermissionDenied => verdict(
            Exit::Storage,
            Code::StoragePermission,
            Next::Resume,
            format!(
                "`{path}` has to be yours alone: chmod 600 {} (700 for a directory)",
                crate::text::argument(&error.path)
            ),
        ),
        ErrorKind::ReadOnlyFilesystem => verdict(
            Exit::Storage,
            Code::StorageReadOnly,
            Next::Resume,
            format!("`{path}` has to be writable"),
        ),
        ErrorKind::NotFound => verdict(
            Exit::Storage,
            Code::StorageMissing,
            Next::Again,
            format!("check `{path}`"),
        ),
        _ => verdict(
            Exit::Storage,
            Code::StorageFailed,
            Next::Resume,
            format!("check the disk that holds `{path}`"),
        ),
    }
}
