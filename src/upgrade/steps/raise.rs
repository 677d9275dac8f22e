//! Raise: the same call with the same nonce and higher fees, when a key is at hand and somebody agrees.

use std::ops::ControlFlow;
use std::time::Duration;

use alloy::primitives::U256;

use crate::chain::{Chain, SignedTx, TxRequest, coins};
use crate::code::Code;
use crate::fsutil::point;
use crate::signer::{Acting, AskError, Consent, Fact, Name, Source};
use crate::upgrade::{
    Outcome, UpgradeError,
    checks::app::is_final,
    record::event::Event,
    run::Run,
    steps::wait::{RETRY_WAIT, RETRY_WAIT_MAX},
};

/// Most raises of what one run waits for.
const RAISES: u32 = 5;

impl Run<'_> {
    /// Raises the fees, if what the endpoints agree on asks for that: none of them alone drives them up.
    pub(in crate::upgrade) async fn bump_if_short(
        &mut self,
        chain: &Chain,
        txs: &[SignedTx],
    ) -> Result<ControlFlow<Outcome, Duration>, UpgradeError> {
        let may = self.has_time() && self.raises < RAISES;
        match chain.market().await {
            Ok(market) if may && txs.iter().all(|tx| market.passes_over(&tx.request)) => {
                Ok(match self.bump(txs, market.base_fee).await? {
                    // Other bytes are to be sent.
                    true => ControlFlow::Break(Outcome::Reached),
                    false => ControlFlow::Continue(RETRY_WAIT_MAX),
                })
            }
            Ok(_) => Ok(ControlFlow::Continue(RETRY_WAIT)),
            Err(error) if is_final(&error) => Err(error.into()),
            Err(error) => {
                self.tell(&format!("{error}; asking again"));
                Ok(ControlFlow::Continue(RETRY_WAIT_MAX))
            }
        }
    }

    /// Signs the same call and nonce with higher fees, when a key is named and somebody agrees; the bytes are sent next.
    /// Whether it did.
    pub(in crate::upgrade) async fn bump(&mut self, txs: &[SignedTx], base_fee: u128) -> Result<bool, UpgradeError> {
        let Some(last) = txs.last() else {
            return Ok(false);
        };
        let request = last.request.bumped(base_fee, &self.limits.fees)?;
        let owner = request.from;
        if matches!(self.world.signer, Some(Source::Browser(_))) {
            self.tell("the fees are too low by now; speed the transaction up in the wallet that sent it");
            return Ok(false);
        }
        match self.signer().await? {
            None => {
                self.tell("the fees are too low by now; name the key with `--signer` to raise them");
                return Ok(false);
            }
            Some(signer) if signer.address() != owner => {
                return Err(UpgradeError::stop(
                    Code::SignerNotOwner,
                    "signer",
                    owner,
                    signer.address(),
                ));
            }
            Some(_) => {}
        }
        let together = self.admit_cost(&request, U256::ZERO)?;
        if !self.agrees_to_raise(&request, together)? {
            return Ok(false);
        }
        point("bump.a");
        self.record(Event::SignTry {
            signer: owner,
            digest: request.signing_hash(),
        })?;
        point("bump.b");
        let Some(signer) = self.open_signer() else {
            return Ok(false);
        };
        let tx = signer.sign_tx(&request).await?;
        point("bump.d");
        self.tell(&format!(
            "raising the fees: transaction {} replaces {}",
            tx.hash, last.hash
        ));
        self.record(Event::TxSigned(tx))?;
        self.raises += 1;
        point("bump.e");
        Ok(true)
    }

    /// What was agreed to has a limit, and this is above it. Without anybody to ask, waiting goes on.
    fn agrees_to_raise(&self, request: &TxRequest, together: U256) -> Result<bool, UpgradeError> {
        let most = format!("{} ETH", coins(request.most()));
        let facts = [
            Some(Fact::new(Name::KeyNonce, request.nonce)),
            Some(Fact::new(Name::GasCostsAtMost, most)),
            self.together(together),
        ];
        let consent = Consent {
            effects: self
                .upgrade
                .state()
                .parties()
                .effects_of_calls(std::slice::from_ref(&request.call)),
            acting: Some(Acting::sends(request.from, request.chain_id)),
            ..Consent::ask(
                "The fees are too low by now. Sign the same transaction again with higher ones?",
                facts.into_iter().flatten().collect(),
            )
        };
        match self.world.ask.consent(&consent) {
            Err(AskError::Nobody(_)) => {
                self.tell("the fees are too low by now, and raising them needs consent; waiting goes on");
                Ok(false)
            }
            Ok(false) => Err(UpgradeError::Declined {
                what: "raising the fees".to_owned(),
            }),
            answer => Ok(answer?),
        }
    }
}
