//! Raise: the same call with the same nonce and higher fees, when a key is at hand and somebody agrees.

use std::time::Duration;

use alloy::primitives::U256;

use crate::chain::{Chain, SignedTx, TxRequest, coins};
use crate::code::Code;
use crate::fsutil::point;
use crate::signer::{AskError, Consent, Fact, Name};
use crate::upgrade::{
    UpgradeError,
    checks::app::is_final,
    record::event::Event,
    run::Run,
    steps::wait::{RETRY_WAIT, RETRY_WAIT_MAX},
};

impl Run<'_> {
    /// Raises the fees, if what the endpoints agree on asks for that: none of them alone drives them up.
    pub(in crate::upgrade) async fn bump_if_short(
        &mut self,
        chain: &Chain,
        txs: &[SignedTx],
    ) -> Result<Duration, UpgradeError> {
        match chain.market().await {
            Ok(market) if self.has_time() && txs.iter().all(|tx| market.passes_over(&tx.request)) => {
                self.bump(txs, market.base_fee).await
            }
            Ok(_) => Ok(RETRY_WAIT),
            Err(error) if is_final(&error) => Err(error.into()),
            Err(error) => {
                self.tell(&format!("{error}; asking again"));
                Ok(RETRY_WAIT_MAX)
            }
        }
    }

    /// Replaces the transaction by one with the same call and nonce and higher fees, when a key is named, and sends it;
    /// otherwise waiting goes on. Gives the time to wait before the next look.
    pub(in crate::upgrade) async fn bump(
        &mut self,
        txs: &[SignedTx],
        base_fee: u128,
    ) -> Result<Duration, UpgradeError> {
        let Some(last) = txs.last() else {
            return Ok(RETRY_WAIT);
        };
        let request = last.request.bumped(base_fee, &self.limits.fees)?;
        let owner = request.from;
        match self.signer().await? {
            None => {
                self.tell("the fees are too low by now; name the key with `--signer` to raise them");
                return Ok(RETRY_WAIT_MAX);
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
            return Ok(RETRY_WAIT_MAX);
        }
        point("bump.a");
        self.record(Event::SignTry {
            signer: owner,
            digest: request.signing_hash(),
        })?;
        point("bump.b");
        let signed = match self.open_signer() {
            Some(signer) => Some(signer.sign_tx(&request).await?),
            None => None,
        };
        point("bump.d");
        if let Some(tx) = signed {
            self.tell(&format!(
                "raising the fees: transaction {} replaces {}",
                tx.hash, last.hash
            ));
            self.record(Event::TxSigned(tx))?;
            point("bump.e");
            // Broadcasting raises the fees in turn when they are too low to be taken at all.
            Box::pin(self.broadcast()).await?;
        }
        Ok(Duration::ZERO)
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
