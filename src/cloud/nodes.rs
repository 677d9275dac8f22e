//! Nodes that a workspace may use.

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::AnyId;
use super::read::{self, Malformed};
use super::{Client, CloudError, images::OsImage, kms::KmsInfo};

/// Nodes with room, and the KMSs that guard what runs there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// The workspace's tier.
    pub tier: Option<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Their KMSs.
    pub kms: Vec<KmsInfo>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number, where it has one.
    pub id: Option<AnyId>,
    /// Its name.
    pub name: Option<String>,
    /// Where it is.
    pub region: Option<String>,
    /// Its device, which an app's contract has to allow.
    pub device_id: Option<B256>,
    /// Virtual CPUs that are free.
    pub remaining_vcpu: Option<u64>,
    /// Memory that is free, MB.
    pub remaining_memory: Option<u64>,
    /// How many more CVMs fit.
    pub remaining_cvm_slots: Option<u64>,
    /// Whether an on-chain KMS can guard what runs there.
    pub support_onchain_kms: Option<bool>,
    /// The KMS it uses unless told otherwise.
    pub default_kms: Option<String>,
    /// OS images.
    pub images: Vec<OsImage>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError};
/// # async fn example(client: &Client) -> Result<(), CloudError> {
/// println!("{:?}", client.nodes().await?);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/teepods/available`: nodes were called teepods.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403.
    pub async fn nodes(&self) -> Result<Nodes, CloudError> {
        let (reply, answer) = self.get(&["teepods", "available"]).await?;
        let list = |name: &str| answer.get(name).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        let nodes = answer
            .get("nodes")
            .ok_or_else(|| reply.unexpected("no list of nodes"))?;
        Ok(Nodes {
            tier: read::text(&answer, &["/tier"]),
            nodes: reply.items(nodes, Node::read)?,
            kms: reply.items(&list("kms_list"), KmsInfo::read)?,
        })
    }
}

impl Node {
    fn read(item: &Value) -> Result<Self, Malformed> {
        let images = item.get("images").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            id: read::id(item, &["/teepod_id", "/id"]),
            name: read::text(item, &["/name"]),
            region: read::text(item, &["/region_identifier", "/region"]),
            device_id: read::word(item, &["/device_id"])?,
            remaining_vcpu: read::number(item, &["/remaining_vcpu"]),
            remaining_memory: read::number(item, &["/remaining_memory"]),
            remaining_cvm_slots: read::number(item, &["/remaining_cvm_slots"]),
            support_onchain_kms: read::flag(item, &["/support_onchain_kms"]),
            default_kms: read::text(item, &["/default_kms"]),
            images: images.map(OsImage::read).collect::<Result<_, _>>()?,
        })
    }
}
