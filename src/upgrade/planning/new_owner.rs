//! Reads who an app is given to. What it means is judged in `checks::new_owner`.

use alloy::primitives::Address;

use crate::chain::{
    BlockRef, Chain, OwnerKind,
    timelock::{LogReach, TimelockRead},
};
use crate::safe::{info::SafeInfo, strangers::Obedient};
use crate::upgrade::{
    UpgradeError,
    checks::new_owner::{NewOwner, of_new_owner},
    finding::Finding,
};

/// Requests to each endpoint by which the events of a timelock are read.
const REQUESTS: u32 = 400;

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
        && let Some(info) = chain.timelock(address).await?
    {
        let (roles, waiting) = chain
            .timelock_standing(
                &info,
                &[],
                LogReach {
                    from: 0,
                    requests: REQUESTS,
                },
            )
            .await?;
        new_owner.timelock = Some(TimelockRead { info, roles, waiting });
    }
    Ok(new_owner)
}

/// What is found about the owner that a new app is to have, as it was read.
pub(in crate::upgrade) fn of_first_owner(new_owner: &NewOwner, kms: Address) -> Vec<Finding> {
    let targets = [
        (Obedient::App, None),
        (Obedient::Kms, Some(kms)),
        (Obedient::Timelock, None),
    ];
    of_new_owner(&targets, None, new_owner)
}
