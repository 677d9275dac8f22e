//! The older way to change a manifest: provision the whole of it, have its hash allowed, commit that hash.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read;
use super::{Client, CloudError, CvmId, Key, Kms, updates::Accepted};
use crate::compose::{ComposeHash, Manifest};
use crate::http::Retry;

/// What provisioning a manifest gave; the server keeps it for two weeks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionedCompose {
    /// Hash to allow on chain, and to commit.
    pub compose_hash: ComposeHash,
    /// The app's contract.
    pub app_id: Option<Address>,
    /// Device that will run it.
    pub device_id: Option<B256>,
    /// KMS facts, as far as given.
    pub kms: Kms,
    /// Whether the server believes that the hash is allowed already.
    pub registered: Option<bool>,
}

/// What committing a provisioned manifest sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCompose {
    /// Hash that provisioning gave.
    pub hash: ComposeHash,
    /// New sealed environment, hex.
    pub encrypted_env: Option<String>,
    /// Names that the guest may receive.
    pub env_keys: Option<Vec<String>>,
    /// Whether those names replace the ones in force.
    pub update_env_vars: Option<bool>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, compose_file::CommitCompose};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// let manifest = client.manifest(id).await?;
/// let made = client.provision_compose_file(id, &manifest, None).await?;
/// let commit = CommitCompose { hash: made.compose_hash, encrypted_env: None, env_keys: None, update_env_vars: None };
/// client.commit_compose_file(id, &commit).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/cvms/{cvm_id}/compose_file/provision`: changes nothing yet.
    ///
    /// Documented as `provisionCvmComposeFileUpdate`. The manifest goes out with every field it has.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 empty or not for this CVM, 401, 403, 404, 422 syntax.
    pub async fn provision_compose_file(
        &self,
        id: &CvmId,
        manifest: &Manifest,
        update_env_vars: Option<bool>,
    ) -> Result<ProvisionedCompose, CloudError> {
        let path = ["cvms", id.as_str(), "compose_file", "provision"];
        let mut call = self.call(Method::POST, &path, Retry::Write)?;
        call.json(&Provision {
            manifest,
            update_env_vars,
        })?;
        let reply = self.send(call, Key::Needed).await?;
        let said = reply.object()?;
        let hash = reply.sound(read::hash(&said, &["/compose_hash"]))?;
        Ok(ProvisionedCompose {
            compose_hash: hash.ok_or_else(|| reply.unexpected("no `compose_hash` in it"))?,
            app_id: reply.sound(read::address(&said, &["/app_id"]))?,
            device_id: reply.sound(read::word(&said, &["/device_id"]))?,
            kms: reply.sound(Kms::read(said.get("kms_info").unwrap_or(&Value::Null)))?,
            registered: read::flag(&said, &["/compose_hash_registered"]),
        })
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/compose_file`: carries out what was provisioned.
    ///
    /// Documented as `commitCvmComposeFileUpdate`, there with another verb and path (`POST …/compose_file/commit`) and
    /// a transaction hash; the server looks at the chain itself and takes none.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 nothing provisioned, 401, 403, 404, 409 busy, 422, 468 not allowed, 503.
    pub async fn commit_compose_file(&self, id: &CvmId, commit: &CommitCompose) -> Result<Accepted, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "compose_file"], Retry::Write)?;
        call.json(&CommitBody {
            compose_hash: commit.hash.bare(),
            encrypted_env: commit.encrypted_env.as_deref(),
            env_keys: commit.env_keys.as_deref(),
            update_env_vars: commit.update_env_vars,
        })?;
        call.request.time = Some(self.http.limits().total * 2);
        self.send(call, Key::Needed).await?.taken()
    }
}

#[derive(Serialize)]
struct Provision<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_env_vars: Option<bool>,
}

#[derive(Serialize)]
struct CommitBody<'a> {
    compose_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_env: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_keys: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_env_vars: Option<bool>,
}
