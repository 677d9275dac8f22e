//! The key that an app's environment is sealed for, as the KMS behind a CVM says it. Whether it may be believed is
//! decided elsewhere: nothing here checks a signature.

use alloy::primitives::Address;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::Value;

use super::{ApiVersion, Client, CloudError, CvmId, Key, Kms, KmsId, Reply, VERSION, read};
use crate::http::Retry;

/// A recipient key and its signatures, texts as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvKey {
    /// X25519 public key, hex digits.
    pub key: String,
    /// Signature over app id and key.
    pub signature: Option<String>,
    /// Signature over app id, time and key.
    pub signature_v1: Option<String>,
    /// Its time, seconds since 1970.
    pub timestamp: Option<u64>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, KmsId};
/// # async fn example(client: &Client, id: &CvmId, kms: &KmsId) -> Result<(), CloudError> {
/// # let app = alloy::primitives::Address::ZERO;
/// println!("{:?}", client.env_key(id, app).await?);
/// println!("{:?}", client.env_key_of(kms, app).await?);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// What `GET /api/v1/kms/{kms_id}/pubkey/{app_id}` says at the KMS that the CVM's record names.
    ///
    /// Both requests ask for the version of 2025-10-28: from the next one on records do not name the KMS by its slug,
    /// and the official CLI asks so as well.
    ///
    /// # Errors
    /// See [`CloudError`]; a record that names no KMS is [`CloudError::Unexpected`].
    pub async fn env_key(&self, id: &CvmId, app: Address) -> Result<EnvKey, CloudError> {
        let reply = self.get_first_version(&["cvms", id.as_str()]).await?;
        let record = reply.object()?;
        let info = record.get("kms_info").unwrap_or(&Value::Null);
        let slug = reply.sound(Kms::read(info))?.slug;
        let slug = slug.ok_or_else(|| reply.unexpected("no slug of the KMS in it"))?;
        // A slug came from outside and may be anything; it has to be one segment of the path.
        self.env_key_of(&slug.parse()?, app).await
    }

    /// What `GET /api/v1/kms/{kms_id}/pubkey/{app_id}` says, for an app that has no CVM yet; the version as for
    /// [`Self::env_key`].
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn env_key_of(&self, kms: &KmsId, app: Address) -> Result<EnvKey, CloudError> {
        let reply = self
            .get_first_version(&["kms", kms.as_str(), "pubkey", &hex::encode(app)])
            .await?;
        let said = reply.object()?;
        Ok(EnvKey {
            key: read::document(&said, "/public_key").ok_or_else(|| reply.unexpected("no `public_key` in it"))?,
            signature: read::document(&said, "/signature"),
            signature_v1: read::document(&said, "/signature_v1"),
            timestamp: said.get("timestamp").and_then(Value::as_u64),
        })
    }

    async fn get_first_version(&self, segments: &[&str]) -> Result<Reply, CloudError> {
        let mut call = self.call(Method::GET, segments, Retry::Read)?;
        let version = HeaderValue::from_static(ApiVersion::V20251028.text());
        call.request.headers.insert(VERSION, version);
        self.send(call, Key::Needed).await
    }
}
