//! Our calls, found again in a transaction that somebody else made of them: a batch file names no nonce and no hash, so
//! what the wallet made of it is known by its content alone. Pure.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::{SolEvent, SolValue};

use super::batch;
use super::builder_file::Batch;
use super::deployments;
use super::tx::{Operation, SafeDomain, SafeTx, SafeTxError, SafeTxFields};
use crate::abi::safe::Safe::SafeMultiSigTransaction;
use crate::chain::Call;

/// Longest calldata that is shown as it is: a selector and four words.
const MAX_SHOWN: usize = 4 + 4 * 32;

/// Whether a transaction is the one that we mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// It makes exactly our calls and nothing else, whatever its nonce.
    Same,
    /// It is about the same contracts, but does something else.
    Different(Difference),
    /// It is about something else.
    NotOurs,
}

/// The first thing in which a transaction differs from what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// For another chain.
    #[error("it is for chain {found}, not {expected}")]
    Chain {
        /// Chain id.
        found: u64,
        /// Ours.
        expected: u64,
    },
    /// For another Safe.
    #[error("it is for the Safe {found}, not {expected}")]
    Safe {
        /// Address.
        found: Address,
        /// Ours.
        expected: Address,
    },
    /// Nobody should sign it, whatever it calls.
    #[error("nobody should sign it")]
    Refused(#[source] SafeTxError),
    /// A call differs.
    #[error("{part} of call {index} is {found}, not {expected}")]
    Call {
        /// Position, from zero.
        index: usize,
        /// What differs.
        part: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A call of ours is missing.
    #[error("call {index} is missing")]
    Missing {
        /// Position, from zero.
        index: usize,
    },
    /// A call that is none of ours.
    #[error("call {index} to {to} is none of ours")]
    Extra {
        /// Position, from zero.
        index: usize,
        /// Whom it calls.
        to: Address,
    },
}

/// Compares `candidate`, a transaction of the Safe of `domain`, with `calls`. One call may stand alone or in a batch,
/// several in a batch through any known MultiSendCallOnly; neither may carry ether, gas or refund.
pub fn recognise(candidate: &SafeTxFields, domain: &SafeDomain, calls: &[Call]) -> Recognition {
    let refused = match SafeTx::accept(*domain, candidate.clone(), true) {
        Ok(tx) if tx.calls() == calls => return Recognition::Same,
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let theirs = candidate_calls(candidate);
    let about_ours = match &theirs {
        Some(theirs) => about(theirs, calls),
        // What cannot be read as a batch may still be one to the library.
        None => calls.iter().any(|ours| contains(&candidate.data, ours.to.as_slice())),
    };
    if !about_ours {
        return Recognition::NotOurs;
    }
    let difference = refused.map(Difference::Refused);
    let difference = difference.or_else(|| first(&theirs.unwrap_or_default(), calls));
    difference.map_or(Recognition::NotOurs, Recognition::Different)
}

/// Compares a batch file with `calls` of the Safe of `domain`: nothing keeps a file from being imported elsewhere.
pub fn recognise_batch(file: &Batch, domain: &SafeDomain, calls: &[Call]) -> Recognition {
    if !about(&file.calls, calls) {
        return Recognition::NotOurs;
    }
    let (chain, expected) = (file.chain_id, domain.chain_id);
    if chain != expected {
        let found = chain;
        return Recognition::Different(Difference::Chain { found, expected });
    }
    if let Some(found) = file.safe.filter(|safe| *safe != domain.safe) {
        let expected = domain.safe;
        return Recognition::Different(Difference::Safe { found, expected });
    }
    first(&file.calls, calls).map_or(Recognition::Same, Recognition::Different)
}

/// The transaction with `hash` that makes exactly `calls`, if one of `nonces` gives it: one call alone, or all of them in
/// a batch through any known MultiSendCallOnly. Whoever says the hash need not be believed about anything else.
pub fn recognise_hash(
    hash: B256,
    domain: &SafeDomain,
    calls: &[Call],
    nonces: impl IntoIterator<Item = U256>,
) -> Option<SafeTx> {
    let mut shapes: Vec<SafeTxFields> = Vec::new();
    if let [one] = calls {
        let data = one.data.clone();
        shapes.push(SafeTxFields::plain(one.to, data, Operation::Call, U256::ZERO));
    }
    let libraries = deployments::ALL.iter().map(|known| known.address);
    for library in libraries.filter(|address| deployments::batcher(*address).is_some()) {
        let data = batch::encode(calls);
        shapes.push(SafeTxFields::plain(library, data, Operation::DelegateCall, U256::ZERO));
    }
    for nonce in nonces {
        for shape in &mut shapes {
            shape.nonce = nonce;
            if shape.hash(domain) == hash {
                let tx = SafeTx::accept(*domain, shape.clone(), true).ok()?;
                return tx.expect_calls(calls).is_ok().then_some(tx);
            }
        }
    }
    None
}

/// A transaction as a Safe with an L2 singleton announces it, before any check: that it was tried, not that it was
/// executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The ten fields; the nonce is the one that the transaction is tried with.
    pub fields: SafeTxFields,
    /// The packed signatures.
    pub signatures: Bytes,
    /// Who sent it to the Safe.
    pub sender: Address,
}

impl Announced {
    /// Reads the event `SafeMultiSigTransaction` (`GnosisSafeL2` 1.3.0, `SafeL2` 1.4.1 and 1.5.0); `None` for any other
    /// event, and for data that is not the canonical encoding. Whose event it is, is for the caller to check.
    pub fn read(topics: &[B256], data: &[u8]) -> Option<Self> {
        let [topic] = topics else { return None };
        if *topic != SafeMultiSigTransaction::SIGNATURE_HASH {
            return None;
        }
        let event = SafeMultiSigTransaction::decode_raw_log(topics, data).ok()?;
        if event.encode_data() != data {
            return None;
        }
        let (nonce, sender, threshold) = <(U256, Address, U256)>::abi_decode(&event.additionalInfo).ok()?;
        if (nonce, sender, threshold).abi_encode() != *event.additionalInfo {
            return None;
        }
        Some(Self {
            fields: SafeTxFields {
                to: event.to,
                value: event.value,
                data: event.data,
                operation: Operation::try_from(event.operation).ok()?,
                safe_tx_gas: event.safeTxGas,
                base_gas: event.baseGas,
                gas_price: event.gasPrice,
                gas_token: event.gasToken,
                refund_receiver: event.refundReceiver,
                nonce,
            },
            signatures: event.signatures,
            sender,
        })
    }
}

/// The calls of any transaction, also of one that is refused; `None` if its data is no batch.
fn candidate_calls(candidate: &SafeTxFields) -> Option<Vec<Call>> {
    match candidate.operation {
        Operation::Call => Some(vec![Call {
            to: candidate.to,
            value: candidate.value,
            data: candidate.data.clone(),
        }]),
        Operation::DelegateCall => batch::decode(&candidate.data).ok(),
    }
}

/// Whether one of `theirs` goes where one of ours goes.
fn about(theirs: &[Call], ours: &[Call]) -> bool {
    theirs.iter().any(|call| ours.iter().any(|own| own.to == call.to))
}

/// The first difference of two lists of calls.
fn first(theirs: &[Call], ours: &[Call]) -> Option<Difference> {
    let pairs = theirs.iter().zip(ours).enumerate();
    let changed = pairs
        .into_iter()
        .find_map(|(index, (found, expected))| changed(index, found, expected));
    let shared = theirs.len().min(ours.len());
    let extra = || {
        let call = theirs.get(shared)?;
        Some(Difference::Extra {
            index: shared,
            to: call.to,
        })
    };
    let missing = || ours.get(shared).map(|_| Difference::Missing { index: shared });
    changed.or_else(extra).or_else(missing)
}

fn changed(index: usize, found: &Call, expected: &Call) -> Option<Difference> {
    let part = |part, found: String, expected: String| {
        (found != expected).then_some(Difference::Call {
            index,
            part,
            found,
            expected,
        })
    };
    part("the target", found.to.to_string(), expected.to.to_string())
        .or_else(|| part("the value", found.value.to_string(), expected.value.to_string()))
        .or_else(|| (found.data != expected.data).then(|| data(index, found, expected)))
}

/// The data, or its digest where nobody would read it.
fn data(index: usize, found: &Call, expected: &Call) -> Difference {
    let text = |call: &Call| {
        if call.data.len() > MAX_SHOWN {
            format!("{} bytes with the digest {}", call.data.len(), call.digest())
        } else {
            call.data.to_string()
        }
    };
    Difference::Call {
        index,
        part: "the data",
        found: text(found),
        expected: text(expected),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
#[path = "recognise_tests.rs"]
mod tests;
