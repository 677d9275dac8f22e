//! What can be refused is refused before the first request that changes anything: a nonce of the Safe that cannot be had, a
//! batch that the Safe cannot make, and what this machine itself has under way; then, once the upgrade's directory is held,
//! a key, consent and files that would be missing later.

use std::path::Path;

use alloy::primitives::U256;

use crate::chain::timelock::TimelockRead;
use crate::code::Code;
use crate::fsutil;
use crate::safe::{info::SafeInfo, libraries::batcher_on};
use crate::signer::Signer;
use crate::upgrade::{
    Goal, Limits, UpgradeError, World,
    checks::{app::refuse_other_key, kms, verdict},
    files::TOKEN_FILE,
    finding::Warning,
    model::Plan,
    model::proposal,
    planning::neighbours::Neighbours,
    routes::safe::nonce,
    run::Run,
    steps::prepare::ANSWER_FILE,
    workspace::upgrade::Upgrade,
};

/// Holds a plan for `dir` against what this machine has under way, and against what was asked for of the Safe: whatever would
/// be refused later stands among the plan's blockers then. Reads journals; asks the chain where several calls are made;
/// remembers what was newly found of contracts' storage.
///
/// # Errors
/// Something could not be read.
pub async fn look_ahead(world: &World<'_>, plan: &mut Plan, dir: &Path, limits: &Limits) -> Result<(), UpgradeError> {
    let is_known = Upgrade::peek(dir).is_ok_and(|own| own.vouches_for_kms(plan) || own.agreed_to_kms(plan));
    if let Some(code) = &mut plan.code {
        code.kms_named |= is_known;
    }
    look_ahead_among(world, plan, &Neighbours::around(dir, world.root), limits).await
}

/// Whether an upgrade below `root` speaks for the KMS of a plan: then it is none that only Phala Cloud names. Reads journals.
pub fn recognise_kms(plan: &mut Plan, root: &Path) {
    Neighbours::below(root).know_the_kms(plan);
}

/// Holds a plan against other upgrades of this machine, read before, and against what was asked for of the Safe:
/// whatever would be refused later stands among the plan's blockers then. Asks the chain, and the Safe Transaction
/// Service where a nonce far ahead was named; keeps what was newly found of the contracts' storage.
pub(in crate::upgrade) async fn look_ahead_among(
    world: &World<'_>,
    plan: &mut Plan,
    neighbours: &Neighbours,
    limits: &Limits,
) -> Result<(), UpgradeError> {
    neighbours.judge(plan, limits.safe_nonce);
    plan.warnings.extend(kms::doubt(plan).map(|doubt| doubt.warning()));
    plan.storages
        .doubts
        .extend(world.app_storage(plan.chain_id, plan.app).doubts);
    if let (Some(timelock), Some(waiting)) = (&plan.timelock, &plan.waiting) {
        let read = TimelockRead {
            info: timelock.info.clone(),
            roles: timelock.roles.clone(),
            waiting: waiting.clone(),
        };
        let chain = world.chain(plan.chain_id).await?;
        let found = world.timelock_storage(&chain, &read, Some(plan.app)).await?;
        plan.storages.add(found);
    }
    if let Some(safe) = &plan.safe {
        let chain = world.chain(plan.chain_id).await?;
        let found = world.safe_storages(&chain, safe, &[]).await?;
        plan.storages.add(found);
    }
    world.keep_storages(&plan.storages);
    let Some(safe) = plan.safe.clone() else { return Ok(()) };
    plan.blockers
        .extend(limits.safe_nonce.and_then(|nonce| of_nonce(&safe, nonce)));
    let doubt = of_batch(world, &safe, plan).await?;
    plan.blockers.extend(doubt);
    Ok(())
}

/// What speaks against a nonce that was named.
fn of_nonce(safe: &SafeInfo, nonce: U256) -> Option<Warning> {
    if nonce < safe.nonce {
        return Some(nonce::used_up(safe, nonce));
    }
    verdict::far_ahead(safe.nonce, nonce).map(|text| Warning {
        code: Code::SafeNonceFar,
        text,
    })
}

/// Several calls of a Safe need a contract that makes them.
async fn of_batch(world: &World<'_>, safe: &SafeInfo, plan: &Plan) -> Result<Option<Warning>, UpgradeError> {
    let known = plan.calls.len();
    let calls = if known == 0 { plan.policy.len() + 1 } else { known };
    if calls < 2 || !plan.route.is_safe() {
        return Ok(None);
    }
    let chain = world.chain(plan.chain_id).await?;
    Ok(batcher_on(&chain, safe).await?.is_none().then(|| Warning {
        code: Code::SafeNoBatcher,
        text: crate::safe::SafeTxError::NoBatcher { calls }.to_string(),
    }))
}

impl Upgrade {
    /// Files that are written later can be: nothing else lies in their places.
    fn check_places(&self) -> Result<(), UpgradeError> {
        for name in [proposal::FILE, TOKEN_FILE, ANSWER_FILE] {
            fsutil::check_place(&self.dir().join(name))?;
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Before the first request that changes anything: what a later step would refuse for certain.
    pub(in crate::upgrade) async fn refuse_beforehand(&mut self, goal: Goal) -> Result<(), UpgradeError> {
        self.upgrade.check_places()?;
        let plan = self.plan()?;
        let nothing_to_sign = plan.app_state.hash_allowed == Some(true) && plan.policy.is_empty();
        if goal != Goal::Live || plan.code.is_none() || self.upgrade.follows() {
            return Ok(());
        }
        let waits = plan.waiting.as_ref();
        let scheduled = waits.is_some_and(|waiting| waiting.operations.iter().any(|one| one.calls == plan.calls));
        let Some(from) = plan.route.key(plan.safe.is_some() || scheduled) else {
            return Ok(());
        };
        self.world.ask.can_agree()?;
        if nothing_to_sign {
            return Ok(());
        }
        let Some(key) = self.signer().await?.map(Signer::address) else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("{from} has to sign, and no key was named"),
            ));
        };
        if plan.route.is_key() {
            return refuse_other_key(&plan, key);
        }
        match key == from {
            true => Ok(()),
            false => Err(UpgradeError::stop(Code::SignerNotProposer, "signer", from, key)),
        }
    }
}
