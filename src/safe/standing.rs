//! Approvals that stand in a Safe's storage: hashes that an owner approved there, which count without any signature, and
//! messages that the Safe signed there, which count for whoever asks it (ERC-1271). An event that tells of one is no proof
//! that the owner did it: code that the Safe ran by a delegate call writes both the slot and the event.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::{SolCall, SolEvent};
use serde::{Deserialize, Serialize};

use super::info::{SafeInfo, approved_hash_slot, message_slot};
use super::tx::{Operation, SafeDomain, SafeTxFields};
use crate::abi::safe::Safe;
use crate::abi::safe_told::SafeTold as E;
use crate::chain::{Chain, ChainError, LogQuery, Sent, StorageRead};

/// Requests to each endpoint for what a Safe executed.
const REQUESTS: u32 = 64;
/// Transactions that are looked up; more of them somebody made to make this long.
const LOOKED_UP: usize = 1024;
/// Nonces that are tried for a transaction that was executed, besides the likely one.
const NONCES: u64 = 4096;
/// Calls of a Safe that are looked for inside one transaction.
const CALLS: usize = 64;
/// Hashes that are tried in all: more of them somebody made to keep this busy, and what is not tried stays a doubt.
const TRIED: usize = 1 << 20;

/// An approval in a Safe's storage of which nothing shows that it was used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingApproval {
    /// What is approved: a safeTxHash, or the hash of a message.
    pub hash: B256,
    /// Owners who approved it, whether or not they still are. None: a message that the Safe itself signed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owners: BTreeSet<Address>,
    /// Owners among them of whom no call to the Safe shows it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unexplained: BTreeSet<Address>,
}

impl StandingApproval {
    /// As it counts for a Safe with these owners; nothing where it does not. A message counts where the Safe is an owner.
    pub fn counted(&self, owners: &[Address], is_owner: bool) -> Option<Self> {
        if self.is_message() {
            return is_owner.then(|| self.clone());
        }
        let present = |all: &BTreeSet<Address>| all.iter().copied().filter(|one| owners.contains(one)).collect();
        let counted = Self {
            hash: self.hash,
            owners: present(&self.owners),
            unexplained: present(&self.unexplained),
        };
        (!counted.owners.is_empty()).then_some(counted)
    }

    /// Whether it is a message that the Safe signed.
    pub fn is_message(&self) -> bool {
        self.owners.is_empty()
    }

    /// What it means, for people.
    pub fn told(&self, safe: Address) -> String {
        let hash = self.hash;
        if self.is_message() {
            return format!(
                "the storage of the Safe {safe} says that it signed the message {hash}: whoever shows that message has its word"
            );
        }
        let list = |all: &BTreeSet<Address>| {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        if self.unexplained.is_empty() {
            return format!(
                "the Safe {safe} holds the approval of {hash} by {}, given on chain and not used up: it counts without a \
                 signature, whoever executes it",
                list(&self.owners)
            );
        }
        format!(
            "the storage of the Safe {safe} says that {} approved {hash}, and no call of theirs is found that did: code that the \
             Safe ran may have written it, and it counts without a signature, whoever executes it",
            list(&self.unexplained)
        )
    }
}

/// Which transaction tells of an owner's approval of a hash.
type Told = BTreeMap<(B256, Address), B256>;

/// The approvals that stand in what was read of a Safe's storage. Nothing is asked where there are none; otherwise what
/// the Safe executed, and the transactions that could explain them.
pub(super) async fn standing(
    chain: &Chain,
    info: &SafeInfo,
    read: &StorageRead,
) -> Result<Vec<StandingApproval>, ChainError> {
    let mut found: BTreeMap<B256, StandingApproval> = BTreeMap::new();
    let mut messages: BTreeSet<B256> = BTreeSet::new();
    let mut by = Told::new();
    for log in &read.logs {
        match *log.topics() {
            [E::ApproveHash::SIGNATURE_HASH, hash, owner] => {
                let owner = Address::from_word(owner);
                if read.held.contains(&approved_hash_slot(owner, hash)) {
                    found.entry(hash).or_insert_with(|| bare(hash)).owners.insert(owner);
                    by.extend(log.transaction_hash.map(|transaction| ((hash, owner), transaction)));
                }
            }
            [E::SignMsg::SIGNATURE_HASH, hash] if read.held.contains(&message_slot(hash)) => {
                messages.insert(hash);
            }
            _ => {}
        }
    }
    let hashes: BTreeSet<B256> = found.keys().copied().collect();
    if !hashes.is_empty() {
        let spent = spent(chain, info, &hashes).await?;
        found.retain(|hash, _| !spent.contains(hash));
        explain(chain, info, &mut found, &by).await?;
    }
    Ok(found.into_values().chain(messages.into_iter().map(bare)).collect())
}

const fn bare(hash: B256) -> StandingApproval {
    StandingApproval {
        hash,
        owners: BTreeSet::new(),
        unexplained: BTreeSet::new(),
    }
}

/// Which of these hashes the Safe cannot execute any more. What endpoints say only leads to a transaction; that its hash is
/// of a nonce that is used up is computed.
async fn spent(chain: &Chain, info: &SafeInfo, hashes: &BTreeSet<B256>) -> Result<BTreeSet<B256>, ChainError> {
    let query = LogQuery {
        address: info.address,
        topics: vec![
            Safe::ExecutionSuccess::SIGNATURE_HASH,
            Safe::ExecutionFailure::SIGNATURE_HASH,
        ],
        from: 0,
        to: info.block.number,
    };
    let told = match chain.told_logs(&query, REQUESTS).await {
        Ok(told) => told,
        Err(ChainError::Unavailable { .. }) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut wanted: Vec<(B256, u64)> = Vec::new();
    for (index, log) in (0..).zip(&told) {
        if let Some(transaction) = log
            .transaction_hash
            .filter(|_| executed(log).is_some_and(|hash| hashes.contains(&hash)))
        {
            wanted.push((transaction, index));
        }
    }
    let transactions: BTreeSet<B256> = wanted
        .iter()
        .take(LOOKED_UP)
        .map(|(transaction, _)| *transaction)
        .collect();
    let sent = chain.sent(&transactions).await?;
    let domain = SafeDomain {
        chain_id: info.chain_id,
        safe: info.address,
        version: info.version,
    };
    let all = wanted
        .iter()
        .filter_map(|(transaction, likely)| Some((sent.get(transaction)?, *likely)));
    let tried = all.flat_map(|(sent, likely)| used_up(&domain, info.nonce, &sent.input, likely));
    Ok(tried.take(TRIED).filter(|hash| hashes.contains(hash)).collect())
}

/// The hash in an event of an execution, in either layout.
fn executed(log: &Log) -> Option<B256> {
    match (log.topics(), log.inner.data.data.first_chunk::<32>()) {
        ([_], Some(hash)) => Some(B256::from(*hash)),
        ([_, hash], _) => Some(*hash),
        _ => None,
    }
}

/// Hashes of the Safe's transactions that are inside of a call, at the nonces that are used up; the likely one comes first.
fn used_up<'a>(domain: &'a SafeDomain, next: U256, input: &'a Bytes, likely: u64) -> impl Iterator<Item = B256> + 'a {
    let next = u64::try_from(next).unwrap_or(u64::MAX);
    let nonces = [likely]
        .into_iter()
        .filter(move |nonce| *nonce < next)
        .chain(0..next.min(NONCES));
    let nonces: Vec<u64> = nonces.collect();
    calls_inside(input).flat_map(move |fields| {
        let at = move |nonce: u64| {
            let mut fields = fields.clone();
            fields.nonce = U256::from(nonce);
            fields.hash(domain)
        };
        nonces.clone().into_iter().map(at)
    })
}

/// Calls of `execTransaction` in a transaction's data, however deep.
fn calls_inside(input: &Bytes) -> impl Iterator<Item = SafeTxFields> + '_ {
    let selector = Safe::execTransactionCall::SELECTOR;
    let places = input.windows(4).enumerate().filter(move |(_, four)| *four == selector);
    places.take(CALLS).filter_map(|(at, _)| {
        let call = Safe::execTransactionCall::abi_decode_raw(input.get(at + 4..)?).ok()?;
        Some(SafeTxFields {
            to: call.to,
            value: call.value,
            data: call.data,
            operation: Operation::try_from(call.operation).ok()?,
            safe_tx_gas: call.safeTxGas,
            base_gas: call.baseGas,
            gas_price: call.gasPrice,
            gas_token: call.gasToken,
            refund_receiver: call.refundReceiver,
            nonce: U256::ZERO,
        })
    })
}

/// Marks the owners whose approval no call of theirs explains.
async fn explain(
    chain: &Chain,
    info: &SafeInfo,
    found: &mut BTreeMap<B256, StandingApproval>,
    by: &Told,
) -> Result<(), ChainError> {
    let open = by.iter().filter(|((hash, _), _)| found.contains_key(hash));
    let transactions: BTreeSet<B256> = open.map(|(_, transaction)| *transaction).take(LOOKED_UP).collect();
    let sent = chain.sent(&transactions).await?;
    for ((hash, owner), transaction) in by {
        let sent = sent.get(transaction);
        if !sent.is_some_and(|sent| is_own(sent, info.address, *owner, *hash))
            && let Some(approval) = found.get_mut(hash)
        {
            approval.unexplained.insert(*owner);
        }
    }
    Ok(())
}

/// Whether the owner called the Safe itself; an owner that is a Safe does so by executing a transaction of its own.
fn is_own(sent: &Sent, safe: Address, owner: Address, hash: B256) -> bool {
    let approve = Safe::approveHashCall { hashToApprove: hash }.abi_encode();
    let itself = sent.from == owner && sent.to == Some(safe) && *sent.input == *approve;
    let own_safe = || calls_inside(&sent.input).any(|fields| fields.to == safe && *fields.data == *approve);
    itself || (sent.to == Some(owner) && own_safe())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: Address = Address::repeat_byte(0x5a);
    const OWNER: Address = Address::repeat_byte(1);

    #[test]
    fn fr2_11_an_approval_counts_for_present_owners_and_a_message_for_a_safe_that_is_an_owner() {
        let gone = Address::repeat_byte(2);
        let approval = StandingApproval {
            hash: B256::repeat_byte(9),
            owners: [OWNER, gone].into(),
            unexplained: [gone].into(),
        };
        let counted = approval.counted(&[OWNER], false).unwrap();
        assert_eq!((counted.owners.len(), counted.unexplained.len()), (1, 0));
        assert!(counted.told(SAFE).contains("given on chain"));
        assert!(approval.told(SAFE).contains("no call of theirs"));
        assert_eq!(approval.counted(&[Address::repeat_byte(3)], true), None);
        let message = bare(B256::repeat_byte(8));
        assert_eq!(message.counted(&[OWNER], false), None);
        assert!(message.counted(&[OWNER], true).is_some());
    }

    #[test]
    fn fr2_11_only_the_owners_own_call_explains_an_approval() {
        let hash = B256::repeat_byte(9);
        let approve: Bytes = Safe::approveHashCall { hashToApprove: hash }.abi_encode().into();
        let sent = |from, to, input: &Bytes| Sent {
            from,
            to: Some(to),
            input: input.clone(),
            block_number: None,
        };
        let is = |sent: &Sent| is_own(sent, SAFE, OWNER, hash);
        assert!(is(&sent(OWNER, SAFE, &approve)));
        assert!(!is(&sent(SAFE, SAFE, &approve)));
        assert!(!is(&sent(OWNER, OWNER, &approve)));
        assert!(!is(&sent(OWNER, SAFE, &Bytes::new())));
        let other: Bytes = Safe::approveHashCall {
            hashToApprove: B256::ZERO,
        }
        .abi_encode()
        .into();
        assert!(!is(&sent(OWNER, SAFE, &other)));
        let nested = Safe::execTransactionCall {
            to: SAFE,
            value: U256::ZERO,
            data: approve,
            operation: 0,
            safeTxGas: U256::ZERO,
            baseGas: U256::ZERO,
            gasPrice: U256::ZERO,
            gasToken: Address::ZERO,
            refundReceiver: Address::ZERO,
            signatures: Bytes::new(),
        };
        let nested: Bytes = nested.abi_encode().into();
        assert!(is(&sent(Address::repeat_byte(7), OWNER, &nested)));
        assert!(!is(&sent(Address::repeat_byte(7), SAFE, &nested)));
    }
}
