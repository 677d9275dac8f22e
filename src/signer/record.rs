//! What each owner agreed to for which nonce of which Safe: one digest each, across processes and restarts, by whichever
//! way it agreed.
//!
//! Two agreements for one nonce are how signers were robbed: one is shown, the other is kept. A record is on disk before
//! the key is touched, so it may name an agreement that was never given, and lacks none that was.
//!
//! A line is `<sum> <record as JSON>`; `sum` is SHA-256 over the line before's sum and the JSON. The beginning of a record
//! at the end of the file is one whose writing was cut off, before the key was touched: the next record takes its
//! place. Anything else that does not add up is damage, and nothing is signed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{EarlierConsent, RecordError, SignerError};
use crate::fsutil::{self, AppendFile, FsError, HoldError};
use crate::safe::{SafeTx, version::HashRules};

/// Some fifty thousand signatures.
const MAX_BYTES: u64 = 16 << 20;
/// What stands for the sum before the first; it names the format.
const GENESIS: &str = "countersign signed 1";
/// How long another process may hold the record: it needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The record of what was agreed to for Safes, in one file.
///
/// It is locked only while it is read and written, so that processes take turns.
#[derive(Debug)]
pub struct SigningRecord {
    path: PathBuf,
}

/// How an owner agrees to a Safe transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ConsentBy {
    /// Its key signs the hash.
    #[default]
    Signature,
    /// Its key sends `approveHash`.
    ApproveHash,
    /// Its key sends `execTransaction`, which a Safe takes for the sender's agreement (v 1).
    Execution,
    /// This Safe, itself an owner, sends `approveHash`: its owners sign that, or somebody executes it.
    Nested(Address),
    /// A wallet in a browser was asked for its signature, and said that it was refused there. Nobody but the wallet knows.
    Refused,
}

/// One owner's agreement to one Safe transaction, given or about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeConsent {
    owner: Address,
    chain_id: u64,
    safe: Address,
    nonce: U256,
    /// safeTxHash.
    digest: B256,
    /// It only uses up the nonce.
    rejection: bool,
    /// How; records of 0.1.0 are of signatures.
    #[serde(default, skip_serializing_if = "is_signature")]
    by: ConsentBy,
    /// The Safe hashes no chain id, so it counts on every chain.
    #[serde(default, skip_serializing_if = "is_false")]
    any_chain: bool,
    at: Timestamp,
}

/// What a record says.
struct Reading {
    entries: Vec<SafeConsent>,
    /// Sum of the last whole line.
    sum: String,
    /// Bytes of the whole lines.
    whole: u64,
    tail: Tail,
}

/// What stands behind the last whole line.
enum Tail {
    Nothing,
    /// The beginning of a record.
    Torn,
    /// A record that only lacks its line end; it counts.
    Unended,
}

impl SigningRecord {
    /// Opens the record at `path` (0600), creates it and its directory (0700) if need be, and reads it whole.
    ///
    /// # Errors
    /// Damaged, not a file of one's own that may be used, or held by another process for long.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let this = Self::at(path)?;
        read(&this.hold(AppendFile::hold_to_read)?)?;
        Ok(this)
    }

    /// The record at `path`, whose directory (0700) is created if need be. Whatever it is asked, it is read whole then.
    ///
    /// # Errors
    /// The directory is not one of one's own that may be used.
    pub fn at(path: &Path) -> Result<Self, RecordError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fsutil::create_private_dir(directory)?;
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Records these agreements, unless one of their owners agreed to something else for the nonce; they are on disk when
    /// this returns, all or none. `accepted`: earlier digests that are known and taken into account.
    ///
    /// A digest may be agreed to again, and its rejection after it ([`SafeTx::is_rejection`]); after that only the
    /// rejection.
    ///
    /// # Errors
    /// [`SignerError::AlreadySigned`], or the record cannot be used.
    pub fn admit(&self, consents: &[SafeConsent], accepted: &[B256]) -> Result<(), SignerError> {
        let mut file = self.hold(AppendFile::hold)?;
        let reading = read(&file)?;
        let fresh = reading.fresh(consents, accepted)?;
        if !fresh.is_empty() {
            append(&mut file, &reading, &fresh)?;
        }
        Ok(())
    }

    /// Records that a wallet says of this agreement, which is in the record, that it was refused. It is one all the same for
    /// whatever else might be agreed to.
    ///
    /// # Errors
    /// The record cannot be used.
    pub fn refuse(&self, consent: &SafeConsent) -> Result<(), SignerError> {
        let mut file = self.hold(AppendFile::hold)?;
        let reading = read(&file)?;
        let refused = SafeConsent {
            by: ConsentBy::Refused,
            at: Timestamp::now(),
            ..*consent
        };
        Ok(append(&mut file, &reading, &[refused])?)
    }

    /// Whether [`Self::admit`] would record these now; writes nothing.
    ///
    /// # Errors
    /// [`SignerError::AlreadySigned`], or the record cannot be used.
    pub fn check(&self, consents: &[SafeConsent], accepted: &[B256]) -> Result<(), SignerError> {
        read(&self.hold(AppendFile::hold_to_read)?)?.fresh(consents, accepted)?;
        Ok(())
    }

    fn hold(&self, how: fn(&Path) -> Result<AppendFile, HoldError>) -> Result<AppendFile, RecordError> {
        let since = Instant::now();
        loop {
            match how(&self.path) {
                Err(HoldError::Held { .. }) if since.elapsed() < PATIENCE => {}
                settled => return Ok(settled?),
            }
        }
    }
}

impl SafeConsent {
    /// That `owner` agrees to `tx`, now.
    pub fn new(owner: Address, tx: &SafeTx, by: ConsentBy) -> Self {
        let domain = tx.domain();
        Self {
            owner,
            chain_id: domain.chain_id,
            safe: domain.safe,
            nonce: tx.fields().nonce,
            digest: tx.hash(),
            rejection: tx.is_rejection(),
            by,
            any_chain: domain.version.hash_rules() != HashRules::Current,
            at: Timestamp::now(),
        }
    }

    /// Whose agreement it is.
    pub const fn owner(&self) -> Address {
        self.owner
    }

    /// The safeTxHash.
    pub const fn digest(&self) -> B256 {
        self.digest
    }

    /// The chain and the Safe that it is given to, and for which nonce.
    pub const fn place(&self) -> (u64, Address, U256) {
        (self.chain_id, self.safe, self.nonce)
    }

    /// Whether it only uses up the nonce.
    pub const fn is_rejection(&self) -> bool {
        self.rejection
    }

    /// Whether both are of one owner for one nonce of one Safe. A Safe that hashes no chain id has one sequence of nonces
    /// as far as signatures go, whatever chain somebody says that it is on.
    fn is_of_the_nonce_of(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.owner, one.safe, one.nonce);
        let same_chain = self.chain_id == other.chain_id || self.any_chain || other.any_chain;
        same_chain && key(self) == key(other)
    }

    /// Whether both take one nonce, and this one, which uses it for something, is about another digest.
    pub(crate) fn is_other_than(&self, earlier: &Self) -> bool {
        !self.rejection && self.digest != earlier.digest && self.is_of_the_nonce_of(earlier)
    }

    /// This agreement as one that was given before, as far as `place` shows it.
    pub(crate) fn shown_by(&self, place: &str) -> EarlierConsent {
        EarlierConsent {
            owner: self.owner,
            digest: self.digest,
            nonce: self.nonce,
            safe: self.safe,
            how: format!("{}, as {place} shows", self.by),
        }
    }

    fn already_signed(&self) -> SignerError {
        SignerError::AlreadySigned(Box::new(EarlierConsent {
            owner: self.owner,
            digest: self.digest,
            nonce: self.nonce,
            safe: self.safe,
            how: format!("{} on {}", self.by, self.at),
        }))
    }
}

impl fmt::Display for ConsentBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("by a signature"),
            Self::ApproveHash => f.write_str("by its approval on chain"),
            Self::Execution => f.write_str("by executing it"),
            Self::Nested(child) => write!(f, "by the approval of the Safe {child}"),
            Self::Refused => f.write_str("in a browser, whose wallet said that it refused,"),
        }
    }
}

/// One word each: in a record, a brace ends the line's object.
impl From<ConsentBy> for String {
    fn from(by: ConsentBy) -> Self {
        match by {
            ConsentBy::Signature => "signature".to_owned(),
            ConsentBy::ApproveHash => "approve-hash".to_owned(),
            ConsentBy::Execution => "execution".to_owned(),
            ConsentBy::Nested(child) => format!("nested:{child}"),
            ConsentBy::Refused => "refused-in-wallet".to_owned(),
        }
    }
}

impl TryFrom<String> for ConsentBy {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let by = match text.as_str() {
            "signature" => Some(Self::Signature),
            "approve-hash" => Some(Self::ApproveHash),
            "execution" => Some(Self::Execution),
            "refused-in-wallet" => Some(Self::Refused),
            other => other
                .strip_prefix("nested:")
                .and_then(|child| child.parse().ok())
                .map(Self::Nested),
        };
        by.ok_or("no known way to agree")
    }
}

fn is_signature(by: &ConsentBy) -> bool {
    *by == ConsentBy::Signature
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

fn append(file: &mut AppendFile, reading: &Reading, consents: &[SafeConsent]) -> Result<(), RecordError> {
    let mut text = match reading.tail {
        Tail::Nothing => String::new(),
        Tail::Unended => "\n".to_owned(),
        Tail::Torn => {
            file.cut(reading.whole)?;
            String::new()
        }
    };
    let mut before = reading.sum.clone();
    for consent in consents {
        let json = serde_json::to_string(consent).map_err(|source| FsError {
            action: "encode a record of",
            path: file.path().to_owned(),
            source: source.into(),
        })?;
        before = fsutil::sum(&[&before, &json]);
        text.push_str(&format!("{before} {json}\n"));
    }
    Ok(file.append(text.as_bytes())?)
}

fn read(file: &AppendFile) -> Result<Reading, RecordError> {
    let bytes = file.read(MAX_BYTES).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::FileTooLarge => damaged(file.path(), 1, "it is too long to be one"),
        _ => error.into(),
    })?;
    Reading::of(file.path(), &bytes)
}

fn damaged(path: &Path, line: u64, why: &'static str) -> RecordError {
    RecordError::Damaged {
        path: path.to_owned(),
        line,
        why,
    }
}

impl Reading {
    /// What the bytes of the file at `path` say, or the first bad line and why.
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reading = Self {
            entries: Vec::new(),
            sum: GENESIS.to_owned(),
            whole: 0,
            tail: Tail::Nothing,
        };
        let rest = fsutil::each_line(path, bytes, MAX_BYTES, |line| {
            let taken = reading.take(line.bytes);
            taken.map_err(|why| damaged(path, line.number, why))
        })?;
        let ended = rest.bytes.contains(&b'}');
        reading.whole = rest.at;
        reading.tail = match rest.bytes.as_slice() {
            [] => Tail::Nothing,
            whole if ended && reading.take(whole).is_ok() => Tail::Unended,
            torn if !ended && torn.iter().all(|byte| matches!(byte, b' '..=b'~')) => Tail::Torn,
            _ => return Err(damaged(path, rest.lines + 1, "it is not the beginning of a record")),
        };
        Ok(reading)
    }

    /// Those of `consents` that are not in it yet.
    fn fresh(&self, consents: &[SafeConsent], accepted: &[B256]) -> Result<Vec<SafeConsent>, SignerError> {
        let mut fresh: Vec<SafeConsent> = Vec::new();
        for wanted in consents {
            let known = self.entries.iter().chain(&fresh);
            match known.rev().find(|earlier| earlier.is_of_the_nonce_of(wanted)) {
                // A refusal is followed by the agreement that takes its place.
                Some(last) if last.digest == wanted.digest && last.by != ConsentBy::Refused => {}
                Some(last) if last.digest == wanted.digest => fresh.push(*wanted),
                Some(last) if !wanted.rejection && !accepted.contains(&last.digest) => {
                    return Err(last.already_signed());
                }
                _ => fresh.push(*wanted),
            }
        }
        Ok(fresh)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(line).ok();
        let (found, json) = text.and_then(|text| text.split_once(' ')).ok_or("it is no record")?;
        let sum = fsutil::sum(&[&self.sum, json]);
        if sum != found {
            return Err("its checksum is wrong, or it does not follow the line before it");
        }
        let entry = serde_json::from_str(json).ok().ok_or("a newer version wrote it")?;
        self.entries.push(entry);
        self.sum = sum;
        Ok(())
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
