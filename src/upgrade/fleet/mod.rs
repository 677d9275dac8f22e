//! Several CVMs of one app by one approval: each has an upgrade of its own, all for the same hash, in one journal.
//!
//! The first one's proposal is what gets approved, by the ordinary steps. The others have nothing to sign: they find the
//! hash allowed and commit with the same proof, in waves, so that a CVM that does not come back stops the rest. Preparing
//! stands in `prepare`, committing in `waves`, what is decided in `roster`; here is what a fleet is and where its members
//! stand.

pub(super) mod apps;
mod prepare;
mod waves;

pub use apps::{Apps, by_app};
pub use waves::{AfterWave, Waves};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cloud::{Cvm, CvmId};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::signer::{Ask, AskError, Consent, Wallet};
use crate::upgrade::{
    UpgradeError, World,
    model::Intent,
    record::{Effect, State, Status},
    record::{
        fleet_decisions::{Decision, Roster, is_member_name},
        gitignore::{self, Holds},
        journal::{self, FleetJournal, FleetReading, fold},
    },
};

pub use crate::upgrade::record::fleet_decisions::{Wave, WaveEnd};

/// Upgrades of several CVMs of one app.
#[derive(Debug)]
pub struct Fleet {
    dir: PathBuf,
    reading: FleetReading,
}

/// Which CVMs are to have the change.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The one whose proposal is approved, then the others.
    pub cvms: Vec<CvmId>,
    /// Leave these out, whoever named them; nothing was prepared for them.
    pub without: Vec<CvmId>,
    /// Leave out those that run the hash already, instead of stopping there.
    pub skip_current: bool,
    /// One transaction is to change other apps as well: whose proposal is approved, whoever prepares all of them decides.
    pub with_others: bool,
}

/// What one app is to become.
#[derive(Debug, Clone)]
pub struct AppIntent {
    /// What is wanted, for its first CVM.
    pub intent: Intent,
    /// Its CVMs, the first one first.
    pub invited: Invitation,
}

/// What stopped a fleet, and whose upgrade that was.
#[derive(Debug)]
pub struct Halt {
    /// The CVM, where it was about one.
    pub cvm: Option<String>,
    /// Why.
    pub error: Box<UpgradeError>,
}

/// Where one member stands.
#[derive(Debug)]
pub struct Member {
    /// CVM.
    pub cvm: String,
    /// Its upgrade's directory.
    pub dir: PathBuf,
    /// In one word.
    pub standing: Standing,
    /// Where its upgrade stands.
    pub status: Option<Status>,
    /// Why it stopped the last wave that it was in.
    pub stopped: Option<String>,
    /// Why its records cannot be read.
    pub error: Option<UpgradeError>,
}

/// Where a member stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its records cannot be read.
    Unreadable,
    /// Nothing is recorded, or it is not prepared yet.
    Preparing,
    /// Prepared and verified; the approval is not known here.
    Prepared,
    /// The hash is allowed; nothing was committed.
    Approved,
    /// A commit was sent and its outcome is not known.
    Committing,
    /// The commit was accepted; the CVM does not report the hash yet.
    Committed,
    /// The CVM runs the hash.
    Live,
    /// Somebody gave it up.
    GivenUp,
}

/// How many members stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub members: usize,
    /// Not prepared yet.
    pub preparing: usize,
    /// Prepared, not approved.
    pub prepared: usize,
    /// Approved, not committed.
    pub approved: usize,
    /// A commit's outcome is not known.
    pub committing: usize,
    /// Committed, not back yet.
    pub committed: usize,
    /// On the hash.
    pub live: usize,
    /// Given up.
    pub given_up: usize,
    /// Not to be read.
    pub unreadable: usize,
    /// Of all these, those that stopped the last wave that they were in.
    pub stopped: usize,
    /// Besides: left out, since they ran the hash before anything was done, or somebody said so.
    pub left_out: usize,
}

impl<E: Into<UpgradeError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self {
            cvm: None,
            error: Box::new(error.into()),
        }
    }
}

impl Halt {
    /// What stopped it was about this CVM.
    pub fn of(cvm: &str, error: UpgradeError) -> Self {
        Self {
            cvm: Some(cvm.to_owned()),
            error: Box::new(error),
        }
    }
}

impl Member {
    /// Its CVM runs the hash.
    pub fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }
}

impl Standing {
    fn of(state: &State) -> Self {
        let effects = state.effects();
        match (effects.live, effects.commit) {
            // One that was given up has nothing left to do either.
            (Effect::Done, _) => Self::Live,
            _ if state.abandoned.is_some() => Self::GivenUp,
            (_, Effect::Done) => Self::Committed,
            (_, Effect::Maybe) => Self::Committing,
            (_, Effect::None) if state.proof().is_some() => Self::Approved,
            (_, Effect::None) if state.verified().is_some() => Self::Prepared,
            (_, Effect::None) => Self::Preparing,
        }
    }

    /// Nothing is left to do for it.
    const fn is_settled(self) -> bool {
        matches!(self, Self::Live | Self::GivenUp)
    }
}

impl Counts {
    /// Counts the members of a fleet.
    pub fn of(fleet: &Fleet, members: &[Member]) -> Self {
        let mut counts = Self {
            members: members.len(),
            left_out: fleet.left_out().count(),
            ..Self::default()
        };
        for member in members {
            let count = match member.standing {
                Standing::Unreadable => &mut counts.unreadable,
                Standing::Preparing => &mut counts.preparing,
                Standing::Prepared => &mut counts.prepared,
                Standing::Approved => &mut counts.approved,
                Standing::Committing => &mut counts.committing,
                Standing::Committed => &mut counts.committed,
                Standing::Live => &mut counts.live,
                Standing::GivenUp => &mut counts.given_up,
            };
            *count += 1;
            counts.stopped += usize::from(member.stopped.is_some());
        }
        counts
    }
}

/// Every CVM of `app` that Phala Cloud lists.
///
/// # Errors
/// See [`crate::cloud::CloudError`].
pub async fn cvms_of(world: &World<'_>, app: Address) -> Result<Vec<CvmId>, UpgradeError> {
    let all = world.cloud.all_cvms().await?;
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for name in all.iter().filter_map(|cvm| cvm.name.as_deref()) {
        *names.entry(name).or_default() += 1;
    }
    let mut found = Vec::new();
    for cvm in all.iter().filter(|cvm| may_be_of(cvm, app)) {
        // A name that two have names neither.
        let own = |name: &&String| is_member_name(name) && names.get(name.as_str()) == Some(&1);
        match cvm.name.as_ref().filter(own).or(cvm.uuid.as_ref()) {
            Some(name) => found.push(name.parse()?),
            None => return Err(unnamed(cvm, app)),
        }
    }
    Ok(found)
}

/// Whether a record is of the app, or says of nothing what it is of.
fn may_be_of(cvm: &Cvm, app: Address) -> bool {
    cvm.app_id == Some(app) || (cvm.app_id.is_none() && cvm.name.is_none() && cvm.uuid.is_none())
}

/// Leaving one out in silence would be a fleet without it.
fn unnamed(cvm: &Cvm, app: Address) -> UpgradeError {
    let name = cvm.name.as_ref().map_or_else(
        || "neither UUID nor name".to_owned(),
        |name| format!("no UUID, and a name that does not tell it from others: {name}"),
    );
    UpgradeError::decide(
        Code::FleetMemberUnnamed,
        format!("Phala Cloud lists a CVM with {name}; it may be one of {app}, and nothing can be asked for it"),
    )
}

impl Fleet {
    /// Opens the fleet in a directory: reads its journal as it is now, and locks nothing.
    ///
    /// # Errors
    /// There is none, or its journal is damaged.
    pub fn open(dir: &Path) -> Result<Self, UpgradeError> {
        Ok(Self {
            dir: dir.to_owned(),
            reading: FleetReading::open(dir)?,
        })
    }

    const fn roster(&self) -> &Roster {
        self.reading.roster()
    }

    /// The upgrade whose proposal is approved.
    pub fn approval(&self) -> PathBuf {
        self.dir.join(self.roster().approval().unwrap_or_default())
    }

    /// The hash that all of them get, once all are prepared.
    pub fn compose_hash(&self) -> Option<ComposeHash> {
        self.roster().prepared.as_ref().map(|(hash, _)| *hash)
    }

    /// The app, and its chain.
    pub const fn app(&self) -> (Address, u64) {
        (self.roster().charter.app, self.roster().charter.chain_id)
    }

    /// CVMs that do not belong to it: they ran the hash before anything was done, which is then told, or somebody said so.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, Option<ComposeHash>)> {
        let left_out = self.roster().left_out.iter();
        left_out.map(|(cvm, hash)| (cvm.as_str(), *hash))
    }

    /// The wave that was begun last; nothing before the first.
    pub const fn wave(&self) -> Option<&Wave> {
        self.roster().wave.as_ref()
    }

    /// Where each member stood by the journal alone when the fleet was opened: its records are read by their places.
    pub fn members(&self) -> Vec<Member> {
        let path = self.dir.join(journal::FILE);
        let look = |cvm: &String| {
            let entries = self.reading.entries(cvm).map_err(UpgradeError::from);
            self.member(cvm, entries.and_then(|entries| fold(&path, entries)))
        };
        self.roster().members.iter().map(look).collect()
    }

    fn member(&self, cvm: &str, state: Result<State, UpgradeError>) -> Member {
        let (standing, status, error) = match state {
            Ok(state) => (Standing::of(&state), Some(state.status()), None),
            Err(error) => (Standing::Unreadable, None, Some(error)),
        };
        Member {
            cvm: cvm.to_owned(),
            dir: self.dir.join(cvm),
            stopped: self
                .roster()
                .stopped
                .get(cvm)
                .filter(|_| !standing.is_settled())
                .cloned(),
            standing,
            status,
            error,
        }
    }
}

/// Holds the journal of the fleet in `dir` for a run, and tells what opening it recovered.
fn hold(dir: &Path, ask: &dyn Ask) -> Result<FleetJournal, UpgradeError> {
    let journal = FleetJournal::hold(dir)?;
    if let Some(warning) = gitignore::tracked(dir, Holds::Fleet) {
        ask.tell(&format!("warning: {}", warning.text));
    }
    let (torn, mode, rolled_back) = journal.recovered();
    let opened = journal.roster().is_some();
    let tell = |news: String| {
        ask.tell(&news);
        if opened {
            journal.record(Decision::Note { text: news })?;
        }
        Ok::<_, UpgradeError>(())
    };
    if torn > 0 {
        tell(format!(
            "recovered the journal: dropped {torn} bytes of an incomplete record"
        ))?;
    }
    if let Some(mode) = mode {
        tell(format!(
            "others could open the journal (mode {mode:04o}); it is 0600 now"
        ))?;
    }
    if rolled_back {
        ask.tell("the journal is an older copy: what the chain and the cloud prove is adopted, nothing is sent again");
    }
    Ok(journal)
}

/// Where a member stands, for the run that holds the journal.
fn standing_in(journal: &FleetJournal, cvm: &str) -> Result<(Standing, State), UpgradeError> {
    let (_, entries) = journal.member(cvm)?;
    let state = fold(journal.path(), entries)?;
    Ok((Standing::of(&state), state))
}

/// Whoever is asked, for one of several CVMs under way: news begins with its name.
struct Named<'a> {
    ask: &'a dyn Ask,
    cvm: &'a str,
    /// Somebody agreed to all of it before.
    agreed: bool,
}

impl Ask for Named<'_> {
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError> {
        self.ask.secret(prompt)
    }
    fn can_agree(&self) -> Result<(), AskError> {
        if self.agreed { Ok(()) } else { self.ask.can_agree() }
    }
    fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        self.ask.variable(name)
    }
    fn consent(&self, consent: &Consent) -> Result<bool, AskError> {
        // Who agreed to all of it named nothing of what has to be named.
        Ok((self.agreed && consent.decisions.is_empty()) || self.ask.consent(consent)?)
    }
    fn agrees_unseen(&self) -> bool {
        self.agreed || self.ask.agrees_unseen()
    }
    fn can_name(&self) -> bool {
        self.ask.can_name()
    }
    fn wallet(&self) -> Result<Wallet, AskError> {
        self.ask.wallet()
    }
    fn tell(&self, news: &str) {
        self.ask.tell(&format!("{}: {news}", self.cvm));
    }
}
