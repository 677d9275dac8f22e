//! CVMs: one record in the shapes of all versions, the list of them, a manifest, a state.
//!
//! Reading is lenient: unknown fields are kept, missing ones are `None`, no enum is closed.

use alloy::primitives::{Address, B256};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::{self, Malformed};
use super::{Client, CloudError, CvmId, Key, Page, Paged, chain};
use crate::compose::{ComposeHash, Manifest};
use crate::http::Retry;

/// Largest list that is read, bytes: a hundred records of some ten kilobytes, and room.
const LIST: usize = 8 << 20;

/// Entries on a page when all are wanted: what the server takes at most.
const PAGE: u32 = 100;
/// Pages that [`Client::all_cvms`] asks for at once.
pub const PAGES_AT_ONCE: usize = 4;
/// Pages that [`Client::all_cvms`] reads at most: a server that names more is not believed.
pub const MAX_PAGES: u32 = 100;
/// Bytes that [`Client::all_cvms`] reads at most, all pages together: thousands of records, in a small machine's memory.
const ALL: usize = 32 << 20;
/// Where the list is, for messages.
const PAGINATED: &str = "GET /api/v1/cvms/paginated";

/// A CVM as the cloud reports it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cvm {
    /// Display name.
    pub name: Option<String>,
    /// VM UUID, dashes as the server writes them.
    pub uuid: Option<String>,
    /// App id = address of the app's contract.
    pub app_id: Option<Address>,
    /// Status as the server writes it, for example `running`.
    pub status: Option<String>,
    /// Compose hash the CVM was started with.
    pub compose_hash: Option<ComposeHash>,
    /// The KMS that guards it.
    pub kms: Kms,
    /// Instance id, 40 hex digits; a CVM that never booted has none.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// What it may use.
    #[serde(default)]
    pub resources: Resources,
    /// Device id of its node.
    pub device_id: Option<B256>,
    /// Hash of its OS image.
    pub os_image_hash: Option<B256>,
    /// Name of its OS image.
    pub os_image: Option<String>,
    /// Version of its OS image.
    #[serde(default)]
    pub os_version: Option<String>,
    /// Version of what runs it on its node (the dstack VMM).
    #[serde(default)]
    pub node_version: Option<String>,
    /// Whether the public directory names it.
    #[serde(default)]
    pub listed: Option<bool>,
    /// An operation under way.
    pub progress: Option<Progress>,
    /// The record as it came.
    #[serde(skip)]
    pub raw: Value,
}

/// What a CVM may use, as far as its record says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Name of the instance type, for example `tdx.small`.
    pub instance_type: Option<String>,
    /// Virtual CPUs.
    pub vcpu: Option<u64>,
    /// Memory, MB.
    pub memory: Option<u64>,
    /// Disk, GB.
    pub disk_size: Option<u64>,
}

/// KMS facts of a CVM or of a prepare answer; a short object is no error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kms {
    /// Chain id; `None` for an off-chain KMS.
    pub chain_id: Option<u64>,
    /// The DstackKms contract.
    pub kms_contract: Option<Address>,
    /// The DstackApp contract, where the record names it.
    pub app_contract: Option<Address>,
    /// The KMS's slug or name, where given.
    pub slug: Option<String>,
}

/// An operation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it goes, for example `running`.
    pub target: Option<String>,
    /// Which operation.
    pub correlation_id: Option<String>,
}

/// State at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CvmState {
    /// Status as the server writes it.
    pub status: Option<String>,
    /// Boot progress, free text.
    pub boot_progress: Option<String>,
    /// Boot error, free text.
    pub boot_error: Option<String>,
    /// Shutdown progress, free text.
    #[serde(default)]
    pub shutdown_progress: Option<String>,
    /// Since the boot, free text.
    #[serde(default)]
    pub uptime: Option<String>,
}

impl Kms {
    /// Whether an on-chain KMS guards the CVM.
    pub const fn is_onchain(&self) -> bool {
        self.chain_id.is_some()
    }
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, Page};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// let first = client.cvms(Page { number: Some(1), size: Some(20) }).await?;
/// let all = client.all_cvms().await?;
/// println!("{} of {}", first.items.len(), all.len());
/// let (cvm, manifest) = (client.cvm(id).await?, client.manifest(id).await?);
/// println!("{:?} runs {:?}: {:?}", cvm.name, cvm.compose_hash, manifest.images());
/// println!("{:?}", client.state(id).await?.status);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/paginated`: one page of the workspace's CVMs.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 422.
    pub async fn cvms(&self, page: Page) -> Result<Paged<Cvm>, CloudError> {
        Ok(self.cvms_of(page).await?.0)
    }

    /// One page, and how many bytes it has.
    async fn cvms_of(&self, page: Page) -> Result<(Paged<Cvm>, usize), CloudError> {
        let mut call = self.call(Method::GET, &["cvms", "paginated"], Retry::Read)?;
        page.ask(&mut call);
        call.request.body_limit = Some(LIST);
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.object()?;
        let page = reply.paged(&answer, |item| Cvm::read(item.clone()))?;
        Ok((page, reply.answer.body.len()))
    }
    /// Every CVM of the workspace: all pages of [`Self::cvms`], at most [`PAGES_AT_ONCE`] of them asked for at once.
    ///
    /// The pages are no picture of one moment: a CVM that moves to another page meanwhile is there once.
    ///
    /// # Errors
    /// As [`Self::cvms`], and more than [`MAX_PAGES`] pages or than a machine's memory should hold, or a page before the last
    /// one on which there is nothing new.
    pub async fn all_cvms(&self) -> Result<Vec<Cvm>, CloudError> {
        let page = |number| Page {
            number: Some(number),
            size: Some(PAGE),
        };
        let unexpected = |what| CloudError::Unexpected {
            request: PAGINATED.to_owned(),
            status: 200,
            what,
        };
        let first = self.cvms_of(page(1)).await?;
        let pages = first.0.pages.unwrap_or(1);
        let Some(pages) = u32::try_from(pages).ok().filter(|pages| *pages <= MAX_PAGES) else {
            return Err(unexpected(format!("a list of {pages} pages")));
        };
        let others = futures_util::stream::iter(2..=pages).map(|number| self.cvms_of(page(number)));
        let mut others = others.buffered(PAGES_AT_ONCE);
        let (mut all, mut bytes, mut number) = (Vec::new(), 0, 1);
        let mut seen = std::collections::HashSet::new();
        let mut next = Some(Ok(first));
        while let Some(read) = next {
            let (page, length) = read?;
            let known = all.len();
            all.extend(page.items.into_iter().filter(|cvm| {
                let uuid = cvm.uuid.as_ref();
                uuid.is_none_or(|uuid| seen.insert(uuid.clone()))
            }));
            bytes += length;
            if number < pages && all.len() == known {
                return Err(unexpected(format!("page {number} of {pages} holds nothing new")));
            }
            if bytes > ALL {
                return Err(unexpected(format!("a list of more than {ALL} bytes")));
            }
            number += 1;
            next = others.next().await;
        }
        Ok(all)
    }
    /// `GET /api/v1/cvms/{cvm_id}`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn cvm(&self, id: &CvmId) -> Result<Cvm, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str()]).await?;
        let record = reply.object()?;
        reply.sound(Cvm::read(record))
    }
    /// `GET /api/v1/cvms/{cvm_id}/compose_file`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422, 500. A manifest that two readers could take for two things is [`CloudError::Unexpected`].
    pub async fn manifest(&self, id: &CvmId) -> Result<Manifest, CloudError> {
        let (reply, value) = self.get(&["cvms", id.as_str(), "compose_file"]).await?;
        let parsed = match &value {
            // The manifest's own text, as one JSON string.
            serde_json::Value::String(text) => Manifest::parse(text.as_bytes()),
            _ => Manifest::parse(&reply.answer.body),
        };
        parsed.map_err(|error| reply.unexpected(&format!("no manifest: {}", chain(&error))))
    }
    /// `GET /api/v1/cvms/{cvm_id}/state`, without a target: one JSON object.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn state(&self, id: &CvmId) -> Result<CvmState, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "state"]).await?;
        let record = reply.object()?;
        Ok(CvmState::read(&record))
    }
}

impl Cvm {
    /// Whether its OS image is one for development, which lets people log in; as far as the record says.
    pub fn is_dev_image(&self) -> Option<bool> {
        read::flag(&self.raw, &["/os/is_dev"])
    }

    /// Domain of the gateway that leads to it, as the server writes it.
    pub fn gateway_domain(&self) -> Option<String> {
        let places = ["/gateway/base_domain", "/gateway_domain"];
        places.into_iter().find_map(|place| read::exact(&self.raw, place))
    }

    /// Reads a record of any version: each value stands where one of them has it.
    pub(super) fn read(record: Value) -> Result<Self, Malformed> {
        Ok(Self {
            name: read::text(&record, &["/name", "/hosted/name"]),
            uuid: read::text(&record, &["/vm_uuid", "/uuid", "/hosted/id"]),
            app_id: read::address(&record, &["/app_id", "/hosted/app_id"])?,
            status: read::text(&record, &["/status", "/hosted/status"]),
            compose_hash: read::hash(&record, &["/compose_hash"])?,
            kms: Kms::of_cvm(&record)?,
            instance_id: read::text(&record, &["/instance_id", "/hosted/instance_id"]),
            resources: Resources::read(&record),
            device_id: read::word(
                &record,
                &[
                    "/node_info/device_id",
                    "/node/device_id",
                    "/teepod/device_id",
                    "/device_id",
                ],
            )?,
            os_image_hash: read::word(&record, &["/os/os_image_hash", "/os_image_hash"])?,
            os_image: read::text(&record, &["/os/name", "/base_image", "/hosted/image_version"]),
            os_version: read::text(&record, &["/os/version"]),
            node_version: read::text(&record, &["/node_info/version", "/node/version", "/teepod/version"]),
            listed: read::flag(&record, &["/listed"]),
            progress: Progress::read(&record),
            raw: record,
        })
    }
}

impl CvmState {
    pub(super) fn read(record: &Value) -> Self {
        Self {
            status: read::text(record, &["/status"]),
            boot_progress: read::text(record, &["/boot_progress"]),
            boot_error: read::text(record, &["/boot_error"]),
            shutdown_progress: read::text(record, &["/shutdown_progress"]),
            uptime: read::text(record, &["/uptime"]),
        }
    }
}

impl Resources {
    /// Newer records count memory in GB, older ones in MB.
    fn read(record: &Value) -> Self {
        let memory = read::pick(record, &["/resource/memory_in_gb"])
            .and_then(Value::as_f64)
            .and_then(|gigabytes| format!("{:.0}", gigabytes * 1024.0).parse().ok());
        Self {
            instance_type: read::text(record, &["/resource/instance_type", "/instance_type"]),
            vcpu: read::number(record, &["/resource/vcpu", "/vcpu"]),
            memory: memory.or_else(|| read::number(record, &["/memory"])),
            disk_size: read::number(record, &["/resource/disk_in_gb", "/disk_size"]),
        }
    }
}

impl Kms {
    fn of_cvm(record: &Value) -> Result<Self, Malformed> {
        let mut kms = match record.get("kms_info") {
            Some(info) => Self::read(info)?,
            None => Self::default(),
        };
        if kms.app_contract.is_none() {
            kms.app_contract = read::address(record, &["/contract_address"])?;
        }
        Ok(kms)
    }

    /// Reads KMS facts under any of their names.
    pub(super) fn read(info: &Value) -> Result<Self, Malformed> {
        let contract = ["/kms_contract_address", "/dstack_kms_address", "/contract_address"];
        let (chain_id, kms_contract) = read::kms_place(info, &contract)?;
        Ok(Self {
            chain_id,
            kms_contract,
            app_contract: read::address(info, &["/app_contract_address", "/dstack_app_address"])?,
            slug: read::text(info, &["/slug", "/name", "/id"]),
        })
    }
}

impl Progress {
    /// `in_progress` is older than `progress` and decides where both are there.
    fn read(record: &Value) -> Option<Self> {
        let busy = read::flag(record, &["/in_progress"]);
        let progress = Self {
            target: read::text(record, &["/progress/target"]),
            correlation_id: read::text(record, &["/progress/correlation_id"]),
        };
        let named = progress.target.is_some() || progress.correlation_id.is_some();
        busy.unwrap_or(named).then_some(progress)
    }
}
