//! What commands that speak to Phala Cloud alone share: the API, the CVM that is meant, consent, and what a record shows.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::args::values;
use crate::cli::args::{Agree, SharedOptions};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::person::Person;
use crate::cli::session::settings::{self, Project, Settings};
use crate::cli::show::text::Page;
use crate::cli::show::words::chain;
use crate::cloud::{self, Client, Cvm, CvmId, Paged};
use crate::code::Code;
use crate::signer::{Ask as _, Consent, Decision, Fact, Name};
use crate::text::{name, option};
use crate::upgrade::UpgradeError;

/// Which CVM.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct On {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(value_name = "CVM", id = "on", conflicts_with = "cvm", value_parser = values::cvm)]
    named: Option<CvmId>,
    /// CVM, as an option
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
}

/// The cloud, as the environment names it.
#[derive(Debug)]
pub(in crate::cli) struct Api<'a> {
    pub(in crate::cli) session: &'a Session,
    pub(in crate::cli) settings: Settings,
    pub(in crate::cli) cloud: Client,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Part {
    /// Number of the page, from one
    #[arg(long, value_name = "N", value_parser = values::whole::<u32>(1..))]
    page: Option<u32>,
    /// Entries on a page
    #[arg(long, value_name = "N", value_parser = values::whole::<u32>(1..=100))]
    page_size: Option<u32>,
}

impl Part {
    /// What the API is asked for.
    pub(in crate::cli) const fn asked(self) -> cloud::Page {
        cloud::Page {
            number: self.page,
            size: self.page_size,
        }
    }

    /// The command that shows the page after `part`, if there is one.
    pub(in crate::cli) fn next<T>(part: &Paged<T>, command: &str) -> Option<String> {
        let page = part.page.filter(|_| part.goes_on())?;
        Some(format!("countersign {command} --page {}", page.saturating_add(1)))
    }
}

impl<'a> Api<'a> {
    /// Does no I/O.
    pub(in crate::cli) fn new(session: &'a Session, agree: Option<&Agree>) -> Result<Self, CliError> {
        let typed = SharedOptions {
            agree,
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let cloud = session.outside(&settings).cloud().clone();
        Ok(Self {
            session,
            settings,
            cloud,
        })
    }

    /// Asks for consent; without it nothing goes on.
    pub(in crate::cli) fn ask(&self, question: &str, facts: &[(&'static str, String)]) -> Result<(), CliError> {
        self.decide(question, facts, None)
    }

    /// Asks for consent; `decision` has to be agreed to by name, unless it was already.
    pub(in crate::cli) fn decide(
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
    pub(in crate::cli) fn id(&self) -> Result<CvmId, CliError> {
        named(self.named.as_ref().or(self.cvm.as_ref()))
    }

    /// With the word that stands where a file would, in a form of the command that takes no file: it is the CVM.
    pub(in crate::cli) fn or_word(self, word: Option<&Path>) -> Result<Self, CliError> {
        let Some(word) = word else { return Ok(self) };
        let id = values::cvm(&word.to_string_lossy());
        let id = id.and_then(|id| match self.named.is_none() && self.cvm.is_none() {
            true => Ok(id),
            false => Err("the CVM is named already, and this form of the command takes no file".to_owned()),
        });
        let named = Some(id.map_err(|message| CliError::Usage {
            code: Code::UsageInvalidValue,
            message: format!("`{}` cannot be the CVM: {message}", word.display()),
            hint: "name the CVM once, by its name, UUID, app id or instance id".to_owned(),
            next: Next::Command("--help"),
        })?);
        Ok(Self { named, cvm: None })
    }
}

/// The CVM of this name, or the one that `phala.toml` names.
pub(in crate::cli) fn named(cvm: Option<&CvmId>) -> Result<CvmId, CliError> {
    Ok(settings::cvm(cvm, &Project::here()?)?.value)
}

/// The command that shows a CVM.
pub(in crate::cli) fn get(id: &CvmId) -> String {
    format!("countersign cvm get {}", option("--cvm", &id.to_string()))
}

/// A CVM's record for programs: what this tool read, and the record as it came.
pub(in crate::cli) fn record(cvm: &Cvm) -> Value {
    json!({ "cvm": cvm, "record": cvm.raw })
}

/// The data of a report with more in it.
pub(in crate::cli) fn merged(data: Option<Value>, more: Value) -> Option<Value> {
    match (data, more) {
        (Some(Value::Object(mut all)), Value::Object(more)) => {
            all.extend(more);
            Some(Value::Object(all))
        }
        (_, more) => Some(more),
    }
}

/// A CVM's record for people.
pub(in crate::cli) fn show(page: &mut Page, cvm: &Cvm) {
    let number = |number: Option<u64>, unit: &str| number.map(|number| format!("{number}{unit}"));
    page.facts(&[
        ("name", cvm.name.as_deref().map(name)),
        ("status", cvm.status.clone()),
        ("UUID", cvm.uuid.clone()),
        ("app", cvm.app_id.map(|app| app.to_string())),
        ("instance", cvm.instance_id.clone()),
        ("compose hash", cvm.compose_hash.map(|hash| hash.to_string())),
        ("chain", cvm.kms.chain_id.map(chain)),
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
