//! Transactions at the Safe Transaction Service: every hash computed again, every signer recovered, everything at one
//! nonce shown. The service is a notice board; whose Safe it is, is asked of the chain.

use alloy::primitives::{Address, B256, U256};

use crate::chain::Call;
use crate::code::Code;
use crate::safe::{
    Digests, SafeDomain, SafeTx, SafeTxError, SafeTxFields,
    info::SafeInfo,
    recognise::{Recognition, recognise},
    service::{AtNonce, Service, ServiceError, ServiceTx, prove},
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
    routes::safe::nonce::{named, owners_queued, unseen_unsigned},
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
    /// It is the rejection that is to be signed.
    pub rejects: bool,
}

/// Which of a Safe's transactions.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// The one with this hash, and what competes with it.
    Hash(B256),
    /// All with this nonce.
    Nonce(U256),
}

/// Most transactions that nobody has signed of which all is shown: anybody can write more.
const SHOWN: usize = 5;

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
    let mut posted = posted(service, wanted, ours).await.map_err(UpgradeError::Service)?;
    prove(&chain, &info, &mut posted.trusted).await?;
    prove(&chain, &info, &mut posted.unsigned.read).await?;
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
    let nonce = posted.trusted.iter().chain(&posted.unsigned.read).next();
    if let Some(nonce) = nonce.map(|tx| tx.fields.nonce).filter(|nonce| *nonce > info.nonce) {
        let waiting = service.queue(wanted.safe, info.nonce).await;
        let mut waiting = waiting.map_err(UpgradeError::Service)?;
        prove(&chain, &info, &mut waiting).await?;
        found.warnings.extend(owners_queued(&info, &waiting, nonce));
    }
    if wanted.proposal.is_none() && found.is_clean() {
        found.ask(world).await?;
    }
    Ok(found)
}

/// What the service shows of what is wanted, and everything that competes with it. The one that is looked for is found
/// however many others there are, and comes first.
async fn posted(service: &Service, wanted: Wanted<'_>, ours: Option<B256>) -> Result<AtNonce, ServiceError> {
    let (named, nonce) = match wanted.which {
        Which::Nonce(nonce) => (None, nonce),
        Which::Hash(hash) => match service.transaction(hash).await? {
            Some(named) => (Some(named.clone()), named.fields.nonce),
            None => return Ok(AtNonce::default()),
        },
    };
    let mut all = service.by_nonce(wanted.safe, nonce).await?;
    let named = match (named, ours) {
        (None, Some(ours)) if !all.trusted.iter().any(|tx| tx.claimed_hash == ours) => {
            let there = service.transaction(ours).await?;
            there.filter(|tx| tx.fields.nonce == nonce)
        }
        (named, _) => named,
    };
    if let Some(named) = named {
        let list = if named.trusted {
            &mut all.trusted
        } else {
            &mut all.unsigned.read
        };
        list.retain(|tx| tx.claimed_hash != named.claimed_hash);
        list.insert(0, named);
    }
    Ok(all)
}

/// What is at the nonce besides what is looked for.
#[derive(Default)]
struct Others<'a> {
    /// What owners agreed to.
    signed: Vec<&'a ServiceTx>,
    /// What no owner agreed to.
    unsigned: Vec<B256>,
}

impl Board<'_> {
    fn found(&self, host: String, posted: &AtNonce) -> Found {
        let all = || posted.trusted.iter().chain(&posted.unsigned.read);
        let shown = posted.trusted.iter().chain(posted.unsigned.read.iter().take(SHOWN));
        let mut found = Found {
            source: Source::Service { host },
            chain_id: self.wanted.chain_id,
            safe: Some(self.wanted.safe),
            transactions: shown.map(|tx| self.show(tx)).collect(),
            warnings: Vec::new(),
            unchecked: Vec::new(),
            problems: Vec::new(),
        };
        if self.wanted.proposal.is_none() {
            found.miss_hash();
        }
        self.judge_safe(&mut found);
        let Some(first) = all().next() else {
            if let Which::Nonce(nonce) = self.wanted.which {
                found.warnings.extend(unseen_unsigned(&posted.unsigned, nonce));
            }
            found.decide(Code::ServiceNoTx, "the service shows no such transaction of this Safe");
            return found;
        };
        let nonce = first.fields.nonce;
        let shows_it = found
            .transactions
            .iter()
            .any(|shown| shown.difference.is_none() || self.rejects() && shown.rejects());
        let mut others = Others::default();
        for tx in all() {
            self.judge(&mut found, &mut others, Judged { tx, shows_it });
        }
        self.judge_others(&mut found, &others, posted);
        found.warnings.extend(unseen_unsigned(&posted.unsigned, nonce));
        self.judge_absence(&mut found, shows_it, all().any(|tx| self.counts(tx)));
        found
    }

    /// That what is looked for is not there, only what nobody has signed, which stands for nothing.
    fn judge_absence(&self, found: &mut Found, shows_it: bool, some_count: bool) {
        let why = match self.wanted.proposal {
            Some(_) if !shows_it && found.is_clean() => {
                "the service does not show this transaction, only others at its nonce that nobody has signed"
            }
            None if !some_count => {
                "no owner has signed what the service shows at this nonce: whoever means one of them names it by its hash \
                 (--safe-tx-hash)"
            }
            _ => return,
        };
        found.decide(Code::ServiceNoTx, why);
    }

    /// What competes with it, and what nobody signed: the one in a line for all of them, since anybody can write the other.
    fn judge_others(&self, found: &mut Found, others: &Others<'_>, posted: &AtNonce) {
        let unsigned = others.unsigned.len();
        if unsigned > 0 {
            let more = posted.unsigned.more;
            let count = u64::try_from(unsigned).unwrap_or(u64::MAX).saturating_add(more);
            let seen = posted.trusted.iter().chain(&posted.unsigned.read);
            let besides = match seen.into_iter().any(|tx| self.counts(tx)) || self.wanted.proposal.is_some() {
                true => " and that are not this one",
                false => "",
            };
            let text = format!(
                "the service shows {count} at this nonce that no owner has signed{besides}: {}",
                named(&others.unsigned, more)
            );
            found.warnings.push(Warning {
                code: Code::ServiceUnsigned,
                text,
            });
        }
        let told = |tx: &&ServiceTx| {
            let (have, needed) = (tx.agreed().len(), self.info.threshold);
            format!("{} ({have} of {needed} agreed)", tx.claimed_hash)
        };
        let competitors: Vec<String> = others.signed.iter().map(told).collect();
        let holding = posted.trusted.iter().filter(|tx| tx.holds_its_nonce()).count();
        let text = match competitors.as_slice() {
            [] if holding > 1 && !self.rejects() => {
                format!("{holding} signed transactions of the Safe have this nonce: only one of them can be executed")
            }
            [] => return,
            some => format!(
                "owners signed something else for this nonce, and only one transaction can be executed with it: {}",
                some.join(", ")
            ),
        };
        if self.rejects() {
            found.warnings.push(Warning {
                code: Code::SafeCompetitors,
                text,
            });
        } else if found.is_clean() || !competitors.is_empty() {
            found.decide(Code::SafeCompetitors, text);
        }
    }

    /// Whether the rejection is what is looked for.
    const fn rejects(&self) -> bool {
        self.wanted.rejects
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
            judged: self.counts(tx),
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
                delegate: tx.delegate,
                origin: tx.origin.clone(),
                signed_by: tx.agreed().into_iter().collect(),
                not_theirs: tx.not_theirs().into_iter().map(|(owner, _)| owner).collect(),
                unconfirmed: tx.unconfirmed().into_iter().collect(),
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
        let apps: Vec<Address> = apps.into_iter().filter(|app| *app != self.wanted.safe).collect();
        calls.iter().map(|call| show(call, &apps)).collect()
    }

    fn accept(&self, fields: &SafeTxFields) -> Result<SafeTx, SafeTxError> {
        SafeTx::accept(self.domain, fields.clone(), self.limits.trust.old_versions)
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

    /// Whether it takes the nonce of the proposal, and is no changed form of it: nobody was deceived, and somebody has to
    /// decide. Where the service shows the proposal itself, whatever else it shows is something else.
    fn competes(&self, tx: &ServiceTx, shows_it: bool) -> bool {
        self.wanted.proposal.is_some_and(|proposal| {
            let not_ours = || recognise(&tx.fields, &self.domain, &proposal.calls) == Recognition::NotOurs;
            shows_it || !proposal.addresses().contains(&tx.fields.to) && not_ours()
        })
    }

    /// Whether it is the one that was asked for by its hash.
    fn is_wanted(&self, tx: &ServiceTx) -> bool {
        matches!(self.wanted.which, Which::Hash(hash) if hash == tx.claimed_hash)
    }

    /// Anybody can post what nobody has signed, so it does not stop those who look for something else.
    fn counts(&self, tx: &ServiceTx) -> bool {
        tx.trusted || self.is_wanted(tx)
    }

    /// What stands against one of them.
    fn judge<'t>(&self, found: &mut Found, others: &mut Others<'t>, one: Judged<'t>) {
        let Judged { tx, shows_it } = one;
        let computed = tx.fields.hash(&self.domain);
        let (wanted, counts) = (self.is_wanted(tx), self.counts(tx));
        if computed != tx.claimed_hash && counts {
            let stop = Stop::new(Code::ServiceTampered, "safeTxHash", computed, tx.claimed_hash);
            return found.stop(stop);
        }
        for (owner, why) in tx.not_theirs() {
            if counts {
                let expected = format!("a signature of {owner}");
                let stop = Stop::new(Code::ServiceTampered, "a confirmation", expected, why);
                found.stop(stop);
            }
        }
        let accepted = self.accept(&tx.fields);
        let refused = accepted.as_ref().err();
        if accepted.as_ref().is_ok_and(SafeTx::is_rejection) {
            return self.judge_rejection(found, wanted, counts);
        }
        let competes = !wanted && self.competes(tx, shows_it);
        match self.difference(tx, refused) {
            Some(_) if !counts || competes && !tx.holds_its_nonce() => others.unsigned.push(computed),
            Some(_) if competes => others.signed.push(tx),
            Some(difference) => {
                let what = format!("Safe transaction {computed}");
                found.stop(Stop::new(Code::ServiceDiffers, what, self.expected(), difference));
                found.judge_calls();
            }
            None if self.wanted.proposal.is_none() && counts => found.judge_calls(),
            None if self.wanted.proposal.is_none() => others.unsigned.push(computed),
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
        if counts && !self.rejects() && (self.wanted.proposal.is_some() || !wanted) {
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

/// One of them, and whether what is looked for is among them.
struct Judged<'a> {
    tx: &'a ServiceTx,
    shows_it: bool,
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
