//! `patch`, `resources`, `visibility`, `listed`.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::Args;

use super::go_on::{GoOn, Wish};
use super::order::{Order, Terms, sealed};
use crate::cli::args::besides::Besides;
use crate::cli::args::values;
use crate::cli::args::{gigabytes, megabytes};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::files::{compose_file, text_file, with_besides};
use crate::cli::show::report::Report;
use crate::cloud::{
    configure::{Changed, ResourceChange, Visibility},
    patch::Patch,
    settle::Goal,
    updates::Registration,
};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash};
use crate::env::EnvName;
use crate::upgrade::model::EnvRequest;

/// Change several settings in one request; what the manifest covers needs an upgrade on an on-chain KMS
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm patch my-app --vcpu 4 --memory 8192 --yes\n  \
    countersign cvm patch my-app --compose-hash 0x1234... --transaction-hash 0x5678... --yes"
)]
pub(super) struct PatchArgs {
    /// Docker Compose file
    #[arg(short, long, value_name = "FILE", help_heading = "What changes")]
    compose: Option<PathBuf>,
    /// Script that runs before the containers
    #[arg(long, value_name = "FILE", help_heading = "What changes", hide_short_help = true)]
    pre_launch_script: Option<PathBuf>,
    /// Environment variable that the guest may receive; repeat it, the order counts
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "What changes",
        hide_short_help = true
    )]
    allowed_env: Option<Vec<EnvName>>,
    /// Whether anybody may read the logs
    #[arg(long, value_name = "BOOL", help_heading = "What changes", hide_short_help = true)]
    public_logs: Option<bool>,
    /// Whether anybody may read system information
    #[arg(long, value_name = "BOOL", help_heading = "What changes", hide_short_help = true)]
    public_sysinfo: Option<bool>,
    /// Whether anybody may read TCB information
    #[arg(long, value_name = "BOOL", help_heading = "What changes", hide_short_help = true)]
    public_tcbinfo: Option<bool>,
    /// File with the sealed environment, hex
    #[arg(long, value_name = "FILE", help_heading = "What changes", hide_short_help = true)]
    encrypted_env: Option<PathBuf>,
    /// Virtual CPUs
    #[arg(long, value_name = "N", help_heading = "What changes", value_parser = values::whole::<u32>(1..))]
    vcpu: Option<u32>,
    /// Memory, MB
    #[arg(long, value_name = "MB", value_parser = megabytes, help_heading = "What changes")]
    memory: Option<u32>,
    /// Disk, GB
    #[arg(long, value_name = "GB", value_parser = gigabytes, help_heading = "What changes")]
    disk_size: Option<u32>,
    /// OS image
    #[arg(long, value_name = "NAME", help_heading = "What changes", value_parser = values::filled, hide_short_help = true)]
    image: Option<String>,
    #[command(flatten)]
    besides: Besides,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    on: GoOn,
    #[command(flatten)]
    terms: Terms,
}

/// Second phase of a change: what the owner allowed.
#[derive(Debug, Clone, Args)]
pub(super) struct Proof {
    /// Second phase: hash that the first one named and the app's owner allowed
    #[arg(long, value_name = "HASH", help_heading = "Second phase", value_parser = values::compose_hash)]
    pub(super) compose_hash: Option<ComposeHash>,
    /// Second phase: transaction that allowed it [default: it was allowed earlier]
    #[arg(long, value_name = "HASH", requires = "compose_hash", help_heading = "Second phase", value_parser = values::word)]
    transaction_hash: Option<B256>,
}

/// Change vCPUs, memory or disk; the CVM restarts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm resources my-app --vcpu 4 --memory 8192 --wait --yes")]
pub(super) struct Resources {
    /// Virtual CPUs
    #[arg(long, value_name = "N", value_parser = values::whole::<u32>(1..))]
    vcpu: Option<u32>,
    /// Memory, MB
    #[arg(long, value_name = "MB", value_parser = megabytes)]
    memory: Option<u32>,
    /// Disk, GB
    #[arg(long, value_name = "GB", value_parser = gigabytes)]
    disk_size: Option<u32>,
    /// Instance type, for example tdx.medium
    #[arg(long, value_name = "NAME", value_parser = values::filled)]
    instance_type: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

/// Change who may read what a CVM says of itself; needs an upgrade on an on-chain KMS
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm visibility my-app --public-sysinfo true --public-logs false --yes")]
pub(super) struct VisibilityArgs {
    /// Whether anybody may read system information
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, hide_short_help = true)]
    public_sysinfo: bool,
    /// Whether anybody may read the logs
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, hide_short_help = true)]
    public_logs: bool,
    /// Whether anybody may read TCB information [default: as it is]
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    public_tcbinfo: Option<bool>,
    #[command(flatten)]
    on: GoOn,
    #[command(flatten)]
    terms: Terms,
}

/// Say whether the public directory names a CVM
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Example:\n  countersign cvm listed my-app false --yes"
)]
pub(super) struct Listed {
    #[command(flatten)]
    terms: Terms,
    /// true or false
    #[arg(value_name = "BOOL", action = clap::ArgAction::Set)]
    listed: bool,
}

impl Proof {
    /// What proves it to the server, in the second phase.
    pub(super) fn approved(&self) -> Option<crate::cloud::configure::Approved> {
        Some(crate::cloud::configure::Approved {
            hash: self.compose_hash?,
            by: self
                .transaction_hash
                .map_or(Registration::Already, Registration::Transaction),
        })
    }
}

impl PatchArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm patch")?;
        let patch = self.patch()?;
        if let Some(approved) = self.proof.approved() {
            if patch != Patch::default() {
                return Err(CliError::Usage {
                    code: Code::UsageSecondPhase,
                    message: "the second phase names the hash alone: the change is the first phase's".to_owned(),
                    hint: "leave the change out, or leave --compose-hash out".to_owned(),
                    next: Next::Command("--help"),
                });
            }
            order.check_unseen(None).await?;
            order.ask(
                "Carry the allowed change out?",
                &[("compose hash", approved.hash.to_string())],
            )?;
            let since = order.before().await?.running(Some(approved.hash));
            let accepted = order.api.cloud.confirm(&order.id, approved.hash, approved.by).await?;
            return order.with_operation("the change was taken", &accepted, since).await;
        }
        if patch == Patch::default() {
            return Err(nothing());
        }
        let mut facts = changes(&patch);
        if let Some(image) = &patch.image {
            let allowed = order.check_image(image).await?;
            facts.push(("allowed by the KMS", allowed));
        }
        let names = self.allowed_env.as_deref().unwrap_or_default();
        let sealed = patch.encrypted_env.as_ref().map(|_| names);
        order.check(&patch.changes, sealed).await?;
        order.ask("Change this CVM? It restarts.", &facts)?;
        let since = order.before().await?;
        let patched = order.api.cloud.patch(&order.id, &patch).await?.read()?;
        let wish = Wish {
            on: &self.on,
            words: self.as_upgrade(&patch),
            since,
            env: patch.encrypted_env.clone().map(|blob| EnvRequest::Sealed {
                blob,
                names: self.allowed_env.clone().unwrap_or_default(),
            }),
            patch: Patch {
                encrypted_env: None,
                ..patch
            },
        };
        order.with_phases("the change was taken", patched, wish).await
    }

    fn patch(&self) -> Result<Patch, CliError> {
        let text = |path: &Option<PathBuf>| path.as_deref().map(text_file).transpose();
        let patch = Patch {
            changes: Changes {
                docker_compose_file: self.compose.as_deref().map(compose_file).transpose()?,
                pre_launch_script: text(&self.pre_launch_script)?,
                allowed_envs: names(self.allowed_env.as_deref()),
                public_logs: self.public_logs,
                public_sysinfo: self.public_sysinfo,
                public_tcbinfo: self.public_tcbinfo,
            },
            vcpu: self.vcpu,
            memory: self.memory,
            disk_size: self.disk_size,
            image: self.image.clone(),
            encrypted_env: self.encrypted_env.as_deref().map(sealed).transpose()?,
            ..Patch::default()
        };
        with_besides(patch, &self.besides)
    }

    /// The arguments of `prepare` that ask for the same; none says that an environment was sealed elsewhere.
    fn as_upgrade(&self, patch: &Patch) -> Option<Vec<String>> {
        let mut words = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let text = |value: Option<u32>| value.map(|value| value.to_string());
        let flag = |value: Option<bool>| value.map(|value| value.to_string());
        add("--compose", path(&self.compose));
        add("--pre-launch-script", path(&self.pre_launch_script));
        add(
            "--allowed-env",
            names(self.allowed_env.as_deref()).map(|names| names.join(",")),
        );
        add("--public-logs", flag(self.public_logs));
        add("--public-sysinfo", flag(self.public_sysinfo));
        add("--public-tcbinfo", flag(self.public_tcbinfo));
        add("--vcpu", text(self.vcpu));
        add("--memory", text(self.memory));
        add("--disk-size", text(self.disk_size));
        add("--image", self.image.clone());
        words.extend(self.besides.words());
        patch.encrypted_env.is_none().then_some(words)
    }
}

pub(super) fn names(names: Option<&[EnvName]>) -> Option<Vec<String>> {
    names.map(|names| names.iter().map(EnvName::to_string).collect())
}

/// The changes, for whoever agrees to them: long texts by their length.
fn changes(patch: &Patch) -> Vec<(&'static str, String)> {
    let long = |text: &Option<String>| text.as_ref().map(|text| format!("{} bytes", text.len()));
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let inside = &patch.changes;
    let all = [
        ("Docker Compose", long(&inside.docker_compose_file)),
        ("script", long(&inside.pre_launch_script)),
        ("variables", inside.allowed_envs.as_ref().map(|names| names.join(", "))),
        ("public logs", flag(inside.public_logs)),
        ("public system information", flag(inside.public_sysinfo)),
        ("public TCB information", flag(inside.public_tcbinfo)),
        ("vCPUs", number(patch.vcpu)),
        ("memory, MB", number(patch.memory)),
        ("disk, GB", number(patch.disk_size)),
        ("OS image", patch.image.clone()),
        ("sealed environment", long(&patch.encrypted_env)),
        ("user config", long(&patch.user_config)),
        (
            "GPUs",
            patch
                .gpus
                .as_ref()
                .map(|gpus| serde_json::to_string(gpus).unwrap_or_default()),
        ),
        (
            "shutdown timeout, s",
            patch
                .shutdown_timeout
                .map(|time| time.map_or("none".to_owned(), |time| time.to_string())),
        ),
        ("force a late shutdown", flag(patch.allow_force_stop)),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn nothing() -> CliError {
    CliError::Usage {
        code: Code::UsageNothingToChange,
        message: "nothing changes: no change was named".to_owned(),
        hint: "name what changes, for example --vcpu 4".to_owned(),
        next: Next::Command("--help"),
    }
}

impl Resources {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm resources")?;
        let change = ResourceChange {
            vcpu: self.vcpu,
            memory: self.memory,
            disk_size: self.disk_size,
            instance_type: self.instance_type,
            allow_restart: None,
        };
        if change == ResourceChange::default() {
            return Err(nothing());
        }
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let facts = [
            ("vCPUs", number(change.vcpu)),
            ("memory, MB", number(change.memory)),
            ("disk, GB", number(change.disk_size)),
            ("instance type", change.instance_type.clone()),
        ];
        let facts: Vec<_> = facts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        order.ask("Change this CVM's resources? It restarts.", &facts)?;
        let since = order.before().await?;
        let changed = order.api.cloud.set_resources(&order.id, &change).await?;
        let words = [
            ("--vcpu", number(change.vcpu)),
            ("--memory", number(change.memory)),
            ("--disk-size", number(change.disk_size)),
        ];
        let words = words
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let wish = Wish {
            on: &GoOn::default(),
            patch: Patch::default(),
            env: None,
            since,
            words: Some(words.flatten().collect()),
        };
        order.with_change("the new resources were taken", changed, wish).await
    }
}

impl VisibilityArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm visibility")?;
        let visibility = Visibility {
            public_sysinfo: self.public_sysinfo,
            public_logs: self.public_logs,
            public_tcbinfo: self.public_tcbinfo,
        };
        let mut facts = vec![
            ("--public-sysinfo", self.public_sysinfo.to_string()),
            ("--public-logs", self.public_logs.to_string()),
        ];
        facts.extend(
            self.public_tcbinfo
                .map(|public| ("--public-tcbinfo", public.to_string())),
        );
        order.ask("Change who may read what this CVM says of itself? It restarts.", &facts)?;
        let upgrade: Vec<String> = facts
            .iter()
            .flat_map(|(name, value)| [(*name).to_owned(), value.clone()])
            .collect();
        let since = order.before().await?;
        let changed = order.api.cloud.set_visibility(&order.id, visibility).await?;
        let changes = Changes {
            public_sysinfo: Some(self.public_sysinfo),
            public_logs: Some(self.public_logs),
            public_tcbinfo: self.public_tcbinfo,
            ..Changes::default()
        };
        let wish = self.on.wish(changes, upgrade, since);
        order.with_change("the new visibility was taken", changed, wish).await
    }
}

impl Listed {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm listed")?;
        let question = if self.listed {
            "Have the public directory name this CVM?"
        } else {
            "Take this CVM out of the public directory?"
        };
        order.ask(question, &[])?;
        let cvm = order.api.cloud.set_listed(&order.id, self.listed).await?;
        let said = if self.listed {
            "the CVM is listed"
        } else {
            "the CVM is not listed"
        };
        order.with_record(said, &cvm, Goal::Listed(self.listed)).await
    }
}

impl Order<'_> {
    /// The end of a change whose answer may be a record, an operation, or a hash to allow.
    async fn with_change(&self, message: &str, changed: Changed, wish: Wish<'_>) -> Result<Report, CliError> {
        match changed {
            Changed::Updated(cvm) => self.with_record(message, &cvm, wish.since.next("running")).await,
            Changed::Accepted(accepted) => self.with_operation(message, &accepted, wish.since).await,
            Changed::HashRequired(prepared) => self.hash_required(&prepared, wish).await,
        }
    }
}
