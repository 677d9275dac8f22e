//! What the service says, read leniently where it does not matter and strictly where it does. Pure.
//!
//! Numbers may be texts (v2) or numbers (v1), empty data is null or `0x`, no token is null or the zero address. Fields
//! that nobody should believe (`dataDecoded`, `isSuccessful`, `confirmationsRequired`) are not read at all.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use serde_json::Value;

use super::super::{
    Operation, OwnerSignature, SafeDomain, SafeTx, SafeTxError, SafeTxFields, SignatureError,
    collect::{Claims, Offer},
};
use crate::text::shorten;

/// Longest text of others that is kept, characters.
const LINE: usize = 256;
/// Most confirmations of one transaction that are read; more than any Safe has owners.
const MAX_CONFIRMATIONS: usize = 256;
/// Bytes of a signature's entry.
const ENTRY: usize = 65;
/// Bytes to which some writers fill up a contract's signature.
const WORD: usize = 32;

/// A transaction as the service tells it. Nothing in it is believed before [`Self::accept`] or
/// [`Self::computed_hash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTx {
    /// The Safe.
    pub safe: Address,
    /// The ten fields.
    pub fields: SafeTxFields,
    /// What the service says their hash is.
    pub claimed_hash: B256,
    /// The owner who proposed it, or in whose name a delegate did.
    pub proposer: Option<Address>,
    /// The delegate who proposed it.
    pub delegate: Option<Address>,
    /// Whether the service has seen a signature of an owner or a delegate. Without one, wallets do not show it.
    pub trusted: bool,
    /// Whether the service says that it was executed. The chain knows; see [`Self::transaction_hash`].
    pub executed: bool,
    /// The Ethereum transaction in which the service says it was executed.
    pub transaction_hash: Option<B256>,
    /// Signatures and approvals that the service has collected.
    pub confirmations: Vec<Confirmation>,
    /// Owners who agreed for sure, once that was looked at ([`prove`](super::prove)).
    pub agreed: Option<BTreeSet<Address>>,
    /// Who or what proposed it, in the proposer's own words, escaped.
    pub origin: Option<String>,
}

/// Each transaction of a list once: one that moves between two pages repeats entries. What any of them says of
/// confirmations counts, so that an entry without them hides nobody's.
pub(super) fn joined(list: Vec<ServiceTx>) -> Vec<ServiceTx> {
    let (mut kept, mut places) = (Vec::<ServiceTx>::new(), BTreeMap::new());
    for tx in list {
        let place = *places.entry(tx.claimed_hash).or_insert(kept.len());
        match kept.get_mut(place).filter(|twin| twin.fields == tx.fields) {
            Some(twin) => twin.add(tx.confirmations),
            None => kept.push(tx),
        }
    }
    kept
}

/// One owner's agreement as the service tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Whose it is said to be.
    pub owner: Address,
    /// The signature, standing alone; there may be none for an approval that the service saw on chain.
    pub signature: Option<Bytes>,
}

/// A Safe as the service tells it. For showing only: a chain knows better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSafe {
    /// The Safe.
    pub address: Address,
    /// Nonce of the next transaction.
    pub nonce: U256,
    /// Signatures that a transaction needs.
    pub threshold: u64,
    /// Owners.
    pub owners: Vec<Address>,
    /// Singleton.
    pub singleton: Address,
    /// Modules.
    pub modules: Vec<Address>,
    /// Fallback handler.
    pub fallback_handler: Option<Address>,
    /// Guard.
    pub guard: Option<Address>,
    /// Module guard.
    pub module_guard: Option<Address>,
    /// Version with the service's decoration, for example `1.4.1+L2`, escaped.
    pub version: Option<String>,
}

/// Somebody who may propose in an owner's name. A delegate's signature makes a proposal visible; it is no agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegate {
    /// The Safe it is for; none means all Safes of the owner.
    pub safe: Option<Address>,
    /// Who may propose.
    pub delegate: Address,
    /// The owner.
    pub delegator: Address,
    /// What the owner calls them, escaped.
    pub label: String,
    /// Until when.
    pub expires: Option<jiff::Timestamp>,
}

/// Why a transaction of the service is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// It is another Safe's.
    #[error("the service sent a transaction of {found}, not of {expected}")]
    OtherSafe {
        /// Whose it is.
        found: Address,
        /// Whose it should be.
        expected: Address,
    },
    /// The fields do not have the hash that they are said to have: one of them was changed.
    #[error("the service says safeTxHash {claimed}, and its fields have {computed}")]
    OtherHash {
        /// What the service says.
        claimed: B256,
        /// What the fields have.
        computed: B256,
    },
    /// Nobody should sign it.
    #[error("the transaction of the service is refused")]
    Rules(#[source] SafeTxError),
}

/// Why a signature that a service shows as an owner's is none of theirs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTheirs {
    /// Another one made it, or for something else.
    #[error("the signature is that of {0}, or one of something else")]
    Of(Address),
    /// It is nobody's.
    #[error(transparent)]
    Nobodys(SignatureError),
}

/// What stands for a transaction is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotATransaction(String);

/// A value that cannot be what it should be, in words.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) String);

impl ServiceTx {
    /// The hash that the fields have in `domain`, if it is the one that the service claims.
    ///
    /// # Errors
    /// Another Safe's, or another hash.
    pub fn computed_hash(&self, domain: &SafeDomain) -> Result<B256, NotAccepted> {
        if self.safe != domain.safe {
            return Err(NotAccepted::OtherSafe {
                found: self.safe,
                expected: domain.safe,
            });
        }
        let computed = self.fields.hash(domain);
        if computed != self.claimed_hash {
            return Err(NotAccepted::OtherHash {
                claimed: self.claimed_hash,
                computed,
            });
        }
        Ok(computed)
    }
    /// The transaction, if its hash is what the service claims and it passes the rules of [`SafeTx::accept`].
    ///
    /// # Errors
    /// See [`NotAccepted`].
    pub fn accept(&self, domain: SafeDomain) -> Result<SafeTx, NotAccepted> {
        self.computed_hash(&domain)?;
        SafeTx::accept(domain, self.fields.clone(), false).map_err(NotAccepted::Rules)
    }
    /// The signatures that can be read; whose they are and whether they count is for
    /// [`SignatureSet::insert`](super::super::approvals::SignatureSet::insert) to find out.
    pub fn signatures(&self) -> Vec<OwnerSignature> {
        let read = self.confirmations.iter().filter_map(Confirmation::read);
        read.filter_map(Result::ok).collect()
    }
    /// Owners whose confirmation is theirs as far as can be told without a chain: a key's signature of the claimed
    /// hash recovers to them, a contract's or an approval names them.
    pub fn confirmed(&self) -> impl Iterator<Item = Address> {
        let own = self.confirmations.iter();
        own.filter(|one| one.is_of_its_owner(self.claimed_hash))
            .map(|one| one.owner)
    }
    /// Owners whom the service names for a signature that is not theirs, and why it is not.
    pub fn not_theirs(&self) -> Vec<(Address, NotTheirs)> {
        let hash = self.claimed_hash;
        let theirs: BTreeSet<Address> = self.confirmed().collect();
        let others = self.confirmations.iter().filter(|one| !theirs.contains(&one.owner));
        let why = |one: &Confirmation| match one.read()?.and_then(|signature| signature.signer(hash)) {
            Ok(signer) => Some((one.owner, NotTheirs::Of(signer))),
            Err(error) => Some((one.owner, NotTheirs::Nobodys(error))),
        };
        others.filter_map(why).collect()
    }
    /// Owners whose keys signed `hash`, whatever the service calls the transaction.
    pub fn signed(&self, hash: B256) -> impl Iterator<Item = Address> {
        let proven = self.confirmations.iter().filter(move |one| {
            let read = one.read().and_then(Result::ok);
            read.is_some_and(|signature| signature.proves_itself()) && one.is_of_its_owner(hash)
        });
        proven.map(|one| one.owner)
    }
    /// Owners who agreed as far as is sure: by [`prove`](super::prove), or before that by the signatures of keys alone.
    pub fn agreed(&self) -> BTreeSet<Address> {
        let looked_at = self.agreed.clone();
        looked_at.unwrap_or_else(|| self.signed(self.claimed_hash).collect())
    }
    /// Owners of whom the service tells an approval or a contract's signature that the chain does not confirm, once that
    /// was looked at.
    pub fn unconfirmed(&self) -> BTreeSet<Address> {
        let Some(agreed) = &self.agreed else {
            return BTreeSet::new();
        };
        self.confirmed().filter(|owner| !agreed.contains(owner)).collect()
    }
    /// Whether it stands in its nonce's way: the service trusts it, and an owner's agreement is why. That somebody may
    /// propose in an owner's name, only the service says, which is not enough.
    pub fn holds_its_nonce(&self) -> bool {
        self.trusted && !self.agreed().is_empty()
    }

    /// Reads one transaction as a service answers it, from a file that somebody kept.
    ///
    /// # Errors
    /// A field is missing or not what it should be.
    pub fn read(value: &Value) -> Result<Self, NotATransaction> {
        Self::parse(value).map_err(|Malformed(what)| NotATransaction(what))
    }
    /// Reads the ten fields from an object that has them by their names, as EIP-712 documents do too.
    ///
    /// # Errors
    /// A field is missing or not what it should be.
    pub fn read_fields(value: &Value) -> Result<SafeTxFields, NotATransaction> {
        let record = Record(value);
        let target = record.needed("to", Record::address);
        let fields = target.and_then(|_| record.fields());
        fields.map_err(|Malformed(what)| NotATransaction(what))
    }
    fn add(&mut self, confirmations: Vec<Confirmation>) {
        let room = MAX_CONFIRMATIONS.saturating_sub(self.confirmations.len());
        let new = confirmations
            .into_iter()
            .filter(|one| !self.confirmations.contains(one));
        let new: Vec<Confirmation> = new.take(room).collect();
        self.confirmations.extend(new);
    }
    /// The signatures that can be read, each with everything that the record says about it: to be compared when they
    /// are merged. Those that no key made are among them only once a chain confirmed them ([`prove`](super::prove)).
    pub fn offers(&self) -> Vec<Offer> {
        let proven = self.agreed.clone().unwrap_or_default();
        let readable = self.confirmations.iter();
        let readable = readable.filter_map(|one| Some((one.owner, one.read()?.ok()?)));
        let readable = readable.filter(|(owner, one)| one.proves_itself() || proven.contains(owner));
        let offer = |(owner, signature)| Offer {
            signature,
            claims: Claims {
                safe_tx_hash: Some(self.claimed_hash),
                safe: Some(self.safe),
                nonce: Some(self.fields.nonce),
                owner: Some(owner),
                fields: Some(Box::new(self.fields.clone())),
                ..Claims::default()
            },
            source: "a record of the Safe Transaction Service",
        };
        readable.map(offer).collect()
    }

    pub(super) fn parse(value: &Value) -> Result<Self, Malformed> {
        let record = Record(value);
        let confirmations = match record.field("confirmations") {
            None => Vec::new(),
            Some(list) => record
                .items(list, "confirmations", MAX_CONFIRMATIONS)?
                .map(Confirmation::parse)
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            safe: record.needed("safe", Record::address)?,
            fields: record.fields()?,
            claimed_hash: match record.word("safeTxHash")? {
                Some(hash) => hash,
                None => record.needed("contractTransactionHash", Record::word)?,
            },
            proposer: record.address("proposer")?,
            delegate: record.address("proposedByDelegate")?,
            trusted: record.flag("trusted").unwrap_or_default(),
            executed: record.flag("isExecuted").unwrap_or_default(),
            transaction_hash: record.word("transactionHash")?,
            confirmations,
            agreed: None,
            origin: record.text("origin").filter(|origin| origin != "{}"),
        })
    }
}

impl Confirmation {
    /// The signature, if there is one; [`SignatureError`] if its bytes are none.
    pub fn read(&self) -> Option<Result<OwnerSignature, SignatureError>> {
        self.signature
            .as_ref()
            .map(|bytes| OwnerSignature::read(without_filling(bytes)))
    }

    pub(super) fn is_of_its_owner(&self, hash: B256) -> bool {
        // Of an approval that it saw on chain a service may keep no signature.
        let Some(read) = self.read() else { return true };
        let Ok(signature) = read else { return false };
        let as_message = match &signature {
            OwnerSignature::Eip712(inner) => Some(OwnerSignature::EthSign(*inner)),
            _ => None,
        };
        let readings = [Some(signature), as_message];
        let mut signers = readings.iter().flatten().map(|reading| reading.signer(hash));
        signers.any(|signer| signer.as_ref() == Ok(&self.owner))
    }

    fn parse(value: &Value) -> Result<Self, Malformed> {
        let record = Record(value);
        Ok(Self {
            owner: record.needed("owner", Record::address)?,
            signature: record.bytes("signature")?.filter(|bytes| !bytes.is_empty()),
        })
    }
}

/// The ten fields of a transaction's record, if it has all of them as the service writes them.
pub(in crate::safe) fn fields(record: &Value) -> Option<SafeTxFields> {
    Record(record).fields().ok()
}

/// A contract's signature without the zeros up to the next word that older services stored behind it.
pub(in crate::safe) fn without_filling(bytes: &[u8]) -> &[u8] {
    let Some((entry, tail)) = bytes.split_first_chunk::<ENTRY>() else {
        return bytes;
    };
    let Some((length, rest)) = tail.split_first_chunk::<WORD>() else {
        return bytes;
    };
    let length = usize::try_from(U256::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let filling = rest.get(length..).unwrap_or_default();
    let is_filling = entry.last() == Some(&0) && filling.len() < WORD && filling.iter().all(|byte| *byte == 0);
    let end = ENTRY.saturating_add(WORD).saturating_add(length);
    bytes.get(..end).filter(|_| is_filling).unwrap_or(bytes)
}

impl ServiceSafe {
    pub(super) fn parse(value: &Value) -> Result<Self, Malformed> {
        let record = Record(value);
        let nonzero = |name| Ok(record.address(name)?.filter(|address| !address.is_zero()));
        Ok(Self {
            address: record.needed("address", Record::address)?,
            nonce: record.needed("nonce", Record::number)?,
            threshold: record.needed("threshold", Record::small)?,
            owners: record.addresses("owners")?,
            singleton: record.needed("masterCopy", Record::address)?,
            modules: record.addresses("modules")?,
            fallback_handler: nonzero("fallbackHandler")?,
            guard: nonzero("guard")?,
            module_guard: nonzero("moduleGuard")?,
            version: record.text("version"),
        })
    }
}

impl Delegate {
    pub(super) fn parse(value: &Value) -> Result<Self, Malformed> {
        let record = Record(value);
        Ok(Self {
            safe: record.address("safe")?,
            delegate: record.needed("delegate", Record::address)?,
            delegator: record.needed("delegator", Record::address)?,
            label: record.text("label").unwrap_or_default(),
            expires: record.read("expiryDate", "a date", |value| value.as_str()?.parse().ok())?,
        })
    }
}

/// A text of others as it is kept.
pub(super) fn line(text: &str) -> String {
    shorten(text, LINE)
}

/// One JSON object of the service.
#[derive(Clone, Copy)]
struct Record<'a>(&'a Value);

impl<'a> Record<'a> {
    fn field(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
    fn needed<T>(self, name: &str, read: fn(Self, &str) -> Result<Option<T>, Malformed>) -> Result<T, Malformed> {
        read(self, name)?.ok_or_else(|| Malformed(format!("`{name}` is missing")))
    }
    fn text(self, name: &str) -> Option<String> {
        let text = self.field(name)?.as_str().filter(|text| !text.is_empty())?;
        Some(line(text))
    }
    fn flag(self, name: &str) -> Option<bool> {
        self.field(name)?.as_bool()
    }
    fn address(self, name: &str) -> Result<Option<Address>, Malformed> {
        self.read(name, "an address", |value| value.as_str()?.parse().ok())
    }
    fn word(self, name: &str) -> Result<Option<B256>, Malformed> {
        self.read(name, "32 bytes of hex", |value| value.as_str()?.parse().ok())
    }
    fn bytes(self, name: &str) -> Result<Option<Bytes>, Malformed> {
        self.read(name, "hex", |value| value.as_str()?.parse().ok())
    }
    /// A decimal number, as text or as a number; never a fraction, never more than a JSON number holds exactly.
    fn number(self, name: &str) -> Result<Option<U256>, Malformed> {
        self.read(name, "a whole number", |value| match value {
            Value::String(text) if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) => {
                U256::from_str_radix(text, 10).ok()
            }
            Value::Number(number) => number.as_u64().map(U256::from),
            _ => None,
        })
    }
    fn small(self, name: &str) -> Result<Option<u64>, Malformed> {
        let wide = self.number(name)?;
        let narrow = wide.map(u64::try_from).transpose().ok();
        narrow.ok_or_else(|| Malformed(format!("`{name}` is out of range")))
    }
    fn addresses(self, name: &str) -> Result<Vec<Address>, Malformed> {
        let Some(list) = self.field(name) else {
            return Ok(Vec::new());
        };
        let items = self.items(list, name, MAX_CONFIRMATIONS)?;
        let addresses = items.map(|item| item.as_str().and_then(|text| text.parse().ok()));
        addresses
            .collect::<Option<_>>()
            .ok_or_else(|| Malformed(format!("`{name}` holds something that is no address")))
    }
    fn items(self, list: &'a Value, name: &str, most: usize) -> Result<std::slice::Iter<'a, Value>, Malformed> {
        let list = list.as_array().filter(|list| list.len() <= most);
        list.map(|list| list.iter())
            .ok_or_else(|| Malformed(format!("`{name}` is no list of at most {most}")))
    }
    fn fields(self) -> Result<SafeTxFields, Malformed> {
        let operation = self.needed("operation", Self::number)?;
        let operation = u8::try_from(operation).ok().and_then(|it| Operation::try_from(it).ok());
        let address = |name| Ok::<_, Malformed>(self.address(name)?.unwrap_or_default());
        Ok(SafeTxFields {
            to: address("to")?,
            value: self.needed("value", Self::number)?,
            data: self.bytes("data")?.unwrap_or_default(),
            operation: operation.ok_or_else(|| Malformed("`operation` is neither 0 nor 1".to_owned()))?,
            safe_tx_gas: self.needed("safeTxGas", Self::number)?,
            base_gas: match self.number("baseGas")? {
                Some(gas) => gas,
                None => self.needed("dataGas", Self::number)?,
            },
            gas_price: self.needed("gasPrice", Self::number)?,
            gas_token: address("gasToken")?,
            refund_receiver: address("refundReceiver")?,
            nonce: self.needed("nonce", Self::number)?,
        })
    }
    /// The value of `name` as `read` understands it; null and absent are nothing.
    fn read<T>(self, name: &str, wanted: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, Malformed> {
        let Some(value) = self.field(name) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| {
            let found = match value {
                Value::String(text) => format!("`{}`", shorten(text, 80)),
                Value::Number(number) => format!("the number {number}"),
                _ => "something else".to_owned(),
            };
            Malformed(format!("`{name}` is not {wanted} but {found}"))
        })
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
