//! Filling in a transaction: nonce, gas, fees, and whether the sender can pay. One round trip, nothing is sent.
//!
//! The base fee of a block is a fact, on which endpoints have to agree. What is usual besides, the tip above all, is each
//! endpoint's own opinion: the lowest counts, within bounds. What all of it may cost in the end is limited by
//! [`Spending`].

use alloy::primitives::{Address, Bytes, U64, U128, U256, address};
use alloy::sol_types::SolCall as _;
use serde::Deserialize;
use serde_json::{Value, json};

pub use super::cost::Spending;
use super::error::contradiction;
use super::head::Common;
use super::quorum::Patience;
use super::read::reason;
use super::rpc::{Ask, Node, RawBlock, Refusal, Replies, Reply};
use super::{BlockRef, Call, Chain, ChainError, FeePolicy, TxError, TxRequest};
use crate::abi::data_fee::GasPriceOracle;

pub use super::fee_policy::has_data_fee;

/// Blocks that the fees are taken from.
const HISTORY: u64 = 20;
/// Without a ceiling of its own, nothing above this many times the median fee of those blocks is signed.
const CEILING: u128 = 5;
/// A default ceiling is not below this, so that a cheap chain with one busy block is no obstacle: 1 gwei.
const CEILING_FLOOR: u128 = 1_000_000_000;
/// Smallest tip: 0.001 gwei, where nobody pays any.
const TIP_FLOOR: u128 = 1_000_000;
/// A tip above this is paid only as long as the base fee is as high: 3 gwei, which busy hours of Ethereum rarely ask.
const TIP_CEILING: u128 = 3_000_000_000;
/// Gas above the estimate, in percent: the estimate is for one state, the transaction meets a later one.
const GAS_MARGIN: u64 = 20;
/// Estimates of honest endpoints differ by some percent; by more than this factor, one of them is wrong.
const GAS_SPREAD: u64 = 2;

/// Gas for trying the call: far more than any call of this kind needs.
pub(super) const GENEROUS_GAS: u64 = 10_000_000;

/// Where OP Stack chains say what a transaction's data costs on the chain below; others have no code there.
const DATA_FEE_ORACLE: Address = address!("420000000000000000000000000000000000000F");
/// Bytes of an unsigned transaction besides its calldata, at most: every field at its longest.
const UNSIGNED_BYTES: usize = 128;

/// How a transaction is filled in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filling {
    /// What it may cost.
    pub fees: FeePolicy,
    /// Its nonce; without one the sender's next, once nothing of the sender is in flight.
    pub nonce: Option<u64>,
}

/// A transaction before it is signed, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Every field.
    pub request: TxRequest,
    /// What the chain takes besides gas for keeping the data on the chain below, wei, at most (OP Stack). It is no
    /// field of a transaction, so no limit can be signed.
    pub data_fee: Option<U256>,
}

impl Quote {
    /// The most it can cost, wei.
    pub fn most(&self) -> U256 {
        self.request.most().saturating_add(self.data_fee.unwrap_or_default())
    }
}

/// `eth_feeHistory`: base fees of some blocks and of the next one, tips that were paid.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeeHistory {
    #[serde(default)]
    base_fee_per_gas: Vec<U128>,
    #[serde(default)]
    reward: Option<Vec<Vec<U128>>>,
}

/// What a unit of gas costs now: the base fee on which the endpoints agree, and the lowest of their opinions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Market {
    /// Base fee of the next block, wei per gas; never below that of the block on which the endpoints agree.
    pub base_fee: u128,
    /// Base fee of past blocks, wei per gas.
    usual: u128,
    /// Tip, wei per gas.
    pub tip: u128,
}

/// The newest block of an endpoint, and its base fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Top {
    block: BlockRef,
    base_fee: u128,
}

/// What one endpoint says of everything that a transaction needs.
#[derive(Debug)]
struct Survey {
    /// Scheme and host.
    endpoint: String,
    top: Top,
    gas_limit: u64,
    latest: u64,
    pending: u64,
    balance: U256,
    history: FeeHistory,
    gas: Result<u64, Refusal>,
    call: Option<Refusal>,
    data_fee: Option<U256>,
}

impl FeeHistory {
    /// Blocks back from the newest, with the given percentile of their tips.
    pub(super) fn ask(blocks: u64, percentile: u64) -> Ask {
        Ask::new("eth_feeHistory", json!([U64::from(blocks), "latest", [percentile]]))
    }
    /// Base fee of the next block.
    pub(super) fn next_base_fee(&self) -> u128 {
        self.base_fee_per_gas.last().copied().unwrap_or_default().to()
    }
    /// Median of the tips of blocks that paid any.
    pub(super) fn tip(&self) -> u128 {
        let paid = self.reward.iter().flatten().filter_map(|tips| tips.first());
        let tips = paid.map(|tip| tip.to::<u128>()).filter(|tip| *tip > 0).collect();
        median(tips).max(TIP_FLOOR)
    }
    /// Median of the base fees of past blocks.
    fn usual_base_fee(&self) -> u128 {
        let past = self.base_fee_per_gas.len().saturating_sub(1);
        median(self.base_fee_per_gas.iter().take(past).map(|fee| fee.to()).collect())
    }
}

impl Market {
    /// What follows from the base fee that was agreed on, and from what each endpoint tells of past blocks.
    fn of<'a>(agreed: u128, histories: impl Iterator<Item = &'a FeeHistory> + Clone) -> Self {
        let lowest = |figure: fn(&FeeHistory) -> u128| histories.clone().map(figure).min().unwrap_or_default();
        let base_fee = agreed.max(lowest(FeeHistory::next_base_fee));
        Self {
            base_fee,
            // It only says when fees are too high to pay: one endpoint that calls them high is no reason to wait.
            usual: histories
                .clone()
                .map(FeeHistory::usual_base_fee)
                .max()
                .unwrap_or_default(),
            tip: lowest(FeeHistory::tip).min(base_fee.max(TIP_CEILING)),
        }
    }
    /// Cap and tip, wei per gas: room for the base fee to double, within the ceiling.
    ///
    /// # Errors
    /// The ceiling is below what the next block asks.
    fn fees(&self, policy: &FeePolicy) -> Result<(u128, u128), TxError> {
        let (base, tip) = (self.base_fee, self.tip);
        let usual = self.usual.saturating_add(tip).saturating_mul(CEILING);
        let ceiling = policy.ceiling.unwrap_or_else(|| usual.max(CEILING_FLOOR));
        let needed = base.saturating_add(tip);
        if needed > ceiling {
            return Err(TxError::FeeCeiling { needed, ceiling });
        }
        Ok((base.saturating_mul(2).saturating_add(tip).min(ceiling), tip))
    }
    /// Whether blocks pass over a transaction now, since others pay more.
    pub fn passes_over(&self, request: &TxRequest) -> bool {
        let most = self.base_fee.saturating_add(request.max_priority_fee_per_gas);
        request.max_fee_per_gas.min(most) < self.base_fee.saturating_add(self.tip)
    }
}

fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Chain {
    /// Reads nonce, balance and fees, estimates gas and fills in a transaction; sends nothing. One round trip.
    ///
    /// # Errors
    /// See [`TxError`].
    pub async fn fill(&self, from: Address, call: &Call, filling: Filling) -> Result<Quote, TxError> {
        let mut patience = Patience::new(&self.quorum);
        let found = loop {
            let found = self.gather(|node| self.survey(node, from, call)).await?;
            match self.one_view(&found) {
                Ok(()) => break found,
                Err(error) if !patience.wait_for_one(&self.quorum).await => return Err(error.into()),
                Err(_) => {}
            }
        };
        let tops = found.iter().map(|(node, survey)| (*node, survey.top)).collect();
        let base_fee = self.agreed_base_fee(tops).await?;
        let surveys: Vec<Survey> = found.into_iter().map(|(_, survey)| survey).collect();
        let blank = TxRequest {
            chain_id: self.id(),
            from,
            nonce: 0,
            call: call.clone(),
            gas_limit: 0,
            max_fee_per_gas: 0,
            max_priority_fee_per_gas: 0,
        };
        filled(blank, base_fee, &surveys, filling)
    }

    /// What a unit of gas costs now. One round trip, and another one to endpoints that are ahead.
    ///
    /// # Errors
    /// No endpoint answers, or they do not agree on the base fee.
    pub async fn market(&self) -> Result<Market, ChainError> {
        let found = self.gather(|node| self.quotation(node)).await?;
        let tops = found.iter().map(|(node, (top, _))| (*node, *top)).collect();
        let base_fee = self.agreed_base_fee(tops).await?;
        Ok(Market::of(base_fee, found.iter().map(|(_, (_, history))| history)))
    }

    /// The base fee of the newest block that all of these endpoints have.
    async fn agreed_base_fee(&self, tops: Vec<(&Node, Top)>) -> Result<u128, ChainError> {
        let lowest = tops.iter().map(|(_, top)| top.block.number).min().unwrap_or_default();
        let same_height = self.gather(|node| {
            let top = tops
                .iter()
                .find(|(other, _)| std::ptr::eq(*other, node))
                .map(|(_, top)| *top);
            async move {
                match top {
                    Some(top) if top.block.number == lowest => Ok(top),
                    _ => Top::of(node, &node.ask(&[Ask::block(lowest)]).await?.take::<RawBlock>()?),
                }
            }
        });
        let tops = same_height.await?;
        let blocks: Vec<(&Node, BlockRef)> = tops.iter().map(|(node, top)| (*node, top.block)).collect();
        match self.agreed(&blocks)? {
            Common::Head(_) => {}
            Common::Forked { missing, .. } | Common::Behind(missing) => {
                return Err(self.too_few(blocks.len().saturating_sub(missing.len()), missing));
            }
        }
        let fees: Vec<(&str, u128)> = tops.iter().map(|(node, top)| (node.label(), top.base_fee)).collect();
        one_base_fee(&fees, lowest)
    }

    /// What all of them have to say the same of: the sender's nonce, and whether the call fails. One that has not heard of
    /// the newest block yet is missing; two that differ at one block contradict each other.
    ///
    /// # Errors
    /// They do not say the same.
    fn one_view(&self, found: &[(&Node, Survey)]) -> Result<(), ChainError> {
        let Some(((first, one), others)) = found.split_first() else {
            return Ok(());
        };
        for (node, other) in others {
            let what = match (one.fails(), other.fails()) {
                _ if one.latest != other.latest => "the sender's nonce",
                (Some(mine), Some(theirs)) if mine != theirs => "whether the call fails",
                _ => continue,
            };
            if one.top.block == other.top.block {
                return Err(contradiction(first.label(), node.label(), what, one.top.block.number));
            }
            let (behind, ahead) = match one.top.block.number < other.top.block.number {
                true => (*first, *node),
                false => (*node, *first),
            };
            let why = format!(
                "its newest block is not that of {}, and it says something else of {what}",
                ahead.label()
            );
            return Err(self.too_few(found.len().saturating_sub(1), vec![behind.missing(why)]));
        }
        Ok(())
    }

    async fn quotation(&self, node: &Node) -> Result<(Top, FeeHistory), ChainError> {
        let asks = [Ask::chain_id(), Ask::block_at("latest"), FeeHistory::ask(HISTORY, 50)];
        let mut replies = node.ask(&asks).await?;
        self.check_id(node, replies.number()?)?;
        let block: RawBlock = replies.take()?;
        self.check_top(node, &block)?;
        Ok((Top::of(node, &block)?, replies.take()?))
    }

    async fn survey(&self, node: &Node, from: Address, call: &Call) -> Result<Survey, ChainError> {
        let transaction = json!({"from": from, "to": call.to, "value": call.value, "data": call.data});
        // With gas of its own, so that a block that holds little is told from a call that fails.
        let mut generous = transaction.clone();
        generous["gas"] = json!(U64::from(GENEROUS_GAS));
        let mut replies = node
            .ask(&[
                Ask::chain_id(),
                Ask::block_at("latest"),
                Ask::new("eth_getTransactionCount", json!([from, "latest"])),
                Ask::new("eth_getTransactionCount", json!([from, "pending"])),
                Ask::new("eth_getBalance", json!([from, "latest"])),
                FeeHistory::ask(HISTORY, 50),
                Ask::new("eth_estimateGas", json!([transaction, "latest"])),
                Ask::new("eth_call", json!([generous, "latest"])),
                data_fee(call),
            ])
            .await?;
        self.check_id(node, replies.number()?)?;
        let block: RawBlock = replies.take()?;
        self.check_top(node, &block)?;
        let survey = Survey {
            endpoint: node.label().to_owned(),
            top: Top::of(node, &block)?,
            gas_limit: block.gas_limit(),
            latest: replies.number()?,
            pending: replies.number()?,
            balance: replies.take()?,
            history: replies.take()?,
            gas: attempt::<U64>(node, &mut replies)?.map(|gas| gas.to()),
            call: attempt::<Value>(node, &mut replies)?.err(),
            // A chain without this contract answers with nothing, one before Fjord with a revert.
            data_fee: attempt::<Bytes>(node, &mut replies)?
                .ok()
                .and_then(|answer| GasPriceOracle::getL1FeeUpperBoundCall::abi_decode_returns(&answer).ok()),
        };
        match &survey.gas {
            Err(refusal) if !refusal.is_revert() && !is_about_gas(refusal) => {
                Err(node.unavailable("eth_estimateGas", refusal.clone()))
            }
            _ => Ok(survey),
        }
    }
}

impl Top {
    fn of(node: &Node, raw: &RawBlock) -> Result<Self, ChainError> {
        let block = raw.sealed().ok_or_else(|| node.misshapen("eth_getBlockByNumber"))?;
        Ok(Self {
            block,
            base_fee: raw.base_fee(),
        })
    }
}

/// The base fee that all endpoints say.
///
/// # Errors
/// Two say different ones.
fn one_base_fee(said: &[(&str, u128)], block: u64) -> Result<u128, ChainError> {
    let Some(((first, fee), others)) = said.split_first() else {
        return Ok(0);
    };
    match others.iter().find(|(_, other)| other != fee) {
        None => Ok(*fee),
        Some((second, _)) => Err(ChainError::Disagreement {
            first: (*first).to_owned(),
            second: (*second).to_owned(),
            what: "base fee".to_owned(),
            block,
        }),
    }
}

/// A transaction as the surveys have it, from one that has only chain, sender and call.
///
/// # Errors
/// See [`TxError`].
fn filled(blank: TxRequest, base_fee: u128, surveys: &[Survey], filling: Filling) -> Result<Quote, TxError> {
    let from = blank.from;
    // Endpoints differ by what they have not heard of yet: the highest nonce and block are the newest news.
    let latest = surveys.iter().map(|survey| survey.latest).max().unwrap_or_default();
    let pending = surveys.iter().map(|survey| survey.pending).max().unwrap_or_default();
    let newest = surveys
        .iter()
        .max_by_key(|survey| survey.top.block.number)
        .ok_or(ChainError::NoEndpoint { chain: blank.chain_id })?;
    let nonce = nonce(from, latest, pending, filling.nonce)?;
    let block_gas = surveys.iter().map(|survey| survey.gas_limit).max().unwrap_or_default();
    let gas_limit = newest.gas(one_gas(surveys)?, block_gas)?;
    let market = Market::of(base_fee, surveys.iter().map(|survey| &survey.history));
    let (max_fee_per_gas, max_priority_fee_per_gas) = market.fees(&filling.fees)?;
    let request = TxRequest {
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        ..blank
    };
    let quote = Quote {
        request,
        data_fee: surveys.iter().filter_map(|survey| survey.data_fee).max(),
    };
    // One that says less than the others refuses nothing: the chain does, if it is right.
    let balance = surveys.iter().map(|survey| survey.balance).max().unwrap_or_default();
    if balance < quote.most() {
        return Err(TxError::Funds {
            from,
            have: balance.to_string(),
            need: quote.most().to_string(),
        });
    }
    Ok(quote)
}

/// The highest estimate; none where no endpoint gives one.
///
/// # Errors
/// They are too far apart to be about one state of the chain.
fn one_gas(surveys: &[Survey]) -> Result<Option<u64>, ChainError> {
    let estimates = || {
        surveys
            .iter()
            .filter_map(|survey| Some((*survey.gas.as_ref().ok()?, survey)))
    };
    let lowest = estimates().min_by_key(|(gas, _)| *gas);
    let highest = estimates().max_by_key(|(gas, _)| *gas);
    match (lowest, highest) {
        (Some((low, first)), Some((high, second))) if high > low.saturating_mul(GAS_SPREAD) => {
            Err(ChainError::Disagreement {
                first: first.endpoint.clone(),
                second: second.endpoint.clone(),
                what: format!("gas of the call ({low} and {high})"),
                block: first.top.block.number,
            })
        }
        _ => Ok(highest.map(|(gas, _)| gas)),
    }
}

/// Asks what keeping the data of `call` on the chain below costs at most.
fn data_fee(call: &Call) -> Ask {
    let bytes = call.data.len().saturating_add(UNSIGNED_BYTES);
    let question = GasPriceOracle::getL1FeeUpperBoundCall {
        unsignedTxSize: U256::from(bytes),
    };
    let data = Bytes::from(question.abi_encode());
    Ask::new("eth_call", json!([{"to": DATA_FEE_ORACLE, "data": data}, "latest"]))
}

/// The nonce to sign with: the next one, or the one that was asked for, as long as a block can take it.
///
/// # Errors
/// Something of the sender is in flight and nobody chose, or no block could take the chosen one now.
fn nonce(from: Address, latest: u64, pending: u64, chosen: Option<u64>) -> Result<u64, TxError> {
    match chosen {
        None if pending > latest => Err(TxError::InFlight { from, latest, pending }),
        None => Ok(latest),
        Some(nonce) if nonce < latest => Err(TxError::NonceUsed { from, nonce, latest }),
        Some(nonce) if nonce > pending.max(latest) => Err(TxError::NonceGap { from, nonce, pending }),
        Some(nonce) => Ok(nonce),
    }
}

fn is_about_gas(refusal: &Refusal) -> bool {
    let said = refusal.lower();
    let texts = [
        "out of gas",
        "outofgas",
        "exceeds allowance",
        "gas limit",
        "intrinsic gas",
    ];
    texts.iter().any(|text| said.contains(text))
}

/// A reply in which a refusal is an answer.
fn attempt<T: serde::de::DeserializeOwned>(
    node: &Node,
    replies: &mut Replies<'_>,
) -> Result<Result<T, Refusal>, ChainError> {
    match replies.reply()? {
        (_, Reply::Refused(refusal)) => Ok(Err(refusal)),
        (method, Reply::Result(raw)) => serde_json::from_str(raw.get())
            .map(Ok)
            .map_err(|_shape| node.misshapen(method)),
    }
}

impl Survey {
    /// Whether the call fails; not known where the endpoint gives no estimate for another reason.
    fn fails(&self) -> Option<bool> {
        match &self.gas {
            Ok(_) => Some(false),
            Err(refusal) => refusal.is_revert().then_some(true),
        }
    }

    /// Gas limit with its margin, for the highest of all estimates.
    ///
    /// # Errors
    /// The call fails, or needs more than a block holds.
    fn gas(&self, highest: Option<u64>, limit: u64) -> Result<u64, TxError> {
        match self.gas.as_ref().map(|own| highest.unwrap_or(*own)) {
            Ok(needed) if needed > limit => Err(TxError::BlockGasLimit { needed, limit }),
            Ok(needed) => {
                let margin = needed.saturating_mul(GAS_MARGIN).div_ceil(100);
                Ok(needed.saturating_add(margin).min(limit))
            }
            Err(refusal) => Err(self.would_fail(refusal)),
        }
    }

    fn would_fail(&self, estimate: &Refusal) -> TxError {
        let runs = self.call.is_none() && estimate.is_revert();
        if runs || (is_about_gas(estimate) && !self.call.as_ref().is_some_and(Refusal::is_revert)) {
            return TxError::BlockGasLimit {
                needed: self.gas_limit.saturating_add(1),
                limit: self.gas_limit,
            };
        }
        // Some endpoints give the reason only to a call.
        let detailed = self.call.as_ref().filter(|call| call.data.is_some());
        TxError::WouldRevert {
            reason: reason(detailed.unwrap_or(estimate)),
        }
    }
}

#[cfg(test)]
#[path = "fees_lies_tests.rs"]
mod lies;

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    const GWEI: u128 = 1_000_000_000;

    fn history(past: &[u128], next: u128, tips: &[u128]) -> FeeHistory {
        FeeHistory {
            base_fee_per_gas: past.iter().chain([&next]).map(|fee| U128::from(*fee)).collect(),
            reward: Some(tips.iter().map(|tip| vec![U128::from(*tip)]).collect()),
        }
    }

    fn top(base_fee: u128) -> Top {
        Top {
            block: BlockRef {
                number: 1,
                hash: B256::ZERO,
                timestamp: 1,
            },
            base_fee,
        }
    }

    fn market(past: &[u128], next: u128, tips: &[u128]) -> Market {
        let agreed = past.last().copied().unwrap_or_default();
        Market::of(agreed, [&history(past, next, tips)].into_iter())
    }

    fn survey(gas: Result<u64, Refusal>, call: Option<Refusal>) -> Survey {
        Survey {
            endpoint: "one".to_owned(),
            top: top(GWEI),
            gas_limit: 30_000_000,
            latest: 0,
            pending: 0,
            balance: U256::ZERO,
            history: history(&[GWEI], GWEI, &[]),
            gas,
            call,
            data_fee: None,
        }
    }

    fn refusal(message: &str) -> Refusal {
        Refusal {
            code: -32000,
            message: message.to_owned(),
            data: None,
        }
    }

    #[test]
    fn r26_x8_a_nonce_is_chosen_among_those_that_a_block_can_take() {
        let of = |(latest, pending), chosen| nonce(Address::ZERO, latest, pending, chosen);
        assert_eq!(of((3, 3), None).unwrap(), 3);
        assert!(matches!(of((3, 5), None), Err(TxError::InFlight { pending: 5, .. })));
        for chosen in 3..=5 {
            assert_eq!(of((3, 5), Some(chosen)).unwrap(), chosen);
        }
        assert!(matches!(of((3, 5), Some(2)), Err(TxError::NonceUsed { latest: 3, .. })));
        assert!(matches!(of((3, 5), Some(6)), Err(TxError::NonceGap { pending: 5, .. })));
        // An endpoint whose pool is behind its own newest block.
        assert_eq!(of((3, 2), Some(3)).unwrap(), 3);
    }

    #[test]
    fn the_cap_has_room_for_the_base_fee_to_double() {
        let quiet = market(&[10 * GWEI; 20], 10 * GWEI, &[2 * GWEI; 20]);
        assert_eq!(quiet.fees(&FeePolicy::default()).unwrap(), (22 * GWEI, 2 * GWEI));
    }

    #[test]
    fn r20_a_fee_far_above_the_usual_is_refused_not_paid() {
        let jump = market(&[10 * GWEI; 20], 100 * GWEI, &[2 * GWEI; 20]);
        let error = jump.fees(&FeePolicy::default()).unwrap_err();
        assert!(
            matches!(error, TxError::FeeCeiling { needed, ceiling } if needed == 102 * GWEI && ceiling == 60 * GWEI),
            "{error}"
        );
    }

    #[test]
    fn x25_a_base_fee_above_the_own_ceiling_is_told_with_the_number_needed() {
        let own = FeePolicy {
            ceiling: Some(11 * GWEI),
            ..FeePolicy::default()
        };
        let dear = market(&[10 * GWEI; 20], 10 * GWEI, &[2 * GWEI; 20]);
        let error = dear.fees(&own).unwrap_err();
        assert!(
            matches!(error, TxError::FeeCeiling { needed, ceiling } if needed == 12 * GWEI && ceiling == 11 * GWEI),
            "{error}"
        );
    }

    #[test]
    fn the_cap_never_exceeds_the_ceiling() {
        let own = FeePolicy {
            ceiling: Some(15 * GWEI),
            ..FeePolicy::default()
        };
        let quiet = market(&[10 * GWEI; 20], 10 * GWEI, &[2 * GWEI; 20]);
        assert_eq!(quiet.fees(&own).unwrap(), (15 * GWEI, 2 * GWEI));
    }

    #[test]
    fn on_a_cheap_chain_one_busy_block_is_no_obstacle() {
        let base = market(&[5_000_000; 20], 80_000_000, &[1_000_000; 20]);
        assert!(base.fees(&FeePolicy::default()).is_ok());
    }

    #[test]
    fn one_absurd_tip_moves_nothing_and_no_tips_leave_the_smallest() {
        let mut tips = [2 * GWEI; 20];
        tips[3] = 100_000 * GWEI;
        assert_eq!(history(&[GWEI; 20], GWEI, &tips).tip(), 2 * GWEI);
        assert_eq!(history(&[GWEI; 20], GWEI, &[0; 20]).tip(), TIP_FLOOR);
        assert_eq!(history(&[GWEI; 20], GWEI, &[]).tip(), TIP_FLOOR);
    }

    #[test]
    fn a_fee_history_without_rewards_is_read() {
        let text = r#"{"oldestBlock":"0x1","baseFeePerGas":["0x3b9aca00","0x342770c0"],"gasUsedRatio":[0.0]}"#;
        let read: FeeHistory = serde_json::from_str(text).unwrap();
        assert_eq!(read.next_base_fee(), 875_000_000);
        assert_eq!(read.tip(), TIP_FLOOR);
    }

    #[test]
    fn the_gas_limit_is_a_fifth_above_the_estimate_and_at_most_a_block() {
        assert_eq!(survey(Ok(50_001), None).gas(None, 30_000_000).unwrap(), 60_002);
        assert_eq!(survey(Ok(29_000_000), None).gas(None, 30_000_000).unwrap(), 30_000_000);
    }

    #[test]
    fn x22_more_gas_than_a_block_holds_is_refused() {
        let error = survey(Ok(30_000_001), None).gas(None, 30_000_000).unwrap_err();
        assert!(matches!(
            error,
            TxError::BlockGasLimit {
                needed: 30_000_001,
                limit: 30_000_000
            }
        ));
        let error = survey(Err(refusal("gas required exceeds allowance (30000)")), None)
            .gas(None, 30_000_000)
            .unwrap_err();
        assert!(matches!(error, TxError::BlockGasLimit { .. }), "{error}");
    }

    #[test]
    fn r21_a_call_that_fails_is_never_sent_and_its_reason_is_named() {
        let mut data = alloy::primitives::hex::decode("118cdaa7").unwrap();
        data.extend([0; 32]);
        let detailed = Refusal {
            data: Some(data.into()),
            ..refusal("execution reverted")
        };
        let error = survey(Err(refusal("execution reverted")), Some(detailed))
            .gas(None, 30_000_000)
            .unwrap_err();
        assert!(
            matches!(&error, TxError::WouldRevert { reason } if reason.starts_with("OwnableUnauthorizedAccount")),
            "{error}"
        );
        let error = survey(Err(refusal("out of gas")), Some(refusal("execution reverted: no")))
            .gas(None, 30_000_000)
            .unwrap_err();
        assert!(matches!(&error, TxError::WouldRevert { .. }), "{error}");
    }
}
