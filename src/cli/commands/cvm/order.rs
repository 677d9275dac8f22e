//! What the operations share: which CVM, consent, waiting, and what is said in the end.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

pub(super) use super::waiting::{Waiting, finish};
use crate::cli::args::values;
use crate::cli::args::{Agree, Typed};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::person::Person;
use crate::cli::session::settings::{self, Project, Settings};
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cloud::{Accepted, Client, Cvm, CvmId, Goal};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil;
use crate::signer::{Ask as _, Consent, Decision, Fact, Name};
use crate::text::{name, option};
use crate::upgrade::{self, UpgradeError};

/// Largest file with a sealed environment: the guest takes one megabyte, and hex doubles it.
const MAX_SEALED: u64 = 4 << 20;

/// Which CVM.
#[derive(Debug, Clone, Args)]
pub(super) struct On {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
}

/// The cloud, as the environment names it.
#[derive(Debug)]
pub(in crate::cli::commands) struct Api<'a> {
    pub(super) session: &'a Session,
    pub(super) settings: Settings,
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

/// What tells an order's own operation from others.
#[derive(Debug, Clone, Default)]
pub(super) struct Since {
    /// The latest operation before the order.
    pub(super) before: Option<String>,
    /// Compose hash that the CVM runs after it, where that is known.
    pub(super) hash: Option<ComposeHash>,
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
        let settings = session.settings(typed)?;
        let cloud = session.outside(&settings)?.cloud().clone();
        Ok(Self {
            session,
            settings,
            cloud,
        })
    }

    /// Asks for consent; without it nothing goes on.
    pub(in crate::cli::commands) fn ask(
        &self,
        question: &str,
        facts: &[(&'static str, String)],
    ) -> Result<(), CliError> {
        self.decide(question, facts, None)
    }

    /// The same for what has to be agreed to by name, unless it was.
    fn decide(
        &self,
        question: &str,
        facts: &[(&'static str, String)],
        decision: Option<Decision>,
    ) -> Result<(), CliError> {
        let person = Person::new(&self.session.out, &self.session.env, self.settings.yes);
        let facts = facts.iter().map(|(name, value)| Fact::new(Name::Other(name), value));
        let consent = Consent {
            decisions: decision.into_iter().collect(),
            ..Consent::ask(question, facts.collect())
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

impl Since {
    /// The same, for an order that is about a compose hash.
    pub(super) fn running(self, hash: Option<ComposeHash>) -> Self {
        Self { hash, ..self }
    }

    /// The end of the operation that follows.
    pub(super) fn next(self, status: &str) -> Goal {
        Goal::NextOperation {
            after: self.before,
            status: status.to_owned(),
        }
    }
}

impl Terms {
    /// An order under these terms; does no I/O beyond `phala.toml`.
    pub(super) fn order<'a>(&self, session: &'a Session, name: &'static str) -> Result<Order<'a>, CliError> {
        let id = self.on.id()?;
        let mut api = Api::new(session, Some(&self.agree))?;
        if self.waiting.wait {
            api.cloud = api.cloud.until(tokio::time::Instant::now() + self.waiting.timeout);
        }
        Ok(Order {
            api,
            id,
            name,
            waiting: self.waiting.clone(),
        })
    }
}

impl Order<'_> {
    /// Asks whether to do it.
    pub(super) fn ask(&self, question: &str, facts: &[(&'static str, String)]) -> Result<(), CliError> {
        let mut all = vec![("CVM", self.id.to_string())];
        all.extend_from_slice(facts);
        self.api.ask(question, &all)
    }

    /// Asks whether to delete the CVM: it is named by whoever agrees, since nothing brings it back.
    pub(super) fn ask_to_delete(&self, cvm: &Cvm) -> Result<(), CliError> {
        let known = [Some(self.id.to_string()), cvm.uuid.clone(), cvm.name.clone()];
        let accepted = &self.api.settings.limits.accepted;
        let mut names = known.iter().flatten();
        let named = names.any(|name| accepted.covers(Code::CvmDeleted, Some(name)));
        let decision = Decision {
            code: Code::CvmDeleted,
            value: self.id.to_string(),
            what: format!("Deletes the CVM {} and all its data, for good.", self.id),
        };
        let facts = [
            ("CVM", self.id.to_string()),
            ("name", cvm.name.clone().unwrap_or_default()),
            ("UUID", cvm.uuid.clone().unwrap_or_default()),
            ("app", cvm.app_id.map(|app| app.to_string()).unwrap_or_default()),
        ];
        let question = "Delete this CVM and all its data, for good?";
        self.api.decide(question, &facts, Some(decision).filter(|_| !named))
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

    /// The latest operation before the order, where it is waited for: what follows it is the order's own.
    pub(super) async fn before(&self) -> Result<Since, CliError> {
        if !self.waiting.wait {
            return Ok(Since::default());
        }
        Ok(Since {
            before: self.api.cloud.latest_operation(&self.id).await?,
            hash: None,
        })
    }

    /// Refuses an image with which the CVM's manifest does not come up. Two requests.
    pub(super) async fn refuse_lost_on(&self, image: &str) -> Result<(), CliError> {
        let cloud = &self.api.cloud;
        let cvm = cloud.cvm(&self.id).await?;
        let manifest = cloud.manifest(&self.id).await?;
        match upgrade::lost_on_image(image, cvm.node_version.as_deref(), &manifest) {
            None => Ok(()),
            Some(lost) => Err(UpgradeError::decide(lost.code, lost.text).into()),
        }
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

    /// The end of an order that answered with an operation, or with nothing: then it is the one after `before`.
    pub(super) async fn with_operation(
        &self,
        message: &str,
        accepted: &Accepted,
        Since { before, hash }: Since,
    ) -> Result<Report, CliError> {
        let mut report = self.taken(message);
        report.page.line(message);
        report.page.facts(&[
            ("operation", accepted.correlation_id.clone()),
            ("status", accepted.status.clone()),
        ]);
        report.facts.upgrade.correlation_id.clone_from(&accepted.correlation_id);
        report.facts.upgrade.compose_hash = hash;
        report.data = Some(json!({ "accepted": accepted }));
        let status = "running".to_owned();
        let goal = match &accepted.correlation_id {
            Some(id) => Goal::Operation {
                id: id.clone(),
                status,
                hash,
            },
            None => Goal::NextOperation { after: before, status },
        };
        self.carried_out(report, &self.id, goal).await
    }

    /// Waits, where that was asked for.
    pub(super) async fn carried_out(&self, report: Report, id: &CvmId, goal: Goal) -> Result<Report, CliError> {
        finish(&self.api, &self.waiting, (id, goal), report).await
    }
}

/// The command that shows a CVM.
pub(in crate::cli::commands) fn get(id: &CvmId) -> String {
    format!("countersign cvm get {}", option("--cvm", &id.to_string()))
}

/// A CVM's record for programs: what this tool read, and the record as it came.
pub(super) fn record(cvm: &Cvm) -> Value {
    json!({ "cvm": cvm, "record": cvm.raw })
}

pub(super) fn merged(data: Option<Value>, more: Value) -> Option<Value> {
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
        ("name", cvm.name.as_deref().map(name)),
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
            code: Code::InputSealedEnv,
            message: format!("`{}` is no sealed environment: it has to be hex digits", path.display()),
            hint: "seal the environment for the app's key first; never give it in the clear".to_owned(),
        });
    }
    Ok(text)
}
