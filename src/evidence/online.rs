//! What only a chain can say of a document: whether its block is the chain's, and what is in force now.

use super::claim::Claim;
use super::contracts::ask_contracts;
use super::document::{Attestation, Evidence};
use super::verify::by_contracts;
use crate::attest::saved::Measure;
use crate::attest::{Root, TcbPolicy};
use crate::chain::{AppChanges, BlockRef, Chain, ChainError, Finality, ProofFailure};

/// What the contracts said of a machine.
const CONTRACTS: &str = "attestation.contracts";

/// Asks the chain of the document. Two round trips, those of proving the transaction again, and two where hardware was
/// looked at.
///
/// # Errors
/// The chain did not answer.
pub async fn ask(evidence: &Evidence, chain: &Chain, root: &Root) -> Result<Vec<Claim>, ChainError> {
    let mut claims = vec![canonical(&evidence.block, chain).await?];
    let later = evidence.witness.as_ref().and_then(|witness| witness.head.as_ref());
    if let Some(settled) = evidence.said.settled.as_ref().filter(|_| later.is_some()) {
        claims.push(canonical(&settled.head, chain).await?);
    }
    claims.push(genesis(evidence, chain));
    claims.push(in_force(evidence, chain).await?);
    if let Some(attestation) = &evidence.attestation {
        claims.push(contracts(attestation, chain, root).await?);
    }
    Ok(claims)
}

/// What is to be said where no chain is asked.
pub fn without_chain(evidence: &Evidence) -> Vec<Claim> {
    let nobody = "nobody was asked:";
    let later = evidence.witness.as_ref().and_then(|witness| witness.head.as_ref());
    let blocks = match later {
        None => "the block is the chain's",
        Some(_) => "both blocks are the chain's",
    };
    let mut claims = vec![Claim::open("canonical", format!("{nobody} whether {blocks} is open"))];
    // That the block descends from it is not in the document.
    let (chain_id, known) = (evidence.chain_id, Chain::known_genesis(evidence.chain_id));
    let named = evidence.witness.as_ref().and_then(|witness| witness.genesis);
    claims.extend(named.map(|named| match known.is_some_and(|known| known != named) {
        true => Claim::differs("genesis", format!("the first block is not that of chain {chain_id}")),
        false => Claim::said("genesis", format!("the first block of chain {chain_id} is {named}")),
    }));
    claims.push(Claim::open("now", format!("{nobody} what is in force now is open")));
    claims.extend(evidence.attestation.as_ref().map(|_| {
        Claim::open(
            CONTRACTS,
            format!("{nobody} what the contracts say of machine, image and KMS is what the document says"),
        )
    }));
    claims
}

async fn canonical(block: &BlockRef, chain: &Chain) -> Result<Claim, ChainError> {
    let about = "canonical";
    Ok(match chain.block_hash(block.number).await? {
        Some(hash) => Claim::whether(
            about,
            hash == block.hash,
            [
                format!("block {} is the chain's", block.number),
                format!(
                    "the chain's block {} is {hash}, and the document says {}",
                    block.number, block.hash
                ),
            ],
        ),
        None => Claim::open(
            about,
            format!("the endpoints have no block {} any more, or not yet", block.number),
        ),
    })
}

/// Whether the first block that the document names is the chain's.
fn genesis(evidence: &Evidence, chain: &Chain) -> Claim {
    let about = "genesis";
    let named = evidence.witness.as_ref().and_then(|witness| witness.genesis);
    let (Some(named), Some(found)) = (named, chain.genesis()) else {
        return Claim::open(
            about,
            "the first block is not named in the document, or not by the endpoints",
        );
    };
    Claim::whether(
        about,
        found == named,
        [
            format!("the first block is that of the endpoints' chain {}", chain.id()),
            format!("the first block of the endpoints' chain is {found}, and the document says {named}"),
        ],
    )
}

/// Whether the contracts say of machine, image and KMS what they said when it was looked at.
async fn contracts(attestation: &Attestation, chain: &Chain, root: &Root) -> Result<Claim, ChainError> {
    let saved = &attestation.made_of;
    let Some(said) = saved.contracts.clone() else {
        return Ok(Claim::open(
            CONTRACTS,
            "the document does not say what the contracts said",
        ));
    };
    let by = Measure {
        tcb: &TcbPolicy::default(),
        root,
        at: saved.at,
    };
    let now = ask_contracts(chain, saved, &by).await?;
    let number = now.block;
    let [then, now] = [said, now].map(|one| by_contracts(attestation, one, root));
    let other = then.into_iter().zip(now).find(|(then, now)| then.1 != now.1);
    Ok(match other {
        None => Claim::holds(CONTRACTS, format!("the contracts say the same at block {number}")),
        Some((_, (link, _, told))) => Claim::open(
            CONTRACTS,
            format!("the contracts say otherwise at block {number}: `{link}` {told}"),
        ),
    })
}

/// What is in force now, and, where a transaction is named, that it did it.
async fn in_force(evidence: &Evidence, chain: &Chain) -> Result<Claim, ChainError> {
    let about = "now";
    if evidence.changes.is_empty() {
        return Ok(Claim::open(about, "the document names no change"));
    }
    let wanted = AppChanges {
        app: evidence.app,
        changes: evidence.changes.clone(),
    };
    let finality = Finality::Confirmations(1);
    let proved = match evidence.transaction {
        Some(transaction) => chain.prove(transaction.hash, &wanted, finality).await,
        None => chain.prove_state(&wanted, finality).await,
    };
    Ok(match proved {
        Ok(proof) => {
            let same = evidence.transaction.is_none() || proof.block == evidence.block;
            Claim::whether(
                about,
                same,
                [
                    format!("proved again by the chain, and in force at block {}", proof.head.number),
                    format!(
                        "the transaction is in block {} and not in the document's",
                        proof.block.number
                    ),
                ],
            )
        }
        Err(ProofFailure::Chain(error)) => return Err(error),
        Err(error @ (ProofFailure::Reverted { .. } | ProofFailure::NoEffect { .. })) => {
            Claim::differs(about, error.to_string())
        }
        Err(error @ (ProofFailure::Removed { .. } | ProofFailure::NotInForce { .. })) => {
            Claim::open(about, format!("not in force any more: {error}"))
        }
        Err(error @ ProofFailure::NotSettled { .. }) => Claim::open(about, error.to_string()),
    })
}
