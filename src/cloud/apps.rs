//! Apps: pending updates, their preview, KMS facts.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::{self, Malformed};
use super::{Client, CloudError, CvmId, Kms};
use crate::compose::ComposeHash;

/// An update that waits for its commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpdate {
    /// CVM.
    pub vm_uuid: Option<String>,
    /// Its hash.
    pub compose_hash: Option<ComposeHash>,
    /// Whether the chain allows it already, as the server believes.
    pub on_chain: Option<bool>,
    /// Name of the instance.
    pub instance_name: Option<String>,
}

/// Texts of a pending update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Docker Compose text now.
    pub current_docker_compose: Option<String>,
    /// Docker Compose text after.
    pub pending_docker_compose: Option<String>,
    /// Script now.
    pub current_pre_launch_script: Option<String>,
    /// Script after.
    pub pending_pre_launch_script: Option<String>,
}

/// KMS facts of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppKmsInfo {
    /// Chain and contracts.
    pub kms: Kms,
    /// Who deployed it.
    pub deployer: Option<Address>,
    /// `eoa`, `safe`, `legacy_multisig`, `erc4337`, `contract`.
    pub deployer_type: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError};
/// # async fn example(client: &Client, app: alloy::primitives::Address) -> Result<(), CloudError> {
/// for update in client.pending_updates(app).await? {
///     let (Some(uuid), Some(hash)) = (update.vm_uuid, update.compose_hash) else { continue };
///     println!("{:?}", client.preview(app, &uuid, hash).await?.pending_docker_compose);
/// }
/// println!("{:?}", client.app_kms_info(app).await?.deployer_type);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/apps/{app_id}/pending-updates`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn pending_updates(&self, app: Address) -> Result<Vec<PendingUpdate>, CloudError> {
        let (reply, value) = self.get(&["apps", &segment(app), "pending-updates"]).await?;
        let items = value.get("items").unwrap_or(&value);
        let items = items.as_array().ok_or_else(|| reply.unexpected("no list of updates"))?;
        items
            .iter()
            .map(|item| reply.sound(PendingUpdate::read(item)))
            .collect()
    }
    /// `GET /api/v1/apps/{app_id}/pending-updates/{vm_uuid}/{compose_hash}/preview`
    ///
    /// The texts come as the server wrote them: escape them before they are shown.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn preview(&self, app: Address, vm_uuid: &str, hash: ComposeHash) -> Result<Preview, CloudError> {
        // A record's UUID came from outside and may be anything; it has to be one segment of the path.
        let vm: CvmId = vm_uuid.parse()?;
        let path = [
            "apps",
            &segment(app),
            "pending-updates",
            vm.as_str(),
            &hash.bare(),
            "preview",
        ];
        let (reply, _) = self.get(&path).await?;
        let texts = reply.object()?;
        Ok(Preview {
            current_docker_compose: read::document(&texts, "/current_docker_compose"),
            pending_docker_compose: read::document(&texts, "/pending_docker_compose"),
            current_pre_launch_script: read::document(&texts, "/current_pre_launch_script"),
            pending_pre_launch_script: read::document(&texts, "/pending_pre_launch_script"),
        })
    }
    /// `GET /api/v1/apps/{app_id}/kms-info`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn app_kms_info(&self, app: Address) -> Result<AppKmsInfo, CloudError> {
        let (reply, _) = self.get(&["apps", &segment(app), "kms-info"]).await?;
        let info = reply.object()?;
        Ok(AppKmsInfo {
            kms: reply.sound(Kms::read(&info))?,
            deployer: reply.sound(read::address(&info, &["/deployer_address"]))?,
            deployer_type: read::text(&info, &["/deployer_type"]),
        })
    }
}

impl PendingUpdate {
    fn read(item: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            vm_uuid: read::text(item, &["/vm_uuid"]),
            compose_hash: read::hash(item, &["/compose_hash"])?,
            on_chain: read::flag(item, &["/on_chain"]),
            instance_name: read::text(item, &["/instance_name"]),
        })
    }
}

/// An app id as paths have it: 40 hex digits.
pub(super) fn segment(app: Address) -> String {
    hex::encode(app)
}
