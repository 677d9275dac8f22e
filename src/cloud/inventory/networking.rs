//! What leads to a CVM, and where it fetches its keys: ports, addresses of KMS and gateway, whether a firewall can be had. No hash
//! covers any of it.

use std::fmt;
use std::str::FromStr;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cloud::read;
use crate::cloud::{Client, CloudError, CvmId, Key, Reply};
use crate::http::Retry;

/// A port of the guest that the node passes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its id, `pm_…`.
    pub id: Option<String>,
    /// Port of the guest.
    pub vm_port: Option<u64>,
    /// `tcp` or `udp`.
    pub protocol: Option<String>,
    /// Port of the node.
    pub host_port: Option<u64>,
    /// Address of the node.
    pub host_address: Option<String>,
}

/// A port of the guest that is to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PortWanted {
    /// Port of the guest.
    pub vm_port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What the node has the guest speak to, as it says it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Where the guest fetches its keys.
    pub kms_urls: Vec<String>,
    /// The gateways that lead to it.
    pub gateway_urls: Vec<String>,
    /// Ports that are passed on.
    pub ports: Vec<Port>,
}

/// A change of what the guest speaks to; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetworkChange {
    /// Where the guest fetches its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_urls: Option<Vec<String>>,
    /// The gateways that lead to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_urls: Option<Vec<String>>,
    /// Restart the CVM for it; it reads them when it starts.
    pub restart: bool,
}

/// Whether a CVM's node can keep a firewall for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Whether it can.
    pub available: Option<bool>,
    /// Why not.
    pub reason: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, inventory::networking::NetworkChange};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// println!("{:?}", client.ports(id).await?);
/// client.set_ports(id, &["443/tcp".parse().expect("a port")]).await?;
/// println!("{:?}", client.network_config(id).await?.kms_urls);
/// client.set_network_config(id, &NetworkChange { restart: true, ..NetworkChange::default() }).await?;
/// println!("{:?}", client.firewall_status(id).await?.available);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/ports`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn ports(&self, id: &CvmId) -> Result<Vec<Port>, CloudError> {
        let (reply, answer) = self.get(&["cvms", id.as_str(), "ports"]).await?;
        reply.items(&answer, |item| Ok(Port::read(item)))
    }
    /// `PUT /api/v1/cvms/{cvm_id}/ports`: replaces the whole list.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409, 422.
    pub async fn set_ports(&self, id: &CvmId, ports: &[PortWanted]) -> Result<Vec<Port>, CloudError> {
        let mut call = self.call(Method::PUT, &["cvms", id.as_str(), "ports"], Retry::Write)?;
        call.json(&json!({ "ports": ports }))?;
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.value()?;
        reply.items(&answer, |item| Ok(Port::read(item)))
    }
    /// `GET /api/v1/cvms/{cvm_id}/network-config`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422, 500.
    pub async fn network_config(&self, id: &CvmId) -> Result<NetworkConfig, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "network-config"]).await?;
        reply.network_config()
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/network-config`: changes where the guest fetches its keys, and nobody is asked for it. What a
    /// KMS may give is decided by the app's contract; which KMS gave a guest its keys, its attestation tells.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 422.
    pub async fn set_network_config(&self, id: &CvmId, change: &NetworkChange) -> Result<NetworkConfig, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "network-config"], Retry::Write)?;
        call.json(change)?;
        self.send(call, Key::Needed).await?.network_config()
    }
    /// `GET /api/v1/cvms/{cvm_id}/firewall-status`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn firewall_status(&self, id: &CvmId) -> Result<Firewall, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "firewall-status"]).await?;
        let said = reply.object()?;
        Ok(Firewall {
            available: read::flag(&said, &["/available"]),
            reason: read::text(&said, &["/reason"]),
        })
    }
}

impl Reply {
    fn network_config(&self) -> Result<NetworkConfig, CloudError> {
        let said = self.object()?;
        let ports = said.get("ports").and_then(Value::as_array).into_iter().flatten();
        Ok(NetworkConfig {
            kms_urls: read::texts(&said, "/kms_urls"),
            gateway_urls: read::texts(&said, "/gateway_urls"),
            ports: ports.map(Port::read).collect(),
        })
    }
}

impl Port {
    fn read(item: &Value) -> Self {
        Self {
            id: read::text(item, &["/id"]),
            vm_port: read::number(item, &["/vm_port"]),
            protocol: read::text(item, &["/protocol"]),
            host_port: read::number(item, &["/host_port"]),
            host_address: read::text(item, &["/host_address"]),
        }
    }
}

impl FromStr for PortWanted {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0);
        let protocol = match protocol {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            _ => None,
        };
        match (port, protocol) {
            (Some(vm_port), Some(protocol)) => Ok(Self { vm_port, protocol }),
            _ => Err("a port from 1 to 65535, with /tcp or /udp behind it where that is not /tcp"),
        }
    }
}

impl fmt::Display for PortWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.vm_port)
    }
}
