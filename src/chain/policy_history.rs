//! The history of an app's policy: which hashes and devices are and were allowed, since when, by which transaction, and
//! who owned the app.
//!
//! Events say when and by whom; what holds is read from the state at one block. Where the events cannot be read whole, or
//! contradict the state, that is said.

use std::collections::BTreeMap;
use std::fmt;

use alloy::primitives::{Address, B256, Log};
use alloy::sol_types::{SolEvent, SolValue};
use serde::{Deserialize, Serialize};

use super::logs::{LogQuery, PlacedLog};
use super::read::{Fact, Question};
use super::{AppQuery, AppState, BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp as A;

/// Questions of one round trip.
const ENTRIES: usize = 100;
/// Why a DstackApp refuses new code once that was forbidden.
const UPGRADES_DISABLED: &str = "Upgrades are permanently disabled";
/// Where a DstackApp since July 2025 keeps, in the lowest byte, that its code is frozen.
const FROZEN: B256 = B256::with_last_byte(1);

/// What an app's events and state say of its policy, at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyHistory {
    /// The block.
    pub block: BlockRef,
    /// Every hash that an event names, or that was asked about; in the order in which they appeared.
    pub hashes: Vec<PolicyEntry>,
    /// Every device that an event names, or that was asked about.
    pub devices: Vec<PolicyEntry>,
    /// All events, oldest first.
    pub events: Vec<PolicyEvent>,
    /// Whether the contract would refuse new code even from its owner; `None` when it does not tell.
    pub upgrades_disabled: Option<bool>,
    /// Why there may be more than this: the events could not be read whole.
    pub incomplete: Option<String>,
}

/// A hash or a device on an app's list, or that was there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// Compose hash or device id.
    pub id: B256,
    /// Whether it is allowed, by the state.
    pub allowed: bool,
    /// The event from which on it has been so without a break; `None` when no event says so.
    pub since: Option<PolicyPlace>,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPlace {
    /// Transaction.
    pub transaction: B256,
    /// Its block.
    pub block: BlockRef,
    /// Index of the event in the block.
    pub log_index: u64,
}

/// One event of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEvent {
    /// What it says.
    #[serde(flatten)]
    pub what: PolicyFact,
    /// Where it stands.
    #[serde(flatten)]
    pub place: PolicyPlace,
}

/// What an event of an app says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PolicyFact {
    /// A compose hash was put on the list, or taken from it.
    Hash {
        /// Hash.
        id: B256,
        /// Put on it.
        allowed: bool,
    },
    /// A device was put on the list, or taken from it.
    Device {
        /// Device id.
        id: B256,
        /// Put on it.
        allowed: bool,
    },
    /// Whether every device may run the app was set.
    AnyDevice {
        /// To this.
        on: bool,
    },
    /// Whether firmware has to be up to date was set.
    TcbUpToDate {
        /// To this.
        on: bool,
    },
    /// The contract's code can never change again.
    UpgradesDisabled,
    /// The contract's code is this from now on.
    Implementation {
        /// Address.
        address: Address,
    },
    /// The owner offered the app to somebody, or took the offer back.
    OwnershipOffered {
        /// Owner.
        from: Address,
        /// To whom; zero takes it back.
        to: Address,
    },
    /// The app changed hands.
    OwnershipTransferred {
        /// Who had it; zero at the beginning.
        from: Address,
        /// Who has it; zero gives it up.
        to: Address,
    },
}

impl fmt::Display for PolicyFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Hash { id, allowed: true } => write!(f, "compose hash {id} was allowed"),
            Self::Hash { id, allowed: false } => write!(f, "compose hash {id} was removed"),
            Self::Device { id, allowed: true } => write!(f, "device {id} was allowed"),
            Self::Device { id, allowed: false } => write!(f, "device {id} was removed"),
            Self::AnyDevice { on } => write!(f, "that any device may run the app was turned {}", word(on)),
            Self::TcbUpToDate { on } => write!(f, "that firmware has to be up to date was turned {}", word(on)),
            Self::UpgradesDisabled => f.write_str("the contract's code was fixed for ever"),
            Self::Implementation { address } => write!(f, "the contract's code became that at {address}"),
            Self::OwnershipOffered { from, to } if to.is_zero() => write!(f, "{from} took back an offer of the app"),
            Self::OwnershipOffered { from, to } => write!(f, "{from} offered the app to {to}"),
            Self::OwnershipTransferred { from, to } if to.is_zero() => write!(f, "{from} gave the app up"),
            Self::OwnershipTransferred { from, to } => write!(f, "the app went from {from} to {to}"),
        }
    }
}

/// What happened to an app's policy up to a block.
#[derive(Debug)]
pub struct PolicyPast {
    /// Oldest first.
    events: Vec<PolicyEvent>,
    /// Why there may have been more.
    incomplete: Option<String>,
}

impl PolicyHistory {
    /// Events about the owner, oldest first.
    pub fn owners(&self) -> impl Iterator<Item = &PolicyEvent> {
        self.events.iter().filter(|event| {
            matches!(
                event.what,
                PolicyFact::OwnershipOffered { .. } | PolicyFact::OwnershipTransferred { .. }
            )
        })
    }
}

impl Chain {
    /// The history of the app that `app` was read of, at the same block; `hashes` and `devices` are asked about even if no
    /// event names them. Round trips as for reading logs, and one for every hundred entries.
    ///
    /// # Errors
    /// See [`ChainError`]. Events that no endpoint gives whole are no error: [`PolicyHistory::incomplete`] says why.
    pub async fn policy_history(
        &self,
        app: &AppState,
        hashes: &[B256],
        devices: &[B256],
    ) -> Result<PolicyHistory, ChainError> {
        let past = self.policy_events(app.app, &app.block).await?;
        self.history_of(app, past, (hashes, devices)).await
    }

    /// The app, and what happened to its policy until then, asked for at once: [`Self::history_of`] makes a history of both.
    ///
    /// # Errors
    /// As [`Self::app`].
    pub async fn app_and_past(&self, query: &AppQuery) -> Result<(AppState, PolicyPast), ChainError> {
        let block = self.head().await?;
        let (app, past) = tokio::join!(self.read_app(query, block), self.policy_events(query.app, &block));
        Ok((app?, past?))
    }

    /// As [`Self::policy_history`], of events that were read. One round trip for every hundred entries of a list.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn history_of(
        &self,
        app: &AppState,
        past: PolicyPast,
        about: (&[B256], &[B256]),
    ) -> Result<PolicyHistory, ChainError> {
        let PolicyPast { events, mut incomplete } = past;
        let (hashes, devices) = about;
        let named = |wanted: fn(&PolicyFact) -> Option<(B256, bool)>| runs(&events, wanted);
        let hashes = with(named(of_hash), hashes);
        let devices = with(named(of_device), devices);
        let ask_hash = |id| Question::call(app.app, &A::allowedComposeHashesCall { composeHash: id });
        let ask_device = |id| Question::call(app.app, &A::allowedDeviceIdsCall { deviceId: id });
        let (hashes, devices, frozen) = tokio::join!(
            self.entries(app, hashes, &ask_hash),
            self.entries(app, devices, &ask_device),
            self.upgrades_disabled(app),
        );
        let (hashes, devices) = (hashes?, devices?);
        let contradicted = |entry: &&(PolicyEntry, bool)| entry.1;
        if let Some((entry, _)) = hashes.iter().chain(&devices).find(contradicted) {
            incomplete
                .get_or_insert_with(|| format!("the newest event about {} is missing: the state differs", entry.id));
        }
        let entries = |list: Vec<(PolicyEntry, bool)>| list.into_iter().map(|(entry, _)| entry).collect();
        Ok(PolicyHistory {
            block: app.block,
            hashes: entries(hashes),
            devices: entries(devices),
            events,
            upgrades_disabled: frozen?,
            incomplete,
        })
    }

    /// All events of the policy up to the block, and why there may have been more.
    async fn policy_events(&self, app: Address, block: &BlockRef) -> Result<PolicyPast, ChainError> {
        let query = LogQuery {
            address: app,
            topics: vec![
                A::ComposeHashAdded::SIGNATURE_HASH,
                A::ComposeHashRemoved::SIGNATURE_HASH,
                A::DeviceAdded::SIGNATURE_HASH,
                A::DeviceRemoved::SIGNATURE_HASH,
                A::AllowAnyDeviceSet::SIGNATURE_HASH,
                A::RequireTcbUpToDateSet::SIGNATURE_HASH,
                A::UpgradesDisabled::SIGNATURE_HASH,
                A::Upgraded::SIGNATURE_HASH,
                A::OwnershipTransferStarted::SIGNATURE_HASH,
                A::OwnershipTransferred::SIGNATURE_HASH,
            ],
            from: 0,
            to: block.number,
        };
        let (logs, incomplete) = self.longest_logs(&query).await?;
        let events: Vec<PolicyEvent> = logs.iter().filter_map(event).collect();
        let begins =
            |event: &PolicyEvent| matches!(event.what, PolicyFact::OwnershipTransferred { from, .. } if from.is_zero());
        let begun = events.iter().any(begins);
        let missing = (!begun).then(|| "the endpoints do not give the app's first events".to_owned());
        Ok(PolicyPast {
            events,
            incomplete: incomplete.or(missing),
        })
    }

    /// The entries with their state, and whether their newest event contradicts it.
    async fn entries(
        &self,
        app: &AppState,
        found: Vec<(B256, Option<Run>)>,
        ask: &(dyn Fn(B256) -> Question + Sync),
    ) -> Result<Vec<(PolicyEntry, bool)>, ChainError> {
        let mut entries = Vec::with_capacity(found.len());
        for some in found.chunks(ENTRIES) {
            let questions: Vec<Question> = some.iter().map(|(id, _)| ask(*id)).collect();
            let mut facts = self.read(&app.block, &questions).await?;
            for (id, run) in some {
                let Fact::Bytes(bytes) = facts.next() else {
                    return Err(unlisted(app));
                };
                let allowed = bool::abi_decode_validate(&bytes).map_err(|_odd| unlisted(app))?;
                let fits = run.filter(|run| run.allowed == allowed);
                let entry = PolicyEntry {
                    id: *id,
                    allowed,
                    since: fits.map(|run| run.since),
                };
                // What no event names and is not allowed was never on the list.
                entries.push((entry, fits.is_none() && (allowed || run.is_some())));
            }
        }
        Ok(entries)
    }

    /// Whether the app's code is frozen for ever, where that can be told.
    async fn upgrades_disabled(&self, app: &AppState) -> Result<Option<bool>, ChainError> {
        // Nobody can ask as the owner of what nobody owns; the contract's second variable says it as well.
        if app.owner.is_zero() {
            let word = self.read(&app.block, &[Question::slot(app.app, FROZEN)]).await?.next();
            return Ok((word.bytes().last() == Some(&1)).then_some(true));
        }
        let proxy = Proxy {
            address: app.app,
            owner: app.owner,
            implementation: app.implementation,
        };
        let can_change = self.code_can_change(&proxy, &app.block).await?;
        Ok(can_change.map(|can_change| !can_change))
    }

    /// Whether an app could be given other code, after `block`: asked by its owner to take the code that it has, a
    /// DstackApp says so. `None`: it does not tell. One round trip.
    pub(super) async fn code_can_change(&self, proxy: &Proxy, block: &BlockRef) -> Result<Option<bool>, ChainError> {
        let Some(implementation) = proxy.implementation else {
            return Ok(None);
        };
        let question = new_code_question(proxy.address, proxy.owner, implementation);
        Ok(takes_new_code(&self.read(block, &[question]).await?.next()))
    }
}

/// Asks an app as its owner to take the code that it has.
pub(crate) fn new_code_question(app: Address, owner: Address, implementation: Address) -> Question {
    let call = A::upgradeToAndCallCall {
        newImplementation: implementation,
        data: Default::default(),
    };
    Question::call(app, &call).from(owner).optional()
}

/// Whether the app takes it, by the answer to [`new_code_question`]; nothing where it does not tell.
pub(crate) fn takes_new_code(fact: &Fact) -> Option<bool> {
    match fact {
        Fact::Bytes(_) => Some(true),
        Fact::Reverted(why) if why.reason.contains(UPGRADES_DISABLED) => Some(false),
        Fact::Reverted(_) | Fact::NotOffered => None,
    }
}

/// A contract whose code its owner may change.
pub(super) struct Proxy {
    pub(super) address: Address,
    pub(super) owner: Address,
    pub(super) implementation: Option<Address>,
}

fn unlisted(app: &AppState) -> ChainError {
    ChainError::NotAnApp {
        address: app.app,
        why: "it does not say whether a hash or a device is allowed".to_owned(),
    }
}

/// What the newest events about an entry say without a break, and the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    allowed: bool,
    since: PolicyPlace,
}

const fn of_hash(fact: &PolicyFact) -> Option<(B256, bool)> {
    match fact {
        PolicyFact::Hash { id, allowed } => Some((*id, *allowed)),
        _ => None,
    }
}

const fn of_device(fact: &PolicyFact) -> Option<(B256, bool)> {
    match fact {
        PolicyFact::Device { id, allowed } => Some((*id, *allowed)),
        _ => None,
    }
}

/// The entries that events name, in the order in which they appeared.
fn runs(events: &[PolicyEvent], of: fn(&PolicyFact) -> Option<(B256, bool)>) -> Vec<(B256, Option<Run>)> {
    let mut order = Vec::new();
    let mut newest: BTreeMap<B256, Run> = BTreeMap::new();
    for event in events {
        let Some((id, allowed)) = of(&event.what) else { continue };
        let since = event.place;
        let run = newest.entry(id).or_insert_with(|| {
            order.push(id);
            Run { allowed, since }
        });
        if run.allowed != allowed {
            *run = Run { allowed, since };
        }
    }
    order.into_iter().map(|id| (id, newest.get(&id).copied())).collect()
}

/// The entries, and those that were asked about besides.
fn with(mut found: Vec<(B256, Option<Run>)>, asked: &[B256]) -> Vec<(B256, Option<Run>)> {
    for id in asked {
        if found.iter().all(|(known, _)| known != id) {
            found.push((*id, None));
        }
    }
    found
}

fn event(placed: &PlacedLog) -> Option<PolicyEvent> {
    Some(PolicyEvent {
        what: fact(&placed.log)?,
        place: PolicyPlace {
            transaction: placed.transaction,
            block: placed.block,
            log_index: placed.index,
        },
    })
}

/// What a log says of a policy; `None`: nothing that is known here.
pub(crate) fn fact(log: &Log) -> Option<PolicyFact> {
    let word = || word(log);
    let on = || bool::abi_decode_validate(&log.data.data).ok();
    Some(match *log.topics().first()? {
        A::ComposeHashAdded::SIGNATURE_HASH => PolicyFact::Hash {
            id: word()?,
            allowed: true,
        },
        A::ComposeHashRemoved::SIGNATURE_HASH => PolicyFact::Hash {
            id: word()?,
            allowed: false,
        },
        A::DeviceAdded::SIGNATURE_HASH => PolicyFact::Device {
            id: word()?,
            allowed: true,
        },
        A::DeviceRemoved::SIGNATURE_HASH => PolicyFact::Device {
            id: word()?,
            allowed: false,
        },
        A::AllowAnyDeviceSet::SIGNATURE_HASH => PolicyFact::AnyDevice { on: on()? },
        A::RequireTcbUpToDateSet::SIGNATURE_HASH => PolicyFact::TcbUpToDate { on: on()? },
        A::UpgradesDisabled::SIGNATURE_HASH => PolicyFact::UpgradesDisabled,
        A::Upgraded::SIGNATURE_HASH => PolicyFact::Implementation {
            address: A::Upgraded::decode_log_validate(log).ok()?.implementation,
        },
        A::OwnershipTransferStarted::SIGNATURE_HASH => {
            let event = A::OwnershipTransferStarted::decode_log_validate(log).ok()?;
            PolicyFact::OwnershipOffered {
                from: event.previousOwner,
                to: event.newOwner,
            }
        }
        A::OwnershipTransferred::SIGNATURE_HASH => {
            let event = A::OwnershipTransferred::decode_log_validate(log).ok()?;
            PolicyFact::OwnershipTransferred {
                from: event.previousOwner,
                to: event.newOwner,
            }
        }
        _ => return None,
    })
}

/// The hash or device of an event: in the data, or a topic as contracts of others have it. The state decides anyway.
fn word(log: &Log) -> Option<B256> {
    match (log.topics(), log.data.data.as_chunks::<32>()) {
        ([_], ([word], [])) => Some(B256::from(*word)),
        ([_, word], _) => Some(*word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Bytes, LogData};

    use super::*;

    const HASH: B256 = B256::repeat_byte(0xab);

    fn place(number: u8) -> PolicyPlace {
        PolicyPlace {
            transaction: B256::with_last_byte(number),
            block: BlockRef {
                number: u64::from(number),
                ..BlockRef::default()
            },
            log_index: 0,
        }
    }

    fn said(number: u8, id: B256, allowed: bool) -> PolicyEvent {
        PolicyEvent {
            what: PolicyFact::Hash { id, allowed },
            place: place(number),
        }
    }

    fn run(number: u8, allowed: bool) -> Option<Run> {
        Some(Run {
            allowed,
            since: place(number),
        })
    }

    #[test]
    fn h4_an_entry_is_so_since_the_first_event_after_which_nothing_else_was_said() {
        let other = B256::repeat_byte(1);
        let events = [
            said(1, HASH, true),
            said(2, other, true),
            said(3, HASH, false),
            said(4, HASH, true),
            said(5, HASH, true),
            said(6, other, false),
        ];
        assert_eq!(runs(&events, of_hash), [(HASH, run(4, true)), (other, run(6, false))]);
        assert_eq!(runs(&events, of_device), []);
        let more = with(runs(&events[..1], of_hash), &[HASH, other]);
        assert_eq!(more, [(HASH, run(1, true)), (other, None)]);
    }

    fn log(topics: Vec<B256>, data: &[u8]) -> Log {
        Log {
            address: Address::ZERO,
            data: LogData::new_unchecked(topics, Bytes::copy_from_slice(data)),
        }
    }

    #[test]
    fn the_hash_of_an_event_is_read_from_the_data_or_from_a_topic() {
        let topic = A::ComposeHashAdded::SIGNATURE_HASH;
        let expected = Some(PolicyFact::Hash {
            id: HASH,
            allowed: true,
        });
        assert_eq!(fact(&log(vec![topic], HASH.as_slice())), expected);
        assert_eq!(fact(&log(vec![topic, HASH], &[1, 2])), expected);
        assert_eq!(fact(&log(vec![topic], &HASH[..31])), None);
        assert_eq!(fact(&log(vec![topic], &[HASH, HASH].concat())), None);
        assert_eq!(fact(&log(vec![], HASH.as_slice())), None);
        let odd = log(vec![A::AllowAnyDeviceSet::SIGNATURE_HASH], HASH.as_slice());
        assert_eq!(fact(&odd), None);
    }
}
