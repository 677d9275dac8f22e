//! Sending signed bytes to every endpoint, and what their answers mean.
//!
//! Texts are matched by substring in lower case, never codes: clients use different codes for the same condition. A
//! text that nobody knows means that the transaction may have been taken.

use std::fmt;

use alloy::primitives::B256;
use futures_util::future::join_all;
use serde_json::json;

use super::rpc::{Ask, Node, Refusal, Reply, never_sent, printable};
use super::{Chain, ChainError, SignedTx};

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broadcast {
    /// An endpoint took it.
    Accepted,
    /// An endpoint has it already.
    AlreadyKnown,
    /// Every endpoint refused it, for certain.
    Rejected(Rejection),
    /// It may or may not have been taken.
    Ambiguous {
        /// What was said, escaped.
        said: String,
    },
}

/// Classes of refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The nonce is used.
    NonceTooLow,
    /// Another transaction with this nonce pays as much.
    Underpriced,
    /// The fee is below the block's base fee.
    FeeTooLow,
    /// Too little money.
    Funds,
    /// Too little or too much gas.
    Gas,
    /// Signed for another chain.
    WrongChain,
    /// The endpoint says another hash than the bytes have.
    OtherHash {
        /// What it said.
        said: B256,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonceTooLow => f.write_str("its nonce is used"),
            Self::Underpriced => f.write_str("another transaction with its nonce pays as much"),
            Self::FeeTooLow => f.write_str("its fee is below the base fee"),
            Self::Funds => f.write_str("too little money"),
            Self::Gas => f.write_str("too little or too much gas"),
            Self::WrongChain => f.write_str("it is signed for another chain"),
            Self::OtherHash { said } => write!(f, "the endpoint says another hash, {said}"),
        }
    }
}

/// What a text means; `None`: already there. Order matters where one text holds another.
const TEXTS: &[(&str, Option<Rejection>)] = &[
    ("already known", None),
    ("already imported", None),
    ("already in mempool", None),
    ("already exists", None),
    ("known transaction", None),
    ("alreadyknown", None),
    ("invalid chain id", Some(Rejection::WrongChain)),
    ("incorrect chain", Some(Rejection::WrongChain)),
    ("invalid sender", Some(Rejection::WrongChain)),
    ("nonce too low", Some(Rejection::NonceTooLow)),
    ("nonce is too low", Some(Rejection::NonceTooLow)),
    ("oldnonce", Some(Rejection::NonceTooLow)),
    ("replacement transaction underpriced", Some(Rejection::Underpriced)),
    ("replacement not allowed", Some(Rejection::Underpriced)),
    ("could not replace", Some(Rejection::Underpriced)),
    ("insufficient funds", Some(Rejection::Funds)),
    ("insufficient balance", Some(Rejection::Funds)),
    ("less than block base fee", Some(Rejection::FeeTooLow)),
    ("max fee per gas less than", Some(Rejection::FeeTooLow)),
    ("feetoolow", Some(Rejection::FeeTooLow)),
    ("fee too low", Some(Rejection::FeeTooLow)),
    ("transaction underpriced", Some(Rejection::FeeTooLow)),
    ("gas price below", Some(Rejection::FeeTooLow)),
    ("gas tip cap", Some(Rejection::FeeTooLow)),
    ("intrinsic gas too low", Some(Rejection::Gas)),
    ("exceeds block gas limit", Some(Rejection::Gas)),
    ("gas limit exceeded", Some(Rejection::Gas)),
    ("exceeds the block gas limit", Some(Rejection::Gas)),
    ("intrinsic gas too high", Some(Rejection::Gas)),
    ("gas limit too high", Some(Rejection::Gas)),
];

/// Which refusal is told when endpoints refuse for different reasons: what stops comes first, then what another look
/// at the chain settles.
const fn weight(rejection: &Rejection) -> u8 {
    match rejection {
        Rejection::OtherHash { .. } => 0,
        Rejection::WrongChain => 1,
        Rejection::NonceTooLow => 2,
        Rejection::Underpriced => 3,
        Rejection::FeeTooLow => 4,
        Rejection::Funds => 5,
        Rejection::Gas => 6,
    }
}

impl Chain {
    /// Sends the bytes to every endpoint. One round trip.
    ///
    /// # Errors
    /// The bytes certainly reached no endpoint. An unknown outcome is a value, not an error.
    pub async fn broadcast(&self, tx: &SignedTx) -> Result<Broadcast, ChainError> {
        self.tops.forget();
        // Endpoints that are set aside for reading may still take a transaction.
        let answers = join_all(self.nodes.iter().map(|node| Self::submit(node, tx))).await;
        let mut outcomes = Vec::new();
        let mut unsent = None;
        for answer in answers {
            match answer {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => unsent = unsent.or(Some(error)),
            }
        }
        match (combined(outcomes), unsent) {
            (Some(outcome), _) => Ok(outcome),
            (None, unsent) => Err(unsent.unwrap_or(ChainError::NoEndpoint { chain: self.id() })),
        }
    }

    /// # Errors
    /// The bytes did not leave this machine.
    async fn submit(node: &Node, tx: &SignedTx) -> Result<Broadcast, ChainError> {
        let ask = [Ask::new("eth_sendRawTransaction", json!([tx.raw]))];
        let reply = match node.ask(&ask).await {
            Ok(mut replies) => replies.reply(),
            Err(error) => Err(error),
        };
        let outcome = match reply {
            Ok((_, Reply::Refused(refusal))) => classify(&refusal),
            Ok((_, Reply::Result(raw))) => accepted(raw.get(), tx.hash),
            Err(error) if never_sent(&error) => return Err(error),
            Err(error) => Broadcast::Ambiguous { said: chain_of(&error) },
        };
        tracing::info!(endpoint = node.label(), ?outcome, hash = %tx.hash, "broadcast");
        Ok(outcome)
    }
}

fn accepted(raw: &str, hash: B256) -> Broadcast {
    match serde_json::from_str::<B256>(raw) {
        Ok(said) if said == hash => Broadcast::Accepted,
        Ok(said) => Broadcast::Rejected(Rejection::OtherHash { said }),
        Err(_) => Broadcast::Ambiguous { said: printable(raw) },
    }
}

fn classify(refusal: &Refusal) -> Broadcast {
    let said = refusal.lower();
    match TEXTS.iter().find(|(text, _)| said.contains(text)) {
        Some((_, None)) => Broadcast::AlreadyKnown,
        Some((_, Some(rejection))) => Broadcast::Rejected(rejection.clone()),
        None => Broadcast::Ambiguous {
            said: refusal.message.clone(),
        },
    }
}

/// One outcome of all. Another hash than ours stops everything; one endpoint that has it is enough; one that may
/// have it makes the whole unknown.
fn combined(outcomes: Vec<Broadcast>) -> Option<Broadcast> {
    outcomes.into_iter().min_by_key(|outcome| match outcome {
        Broadcast::Rejected(Rejection::OtherHash { .. }) => (0, 0),
        Broadcast::Accepted => (1, 0),
        Broadcast::AlreadyKnown => (2, 0),
        Broadcast::Ambiguous { .. } => (3, 0),
        Broadcast::Rejected(rejection) => (4, weight(rejection)),
    })
}

/// An error and its causes on one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    printable(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: B256 = B256::repeat_byte(7);

    fn said(code: i64, message: &str) -> Broadcast {
        classify(&Refusal {
            code,
            message: message.to_owned(),
            data: None,
        })
    }

    #[test]
    fn x1_what_an_endpoint_has_already_is_success() {
        for text in [
            "already known",
            "transaction already imported",
            "AlreadyKnown",
            "ALREADY_EXISTS: already known",
            "known transaction: 0x07",
        ] {
            assert_eq!(said(-32000, text), Broadcast::AlreadyKnown, "{text}");
        }
    }

    /// Texts of geth 1.14 (core/txpool, core/error.go), anvil 1.7.1, erigon, nethermind and reth.
    #[test]
    fn refusals_are_told_apart_by_their_text() {
        let table = [
            ("nonce too low", Rejection::NonceTooLow),
            ("nonce too low: next nonce 5, tx nonce 4", Rejection::NonceTooLow),
            ("OldNonce", Rejection::NonceTooLow),
            ("replacement transaction underpriced", Rejection::Underpriced),
            ("could not replace existing tx", Rejection::Underpriced),
            ("max fee per gas less than block base fee", Rejection::FeeTooLow),
            (
                "max fee per gas less than block base fee: address 0x01, maxFeePerGas: 1, baseFee: 7",
                Rejection::FeeTooLow,
            ),
            (
                "transaction underpriced: gas tip cap 1, minimum needed 1000000",
                Rejection::FeeTooLow,
            ),
            ("FeeTooLow, EffectivePriorityFeePerGas too low", Rejection::FeeTooLow),
            (
                "insufficient funds for gas * price + value: balance 0, tx cost 9",
                Rejection::Funds,
            ),
            ("Insufficient funds for gas * price + value", Rejection::Funds),
            ("intrinsic gas too low", Rejection::Gas),
            ("intrinsic gas too low: gas 20000, minimum needed 21000", Rejection::Gas),
            ("exceeds block gas limit", Rejection::Gas),
            ("intrinsic gas too high", Rejection::Gas),
            ("invalid chain id for signer", Rejection::WrongChain),
            ("invalid chain id for signer: have 1 want 8453", Rejection::WrongChain),
        ];
        for (text, rejection) in table {
            for code in [-32000, -32003, 3] {
                assert_eq!(said(code, text), Broadcast::Rejected(rejection.clone()), "{text}");
            }
        }
    }

    #[test]
    fn x24_a_text_that_nobody_knows_leaves_the_outcome_open() {
        for text in [
            "internal error",
            "",
            "txpool is full",
            "nonce gap too wide",
            "service busy, try again",
        ] {
            assert!(matches!(said(-32000, text), Broadcast::Ambiguous { .. }), "{text}");
        }
    }

    #[test]
    fn r22_another_hash_than_that_of_our_bytes_is_never_acceptance() {
        assert_eq!(accepted(&format!("\"{HASH}\""), HASH), Broadcast::Accepted);
        let other = B256::repeat_byte(8);
        assert_eq!(
            accepted(&format!("\"{other}\""), HASH),
            Broadcast::Rejected(Rejection::OtherHash { said: other })
        );
        for garbage in ["null", "\"0x07\"", "{}", "true"] {
            assert!(
                matches!(accepted(garbage, HASH), Broadcast::Ambiguous { .. }),
                "{garbage}"
            );
        }
    }

    #[test]
    fn of_many_answers_one_that_took_it_is_enough_and_one_that_may_have_leaves_it_open() {
        let low = || Broadcast::Rejected(Rejection::NonceTooLow);
        let funds = || Broadcast::Rejected(Rejection::Funds);
        let open = || Broadcast::Ambiguous { said: "?".to_owned() };
        let other = || Broadcast::Rejected(Rejection::OtherHash { said: HASH });
        let table = [
            (vec![funds(), Broadcast::Accepted, open()], Broadcast::Accepted),
            (vec![low(), Broadcast::AlreadyKnown], Broadcast::AlreadyKnown),
            (vec![funds(), open(), low()], open()),
            (vec![funds(), low()], low()),
            (vec![Broadcast::Accepted, other()], other()),
        ];
        for (outcomes, expected) in table {
            assert_eq!(combined(outcomes.clone()), Some(expected.clone()), "{outcomes:?}");
            let backwards = outcomes.iter().rev().cloned().collect();
            assert_eq!(combined(backwards), Some(expected), "{outcomes:?}");
        }
        assert_eq!(combined(Vec::new()), None);
    }
}
