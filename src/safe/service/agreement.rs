//! What of the agreement that a service tells of is so: signatures of keys are recovered, and everything else is asked of
//! the chain. The service's word alone makes nobody agree, and what a delegate proposed no owner agreed to.

use std::collections::BTreeSet;

use super::super::info::SafeInfo;
use super::super::read::{Claim, confirmed};
use super::super::{OwnerSignature, SafeDomain};
use super::ServiceTx;
use crate::chain::{Chain, ChainError};

/// Most approvals and signatures of contracts that the chain is asked about at once: more than wait for any Safe, and not
/// so many that a service that invents them is expensive. The later ones in the list count for nothing.
const MOST: usize = 64;

/// Finds out which owners of the Safe agreed to each of `list`, and writes it there ([`ServiceTx::agreed`]). A record whose
/// hash is another than its fields have is agreed to by nobody. Asks the chain only where something is told that no key's
/// signature proves; two round trips.
///
/// # Errors
/// The chain did not answer.
pub async fn prove(chain: &Chain, info: &SafeInfo, list: &mut [ServiceTx]) -> Result<(), ChainError> {
    let domain = SafeDomain {
        chain_id: info.chain_id,
        safe: info.address,
        version: info.version,
    };
    let owners = info.owner_set();
    let (mut places, mut claims) = (Vec::new(), Vec::new());
    for (place, tx) in list.iter_mut().enumerate() {
        let mut agreed = BTreeSet::new();
        if let Ok(hash) = tx.computed_hash(&domain) {
            let named = tx.confirmations.iter().filter(|one| owners.contains(&one.owner));
            for one in named {
                let data = match one.read() {
                    Some(Ok(signature)) if signature.proves_itself() => {
                        if !agreed.contains(&one.owner) && one.is_of_its_owner(hash) {
                            agreed.insert(one.owner);
                        }
                        continue;
                    }
                    None => None,
                    Some(Ok(OwnerSignature::Approved { owner })) if owner == one.owner => None,
                    Some(Ok(OwnerSignature::Contract { owner, data })) if owner == one.owner => Some(data),
                    Some(_) => continue,
                };
                if claims.len() < MOST {
                    places.push(place);
                    claims.push(Claim {
                        owner: one.owner,
                        preimage: tx.fields.preimage(&domain),
                        data,
                    });
                }
            }
        }
        tx.agreed = Some(agreed);
    }
    let answers = confirmed(chain, info, &claims).await?;
    for ((place, claim), is_so) in places.into_iter().zip(claims).zip(answers) {
        if let Some(agreed) = list.get_mut(place).and_then(|tx| tx.agreed.as_mut()).filter(|_| is_so) {
            agreed.insert(claim.owner);
        }
    }
    Ok(())
}
