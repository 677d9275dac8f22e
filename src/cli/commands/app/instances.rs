//! `app instances`: the CVMs of an app, and one more of them, approved and made like an upgrade.

use std::path::PathBuf;

use alloy::primitives::{Address, B256};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::chain::PolicyChange;
use crate::cli::act::begin::{Beginning, begin};
use crate::cli::args::values;
use crate::cli::args::{Agree, Allow, Expect, Governor, Multisig, NewDir, Notices, Reach, SharedOptions, Workload};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::files::{compose_file, text_file};
use crate::cli::session::settings::{self, Project};
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{Client, Cvm, CvmId, patch::Patch};
use crate::code::Code;
use crate::compose::Changes;
use crate::safe::info::Trust;
use crate::upgrade::{
    Goal,
    model::{Intent, Placement, Target},
};

/// Instances.
#[derive(Debug, Subcommand)]
pub(super) enum Instances {
    /// List the app's CVMs: node, device, compose hash, status
    #[command(after_help = "Examples:\n  countersign app instances list --cvm my-app\n  \
        countersign app instances list 0x1234567890123456789012345678901234567890")]
    List(ListArgs),
    Add(Box<Add>),
}

/// Whose CVMs.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(value_name = "ADDRESS", conflicts_with = "cvm", value_parser = values::address)]
    app: Option<Address>,
    /// CVM whose app it is [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
}

/// Prepare one more instance of an app; it is approved and made like an upgrade
///
/// The CVM that is named is what the instance is made from: without other texts it runs the same. The app's owner has to
/// allow the compose hash and the device of the node; what is missing is named before anything is sent, and --add-device
/// lets the device in by the same approval. Nothing is made before the commit: go on with `countersign resume`, or step by
/// step.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign app instances add --cvm my-app --node 18\n  \
    countersign app instances add --cvm my-app --node 18 -c docker-compose.yml --add-device 0x1234... --dir second")]
pub(super) struct Add {
    /// CVM that it is made from: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(long, value_name = "ID", help_heading = "What is made", value_parser = values::cvm)]
    cvm: Option<CvmId>,
    /// Node, as `countersign nodes` numbers it [default: the one of the CVM]
    #[arg(long, value_name = "N", help_heading = "What is made", value_parser = values::whole::<u64>(0..))]
    node: Option<u64>,
    /// Docker Compose file to run [default: what the CVM runs]
    #[arg(short, long, value_name = "FILE", help_heading = "What is made")]
    compose: Option<PathBuf>,
    /// Script that runs before the containers [default: the CVM's]
    #[arg(long, value_name = "FILE", help_heading = "What is made")]
    pre_launch_script: Option<PathBuf>,
    /// Let this device run the app, by the same approval; repeat it
    #[arg(long, value_name = "ID", help_heading = "What is made", value_parser = values::word)]
    add_device: Vec<B256>,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    expect: Expect,
    #[command(flatten)]
    dir: NewDir,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    timelock: Governor,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
}

impl Instances {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Add(add) => add.run(session).await,
        }
    }
}

/// The app that was named, or the CVM's.
pub(super) async fn of_app(cloud: &Client, app: Option<Address>, cvm: Option<&CvmId>) -> Result<Address, CliError> {
    if let Some(app) = app {
        return Ok(app);
    }
    let named = settings::cvm(cvm, &Project::here()?)?.value;
    let cvm = cloud.cvm(&named).await?;
    cvm.app_id.or(cvm.kms.app_contract).ok_or_else(|| CliError::Input {
        code: Code::InputNoApp,
        message: format!("Phala Cloud names no app for `{named}`"),
        hint: "name the app by its address".to_owned(),
    })
}

impl ListArgs {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(SharedOptions::default())?;
        let outside = session.outside(&settings);
        let cloud = outside.cloud();
        let app = of_app(cloud, self.app, self.cvm.as_ref()).await?;
        let cvms = cloud.app_cvms(app).await?;
        let said = if cvms.is_empty() {
            "there are none"
        } else {
            "read from Phala Cloud"
        };
        let mut report = Report::done("app instances list", said);
        report.facts.upgrade.app = Some(app);
        let head = ["NAME", "STATUS", "UUID", "DEVICE", "HASH"];
        report.page.table(&head, &cvms.iter().map(row).collect::<Vec<_>>());
        let items: Vec<_> = cvms.iter().map(|cvm| json!({ "cvm": cvm })).collect();
        report.data = Some(json!({ "app": app, "items": items }));
        Ok(report)
    }
}

fn row(cvm: &Cvm) -> Vec<String> {
    cells([
        cvm.name.as_deref().map(crate::text::name),
        cvm.status.clone(),
        cvm.uuid.clone(),
        cvm.device_id.map(|device| device.to_string()),
        cvm.compose_hash.map(|hash| hash.to_string()),
    ])
}

impl Add {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let intent = self.intent(session, &settings.limits.trust)?;
        let beginning = Beginning {
            intent,
            dir: self.dir.dir.as_deref(),
            goal: Goal::Prepared,
            command: "app instances add",
            remarks: Vec::new(),
            received: None,
        };
        begin(session, &settings, beginning).await
    }

    fn intent(&self, session: &Session, trust: &Trust) -> Result<Intent, CliError> {
        let project = Project::here()?;
        let text = |path: &Option<PathBuf>| path.as_deref().map(text_file).transpose();
        let changes = Changes {
            docker_compose_file: self.compose.as_deref().map(compose_file).transpose()?,
            pre_launch_script: text(&self.pre_launch_script)?,
            ..Changes::default()
        };
        let tell = |news: &str| session.out.progress(news);
        Ok(Intent {
            cvm: settings::cvm(self.cvm.as_ref(), &project)?.value,
            target: Target::Instance(Placement {
                node: self.node,
                ..Placement::default()
            }),
            patch: Patch {
                changes,
                ..Patch::default()
            },
            env: settings::workload(&self.workload, &session.env, &tell)?,
            confirm: false,
            policy: self.add_device.iter().copied().map(PolicyChange::AddDevice).collect(),
            revoke_old: false,
            trust: trust.clone(),
            timelock: settings::timelock(&self.timelock),
            expected: settings::expected(&self.expect, &project),
        })
    }
}
