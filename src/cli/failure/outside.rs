//! Failures of the outside: the cloud, HTTP, the chain, transactions and their proofs.

use std::error::Error;

use super::{Next, Verdict, verdict};
use crate::chain::{ChainError, ProofFailure, Replaced, TxError};
use crate::cli::exit::Exit;
use crate::cloud::{CloudError, Problem};
use crate::code::Code;
use crate::http::{HttpError, Kind, Sent};
use crate::safe::service::ServiceError;

pub(super) fn cloud(error: &CloudError) -> Verdict {
    match error {
        CloudError::Http(error) => http(error),
        CloudError::Auth(_) => verdict(
            Exit::Auth,
            Code::AuthApiKey,
            Next::Again,
            "set PHALA_CLOUD_API_KEY to a key of the workspace that owns the CVM",
        ),
        CloudError::NotFound(_) => verdict(
            Exit::State,
            Code::ApiNotFound,
            Next::Again,
            "check the CVM's name, and that the API key belongs to its workspace",
        ),
        CloudError::Busy(_) => verdict(
            Exit::Later,
            Code::ApiBusy,
            Next::Resume,
            "wait until the other operation is over",
        ),
        CloudError::Unavailable(_) => verdict(Exit::Later, Code::ApiUnavailable, Next::Resume, "run again later"),
        CloudError::Refused(problem) => refused(problem),
        CloudError::Unexpected { request, status, .. }
            if !request.starts_with("GET ") && (200..300).contains(status) =>
        {
            verdict(
                Exit::Unknown,
                Code::ApiUnknown,
                Next::Resume,
                "the request may have had its effect; run again, it reads what became of it",
            )
        }
        CloudError::Unexpected { .. } => verdict(
            Exit::Later,
            Code::ApiUnexpected,
            Next::Resume,
            "check PHALA_CLOUD_API_PREFIX and any proxy in between, then run again",
        ),
        CloudError::Identity { .. } => verdict(
            Exit::Verify,
            Code::IdentityMalformed,
            Next::Look,
            "approve nothing that this server names before you know why it sends such a value",
        ),
        CloudError::NoApiKey { .. } => verdict(
            Exit::Auth,
            Code::AuthNoApiKey,
            Next::Again,
            "set PHALA_CLOUD_API_KEY to a key of the workspace that owns the CVM",
        ),
        CloudError::BadId { .. } => verdict(
            Exit::Input,
            Code::InputCvm,
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
            Code::AuthServiceKey,
            Next::Again,
            "set SAFE_TRANSACTION_SERVICE_API_KEY to a key of the service, or unset it to go without one",
        ),
        ServiceError::BadKey => verdict(
            Exit::Input,
            Code::InputServiceKey,
            Next::Again,
            "set SAFE_TRANSACTION_SERVICE_API_KEY again, without quotes or line breaks inside it",
        ),
        ServiceError::BadUrl => verdict(
            Exit::Usage,
            Code::UsageServiceUrl,
            Next::Again,
            "--service-url takes an https address",
        ),
        ServiceError::Unavailable(_) => verdict(
            Exit::Later,
            Code::ServiceUnavailable,
            Next::Again,
            format!("run again later, or {BY_FILE}"),
        ),
        ServiceError::Unexpected { .. } => verdict(
            Exit::Later,
            Code::ServiceUnexpected,
            Next::Again,
            format!("check --service-url and any proxy in between, or {BY_FILE}"),
        ),
        ServiceError::Unsettled { .. } => verdict(
            Exit::Unknown,
            Code::ServiceUnknown,
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
            Code::ServiceTampered,
            Next::Look,
            "sign nothing that was found at this service; compare the safeTxHash with the other owners",
        ),
    }
}

/// What the service does not take or give.
fn declined(error: &ServiceError) -> Verdict {
    let (code, next, hint) = match error {
        ServiceError::NotFound(_) => (Code::ServiceNotFound, Next::Again, "check --service-url"),
        ServiceError::Banned(_) => (Code::ServiceBanned, Next::Look, "the service does not serve this Safe"),
        ServiceError::TooMany { .. } => (Code::ServiceTooMany, Next::Look, "nobody can look through so many"),
        ServiceError::NoSignature => (
            Code::ServiceNoSignature,
            Next::Command("sign"),
            "sign first: wallets do not show what nobody signed",
        ),
        _ => (Code::ServiceRefused, Next::Look, "read the service's words"),
    };
    verdict(Exit::State, code, next, format!("{hint}; or {BY_FILE}"))
}

/// Refusals by status; 465 to 468 are Phala Cloud's own.
fn refused(problem: &Problem) -> Verdict {
    match problem.status {
        400 | 413 | 422 => verdict(
            Exit::Input,
            Code::ApiRefusedInput,
            Next::Again,
            "correct what the server names",
        ),
        465 | 468 => verdict(
            Exit::State,
            Code::CommitNotAllowed,
            Next::Command("wait"),
            "the server does not see the hash allowed on chain yet",
        ),
        466 => verdict(
            Exit::State,
            Code::CommitRejected466,
            Next::Resume,
            "the token is used, replaced or expired; an approval on chain stays good",
        ),
        467 => verdict(
            Exit::State,
            Code::CommitRejected467,
            Next::Resume,
            "the server does not accept the transaction as proof",
        ),
        _ => verdict(
            Exit::State,
            Code::ApiRefused,
            Next::Look,
            "read the server's words; the request id helps its support",
        ),
    }
}

fn http(error: &HttpError) -> Verdict {
    if error.sent == Sent::Maybe && error.verb != "GET" && !matches!(error.kind, Kind::Tls | Kind::Redirect { .. }) {
        return verdict(
            Exit::Unknown,
            Code::ApiUnknown,
            Next::Resume,
            "the request may have had its effect; run again, it reads what became of it",
        );
    }
    match &error.kind {
        Kind::Connect => verdict(
            Exit::Later,
            Code::NetNoConnection,
            Next::Resume,
            "check the network and the address, then run again",
        ),
        Kind::Tls => verdict(
            Exit::Verify,
            Code::TlsIdentity,
            Next::Look,
            "somebody may stand between you and the server; do not go on through this network",
        ),
        Kind::NoTls => verdict(
            Exit::Storage,
            Code::NetNoTls,
            Next::Again,
            "install the system's root certificates (often `ca-certificates`), or name a file of them by SSL_CERT_FILE",
        ),
        Kind::Timeout => verdict(Exit::Later, Code::NetTimeout, Next::Resume, "run again later"),
        Kind::Broken => verdict(Exit::Later, Code::NetBroken, Next::Resume, "run again later"),
        Kind::TooLarge { .. } => verdict(
            Exit::Later,
            Code::NetTooLarge,
            Next::Resume,
            "check the address: no answer of this service is that long",
        ),
        Kind::Redirect { .. } => verdict(
            Exit::Verify,
            Code::RedirectRefused,
            Next::Look,
            "the service does not redirect; check the address and the network in between",
        ),
        Kind::Insecure => verdict(Exit::Usage, Code::UsagePlainHttp, Next::Again, "use an https address"),
    }
}

/// Whether no other endpoint and no later moment would fare better.
const fn stands_in_the_way(error: &HttpError) -> bool {
    matches!(
        error.kind,
        Kind::Tls | Kind::NoTls | Kind::Redirect { .. } | Kind::Insecure
    )
}

fn unavailable(source: &(dyn std::error::Error + 'static)) -> Verdict {
    if found::<Replaced>(source).is_some() {
        return verdict(
            Exit::Pending,
            Code::PendingConfirmations,
            Next::Resume,
            "a block that was read is not on the chain any more: run again, and what stands in its place is read",
        );
    }
    match found::<HttpError>(source) {
        Some(error) if stands_in_the_way(error) => http(error),
        _ => verdict(
            Exit::Later,
            Code::RpcUnavailable,
            Next::Resume,
            "try another --rpc-url, or run again later",
        ),
    }
}

pub(super) fn chain(error: &ChainError) -> Verdict {
    match error {
        ChainError::Unavailable { source, .. } => unavailable(source.as_ref()),
        ChainError::TooFew { .. } => missing_endpoints(),
        ChainError::WrongChain { .. } => verdict(
            Exit::Verify,
            Code::ChainMismatch,
            Next::Again,
            "give an --rpc-url of the chain that the app's KMS is on",
        ),
        ChainError::WrongGenesis { .. } => verdict(
            Exit::Verify,
            Code::GenesisMismatch,
            Next::Again,
            "this endpoint is not the chain that it claims to be; use another --rpc-url",
        ),
        ChainError::Disagreement { .. } => verdict(
            Exit::Verify,
            Code::RpcDisagreement,
            Next::Look,
            "one of the endpoints is wrong: ask a third one before you believe either",
        ),
        ChainError::Stale { .. } => verdict(
            Exit::Later,
            Code::RpcStale,
            Next::Resume,
            "try another --rpc-url, or run again later",
        ),
        ChainError::NotAnApp { .. } | ChainError::NotAKms { .. } | ChainError::NotATimelock { .. } => verdict(
            Exit::Verify,
            Code::AppMismatch,
            Next::Look,
            "check the address and the chain: nothing can be approved there",
        ),
        ChainError::AppsById { .. } => apps_by_id(),
        ChainError::NoFinalityTag { .. } => verdict(
            Exit::State,
            Code::RpcNoFinalityTag,
            Next::with("--confirmations 12"),
            "count blocks instead, or use an endpoint that has the tag",
        ),
        ChainError::Impossible { .. } => verdict(
            Exit::Verify,
            Code::RpcImpossible,
            Next::Look,
            "do not believe this endpoint; use another --rpc-url",
        ),
        ChainError::NoEndpoint { .. } => no_endpoint(),
    }
}

fn missing_endpoints() -> Verdict {
    verdict(
        Exit::Pending,
        Code::PendingEndpoints,
        Next::Resume,
        "run again when it answers, name another endpoint in its place with --rpc-url, or let fewer agree with --quorum",
    )
}

fn no_endpoint() -> Verdict {
    verdict(
        Exit::Usage,
        Code::UsageNoRpc,
        Next::with("--rpc-url https://…"),
        "give --rpc-url, or set ETH_RPC_URL",
    )
}

fn apps_by_id() -> Verdict {
    verdict(
        Exit::State,
        Code::AppsById,
        Next::Look,
        "this version upgrades CVMs of KMS contracts since July 2025; the lists of the app's own contract can be changed by --app",
    )
}

pub(super) fn transaction(error: &TxError) -> Verdict {
    match error {
        TxError::Chain(error) => chain(error),
        TxError::WouldRevert { .. } => verdict(
            Exit::State,
            Code::TxWouldRevert,
            Next::Look,
            "nothing was sent; check with `countersign app show` who owns the app",
        ),
        TxError::InFlight { .. } => verdict(
            Exit::State,
            Code::TxInFlight,
            Next::Resume,
            "wait for the key's other transaction, cancel it in the wallet that sent it, or choose: --nonce N goes behind \
             it, or replaces it",
        ),
        TxError::NonceUsed { .. } => verdict(
            Exit::State,
            Code::TxNonceUsed,
            Next::Resume,
            "nothing was signed; leave --nonce out, or choose one that is not used",
        ),
        TxError::NonceGap { .. } => verdict(
            Exit::State,
            Code::TxNonceGap,
            Next::Resume,
            "nothing was signed; leave --nonce out, or choose the first free one",
        ),
        TxError::Funds { .. } => verdict(Exit::State, Code::TxFunds, Next::Resume, "send the key what is missing"),
        TxError::FeeCeiling { .. } => verdict(
            Exit::Pending,
            Code::PendingFees,
            Next::Resume,
            "wait until fees fall, or raise --max-fee",
        ),
        TxError::CostLimit { .. } | TxError::CostUnlimited { .. } => cost(error),
        TxError::Forged { .. } => verdict(
            Exit::Verify,
            Code::TxForged,
            Next::Look,
            "the bytes are not the call that was planned; do not send them by other means",
        ),
        TxError::BlockGasLimit { .. } => verdict(
            Exit::State,
            Code::TxBlockGasLimit,
            Next::Look,
            "no block can hold this call; check the app's contract",
        ),
    }
}

fn cost(error: &TxError) -> Verdict {
    let (code, hint) = match error {
        TxError::CostUnlimited { .. } => (
            Code::CostNotLimited,
            "this was not signed; say by --max-cost what all transactions of the upgrade may cost together, or leave --yes \
             out and look",
        ),
        _ => (
            Code::CostAboveLimit,
            "this was not signed; compare fees and gas with what others say, since an endpoint may lie; then wait until fees \
             fall, or raise --max-cost",
        ),
    };
    verdict(Exit::State, code, Next::with("--max-cost AMOUNT"), hint)
}

pub(super) fn proof(error: &ProofFailure) -> Verdict {
    match error {
        ProofFailure::Chain(error) => chain(error),
        ProofFailure::Reverted { .. } => verdict(
            Exit::Failed,
            Code::TxReverted,
            Next::Look,
            "the fee is spent and nothing changed; read the reason before signing again",
        ),
        ProofFailure::NotSettled { .. } => {
            verdict(Exit::Pending, Code::PendingFinality, Next::Resume, "run again later")
        }
        ProofFailure::NoEffect { .. } => verdict(
            Exit::Verify,
            Code::ProofNoEffect,
            Next::Look,
            "the transaction did something else than was planned; find out what before going on",
        ),
        ProofFailure::Removed { .. } => verdict(
            Exit::State,
            Code::HashRemoved,
            Next::Look,
            "the owner withdrew the hash; committing now would stop the CVM at its next boot",
        ),
        ProofFailure::NotInForce { .. } => verdict(
            Exit::State,
            Code::HashNotAllowed,
            Next::Command("execute"),
            "the owner has to allow the hash first",
        ),
    }
}

/// The first error of this type in a chain of causes.
fn found<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref::<E>())
}
