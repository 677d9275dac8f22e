//! Keys that may log in to a CVM whose OS image lets anybody: the set that the cloud keeps. No hash covers them, and no owner is
//! asked. Shapes: `js/src/actions/ssh_keys/{get,update}_cvm_ssh_keys.ts` of Phala-Network/phala-cloud.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cloud::read;
use crate::cloud::{Client, CloudError, CvmId, Key, Reply};
use crate::http::Retry;

/// Keys that a CVM is to let in; those that a running guest has stand in its [`super::composition::UserConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKeys {
    /// The keys.
    pub keys: Vec<SshKey>,
    /// Whether the CVM has to start anew before they are as they stand here.
    pub restart_required: Option<bool>,
}

/// A key that may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// Its id, `sshkey_…`.
    pub id: Option<String>,
    /// Whose it is.
    pub owner_username: Option<String>,
    /// What its owner calls it.
    pub name: Option<String>,
    /// The key, OpenSSH's form.
    pub public_key: Option<String>,
    /// Its fingerprint, `SHA256:…`.
    pub fingerprint: Option<String>,
    /// Its kind, for example `ssh-ed25519`.
    pub key_type: Option<String>,
}

/// The keys that a CVM is to let in from now on, instead of those that it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SshKeyChange {
    /// These keys.
    pub ssh_key_ids: Vec<String>,
    /// And all keys of these members of the workspace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usernames: Vec<String>,
    /// Restart the CVM for it; without that they are in force from its next start on.
    pub apply_now: bool,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, inventory::ssh_keys::SshKeyChange};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// println!("{:?}", client.ssh_keys(id).await?.keys);
/// client.set_ssh_keys(id, &SshKeyChange::default()).await?; // nobody
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/ssh-keys`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn ssh_keys(&self, id: &CvmId) -> Result<SshKeys, CloudError> {
        let call = self.call(Method::GET, &["cvms", id.as_str(), "ssh-keys"], Retry::Read)?;
        self.send(call, Key::Needed).await?.ssh_keys()
    }
    /// `PUT /api/v1/cvms/{cvm_id}/ssh-keys`: replaces the whole set.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409 busy, 422.
    pub async fn set_ssh_keys(&self, id: &CvmId, change: &SshKeyChange) -> Result<SshKeys, CloudError> {
        let mut call = self.call(Method::PUT, &["cvms", id.as_str(), "ssh-keys"], Retry::Write)?;
        call.json(change)?;
        self.send(call, Key::Needed).await?.ssh_keys()
    }
}

impl Reply {
    fn ssh_keys(&self) -> Result<SshKeys, CloudError> {
        let said = self.object()?;
        let keys = said.get("keys").ok_or_else(|| self.unexpected("no list of keys"))?;
        Ok(SshKeys {
            keys: self.items(keys, |item| Ok(SshKey::read(item)))?,
            restart_required: read::flag(&said, &["/restart_required"]),
        })
    }
}

impl SshKey {
    fn read(item: &Value) -> Self {
        Self {
            id: read::text(item, &["/id"]),
            owner_username: read::text(item, &["/owner_username"]),
            name: read::text(item, &["/name"]),
            public_key: read::document(item, "/public_key"),
            fingerprint: read::text(item, &["/fingerprint"]),
            key_type: read::text(item, &["/key_type"]),
        }
    }
}
