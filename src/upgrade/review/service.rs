//! Transactions at the Safe Transaction Service: every hash computed again, every signer recovered, everything at one
//! nonce shown. The service is a notice board; whose Safe it is, is asked of the chain.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};

use crate::chain::Call;
use crate::code::Code;
use crate::safe::{
    Digests, SafeDomain, SafeTx, SafeTxError, SafeTxFields,
    approvals::SignatureSet,
    info::SafeInfo,
    recognise::{Recognition, recognise},
    service::{Service, ServiceError, ServiceTx},
};
use crate::upgrade::{
    Limits, Stop, UpgradeError, World,
    finding::Warning,
    model::Proposal,
    review::{
        model::{CallShown, Found, FoundTx, Posted, Source},
        offline::show,
        problem::Problem,
    },
    routes::safe::nonce::owners_queued,
};

/// What is looked for at the service.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Chain id.
    pub chain_id: u64,
    /// The Safe.
    pub safe: Address,
    /// Which of its transactions.
    pub which: Which,
    /// The upgrade that it should be, if one is named.
    pub proposal: Option<&'a Proposal>,
}

/// Which of a Safe's transactions.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// The one with this hash, and what competes with it.
    Hash(B256),
    /// All with this nonce.
    Nonce(U256),
}

/// One reading of the board.
struct Board<'a> {
    info: &'a SafeInfo,
    domain: SafeDomain,
    limits: &'a Limits,
    wanted: Wanted<'a>,
    /// The hash of the proposal's own transaction.
    ours: Option<B256>,
}

/// Reviews what the service shows of a Safe, compared with the upgrade that it should be, if one is named.
///
/// # Errors
/// The service or the chain did not answer.
pub async fn review_posted(
    world: &World<'_>,
    service: &Service,
    limits: &Limits,
    wanted: Wanted<'_>,
) -> Result<Found, UpgradeError> {
    let ours = wanted
        .proposal
        .map(|proposal| same_safe(wanted, proposal))
        .transpose()?
        .flatten();
    let chain = world.chain(wanted.chain_id).await?;
    let Some(info) = SafeInfo::read(&chain, wanted.safe).await? else {
        return Err(UpgradeError::stop(
            Code::NotASafe,
            format!("{} on chain {}", wanted.safe, wanted.chain_id),
            "a Safe",
            "none",
        ));
    };
    let posted = posted(service, wanted).await.map_err(UpgradeError::Service)?;
    let board = Board {
        domain: SafeDomain {
            chain_id: wanted.chain_id,
            safe: wanted.safe,
            version: info.version,
        },
        info: &info,
        limits,
        wanted,
        ours,
    };
    let mut found = board.found(service.host(), &posted);
    if let Some(nonce) = posted
        .first()
        .map(|tx| tx.fields.nonce)
        .filter(|nonce| *nonce > info.nonce)
    {
        let waiting = service.queue(wanted.safe, info.nonce).await;
        let waiting = waiting.map_err(UpgradeError::Service)?;
        found.warnings.extend(owners_queued(&info, &waiting, nonce));
    }
    if wanted.proposal.is_none() && found.is_clean() {
        found.ask(world).await?;
    }
    Ok(found)
}

/// What the service shows of what is wanted, and everything that competes with it.
async fn posted(service: &Service, wanted: Wanted<'_>) -> Result<Vec<ServiceTx>, ServiceError> {
    let hash = match wanted.which {
        Which::Nonce(nonce) => return service.by_nonce(wanted.safe, nonce).await,
        Which::Hash(hash) => hash,
    };
    let Some(named) = service.transaction(hash).await? else {
        return Ok(Vec::new());
    };
    let all = service.by_nonce(wanted.safe, named.fields.nonce).await?;
    let others = all.into_iter().filter(|tx| tx.claimed_hash != hash);
    Ok(std::iter::once(named).chain(others).collect())
}

impl Board<'_> {
    fn found(&self, host: String, posted: &[ServiceTx]) -> Found {
        let mut found = Found {
            source: Source::Service { host },
            chain_id: self.wanted.chain_id,
            safe: Some(self.wanted.safe),
            transactions: posted.iter().map(|tx| self.show(tx)).collect(),
            warnings: Vec::new(),
            unchecked: Vec::new(),
            problems: Vec::new(),
        };
        self.judge_safe(&mut found);
        if posted.is_empty() {
            found.decide(Code::ServiceNoTx, "the service shows no such transaction of this Safe");
        }
        let shows_it = found.transactions.iter().any(|shown| shown.difference.is_none());
        for tx in posted {
            self.judge(&mut found, tx);
        }
        if self.wanted.proposal.is_some() && !posted.is_empty() && !shows_it && found.is_clean() {
            found.decide(
                Code::ServiceNoTx,
                "the service does not show this transaction, only others at its nonce that nobody has signed",
            );
        }
        let holding = posted.iter().filter(|tx| tx.holds_its_nonce()).count();
        if holding > 1 && found.is_clean() {
            found.decide(
                Code::SafeCompetitors,
                format!("{holding} signed transactions of the Safe have this nonce: only one of them can be executed"),
            );
        }
        found
    }

    /// Without an upgrade nothing else looks at the Safe itself.
    fn judge_safe(&self, found: &mut Found) {
        if self.wanted.proposal.is_some() {
            return;
        }
        let judged = crate::upgrade::checks::safe::judge(self.limits, self.info, self.info);
        if let Some(Ok(problem)) = judged.err().map(Problem::of) {
            found.problems.push(problem);
        }
    }

    fn show(&self, tx: &ServiceTx) -> FoundTx {
        let fields = &tx.fields;
        let accepted = self.accept(fields);
        let apps = self
            .wanted
            .proposal
            .map_or_else(|| vec![fields.to], Proposal::addresses);
        let calls = match &accepted {
            Ok(accepted) if accepted.is_rejection() => Vec::new(),
            Ok(accepted) => self.calls(accepted.calls(), apps),
            Err(_) => self.calls(std::slice::from_ref(&whole(fields)), apps),
        };
        let difference = self.difference(tx, accepted.as_ref().err());
        FoundTx {
            ours: self.wanted.proposal.map(|_| difference.is_none()),
            difference,
            fields: Some(fields.clone()),
            hashes: Some(Digests {
                domain: self.domain.separator(),
                message: fields.message_hash(self.domain.version),
                safe_tx: fields.hash(&self.domain),
                data: whole(fields).digest(),
            }),
            claimed_hash: Some(tx.claimed_hash),
            posted: Some(Posted {
                rejects: accepted.as_ref().is_ok_and(SafeTx::is_rejection),
                trusted: tx.trusted,
                said_executed: tx.executed,
                proposer: tx.proposer,
                origin: tx.origin.clone(),
                signed_by: accepted.map(|accepted| self.signers(&accepted, tx)).unwrap_or_default(),
                not_theirs: not_theirs(tx),
            }),
            calls,
        }
    }

    /// Without a proposal the first call's target is taken for the app; whether it is one, is asked of the chain.
    fn calls(&self, calls: &[Call], apps: Vec<Address>) -> Vec<CallShown> {
        let apps = match (self.wanted.proposal, calls.first()) {
            (None, Some(call)) => vec![call.to],
            _ => apps,
        };
        calls.iter().map(|call| show(call, &apps)).collect()
    }

    fn accept(&self, fields: &SafeTxFields) -> Result<SafeTx, SafeTxError> {
        SafeTx::accept(self.domain, fields.clone(), self.limits.trust.old_versions)
    }

    /// Owners whose signature counts for these very fields.
    fn signers(&self, accepted: &SafeTx, tx: &ServiceTx) -> Vec<Address> {
        let (mut set, owners) = (SignatureSet::new(accepted), self.info.owner_set());
        for signature in tx.signatures() {
            if let Err(error) = set.insert(signature, &owners) {
                tracing::debug!(%error, "a signature at the service does not count");
            }
        }
        let proven = set.by_owner().iter().filter(|(_, signature)| signature.proves_itself());
        proven.map(|(owner, _)| *owner).collect()
    }

    /// The first thing in which it is not what it says, or not the upgrade.
    fn difference(&self, tx: &ServiceTx, refused: Option<&SafeTxError>) -> Option<String> {
        if let Err(error) = tx.computed_hash(&self.domain) {
            return Some(error.to_string());
        }
        let Some(proposal) = self.wanted.proposal else {
            return refused.map(ToString::to_string);
        };
        match recognise(&tx.fields, &self.domain, &proposal.calls) {
            Recognition::Same => None,
            Recognition::Different(difference) => Some(difference.to_string()),
            Recognition::NotOurs => Some("it does something else altogether".to_owned()),
        }
    }

    /// What stands against one of them.
    fn judge(&self, found: &mut Found, tx: &ServiceTx) {
        let computed = tx.fields.hash(&self.domain);
        let wanted = matches!(self.wanted.which, Which::Hash(hash) if hash == tx.claimed_hash);
        // Anybody can post what nobody has signed, so it does not stop those who look for something else.
        let counts = wanted || tx.holds_its_nonce();
        if computed != tx.claimed_hash && counts {
            let stop = Stop::new(Code::ServiceTampered, "safeTxHash", computed, tx.claimed_hash);
            return found.stop(stop);
        }
        for owner in not_theirs(tx) {
            if counts {
                let expected = format!("a signature of {owner}");
                let stop = Stop::new(Code::ServiceTampered, "a confirmation", expected, "somebody else's");
                found.stop(stop);
            }
        }
        let accepted = self.accept(&tx.fields);
        let refused = accepted.as_ref().err();
        if accepted.as_ref().is_ok_and(SafeTx::is_rejection) {
            return self.judge_rejection(found, wanted, counts);
        }
        match self.difference(tx, refused) {
            Some(difference) if counts => {
                let what = format!("Safe transaction {computed}");
                found.stop(Stop::new(Code::ServiceDiffers, what, self.expected(), difference));
                found.judge_calls();
            }
            Some(_) => found.warnings.push(Warning {
                code: Code::ServiceUnsigned,
                text: format!("the service shows {computed}, which nobody has signed and which is not this one"),
            }),
            None if self.wanted.proposal.is_none() && counts => found.judge_calls(),
            None if self.ours.is_some_and(|ours| ours != computed) => found.warnings.push(Warning {
                code: Code::ServiceOtherHash,
                text: format!(
                    "{computed} makes the same calls as the proposal under another hash: only one of them should be signed"
                ),
            }),
            None => {}
        }
        let next = self.info.nonce;
        if self.wanted.proposal.is_none() && counts && tx.fields.nonce < next {
            let nonce = tx.fields.nonce;
            let why = format!("nonce {nonce} of the Safe is used up, its next one is {next}");
            found.decide(Code::SafeNonceTaken, why);
        }
    }

    fn judge_rejection(&self, found: &mut Found, wanted: bool, counts: bool) {
        if counts && (self.wanted.proposal.is_some() || !wanted) {
            found.decide(
                Code::SafeRejecting,
                "owners have begun to reject this nonce: the service shows a transaction that only uses it up",
            );
        }
    }

    fn expected(&self) -> String {
        self.wanted.proposal.map_or_else(
            || "a transaction that an upgrade makes".to_owned(),
            |proposal| format!("the proposal's calls, which {}", proposal.told()),
        )
    }
}

/// A proposal is compared with its own Safe's transactions only; the hash of its own one.
fn same_safe(wanted: Wanted<'_>, proposal: &Proposal) -> Result<Option<B256>, UpgradeError> {
    let plan = &proposal.plan;
    let told = |chain_id: u64, safe: Address| format!("{safe} on chain {chain_id}");
    let (expected, found) = (
        told(plan.chain_id, plan.asked_address()),
        told(wanted.chain_id, wanted.safe),
    );
    if expected != found {
        return Err(UpgradeError::stop(
            Code::SafeMismatch,
            "Safe of the proposal",
            expected,
            found,
        ));
    }
    Ok(proposal.ceremony()?.map(|ceremony| ceremony.hash()))
}

/// Everything that it says as one call, also where that is a delegate call.
fn whole(fields: &SafeTxFields) -> Call {
    Call {
        to: fields.to,
        value: fields.value,
        data: fields.data.clone(),
    }
}

/// Owners whom the service names for a signature that is not theirs.
fn not_theirs(tx: &ServiceTx) -> Vec<Address> {
    let theirs: BTreeSet<Address> = tx.confirmed().collect();
    let named = tx.confirmations.iter().map(|one| one.owner);
    named.filter(|owner| !theirs.contains(owner)).collect()
}
