//! The key that an app's environment is sealed for, as the KMS behind a CVM says it. Whether it may be believed is
//! decided elsewhere: nothing here checks a signature.

use alloy::primitives::Address;
use reqwest::Method;
use serde_json::Value;

use super::{ApiVersion, Client, CloudError, CvmId, Key, Kms, KmsId, Page, read};
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
    /// What `GET /api/v1/kms/{kms_id}/pubkey/{app_id}` says at the KMS that guards the CVM.
    ///
    /// The record is asked for in the version of 2025-10-28: from the next one on records do not name the KMS by its slug,
    /// and the official CLI asks so as well. Where a server speaks that version no more, or the record names no slug, it is a
    /// node of the contract that the record names.
    ///
    /// # Errors
    /// See [`CloudError`]; a record that names no KMS is [`CloudError::Unexpected`].
    pub async fn env_key(&self, id: &CvmId, app: Address) -> Result<EnvKey, CloudError> {
        let mut call = self.call(Method::GET, &["cvms", id.as_str()], Retry::Read)?;
        call.pinned(ApiVersion::V20251028);
        let reply = self.send(call, Key::Needed).await?;
        let slug = match reply.refuses_version() {
            true => None,
            false => {
                let record = reply.object()?;
                let info = record.get("kms_info").unwrap_or(&Value::Null);
                reply.sound(Kms::read(info))?.slug
            }
        };
        let node = match slug {
            // A slug came from outside and may be anything; it has to be one segment of the path.
            Some(slug) => slug.parse()?,
            None => self.node_that_guards(id).await?,
        };
        self.env_key_of(&node, app).await
    }

    /// What `GET /api/v1/kms/{kms_id}/pubkey/{app_id}` says, for an app that has no CVM yet. The path names a node of the KMS;
    /// the version is as for [`Self::kms_public_key`].
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn env_key_of(&self, kms: &KmsId, app: Address) -> Result<EnvKey, CloudError> {
        let reply = self.pubkey(kms, app).await?;
        let said = reply.object()?;
        Ok(EnvKey {
            key: read::document(&said, "/public_key").ok_or_else(|| reply.unexpected("no `public_key` in it"))?,
            signature: read::document(&said, "/signature"),
            signature_v1: read::document(&said, "/signature_v1"),
            timestamp: said.get("timestamp").and_then(Value::as_u64),
        })
    }

    /// A node of the contract that the CVM's record names. Which of them makes no difference: they share their keys, and what
    /// they say is held against the contract's own.
    async fn node_that_guards(&self, id: &CvmId) -> Result<KmsId, CloudError> {
        let unexpected = |what: &str| CloudError::Unexpected {
            request: format!("GET /api/v1/cvms/{id}"),
            status: 200,
            what: what.to_owned(),
        };
        let guard = self.cvm(id).await?.kms;
        let contract = guard.kms_contract.ok_or_else(|| unexpected("no KMS in it"))?;
        let page = Page {
            number: None,
            size: Some(100),
        };
        let known = self.kms_list(page, Some(true)).await?.items;
        let found = known
            .into_iter()
            .find(|kms| kms.contract == Some(contract) && kms.chain_id == guard.chain_id);
        let found = found.ok_or_else(|| unexpected("no KMS in it that the list of KMSs has"))?;
        // A node, as versions before 2026-06-23 list them, has an address of its own.
        let node = match found.url.is_some() {
            true => Some(found),
            false => {
                let slug = found.slug.or(found.id).unwrap_or_default();
                self.kms_nodes(&slug.parse()?).await?.into_iter().next()
            }
        };
        let node = node.and_then(|node| node.slug.or(node.id)).unwrap_or_default();
        node.parse()
    }
}
