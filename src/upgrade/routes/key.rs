//! An owner that is a key: it signs the one call, with one nonce.

use crate::chain::Chain;
use crate::code::Code;
use crate::signer::{Consent, Fact, Name, Signer};
use crate::upgrade::{
    Outcome, UpgradeError, checks::app::refuse_other_key, model::Plan, routes::transaction::TxConsent, run::Run,
};

impl Run<'_> {
    /// Signs the call of the policy.
    pub(super) async fn approve_by_key(&mut self, chain: &Chain, plan: &Plan) -> Result<Outcome, UpgradeError> {
        self.refuse_second_nonce()?;
        let owner = plan.actor.address;
        let Some(address) = self.signer().await?.map(Signer::address) else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("{owner} has to sign, and no key was named"),
            ));
        };
        refuse_other_key(plan, address)?;
        let calls = self.upgrade.state().calls();
        let [call] = calls.as_slice() else {
            return Err(UpgradeError::decide(
                Code::BatchNeedsSafe,
                "a key makes one call in one transaction",
            ));
        };
        let consent = Consent {
            question: format!("Sign and send this transaction as {owner}?"),
            subject: vec![Fact::new(Name::Chain, plan.chain_id)],
            facts: [
                self.upgrade.state().content(),
                vec![Fact::new(Name::Calldata, &call.data)],
            ]
            .concat(),
            ..Consent::default()
        };
        let asking = TxConsent {
            from: owner,
            call: call.clone(),
            purpose: None,
            consent,
            act: "signing",
            consents: Vec::new(),
        };
        self.sign_call(chain, asking).await?;
        Ok(Outcome::Reached)
    }

    /// Refuses a second nonce for one intent that nobody asked for.
    pub(in crate::upgrade) fn refuse_second_nonce(&self) -> Result<(), UpgradeError> {
        if self.limits.new_nonce {
            return Ok(());
        }
        if let Some(why) = &self.upgrade.state().tx.gone {
            return Err(UpgradeError::decide(
                Code::TxGone,
                format!("the transaction of this upgrade is gone for good: {why}"),
            ));
        }
        if self.upgrade.is_rolled_back() {
            return Err(UpgradeError::decide(
                Code::JournalRolledBack,
                "the journal is an older copy, and a transaction may have been signed after it; the chain shows none that took effect",
            ));
        }
        Ok(())
    }
}
