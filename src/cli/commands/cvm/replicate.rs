//! `replicate`: another instance of the same app: at once, in two steps, or as an upgrade that the app's owner approves.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use clap::Args;

use super::go_on::GoOn;
use super::order::{Order, Terms, sealed};
use crate::chain::PolicyChange;
use crate::cli::act::api::{get, record, show};
use crate::cli::act::waiting::{Ordered, finish};
use crate::cli::args::values;
use crate::cli::args::{Governor, Workload};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::out_file::OutFile;
use crate::cli::session::settings;
use crate::cli::show::report::Report;
use crate::cloud::{
    Cvm,
    patch::Patch,
    replicas::{Replica, Replicated},
    settle::Goal,
    updates::{Commit, CommitToken, Registration},
};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash};
use crate::fsutil;
use crate::text::{option, quote_os};
use crate::upgrade::model::{EnvRequest, Intent, Placement, Target};

/// Mode of the token's file.
const MODE: u32 = 0o600;
/// Largest token file: a UUID and a line break.
const MAX_TOKEN: u64 = 128;

/// Make another instance of the same app
///
/// On an on-chain KMS the hash, and the device of the node, have to be allowed first. With --dir the replica is prepared as
/// an upgrade: the same checks, one approval for what is missing, the proof, and one replica however often it is run again.
/// With --prepare-only a commit token is written into a file, to be given to --commit once the owner allowed them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm replicate my-app --node 18 --wait --yes\n  \
    countersign cvm replicate my-app --node 18 --dir replica --add-device 0x1234...\n  \
    countersign cvm replicate my-app --prepare-only --token-file replica.token --yes\n  \
    countersign cvm replicate my-app --commit --token-file replica.token --compose-hash 0x1234... --yes"
)]
pub(super) struct Replicate {
    /// Node, as `countersign nodes` numbers it [default: the source's]
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(0..))]
    node: Option<u64>,
    /// File with a new sealed environment, hex [default: the source's]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["env_file", "env"])]
    encrypted_env: Option<PathBuf>,
    /// Which revision, when the app runs several; with --commit, the hash that was prepared
    #[arg(long, value_name = "HASH", conflicts_with = "dir", value_parser = values::compose_hash)]
    compose_hash: Option<ComposeHash>,
    /// Get a commit token, and make nothing yet
    #[arg(long, requires = "token_file", conflicts_with = "dir")]
    prepare_only: bool,
    /// Make the replica that was prepared
    #[arg(long, requires_all = ["token_file", "compose_hash"], conflicts_with_all = ["prepare_only", "node", "encrypted_env", "dir"])]
    commit: bool,
    /// File for the commit token (mode 0600)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Transaction that allowed the hash [default: it was allowed earlier]
    #[arg(long, value_name = "HASH", requires = "commit", value_parser = values::word)]
    transaction_hash: Option<B256>,
    /// Let this device run the app, by the same approval; repeat it
    #[arg(long, value_name = "ID", requires = "dir", help_heading = "As an upgrade", value_parser = values::word)]
    add_device: Vec<B256>,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    governor: Governor,
    #[command(flatten)]
    on: GoOn,
    #[command(flatten)]
    terms: Terms,
}

impl Replicate {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm replicate")?;
        if self.on.dir.is_some() {
            return self.go_on(&order).await;
        }
        self.refuse_ceremony()?;
        match (&self.token_file, self.prepare_only, self.commit) {
            (Some(file), true, _) => self.prepare(&order, file).await,
            (Some(file), _, true) => self.commit(&order, file).await,
            _ => self.make(&order).await,
        }
    }

    /// What only an upgrade does is not left out in silence.
    fn refuse_ceremony(&self) -> Result<(), CliError> {
        let governor = self.governor.proposer.is_some() || self.governor.delay.is_some();
        if self.workload.is_empty() && !governor {
            return Ok(());
        }
        Err(CliError::Usage {
            code: Code::UsageNeedsDir,
            message: "only an upgrade seals an environment or asks a timelock".to_owned(),
            hint: "name a directory for it by --dir".to_owned(),
            next: Next::with("--dir DIR"),
        })
    }

    /// As an upgrade; nothing is made before its commit.
    async fn go_on(&self, order: &Order<'_>) -> Result<Report, CliError> {
        let session = order.session();
        let tell = |news: &str| session.out.progress(news);
        let env = match &self.encrypted_env {
            Some(file) => Some(EnvRequest::Sealed {
                blob: sealed(file)?,
                names: Vec::new(),
            }),
            None => settings::workload(&self.workload, &session.env, &tell)?,
        };
        let intent = Intent {
            target: Target::Replica(Placement {
                node: self.node,
                ..Placement::default()
            }),
            policy: self.add_device.iter().copied().map(PolicyChange::AddDevice).collect(),
            timelock: settings::timelock(&self.governor),
            ..order.intent(Patch::default(), env)?
        };
        order.as_upgrade(intent, &self.on).await
    }

    fn replica(&self) -> Result<Replica, CliError> {
        Ok(Replica {
            node_id: self.node,
            encrypted_env: self.encrypted_env.as_deref().map(sealed).transpose()?,
            compose_hash: self.compose_hash,
        })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let node = self.node.map(|node| ("node", node.to_string()));
        let hash = self.compose_hash.map(|hash| ("compose hash", hash.to_string()));
        [node, hash].into_iter().flatten().collect()
    }

    /// Whether a replica may be made of what runs, with an environment of its own.
    async fn check(&self, order: &Order<'_>) -> Result<(), CliError> {
        let sealed = self.encrypted_env.as_ref().map(|_| [].as_slice());
        order.check(&Changes::default(), sealed).await
    }

    async fn make(&self, order: &Order<'_>) -> Result<Report, CliError> {
        let replica = self.replica()?;
        self.check(order).await?;
        order.ask(
            "Make a replica of this CVM? It is paid for from its start.",
            &self.facts(),
        )?;
        match order.api.cloud.replicate(&order.id, &replica).await? {
            Replicated::Created(cvm) => made(order, &cvm).await,
            Replicated::HashRequired(prepared) => {
                let mut report = order.first_phase(&prepared);
                report.hint = Some(
                    "have hash and device allowed: with --dir DIR as an upgrade, which asks for both at once"
                        .to_owned(),
                );
                report.next = Some(order.prepare_command(None));
                Ok(report)
            }
        }
    }

    async fn prepare(&self, order: &Order<'_>, file: &Path) -> Result<Report, CliError> {
        let replica = self.replica()?;
        let kept = file.with_extension("raw");
        OutFile::strict(file).check(is_token)?;
        OutFile::strict(&kept).check(|found| serde_json::from_slice::<serde_json::Value>(found).is_ok())?;
        // On an off-chain KMS the server would make the replica at once.
        let source = order.api.cloud.cvm(&order.id).await?;
        if !source.kms.is_onchain() {
            return Err(CliError::Usage {
                code: Code::UsageKmsOffchain,
                message: "no on-chain KMS guards this CVM, so there is nothing to prepare".to_owned(),
                hint: "make the replica at once: leave --prepare-only out".to_owned(),
                next: Next::Command("--help"),
            });
        }
        self.check(order).await?;
        order.ask(
            "Prepare a replica of this CVM? An earlier token of it is replaced.",
            &self.facts(),
        )?;
        let raw = order.api.cloud.prepare_replica(&order.id, &replica).await?;
        // The token is on disk before anything is made of the answer.
        fsutil::write(&kept, &raw.bytes, MODE)?;
        let prepared = match raw.read_replica()? {
            Replicated::HashRequired(prepared) => prepared,
            Replicated::Created(cvm) => return made(order, &cvm).await,
        };
        let Some(token) = &prepared.commit_token else {
            return Ok(order.first_phase(&prepared));
        };
        fsutil::write(file, token.expose().as_bytes(), MODE)?;
        fsutil::remove(&kept)?;
        let mut report = order.first_phase(&prepared);
        report.exit = crate::cli::exit::Exit::Done;
        report.code = Code::Ok;
        report.message = format!(
            "prepared: the owner has to allow {}; the token is kept",
            prepared.compose_hash
        );
        report.hint = Some("have hash and device allowed, then commit".to_owned());
        let cvm = option("--cvm", &order.id.to_string());
        let path = quote_os(file.as_os_str());
        report.next = Some(format!(
            "countersign cvm replicate {cvm} --commit --token-file {path} --compose-hash {}",
            prepared.compose_hash
        ));
        Ok(report)
    }

    async fn commit(&self, order: &Order<'_>, file: &Path) -> Result<Report, CliError> {
        order.check_unseen(None).await?;
        let text = fsutil::read_secret(file, MAX_TOKEN)?;
        let text = std::str::from_utf8(&text).unwrap_or_default().trim();
        let (Ok(token), Some(hash)) = (CommitToken::new(text), self.compose_hash) else {
            return Err(CliError::Input {
                code: Code::InputToken,
                message: format!("`{}` holds no commit token", file.display()),
                hint: "prepare the replica again with --prepare-only".to_owned(),
            });
        };
        order.ask(
            "Make the prepared replica? It is paid for from its start.",
            &self.facts(),
        )?;
        let by = self
            .transaction_hash
            .map_or(Registration::Already, Registration::Transaction);
        let token = &token;
        let cvm = order
            .api
            .cloud
            .commit_replica(&order.id, Commit { token, hash, by })
            .await?;
        made(order, &cvm).await
    }
}

async fn made(order: &Order<'_>, cvm: &Cvm) -> Result<Report, CliError> {
    let mut report = order.taken("the replica is made");
    show(&mut report.page, cvm);
    report.data = Some(record(cvm));
    let Some(id) = cvm.uuid.as_deref().and_then(|uuid| uuid.parse().ok()) else {
        return Ok(report);
    };
    report.next = Some(get(&id));
    let ordered = Ordered {
        id: &id,
        goal: Goal::Status("running".to_owned()),
    };
    finish(&order.api, &order.waiting, ordered, report).await
}

/// Whether a file holds a commit token, and nothing else: another one takes its place.
fn is_token(found: &[u8]) -> bool {
    let text = std::str::from_utf8(found).unwrap_or_default().trim();
    CommitToken::new(text).is_ok()
}
