//! What the simulated cloud knows: CVMs, their manifests, updates that wait, and how it may be told to misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Nodes: number, name, and what their device is the hash of.
pub const NODES: [(u64, &str, &str); 2] = [(18, "sim1", "device"), (26, "sim2", "device of another node")];

/// A manifest as stored.
pub type Manifest = Map<String, Value>;

/// What a PATCH makes: the manifest, and the encrypted environment that came with it.
pub type Change = (Manifest, Option<String>);

/// The KMS contract that guards a CVM.
#[derive(Debug, Clone)]
pub struct OnchainKms {
    /// Chain id that the cloud believes in.
    pub chain_id: u64,
    /// DstackKms.
    pub contract: Address,
    /// Where the cloud itself reads the chain.
    pub rpc: super::Rpc,
    /// What the KMS itself holds.
    pub keys: super::KmsKeys,
}

/// A CVM.
#[derive(Debug, Clone)]
pub struct Cvm {
    /// Number, as the API of 2025-10-28 has it.
    pub number: u64,
    /// VM UUID without dashes.
    pub uuid: String,
    /// Instance id, 40 hex digits.
    pub instance_id: String,
    /// Name.
    pub name: String,
    /// App id; the contract's address when the KMS is on a chain.
    pub app: Address,
    /// Device of its node.
    pub device: B256,
    /// Hash of its OS image.
    pub os_image: B256,
    /// `None`: Phala's own KMS, no contract.
    pub kms: Option<OnchainKms>,
    /// Status.
    pub status: String,
    /// Hash it runs.
    pub compose_hash: B256,
    /// Manifest it runs.
    pub manifest: Manifest,
    /// Environment that its guest was given at the last boot.
    pub environment: BTreeMap<String, String>,
    /// Operation under way.
    pub progress: Option<String>,
    /// Why the last boot failed.
    pub boot_error: Option<String>,
    /// How many times it was committed, and to what: the truth for "at most once".
    pub commits: Vec<B256>,
    /// What no upgrade touches.
    pub more: More,
}

/// Settings of a CVM beside its manifest.
#[derive(Debug, Clone)]
pub struct More {
    /// Virtual CPUs.
    pub vcpu: u64,
    /// Memory, MB.
    pub memory: u64,
    /// Disk, GB.
    pub disk_size: u64,
    /// Name of its OS image.
    pub image: String,
    /// Hash of the images that it could be given; `None`: that of the one it has.
    pub next_image: Option<B256>,
    /// Whether the public directory names it.
    pub listed: bool,
    /// Sealed environment, hex.
    pub encrypted_env: Option<String>,
    /// Keys that may log in.
    pub ssh_keys: Vec<String>,
    /// Ports that the node passes on.
    pub ports: Vec<(u64, String)>,
    /// Where the guest fetches its keys.
    pub kms_urls: Vec<String>,
    /// Gateways that lead to it.
    pub gateway_urls: Vec<String>,
    /// When it is deleted.
    pub delete_at: Option<String>,
}

/// One operation of a CVM.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) uuid: String,
    pub(super) kind: String,
    pub(super) target: String,
    pub(super) ended: bool,
    pub(super) error: Option<String>,
}

/// A CVM that was provisioned.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// `None` on an on-chain KMS.
    pub(super) app: Option<Address>,
    pub(super) hash: B256,
    pub(super) manifest: Manifest,
    pub(super) more: More,
}

impl More {
    /// What a PATCH says about these.
    pub(super) fn take(&mut self, body: &Map<String, Value>) {
        let number = |name: &str, now: u64| body.get(name).and_then(Value::as_u64).unwrap_or(now);
        self.vcpu = number("vcpu", self.vcpu);
        self.memory = number("memory", self.memory);
        self.disk_size = number("disk_size", self.disk_size);
        if let Some(image) = body.get("image").and_then(Value::as_str) {
            image.clone_into(&mut self.image);
        }
        if let Some(sealed) = body.get("encrypted_env").and_then(Value::as_str) {
            self.encrypted_env = Some(sealed.to_owned());
        }
    }
}

impl Default for More {
    fn default() -> Self {
        Self {
            vcpu: 2,
            memory: 4096,
            disk_size: 40,
            image: "dstack-0.5.7".to_owned(),
            next_image: None,
            listed: false,
            encrypted_env: None,
            ssh_keys: Vec::new(),
            ports: Vec::new(),
            kms_urls: vec!["https://kms.sim.invalid".to_owned()],
            gateway_urls: vec!["https://gateway.sim.invalid".to_owned()],
            delete_at: None,
        }
    }
}

/// What a token makes when it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// The CVM runs something else.
    Update,
    /// Another CVM runs what this one runs, on the node with this device.
    Replica(B256),
    /// Another CVM of the app, on the node with this device.
    Instance(B256),
}

/// What a prepare made.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token.
    pub text: String,
    /// Its CVM; an app's own when it makes an instance.
    pub uuid: String,
    /// What it makes.
    pub makes: Makes,
    /// Its hash.
    pub hash: B256,
    /// The manifest that will run.
    pub manifest: Manifest,
    /// The encrypted environment that goes with it.
    pub env: Option<String>,
    /// Seconds since 1970 by the cloud's clock.
    pub created: i64,
    /// Spent, or made worthless by a later one.
    pub fate: Fate,
}

/// Whether a token is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Good until it expires.
    Live,
    /// A later prepare took its place.
    Superseded,
    /// It was committed.
    Used,
}

/// What happens at the boot that follows a commit.
#[derive(Debug, Clone)]
pub enum BootFailure {
    /// The guest does not come up; the old hash runs again and this is the boot error.
    Error(String),
    /// It stays `updating` for good.
    Never,
}

/// A change of an answer just before it is sent.
pub type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// How the cloud lies. All of it is off by default.
#[derive(Clone, Default)]
pub struct Lies {
    /// 465 names this hash instead of the one that will run.
    pub hash: Option<String>,
    /// 465 names this app.
    pub app_id: Option<String>,
    /// 465 and the CVM's record name this chain.
    pub chain_id: Option<u64>,
    /// 465 and the CVM's record name this KMS contract.
    pub kms_contract: Option<String>,
    /// 465 names this device; `Value::Null` is a lie as well.
    pub device_id: Option<Value>,
    /// Host of the commit links in 465, for example `https://evil.example`.
    pub commit_host: Option<String>,
    /// The cloud puts this script into every prepared manifest whose request has none.
    pub injected_script: Option<String>,
    /// Text of every error message.
    pub message: Option<String>,
    /// Every request is answered with 307 to this place.
    pub redirect: Option<String>,
    /// `kms_info` of a 465 has only chain id and contract, as the documents show it.
    pub short_kms_info: bool,
    /// There is no list of what waits for its commit, as in the official cloud of some releases.
    pub no_pending_list: bool,
    /// What the preview of a waiting update shows, in place of what waits.
    pub preview: Option<Value>,
    /// Every answer names this as the version that it is in.
    pub version: Option<String>,
    /// What should be prepared is made at once, where a CVM is asked for.
    pub makes_at_once: bool,
    /// Applied to what the KMS says of its key for an app.
    pub edit_pubkey: Option<Edit>,
    /// Applied to the body of every 465.
    pub edit_prepare: Option<Edit>,
    /// Applied to what a CVM shows to be believed.
    pub edit_attestation: Option<Edit>,
    /// Applied to every CVM record.
    pub edit_cvm: Option<Edit>,
}

/// Everything behind the lock.
pub(super) struct State {
    pub(super) api_key: String,
    pub(super) cvms: Vec<Cvm>,
    pub(super) tokens: Vec<Token>,
    /// Manifests that a plain PATCH announced, by CVM and hash: confirmed by headers.
    pub(super) announced: BTreeMap<(String, B256), Change>,
    pub(super) clock_offset: i64,
    pub(super) boot_time: Duration,
    pub(super) boot_failure: Option<BootFailure>,
    pub(super) lies: Lies,
    pub(super) requests: Vec<super::Request>,
    pub(super) counter: u64,
    pub(super) operations: Vec<Operation>,
    pub(super) wanted: Vec<Wanted>,
    pub(super) webhooks: Vec<Value>,
    pub(super) revisions: Vec<super::Revision>,
    /// The oldest and the newest version of the API that it speaks.
    pub(super) versions: (String, String),
}

impl State {
    /// Seconds since 1970 by the cloud's clock.
    pub(super) fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.clock_offset
    }
    /// A number that was not given out before.
    pub(super) const fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
    pub(super) fn cvm_mut(&mut self, uuid: &str) -> &mut Cvm {
        self.cvms
            .iter_mut()
            .find(|cvm| cvm.uuid == uuid)
            .expect("a CVM is never deleted")
    }
    /// Every CVM that `id` may mean: UUID, `app_…` or bare app id, `instance_…`, `cvm_…`, number, name.
    pub(super) fn find(&self, id: &str) -> Vec<&Cvm> {
        let plain = id.replace('-', "").to_lowercase();
        let app: Option<Address> = id.strip_prefix("app_").unwrap_or(id).parse().ok();
        let number: Option<u64> = id.parse().ok();
        let hashed = id.starts_with("cvm_");
        let is = |cvm: &&Cvm| {
            cvm.uuid == plain
                || Some(cvm.app) == app
                || id.strip_prefix("instance_") == Some(cvm.instance_id.as_str())
                || (hashed && id == cvm.hashed_id())
                || Some(cvm.number) == number
                || id == cvm.name
        };
        self.cvms.iter().filter(is).collect()
    }
}

impl Cvm {
    /// A CVM without names, to be filled.
    pub(super) fn blank() -> Self {
        Self {
            number: 0,
            uuid: String::new(),
            instance_id: String::new(),
            name: String::new(),
            app: Address::ZERO,
            device: alloy::primitives::keccak256("device"),
            os_image: alloy::primitives::keccak256("os image"),
            kms: None,
            status: "starting".to_owned(),
            compose_hash: B256::ZERO,
            manifest: Manifest::new(),
            progress: None,
            environment: BTreeMap::new(),
            boot_error: None,
            commits: Vec::new(),
            more: More::default(),
        }
    }
    /// The hash that it was made with, as far as is known.
    pub(super) const fn first_hash(&self) -> B256 {
        self.compose_hash
    }
    /// Number and name of its node.
    pub fn node(&self) -> (u64, &'static str) {
        let there = NODES.into_iter().find(|(_, _, seed)| keccak256(seed) == self.device);
        there.map_or((NODES[0].0, NODES[0].1), |(id, name, _)| (id, name))
    }
    /// `cvm_…`, as newer API versions name it.
    pub fn hashed_id(&self) -> String {
        format!("cvm_{:08x}", self.number)
    }
    /// UUID with dashes.
    pub fn dashed_uuid(&self) -> String {
        uuid::Uuid::parse_str(&self.uuid).unwrap().to_string()
    }
}

/// 40 hex digits, lower case.
pub fn bare(address: Address) -> String {
    hex::encode(address)
}

/// The compose hash of a manifest as Phala Cloud computes it today: compact JSON, keys sorted, SHA-256.
///
/// A writer of its own, apart from the library's; right for manifests of ordinary text and whole numbers, which is all
/// that tests put into this cloud.
pub fn compose_hash(manifest: &Manifest) -> B256 {
    B256::from_slice(&Sha256::digest(canonical(manifest).as_bytes()))
}

/// The bytes that are hashed, as text.
pub fn canonical(manifest: &Manifest) -> String {
    let mut text = String::new();
    write(&Value::Object(manifest.clone()), &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            out.push('{');
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// A manifest like those that Phala Cloud stores.
pub fn ordinary_manifest(name: &str) -> Manifest {
    let value = json!({
        "manifest_version": 2,
        "name": name,
        "runner": "docker-compose",
        "docker_compose_file": "services:\n  web:\n    image: nginx:1.27\n    ports:\n      - \"80:80\"\n",
        "pre_launch_script": "#!/bin/bash\necho \"----------------------------------------------\"\n\
            echo \"Running Phala Cloud Pre-Launch Script v0.0.14\"\nset -e\nif [ -n \"$A\" ] && true; then echo '<ok>'; fi",
        "features": ["kms", "tproxy-net"],
        "kms_enabled": true,
        "gateway_enabled": true,
        "tproxy_enabled": true,
        "local_key_provider_enabled": false,
        "no_instance_id": false,
        "public_logs": true,
        "public_sysinfo": true,
        "public_tcbinfo": true,
        "secure_time": false,
        "storage_fs": "zfs",
        "allowed_envs": ["DATABASE_URL", "LOG_LEVEL"],
    });
    match value {
        Value::Object(members) => members,
        _ => unreachable!("an object was written above"),
    }
}
