//! Bytes read into effects, through batches, timelocks and Safes. What is not read strictly is an effect of its own.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U256};
use alloy::sol_types::{SolCall, SolInterface};

use super::effect::Effect;
use super::what::{By, Target, What};
use crate::abi::app::DstackApp::DstackAppCalls as App;
use crate::abi::kms::DstackKms::DstackKmsCalls as Kms;
use crate::abi::safe::Safe::{approveHashCall, execTransactionCall};
use crate::abi::safe_itself::SafeItself::SafeItselfCalls as Itself;
use crate::abi::timelock::TimelockController::TimelockControllerCalls as Timelock;
use crate::chain::{
    Call,
    timelock::{TimelockAct, TimelockOperation},
};
use crate::safe::batch;
use crate::safe::deployments;
use crate::safe::tx::{Operation, SafeTx, SafeTxFields};

/// Calls inside calls that are read; what is deeper is unknown.
const DEPTH: usize = 6;

/// Who is who for whoever signs. It names targets and decides nothing else: what is not in here is another contract.
#[derive(Debug, Clone, Default)]
pub struct Parties {
    /// Apps that are asked about, with the CVM that names each.
    pub apps: BTreeMap<Address, Option<String>>,
    /// KMS contracts of these apps.
    pub kms: BTreeSet<Address>,
    /// The Safe that acts, and those of its owners that are Safes.
    pub safes: BTreeSet<Address>,
    /// The timelock that owns the apps.
    pub timelock: Option<Address>,
    /// Safe transactions whose bytes are here: what approving one of them does.
    pub known: Vec<SafeTx>,
}

/// What a key's transaction carries for a Safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// `execTransaction`
    Execution,
    /// `approveHash`
    Approval,
    /// Anything else.
    Other,
}

impl Carried {
    /// By the calldata.
    pub fn by(data: &[u8]) -> Self {
        if Body::executed(data).is_some() {
            Self::Execution
        } else if approval(data).is_some() {
            Self::Approval
        } else {
            Self::Other
        }
    }
}

/// What happens besides allowing these hashes, each on its app: everything in the list that is neither that nor a way to
/// something in the list.
pub fn besides<'a>(effects: &'a [Effect], shown: &'a [(Address, B256)]) -> impl Iterator<Item = &'a Effect> {
    effects.iter().filter(|effect| {
        let expected = match effect.what {
            What::AllowComposeHash { compose_hash } => shown.contains(&(effect.target, compose_hash)),
            _ => effect.is_way(),
        };
        effect.danger || !expected
    })
}

impl Parties {
    /// What happens when the owners of a Safe sign `tx`.
    pub fn effects_of_tx(&self, tx: &SafeTx) -> Vec<Effect> {
        let mut reader = Reader::new(self);
        reader.body(tx.domain().safe, Body::of(tx.fields()), &[]);
        reader.done()
    }

    /// What happens when somebody makes these calls, in this order.
    pub fn effects_of_calls(&self, calls: &[Call]) -> Vec<Effect> {
        let mut reader = Reader::new(self);
        for call in calls {
            reader.call(call, &[]);
        }
        reader.done()
    }

    fn target(&self, address: Address) -> Target {
        if let Some(name) = self.apps.get(&address) {
            Target::App(name.clone())
        } else if self.safes.contains(&address) {
            Target::Safe
        } else if self.timelock == Some(address) {
            Target::Timelock
        } else if self.kms.contains(&address) {
            Target::Kms
        } else {
            Target::Other
        }
    }
}

/// What a Safe transaction does, whatever its nonce is.
struct Body {
    call: Call,
    operation: Operation,
    refund: Option<What>,
}

impl Body {
    fn of(fields: &SafeTxFields) -> Self {
        Self {
            call: Call {
                to: fields.to,
                value: fields.value,
                data: fields.data.clone(),
            },
            operation: fields.operation,
            refund: refund(fields.gas_price, fields.gas_token, fields.refund_receiver),
        }
    }

    /// What `execTransaction` executes.
    fn executed(data: &[u8]) -> Option<Self> {
        let call = execTransactionCall::abi_decode_validate(data).ok()?;
        if call.abi_encode() != data {
            return None;
        }
        Some(Self {
            operation: Operation::try_from(call.operation).ok()?,
            refund: refund(call.gasPrice, call.gasToken, call.refundReceiver),
            call: Call {
                to: call.to,
                value: call.value,
                data: call.data,
            },
        })
    }
}

fn refund(gas_price: U256, token: Address, receiver: Address) -> Option<What> {
    let pays = !gas_price.is_zero() || !token.is_zero() || !receiver.is_zero();
    pays.then_some(What::PayRefund {
        gas_price,
        token,
        receiver,
    })
}

struct Reader<'a> {
    parties: &'a Parties,
    found: Vec<Effect>,
}

impl<'a> Reader<'a> {
    const fn new(parties: &'a Parties) -> Self {
        Self {
            parties,
            found: Vec::new(),
        }
    }

    /// The dangerous ones first; otherwise the order stays.
    fn done(mut self) -> Vec<Effect> {
        self.found.sort_by_key(|effect| !effect.danger);
        self.found
    }

    fn push(&mut self, what: What, target: Address, by: &[By]) {
        let is = self.parties.target(target);
        self.found.push(Effect::new(what, target, is, by));
    }

    /// What a Safe does with a transaction.
    fn body(
        &mut self,
        safe: Address,
        Body {
            call,
            operation,
            refund,
        }: Body,
        by: &[By],
    ) {
        if let Some(refund) = refund {
            self.push(refund, safe, by);
        }
        let is_plain = operation == Operation::Call;
        if is_plain && call.to == safe && call.data.is_empty() && call.value.is_zero() {
            return self.push(What::UseUpNonce, safe, by);
        }
        if is_plain {
            return self.call(&call, by);
        }
        match batch::decode(&call.data) {
            Ok(calls) if deployments::batcher(call.to).is_some() && call.value.is_zero() => {
                for call in &calls {
                    self.call(call, by);
                }
            }
            _ => self.push(What::DelegateCall, call.to, by),
        }
    }

    fn call(&mut self, call: &Call, by: &[By]) {
        if by.len() > DEPTH {
            return self.push(What::TooDeep, call.to, by);
        }
        if !call.value.is_zero() {
            self.push(What::SendEther { value: call.value }, call.to, by);
            if call.data.is_empty() {
                return;
            }
        }
        if let Some(act) = TimelockAct::decode(&call.data) {
            return self.act(call.to, &act, by);
        }
        if let Some(body) = Body::executed(&call.data) {
            self.push(What::ExecuteSafeTransaction, call.to, by);
            return self.body(call.to, body, &further(by, By::Safe(call.to)));
        }
        if let Some(hash) = approval(&call.data) {
            return self.approve(call.to, hash, by);
        }
        let is_kms = self.parties.kms.contains(&call.to);
        let known = || {
            app(&call.data)
                .or_else(|| itself(&call.data))
                .or_else(|| roles(&call.data))
        };
        let what = if is_kms {
            kms(&call.data).or_else(known)
        } else {
            known().or_else(|| kms(&call.data))
        };
        self.push(what.unwrap_or_else(|| unknown(&call.data)), call.to, by);
    }

    /// What a timelock is asked, and what its operation does.
    fn act(&mut self, timelock: Address, act: &TimelockAct, by: &[By]) {
        let (what, inner) = match act {
            TimelockAct::Schedule { operation, delay } => {
                let what = What::Schedule {
                    operation: operation.id(),
                    delay: *delay,
                    predecessor: operation.predecessor,
                    salt: operation.salt,
                };
                (what, Some(By::Scheduled(operation.id())))
            }
            TimelockAct::Execute { operation } => {
                let what = What::ExecuteOperation {
                    operation: operation.id(),
                    predecessor: operation.predecessor,
                    salt: operation.salt,
                };
                (what, Some(By::Executed(operation.id())))
            }
            TimelockAct::Cancel { id } => (What::CancelOperation { operation: *id }, None),
        };
        self.push(what, timelock, by);
        let calls = act.operation().map(TimelockOperation::calls).unwrap_or_default();
        for call in inner.iter().flat_map(|_| calls) {
            let by: Vec<By> = by.iter().copied().chain(inner).collect();
            self.call(call, &by);
        }
    }

    /// Agreeing to a Safe transaction on chain, and what that one does where it is known.
    fn approve(&mut self, safe: Address, hash: B256, by: &[By]) {
        let parties = self.parties;
        let mut known = parties.known.iter();
        let tx = known.find(|tx| tx.hash() == hash && tx.domain().safe == safe);
        let what = What::ApproveHash {
            hash,
            known: tx.is_some(),
        };
        self.push(what, safe, by);
        if let Some(tx) = tx {
            self.body(safe, Body::of(tx.fields()), &further(by, By::Approved(hash)));
        }
    }
}

fn further(by: &[By], next: By) -> Vec<By> {
    by.iter().copied().chain([next]).collect()
}

/// A call of an interface, if the bytes are the one encoding of its arguments.
fn strict<T: SolInterface>(data: &[u8]) -> Option<T> {
    let call = T::abi_decode_validate(data).ok()?;
    (call.abi_encode() == data).then_some(call)
}

fn app(data: &[u8]) -> Option<What> {
    Some(match strict::<App>(data)? {
        App::addComposeHash(call) => What::AllowComposeHash {
            compose_hash: call.composeHash,
        },
        App::removeComposeHash(call) => What::RemoveComposeHash {
            compose_hash: call.composeHash,
        },
        App::addDevice(call) => What::AddDevice { device: call.deviceId },
        App::removeDevice(call) => What::RemoveDevice { device: call.deviceId },
        App::setAllowAnyDevice(call) => What::AllowAnyDevice { on: call.allowAny },
        App::setRequireTcbUpToDate(call) => What::RequireTcbUpToDate {
            on: call.requireUpToDate,
        },
        App::transferOwnership(call) if call.newOwner.is_zero() => What::WithdrawOffer,
        App::transferOwnership(call) => What::TransferOwnership { to: call.newOwner },
        App::acceptOwnership(_) => What::AcceptOwnership,
        App::renounceOwnership(_) => What::RenounceOwnership,
        App::disableUpgrades(_) => What::DisableUpgrades,
        App::upgradeToAndCall(call) => What::ReplaceCode {
            implementation: call.newImplementation,
            calls: !call.data.is_empty(),
        },
        _ => return None,
    })
}

fn kms(data: &[u8]) -> Option<What> {
    Some(match strict::<Kms>(data)? {
        Kms::deployAndRegisterApp_0(call) => What::MakeApp {
            owner: call.initialOwner,
            disable_upgrades: call.disableUpgrades,
            require_tcb_up_to_date: None,
            allow_any_device: call.allowAnyDevice,
            device: call.initialDeviceId,
            compose_hash: call.initialComposeHash,
        },
        Kms::deployAndRegisterApp_1(call) => What::MakeApp {
            owner: call.initialOwner,
            disable_upgrades: call.disableUpgrades,
            require_tcb_up_to_date: Some(call.requireTcbUpToDate),
            allow_any_device: call.allowAnyDevice,
            device: call.initialDeviceId,
            compose_hash: call.initialComposeHash,
        },
        Kms::registerApp(call) => What::RegisterApp { app: call.appId },
        Kms::transferOwnership(call) => What::TransferOwnership { to: call.newOwner },
        Kms::renounceOwnership(_) => What::RenounceOwnership,
        Kms::upgradeToAndCall(call) => What::ReplaceCode {
            implementation: call.newImplementation,
            calls: !call.data.is_empty(),
        },
        _ => return None,
    })
}

fn itself(data: &[u8]) -> Option<What> {
    Some(match strict::<Itself>(data)? {
        Itself::addOwnerWithThreshold(call) => What::AddSafeOwner {
            owner: call.owner,
            threshold: call.threshold,
        },
        Itself::removeOwner(call) => What::RemoveSafeOwner {
            owner: call.owner,
            threshold: call.threshold,
        },
        Itself::swapOwner(call) => What::SwapSafeOwner {
            old: call.oldOwner,
            new: call.newOwner,
        },
        Itself::changeThreshold(call) => What::ChangeThreshold {
            threshold: call.threshold,
        },
        Itself::enableModule(call) => What::EnableModule { module: call.module },
        Itself::disableModule(call) => What::DisableModule { module: call.module },
        Itself::setGuard(call) => What::SetGuard { guard: call.guard },
        Itself::setModuleGuard(call) => What::SetModuleGuard {
            guard: call.moduleGuard,
        },
        Itself::setFallbackHandler(call) => What::SetFallbackHandler { handler: call.handler },
        Itself::changeMasterCopy(call) => What::ReplaceSafeCode {
            singleton: call.masterCopy,
        },
    })
}

fn roles(data: &[u8]) -> Option<What> {
    Some(match strict::<Timelock>(data)? {
        Timelock::grantRole(call) => What::GrantRole {
            role: call.role,
            account: call.account,
        },
        Timelock::revokeRole(call) => What::RevokeRole {
            role: call.role,
            account: call.account,
        },
        Timelock::renounceRole(call) => What::RenounceRole {
            role: call.role,
            account: call.callerConfirmation,
        },
        Timelock::updateDelay(call) => What::ChangeDelay { seconds: call.newDelay },
        _ => return None,
    })
}

fn approval(data: &[u8]) -> Option<B256> {
    let call = approveHashCall::abi_decode_validate(data).ok()?;
    (call.abi_encode() == data).then_some(call.hashToApprove)
}

fn unknown(data: &Bytes) -> What {
    What::Unknown {
        selector: data.first_chunk::<4>().map(|bytes| FixedBytes(*bytes)),
        bytes: data.len(),
    }
}
