//! Reads from the chain what a verdict needs, and no more: each app's contract, its baseline, the Safe and its transaction.

use alloy::primitives::B256;
use jiff::Timestamp;

use crate::chain::{Chain, hash_past::HashPast};
use crate::cloud::Page;
use crate::safe::{LookError, look};
use crate::upgrade::{
    Limits, UpgradeError, World,
    checks::{
        app::{app_now, sole_hash},
        new_owner::new_owners,
        timelock,
        verdict::{self, AppKnown, Known, Subject, added, takes_away},
    },
    finding::Verdict,
    model::storage_note::Storages,
    model::{Plan, Proposal},
    model::{
        baseline::{Baseline, Past},
        safe_approval::{SafeApproval, SafeTxRole},
    },
    planning::{new_owner::read_new_owner, own_history::OwnProofs},
};

/// Times at which a hash was made to run, around which its approval is looked for.
const MOST_TIMES: usize = 3;

/// A time as the server writes it, seconds since 1970; one without a zone is UTC.
fn seconds(text: &str) -> Option<u64> {
    let time = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse());
    u64::try_from(time.ok()?.as_second()).ok()
}

/// Asks the chain. Once everything is in force the baseline is not asked again: the change may have taken it away.
///
/// # Errors
/// The chain did not answer. What it says is no error, whatever it is.
pub(in crate::upgrade) async fn examine(
    world: &World<'_>,
    chain: &Chain,
    subject: &Subject<'_>,
) -> Result<Known, UpgradeError> {
    let mut known = Known::default();
    let own = OwnProofs::below(world.root);
    if !takes_away(subject.role, subject.proposal) {
        let mut in_force = true;
        let mut states = Vec::new();
        for one in subject.proposal.apps() {
            let changes = one.changes();
            // The KMS is asked about the hash also where other things change with it, or where it is allowed already.
            let hash = one.compose_hash.map(|hash| B256::from(*hash.as_bytes()));
            let state = app_now(chain, &one.plan, hash.or_else(|| sole_hash(&changes))).await?;
            in_force &= match state.hash_allowed.filter(|_| sole_hash(&changes).is_some()) {
                Some(allowed) => allowed,
                None => chain.holds(&changes, &state.block).await?,
            };
            states.push((one, state));
        }
        known.in_force = in_force;
        for (one, state) in states {
            let (base, past) = match in_force {
                true => (Baseline::Nothing, Past::Clean),
                false => {
                    let hints = |before| hints(world, &own, &one.plan, before);
                    let base = Baseline::of(chain, &state, &one.plan, hints).await?;
                    match (own_past(&own, one), added(one).next()) {
                        (Past::NotKnown, Some(hash)) if subject.from_elsewhere => {
                            (base, Past::search(chain, &state, hash).await?)
                        }
                        (known, _) => (base, known),
                    }
                }
            };
            let mut to = Vec::new();
            for address in new_owners(&one.changes().changes).filter(|_| !in_force) {
                to.push(read_new_owner(chain, address, &state.block).await?);
            }
            known.apps.push(AppKnown {
                state,
                base,
                past,
                new_owners: to,
            });
        }
        if !in_force {
            examine_timelock(chain, subject.proposal, &mut known).await?;
        }
    }
    examine_safe(chain, subject, &mut known).await?;
    if !subject.only_takes_away() && !known.in_force {
        known.storages = storages(world, chain, subject, &known).await?;
    }
    Ok(known)
}

/// What is known of the storage of the apps, of whoever acts as it is now, and of whoever an app is given to.
async fn storages(
    world: &World<'_>,
    chain: &Chain,
    subject: &Subject<'_>,
    known: &Known,
) -> Result<Storages, UpgradeError> {
    let mut found = Storages::default();
    for one in subject.proposal.apps() {
        found.doubts.extend(world.app_storage(chain.id(), one.app()).doubts);
    }
    if let Some(timelock) = &known.timelock {
        let app = Some(subject.proposal.plan.app);
        found.add(world.timelock_storage(chain, &timelock.read(), app).await?);
    }
    for new_owner in known.apps.iter().flat_map(|app| &app.new_owners) {
        found.add(world.new_owner_storages(chain, new_owner).await?);
    }
    if let Some(look) = &known.look {
        let hashes = subject.ceremony.map_or_else(Vec::new, SafeApproval::hashes);
        found.add(world.safe_storages(chain, &look.info, &hashes).await?);
    }
    Ok(found)
}

/// What upgrades of this machine say of the hash that a proposal adds, which costs no request.
fn own_past(own: &OwnProofs<'_>, one: &Proposal) -> Past {
    added(one)
        .next()
        .map_or(Past::Clean, |hash| own.of(&one.plan).past(hash))
}

/// Transactions whose receipts may tell that the app allowed the hash before: as somebody named one, as the proposal does, and
/// as upgrades of this machine proved them.
fn hints(world: &World<'_>, own: &OwnProofs<'_>, plan: &Plan, before: B256) -> Vec<B256> {
    let named = world
        .base_tx
        .into_iter()
        .chain(plan.code.as_ref().and_then(|code| code.base_tx));
    let mut all: Vec<B256> = named.collect();
    all.extend(own.of(plan).hints(before));
    all
}

/// The timelock at the block at which the app was read.
async fn examine_timelock(chain: &Chain, proposal: &Proposal, known: &mut Known) -> Result<(), UpgradeError> {
    let (Some(plan), Some(first)) = (&proposal.plan.timelock, known.apps.first()) else {
        return Ok(());
    };
    match timelock::read(chain, proposal, plan, &first.state.block).await {
        Ok(found) => known.timelock = Some(found),
        Err(UpgradeError::Stop(stop)) => known.no_timelock = Some(*stop),
        Err(other) => return Err(other),
    }
    Ok(())
}

async fn examine_safe(chain: &Chain, subject: &Subject<'_>, known: &mut Known) -> Result<(), UpgradeError> {
    let Some(ceremony) = subject.ceremony else {
        return Ok(());
    };
    let signed_tx = ceremony.signed_tx(subject.role == SafeTxRole::Rejection);
    match look(chain, &signed_tx.tx, &signed_tx.signatures, None).await {
        Ok(found) => known.look = Some(found),
        Err(LookError::Chain(error)) => return Err(error.into()),
        Err(other) => known.no_safe = Some(UpgradeError::from(other).to_stop()),
    }
    if let Some((signed_tx, Some(_))) = ceremony.role(subject.role) {
        match look(chain, &signed_tx.tx, &signed_tx.signatures, None).await {
            Ok(found) => known.child = Some(found),
            Err(LookError::Chain(error)) => return Err(error.into()),
            Err(other) => known.no_safe = Some(UpgradeError::from(other).to_stop()),
        }
    }
    Ok(())
}

impl Plan {
    /// Asks what is known of the manifest before; where the app never allowed it, nothing goes on.
    pub(in crate::upgrade) async fn read_baseline(
        &mut self,
        world: &World<'_>,
        chain: &Chain,
        own: &OwnProofs<'_>,
    ) -> Result<(), UpgradeError> {
        let hints = |before| hints(world, own, self, before);
        let mut base = Baseline::of(chain, &self.app_state, self, hints).await?;
        if matches!(base, Baseline::Unknown { .. })
            && let Some(HashPast::Named { transaction, .. }) = self.told_by_revisions(world, chain).await?
        {
            base = Baseline::Revoked { transaction };
        }
        let hash = self.code.as_ref().and_then(|code| code.expected_hash);
        let past = match hash.filter(|_| self.app_state.hash_allowed != Some(true)) {
            Some(hash) => own.of(self).past(B256::from(*hash.as_bytes())),
            None => Past::NotKnown,
        };
        self.warnings
            .extend(base.finding(self).map(|finding| finding.warning()));
        if let Some(code) = &mut self.code {
            if let Baseline::Revoked { transaction } = &base {
                code.base_tx = Some(*transaction);
            }
            code.base = Some((base.clone(), past));
        }
        match base {
            Baseline::Never => verdict::of_plan(self, &base, past, &Limits::default()).check(),
            _ => Ok(()),
        }
    }

    /// An event that names what runs, around the times at which Phala Cloud says that CVMs were made to run it. Its word
    /// is a hint of where to look and nothing else.
    async fn told_by_revisions(&self, world: &World<'_>, chain: &Chain) -> Result<Option<HashPast>, UpgradeError> {
        let Some(before) = self.code.as_ref().and_then(|code| code.current_hash) else {
            return Ok(None);
        };
        let Ok(told) = world.cloud.revisions(self.app, Page::default()).await else {
            return Ok(None);
        };
        let of_it = told
            .items
            .iter()
            .filter(|revision| revision.compose_hash == Some(before));
        let times = of_it.filter_map(|revision| seconds(revision.created_at.as_deref()?));
        let hash = B256::from(*before.as_bytes());
        for at in times.take(MOST_TIMES) {
            if let Some(found) = chain.named_around(&self.app_state, hash, at).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The verdict over the plan, before there is a proposal of it: what a signer will meet, as far as it is known.
    pub fn verdict(&self, limits: &Limits) -> Verdict {
        let known = self.code.as_ref().and_then(|code| code.base.clone());
        let (base, past) = known.unwrap_or((Baseline::Nothing, Past::NotKnown));
        verdict::of_plan(self, &base, past, limits)
    }

    /// Whether the whole manifest has to be read: nobody is known to have approved the fields that stay as they are.
    pub fn is_to_be_read_whole(&self) -> bool {
        let code = self.code.as_ref();
        code.is_some_and(|code| !code.base.as_ref().is_some_and(|(base, _)| base.approves_the_rest(self)))
    }
}
