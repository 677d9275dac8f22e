//! A key that AWS KMS keeps (`ECC_SECG_P256K1`, `SIGN_VERIFY`).
//!
//! Credentials, region and endpoint come from AWS's own chain: environment, profiles, single sign-on, the machine's
//! role. Needs `kms:GetPublicKey` and `kms:Sign`. Nothing it answers is believed: the signature has to recover to the key
//! whose public half it gave before.

use std::time::Duration;

use alloy::primitives::{Address, B256, Signature, U256};
use alloy::signers::Signer as _;
use alloy::signers::aws::aws_config::timeout::TimeoutConfig;
use alloy::signers::aws::aws_config::{self, BehaviorVersion, SdkConfig};
use alloy::signers::aws::aws_sdk_kms::Client;
use alloy::signers::aws::aws_sdk_kms::config::http::HttpResponse;
use alloy::signers::aws::aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use alloy::signers::aws::{AwsSigner, AwsSignerError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::error::{KmsError, SignerError};

/// Longest wait for one answer of KMS.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Longest wait for one act with all its attempts, finding credentials included.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest code of AWS's that is repeated.
const MAX_CODE: usize = 64;

/// A key at AWS.
#[derive(Debug)]
pub(super) struct Kms {
    signer: AwsSigner,
}

impl Kms {
    /// Finds credentials and asks for the public key.
    pub(super) fn open(key_id: &str) -> BoxFuture<'_, Result<Self, SignerError>> {
        // Boxed: these futures are nested so deeply that the compiler gives up on whoever holds one.
        Self::find(key_id).boxed()
    }

    async fn find(key_id: &str) -> Result<Self, SignerError> {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let times = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        let config = patiently(async { Ok(loader.timeout_config(times).load().await) }).await?;
        Self::connect(&config, key_id).await
    }

    async fn connect(config: &SdkConfig, key_id: &str) -> Result<Self, SignerError> {
        let opening = AwsSigner::new(Client::new(config), key_id.to_owned(), None);
        let signer = patiently(async { opening.await.map_err(|error| opened(&error)) }).await?;
        Ok(Self { signer })
    }

    pub(super) fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs a digest and checks whose signature it is.
    pub(super) fn sign(&self, digest: B256) -> BoxFuture<'_, Result<Signature, SignerError>> {
        self.ask(digest).boxed()
    }

    async fn ask(&self, digest: B256) -> Result<Signature, SignerError> {
        let signing = self.signer.sign_digest(&digest);
        let signature = patiently(async { signing.await.map_err(|error| signed(&error)) }).await?;
        let (r, s) = signature.split_bytes();
        let (r, s) = (U256::from_be_slice(&r), U256::from_be_slice(&s));
        super::recovered::complete(r, s, digest, self.address())
    }
}

async fn patiently<T>(act: impl Future<Output = Result<T, KmsError>>) -> Result<T, KmsError> {
    let late = |_| KmsError::Later {
        what: format!("no answer within {} seconds", PATIENCE.as_secs()),
    };
    tokio::time::timeout(PATIENCE, act).await.map_err(late)?
}

/// Why there is no public key.
fn opened(error: &AwsSignerError) -> KmsError {
    match error {
        AwsSignerError::GetPublicKey(error) => failed(error),
        AwsSignerError::PublicKeyNotFound => KmsError::Malformed("it holds no public key"),
        _ => KmsError::OtherKind,
    }
}

/// Why there is no signature.
fn signed(error: &AwsSignerError) -> KmsError {
    match error {
        AwsSignerError::Sign(error) => failed(error),
        _ => KmsError::Malformed("it holds no signature"),
    }
}

/// What a failed request means. Everything but AWS's code is dropped: messages may quote the request with its session
/// token.
fn failed<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> KmsError {
    let later = |what: &str| KmsError::Later { what: what.to_owned() };
    match error {
        SdkError::ServiceError(error) => meaning(error.raw().status().as_u16(), error.err().code()),
        SdkError::TimeoutError(_) => later("no answer in time"),
        SdkError::DispatchFailure(error) if error.is_io() || error.is_timeout() => later("no connection"),
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => KmsError::NotConfigured,
        SdkError::ResponseError(error) => meaning(error.raw().status().as_u16(), None),
        _ => later("no answer that can be read"),
    }
}

/// What KMS says by status and code (AWS KMS API Reference, Common Errors, `GetPublicKey`, `Sign`).
fn meaning(status: u16, code: Option<&str>) -> KmsError {
    let said = code.map_or_else(|| format!("HTTP status {status}"), harmless);
    match (code.unwrap_or_default(), status) {
        (
            "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "ServiceUnavailable"
            | "InternalFailure"
            | "KMSInternalException"
            | "KeyUnavailableException"
            | "DependencyTimeoutException"
            | "RequestTimeout"
            | "RequestTimeoutException",
            _,
        ) => KmsError::Later { what: said },
        (
            "NotFoundException"
            | "DisabledException"
            | "KMSInvalidStateException"
            | "InvalidArnException"
            | "ValidationException",
            _,
        ) => KmsError::NoKey { code: said },
        ("InvalidKeyUsageException" | "UnsupportedOperationException", _) => KmsError::OtherKind,
        (_, 408 | 429 | 500..) => KmsError::Later { what: said },
        ("", 200..300) => KmsError::Malformed("it cannot be read"),
        _ => KmsError::Refused { code: said },
    }
}

/// A code is a name; anything else is not repeated.
fn harmless(code: &str) -> String {
    let name = code.len() <= MAX_CODE && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if name {
        code.to_owned()
    } else {
        "a code that is no name".to_owned()
    }
}

#[cfg(test)]
#[path = "aws_kms_tests.rs"]
mod tests;
