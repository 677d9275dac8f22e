//! Reads who an app is given to. What it means is judged in `checks::new_owner`.

use alloy::primitives::Address;

use crate::chain::{BlockRef, Chain, OwnerKind};
use crate::safe::{Obedient, SafeInfo};
use crate::upgrade::{
    UpgradeError,
    checks::new_owner::{NewOwner, of_new_owner},
    finding::Finding,
};

/// What stands at an address after `block`. Up to six round trips, and as many as reading logs takes for a timelock.
///
/// # Errors
/// Something could not be read.
pub(in crate::upgrade) async fn read_new_owner(
    chain: &Chain,
    address: Address,
    block: &BlockRef,
) -> Result<NewOwner, UpgradeError> {
    let kind = chain.kind_of(address, block).await?;
    let mut new_owner = NewOwner {
        address,
        kind,
        seen: kind == OwnerKind::Eoa && chain.was_seen(address, block).await?,
        safe: None,
        timelock: None,
    };
    if kind != OwnerKind::Contract {
        return Ok(new_owner);
    }
    new_owner.safe = SafeInfo::read(chain, address).await?;
    if new_owner.safe.is_none()
        && let Some(timelock) = chain.timelock(address).await?
    {
        let roles = chain.timelock_roles(&timelock, &[]).await?;
        new_owner.timelock = Some((timelock, roles));
    }
    Ok(new_owner)
}

/// What is found about the owner that a new app is to have.
///
/// # Errors
/// Something could not be read.
pub(in crate::upgrade) async fn of_first_owner(
    chain: &Chain,
    (owner, kms): (Address, Address),
    block: &BlockRef,
) -> Result<Vec<Finding>, UpgradeError> {
    let targets = [
        (Obedient::App, None),
        (Obedient::Kms, Some(kms)),
        (Obedient::Timelock, None),
    ];
    let new_owner = read_new_owner(chain, owner, block).await?;
    Ok(of_new_owner(&targets, None, &new_owner))
}
