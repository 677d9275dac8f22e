//! The calls of an upgrade, executed by the owners as a Safe transaction that another tool made of them: from a batch file,
//! at a nonce of its own. It is known by its content, and takes the place of the one that was chosen here.

use alloy::primitives::{B256, U256};

use crate::chain::Chain;
use crate::safe::{
    OwnerSignature, SafeTx,
    approvals::SignatureSet,
    executed::executed_in,
    info::SafeInfo,
    recognise::{Announced, recognise_hash},
};
use crate::upgrade::{
    UpgradeError,
    model::safe_approval::{FrozenSafeTx, SafeApproval, SafeTxRole, Stage},
    record::event::Event,
    run::Run,
};

/// Nonces before the Safe's next one that are tried: more transactions than people make while an upgrade waits.
const NONCES: u64 = 1000;

impl Run<'_> {
    /// Whether `transaction` executed exactly the calls of this upgrade as another Safe transaction than the chosen one.
    /// From then on that one is what the upgrade tells of, with the signatures that the Safe announced.
    pub(in crate::upgrade) async fn recognise_execution(
        &mut self,
        chain: &Chain,
        transaction: B256,
        ceremony: &SafeApproval,
    ) -> Result<bool, UpgradeError> {
        let chosen = &ceremony.approval.tx;
        let domain = chosen.domain();
        if !matches!(ceremony.stage, Stage::Policy | Stage::Execute) {
            return Ok(false);
        }
        let (done, announced) = executed_in(chain, transaction, domain.safe).await?;
        let info = SafeInfo::read(chain, domain.safe).await?;
        let (Some(info), true) = (info, self.upgrade.state().tx.signed.is_empty()) else {
            return Ok(false);
        };
        let nonces = || (1..=NONCES).map_while(|back| info.nonce.checked_sub(U256::from(back)));
        let found = done
            .iter()
            .find_map(|hash| recognise_hash(*hash, domain, chosen.calls(), nonces()));
        let Some(executed) = found else {
            return Ok(false);
        };
        let (hash, nonce) = (executed.hash(), executed.fields().nonce);
        self.tell(&format!(
            "the owners made the same calls as Safe transaction {hash} at nonce {nonce}, in transaction {transaction}"
        ));
        if info.nonce <= ceremony.nonce() {
            let told = format!(
                "Safe transaction {} can still be executed; it would change nothing",
                chosen.hash()
            );
            self.tell(&told);
        }
        let why = format!("its calls were made by Safe transaction {hash}");
        self.record(Event::SafeGone { why })?;
        self.record(Event::SafeFrozen(Box::new(FrozenSafeTx {
            domain: *domain,
            transaction: executed.fields().clone(),
            block: ceremony.block,
            stage: ceremony.stage,
        })))?;
        self.keep_announced(&executed, &info, &announced)?;
        self.upgrade.write_proposal()?;
        Ok(true)
    }

    /// Who signed what was executed, where the Safe said so: it checked them before.
    fn keep_announced(
        &mut self,
        executed: &SafeTx,
        info: &SafeInfo,
        announced: &[Announced],
    ) -> Result<(), UpgradeError> {
        let ours = announced
            .iter()
            .find(|one| one.fields.hash(executed.domain()) == executed.hash());
        let packed = ours.and_then(|one| OwnerSignature::read_packed(&one.signatures).ok());
        let mut set = SignatureSet::new(executed);
        for signature in packed.unwrap_or_default() {
            if let Err(error) = set.insert(signature, &info.owner_set()) {
                tracing::debug!(%error, "a signature of what was executed is by no owner of today");
            }
        }
        for (owner, signature) in set.by_owner() {
            self.record(Event::SafeSignature {
                owner: *owner,
                signature: signature.to_bytes(),
                role: SafeTxRole::Approval,
                source: "chain".to_owned(),
            })?;
        }
        Ok(())
    }
}
