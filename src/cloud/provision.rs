//! A new CVM, in two steps: provision (nothing runs yet, a compose hash comes back), then commit.
//!
//! On an on-chain KMS the app's contract is deployed between the two, its address is the app id, and the environment is
//! sealed for the key that [`Client::kms_public_key`] gives for it.

use std::str::FromStr;

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::id::AnyId;
use super::read;
use super::{Client, CloudError, Cvm, Key, Kms, KmsId, Problem, patch::Gpus};
use crate::compose::ComposeHash;
use crate::http::Retry;
use crate::text::shorten;

/// A CVM's name: 5 to 63 characters, letters, digits and single hyphens, a letter first, no hyphen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CvmName(String);

/// Kind of KMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KmsKind {
    /// Phala's own, without a contract.
    Phala,
    /// A contract on Ethereum.
    Ethereum,
    /// A contract on Base.
    Base,
}

/// A CVM that is wanted; what is not said, the server decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provision {
    /// Its name.
    pub name: CvmName,
    /// Its manifest, every field as given; without a name in it, it gets the CVM's.
    pub compose_file: Map<String, Value>,
    /// Whether the public directory names it. Always sent: the server's own default is yes.
    pub listed: bool,
    /// Instance type, for example `tdx.small`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Virtual CPUs, instead of an instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// Memory, MB, instead of an instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Disk, GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<u32>,
    /// Node.
    #[serde(rename = "teepod_id", skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// Region to find a node in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// OS image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether a development image is preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_dev: Option<bool>,
    /// Kind of KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms: Option<KmsKind>,
    /// Contract of the KMS, where a chain has several.
    #[serde(rename = "kms_contract", skip_serializing_if = "Option::is_none")]
    pub kms_contract: Option<Address>,
    /// KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_id: Option<KmsId>,
    /// Number that the app id follows from, with [`Self::app_id`]; Phala's own KMS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// App id that has to come out.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bare")]
    pub app_id: Option<Address>,
    /// Names that the guest may receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_keys: Option<Vec<String>>,
    /// Sealed environment, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_env: Option<String>,
    /// Text that the guest is given as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_config: Option<String>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
}

/// What provisioning gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Provisioned {
    /// Hash of the manifest that will run.
    pub compose_hash: ComposeHash,
    /// App id; none on an on-chain KMS, where it is the address of a contract that is yet to be deployed.
    pub app_id: Option<Address>,
    /// Key to seal the environment for, hex; none on an on-chain KMS.
    pub env_pubkey: Option<String>,
    /// KMS facts, as far as given.
    pub kms: Kms,
    /// Device that will run it.
    pub device_id: Option<B256>,
    /// Hash of the OS image.
    pub os_image_hash: Option<B256>,
    /// Instance type.
    pub instance_type: Option<String>,
    /// Node.
    pub node_id: Option<AnyId>,
    /// The answer as it came.
    pub raw: Value,
}

/// What committing a provisioned CVM sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitProvision {
    /// App id: the provision's, or the deployed contract's address.
    #[serde(serialize_with = "bare_address")]
    pub app_id: Address,
    /// Hash that provisioning gave.
    #[serde(serialize_with = "bare_hash")]
    pub compose_hash: ComposeHash,
    /// Sealed environment, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_env: Option<String>,
    /// Names that the guest may receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_keys: Option<Vec<String>>,
    /// KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_id: Option<KmsId>,
    /// The app's contract, on an on-chain KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_address: Option<Address>,
    /// Who deployed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployer_address: Option<Address>,
    /// The deployment. One document asks for it; server and JavaScript client take none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<B256>,
}

impl Provision {
    /// A CVM of this name and manifest, unlisted, everything else as the server decides.
    pub fn new(name: CvmName, mut compose_file: Map<String, Value>) -> Self {
        if !compose_file.contains_key("name") {
            compose_file.insert("name".to_owned(), name.0.clone().into());
        }
        Self {
            name,
            compose_file,
            listed: false,
            instance_type: None,
            vcpu: None,
            memory: None,
            disk_size: None,
            node_id: None,
            region: None,
            image: None,
            prefer_dev: None,
            kms: None,
            kms_contract: None,
            kms_id: None,
            nonce: None,
            app_id: None,
            env_keys: None,
            encrypted_env: None,
            user_config: None,
            gpus: None,
        }
    }
}

impl CommitProvision {
    /// The commit of this app and hash.
    pub const fn new(app_id: Address, compose_hash: ComposeHash) -> Self {
        Self {
            app_id,
            compose_hash,
            encrypted_env: None,
            env_keys: None,
            kms_id: None,
            contract_address: None,
            deployer_address: None,
            transaction_hash: None,
        }
    }
}

impl Problem {
    /// Whether the app id runs another compose hash already: `ERR-03-007`, in older documents `CVM_APP_ID_CONFLICT`.
    pub fn is_app_id_conflict(&self) -> bool {
        matches!(self.code.as_deref(), Some("ERR-03-007" | "CVM_APP_ID_CONFLICT"))
    }
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, provision::{CommitProvision, Provision}};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// let manifest = client.manifest(id).await?;
/// let compose_file = serde_json::from_value(serde_json::json!(manifest)).expect("an object");
/// let made = client.provision(&Provision::new("my-app".parse()?, compose_file)).await?;
/// if let Some(app) = made.app_id {
///     client.commit_provision(&CommitProvision::new(app, made.compose_hash)).await?;
/// }
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/cvms/provision`: nothing runs yet.
    ///
    /// Documented as `provision_cvm`.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 compose file, 401, 409 with `ERR-01-004` name taken, 422.
    pub async fn provision(&self, wanted: &Provision) -> Result<Provisioned, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", "provision"], Retry::Write)?;
        call.json(wanted)?;
        let reply = self.send(call, Key::Needed).await?;
        let said = reply.object()?;
        let hash = reply.sound(read::hash(&said, &["/compose_hash"]))?;
        Ok(Provisioned {
            compose_hash: hash.ok_or_else(|| reply.unexpected("no `compose_hash` in it"))?,
            app_id: reply.sound(read::address(&said, &["/app_id"]))?,
            env_pubkey: read::text(&said, &["/app_env_encrypt_pubkey"]),
            kms: reply.sound(Kms::read(said.get("kms_info").unwrap_or(&Value::Null)))?,
            device_id: reply.sound(read::word(&said, &["/device_id"]))?,
            os_image_hash: reply.sound(read::word(&said, &["/os_image_hash"]))?,
            instance_type: read::text(&said, &["/instance_type"]),
            node_id: read::id(&said, &["/node_id", "/teepod_id"]),
            raw: said,
        })
    }
    /// `POST /api/v1/cvms`: makes the CVM that was provisioned.
    ///
    /// Documented as `commit_cvm_provision`. Idempotent: the same app id and hash give the CVM that is there, so a lost
    /// answer is asked for again. Another hash for the same app id is a refusal for which
    /// [`Problem::is_app_id_conflict`] holds, and not [`CloudError::Busy`].
    ///
    /// # Errors
    /// See [`CloudError`]: 400 payload or expired, 401, 409, 422 nothing provisioned.
    pub async fn commit_provision(&self, commit: &CommitProvision) -> Result<Cvm, CloudError> {
        let mut call = self.call(Method::POST, &["cvms"], Retry::Read)?;
        call.json(commit)?;
        call.request.time = Some(self.http.limits().total * 2);
        self.send(call, Key::Needed).await?.cvm()
    }
}

impl FromStr for CvmName {
    type Err = CloudError;
    fn from_str(text: &str) -> Result<Self, CloudError> {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let why = if !(5..=63).contains(&text.len()) {
            "a name has 5 to 63 characters"
        } else if !text.bytes().all(plain) || text.contains("--") {
            "a name has letters, digits and single hyphens"
        } else if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !edge(text.bytes().last()) {
            "a name starts with a letter and does not end with a hyphen"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(CloudError::BadId {
            text: shorten(text, 64),
            why,
        })
    }
}

impl std::fmt::Display for CvmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// App ids go out as 40 digits.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn bare<S: Serializer>(app: &Option<Address>, to: S) -> Result<S::Ok, S::Error> {
    match app {
        Some(app) => bare_address(app, to),
        None => to.serialize_none(),
    }
}

fn bare_address<S: Serializer>(app: &Address, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(app))
}

fn bare_hash<S: Serializer>(hash: &ComposeHash, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hash.bare())
}
