//! Failures of the outside: the cloud, HTTP, the chain, transactions and their proofs.

use std::error::Error;

use super::{Next, Verdict, verdict};
use crate::chain::{ChainError, ProofFailure, TxError};
use crate::cli::exit::Exit;
use crate::cloud::{CloudError, Problem};
use crate::http::{HttpError, Kind, Sent};
use crate::safe::service::ServiceError;

pub(super) fn cloud(error: &CloudError) -> Verdict {
    match error {
        CloudError::Http(error) => http(error),
        CloudError::Auth(_) => verdict(
            Exit::Auth,
            "AUTH_API_KEY",
            Next::Again,
            "set PHALA_CLOUD_API_KEY to a key of the workspace that owns the CVM",
        ),
        CloudError::NotFound(_) => verdict(
            Exit::State,
            "API_NOT_FOUND",
            Next::Again,
            "check the CVM's name, and that the API key belongs to its workspace",
        ),
        CloudError::Busy(_) => verdict(
            Exit::Later,
            "API_BUSY",
            Next::Resume,
            "wait until the other operation is over",
        ),
        CloudError::Unavailable(_) => verdict(Exit::Later, "API_UNAVAILABLE", Next::Resume, "run again later"),
        CloudError::Refused(problem) => refused(problem),
        CloudError::Unexpected { request, status, .. }
            if !request.starts_with("GET ") && (200..300).contains(status) =>
        {
            verdict(
                Exit::Unknown,
                "API_UNKNOWN",
                Next::Resume,
                "the request may have had its effect; run again, it reads what became of it",
            )
        }
        CloudError::Unexpected { .. } => verdict(
            Exit::Later,
            "API_UNEXPECTED",
            Next::Resume,
            "check PHALA_CLOUD_API_PREFIX and any proxy in between, then run again",
        ),
        CloudError::Identity { .. } => verdict(
            Exit::Verify,
            "IDENTITY_MALFORMED",
            Next::Look,
            "approve nothing that this server names before you know why it sends such a value",
        ),
        CloudError::NoApiKey { .. } => verdict(
            Exit::Auth,
            "AUTH_NO_API_KEY",
            Next::Again,
            "set PHALA_CLOUD_API_KEY to a key of the workspace that owns the CVM",
        ),
        CloudError::BadId { .. } => verdict(
            Exit::Input,
            "INPUT_CVM",
            Next::Again,
            "name the CVM by its name, UUID, app id or instance id",
        ),
    }
}

/// What helps whatever is wrong with the service.
const BY_FILE: &str = "pass the proposal on as a file, which needs no service";

/// The Safe Transaction Service. Whatever is wrong with it, the proposal can be passed on as a file.
pub(super) fn service(error: &ServiceError) -> Verdict {
    match error {
        ServiceError::Http(error) => http(error),
        ServiceError::Auth(_) => verdict(
            Exit::Auth,
            "AUTH_SERVICE_KEY",
            Next::Again,
            "set SAFE_TRANSACTION_SERVICE_API_KEY to a key of the service, or unset it to go without one",
        ),
        ServiceError::BadKey => verdict(
            Exit::Input,
            "INPUT_SERVICE_KEY",
            Next::Again,
            "set SAFE_TRANSACTION_SERVICE_API_KEY again, without quotes or line breaks inside it",
        ),
        ServiceError::BadUrl => verdict(
            Exit::Usage,
            "USAGE_SERVICE_URL",
            Next::Again,
            "--service-url takes an https address",
        ),
        ServiceError::Unavailable(_) => verdict(
            Exit::Later,
            "SERVICE_UNAVAILABLE",
            Next::Again,
            format!("run again later, or {BY_FILE}"),
        ),
        ServiceError::Unexpected { .. } => verdict(
            Exit::Later,
            "SERVICE_UNEXPECTED",
            Next::Again,
            format!("check --service-url and any proxy in between, or {BY_FILE}"),
        ),
        ServiceError::Unsettled { .. } => verdict(
            Exit::Unknown,
            "SERVICE_UNKNOWN",
            Next::Again,
            "run again: it reads what is there and posts only what is missing",
        ),
        ServiceError::NotFound(_)
        | ServiceError::Banned(_)
        | ServiceError::Refused(_)
        | ServiceError::TooMany { .. }
        | ServiceError::NoSignature => declined(error),
        ServiceError::Tampered { .. } | ServiceError::OtherSignatures { .. } => verdict(
            Exit::Verify,
            "SERVICE_TAMPERED",
            Next::Look,
            "sign nothing that was found at this service; compare the safeTxHash with the other owners",
        ),
    }
}

/// What the service does not take or give.
fn declined(error: &ServiceError) -> Verdict {
    let (code, next, hint) = match error {
        ServiceError::NotFound(_) => ("SERVICE_NOT_FOUND", Next::Again, "check --service-url"),
        ServiceError::Banned(_) => ("SERVICE_BANNED", Next::Look, "the service does not serve this Safe"),
        ServiceError::TooMany { .. } => ("SERVICE_TOO_MANY", Next::Look, "nobody can look through so many"),
        ServiceError::NoSignature => (
            "SERVICE_NO_SIGNATURE",
            Next::Command("sign"),
            "sign first: wallets do not show what nobody signed",
        ),
        _ => ("SERVICE_REFUSED", Next::Look, "read the service's words"),
    };
    verdict(Exit::State, code, next, format!("{hint}; or {BY_FILE}"))
}

/// Refusals by status; 465 to 468 are Phala Cloud's own.
fn refused(problem: &Problem) -> Verdict {
    match problem.status {
        400 | 413 | 422 => verdict(
            Exit::Input,
            "API_REFUSED_INPUT",
            Next::Again,
            "correct what the server names",
        ),
        465 | 468 => verdict(
            Exit::State,
            "COMMIT_NOT_ALLOWED",
            Next::Command("wait"),
            "the server does not see the hash allowed on chain yet",
        ),
        466 => verdict(
            Exit::State,
            "COMMIT_REJECTED_466",
            Next::Resume,
            "the token is used, replaced or expired; an approval on chain stays good",
        ),
        467 => verdict(
            Exit::State,
            "COMMIT_REJECTED_467",
            Next::Resume,
            "the server does not accept the transaction as proof",
        ),
        _ => verdict(
            Exit::State,
            "API_REFUSED",
            Next::Look,
            "read the server's words; the request id helps its support",
        ),
    }
}

fn http(error: &HttpError) -> Verdict {
    if error.sent == Sent::Maybe && error.verb != "GET" && !matches!(error.kind, Kind::Tls | Kind::Redirect { .. }) {
        return verdict(
            Exit::Unknown,
            "API_UNKNOWN",
            Next::Resume,
            "the request may have had its effect; run again, it reads what became of it",
        );
    }
    match &error.kind {
        Kind::Connect => verdict(
            Exit::Later,
            "NET_NO_CONNECTION",
            Next::Resume,
            "check the network and the address, then run again",
        ),
        Kind::Tls => verdict(
            Exit::Verify,
            "TLS_IDENTITY",
            Next::Look,
            "somebody may stand between you and the server; do not go on through this network",
        ),
        Kind::NoTls => verdict(
            Exit::Storage,
            "NET_NO_TLS",
            Next::Again,
            "install the system's root certificates (often `ca-certificates`), or name a file of them by SSL_CERT_FILE",
        ),
        Kind::Timeout => verdict(Exit::Later, "NET_TIMEOUT", Next::Resume, "run again later"),
        Kind::Broken => verdict(Exit::Later, "NET_BROKEN", Next::Resume, "run again later"),
        Kind::TooLarge { .. } => verdict(
            Exit::Later,
            "NET_TOO_LARGE",
            Next::Resume,
            "check the address: no answer of this service is that long",
        ),
        Kind::Redirect { .. } => verdict(
            Exit::Verify,
            "REDIRECT_REFUSED",
            Next::Look,
            "the service does not redirect; check the address and the network in between",
        ),
        Kind::Insecure => verdict(Exit::Usage, "USAGE_PLAIN_HTTP", Next::Again, "use an https address"),
    }
}

/// Whether no other endpoint and no later moment would fare better.
const fn stands_in_the_way(error: &HttpError) -> bool {
    matches!(
        error.kind,
        Kind::Tls | Kind::NoTls | Kind::Redirect { .. } | Kind::Insecure
    )
}

pub(super) fn chain(error: &ChainError) -> Verdict {
    match error {
        ChainError::Unavailable { source, .. } => match found::<HttpError>(source.as_ref()) {
            Some(error) if stands_in_the_way(error) => http(error),
            _ => verdict(
                Exit::Later,
                "RPC_UNAVAILABLE",
                Next::Resume,
                "try another --rpc-url, or run again later",
            ),
        },
        ChainError::WrongChain { .. } => verdict(
            Exit::Verify,
            "CHAIN_MISMATCH",
            Next::Again,
            "give an --rpc-url of the chain that the app's KMS is on",
        ),
        ChainError::WrongGenesis { .. } => verdict(
            Exit::Verify,
            "GENESIS_MISMATCH",
            Next::Again,
            "this endpoint is not the chain that it claims to be; use another --rpc-url",
        ),
        ChainError::Disagreement { .. } => verdict(
            Exit::Verify,
            "RPC_DISAGREEMENT",
            Next::Look,
            "one of the endpoints is wrong: ask a third one before you believe either",
        ),
        ChainError::Stale { .. } => verdict(
            Exit::Later,
            "RPC_STALE",
            Next::Resume,
            "try another --rpc-url, or run again later",
        ),
        ChainError::NotAnApp { .. } | ChainError::NotAKms { .. } | ChainError::NotATimelock { .. } => verdict(
            Exit::Verify,
            "APP_MISMATCH",
            Next::Look,
            "check the address and the chain: nothing can be approved there",
        ),
        ChainError::NoFinalityTag { .. } => verdict(
            Exit::State,
            "RPC_NO_FINALITY_TAG",
            Next::with("--confirmations 12"),
            "count blocks instead, or use an endpoint that has the tag",
        ),
        ChainError::Impossible { .. } => verdict(
            Exit::Verify,
            "RPC_IMPOSSIBLE",
            Next::Look,
            "do not believe this endpoint; use another --rpc-url",
        ),
        ChainError::NoEndpoint { .. } => verdict(
            Exit::Usage,
            "USAGE_NO_RPC",
            Next::with("--rpc-url https://…"),
            "give --rpc-url, or set ETH_RPC_URL",
        ),
    }
}

pub(super) fn transaction(error: &TxError) -> Verdict {
    match error {
        TxError::Chain(error) => chain(error),
        TxError::WouldRevert { .. } => verdict(
            Exit::State,
            "TX_WOULD_REVERT",
            Next::Look,
            "nothing was sent; check with `countersign app show` who owns the app",
        ),
        TxError::InFlight { .. } => verdict(
            Exit::State,
            "TX_IN_FLIGHT",
            Next::Resume,
            "wait for the key's other transaction, cancel it in the wallet that sent it, or choose: --nonce N goes behind \
             it, or replaces it",
        ),
        TxError::NonceUsed { .. } => verdict(
            Exit::State,
            "TX_NONCE_USED",
            Next::Resume,
            "nothing was signed; leave --nonce out, or choose one that is not used",
        ),
        TxError::NonceGap { .. } => verdict(
            Exit::State,
            "TX_NONCE_GAP",
            Next::Resume,
            "nothing was signed; leave --nonce out, or choose the first free one",
        ),
        TxError::Funds { .. } => verdict(Exit::State, "TX_FUNDS", Next::Resume, "send the key what is missing"),
        TxError::FeeCeiling { .. } => verdict(
            Exit::Pending,
            "PENDING_FEES",
            Next::Resume,
            "wait until fees fall, or raise --max-fee",
        ),
        TxError::Forged { .. } => verdict(
            Exit::Verify,
            "TX_FORGED",
            Next::Look,
            "the bytes are not the call that was planned; do not send them by other means",
        ),
        TxError::BlockGasLimit { .. } => verdict(
            Exit::State,
            "TX_BLOCK_GAS_LIMIT",
            Next::Look,
            "no block can hold this call; check the app's contract",
        ),
    }
}

pub(super) fn proof(error: &ProofFailure) -> Verdict {
    match error {
        ProofFailure::Chain(error) => chain(error),
        ProofFailure::Reverted { .. } => verdict(
            Exit::Failed,
            "TX_REVERTED",
            Next::Look,
            "the fee is spent and nothing changed; read the reason before signing again",
        ),
        ProofFailure::NotSettled { .. } => verdict(Exit::Pending, "PENDING_FINALITY", Next::Resume, "run again later"),
        ProofFailure::NoEffect { .. } => verdict(
            Exit::Verify,
            "PROOF_NO_EFFECT",
            Next::Look,
            "the transaction did something else than was planned; find out what before going on",
        ),
        ProofFailure::Removed { .. } => verdict(
            Exit::State,
            "HASH_REMOVED",
            Next::Look,
            "the owner withdrew the hash; committing now would stop the CVM at its next boot",
        ),
        ProofFailure::NotInForce { .. } => verdict(
            Exit::State,
            "HASH_NOT_ALLOWED",
            Next::Command("execute"),
            "the owner has to allow the hash first",
        ),
    }
}

/// The first error of this type in a chain of causes.
fn found<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref::<E>())
}
