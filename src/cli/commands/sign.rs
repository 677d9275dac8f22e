//! `sign`: one owner's signature of the Safe transaction.

use std::path::PathBuf;

use alloy::primitives::Address;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::act::page;
use crate::cli::args::values;
use crate::cli::args::{
    Agree, Key, Multisig, Notices, Offline, Overwrite, Reach, Reviewed, Settle, SharedOptions, Which,
};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::advice;
use crate::cli::session::out_file::OutFile;
use crate::cli::session::settings::Settings;
use crate::cli::show::advice::Advice;
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::collect::SignatureFile;
use crate::upgrade::review::{self, Problem, Question};
use crate::upgrade::{
    Checked, UpgradeError, World,
    model::{SafeTxRole, SignedSafeTx},
    workspace::Subject,
};

/// Sign the Safe transaction as one of the Safe's owners
///
/// Everything that the signature covers is recomputed from the proposal and, unless --offline is given, compared with the
/// chain; then it is shown, and asked. The signature is added to the proposal file, which can be passed on; with
/// --out it is written to a file of its own instead, for `countersign import` on another machine. A file that is there
/// already is replaced only if it holds the same owner's signature of the same transaction. This machine remembers
/// what it signed, and refuses a second transaction for the same nonce of the same Safe.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign sign proposal.json --signer keystore:~/key.json\n  \
    countersign sign proposal.json --offline --signer ledger --out alice.json")]
pub(in crate::cli) struct Sign {
    #[command(flatten)]
    which: Which,
    /// Sign the rejection instead: the transaction that only uses up the nonce
    #[arg(long)]
    reject: bool,
    /// Sign for this owner of the Safe, which is a Safe itself: the transaction with which it agrees on chain
    #[arg(long = "for", value_name = "SAFE", conflicts_with = "reject", value_parser = values::address)]
    nested: Option<Address>,
    /// Approve on chain with the owner's key instead of by a signature; it cannot be taken back
    #[arg(long, conflicts_with_all = ["reject", "nested", "out", "offline"])]
    on_chain: bool,
    /// Write the signature to this file, and leave the proposal as it is
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    reviewed: Reviewed,
    #[command(flatten)]
    agree: Agree,
}

/// What an owner signed, and what was checked before.
struct Signed<'a> {
    signed_tx: &'a SignedSafeTx,
    checked: &'a Checked,
    owner: Address,
}

impl Sign {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            settle: Some(&self.settle),
            offline: Some(&self.offline),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            key: Some(&self.key),
            reviewed: Some(&self.reviewed),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let outside = session.outside(&settings);
        if settings.signer.is_none() {
            return Err(self.unsigned(session, &settings, &outside.world()).await);
        }
        if self.on_chain {
            return self.approve_on_chain(session, &settings, &outside.world()).await;
        }
        let role = self.role();
        let mut subject = session.subject_for(&self.which, self.reject)?;
        let knew = subject.ceremony()?.1.role(role).is_some();
        if let Some(out) = self.out() {
            let out = session.apart(out, &subject.path())?;
            subject.leave();
            let (_, ceremony) = subject.ceremony()?;
            let hashes =
                [role, SafeTxRole::Approval].map(|role| ceremony.role(role).map(|(signed_tx, _)| signed_tx.tx.hash()));
            let is_signature =
                |found: &[u8]| SignatureFile::claims(found).is_some_and(|(hash, _)| hashes.contains(&Some(hash)));
            out.check(|found| is_signature(found) || (!knew && is_copy(&subject, found)))?;
        }
        let signed = page::Signed::of(subject.state(), self.reject);
        page::put_review(session, &settings, &outside.world(), signed).await?;
        let (checked, signature, owner) = subject.sign(&outside.world(), &settings.limits, role).await?;
        let (_, ceremony) = subject.ceremony()?;
        let signed_tx = ceremony
            .role(role)
            .map_or(&ceremony.approval, |(signed_tx, _)| signed_tx);
        let signed = Signed {
            signed_tx,
            checked: &checked,
            owner,
        };
        let mut report = self.report(session, &subject, &signed);
        // Nobody else knows the transaction of an owner that is a Safe before they have it.
        let copy = subject.copy().filter(|_| !knew);
        let text = copy.unwrap_or_else(|| {
            SignatureFile::new(&signed_tx.tx, owner, &signature)
                .to_json()
                .into_bytes()
        });
        let same = Some((signed_tx.tx.hash(), owner));
        self.write(&mut report, &text, |found| {
            SignatureFile::claims(found) == same || (!knew && is_copy(&subject, found))
        })?;
        Ok(report)
    }

    async fn approve_on_chain(
        &self,
        session: &Session,
        settings: &Settings,
        world: &World<'_>,
    ) -> Result<Report, CliError> {
        let mut upgrade = session.open(&self.which)?;
        page::offer_review(session, settings, world, page::Signed::of(upgrade.state(), false)).await;
        let outcome = upgrade.approve_on_chain(world, &settings.limits, None).await?;
        Ok(session.went(&upgrade, &outcome, "sign"))
    }

    const fn role(&self) -> SafeTxRole {
        match (self.reject, self.nested) {
            (true, _) => SafeTxRole::Rejection,
            (false, Some(child)) => SafeTxRole::Nested(child),
            (false, None) => SafeTxRole::Approval,
        }
    }

    fn out(&self) -> Option<OutFile<'_>> {
        let overwrite = self.overwrite.overwrite;
        self.out.as_deref().map(|path| OutFile::new(path, overwrite))
    }

    fn report(&self, session: &Session, subject: &Subject, signed: &Signed<'_>) -> Report {
        let Signed {
            signed_tx,
            checked,
            owner,
        } = *signed;
        let mut report = Report::done("sign", "");
        view::signed(&mut report.page, signed_tx, checked);
        report.know(subject.state().status(), &subject.path());
        session.locate_in(&mut report, subject);
        report.message = format!("{owner} signed {}", signed_tx.tx.hash());
        report.data = Some(json!({
            "owner": owner,
            "rejects": self.reject,
            "for": self.nested,
            "safeTxHash": signed_tx.tx.hash(),
            "signatures": signed_tx.signatures.proven().count(),
            "unchecked": checked.unchecked,
        }));
        report.set_verdict(&checked.verdict);
        report.warnings.clone_from(&checked.remarks);
        let proposal = subject.path();
        let state = subject.state();
        report.advise(
            session.advise(&proposal, |reader| match (paper_is_approval(self), &self.out) {
                (_, Some(out)) => Advice {
                    next: Some(reader.typed.import(out)),
                    others: vec![advice::import(out)],
                },
                (true, None) => reader.advise(state),
                (false, None) => reader.signed_otherwise(state, self.nested),
            }),
        );
        report
    }

    /// Nobody is asked for a key who named none: shows what would be signed, and says where a key can be.
    async fn unsigned(&self, session: &Session, settings: &Settings, world: &World<'_>) -> CliError {
        match self.shown(session, settings, world).await {
            Err(error) => error,
            Ok(()) => CliError::from(UpgradeError::decide(
                Code::SignerNeeded,
                "an owner of the Safe has to sign, and no key was named",
            )),
        }
    }

    /// Shows it, unless it may not be signed at all.
    async fn shown(&self, session: &Session, settings: &Settings, world: &World<'_>) -> Result<(), CliError> {
        // Whether there is anything to sign comes first, as with a key.
        session.subject_for(&self.which, self.reject)?.ceremony()?;
        let seen = session.see_for(&self.which, self.reject)?;
        let question = Question {
            rejects: self.reject,
            ..Question::default()
        };
        let review = review::review(world, &settings.limits, &seen.state, &question).await?;
        let mut page = Page::default();
        crate::cli::show::review::page(&mut page, &review);
        session.out.aside(&page);
        match review.problems.into_iter().next() {
            None => Ok(()),
            Some(Problem::Stop(stop)) => Err(UpgradeError::Stop(Box::new(stop)).into()),
            Some(Problem::Decide { code, message }) => Err(UpgradeError::decide(code, message).into()),
        }
    }

    fn write(&self, report: &mut Report, text: &[u8], is_own: impl Fn(&[u8]) -> bool) -> Result<(), CliError> {
        let (Some(out), Some(file)) = (&self.out, self.out()) else {
            return Ok(());
        };
        file.write(text, 0o644, is_own)?;
        report.page.facts(&[("signature", Some(out.display().to_string()))]);
        if let Some(data) = report.data.as_mut().and_then(|data| data.as_object_mut()) {
            data.insert("file".to_owned(), json!(out.display().to_string()));
        }
        Ok(())
    }
}

/// Whether a file is a copy of the same proposal.
fn is_copy(subject: &Subject, found: &[u8]) -> bool {
    let hash = |text: &Value| text.pointer("/safe/digests/safe_tx").cloned();
    let found: Option<Value> = serde_json::from_slice(found).ok();
    let own = subject
        .copy()
        .and_then(|own| serde_json::from_slice::<Value>(&own).ok());
    found
        .zip(own)
        .is_some_and(|(found, own)| hash(&own).is_some() && hash(&found) == hash(&own))
}

const fn paper_is_approval(sign: &Sign) -> bool {
    !sign.reject && sign.nested.is_none()
}
