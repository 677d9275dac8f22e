//! Several CVMs of one app by one approval: each has an upgrade of its own in one directory, all for the same hash.
//!
//! The first one's proposal is what gets approved, by the ordinary steps. The others have nothing to sign: they find the
//! hash allowed and commit with the same proof, in waves, so that a CVM that does not come back stops the rest.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::Address;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::drive::{keep, pretty};
use super::{Effect, Goal, Intent, Limits, Outcome, Status, Upgrade, UpgradeError, World};
use crate::cloud::{CvmId, Page};
use crate::compose::{ComposeHash, strict_json};
use crate::fsutil;
use crate::signer::{Ask, AskError, Consent};

/// The list of the members, within a fleet's directory.
pub const FLEET_FILE: &str = "fleet.json";
const SCHEMA: &str = "countersign.fleet/1";
/// Largest list that is read: some thousand CVMs.
const MAX_BYTES: u64 = 1 << 20;
/// Entries on a page of CVMs, the most that the server gives.
const PAGE: u32 = 100;

/// Upgrades of several CVMs of one app.
#[derive(Debug)]
pub struct Fleet {
    dir: PathBuf,
    roster: Roster,
}

/// The list of the members, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roster {
    schema: String,
    app: Address,
    chain_id: u64,
    compose_hash: ComposeHash,
    /// The first one's proposal is approved.
    members: Vec<String>,
}

/// How commits follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waves {
    /// How many CVMs go first, alone; no other is touched before all of them run the hash.
    pub canary: usize,
    /// How many are under way at once.
    pub parallel: usize,
}

/// Where one member stands.
#[derive(Debug)]
pub struct Member {
    /// CVM.
    pub cvm: String,
    /// Its upgrade's directory.
    pub dir: PathBuf,
    /// Where its upgrade stands.
    pub status: Option<Status>,
    /// What stopped it.
    pub error: Option<UpgradeError>,
}

impl Member {
    /// Its CVM runs the hash.
    pub fn is_live(&self) -> bool {
        // One that was given up has nothing left to do either.
        let live = |status: &Status| status.effects.live == Effect::Done;
        self.error.is_none() && self.status.as_ref().is_some_and(live)
    }
}

/// Every CVM of `app` that Phala Cloud lists.
///
/// # Errors
/// See [`crate::cloud::CloudError`].
pub async fn cvms_of(world: &World<'_>, app: Address) -> Result<Vec<CvmId>, UpgradeError> {
    let mut found = Vec::new();
    for number in 1.. {
        let page = Page {
            number: Some(number),
            size: Some(PAGE),
        };
        let listed = world.cloud.cvms(page).await?;
        let of_app = listed.items.iter().filter(|cvm| cvm.app_id == Some(app));
        for cvm in of_app {
            if let Some(name) = cvm.name.as_ref().or(cvm.uuid.as_ref()) {
                found.push(name.parse()?);
            }
        }
        if !listed.goes_on() {
            break;
        }
    }
    Ok(found)
}

impl Fleet {
    /// Plans, prepares and verifies the same change for each CVM, a few at a time; the first one's proposal is written for
    /// those who approve. Running it again goes on where it stopped.
    ///
    /// # Errors
    /// A CVM's upgrade cannot be prepared, or its hash is not that of the first.
    pub async fn prepare(
        dir: &Path,
        world: &World<'_>,
        (intent, cvms): (&Intent, &[CvmId]),
        (limits, parallel): (&Limits, usize),
    ) -> Result<Self, UpgradeError> {
        fsutil::create_private_dir(dir)?;
        let each = cvms.iter().map(|cvm| async move {
            let mine = Intent {
                cvm: cvm.clone(),
                ..intent.clone()
            };
            let plan = super::plan(world, &mine).await?;
            let of = (plan.app, plan.chain_id);
            let mut upgrade = Upgrade::begin(&dir.join(cvm.to_string()), plan, limits)?;
            upgrade.advance(world, Goal::Verified, limits).await?;
            let hash = upgrade.state().verified().map(|(hash, _)| *hash);
            Ok::<_, UpgradeError>((cvm.clone(), of, hash))
        });
        let mut done = futures_util::stream::iter(each).buffered(parallel.max(1));
        let mut expected: Option<((Address, u64), ComposeHash)> = None;
        while let Some(one) = done.next().await {
            let (cvm, of, hash) = one?;
            let hash = hash.ok_or_else(|| UpgradeError::decide("FLEET_HASH", format!("{cvm} has no hash yet")))?;
            match expected {
                None => expected = Some((of, hash)),
                Some(known) if known == (of, hash) => {}
                Some((app, known)) => return Err(differs((&cvm, of, hash), (app, known))),
            }
        }
        drop(done);
        let (Some(first), Some(((app, chain_id), compose_hash))) = (cvms.first(), expected) else {
            return Err(UpgradeError::decide("FLEET_EMPTY", "no CVM was named"));
        };
        let mut approval = Upgrade::open(&dir.join(first.to_string()))?;
        approval.advance(world, Goal::Prepared, limits).await?;
        let fleet = Self {
            dir: dir.to_owned(),
            roster: Roster {
                schema: SCHEMA.to_owned(),
                app,
                chain_id,
                compose_hash,
                members: cvms.iter().map(ToString::to_string).collect(),
            },
        };
        keep(&dir.join(FLEET_FILE), &pretty(&fleet.roster), 0o644)?;
        Ok(fleet)
    }

    /// Opens the fleet in a directory; reads the list only.
    ///
    /// # Errors
    /// There is none, or its list is malformed.
    pub fn open(dir: &Path) -> Result<Self, UpgradeError> {
        let path = dir.join(FLEET_FILE);
        let bytes = fsutil::read(&path, MAX_BYTES)?;
        let malformed = |why: String| UpgradeError::Proposal {
            path: path.clone(),
            why,
        };
        let value = strict_json(&bytes, bytes.len()).map_err(|error| malformed(error.to_string()))?;
        let roster: Roster = serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        if roster.schema != SCHEMA || roster.members.is_empty() {
            return Err(malformed("it is no list of a fleet".to_owned()));
        }
        for name in &roster.members {
            // A name becomes a directory's name.
            let read: CvmId = name.parse()?;
            if read.to_string() != *name {
                return Err(malformed("a CVM is not named as this version names it".to_owned()));
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            roster,
        })
    }

    /// The upgrade whose proposal is approved.
    pub fn approval(&self) -> PathBuf {
        let first = self.roster.members.first();
        self.dir.join(first.map_or("", String::as_str))
    }

    /// The hash that all of them get.
    pub const fn compose_hash(&self) -> ComposeHash {
        self.roster.compose_hash
    }

    /// The app, and its chain.
    pub const fn app(&self) -> (Address, u64) {
        (self.roster.app, self.roster.chain_id)
    }

    /// Where each member stands, by the journals alone.
    pub fn members(&self) -> Vec<Member> {
        self.roster.members.iter().map(|cvm| self.look(cvm)).collect()
    }

    fn look(&self, cvm: &str) -> Member {
        let dir = self.dir.join(cvm);
        let (status, error) = match Upgrade::peek(&dir) {
            Ok(state) => (Some(state.status()), None),
            Err(error) => (None, Some(error)),
        };
        Member {
            cvm: cvm.to_owned(),
            dir,
            status,
            error,
        }
    }

    /// Commits every member that does not run the hash yet, the canaries first. Nothing is signed: each proves by itself
    /// that the hash is allowed. A wave in which something fails is the last one.
    ///
    /// # Errors
    /// The approval is not proved yet, consent was refused, or what stopped a member; [`Self::members`] says what became of
    /// each.
    pub async fn commit(&self, world: &World<'_>, limits: &Limits, waves: Waves) -> Result<(), UpgradeError> {
        if Upgrade::peek(&self.approval())?.proof().is_none() {
            return Err(UpgradeError::TooEarly {
                message: "the effect on chain is not proved yet".to_owned(),
                command: "wait",
            });
        }
        let members = self.members();
        let waiting: Vec<&Member> = members.iter().filter(|member| !member.is_live()).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        agree(world, &waiting, self.roster.compose_hash)?;
        let agreed = Agreed(world.ask);
        let canaries = waiting.len().min(waves.canary);
        let (first, rest) = waiting.split_at(canaries);
        for wave in [first, rest] {
            // What is under way goes on to its end, and nothing new begins.
            let stopped = AtomicBool::new(false);
            let each = wave.iter().map(|member| async {
                if stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let ended = commit_one(world, (limits, &agreed), member).await;
                stopped.fetch_or(ended.is_err(), Ordering::Relaxed);
                ended
            });
            let each = futures_util::stream::iter(each).buffer_unordered(waves.parallel.max(1));
            let ended: Vec<Result<(), UpgradeError>> = each.collect().await;
            ended.into_iter().collect::<Result<(), UpgradeError>>()?;
        }
        Ok(())
    }
}

/// One member to its end. It has no key: what it cannot adopt, it does not do.
async fn commit_one(
    world: &World<'_>,
    (limits, ask): (&Limits, &Agreed<'_>),
    member: &Member,
) -> Result<(), UpgradeError> {
    let own = World {
        reached: world.reached.clone(),
        signer: None,
        ask,
        ..*world
    };
    let mut upgrade = Upgrade::open(&member.dir)?;
    let outcome = match upgrade.adopt_in_force(&own, limits).await? {
        Outcome::Reached => upgrade.advance(&own, Goal::Live, limits).await?,
        pending @ Outcome::Pending(_) => pending,
    };
    match outcome {
        Outcome::Reached => {
            world.ask.tell(&format!("{}: done", member.cvm));
            Ok(())
        }
        Outcome::Pending(pending) => Err(UpgradeError::Later {
            code: "FLEET_MEMBER_PENDING",
            message: format!("{} is not done: {}", member.cvm, pending.what),
            source: None,
        }),
    }
}

/// One question for all of them.
fn agree(world: &World<'_>, waiting: &[&Member], hash: ComposeHash) -> Result<(), UpgradeError> {
    let names: Vec<&str> = waiting.iter().map(|member| member.cvm.as_str()).collect();
    let consent = Consent {
        question: format!("Commit the update of {} CVMs? It restarts each of them.", names.len()),
        facts: vec![
            ("compose hash".to_owned(), hash.to_string()),
            ("CVMs".to_owned(), names.join(", ")),
        ],
    };
    if world.ask.consent(&consent)? {
        return Ok(());
    }
    Err(UpgradeError::Declined {
        what: "committing".to_owned(),
    })
}

fn differs(
    (cvm, of, hash): (&CvmId, (Address, u64), ComposeHash),
    (app, known): ((Address, u64), ComposeHash),
) -> UpgradeError {
    if of != app {
        return UpgradeError::stop(
            "FLEET_APP_MISMATCH",
            format!("app of {cvm}"),
            format!("{} on chain {}", app.0, app.1),
            format!("{} on chain {}", of.0, of.1),
        );
    }
    UpgradeError::stop("FLEET_HASH_MISMATCH", format!("compose hash of {cvm}"), known, hash)
}

/// Somebody agreed to all of it before.
struct Agreed<'a>(&'a dyn Ask);

impl Ask for Agreed<'_> {
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError> {
        self.0.secret(prompt)
    }
    fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        self.0.variable(name)
    }
    fn consent(&self, _: &Consent) -> Result<bool, AskError> {
        Ok(true)
    }
    fn tell(&self, news: &str) {
        self.0.tell(news);
    }
}
