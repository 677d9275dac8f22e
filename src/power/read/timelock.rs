//! OpenZeppelin's TimelockController, 4.x and 5.x: who schedules and who executes, and what is scheduled already.
//!
//! Whoever administers its roles makes proposers and executors of whom they like, at once; the delay is not theirs.

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolCall;

use super::facts::{Proxied, TrustedCode};
use super::proxy;
use super::reader::{Reader, Waiting};
use crate::abi::app::DstackApp as A;
use crate::abi::timelock::TimelockController as T;
use crate::chain::timelock::{LogReach, PendingOperation, TimelockInfo, TimelockRead};
use crate::chain::{Call, Chain, ChainError, Question, Reading, TimelockRole};
use crate::code::Code;
use crate::power::model::{Actor, Class, Confidence, Domain, Effect, Kind, Node, Party, Rule, Veto, Who, World};

/// Requests for its events to each endpoint.
const REQUESTS: u32 = 400;
/// Accounts with roles that are followed.
const MOST_ROLES: usize = 1_000;

/// Questions about who administers which role, after those that tell whether it is a timelock.
const ROLES: [&str; 3] = ["EXECUTOR_ROLE", "CANCELLER_ROLE", "TIMELOCK_ADMIN_ROLE"];

/// What is asked of a contract that may be a timelock.
pub(super) fn questions(address: Address) -> Vec<Question> {
    let mut all = TimelockInfo::questions(address);
    let roles = ROLES.map(keccak256).into_iter().chain([B256::ZERO]);
    all.extend(roles.map(|role| Question::call(address, &T::getRoleAdminCall { role })));
    all.into_iter().map(Question::optional).collect()
}

/// How many of them tell whether it is one.
pub(super) fn recognised(address: Address) -> usize {
    TimelockInfo::questions(address).len()
}

/// A timelock before its events were read.
pub(super) struct Found {
    info: TimelockInfo,
    proxied: Proxied,
    /// One role administers all of them, and itself.
    plain: bool,
}

impl Found {
    pub(super) fn new(info: TimelockInfo, facts: &mut Reading, proxied: Proxied) -> Self {
        let mut admin = || facts.next().value::<T::getRoleAdminCall>();
        let (executors, cancellers, older, newer) = (admin(), admin(), admin(), admin());
        let role = info.admin_role;
        let of_itself = if role.is_zero() { newer } else { older };
        let named = role.is_zero() || role == keccak256("TIMELOCK_ADMIN_ROLE");
        let all = [executors, of_itself]
            .into_iter()
            .chain([cancellers].into_iter().filter(|_| info.separate_cancellers));
        let plain = named && all.into_iter().all(|admin| admin == Some(role));
        Self { info, proxied, plain }
    }
}

/// A timelock with what its events tell.
pub(super) struct Standing {
    found: Found,
    read: TimelockRead,
}

/// Reads who has which role, and what waits.
pub(super) async fn standing(chain: &Chain, found: Found) -> Result<Standing, ChainError> {
    let reach = LogReach {
        from: 0,
        requests: REQUESTS,
    };
    let (roles, waiting) = chain.timelock_standing(&found.info, &[], reach).await?;
    let info = found.info.clone();
    let read = TimelockRead { info, roles, waiting };
    Ok(Standing { found, read })
}

/// Takes a timelock.
pub(super) fn take(reader: &mut Reader<'_>, standing: Standing) {
    let Standing { found, read } = standing;
    let TimelockRead { info, roles, waiting } = &read;
    let address = info.address;
    let lock = Lock::of(&read);
    let all = [&roles.proposers, &roles.executors, &roles.admins];
    let others = all.into_iter().flatten().copied().filter(|who| *who != address);
    reader.follow(others, address, false);
    let mut node = Node::new(address, Kind::Timelock, confidence(reader, info)).with([lock.clone().rule(0)]);
    node.version = info.known_release().map(str::to_owned);
    let by = match info.separate_cancellers {
        true => roles.cancellers.clone(),
        false => roles.proposers.clone(),
    };
    node.veto = Some(Veto { by, how: "cancel" });
    let rules: Vec<Rule> = proxy::by_others(reader, address, &found.proxied).collect();
    let is_opaque = info.implementation.is_some() && rules.is_empty();
    let count: usize = all.iter().map(|some| some.len()).sum();
    let doubts = [
        (!found.plain).then(|| "its roles are administered by others than in any release".to_owned()),
        is_opaque.then(|| "its code can be changed, nobody here knows by whom".to_owned()),
        roles.incomplete.clone().or_else(|| waiting.incomplete.clone()),
        (count > MOST_ROLES).then(|| "it has more roles than are looked at".to_owned()),
    ];
    node = node.with(rules);
    for doubt in doubts.into_iter().flatten() {
        let text = format!("nobody here knows who acts for the timelock {address}: {doubt}");
        reader.find(Code::TimelockRolesUnknown, address, text);
        let party = Party::Unknown(address);
        node.confidence = Confidence::Unknown;
        node = node.with([Rule::Party { party }]);
    }
    for operation in &waiting.operations {
        node = node.with(changes(reader, address, &lock, operation));
        effects(reader, address, &lock, operation);
    }
    reader.add(node);
    reader.timelocks.push(read);
}

fn confidence(reader: &mut Reader<'_>, info: &TimelockInfo) -> Confidence {
    let trusted = reader.is_trusted(info.code_hash, TrustedCode::Timelock);
    if trusted || info.known_release().is_some() {
        return Confidence::Getters;
    }
    let text = format!(
        "{} answers as a timelock, and its code is of no release that is known here: its hash is {}",
        info.address, info.code_hash
    );
    reader.find(Code::TimelockCodeUnknown, info.address, text);
    Confidence::ByBehaviour
}

/// A delay, and who schedules and executes.
#[derive(Clone)]
struct Lock {
    delay: u64,
    proposers: Vec<Actor>,
    executors: Who,
}

impl Lock {
    /// Of a timelock as it stands: whoever administers its roles takes any of them.
    fn of(read: &TimelockRead) -> Self {
        let TimelockRead { info, roles, .. } = read;
        let to = info.address;
        let calls = |who: &[Address]| -> Vec<Actor> {
            let all = who.iter().chain(&roles.admins).filter(|from| **from != to);
            all.map(|from| Actor::Calls { from: *from, to }).collect()
        };
        Self {
            delay: info.min_delay,
            proposers: calls(&roles.proposers),
            executors: match info.open_executor {
                true => Who::Anybody,
                false => Who::Of(calls(&roles.executors)),
            },
        }
    }

    fn rule(self, after: u64) -> Rule {
        Rule::Lock {
            delay: self.delay,
            proposers: Who::Of(self.proposers),
            executors: self.executors,
            after,
            shows: true,
        }
    }

    /// What waits for so long and is executed, and then somebody acts; nobody: that is all.
    fn waits(&self, after: u64, then: Who) -> Rule {
        Rule::Lock {
            delay: 0,
            proposers: then,
            executors: self.executors.clone(),
            after,
            shows: true,
        }
    }
}

fn left(reader: &Reader<'_>, operation: &PendingOperation) -> u64 {
    operation.ready_at().saturating_sub(reader.block.timestamp)
}

/// How an operation that waits changes the timelock itself.
fn changes(reader: &mut Reader<'_>, timelock: Address, lock: &Lock, operation: &PendingOperation) -> Vec<Rule> {
    let after = left(reader, operation);
    let own = operation.calls.iter().filter(|call| call.to == timelock);
    let mut rules = Vec::new();
    for call in own {
        if let Ok(call) = T::updateDelayCall::abi_decode_validate(&call.data) {
            let delay = u64::try_from(call.newDelay).unwrap_or(u64::MAX);
            rules.push(Lock { delay, ..lock.clone() }.rule(after));
        } else if let Ok(call) = T::grantRoleCall::abi_decode_validate(&call.data) {
            reader.follow([call.account], timelock, false);
            rules.push(granted(timelock, lock, &call).rule(after));
        } else if T::revokeRoleCall::abi_decode_validate(&call.data).is_err() {
            rules.push(lock.waits(after, Who::Anybody));
        }
    }
    rules
}

/// The timelock once somebody has one more role.
fn granted(timelock: Address, lock: &Lock, call: &T::grantRoleCall) -> Lock {
    let mut lock = lock.clone();
    let who = Actor::Calls {
        from: call.account,
        to: timelock,
    };
    let role = TimelockRole::of_id(call.role);
    if matches!(role, Some(TimelockRole::Proposer | TimelockRole::Admin)) {
        lock.proposers.push(who);
    }
    match (&mut lock.executors, role) {
        (executors, Some(TimelockRole::Executor)) if call.account.is_zero() => *executors = Who::Anybody,
        (Who::Of(executors), Some(TimelockRole::Executor | TimelockRole::Admin)) => executors.push(who),
        _ => {}
    }
    lock
}

/// What an operation that waits does to the app and the KMS, and whatever else it calls.
fn effects(reader: &mut Reader<'_>, timelock: Address, lock: &Lock, operation: &PendingOperation) {
    let after = left(reader, operation);
    let announced = format!(
        "the operation {} of the timelock {timelock}, ready in {after} seconds",
        operation.id
    );
    let opaque = |target| Waiting {
        timelock,
        target,
        rule: lock.waits(after, Who::Anybody),
    };
    if operation.calls.is_empty() {
        reader.waiting.push(opaque(None));
    }
    for call in operation.calls.iter().filter(|call| call.to != timelock) {
        let domain = match call.to {
            to if to == reader.query.app => Domain::App,
            to if Some(to) == reader.query.kms => Domain::Platform,
            to => {
                reader.waiting.push(opaque(Some(to)));
                continue;
            }
        };
        let heir = A::transferOwnershipCall::abi_decode_validate(&call.data)
            .ok()
            .map(|call| call.newOwner);
        let then = match heir {
            Some(heir) => {
                reader.follow([heir], timelock, false);
                Who::Of(vec![Actor::Calls {
                    from: heir,
                    to: call.to,
                }])
            }
            None => Who::Anybody,
        };
        if let Some((name, class)) = does(call) {
            reader.world.effects.push(Effect {
                domain,
                class,
                target: Some(call.to),
                call: name,
                by: lock.waits(after, then),
                names_the_hash: name == "addComposeHash",
                announced: Some(announced.clone()),
            });
        }
    }
}

/// What a call to the app or the KMS does; nothing where it takes something away.
fn does(call: &Call) -> Option<(&'static str, Class)> {
    let selector = call.data.first_chunk::<4>().copied()?;
    let harmless = [
        A::removeComposeHashCall::SELECTOR,
        A::removeDeviceCall::SELECTOR,
        A::disableUpgradesCall::SELECTOR,
        A::setRequireTcbUpToDateCall::SELECTOR,
        A::renounceOwnershipCall::SELECTOR,
        A::acceptOwnershipCall::SELECTOR,
    ];
    match selector {
        some if harmless.contains(&some) => None,
        A::addComposeHashCall::SELECTOR => Some(("addComposeHash", Class::AnyCode)),
        A::transferOwnershipCall::SELECTOR => Some(("transferOwnership", Class::AnyCode)),
        A::upgradeToAndCallCall::SELECTOR => Some(("upgradeToAndCall", Class::AnyCode)),
        A::addDeviceCall::SELECTOR => Some(("addDevice", Class::ApprovedCode)),
        A::setAllowAnyDeviceCall::SELECTOR => Some(("setAllowAnyDevice", Class::ApprovedCode)),
        _ => Some(("a call that is scheduled", Class::AnyCode)),
    }
}

/// What waits at timelocks counts where it calls somebody who acts for the app, or where nobody knows whom it calls.
pub(super) fn opaque(world: &mut World, waiting: &[Waiting]) {
    for one in waiting {
        if one.target.is_some_and(|target| !world.nodes.contains_key(&target)) {
            continue;
        }
        if let Some(node) = world.nodes.get_mut(&one.timelock) {
            node.rules.push(one.rule.clone());
        }
    }
}
