//! One transaction: every field before signing, and the bytes after. Pure.
//!
//! What is signed is frozen; the same bytes go out the first time and every time after. Only EIP-1559 transactions
//! without access list are made here, so nothing else is read back.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::primitives::utils::format_ether;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use serde::{Deserialize, Serialize};

use super::{Call, ChainError, FeePolicy};

/// A bump without a ceiling at most multiplies the cap by this: what endpoints say of fees is not signed blindly.
const BUMP_LIMIT: u128 = 2;

/// Every field of an EIP-1559 transaction, before signing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxRequest {
    /// Chain id.
    pub chain_id: u64,
    /// Sender.
    pub from: Address,
    /// Nonce.
    pub nonce: u64,
    /// What it does.
    pub call: Call,
    /// Gas limit.
    pub gas_limit: u64,
    /// wei per gas.
    pub max_fee_per_gas: u128,
    /// wei per gas.
    pub max_priority_fee_per_gas: u128,
}

/// A signed transaction: the bytes that go out, the first time and every time after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTx {
    /// What was signed.
    pub request: TxRequest,
    /// keccak256 of `raw`.
    pub hash: B256,
    /// EIP-2718 bytes.
    pub raw: Bytes,
}

/// Why a transaction was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It would revert.
    #[error("the call would fail: {reason}")]
    WouldRevert {
        /// Decoded reason.
        reason: String,
    },
    /// Transactions of this key are in flight.
    #[error("{from} has {pending} transactions, {latest} of them mined: another one is in flight")]
    InFlight {
        /// Sender.
        from: Address,
        /// `latest` nonce.
        latest: u64,
        /// `pending` nonce.
        pending: u64,
    },
    /// The nonce that was asked for is spent.
    #[error("nonce {nonce} of {from} is used; the next one is {latest}")]
    NonceUsed {
        /// Sender.
        from: Address,
        /// Asked for.
        nonce: u64,
        /// `latest` nonce.
        latest: u64,
    },
    /// The nonce that was asked for leaves others before it open.
    #[error("nonce {nonce} of {from} would wait for transactions that nobody sent: {pending} is the first free one")]
    NonceGap {
        /// Sender.
        from: Address,
        /// Asked for.
        nonce: u64,
        /// `pending` nonce.
        pending: u64,
    },
    /// Too little money.
    #[error("{from} has {have} wei and needs up to {need} wei")]
    Funds {
        /// Sender.
        from: Address,
        /// Balance, wei.
        have: String,
        /// The most that it can cost, wei.
        need: String,
    },
    /// Fees are above the ceiling.
    #[error("a fee of {needed} wei per gas is needed, above the ceiling of {ceiling}")]
    FeeCeiling {
        /// Needed now, wei per gas.
        needed: u128,
        /// Ceiling, wei per gas.
        ceiling: u128,
    },
    /// All transactions of one intent would cost more than they may.
    #[error("this and what was signed before would cost up to {} together, above the limit of {}", coins(*.needed), coins(*.limit))]
    CostLimit {
        /// The most that they can cost, wei.
        needed: U256,
        /// Limit, wei.
        limit: U256,
    },
    /// Nobody said what they may cost, and nobody looks at what they cost.
    #[error("this would cost up to {}, and nothing limits what may be paid on chain {chain}", coins(*.needed))]
    CostUnlimited {
        /// The most that they can cost, wei.
        needed: U256,
        /// Chain id.
        chain: u64,
    },
    /// Raw bytes that are not what they should be.
    #[error("the signed transaction is not the planned one: {what}")]
    Forged {
        /// What differs.
        what: String,
    },
    /// More gas than a block holds.
    #[error("the call needs {needed} gas and a block holds {limit}")]
    BlockGasLimit {
        /// Needed.
        needed: u64,
        /// Limit.
        limit: u64,
    },
}

impl SignedTx {
    /// Reads raw bytes back and checks that they are `request`, signed by its sender, and nothing else: every field,
    /// the signature, its one canonical encoding.
    ///
    /// # Errors
    /// Anything differs.
    pub fn from_raw(request: TxRequest, raw: Bytes) -> Result<Self, TxError> {
        let TxEnvelope::Eip1559(signed) =
            TxEnvelope::decode_2718_exact(&raw).map_err(|_undecodable| forged("it cannot be decoded"))?
        else {
            return Err(forged("it is not an EIP-1559 transaction"));
        };
        if let Some(field) = difference(signed.tx(), &request.unsigned()) {
            return Err(forged(field));
        }
        // Every signature has a second form with a high `s`, which no chain takes (EIP-2).
        if signed.signature().normalize_s().is_some() {
            return Err(forged("its signature has a high s"));
        }
        let signer = signed
            .recover_signer()
            .map_err(|_unrecoverable| forged("its signature is not valid"))?;
        if signer != request.from {
            return Err(forged("it is signed by another key"));
        }
        if signed.encoded_2718() != raw.as_ref() {
            return Err(forged("its encoding is not canonical"));
        }
        Ok(Self {
            hash: *signed.hash(),
            request,
            raw,
        })
    }
}

impl TxRequest {
    /// The hash that is signed (EIP-1559).
    pub fn signing_hash(&self) -> B256 {
        self.unsigned().signature_hash()
    }
    /// The most it can cost, wei.
    pub fn most(&self) -> U256 {
        U256::from(self.max_fee_per_gas) * U256::from(self.gas_limit) + self.call.value
    }
    /// Same call and nonce, fees raised enough to replace (at least an eighth, tip and cap) and to follow `base_fee`,
    /// within the ceiling; without a ceiling the cap at most doubles.
    ///
    /// # Errors
    /// The ceiling is below what is needed.
    pub fn bumped(&self, base_fee: u128, policy: &FeePolicy) -> Result<Self, TxError> {
        let least = raised(self.max_fee_per_gas);
        let tip = raised(self.max_priority_fee_per_gas);
        let needed = least.max(base_fee.saturating_add(tip));
        let ceiling = policy
            .ceiling
            .unwrap_or_else(|| self.max_fee_per_gas.saturating_mul(BUMP_LIMIT).max(least));
        if needed > ceiling {
            return Err(TxError::FeeCeiling { needed, ceiling });
        }
        let wanted = base_fee.saturating_mul(2).saturating_add(tip);
        Ok(Self {
            max_fee_per_gas: wanted.clamp(needed, ceiling),
            max_priority_fee_per_gas: tip,
            ..self.clone()
        })
    }

    fn unsigned(&self) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            to: TxKind::Call(self.call.to),
            value: self.call.value,
            access_list: Default::default(),
            input: self.call.data.clone(),
        }
    }
}

/// An eighth more, and at least one wei: geth replaces from a tenth on, others from an eighth.
const fn raised(fee: u128) -> u128 {
    let more = fee.div_ceil(8);
    fee.saturating_add(if more == 0 { 1 } else { more })
}

/// An amount of a chain's coin, as people write it.
pub fn coins(wei: U256) -> String {
    let text = format_ether(wei);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn forged(what: &str) -> TxError {
    TxError::Forged { what: what.to_owned() }
}

/// The first field that differs.
fn difference(found: &TxEip1559, expected: &TxEip1559) -> Option<&'static str> {
    let checks = [
        (found.chain_id == expected.chain_id, "another chain id"),
        (found.to == expected.to, "another contract is called"),
        (found.input == expected.input, "other calldata"),
        (found.value == expected.value, "another value"),
        (found.nonce == expected.nonce, "another nonce"),
        (found.gas_limit == expected.gas_limit, "another gas limit"),
        (found.max_fee_per_gas == expected.max_fee_per_gas, "another fee cap"),
        (
            found.max_priority_fee_per_gas == expected.max_priority_fee_per_gas,
            "another tip",
        ),
        (found.access_list == expected.access_list, "an access list"),
    ];
    checks.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use alloy::consensus::{TxEip1559, TxLegacy};
    use alloy::eips::eip2930::{AccessList, AccessListItem};
    use alloy::primitives::Signature;
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;

    use super::*;

    const GWEI: u128 = 1_000_000_000;

    fn key(byte: u8) -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
    }

    fn request() -> TxRequest {
        TxRequest {
            chain_id: 8453,
            from: key(1).address(),
            nonce: 7,
            call: Call::add_compose_hash(Address::repeat_byte(0xa1), B256::repeat_byte(0xab)),
            gas_limit: 60_000,
            max_fee_per_gas: 3 * GWEI,
            max_priority_fee_per_gas: GWEI,
        }
    }

    fn signed(tx: TxEip1559, by: u8) -> Bytes {
        let signature = key(by).sign_hash_sync(&tx.signature_hash()).unwrap();
        TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718().into()
    }

    fn forgery(raw: Bytes) -> String {
        match SignedTx::from_raw(request(), raw) {
            Err(TxError::Forged { what }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_signed_is_read_back_with_its_hash() {
        let raw = signed(request().unsigned(), 1);
        let tx = SignedTx::from_raw(request(), raw.clone()).unwrap();
        assert_eq!(tx.hash, alloy::primitives::keccak256(&raw));
        assert_eq!((tx.request, tx.raw), (request(), raw));
    }

    #[test]
    fn j13_bytes_that_differ_in_any_field_are_refused() {
        type Change = fn(&mut TxEip1559);
        let changes: [(&str, Change); 9] = [
            ("chain", |tx| tx.chain_id = 1),
            ("contract", |tx| tx.to = TxKind::Call(Address::repeat_byte(0xa2))),
            ("contract", |tx| tx.to = TxKind::Create),
            ("calldata", |tx| tx.input = [&tx.input[..], &[0]].concat().into()),
            ("value", |tx| tx.value = U256::from(1)),
            ("nonce", |tx| tx.nonce += 1),
            ("gas", |tx| tx.gas_limit += 1),
            ("cap", |tx| tx.max_fee_per_gas += 1),
            ("tip", |tx| tx.max_priority_fee_per_gas -= 1),
        ];
        for (what, change) in changes {
            let mut tx = request().unsigned();
            change(&mut tx);
            let said = forgery(signed(tx, 1));
            assert!(said.contains(what), "{what}: {said}");
        }
        let mut tx = request().unsigned();
        tx.access_list = AccessList(vec![AccessListItem::default()]);
        assert!(forgery(signed(tx, 1)).contains("access list"));
    }

    #[test]
    fn j13_bytes_signed_by_another_key_are_refused() {
        assert!(forgery(signed(request().unsigned(), 2)).contains("another key"));
    }

    #[test]
    fn j13_bytes_that_are_not_exactly_one_transaction_are_refused() {
        let raw = signed(request().unsigned(), 1);
        forgery([&raw[..], &[0]].concat().into());
        forgery(raw.slice(..raw.len() - 1));
        forgery(Bytes::new());
        let legacy = TxLegacy::default();
        let signature = key(1).sign_hash_sync(&legacy.signature_hash()).unwrap();
        let raw = TxEnvelope::Legacy(legacy.into_signed(signature)).encoded_2718();
        assert!(forgery(raw.into()).contains("EIP-1559"));
    }

    #[test]
    fn every_flipped_bit_of_the_bytes_is_noticed() {
        let raw = signed(request().unsigned(), 1);
        for position in 0..raw.len() * 8 {
            let mut bent = raw.to_vec();
            bent[position / 8] ^= 1 << (position % 8);
            assert!(SignedTx::from_raw(request(), bent.into()).is_err(), "bit {position}");
        }
    }

    #[test]
    fn the_second_form_of_a_signature_is_refused() {
        let tx = request().unsigned();
        let signature = key(1).sign_hash_sync(&tx.signature_hash()).unwrap();
        let order = U256::from_be_bytes(alloy::primitives::hex!(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        ));
        let other = Signature::new(signature.r(), order - signature.s(), !signature.v());
        let raw = TxEnvelope::Eip1559(tx.into_signed(other)).encoded_2718();
        assert!(forgery(raw.into()).contains("high s"));
    }

    #[test]
    fn x4_a_raise_lifts_tip_and_cap_by_an_eighth_at_least() {
        let bumped = request().bumped(GWEI / 2, &FeePolicy::default()).unwrap();
        assert_eq!(bumped.max_priority_fee_per_gas, GWEI + GWEI / 8);
        assert!(bumped.max_fee_per_gas >= 3 * GWEI + 3 * GWEI / 8);
        let TxRequest {
            nonce,
            call,
            from,
            chain_id,
            gas_limit,
            ..
        } = bumped;
        let same = request();
        assert_eq!(
            (nonce, call, from, chain_id, gas_limit),
            (same.nonce, same.call, same.from, same.chain_id, same.gas_limit)
        );
    }

    #[test]
    fn x10_a_raise_follows_the_base_fee() {
        let bumped = request().bumped(2 * GWEI, &FeePolicy::default()).unwrap();
        assert_eq!(bumped.max_fee_per_gas, 4 * GWEI + bumped.max_priority_fee_per_gas);
    }

    #[test]
    fn x25_a_raise_stops_at_the_ceiling_with_the_number_needed() {
        let policy = FeePolicy {
            ceiling: Some(5 * GWEI),
            ..FeePolicy::default()
        };
        assert!(request().bumped(3 * GWEI, &policy).unwrap().max_fee_per_gas <= 5 * GWEI);
        let error = request().bumped(6 * GWEI, &policy).unwrap_err();
        assert!(matches!(error, TxError::FeeCeiling { needed, ceiling } if needed > ceiling && ceiling == 5 * GWEI));
    }

    #[test]
    fn r20_without_a_ceiling_a_raise_at_most_doubles_the_cap() {
        let error = request().bumped(1000 * GWEI, &FeePolicy::default()).unwrap_err();
        assert!(matches!(error, TxError::FeeCeiling { ceiling, .. } if ceiling == 6 * GWEI));
    }

    #[test]
    fn the_smallest_fees_can_be_raised_too() {
        let poor = TxRequest {
            max_fee_per_gas: 0,
            max_priority_fee_per_gas: 0,
            ..request()
        };
        let policy = FeePolicy {
            ceiling: Some(GWEI),
            ..FeePolicy::default()
        };
        let bumped = poor.bumped(0, &policy).unwrap();
        assert!(bumped.max_fee_per_gas > 0 && bumped.max_priority_fee_per_gas > 0);
    }
}
