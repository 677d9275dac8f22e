//! The chain room against real contracts on anvil: what it reads, sends, waits for and proves, and whom it does not
//! believe.

pub mod endpoints;
pub mod factory;
pub mod faults;
pub mod kms_trust;
pub mod liar;
mod life;
pub mod money;
pub mod older_contracts;
pub mod policy_history;
pub mod proof_gone;
mod proofs;
mod reads;
mod witness;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use countersign::chain::{
    Call, Chain, ChainError, Finality, Options, SignedTx, TxRequest, fees::Filling, quorum::Quorum,
};
use countersign::http::{Http, Limits};

use crate::support::{Account, World};

const HASH: B256 = B256::repeat_byte(0xab);
const ONE: Finality = Finality::Confirmations(1);

/// Connects to chain 31337 at these endpoints.
async fn connect(urls: &[&str]) -> Result<Chain, ChainError> {
    connect_as(urls, 31337, false).await
}

/// Connects with a quorum of its own.
async fn connect_with(urls: &[&str], quorum: Quorum) -> Result<Chain, ChainError> {
    let options = Options {
        endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
        quorum,
        chain_id: 31337,
        allow_unpinned: false,
    };
    Chain::connect(&options, &Http::new(Limits::default())).await
}

async fn connect_as(urls: &[&str], chain_id: u64, allow_unpinned: bool) -> Result<Chain, ChainError> {
    let options = Options {
        endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
        chain_id,
        quorum: Quorum::default(),
        allow_unpinned,
    };
    Chain::connect(&options, &Http::new(Limits::default())).await
}

async fn chain_of(world: &World) -> Chain {
    connect(&[&world.anvil.url()]).await.unwrap()
}

/// Signs with one of anvil's keys, independent of the signer room.
fn sign(request: TxRequest, account: Account) -> SignedTx {
    let key: PrivateKeySigner = account.key.parse().unwrap();
    let tx = TxEip1559 {
        chain_id: request.chain_id,
        nonce: request.nonce,
        gas_limit: request.gas_limit,
        max_fee_per_gas: request.max_fee_per_gas,
        max_priority_fee_per_gas: request.max_priority_fee_per_gas,
        to: TxKind::Call(request.call.to),
        value: request.call.value,
        input: request.call.data.clone(),
        ..TxEip1559::default()
    };
    assert_eq!(tx.signature_hash(), request.signing_hash());
    let signature = key.sign_hash_sync(&tx.signature_hash()).unwrap();
    let raw = TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718();
    SignedTx::from_raw(request, raw.into()).unwrap()
}

/// The owner's `addComposeHash`, filled and signed, not sent.
async fn addition(world: &World, chain: &Chain, hash: B256) -> SignedTx {
    let call = Call::add_compose_hash(world.app, hash);
    let quote = chain
        .fill(world.owner.address, &call, Filling::default())
        .await
        .unwrap();
    sign(quote.request, world.owner)
}

/// A transfer of nothing, from the owner to itself, with this nonce.
fn foreign(world: &World, like: &SignedTx) -> SignedTx {
    let call = Call {
        to: world.owner.address,
        value: U256::from(1),
        data: Default::default(),
    };
    let request = TxRequest {
        call,
        ..like.request.clone()
    };
    sign(request, world.owner)
}

/// What somebody else's address looks like.
const STRANGER: Address = Address::repeat_byte(0x57);
