//! Failures on this machine: keys, questions, journals, files.

use std::io::ErrorKind;
use std::path::Path;

use super::hints::{about, said};
use super::outside::transaction;
use super::verdict::CONSENT_FLAG;
use super::verdict::{Next, Verdict, verdict};
use crate::cli::exit::Exit;
use crate::code::Code;
use crate::fsutil::{FsError, HoldError};
use crate::signer::{AskError, EarlierConsent, KmsError, LedgerError, RecordError, SignerError, WalletError};
use crate::text::quote;
use crate::upgrade::JournalError;

pub(super) fn signer(error: &SignerError) -> Verdict {
    match error {
        SignerError::File(error) => user_file(error),
        SignerError::Ask(error) => ask(error),
        SignerError::Signed(error) => transaction(error),
        SignerError::Record(error) => record(error),
        SignerError::Ledger(error) => said(ledger(error)),
        SignerError::Kms(error) => said(kms(error)),
        SignerError::Wallet(error) => said(wallet(error)),
        SignerError::Source { .. } => said(Code::UsageSigner),
        SignerError::NoFeature { feature, .. } => about(Code::UsageFeature, &[("feature", feature)]),
        SignerError::Name { what, .. } => verdict(
            Exit::Usage,
            Code::UsageSigner,
            Next::Again,
            format!("correct the {what} behind --signer"),
        ),
        SignerError::NotAKey { place, .. } => about(Code::InputKey, &[("place", place)]),
        SignerError::NoVariable { name } => about(Code::AuthNoVariable, &[("name", name)]),
        SignerError::NoFolder { name } => about(Code::AuthNoAccount, &[("name", name)]),
        SignerError::Password { .. } => said(Code::AuthPassword),
        SignerError::Keystore { path, .. } => of_file(Code::InputKeystore, path),
        SignerError::Unsigned(_) => said(Code::AuthUnsigned),
        SignerError::AlreadySigned(earlier) => already_signed(earlier),
        SignerError::NoSignature(_) | SignerError::WrongSignature { .. } => said(Code::SignatureMismatch),
        SignerError::OtherKey { expected, .. } => about(Code::SignerMismatch, &[("expected", &expected.to_string())]),
    }
}

fn ledger(error: &LedgerError) -> Code {
    match error {
        LedgerError::Absent => Code::LedgerAbsent,
        LedgerError::Usb(error) if error.kind() == ErrorKind::PermissionDenied => Code::LedgerPermission,
        LedgerError::Usb(_) => Code::LedgerAway,
        LedgerError::Locked => Code::LedgerLocked,
        LedgerError::OtherApp => Code::LedgerOtherApp,
        LedgerError::Refused => Code::LedgerRefused,
        LedgerError::BlindSigning => Code::LedgerBlindSigning,
        LedgerError::TooOld { .. } => Code::LedgerAppOld,
        LedgerError::TimedOut(_) => Code::LedgerTimeout,
        LedgerError::Malformed(_) | LedgerError::Status(_) => Code::LedgerAnswer,
    }
}

const fn wallet(error: &WalletError) -> Code {
    match error {
        WalletError::Unserved(_) => Code::PageUnserved,
        WalletError::Closed => Code::PageClosed,
        WalletError::TimedOut => Code::PageTimeout,
        WalletError::Refused => Code::WalletRefused,
        WalletError::Busy => Code::WalletBusy,
        WalletError::Failed { .. } => Code::WalletFailed,
        WalletError::Malformed(_) => Code::WalletAnswer,
        // Whoever signs transactions here has a wallet send them.
        WalletError::Sends => Code::Defect,
    }
}

const fn kms(error: &KmsError) -> Code {
    match error {
        KmsError::NotConfigured => Code::KmsNotConfigured,
        KmsError::Refused { .. } => Code::KmsRefused,
        KmsError::NoKey { .. } => Code::KmsNoKey,
        KmsError::OtherKind => Code::KmsOtherKind,
        KmsError::Later { .. } => Code::KmsUnavailable,
        KmsError::Malformed(_) => Code::KmsAnswer,
    }
}

fn of_file(code: Code, path: &Path) -> Verdict {
    about(code, &[("path", &path.display().to_string())])
}

fn already_signed(earlier: &EarlierConsent) -> Verdict {
    let EarlierConsent { digest, nonce, .. } = earlier;
    about(
        Code::AlreadySigned,
        &[("nonce", &nonce.to_string()), ("digest", &digest.to_string())],
    )
}

fn record(error: &RecordError) -> Verdict {
    match error {
        RecordError::Hold(error) => hold(error),
        RecordError::Fs(error) => storage(error),
        RecordError::Damaged { path, .. } => of_file(Code::RecordDamaged, path),
    }
}

pub(super) fn ask(error: &AskError) -> Verdict {
    match error {
        AskError::Nobody(what) if what.contains(CONSENT_FLAG) => said(Code::UsageConsent),
        AskError::Nobody(what) if what.starts_with("Password") => verdict(
            Exit::Usage,
            Code::UsageNobodyToAsk,
            Next::with("--password-file FILE"),
            "name the file that holds the password by --password-file, or run it at a terminal without --json",
        ),
        AskError::Nobody(_) => said(Code::UsageNobodyToAsk),
        AskError::Undecided(decision) => verdict(
            Exit::State,
            decision.code,
            Next::with(format!("--accept {}", quote(&decision.to_string()))),
            "--yes does not answer this: look at it, and agree to it by name with --accept, or run it at a terminal and type \
             the name",
        ),
        AskError::Io(_) => said(Code::TerminalLost),
        AskError::Page(error) => said(wallet(error)),
    }
}

pub(super) fn journal(error: &JournalError) -> Verdict {
    match error {
        JournalError::Hold(error) => hold(error),
        JournalError::Fs(error) => storage(error),
        JournalError::Missing { .. } => said(Code::UsageNoUpgrade),
        JournalError::Fleet { .. } => said(Code::UsageFleet),
        JournalError::Damaged { path, .. } => of_file(Code::JournalDamaged, path),
        JournalError::Newer { .. } => said(Code::JournalNewer),
        JournalError::Foreign { .. } => said(Code::JournalForeign),
    }
}

fn hold(error: &HoldError) -> Verdict {
    match error {
        HoldError::Held { .. } => said(Code::Locked),
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
        | ErrorKind::FileTooLarge => of_file(Code::InputFile, &error.path),
        _ => storage(error),
    }
}

/// A file of this tool's own.
pub(super) fn storage(error: &FsError) -> Verdict {
    if matches!(error.source.raw_os_error(), Some(raw) if raw == rustix::io::Errno::MFILE.raw_os_error() || raw == rustix::io::Errno::NFILE.raw_os_error())
    {
        return said(Code::StorageTooManyOpen);
    }
    match error.source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            of_file(Code::StorageFull, &error.path)
        }
        ErrorKind::PermissionDenied => about(
            Code::StoragePermission,
            &[
                ("path", &error.path.display().to_string()),
                ("argument", &crate::text::argument(&error.path)),
            ],
        ),
        ErrorKind::ReadOnlyFilesystem => of_file(Code::StorageReadOnly, &error.path),
        ErrorKind::NotFound => of_file(Code::StorageMissing, &error.path),
        _ => of_file(Code::StorageFailed, &error.path),
    }
}
