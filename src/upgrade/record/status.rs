//! What is certain about an upgrade, and what is known of it: read off its state. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::{BlockRef, PolicyChange};
use crate::compose::ComposeHash;
use crate::safe::service::links;
use crate::upgrade::{
    finding::Warning,
    model::{
        plan::Plan,
        proposal::Proposal,
        safe_approval::{SafeTxRole, upper_s},
    },
    record::{state::State, step::Step},
};

/// What is certain about one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It did not happen.
    #[default]
    None,
    /// It may have happened.
    Maybe,
    /// It happened.
    Done,
}

/// What is certain about the effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Effects {
    /// A prepared update exists in the cloud.
    pub prepare: Effect,
    /// Something was signed.
    pub approval: Effect,
    /// The transaction took effect on chain.
    pub transaction: Effect,
    /// The update was committed.
    pub commit: Effect,
    /// The CVM runs it.
    pub live: Effect,
}

/// What is known, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Name of the upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// How the calls get the owner's authority: `eoa`, `safe`, `timelock` or `calldata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// CVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvm: Option<String>,
    /// Kind of the CVM that is made from it, `replica` or `instance`; nothing where it changes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes: Option<String>,
    /// UUID of the CVM that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_cvm: Option<String>,
    /// The app's contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub app: Option<Address>,
    /// KMS's contract that makes the app, where a new one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub factory: Option<Address>,
    /// Chain id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<u64>,
    /// Owner of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub owner: Option<Address>,
    /// Hash before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub previous_compose_hash: Option<ComposeHash>,
    /// Hash to allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub compose_hash: Option<ComposeHash>,
    /// What else changes of the app's policy: kind and value of each change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>"))]
    pub policy: Vec<PolicyChange>,
    /// Other apps that the same transaction changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherFacts>,
    /// Hash of the Safe transaction that owners sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub safe_tx_hash: Option<B256>,
    /// Nonce of that transaction, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_nonce: Option<String>,
    /// Owners who agreed: whose signatures are here and prove themselves, or whose approval on chain was proved here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<Vec<String>>"))]
    pub signed_by: Option<Vec<Address>>,
    /// Owners whose approval on chain was sent by this upgrade and proved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub approved_by: Vec<Address>,
    /// Owners of whom an approval or a contract's signature was handed in that no chain has confirmed: it counts for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub unproven: Vec<Address>,
    /// Signatures that the Safe asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// Who has to agree before it can go on, where that is known: each owner of the Safe who did not yet, or the one key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub waiting_for: Vec<Address>,
    /// Page of Safe{Wallet} with the transaction, where the wallet knows the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_url: Option<String>,
    /// Id of the timelock's operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub operation_id: Option<B256>,
    /// From when on that can be executed (RFC 3339), once it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub ready_at: Option<Timestamp>,
    /// Transaction that allowed it, or that is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub transaction_hash: Option<B256>,
    /// Nonce of that transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// Its block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    /// Hash of its block.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub block_hash: Option<B256>,
    /// When the commit token expires (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub token_expires: Option<Timestamp>,
    /// Phala Cloud's name for the committed operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// What is known of another app that the same transaction changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct OtherFacts {
    /// CVM whose upgrade it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvm: Option<String>,
    /// The app's contract.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub app: Address,
    /// Hash to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub compose_hash: Option<ComposeHash>,
    /// What else changes of its policy: kind and value of each change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>"))]
    pub policy: Vec<PolicyChange>,
    /// It is proved to be in force.
    pub proved: bool,
}

/// Where an upgrade stands, from its journal alone.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Status {
    /// What comes next.
    pub step: Step,
    /// What is certain about effects.
    pub effects: Effects,
    /// What is known.
    pub facts: Facts,
    /// Records in the journal.
    pub records: u64,
    /// Whether owners signed the rejection.
    #[serde(skip)]
    pub rejection_signed: bool,
}

impl State {
    /// What a person should know of signatures that came with a file.
    pub(in crate::upgrade) fn signature_remarks(&self) -> impl Iterator<Item = Warning> {
        self.safe.signatures.normalised.iter().map(|owner| upper_s(*owner))
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        Status {
            step: self.next(),
            effects: self.effects(),
            facts: self.facts(),
            records: self.records,
            rejection_signed: !self.safe.signatures.rejections.is_empty(),
        }
    }

    pub(in crate::upgrade) fn effects(&self) -> Effects {
        let of = |done: bool, maybe: bool| match (done, maybe) {
            (true, _) => Effect::Done,
            (false, true) => Effect::Maybe,
            (false, false) => Effect::None,
        };
        Effects {
            prepare: of(self.prepare.answer.is_some(), self.prepare.trying),
            approval: of(
                self.proof().is_some()
                    || self.deployed().is_some()
                    || !self.tx.signed.is_empty()
                    || !self.safe.signatures.is_empty()
                    || !self.safe.approved.is_empty()
                    || self.timelock.scheduled.is_some(),
                self.tx.signing.is_some(),
            ),
            transaction: of(
                self.proof().is_some() || self.deployed().is_some(),
                !self.tx.signed.is_empty() && self.safe.rejecting.is_none() && self.tx.purpose.is_none(),
            ),
            commit: of(
                self.commit.committed.is_some() && !self.commit.was_found(),
                self.commit.trying || self.commit.was_found(),
            ),
            live: of(self.commit.done.is_some(), self.commit.committed.is_some()),
        }
    }

    /// Owners who agreed to the approval, so that nobody has to ask a chain for it.
    pub(in crate::upgrade) fn agreed(&self) -> BTreeSet<Address> {
        let mut agreed = self.safe.signatures.proven(SafeTxRole::Approval);
        agreed.extend(&self.safe.approved);
        agreed
    }

    fn unproven(&self) -> Vec<Address> {
        let agreed = self.agreed();
        let all = self.safe.signatures.approvals.keys();
        all.filter(|owner| !agreed.contains(*owner)).copied().collect()
    }

    /// Who has to agree next. Where enough have signed, or the timelock is asked, it waits for nobody in particular.
    fn waiting_for(&self) -> Vec<Address> {
        let Some(plan) = self.plan().filter(|_| self.next() == Step::Approve) else {
            return Vec::new();
        };
        if self.timelock.scheduled.is_some() || plan.route.is_calldata() {
            return Vec::new();
        }
        let Some(safe) = &plan.safe else {
            return vec![plan.route.key(false).unwrap_or(plan.actor.address)];
        };
        let agreed = self.agreed();
        if u64::try_from(agreed.len()).is_ok_and(|have| have >= safe.threshold) {
            return Vec::new();
        }
        let missing = safe.owners.iter().filter(|owner| !agreed.contains(*owner));
        missing.copied().collect()
    }

    /// Where owners find the transaction in their wallet.
    fn safe_url(&self, plan: &Plan) -> Option<String> {
        let (safe, hash) = (plan.safe.as_ref()?, self.chosen_hash()?);
        links::transaction(plan.chain_id, safe.address, hash).map(|url| url.to_string())
    }

    /// The app; a new one is known once it is made.
    fn app(&self) -> Option<Address> {
        match self.deployment() {
            Some(_) => self.deployed().map(|made| made.app),
            None => self.identity.as_ref().map(|identity| identity.app),
        }
    }

    /// The hash that is to be allowed.
    fn compose_hash(&self) -> Option<ComposeHash> {
        let prepared = self.prepare.answer.as_ref().map(|prepared| prepared.hash);
        let expected = || self.code().and_then(|code| code.expected_hash);
        let first = || self.deployment().and_then(|new| new.new.hash);
        prepared
            .or_else(expected)
            .or_else(|| first().map(|hash| ComposeHash::new(hash.0)))
    }

    /// The block of what was proved, or last seen.
    fn block(&self) -> Option<BlockRef> {
        let proved = self.proof().map(|proof| proof.block);
        let made = self.deployed().map(|made| made.block);
        proved.or(made).or_else(|| self.tx.seen.map(|(_, block)| block))
    }

    pub(in crate::upgrade) fn facts(&self) -> Facts {
        let plan = self.plan();
        let proof = self.proof();
        let newest = self.tx.signed.last();
        let frozen = self.safe.frozen.as_deref();
        let deployment = self.deployment();
        let deployed = self.deployed();
        let block = self.block();
        Facts {
            update: self.identity.as_ref().map(|identity| identity.update.clone()),
            route: plan.map(|plan| plan.route.kind().to_owned()),
            cvm: self.identity.as_ref().and_then(|identity| identity.cvm.clone()),
            makes: self.code().and_then(|code| code.target.word()).map(str::to_owned),
            new_cvm: self.commit.made.clone(),
            app: self.app(),
            factory: deployment.map(|new| new.kms),
            chain_id: self.identity.as_ref().map(|identity| identity.chain_id),
            owner: plan
                .map(|plan| plan.app_state.owner)
                .or_else(|| deployment.map(|new| new.new.owner)),
            previous_compose_hash: plan.and_then(Plan::current_hash),
            compose_hash: self.compose_hash(),
            policy: plan.map(|plan| plan.policy.clone()).unwrap_or_default(),
            others: self
                .batch
                .joined()
                .map(|(other, proof)| other.facts(proof.is_some()))
                .collect(),
            safe_tx_hash: self.chosen_hash(),
            safe_nonce: frozen.map(|frozen| frozen.transaction.nonce.to_string()),
            signed_by: frozen.map(|_| self.agreed().into_iter().collect()),
            approved_by: self.safe.approved.iter().copied().collect(),
            unproven: self.unproven(),
            threshold: plan.and_then(|plan| plan.safe.as_ref()).map(|safe| safe.threshold),
            waiting_for: self.waiting_for(),
            safe_url: plan.and_then(|plan| self.safe_url(plan)),
            operation_id: self.asked().map(|asked| asked.operation.id()),
            ready_at: self.timelock.scheduled.and_then(|scheduled| {
                let seconds = i64::try_from(scheduled.ready_at).ok()?;
                Timestamp::from_second(seconds).ok()
            }),
            transaction_hash: proof
                .and_then(|proof| proof.transaction)
                .or_else(|| deployed.map(|made| made.transaction))
                .or_else(|| self.tx.seen.map(|(hash, _)| hash))
                .or_else(|| newest.map(|tx| tx.hash)),
            nonce: newest.map(|tx| tx.request.nonce),
            block_number: block.map(|block| block.number),
            block_hash: block.map(|block| block.hash),
            token_expires: self.prepare.token_expires(),
            correlation_id: self.commit.correlation_id(),
        }
    }
}

impl Proposal {
    fn facts(&self, proved: bool) -> OtherFacts {
        OtherFacts {
            cvm: self.plan.code.as_ref().map(|code| code.cvm.clone()),
            app: self.plan.app,
            compose_hash: self.compose_hash,
            policy: self.plan.policy.clone(),
            proved,
        }
    }
}
