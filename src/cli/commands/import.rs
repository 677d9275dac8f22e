//! `import`: signatures that others made, taken in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::args::{Agree, Dir, Which};
use crate::cli::failure;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::fsutil;
use crate::safe::{
    approvals::Inserted,
    collect::{CollectError, Collected, Merged, Offer, collect},
};
use crate::upgrade::{
    Stop, UpgradeError, Warning,
    model::{Proposal, SafeApproval, upper_s},
    workspace::{Document, Subject, ToReject},
};

/// Longest file that is read: a proposal with its manifests.
const MAX_BYTES: u64 = 2 << 20;
/// How a proposal begins to say what it is.
const PROPOSAL: &str = "countersign.proposal/";

/// Take in signatures of the Safe transaction that others made
///
/// Reads our own signature files, signed proposals, bare hexadecimal (as cast prints it), the output of eip712sign, answers
/// of a Safe Transaction Service and of the wallet's gateway, signatures of the protocol kit, and r, s and v as libraries
/// write them. Each signature counts only if an owner of the Safe made
/// it for exactly this transaction (or for its rejection), and if its file says nothing else. Those that count are kept, also
/// where another one does not or cannot be read; then this ends with 5 and says why.
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
    #[command(flatten)]
    agree: Agree,
}

impl Import {
    pub(in crate::cli) fn run(self, session: &Session) -> Result<Report, CliError> {
        // All of them are read before one is taken in: a malformed file leaves everything as it was.
        let read = self
            .files
            .iter()
            .map(|file| Ok((file.display().to_string(), read(file)?)));
        let read: Vec<(String, Given)> = read.collect::<Result<_, CliError>>()?;
        let which = Which {
            proposal: self.proposal,
            dir: self.dir,
        };
        // A wrong proposal takes in signatures of its rejection, and no others.
        let mut subject = session.subject_for(&which, true)?;
        let (_, ceremony) = subject.ceremony()?;
        let mut told = Told {
            rejection: ceremony.signed_tx(true).tx.hash(),
            approval: ceremony.hash(),
            roles: BTreeSet::new(),
            children: BTreeMap::new(),
            unproven: Vec::new(),
            taken: Vec::new(),
            lines: Vec::new(),
            refused: Vec::new(),
            normalised: Vec::new(),
        };
        for (file, given) in read {
            if let Some(copy) = given.copy {
                for (child, owner) in subject.take_nested(&copy)? {
                    told.take_nested(&file, child, owner);
                }
            }
            let merged = subject.import(given.offers, &file)?;
            told.extend(&file, merged);
            let unreadable = given.unreadable.iter();
            told.refused
                .extend(unreadable.map(|error| format!("{file}: {}", failure::told(error))));
        }
        let (_, ceremony) = subject.ceremony()?;
        let children = ceremony.nested.iter();
        told.children
            .extend(children.map(|(child, (_, signed_tx))| (signed_tx.tx.hash(), *child)));
        match told.stop(&ceremony) {
            Some(stop) => Err(CliError::from(UpgradeError::Stop(Box::new(stop)))),
            None => Ok(report(session, &subject, &ceremony, told)),
        }
    }
}

/// What one file holds.
struct Given {
    offers: Vec<Offer>,
    /// What stands beside them for a signature and is none.
    unreadable: Vec<CollectError>,
    /// A copy of the proposal, with transactions of owners that are Safes.
    copy: Option<Proposal>,
}

/// The signatures of one file.
fn read(path: &Path) -> Result<Given, CliError> {
    let bytes = fsutil::read(path, MAX_BYTES).map_err(CliError::UserFile)?;
    let error = match collect(&bytes) {
        Ok(Collected { offers, unreadable }) => {
            return Ok(Given {
                offers,
                unreadable,
                copy: None,
            });
        }
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
fn proposed(path: &Path) -> Result<Given, CliError> {
    let document = match ToReject::look(path)? {
        ToReject::Half(document) => *document,
        ToReject::AsItIs | ToReject::Journal(_) => Document::open(path)?,
    };
    let document = Subject::Document(Box::new(document));
    let (_, ceremony) = document.ceremony()?;
    let offers: Vec<Offer> = ceremony.offers().collect();
    let copy = document.proposal().filter(|_| !ceremony.nested.is_empty());
    if offers.is_empty() && copy.is_none() {
        return Err(CliError::Input {
            code: Code::InputSignatures,
            message: format!("`{}` holds no signature", path.display()),
            hint: "ask for the proposal after it was signed".to_owned(),
        });
    }
    Ok(Given {
        offers,
        unreadable: Vec::new(),
        copy,
    })
}

/// What became of the signatures, in the words of the report.
struct Told {
    rejection: B256,
    approval: B256,
    /// Whose signatures of which transactions were taken in.
    roles: BTreeSet<(B256, Address)>,
    /// Which owner that is a Safe a transaction is for.
    children: BTreeMap<B256, Address>,
    /// Owners of whom something was taken in that only a chain can confirm.
    unproven: Vec<Address>,
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

    /// One of an owner of an owner that is a Safe.
    fn take_nested(&mut self, file: &str, child: Address, owner: Address) {
        let mark = B256::left_padding_from(child.as_slice());
        self.children.insert(mark, child);
        self.roles.insert((mark, owner));
        self.taken.push(
            json!({"file": file, "source": "proposal", "owner": owner, "outcome": "new", "rejects": false,
                "normalised": false, "for": child}),
        );
        let told = format!("taken in for the Safe {child} ({file}: proposal)");
        self.lines.push((owner.to_string(), Some(told)));
    }

    fn take(&mut self, file: &str, one: &Merged, inserted: &Inserted) {
        let owner = inserted.owner();
        let (outcome, words) = match inserted {
            Inserted::New(_) if !one.proves_itself => (
                "unproven",
                "kept, but NOT COUNTED: only the chain says whether this owner agreed",
            ),
            Inserted::New(_) => ("new", "taken in"),
            Inserted::Same(_) => ("same", "was here already"),
            Inserted::Kept(_) => ("kept", "has signed before; that signature was kept"),
            Inserted::Replaced(_) => ("replaced", "taken in, in place of one that only a chain can check"),
            Inserted::Superseded(_) => (
                "superseded",
                "kept in place of another one, but NOT COUNTED: only the chain says whether this owner agreed",
            ),
        };
        let (source, rejects) = (one.source, one.safe_tx_hash == self.rejection);
        let told = json!({"file": file, "source": source, "owner": owner, "outcome": outcome, "rejects": rejects,
            "normalised": one.normalised});
        // The same one twice is one; what takes its place is told in its place.
        if self.roles.insert((one.safe_tx_hash, owner)) {
            if !one.proves_itself {
                self.unproven.push(owner);
            }
            self.taken.push(told);
        } else if matches!(inserted, Inserted::Replaced(_) | Inserted::Superseded(_)) {
            if one.proves_itself {
                self.unproven.retain(|other| *other != owner);
            }
            let same = |one: &&mut Value| one["owner"] == told["owner"] && one["rejects"] == told["rejects"];
            if let Some(earlier) = self.taken.iter_mut().find(same) {
                *earlier = told;
            }
        }
        let what = if rejects { " for the REJECTION" } else { "" };
        let lower = if one.normalised {
            "; its s was the upper one, and counts as the lower"
        } else {
            ""
        };
        let told = format!("{words}{what} ({file}: {source}{lower})");
        if one.normalised && !self.normalised.contains(&owner) {
            self.normalised.push(owner);
        }
        self.lines.push((owner.to_string(), Some(told)));
    }

    /// Whether everything that was taken in is for the rejection.
    fn rejects_only(&self) -> bool {
        !self.roles.is_empty() && self.roles.iter().all(|(hash, _)| *hash == self.rejection)
    }

    /// The owner that is a Safe, where everything that was taken in is for it.
    fn nested(&self) -> Option<Address> {
        let mut all = self.roles.iter().map(|(hash, _)| *hash);
        let first = all
            .next()
            .filter(|hash| ![self.approval, self.rejection].contains(hash))?;
        all.all(|hash| hash == first).then_some(())?;
        self.children.get(&first).copied()
    }

    /// What was taken in for what, in a sentence.
    fn message(&self) -> String {
        let count = |hash: B256| self.roles.iter().filter(|(of, _)| *of == hash).count();
        let told = |have: usize, of: String| match have {
            1 => format!("1 signature for {of}"),
            have => format!("{have} signatures for {of}"),
        };
        let (approvals, rejections) = (count(self.approval), count(self.rejection));
        let others = self.roles.len().saturating_sub(approvals).saturating_sub(rejections);
        let mut parts = Vec::new();
        if approvals > 0 || self.roles.is_empty() {
            parts.push(told(approvals, self.approval.to_string()));
        }
        if rejections > 0 {
            parts.push(told(rejections, format!("the REJECTION {}", self.rejection)));
        }
        if others > 0 {
            parts.push(told(others, "a Safe that is an owner".to_owned()));
        }
        parts.join(", ")
    }

    fn stop(&self, ceremony: &SafeApproval) -> Option<Stop> {
        let first = self.refused.first()?;
        let (refused, all) = (self.refused.len(), self.refused.len() + self.taken.len());
        let tx = &ceremony.signed_tx(false).tx;
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

fn report(session: &Session, subject: &Subject, ceremony: &SafeApproval, told: Told) -> Report {
    let status = subject.state().status();
    let rejects = told.rejects_only();
    let signed_tx = ceremony.signed_tx(rejects);
    let threshold = status.facts.threshold;
    let have = match rejects {
        true => signed_tx.signatures.proven().count(),
        false => status.facts.signed_by.as_ref().map_or(0, Vec::len),
    };
    let mut report = Report::done("import", "");
    report.page.facts(&told.lines);
    report.page.facts(&[
        ("rejects", rejects.then(|| ceremony.hash().to_string())),
        ("safeTxHash", Some(signed_tx.tx.hash().to_string())),
        ("signatures", threshold.map(|needed| format!("{have} of {needed}"))),
    ]);
    report.know(status, &subject.path());
    session.locate_in(&mut report, subject);
    report.message = told.message();
    report
        .warnings
        .extend(told.normalised.iter().map(|owner| upper_s(*owner)));
    report
        .warnings
        .extend(told.unproven.iter().map(|owner| unproven(*owner)));
    let hash = signed_tx.tx.hash();
    report.data = Some(json!({ "safeTxHash": hash, "rejects": rejects, "signatures": told.taken }));
    let (proposal, state) = (subject.path(), subject.state());
    let nested = told.nested();
    report.advise(session.advise(&proposal, |reader| match (rejects, nested) {
        (true, _) => reader.signed_otherwise(state, None),
        (false, Some(child)) => reader.signed_otherwise(state, Some(child)),
        (false, None) => reader.advise(state),
    }));
    report
}

/// That an owner's word counts for nothing yet.
fn unproven(owner: Address) -> Warning {
    Warning {
        code: Code::SignatureUnproven,
        text: format!(
            "what was handed in for {owner} is an approval or a contract's signature, which anybody can write: it is not \
             counted before the chain confirms it"
        ),
    }
}
