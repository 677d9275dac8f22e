//! Preparing a fleet: who belongs to it, and the same change prepared and verified for each of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::Address;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil::point;
use crate::text::quote_os;
use crate::upgrade::{
    Goal, Limits, Upgrade, UpgradeError, World,
    fleet::{AppIntent, Fleet, Halt, Invitation, Named, Standing, hold, standing_in},
    journal_error::JournalError,
    model::{Intent, Plan},
    planning::{neighbours::Neighbours, own_history::OwnProofs, read::plan_knowing},
    record::{
        fleet_decisions::{Decision, FleetIdentity, is_member_name},
        journal::{self, FleetJournal, SCHEMA},
    },
    steps::beforehand::look_ahead_among,
};

/// One run that prepares.
struct Run<'a> {
    dir: &'a Path,
    journal: &'a FleetJournal,
    world: &'a World<'a>,
    intent: &'a Intent,
    limits: &'a Limits,
    /// Leave out those that run the hash already.
    skip_current: bool,
    /// Other apps are changed by the same transaction, which is chosen elsewhere.
    with_others: bool,
    /// What else is under way on this machine.
    neighbours: Neighbours,
    /// What this machine's upgrades proved.
    own: OwnProofs<'a>,
}

impl Fleet {
    /// Plans, prepares and verifies the same change for each CVM, a few at a time; the first one's proposal is written for
    /// those who approve. Running it again goes on where it stopped, and takes in CVMs that are new.
    ///
    /// # Errors
    /// A CVM's upgrade cannot be prepared, or its hash is not that of the first. What is under way then goes on to its
    /// end, and nothing new begins.
    pub async fn prepare(dir: &Path, world: &World<'_>, wanted: &AppIntent, limits: &Limits) -> Result<Self, Halt> {
        let AppIntent { intent, invited } = wanted;
        let journal = hold(dir, world.ask)?;
        let run = Run {
            dir,
            journal: &journal,
            world,
            intent,
            limits,
            skip_current: invited.skip_current,
            with_others: invited.with_others,
            neighbours: Neighbours::around(dir, world.root),
            own: OwnProofs::below(world.root),
        };
        let cvms = run.candidates(invited)?;
        let Some((first, others)) = cvms.split_first() else {
            return Err(UpgradeError::decide(Code::FleetEmpty, "no CVM was named").into());
        };
        let planned = plan_knowing(world, &run.intent_of(first), &run.own).await;
        let planned = planned.map_err(|error| Halt::of(first.as_str(), error))?;
        run.enrol(&planned, &cvms)?;
        let expected = planned.code.as_ref().and_then(|code| code.expected_hash);
        let ended = run.prepare_one(first, Some(planned), expected).await;
        let first_hash = ended.map_err(|error| Halt::of(first.as_str(), error))?;
        run.prepare_others(others, first_hash.or(expected)).await?;
        run.close().await?;
        Ok(Self::open(dir)?)
    }
}

impl Run<'_> {
    fn intent_of(&self, cvm: &CvmId) -> Intent {
        Intent {
            cvm: cvm.clone(),
            ..self.intent.clone()
        }
    }

    /// Who was asked, and who belongs to the fleet already: each once.
    fn candidates(&self, invited: &Invitation) -> Result<Vec<CvmId>, UpgradeError> {
        for cvm in &invited.without {
            self.leave_out(cvm)?;
        }
        let roster = self.journal.roster();
        let members = roster.iter().flat_map(|roster| &roster.members);
        let mut all = members.map(|cvm| cvm.parse()).collect::<Result<Vec<CvmId>, _>>()?;
        let wanted = invited.cvms.iter().filter(|cvm| !invited.without.contains(cvm));
        for cvm in wanted {
            if !is_member_name(cvm.as_str()) {
                return Err(UpgradeError::decide(
                    Code::FleetName,
                    format!("`{cvm}` would be named like a file of the fleet itself; name that CVM by its UUID"),
                ));
            }
            if !all.contains(cvm) {
                all.push(cvm.clone());
            }
        }
        Ok(all)
    }

    /// Somebody wants the fleet to go without this CVM, and nothing was done for it yet.
    fn leave_out(&self, cvm: &CvmId) -> Result<(), UpgradeError> {
        let name = cvm.to_string();
        if !self.journal.has(&name) {
            return Ok(());
        }
        if standing_in(self.journal, &name)?.1.identity().is_some() {
            return Err(UpgradeError::decide(
                Code::FleetMemberBegun,
                format!(
                    "{cvm} is being prepared already; `countersign reject --dir {}` gives it up",
                    quote_os(self.dir.join(&name).as_os_str())
                ),
            ));
        }
        let left_out = Decision::LeftOut {
            cvm: name,
            compose_hash: None,
        };
        Ok(self.journal.record(left_out)?)
    }

    /// Writes down who belongs to the fleet, before anything is done for anybody.
    fn enrol(&self, planned: &Plan, cvms: &[CvmId]) -> Result<(), UpgradeError> {
        let Some(roster) = self.journal.roster() else {
            for cvm in cvms {
                self.refuse_own_journal(cvm)?;
            }
            let charter = FleetIdentity {
                schema: SCHEMA,
                app: planned.app,
                chain_id: planned.chain_id,
                cloud: self.world.cloud.host(),
                members: cvms.iter().map(ToString::to_string).collect(),
            };
            self.journal.begin(charter)?;
            point("fleet.e");
            return Ok(());
        };
        if roster.charter.cloud != self.world.cloud.host() {
            let found = self.world.cloud.host();
            return Err(UpgradeError::stop(
                Code::CloudMismatch,
                "API host",
                &roster.charter.cloud,
                found,
            ));
        }
        let strangers = cvms.iter().filter(|cvm| !roster.has(cvm.as_str()));
        for cvm in strangers.filter(|cvm| !roster.left_out.contains_key(cvm.as_str())) {
            self.refuse_own_journal(cvm)?;
            let cvm = cvm.to_string();
            self.journal.record(Decision::Joined { cvm })?;
        }
        Ok(())
    }

    /// A directory that holds an upgrade of its own would hold two.
    fn refuse_own_journal(&self, cvm: &CvmId) -> Result<(), UpgradeError> {
        let path = self.dir.join(cvm.as_str()).join(journal::FILE);
        if path.exists() {
            return Err(JournalError::Foreign {
                path,
                expected: "the fleet".to_owned(),
                found: "an upgrade by itself".to_owned(),
            }
            .into());
        }
        Ok(())
    }

    async fn prepare_others(&self, others: &[CvmId], mut expected: Option<ComposeHash>) -> Result<(), Halt> {
        let stopped = AtomicBool::new(false);
        let (first, stop) = (expected, &stopped);
        let each = others.iter().map(|cvm| async move {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let ended = self.prepare_one(cvm, None, first).await;
            stop.fetch_or(ended.is_err(), Ordering::Relaxed);
            ended.map_err(|error| Halt::of(cvm.as_str(), error))
        });
        let mut each =
            futures_util::stream::iter(each.zip(others).map(|(ended, cvm)| async move { (cvm, ended.await) }))
                .buffer_unordered(self.limits.parallel.max(1));
        let mut failed = None;
        while let Some((cvm, ended)) = each.next().await {
            match (ended, expected) {
                (Err(halt), _) => failed = failed.or(Some(halt)),
                (Ok(None), _) => {}
                (Ok(found), None) => expected = found,
                (Ok(Some(found)), Some(known)) if found == known => {}
                (Ok(Some(found)), Some(known)) => {
                    stop.store(true, Ordering::Relaxed);
                    failed = failed.or_else(|| Some(Halt::of(cvm.as_str(), other_hash(cvm, found, known))));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Prepares and verifies one CVM's upgrade and says its hash; nothing of one that is left out or was given up.
    async fn prepare_one(
        &self,
        cvm: &CvmId,
        planned: Option<Plan>,
        expected: Option<ComposeHash>,
    ) -> Result<Option<ComposeHash>, UpgradeError> {
        let name = cvm.as_str();
        let own = World {
            reached: self.world.reached.clone(),
            ask: &Named {
                ask: self.world.ask,
                cvm: name,
                agreed: false,
            },
            ..*self.world
        };
        let mut planned = match planned {
            Some(planned) => planned,
            None => plan_knowing(&own, &self.intent_of(cvm), &self.own).await?,
        };
        look_ahead_among(&own, &mut planned, &self.neighbours, self.limits).await?;
        self.refuse_other_app(cvm, &planned)?;
        if self.settle_membership(cvm, &planned)? {
            return Ok(None);
        }
        let begun = standing_in(self.journal, name)?.1;
        if begun.abandoned.is_some() {
            return Ok(None);
        }
        let found = planned.code.as_ref().and_then(|code| code.expected_hash);
        if let (Some(found), Some(known), None) = (found, expected, begun.verified())
            && found != known
        {
            return Err(other_hash(cvm, found, known));
        }
        let mut upgrade = Upgrade::begin_in(self.journal, name, planned, self.limits)?;
        upgrade.advance(&own, Goal::Verified, self.limits).await?;
        match upgrade.state().verified() {
            Some((hash, _)) => Ok(Some(*hash)),
            None => Err(UpgradeError::decide(Code::FleetHash, format!("{cvm} has no hash yet"))),
        }
    }

    fn refuse_other_app(&self, cvm: &CvmId, planned: &Plan) -> Result<(), UpgradeError> {
        let found = (planned.app, planned.chain_id);
        let Some(expected) = self.journal.app().filter(|expected| *expected != found) else {
            return Ok(());
        };
        let shown = |(app, chain_id): (Address, u64)| format!("{app} on chain {chain_id}");
        Err(UpgradeError::stop(
            Code::FleetAppMismatch,
            format!("app of {cvm}"),
            shown(expected),
            shown(found),
        ))
    }

    /// Leaves out a CVM that runs the hash before anything was done for it, and takes one in that was left out and no
    /// longer runs it. `true`: it does not belong to the fleet.
    fn settle_membership(&self, cvm: &CvmId, planned: &Plan) -> Result<bool, UpgradeError> {
        let code = planned.code.as_ref();
        let hash = code.and_then(|code| code.current_hash.filter(|current| code.expected_hash == Some(*current)));
        let name = cvm.to_string();
        if !self.journal.has(&name) {
            if hash.is_some() {
                return Ok(true);
            }
            self.journal.record(Decision::Joined { cvm: name })?;
            return Ok(false);
        }
        let Some(compose_hash) = hash.filter(|_| self.skip_current) else {
            return Ok(false);
        };
        let (standing, state) = standing_in(self.journal, &name)?;
        if state.identity().is_some() || standing != Standing::Preparing {
            return Ok(false);
        }
        self.world
            .ask
            .tell(&format!("{name}: runs the hash already, and is left out"));
        self.journal.record(Decision::LeftOut {
            cvm: name,
            compose_hash: Some(compose_hash),
        })?;
        Ok(true)
    }

    /// Every member is prepared: writes the first one's proposal for those who approve, and down who has what.
    async fn close(&self) -> Result<(), Halt> {
        let roster = self.journal.roster();
        let mut hash = None;
        let mut members = Vec::new();
        for cvm in roster.iter().flat_map(|roster| &roster.members) {
            let state = standing_in(self.journal, cvm).map_err(|error| Halt::of(cvm, error))?.1;
            // One that was given up after it was approved is still what was approved.
            if (state.abandoned.is_none() || state.proof().is_some())
                && let Some((verified, _)) = state.verified()
            {
                hash = hash.or(Some(*verified));
                members.push(cvm.clone());
            }
        }
        let (Some(first), Some(compose_hash)) = (members.first(), hash) else {
            return Err(UpgradeError::decide(
                Code::FleetEmpty,
                "no CVM is left to upgrade: each of them runs the hash already, or was given up",
            )
            .into());
        };
        if !self.with_others {
            let mut approval = Upgrade::open_in(self.journal, first).map_err(|error| Halt::of(first, error))?;
            let reached = approval.advance(self.world, Goal::Prepared, self.limits).await;
            reached.map_err(|error| Halt::of(first, error))?;
        }
        let known = roster.and_then(|roster| roster.prepared);
        if known.as_ref() != Some(&(compose_hash, members.clone())) {
            point("fleet.b");
            let at = Timestamp::now();
            self.journal.record(Decision::Prepared {
                compose_hash,
                members,
                at,
            })?;
        }
        Ok(())
    }
}

fn other_hash(cvm: &CvmId, found: ComposeHash, known: ComposeHash) -> UpgradeError {
    UpgradeError::stop(Code::FleetHashMismatch, format!("compose hash of {cvm}"), known, found)
}
