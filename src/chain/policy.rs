//! Changes of an app's policy: the call that makes one, the event that shows it, the state that holds it.
//!
//! Sources: DstackApp (`abi/DstackApp.json`); OpenZeppelin `OwnableUpgradeable` and `Ownable2StepUpgradeable`.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::{SolCall, SolEvent, SolValue};
use serde::{Deserialize, Serialize};

use super::gather::is_absence;
use super::logs::{self, LogQuery};
use super::read::{Fact, Question};
use super::{BlockRef, Call, Chain, ChainError};
use crate::abi::app::DstackApp as A;

/// One change of an app's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyChange {
    /// Let this compose hash run.
    AddComposeHash(B256),
    /// Take a compose hash from the list.
    RemoveComposeHash(B256),
    /// Let this device run the app.
    AddDevice(B256),
    /// Take a device from the list.
    RemoveDevice(B256),
    /// Whether every device may run the app.
    AllowAnyDevice(bool),
    /// Whether the machine's firmware has to be up to date (DstackApp since version 2).
    RequireTcbUpToDate(bool),
    /// Make this address the owner at once (one-step ownership).
    TransferOwnership(Address),
    /// Offer the app to this address, which then has to accept (two-step ownership).
    OfferOwnership(Address),
    /// Become the owner, as the address that it was offered to.
    AcceptOwnership(Address),
}

/// Changes of one app's policy that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppChanges {
    /// DstackApp.
    pub app: Address,
    /// What changes, at least one.
    pub changes: Vec<PolicyChange>,
}

/// What an event says of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It was made.
    Made,
    /// Another value was set in its place.
    Otherwise,
}

/// The newest event about a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    pub(super) said: Said,
    pub(super) transaction: B256,
    /// How many endpoints tell of it.
    pub(super) told: usize,
}

impl AppChanges {
    /// That `app` allows `hash`.
    pub fn allowing(app: Address, hash: B256) -> Self {
        Self {
            app,
            changes: vec![PolicyChange::AddComposeHash(hash)],
        }
    }

    /// What the state has to answer for all changes, in order.
    pub(super) fn questions(&self) -> Vec<Question> {
        let changes = self.changes.iter();
        changes.flat_map(|change| change.questions(self.app)).collect()
    }

    /// The first change that `answers` to [`Self::questions`] do not show; `None`: all hold.
    pub(super) fn first_missing(&self, answers: impl IntoIterator<Item = Option<Bytes>>) -> Option<PolicyChange> {
        let mut answers = answers.into_iter();
        let mut missing = None;
        for change in &self.changes {
            if !change.holds(&mut answers) && missing.is_none() {
                missing = Some(*change);
            }
        }
        missing
    }
}

impl PolicyChange {
    /// The call that makes it.
    pub fn call(self, app: Address) -> Call {
        let data = match self {
            Self::AddComposeHash(hash) => A::addComposeHashCall { composeHash: hash }.abi_encode(),
            Self::RemoveComposeHash(hash) => A::removeComposeHashCall { composeHash: hash }.abi_encode(),
            Self::AddDevice(device) => A::addDeviceCall { deviceId: device }.abi_encode(),
            Self::RemoveDevice(device) => A::removeDeviceCall { deviceId: device }.abi_encode(),
            Self::AllowAnyDevice(on) => A::setAllowAnyDeviceCall { allowAny: on }.abi_encode(),
            Self::RequireTcbUpToDate(on) => A::setRequireTcbUpToDateCall { requireUpToDate: on }.abi_encode(),
            Self::TransferOwnership(to) | Self::OfferOwnership(to) => {
                A::transferOwnershipCall { newOwner: to }.abi_encode()
            }
            Self::AcceptOwnership(_) => A::acceptOwnershipCall {}.abi_encode(),
        };
        Call {
            to: app,
            value: U256::ZERO,
            data: data.into(),
        }
    }

    /// The change that a call makes of `app`; `None`: none of these. What stands behind the arguments makes no difference to
    /// the contract, and none here. Who accepts an offer is not in the call, which is given as the zero address.
    pub fn read(app: Address, call: &Call) -> Option<Self> {
        if call.to != app {
            return None;
        }
        let (selector, rest) = call.data.split_first_chunk::<4>()?;
        let word = || rest.first_chunk::<32>().map(|word| B256::from(*word));
        let on = || word().map(|word| !word.is_zero());
        let account = || word().map(Address::from_word);
        Some(match *selector {
            A::addComposeHashCall::SELECTOR => Self::AddComposeHash(word()?),
            A::removeComposeHashCall::SELECTOR => Self::RemoveComposeHash(word()?),
            A::addDeviceCall::SELECTOR => Self::AddDevice(word()?),
            A::removeDeviceCall::SELECTOR => Self::RemoveDevice(word()?),
            A::setAllowAnyDeviceCall::SELECTOR => Self::AllowAnyDevice(on()?),
            A::setRequireTcbUpToDateCall::SELECTOR => Self::RequireTcbUpToDate(on()?),
            A::transferOwnershipCall::SELECTOR => Self::TransferOwnership(account()?),
            A::acceptOwnershipCall::SELECTOR => Self::AcceptOwnership(Address::ZERO),
            _ => return None,
        })
    }

    /// Whether both set the same thing: at most one of them belongs into one approval.
    pub fn conflicts_with(self, other: Self) -> bool {
        self.subject() == other.subject()
    }

    /// Whether it adds to or takes from the lists of hashes and devices.
    pub const fn is_of_a_list(&self) -> bool {
        matches!(
            self,
            Self::AddComposeHash(_) | Self::RemoveComposeHash(_) | Self::AddDevice(_) | Self::RemoveDevice(_)
        )
    }

    /// Whether it is about who owns the app.
    pub const fn is_of_ownership(&self) -> bool {
        self.is_indexed()
    }

    /// Who becomes the owner by it, or is offered to.
    pub const fn new_owner(&self) -> Option<Address> {
        match self {
            Self::TransferOwnership(to) | Self::OfferOwnership(to) => Some(*to),
            _ => None,
        }
    }

    /// What is set, by the change's kind and its word.
    const fn subject(self) -> (u8, B256) {
        match self {
            Self::AddComposeHash(hash) | Self::RemoveComposeHash(hash) => (0, hash),
            Self::AddDevice(device) | Self::RemoveDevice(device) => (1, device),
            Self::AllowAnyDevice(_) => (2, B256::ZERO),
            Self::RequireTcbUpToDate(_) => (3, B256::ZERO),
            Self::TransferOwnership(_) | Self::OfferOwnership(_) | Self::AcceptOwnership(_) => (4, B256::ZERO),
        }
    }

    /// What the state has to answer.
    fn questions(self, app: Address) -> Vec<Question> {
        match self {
            Self::AddComposeHash(hash) | Self::RemoveComposeHash(hash) => {
                vec![Question::call(app, &A::allowedComposeHashesCall { composeHash: hash })]
            }
            Self::AddDevice(device) | Self::RemoveDevice(device) => {
                vec![Question::call(app, &A::allowedDeviceIdsCall { deviceId: device })]
            }
            Self::AllowAnyDevice(_) => vec![Question::call(app, &A::allowAnyDeviceCall {})],
            Self::RequireTcbUpToDate(_) => vec![Question::call(app, &A::requireTcbUpToDateCall {})],
            Self::TransferOwnership(_) | Self::AcceptOwnership(_) => vec![Question::call(app, &A::ownerCall {})],
            Self::OfferOwnership(_) => vec![
                Question::call(app, &A::pendingOwnerCall {}),
                Question::call(app, &A::ownerCall {}),
            ],
        }
    }

    /// Whether the next answers, as many as there are questions, show that it is in force.
    fn holds(self, answers: &mut impl Iterator<Item = Option<Bytes>>) -> bool {
        let mut next = || answers.next().flatten();
        let said = |answer: Option<Bytes>| answer.and_then(|bytes| bool::abi_decode_validate(&bytes).ok());
        let named = |answer: Option<Bytes>| answer.and_then(|bytes| Address::abi_decode_validate(&bytes).ok());
        match self {
            Self::AddComposeHash(_) | Self::AddDevice(_) => said(next()) == Some(true),
            Self::RemoveComposeHash(_) | Self::RemoveDevice(_) => said(next()) == Some(false),
            Self::AllowAnyDevice(on) | Self::RequireTcbUpToDate(on) => said(next()) == Some(on),
            Self::TransferOwnership(to) | Self::AcceptOwnership(to) => named(next()) == Some(to),
            // Who accepted since then was offered it before.
            Self::OfferOwnership(to) => {
                let (offered, owner) = (named(next()), named(next()));
                offered == Some(to) || owner == Some(to)
            }
        }
    }

    /// First topics of the events that set the same thing.
    fn topics(self) -> Vec<B256> {
        match self {
            Self::AddComposeHash(_) | Self::RemoveComposeHash(_) => {
                vec![
                    A::ComposeHashAdded::SIGNATURE_HASH,
                    A::ComposeHashRemoved::SIGNATURE_HASH,
                ]
            }
            Self::AddDevice(_) | Self::RemoveDevice(_) => {
                vec![A::DeviceAdded::SIGNATURE_HASH, A::DeviceRemoved::SIGNATURE_HASH]
            }
            Self::AllowAnyDevice(_) => vec![A::AllowAnyDeviceSet::SIGNATURE_HASH],
            Self::RequireTcbUpToDate(_) => vec![A::RequireTcbUpToDateSet::SIGNATURE_HASH],
            Self::TransferOwnership(_) | Self::AcceptOwnership(_) => vec![A::OwnershipTransferred::SIGNATURE_HASH],
            Self::OfferOwnership(_) => vec![A::OwnershipTransferStarted::SIGNATURE_HASH],
        }
    }

    /// First topic and name of the event that shows it, and the argument that the event holds.
    fn event(self) -> (B256, &'static str, Vec<u8>) {
        let word = |word: B256| word.to_vec();
        match self {
            Self::AddComposeHash(hash) => (
                A::ComposeHashAdded::SIGNATURE_HASH,
                A::ComposeHashAdded::SIGNATURE,
                word(hash),
            ),
            Self::RemoveComposeHash(hash) => (
                A::ComposeHashRemoved::SIGNATURE_HASH,
                A::ComposeHashRemoved::SIGNATURE,
                word(hash),
            ),
            Self::AddDevice(device) => (A::DeviceAdded::SIGNATURE_HASH, A::DeviceAdded::SIGNATURE, word(device)),
            Self::RemoveDevice(device) => (
                A::DeviceRemoved::SIGNATURE_HASH,
                A::DeviceRemoved::SIGNATURE,
                word(device),
            ),
            Self::AllowAnyDevice(on) => (
                A::AllowAnyDeviceSet::SIGNATURE_HASH,
                A::AllowAnyDeviceSet::SIGNATURE,
                on.abi_encode(),
            ),
            Self::RequireTcbUpToDate(on) => (
                A::RequireTcbUpToDateSet::SIGNATURE_HASH,
                A::RequireTcbUpToDateSet::SIGNATURE,
                on.abi_encode(),
            ),
            Self::TransferOwnership(to) | Self::AcceptOwnership(to) => (
                A::OwnershipTransferred::SIGNATURE_HASH,
                A::OwnershipTransferred::SIGNATURE,
                word(to.into_word()),
            ),
            Self::OfferOwnership(to) => (
                A::OwnershipTransferStarted::SIGNATURE_HASH,
                A::OwnershipTransferStarted::SIGNATURE,
                word(to.into_word()),
            ),
        }
    }

    /// Whether the event's argument is indexed: ownership's is, the app's own are data.
    const fn is_indexed(&self) -> bool {
        matches!(
            self,
            Self::TransferOwnership(_) | Self::OfferOwnership(_) | Self::AcceptOwnership(_)
        )
    }

    /// Index of the one event of `app` among `logs` that shows the change.
    ///
    /// # Errors
    /// There is none, there are several, or the contract's event is not a DstackApp's.
    pub(crate) fn shown(self, logs: &[Log], app: Address) -> Result<u64, String> {
        let (topic, signature, argument) = self.event();
        let name = signature.split('(').next().unwrap_or(signature);
        let own: Vec<&Log> = logs
            .iter()
            .filter(|log| log.address() == app && log.topic0() == Some(&topic) && !log.removed)
            .collect();
        let topics = if self.is_indexed() { 3 } else { 1 };
        // Contracts of others index the hash; what they do with it is not known here.
        if own.iter().any(|log| log.topics().len() != topics) {
            return Err(format!(
                "its `{name}` is not the one of a DstackApp: its arguments are indexed otherwise"
            ));
        }
        let ours: Vec<&Log> = own
            .into_iter()
            .filter(|log| self.argument(log) == argument.as_slice())
            .collect();
        match ours.as_slice() {
            [] => Err(format!("no `{name}` of the app shows it")),
            [log] => log.log_index.ok_or_else(|| "its event has no index".to_owned()),
            _ => Err(format!("more than one `{name}` of the app shows it")),
        }
    }

    fn argument(self, log: &Log) -> &[u8] {
        if self.is_indexed() {
            log.topics().get(2).map_or(&[], |topic| topic.as_slice())
        } else {
            &log.data().data
        }
    }

    /// What one log of the app says of the thing that the change sets; `None`: nothing.
    fn said(self, log: &Log) -> Option<Said> {
        let (topic, _, argument) = self.event();
        let found = self.argument(log);
        if log.topic0() == Some(&topic) && found == argument.as_slice() {
            return Some(Said::Made);
        }
        let about = match self {
            Self::AddComposeHash(_) | Self::RemoveComposeHash(_) | Self::AddDevice(_) | Self::RemoveDevice(_) => {
                log.topics().len() == 1 && found == argument.as_slice()
            }
            _ => true,
        };
        about.then_some(Said::Otherwise)
    }
}

impl fmt::Display for PolicyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::AddComposeHash(hash) => write!(f, "allow compose hash {hash}"),
            Self::RemoveComposeHash(hash) => write!(f, "remove compose hash {hash}"),
            Self::AddDevice(device) => write!(f, "allow device {device}"),
            Self::RemoveDevice(device) => write!(f, "remove device {device}"),
            Self::AllowAnyDevice(on) => write!(f, "turn {} that any device may run the app", word(on)),
            Self::RequireTcbUpToDate(on) => write!(f, "turn {} that firmware has to be up to date", word(on)),
            Self::TransferOwnership(to) => write!(f, "make {to} the owner"),
            Self::OfferOwnership(to) => write!(f, "offer the ownership to {to}"),
            Self::AcceptOwnership(by) => write!(f, "accept the ownership as {by}"),
        }
    }
}

impl fmt::Display for AppChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

impl Chain {
    /// The newest event about what a change sets, of each endpoint that tells of one; the newest of all first. They are
    /// hints: what a transaction did is shown by its receipt.
    pub(super) async fn newest_events(
        &self,
        app: Address,
        change: PolicyChange,
        head: BlockRef,
    ) -> Result<Vec<Newest>, ChainError> {
        let query = LogQuery {
            address: app,
            topics: change.topics(),
            from: 0,
            to: head.number,
        };
        let enough = |log: &Log| change.said(log).is_some();
        let found = self
            .hear_of_past(|node| logs::newest_first(node, &query, enough))
            .await?;
        // A pruned endpoint knows less: the newest event of all counts first, and the state decides anyway.
        let newest = found.into_iter().filter_map(|(_, logs)| {
            logs.into_iter().find_map(|log| {
                let place = (log.block_number?, log.log_index?);
                let newest = Newest {
                    said: change.said(&log)?,
                    transaction: log.transaction_hash?,
                    told: 1,
                };
                Some((place, newest))
            })
        });
        let mut newest: Vec<_> = newest.collect();
        newest.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        let mut events: Vec<Newest> = Vec::new();
        for (_, event) in newest {
            match events.iter_mut().find(|known| known.transaction == event.transaction) {
                Some(known) => known.told += 1,
                None => events.push(event),
            }
        }
        Ok(events)
    }

    /// The first of the changes that is not in force after `block`, and the endpoints that agree on it. One round trip.
    pub(super) async fn missing(
        &self,
        wanted: &AppChanges,
        block: &BlockRef,
    ) -> Result<(Option<PolicyChange>, Vec<String>), ChainError> {
        let questions = wanted.questions();
        let mut reading = self.read(block, &questions).await?;
        let answers: Vec<Option<Bytes>> = questions.iter().map(|_| answer(reading.next())).collect();
        Ok((wanted.first_missing(answers), reading.endpoints))
    }

    /// As [`Self::missing`], of a block that lies `deep` below the head. Endpoints without an archive forget a block's state
    /// soon: `None` instead of the endpoints where fewer can still tell than have to agree. What they say counts.
    pub(super) async fn missing_then(
        &self,
        wanted: &AppChanges,
        block: &BlockRef,
        deep: u64,
    ) -> Result<(Option<PolicyChange>, Option<Vec<String>>), ChainError> {
        if deep <= STATE_KEPT {
            let (missing, endpoints) = self.missing(wanted, block).await?;
            return Ok((missing, Some(endpoints)));
        }
        let questions: Vec<Question> = wanted.questions().into_iter().map(Question::optional).collect();
        let mut reading = match self.read(block, &questions).await {
            Ok(reading) => reading,
            Err(error) if is_absence(&error) || matches!(error, ChainError::TooFew { .. }) => return Ok((None, None)),
            Err(error) => return Err(error),
        };
        let facts: Vec<Fact> = questions.iter().map(|_| reading.next()).collect();
        if facts.iter().any(|fact| matches!(fact, Fact::NotOffered)) {
            return Ok((None, None));
        }
        let missing = wanted.first_missing(facts.into_iter().map(answer));
        Ok((missing, Some(reading.endpoints)))
    }

    /// Whether all changes are in force after `block`. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn holds(&self, wanted: &AppChanges, block: &BlockRef) -> Result<bool, ChainError> {
        Ok(self.missing(wanted, block).await?.0.is_none())
    }
}

/// Blocks of which every endpoint still has the state; full nodes keep 128.
const STATE_KEPT: u64 = 100;

/// The bytes of an answer; a refusal has none.
fn answer(fact: Fact) -> Option<Bytes> {
    match fact {
        Fact::Bytes(bytes) => Some(bytes),
        Fact::Reverted(_) | Fact::NotOffered => None,
    }
}

impl Call {
    /// `addComposeHash(bytes32)` on `app`: 36 bytes of calldata.
    pub fn add_compose_hash(app: Address, hash: B256) -> Self {
        PolicyChange::AddComposeHash(hash).call(app)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
