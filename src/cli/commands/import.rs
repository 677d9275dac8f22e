//! `import`: signatures that others made, taken in.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::args::{Dir, Which};
use crate::cli::error::CliError;
use crate::cli::failure;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::code::Code;
use crate::fsutil;
use crate::safe::{CollectError, Inserted, Merged, Offer, collect};
use crate::upgrade::{Ceremony, Document, Stop, Subject, UpgradeError, upper_s};

/// Longest file that is read: a proposal with its manifests.
const MAX_BYTES: u64 = 2 << 20;
/// How a proposal begins to say what it is.
const PROPOSAL: &str = "countersign.proposal/";

/// Take in signatures of the Safe transaction that others made
///
/// Reads our own signature files, signed proposals, bare hexadecimal (as cast prints it), the output of eip712sign, answers
/// of a Safe Transaction Service, and signatures of the protocol kit. Each signature counts only if an owner of the Safe made
/// it for exactly this transaction (or for its rejection), and if its file says nothing else. Those that count are kept, also
/// where another one does not; then this ends with 5 and says why.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign import alice.json bob.hex --dir .countersign/my-app-1a2b3c4d\n  \
    countersign import alice.json --proposal proposal.json")]
pub(in crate::cli) struct Import {
    /// Files with signatures
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Proposal file to put them into
    #[arg(long, value_name = "PROPOSAL", conflicts_with_all = ["dir", "cvm"])]
    proposal: Option<PathBuf>,
    #[command(flatten)]
    dir: Dir,
}

impl Import {
    pub(super) fn run(self, session: &Session) -> Result<Report, CliError> {
        // All of them are read before one is taken in: a malformed file leaves everything as it was.
        let read = self
            .files
            .iter()
            .map(|file| Ok((file.display().to_string(), read(file)?)));
        let read: Vec<(String, Vec<Offer>)> = read.collect::<Result<_, CliError>>()?;
        let mut subject = session.subject(&Which {
            proposal: self.proposal,
            dir: self.dir,
        })?;
        let (_, ceremony) = subject.ceremony()?;
        let mut told = Told {
            rejection: ceremony.ballot(true).tx.hash(),
            taken: Vec::new(),
            lines: Vec::new(),
            refused: Vec::new(),
            normalised: Vec::new(),
        };
        for (file, offers) in read {
            let merged = subject.import(offers, &file)?;
            told.extend(&file, merged);
        }
        match told.stop(&ceremony) {
            Some(stop) => Err(CliError::from(UpgradeError::Stop(Box::new(stop)))),
            None => Ok(report(session, &subject, &ceremony, told)),
        }
    }
}

/// The signatures of one file.
fn read(path: &Path) -> Result<Vec<Offer>, CliError> {
    let bytes = fsutil::read(path, MAX_BYTES).map_err(CliError::UserFile)?;
    let error = match collect(&bytes) {
        Ok(offers) => return Ok(offers),
        Err(error) => error,
    };
    match error {
        CollectError::TooLong { .. } | CollectError::Schema { .. } if is_proposal(&bytes) => Ok(proposed(path)?),
        _ => Err(CliError::Input {
            code: Code::InputSignatures,
            message: format!("`{}` cannot be taken in: {}", path.display(), failure::told(&error)),
            hint: "ask for the file again, or for the signature alone as hexadecimal digits".to_owned(),
        }),
    }
}

fn is_proposal(bytes: &[u8]) -> bool {
    bytes.windows(PROPOSAL.len()).any(|part| part == PROPOSAL.as_bytes())
}

/// The signatures of another copy of the proposal.
fn proposed(path: &Path) -> Result<Vec<Offer>, CliError> {
    let document = Subject::Document(Box::new(Document::open(path)?));
    let (_, ceremony) = document.ceremony()?;
    let offers: Vec<Offer> = ceremony.offers().collect();
    if offers.is_empty() {
        return Err(CliError::Input {
            code: Code::InputSignatures,
            message: format!("`{}` holds no signature", path.display()),
            hint: "ask for the proposal after it was signed".to_owned(),
        });
    }
    Ok(offers)
}

/// What became of the signatures, in the words of the report.
struct Told {
    rejection: B256,
    taken: Vec<Value>,
    lines: Vec<(String, Option<String>)>,
    refused: Vec<String>,
    /// Whose signature had the upper s.
    normalised: Vec<Address>,
}

impl Told {
    fn extend(&mut self, file: &str, merged: Vec<Merged>) {
        for one in merged {
            match &one.outcome {
                Ok(inserted) => self.take(file, &one, inserted),
                Err(error) => self.refused.push(format!("{file}: {}", failure::told(error))),
            }
        }
    }

    fn take(&mut self, file: &str, one: &Merged, inserted: &Inserted) {
        let (owner, outcome, words) = match *inserted {
            Inserted::New(owner) => (owner, "new", "taken in"),
            Inserted::Same(owner) => (owner, "same", "was here already"),
            Inserted::Kept(owner) => (owner, "kept", "has signed before; that signature was kept"),
            Inserted::Replaced(owner) => (
                owner,
                "replaced",
                "taken in, in place of one that only a chain can check",
            ),
        };
        let (source, rejects) = (one.source, one.safe_tx_hash == self.rejection);
        self.taken.push(
            json!({"file": file, "source": source, "owner": owner, "outcome": outcome, "rejects": rejects,
                "normalised": one.normalised}),
        );
        let what = if rejects { " for the REJECTION" } else { "" };
        let lower = if one.normalised {
            "; its s was the upper one, and counts as the lower"
        } else {
            ""
        };
        let told = format!("{words}{what} ({file}: {source}{lower})");
        if one.normalised {
            self.normalised.push(owner);
        }
        self.lines.push((owner.to_string(), Some(told)));
    }

    fn stop(&self, ceremony: &Ceremony) -> Option<Stop> {
        let first = self.refused.first()?;
        let (refused, all) = (self.refused.len(), self.refused.len() + self.taken.len());
        let tx = &ceremony.ballot(false).tx;
        let mut details = self.refused.clone();
        details.extend(self.lines.iter().map(|(owner, told)| {
            let told = told.as_deref().unwrap_or_default();
            format!("{owner} {told}")
        }));
        Some(Stop {
            code: Code::SignatureRefused,
            what: format!("{refused} of {all} signatures"),
            expected: format!("signatures of {} by owners of the Safe {}", tx.hash(), tx.domain().safe),
            found: first.clone(),
            details,
            origin: None,
        })
    }
}

fn report(session: &Session, subject: &Subject, ceremony: &Ceremony, told: Told) -> Report {
    let status = subject.state().status();
    let (signed, threshold) = (status.facts.signed_by.clone(), status.facts.threshold);
    let have = signed.map_or(0, |signed| signed.len());
    let mut report = Report::done("import", "");
    report.page.facts(&told.lines);
    report.page.facts(&[
        ("safeTxHash", Some(ceremony.hash().to_string())),
        ("signatures", threshold.map(|needed| format!("{have} of {needed}"))),
    ]);
    report.know(status, &subject.path());
    session.locate_in(&mut report, subject);
    report.message = format!("{} signatures for {}", told.taken.len(), ceremony.hash());
    report
        .warnings
        .extend(told.normalised.iter().map(|owner| upper_s(*owner)));
    report.data = Some(json!({ "safeTxHash": ceremony.hash(), "signatures": told.taken }));
    let proposal = subject.path();
    report.advise(session.advise(&proposal, |reader| reader.advise(subject.state())));
    report
}
