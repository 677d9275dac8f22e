//! Changes of an app's policy alone: devices, hashes, switches, who owns it. Each is proposed like an upgrade, and the same
//! commands take it on; there is no CVM in it and nothing to commit.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use clap::{Args, ValueEnum};

use crate::chain::PolicyChange;
use crate::cli::act::begin::show;
use crate::cli::act::place::{Found, Named};
use crate::cli::act::power::tell_transfer;
use crate::cli::args::values;
use crate::cli::args::{Agree, Governor, Multisig, Notices, Reach, SharedOptions};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::{self, ROOT};
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::safe::info::Trust;
use crate::upgrade::{self, Acceptance, Goal, PolicyIntent, Upgrade, Wish, model::InUse};

/// Which app, and how its owner is asked.
#[derive(Debug, Args)]
pub(super) struct How {
    #[command(flatten)]
    app: Named,
    /// Directory for the change; one that holds the same change is gone on with [default:
    /// .countersign/APP-DIGEST]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Whom an ownership transfer under way goes to; another one, or none, ends with 5
    #[arg(long, value_name = "ADDRESS", help_heading = "What has to hold", value_parser = values::address)]
    expect_pending_owner: Option<Address>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    timelock: Governor,
    #[command(flatten)]
    agree: Agree,
}

/// What may be taken away.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Removal {
    /// Take away what the CVM needs to boot again as well
    #[arg(long, help_heading = "Consent")]
    remove_in_use: bool,
}

/// Devices to let in.
#[derive(Debug, Args)]
pub(super) struct AddDevices {
    /// Device id
    #[arg(value_name = "DEVICE", required = true, value_parser = values::word)]
    devices: Vec<B256>,
    #[command(flatten)]
    how: How,
}

/// Devices to keep out.
#[derive(Debug, Args)]
pub(super) struct RemoveDevices {
    /// Device id
    #[arg(value_name = "DEVICE", required = true, value_parser = values::word)]
    devices: Vec<B256>,
    #[command(flatten)]
    removal: Removal,
    #[command(flatten)]
    how: How,
}

/// Compose hashes to allow.
#[derive(Debug, Args)]
pub(super) struct AddHashes {
    /// Compose hash
    #[arg(value_name = "HASH", required = true, value_parser = values::compose_hash)]
    hashes: Vec<ComposeHash>,
    #[command(flatten)]
    how: How,
}

/// Compose hashes to take away.
#[derive(Debug, Args)]
pub(super) struct RemoveHashes {
    /// Compose hash
    #[arg(value_name = "HASH", required = true, value_parser = values::compose_hash)]
    hashes: Vec<ComposeHash>,
    #[command(flatten)]
    removal: Removal,
    #[command(flatten)]
    how: How,
}

/// A switch.
#[derive(Debug, Args)]
pub(super) struct Switch {
    /// What it is to be
    #[arg(value_enum)]
    to: OnOff,
    #[command(flatten)]
    removal: Removal,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnOff {
    On,
    Off,
}

/// Who gets the app.
#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// New owner: a key, a Safe, a timelock or another contract
    #[arg(value_name = "ADDRESS", value_parser = values::address)]
    to: Address,
    /// Go on although nothing shows that the new owner can act
    #[arg(long, help_heading = "Consent")]
    accept_new_owner: bool,
    #[command(flatten)]
    how: How,
}

/// Taking an offered app.
#[derive(Debug, Args)]
pub(super) struct Accept {
    #[command(flatten)]
    how: How,
}

/// Several changes that belong together.
#[derive(Debug, Args)]
#[group(id = "changes", required = true, multiple = true)]
pub(super) struct Several {
    /// Let this device run the app; repeat it
    #[arg(long, value_name = "DEVICE", help_heading = "What changes", value_parser = values::word)]
    add_device: Vec<B256>,
    /// Take this device from the list; repeat it
    #[arg(long, value_name = "DEVICE", help_heading = "What changes", value_parser = values::word)]
    remove_device: Vec<B256>,
    /// Allow this compose hash; repeat it
    #[arg(long, value_name = "HASH", help_heading = "What changes", value_parser = values::compose_hash)]
    add_hash: Vec<ComposeHash>,
    /// Take this compose hash from the list; repeat it
    #[arg(long, value_name = "HASH", help_heading = "What changes", value_parser = values::compose_hash)]
    remove_hash: Vec<ComposeHash>,
    /// Whether every device may run the app
    #[arg(long, value_enum, value_name = "ON|OFF", help_heading = "What changes")]
    allow_any_device: Option<OnOff>,
    /// Whether the machine's firmware has to be up to date
    #[arg(long, value_enum, value_name = "ON|OFF", help_heading = "What changes")]
    require_tcb_up_to_date: Option<OnOff>,
}

/// Several changes that belong together, and how they are made.
#[derive(Debug, Args)]
pub(super) struct Change {
    #[command(flatten)]
    changes: Several,
    #[command(flatten)]
    removal: Removal,
    #[command(flatten)]
    how: How,
}

/// What is asked for.
struct Request<'a> {
    /// The command's name.
    command: &'static str,
    wishes: Vec<Wish>,
    removal: Removal,
    accept_new_owner: bool,
    how: &'a How,
}

impl AddDevices {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let wishes = made(&self.devices, PolicyChange::AddDevice);
        Request::new("app devices add", wishes, &self.how).run(session).await
    }
}

impl RemoveDevices {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let wishes = made(&self.devices, PolicyChange::RemoveDevice);
        let request = Request::new("app devices remove", wishes, &self.how);
        request.with(self.removal).run(session).await
    }
}

impl AddHashes {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let wishes = made(&words(&self.hashes), PolicyChange::AddComposeHash);
        Request::new("app hashes add", wishes, &self.how).run(session).await
    }
}

impl RemoveHashes {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let wishes = made(&words(&self.hashes), PolicyChange::RemoveComposeHash);
        let request = Request::new("app hashes remove", wishes, &self.how);
        request.with(self.removal).run(session).await
    }
}

impl Switch {
    pub(super) async fn any_device(self, session: &Session) -> Result<Report, CliError> {
        self.run(session, "app allow-any-device", PolicyChange::AllowAnyDevice)
            .await
    }

    pub(super) async fn tcb(self, session: &Session) -> Result<Report, CliError> {
        self.run(session, "app require-tcb-up-to-date", PolicyChange::RequireTcbUpToDate)
            .await
    }

    async fn run(
        self,
        session: &Session,
        command: &'static str,
        change: fn(bool) -> PolicyChange,
    ) -> Result<Report, CliError> {
        let wishes = vec![Wish::Change(change(self.to.is_on()))];
        let request = Request::new(command, wishes, &self.how);
        request.with(self.removal).run(session).await
    }
}

impl Transfer {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let wishes = vec![Wish::TransferOwnership(self.to)];
        let mut request = Request::new("app owner transfer", wishes, &self.how);
        request.accept_new_owner = self.accept_new_owner;
        request.run(session).await
    }
}

impl Accept {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let wishes = vec![Wish::AcceptOwnership];
        Request::new("app owner accept", wishes, &self.how).run(session).await
    }
}

impl Change {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let request = Request::new("app change", self.changes.wishes(), &self.how);
        request.with(self.removal).run(session).await
    }
}

impl Several {
    /// What is added stands before what is taken away, so that no moment lies between that lets nobody in.
    fn wishes(&self) -> Vec<Wish> {
        let switch =
            |to: Option<OnOff>, change: fn(bool) -> PolicyChange| to.map(|to| Wish::Change(change(to.is_on())));
        [
            made(&self.add_device, PolicyChange::AddDevice),
            made(&words(&self.add_hash), PolicyChange::AddComposeHash),
            made(&self.remove_device, PolicyChange::RemoveDevice),
            made(&words(&self.remove_hash), PolicyChange::RemoveComposeHash),
            switch(self.allow_any_device, PolicyChange::AllowAnyDevice)
                .into_iter()
                .collect(),
            switch(self.require_tcb_up_to_date, PolicyChange::RequireTcbUpToDate)
                .into_iter()
                .collect(),
        ]
        .concat()
    }
}

impl OnOff {
    const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// One wish for each entry; what was named twice is meant once.
fn made(entries: &[B256], change: fn(B256) -> PolicyChange) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for wish in entries.iter().map(|entry| Wish::Change(change(*entry))) {
        if !wishes.contains(&wish) {
            wishes.push(wish);
        }
    }
    wishes
}

fn words(hashes: &[ComposeHash]) -> Vec<B256> {
    hashes.iter().map(|hash| B256::from(*hash.as_bytes())).collect()
}

impl<'a> Request<'a> {
    const fn new(command: &'static str, wishes: Vec<Wish>, how: &'a How) -> Self {
        Self {
            command,
            wishes,
            removal: Removal { remove_in_use: false },
            accept_new_owner: false,
            how,
        }
    }

    fn with(mut self, removal: Removal) -> Self {
        self.removal = removal;
        self
    }

    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.how.reach),
            safe: Some(&self.how.safe),
            notices: Some(&self.how.notices),
            agree: Some(&self.how.agree),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        for one in self.accepted_owners() {
            settings.limits.accepted.agree(one);
        }
        let outside = session.outside(&settings);
        let found = self.how.app.find(&outside).await?;
        let world = outside.world();
        let mut plan = upgrade::plan_policy(&world, &self.intent(found, &settings.limits.trust)).await?;
        let dir = match &self.how.dir {
            Some(dir) => dir.clone(),
            None => Upgrade::fresh_dir(Path::new(ROOT), &plan),
        };
        upgrade::steps::look_ahead(&world, &mut plan, &dir, &settings.limits).await?;
        session.about(&dir);
        let begun = Upgrade::begin(&dir, plan.clone(), &settings.limits);
        show(session, begun.as_ref().ok(), &plan);
        let mut upgrade = begun?;
        let outcome = upgrade.advance(&world, Goal::Prepared, &settings.limits).await?;
        let mut report = session.went(&upgrade, &outcome, self.command);
        tell_transfer(&mut report, &world, &plan).await;
        Ok(report)
    }

    /// What taking the new owner as it is means for whoever signs later.
    fn accepted_owners(&self) -> Vec<Acceptance> {
        let to = self.wishes.iter().filter_map(|wish| match wish {
            Wish::TransferOwnership(to) if self.accept_new_owner => Some(to.to_string()),
            _ => None,
        });
        let codes = [Code::NewOwnerCannotAct, Code::NewOwnerUnseen, Code::NewOwnerUnknown];
        let each = |to: String| {
            codes.map(|code| Acceptance {
                code,
                value: Some(to.clone()),
            })
        };
        to.flat_map(each).collect()
    }

    fn intent(&self, found: Found, trust: &Trust) -> PolicyIntent {
        PolicyIntent {
            app: found.query.app,
            chain_id: found.chain_id,
            kms: found.query.kms,
            wishes: self.wishes.clone(),
            trust: trust.clone(),
            timelock: settings::timelock(&self.how.timelock),
            accept_new_owner: self.accept_new_owner,
            pending_owner: self.how.expect_pending_owner,
            in_use: InUse {
                cvm: found.cvm,
                hash: found.query.hash,
                device: found.query.device,
            },
            remove_in_use: self.removal.remove_in_use,
        }
    }
}
