//! `propose`: the Safe transaction and its signatures, put where the other owners see them.

use clap::Args;
use serde_json::json;

use crate::cli::args::{Notices, Which};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cli::settings::{Settings, Typed};
use crate::cli::view;
use crate::safe::Inserted;
use crate::safe::service::{Origin, Published, Service};
use crate::upgrade::{Ballot, Subject};

/// Put the Safe transaction and its signatures on the Safe Transaction Service, where Safe{Wallet} shows them
///
/// Nothing is signed and no chain is asked: what is published is the transaction of the proposal, with the signatures that
/// it holds; at least one is needed. What the service has already is compared, and only what is missing is added, so it
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
    #[command(flatten)]
    notices: Notices,
}

impl Propose {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = Settings::gather(Typed::default(), &session.env)?;
        let mut subject = session.subject(&self.which)?;
        let (plan, ceremony) = subject.ceremony()?;
        let ballot = ceremony.ballot(self.reject).clone();
        let what = match &plan.code {
            Some(code) => format!("upgrade of {}", code.cvm_name.as_ref().unwrap_or(&code.cvm)),
            None => format!("change of the policy of {}", plan.app),
        };
        let origin = Origin::note(&match self.reject {
            false => what,
            true => format!("rejects: {what}"),
        });
        let service = session.service(&settings, &self.notices, ballot.tx.domain().chain_id)?;
        let published = service.publish(&ballot.tx, &ballot.signatures, &origin).await?;
        let merged = subject.import(published.record.offers(), "Safe Transaction Service")?;
        let taken = merged
            .iter()
            .filter(|one| matches!(one.outcome, Ok(Inserted::New(_))))
            .count();
        Ok(self.report(session, &subject, (&service, &ballot, &published, taken)))
    }

    fn report(
        &self,
        session: &Session,
        subject: &Subject,
        (service, ballot, published, taken): (&Service, &Ballot, &Published, usize),
    ) -> Report {
        let hash = ballot.tx.hash();
        let mut report = Report::done("propose", "");
        report.know(subject.state().status(), &subject.path());
        session.locate_in(&mut report, subject);
        report.message = match published.created {
            true => format!("{hash} was proposed to {}", service.host()),
            false => format!("{hash} is at {}", service.host()),
        };
        let links = view::links(&mut report.page, ballot.tx.domain(), hash);
        view::published(&mut report.page, published);
        report.data = Some(json!({
            "service": service.host(),
            "apiKey": service.has_key(),
            "safeTxHash": hash,
            "rejects": self.reject,
            "created": published.created,
            "confirmed": published.confirmed,
            "missing": published.missing,
            "refused": published.refused.iter()
                .map(|(owner, why)| json!({ "owner": owner, "why": why.to_string() }))
                .collect::<Vec<_>>(),
            "taken": taken,
            "links": links,
        }));
        report.next = Some(session.typed().step("status"));
        if !published.missing.is_empty() {
            report.exit = Exit::State;
            report.code = "SERVICE_INCOMPLETE".to_owned();
            report.message = format!("{} does not hold all signatures of {hash}", service.host());
            report.hint = Some("pass the proposal on as a file: it holds them all".to_owned());
        }
        report
    }
}
