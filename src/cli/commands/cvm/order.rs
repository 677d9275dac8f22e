//! What the operations share: the order to one CVM, consent to it, and what is said in the end.

use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::cli::act::api::{Api, On, get, record, show};
use crate::cli::act::waiting::{Ordered, Waiting, finish};
use crate::cli::args::Agree;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::{Cvm, CvmId, settle::Goal, updates::Accepted};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash, Manifest};
use crate::env::EnvName;
use crate::fsutil;
use crate::signer::Decision;
use crate::upgrade::{check_image, steps::check_sent};

/// Largest file with a sealed environment: the guest takes one megabyte, and hex doubles it.
const MAX_SEALED: u64 = 4 << 20;

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

impl Since {
    /// Sets the compose hash that the CVM runs after the order, where that is known.
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
    /// As [`On::or_word`].
    pub(super) fn or_word(self, word: Option<&Path>) -> Result<Self, CliError> {
        let on = self.on.or_word(word)?;
        Ok(Self { on, ..self })
    }

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

    /// Refuses an image with which the CVM would not come up. What the KMS's contract says of it otherwise.
    pub(super) async fn check_image(&self, image: &str) -> Result<String, CliError> {
        let outside = self.api.session.outside(&self.api.settings);
        Ok(check_image(&outside.world(), &self.id, image).await?)
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

    /// Whether `changes` may be sent, and with them an environment that was sealed elsewhere and sets these variables. Asks for
    /// the manifest where it matters.
    pub(super) async fn check(&self, changes: &Changes, sealed: Option<&[EnvName]>) -> Result<(), CliError> {
        let accepted = &self.api.settings.limits.accepted;
        if sealed.is_none() && !accepted.needs_digests() {
            return Ok(());
        }
        let manifest = self.api.cloud.manifest(&self.id).await?.with(changes);
        Ok(check_sent(&manifest, sealed, accepted)?)
    }

    /// Whether what was prepared before, and is named by its hash alone, may be carried out, and with it an environment that was
    /// sealed elsewhere. What runs then is not known here, so that whoever insists on digests agrees to that; what an
    /// environment may choose is told of what runs now.
    pub(super) async fn check_unseen(&self, sealed: Option<&[EnvName]>) -> Result<(), CliError> {
        check_sent(&Manifest::default(), None, &self.api.settings.limits.accepted)?;
        match sealed {
            Some(_) => self.check(&Changes::default(), sealed).await,
            None => Ok(()),
        }
    }

    /// Waits, where that was asked for.
    pub(super) async fn carried_out(&self, report: Report, id: &CvmId, goal: Goal) -> Result<Report, CliError> {
        finish(&self.api, &self.waiting, Ordered { id, goal }, report).await
    }
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
