//! The app's contract (DstackApp, both ownership variants) and the KMS contract (DstackKms), read at one block.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes, FixedBytes, b256, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::other_app::{Asked, Clue};
use super::other_policy::OtherPolicy;
use super::read::{Fact, Question, Reading};
use super::rpc::{Ask, RawBlock, printable};
use super::{BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp as A;
use crate::abi::app::IAppAuth::AppBootInfo;
use crate::abi::kms::DstackKms as K;
use crate::abi::old_kms::{OldApp as O, OldKms as K2};

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct AppQuery {
    /// DstackApp = app id.
    pub app: Address,
    /// DstackKms, where known.
    pub kms: Option<Address>,
    /// Compose hash to ask about.
    pub hash: Option<B256>,
    /// Compose hash that runs, to be asked about besides.
    pub running: Option<B256>,
    /// Device to ask about.
    pub device: Option<B256>,
    /// OS image to ask about.
    pub os_image: Option<B256>,
    /// Whether to ask how it allows a hash, where it may be none of the apps whose owner does.
    pub kind: bool,
}

/// The app's contract at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppState {
    /// The block everything was read at.
    pub block: BlockRef,
    /// Address.
    pub app: Address,
    /// keccak256 of the code at the address.
    pub code_hash: B256,
    /// ERC-1967 implementation, if the slot is set.
    pub implementation: Option<Address>,
    /// keccak256 of the implementation's code.
    pub implementation_code_hash: Option<B256>,
    /// Answers ERC-165 for the management interface (0x8fd37527), or, on apps before June 2025, lets its owner call the
    /// functions of it all the same.
    pub manages_hashes: bool,
    /// `owner()`.
    pub owner: Address,
    /// What stands at the owner's address.
    pub owner_kind: OwnerKind,
    /// `None`: one-step ownership, no such function. `Some(zero)`: two-step, nobody pending.
    pub pending_owner: Option<Address>,
    /// `allowedComposeHashes(hash)`, when asked.
    pub hash_allowed: Option<bool>,
    /// `allowedComposeHashes(running)`, when asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_allowed: Option<bool>,
    /// `allowedDeviceIds(device)`, when asked.
    pub device_allowed: Option<bool>,
    /// `allowAnyDevice()`.
    pub any_device: bool,
    /// `version()`; older apps have none.
    pub version: Option<u64>,
    /// `requireTcbUpToDate()`; older apps have none.
    pub require_tcb_up_to_date: Option<bool>,
    /// `DstackKms.registeredApps(app)`, when a KMS was given.
    pub registered: Option<bool>,
    /// `DstackKms.allowedOsImages(os_image)`, when a KMS and an image were given; `None` also where it has no such function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_image_allowed: Option<bool>,
    /// `isAppAllowed`, as if the hash were allowed already, when a hash and device were given: by the KMS's contract when
    /// that and the OS image are known, else by the app's.
    pub preflight: Option<Preflight>,
    /// How it allows a hash, where its owner's call to it is not what does; only where it was just read.
    #[serde(skip)]
    pub other_policy: Option<OtherPolicy>,
}

/// What stands at an address that owns an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// The zero address: renounced.
    Nobody,
    /// No code.
    Eoa,
    /// No code of its own, delegates to a contract by EIP-7702.
    DelegatedEoa,
    /// A contract.
    Contract,
}

impl fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Eoa => "a key",
            Self::DelegatedEoa => "a key that delegates to a contract",
            Self::Contract => "a contract",
        })
    }
}

/// The KMS's own answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// Whether the KMS would hand out keys.
    pub allowed: bool,
    /// Its reason, escaped.
    pub reason: String,
    /// Whether it was asked as if the hash were allowed already; otherwise the endpoint has no state override.
    pub as_if_allowed: bool,
}

/// ERC-165 identifier of the four functions that add and remove hashes and devices.
const MANAGEMENT_INTERFACE: FixedBytes<4> = FixedBytes::new([0x8f, 0xd3, 0x75, 0x27]);
/// Where an ERC-1967 proxy keeps its implementation: keccak256("eip1967.proxy.implementation") - 1.
pub(crate) const IMPLEMENTATION_SLOT: B256 = b256!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
/// What an account that delegates by EIP-7702 has as code, before the address.
const DELEGATION_PREFIX: [u8; 3] = [0xef, 0x01, 0x00];
/// What the KMS is told of the machine's firmware: the best that it can be.
const TCB_STATUS: &str = "UpToDate";

impl Chain {
    /// Reads the app's contract, its owner and the KMS's view at the newest agreed block. Three round trips: the head,
    /// the state, and the code of what the state names; two when an earlier answer named the same.
    ///
    /// # Errors
    /// See [`ChainError`]; a contract without the functions of a DstackApp is [`ChainError::NotAnApp`].
    pub async fn app(&self, query: &AppQuery) -> Result<AppState, ChainError> {
        let block = self.head().await?;
        self.read_app(query, block).await
    }

    /// Reads the app's contract, its owner and the KMS's view at `block`. One round trip where owner and implementation
    /// are still those of `then`, an earlier reading.
    ///
    /// # Errors
    /// As [`Self::app`].
    pub async fn app_at(&self, query: &AppQuery, then: &AppState, block: BlockRef) -> Result<AppState, ChainError> {
        self.guess().codes = then.implementation.into_iter().chain([then.owner]).collect();
        self.read_app(query, block).await
    }

    /// The endpoints whose newest state does not allow `hash`, of those that are not behind `seen`: on the block that all have
    /// it may be allowed still, and one of them is enough to know that it was taken away. One round trip.
    ///
    /// # Errors
    /// None answered.
    pub async fn denied_by(&self, app: Address, hash: B256, seen: BlockRef) -> Result<Vec<String>, ChainError> {
        let data = Bytes::from(A::allowedComposeHashesCall { composeHash: hash }.abi_encode());
        let asks = [
            Ask::block_at("latest"),
            Ask::new("eth_call", json!([{ "to": app, "data": data }, "latest"])),
        ];
        let found = self.hear(async |node| {
            let mut replies = node.ask(&asks).await?;
            let top = replies.take::<RawBlock>()?.sealed();
            let said: Option<Bytes> = replies.take_if_offered()?;
            let denies = said.is_some_and(|said| bool::abi_decode_validate(&said) == Ok(false));
            Ok(denies && top.is_some_and(|top| top.number >= seen.number))
        });
        let found = found.await?.into_iter().filter(|(_, denies)| *denies);
        Ok(found.map(|(node, _)| node.label().to_owned()).collect())
    }

    pub(super) async fn read_app(&self, query: &AppQuery, block: BlockRef) -> Result<AppState, ChainError> {
        let guessed = self.guess().codes.clone();
        let mut questions = query.questions();
        questions.extend(guessed.iter().copied().map(Question::code));
        let mut facts = self.read(&block, &questions).await?;
        let code = facts.next().bytes();
        if code.is_empty() {
            return Err(query.not_an_app("there is no code at this address"));
        }
        let implementation = implementation(&facts.next().bytes());
        let clue = query.kind.then(|| Clue::of(&mut facts));
        let named = self.named(query, &mut facts);
        if let Err(ChainError::NotAKms { address, chain }) = named {
            return Err(self.what_kms(query.app, address, chain).await);
        }
        let asked = Asked {
            app: query.app,
            owner: named.as_ref().ok().map(|app| app.owner),
            hash: query.hash,
        };
        let other_policy = match clue {
            Some(clue) => self.other_policy(&asked, clue, &block).await?,
            None => None,
        };
        let mut owner = match (named, other_policy) {
            (Err(ChainError::NotAnApp { address, .. }), Some(policy)) => {
                return Err(ChainError::OtherPolicy { address, policy });
            }
            (named, other_policy) => AppState { other_policy, ..named? },
        };
        let own_id = query.asks_for_id().then(|| facts.next().value::<O::appIdCall>());
        let own_id = own_id.flatten();
        let named: Vec<Address> = implementation.into_iter().chain([owner.owner]).collect();
        let mut codes = facts;
        if named != guessed {
            let questions: Vec<Question> = named.iter().copied().map(Question::code).collect();
            codes = self.read(&block, &questions).await?;
            self.guess().codes = named;
        }
        let implementation_code_hash = implementation.map(|_| keccak256(codes.next().bytes()));
        let owner_kind = OwnerKind::of(owner.owner, &codes.next().bytes());
        owner.block = block;
        self.ask_as_older(query, &mut owner, own_id).await?;
        Ok(AppState {
            code_hash: keccak256(&code),
            implementation,
            implementation_code_hash,
            owner_kind,
            ..owner
        })
    }

    /// What apps of before July 2025 do not say as later ones do: that they have the functions for hashes and devices, and
    /// who they are to a KMS. No round trip for later ones.
    async fn ask_as_older(
        &self,
        query: &AppQuery,
        app: &mut AppState,
        own_id: Option<Address>,
    ) -> Result<(), ChainError> {
        let block = app.block;
        if !app.manages_hashes && !app.owner.is_zero() {
            // Nothing is ever on a list by the name of zero, and the owner may try.
            let zero = B256::ZERO;
            let hash = Question::call(query.app, &A::addComposeHashCall { composeHash: zero });
            let device = Question::call(query.app, &A::addDeviceCall { deviceId: zero });
            let questions = [hash, device].map(|question| question.from(app.owner).optional());
            let mut facts = self.read(&block, &questions).await?;
            app.manages_hashes = questions.iter().all(|_| matches!(facts.next(), Fact::Bytes(_)));
        }
        let other = own_id.filter(|id| *id != query.app);
        if let Some(questions) = other.and_then(|id| query.boot_questions(id)) {
            app.preflight = Some(preflight(&mut self.read(&block, &questions).await?));
        }
        Ok(())
    }

    /// Why a contract does not answer as a DstackKms does.
    async fn what_kms(&self, app: Address, address: Address, chain: u64) -> ChainError {
        let by_id = Question::call(address, &K2::appsCall { appId: app }).optional();
        let asked = match self.head().await {
            Ok(head) => self.read(&head, &[by_id]).await,
            Err(error) => Err(error),
        };
        match asked.map(|mut facts| facts.next().value::<K2::appsCall>().is_some()) {
            Ok(true) => ChainError::AppsById { address, chain },
            Ok(false) => ChainError::NotAKms { address, chain },
            Err(error) => error,
        }
    }

    /// Everything that the app and the KMS answer by functions, in the order of [`AppQuery::questions`].
    fn named(&self, query: &AppQuery, facts: &mut Reading) -> Result<AppState, ChainError> {
        let manages_hashes = facts.next().value::<A::supportsInterfaceCall>().unwrap_or_default();
        let owner = facts.next().value::<A::ownerCall>();
        let pending_owner = facts.next().value::<A::pendingOwnerCall>();
        let any_device = facts.next().value::<A::allowAnyDeviceCall>();
        let version = facts.next().value::<A::versionCall>();
        let require_tcb_up_to_date = facts.next().value::<A::requireTcbUpToDateCall>();
        let hash_allowed = query.hash.map(|_| facts.next().value::<A::allowedComposeHashesCall>());
        let running_allowed = query
            .running
            .map(|_| facts.next().value::<A::allowedComposeHashesCall>());
        let device_allowed = query.device.map(|_| facts.next().value::<A::allowedDeviceIdsCall>());
        let registered = query.kms.map(|_| facts.next().value::<K::registeredAppsCall>());
        let image = query.kms.zip(query.os_image);
        let os_image_allowed = image.and_then(|_| facts.next().value::<K::allowedOsImagesCall>());
        let preflight = query.boot(query.app).map(|_| preflight(facts));
        let missing = |function: &str| query.not_an_app(&format!("it does not answer `{function}`"));
        Ok(AppState {
            block: BlockRef::default(),
            app: query.app,
            code_hash: B256::ZERO,
            implementation: None,
            implementation_code_hash: None,
            manages_hashes,
            owner: owner.ok_or_else(|| missing("owner()"))?,
            owner_kind: OwnerKind::Nobody,
            pending_owner,
            hash_allowed: required(hash_allowed).ok_or_else(|| missing("allowedComposeHashes(bytes32)"))?,
            running_allowed: required(running_allowed).ok_or_else(|| missing("allowedComposeHashes(bytes32)"))?,
            device_allowed: required(device_allowed).ok_or_else(|| missing("allowedDeviceIds(bytes32)"))?,
            any_device: any_device.ok_or_else(|| missing("allowAnyDevice()"))?,
            version: version.and_then(|version| u64::try_from(version).ok()),
            require_tcb_up_to_date,
            registered: required(registered).ok_or_else(|| self.not_a_kms(query))?,
            os_image_allowed,
            preflight,
            other_policy: None,
        })
    }

    fn not_a_kms(&self, query: &AppQuery) -> ChainError {
        ChainError::NotAKms {
            address: query.kms.unwrap_or_default(),
            chain: self.id(),
        }
    }
}

/// `None`: asked and not answered.
const fn required<T: Copy>(answer: Option<Option<T>>) -> Option<Option<T>> {
    match answer {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

impl OwnerKind {
    pub(crate) fn of(address: Address, code: &[u8]) -> Self {
        if address.is_zero() {
            Self::Nobody
        } else if code.is_empty() {
            Self::Eoa
        } else if code.starts_with(&DELEGATION_PREFIX) {
            Self::DelegatedEoa
        } else {
            Self::Contract
        }
    }
}

impl AppQuery {
    fn questions(&self) -> Vec<Question> {
        let app = self.app;
        let interface = A::supportsInterfaceCall {
            interfaceId: MANAGEMENT_INTERFACE,
        };
        let mut list = vec![Question::code(app), Question::slot(app, IMPLEMENTATION_SLOT)];
        list.extend(self.kind.then(|| Clue::questions(app)).into_iter().flatten());
        list.extend([
            Question::call(app, &interface),
            Question::call(app, &A::ownerCall {}),
            Question::call(app, &A::pendingOwnerCall {}),
            Question::call(app, &A::allowAnyDeviceCall {}),
            Question::call(app, &A::versionCall {}),
            Question::call(app, &A::requireTcbUpToDateCall {}),
        ]);
        let hashes = self.hash.into_iter().chain(self.running);
        let hashes = hashes.map(|hash| A::allowedComposeHashesCall { composeHash: hash });
        let device = self.device.map(|id| A::allowedDeviceIdsCall { deviceId: id });
        list.extend(hashes.map(|call| Question::call(app, &call)));
        list.extend(device.map(|call| Question::call(app, &call)));
        let known = K::registeredAppsCall { appId: app };
        list.extend(self.kms.map(|kms| Question::call(kms, &known)));
        list.extend(self.kms.zip(self.os_image).map(|(kms, image)| {
            let call = K::allowedOsImagesCall { osImageHash: image };
            Question::call(kms, &call).optional()
        }));
        list.extend(self.boot_questions(app).into_iter().flatten());
        list.extend(
            self.asks_for_id()
                .then(|| Question::call(app, &O::appIdCall {}).optional()),
        );
        list
    }
    /// The question a KMS asks when the CVM of the app with this id boots: whether the endpoint honours an override of
    /// state and the app keeps its hashes in that slot, the answer with it, and the answer as it is.
    fn boot_questions(&self, id: Address) -> Option<[Question; 3]> {
        let (hash, boot) = self.boot(id)?;
        let (app, judge) = (self.app, self.judge());
        let (slot, yes) = (allowed_slot(hash), B256::with_last_byte(1));
        let control = A::allowedComposeHashesCall { composeHash: hash };
        Some([
            Question::call(app, &control).assuming(app, slot, yes),
            Question::call(judge, &boot).assuming(app, slot, yes),
            Question::call(judge, &boot),
        ])
    }
    /// Who is asked about a boot: the KMS's contract, or the app's when the KMS or the OS image is not known.
    fn judge(&self) -> Address {
        self.kms.filter(|_| self.os_image.is_some()).unwrap_or(self.app)
    }
    /// Whether the app's own word counts, which depends on how it calls itself.
    fn asks_for_id(&self) -> bool {
        self.judge() == self.app && self.boot(self.app).is_some()
    }
    fn boot(&self, id: Address) -> Option<(B256, A::isAppAllowedCall)> {
        let (hash, device) = (self.hash?, self.device?);
        let info = AppBootInfo {
            appId: id,
            composeHash: hash,
            instanceId: Address::ZERO,
            deviceId: device,
            mrAggregated: B256::ZERO,
            mrSystem: B256::ZERO,
            osImageHash: self.os_image.unwrap_or_default(),
            tcbStatus: TCB_STATUS.to_owned(),
            advisoryIds: Vec::new(),
        };
        Some((hash, A::isAppAllowedCall { bootInfo: info }))
    }
    fn not_an_app(&self, why: &str) -> ChainError {
        ChainError::NotAnApp {
            address: self.app,
            why: why.to_owned(),
        }
    }
}

/// Where `allowedComposeHashes[hash]` is: the first variable of the contract, whose bases keep theirs elsewhere
/// (ERC-7201).
fn allowed_slot(hash: B256) -> B256 {
    keccak256([hash, B256::ZERO].concat())
}

pub(super) fn implementation(slot: &[u8]) -> Option<Address> {
    let word = B256::try_from(slot).ok()?;
    Some(Address::from_word(word)).filter(|address| !address.is_zero())
}

fn preflight(facts: &mut Reading) -> Preflight {
    let as_if_allowed = facts.next().value::<A::allowedComposeHashesCall>() == Some(true);
    let (with, without) = (facts.next(), facts.next());
    let answer = if as_if_allowed { with } else { without };
    let (allowed, reason) = match (answer.value::<A::isAppAllowedCall>(), answer) {
        (Some(said), _) => (said.isAllowed, printable(&said.reason)),
        (None, Fact::Reverted(why)) => (false, why.reason),
        (None, _) => (false, "no answer".to_owned()),
    };
    Preflight {
        allowed,
        reason,
        as_if_allowed,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::hex;

    use super::*;

    #[test]
    fn o7_an_account_that_delegates_is_not_a_contract() {
        let owner = Address::repeat_byte(1);
        let delegation = hex!("ef0100aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(OwnerKind::of(owner, &delegation), OwnerKind::DelegatedEoa);
        assert_eq!(OwnerKind::of(owner, &[]), OwnerKind::Eoa);
        assert_eq!(OwnerKind::of(owner, &[0x60, 0x80]), OwnerKind::Contract);
    }

    #[test]
    fn o4_an_app_that_the_zero_address_owns_belongs_to_nobody() {
        assert_eq!(OwnerKind::of(Address::ZERO, &[]), OwnerKind::Nobody);
        assert_eq!(OwnerKind::of(Address::ZERO, &[0x60]), OwnerKind::Nobody);
    }

    #[test]
    fn the_implementation_slot_is_the_one_of_erc_1967() {
        let slot = alloy::primitives::U256::from_be_bytes(keccak256("eip1967.proxy.implementation").0);
        assert_eq!(
            IMPLEMENTATION_SLOT.0,
            (slot - alloy::primitives::U256::from(1)).to_be_bytes::<32>()
        );
        assert_eq!(implementation(&B256::ZERO[..]), None);
        assert_eq!(implementation(&[]), None);
    }
}
