//! `create`: provision and commit, in one run or in two.

use std::path::PathBuf;

use alloy::primitives::{Address, B256};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::order::sealed;
use super::patch::names;
use crate::cli::act::api::{Api, get, record, show};
use crate::cli::act::waiting::{Ordered, Waiting, finish};
use crate::cli::args::values;
use crate::cli::args::{Agree, gigabytes, megabytes};
use crate::cli::exit::Exit;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::files::{compose_file, text_file};
use crate::cli::show::report::Report;
use crate::cloud::{
    KmsId,
    patch::Gpus,
    provision::{CommitProvision, CvmName, KmsKind, Provision, Provisioned},
    settle::Goal,
};
use crate::code::Code;
use crate::compose::{ComposeHash, Manifest};
use crate::env::EnvName;
use crate::text::option;
use crate::upgrade::steps::check_sent;

/// Make a new CVM
///
/// It is provisioned first: a compose hash comes back and nothing runs yet. With Phala's own KMS it is then committed at
/// once. With --provision-only it stops in between, so that an environment can be sealed for the app's key; --commit goes
/// on. On an on-chain KMS the app's contract has to be deployed in between, and its address is the app id.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm create --name my-app -c docker-compose.yml --wait --yes\n  \
    countersign cvm create --name my-app -c docker-compose.yml --kms base --yes\n  \
    countersign cvm create --commit --app-id 0x1234... --compose-hash 0x5678... --encrypted-env sealed.hex --yes"
)]
pub(super) struct Create {
    /// Name: 5 to 63 letters, digits and hyphens
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "commit",
        help_heading = "What to make"
    )]
    name: Option<CvmName>,
    /// Docker Compose file
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "commit",
        help_heading = "What to make"
    )]
    compose: Option<PathBuf>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    guard: Guard,
    /// Stop after provisioning
    #[arg(long, conflicts_with_all = ["commit", "wait"], help_heading = "Steps")]
    provision_only: bool,
    /// Commit what was provisioned
    #[arg(long, requires_all = ["app_id", "compose_hash"], conflicts_with_all = ["name", "compose"], help_heading = "Steps")]
    commit: bool,
    /// Hash that provisioning gave
    #[arg(long, value_name = "HASH", requires = "commit", help_heading = "Steps", value_parser = values::compose_hash)]
    compose_hash: Option<ComposeHash>,
    /// Transaction that deployed the app's contract
    #[arg(long, value_name = "HASH", requires = "commit", help_heading = "Steps", value_parser = values::word)]
    transaction_hash: Option<B256>,
    /// Who deployed the app's contract
    #[arg(long, value_name = "ADDRESS", requires = "commit", help_heading = "Steps", value_parser = values::address)]
    deployer: Option<Address>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    agree: Agree,
}

/// What the CVM is made of.
#[derive(Debug, Args)]
struct Shape {
    /// Script that runs before the containers
    #[arg(long, value_name = "FILE", help_heading = "What to make")]
    pre_launch_script: Option<PathBuf>,
    /// Environment variable that the guest may receive; repeat it, the order counts
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "What to make")]
    allowed_env: Option<Vec<EnvName>>,
    /// File with the sealed environment, hex
    #[arg(long, value_name = "FILE", help_heading = "What to make")]
    encrypted_env: Option<PathBuf>,
    /// File with text that the guest is given as it is
    #[arg(long, value_name = "FILE", help_heading = "What to make", hide_short_help = true)]
    user_config: Option<PathBuf>,
    /// Whether anybody may read the logs
    #[arg(long, value_name = "BOOL", help_heading = "What to make", hide_short_help = true)]
    public_logs: Option<bool>,
    /// Whether anybody may read system information
    #[arg(long, value_name = "BOOL", help_heading = "What to make", hide_short_help = true)]
    public_sysinfo: Option<bool>,
    /// Whether anybody may read TCB information
    #[arg(long, value_name = "BOOL", help_heading = "What to make", hide_short_help = true)]
    public_tcbinfo: Option<bool>,
    /// Have the public directory name it
    #[arg(long, help_heading = "What to make")]
    listed: bool,
    /// Instance type, for example tdx.small
    #[arg(long, value_name = "NAME", help_heading = "Where it runs", value_parser = values::filled)]
    instance_type: Option<String>,
    /// Virtual CPUs, instead of an instance type
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "instance_type",
        help_heading = "Where it runs", value_parser = values::whole::<u32>(1..))]
    vcpu: Option<u32>,
    /// Memory, MB, instead of an instance type
    #[arg(
        long,
        value_name = "MB",
        conflicts_with = "instance_type",
        value_parser = megabytes,
        help_heading = "Where it runs"
    )]
    memory: Option<u32>,
    /// Disk, GB
    #[arg(long, value_name = "GB", value_parser = gigabytes, help_heading = "Where it runs")]
    disk_size: Option<u32>,
    /// How many GPUs
    #[arg(long, value_name = "N", help_heading = "Where it runs", value_parser = values::whole::<u32>(0..), hide_short_help = true)]
    gpus: Option<u32>,
    /// Node, as `countersign nodes` numbers it
    #[arg(long, value_name = "N", help_heading = "Where it runs", value_parser = values::whole::<u64>(0..))]
    node: Option<u64>,
    /// Region to find a node in
    #[arg(long, value_name = "NAME", help_heading = "Where it runs", value_parser = values::filled, hide_short_help = true)]
    region: Option<String>,
    /// OS image
    #[arg(long, value_name = "NAME", help_heading = "Where it runs", value_parser = values::filled, hide_short_help = true)]
    image: Option<String>,
}

/// Who guards it.
#[derive(Debug, Args)]
struct Guard {
    /// Kind of KMS
    #[arg(long, value_enum, help_heading = "Who guards it")]
    kms: Option<Kind>,
    /// KMS by id or name
    #[arg(long, value_name = "ID", help_heading = "Who guards it")]
    kms_id: Option<KmsId>,
    /// Contract of the KMS, where a chain has several
    #[arg(long, value_name = "ADDRESS", help_heading = "Who guards it", value_parser = values::address, hide_short_help = true)]
    kms_contract: Option<Address>,
    /// App id: the provision's, or the address of the deployed contract
    #[arg(long, value_name = "APP", help_heading = "Who guards it", value_parser = values::address, hide_short_help = true)]
    app_id: Option<Address>,
    /// Number that the app id follows from; Phala's own KMS only
    #[arg(
        long = "app-nonce", alias = "nonce",
        value_name = "N",
        requires = "app_id",
        conflicts_with = "commit",
        help_heading = "Who guards it", value_parser = values::whole::<u64>(0..), hide_short_help = true)]
    nonce: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Phala's own, without a contract
    Phala,
    /// A contract on Ethereum
    Ethereum,
    /// A contract on Base
    Base,
}

impl From<Kind> for KmsKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Phala => Self::Phala,
            Kind::Ethereum => Self::Ethereum,
            Kind::Base => Self::Base,
        }
    }
}

impl Create {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        if self.commit {
            return self.go_on(&api).await;
        }
        let (Some(name), Some(compose)) = (&self.name, &self.compose) else {
            return Err(missing());
        };
        let manifest = self.shape.manifest(&compose_file(compose)?)?;
        let accepted = &api.settings.limits.accepted;
        // The owners of an app that is there approved a text; what another environment makes of it they did not see.
        let guarded = self.guard.app_id.and(self.shape.encrypted_env.as_ref());
        let sealed = guarded.map(|_| self.shape.allowed_env.as_deref().unwrap_or_default());
        check_sent(&Manifest::from(manifest.clone()), sealed, accepted)?;
        let wanted = self.wanted(name.clone(), manifest)?;
        let facts = [
            ("name", name.to_string()),
            ("Docker Compose", compose.display().to_string()),
        ];
        api.ask("Make this CVM? It is paid for from its start.", &facts)?;
        let made = api.cloud.provision(&wanted).await?;
        match made.app_id {
            Some(app) if !self.provision_only => {
                let commit = CommitProvision {
                    env_keys: names(self.shape.allowed_env.as_deref()),
                    encrypted_env: wanted.encrypted_env,
                    ..CommitProvision::new(app, made.compose_hash)
                };
                self.committed(&api, &commit).await
            }
            _ => Ok(self.provisioned(&made)),
        }
    }

    /// The second step alone.
    async fn go_on(&self, api: &Api<'_>) -> Result<Report, CliError> {
        let (Some(app), Some(hash)) = (self.guard.app_id, self.compose_hash) else {
            return Err(missing());
        };
        let commit = CommitProvision {
            encrypted_env: self.shape.encrypted_env.as_deref().map(sealed).transpose()?,
            env_keys: names(self.shape.allowed_env.as_deref()),
            kms_id: self.guard.kms_id.clone(),
            contract_address: self.deployer.map(|_| app),
            deployer_address: self.deployer,
            transaction_hash: self.transaction_hash,
            ..CommitProvision::new(app, hash)
        };
        // What was provisioned by this hash is not known here.
        check_sent(&Manifest::default(), None, &api.settings.limits.accepted)?;
        let facts = [("app", app.to_string()), ("compose hash", hash.to_string())];
        api.ask("Make the provisioned CVM? It is paid for from its start.", &facts)?;
        self.committed(api, &commit).await
    }

    async fn committed(&self, api: &Api<'_>, commit: &CommitProvision) -> Result<Report, CliError> {
        let cvm = api.cloud.commit_provision(commit).await?;
        let mut report = Report::done("cvm create", "the CVM is made");
        show(&mut report.page, &cvm);
        report.data = Some(record(&cvm));
        report.facts.upgrade.app = Some(commit.app_id);
        report.facts.upgrade.compose_hash = Some(commit.compose_hash);
        let Some(id) = cvm.uuid.as_deref().and_then(|uuid| uuid.parse().ok()) else {
            return Ok(report);
        };
        report.next = Some(get(&id));
        report.facts.upgrade.cvm = Some(id.to_string());
        let ordered = Ordered {
            id: &id,
            goal: Goal::Status("running".to_owned()),
        };
        finish(api, &self.waiting, ordered, report).await
    }

    fn wanted(&self, name: CvmName, manifest: Map<String, Value>) -> Result<Provision, CliError> {
        let (shape, guard) = (&self.shape, &self.guard);
        Ok(Provision {
            listed: shape.listed,
            instance_type: shape.instance_type.clone(),
            vcpu: shape.vcpu,
            memory: shape.memory,
            disk_size: shape.disk_size,
            node_id: shape.node,
            region: shape.region.clone(),
            image: shape.image.clone(),
            kms: guard.kms.map(KmsKind::from),
            kms_contract: guard.kms_contract,
            kms_id: guard.kms_id.clone(),
            nonce: guard.nonce,
            app_id: guard.app_id,
            env_keys: names(shape.allowed_env.as_deref()),
            encrypted_env: shape.encrypted_env.as_deref().map(sealed).transpose()?,
            user_config: shape.user_config.as_deref().map(text_file).transpose()?,
            gpus: shape.gpus.map(|count| Gpus::Count {
                count,
                product_name: None,
            }),
            ..Provision::new(name, manifest)
        })
    }

    /// What is known between the two steps, and how to go on.
    fn provisioned(&self, made: &Provisioned) -> Report {
        let mut report = Report::done("cvm create", "provisioned; nothing runs yet");
        let hash = made.compose_hash;
        report.facts.upgrade.compose_hash = Some(hash);
        report.facts.upgrade.app = made.app_id;
        report.facts.upgrade.chain_id = made.kms.chain_id;
        report.page.facts(&[
            ("compose hash", Some(hash.to_string())),
            ("app", made.app_id.map(|app| app.to_string())),
            ("key to seal for", made.env_pubkey.clone()),
            ("KMS contract", made.kms.kms_contract.map(|kms| kms.to_string())),
            ("device", made.device_id.map(|device| device.to_string())),
        ]);
        let app = made.app_id.map_or_else(|| "APP".to_owned(), |app| app.to_string());
        let mut next = format!("countersign cvm create --commit --app-id {app} --compose-hash {hash}");
        if let Some(kms) = made
            .raw
            .get("kms_id")
            .and_then(Value::as_str)
            .or(made.kms.slug.as_deref())
        {
            next = format!("{next} {}", option("--kms-id", kms));
        }
        if made.app_id.is_none() {
            next.push_str(" --deployer DEPLOYER");
            report.hint = Some(
                "deploy the app's contract with this hash and device allowed; its address is the app id".to_owned(),
            );
            if !self.provision_only {
                report.exit = Exit::State;
                report.code = Code::AppNeeded;
                "an on-chain KMS guards it, so the app's contract has to be deployed before it is committed"
                    .clone_into(&mut report.message);
            }
        }
        report.next = Some(next);
        report.data = Some(json!({ "provisioned": made }));
        report
    }
}

impl Shape {
    /// The manifest of this compose text; what is not said, the server decides.
    fn manifest(&self, compose: &str) -> Result<Map<String, Value>, CliError> {
        let mut manifest = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                manifest.insert(name.to_owned(), value);
            }
        };
        let script = self.pre_launch_script.as_deref().map(text_file).transpose()?;
        add("docker_compose_file", Some(compose.into()));
        add("pre_launch_script", script.map(Value::from));
        add("allowed_envs", names(self.allowed_env.as_deref()).map(Value::from));
        add("public_logs", self.public_logs.map(Value::from));
        add("public_sysinfo", self.public_sysinfo.map(Value::from));
        add("public_tcbinfo", self.public_tcbinfo.map(Value::from));
        Ok(manifest)
    }
}

/// clap asks for them; this is for whoever changes that.
fn missing() -> CliError {
    CliError::Usage {
        code: Code::UsageMissingArgument,
        message: "a new CVM needs a name and a compose file, a commit needs an app id and a hash".to_owned(),
        hint: "correct the arguments".to_owned(),
        next: Next::Command("--help"),
    }
}
