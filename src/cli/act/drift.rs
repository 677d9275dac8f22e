//! Whether what runs is still what the files say, and what the last release that is on record left: code, names of the
//! environment, device, owner, and the app's policy. Nothing here changes anything, and the record is taken at its word.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::chain::PolicyChange;
use crate::chain::policy_history::PolicyHistory;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Commands as _, by_code};
use crate::cli::session::Session;
use crate::cli::session::files::evidence_file;
use crate::cli::session::settings::ROOT;
use crate::cli::show::changes::in_order;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::compose::{ComposeHash, Manifest};
use crate::evidence::{self, Evidence};
use crate::fsutil;
use crate::upgrade::model::{CodeChange, Plan};
use crate::upgrade::{UpgradeError, World};

/// What holds the names that the environment may set.
const NAMES: &str = "allowed_envs";
/// Most events that a line tells of.
const TOLD: usize = 5;

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Outcome {
    /// Both are the same.
    Same,
    /// They differ.
    Differs {
        /// How.
        how: String,
    },
    /// Nobody could compare them.
    NotChecked {
        /// Why not.
        why: String,
    },
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
struct Compared {
    /// What was compared, with what.
    what: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What `plan --drift` found, for programs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Drift {
    /// Comparison by comparison.
    drift: Vec<Compared>,
    /// The last release of the CVM that is on record, where there is one.
    released: Option<Release>,
}

/// A release that was compared with.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Release {
    /// Name of the upgrade.
    update: String,
    /// Block in which it was approved, or seen to be.
    block: u64,
}

/// What own upgrades of an app left.
#[derive(Debug, Default)]
struct Released {
    /// Every document about the app, the newest block last.
    all: Vec<Evidence>,
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Compare<'a> {
    /// The CVM, and what the files would change of it.
    pub(in crate::cli) code: &'a CodeChange,
    /// The app that has to approve it; nothing where no KMS on a chain guards the CVM.
    pub(in crate::cli) plan: Option<&'a Plan>,
    /// Evidence of releases, besides that below the usual place.
    pub(in crate::cli) evidence: &'a [PathBuf],
    /// What cannot be compared is no success.
    pub(in crate::cli) require_all: bool,
}

/// Compares what runs with the files and with the record.
///
/// # Errors
/// The record or the chain could not be read.
pub(in crate::cli) async fn drift(
    session: &Session,
    world: &World<'_>,
    compare: Compare<'_>,
) -> Result<Report, CliError> {
    let Compare { code, plan, .. } = compare;
    let mut compared = Vec::from(by_files(code));
    let mut report = Report::done("plan", "what runs is what the files and the last release on record say");
    report.certain = None;
    let mut last = None;
    if let Some(plan) = plan {
        let released = Released::of(plan, compare.evidence)?;
        let chain = world.chain(plan.chain_id).await?;
        let history = chain.policy_history(&plan.app_state, &[], &[]).await;
        compared.extend(released.compare(plan, code, &history.map_err(UpgradeError::from)?));
        last = released.last(code).map(named);
    } else {
        let why = "no KMS on a chain guards this CVM, so that nothing of it is proved".to_owned();
        compared.push(Compared {
            what: "code, by the last release",
            outcome: Outcome::NotChecked { why },
        });
    }
    show(&mut report, code, &compared);
    conclude(&mut report, session, &compared, compare.require_all);
    let found = Drift {
        drift: compared,
        released: last,
    };
    report.data = serde_json::to_value(&found).ok();
    Ok(report)
}

fn compared<T: PartialEq>(
    what: &'static str,
    pair: Option<(T, T)>,
    told: impl Fn(&T) -> String,
    why: &str,
) -> Compared {
    let outcome = match pair {
        None => Outcome::NotChecked { why: why.to_owned() },
        Some((wanted, found)) if wanted == found => Outcome::Same,
        Some((wanted, found)) => Outcome::Differs {
            how: format!("expected {}, found {}", told(&wanted), told(&found)),
        },
    };
    Compared { what, outcome }
}

/// What the files say, where they say something of it.
fn by_files(code: &CodeChange) -> [Compared; 2] {
    let hashes = code.expected_hash.zip(code.current_hash);
    // Where no form of the manifest is known, its fields are compared all the same.
    let hash = match (hashes, code.changes.as_slice()) {
        (None, [_, ..]) => Compared {
            what: "code, by the files",
            outcome: Outcome::Differs {
                how: format!("other {}", fields(code)),
            },
        },
        _ => compared(
            "code, by the files",
            hashes,
            ToString::to_string,
            "no known form of the manifest gives the hash that runs",
        ),
    };
    let after = code.manifest_after();
    let wanted = code.patch.changes.allowed_envs.is_some().then(|| names(&after));
    let names = compared(
        "names of the environment, by the files",
        wanted.map(|wanted| (wanted, names(&code.manifest))),
        |names| listed(names),
        "none were given by --env-file, --env or --allowed-env",
    );
    [hash, names]
}

fn fields(code: &CodeChange) -> String {
    let names: Vec<&str> = code.changes.iter().map(|change| change.field.as_str()).collect();
    names.join(", ")
}

/// The names that the environment may set, in their order, which the hash covers.
fn names(manifest: &Manifest) -> Vec<String> {
    let list = manifest.get(NAMES).and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

impl Released {
    /// The documents of the app: those below the usual place, with or without the journals that they were made from, and those that
    /// were named.
    fn of(plan: &Plan, named: &[PathBuf]) -> Result<Self, CliError> {
        let dirs = fsutil::list(Path::new(ROOT)).map_err(UpgradeError::from)?;
        let kept = dirs.iter().filter_map(|dir| evidence::read(dir));
        let named = named.iter().map(|file| evidence_file(file));
        let named = named.collect::<Result<Vec<Evidence>, CliError>>()?;
        let mut all: Vec<Evidence> = kept
            .chain(named)
            .filter(|one| (one.app, one.chain_id) == (plan.app, plan.chain_id))
            .collect();
        all.sort_by_key(|one| one.block.number);
        Ok(Self { all })
    }

    /// The last release of the CVM.
    fn last(&self, code: &CodeChange) -> Option<&Evidence> {
        let ids = [
            Some(code.cvm.as_str()),
            code.cvm_name.as_deref(),
            code.cvm_uuid.as_deref(),
        ];
        let is_of = |one: &&Evidence| {
            let said = [
                one.said.cvm.as_deref(),
                one.said.cvm_name.as_deref(),
                one.said.new_cvm.as_deref(),
            ];
            one.code.is_some() && said.iter().any(|name| name.is_some() && ids.contains(name))
        };
        self.all.iter().rfind(is_of)
    }

    /// The owner after everything that is on record.
    fn owner(&self) -> Option<Address> {
        let mut owner = None;
        for one in &self.all {
            let heir = one.changes.iter().find_map(|change| match change {
                PolicyChange::TransferOwnership(heir) | PolicyChange::AcceptOwnership(heir) => Some(*heir),
                _ => None,
            });
            owner = heir.or(one.owner).or(owner);
        }
        owner
    }

    fn compare(&self, plan: &Plan, code: &CodeChange, history: &PolicyHistory) -> Vec<Compared> {
        let last = self.last(code);
        let why = "no release of this CVM is on record below .countersign, or named by --evidence";
        let of_code = last.and_then(|last| last.code.as_ref());
        let manifest = of_code.and_then(|code| Manifest::parse(code.manifest.as_ref()?.as_bytes()).ok());
        let hash: Option<(ComposeHash, ComposeHash)> = of_code.map(|code| code.compose_hash).zip(code.current_hash);
        let device: Option<(B256, B256)> = last.and_then(|last| last.said.device).zip(code.device);
        vec![
            compared("code, by the last release", hash, ToString::to_string, why),
            compared(
                "names of the environment, by the last release",
                manifest.map(|manifest| (names(&manifest), names(&code.manifest))),
                |names| listed(names),
                why,
            ),
            compared("device, by the last release", device, ToString::to_string, why),
            compared(
                "owner, by the record",
                self.owner().map(|owner| (owner, plan.app_state.owner)),
                ToString::to_string,
                "no upgrade of this app is on record below .countersign, or named by --evidence",
            ),
            self.policy(history),
        ]
    }

    /// Whether all that became of the app's policy since the first upgrade on record is on record as well.
    fn policy(&self, history: &PolicyHistory) -> Compared {
        let own: BTreeSet<B256> = self.all.iter().filter_map(|one| Some(one.transaction?.hash)).collect();
        let first = self.all.first().map(|one| one.block.number);
        let others = history.events.iter().filter(|event| {
            let place = event.place;
            first.is_some_and(|first| place.block.number > first) && !own.contains(&place.transaction)
        });
        let told: Vec<String> = others
            .map(|event| format!("{} in block {}", event.what, event.place.block.number))
            .collect();
        let outcome = match (first, told.as_slice(), &history.incomplete) {
            (None, ..) => Outcome::NotChecked {
                why: "no upgrade of this app is on record below .countersign, or named by --evidence".to_owned(),
            },
            (Some(_), [], Some(why)) => Outcome::NotChecked { why: why.clone() },
            (Some(_), [], None) => Outcome::Same,
            (Some(_), told, _) => Outcome::Differs {
                how: format!(
                    "{} changes that no upgrade on record made: {}",
                    told.len(),
                    told.iter()
                        .take(TOLD)
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join("; ")
                ),
            },
        };
        Compared {
            what: "allowed hashes, devices, owner and switches, by the record",
            outcome,
        }
    }
}

fn named(release: &Evidence) -> Release {
    Release {
        update: release.said.update.clone(),
        block: release.block.number,
    }
}

fn show(report: &mut Report, code: &CodeChange, compared: &[Compared]) {
    let word = |one: &Compared| match &one.outcome {
        Outcome::Same => "same".to_owned(),
        Outcome::Differs { how } => format!("DIFFERS: {how}"),
        Outcome::NotChecked { why } => format!("not checked: {why}"),
    };
    for one in compared {
        report.page.facts(&[(one.what, Some(word(one)))]);
    }
    for change in in_order(&code.changes) {
        report
            .page
            .heading(&format!("{}: what runs, and the files", change.field));
        report.page.theirs(&change.text_diff());
    }
}

fn conclude(report: &mut Report, session: &Session, compared: &[Compared], require_all: bool) {
    let differs: Vec<&str> = compared
        .iter()
        .filter(|one| matches!(one.outcome, Outcome::Differs { .. }))
        .map(|one| one.what)
        .collect();
    let open: Vec<&str> = compared
        .iter()
        .filter(|one| matches!(one.outcome, Outcome::NotChecked { .. }))
        .map(|one| one.what)
        .collect();
    let (code, message) = match (differs.as_slice(), open.as_slice()) {
        ([], []) => return,
        ([], open) if require_all => (Code::DriftUnknown, format!("not checked: {}", open.join("; "))),
        ([], open) => {
            report.message = format!("nothing differs; {} of {} were not checked", open.len(), compared.len());
            return;
        }
        (differs, _) => (Code::Drift, format!("what runs differs: {}", differs.join("; "))),
    };
    let meant = by_code(code);
    (report.exit, report.code, report.message) = (meant.exit, code, message);
    report.next = Some(session.typed().command(&meant.next));
    report.hint = Some(meant.hint);
}
