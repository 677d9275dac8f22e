//! Failures of the outside: the cloud, HTTP, the chain, transactions and their proofs.

use std::error::Error;

use super::hints::said;
use super::verdict::{Next, Verdict, verdict};
use crate::chain::{ChainError, ProofFailure, Replaced, TxError};
use crate::cli::exit::Exit;
use crate::cloud::{CloudError, Problem};
use crate::code::Code;
use crate::http::{HttpError, Kind, Sent};
use crate::safe::service::ServiceError;
use crate::upgrade::model::policy_code;

pub(super) fn cloud(error: &CloudError) -> Verdict {
    match error {
        CloudError::Http(error) => http(error),
        CloudError::Auth(_) => said(Code::AuthApiKey),
        CloudError::NotFound(_) => said(Code::ApiNotFound),
        CloudError::Busy(_) => said(Code::ApiBusy),
        CloudError::Unavailable(_) => said(Code::ApiUnavailable),
        CloudError::Refused(problem) => refused(problem),
        CloudError::Unexpected { request, status, .. }
            if !request.starts_with("GET ") && (200..300).contains(status) =>
        {
            said(Code::ApiUnknown)
        }
        CloudError::Unexpected { .. } => said(Code::ApiUnexpected),
        CloudError::Identity { .. } => said(Code::IdentityMalformed),
        CloudError::NoApiKey { .. } => said(Code::AuthNoApiKey),
        CloudError::BadId { .. } => said(Code::InputCvm),
    }
}

/// The Safe Transaction Service. Whatever is wrong with it, the proposal can be passed on as a file.
pub(super) fn service(error: &ServiceError) -> Verdict {
    match error {
        ServiceError::Http(error) => http(error),
        ServiceError::Auth(_) => said(Code::AuthServiceKey),
        ServiceError::BadKey => said(Code::InputServiceKey),
        ServiceError::BadUrl => said(Code::UsageServiceUrl),
        ServiceError::Unavailable(_) => said(Code::ServiceUnavailable),
        ServiceError::Unexpected { .. } => said(Code::ServiceUnexpected),
        ServiceError::Unsettled { .. } => said(Code::ServiceUnknown),
        ServiceError::NotFound(_) => said(Code::ServiceNotFound),
        ServiceError::Banned(_) => said(Code::ServiceBanned),
        ServiceError::Refused(_) => said(Code::ServiceRefused),
        ServiceError::TooMany { .. } => said(Code::ServiceTooMany),
        ServiceError::NoSignature => said(Code::ServiceNoSignature),
        ServiceError::Tampered { .. } | ServiceError::OtherSignatures { .. } => said(Code::ServiceTampered),
    }
}

/// Refusals by status; 465 to 468 are Phala Cloud's own.
fn refused(problem: &Problem) -> Verdict {
    match problem.status {
        400 | 413 | 422 => said(Code::ApiRefusedInput),
        465 | 468 => said(Code::CommitNotAllowed),
        466 => said(Code::CommitRejected466),
        467 => said(Code::CommitRejected467),
        _ => said(Code::ApiRefused),
    }
}

fn http(error: &HttpError) -> Verdict {
    if error.sent == Sent::Maybe && error.verb != "GET" && !matches!(error.kind, Kind::Tls | Kind::Redirect { .. }) {
        return said(Code::ApiUnknown);
    }
    match &error.kind {
        Kind::Connect => said(Code::NetNoConnection),
        Kind::Tls => said(Code::TlsIdentity),
        Kind::NoTls => said(Code::NetNoTls),
        Kind::Timeout => said(Code::NetTimeout),
        Kind::Broken => said(Code::NetBroken),
        Kind::TooLarge { .. } => said(Code::NetTooLarge),
        Kind::Redirect { .. } => said(Code::RedirectRefused),
        Kind::Insecure => said(Code::UsagePlainHttp),
    }
}

fn unavailable(source: &(dyn std::error::Error + 'static)) -> Verdict {
    if found::<Replaced>(source).is_some() {
        return said(Code::PendingConfirmations);
    }
    match found::<HttpError>(source) {
        Some(error) if error.kind.stands_in_the_way() => http(error),
        _ => said(Code::RpcUnavailable),
    }
}

pub(super) fn chain(error: &ChainError) -> Verdict {
    match error {
        ChainError::Unavailable { source, .. } => unavailable(source.as_ref()),
        ChainError::TooFew { .. } => said(Code::PendingEndpoints),
        ChainError::WrongChain { .. } => said(Code::ChainMismatch),
        ChainError::WrongGenesis { .. } => said(Code::GenesisMismatch),
        ChainError::Disagreement { .. } => said(Code::RpcDisagreement),
        ChainError::Stale { .. } => said(Code::RpcStale),
        ChainError::NotAnApp { .. } | ChainError::NotAKms { .. } | ChainError::NotATimelock { .. } => verdict(
            Exit::Verify,
            Code::AppMismatch,
            Next::Look,
            "check the address and the chain: nothing can be approved there",
        ),
        ChainError::AppsById { .. } => said(Code::AppsById),
        ChainError::OtherPolicy { policy, .. } => said(policy_code(policy)),
        ChainError::NoFinalityTag { .. } => said(Code::RpcNoFinalityTag),
        ChainError::Impossible { .. } => said(Code::RpcImpossible),
        ChainError::NoEndpoint { .. } => said(Code::UsageNoRpc),
    }
}

pub(super) fn transaction(error: &TxError) -> Verdict {
    match error {
        TxError::Chain(error) => chain(error),
        TxError::WouldRevert { .. } => said(Code::TxWouldRevert),
        TxError::InFlight { .. } => said(Code::TxInFlight),
        TxError::NonceUsed { .. } => said(Code::TxNonceUsed),
        TxError::NonceGap { .. } => said(Code::TxNonceGap),
        TxError::Funds { .. } => said(Code::TxFunds),
        TxError::FeeCeiling { .. } => said(Code::PendingFees),
        TxError::CostLimit { .. } => said(Code::CostAboveLimit),
        TxError::CostUnlimited { .. } => said(Code::CostNotLimited),
        TxError::Forged { .. } => said(Code::TxForged),
        TxError::BlockGasLimit { .. } => said(Code::TxBlockGasLimit),
    }
}

pub(super) fn proof(error: &ProofFailure) -> Verdict {
    match error {
        ProofFailure::Chain(error) => chain(error),
        ProofFailure::Reverted { .. } => said(Code::TxReverted),
        ProofFailure::NotSettled { .. } => said(Code::PendingFinality),
        ProofFailure::NoEffect { .. } => said(Code::ProofNoEffect),
        ProofFailure::Removed { .. } => said(Code::HashRemoved),
        ProofFailure::NotInForce { .. } => said(Code::HashNotAllowed),
    }
}

/// The first error of this type in a chain of causes.
fn found<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref::<E>())
}
