//! Contracts that govern an app's owner, or are it, and to which no route leads yet, recognised by what they answer: a
//! governor, a guard that is a timelock, a Delay module.
//!
//! A contract is taken for one of these by several functions that it answers in the right shape at one block, and where it
//! computes something that everybody can compute, only if it comes to the same. What imitates all of that is taken for it, so
//! what is recognised is told and changes no other check.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use serde::Serialize;

use super::app::OwnerKind;
use super::read::{Fact, Question, Reading, ask_stranger as ask};
use super::{BlockRef, Chain, ChainError};
use crate::abi::governance::{Delay, Governor as G, TimelockGuard};
use crate::abi::kinds::Kinds as K;
use crate::abi::timelock::TimelockController as T;

pub use super::other_policy::OtherPolicy;

/// Most characters of a version.
const VERSION_MAX: usize = 32;
/// Modules of a Safe that are asked what they are.
const MODULES_MAX: usize = 20;

/// A governor of OpenZeppelin Contracts, 4.x or 5.x, at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Governor {
    /// Address.
    pub address: Address,
    /// The timelock by which it acts, where it has one.
    pub timelock: Option<Address>,
    /// Time between a proposal and the vote.
    pub voting_delay: u64,
    /// Time for the vote.
    pub voting_period: u64,
    /// These times are seconds; otherwise they are blocks.
    pub by_seconds: bool,
}

/// What acts for a Safe, or keeps it from acting, besides its owners, of a kind that is known by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SafeGovernance {
    /// A guard that lets a transaction through only some time after it was scheduled at the guard (`TimelockGuard`).
    TimelockGuard {
        /// The guard.
        guard: Address,
        /// The version that it names.
        version: String,
        /// Seconds between scheduling and executing; zero: it lets everything through.
        delay: u64,
    },
    /// A module that queues what its own modules ask for, and by which anybody executes the first in the queue after a
    /// while (Zodiac's Delay).
    Delay {
        /// The module.
        module: Address,
        /// Seconds that everything waits.
        cooldown: u64,
        /// Seconds after that in which it can be executed; zero: for ever.
        expiration: u64,
        /// Transactions in the queue.
        queued: u64,
    },
}

impl Chain {
    /// The governor at `address` after `block`; `None` when what stands there does not answer like one. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn governor_at(&self, address: Address, block: &BlockRef) -> Result<Option<Governor>, ChainError> {
        let mut facts = self.read(block, &Governor::questions(address)).await?;
        Ok(Governor::recognise(address, &mut facts))
    }

    /// What the guard and the modules of a Safe are after `block`, of those that are known by name. One round trip; none
    /// where it has neither.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn safe_governance(
        &self,
        safe: Address,
        helpers: SafeHelpers<'_>,
        block: &BlockRef,
    ) -> Result<Vec<SafeGovernance>, ChainError> {
        let modules = helpers.modules.iter().take(MODULES_MAX);
        let mut questions: Vec<Question> = helpers.guard.iter().flat_map(|guard| of_guard(*guard, safe)).collect();
        questions.extend(modules.clone().flat_map(|module| DelayModule::questions(*module)));
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let mut facts = self.read(block, &questions).await?;
        let guard = helpers.guard.and_then(|guard| timelock_guard(guard, &mut facts));
        let mut found: Vec<SafeGovernance> = guard.into_iter().collect();
        for module in modules {
            let seen = DelayModule::recognise(&mut facts).filter(|seen| seen.acts_for.contains(&Some(safe)));
            found.extend(seen.map(|seen| SafeGovernance::Delay {
                module: *module,
                cooldown: seen.cooldown,
                expiration: seen.expiration,
                queued: seen.next.saturating_sub(seen.first),
            }));
        }
        Ok(found)
    }
}

impl Governor {
    /// What a contract is asked that may be a governor.
    pub(crate) fn questions(address: Address) -> Vec<Question> {
        let (probe, id) = proposal();
        let supports = |id| ask(address, &T::supportsInterfaceCall { interfaceId: id });
        vec![
            Question::code(address),
            supports([0x01, 0xff, 0xc9, 0xa7].into()),
            supports([0xff; 4].into()),
            ask(address, &probe),
            ask(address, &K::COUNTING_MODECall {}),
            ask(address, &G::stateCall { proposalId: id }),
            ask(address, &G::votingDelayCall {}),
            ask(address, &G::votingPeriodCall {}),
            ask(address, &G::timelockCall {}),
            ask(address, &G::CLOCK_MODECall {}),
        ]
    }

    /// The answers to [`Self::questions`], when they are those of a governor.
    pub(crate) fn recognise(address: Address, facts: &mut Reading) -> Option<Self> {
        let (_, id) = proposal();
        let is_contract = OwnerKind::of(address, &facts.next().bytes()) == OwnerKind::Contract;
        let mut supports = || facts.next().short::<T::supportsInterfaceCall>();
        let interfaces = [supports(), supports()] == [Some(true), Some(false)];
        let computes = facts.next().short::<G::hashProposalCall>() == Some(id);
        let counts = facts
            .next()
            .short::<K::COUNTING_MODECall>()
            .is_some_and(|mode| mode.contains("support="));
        // Nobody proposed what it was asked about.
        let knows_none = matches!(facts.next(), Fact::Reverted(_));
        let times = [
            facts.next().number::<G::votingDelayCall>(),
            facts.next().number::<G::votingPeriodCall>(),
        ];
        let timelock = facts
            .next()
            .short::<G::timelockCall>()
            .filter(|timelock| !timelock.is_zero());
        let by_seconds = facts
            .next()
            .short::<G::CLOCK_MODECall>()
            .is_some_and(|mode| mode.contains("mode=timestamp"));
        let [Some(voting_delay), Some(voting_period)] = times else {
            return None;
        };
        let is_one = is_contract && interfaces && computes && counts && knows_none;
        is_one.then_some(Self {
            address,
            timelock,
            voting_delay,
            voting_period,
            by_seconds,
        })
    }
}

/// What may act for a Safe or keep it from acting.
#[derive(Debug, Clone, Copy)]
pub struct SafeHelpers<'a> {
    /// Its guard.
    pub guard: Option<Address>,
    /// Its modules.
    pub modules: &'a [Address],
}

/// A word that nothing else answers.
fn word(name: &str) -> B256 {
    keccak256(format!("countersign: {name}"))
}

/// A proposal that nobody made, and the id that every governor computes for it: the hash of its parts.
fn proposal() -> (G::hashProposalCall, U256) {
    let call = G::hashProposalCall {
        targets: vec![Address::from_word(word("target"))],
        values: vec![U256::from(1)],
        calldatas: vec![Bytes::copy_from_slice(word("calldata").as_slice())],
        descriptionHash: word("description"),
    };
    let (targets, values) = (call.targets.clone(), call.values.clone());
    let parts = (targets, values, call.calldatas.clone(), call.descriptionHash).abi_encode_params();
    (call, keccak256(parts).into())
}

fn of_guard(guard: Address, safe: Address) -> [Question; 3] {
    [
        ask(guard, &TimelockGuard::versionCall {}),
        ask(guard, &TimelockGuard::timelockConfigurationForSafeCall { safe }),
        ask(guard, &TimelockGuard::cancellationThresholdForSafeCall { safe }),
    ]
}

/// Version 1.0.0 answers with its delay, another one, and whether that one holds; others with the delay alone.
fn timelock_guard(guard: Address, facts: &mut Reading) -> Option<SafeGovernance> {
    let version = facts.next().short::<TimelockGuard::versionCall>();
    let configuration = facts.next().bytes();
    let threshold = facts.next().short::<TimelockGuard::cancellationThresholdForSafeCall>();
    let is_version = |text: &String| {
        let inside = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '+'].contains(&c);
        text.len() <= VERSION_MAX && text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(inside)
    };
    threshold?;
    if ![32, 96].contains(&configuration.len()) {
        return None;
    }
    let delay = configuration
        .first_chunk::<32>()
        .map(|word| U256::from_be_bytes(*word))?;
    Some(SafeGovernance::TimelockGuard {
        guard,
        version: version.filter(is_version)?,
        delay: u64::try_from(delay).ok()?,
    })
}

/// A call that nobody queued, and the hash that every Delay module computes for it: of its parts, one after the other.
fn queued() -> (Delay::getTransactionHashCall, B256) {
    let (to, data) = (Address::from_word(word("to")), word("data"));
    let call = Delay::getTransactionHashCall {
        to,
        value: U256::from(1),
        data: Bytes::copy_from_slice(data.as_slice()),
        operation: 1,
    };
    let parts = [to.as_slice(), &call.value.to_be_bytes::<32>(), data.as_slice(), &[1]].concat();
    (call, keccak256(parts))
}

/// What a Delay module answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DelayModule {
    /// Seconds that everything waits.
    pub(crate) cooldown: u64,
    /// Seconds after that in which it can be executed; zero: for ever.
    pub(crate) expiration: u64,
    /// Number of the first transaction in the queue.
    pub(crate) first: u64,
    /// Number of the next one that is put into it.
    pub(crate) next: u64,
    /// Its avatar and its target.
    pub(crate) acts_for: [Option<Address>; 2],
}

impl DelayModule {
    /// What a contract is asked that may be a Delay module.
    pub(crate) fn questions(module: Address) -> Vec<Question> {
        vec![
            ask(module, &queued().0),
            ask(module, &K::txCooldownCall {}),
            ask(module, &Delay::txExpirationCall {}),
            ask(module, &Delay::txNonceCall {}),
            ask(module, &K::queueNonceCall {}),
            ask(module, &Delay::avatarCall {}),
            ask(module, &Delay::targetCall {}),
        ]
    }

    /// The answers to [`Self::questions`], when they are those of a Delay module.
    pub(crate) fn recognise(facts: &mut Reading) -> Option<Self> {
        let computes = facts.next().short::<Delay::getTransactionHashCall>() == Some(queued().1);
        let cooldown = facts.next().number::<K::txCooldownCall>();
        let expiration = facts.next().number::<Delay::txExpirationCall>();
        let first = facts.next().number::<Delay::txNonceCall>();
        let next = facts.next().number::<K::queueNonceCall>();
        let acts_for = [
            facts.next().short::<Delay::avatarCall>(),
            facts.next().short::<Delay::targetCall>(),
        ];
        let found = Self {
            cooldown: cooldown?,
            expiration: expiration?,
            first: first?,
            next: next?,
            acts_for,
        };
        (computes && found.first <= found.next).then_some(found)
    }
}
