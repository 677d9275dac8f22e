//! Signatures that co-signers send, read from whatever their tool wrote: our own signature file, bare hexadecimal
//! (also what `cast wallet sign` prints), the output of `eip712sign`, answers of a Safe Transaction Service and of the gateway
//! behind the wallet, what the Safe{Core} protocol kit holds, and r, s and v as libraries write them.
//!
//! What a file says beside the signatures is a claim: it is compared with what is to be signed ([`merge`]) and never
//! used. Text of a file appears in errors short and escaped. Pure.

mod claims;
mod error;
mod fields;
mod file;
mod found;
mod json;
mod split;

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, keccak256};

pub use claims::{Claims, Offer};
pub use error::{CollectError, Contradiction};
pub use file::SignatureFile;

use error::{MAX_BYTES, wrong};
use found::{Form, Found, bare, digits, is_whole};

use super::approvals::{Inserted, SignatureSet};
use super::builder_file;
use super::diagnose::{Mismatch, mismarked, mismatch};
use super::signature::{OwnerSignature, SignatureError};
use super::tx::{SafeTx, SafeTxFields};

/// Signatures of one file for which it is found out what they were made for: each takes some hundred recoveries.
const MAX_GUESSES: usize = 8;

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Which kind of file it was.
    pub source: &'static str,
    /// The transaction that it was compared with.
    pub safe_tx_hash: B256,
    /// Whether it is in the set now, or why not.
    pub outcome: Result<Inserted, NotMerged>,
    /// It had the upper of the two values of s; the lower is what counts.
    pub normalised: bool,
    /// It can be checked without a chain.
    pub proves_itself: bool,
}

impl Merged {
    /// Whose signature counts although it came with the upper of the two values of s.
    pub fn upper_s(&self) -> Option<Address> {
        let inserted = self.outcome.as_ref().ok()?;
        self.normalised.then(|| inserted.owner())
    }
}

/// Why a signature that could be read is not taken. Each of them means: stop and look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotMerged {
    /// The file says that it is about something else.
    #[error("its file says that {claim} is {found}, but here it is {expected}{because}", because = tail(.because.as_ref()))]
    Contradicts {
        /// Which claim.
        claim: &'static str,
        /// What the file says.
        found: String,
        /// What is to be signed.
        expected: String,
        /// What was signed, if that could be found out.
        because: Option<Mismatch>,
    },
    /// An owner signed something else.
    #[error("it is no signature of this transaction: {0}")]
    Mismatch(Mismatch),
    /// Nobody's signature, or that of nobody who owns the Safe.
    #[error("it does not count")]
    Signature(#[source] SignatureError),
}

fn tail(mismatch: Option<&Mismatch>) -> String {
    mismatch.map(|mismatch| format!(": {mismatch}")).unwrap_or_default()
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Collected {
    /// Signatures that can be read.
    pub offers: Vec<Offer>,
    /// What stands beside them for a signature and is none.
    pub unreadable: Vec<CollectError>,
}

/// Reads the signatures of a file. Which kind of file it is shows in its content; a byte order mark, white space around
/// it and the ends of its lines do not matter.
///
/// # Errors
/// See [`CollectError`]. Signatures that cannot be read are an error where there is no other in the file.
pub fn collect(bytes: &[u8]) -> Result<Collected, CollectError> {
    if bytes.len() > MAX_BYTES {
        return Err(CollectError::TooLong { found: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).ok().ok_or(CollectError::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.is_empty() {
        return Err(CollectError::Empty);
    }
    let found = if text.starts_with(['{', '[', '"']) {
        json::read(text)?
    } else if text.lines().any(|line| line.trim().starts_with(SIGNATURE)) {
        transcript(text)?
    } else {
        lines(text)?
    };
    let mut collected = Collected::default();
    for (index, found) in found.into_iter().enumerate() {
        match found.offers(index) {
            Ok(offers) => collected.offers.extend(offers),
            // Whoever can add a signature to a list must not keep the others out.
            Err(error @ CollectError::Signature { .. }) => collected.unreadable.push(error),
            Err(error) => return Err(error),
        }
    }
    if collected.offers.is_empty() {
        let first = collected.unreadable.into_iter().next();
        return Err(first.unwrap_or(CollectError::NoSignature));
    }
    claims::agree(&collected.offers)?;
    Ok(collected)
}

/// Puts `offers` into `set`, the signatures of `tx`, each if `owners` (of the Safe, now) have its signer and nothing
/// that its file says is against it. One entry for each offer, in their order.
pub fn merge(set: &mut SignatureSet, tx: &SafeTx, offers: Vec<Offer>, owners: &BTreeSet<Address>) -> Vec<Merged> {
    let mut guesses = 0;
    let mut guess = |signature: &OwnerSignature| match signature {
        OwnerSignature::Eip712(inner) | OwnerSignature::EthSign(inner) if guesses < MAX_GUESSES => {
            guesses += 1;
            mismarked(tx, signature, owners).or_else(|| mismatch(tx, inner, owners))
        }
        _ => None,
    };
    let mut merging = Merging { set, tx, owners };
    let mut one = |offer: Offer| Merged {
        source: offer.source,
        safe_tx_hash: tx.hash(),
        normalised: offer.signature.has_upper_s(),
        proves_itself: offer.signature.proves_itself(),
        outcome: merging.insert(offer, &mut guess),
    };
    offers.into_iter().map(&mut one).collect()
}

/// Where offers are put.
struct Merging<'a> {
    set: &'a mut SignatureSet,
    tx: &'a SafeTx,
    owners: &'a BTreeSet<Address>,
}

impl Merging<'_> {
    fn insert(
        &mut self,
        offer: Offer,
        mut guess: impl FnMut(&OwnerSignature) -> Option<Mismatch>,
    ) -> Result<Inserted, NotMerged> {
        let Self { set, tx, owners } = self;
        let Offer { signature, claims, .. } = offer;
        if set.hash() != tx.hash() {
            return Err(contradicts("the hash of the set", set.hash(), tx.hash(), None));
        }
        if let Some((claim, found, expected)) = claims.against(tx) {
            return Err(contradicts(claim, found, expected, guess(&signature)));
        }
        let (owner, signature) = match set.attribute(signature.clone(), owners) {
            Ok(attributed) => attributed,
            Err(error) => return Err(guess(&signature).map_or(NotMerged::Signature(error), NotMerged::Mismatch)),
        };
        if let Some(claimed) = claims.owner.filter(|claimed| *claimed != owner) {
            return Err(contradicts("the signer", claimed, owner, None));
        }
        set.insert(signature, owners).map_err(NotMerged::Signature)
    }
}

fn contradicts(
    claim: &'static str,
    found: impl ToString,
    expected: impl ToString,
    because: Option<Mismatch>,
) -> NotMerged {
    NotMerged::Contradicts {
        claim,
        found: found.to_string(),
        expected: expected.to_string(),
        because,
    }
}

impl Claims {
    /// The first claim that is not so, what it says, and what is so.
    fn against(&self, tx: &SafeTx) -> Option<(&'static str, String, String)> {
        let (domain, nonce) = (tx.domain(), tx.fields().nonce);
        different("the chain id", self.chain_id, domain.chain_id)
            .or_else(|| different("the Safe", self.safe, domain.safe))
            .or_else(|| different("the nonce", self.nonce, nonce))
            .or_else(|| self.fields.as_ref().and_then(|fields| other_field(fields, tx.fields())))
            .or_else(|| different("the safeTxHash", self.safe_tx_hash, tx.hash()))
    }
}

/// The first of the ten fields that differs.
fn other_field(found: &SafeTxFields, own: &SafeTxFields) -> Option<(&'static str, String, String)> {
    let operation = |fields: &SafeTxFields| u8::from(fields.operation);
    let data = |fields: &SafeTxFields| keccak256(&fields.data);
    different("`to`", Some(found.to), own.to)
        .or_else(|| different("`value`", Some(found.value), own.value))
        .or_else(|| different("the keccak256 of `data`", Some(data(found)), data(own)))
        .or_else(|| different("`operation`", Some(operation(found)), operation(own)))
        .or_else(|| different("`safeTxGas`", Some(found.safe_tx_gas), own.safe_tx_gas))
        .or_else(|| different("`baseGas`", Some(found.base_gas), own.base_gas))
        .or_else(|| different("`gasPrice`", Some(found.gas_price), own.gas_price))
        .or_else(|| different("`gasToken`", Some(found.gas_token), own.gas_token))
        .or_else(|| different("`refundReceiver`", Some(found.refund_receiver), own.refund_receiver))
        .or_else(|| different("`nonce`", Some(found.nonce), own.nonce))
}

fn different<T: PartialEq + ToString>(
    claim: &'static str,
    found: Option<T>,
    expected: T,
) -> Option<(&'static str, String, String)> {
    let found = found.filter(|found| *found != expected)?;
    Some((claim, found.to_string(), expected.to_string()))
}

/// What stands before the parts of what `eip712sign` and `cast wallet sign -v` print.
const DATA: &str = "Data:";
const SIGNERS: [(&str, &str); 2] = [("Signer:", "eip712sign"), ("Address:", "cast")];
const SIGNATURE: &str = "Signature:";

/// What `eip712sign` printed, with whatever the command that it ran printed before: `Signature:` directly after
/// `Signer:`, and before that mostly `Data:`. And what `cast wallet sign -v` printed; or that line alone, as somebody copied it.
fn transcript(text: &str) -> Result<Vec<Found>, CollectError> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let before = |back: usize, mark: &str| {
            let line = at.checked_sub(back).and_then(|index| lines.get(index))?;
            line.strip_prefix(mark).map(str::trim)
        };
        let mut signer = SIGNERS.into_iter();
        let signer = signer.find_map(|(mark, source)| before(1, mark).map(|signer| (signer, source)));
        let (signature, (signer, source)) = match (line.strip_prefix(SIGNATURE), signer) {
            (Some(signature), Some(signer)) => (signature, signer),
            (Some(signature), None) => {
                found.extend(digits(signature.trim()).map(bare));
                continue;
            }
            (None, _) => continue,
        };
        let data = before(2, DATA).map(|data| digits(data).ok_or_else(|| wrong("Data", "no bytes")));
        let signer = builder_file::address(signer);
        found.push(Found {
            bytes: Form::Bytes(digits(signature.trim()).ok_or_else(|| wrong("Signature", "no bytes"))?),
            claims: Claims {
                safe_tx_hash: data.transpose()?.and_then(|data| signed(&data)),
                owner: Some(signer.ok_or_else(|| wrong("Signer", "no address, or its capitals are wrong"))?),
                ..Claims::default()
            },
            source,
        });
    }
    Ok(found)
}

/// The hash that `eip712sign` says it signed: that of the 66 bytes, or with `-text` the 32 bytes as a message.
fn signed(data: &[u8]) -> Option<B256> {
    match data {
        [0x19, 0x01, ..] if data.len() == 66 => Some(keccak256(data)),
        _ => B256::try_from(data).ok(),
    }
}

/// Hexadecimal digits, a line for each signature or for several packed. Lines that begin with `#` are somebody's notes; one
/// signature may be wrapped over several lines, as mail does it.
fn lines(text: &str) -> Result<Vec<Found>, CollectError> {
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let bytes: Option<Vec<Vec<u8>>> = lines.iter().map(|line| digits(line)).collect();
    if let Some(bytes) = bytes.filter(|all| all.iter().all(|bytes| is_whole(bytes)) || lines.len() == 1) {
        return Ok(bytes.into_iter().map(bare).collect());
    }
    let wrapped = digits(&lines.concat());
    match wrapped.filter(|bytes| is_whole(bytes)) {
        Some(bytes) => Ok(vec![bare(bytes)]),
        None if is_base64(text) => Err(CollectError::Mistaken {
            what: "base64, and hexadecimal digits are read",
        }),
        None => Err(CollectError::NotRecognised),
    }
}

/// Whether it is what base64 makes of one signature: 65 bytes.
fn is_base64(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let bare = text.trim_end_matches('=');
    bare.len() == 87 && bare.bytes().all(digit)
}

#[cfg(test)]
mod tests;
