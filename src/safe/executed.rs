//! What became of a Safe's transactions on chain, read from the Safe's own events.
//!
//! Up to 1.3.0 the safeTxHash is in the data of `ExecutionSuccess` and `ExecutionFailure`, from 1.4.0 on it is a topic;
//! a Safe can move from one to the other, so both are read whatever it says it is. An event says that the Safe made a
//! call, not what came of it: for that see [`Chain::prove`].

use alloy::primitives::{Address, B256, Log};
use alloy::sol_types::SolEvent;
use serde::{Deserialize, Serialize};

use super::recognise::Announced;
use crate::abi::safe::Safe;
use crate::chain::{BlockRef, Chain, ChainError, LogQuery, PlacedLog};

/// A Safe transaction that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// The Ethereum transaction; it may execute several of them.
    pub transaction: B256,
    /// Its block.
    pub block: BlockRef,
    /// The Safe transaction.
    pub safe_tx_hash: B256,
    /// The call inside failed, and the nonce is used up all the same.
    pub failed: bool,
    /// Index of the event in the block.
    pub log_index: u64,
}

/// Why a transaction does not prove that the Safe executed what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafeProofFailure {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Not in a block of every endpoint yet.
    #[error("transaction {transaction} is not settled yet")]
    NotSettled {
        /// The Ethereum transaction.
        transaction: B256,
    },
    /// The whole transaction failed; the Safe's nonce is not used up.
    #[error("transaction {transaction} failed in block {block}")]
    Reverted {
        /// The Ethereum transaction.
        transaction: B256,
        /// Block number.
        block: u64,
    },
    /// The call inside failed; the Safe's nonce is used up.
    #[error("the Safe executed {safe_tx_hash} and the call inside failed: its nonce is used up")]
    FailedInside {
        /// The Safe transaction.
        safe_tx_hash: B256,
    },
    /// The Safe did not execute it.
    #[error("no event of {safe} says that it executed {safe_tx_hash}")]
    NotExecuted {
        /// The Safe.
        safe: Address,
        /// The Safe transaction.
        safe_tx_hash: B256,
    },
    /// Another contract says it did, and the Safe does not.
    #[error("{emitter} says that it executed {safe_tx_hash}, the Safe {safe} does not")]
    Foreign {
        /// The contract that emitted the event.
        emitter: Address,
        /// The Safe.
        safe: Address,
        /// The Safe transaction.
        safe_tx_hash: B256,
    },
    /// One nonce, several executions: not the events of a Safe.
    #[error("{count} events of {safe} say that it executed {safe_tx_hash}")]
    Repeated {
        /// The Safe.
        safe: Address,
        /// The Safe transaction.
        safe_tx_hash: B256,
        /// How many.
        count: usize,
    },
}

/// The execution of the transaction with this hash by `safe`, from `from_block` on: the block in which its nonce was
/// not used yet, or an earlier one. Three round trips and more where endpoints refuse long ranges. `None` says that no
/// endpoint has seen one, not that there will be none.
///
/// # Errors
/// See [`ChainError`]; endpoints that tell different things are [`ChainError::Disagreement`].
pub async fn find_execution(
    chain: &Chain,
    safe: Address,
    hash: B256,
    from_block: u64,
) -> Result<Option<Execution>, ChainError> {
    let ours = |log: &Log| outcome(log).is_some_and(|(found, _)| found == hash);
    let found = search(chain, safe, from_block, ours).await?;
    Ok(found.into_iter().find(|execution| execution.safe_tx_hash == hash))
}

/// Everything that `safe` executed from `from_block` on, oldest first. Round trips as for [`find_execution`], and one
/// for every 64 blocks.
///
/// # Errors
/// See [`ChainError`]; endpoints that tell different things are [`ChainError::Disagreement`].
pub async fn executions(chain: &Chain, safe: Address, from_block: u64) -> Result<Vec<Execution>, ChainError> {
    search(chain, safe, from_block, |_| false).await
}

/// Checks by the receipt of `transaction` that it made `safe` execute `safe_tx_hash`; see [`check_receipt`]. Two round
/// trips. That the app did what it was called for is proved by [`Chain::prove`].
///
/// # Errors
/// See [`SafeProofFailure`].
pub async fn prove_execution(
    chain: &Chain,
    transaction: B256,
    safe: Address,
    safe_tx_hash: B256,
) -> Result<(), SafeProofFailure> {
    let receipt = chain.receipt(transaction).await?;
    let receipt = receipt.ok_or(SafeProofFailure::NotSettled { transaction })?;
    if !receipt.succeeded {
        let block = receipt.block.number;
        return Err(SafeProofFailure::Reverted { transaction, block });
    }
    check_receipt(&receipt.logs, safe, safe_tx_hash)
}

/// What one Ethereum transaction made `safe` execute without failing inside: the hashes of its transactions, and those that
/// it announced (a Safe with an L2 singleton announces all of them). Two round trips.
///
/// # Errors
/// See [`ChainError`].
pub async fn executed_in(
    chain: &Chain,
    transaction: B256,
    safe: Address,
) -> Result<(Vec<B256>, Vec<Announced>), ChainError> {
    let receipt = chain.receipt(transaction).await?;
    let logs = receipt.filter(|receipt| receipt.succeeded).map(|receipt| receipt.logs);
    let (mut done, mut announced) = (Vec::new(), Vec::new());
    for log in logs.unwrap_or_default().iter().filter(|log| log.address == safe) {
        if let Some((hash, false)) = outcome(log) {
            done.push(hash);
        }
        announced.extend(Announced::read(log.topics(), &log.data.data));
    }
    Ok((done, announced))
}

/// Checks that among the logs of one Ethereum transaction exactly one event says that `safe` executed `safe_tx_hash`,
/// and that it did not fail inside. Other Safes, and other transactions of the same Safe, may stand beside it. Pure.
///
/// # Errors
/// See [`SafeProofFailure`].
pub fn check_receipt<'a>(
    logs: impl IntoIterator<Item = &'a Log>,
    safe: Address,
    safe_tx_hash: B256,
) -> Result<(), SafeProofFailure> {
    let said = logs.into_iter().filter_map(|log| Some((log.address, outcome(log)?)));
    let said = said.filter(|(_, (hash, _))| *hash == safe_tx_hash);
    let (ours, foreign): (Vec<_>, Vec<_>) = said.partition(|(emitter, _)| *emitter == safe);
    match (ours.as_slice(), foreign.first()) {
        ([(_, (_, false))], _) => Ok(()),
        ([(_, (_, true))], _) => Err(SafeProofFailure::FailedInside { safe_tx_hash }),
        ([], None) => Err(SafeProofFailure::NotExecuted { safe, safe_tx_hash }),
        ([], Some((emitter, _))) => Err(SafeProofFailure::Foreign {
            emitter: *emitter,
            safe,
            safe_tx_hash,
        }),
        (several, _) => Err(SafeProofFailure::Repeated {
            safe,
            safe_tx_hash,
            count: several.len(),
        }),
    }
}

async fn search(
    chain: &Chain,
    safe: Address,
    from_block: u64,
    enough: impl Fn(&Log) -> bool + Sync,
) -> Result<Vec<Execution>, ChainError> {
    let head = chain.head().await?;
    let query = LogQuery {
        address: safe,
        topics: vec![
            Safe::ExecutionSuccess::SIGNATURE_HASH,
            Safe::ExecutionFailure::SIGNATURE_HASH,
        ],
        from: from_block,
        to: head.number,
    };
    let logs = chain.logs(&query, |log| enough(&log.inner)).await?;
    Ok(logs.iter().filter_map(execution).collect())
}

fn execution(placed: &PlacedLog) -> Option<Execution> {
    let (safe_tx_hash, failed) = outcome(&placed.log)?;
    Some(Execution {
        transaction: placed.transaction,
        block: placed.block,
        safe_tx_hash,
        failed,
        log_index: placed.index,
    })
}

/// The Safe transaction that an event tells of, and whether it failed inside; in either layout.
fn outcome(log: &Log) -> Option<(B256, bool)> {
    let (topic, rest) = log.topics().split_first()?;
    let failed = match *topic {
        Safe::ExecutionSuccess::SIGNATURE_HASH => false,
        Safe::ExecutionFailure::SIGNATURE_HASH => true,
        _ => return None,
    };
    // Hash and payment, the hash as a topic or before the payment.
    let hash = match (rest, log.data.data.as_chunks::<32>()) {
        ([hash], ([_payment], [])) => *hash,
        ([], ([hash, _payment], [])) => B256::from(*hash),
        _ => return None,
    };
    Some((hash, failed))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{LogData, U256, b256};

    use super::*;

    const SAFE: Address = Address::repeat_byte(0x5a);
    const OTHER: Address = Address::repeat_byte(0x5b);
    const HASH: B256 = B256::repeat_byte(0xab);

    fn log(address: Address, topics: Vec<B256>, data: &[B256]) -> Log {
        let data = data.concat();
        Log {
            address,
            data: LogData::new_unchecked(topics, data.into()),
        }
    }
    /// The event in the layout of 1.3.0 and in that of 1.4.0.
    fn layouts(address: Address, topic: B256, hash: B256) -> [Log; 2] {
        [
            log(address, vec![topic], &[hash, B256::ZERO]),
            log(address, vec![topic, hash], &[B256::ZERO]),
        ]
    }
    fn success(address: Address, hash: B256) -> [Log; 2] {
        layouts(address, Safe::ExecutionSuccess::SIGNATURE_HASH, hash)
    }
    fn failure(address: Address, hash: B256) -> [Log; 2] {
        layouts(address, Safe::ExecutionFailure::SIGNATURE_HASH, hash)
    }
    fn check(logs: &[Log]) -> Result<(), SafeProofFailure> {
        check_receipt(logs, SAFE, HASH)
    }

    #[test]
    fn events_are_known_by_the_topics_of_every_release() {
        let success = b256!("442e715f626346e8c54381002da614f62bee8d27386535b2521ec8540898556e");
        let failure = b256!("23428b18acfb3ea64b08dc0c1d296ea9c09702c09083ca5272e64d115b687d23");
        assert_eq!(Safe::ExecutionSuccess::SIGNATURE_HASH, success);
        assert_eq!(Safe::ExecutionFailure::SIGNATURE_HASH, failure);
    }

    #[test]
    fn pitfall_13_the_hash_is_read_from_the_data_and_from_the_topic() {
        for log in success(SAFE, HASH) {
            assert_eq!(outcome(&log), Some((HASH, false)));
            assert!(check(&[log]).is_ok());
        }
        for log in failure(SAFE, HASH) {
            assert_eq!(outcome(&log), Some((HASH, true)));
        }
    }

    #[test]
    fn an_event_of_neither_layout_tells_nothing() {
        let topic = Safe::ExecutionSuccess::SIGNATURE_HASH;
        for log in [
            log(SAFE, vec![topic], &[HASH]),
            log(SAFE, vec![topic], &[HASH, B256::ZERO, B256::ZERO]),
            log(SAFE, vec![topic, HASH], &[]),
            log(SAFE, vec![topic, HASH], &[HASH, B256::ZERO]),
            log(SAFE, vec![topic, HASH, HASH], &[B256::ZERO]),
            log(SAFE, vec![], &[HASH, B256::ZERO]),
            log(SAFE, vec![HASH, HASH], &[B256::ZERO]),
        ] {
            assert_eq!(outcome(&log), None);
            assert!(matches!(check(&[log]), Err(SafeProofFailure::NotExecuted { .. })));
        }
        let mut long = success(SAFE, HASH)[1].clone();
        long.data.data = [&U256::ZERO.to_be_bytes::<32>()[..], &[0]].concat().into();
        assert_eq!(outcome(&long), None);
    }

    #[test]
    fn m1_pitfall_12_a_failure_inside_is_no_success() {
        for log in failure(SAFE, HASH) {
            assert!(matches!(
                check(&[log]),
                Err(SafeProofFailure::FailedInside { safe_tx_hash: HASH })
            ));
        }
    }

    #[test]
    fn pitfall_14_an_event_of_another_contract_is_named_and_does_not_count() {
        for log in success(OTHER, HASH) {
            let found = check(std::slice::from_ref(&log));
            assert!(matches!(found, Err(SafeProofFailure::Foreign { emitter: OTHER, .. })));
            for own in success(SAFE, HASH) {
                assert!(check(&[log.clone(), own]).is_ok());
            }
        }
    }

    #[test]
    fn pitfall_14_other_transactions_may_stand_beside_it_and_the_event_stands_once() {
        let other = B256::repeat_byte(0xac);
        let [old, new] = success(SAFE, HASH);
        let [beside, _] = failure(SAFE, other);
        assert!(check(&[beside.clone(), old.clone()]).is_ok());
        assert!(matches!(check(&[beside]), Err(SafeProofFailure::NotExecuted { .. })));
        assert!(matches!(
            check(&[old.clone(), new]),
            Err(SafeProofFailure::Repeated { count: 2, .. })
        ));
        let [failed, _] = failure(SAFE, HASH);
        assert!(matches!(
            check(&[old, failed]),
            Err(SafeProofFailure::Repeated { count: 2, .. })
        ));
    }
}
