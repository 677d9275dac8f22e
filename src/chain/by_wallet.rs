//! A transaction that a wallet made of what it was asked, and sent itself.
//!
//! A wallet chooses fees, and may choose the nonce. What it sent is read back by the hash that it gave: bytes that have this
//! hash prove themselves, whichever endpoint gives them. From there on they are like bytes that were signed here.

use alloy::consensus::transaction::SignerRecoverable as _;
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::primitives::{B256, keccak256};
use serde_json::json;

use super::rpc::{Ask, Node};
use super::tx::{SignedTx, TxRequest};
use super::{Chain, ChainError};

/// What a transaction with the hash that a wallet gave comes to.
#[derive(Debug)]
pub(crate) enum ByWallet {
    /// The one that was asked for, with the wallet's own nonce and fees.
    Planned(Box<SignedTx>),
    /// It does what was asked for in a form that is not followed by its bytes: why.
    OtherForm(String),
    /// Something else: what differs.
    Other(&'static str),
}

impl Chain {
    /// What a wallet sent, once any endpoint has it in a block or before.
    ///
    /// # Errors
    /// No endpoint answered.
    pub(crate) async fn by_wallet(&self, hash: B256, planned: &TxRequest) -> Result<Option<ByWallet>, ChainError> {
        let found = self.hear(|node| sent(node, hash)).await?;
        let mut there = found.into_iter().filter_map(|(_, envelope)| envelope);
        Ok(there.next().map(|envelope| compare(&envelope, planned)))
    }
}

/// What an endpoint shows, if it has this hash.
async fn sent(node: &Node, hash: B256) -> Result<Option<TxEnvelope>, ChainError> {
    let ask = Ask::new("eth_getTransactionByHash", json!([hash]));
    let shown: Option<alloy::rpc::types::Transaction> = node.ask(&[ask]).await?.take()?;
    let envelope = shown.map(|shown| shown.inner.into_inner());
    Ok(envelope.filter(|envelope| keccak256(envelope.encoded_2718()) == hash))
}

/// Field by field; nonce, gas and fees are the wallet's. Pure.
fn compare(found: &TxEnvelope, planned: &TxRequest) -> ByWallet {
    let signer = found.recover_signer().ok();
    let checks = [
        (signer == Some(planned.from), "another account sent it"),
        (found.chain_id() == Some(planned.chain_id), "another chain id"),
        (found.to() == Some(planned.call.to), "another contract is called"),
        (found.input() == &planned.call.data, "other calldata"),
        (found.value() == planned.call.value, "another value"),
    ];
    if let Some((_, what)) = checks.into_iter().find(|(same, _)| !same) {
        return ByWallet::Other(what);
    }
    let request = TxRequest {
        nonce: found.nonce(),
        gas_limit: found.gas_limit(),
        max_fee_per_gas: found.max_fee_per_gas(),
        max_priority_fee_per_gas: found.max_priority_fee_per_gas().unwrap_or_default(),
        ..planned.clone()
    };
    match SignedTx::from_raw(request, found.encoded_2718().into()) {
        Ok(signed) => ByWallet::Planned(Box::new(signed)),
        Err(error) => ByWallet::OtherForm(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use alloy::consensus::{SignableTransaction as _, TxEip1559, TxLegacy};
    use alloy::primitives::{Address, TxKind, U256};
    use alloy::signers::SignerSync as _;
    use alloy::signers::local::PrivateKeySigner;

    use super::*;
    use crate::chain::Call;

    fn key(byte: u8) -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
    }

    fn planned() -> TxRequest {
        TxRequest {
            chain_id: 8453,
            from: key(1).address(),
            nonce: 7,
            call: Call::add_compose_hash(Address::repeat_byte(2), B256::repeat_byte(3)),
            gas_limit: 100_000,
            max_fee_per_gas: 100,
            max_priority_fee_per_gas: 1,
        }
    }

    fn asked() -> TxEip1559 {
        let TxRequest { call, .. } = planned();
        TxEip1559 {
            chain_id: 8453,
            nonce: 9,
            gas_limit: 150_000,
            max_fee_per_gas: 333,
            max_priority_fee_per_gas: 33,
            to: TxKind::Call(call.to),
            value: call.value,
            input: call.data,
            ..TxEip1559::default()
        }
    }

    fn signed(byte: u8, tx: TxEip1559) -> TxEnvelope {
        let signature = key(byte).sign_hash_sync(&tx.signature_hash()).unwrap();
        tx.into_signed(signature).into()
    }

    #[test]
    fn nonce_gas_and_fees_are_the_wallets_and_everything_else_is_what_was_asked() {
        let ByWallet::Planned(sent) = compare(&signed(1, asked()), &planned()) else {
            panic!("it is the one that was asked for");
        };
        assert_eq!((sent.request.nonce, sent.request.max_fee_per_gas), (9, 333));
        assert_eq!(sent.hash, keccak256(&sent.raw));
        let other = |edit: &dyn Fn(&mut TxEip1559)| {
            let mut tx = asked();
            edit(&mut tx);
            matches!(compare(&signed(1, tx), &planned()), ByWallet::Other(_))
        };
        assert!(other(&|tx| tx.chain_id = 1));
        assert!(other(&|tx| tx.to = TxKind::Call(Address::repeat_byte(9))));
        assert!(other(&|tx| tx.to = TxKind::Create));
        assert!(other(&|tx| tx.input = [0].into()));
        assert!(other(&|tx| tx.value = U256::ONE));
        assert!(matches!(
            compare(&signed(2, asked()), &planned()),
            ByWallet::Other("another account sent it")
        ));
        let listed = {
            let mut tx = asked();
            tx.access_list.0.push(alloy::eips::eip2930::AccessListItem::default());
            compare(&signed(1, tx), &planned())
        };
        assert!(matches!(listed, ByWallet::OtherForm(_)));
        let TxRequest { call, .. } = planned();
        let legacy = TxLegacy {
            chain_id: Some(8453),
            to: TxKind::Call(call.to),
            input: call.data,
            ..TxLegacy::default()
        };
        let signature = key(1).sign_hash_sync(&legacy.signature_hash()).unwrap();
        let legacy: TxEnvelope = legacy.into_signed(signature).into();
        assert!(matches!(compare(&legacy, &planned()), ByWallet::OtherForm(_)));
    }
}
