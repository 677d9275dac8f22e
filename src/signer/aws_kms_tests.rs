//! Rules of keys at AWS KMS, against one on loopback.

use alloy::signers::aws::aws_config::Region;
use alloy::signers::aws::aws_config::retry::RetryConfig;
use alloy::signers::aws::aws_sdk_kms::config::Credentials;

use super::*;
use crate::safe::{OwnerSignature, SafeDomain, SafeTx, version::SafeVersion};
use crate::signer::{Key, Signer, SigningRecord};
use fake::{ACCESS_KEY, Act, FakeKms, KEY_ID, SECRET_KEY, SESSION_TOKEN};

#[path = "../../tests/it/support/kms.rs"]
mod fake;

const DIGEST: B256 = B256::repeat_byte(0x5a);

async fn config(url: &str) -> SdkConfig {
    let times = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500));
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .region(Region::new("eu-central-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new(
            ACCESS_KEY,
            SECRET_KEY,
            Some(SESSION_TOKEN.to_owned()),
            None,
            "test",
        ))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(2)
                .with_initial_backoff(Duration::from_millis(1))
                .with_max_backoff(Duration::from_millis(1)),
        )
        .timeout_config(times.build())
        .load()
        .await
}

async fn open(kms: &FakeKms) -> Result<Kms, SignerError> {
    Kms::connect(&config(&kms.url()).await, KEY_ID).await
}

fn kms() -> FakeKms {
    FakeKms::start(&[7; 32])
}

#[track_caller]
fn why<T: std::fmt::Debug>(outcome: Result<T, SignerError>) -> KmsError {
    match outcome {
        Err(SignerError::Kms(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signature_by_kms_recovers_to_the_address_of_its_public_key() {
    let kms = kms();
    let key = open(&kms).await.unwrap();
    assert_eq!(key.address(), kms.address());
    for byte in 0..8 {
        let digest = B256::repeat_byte(byte);
        let signature = key.sign(digest).await.unwrap();
        assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), kms.address());
    }
    assert_eq!(kms.asked().len(), 9);
}

#[tokio::test]
async fn a_signature_with_high_s_is_given_out_with_low_s() {
    let kms = kms();
    let key = open(&kms).await.unwrap();
    let low = key.sign(DIGEST).await.unwrap();
    kms.on("Sign", Act::HighS);
    let high = key.sign(DIGEST).await.unwrap();
    assert_eq!((low, high.normalize_s()), (high, None));
}

#[tokio::test]
async fn n7_a_signature_by_another_key_is_refused() {
    let kms = kms();
    let key = open(&kms).await.unwrap();
    kms.on("Sign", Act::OtherKey);
    let outcome = key.sign(DIGEST).await;
    assert!(
        matches!(outcome, Err(SignerError::WrongSignature { expected, .. }) if expected == kms.address()),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_safe_transaction_is_signed_once_for_its_nonce() {
    let kms = kms();
    let key = open(&kms).await.unwrap();
    let signer = Signer {
        address: key.address(),
        key: Key::Aws(key),
    };
    let dir = tempfile::tempdir().unwrap();
    let record = SigningRecord::open(&dir.path().join("signed")).unwrap();
    let domain = SafeDomain {
        chain_id: 8453,
        safe: Address::repeat_byte(0x22),
        version: SafeVersion::V1_4_1,
    };
    let tx = SafeTx::rejection(domain, U256::from(3), false).unwrap();
    kms.on("Sign", Act::HighS);
    let signature = signer.sign_safe_tx(&tx, &record, &[]).await.unwrap();
    assert!(matches!(signature, OwnerSignature::Eip712(_)));
    assert_eq!(signature.signer(tx.hash()).unwrap(), kms.address());
}

#[tokio::test]
async fn n6_a_refusal_a_missing_key_and_a_busy_service_are_told_apart() {
    let kms = kms();
    let key = open(&kms).await.unwrap();
    let cases = [
        (Act::Refuse(403, "AccessDeniedException"), "refused"),
        (Act::Refuse(400, "AccessDeniedException"), "refused"),
        (Act::Refuse(400, "ExpiredTokenException"), "refused"),
        (Act::Page(403), "refused"),
        (Act::Refuse(400, "NotFoundException"), "no key"),
        (Act::Refuse(400, "DisabledException"), "no key"),
        (Act::Refuse(400, "KMSInvalidStateException"), "no key"),
        (Act::Refuse(400, "InvalidKeyUsageException"), "other kind"),
        (Act::Refuse(400, "ThrottlingException"), "later"),
        (Act::Refuse(429, "TooManyRequestsException"), "later"),
        (Act::Refuse(500, "KMSInternalException"), "later"),
        (Act::Refuse(503, "Whatever"), "later"),
        (Act::Page(502), "later"),
        (Act::Silence, "later"),
        (Act::Nothing, "malformed"),
        (Act::Rubbish, "malformed"),
        (Act::Page(200), "malformed"),
    ];
    for (act, expected) in cases {
        kms.on("Sign", act);
        let error = why(key.sign(DIGEST).await);
        let found = match error {
            KmsError::Refused { .. } => "refused",
            KmsError::NoKey { .. } => "no key",
            KmsError::OtherKind => "other kind",
            KmsError::Later { .. } => "later",
            KmsError::Malformed(_) => "malformed",
            KmsError::NotConfigured => "not configured",
        };
        assert_eq!(found, expected, "{error:?}");
    }
    kms.heal();
    assert!(key.sign(DIGEST).await.is_ok());
}

#[tokio::test]
async fn n6_a_service_that_is_busy_once_is_asked_again() {
    let kms = kms();
    kms.on("GetPublicKey", Act::Refuse(400, "ThrottlingException"));
    assert!(matches!(why(open(&kms).await), KmsError::Later { .. }));
    assert_eq!(kms.asked().len(), 2);
}

#[tokio::test]
async fn a_key_that_is_none_of_ethereums_is_refused_when_it_is_opened() {
    let kms = kms();
    for act in [Act::OtherCurve, Act::Rubbish] {
        kms.on("GetPublicKey", act);
        assert_eq!(why(open(&kms).await), KmsError::OtherKind);
    }
    kms.on("GetPublicKey", Act::Nothing);
    assert!(matches!(why(open(&kms).await), KmsError::Malformed(_)));
    let other = Kms::connect(&config(&kms.url()).await, "alias/other").await;
    assert!(matches!(why(other), KmsError::NoKey { .. }));
}

#[tokio::test]
async fn n6_a_service_that_is_away_can_be_tried_later_and_one_without_credentials_cannot() {
    let away = config("http://127.0.0.1:1").await;
    assert!(matches!(why(Kms::connect(&away, KEY_ID).await), KmsError::Later { .. }));
    let kms = kms();
    let anonymous = config(&kms.url()).await.into_builder();
    let mut anonymous = anonymous;
    anonymous.set_credentials_provider(None);
    assert_eq!(
        why(Kms::connect(&anonymous.build(), KEY_ID).await),
        KmsError::NotConfigured
    );
    let mut nowhere = config(&kms.url()).await.into_builder();
    nowhere.set_region(None);
    nowhere.set_endpoint_url(None);
    assert_eq!(
        why(Kms::connect(&nowhere.build(), KEY_ID).await),
        KmsError::NotConfigured
    );
    assert!(kms.asked().is_empty());
}

#[tokio::test]
async fn v23_what_aws_says_besides_its_code_is_not_repeated() {
    let kms = kms();
    let key = open(&kms).await.unwrap();
    let mut said = format!("{key:?}");
    for code in [
        "InvalidSignatureException",
        "canary-aws-session-77e2",
        "AKIACANARY3D8E7F60AA canary",
    ] {
        kms.on("Sign", Act::Echo(403, code));
        let error = key.sign(DIGEST).await.unwrap_err();
        said.push_str(&format!("{error} {error:?}"));
    }
    for secret in [SECRET_KEY, SESSION_TOKEN, ACCESS_KEY, "canary"] {
        assert!(!said.contains(secret), "{said}");
    }
}
