//! The questions that show what a fallback handler is and whether a contract takes signatures that nobody made, and what
//! their answers mean. Sends nothing.
//!
//! A contract that wants to deceive can tell these questions from others; what they find is there, what they do not find
//! may be all the same. So code that is known counts, and an answer only ever makes things worse.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;

use super::deployments;
use super::strangers::Obedient;
use crate::abi::app::DstackApp as A;
use crate::abi::erc1271::{ByHash, ByMessage};
use crate::abi::kinds::Kinds as K;
use crate::abi::kms::DstackKms;
use crate::abi::timelock::TimelockController as T;
use crate::chain::{BlockRef, ChainError, Fact, Question, Reading};

/// What a contract returns for a signature that it takes, asked by hash (ERC-1271).
pub(super) const MAGIC: FixedBytes<4> = FixedBytes::new([0x16, 0x26, 0xba, 0x7e]);
/// Magic value of a contract that takes a signature, asked by message (`isValidSignature(bytes,bytes)`).
pub(super) const LEGACY_MAGIC: FixedBytes<4> = FixedBytes::new([0x20, 0xc1, 0x3b, 0x0b]);

/// Whether a fallback handler has to be asked what it is: a listed one is known by its code.
pub(super) fn is_to_be_asked(handler: Address) -> bool {
    deployments::at(handler).is_none_or(|known| !known.contract.is_handler())
}

/// Asks a fallback handler of `safe` what it is.
pub(super) fn handler_questions(handler: Address, safe: Address) -> Vec<Question> {
    let id = B256::ZERO;
    let account = safe;
    vec![
        ask(handler, &K::ownerCall {}),
        ask(handler, &K::pendingOwnerCall {}),
        ask(handler, &K::adminCall {}),
        ask(handler, &K::hasRoleCall { role: id, account }),
        ask(handler, &K::isModuleEnabledCall { module: safe }),
        ask(handler, &A::allowAnyDeviceCall {}),
        ask(handler, &A::allowedComposeHashesCall { composeHash: id }),
        ask(handler, &DstackKms::registeredAppsCall { appId: safe }),
        ask(handler, &T::getMinDelayCall {}),
        ask(handler, &T::getTimestampCall { id }),
        ask(handler, &K::delayCall {}),
        ask(handler, &K::GRACE_PERIODCall {}),
        ask(handler, &K::txCooldownCall {}),
        ask(handler, &K::queueNonceCall {}),
        ask(handler, &K::COUNTING_MODECall {}),
    ]
}

/// What the answers to [`handler_questions`] mean.
pub(super) fn obedient(facts: &mut Reading, safe: Address) -> Option<Obedient> {
    let owner = facts.next().value::<K::ownerCall>();
    let heir = facts.next().value::<K::pendingOwnerCall>();
    let admin = facts.next().value::<K::adminCall>();
    let has_role = facts.next().value::<K::hasRoleCall>() == Some(true);
    let is_module = facts.next().value::<K::isModuleEnabledCall>() == Some(true);
    let any_device = facts.next().value::<A::allowAnyDeviceCall>().is_some();
    let hashes = facts.next().value::<A::allowedComposeHashesCall>().is_some();
    let registers = facts.next().value::<DstackKms::registeredAppsCall>().is_some();
    let min_delay = facts.next().value::<T::getMinDelayCall>().is_some();
    let operations = facts.next().value::<T::getTimestampCall>().is_some();
    let delay = facts.next().value::<K::delayCall>().is_some();
    let grace = facts.next().value::<K::GRACE_PERIODCall>().is_some();
    let cooldown = facts.next().value::<K::txCooldownCall>().is_some();
    let queue = facts.next().value::<K::queueNonceCall>().is_some();
    let counts = facts.next().value::<K::COUNTING_MODECall>().is_some();
    let obeys = [owner, heir, admin].contains(&Some(safe)) || has_role || is_module;
    [
        (any_device && hashes, Obedient::App),
        (registers && owner.is_some(), Obedient::Kms),
        (min_delay && operations || delay && grace, Obedient::Timelock),
        (cooldown && queue, Obedient::Delay),
        (counts, Obedient::Governor),
        (obeys, Obedient::Subject),
    ]
    .into_iter()
    .find_map(|(is_so, kind)| is_so.then_some(kind))
}

/// Asks an owner of `safe` about two signatures that nobody made, each in both forms of the question: an empty one, and
/// one by a key that everybody can compute. What is asked about depends on the block, so that no contract was made for it.
pub(super) fn signature_questions(owner: Address, safe: Address, block: &BlockRef) -> Vec<Question> {
    let hash = keccak256([owner.as_slice(), safe.as_slice(), block.hash.as_slice()].concat());
    let message = Bytes::copy_from_slice(hash.as_slice());
    let ask = |hash: B256, message: &Bytes, by_hash: Bytes, by_message: Bytes| {
        let (one, other) = (
            ByHash::isValidSignatureCall {
                hash,
                signature: by_hash,
            },
            ByMessage::isValidSignatureCall {
                message: message.clone(),
                signature: by_message,
            },
        );
        [ask(owner, &one).from(safe), ask(owner, &other).from(safe)]
    };
    let strangers = |signed: B256| strangers_signature(hash, signed);
    let empty = ask(hash, &message, Bytes::new(), Bytes::new());
    let signed = ask(hash, &message, strangers(hash), strangers(keccak256(&message)));
    empty.into_iter().chain(signed).collect()
}

/// Whether an owner took any of them.
pub(super) fn takes_anything(facts: &mut Reading) -> bool {
    let mut took = false;
    for _ in 0..2 {
        took |= facts.next().value::<ByHash::isValidSignatureCall>() == Some(MAGIC);
        took |= facts.next().value::<ByMessage::isValidSignatureCall>() == Some(LEGACY_MAGIC);
    }
    took
}

/// A signature of `signed` by the key that `seed` itself is; nothing in the rare case that it is none.
fn strangers_signature(seed: B256, signed: B256) -> Bytes {
    let key = PrivateKeySigner::from_bytes(&seed).ok();
    let signature = key.and_then(|key| key.sign_hash_sync(&signed).ok());
    signature.map_or_else(Bytes::new, |signature| signature.as_bytes().into())
}

/// A question to code that may be anybody's: an endpoint that gives up on it is not set aside.
pub(super) fn ask<C: SolCall>(to: Address, call: &C) -> Question {
    Question::call(to, call).optional()
}

/// Owners that were looked at already, as owners of which Safe.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeSet<(Address, Address)>);

impl Seen {
    /// Whether this one is new, and not one too many.
    pub(super) fn admit(&mut self, owner: Address, of: Address, most: usize) -> bool {
        self.0.len() < most && self.0.insert((owner, of))
    }
}

/// The bytes of code that an owner has, if it has any.
pub(super) fn code(fact: &Fact) -> Option<Bytes> {
    Some(fact.bytes()).filter(|code| !code.is_empty())
}

/// The address in the low bytes of a slot, unless it is zero. Some endpoints leave leading zeros out.
pub(super) fn address_in(facts: &mut Reading) -> Result<Option<Address>, ChainError> {
    let bytes = facts.next().bytes();
    let Some(word) = U256::try_from_be_slice(&bytes) else {
        return Err(ChainError::Impossible {
            endpoint: facts.endpoints.first().cloned().unwrap_or_default(),
            method: "eth_getStorageAt".to_owned(),
            what: format!("{} bytes in one slot", bytes.len()),
        });
    };
    Ok(Some(Address::from_word(word.into())).filter(|address| !address.is_zero()))
}
