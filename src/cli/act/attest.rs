//! Proves at the hardware what a CVM runs: for `attest`, and for a run that has just made it live.

use std::path::Path;
use std::time::Duration;

use alloy::primitives::Address;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::attest::fetch::{DEFAULT_PCCS, Nonce};
use crate::attest::saved::{self, Measure, NamedBy, Saved};
use crate::attest::{Collateral, NoTcbStatus, Standing, TcbPolicy, TcbStatus};
use crate::cli::args::attesting::{Insistence, Witnesses};
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands as _, Next, Verdict, by_code, doubt, told};
use crate::cli::session::Session;
use crate::cli::session::out_file::OutFile;
use crate::cli::session::quote_root::QuoteRoot;
use crate::cli::session::settings::{Project, Settings};
use crate::cli::show::attestation::{self as page, Source};
use crate::cli::show::report::Report;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::evidence::{self, Attestation, Judged};
use crate::upgrade::attestation::{self, Attested, Conclusion, Known, Places, Request};
use crate::upgrade::record::{Effect, State};
use crate::upgrade::{Accepted, Upgrade, UpgradeError, World};

/// Longest that a run looks which was not asked to insist on it.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a CVM that is not up with it yet.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of the CVM of an upgrade, and which it is; nothing before a hash was prepared.
pub(in crate::cli) fn known(state: &State) -> Option<(Known, Option<CvmId>)> {
    let status = state.status();
    let facts = status.facts;
    let hash = facts.compose_hash.filter(|_| state.code().is_some())?;
    let is_new = facts.makes.is_some();
    let cvm = match is_new {
        true => facts.new_cvm,
        false => facts.cvm,
    };
    let is_sent = status.effects.transaction == Effect::Done;
    let known = Known {
        hash: Some((hash, NamedBy::Upgrade)),
        previous: facts.previous_compose_hash.filter(|_| !is_new),
        transaction: facts.transaction_hash.filter(|_| is_sent),
        app: facts.app,
        chain_id: facts.chain_id,
        kms: state.plan().and_then(|plan| plan.kms),
        named_kms: None,
    };
    Some((known, cvm.and_then(|cvm| cvm.parse().ok())))
}

/// Where evidence is asked for.
pub(in crate::cli) fn places(witnesses: &Witnesses, collateral: Option<Collateral>) -> Result<Places, CliError> {
    let default = || values::web_address(DEFAULT_PCCS).ok();
    let pccs = witnesses.pccs.clone().or_else(default).ok_or_else(defect)?;
    let app = witnesses.attest_url.as_ref().map(|template| {
        let nonce = Nonce::new()?;
        Some((nonce.into_address(template.text())?, nonce))
    });
    Ok(Places {
        pccs,
        guest: witnesses.guest_url.clone(),
        app: app.map(|app| app.ok_or_else(defect)).transpose()?,
        collateral,
    })
}

/// Machines that are safe enough: up to date, and what was agreed to.
pub(in crate::cli) fn accepted_levels(accepted: &Accepted) -> Result<TcbPolicy, CliError> {
    let levels = levels(accepted)?;
    Ok(levels.into_iter().fold(TcbPolicy::default(), TcbPolicy::accept))
}

/// What was agreed to of machines that are not up to date.
fn levels(accepted: &Accepted) -> Result<Vec<TcbStatus>, CliError> {
    let parsed = accepted.values(Code::TcbStatus).map(|named| {
        named.parse().map_err(|error: NoTcbStatus| CliError::Usage {
            code: Code::UsageInvalidValue,
            message: error.to_string(),
            hint: "name the status that the refusal names".to_owned(),
            next: Next::Command("--help"),
        })
    });
    parsed.collect()
}

/// Adds what was measured to the evidence of an upgrade, where there is some about the same hash.
pub(in crate::cli) fn add_to_evidence(dir: &Path, seen: &Attested, accepted: &Accepted) -> Result<(), CliError> {
    let links = seen.verdict.findings.iter().map(|one| Judged {
        link: one.link,
        standing: one.standing,
    });
    let attestation = Attestation {
        made_of: seen.saved.clone(),
        accepted: levels(accepted)?,
        links: links.collect(),
    };
    evidence::add(dir, attestation).map_err(UpgradeError::from)?;
    Ok(())
}

/// Writes what a verdict was made of; an earlier file about the same CVM goes.
pub(in crate::cli) fn keep(out: OutFile<'_>, saved: &Saved) -> Result<(), CliError> {
    let json = saved.to_json().map_err(|_never| defect())?;
    out.write(&json, 0o644, |found| {
        Saved::parse(found).is_ok_and(|found| found.cvm == saved.cvm)
    })
}

/// What a proof falls short of.
pub(in crate::cli) struct Shortfall {
    /// What is missing or broken.
    pub(in crate::cli) why: String,
    /// What that means for whoever asked.
    pub(in crate::cli) meant: Verdict,
}

/// What the proof falls short of; nothing where it is one.
pub(in crate::cli) fn shortfall(seen: &Attested, ended: Conclusion) -> Option<Shortfall> {
    let first = seen.verdict.first().and_then(|one| one.reason.as_ref());
    let why = first.map(|reason| told(reason)).unwrap_or_default();
    let (why, meant) = match ended {
        Conclusion::Proven => return None,
        Conclusion::Broken(link) => (format!("`{link}` is broken: {why}"), by_code(Code::AttestationBroken)),
        Conclusion::Pending => (
            "waiting: the CVM is not up yet, or still runs what it ran before".to_owned(),
            by_code(Code::PendingAttestation),
        ),
        Conclusion::Unsafe(status) => (
            format!("`tcb` is not known to be enough: {why}"),
            doubt(Code::TcbStatus, Some(&status.to_string())),
        ),
        Conclusion::NoCollateral => (
            "nothing is missing but Intel's collateral, whose server gave no answer".to_owned(),
            by_code(Code::CollateralUnreachable),
        ),
        Conclusion::NotProven(link) => (format!("`{link}` is not known: {why}"), by_code(Code::NotProven)),
    };
    Some(Shortfall { why, meant })
}

/// A case that cannot be, told as a defect.
pub(in crate::cli) fn defect() -> CliError {
    CliError::Defect {
        place: concat!(file!(), ":", line!()).to_owned(),
    }
}

/// How a run proves at the hardware what it makes live. Made before the run has any effect, so that what is wrong about it is
/// told in time.
pub(in crate::cli) struct Attesting<'a> {
    session: &'a Session,
    settings: &'a Settings,
    how: Insistence,
    witnesses: Witnesses,
    tcb: TcbPolicy,
    root: QuoteRoot,
    named_kms: Option<Address>,
}

/// What was found of a CVM.
pub(in crate::cli) enum Looked {
    /// A verdict, which stands beside the upgrade's evidence.
    Judged {
        seen: Box<Attested>,
        ended: Conclusion,
        /// Why it does not stand there, where nobody insisted on it.
        unkept: Option<String>,
    },
    /// Nobody told enough for one.
    Unseen(Shortfall),
}

impl<'a> Attesting<'a> {
    /// What a command's options and the project ask for; nothing where they ask for no proof.
    pub(in crate::cli) fn of(session: &'a Session, settings: &'a Settings) -> Result<Option<Self>, CliError> {
        let Some(asked) = &settings.attesting else {
            return Ok(None);
        };
        let project = Project::here()?;
        let how = asked.attest.or(project.attest).unwrap_or_default();
        if how == Insistence::No {
            return Ok(None);
        }
        Ok(Some(Self {
            session,
            settings,
            how,
            witnesses: asked.witnesses.clone(),
            tcb: accepted_levels(&settings.limits.accepted)?,
            root: session.env.quote_root()?,
            named_kms: project.kms,
        }))
    }

    /// How long it looks: as long as the run may take where it insists, else a minute.
    pub(in crate::cli) fn time(&self) -> Duration {
        match self.how {
            Insistence::Require => self.settings.limits.timeout,
            Insistence::Try | Insistence::No => PATIENCE.min(self.settings.limits.timeout),
        }
    }

    /// Whether falling short of it is the run's end: where something is broken, or the proof was insisted on.
    pub(in crate::cli) fn ends_by(&self, short: &Shortfall) -> bool {
        self.how == Insistence::Require || short.meant.exit == Exit::Verify
    }

    /// Looks at the CVM of an upgrade that is live, as far as Phala Cloud says, and keeps what it finds beside the evidence.
    /// Nothing where there is none, or where no KMS on a chain guards it and the proof is not insisted on.
    ///
    /// # Errors
    /// The proof was insisted on, and somebody failed or the files cannot be written.
    pub(in crate::cli) async fn prove(
        &self,
        dir: &Path,
        state: &State,
        end: Instant,
    ) -> Result<Option<Looked>, CliError> {
        let is_live = state.status().effects.live == Effect::Done;
        let insists = self.how == Insistence::Require;
        let known = known(state).filter(|(known, _)| is_live && (insists || known.kms.is_some()));
        let Some((known, Some(cvm))) = known else {
            return Ok(None);
        };
        let known = Known {
            named_kms: self.named_kms,
            ..known
        };
        let look = Look {
            by: self,
            cvm: &cvm,
            known: &known,
            places: places(&self.witnesses, None)?,
        };
        let mut found = look.found(end).await?;
        if let Looked::Judged { seen, unkept, .. } = &mut found {
            match self.keep(dir, seen) {
                Err(error) if insists => return Err(error),
                kept => {
                    let session = self.session;
                    let told = |error| failure::report(&error, session.command(), &session.typed()).message;
                    *unkept = kept.err().map(told);
                }
            }
        }
        Ok(Some(found))
    }

    fn keep(&self, dir: &Path, seen: &Attested) -> Result<(), CliError> {
        keep(OutFile::new(&dir.join(saved::FILE), true), &seen.saved)?;
        add_to_evidence(dir, seen, &self.settings.limits.accepted)
    }

    /// Where a verdict came from that was just made.
    pub(in crate::cli) fn source(&self, seen: &Attested) -> Source<'static> {
        Source {
            file: None,
            at: seen.saved.at,
            is_test_root: self.root.is_of_a_test,
        }
    }
}

/// After a run that made its hash live, as far as Phala Cloud says: proves it at the hardware, as the run was asked to. What
/// was found is added to the run's report, and kept beside the upgrade's evidence.
pub(in crate::cli) async fn follow(
    attesting: Option<Attesting<'_>>,
    upgrade: &Upgrade,
    mut report: Report,
) -> Result<Report, CliError> {
    let Some(attesting) = attesting else {
        return Ok(report);
    };
    let end = Instant::now() + attesting.time();
    let found = attesting.prove(upgrade.dir(), upgrade.state(), end).await?;
    let short = match found {
        None => None,
        Some(Looked::Unseen(short)) => {
            report.set_data("attestation", &unseen(&short));
            Some(short)
        }
        Some(Looked::Judged { seen, ended, unkept }) => {
            let source = attesting.source(&seen);
            page::show(&mut report.page, &seen, ended, source);
            report.set_data("attestation", &page::data(&seen, source));
            if let Some(why) = unkept {
                report.page.line(&not_kept(&why));
                report.set_data("attestation_not_kept", &why);
            }
            shortfall(&seen, ended)
        }
    };
    let Some(short) = short else {
        return Ok(report);
    };
    report.page.line(&format!("not proven at the hardware: {}", short.why));
    if attesting.ends_by(&short) {
        short.end(attesting.session, &mut report);
    }
    Ok(report)
}

/// That a verdict does not stand beside the evidence.
pub(in crate::cli) fn not_kept(why: &str) -> String {
    format!("not kept beside the evidence: {why}")
}

/// For programs: nothing could be judged.
pub(in crate::cli) fn unseen(short: &Shortfall) -> Value {
    json!({ "standing": Standing::NotKnown, "why": short.why })
}

impl Shortfall {
    /// It is the end of the run.
    pub(in crate::cli) fn end(self, session: &Session, report: &mut Report) {
        report.message = self.why;
        (report.exit, report.code) = (self.meant.exit, self.meant.code);
        report.next = Some(session.typed().command(&self.meant.next));
        report.hint = Some(self.meant.hint);
    }
}

/// How a CVM is looked at.
struct Look<'a> {
    by: &'a Attesting<'a>,
    cvm: &'a CvmId,
    known: &'a Known,
    places: Places,
}

impl Look<'_> {
    /// What was found in the time that there is, or why nothing was.
    ///
    /// # Errors
    /// Something contradicts what the upgrade knows, or the proof was insisted on and somebody failed.
    async fn found(&self, end: Instant) -> Result<Looked, CliError> {
        let (session, how) = (self.by.session, self.by.how);
        let outside = session.outside(self.by.settings);
        match self.until(&outside.world(), end).await {
            Ok(Some((seen, ended))) => Ok(Looked::Judged {
                seen: Box::new(seen),
                ended,
                unkept: None,
            }),
            Ok(None) => Ok(Looked::Unseen(Shortfall {
                why: format!("nobody answered within {} seconds", self.by.time().as_secs()),
                meant: by_code(Code::NotProven),
            })),
            Err(error) => {
                let told = failure::report(&error, session.command(), &session.typed());
                if how == Insistence::Require || told.exit == Exit::Verify {
                    return Err(error);
                }
                Ok(Looked::Unseen(Shortfall {
                    why: told.message,
                    meant: by_code(told.code),
                }))
            }
        }
    }

    /// Looks until it is more than not up yet, or the time is over; nothing where nobody answered in it.
    async fn until(&self, world: &World<'_>, end: Instant) -> Result<Option<(Attested, Conclusion)>, CliError> {
        let (tcb, root) = (&self.by.tcb, &self.by.root.root);
        let request = Request {
            cvm: self.cvm,
            known: self.known,
            places: &self.places,
            tcb,
            root,
            accepted: &self.by.settings.limits.accepted,
        };
        let mut last = None;
        while let Ok(seen) = tokio::time::timeout_at(end, attestation::attest(world, &request)).await {
            let seen = seen?;
            let at = Timestamp::now();
            let ended = seen.conclusion(&Measure { tcb, root, at });
            last = Some((seen, ended));
            if ended != Conclusion::Pending || Instant::now() + PAUSE >= end {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(last)
    }
}
