//! OpenZeppelin's TimelockController, 4.x and 5.x: whether a contract is one, its delay, and who may do what.
//!
//! A contract is taken for a timelock by what it answers, and only if it computes the ids of operations as we do. What
//! imitates all of that answers no question otherwise: only its code tells it apart, by the table in `code`.

mod code;
mod operation;
mod pending;
mod record;
mod slots;
mod storage;

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256};
use alloy::sol_types::SolEvent;
use serde::{Deserialize, Serialize};

use super::app::{IMPLEMENTATION_SLOT, OwnerKind, implementation};
use super::logs::{LogQuery, PlacedLog};
use super::read::{Fact, Question, Reading};
use super::timelock_refusal::TimelockRefusal;
use super::timelock_role::{TimelockRole, timelock_admin};
use super::{BlockRef, Call, Chain, ChainError};
use crate::abi::timelock::TimelockController as T;

pub use operation::{TimelockAct, TimelockCalls, TimelockOperation};
pub use pending::{PendingOperation, PendingOperations};
pub use record::{
    OperationAt, OperationEnd, OperationLife, OperationPlace, OperationState, OperationStep, TimelockProofFailure,
    check_operation,
};
pub use storage::TimelockRead;

/// ERC-165 itself, what it says of nothing, and `IAccessControl`.
const ERC165: FixedBytes<4> = FixedBytes::new([0x01, 0xff, 0xc9, 0xa7]);
const NO_INTERFACE: FixedBytes<4> = FixedBytes::new([0xff; 4]);
const ACCESS_CONTROL: FixedBytes<4> = FixedBytes::new([0x79, 0x65, 0xdb, 0x0b]);
/// Questions of one round trip about roles.
const CANDIDATES: usize = 100;

/// A TimelockController at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockInfo {
    /// The block everything was read at.
    pub block: BlockRef,
    /// Address.
    pub address: Address,
    /// keccak256 of the code at the address.
    pub code_hash: B256,
    /// keccak256 of the code without the tail that the compiler appends: known code is recognised by it. Files of 0.1.0
    /// do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<B256>,
    /// ERC-1967 implementation, if the slot is set.
    pub implementation: Option<Address>,
    /// keccak256 of the implementation's code.
    pub implementation_code_hash: Option<B256>,
    /// Which releases it is of.
    pub release: TimelockRelease,
    /// Seconds that have to pass at least between scheduling and executing; the largest number where the contract says
    /// an even larger one.
    pub min_delay: u64,
    /// Everybody may execute what is ready.
    pub open_executor: bool,
    /// Cancelling has a role of its own (from 4.6 on); otherwise proposers cancel.
    pub separate_cancellers: bool,
    /// The role that grants and revokes the role of proposers.
    pub admin_role: B256,
    /// The timelock has that role itself, so that operations can change roles.
    pub self_administered: bool,
}

/// The releases of OpenZeppelin Contracts that differ in what a timelock answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimelockRelease {
    /// 4.x: reasons are texts, `TIMELOCK_ADMIN_ROLE` administers.
    V4,
    /// 5.x: reasons are named errors, `DEFAULT_ADMIN_ROLE` administers.
    V5,
}

/// Who may do what at one block. Every account named here has the role by the contract's own `hasRole`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockRoles {
    /// The block.
    pub block: BlockRef,
    /// Who may schedule.
    pub proposers: Vec<Address>,
    /// Who may execute, besides everybody where [`TimelockInfo::open_executor`].
    pub executors: Vec<Address>,
    /// Who may cancel.
    pub cancellers: Vec<Address>,
    /// Who may change roles; the timelock itself may be among them.
    pub admins: Vec<Address>,
    /// Why there may be more of them: the events could not be read whole.
    pub incomplete: Option<String>,
}

/// Why a call to a timelock would fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelockObjection {
    /// The reason, decoded and escaped.
    pub reason: String,
    /// The timelock's own objection; `None` when a call of the operation failed, or the reason is not known.
    pub refusal: Option<TimelockRefusal>,
}

impl TimelockInfo {
    /// What a contract is asked that may be a timelock.
    pub(crate) fn questions(address: Address) -> Vec<Question> {
        questions(address, &probes())
    }
    /// The answers to [`Self::questions`], when they are those of a timelock. Whether it administers itself is not among
    /// them.
    pub(crate) fn recognise(address: Address, block: BlockRef, facts: &mut Reading) -> Option<Self> {
        recognised(block, address, facts, &probes())
    }
    /// The release of OpenZeppelin Contracts that its code is, if it is one that this build knows. Code behind a proxy is
    /// none: whoever administers that can put another one there.
    pub fn known_release(&self) -> Option<&'static str> {
        self.body_hash
            .filter(|_| self.implementation.is_none())
            .and_then(code::release_of)
    }
    /// Whether the code is the same.
    pub fn has_code_of(&self, other: &Self) -> bool {
        let code = |info: &Self| (info.code_hash, info.implementation, info.implementation_code_hash);
        code(self) == code(other)
    }
    /// Identifier of a role in this timelock's `AccessControl`.
    pub fn role_id(&self, role: TimelockRole) -> B256 {
        match role {
            TimelockRole::Admin => self.admin_role,
            TimelockRole::Canceller if !self.separate_cancellers => TimelockRole::Proposer.id(),
            other => other.id(),
        }
    }
}

impl TimelockRoles {
    /// Who has a role.
    pub fn of(&self, role: TimelockRole) -> &[Address] {
        match role {
            TimelockRole::Proposer => &self.proposers,
            TimelockRole::Executor => &self.executors,
            TimelockRole::Canceller => &self.cancellers,
            TimelockRole::Admin => &self.admins,
        }
    }
}

impl Chain {
    /// The timelock at `address` at the newest agreed block; `None` when what stands there does not answer like one.
    /// Three round trips, two when it is none.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn timelock(&self, address: Address) -> Result<Option<TimelockInfo>, ChainError> {
        let block = self.head().await?;
        self.timelock_at(address, &block).await
    }
    /// The timelock at `address` after `block`; see [`Self::timelock`]. Two round trips, one when it is none.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn timelock_at(&self, address: Address, block: &BlockRef) -> Result<Option<TimelockInfo>, ChainError> {
        let probe = probes();
        let mut facts = self.read(block, &questions(address, &probe)).await?;
        let Some(found) = recognised(*block, address, &mut facts, &probe) else {
            return Ok(None);
        };
        let admin = T::hasRoleCall {
            role: found.admin_role,
            account: address,
        };
        let mut questions = vec![Question::call(address, &admin)];
        questions.extend(found.implementation.map(Question::code));
        let mut facts = self.read(block, &questions).await?;
        Ok(Some(TimelockInfo {
            self_administered: facts.next().value::<T::hasRoleCall>() == Some(true),
            implementation_code_hash: found.implementation.map(|_| keccak256(facts.next().bytes())),
            ..found
        }))
    }
    /// Who has which role of a timelock at the block it was read at: everybody whom an event ever granted one and `also`,
    /// each asked of the contract itself. Round trips as for reading logs, and one for every hundred questions.
    ///
    /// # Errors
    /// See [`ChainError`]. Events that no endpoint gives whole are no error: [`TimelockRoles::incomplete`] says why.
    pub async fn timelock_roles(&self, info: &TimelockInfo, also: &[Address]) -> Result<TimelockRoles, ChainError> {
        let query = LogQuery {
            address: info.address,
            topics: vec![T::RoleGranted::SIGNATURE_HASH],
            from: 0,
            to: info.block.number,
        };
        let (logs, incomplete) = self.longest_logs(&query).await?;
        let incomplete = incomplete.or_else(|| unbegun(info, &logs));
        let roles = self.roles_by(info, also, &logs).await?;
        Ok(TimelockRoles { incomplete, ..roles })
    }
    /// Who has which role of a timelock at the block it was read at, as [`Self::timelock_roles`], and what it has scheduled
    /// and not executed, as [`Self::pending_operations`], by one reading of its events.
    ///
    /// # Errors
    /// See [`ChainError`]. What lies further back is no error: both say why there may be more.
    pub async fn timelock_standing(
        &self,
        info: &TimelockInfo,
        also: &[Address],
        reach: LogReach,
    ) -> Result<(TimelockRoles, PendingOperations), ChainError> {
        let query = LogQuery {
            address: info.address,
            topics: [record::operation_topics(), vec![T::RoleGranted::SIGNATURE_HASH]].concat(),
            from: reach.from,
            to: info.block.number,
        };
        let (logs, incomplete) = self.all_logs(&query, reach.requests).await?;
        let incomplete = incomplete.or_else(|| unbegun(info, &logs).filter(|_| reach.from == 0));
        let (roles, waiting) = tokio::join!(
            self.roles_by(info, also, &logs),
            self.operations_by(info, &logs, incomplete.clone()),
        );
        let roles = TimelockRoles { incomplete, ..roles? };
        Ok((roles, waiting?))
    }
    /// The roles of everybody to whom logs granted one, and of `also`, each asked of the contract itself.
    async fn roles_by(
        &self,
        info: &TimelockInfo,
        also: &[Address],
        logs: &[PlacedLog],
    ) -> Result<TimelockRoles, ChainError> {
        let granted: BTreeSet<(B256, Address)> = logs
            .iter()
            .filter_map(|placed| {
                let event = T::RoleGranted::decode_log_validate(&placed.log).ok()?;
                Some((event.role, event.account))
            })
            .collect();
        let mut candidates = BTreeSet::new();
        for role in TimelockRole::ALL {
            let id = info.role_id(role);
            let from_events = granted.iter().filter(|(other, _)| *other == id).map(|(_, who)| *who);
            candidates.extend(from_events.chain(also.iter().copied()).map(|who| (role, who)));
        }
        candidates.retain(|(_, account)| !account.is_zero());
        let candidates: Vec<(TimelockRole, Address)> = candidates.into_iter().collect();
        let mut roles = TimelockRoles {
            block: info.block,
            proposers: Vec::new(),
            executors: Vec::new(),
            cancellers: Vec::new(),
            admins: Vec::new(),
            incomplete: None,
        };
        for some in candidates.chunks(CANDIDATES) {
            let held = self.timelock_holds(info, &info.block, some).await?;
            for ((role, account), held) in some.iter().zip(held) {
                let list = match role {
                    TimelockRole::Proposer => &mut roles.proposers,
                    TimelockRole::Executor => &mut roles.executors,
                    TimelockRole::Canceller => &mut roles.cancellers,
                    TimelockRole::Admin => &mut roles.admins,
                };
                list.extend(held.then_some(*account));
            }
        }
        Ok(roles)
    }
    /// Whether accounts have roles after `block`, in the order of the questions. One round trip. An open executor role
    /// is not anybody's: see [`TimelockInfo::open_executor`].
    ///
    /// # Errors
    /// See [`ChainError`]; no answer is [`ChainError::NotATimelock`].
    pub async fn timelock_holds(
        &self,
        info: &TimelockInfo,
        block: &BlockRef,
        asked: &[(TimelockRole, Address)],
    ) -> Result<Vec<bool>, ChainError> {
        let question = |(role, account): &(TimelockRole, Address)| {
            let call = T::hasRoleCall {
                role: info.role_id(*role),
                account: *account,
            };
            Question::call(info.address, &call)
        };
        let questions: Vec<Question> = asked.iter().map(question).collect();
        let mut facts = self.read(block, &questions).await?;
        asked
            .iter()
            .map(|_| {
                let held = facts.next().value::<T::hasRoleCall>();
                held.ok_or_else(|| self.not_a_timelock(info.address, "hasRole(bytes32,address)"))
            })
            .collect()
    }

    /// What a timelock would say to `call` of `from` in the state and at the time of `block`; `None` when it would go
    /// through. One round trip, and nothing is sent.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn timelock_objection(
        &self,
        from: Address,
        call: &Call,
        block: &BlockRef,
    ) -> Result<Option<TimelockObjection>, ChainError> {
        let question = Question::raw("a call to the timelock", call.to, call.data.clone()).from(from);
        Ok(match self.read(block, &[question]).await?.next() {
            Fact::Bytes(_) | Fact::NotOffered => None,
            Fact::Reverted(why) => Some(TimelockObjection {
                refusal: TimelockRefusal::decode(&why.data),
                reason: why.reason,
            }),
        })
    }

    pub(super) const fn not_a_timelock(&self, address: Address, function: &'static str) -> ChainError {
        ChainError::NotATimelock {
            address,
            chain: self.id,
            function,
        }
    }
}

/// Why there may be more than these logs, read from the chain's beginning, tell.
fn unbegun(info: &TimelockInfo, logs: &[PlacedLog]) -> Option<String> {
    let begun = logs.iter().any(|placed| begun(info, &placed.log));
    (!begun).then(|| "the endpoints do not give the timelock's first events".to_owned())
}

/// Whether a log is of a timelock's beginning: the constructor makes it its own admin, and whoever has that event has all
/// that follow.
fn begun(info: &TimelockInfo, log: &alloy::primitives::Log) -> bool {
    let first = [TimelockRole::Admin.id(), timelock_admin(), info.admin_role];
    T::RoleGranted::decode_log_validate(log)
        .is_ok_and(|event| event.account == info.address && first.contains(&event.role))
}

/// Operations whose ids the contract has to compute as we do: one in each form, of values that nothing else answers.
fn probes() -> [TimelockOperation; 2] {
    let word = |name: &str| keccak256(format!("countersign: {name}"));
    let call = |name: &str| Call {
        to: Address::from_word(word(name)),
        value: U256::from(name.len()),
        data: Bytes::copy_from_slice(word(name).as_slice()),
    };
    let of = |calls| TimelockOperation {
        calls,
        predecessor: word("predecessor"),
        salt: word("salt"),
    };
    [
        of(TimelockCalls::Single(call("one"))),
        of(TimelockCalls::Batch(vec![call("one"), call("other")])),
    ]
}

fn questions(address: Address, [single, batch]: &[TimelockOperation; 2]) -> Vec<Question> {
    let supports = |id| Question::call(address, &T::supportsInterfaceCall { interfaceId: id });
    let proposer = TimelockRole::Proposer.id();
    let open = T::hasRoleCall {
        role: TimelockRole::Executor.id(),
        account: Address::ZERO,
    };
    vec![
        Question::code(address),
        Question::slot(address, IMPLEMENTATION_SLOT),
        supports(ERC165),
        supports(NO_INTERFACE),
        supports(ACCESS_CONTROL),
        Question::call(address, &T::PROPOSER_ROLECall {}),
        Question::call(address, &T::EXECUTOR_ROLECall {}),
        Question::call(address, &T::CANCELLER_ROLECall {}),
        Question::raw("hashOperation", address, single.hash_data()),
        Question::raw("hashOperationBatch", address, batch.hash_data()),
        Question::call(address, &T::getMinDelayCall {}),
        Question::call(address, &T::getRoleAdminCall { role: proposer }),
        Question::call(address, &open),
        Question::call(address, &T::getTimestampCall { id: single.id() }),
        Question::call(address, &T::getOperationStateCall { id: single.id() }),
    ]
}

/// How far back events are read.
#[derive(Debug, Clone, Copy)]
pub struct LogReach {
    /// The first block.
    pub from: u64,
    /// Most requests to each endpoint.
    pub requests: u32,
}

/// The answers to [`questions`], when they are those of a timelock.
fn recognised(
    block: BlockRef,
    address: Address,
    facts: &mut Reading,
    [single, batch]: &[TimelockOperation; 2],
) -> Option<TimelockInfo> {
    let code = facts.next().bytes();
    let contract = OwnerKind::of(address, &code) == OwnerKind::Contract;
    let implementation = implementation(&facts.next().bytes());
    let mut supports = || facts.next().value::<T::supportsInterfaceCall>();
    let interfaces = [supports(), supports(), supports()] == [Some(true), Some(false), Some(true)];
    let proposer = facts.next().value::<T::PROPOSER_ROLECall>();
    let executor = facts.next().value::<T::EXECUTOR_ROLECall>();
    let canceller = facts.next().value::<T::CANCELLER_ROLECall>();
    let roles = proposer == Some(TimelockRole::Proposer.id())
        && executor == Some(TimelockRole::Executor.id())
        && canceller.is_none_or(|id| id == TimelockRole::Canceller.id());
    let of_one = facts.next().value::<T::hashOperationCall>();
    let of_several = facts.next().value::<T::hashOperationBatchCall>();
    let hashes = (of_one, of_several) == (Some(single.id()), Some(batch.id()));
    let delay = facts.next().value::<T::getMinDelayCall>()?;
    let admin_role = facts.next().value::<T::getRoleAdminCall>()?;
    let open_executor = facts.next().value::<T::hasRoleCall>()?;
    let unset = facts.next().value::<T::getTimestampCall>()?.is_zero();
    let state = facts.next().value::<T::getOperationStateCall>();
    if !(contract && interfaces && roles && hashes && unset) {
        return None;
    }
    Some(TimelockInfo {
        block,
        address,
        code_hash: keccak256(&code),
        body_hash: Some(code::body_hash(&code)),
        implementation,
        implementation_code_hash: None,
        release: if state.is_some() {
            TimelockRelease::V5
        } else {
            TimelockRelease::V4
        },
        min_delay: u64::try_from(delay).unwrap_or(u64::MAX),
        open_executor,
        separate_cancellers: canceller.is_some(),
        admin_role,
        self_administered: false,
    })
}
