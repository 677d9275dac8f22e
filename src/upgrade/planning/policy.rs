//! The plan of a change of an app's policy alone: devices, hashes, switches, ownership. Reads only.
//!
//! Such a change is an upgrade without a commit: the same directory, proposal, review, approval and proof.

use alloy::primitives::Address;
use jiff::Timestamp;

use crate::chain::{AppChanges, AppQuery, AppState, BlockRef, Chain, PolicyChange};
use crate::code::Code;
use crate::safe::{info::Trust, strangers::Obedient};
use crate::upgrade::{
    UpgradeError, World,
    checks::{
        findings::{policy_blockers, route_blocker},
        new_owner::{NewOwner, of_new_owner},
    },
    finding::{Finding, Warning},
    model::Plan,
    model::{
        actor::{Actor, TimelockChoice},
        in_use::InUse,
        remarks::{derived_warnings, safe_remarks},
        storage_note::Storages,
    },
    planning::{authority::Authority, new_owner::read_new_owner, read::check_pending_owner},
};

/// What is wanted of an app's policy.
#[derive(Debug, Clone)]
pub struct PolicyIntent {
    /// DstackApp = app id.
    pub app: Address,
    /// Chain id.
    pub chain_id: u64,
    /// DstackKms, where known.
    pub kms: Option<Address>,
    /// What is to change, in order, all of it in one approval.
    pub wishes: Vec<Wish>,
    /// What is fine about the Safe that has to act although this build does not know it.
    pub trust: Trust,
    /// How a timelock is asked, if one has to act.
    pub timelock: TimelockChoice,
    /// The new owner is fine although nothing shows that it can act.
    pub accept_new_owner: bool,
    /// To whom an ownership transfer is known to be under way.
    pub pending_owner: Option<Address>,
    /// What of the lists a CVM needs, as far as that is known.
    pub in_use: InUse,
    /// Taking it away is fine: the CVM does not boot again with what it has.
    pub remove_in_use: bool,
}

/// One wish. Ownership is resolved by how the app changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// As it stands.
    Change(PolicyChange),
    /// Give the app to this address: at once, or by an offer that it has to accept.
    TransferOwnership(Address),
    /// Accept the app that was offered.
    AcceptOwnership,
}

/// Reads the app and whoever has to act. Changes nothing.
///
/// # Errors
/// Something could not be read, or there is no such app.
pub async fn plan_policy(world: &World<'_>, intent: &PolicyIntent) -> Result<Plan, UpgradeError> {
    let chain = world.chain(intent.chain_id).await?;
    let mut state = chain.app(&query(intent)).await?;
    check_pending_owner(&state, intent.pending_owner)?;
    let listed = state.device_allowed.take();
    let changes = resolve(&state, intent)?;
    let actor = actor(&chain, &state, &changes).await?;
    let authority = Authority::read(&chain, actor, intent.timelock).await?;
    let mut blockers = policy_blockers(&state, &changes.changes);
    let mut warnings = derived_warnings(&state, None);
    if intent.pending_owner.is_some() || is_the_offered(&changes.changes, state.pending_owner) {
        warnings.retain(|warning| warning.code != Code::OwnerPending);
    }
    warnings.extend(intent.in_use.doubts(&changes.changes));
    let of_use = intent.in_use.remarks(&state, &changes.changes, listed);
    sort(of_use, intent.remove_in_use, &mut warnings, &mut blockers);
    blockers.extend(chain.holds(&changes, &state.block).await?.then(in_force));
    let (new_owners, storages) = read_new_owners(world, &chain, &changes, &state.block).await?;
    for new_owner in &new_owners {
        let (notes, doubts) = judge_new_owner(intent, &state, &authority, new_owner)?;
        warnings.extend(notes);
        let sure = new_owner.address.is_zero() && state.pending_owner.is_none();
        sort(doubts, intent.accept_new_owner && !sure, &mut warnings, &mut blockers);
    }
    let route = authority.route();
    // Why nobody can act yet, before what follows from nobody acting.
    blockers.extend(authority.blockers);
    blockers.extend(route_blocker(&route, changes.changes.len()));
    if let Some(safe) = &authority.safe {
        let (forbids, notes) = safe_remarks(safe, &intent.trust);
        blockers.extend(forbids);
        warnings.extend(notes);
    }
    warnings.extend(authority.warnings);
    warnings.extend(of_firmware(&changes.changes));
    let mut plan = Plan {
        app: intent.app,
        chain_id: intent.chain_id,
        kms: intent.kms,
        app_state: state,
        actor,
        route,
        safe: authority.safe,
        timelock: authority.timelock,
        code: None,
        policy: changes.changes,
        calls: Vec::new(),
        warnings,
        blockers,
        read_at: Timestamp::now(),
        waiting: authority.waiting,
        storages,
    };
    plan.calls = plan.calls_with(None);
    plan.judge_what_waits();
    Ok(plan)
}

/// Whoever the app is to be given to, and what is known of their storage.
async fn read_new_owners(
    world: &World<'_>,
    chain: &Chain,
    changes: &AppChanges,
    block: &BlockRef,
) -> Result<(Vec<NewOwner>, Storages), UpgradeError> {
    let (mut found, mut storages) = (Vec::new(), Storages::default());
    for address in changes.changes.iter().filter_map(PolicyChange::new_owner) {
        let new_owner = read_new_owner(chain, address, block).await?;
        storages.add(world.new_owner_storages(chain, &new_owner).await?);
        found.push(new_owner);
    }
    Ok((found, storages))
}

/// What is to be known of whoever the app is to be given to, and what is doubtful. A stop ends it: no option agrees to that.
fn judge_new_owner(
    intent: &PolicyIntent,
    state: &AppState,
    authority: &Authority,
    new_owner: &NewOwner,
) -> Result<(Vec<Warning>, Vec<Warning>), UpgradeError> {
    let timelock = authority.timelock.as_ref().map(|timelock| timelock.info.address);
    let targets = [
        (Obedient::App, Some(intent.app)),
        (Obedient::Kms, intent.kms),
        (Obedient::Timelock, timelock),
    ];
    let found = of_new_owner(&targets, Some(state), new_owner);
    if let Some(stop) = found.iter().find_map(|finding| finding.stop.clone()) {
        return Err(UpgradeError::Stop(stop));
    }
    let takes_back = new_owner.address.is_zero() && state.pending_owner.is_some();
    let (doubts, notes): (Vec<_>, Vec<_>) = found.iter().partition(|one| one.forbids() || takes_back);
    let told = |found: Vec<&Finding>| found.into_iter().map(Finding::warning).collect();
    Ok((told(notes), told(doubts)))
}

const fn query(intent: &PolicyIntent) -> AppQuery {
    AppQuery {
        app: intent.app,
        kms: intent.kms,
        hash: None,
        running: None,
        device: intent.in_use.device,
        os_image: None,
        kind: true,
    }
}

fn warning(code: Code, text: impl Into<String>) -> Warning {
    Warning {
        code: code.to_owned(),
        text: text.into(),
    }
}

fn in_force() -> Warning {
    warning(Code::PolicyInForce, "all of it is in force already: nobody has to act")
}

/// Firmware that has to be up to date may not be.
fn of_firmware(changes: &[PolicyChange]) -> Option<Warning> {
    let asks = changes.contains(&PolicyChange::RequireTcbUpToDate(true));
    asks.then(|| {
        warning(
            Code::TcbNotKnown,
            "whether the firmware of the machines is up to date is not known here: where it is not, the KMS refuses the next boot",
        )
    })
}

/// What was agreed to is a warning, everything else forbids going on.
fn sort(found: Vec<Warning>, agreed: bool, warnings: &mut Vec<Warning>, blockers: &mut Vec<Warning>) {
    if agreed { warnings } else { blockers }.extend(found);
}

/// Whether the changes are about the offer that is under way: it is taken, or made again.
fn is_the_offered(changes: &[PolicyChange], pending: Option<Address>) -> bool {
    changes.iter().any(|change| match change {
        PolicyChange::AcceptOwnership(_) => true,
        PolicyChange::OfferOwnership(to) => Some(*to) == pending,
        _ => false,
    })
}

/// The wishes as changes of this app.
fn resolve(state: &AppState, intent: &PolicyIntent) -> Result<AppChanges, UpgradeError> {
    let changes = intent.wishes.iter().map(|wish| match (*wish, state.pending_owner) {
        (Wish::Change(change), _) => Ok(change),
        (Wish::TransferOwnership(to), None) => Ok(PolicyChange::TransferOwnership(to)),
        (Wish::TransferOwnership(to), Some(_)) => Ok(PolicyChange::OfferOwnership(to)),
        (Wish::AcceptOwnership, Some(new_owner)) if !new_owner.is_zero() => {
            Ok(PolicyChange::AcceptOwnership(new_owner))
        }
        (Wish::AcceptOwnership, Some(_)) => Err(UpgradeError::decide(
            Code::NothingOffered,
            "the app was offered to nobody: there is nothing to accept",
        )),
        (Wish::AcceptOwnership, None) => Err(UpgradeError::decide(
            Code::OneStepOwnership,
            "the app changes hands in one step: there is nothing to accept",
        )),
    });
    let changes: Vec<PolicyChange> = changes.collect::<Result<_, _>>()?;
    if changes.is_empty() {
        return Err(UpgradeError::decide(
            Code::NothingToChange,
            "nothing of the policy is to change",
        ));
    }
    Ok(AppChanges {
        app: intent.app,
        changes,
    })
}

/// Who has to act: the owner, but for an offer whoever it was made to.
async fn actor(chain: &Chain, state: &AppState, changes: &AppChanges) -> Result<Actor, UpgradeError> {
    let accepts = changes.changes.iter().find_map(|change| match change {
        PolicyChange::AcceptOwnership(new_owner) => Some(*new_owner),
        _ => None,
    });
    match accepts {
        None => Ok(Actor::owner(state)),
        Some(address) => Ok(Actor {
            address,
            kind: chain.kind_of(address, &state.block).await?,
        }),
    }
}
