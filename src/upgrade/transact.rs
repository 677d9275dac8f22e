//! One call as a transaction of one key: what it costs, whether somebody agrees, and the signed bytes on disk. Every route
//! signs here; nothing here sends.

use std::time::Duration;

use alloy::primitives::{Address, utils::format_ether};
use tokio::time::Instant;

use super::consent::decisions;
use super::drive::Run;
use super::event::Event;
use super::shown::refuse_shown;
use super::{Errand, UpgradeError};
use crate::chain::{Call, Chain, Filling, Quote};
use crate::code::Code;
use crate::safe::effects::Carried;
use crate::signer::{Consent, Fact, Name, SafeConsent};

/// Nobody was asked when consent took no longer than this.
const CONSENT_AT_ONCE: Duration = Duration::from_secs(1);

/// What somebody is asked before a key signs.
pub(super) struct Asking {
    /// What it is about, besides the effects and the figures, which follow from the bytes.
    pub(super) consent: Consent,
    /// What did not happen when the answer is no.
    pub(super) act: &'static str,
    /// What owners of a Safe agree to by it.
    pub(super) consents: Vec<SafeConsent>,
}

impl Run<'_> {
    /// Signs a call of `from`, whose key is open. With an errand it is a step on the way to the change, not the change.
    pub(super) async fn sign_call(
        &mut self,
        chain: &Chain,
        (from, call): (Address, &Call),
        (errand, asking): (Option<Errand>, Asking),
    ) -> Result<(), UpgradeError> {
        super::point("sign.a");
        self.world.check_consents(self.limits, &asking.consents)?;
        refuse_shown(self.world, self.limits, self.upgrade.state(), &asking.consents)?;
        let filling = Filling {
            fees: self.limits.fees,
            nonce: self.limits.nonce,
        };
        let quote = chain.fill(from, call, filling).await?;
        let filled = Instant::now();
        let consents = self.agree(&quote, asking)?;
        // Filling in read the chain id; a person who thought about it leaves time for another endpoint to answer.
        if filled.elapsed() > CONSENT_AT_ONCE {
            chain.recheck().await?;
        }
        self.world.admit_consents(self.limits, &consents)?;
        if let Some(errand) = errand {
            super::point("errand.a");
            self.record(Event::SafeErrand { errand })?;
        }
        self.record(Event::SignTry {
            signer: from,
            digest: quote.request.signing_hash(),
        })?;
        super::point("sign.b");
        let signer = self
            .open_signer()
            .ok_or_else(|| UpgradeError::decide(Code::SignerNeeded, "no key was named"))?;
        let signed = signer.sign_tx(&quote.request).await?;
        super::point("sign.d");
        self.record(Event::TxSigned(signed))?;
        super::point("sign.e");
        Ok(())
    }

    /// Asks; gives what owners of a Safe agree to by it.
    fn agree(&self, quote: &Quote, asking: Asking) -> Result<Vec<SafeConsent>, UpgradeError> {
        let mut consent = asking.consent;
        consent.effects = self
            .upgrade
            .state()
            .parties()
            .effects_of_calls(std::slice::from_ref(&quote.request.call));
        consent.decisions = decisions(&consent.effects, &self.limits.accepted);
        consent.facts.extend(figures(quote));
        if self.world.ask.consent(&consent)? {
            return Ok(asking.consents);
        }
        Err(UpgradeError::Declined {
            what: asking.act.to_owned(),
        })
    }
}

/// What a transaction is and costs, for whoever agrees to it.
fn figures(quote: &Quote) -> Vec<Fact> {
    let ether = |wei| format!("{} ETH", format_ether(wei));
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
    if let Some(fee) = quote.data_fee.filter(|fee| !fee.is_zero()) {
        facts.push(Fact::new(Name::DataCost, ether(fee)));
    }
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
        assert_eq!(shown(&quote, "costs at most").unwrap(), "0.001000000000000000 ETH");
        assert_eq!(shown(&quote, "of it for its data"), None);
        quote.data_fee = Some(U256::from(500_000_000_000_000_u64));
        assert_eq!(shown(&quote, "costs at most").unwrap(), "0.001500000000000000 ETH");
        assert_eq!(shown(&quote, "of it for its data").unwrap(), "0.000500000000000000 ETH");
        assert_eq!(shown(&quote, "key nonce").unwrap(), "7");
    }
}
