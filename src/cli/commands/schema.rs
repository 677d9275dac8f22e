//! `schema`: the JSON Schemas of what `--json` prints and of the files that others read.

use clap::{Args, ValueEnum};
use schemars::schema_for;
use serde_json::Value;

use crate::cli::act::drift::Drift;
use crate::cli::show::report::{self, Report};
use crate::cli::show::verified::Verified;
use crate::evidence::Evidence;
use crate::safe::collect::SignatureFile;
use crate::upgrade::model::Proposal;
use crate::upgrade::record::Status;

/// Print a JSON Schema: of the object that --json prints, of its data, or of a file that others read
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign schema\n  countersign schema evidence > evidence.schema.json")]
pub(in crate::cli) struct Schema {
    /// What it describes
    #[arg(value_enum, value_name = "NAME", default_value_t = Name::Result)]
    name: Name,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The object that --json prints
    Result,
    /// `data` of `status` for one upgrade
    Status,
    /// `data` of `plan --drift`
    Drift,
    /// `data` of `verify`
    Verify,
    /// proposal.json
    Proposal,
    /// evidence.json
    Evidence,
    /// The file that holds one owner's signature
    Signature,
}

impl Schema {
    pub(in crate::cli) fn run(self) -> Report {
        let schema = self.name.schema();
        let mut report = Report::done("schema", "made");
        report.raw = Some(format!("{schema:#}\n"));
        report.data = Some(schema);
        report
    }
}

impl Name {
    /// The schema under a name of its own, which is no address: it is the same wherever it was found.
    fn schema(self) -> Value {
        let (format, mut schema) = match self {
            Self::Result => (report::SCHEMA, report::json_schema()),
            Self::Status => ("countersign.status/1", schema_for!(Status).to_value()),
            Self::Drift => ("countersign.drift/1", schema_for!(Drift).to_value()),
            Self::Verify => ("countersign.verify/1", schema_for!(Verified).to_value()),
            Self::Proposal => (Proposal::FORMAT, schema_for!(Proposal).to_value()),
            Self::Evidence => (Evidence::FORMAT, schema_for!(Evidence).to_value()),
            Self::Signature => (SignatureFile::FORMAT, schema_for!(SignatureFile).to_value()),
        };
        if let Some(schema) = schema.as_object_mut() {
            let id = format!(
                "urn:countersign:schema:{}",
                format.replace("countersign.", "").replace('/', ":")
            );
            schema.insert("$id".to_owned(), Value::String(id));
            schema.insert("title".to_owned(), Value::String(format.to_owned()));
        }
        schema
    }
}
