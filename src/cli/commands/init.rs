//! `init`: what this folder is for, written down once, and who does what for it.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use url::Url;

use crate::chain::{AppQuery, AppState, Chain, OwnerKind};
use crate::cli::args::owner_name::OwnerName;
use crate::cli::args::{Agree, KeySource, Notices, Reach, Settle, SharedOptions, values};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::completion::remember;
use crate::cli::session::person::Person;
use crate::cli::session::project::{MAX_PROJECT, PROJECT_FILE};
use crate::cli::session::project_text::{Wanted, written};
use crate::cli::session::settings::{Origin, Project, Settings};
use crate::cli::session::{Outside, Session};
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cloud::{Cvm, CvmId};
use crate::code::Code;
use crate::fsutil;
use crate::safe::info::SafeInfo;
use crate::signer::{Ask as _, Consent, Fact, Name};
use crate::text::option;
use crate::upgrade::{UpgradeError, steps::governance_of};

/// Names that Docker Compose looks for, in its order but for the one that `phala` looks for first.
const COMPOSE_FILES: [&str; 4] = [
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yaml",
    "compose.yml",
];
/// Names that are told of CVMs among which none was named.
const TOLD: usize = 20;
const MODE: u32 = 0o644;

/// Set up this folder for one CVM, and say who does what for it
///
/// Phala Cloud is asked for the CVM and each endpoint for the app's owner; then phala.toml gets what it does not say yet: the
/// CVM, the compose file and the app, and in the table `countersign` endpoints, the Safe Transaction Service, the key that
/// signs, when a block stays, and names of owners. What stands there already stays as it is. An endpoint whose address may hold
/// a key is not written: it belongs into ETH_RPC_URL. The KMS's contract is not written either: to name it is to vouch for it,
/// which nobody but you can do.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign init my-app --rpc-url https://mainnet.base.org\n  \
    countersign init --owner alice=0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --signer ledger --yes"
)]
pub(in crate::cli) struct Init {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names, or the only one there is]
    #[arg(value_name = "CVM", value_parser = values::cvm, conflicts_with = "named")]
    cvm: Option<CvmId>,
    /// CVM, as in other commands
    #[arg(long = "cvm", id = "named", value_name = "ID", value_parser = values::cvm)]
    named: Option<CvmId>,
    /// Docker Compose file [default: what phala.toml names, or the one in this folder]
    #[arg(short, long, value_name = "FILE")]
    compose: Option<PathBuf>,
    /// Name of an address, which is shown beside it; repeat it
    #[arg(long, value_name = "NAME=ADDRESS")]
    owner: Vec<OwnerName>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    source: KeySource,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    agree: Agree,
}

/// How whoever owns the app acts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Owner {
    /// One key.
    Key,
    /// So many of these owners.
    Safe { threshold: u64, owners: Vec<Address> },
    /// A delay, after somebody proposed.
    Timelock { delay: u64 },
    /// Nobody: the policy can never change again.
    Nobody,
    /// A contract of another kind.
    Other,
}

/// What the chain says.
#[derive(Debug, Serialize)]
struct OnChain {
    app: AppState,
    owner: Owner,
    #[serde(skip)]
    remarks: Vec<crate::upgrade::Warning>,
}

impl Init {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(self.typed())?;
        let outside = session.outside(&settings);
        let project = Project::here()?;
        let cvm = self.find(session, &outside, &project).await?;
        let read = match (cvm.kms.chain_id, settings.endpoints.is_empty()) {
            (Some(chain_id), false) => Some(self.read(&outside, &cvm, chain_id).await?),
            _ => None,
        };
        let wanted = self.wanted(&settings, &project, &cvm)?;
        let before = read_text(Path::new(PROJECT_FILE))?;
        let after = written(&before, &wanted).map_err(|why| refused(&why))?;
        Project::parse(after.as_bytes()).map_err(|why| refused(&why))?;
        let mut report = Report::done("init", "this folder is set up");
        shown(&mut report.page, &cvm, read.as_ref(), &settings);
        report.page.heading(&format!("{PROJECT_FILE}:")).theirs(&after);
        if before != after {
            self.agreed(session, &report.page)?;
            fsutil::write(Path::new(PROJECT_FILE), after.as_bytes(), MODE)?;
        }
        for warning in read.iter().flat_map(|read| &read.remarks) {
            report.warn(warning.code, warning.text.clone());
        }
        report.certain = None;
        report.facts.upgrade.cvm = cvm.name.clone();
        report.facts.upgrade.app = cvm.app_id;
        report.facts.upgrade.chain_id = cvm.kms.chain_id;
        report.next = Some(next(wanted.compose.as_deref(), &project));
        report.data = Some(json!({
            "file": PROJECT_FILE,
            "written": before != after,
            "chain": read,
        }));
        Ok(report)
    }

    fn typed(&self) -> SharedOptions<'_> {
        SharedOptions {
            reach: Some(&self.reach),
            source: Some(&self.source),
            notices: Some(&self.notices),
            settle: Some(&self.settle),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        }
    }

    /// The CVM that was named, here or in the file, or the only one.
    async fn find(&self, session: &Session, outside: &Outside<'_>, project: &Project) -> Result<Cvm, CliError> {
        let typed = self.cvm.as_ref().or(self.named.as_ref());
        let of_file = project.cvm();
        if let (Some(typed), Some(of_file)) = (typed, of_file)
            && typed.as_str() != of_file
        {
            return Err(refused(&format!("it is for `{of_file}`, and `{typed}` was named")));
        }
        let cloud = outside.cloud();
        if let Some(id) = typed {
            return Ok(cloud.cvm(id).await?);
        }
        if let Some(text) = of_file {
            return Ok(cloud.cvm(&values::cvm(text).map_err(|why| refused(&why))?).await?);
        }
        let mut all = cloud.all_cvms().await?;
        remember(&session.env, all.iter().filter_map(|cvm| cvm.name.as_deref()));
        match all.len() {
            1 => Ok(all.remove(0)),
            number => Err(which(number, &all)),
        }
    }

    /// Every endpoint has to be of the CVM's chain, and to say the same of the app.
    async fn read(&self, outside: &Outside<'_>, cvm: &Cvm, chain_id: u64) -> Result<OnChain, CliError> {
        let chain = outside.world().chain(chain_id).await?;
        let app = cvm.app_id.or(cvm.kms.app_contract).ok_or_else(|| {
            CliError::from(UpgradeError::decide(
                Code::KmsOffchain,
                "Phala Cloud names no contract of the app".to_owned(),
            ))
        })?;
        let query = AppQuery {
            app,
            kms: cvm.kms.kms_contract,
            hash: None,
            running: None,
            device: None,
            os_image: None,
            kind: true,
        };
        let app = chain.app(&query).await?;
        Ok(OnChain {
            owner: Owner::of(&chain, &app).await?,
            remarks: governance_of(&chain, &app).await?,
            app,
        })
    }

    /// What the file should say.
    fn wanted(&self, settings: &Settings, project: &Project, cvm: &Cvm) -> Result<Wanted, CliError> {
        let typed = |origin: Origin| origin != Origin::Project;
        let endpoints = settings.endpoints.iter().filter(|endpoint| typed(endpoint.origin));
        let compose = match (&self.compose, &project.compose_file) {
            (Some(path), _) if !fsutil::is_there(path) => return Err(no_file(path)),
            (Some(path), _) => Some(path.clone()),
            (None, Some(_)) => None,
            (None, None) => COMPOSE_FILES
                .iter()
                .map(PathBuf::from)
                .find(|path| fsutil::is_there(path)),
        };
        Ok(Wanted {
            cvm: cvm.name.clone().or_else(|| cvm.uuid.clone()),
            compose,
            app: cvm.app_id,
            rpc_url: endpoints
                .map(|endpoint| &endpoint.value)
                .filter(|url| holds_no_key(url))
                .cloned()
                .collect(),
            quorum: self.reach.quorum,
            logs_rpc_url: self.reach.logs_rpc_url.clone().filter(holds_no_key),
            service_url: self.notices.service_url.clone().filter(holds_no_key),
            signer: self.source.signer.as_ref().map(ToString::to_string),
            finality: self.settle.finality(),
            owners: self
                .owner
                .iter()
                .map(|owner| (owner.name.clone(), owner.address))
                .collect(),
        })
    }

    fn agreed(&self, session: &Session, page: &Page) -> Result<(), CliError> {
        let question = format!("Write {PROJECT_FILE}?");
        if !self.agree.yes {
            session.out.aside(page);
        }
        let person = Person::new(&session.out, &session.env, self.agree.yes);
        let facts = vec![Fact::new(Name::Other("file"), PROJECT_FILE)];
        match person.consent(&Consent::ask(&question, facts))? {
            true => Ok(()),
            false => Err(CliError::from(UpgradeError::Declined {
                what: question.trim_end_matches('?').to_owned(),
            })),
        }
    }
}

impl Owner {
    async fn of(chain: &Chain, app: &AppState) -> Result<Self, CliError> {
        Ok(match app.owner_kind {
            OwnerKind::Nobody => Self::Nobody,
            OwnerKind::Eoa | OwnerKind::DelegatedEoa => Self::Key,
            OwnerKind::Contract => match SafeInfo::read_at(chain, app.owner, &app.block).await? {
                Some(safe) => Self::Safe {
                    threshold: safe.threshold,
                    owners: safe.owners,
                },
                None => match chain.timelock_at(app.owner, &app.block).await? {
                    Some(timelock) => Self::Timelock {
                        delay: timelock.min_delay,
                    },
                    None => Self::Other,
                },
            },
        })
    }

    /// Who it is, and a line for each who has something to do.
    fn told(&self) -> (String, Vec<&'static str>) {
        let prepares = "whoever releases: countersign plan, then countersign prepare";
        let commits = "whoever released: countersign wait, then countersign commit";
        match self {
            Self::Key => (
                "one key owns the app".to_owned(),
                vec!["whoever holds it: countersign plan, then countersign upgrade --signer SOURCE"],
            ),
            Self::Safe { threshold, owners } => (
                format!("a Safe owns the app: {threshold} of {} owners approve", owners.len()),
                vec![
                    prepares,
                    "each owner: countersign review proposal.json, then countersign sign proposal.json --signer SOURCE",
                    "anybody with a key: countersign execute --signer SOURCE",
                    commits,
                ],
            ),
            Self::Timelock { delay } => (
                format!("a timelock owns the app: at least {delay} seconds lie between schedule and execution"),
                vec![
                    prepares,
                    "whoever proposes to it: countersign review proposal.json, then countersign sign or execute",
                    "after the delay: countersign execute --signer SOURCE",
                    commits,
                ],
            ),
            Self::Nobody => (
                "nobody owns the app: its policy can never change again".to_owned(),
                Vec::new(),
            ),
            Self::Other => (
                "a contract of another kind owns the app".to_owned(),
                vec![
                    prepares,
                    "whoever acts for it: countersign review proposal.json, and countersign export proposal.json --format calldata",
                    commits,
                ],
            ),
        }
    }
}

fn shown(page: &mut Page, cvm: &Cvm, read: Option<&OnChain>, settings: &Settings) {
    page.facts(&[
        ("CVM", cvm.name.clone().or_else(|| cvm.uuid.clone())),
        ("app", cvm.app_id.map(|app| app.to_string())),
        ("chain id", cvm.kms.chain_id.map(|id| id.to_string())),
        ("owner", read.map(|read| read.app.owner.to_string())),
        ("endpoints", Some(settings.endpoints.len().to_string())),
        ("read at block", read.map(|read| read.app.block.number.to_string())),
    ]);
    match (read, cvm.kms.chain_id) {
        (Some(read), _) => {
            let (who, steps) = read.owner.told();
            page.heading(&who).each(steps);
            if let Owner::Safe { owners, .. } = &read.owner {
                page.heading("the owners, whom --owner NAME=ADDRESS gives names")
                    .each(owners.iter().map(ToString::to_string));
            }
        }
        (None, Some(_)) => {
            page.heading("who owns the app was not read: name an endpoint by --rpc-url or ETH_RPC_URL");
        }
        (None, None) => {
            page.heading("no contract guards the CVM: nobody has to approve its code")
                .each(["whoever releases: countersign plan, then countersign upgrade --without-approval"]);
        }
    }
    let keyed = settings
        .endpoints
        .iter()
        .filter(|endpoint| !holds_no_key(&endpoint.value))
        .count();
    if keyed > 0 {
        page.line("an endpoint whose address may hold a key is not written: keep it in ETH_RPC_URL");
    }
}

/// Whether an address is a server's alone, with nothing behind it that may be a key.
fn holds_no_key(url: &Url) -> bool {
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let segments = url.path_segments().into_iter().flatten();
    // A public endpoint's path is a word or two; a key is longer.
    bare && segments.clone().all(|segment| segment.len() <= MAX_WORD)
}

/// Longest part of a path that is no key.
const MAX_WORD: usize = 12;

fn next(compose: Option<&Path>, project: &Project) -> String {
    match compose.or(project.compose_file.as_deref()) {
        Some(_) => "countersign plan".to_owned(),
        None => "countersign plan --compose docker-compose.yml".to_owned(),
    }
}

fn read_text(path: &Path) -> Result<String, CliError> {
    if !fsutil::is_there(path) {
        return Ok(String::new());
    }
    let bytes = fsutil::read(path, MAX_PROJECT).map_err(CliError::UserFile)?;
    String::from_utf8(bytes).map_err(|error| refused(&error.to_string()))
}

fn refused(why: &str) -> CliError {
    CliError::Input {
        code: Code::InputProjectFile,
        message: format!("`{PROJECT_FILE}` cannot be used: {why}"),
        hint: format!("correct `{PROJECT_FILE}`, or work in another folder"),
    }
}

fn no_file(path: &Path) -> CliError {
    CliError::Usage {
        code: Code::UsageNothingToChange,
        message: format!("there is no `{}`", path.display()),
        hint: "name the Docker Compose file that the CVM runs".to_owned(),
        next: Next::with("--compose docker-compose.yml"),
    }
}

fn which(number: usize, all: &[Cvm]) -> CliError {
    let names: Vec<&str> = all.iter().filter_map(|cvm| cvm.name.as_deref()).take(TOLD).collect();
    let more = number.saturating_sub(names.len());
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let message = match number {
        0 => "the workspace of the API key has no CVM".to_owned(),
        _ => format!(
            "the workspace has {number} CVMs, and none was named: {}{rest}",
            names.join(", ")
        ),
    };
    let named = names
        .first()
        .map_or_else(|| "--cvm NAME".to_owned(), |name| option("--cvm", name));
    CliError::Usage {
        code: Code::UsageNoCvm,
        message,
        hint: "name the one that this folder is for".to_owned(),
        next: Next::with(named),
    }
}
