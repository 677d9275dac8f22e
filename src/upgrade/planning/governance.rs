//! Reads what governs an app's owner of the kinds that are known by name and to which no route leads. What it means is said
//! in `checks::governance`.

use alloy::primitives::Address;

use crate::chain::{AppState, BlockRef, Chain, OwnerKind, governance::SafeHelpers};
use crate::code::Code;
use crate::safe::{info::SafeInfo, simulate::Obstacle};
use crate::upgrade::{
    UpgradeError,
    checks::governance::{GovernorRole, of_app, of_governor, of_safe},
    finding::Warning,
};

/// What is to be known of an app and its owner where either is of a kind that is known by name. No round trip where the owner
/// is a key, up to four where it is a contract.
///
/// # Errors
/// Something could not be read.
pub async fn governance_of(chain: &Chain, app: &AppState) -> Result<Vec<Warning>, UpgradeError> {
    let mut found: Vec<Warning> = of_app(app, None).into_iter().collect();
    if app.owner_kind == OwnerKind::Contract {
        match SafeInfo::read_at(chain, app.owner, &app.block).await? {
            Some(safe) => found.extend(read_safe(chain, &safe).await?),
            None => found.extend(read_governor(chain, app.owner, GovernorRole::Owner, &app.block).await?),
        }
    }
    Ok(found)
}

/// What acts for a Safe besides its owners, or keeps it from acting. One round trip where it has a guard or modules.
pub(in crate::upgrade) async fn read_safe(chain: &Chain, safe: &SafeInfo) -> Result<Vec<Warning>, UpgradeError> {
    let helpers = SafeHelpers {
        guard: safe.guard,
        modules: &safe.modules,
    };
    let found = chain.safe_governance(safe.address, helpers, &safe.block).await?;
    Ok(found.iter().filter_map(|one| of_safe(safe.address, one)).collect())
}

/// A governor, if that is what stands there. One round trip.
pub(in crate::upgrade) async fn read_governor(
    chain: &Chain,
    address: Address,
    role: GovernorRole,
    block: &BlockRef,
) -> Result<Option<Warning>, UpgradeError> {
    let governor = chain.governor_at(address, block).await?;
    Ok(governor.map(|governor| of_governor(&governor, role)))
}

/// The code and the words for a Safe transaction that would fail: a guard that is a timelock wants it scheduled first. One
/// round trip where a guard refuses.
///
/// # Errors
/// Something could not be read.
pub(in crate::upgrade) async fn why_it_fails(
    chain: &Chain,
    safe: &SafeInfo,
    why: &Obstacle,
) -> Result<(Code, String), UpgradeError> {
    let told = why.to_string();
    if let Obstacle::Guard { guard, .. } = why {
        let helpers = SafeHelpers {
            guard: Some(*guard),
            modules: &[],
        };
        let found = chain.safe_governance(safe.address, helpers, &safe.block).await?;
        if let Some(warning) = found.iter().find_map(|one| of_safe(safe.address, one)) {
            return Ok((warning.code, format!("{told}; {}", warning.text)));
        }
    }
    Ok((Code::SafeWouldFail, told))
}
