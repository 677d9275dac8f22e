//! `app deploy`: a new app from a KMS's factory, with its owner from the start. Whoever sends the transaction does so with
//! tools of their own; here the call is made and tried, and afterwards the app is proved.

use std::path::PathBuf;

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::json;

use crate::chain::{
    BlockRef, Call, Chain, DeployFailure, DeployedApp, FactoryForm, FactoryTrial, Finality, NewApp, is_known_kms,
};
use crate::cli::args::{Reach, Workload};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::failure::{Commands as _, Next};
use crate::cli::next::quote;
use crate::cli::report::Report;
use crate::cli::session::{Outside, Session};
use crate::cli::settings::{self, Settings, Typed};
use crate::cloud::KmsId;
use crate::compose::ComposeHash;
use crate::env::EnvName;
use crate::fsutil;
use crate::safe::SafeInfo;
use crate::safe::builder_file::{self, Batch, Form};
use crate::upgrade::{EnvRequest, UpgradeError, Warning, owner_doubts, seal_new};

/// Make a new app's contract, with its owner from the start
///
/// Without --transaction-hash it prints the call of the KMS's factory, tried as --from would make it: nothing is sent. A
/// key sends it, or a Safe that imports --out. With --transaction-hash it finds the new app in that transaction and proves
/// that its owner and policy are what the other arguments say: the app's address is known only then.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign app deploy --chain-id 8453 --kms-contract 0x1234... --owner 0x5678... \
    --compose-hash 0x9abc... --device 0xdef0... --out batch.json\n  \
    countersign app deploy --chain-id 8453 --kms-contract 0x1234... --owner 0x5678... --compose-hash 0x9abc... \
    --device 0xdef0... --transaction-hash 0x1111... --kms-id kms_abc --env-file .env --sealed-out sealed.hex"
)]
pub(super) struct Deploy {
    /// Chain of the KMS's contract
    #[arg(long, value_name = "N")]
    chain_id: u64,
    /// The KMS's contract, DstackKms
    #[arg(long, value_name = "ADDRESS")]
    kms_contract: Address,
    /// Owner of the app from its first block on: a key, a Safe, a timelock
    #[arg(long, value_name = "ADDRESS")]
    owner: Address,
    /// Compose hash that may run, as provisioning gave it
    #[arg(long, value_name = "HASH")]
    compose_hash: ComposeHash,
    /// Device that may run it, as provisioning gave it
    #[arg(long, value_name = "DEVICE", required_unless_present = "allow_any_device")]
    device: Option<B256>,
    /// Let every device run it
    #[arg(long)]
    allow_any_device: bool,
    /// Require firmware to be up to date; older factories cannot
    #[arg(long)]
    require_tcb_up_to_date: bool,
    /// Freeze the contract's code for ever
    #[arg(long)]
    disable_upgrades: bool,
    /// Who sends the transaction [default: the owner]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Address>,
    /// Take an owner that nothing shows to be able to act
    #[arg(long)]
    accept_new_owner: bool,
    /// Write the call as a file for the Transaction Builder of Safe{Wallet}
    #[arg(long, value_name = "FILE", conflicts_with = "transaction_hash")]
    out: Option<PathBuf>,
    /// Transaction that made the app
    #[arg(long, value_name = "HASH")]
    transaction_hash: Option<B256>,
    /// Blocks that have to bury it [default: what suits the chain]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "transaction_hash")]
    confirmations: Option<u64>,
    /// KMS by id or name, as provisioning gave it: whose key an environment is sealed for
    #[arg(long, value_name = "ID", requires = "transaction_hash")]
    kms_id: Option<KmsId>,
    /// Seal the environment of --env-file and --env for the new app, and write it to this file
    #[arg(long, value_name = "FILE", requires_all = ["transaction_hash", "kms_id"])]
    sealed_out: Option<PathBuf>,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    reach: Reach,
}

impl Deploy {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = Typed {
            reach: Some(&self.reach),
            ..Typed::default()
        };
        let settings = Settings::gather(typed, &session.env)?;
        let env = settings::workload(&self.workload, &session.env, &|news| session.out.progress(news))?;
        if env.is_some() != self.sealed_out.is_some() {
            return Err(unsealed());
        }
        let outside = session.outside(&settings)?;
        let chain = outside.world().chain(self.chain_id).await?;
        let mut report = match self.transaction_hash {
            Some(transaction) => self.prove(&outside, (&chain, env.as_ref()), transaction).await?,
            None => self.plan(&chain, session).await?,
        };
        report.facts.upgrade.chain_id = Some(self.chain_id);
        report.facts.upgrade.owner = Some(self.owner);
        report.facts.upgrade.compose_hash = Some(self.compose_hash);
        if !is_known_kms(self.chain_id, self.kms_contract) {
            let text = format!(
                "this version does not know the KMS contract {}: make sure that it is the one that will guard the app",
                self.kms_contract
            );
            report.warn("KMS_NOT_KNOWN", text);
        }
        Ok(report)
    }

    fn new_app(&self) -> NewApp {
        NewApp {
            owner: self.owner,
            disable_upgrades: self.disable_upgrades,
            require_tcb_up_to_date: self.require_tcb_up_to_date,
            allow_any_device: self.allow_any_device,
            device: self.device,
            hash: Some(B256::from(*self.compose_hash.as_bytes())),
        }
    }

    /// The call, tried and sent by nobody.
    async fn plan(&self, chain: &Chain, session: &Session) -> Result<Report, CliError> {
        let block = chain.head().await.map_err(UpgradeError::from)?;
        let mut report = Report::done("app deploy", "the call is ready; nothing was sent");
        for doubt in owner_doubts(chain, self.owner, &block).await? {
            if !self.accept_new_owner {
                return Err(refused(doubt).into());
            }
            report.warnings.push(doubt);
        }
        let form = self.tried(chain, &block).await?;
        let new = self.new_app();
        let call = new
            .call(self.kms_contract, form)
            .ok_or_else(|| no_factory("it cannot say all of it"))?;
        report.page.facts(&[
            ("chain", Some(self.chain_id.to_string())),
            ("target", Some(call.to.to_string())),
            ("calldata", Some(call.data.to_string())),
            ("calldata digest", Some(format!("{} (ERC-8213)", call.digest()))),
            ("sent by", Some(self.sender().to_string())),
            ("owner", Some(self.owner.to_string())),
        ]);
        report.data = Some(json!({ "call": call, "digest": call.digest(), "form": form, "from": self.sender() }));
        if let Some(file) = &self.out {
            self.write(chain, (file, &call), &block).await?;
            report.page.facts(&[("file", Some(file.display().to_string()))]);
        }
        report.hint = Some("once it is sent, name its transaction: the app's address is known only then".to_owned());
        let more = Next::with("--transaction-hash 0x…");
        report.next = Some(session.typed().command(&more));
        Ok(report)
    }

    fn sender(&self) -> Address {
        self.from.unwrap_or(self.owner)
    }

    async fn tried(&self, chain: &Chain, block: &BlockRef) -> Result<FactoryForm, CliError> {
        let new = self.new_app();
        let factory = (self.kms_contract, &new);
        let tried = chain.try_factory(factory, self.sender(), block).await;
        match tried.map_err(UpgradeError::from)? {
            FactoryTrial::Works(form) => Ok(form),
            FactoryTrial::Refused(why) => Err(no_factory(&why)),
        }
    }

    /// For the Safe that sends it.
    async fn write(&self, chain: &Chain, (file, call): (&PathBuf, &Call), block: &BlockRef) -> Result<(), CliError> {
        let safe = SafeInfo::read_at(chain, self.sender(), block).await;
        let safe = safe.map_err(UpgradeError::from)?.ok_or_else(|| {
            let message = format!(
                "{} is no Safe, so there is none that could import the file",
                self.sender()
            );
            UpgradeError::Decide {
                code: "NOT_A_SAFE",
                message,
                source: None,
            }
        })?;
        let batch = Batch {
            chain_id: self.chain_id,
            safe: Some(safe.address),
            name: "countersign new app".to_owned(),
            description: String::new(),
            // The same arguments make the same bytes.
            created_at: jiff::Timestamp::UNIX_EPOCH,
            calls: vec![call.clone()],
        };
        let text = builder_file::export(&batch, Form::Raw).map_err(|error| CliError::Input {
            code: "INPUT_TOO_LONG",
            message: error.to_string(),
            hint: "send the calldata as it is".to_owned(),
        })?;
        fsutil::write(file, text.as_bytes(), 0o644).map_err(CliError::UserFile)
    }

    /// The app that the transaction made, if it is what the arguments say.
    async fn prove(
        &self,
        outside: &Outside<'_>,
        (chain, env): (&Chain, Option<&EnvRequest>),
        transaction: B256,
    ) -> Result<Report, CliError> {
        let new = self.new_app();
        let proved = chain.prove_deployment(transaction, (self.kms_contract, &new)).await;
        let deployed = match proved {
            Ok(deployed) => deployed,
            Err(DeployFailure::Chain(error)) => return Err(UpgradeError::from(error).into()),
            Err(failure) => return Ok(failed(&failure)),
        };
        let wanted = self
            .confirmations
            .map_or(Finality::default_for(self.chain_id), Finality::Confirmations);
        let head = chain.head().await.map_err(UpgradeError::from)?;
        let deep = (head.number + 1).saturating_sub(deployed.block.number);
        if let Finality::Confirmations(wanted) = wanted
            && deep < wanted
        {
            let mut report = Report::done("app deploy", format!("{deep} of {wanted} blocks bury the transaction"));
            report.exit = Exit::Pending;
            "PENDING_FINALITY".clone_into(&mut report.code);
            return Ok(report);
        }
        let mut report = self.proved(&deployed);
        if let (Some(env), Some(kms_id), Some(file)) = (env, &self.kms_id, &self.sealed_out) {
            let to = (kms_id, self.kms_contract, deployed.app);
            let (environment, blob) = seal_new(&outside.world(), chain, to, env).await?;
            fsutil::write(file, blob.as_bytes(), 0o600).map_err(CliError::UserFile)?;
            let names: Vec<&str> = environment.names.iter().map(EnvName::as_str).collect();
            report.page.facts(&[
                ("sealed", Some(names.join(", "))),
                (
                    "for the key",
                    environment
                        .vouched
                        .as_ref()
                        .map(|vouched| vouched.recipient.to_string()),
                ),
                ("file", Some(file.display().to_string())),
            ]);
            let more = format!(
                " --encrypted-env {} --allowed-env {}",
                quote(&file.display().to_string()),
                names.join(",")
            );
            report.next = report.next.map(|next| next + &more);
            report.data = Some(json!({ "deployed": deployed, "environment": environment }));
        }
        Ok(report)
    }

    fn proved(&self, deployed: &DeployedApp) -> Report {
        let mut report = Report::done("app deploy", "the app is made, and is what was asked for");
        report.facts.upgrade.app = Some(deployed.app);
        report.page.facts(&[
            ("app", Some(deployed.app.to_string())),
            ("owner", Some(self.owner.to_string())),
            ("deployed by", deployed.deployer.map(|deployer| deployer.to_string())),
            ("transaction", Some(deployed.transaction.to_string())),
            (
                "block",
                Some(format!("{} {}", deployed.block.number, deployed.block.hash)),
            ),
        ]);
        report.data = Some(json!({ "deployed": deployed }));
        let deployer = deployed.deployer.unwrap_or_else(|| self.sender());
        let kms = self
            .kms_id
            .as_ref()
            .map(|id| format!(" --kms-id {}", quote(&id.to_string())));
        report.next = Some(format!(
            "countersign cvm create --commit --app-id {} --compose-hash {} --deployer {deployer} --transaction-hash {}{}",
            deployed.app,
            self.compose_hash,
            deployed.transaction,
            kms.unwrap_or_default()
        ));
        report
    }
}

/// The values have to come from somewhere, and go somewhere.
fn unsealed() -> CliError {
    CliError::Usage {
        code: "USAGE_MISSING_ARGUMENT",
        message:
            "an environment is sealed from --env-file or --env, with --transaction-hash and --kms-id, into --sealed-out"
                .to_owned(),
        hint: "give both, or neither".to_owned(),
        next: Next::Command("--help"),
    }
}

/// What is certain of a transaction that made no such app.
fn failed(failure: &DeployFailure) -> Report {
    let (exit, code, hint) = match failure {
        DeployFailure::NotSettled { .. } => (Exit::Pending, "PENDING_FINALITY", "run again later"),
        DeployFailure::Reverted { .. } => (
            Exit::Failed,
            "TX_REVERTED",
            "no app was made: try the call again without --transaction-hash, which shows why it fails",
        ),
        _ => (
            Exit::Verify,
            "DEPLOY_MISMATCH",
            "do not use that app; compare the transaction with what was asked for",
        ),
    };
    let mut report = Report::done("app deploy", failure.to_string());
    report.exit = exit;
    code.clone_into(&mut report.code);
    report.hint = Some(hint.to_owned());
    report
}

fn refused(doubt: Warning) -> UpgradeError {
    let code = match doubt.code.as_str() {
        "NEW_OWNER_UNSEEN" => "NEW_OWNER_UNSEEN",
        "NEW_OWNER_UNKNOWN" => "NEW_OWNER_UNKNOWN",
        _ => "NEW_OWNER_CANNOT_ACT",
    };
    UpgradeError::Decide {
        code,
        message: format!("{}; --accept-new-owner takes it all the same", doubt.text),
        source: None,
    }
}

fn no_factory(why: &str) -> CliError {
    CliError::from(UpgradeError::Decide {
        code: "DEPLOY_REFUSED",
        message: format!("the KMS's contract would not make the app: {why}"),
        source: None,
    })
}
