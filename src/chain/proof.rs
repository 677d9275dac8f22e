//! The proof that an app's policy changed: receipt, canonical block, the app's own events, the state there and at the
//! head.

use alloy::primitives::{Address, B256, Bytes, U64};
use alloy::rpc::types::Log;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::Missing;
use super::error::contradiction;
use super::fees::GENEROUS_GAS;
use super::headers::same_headers;
use super::look::{Place, RawReceipt};
use super::policy::{AppChanges, Newest, PolicyChange, Said};
use super::policy_history::{PolicyFact, fact};
use super::read::reason;
use super::rpc::{Ask, Node, RawBlock, Replies, Reply};
use super::{BlockRef, Chain, ChainError, Finality};

/// What commit may rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Chain id.
    pub chain_id: u64,
    /// App.
    pub app: Address,
    /// What is in force.
    pub changes: Vec<Proved>,
    /// What else the app logged of its policy in the same transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub besides: Vec<Besides>,
    /// Transaction that changed it; `None` when only the state proves it.
    pub transaction: Option<B256>,
    /// Its sender.
    pub sender: Option<Address>,
    /// Its block.
    pub block: BlockRef,
    /// Gas used.
    pub gas_used: Option<u64>,
    /// Head at which the state was read again.
    pub head: BlockRef,
    /// The finality that was asked for and reached.
    pub finality: Finality,
    /// Endpoints that agreed, scheme and host.
    pub endpoints: Vec<String>,
    /// How many were named; not known of proofs that were made before it was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<u64>,
}

/// One change that is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proved {
    /// What changed.
    pub change: PolicyChange,
    /// Index in the block of the app's log that shows it; `None` when the state alone does.
    pub log_index: Option<u64>,
}

/// Something else that changed by the transaction of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Besides {
    /// What the app's event says.
    #[serde(flatten)]
    pub what: PolicyFact,
    /// Index of the event in the block.
    pub log_index: u64,
}

/// The app's events among `logs` that are not those of `proved`. Pure.
fn besides(logs: &[Log], app: Address, proved: &[Proved]) -> Vec<Besides> {
    let own = logs.iter().filter(|log| log.address() == app && !log.removed);
    let all = own.filter_map(|log| {
        Some(Besides {
            what: fact(&log.inner)?,
            log_index: log.log_index?,
        })
    });
    all.filter(|one| proved.iter().all(|proved| proved.log_index != Some(one.log_index)))
        .collect()
}

impl Proof {
    /// What is proved.
    pub fn subject(&self) -> AppChanges {
        AppChanges {
            app: self.app,
            changes: self.changes.iter().map(|proved| proved.change).collect(),
        }
    }

    /// How many of how many endpoints agreed, and which.
    pub fn said_by(&self) -> String {
        let named = self.named.map(|named| format!(" of {named}"));
        let (count, names) = (self.endpoints.len(), self.endpoints.join(", "));
        format!("{count}{}: {names}", named.unwrap_or_default())
    }
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
        /// Transaction; zero when only the state shows the change, and not yet in a block that stays.
        transaction: B256,
    },
    /// The receipt does not show the effect.
    #[error("transaction {transaction} did not {change}: {what}")]
    NoEffect {
        /// Transaction.
        transaction: B256,
        /// The first change that is not shown.
        change: PolicyChange,
        /// What is missing or different.
        what: String,
    },
    /// In force then, not any more.
    #[error("block {block} did {change}, and at the head that is undone")]
    Removed {
        /// The first change that was undone.
        change: PolicyChange,
        /// Block number.
        block: u64,
    },
    /// Not in force at all.
    #[error("the app did not {change}")]
    NotInForce {
        /// The first change that is not.
        change: PolicyChange,
    },
}

fn named(transaction: &B256) -> String {
    if transaction.is_zero() {
        "the state that shows the change".to_owned()
    } else {
        format!("transaction {transaction}")
    }
}

/// What one endpoint shows of a transaction.
pub(super) struct Evidence {
    pub(super) head: BlockRef,
    /// Highest settled block by tag; `None`: the tag is not offered.
    pub(super) settled: Option<u64>,
    receipt: Option<RawReceipt>,
    /// The block at the guessed height, and whether the changes are in force after the guessed block.
    pub(super) guessed: Option<(BlockRef, bool)>,
}

/// What is asked of an endpoint.
pub(super) struct Claim<'a> {
    pub(super) transaction: B256,
    wanted: &'a AppChanges,
    pub(super) finality: Finality,
    /// The block that held the transaction when it was last seen.
    guess: Option<BlockRef>,
}

impl Claim<'_> {
    /// The block at a guessed block's height, and what the app says after the guessed one.
    fn about(&self, block: &BlockRef) -> Vec<Ask> {
        let state = self.wanted.questions();
        let state = state.iter().map(|question| question.ask_exactly(block));
        std::iter::once(Ask::block(block.number)).chain(state).collect()
    }

    /// The replies to [`Self::about`]; `None` when one of them is no plain answer, which is then asked for by itself.
    fn about_guess(&self, replies: &mut Replies<'_>) -> Result<Option<(BlockRef, bool)>, ChainError> {
        let block = replies.take_if_offered::<Option<RawBlock>>()?.flatten();
        let mut answers: Vec<Option<Bytes>> = Vec::new();
        for _ in self.wanted.questions() {
            answers.push(match replies.reply()?.1 {
                Reply::Result(raw) => serde_json::from_str::<Bytes>(raw.get()).ok(),
                Reply::Refused(_) => None,
            });
        }
        let plain = answers.iter().all(Option::is_some);
        let holds = self.wanted.first_missing(answers).is_none();
        Ok(block
            .and_then(|raw| raw.sealed())
            .filter(|_| plain)
            .map(|block| (block, holds)))
    }

    fn no_effect(&self, change: PolicyChange, what: impl Into<String>) -> ProofFailure {
        ProofFailure::NoEffect {
            transaction: self.transaction,
            change,
            what: what.into(),
        }
    }
}

/// The receipt's block, when it is the guessed one at every endpoint, and whether all of them say that the changes are in
/// force after it.
fn guessed(found: &[(&Node, Evidence)], place: Place) -> Option<(BlockRef, bool)> {
    let answers: Option<Vec<(BlockRef, bool)>> = found.iter().map(|(_, evidence)| evidence.guessed).collect();
    let answers = answers?;
    let (block, _) = *answers.first()?;
    let same = |(other, _): &(BlockRef, bool)| *other == block;
    if !place.is_of(&block) || !answers.iter().all(same) {
        return None;
    }
    Some((block, answers.iter().all(|(_, holds)| *holds)))
}

/// A receipt on which the endpoints that show one agree, in a block that every endpoint has.
struct Agreed {
    receipt: RawReceipt,
    block: BlockRef,
    head: BlockRef,
    /// As many endpoints show it as have to agree.
    complete: bool,
    /// Every endpoint says that the changes are in force after that block; otherwise it is not known yet.
    holds: bool,
    endpoints: Vec<String>,
}

impl Chain {
    /// Proves that `transaction` made the changes, in a block that `finality` covers, and that they still hold: receipt
    /// status 1; the block is the chain's at its height; for each change exactly one event of the app that shows it;
    /// the state after that block, unless it is so old that the endpoints have forgotten it, and the state at the head. Every
    /// endpoint that works must say so. One round trip when the block is the head and was seen to hold the transaction
    /// before, up to four otherwise.
    ///
    /// # Errors
    /// See [`ProofFailure`].
    pub async fn prove(
        &self,
        transaction: B256,
        wanted: &AppChanges,
        finality: Finality,
    ) -> Result<Proof, ProofFailure> {
        self.tops.forget();
        let seen = self.guess().included.filter(|(seen, _)| *seen == transaction);
        let claim = Claim {
            transaction,
            wanted,
            finality,
            guess: seen.map(|(_, block)| block),
        };
        let agreed = self.agree(&claim).await?;
        let changes = self.shown(&claim, &agreed).await?;
        let Agreed { receipt, block, .. } = &agreed;
        // Endpoints that contradict each other about the state after that block are an error of their own.
        let (missing, endpoints) = if agreed.holds {
            (None, agreed.endpoints.clone())
        } else {
            let deep = agreed.head.number.saturating_sub(block.number);
            let (missing, endpoints) = self.missing_then(wanted, block, deep).await?;
            (missing, endpoints.unwrap_or_else(|| agreed.endpoints.clone()))
        };
        // What some endpoints do not show is not known to have happened, so nothing it did is missing.
        if !agreed.complete {
            return Err(ProofFailure::NotSettled { transaction });
        }
        if let Some(change) = missing {
            return Err(claim.no_effect(change, "the app's state after that block does not show it"));
        }
        let (undone, there) = if agreed.head == *block {
            (None, endpoints.clone())
        } else {
            self.missing(wanted, &agreed.head).await?
        };
        if let Some(change) = undone {
            return Err(ProofFailure::Removed {
                change,
                block: block.number,
            });
        }
        let said_all = |label: &&String| endpoints.contains(label) && there.contains(label);
        let endpoints: Vec<String> = agreed.endpoints.iter().filter(said_all).cloned().collect();
        if endpoints.len() < self.required() {
            return Err(ProofFailure::NotSettled { transaction });
        }
        Ok(Proof {
            chain_id: self.id(),
            app: wanted.app,
            besides: besides(&receipt.logs, wanted.app, &changes),
            changes,
            transaction: Some(transaction),
            sender: Some(receipt.from),
            block: *block,
            gas_used: Some(receipt.gas_used.to()),
            head: agreed.head,
            finality,
            endpoints,
            named: self.count_named(),
        })
    }

    /// Proves by state alone that the changes are in force, and names the transaction of the newest event about the
    /// first of them if it can be found and made all of them.
    ///
    /// # Errors
    /// See [`ProofFailure`].
    pub async fn prove_state(&self, wanted: &AppChanges, finality: Finality) -> Result<Proof, ProofFailure> {
        let head = self.head().await?;
        if let Some(change) = self.missing(wanted, &head).await?.0 {
            return Err(ProofFailure::NotInForce { change });
        }
        for Newest { transaction, told, .. } in self.changed_by(wanted, head).await {
            let hint = told < self.required();
            match self.prove(transaction, wanted, finality).await {
                // Several transactions made the changes, or an endpoint named one that did not: the state says that all
                // of them are in force.
                Err(ProofFailure::NoEffect { change, .. }) if hint || wanted.changes.first() != Some(&change) => {}
                Err(ProofFailure::Reverted { .. }) if hint => {}
                Err(ProofFailure::NotSettled { .. }) if hint && !self.is_anywhere(transaction).await? => {}
                proved => return proved,
            }
        }
        let block = self.settled_block(head, finality).await?;
        let (missing, endpoints) = self.missing(wanted, &block).await?;
        if missing.is_some() || endpoints.len() < self.required() {
            return Err(ProofFailure::NotSettled {
                transaction: B256::ZERO,
            });
        }
        let by_state = |change: &PolicyChange| Proved {
            change: *change,
            log_index: None,
        };
        Ok(Proof {
            chain_id: self.id(),
            app: wanted.app,
            changes: wanted.changes.iter().map(by_state).collect(),
            besides: Vec::new(),
            transaction: None,
            sender: None,
            block,
            gas_used: None,
            head,
            finality,
            endpoints,
            named: self.count_named(),
        })
    }

    /// Transactions that may have made the first of the changes last, as far as any endpoint tells of them.
    async fn changed_by(&self, wanted: &AppChanges, head: BlockRef) -> Vec<Newest> {
        let Some(first) = wanted.changes.first() else {
            return Vec::new();
        };
        match self.newest_events(wanted.app, *first, head).await {
            Ok(found) => found.into_iter().filter(|newest| newest.said == Said::Made).collect(),
            Err(error) => {
                tracing::warn!(%error, "the transaction that made the change was not found");
                Vec::new()
            }
        }
    }

    /// Whether any endpoint shows a receipt of the transaction. One round trip.
    async fn is_anywhere(&self, transaction: B256) -> Result<bool, ChainError> {
        let ask = [RawReceipt::ask(transaction)];
        let found = self
            .gather(|node| {
                let ask = ask.clone();
                async move { node.ask(&ask).await?.take::<Option<RawReceipt>>() }
            })
            .await?;
        Ok(found.iter().any(|(_, receipt)| receipt.is_some()))
    }

    fn count_named(&self) -> Option<u64> {
        u64::try_from(self.nodes.len()).ok()
    }

    /// A receipt on which the endpoints agree, in a canonical block that `finality` covers.
    async fn agree(&self, claim: &Claim<'_>) -> Result<Agreed, ProofFailure> {
        let mut found = self.gather(|node| self.evidence(node, claim)).await?;
        let shown = found
            .iter()
            .flat_map(|(node, evidence)| evidence.blocks().map(move |block| (*node, block)));
        same_headers(&shown.collect::<Vec<_>>())?;
        let transaction = claim.transaction;
        let unsettled = || ProofFailure::NotSettled { transaction };
        let (receipt, place) = self.common_receipt(&found).await?.ok_or_else(unsettled)?;
        self.leave_behind(&mut found, claim, place.number);
        let head = found
            .iter()
            .map(|(_, evidence)| evidence.head)
            .min_by_key(|head| head.number)
            .ok_or_else(unsettled)?;
        let covered = match claim.finality.depth(head.number) {
            Some(depth) => depth,
            None => self.lowest_tag(&found, claim.finality)?,
        };
        if place.number > covered.min(head.number) {
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
            holds: guessed.is_some_and(|(_, holds)| holds),
            complete: self.is_shown(&found, transaction),
            endpoints: found.iter().map(|(node, _)| node.label().to_owned()).collect(),
        })
    }

    async fn evidence(&self, node: &Node, claim: &Claim<'_>) -> Result<Evidence, ChainError> {
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
                Some(_) => claim.about_guess(&mut replies)?,
                None => None,
            },
        })
    }

    /// Whether as many endpoints show the receipt as have to agree.
    fn is_shown(&self, found: &[(&Node, Evidence)], transaction: B256) -> bool {
        let without = found.iter().filter(|(_, evidence)| evidence.receipt.is_none());
        let why = format!("it shows no receipt of transaction {transaction}");
        let missing: Vec<Missing> = without.map(|(node, _)| node.missing(why.as_str())).collect();
        let complete = found.len().saturating_sub(missing.len()) >= self.required();
        self.quorum.turnout.miss(&missing, true);
        complete
    }

    /// The receipt that all endpoints show which show one; `None`: none, or it is not in one block yet.
    async fn common_receipt(&self, found: &[(&Node, Evidence)]) -> Result<Option<(RawReceipt, Place)>, ChainError> {
        let mut shown = found
            .iter()
            .filter_map(|(node, evidence)| Some((*node, evidence.receipt.as_ref()?)));
        let Some((first, receipt)) = shown.next() else {
            return Ok(None);
        };
        let Some(place) = receipt.place() else { return Ok(None) };
        for (node, other) in shown {
            match other.place() {
                Some(theirs) if theirs == place => {}
                // One follows the other, unless their chains differ for good.
                Some(theirs) => {
                    self.one_block(place.number.min(theirs.number)).await?;
                    let why = format!(
                        "it has transaction {} in block {} ({}), and {} in block {} ({})",
                        receipt.transaction_hash,
                        theirs.number,
                        theirs.hash,
                        first.label(),
                        place.number,
                        place.hash
                    );
                    self.quorum.turnout.miss(&[node.missing(why)], true);
                    return Ok(None);
                }
                None => return Ok(None),
            }
            if !receipt.says_the_same(other) {
                return Err(contradiction(first.label(), node.label(), "the receipt", place.number));
            }
        }
        Ok(Some((receipt.clone(), place)))
    }

    /// The block at the receipt's height, if it is the receipt's block everywhere. No round trip when it is the head.
    async fn canonical(&self, found: &[(&Node, Evidence)], place: Place) -> Result<Option<BlockRef>, ChainError> {
        let mut heads = found.iter().map(|(_, evidence)| evidence.head);
        let head = found.first().map(|(_, evidence)| evidence.head);
        let is_it = |block: &BlockRef| place.is_of(block);
        if head.as_ref().is_some_and(is_it) && heads.all(|other| Some(other) == head) {
            return Ok(head);
        }
        Ok(self.one_block(place.number).await?.filter(is_it))
    }

    /// Replays a failed transaction on the state before its block; the receipt does not hold the reason.
    async fn why_reverted(&self, transaction: B256, block: BlockRef) -> String {
        let replayed = self.hear(|node| replay(node, transaction, block)).await;
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

impl Chain {
    /// The block that the asked tag has reached everywhere; those that do not offer the tag do not count as agreeing.
    fn lowest_tag(&self, found: &[(&Node, Evidence)], finality: Finality) -> Result<u64, ChainError> {
        let settled = found.iter().map(|(node, evidence)| (*node, evidence.settled));
        let settled: Vec<(&Node, Option<u64>)> = settled.collect();
        self.reached(&settled, finality.tag().unwrap_or_default())
    }

    /// The logs in which the receipt shows the changes. What only some endpoints show is not settled.
    async fn shown(&self, claim: &Claim<'_>, agreed: &Agreed) -> Result<Vec<Proved>, ProofFailure> {
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
        let found = claim.wanted.changes.iter().map(|change| {
            let log_index = change.shown(&receipt.logs, claim.wanted.app);
            let log_index = log_index.map_err(|what| claim.no_effect(*change, what))?;
            Ok(Proved {
                change: *change,
                log_index: Some(log_index),
            })
        });
        match found.collect() {
            Err(_) if !agreed.complete => Err(ProofFailure::NotSettled { transaction }),
            found => found,
        }
    }
}
