//! The proof that a hash is allowed: receipt, canonical block, the app's own event, the state there and at the head.

use alloy::primitives::{Address, B256, Bytes, U64};
use alloy::rpc::types::Log;
use alloy::sol_types::{SolCall, SolEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fees::GENEROUS_GAS;
use super::look::RawReceipt;
use super::read::{Question, reason};
use super::rpc::{Ask, Node, RawBlock, Replies, Reply};
use super::{BlockRef, Chain, ChainError, Finality};
use crate::abi::app::DstackApp;

/// What commit may rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Chain id.
    pub chain_id: u64,
    /// App.
    pub app: Address,
    /// Hash that is allowed.
    pub hash: B256,
    /// Transaction that allowed it; `None` when only the state proves it.
    pub transaction: Option<B256>,
    /// Its sender.
    pub sender: Option<Address>,
    /// Its block.
    pub block: BlockRef,
    /// Index of the app's `ComposeHashAdded` log in that block.
    pub log_index: Option<u64>,
    /// Gas used.
    pub gas_used: Option<u64>,
    /// Head at which the state was read again.
    pub head: BlockRef,
    /// The finality that was asked for and reached.
    pub finality: Finality,
    /// Endpoints that agreed, scheme and host.
    pub endpoints: Vec<String>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFailure {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Executed and failed.
    #[error("transaction {transaction} failed in block {block}: {reason}")]
    Reverted {
        /// Transaction.
        transaction: B256,
        /// Block number.
        block: u64,
        /// Decoded reason.
        reason: String,
    },
    /// Not in a canonical block, or not deep enough yet.
    #[error("{} is not settled yet", named(transaction))]
    NotSettled {
        /// Transaction; zero when only the state shows the hash, and not yet in a block that stays.
        transaction: B256,
    },
    /// The receipt does not show the effect.
    #[error("transaction {transaction} did not allow {hash}: {what}")]
    NoEffect {
        /// Transaction.
        transaction: B256,
        /// Hash.
        hash: B256,
        /// What is missing or different.
        what: String,
    },
    /// Allowed then, not allowed now.
    #[error("{hash} was allowed in block {block} and is not allowed at the head")]
    Removed {
        /// Hash.
        hash: B256,
        /// Block number.
        block: u64,
    },
    /// Not allowed at all.
    #[error("{hash} is not allowed")]
    NotAllowed {
        /// Hash.
        hash: B256,
    },
}

fn named(transaction: &B256) -> String {
    if transaction.is_zero() {
        "the state that allows the hash".to_owned()
    } else {
        format!("transaction {transaction}")
    }
}

/// What one endpoint shows of a transaction.
struct Evidence {
    head: BlockRef,
    /// Highest settled block by tag; `None`: the tag is not offered.
    settled: Option<u64>,
    receipt: Option<RawReceipt>,
    /// The block at the guessed height, and whether the app allows the hash after the guessed block.
    guessed: Option<(BlockRef, bool)>,
}

/// What is asked of an endpoint.
struct Claim {
    transaction: B256,
    app: Address,
    hash: B256,
    finality: Finality,
    /// The block that held the transaction when it was last seen.
    guess: Option<BlockRef>,
}

impl Claim {
    /// The block at a guessed block's height, and what the app says after the guessed one.
    fn about(&self, block: &BlockRef) -> [Ask; 2] {
        [Ask::block(block.number), allows(self.app, self.hash).ask_exactly(block)]
    }

    fn no_effect(&self, what: &str) -> ProofFailure {
        ProofFailure::NoEffect {
            transaction: self.transaction,
            hash: self.hash,
            what: what.to_owned(),
        }
    }
}

fn allows(app: Address, hash: B256) -> Question {
    Question::call(app, &DstackApp::allowedComposeHashesCall { composeHash: hash })
}

/// The replies to [`Claim::about`]; `None` when one of them is no plain answer, which is then asked for by itself.
fn about_guess(replies: &mut Replies<'_>) -> Result<Option<(BlockRef, bool)>, ChainError> {
    let block = replies.take_if_offered::<Option<RawBlock>>()?.flatten();
    let said = match replies.reply()?.1 {
        Reply::Result(raw) => serde_json::from_str::<Bytes>(raw.get()).ok(),
        Reply::Refused(_) => None,
    };
    let said = said.and_then(|bytes| DstackApp::allowedComposeHashesCall::abi_decode_returns_validate(&bytes).ok());
    Ok(block.and_then(|raw| raw.sealed()).zip(said))
}

/// The receipt's block, when it is the guessed one at every endpoint, and whether all of them say that the hash is
/// allowed after it.
fn guessed(found: &[(&Node, Evidence)], (number, hash): Place) -> Option<(BlockRef, bool)> {
    let answers: Option<Vec<(BlockRef, bool)>> = found.iter().map(|(_, evidence)| evidence.guessed).collect();
    let answers = answers?;
    let same = |(block, _): &(BlockRef, bool)| block.number == number && block.hash == hash;
    let (block, _) = *answers.first().filter(|_| answers.iter().all(same))?;
    Some((block, answers.iter().all(|(_, allowed)| *allowed)))
}

/// Number and hash of a receipt's block.
type Place = (u64, B256);

/// A receipt on which the endpoints that show one agree, in a block that every endpoint has.
struct Agreed {
    receipt: RawReceipt,
    block: BlockRef,
    head: BlockRef,
    /// Every endpoint shows it.
    complete: bool,
    /// Every endpoint says that the app allows the hash after that block; otherwise it is not known yet.
    allowed: bool,
    endpoints: Vec<String>,
}

impl Chain {
    /// Proves that `transaction` allowed `hash` on `app`, in a block that `finality` covers, and that it still holds:
    /// receipt status 1; the block is the chain's at its height; exactly one `ComposeHashAdded` of the app with this
    /// hash as data; `allowedComposeHashes` true after that block and at the head. Every endpoint that works must say
    /// so. One round trip when the block is the head and was seen to hold the transaction before, up to four otherwise.
    ///
    /// # Errors
    /// See [`ProofFailure`].
    #[expect(
        clippy::too_many_arguments,
        reason = "what is proved of which transaction, and when it counts; a struct for one call says no more"
    )]
    pub async fn prove(
        &self,
        transaction: B256,
        app: Address,
        hash: B256,
        finality: Finality,
    ) -> Result<Proof, ProofFailure> {
        let seen = self.guess().included.filter(|(seen, _)| *seen == transaction);
        let claim = Claim {
            transaction,
            app,
            hash,
            finality,
            guess: seen.map(|(_, block)| block),
        };
        let agreed = self.agree(&claim).await?;
        let log_index = self.shown(&claim, &agreed).await?;
        let Agreed { receipt, block, .. } = &agreed;
        // Endpoints that contradict each other about the state after that block are an error of their own.
        let (then, endpoints) = if agreed.allowed {
            (true, agreed.endpoints.clone())
        } else {
            self.is_allowed(app, hash, block).await?
        };
        if !then {
            return Err(claim.no_effect("the app does not allow it after that block"));
        }
        if !agreed.complete {
            return Err(ProofFailure::NotSettled { transaction });
        }
        let (now, endpoints) = if agreed.head == *block {
            (then, endpoints)
        } else {
            self.is_allowed(app, hash, &agreed.head).await?
        };
        if !now {
            return Err(ProofFailure::Removed {
                hash,
                block: block.number,
            });
        }
        Ok(Proof {
            chain_id: self.id(),
            app,
            hash,
            transaction: Some(transaction),
            sender: Some(receipt.from),
            block: *block,
            log_index: Some(log_index),
            gas_used: Some(receipt.gas_used.to()),
            head: agreed.head,
            finality,
            endpoints: agreed
                .endpoints
                .into_iter()
                .filter(|label| endpoints.contains(label))
                .collect(),
        })
    }
    /// Proves by state alone that `hash` is allowed, and names the transaction of its newest event if it can be found.
    ///
    /// # Errors
    /// See [`ProofFailure`].
    pub async fn prove_state(&self, app: Address, hash: B256, finality: Finality) -> Result<Proof, ProofFailure> {
        let head = self.head().await?;
        if !self.is_allowed(app, hash, &head).await?.0 {
            return Err(ProofFailure::NotAllowed { hash });
        }
        match self.newest_event(app, hash, head).await {
            Ok(Some(record)) if record.allowed => {
                return self.prove(record.transaction, app, hash, finality).await;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the adding transaction was not found"),
        }
        let block = self.settled_block(head, finality).await?;
        let (then, endpoints) = self.is_allowed(app, hash, &block).await?;
        if !then {
            return Err(ProofFailure::NotSettled {
                transaction: B256::ZERO,
            });
        }
        Ok(Proof {
            chain_id: self.id(),
            app,
            hash,
            transaction: None,
            sender: None,
            block,
            log_index: None,
            gas_used: None,
            head,
            finality,
            endpoints,
        })
    }

    /// Whether the app allows the hash after `block`. One round trip.
    pub(crate) async fn allows(&self, app: Address, hash: B256, block: &BlockRef) -> Result<bool, ChainError> {
        Ok(self.is_allowed(app, hash, block).await?.0)
    }

    /// What the app says at a block, and the endpoints that agree.
    async fn is_allowed(&self, app: Address, hash: B256, block: &BlockRef) -> Result<(bool, Vec<String>), ChainError> {
        let mut reading = self.read(block, &[allows(app, hash)]).await?;
        let said = reading.next().value::<DstackApp::allowedComposeHashesCall>();
        Ok((said == Some(true), reading.endpoints))
    }

    /// A receipt on which the endpoints agree, in a canonical block that `finality` covers.
    async fn agree(&self, claim: &Claim) -> Result<Agreed, ProofFailure> {
        let found = self.gather(|node| self.evidence(node, claim)).await?;
        let transaction = claim.transaction;
        let unsettled = || ProofFailure::NotSettled { transaction };
        let (receipt, place) = self.common_receipt(&found)?.ok_or_else(unsettled)?;
        let head = found
            .iter()
            .map(|(_, evidence)| evidence.head)
            .min_by_key(|head| head.number)
            .ok_or_else(unsettled)?;
        let covered = match claim.finality.depth(head.number) {
            Some(depth) => depth,
            None => lowest_tag(&found, claim.finality)?,
        };
        if place.0 > covered.min(head.number) {
            return Err(unsettled());
        }
        let guessed = guessed(&found, place);
        let block = match guessed {
            Some((block, _)) => Some(block),
            None => self.canonical(&found, place).await?,
        };
        let block = block.ok_or_else(unsettled)?;
        self.guess().included = Some((transaction, block));
        Ok(Agreed {
            receipt,
            block,
            head,
            allowed: guessed.is_some_and(|(_, allowed)| allowed),
            complete: found.iter().all(|(_, evidence)| evidence.receipt.is_some()),
            endpoints: found.iter().map(|(node, _)| node.label().to_owned()).collect(),
        })
    }

    async fn evidence(&self, node: &Node, claim: &Claim) -> Result<Evidence, ChainError> {
        let mut asks = vec![
            Ask::chain_id(),
            Ask::block_at("latest"),
            Ask::block_at(claim.finality.tag().unwrap_or("latest")),
            RawReceipt::ask(claim.transaction),
        ];
        let guess = claim.guess.filter(|_| !node.by_number());
        asks.extend(guess.iter().flat_map(|block| claim.about(block)));
        let mut replies = node.ask(&asks).await?;
        self.check_id(node, replies.number()?)?;
        let head = self.check_top(node, &replies.take()?)?;
        self.check_not_behind(node, head)?;
        let tagged: Option<Option<RawBlock>> = replies.take_if_offered()?;
        Ok(Evidence {
            head,
            settled: tagged.flatten().and_then(|raw| raw.sealed()).map(|block| block.number),
            receipt: replies.take()?,
            guessed: match guess {
                Some(_) => about_guess(&mut replies)?,
                None => None,
            },
        })
    }

    /// The receipt that all endpoints show which show one; `None`: none, or it is not in one block yet.
    fn common_receipt(&self, found: &[(&Node, Evidence)]) -> Result<Option<(RawReceipt, Place)>, ChainError> {
        let mut shown = found
            .iter()
            .filter_map(|(node, evidence)| Some((node, evidence.receipt.as_ref()?)));
        let Some((first, receipt)) = shown.next() else {
            return Ok(None);
        };
        let Some(place) = receipt.place() else { return Ok(None) };
        for (node, other) in shown {
            if other.place() != Some(place) {
                return Ok(None);
            }
            if !receipt.says_the_same(other) {
                return Err(ChainError::Disagreement {
                    first: first.label().to_owned(),
                    second: node.label().to_owned(),
                    what: "the receipt".to_owned(),
                    block: place.0,
                });
            }
        }
        Ok(Some((receipt.clone(), place)))
    }

    /// The block at the receipt's height, if it is the receipt's block everywhere. No round trip when it is the head.
    async fn canonical(
        &self,
        found: &[(&Node, Evidence)],
        (number, hash): Place,
    ) -> Result<Option<BlockRef>, ChainError> {
        let heads = found.iter().map(|(_, evidence)| evidence.head);
        let blocks: Vec<Option<BlockRef>> = if heads.clone().all(|head| head.number == number) {
            heads.map(Some).collect()
        } else {
            let asked = self.gather(|node| node.block_if_there(Ask::block(number))).await?;
            asked.into_iter().map(|(_, block)| block).collect()
        };
        let all = blocks
            .iter()
            .all(|block| block.is_some_and(|block| block.hash == hash && block.number == number));
        Ok(blocks.first().copied().flatten().filter(|_| all))
    }

    /// A block that `finality` covers at `head`.
    async fn settled_block(&self, head: BlockRef, finality: Finality) -> Result<BlockRef, ChainError> {
        let ask = match (finality.tag(), finality.depth(head.number)) {
            (Some(tag), _) => Ask::block_at(tag),
            (None, Some(number)) if number < head.number => Ask::block(number),
            (None, _) => return Ok(head),
        };
        let found = self.gather(|node| node.block(ask.clone())).await?;
        let lowest = found
            .into_iter()
            .map(|(_, block)| block)
            .min_by_key(|block| block.number);
        lowest.ok_or(ChainError::NoEndpoint { chain: self.id() })
    }

    /// Replays a failed transaction on the state before its block; the receipt does not hold the reason.
    async fn why_reverted(&self, transaction: B256, block: BlockRef) -> String {
        let replayed = self.gather(|node| replay(node, transaction, block)).await;
        let reasons = replayed.into_iter().flatten().filter_map(|(_, reason)| reason);
        reasons
            .into_iter()
            .next()
            .unwrap_or_else(|| "no reason known".to_owned())
    }
}

#[derive(Deserialize)]
struct RawTransaction {
    from: Address,
    to: Option<Address>,
    #[serde(default)]
    value: Value,
    input: Bytes,
    gas: U64,
}

async fn replay(node: &Node, transaction: B256, block: BlockRef) -> Result<Option<String>, ChainError> {
    let ask = Ask::new("eth_getTransactionByHash", json!([transaction]));
    let Some(tx): Option<RawTransaction> = node.ask(&[ask]).await?.take()? else {
        return Ok(None);
    };
    // A proxy keeps a little gas when its implementation runs out of it, so the gas used does not tell. That the
    // same call runs with more gas does.
    let call = |gas: U64| json!({"from": tx.from, "to": tx.to, "value": tx.value, "data": tx.input, "gas": gas});
    let before = U64::from(block.number.saturating_sub(1));
    let ask = |gas: U64| Ask::new("eth_call", json!([call(gas), before]));
    let mut replies = node.ask(&[ask(tx.gas), ask(U64::from(GENEROUS_GAS))]).await?;
    let (same, generous) = (replies.reply()?.1, replies.reply()?.1);
    Ok(match (same, generous) {
        (Reply::Refused(_), Reply::Result(_)) => Some("out of gas".to_owned()),
        (Reply::Refused(refusal), _) if refusal.is_revert() => Some(reason(&refusal)),
        _ => None,
    })
}

fn lowest_tag(found: &[(&Node, Evidence)], finality: Finality) -> Result<u64, ChainError> {
    let reached = found.iter().filter_map(|(_, evidence)| evidence.settled).min();
    reached.ok_or_else(|| ChainError::NoFinalityTag {
        endpoint: found
            .first()
            .map_or_else(String::new, |(node, _)| node.label().to_owned()),
        tag: finality.tag().unwrap_or_default(),
    })
}

impl Chain {
    /// Index of the log in which the receipt shows the effect. What only some endpoints show is not settled.
    async fn shown(&self, claim: &Claim, agreed: &Agreed) -> Result<u64, ProofFailure> {
        let Agreed { receipt, block, .. } = agreed;
        let transaction = claim.transaction;
        if !receipt.succeeded() {
            if !agreed.complete {
                return Err(ProofFailure::NotSettled { transaction });
            }
            return Err(ProofFailure::Reverted {
                transaction,
                block: block.number,
                reason: self.why_reverted(transaction, *block).await,
            });
        }
        match addition(&receipt.logs, claim.app, claim.hash) {
            Err(_) if !agreed.complete => Err(ProofFailure::NotSettled { transaction }),
            found => found.map_err(|what| claim.no_effect(what)),
        }
    }
}

/// Index of the one event by which the app says that it allows `hash`.
fn addition(logs: &[Log], app: Address, hash: B256) -> Result<u64, &'static str> {
    let added = Some(&DstackApp::ComposeHashAdded::SIGNATURE_HASH);
    let own: Vec<&Log> = logs
        .iter()
        .filter(|log| log.address() == app && log.topic0() == added && !log.removed)
        .collect();
    // Contracts of others index the hash; what they do with it is not known here.
    if own.iter().any(|log| log.topics().len() != 1) {
        return Err("its `ComposeHashAdded` is not the one of a DstackApp: the hash is indexed");
    }
    let ours: Vec<&Log> = own.into_iter().filter(|log| log.data().data[..] == hash[..]).collect();
    match ours.as_slice() {
        [] => Err("no `ComposeHashAdded` of the app holds the hash"),
        [log] => log.log_index.ok_or("its event has no index"),
        _ => Err("more than one `ComposeHashAdded` of the app holds the hash"),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Log as Inner, LogData};

    use super::*;

    const APP: Address = Address::repeat_byte(0xa1);
    const HASH: B256 = B256::repeat_byte(0xab);

    fn log(address: Address, topics: Vec<B256>, data: &[u8]) -> Log {
        Log {
            inner: Inner {
                address,
                data: LogData::new_unchecked(topics, data.to_vec().into()),
            },
            log_index: Some(4),
            ..Log::default()
        }
    }

    fn added(address: Address, hash: B256) -> Log {
        log(
            address,
            vec![DstackApp::ComposeHashAdded::SIGNATURE_HASH],
            hash.as_slice(),
        )
    }

    #[test]
    fn v17_the_event_is_the_apps_own_with_the_hash_as_data() {
        assert_eq!(
            DstackApp::ComposeHashAdded::SIGNATURE_HASH,
            alloy::primitives::b256!("fecb34306dd9d8b785b54d65489d06afc8822a0893ddacedff40c50a4942d0af")
        );
        assert_eq!(addition(&[added(APP, HASH)], APP, HASH), Ok(4));
        assert!(addition(&[], APP, HASH).is_err());
        assert!(addition(&[added(Address::repeat_byte(0xa2), HASH)], APP, HASH).is_err());
        assert!(addition(&[added(APP, B256::repeat_byte(0xac))], APP, HASH).is_err());
    }

    #[test]
    fn v17_an_event_that_indexes_the_hash_proves_nothing() {
        let indexed = log(APP, vec![DstackApp::ComposeHashAdded::SIGNATURE_HASH, HASH], &[]);
        assert!(
            addition(std::slice::from_ref(&indexed), APP, HASH)
                .unwrap_err()
                .contains("indexed")
        );
        assert!(addition(&[added(APP, HASH), indexed], APP, HASH).is_err());
    }

    #[test]
    fn v17_the_event_stands_exactly_once() {
        assert!(
            addition(&[added(APP, HASH), added(APP, HASH)], APP, HASH)
                .unwrap_err()
                .contains("more than one")
        );
    }

    #[test]
    fn v17_data_after_the_hash_is_not_the_event() {
        let mut data = HASH.to_vec();
        data.push(0);
        let longer = log(APP, vec![DstackApp::ComposeHashAdded::SIGNATURE_HASH], &data);
        assert!(addition(&[longer], APP, HASH).is_err());
    }

    #[test]
    fn x17_a_removed_log_is_no_event() {
        let removed = Log {
            removed: true,
            ..added(APP, HASH)
        };
        assert!(addition(&[removed], APP, HASH).is_err());
    }
}
