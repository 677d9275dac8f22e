//! `export`: the Safe transaction for other tools.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::{Value, json};

use crate::cli::args::{Overwrite, Which};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::out_file::OutFile;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::{
    approvals::{Facts, Packed, TooFew},
    export::{Format, Label, export},
    info::SafeInfo,
};
use crate::upgrade::{
    UpgradeError, Warning,
    model::{Plan, SignedSafeTx},
    workspace::Subject,
};

/// Write the Safe transaction for other tools
///
/// builder-file is imported by Safe{Wallet}'s Transaction Builder (raw: without method names). It names no nonce: the wallet
/// chooses one, and signatures of this proposal do not count for what it makes. typed-data is signed by wallets and by
/// `cast wallet sign --data --from-file`; eip712sign by the tool of that name. calldata is the call that executes the
/// transaction, once enough signatures of keys are here, and before that, with a warning, the call that the Safe will make.
/// Needs no chain; the same bytes whenever it is written. A file of --out that is there already is replaced only if it is an
/// export of the same transaction.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign export proposal.json --format typed-data --out typed.json\n  \
    countersign export --dir .countersign/my-app-1a2b3c4d --format builder-file > batch.json")]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    which: Which,
    /// Kind of file
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(Format::NAMES).try_map(|name| name.parse::<Format>())
    )]
    format: Format,
    /// Export the rejection instead: the transaction that only uses up the nonce
    #[arg(long)]
    reject: bool,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Export {
    pub(in crate::cli) fn run(self, session: &Session) -> Result<Report, CliError> {
        let by_content = matches!(self.format, Format::BuilderFile { .. });
        if by_content && self.reject {
            return Err(CliError::Usage {
                code: Code::UsageRejectionFile,
                message: "a builder file names no nonce, so it cannot reject the transaction that has one".to_owned(),
                hint: "export the rejection as typed-data, calldata or eip712sign".to_owned(),
                next: Next::Command("export"),
            });
        }
        let subject = session.subject_for(&self.which, self.reject)?;
        let (plan, ceremony) = subject.ceremony()?;
        let signed_tx = ceremony.signed_tx(self.reject);
        let packed = packed(plan, signed_tx);
        let label = label(&subject, self.reject)?;
        let signatures = packed.as_ref().ok();
        let bytes = export(&signed_tx.tx, signatures, self.format, &label).map_err(|error| CliError::Input {
            code: Code::InputTooLong,
            message: error.to_string(),
            hint: "export it in another format".to_owned(),
        })?;
        let mut report = Report::done("export", "");
        report.know(subject.state().status(), &subject.path());
        session.locate_in(&mut report, &subject);
        report.message = format!("Safe transaction {} as {}", signed_tx.tx.hash(), self.format);
        if by_content {
            report.warnings.push(Warning {
                code: Code::SafeNonceNotInFile,
                text: format!(
                    "the wallet gives the batch a nonce of its own: signatures of {} do not count for it",
                    signed_tx.tx.hash()
                ),
            });
        }
        let mut data = json!({"format": self.format.to_string(), "safeTxHash": signed_tx.tx.hash()});
        if self.format == Format::Calldata {
            tell_call(&mut report, &mut data, &packed, signed_tx);
            if packed.is_err() {
                let (proposal, state) = (subject.path(), subject.state());
                report.advise(session.advise(&proposal, |reader| reader.sign(state)));
            }
        }
        let all = Format::ALL.map(|format| export(&signed_tx.tx, signatures, format, &label));
        let own: Vec<Vec<u8>> = all.into_iter().filter_map(Result::ok).collect();
        if let Some(out) = &self.out {
            let out = OutFile::new(out, self.overwrite.overwrite);
            session
                .apart(out, &subject.path())?
                .write(&bytes, 0o644, |found| own.iter().any(|own| own == found))?;
        }
        self.give(&mut report, data, &bytes);
        Ok(report)
    }

    /// Names the file, or gives what it would hold.
    fn give(&self, report: &mut Report, mut data: Value, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let place = match &self.out {
            Some(out) => {
                report.page.line(&report.message.clone());
                report.page.facts(&[("file", Some(out.display().to_string()))]);
                view::remarks(&mut report.page, "warnings", &report.warnings);
                ("file", out.display().to_string())
            }
            None => {
                report.raw = Some(text.clone());
                ("content", text)
            }
        };
        if let Some(object) = data.as_object_mut() {
            object.insert(place.0.to_owned(), place.1.into());
        }
        report.data = Some(data);
    }
}

/// The signatures, if enough of them prove themselves: what only a chain can say is not counted here.
fn packed(plan: &Plan, signed_tx: &SignedSafeTx) -> Result<Packed, TooFew> {
    let facts = Facts {
        owners: plan.safe.as_ref().map(SafeInfo::owner_set).unwrap_or_default(),
        threshold: plan.safe.as_ref().map_or(0, |safe| safe.threshold),
        ..Facts::default()
    };
    signed_tx.signatures.pack(&facts)
}

/// Whose call the calldata is: anybody sends `execTransaction`, and the one inside only the Safe makes.
fn tell_call(report: &mut Report, data: &mut Value, packed: &Result<Packed, TooFew>, signed_tx: &SignedSafeTx) {
    let (call, signatures) = match packed {
        Ok(packed) => ("execTransaction", json!(packed.owners)),
        Err(TooFew(standing)) => {
            report.warnings.push(Warning {
                code: Code::SafeSignaturesMissing,
                text: format!(
                    "{} of {} signatures are here that can be checked without a chain, so this is the call inside, which \
                     only the Safe {} can make: nobody can send it",
                    standing.counted.len(),
                    standing.threshold,
                    signed_tx.tx.domain().safe
                ),
            });
            ("inner", json!(standing.counted))
        }
    };
    if let Some(object) = data.as_object_mut() {
        object.insert("call".to_owned(), call.into());
        object.insert("signatures".to_owned(), signatures);
    }
}

/// What the wallet shows beside the calls; only values that this tool made.
fn label(subject: &Subject, rejects: bool) -> Result<Label, CliError> {
    let proposal = subject.proposal().ok_or_else(|| UpgradeError::TooEarly {
        message: "there is no proposal yet".to_owned(),
        command: "prepare",
    })?;
    let (name, description) = if rejects {
        ("countersign rejection", String::new())
    } else {
        let name = match proposal.plan.code {
            Some(_) => "countersign upgrade",
            None => "countersign change of policy",
        };
        (name, proposal.told())
    };
    Ok(Label {
        name: name.to_owned(),
        description,
        created_at: proposal.prepared_at.unwrap_or(proposal.plan.read_at),
    })
}
