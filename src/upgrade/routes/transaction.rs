//! One call as a transaction of one key: what it costs, whether somebody agrees, and the signed bytes on disk. Every route
//! signs here; nothing here sends, but for a wallet that gives nothing away unsent.

use std::time::Duration;

use alloy::primitives::{Address, U256};
use tokio::time::Instant;

use crate::chain::{
    ByWallet, Call, Chain, SignedTx, TxError, TxRequest, coins,
    fees::{Filling, Quote, has_data_fee},
};
use crate::code::Code;
use crate::fsutil::point;
use crate::safe::effects::Carried;
use crate::signer::{Acting, Consent, Decision, Fact, Name, SafeConsent, Signer, SignerError, WalletError};
use crate::upgrade::{
    UpgradeError,
    checks::consent::decisions,
    model::{Route, TxPurpose},
    record::event::Event,
    routes::safe::shown::refuse_shown,
    run::{Quoted, Run},
};

/// Looks for what a wallet says that it sent; its own endpoint may be another one, and slower to tell others.
const WALLET_LOOKS: u32 = 20;
const WALLET_LOOK_WAIT: Duration = Duration::from_millis(500);
/// Nobody was asked when consent took no longer than this.
const CONSENT_AT_ONCE: Duration = Duration::from_secs(1);

/// A transaction that somebody may sign.
#[derive(Debug)]
pub(in crate::upgrade) struct ToQuote {
    from: Address,
    call: Call,
    filling: Filling,
}

impl ToQuote {
    /// Asks what it costs.
    pub(in crate::upgrade) async fn quote(self, chain: &Chain) -> Quoted {
        let quote = chain.fill(self.from, &self.call, self.filling).await;
        Quoted {
            from: self.from,
            call: self.call,
            quote,
            at: Instant::now(),
        }
    }
}

/// A call that a key is to sign, and what somebody is asked before.
pub(in crate::upgrade) struct TxConsent {
    /// Whose key, which is open.
    pub(in crate::upgrade) from: Address,
    pub(in crate::upgrade) call: Call,
    /// Why, where it is a step on the way to the change and not the change itself.
    pub(in crate::upgrade) purpose: Option<TxPurpose>,
    /// What it is about, besides the effects and the figures, which follow from the bytes.
    pub(in crate::upgrade) consent: Consent,
    /// What did not happen when the answer is no.
    pub(in crate::upgrade) act: &'static str,
    /// What owners of a Safe agree to by it.
    pub(in crate::upgrade) consents: Vec<SafeConsent>,
}

impl Run<'_> {
    /// The owner's own transaction, where the owner is a key and one is named: what it costs can be asked beside the verdict
    /// on it, which takes as long.
    pub(in crate::upgrade) fn to_quote(&self) -> Option<ToQuote> {
        let state = self.upgrade.state();
        let (Route::Eoa { owner }, Some(_)) = (&state.plan()?.route, self.world.signer) else {
            return None;
        };
        match state.calls().as_slice() {
            [call] => Some(ToQuote {
                from: *owner,
                call: call.clone(),
                filling: self.filling(),
            }),
            _ => None,
        }
    }

    const fn filling(&self) -> Filling {
        Filling {
            fees: self.limits.fees,
            nonce: self.limits.nonce,
        }
    }

    /// The quote that was asked for ahead, or one of now, and when it was made.
    async fn quote(&mut self, chain: &Chain, asking: &TxConsent) -> Result<(Quote, Instant), UpgradeError> {
        let ahead = self.quoted.take();
        let is_its = |quoted: &Quoted| {
            quoted.from == asking.from && quoted.call == asking.call && quoted.at.elapsed() < CONSENT_AT_ONCE
        };
        match ahead.filter(is_its) {
            Some(quoted) => Ok((quoted.quote?, quoted.at)),
            None => Ok((
                chain.fill(asking.from, &asking.call, self.filling()).await?,
                Instant::now(),
            )),
        }
    }

    /// Signs a call.
    pub(in crate::upgrade) async fn sign_call(&mut self, chain: &Chain, asking: TxConsent) -> Result<(), UpgradeError> {
        let (from, purpose) = (asking.from, asking.purpose);
        point("sign.a");
        self.world.check_consents(self.limits, &asking.consents)?;
        refuse_shown(self.world, self.limits, self.upgrade.state(), &asking.consents).await?;
        let (quote, filled) = match self.quote(chain, &asking).await {
            Err(error @ UpgradeError::Tx(TxError::InFlight { .. })) if self.was_asked_before() => {
                let said = "what is in flight may be what the wallet was asked for before";
                return Err(unknown(said, Some(error)));
            }
            quote => quote?,
        };
        let together = self.admit_cost(&quote.request, quote.data_fee.unwrap_or_default())?;
        self.may_begin("signing")?;
        let (consents, named) = self.agree(&quote, together, asking)?;
        // Filling in read the chain id; a person who thought about it leaves time for another endpoint to answer.
        if filled.elapsed() > CONSENT_AT_ONCE {
            chain.recheck().await?;
        }
        self.upgrade.keep_named(&named)?;
        self.world.admit_consents(self.limits, &consents)?;
        if let Some(purpose) = purpose {
            point("errand.a");
            self.record(Event::SafePurpose { purpose })?;
        }
        self.record(Event::SignTry {
            signer: from,
            digest: quote.request.signing_hash(),
        })?;
        point("sign.b");
        let signer = self
            .open_signer()
            .ok_or_else(|| UpgradeError::decide(Code::SignerNeeded, "no key was named"))?;
        let signed = if signer.sends() {
            self.send_by_wallet(chain, signer, &quote.request).await?
        } else {
            signer.sign_tx(&quote.request).await?
        };
        point("sign.d");
        self.record(Event::TxSigned(signed))?;
        point("sign.e");
        Ok(())
    }

    /// Has a wallet send it, and reads back what it sent. Intent, account and the digest of chain, nonce and call are on disk
    /// by now; what becomes unknown here is settled by the next run, which reads the chain before it asks again.
    async fn send_by_wallet(
        &self,
        chain: &Chain,
        signer: &Signer,
        planned: &TxRequest,
    ) -> Result<SignedTx, UpgradeError> {
        let hash = match signer.send_tx(planned).await {
            Ok(hash) => hash,
            // Whoever refuses, or has to answer something else first, sent nothing.
            Err(error @ SignerError::Wallet(WalletError::Refused | WalletError::Busy)) => return Err(error.into()),
            Err(error) if signer.was_asked() => {
                return Err(unknown("the wallet may have sent the transaction", Some(error.into())));
            }
            Err(error) => return Err(error.into()),
        };
        point("wallet.sent");
        self.tell(&format!("the wallet says that it sent transaction {hash}"));
        let mut trouble = None;
        for _ in 0..WALLET_LOOKS {
            match chain.by_wallet(hash, planned).await {
                Ok(Some(ByWallet::Planned(signed))) => return Ok(*signed),
                Ok(Some(ByWallet::Other(what))) => {
                    return Err(UpgradeError::stop(
                        Code::TxMismatch,
                        "the transaction that the wallet sent",
                        "what it was asked for",
                        format!("{what}, in {hash}"),
                    ));
                }
                Ok(Some(ByWallet::OtherForm(why))) => {
                    let said = format!("transaction {hash} does what was asked for, in a form of its own: {why}");
                    return Err(unknown(&said, None));
                }
                Ok(None) => {}
                Err(error) => trouble = Some(error),
            }
            self.sleep(WALLET_LOOK_WAIT).await;
        }
        let said = format!("the wallet says that it sent transaction {hash}, and no endpoint shows it");
        Err(unknown(&said, trouble.map(UpgradeError::from)))
    }

    /// Whether the key is one that sends what it signs, and was asked for this before without an answer that is known.
    fn was_asked_before(&self) -> bool {
        self.open_signer().is_some_and(Signer::sends) && self.upgrade.state().tx.signing.is_some()
    }

    /// What has to be known of a wallet that was asked before: a call that can be made twice is a decision.
    fn asked_before(&self, consent: &mut Consent, request: &TxRequest) {
        if !self.was_asked_before() {
            return;
        }
        let what = "a wallet was asked for this before, and nothing of it is seen on the chain: where it still shows that \
                    request, refuse it there";
        consent.facts.push(Fact::new(Name::AskedBefore, what));
        let (code, value) = (Code::WalletAskedBefore, request.call.to.to_string());
        let state = self.upgrade.state();
        let accepted = self.limits.accepted.with(&state.accepted);
        if state.deployment().is_some() && !accepted.covers(code, Some(&value)) {
            let what = format!("{what}; both together would make two apps");
            consent.decisions.push(Decision { code, value, what });
        }
    }

    /// The most that the whole upgrade costs once this is signed as well, if that is within the limit.
    pub(in crate::upgrade) fn admit_cost(&self, request: &TxRequest, data_fee: U256) -> Result<U256, UpgradeError> {
        let (spending, fees) = (&self.upgrade.state().tx.spending, &self.limits.fees);
        let needed = spending.admit(request, data_fee, fees)?;
        // Where nothing limits it, whoever agrees has to look at it.
        if fees.limit(request.chain_id).is_none() && self.world.ask.agrees_unseen() {
            let chain = request.chain_id;
            return Err(TxError::CostUnlimited { needed, chain }.into());
        }
        Ok(needed)
    }

    /// What everything costs together, where this is not the first that is signed.
    pub(in crate::upgrade) fn together(&self, most: U256) -> Option<Fact> {
        let is_first = self.upgrade.state().tx.spending.is_empty();
        (!is_first).then(|| Fact::new(Name::CostsTogether, format!("{} ETH", coins(most))))
    }

    /// Asks; gives what owners of a Safe agree to by it, and what was agreed to by name.
    fn agree(
        &self,
        quote: &Quote,
        together: U256,
        asking: TxConsent,
    ) -> Result<(Vec<SafeConsent>, Vec<Decision>), UpgradeError> {
        let mut consent = asking.consent;
        consent.acting = Some(Acting::sends(quote.request.from, quote.request.chain_id));
        consent.effects = self
            .upgrade
            .state()
            .parties()
            .effects_of_calls(std::slice::from_ref(&quote.request.call));
        consent.decisions = decisions(
            &consent.effects,
            &self.limits.accepted.with(&self.upgrade.state().accepted),
        );
        self.asked_before(&mut consent, &quote.request);
        consent.facts.extend(figures(quote));
        consent.facts.extend(self.together(together));
        if self.world.ask.consent(&consent)? {
            return Ok((asking.consents, consent.decisions));
        }
        Err(UpgradeError::Declined {
            what: asking.act.to_owned(),
        })
    }
}

/// That a wallet may have sent a transaction: the next run looks for it before it asks again.
fn unknown(message: &str, source: Option<UpgradeError>) -> UpgradeError {
    UpgradeError::Unknown {
        code: Code::WalletUnknown,
        message: message.to_owned(),
        source: source.map(Into::into),
    }
}

/// What a transaction is and costs, for whoever agrees to it.
fn figures(quote: &Quote) -> Vec<Fact> {
    let ether = |wei| format!("{} ETH", coins(wei));
    let call = &quote.request.call;
    let digest = match Carried::by(&call.data) {
        Carried::Execution => Name::DigestOfExecution,
        Carried::Approval => Name::DigestOfApproval,
        Carried::Other => Name::DigestOfCall,
    };
    let mut facts = vec![
        Fact::new(digest, call.digest()),
        Fact::new(Name::KeyNonce, quote.request.nonce),
        Fact::new(Name::CostsAtMost, ether(quote.most())),
    ];
    // The chain takes it besides, at the price of the moment: no field of a transaction limits it.
    let data = match quote.data_fee.filter(|fee| !fee.is_zero()) {
        Some(fee) => Some(ether(fee)),
        None if has_data_fee(quote.request.chain_id) => Some("not known".to_owned()),
        None => None,
    };
    facts.extend(data.map(|fee| Fact::new(Name::DataCost, format!("{fee}; the signature does not limit it"))));
    facts
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, U256};

    use super::*;
    use crate::chain::TxRequest;

    #[test]
    fn who_agrees_sees_what_the_data_costs_besides_the_gas() {
        let request = TxRequest {
            chain_id: 8453,
            from: Address::repeat_byte(1),
            nonce: 7,
            call: Call::add_compose_hash(Address::repeat_byte(2), B256::repeat_byte(3)),
            gas_limit: 1_000_000,
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1,
        };
        let mut quote = Quote {
            request,
            data_fee: None,
        };
        let shown = |quote: &Quote, name: &str| {
            let facts = figures(quote);
            facts
                .into_iter()
                .find(|fact| fact.label() == name)
                .map(|fact| fact.value)
        };
        assert_eq!(shown(&quote, "costs at most").unwrap(), "0.001 ETH");
        let unknown = "not known; the signature does not limit it";
        assert_eq!(shown(&quote, "of it for its data").unwrap(), unknown);
        quote.data_fee = Some(U256::from(500_000_000_000_000_u64));
        assert_eq!(shown(&quote, "costs at most").unwrap(), "0.0015 ETH");
        let data = "0.0005 ETH; the signature does not limit it";
        assert_eq!(shown(&quote, "of it for its data").unwrap(), data);
        assert_eq!(shown(&quote, "key nonce").unwrap(), "7");
        (quote.data_fee, quote.request.chain_id) = (None, 1);
        assert_eq!(shown(&quote, "of it for its data"), None);
    }
}
