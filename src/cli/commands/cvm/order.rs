//! What the operations share: which CVM, consent, waiting, and what is said in the end.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::args::{Agree, duration};
use crate::cli::ask::Person;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::next::quote;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cli::settings::{self, Project, Settings, Typed};
use crate::cli::text::Page;
use crate::cloud::{Accepted, Client, Cvm, CvmId, Goal, Settle, Settled};
use crate::fsutil;
use crate::signer::{Ask as _, Consent};
use crate::upgrade::UpgradeError;

/// Time between two looks at a CVM that is waited for.
const PACE: Duration = Duration::from_secs(1);

/// Largest file with a sealed environment: the guest takes one megabyte, and hex doubles it.
const MAX_SEALED: u64 = 4 << 20;

/// Which CVM.
#[derive(Debug, Clone, Args)]
pub(super) struct On {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(long, value_name = "ID")]
    cvm: Option<CvmId>,
}

/// Whether to wait, and how long.
#[derive(Debug, Clone, Args)]
pub(super) struct Waiting {
    /// Wait until it is carried out
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait, for example 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub(super) timeout: Duration,
}

/// The cloud, as the environment names it.
#[derive(Debug)]
pub(in crate::cli::commands) struct Api<'a> {
    session: &'a Session,
    settings: Settings,
    pub(in crate::cli::commands) cloud: Client,
}

/// One order to one CVM.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) api: Api<'a>,
    pub(super) id: CvmId,
    name: &'static str,
    pub(super) waiting: Waiting,
}

/// What a command that changes a CVM takes besides the change.
#[derive(Debug, Clone, Args)]
pub(super) struct Terms {
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    agree: Agree,
}

impl<'a> Api<'a> {
    /// Does no I/O.
    pub(in crate::cli::commands) fn new(session: &'a Session, agree: Option<&Agree>) -> Result<Self, CliError> {
        let typed = Typed {
            agree,
            ..Typed::default()
        };
        let settings = Settings::gather(typed, &session.env)?;
        let cloud = session.outside(&settings)?.cloud().clone();
        Ok(Self {
            session,
            settings,
            cloud,
        })
    }

    /// Asks for consent; without it nothing goes on.
    pub(in crate::cli::commands) fn ask(&self, question: &str, facts: &[(&str, String)]) -> Result<(), CliError> {
        let person = Person::new(&self.session.out, &self.session.env, self.settings.yes);
        let consent = Consent {
            question: question.to_owned(),
            facts: facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        };
        if person.consent(&consent)? {
            Ok(())
        } else {
            Err(CliError::from(UpgradeError::Declined {
                what: question.trim_end_matches('?').to_owned(),
            }))
        }
    }
}

impl On {
    /// The CVM that was named, here or in `phala.toml`.
    pub(super) fn id(&self) -> Result<CvmId, CliError> {
        Ok(settings::cvm(self.cvm.as_ref(), &Project::here()?)?.value)
    }
}

impl Terms {
    /// An order under these terms; does no I/O beyond `phala.toml`.
    pub(super) fn order<'a>(&self, session: &'a Session, name: &'static str) -> Result<Order<'a>, CliError> {
        let id = self.on.id()?;
        Ok(Order {
            api: Api::new(session, Some(&self.agree))?,
            id,
            name,
            waiting: self.waiting.clone(),
        })
    }
}

impl Order<'_> {
    /// Asks whether to do it.
    pub(super) fn ask(&self, question: &str, facts: &[(&str, String)]) -> Result<(), CliError> {
        let mut all = vec![("CVM", self.id.to_string())];
        all.extend_from_slice(facts);
        self.api.ask(question, &all)
    }

    /// The run that it is part of.
    pub(super) const fn session(&self) -> &Session {
        self.api.session
    }

    /// The command's name.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether consent was given in advance.
    pub(super) const fn is_agreed(&self) -> bool {
        self.api.settings.yes
    }

    /// A report that the order was taken.
    pub(super) fn taken(&self, message: &str) -> Report {
        let mut report = Report::done(self.name, message);
        report.facts.upgrade.cvm = Some(self.id.to_string());
        report.next = Some(get(&self.id));
        report
    }

    /// The end of an order that answered with a record.
    pub(super) async fn with_record(&self, message: &str, cvm: &Cvm, goal: Goal) -> Result<Report, CliError> {
        let mut report = self.taken(message);
        show(&mut report.page, cvm);
        report.data = Some(record(cvm));
        self.carried_out(report, &self.id, goal).await
    }

    /// The end of an order that answered with an operation.
    pub(super) async fn with_operation(&self, message: &str, accepted: &Accepted) -> Result<Report, CliError> {
        let mut report = self.taken(message);
        report.page.line(message);
        report.page.facts(&[
            ("operation", accepted.correlation_id.clone()),
            ("status", accepted.status.clone()),
        ]);
        report.facts.upgrade.correlation_id.clone_from(&accepted.correlation_id);
        report.data = Some(json!({ "accepted": accepted }));
        let status = "running".to_owned();
        let goal = match &accepted.correlation_id {
            Some(id) => Goal::Operation { id: id.clone(), status },
            None => Goal::Status(status),
        };
        self.carried_out(report, &self.id, goal).await
    }

    /// Waits, where that was asked for.
    pub(super) async fn carried_out(&self, report: Report, id: &CvmId, goal: Goal) -> Result<Report, CliError> {
        finish(&self.api, &self.waiting, (id, goal), report).await
    }
}

/// Waits until an order is carried out, where that was asked for, and says how it ended.
pub(super) async fn finish(
    api: &Api<'_>,
    waiting: &Waiting,
    (id, goal): (&CvmId, Goal),
    report: Report,
) -> Result<Report, CliError> {
    if !waiting.wait {
        return Ok(report);
    }
    let settle = Settle {
        goal,
        pace: api.settings.request_time.map_or(PACE, |time| time / 100),
        time: waiting.timeout,
    };
    let out = &api.session.out;
    let mut tell = |cvm: &Cvm| out.progress(&format!("the CVM is {}", cvm.status.as_deref().unwrap_or("silent")));
    let settled = api.cloud.settle(id, &settle, &mut tell).await?;
    Ok(conclude(report, id, settled))
}

/// How an order that was waited for ended.
pub(in crate::cli::commands) fn conclude(mut report: Report, id: &CvmId, settled: Settled) -> Report {
    match settled {
        Settled::Done(cvm) => {
            if let Some(cvm) = cvm {
                report.data = merged(report.data, record(&cvm));
                report.page = Page::default();
                show(&mut report.page, &cvm);
            }
            report.message = format!("{}, and carried out", report.message);
        }
        Settled::Failed(why) => {
            report.exit = Exit::Failed;
            "OPERATION_FAILED".clone_into(&mut report.code);
            report.message = format!("the order was taken, and the operation failed: {why}");
            report.next = Some(format!("countersign cvm operations --cvm {}", quote(&id.to_string())));
        }
        Settled::Waiting(_) => {
            report.exit = Exit::Pending;
            "PENDING_OPERATION".clone_into(&mut report.code);
            "the order was taken, and is not carried out yet".clone_into(&mut report.message);
        }
    }
    report
}

/// The command that shows a CVM.
pub(in crate::cli::commands) fn get(id: &CvmId) -> String {
    format!("countersign cvm get --cvm {}", quote(&id.to_string()))
}

/// A CVM's record for programs: what this tool read, and the record as it came.
pub(super) fn record(cvm: &Cvm) -> Value {
    json!({ "cvm": cvm, "record": cvm.raw })
}

fn merged(data: Option<Value>, more: Value) -> Option<Value> {
    match (data, more) {
        (Some(Value::Object(mut all)), Value::Object(more)) => {
            all.extend(more);
            Some(Value::Object(all))
        }
        (_, more) => Some(more),
    }
}

/// A CVM's record for people.
pub(super) fn show(page: &mut Page, cvm: &Cvm) {
    let number = |number: Option<u64>, unit: &str| number.map(|number| format!("{number}{unit}"));
    page.facts(&[
        ("name", cvm.name.clone()),
        ("status", cvm.status.clone()),
        ("UUID", cvm.uuid.clone()),
        ("app", cvm.app_id.map(|app| app.to_string())),
        ("instance", cvm.instance_id.clone()),
        ("compose hash", cvm.compose_hash.map(|hash| hash.to_string())),
        ("chain", cvm.kms.chain_id.map(|id| id.to_string())),
        ("OS image", cvm.os_image.clone()),
        ("instance type", cvm.resources.instance_type.clone()),
        ("vCPUs", number(cvm.resources.vcpu, "")),
        ("memory", number(cvm.resources.memory, " MB")),
        ("disk", number(cvm.resources.disk_size, " GB")),
        (
            "operation",
            cvm.progress
                .as_ref()
                .and_then(|progress| progress.correlation_id.clone()),
        ),
    ]);
}

/// A sealed environment: hex in a file, as whoever sealed it wrote it.
pub(super) fn sealed(path: &Path) -> Result<String, CliError> {
    let bytes = fsutil::read(path, MAX_SEALED).map_err(CliError::UserFile)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.is_empty() || !digits || text.len() % 2 == 1 {
        return Err(CliError::Input {
            code: "INPUT_SEALED_ENV",
            message: format!("`{}` is no sealed environment: it has to be hex digits", path.display()),
            hint: "seal the environment for the app's key first; never give it in the clear".to_owned(),
        });
    }
    Ok(text)
}
