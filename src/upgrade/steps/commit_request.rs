//! What a commit asks of the person and of the cloud, by what it makes, and what it came to.

use crate::chain::{PolicyChange, Proof, Proved};
use crate::cloud::{
    CloudError, CvmId,
    updates::{Accepted, Commit, CommitToken, Registration},
};
use crate::compose::ComposeHash;
use crate::signer::{Consent, Fact, Name};
use crate::upgrade::{UpgradeError, model::target::Target, run::Run};

/// What a commit came to.
pub(in crate::upgrade) struct Taken {
    /// What the server said; nothing when it was found out by reading.
    pub(in crate::upgrade) accepted: Option<Accepted>,
    /// UUID of the CVM that it made, if it made one.
    pub(in crate::upgrade) made: Option<String>,
}

impl Taken {
    /// Found out by reading.
    pub(in crate::upgrade) const fn found(made: Option<String>) -> Self {
        Self { accepted: None, made }
    }
}

impl Run<'_> {
    /// Asks whether to commit.
    pub(in crate::upgrade) fn ask_to_commit(&self) -> Result<(), UpgradeError> {
        let (code, cvm) = (self.code()?, self.cvm()?);
        let mut facts = vec![Fact::new(Name::ComposeHash, self.hash()?)];
        if let Some(node) = code.target.placement().and_then(|placement| placement.node) {
            facts.push(Fact::new(Name::Node, node));
        }
        let question = match code.target {
            Target::Cvm => format!("Commit the update of {cvm}? It restarts the CVM."),
            Target::Replica(_) => format!("Make the replica of {cvm}? It is paid for from its start."),
            Target::Instance(_) => "Make the new instance? It is paid for from its start.".to_owned(),
        };
        let consent = Consent::ask(question, facts);
        if self.world.ask.consent(&consent)? {
            Ok(())
        } else {
            Err(UpgradeError::Declined {
                what: "committing".to_owned(),
            })
        }
    }

    /// Sends the commit that belongs to the target: with a token, or with two headers where the CVM is there.
    pub(in crate::upgrade) async fn post(
        &self,
        token: Option<&CommitToken>,
        hash: ComposeHash,
        by: Registration,
    ) -> Result<Taken, CloudError> {
        let code = self.upgrade.state().code();
        let cvm: CvmId = code.map_or("", |code| code.cvm.as_str()).parse()?;
        let accepted = match (code.map(|code| &code.target), token) {
            (Some(target), Some(token)) if target.is_new() => {
                return self.post_new(target, Commit { token, hash, by }).await;
            }
            (_, Some(token)) => self.cloud.commit(&cvm, Commit { token, hash, by }).await?,
            (_, None) => self.cloud.confirm(&cvm, hash, by).await?,
        };
        Ok(Taken {
            accepted: Some(accepted),
            made: None,
        })
    }
}

/// The transaction, where it is the one that allowed the hash; otherwise that is by state.
pub(in crate::upgrade) fn registration(proof: &Proof) -> Registration {
    let allows =
        |proved: &Proved| matches!(proved.change, PolicyChange::AddComposeHash(_)) && proved.log_index.is_some();
    let transaction = proof.transaction.filter(|_| proof.changes.iter().any(allows));
    transaction.map_or(Registration::Already, Registration::Transaction)
}
