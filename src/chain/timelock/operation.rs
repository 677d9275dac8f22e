//! Operations of a timelock: their id, the calls that schedule, execute and cancel them, and such calls read back. Pure.
//!
//! One call alone and a batch of one call have different ids: `hashOperation` and `hashOperationBatch` encode
//! differently (OpenZeppelin Contracts, `TimelockController.sol`; the same in 4.x and 5.x).

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::{SolCall, SolInterface, SolValue};
use serde::{Deserialize, Serialize};

use crate::abi::timelock::TimelockController as T;
use crate::chain::Call;

/// What a timelock keeps until its delay is over. Its id is a function of everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockOperation {
    /// What it calls.
    pub calls: TimelockCalls,
    /// Id of an operation that has to be done before; zero for none.
    pub predecessor: B256,
    /// Tells apart operations that are otherwise the same.
    pub salt: B256,
}

/// The calls of an operation, in the form in which they are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimelockCalls {
    /// `schedule` and `execute`.
    Single(Call),
    /// `scheduleBatch` and `executeBatch`.
    Batch(Vec<Call>),
}

/// What calldata for a timelock asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelockAct {
    /// `schedule` or `scheduleBatch`.
    Schedule {
        /// The operation that is scheduled.
        operation: TimelockOperation,
        /// Seconds from the block that schedules it until it may be executed.
        delay: U256,
    },
    /// `execute` or `executeBatch`.
    Execute {
        /// The operation that is executed.
        operation: TimelockOperation,
    },
    /// `cancel`.
    Cancel {
        /// Id of the operation.
        id: B256,
    },
}

impl TimelockOperation {
    /// One call alone, or several in a batch, after nothing else; `None` without a call.
    pub fn of(mut calls: Vec<Call>, salt: B256) -> Option<Self> {
        let calls = match calls.len() {
            0 => return None,
            1 => TimelockCalls::Single(calls.remove(0)),
            _ => TimelockCalls::Batch(calls),
        };
        Some(Self {
            calls,
            predecessor: B256::ZERO,
            salt,
        })
    }
    /// The salt of the `attempt`th operation for one intent, counted from zero: keccak256 of the intent's identity and
    /// the attempt as a 256-bit big-endian number. Whoever knows the identity finds the operation on chain again.
    pub fn salt_for(identity: B256, attempt: u64) -> B256 {
        keccak256((identity, U256::from(attempt)).abi_encode())
    }
    /// The salt of the operation that makes `calls` for the `number`th time, counted from zero: keccak256 of chain,
    /// timelock, calls and number. Whoever wants the same of the same timelock comes to the same operation.
    pub fn salt_of(chain_id: u64, timelock: Address, calls: &[Call], number: u64) -> B256 {
        let (targets, values, payloads) = columns(calls);
        let words = (
            keccak256("countersign: salt of a timelock's operation"),
            U256::from(chain_id),
            timelock,
            targets,
            values,
            payloads,
            U256::from(number),
        );
        keccak256(words.abi_encode_params())
    }
    /// `hashOperation` or `hashOperationBatch`.
    pub fn id(&self) -> B256 {
        match &self.calls {
            TimelockCalls::Single(call) => {
                keccak256((call.to, call.value, call.data.clone(), self.predecessor, self.salt).abi_encode_params())
            }
            TimelockCalls::Batch(calls) => {
                let (targets, values, payloads) = columns(calls);
                keccak256((targets, values, payloads, self.predecessor, self.salt).abi_encode_params())
            }
        }
    }
    /// The calls, in order.
    pub fn calls(&self) -> &[Call] {
        match &self.calls {
            TimelockCalls::Single(call) => std::slice::from_ref(call),
            TimelockCalls::Batch(calls) => calls,
        }
    }
    /// The call that schedules it, for an account with the proposer role; `delay` in seconds.
    pub fn schedule(&self, timelock: Address, delay: u64) -> Call {
        to_timelock(timelock, self.schedule_data(U256::from(delay)))
    }
    /// The call that executes it once it is ready, for an account with the executor role, or anybody where that role is
    /// open. It carries no ether: what the operation sends comes from the timelock's own balance.
    pub fn execute(&self, timelock: Address) -> Call {
        to_timelock(timelock, self.execute_data())
    }
    /// The call that cancels it while it is scheduled, for an account with the canceller role (before 4.6: the proposer
    /// role).
    pub fn cancel(&self, timelock: Address) -> Call {
        to_timelock(timelock, T::cancelCall { id: self.id() }.abi_encode())
    }

    /// The calldata that asks a timelock for the id.
    pub(super) fn hash_data(&self) -> Bytes {
        let (predecessor, salt) = (self.predecessor, self.salt);
        let data = match &self.calls {
            TimelockCalls::Single(call) => T::hashOperationCall {
                target: call.to,
                value: call.value,
                data: call.data.clone(),
                predecessor,
                salt,
            }
            .abi_encode(),
            TimelockCalls::Batch(calls) => {
                let (targets, values, payloads) = columns(calls);
                T::hashOperationBatchCall {
                    targets,
                    values,
                    payloads,
                    predecessor,
                    salt,
                }
                .abi_encode()
            }
        };
        data.into()
    }

    fn schedule_data(&self, delay: U256) -> Vec<u8> {
        let (predecessor, salt) = (self.predecessor, self.salt);
        match &self.calls {
            TimelockCalls::Single(call) => T::scheduleCall {
                target: call.to,
                value: call.value,
                data: call.data.clone(),
                predecessor,
                salt,
                delay,
            }
            .abi_encode(),
            TimelockCalls::Batch(calls) => {
                let (targets, values, payloads) = columns(calls);
                T::scheduleBatchCall {
                    targets,
                    values,
                    payloads,
                    predecessor,
                    salt,
                    delay,
                }
                .abi_encode()
            }
        }
    }

    fn execute_data(&self) -> Vec<u8> {
        let (predecessor, salt) = (self.predecessor, self.salt);
        match &self.calls {
            TimelockCalls::Single(call) => T::executeCall {
                target: call.to,
                value: call.value,
                payload: call.data.clone(),
                predecessor,
                salt,
            }
            .abi_encode(),
            TimelockCalls::Batch(calls) => {
                let (targets, values, payloads) = columns(calls);
                T::executeBatchCall {
                    targets,
                    values,
                    payloads,
                    predecessor,
                    salt,
                }
                .abi_encode()
            }
        }
    }
}

impl TimelockAct {
    /// What `data` asks of a timelock; `None` for anything else, for a batch without calls or with lists of different
    /// lengths, and for bytes that are not the one encoding of their values.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let act = Self::read(data)?;
        (act.encode() == data).then_some(act)
    }
    /// The calldata.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Schedule { operation, delay } => operation.schedule_data(*delay),
            Self::Execute { operation } => operation.execute_data(),
            Self::Cancel { id } => T::cancelCall { id: *id }.abi_encode(),
        }
    }
    /// The operation, where the calldata holds it.
    pub const fn operation(&self) -> Option<&TimelockOperation> {
        match self {
            Self::Schedule { operation, .. } | Self::Execute { operation } => Some(operation),
            Self::Cancel { .. } => None,
        }
    }

    fn read(data: &[u8]) -> Option<Self> {
        let call = T::TimelockControllerCalls::abi_decode_validate(data).ok()?;
        Some(match call {
            T::TimelockControllerCalls::schedule(asked) => Self::Schedule {
                delay: asked.delay,
                operation: TimelockOperation {
                    calls: single(asked.target, asked.value, asked.data),
                    predecessor: asked.predecessor,
                    salt: asked.salt,
                },
            },
            T::TimelockControllerCalls::scheduleBatch(asked) => Self::Schedule {
                delay: asked.delay,
                operation: TimelockOperation {
                    calls: batch(asked.targets, asked.values, asked.payloads)?,
                    predecessor: asked.predecessor,
                    salt: asked.salt,
                },
            },
            T::TimelockControllerCalls::execute(asked) => Self::Execute {
                operation: TimelockOperation {
                    calls: single(asked.target, asked.value, asked.payload),
                    predecessor: asked.predecessor,
                    salt: asked.salt,
                },
            },
            T::TimelockControllerCalls::executeBatch(asked) => Self::Execute {
                operation: TimelockOperation {
                    calls: batch(asked.targets, asked.values, asked.payloads)?,
                    predecessor: asked.predecessor,
                    salt: asked.salt,
                },
            },
            T::TimelockControllerCalls::cancel(asked) => Self::Cancel { id: asked.id },
            _ => return None,
        })
    }
}

type Columns = (Vec<Address>, Vec<U256>, Vec<Bytes>);

fn columns(calls: &[Call]) -> Columns {
    (
        calls.iter().map(|call| call.to).collect(),
        calls.iter().map(|call| call.value).collect(),
        calls.iter().map(|call| call.data.clone()).collect(),
    )
}

const fn single(to: Address, value: U256, data: Bytes) -> TimelockCalls {
    TimelockCalls::Single(Call { to, value, data })
}

fn batch(targets: Vec<Address>, values: Vec<U256>, payloads: Vec<Bytes>) -> Option<TimelockCalls> {
    if targets.is_empty() || targets.len() != values.len() || targets.len() != payloads.len() {
        return None;
    }
    let rows = targets.into_iter().zip(values).zip(payloads);
    let calls = rows.map(|((to, value), data)| Call { to, value, data }).collect();
    Some(TimelockCalls::Batch(calls))
}

fn to_timelock(timelock: Address, data: Vec<u8>) -> Call {
    Call {
        to: timelock,
        value: U256::ZERO,
        data: data.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(byte: u8) -> Call {
        Call::add_compose_hash(Address::repeat_byte(byte), B256::repeat_byte(byte))
    }

    fn operations() -> [TimelockOperation; 3] {
        let salt = B256::repeat_byte(7);
        let one = TimelockOperation::of(vec![call(1)], salt).unwrap();
        let batch_of_one = TimelockOperation {
            calls: TimelockCalls::Batch(vec![call(1)]),
            ..one.clone()
        };
        [
            one,
            batch_of_one,
            TimelockOperation::of(vec![call(1), call(2)], salt).unwrap(),
        ]
    }

    #[test]
    fn a_call_alone_and_a_batch_of_it_have_different_ids() {
        let ids: std::collections::BTreeSet<B256> = operations().iter().map(TimelockOperation::id).collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(TimelockOperation::of(Vec::new(), B256::ZERO), None);
    }

    #[test]
    fn selectors_are_those_of_the_deployed_contracts() {
        let [one, _, two] = operations();
        let starts = |call: Call| alloy::primitives::hex::encode(&call.data[..4]);
        let to = Address::repeat_byte(9);
        let found = [
            starts(one.schedule(to, 1)),
            starts(two.schedule(to, 1)),
            starts(one.execute(to)),
            starts(two.execute(to)),
            starts(two.cancel(to)),
        ];
        assert_eq!(found, ["01d5062a", "8f2a0bb0", "134008d3", "e38335e5", "c4d252f5"]);
    }

    #[test]
    fn what_is_asked_of_a_timelock_is_read_back() {
        let timelock = Address::repeat_byte(9);
        for operation in operations() {
            let schedule = operation.schedule(timelock, 86_400);
            assert_eq!((schedule.to, schedule.value), (timelock, U256::ZERO));
            assert_eq!(
                TimelockAct::decode(&schedule.data),
                Some(TimelockAct::Schedule {
                    operation: operation.clone(),
                    delay: U256::from(86_400),
                })
            );
            let cancel = TimelockAct::decode(&operation.cancel(timelock).data);
            assert_eq!(cancel, Some(TimelockAct::Cancel { id: operation.id() }));
            let execute = TimelockAct::decode(&operation.execute(timelock).data);
            assert_eq!(execute, Some(TimelockAct::Execute { operation }));
        }
    }

    #[test]
    fn i18_l11_calldata_that_is_not_the_one_encoding_of_its_values_is_not_read() {
        let [one, _, two] = operations();
        let timelock = Address::repeat_byte(9);
        for good in [one.schedule(timelock, 1), two.execute(timelock), two.cancel(timelock)] {
            for length in 0..good.data.len() {
                assert_eq!(TimelockAct::decode(&good.data[..length]), None, "{length}");
            }
            let longer = [&good.data[..], &[0; 32]].concat();
            assert_eq!(TimelockAct::decode(&longer), None);
        }
        // A hole between the head and the lists decodes to the same values.
        let data = two.execute(timelock).data.to_vec();
        let mut holed = data[..4 + 5 * 32].to_vec();
        for word in 0..3 {
            let last = 4 + word * 32 + 31;
            holed[last] += 32;
        }
        holed.extend([0; 32]);
        holed.extend(&data[4 + 5 * 32..]);
        assert!(T::executeBatchCall::abi_decode(&holed).is_ok());
        assert_eq!(TimelockAct::decode(&holed), None);
        let uneven = T::executeBatchCall {
            targets: vec![timelock; 2],
            values: vec![U256::ZERO],
            payloads: vec![Bytes::new(); 2],
            predecessor: B256::ZERO,
            salt: B256::ZERO,
        };
        assert_eq!(TimelockAct::decode(&uneven.abi_encode()), None);
        assert_eq!(
            TimelockAct::decode(&T::updateDelayCall { newDelay: U256::ONE }.abi_encode()),
            None
        );
    }

    #[test]
    fn bug_b3_a_salt_follows_from_chain_timelock_calls_and_number_and_from_all_of_them() {
        let timelock = Address::repeat_byte(9);
        let of = |(chain, timelock), calls: &[Call], number| TimelockOperation::salt_of(chain, timelock, calls, number);
        let salts = [
            of((1, timelock), &[call(1)], 0),
            of((2, timelock), &[call(1)], 0),
            of((1, Address::repeat_byte(8)), &[call(1)], 0),
            of((1, timelock), &[call(2)], 0),
            of((1, timelock), &[call(1), call(2)], 0),
            of((1, timelock), &[call(2), call(1)], 0),
            of((1, timelock), &[call(1)], 1),
        ];
        let different: std::collections::BTreeSet<B256> = salts.into_iter().collect();
        assert_eq!(different.len(), salts.len());
        assert_eq!(salts[0], of((1, timelock), &[call(1)], 0));
    }

    #[test]
    fn l2_every_attempt_has_its_own_salt_and_the_same_one_every_time() {
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        assert_eq!(TimelockOperation::salt_for(one, 0), TimelockOperation::salt_for(one, 0));
        assert_ne!(TimelockOperation::salt_for(one, 0), TimelockOperation::salt_for(one, 1));
        assert_ne!(
            TimelockOperation::salt_for(one, 0),
            TimelockOperation::salt_for(other, 0)
        );
    }
}
