//! Key management services: which there are, their nodes, what their contracts allow, the keys that environments are sealed for.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::{self, Malformed};
use super::{ApiVersion, Client, CloudError, Key, KmsId, Page, Paged, Reply};
use crate::http::Retry;

/// The last version whose paths below `/kms` name nodes (`go/kms.go` of Phala-Network/phala-cloud).
const BY_NODE: ApiVersion = ApiVersion::V20260522;

/// A KMS: from 2026-06-23 on a contract with the keys that all its nodes share, before that each node by itself
/// (`js/src/types/kms_contract.ts` and `kms_info.ts` of Phala-Network/phala-cloud).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsInfo {
    /// Its id: `kc_…` of a contract, `kms_…` of a node.
    pub id: Option<String>,
    /// Its name, for example `base`, or `kms-base-prod9` of a node.
    pub slug: Option<String>,
    /// What it is called for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// Where a node answers guests.
    pub url: Option<String>,
    /// Version of a node's software.
    pub version: Option<String>,
    /// Chain of its contract; `None` for Phala's own.
    pub chain_id: Option<u64>,
    /// Its contract.
    pub contract: Option<Address>,
    /// Root key that signs for apps, hex as the cloud writes it; the contract's own word counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub k256_pubkey: Option<String>,
    /// Key of its certificate authority, hex as the cloud writes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_pubkey: Option<String>,
    /// How many nodes share its keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_count: Option<u64>,
}

/// The KMS contracts of one chain, as the cloud reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnChainKms {
    /// Name of the chain.
    pub chain_name: Option<String>,
    /// Its id.
    pub chain_id: Option<u64>,
    /// The contracts.
    pub contracts: Vec<KmsContract>,
}

/// One KMS contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsContract {
    /// Its address.
    pub address: Option<Address>,
    /// Its chain.
    pub chain_id: Option<u64>,
    /// Devices.
    pub devices: Vec<KmsDevice>,
    /// OS images.
    pub os_images: Vec<KmsOsImage>,
}

/// A device and what the contract says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsDevice {
    /// The device.
    pub device_id: Option<B256>,
    /// Its node.
    pub node_name: Option<String>,
    /// Whether the contract allows it; `None` when the cloud could not ask.
    pub on_chain_allowed: Option<bool>,
}

/// An OS image and what the contract says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsOsImage {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What the contract knows it by.
    pub os_image_hash: Option<B256>,
    /// Whether the contract allows it; `None` when the cloud could not ask.
    pub on_chain_allowed: Option<bool>,
}

/// The key that an app's environment is sealed for, as the KMS signed it. Verify the signature before sealing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsPublicKey {
    /// X25519 public key.
    pub public_key: B256,
    /// Signature of the KMS's root key over it, hex as it came.
    pub signature: Option<String>,
    /// The answer as it came, newer signatures in it.
    pub raw: Value,
}

/// An app id that Phala's own KMS would give next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAppId {
    /// The app id.
    pub app_id: Option<Address>,
    /// Number that it follows from.
    pub nonce: Option<u64>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, KmsId, Page};
/// # async fn example(client: &Client, kms: &KmsId, app: alloy::primitives::Address) -> Result<(), CloudError> {
/// println!("{:?}", client.kms_list(Page::default(), Some(true)).await?.items);
/// println!("{:?}", client.kms(kms).await?);
/// println!("{:?}", client.kms_nodes(kms).await?);
/// println!("{:?}", client.kms_node(kms).await?);
/// println!("{:?}", client.kms_on_chain(&"base".parse()?).await?);
/// println!("{:?}", client.kms_public_key(kms, app).await?.public_key);
/// println!("{:?}", client.next_app_ids(2).await?);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/kms`: one page of contracts, or of nodes where the server speaks no version from 2026-06-23 on;
    /// `onchain` for those with a contract, or those without.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 422.
    pub async fn kms_list(&self, page: Page, onchain: Option<bool>) -> Result<Paged<KmsInfo>, CloudError> {
        let mut call = self.call(Method::GET, &["kms"], Retry::Read)?;
        page.ask(&mut call);
        if let Some(onchain) = onchain {
            call.query("is_onchain", &onchain.to_string());
        }
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.value()?;
        reply.paged(&answer, KmsInfo::read)
    }
    /// `GET /api/v1/kms/{kms_id}`: a contract by its name (`base`) or id; a node by those where the server speaks no version
    /// from 2026-06-23 on.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn kms(&self, id: &KmsId) -> Result<KmsInfo, CloudError> {
        let (reply, _) = self.get(&["kms", id.as_str()]).await?;
        reply.sound(KmsInfo::read(&reply.object()?))
    }
    /// `GET /api/v1/kms/{kms_id}` in a version before 2026-06-23: a node by its name (`kms-base-prod9`) or id.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn kms_node(&self, id: &KmsId) -> Result<KmsInfo, CloudError> {
        let mut call = self.call(Method::GET, &["kms", id.as_str()], Retry::Read)?;
        call.pinned(BY_NODE);
        let reply = self.send(call, Key::Needed).await?;
        reply.sound(KmsInfo::read(&reply.object()?))
    }
    /// `GET /api/v1/kms/{kms_id}/nodes`: the nodes of a contract; from 2026-06-23 on
    /// (`js/src/actions/kms/list_kms_contract_nodes.ts` of Phala-Network/phala-cloud).
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn kms_nodes(&self, id: &KmsId) -> Result<Vec<KmsInfo>, CloudError> {
        let (reply, answer) = self.get(&["kms", id.as_str(), "nodes"]).await?;
        reply.items(&answer, KmsInfo::read)
    }
    /// `GET /api/v1/kms/on-chain/{chain}`: the contracts of a chain by its name (`ethereum`, `base`), their devices and
    /// OS images.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 no such chain, 401, 422.
    pub async fn kms_on_chain(&self, chain: &KmsId) -> Result<OnChainKms, CloudError> {
        let (reply, _) = self.get(&["kms", "on-chain", chain.as_str()]).await?;
        let said = reply.object()?;
        let contracts = said
            .get("contracts")
            .cloned()
            .unwrap_or_else(|| Value::Array(Vec::new()));
        Ok(OnChainKms {
            chain_name: read::text(&said, &["/chain_name"]),
            chain_id: reply.sound(read::chain_id(&said, &["/chain_id"]))?,
            contracts: reply.items(&contracts, KmsContract::read)?,
        })
    }
    /// `GET /api/v1/kms/{kms_id}/pubkey/{app_id}`: the key to seal an app's environment for. The path names a node, also
    /// where newer versions name contracts, so it is asked in a version before those.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 app id, 401, 404 no such KMS, 422, 500 the KMS does not answer.
    pub async fn kms_public_key(&self, id: &KmsId, app: Address) -> Result<KmsPublicKey, CloudError> {
        let reply = self.pubkey(id, app).await?;
        let said = reply.object()?;
        let key = reply.sound(read::word(&said, &["/public_key"]))?;
        Ok(KmsPublicKey {
            public_key: key.ok_or_else(|| reply.unexpected("no `public_key` in it"))?,
            signature: read::document(&said, "/signature"),
            raw: said,
        })
    }
    /// `GET /api/v1/kms/phala/next_app_id`: the next `count` app ids (1 to 20) of Phala's own KMS.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422, 500.
    pub async fn next_app_ids(&self, count: u32) -> Result<Vec<NextAppId>, CloudError> {
        let mut call = self.call(Method::GET, &["kms", "phala", "next_app_id"], Retry::Read)?;
        call.query("counts", &count.to_string());
        let reply = self.send(call, Key::Needed).await?;
        let said = reply.object()?;
        let ids = said.get("app_ids").unwrap_or(&said);
        reply.items(ids, |item| {
            Ok(NextAppId {
                app_id: read::address(item, &["/app_id"])?,
                nonce: read::number(item, &["/nonce"]),
            })
        })
    }
}

impl Client {
    /// What a node says of an app's key.
    pub(super) async fn pubkey(&self, id: &KmsId, app: Address) -> Result<Reply, CloudError> {
        let path = ["kms", id.as_str(), "pubkey", &hex::encode(app)];
        let mut call = self.call(Method::GET, &path, Retry::Read)?;
        call.pinned(BY_NODE);
        self.send(call, Key::Needed).await
    }
}

impl KmsInfo {
    pub(super) fn read(item: &Value) -> Result<Self, Malformed> {
        let (chain_id, contract) = read::kms_place(item, &["/kms_contract_address", "/contract_address"])?;
        Ok(Self {
            id: read::text(item, &["/id"]),
            slug: read::text(item, &["/slug", "/name"]),
            label: read::text(item, &["/label"]),
            url: read::text(item, &["/url"]),
            version: read::text(item, &["/version"]),
            chain_id,
            contract,
            k256_pubkey: read::text(item, &["/k256_pubkey"]),
            ca_pubkey: read::text(item, &["/ca_pubkey"]),
            node_count: read::number(item, &["/node_count"]),
        })
    }
}

impl KmsContract {
    fn read(item: &Value) -> Result<Self, Malformed> {
        let entries = |name: &str| item.get(name).and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            address: read::address(item, &["/contract_address"])?,
            chain_id: read::chain_id(item, &["/chain_id"])?,
            devices: entries("devices").map(KmsDevice::read).collect::<Result<_, _>>()?,
            os_images: entries("os_images").map(KmsOsImage::read).collect::<Result<_, _>>()?,
        })
    }
}

impl KmsDevice {
    fn read(item: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            device_id: read::word(item, &["/device_id"])?,
            node_name: read::text(item, &["/node_name"]),
            on_chain_allowed: read::flag(item, &["/on_chain_allowed"]),
        })
    }
}

impl KmsOsImage {
    fn read(item: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            name: read::text(item, &["/name"]),
            version: read::text(item, &["/version"]),
            os_image_hash: read::word(item, &["/os_image_hash"])?,
            on_chain_allowed: read::flag(item, &["/on_chain_allowed"]),
        })
    }
}
