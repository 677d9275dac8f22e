//! Putting a transaction and its signatures where the other owners see them. All of it may be done again: what is
//! there stays, and an answer that got lost is settled by reading.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};
use serde_json::{Value, json};

use super::super::{OwnerSignature, SafeTx, approvals::SignatureSet};
use super::{Service, ServiceError, ServiceTx, record};
use crate::text::is_deceptive;

/// Longest origin that the service takes, characters.
const MAX_ORIGIN: usize = 200;
/// What proposes, as wallets show it.
const NAME: &str = "countersign";
/// The largest whole number that JSON's readers agree on (RFC 8259, 6).
const MAX_EXACT: u64 = (1 << 53) - 1;

/// What wallets show as the source of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// What the service holds after a [`Service::publish`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Published {
    /// Whether the proposal was not there before.
    pub created: bool,
    /// Whether wallets show it.
    pub trusted: bool,
    /// Owners whose confirmation is there, from whomever it came.
    pub confirmed: BTreeSet<Address>,
    /// Owners whose signature was given and is not there.
    pub missing: BTreeSet<Address>,
    /// What the service did not take, and why.
    pub refused: Vec<(Address, ServiceError)>,
    /// The record as it is there now; its hash is right.
    pub record: ServiceTx,
}

impl Origin {
    /// An origin with a note, which wallets show. The service cuts out markup and takes little text; so does this.
    pub fn note(note: &str) -> Self {
        let plain = |character: &char| !matches!(character, '<' | '>' | '&') && !is_deceptive(*character);
        let mut note: String = note.chars().filter(plain).take(MAX_ORIGIN).collect();
        loop {
            let text = json!({ "name": NAME, "note": note }).to_string();
            if text.chars().count() <= MAX_ORIGIN || note.pop().is_none() {
                return Self(text);
            }
        }
    }
    /// The JSON text, as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether a record has these words: a service writes the JSON anew.
    fn is_that_of(&self, record: &ServiceTx) -> bool {
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let found = record.origin.as_deref().unwrap_or_default();
        let own = record::line(&self.0);
        found == own || read(found).is_some_and(|found| Some(found) == read(&own))
    }
}

impl Published {
    /// What the record says of itself that is not from here, in words: another proposer than `proposers`, the owners whose
    /// signatures were given, or than the delegate among them, and another origin.
    pub fn foreign(&self, origin: &Origin, proposers: &BTreeSet<Address>) -> Option<String> {
        let record = &self.record;
        let named = record.delegate.or(record.proposer);
        let proposer = named.filter(|named| !proposers.contains(named));
        let proposer = proposer.map(|named| format!("it names {named} as who proposed it"));
        let said = record.origin.as_deref().filter(|_| !origin.is_that_of(record));
        let said = said.map(|said| format!("it says of itself: {said}"));
        let all: Vec<String> = proposer.into_iter().chain(said).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// A signature of a Safe transaction.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Whose: an owner's or a delegate's.
    pub sender: Address,
    /// As it stands alone.
    pub signature: &'a OwnerSignature,
}

impl Service {
    /// `POST /api/v2/safes/{safe}/multisig-transactions/`: proposes `tx` with the signature of `sender`, an owner or a
    /// delegate. Doing it again adds the signature to what is there; it replaces nothing.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::may_have_happened`] tells whether to read before doing it again.
    pub async fn propose(&self, tx: &SafeTx, signed: Signed<'_>, origin: &Origin) -> Result<(), ServiceError> {
        let safe = tx.domain().safe.to_string();
        let body = proposal(tx, signed, origin);
        let reply = self
            .post(&["v2", "safes", &safe, "multisig-transactions"], &body)
            .await?;
        reply.created()
    }
    /// `POST /api/v1/multisig-transactions/{safe_tx_hash}/confirmations/`: adds one owner's signature.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::may_have_happened`] tells whether to read before doing it again.
    pub async fn confirm(&self, hash: B256, signature: &OwnerSignature) -> Result<(), ServiceError> {
        let path = ["v1", "multisig-transactions", &hash.to_string(), "confirmations"];
        let body = json!({ "signature": signature.to_bytes() });
        self.post(&path, &body).await?.created()
    }
    /// Sees to it that `tx` is at the service with all of `signatures`: reads, proposes what is not there or was signed
    /// by nobody with the first signature that the service takes, confirms the others that are missing, and reads again. May be done
    /// again at any time, also by several people at once.
    ///
    /// # Errors
    /// See [`ServiceError`]: [`ServiceError::Tampered`] if something else stands there under this hash,
    /// [`ServiceError::Unsettled`] if an answer was lost and reading did not show the signature.
    pub async fn publish(
        &self,
        tx: &SafeTx,
        signatures: &SignatureSet,
        origin: &Origin,
    ) -> Result<Published, ServiceError> {
        if signatures.hash() != tx.hash() {
            return Err(ServiceError::OtherSignatures {
                found: signatures.hash(),
                expected: tx.hash(),
            });
        }
        let before = self.record_of(tx).await?;
        let mut there: BTreeSet<Address> = before.iter().flat_map(ServiceTx::confirmed).collect();
        let mut waiting = in_order(signatures);
        let mut refused = Vec::new();
        // What is there and nobody has signed is a stranger's, and so are the words in it: a proposal takes their place,
        // which a confirmation does not.
        if before.as_ref().is_none_or(|record| !record.trusted) {
            let (owner, before) = self.propose_first(tx, &mut waiting, origin).await?;
            there.insert(owner);
            refused = before;
        }
        for (owner, signature) in waiting {
            if there.contains(&owner) {
                continue;
            }
            let outcome = self.confirm(tx.hash(), signature).await;
            match self.settled(tx, owner, outcome).await {
                Ok(()) => {}
                Err(refusal @ ServiceError::Refused(_)) => refused.push((owner, refusal)),
                Err(error) => return Err(error),
            }
        }
        let after = self.record_of(tx).await?.ok_or_else(|| gone(tx))?;
        let confirmed: BTreeSet<Address> = after.confirmed().collect();
        let given = signatures.by_owner().keys();
        Ok(Published {
            created: before.is_none(),
            trusted: after.trusted,
            missing: given.filter(|owner| !confirmed.contains(*owner)).copied().collect(),
            confirmed,
            refused,
            record: after,
        })
    }

    /// Sees to it that `tx` is at the service and shown in wallets, by the signature of a delegate, which is no owner's
    /// agreement: proposes it unless somebody who may has done so. Whether it was proposed now. May be done again.
    ///
    /// # Errors
    /// See [`Self::publish`].
    pub async fn propose_as_delegate(
        &self,
        tx: &SafeTx,
        signed: Signed<'_>,
        origin: &Origin,
    ) -> Result<bool, ServiceError> {
        // Somebody agreed to it, for however long that took.
        self.commit();
        if self.record_of(tx).await?.is_some_and(|record| record.trusted) {
            return Ok(false);
        }
        let error = match self.propose(tx, signed, origin).await {
            Err(error) if error.may_have_happened() => error,
            certain => return certain.map(|()| true),
        };
        match self.record_of(tx).await {
            Ok(Some(record)) if record.trusted => Ok(true),
            Err(tampered @ ServiceError::Tampered { .. }) => Err(tampered),
            _ => Err(ServiceError::Unsettled {
                what: format!("the proposal of {}", signed.sender),
                source: Box::new(error),
            }),
        }
    }

    /// Proposes with the first of `waiting` that the service takes; gives whose it was and which were refused before, and
    /// leaves the later ones.
    async fn propose_first(
        &self,
        tx: &SafeTx,
        waiting: &mut Vec<(Address, &OwnerSignature)>,
        origin: &Origin,
    ) -> Result<(Address, Vec<(Address, ServiceError)>), ServiceError> {
        let mut refused: Vec<(Address, ServiceError)> = Vec::new();
        while !waiting.is_empty() {
            let (owner, signature) = waiting.remove(0);
            let sender = owner;
            let outcome = self.propose(tx, Signed { sender, signature }, origin).await;
            match self.settled(tx, owner, outcome).await {
                Ok(()) => return Ok((owner, refused)),
                Err(refusal @ ServiceError::Refused(_)) => refused.push((owner, refusal)),
                Err(error) => return Err(error),
            }
        }
        Err(refused.pop().map_or(ServiceError::NoSignature, |(_, refusal)| refusal))
    }

    /// `outcome`, or what reading shows of it where it is not known.
    async fn settled(
        &self,
        tx: &SafeTx,
        owner: Address,
        outcome: Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let error = match outcome {
            Err(error) if error.may_have_happened() => error,
            certain => return certain,
        };
        match self.record_of(tx).await {
            Ok(Some(record)) if record.confirmed().any(|one| one == owner) => Ok(()),
            Err(tampered @ ServiceError::Tampered { .. }) => Err(tampered),
            _ => Err(ServiceError::Unsettled {
                what: format!("the signature of {owner}"),
                source: Box::new(error),
            }),
        }
    }

    /// What the service holds under the hash of `tx`, if it is `tx`.
    async fn record_of(&self, tx: &SafeTx) -> Result<Option<ServiceTx>, ServiceError> {
        let hash = tx.hash();
        let Some(record) = self.transaction(hash).await? else {
            return Ok(None);
        };
        match record.computed_hash(tx.domain()) {
            Ok(_) => Ok(Some(record)),
            Err(why) => Err(ServiceError::Tampered { hash, why: Some(why) }),
        }
    }
}

fn gone(tx: &SafeTx) -> ServiceError {
    let request = format!("GET {}", tx.hash());
    ServiceError::Unexpected {
        request,
        status: 404,
        what: "the service took the proposal and does not know it".to_owned(),
    }
}

/// The signatures in the order in which to post them: those first that prove themselves, because a proposal needs one
/// that the service takes.
fn in_order(signatures: &SignatureSet) -> Vec<(Address, &OwnerSignature)> {
    let all = signatures.by_owner().iter();
    let mut all: Vec<_> = all.map(|(owner, signature)| (*owner, signature)).collect();
    all.sort_by_key(|(owner, signature)| (!signature.proves_itself(), *owner));
    all
}

/// The body of a proposal, as the official client writes it.
fn proposal(tx: &SafeTx, signed: Signed<'_>, origin: &Origin) -> Value {
    let Signed { sender, signature } = signed;
    let fields = tx.fields();
    json!({
        "to": fields.to.to_string(),
        "value": fields.value.to_string(),
        "data": fields.data,
        "operation": u8::from(fields.operation),
        "safeTxGas": fields.safe_tx_gas.to_string(),
        "baseGas": fields.base_gas.to_string(),
        "gasPrice": fields.gas_price.to_string(),
        "gasToken": fields.gas_token.to_string(),
        "refundReceiver": fields.refund_receiver.to_string(),
        "nonce": number(fields.nonce),
        "contractTransactionHash": tx.hash(),
        "sender": sender.to_string(),
        "signature": signature.to_bytes(),
        "origin": origin.as_str(),
    })
}

/// A number where every reader of JSON reads the same one, otherwise its digits.
fn number(value: U256) -> Value {
    match u64::try_from(value) {
        Ok(small) if small <= MAX_EXACT => small.into(),
        _ => value.to_string().into(),
    }
}
