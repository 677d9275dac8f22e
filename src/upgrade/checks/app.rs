//! Whether an app is still what was planned for, and what of the change is in force.

use alloy::primitives::{Address, B256};

use crate::chain::{AppChanges, AppQuery, AppState, Chain, PolicyChange};
use crate::code::Code;
use crate::upgrade::{Stop, UpgradeError, model::Plan};

/// The question that asks for what the plan read.
pub(in crate::upgrade) fn query(plan: &Plan, hash: Option<B256>) -> AppQuery {
    let code = plan.code.as_ref();
    AppQuery {
        app: plan.app,
        kms: plan.kms,
        hash,
        running: code
            .and_then(|code| code.current_hash)
            .map(|hash| B256::from(*hash.as_bytes())),
        device: code.and_then(|code| code.device),
        os_image: code.and_then(|code| code.os_image),
        kind: false,
    }
}

/// What the contracts say now of what the plan read. Two round trips, one more where owner or code changed.
pub(in crate::upgrade) async fn app_now(
    chain: &Chain,
    plan: &Plan,
    hash: Option<B256>,
) -> Result<AppState, UpgradeError> {
    let head = chain.head().await?;
    Ok(chain.app_at(&query(plan, hash), &plan.app_state, head).await?)
}

/// Owner and code must be what the plan read.
pub(in crate::upgrade) fn check_pins(plan: &Plan, now: &AppState) -> Result<(), UpgradeError> {
    let then = &plan.app_state;
    // Where the app was to change hands, whoever made it did what was asked for.
    if !has_changed_hands(plan, now) {
        pin(
            Code::OwnerChanged,
            &format!("owner of {} at block {}", plan.app, now.block.number),
            then.owner,
            now.owner,
        )?;
        pin(
            Code::OwnerChanged,
            "kind of owner",
            then.owner_kind.to_string(),
            now.owner_kind.to_string(),
        )?;
    }
    let accepts = plan
        .policy
        .iter()
        .any(|change| matches!(change, PolicyChange::AcceptOwnership(_)));
    if accepts && now.owner != plan.actor.address {
        pin(
            Code::OwnerChanged,
            "to whom the app is offered",
            plan.actor.address,
            now.pending_owner.unwrap_or_default(),
        )?;
    }
    check_code(then, now.code_hash, now.implementation, now.implementation_code_hash)?;
    let device = plan.code.as_ref().and_then(|code| code.device);
    let adds_it = plan.policy.iter().any(|change| match change {
        PolicyChange::AddDevice(added) => Some(*added) == device,
        PolicyChange::AllowAnyDevice(on) => *on,
        _ => false,
    });
    if let Some(device) = device.filter(|_| now.device_allowed == Some(false) && !now.any_device && !adds_it) {
        return Err(UpgradeError::decide(
            Code::DeviceNotAllowed,
            format!(
                "the app does not allow the CVM's device; its owner has to call addDevice({device}) first, or in the same \
                 approval by --add-device {device}"
            ),
        ));
    }
    Ok(())
}

/// The hash, where allowing it is all that changes: the app's state then says whether that is in force.
pub(in crate::upgrade) fn sole_hash(changes: &AppChanges) -> Option<B256> {
    match changes.changes.as_slice() {
        [PolicyChange::AddComposeHash(hash)] => Some(*hash),
        _ => None,
    }
}

/// Only whose authority it needs can sign.
pub(in crate::upgrade) fn refuse_other_key(plan: &Plan, address: Address) -> Result<(), UpgradeError> {
    let owner = plan.actor.address;
    if address == owner {
        return Ok(());
    }
    Err(UpgradeError::Stop(Box::new(Stop {
        code: Code::SignerNotOwner,
        what: "signer".to_owned(),
        expected: owner.to_string(),
        found: address.to_string(),
        details: vec![if owner == plan.app_state.owner {
            "only the app's owner can change its policy".to_owned()
        } else {
            "only whom the app was offered to can accept it".to_owned()
        }],
        origin: None,
    })))
}

/// Whether the app belongs to whom the plan gives it to.
fn has_changed_hands(plan: &Plan, now: &AppState) -> bool {
    plan.policy.iter().any(|change| match change {
        PolicyChange::TransferOwnership(to) | PolicyChange::OfferOwnership(to) | PolicyChange::AcceptOwnership(to) => {
            *to == now.owner && *to != plan.app_state.owner
        }
        _ => false,
    })
}

fn pin<T: PartialEq + ToString>(code: Code, what: &str, expected: T, found: T) -> Result<(), UpgradeError> {
    if expected == found {
        Ok(())
    } else {
        Err(UpgradeError::stop(code, what, expected, found))
    }
}

/// The app's code must be what the plan read: another implementation may mean something else by the same answers.
pub(in crate::upgrade) fn check_code(
    then: &AppState,
    code: B256,
    implementation: Option<Address>,
    behind: Option<B256>,
) -> Result<(), UpgradeError> {
    const CODE: Code = Code::AppCodeChanged;
    let shown = |hash: Option<B256>| hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
    let named = |address: Option<Address>| address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    pin(CODE, "code of the app", then.code_hash, code)?;
    pin(
        CODE,
        "implementation of the app",
        named(then.implementation),
        named(implementation),
    )?;
    pin(
        CODE,
        "code of the implementation",
        shown(then.implementation_code_hash),
        shown(behind),
    )
}

/// Errors that more patience does not cure.
pub(in crate::upgrade) const fn is_final(error: &crate::chain::ChainError) -> bool {
    use crate::chain::ChainError as E;
    !matches!(error, E::Unavailable { .. } | E::Stale { .. } | E::TooFew { .. })
}
