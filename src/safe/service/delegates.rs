//! Who may propose in an owner's name, and proposals that are taken away. All of it may be done again: what is so already
//! is left as it is, and an answer that got lost is settled by reading.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::{OwnerSignature, SafeTx};
use super::{Delegate, DelegateFilter, DelegateList, Reply, Service, ServiceError, record};
use crate::http::{Request, Retry};

/// Most owners of a Safe whose delegates are asked for, a request each: no Safe that people sign for has as many.
pub(super) const MAX_OWNERS: usize = 100;
/// Longest name for a delegate that the service takes, characters.
const MAX_LABEL: usize = 50;

/// One account that may propose in one owner's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delegation {
    /// The Safe; none means all Safes of the owner.
    pub safe: Option<Address>,
    /// Who may propose.
    pub delegate: Address,
    /// The owner.
    pub delegator: Address,
}

/// A name for a delegate, as the service takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// Takes a name, without the blanks around it, which the service leaves out as well; nothing if it is empty or longer
    /// than the service takes.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let length = text.chars().count();
        (1..=MAX_LABEL).contains(&length).then(|| Self(text.to_owned()))
    }
    /// Whether a record has this name.
    pub fn is_that_of(&self, record: &Delegate) -> bool {
        record::line(&self.0) == record.label
    }
    /// The name, as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Delegation {
    /// Names the Safe, if it is for one alone.
    fn place_in(&self, body: &mut Value) {
        if let (Some(safe), Some(body)) = (self.safe, body.as_object_mut()) {
            body.insert("safe".to_owned(), safe.to_string().into());
        }
    }
}

impl Service {
    /// `GET /api/v2/delegates/`: who may propose for `safe` in the name of one of `owners`, as far as that is known: also
    /// those who may for all Safes of an owner, whom the service leaves out where it is asked for the Safe.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn delegates_for(&self, safe: Address, owners: &[Address]) -> Result<DelegateList, ServiceError> {
        let mut asked: Vec<Address> = owners.to_vec();
        asked.sort_unstable();
        asked.dedup();
        if asked.len() > MAX_OWNERS {
            return Err(ServiceError::TooMany {
                request: format!("GET the Safe {safe}"),
                limit: MAX_OWNERS,
                of: "owners",
            });
        }
        let filter = DelegateFilter {
            safe: Some(safe),
            ..DelegateFilter::default()
        };
        let mut all = self.delegates(&filter).await?;
        // For all Safes of somebody else is for none of these.
        let others = all
            .found
            .extract_if(.., |one| one.safe.is_none() && !asked.contains(&one.delegator));
        all.unasked.extend(others);
        for owner in asked {
            let filter = DelegateFilter {
                delegator: Some(owner),
                ..DelegateFilter::default()
            };
            let theirs = self.delegates(&filter).await?;
            let for_all = theirs.found.into_iter().filter(|one| one.safe.is_none());
            let new: Vec<Delegate> = for_all.filter(|one| !all.found.contains(one)).collect();
            all.found.extend(new);
            all.unasked.extend(theirs.unasked);
        }
        Ok(all)
    }
    /// Whether `one` is so already, and by which name.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn delegation(&self, one: &Delegation) -> Result<Option<Delegate>, ServiceError> {
        let filter = DelegateFilter {
            safe: one.safe,
            delegate: Some(one.delegate),
            delegator: Some(one.delegator),
        };
        let same = |found: &Delegate| {
            found.safe == one.safe && found.delegate == one.delegate && found.delegator == one.delegator
        };
        Ok(self.delegates(&filter).await?.found.into_iter().find(same))
    }
    /// `POST /api/v2/delegates/`: lets somebody propose. `signature` is the owner's, of
    /// [`Act::Delegate`](super::Act::Delegate). The service keeps one name for each; a second one replaces the first.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::Unsettled`] if an answer was lost and reading did not show it.
    pub async fn add_delegate(
        &self,
        one: &Delegation,
        label: &Label,
        signature: &OwnerSignature,
    ) -> Result<(), ServiceError> {
        let mut body = json!({
            "delegate": one.delegate.to_string(),
            "delegator": one.delegator.to_string(),
            "signature": signature.to_bytes(),
            "label": label.0,
        });
        one.place_in(&mut body);
        let done = match self.post(&["v2", "delegates"], &body).await {
            Ok(reply) => reply.created(),
            Err(error) => Err(error),
        };
        let what = format!("delegate {}", one.delegate);
        match done {
            Err(error) if error.may_have_happened() => {
                let there = self.delegation(one).await.is_ok_and(|found| found.is_some());
                settled(there, what, error)
            }
            certain => certain,
        }
    }
    /// `DELETE /api/v2/delegates/{delegate}/`: lets somebody propose no longer. `signature` is the owner's or the
    /// delegate's own, of [`Act::Delegate`](super::Act::Delegate). Without a Safe, all delegations of this owner to the
    /// delegate go. Nobody to remove is no error.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::Unsettled`] if an answer was lost and reading did not show it.
    pub async fn remove_delegate(&self, one: &Delegation, signature: &OwnerSignature) -> Result<(), ServiceError> {
        let mut body = json!({
            "delegator": one.delegator.to_string(),
            "signature": signature.to_bytes(),
        });
        one.place_in(&mut body);
        let path = ["v2", "delegates", &one.delegate.to_string()];
        match removed(self.delete(&path, &body).await) {
            Err(error) if error.may_have_happened() => {
                let gone = self.delegation(one).await.is_ok_and(|found| found.is_none());
                settled(gone, format!("the removal of delegate {}", one.delegate), error)
            }
            certain => certain,
        }
    }
    /// `DELETE /api/v2/multisig-transactions/{safe_tx_hash}/`: takes a proposal away. `signature` is that of who
    /// proposed it, of [`Act::Delete`](super::Act::Delete). Signatures that others saw stay good all the same. A proposal
    /// that is not there is no error.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::Unsettled`] if an answer was lost and reading did not show it.
    pub async fn withdraw(&self, tx: &SafeTx, signature: &OwnerSignature) -> Result<(), ServiceError> {
        let hash: B256 = tx.hash();
        let path = ["v2", "multisig-transactions", &hash.to_string()];
        let body = json!({ "safeTxHash": hash, "signature": signature.to_bytes() });
        match removed(self.delete(&path, &body).await) {
            Err(error) if error.may_have_happened() => {
                let gone = self.transaction(hash).await.is_ok_and(|found| found.is_none());
                settled(gone, format!("the withdrawal of {hash}"), error)
            }
            certain => certain,
        }
    }

    async fn delete(&self, path: &[&str], body: &Value) -> Result<Reply, ServiceError> {
        let mut request = Request::new(Method::DELETE, self.url(path)?, Retry::Write);
        request.body = Some(body.to_string().into_bytes());
        self.send(request).await
    }
}

/// A removal that was done, also by somebody before.
fn removed(reply: Result<Reply, ServiceError>) -> Result<(), ServiceError> {
    let reply = reply?;
    match reply.answer.status {
        200 | 202 | 204 => Ok(()),
        404 if reply.is_absent() => Ok(()),
        _ => Err(reply.refusal()),
    }
}

fn settled(is_so: bool, what: String, error: ServiceError) -> Result<(), ServiceError> {
    if is_so {
        return Ok(());
    }
    Err(ServiceError::Unsettled {
        what,
        source: Box::new(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_the_service_takes() {
        assert_eq!(Label::new(""), None);
        assert_eq!(Label::new(&"ä".repeat(51)), None);
        assert_eq!(Label::new(" \t"), None);
        assert_eq!(
            Label::new(" x\ty "),
            Label::new("x\ty"),
            "the blanks around it are not part of it"
        );
        assert!(Label::new("ci").is_some() && Label::new(&"ä".repeat(50)).is_some());
    }
}
