//! `replicate`: another instance of the same app, at once or in two steps.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use clap::Args;

use super::order::{Order, Terms, finish, record, sealed, show};
use crate::cli::error::CliError;
use crate::cli::failure::Next;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cloud::{Commit, CommitToken, Cvm, Goal, Registration, Replica, Replicated};
use crate::compose::ComposeHash;
use crate::fsutil;

/// Mode of the token's file.
const MODE: u32 = 0o600;
/// Largest token file: a UUID and a line break.
const MAX_TOKEN: u64 = 128;

/// Make another instance of the same app
///
/// On an on-chain KMS the hash, and the device of the node, have to be allowed first. With --prepare-only a commit token is
/// written into a file, to be given to --commit once the owner allowed them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm replicate --cvm my-app --node 18 --wait --yes\n  \
    countersign cvm replicate --cvm my-app --prepare-only --token-file replica.token --yes\n  \
    countersign cvm replicate --cvm my-app --commit --token-file replica.token --compose-hash 0x1234... --yes"
)]
pub(super) struct Replicate {
    /// Node, as `countersign nodes` numbers it [default: the source's]
    #[arg(long, value_name = "N")]
    node: Option<u64>,
    /// File with a new sealed environment, hex [default: the source's]
    #[arg(long, value_name = "FILE")]
    encrypted_env: Option<PathBuf>,
    /// Which revision, when the app runs several; with --commit, the hash that was prepared
    #[arg(long, value_name = "HASH")]
    compose_hash: Option<ComposeHash>,
    /// Get a commit token, and make nothing yet
    #[arg(long, requires = "token_file")]
    prepare_only: bool,
    /// Make the replica that was prepared
    #[arg(long, requires_all = ["token_file", "compose_hash"], conflicts_with_all = ["prepare_only", "node", "encrypted_env"])]
    commit: bool,
    /// File for the commit token (mode 0600)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Transaction that allowed the hash [default: it was allowed earlier]
    #[arg(long, value_name = "HASH", requires = "commit")]
    transaction_hash: Option<B256>,
    #[command(flatten)]
    terms: Terms,
}

impl Replicate {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm replicate")?;
        match (&self.token_file, self.prepare_only, self.commit) {
            (Some(file), true, _) => self.prepare(&order, file).await,
            (Some(file), _, true) => self.commit(&order, file).await,
            _ => self.make(&order).await,
        }
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

    async fn make(&self, order: &Order<'_>) -> Result<Report, CliError> {
        let replica = self.replica()?;
        order.ask(
            "Make a replica of this CVM? It is paid for from its start.",
            &self.facts(),
        )?;
        match order.api.cloud.replicate(&order.id, &replica).await? {
            Replicated::Created(cvm) => made(order, &cvm).await,
            Replicated::HashRequired(prepared) => {
                let mut report = order.first_phase(&prepared);
                report.hint = Some("have hash and device allowed, then run the same again".to_owned());
                Ok(report)
            }
        }
    }

    async fn prepare(&self, order: &Order<'_>, file: &Path) -> Result<Report, CliError> {
        let replica = self.replica()?;
        // On an off-chain KMS the server would make the replica at once.
        let source = order.api.cloud.cvm(&order.id).await?;
        if !source.kms.is_onchain() {
            return Err(CliError::Usage {
                code: "USAGE_KMS_OFFCHAIN",
                message: "no on-chain KMS guards this CVM, so there is nothing to prepare".to_owned(),
                hint: "make the replica at once: leave --prepare-only out".to_owned(),
                next: Next::Command("--help"),
            });
        }
        order.ask(
            "Prepare a replica of this CVM? An earlier token of it dies.",
            &self.facts(),
        )?;
        let raw = order.api.cloud.prepare_replica(&order.id, &replica).await?;
        // The token is on disk before anything is made of the answer.
        let kept = file.with_extension("raw");
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
        "OK".clone_into(&mut report.code);
        report.message = format!(
            "prepared: the owner has to allow {}; the token is kept",
            prepared.compose_hash
        );
        report.hint = Some("have hash and device allowed, then commit".to_owned());
        let (cvm, path) = (order.id.to_string(), file.display().to_string());
        let (cvm, path) = (crate::cli::next::quote(&cvm), crate::cli::next::quote(&path));
        report.next = Some(format!(
            "countersign cvm replicate --cvm {cvm} --commit --token-file {path} --compose-hash {}",
            prepared.compose_hash
        ));
        Ok(report)
    }

    async fn commit(&self, order: &Order<'_>, file: &Path) -> Result<Report, CliError> {
        let text = fsutil::read_secret(file, MAX_TOKEN)?;
        let text = std::str::from_utf8(&text).unwrap_or_default().trim();
        let (Ok(token), Some(hash)) = (CommitToken::new(text), self.compose_hash) else {
            return Err(CliError::Input {
                code: "INPUT_TOKEN",
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
    report.next = Some(super::order::get(&id));
    finish(
        &order.api,
        &order.waiting,
        (&id, Goal::Status("running".to_owned())),
        report,
    )
    .await
}
