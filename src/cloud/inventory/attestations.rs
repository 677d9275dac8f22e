//! Quotes that Phala Cloud knows, the machines they come from, and what it makes of them. Everything here is the cloud's word: what
//! is verified, the room `attest` verifies. A quote and its collateral by their checksum are enough to do that without a network.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cloud::apps::segment;
use crate::cloud::id::AnyId;
use crate::cloud::read::{self, Malformed};
use crate::cloud::{Client, CloudError, Key};
use crate::http::Retry;

/// Largest answer that holds quotes and certificates of an app's CVMs, bytes.
const QUOTES: usize = 16 << 20;

/// A machine of Phala Cloud's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id.
    pub id: Option<AnyId>,
    /// Its name.
    pub name: Option<String>,
    /// Where it is.
    pub region: Option<String>,
    /// Its device, which an app's contract has to allow.
    pub device_id: Option<B256>,
    /// Its platform's id, as Intel provisioned it.
    pub ppid: Option<String>,
    /// `ONLINE`, `OFFLINE`, as the server writes it.
    pub status: Option<String>,
    /// Version of what runs CVMs on it.
    pub version: Option<String>,
}

/// Which devices an app's CVMs are on, and whether its contract allows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAllowlist {
    /// Whether there is a contract at all.
    pub is_onchain_kms: Option<bool>,
    /// Whether it allows every device.
    pub allow_any_device: Option<bool>,
    /// Its chain.
    pub chain_id: Option<u64>,
    /// The app's contract.
    pub app: Option<Address>,
    /// The devices.
    pub devices: Vec<AllowlistDevice>,
}

/// A device, and whether the app's contract allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowlistDevice {
    /// The device.
    pub device_id: Option<B256>,
    /// Its node.
    pub node_name: Option<String>,
    /// The app's CVMs on it.
    pub cvm_ids: Vec<AnyId>,
    /// Whether the contract allows it.
    pub allowed_onchain: Option<bool>,
    /// What it is for the app, as the server writes it.
    pub status: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError};
/// # async fn example(client: &Client, app: alloy::primitives::Address, checksum: alloy::primitives::B256) -> Result<(), CloudError> {
/// println!("{:?}", client.device_allowlist(app).await?.devices);
/// println!("{:?} {:?}", client.attestation_nodes().await?, client.attestation_device_ids().await?);
/// println!("{:?}", client.attestation_ppids().await?);
/// println!("{} {}", client.app_attestations(app).await?, client.tcb_evaluation(app).await?);
/// let quote = client.attestation_raw(checksum).await?;
/// println!("{}", client.attestation_collateral(checksum).await?);
/// println!("{}", client.verify_attestation(&quote).await?);
/// println!("{}", client.attestation_view(checksum).await?);
/// println!("{}", client.recent_attestations(0, 20).await?);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/apps/{app_id}/device-allowlist`; the cloud reads the chain for it.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn device_allowlist(&self, app: Address) -> Result<DeviceAllowlist, CloudError> {
        let (reply, _) = self.get(&["apps", &segment(app), "device-allowlist"]).await?;
        let said = reply.object()?;
        let none = Value::Array(Vec::new());
        Ok(DeviceAllowlist {
            is_onchain_kms: read::flag(&said, &["/is_onchain_kms"]),
            allow_any_device: read::flag(&said, &["/allow_any_device"]),
            chain_id: reply.sound(read::chain_id(&said, &["/chain_id"]))?,
            app: reply.sound(read::address(&said, &["/app_contract_address"]))?,
            devices: reply.items(said.get("devices").unwrap_or(&none), AllowlistDevice::read)?,
        })
    }
    /// `GET /api/v1/attestations/nodes`: the machines that there are; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn attestation_nodes(&self) -> Result<Vec<Machine>, CloudError> {
        let call = self.call(Method::GET, &["attestations", "nodes"], Retry::Read)?;
        let reply = self.send(call, Key::IfGiven).await?;
        let answer = reply.value()?;
        reply.items(&answer, Machine::read)
    }
    /// `GET /api/v1/attestations/device_ids`: the devices that there are; needs no API key. The published file does not say in
    /// which shape they come.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn attestation_device_ids(&self) -> Result<Value, CloudError> {
        self.public(&["attestations", "device_ids"], &[]).await
    }
    /// `GET /api/v1/attestations/ppids`: the ids of platforms that there are; needs no API key. The published file does not say in
    /// which shape they come.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn attestation_ppids(&self) -> Result<Value, CloudError> {
        self.public(&["attestations", "ppids"], &[]).await
    }
    /// `GET /api/v1/apps/{app_id}/attestations`: quotes, event logs and certificates of an app's CVMs, and its KMS, in the server's
    /// own shape (`js/src/actions/apps/get_app_attestation.ts` of Phala-Network/phala-cloud).
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn app_attestations(&self, app: Address) -> Result<Value, CloudError> {
        let mut call = self.call(Method::GET, &["apps", &segment(app), "attestations"], Retry::Read)?;
        call.request.body_limit = Some(QUOTES);
        self.send(call, Key::Needed).await?.object()
    }
    /// `GET /api/v1/apps/{app_id}/attestations/tcb-evaluation`: whether Intel's next collateral still calls each CVM's machine up to
    /// date, in the server's own shape.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 404, 422.
    pub async fn tcb_evaluation(&self, app: Address) -> Result<Value, CloudError> {
        let (reply, _) = self
            .get(&["apps", &segment(app), "attestations", "tcb-evaluation"])
            .await?;
        reply.object()
    }
    /// `POST /api/v1/attestations/verify`: has the cloud look at a quote, and **publishes it**; needs no API key. The answer is the
    /// server's own.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 422.
    pub async fn verify_attestation(&self, quote: &[u8]) -> Result<Value, CloudError> {
        let mut call = self.call(Method::POST, &["attestations", "verify"], Retry::Write)?;
        call.json(&json!({ "hex": hex::encode(quote) }))?;
        self.send(call, Key::IfGiven).await?.object()
    }
    /// `GET /api/v1/attestations/raw/{checksum}`: a quote's bytes; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`]: 404, 422.
    pub async fn attestation_raw(&self, checksum: B256) -> Result<Vec<u8>, CloudError> {
        let call = self.call(
            Method::GET,
            &["attestations", "raw", &hex::encode(checksum)],
            Retry::Read,
        )?;
        let reply = self.send(call, Key::IfGiven).await?;
        match reply.answer.status {
            200..=202 => Ok(reply.answer.body),
            _ => Err(reply.refusal()),
        }
    }
    /// `GET /api/v1/attestations/view/{checksum}`: a quote taken apart, in the server's own shape; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`]: 404, 422.
    pub async fn attestation_view(&self, checksum: B256) -> Result<Value, CloudError> {
        self.public(&["attestations", "view", &hex::encode(checksum)], &[])
            .await
    }
    /// `GET /api/v1/attestations/collateral/{checksum}`: what a quote is verified with, in the server's own shape; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 404, 422.
    pub async fn attestation_collateral(&self, checksum: B256) -> Result<Value, CloudError> {
        self.public(&["attestations", "collateral", &hex::encode(checksum)], &[])
            .await
    }
    /// `GET /api/v1/attestations/recent`: quotes that were published, the latest first, in the server's own shape; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`]: 422.
    pub async fn recent_attestations(&self, skip: u32, limit: u32) -> Result<Value, CloudError> {
        let (skip, limit) = (skip.to_string(), limit.to_string());
        self.public(&["attestations", "recent"], &[("skip", &skip), ("limit", &limit)])
            .await
    }

    /// Reads a document that anybody may read.
    async fn public(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, CloudError> {
        let mut call = self.call(Method::GET, segments, Retry::Read)?;
        call.request.body_limit = Some(QUOTES);
        for (name, value) in query {
            call.query(name, value);
        }
        self.send(call, Key::IfGiven).await?.value()
    }
}

impl Machine {
    fn read(item: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            id: read::id(item, &["/node_id", "/id"]),
            name: read::text(item, &["/name"]),
            region: read::text(item, &["/region"]),
            device_id: read::word(item, &["/device_id"])?,
            ppid: read::text(item, &["/ppid"]),
            status: read::text(item, &["/status"]),
            version: read::text(item, &["/version"]),
        })
    }
}

impl AllowlistDevice {
    fn read(item: &Value) -> Result<Self, Malformed> {
        let ids = item.get("cvm_ids").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            device_id: read::word(item, &["/device_id"])?,
            node_name: read::text(item, &["/node_name"]),
            cvm_ids: ids.filter_map(|id| read::id(id, &[""])).collect(),
            allowed_onchain: read::flag(item, &["/allowed_onchain"]),
            status: read::text(item, &["/status"]),
        })
    }
}
