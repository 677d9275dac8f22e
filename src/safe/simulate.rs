//! Whether a Safe transaction would go through, before anybody signs or pays for it: the Safe runs it in `eth_call` as
//! if its owners had approved, with its guard on, sent by whoever will send it.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

use super::approvals::prevalidated;
use super::codes;
use super::deployments;
use super::info::{GUARD_SLOT, NONCE_SLOT, SafeInfo, approved_hash_slot};
use super::tx::{Operation, SafeTx};
use crate::abi::safe::Safe;
use crate::chain::{Call, Chain, ChainError, Fact, Question, Reading, Reverted};

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "simulation", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Simulation {
    /// The Safe makes its calls and all of them succeed.
    Succeeds {
        /// Other transactions come first, and what they change is not in it: the nonce was taken for the Safe's next.
        queued: bool,
    },
    /// It would fail.
    Refused {
        /// Why.
        #[serde(flatten)]
        why: Obstacle,
        /// What the Safe reverted with; empty when it gave nothing or was not asked.
        raw: Bytes,
        /// Other transactions come first, and what they change is not in it.
        queued: bool,
    },
    /// No endpoint runs calls on an altered state, or the Safe keeps its approvals elsewhere than known Safes do.
    NotOffered,
}

/// Why a Safe transaction would fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Obstacle {
    /// Another transaction has used the nonce.
    #[error("nonce {nonce} is used up, the next one is {next}")]
    NonceUsed {
        /// The transaction's.
        nonce: U256,
        /// The Safe's.
        next: U256,
    },
    /// Nothing stands at an address that is called: the call would succeed and do nothing.
    #[error("there is no code at {address}: a call to it would succeed and do nothing")]
    NoCode {
        /// The target.
        address: Address,
    },
    /// At the library's address stands something else than the library.
    #[error("the code at {address} is not that of MultiSendCallOnly (keccak256 {code_hash})")]
    OtherLibrary {
        /// The target.
        address: Address,
        /// keccak256 of what stands there.
        code_hash: B256,
    },
    /// The guard refuses; without it the transaction would go through.
    #[error("the guard {guard} refuses{}", because(.reason.as_deref()))]
    Guard {
        /// The guard.
        guard: Address,
        /// Its reason, decoded and escaped.
        reason: Option<String>,
    },
    /// A contract that the Safe calls refuses.
    #[error("{} refuses{}", which(*.call), because(.reason.as_deref()))]
    Call {
        /// Which of the transaction's calls, from zero, when that was found out by making each of them alone.
        call: Option<usize>,
        /// Its reason, decoded and escaped.
        reason: Option<String>,
    },
    /// The Safe itself refuses.
    #[error("{code}: {meaning}")]
    Safe {
        /// The contract's code.
        code: String,
        /// What it means.
        meaning: String,
    },
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(|| " without a reason".to_owned(), |reason| format!(": {reason}"))
}

fn which(call: Option<usize>) -> String {
    call.map_or_else(
        || "a call that the Safe makes".to_owned(),
        |index| format!("call {index}"),
    )
}

/// Runs `tx` at the block of `info`, sent by `executor`, with the approvals of as many owners as the threshold asks
/// for. Nonce, owners, threshold and guard are the real ones; only a transaction that waits behind others runs as if it
/// were its turn. One round trip, another one to find out which call failed. Nothing is sent.
///
/// `tx` has to be one of the Safe that `info` tells of, hashed as that Safe hashes: compare
/// [`Look::hash_on_chain`](super::Look) first.
///
/// # Errors
/// See [`ChainError`].
pub async fn simulate(
    chain: &Chain,
    tx: &SafeTx,
    info: &SafeInfo,
    executor: Address,
) -> Result<Simulation, ChainError> {
    let fields = tx.fields();
    let queued = fields.nonce > info.nonce;
    let refused = |why, raw| Simulation::Refused { why, raw, queued };
    if fields.nonce < info.nonce {
        let (nonce, next) = (fields.nonce, info.nonce);
        return Ok(refused(Obstacle::NonceUsed { nonce, next }, Bytes::new()));
    }
    let run = Run::new(tx, info, executor);
    let mut facts = chain.read(&info.block, &run.questions()).await?;
    if let Some(obstacle) = run.code_obstacle(&mut facts) {
        return Ok(refused(obstacle, Bytes::new()));
    }
    if !run.assumed(&mut facts) {
        return Ok(Simulation::NotOffered);
    }
    let with_guard = Outcome::of(facts.next());
    let without = info.guard.map(|guard| (guard, Outcome::of(facts.next())));
    let reverted = match with_guard {
        Outcome::NotOffered => return Ok(Simulation::NotOffered),
        Outcome::Success => return Ok(Simulation::Succeeds { queued }),
        Outcome::Failure(reverted) => reverted,
    };
    if let Some((guard, without)) = without
        && !without.fails_like(&reverted)
    {
        let reason = reason(&reverted);
        return Ok(refused(Obstacle::Guard { guard, reason }, reverted.data));
    }
    let obstacle = run.inner_obstacle(chain, &reverted).await?;
    Ok(refused(obstacle, reverted.data))
}

/// One simulation.
struct Run<'a> {
    tx: &'a SafeTx,
    info: &'a SafeInfo,
    executor: Address,
    /// Whose approvals are assumed.
    approving: BTreeSet<Address>,
}

/// How one run ended.
enum Outcome {
    Success,
    Failure(Reverted),
    NotOffered,
}

impl Outcome {
    fn of(fact: Fact) -> Self {
        match (fact.value::<Safe::execTransactionCall>(), fact) {
            (Some(true), _) => Self::Success,
            (_, Fact::NotOffered) => Self::NotOffered,
            (_, Fact::Reverted(reverted)) => Self::Failure(reverted),
            // Before 1.3.0 a failure inside is an answer.
            (_, Fact::Bytes(_)) => Self::Failure(Reverted {
                reason: String::new(),
                data: Bytes::new(),
            }),
        }
    }
    fn fails_like(&self, other: &Reverted) -> bool {
        matches!(self, Self::Failure(this) if this.data == other.data && this.reason == other.reason)
    }
}

impl<'a> Run<'a> {
    fn new(tx: &'a SafeTx, info: &'a SafeInfo, executor: Address) -> Self {
        let threshold = usize::try_from(info.threshold).unwrap_or(usize::MAX);
        Self {
            tx,
            info,
            executor,
            approving: info.owner_set().into_iter().take(threshold).collect(),
        }
    }

    /// The code of every target, the controls that show whether assumptions are honoured, the run, and the run without
    /// the guard if there is one.
    fn questions(&self) -> Vec<Question> {
        let safe = self.info.address;
        let mut questions: Vec<Question> = self.targets().into_iter().map(Question::code).collect();
        questions.extend(self.control().map(|call| self.assuming(Question::call(safe, &call))));
        questions.push(self.assuming(Question::call(safe, &Safe::nonceCall {})));
        let exec = self.tx.exec_call(&prevalidated(&self.approving));
        let run = Question::raw("execTransaction", safe, exec.data).from(self.executor);
        let run = self.assuming(run);
        let without = self
            .info
            .guard
            .map(|_| run.clone().assuming(safe, GUARD_SLOT, B256::ZERO));
        questions.push(run);
        questions.extend(without);
        questions
    }

    fn control(&self) -> Option<Safe::approvedHashesCall> {
        let owner = self.approving.first()?;
        Some(Safe::approvedHashesCall {
            _0: *owner,
            _1: self.tx.hash(),
        })
    }

    fn assuming(&self, question: Question) -> Question {
        let (safe, hash, nonce) = (self.info.address, self.tx.hash(), self.tx.fields().nonce);
        let yes = B256::with_last_byte(1);
        let mut question = question.optional();
        for owner in &self.approving {
            question = question.assuming(safe, approved_hash_slot(*owner, hash), yes);
        }
        if nonce == self.info.nonce {
            return question;
        }
        let slot = B256::from(U256::from(NONCE_SLOT));
        question.assuming(safe, slot, nonce.into())
    }

    /// Whatever the transaction calls, the library first if there is one.
    fn targets(&self) -> BTreeSet<Address> {
        let inner = self.tx.calls().iter().map(|call| call.to);
        inner.chain([self.tx.fields().to]).collect()
    }

    fn code_obstacle(&self, facts: &mut Reading) -> Option<Obstacle> {
        let fields = self.tx.fields();
        let mut found = None;
        for address in self.targets() {
            let code = facts.next().bytes();
            let code_hash = keccak256(&code);
            let library = deployments::batcher(address).filter(|_| fields.operation == Operation::DelegateCall);
            let obstacle = if code.is_empty() {
                Some(Obstacle::NoCode { address })
            } else if library.is_some_and(|known| address == fields.to && known.code_hash != code_hash) {
                Some(Obstacle::OtherLibrary { address, code_hash })
            } else {
                None
            };
            found = found.or(obstacle);
        }
        found
    }

    /// Whether the endpoint honours the assumptions, and the Safe keeps what is assumed where known Safes do.
    fn assumed(&self, facts: &mut Reading) -> bool {
        let approved = self.control().is_none_or(|_| {
            let approved = facts.next().value::<Safe::approvedHashesCall>();
            approved == Some(U256::ONE)
        });
        let nonce = facts.next().value::<Safe::nonceCall>();
        approved && nonce == Some(self.tx.fields().nonce)
    }

    /// Who refused, if not the guard: each call is made alone, as the Safe would make it.
    async fn inner_obstacle(&self, chain: &Chain, reverted: &Reverted) -> Result<Obstacle, ChainError> {
        let question = |call: &Call| {
            let question = Question::raw("a call of the Safe", call.to, call.data.clone());
            question.from(self.info.address).optional()
        };
        let questions: Vec<Question> = self.tx.calls().iter().map(question).collect();
        let mut facts = chain.read(&self.info.block, &questions).await?;
        let alone = (0..questions.len()).find_map(|index| match facts.next() {
            Fact::Reverted(inner) => Some((index, inner)),
            Fact::Bytes(_) | Fact::NotOffered => None,
        });
        let code = codes::of_revert(&reverted.data, &reverted.reason);
        let wrapped = reverted.data.is_empty() && code.is_none() || code.is_some_and(|(code, _)| code == "GS013");
        let same = alone.as_ref().is_some_and(|(_, inner)| inner.data == reverted.data);
        Ok(match (alone, code) {
            (Some((index, inner)), _) if wrapped || same => Obstacle::Call {
                call: Some(index),
                reason: reason(&inner),
            },
            (_, Some((code, meaning))) if !wrapped => Obstacle::Safe {
                code: code.to_owned(),
                meaning: meaning.to_owned(),
            },
            (_, Some(_)) => Obstacle::Call {
                call: None,
                reason: None,
            },
            (_, None) => Obstacle::Call {
                call: None,
                reason: reason(reverted),
            },
        })
    }
}

/// The reason; without bytes all that an endpoint says is that it reverted, and perhaps something after that.
fn reason(reverted: &Reverted) -> Option<String> {
    let said = reverted.reason.as_str();
    let words = if reverted.data.is_empty() {
        let after = said.rsplit_once("reverted").map_or(said, |(_, after)| after);
        after.trim_start_matches([':', ' '])
    } else {
        said
    };
    (!words.is_empty()).then(|| words.to_owned())
}
