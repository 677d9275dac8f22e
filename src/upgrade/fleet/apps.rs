//! Several apps of one owner by one approval: a fleet for each app, and one proposal for all of them.
//!
//! The first app that needs its owner carries the proposal; the others join it. Approving is the ordinary steps with that
//! one. Committing goes app by app, each by its own proof, so that an app whose hash was withdrawn stops alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::chain::ProofFailure;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::strict_json;
use crate::fsutil::{self, point};
use crate::upgrade::{
    Goal, Limits, Outcome, Upgrade, UpgradeError, Warning, World,
    files::{keep, pretty},
    fleet::{AfterWave, AppIntent, Fleet, Halt, Waves},
    model::{Plan, Proposal},
    planning::neighbours::APPS_FILE,
    record::State,
    routes::batch::{agree_on_owner, refuse_single, refuse_twins},
};

const SCHEMA: &str = "countersign.apps/1";
/// Largest list that is read; one proposal holds far fewer apps.
const MAX_BYTES: u64 = 1 << 16;

/// Upgrades of several apps of one owner.
#[derive(Debug)]
pub struct Apps {
    dir: PathBuf,
    list: List,
}

/// The list, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema: String,
    /// A directory for each app; the first one's proposal is approved.
    fleets: Vec<String>,
}

/// The CVMs that were named, by their apps: apps and CVMs in the order in which they were named. One reading for each.
///
/// # Errors
/// A CVM cannot be read, or Phala Cloud names no app for it.
pub async fn by_app(world: &World<'_>, cvms: &[CvmId]) -> Result<Vec<(Address, Vec<CvmId>)>, UpgradeError> {
    let mut apps: Vec<(Address, Vec<CvmId>)> = Vec::new();
    for cvm in cvms {
        let found = world.cloud.cvm(cvm).await?;
        let Some(app) = found.app_id else {
            return Err(UpgradeError::decide(
                Code::AppUnknown,
                format!("Phala Cloud names no app for `{cvm}`"),
            ));
        };
        match apps.iter_mut().find(|(known, _)| *known == app) {
            Some((_, members)) => members.push(cvm.clone()),
            None => apps.push((app, vec![cvm.clone()])),
        }
    }
    Ok(apps)
}

impl Apps {
    /// Prepares every app's fleet, and one proposal for all of them, once it is known that one owner can approve them in one
    /// transaction. An app whose hash is allowed already has no part in it. Running it again goes on where it stopped.
    ///
    /// # Errors
    /// The apps have several owners, or one that makes one call in one transaction; or a fleet cannot be prepared.
    pub async fn prepare(dir: &Path, world: &World<'_>, apps: &[AppIntent], limits: &Limits) -> Result<Self, Halt> {
        refuse_others(world, apps).await?;
        fsutil::create_private_dir(dir)?;
        let mut fleets = Vec::new();
        for app in apps {
            let name = app.intent.cvm.to_string();
            let fleet = Fleet::prepare(&dir.join(&name), world, app, limits).await?;
            let state = Upgrade::peek(&fleet.approval())?;
            let asks = Proposal::of(&state).filter(|_| state.needs_owner());
            fleets.push((name, fleet, asks));
        }
        // Who carries the proposal follows from what was recorded first, so that it is the same one every time.
        let first = fleets.iter().position(|(_, _, asks)| asks.is_some()).unwrap_or(0);
        if first < fleets.len() {
            let carrier = fleets.remove(first);
            fleets.insert(0, carrier);
        }
        let Some(((_, carrier, _), joining)) = fleets.split_first() else {
            return Err(UpgradeError::decide(Code::FleetEmpty, "no CVM was named").into());
        };
        let others = joining.iter().filter_map(|(_, _, asks)| asks.clone());
        let mut approval = Upgrade::open(&carrier.approval())?;
        approval.join(others.collect())?;
        for (_, fleet, _) in joining {
            Upgrade::open(&fleet.approval())?.join_to(carrier.app().0)?;
        }
        approval.advance(world, Goal::Prepared, limits).await?;
        let all = Self {
            dir: dir.to_owned(),
            list: List {
                schema: SCHEMA.to_owned(),
                fleets: fleets.into_iter().map(|(name, ..)| name).collect(),
            },
        };
        point("apps.a");
        keep(&dir.join(APPS_FILE), &pretty(&all.list), 0o644)?;
        Ok(all)
    }

    /// Whether a directory holds several apps.
    pub fn are_in(dir: &Path) -> bool {
        dir.join(APPS_FILE).exists()
    }

    /// The directory of all of them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the apps in a directory; reads the list only.
    ///
    /// # Errors
    /// There is none, or it is malformed.
    pub fn open(dir: &Path) -> Result<Self, UpgradeError> {
        let path = dir.join(APPS_FILE);
        let bytes = fsutil::read(&path, MAX_BYTES)?;
        let malformed = |why: String| UpgradeError::Proposal {
            path: path.clone(),
            why,
        };
        let value = strict_json(&bytes, bytes.len()).map_err(|error| malformed(error.to_string()))?;
        let list: List = serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        if list.schema != SCHEMA || list.fleets.is_empty() {
            return Err(malformed("it is no list of apps".to_owned()));
        }
        for name in &list.fleets {
            // A name is a directory's name.
            let read: CvmId = name.parse()?;
            if read.to_string() != *name {
                return Err(malformed("a CVM is not named as this version names it".to_owned()));
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            list,
        })
    }

    /// The fleet of every app, the one first that carries the proposal.
    ///
    /// # Errors
    /// One of them cannot be opened, or they are not the apps that the proposal is about.
    pub fn fleets(&self) -> Result<Vec<Fleet>, UpgradeError> {
        let names = self.list.fleets.iter();
        let fleets: Vec<Fleet> = names
            .map(|name| Fleet::open(&self.dir.join(name)))
            .collect::<Result<_, _>>()?;
        let mut states = Vec::new();
        for fleet in &fleets {
            states.push((fleet.app().0, Upgrade::peek(&fleet.approval())?));
        }
        agree_on_apps(&states)?;
        Ok(fleets)
    }

    /// Commits every app's CVMs that do not run their hash yet, app by app, each in waves of its own. An app whose hash is
    /// not in force stops alone; whatever else fails is the end, and no further app is touched. Gives what looking again at those that are done found.
    ///
    /// # Errors
    /// Nothing was approved yet, or the first thing that stopped an app.
    pub async fn commit<F: AfterWave>(
        &self,
        world: &World<'_>,
        limits: &Limits,
        waves: &Waves<F>,
    ) -> Result<Vec<Warning>, Halt> {
        let fleets = self.fleets()?;
        if let Some(carrier) = fleets.first() {
            Upgrade::peek(&carrier.approval())?.require_approval()?;
        }
        let (mut told, mut stopped) = (Vec::new(), None);
        for fleet in &fleets {
            match commit_app(world, limits, fleet, waves).await {
                Err(halt) if is_withdrawn(&halt.error) => {
                    world
                        .ask
                        .tell(&format!("warning: {}; the other apps go on", halt.error));
                    stopped.get_or_insert(halt);
                }
                ended => told.extend(ended?),
            }
        }
        stopped.map_or(Ok(told), Err)
    }
}

/// The list and the proposal that its first app carries are about the same apps: one that dropped out of the list would be
/// approved and never committed. An app whose owner had nothing to do is in the list alone.
fn agree_on_apps(listed: &[(Address, State)]) -> Result<(), UpgradeError> {
    let Some(((first, carrier), _)) = listed.split_first() else {
        return Ok(());
    };
    let stop = |expected: String, found: String| {
        Err(UpgradeError::stop(
            Code::AppsMismatch,
            format!("apps in `{APPS_FILE}`"),
            expected,
            found,
        ))
    };
    if let Some(other) = carrier.batch.joins.filter(|other| other != first) {
        return stop(
            format!("the app {other} first, whose proposal is approved"),
            format!("{first}, which joined it"),
        );
    }
    let mut known = BTreeSet::new();
    for (app, state) in listed {
        if !known.insert(*app) {
            return stop("each one once".to_owned(), app.to_string());
        }
        let has_part = app == first || carrier.asks_of(*app);
        let elsewhere = state.batch.joins.is_some_and(|joined| joined != *first);
        if elsewhere || (!has_part && state.needs_owner() && !state.is_approved()) {
            return stop(
                "the apps that the proposal names".to_owned(),
                format!("{app}, which it does not name"),
            );
        }
    }
    match carrier.batch.others.iter().find(|other| !known.contains(&other.app())) {
        None => Ok(()),
        Some(other) => stop(
            format!("{}, app {}, which the proposal names", other.name(), other.app()),
            "a list without it".to_owned(),
        ),
    }
}

/// One app's CVMs to the end. Nobody signs: what is not in force is not committed.
async fn commit_app<F: AfterWave>(
    world: &World<'_>,
    limits: &Limits,
    fleet: &Fleet,
    waves: &Waves<F>,
) -> Result<Vec<Warning>, Halt> {
    let own = World {
        reached: world.reached.clone(),
        signer: None,
        ..*world
    };
    let approval = fleet.approval();
    let (app, _) = fleet.app();
    let name = approval.file_name().map(|name| name.to_string_lossy().into_owned());
    let about = format!("{}, app {app}", name.unwrap_or_default());
    let adopted = Upgrade::open(&approval)?.adopt_in_force(&own, limits).await;
    match adopted.map_err(|error| withdrawn(&about, error))? {
        Outcome::Reached => {}
        Outcome::Pending(pending) => {
            return Err(UpgradeError::Later {
                code: Code::FleetMemberPending,
                message: format!("{about}: {}", pending.what),
                source: None,
            }
            .into());
        }
    }
    let ended = fleet.commit(world, limits, waves).await;
    ended.map_err(|halt| Halt {
        cvm: halt.cvm,
        error: Box::new(withdrawn(&about, *halt.error)),
    })
}

/// What was approved and is not in force, said of one app.
fn withdrawn(about: &str, error: UpgradeError) -> UpgradeError {
    let message = match &error {
        UpgradeError::Proof(ProofFailure::Removed { change, .. } | ProofFailure::NotInForce { change }) => {
            format!("{about}: this was approved and is undone: {change}; nothing of it was committed")
        }
        UpgradeError::Decide { message, .. } if is_withdrawn(&error) => format!("{about}: {message}"),
        _ => return error,
    };
    UpgradeError::decide(Code::HashRemoved, message)
}

const fn is_withdrawn(error: &UpgradeError) -> bool {
    matches!(error, UpgradeError::Decide { code, .. } if matches!(code, Code::HashRemoved))
}

/// Reads every app before anything is prepared: preparing ends the commit tokens of others.
async fn refuse_others(world: &World<'_>, apps: &[AppIntent]) -> Result<(), UpgradeError> {
    let mut plans: Vec<Plan> = Vec::new();
    for app in apps {
        let plan = crate::upgrade::plan(world, &app.intent).await?;
        if let Some(first) = plans.first() {
            agree_on_owner(first, &plan)?;
        }
        plans.push(plan);
    }
    refuse_twins(&plans)?;
    refuse_single(&plans)
}
