//! Reading a contract's state at one block, from every endpoint that works; what they say must be the same.
//!
//! A revert is an answer. An endpoint that cannot answer is set aside, and an error only when none is left.

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::sol_types::SolCall;
use serde_json::{Map, Value, json};

use super::revert;
use super::rpc::{Ask, Node, RawBlock, Refusal, Reply};
use super::{BlockRef, Chain, ChainError};

/// One question about the state.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Its name, for messages.
    pub(crate) name: &'static str,
    read: Read,
    /// An endpoint may refuse it without being set aside.
    optional: bool,
    /// Most gas that the call may use.
    gas: Option<u64>,
}

/// Most gas for a question to code that nobody knows: more than any view function needs, and too little for an answer that
/// is worth sending.
const STRANGERS_GAS: u64 = 1_000_000;
/// Most bytes of an answer of such code that are looked at.
const STRANGERS_ANSWER: usize = 1024;

/// Asks code that may be anybody's what a view function answers; see [`Question::of_stranger`].
pub(super) fn ask_stranger<C: SolCall>(to: Address, call: &C) -> Question {
    Question::call(to, call).of_stranger()
}

#[derive(Debug, Clone)]
enum Read {
    Call {
        /// Whom the contract sees as the sender; endpoints take the zero address when nobody is named.
        from: Option<Address>,
        to: Address,
        data: Bytes,
        slots: Vec<(Address, B256, B256)>,
    },
    Code(Address),
    Slot(Address, B256),
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// Bytes.
    Bytes(Bytes),
    /// The contract refused.
    Reverted(Reverted),
    /// The endpoint does not answer this (only to optional questions).
    NotOffered,
}

/// How a contract refused.
#[derive(Debug, Clone)]
pub(crate) struct Reverted {
    /// Reason, decoded and escaped; the endpoint's words when there are no bytes.
    pub(crate) reason: String,
    /// The bytes; empty when the contract gave none, or the endpoint did not pass them on.
    pub(crate) data: Bytes,
}

/// The answers at one block.
#[derive(Debug)]
pub(crate) struct Reading {
    facts: std::vec::IntoIter<Fact>,
    /// Endpoints that gave the same answers.
    pub(crate) endpoints: Vec<String>,
}

/// A block that was there and is not any more.
#[derive(Debug, thiserror::Error)]
#[error("block {0} is not on its chain")]
pub struct Replaced(pub(super) B256);

enum Refused {
    /// It takes no block hashes.
    Hashes,
    /// It does not have the block.
    Block(&'static str),
    Chain(ChainError),
}

impl Question {
    /// What a view function answers.
    pub(crate) fn call<C: SolCall>(to: Address, call: &C) -> Self {
        Self {
            name: C::SIGNATURE,
            read: Read::Call {
                from: None,
                to,
                data: call.abi_encode().into(),
                slots: Vec::new(),
            },
            optional: false,
            gas: None,
        }
    }
    /// What a contract answers to these bytes.
    pub(crate) const fn raw(name: &'static str, to: Address, data: Bytes) -> Self {
        Self {
            name,
            read: Read::Call {
                from: None,
                to,
                data,
                slots: Vec::new(),
            },
            optional: false,
            gas: None,
        }
    }
    /// The code at an address.
    pub(crate) const fn code(address: Address) -> Self {
        Self {
            name: "code",
            read: Read::Code(address),
            optional: false,
            gas: None,
        }
    }
    /// A storage slot.
    pub(crate) const fn slot(address: Address, slot: B256) -> Self {
        Self {
            name: "storage",
            read: Read::Slot(address, slot),
            optional: false,
            gas: None,
        }
    }
    /// Asks the call as if `slot` of `contract` held `value` (a state override); endpoints need not offer that.
    pub(crate) fn assuming(mut self, contract: Address, slot: B256, value: B256) -> Self {
        if let Read::Call { slots, .. } = &mut self.read {
            slots.push((contract, slot, value));
        }
        self.optional = true;
        self
    }

    /// Lets an endpoint refuse the question without being set aside.
    pub(crate) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
    /// Asks code that may be anybody's: with little gas, and an endpoint that gives up on it is not set aside.
    pub(crate) const fn of_stranger(mut self) -> Self {
        self.gas = Some(STRANGERS_GAS);
        self.optional()
    }
    /// Makes `sender` the caller of the call.
    pub(crate) fn from(mut self, sender: Address) -> Self {
        if let Read::Call { from, .. } = &mut self.read {
            *from = Some(sender);
        }
        self
    }

    /// The question about the state after exactly this block, refused if the block was replaced (EIP-1898).
    pub(super) fn ask_exactly(&self, block: &BlockRef) -> Ask {
        self.ask(&json!({"blockHash": block.hash, "requireCanonical": true}))
    }

    fn ask(&self, block: &Value) -> Ask {
        match &self.read {
            Read::Code(address) => Ask::new("eth_getCode", json!([address, block])),
            Read::Slot(address, slot) => Ask::new("eth_getStorageAt", json!([address, slot, block])),
            Read::Call { from, to, data, slots } => {
                let mut call = Map::from_iter([("to".to_owned(), json!(to)), ("data".to_owned(), json!(data))]);
                call.extend(from.map(|from| ("from".to_owned(), json!(from))));
                call.extend(self.gas.map(|gas| ("gas".to_owned(), json!(U64::from(gas)))));
                let mut params = vec![Value::Object(call), block.clone()];
                if !slots.is_empty() {
                    params.push(overrides(slots));
                }
                Ask::new("eth_call", Value::Array(params))
            }
        }
    }
}

fn overrides(slots: &[(Address, B256, B256)]) -> Value {
    let mut accounts = Map::new();
    for (account, slot, value) in slots {
        let entry = accounts
            .entry(account.to_string())
            .or_insert_with(|| json!({"stateDiff": {}}));
        if let Some(diff) = entry.get_mut("stateDiff").and_then(Value::as_object_mut) {
            diff.insert(slot.to_string(), json!(value));
        }
    }
    Value::Object(accounts)
}

impl Fact {
    /// The value a function returned; `None` when it reverted or what came back is something else.
    pub(crate) fn value<C: SolCall>(&self) -> Option<C::Return> {
        match self {
            Self::Bytes(bytes) => C::abi_decode_returns_validate(bytes).ok(),
            Self::Reverted(_) | Self::NotOffered => None,
        }
    }
    /// The value that a function of a stranger returned; `None` also where it is too long to be looked at.
    pub(crate) fn short<C: SolCall>(&self) -> Option<C::Return> {
        match self {
            Self::Bytes(bytes) if bytes.len() <= STRANGERS_ANSWER => self.value::<C>(),
            _ => None,
        }
    }
    /// The number that a function of a stranger returned, unless it is larger than any that counts seconds or blocks.
    pub(crate) fn number<C: SolCall<Return = U256>>(&self) -> Option<u64> {
        self.short::<C>().and_then(|number| u64::try_from(number).ok())
    }
    /// The bytes, empty when it reverted.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Reverted(_) | Self::NotOffered => Bytes::new(),
        }
    }
    /// Reverts carry different texts on different clients and are the same answer.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(mine), Self::Bytes(theirs)) => mine == theirs,
            (Self::NotOffered, _) | (_, Self::NotOffered) | (Self::Reverted(_), Self::Reverted(_)) => true,
            (Self::Bytes(_), Self::Reverted(_)) | (Self::Reverted(_), Self::Bytes(_)) => false,
        }
    }
}

impl Reading {
    /// The next answer, in the order of the questions.
    pub(crate) fn next(&mut self) -> Fact {
        self.facts.next().unwrap_or(Fact::NotOffered)
    }
    /// The next answers, this many: whoever reads them need not read all.
    pub(crate) fn part(&mut self, count: usize) -> Self {
        let facts: Vec<Fact> = self.facts.by_ref().take(count).collect();
        Self {
            facts: facts.into_iter(),
            endpoints: self.endpoints.clone(),
        }
    }
}

impl Chain {
    /// Asks every working endpoint `questions` about the state after `block`.
    ///
    /// # Errors
    /// No endpoint answers, or two contradict each other.
    pub(crate) async fn read(&self, block: &BlockRef, questions: &[Question]) -> Result<Reading, ChainError> {
        let found = self.gather(|node| node.facts(block, questions)).await?;
        let endpoints = found.iter().map(|(node, _)| node.label().to_owned()).collect();
        let few = self.required().min(found.len());
        let offered = |index: usize| {
            let facts = found.iter().filter_map(|(_, facts)| facts.get(index));
            facts.filter(|fact| !matches!(fact, Fact::NotOffered)).count() >= few
        };
        let offered: Vec<bool> = (0..questions.len()).map(offered).collect();
        let mut found = found.into_iter();
        let Some((first, mut facts)) = found.next() else {
            return Err(ChainError::NoEndpoint { chain: self.id() });
        };
        for (node, theirs) in found {
            for ((fact, other), question) in facts.iter_mut().zip(theirs).zip(questions) {
                if !fact.agrees(&other) {
                    return Err(ChainError::Disagreement {
                        first: first.label().to_owned(),
                        second: node.label().to_owned(),
                        what: question.name.to_owned(),
                        block: block.number,
                    });
                }
                if matches!(fact, Fact::NotOffered) {
                    *fact = other;
                }
            }
        }
        // What only some answer is not agreed on.
        for (fact, offered) in facts.iter_mut().zip(offered) {
            if !offered {
                *fact = Fact::NotOffered;
            }
        }
        Ok(Reading {
            facts: facts.into_iter(),
            endpoints,
        })
    }
}

impl Node {
    async fn facts(&self, block: &BlockRef, questions: &[Question]) -> Result<Vec<Fact>, ChainError> {
        if !self.by_number() {
            let asks: Vec<Ask> = questions.iter().map(|question| question.ask_exactly(block)).collect();
            let mut replies = self.ask(&asks).await?;
            match questions
                .iter()
                .map(|question| {
                    let (method, reply) = replies.reply().map_err(Refused::Chain)?;
                    self.fact(method, reply, question)
                })
                .collect()
            {
                Ok(facts) => return Ok(facts),
                Err(Refused::Chain(error)) => return Err(error),
                Err(Refused::Block(method)) => return Err(self.unavailable(method, Replaced(block.hash))),
                Err(Refused::Hashes) => self.use_numbers(),
            }
        }
        self.facts_by_number(block, questions).await
    }

    /// For endpoints without EIP-1898: by number, and the number's block is looked up before and after.
    async fn facts_by_number(&self, block: &BlockRef, questions: &[Question]) -> Result<Vec<Fact>, ChainError> {
        let number = json!(U64::from(block.number));
        let mut asks = vec![Ask::block(block.number)];
        asks.extend(questions.iter().map(|question| question.ask(&number)));
        asks.push(Ask::block(block.number));
        let mut replies = self.ask(&asks).await?;
        let before: Option<RawBlock> = replies.take()?;
        let mut facts = Vec::with_capacity(questions.len());
        for question in questions {
            let (method, reply) = replies.reply()?;
            let fact = self.fact(method, reply, question).map_err(|refused| match refused {
                Refused::Chain(error) => error,
                Refused::Hashes | Refused::Block(_) => self.unavailable(question.name, Replaced(block.hash)),
            })?;
            facts.push(fact);
        }
        let after: Option<RawBlock> = replies.take()?;
        for seen in [before, after] {
            if seen
                .and_then(|raw| raw.sealed())
                .is_none_or(|seen| seen.hash != block.hash)
            {
                return Err(self.unavailable("eth_getBlockByNumber", Replaced(block.hash)));
            }
        }
        Ok(facts)
    }

    fn fact(&self, method: &'static str, reply: Reply, question: &Question) -> Result<Fact, Refused> {
        match reply {
            Reply::Result(raw) => serde_json::from_str(raw.get())
                .map(Fact::Bytes)
                .map_err(|_shape| Refused::Chain(self.misshapen(method))),
            Reply::Refused(refusal) if refusal.is_revert() => Ok(Fact::Reverted(Reverted {
                reason: reason(&refusal),
                data: refusal.data.unwrap_or_default(),
            })),
            Reply::Refused(_) if question.optional => Ok(Fact::NotOffered),
            Reply::Refused(refusal) if refusal.is_of_a_missing_block() => Err(Refused::Block(method)),
            Reply::Refused(refusal) if refusal.is_misunderstood() && !self.by_number() => Err(Refused::Hashes),
            Reply::Refused(refusal) => Err(Refused::Chain(self.unavailable(method, refusal))),
        }
    }
}

/// Why a call failed, from the bytes if there are any, else from the text.
pub(super) fn reason(refusal: &Refusal) -> String {
    let data = refusal.data.clone().unwrap_or_default();
    revert::decode(&data).unwrap_or_else(|| refusal.message.clone())
}
