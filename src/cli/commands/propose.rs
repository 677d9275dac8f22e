//! `propose`: the Safe transaction and its signatures, put where the other owners see them.

use alloy::primitives::Address;
use clap::Args;
use serde_json::json;

use crate::cli::act::advance::agree;
use crate::cli::args::{Agree, KeySource, Notices, Offline, Reach, Reviewed, SharedOptions, Which};
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError};
use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::service::{Act, Notice, Origin, Published, Service, ServiceTx};
use crate::safe::{approvals::Inserted, collect::Merged};
use crate::signer::{Fact, Name};
use crate::upgrade::{
    UpgradeError, Warning,
    model::{SafeTxRole, SignedSafeTx, upper_s},
    workspace::Subject,
};

/// Put the Safe transaction and its signatures on the Safe Transaction Service, where Safe{Wallet} shows them
///
/// Nothing is signed: what is published is the transaction of the proposal, with the signatures that it holds; at least
/// one is needed, and it has to be one that may be signed. The chain is asked for that where an endpoint is named, and
/// otherwise the file alone is judged. What the service has already is compared, and only what is missing is added, so it
/// can be run again at any time. Signatures that other owners left there are written into the proposal. Everything
/// works without the service as well, by passing the proposal on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign propose proposal.json\n  \
    countersign propose proposal.json --service-url https://safe-service.example.org")]
pub(in crate::cli) struct Propose {
    #[command(flatten)]
    which: Which,
    /// Publish the rejection instead: the transaction that only uses up the nonce
    #[arg(long)]
    reject: bool,
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
        let role = if self.reject {
            SafeTxRole::Rejection
        } else {
            SafeTxRole::Approval
        };
        subject.expect(&settings.limits, role)?;
        let (plan, ceremony) = subject.ceremony()?;
        let signed_tx = ceremony.signed_tx(self.reject).clone();
        let what = match &plan.code {
            Some(code) => format!("upgrade of {}", code.cvm_name.as_ref().unwrap_or(&code.cvm)),
            None => format!("change of the policy of {}", plan.app),
        };
        let origin = Origin::note(&match self.reject {
            false => what,
            true => format!("rejects: {what}"),
        });
        let service = session.service(&settings, signed_tx.tx.domain().chain_id)?;
        if self.withdraw {
            let posting = Posting {
                service: &service,
                subject: &subject,
                signed_tx: &signed_tx,
            };
            return posting.withdraw(session, &settings).await;
        }
        let outside = session.outside(&settings);
        let checked = subject.check(&outside.world(), &settings.limits, self.reject).await?;
        // Nobody is asked here for what has to be named.
        checked.verdict.check()?;
        let published = service.publish(&signed_tx.tx, &signed_tx.signatures, &origin).await?;
        let merged = subject.import(published.record.offers(), "Safe Transaction Service")?;
        let taken = merged
            .iter()
            .filter(|one| matches!(one.outcome, Ok(Inserted::New(_))))
            .count();
        let posting = Posting {
            service: &service,
            subject: &subject,
            signed_tx: &signed_tx,
        };
        let mut report = posting.report(session, &published, taken);
        report.set_verdict(&checked.verdict);
        let proposers = signed_tx.signatures.by_owner().keys().copied().collect();
        let foreign = published.foreign(&origin, &proposers).map(|text| Warning {
            code: Code::ServiceForeignWords,
            text: format!(
                "{} shows words with the proposal that were not sent from here: {text}",
                service.host()
            ),
        });
        report.warnings.extend(foreign);
        report
            .warnings
            .extend(merged.iter().filter_map(Merged::upper_s).map(upper_s));
        Ok(report)
    }
}

/// A Safe transaction of an upgrade, at a service.
struct Posting<'a> {
    service: &'a Service,
    subject: &'a Subject,
    signed_tx: &'a SignedSafeTx,
}

impl Posting<'_> {
    fn report(&self, session: &Session, published: &Published, taken: usize) -> Report {
        let Self {
            service,
            subject,
            signed_tx,
        } = *self;
        let hash = signed_tx.tx.hash();
        let mut report = Report::done("propose", "");
        report.know(subject.state().status(), &subject.path());
        session.locate_in(&mut report, subject);
        report.message = match published.created {
            true => format!("{hash} was proposed to {}", service.host()),
            false => format!("{hash} is at {}", service.host()),
        };
        let links = view::links(&mut report.page, signed_tx.tx.domain(), hash);
        view::published(&mut report.page, published);
        report.data = Some(json!({
            "service": service.host(),
            "apiKey": service.has_key(),
            "safeTxHash": hash,
            "rejects": signed_tx.tx.is_rejection(),
            "created": published.created,
            "confirmed": published.confirmed,
            "missing": published.missing,
            "refused": published.refused.iter()
                .map(|(owner, why)| json!({ "owner": owner, "why": why.to_string() }))
                .collect::<Vec<_>>(),
            "taken": taken,
            "links": links,
        }));
        report.next = Some(session.typed().step("wait"));
        if !published.missing.is_empty() {
            report.exit = Exit::State;
            report.code = Code::ServiceIncomplete;
            report.message = format!("{} does not hold all signatures of {hash}", service.host());
            report.hint = Some(failure::by_code(report.code).hint);
        }
        report
    }

    /// Takes the proposal away. What is not there is no error; what somebody else proposed is not ours to take.
    async fn withdraw(&self, session: &Session, settings: &Settings) -> Result<Report, CliError> {
        let Self {
            service,
            subject,
            signed_tx,
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
            let question = "Take this proposal away from the service?";
            agree(&world, question, "withdrawing the proposal", facts)?;
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
