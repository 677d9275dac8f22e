//! Every error has its place: code, exit code, and a next command.

#![allow(clippy::too_many_lines, reason = "tables of every error")]

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind};
use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256};
use clap::Parser as _;

use super::*;
use crate::chain::{ChainError, PolicyChange, ProofFailure, TxError};
use crate::cli::args::tree::CommandTree;
use crate::cli::root::Cli;
use crate::cli::session::next::CommandLine;
use crate::cloud::{CloudError, Problem};
use crate::code::Kind as CodeKind;
use crate::compose::{ComposeError, ComposeHash};
use crate::fsutil::{FsError, HoldError};
use crate::http::{HttpError, Kind, Sent};
use crate::safe::service::{ServiceError, ServiceProblem};
use crate::signer::{AskError, KmsError, LedgerError, RecordError, SignerError, WalletError};
use crate::upgrade::JournalError;

fn http(verb: &str, kind: Kind, sent: Sent) -> HttpError {
    HttpError {
        verb: verb.to_owned(),
        endpoint: "https://cloud.example".to_owned(),
        path: "/api/v1/cvms/x".to_owned(),
        kind,
        sent,
        source: None,
    }
}

fn kinds() -> Vec<(Kind, Exit, &'static str)> {
    vec![
        (Kind::Connect, Exit::Later, "NET_NO_CONNECTION"),
        (Kind::Tls, Exit::Verify, "TLS_IDENTITY"),
        (Kind::Timeout, Exit::Later, "NET_TIMEOUT"),
        (Kind::Broken, Exit::Later, "NET_BROKEN"),
        (Kind::TooLarge { limit: 1 }, Exit::Later, "NET_TOO_LARGE"),
        (
            Kind::Redirect {
                to: "evil.example".to_owned(),
            },
            Exit::Verify,
            "REDIRECT_REFUSED",
        ),
        (Kind::Insecure, Exit::Usage, "USAGE_PLAIN_HTTP"),
    ]
}

fn server(status: u16) -> Box<Problem> {
    Box::new(Problem {
        request: "PATCH /cvms/x".to_owned(),
        status,
        code: Some("ERR-01-006".to_owned()),
        message: "no".to_owned(),
        request_id: Some("req_1".to_owned()),
        retry_after: None,
        suggestions: Vec::new(),
    })
}

fn clouds() -> Vec<(CloudError, Exit, &'static str)> {
    let unexpected = |request: &str, status| CloudError::Unexpected {
        request: request.to_owned(),
        status,
        what: "html".to_owned(),
    };
    vec![
        (CloudError::Auth(server(401)), Exit::Auth, "AUTH_API_KEY"),
        (CloudError::NotFound(server(404)), Exit::State, "API_NOT_FOUND"),
        (CloudError::Busy(server(409)), Exit::Later, "API_BUSY"),
        (CloudError::Unavailable(server(503)), Exit::Later, "API_UNAVAILABLE"),
        (CloudError::Refused(server(400)), Exit::Input, "API_REFUSED_INPUT"),
        (CloudError::Refused(server(422)), Exit::Input, "API_REFUSED_INPUT"),
        (CloudError::Refused(server(465)), Exit::State, "COMMIT_NOT_ALLOWED"),
        (CloudError::Refused(server(466)), Exit::State, "COMMIT_REJECTED_466"),
        (CloudError::Refused(server(467)), Exit::State, "COMMIT_REJECTED_467"),
        (CloudError::Refused(server(468)), Exit::State, "COMMIT_NOT_ALLOWED"),
        (CloudError::Refused(server(418)), Exit::State, "API_REFUSED"),
        (unexpected("GET /cvms/x", 200), Exit::Later, "API_UNEXPECTED"),
        (
            unexpected("POST /cvms/x/commit-update", 202),
            Exit::Unknown,
            "API_UNKNOWN",
        ),
        (unexpected("PATCH /cvms/x", 465), Exit::Later, "API_UNEXPECTED"),
        (
            CloudError::Identity {
                request: "PATCH /cvms/x".to_owned(),
                what: "`compose_hash` is not 64 hex digits".to_owned(),
            },
            Exit::Verify,
            "IDENTITY_MALFORMED",
        ),
        (
            CloudError::NoApiKey {
                request: "GET /cvms/x".to_owned(),
            },
            Exit::Auth,
            "AUTH_NO_API_KEY",
        ),
        (
            CloudError::BadId {
                text: "a/b".to_owned(),
                why: "a slash",
            },
            Exit::Input,
            "INPUT_CVM",
        ),
    ]
}

fn services() -> Vec<(ServiceError, Exit, &'static str)> {
    let said = |status| {
        Box::new(ServiceProblem {
            request: "POST /api/v2/safes/0x/multisig-transactions/".to_owned(),
            status,
            message: "no".to_owned(),
            request_id: None,
            retry_after: None,
        })
    };
    let unexpected = || ServiceError::Unexpected {
        request: "GET /x".to_owned(),
        status: 200,
        what: "html".to_owned(),
    };
    let sent = |verb, sent| ServiceError::Http(http(verb, Kind::Timeout, sent));
    let hash = B256::ZERO;
    vec![
        (ServiceError::Auth(said(401)), Exit::Auth, "AUTH_SERVICE_KEY"),
        (ServiceError::NotFound(said(404)), Exit::State, "SERVICE_NOT_FOUND"),
        (ServiceError::Banned(said(451)), Exit::State, "SERVICE_BANNED"),
        (ServiceError::Refused(said(422)), Exit::State, "SERVICE_REFUSED"),
        (ServiceError::Unavailable(said(503)), Exit::Later, "SERVICE_UNAVAILABLE"),
        (unexpected(), Exit::Later, "SERVICE_UNEXPECTED"),
        (sent("GET", Sent::Maybe), Exit::Later, "NET_TIMEOUT"),
        (
            ServiceError::Unsettled {
                what: "the signature of 0x".to_owned(),
                source: Box::new(sent("POST", Sent::Maybe)),
            },
            Exit::Unknown,
            "SERVICE_UNKNOWN",
        ),
        (
            ServiceError::TooMany {
                request: "GET /x".to_owned(),
                limit: 1,
                of: "entries",
            },
            Exit::State,
            "SERVICE_TOO_MANY",
        ),
        (ServiceError::NoSignature, Exit::State, "SERVICE_NO_SIGNATURE"),
        (
            ServiceError::Tampered { hash, why: None },
            Exit::Verify,
            "SERVICE_TAMPERED",
        ),
        (
            ServiceError::OtherSignatures {
                found: hash,
                expected: hash,
            },
            Exit::Verify,
            "SERVICE_TAMPERED",
        ),
        (ServiceError::BadKey, Exit::Input, "INPUT_SERVICE_KEY"),
        (ServiceError::BadUrl, Exit::Usage, "USAGE_SERVICE_URL"),
    ]
}

fn chains() -> Vec<(ChainError, Exit, &'static str)> {
    let rpc = || "https://rpc.example".to_owned();
    let unavailable = |source: HttpError| ChainError::Unavailable {
        endpoint: rpc(),
        method: "eth_call".to_owned(),
        source: Box::new(source),
    };
    vec![
        (
            unavailable(http("POST", Kind::Connect, Sent::No)),
            Exit::Later,
            "RPC_UNAVAILABLE",
        ),
        (
            unavailable(http("POST", Kind::Timeout, Sent::Maybe)),
            Exit::Later,
            "RPC_UNAVAILABLE",
        ),
        (
            unavailable(http("POST", Kind::Tls, Sent::No)),
            Exit::Verify,
            "TLS_IDENTITY",
        ),
        (
            ChainError::WrongChain {
                endpoint: rpc(),
                found: 1,
                expected: 8453,
            },
            Exit::Verify,
            "CHAIN_MISMATCH",
        ),
        (
            ChainError::WrongGenesis {
                endpoint: rpc(),
                chain: 8453,
                found: B256::ZERO,
                expected: B256::ZERO,
            },
            Exit::Verify,
            "GENESIS_MISMATCH",
        ),
        (
            ChainError::Disagreement {
                first: rpc(),
                second: rpc(),
                what: "owner".to_owned(),
                block: 1,
            },
            Exit::Verify,
            "RPC_DISAGREEMENT",
        ),
        (ChainError::Stale { number: 1, limit: 60 }, Exit::Later, "RPC_STALE"),
        (
            ChainError::NotAnApp {
                address: Address::ZERO,
                why: "no code".to_owned(),
            },
            Exit::Verify,
            "APP_MISMATCH",
        ),
        (
            ChainError::NoFinalityTag {
                endpoint: rpc(),
                tag: "safe",
            },
            Exit::State,
            "RPC_NO_FINALITY_TAG",
        ),
        (
            ChainError::Impossible {
                endpoint: rpc(),
                method: "eth_call".to_owned(),
                what: "odd hex".to_owned(),
            },
            Exit::Verify,
            "RPC_IMPOSSIBLE",
        ),
        (ChainError::NoEndpoint { chain: 8453 }, Exit::Usage, "USAGE_NO_RPC"),
    ]
}

fn transactions() -> Vec<(TxError, Exit, &'static str)> {
    let text = || "1".to_owned();
    vec![
        (
            TxError::Chain(ChainError::Stale { number: 1, limit: 60 }),
            Exit::Later,
            "RPC_STALE",
        ),
        (TxError::WouldRevert { reason: text() }, Exit::State, "TX_WOULD_REVERT"),
        (
            TxError::InFlight {
                from: Address::ZERO,
                latest: 1,
                pending: 2,
            },
            Exit::State,
            "TX_IN_FLIGHT",
        ),
        (
            TxError::NonceUsed {
                from: Address::ZERO,
                nonce: 1,
                latest: 2,
            },
            Exit::State,
            "TX_NONCE_USED",
        ),
        (
            TxError::NonceGap {
                from: Address::ZERO,
                nonce: 3,
                pending: 2,
            },
            Exit::State,
            "TX_NONCE_GAP",
        ),
        (
            TxError::Funds {
                from: Address::ZERO,
                have: text(),
                need: text(),
            },
            Exit::State,
            "TX_FUNDS",
        ),
        (
            TxError::FeeCeiling { needed: 2, ceiling: 1 },
            Exit::Pending,
            "PENDING_FEES",
        ),
        (
            TxError::CostLimit {
                needed: U256::from(2),
                limit: U256::from(1),
            },
            Exit::State,
            "COST_ABOVE_LIMIT",
        ),
        (
            TxError::CostUnlimited {
                needed: U256::from(2),
                chain: 10,
            },
            Exit::State,
            "COST_NOT_LIMITED",
        ),
        (TxError::Forged { what: text() }, Exit::Verify, "TX_FORGED"),
        (
            TxError::BlockGasLimit { needed: 2, limit: 1 },
            Exit::State,
            "TX_BLOCK_GAS_LIMIT",
        ),
    ]
}

fn proofs() -> Vec<(ProofFailure, Exit, &'static str)> {
    let (transaction, block) = (B256::ZERO, 1);
    let change = PolicyChange::AddComposeHash(B256::ZERO);
    let text = || "x".to_owned();
    vec![
        (
            ProofFailure::Chain(ChainError::NoEndpoint { chain: 1 }),
            Exit::Usage,
            "USAGE_NO_RPC",
        ),
        (
            ProofFailure::Reverted {
                transaction,
                block,
                reason: text(),
            },
            Exit::Failed,
            "TX_REVERTED",
        ),
        (
            ProofFailure::NotSettled { transaction },
            Exit::Pending,
            "PENDING_FINALITY",
        ),
        (
            ProofFailure::NoEffect {
                transaction,
                change,
                what: text(),
            },
            Exit::Verify,
            "PROOF_NO_EFFECT",
        ),
        (ProofFailure::Removed { change, block }, Exit::State, "HASH_REMOVED"),
        (ProofFailure::NotInForce { change }, Exit::State, "HASH_NOT_ALLOWED"),
    ]
}

fn file(kind: ErrorKind) -> FsError {
    FsError {
        action: "write",
        path: PathBuf::from("/u/journal"),
        source: IoError::from(kind),
    }
}

fn signers() -> Vec<(SignerError, Exit, &'static str)> {
    let (path, text) = (|| PathBuf::from("/k.json"), || "x".to_owned());
    vec![
        (SignerError::Source { text: text() }, Exit::Usage, "USAGE_SIGNER"),
        (
            SignerError::Name {
                text: text(),
                what: "account",
            },
            Exit::Usage,
            "USAGE_SIGNER",
        ),
        (SignerError::File(file(ErrorKind::NotFound)), Exit::Input, "INPUT_FILE"),
        (
            SignerError::File(file(ErrorKind::PermissionDenied)),
            Exit::Storage,
            "STORAGE_PERMISSION",
        ),
        (
            SignerError::Ask(AskError::Nobody(text())),
            Exit::Usage,
            "USAGE_NOBODY_TO_ASK",
        ),
        (
            SignerError::NotAKey {
                place: text(),
                why: "too short",
            },
            Exit::Input,
            "INPUT_KEY",
        ),
        (SignerError::NoVariable { name: text() }, Exit::Auth, "AUTH_NO_VARIABLE"),
        (SignerError::NoFolder { name: text() }, Exit::Auth, "AUTH_NO_ACCOUNT"),
        (SignerError::Password { path: path() }, Exit::Auth, "AUTH_PASSWORD"),
        (
            SignerError::Keystore {
                path: path(),
                why: text(),
            },
            Exit::Input,
            "INPUT_KEYSTORE",
        ),
        (
            SignerError::Unsigned(alloy::signers::Error::other("no")),
            Exit::Auth,
            "AUTH_UNSIGNED",
        ),
        (
            SignerError::Signed(TxError::Forged { what: text() }),
            Exit::Verify,
            "TX_FORGED",
        ),
        (
            SignerError::OtherKey {
                found: Address::ZERO,
                expected: Address::ZERO,
            },
            Exit::Verify,
            "SIGNER_MISMATCH",
        ),
        (
            SignerError::NoFeature {
                source_kind: "ledger",
                feature: "ledger",
            },
            Exit::Usage,
            "USAGE_FEATURE",
        ),
        (
            SignerError::Record(RecordError::Damaged {
                path: path(),
                line: 2,
                why: "its checksum is wrong",
            }),
            Exit::Journal,
            "RECORD_DAMAGED",
        ),
        (
            SignerError::Record(RecordError::Hold(HoldError::Held {
                path: path(),
                holder: text(),
            })),
            Exit::Locked,
            "LOCKED",
        ),
        (
            SignerError::Record(RecordError::Fs(file(ErrorKind::StorageFull))),
            Exit::Storage,
            "STORAGE_FULL",
        ),
        (
            SignerError::AlreadySigned(Box::new(crate::signer::EarlierConsent {
                owner: Address::ZERO,
                digest: B256::ZERO,
                nonce: alloy::primitives::U256::from(12),
                safe: Address::ZERO,
                how: text(),
            })),
            Exit::State,
            "ALREADY_SIGNED",
        ),
        (
            SignerError::NoSignature(crate::safe::SignatureError::Unrecoverable),
            Exit::Verify,
            "SIGNATURE_MISMATCH",
        ),
        (
            SignerError::WrongSignature {
                found: Address::ZERO,
                expected: Address::ZERO,
            },
            Exit::Verify,
            "SIGNATURE_MISMATCH",
        ),
    ]
}

fn devices() -> Vec<(SignerError, Exit, &'static str)> {
    let usb = |kind: ErrorKind| LedgerError::Usb(IoError::from(kind));
    let ledger = [
        (LedgerError::Absent, Exit::Later, "LEDGER_ABSENT"),
        (usb(ErrorKind::PermissionDenied), Exit::Auth, "LEDGER_PERMISSION"),
        (usb(ErrorKind::BrokenPipe), Exit::Later, "LEDGER_AWAY"),
        (LedgerError::Locked, Exit::Auth, "LEDGER_LOCKED"),
        (LedgerError::OtherApp, Exit::Auth, "LEDGER_OTHER_APP"),
        (LedgerError::Refused, Exit::State, "LEDGER_REFUSED"),
        (LedgerError::BlindSigning, Exit::State, "LEDGER_BLIND_SIGNING"),
        (LedgerError::TooOld { found: None }, Exit::State, "LEDGER_APP_OLD"),
        (
            LedgerError::TimedOut(std::time::Duration::from_secs(120)),
            Exit::Later,
            "LEDGER_TIMEOUT",
        ),
        (LedgerError::Malformed("x"), Exit::Input, "LEDGER_ANSWER"),
        (LedgerError::Status(0x6f00), Exit::Input, "LEDGER_ANSWER"),
    ];
    let code = || "AccessDeniedException".to_owned();
    let kms = [
        (KmsError::NotConfigured, Exit::Auth, "KMS_NOT_CONFIGURED"),
        (KmsError::Refused { code: code() }, Exit::Auth, "KMS_REFUSED"),
        (KmsError::NoKey { code: code() }, Exit::Auth, "KMS_NO_KEY"),
        (KmsError::OtherKind, Exit::Input, "KMS_OTHER_KIND"),
        (KmsError::Later { what: code() }, Exit::Later, "KMS_UNAVAILABLE"),
        (KmsError::Malformed("x"), Exit::Input, "KMS_ANSWER"),
    ];
    let failed = WalletError::Failed {
        code: -32603,
        message: "x".to_owned(),
    };
    let taken = WalletError::Unserved(IoError::from(ErrorKind::AddrInUse));
    let wallet = [
        (taken, Exit::Input, "PAGE_UNSERVED"),
        (WalletError::Closed, Exit::Pending, "PAGE_CLOSED"),
        (WalletError::TimedOut, Exit::Pending, "PAGE_TIMEOUT"),
        (WalletError::Refused, Exit::State, "WALLET_REFUSED"),
        (WalletError::Busy, Exit::State, "WALLET_BUSY"),
        (failed, Exit::Later, "WALLET_FAILED"),
        (WalletError::Malformed("x"), Exit::Input, "WALLET_ANSWER"),
        (WalletError::Sends, Exit::Bug, "DEFECT"),
    ];
    let ledger = ledger.into_iter().map(|(error, exit, code)| (error.into(), exit, code));
    ledger
        .chain(kms.into_iter().map(|(error, exit, code)| (error.into(), exit, code)))
        .chain(wallet.into_iter().map(|(error, exit, code)| (error.into(), exit, code)))
        .collect()
}

fn journals() -> Vec<(JournalError, Exit, &'static str)> {
    let path = || PathBuf::from("/u/journal");
    let held = HoldError::Held {
        path: path(),
        holder: "pid 1".to_owned(),
    };
    vec![
        (JournalError::Hold(held), Exit::Locked, "LOCKED"),
        (
            JournalError::Hold(HoldError::Fs(file(ErrorKind::StorageFull))),
            Exit::Storage,
            "STORAGE_FULL",
        ),
        (
            JournalError::Fs(file(ErrorKind::ReadOnlyFilesystem)),
            Exit::Storage,
            "STORAGE_READ_ONLY",
        ),
        (JournalError::Missing { dir: path() }, Exit::Usage, "USAGE_NO_UPGRADE"),
        (
            JournalError::Damaged {
                path: path(),
                record: 3,
                why: "sum".to_owned(),
            },
            Exit::Journal,
            "JOURNAL_DAMAGED",
        ),
        (
            JournalError::Newer {
                path: path(),
                found: 2,
                known: 1,
            },
            Exit::Journal,
            "JOURNAL_NEWER",
        ),
        (
            JournalError::Foreign {
                path: path(),
                expected: "a".to_owned(),
                found: "b".to_owned(),
            },
            Exit::Journal,
            "JOURNAL_FOREIGN",
        ),
    ]
}

fn upgrades() -> Vec<(UpgradeError, Exit, &'static str)> {
    let message = || "m".to_owned();
    let stop = Stop {
        code: Code::HashMismatch,
        what: "compose hash".to_owned(),
        expected: "0x01".to_owned(),
        found: "0x02".to_owned(),
        details: vec!["docker_compose_file line 14".to_owned()],
        origin: None,
    };
    vec![
        (UpgradeError::Stop(Box::new(stop)), Exit::Verify, "HASH_MISMATCH"),
        (
            UpgradeError::Decide {
                code: Code::TxGone,
                message: message(),
                source: None,
            },
            Exit::State,
            "TX_GONE",
        ),
        (
            UpgradeError::Blocked {
                code: Code::UpdatePending,
                message: message(),
            },
            Exit::State,
            "UPDATE_PENDING",
        ),
        (
            UpgradeError::TooEarly {
                message: message(),
                command: "prepare",
            },
            Exit::State,
            "STEP_TOO_EARLY",
        ),
        (
            UpgradeError::Failed {
                code: Code::BootFailed,
                message: message(),
            },
            Exit::Failed,
            "BOOT_FAILED",
        ),
        (
            UpgradeError::Unknown {
                code: Code::CommitUnknown,
                message: message(),
                source: None,
            },
            Exit::Unknown,
            "COMMIT_UNKNOWN",
        ),
        (
            UpgradeError::Later {
                code: Code::CloudBehindChain,
                message: message(),
                source: None,
            },
            Exit::Later,
            "CLOUD_BEHIND_CHAIN",
        ),
        (
            UpgradeError::Ask(AskError::Nobody(format!("Commit? needs {}", CONSENT_FLAG))),
            Exit::Usage,
            "USAGE_CONSENT",
        ),
        (
            UpgradeError::Ask(AskError::Io(IoError::from(ErrorKind::BrokenPipe))),
            Exit::Later,
            "TERMINAL_LOST",
        ),
        (UpgradeError::Declined { what: message() }, Exit::State, "DECLINED"),
        (
            UpgradeError::File(file(ErrorKind::StorageFull)),
            Exit::Storage,
            "STORAGE_FULL",
        ),
        (
            UpgradeError::Compose(ComposeError::HashLength {
                found: 63,
                text: message(),
            }),
            Exit::Input,
            "INPUT_COMPOSE",
        ),
        (
            UpgradeError::Proposal {
                path: PathBuf::from("p.json"),
                why: message(),
            },
            Exit::Input,
            "INPUT_PROPOSAL",
        ),
    ]
}

fn clis() -> Vec<(CliError, Exit, &'static str)> {
    let refused = Cli::try_parse_from(["countersign", "plan", "--nothing"]);
    vec![
        (
            CliError::Usage {
                code: Code::UsageNoCvm,
                message: String::new(),
                hint: "name it".to_owned(),
                next: Next::with("--cvm NAME"),
            },
            Exit::Usage,
            "USAGE_NO_CVM",
        ),
        (
            CliError::Secret { message: String::new() },
            Exit::Usage,
            "USAGE_SECRET_ARGUMENT",
        ),
        (
            CliError::Arguments(Box::new(refused.unwrap_err())),
            Exit::Usage,
            "USAGE_UNKNOWN_ARGUMENT",
        ),
        (
            CliError::Input {
                code: Code::InputTextFile,
                message: String::new(),
                hint: "save it".to_owned(),
            },
            Exit::Input,
            "INPUT_TEXT_FILE",
        ),
        (CliError::UserFile(file(ErrorKind::NotFound)), Exit::Input, "INPUT_FILE"),
        (
            CliError::UserFile(file(ErrorKind::PermissionDenied)),
            Exit::Storage,
            "STORAGE_PERMISSION",
        ),
        (
            CliError::NotThisHash {
                expected: ComposeHash::new([1; 32]),
                found: ComposeHash::new([2; 32]),
            },
            Exit::Verify,
            "HASH_MISMATCH",
        ),
        (
            CliError::Output(IoError::from(ErrorKind::StorageFull)),
            Exit::Storage,
            "STORAGE_STDOUT",
        ),
        (
            CliError::Start(IoError::from(ErrorKind::OutOfMemory)),
            Exit::Later,
            "START_FAILED",
        ),
        (
            CliError::Defect {
                place: "src/x.rs:1:1".to_owned(),
            },
            Exit::Bug,
            "DEFECT",
        ),
        (CliError::Signal(Exit::Hangup), Exit::Hangup, "SIGNAL_HANGUP"),
        (CliError::Signal(Exit::Quit), Exit::Quit, "SIGNAL_QUIT"),
        (CliError::Signal(Exit::Interrupt), Exit::Interrupt, "SIGNAL_INTERRUPT"),
        (CliError::Signal(Exit::Terminate), Exit::Terminate, "SIGNAL_TERMINATE"),
    ]
}

fn of<E: Into<UpgradeError>>(
    rows: Vec<(E, Exit, &'static str)>,
) -> impl Iterator<Item = (CliError, Exit, &'static str)> {
    rows.into_iter()
        .map(|(error, exit, code)| (CliError::from(error), exit, code))
}

/// One of every error there is.
fn every() -> Vec<(CliError, Exit, &'static str)> {
    let unsent = kinds()
        .into_iter()
        .map(|(kind, exit, code)| (CloudError::Http(http("GET", kind, Sent::Maybe)), exit, code));
    clis()
        .into_iter()
        .chain(of(unsent.collect()))
        .chain(of(clouds()))
        .chain(of(chains()))
        .chain(of(transactions()))
        .chain(of(proofs()))
        .chain(of(signers()))
        .chain(of(devices()))
        .chain(of(journals()))
        .chain(of(upgrades()))
        .chain(
            services()
                .into_iter()
                .map(|(error, exit, code)| (CliError::from(error), exit, code)),
        )
        .collect()
}

fn typed(words: &[&str]) -> CommandLine {
    let words = std::iter::once("countersign").chain(words.iter().copied());
    CommandLine::new(
        &words.map(std::ffi::OsString::from).collect::<Vec<_>>(),
        Box::leak(Box::new(CommandTree::of::<Cli>())),
    )
}

/// Codes of everything that can be wrong at a timelock, how they come, and a word that belongs into the hint.
fn timelocks() -> Vec<(UpgradeError, &'static str, &'static str)> {
    let decide = |code| UpgradeError::Decide {
        code,
        message: "m".to_owned(),
        source: None,
    };
    let stop = |code| {
        UpgradeError::Stop(Box::new(Stop {
            code,
            what: "w".to_owned(),
            expected: "1".to_owned(),
            found: "2".to_owned(),
            details: Vec::new(),
            origin: None,
        }))
    };
    let failed = |code| UpgradeError::Failed {
        code,
        message: "m".to_owned(),
    };
    let unseen = UpgradeError::Unknown {
        code: Code::OperationUnseen,
        message: "m".to_owned(),
        source: None,
    };
    vec![
        (decide(Code::TimelockDelay), "TIMELOCK_DELAY", "--delay"),
        (decide(Code::TimelockNoProposer), "TIMELOCK_NO_PROPOSER", "--proposer"),
        (decide(Code::TimelockRoleMissing), "TIMELOCK_ROLE_MISSING", "--signer"),
        (decide(Code::TimelockWouldFail), "TIMELOCK_WOULD_FAIL", "was not signed"),
        (
            decide(Code::OperationWithoutEffect),
            "OPERATION_WITHOUT_EFFECT",
            "used up",
        ),
        (decide(Code::OperationInProgress), "OPERATION_IN_PROGRESS", "wait"),
        (stop(Code::TimelockChanged), "TIMELOCK_CHANGED", "timelock's code"),
        (stop(Code::OperationMismatch), "OPERATION_MISMATCH", "commit nothing"),
        (failed(Code::OperationCancelled), "OPERATION_CANCELLED", "--new-nonce"),
        (failed(Code::TimelockCallFailed), "TIMELOCK_CALL_FAILED", "--new-nonce"),
        (unseen, "OPERATION_UNSEEN", "--new-nonce"),
    ]
}

#[test]
fn every_failure_at_a_timelock_has_a_hint_of_its_own() {
    let typed = typed(&["execute"]).within(Some(std::path::Path::new("d")));
    let mut hints = Vec::new();
    for (error, code, word) in timelocks() {
        let report = report(&CliError::from(error), "execute", &typed);
        let hint = report.hint.unwrap();
        assert!(hint.contains(word), "{code}: {hint}");
        assert_eq!(report.code, code);
        assert!(!hints.contains(&hint), "{code}: {hint}");
        hints.push(hint);
    }
}

#[test]
fn l4_after_a_cancelled_operation_the_next_command_schedules_it_anew() {
    let typed = typed(&["resume"]).within(Some(std::path::Path::new("d")));
    for (error, code, _) in timelocks() {
        let next = report(&CliError::from(error), "resume", &typed).next.unwrap();
        let anew = [
            "OPERATION_CANCELLED",
            "OPERATION_WITHOUT_EFFECT",
            "TIMELOCK_CALL_FAILED",
        ]
        .contains(&code);
        assert_eq!(
            next == "countersign execute --dir d --new-nonce",
            anew,
            "{code}: {next}"
        );
    }
}

#[test]
fn every_error_has_its_code_and_its_exit_code() {
    for (error, exit, code) in every() {
        let verdict = judge(&error);
        assert_eq!((verdict.exit, verdict.code.name()), (exit, code), "{error:?}");
        let by_kind = verdict.code.kind().exit();
        assert_eq!(by_kind.unwrap_or(exit.code()), exit.code(), "{code} is of another kind");
    }
}

#[test]
fn every_failure_names_the_next_command_with_the_users_own_values() {
    let typed = typed(&["prepare", "--cvm", "my-app"]);
    for (error, _, _) in every() {
        let report = report(&error, "prepare", &typed);
        let next = report.next.unwrap();
        assert!(
            next.starts_with("countersign ") && next.len() > "countersign ".len(),
            "{next}"
        );
        let repeats = next == typed.command(&Next::Again);
        if let Next::Again | Next::With(_) | Next::Resume = judge(&error).next {
            let explains = next == format!("countersign explain {}", report.code);
            assert!(next.contains("--cvm my-app") || explains, "{next} for {error:?}");
        }
        let may_repeat = report.exit.is_repeated() || report.code == Code::Declined;
        assert!(!repeats || may_repeat, "{next} is what failed: {error:?}");
        let hint = report.hint.unwrap();
        assert!(!hint.contains(['{', '}']), "{hint} for {error:?}");
    }
}

#[test]
fn every_failure_is_one_json_object_that_keeps_its_promises() {
    let typed = typed(&["prepare", "--cvm", "my-app", "--json"]);
    for (error, exit, code) in every() {
        let json = report(&error, "prepare", &typed).json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["schema"], crate::cli::show::report::SCHEMA);
        assert_eq!(value["ok"], false);
        assert_eq!(value["exit"], exit.code());
        assert_eq!(value["code"], code);
        assert!(value["message"].is_string() && value["effects"].is_object() && value["facts"].is_object());
        assert_eq!(value["safe_to_rerun"], exit.safe_to_rerun());
    }
}

/// Every error of the library that can carry this code, with values that the code's page names as well.
fn carrying(code: Code) -> Vec<UpgradeError> {
    let message = || "m".to_owned();
    let decide = UpgradeError::Decide {
        code,
        message: message(),
        source: None,
    };
    let blocked = UpgradeError::Blocked {
        code,
        message: message(),
    };
    match code.kind() {
        CodeKind::Stop => vec![UpgradeError::Stop(Box::new(Stop {
            code,
            what: "w".to_owned(),
            expected: "EXPECTED".to_owned(),
            found: "FOUND".to_owned(),
            details: Vec::new(),
            origin: None,
        }))],
        // Only a signer finds it, and it names nonce and digest.
        CodeKind::Decision if code == Code::AlreadySigned => Vec::new(),
        CodeKind::Decision => {
            let finding = upgrade::Finding {
                code,
                severity: code.severity(),
                app: None,
                value: code.needs_value().then(|| "VALUE".to_owned()),
                message: message(),
                accepted: false,
                asked: false,
                stop: None,
            };
            let doubt = upgrade::Verdict {
                findings: vec![finding],
                ..upgrade::Verdict::default()
            };
            vec![UpgradeError::Forbidden(Box::new(doubt)), decide, blocked]
        }
        CodeKind::State => vec![decide, blocked],
        CodeKind::Failed => vec![UpgradeError::Failed {
            code,
            message: message(),
        }],
        CodeKind::Unknown => vec![UpgradeError::Unknown {
            code,
            message: message(),
            source: None,
        }],
        CodeKind::Later => vec![UpgradeError::Later {
            code,
            message: message(),
            source: None,
        }],
        _ => Vec::new(),
    }
}

#[test]
fn whatever_a_run_ends_with_has_the_hint_of_its_code_and_not_of_another() {
    let mut seen = 0;
    for code in Code::ALL {
        let own = by_code(*code).hint;
        for error in carrying(*code) {
            let shown = format!("{error:?}");
            let said = judge(&CliError::from(error));
            seen += 1;
            assert_eq!(said.code, *code, "{shown}");
            // Where the case does not tell of which values the doubt is, the option of the command takes its place.
            let same = said.hint == own || (code.kind() == CodeKind::Decision && near(&said.hint, &own));
            assert!(same, "{code}: {} and not {own}", said.hint);
        }
    }
    assert!(seen > 250, "only {seen} errors were made");
    let pages: BTreeMap<String, &Code> = Code::ALL.iter().map(|code| (by_code(*code).hint, code)).collect();
    for (error, _, code) in every() {
        let hint = judge(&error).hint;
        let owner = pages.get(&hint).map_or(code, |owner| owner.name());
        assert_eq!(owner, code, "{hint}");
    }
}

/// Whether two hints are the same up to the option that agrees.
fn near(one: &str, other: &str) -> bool {
    let without = |hint: &str| {
        let at = hint.find(" --").unwrap_or(hint.len());
        hint.chars().take(at).collect::<String>()
    };
    without(one) == without(other)
}

#[test]
fn one_code_always_has_one_exit_code() {
    let mut seen = BTreeMap::new();
    for (_, exit, code) in every() {
        assert_eq!(*seen.entry(code).or_insert(exit), exit, "{code}");
    }
    assert!(seen.keys().all(|code| {
        code.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    }));
}

#[test]
fn a9_a_write_that_may_have_arrived_is_unknown_and_outranks_a_later_try() {
    for kind in [Kind::Timeout, Kind::Broken, Kind::TooLarge { limit: 1 }] {
        for verb in ["POST", "PATCH"] {
            let error = CliError::from(CloudError::Http(http(verb, kind.clone(), Sent::Maybe)));
            assert_eq!(judge(&error).exit, Exit::Unknown, "{verb} {kind:?}");
            let error = CliError::from(CloudError::Http(http(verb, kind.clone(), Sent::No)));
            assert_eq!(judge(&error).exit, Exit::Later, "{verb} {kind:?}");
        }
    }
}

#[test]
fn d9_too_many_open_files_is_worth_another_try() {
    let error = FsError {
        action: "open",
        path: PathBuf::from("/u/journal"),
        source: IoError::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()),
    };
    assert_eq!(judge(&CliError::from(UpgradeError::File(error))).exit, Exit::Later);
}

#[test]
fn the_servers_code_and_request_id_reach_the_facts_also_from_below() {
    let below = UpgradeError::Unknown {
        code: Code::CommitUnknown,
        message: "no answer".to_owned(),
        source: Some(Box::new(CloudError::Unavailable(server(502)))),
    };
    for error in [UpgradeError::Cloud(CloudError::Refused(server(466))), below] {
        let report = report(&CliError::from(error), "commit", &typed(&["commit"]));
        assert_eq!(report.facts.vendor_code.as_deref(), Some("ERR-01-006"));
        assert_eq!(report.facts.request_id.as_deref(), Some("req_1"));
    }
}

#[test]
fn a37_a_stop_shows_both_values_and_what_not_to_approve() {
    let (error, _, _) = upgrades().swap_remove(0);
    let text = report(&CliError::from(error), "prepare", &typed(&["prepare"])).failure_text(false, None);
    assert!(
        text.starts_with("STOP  compose hash does not match (HASH_MISMATCH)\n"),
        "{text}"
    );
    for part in [
        "expected  0x01",
        "found     0x02",
        "docker_compose_file line 14",
        "Nothing was",
        "do not approve 0x02",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_cause_is_said_once_and_after_what_failed() {
    let error = CliError::UserFile(file(ErrorKind::NotFound));
    let value: serde_json::Value = serde_json::from_str(&report(&error, "hash", &typed(&["hash"])).json()).unwrap();
    assert_eq!(value["message"], "cannot write `/u/journal`: entity not found");
}
