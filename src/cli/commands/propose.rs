//! `propose`: the Safe transaction and its signatures, put where the other owners see them.

use std::collections::BTreeSet;
use std::path::Path;

use alloy::primitives::Address;
use clap::Args;
use serde_json::json;

use crate::cli::act::advance::{SignedNotice, agree};
use crate::cli::args::values;
use crate::cli::args::{Agree, KeySource, Notices, Offline, Reach, Reviewed, SharedOptions, Which};
use crate::cli::exit::Exit;
use crate::cli::failure::{self, Next, error::CliError};
use crate::cli::session::Session;
use crate::cli::session::next::CommandLine;
use crate::cli::session::settings::Settings;
use crate::cli::show::advice::{Advice, OtherStep};
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::service::{Act, DelegateFilter, Notice, Origin, Published, Service, ServiceTx, Signed, prove};
use crate::safe::{
    Look, OwnerSignature,
    approvals::{Inserted, SignatureSet},
    collect::Merged,
    info::SafeInfo,
    look,
};
use crate::signer::{Acting, Fact, Name};
use crate::upgrade::{
    Checked, UpgradeError, Warning, World,
    model::{SafeTxRole, SignedSafeTx, upper_s},
    review::not_theirs,
    workspace::Subject,
};

/// Publish the Safe transaction where Safe{Wallet} shows it
///
/// It goes to the Safe Transaction Service, with its signatures.
/// Without --signer nothing is signed: what is published is the transaction of the proposal, with the signatures that it
/// holds. At least one is needed, and the transaction has to be one that may be signed: the chain is asked for that where an
/// endpoint is named, and otherwise the file alone is judged. With the key of a delegate (see safe delegates) no owner needs
/// to have signed: the delegate proposes in an owner's name, and agrees to nothing. What the service has already is compared,
/// and only what is missing is added, so it can be run again at any time. Signatures that other owners left there are written
/// into the proposal. Everything works without the service as well, by passing the proposal on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign propose proposal.json\n  \
    countersign propose proposal.json --service-url https://safe-service.example.org\n  \
    countersign propose --signer env:DELEGATE_KEY --yes")]
pub(in crate::cli) struct Propose {
    #[command(flatten)]
    which: Which,
    /// Publish the rejection instead: the transaction that only uses up the nonce
    #[arg(long)]
    reject: bool,
    /// Publish the transaction with which this owner of the Safe, which is a Safe itself, agrees on chain
    #[arg(long = "for", value_name = "SAFE", conflicts_with = "reject", value_parser = values::address)]
    nested: Option<Address>,
    /// Take the proposal away again, with the key of who proposed it; signatures that others saw stay good all the same
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    key: KeySource,
    #[command(flatten)]
    reviewed: Reviewed,
    #[command(flatten)]
    agree: Agree,
}

impl Propose {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            offline: Some(&self.offline),
            notices: Some(&self.notices),
            source: Some(&self.key),
            reviewed: Some(&self.reviewed),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        settings.limits.offline |= settings.endpoints.is_empty();
        let mut subject = session.subject_for(&self.which, self.reject)?;
        let role = self.role();
        subject.expect(&settings.limits, role)?;
        let mut asked = Asked::of(&subject, role)?;
        let service = session.service(&settings, asked.signed_tx.tx.domain().chain_id)?;
        if self.withdraw {
            return asked.at(&service, &subject).withdraw(session, &settings).await;
        }
        let outside = session.outside(&settings);
        let world = outside.world();
        let checked = subject.check(&world, &settings.limits, role).await?;
        // Nobody is asked here for what has to be named.
        checked.verdict.check()?;
        let look = asked.look(&world, &checked, role).await?;
        if let Some(look) = &look {
            asked.know(look);
        }
        let posting = asked.at(&service, &subject);
        let delegate = match self.key.signer {
            Some(_) if look.is_none() => return Err(without_chain(self.offline.offline)),
            Some(_) => posting.propose_as_delegate(&world, &settings, &asked.origin).await?,
            None => None,
        };
        let published = posting.publish(&world, look.as_ref(), &asked.origin).await?;
        let merged = subject.import(published.record.offers(), "Safe Transaction Service")?;
        let new = merged.iter().filter(|one| matches!(one.outcome, Ok(Inserted::New(_))));
        let done = Done {
            role,
            taken: new.count(),
            delegate: delegate.as_ref(),
        };
        let mut report = asked.at(&service, &subject).report(session, &published, done);
        report.set_verdict(&checked.verdict);
        let foreign = asked.foreign(&published, delegate.map(|one| one.delegate));
        report.warnings.extend(foreign.map(|text| Warning {
            code: Code::ServiceForeignWords,
            text: format!(
                "{} shows words with the proposal that were not sent from here: {text}",
                service.host()
            ),
        }));
        report
            .warnings
            .extend(merged.iter().filter_map(Merged::upper_s).map(upper_s));
        report.warnings.extend(not_theirs([&published.record]));
        Ok(report)
    }

    const fn role(&self) -> SafeTxRole {
        match self.nested {
            Some(child) => SafeTxRole::Nested(child),
            None if self.reject => SafeTxRole::Rejection,
            None => SafeTxRole::Approval,
        }
    }
}

/// What is to be at the service.
struct Asked {
    signed_tx: SignedSafeTx,
    /// Whose signatures count.
    owners: BTreeSet<Address>,
    origin: Origin,
}

impl Asked {
    fn of(subject: &Subject, role: SafeTxRole) -> Result<Self, CliError> {
        let (plan, ceremony) = subject.ceremony()?;
        let Some((signed_tx, safe)) = ceremony.role(role) else {
            return Err(decide(
                Code::NestedNotChosen,
                "the transaction of the owner that is a Safe was not chosen yet".to_owned(),
            ));
        };
        let safe = safe.or(plan.safe.as_ref());
        let what = match &plan.code {
            Some(code) => format!("upgrade of {}", code.cvm_name.as_ref().unwrap_or(&code.cvm)),
            None => format!("change of the policy of {}", plan.app),
        };
        Ok(Self {
            signed_tx: signed_tx.clone(),
            owners: safe.map(SafeInfo::owner_set).unwrap_or_default(),
            origin: Origin::note(&match role {
                SafeTxRole::Rejection => format!("rejects: {what}"),
                SafeTxRole::Approval | SafeTxRole::Nested(_) => what,
            }),
        })
    }

    const fn at<'a>(&'a self, service: &'a Service, subject: &'a Subject) -> Posting<'a> {
        Posting {
            service,
            subject,
            signed_tx: &self.signed_tx,
            owners: &self.owners,
        }
    }

    /// What the chain says of the Safe whose transaction it is.
    async fn look(&self, world: &World<'_>, checked: &Checked, role: SafeTxRole) -> Result<Option<Look>, UpgradeError> {
        let SignedSafeTx { tx, signatures } = &self.signed_tx;
        match (&checked.look, role) {
            (Some(_), SafeTxRole::Nested(_)) => {
                let chain = world.chain(tx.domain().chain_id).await?;
                Ok(Some(look(&chain, tx, signatures, None).await?))
            }
            (known, _) => Ok(known.clone()),
        }
    }

    /// Its owners are those that the chain names. What it does not confirm is left out, and what owners approved there is
    /// added, which the service takes for a signature: a Safe whose owners are contracts has no other.
    fn know(&mut self, look: &Look) {
        self.owners = look.info.owner_set();
        let SignedSafeTx { tx, signatures } = &mut self.signed_tx;
        let known = std::mem::replace(signatures, SignatureSet::new(tx));
        *signatures = known.confirmed(&look.facts);
        for &owner in &look.facts.approved {
            if !signatures.by_owner().contains_key(&owner) {
                // Who is an owner no longer approves nothing, and is left out.
                let approval = OwnerSignature::Approved { owner };
                if let Err(error) = signatures.insert(approval, &self.owners) {
                    tracing::debug!(%error, "an approval does not count");
                }
            }
        }
    }

    /// What the record says of itself that is not from here.
    fn foreign(&self, published: &Published, delegate: Option<Address>) -> Option<String> {
        let owners = self.signed_tx.signatures.by_owner().keys().copied();
        published.foreign(&self.origin, &owners.chain(delegate).collect())
    }
}

/// A Safe transaction of an upgrade, at a service.
struct Posting<'a> {
    service: &'a Service,
    subject: &'a Subject,
    signed_tx: &'a SignedSafeTx,
    /// Whose signatures count.
    owners: &'a BTreeSet<Address>,
}

/// What was done besides.
struct Done<'a> {
    /// Whose transaction it is.
    role: SafeTxRole,
    /// So many signatures of others were taken in.
    taken: usize,
    delegate: Option<&'a ByDelegate>,
}

/// An owner's signature would count, and who owns the Safe, only the chain says.
fn without_chain(offline: bool) -> CliError {
    CliError::Usage {
        code: Code::UsageNoRpc,
        message: "a delegate's key signs nothing before the chain says that it is no owner's".to_owned(),
        hint: "give --rpc-url, or set ETH_RPC_URL, and leave --offline out".to_owned(),
        next: match offline {
            true => Next::Without("--offline"),
            false => Next::with("--rpc-url https://…"),
        },
    }
}

fn decide(code: Code, message: String) -> CliError {
    UpgradeError::Decide {
        code,
        message,
        source: None,
    }
    .into()
}

/// Who proposed in whose name.
struct ByDelegate {
    delegate: Address,
    delegator: Address,
    /// It was not there before.
    created: bool,
}

impl Posting<'_> {
    /// Puts it there. What the service tells of approvals and of contracts' signatures is asked of the chain.
    async fn publish(&self, world: &World<'_>, look: Option<&Look>, origin: &Origin) -> Result<Published, CliError> {
        let SignedSafeTx { tx, signatures } = self.signed_tx;
        let mut published = self.service.publish(tx, signatures, origin).await?;
        if let Some(look) = look {
            let chain = world.chain(look.info.chain_id).await?;
            let record = std::slice::from_mut(&mut published.record);
            prove(&chain, &look.info, record).await.map_err(UpgradeError::from)?;
            // What the service only claims is not there.
            let (given, agreed) = (signatures.by_owner().keys(), published.record.agreed());
            published.missing = given.filter(|owner| !agreed.contains(*owner)).copied().collect();
        }
        Ok(published)
    }

    /// Proposes with the key of a delegate. What is at the service already is left as it is, and the key signs nothing; an
    /// owner's key has nothing to do where the proposal holds signatures.
    async fn propose_as_delegate(
        &self,
        world: &World<'_>,
        settings: &Settings,
        origin: &Origin,
    ) -> Result<Option<ByDelegate>, CliError> {
        let Self {
            service,
            signed_tx,
            owners,
            ..
        } = *self;
        let signer = world.open_signer("propose as a delegate").await?;
        let (delegate, domain) = (signer.address(), signed_tx.tx.domain());
        if owners.contains(&delegate) {
            let why = || decide(Code::SignerIsOwner, format!("{delegate} is an owner of the Safe"));
            let signed = !signed_tx.signatures.by_owner().is_empty();
            return signed.then_some(None).ok_or_else(why);
        }
        let delegator = self.delegator_of(delegate).await?;
        let there = service.transaction(signed_tx.tx.hash()).await?;
        let mut one = ByDelegate {
            delegate,
            delegator,
            created: false,
        };
        if there.is_some_and(|record| record.trusted) {
            return Ok(Some(one));
        }
        let digests = signed_tx.tx.digests();
        let facts = vec![
            Fact::new(Name::Service, service.host()),
            Fact::new(Name::Chain, domain.chain_id),
            Fact::new(Name::Safe, domain.safe),
            Fact::new(Name::Delegate, delegate),
            Fact::new(Name::Delegator, delegator),
            Fact::new(Name::DomainHash, digests.domain),
            Fact::new(Name::MessageHash, digests.message),
            Fact::new(Name::SafeTxHash, digests.safe_tx),
        ];
        let signing = SignedNotice {
            question: "Propose this in the owner's name?",
            what: "proposing as a delegate",
            acting: Acting::signs(delegate, domain.chain_id),
        };
        agree(world, signing, facts)?;
        let signature = world.sign_as_delegate(&settings.limits, &signer, &signed_tx.tx).await?;
        let signed = Signed {
            sender: delegate,
            signature: &signature,
        };
        one.created = service.propose_as_delegate(&signed_tx.tx, signed, origin).await?;
        Ok(Some(one))
    }

    /// The owner in whose name somebody may propose, as the service says.
    async fn delegator_of(&self, delegate: Address) -> Result<Address, CliError> {
        let safe = self.signed_tx.tx.domain().safe;
        let filter = DelegateFilter {
            delegate: Some(delegate),
            ..DelegateFilter::default()
        };
        let named = self.service.delegates(&filter).await?.found.into_iter();
        let now = jiff::Timestamp::now();
        let mut named = named.filter(|one| {
            one.delegate == delegate
                && one.safe.is_none_or(|its| its == safe)
                && one.expires.is_none_or(|expires| expires > now)
        });
        let named = named.find(|one| self.owners.contains(&one.delegator));
        named.map(|one| one.delegator).ok_or_else(|| {
            let why = format!(
                "{} names no owner of the Safe {safe} in whose name {delegate} may propose",
                self.service.host()
            );
            decide(Code::SignerNotDelegate, why)
        })
    }

    fn report(&self, session: &Session, published: &Published, done: Done<'_>) -> Report {
        let Done { taken, delegate, .. } = done;
        let created = published.created || delegate.is_some_and(|one| one.created);
        let Self {
            service,
            subject,
            signed_tx,
            ..
        } = *self;
        let hash = signed_tx.tx.hash();
        let mut report = Report::done("propose", "");
        report.know(subject.state().status(), &subject.path());
        session.locate_in(&mut report, subject);
        report.message = match (created, delegate) {
            (true, Some(one)) => format!(
                "{hash} was proposed to {} by {} in the name of {}, who agreed to nothing by that",
                service.host(),
                one.delegate,
                one.delegator
            ),
            (true, None) => format!("{hash} was proposed to {}", service.host()),
            (false, _) => format!("{hash} is at {}", service.host()),
        };
        let confirmed = published.record.agreed();
        let links = view::links(&mut report.page, signed_tx.tx.domain(), hash);
        view::published(&mut report.page, published);
        report.data = Some(json!({
            "service": service.host(),
            "apiKey": service.has_key(),
            "requests": service.requests(),
            "quotaLeft": service.quota_left(),
            "safeTxHash": hash,
            "rejects": signed_tx.tx.is_rejection(),
            "created": created,
            "delegate": published.record.delegate,
            "proposer": published.record.proposer,
            "confirmed": confirmed,
            "unconfirmed": published.record.unconfirmed(),
            "notTheirs": view::not_theirs(&published.record),
            "missing": published.missing,
            "refused": published.refused.iter()
                .map(|(owner, why)| json!({ "owner": owner, "why": why.to_string() }))
                .collect::<Vec<_>>(),
            "taken": taken,
            "links": links,
        }));
        report.advise(self.next(session, &done, confirmed.is_empty()));
        if published.missing.is_empty() {
            report.page.block(&report.message);
        } else {
            report.exit = Exit::State;
            report.code = Code::ServiceIncomplete;
            report.message = format!("{} does not hold all signatures of {hash}", service.host());
            report.hint = Some(failure::by_code(report.code).hint);
        }
        report
    }

    /// What comes next: while nobody has agreed, owners sign, and a delegate is none of them and has nothing to do but wait.
    fn next(&self, session: &Session, done: &Done<'_>, nobody: bool) -> Advice {
        let sign = match done.role {
            SafeTxRole::Approval => "sign".to_owned(),
            SafeTxRole::Rejection => "sign --reject".to_owned(),
            SafeTxRole::Nested(child) => format!("sign --for {child}"),
        };
        let next = match (nobody, done.delegate) {
            (true, None) => session.typed().step(&sign),
            _ => session.typed().step("wait"),
        };
        let mut others = Vec::new();
        if nobody && done.delegate.is_some() {
            let proposal = self.subject.path();
            let name = proposal.file_name().map_or(proposal.as_path(), Path::new);
            let own = |command: &str| CommandLine::nothing().of_file(command, name);
            let commands = vec![own("review"), own(&sign)];
            others.push(OtherStep::new(
                "each owner who has not signed",
                Some(&proposal),
                commands,
            ));
        }
        Advice {
            next: Some(next),
            others,
        }
    }

    /// Takes the proposal away. What is not there is no error; what somebody else proposed is not ours to take.
    async fn withdraw(&self, session: &Session, settings: &Settings) -> Result<Report, CliError> {
        let Self {
            service,
            subject,
            signed_tx,
            ..
        } = *self;
        let (hash, domain) = (signed_tx.tx.hash(), signed_tx.tx.domain());
        let there = service.transaction(hash).await?;
        if let Some(record) = &there {
            let outside = session.outside(settings);
            let world = outside.world();
            let signer = world.open_signer("withdraw the proposal").await?;
            refuse_foreign(record, signer.address())?;
            let act = Act::Delete {
                safe: domain.safe,
                hash,
            };
            let notice = Notice::new(domain.chain_id, act, jiff::Timestamp::now());
            let facts = vec![
                Fact::new(Name::Service, service.host()),
                Fact::new(Name::Chain, domain.chain_id),
                Fact::new(Name::Safe, domain.safe),
                Fact::new(Name::SafeTxHash, hash),
                Fact::new(Name::DomainHash, notice.domain()),
                Fact::new(Name::MessageHash, notice.message()),
            ];
            let signing = SignedNotice {
                question: "Take this proposal away from the service?",
                what: "withdrawing the proposal",
                acting: Acting::signs(signer.address(), domain.chain_id),
            };
            agree(&world, signing, facts)?;
            let signature = signer.sign_notice(&notice).await?;
            service.withdraw(&signed_tx.tx, &signature).await?;
        }
        let mut report = Report::done("propose", "");
        report.know(subject.state().status(), &subject.path());
        session.locate_in(&mut report, subject);
        report.message = match there {
            Some(_) => format!("{hash} was withdrawn from {}", service.host()),
            None => format!("{hash} is not at {}", service.host()),
        };
        report.data = Some(json!({
            "service": service.host(),
            "safeTxHash": hash,
            "withdrawn": there.is_some(),
        }));
        report.page.block(&report.message);
        report.warnings.extend(signatures_stay(there.as_ref()));
        view::remarks(&mut report.page, "warnings", &report.warnings);
        report.next = Some(session.typed().step("reject"));
        Ok(report)
    }
}

/// The service takes it away for whoever proposed it, and for nobody else.
fn refuse_foreign(record: &ServiceTx, key: Address) -> Result<(), UpgradeError> {
    let proposers = [record.delegate, record.proposer];
    if proposers.contains(&Some(key)) {
        return Ok(());
    }
    let names: Vec<String> = proposers.iter().flatten().map(ToString::to_string).collect();
    Err(UpgradeError::Decide {
        code: Code::ServiceNotProposer,
        message: format!(
            "only who proposed it can withdraw it, which is {}, not {key}",
            names.join(" or ")
        ),
        source: None,
    })
}

fn signatures_stay(record: Option<&ServiceTx>) -> Option<Warning> {
    let signed = record.is_some_and(|record| record.confirmed().next().is_some());
    signed.then(|| Warning {
        code: Code::SafeSignaturesStay,
        text: "whoever kept its signatures can execute it until its nonce is used up: reject it to be sure".to_owned(),
    })
}
