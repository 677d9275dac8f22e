//! A whole world: chain, contracts, cloud, an owner's key, a folder.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolCall;

use super::cloud::{self, Cvm, KmsKeys, OnchainKms};
use super::contracts::{self, abi};
use super::{ACCOUNTS, Account, Anvil, AnvilOptions, Rpc, SimCloud, safes};

/// The CVM's name.
pub const CVM: &str = "payments-prod";
/// The compose text of the upgrade that most tests make.
pub const NEW_COMPOSE: &str = "services:\n  web:\n    image: nginx:1.28\n    ports:\n      - \"80:80\"\n";

/// Which of the two app contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppVariant {
    /// Older: ownership moves at once.
    OneStep,
    /// Newer: the new owner accepts.
    TwoStep,
}

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// The chain; mining modes take effect after deployment.
    pub anvil: AnvilOptions,
    /// The app's contract.
    pub app: AppVariant,
    /// The app's owner; account 1 by default.
    pub owner: Option<Address>,
    /// The app lets every device in.
    pub any_device: bool,
    /// The CVM's device is on the app's list.
    pub device_allowed: bool,
    /// The KMS allows the CVM's OS image.
    pub os_image_allowed: bool,
    /// The CVM's KMS is a contract.
    pub onchain: bool,
    /// The app's owner is a Safe.
    pub safe: Option<SafeOptions>,
}

/// A Safe that owns the app: the first accounts are its owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafeOptions {
    /// Which release: an index into `safes::RELEASES`.
    pub release: usize,
    /// The singleton that emits an event before each transaction.
    pub l2: bool,
    /// Signatures needed.
    pub threshold: u64,
    /// Owners.
    pub owners: usize,
}

/// Everything that an upgrade touches; dropping it stops all of it.
pub struct World {
    /// The chain.
    pub anvil: Anvil,
    /// The cloud.
    pub cloud: SimCloud,
    /// DstackKms.
    pub kms: Address,
    /// DstackApp = app id.
    pub app: Address,
    /// The account that owns the app, unless the options named another owner.
    pub owner: Account,
    /// The CVM's device.
    pub device: B256,
    /// The hash that runs at first.
    pub first_hash: B256,
    /// The Safe that owns the app, if one does.
    pub safe: Option<Address>,
    folder: tempfile::TempDir,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            anvil: AnvilOptions::default(),
            app: AppVariant::TwoStep,
            owner: None,
            any_device: false,
            device_allowed: true,
            os_image_allowed: true,
            onchain: true,
            safe: None,
        }
    }
}

impl SafeOptions {
    /// Makes such a Safe.
    pub fn create(&self, rpc: &Rpc) -> Address {
        let release = &safes::RELEASES[self.release];
        release.install(rpc);
        release.create(rpc, self.l2, (&self.accounts(), self.threshold))
    }
    /// Its owners.
    pub fn accounts(&self) -> Vec<Address> {
        ACCOUNTS[..self.owners].iter().map(|account| account.address).collect()
    }
}

impl AppVariant {
    const fn contract(self) -> &'static str {
        match self {
            Self::OneStep => "DstackAppOneStep",
            Self::TwoStep => "DstackAppTwoStep",
        }
    }
}

impl World {
    /// One app that account 1 owns, on the development chain, with one CVM.
    pub fn start() -> Self {
        Self::with(WorldOptions::default())
    }
    /// As asked.
    pub fn with(options: WorldOptions) -> Self {
        let mining = (options.anvil.block_time, options.anvil.no_mining);
        let anvil = Anvil::start(AnvilOptions {
            block_time: None,
            no_mining: false,
            ..options.anvil.clone()
        });
        let rpc = anvil.rpc();
        let manifest = cloud::ordinary_manifest(CVM);
        let first_hash = cloud::compose_hash(&manifest);
        let (device, os_image) = (keccak256("device"), keccak256("os image"));
        let owner = ACCOUNTS[1];
        let kms = deploy_kms(&rpc, options.app);
        let safe = options.safe.map(|safe| safe.create(&rpc));
        if options.os_image_allowed {
            rpc.execute(
                ACCOUNTS[0].address,
                kms,
                &abi::addOsImageHashCall { osImageHash: os_image },
            );
        }
        let policy = abi::deployAndRegisterAppCall {
            owner: options.owner.or(safe).unwrap_or(owner.address),
            disableUpgrades: false,
            anyDevice: options.any_device,
            device: if options.device_allowed { device } else { B256::ZERO },
            hash: first_hash,
        };
        let app = rpc.read(kms, &policy);
        rpc.execute(ACCOUNTS[0].address, kms, &policy);
        let contract = options.onchain.then_some(OnchainKms {
            chain_id: options.anvil.chain_id,
            contract: kms,
            rpc,
            keys: KmsKeys::named("kms"),
        });
        let cvm = cvm(1, app, (device, os_image), contract);
        assert_eq!(cvm.compose_hash, first_hash);
        let world = Self {
            anvil,
            cloud: SimCloud::start(vec![cvm]),
            kms,
            app,
            owner,
            device,
            first_hash,
            safe,
            folder: tempfile::tempdir().unwrap(),
        };
        world.set_mining(mining);
        // Its users know their KMS, which no version of this tool does, and have hardware only where a test makes some.
        world.file("phala.toml", &format!("kms = \"{kms}\"\nattest = \"no\"\n"));
        world
    }
    /// Nobody knows the KMS any more but by the cloud's word.
    pub fn forget_the_kms(&self) {
        self.file("phala.toml", "attest = \"no\"\n");
    }
    /// A KMS contract of a stranger, who holds its keys; the cloud names it and gives its key from now on. It knows the app
    /// and lets everything boot that the app does.
    pub fn stranger_takes_the_kms(&self) -> Address {
        let (rpc, stranger) = (self.rpc(), ACCOUNTS[0].address);
        let kms = deploy_kms(&rpc, AppVariant::TwoStep);
        let keys = KmsKeys::named("stranger");
        publish(&rpc, kms, keys.root_key());
        rpc.execute(stranger, kms, &abi::registerAppCall { app: self.app });
        let image = keccak256("os image");
        rpc.execute(stranger, kms, &abi::addOsImageHashCall { osImageHash: image });
        self.cloud.change_cvm(CVM, |cvm| {
            let known = cvm.kms.as_mut().unwrap();
            (known.contract, known.keys) = (kms, keys);
        });
        kms
    }
    /// The owner of the KMS takes the CVM's OS image off its list, or puts it back.
    pub fn allow_os_image(&self, allowed: bool) {
        let (rpc, owner, image) = (self.rpc(), ACCOUNTS[0].address, keccak256("os image"));
        match allowed {
            true => rpc.execute(owner, self.kms, &abi::addOsImageHashCall { osImageHash: image }),
            false => rpc.execute(owner, self.kms, &abi::removeOsImageHashCall { osImageHash: image }),
        };
    }
    /// The KMS's contract names another root key from now on.
    pub fn publish_root_key(&self, root: Vec<u8>) {
        publish(&self.rpc(), self.kms, root);
    }
    /// The KMS's contract names this as the key of the KMS's certificate authority from now on.
    pub fn publish_ca(&self, ca: Vec<u8>) {
        let info = abi::KmsInfo {
            k256Pubkey: KmsKeys::named("kms").root_key().into(),
            caPubkey: ca.into(),
            quote: b"quote".into(),
            eventlog: b"log".into(),
        };
        self.rpc()
            .execute(ACCOUNTS[0].address, self.kms, &abi::setKmsInfoCall { info });
    }
    /// Speaks to the chain.
    pub fn rpc(&self) -> Rpc {
        self.anvil.rpc()
    }
    /// A folder that goes away with the world.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
    /// Writes a file into the folder.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
    /// Another CVM of the same app.
    pub fn add_cvm(&self, number: u64) -> Cvm {
        let first = self.cloud.cvm(CVM);
        let mut second = cvm(number, self.app, (first.device, first.os_image), first.kms);
        second.name = format!("{CVM}-{number}");
        self.cloud.add_cvm(second.clone());
        second
    }
    /// Another app of this owner, with one CVM.
    pub fn add_app(&self, number: u64, owner: Address) -> Cvm {
        let rpc = self.rpc();
        let policy = abi::deployAndRegisterAppCall {
            owner,
            disableUpgrades: false,
            anyDevice: false,
            device: self.device,
            hash: self.first_hash,
        };
        let app = rpc.read(self.kms, &policy);
        rpc.execute(ACCOUNTS[0].address, self.kms, &policy);
        let first = self.cloud.cvm(CVM);
        let mut another = cvm(number, app, (first.device, first.os_image), first.kms);
        another.name = format!("app-{number}");
        self.cloud.add_cvm(another.clone());
        another
    }
    /// Sends from the owner and waits for the block (automine).
    pub fn as_owner<C: SolCall>(&self, call: &C) -> B256 {
        self.rpc().execute(self.owner.address, self.app, call)
    }
    /// The owner allows a hash.
    pub fn allow(&self, hash: B256) -> B256 {
        self.as_owner(&abi::addComposeHashCall { composeHash: hash })
    }
    /// Whether the chain allows a hash now.
    pub fn is_allowed(&self, hash: B256) -> bool {
        self.rpc()
            .read(self.app, &abi::allowedComposeHashesCall { composeHash: hash })
    }
    /// The hash that the first CVM would have with this compose text.
    pub fn hash_with(&self, compose: &str) -> B256 {
        let mut manifest = self.cloud.cvm(CVM).manifest;
        manifest.insert("docker_compose_file".to_owned(), serde_json::json!(compose));
        cloud::compose_hash(&manifest)
    }
    /// The real binary with this world's key, cloud, chain and folder in its environment, and the owner's key in
    /// `OWNER_KEY` for `--signer env:OWNER_KEY`.
    pub fn countersign(&self, binary: impl AsRef<Path>) -> std::process::Command {
        let mut command = super::countersign(binary, self.folder());
        command
            .env("PHALA_CLOUD_API_KEY", cloud::API_KEY)
            .env("PHALA_CLOUD_API_PREFIX", self.cloud.prefix())
            .env("ETH_RPC_URL", self.anvil.url())
            .env("OWNER_KEY", self.owner.key);
        for (index, account) in ACCOUNTS.iter().enumerate() {
            command.env(format!("SIGNER_{index}"), account.key);
        }
        command
    }
    fn set_mining(&self, (block_time, none): (Option<u64>, bool)) {
        if let Some(seconds) = block_time {
            self.rpc().call("evm_setIntervalMining", serde_json::json!([seconds]));
        } else if none {
            self.rpc().call("evm_setAutomine", serde_json::json!([false]));
        }
    }
}

fn deploy_kms(rpc: &Rpc, app: AppVariant) -> Address {
    let deployer = ACCOUNTS[0].address;
    let implementation = contracts::deploy(rpc, deployer, app.contract(), &[]);
    let kms = contracts::deploy(rpc, deployer, "DstackKms", &[]);
    let begin = abi::initializeCall {
        owner: deployer,
        appImplementation: implementation,
    };
    let kms = contracts::deploy_proxy(rpc, deployer, kms, begin.abi_encode());
    publish(rpc, kms, KmsKeys::named("kms").root_key());
    kms
}

/// The KMS's contract names this as the KMS's root key.
fn publish(rpc: &Rpc, kms: Address, root: Vec<u8>) {
    let info = abi::KmsInfo {
        k256Pubkey: root.into(),
        caPubkey: b"ca".into(),
        quote: b"quote".into(),
        eventlog: b"log".into(),
    };
    rpc.execute(ACCOUNTS[0].address, kms, &abi::setKmsInfoCall { info });
}

fn cvm(number: u64, app: Address, (device, os_image): (B256, B256), kms: Option<OnchainKms>) -> Cvm {
    let manifest = cloud::ordinary_manifest(CVM);
    let seed = keccak256(format!("cvm {number}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&seed[..16]);
    Cvm {
        number,
        uuid: uuid::Builder::from_random_bytes(bytes).into_uuid().simple().to_string(),
        instance_id: hex::encode(&seed[12..]),
        name: CVM.to_owned(),
        app,
        device,
        os_image,
        kms,
        status: "running".to_owned(),
        compose_hash: cloud::compose_hash(&manifest),
        manifest,
        environment: std::collections::BTreeMap::new(),
        progress: None,
        boot_error: None,
        commits: Vec::new(),
        more: cloud::More::default(),
    }
}
