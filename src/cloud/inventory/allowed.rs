//! What the cloud believes an app's contract allows: one hash, one CVM, or all CVMs of an app in one request.
//!
//! The cloud reads the chain for it; whoever relies on it asks the chain as well.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cloud::apps::segment;
use crate::cloud::id::AnyId;
use crate::cloud::read::{self, Malformed};
use crate::cloud::{Client, CloudError, CvmId, Key, Reply};
use crate::compose::ComposeHash;
use crate::http::Retry;

/// What the cloud believes is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsAllowed {
    /// Which CVM, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cvm_id: Option<AnyId>,
    /// The app's contract that was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub app: Option<Address>,
    /// The hash it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compose_hash: Option<ComposeHash>,
    /// The device it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_id: Option<B256>,
    /// The hash.
    pub compose_hash_allowed: Option<bool>,
    /// Every device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allow_any_device: Option<bool>,
    /// The device.
    pub device_id_allowed: Option<bool>,
    /// Everything.
    pub is_allowed: Option<bool>,
    /// Why not.
    pub error: Option<String>,
}

/// What the cloud believes of all CVMs of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllAllowed {
    /// Whether a contract is asked at all; without one there are no results.
    pub is_onchain: Option<bool>,
    /// Each CVM that was looked at.
    pub results: Vec<IsAllowed>,
    /// How many there are.
    pub total: Option<u64>,
    /// Allowed as a whole.
    pub allowed_count: Option<u64>,
    /// Something of it is not.
    pub denied_count: Option<u64>,
    /// The chain gave no answer for these.
    pub error_count: Option<u64>,
    /// CVMs that were not looked at.
    pub skipped_cvm_ids: Vec<AnyId>,
}

/// What to ask of one CVM; what is not said is as the CVM has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedQuery {
    /// Another hash.
    pub compose_hash: Option<ComposeHash>,
    /// The device of another node.
    pub node_id: Option<u64>,
    /// Another device.
    pub device_id: Option<B256>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, inventory::allowed::AllowedQuery};
/// # use countersign::compose::ComposeHash;
/// # async fn example(client: &Client, id: &CvmId, app: alloy::primitives::Address, hash: ComposeHash) -> Result<(), CloudError> {
/// println!("{:?}", client.is_allowed(app, hash, None).await?.is_allowed);
/// println!("{:?}", client.cvm_is_allowed(id, &AllowedQuery::default()).await?.is_allowed);
/// println!("{:?}", client.app_cvms_are_allowed(app).await?.denied_count);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/apps/{app_id}/is-allowed`; reads only.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn is_allowed(
        &self,
        app: Address,
        hash: ComposeHash,
        device: Option<B256>,
    ) -> Result<IsAllowed, CloudError> {
        let mut call = self.call(Method::POST, &["apps", &segment(app), "is-allowed"], Retry::Read)?;
        call.json(&Question {
            compose_hash: Some(hash.bare()),
            node_id: None,
            device_id: device.map(hex::encode),
        })?;
        self.send(call, Key::Needed).await?.is_allowed()
    }
    /// `POST /api/v1/cvms/{cvm_id}/is-allowed`; reads only. Shape: `js/src/actions/cvms/check_cvm_is_allowed.ts` of
    /// Phala-Network/phala-cloud.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 no contract, 401, 404, 422.
    pub async fn cvm_is_allowed(&self, id: &CvmId, query: &AllowedQuery) -> Result<IsAllowed, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", id.as_str(), "is-allowed"], Retry::Read)?;
        call.json(&Question {
            compose_hash: query.compose_hash.map(|hash| hash.bare()),
            node_id: query.node_id,
            device_id: query.device_id.map(hex::encode),
        })?;
        self.send(call, Key::Needed).await?.is_allowed()
    }
    /// `POST /api/v1/apps/{app_id}/cvms/is-allowed`: every CVM of an app in one request; reads only.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn app_cvms_are_allowed(&self, app: Address) -> Result<AllAllowed, CloudError> {
        let mut call = self.call(
            Method::POST,
            &["apps", &segment(app), "cvms", "is-allowed"],
            Retry::Read,
        )?;
        call.json(&json!({}))?;
        let reply = self.send(call, Key::Needed).await?;
        let said = reply.object()?;
        let none = Value::Array(Vec::new());
        let count = |place| read::number(&said, &[place]);
        let skipped = said
            .get("skipped_cvm_ids")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        Ok(AllAllowed {
            is_onchain: read::flag(&said, &["/is_onchain"]),
            results: reply.items(said.get("results").unwrap_or(&none), IsAllowed::read)?,
            total: count("/total"),
            allowed_count: count("/allowed_count"),
            denied_count: count("/denied_count"),
            error_count: count("/error_count"),
            skipped_cvm_ids: skipped.filter_map(|id| read::id(id, &[""])).collect(),
        })
    }
}

/// Body of each `is-allowed`.
#[derive(Serialize)]
struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
}

impl Reply {
    fn is_allowed(&self) -> Result<IsAllowed, CloudError> {
        self.sound(IsAllowed::read(&self.object()?))
    }
}

impl IsAllowed {
    fn read(said: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            cvm_id: read::id(said, &["/cvm_id"]),
            app: read::address(said, &["/app_contract_address"])?,
            compose_hash: read::hash(said, &["/compose_hash"])?,
            device_id: read::word(said, &["/device_id"])?,
            compose_hash_allowed: read::flag(said, &["/compose_hash_allowed"]),
            allow_any_device: read::flag(said, &["/allow_any_device"]),
            device_id_allowed: read::flag(said, &["/device_id_allowed"]),
            is_allowed: read::flag(said, &["/is_allowed"]),
            error: read::text(said, &["/error"]),
        })
    }
}
