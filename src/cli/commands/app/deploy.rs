//! `app deploy`: a new app from a KMS's factory, with its owner from the start. A key signs and sends the call here, with a
//! directory that remembers it; a Safe makes it by its own means. Afterwards the app is proved and its environment sealed.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::{Value, json};

use crate::chain::{
    Call, Chain, Finality,
    factory::{DeployFailure, DeployedApp, NewApp, NewAppAt},
    is_known_kms,
};
use crate::cli::args::values;
use crate::cli::args::{Agree, Key, Reach, Settle, SharedOptions, Workload};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Commands as _, Next};
use crate::cli::session::next::commit_provision;
use crate::cli::session::out_file::OutFile;
use crate::cli::session::settings::{self, ROOT, Settings};
use crate::cli::session::{Outside, Session};
use crate::cli::show::report::Report;
use crate::cloud::KmsId;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::env::EnvName;
use crate::safe::builder_file::{self, Batch, Form};
use crate::safe::info::SafeInfo;
use crate::text::{option, quote_os};
use crate::upgrade::{
    self, JournalError, Outcome, Upgrade, UpgradeError, World,
    model::{DeployIntent, Deployment, EnvRequest, Environment},
    seal::{NewRecipient, seal_new},
    steps::plan_deployment,
};

/// File for the Transaction Builder within a directory, where none is named.
const BUILDER_FILE: &str = "transaction-builder.json";
/// File with the sealed environment within a directory, where none is named.
const SEALED_FILE: &str = "sealed.hex";
/// What the batch for the Transaction Builder calls itself.
const BATCH_NAME: &str = "countersign new app";
/// Bytes of a sealed environment with nothing in it: the sender's key, the nonce, the tag.
const SEALED_AT_LEAST: usize = 32 + 12 + 16;

/// Make a new app's contract, with its owner from the start
///
/// With --signer the key sends the call of the KMS's factory, waits until the new app is proved, and seals its environment.
/// The transaction's bytes are in --dir before they are sent; running again sends the same bytes and makes no second app.
/// With --dir and --from SAFE it writes the file that the Safe's owners import, and finds the app once they executed it.
/// With neither, nothing is sent: it prints the call, tried as --from would make it. With --transaction-hash it proves an
/// app that was made by other means.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign app deploy --chain-id 8453 --kms-contract 0x1234... --owner 0x5678... \
    --compose-hash 0x9abc... --add-device 0xdef0... --signer keystore:~/key.json --kms-id kms_abc --env-file .env\n  \
    countersign app deploy --chain-id 8453 --kms-contract 0x1234... --owner 0x5678... --compose-hash 0x9abc... \
    --add-device 0xdef0... --dir new-app --from 0x5678...\n  \
    countersign app deploy --chain-id 8453 --kms-contract 0x1234... --owner 0x5678... --compose-hash 0x9abc... \
    --add-device 0xdef0... --transaction-hash 0x1111... --kms-id kms_abc --env-file .env --sealed-out sealed.hex"
)]
pub(super) struct Deploy {
    /// Chain of the KMS's contract
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..))]
    chain_id: u64,
    /// The KMS's contract, DstackKms
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    kms_contract: Address,
    /// Owner of the app from its first block on: a key, a Safe, a timelock
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    owner: Address,
    /// Compose hash that may run, as provisioning gave it
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash)]
    compose_hash: ComposeHash,
    /// Device that may run it, as provisioning gave it
    #[arg(long = "add-device", alias = "device", value_name = "DEVICE", required_unless_present = "allow_any_device", value_parser = values::word)]
    device: Option<B256>,
    /// Let every device run it
    #[arg(long)]
    allow_any_device: bool,
    /// Require firmware to be up to date; older factories cannot
    #[arg(long, hide_short_help = true)]
    require_tcb_up_to_date: bool,
    /// Freeze the contract's code for ever
    #[arg(long, hide_short_help = true)]
    disable_upgrades: bool,
    /// Who sends the transaction [default: the key of --signer, else the owner]
    #[arg(long, value_name = "ADDRESS", value_parser = values::address, hide_short_help = true)]
    from: Option<Address>,
    /// Directory that remembers what is sent; one that holds the same is gone on with [default with --signer:
    /// .countersign/new-KMS-DIGEST]
    #[arg(long, value_name = "DIR", conflicts_with = "transaction_hash")]
    dir: Option<PathBuf>,
    /// Take an owner that nothing shows to be able to act
    #[arg(long, hide_short_help = true)]
    accept_new_owner: bool,
    /// Write the call as a file for the Transaction Builder of Safe{Wallet} [default with --dir: in it]
    #[arg(long, value_name = "FILE", conflicts_with = "transaction_hash")]
    out: Option<PathBuf>,
    /// Transaction that made the app
    #[arg(long, value_name = "HASH", conflicts_with = "signer", value_parser = values::word, hide_short_help = true)]
    transaction_hash: Option<B256>,
    /// KMS by id or name, as provisioning gave it: whose key an environment is sealed for
    #[arg(long, value_name = "ID", hide_short_help = true)]
    kms_id: Option<KmsId>,
    /// Seal the environment of --env-file and --env for the new app, and write it to this file [default with --dir: in it]
    #[arg(long, value_name = "FILE", requires = "kms_id", hide_short_help = true)]
    sealed_out: Option<PathBuf>,
    /// Replace the files of --out and --sealed-out, whatever they hold
    #[arg(long, visible_alias = "force", hide_short_help = true)]
    overwrite: bool,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    agree: Agree,
}

impl Deploy {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            settle: Some(&self.settle),
            key: Some(&self.key),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let env = settings::workload(&self.workload, &session.env, &|news| session.out.progress(news))?;
        if !self.can_seal(env.is_some()) {
            return Err(unsealed());
        }
        for file in [&self.out, &self.sealed_out].into_iter().flatten() {
            let file = session.apart_from_arguments(OutFile::new(file, self.overwrite))?;
            file.check(|found| is_call(found) || is_sealed(found))?;
        }
        let outside = session.outside(&settings);
        let mut report = match self.transaction_hash {
            Some(transaction) => match self.prove(&outside, transaction, settings.limits.finality).await? {
                Ok(app) => self.report(&outside, env.as_ref(), &app).await?,
                Err(failure) => failed(&failure),
            },
            None if self.is_sent() => self.send(session, &settings, env.as_ref()).await?,
            None => self.plan(&outside.world(), session).await?,
        };
        report.facts.upgrade.chain_id = Some(self.chain_id);
        report.facts.upgrade.owner = Some(self.owner);
        report.facts.upgrade.compose_hash = Some(self.compose_hash);
        if !is_known_kms(self.chain_id, self.kms_contract) {
            let text = format!(
                "this version does not know the KMS contract {}: make sure that it is the one that will guard the app",
                self.kms_contract
            );
            report.warn(Code::KmsNotKnown, text);
        }
        Ok(report)
    }

    /// Whether a directory remembers it.
    const fn is_sent(&self) -> bool {
        self.dir.is_some() || self.key.source.signer.is_some()
    }

    /// Whether values and a place for them sealed were named together, or neither.
    const fn can_seal(&self, values: bool) -> bool {
        if !values {
            return self.sealed_out.is_none();
        }
        let there = self.is_sent() || (self.transaction_hash.is_some() && self.sealed_out.is_some());
        there && self.kms_id.is_some()
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

    fn intent(&self, from: Address) -> DeployIntent {
        DeployIntent {
            chain_id: self.chain_id,
            kms: self.kms_contract,
            new: self.new_app(),
            from,
            accept_new_owner: self.accept_new_owner,
        }
    }

    /// The call, tried and sent by nobody.
    async fn plan(&self, world: &World<'_>, session: &Session) -> Result<Report, CliError> {
        let from = self.from.unwrap_or(self.owner);
        let (deployment, doubts) = plan_deployment(world, &self.intent(from)).await?;
        let mut report = Report::done("app deploy", "the call is ready; nothing was sent");
        report.warnings = doubts;
        self.show_call(&mut report, &deployment)?;
        if let Some(file) = &self.out {
            if !self.write(world, file, &deployment).await? {
                return Err(no_safe(from).into());
            }
            report.page.facts(&[("file", Some(file.display().to_string()))]);
        }
        report.hint = Some("once it is sent, name its transaction: the app's address is known only then".to_owned());
        let more = Next::with("--transaction-hash 0x…");
        report.next = Some(session.typed().command(&more));
        Ok(report)
    }

    fn show_call(&self, report: &mut Report, deployment: &Deployment) -> Result<(), CliError> {
        let call: Call = deployment.call()?;
        report.page.facts(&[
            ("chain", Some(self.chain_id.to_string())),
            ("target", Some(call.to.to_string())),
            ("calldata", Some(call.data.to_string())),
            ("calldata digest", Some(format!("{} (ERC-8213)", call.digest()))),
            ("sent by", Some(deployment.from.to_string())),
            ("owner", Some(self.owner.to_string())),
        ]);
        report.data =
            Some(json!({ "call": call, "digest": call.digest(), "form": deployment.form, "from": deployment.from }));
        Ok(())
    }

    /// For the Safe that sends it; `false`: it is none.
    async fn write(&self, world: &World<'_>, file: &Path, deployment: &Deployment) -> Result<bool, CliError> {
        let chain = world.chain(self.chain_id).await?;
        let safe = SafeInfo::read_at(&chain, deployment.from, &deployment.after).await;
        let Some(safe) = safe.map_err(UpgradeError::from)? else {
            return Ok(false);
        };
        let batch = Batch {
            chain_id: self.chain_id,
            safe: Some(safe.address),
            name: BATCH_NAME.to_owned(),
            description: String::new(),
            // The same arguments make the same bytes.
            created_at: Some(jiff::Timestamp::UNIX_EPOCH),
            calls: vec![deployment.call()?],
        };
        let text = builder_file::export(&batch, Form::Raw).map_err(|error| CliError::Input {
            code: Code::InputTooLong,
            message: error.to_string(),
            hint: "send the calldata as it is".to_owned(),
        })?;
        OutFile::new(file, self.overwrite).write(text.as_bytes(), 0o644, is_call)?;
        Ok(true)
    }

    /// Sends the call, or has a Safe send it, and goes on until the app is proved.
    async fn send(&self, session: &Session, settings: &Settings, env: Option<&EnvRequest>) -> Result<Report, CliError> {
        let outside = session.outside(settings);
        let world = outside.world();
        let usual = || Deployment::default_dir(Path::new(ROOT), &self.intent(self.owner));
        let dir = self.dir.clone().unwrap_or_else(usual);
        session.about(&dir);
        let known = recorded(&dir)?;
        let mut signer = None;
        let from = match (self.from, &known) {
            (Some(from), _) => from,
            (None, Some(known)) => known.from,
            (None, None) if settings.signer.is_some() => {
                let key = world.open_signer("make the app").await?;
                signer.insert(key).address()
            }
            (None, None) => self.owner,
        };
        let (deployment, doubts) = match known {
            Some(known) => (self.again(known, from), Vec::new()),
            None => plan_deployment(&world, &self.intent(from)).await?,
        };
        let mut upgrade = Upgrade::begin_deployment(&dir, deployment)?;
        let outcome = upgrade.deploy(&world, &settings.limits, signer).await?;
        let mut report = session.went(&upgrade, &outcome, "app deploy");
        report.warnings = doubts;
        let state = upgrade.state();
        match (state.deployed(), state.deployment()) {
            (Some(app), _) => {
                self.proved(&mut report, app);
                let file = self.sealed_out.clone().unwrap_or_else(|| dir.join(SEALED_FILE));
                let sealed = self.seal(&world, env, app.app).await?;
                self.keep(&mut report, &file, sealed)?;
            }
            (None, Some(deployment)) => {
                if matches!(&outcome, Outcome::Pending(pending) if pending.code == Code::PendingOwner) {
                    self.show_call(&mut report, deployment)?;
                    let file = self.out.clone().unwrap_or_else(|| dir.join(BUILDER_FILE));
                    let is_written = self.write(&world, &file, deployment).await?;
                    self.ask_contract(&mut report, Some(file).filter(|_| is_written), deployment.from)?;
                }
                report.next = Some(session.typed().command(&Next::Again));
            }
            (None, None) => {}
        }
        Ok(report)
    }

    /// What is recorded, with what was typed now.
    fn again(&self, known: Deployment, from: Address) -> Deployment {
        Deployment {
            chain_id: self.chain_id,
            kms: self.kms_contract,
            new: self.new_app(),
            from,
            ..known
        }
    }

    /// What a contract that makes the call needs for that: the file that was written for it, if it is a Safe.
    fn ask_contract(&self, report: &mut Report, file: Option<PathBuf>, from: Address) -> Result<(), CliError> {
        if let Some(file) = file {
            report.page.facts(&[("file", Some(file.display().to_string()))]);
            report.hint = Some(format!(
                "have the Safe's owners import {} and execute it, then run this again: it finds the app",
                file.display()
            ));
        } else if self.out.is_some() {
            return Err(no_safe(from).into());
        } else {
            report.hint = Some("have it make this call, then run this again: it finds the app".to_owned());
        }
        Ok(())
    }

    /// The app that the transaction made, if it is what the arguments say.
    async fn prove(
        &self,
        outside: &Outside<'_>,
        transaction: B256,
        finality: Option<Finality>,
    ) -> Result<Result<DeployedApp, DeployFailure>, CliError> {
        let chain: Chain = outside.world().chain(self.chain_id).await?;
        let new = self.new_app();
        let finality = finality.unwrap_or_else(|| Finality::default_for(self.chain_id));
        let wanted = NewAppAt {
            kms: self.kms_contract,
            new: &new,
        };
        match chain.prove_deployment(transaction, wanted, finality).await {
            Err(DeployFailure::Chain(error)) => Err(UpgradeError::from(error).into()),
            proved => Ok(proved),
        }
    }

    /// What is to be known of a new app that is proved.
    async fn report(
        &self,
        outside: &Outside<'_>,
        env: Option<&EnvRequest>,
        app: &DeployedApp,
    ) -> Result<Report, CliError> {
        let mut report = Report::done("app deploy", "the app is made, and is what was asked for");
        report.facts.upgrade.app = Some(app.app);
        report.page.facts(&[
            ("app", Some(app.app.to_string())),
            ("owner", Some(self.owner.to_string())),
            ("transaction", Some(app.transaction.to_string())),
            ("block", Some(format!("{} {}", app.block.number, app.block.hash))),
        ]);
        self.proved(&mut report, app);
        if let Some(file) = &self.sealed_out {
            let sealed = self.seal(&outside.world(), env, app.app).await?;
            self.keep(&mut report, file, sealed)?;
        }
        Ok(report)
    }

    fn proved(&self, report: &mut Report, app: &DeployedApp) {
        report.page.facts(&[
            ("deployed by", app.deployer.map(|deployer| deployer.to_string())),
            ("its code", app.code.implementation.map(|code| code.to_string())),
        ]);
        report.data = Some(json!({ "deployed": app }));
        let usual = self.from.unwrap_or(app.sender);
        let mut next = commit_provision(app, self.compose_hash, usual);
        if let Some(id) = &self.kms_id {
            next = format!("{next} {}", option("--kms-id", &id.to_string()));
        }
        report.next = Some(next);
    }

    /// The environment, sealed for the app; nothing when none was named.
    async fn seal(
        &self,
        world: &World<'_>,
        env: Option<&EnvRequest>,
        app: Address,
    ) -> Result<Option<(Environment, String)>, CliError> {
        let (Some(env), Some(kms_id)) = (env, &self.kms_id) else {
            return Ok(None);
        };
        let chain = world.chain(self.chain_id).await?;
        let to = NewRecipient {
            kms_id,
            kms: self.kms_contract,
            app,
        };
        Ok(Some(seal_new(world, &chain, to, env).await?))
    }

    /// Keeps it in a file, and says so.
    fn keep(&self, report: &mut Report, file: &Path, sealed: Option<(Environment, String)>) -> Result<(), CliError> {
        let Some((environment, blob)) = sealed else {
            return Ok(());
        };
        OutFile::new(file, self.overwrite).write(blob.as_bytes(), 0o600, is_sealed)?;
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
            quote_os(file.as_os_str()),
            names.join(",")
        );
        report.next = report.next.take().map(|next| next + &more);
        if let Some(Value::Object(data)) = &mut report.data {
            data.insert("environment".to_owned(), json!(environment));
        }
        Ok(())
    }
}

/// What the directory says was to be made; nothing where nothing is recorded yet.
fn recorded(dir: &Path) -> Result<Option<Deployment>, CliError> {
    if !upgrade::holds(dir) {
        return Ok(None);
    }
    match Upgrade::peek(dir) {
        Ok(state) => Ok(state.deployment().cloned()),
        Err(UpgradeError::Journal(JournalError::Missing { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The values have to come from somewhere, and go somewhere.
fn unsealed() -> CliError {
    CliError::Usage {
        code: Code::UsageMissingArgument,
        message:
            "an environment is sealed from --env-file or --env, with --kms-id, once the app is made: with --signer, with \
             --dir, or with --transaction-hash and --sealed-out"
                .to_owned(),
        hint: "give both, or neither".to_owned(),
        next: Next::Command("--help"),
    }
}

/// What is certain of a transaction that made no such app.
fn failed(failure: &DeployFailure) -> Report {
    let (exit, code, hint) = match failure {
        DeployFailure::NotSettled { .. } => (Exit::Pending, Code::PendingFinality, "run again later"),
        DeployFailure::Reverted { .. } => (
            Exit::Failed,
            Code::TxReverted,
            "no app was made: try the call again without --transaction-hash, which shows why it fails",
        ),
        DeployFailure::ById { .. } => (
            Exit::State,
            Code::AppsById,
            "this version makes and upgrades apps of KMS contracts since July 2025",
        ),
        _ => (
            Exit::Verify,
            Code::DeployMismatch,
            "do not use that app; compare the transaction with what was asked for",
        ),
    };
    let mut report = Report::done("app deploy", failure.to_string());
    report.exit = exit;
    report.code = code;
    report.hint = Some(hint.to_owned());
    report
}

fn no_safe(address: Address) -> UpgradeError {
    UpgradeError::Decide {
        code: Code::NotASafe,
        message: format!("{address} is no Safe, so there is none that could import the file"),
        source: None,
    }
}

/// Whether a file holds the call of a new app for the Transaction Builder, as this program writes it.
fn is_call(found: &[u8]) -> bool {
    builder_file::import(found).is_ok_and(|file| file.batch.name == BATCH_NAME)
}

/// Whether a file holds a sealed environment: each sealing gives another one.
fn is_sealed(found: &[u8]) -> bool {
    let digits = found.trim_ascii_end();
    digits.len() >= 2 * SEALED_AT_LEAST && digits.iter().all(u8::is_ascii_hexdigit)
}
